/* SPDX-License-Identifier: BSD-2-Clause */
/* The small parts of a session: ISID, faults in words, marks in buffers. */
#include "initiator/conn.h"
#include "initiator/guard.h"
#include "initiator/login_fault.h"
#include "initiator/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* ---- ISID ---- */

static void isid_is_of_the_random_type_and_the_same_for_the_same(void **state)
{
    uint8_t a[6];
    uint8_t b[6];

    (void)state;
    memset(a, 0xff, sizeof(a));
    memset(b, 0xa5, sizeof(b));
    session_isid(a, "board", "gadget", "lun", "usb");
    session_isid(b, "board", "gadget", "lun", "usb");
    assert_memory_equal(a, b, 6);
    assert_int_equal(a[0] & 0xc0, 0x80); /* T=10b, RFC 7143 11.12.5 */
}

static void isid_differs_for_each_other(void **state)
{
    static const char *const names[][4] = {
        {"board", "gadget", "lun", "usb"},   {"boarD", "gadget", "lun", "usb"},
        {"board", "gadgeT", "lun", "usb"},   {"board", "gadget", "luN", "usb"},
        {"board", "gadget", "lun", "probe"}, {"boardgadget", "", "lun", "usb"},
        {"board", "gadget", "lunusb", ""},   {"boar", "dgadget", "lun", "usb"},
    };
    uint8_t isid[8][6];

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        session_isid(isid[i], names[i][0], names[i][1], names[i][2], names[i][3]);
        for (unsigned j = 0; j < i; j++)
            assert_memory_not_equal(isid[i], isid[j], 6);
    }
}

/* ---- faults ---- */

static const struct login_fault_context plain = {"192.0.2.1:3260", "iqn.2026-01.test:disk",
                                                 "iqn.2026-01.test:us", false, false};
static const struct login_fault_context chap = {"192.0.2.1:3260", "iqn.2026-01.test:disk",
                                                "iqn.2026-01.test:us", true, false};
static char why[256];

static void expect(const char *text, const struct login_fault_context *context,
                   enum backend_fault fault, const char *part)
{
    memset(why, 0xa5, sizeof(why));
    assert_int_equal(login_fault(text, context, why, sizeof(why)), fault);
    if (strstr(why, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", why, part);
    assert_non_null(strstr(why, "192.0.2.1:3260"));
}

static void a_missing_target_is_permanent_and_named(void **state)
{
    (void)state;
    expect("Failed to log in to target. Status: Target not found(515)", &plain,
           BACKEND_FAULT_PERMANENT, "iqn.2026-01.test:disk");
}

static void failed_authentication_asks_for_what_is_missing(void **state)
{
    static const char text[] = "Failed to log in to target. Status: Authentication failure(513)";

    (void)state;
    expect(text, &plain, BACKEND_FAULT_PERMANENT, "it asks for CHAP");
    expect(text, &chap, BACKEND_FAULT_PERMANENT, "check user and secret");
}

static void an_initiator_that_is_not_admitted_is_named(void **state)
{
    (void)state;
    expect("Status: Authorization failure(514)", &plain, BACKEND_FAULT_PERMANENT,
           "iqn.2026-01.test:us");
}

static void a_target_that_does_not_prove_itself_is_permanent(void **state)
{
    (void)state;
    expect("Authentication failed. Invalid CHAP_R response from the target", &chap,
           BACKEND_FAULT_PERMANENT, "mutual CHAP");
    expect("Failed to log in to target. Wrong CHAP targetname received: x", &chap,
           BACKEND_FAULT_PERMANENT, "mutual CHAP");
    expect("Failed to log in to target. It did not return CHAP_N during SECNEG.", &chap,
           BACKEND_FAULT_PERMANENT, "mutual CHAP");
}

static void troubles_of_the_target_are_transient(void **state)
{
    (void)state;
    expect("Status: Target error(768)", &plain, BACKEND_FAULT_TRANSIENT, "error of its own");
    expect("Status: Service unavailable(769)", &plain, BACKEND_FAULT_TRANSIENT, "not available");
    expect("Status: Out of resources(770)", &plain, BACKEND_FAULT_TRANSIENT, "out of resources");
    expect("Status: Too many connections(518)", &plain, BACKEND_FAULT_TRANSIENT, "too many");
}

static void unknown_codes_go_by_their_class(void **state)
{
    (void)state;
    expect("Status: Unknown(767)", &plain, BACKEND_FAULT_PERMANENT, "0x02ff");
    expect("Status: Unknown(1023)", &plain, BACKEND_FAULT_TRANSIENT, "0x03ff");
    expect("Status: Unknown(30465)", &plain, BACKEND_FAULT_TRANSIENT, "0x7701");
}

static void texts_without_a_code_are_passed_on(void **state)
{
    (void)state;
    expect("something new", &plain, BACKEND_FAULT_TRANSIENT, "something new");
}

static void numbers_are_read_from_the_last_parentheses_only(void **state)
{
    (void)state;
    assert_int_equal(fault_number("a (7) b(515)"), 515);
    assert_int_equal(fault_number("refused(111)."), 111);
    assert_int_equal(fault_number("no number"), -1);
    assert_int_equal(fault_number("(x)"), -1);
    assert_int_equal(fault_number("(-3)"), -1);
    assert_int_equal(fault_number("(515"), -1);
    assert_int_equal(fault_number("(99999999999999999999)"), -1);
    assert_int_equal(fault_number(""), -1);
}

static void a_refused_connection_asks_for_port_and_target(void **state)
{
    (void)state;
    memset(why, 0xa5, sizeof(why));
    assert_int_equal(
        connect_fault("socket error Connection refused(111).", &plain, why, sizeof(why)),
        BACKEND_FAULT_TRANSIENT);
    assert_non_null(strstr(why, "192.0.2.1:3260 refuses the connection"));
}

static void messages_are_cut_not_overrun(void **state)
{
    char small[16];

    (void)state;
    memset(small, 0x5a, sizeof(small));
    login_fault("Status: Target not found(515)", &plain, small, 10);
    assert_int_equal(small[9], '\0');
    assert_int_equal(small[10], 0x5a);
}

/* Portal and names as long as they may be; each text ends with its fix. */
static void the_longest_names_fit_into_every_message(void **state)
{
    static const char portal[] =
        "[fe80:1111:2222:3333:4444:5555:6666:7777%a-long-interface-0123]:65535";
    static const struct {
        const char *text, *end;
    } cases[] = {
        {"Target not found(515)", NULL},
        {"removed(516)", NULL},
        {"Authentication failure(513)", "in a file"},
        {"Authorization failure(514)", "in the target's access list"},
        {"(512)", "in the target's access list"},
        {"Invalid CHAP_R response", "on both sides"},
        {"Target error(768)", "(status 0x0300)"},
        {"moved(257)", "it does not say where"},
    };
    char iqn[224];
    char us[224];
    char text[CONN_WHY_BYTES];
    struct login_fault_context longest = {portal, iqn, us, false, false};

    (void)state;
    memset(iqn, 'q', 223);
    memset(us, 'u', 222);
    us[222] = '!';
    iqn[223] = us[223] = '\0';
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *end = cases[i].end != NULL ? cases[i].end : us;
        memset(text, 0xa5, sizeof(text));
        login_fault(cases[i].text, &longest, text, sizeof(text));
        assert_true(strlen(text) > strlen(end));
        assert_string_equal(text + strlen(text) - strlen(end), end);
    }
}

/* ---- marks ---- */

#define MARK UINT64_C(0x1122334455667788)

static uint8_t buffer[16384];

static void untouched_buffers_are_noticed(void **state)
{
    struct iovec iov[2] = {{buffer, 8192}, {buffer + 8192, 4096}};

    (void)state;
    memset(buffer, 0xee, sizeof(buffer));
    guard_lay(iov, 2, MARK);
    assert_false(guard_overwritten(iov, 2, MARK, 12288));
    assert_false(guard_overwritten(iov, 2, MARK, 512));
}

static void a_missing_block_is_noticed_wherever_it_is(void **state)
{
    struct iovec iov[2] = {{buffer, 8192}, {buffer + 8192, 4096}};

    (void)state;
    for (unsigned missing = 0; missing < 12288 / 512; missing++) {
        guard_lay(iov, 2, MARK);
        for (unsigned block = 0; block < 12288 / 512; block++)
            if (block != missing)
                memset(buffer + block * 512, 0x77, 512);
        assert_false(guard_overwritten(iov, 2, MARK, 12288));
    }
}

static void complete_data_pass(void **state)
{
    struct iovec iov[2] = {{buffer, 8192}, {buffer + 8192, 4000}};

    (void)state;
    guard_lay(iov, 2, MARK);
    memset(buffer, 0x77, 12192);
    assert_true(guard_overwritten(iov, 2, MARK, 12192));
}

static void marks_behind_the_valid_bytes_do_not_count(void **state)
{
    struct iovec iov = {buffer, 8192};

    (void)state;
    guard_lay(&iov, 1, MARK);
    memset(buffer, 0x77, 1000);
    assert_true(guard_overwritten(&iov, 1, MARK, 1000));
    assert_false(guard_overwritten(&iov, 1, MARK, 1024));
    assert_true(guard_overwritten(&iov, 1, MARK, 0));
}

static void short_buffers_hold_nothing_old(void **state)
{
    struct iovec iov = {buffer, 255};

    (void)state;
    memset(buffer, 0xee, sizeof(buffer));
    guard_lay(&iov, 1, MARK);
    for (unsigned i = 0; i < 247; i++)
        assert_int_equal(buffer[i], 0);
    assert_int_equal(buffer[255], 0xee);
}

/* What a READ of one page would cost is saved: its data come in whole blocks. */
static void a_page_is_marked_and_not_cleared(void **state)
{
    struct iovec iov = {buffer, 4096};

    (void)state;
    memset(buffer, 0xee, sizeof(buffer));
    guard_lay(&iov, 1, MARK);
    for (unsigned i = 0; i < 4096; i++)
        assert_int_equal(buffer[i] == 0xee, i % 512 < 504);
    assert_false(guard_overwritten(&iov, 1, MARK, 4096));
}

static void tiny_buffers_are_not_overrun(void **state)
{
    struct iovec iov[3] = {{buffer, 7}, {buffer + 16, 0}, {buffer + 32, 1}};

    (void)state;
    memset(buffer, 0xee, 64);
    guard_lay(iov, 3, MARK);
    assert_int_equal(buffer[7], 0xee);
    assert_int_equal(buffer[16], 0xee);
    assert_int_equal(buffer[33], 0xee);
    assert_true(guard_overwritten(iov, 3, MARK, 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(isid_is_of_the_random_type_and_the_same_for_the_same),
        cmocka_unit_test(isid_differs_for_each_other),
        cmocka_unit_test(a_missing_target_is_permanent_and_named),
        cmocka_unit_test(failed_authentication_asks_for_what_is_missing),
        cmocka_unit_test(an_initiator_that_is_not_admitted_is_named),
        cmocka_unit_test(a_target_that_does_not_prove_itself_is_permanent),
        cmocka_unit_test(troubles_of_the_target_are_transient),
        cmocka_unit_test(unknown_codes_go_by_their_class),
        cmocka_unit_test(texts_without_a_code_are_passed_on),
        cmocka_unit_test(numbers_are_read_from_the_last_parentheses_only),
        cmocka_unit_test(a_refused_connection_asks_for_port_and_target),
        cmocka_unit_test(messages_are_cut_not_overrun),
        cmocka_unit_test(the_longest_names_fit_into_every_message),
        cmocka_unit_test(untouched_buffers_are_noticed),
        cmocka_unit_test(a_missing_block_is_noticed_wherever_it_is),
        cmocka_unit_test(complete_data_pass),
        cmocka_unit_test(marks_behind_the_valid_bytes_do_not_count),
        cmocka_unit_test(short_buffers_hold_nothing_old),
        cmocka_unit_test(a_page_is_marked_and_not_cleared),
        cmocka_unit_test(tiny_buffers_are_not_overrun),
    };

    return cmocka_run_group_tests_name("session parts", tests, NULL, NULL);
}
