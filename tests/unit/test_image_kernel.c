/* SPDX-License-Identifier: BSD-2-Clause */
/* What a kernel's file tells of itself, and the unpacking of gzip that it takes;
 * gzip(1) makes what is unpacked. */
#include "boot/image_kernel.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define DATA_BYTES (1u << 18)

static struct image_kernel_room room;
static struct image_kernel kernel;
static uint8_t data[DATA_BYTES];
static uint8_t packed[2 * DATA_BYTES];
static uint8_t unpacked[DATA_BYTES];
static size_t unpacked_bytes;

/* ---- gzip ---- */

/* Noise: the same at every run. */
static unsigned noise(void)
{
    static uint32_t state = 1;

    state = state * 1664525u + 1013904223u;
    return state >> 16;
}

/* `bytes` of `from` as gzip(1) packs them, in `packed`. */
static size_t gzip(const char *options, const uint8_t *from, size_t bytes)
{
    char name[] = "/tmp/test_image_kernel.XXXXXX";
    char command[128];
    int fd = mkstemp(name);
    FILE *pipe;
    size_t got;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, from, bytes), (ssize_t)bytes);
    close(fd);
    snprintf(command, sizeof(command), "gzip -c %s %s", options, name);
    pipe = popen(command, "re");
    assert_non_null(pipe);
    got = fread(packed, 1, sizeof(packed), pipe);
    assert_int_equal(pclose(pipe), 0);
    unlink(name);
    return got;
}

struct memory {
    const uint8_t *data;
    size_t bytes, at, piece;
    size_t enough; /* stop when so much is unpacked; 0: never */
    int error;     /* at the end */
};

static ssize_t source(void *context, uint8_t *buffer, size_t size)
{
    struct memory *m = context;
    size_t bytes = m->bytes - m->at < size ? m->bytes - m->at : size;

    if (m->piece && bytes > m->piece)
        bytes = m->piece;
    if (bytes == 0)
        return m->error;
    memcpy(buffer, m->data + m->at, bytes);
    m->at += bytes;
    return (ssize_t)bytes;
}

static bool sink(void *context, const uint8_t *part, size_t bytes)
{
    struct memory *m = context;

    assert_true(unpacked_bytes + bytes <= sizeof(unpacked));
    memcpy(unpacked + unpacked_bytes, part, bytes);
    unpacked_bytes += bytes;
    return m->enough == 0 || unpacked_bytes < m->enough;
}

static int unpack(struct memory *m)
{
    unpacked_bytes = 0;
    memset(&room, 0xa5, sizeof(room));
    memset(unpacked, 0xa5, sizeof(unpacked));
    room.inflate.source = source;
    room.inflate.sink = sink;
    room.inflate.context = m;
    return inflate_gzip(&room.inflate);
}

static void comes_back(const char *options, size_t bytes, size_t piece)
{
    struct memory m = {.data = packed, .piece = piece};

    m.bytes = gzip(options, data, bytes);
    assert_int_equal(unpack(&m), 0);
    assert_int_equal(unpacked_bytes, bytes);
    assert_memory_equal(unpacked, data, bytes);
}

static void fill_text(void)
{
    static const char *const words[] = {"kernel ", "module\n", "of a",
                                        " the ",   "image",    "\0\0\0\0"};

    for (size_t at = 0; at < sizeof(data);) {
        const char *word = words[noise() % 6];
        for (size_t i = 0; i < 4 && at < sizeof(data); i++)
            data[at++] = (uint8_t)word[i];
        if (noise() % 16 == 0 && at < sizeof(data))
            data[at++] = (uint8_t)noise();
    }
}

static void text_comes_back(void **state)
{
    (void)state;
    fill_text();
    comes_back("-1", sizeof(data), 0);
    comes_back("-6", sizeof(data), 0);
    comes_back("-9", sizeof(data), 1);
    comes_back("-9 -n", 100, 0);
}

static void noise_comes_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)noise();
    comes_back("-6", sizeof(data), 0);
}

/* Repetitions at every distance up to the window's size, and a byte repeated. */
static void repetitions_come_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = i < 33000 ? (uint8_t)noise() : data[i - 32768 + (i / 3000) % 64];
    comes_back("-9", sizeof(data), 0);
    memset(data, 'a', sizeof(data));
    comes_back("-6", sizeof(data), 0);
}

static void one_byte_and_none_come_back(void **state)
{
    (void)state;
    data[0] = 'x';
    comes_back("", 1, 0);
    comes_back("", 0, 0);
}

/* RFC 1952, 2.3: all optional fields, then a stored block. */
static void optional_fields_are_skipped(void **state)
{
    static const uint8_t file[] = "\x1f\x8b\x08\x1e\0\0\0\0\0\0" /* FHCRC FEXTRA FNAME FCOMMENT */
                                  "\x02\0ab"
                                  "name\0"
                                  "comment\0"
                                  "\1\2"
                                  "\x01\x03\x00\xfc\xff"
                                  "abc";
    struct memory m = {.data = file, .bytes = sizeof(file) - 1};

    (void)state;
    assert_int_equal(unpack(&m), 0);
    assert_int_equal(unpacked_bytes, 3);
    assert_memory_equal(unpacked, "abc", 3);
}

static void what_is_cut_off_ends_early(void **state)
{
    struct memory m = {.data = packed};
    size_t bytes;

    (void)state;
    fill_text();
    bytes = gzip("-6", data, 60000);
    for (m.bytes = 0; m.bytes < bytes - 8; m.bytes += 97) {
        m.at = 0;
        assert_int_equal(unpack(&m), -ENODATA);
        assert_memory_equal(unpacked, data, unpacked_bytes);
    }
}

static void fault_of_the_source_is_told(void **state)
{
    struct memory m = {.data = packed, .bytes = 100, .error = -EIO};

    (void)state;
    fill_text();
    gzip("-6", data, 60000);
    assert_int_equal(unpack(&m), -EIO);
}

static void sink_can_stop(void **state)
{
    struct memory m = {.data = packed, .enough = 1};

    (void)state;
    fill_text();
    m.bytes = gzip("-6", data, sizeof(data));
    assert_int_equal(unpack(&m), -ECANCELED);
    assert_int_equal(unpacked_bytes, INFLATE_WINDOW_BYTES);
}

static void damage_is_told(const char *bytes, size_t count)
{
    static const char header[] = "\x1f\x8b\x08\0\0\0\0\0\0\0";
    struct memory m = {.data = packed, .bytes = 10 + count};

    memcpy(packed, header, 10);
    memcpy(packed + 10, bytes, count);
    memset(packed + 10 + count, 0, 64);
    m.bytes += 64;
    assert_int_equal(unpack(&m), -EBADMSG);
}

static void damage_is_found(void **state)
{
    struct memory m = {.data = (const uint8_t *)"\x1f\x8b\x07\0\0\0\0\0\0\0\0", .bytes = 11};

    (void)state;
    assert_int_equal(unpack(&m), -EBADMSG);
    damage_is_told("\x07", 1);                     /* block type 3 */
    damage_is_told("\x01\x03\x00\xff\xff", 5);     /* stored: length and complement */
    damage_is_told("\x4b\x04\x42\x00", 4);         /* distance before the beginning */
    damage_is_told("\xed\xfd\xff\xff\xff\xff", 6); /* more codes than there is room for */
}

/* ---- kernels ---- */

struct file {
    const uint8_t *data;
    size_t bytes;
    int error;
};

static ssize_t read_file(void *context, uint64_t offset, void *buffer, size_t size)
{
    const struct file *f = context;
    size_t left = offset < f->bytes ? f->bytes - (size_t)offset : 0;

    if (f->error)
        return f->error;
    if (left > size)
        left = size;
    if (left > 0)
        memcpy(buffer, f->data + offset, left);
    return (ssize_t)left;
}

static void inspect(const uint8_t *bytes, size_t count)
{
    struct file f = {bytes, count, 0};
    struct image_kernel_file file = {read_file, &f};

    memset(&room, 0xa5, sizeof(room));
    memset(&kernel, 0xa5, sizeof(kernel));
    image_kernel_inspect(&room, &file, &kernel);
}

static const char banner[] = "Linux version 6.1.0-49-arm64 (debian-kernel@lists.debian.org) (gcc)";

/* An arm64 Image in `data` that says `says` at `at`. */
static void make_image(const char *says, size_t at)
{
    memset(data, 0x5a, sizeof(data));
    memcpy(data + 56, "ARM\x64", 4);
    strcpy((char *)data + at, says);
}

static void image_says_its_version(void **state)
{
    (void)state;
    make_image(banner, 150000);
    inspect(data, sizeof(data));
    assert_int_equal(kernel.verdict, IMAGE_KERNEL_GOOD);
    assert_int_equal(kernel.packing, IMAGE_KERNEL_PLAIN);
    assert_int_equal(kernel.bytes, 0);
    assert_string_equal(kernel.version, "6.1.0-49-arm64");
    assert_string_equal(kernel.what, "");
}

static void version_is_found_wherever_it_stands(void **state)
{
    (void)state;
    for (size_t at = 8192 - 40; at < 8192; at++) {
        make_image(banner, at);
        inspect(data, 65536);
        assert_string_equal(kernel.version, "6.1.0-49-arm64");
    }
}

static void image_in_gzip_says_its_version(void **state)
{
    size_t bytes;

    (void)state;
    make_image(banner, 150000);
    bytes = gzip("-6", data, sizeof(data));
    inspect(packed, bytes);
    assert_int_equal(kernel.verdict, IMAGE_KERNEL_GOOD);
    assert_int_equal(kernel.packing, IMAGE_KERNEL_GZIP);
    assert_int_equal(kernel.offset, 0);
    assert_string_equal(kernel.version, "6.1.0-49-arm64");
}

static void what_only_looks_like_a_version_is_none(void **state)
{
    static const char *const texts[] = {"Linux version %s (%s",         "Linux version 6 (x",
                                        "Linux version 6.1.0-49-arm64", "Linux version 6.1\n(x",
                                        "Linux version 6.1  (x",        "Linux version  6.1 (x",
                                        "Linux version 6.1\xc3\xa4 (x", "linux version 6.1 (x"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        make_image(texts[i], 4096);
        strcpy((char *)data + 8192, banner);
        inspect(data, 65536);
        assert_string_equal(kernel.version, "6.1.0-49-arm64");
        make_image(texts[i], 4096);
        inspect(data, 65536);
        assert_int_equal(kernel.verdict, IMAGE_KERNEL_GOOD);
        assert_string_equal(kernel.version, "");
    }
}

static void longest_version_is_whole(void **state)
{
    char text[128] = "Linux version 6.1-";

    (void)state;
    memset(text + 18, 'v', 60);
    strcat(text, " (x");
    make_image(text, 4096);
    inspect(data, 65536);
    assert_int_equal(strlen(kernel.version), 64);
    memset(text + 18, 'v', 61);
    strcpy(text + 79, " (x");
    make_image(text, 4096);
    inspect(data, 65536);
    assert_string_equal(kernel.version, "");
}

static void is_other(const char *what)
{
    inspect(data, 65536);
    assert_int_equal(kernel.verdict, IMAGE_KERNEL_OTHER);
    assert_string_equal(kernel.what, what);
}

static void put(size_t at, const char *bytes, size_t count)
{
    memset(data, 0x5a, sizeof(data));
    memcpy(data + at, bytes, count);
}

static void kernels_of_other_machines_are_named(void **state)
{
    size_t bytes;

    (void)state;
    put(0x202, "HdrS", 4);
    is_other("an x86 kernel (bzImage)");
    memcpy(data, "MZ", 2); /* as a bzImage with an EFI stub begins */
    is_other("an x86 kernel (bzImage)");
    put(36, "\x18\x28\x6f\x01", 4);
    is_other("a 32-bit ARM kernel (zImage)");
    put(0,
        "\x7f"
        "ELF",
        4);
    is_other("an ELF file (vmlinux?)");
    put(0, "\x28\xb5\x2f\xfd", 4);
    is_other("packed with zstd");
    put(0, "plain text", 10);
    is_other("no kernel that is known");

    put(0x202, "HdrS", 4);
    bytes = gzip("-6", data, 65536);
    inspect(packed, bytes);
    assert_int_equal(kernel.verdict, IMAGE_KERNEL_OTHER);
    assert_string_equal(kernel.what, "an x86 kernel (bzImage) in gzip");
}

static void boot_loader_is_named(void **state)
{
    (void)state;
    make_image("U-Boot 2025.01+dfsg-3 (Apr 2025)", 4096);
    inspect(data, 65536);
    assert_int_equal(kernel.verdict, IMAGE_KERNEL_BOOT_LOADER);
    assert_string_equal(kernel.what, "the boot loader U-Boot");
    /* a kernel may speak of it */
    strcpy((char *)data + 8192, banner);
    inspect(data, 65536);
    assert_int_equal(kernel.verdict, IMAGE_KERNEL_GOOD);
}

/* An EFI program around a packed kernel, in `data`. */
static size_t make_zboot(const char *packing, const void *payload, size_t bytes, unsigned machine)
{
    const uint32_t offset = 0x1000, size = (uint32_t)bytes, pe = 0x40;

    memset(data, 0, sizeof(data));
    memcpy(data, "MZ\0\0zimg", 8);
    memcpy(data + 8, &offset, 4);
    memcpy(data + 12, &size, 4);
    strcpy((char *)data + 24, packing);
    memcpy(data + 0x3c, &pe, 4);
    memcpy(data + pe, "PE\0\0", 4);
    data[pe + 4] = (uint8_t)machine;
    data[pe + 5] = (uint8_t)(machine >> 8);
    memcpy(data + offset, payload, bytes);
    return offset + bytes;
}

static void efi_kernel_is_unpacked(void **state)
{
    static uint8_t payload[DATA_BYTES / 2];
    size_t bytes;

    (void)state;
    make_image(banner, 150000);
    bytes = gzip("-9", data, sizeof(data));
    assert_true(bytes <= sizeof(payload));
    memcpy(payload, packed, bytes);
    inspect(data, make_zboot("gzip", payload, bytes, 0xaa64));
    assert_int_equal(kernel.verdict, IMAGE_KERNEL_GOOD);
    assert_int_equal(kernel.packing, IMAGE_KERNEL_GZIP);
    assert_int_equal(kernel.offset, 0x1000);
    assert_int_equal(kernel.bytes, bytes);
    assert_string_equal(kernel.version, "6.1.0-49-arm64");
}

static void efi_kernel_in_zstd_does_not_say_its_version(void **state)
{
    (void)state;
    inspect(data, make_zboot("zstd22", "x", 1, 0xaa64));
    assert_int_equal(kernel.verdict, IMAGE_KERNEL_GOOD);
    assert_int_equal(kernel.packing, IMAGE_KERNEL_ZSTD);
    assert_string_equal(kernel.version, "");
}

static void other_efi_programs_are_named(void **state)
{
    (void)state;
    inspect(data, make_zboot("gzip", "x", 1, 0x8664));
    assert_string_equal(kernel.what, "an EFI kernel for another machine than arm64");
    inspect(data, make_zboot("xzkern", "x", 1, 0xaa64));
    assert_string_equal(kernel.what, "an EFI kernel packed with xzkern");
    make_zboot("", "x", 1, 0x8664);
    memset(data + 4, 0, 4);
    is_other("an EFI program for x86");
    make_zboot("", "x", 1, 0xaa64);
    memset(data + 4, 0, 4);
    is_other("an EFI program, not a kernel");
}

/* An Image of zeros that has no end. */
static ssize_t read_endless(void *context, uint64_t offset, void *buffer, size_t size)
{
    (void)context;
    memset(buffer, 0, size);
    if (offset == 0)
        memcpy((char *)buffer + 56, "ARM\x64", 4);
    return (ssize_t)size;
}

static void endless_file_is_not_read_to_its_end(void **state)
{
    struct image_kernel_file file = {read_endless, NULL};

    (void)state;
    memset(&kernel, 0xa5, sizeof(kernel));
    image_kernel_inspect(&room, &file, &kernel);
    assert_int_equal(kernel.verdict, IMAGE_KERNEL_GOOD);
    assert_string_equal(kernel.version, "");
}

static void damaged_and_short_files_are_told(void **state)
{
    size_t bytes;

    (void)state;
    make_image(banner, 150000);
    bytes = gzip("-6", data, sizeof(data));
    inspect(packed, bytes / 8);
    assert_int_equal(kernel.verdict, IMAGE_KERNEL_OTHER);
    assert_string_equal(kernel.what, "a damaged gzip file, cut off");
    memset(packed + 20, 0xff, 100);
    inspect(packed, bytes);
    assert_string_equal(kernel.what, "a damaged gzip file");
    inspect(data, 0);
    assert_int_equal(kernel.verdict, IMAGE_KERNEL_OTHER);
}

static void unreadable_file_is_told(void **state)
{
    struct file f = {data, sizeof(data), -EIO};
    struct image_kernel_file file = {read_file, &f};

    (void)state;
    image_kernel_inspect(&room, &file, &kernel);
    assert_int_equal(kernel.verdict, IMAGE_KERNEL_UNREADABLE);
    assert_string_equal(kernel.what, "not readable: Input/output error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_comes_back),
        cmocka_unit_test(noise_comes_back),
        cmocka_unit_test(repetitions_come_back),
        cmocka_unit_test(one_byte_and_none_come_back),
        cmocka_unit_test(optional_fields_are_skipped),
        cmocka_unit_test(what_is_cut_off_ends_early),
        cmocka_unit_test(fault_of_the_source_is_told),
        cmocka_unit_test(sink_can_stop),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(image_says_its_version),
        cmocka_unit_test(version_is_found_wherever_it_stands),
        cmocka_unit_test(image_in_gzip_says_its_version),
        cmocka_unit_test(what_only_looks_like_a_version_is_none),
        cmocka_unit_test(longest_version_is_whole),
        cmocka_unit_test(kernels_of_other_machines_are_named),
        cmocka_unit_test(boot_loader_is_named),
        cmocka_unit_test(efi_kernel_is_unpacked),
        cmocka_unit_test(efi_kernel_in_zstd_does_not_say_its_version),
        cmocka_unit_test(other_efi_programs_are_named),
        cmocka_unit_test(endless_file_is_not_read_to_its_end),
        cmocka_unit_test(damaged_and_short_files_are_told),
        cmocka_unit_test(unreadable_file_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
