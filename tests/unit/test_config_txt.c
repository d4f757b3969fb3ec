/* SPDX-License-Identifier: BSD-2-Clause */
/* What lunstick doctor reads out of a Raspberry Pi's config.txt. */
#include "daemon/cli/config_txt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define PI4 "Raspberry Pi 4 Model B Rev 1.1"
#define CM5 "Raspberry Pi Compute Module 5 Rev 1.0"

static void overlay_without_section_is_found(void **state)
{
    (void)state;
    assert_int_equal(config_txt_check("arm_64bit=1\ndtoverlay=dwc2\n", PI4), CONFIG_TXT_GOOD);
    assert_int_equal(config_txt_check("  dtoverlay=dwc2,dr_mode=peripheral \r\n", PI4),
                     CONFIG_TXT_GOOD);
    assert_int_equal(config_txt_check("dtoverlay=dwc2", PI4), CONFIG_TXT_GOOD);
}

static void comment_and_longer_name_do_not_count(void **state)
{
    (void)state;
    assert_int_equal(config_txt_check("#dtoverlay=dwc2\n", PI4), CONFIG_TXT_MISSING);
    assert_int_equal(config_txt_check("dtoverlay=dwc2x\n", PI4), CONFIG_TXT_MISSING);
    assert_int_equal(config_txt_check("", PI4), CONFIG_TXT_MISSING);
}

/* The file that Raspberry Pi OS bookworm comes with. */
static void section_of_another_model_does_not_count(void **state)
{
    static const char text[] = "[cm4]\notg_mode=1\n\n[cm5]\ndtoverlay=dwc2,dr_mode=host\n\n[all]\n";

    (void)state;
    assert_int_equal(config_txt_check(text, PI4), CONFIG_TXT_MISSING);
    assert_int_equal(config_txt_check(text, CM5), CONFIG_TXT_AS_HOST);
}

static void section_of_this_model_counts(void **state)
{
    (void)state;
    assert_int_equal(config_txt_check("[pi4]\ndtoverlay=dwc2\n", PI4), CONFIG_TXT_GOOD);
    assert_int_equal(config_txt_check("[pi4]\ndtoverlay=dwc2\n", CM5), CONFIG_TXT_MISSING);
    assert_int_equal(config_txt_check("[none]\ndtoverlay=dwc2\n", PI4), CONFIG_TXT_MISSING);
    assert_int_equal(config_txt_check("[cm5]\nx=1\n[all]\ndtoverlay=dwc2\n", PI4), CONFIG_TXT_GOOD);
}

static void otg_mode_takes_the_port_away(void **state)
{
    (void)state;
    assert_int_equal(config_txt_check("dtoverlay=dwc2\notg_mode=1\n", PI4), CONFIG_TXT_OTG_MODE);
    assert_int_equal(config_txt_check("dtoverlay=dwc2\notg_mode=0\n", PI4), CONFIG_TXT_GOOD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overlay_without_section_is_found),
        cmocka_unit_test(comment_and_longer_name_do_not_count),
        cmocka_unit_test(section_of_another_model_does_not_count),
        cmocka_unit_test(section_of_this_model_counts),
        cmocka_unit_test(otg_mode_takes_the_port_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
