/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a target may do wrong, each in a test of its own, against the session
 * and the logical unit. After each the host has a true answer, no byte of it is
 * another command's, and the next command of a target that behaves goes well.
 *
 * libiscsi as Debian has it does not withstand all of it (hw/static/libiscsi):
 * what needs our patches is tested only where it is built with them.
 */
#include "hostile_line.h"

#include "bridge/bytes.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define READ_10  0x28
#define WRITE_10 0x2a
#define ANY_CDB  (-1)

static uint8_t scratch[262144 + 4096];

static void assert_text(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", text, part);
}

/* The tag of another request than the one in hand. */
static void set_tag(struct hostile_pdu *request, uint32_t tag)
{
    put_be32(request->bhs + 16, tag);
}

/* ---- one misbehaviour in one command ---- */

enum end { KEEPS, ENDS }; /* the session, that is */

struct misdeed {
    hostile_twist *twist;
    int cdb;
    enum end end;
    const char *why; /* part of the reason of the session's end */
};

/* The host's command goes well all the same: READs and WRITEs are issued again
 * after a loss. */
static void commit(void **state)
{
    const struct misdeed *misdeed = *state;
    bool keeps = misdeed->end == KEEPS;

    line_prepare();
    line_up();
    line_twist(misdeed->twist, OP_SCSI_COMMAND, misdeed->cdb, 1);
    if (misdeed->cdb == WRITE_10)
        line_writes_well(64, 65536, 1);
    else
        line_reads_well(64, 65536);
    assert_int_equal(line.target.twisted, 1);
    line_for(1000);
    assert_true(line_is_up());
    line_reads_well(200, 120 * 1024);
    line_writes_well(700, 120 * 1024, 2);
    line_reads_well(700, 120 * 1024);
    assert_int_equal(session_stats(line.session)->losses, keeps ? 0 : 1);
    if (misdeed->why != NULL)
        assert_text(line.last_why, misdeed->why);
}

/* ---- Data-In ---- */

static bool data_in_behind_the_buffer(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_data_in(t, request, 0, 65536, scratch, 512);
    return false;
}

static bool data_in_at_the_end_of_the_offsets(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_data_in(t, request, 0, 0xfffffe00, scratch, 1024);
    return false;
}

static bool data_in_longer_than_the_buffer(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_data_in(t, request, FLAG_FINAL | FLAG_STATUS, 0, scratch, 66048);
    return true;
}

static bool data_in_before_the_command(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_data_in(t, request, 0, 0x80000000, scratch, 4096);
    return false;
}

/* The first block is missing. */
static bool data_in_with_a_hole(struct hostile *t, const struct hostile_pdu *request)
{
    struct scsi_outcome outcome;
    const uint8_t *data = hostile_execute(t, request, &outcome);

    hostile_data_in(t, request, FLAG_FINAL | FLAG_STATUS, 512, data + 512, 65024);
    return true;
}

static bool data_in_backwards(struct hostile *t, const struct hostile_pdu *request)
{
    struct scsi_outcome outcome;
    const uint8_t *data = hostile_execute(t, request, &outcome);

    hostile_data_in(t, request, 0, 32768, data + 32768, 32768);
    hostile_data_in(t, request, FLAG_FINAL | FLAG_STATUS, 0, data, 32768);
    return true;
}

static bool data_in_twice(struct hostile *t, const struct hostile_pdu *request)
{
    struct scsi_outcome outcome;
    const uint8_t *data = hostile_execute(t, request, &outcome);

    hostile_data_in(t, request, 0, 0, data, 16384);
    hostile_data_in(t, request, 0, 0, data, 16384);
    hostile_data_in(t, request, FLAG_FINAL | FLAG_STATUS, 16384, data + 16384, 49152);
    return true;
}

static bool data_in_half(struct hostile *t, const struct hostile_pdu *request)
{
    struct scsi_outcome outcome;
    const uint8_t *data = hostile_execute(t, request, &outcome);

    hostile_data_in(t, request, FLAG_FINAL | FLAG_STATUS, 0, data, 32768);
    return true;
}

/* The last eight bytes of each block: just where a mark of guard.h may be. */
static bool data_in_of_the_marks_alone(struct hostile *t, const struct hostile_pdu *request)
{
    struct scsi_outcome outcome;
    const uint8_t *data = hostile_execute(t, request, &outcome);

    for (uint32_t at = 504; at < 65536; at += 512)
        hostile_data_in(t, request, at + 8 < 65536 ? 0 : FLAG_FINAL | FLAG_STATUS, at, data + at,
                        8);
    return true;
}

static bool data_in_of_a_write(struct hostile *t, const struct hostile_pdu *request)
{
    for (unsigned i = 0; i < 64; i++)
        hostile_data_in(t, request, 0, i * 65536, scratch, 65536);
    return false;
}

static bool data_in_of_an_unknown_tag(struct hostile *t, const struct hostile_pdu *request)
{
    struct hostile_pdu other = *request;

    set_tag(&other, t->last_itt + 1000);
    hostile_data_in(t, &other, FLAG_FINAL | FLAG_STATUS, 0, scratch, 65536);
    set_tag(&other, 0xffffffff);
    hostile_data_in(t, &other, FLAG_FINAL | FLAG_STATUS, 0, scratch, 65536);
    return false;
}

static bool data_in_that_asks_for_an_acknowledgement(struct hostile *t,
                                                     const struct hostile_pdu *request)
{
    hostile_data_in(t, request, 0x40, 0, scratch, 512);
    return false;
}

static bool data_in_with_an_unknown_status(struct hostile *t, const struct hostile_pdu *request)
{
    uint8_t bhs[BHS_BYTES];

    hostile_answer(bhs, OP_DATA_IN, FLAG_FINAL | FLAG_STATUS, request);
    bhs[3] = 0x77;
    hostile_put(t, bhs, NULL, 0);
    return true;
}

static bool data_in_with_status_that_is_not_final(struct hostile *t,
                                                  const struct hostile_pdu *request)
{
    struct scsi_outcome outcome;
    const uint8_t *data = hostile_execute(t, request, &outcome);

    hostile_data_in(t, request, FLAG_STATUS, 0, data, 65536);
    return true;
}

static bool data_in_with_an_endless_residual(struct hostile *t, const struct hostile_pdu *request)
{
    uint8_t bhs[BHS_BYTES];

    hostile_answer(bhs, OP_DATA_IN, FLAG_FINAL | FLAG_STATUS | FLAG_UNDERFLOW, request);
    put_be32(bhs + 44, 0xffffffff);
    hostile_put(t, bhs, NULL, 0);
    return true;
}

static bool data_in_behind_the_answer(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_behave(t, request);
    hostile_data_in(t, request, FLAG_FINAL | FLAG_STATUS, 0, scratch, 65536);
    hostile_data_in(t, request, 0, 4096, scratch, 4096);
    return true;
}

/* The first half of it comes before the command with its tag. */
static bool data_in_begun_before_its_command(struct hostile *t, const struct hostile_pdu *request)
{
    struct hostile_pdu next = *request;
    size_t before = t->out_bytes;

    hostile_behave(t, request);
    set_tag(&next, get_be32(request->bhs + 16) + 1);
    before = t->out_bytes;
    hostile_data_in(t, &next, 0, 0, scratch, 65536);
    t->out_bytes = before + BHS_BYTES + 32768;
    return true;
}

/* The rest, and a status that calls it good. */
static bool data_in_goes_on(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_put_raw(t, scratch + 32768, 32768);
    hostile_response(t, request, SCSI_STATUS_CODE_GOOD, NULL, 0);
    return true;
}

static void data_in_that_begins_before_its_command(void **state)
{
    (void)state;
    line_prepare();
    line_up();
    line_twist(data_in_begun_before_its_command, OP_SCSI_COMMAND, READ_10, 1);
    line_reads_well(8, 4096);
    line_twist(data_in_goes_on, OP_SCSI_COMMAND, READ_10, 1);
    line_reads_well(64, 65536);
    assert_int_equal(session_stats(line.session)->losses, 1);
    line_reads_well(700, 65536);
}

/* ---- lengths that lie ---- */

static bool segment_longer_than_told(struct hostile *t, const struct hostile_pdu *request)
{
    uint8_t bhs[BHS_BYTES];

    hostile_answer(bhs, OP_SCSI_RESPONSE, FLAG_FINAL, request);
    put_be24(bhs + 5, 16);
    hostile_put_raw(t, bhs, BHS_BYTES);
    memset(scratch, 0xff, 4096);
    hostile_put_raw(t, scratch, 4096);
    memset(scratch, 0, 4096);
    return false;
}

static bool segment_shorter_than_told(struct hostile *t, const struct hostile_pdu *request)
{
    uint8_t bhs[BHS_BYTES];

    hostile_answer(bhs, OP_DATA_IN, 0, request);
    put_be24(bhs + 5, 65000);
    hostile_put_raw(t, bhs, BHS_BYTES);
    hostile_put_raw(t, scratch, 600);
    return false;
}

static bool segment_of_16_mib(struct hostile *t, const struct hostile_pdu *request)
{
    uint8_t bhs[BHS_BYTES];

    hostile_answer(bhs, OP_DATA_IN, 0, request);
    put_be24(bhs + 5, 0xffffff);
    hostile_put_raw(t, bhs, BHS_BYTES);
    return true;
}

static bool additional_header(struct hostile *t, const struct hostile_pdu *request)
{
    uint8_t bhs[BHS_BYTES];

    hostile_answer(bhs, OP_SCSI_RESPONSE, FLAG_FINAL, request);
    bhs[4] = 1;
    hostile_put(t, bhs, scratch, 4);
    return true;
}

static bool additional_header_of_1020_bytes(struct hostile *t, const struct hostile_pdu *request)
{
    uint8_t bhs[BHS_BYTES];

    hostile_answer(bhs, OP_DATA_IN, FLAG_FINAL | FLAG_STATUS, request);
    bhs[4] = 255;
    hostile_put(t, bhs, scratch, 1020);
    return true;
}

/* ---- SCSI Response ---- */

static bool response_that_is_not_final(struct hostile *t, const struct hostile_pdu *request)
{
    uint8_t bhs[BHS_BYTES];

    hostile_answer(bhs, OP_SCSI_RESPONSE, 0, request);
    hostile_put(t, bhs, NULL, 0);
    return true;
}

static bool respond_with(struct hostile *t, const struct hostile_pdu *request, uint8_t code)
{
    uint8_t bhs[BHS_BYTES];

    hostile_answer(bhs, OP_SCSI_RESPONSE, FLAG_FINAL, request);
    bhs[2] = code;
    hostile_put(t, bhs, NULL, 0);
    return true;
}

/* RFC 7143 11.4.3: the status does not count then. */
static bool response_of_a_target_failure(struct hostile *t, const struct hostile_pdu *request)
{
    return respond_with(t, request, 0x01);
}

static bool response_of_the_vendor(struct hostile *t, const struct hostile_pdu *request)
{
    return respond_with(t, request, 0x80);
}

static bool response_with_an_unknown_status(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_response(t, request, 0x77, NULL, 0);
    return true;
}

static bool response_twice(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_behave(t, request);
    for (unsigned i = 0; i < 3; i++)
        hostile_response(t, request, SCSI_STATUS_CODE_GOOD, NULL, 0);
    return true;
}

static bool response_of_unknown_tags(struct hostile *t, const struct hostile_pdu *request)
{
    struct hostile_pdu other = *request;

    for (uint32_t i = 1; i < 100; i++) {
        set_tag(&other, t->last_itt + 0x10000000 + i);
        hostile_response(t, &other, SCSI_STATUS_CODE_GOOD, NULL, 0);
    }
    return false;
}

static bool answer_as(struct hostile *t, const struct hostile_pdu *request, uint8_t opcode)
{
    uint8_t bhs[BHS_BYTES];

    hostile_answer(bhs, opcode, FLAG_FINAL, request);
    hostile_put(t, bhs, NULL, 0);
    return true;
}

static bool answer_of_a_login(struct hostile *t, const struct hostile_pdu *request)
{
    return answer_as(t, request, OP_LOGIN_RESPONSE);
}

static bool answer_of_a_text_request(struct hostile *t, const struct hostile_pdu *request)
{
    return answer_as(t, request, OP_TEXT_RESPONSE);
}

static bool answer_of_a_logout(struct hostile *t, const struct hostile_pdu *request)
{
    return answer_as(t, request, OP_LOGOUT_RESPONSE);
}

static bool answer_of_a_nop(struct hostile *t, const struct hostile_pdu *request)
{
    return answer_as(t, request, OP_NOP_IN);
}

static bool answer_of_task_management(struct hostile *t, const struct hostile_pdu *request)
{
    return answer_as(t, request, OP_TASK_RESPONSE);
}

static bool answer_of_no_kind(struct hostile *t, const struct hostile_pdu *request)
{
    return answer_as(t, request, 0x2f);
}

static bool requests_of_an_initiator(struct hostile *t, const struct hostile_pdu *request)
{
    return answer_as(t, request, OP_SCSI_COMMAND);
}

static bool answers_that_nobody_asked_for(struct hostile *t, const struct hostile_pdu *request)
{
    static const uint8_t opcodes[] = {OP_NOP_IN,
                                      OP_SCSI_RESPONSE,
                                      0x22,
                                      OP_LOGIN_RESPONSE,
                                      OP_TEXT_RESPONSE,
                                      OP_DATA_IN,
                                      OP_LOGOUT_RESPONSE,
                                      OP_R2T,
                                      0x2f,
                                      0x00,
                                      0x01};
    struct hostile_pdu other = *request;

    set_tag(&other, t->last_itt + 77);
    for (unsigned i = 0; i < sizeof(opcodes); i++)
        answer_as(t, &other, opcodes[i]);
    return false;
}

/* ---- sense ---- */

static struct scsi_outcome read_with(hostile_twist *twist)
{
    struct scsi_outcome outcome;

    line_prepare();
    line_up();
    line_twist(twist, OP_SCSI_COMMAND, READ_10, 1);
    outcome = line_read(64, 4096);
    assert_int_equal(line.target.twisted, 1);
    return outcome;
}

static void assert_check(const struct scsi_outcome *outcome, uint8_t key)
{
    struct sense_code code;

    assert_int_equal(outcome->status, SCSI_STATUS_CODE_CHECK_CONDITION);
    assert_true(sense_parse(outcome->sense, outcome->sense_bytes, &code));
    assert_int_equal(code.key, key);
    assert_int_equal(outcome->moved_bytes, 0);
}

static void the_session_is_still_the_first(void)
{
    assert_int_equal(session_stats(line.session)->losses, 0);
    line_reads_well(700, 65536);
    line_writes_well(700, 65536, 3);
}

static bool no_sense(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_response(t, request, SCSI_STATUS_CODE_CHECK_CONDITION, NULL, 0);
    return true;
}

static void check_condition_without_sense_gets_some(void **state)
{
    struct scsi_outcome outcome = read_with(no_sense);

    (void)state;
    assert_check(&outcome, SENSE_HARDWARE_ERROR);
    the_session_is_still_the_first();
}

static bool raw_sense(struct hostile *t, const struct hostile_pdu *request, const void *data,
                      uint32_t bytes)
{
    uint8_t bhs[BHS_BYTES];

    hostile_answer(bhs, OP_SCSI_RESPONSE, FLAG_FINAL, request);
    bhs[3] = SCSI_STATUS_CODE_CHECK_CONDITION;
    hostile_put(t, bhs, data, bytes);
    return true;
}

static bool sense_of_one_byte(struct hostile *t, const struct hostile_pdu *request)
{
    return raw_sense(t, request, "\x00", 1);
}

static void a_sense_segment_of_one_byte_is_no_sense(void **state)
{
    struct scsi_outcome outcome = read_with(sense_of_one_byte);

    (void)state;
    assert_int_equal(outcome.status, SCSI_STATUS_CODE_CHECK_CONDITION);
    the_session_is_still_the_first();
}

/* Padding of the segment must not be taken for sense. */
static bool sense_of_length_alone(struct hostile *t, const struct hostile_pdu *request)
{
    return raw_sense(t, request, "\x00\x12", 2);
}

static void sense_that_is_told_and_not_sent_is_no_sense(void **state)
{
    struct scsi_outcome outcome = read_with(sense_of_length_alone);

    (void)state;
    assert_int_equal(outcome.status, SCSI_STATUS_CODE_CHECK_CONDITION);
    assert_int_equal(outcome.moved_bytes, 0);
    the_session_is_still_the_first();
}

static bool sense_of_three_bytes(struct hostile *t, const struct hostile_pdu *request)
{
    return raw_sense(t, request, "\x00\xfc\x70\x00\x03", 5);
}

static void sense_is_as_long_as_it_came(void **state)
{
    struct scsi_outcome outcome = read_with(sense_of_three_bytes);

    (void)state;
    assert_int_equal(outcome.status, SCSI_STATUS_CODE_CHECK_CONDITION);
    assert_true(outcome.sense_bytes >= 3 && outcome.sense_bytes <= 18);
    assert_int_equal(outcome.sense[2] & 0x0f, SENSE_MEDIUM_ERROR);
    the_session_is_still_the_first();
}

static bool sense_of_32_kib(struct hostile *t, const struct hostile_pdu *request)
{
    memset(scratch, 0x11, 32768);
    put_be16(scratch, 32766);
    scratch[2] = 0x70;
    scratch[4] = SENSE_MEDIUM_ERROR;
    scratch[9] = 0xff;
    raw_sense(t, request, scratch, 32768);
    memset(scratch, 0, 32768);
    return true;
}

static void sense_of_any_length_is_cut_to_what_there_may_be(void **state)
{
    struct scsi_outcome outcome = read_with(sense_of_32_kib);

    (void)state;
    assert_check(&outcome, SENSE_MEDIUM_ERROR);
    assert_true(outcome.sense_bytes <= SENSE_MAX_BYTES);
    the_session_is_still_the_first();
}

static bool sense_in_broken_descriptors(struct hostile *t, const struct hostile_pdu *request)
{
    static const uint8_t sense[] = {
        0, 14, 0x72, SENSE_MEDIUM_ERROR, 0x11, 0x00, 0, 0, 0, 255, 0x02, 0xff, 0x80, 0, 0x00, 0x04};
    return raw_sense(t, request, sense, sizeof(sense));
}

static void descriptors_that_lie_about_their_lengths_are_not_followed(void **state)
{
    struct scsi_outcome outcome = read_with(sense_in_broken_descriptors);

    (void)state;
    assert_check(&outcome, SENSE_MEDIUM_ERROR);
    the_session_is_still_the_first();
}

static bool sense_of_no_known_format(struct hostile *t, const struct hostile_pdu *request)
{
    return raw_sense(t, request,
                     "\x00\x12\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
                     "\xff\xff\xff\xff",
                     20);
}

static void sense_of_no_known_format_is_passed_on(void **state)
{
    struct scsi_outcome outcome = read_with(sense_of_no_known_format);

    (void)state;
    assert_int_equal(outcome.status, SCSI_STATUS_CODE_CHECK_CONDITION);
    assert_int_equal(outcome.moved_bytes, 0);
    the_session_is_still_the_first();
}

/* SPC-4 4.5.5: it tells of an earlier command; this one was not executed, and
 * need not bring data. */
static bool deferred_recovered_error(struct hostile *t, const struct hostile_pdu *request)
{
    uint8_t sense[SENSE_FIXED_BYTES];

    sense_build_fixed(sense, (struct sense_code){SENSE_RECOVERED_ERROR, 0x17, 0x01});
    sense[0] = 0x71;
    hostile_response(t, request, SCSI_STATUS_CODE_CHECK_CONDITION, sense, sizeof(sense));
    return true;
}

static void a_deferred_error_fails_the_command_and_not_the_session(void **state)
{
    struct scsi_outcome outcome = read_with(deferred_recovered_error);

    (void)state;
    assert_check(&outcome, SENSE_RECOVERED_ERROR);
    assert_true(sense_deferred(outcome.sense, outcome.sense_bytes));
    the_session_is_still_the_first();
}

/* ---- R2T ---- */

static bool r2t_of_an_unknown_tag(struct hostile *t, const struct hostile_pdu *request)
{
    struct hostile_pdu other = *request;

    set_tag(&other, t->last_itt + 77);
    hostile_r2t(t, &other, 1, 0, 65536);
    set_tag(&other, 0xffffffff);
    hostile_r2t(t, &other, 1, 0, 0xffffffff);
    return false;
}

static bool r2t_of_a_read(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_r2t(t, request, 1, 0, 4096);
    return true;
}

static bool r2t_behind_the_data(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_r2t(t, request, 1, 65536, 512);
    return true;
}

static bool r2t_over_the_end(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_r2t(t, request, 1, 8192, 65536);
    return true;
}

static bool r2t_of_4_gib(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_r2t(t, request, 1, 8192, 0xffffffff);
    return true;
}

static bool r2t_that_wraps(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_r2t(t, request, 1, 8192, 0xffffe200);
    return true;
}

static bool r2t_of_nothing(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_r2t(t, request, 1, 8192, 0);
    return true;
}

static bool r2t_of_what_was_sent(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_r2t(t, request, 1, 0, 65536);
    return true;
}

static bool r2t_with_a_hole(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_r2t(t, request, 1, 16384, 4096);
    return true;
}

static bool r2t_twice(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_r2t(t, request, 1, 8192, 4096);
    hostile_r2t(t, request, 1, 8192, 4096);
    return true;
}

static bool r2t_5000_times(struct hostile *t, const struct hostile_pdu *request)
{
    for (unsigned i = 0; i < 5000; i++)
        hostile_r2t(t, request, i, 8192, 57344);
    return true;
}

static bool r2t_behind_the_answer(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_response(t, request, SCSI_STATUS_CODE_BUSY, NULL, 0);
    hostile_r2t(t, request, 1, 8192, 57344);
    return true;
}

/* ---- Reject ---- */

static bool reject_with(struct hostile *t, const struct hostile_pdu *request, uint8_t reason,
                        uint32_t bytes)
{
    uint8_t bhs[BHS_BYTES];

    hostile_answer(bhs, OP_REJECT, FLAG_FINAL, request);
    put_be32(bhs + 16, 0xffffffff);
    bhs[2] = reason;
    hostile_put(t, bhs, request->bhs, bytes);
    return true;
}

static bool reject_of_the_command(struct hostile *t, const struct hostile_pdu *request)
{
    return reject_with(t, request, 0x09, BHS_BYTES);
}

static bool reject_without_the_header(struct hostile *t, const struct hostile_pdu *request)
{
    return reject_with(t, request, 0x04, 12);
}

static bool reject_of_what_was_never_sent(struct hostile *t, const struct hostile_pdu *request)
{
    struct hostile_pdu other = *request;

    set_tag(&other, t->last_itt + 77);
    return reject_with(t, &other, 0x04, BHS_BYTES);
}

static bool reject_that_wants_a_logout(struct hostile *t, const struct hostile_pdu *request)
{
    return reject_with(t, request, 0x0c, BHS_BYTES);
}

/* ---- asynchronous messages ---- */

static void async(struct hostile *t, const struct hostile_pdu *request, uint8_t event,
                  uint16_t seconds)
{
    uint8_t bhs[BHS_BYTES];

    hostile_answer(bhs, OP_ASYNC, FLAG_FINAL, request);
    put_be32(bhs + 16, 0xffffffff);
    bhs[36] = event;
    put_be16(bhs + 40, seconds);
    put_be16(bhs + 42, seconds);
    hostile_put(t, bhs, NULL, 0);
}

static bool async_events_of_scsi(struct hostile *t, const struct hostile_pdu *request)
{
    for (unsigned i = 0; i < 200; i++)
        async(t, request, 0, 0);
    return false;
}

static bool async_that_asks_for_a_logout(struct hostile *t, const struct hostile_pdu *request)
{
    async(t, request, 1, 1);
    return true;
}

static bool async_that_asks_for_negotiation(struct hostile *t, const struct hostile_pdu *request)
{
    async(t, request, 4, 1);
    return true;
}

static bool async_of_the_vendor(struct hostile *t, const struct hostile_pdu *request)
{
    async(t, request, 255, 0);
    return true;
}

/* "Come back in 18 hours", and no end of the connection. */
static bool async_that_puts_us_off(struct hostile *t, const struct hostile_pdu *request)
{
    async(t, request, 2, 0xffff);
    async(t, request, 3, 0xffff);
    async(t, request, 1, 0xffff);
    return true;
}

static bool logs_out_and_stays(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_behave(t, request);
    t->closes = false;
    return true;
}

/* Idle, with the logout answered and the connection left open. */
static void a_logout_that_the_target_asked_for_is_followed_by_a_login(void **state)
{
    static const struct hostile_pdu nothing;

    (void)state;
    line_prepare();
    line_up();
    line_twist(logs_out_and_stays, OP_LOGOUT, ANY_CDB, 1);
    async_that_puts_us_off(&line.target, &nothing);
    line_for(1000);
    assert_int_equal(line.target.logouts, 1);
    assert_int_equal(session_stats(line.session)->losses, 1);
    assert_true(line_is_up());
    line_reads_well(700, 65536);
}

/* ---- numbers ---- */

static bool stat_sn_jumps(struct hostile *t, const struct hostile_pdu *request)
{
    t->stat_sn += 1000000;
    hostile_behave(t, request);
    t->stat_sn -= 1500000;
    return true;
}

static bool exp_cmd_sn_runs_ahead(struct hostile *t, const struct hostile_pdu *request)
{
    t->exp_cmd_sn += 1000;
    hostile_behave(t, request);
    return true;
}

static bool max_cmd_sn_falls_behind(struct hostile *t, const struct hostile_pdu *request)
{
    t->exp_cmd_sn -= 1000;
    hostile_behave(t, request);
    t->exp_cmd_sn += 1000;
    return true;
}

/* ---- the end of the connection ---- */

static bool closes_at_once(struct hostile *t, const struct hostile_pdu *request)
{
    (void)request;
    t->closes = true;
    return true;
}

static bool closes_in_the_middle_of_data(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_data_in(t, request, 0, 0, scratch, 32768);
    t->out_bytes -= 10000;
    t->closes = true;
    return true;
}

static bool closes_in_the_middle_of_a_header(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_data_in(t, request, 0, 0, scratch, 0);
    t->out_bytes -= 7;
    t->closes = true;
    return true;
}

static bool resets_the_connection(struct hostile *t, const struct hostile_pdu *request)
{
    (void)t;
    (void)request;
    line_reset();
    return true;
}

static bool goes_silent(struct hostile *t, const struct hostile_pdu *request)
{
    (void)request;
    t->mute = true;
    return true;
}

static bool half_a_header(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_put_raw(t, request->bhs, 20);
    t->mute = true;
    return true;
}

static bool half_the_data(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_data_in(t, request, 0, 0, scratch, 65536);
    t->out_bytes -= 30000;
    t->mute = true;
    return true;
}

/* Two keepalives, and no answer in time: the host is told so, the session ends,
 * and the next command goes well. */
static void fall_silent(hostile_twist *twist, int cdb)
{
    struct scsi_outcome outcome;

    line_prepare();
    line_up();
    line_twist(twist, OP_SCSI_COMMAND, cdb, 1);
    outcome = line_read(64, 65536);
    assert_check(&outcome, SENSE_NOT_READY);
    line_for(10000);
    assert_int_equal(session_stats(line.session)->losses, 1);
    assert_text(line.last_why, "two keepalives");
    assert_true(line_is_up());
    line_reads_well(700, 65536);
}

static void silence_ends_the_session(void **state)
{
    (void)state;
    fall_silent(goes_silent, READ_10);
}

static void half_a_header_and_silence_end_the_session(void **state)
{
    (void)state;
    fall_silent(half_a_header, READ_10);
}

static void half_the_data_and_silence_end_the_session(void **state)
{
    (void)state;
    fall_silent(half_the_data, READ_10);
}

static void with_short_keepalives_silence_is_not_noticed_by_the_host(void **state)
{
    (void)state;
    line_prepare();
    line.config.keepalive_ms = 1000;
    line_up();
    line_twist(half_the_data, OP_SCSI_COMMAND, READ_10, 1);
    line_reads_well(64, 65536);
    assert_int_equal(session_stats(line.session)->losses, 1);
}

static void drip(void)
{
    if (line.target.mute)
        hostile_put_raw(&line.target, scratch, 1);
}

/* Each byte is a sign of life, and no command ever ends. */
static void a_target_that_drips_is_left(void **state)
{
    struct scsi_outcome outcome;

    (void)state;
    line_prepare();
    line_up();
    line_twist(half_the_data, OP_SCSI_COMMAND, READ_10, 1);
    line_tick(drip, 900);
    outcome = line_read(64, 65536);
    assert_check(&outcome, SENSE_NOT_READY);
    line_for(15000);
    assert_int_equal(session_stats(line.session)->losses, 1);
    assert_true(line_is_up());
    line_reads_well(700, 65536);
}

/* Whoever does not read cannot be written to. */
static void a_target_that_reads_nothing_is_left(void **state)
{
    uint8_t cdb[10] = {WRITE_10, 0, 0, 0, 0, 64, 0, 1, 0, 0};
    static uint8_t bytes[131072];
    struct scsi_outcome outcome;

    (void)state;
    line_prepare();
    line_up();
    line.deaf = true;
    outcome = line_command(cdb, 10, SCSI_DIR_OUT, bytes, sizeof(bytes));
    assert_int_equal(outcome.status, SCSI_STATUS_CODE_CHECK_CONDITION);
    line_for(10000);
    assert_int_equal(session_stats(line.session)->losses, 1);
    line.deaf = false;
    assert_true(line_until(line_is_up, 30000));
    line_writes_well(700, 65536, 4);
}

static void put_nop_in(uint32_t tag)
{
    static const struct hostile_pdu nothing;
    uint8_t bhs[BHS_BYTES];

    hostile_answer(bhs, OP_NOP_IN, FLAG_FINAL, &nothing);
    put_be32(bhs + 16, 0xffffffff);
    put_be32(bhs + 20, tag);
    hostile_put(&line.target, bhs, NULL, 0);
}

static void window_opens(void)
{
    line.target.window = 32;
    put_nop_in(0xffffffff);
    line.tick_ms = 0;
}

static bool window_closes(struct hostile *t, const struct hostile_pdu *request)
{
    t->window = 0;
    hostile_behave(t, request);
    return true;
}

static void a_window_that_closes_makes_commands_wait(void **state)
{
    (void)state;
    line_prepare();
    line_up();
    line_twist(window_closes, OP_SCSI_COMMAND, READ_10, 32);
    for (unsigned i = 0; i < 32; i++)
        line_reads_well(i, 512);
    line_tick(window_opens, 2000);
    line_writes_well(700, 65536, 4);
    assert_int_equal(session_stats(line.session)->losses, 0);
}

static void answer_what_is_being_sent(void)
{
    struct hostile_pdu request = {.data = NULL};

    line.tick_ms = 0;
    line.deaf = false;
    for (uint32_t i = 1; i <= 4; i++) {
        set_tag(&request, line.target.last_itt + i);
        hostile_response(&line.target, &request, SCSI_STATUS_CODE_BUSY, NULL, 0);
    }
}

/* Four WRITEs of 64 KiB with all their data behind the command: of one, a part is
 * on the wire when all four are answered. What follows on the wire would be taken
 * for its data. */
static void an_answer_to_a_command_that_is_still_being_sent_ends_the_session(void **state)
{
    (void)state;
    line_prepare();
    line_make_narrow();
    line.target.keys = "MaxRecvDataSegmentLength=65536\0FirstBurstLength=65536\0";
    line_up();
    line.deaf = true;
    line_tick(answer_what_is_being_sent, 100);
    line_writes_well(64, 262144, 6);
    assert_int_equal(session_stats(line.session)->losses, 1);
    assert_text(line.last_why, "before it was sent");
    line_reads_well(64, 262144);
}

static void put_a_nop(void)
{
    put_nop_in(0xffffffff);
}

/* It talks on and on, and nothing is ever done. */
static void a_logout_that_was_asked_for_and_is_not_answered_is_no_end(void **state)
{
    static const struct hostile_pdu nothing;
    struct scsi_outcome outcome;

    (void)state;
    line_prepare();
    line_up();
    line_twist(goes_silent, OP_LOGOUT, ANY_CDB, 1);
    async_that_asks_for_a_logout(&line.target, &nothing);
    line_for(100);
    assert_int_equal(line.target.twisted, 1);
    line_tick(put_a_nop, 1000);
    outcome = line_read(64, 65536);
    assert_check(&outcome, SENSE_NOT_READY);
    line_for(12000);
    assert_int_equal(session_stats(line.session)->losses, 1);
    assert_true(line_is_up());
    line_reads_well(64, 65536);
}

/* ---- good targets of each kind ---- */

struct kind {
    const char *keys;
    bool initial_r2t, digests;
    uint32_t first_burst_bytes, data_in_bytes, window;
};

/* What the protocol allows is taken as before. */
static void targets_of_every_kind_are_written_to_and_read_from(void **state)
{
    static const struct kind kinds[] = {
        {"InitialR2T=Yes\0ImmediateData=No\0", true, false, 65536, 8192, 32},
        {"InitialR2T=Yes\0ImmediateData=Yes\0FirstBurstLength=512\0", true, false, 512, 512, 32},
        {"InitialR2T=No\0ImmediateData=No\0FirstBurstLength=16384\0", false, false, 16384, 262144,
         32},
        {"InitialR2T=No\0ImmediateData=Yes\0FirstBurstLength=16384\0"
         "MaxRecvDataSegmentLength=4096\0",
         false, false, 16384, 65536, 2},
        {"InitialR2T=No\0ImmediateData=Yes\0FirstBurstLength=262144\0"
         "MaxRecvDataSegmentLength=262144\0",
         false, false, 262144, 1000, 1},
        {"HeaderDigest=CRC32C\0InitialR2T=No\0FirstBurstLength=65536\0", false, true, 65536, 16384,
         8},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        line_prepare();
        line.config.header_digest = kinds[i].digests;
        line.target.keys = kinds[i].keys;
        line.target.initial_r2t = kinds[i].initial_r2t;
        line.target.digests = kinds[i].digests;
        line.target.first_burst_bytes = kinds[i].first_burst_bytes;
        line.target.data_in_bytes = kinds[i].data_in_bytes;
        line.target.window = kinds[i].window;
        line_up();
        for (uint32_t bytes = 512; bytes <= 262144; bytes = bytes * 3 / 512 * 512) {
            line_writes_well(64, bytes, (uint8_t)i);
            line_reads_well(64, bytes);
        }
        assert_int_equal(session_stats(line.session)->losses, 0);
        line_close(NULL);
    }
}

/* ---- NOP ---- */

/* With no command under way: the keepalive's own answer. */
static void answer_a_keepalive(hostile_twist *twist, enum end end)
{
    line_prepare();
    line_up();
    line_twist(twist, OP_NOP_OUT, ANY_CDB, 1);
    line_for(6000);
    assert_int_equal(line.target.twisted, 1);
    assert_int_equal(session_stats(line.session)->losses, end == ENDS);
    assert_true(line_is_up());
    line_reads_well(700, 65536);
}

static bool data_in_of_a_nop(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_data_in(t, request, FLAG_FINAL | FLAG_STATUS, 0, scratch, 512);
    return true;
}

static bool empty_data_in_of_a_nop(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_data_in(t, request, FLAG_FINAL | FLAG_STATUS, 0, scratch, 0);
    return true;
}

static bool r2t_of_a_nop(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_r2t(t, request, 1, 0, 4096);
    return true;
}

static bool response_of_a_nop(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_response(t, request, SCSI_STATUS_CODE_GOOD, NULL, 0);
    return true;
}

static bool reject_of_a_nop(struct hostile *t, const struct hostile_pdu *request)
{
    return reject_with(t, request, 0x05, BHS_BYTES);
}

static bool nop_answered_with_data(struct hostile *t, const struct hostile_pdu *request)
{
    uint8_t bhs[BHS_BYTES];

    hostile_answer(bhs, OP_NOP_IN, FLAG_FINAL, request);
    put_be32(bhs + 20, 0xffffffff);
    hostile_put(t, bhs, scratch, 262144);
    hostile_put(t, bhs, scratch, 3);
    return true;
}

static void data_in_with_the_tag_of_a_nop_ends_the_session(void **state)
{
    (void)state;
    answer_a_keepalive(data_in_of_a_nop, ENDS);
}

static void empty_data_in_with_the_tag_of_a_nop_ends_the_session(void **state)
{
    (void)state;
    answer_a_keepalive(empty_data_in_of_a_nop, ENDS);
}

static void r2t_with_the_tag_of_a_nop_ends_the_session(void **state)
{
    (void)state;
    answer_a_keepalive(r2t_of_a_nop, ENDS);
}

static void a_response_with_the_tag_of_a_nop_ends_the_session(void **state)
{
    (void)state;
    answer_a_keepalive(response_of_a_nop, ENDS);
}

static void a_rejected_nop_ends_the_session(void **state)
{
    (void)state;
    answer_a_keepalive(reject_of_a_nop, ENDS);
}

static void a_nop_answered_twice_with_much_data_is_answered(void **state)
{
    (void)state;
    answer_a_keepalive(nop_answered_with_data, KEEPS);
}

static bool sent_all(void)
{
    return line.target.out_bytes == 0;
}

static void nops_that_want_no_answer_get_none(void **state)
{
    (void)state;
    line_prepare();
    line_up();
    for (unsigned i = 0; i < 5000; i++)
        put_nop_in(0xffffffff);
    line_reads_well(64, 65536);
    assert_int_equal(line.target.nops, 0);
    assert_int_equal(session_stats(line.session)->losses, 0);
}

static unsigned nops_wanted;

static void put_some_nops(void)
{
    for (unsigned i = 0; i < 16 && nops_wanted > 0; i++)
        put_nop_in(nops_wanted--);
}

/* As many as are read are answered. */
static void nops_that_want_an_answer_get_one(void **state)
{
    (void)state;
    line_prepare();
    line_up();
    nops_wanted = 320;
    line_tick(put_some_nops, 10);
    line_for(1000);
    assert_int_equal(nops_wanted, 0);
    assert_int_equal(line.target.nops, 320);
    line_reads_well(64, 65536);
    assert_int_equal(session_stats(line.session)->losses, 0);
}

/* Somebody who asks and does not take the answers: they do not pile up. */
static void a_storm_of_nops_that_reads_no_answer_ends_the_session(void **state)
{
    (void)state;
    line_prepare();
    line_up();
    line.deaf = true;
    for (unsigned i = 0; i < 200000; i++)
        put_nop_in(i);
    line_until(line_has_fault, 4000);
    assert_int_equal(line.faults, 1);
    assert_text(line.last_why, "NOP");
    line.deaf = false;
    assert_true(line_until(line_is_up, 10000));
    line_reads_well(64, 65536);
}

static struct backend_cmd waiting_cmd;

static void on_done(struct deferred *d)
{
    (void)d;
}

/* However much comes while a command waits, the event loop gets its turn. */
static void a_storm_is_taken_in_portions(void **state)
{
    struct backend *backend;
    int before = 0;
    int after = 0;

    (void)state;
    line_prepare();
    line_up();
    line_twist(goes_silent, OP_SCSI_COMMAND, 0x00, 1);
    backend = session_backend(line.session);
    memset(&waiting_cmd, 0, sizeof(waiting_cmd));
    waiting_cmd.cdb_bytes = 6;
    deferred_init(&waiting_cmd.done, on_done);
    assert_int_equal(backend->ops->submit(backend, &waiting_cmd), 0);
    line_for(10);
    assert_int_equal(line.target.twisted, 1);
    for (unsigned i = 0; i < 2000; i++)
        put_nop_in(0xffffffff);
    assert_int_equal(send(line.connection, line.target.out, line.target.out_bytes, MSG_DONTWAIT),
                     2000 * BHS_BYTES);
    hostile_sent(&line.target, line.target.out_bytes);
    for (unsigned i = 0; i < 1000 && before < 2000 * (int)BHS_BYTES; i++) {
        poll(NULL, 0, 1);
        assert_int_equal(ioctl(session_fd(line.session), FIONREAD, &before), 0);
    }
    session_service(line.session, POLLIN);
    assert_int_equal(ioctl(session_fd(line.session), FIONREAD, &after), 0);
    assert_true(after < before);
    assert_true(after > before / 2);
    line_for(20000);
    assert_true(line_is_up());
    line_reads_well(64, 512);
}

/* ---- logouts that the target asks for, without end ---- */

static void logouts_asked_for_without_end_do_not_pile_up(void **state)
{
    static const struct hostile_pdu nothing;

    (void)state;
    line_prepare();
    line_up();
    line.deaf = true;
    for (unsigned i = 0; i < 100000; i++)
        async_that_asks_for_a_logout(&line.target, &nothing);
    line_until(sent_all, 4000);
    line.deaf = false;
    assert_true(line_until(line_is_up, 20000));
    line_reads_well(64, 65536);
}

/* ---- what comes while we go ---- */

static bool answers_behind_the_logout(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_behave(t, request);
    hostile_behave(t, request);
    answers_that_nobody_asked_for(t, request);
    hostile_put_raw(t, scratch, 4096);
    t->closes = false;
    return true;
}

static bool answers_before_the_logout(struct hostile *t, const struct hostile_pdu *request)
{
    struct hostile_pdu other = *request;

    set_tag(&other, t->last_itt);
    hostile_response(t, &other, SCSI_STATUS_CODE_GOOD, NULL, 0);
    async_that_asks_for_a_logout(t, request);
    reject_with(t, request, 0x0c, BHS_BYTES);
    return answers_behind_the_logout(t, request);
}

static void leave(hostile_twist *twist)
{
    line_prepare();
    line_up();
    line_twist(twist, OP_LOGOUT, ANY_CDB, 1);
    line_close(NULL);
}

static void answers_behind_the_logout_are_not_heard(void **state)
{
    (void)state;
    leave(answers_behind_the_logout);
}

static void answers_before_the_logout_change_nothing(void **state)
{
    (void)state;
    leave(answers_before_the_logout);
}

static void a_logout_that_is_not_answered_is_bounded(void **state)
{
    (void)state;
    leave(goes_silent);
}

/* ---- the probe ---- */

static bool nothing_at_all_and_good(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_response(t, request, SCSI_STATUS_CODE_GOOD, NULL, 0);
    return true;
}

static bool all_ones(struct hostile *t, const struct hostile_pdu *request)
{
    uint32_t bytes = get_be32(request->bhs + 20);

    memset(scratch, 0xff, bytes);
    hostile_data_in(t, request, FLAG_FINAL | FLAG_STATUS, 0, scratch, bytes);
    memset(scratch, 0, bytes);
    return true;
}

static void come_back_to(hostile_twist *twist, int cdb)
{
    line_prepare();
    line_up();
    line_reset();
    line_twist(twist, OP_SCSI_COMMAND, cdb, 2);
    line_for(10000);
    assert_true(line.target.twisted > 0);
    assert_true(line_is_up());
    line_reads_well(64, 65536);
    line_writes_well(700, 65536, 5);
}

static void an_inquiry_of_ones_is_no_disk(void **state)
{
    (void)state;
    come_back_to(all_ones, 0x12);
}

static void an_inquiry_of_nothing_is_no_disk(void **state)
{
    (void)state;
    come_back_to(nothing_at_all_and_good, 0x12);
}

static void a_capacity_of_ones_is_no_disk(void **state)
{
    (void)state;
    come_back_to(all_ones, 0x9e);
}

static void a_capacity_of_nothing_is_no_disk(void **state)
{
    (void)state;
    come_back_to(nothing_at_all_and_good, 0x9e);
}

static void mode_pages_of_nothing_are_no_answer(void **state)
{
    (void)state;
    come_back_to(nothing_at_all_and_good, 0x1a);
}

/* ---- the list ---- */

#define MISDEED(twist, cdb, end, why)                                                              \
    {                                                                                              \
#twist, commit, NULL, line_close, &(struct misdeed)                                        \
        {                                                                                          \
            twist, cdb, end, why                                                                   \
        }                                                                                          \
    }
#define TEST(function) cmocka_unit_test_teardown(function, line_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        MISDEED(data_in_behind_the_buffer, READ_10, ENDS, NULL),
        MISDEED(data_in_at_the_end_of_the_offsets, READ_10, ENDS, NULL),
        MISDEED(data_in_longer_than_the_buffer, READ_10, ENDS, NULL),
        MISDEED(data_in_before_the_command, READ_10, ENDS, NULL),
        MISDEED(data_in_with_a_hole, READ_10, ENDS, NULL),
        MISDEED(data_in_half, READ_10, ENDS, "did not send all its data"),
        MISDEED(data_in_of_an_unknown_tag, READ_10, KEEPS, NULL),
        MISDEED(data_in_that_asks_for_an_acknowledgement, READ_10, ENDS, NULL),
        MISDEED(data_in_with_an_unknown_status, READ_10, ENDS, "broke the protocol"),
        MISDEED(data_in_with_an_endless_residual, READ_10, ENDS, "residual"),
        MISDEED(data_in_behind_the_answer, READ_10, KEEPS, NULL),
        MISDEED(segment_longer_than_told, READ_10, ENDS, NULL),
        MISDEED(segment_shorter_than_told, READ_10, ENDS, NULL),
        MISDEED(segment_of_16_mib, READ_10, ENDS, NULL),
        MISDEED(additional_header, READ_10, ENDS, NULL),
        MISDEED(additional_header_of_1020_bytes, READ_10, ENDS, NULL),
        MISDEED(response_that_is_not_final, WRITE_10, ENDS, "broke the protocol"),
        MISDEED(response_with_an_unknown_status, WRITE_10, ENDS, "broke the protocol"),
        MISDEED(response_twice, READ_10, KEEPS, NULL),
        MISDEED(response_of_unknown_tags, READ_10, KEEPS, NULL),
        MISDEED(answer_of_a_login, READ_10, ENDS, NULL),
        MISDEED(answer_of_a_text_request, READ_10, ENDS, NULL),
        MISDEED(answer_of_a_logout, READ_10, ENDS, NULL),
        MISDEED(answer_of_a_nop, READ_10, ENDS, NULL),
        MISDEED(answer_of_task_management, READ_10, ENDS, NULL),
        MISDEED(answer_of_no_kind, READ_10, ENDS, NULL),
        MISDEED(requests_of_an_initiator, READ_10, ENDS, NULL),
        MISDEED(answers_that_nobody_asked_for, READ_10, KEEPS, NULL),
        MISDEED(r2t_of_an_unknown_tag, WRITE_10, KEEPS, NULL),
        MISDEED(r2t_of_a_read, READ_10, ENDS, NULL),
        MISDEED(r2t_behind_the_data, WRITE_10, ENDS, NULL),
        MISDEED(r2t_over_the_end, WRITE_10, ENDS, NULL),
        MISDEED(r2t_behind_the_answer, WRITE_10, KEEPS, NULL),
        MISDEED(reject_of_the_command, READ_10, ENDS, NULL),
        MISDEED(reject_without_the_header, READ_10, ENDS, NULL),
        MISDEED(reject_of_what_was_never_sent, READ_10, ENDS, NULL),
        MISDEED(reject_that_wants_a_logout, READ_10, ENDS, NULL),
        MISDEED(async_events_of_scsi, READ_10, KEEPS, NULL),
        MISDEED(async_that_asks_for_a_logout, READ_10, ENDS, NULL),
        MISDEED(async_that_asks_for_negotiation, READ_10, ENDS, NULL),
        MISDEED(async_of_the_vendor, READ_10, ENDS, NULL),
        MISDEED(async_that_puts_us_off, READ_10, ENDS, NULL),
        MISDEED(stat_sn_jumps, READ_10, KEEPS, NULL),
        MISDEED(exp_cmd_sn_runs_ahead, READ_10, ENDS, NULL),
        MISDEED(max_cmd_sn_falls_behind, READ_10, KEEPS, NULL),
        MISDEED(closes_at_once, READ_10, ENDS, NULL),
        MISDEED(closes_in_the_middle_of_data, READ_10, ENDS, NULL),
        MISDEED(closes_in_the_middle_of_a_header, READ_10, ENDS, NULL),
        MISDEED(resets_the_connection, WRITE_10, ENDS, NULL),
        TEST(check_condition_without_sense_gets_some),
        TEST(a_sense_segment_of_one_byte_is_no_sense),
        TEST(sense_that_is_told_and_not_sent_is_no_sense),
        TEST(sense_is_as_long_as_it_came),
        TEST(sense_of_any_length_is_cut_to_what_there_may_be),
        TEST(descriptors_that_lie_about_their_lengths_are_not_followed),
        TEST(sense_of_no_known_format_is_passed_on),
        TEST(a_deferred_error_fails_the_command_and_not_the_session),
        TEST(a_logout_that_the_target_asked_for_is_followed_by_a_login),
        TEST(silence_ends_the_session),
        TEST(half_a_header_and_silence_end_the_session),
        TEST(half_the_data_and_silence_end_the_session),
        TEST(with_short_keepalives_silence_is_not_noticed_by_the_host),
        TEST(a_target_that_drips_is_left),
        TEST(a_target_that_reads_nothing_is_left),
        TEST(a_window_that_closes_makes_commands_wait),
        TEST(a_logout_that_was_asked_for_and_is_not_answered_is_no_end),
        TEST(targets_of_every_kind_are_written_to_and_read_from),
        TEST(a_response_with_the_tag_of_a_nop_ends_the_session),
        TEST(a_rejected_nop_ends_the_session),
        TEST(a_nop_answered_twice_with_much_data_is_answered),
        TEST(nops_that_want_no_answer_get_none),
        TEST(nops_that_want_an_answer_get_one),
        TEST(answers_behind_the_logout_are_not_heard),
        TEST(answers_before_the_logout_change_nothing),
        TEST(a_logout_that_is_not_answered_is_bounded),
        TEST(an_inquiry_of_ones_is_no_disk),
        TEST(an_inquiry_of_nothing_is_no_disk),
        TEST(a_capacity_of_ones_is_no_disk),
        TEST(a_capacity_of_nothing_is_no_disk),
        TEST(mode_pages_of_nothing_are_no_answer),
    };
    /* What needs our patches of libiscsi. */
    const struct CMUnitTest patched_tests[] = {
        MISDEED(data_in_backwards, READ_10, ENDS, NULL),
        MISDEED(data_in_twice, READ_10, ENDS, NULL),
        MISDEED(data_in_of_the_marks_alone, READ_10, ENDS, NULL),
        MISDEED(data_in_of_a_write, WRITE_10, ENDS, NULL),
        MISDEED(data_in_with_status_that_is_not_final, READ_10, ENDS, NULL),
        MISDEED(response_of_a_target_failure, WRITE_10, ENDS, NULL),
        MISDEED(response_of_the_vendor, WRITE_10, ENDS, NULL),
        MISDEED(r2t_of_4_gib, WRITE_10, ENDS, NULL),
        MISDEED(r2t_that_wraps, WRITE_10, ENDS, NULL),
        MISDEED(r2t_of_nothing, WRITE_10, ENDS, NULL),
        MISDEED(r2t_of_what_was_sent, WRITE_10, ENDS, NULL),
        MISDEED(r2t_with_a_hole, WRITE_10, ENDS, NULL),
        MISDEED(r2t_twice, WRITE_10, ENDS, NULL),
        MISDEED(r2t_5000_times, WRITE_10, ENDS, NULL),
        TEST(data_in_that_begins_before_its_command),
        TEST(data_in_with_the_tag_of_a_nop_ends_the_session),
        TEST(empty_data_in_with_the_tag_of_a_nop_ends_the_session),
        TEST(r2t_with_the_tag_of_a_nop_ends_the_session),
        TEST(a_storm_of_nops_that_reads_no_answer_ends_the_session),
        TEST(a_storm_is_taken_in_portions),
        TEST(an_answer_to_a_command_that_is_still_being_sent_ends_the_session),
        TEST(logouts_asked_for_without_end_do_not_pile_up),
    };

    signal(SIGPIPE, SIG_IGN);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("hostile", tests, NULL, NULL) +
           (BUNDLED_LIBISCSI ? cmocka_run_group_tests_name("patched", patched_tests, NULL, NULL)
                             : 0);
}
