/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lunstick-boot modules --dir DIR: which modules of the kernel whose modules are in
 * DIR are taken along (boot/image_modules.h). Standard input says for what, a line
 * each:
 *
 *   need WORD REASON...  a module or an alias, without which it is no use
 *   want WORD            taken if there is one
 *   device MODALIAS      a device that is there, whose driver is taken
 *
 * Prints their paths below DIR. Exit status 2 with a line if one that is needed is
 * neither there nor built in.
 */
#include "boot/image_modules.h"
#include "program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Many times what a kernel's are; what stands behind is not read. */
#define FILE_BYTES (16u << 20)

/* A file as a terminated text, its zeros as newlines; an empty one if it cannot be
 * read, or NULL without memory. The caller frees it. */
static char *read_whole(const char *directory, const char *name)
{
    char path[4096];
    FILE *file;
    char *text = NULL;
    size_t size = 0, bytes = 0, got;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    file = fopen(path, "re");
    do {
        char *more = realloc(text, size += 65536);
        if (!more) {
            free(text);
            text = NULL;
            break;
        }
        text = more;
        got = file ? fread(text + bytes, 1, size - bytes - 1, file) : 0;
        bytes += got;
        text[bytes] = '\0';
    } while (got > 0 && bytes < FILE_BYTES);
    if (file)
        fclose(file);
    for (size_t i = 0; text && i < bytes; i++)
        if (text[i] == '\0')
            text[i] = '\n';
    return text;
}

/* False: it is needed and not there. */
static bool read_wish(struct image_modules *m, const char *input)
{
    struct text_span line = {"", 0}, key, word;
    char text[256];

    text_line(&input, &line);
    key = text_word(&line);
    word = text_word(&line);
    if (!text_copy(word, text, sizeof(text)))
        return true;
    if (text_is(key, "device"))
        image_modules_take_device(m, text);
    else if (image_modules_take(m, text) == IMAGE_MODULES_MISSING && text_is(key, "need")) {
        boot_fail(BOOT_WRONG, "the image's kernel has no module %s%s%.*s", text,
                  line.bytes > 0 ? ": " : "", (int)line.bytes, line.text);
        return false;
    }
    return true;
}

static int tell_modules(struct image_modules *m)
{
    int status = BOOT_OK;
    char wish[512];

    while (fgets(wish, sizeof(wish), stdin))
        if (!read_wish(m, wish))
            status = BOOT_WRONG;
    for (unsigned i = 0; i < m->count; i++)
        printf("%.*s\n", (int)m->taken[i].bytes, m->taken[i].text);
    return m->full ? boot_fail(BOOT_WRONG, "more than %u modules", IMAGE_MODULES_MAX) : status;
}

int boot_modules(int argc, char **argv)
{
    const char *directory = NULL;
    const struct boot_option options[] = {{"dir", &directory}, {NULL, NULL}};
    static const char *const files[] = {"modules.dep", "modules.softdep", "modules.builtin",
                                        "modules.builtin.modinfo", "modules.alias"};
    char *texts[sizeof(files) / sizeof(files[0])] = {NULL};
    struct image_modules *m = calloc(1, sizeof(*m));
    struct image_modules_alias *aliases = NULL;
    bool enough = m != NULL;
    int status = BOOT_WRONG;

    if (!boot_options(argc, argv, options))
        goto out;
    if (!directory) {
        boot_fail(BOOT_WRONG, "--dir DIR is missing, /lib/modules/VERSION of an image");
        goto out;
    }
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        texts[i] = read_whole(directory, files[i]);
        enough = enough && texts[i] != NULL;
    }
    if (enough) {
        m->dep = texts[0];
        m->softdep = texts[1];
        m->builtin = texts[2];
        m->builtin_info = texts[3];
        m->aliases_count = image_modules_index(texts[4], NULL, 0);
        m->aliases = aliases = calloc(m->aliases_count + 1, sizeof(*aliases));
    }
    if (aliases) {
        image_modules_index(texts[4], aliases, m->aliases_count);
        status = tell_modules(m);
    } else {
        status = boot_fail(BOOT_TRANSIENT, "%s", strerror(ENOMEM));
    }
out:
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        free(texts[i]);
    free(aliases);
    free(m);
    return status;
}
