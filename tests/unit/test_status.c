/* SPDX-License-Identifier: BSD-2-Clause */
/* The answers of `lunstick status`. */
#include "daemon/lunstickd/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct address address;
static struct session_stats session;
static struct lun_stats lun;
static struct disk_identity disk;
static struct bot_stats bot;
static struct ffs_port_stats port;
static struct status_view view;
static char buf[STATUS_BYTES];

/* A daemon whose host sees a disk of 64 MB. */
static int fresh(void **state)
{
    (void)state;
    memset(buf, 0xFF, sizeof(buf));
    memset(&view, 0xA5, sizeof(view));
    address = (struct address){.port = 3260};
    snprintf(address.host, sizeof(address.host), "10.0.0.1");
    snprintf(address.iqn, sizeof(address.iqn), "iqn.2001-04.com.example:disk");
    session = (struct session_stats){.state = SESSION_UP, .since_us = 4000000, .logins = 3};
    lun = (struct lun_stats){.commands = 4, .latency_us_sum = 400, .session_up = true};
    disk = (struct disk_identity){.blocks = 125000, .block_bytes = 512, .inquiry_bytes = 36};
    memcpy(disk.inquiry + 8, "IET     VIRTUAL-DISK    0001", 28);
    bot = (struct bot_stats){.speed = USB_SPEED_HIGH};
    port = (struct ffs_port_stats){.last_in_buf = &port};
    view.version = "1.2";
    view.name = "lunstick";
    view.pid = 77;
    view.now_us = 10000000;
    view.started_us = 1000000;
    view.initiator_name = "iqn.2026-11.io.lunstick:x";
    view.serial = "0123456789AB";
    view.local = false;
    view.udc = "dummy_udc.0";
    view.bound = true;
    view.unplugged = false;
    view.host = "linux";
    view.gadget_fault = NULL;
    view.bot = &bot;
    view.bot_state = "idle";
    view.port = &port;
    view.lun_count = 1;
    view.luns[0] = (struct status_lun){.address = &address,

                                       .session = &session,
                                       .lun = &lun,
                                       .disk = &disk,
                                       .medium = MEDIUM_IN,
                                       .removable = true};
    return 0;
}

static const char *sentence(void)
{
    size_t length = status_sentence(&view, buf, sizeof(buf));

    assert_int_equal(strlen(buf), length);
    return buf;
}

static const char *json(void)
{
    size_t length = status_json(&view, buf, sizeof(buf));

    assert_int_equal(strlen(buf), length);
    return buf;
}

/* ---- RFC 8259, as strict as needed to find what a program would refuse ---- */

static const char *json_value(const char *s);

static const char *json_word(const char *s)
{
    if (!s || *s++ != '"')
        return NULL;
    for (; *s != '"'; s++) {
        if ((unsigned char)*s < 0x20 || (unsigned char)*s >= 0x7f)
            return NULL;
        if (*s != '\\')
            continue;
        s++;
        if (*s == 'u' && strspn(s + 1, "0123456789abcdef") >= 4)
            s += 4;
        else if (*s != '"' && *s != '\\')
            return NULL;
    }
    return s + 1;
}

static const char *json_members(const char *s, char end, bool named)
{
    if (*s == end)
        return s + 1;
    for (;; s++) {
        if (named) {
            s = json_word(s);
            if (!s || *s++ != ':')
                return NULL;
        }
        s = json_value(s);
        if (!s || (*s != ',' && *s != end))
            return NULL;
        if (*s == end)
            return s + 1;
    }
}

static const char *json_value(const char *s)
{
    static const char *const words[] = {"true", "false", "null"};

    if (*s == '{')
        return json_members(s + 1, '}', true);
    if (*s == '[')
        return json_members(s + 1, ']', false);
    if (*s == '"')
        return json_word(s);
    for (unsigned i = 0; i < 3; i++) {
        if (!strncmp(s, words[i], strlen(words[i])))
            return s + strlen(words[i]);
    }
    return strspn(s, "0123456789") ? s + strspn(s, "0123456789") : NULL;
}

static void assert_json(const char *s)
{
    const char *end = json_value(s);

    assert_non_null(end);
    assert_string_equal(end, "\n");
}

/* ---- a local block device ---- */

static void local(void)
{
    view.local = true;
    view.udc = "/dev/nbd3";
    view.bot = NULL;
    view.bot_state = NULL;
    view.port = NULL;
}

static void a_local_disk_is_named_by_its_device(void **state)
{
    (void)state;
    local();
    assert_string_equal(sentence(),
                        "/dev/nbd3 is a 64 MB disk; the session to 10.0.0.1:3260 is up.");
    (void)status_text(&view, buf, sizeof(buf));
    assert_non_null(strstr(buf, "\n  device     /dev/nbd3\n"));
    assert_null(strstr(buf, "USB"));
    assert_json(json());
    assert_non_null(strstr(buf, "\"device\":\"/dev/nbd3\""));
}

static void a_local_disk_that_was_exchanged_fails(void **state)
{
    (void)state;
    local();
    view.luns[0].medium = MEDIUM_EXCHANGED;
    assert_string_equal(sentence(), "/dev/nbd3 fails: there is another disk behind its name now.");
}

static void a_block_device_that_is_not_there_says_why(void **state)
{
    (void)state;
    local();
    view.udc = "";
    view.bound = false;
    assert_string_equal(sentence(), "There is no block device yet: the disk is about to be shown.");
    view.gadget_fault = "the kernel has no nbd; modprobe nbd.";
    assert_string_equal(sentence(),
                        "There is no block device: the kernel has no nbd; modprobe nbd.");
}

/* ---- the sentence ---- */

static void disk_in_use_is_said_with_its_size_and_portal(void **state)
{
    (void)state;
    assert_string_equal(sentence(),
                        "The host sees a 64 MB disk; the session to 10.0.0.1:3260 is up.");
}

static void read_only_and_other_sizes(void **state)
{
    (void)state;
    view.luns[0].read_only = true;
    disk.blocks = 3000000;
    assert_string_equal(sentence(), "The host sees a read-only 1.5 GB disk; the session to "
                                    "10.0.0.1:3260 is up.");
    view.luns[0].read_only = false;
    disk.blocks = UINT64_C(3) << 31;
    snprintf(address.host, sizeof(address.host), "fd00::1");
    assert_string_equal(sentence(),
                        "The host sees a 3.2 TB disk; the session to [fd00::1]:3260 is up.");
}

static void no_disk_yet_says_why(void **state)
{
    (void)state;
    view.luns[0].disk = NULL;
    view.luns[0].medium = MEDIUM_UNSEEN;
    view.bound = false;
    bot.speed = USB_SPEED_NONE;
    session.state = SESSION_BACKOFF;
    snprintf(session.last_fault, sizeof(session.last_fault),
             "10.0.0.1:3260 refuses the connection.");
    assert_string_equal(sentence(),
                        "No disk yet: 10.0.0.1:3260 refuses the connection; trying again.");
    session.last_fault[0] = 0;
    session.state = SESSION_CONNECTING;
    assert_string_equal(sentence(), "No disk yet: logging in to 10.0.0.1:3260.");
    session.state = SESSION_RESOLVING;
    assert_string_equal(sentence(), "No disk yet: looking up 10.0.0.1.");
}

static void lost_session_says_that_commands_wait(void **state)
{
    (void)state;
    lun.session_up = false;
    session.state = SESSION_CONNECTING;
    snprintf(session.last_fault, sizeof(session.last_fault), "connection reset");
    assert_string_equal(sentence(), "The host sees a 64 MB disk; the session to 10.0.0.1:3260 is "
                                    "down and commands wait: connection reset; trying again.");
}

static void missing_host_and_missing_gadget_are_said(void **state)
{
    (void)state;
    bot.speed = USB_SPEED_NONE;
    assert_string_equal(sentence(), "No USB host is connected; a 64 MB disk is ready for it; the "
                                    "session to 10.0.0.1:3260 is up.");
    view.bound = false;
    assert_string_equal(sentence(),
                        "The host sees nothing yet: the disk is about to be plugged in.");
    view.gadget_fault = "no UDC; add dtoverlay=dwc2 to config.txt.";
    assert_string_equal(sentence(),
                        "The host sees nothing: no UDC; add dtoverlay=dwc2 to config.txt.");
}

static void each_of_several_disks_has_its_part(void **state)
{
    (void)state;
    view.lun_count = 2;
    view.luns[1] = view.luns[0];
    view.luns[1].disk = NULL;
    view.luns[1].medium = MEDIUM_UNSEEN;
    session.state = SESSION_UP;
    assert_string_equal(
        sentence(), "Disk 0: the host sees a 64 MB disk; the session to 10.0.0.1:3260 is up. "
                    "Disk 1: the host sees an empty drive, there is no disk yet: looking at the "
                    "disk at 10.0.0.1:3260.");
}

static void an_empty_drive_says_why_and_what_fills_it(void **state)
{
    (void)state;
    view.luns[0].medium = MEDIUM_OUT_USER;
    assert_string_equal(sentence(), "The host sees an empty drive: the disk was ejected here; "
                                    "lunstick insert puts it in.");
    view.luns[0].medium = MEDIUM_OUT_HOST;
    assert_string_equal(sentence(),
                        "The host sees an empty drive: the host ejected the disk; it is back when "
                        "the host loads it or is plugged in again.");
    view.luns[0].reinsert = MEDIUM_REINSERT_NEVER;
    assert_string_equal(sentence(), "The host sees an empty drive: the host ejected the disk; "
                                    "lunstick insert brings it back.");
    view.luns[0].reinsert = MEDIUM_REINSERT_AFTER;
    assert_string_equal(sentence(), "The host sees an empty drive: the host ejected the disk; it "
                                    "comes back by itself.");
    view.luns[0].medium = MEDIUM_GIVEN_UP;
    snprintf(session.last_fault, sizeof(session.last_fault), "connection reset");
    assert_string_equal(sentence(), "The host sees an empty drive: the disk was given up: "
                                    "connection reset; it comes back with its target.");
    bot.speed = USB_SPEED_NONE;
    view.luns[0].medium = MEDIUM_OUT_USER;
    assert_string_equal(sentence(), "No USB host is connected; the drive is empty: the disk was "
                                    "ejected here; lunstick insert puts it in.");
}

static void unplugged_is_said_before_all_else(void **state)
{
    (void)state;
    view.unplugged = true;
    view.bound = false;
    bot.speed = USB_SPEED_NONE;
    assert_string_equal(sentence(), "The host sees nothing: it was unplugged here; lunstick plug "
                                    "plugs it in again.");
    assert_json(json());
    assert_non_null(strstr(buf, "\"plugged\":false,\"host\":\"linux\""));
}

static void json_tells_where_the_medium_is(void **state)
{
    static const enum medium media[] = {MEDIUM_UNSEEN,   MEDIUM_IN,       MEDIUM_OUT_HOST,
                                        MEDIUM_OUT_USER, MEDIUM_GIVEN_UP, MEDIUM_EXCHANGED};
    static const char *const names[] = {"awaited", "in",       "ejected by the host",
                                        "ejected", "given up", "exchanged"};
    char want[64];

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        view.luns[0].medium = media[i];
        snprintf(want, sizeof(want), "\"medium\":\"%s\"", names[i]);
        assert_json(json());
        assert_non_null(strstr(buf, want));
    }
    assert_non_null(strstr(buf, "\"plugged\":true"));
}

static void kind_and_access_of_a_disk_are_told(void **state)
{
    (void)state;
    assert_json(json());
    assert_non_null(strstr(buf, "\"cdrom\":false,\"exclusive\":false,\"access_held\":false"));
    status_text(&view, buf, sizeof(buf));
    assert_null(strstr(buf, "access"));
    view.luns[0].cdrom = view.luns[0].exclusive = true;
    status_text(&view, buf, sizeof(buf));
    assert_non_null(strstr(buf, "\n  shown as   a CD-ROM\n  access     not ours alone now\n"));
    lun.access_held = true;
    lun.proofs = 5;
    status_text(&view, buf, sizeof(buf));
    assert_non_null(strstr(buf, "\n  access     ours alone\n"));
    assert_json(json());
    assert_non_null(strstr(buf, "\"cdrom\":true,\"exclusive\":true,\"access_held\":true"));
    assert_non_null(strstr(buf, "\"proofs\":5,\"disproofs\":0,"));
}

/* ---- JSON ---- */

static void json_has_the_numbers_of_the_modules(void **state)
{
    (void)state;
    lun.last_streamed_read.bytes = 122880;
    lun.last_streamed_read.first_to_host_us = 20001;
    lun.last_streamed_read.last_segment_us = 40002;
    session.last_iov_base = (void *)0x1000;
    port.last_in_buf = (void *)0x1000;
    assert_json(json());
    assert_non_null(strstr(buf, "{\"summary\":\"The host sees a 64 MB disk; "));
    assert_non_null(strstr(buf, "\"pid\":77,\"uptime_ms\":9000,"));
    assert_non_null(strstr(buf, "\"usb\":{\"udc\":\"dummy_udc.0\",\"bound\":true,"));
    assert_non_null(strstr(buf, "\"speed\":\"high\""));
    assert_non_null(strstr(buf, "\"last_in_buf\":\"0x1000\""));
    assert_non_null(strstr(buf, "\"last_iov_base\":\"0x1000\""));
    assert_non_null(strstr(buf, "\"since_ms\":6000,\"logins\":3,\"reconnects\":2,"));
    assert_non_null(strstr(buf,
                           "\"vendor\":\"IET\",\"product\":\"VIRTUAL-DISK\",\"revision\":\"0001\","
                           "\"blocks\":125000,\"block_bytes\":512,\"bytes\":64000000,"));
    assert_non_null(strstr(buf, "\"latency_us_mean\":100,"));
    assert_non_null(strstr(buf,
                           "\"last_streamed_read\":{\"bytes\":122880,\"first_to_host_us\":20001,"
                           "\"last_segment_us\":40002}"));
}

static void json_escapes_what_a_target_may_send(void **state)
{
    (void)state;
    snprintf(session.last_fault, sizeof(session.last_fault), "a\"b\\c\nd\x01\xff");
    assert_json(json());
    assert_non_null(strstr(buf, "\"last_fault\":\"a\\\"b\\\\c\\u000ad\\u0001\\u00ff\""));
}

static void json_of_a_daemon_that_just_started_is_whole(void **state)
{
    (void)state;
    view.luns[0].disk = NULL;
    view.luns[0].medium = MEDIUM_UNSEEN;
    view.luns[0].portal = NULL;
    view.bot = NULL;
    view.bot_state = NULL;
    view.port = NULL;
    view.udc = NULL;
    session = (struct session_stats){.state = SESSION_DOWN};
    lun = (struct lun_stats){0};
    assert_json(json());
    assert_non_null(strstr(buf, "\"disk\":null"));
    assert_non_null(strstr(buf, "\"speed\":\"none\""));
    assert_non_null(strstr(buf, "\"reconnects\":0,"));
    view.lun_count = 0;
    assert_json(json());
    assert_non_null(strstr(buf, "\"luns\":[]}"));
}

static void json_that_does_not_fit_is_not_given(void **state)
{
    size_t length = status_json(&view, buf, sizeof(buf));

    (void)state;
    for (size_t size = 0; size <= length; size++) {
        buf[size] = 'x';
        assert_int_equal(status_json(&view, buf, size), 0);
        assert_true(size == 0 || buf[0] == 0);
        assert_int_equal(buf[size], 'x');
    }
    assert_int_equal(status_json(&view, buf, length + 1), length);
}

static void sixteen_disks_with_long_faults_fit(void **state)
{
    (void)state;
    memset(session.last_fault, '\n', sizeof(session.last_fault) - 1);
    memset(address.host, 'h', sizeof(address.host) - 1);
    memset(address.iqn, 'q', sizeof(address.iqn) - 1);
    memset(address.user, 'u', sizeof(address.user) - 1);
    view.lun_count = BOT_LUNS_MAX;
    for (unsigned i = 1; i < BOT_LUNS_MAX; i++)
        view.luns[i] = view.luns[0];
    assert_json(json());
}

/* ---- text ---- */

static void text_begins_with_the_sentence_and_is_cut_safely(void **state)
{
    size_t length = status_text(&view, buf, sizeof(buf));

    (void)state;
    assert_int_equal(strlen(buf), length);
    assert_ptr_equal(
        strstr(buf, "The host sees a 64 MB disk; the session to 10.0.0.1:3260 is up.\n"), buf);
    assert_non_null(strstr(buf, "IET VIRTUAL-DISK 0001"));
    assert_non_null(strstr(buf, "2 reconnects"));
    assert_non_null(strstr(buf, "dummy_udc.0, high speed"));
    for (size_t size = 1; size <= length; size++) {
        buf[size] = 'x';
        assert_int_equal(status_text(&view, buf, size), size - 1);
        assert_int_equal(strlen(buf), size - 1);
        assert_int_equal(buf[size], 'x');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(disk_in_use_is_said_with_its_size_and_portal, fresh),
        cmocka_unit_test_setup(a_local_disk_is_named_by_its_device, fresh),
        cmocka_unit_test_setup(a_local_disk_that_was_exchanged_fails, fresh),
        cmocka_unit_test_setup(a_block_device_that_is_not_there_says_why, fresh),
        cmocka_unit_test_setup(read_only_and_other_sizes, fresh),
        cmocka_unit_test_setup(no_disk_yet_says_why, fresh),
        cmocka_unit_test_setup(lost_session_says_that_commands_wait, fresh),
        cmocka_unit_test_setup(missing_host_and_missing_gadget_are_said, fresh),
        cmocka_unit_test_setup(each_of_several_disks_has_its_part, fresh),
        cmocka_unit_test_setup(an_empty_drive_says_why_and_what_fills_it, fresh),
        cmocka_unit_test_setup(unplugged_is_said_before_all_else, fresh),
        cmocka_unit_test_setup(json_tells_where_the_medium_is, fresh),
        cmocka_unit_test_setup(kind_and_access_of_a_disk_are_told, fresh),
        cmocka_unit_test_setup(json_has_the_numbers_of_the_modules, fresh),
        cmocka_unit_test_setup(json_escapes_what_a_target_may_send, fresh),
        cmocka_unit_test_setup(json_of_a_daemon_that_just_started_is_whole, fresh),
        cmocka_unit_test_setup(json_that_does_not_fit_is_not_given, fresh),
        cmocka_unit_test_setup(sixteen_disks_with_long_faults_fit, fresh),
        cmocka_unit_test_setup(text_begins_with_the_sentence_and_is_cut_safely, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
