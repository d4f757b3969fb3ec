/* SPDX-License-Identifier: BSD-2-Clause */
#include "initiator/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct address address;
static char why[ADDRESS_WHY_BYTES];

static int poison(void **state)
{
    (void)state;
    memset(&address, 0xa5, sizeof(address));
    memset(why, 0xa5, sizeof(why));
    return 0;
}

static void accept(const char *url)
{
    if (!address_parse(url, &address, why))
        fail_msg("%s: %s", url, why);
}

static void refuse(const char *url, const char *part)
{
    static const struct address zero;

    poison(NULL);
    if (address_parse(url, &address, why))
        fail_msg("%s was accepted", url);
    if (strstr(why, part) == NULL)
        fail_msg("%s: \"%s\" does not say \"%s\"", url, why, part);
    assert_true(strlen(why) < ADDRESS_WHY_BYTES - 1);
    assert_null(strchr(why, '\n'));
    assert_memory_equal(&address, &zero, sizeof(zero));
}

static void short_form_has_the_default_port(void **state)
{
    (void)state;
    accept("iscsi://192.0.2.1/iqn.2026-01.test:disk/0");
    assert_string_equal(address.host, "192.0.2.1");
    assert_int_equal(address.port, 3260);
    assert_string_equal(address.iqn, "iqn.2026-01.test:disk");
    assert_int_equal(address.lun, 0);
    assert_string_equal(address.user, "");
    assert_false(address.header_digest);
}

static void long_form_has_all_parts(void **state)
{
    (void)state;
    accept("iscsi://joe@disks.example:65535/iqn.2026-01.test:disk/16383?header_digest=crc32c");
    assert_string_equal(address.host, "disks.example");
    assert_int_equal(address.port, 65535);
    assert_int_equal(address.lun, 16383);
    assert_string_equal(address.user, "joe");
    assert_true(address.header_digest);
}

static void ipv6_stands_in_brackets(void **state)
{
    (void)state;
    accept("iscsi://[2001:db8::1]:860/iqn.2026-01.test:disk/1");
    assert_string_equal(address.host, "2001:db8::1");
    assert_int_equal(address.port, 860);
    accept("iscsi://[fe80::1%eth0]/iqn.2026-01.test:disk/1");
    assert_string_equal(address.host, "fe80::1%eth0");
    refuse("iscsi://2001:db8::1/iqn.2026-01.test:disk/1", "in brackets");
    refuse("iscsi://[2001:db8::1/iqn.2026-01.test:disk/1", "closing ']'");
    refuse("iscsi://[192.0.2.1]/iqn.2026-01.test:disk/1", "not an IPv6 address");
    refuse("iscsi://[2001:db8::1]860/iqn.2026-01.test:disk/1", "':port'");
    refuse("iscsi://[fe80::1%]/iqn.2026-01.test:disk/1", "not an IPv6 address");
    refuse("iscsi://[]/iqn.2026-01.test:disk/1", "not an IPv6 address");
}

static void target_names_are_decoded(void **state)
{
    (void)state;
    accept("iscsi://h/iqn.2026-01.test%3Adisk/1");
    assert_string_equal(address.iqn, "iqn.2026-01.test:disk");
    refuse("iscsi://h/iqn.2026-01.test%3/1", "two hexadecimal");
    refuse("iscsi://h/iqn.2026-01.test%zz/1", "two hexadecimal");
    refuse("iscsi://h/iqn.2026-01.test%2f/1", "character");
    refuse("iscsi://h/iqn.2026-01.test%22/1", "character");
    refuse("iscsi://h/iqn.2026-01.test%00/1", "character");
}

static void all_three_types_of_names_are_taken(void **state)
{
    (void)state;
    accept("iscsi://h/eui.02004567A425678D/1");
    accept("iscsi://h/naa.52004567BA64678D/1");
    refuse("iscsi://h/disk/1", "does not begin with iqn.");
}

static void missing_parts_are_named(void **state)
{
    (void)state;
    refuse("iscsi:///iqn.2026-01.test:disk/0", "host is missing");
    refuse("iscsi://h", "target's name is missing");
    refuse("iscsi://h/", "target's name is missing");
    refuse("iscsi://h/iqn.2026-01.test:disk", "LUN is missing");
    refuse("iscsi://h/iqn.2026-01.test:disk/", "LUN is missing");
    refuse("iscsi://@h/iqn.2026-01.test:disk/0", "user before '@' is empty");
    refuse("", "no scheme");
    refuse("192.0.2.1", "no scheme");
}

static void unknown_schemes_are_refused(void **state)
{
    (void)state;
    refuse("iser://h/iqn.2026-01.test:disk/0", "scheme 'iser'");
    refuse("http://h/iqn.2026-01.test:disk/0", "scheme 'http'");
    refuse("ISCSI://h/iqn.2026-01.test:disk/0", "scheme 'ISCSI'");
}

static void luns_are_numbers(void **state)
{
    (void)state;
    refuse("iscsi://h/iqn.2026-01.test:disk/1a", "LUN '1a'");
    refuse("iscsi://h/iqn.2026-01.test:disk/-1", "LUN '-1'");
    refuse("iscsi://h/iqn.2026-01.test:disk/16384", "LUN '16384'");
    refuse("iscsi://h/iqn.2026-01.test:disk/0/", "LUN '0/'");
    refuse("iscsi://h/iqn.2026-01.test:disk/99999999999999999999999", "LUN '9999");
}

static void ports_are_numbers(void **state)
{
    (void)state;
    refuse("iscsi://h:0/iqn.2026-01.test:disk/0", "port '0'");
    refuse("iscsi://h:65536/iqn.2026-01.test:disk/0", "port '65536'");
    refuse("iscsi://h:/iqn.2026-01.test:disk/0", "port ''");
    refuse("iscsi://h:3\n/iqn.2026-01.test:disk/0", "port '3?'");
    refuse("iscsi://h:3260x/iqn.2026-01.test:disk/0", "port '3260x'");
}

static void secrets_are_refused_and_not_repeated(void **state)
{
    static const char *const urls[] = {
        "iscsi://joe%hunter2@h/iqn.2026-01.test:disk/0",
        "iscsi://joe:hunter2@h/iqn.2026-01.test:disk/0",
        "iscsi://joe%hunter2/x@h/iqn.2026-01.test:disk/0",
        "iscsi://joe:hunter2/x@h/iqn.2026-01.test:disk/0",
        "iscsi://joe%hunter2/iqn.2026-01.test:disk/0",
        "iscsi://h/iqn.2026-01.test:disk/0?target_password=hunter2",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        refuse(urls[i], "secret in the URL");
        assert_null(strstr(why, "hunter2"));
    }
}

static void unknown_options_are_refused(void **state)
{
    (void)state;
    accept("iscsi://h/iqn.2026-01.test:disk/0?header_digest=none");
    assert_false(address.header_digest);
    refuse("iscsi://h/iqn.2026-01.test:disk/0?auth=sha1", "option 'auth'");
    refuse("iscsi://h/iqn.2026-01.test:disk/0?", "option ''");
    refuse("iscsi://h/iqn.2026-01.test:disk/0?header_digest", "crc32c or none");
    refuse("iscsi://h/iqn.2026-01.test:disk/0?header_digest=crc32c&x=1", "option 'x'");
}

static void overlong_parts_are_refused_and_the_longest_are_taken(void **state)
{
    char url[1200];
    char part[400];

    (void)state;
    memset(part, 'a', sizeof(part));
    snprintf(url, sizeof(url), "iscsi://%.256s/iqn.x/0", part);
    refuse(url, "host name has 256 bytes");
    snprintf(url, sizeof(url), "iscsi://%.256s@h/iqn.x/0", part);
    refuse(url, "user name has 256 bytes");
    snprintf(url, sizeof(url), "iscsi://h/iqn.%.220s/0", part);
    refuse(url, "longer than 223 bytes");
    snprintf(url, sizeof(url), "iscsi://%.255s@%.255s:1/iqn.%.219s/0", part, part, part);
    accept(url);
    assert_int_equal(strlen(address.iqn), 223);
    assert_int_equal(strlen(address.host), 255);
    assert_int_equal(strlen(address.user), 255);
}

static void characters_that_no_name_has_are_refused(void **state)
{
    (void)state;
    refuse("iscsi://ho st/iqn.2026-01.test:disk/0", "host 'ho st'");
    refuse("iscsi://h/iqn.2026-01.test disk/0", "target's name");
    refuse("iscsi://j\x01oe@h/iqn.2026-01.test:disk/0", "user name");
}

static void format_gives_the_same_address_again(void **state)
{
    static const char *const urls[] = {
        "iscsi://192.0.2.1/iqn.2026-01.test:disk/0",
        "iscsi://joe@[2001:db8::1]:860/iqn.2026-01.test:disk/255?header_digest=crc32c",
    };
    char text[ADDRESS_TEXT_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        accept(urls[i]);
        assert_string_equal(address_format(&address, text, sizeof(text)), urls[i]);
    }
}

static void format_never_writes_beyond_its_buffer(void **state)
{
    char text[12];

    (void)state;
    accept("iscsi://192.0.2.1/iqn.2026-01.test:disk/0");
    memset(text, 0x5a, sizeof(text));
    address_format(&address, text, 10);
    assert_string_equal(text, "iscsi://1");
    assert_int_equal(text[10], 0x5a);
}

static void a_portal_stands_alone(void **state)
{
    static struct address zero;

    (void)state;
    assert_true(address_parse_portal("disks.example:861", &address, why));
    assert_string_equal(address.host, "disks.example");
    assert_int_equal(address.port, 861);
    assert_string_equal(address.iqn, "");
    assert_true(address_parse_portal("[2001:db8::1]", &address, why));
    assert_string_equal(address.host, "2001:db8::1");
    assert_int_equal(address.port, 3260);
    assert_false(address_parse_portal("2001:db8::1", &address, why));
    assert_memory_equal(&address, &zero, sizeof(zero));
    assert_non_null(strstr(why, "in brackets"));
    assert_false(address_parse_portal("", &address, why));
    assert_false(address_parse_portal("host/iqn.2026-01.test:disk", &address, why));
}

static void a_secret_in_a_portal_is_not_repeated(void **state)
{
    static const char *const portals[] = {"joe%hush@host", "joe%hush", "joe:hush@host",
                                          "hush@[::1%eth0]"};

    (void)state;
    for (size_t i = 0; i < sizeof(portals) / sizeof(portals[0]); i++) {
        poison(NULL);
        assert_false(address_parse_portal(portals[i], &address, why));
        assert_non_null(strstr(why, "without a user"));
        assert_null(strstr(why, "hush"));
    }
}

static void a_target_stands_alone(void **state)
{
    static struct address zero;

    (void)state;
    assert_true(address_parse_target("iqn.2026-01.test:disk%3a1", &address, why));
    assert_string_equal(address.iqn, "iqn.2026-01.test:disk:1");
    assert_string_equal(address.host, "");
    assert_false(address_parse_target("disk", &address, why));
    assert_memory_equal(&address, &zero, sizeof(zero));
    assert_non_null(strstr(why, "iqn., eui. or naa."));
    assert_false(address_parse_target("iqn.2026-01.test:disk/0", &address, why));
}

static void numeric_hosts_are_told_from_names(void **state)
{
    (void)state;
    assert_true(address_is_numeric("192.0.2.1"));
    assert_true(address_is_numeric("::1"));
    assert_true(address_is_numeric("fe80::1%eth0"));
    assert_false(address_is_numeric("fe80::1%"));
    assert_false(address_is_numeric("fe80::1%a/b"));
    assert_false(address_is_numeric("disk.example"));
    assert_false(address_is_numeric("192.0.2"));
    assert_false(address_is_numeric("192.0.2.1%eth0"));
    assert_false(address_is_numeric(""));
}

static void a_portal_sends_us_to_hosts_and_to_ourselves_from_ourselves_only(void **state)
{
    static const char *const nowhere[] = {
        "0.0.0.0",      "0.1.2.3",        "224.0.0.1",        "255.255.255.255", "::", "ff02::1",
        "ff02::1%eth0", "::ffff:0.0.0.0", "::ffff:239.1.2.3", "disk.example",    "",
    };
    static const char *const ourselves[] = {"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"};

    (void)state;
    assert_true(address_may_lead("192.0.2.1", "192.0.2.2"));
    assert_true(address_may_lead("192.0.2.1", "2001:db8::1"));
    assert_true(address_may_lead("fe80::1%eth0", "fe80::2%eth0"));
    for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++)
        assert_false(address_may_lead("127.0.0.1", nowhere[i]));
    for (size_t i = 0; i < sizeof(ourselves) / sizeof(ourselves[0]); i++) {
        assert_false(address_may_lead("192.0.2.1", ourselves[i]));
        assert_false(address_may_lead("2001:db8::1", ourselves[i]));
        assert_true(address_may_lead("::1", ourselves[i]));
    }
}

#define TEST(function) cmocka_unit_test_setup(function, poison)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(short_form_has_the_default_port),
        TEST(long_form_has_all_parts),
        TEST(ipv6_stands_in_brackets),
        TEST(target_names_are_decoded),
        TEST(all_three_types_of_names_are_taken),
        TEST(missing_parts_are_named),
        TEST(unknown_schemes_are_refused),
        TEST(luns_are_numbers),
        TEST(ports_are_numbers),
        TEST(secrets_are_refused_and_not_repeated),
        TEST(unknown_options_are_refused),
        TEST(overlong_parts_are_refused_and_the_longest_are_taken),
        TEST(characters_that_no_name_has_are_refused),
        TEST(format_gives_the_same_address_again),
        TEST(format_never_writes_beyond_its_buffer),
        TEST(a_portal_stands_alone),
        TEST(a_secret_in_a_portal_is_not_repeated),
        TEST(a_target_stands_alone),
        TEST(numeric_hosts_are_told_from_names),
        TEST(a_portal_sends_us_to_hosts_and_to_ourselves_from_ourselves_only),
    };

    return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
