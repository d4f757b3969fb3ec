/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lunstick-boot words: the words of the kernel command line over the builder's, as
 * the plan of the boot (boot/plan.h). image-words: the second kernel's command line.
 */
#include "boot/plan.h"
#include "boot/root_path.h"
#include "program.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DEFAULTS_FILE "/etc/lunstick/defaults"

/* A file, blanks in place of line ends. One that is not there is empty if it may be,
 * and so is, with a line that says so, what cannot be read: then false. */
static bool read_words(const char *path, bool may_be_missing, char text[CMDLINE_BYTES])
{
    FILE *file = fopen(path, "re");
    size_t got = 0;

    text[0] = '\0';
    if (!file && may_be_missing && errno == ENOENT)
        return true;
    if (file) {
        got = fread(text, 1, CMDLINE_BYTES, file);
        /* the longest that a kernel has, and the newline that /proc puts behind it */
        if (got == CMDLINE_BYTES && text[got - 1] == '\n' && fgetc(file) == EOF)
            got--;
        if (ferror(file))
            got = 0;
        fclose(file);
    }
    text[got < CMDLINE_BYTES ? got : 0] = '\0';
    if (!file || got == CMDLINE_BYTES) {
        boot_fail(BOOT_WRONG, "%s: %s", path,
                  file ? "longer than a kernel command line" : strerror(errno));
        return false;
    }
    for (char *c = text; *c; c++)
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    return true;
}

static int tell_problems(const char *where, const struct cmdline_problems *problems)
{
    for (unsigned i = 0; i < problems->count; i++)
        fprintf(stderr, "%s: %s\n", where, problems->lines[i]);
    if (problems->more)
        fprintf(stderr, "%s: and %u more faults\n", where, problems->more);
    return problems->count ? BOOT_WRONG : BOOT_OK;
}

/* The words of the kernel command line over the builder's. What is wrong is told,
 * and the rest is read all the same. False: a file could not be read. */
static bool read_plan(const char *words_file, const char *defaults_file, struct cmdline *defaults,
                      struct cmdline *cmdline, int *status)
{
    char text[CMDLINE_BYTES];
    struct cmdline nothing;
    struct cmdline_problems problems;
    bool all;

    cmdline_init(&nothing);
    all = read_words(defaults_file ? defaults_file : DEFAULTS_FILE, !defaults_file, text);
    cmdline_parse(text, &nothing, defaults, &problems);
    *status = tell_problems("the builder's words", &problems);
    all = read_words(words_file ? words_file : "/proc/cmdline", false, text) && all;
    cmdline_parse(text, defaults, cmdline, &problems);
    if (tell_problems("the kernel command line", &problems) != BOOT_OK || !all)
        *status = BOOT_WRONG;
    return all;
}

int boot_words(int argc, char **argv)
{
    const char *words = NULL, *defaults_file = NULL, *root_path = NULL, *tftp = NULL;
    const struct boot_option options[] = {
        {"cmdline", &words},
        {"defaults", &defaults_file},
        {"root-path", &root_path},
        {"tftp", &tftp},
        {NULL, NULL},
    };
    struct cmdline defaults, cmdline;
    struct address address, server;
    char why[ADDRESS_WHY_BYTES];
    int status;

    if (!boot_options(argc, argv, options))
        return BOOT_WRONG;
    read_plan(words, defaults_file, &defaults, &cmdline, &status);
    /* what a server gives to others is not ours to complain about */
    if (root_path && strncmp(root_path, "iscsi:", 6) != 0)
        root_path = NULL;
    if (root_path && !root_path_parse(root_path, &address, why)) {
        fprintf(stderr, "DHCP's root path: %s\n", why);
        root_path = NULL;
    }
    if (tftp && !address_parse_portal(tftp, &server, why))
        tftp = NULL;
    plan_print(stdout, &cmdline, &defaults, root_path ? &address : NULL, tftp ? server.host : NULL);
    return status;
}

/* The command line of the second kernel: our words, which name the one target in use
 * and where it is, and those of the image. It is pivot_root there. */
int boot_image_words(int argc, char **argv)
{
    const char *words = NULL, *defaults_file = NULL, *image = "", *url = NULL;
    const struct boot_option options[] = {
        {"cmdline", &words}, {"defaults", &defaults_file}, {"image", &image}, {"url", &url},
        {NULL, NULL},
    };
    struct cmdline defaults, cmdline;
    struct address address = {.port = 0};
    char why[ADDRESS_WHY_BYTES], out[CMDLINE_BYTES];
    int status;

    if (!boot_options(argc, argv, options) ||
        !read_plan(words, defaults_file, &defaults, &cmdline, &status))
        return BOOT_WRONG;
    cmdline.mode = CMDLINE_PIVOT_ROOT;
    if (url) {
        if (!address_parse(url, &address, why))
            return boot_fail(BOOT_WRONG, "%s", why);
        cmdline_set_target(&cmdline, &address);
    }
    if (cmdline_for_image(&cmdline, &defaults, image, out, sizeof(out)) < 0)
        return boot_fail(BOOT_WRONG,
                         "our words and the image's command line are longer together than a "
                         "kernel takes, %d characters: shorten one of the two",
                         CMDLINE_BYTES - 1);
    puts(out);
    return BOOT_OK;
}
