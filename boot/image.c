/* SPDX-License-Identifier: BSD-2-Clause */
#include "image.h"

#include "image_text.h"
#include "image_version.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum outcome { FOUND, NOT_HERE, FAULTY };

struct finder {
    struct image_room *room;
    const struct image_files *files;
    const struct image_board *board;
    struct image *image;
    char *why;
};

/* A directory to look in. */
struct place {
    enum image_tree tree;
    const char *directory; /* ends with `/` */
};

static const struct place everywhere[] = {
    {IMAGE_BOOT, "/"}, {IMAGE_BOOT, "/boot/"}, {IMAGE_ROOT, "/boot/"}, {IMAGE_ROOT, "/"}};

#define PLACES(list) (sizeof(list) / sizeof((list)[0]))

__attribute__((format(printf, 2, 3))) static enum outcome fault(struct finder *f,
                                                                const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(f->why, IMAGE_WHY_BYTES, format, args);
    va_end(args);
    for (char *c = f->why; *c != '\0'; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    return FAULTY;
}

/* ---- files ---- */

static bool join(char path[IMAGE_PATH_BYTES], const char *directory, const char *prefix,
                 const char *name)
{
    const char *const parts[] = {directory, prefix, name};
    size_t used = 0;

    path[0] = '\0';
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        size_t bytes = strlen(parts[i]);

        if (bytes >= IMAGE_PATH_BYTES - used)
            return false;
        memcpy(path + used, parts[i], bytes + 1);
        used += bytes;
    }
    return true;
}

static bool exists(struct finder *f, enum image_tree tree, const char *path)
{
    char byte;

    return f->files->read(f->files->context, tree, path, 0, &byte, 1) >= 0;
}

/* A text file, terminated, without zeros in it; 0 or -errno. */
static int read_text(struct finder *f, enum image_tree tree, const char *path,
                     char text[IMAGE_TEXT_BYTES])
{
    ssize_t got = f->files->read(f->files->context, tree, path, 0, text, IMAGE_TEXT_BYTES - 1);

    text[got > 0 ? got : 0] = '\0';
    return got < 0 ? (int)got : 0;
}

struct kernel_file {
    struct finder *f;
    const char *path;
};

static ssize_t read_kernel(void *context, uint64_t offset, void *buffer, size_t size)
{
    struct kernel_file *k = context;
    const struct image_files *files = k->f->files;

    return files->read(files->context, k->f->image->tree, k->path, offset, buffer, size);
}

static bool try_path(struct finder *f, enum image_tree tree, const char *directory,
                     const char *name, char path[IMAGE_PATH_BYTES])
{
    return join(path, directory, "", name) && exists(f, tree, path);
}

/* Where a boot loader finds `name` that a file in `place` names: at the top of the
 * file system, or, without a `/` in front, beside that file. And as the system sees
 * it, which may have a boot partition on /boot. */
static bool resolve(struct finder *f, const struct place *place, const char *name,
                    char path[IMAGE_PATH_BYTES])
{
    static const char boot[] = "boot/";
    const char *bare = name + strspn(name, "/");
    bool below = strncmp(bare, boot, strlen(boot)) == 0;

    return (bare == name && try_path(f, place->tree, place->directory, bare, path)) ||
           try_path(f, place->tree, "/", bare, path) ||
           (place->tree == IMAGE_ROOT && try_path(f, place->tree, "/boot/", bare, path)) ||
           (place->tree == IMAGE_BOOT && below &&
            try_path(f, place->tree, "/", bare + strlen(boot), path));
}

/* Looks at the kernel at `path`; NOT_HERE: it is a boot loader. */
static enum outcome take_kernel(struct finder *f, enum image_tree tree, const char *path,
                                const char *found_by)
{
    struct image *image = f->image;
    struct kernel_file file = {f, image->kernel};
    struct image_kernel_file reader = {read_kernel, &file};
    bool by_itself = strcmp(path, found_by) == 0;

    image->tree = tree;
    snprintf(image->kernel, sizeof(image->kernel), "%s", path);
    snprintf(image->found_by, sizeof(image->found_by), "%s", found_by);
    image_kernel_inspect(&f->room->kernel, &reader, &image->packed);
    if (image->packed.verdict == IMAGE_KERNEL_BOOT_LOADER)
        return NOT_HERE;
    if (image->packed.verdict == IMAGE_KERNEL_GOOD)
        return FOUND;
    return fault(f, "%s%s%s%s is %s: a 64-bit ARM kernel (Image, or in gzip) is needed", path,
                 by_itself ? "" : ", which ", by_itself ? "" : found_by, by_itself ? "" : " names,",
                 image->packed.what);
}

/* ---- config.txt ---- */

/* Reads it and what it includes. */
static enum outcome read_config_txt(struct finder *f, const struct place *place, const char *file,
                                    struct config_txt_boot *boot)
{
    struct config_txt_setting setting;
    struct config_txt c;
    char path[IMAGE_PATH_BYTES];
    char name[CONFIG_TXT_VALUE_BYTES];
    unsigned files_count = 0;

    memset(boot, 0, sizeof(*boot));
    config_txt_begin(&c, &f->board->config_txt, f->room->text[0]);
    while (config_txt_next(&c, &setting)) {
        if (!text_is(setting.key, "include")) {
            config_txt_apply(boot, &setting);
            continue;
        }
        if (c.depth == CONFIG_TXT_DEPTH)
            return fault(f, "%s: files are included more than %d deep", file, CONFIG_TXT_DEPTH - 1);
        if (++files_count > CONFIG_TXT_FILES)
            return fault(f, "%s: more than %d files are included", file, CONFIG_TXT_FILES);
        text_copy(setting.value, name, sizeof(name));
        /* one that is missing is nothing to the firmware */
        if (join(path, name[0] == '/' ? "" : place->directory, "", name) &&
            read_text(f, place->tree, path, f->room->text[c.depth]) == 0)
            config_txt_include(&c, f->room->text[c.depth]);
    }
    if (boot->upstream_kernel && !boot->os_prefix[0])
        snprintf(boot->os_prefix, sizeof(boot->os_prefix), "upstream/");
    return FOUND;
}

/* The path of an "operating system file": os_prefix stands before its name, unless
 * that begins with `/`. */
static bool os_path(const struct place *place, const char *prefix, const char *name,
                    char path[IMAGE_PATH_BYTES])
{
    return name[0] == '/' ? join(path, "", "", name) : join(path, place->directory, prefix, name);
}

static bool os_file(struct finder *f, const struct place *place, const char *prefix,
                    const char *name, char path[IMAGE_PATH_BYTES])
{
    return os_path(place, prefix, name, path) && exists(f, place->tree, path);
}

/* Looks for any device tree whose name begins with a prefix's last part. */
struct tree_search {
    const char *start;
    bool found;
};

static void look_for_tree(void *argument, const char *name)
{
    struct tree_search *s = argument;
    size_t bytes = strlen(name);

    s->found = s->found || (bytes > 4 && strcmp(name + bytes - 4, ".dtb") == 0 &&
                            strncmp(name, s->start, strlen(s->start)) == 0);
}

static bool has_device_tree(struct finder *f, const struct place *place,
                            const struct config_txt_boot *boot)
{
    char path[IMAGE_PATH_BYTES];
    char *slash;
    struct tree_search search = {.found = false};
    char start[CONFIG_TXT_VALUE_BYTES];

    if (boot->device_tree[0])
        return os_file(f, place, boot->os_prefix, boot->device_tree, path);
    if (!os_path(place, boot->os_prefix, "", path))
        return false;
    slash = strrchr(path, '/');
    snprintf(start, sizeof(start), "%s", slash + 1);
    slash[1] = '\0';
    search.start = start;
    f->files->list(f->files->context, place->tree, path, look_for_tree, &search);
    return search.found;
}

/* The first of the default kernels, or the one that is named; false: none is there.
 * A prefix without a kernel or a device tree does not count, and becomes empty. */
static bool find_config_kernel(struct finder *f, const struct place *place,
                               struct config_txt_boot *boot, char path[IMAGE_PATH_BYTES])
{
    const char *names[] = {"kernel_2712.img", "kernel8.img"};
    unsigned from = config_txt_board_sees(&f->board->config_txt, "pi5") ? 0 : 1;
    unsigned count = 2;
    char kernel[CONFIG_TXT_VALUE_BYTES];

    if (boot->kernel[0]) {
        snprintf(kernel, sizeof(kernel), "%s", boot->kernel);
        names[0] = kernel;
        from = 0;
        count = 1;
    }
    if (boot->os_prefix[0] && !has_device_tree(f, place, boot))
        boot->os_prefix[0] = '\0';
    for (;; boot->os_prefix[0] = '\0') {
        for (unsigned i = from; i < count; i++) {
            if (os_file(f, place, boot->os_prefix, names[i], path)) {
                snprintf(boot->kernel, sizeof(boot->kernel), "%s", names[i]);
                return true;
            }
        }
        if (!boot->os_prefix[0])
            return false;
    }
}

/* Words whose value begins with serial0 or serial1: so calls the firmware the ports
 * of its device tree's aliases. */
static void name_serial_ports(struct finder *f, char cmdline[CMDLINE_BYTES])
{
    static const char *const aliases[] = {"=serial0", "=serial1"};
    char out[CMDLINE_BYTES];

    for (unsigned i = 0; i < 2; i++) {
        const char *name = f->board->serial[i];
        const char *from = cmdline;
        size_t used = 0;
        const char *at;

        while (name[0] && (at = strstr(from, aliases[i])) != NULL) {
            char next = at[strlen(aliases[i])];
            bool whole = next == '\0' || next == ',' || next == ' ';
            int bytes = snprintf(out + used, sizeof(out) - used, "%.*s%s", (int)(at + 1 - from),
                                 from, whole ? name : aliases[i] + 1);
            if (bytes < 0 || (size_t)bytes >= sizeof(out) - used)
                return;
            used += (size_t)bytes;
            from = at + strlen(aliases[i]);
        }
        if (used > 0 && used + strlen(from) < sizeof(out)) {
            memcpy(out + used, from, strlen(from) + 1);
            memcpy(cmdline, out, used + strlen(from) + 1);
        }
    }
}

static enum outcome read_cmdline_txt(struct finder *f, const struct place *place,
                                     const struct config_txt_boot *boot)
{
    const char *text = f->room->text[0];
    char path[IMAGE_PATH_BYTES];
    struct text_span line = {"", 0};

    /* one that is missing is an empty one to the firmware */
    if (!os_path(place, boot->os_prefix, boot->cmdline[0] ? boot->cmdline : "cmdline.txt", path) ||
        read_text(f, place->tree, path, f->room->text[0]) != 0)
        return FOUND;
    while (line.bytes == 0 && text_line(&text, &line))
        ;
    if (!text_copy(line, f->image->cmdline, sizeof(f->image->cmdline)))
        return fault(f, "%s is longer than a kernel command line, %d characters", path,
                     CMDLINE_BYTES - 1);
    name_serial_ports(f, f->image->cmdline);
    return FOUND;
}

static enum outcome find_by_config_txt(struct finder *f)
{
    static const struct place places[] = {
        {IMAGE_BOOT, "/"}, {IMAGE_ROOT, "/boot/firmware/"}, {IMAGE_ROOT, "/boot/"}};
    const struct place *place = places;
    struct config_txt_boot boot;
    char file[IMAGE_PATH_BYTES];
    char path[IMAGE_PATH_BYTES];
    bool named;
    enum outcome outcome;

    for (;; place++) {
        if (place == places + PLACES(places))
            return NOT_HERE;
        join(file, place->directory, "", "config.txt");
        if (read_text(f, place->tree, file, f->room->text[0]) == 0)
            break;
    }
    if (read_config_txt(f, place, file, &boot) != FOUND)
        return FAULTY;
    named = boot.kernel[0] != '\0';
    if (!named && boot.says_32bit)
        return fault(f,
                     "%s says arm_64bit=0: a 32-bit kernel cannot be started from this one; "
                     "remove that line if the image has kernel8.img",
                     file);
    if (!find_config_kernel(f, place, &boot, path))
        return named ? fault(f, "%s names the kernel %s, which is not on the image", file,
                             boot.kernel)
                     : NOT_HERE;
    outcome = take_kernel(f, place->tree, path, file);
    if (outcome != FOUND)
        return outcome;
    return read_cmdline_txt(f, place, &boot);
}

/* ---- extlinux.conf and boot loader entries ---- */

static enum outcome take_named(struct finder *f, const struct place *place, const char *file,
                               const char *kernel, const char *cmdline)
{
    char path[IMAGE_PATH_BYTES];
    enum outcome outcome;

    if (!resolve(f, place, kernel, path))
        return fault(f, "%s names the kernel %s, which is not on the image", file, kernel);
    outcome = take_kernel(f, place->tree, path, file);
    if (outcome == NOT_HERE)
        return fault(f, "%s, which %s names, is %s: a 64-bit ARM kernel is needed", path, file,
                     f->image->packed.what);
    if (outcome == FOUND)
        snprintf(f->image->cmdline, sizeof(f->image->cmdline), "%s", cmdline);
    return outcome;
}

static enum outcome find_by_extlinux(struct finder *f)
{
    struct extlinux_label *label = &f->room->label;
    char file[IMAGE_PATH_BYTES];

    for (unsigned i = 0; i < PLACES(everywhere); i++) {
        struct place beside = {everywhere[i].tree, file};
        char directory[IMAGE_PATH_BYTES];

        join(file, everywhere[i].directory, "extlinux/", "extlinux.conf");
        if (read_text(f, everywhere[i].tree, file, f->room->text[0]) != 0)
            continue;
        if (!extlinux_default(f->room->text[0], label))
            return fault(f, "%s has no label", file);
        if (label->too_long)
            return fault(f, "%s: a line of the label %s is too long", file, label->name);
        if (!label->kernel[0])
            return fault(f, "%s: the label %s names no kernel", file, label->name);
        join(directory, everywhere[i].directory, "", "extlinux/");
        beside.directory = directory;
        return take_named(f, &beside, file, label->kernel, label->append);
    }
    return NOT_HERE;
}

struct entry_search {
    struct finder *f;
    const struct place *place;
    char directory[IMAGE_PATH_BYTES];
    char pattern[ENTRY_NAME_BYTES]; /* of the default; empty: none */
    bool found, is_default;         /* entries[0] is the best so far */
};

static void look_at_entry(void *argument, const char *name)
{
    struct entry_search *s = argument;
    struct entry *best = &s->f->room->entries[0];
    struct entry *entry = &s->f->room->entries[1];
    char path[IMAGE_PATH_BYTES];
    bool is_default;

    if (!join(path, s->directory, "", name) ||
        read_text(s->f, s->place->tree, path, s->f->room->text[0]) != 0 ||
        !entry_read(name, s->f->room->text[0], entry))
        return;
    is_default = s->pattern[0] && entry_matches(entry, s->pattern);
    if (s->found && (s->is_default > is_default ||
                     (s->is_default == is_default && entry_order(best, entry) <= 0)))
        return;
    *best = *entry;
    s->found = true;
    s->is_default = is_default;
}

static enum outcome find_by_entries(struct finder *f)
{
    for (unsigned i = 0; i < PLACES(everywhere); i++) {
        const struct place *place = &everywhere[i];
        struct entry_search s = {.f = f, .place = place};
        struct entry *entry = &f->room->entries[0];
        char file[IMAGE_PATH_BYTES];

        join(s.directory, place->directory, "loader/", "entries/");
        join(file, place->directory, "loader/", "loader.conf");
        if (read_text(f, place->tree, file, f->room->text[0]) != 0 ||
            !entry_default(f->room->text[0], s.pattern))
            s.pattern[0] = '\0';
        f->files->list(f->files->context, place->tree, s.directory, look_at_entry, &s);
        if (!s.found)
            continue;
        join(file, s.directory, "", entry->file);
        if (entry->too_long)
            return fault(f, "%s: a line is too long", file);
        return take_named(f, place, file, entry->kernel, entry->options);
    }
    return NOT_HERE;
}

/* ---- kernels that nobody names ---- */

static void count_name(void *argument, const char *name)
{
    if (name[0] != '.')
        (*(unsigned *)argument)++;
}

/* The directory of a version's modules; false: there is none. */
static bool find_modules(struct finder *f, const char *version,
                         char path[sizeof(((struct image *)0)->modules)])
{
    static const char *const directories[] = {"/usr/lib/modules/", "/lib/modules/"};
    unsigned names = 0;

    if (!version[0] || strchr(version, '/'))
        return false;
    for (unsigned i = 0; i < 2; i++) {
        snprintf(path, sizeof(f->image->modules), "%s%s", directories[i], version);
        if (f->files->list(f->files->context, IMAGE_ROOT, path, count_name, &names) == 0)
            return true;
    }
    path[0] = '\0';
    return false;
}

static const char vmlinuz[] = "vmlinuz-";

/* What stands behind "vmlinuz-" in a path; empty: it is not called so. */
static const char *version_of_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;

    return strncmp(name, vmlinuz, strlen(vmlinuz)) == 0 ? name + strlen(vmlinuz) : "";
}

struct kernel_search {
    struct finder *f;
    bool found, has_modules;
    char version[ENTRY_NAME_BYTES]; /* of the newest so far */
};

static void look_at_kernel(void *argument, const char *name)
{
    struct kernel_search *s = argument;
    const char *version = version_of_name(name);
    char modules[sizeof(s->f->image->modules)];
    bool has_modules;

    if (!version[0] || strlen(version) >= sizeof(s->version) || strstr(version, ".dpkg-"))
        return;
    has_modules = find_modules(s->f, version, modules);
    if (s->found &&
        (s->has_modules > has_modules ||
         (s->has_modules == has_modules && image_version_compare_debian(s->version, version) >= 0)))
        return;
    s->found = true;
    s->has_modules = has_modules;
    memcpy(s->version, version, strlen(version) + 1);
}

static enum outcome find_by_name(struct finder *f)
{
    static const struct place places[] = {{IMAGE_ROOT, "/boot/"}, {IMAGE_BOOT, "/"}};

    for (unsigned i = 0; i < PLACES(places); i++) {
        struct kernel_search s = {.f = f};
        char path[IMAGE_PATH_BYTES];
        enum outcome outcome;

        f->files->list(f->files->context, places[i].tree, places[i].directory, look_at_kernel, &s);
        if (!s.found || !join(path, places[i].directory, vmlinuz, s.version))
            continue;
        outcome = take_kernel(f, places[i].tree, path, path);
        return outcome == NOT_HERE ? fault(f, "%s is %s", path, f->image->packed.what) : outcome;
    }
    return NOT_HERE;
}

/* ---- which modules ---- */

struct modules_search {
    unsigned count;
    char version[ENTRY_NAME_BYTES];
};

static void look_at_modules(void *argument, const char *name)
{
    struct modules_search *s = argument;

    if (name[0] == '.' || strlen(name) >= sizeof(s->version))
        return;
    s->count++;
    memcpy(s->version, name, strlen(name) + 1);
}

static void find_version(struct finder *f)
{
    struct image *image = f->image;
    const char *name = version_of_name(image->kernel);
    struct modules_search s = {.count = 0};

    snprintf(image->version, sizeof(image->version), "%s", image->packed.version);
    if (find_modules(f, image->version, image->modules) || image->version[0])
        return;
    f->files->list(f->files->context, IMAGE_ROOT, "/usr/lib/modules", look_at_modules, &s);
    if (s.count == 0)
        f->files->list(f->files->context, IMAGE_ROOT, "/lib/modules", look_at_modules, &s);
    if (find_modules(f, name, image->modules) || s.count != 1)
        snprintf(image->version, sizeof(image->version), "%s", name);
    else if (find_modules(f, s.version, image->modules))
        snprintf(image->version, sizeof(image->version), "%s", s.version);
}

bool image_find(struct image_room *room, const struct image_files *files,
                const struct image_board *board, struct image *image, char why[IMAGE_WHY_BYTES])
{
    static enum outcome (*const sources[])(struct finder *) = {find_by_config_txt, find_by_extlinux,
                                                               find_by_entries, find_by_name};
    struct finder f = {room, files, board, image, why};
    enum outcome outcome = NOT_HERE;

    memset(image, 0, sizeof(*image));
    why[0] = '\0';
    for (unsigned i = 0; i < PLACES(sources) && outcome == NOT_HERE; i++)
        outcome = sources[i](&f);
    if (outcome == NOT_HERE)
        fault(&f, "the image has no kernel: no config.txt with one (kernel8.img), no "
                  "extlinux/extlinux.conf, no loader/entries, no /boot/vmlinuz-*");
    if (outcome == FOUND)
        find_version(&f);
    else
        memset(image, 0, sizeof(*image));
    return outcome == FOUND;
}
