/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The user's wishes for a drive, in the unprivileged process: what it asks of its
 * parent, what it does with the sessions, what it tells the user.
 */
#include "child_bench.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char answer[65536];

static void answers(const struct bench *b, const char *line, const char *want)
{
    ask(b, line, answer, sizeof answer);
    if (strncmp(answer, want, strlen(want)) != 0)
        fail_msg("%s: \"%s\", not \"%s\"", line, answer, want);
}

static void status_has(const struct bench *b, const char *want)
{
    ask(b, "status json\n", answer, sizeof answer);
    if (!strstr(answer, want))
        fail_msg("no %s in %s", want, answer);
}

static void status_will_have(const struct bench *b, const char *one, const char *another)
{
    for (unsigned i = 0; i < PATIENCE_MS / 20; i++) {
        ask(b, "status json\n", answer, sizeof answer);
        if (strstr(answer, one) && strstr(answer, another))
            return;
        (void)usleep(20000);
    }
    fail_msg("no %s and %s in %s", one, another, answer);
}

/* As the parent answers INSERT with an address. */
static void grant(struct bench *b, const char *url)
{
    struct privsep_msg msg;
    assert_true(heard(b, PRIVSEP_INSERT, &msg));
    assert_string_equal(msg.text[0], url);
    privsep_init(&msg, PRIVSEP_INSERTED);
    privsep_text(&msg, 0, url);
    tell(b, &msg);
    privsep_init(&msg, PRIVSEP_SECRETS);
    tell(b, &msg);
}

static const char *url_of(const char *name)
{
    static char url[128];
    (void)snprintf(url, sizeof url, "iscsi://127.0.0.1:%s/iqn.2026-01.test:%s/1", port(), name);
    return url;
}

static int begin_to_insert(const struct bench *b, const char *words, const char *url)
{
    char line[256];
    (void)snprintf(line, sizeof line, "insert%s %s\n", words, url);
    return begin_to_ask(b, line);
}

static void another_disk_is_a_new_session_and_the_same_drive(void **state)
{
    struct bench *b = *state;
    start_with_plain_target(b);
    int fd = begin_to_insert(b, "", url_of("digest"));
    grant(b, url_of("digest"));
    hear_answer(fd, answer, sizeof answer);
    assert_non_null(strstr(answer, "0 Inserted: iscsi://127.0.0.1:"));
    assert_non_null(strstr(answer, ":digest/1, 4.1 MB.\n"));
    status_has(b, "\"medium\":\"in\"");
    assert_non_null(strstr(answer, "\"iqn\":\"iqn.2026-01.test:digest\""));
    assert_non_null(strstr(answer, "\"bytes\":4194304,"));
    assert_int_equal(waitpid(b->pid, NULL, WNOHANG), 0);
}

static void disks_may_follow_each_other(void **state)
{
    static const char *const names[] = {"thin", "digest", "plain", "thin"};
    struct bench *b = *state;
    start_with_plain_target(b);
    for (unsigned i = 0; i < 4; i++) {
        int fd = begin_to_insert(b, i % 2 ? " read-only" : "", url_of(names[i]));
        grant(b, url_of(names[i]));
        hear_answer(fd, answer, sizeof answer);
        assert_int_equal(answer[0], '0');
        status_has(b, i % 2 ? "\"read_only\":true" : "\"read_only\":false");
    }
}

static void what_the_parent_refuses_leaves_the_old_disk_in(void **state)
{
    struct bench *b = *state;
    struct privsep_msg msg;
    start_with_plain_target(b);
    int fd = begin_to_insert(b, "", url_of("thin"));
    assert_true(heard(b, PRIVSEP_INSERT, &msg));
    privsep_init(&msg, PRIVSEP_INSERTED);
    privsep_text(&msg, 1, "the secret is gone");
    tell(b, &msg);
    hear_answer(fd, answer, sizeof answer);
    assert_string_equal(answer, "2 the secret is gone\n");
    status_has(b, "\"medium\":\"in\"");
    assert_non_null(strstr(answer, "test:plain"));
}

static void a_wrong_address_does_not_reach_the_parent(void **state)
{
    struct bench *b = *state;
    start_with_plain_target(b);
    answers(b, "insert iscsi://127.0.0.1/iqn.2026-01.test:thin\n", "2 the LUN is missing");
    answers(b, "insert iscsi://me@127.0.0.1/iqn.2026-01.test:thin/1\n", "2 the secret of the CHAP");
    answers(b, "insert lun 1 iscsi://127.0.0.1/iqn.2026-01.test:thin/1\n", "2 there is no LUN 1");
    answers(b, "insert take-over\n", "2 --take-over goes with the URL");
    status_has(b, "\"medium\":\"in\"");
}

static void a_disk_that_cannot_be_had_is_told_and_the_drive_stays_empty(void **state)
{
    struct bench *b = *state;
    start_with_plain_target(b);
    int fd = begin_to_insert(b, "", url_of("nothing"));
    grant(b, url_of("nothing"));
    hear_answer(fd, answer, sizeof answer);
    assert_int_equal(answer[0], '2');
    assert_non_null(strstr(answer, "it has no target of this name"));
    status_has(b, "\"medium\":\"awaited\"");
    assert_int_equal(waitpid(b->pid, NULL, WNOHANG), 0);
}

static void what_the_user_ejects_stays_out_until_he_inserts_it(void **state)
{
    struct bench *b = *state;
    struct privsep_msg msg;
    start_with_plain_target(b);
    answers(b, "eject\n", "0 Ejected");
    assert_true(heard(b, PRIVSEP_EJECT, &msg));
    answers(b, "eject force\n", "1 it is ejected already");
    status_has(b, "\"medium\":\"ejected\"");
    answers(b, "insert read-only\n", "0 Inserted: iscsi://");
    assert_true(heard(b, PRIVSEP_INSERT, &msg));
    assert_int_equal(msg.number, 1);
    assert_string_equal(msg.text[0], "");
    answers(b, "insert\n", "1 there is a disk in it already");
    status_has(b, "\"read_only\":true");
}

static void an_eject_overrules_an_insert_that_is_under_way(void **state)
{
    struct bench *b = *state;
    struct privsep_msg msg;
    start_with_plain_target(b);
    int fd = begin_to_insert(b, "", url_of("thin"));
    grant(b, url_of("thin"));
    answers(b, "eject\n", "0 Ejected");
    assert_true(heard(b, PRIVSEP_EJECT, &msg));
    hear_answer(fd, answer, sizeof answer);
    assert_string_equal(answer, "1 it was ejected in the meantime\n");
    status_will_have(b, "test:thin", "\"state\":\"UP\"");
    assert_non_null(strstr(answer, "\"medium\":\"ejected\""));
    answers(b, "insert\n", "0 Inserted: iscsi://");
}

static void a_second_insert_takes_the_place_of_one_that_waits(void **state)
{
    struct bench *b = *state;
    start_with_plain_target(b);
    int fd = begin_to_insert(b, "", "iscsi://127.0.0.1:1/iqn.2026-01.test:thin/1");
    grant(b, "iscsi://127.0.0.1:1/iqn.2026-01.test:thin/1");
    status_will_have(b, "\"medium\":\"awaited\"", "refuses the connection");
    int second = begin_to_insert(b, "", url_of("thin"));
    hear_answer(fd, answer, sizeof answer);
    assert_string_equal(answer, "1 there was another insert in the meantime\n");
    grant(b, url_of("thin"));
    hear_answer(second, answer, sizeof answer);
    assert_int_equal(answer[0], '0');
}

static void a_name_is_looked_up_for_the_disk_that_is_in_the_drive_now(void **state)
{
    struct bench *b = *state;
    struct privsep_msg msg;
    char url[128];
    start_with_plain_target(b);
    (void)snprintf(url, sizeof url, "iscsi://target.example:%s/iqn.2026-01.test:thin/1", port());
    int fd = begin_to_insert(b, "", url);
    grant(b, url);
    assert_true(heard(b, PRIVSEP_RESOLVE, &msg));
    privsep_init(&msg, PRIVSEP_RESOLVED);
    privsep_text(&msg, 0, "127.0.0.1");
    tell(b, &msg);
    hear_answer(fd, answer, sizeof answer);
    assert_int_equal(answer[0], '0');
}

static void a_fixed_disk_cannot_be_ejected(void **state)
{
    struct bench *b = *state;
    struct privsep_msg msg;
    configure(b, "%s", url_of("plain"));
    b->config.luns[0].removable = false;
    start_child(b);
    assert_true(heard(b, PRIVSEP_BIND, &msg));
    answers(b, "eject force\n", "2 it is a fixed disk");
    answers(b, "insert\n", "2 it is a fixed disk");
}

static void an_empty_drive_is_shown_at_once(void **state)
{
    struct bench *b = *state;
    struct privsep_msg msg;
    configure(b, "iscsi://127.0.0.1:1/iqn.2026-01.test:plain/1");
    b->ejected = true;
    start_child(b);
    assert_true(heard(b, PRIVSEP_BIND, &msg));
    status_has(b, "\"medium\":\"ejected\"");
}

static void an_early_one_is_empty_until_its_disk_comes(void **state)
{
    struct bench *b = *state;
    struct privsep_msg msg;
    configure(b, "iscsi://127.0.0.1:1/iqn.2026-01.test:plain/1");
    b->config.early = true;
    start_child(b);
    assert_true(heard(b, PRIVSEP_BIND, &msg));
    status_has(b, "\"medium\":\"awaited\"");
}

static void the_cable_is_the_parents(void **state)
{
    struct bench *b = *state;
    struct privsep_msg msg;
    start_with_plain_target(b);
    answers(b, "plug\n", "1 it is plugged in already");
    int fd = begin_to_ask(b, "unplug\n");
    assert_true(heard(b, PRIVSEP_PLUG, &msg));
    assert_int_equal(msg.number, 0);
    privsep_init(&msg, PRIVSEP_BOUND);
    msg.number = PRIVSEP_UNPLUGGED;
    tell(b, &msg);
    hear_answer(fd, answer, sizeof answer);
    assert_int_equal(answer[0], '0');
    answers(b, "unplug\n", "1 it is unplugged already");
    status_has(b, "\"plugged\":false");
    fd = begin_to_ask(b, "plug\n");
    assert_true(heard(b, PRIVSEP_PLUG, &msg));
    assert_int_equal(msg.number, 1);
    privsep_init(&msg, PRIVSEP_BOUND);
    privsep_text(&msg, 0, "the UDC is in use by the gadget other");
    tell(b, &msg);
    hear_answer(fd, answer, sizeof answer);
    assert_string_equal(answer, "1 the UDC is in use by the gadget other\n");
    status_has(b, "\"plugged\":true");
}

static void sixteen_disks_of_four_targets(void **state)
{
    static const char *const names[] = {"plain", "thin", "digest", "big4k"};
    struct bench *b = *state;
    struct privsep_msg msg;
    unsigned in = 0;
    for (unsigned i = 0; i < BOT_LUNS_MAX; i++)
        configure(b, "%s", url_of(names[i % 4]));
    start_child(b);
    assert_true(heard(b, PRIVSEP_BIND, &msg));
    answers(b, "eject lun 15\n", "0 Ejected");
    answers(b, "eject\n", "2 there are 16 disks; say which: --lun 0 to 15");
    answers(b, "eject lun 16\n", "2 eject: \"lun\" is not understood");
    ask(b, "status json\n", answer, sizeof answer);
    for (const char *at = answer; (at = strstr(at, "\"medium\":\"in\"")); at++)
        in++;
    assert_int_equal(in, 15);
}

/* The host had them all; one that is away now does not keep it from the others. */
static void a_new_child_waits_for_no_dead_disk(void **state)
{
    struct bench *b = *state;
    struct privsep_msg msg;
    configure(b, "%s", url_of("plain"));
    configure(b, "iscsi://127.0.0.1:1/iqn.2026-01.test:thin/1");
    b->start.again = true;
    start_child(b);
    assert_true(heard(b, PRIVSEP_BIND, &msg));
    status_has(b, "\"medium\":\"awaited\"");
    assert_non_null(strstr(answer, "\"medium\":\"in\""));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_bench, end_bench)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(another_disk_is_a_new_session_and_the_same_drive),
        TEST(disks_may_follow_each_other),
        TEST(what_the_parent_refuses_leaves_the_old_disk_in),
        TEST(a_wrong_address_does_not_reach_the_parent),
        TEST(a_disk_that_cannot_be_had_is_told_and_the_drive_stays_empty),
        TEST(what_the_user_ejects_stays_out_until_he_inserts_it),
        TEST(an_eject_overrules_an_insert_that_is_under_way),
        TEST(a_second_insert_takes_the_place_of_one_that_waits),
        TEST(a_name_is_looked_up_for_the_disk_that_is_in_the_drive_now),
        TEST(a_fixed_disk_cannot_be_ejected),
        TEST(an_empty_drive_is_shown_at_once),
        TEST(an_early_one_is_empty_until_its_disk_comes),
        TEST(the_cable_is_the_parents),
        TEST(sixteen_disks_of_four_targets),
        TEST(a_new_child_waits_for_no_dead_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
