/* SPDX-License-Identifier: BSD-2-Clause */
/* What the shell of the initramfs is told. A shell reads it back here, too. */
#include "boot/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static char text[16384];

/* The plan of `words` over `builder`, in `text`. */
static void plan(const char *words, const char *builder, const struct address *root_path,
                 const char *tftp)
{
    struct cmdline nothing, defaults, cmdline;
    struct cmdline_problems problems;
    FILE *out = fmemopen(text, sizeof(text), "w");

    memset(&defaults, 0xa5, sizeof(defaults));
    memset(&cmdline, 0xa5, sizeof(cmdline));
    cmdline_init(&nothing);
    assert_true(cmdline_parse(builder, &nothing, &defaults, &problems));
    assert_true(cmdline_parse(words, &defaults, &cmdline, &problems));
    plan_print(out, &cmdline, &defaults, root_path, tftp);
    fclose(out);
}

static void has(const char *line)
{
    size_t bytes = strlen(line);

    for (const char *at = strstr(text, line); at; at = strstr(at + 1, line))
        if ((at == text || at[-1] == '\n') && at[bytes] == '\n')
            return;
    print_error("not there: %s\nbut:\n%s", line, text);
    fail();
}

static void nothing_given_is_no_boot_of_ours(void **state)
{
    (void)state;
    plan("console=ttyAMA0 quiet", "", NULL, NULL);
    has("mode=''");
    has("targets='0'");
    has("on_failure='retry'");
    has("timeout='60'");
    has("ip_method='any'");
    has("root_by=''");
}

static void a_boot_has_its_words(void **state)
{
    (void)state;
    plan("scsipub.mode=pivot_root scsipub.iqn=iqn.2026-01.test:a scsipub.iqn=iqn.2026-01.test:b "
         "lunstick.portal=10.0.0.1:3270 lunstick.lun=3 lunstick.user=me lunstick.root=LABEL=top "
         "lunstick.overlay=tmpfs lunstick.timeout=7 lunstick.on-failure=next-target "
         "lunstick.vlan=12 lunstick.iface=eth1 root=PARTUUID=11223344-02 ro rootflags=noatime "
         "init=/bin/sh",
         "", NULL, NULL);
    has("mode='pivot_root'");
    has("targets='2'");
    has("iqn_1='iqn.2026-01.test:a'");
    has("url_1='iscsi://me@10.0.0.1:3270/iqn.2026-01.test:a/3'");
    has("url_2='iscsi://me@10.0.0.1:3270/iqn.2026-01.test:b/3'");
    has("from_1='the kernel command line'");
    has("root_by='label'");
    has("root_value='top'");
    has("image_root_by='partuuid'");
    has("image_root_value='11223344-02'");
    has("overlay='tmpfs'");
    has("timeout='7'");
    has("on_failure='next-target'");
    has("vlan='12'");
    has("iface='eth1'");
    has("access='ro'");
    has("root_flags='noatime'");
    has("init='/bin/sh'");
}

static void a_partition_has_its_number(void **state)
{
    (void)state;
    plan("lunstick.root=3 root=/dev/mmcblk0p2", "", NULL, NULL);
    has("root_by='number'");
    has("root_value='3'");
    has("image_root_by='number'");
    has("image_root_value='2'");
}

static void a_static_address_is_told(void **state)
{
    (void)state;
    plan("lunstick.ip=10.0.0.2::10.0.0.254:255.255.255.0:pi:eth0:off:10.0.0.3:10.0.0.4", "", NULL,
         NULL);
    has("ip_method='static'");
    has("ip_client='10.0.0.2'");
    has("ip_prefix='24'");
    has("ip_gateway='10.0.0.254'");
    has("ip_dns='10.0.0.3 10.0.0.4'");
    has("ip_hostname='pi'");
    has("iface='eth0'");
}

static void who_said_where_the_target_is(void **state)
{
    static const struct address root_path = {
        .host = "10.9.9.9", .port = 3260, .iqn = "iqn.2026-01.test:r", .lun = 1};
    (void)state;
    plan("", "lunstick.portal=10.0.0.7 scsipub.iqn=iqn.2026-01.test:a", NULL, NULL);
    has("from_1='the builder'");
    plan("", "", &root_path, NULL);
    has("from_1='DHCP'\\''s root path'");
    has("url_1='iscsi://10.9.9.9/iqn.2026-01.test:r/1'");
    plan("scsipub.iqn=iqn.2026-01.test:a", "", NULL, "10.0.0.8");
    has("from_1='the TFTP server'\\''s address'");
    has("url_1='iscsi://10.0.0.8/iqn.2026-01.test:a/0'");
    plan("scsipub.iqn=iqn.2026-01.test:a", "", NULL, NULL);
    has("url_1=''");
    has("from_1='nobody'");
}

/* The kernel command line is whoever's can write it: no more than that. */
static void a_shell_takes_no_value_for_a_command(void **state)
{
    char script[sizeof(text) + 128], got[128] = "";
    (void)state;
    plan("init=/x';echo$IFS\"evil `date` $(date)\" rootflags=a'b", "", NULL, NULL);
    snprintf(script, sizeof(script), "%sprintf '%%s|%%s' \"$init\" \"$root_flags\"\n", text);
    FILE *file = fopen("test_plan.sh", "w");
    assert_non_null(file);
    fputs(script, file);
    fclose(file);
    FILE *shell = popen("sh test_plan.sh", "r");
    assert_non_null(shell);
    assert_true(fread(got, 1, sizeof(got) - 1, shell) > 0);
    assert_int_equal(0, pclose(shell));
    (void)remove("test_plan.sh");
    assert_string_equal("/x';echo$IFS\"evil `date` $(date)\"|a'b", got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_given_is_no_boot_of_ours),
        cmocka_unit_test(a_boot_has_its_words),
        cmocka_unit_test(a_partition_has_its_number),
        cmocka_unit_test(a_static_address_is_told),
        cmocka_unit_test(who_said_where_the_target_is),
        cmocka_unit_test(a_shell_takes_no_value_for_a_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
