/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench.h"

#include "bridge/bytes.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct bench bench;

static unsigned expected_ups;

/* ---- the fixture ---- */

const char *fixture_dir(void)
{
    const char *dir = getenv("TARGET_DIR");

    assert_non_null(dir);
    return dir;
}

static FILE *fixture_pipe(const char *verb, const char *argument)
{
    char line[600];
    const char *script = getenv("TARGET_FIXTURE");

    assert_non_null(script);
    snprintf(line, sizeof(line), "'%s' %s '%s' %s", script, verb, fixture_dir(), argument);
    return popen(line, "r"); /* NOLINT(cert-env33-c): the tests' own script */
}

void fixture(const char *verb)
{
    FILE *pipe = fixture_pipe(verb, "</dev/null >&2");

    assert_non_null(pipe);
    assert_int_equal(pclose(pipe), 0);
}

void fixture_connections(int tid, char *out, size_t size)
{
    char argument[16];
    FILE *pipe;
    size_t bytes;

    snprintf(argument, sizeof(argument), "%d", tid);
    pipe = fixture_pipe("connections", argument);
    assert_non_null(pipe);
    bytes = fread(out, 1, size - 1, pipe);
    out[bytes] = '\0';
    assert_int_equal(pclose(pipe), 0);
}

unsigned fixture_port(void)
{
    const char *port = getenv("TARGET_PORT");

    assert_non_null(port);
    return (unsigned)strtoul(port, NULL, 10);
}

/* ---- the logical unit that takes notes ---- */

static void on_up(void *ctx)
{
    struct backend *backend = session_backend(bench.session);

    (void)ctx;
    bench.ups++;
    if (bench.verdict == BENCH_ACCEPT)
        backend->ops->accept(backend);
    else if (bench.verdict == BENCH_REJECT_TRANSIENT)
        backend->ops->reject(backend, BACKEND_FAULT_TRANSIENT, "the disk is busy");
    else if (bench.verdict == BENCH_REJECT_PERMANENT)
        backend->ops->reject(backend, BACKEND_FAULT_PERMANENT, "it is another disk");
}

static void on_down(void *ctx, const char *why)
{
    (void)ctx;
    bench.downs++;
    bench.completions_at_down = bench.completions;
    snprintf(bench.down_why, sizeof(bench.down_why), "%s", why);
}

static void on_more(void *ctx)
{
    (void)ctx;
    bench.mores++;
}

static const struct backend_events events = {.up = on_up, .down = on_down, .more = on_more};

static void on_fault(void *ctx, enum backend_fault fault, const char *why)
{
    (void)ctx;
    bench.faults++;
    bench.last_fault = fault;
    snprintf(bench.last_why, sizeof(bench.last_why), "%s", why);
}

static void on_log(enum lun_log_level level, const char *text)
{
    if (getenv("TARGET_VERBOSE") != NULL)
        fprintf(stderr, "[%d] %s\n", level, text);
}

static void on_done(struct deferred *d)
{
    struct bench_command *command =
        (struct bench_command *)((char *)d - offsetof(struct bench_command, cmd.done));

    command->done_count++;
    command->order = ++bench.completions;
}

uint64_t bench_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---- life ---- */

void bench_prepare(const char *name)
{
    char url[300];
    char why[ADDRESS_WHY_BYTES];

    memset(&bench, 0, sizeof(bench));
    memset(bench.commands, 0xa5, sizeof(bench.commands));
    deferred_list_init(&bench.deferred);
    snprintf(url, sizeof(url), "iscsi://127.0.0.1:%u/iqn.2026-01.test:%s/1", fixture_port(), name);
    assert_true(address_parse(url, &bench.config.address, why));
    snprintf(bench.config.initiator_name, sizeof(bench.config.initiator_name),
             "iqn.2026-01.test:initiator");
    session_isid(bench.config.isid, "board", "gadget", "lun0", "test");
    bench.config.deferred = &bench.deferred;
    bench.config.now_us = bench_now_us;
    bench.config.log = on_log;
    bench.config.fault = on_fault;
    expected_ups = 0;
}

void bench_open(void)
{
    struct backend *backend;

    bench.session = session_create(&bench.config);
    assert_non_null(bench.session);
    backend = session_backend(bench.session);
    backend->events = &events;
    backend->events_ctx = &bench;
    session_start(bench.session);
}

static bool is_stopped(void)
{
    return session_stopped(bench.session) && !deferred_pending(&bench.deferred);
}

void bench_close(void)
{
    session_stop(bench.session);
    assert_true(bench_until(is_stopped, 5000));
    session_destroy(bench.session);
    bench.session = NULL;
}

/* ---- the event loop ---- */

static int wait_ms(uint64_t end_us)
{
    uint64_t next_us = session_next_timeout_us(bench.session);
    uint64_t now = bench_now_us();

    if (deferred_pending(&bench.deferred))
        return 0;
    next_us = next_us < end_us ? next_us : end_us;
    return next_us <= now ? 0 : (int)((next_us - now + 999) / 1000);
}

static void turn(uint64_t end_us)
{
    struct pollfd fd = {session_fd(bench.session), session_poll_events(bench.session), 0};

    poll(&fd, 1, wait_ms(end_us));
    if (fd.revents != 0)
        session_service(bench.session, fd.revents);
    deferred_run(&bench.deferred);
    if (bench_now_us() >= session_next_timeout_us(bench.session))
        session_run_timeouts(bench.session);
}

bool bench_until(bool (*met)(void), unsigned limit_ms)
{
    uint64_t end_us = bench_now_us() + (uint64_t)limit_ms * 1000;

    while (!met()) {
        if (bench_now_us() >= end_us)
            return false;
        turn(end_us);
    }
    return true;
}

static bool never(void)
{
    return false;
}

void bench_for(unsigned ms)
{
    bench_until(never, ms);
}

bool bench_is_up(void)
{
    return session_stats(bench.session)->state == SESSION_UP;
}

bool bench_is_accepted_anew(void)
{
    if (!bench_is_up() || bench.ups == expected_ups)
        return false;
    expected_ups = bench.ups;
    return true;
}

bool bench_has_fault(void)
{
    return bench.faults > 0;
}

/* ---- commands ---- */

bool bench_all_done(void)
{
    return session_stats(bench.session)->outstanding == 0 && !deferred_pending(&bench.deferred);
}

struct bench_command *bench_submit(unsigned slot, const uint8_t *cdb, uint8_t cdb_bytes,
                                   enum scsi_dir dir, const struct iovec *iov, int iov_count)
{
    struct bench_command *command = &bench.commands[slot];
    struct backend *backend = session_backend(bench.session);

    memset(command, 0xa5, sizeof(*command));
    memcpy(command->cmd.cdb, cdb, cdb_bytes);
    command->cmd.cdb_bytes = cdb_bytes;
    command->cmd.dir = dir;
    command->cmd.length_bytes = 0;
    command->cmd.iov_count = iov_count;
    for (int i = 0; i < iov_count; i++) {
        command->cmd.iov[i] = iov[i];
        command->cmd.length_bytes += (uint32_t)iov[i].iov_len;
    }
    command->done_count = 0;
    deferred_init(&command->cmd.done, on_done);
    assert_int_equal(backend->ops->submit(backend, &command->cmd), 0);
    assert_int_equal(command->done_count, 0);
    return command;
}

struct bench_command *bench_command(const uint8_t *cdb, uint8_t cdb_bytes, enum scsi_dir dir,
                                    const struct iovec *iov, int iov_count)
{
    struct bench_command *command = bench_submit(0, cdb, cdb_bytes, dir, iov, iov_count);

    assert_true(bench_until(bench_all_done, 5000));
    assert_int_equal(command->done_count, 1);
    return command;
}

struct bench_command *bench_io(bool write, uint32_t lba, void *data, uint32_t bytes)
{
    uint8_t cdb[10] = {write ? 0x2a : 0x28};
    struct iovec iov = {data, bytes};

    put_be32(cdb + 2, lba);
    put_be16(cdb + 7, (uint16_t)(bytes / 512));
    return bench_command(cdb, sizeof(cdb), write ? SCSI_DIR_OUT : SCSI_DIR_IN, &iov, 1);
}

void bench_settle(void)
{
    static const uint8_t test_unit_ready[6] = {0};
    struct bench_command *command;
    unsigned tries = 0;

    do
        command = bench_command(test_unit_ready, 6, SCSI_DIR_NONE, NULL, 0);
    while (command->cmd.outcome.status != SCSI_STATUS_CODE_GOOD && ++tries < 5);
    assert_int_equal(command->cmd.outcome.status, SCSI_STATUS_CODE_GOOD);
}
