/* SPDX-License-Identifier: BSD-2-Clause */
#include "image_kernel.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define HEAD_BYTES 1024
/* A kernel has said its version by then; a file of holes, or what unpacks to more and
 * more, is not read for hours. */
#define SCAN_BYTES (UINT64_C(1) << 28)

/* ---- the first bytes ---- */

static uint32_t le32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static bool has(const uint8_t *head, size_t at, const char *magic, size_t bytes)
{
    return memcmp(head + at, magic, bytes) == 0;
}

static bool is_arm64_image(const uint8_t *head)
{
    return has(head, 56, "ARM\x64", 4);
}

static bool is_zboot(const uint8_t *head)
{
    return has(head, 0, "MZ\0\0zimg", 8);
}

static bool is_gzip(const uint8_t *head)
{
    return has(head, 0, "\x1f\x8b\x08", 3);
}

/* The machine of an EFI program; 0: it is none. */
static unsigned pe_machine(const uint8_t *head)
{
    uint32_t at = le32(head + 0x3c);

    if (!has(head, 0, "MZ", 2) || at > HEAD_BYTES - 6 || !has(head, at, "PE\0\0", 4))
        return 0;
    return (unsigned)head[at + 4] | (unsigned)head[at + 5] << 8;
}

/* What else it is; NULL: unknown. */
static const char *name_other(const uint8_t *head)
{
    static const struct {
        size_t at;
        const char *magic;
        size_t bytes;
        const char *name;
    } others[] = {
        {0x202, "HdrS", 4, "an x86 kernel (bzImage)"},
        {36, "\x18\x28\x6f\x01", 4, "a 32-bit ARM kernel (zImage)"},
        {56, "RSC\x05", 4, "a RISC-V kernel"},
        {0,
         "\x7f"
         "ELF",
         4, "an ELF file (vmlinux?)"},
        {0, "\x27\x05\x19\x56", 4, "a U-Boot uImage"},
        {0, "\xd0\x0d\xfe\xed", 4, "a FIT image or device tree"},
        {0,
         "\xfd"
         "7zXZ",
         5, "packed with xz"},
        {0, "\x28\xb5\x2f\xfd", 4, "packed with zstd"},
        {0, "\x02\x21\x4c\x18", 4, "packed with lz4"},
        {0, "BZh", 3, "packed with bzip2"},
        {0, "\x5d\0\0", 3, "packed with lzma"},
        {0, "070701", 6, "a cpio archive (an initramfs?)"},
    };

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (has(head, others[i].at, others[i].magic, others[i].bytes))
            return others[i].name;
    switch (pe_machine(head)) {
    case 0:
        return NULL;
    case 0x8664:
    case 0x14c:
        return "an EFI program for x86";
    default:
        return "an EFI program, not a kernel";
    }
}

/* ---- what it says of itself ---- */

struct scan {
    uint64_t bytes;             /* looked at */
    size_t linux_at, loader_at; /* matched so far */
    size_t version_bytes;
    bool in_version, found, loader;
    uint8_t head[HEAD_BYTES]; /* of what was unpacked */
    size_t head_bytes;
    char version[IMAGE_KERNEL_VERSION_BYTES + 1]; /* with the blank behind it */
};

/* The first character of `text` must not come again in it. */
static bool match(const char *text, size_t *at, char c)
{
    *at = c == text[*at] ? *at + 1 : c == text[0];
    if (text[*at] != '\0')
        return false;
    *at = 0;
    return true;
}

/* "Linux version 6.1.0-49-arm64 (debian-..." : ends with a blank and `(`. */
static void scan_version(struct scan *s, char c)
{
    bool dotted = memchr(s->version, '.', s->version_bytes) != NULL;

    if (s->version_bytes > 0 && s->version[s->version_bytes - 1] == ' ') {
        s->found = c == '(' && dotted;
        s->version[s->version_bytes - 1] = '\0';
        s->in_version = false;
    } else if (c <= ' ' && c != ' ') {
        s->in_version = false;
    } else if (s->version_bytes + 1 == sizeof(s->version) || c > '~' ||
               (s->version_bytes == 0 && (c < '0' || c > '9'))) {
        s->in_version = false;
    } else {
        s->version[s->version_bytes++] = c;
    }
}

static bool scan_data(void *context, const uint8_t *data, size_t bytes)
{
    struct scan *s = context;
    size_t head = bytes < HEAD_BYTES - s->head_bytes ? bytes : HEAD_BYTES - s->head_bytes;

    memcpy(s->head + s->head_bytes, data, head);
    s->head_bytes += head;
    s->bytes += bytes;
    for (size_t i = 0; i < bytes && !s->found; i++) {
        char c = (char)data[i];
        if (s->in_version)
            scan_version(s, c);
        if (match("Linux version ", &s->linux_at, c)) {
            memset(s->version, 0, sizeof(s->version));
            s->version_bytes = 0;
            s->in_version = true;
        }
        s->loader = match("U-Boot 20", &s->loader_at, c) || s->loader;
    }
    return !s->found && s->bytes < SCAN_BYTES;
}

/* ---- reading ---- */

/* What is between `offset` and `end` of the file. */
struct stretch {
    const struct image_kernel_file *file;
    uint64_t offset, end;
    struct scan *scan;
};

static ssize_t read_stretch(void *context, uint8_t *buffer, size_t size)
{
    struct stretch *s = context;
    uint64_t left = s->end - s->offset;
    ssize_t got = left > 0 ? s->file->read(s->file->context, s->offset, buffer,
                                           size < left ? size : (size_t)left)
                           : 0;

    if (got > 0)
        s->offset += (uint64_t)got;
    return got;
}

static bool scan_unpacked(void *context, const uint8_t *data, size_t bytes)
{
    return scan_data(((struct stretch *)context)->scan, data, bytes);
}

static int scan_plain(struct image_kernel_room *room, struct stretch *stretch)
{
    ssize_t got;

    do {
        got = read_stretch(stretch, room->block, sizeof(room->block));
    } while (got > 0 && scan_data(stretch->scan, room->block, (size_t)got));
    return got < 0 ? (int)got : 0;
}

static int scan_gzip(struct image_kernel_room *room, struct stretch *stretch)
{
    int result;

    room->inflate.source = read_stretch;
    room->inflate.sink = scan_unpacked;
    room->inflate.context = stretch;
    result = inflate_gzip(&room->inflate);
    return result == -ECANCELED ? 0 : result;
}

/* ---- verdicts ---- */

__attribute__((format(printf, 3, 4))) static void
refuse(struct image_kernel *kernel, enum image_kernel_verdict verdict, const char *format, ...)
{
    va_list args;

    kernel->verdict = verdict;
    va_start(args, format);
    vsnprintf(kernel->what, sizeof(kernel->what), format, args);
    va_end(args);
}

static void read_zboot(const uint8_t *head, struct image_kernel *kernel)
{
    kernel->offset = le32(head + 8);
    kernel->bytes = le32(head + 12);
    if (pe_machine(head) != 0xaa64)
        refuse(kernel, IMAGE_KERNEL_OTHER, "an EFI kernel for another machine than arm64");
    else if (has(head, 24, "gzip", 5))
        kernel->packing = IMAGE_KERNEL_GZIP;
    else if (has(head, 24, "zstd", 4))
        kernel->packing = IMAGE_KERNEL_ZSTD;
    else
        refuse(kernel, IMAGE_KERNEL_OTHER, "an EFI kernel packed with %.8s",
               (const char *)head + 24);
}

static void judge(struct image_kernel *kernel, const struct scan *scan, int result)
{
    const char *packed = kernel->packing == IMAGE_KERNEL_GZIP ? " in gzip" : "";
    const char *other = name_other(scan->head);

    if (result == -EBADMSG || result == -ENODATA)
        refuse(kernel, IMAGE_KERNEL_OTHER, "a damaged gzip file%s",
               result == -ENODATA ? ", cut off" : "");
    else if (result < 0)
        refuse(kernel, IMAGE_KERNEL_UNREADABLE, "not readable: %s", strerror(-result));
    else if (scan->loader && !scan->found)
        refuse(kernel, IMAGE_KERNEL_BOOT_LOADER, "the boot loader U-Boot%s", packed);
    else if (!is_arm64_image(scan->head))
        refuse(kernel, IMAGE_KERNEL_OTHER, "%s%s", other ? other : "no kernel that is known",
               packed);
    else if (scan->found)
        memcpy(kernel->version, scan->version, sizeof(kernel->version));
}

void image_kernel_inspect(struct image_kernel_room *room, const struct image_kernel_file *file,
                          struct image_kernel *kernel)
{
    struct scan scan = {0};
    struct stretch stretch = {.file = file, .end = UINT64_MAX, .scan = &scan};
    uint8_t head[HEAD_BYTES] = {0};
    ssize_t got = file->read(file->context, 0, head, sizeof(head));

    memset(kernel, 0, sizeof(*kernel));
    if (got < 0) {
        refuse(kernel, IMAGE_KERNEL_UNREADABLE, "not readable: %s", strerror(-(int)got));
        return;
    }
    if (is_zboot(head))
        read_zboot(head, kernel);
    else if (is_gzip(head))
        kernel->packing = IMAGE_KERNEL_GZIP;
    if (kernel->verdict != IMAGE_KERNEL_GOOD || kernel->packing == IMAGE_KERNEL_ZSTD)
        return;
    stretch.offset = kernel->offset;
    if (kernel->bytes > 0)
        stretch.end = kernel->offset + kernel->bytes;
    judge(kernel, &scan,
          kernel->packing == IMAGE_KERNEL_GZIP ? scan_gzip(room, &stretch)
                                               : scan_plain(room, &stretch));
}
