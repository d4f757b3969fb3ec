/* SPDX-License-Identifier: BSD-2-Clause */
/* A Raspberry Pi's config.txt as its firmware reads it. */
#include "boot/image_config_txt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct config_txt_board board;
static struct config_txt_boot boot;

static int poison(void **state)
{
    (void)state;
    memset(&board, 0, sizeof(board));
    strcpy(board.model, "Raspberry Pi 4 Model B Rev 1.1");
    board.revision = 0xc03111;
    board.serial = 0x10000000abcdef01;
    board.boot_partition = 2;
    return 0;
}

static void read_text(const char *text)
{
    struct config_txt c;
    struct config_txt_setting setting;

    memset(&c, 0xa5, sizeof(c));
    memset(&boot, 0, sizeof(boot));
    config_txt_begin(&c, &board, text);
    while (config_txt_next(&c, &setting))
        config_txt_apply(&boot, &setting);
}

/* `sections` and `kernel=yes`: does the kernel apply? */
static bool section_applies(const char *sections)
{
    char text[256] = "";

    strcat(strcat(text, sections), "\nkernel=yes\n");
    read_text(text);
    return boot.kernel[0] != '\0';
}

static void on(const char *model)
{
    strcpy(board.model, model);
}

static void settings_of_the_field_are_read(void **state)
{
    (void)state;
    read_text("# comment\narm_64bit=1\r\n  kernel=vmlinuz \r\ncmdline=c.txt\n"
              "initramfs a.img,b.img followkernel\nos_prefix=new/\nauto_initramfs=1\n"
              "device_tree=my.dtb\ndtoverlay=vc4-kms-v3d\n");
    assert_string_equal(boot.kernel, "vmlinuz");
    assert_string_equal(boot.cmdline, "c.txt");
    assert_string_equal(boot.os_prefix, "new/");
    assert_string_equal(boot.device_tree, "my.dtb");
    assert_false(boot.says_32bit);
}

static void last_of_equal_keys_counts(void **state)
{
    (void)state;
    read_text("kernel=a\nkernel=b\nupstream_kernel=1\nupstream_kernel=0\narm_64bit=0");
    assert_string_equal(boot.kernel, "b");
    assert_false(boot.upstream_kernel);
    assert_true(boot.says_32bit);
}

static void blank_in_place_of_the_equals_sign_is_read(void **state)
{
    (void)state;
    read_text("[PI4]\nkernel kernel-6.12-piCore.img\n[ALL]\ncmdline c.txt");
    assert_string_equal(boot.kernel, "kernel-6.12-piCore.img");
    assert_string_equal(boot.cmdline, "c.txt");
}

static void blank_before_the_equals_sign_makes_it_no_setting(void **state)
{
    (void)state;
    read_text("kernel = a\ncmdline =b\nos_prefix\n=c\n");
    assert_string_equal(boot.kernel, "");
    assert_string_equal(boot.cmdline, "");
    assert_string_equal(boot.os_prefix, "");
}

static void line_ends_after_98_characters(void **state)
{
    char text[256] = "kernel=";

    (void)state;
    memset(text + 7, 'k', 120);
    strcat(text, "\ncmdline=c");
    read_text(text);
    assert_int_equal(strlen(boot.kernel), 98 - 7);
    assert_string_equal(boot.cmdline, "c");
}

static void every_model_sees_its_sections(void **state)
{
    static const struct {
        const char *model, *sees;
    } rows[] = {
        {"Raspberry Pi 5 Model B Rev 1.0", "pi5"},
        {"Raspberry Pi 500 Rev 1.0", "pi5 pi500"},
        {"Raspberry Pi Compute Module 5 Rev 1.0", "pi5 cm5"},
        {"Raspberry Pi Compute Module 5 Lite Rev 1.0", "pi5 cm5"},
        {"Raspberry Pi 4 Model B Rev 1.5", "pi4"},
        {"Raspberry Pi 400 Rev 1.0", "pi4 pi400"},
        {"Raspberry Pi Compute Module 4 Rev 1.0", "pi4 cm4"},
        {"Raspberry Pi Compute Module 4S Rev 1.0", "pi4 cm4s"},
        {"Raspberry Pi 3 Model B Rev 1.2", "pi3"},
        {"Raspberry Pi 3 Model B Plus Rev 1.3", "pi3 pi3+"},
        {"Raspberry Pi 3 Model B+", "pi3 pi3+"},
        {"Raspberry Pi 3 Model A Plus Rev 1.0", "pi3 pi3+"},
        {"Raspberry Pi Compute Module 3 Rev 1.0", "pi3 cm3"},
        {"Raspberry Pi Compute Module 3 Plus Rev 1.0", "pi3 pi3+ cm3+"},
        {"Raspberry Pi 2 Model B Rev 1.1", "pi2"},
        {"Raspberry Pi Zero 2 W Rev 1.0", "pi0 pi0w pi02"},
        {"Raspberry Pi Zero W Rev 1.1", "pi0 pi0w"},
        {"Raspberry Pi Zero Rev 1.3", "pi0"},
        {"Raspberry Pi Model B Plus Rev 1.2", "pi1"},
        {"Raspberry Pi Compute Module Rev 1.0", "pi1 cm1"},
        {"linux,dummy-virt", ""},
        {"", ""},
    };
    static const char *const all[] = {"pi0",  "pi0w", "pi02",  "pi1", "pi2",   "pi3",
                                      "pi3+", "pi4",  "pi400", "pi5", "pi500", "cm0",
                                      "cm1",  "cm3",  "cm3+",  "cm4", "cm4s",  "cm5"};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char seen[128] = "";
        on(rows[i].model);
        for (size_t n = 0; n < sizeof(all) / sizeof(all[0]); n++) {
            char section[16] = "[";
            strcat(strcat(section, all[n]), "]");
            if (section_applies(section))
                strcat(strcat(seen, seen[0] ? " " : ""), all[n]);
        }
        /* both in the order of the table */
        for (const char *at = rows[i].sees; *at; at += strspn(at, " ")) {
            char name[16] = "";
            size_t bytes = strcspn(at, " ");
            strncat(name, at, bytes);
            if (!config_txt_board_sees(&board, name))
                fail_msg("%s does not see [%s]", rows[i].model, name);
            at += bytes;
        }
        if (strlen(seen) != strlen(rows[i].sees))
            fail_msg("%s sees \"%s\", not \"%s\"", rows[i].model, seen, rows[i].sees);
    }
}

static void all_ends_every_filter(void **state)
{
    (void)state;
    assert_true(section_applies(""));
    assert_true(
        section_applies("[pi3]\n[EDID=X]\n[gpio4=1]\n[tryboot]\n[0x1]\n[partition=1]\n[all]"));
}

static void filters_of_one_type_replace_each_other(void **state)
{
    (void)state;
    assert_true(section_applies("[pi3]\n[pi4]"));
    assert_false(section_applies("[pi4]\n[pi3]"));
    assert_true(section_applies("[none]\n[pi4]"));
    assert_true(section_applies("[board-type=0x14]\n[pi4]"));
    assert_false(section_applies("[0xabcdef01]\n[0x12345678]"));
}

static void filters_of_different_types_must_all_be_true(void **state)
{
    (void)state;
    assert_false(section_applies("[EDID=VSC-TD2220]\n[pi4]"));
    assert_false(section_applies("[0x12345678]\n[pi4]"));
    assert_true(section_applies("[0xabcdef01]\n[pi4]"));
    assert_false(section_applies("[pi3]\n[0xabcdef01]"));
    assert_false(section_applies("[pi4][gpio4=1]"));
    assert_true(section_applies("[pi4][0xabcdef01]"));
    assert_true(section_applies("[pi4"));
}

static void none_is_nobody(void **state)
{
    (void)state;
    assert_false(section_applies("[none]"));
}

static void serial_is_compared_by_its_last_eight_digits(void **state)
{
    (void)state;
    assert_true(section_applies("[0xabcdef01]"));
    assert_true(section_applies("[0xABCDEF01]"));
    assert_false(section_applies("[0xabcdef02]"));
    assert_false(section_applies("[0xzzz]"));
    board.serial = 0;
    assert_false(section_applies("[0x0]"));
}

static void board_type_is_that_of_a_new_revision_code(void **state)
{
    (void)state;
    assert_true(section_applies("[board-type=0x11]"));
    assert_true(section_applies("[board-type=17]"));
    assert_false(section_applies("[board-type=0x14]"));
    assert_false(section_applies("[board-type=x]"));
    board.revision = 0x0110; /* of the old style: an A+ in those days' table */
    assert_false(section_applies("[board-type=0x11]"));
}

static void boot_partition_is_known(void **state)
{
    (void)state;
    assert_true(section_applies("[boot_partition=2]"));
    assert_false(section_applies("[boot_partition=3]"));
    board.boot_partition = 0;
    assert_false(section_applies("[boot_partition=0]"));
}

static void what_cannot_be_known_is_false(void **state)
{
    (void)state;
    assert_false(section_applies("[tryboot]"));
    assert_false(section_applies("[EDID=DEL-DELL_U2422H]"));
    assert_false(section_applies("[gpio4=1]"));
    assert_false(section_applies("[partition=1]"));
    assert_false(section_applies("[boot_count=1]"));
    assert_false(section_applies("[boot_arg1&0x10=0x10]"));
    assert_false(section_applies("[bootvar0<4]"));
    assert_false(section_applies("[pi6]"));
    assert_false(section_applies("[]"));
}

static void hdmi_filters_nothing(void **state)
{
    (void)state;
    assert_true(section_applies("[HDMI:0]"));
    assert_false(section_applies("[none]\n[HDMI:1]"));
}

static void included_text_stands_in_its_place(void **state)
{
    static const char text[] =
        "kernel=a\n[pi3]\ninclude no.txt\n[pi4]\ninclude extra.txt\ncmdline=c\n";
    struct config_txt c;
    struct config_txt_setting setting;
    unsigned includes = 0;

    (void)state;
    memset(&boot, 0, sizeof(boot));
    config_txt_begin(&c, &board, text);
    while (config_txt_next(&c, &setting)) {
        if (text_is(setting.key, "include")) {
            includes++;
            assert_true(text_is(setting.value, "extra.txt"));
            assert_true(config_txt_include(&c, "kernel=b\n[pi3]"));
        } else {
            config_txt_apply(&boot, &setting);
        }
    }
    assert_int_equal(includes, 1);
    assert_string_equal(boot.kernel, "b");
    assert_string_equal(boot.cmdline, ""); /* the section goes on behind it */
}

static void include_has_an_end(void **state)
{
    struct config_txt c;
    struct config_txt_setting setting;
    unsigned depth = 1;

    (void)state;
    config_txt_begin(&c, &board, "include a");
    while (config_txt_next(&c, &setting) && config_txt_include(&c, "include a"))
        depth++;
    assert_int_equal(depth, CONFIG_TXT_DEPTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(settings_of_the_field_are_read, poison),
        cmocka_unit_test_setup(last_of_equal_keys_counts, poison),
        cmocka_unit_test_setup(blank_in_place_of_the_equals_sign_is_read, poison),
        cmocka_unit_test_setup(blank_before_the_equals_sign_makes_it_no_setting, poison),
        cmocka_unit_test_setup(line_ends_after_98_characters, poison),
        cmocka_unit_test_setup(every_model_sees_its_sections, poison),
        cmocka_unit_test_setup(all_ends_every_filter, poison),
        cmocka_unit_test_setup(filters_of_one_type_replace_each_other, poison),
        cmocka_unit_test_setup(filters_of_different_types_must_all_be_true, poison),
        cmocka_unit_test_setup(none_is_nobody, poison),
        cmocka_unit_test_setup(serial_is_compared_by_its_last_eight_digits, poison),
        cmocka_unit_test_setup(board_type_is_that_of_a_new_revision_code, poison),
        cmocka_unit_test_setup(boot_partition_is_known, poison),
        cmocka_unit_test_setup(what_cannot_be_known_is_false, poison),
        cmocka_unit_test_setup(hdmi_filters_nothing, poison),
        cmocka_unit_test_setup(included_text_stands_in_its_place, poison),
        cmocka_unit_test_setup(include_has_an_end, poison),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
