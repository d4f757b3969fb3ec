/* SPDX-License-Identifier: BSD-2-Clause */
#include "bridge/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const char *const words[] = {"status", "probe", "cleanup", "doctor", NULL};

static void slips_are_near(void **state)
{
    (void)state;
    assert_string_equal(nearest_word("sattus", words), "status");
    assert_string_equal(nearest_word("prob", words), "probe");
    assert_string_equal(nearest_word("DOCTER", words), "doctor");
}

static void beginnings_are_near(void **state)
{
    (void)state;
    assert_string_equal(nearest_word("clean", words), "cleanup");
}

static void swapped_neighbours_are_one_slip(void **state)
{
    (void)state;
    assert_string_equal(nearest_word("porbe", (const char *[]){"porcy", "probe", NULL}), "probe");
}

static void other_words_are_not_near(void **state)
{
    (void)state;
    assert_null(nearest_word("x", words));
    assert_null(nearest_word("", words));
    assert_null(nearest_word("reformat", words));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slips_are_near),
        cmocka_unit_test(beginnings_are_near),
        cmocka_unit_test(swapped_neighbours_are_one_slip),
        cmocka_unit_test(other_words_are_not_near),
    };

    return cmocka_run_group_tests_name("nearest", tests, NULL, NULL);
}
