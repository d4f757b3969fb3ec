/* SPDX-License-Identifier: BSD-2-Clause */
/* The loop, the log, the resolver and the service manager's protocol. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/lunstickd/log.h"
#include "daemon/lunstickd/loop.h"
#include "daemon/lunstickd/notify.h"
#include "daemon/lunstickd/outlet.h"
#include "daemon/lunstickd/resolver.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct bench {
    struct deferred_list deferred;
    struct loop loop;
    struct loop_watch watches[2];
    int pipe_fds[2][2];
    unsigned ready[2], timers;
    uint64_t due_us;
    struct deferred call;
    unsigned calls, calls_left;
};

static uint64_t prepare(void *ctx)
{
    const struct bench *b = ctx;
    return b->due_us;
}

static void timers(void *ctx)
{
    struct bench *b = ctx;
    b->timers++;
}

static void first_ready(void *ctx, short revents)
{
    struct bench *b = ctx;
    assert_true(revents & POLLIN);
    b->ready[0]++;
    loop_remove(&b->loop, &b->watches[1]);
}

static void second_ready(void *ctx, short revents)
{
    struct bench *b = ctx;
    (void)revents;
    b->ready[1]++;
}

static void run_call(struct deferred *d)
{
    struct bench *b = (struct bench *)((char *)d - offsetof(struct bench, call));
    b->calls++;
    if (--b->calls_left)
        deferred_add(&b->deferred, d);
}

static int make_bench(void **state)
{
    static struct bench b;
    memset(&b, 0, sizeof b);
    memset(&b.loop, 0xa5, sizeof b.loop);
    deferred_list_init(&b.deferred);
    deferred_init(&b.call, run_call);
    loop_init(&b.loop, &b.deferred, prepare, timers, &b);
    for (unsigned i = 0; i < 2; i++) {
        if (pipe(b.pipe_fds[i]) < 0)
            return -1;
        b.watches[i] = (struct loop_watch){.fd = b.pipe_fds[i][0],
                                           .events = POLLIN,
                                           .ready = i ? second_ready : first_ready,
                                           .ctx = &b};
        if (loop_add(&b.loop, &b.watches[i]) < 0)
            return -1;
    }
    *state = &b;
    return 0;
}

static int free_bench(void **state)
{
    const struct bench *b = *state;
    for (unsigned i = 0; i < 4; i++)
        (void)close(b->pipe_fds[i / 2][i % 2]);
    return 0;
}

static void a_ready_descriptor_is_called(void **state)
{
    struct bench *b = *state;
    b->due_us = LOOP_NEVER;
    assert_int_equal(write(b->pipe_fds[1][1], "x", 1), 1);
    assert_int_equal(loop_turn(&b->loop), 0);
    assert_int_equal(b->ready[0], 0);
    assert_int_equal(b->ready[1], 1);
    assert_int_equal(b->timers, 1);
}

static void a_watch_removed_in_the_same_turn_is_not_called(void **state)
{
    struct bench *b = *state;
    b->due_us = LOOP_NEVER;
    assert_int_equal(write(b->pipe_fds[0][1], "x", 1), 1);
    assert_int_equal(write(b->pipe_fds[1][1], "x", 1), 1);
    assert_int_equal(loop_turn(&b->loop), 0);
    assert_int_equal(b->ready[0], 1);
    assert_int_equal(b->ready[1], 0);
}

static void a_turn_ends_when_its_time_has_come(void **state)
{
    struct bench *b = *state;
    uint64_t start_us = loop_now_us();
    b->due_us = start_us + 20000;
    assert_int_equal(loop_turn(&b->loop), 0);
    assert_in_range(loop_now_us() - start_us, 20000, 5000000);
    assert_int_equal(b->timers, 1);
}

static void deferred_calls_run_before_the_wait_until_none_is_left(void **state)
{
    struct bench *b = *state;
    b->due_us = 0;
    b->calls_left = 5;
    deferred_add(&b->deferred, &b->call);
    assert_int_equal(loop_turn(&b->loop), 0);
    assert_int_equal(b->calls, 5);
}

static void endless_deferred_calls_do_not_starve_descriptors(void **state)
{
    struct bench *b = *state;
    b->due_us = LOOP_NEVER;
    b->calls_left = 0; /* wraps: practically for ever */
    deferred_add(&b->deferred, &b->call);
    assert_int_equal(write(b->pipe_fds[1][1], "x", 1), 1);
    assert_int_equal(loop_turn(&b->loop), 0);
    assert_int_equal(b->ready[1], 1);
}

static void a_descriptor_of_minus_one_is_not_watched(void **state)
{
    struct bench *b = *state;
    b->due_us = 0;
    b->watches[0].fd = b->watches[1].fd = -1;
    assert_int_equal(loop_turn(&b->loop), 0);
    assert_int_equal(b->ready[0] + b->ready[1], 0);
}

static void a_full_loop_refuses_one_more(void **state)
{
    struct bench *b = *state;
    static struct loop_watch more[LOOP_WATCHES_MAX];
    for (unsigned i = 2; i < LOOP_WATCHES_MAX; i++)
        assert_int_equal(loop_add(&b->loop, &more[i]), 0);
    assert_int_equal(loop_add(&b->loop, &more[0]), -ENOSPC);
}

static void a_log_line_names_program_and_level(void **state)
{
    char line[LOG_LINE_BYTES];
    (void)state;
    (void)log_format(line, LUN_LOG_WARNING, "too late", "lunstickd", LOG_PLAIN);
    assert_string_equal(line, "lunstickd: warning: too late\n");
    (void)log_format(line, LUN_LOG_INFO, "in time", "lunstickd", LOG_PLAIN);
    assert_string_equal(line, "lunstickd: in time\n");
}

static void a_line_for_the_journal_carries_its_level(void **state)
{
    char line[LOG_LINE_BYTES];
    (void)state;
    (void)log_format(line, LUN_LOG_ERROR, "no", "lunstickd", LOG_JOURNAL);
    assert_string_equal(line, "<3>no\n");
}

static void a_line_for_the_kernel_carries_level_and_program(void **state)
{
    char line[LOG_LINE_BYTES], text[2 * LOG_LINE_BYTES];
    (void)state;
    (void)log_format(line, LUN_LOG_ERROR, "no", "lunstickd", LOG_KERNEL);
    assert_string_equal(line, "<3>lunstickd: error: no\n");
    (void)log_format(line, LUN_LOG_INFO, "yes", "lunstickd", LOG_KERNEL);
    assert_string_equal(line, "<6>lunstickd: yes\n");
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    /* printk.c: a record that is longer is refused */
    assert_in_range(log_format(line, LUN_LOG_INFO, text, "p", LOG_KERNEL), 800, 1024 - 48);
}

static void a_peer_cannot_forge_log_lines(void **state)
{
    char line[LOG_LINE_BYTES];
    (void)state;
    (void)log_format(line, LUN_LOG_INFO, "a\n<3>b\033[2J", "p", LOG_PLAIN);
    assert_string_equal(line, "p: a?<3>b?[2J\n");
}

static void an_endless_line_is_cut(void **state)
{
    char line[LOG_LINE_BYTES], text[2 * LOG_LINE_BYTES];
    (void)state;
    memset(line, 0xa5, sizeof line);
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    size_t length = log_format(line, LUN_LOG_INFO, text, "p", LOG_PLAIN);
    assert_int_equal(length, strlen(line));
    assert_in_range(length, LOG_LINE_BYTES - 8, LOG_LINE_BYTES - 1);
    assert_int_equal(line[length - 1], '\n');
}

/* stderr becomes fds[1], filled up, while the lines are logged. */
static void log_into_the_full(const int fds[2], const char *const *lines)
{
    int keep = dup(STDERR_FILENO);
    while (write(fds[1], "full", 4) > 0) {
    }
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(fcntl(fds[1], F_SETFL, 0), 0);
    assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
    (void)alarm(5); /* a log that blocks ends the test */
    log_init("p", LUN_LOG_INFO);
    for (; *lines; lines++)
        log_text(LUN_LOG_INFO, *lines);
    (void)alarm(0);
    assert_int_equal(dup2(keep, STDERR_FILENO), STDERR_FILENO);
    (void)close(keep);
}

static size_t drain(int fd, char *text, size_t size)
{
    ssize_t n = 0;
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    for (ssize_t got = 1; got > 0; n = got > 0 ? got : n)
        got = read(fd, text, size - 1);
    text[n] = 0;
    return (size_t)n;
}

static void a_log_that_nobody_reads_blocks_nothing(void **state)
{
    static const char *const two[] = {"one", "two", NULL};
    int fds[2];
    (void)state;
    assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
    log_into_the_full(fds, two);
    (void)close(fds[0]);
    (void)close(fds[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    log_into_the_full(fds, two);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void lost_lines_are_counted(void **state)
{
    static const char *const three[] = {"one", "two", "three", NULL};
    static char text[1 << 17];
    int fds[2];
    (void)state;
    assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
    log_into_the_full(fds, three);
    (void)drain(fds[0], text, sizeof text);
    int keep = dup(STDERR_FILENO);
    assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
    log_text(LUN_LOG_INFO, "four");
    assert_int_equal(dup2(keep, STDERR_FILENO), STDERR_FILENO);
    (void)close(keep);
    (void)drain(fds[0], text, sizeof text);
    assert_string_equal(text, "p: warning: 3 lines of the log were lost\np: four\n");
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void said_into(char *text, size_t size, void (*say)(void))
{
    int fds[2], keep = dup(STDERR_FILENO);
    assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
    assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
    say();
    assert_int_equal(dup2(keep, STDERR_FILENO), STDERR_FILENO);
    (void)close(keep);
    (void)close(fds[1]);
    (void)drain(fds[0], text, size);
    (void)close(fds[0]);
}

static void say_the_same(void)
{
    log_init("p", LUN_LOG_DEBUG);
    for (unsigned i = 0; i < 1000; i++)
        log_printf(LUN_LOG_INFO, "nonsense %u", i);
    log_text(LUN_LOG_INFO, "news");
}

static void say_the_same_for_debugging(void)
{
    for (unsigned i = 0; i < 1000; i++)
        log_text(LUN_LOG_DEBUG, "detail");
}

static void what_is_said_again_and_again_is_counted(void **state)
{
    static char text[65536];
    (void)state;
    said_into(text, sizeof text, say_the_same);
    assert_non_null(strstr(text, "p: nonsense 0\np: nonsense 1\np: nonsense 2\np: nonsense 3\n"
                                 "p: nonsense 4\np: news\n"));
    assert_true(log_next_timeout_us() > loop_now_us());
    assert_true(log_next_timeout_us() < UINT64_MAX);
    said_into(text, sizeof text, log_run_timeouts);
    assert_string_equal(text, "");
    said_into(text, sizeof text, log_end);
    assert_non_null(strstr(text, "p: nonsense 999 (and 994 more like it in "));
}

static void debug_lines_are_all_said(void **state)
{
    static char text[65536];
    (void)state;
    said_into(text, sizeof text, say_the_same_for_debugging);
    assert_int_equal(strlen(text), 1000 * strlen("p: debug: detail\n"));
    log_init("p", LUN_LOG_INFO);
}

/* What a process has left out, its child does not say again. */
static void a_new_process_begins_with_an_empty_log(void **state)
{
    static char text[65536];
    (void)state;
    said_into(text, sizeof text, say_the_same);
    log_forked();
    said_into(text, sizeof text, log_end);
    assert_string_equal(text, "");
    log_init("p", LUN_LOG_INFO);
}

struct resolved {
    struct resolver resolver;
    char numeric[64], why[64];
};

static void on_resolved(void *ctx, const char *numeric, const char *why)
{
    struct resolved *r = ctx;
    (void)snprintf(r->numeric, sizeof r->numeric, "%s", numeric ? numeric : "");
    (void)snprintf(r->why, sizeof r->why, "%s", why ? why : "");
}

static struct resolver *make_resolver(struct bench *b, struct resolved *r)
{
    memset(r, 0xa5, sizeof *r);
    r->resolver.done = on_resolved;
    r->resolver.ctx = r;
    b->due_us = LOOP_NEVER;
    assert_int_equal(resolver_init(&r->resolver, &b->loop, getuid(), getgid()), 0);
    return &r->resolver;
}

static void a_numeric_name_is_resolved(void **state)
{
    struct bench *b = *state;
    struct resolved r;
    resolver_ask(make_resolver(b, &r), "127.0.0.1", 0);
    while (r.resolver.deadline_us != LOOP_NEVER)
        assert_int_equal(loop_turn(&b->loop), 0);
    assert_string_equal(r.numeric, "127.0.0.1");
    assert_string_equal(r.why, "");
    assert_true(waitpid(-1, NULL, 0) > 0);
}

static void a_process_that_was_waited_for_is_not_killed(void **state)
{
    struct bench *b = *state;
    struct resolved r;
    struct resolver *resolver = make_resolver(b, &r);
    resolver_ask(resolver, "127.0.0.1", 0);
    pid_t pid = resolver->pid;
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    resolver_died(resolver, pid + 1);
    assert_int_equal(resolver->pid, pid);
    resolver_died(resolver, pid);
    assert_int_equal(resolver->pid, 0);
    assert_true(resolver->deadline_us != LOOP_NEVER); /* the answer is still to be read */
    assert_int_equal(loop_turn(&b->loop), 0);
    while (resolver->deadline_us != LOOP_NEVER)
        assert_int_equal(loop_turn(&b->loop), 0);
    assert_string_equal(r.numeric, "127.0.0.1");
}

static void an_answer_that_does_not_come_is_given_up(void **state)
{
    struct bench *b = *state;
    struct resolved r;
    struct resolver *resolver = make_resolver(b, &r);
    resolver_ask(resolver, "127.0.0.1", 0);
    pid_t pid = resolver->pid;
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    resolver_died(resolver, pid);
    resolver_run_timeout(resolver);
    assert_true(resolver->deadline_us != LOOP_NEVER);
    resolver->deadline_us = 0;
    resolver_run_timeout(resolver);
    assert_string_equal(r.why, "no answer from the name server");
    assert_int_equal(resolver->watch.fd, -1);
}

static void the_service_manager_is_told(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t size = sizeof address;
    char text[128];
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    (void)state;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    size_t name_bytes = size - offsetof(struct sockaddr_un, sun_path);
    memcpy(text, address.sun_path, name_bytes);
    text[0] = '@';
    text[name_bytes] = 0;
    assert_int_equal(setenv("NOTIFY_SOCKET", text, 1), 0);
    assert_int_equal(notify_open(), 0);
    assert_null(getenv("NOTIFY_SOCKET"));
    notify_send("READY=1\nSTATUS=waits");
    ssize_t n = recv(fd, text, sizeof text - 1, 0);
    assert_true(n > 0);
    text[n] = 0;
    assert_string_equal(text, "READY=1\nSTATUS=waits");
    notify_close();
    notify_send("nobody hears this");
    assert_int_equal(recv(fd, text, sizeof text, 0), -1);
    (void)close(fd);
}

static void without_a_service_manager_nothing_is_wrong(void **state)
{
    (void)state;
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    assert_int_equal(notify_open(), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", "relative", 1), 0);
    assert_int_equal(notify_open(), -EINVAL);
}

static void a_geometry_goes_from_child_to_parent(void **state)
{
    const struct outlet_nbd_disk sent = {.geometry = {.bytes = UINT64_C(3) << 40,
                                                      .block_bytes = 4096,
                                                      .max_bytes = 1048576,
                                                      .trim_blocks = UINT32_MAX,
                                                      .flags = 0xd},
                                         .id = "0123456789abcdef"};
    struct outlet_nbd_disk got;
    char text[PRIVSEP_TEXT_BYTES];
    (void)state;
    memset(&got, 0xa5, sizeof got);
    outlet_nbd_print(&sent, text);
    assert_true(outlet_nbd_parse(text, &got));
    assert_int_equal(got.geometry.bytes, sent.geometry.bytes);
    assert_int_equal(got.geometry.block_bytes, sent.geometry.block_bytes);
    assert_int_equal(got.geometry.max_bytes, sent.geometry.max_bytes);
    assert_int_equal(got.geometry.trim_blocks, sent.geometry.trim_blocks);
    assert_int_equal(got.geometry.flags, sent.geometry.flags);
    assert_string_equal(got.id, sent.id);
}

static void a_geometry_that_is_none_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "512 512 4096 0 0123456789abcdef",
        "512 512 4096 0 1 1 0123456789abcdef",
        " 512 512 4096 0 1 0123456789abcdef",
        "512 512 4096 0 65536 0123456789abcdef",
        "0 512 4096 0 1 0123456789abcdef",
        "513 512 4096 0 1 0123456789abcdef",
        "-512 512 4096 0 1 0123456789abcdef",
        "512 0 4096 0 1 0123456789abcdef",
        "768 768 7680 0 1 0123456789abcdef",
        "8192 8192 8192 0 1 0123456789abcdef",
        "512 512 512 0 1 0123456789abcdef",
        "18446744073709551104 512 4096 0 1 0123456789abcdef",
        "512 512 4096 0 1",
        "512 512 4096 0 1 ",
        "512 512 4096 0 1 0123456789abcde",
        "512 512 4096 0 1 0123456789abcdef0",
        "512 512 4096 0 1 0123456789ABCDEF",
        "512 512 4096 0 1 ../../../../etc/",
    };
    struct outlet_nbd_disk got;
    (void)state;
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (outlet_nbd_parse(wrong[i], &got))
            fail_msg("taken for a geometry: \"%s\"", wrong[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_bench, free_bench)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_ready_descriptor_is_called),
        TEST(a_watch_removed_in_the_same_turn_is_not_called),
        TEST(a_turn_ends_when_its_time_has_come),
        TEST(deferred_calls_run_before_the_wait_until_none_is_left),
        TEST(endless_deferred_calls_do_not_starve_descriptors),
        TEST(a_descriptor_of_minus_one_is_not_watched),
        TEST(a_full_loop_refuses_one_more),
        cmocka_unit_test(a_log_line_names_program_and_level),
        cmocka_unit_test(a_line_for_the_journal_carries_its_level),
        cmocka_unit_test(a_line_for_the_kernel_carries_level_and_program),
        cmocka_unit_test(a_peer_cannot_forge_log_lines),
        cmocka_unit_test(an_endless_line_is_cut),
        cmocka_unit_test(lost_lines_are_counted),
        cmocka_unit_test(a_log_that_nobody_reads_blocks_nothing),
        cmocka_unit_test(what_is_said_again_and_again_is_counted),
        cmocka_unit_test(debug_lines_are_all_said),
        cmocka_unit_test(a_new_process_begins_with_an_empty_log),
        TEST(a_numeric_name_is_resolved),
        TEST(a_process_that_was_waited_for_is_not_killed),
        TEST(an_answer_that_does_not_come_is_given_up),
        cmocka_unit_test(the_service_manager_is_told),
        cmocka_unit_test(without_a_service_manager_nothing_is_wrong),
        cmocka_unit_test(a_geometry_goes_from_child_to_parent),
        cmocka_unit_test(a_geometry_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
