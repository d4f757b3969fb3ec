/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gadget/udc.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A tree with the shape of sysfs and configfs. */
static char top[64], udc_class[96], gadgets[96];
static struct udc_places where = {.udc_class = udc_class, .gadgets = gadgets};
static char udc[UDC_NAME_BYTES], why[GADGET_WHY_BYTES];

static int setup(void **state)
{
    (void)state;
    (void)snprintf(top, sizeof(top), "/tmp/test_udc_choice.XXXXXX");
    if (!mkdtemp(top))
        return -1;
    (void)snprintf(udc_class, sizeof(udc_class), "%s/class", top);
    (void)snprintf(gadgets, sizeof(gadgets), "%s/usb_gadget", top);
    memset(udc, 0xa5, sizeof(udc));
    memset(why, 0xa5, sizeof(why));
    return mkdir(udc_class, 0700) || mkdir(gadgets, 0700);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    return nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *dir, const char *name, const char *attribute, const char *text)
{
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    (void)mkdir(path, 0700);
    (void)snprintf(path, sizeof(path), "%s/%s/%s", dir, name, attribute);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void add_udc(const char *name)
{
    write_file(udc_class, name, "state", "not attached\n");
    write_file(udc_class, name, "maximum_speed", "high-speed\n");
    write_file(udc_class, name, "function", "");
}

/* As configfs shows it: a name, or a bare line end. */
static void add_gadget(const char *name, const char *bound_to)
{
    char text[64];

    (void)snprintf(text, sizeof(text), "%s\n", bound_to);
    write_file(gadgets, name, "UDC", text);
}

static void no_udc_at_all_names_the_overlay(void **state)
{
    (void)state;
    assert_int_equal(udc_choose(&where, NULL, udc, why), GADGET_NO_UDC);
    assert_non_null(strstr(why, "dtoverlay=dwc2"));
    assert_non_null(strstr(why, "dummy_hcd"));
}

static void a_kernel_without_udc_class_is_no_udc_too(void **state)
{
    (void)state;
    assert_int_equal(rmdir(udc_class), 0);
    assert_int_equal(udc_choose(&where, "fe980000.usb", udc, why), GADGET_NO_UDC);
}

static void the_first_free_one_is_taken_in_the_order_of_names(void **state)
{
    (void)state;
    add_udc("dummy_udc.1");
    add_udc("dummy_udc.0");
    add_udc("dummy_udc.2");
    add_gadget("unbound", "");
    add_gadget("other", "dummy_udc.0");
    assert_int_equal(udc_choose(&where, NULL, udc, why), GADGET_OK);
    assert_string_equal(udc, "dummy_udc.1");
    assert_string_equal(why, "");
}

static void a_named_one_is_taken_although_others_are_free(void **state)
{
    (void)state;
    add_udc("dummy_udc.0");
    add_udc("dummy_udc.1");
    assert_int_equal(udc_choose(&where, "dummy_udc.1", udc, why), GADGET_OK);
    assert_string_equal(udc, "dummy_udc.1");
}

static void an_unknown_name_is_answered_with_the_known_ones(void **state)
{
    (void)state;
    add_udc("dummy_udc.0");
    add_udc("fe980000.usb");
    assert_int_equal(udc_choose(&where, "20980000.usb", udc, why), GADGET_UDC_UNKNOWN);
    assert_string_equal(why, "there is no UDC 20980000.usb; there is dummy_udc.0, fe980000.usb");
}

static void a_busy_one_names_the_gadget_that_holds_it(void **state)
{
    (void)state;
    add_udc("dummy_udc.0");
    add_udc("dummy_udc.1");
    add_gadget("g1", "dummy_udc.0");
    assert_int_equal(udc_choose(&where, "dummy_udc.0", udc, why), GADGET_UDC_BUSY);
    assert_string_equal(why, "the UDC dummy_udc.0 is in use by the gadget g1");
}

static void a_driver_that_is_no_configfs_gadget_holds_it_too(void **state)
{
    (void)state;
    add_udc("dummy_udc.0");
    write_file(udc_class, "dummy_udc.0", "function", "g_mass_storage\n");
    assert_int_equal(udc_choose(&where, "dummy_udc.0", udc, why), GADGET_UDC_BUSY);
    assert_string_equal(why, "the UDC dummy_udc.0 is in use by the driver g_mass_storage");
}

static void all_busy_lists_every_holder(void **state)
{
    (void)state;
    add_udc("dummy_udc.0");
    add_udc("dummy_udc.1");
    add_gadget("g1", "dummy_udc.0");
    add_gadget("g2", "dummy_udc.1");
    assert_int_equal(udc_choose(&where, NULL, udc, why), GADGET_UDC_BUSY);
    assert_string_equal(why, "every UDC is in use: dummy_udc.0 by the gadget g1, dummy_udc.1 by "
                             "the gadget g2");
}

static void without_configfs_every_udc_without_driver_is_free(void **state)
{
    (void)state;
    add_udc("dummy_udc.0");
    assert_int_equal(rmdir(gadgets), 0);
    assert_int_equal(udc_choose(&where, NULL, udc, why), GADGET_OK);
}

static void a_list_that_does_not_fit_is_cut(void **state)
{
    (void)state;
    for (int i = 0; i < 16; i++) {
        char name[64];
        (void)snprintf(name, sizeof(name), "a_controller_with_a_long_name.%02d", i);
        add_udc(name);
    }
    assert_int_equal(udc_choose(&where, "x", udc, why), GADGET_UDC_UNKNOWN);
    assert_int_equal(strlen(why), GADGET_WHY_BYTES - 1);
}

static void a_description_has_state_and_speed(void **state)
{
    (void)state;
    char text[64];

    add_udc("dummy_udc.0");
    udc_describe(&where, "dummy_udc.0", text, sizeof(text));
    assert_string_equal(text, "not attached, up to high-speed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_udc_at_all_names_the_overlay, setup, teardown),
        cmocka_unit_test_setup_teardown(a_kernel_without_udc_class_is_no_udc_too, setup, teardown),
        cmocka_unit_test_setup_teardown(the_first_free_one_is_taken_in_the_order_of_names, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_named_one_is_taken_although_others_are_free, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_unknown_name_is_answered_with_the_known_ones, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_busy_one_names_the_gadget_that_holds_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_driver_that_is_no_configfs_gadget_holds_it_too, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(all_busy_lists_every_holder, setup, teardown),
        cmocka_unit_test_setup_teardown(without_configfs_every_udc_without_driver_is_free, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_list_that_does_not_fit_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(a_description_has_state_and_speed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
