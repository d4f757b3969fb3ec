/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a target may do wrong before it is logged in to, and when it is asked
 * for its list. After each, a target that behaves is logged in to.
 */
#include "hostile_line.h"

#include "bridge/bytes.h"
#include "initiator/discover.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ANY_CDB (-1)
#define TRANSIT 0x80
/* CSG and NSG of a login answer. */
#define SECURITY_TO_OPERATIONAL  0x01
#define SECURITY_TO_FULL_FEATURE 0x03
#define OPERATIONAL_TO_ITSELF    0x05
#define OPERATIONAL_TO_FULL      0x07
#define STATUS_MOVED             0x0101

static uint8_t scratch[262144 + 4096];

static void assert_text(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", text, part);
}

/* A Login Response with these flags, status and bytes. */
static void answer_login(struct hostile *t, const struct hostile_pdu *request, uint8_t flags,
                         uint16_t status, const void *text, uint32_t bytes)
{
    uint8_t bhs[BHS_BYTES];

    hostile_answer(bhs, OP_LOGIN_RESPONSE, flags, request);
    put_be16(bhs + 36, status);
    t->exp_cmd_sn = get_be32(request->bhs + 24);
    hostile_put(t, bhs, text, bytes);
}

/* With the flags that were asked for, and these keys. */
static void answer_with(struct hostile *t, const struct hostile_pdu *request, const void *text,
                        uint32_t bytes)
{
    answer_login(t, request, request->bhs[1] & 0x8f, 0, text, bytes);
}

/* ---- one misbehaviour in the login ---- */

enum outcome { LOGS_IN, FAILS };

struct misdeed {
    hostile_twist *twist;
    unsigned times;
    enum outcome outcome; /* of the first login */
    const char *why;
};

static void commit(void **state)
{
    const struct misdeed *misdeed = *state;

    line_prepare();
    line_twist(misdeed->twist, OP_LOGIN, ANY_CDB, misdeed->times);
    line_open();
    assert_true(line_until(line_is_up, 20000));
    assert_true(line.target.twisted > 0);
    assert_int_equal(line.faults > 0, misdeed->outcome == FAILS);
    if (misdeed->why != NULL)
        assert_text(line.last_why, misdeed->why);
    line_reads_well(64, 65536);
    line_writes_well(700, 65536, 1);
}

static bool login_half_answered(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_behave(t, request);
    t->out_bytes -= 20;
    t->mute = true;
    return true;
}

static bool login_answered_by_silence(struct hostile *t, const struct hostile_pdu *request)
{
    (void)t;
    (void)request;
    return true;
}

static bool login_answered_by_the_end(struct hostile *t, const struct hostile_pdu *request)
{
    (void)request;
    t->closes = true;
    return true;
}

static bool login_answered_by_a_reset(struct hostile *t, const struct hostile_pdu *request)
{
    (void)t;
    (void)request;
    line_reset();
    return true;
}

static bool login_answered_in_http(struct hostile *t, const struct hostile_pdu *request)
{
    static const char text[] = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n"
                               "Content-Length: 150\r\nConnection: close\r\n\r\n";

    (void)request;
    hostile_put_raw(t, text, sizeof(text) - 1);
    t->closes = true;
    return true;
}

static bool login_answered_with_another_tag(struct hostile *t, const struct hostile_pdu *request)
{
    struct hostile_pdu other = *request;

    put_be32(other.bhs + 16, get_be32(request->bhs + 16) + 1);
    hostile_behave(t, &other);
    return true;
}

static bool login_answered_twice(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_behave(t, request);
    hostile_behave(t, request);
    return true;
}

static bool login_that_never_ends(struct hostile *t, const struct hostile_pdu *request)
{
    answer_login(t, request, OPERATIONAL_TO_ITSELF, 0, NULL, 0);
    return true;
}

static bool login_that_goes_back(struct hostile *t, const struct hostile_pdu *request)
{
    answer_login(t, request, TRANSIT | 0x04, 0, NULL, 0);
    return true;
}

static bool login_in_a_stage_that_is_none(struct hostile *t, const struct hostile_pdu *request)
{
    answer_login(t, request, TRANSIT | 0x0a, 0, NULL, 0);
    return true;
}

static bool login_status_of_no_class(struct hostile *t, const struct hostile_pdu *request)
{
    answer_login(t, request, 0, 0x7701, NULL, 0);
    return true;
}

static bool login_status_of_an_error(struct hostile *t, const struct hostile_pdu *request)
{
    answer_login(t, request, 0, 0x0300, NULL, 0);
    return true;
}

static bool text_without_end(struct hostile *t, const struct hostile_pdu *request)
{
    answer_with(t, request, "InitialR2T=Yes..", 16);
    return true;
}

static bool text_of_ones(struct hostile *t, const struct hostile_pdu *request)
{
    memset(scratch, 0xff, 8192);
    answer_with(t, request, scratch, 8192);
    memset(scratch, 0, 8192);
    return true;
}

static bool text_of_zeros(struct hostile *t, const struct hostile_pdu *request)
{
    answer_with(t, request, scratch, 8192);
    return true;
}

static bool text_of_keys_that_are_none(struct hostile *t, const struct hostile_pdu *request)
{
    static const char text[] = "=\0=Yes\0Yes\0HeaderDigest\0HeaderDigest=\0=HeaderDigest=None\0"
                               "X-com.example.key=\xff\xfe\0InitialR2T=Maybe\0 ImmediateData=No\0"
                               "TargetPortalGroupTag=-1\0DefaultTime2Wait=99999999999999999999";

    answer_with(t, request, text, sizeof(text));
    return true;
}

static bool text_of_a_key_of_200_kib(struct hostile *t, const struct hostile_pdu *request)
{
    memset(scratch, 'x', 200000);
    memcpy(scratch, "TargetAlias=", 12);
    answer_with(t, request, scratch, 200001);
    memset(scratch, 0, 200000);
    return true;
}

static bool text_of_an_address_of_200_kib(struct hostile *t, const struct hostile_pdu *request)
{
    memset(scratch, 'x', 200000);
    memcpy(scratch, "TargetAddress=", 14);
    answer_login(t, request, 0, STATUS_MOVED, scratch, 200001);
    memset(scratch, 0, 200000);
    return true;
}

static bool text_of_40000_keys(struct hostile *t, const struct hostile_pdu *request)
{
    for (unsigned i = 0; i < 40000; i++)
        memcpy(scratch + (size_t)4 * i, "X=1", 4);
    answer_with(t, request, scratch, 160000);
    memset(scratch, 0, 160000);
    return true;
}

static bool garbage_behind_the_login(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_behave(t, request);
    memset(scratch, 0xa5, 4096);
    hostile_put_raw(t, scratch, 4096);
    memset(scratch, 0, 4096);
    return true;
}

static void put_kind(struct hostile *t, const struct hostile_pdu *request, uint8_t opcode)
{
    uint8_t bhs[BHS_BYTES];

    hostile_answer(bhs, opcode, FLAG_FINAL, request);
    hostile_put(t, bhs, NULL, 0);
}

static bool scsi_response_to_the_login(struct hostile *t, const struct hostile_pdu *request)
{
    put_kind(t, request, OP_SCSI_RESPONSE);
    return true;
}

static bool logout_response_to_the_login(struct hostile *t, const struct hostile_pdu *request)
{
    put_kind(t, request, OP_LOGOUT_RESPONSE);
    return true;
}

static bool reject_of_the_login(struct hostile *t, const struct hostile_pdu *request)
{
    uint8_t bhs[BHS_BYTES];

    hostile_answer(bhs, OP_REJECT, FLAG_FINAL, request);
    put_be32(bhs + 16, 0xffffffff);
    bhs[2] = 0x04;
    hostile_put(t, bhs, request->bhs, BHS_BYTES);
    return true;
}

static bool data_in_to_the_login(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_data_in(t, request, FLAG_FINAL | FLAG_STATUS, 0, scratch, 512);
    return true;
}

static bool r2t_to_the_login(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_r2t(t, request, 1, 0, 4096);
    return false;
}

/* What a target may not send before the login is over. */
static bool full_feature_phase_in_the_login(struct hostile *t, const struct hostile_pdu *request)
{
    struct hostile_pdu nobody = *request;
    uint8_t bhs[BHS_BYTES];

    put_be32(nobody.bhs + 16, 0xffffffff);
    hostile_answer(bhs, OP_ASYNC, FLAG_FINAL, &nobody);
    bhs[36] = 1;
    hostile_put(t, bhs, NULL, 0);
    hostile_answer(bhs, OP_NOP_IN, FLAG_FINAL, &nobody);
    put_be32(bhs + 20, 5);
    hostile_put(t, bhs, NULL, 0);
    put_kind(t, &nobody, OP_R2T);
    put_kind(t, &nobody, OP_DATA_IN);
    put_kind(t, &nobody, OP_LOGOUT_RESPONSE);
    return false;
}

static bool digest_that_nobody_wanted(struct hostile *t, const struct hostile_pdu *request)
{
    static const char text[] = "HeaderDigest=CRC32C\0MaxRecvDataSegmentLength=8192";

    if ((request->bhs[1] & 0x83) != 0x83)
        return false;
    answer_with(t, request, text, sizeof(text));
    t->digest = true;
    return true;
}

/* ---- values ---- */

/* Each alone would have libiscsi work without end, or not at all. */
static void values_that_iscsi_forbids_end_the_login(void **state)
{
    static const char *const texts[] = {
        "MaxRecvDataSegmentLength=0",
        "MaxRecvDataSegmentLength=-1",
        "MaxRecvDataSegmentLength= -18446744073709551104",
        "MaxRecvDataSegmentLength=99999999999999999999999",
        "MaxRecvDataSegmentLength=4294967296",
        "MaxRecvDataSegmentLength=0x2000",
        "MaxRecvDataSegmentLength=+8192",
        "MaxRecvDataSegmentLength= 8192",
        "MaxRecvDataSegmentLength=",
        "MaxRecvDataSegmentLength=511",
        "MaxRecvDataSegmentLength=16777216",
        "FirstBurstLength=0",
        "FirstBurstLength=-65536",
        "MaxBurstLength=0",
        "TargetRecvDataSegmentLength=0",
        "TargetRecvDataSegmentLength=-8192",
        "InitiatorRecvDataSegmentLength=0",
        "MaxRecvDataSegmentLength=8192\0MaxRecvDataSegmentLength=0",
    };
    char keys[100];

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        line_prepare();
        memset(keys, 0, sizeof(keys));
        memcpy(keys, texts[i], i + 1 < sizeof(texts) / sizeof(texts[0]) ? strlen(texts[i]) : 56);
        line.target.keys = keys;
        line_open();
        assert_true(line_until(line_has_fault, 5000));
        assert_text(line.last_why, "values that iSCSI does not allow");
        line.target.keys = "InitialR2T=Yes\0";
        assert_true(line_until(line_is_up, 5000));
        line_writes_well(700, 65536, (uint8_t)i);
        line_close(NULL);
    }
}

static void a_digest_that_is_not_agreed_on_is_not_used(void **state)
{
    (void)state;
    line_prepare();
    line.config.header_digest = true;
    line_open();
    assert_true(line_until(line_has_fault, 5000));
    assert_text(line.last_why, "header digest");
}

/* ---- redirects ---- */

static char moved_to[400];

static bool moves_us(struct hostile *t, const struct hostile_pdu *request)
{
    char text[500] = "TargetAddress=";

    strcat(text, moved_to);
    answer_login(t, request, 0, STATUS_MOVED, text, (uint32_t)strlen(text) + 1);
    t->closes = true;
    return true;
}

static void a_target_that_sends_us_to_itself_is_not_followed(void **state)
{
    (void)state;
    line_prepare();
    snprintf(moved_to, sizeof(moved_to), "127.0.0.1:%u,1", line.port);
    line_twist(moves_us, OP_LOGIN, ANY_CDB, 1);
    line_open();
    assert_true(line_until(line_has_fault, 1000));
    assert_text(line.last_why, "in a circle");
    assert_int_equal(line.connections, 1);
    assert_true(line_until(line_is_up, 5000));
}

static void a_target_that_sends_us_nowhere_is_not_followed(void **state)
{
    static const char *const portals[] = {
        "",
        ":",
        ",1",
        "0.0.0.0:3260",
        "0:3260",
        "255.255.255.255",
        "224.0.0.1:3260",
        "[::]:3260",
        "[ff02::1]:3260",
        "[::ffff:0.0.0.0]:3260",
        "127.0.0.1:0",
        "127.0.0.1:99999",
        "127.0.0.1:-1",
        "[127.0.0.1",
        "iscsi://127.0.0.1",
        "joe%secret@127.0.0.1",
        "127.0.0.1/../..",
        "a b",
        "\x1b[2J",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(portals) / sizeof(portals[0]); i++) {
        line_prepare();
        strcpy(moved_to, portals[i]);
        line_twist(moves_us, OP_LOGIN, ANY_CDB, 1);
        line_open();
        assert_true(line_until(line_has_fault, 5000));
        assert_int_equal(line.connections, 1);
        line_until(line_is_up, 5000);
        if (portals[i][0] != '\0') /* that is permanent before the first acceptance */
            assert_true(line_is_up());
        line_close(NULL);
    }
}

/* ---- CHAP ---- */

static void prepare_chap(bool mutual)
{
    line_prepare();
    strcpy(line.config.address.user, "joe");
    line.config.secret = "secret-of-joe";
    if (mutual) {
        strcpy(line.config.target_user, "disk");
        line.config.target_secret = "secret-of-disk";
    }
}

static bool picks_chap(struct hostile *t, const struct hostile_pdu *request)
{
    static const char text[] = "AuthMethod=CHAP";

    if (request->data_bytes == 0 ||
        memmem(request->data, request->data_bytes, "AuthMethod", 10) == NULL)
        return false;
    answer_login(t, request, 0, 0, text, sizeof(text));
    return true;
}

static char challenge[6000];

/* AuthMethod=CHAP, then this challenge, then whatever. */
static bool challenges(struct hostile *t, const struct hostile_pdu *request)
{
    if (picks_chap(t, request))
        return true;
    answer_login(t, request, 0, 0, challenge, (uint32_t)strlen(challenge) + 1);
    return true;
}

static void expect_no_answer_to(const char *what)
{
    prepare_chap(false);
    strcpy(challenge, what);
    line_twist(challenges, OP_LOGIN, ANY_CDB, 40);
    line_open();
    assert_true(line_until(line_has_fault, 6000));
    line.target.twists = 0;
    assert_true(line_until(line_is_up, 10000));
    line_close(NULL);
}

static void challenges_that_are_no_numbers_end_the_login(void **state)
{
    char text[5000] = "CHAP_C=0x";

    (void)state;
    expect_no_answer_to("CHAP_C=0x");
    expect_no_answer_to("CHAP_C=0xZZ");
    expect_no_answer_to("CHAP_C=0x\xff\x80");
    expect_no_answer_to("CHAP_C=0x123");
    expect_no_answer_to("CHAP_C=0b2345");
    expect_no_answer_to("CHAP_I=-1");
    expect_no_answer_to("CHAP_A=99999999999999999999");
    memset(text + 9, 'a', 4000);
    expect_no_answer_to(text);
}

static void a_challenge_again_and_again_ends_the_login(void **state)
{
    (void)state;
    expect_no_answer_to("CHAP_C=0x0123456789abcdef");
}

/* Sixteen zeros are right where nothing was asked: RFC 7143 12.1.3 has the
 * target answer a challenge, and there was none. */
static bool proves_itself_before_it_is_asked(struct hostile *t, const struct hostile_pdu *request)
{
    static const char text[] = "AuthMethod=CHAP\0CHAP_N=disk\0"
                               "CHAP_R=0x00000000000000000000000000000000";

    answer_login(t, request, TRANSIT | SECURITY_TO_FULL_FEATURE, 0, text, sizeof(text));
    return true;
}

/* In two steps: a challenge of its own, and the next stage at once, so that we
 * do not challenge it. */
static bool proves_itself_in_the_next_stage(struct hostile *t, const struct hostile_pdu *request)
{
    static const char first[] = "AuthMethod=CHAP\0CHAP_A=5\0CHAP_I=1\0CHAP_C=0x0123456789abcdef";
    static const char second[] = "CHAP_N=disk\0CHAP_R=0x00000000000000000000000000000000";

    if (t->logins == 1)
        answer_login(t, request, TRANSIT | SECURITY_TO_OPERATIONAL, 0, first, sizeof(first));
    else
        answer_login(t, request, TRANSIT | OPERATIONAL_TO_FULL, 0, second, sizeof(second));
    return true;
}

static void expect_no_proof(hostile_twist *twist)
{
    prepare_chap(true);
    line_twist(twist, OP_LOGIN, ANY_CDB, 40);
    line_open();
    line_until(line_is_up, 3000);
    assert_false(line_is_up());
    assert_int_equal(line.faults, 1);
    assert_int_equal(line.last_fault, BACKEND_FAULT_PERMANENT);
    assert_text(line.last_why, "mutual CHAP");
}

static void a_proof_that_was_not_asked_for_is_none(void **state)
{
    (void)state;
    expect_no_proof(proves_itself_before_it_is_asked);
}

static void a_proof_without_our_challenge_is_none(void **state)
{
    (void)state;
    expect_no_proof(proves_itself_in_the_next_stage);
}

/* ---- discovery ---- */

static struct discover_result result;

/* Called in each turn of discover(): the target's turn. */
static uint64_t pumping_now(void)
{
    struct timespec now;

    for (unsigned idle = 0; idle < 2; idle++) {
        short events = line.target.out_bytes > 0 ? POLLIN | POLLOUT : POLLIN;
        struct pollfd fds[2] = {{line.connection, events, 0}, {line.listener, POLLIN, 0}};
        poll(fds, 2, 1);
        if (line_serve())
            idle = 0;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int ask_for_targets(void)
{
    char portal[32];
    struct discover_request request = {.portal = portal,
                                       .initiator_name = "iqn.2026-01.test:initiator",
                                       .user = "",
                                       .secret = "",
                                       .timeout_ms = 300,
                                       .now_us = pumping_now};

    snprintf(portal, sizeof(portal), "127.0.0.1:%u", line.port);
    memset(&result, 0xa5, sizeof(result));
    return discover(&request, &result);
}

static void text_response(struct hostile *t, const struct hostile_pdu *request, uint8_t flags,
                          const void *text, uint32_t bytes)
{
    uint8_t bhs[BHS_BYTES];

    hostile_answer(bhs, OP_TEXT_RESPONSE, flags, request);
    put_be32(bhs + 20, 0xffffffff);
    hostile_put(t, bhs, text, bytes);
}

static bool list_that_goes_on(struct hostile *t, const struct hostile_pdu *request)
{
    text_response(t, request, 0x40, "TargetName=iqn.2026-01.test:a", 30);
    return true;
}

static bool list_without_end(struct hostile *t, const struct hostile_pdu *request)
{
    text_response(t, request, FLAG_FINAL, "TargetName=iqn.2026-01.test:disk", 32);
    return true;
}

static bool list_of_addresses_alone(struct hostile *t, const struct hostile_pdu *request)
{
    text_response(t, request, FLAG_FINAL, "TargetAddress=127.0.0.1", 24);
    return true;
}

static bool list_of_something_else(struct hostile *t, const struct hostile_pdu *request)
{
    static const char text[] = "TargetName=iqn.2026-01.test:a\0TargetAddress=127.0.0.1\0Colour=red";

    text_response(t, request, FLAG_FINAL, text, sizeof(text));
    return true;
}

static bool list_in_data_in(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_data_in(t, request, FLAG_FINAL | FLAG_STATUS, 0, scratch, 512);
    return true;
}

static bool list_rejected(struct hostile *t, const struct hostile_pdu *request)
{
    return reject_of_the_login(t, request);
}

static bool list_and_silence(struct hostile *t, const struct hostile_pdu *request)
{
    hostile_behave(t, request);
    t->out_bytes -= 20;
    t->mute = true;
    return true;
}

static void expect_no_list(hostile_twist *twist)
{
    line_prepare();
    line_twist(twist, OP_TEXT, ANY_CDB, 1);
    assert_int_equal(ask_for_targets(), -1);
    assert_int_equal(line.target.twisted, 1);
    assert_true(strlen(result.why) > 0);
    if (ask_for_targets() != 0)
        fail_msg("%s", result.why);
    assert_int_equal(result.count, 1);
    assert_string_equal(result.names[0], "iqn.2026-01.test:plain");
}

#define NO_LIST(twist)                                                                             \
    static void a_##twist##_is_a_clear_fault(void **state)                                         \
    {                                                                                              \
        (void)state;                                                                               \
        expect_no_list(twist);                                                                     \
    }

NO_LIST(list_that_goes_on)
NO_LIST(list_without_end)
NO_LIST(list_of_addresses_alone)
NO_LIST(list_of_something_else)
NO_LIST(list_rejected)
NO_LIST(list_and_silence)
NO_LIST(list_in_data_in)

static bool list_of_8000_targets(struct hostile *t, const struct hostile_pdu *request)
{
    uint32_t bytes = 0;

    for (unsigned i = 0; i < 8000; i++)
        bytes += (uint32_t)snprintf((char *)scratch + bytes, 32, "TargetName=iqn.x:\x1b[%u", i) + 1;
    text_response(t, request, FLAG_FINAL, scratch, bytes);
    return true;
}

static void a_list_of_8000_targets_is_counted(void **state)
{
    (void)state;
    line_prepare();
    line_twist(list_of_8000_targets, OP_TEXT, ANY_CDB, 1);
    assert_int_equal(ask_for_targets(), 0);
    assert_int_equal(result.count, 8000);
    assert_string_equal(result.names[0], "iqn.x:?[7999");
}

/* ---- the list ---- */

#define MISDEED(twist, times, outcome, why)                                                        \
    {                                                                                              \
#twist, commit, NULL, line_close, &(struct misdeed)                                        \
        {                                                                                          \
            twist, times, outcome, why                                                             \
        }                                                                                          \
    }
#define TEST(function) cmocka_unit_test_teardown(function, line_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        MISDEED(login_half_answered, 1, FAILS, "does not answer the login"),
        MISDEED(login_answered_by_silence, 1, FAILS, "does not answer the login"),
        MISDEED(login_answered_by_the_end, 1, FAILS, "closed the connection during the login"),
        MISDEED(login_answered_by_a_reset, 1, FAILS, "during the login"),
        MISDEED(login_answered_in_http, 1, FAILS, NULL),
        MISDEED(login_answered_with_another_tag, 1, FAILS, NULL),
        MISDEED(login_answered_twice, 2, LOGS_IN, NULL),
        MISDEED(login_that_never_ends, 12, FAILS, NULL),
        MISDEED(login_that_goes_back, 12, FAILS, NULL),
        MISDEED(login_in_a_stage_that_is_none, 12, FAILS, NULL),
        MISDEED(login_status_of_no_class, 1, FAILS, "0x7701"),
        MISDEED(login_status_of_an_error, 1, FAILS, "error of its own"),
        MISDEED(text_without_end, 1, FAILS, NULL),
        MISDEED(text_of_ones, 1, FAILS, NULL),
        MISDEED(text_of_zeros, 2, LOGS_IN, NULL),
        MISDEED(text_of_keys_that_are_none, 2, LOGS_IN, NULL),
        MISDEED(text_of_a_key_of_200_kib, 2, LOGS_IN, NULL),
        MISDEED(text_of_an_address_of_200_kib, 1, FAILS, "by its name"),
        MISDEED(text_of_40000_keys, 2, LOGS_IN, NULL),
        MISDEED(garbage_behind_the_login, 2, FAILS, NULL),
        MISDEED(scsi_response_to_the_login, 1, FAILS, NULL),
        MISDEED(logout_response_to_the_login, 1, FAILS, NULL),
        MISDEED(reject_of_the_login, 1, FAILS, NULL),
        MISDEED(full_feature_phase_in_the_login, 2, LOGS_IN, NULL),
        MISDEED(digest_that_nobody_wanted, 2, LOGS_IN, NULL),
        TEST(values_that_iscsi_forbids_end_the_login),
        TEST(a_digest_that_is_not_agreed_on_is_not_used),
        TEST(a_target_that_sends_us_to_itself_is_not_followed),
        TEST(a_target_that_sends_us_nowhere_is_not_followed),
        TEST(challenges_that_are_no_numbers_end_the_login),
        TEST(a_challenge_again_and_again_ends_the_login),
        TEST(a_proof_that_was_not_asked_for_is_none),
        TEST(a_proof_without_our_challenge_is_none),
        TEST(a_list_that_goes_on_is_a_clear_fault),
        TEST(a_list_without_end_is_a_clear_fault),
        TEST(a_list_of_addresses_alone_is_a_clear_fault),
        TEST(a_list_of_something_else_is_a_clear_fault),
        TEST(a_list_rejected_is_a_clear_fault),
        TEST(a_list_and_silence_is_a_clear_fault),
        TEST(a_list_of_8000_targets_is_counted),
    };
    /* What needs our patches of libiscsi. */
    const struct CMUnitTest patched_tests[] = {
        MISDEED(data_in_to_the_login, 1, FAILS, NULL),
        MISDEED(r2t_to_the_login, 1, FAILS, NULL),
        TEST(a_list_in_data_in_is_a_clear_fault),
    };

    signal(SIGPIPE, SIG_IGN);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("hostile login", tests, NULL, NULL) +
           (BUNDLED_LIBISCSI ? cmocka_run_group_tests_name("patched", patched_tests, NULL, NULL)
                             : 0);
}
