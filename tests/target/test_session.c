/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The session against a real tgtd (fixture), and against listeners that behave
 * as no target should (fake_target.h). Started by tests/target/run.sh.
 */
#include "bench.h"
#include "bridge/bytes.h"
#include "fake_target.h"
#include "wire_tap.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint8_t data[262144];
static uint8_t copy[262144];

static int open_nothing(void **state)
{
    (void)state;
    bench_prepare("plain");
    return 0;
}

/* After each test: the session is taken down whatever the test left. */
static int close_session(void **state)
{
    (void)state;
    if (bench.session != NULL)
        bench_close();
    return 0;
}

/* By way of a relay on that port; 0: straight. */
static void log_in_by(const char *name, uint16_t port)
{
    bench_prepare(name);
    if (port != 0)
        bench.config.address.port = port;
    bench_open();
    assert_true(bench_until(bench_is_up, 5000));
    bench_is_accepted_anew();
    bench_settle();
    bench.completions = 0;
}

static void log_in(const char *name)
{
    log_in_by(name, 0);
}

static void fill(uint8_t *bytes, size_t count, unsigned seed)
{
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1103515245u + 12345u;
        bytes[i] = (uint8_t)(seed >> 16);
    }
}

static void read_image(const char *name, off_t offset, uint8_t *out, size_t bytes)
{
    char path[400];
    int fd;

    snprintf(path, sizeof(path), "%s/%s.img", fixture_dir(), name);
    fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, out, bytes, offset), (ssize_t)bytes);
    close(fd);
}

static void assert_text(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", text, part);
}

/* ---- login ---- */

static void login_reaches_up_and_tells_what_was_negotiated(void **state)
{
    const struct session_stats *stats;

    (void)state;
    log_in("plain");
    stats = session_stats(bench.session);
    assert_int_equal(bench.ups, 1);
    assert_int_equal(bench.faults, 0);
    assert_int_equal(stats->logins, 1);
    assert_int_equal(stats->portal_group, 1);
    assert_int_equal(stats->max_send_bytes, 8192);
    assert_false(stats->header_digest);
    assert_false(stats->authenticated);
}

static void first_keepalive_measures_the_round_trip(void **state)
{
    (void)state;
    log_in("plain");
    bench_for(100);
    assert_true(session_stats(bench.session)->keepalive_rtt_us > 0);
    assert_true(session_stats(bench.session)->keepalive_rtt_us < 1000000);
}

static void keepalives_hold_an_idle_session(void **state)
{
    (void)state;
    bench_prepare("plain");
    bench.config.keepalive_ms = 50;
    bench_open();
    assert_true(bench_until(bench_is_up, 5000));
    bench_for(600);
    assert_true(bench_is_up());
    assert_int_equal(bench.downs, 0);
}

static void chap_with_the_right_secret_logs_in(void **state)
{
    (void)state;
    bench_prepare("chap");
    strcpy(bench.config.address.user, "joe");
    bench.config.secret = "secret-of-joe";
    bench_open();
    assert_true(bench_until(bench_is_up, 5000));
    assert_true(session_stats(bench.session)->authenticated);
}

static bool is_down(void)
{
    return session_stats(bench.session)->state == SESSION_DOWN && bench.faults > 0;
}

static void assert_permanent(const char *part)
{
    assert_true(bench_until(is_down, 10000));
    assert_int_equal(bench.faults, 1);
    assert_int_equal(bench.last_fault, BACKEND_FAULT_PERMANENT);
    assert_int_equal(bench.ups, 0);
    assert_text(bench.last_why, part);
}

static void assert_transient(const char *part)
{
    assert_true(bench_until(bench_has_fault, 10000));
    assert_int_equal(bench.last_fault, BACKEND_FAULT_TRANSIENT);
    assert_text(bench.last_why, part);
    assert_int_equal(session_stats(bench.session)->state, SESSION_BACKOFF);
}

static void chap_with_a_wrong_secret_is_permanent(void **state)
{
    (void)state;
    bench_prepare("chap");
    strcpy(bench.config.address.user, "joe");
    bench.config.secret = "another-secret";
    bench_open();
    assert_permanent("authentication failed: check user and secret");
}

static void a_target_that_asks_for_chap_without_a_secret_is_permanent(void **state)
{
    (void)state;
    bench_prepare("chap");
    bench_open();
    assert_permanent("CHAP");
}

static void prepare_mutual(const char *target_secret)
{
    bench_prepare("mutual");
    strcpy(bench.config.address.user, "joe");
    bench.config.secret = "secret-of-joe";
    strcpy(bench.config.target_user, "disk");
    bench.config.target_secret = target_secret;
}

static void mutual_chap_with_the_right_secrets_logs_in(void **state)
{
    (void)state;
    prepare_mutual("secret-of-disk");
    bench_open();
    assert_true(bench_until(bench_is_up, 5000));
    assert_true(session_stats(bench.session)->target_authenticated);
}

static void mutual_chap_with_a_wrong_target_secret_is_permanent(void **state)
{
    (void)state;
    prepare_mutual("another-secret");
    bench_open();
    assert_permanent("mutual CHAP");
}

static void mutual_chap_with_a_wrong_target_user_is_permanent(void **state)
{
    (void)state;
    prepare_mutual("secret-of-disk");
    strcpy(bench.config.target_user, "tape");
    bench_open();
    assert_permanent("mutual CHAP");
}

static void mutual_chap_at_a_target_that_asks_for_nothing_is_permanent(void **state)
{
    (void)state;
    prepare_mutual("secret-of-disk");
    strcpy(bench.config.address.iqn, "iqn.2026-01.test:plain");
    bench_open();
    assert_permanent("mutual CHAP");
}

static void mutual_chap_is_not_skipped_by_a_target_that_ends_the_login_at_once(void **state)
{
    struct fake_target fake = fake_target_start(FAKE_NO_MUTUAL, NULL);

    (void)state;
    prepare_mutual("secret-of-disk");
    bench.config.address.port = fake.port;
    bench_open();
    assert_permanent("mutual CHAP");
    fake_target_stop(&fake);
}

static void chap_at_a_target_that_asks_for_nothing_logs_in(void **state)
{
    (void)state;
    bench_prepare("plain");
    strcpy(bench.config.address.user, "joe");
    bench.config.secret = "secret-of-joe";
    bench_open();
    assert_true(bench_until(bench_is_up, 5000));
    assert_false(session_stats(bench.session)->authenticated);
}

static void header_digest_is_used_and_data_pass(void **state)
{
    (void)state;
    bench_prepare("digest");
    bench.config.header_digest = true;
    bench_open();
    assert_true(bench_until(bench_is_up, 5000));
    assert_true(session_stats(bench.session)->header_digest);
    bench_settle();
    fill(data, 65536, 4);
    assert_int_equal(bench_io(true, 16, data, 65536)->cmd.outcome.status, 0);
    assert_int_equal(bench_io(false, 16, copy, 65536)->cmd.outcome.status, 0);
    assert_memory_equal(data, copy, 65536);
}

static void header_digest_declined_by_the_target_logs_in_without(void **state)
{
    (void)state;
    bench_prepare("plain");
    bench.config.header_digest = true;
    bench_open();
    assert_true(bench_until(bench_is_up, 5000));
    assert_false(session_stats(bench.session)->header_digest);
    bench_settle();
    assert_int_equal(bench_io(false, 0, copy, 4096)->cmd.outcome.status, 0);
}

static void a_wrong_target_name_is_permanent(void **state)
{
    (void)state;
    bench_prepare("nobody");
    bench_open();
    assert_permanent("no target of this name");
}

static void a_refused_port_is_transient_and_named(void **state)
{
    (void)state;
    bench_prepare("plain");
    bench.config.address.port = fake_target_closed_port();
    bench_open();
    assert_transient("refuses the connection");
}

static void a_listener_that_says_nothing_is_transient_within_the_login_time(void **state)
{
    struct fake_target fake = fake_target_start(FAKE_SILENT, NULL);
    uint64_t begin_us;

    (void)state;
    bench_prepare("plain");
    bench.config.address.port = fake.port;
    bench.config.login_timeout_ms = 300;
    begin_us = bench_now_us();
    bench_open();
    assert_transient("does not answer the login");
    assert_true(bench_now_us() - begin_us < 2000000);
    fake_target_stop(&fake);
}

static void a_listener_that_closes_during_login_is_transient(void **state)
{
    struct fake_target fake = fake_target_start(FAKE_CLOSES, NULL);

    (void)state;
    bench_prepare("plain");
    bench.config.address.port = fake.port;
    bench_open();
    assert_transient("closed the connection during the login");
    fake_target_stop(&fake);
}

static void a_login_answer_with_impossible_values_is_refused(void **state)
{
    struct fake_target fake = fake_target_start(FAKE_BAD_KEYS, NULL);

    (void)state;
    bench_prepare("plain");
    bench.config.address.port = fake.port;
    bench_open();
    assert_transient("values that iSCSI does not allow");
    fake_target_stop(&fake);
}

static void a_redirect_is_followed(void **state)
{
    char portal[64];
    struct fake_target fake;

    (void)state;
    bench_prepare("plain");
    snprintf(portal, sizeof(portal), "127.0.0.1:%u,1", fixture_port());
    fake = fake_target_start(FAKE_MOVED, portal);
    bench.config.address.port = fake.port;
    bench_open();
    assert_true(bench_until(bench_is_up, 5000));
    portal[strcspn(portal, ",")] = '\0';
    assert_string_equal(session_stats(bench.session)->portal, portal);
    fake_target_stop(&fake);
}

static void a_redirect_without_address_is_a_clear_fault(void **state)
{
    struct fake_target fake = fake_target_start(FAKE_MOVED_NOWHERE, NULL);

    (void)state;
    bench_prepare("plain");
    bench.config.address.port = fake.port;
    bench_open();
    assert_permanent("moved, but it does not say where");
    fake_target_stop(&fake);
}

static void a_circle_of_redirects_ends(void **state)
{
    char portal[64];
    struct fake_target fakes[2];

    (void)state;
    bench_prepare("plain");
    fakes[0] = fake_target_start(FAKE_MOVED, "127.0.0.1:1");
    snprintf(portal, sizeof(portal), "127.0.0.1:%u", fakes[0].port);
    fakes[1] = fake_target_start(FAKE_MOVED, portal);
    fake_target_stop(&fakes[0]);
    snprintf(portal, sizeof(portal), "127.0.0.1:%u", fakes[1].port);
    fakes[0] = fake_target_start(FAKE_MOVED, portal);
    bench.config.address.port = fakes[0].port;
    bench_open();
    assert_true(bench_until(bench_has_fault, 5000));
    assert_int_equal(bench.last_fault, BACKEND_FAULT_TRANSIENT);
    fake_target_stop(&fakes[0]);
    fake_target_stop(&fakes[1]);
}

/* ---- commands ---- */

static void inquiry_answers_and_moves_what_the_target_has(void **state)
{
    const uint8_t cdb[6] = {0x12, 0, 0, 0, 255, 0};
    struct iovec iov = {data, 255};
    struct bench_command *command;

    (void)state;
    log_in("plain");
    memset(data, 0xff, 255);
    command = bench_command(cdb, 6, SCSI_DIR_IN, &iov, 1);
    assert_int_equal(command->cmd.result, BACKEND_DONE);
    assert_int_equal(command->cmd.outcome.status, SCSI_STATUS_CODE_GOOD);
    assert_false(command->cmd.outcome.phase_error);
    assert_true(command->cmd.outcome.moved_bytes >= 36);
    assert_true(command->cmd.outcome.moved_bytes < 255);
    assert_memory_equal(data + 8, "IET     ", 8);
}

static void inquiry_of_a_missing_lun_tells_so_in_the_qualifier(void **state)
{
    const uint8_t cdb[6] = {0x12, 0, 0, 0, 36, 0};
    struct iovec iov = {data, 36};

    (void)state;
    bench_prepare("plain");
    bench.config.address.lun = 7;
    bench_open();
    assert_true(bench_until(bench_is_up, 5000));
    assert_int_equal(bench_command(cdb, 6, SCSI_DIR_IN, &iov, 1)->cmd.outcome.status, 0);
    assert_int_equal(data[0] >> 5, 3);
}

static void a_write_of_three_slices_is_on_the_image_and_reads_back(void **state)
{
    const uint8_t write10[10] = {0x2a, 0, 0, 0, 0, 100, 0, 0, 240, 0};
    const uint8_t read10[10] = {0x28, 0, 0, 0, 0, 100, 0, 0, 240, 0};
    struct iovec out[3] = {{data, 512 * 17}, {data + 100000, 512 * 128}, {data + 200000, 512 * 95}};
    struct iovec in[3] = {{copy, 512 * 128}, {copy + 100000, 512}, {copy + 120000, 512 * 111}};
    static uint8_t image[512 * 240];
    struct bench_command *command;

    (void)state;
    log_in("plain");
    fill(data, sizeof(data), 1);
    memset(copy, 0xff, sizeof(copy));
    command = bench_command(write10, 10, SCSI_DIR_OUT, out, 3);
    assert_int_equal(command->cmd.outcome.status, SCSI_STATUS_CODE_GOOD);
    assert_int_equal(command->cmd.outcome.moved_bytes, 512 * 240);
    assert_ptr_equal(session_stats(bench.session)->last_iov_base, data);
    read_image("plain", 100 * 512, image, sizeof(image));
    assert_memory_equal(image, data, 512 * 17);
    assert_memory_equal(image + 512 * 17, data + 100000, 512 * 128);
    assert_memory_equal(image + 512 * 145, data + 200000, 512 * 95);

    command = bench_command(read10, 10, SCSI_DIR_IN, in, 3);
    assert_int_equal(command->cmd.outcome.status, SCSI_STATUS_CODE_GOOD);
    assert_int_equal(command->cmd.outcome.moved_bytes, 512 * 240);
    assert_ptr_equal(session_stats(bench.session)->last_iov_base, copy);
    assert_memory_equal(copy, image, 512 * 128);
    assert_memory_equal(copy + 100000, image + 512 * 128, 512);
    assert_memory_equal(copy + 120000, image + 512 * 129, 512 * 111);
}

static void submit_leaves_the_callers_iovec_alone(void **state)
{
    const uint8_t read10[10] = {0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0};
    struct iovec in[2] = {{copy, 1024}, {copy + 8192, 3072}};
    struct bench_command *command;

    (void)state;
    log_in("plain");
    command = bench_command(read10, 10, SCSI_DIR_IN, in, 2);
    assert_ptr_equal(command->cmd.iov[0].iov_base, copy);
    assert_int_equal(command->cmd.iov[0].iov_len, 1024);
    assert_ptr_equal(command->cmd.iov[1].iov_base, copy + 8192);
    assert_int_equal(command->cmd.iov[1].iov_len, 3072);
}

static void sense_of_an_address_out_of_range_comes_raw(void **state)
{
    struct bench_command *command;
    struct sense_code code;

    (void)state;
    log_in("plain");
    command = bench_io(false, 0x00ffffff, copy, 512);
    assert_int_equal(command->cmd.result, BACKEND_DONE);
    assert_int_equal(command->cmd.outcome.status, SCSI_STATUS_CODE_CHECK_CONDITION);
    assert_int_equal(command->cmd.outcome.moved_bytes, 0);
    assert_true(command->cmd.outcome.sense_bytes >= 18);
    assert_true(sense_parse(command->cmd.outcome.sense, command->cmd.outcome.sense_bytes, &code));
    assert_true(sense_code_equal(code, sense_lba_out_of_range));
}

static void an_unknown_opcode_is_passed_and_refused_by_the_target(void **state)
{
    const uint8_t cdb[12] = {0xc7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0};
    struct bench_command *command;
    struct sense_code code;

    (void)state;
    log_in("plain");
    command = bench_command(cdb, 12, SCSI_DIR_NONE, NULL, 0);
    assert_int_equal(command->cmd.outcome.status, SCSI_STATUS_CODE_CHECK_CONDITION);
    assert_true(sense_parse(command->cmd.outcome.sense, command->cmd.outcome.sense_bytes, &code));
    assert_true(sense_code_equal(code, sense_invalid_opcode));
}

static void a_write_to_a_readonly_lun_is_answered_with_the_targets_sense(void **state)
{
    struct bench_command *command;
    struct sense_code code;

    (void)state;
    log_in("readonly");
    fill(data, 131072, 9);
    command = bench_io(true, 0, data, 131072);
    assert_int_equal(command->cmd.outcome.status, SCSI_STATUS_CODE_CHECK_CONDITION);
    assert_true(sense_parse(command->cmd.outcome.sense, command->cmd.outcome.sense_bytes, &code));
    assert_int_equal(code.key, SENSE_DATA_PROTECT);
    assert_true(bench_is_up());
}

static void a_full_table_says_again_and_then_more(void **state)
{
    uint8_t read10[10] = {0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0};
    struct backend *backend;

    (void)state;
    log_in("plain");
    for (unsigned i = 0; i < 64; i++) {
        struct iovec iov = {copy + (size_t)i * 512, 512};
        bench_submit(i, read10, 10, SCSI_DIR_IN, &iov, 1);
    }
    backend = session_backend(bench.session);
    bench.commands[64].cmd = bench.commands[0].cmd;
    assert_int_equal(backend->ops->submit(backend, &bench.commands[64].cmd), -EAGAIN);
    assert_int_equal(bench.mores, 0);
    assert_true(bench_until(bench_all_done, 5000));
    assert_int_equal(bench.completions, 64);
    assert_int_equal(bench.mores, 1);
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(bench.commands[i].done_count, 1);
        assert_int_equal(bench.commands[i].cmd.outcome.status, 0);
    }
}

static void sixteen_long_writes_at_once_arrive(void **state)
{
    static uint8_t image[16 * 262144 / 4];
    uint8_t write10[10] = {0x2a, 0, 0, 0, 0, 0, 0, 0, 128, 0};

    (void)state;
    log_in("plain");
    fill(data, sizeof(data), 7);
    for (unsigned i = 0; i < 16; i++) {
        struct iovec iov = {data + (size_t)i * 8192, 65536};
        put_be32(write10 + 2, i * 128);
        bench_submit(i, write10, 10, SCSI_DIR_OUT, &iov, 1);
    }
    assert_true(bench_until(bench_all_done, 5000));
    read_image("plain", 0, image, sizeof(image));
    for (unsigned i = 0; i < 16; i++) {
        assert_int_equal(bench.commands[i].cmd.outcome.status, 0);
        assert_memory_equal(image + (size_t)i * 65536, data + (size_t)i * 8192, 65536);
    }
}

/* ---- verdicts and losses ---- */

static void a_rejected_disk_is_permanent_before_the_first_acceptance(void **state)
{
    (void)state;
    bench_prepare("plain");
    bench.verdict = BENCH_REJECT_PERMANENT;
    bench_open();
    assert_true(bench_until(is_down, 5000));
    assert_int_equal(bench.last_fault, BACKEND_FAULT_PERMANENT);
    assert_string_equal(bench.last_why, "it is another disk");
    bench_for(300);
    assert_int_equal(bench.ups, 1);
    assert_int_equal(bench.downs, 1);
}

static void a_busy_disk_is_tried_again(void **state)
{
    (void)state;
    bench_prepare("plain");
    bench.verdict = BENCH_REJECT_TRANSIENT;
    bench_open();
    assert_true(bench_until(bench_has_fault, 5000));
    bench.verdict = BENCH_ACCEPT;
    assert_true(bench_until(bench_is_up, 5000));
    assert_int_equal(bench.ups, 2);
}

static void nothing_is_permanent_after_the_first_acceptance(void **state)
{
    struct backend *backend;

    (void)state;
    log_in("plain");
    bench.verdict = BENCH_REJECT_PERMANENT;
    backend = session_backend(bench.session);
    backend->ops->drop(backend, "for a test");
    assert_true(bench_until(bench_has_fault, 5000));
    bench.faults = 0;
    assert_true(bench_until(bench_has_fault, 5000));
    assert_string_equal(bench.last_why, "it is another disk");
    assert_int_equal(bench.last_fault, BACKEND_FAULT_TRANSIENT);
    bench.verdict = BENCH_ACCEPT;
    assert_true(bench_until(bench_is_up, 5000));
}

static bool went_down(void)
{
    return bench.downs > 0;
}

static void drop_loses_each_command_once_before_down_and_logs_in_again(void **state)
{
    uint8_t read10[10] = {0x28, 0, 0, 0, 0, 0, 0, 0, 128, 0};
    struct backend *backend;

    (void)state;
    log_in("plain");
    backend = session_backend(bench.session);
    for (unsigned i = 0; i < 4; i++) {
        struct iovec iov = {copy + (size_t)i * 65536, 65536};
        bench_submit(i, read10, 10, SCSI_DIR_IN, &iov, 1);
    }
    backend->ops->drop(backend, "for a test");
    assert_int_equal(bench.completions, 0);
    assert_int_equal(backend->ops->submit(backend, &bench.commands[5].cmd), -ENOTCONN);
    assert_true(bench_until(went_down, 5000));
    assert_int_equal(bench.completions_at_down, 4);
    assert_string_equal(bench.down_why, "for a test");
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(bench.commands[i].done_count, 1);
        assert_int_equal(bench.commands[i].cmd.result, BACKEND_LOST);
        assert_int_equal(bench.commands[i].order, i + 1);
    }
    assert_true(bench_until(bench_is_accepted_anew, 5000));
    bench_settle();
    assert_int_equal(bench_io(false, 0, copy, 512)->cmd.outcome.status, 0);
    assert_int_equal(session_stats(bench.session)->losses, 1);
}

/* tgtd shows no ISID; a second session with another one stays beside the first. */
static unsigned sessions_of(int tid)
{
    char text[4096];
    unsigned count = 0;

    fixture_connections(tid, text, sizeof(text));
    for (const char *at = text; (at = strstr(at, "Session:")) != NULL; at++)
        count++;
    return count;
}

static void a_killed_target_loses_each_command_once_and_is_found_again(void **state)
{
    uint8_t write10[10] = {0x2a, 0, 0, 0, 0, 0, 0, 0, 128, 0};

    (void)state;
    log_in("plain");
    fixture("freeze");
    for (unsigned i = 0; i < 64; i++) {
        struct iovec iov = {data, 65536};
        bench_submit(i, write10, 10, SCSI_DIR_OUT, &iov, 1);
    }
    bench_for(50);
    fixture("kill");
    assert_true(bench_until(went_down, 5000));
    bench_for(300);
    assert_int_equal(bench.downs, 1);
    assert_int_equal(bench.completions, 64);
    assert_int_equal(bench.completions_at_down, 64);
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(bench.commands[i].done_count, 1);
        assert_int_equal(bench.commands[i].cmd.result, BACKEND_LOST);
    }
    assert_int_equal(bench.last_fault, BACKEND_FAULT_TRANSIENT);
    fixture("restart");
    assert_true(bench_until(bench_is_accepted_anew, 10000));
    bench_settle();
    assert_int_equal(bench_io(false, 0, copy, 512)->cmd.outcome.status, 0);
}

/* The first session is cut off without a word to the target, which still holds
 * it: only a login with its name and ISID makes it go (RFC 7143 6.3.5). */
static void a_new_login_with_the_same_isid_replaces_the_old_session(void **state)
{
    struct wire_tap tap = wire_tap_start((uint16_t)fixture_port());
    const struct wire_login *login = tap.log->logins;
    struct session *first;
    struct backend *backend;

    (void)state;
    log_in_by("plain", tap.port);
    assert_int_equal(sessions_of(1), 1);
    first = bench.session;
    log_in_by("plain", tap.port);
    assert_int_equal(sessions_of(1), 1);
    assert_int_equal(tap.log->login_count, 2);
    assert_memory_equal(login[0].isid, bench.config.isid, 6);
    assert_memory_equal(login[1].isid, bench.config.isid, 6);
    assert_int_equal(login[0].tsih | login[1].tsih, 0);
    backend = session_backend(first);
    backend->events_ctx = NULL;
    session_destroy(first);
    assert_int_equal(bench_io(false, 0, copy, 512)->cmd.outcome.status, 0);
    wire_tap_stop(&tap);
}

static void another_isid_is_another_session(void **state)
{
    struct session *first;

    (void)state;
    log_in("plain");
    first = bench.session;
    bench_prepare("plain");
    session_isid(bench.config.isid, "board", "gadget", "lun0", "probe");
    bench_open();
    assert_true(bench_until(bench_is_up, 5000));
    assert_int_equal(sessions_of(1), 2);
    session_destroy(first);
}

static void a_frozen_target_is_given_up_after_two_keepalives(void **state)
{
    uint64_t begin_us;

    (void)state;
    bench_prepare("plain");
    bench.config.keepalive_ms = 100;
    bench.config.login_timeout_ms = 500;
    bench_open();
    assert_true(bench_until(bench_is_up, 5000));
    bench_for(50);
    fixture("freeze");
    begin_us = bench_now_us();
    assert_true(bench_until(went_down, 3000));
    assert_true(bench_now_us() - begin_us >= 150000);
    assert_text(bench.down_why, "two keepalives");
    fixture("thaw");
    bench_is_accepted_anew();
    assert_true(bench_until(bench_is_accepted_anew, 10000));
}

static void stop_logs_out(void **state)
{
    (void)state;
    log_in("plain");
    assert_int_equal(sessions_of(1), 1);
    bench_close();
    assert_int_equal(sessions_of(1), 0);
    assert_int_equal(bench.downs, 1);
}

static void stop_with_commands_out_completes_each_once(void **state)
{
    uint8_t read10[10] = {0x28, 0, 0, 0, 0, 0, 0, 0, 128, 0};

    (void)state;
    log_in("plain");
    for (unsigned i = 0; i < 8; i++) {
        struct iovec iov = {copy, 65536};
        bench_submit(i, read10, 10, SCSI_DIR_IN, &iov, 1);
    }
    bench_close();
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(bench.commands[i].done_count, 1);
}

static void stop_at_a_frozen_target_is_bounded(void **state)
{
    uint64_t begin_us;

    (void)state;
    log_in("plain");
    fixture("freeze");
    begin_us = bench_now_us();
    bench_close();
    assert_true(bench_now_us() - begin_us < 3000000);
    fixture("thaw");
}

/* ---- a target that breaks the protocol ---- */

static struct bench_command *fake_io(enum fake_behaviour behaviour, bool write, uint32_t bytes,
                                     struct fake_target *fake)
{
    *fake = fake_target_start(behaviour, NULL);
    bench_prepare("plain");
    bench.config.address.port = fake->port;
    bench_open();
    assert_true(bench_until(bench_is_up, 5000));
    memset(data, 0xee, sizeof(data));
    return bench_io(write, 0, data, bytes);
}

static void good_without_data_ends_the_session(void **state)
{
    struct fake_target fake;

    (void)state;
    assert_int_equal(fake_io(FAKE_GOOD_NO_DATA, false, 65536, &fake)->cmd.result, BACKEND_LOST);
    assert_text(bench.down_why, "did not send all its data");
    fake_target_stop(&fake);
}

/* The eight bytes that a command's data-in buffer was marked with: what a short
 * answer left of them. */
static uint64_t mark_of_an_inquiry(void)
{
    const uint8_t cdb[6] = {0x12, 0, 0, 0x20, 0, 0};
    struct iovec iov = {data, 8192};
    uint64_t mark;

    memset(data, 0, 8192);
    assert_int_equal(bench_command(cdb, 6, SCSI_DIR_IN, &iov, 1)->cmd.outcome.status, 0);
    memcpy(&mark, data + 8192 - 8, 8);
    assert_int_not_equal(mark, 0);
    return mark;
}

/* Whatever of our memory a disk may hold: it is data like any other. */
static void data_that_hold_marks_of_other_commands_pass(void **state)
{
    (void)state;
    log_in("plain");
    for (unsigned i = 0; i < 16; i++) {
        uint64_t mark = mark_of_an_inquiry();
        for (unsigned at = 0; at < 8192; at += 8)
            memcpy(data + at, &mark, 8);
        assert_int_equal(bench_io(true, 16 * i, data, 8192)->cmd.outcome.status, 0);
        assert_int_equal(bench_io(false, 16 * i, data, 8192)->cmd.result, BACKEND_DONE);
        for (unsigned at = 0; at < 8192; at += 8)
            assert_memory_equal(data + at, &mark, 8);
    }
    assert_int_equal(session_stats(bench.session)->losses, 0);
}

static void marks_are_others_with_each_command_and_each_session(void **state)
{
    uint64_t marks[8];

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        if (i % 2 == 0)
            log_in("plain");
        marks[i] = mark_of_an_inquiry();
        for (unsigned j = 0; j < i; j++)
            assert_int_not_equal(marks[i], marks[j]);
        if (i % 2 == 1)
            bench_close();
    }
}

static void a_residual_longer_than_the_command_ends_the_session(void **state)
{
    struct fake_target fake;

    (void)state;
    assert_int_equal(fake_io(FAKE_LONG_RESIDUAL, false, 4096, &fake)->cmd.result, BACKEND_LOST);
    assert_text(bench.down_why, "residual");
    fake_target_stop(&fake);
}

static void an_unknown_status_ends_the_session(void **state)
{
    struct fake_target fake;

    (void)state;
    assert_int_equal(fake_io(FAKE_UNKNOWN_STATUS, false, 4096, &fake)->cmd.result, BACKEND_LOST);
    assert_text(bench.down_why, "broke the protocol");
    fake_target_stop(&fake);
}

static void check_condition_without_sense_gets_sense(void **state)
{
    struct fake_target fake;
    struct bench_command *command = fake_io(FAKE_NO_SENSE, false, 4096, &fake);
    struct sense_code code;

    (void)state;
    assert_int_equal(command->cmd.result, BACKEND_DONE);
    assert_int_equal(command->cmd.outcome.status, SCSI_STATUS_CODE_CHECK_CONDITION);
    assert_true(sense_parse(command->cmd.outcome.sense, command->cmd.outcome.sense_bytes, &code));
    assert_true(sense_code_equal(code, sense_internal_failure));
    fake_target_stop(&fake);
}

/* The answer overtakes the data: nothing of the buffer may be sent after the
 * command went back, since it may then hold another command's data. */
static void an_early_answer_to_a_write_sends_no_more_of_its_buffer(void **state)
{
    struct fake_target fake;
    struct bench_command *command = fake_io(FAKE_EARLY_ANSWER, true, 262144, &fake);

    (void)state;
    assert_int_equal(command->done_count, 1);
    assert_int_equal(command->cmd.result, BACKEND_DONE);
    memset(data, FAKE_FORBIDDEN_BYTE, sizeof(data));
    assert_true(bench_until(went_down, 5000));
    assert_int_equal(command->done_count, 1);
    bench_for(300);
    assert_true(fake_target_stop(&fake));
}

static void a_target_that_goes_mute_loses_the_command(void **state)
{
    struct fake_target fake = fake_target_start(FAKE_LOGIN_THEN_MUTE, NULL);

    (void)state;
    bench_prepare("plain");
    bench.config.address.port = fake.port;
    bench.config.keepalive_ms = 100;
    bench_open();
    assert_true(bench_until(bench_is_up, 5000));
    assert_int_equal(bench_io(false, 0, data, 4096)->cmd.result, BACKEND_LOST);
    assert_text(bench.down_why, "two keepalives");
    fake_target_stop(&fake);
}

/* ---- names ---- */

static void ask(void *ctx, const char *host)
{
    (void)ctx;
    snprintf(bench.resolve_asked, sizeof(bench.resolve_asked), "%s", host);
}

static bool was_asked(void)
{
    return bench.resolve_asked[0] != '\0';
}

static void a_name_is_resolved_by_the_daemon(void **state)
{
    (void)state;
    bench_prepare("plain");
    strcpy(bench.config.address.host, "disk.example");
    bench.config.resolve = ask;
    bench_open();
    assert_true(bench_until(was_asked, 1000));
    assert_string_equal(bench.resolve_asked, "disk.example");
    session_resolved(bench.session, "127.0.0.1", NULL);
    assert_true(bench_until(bench_is_up, 5000));
}

static void a_name_that_does_not_resolve_is_transient_and_asked_again(void **state)
{
    (void)state;
    bench_prepare("plain");
    strcpy(bench.config.address.host, "disk.example");
    bench.config.resolve = ask;
    bench_open();
    assert_true(bench_until(was_asked, 1000));
    session_resolved(bench.session, NULL, "no such name");
    bench.resolve_asked[0] = '\0';
    assert_transient("cannot resolve disk.example: no such name");
    assert_true(bench_until(was_asked, 2000));
}

/* ---- many sessions, for valgrind ---- */

static void many_sessions_leave_nothing_behind(void **state)
{
    const char *count = getenv("TARGET_SESSIONS");
    unsigned long sessions = count != NULL ? strtoul(count, NULL, 10) : 20;

    (void)state;
    for (unsigned long i = 0; i < sessions; i++) {
        log_in("plain");
        for (unsigned j = 0; j < 100; j++)
            bench_io(j % 2 == 0, j, data, 512);
        if (i % 2 == 0)
            bench_close();
        else {
            session_destroy(bench.session);
            bench.session = NULL;
        }
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_nothing, close_session)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(login_reaches_up_and_tells_what_was_negotiated),
        TEST(first_keepalive_measures_the_round_trip),
        TEST(keepalives_hold_an_idle_session),
        TEST(chap_with_the_right_secret_logs_in),
        TEST(chap_with_a_wrong_secret_is_permanent),
        TEST(a_target_that_asks_for_chap_without_a_secret_is_permanent),
        TEST(mutual_chap_with_the_right_secrets_logs_in),
        TEST(mutual_chap_with_a_wrong_target_secret_is_permanent),
        TEST(mutual_chap_with_a_wrong_target_user_is_permanent),
        TEST(mutual_chap_at_a_target_that_asks_for_nothing_is_permanent),
        TEST(mutual_chap_is_not_skipped_by_a_target_that_ends_the_login_at_once),
        TEST(chap_at_a_target_that_asks_for_nothing_logs_in),
        TEST(header_digest_is_used_and_data_pass),
        TEST(header_digest_declined_by_the_target_logs_in_without),
        TEST(a_wrong_target_name_is_permanent),
        TEST(a_refused_port_is_transient_and_named),
        TEST(a_listener_that_says_nothing_is_transient_within_the_login_time),
        TEST(a_listener_that_closes_during_login_is_transient),
        TEST(a_login_answer_with_impossible_values_is_refused),
        TEST(a_redirect_is_followed),
        TEST(a_redirect_without_address_is_a_clear_fault),
        TEST(a_circle_of_redirects_ends),
        TEST(inquiry_answers_and_moves_what_the_target_has),
        TEST(inquiry_of_a_missing_lun_tells_so_in_the_qualifier),
        TEST(a_write_of_three_slices_is_on_the_image_and_reads_back),
        TEST(submit_leaves_the_callers_iovec_alone),
        TEST(sense_of_an_address_out_of_range_comes_raw),
        TEST(an_unknown_opcode_is_passed_and_refused_by_the_target),
        TEST(a_write_to_a_readonly_lun_is_answered_with_the_targets_sense),
        TEST(a_full_table_says_again_and_then_more),
        TEST(sixteen_long_writes_at_once_arrive),
        TEST(a_rejected_disk_is_permanent_before_the_first_acceptance),
        TEST(a_busy_disk_is_tried_again),
        TEST(nothing_is_permanent_after_the_first_acceptance),
        TEST(drop_loses_each_command_once_before_down_and_logs_in_again),
        TEST(a_killed_target_loses_each_command_once_and_is_found_again),
        TEST(a_new_login_with_the_same_isid_replaces_the_old_session),
        TEST(another_isid_is_another_session),
        TEST(a_frozen_target_is_given_up_after_two_keepalives),
        TEST(stop_logs_out),
        TEST(stop_with_commands_out_completes_each_once),
        TEST(stop_at_a_frozen_target_is_bounded),
        TEST(good_without_data_ends_the_session),
        TEST(data_that_hold_marks_of_other_commands_pass),
        TEST(marks_are_others_with_each_command_and_each_session),
        TEST(a_residual_longer_than_the_command_ends_the_session),
        TEST(an_unknown_status_ends_the_session),
        TEST(check_condition_without_sense_gets_sense),
        TEST(an_early_answer_to_a_write_sends_no_more_of_its_buffer),
        TEST(a_target_that_goes_mute_loses_the_command),
        TEST(a_name_is_resolved_by_the_daemon),
        TEST(a_name_that_does_not_resolve_is_transient_and_asked_again),
        TEST(many_sessions_leave_nothing_behind),
    };

    signal(SIGPIPE, SIG_IGN);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
