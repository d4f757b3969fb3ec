/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/lunstickd/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct bench {
    struct deferred_list deferred;
    struct loop loop;
    struct control control;
    struct sockaddr_un address;
    socklen_t address_bytes;
    char last_request[CONTROL_REQUEST_BYTES];
    unsigned requests;
    size_t answer_bytes; /* of the next answer, all 'x' */
    uint32_t tickets[CONTROL_CLIENTS];
    bool later; /* the next answers come later */
};

static size_t respond(void *ctx, char *line, uint32_t ticket, char *answer, size_t size)
{
    struct bench *b = ctx;
    assert_in_range(b->answer_bytes, 0, size);
    assert_true(ticket != 0);
    b->tickets[b->requests % CONTROL_CLIENTS] = ticket;
    b->requests++;
    (void)snprintf(b->last_request, sizeof b->last_request, "%s", line);
    memset(answer, 'x', b->answer_bytes);
    return b->later ? CONTROL_LATER : b->answer_bytes;
}

/* A turn never waits longer than this: the tests ask for progress, not time. */
static uint64_t soon(void *ctx)
{
    (void)ctx;
    return loop_now_us() + 1000;
}

static void nothing_due(void *ctx)
{
    (void)ctx;
}

static int make_bench(void **state)
{
    struct bench *b = malloc(sizeof *b);
    if (!b)
        return -1;
    memset(b, 0xa5, sizeof *b);
    deferred_list_init(&b->deferred);
    loop_init(&b->loop, &b->deferred, soon, nothing_due, b);
    b->requests = 0;
    b->answer_bytes = 10;
    b->later = false;
    b->control.respond = respond;
    b->control.ctx = b;
    /* autobind: a free abstract name */
    memset(&b->address, 0, sizeof b->address);
    b->address.sun_family = AF_UNIX;
    b->address_bytes = sizeof b->address;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&b->address, sizeof(sa_family_t)) < 0 || listen(fd, 16) < 0 ||
        getsockname(fd, (struct sockaddr *)&b->address, &b->address_bytes) < 0)
        return -1;
    *state = b;
    return control_init(&b->control, &b->loop, fd);
}

static int free_bench(void **state)
{
    struct bench *b = *state;
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
        if (b->control.clients[i].watch.fd >= 0)
            (void)close(b->control.clients[i].watch.fd);
    (void)close(b->control.listener.fd);
    free(b);
    return 0;
}

static int client(const struct bench *b)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&b->address, b->address_bytes), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void turns(struct bench *b, unsigned count)
{
    while (count--)
        assert_int_equal(loop_turn(&b->loop), 0);
}

/* Bytes until the end of file; -1 if the connection is still open. */
static ssize_t receive_all(struct bench *b, int fd)
{
    char buf[4096];
    ssize_t total = 0;
    for (unsigned idle = 0; idle < 10;) {
        ssize_t n = recv(fd, buf, sizeof buf, 0);
        if (n == 0 || (n < 0 && errno == ECONNRESET))
            return total;
        if (n > 0) {
            total += n;
        } else {
            idle++;
            turns(b, 1);
        }
    }
    return -1;
}

static void a_line_is_answered_and_the_connection_closed(void **state)
{
    struct bench *b = *state;
    int fd = client(b);
    say(fd, "status json\n");
    assert_int_equal(receive_all(b, fd), 10);
    assert_string_equal(b->last_request, "status json");
    (void)close(fd);
}

static void a_line_in_pieces_is_one_request(void **state)
{
    struct bench *b = *state;
    int fd = client(b);
    say(fd, "sta");
    turns(b, 3);
    assert_int_equal(b->requests, 0);
    say(fd, "tus\n");
    assert_int_equal(receive_all(b, fd), 10);
    assert_string_equal(b->last_request, "status");
    (void)close(fd);
}

static void the_end_of_file_ends_a_line(void **state)
{
    struct bench *b = *state;
    int fd = client(b);
    say(fd, "status");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_int_equal(receive_all(b, fd), 10);
    assert_string_equal(b->last_request, "status");
    (void)close(fd);
}

static void a_line_without_end_is_dropped(void **state)
{
    struct bench *b = *state;
    char text[CONTROL_REQUEST_BYTES];
    int fd = client(b);
    memset(text, 'y', sizeof text - 1);
    text[sizeof text - 1] = 0;
    say(fd, text);
    assert_int_equal(receive_all(b, fd), 0);
    assert_int_equal(b->requests, 0);
    (void)close(fd);
}

static void nothing_is_no_request(void **state)
{
    struct bench *b = *state;
    int fd = client(b);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_int_equal(receive_all(b, fd), 0);
    assert_int_equal(b->requests, 0);
    (void)close(fd);
}

static void the_longest_answer_arrives_whole(void **state)
{
    struct bench *b = *state;
    int fd = client(b);
    b->answer_bytes = CONTROL_ANSWER_BYTES;
    say(fd, "status\n");
    turns(b, 5);
    assert_int_equal(receive_all(b, fd), CONTROL_ANSWER_BYTES);
    (void)close(fd);
}

static void one_client_too_many_waits_for_its_turn(void **state)
{
    struct bench *b = *state;
    int silent[CONTROL_CLIENTS];
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
        silent[i] = client(b);
    int late = client(b);
    say(late, "status\n");
    turns(b, 5);
    assert_int_equal(b->requests, 0);
    (void)close(silent[1]);
    assert_int_equal(receive_all(b, late), 10);
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
        if (i != 1)
            (void)close(silent[i]);
    (void)close(late);
}

static void who_is_silent_is_dropped_in_time(void **state)
{
    struct bench *b = *state;
    int fd = client(b);
    turns(b, 2);
    uint64_t due_us = control_next_timeout_us(&b->control);
    assert_in_range(due_us, loop_now_us(), loop_now_us() + CONTROL_SECONDS * 1000000ULL);
    control_run_timeouts(&b->control);
    assert_int_equal(receive_all(b, fd), -1);
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
        b->control.clients[i].deadline_us = 0;
    control_run_timeouts(&b->control);
    assert_int_equal(receive_all(b, fd), 0);
    assert_true(control_next_timeout_us(&b->control) == LOOP_NEVER);
    (void)close(fd);
}

static void clients_that_hang_up_cost_nothing(void **state)
{
    struct bench *b = *state;
    for (unsigned i = 0; i < 3 * CONTROL_CLIENTS; i++) {
        int fd = client(b);
        say(fd, i % 2 ? "status\n" : "sta");
        (void)close(fd);
        turns(b, 4);
    }
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
        assert_int_equal(b->control.clients[i].watch.fd, -1);
}

static void an_answer_may_come_later(void **state)
{
    struct bench *b = *state;
    int fd = client(b);
    b->later = true;
    say(fd, "insert\n");
    assert_int_equal(receive_all(b, fd), -1);
    assert_int_equal(b->requests, 1);
    uint64_t due_us = control_next_timeout_us(&b->control);
    assert_true(due_us > loop_now_us() + (CONTROL_LATER_SECONDS - 2) * 1000000ULL);
    control_answer(&b->control, b->tickets[0], "0 done\n");
    assert_int_equal(receive_all(b, fd), 7);
    (void)close(fd);
}

static void others_are_answered_meanwhile(void **state)
{
    struct bench *b = *state;
    int waits = client(b), fd = client(b);
    b->later = true;
    say(waits, "insert\n");
    turns(b, 5);
    b->later = false;
    say(fd, "status\n");
    assert_int_equal(receive_all(b, fd), 10);
    control_answer(&b->control, b->tickets[0], "0 done\n");
    assert_int_equal(receive_all(b, waits), 7);
    (void)close(waits);
    (void)close(fd);
}

/* Its place is another's now. */
static void who_does_not_wait_for_its_answer_leaves_it_to_nobody(void **state)
{
    struct bench *b = *state;
    int gone = client(b);
    b->later = true;
    say(gone, "insert\n");
    turns(b, 5);
    (void)close(gone);
    turns(b, 5);
    int fd = client(b);
    say(fd, "insert\n");
    turns(b, 5);
    assert_int_equal(b->requests, 2);
    control_answer(&b->control, b->tickets[0], "0 first\n");
    assert_int_equal(receive_all(b, fd), -1);
    control_answer(&b->control, b->tickets[1], "0 the second\n");
    assert_int_equal(receive_all(b, fd), 13);
    (void)close(fd);
}

static void nobody_is_answered_twice(void **state)
{
    struct bench *b = *state;
    int fd = client(b), other = client(b);
    b->later = true;
    say(fd, "insert\n");
    turns(b, 5);
    control_answer(&b->control, b->tickets[0], "0 done\n");
    control_answer(&b->control, b->tickets[0], "0 done\n");
    control_answer(&b->control, 0, "0 done\n");
    assert_int_equal(receive_all(b, fd), 7);
    assert_int_equal(receive_all(b, other), -1);
    (void)close(fd);
    (void)close(other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_bench, free_bench)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_line_is_answered_and_the_connection_closed),
        TEST(a_line_in_pieces_is_one_request),
        TEST(the_end_of_file_ends_a_line),
        TEST(a_line_without_end_is_dropped),
        TEST(nothing_is_no_request),
        TEST(the_longest_answer_arrives_whole),
        TEST(one_client_too_many_waits_for_its_turn),
        TEST(who_is_silent_is_dropped_in_time),
        TEST(clients_that_hang_up_cost_nothing),
        TEST(an_answer_may_come_later),
        TEST(others_are_answered_meanwhile),
        TEST(who_does_not_wait_for_its_answer_leaves_it_to_nobody),
        TEST(nobody_is_answered_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
