/* SPDX-License-Identifier: BSD-2-Clause */
/* What the user asks of a running daemon, and what it makes of a drive. */
#include "daemon/lunstickd/request.h"
#include "daemon/lunstickd/slot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct request request;
static struct config_lun configured;
static struct slot slot, before;
static char line[1024], why[CONFIG_WHY_BYTES];

static int fresh(void **state)
{
    (void)state;
    memset(&request, 0xA5, sizeof(request));
    memset(&configured, 0, sizeof(configured));
    memset(&slot, 0xA5, sizeof(slot));
    memset(why, 0xFF, sizeof(why));
    assert_true(
        address_parse("iscsi://me@10.0.0.1/iqn.2001-04.com.example:a/1", &configured.address, why));
    configured.removable = true;
    configured.give_up_after_s = 90;
    strcpy(configured.secret_file, "/mine");
    strcpy(configured.target_user, "target");
    strcpy(configured.target_secret_file, "/its");
    slot_init(&slot, &configured);
    return 0;
}

static bool parses(const char *text)
{
    snprintf(line, sizeof(line), "%s", text);
    return request_parse(&request, line, why, sizeof(why));
}

static bool chooses(const char *url, bool read_only)
{
    before = slot;
    return slot_choose(&slot, &configured, url, read_only, why);
}

/* ---- requests ---- */

static void verbs_are_found(void **state)
{
    static const char *const names[] = {"status", "eject", "insert", "plug", "unplug", "unmap"};
    static const enum request_verb verbs[] = {REQUEST_STATUS, REQUEST_EJECT,  REQUEST_INSERT,
                                              REQUEST_PLUG,   REQUEST_UNPLUG, REQUEST_UNMAP};

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        assert_true(parses(names[i]));
        assert_int_equal(request.verb, verbs[i]);
        assert_int_equal(request.lun, REQUEST_ANY_LUN);
        assert_false(request.json || request.force || request.read_only);
        assert_null(request.url);
    }
}

static void words_behind_a_verb_arrive_in_their_place(void **state)
{
    (void)state;
    assert_true(parses("status json"));
    assert_true(request.json);
    assert_true(parses("eject lun 15 force"));
    assert_true(request.force);
    assert_int_equal(request.lun, 15);
    assert_true(parses("insert lun 0 force read-only take-over iscsi://h/iqn.x:y/1"));
    assert_true(request.force && request.read_only && request.take_over);
    assert_int_equal(request.lun, 0);
    assert_string_equal(request.url, "iscsi://h/iqn.x:y/1");
}

static void what_does_not_belong_to_a_verb_is_named(void **state)
{
    static const char *const lines[] = {"status force",      "eject iscsi://h/iqn.x:y/1",
                                        "eject read-only",   "plug force",
                                        "unplug lun 1",      "insert json",
                                        "insert a b",        "eject lun",
                                        "eject lun x",       "eject lun 16",
                                        "eject lun 115",     "eject lun -1",
                                        "insert lun  force", "eject force now"};

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_false(parses(lines[i]));
        assert_non_null(strstr(why, "is not understood"));
    }
}

static void no_request_is_none(void **state)
{
    (void)state;
    assert_false(parses(""));
    assert_false(parses("   "));
    assert_false(parses("reboot"));
    assert_non_null(strstr(why, "no such request"));
    assert_false(parses("statusjson"));
}

/* ---- slots ---- */

static void a_slot_begins_with_the_configured_disk(void **state)
{
    (void)state;
    assert_false(slot.ejected);
    assert_memory_equal(&slot.lun, &configured, sizeof(configured));
}

static void another_disk_keeps_what_belongs_to_the_drive(void **state)
{
    (void)state;
    slot.ejected = true;
    assert_true(chooses("iscsi://me@10.0.0.2/iqn.2001-04.com.example:b/2", false));
    assert_string_equal(slot.lun.address.host, "10.0.0.2");
    assert_int_equal(slot.lun.address.lun, 2);
    assert_true(slot.lun.removable);
    assert_int_equal(slot.lun.give_up_after_s, 90);
    assert_false(slot.ejected || slot.lun.read_only);
}

static void the_same_user_has_the_same_secrets(void **state)
{
    (void)state;
    assert_true(chooses("iscsi://me@10.0.0.2/iqn.2001-04.com.example:b/2", false));
    assert_string_equal(slot.lun.secret_file, "/mine");
    assert_string_equal(slot.lun.target_user, "target");
    assert_string_equal(slot.lun.target_secret_file, "/its");
}

static void without_a_user_no_secret_is_shown_to_anybody(void **state)
{
    (void)state;
    assert_true(chooses("iscsi://10.0.0.2/iqn.2001-04.com.example:b/2", false));
    assert_string_equal(slot.lun.secret_file, "");
    assert_string_equal(slot.lun.target_user, "");
    assert_string_equal(slot.lun.target_secret_file, "");
}

static void another_user_is_refused_and_the_slot_stays(void **state)
{
    (void)state;
    assert_false(chooses("iscsi://you@10.0.0.2/iqn.2001-04.com.example:b/2", false));
    assert_non_null(strstr(why, "\"you\""));
    assert_non_null(strstr(why, "configured one, \"me\""));
    assert_memory_equal(&slot, &before, sizeof(slot));
    configured.address.user[0] = 0;
    assert_false(chooses("iscsi://you@10.0.0.2/iqn.2001-04.com.example:b/2", false));
    assert_null(strstr(why, "configured"));
}

static void a_malformed_address_is_refused_and_the_slot_stays(void **state)
{
    (void)state;
    assert_false(chooses("iscsi://10.0.0.2/", false));
    assert_true(why[0] != 0);
    assert_memory_equal(&slot, &before, sizeof(slot));
}

static void each_insert_decides_about_write_protection(void **state)
{
    (void)state;
    assert_true(chooses("iscsi://10.0.0.2/iqn.2001-04.com.example:b/2", true));
    assert_true(slot.lun.read_only);
    slot.ejected = true;
    slot_insert(&slot, &configured, false);
    assert_false(slot.lun.read_only || slot.ejected);
    configured.read_only = true;
    slot_insert(&slot, &configured, false);
    assert_true(slot.lun.read_only);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(verbs_are_found, fresh),
        cmocka_unit_test_setup(words_behind_a_verb_arrive_in_their_place, fresh),
        cmocka_unit_test_setup(what_does_not_belong_to_a_verb_is_named, fresh),
        cmocka_unit_test_setup(no_request_is_none, fresh),
        cmocka_unit_test_setup(a_slot_begins_with_the_configured_disk, fresh),
        cmocka_unit_test_setup(another_disk_keeps_what_belongs_to_the_drive, fresh),
        cmocka_unit_test_setup(the_same_user_has_the_same_secrets, fresh),
        cmocka_unit_test_setup(without_a_user_no_secret_is_shown_to_anybody, fresh),
        cmocka_unit_test_setup(another_user_is_refused_and_the_slot_stays, fresh),
        cmocka_unit_test_setup(a_malformed_address_is_refused_and_the_slot_stays, fresh),
        cmocka_unit_test_setup(each_insert_decides_about_write_protection, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
