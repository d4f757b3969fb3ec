/* SPDX-License-Identifier: BSD-2-Clause */
/* How often the log says the same, in virtual time. */
#include "daemon/lunstickd/log_limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECOND_US 1000000ULL
#define SAID_MAX  2048

static struct log_limit limit;
static uint64_t now_us;
static struct {
    enum lun_log_level level;
    char text[1024];
} said[SAID_MAX];
static unsigned said_count;

static void note(enum lun_log_level level, const char *text)
{
    assert_true(said_count < SAID_MAX);
    said[said_count].level = level;
    (void)snprintf(said[said_count].text, sizeof said[0].text, "%s", text);
    said_count++;
}

static int begin(void **state)
{
    (void)state;
    memset(said, 0xa5, sizeof said);
    memset(&limit, 0, sizeof limit);
    limit.say = note;
    said_count = 0;
    now_us = 12345 * SECOND_US;
    return 0;
}

static void line(const char *text)
{
    log_limit_line(&limit, now_us, LUN_LOG_WARNING, text);
}

static void lines(unsigned count, const char *text)
{
    while (count--)
        line(text);
}

static void pass(uint64_t us)
{
    now_us += us;
    log_limit_run(&limit, now_us);
}

static const char *last(void)
{
    assert_true(said_count > 0);
    return said[said_count - 1].text;
}

static unsigned times_said(const char *text)
{
    unsigned n = 0;
    for (unsigned i = 0; i < said_count; i++)
        n += strcmp(said[i].text, text) == 0;
    return n;
}

/* Every line said stands for itself and for those that it counts. */
static unsigned accounted(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < said_count; i++) {
        const char *more = strstr(said[i].text, "(and ");
        n += 1 + (more ? (unsigned)strtoul(more + 5, NULL, 10) : 0);
    }
    return n;
}

static void the_first_of_a_kind_are_said_at_once(void **state)
{
    (void)state;
    lines(LOG_LIMIT_BURST, "invalid CBW");
    assert_int_equal(said_count, LOG_LIMIT_BURST);
    assert_int_equal(times_said("invalid CBW"), LOG_LIMIT_BURST);
}

static void the_others_are_counted_and_told_after_the_interval(void **state)
{
    (void)state;
    lines(LOG_LIMIT_BURST + 313, "invalid CBW");
    pass(LOG_LIMIT_INTERVAL_US - 1);
    assert_int_equal(said_count, LOG_LIMIT_BURST);
    pass(1);
    assert_int_equal(said_count, LOG_LIMIT_BURST + 1);
    assert_string_equal(last(), "invalid CBW (and 312 more like it in 60 s)");
}

static void one_that_waited_alone_is_said_as_it_was(void **state)
{
    (void)state;
    lines(LOG_LIMIT_BURST + 1, "invalid CBW");
    pass(LOG_LIMIT_INTERVAL_US);
    assert_int_equal(said_count, LOG_LIMIT_BURST + 1);
    assert_string_equal(last(), "invalid CBW");
}

static void endless_noise_is_one_line_per_interval(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3600 * 50; i++) {
        line("invalid CBW");
        pass(SECOND_US / 50);
    }
    assert_in_range(said_count, 60, LOG_LIMIT_BURST + 60);
    assert_string_equal(last(), "invalid CBW (and 2999 more like it in 60 s)");
}

static void a_kind_that_is_rare_is_never_left_out(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        line("invalid CBW");
        pass(LOG_LIMIT_INTERVAL_US);
    }
    assert_int_equal(times_said("invalid CBW"), 100);
}

static void after_a_quiet_time_the_first_are_said_at_once_again(void **state)
{
    (void)state;
    lines(1000, "invalid CBW");
    pass(LOG_LIMIT_INTERVAL_US);
    pass((LOG_LIMIT_BURST + 1) * LOG_LIMIT_INTERVAL_US);
    said_count = 0;
    lines(LOG_LIMIT_BURST, "invalid CBW");
    assert_int_equal(said_count, LOG_LIMIT_BURST);
}

/* When the session is lost in the middle of it, the user reads that at once. */
static void noise_does_not_hide_another_kind(void **state)
{
    (void)state;
    lines(100000, "bot: invalid CBW in IDLE");
    line("session: UP -> BACKOFF: the next login is in 100 ms");
    assert_string_equal(last(), "session: UP -> BACKOFF: the next login is in 100 ms");
    lines(100000, "READ(10) is not answered in time: the host is told NOT READY");
    line("the host is told of a new medium: another disk");
    assert_string_equal(last(), "the host is told of a new medium: another disk");
}

static void two_levels_are_two_kinds(void **state)
{
    (void)state;
    lines(100, "the disk is away");
    log_limit_line(&limit, now_us, LUN_LOG_ERROR, "the disk is away");
    assert_int_equal(said_count, LOG_LIMIT_BURST + 1);
    assert_int_equal(said[LOG_LIMIT_BURST].level, LUN_LOG_ERROR);
    pass(LOG_LIMIT_INTERVAL_US);
    assert_int_equal(said[LOG_LIMIT_BURST + 1].level, LUN_LOG_WARNING);
}

/* What a peer may choose: portals, keys, sense codes, times. */
static void numbers_and_addresses_make_no_kind(void **state)
{
    char text[200];
    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(text, sizeof text,
                       "sent to [fe80::%x] 10.0.%u.%u:%u, key %016llx, sense %02X/00, %u ms", i,
                       i / 256, i % 256, 1000 + i, 0x8000000000000000ULL + i * 0xabcdefULL, i % 10,
                       i);
        line(text);
    }
    assert_int_equal(said_count, LOG_LIMIT_BURST);
    pass(LOG_LIMIT_INTERVAL_US);
    assert_non_null(strstr(last(), "sense 09/00, 999 ms (and 994 more like it in 60 s)"));
}

static void words_make_a_kind(void **state)
{
    (void)state;
    lines(100, "READ(10) is not answered in time");
    said_count = 0;
    line("WRITE(10) is not answered in time");
    assert_int_equal(said_count, 1);
}

/* A text without numbers, another each time. */
static void invent(unsigned i, char text[16])
{
    (void)snprintf(text, 16, "%c%c%c nonsense", 'a' + (int)(i / 676 % 26), 'a' + (int)(i / 26 % 26),
                   'a' + (int)(i % 26));
}

static void who_invents_kinds_without_end_has_the_rest_counted_as_one(void **state)
{
    char text[16];
    (void)state;
    line("session lost"); /* a kind that was there before keeps its own count */
    for (unsigned i = 0; i < 10000; i++) {
        invent(i, text);
        line(text);
    }
    assert_in_range(said_count, LOG_LIMIT_KINDS, LOG_LIMIT_KINDS * LOG_LIMIT_BURST);
    said_count = 0;
    line("session lost");
    assert_int_equal(said_count, 1);
}

static void room_is_found_again_when_kinds_were_quiet(void **state)
{
    char text[16];
    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        invent(i, text);
        line(text);
    }
    for (unsigned i = 0; i < 20; i++)
        pass(LOG_LIMIT_INTERVAL_US);
    said_count = 0;
    lines(100, "something new");
    lines(100, "something else");
    assert_int_equal(said_count, 2 * LOG_LIMIT_BURST);
}

static void each_line_is_said_or_counted(void **state)
{
    char text[16];
    unsigned count = 0;
    uint32_t seed = 1;
    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        seed = seed * 1103515245 + 12345;
        invent(seed >> 16 & 0x7f, text);
        line(text);
        count++;
        pass(seed >> 8 & 0xffff);
    }
    assert_in_range(said_count, 100, SAID_MAX);
    assert_true(accounted() < count);
    log_limit_flush(&limit, now_us);
    assert_int_equal(accounted(), count);
}

static void the_end_says_what_waits(void **state)
{
    (void)state;
    lines(LOG_LIMIT_BURST + 3, "invalid CBW");
    line("the last word");
    now_us += 2 * SECOND_US;
    log_limit_flush(&limit, now_us);
    assert_string_equal(last(), "invalid CBW (and 2 more like it in 2 s)");
    log_limit_flush(&limit, now_us);
    assert_int_equal(said_count, LOG_LIMIT_BURST + 2);
}

static void it_tells_when_it_wants_to_be_called(void **state)
{
    (void)state;
    log_limit_run(&limit, now_us);
    assert_true(limit.next_us == UINT64_MAX);
    lines(LOG_LIMIT_BURST, "first");
    assert_true(limit.next_us == UINT64_MAX);
    line("first");
    assert_true(limit.next_us == now_us + LOG_LIMIT_INTERVAL_US);
    now_us += SECOND_US;
    lines(LOG_LIMIT_BURST + 1, "second");
    assert_true(limit.next_us == now_us - SECOND_US + LOG_LIMIT_INTERVAL_US);
    now_us = limit.next_us;
    log_limit_run(&limit, now_us);
    assert_true(limit.next_us == now_us + SECOND_US);
    now_us = limit.next_us;
    log_limit_run(&limit, now_us);
    assert_true(limit.next_us == UINT64_MAX);
}

static void a_long_line_is_whole_at_once_and_cut_when_it_waits(void **state)
{
    char text[1000];
    (void)state;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    lines(LOG_LIMIT_BURST + 2, text);
    assert_string_equal(last(), text);
    pass(LOG_LIMIT_INTERVAL_US);
    assert_int_equal(strspn(last(), "x"), LOG_LIMIT_TEXT_BYTES - 1);
    assert_string_equal(last() + LOG_LIMIT_TEXT_BYTES - 1, " (and 1 more like it in 60 s)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_first_of_a_kind_are_said_at_once, begin),
        cmocka_unit_test_setup(the_others_are_counted_and_told_after_the_interval, begin),
        cmocka_unit_test_setup(one_that_waited_alone_is_said_as_it_was, begin),
        cmocka_unit_test_setup(endless_noise_is_one_line_per_interval, begin),
        cmocka_unit_test_setup(a_kind_that_is_rare_is_never_left_out, begin),
        cmocka_unit_test_setup(after_a_quiet_time_the_first_are_said_at_once_again, begin),
        cmocka_unit_test_setup(noise_does_not_hide_another_kind, begin),
        cmocka_unit_test_setup(two_levels_are_two_kinds, begin),
        cmocka_unit_test_setup(numbers_and_addresses_make_no_kind, begin),
        cmocka_unit_test_setup(words_make_a_kind, begin),
        cmocka_unit_test_setup(who_invents_kinds_without_end_has_the_rest_counted_as_one, begin),
        cmocka_unit_test_setup(room_is_found_again_when_kinds_were_quiet, begin),
        cmocka_unit_test_setup(each_line_is_said_or_counted, begin),
        cmocka_unit_test_setup(the_end_says_what_waits, begin),
        cmocka_unit_test_setup(it_tells_when_it_wants_to_be_called, begin),
        cmocka_unit_test_setup(a_long_line_is_whole_at_once_and_cut_when_it_waits, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
