/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the target tests share: the tgtd of the fixture, and one session with a
 * small event loop and a logical unit that only takes notes.
 */
#ifndef LUNSTICK_TESTS_TARGET_BENCH_H
#define LUNSTICK_TESTS_TARGET_BENCH_H

#include "initiator/session.h"

#include <stdio.h>

/* cmocka's own include order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define BENCH_COMMANDS 80

/* What the logical unit's part does with a new session. */
enum bench_verdict { BENCH_ACCEPT, BENCH_REJECT_TRANSIENT, BENCH_REJECT_PERMANENT, BENCH_WAIT };

struct bench_command {
    struct backend_cmd cmd; /* done is ours */
    unsigned done_count;
    unsigned order; /* of the completion, counting from 1 */
};

struct bench {
    struct session_config config;
    struct session *session;
    struct deferred_list deferred;
    enum bench_verdict verdict;
    unsigned ups, downs, mores, faults, completions;
    unsigned completions_at_down; /* when down() came last */
    enum backend_fault last_fault;
    char last_why[SESSION_WHY_BYTES];
    char down_why[SESSION_WHY_BYTES];
    char resolve_asked[256];
    struct bench_command commands[BENCH_COMMANDS];
};

extern struct bench bench;

/* Runs tests/target/fixture with the test's directory; asserts success. */
void fixture(const char *verb);
/* The lines that `fixture connections` prints for a target. */
void fixture_connections(int tid, char *out, size_t size);
unsigned fixture_port(void);
const char *fixture_dir(void);

/* A fresh configuration for `iscsi://127.0.0.1:PORT/iqn.2026-01.test:NAME/1`. */
void bench_prepare(const char *name);
void bench_open(void);  /* creates and starts */
void bench_close(void); /* stops, waits, destroys */

/* Runs the event loop until `met` says so; false after `limit_ms`. */
bool bench_until(bool (*met)(void), unsigned limit_ms);
void bench_for(unsigned ms);
uint64_t bench_now_us(void);

bool bench_is_up(void);
bool bench_is_accepted_anew(void); /* UP with another up() than at bench_mark() */
bool bench_has_fault(void);
bool bench_all_done(void);

/* Takes the unit attentions that a login brings (29/00): the logical unit's work. */
void bench_settle(void);
/* Submits; asserts that it was taken. The buffers are the caller's. */
struct bench_command *bench_submit(unsigned slot, const uint8_t *cdb, uint8_t cdb_bytes,
                                   enum scsi_dir dir, const struct iovec *iov, int iov_count);
/* The same, and waits for its completion. */
struct bench_command *bench_command(const uint8_t *cdb, uint8_t cdb_bytes, enum scsi_dir dir,
                                    const struct iovec *iov, int iov_count);
struct bench_command *bench_io(bool write, uint32_t lba, void *data, uint32_t bytes);

#endif
