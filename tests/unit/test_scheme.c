/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gadget/scheme.h"

#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOOD_STRINGS  "strings = ( { lang = 0x409; product = \"A disk\"; } );\n"
#define GOOD_FUNCTION "functions : { disk : { type = \"ffs\"; instance = \"x\"; }; };\n"
#define GOOD_CONFIG   "configs = ( { id = 1; name = \"c\"; functions = ( \"disk\" ); } );\n"
#define SERIAL        "0123456789ab"

static char path[64], why[GADGET_WHY_BYTES];
static char *text;
static config_t config;

static int setup(void **state)
{
    (void)state;
    (void)snprintf(path, sizeof(path), "/tmp/test_scheme.XXXXXX");
    int fd = mkstemp(path);
    memset(why, 0, sizeof(why));
    text = NULL;
    config_init(&config);
    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
    (void)state;
    free(text);
    config_destroy(&config);
    return unlink(path);
}

static void fill(const char *scheme)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fputs(scheme, file) >= 0);
    assert_int_equal(fclose(file), 0);
    text = scheme_fill(path, "lun0", SERIAL, why);
}

/* The filled-in text, read again. */
static const char *lookup(const char *key)
{
    const char *value = NULL;

    assert_non_null(text);
    assert_int_equal(config_read_string(&config, text), CONFIG_TRUE);
    assert_int_equal(config_lookup_string(&config, key, &value), CONFIG_TRUE);
    return value;
}

/* The complaint is "PATH:LINE: what". */
static void assert_refused(const char *scheme, int line, const char *what)
{
    char expected[GADGET_WHY_BYTES];

    fill(scheme);
    assert_null(text);
    (void)snprintf(expected, sizeof(expected), "%s:%d: %s", path, line, what);
    assert_string_equal(why, expected);
}

static void the_instance_is_the_name_of_the_gadget(void **state)
{
    (void)state;
    fill(GOOD_STRINGS GOOD_FUNCTION GOOD_CONFIG);
    assert_string_equal(lookup("functions.disk.instance"), "lun0");
}

static void a_missing_serial_number_is_filled_in(void **state)
{
    (void)state;
    fill(GOOD_STRINGS GOOD_FUNCTION GOOD_CONFIG);
    assert_string_equal(lookup("strings.[0].serialnumber"), SERIAL);
}

static void an_empty_serial_number_is_filled_in(void **state)
{
    (void)state;
    fill("strings = ( { lang = 0x409; serialnumber = \"\"; } );\n" GOOD_FUNCTION GOOD_CONFIG);
    assert_string_equal(lookup("strings.[0].serialnumber"), SERIAL);
}

static void a_serial_number_of_the_file_stays(void **state)
{
    (void)state;
    fill("strings = ( { lang = 0x409; serialnumber = \"MINE\"; } );\n" GOOD_FUNCTION GOOD_CONFIG);
    assert_string_equal(lookup("strings.[0].serialnumber"), "MINE");
}

static void other_texts_stay_as_they_are(void **state)
{
    (void)state;
    fill("strings = ( { lang = 0x409; product = \"D\\\"\xc3\xbc#1\"; } );\n" GOOD_FUNCTION
             GOOD_CONFIG);
    assert_string_equal(lookup("strings.[0].product"), "D\"\xc3\xbc#1");
}

static void the_scheme_that_ships_is_good(void **state)
{
    (void)state;
    text = scheme_fill(LUNSTICK_SOURCE_DIR "/configfs-templates/disk.scheme", "lun0", SERIAL, why);
    assert_string_equal(why, "");
    assert_string_equal(lookup("strings.[0].product"), "iSCSI disk");
}

static void a_file_that_is_not_there_is_named(void **state)
{
    (void)state;
    text = scheme_fill("/nonexistent/disk.scheme", "lun0", SERIAL, why);
    assert_null(text);
    assert_string_equal(why, "/nonexistent/disk.scheme: No such file or directory");
}

static void a_syntax_error_has_its_line(void **state)
{
    (void)state;
    assert_refused(GOOD_STRINGS "functions : {\n!\n", 3, "syntax error");
}

static void a_key_that_libusbgx_would_pass_over_is_refused(void **state)
{
    (void)state;
    assert_refused("attrs : {\n  idProdukt = 1;\n};\n" GOOD_STRINGS GOOD_FUNCTION GOOD_CONFIG, 2,
                   "unknown key idProdukt");
}

static void a_number_out_of_range_is_refused(void **state)
{
    (void)state;
    assert_refused("attrs : { idVendor = 0x10000; };\n" GOOD_STRINGS GOOD_FUNCTION GOOD_CONFIG, 1,
                   "not a number, or out of range: idVendor");
}

static void a_byte_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    assert_refused("attrs : { bDeviceClass = 256; };\n" GOOD_STRINGS GOOD_FUNCTION GOOD_CONFIG, 1,
                   "not a number, or out of range: bDeviceClass");
}

static void a_text_that_is_a_number_is_refused(void **state)
{
    (void)state;
    assert_refused("strings = (\n{ lang = 0x409;\nproduct = 7; } );\n" GOOD_FUNCTION GOOD_CONFIG, 3,
                   "not a text: product");
}

static void strings_without_a_language_are_refused(void **state)
{
    (void)state;
    assert_refused("strings = (\n{ product = \"x\"; } );\n" GOOD_FUNCTION GOOD_CONFIG, 2,
                   "strings need a language, as in lang = 0x409");
}

static void no_strings_are_refused(void **state)
{
    (void)state;
    assert_refused(GOOD_FUNCTION GOOD_CONFIG, 1, "there is no section strings");
}

static void no_ffs_function_is_refused(void **state)
{
    (void)state;
    assert_refused(GOOD_STRINGS "functions : { };\n" GOOD_CONFIG, 2,
                   "there is no function of the type ffs");
}

static void two_ffs_functions_are_refused(void **state)
{
    (void)state;
    assert_refused(GOOD_STRINGS
                   "functions : {\na : { type = \"ffs\"; };\nb : { type = \"ffs\"; }; };\n",
                   4, "there is a second function of the type ffs");
}

static void a_configuration_with_a_function_that_is_not_there_is_refused(void **state)
{
    (void)state;
    assert_refused(GOOD_STRINGS GOOD_FUNCTION
                   "configs = ( { id = 1; name = \"c\";\nfunctions = ( \"disc\" ); } );\n",
                   4, "functions has no disc");
}

static void a_disk_that_is_in_no_configuration_is_refused(void **state)
{
    (void)state;
    assert_refused(GOOD_STRINGS GOOD_FUNCTION
                   "configs = ( { id = 1; name = \"c\"; functions = ( ); } );\n",
                   3, "no configuration has the function of the type ffs");
}

static void a_configuration_without_id_is_refused(void **state)
{
    (void)state;
    assert_refused(GOOD_STRINGS GOOD_FUNCTION
                   "configs = ( { name = \"c\"; functions = ( \"disk\" ); } );\n",
                   3, "a configuration needs id = 1 (to 255) and a name");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_instance_is_the_name_of_the_gadget),
        TEST(a_missing_serial_number_is_filled_in),
        TEST(an_empty_serial_number_is_filled_in),
        TEST(a_serial_number_of_the_file_stays),
        TEST(other_texts_stay_as_they_are),
        TEST(the_scheme_that_ships_is_good),
        TEST(a_file_that_is_not_there_is_named),
        TEST(a_syntax_error_has_its_line),
        TEST(a_key_that_libusbgx_would_pass_over_is_refused),
        TEST(a_number_out_of_range_is_refused),
        TEST(a_byte_that_does_not_fit_is_refused),
        TEST(a_text_that_is_a_number_is_refused),
        TEST(strings_without_a_language_are_refused),
        TEST(no_strings_are_refused),
        TEST(no_ffs_function_is_refused),
        TEST(two_ffs_functions_are_refused),
        TEST(a_configuration_with_a_function_that_is_not_there_is_refused),
        TEST(a_disk_that_is_in_no_configuration_is_refused),
        TEST(a_configuration_without_id_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
