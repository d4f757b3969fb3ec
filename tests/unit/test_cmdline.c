/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel command line, its ip= syntax and DHCP's root path. */
#include "boot/cmdline.h"
#include "boot/root_path.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define IQN "iqn.2025-01.pub.scsipub:image.pi4-debian"

static struct cmdline none; /* cmdline_init() */
static struct cmdline line;
static struct cmdline_problems problems;
static char out[CMDLINE_BYTES];

static int poison(void **state)
{
    (void)state;
    cmdline_init(&none);
    memset(&line, 0xa5, sizeof(line));
    memset(&problems, 0xa5, sizeof(problems));
    memset(out, 0xa5, sizeof(out));
    return 0;
}

static void accept(const char *text)
{
    poison(NULL);
    if (!cmdline_parse(text, &none, &line, &problems))
        fail_msg("%s: %s", text, problems.lines[0]);
    assert_int_equal(problems.count, 0);
}

/* One problem, which is said in exactly these words, and nothing is changed. */
static void refuse(const char *text, const char *problem)
{
    poison(NULL);
    assert_false(cmdline_parse(text, &none, &line, &problems));
    assert_int_equal(problems.count, 1);
    assert_string_equal(problems.lines[0], problem);
    assert_memory_equal(&line, &none, sizeof(line));
}

/* The same, said in one line that has `part` in it. */
static void refuse_part(const char *text, const char *part)
{
    poison(NULL);
    assert_false(cmdline_parse(text, &none, &line, &problems));
    assert_int_equal(problems.count, 1);
    if (strstr(problems.lines[0], part) == NULL)
        fail_msg("%s: \"%s\" does not say \"%s\"", text, problems.lines[0], part);
    assert_memory_equal(&line, &none, sizeof(line));
}

/* ---- the kernel's words ---- */

static void nothing_is_the_defaults(void **state)
{
    (void)state;
    accept("");
    assert_int_equal(line.mode, CMDLINE_MODE_NONE);
    assert_int_equal(line.targets.count, 0);
    assert_string_equal(line.portal.host, "");
    assert_int_equal(line.lun, -1);
    assert_int_equal(line.root.by, CMDLINE_ROOT_NONE);
    assert_int_equal(line.overlay, CMDLINE_OVERLAY_NONE);
    assert_int_equal(line.ip.method, CMDLINE_IP_ANY);
    assert_int_equal(line.timeout_s, 60);
    assert_int_equal(line.on_failure, CMDLINE_RETRY);
    assert_int_equal(line.kernel.access, CMDLINE_ACCESS_NONE);
}

static void words_of_the_field_are_read(void **state)
{
    (void)state;
    accept("console=serial0,115200 scsipub.mode=pivot_root scsipub.iqn=" IQN "\n");
    assert_int_equal(line.mode, CMDLINE_PIVOT_ROOT);
    assert_int_equal(line.targets.count, 1);
    assert_string_equal(line.targets.names[0], IQN);
}

static void words_of_others_are_passed_over(void **state)
{
    (void)state;
    accept("quiet splash ip=garbage rd.luks=0 scsipub lunstick= xlunstick.portal=x =x = \"\" "
           "usb-storage.quirks=1:2:u ro=1 rootwait");
    assert_memory_equal(&line, &none, sizeof(line));
}

static void quotes_around_a_value_hold_blanks(void **state)
{
    (void)state;
    accept("lunstick.root=\"LABEL=my disk\" lunstick.lun=1");
    assert_string_equal(line.root.name, "my disk");
    assert_int_equal(line.lun, 1);
}

static void quotes_around_a_word_hold_blanks(void **state)
{
    (void)state;
    accept("\"lunstick.root=LABEL=my disk\" lunstick.lun=1");
    assert_string_equal(line.root.name, "my disk");
    assert_int_equal(line.lun, 1);
}

static void quotes_in_the_middle_stay_and_hold_blanks(void **state)
{
    (void)state;
    accept("rootflags=a=\"b c\",d rw");
    assert_string_equal(line.kernel.flags, "a=\"b c\",d");
    assert_int_equal(line.kernel.access, CMDLINE_READ_WRITE);
    accept("rootflags=a=\"b c\"");
    assert_string_equal(line.kernel.flags, "a=\"b c\"");
}

static void words_in_the_quotes_of_others_are_not_ours(void **state)
{
    (void)state;
    accept("dyndbg=\"file x +p lunstick.lun=7 ro\" foo");
    assert_memory_equal(&line, &none, sizeof(line));
}

static void a_quote_that_is_never_closed_goes_to_the_end(void **state)
{
    (void)state;
    accept("lunstick.root=\"LABEL=my disk");
    assert_string_equal(line.root.name, "my disk");
    accept("init=\"");
    assert_string_equal(line.kernel.init, "");
}

static void blanks_are_the_kernels(void **state)
{
    (void)state;
    accept("\t lunstick.lun=3\r\nro\v\flunstick.vlan=4\xa0lunstick.timeout=5\n\n");
    assert_int_equal(line.lun, 3);
    assert_int_equal(line.kernel.access, CMDLINE_READ_ONLY);
    assert_int_equal(line.vlan, 4);
    assert_int_equal(line.timeout_s, 5);
}

static void dash_and_underscore_are_the_same_in_names(void **state)
{
    (void)state;
    accept("lunstick.secret_file=/s lunstick.on_failure=shell");
    assert_string_equal(line.secret_file, "/s");
    assert_int_equal(line.on_failure, CMDLINE_SHELL);
    refuse_part("scsipub.mode=usb_disk", "did you mean usb-disk?");
}

static void what_follows_two_dashes_is_for_init(void **state)
{
    (void)state;
    accept("lunstick.lun=1 -- lunstick.lun=2 lunstick.bogus=1");
    assert_int_equal(line.lun, 1);
}

static void the_last_of_equal_words_counts(void **state)
{
    (void)state;
    accept("lunstick.lun=1 lunstick.portal=a:1 ro lunstick.lun=2 rw lunstick.portal=b");
    assert_int_equal(line.lun, 2);
    assert_string_equal(line.portal.host, "b");
    assert_int_equal(line.portal.port, 3260);
    assert_int_equal(line.kernel.access, CMDLINE_READ_WRITE);
}

/* ---- values ---- */

static void all_modes_are_known(void **state)
{
    (void)state;
    accept("scsipub.mode=kexec");
    assert_int_equal(line.mode, CMDLINE_KEXEC);
    accept("scsipub.mode=usb-disk");
    assert_int_equal(line.mode, CMDLINE_USB_DISK);
    refuse("scsipub.mode=kexc",
           "scsipub.mode=kexc; allowed: pivot_root, kexec, usb-disk; did you mean kexec?");
    refuse("scsipub.mode=", "scsipub.mode=: it has no value; allowed: pivot_root, kexec, usb-disk");
    refuse("scsipub.mode", "scsipub.mode=: it has no value; allowed: pivot_root, kexec, usb-disk");
}

static void several_targets_are_kept_in_their_order(void **state)
{
    (void)state;
    accept("scsipub.iqn=iqn.2026-01.test:b scsipub.iqn=iqn.2026-01.test:a scsipub.iqn=eui.1");
    assert_int_equal(line.targets.count, 3);
    assert_string_equal(line.targets.names[0], "iqn.2026-01.test:b");
    assert_string_equal(line.targets.names[1], "iqn.2026-01.test:a");
    assert_string_equal(line.targets.names[2], "eui.1");
}

static void a_target_too_many_is_told_and_the_others_stay(void **state)
{
    (void)state;
    poison(NULL);
    assert_false(cmdline_parse("scsipub.iqn=eui.1 scsipub.iqn=eui.2 scsipub.iqn=eui.3 "
                               "scsipub.iqn=eui.4 scsipub.iqn=eui.5 scsipub.iqn=eui.6 "
                               "scsipub.iqn=eui.7 scsipub.iqn=eui.8 scsipub.iqn=eui.9",
                               &none, &line, &problems));
    assert_int_equal(line.targets.count, CMDLINE_TARGETS_MAX);
    assert_string_equal(line.targets.names[7], "eui.8");
    assert_int_equal(problems.count, 1);
    assert_non_null(strstr(problems.lines[0], "scsipub.iqn=eui.9: one target too many"));
}

static void wrong_target_names_are_refused(void **state)
{
    (void)state;
    refuse("scsipub.iqn=disk",
           "scsipub.iqn=disk: target name 'disk' does not begin with iqn., eui. or naa.; allowed: "
           "an iqn., eui. or naa. name of at most 223 characters");
    refuse_part("scsipub.iqn=iqn.2026-01.test:a/0", "no iSCSI name has");
}

static void portals_are_hosts_and_addresses(void **state)
{
    (void)state;
    accept("lunstick.portal=disks.example:861");
    assert_string_equal(line.portal.host, "disks.example");
    assert_int_equal(line.portal.port, 861);
    accept("lunstick.portal=[2001:db8::1]");
    assert_string_equal(line.portal.host, "2001:db8::1");
    assert_int_equal(line.portal.port, 3260);
    refuse_part("lunstick.portal=2001:db8::1", "in brackets");
    refuse("lunstick.portal=disks:0", "lunstick.portal=: port '0' is not a number from 1 to 65535; "
                                      "allowed: host[:port], an IPv6 address in brackets");
}

static void luns_are_numbers(void **state)
{
    (void)state;
    accept("lunstick.lun=16383");
    assert_int_equal(line.lun, 16383);
    refuse("lunstick.lun=16384", "lunstick.lun=16384; allowed: 0 to 16383");
    refuse_part("lunstick.lun=-1", "0 to 16383");
    refuse_part("lunstick.lun=1x", "0 to 16383");
    refuse_part("lunstick.lun=99999999999999999999", "0 to 16383");
}

static void a_secret_is_never_repeated(void **state)
{
    static const char *const texts[] = {
        "lunstick.user=joe%hush",        "lunstick.user=joe:hush", "lunstick.secret-file=hush",
        "lunstick.portal=joe%hush@host", "lunstick.secret=hush",   "lunstick.password=hush",
        "\"lunstick.user=joe hush\"",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        refuse_part(texts[i], "lunstick.");
        assert_null(strstr(problems.lines[0], "hush"));
    }
}

static void user_and_secret_file_are_read(void **state)
{
    (void)state;
    accept("lunstick.user=joe lunstick.secret-file=/etc/lunstick/secret");
    assert_string_equal(line.user, "joe");
    assert_string_equal(line.secret_file, "/etc/lunstick/secret");
}

/* "?" as well: found by the fuzzer. */
static void a_user_that_no_url_can_hold_is_refused(void **state)
{
    static const char *const texts[] = {"lunstick.user=a?b", "lunstick.user=a/b",
                                        "lunstick.user=a@b"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        refuse_part(texts[i], "a CHAP name");
}

static void roots_are_found_by_four_means(void **state)
{
    (void)state;
    accept("lunstick.root=LABEL=rootfs");
    assert_int_equal(line.root.by, CMDLINE_ROOT_LABEL);
    assert_string_equal(line.root.name, "rootfs");
    accept("lunstick.root=UUID=0c69-1B");
    assert_int_equal(line.root.by, CMDLINE_ROOT_UUID);
    assert_string_equal(line.root.name, "0c69-1B");
    accept("lunstick.root=PARTUUID=738a4d67-02");
    assert_int_equal(line.root.by, CMDLINE_ROOT_PARTUUID);
    assert_string_equal(line.root.name, "738a4d67-02");
    accept("lunstick.root=2");
    assert_int_equal(line.root.by, CMDLINE_ROOT_NUMBER);
    assert_int_equal(line.root.number, 2);
    assert_string_equal(line.root.name, "");
    refuse("lunstick.root=/dev/sda2", "lunstick.root=/dev/sda2; allowed: LABEL=, UUID=, PARTUUID= "
                                      "or the partition's number, 1 to 128");
    refuse_part("lunstick.root=/dev/disk/by-label/rootfs", "allowed");
    refuse_part("lunstick.root=LABEL=", "allowed");
    refuse_part("lunstick.root=UUID=xyz", "allowed");
    refuse_part("lunstick.root=0", "allowed");
}

static void overlay_is_tmpfs_or_none(void **state)
{
    (void)state;
    accept("lunstick.overlay=tmpfs");
    assert_int_equal(line.overlay, CMDLINE_OVERLAY_TMPFS);
    accept("lunstick.overlay=tmpfs lunstick.overlay=none");
    assert_int_equal(line.overlay, CMDLINE_OVERLAY_NONE);
    refuse("lunstick.overlay=tmpf",
           "lunstick.overlay=tmpf; allowed: tmpfs, none; did you mean tmpfs?");
}

static void all_on_failure_words_are_known(void **state)
{
    (void)state;
    accept("lunstick.on-failure=next-target");
    assert_int_equal(line.on_failure, CMDLINE_NEXT_TARGET);
    accept("lunstick.on-failure=reboot");
    assert_int_equal(line.on_failure, CMDLINE_REBOOT);
    refuse("lunstick.on-failure=rebot",
           "lunstick.on-failure=rebot; allowed: retry, shell, reboot, next-target; did you mean "
           "reboot?");
}

static void vlan_and_timeout_have_their_bounds(void **state)
{
    (void)state;
    accept("lunstick.vlan=4094 lunstick.timeout=86400");
    assert_int_equal(line.vlan, 4094);
    assert_int_equal(line.timeout_s, 86400);
    refuse("lunstick.vlan=4095", "lunstick.vlan=4095; allowed: 1 to 4094");
    refuse("lunstick.timeout=0", "lunstick.timeout=0; allowed: 1 to 86400 (seconds)");
}

static void interfaces_are_names(void **state)
{
    (void)state;
    accept("lunstick.iface=enxb827eb000001");
    assert_string_equal(line.interface, "enxb827eb000001");
    refuse_part("lunstick.iface=sixteen-letters0", "an interface's name");
    refuse_part("lunstick.iface=..", "an interface's name");
    refuse_part("lunstick.iface=a/b", "an interface's name");
}

static void the_longest_values_are_taken_and_longer_ones_told(void **state)
{
    char text[1024];

    (void)state;
    snprintf(text, sizeof(text), "lunstick.user=%0255d", 0);
    accept(text);
    assert_int_equal(strlen(line.user), 255);
    snprintf(text, sizeof(text), "lunstick.user=%0256d", 0);
    refuse_part(text, "at most 255");
    snprintf(text, sizeof(text), "init=/%0255d", 0);
    refuse_part(text, "at most 255");
    snprintf(text, sizeof(text), "lunstick.root=LABEL=%0256d", 0);
    refuse_part(text, "allowed");
    snprintf(text, sizeof(text), "lunstick.root=LABEL=%0800d", 0);
    refuse_part(text, "too long");
}

static void control_characters_and_quotes_are_refused(void **state)
{
    (void)state;
    refuse_part("lunstick.root=\"LABEL=a\tb\"", "a control character");
    assert_non_null(strstr(problems.lines[0], "LABEL=a?b"));
    refuse_part("lunstick.root=LABEL=a\"b\"", "a quotation mark");
}

/* ---- the kernel's own words ---- */

static void the_kernels_words_are_read(void **state)
{
    (void)state;
    accept("root=PARTUUID=738a4d67-02 rootfstype=btrfs rootflags=subvol=@ init=/bin/sh");
    assert_int_equal(line.kernel.root.by, CMDLINE_ROOT_PARTUUID);
    assert_string_equal(line.kernel.root.name, "738a4d67-02");
    assert_string_equal(line.kernel.type, "btrfs");
    assert_string_equal(line.kernel.flags, "subvol=@");
    assert_string_equal(line.kernel.init, "/bin/sh");
    assert_int_equal(line.root.by, CMDLINE_ROOT_NONE);
}

static void the_partition_of_a_device_name_is_known(void **state)
{
    static const struct {
        const char *text;
        int number;
    } cases[] = {
        {"root=/dev/mmcblk0p2", 2}, {"root=/dev/sda12", 12},  {"root=/dev/nvme0n1p3", 3},
        {"root=/dev/xvdb1", 1},     {"root=/dev/mmcblk1", 0}, {"root=/dev/sda", 0},
        {"root=/dev/nbd0p1", 1},    {"root=/dev/md0", 0},     {"root=/dev/sda0", 0},
        {"root=/dev/sda999", 0},    {"root=sda1", 0},         {"root=/dev/mapper/vg-sd1", 0},
        {"root=b302", 0},           {"root=/dev/sd1", 0},     {"root=/dev/", 0},
        {"root=/dev/rootp2", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        accept(cases[i].text);
        assert_int_equal(line.kernel.root.by, CMDLINE_ROOT_OTHER);
        assert_int_equal(line.kernel.root.number, cases[i].number);
        assert_string_equal(line.kernel.root.name, cases[i].text + strlen("root="));
    }
}

static void links_by_name_are_the_name(void **state)
{
    (void)state;
    accept("root=/dev/disk/by-label/rootfs");
    assert_int_equal(line.kernel.root.by, CMDLINE_ROOT_LABEL);
    assert_string_equal(line.kernel.root.name, "rootfs");
    accept("root=/dev/disk/by-partuuid/738a4d67-02");
    assert_int_equal(line.kernel.root.by, CMDLINE_ROOT_PARTUUID);
    accept("root=/dev/disk/by-uuid/a-b");
    assert_int_equal(line.kernel.root.by, CMDLINE_ROOT_UUID);
}

static void other_roots_are_kept_as_they_are(void **state)
{
    (void)state;
    accept("root=PARTUUID=738a4d67-02/PARTNROFF=1");
    assert_int_equal(line.kernel.root.by, CMDLINE_ROOT_OTHER);
    assert_string_equal(line.kernel.root.name, "PARTUUID=738a4d67-02/PARTNROFF=1");
    assert_int_equal(line.kernel.root.number, 0);
}

/* ---- problems ---- */

static void an_unknown_word_is_told_with_the_nearest(void **state)
{
    (void)state;
    refuse("lunstick.protal=x", "unknown word lunstick.protal; did you mean lunstick.portal?");
    refuse("scsipub.portal=x", "unknown word scsipub.portal; did you mean lunstick.portal?");
    refuse("lunstick.iqn=x", "unknown word lunstick.iqn; did you mean scsipub.iqn?");
    refuse("lunstick.on-fail", "unknown word lunstick.on-fail; did you mean lunstick.on-failure?");
}

static void an_unknown_word_that_is_near_none_is_told_with_all(void **state)
{
    (void)state;
    refuse("lunstick.reformat=1",
           "unknown word lunstick.reformat; known: scsipub.mode, scsipub.iqn, lunstick.portal, "
           "lunstick.lun, lunstick.user, lunstick.secret-file, lunstick.root, lunstick.overlay, "
           "lunstick.iface, lunstick.ip, lunstick.vlan, lunstick.timeout, lunstick.on-failure");
}

static void several_problems_are_all_told_in_their_order(void **state)
{
    (void)state;
    poison(NULL);
    assert_false(cmdline_parse("lunstick.lun=x quiet lunstick.foobar lunstick.vlan=0 "
                               "lunstick.timeout=5",
                               &none, &line, &problems));
    assert_int_equal(problems.count, 3);
    assert_int_equal(problems.more, 0);
    assert_non_null(strstr(problems.lines[0], "lunstick.lun=x"));
    assert_non_null(strstr(problems.lines[1], "lunstick.foobar"));
    assert_non_null(strstr(problems.lines[2], "lunstick.vlan=0"));
    assert_int_equal(line.timeout_s, 5);
}

static void problems_without_room_are_counted(void **state)
{
    char text[512] = "";

    (void)state;
    poison(NULL);
    for (int i = 0; i < CMDLINE_PROBLEMS_MAX + 3; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "lunstick.lun=x ");
    assert_false(cmdline_parse(text, &none, &line, &problems));
    assert_int_equal(problems.count, CMDLINE_PROBLEMS_MAX);
    assert_int_equal(problems.more, 3);
}

static void a_wrong_word_leaves_the_right_one_before_it(void **state)
{
    (void)state;
    poison(NULL);
    assert_false(cmdline_parse("lunstick.lun=3 lunstick.lun=x", &none, &line, &problems));
    assert_int_equal(line.lun, 3);
}

/* ---- the builder's defaults ---- */

static void words_go_over_the_builders_defaults(void **state)
{
    struct cmdline builder;

    (void)state;
    accept("lunstick.portal=disks scsipub.mode=kexec scsipub.iqn=eui.1 scsipub.iqn=eui.2");
    memcpy(&builder, &line, sizeof(builder));
    assert_true(
        cmdline_parse("scsipub.iqn=eui.3 scsipub.mode=usb-disk", &builder, &line, &problems));
    assert_string_equal(line.portal.host, "disks");
    assert_int_equal(line.mode, CMDLINE_USB_DISK);
    assert_int_equal(line.targets.count, 1);
    assert_string_equal(line.targets.names[0], "eui.3");
    assert_string_equal(line.targets.names[1], "");
}

static void the_builders_targets_stay_without_a_word(void **state)
{
    struct cmdline builder;

    (void)state;
    accept("scsipub.iqn=eui.1 scsipub.iqn=eui.2");
    memcpy(&builder, &line, sizeof(builder));
    assert_true(cmdline_parse("quiet", &builder, &line, &problems));
    assert_int_equal(line.targets.count, 2);
}

/* ---- ip= ---- */

static void methods_stand_alone(void **state)
{
    static const struct {
        const char *text;
        enum cmdline_ip_method method;
    } cases[] = {
        {"lunstick.ip=dhcp", CMDLINE_IP_DHCP}, {"lunstick.ip=any", CMDLINE_IP_ANY},
        {"lunstick.ip=on", CMDLINE_IP_ANY},    {"lunstick.ip=off", CMDLINE_IP_OFF},
        {"lunstick.ip=none", CMDLINE_IP_OFF},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        accept(cases[i].text);
        assert_int_equal(line.ip.method, cases[i].method);
    }
    refuse_part("lunstick.ip=dhpc", "client-ip 'dhpc' is no address");
    refuse_part("lunstick.ip=rarp", "allowed: dhcp, any, on, off, none or client:server:");
}

static void all_fields_of_ipv4_are_read(void **state)
{
    (void)state;
    accept("lunstick.ip=192.0.2.2:192.0.2.9:192.0.2.1:255.255.255.128:pi-1.lab:eth0:off:192.0.2.3:"
           "192.0.2.4:192.0.2.5");
    assert_int_equal(line.ip.method, CMDLINE_IP_STATIC);
    assert_string_equal(line.ip.client, "192.0.2.2");
    assert_string_equal(line.ip.gateway, "192.0.2.1");
    assert_int_equal(line.ip.prefix_bits, 25);
    assert_string_equal(line.ip.hostname, "pi-1.lab");
    assert_string_equal(line.interface, "eth0");
    assert_string_equal(line.ip.dns[0], "192.0.2.3");
    assert_string_equal(line.ip.dns[1], "192.0.2.4");
}

static void ipv6_stands_in_brackets(void **state)
{
    (void)state;
    accept("lunstick.ip=[2001:db8::2]::[fe80::1]:56::end0::[2001:db8::3]");
    assert_int_equal(line.ip.method, CMDLINE_IP_STATIC);
    assert_string_equal(line.ip.client, "2001:db8::2");
    assert_string_equal(line.ip.gateway, "fe80::1");
    assert_int_equal(line.ip.prefix_bits, 56);
    assert_string_equal(line.interface, "end0");
    assert_string_equal(line.ip.dns[0], "2001:db8::3");
    refuse_part("lunstick.ip=2001:db8::2", "in brackets");
    refuse_part("lunstick.ip=[192.0.2.1]", "is no address");
    refuse_part("lunstick.ip=[2001:db8::2", "is no address");
}

static void netmasks_are_masks_or_lengths(void **state)
{
    (void)state;
    accept("lunstick.ip=10.0.0.2:::24");
    assert_int_equal(line.ip.prefix_bits, 24);
    accept("lunstick.ip=10.0.0.2:::255.255.255.255");
    assert_int_equal(line.ip.prefix_bits, 32);
    refuse_part("lunstick.ip=10.0.0.2:::255.0.255.0", "neither a netmask nor a prefix length");
    refuse_part("lunstick.ip=10.0.0.2:::33", "neither");
    refuse_part("lunstick.ip=10.0.0.2:::0.0.0.0", "neither");
    refuse_part("lunstick.ip=[2001:db8::2]:::255.255.255.0", "no prefix length from 1 to 128");
    refuse_part("lunstick.ip=[2001:db8::2]:::129", "no prefix length from 1 to 128");
}

static void a_netmask_follows_from_the_client(void **state)
{
    (void)state;
    accept("lunstick.ip=10.0.0.2");
    assert_int_equal(line.ip.prefix_bits, 8);
    accept("lunstick.ip=172.16.0.2");
    assert_int_equal(line.ip.prefix_bits, 16);
    accept("lunstick.ip=192.168.0.2");
    assert_int_equal(line.ip.prefix_bits, 24);
    accept("lunstick.ip=[2001:db8::2]");
    assert_int_equal(line.ip.prefix_bits, 64);
}

static void autoconf_counts_without_an_address(void **state)
{
    (void)state;
    accept("lunstick.ip=::::pi-1:eth1:dhcp");
    assert_int_equal(line.ip.method, CMDLINE_IP_DHCP);
    assert_string_equal(line.ip.hostname, "pi-1");
    assert_string_equal(line.interface, "eth1");
    accept("lunstick.ip=:::::eth1:off");
    assert_int_equal(line.ip.method, CMDLINE_IP_OFF);
    accept("lunstick.ip=0.0.0.0:::::eth1:dhcp");
    assert_int_equal(line.ip.method, CMDLINE_IP_DHCP);
    accept("lunstick.ip=192.0.2.2::::::dhcp");
    assert_int_equal(line.ip.method, CMDLINE_IP_STATIC);
    refuse_part("lunstick.ip=::::::bootp", "autoconf 'bootp' is none of dhcp, any, on, off, none");
}

static void the_later_interface_counts(void **state)
{
    (void)state;
    accept("lunstick.ip=:::::eth1:dhcp lunstick.iface=eth0");
    assert_string_equal(line.interface, "eth0");
    accept("lunstick.iface=eth0 lunstick.ip=:::::eth1:dhcp");
    assert_string_equal(line.interface, "eth1");
    accept("lunstick.iface=eth0 lunstick.ip=dhcp");
    assert_string_equal(line.interface, "eth0");
}

static void wrong_fields_are_named(void **state)
{
    (void)state;
    refuse_part("lunstick.ip=192.0.2.2:192.0.2", "server-ip '192.0.2' is no address");
    refuse_part("lunstick.ip=192.0.2.2::[fe80::1]", "not of the same family");
    refuse_part("lunstick.ip=192.0.2.2::::a_b!", "hostname 'a_b!' has a character");
    refuse_part("lunstick.ip=192.0.2.2:::::a/b", "device 'a/b' is no interface's name");
    refuse_part("lunstick.ip=192.0.2.2::::::::x", "dns1-ip 'x' is no address");
    refuse_part("lunstick.ip=192.0.2.2:::::::::x", "ntp0-ip 'x' is no address");
    refuse_part("lunstick.ip=192.0.2.2::::::::::", "more than 10 fields");
    refuse_part("lunstick.ip=224.0.0.1", "client-ip '224.0.0.1' is no host's address");
    refuse_part("lunstick.ip=[ff02::1]", "no host's address");
}

/* ---- DHCP's root path ---- */

static struct address address;
static char why[ADDRESS_WHY_BYTES];

static void root_path(const char *text)
{
    memset(&address, 0xa5, sizeof(address));
    if (!root_path_parse(text, &address, why))
        fail_msg("%s: %s", text, why);
}

static void refuse_root_path(const char *text, const char *part)
{
    static const struct address zero;

    memset(&address, 0xa5, sizeof(address));
    assert_false(root_path_parse(text, &address, why));
    if (strstr(why, part) == NULL)
        fail_msg("%s: \"%s\" does not say \"%s\"", text, why, part);
    assert_memory_equal(&address, &zero, sizeof(zero));
}

static void a_root_path_has_five_parts(void **state)
{
    (void)state;
    root_path("iscsi:disks.example:6:861:1:iqn.2026-01.test:a:b");
    assert_string_equal(address.host, "disks.example");
    assert_int_equal(address.port, 861);
    assert_int_equal(address.lun, 1);
    assert_string_equal(address.iqn, "iqn.2026-01.test:a:b");
    assert_string_equal(address.user, "");
}

static void parts_of_a_root_path_have_defaults(void **state)
{
    (void)state;
    root_path("iscsi:192.0.2.1::::iqn.2026-01.test:a");
    assert_int_equal(address.port, 3260);
    assert_int_equal(address.lun, 0);
    root_path("iscsi:::::iqn.2026-01.test:a");
    assert_string_equal(address.host, "");
    assert_int_equal(address.port, 3260);
    assert_string_equal(address.iqn, "iqn.2026-01.test:a");
}

static void a_root_paths_server_may_be_ipv6(void **state)
{
    (void)state;
    root_path("iscsi:[2001:db8::1]::861::iqn.2026-01.test:a");
    assert_string_equal(address.host, "2001:db8::1");
    assert_int_equal(address.port, 861);
    refuse_root_path("iscsi:[2001:db8::1:::0:iqn.2026-01.test:a", "a part is missing");
}

static void a_root_paths_lun_is_hexadecimal(void **state)
{
    (void)state;
    root_path("iscsi:h:::10:eui.1");
    assert_int_equal(address.lun, 16);
    root_path("iscsi:h:::00fF-0-0000-0:eui.1");
    assert_int_equal(address.lun, 255);
    root_path("iscsi:h:::4100:eui.1"); /* flat space addressing */
    assert_int_equal(address.lun, 256);
    root_path("iscsi:h:::7FFF:eui.1");
    assert_int_equal(address.lun, 16383);
    refuse_root_path("iscsi:h:::1-1:eui.1", "single level");
    refuse_root_path("iscsi:h:::0100:eui.1", "single level");
    refuse_root_path("iscsi:h:::8000:eui.1", "single level");
    refuse_root_path("iscsi:h:::12345:eui.1", "groups of hexadecimal digits");
    refuse_root_path("iscsi:h:::x:eui.1", "groups of hexadecimal digits");
    refuse_root_path("iscsi:h:::1-:eui.1", "groups of hexadecimal digits");
    refuse_root_path("iscsi:h:::0-0-0-0-0:eui.1", "groups of hexadecimal digits");
}

static void wrong_root_paths_are_named(void **state)
{
    (void)state;
    refuse_root_path("192.0.2.1:/srv/nfs", "does not begin with iscsi:");
    refuse_root_path("", "does not begin with iscsi:");
    refuse_root_path("iscsi:h:17:::eui.1", "protocol '17' is not 6");
    refuse_root_path("iscsi:h::99999::eui.1", "port '99999'");
    refuse_root_path("iscsi:h:::", "a part is missing");
    refuse_root_path("iscsi:h::::", "target's name is missing");
    refuse_root_path("iscsi:h::::disk", "iqn., eui. or naa.");
    refuse_root_path("iscsi:a b::::eui.1", "no host name has");
}

static void a_secret_in_a_root_path_is_not_repeated(void **state)
{
    (void)state;
    refuse_root_path("iscsi:joe:hush@h::::eui.1", "without a user");
    assert_null(strstr(why, "hush"));
}

/* ---- where the target is ---- */

static enum cmdline_portal_from find(const char *text, const struct cmdline *builder,
                                     const char *path, const char *tftp)
{
    struct address from_dhcp;

    poison(NULL);
    assert_true(cmdline_parse(text, builder, &line, &problems));
    if (path != NULL)
        assert_true(root_path_parse(path, &from_dhcp, why));
    memset(&address, 0xa5, sizeof(address));
    return cmdline_address(&line, builder, 0, path != NULL ? &from_dhcp : NULL, tftp, &address);
}

static void the_portal_comes_from_the_first_that_knows_it(void **state)
{
    struct cmdline builder;

    (void)state;
    accept("lunstick.portal=[2001:db8::1]:861");
    memcpy(&builder, &line, sizeof(builder));
    assert_int_equal(find("lunstick.portal=word", &builder, "iscsi:dhcp::::eui.2", "192.0.2.9"),
                     CMDLINE_PORTAL_WORD);
    assert_string_equal(address.host, "word");
    assert_int_equal(find("", &builder, "iscsi:dhcp::::eui.2", "192.0.2.9"),
                     CMDLINE_PORTAL_BUILDER);
    assert_string_equal(address.host, "2001:db8::1");
    assert_int_equal(address.port, 861);
    assert_int_equal(find("", &none, "iscsi:dhcp::862::eui.2", "192.0.2.9"),
                     CMDLINE_PORTAL_ROOT_PATH);
    assert_string_equal(address.host, "dhcp");
    assert_int_equal(address.port, 862);
    assert_int_equal(find("", &none, NULL, "192.0.2.9"), CMDLINE_PORTAL_TFTP);
    assert_string_equal(address.host, "192.0.2.9");
    assert_int_equal(address.port, 3260);
    assert_int_equal(find("", &none, "iscsi:::::eui.2", "192.0.2.9"), CMDLINE_PORTAL_TFTP);
    assert_int_equal(find("", &none, NULL, NULL), CMDLINE_PORTAL_UNKNOWN);
    assert_string_equal(address.host, "");
}

static void the_root_paths_target_is_taken_if_no_word_names_one(void **state)
{
    (void)state;
    find("", &none, "iscsi:h:::5:eui.2", NULL);
    assert_string_equal(address.iqn, "eui.2");
    assert_int_equal(address.lun, 5);
    find("scsipub.iqn=eui.1", &none, "iscsi:h:::5:eui.2", NULL);
    assert_string_equal(address.iqn, "eui.1");
    assert_int_equal(address.lun, 0);
    find("scsipub.iqn=eui.2", &none, "iscsi:h:::5:eui.2", NULL);
    assert_int_equal(address.lun, 5);
    find("lunstick.lun=0", &none, "iscsi:h:::5:eui.2", NULL);
    assert_int_equal(address.lun, 0);
}

static void each_target_has_its_address_and_the_next_has_none(void **state)
{
    (void)state;
    find("scsipub.iqn=eui.1 scsipub.iqn=eui.2 lunstick.user=joe lunstick.lun=3", &none, NULL, "h");
    assert_string_equal(address.iqn, "eui.1");
    assert_string_equal(address.user, "joe");
    assert_int_equal(address.lun, 3);
    assert_false(address.header_digest);
    cmdline_address(&line, &none, 1, NULL, "h", &address);
    assert_string_equal(address.iqn, "eui.2");
    cmdline_address(&line, &none, 2, NULL, "h", &address);
    assert_string_equal(address.iqn, "");
}

/* ---- the image's kernel ---- */

#define EVERYTHING                                                                                 \
    "scsipub.mode=pivot_root scsipub.iqn=eui.1 scsipub.iqn=eui.2 "                                 \
    "lunstick.portal=[2001:db8::1]:861 "                                                           \
    "lunstick.lun=3 lunstick.user=joe lunstick.secret-file=/s lunstick.root=\"LABEL=my disk\" "    \
    "lunstick.overlay=tmpfs lunstick.iface=eth0 "                                                  \
    "lunstick.ip=192.0.2.2::192.0.2.1:24:pi-1::off:: lunstick.vlan=7 lunstick.timeout=9 "          \
    "lunstick.on-failure=shell"

static void our_words_are_printed_as_they_are_read(void **state)
{
    (void)state;
    accept(EVERYTHING);
    assert_int_equal(cmdline_for_image(&line, &none, "", out, sizeof(out)), strlen(EVERYTHING));
    assert_string_equal(out, EVERYTHING);
}

static void what_the_builder_says_is_left_out(void **state)
{
    struct cmdline builder;

    (void)state;
    accept("lunstick.portal=disks lunstick.overlay=tmpfs lunstick.timeout=5 lunstick.ip=off");
    memcpy(&builder, &line, sizeof(builder));
    assert_true(cmdline_parse("lunstick.overlay=none lunstick.ip=any scsipub.iqn=eui.1", &builder,
                              &line, &problems));
    cmdline_for_image(&line, &builder, "", out, sizeof(out));
    assert_string_equal(out, "scsipub.iqn=eui.1 lunstick.overlay=none lunstick.ip=any");
}

static void the_images_words_follow_ours_unchanged(void **state)
{
    (void)state;
    accept("lunstick.lun=3 root=/dev/sda1");
    cmdline_for_image(&line, &none,
                      "console=tty1  root=PARTUUID=738a4d67-02\tfoo=\"a  b\" rw\nquiet\n", out,
                      sizeof(out));
    assert_string_equal(
        out, "lunstick.lun=3 console=tty1 root=PARTUUID=738a4d67-02 foo=\"a  b\" rw quiet");
}

static void nr_cpus_and_our_words_are_taken_from_the_image(void **state)
{
    (void)state;
    accept("lunstick.lun=3");
    cmdline_for_image(
        &line, &none,
        "nr_cpus=1 a scsipub.mode=kexec \"lunstick.root=LABEL=x y\" lunstick.nonsense "
        "nr-cpus=2 nr_cpus b maxcpus=2 \"nr_cpus=3\"",
        out, sizeof(out));
    assert_string_equal(out, "lunstick.lun=3 a b maxcpus=2");
}

static void neither_an_open_quote_nor_two_dashes_hide_our_words(void **state)
{
    (void)state;
    accept("lunstick.lun=3");
    cmdline_for_image(&line, &none, "a -- lunstick.lun=4 nr_cpus=1 \"b c", out, sizeof(out));
    assert_string_equal(out, "lunstick.lun=3 a -- lunstick.lun=4 nr_cpus=1 \"b c");
    assert_true(cmdline_parse(out, &none, &line, &problems));
    assert_int_equal(line.lun, 3);
}

static void what_does_not_fit_is_refused_and_not_cut(void **state)
{
    char small[23];

    (void)state;
    accept("lunstick.lun=3");
    assert_int_equal(cmdline_for_image(&line, &none, "quiet r", small, 23), 22);
    assert_string_equal(small, "lunstick.lun=3 quiet r");
    assert_int_equal(cmdline_for_image(&line, &none, "quiet ro", small, 23), -E2BIG);
    assert_string_equal(small, "");
    assert_int_equal(cmdline_for_image(&line, &none, "", small, 14), -E2BIG);
    assert_int_equal(cmdline_for_image(&line, &none, "", small, 0), -E2BIG);
}

#define TEST(function) cmocka_unit_test_setup(function, poison)

/* What DHCP said, or the second of several targets, becomes words. */
static void the_target_in_use_is_the_only_one(void **state)
{
    struct cmdline again;
    struct address found;

    (void)state;
    accept("scsipub.mode=kexec scsipub.iqn=iqn.2025-01.pub:a scsipub.iqn=iqn.2025-01.pub:b "
           "lunstick.user=me lunstick.vlan=4");
    assert_true(address_parse("iscsi://[2001:db8::1]:3261/" IQN "/2", &address, why));
    cmdline_set_target(&line, &address);
    assert_true(cmdline_for_image(&line, &none, "", out, sizeof(out)) > 0);
    memset(&again, 0xa5, sizeof(again));
    assert_true(cmdline_parse(out, &none, &again, &problems));
    assert_memory_equal(&line, &again, sizeof(line));
    assert_int_equal(cmdline_address(&again, &none, 0, NULL, NULL, &found), CMDLINE_PORTAL_WORD);
    assert_string_equal(found.host, "2001:db8::1");
    assert_int_equal(found.port, 3261);
    assert_string_equal(found.iqn, IQN);
    assert_int_equal(found.lun, 2);
    assert_string_equal(found.user, "me");
    assert_int_equal(again.targets.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_the_defaults),
        TEST(words_of_the_field_are_read),
        TEST(words_of_others_are_passed_over),
        TEST(quotes_around_a_value_hold_blanks),
        TEST(quotes_around_a_word_hold_blanks),
        TEST(quotes_in_the_middle_stay_and_hold_blanks),
        TEST(words_in_the_quotes_of_others_are_not_ours),
        TEST(a_quote_that_is_never_closed_goes_to_the_end),
        TEST(blanks_are_the_kernels),
        TEST(dash_and_underscore_are_the_same_in_names),
        TEST(what_follows_two_dashes_is_for_init),
        TEST(the_last_of_equal_words_counts),
        TEST(all_modes_are_known),
        TEST(several_targets_are_kept_in_their_order),
        TEST(a_target_too_many_is_told_and_the_others_stay),
        TEST(wrong_target_names_are_refused),
        TEST(portals_are_hosts_and_addresses),
        TEST(luns_are_numbers),
        TEST(a_secret_is_never_repeated),
        TEST(user_and_secret_file_are_read),
        TEST(a_user_that_no_url_can_hold_is_refused),
        TEST(roots_are_found_by_four_means),
        TEST(overlay_is_tmpfs_or_none),
        TEST(all_on_failure_words_are_known),
        TEST(vlan_and_timeout_have_their_bounds),
        TEST(interfaces_are_names),
        TEST(the_longest_values_are_taken_and_longer_ones_told),
        TEST(control_characters_and_quotes_are_refused),
        TEST(the_kernels_words_are_read),
        TEST(the_partition_of_a_device_name_is_known),
        TEST(links_by_name_are_the_name),
        TEST(other_roots_are_kept_as_they_are),
        TEST(an_unknown_word_is_told_with_the_nearest),
        TEST(an_unknown_word_that_is_near_none_is_told_with_all),
        TEST(several_problems_are_all_told_in_their_order),
        TEST(problems_without_room_are_counted),
        TEST(a_wrong_word_leaves_the_right_one_before_it),
        TEST(words_go_over_the_builders_defaults),
        TEST(the_builders_targets_stay_without_a_word),
        TEST(methods_stand_alone),
        TEST(all_fields_of_ipv4_are_read),
        TEST(ipv6_stands_in_brackets),
        TEST(netmasks_are_masks_or_lengths),
        TEST(a_netmask_follows_from_the_client),
        TEST(autoconf_counts_without_an_address),
        TEST(the_later_interface_counts),
        TEST(wrong_fields_are_named),
        TEST(a_root_path_has_five_parts),
        TEST(parts_of_a_root_path_have_defaults),
        TEST(a_root_paths_server_may_be_ipv6),
        TEST(a_root_paths_lun_is_hexadecimal),
        TEST(wrong_root_paths_are_named),
        TEST(a_secret_in_a_root_path_is_not_repeated),
        TEST(the_portal_comes_from_the_first_that_knows_it),
        TEST(the_root_paths_target_is_taken_if_no_word_names_one),
        TEST(each_target_has_its_address_and_the_next_has_none),
        TEST(our_words_are_printed_as_they_are_read),
        TEST(what_the_builder_says_is_left_out),
        TEST(the_images_words_follow_ours_unchanged),
        TEST(nr_cpus_and_our_words_are_taken_from_the_image),
        TEST(neither_an_open_quote_nor_two_dashes_hide_our_words),
        TEST(what_does_not_fit_is_refused_and_not_cut),
        TEST(the_target_in_use_is_the_only_one),
    };

    return cmocka_run_group_tests_name("cmdline", tests, NULL, NULL);
}
