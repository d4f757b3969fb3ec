/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The states of a session in virtual time, over a connection that is a script:
 * this file defines conn.h's functions, so that the real ones are not linked.
 */
#include "initiator/conn.h"
#include "initiator/session.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- the scripted connection ---- */

struct conn {
    const struct conn_events *events;
    void *ctx;
    struct deferred_list *deferred;
    struct conn_params params;
    bool open, tcp;
    unsigned opens, closes, nops, logouts;
    char portal[128];
    struct backend_cmd *held[4];
    unsigned held_count;
    struct conn_agreed agreed;
};

static struct conn conn;

struct conn *conn_create(const struct conn_events *events, void *ctx,
                         struct deferred_list *deferred)
{
    conn.events = events;
    conn.ctx = ctx;
    conn.deferred = deferred;
    return &conn;
}

void conn_destroy(struct conn *c)
{
    assert_false(c->open);
}

void conn_open(struct conn *c, const struct conn_params *params)
{
    assert_false(c->open);
    c->params = *params;
    strncpy(c->portal, params->portal, sizeof(c->portal) - 1);
    c->open = true;
    c->opens++;
}

void conn_close(struct conn *c)
{
    if (c->open)
        c->closes++;
    c->open = c->tcp = false;
    for (unsigned i = 0; i < c->held_count; i++) {
        c->held[i]->result = BACKEND_LOST;
        deferred_add(c->deferred, &c->held[i]->done);
    }
    c->held_count = 0;
}

bool conn_has_tcp(const struct conn *c)
{
    return c->tcp;
}

int conn_submit(struct conn *c, struct backend_cmd *cmd)
{
    c->held[c->held_count++] = cmd;
    return 0;
}

int conn_nop(struct conn *c)
{
    c->nops++;
    return 0;
}

int conn_logout(struct conn *c)
{
    c->logouts++;
    return 0;
}

int conn_fd(const struct conn *c)
{
    return c->open ? 7 : -1;
}

short conn_poll_events(const struct conn *c)
{
    (void)c;
    return POLLIN;
}

void conn_service(struct conn *c, short revents)
{
    (void)c;
    (void)revents;
}

unsigned conn_outstanding(const struct conn *c)
{
    return c->held_count;
}

const struct conn_agreed *conn_agreed(const struct conn *c)
{
    return &c->agreed;
}

const void *conn_last_iov_base(const struct conn *c)
{
    (void)c;
    return NULL;
}

/* ---- the bench ---- */

static struct {
    uint64_t now_us;
    struct deferred_list deferred;
    struct session_config config;
    struct session *session;
    unsigned ups, downs, faults, asked, mores, done;
    unsigned done_at_down;
    unsigned logged, warned; /* lines of level INFO and more important, WARNING and more */
    unsigned causes;         /* lines that say "refused" */
    bool accept;
    bool any_name, no_fault; /* set before start() */
    enum backend_fault fault;
    char why[SESSION_WHY_BYTES];
} b;

static uint64_t now(void)
{
    return b.now_us;
}

static void on_up(void *ctx)
{
    (void)ctx;
    b.ups++;
    if (b.accept)
        session_backend(b.session)->ops->accept(session_backend(b.session));
}

static void on_down(void *ctx, const char *why)
{
    (void)ctx;
    (void)why;
    b.downs++;
    b.done_at_down = b.done;
}

static void on_more(void *ctx)
{
    (void)ctx;
    b.mores++;
}

static const struct backend_events backend_events = {on_up, on_down, on_more};

static void on_fault(void *ctx, enum backend_fault fault, const char *why)
{
    (void)ctx;
    b.faults++;
    b.fault = fault;
    strncpy(b.why, why, sizeof(b.why) - 1);
}

static void on_log(enum lun_log_level level, const char *text)
{
    b.logged += level <= LUN_LOG_INFO;
    b.warned += level <= LUN_LOG_WARNING;
    b.causes += strstr(text, "refused") != NULL;
}

static void on_resolve(void *ctx, const char *host)
{
    (void)ctx;
    if (!b.any_name)
        assert_string_equal(host, "disk.example");
    b.asked++;
}

static void on_done(struct deferred *d)
{
    (void)d;
    b.done++;
}

/* Lets `ms` pass, calling the timers when they ask for it. */
static void pass(uint64_t ms)
{
    uint64_t end_us = b.now_us + ms * 1000;

    while (deferred_run(&b.deferred) > 0) {
    }
    for (;;) {
        uint64_t next_us = session_next_timeout_us(b.session);
        if (next_us > end_us)
            break;
        if (next_us > b.now_us)
            b.now_us = next_us;
        session_run_timeouts(b.session);
        while (deferred_run(&b.deferred) > 0) {
        }
    }
    b.now_us = end_us;
}

static void start(const char *host)
{
    bool any_name = b.any_name;
    bool no_fault = b.no_fault;

    memset(&b, 0, sizeof(b));
    b.any_name = any_name;
    memset(&conn, 0, sizeof(conn));
    b.now_us = 1000000;
    b.accept = true;
    deferred_list_init(&b.deferred);
    strcpy(b.config.address.host, host);
    strcpy(b.config.address.iqn, "iqn.2026-01.test:disk");
    b.config.address.port = 3260;
    strcpy(b.config.initiator_name, "iqn.2026-01.test:us");
    session_isid(b.config.isid, "a", "b", "c", "d");
    b.config.deferred = &b.deferred;
    b.config.now_us = now;
    b.config.log = on_log;
    b.config.fault = no_fault ? NULL : on_fault;
    b.config.resolve = on_resolve;
    b.session = session_create(&b.config);
    assert_non_null(b.session);
    session_backend(b.session)->events = &backend_events;
    session_start(b.session);
    pass(0);
}

static int finish(void **state)
{
    (void)state;
    session_destroy(b.session);
    memset(&b, 0, sizeof(b));
    return 0;
}

static enum session_state state_now(void)
{
    return session_stats(b.session)->state;
}

static void log_in(void)
{
    conn.tcp = true;
    conn.events->logged_in(conn.ctx);
    pass(0);
}

static void close_by_target(void)
{
    conn.events->closed(conn.ctx, "closed");
    pass(0);
}

static void fail_conn(enum backend_fault fault, const char *why)
{
    conn.events->failed(conn.ctx, fault, why);
    pass(0);
}

/* ---- tests ---- */

static void a_numeric_portal_is_connected_to_at_once(void **state)
{
    (void)state;
    start("192.0.2.1");
    assert_int_equal(state_now(), SESSION_CONNECTING);
    assert_string_equal(conn.portal, "192.0.2.1:3260");
    assert_int_equal(b.asked, 0);
}

static void an_ipv6_portal_gets_brackets(void **state)
{
    (void)state;
    start("2001:db8::1");
    assert_string_equal(conn.portal, "[2001:db8::1]:3260");
}

static void a_login_is_announced_and_accepted(void **state)
{
    (void)state;
    start("192.0.2.1");
    log_in();
    assert_int_equal(b.ups, 1);
    assert_int_equal(state_now(), SESSION_UP);
    assert_int_equal(session_stats(b.session)->logins, 1);
}

static void waiting_doubles_up_to_its_limit(void **state)
{
    static const unsigned waits_ms[] = {100, 200, 400, 800, 1000, 1000};

    (void)state;
    start("192.0.2.1");
    for (unsigned i = 0; i < 6; i++) {
        fail_conn(BACKEND_FAULT_TRANSIENT, "refused");
        assert_int_equal(state_now(), SESSION_BACKOFF);
        pass(waits_ms[i] - 1);
        assert_int_equal(conn.opens, i + 1);
        pass(1);
        assert_int_equal(conn.opens, i + 2);
    }
    assert_int_equal(b.faults, 6);
}

static void an_acceptance_makes_waiting_short_again(void **state)
{
    (void)state;
    start("192.0.2.1");
    for (unsigned i = 0; i < 5; i++) {
        fail_conn(BACKEND_FAULT_TRANSIENT, "refused");
        pass(2000);
    }
    log_in();
    fail_conn(BACKEND_FAULT_TRANSIENT, "lost");
    pass(100);
    assert_int_equal(state_now(), SESSION_CONNECTING);
}

static void a_connection_that_takes_too_long_is_given_up(void **state)
{
    (void)state;
    start("192.0.2.1");
    pass(1999);
    assert_int_equal(b.faults, 0);
    pass(1);
    assert_int_equal(b.faults, 1);
    assert_int_equal(b.fault, BACKEND_FAULT_TRANSIENT);
    assert_non_null(strstr(b.why, "does not answer within 2000 ms: check address and network"));
    assert_int_equal(conn.closes, 1);
}

static void a_login_that_takes_too_long_is_given_up(void **state)
{
    (void)state;
    start("192.0.2.1");
    conn.tcp = true;
    pass(4999);
    assert_int_equal(b.faults, 0);
    pass(1);
    assert_int_equal(b.faults, 1);
    assert_int_equal(b.fault, BACKEND_FAULT_TRANSIENT);
    assert_non_null(strstr(b.why, "does not answer the login within 5000 ms"));
    assert_int_equal(conn.closes, 1);
}

static void a_probe_that_takes_too_long_is_given_up(void **state)
{
    (void)state;
    start("192.0.2.1");
    b.accept = false;
    log_in();
    for (unsigned i = 0; i < 19; i++) {
        session_service(b.session, POLLIN); /* the target is alive */
        pass(1000);
    }
    assert_int_equal(state_now(), SESSION_PROBING);
    session_service(b.session, POLLIN);
    pass(1000);
    assert_int_equal(b.downs, 1);
    assert_non_null(strstr(b.why, "LUN 0"));
}

static void a_permanent_fault_stays_down(void **state)
{
    (void)state;
    start("192.0.2.1");
    fail_conn(BACKEND_FAULT_PERMANENT, "no such target");
    assert_int_equal(state_now(), SESSION_DOWN);
    assert_int_equal(b.fault, BACKEND_FAULT_PERMANENT);
    pass(60000);
    assert_int_equal(conn.opens, 1);
    assert_int_equal(b.faults, 1);
}

static void nothing_is_permanent_after_an_acceptance(void **state)
{
    (void)state;
    start("192.0.2.1");
    log_in();
    fail_conn(BACKEND_FAULT_TRANSIENT, "lost");
    pass(100);
    fail_conn(BACKEND_FAULT_PERMANENT, "no such target");
    assert_int_equal(state_now(), SESSION_BACKOFF);
    assert_int_equal(b.fault, BACKEND_FAULT_TRANSIENT);
}

static void names_are_asked_for_with_each_attempt(void **state)
{
    (void)state;
    start("disk.example");
    assert_int_equal(state_now(), SESSION_RESOLVING);
    assert_int_equal(b.asked, 1);
    session_resolved(b.session, "192.0.2.7", NULL);
    assert_string_equal(conn.portal, "192.0.2.7:3260");
    fail_conn(BACKEND_FAULT_TRANSIENT, "refused");
    pass(100);
    assert_int_equal(b.asked, 2);
}

/* Logs in at an address that the name service gave, and loses the session. */
static void lose_session_at(const char *numeric)
{
    session_resolved(b.session, numeric, NULL);
    log_in();
    fail_conn(BACKEND_FAULT_TRANSIENT, "lost");
}

static void after_a_loss_the_same_address_is_tried_once_without_asking(void **state)
{
    (void)state;
    start("disk.example");
    lose_session_at("192.0.2.7");
    pass(100);
    assert_int_equal(b.asked, 1);
    assert_int_equal(conn.opens, 2);
    assert_string_equal(conn.portal, "192.0.2.7:3260");
    fail_conn(BACKEND_FAULT_TRANSIENT, "refused");
    pass(200);
    assert_int_equal(b.asked, 2);
    assert_int_equal(state_now(), SESSION_RESOLVING);
}

static void an_address_that_worked_serves_while_names_do_not_resolve(void **state)
{
    (void)state;
    start("disk.example");
    lose_session_at("192.0.2.7");
    pass(100);
    fail_conn(BACKEND_FAULT_TRANSIENT, "refused");
    pass(200);
    session_resolved(b.session, NULL, "Try again");
    assert_int_equal(conn.opens, 3);
    assert_string_equal(conn.portal, "192.0.2.7:3260");
    fail_conn(BACKEND_FAULT_TRANSIENT, "refused");
    pass(400);
    assert_int_equal(b.asked, 3);
    pass(3000); /* nobody answers */
    assert_int_equal(conn.opens, 4);
    log_in();
    assert_int_equal(state_now(), SESSION_UP);
}

static void an_address_that_no_disk_was_accepted_at_is_not_used_again(void **state)
{
    (void)state;
    start("disk.example");
    session_resolved(b.session, "192.0.2.7", NULL);
    b.accept = false;
    log_in();
    fail_conn(BACKEND_FAULT_TRANSIENT, "lost");
    pass(100);
    assert_int_equal(b.asked, 2);
    session_resolved(b.session, NULL, "Try again");
    pass(0);
    assert_int_equal(conn.opens, 1);
    assert_int_equal(state_now(), SESSION_BACKOFF);
}

static void a_name_that_a_redirect_gave_does_not_become_the_address(void **state)
{
    (void)state;
    start("disk.example");
    session_resolved(b.session, "192.0.2.7", NULL);
    conn.events->redirected(conn.ctx, "192.0.2.9:3261");
    pass(0);
    log_in();
    fail_conn(BACKEND_FAULT_TRANSIENT, "lost");
    pass(100);
    assert_int_equal(b.asked, 2);
}

static void a_name_service_that_hangs_is_given_up_and_asked_again(void **state)
{
    (void)state;
    start("disk.example");
    pass(10000);
    assert_int_equal(b.faults, 1);
    assert_int_equal(b.fault, BACKEND_FAULT_TRANSIENT);
    pass(100);
    assert_int_equal(b.asked, 2);
}

static void an_answer_that_nobody_waits_for_is_dropped(void **state)
{
    (void)state;
    start("disk.example");
    session_resolved(b.session, "192.0.2.7", NULL);
    session_resolved(b.session, "192.0.2.8", NULL);
    assert_int_equal(conn.opens, 1);
    fail_conn(BACKEND_FAULT_TRANSIENT, "refused");
    session_resolved(b.session, "192.0.2.8", NULL);
    assert_int_equal(conn.opens, 1);
}

static void an_answer_that_is_no_address_is_a_fault(void **state)
{
    (void)state;
    start("disk.example");
    session_resolved(b.session, "disk.example", NULL);
    pass(0);
    assert_int_equal(b.faults, 1);
    assert_int_equal(conn.opens, 0);
}

static void keepalives_come_when_nothing_else_does(void **state)
{
    (void)state;
    start("192.0.2.1");
    log_in();
    pass(0);
    assert_int_equal(conn.nops, 1); /* the first measures the round-trip time */
    session_service(b.session, POLLIN);
    pass(4999);
    assert_int_equal(conn.nops, 1);
    session_service(b.session, POLLIN);
    pass(4999);
    assert_int_equal(conn.nops, 1);
    pass(1);
    assert_int_equal(conn.nops, 2);
}

static void two_unheard_keepalives_are_a_loss(void **state)
{
    (void)state;
    start("192.0.2.1");
    log_in();
    pass(0);
    session_service(b.session, POLLIN);
    pass(14999);
    assert_int_equal(conn.nops, 3);
    assert_int_equal(b.downs, 0);
    pass(1);
    assert_int_equal(b.downs, 1);
    assert_non_null(strstr(b.why, "two keepalives"));
}

static void round_trip_time_is_measured(void **state)
{
    (void)state;
    start("192.0.2.1");
    log_in();
    pass(0);
    b.now_us += 20000;
    conn.events->nop_answered(conn.ctx);
    assert_int_equal(session_stats(b.session)->keepalive_rtt_us, 20000);
}

static void a_name_in_use_elsewhere_is_told_after_two_short_lives(void **state)
{
    (void)state;
    start("192.0.2.1");
    for (unsigned i = 0; i < 3; i++) {
        log_in();
        pass(3000);
        session_service(b.session, POLLIN);
        close_by_target();
        assert_int_equal(strstr(b.why, "another initiator") != NULL, i > 0);
        pass(2000);
    }
}

static void a_name_in_use_elsewhere_makes_the_waits_longer(void **state)
{
    static const unsigned waits_ms[] = {100, 200, 400, 800, 1600, 2000};

    (void)state;
    start("192.0.2.1");
    for (unsigned i = 0; i < 6; i++) {
        log_in();
        close_by_target();
        pass(waits_ms[i] - 1);
        assert_int_equal(conn.opens, i + 1);
        pass(1);
        assert_int_equal(conn.opens, i + 2);
    }
}

static void a_session_that_is_closed_during_the_probe_may_be_anothers(void **state)
{
    (void)state;
    start("192.0.2.1");
    b.accept = false;
    log_in();
    close_by_target();
    assert_int_equal(b.fault, BACKEND_FAULT_TRANSIENT);
    assert_non_null(strstr(b.why, "another initiator"));
}

static void other_faults_in_short_lives_are_no_conflict(void **state)
{
    (void)state;
    start("192.0.2.1");
    for (unsigned i = 0; i < 3; i++) {
        log_in();
        fail_conn(BACKEND_FAULT_TRANSIENT, "the target broke the protocol");
        assert_null(strstr(b.why, "another initiator"));
        pass(2000);
    }
}

static void two_long_lives_are_no_conflict(void **state)
{
    (void)state;
    start("192.0.2.1");
    for (unsigned i = 0; i < 3; i++) {
        log_in();
        for (unsigned s = 0; s < 11; s++) {
            session_service(b.session, POLLIN);
            pass(1000);
        }
        close_by_target();
        assert_null(strstr(b.why, "another initiator"));
        pass(2000);
    }
}

/* ---- what the user reads ---- */

static void the_longest_fault_is_told_in_full(void **state)
{
    char cause[CONN_WHY_BYTES];

    (void)state;
    start("192.0.2.1");
    log_in();
    close_by_target();
    pass(100);
    log_in();
    memset(cause, 'x', sizeof(cause) - 2);
    cause[sizeof(cause) - 2] = '!';
    cause[sizeof(cause) - 1] = '\0';
    conn.events->closed(conn.ctx, cause);
    pass(0);
    assert_non_null(strstr(b.why, "x!: another initiator uses this name"));
    assert_string_equal(b.why + strlen(b.why) - 10, "restarting");
    assert_string_equal(session_stats(b.session)->last_fault, b.why);
}

static void a_name_of_255_bytes_that_does_not_resolve_is_told_in_full(void **state)
{
    char name[256];

    (void)state;
    memset(name, 'n', sizeof(name) - 1);
    name[255] = '\0';
    b.any_name = true;
    start(name);
    session_resolved(b.session, NULL, "Name or service not known");
    pass(0);
    assert_non_null(strstr(b.why, name));
    assert_non_null(strstr(b.why, "not known"));
}

static void what_a_target_says_is_made_printable(void **state)
{
    (void)state;
    start("192.0.2.1");
    fail_conn(BACKEND_FAULT_TRANSIENT, "it says \033[2J\n\xff");
    assert_string_equal(b.why, "it says ?[2J??");
}

static void a_cause_is_told_to_the_daemon_and_not_to_the_log(void **state)
{
    (void)state;
    start("192.0.2.1");
    b.logged = b.warned = 0;
    fail_conn(BACKEND_FAULT_TRANSIENT, "refused");
    assert_int_equal(b.faults, 1);
    assert_string_equal(b.why, "refused");
    assert_int_equal(b.causes, 0);
    assert_int_equal(b.warned, 0);
    assert_int_equal(b.logged, 1); /* the move */
}

static void a_cause_goes_to_the_log_where_nobody_takes_faults(void **state)
{
    (void)state;
    b.no_fault = true;
    start("192.0.2.1");
    b.logged = b.warned = 0;
    fail_conn(BACKEND_FAULT_TRANSIENT, "refused");
    assert_int_equal(b.warned, 1);
    assert_int_equal(b.causes, 1);
}

static void the_same_fault_again_is_no_news_in_the_log(void **state)
{
    (void)state;
    start("192.0.2.1");
    fail_conn(BACKEND_FAULT_TRANSIENT, "refused");
    b.logged = 0;
    for (unsigned i = 0; i < 5; i++) {
        pass(2000);
        fail_conn(BACKEND_FAULT_TRANSIENT, "refused");
    }
    assert_int_equal(b.logged, 0);
    pass(2000);
    fail_conn(BACKEND_FAULT_TRANSIENT, "unreachable");
    assert_int_equal(b.logged, 1);
}

static void completions_come_before_down(void **state)
{
    static struct backend_cmd cmds[2];
    struct backend *backend;

    (void)state;
    start("192.0.2.1");
    log_in();
    backend = session_backend(b.session);
    for (unsigned i = 0; i < 2; i++) {
        memset(&cmds[i], 0xa5, sizeof(cmds[i]));
        deferred_init(&cmds[i].done, on_done);
        assert_int_equal(backend->ops->submit(backend, &cmds[i]), 0);
    }
    fail_conn(BACKEND_FAULT_TRANSIENT, "lost");
    assert_int_equal(b.downs, 1);
    assert_int_equal(b.done_at_down, 2);
    assert_int_equal(cmds[0].result, BACKEND_LOST);
    assert_int_equal(backend->ops->submit(backend, &cmds[0]), -ENOTCONN);
}

static void a_session_that_was_not_announced_brings_no_down(void **state)
{
    (void)state;
    start("192.0.2.1");
    conn.events->logged_in(conn.ctx);
    conn.events->failed(conn.ctx, BACKEND_FAULT_TRANSIENT, "lost at once");
    pass(0);
    assert_int_equal(b.ups, 0);
    assert_int_equal(b.downs, 0);
    assert_int_equal(b.faults, 1);
}

static void verdicts_without_a_session_change_nothing(void **state)
{
    struct backend *backend;

    (void)state;
    start("192.0.2.1");
    backend = session_backend(b.session);
    backend->ops->accept(backend);
    backend->ops->reject(backend, BACKEND_FAULT_PERMANENT, "no");
    backend->ops->drop(backend, "no");
    pass(0);
    assert_int_equal(state_now(), SESSION_CONNECTING);
    assert_int_equal(b.faults, 0);
}

static void a_refused_security_stage_is_left_out_from_then_on(void **state)
{
    (void)state;
    start("192.0.2.1");
    assert_true(conn.params.security_stage);
    conn.events->stage_refused(conn.ctx);
    pass(0);
    assert_int_equal(conn.opens, 2);
    assert_int_equal(b.faults, 0);
    assert_false(conn.params.security_stage);
    fail_conn(BACKEND_FAULT_TRANSIENT, "lost");
    pass(100);
    assert_false(conn.params.security_stage);
}

static void redirects_are_followed_and_forgotten_after_a_loss(void **state)
{
    (void)state;
    start("192.0.2.1");
    conn.events->redirected(conn.ctx, "[2001:db8::2]:3261,1");
    pass(0);
    assert_string_equal(conn.portal, "[2001:db8::2]:3261");
    fail_conn(BACKEND_FAULT_TRANSIENT, "lost");
    pass(100);
    assert_string_equal(conn.portal, "192.0.2.1:3260");
}

static void a_redirect_to_the_users_own_name_is_resolved(void **state)
{
    (void)state;
    start("disk.example");
    session_resolved(b.session, "192.0.2.1", NULL);
    conn.events->redirected(conn.ctx, "Disk.Example:3261");
    b.any_name = true;
    pass(0);
    assert_int_equal(state_now(), SESSION_RESOLVING);
    assert_int_equal(b.asked, 2);
    session_resolved(b.session, "192.0.2.1", NULL);
    assert_string_equal(conn.portal, "192.0.2.1:3261");
    b.any_name = false;
}

/* Whose addresses are looked up is not the target's to say. */
static void a_redirect_to_another_name_is_not_followed(void **state)
{
    (void)state;
    start("disk.example");
    session_resolved(b.session, "192.0.2.1", NULL);
    conn.events->redirected(conn.ctx, "internal.example");
    pass(0);
    assert_int_equal(b.asked, 1);
    assert_int_equal(b.faults, 1);
    assert_int_equal(b.fault, BACKEND_FAULT_TRANSIENT);
    assert_non_null(strstr(b.why, "by its name"));
}

static void a_redirect_to_where_we_were_is_a_circle(void **state)
{
    static const char *const portals[] = {"192.0.2.2", "192.0.2.1:3260"};

    (void)state;
    start("192.0.2.1");
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(b.faults, 0);
        conn.events->redirected(conn.ctx, portals[i]);
        pass(0);
    }
    assert_int_equal(b.faults, 1);
    assert_int_equal(b.fault, BACKEND_FAULT_TRANSIENT);
    assert_non_null(strstr(b.why, "192.0.2.2:3260 sends us in a circle: to 192.0.2.1:3260"));
    assert_int_equal(conn.opens, 2);
    pass(100);
    assert_string_equal(conn.portal, "192.0.2.1:3260");
}

static void redirects_end_after_the_fourth(void **state)
{
    char portal[32];

    (void)state;
    start("192.0.2.1");
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(b.faults, 0);
        snprintf(portal, sizeof(portal), "192.0.2.%u", i + 2);
        conn.events->redirected(conn.ctx, portal);
        pass(0);
    }
    assert_int_equal(b.faults, 1);
    assert_non_null(strstr(b.why, "from portal to portal"));
    assert_int_equal(conn.opens, 5);
}

/* Each portal takes the connection, waits, and sends us on. */
static void redirects_take_two_login_times_at_most(void **state)
{
    char portal[32];

    (void)state;
    start("192.0.2.1");
    for (unsigned i = 0; i < 3; i++) {
        conn.tcp = true;
        pass(4000);
        snprintf(portal, sizeof(portal), "192.0.2.%u", i + 2);
        conn.events->redirected(conn.ctx, portal);
        pass(0);
    }
    conn.tcp = true;
    pass(1999);
    assert_int_equal(b.faults, 0);
    assert_int_equal(conn.opens, 4);
    pass(1);
    assert_int_equal(b.faults, 1);
    assert_int_equal(state_now(), SESSION_BACKOFF);
}

static void a_redirect_to_this_machine_is_not_followed(void **state)
{
    (void)state;
    start("192.0.2.1");
    conn.events->redirected(conn.ctx, "127.0.0.1:22");
    pass(0);
    assert_int_equal(b.faults, 1);
    assert_int_equal(conn.opens, 1);
    assert_non_null(strstr(b.why, "192.0.2.1:3260 sends us where no target can be"));
    assert_string_equal(session_stats(b.session)->portal, "192.0.2.1:3260");
}

static void a_redirect_to_nonsense_is_a_fault(void **state)
{
    static const char *const portals[] = {"", ":", "a b", "joe@192.0.2.1", "h:0", "[::1", ","};

    (void)state;
    for (size_t i = 0; i < sizeof(portals) / sizeof(portals[0]); i++) {
        start("192.0.2.1");
        conn.events->redirected(conn.ctx, portals[i]);
        pass(0);
        assert_int_equal(b.faults, 1);
        assert_int_equal(conn.opens, 1);
        if (i + 1 < sizeof(portals) / sizeof(portals[0]))
            finish(NULL);
    }
}

static void stop_waits_for_the_logout_a_second_at_most(void **state)
{
    (void)state;
    start("192.0.2.1");
    log_in();
    session_stop(b.session);
    assert_int_equal(conn.logouts, 1);
    assert_false(session_stopped(b.session));
    pass(999);
    assert_false(session_stopped(b.session));
    pass(1);
    assert_true(session_stopped(b.session));
    assert_int_equal(b.downs, 1);
    pass(60000);
    assert_int_equal(conn.opens, 1);
}

static void stop_while_waiting_ends_at_once(void **state)
{
    (void)state;
    start("192.0.2.1");
    fail_conn(BACKEND_FAULT_TRANSIENT, "refused");
    session_stop(b.session);
    pass(0);
    assert_true(session_stopped(b.session));
    pass(60000);
    assert_int_equal(conn.opens, 1);
}

static void unusable_configurations_are_refused(void **state)
{
    struct session_config config;

    (void)state;
    start("192.0.2.1");
    config = b.config;
    config.isid[0] = 0;
    assert_null(session_create(&config));
    assert_int_equal(errno, EINVAL);
    config = b.config;
    config.secret = "secret";
    assert_null(session_create(&config)); /* no user */
    strcpy(config.address.user, "joe");
    strcpy(config.target_user, "disk");
    assert_null(session_create(&config)); /* no target secret */
    config.target_secret = "secret";
    assert_null(session_create(&config)); /* both secrets the same */
}

#define TEST(function) cmocka_unit_test_teardown(function, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_numeric_portal_is_connected_to_at_once),
        TEST(an_ipv6_portal_gets_brackets),
        TEST(a_login_is_announced_and_accepted),
        TEST(waiting_doubles_up_to_its_limit),
        TEST(an_acceptance_makes_waiting_short_again),
        TEST(a_connection_that_takes_too_long_is_given_up),
        TEST(a_login_that_takes_too_long_is_given_up),
        TEST(a_probe_that_takes_too_long_is_given_up),
        TEST(a_permanent_fault_stays_down),
        TEST(nothing_is_permanent_after_an_acceptance),
        TEST(names_are_asked_for_with_each_attempt),
        TEST(after_a_loss_the_same_address_is_tried_once_without_asking),
        TEST(an_address_that_worked_serves_while_names_do_not_resolve),
        TEST(an_address_that_no_disk_was_accepted_at_is_not_used_again),
        TEST(a_name_that_a_redirect_gave_does_not_become_the_address),
        TEST(a_name_service_that_hangs_is_given_up_and_asked_again),
        TEST(an_answer_that_nobody_waits_for_is_dropped),
        TEST(an_answer_that_is_no_address_is_a_fault),
        TEST(keepalives_come_when_nothing_else_does),
        TEST(two_unheard_keepalives_are_a_loss),
        TEST(round_trip_time_is_measured),
        TEST(a_name_in_use_elsewhere_is_told_after_two_short_lives),
        TEST(a_name_in_use_elsewhere_makes_the_waits_longer),
        TEST(a_session_that_is_closed_during_the_probe_may_be_anothers),
        TEST(other_faults_in_short_lives_are_no_conflict),
        TEST(two_long_lives_are_no_conflict),
        TEST(the_longest_fault_is_told_in_full),
        TEST(a_name_of_255_bytes_that_does_not_resolve_is_told_in_full),
        TEST(what_a_target_says_is_made_printable),
        TEST(a_cause_is_told_to_the_daemon_and_not_to_the_log),
        TEST(a_cause_goes_to_the_log_where_nobody_takes_faults),
        TEST(the_same_fault_again_is_no_news_in_the_log),
        TEST(completions_come_before_down),
        TEST(a_session_that_was_not_announced_brings_no_down),
        TEST(verdicts_without_a_session_change_nothing),
        TEST(a_refused_security_stage_is_left_out_from_then_on),
        TEST(redirects_are_followed_and_forgotten_after_a_loss),
        TEST(a_redirect_to_the_users_own_name_is_resolved),
        TEST(a_redirect_to_another_name_is_not_followed),
        TEST(a_redirect_to_where_we_were_is_a_circle),
        TEST(redirects_end_after_the_fourth),
        TEST(redirects_take_two_login_times_at_most),
        TEST(a_redirect_to_this_machine_is_not_followed),
        TEST(a_redirect_to_nonsense_is_a_fault),
        TEST(stop_waits_for_the_logout_a_second_at_most),
        TEST(stop_while_waiting_ends_at_once),
        TEST(unusable_configurations_are_refused),
    };

    return cmocka_run_group_tests_name("session states", tests, NULL, NULL);
}
