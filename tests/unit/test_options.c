/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon's command line. */
#include "daemon/lunstickd/options.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define URL "iscsi://me@10.0.0.1/iqn.2001-04.com.example:disk/0"

static struct daemon_config config;
static char said[1024]; /* on out and err together */
static char conf[] = "/tmp/test_options.XXXXXX";

#define run(...) run_args((char *[]){"lunstickd", __VA_ARGS__, NULL})

static enum options_result run_args(char **argv)
{
    enum options_result result;
    FILE *stream;
    int argc = 0;

    while (argv[argc])
        argc++;
    memset(&config, 0xA5, sizeof(config));
    memset(said, 0, sizeof(said));
    stream = fmemopen(said, sizeof(said) - 1, "w");
    assert_non_null(stream);
    result = options_read(&config, argc, argv, stream, stream);
    fclose(stream);
    return result;
}

static void put_conf(const char *text)
{
    int fd = open(conf, O_WRONLY | O_TRUNC | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void address_alone_is_enough(void **state)
{
    (void)state;
    assert_int_equal(run(URL), OPTIONS_RUN);
    assert_string_equal(said, "");
    assert_int_equal(config.lun_count, 1);
    assert_string_equal(config.luns[0].address.user, "me");
    assert_true(config.luns[0].removable);
    assert_true(config.luns[0].continuity);
    assert_false(config.take_over);
    assert_string_equal(config.udc, "");
    assert_string_equal(config.scheme_path, CONFIG_SCHEME);
}

static void every_option_arrives_in_its_place(void **state)
{
    (void)state;
    assert_int_equal(run("--udc", "dummy_udc.0", "--ro", URL, "--once", "--take-over", "--name=n1",
                         "--secret-file", "s", "--header-digest", "--scheme", "d.scheme",
                         "--log-level", "debug"),
                     OPTIONS_RUN);
    assert_string_equal(config.udc, "dummy_udc.0");
    assert_true(config.luns[0].read_only);
    assert_true(config.once);
    assert_true(config.take_over);
    assert_string_equal(config.name, "n1");
    assert_string_equal(config.run_dir, "/run/lunstick/n1");
    assert_string_equal(config.luns[0].secret_file, "s");
    assert_true(config.luns[0].header_digest);
    assert_string_equal(config.scheme_path, "d.scheme");
    assert_int_equal(config.log_level, LUN_LOG_DEBUG);
}

static void the_front_is_one_of_two(void **state)
{
    (void)state;
    assert_int_equal(run(URL), OPTIONS_RUN);
    assert_int_equal(config.front, CONFIG_FRONT_USB);
    assert_int_equal(run(URL, "--front", "nbd"), OPTIONS_RUN);
    assert_int_equal(config.front, CONFIG_FRONT_NBD);
    assert_int_equal(run(URL, "--front", "ndb"), OPTIONS_WRONG);
    assert_string_equal(said, "lunstickd: --front ndb; allowed: usb, nbd\n");
}

static void root_is_a_block_device_that_is_waited_for(void **state)
{
    (void)state;
    assert_int_equal(run(URL, "--front", "nbd"), OPTIONS_RUN);
    assert_false(config.root);
    assert_int_equal(run(URL, "--front", "nbd", "--root"), OPTIONS_RUN);
    assert_true(config.root);
    assert_int_equal(run(URL, "--root"), OPTIONS_WRONG);
    assert_string_equal(said, "lunstickd: --root needs --front nbd; and goes without --once\n");
    assert_int_equal(run(URL, "--front", "nbd", "--root", "--once"), OPTIONS_WRONG);
    assert_int_equal(run(URL, "--front", "nbd", "--root", "--on-other-disk", "/bin/x"),
                     OPTIONS_RUN);
    assert_string_equal(config.on_other_disk, "/bin/x");
    assert_int_equal(run(URL, "--front", "nbd", "--root", "--on-other-disk", "x"), OPTIONS_WRONG);
    assert_int_equal(run(URL, "--front", "nbd", "--on-other-disk", "/bin/x"), OPTIONS_WRONG);
}

/* systemd spares who is called so */
static void the_name_may_begin_with_an_at(void **state)
{
    (void)state;
    assert_int_equal(run_args((char *[]){"@lunstickd", URL, "--rot", NULL}), OPTIONS_WRONG);
    assert_string_equal(said, "lunstickd: unknown option --rot; did you mean --root?\n");
}

static void options_override_the_file(void **state)
{
    (void)state;
    put_conf("name = \"from-file\"; udc = \"a\"; log_level = \"error\"; keepalive_ms = 700;\n"
             "luns = ( { url = \"iscsi://h/iqn.2001-04.com.example:a/1\"; },\n"
             "         { url = \"iscsi://h/iqn.2001-04.com.example:b/2\"; } );\n");
    assert_int_equal(run("--config", conf), OPTIONS_RUN);
    assert_string_equal(config.file, conf);
    assert_string_equal(config.name, "from-file");
    assert_int_equal(config.lun_count, 2);
    assert_int_equal(
        run("--config", conf, "--name", "n2", "--udc", "b", "--log-level", "info", "--ro"),
        OPTIONS_RUN);
    assert_string_equal(config.name, "n2");
    assert_string_equal(config.udc, "b");
    assert_int_equal(config.log_level, LUN_LOG_INFO);
    assert_int_equal(config.keepalive_ms, 700);
    assert_true(config.luns[0].read_only && config.luns[1].read_only);
}

static void address_replaces_the_disks_of_the_file(void **state)
{
    (void)state;
    put_conf(
        "header_digest = true;\n"
        "luns = ( { url = \"iscsi://h/iqn.2001-04.com.example:a/1\"; read_only = true; } );\n");
    assert_int_equal(run("--config", conf, URL), OPTIONS_RUN);
    assert_int_equal(config.lun_count, 1);
    assert_string_equal(config.luns[0].address.host, "10.0.0.1");
    assert_true(config.luns[0].header_digest); /* a default of the file's top */
    assert_false(config.luns[0].read_only);    /* belonged to another disk */
}

static void unknown_option_names_itself_and_the_nearest(void **state)
{
    (void)state;
    assert_int_equal(run("--hedaer-digest", URL), OPTIONS_WRONG);
    assert_string_equal(
        said, "lunstickd: unknown option --hedaer-digest; did you mean --header-digest?\n");
    assert_int_equal(run(URL, "--secretfile=x"), OPTIONS_WRONG);
    assert_string_equal(said,
                        "lunstickd: unknown option --secretfile=x; did you mean --secret-file?\n");
    assert_int_equal(run("-z"), OPTIONS_WRONG);
    assert_string_equal(said, "lunstickd: unknown option -z; lunstickd --help lists the options\n");
}

static void missing_and_superfluous_values_are_named(void **state)
{
    (void)state;
    assert_int_equal(run(URL, "--udc"), OPTIONS_WRONG);
    assert_string_equal(said, "lunstickd: a value is missing after --udc\n");
    assert_int_equal(run(URL, "--once=yes"), OPTIONS_WRONG);
    assert_string_equal(said, "lunstickd: no value belongs to --once=yes\n");
    assert_int_equal(run(URL, "--udc", ""), OPTIONS_WRONG);
    assert_string_equal(said, "lunstickd: --udc: the value is empty\n");
}

static void malformed_address_is_one_line(void **state)
{
    (void)state;
    assert_int_equal(run("iscsi://10.0.0.1/"), OPTIONS_WRONG);
    assert_non_null(strchr(said, '\n'));
    assert_int_equal(strchr(said, '\n')[1], 0);
}

static void two_addresses_are_refused(void **state)
{
    (void)state;
    assert_int_equal(run(URL, "iscsi://b/iqn.x:y/1"), OPTIONS_WRONG);
    assert_non_null(strstr(said, "more than one address: iscsi://b/"));
}

static void bad_name_and_level_say_what_is_allowed(void **state)
{
    (void)state;
    assert_int_equal(run(URL, "--name", "A/b"), OPTIONS_WRONG);
    assert_string_equal(said, "lunstickd: --name A/b; allowed: 1 to 32 of a-z, 0-9 and -\n");
    assert_int_equal(run(URL, "--log-level", "loud"), OPTIONS_WRONG);
    assert_string_equal(said,
                        "lunstickd: --log-level loud; allowed: error, warning, info, debug\n");
}

static void named_file_must_exist_and_the_default_need_not(void **state)
{
    (void)state;
    assert_int_equal(run(URL, "--config", "/nonexistent/x.conf"), OPTIONS_WRONG);
    assert_string_equal(said, "lunstickd: /nonexistent/x.conf: No such file or directory\n");
    assert_int_equal(run(URL, "--name", "no-such-file"), OPTIONS_RUN);
    assert_string_equal(config.file, "");
    assert_int_equal(run("--name", "no-such-file"), OPTIONS_WRONG);
    assert_non_null(strstr(said, "no disk is named"));
}

static void one_secret_file_for_several_disks_is_refused(void **state)
{
    (void)state;
    put_conf("luns = ( { url = \"iscsi://h/iqn.2001-04.com.example:a/1\"; },\n"
             "         { url = \"iscsi://h/iqn.2001-04.com.example:b/2\"; } );\n");
    assert_int_equal(run("--config", conf, "--secret-file", "s"), OPTIONS_WRONG);
    assert_non_null(strstr(said, "secret_file in the configuration file"));
}

static void help_and_version_are_answered(void **state)
{
    (void)state;
    assert_int_equal(run("--version"), OPTIONS_DONE);
    assert_string_equal(said, "lunstickd " LUNSTICK_VERSION "\n");
    assert_int_equal(run("--help"), OPTIONS_DONE);
    assert_non_null(strstr(said, "Usage: lunstickd"));
}

static int make_conf(void **state)
{
    int fd = mkstemp(conf);

    (void)state;
    if (fd >= 0)
        close(fd);
    return fd < 0;
}

static int remove_conf(void **state)
{
    (void)state;
    return unlink(conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_alone_is_enough),
        cmocka_unit_test(every_option_arrives_in_its_place),
        cmocka_unit_test(the_front_is_one_of_two),
        cmocka_unit_test(root_is_a_block_device_that_is_waited_for),
        cmocka_unit_test(the_name_may_begin_with_an_at),
        cmocka_unit_test(options_override_the_file),
        cmocka_unit_test(address_replaces_the_disks_of_the_file),
        cmocka_unit_test(unknown_option_names_itself_and_the_nearest),
        cmocka_unit_test(missing_and_superfluous_values_are_named),
        cmocka_unit_test(malformed_address_is_one_line),
        cmocka_unit_test(two_addresses_are_refused),
        cmocka_unit_test(bad_name_and_level_say_what_is_allowed),
        cmocka_unit_test(named_file_must_exist_and_the_default_need_not),
        cmocka_unit_test(one_secret_file_for_several_disks_is_refused),
        cmocka_unit_test(help_and_version_are_answered),
    };
    return cmocka_run_group_tests(tests, make_conf, remove_conf);
}
