/* SPDX-License-Identifier: BSD-2-Clause */
/* Boot loader entries, extlinux.conf, and the versions that sort kernels. */
#include "boot/image_entry.h"
#include "boot/image_extlinux.h"
#include "boot/image_version.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* ---- versions ---- */

typedef int compare_function(const char *a, const char *b);

static void is_older(compare_function *compare, const char *a, const char *b)
{
    if (compare(a, b) >= 0 || compare(b, a) <= 0)
        fail_msg("%s is not older than %s", a, b);
}

static void is_equal(compare_function *compare, const char *a, const char *b)
{
    if (compare(a, b) != 0 || compare(b, a) != 0)
        fail_msg("%s is not equal to %s", a, b);
}

/* The examples of the Version Format Specification; those with a tilde are as its
 * words and systemd have them ("starts a suffix that always sorts lower"). */
static void versions_sort_as_the_specification_says(void **state)
{
    static const char *const older[][2] = {
        {"bar-123", "foo-123"}, {"123", "123a"}, {"123", "123.a"},  {"123.a", "123.b"},
        {"123.a", "123a"},      {"A", "a"},      {"", "0"},         {"0", "0."},
        {"0", "0.0"},           {"~", "0"},      {"~", ""},         {"1_", "1.2"},
        {"1.3.3", "1_2_3"},     {"1+", "1.2"},   {"1.3.3", "1+2+3"}};
    static const char *const equal[][2] = {
        {"11", "11"}, {"systemd-123", "systemd-123"}, {"1_", "1"}, {"_1", "1"}, {"1+", "1"},
        {"+1", "1"},  {"11\xce\xb1", "11\xce\xb2"},   {"01", "1"}};

    (void)state;
    for (size_t i = 0; i < sizeof(older) / sizeof(older[0]); i++)
        is_older(image_version_compare, older[i][0], older[i][1]);
    for (size_t i = 0; i < sizeof(equal) / sizeof(equal[0]); i++)
        is_equal(image_version_compare, equal[i][0], equal[i][1]);
}

static void versions_of_kernels_sort(void **state)
{
    (void)state;
    is_older(image_version_compare, "6.1.0-9-arm64", "6.1.0-10-arm64");
    is_older(image_version_compare, "6.9.1", "6.12.0");
    is_older(image_version_compare, "6.12~rc1", "6.12");
    is_older(image_version_compare, "6.12", "6.12^post");
    is_older(image_version_compare, "99999999999999999998", "99999999999999999999");
}

static void debian_versions_sort(void **state)
{
    (void)state;
    is_older(image_version_compare_debian, "6.1.0-9-arm64", "6.1.0-10-arm64");
    is_older(image_version_compare_debian, "6.9.1-arm64", "6.12.0-1-arm64");
    is_older(image_version_compare_debian, "6.12.0~rc1", "6.12.0");
    is_older(image_version_compare_debian, "6.12-rc3-arm64", "6.12-1-arm64");
    is_older(image_version_compare_debian, "6.12-rc3-arm64", "6.12-rc10-arm64");
    is_older(image_version_compare_debian, "6.12-rc3-arm64", "6.12.1-arm64");
    is_older(image_version_compare_debian, "6.1.0-arm64", "6.1.0-rt-arm64");
    is_older(image_version_compare_debian, "1.0a", "1.0+");
    is_older(image_version_compare_debian, "1.0", "1.0.1");
    is_equal(image_version_compare_debian, "6.1.0-010-arm64", "6.1.0-10-arm64");
}

/* ---- boot loader entries ---- */

static struct entry a, b;

static int poison(void **state)
{
    (void)state;
    memset(&a, 0xa5, sizeof(a));
    memset(&b, 0xa5, sizeof(b));
    return 0;
}

static void entry_of_the_specification_is_read(void **state)
{
    (void)state;
    assert_true(entry_read("id-6.1.conf",
                           "# comment\ntitle  Debian\nsort-key debian\nmachine-id  1234\n"
                           "version\t6.1.0-9\noptions root=UUID=1 quiet\noptions  ro\n"
                           "linux /id/6.1/linux\ninitrd /id/6.1/initrd\ninitrd second\n"
                           "architecture AA64\n",
                           &a));
    assert_string_equal(a.file, "id-6.1.conf");
    assert_string_equal(a.id, "id-6.1");
    assert_string_equal(a.sort_key, "debian");
    assert_string_equal(a.machine_id, "1234");
    assert_string_equal(a.version, "6.1.0-9");
    assert_string_equal(a.options, "root=UUID=1 quiet ro");
    assert_string_equal(a.kernel, "/id/6.1/linux");
    assert_false(a.bad);
    assert_false(a.too_long);
}

static void entry_for_other_machines_is_none(void **state)
{
    (void)state;
    assert_false(entry_read("a.conf", "linux /k\narchitecture x64\n", &a));
    assert_false(entry_read("a.conf", "efi /shell.efi\n", &a));
    assert_false(entry_read("a.txt", "linux /k\n", &a));
    assert_false(entry_read(".conf", "linux /k\n", &a));
    assert_false(entry_read("a.conf", "", &a));
}

static void variables_of_grub_are_left_out(void **state)
{
    (void)state;
    assert_true(entry_read("a.conf", "linux /k\noptions root=a $tuned_params ro\n", &a));
    assert_string_equal(a.options, "root=a ro");
}

static void options_that_are_too_long_are_told(void **state)
{
    static char text[4096] = "linux /k\noptions ";
    size_t bytes = strlen(text);

    (void)state;
    memset(text + bytes, 'x', CMDLINE_BYTES - 1);
    assert_true(entry_read("a.conf", text, &a));
    assert_false(a.too_long);
    assert_int_equal(strlen(a.options), CMDLINE_BYTES - 1);
    text[strlen(text)] = 'x';
    assert_true(entry_read("a.conf", text, &a));
    assert_true(a.too_long);
    assert_string_equal(a.options, "");
}

static void kernel_that_is_too_long_is_told(void **state)
{
    char text[512] = "linux ";

    (void)state;
    memset(text + 6, 'k', 300);
    assert_true(entry_read("a.conf", text, &a));
    assert_true(a.too_long);
}

static void boot_counters_are_no_part_of_the_name(void **state)
{
    (void)state;
    assert_true(entry_read("a-1+3.conf", "linux /k", &a));
    assert_string_equal(a.id, "a-1");
    assert_false(a.bad);
    assert_true(entry_read("a-1+0-3.conf", "linux /k", &a));
    assert_string_equal(a.id, "a-1");
    assert_true(a.bad);
    assert_true(entry_read("a+b-1.conf", "linux /k", &a));
    assert_string_equal(a.id, "a+b-1");
    assert_false(a.bad);
    assert_true(entry_read("a+1-.conf", "linux /k", &a));
    assert_string_equal(a.id, "a+1-");
}

static void stands_before(const char *a_file, const char *a_text, const char *b_file,
                          const char *b_text)
{
    char text[256];

    assert_true(entry_read(a_file, strcat(strcpy(text, "linux /k\n"), a_text), &a));
    assert_true(entry_read(b_file, strcat(strcpy(text, "linux /k\n"), b_text), &b));
    if (entry_order(&a, &b) >= 0 || entry_order(&b, &a) <= 0)
        fail_msg("%s does not stand before %s", a_file, b_file);
}

static void entries_sort_as_the_specification_says(void **state)
{
    (void)state;
    stands_before("a-10.conf", "", "a-9.conf", "");
    stands_before("a.conf", "sort-key debian\nversion 6.12", "b.conf",
                  "sort-key debian\nversion 6.9");
    stands_before("a.conf", "sort-key arch\nversion 1", "b.conf", "sort-key debian\nversion 2");
    stands_before("a.conf", "sort-key d\nmachine-id 1\nversion 1", "b.conf",
                  "sort-key d\nmachine-id 2\nversion 2");
    stands_before("a.conf", "sort-key z", "z.conf", "version 99");
    stands_before("b.conf", "sort-key d\nversion 1", "a.conf", "sort-key d\nversion 1");
    stands_before("a-9.conf", "", "a-10+0-1.conf", "sort-key a");
    stands_before("a-10+1-1.conf", "", "a-9.conf", "");
}

static void default_of_loader_conf_is_a_pattern(void **state)
{
    char pattern[ENTRY_NAME_BYTES];

    (void)state;
    assert_true(entry_default("# x\ntimeout 3\ndefault  debian-*\n", pattern));
    assert_string_equal(pattern, "debian-*");
    assert_false(entry_default("timeout 3\n", pattern));
    assert_false(entry_default("default @saved\n", pattern));
    assert_true(entry_read("debian-6.1+2-1.conf", "linux /k", &a));
    assert_true(entry_matches(&a, "debian-*"));
    assert_true(entry_matches(&a, "debian-6.1"));
    assert_true(entry_matches(&a, "debian-6.1.conf"));
    assert_true(entry_matches(&a, "debian-6.1+2-1.conf"));
    assert_false(entry_matches(&a, "debian"));
}

/* ---- extlinux.conf ---- */

static struct extlinux_label label;

static const char menu[] = "# by hand\nTIMEOUT 50\nmenu title Boot\n\n"
                           "label old\n\tkernel /vmlinuz.old\n\tappend root=/dev/old\n"
                           "label new\n\tmenu label Debian\n\tlinux ../vmlinuz#conf-1\n"
                           "\tinitrd ../initrd.img\n\tfdtdir /dtbs\n"
                           "\tAPPEND root=PARTUUID=1-02 console=ttyS0,115200 quiet\n"
                           "label last\n\tmenu default\n\tkernel /last\n";

static void extlinux(const char *start)
{
    char text[1024];

    memset(&label, 0xa5, sizeof(label));
    strcat(strcpy(text, start), menu);
    assert_true(extlinux_default(text, &label));
}

static void default_label_is_read(void **state)
{
    (void)state;
    extlinux("default new\n");
    assert_string_equal(label.name, "new");
    assert_string_equal(label.kernel, "../vmlinuz");
    assert_string_equal(label.append, "root=PARTUUID=1-02 console=ttyS0,115200 quiet");
    assert_false(label.too_long);
}

static void last_default_counts(void **state)
{
    (void)state;
    extlinux("default new\nONTIMEOUT old\n");
    assert_string_equal(label.kernel, "/vmlinuz.old");
}

static void menu_default_is_the_default_without_another(void **state)
{
    (void)state;
    extlinux("");
    assert_string_equal(label.name, "last");
}

static void unknown_default_means_the_first(void **state)
{
    (void)state;
    extlinux("default nobody\n");
    assert_string_equal(label.name, "old");
    assert_string_equal(label.append, "root=/dev/old");
}

static void text_without_label_has_none(void **state)
{
    (void)state;
    assert_false(extlinux_default("", &label));
    assert_false(extlinux_default("default x\nkernel /k\n", &label));
}

static void append_that_is_too_long_is_told(void **state)
{
    static char text[4096] = "label a\nkernel /k\nappend ";
    size_t bytes = strlen(text);

    (void)state;
    memset(text + bytes, 'x', CMDLINE_BYTES - 1);
    assert_true(extlinux_default(text, &label));
    assert_false(label.too_long);
    text[strlen(text)] = 'x';
    assert_true(extlinux_default(text, &label));
    assert_true(label.too_long);
    assert_string_equal(label.append, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_sort_as_the_specification_says),
        cmocka_unit_test(versions_of_kernels_sort),
        cmocka_unit_test(debian_versions_sort),
        cmocka_unit_test_setup(entry_of_the_specification_is_read, poison),
        cmocka_unit_test_setup(entry_for_other_machines_is_none, poison),
        cmocka_unit_test_setup(variables_of_grub_are_left_out, poison),
        cmocka_unit_test_setup(options_that_are_too_long_are_told, poison),
        cmocka_unit_test_setup(kernel_that_is_too_long_is_told, poison),
        cmocka_unit_test_setup(boot_counters_are_no_part_of_the_name, poison),
        cmocka_unit_test_setup(entries_sort_as_the_specification_says, poison),
        cmocka_unit_test_setup(default_of_loader_conf_is_a_pattern, poison),
        cmocka_unit_test(default_label_is_read),
        cmocka_unit_test(last_default_counts),
        cmocka_unit_test(menu_default_is_the_default_without_another),
        cmocka_unit_test(unknown_default_means_the_first),
        cmocka_unit_test(text_without_label_has_none),
        cmocka_unit_test(append_that_is_too_long_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
