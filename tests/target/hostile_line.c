/* SPDX-License-Identifier: BSD-2-Clause */
#include "hostile_line.h"

#include "bridge/bytes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define DATA_BYTES 262144u
/* Turns without time passing: more is a loop. */
#define TURNS_MAX 200000u
/* A test that is still there after so many seconds of the real clock hangs. */
#define REAL_LIMIT_S 60u

struct line line;

static _Alignas(4096) uint8_t arena[LINE_SLICES * POOL_SLICE_BYTES];
static uint8_t disk[RAM_BLOCKS * RAM_BLOCK_BYTES];
static uint8_t data[DATA_BYTES];

static uint64_t now_us(void)
{
    return line.now_us;
}

static void on_log(enum lun_log_level level, const char *text)
{
    if (getenv("TARGET_VERBOSE") != NULL)
        fprintf(stderr, "[%d] %s\n", level, text);
}

static void on_fault(void *ctx, enum backend_fault fault, const char *why)
{
    (void)ctx;
    on_log(LUN_LOG_WARNING, why);
    line.faults++;
    line.last_fault = fault;
    snprintf(line.last_why, sizeof(line.last_why), "%s", why);
}

/* ---- the target's sockets ---- */

static void listen_anywhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof(address);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    line.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(line.listener >= 0);
    assert_int_equal(bind(line.listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(line.listener, 8), 0);
    assert_int_equal(getsockname(line.listener, (struct sockaddr *)&address, &bytes), 0);
    line.port = ntohs(address.sin_port);
}

static void hang_up(void)
{
    if (line.connection >= 0)
        close(line.connection);
    line.connection = -1;
}

void line_make_narrow(void)
{
    int segment = 536;
    int bytes = 4096;

    setsockopt(line.listener, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment));
    setsockopt(line.listener, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

void line_reset(void)
{
    struct linger linger = {1, 0};

    setsockopt(line.connection, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    hang_up();
}

static bool take_connection(void)
{
    int fd = accept4(line.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    int one = 1;

    if (fd < 0)
        return false;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    hang_up();
    line.connection = fd;
    line.connections++;
    hostile_connected(&line.target);
    return true;
}

static bool target_reads(void)
{
    static uint8_t bytes[65536];
    ssize_t got;

    if (line.connection < 0 || line.deaf)
        return false;
    got = recv(line.connection, bytes, sizeof(bytes), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (got <= 0) {
        hang_up();
        return true;
    }
    hostile_take(&line.target, bytes, (size_t)got);
    return true;
}

static bool target_writes(void)
{
    struct hostile *t = &line.target;
    ssize_t sent;

    if (line.connection < 0)
        return false;
    if (t->out_bytes == 0) {
        bool closes = t->closes;
        if (closes)
            hang_up();
        return closes;
    }
    sent = send(line.connection, t->out + t->out_done, t->out_bytes, MSG_NOSIGNAL);
    if (sent <= 0)
        return false;
    hostile_sent(t, (size_t)sent);
    return true;
}

bool line_serve(void)
{
    bool worked = take_connection();

    worked = target_reads() || worked;
    return target_writes() || worked;
}

/* ---- the event loop ---- */

static bool session_works(void)
{
    struct pollfd fd = {session_fd(line.session), session_poll_events(line.session), 0};

    if (fd.fd >= 0 && poll(&fd, 1, 0) > 0) {
        session_service(line.session, fd.revents);
        deferred_run(&line.deferred);
        return true;
    }
    return deferred_run(&line.deferred) > 0;
}

static bool in_flight(int fd)
{
    int bytes = 0;

    return fd >= 0 && ioctl(fd, SIOCOUTQ, &bytes) == 0 && bytes > 0;
}

/* Nothing can be done now: does the kernel still have something to deliver? */
static bool comes_later(void)
{
    struct pollfd fds[3] = {{session_fd(line.session), session_poll_events(line.session), 0},
                            {line.deaf ? -1 : line.connection, POLLIN, 0},
                            {line.listener, POLLIN, 0}};
    bool flies = in_flight(session_fd(line.session)) || in_flight(line.connection);

    return poll(fds, 3, flies ? 20 : 2) > 0;
}

static uint64_t next_tick_us(void)
{
    return line.tick_ms > 0 ? line.next_tick_us : UINT64_MAX;
}

static uint64_t next_timeout_us(void)
{
    uint64_t next_us = session_next_timeout_us(line.session);

    if (lun_next_timeout_us(line.lun) < next_us)
        next_us = lun_next_timeout_us(line.lun);
    return next_tick_us() < next_us ? next_tick_us() : next_us;
}

static void run_timeouts(void)
{
    if (line.now_us >= session_next_timeout_us(line.session))
        session_run_timeouts(line.session);
    if (line.now_us >= lun_next_timeout_us(line.lun))
        lun_run_timeouts(line.lun);
    if (line.now_us >= next_tick_us()) {
        line.next_tick_us += (uint64_t)line.tick_ms * 1000;
        line.tick();
    }
    deferred_run(&line.deferred);
}

/* False: time would have to pass beyond `end_us`. */
static bool turn(uint64_t end_us)
{
    bool worked = line_serve();
    uint64_t next_us;

    worked = session_works() || worked;
    next_us = next_timeout_us();
    if (next_us <= line.now_us) {
        run_timeouts();
        return true;
    }
    if (worked || deferred_pending(&line.deferred) || comes_later())
        return true;
    if (next_us > end_us) {
        line.now_us = end_us;
        return false;
    }
    line.now_us = next_us;
    return true;
}

bool line_until(bool (*met)(void), unsigned limit_ms)
{
    uint64_t end_us = line.now_us + (uint64_t)limit_ms * 1000;
    uint64_t last_us = line.now_us;
    unsigned turns = 0;

    while (!met()) {
        if (!turn(end_us))
            return met();
        turns = line.now_us == last_us ? turns + 1 : 0;
        last_us = line.now_us;
        assert_true(turns < TURNS_MAX);
    }
    return true;
}

static bool never(void)
{
    return false;
}

void line_for(unsigned ms)
{
    line_until(never, ms);
}

bool line_is_up(void)
{
    return lun_stats(line.lun)->session_up;
}

bool line_has_fault(void)
{
    return line.faults > 0;
}

/* ---- life ---- */

void line_prepare(void)
{
    char url[100];
    char why[ADDRESS_WHY_BYTES];

    alarm(REAL_LIMIT_S);
    memset(&line, 0, sizeof(line));
    line.now_us = 1000000;
    line.connection = -1;
    deferred_list_init(&line.deferred);
    for (size_t i = 0; i < sizeof(disk); i++)
        disk[i] = (uint8_t)(i / RAM_BLOCK_BYTES * 7 + i) & 0x3f;
    hostile_init(&line.target, disk);
    listen_anywhere();
    snprintf(url, sizeof(url), "iscsi://127.0.0.1:%u/iqn.2026-01.test:plain/1", line.port);
    assert_true(address_parse(url, &line.config.address, why));
    strcpy(line.config.initiator_name, "iqn.2026-01.test:initiator");
    session_isid(line.config.isid, "board", "gadget", "lun0", "test");
    line.config.deferred = &line.deferred;
    line.config.now_us = now_us;
    line.config.log = on_log;
    line.config.fault = on_fault;
}

void line_open(void)
{
    struct lun_config config = {.deferred = &line.deferred,
                                .pool = &line.pool,
                                .now_us = now_us,
                                .log = on_log,
                                .answer_within_ms = LINE_ANSWER_MS};

    memset(arena, LINE_STALE, sizeof(arena));
    pool_init(&line.pool, arena, LINE_SLICES);
    line.session = session_create(&line.config);
    assert_non_null(line.session);
    config.backend = session_backend(line.session);
    line.lun = lun_create(&config);
    assert_non_null(line.lun);
    session_start(line.session);
}

void line_up(void)
{
    line_open();
    assert_true(line_until(line_is_up, 10000));
    /* The first keepalive measures the round-trip time. */
    line_for(100);
    line.connections = 0;
    line.target.logins = line.target.commands = line.target.nops = 0;
    line.target.data_outs = line.target.logouts = 0;
}

static bool is_stopped(void)
{
    return session_stopped(line.session) && !deferred_pending(&line.deferred);
}

int line_close(void **state)
{
    (void)state;
    if (line.port == 0)
        return 0;
    if (line.session != NULL) {
        session_stop(line.session);
        assert_true(line_until(is_stopped, 5000));
        assert_int_equal(line.pool.free_count, LINE_SLICES);
        assert_int_equal(lun_stats(line.lun)->outstanding, 0);
        lun_destroy(line.lun);
        session_destroy(line.session);
    }
    hang_up();
    close(line.listener);
    hostile_free(&line.target);
    memset(&line, 0, sizeof(line));
    alarm(0);
    return 0;
}

void line_twist(hostile_twist *twist, int opcode, int cdb, unsigned times)
{
    line.target.twist = twist;
    line.target.twist_opcode = opcode;
    line.target.twist_cdb = cdb;
    line.target.twists = times;
    line.target.twisted = 0;
}

void line_tick(void (*tick)(void), unsigned ms)
{
    line.tick = tick;
    line.tick_ms = ms;
    line.next_tick_us = line.now_us + (uint64_t)ms * 1000;
}

/* ---- the host ---- */

static unsigned completions;

static void on_progress(struct lun_cmd *cmd)
{
    (void)cmd;
}

static void on_complete(struct lun_cmd *cmd)
{
    (void)cmd;
    completions++;
}

static bool is_complete(void)
{
    return completions > 0;
}

static const struct frontend_ops ops = {on_progress, on_complete};

static uint32_t take_data_in(struct lun_cmd *cmd, uint8_t *out)
{
    uint32_t taken = 0;
    uint32_t length;
    uint8_t *piece;

    while ((length = lun_in_next(line.lun, cmd, &piece)) > 0) {
        memcpy(out + taken, piece, length);
        lun_in_done(line.lun, cmd, length);
        taken += length;
    }
    return taken;
}

static struct lun_cmd *out_cmd;
static const uint8_t *out_data;
static uint32_t out_left;

/* Gives what there is room for; met once the command is complete. */
static bool gives_data_out(void)
{
    uint32_t length;
    uint8_t *room;

    while (out_left > 0 && (length = lun_out_next(line.lun, out_cmd, &room)) > 0) {
        assert_true(length <= out_left);
        memcpy(room, out_data, length);
        lun_out_done(line.lun, out_cmd, length);
        out_data += length;
        out_left -= length;
    }
    return is_complete();
}

/* The disk of the tests holds no such byte; our own sense and replies do not
 * hold eight of them. */
static void assert_nothing_stale(const uint8_t *bytes, uint32_t count)
{
    unsigned row = 0;

    for (uint32_t i = 0; i < count; i++) {
        row = bytes[i] == LINE_STALE ? row + 1 : 0;
        assert_true(row < 8);
    }
}

struct scsi_outcome line_command(const uint8_t *cdb, uint8_t cdb_bytes, enum scsi_dir dir,
                                 uint8_t *bytes, uint32_t count)
{
    struct lun_cmd *cmd = lun_cmd_take(line.lun, &ops);
    struct scsi_outcome outcome;
    uint32_t taken = 0;

    assert_non_null(cmd);
    if (line.pool.free_count == LINE_SLICES)
        memset(arena, LINE_STALE, sizeof(arena));
    memcpy(cmd->cdb, cdb, cdb_bytes);
    cmd->cdb_bytes = cdb_bytes;
    cmd->dir = dir;
    cmd->length_bytes = count;
    completions = 0;
    out_cmd = cmd;
    out_data = bytes;
    out_left = dir == SCSI_DIR_OUT ? count : 0;
    lun_submit(line.lun, cmd);
    assert_true(line_until(gives_data_out, LINE_ANSWER_MS));
    assert_int_equal(completions, 1);
    if (dir == SCSI_DIR_IN) {
        memset(bytes, 0, count);
        taken = take_data_in(cmd, bytes);
        assert_int_equal(taken, cmd->outcome.moved_bytes);
        assert_nothing_stale(bytes, taken);
    }
    outcome = cmd->outcome;
    assert_nothing_stale(outcome.sense, outcome.sense_bytes);
    lun_release(line.lun, cmd);
    return outcome;
}

static void make_cdb(uint8_t cdb[10], uint8_t opcode, uint32_t lba, uint32_t bytes)
{
    memset(cdb, 0, 10);
    cdb[0] = opcode;
    put_be32(cdb + 2, lba);
    put_be16(cdb + 7, (uint16_t)(bytes / RAM_BLOCK_BYTES));
}

/* What of the data came is the disk's. */
struct scsi_outcome line_read(uint32_t lba, uint32_t bytes)
{
    uint8_t cdb[10];
    struct scsi_outcome outcome;

    assert_true(bytes <= DATA_BYTES);
    make_cdb(cdb, 0x28, lba, bytes);
    outcome = line_command(cdb, 10, SCSI_DIR_IN, data, bytes);
    assert_memory_equal(data, disk + (size_t)lba * RAM_BLOCK_BYTES, outcome.moved_bytes);
    return outcome;
}

const uint8_t *line_data(void)
{
    return data;
}

void line_reads_well(uint32_t lba, uint32_t bytes)
{
    struct scsi_outcome outcome = line_read(lba, bytes);

    assert_int_equal(outcome.status, SCSI_STATUS_CODE_GOOD);
    assert_false(outcome.phase_error);
    assert_int_equal(outcome.moved_bytes, bytes);
}

void line_writes_well(uint32_t lba, uint32_t bytes, uint8_t seed)
{
    uint8_t cdb[10];
    struct scsi_outcome outcome;

    assert_true(bytes <= DATA_BYTES);
    make_cdb(cdb, 0x2a, lba, bytes);
    for (uint32_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)(i * 3 + i / 512 + seed) & 0x3f;
    outcome = line_command(cdb, 10, SCSI_DIR_OUT, data, bytes);
    assert_int_equal(outcome.status, SCSI_STATUS_CODE_GOOD);
    assert_int_equal(outcome.moved_bytes, bytes);
    assert_memory_equal(data, disk + (size_t)lba * RAM_BLOCK_BYTES, bytes);
    assert_false(line.target.broke);
}
