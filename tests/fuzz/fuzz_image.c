/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An image's files, and what is found in them. The first line has the board's model,
 * the second two versions to compare, the third modules that are wanted; then files,
 * each a line "B/PATH" (of the boot partition), "R/PATH" (of the root file system) or
 * "MN" (N-th of the texts about modules) and its data up to a line "%%". All of it is
 * also tried as a device tree.
 */
#include "boot/image_fdt.h"
#include "boot/image_modules.h"
#include "boot/image_version.h"
#include "tests/unit/image_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int good)
{
    if (!good)
        abort();
}

/* Up to `end`, which is taken, too; terminated by the caller's zero in its place. */
static char *cut(char **rest, char *limit, const char *end)
{
    char *text = *rest;
    char *at = memmem(text, (size_t)(limit - text), end, strlen(end));

    *rest = at ? at + strlen(end) : limit;
    if (at)
        *at = '\0';
    return text;
}

static void check_versions(char *line)
{
    char *b = line + strcspn(line, " ");

    if (*b)
        *b++ = '\0';
    check(image_version_compare(line, b) == -image_version_compare(b, line));
    check(image_version_compare_debian(line, b) == -image_version_compare_debian(b, line));
    check(image_version_compare(line, line) == 0);
    check(image_version_compare_debian(b, b) == 0);
}

#define TEXTS   5
#define ALIASES 64

static void check_modules(const char *const *texts, const char *wishes)
{
    static struct image_modules m;
    static struct image_modules_alias aliases[ALIASES];
    size_t count;

    memset(&m, 0, sizeof(m));
    m.dep = texts[0];
    m.softdep = texts[1];
    m.builtin = texts[2];
    m.builtin_info = texts[3];
    m.aliases = aliases;
    count = image_modules_index(texts[4], aliases, ALIASES);
    m.aliases_count = count < ALIASES ? count : ALIASES;
    for (struct text_span rest = {wishes, strlen(wishes)}; rest.bytes > 0;) {
        char word[64];
        unsigned before = m.count;
        if (!text_copy(text_word(&rest), word, sizeof(word)) || word[0] == '\0')
            continue;
        image_modules_take_device(&m, word);
        if (image_modules_take(&m, word) != IMAGE_MODULES_TAKEN)
            check(m.count == before);
    }
    check(m.count <= IMAGE_MODULES_MAX);
    for (unsigned i = 0; i < m.count; i++)
        check(memmem(m.dep, strlen(m.dep), m.taken[i].text, m.taken[i].bytes) != NULL);
}

static void read_files(struct image_memory *memory, const char **texts, char *rest, char *limit)
{
    static const char end[] = "\n%%\n";

    while (rest < limit && memory->count < IMAGE_MEMORY_FILES) {
        enum image_tree tree = *rest == 'B' ? IMAGE_BOOT : IMAGE_ROOT;
        char *path = cut(&rest, limit, "\n") + 1;
        char *from = rest;
        char *to;

        cut(&rest, limit, end);
        to = rest == limit ? limit : rest - strlen(end);
        if (path[-1] == 'M' && path[0] >= '0' && path[0] < '0' + TEXTS)
            texts[path[0] - '0'] = from;
        else if (path[0] == '/' && strlen(path) < IMAGE_PATH_BYTES / 2)
            image_memory_add(memory, tree, path, from, (size_t)(to - from));
    }
}

static void check_text(const char *text, size_t size, bool printable)
{
    size_t bytes = strnlen(text, size);

    check(bytes < size);
    for (size_t i = 0; i < bytes && printable; i++)
        check(text[i] >= ' ' && text[i] <= '~');
}

static void check_image(const struct image_files *files, const struct image *image)
{
    char byte;

    check(files->read(files->context, image->tree, image->kernel, 0, &byte, 1) >= 0);
    check(image->found_by[0] == '/');
    check(image->packed.verdict == IMAGE_KERNEL_GOOD && image->packed.what[0] == '\0');
    check_text(image->version, sizeof(image->version), false);
    check_text(image->packed.version, sizeof(image->packed.version), true);
    check_text(image->modules, sizeof(image->modules), false);
    check_text(image->cmdline, sizeof(image->cmdline), false);
    check(strchr(image->cmdline, '\n') == NULL);
    check(image->modules[0] == '\0' || image->version[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct image_room room;
    static struct image image;
    struct image_board board = {.config_txt = {.revision = 0xc03111, .serial = 0x12345678}};
    struct image_memory memory = {.count = 0};
    struct image_files files = image_memory_files(&memory);
    const char *texts[TEXTS] = {"", "", "", "", ""};
    const char *wishes;
    char why[IMAGE_WHY_BYTES];
    char *text = malloc(size + 1);
    char *rest = text;
    char *limit = text + size;

    check(text != NULL);
    memcpy(text, data, size);
    image_fdt_wipe_seed((uint8_t *)text, size);
    memcpy(text, data, size);
    *limit = '\0';
    snprintf(board.config_txt.model, sizeof(board.config_txt.model), "%s", cut(&rest, limit, "\n"));
    strcpy(board.serial[0], "ttyAMA0");
    check_versions(cut(&rest, limit, "\n"));
    wishes = cut(&rest, limit, "\n");
    read_files(&memory, texts, rest, limit);
    check_modules(texts, wishes);
    memset(&room, 0xa5, sizeof(room));
    memset(&image, 0xa5, sizeof(image));
    memset(why, 0xa5, sizeof(why));
    if (image_find(&room, &files, &board, &image, why)) {
        check(why[0] == '\0');
        check_image(&files, &image);
    } else {
        check(why[0] != '\0');
        check_text(why, sizeof(why), true);
    }
    free(text);
    return 0;
}
