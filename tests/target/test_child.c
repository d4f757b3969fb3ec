/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The unprivileged process against a real target, with the test as its parent
 * and socket pairs as its USB: what it says, what rights it has, how it ends.
 */
#include "child_bench.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void asks_to_bind_when_the_disk_is_there(void **state)
{
    struct bench *b = *state;
    start_with_plain_target(b);
    assert_true(strlen(b->status) > 0);
}

/* The numbers of a line of /proc/PID/status; how many there are. */
static unsigned status_numbers(pid_t pid, const char *key, int base, unsigned long long out[4])
{
    char path[64], line[256];
    unsigned count = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        char *at = line + strlen(key), *end = NULL;
        if (strncmp(line, key, strlen(key)) != 0)
            continue;
        for (count = 0; count < 4; count++, at = end) {
            out[count] = strtoull(at, &end, base);
            if (end == at)
                break;
        }
    }
    (void)fclose(f);
    return count;
}

static void has_no_rights_left(void **state)
{
    static const char *const sets[] = {"CapInh:", "CapPrm:", "CapEff:", "CapAmb:", "CapBnd:"};
    struct bench *b = *state;
    unsigned long long n[4] = {0};
    bool by_root = geteuid() == 0; /* else there is little to give up */
    start_with_plain_target(b);
    for (unsigned i = 0; i < (by_root ? 5 : 4); i++) {
        assert_int_equal(status_numbers(b->pid, sets[i], 16, n), 1);
        assert_int_equal(n[0], 0);
    }
    assert_int_equal(status_numbers(b->pid, "Uid:", 10, n), 4);
    assert_true(n[0] && n[1] && n[2] && n[3]);
    assert_int_equal(status_numbers(b->pid, "Gid:", 10, n), 4);
    assert_true(n[0] && n[1] && n[2] && n[3]);
    assert_int_equal(status_numbers(b->pid, "Seccomp:", 10, n), 1);
#ifdef LUNSTICK_SANITIZED
    assert_int_equal(n[0], 0);
#else
    assert_int_equal(n[0], 2);
#endif
    if (by_root) {
        assert_int_equal(status_numbers(b->pid, "NoNewPrivs:", 10, n), 1);
        assert_int_equal(n[0], 1);
        assert_int_equal(status_numbers(b->pid, "Groups:", 10, n), 0);
    }
}

#ifndef LUNSTICK_SANITIZED /* whose shadow memory is beyond counting */

/* How often the text is in the child's writable memory: where a core file would
 * show it, and where none does. */
struct sightings {
    unsigned in_core, kept_out;
};

static unsigned count_in(int mem, unsigned long from, unsigned long to, const char *text)
{
    size_t length = strlen(text), size = to - from;
    unsigned count = 0;
    char *copy = malloc(size);
    assert_non_null(copy);
    ssize_t got = pread(mem, copy, size, (off_t)from);
    for (char *at = copy; got > 0 && (at = memmem(at, (size_t)(copy + got - at), text, length));
         at += length)
        count++;
    free(copy);
    return count;
}

static struct sightings look_for(pid_t pid, const char *text)
{
    struct sightings seen = {0, 0};
    unsigned long from = 0, to = 0;
    char path[64], line[512], rights[5] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    int mem = open(path, O_RDONLY | O_CLOEXEC);
    (void)snprintf(path, sizeof path, "/proc/%d/smaps", (int)pid);
    FILE *maps = fopen(path, "re");
    assert_true(mem >= 0 && maps);
    while (fgets(line, sizeof line, maps)) {
        unsigned long ends[2];
        if (sscanf(line, "%lx-%lx %4s", &ends[0], &ends[1], rights) == 3) {
            from = ends[0];
            to = ends[1];
        } else if (strncmp(line, "VmFlags:", 8) == 0 && rights[1] == 'w')
            *(strstr(line, " dd") ? &seen.kept_out : &seen.in_core) +=
                count_in(mem, from, to, text);
    }
    (void)fclose(maps);
    (void)close(mem);
    return seen;
}

static void no_secret_is_where_a_core_file_would_show_it(struct bench *b)
{
    for (unsigned i = 0; i < 2; i++) {
        struct sightings seen = look_for(b->pid, i ? b->target_secret : b->secret);
        assert_int_equal(seen.in_core, 0);
        assert_int_equal(seen.kept_out, 1);
    }
}

static void start_with_secrets(struct bench *b, const char *tcp_port)
{
    if (geteuid() != 0)
        skip();
    configure(b, "iscsi://joe@127.0.0.1:%s/iqn.2026-01.test:mutual/1", tcp_port);
    strcpy(b->config.luns[0].target_user, "disk");
    b->secret = "secret-of-joe";
    b->target_secret = "secret-of-disk";
    start_child(b);
}

static void a_core_of_a_child_with_a_session_has_no_secret(void **state)
{
    struct bench *b = *state;
    struct privsep_msg msg;
    start_with_secrets(b, port());
    assert_true(heard(b, PRIVSEP_BIND, &msg));
    no_secret_is_where_a_core_file_would_show_it(b);
}

static void a_core_of_a_child_that_waits_for_its_target_has_no_secret(void **state)
{
    struct bench *b = *state;
    struct privsep_msg msg;
    start_with_secrets(b, "1");
    do
        assert_true(heard(b, PRIVSEP_STATUS, &msg));
    while (!strstr(msg.text[0], "refuses"));
    no_secret_is_where_a_core_file_would_show_it(b);
}

/* In its loop's wait: nothing else of it sleeps. */
static void wait_until_asleep(pid_t pid)
{
    char path[64], state = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    for (unsigned i = 0; i < PATIENCE_MS && state != 'S'; i++) {
        FILE *f = fopen(path, "re");
        assert_non_null(f);
        assert_int_equal(fscanf(f, "%*d (%*[^)]) %c", &state), 1);
        (void)fclose(f);
        (void)usleep(1000);
    }
    assert_int_equal(state, 'S');
}

/* Connected, and in the middle of a login that the target does not answer. */
static void a_core_of_a_child_in_its_login_has_no_secret(void **state)
{
    struct bench *b = *state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char tcp_port[8], login[48];
    struct privsep_msg msg;
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    (void)snprintf(tcp_port, sizeof tcp_port, "%u", ntohs(address.sin_port));
    start_with_secrets(b, tcp_port);

    assert_true(heard(b, PRIVSEP_STATUS, &msg));
    int target = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_int_equal(recv(target, login, sizeof login, MSG_WAITALL), sizeof login);
    wait_until_asleep(b->pid);
    no_secret_is_where_a_core_file_would_show_it(b);
    (void)close(target);
    (void)close(listener);
}

#endif

static void answers_its_control_socket(void **state)
{
    struct bench *b = *state;
    char *answer = malloc(65536);
    struct privsep_msg msg;
    assert_non_null(answer);
    start_with_plain_target(b);
    privsep_init(&msg, PRIVSEP_BOUND);
    msg.number = PRIVSEP_IS_BOUND;
    tell(b, &msg);
    ask(b, "status json\n", answer, 65536);
    assert_non_null(strstr(answer, "\"state\":\"UP\""));
    assert_non_null(strstr(answer, "\"udc\":\"a.udc\",\"bound\":true"));
    ask(b, "status\n", answer, 65536);
    assert_non_null(strstr(answer, "iqn.2026-01.test:plain"));
    ask(b, "reboot\n", answer, 65536);
    assert_non_null(strstr(answer, "2 there is no such request"));
    free(answer);
}

static void stops_when_told_to(void **state)
{
    struct bench *b = *state;
    struct privsep_msg msg;
    start_with_plain_target(b);
    privsep_init(&msg, PRIVSEP_STOP);
    tell(b, &msg);
    assert_int_equal(exit_status(b), CHILD_EXIT_STOPPED);
}

static void told_to_stop_during_set_up_is_no_fault(void **state)
{
    struct bench *b = *state;
    struct privsep_msg msg;
    struct pollfd pfd;
    configure(b, "iscsi://127.0.0.1:%s/iqn.2026-01.test:plain/1", port());
    start_child(b);
    pfd = (struct pollfd){.fd = b->sock, .events = POLLIN};
    assert_int_equal(poll(&pfd, 1, PATIENCE_MS), 1); /* it waits for the endpoints */
    privsep_init(&msg, PRIVSEP_STOP);
    tell(b, &msg);
    assert_int_equal(exit_status(b), CHILD_EXIT_STOPPED);
}

static void a_disk_that_cannot_be_plugged_in_is_reported(void **state)
{
    struct bench *b = *state;
    struct privsep_msg msg;
    start_with_plain_target(b);
    privsep_init(&msg, PRIVSEP_BOUND);
    privsep_text(&msg, 0, "the UDC a.udc is in use by the gadget other");
    tell(b, &msg);
    do
        assert_true(heard(b, PRIVSEP_STATUS, &msg));
    while (!strstr(msg.text[0], "in use by the gadget other"));
}

static void stops_on_a_signal(void **state)
{
    struct bench *b = *state;
    start_with_plain_target(b);
    assert_int_equal(kill(b->pid, SIGTERM), 0);
    assert_int_equal(exit_status(b), CHILD_EXIT_STOPPED);
}

static void ends_without_its_parent(void **state)
{
    struct bench *b = *state;
    start_with_plain_target(b);
    (void)close(b->sock);
    b->sock = -1;
    assert_int_equal(exit_status(b), CHILD_EXIT_BROKEN);
}

static void a_wrong_target_name_is_permanent(void **state)
{
    struct bench *b = *state;
    struct privsep_msg msg;
    configure(b, "iscsi://127.0.0.1:%s/iqn.2026-01.test:nothing/1", port());
    start_child(b);
    assert_false(heard(b, PRIVSEP_BIND, &msg));
    assert_int_equal(exit_status(b), CHILD_EXIT_PERMANENT);
}

static void a_refused_connection_ends_only_once(void **state)
{
    struct bench *b = *state;
    struct privsep_msg msg;
    configure(b, "iscsi://127.0.0.1:1/iqn.2026-01.test:plain/1");
    b->config.once = true;
    start_child(b);
    assert_false(heard(b, PRIVSEP_BIND, &msg));
    assert_int_equal(exit_status(b), CHILD_EXIT_TRANSIENT);
}

static void a_refused_connection_is_waited_out_and_told(void **state)
{
    struct bench *b = *state;
    struct privsep_msg msg;
    configure(b, "iscsi://127.0.0.1:1/iqn.2026-01.test:plain/1");
    start_child(b);
    privsep_init(&msg, PRIVSEP_STATUS);
    do
        assert_true(heard(b, PRIVSEP_STATUS, &msg));
    while (!strstr(msg.text[0], "refuses"));
    assert_int_equal(waitpid(b->pid, NULL, WNOHANG), 0);
}

static void names_are_resolved_by_the_parent(void **state)
{
    struct bench *b = *state;
    struct privsep_msg msg;
    configure(b, "iscsi://target.example:%s/iqn.2026-01.test:plain/1", port());
    start_child(b);
    privsep_init(&msg, PRIVSEP_RESOLVE);
    assert_true(heard(b, PRIVSEP_RESOLVE, &msg));
    assert_int_equal(msg.number, 0);
    privsep_init(&msg, PRIVSEP_RESOLVED);
    privsep_text(&msg, 1, "not today");
    tell(b, &msg);
    assert_true(heard(b, PRIVSEP_RESOLVE, &msg));
    assert_int_equal(msg.number, 1);
    privsep_init(&msg, PRIVSEP_RESOLVED);
    privsep_text(&msg, 0, "127.0.0.1");
    tell(b, &msg);
    assert_true(heard(b, PRIVSEP_BIND, &msg));
}

/* Its answer to the next RESOLVE, whose number is `number` or more. */
static void resolve(struct bench *b, uint32_t number, const char *numeric, const char *why)
{
    struct privsep_msg msg;
    privsep_init(&msg, PRIVSEP_RESOLVE);
    assert_true(heard(b, PRIVSEP_RESOLVE, &msg));
    assert_true(msg.number >= number);
    privsep_init(&msg, PRIVSEP_RESOLVED);
    privsep_text(&msg, 0, numeric);
    privsep_text(&msg, 1, why);
    tell(b, &msg);
}

static void what_a_target_that_was_away_refuses_is_tried_again(void **state)
{
    struct bench *b = *state;
    configure(b, "iscsi://target.example:%s/iqn.2026-01.test:nothing/1", port());
    start_child(b);
    resolve(b, 0, "", "not today");
    resolve(b, 1, "127.0.0.1", "");
    resolve(b, 2, "127.0.0.1", "");
    assert_int_equal(waitpid(b->pid, NULL, WNOHANG), 0);
}

static void a_disk_that_the_host_knew_is_never_given_up(void **state)
{
    struct bench *b = *state;
    configure(b, "iscsi://target.example:%s/iqn.2026-01.test:nothing/1", port());
    b->start.again = true;
    start_child(b);
    resolve(b, 0, "127.0.0.1", "");
    resolve(b, 1, "127.0.0.1", "");
    assert_int_equal(waitpid(b->pid, NULL, WNOHANG), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_bench, end_bench)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(asks_to_bind_when_the_disk_is_there),
        TEST(has_no_rights_left),
#ifndef LUNSTICK_SANITIZED
        TEST(a_core_of_a_child_with_a_session_has_no_secret),
        TEST(a_core_of_a_child_that_waits_for_its_target_has_no_secret),
        TEST(a_core_of_a_child_in_its_login_has_no_secret),
#endif
        TEST(answers_its_control_socket),
        TEST(stops_when_told_to),
        TEST(told_to_stop_during_set_up_is_no_fault),
        TEST(a_disk_that_cannot_be_plugged_in_is_reported),
        TEST(stops_on_a_signal),
        TEST(ends_without_its_parent),
        TEST(a_wrong_target_name_is_permanent),
        TEST(a_refused_connection_ends_only_once),
        TEST(a_refused_connection_is_waited_out_and_told),
        TEST(names_are_resolved_by_the_parent),
        TEST(what_a_target_that_was_away_refuses_is_tried_again),
        TEST(a_disk_that_the_host_knew_is_never_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
