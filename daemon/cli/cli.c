/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli.h"

#include "bridge/nearest.h"
#include "daemon/lunstickd/resolver.h"
#include "verbs.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *usage, *about;
};

static const struct verb verbs[] = {
    {"status", cli_status, "status [--json] [NAME]", "what the USB host sees now, and why"},
    {"probe", cli_probe, "probe [--secret-file FILE] [--header-digest] [URL]",
     "log in, show the disk and what a USB host would be told of it"},
    {"doctor", cli_doctor, "doctor [URL]", "check this machine, and say how to fix it"},
    {"eject", cli_eject, "eject [--lun N] [--force] [NAME]", "take the disk out of its drive"},
    {"insert", cli_insert, "insert [--lun N] [--force] [--read-only] [NAME] [URL]",
     "put it in again, or, with URL, another in its place"},
    {"unplug", cli_unplug, "unplug [NAME]", "pull the plug, as the host sees it"},
    {"plug", cli_plug, "plug [NAME]", "plug it in again"},
    {"map", cli_map,
     "map [--name NAME] [--ro] [--secret-file FILE] [--header-digest] [--take-over]\n"
     "               [--timeout S] [--root [--on-other-disk PROGRAM]] URL",
     "the disk as a block device of this machine; prints its name. --root: the machine's own\n"
     "      root will be on it"},
    {"unmap", cli_unmap, "unmap [--force] NAME|/dev/nbdN", "take the block device away again"},
    {"cleanup", cli_cleanup, "cleanup [NAME]", "remove what a killed daemon left behind"},
};

#define VERBS_COUNT (sizeof(verbs) / sizeof(verbs[0]))

static void print_help(void)
{
    printf("Usage: lunstick VERB ...\n"
           "An iSCSI disk as a USB disk; the daemon is lunstickd.\n\n");
    for (unsigned i = 0; i < VERBS_COUNT; i++)
        printf("  lunstick %s\n      %s\n", verbs[i].usage, verbs[i].about);
    printf("  lunstick help\n  lunstick version\n\n"
           "URL is iscsi://[user@]host[:port]/iqn/lun; without it, %s/lunstick.conf.\n"
           "NAME is the daemon's --name (default: lunstick); N the disk's number there, from 0.\n"
           "Exit status: 0; 1 a fault that may go away, or something to fix;\n"
           "2 wrong use, or a fault that only you can remove.\n",
           CONFIG_DIR);
}

int cli_fail(const char *program, int status, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s: ", program);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return status;
}

static bool is_help(const char *word)
{
    return !strcmp(word, "help") || !strcmp(word, "--help") || !strcmp(word, "-h");
}

static int unknown_verb(const char *word)
{
    const char *names[VERBS_COUNT + 3];
    const char *nearest;

    for (unsigned i = 0; i < VERBS_COUNT; i++)
        names[i] = verbs[i].name;
    names[VERBS_COUNT] = "help";
    names[VERBS_COUNT + 1] = "version";
    names[VERBS_COUNT + 2] = NULL;
    nearest = nearest_word(word, names);
    if (nearest)
        return cli_fail("lunstick", CLI_WRONG, "unknown verb %s; did you mean %s?", word, nearest);
    return cli_fail("lunstick", CLI_WRONG, "unknown verb %s; lunstick help lists them", word);
}

static int run_verb(const struct verb *verb, int argc, char **argv)
{
    char program[32];

    if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
        printf("Usage: lunstick %s\n%s\n", verb->usage, verb->about);
        return CLI_OK;
    }
    snprintf(program, sizeof(program), "lunstick %s", verb->name);
    argv[0] = program;
    return verb->run(argc, argv);
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        print_help();
        return CLI_WRONG;
    }
    if (is_help(argv[1])) {
        print_help();
        return CLI_OK;
    }
    if (!strcmp(argv[1], "version") || !strcmp(argv[1], "--version")) {
        printf("lunstick %s\n", LUNSTICK_VERSION);
        return CLI_OK;
    }
    for (unsigned i = 0; i < VERBS_COUNT; i++) {
        if (!strcmp(argv[1], verbs[i].name))
            return run_verb(&verbs[i], argc - 1, argv + 1);
    }
    return unknown_verb(argv[1]);
}

int cli_main(int argc, char **argv)
{
    int status = run(argc, argv);

    if (status == CLI_OK && (fflush(stdout) || ferror(stdout)))
        return cli_fail("lunstick", CLI_TRANSIENT, "the output: %s", strerror(errno));
    return status;
}

static bool unknown_option(const char *program, const char *word, const struct cli_flag *flags)
{
    const char *names[16] = {NULL};
    const char *nearest;

    for (unsigned n = 0; n < 15 && flags[n].name; n++)
        names[n] = flags[n].name;
    nearest = nearest_word(word + strspn(word, "-"), names);
    if (nearest)
        cli_fail(program, CLI_WRONG, "unknown option %s; did you mean --%s?", word, nearest);
    else
        cli_fail(program, CLI_WRONG, "unknown option %s; lunstick help lists them", word);
    return false;
}

static const struct cli_flag *find_flag(const struct cli_flag *flags, const char *word)
{
    for (; flags->name; flags++) {
        if (!strncmp(word, "--", 2) && !strcmp(word + 2, flags->name))
            return flags;
    }
    return NULL;
}

/* The option at argv[*at], with its value; false if it is not understood. */
static bool take_flag(char **argv, int argc, int *at, const struct cli_flag *flags)
{
    const struct cli_flag *flag = find_flag(flags, argv[*at]);

    if (!flag)
        return unknown_option(argv[0], argv[*at], flags);
    if (!flag->value) {
        *flag->set = true;
    } else if (*at + 1 < argc) {
        *flag->value = argv[++*at];
    } else {
        cli_fail(argv[0], CLI_WRONG, "a value is missing after %s", argv[*at]);
        return false;
    }
    return true;
}

bool cli_args(int argc, char **argv, const struct cli_flag *flags, const char **name,
              const char **url)
{
    *name = NULL;
    for (int i = 1; i < argc; i++) {
        const char **operand = url && strstr(argv[i], "://") ? url : name;
        if (argv[i][0] == '-') {
            if (!take_flag(argv, argc, &i, flags))
                return false;
        } else if (*operand) {
            cli_fail(argv[0], CLI_WRONG, "one too many: %s", argv[i]);
            return false;
        } else {
            *operand = argv[i];
        }
    }
    if (!*name)
        *name = "lunstick";
    if (config_name_valid(*name))
        return true;
    cli_fail(argv[0], CLI_WRONG, "%s is no daemon's name: 1 to 32 of a-z, 0-9 and -", *name);
    return false;
}

/* ---- names ---- */

static _Noreturn void resolve_and_exit(const char *host, int fd)
{
    char text[RESOLVER_TEXT_BYTES];

    resolver_look_up(text, host, 0);
    _exit(write(fd, text, strlen(text)) < 0);
}

/* One message of one process: it comes whole, or not in time. */
static size_t read_in_time(int fd, unsigned seconds, char *text, size_t size)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t got = -1;

    if (poll(&p, 1, (int)seconds * 1000) > 0)
        got = read(fd, text, size - 1);
    text[got > 0 ? got : 0] = 0;
    return got > 0 ? (size_t)got : 0;
}

bool cli_resolve(const char *host, unsigned seconds, char *numeric, size_t size,
                 char why[CONFIG_WHY_BYTES])
{
    char text[RESOLVER_TEXT_BYTES] = "";
    int fds[2];
    pid_t pid;

    if (address_is_numeric(host))
        return (size_t)snprintf(numeric, size, "%s", host) < size;
    if (pipe(fds)) {
        snprintf(why, CONFIG_WHY_BYTES, "pipe: %s", strerror(errno));
        return false;
    }
    pid = fork();
    if (pid == 0)
        resolve_and_exit(host, fds[1]);
    close(fds[1]);
    if (pid > 0) {
        read_in_time(fds[0], seconds, text, sizeof(text));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    close(fds[0]);
    if (text[0] == '+' && (size_t)snprintf(numeric, size, "%s", text + 1) < size)
        return true;
    snprintf(why, CONFIG_WHY_BYTES, "%s is not found: %s; check the name and /etc/resolv.conf",
             host, text[0] == '-' ? text + 1 : "the name servers do not answer");
    return false;
}
