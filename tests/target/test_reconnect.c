/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Logical unit and session against real targets that go and come back: the same
 * disk, an older copy of it, another one; with a cache that was lost; one that
 * another board has.
 */
#include "bench.h"
#include "bridge/bytes.h"
#include "bridge/lun.h"
#include "bridge/opcode.h"
#include "cache_target.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLICES      32u
#define BOARDS      2
#define DISK_BYTES  4194304u
#define LIMIT_MS    20000
#define ANSWER_MS   15000
#define BLOCK_BYTES 512u

/* A board with one disk, and what its host did last. */
struct board {
    bool on;
    struct deferred_list deferred;
    struct pool pool;
    uint8_t *arena;
    struct session_config config;
    struct session *session;
    struct lun *lun;
    char fault[SESSION_WHY_BYTES];
    enum backend_fault severity;
    unsigned faults, releases, disk_changes;
    struct lun_cmd *cmd;
    bool complete;
};

static struct board boards[BOARDS];
static struct cache_target target;
static char image[300];
static uint8_t data[65536], copy[65536];

static void on_log(enum lun_log_level level, const char *text)
{
    if (getenv("TARGET_VERBOSE") != NULL)
        fprintf(stderr, "[%d] %s\n", level, text);
}

static void on_fault(void *ctx, enum backend_fault severity, const char *why)
{
    struct board *board = ctx;
    board->faults++;
    board->severity = severity;
    snprintf(board->fault, sizeof(board->fault), "%s", why);
}

static void on_disk(void *ctx, const struct disk_identity *disk)
{
    struct board *board = ctx;
    (void)disk;
    board->disk_changes++;
}

static void on_release(void *ctx)
{
    ((struct board *)ctx)->releases++;
}

static void on_progress(struct lun_cmd *cmd)
{
    (void)cmd;
}

static void on_complete(struct lun_cmd *cmd)
{
    ((struct board *)cmd->front)->complete = true;
}

static const struct frontend_ops front = {on_progress, on_complete};

/* ---- the event loop ---- */

static void turn(struct board *board)
{
    uint64_t now;
    while (deferred_run(&board->deferred) > 0) {
    }
    now = bench_now_us();
    if (now >= session_next_timeout_us(board->session))
        session_run_timeouts(board->session);
    if (now >= lun_next_timeout_us(board->lun))
        lun_run_timeouts(board->lun);
}

static void pump(void)
{
    struct pollfd fds[BOARDS];
    for (unsigned i = 0; i < BOARDS; i++) {
        fds[i] = (struct pollfd){-1, 0, 0};
        if (!boards[i].on)
            continue;
        turn(&boards[i]);
        fds[i].fd = session_fd(boards[i].session);
        fds[i].events = session_poll_events(boards[i].session);
    }
    poll(fds, BOARDS, 2);
    for (unsigned i = 0; i < BOARDS; i++)
        if (fds[i].revents != 0)
            session_service(boards[i].session, fds[i].revents);
}

static bool pump_until(bool (*met)(const struct board *), const struct board *board)
{
    uint64_t end_us = bench_now_us() + (uint64_t)LIMIT_MS * 1000;
    while (!met(board)) {
        if (bench_now_us() >= end_us)
            return false;
        pump();
    }
    return true;
}

static bool is_up(const struct board *board)
{
    return lun_stats(board->lun)->session_up;
}

static bool is_down(const struct board *board)
{
    return !lun_stats(board->lun)->session_up;
}

static bool is_complete(const struct board *board)
{
    return board->complete;
}

static bool is_refused(const struct board *board)
{
    return board->faults > 0;
}

static bool is_released(const struct board *board)
{
    return board->releases > 0;
}

static bool is_stopped(const struct board *board)
{
    return session_stopped(board->session) && !deferred_pending(&board->deferred);
}

/* ---- life ---- */

static uint64_t key_of(unsigned number)
{
    return UINT64_C(0x1111111111111111) * (number + 1);
}

/* `port` 0: the fixture's. */
static struct board *board_on(unsigned number, const char *name, uint16_t port,
                              void (*adjust)(struct lun_config *))
{
    struct board *board = &boards[number];
    struct lun_config config = {
        .deferred = &board->deferred,
        .pool = &board->pool,
        .now_us = bench_now_us,
        .log = on_log,
        .disk_changed = on_disk,
        .disk_changed_ctx = board,
        .answer_within_ms = ANSWER_MS,
        .removable = true,
    };
    memset(board, 0, sizeof(*board));
    deferred_list_init(&board->deferred);
    board->arena = aligned_alloc(4096, SLICES * POOL_SLICE_BYTES);
    assert_non_null(board->arena);
    pool_init(&board->pool, board->arena, SLICES);
    bench_prepare(name);
    board->config = bench.config;
    board->config.deferred = &board->deferred;
    board->config.log = on_log;
    board->config.fault = on_fault;
    board->config.fault_ctx = board;
    board->config.backoff_max_ms = 200;
    if (port != 0)
        board->config.address.port = port;
    snprintf(board->config.initiator_name, sizeof(board->config.initiator_name),
             "iqn.2026-01.test:board%u", number);
    session_isid(board->config.isid, number ? "b" : "a", "gadget", "lun0", "test");
    board->session = session_create(&board->config);
    assert_non_null(board->session);
    config.backend = session_backend(board->session);
    config.reservation_key = key_of(number);
    if (adjust)
        adjust(&config);
    board->lun = lun_create(&config);
    assert_non_null(board->lun);
    board->on = true;
    session_start(board->session);
    return board;
}

static void board_off(struct board *board)
{
    session_stop(board->session);
    assert_true(pump_until(is_stopped, board));
    if (board->cmd)
        lun_abort(board->lun, board->cmd);
    if (board->cmd)
        lun_release(board->lun, board->cmd);
    lun_destroy(board->lun);
    session_destroy(board->session);
    free(board->arena);
    memset(board, 0, sizeof(*board));
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < BOARDS; i++)
        if (boards[i].on)
            board_off(&boards[i]);
    if (target.pid > 0)
        cache_target_cut_power(&target);
    memset(&target, 0, sizeof(target));
    return 0;
}

static void shared(struct lun_config *config)
{
    config->reservation_key = 0;
}

static void ephemeral(struct lun_config *config)
{
    config->reservation_key = 0;
    config->ephemeral = true;
}

static void taking_over(struct lun_config *config)
{
    config->take_over = true;
}

/* ---- the host ---- */

static void fill(uint8_t *bytes, size_t count, unsigned seed)
{
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1103515245u + 12345u;
        bytes[i] = (uint8_t)(seed >> 16);
    }
}

static void host_begins(struct board *board, const uint8_t *cdb, enum scsi_dir dir, uint32_t bytes)
{
    uint8_t *room;
    uint32_t length, done = 0;
    assert_null(board->cmd);
    board->complete = false;
    board->cmd = lun_cmd_take(board->lun, &front);
    assert_non_null(board->cmd);
    memcpy(board->cmd->cdb, cdb, 10);
    board->cmd->cdb_bytes = 10;
    board->cmd->dir = dir;
    board->cmd->length_bytes = bytes;
    board->cmd->front = board;
    lun_submit(board->lun, board->cmd);
    while (dir == SCSI_DIR_OUT && (length = lun_out_next(board->lun, board->cmd, &room)) > 0) {
        memcpy(room, data + done, length);
        lun_out_done(board->lun, board->cmd, length);
        done += length;
    }
}

static struct scsi_outcome host_ends(struct board *board)
{
    struct scsi_outcome outcome;
    uint8_t *piece;
    uint32_t length, done = 0;
    assert_true(pump_until(is_complete, board));
    while ((length = lun_in_next(board->lun, board->cmd, &piece)) > 0) {
        memcpy(copy + done, piece, length);
        lun_in_done(board->lun, board->cmd, length);
        done += length;
    }
    outcome = board->cmd->outcome;
    lun_release(board->lun, board->cmd);
    board->cmd = NULL;
    return outcome;
}

static void begin_io(struct board *board, uint8_t opcode, uint32_t lba, uint16_t blocks)
{
    uint8_t cdb[10] = {opcode};
    bool write = opcode == OP_WRITE_10;
    put_be32(cdb + 2, lba);
    put_be16(cdb + 7, blocks);
    host_begins(board, cdb, write ? SCSI_DIR_OUT : SCSI_DIR_IN, blocks * BLOCK_BYTES);
}

static void host_writes(struct board *board, uint32_t lba, uint16_t blocks, unsigned seed)
{
    fill(data, blocks * BLOCK_BYTES, seed);
    begin_io(board, OP_WRITE_10, lba, blocks);
    assert_int_equal(host_ends(board).status, SCSI_STATUS_CODE_GOOD);
}

static struct scsi_outcome host_flushes(struct board *board)
{
    static const uint8_t cdb[10] = {OP_SYNCHRONIZE_CACHE_10};
    host_begins(board, cdb, SCSI_DIR_NONE, 0);
    return host_ends(board);
}

static void host_reads_back(struct board *board, uint32_t lba, uint16_t blocks, unsigned seed)
{
    begin_io(board, OP_READ_10, lba, blocks);
    assert_int_equal(host_ends(board).status, SCSI_STATUS_CODE_GOOD);
    fill(data, blocks * BLOCK_BYTES, seed);
    assert_memory_equal(copy, data, blocks * BLOCK_BYTES);
}

static void assert_sense(struct scsi_outcome o, struct sense_code want)
{
    struct sense_code got;
    assert_int_equal(o.status, SCSI_STATUS_CODE_CHECK_CONDITION);
    assert_true(sense_parse(o.sense, o.sense_bytes, &got));
    assert_int_equal(got.key << 16 | got.asc << 8 | got.ascq,
                     want.key << 16 | want.asc << 8 | want.ascq);
}

/* The host is told once, and once more that what it did not flush is lost; then
 * everything works again. */
static void host_hears_of_a_medium_change(struct board *board)
{
    assert_sense(host_flushes(board), sense_medium_changed);
    assert_sense(host_flushes(board), sense_writes_lost);
    assert_int_equal(host_flushes(board).status, SCSI_STATUS_CODE_GOOD);
}

/* ---- images ---- */

static const char *image_of(const char *name)
{
    snprintf(image, sizeof(image), "%s/%s.img", fixture_dir(), name);
    return image;
}

static uint64_t image_sum(const char *path)
{
    uint64_t sum = 0;
    ssize_t got;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    while ((got = read(fd, copy, sizeof(copy))) > 0)
        for (ssize_t i = 0; i < got; i++)
            sum = sum * 31 + copy[i];
    close(fd);
    return sum;
}

static void image_copy(const char *from, const char *to)
{
    ssize_t got;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(in >= 0 && out >= 0);
    while ((got = read(in, copy, sizeof(copy))) > 0)
        assert_int_equal(write(out, copy, (size_t)got), got);
    close(in);
    close(out);
}

static void start_cached(bool write_cache)
{
    int fd = open(image_of("cached"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && ftruncate(fd, DISK_BYTES) == 0);
    close(fd);
    target =
        (struct cache_target){.image = image, .write_cache = write_cache, .serial = "cached0001"};
    cache_target_start(&target);
}

/* ---- the disk comes back ---- */

static void the_same_disk_goes_on_without_a_word(void **state)
{
    struct board *board = board_on(0, "plain", 0, shared);

    (void)state;
    assert_true(pump_until(is_up, board));
    for (unsigned i = 0; i < 40; i++)
        host_writes(board, 100 + i * 128, 128, i);
    fixture("kill");
    assert_true(pump_until(is_down, board));
    fill(data, 4096, 77);
    begin_io(board, OP_WRITE_10, 9000, 8);
    fixture("restart");
    assert_int_equal(host_ends(board).status, SCSI_STATUS_CODE_GOOD);
    host_reads_back(board, 9000, 8, 77);
    host_reads_back(board, 100 + 39 * 128, 128, 39);
    assert_int_equal(lun_stats(board->lun)->proofs, 1);
    assert_int_equal(lun_stats(board->lun)->disproofs, 0);
    assert_int_equal(board->disk_changes, 1);
}

static void no_write_lands_on_an_older_copy_of_the_disk(void **state)
{
    struct board *board = board_on(0, "plain", 0, shared);
    char older[320];
    uint64_t sum;

    (void)state;
    assert_true(pump_until(is_up, board));
    host_writes(board, 0, 128, 1);
    snprintf(older, sizeof(older), "%s/older.img", fixture_dir());
    image_copy(image_of("plain"), older);
    host_writes(board, 500, 8, 2);
    fixture("kill");
    assert_true(pump_until(is_down, board));
    fill(data, 4096, 3);
    begin_io(board, OP_WRITE_10, 1000, 8);
    image_copy(older, image_of("plain"));
    sum = image_sum(image);
    fixture("restart");
    assert_sense(host_ends(board), sense_medium_changed);
    assert_true(image_sum(image) == sum);
    assert_int_equal(lun_stats(board->lun)->disproofs, 1);
    assert_int_equal(board->disk_changes, 2);
    host_hears_of_a_medium_change(board);
    host_reads_back(board, 0, 128, 1);
}

/* ---- a cache that is lost ---- */

static void writes_that_were_flushed_outlive_the_cache(void **state)
{
    struct board *board;

    (void)state;
    start_cached(true);
    board = board_on(0, "cached", target.port, shared);
    assert_true(pump_until(is_up, board));
    for (unsigned i = 0; i < 40; i++)
        host_writes(board, i * 100, 64, i);
    assert_int_equal(host_flushes(board).status, SCSI_STATUS_CODE_GOOD);
    cache_target_cut_power(&target);
    assert_true(pump_until(is_down, board));
    cache_target_start(&target);
    host_reads_back(board, 3900, 64, 39);
    assert_int_equal(lun_stats(board->lun)->proofs, 1);
    assert_int_equal(board->disk_changes, 1);
}

static void a_flush_is_never_good_for_writes_that_were_lost(void **state)
{
    struct board *board;

    (void)state;
    start_cached(true);
    board = board_on(0, "cached", target.port, shared);
    assert_true(pump_until(is_up, board));
    host_writes(board, 100, 8, 1);
    assert_int_equal(host_flushes(board).status, SCSI_STATUS_CODE_GOOD);
    host_writes(board, 200, 8, 2);
    cache_target_cut_power(&target);
    cache_target_start(&target);
    assert_sense(host_flushes(board), sense_medium_changed);
    host_hears_of_a_medium_change(board);
    assert_int_equal(lun_stats(board->lun)->disproofs, 1);
    host_reads_back(board, 100, 8, 1);
}

static void a_write_with_fua_outlives_the_cache(void **state)
{
    struct board *board;
    uint8_t cdb[10] = {OP_WRITE_10, 0x08, 0, 0, 0, 77, 0, 0, 8};

    (void)state;
    start_cached(true);
    board = board_on(0, "cached", target.port, shared);
    assert_true(pump_until(is_up, board));
    fill(data, 4096, 5);
    host_begins(board, cdb, SCSI_DIR_OUT, 4096);
    assert_int_equal(host_ends(board).status, SCSI_STATUS_CODE_GOOD);
    cache_target_cut_power(&target);
    assert_true(pump_until(is_down, board));
    cache_target_start(&target);
    host_reads_back(board, 77, 8, 5);
    assert_int_equal(lun_stats(board->lun)->proofs, 1);
}

static void without_a_cache_every_write_outlives_the_target(void **state)
{
    struct board *board;

    (void)state;
    start_cached(false);
    board = board_on(0, "cached", target.port, shared);
    assert_true(pump_until(is_up, board));
    assert_false(lun_disk(board->lun)->caching_page[2] & 4);
    host_writes(board, 100, 8, 1);
    cache_target_cut_power(&target);
    assert_true(pump_until(is_down, board));
    cache_target_start(&target);
    host_reads_back(board, 100, 8, 1);
    assert_int_equal(lun_stats(board->lun)->proofs, 1);
}

/* ---- an overlay for each login, as at scsipub.com ---- */

/* A write waits while the session, not the target, is exchanged. */
static void a_login_finds_a_fresh_overlay(struct board *board)
{
    struct backend *backend = session_backend(board->session);

    assert_true(pump_until(is_up, board));
    host_writes(board, 100, 8, 1);
    assert_int_equal(host_flushes(board).status, SCSI_STATUS_CODE_GOOD);
    backend->ops->drop(backend, "the test says so");
    fill(data, 4096, 2);
    begin_io(board, OP_WRITE_10, 200, 8);
    assert_sense(host_ends(board), sense_medium_changed);
    assert_sense(host_flushes(board), sense_medium_changed);
    assert_int_equal(host_flushes(board).status, SCSI_STATUS_CODE_GOOD);
    begin_io(board, OP_READ_10, 200, 8);
    assert_int_equal(host_ends(board).status, SCSI_STATUS_CODE_GOOD);
    memset(data, 0, 4096);
    assert_memory_equal(copy, data, 4096);
}

static void an_overlay_for_each_login_is_another_disk(void **state)
{
    (void)state;
    start_cached(false);
    cache_target_cut_power(&target);
    target.overlay = true;
    cache_target_start(&target);
    a_login_finds_a_fresh_overlay(board_on(0, "cached", target.port, ephemeral));
    assert_int_equal(lun_stats(boards[0].lun)->disproofs, 0);
}

static void an_overlay_that_nobody_declared_is_found_out(void **state)
{
    (void)state;
    start_cached(false);
    cache_target_cut_power(&target);
    target.overlay = true;
    cache_target_start(&target);
    a_login_finds_a_fresh_overlay(board_on(0, "cached", target.port, shared));
    assert_int_equal(lun_stats(boards[0].lun)->disproofs, 1);
}

/* ---- two boards ---- */

static void the_second_board_is_refused_until_the_first_gives_the_disk_back(void **state)
{
    struct board *first = board_on(0, "plain", 0, NULL), *second;

    (void)state;
    assert_true(pump_until(is_up, first));
    assert_true(lun_stats(first->lun)->access_held);
    host_writes(first, 10, 8, 1);
    second = board_on(1, "plain", 0, NULL);
    assert_true(pump_until(is_refused, second));
    assert_int_equal(second->severity, BACKEND_FAULT_PERMANENT);
    assert_non_null(strstr(second->fault, "1111111111111111"));
    assert_non_null(strstr(second->fault, "--take-over"));
    board_off(second);
    host_reads_back(first, 10, 8, 1);
    lun_release_access(first->lun, on_release, first);
    assert_true(pump_until(is_released, first));
    board_off(first);

    second = board_on(1, "plain", 0, NULL);
    assert_true(pump_until(is_up, second));
    assert_true(lun_stats(second->lun)->access_held);
    host_reads_back(second, 10, 8, 1);
    lun_release_access(second->lun, on_release, second);
    assert_true(pump_until(is_released, second));
}

static void the_disk_is_still_ours_after_a_login(void **state)
{
    struct board *board = board_on(0, "plain", 0, NULL);
    struct backend *backend = session_backend(board->session);

    (void)state;
    assert_true(pump_until(is_up, board));
    for (unsigned i = 0; i < 3; i++) {
        host_writes(board, 50 + i, 1, i);
        backend->ops->drop(backend, "the test says so");
        assert_true(pump_until(is_down, board));
        assert_true(pump_until(is_up, board));
        assert_true(lun_stats(board->lun)->access_held);
        assert_true(lun_disk(board->lun)->has_caching_page);
        host_reads_back(board, 50 + i, 1, i);
    }
    assert_int_equal(lun_stats(board->lun)->proofs, 3);
    assert_int_equal(board->disk_changes, 1);
    lun_release_access(board->lun, on_release, board);
    assert_true(pump_until(is_released, board));
}

static void a_restarted_target_is_reserved_anew(void **state)
{
    struct board *board = board_on(0, "plain", 0, NULL);

    (void)state;
    assert_true(pump_until(is_up, board));
    host_writes(board, 60, 8, 9);
    fixture("kill");
    assert_true(pump_until(is_down, board));
    fixture("restart");
    host_reads_back(board, 60, 8, 9);
    assert_true(lun_stats(board->lun)->access_held);
    lun_release_access(board->lun, on_release, board);
    assert_true(pump_until(is_released, board));
}

static void a_board_that_is_told_to_takes_the_disk_and_keeps_it(void **state)
{
    struct board *first = board_on(0, "plain", 0, NULL), *second;

    (void)state;
    assert_true(pump_until(is_up, first));
    second = board_on(1, "plain", 0, taking_over);
    assert_true(pump_until(is_up, second));
    assert_true(lun_stats(second->lun)->access_held);
    begin_io(first, OP_READ_10, 0, 8);
    assert_true(pump_until(is_refused, first));
    assert_non_null(strstr(first->fault, "2222222222222222"));
    assert_true(is_down(first));
    host_writes(second, 70, 8, 4);
    host_reads_back(second, 70, 8, 4);
    assert_false(first->complete);
    lun_release_access(second->lun, on_release, second);
    assert_true(pump_until(is_released, second));
    assert_int_equal(host_ends(first).status, SCSI_STATUS_CODE_GOOD);
    assert_true(lun_stats(first->lun)->access_held);
    lun_release_access(first->lun, on_release, first);
    assert_true(pump_until(is_released, first));
}

static void a_target_without_reservations_is_shared(void **state)
{
    struct board *board;

    (void)state;
    start_cached(true);
    board = board_on(0, "cached", target.port, NULL);
    assert_true(pump_until(is_up, board));
    assert_false(lun_stats(board->lun)->access_held);
    host_writes(board, 1, 1, 1);
}

#define TEST(function) cmocka_unit_test_teardown(function, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(the_same_disk_goes_on_without_a_word),
        TEST(no_write_lands_on_an_older_copy_of_the_disk),
        TEST(writes_that_were_flushed_outlive_the_cache),
        TEST(a_flush_is_never_good_for_writes_that_were_lost),
        TEST(a_write_with_fua_outlives_the_cache),
        TEST(without_a_cache_every_write_outlives_the_target),
        TEST(an_overlay_for_each_login_is_another_disk),
        TEST(an_overlay_that_nobody_declared_is_found_out),
        TEST(the_second_board_is_refused_until_the_first_gives_the_disk_back),
        TEST(the_disk_is_still_ours_after_a_login),
        TEST(a_restarted_target_is_reserved_anew),
        TEST(a_board_that_is_told_to_takes_the_disk_and_keeps_it),
        TEST(a_target_without_reservations_is_shared),
    };

    signal(SIGPIPE, SIG_IGN);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("reconnect", tests, NULL, NULL);
}
