/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration file, the board's identity and the secret files. */
#include "daemon/lunstickd/board.h"
#include "daemon/lunstickd/config.h"
#include "daemon/lunstickd/secrets.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define URL "iscsi://10.0.0.1/iqn.2001-04.com.example:disk/0"

static struct daemon_config config;
static char why[CONFIG_WHY_BYTES];
static char dir[] = "/tmp/test_config.XXXXXX";

static int fresh(void **state)
{
    (void)state;
    memset(&config, 0xA5, sizeof(config));
    memset(why, 0xFF, sizeof(why));
    daemon_config_init(&config);
    return 0;
}

static bool reads(const char *text)
{
    return daemon_config_read_text(&config, text, "t.conf", why);
}

/* ---- configuration ---- */

static void one_url_is_enough(void **state)
{
    (void)state;
    assert_true(reads("url = \"" URL "\";\n"));
    assert_true(daemon_config_finish(&config, why));
    assert_int_equal(config.lun_count, 1);
    assert_string_equal(config.luns[0].address.host, "10.0.0.1");
    assert_int_equal(config.luns[0].address.port, 3260);
    assert_true(config.luns[0].removable);
    assert_false(config.luns[0].read_only);
    assert_string_equal(config.name, "lunstick");
    assert_string_equal(config.run_dir, "/run/lunstick/lunstick");
    assert_int_equal(config.log_level, LUN_LOG_INFO);
}

/* The lines `//key = value;` of the example that stand for defaults. */
static void the_example_shows_the_defaults(void **state)
{
    static const char *const keys[] = {"read_only",  "removable",        "header_digest",  "once",
                                       "log_level",  "short_in",         "user",           "scheme",
                                       "name",       "answer_within_ms", "front",          "host",
                                       "early",      "reinsert",         "reinsert_after", "cdrom",
                                       "continuity", "access",           "give_up_after"};
    static struct daemon_config defaults;
    char line[256];
    unsigned seen = 0;
    (void)state;
    memset(&defaults, 0xFF, sizeof(defaults));
    daemon_config_init(&defaults);
    FILE *example = fopen(LUNSTICK_SOURCE_DIR "/hw/lunstick.conf", "re");
    assert_non_null(example);
    while (fgets(line, sizeof(line), example)) {
        for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
            size_t length = strlen(keys[i]);
            if (strncmp(line, "//", 2) != 0 || strncmp(line + 2, keys[i], length) != 0 ||
                strncmp(line + 2 + length, " = ", 3) != 0)
                continue;
            assert_true(reads(line + 2));
            seen++;
        }
    }
    (void)fclose(example);
    assert_int_equal(seen, sizeof(keys) / sizeof(keys[0]));
    assert_memory_equal(&config, &defaults, sizeof(config));
}

static void every_key_arrives_in_its_place(void **state)
{
    (void)state;
    assert_true(
        reads("name = \"stick-2\"; udc = \"fe980000.usb\"; once = true;\n"
              "initiator_name = \"iqn.2026-11.org.example:me\"; serial = \"0123456789AB\";\n"
              "scheme = \"/tmp/disk.scheme\"; user = \"nobody\";\n"
              "answer_within_ms = 2500; segment_bytes = 8192; login_timeout_ms = 700;\n"
              "keepalive_ms = 900; backoff_max_ms = 200; log_level = \"debug\";\n"
              "short_in = \"halt\"; early = true; host = \"linux\";\n"
              "url = \"" URL "\"; read_only = true; removable = true;\n"
              "reinsert = \"after\"; reinsert_after = 7; give_up_after = 90; ephemeral = true;\n"
              "cdrom = true; continuity = false; access = \"exclusive\";\n"
              "header_digest = true; secret_file = \"/s\"; target_user = \"t\";\n"
              "target_secret_file = \"/t\";\n"));
    assert_true(daemon_config_finish(&config, why));
    assert_string_equal(config.name, "stick-2");
    assert_string_equal(config.run_dir, "/run/lunstick/stick-2");
    assert_string_equal(config.udc, "fe980000.usb");
    assert_true(config.once);
    assert_string_equal(config.initiator_name, "iqn.2026-11.org.example:me");
    assert_string_equal(config.serial, "0123456789AB");
    assert_string_equal(config.scheme_path, "/tmp/disk.scheme");
    assert_string_equal(config.user, "nobody");
    assert_int_equal(config.answer_within_ms, 2500);
    assert_int_equal(config.segment_bytes, 8192);
    assert_int_equal(config.login_timeout_ms, 700);
    assert_int_equal(config.keepalive_ms, 900);
    assert_int_equal(config.backoff_max_ms, 200);
    assert_int_equal(config.log_level, LUN_LOG_DEBUG);
    assert_int_equal(config.short_in, BOT_SHORT_IN_HALT);
    assert_true(config.luns[0].read_only);
    assert_true(config.luns[0].removable);
    assert_true(config.early);
    assert_ptr_equal(config.host, host_find("linux"));
    assert_int_equal(config.luns[0].reinsert, MEDIUM_REINSERT_AFTER);
    assert_int_equal(config.luns[0].reinsert_after_s, 7);
    assert_int_equal(config.luns[0].give_up_after_s, 90);
    assert_int_equal(config.luns[0].ephemeral, CONFIG_YES);
    assert_true(config.luns[0].cdrom);
    assert_false(config.luns[0].continuity);
    assert_int_equal(config.luns[0].access, CONFIG_EXCLUSIVE);
    assert_true(config.luns[0].header_digest);
    assert_string_equal(config.luns[0].secret_file, "/s");
    assert_string_equal(config.luns[0].target_user, "t");
    assert_string_equal(config.luns[0].target_secret_file, "/t");
}

static void several_luns_take_the_defaults_of_the_top(void **state)
{
    (void)state;
    assert_true(reads(
        "luns = ( { url = \"" URL "\"; },\n"
        "         { url = \"iscsi://h/iqn.2001-04.com.example:b/3\"; read_only = false; } );\n"
        "read_only = true;\n"));
    assert_true(daemon_config_finish(&config, why));
    assert_int_equal(config.lun_count, 2);
    assert_true(config.luns[0].read_only);
    assert_false(config.luns[1].read_only);
    assert_true(config.luns[1].removable);
    assert_int_equal(config.luns[1].address.lun, 3);
}

static void unknown_key_names_line_and_nearest_key(void **state)
{
    (void)state;
    assert_false(reads("# a comment\nread_olny = true;\n"));
    assert_string_equal(why, "t.conf:2: unknown key \"read_olny\"; did you mean \"read_only\"?");
}

static void unknown_key_in_a_lun_is_compared_with_keys_of_luns(void **state)
{
    (void)state;
    assert_false(reads("luns = ( {\n  url = \"" URL "\";\n  secretfile = \"/x\";\n} );\n"));
    assert_string_equal(why, "t.conf:3: unknown key \"secretfile\"; did you mean \"secret_file\"?");
}

static void strange_key_lists_the_known_ones(void **state)
{
    (void)state;
    assert_false(reads("luns = ( { zzzzzzzzzzz = 1; } );\n"));
    assert_non_null(strstr(why, "t.conf:1: unknown key \"zzzzzzzzzzz\"; known keys: url, "));
}

static void wrong_type_names_what_is_allowed(void **state)
{
    (void)state;
    assert_false(reads("\nonce = 1;\n"));
    assert_string_equal(why, "t.conf:2: once: not a truth value; allowed: true or false");
    assert_false(reads("keepalive_ms = \"5 s\";\n"));
    assert_string_equal(why, "t.conf:1: keepalive_ms: not a whole number; allowed: 500 to 60000");
    assert_false(reads("name = 7;\n"));
    assert_non_null(strstr(why, "t.conf:1: name: not a string; allowed: "));
    assert_false(reads("luns = { };\n"));
    assert_non_null(strstr(why, "t.conf:1: luns: not a list; allowed: "));
    assert_false(reads("luns = ( 1 );\n"));
    assert_non_null(strstr(why, "t.conf:1: luns: an entry is no group"));
}

static void numbers_outside_their_range_are_refused(void **state)
{
    (void)state;
    assert_false(reads("answer_within_ms = 499;\n"));
    assert_string_equal(why, "t.conf:1: answer_within_ms: out of range; allowed: 0 (as the host "
                             "needs it) or 500 to 20000");
    assert_true(reads("answer_within_ms = 0;\n"));
    assert_false(reads("reinsert_after = 0;\n"));
    assert_false(reads("answer_within_ms = -1;\n"));
    assert_false(reads("answer_within_ms = 4294967796L;\n"));
    assert_false(reads("segment_bytes = 5000;\n"));
    assert_non_null(strstr(why, "a multiple of 4096"));
    assert_true(reads("segment_bytes = 65536; answer_within_ms = 500;\n"));
}

static void names_that_would_leave_their_directory_are_refused(void **state)
{
    (void)state;
    assert_false(reads("name = \"../x\";\n"));
    assert_false(reads("name = \"\";\n"));
    assert_false(reads("name = \"abcdefghijklmnopqrstuvwxyz0123456\";\n"));
    assert_true(reads("name = \"abcdefghijklmnopqrstuvwxyz012345\";\n"));
    assert_false(reads("udc = \"../x\";\n"));
    assert_false(reads("scheme = \"disk.scheme\";\n"));
    assert_false(reads("secret_file = \"a\\nb\";\n"));
}

static void text_that_does_not_fit_is_refused(void **state)
{
    char text[400], path[300];

    (void)state;
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[CONFIG_PATH_BYTES] = 0; /* one more than fits */
    snprintf(text, sizeof(text), "scheme = \"%s\";\n", path);
    assert_false(reads(text));
    assert_non_null(strstr(why, "too long"));
    path[CONFIG_PATH_BYTES - 1] = 0;
    snprintf(text, sizeof(text), "scheme = \"%s\";\n", path);
    assert_true(reads(text));
}

static void short_serial_number_is_refused(void **state)
{
    (void)state;
    assert_false(reads("serial = \"0123456789A\";\n")); /* BOT 4.1.1: at least 12 */
    assert_false(reads("serial = \"0123456789AG\";\n"));
    assert_true(reads("serial = \"0123456789AB\";\n"));
}

static void malformed_url_is_refused_with_its_reason(void **state)
{
    (void)state;
    assert_false(reads("url = \"http://10.0.0.1/\";\n"));
    assert_non_null(strstr(why, "t.conf:1: url: "));
    assert_non_null(strstr(why, "allowed: iscsi://[user@]host[:port]/iqn/lun"));
}

static void host_is_a_row_of_the_table_or_auto(void **state)
{
    (void)state;
    assert_true(reads("host = \"linux\";\n"));
    assert_ptr_equal(config.host, host_find("linux"));
    assert_true(reads("host = \"auto\";\n"));
    assert_null(config.host);
    assert_false(reads("host = \"beos\";\n"));
    assert_non_null(
        strstr(why, "t.conf:1: host: not one of its words; allowed: \"auto\", \"unknown\", "));
    assert_non_null(strstr(why, "\"linux\""));
    assert_false(reads("host = 1;\n"));
}

static void anonymous_targets_of_scsipub_are_ephemeral(void **state)
{
    (void)state;
    assert_true(reads("luns = ( { url = \"iscsi://h/iqn.2025-01.pub.scsipub:image.a/0\"; },\n"
                      "  { url = \"iscsi://me@h/iqn.2025-01.pub.scsipub:image.a/0\"; },\n"
                      "  { url = \"" URL "\"; },\n"
                      "  { url = \"" URL "\"; ephemeral = true; },\n"
                      "  { url = \"iscsi://h/iqn.2025-01.pub.scsipub:b/0\"; ephemeral = false; }"
                      " );\n"));
    assert_true(config_ephemeral(&config.luns[0]));
    assert_false(config_ephemeral(&config.luns[1])); /* an account's own target stays */
    assert_false(config_ephemeral(&config.luns[2]));
    assert_true(config_ephemeral(&config.luns[3]));
    assert_false(config_ephemeral(&config.luns[4]));
}

static void a_cdrom_is_removable_and_read_only(void **state)
{
    (void)state;
    assert_true(reads("url = \"" URL "\"; cdrom = true; removable = false; early = true;\n"));
    assert_true(daemon_config_finish(&config, why));
    assert_true(config.luns[0].removable && config.luns[0].read_only);
}

static void the_reservation_key_is_the_boards(void **state)
{
    (void)state;
    memcpy(config.board, "0123456789abcdefffffffffffffffff", sizeof(config.board));
    assert_int_equal(config_reservation_key(&config), 0x0123456789abcdef);
    memset(config.board, '0', sizeof(config.board) - 1);
    assert_int_equal(config_reservation_key(&config), 1); /* 0 is no key */
}

static void the_local_kernel_gets_a_fixed_disk(void **state)
{
    (void)state;
    assert_true(reads("url = \"" URL "\"; front = \"nbd\"; give_up_after = 5;\n"));
    assert_true(daemon_config_finish(&config, why));
    assert_int_equal(config.front, CONFIG_FRONT_NBD);
    assert_false(config.luns[0].removable);
    assert_int_equal(config.luns[0].give_up_after_s, 0);
}

static void what_is_for_usb_hosts_does_not_go_with_the_local_kernel(void **state)
{
    static const char *const wrong[] = {
        "url = \"" URL "\"; front = \"nbd\"; early = true;\n",
        "url = \"" URL "\"; front = \"nbd\"; cdrom = true;\n",
        "front = \"nbd\"; luns = ( { url = \"" URL "\"; }, { url = \"" URL "\"; } );\n",
    };
    static const char *const named[] = {"early", "cdrom", "several disks"};
    for (unsigned i = 0; i < 3; i++) {
        (void)fresh(state);
        assert_true(reads(wrong[i]));
        assert_false(daemon_config_finish(&config, why));
        assert_ptr_equal(strstr(why, named[i]), why);
        assert_non_null(strstr(why, "use front = \"usb\""));
    }
}

static void a_fixed_disk_cannot_be_early(void **state)
{
    (void)state;
    assert_true(reads("url = \"" URL "\"; early = true; removable = false;\n"));
    assert_false(daemon_config_finish(&config, why));
    assert_non_null(strstr(why, "set removable = true, or early = false"));
}

static void url_and_luns_exclude_each_other(void **state)
{
    (void)state;
    assert_false(reads("luns = ( { url = \"" URL "\"; } );\nurl = \"" URL "\";\n"));
    assert_non_null(strstr(why, "t.conf:1: luns: together with a url"));
}

static void lun_without_url_is_refused(void **state)
{
    (void)state;
    assert_false(reads("luns = (\n  { read_only = true; } );\n"));
    assert_non_null(strstr(why, "t.conf:2: a LUN without url"));
}

static void seventeen_luns_are_too_many(void **state)
{
    char text[4096] = "luns = (";

    (void)state;
    for (unsigned i = 0; i < 17; i++) {
        size_t at = strlen(text);
        snprintf(text + at, sizeof(text) - at, "%s{ url = \"" URL "\"; }", i ? "," : "");
    }
    strcat(text, ");\n");
    assert_false(reads(text));
    assert_non_null(strstr(why, "1 to 16"));
    assert_false(reads("luns = ();\n"));
}

static void include_is_refused(void **state)
{
    (void)state;
    assert_false(reads("  @include \"/etc/hostname\"\n"));
    assert_non_null(strstr(why, "@include is not supported"));
}

static void syntax_error_names_its_line(void **state)
{
    (void)state;
    assert_false(reads("once = true;\nname = ;\n"));
    assert_non_null(strstr(why, "t.conf:2: syntax error"));
}

static void nothing_configured_says_what_to_give(void **state)
{
    (void)state;
    assert_true(reads(""));
    assert_false(daemon_config_finish(&config, why));
    assert_non_null(strstr(why, "iscsi://[user@]host[:port]/iqn/lun"));
}

static void serial_is_stable_and_differs_between_disks(void **state)
{
    char first[33];

    (void)state;
    assert_true(reads("url = \"" URL "\";\n"));
    assert_true(daemon_config_finish(&config, why));
    snprintf(first, sizeof(first), "%s", config.serial);
    assert_int_equal(strlen(first), 16);
    assert_int_equal(strspn(first, "0123456789ABCDEF"), 16);
    fresh(NULL);
    assert_true(reads("url = \"iscsi://10.0.0.2:3261/iqn.2001-04.com.example:disk/0\";\n"));
    assert_true(daemon_config_finish(&config, why));
    assert_string_equal(config.serial, first); /* the same disk behind another portal */
    fresh(NULL);
    assert_true(reads("url = \"iscsi://10.0.0.1/iqn.2001-04.com.example:disk/1\";\n"));
    assert_true(daemon_config_finish(&config, why));
    assert_string_not_equal(config.serial, first);
}

static void file_errors_name_the_file(void **state)
{
    (void)state;
    assert_false(daemon_config_read_file(&config, "/nonexistent/x.conf", why));
    assert_string_equal(why, "/nonexistent/x.conf: No such file or directory");
    assert_false(daemon_config_read_file(&config, "/", why));
    assert_string_equal(why, "/: Is a directory");
    assert_false(daemon_config_read_file(&config, "/dev/null", why));
    assert_string_equal(why, "/dev/null: not a regular file");
}

/* ---- board ---- */

static void put_file(const char *name, const char *text, mode_t mode)
{
    char path[300];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void put_dir(const char *name)
{
    char path[300];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    mkdir(path, 0700);
}

static void hash_is_sha256(void **state)
{
    char out[65];

    (void)state;
    /* `printf 'abc\0' | sha256sum` */
    board_hash(out, 64, (const char *[]){"abc", NULL});
    assert_string_equal(out, "dc1114cd074914bd872cc1f9a23ec910ea2203bc79779ab2e17da25782a624fc");
    /* the shortest input that needs a second block: 55 letters and a 0 */
    board_hash(out, 64,
               (const char *[]){"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL});
    assert_string_equal(out, "a67ae5729ad66f3ff35f3fdc16a95201f855a6dcaefcec78e86d711ccb08fe48");
}

static void board_is_its_serial_else_machine_id_else_address(void **state)
{
    char nothing[BOARD_ID_BYTES], mac[BOARD_ID_BYTES], machine[BOARD_ID_BYTES],
        serial[BOARD_ID_BYTES];

    (void)state;
    assert_false(board_id(nothing, dir));
    assert_int_equal(strspn(nothing, "0123456789abcdef"), 32);

    put_dir("sys");
    put_dir("sys/class");
    put_dir("sys/class/net");
    put_dir("sys/class/net/eth0");
    put_file("sys/class/net/eth0/address", "dc:a6:32:00:00:01\n", 0600);
    put_file("sys/class/net/eth0/addr_assign_type", "0\n", 0600);
    put_dir("sys/class/net/veth");
    put_file("sys/class/net/veth/address", "02:00:00:00:00:01\n", 0600);
    put_file("sys/class/net/veth/addr_assign_type", "1\n", 0600);
    assert_true(board_id(mac, dir));
    assert_string_not_equal(mac, nothing);

    /* A second, higher address changes nothing. */
    put_dir("sys/class/net/eth1");
    put_file("sys/class/net/eth1/address", "dc:a6:32:00:00:02\n", 0600);
    put_file("sys/class/net/eth1/addr_assign_type", "0\n", 0600);
    assert_true(board_id(machine, dir));
    assert_string_equal(machine, mac);

    put_dir("etc");
    put_file("etc/machine-id", "uninitialized\n", 0600);
    assert_true(board_id(machine, dir));
    assert_string_equal(machine, mac);
    put_file("etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0600);
    assert_true(board_id(machine, dir));
    assert_string_not_equal(machine, mac);
    assert_null(strstr(machine, "0123456789abcdef"));

    put_dir("sys/firmware");
    put_dir("sys/firmware/devicetree");
    put_dir("sys/firmware/devicetree/base");
    put_file("sys/firmware/devicetree/base/serial-number", "10000000abcdef01", 0600);
    assert_true(board_id(serial, dir));
    assert_string_not_equal(serial, machine);
}

/* ---- secrets ---- */

static struct config_lun lun;
static struct lun_secrets secrets;

static const char *at(const char *name)
{
    static char path[CONFIG_PATH_BYTES];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static int fresh_secrets(void **state)
{
    (void)state;
    unsetenv("CREDENTIALS_DIRECTORY");
    memset(&secrets, 0xFF, sizeof(secrets));
    memset(&lun, 0, sizeof(lun));
    snprintf(lun.address.host, sizeof(lun.address.host), "10.0.0.1");
    snprintf(lun.address.user, sizeof(lun.address.user), "me");
    return 0;
}

static void secret_comes_without_its_newline(void **state)
{
    (void)state;
    put_file("secret", "twelve-chars\n", 0600);
    snprintf(lun.secret_file, sizeof(lun.secret_file), "%s", at("secret"));
    assert_true(secrets_load(&secrets, &lun, why));
    assert_string_equal(secrets.secret, "twelve-chars");
    assert_string_equal(secrets.target_secret, "");
    assert_string_equal(why, "");
}

static void file_that_others_may_read_is_refused_with_the_fix(void **state)
{
    char fix[400];

    (void)state;
    put_file("open", "twelve-chars\n", 0644);
    snprintf(lun.secret_file, sizeof(lun.secret_file), "%s", at("open"));
    assert_false(secrets_load(&secrets, &lun, why));
    snprintf(fix, sizeof(fix), "chmod 600 %s", at("open"));
    assert_non_null(strstr(why, fix));
    for (size_t i = 0; i < sizeof(secrets); i++)
        assert_int_equal(((const uint8_t *)&secrets)[i], 0);
    put_file("open", "twelve-chars\n", 0620);
    assert_false(secrets_load(&secrets, &lun, why));
}

static void directory_fifo_and_missing_file_are_refused(void **state)
{
    char secret[SECRET_BYTES];

    (void)state;
    assert_false(secret_read_file(secret, dir, why));
    assert_non_null(strstr(why, "not a regular file"));
    assert_int_equal(mkfifo(at("fifo"), 0600), 0);
    assert_false(secret_read_file(secret, at("fifo"), why)); /* and does not wait for a writer */
    assert_false(secret_read_file(secret, at("missing"), why));
    assert_non_null(strstr(why, "No such file"));
}

static void secret_is_one_line_of_1_to_255_characters(void **state)
{
    char long_secret[400], secret[SECRET_BYTES];

    (void)state;
    memset(long_secret, 'x', sizeof(long_secret));
    long_secret[256] = 0;
    put_file("s", long_secret, 0600);
    assert_false(secret_read_file(secret, at("s"), why));
    assert_non_null(strstr(why, "longer than 255"));
    assert_int_equal(secret[0], 0);
    long_secret[255] = '\n';
    put_file("s", long_secret, 0600);
    assert_true(secret_read_file(secret, at("s"), why));
    assert_int_equal(strlen(secret), 255);
    put_file("s", "", 0600);
    assert_false(secret_read_file(secret, at("s"), why));
    assert_non_null(strstr(why, "empty"));
    put_file("s", "\n", 0600);
    assert_false(secret_read_file(secret, at("s"), why));
    put_file("s", "one\ntwo\n", 0600);
    assert_false(secret_read_file(secret, at("s"), why));
    assert_non_null(strstr(why, "more than one line"));
}

static void unusual_length_is_advised_against(void **state)
{
    (void)state;
    put_file("s", "short", 0600);
    snprintf(lun.secret_file, sizeof(lun.secret_file), "%s", at("s"));
    assert_true(secrets_load(&secrets, &lun, why));
    assert_non_null(strstr(why, "5 characters; 12 to 16"));
}

static void a_closed_file_is_had_from_the_credential_of_its_name(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* every file of one's own can be opened, or closed by oneself */
    put_file("closed.secret", "of-root-alone", 0600);
    put_dir("credentials");
    put_file("credentials/closed.secret", "from-the-manager", 0444);
    snprintf(lun.secret_file, sizeof(lun.secret_file), "%s", at("closed.secret"));
    assert_int_equal(chmod(dir, 0755) | chmod(at("credentials"), 0755), 0);
    assert_int_equal(setresuid(65534, 65534, 0), 0);
    bool denied = !secrets_load(&secrets, &lun, why) && strstr(why, "Permission denied; chown");
    setenv("CREDENTIALS_DIRECTORY", at("credentials"), 1);
    bool loaded = secrets_load(&secrets, &lun, why);
    assert_int_equal(setresuid(0, 0, 0), 0);
    assert_true(denied);
    assert_true(loaded);
    assert_string_equal(secrets.secret, "from-the-manager");
    assert_true(secrets_load(&secrets, &lun, why));
    assert_string_equal(secrets.secret, "of-root-alone");
}

static void an_empty_credential_is_none(void **state)
{
    (void)state;
    put_file("chap-secret", "\n", 0440);
    setenv("CREDENTIALS_DIRECTORY", dir, 1);
    assert_false(secrets_load(&secrets, &lun, why));
    assert_non_null(strstr(why, "no secret for the CHAP user"));
}

static void credential_directory_is_used_when_no_file_is_named(void **state)
{
    (void)state;
    put_file("chap-secret", "from-the-manager", 0440);
    setenv("CREDENTIALS_DIRECTORY", dir, 1);
    assert_true(secrets_load(&secrets, &lun, why));
    assert_string_equal(secrets.secret, "from-the-manager");
}

static void user_without_secret_and_secret_without_user_are_refused(void **state)
{
    (void)state;
    assert_false(secrets_load(&secrets, &lun, why));
    assert_non_null(strstr(why, "no secret for the CHAP user \"me\""));
    put_file("s", "twelve-chars", 0600);
    snprintf(lun.secret_file, sizeof(lun.secret_file), "%s", at("s"));
    lun.address.user[0] = 0;
    assert_false(secrets_load(&secrets, &lun, why));
    assert_non_null(strstr(why, "no CHAP user"));
    lun.secret_file[0] = 0;
    assert_true(secrets_load(&secrets, &lun, why));
    assert_string_equal(secrets.secret, "");
}

static void mutual_chap_needs_two_different_secrets(void **state)
{
    (void)state;
    put_file("s", "twelve-chars", 0600);
    put_file("t", "twelve-other", 0600);
    snprintf(lun.secret_file, sizeof(lun.secret_file), "%s", at("s"));
    snprintf(lun.target_user, sizeof(lun.target_user), "target");
    assert_false(secrets_load(&secrets, &lun, why));
    assert_non_null(strstr(why, "target_secret_file"));
    snprintf(lun.target_secret_file, sizeof(lun.target_secret_file), "%s", at("s"));
    assert_false(secrets_load(&secrets, &lun, why));
    assert_non_null(strstr(why, "the same"));
    assert_string_equal(secrets.secret, "");
    assert_string_equal(secrets.target_secret, "");
    snprintf(lun.target_secret_file, sizeof(lun.target_secret_file), "%s", at("t"));
    assert_true(secrets_load(&secrets, &lun, why));
    assert_string_equal(secrets.target_secret, "twelve-other");
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    char command[64];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(one_url_is_enough, fresh),
        cmocka_unit_test_setup(the_example_shows_the_defaults, fresh),
        cmocka_unit_test_setup(every_key_arrives_in_its_place, fresh),
        cmocka_unit_test_setup(several_luns_take_the_defaults_of_the_top, fresh),
        cmocka_unit_test_setup(unknown_key_names_line_and_nearest_key, fresh),
        cmocka_unit_test_setup(unknown_key_in_a_lun_is_compared_with_keys_of_luns, fresh),
        cmocka_unit_test_setup(strange_key_lists_the_known_ones, fresh),
        cmocka_unit_test_setup(wrong_type_names_what_is_allowed, fresh),
        cmocka_unit_test_setup(numbers_outside_their_range_are_refused, fresh),
        cmocka_unit_test_setup(names_that_would_leave_their_directory_are_refused, fresh),
        cmocka_unit_test_setup(text_that_does_not_fit_is_refused, fresh),
        cmocka_unit_test_setup(short_serial_number_is_refused, fresh),
        cmocka_unit_test_setup(malformed_url_is_refused_with_its_reason, fresh),
        cmocka_unit_test_setup(host_is_a_row_of_the_table_or_auto, fresh),
        cmocka_unit_test_setup(anonymous_targets_of_scsipub_are_ephemeral, fresh),
        cmocka_unit_test_setup(a_cdrom_is_removable_and_read_only, fresh),
        cmocka_unit_test_setup(the_reservation_key_is_the_boards, fresh),
        cmocka_unit_test_setup(the_local_kernel_gets_a_fixed_disk, fresh),
        cmocka_unit_test_setup(what_is_for_usb_hosts_does_not_go_with_the_local_kernel, fresh),
        cmocka_unit_test_setup(a_fixed_disk_cannot_be_early, fresh),
        cmocka_unit_test_setup(url_and_luns_exclude_each_other, fresh),
        cmocka_unit_test_setup(lun_without_url_is_refused, fresh),
        cmocka_unit_test_setup(seventeen_luns_are_too_many, fresh),
        cmocka_unit_test_setup(include_is_refused, fresh),
        cmocka_unit_test_setup(syntax_error_names_its_line, fresh),
        cmocka_unit_test_setup(nothing_configured_says_what_to_give, fresh),
        cmocka_unit_test_setup(serial_is_stable_and_differs_between_disks, fresh),
        cmocka_unit_test_setup(file_errors_name_the_file, fresh),
        cmocka_unit_test(hash_is_sha256),
        cmocka_unit_test(board_is_its_serial_else_machine_id_else_address),
        cmocka_unit_test_setup(secret_comes_without_its_newline, fresh_secrets),
        cmocka_unit_test_setup(file_that_others_may_read_is_refused_with_the_fix, fresh_secrets),
        cmocka_unit_test_setup(directory_fifo_and_missing_file_are_refused, fresh_secrets),
        cmocka_unit_test_setup(secret_is_one_line_of_1_to_255_characters, fresh_secrets),
        cmocka_unit_test_setup(unusual_length_is_advised_against, fresh_secrets),
        cmocka_unit_test_setup(a_closed_file_is_had_from_the_credential_of_its_name, fresh_secrets),
        cmocka_unit_test_setup(an_empty_credential_is_none, fresh_secrets),
        cmocka_unit_test_setup(credential_directory_is_used_when_no_file_is_named, fresh_secrets),
        cmocka_unit_test_setup(user_without_secret_and_secret_without_user_are_refused,
                               fresh_secrets),
        cmocka_unit_test_setup(mutual_chap_needs_two_different_secrets, fresh_secrets),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
