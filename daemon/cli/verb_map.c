/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lunstick map, unmap: the disk as a block device of this machine. map starts a
 * daemon with front = "nbd" and waits until its device is there; with --root one that
 * the machine's own root can be on (supervisor.h), whose log is the kernel's and whose
 * words come through a pipe until the device is there. unmap looks whether somebody uses the
 * device, writes back what the kernel still has for it, and asks the daemon to end.
 */
#include "daemon/lunstickd/control.h"
#include "verbs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAP_SECONDS     30
#define MAP_SECONDS_MAX 86400
#define STOP_SECONDS    5
#define UNMAP_SECONDS   10
#define ANSWER_SECONDS  5
#define DEVICE_BYTES    32
#define ARGS_MAX        20

struct wishes {
    const char *name, *secret_file, *timeout, *on_other_disk;
    bool root, read_only, header_digest, take_over;
    const char *url;
};

/* A daemon that was started, and whose device is waited for. */
struct start {
    const struct wishes *wishes;
    const char *program;
    unsigned seconds;
    pid_t pid;
    int words;      /* the pipe from a daemon for root; -1: it has a file */
    char said[512]; /* its last line there */
    size_t said_bytes;
};

/* Letters and digits of the target's name behind its last colon, and the LUN. */
static void name_of(const struct address *address, char name[CONFIG_NAME_BYTES])
{
    const char *tail = strrchr(address->iqn, ':');
    int length = snprintf(name, CONFIG_NAME_BYTES - 6, "%s", tail ? tail + 1 : address->iqn);

    for (char *c = name; *c; c++)
        *c = isalnum((unsigned char)*c) ? (char)tolower((unsigned char)*c) : '-';
    if (length < 0 || length > CONFIG_NAME_BYTES - 7)
        length = CONFIG_NAME_BYTES - 7;
    snprintf(name + length, 6, "-%d", address->lun % 1000);
}

static void pause_ms(unsigned ms)
{
    const struct timespec pause = {.tv_nsec = (long)ms * 1000000L};

    nanosleep(&pause, NULL);
}

/* The block device that the daemon `name` shows. 1; 0: none, or none yet; -errno. */
static int device_of(const char *name, char device[DEVICE_BYTES], char *summary, size_t size)
{
    static char answer[CONTROL_ANSWER_BYTES + 1];
    ssize_t got = cli_ask(name, "status json\n", ANSWER_SECONDS, answer, sizeof(answer));
    const char *at;

    if (got < 0)
        return (int)got;
    at = strstr(answer, "\"summary\":\"");
    if (at && summary)
        snprintf(summary, size, "%.*s", (int)strcspn(at + 11, "\""), at + 11);
    at = strstr(answer, "\"device\":\"/dev/nbd");
    if (!at)
        return 0;
    snprintf(device, DEVICE_BYTES, "%.*s", (int)strcspn(at + 10, "\""), at + 10);
    return 1;
}

/* ---- map ---- */

static char *log_path(char path[CONFIG_PATH_BYTES], const char *name)
{
    snprintf(path, CONFIG_PATH_BYTES, CONFIG_RUN_DIR "/%s.log", name);
    return path;
}

/* The kernel's module, without devices of its own beforehand, by the program that
 * the kernel itself calls: no PATH decides what root runs. Where it cannot be
 * loaded the daemon says what is missing. */
static void load_module(void)
{
    if (access("/sys/module/nbd", F_OK) == 0)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        execl("/sbin/modprobe", "modprobe", "-q", "nbd", "nbds_max=0", (char *)NULL);
        _exit(CLI_TRANSIENT);
    }
    if (pid > 0)
        (void)waitpid(pid, NULL, 0);
}

/* Its words go into the pipe, or into a file of its own. */
static bool put_words(const struct wishes *w, int pipe_fd)
{
    char path[CONFIG_PATH_BYTES];
    int fd = w->root
                 ? pipe_fd
                 : open(log_path(path, w->name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    return fd >= 0 && null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(fd, STDOUT_FILENO) >= 0 &&
           dup2(fd, STDERR_FILENO) >= 0;
}

static _Noreturn void become_daemon(const struct wishes *w, int pipe_fd)
{
    const char *args[ARGS_MAX] = {"lunstickd", "--front", "nbd", "--name", w->name};
    unsigned n = 5;

    if (w->root) {
        args[0] = "@lunstickd";
        args[n++] = "--root";
    }
    if (w->on_other_disk) {
        args[n++] = "--on-other-disk";
        args[n++] = w->on_other_disk;
    }
    if (w->secret_file) {
        args[n++] = "--secret-file";
        args[n++] = w->secret_file;
    }
    if (w->read_only)
        args[n++] = "--ro";
    if (w->header_digest)
        args[n++] = "--header-digest";
    if (w->take_over)
        args[n++] = "--take-over";
    args[n++] = w->url;
    args[n] = NULL;
    if (setsid() >= 0 && put_words(w, pipe_fd))
        execv("/proc/self/exe", (char *const *)args);
    _exit(CLI_TRANSIENT);
}

static bool start_daemon(struct start *s)
{
    int ends[2] = {-1, -1};

    s->words = -1;
    s->said_bytes = 0;
    if (s->wishes->root && pipe2(ends, O_CLOEXEC) < 0)
        return false;
    s->pid = fork();
    if (s->pid == 0)
        become_daemon(s->wishes, ends[1]);
    int error = errno;
    if (ends[1] >= 0)
        close(ends[1]);
    s->words = ends[0];
    errno = error;
    return s->pid > 0;
}

/* Keeps the last line of what comes out of the pipe. */
static void hear(struct start *s)
{
    struct pollfd p = {.fd = s->words, .events = POLLIN};
    char c;

    while (s->words >= 0 && poll(&p, 1, 0) > 0 && read(s->words, &c, 1) == 1) {
        if (s->said_bytes && s->said[s->said_bytes - 1] == '\n')
            s->said_bytes = 0;
        if (s->said_bytes < sizeof(s->said) - 1)
            s->said[s->said_bytes++] = c;
    }
}

static void keep_text(const char *line, char *text, size_t size)
{
    if (!strncmp(line, "lunstickd: ", 11))
        line += 11;
    if (!strncmp(line, "error: ", 7))
        line += 7;
    snprintf(text, size, "%.*s", (int)strcspn(line, "\n"), line);
}

/* What the daemon said last. */
static void last_words(struct start *s, char *text, size_t size)
{
    char path[CONFIG_PATH_BYTES], next[512];
    FILE *log = s->words < 0 ? fopen(log_path(path, s->wishes->name), "re") : NULL;

    hear(s);
    s->said[s->said_bytes] = 0;
    keep_text(s->said_bytes ? s->said : "it said nothing", text, size);
    while (log && fgets(next, sizeof(next), log))
        keep_text(next, text, size);
    if (log)
        fclose(log);
}

static int show(const char *device)
{
    puts(device);
    return CLI_OK;
}

static int say_end(struct start *s, int status)
{
    char text[512];

    last_words(s, text, sizeof(text));
    return cli_fail(s->program,
                    WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : CLI_TRANSIENT,
                    "%s", text);
}

/* The time is over, unless the device has come just now: then no signal ends the one
 * for root. */
static int give_up(struct start *s, const char *why)
{
    char device[DEVICE_BYTES], path[CONFIG_PATH_BYTES];

    (void)kill(s->pid, SIGTERM);
    for (unsigned ms = 0; ms < STOP_SECONDS * 1000 && waitpid(s->pid, NULL, WNOHANG) == 0;
         ms += 50) {
        if (s->wishes->root && device_of(s->wishes->name, device, NULL, 0) == 1)
            return show(device);
        pause_ms(50);
    }
    return cli_fail(s->program, CLI_TRANSIENT, "no disk within %u s: %s (see %s)", s->seconds, why,
                    s->words < 0 ? log_path(path, s->wishes->name) : "dmesg");
}

/* Until its device is there, or it ended, or the time is over. */
static int wait_for_device(struct start *s)
{
    char device[DEVICE_BYTES], text[512] = "the daemon does not answer";
    int status;

    for (unsigned ms = 0; ms < s->seconds * 1000; ms += 50) {
        if (waitpid(s->pid, &status, WNOHANG) == s->pid)
            return say_end(s, status);
        if (device_of(s->wishes->name, device, text, sizeof(text)) == 1)
            return show(device);
        hear(s);
        pause_ms(50);
    }
    return give_up(s, text);
}

static bool seconds_of(const char *text, unsigned *seconds)
{
    char *end = NULL;
    long number = text ? strtol(text, &end, 10) : MAP_SECONDS;

    *seconds = (unsigned)number;
    return !text || (end != text && !*end && number > 0 && number <= MAP_SECONDS_MAX);
}

int cli_map(int argc, char **argv)
{
    struct wishes w = {.name = NULL};
    struct start start = {.wishes = &w, .program = argv[0]};
    const struct cli_flag flags[] = {
        {.name = "name", .value = &w.name},
        {.name = "root", .set = &w.root},
        {.name = "on-other-disk", .value = &w.on_other_disk},
        {.name = "timeout", .value = &w.timeout},
        {.name = "ro", .set = &w.read_only},
        {.name = "secret-file", .value = &w.secret_file},
        {.name = "header-digest", .set = &w.header_digest},
        {.name = "take-over", .set = &w.take_over},
        {.name = NULL},
    };
    const char *other = NULL;
    struct address address;
    char why[ADDRESS_WHY_BYTES], name[CONFIG_NAME_BYTES], device[DEVICE_BYTES];

    if (!cli_args(argc, argv, flags, &other, &w.url))
        return CLI_WRONG;
    if (!w.url)
        return cli_fail(argv[0], CLI_WRONG,
                        "the disk is missing: iscsi://[user@]host[:port]/iqn/lun");
    if (!address_parse(w.url, &address, why))
        return cli_fail(argv[0], CLI_WRONG, "%s", why);
    name_of(&address, name);
    if (!w.name)
        w.name = name;
    if (!config_name_valid(w.name))
        return cli_fail(argv[0], CLI_WRONG, "--name %s: allowed: 1 to 32 of a-z, 0-9 and -",
                        w.name);
    if (!seconds_of(w.timeout, &start.seconds))
        return cli_fail(argv[0], CLI_WRONG, "--timeout %s: allowed: 1 to %d seconds", w.timeout,
                        MAP_SECONDS_MAX);
    if (geteuid() != 0)
        return cli_fail(argv[0], CLI_WRONG, "only root makes block devices; run it with sudo");
    if (device_of(w.name, device, NULL, 0) == 1)
        return cli_fail(argv[0], CLI_TRANSIENT, "%s is %s already; --name gives another name",
                        w.name, device);
    if (mkdir(CONFIG_RUN_DIR, 0755) < 0 && errno != EEXIST)
        return cli_fail(argv[0], CLI_TRANSIENT, CONFIG_RUN_DIR ": %s", strerror(errno));
    load_module();
    if (!start_daemon(&start))
        return cli_fail(argv[0], CLI_TRANSIENT, "cannot start a process: %s", strerror(errno));
    return wait_for_device(&start);
}

/* ---- unmap ---- */

struct search {
    const char *device;
    char name[CONFIG_NAME_BYTES];
};

static bool shows_it(const char *name, void *ctx)
{
    struct search *s = ctx;
    char device[DEVICE_BYTES];

    if (device_of(name, device, NULL, 0) != 1 || strcmp(device, s->device) != 0)
        return false;
    snprintf(s->name, sizeof(s->name), "%s", name);
    return true;
}

/* Nobody has it mounted or otherwise for himself; nothing is left in the page cache. */
static int free_device(const char *program, const char *device)
{
    int fd = open(device, O_RDWR | O_EXCL | O_CLOEXEC);

    if (fd < 0 && errno == EROFS)
        fd = open(device, O_RDONLY | O_EXCL | O_CLOEXEC);
    if (fd < 0 && errno == EBUSY)
        return cli_fail(program, CLI_TRANSIENT,
                        "%s is in use; unmount it (findmnt shows where), or --force", device);
    if (fd < 0)
        return cli_fail(program, CLI_TRANSIENT, "%s: %s", device, strerror(errno));
    int rc = fsync(fd);
    int error = errno;
    close(fd);
    return rc < 0 ? cli_fail(program, CLI_TRANSIENT, "%s: what was written is not on the disk: %s",
                             device, strerror(error))
                  : CLI_OK;
}

static int end_daemon(const char *program, const char *name, const char *device)
{
    char answer[CONTROL_REQUEST_BYTES], path[CONFIG_PATH_BYTES];
    ssize_t got = cli_ask(name, "unmap\n", ANSWER_SECONDS, answer, sizeof(answer));

    if (got < 0)
        return cli_explain(program, name, (int)-got);
    if (answer[0] != '0')
        return cli_fail(program, answer[0] == '1' ? CLI_TRANSIENT : CLI_WRONG, "%s", answer + 2);
    snprintf(path, sizeof(path), CONFIG_RUN_DIR "/%s/lock", name);
    for (unsigned ms = 0; ms < UNMAP_SECONDS * 1000; ms += 50) {
        if (access(path, F_OK) < 0) {
            printf("%s is gone.\n", device);
            return CLI_OK;
        }
        pause_ms(50);
    }
    return cli_fail(program, CLI_TRANSIENT, "the daemon %s does not end", name);
}

int cli_unmap(int argc, char **argv)
{
    bool force = false;
    const struct cli_flag flags[] = {{.name = "force", .set = &force}, {.name = NULL}};
    struct search s = {.device = NULL};
    char device[DEVICE_BYTES];

    for (int i = 1; i < argc; i++) {
        if (!strncmp(argv[i], "/dev/", 5) && !s.device) {
            s.device = argv[i];
            memmove(&argv[i], &argv[i + 1], (size_t)(argc - i) * sizeof(*argv));
            argc--;
            break;
        }
    }
    const char *name = NULL;
    if (!cli_args(argc, argv, flags, &name, NULL))
        return CLI_WRONG;
    if (s.device) {
        if (!cli_each_daemon(shows_it, &s))
            return cli_fail(argv[0], CLI_TRANSIENT, "no daemon of ours shows %s", s.device);
        name = s.name;
    }
    int rc = device_of(name, device, NULL, 0);
    if (rc < 0)
        return cli_explain(argv[0], name, -rc);
    if (rc == 0)
        return cli_fail(argv[0], CLI_WRONG, "the daemon %s shows no block device", name);
    if (geteuid() != 0)
        return cli_fail(argv[0], CLI_WRONG, "only root removes block devices; run it with sudo");
    rc = force ? CLI_OK : free_device(argv[0], device);
    return rc == CLI_OK ? end_daemon(argv[0], name, device) : rc;
}
