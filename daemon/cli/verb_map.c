/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lunstick map, unmap: the disk as a block device of this machine. map starts a
 * daemon with front = "nbd" and waits until its device is there; unmap looks
 * whether somebody uses the device, writes back what the kernel still has for it,
 * and asks the daemon to end.
 */
#include "daemon/lunstickd/control.h"
#include "verbs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAP_SECONDS    30
#define UNMAP_SECONDS  10
#define ANSWER_SECONDS 5
#define DEVICE_BYTES   32
#define ARGS_MAX       16

struct wishes {
    const char *name, *secret_file;
    bool read_only, header_digest, take_over;
    const char *url;
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

static _Noreturn void become_daemon(const struct wishes *w)
{
    const char *args[ARGS_MAX] = {"lunstickd", "--front", "nbd", "--name", w->name};
    char path[CONFIG_PATH_BYTES];
    unsigned n = 5;
    int log = open(log_path(path, w->name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

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
    if (log < 0 || setsid() < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
        _exit(CLI_TRANSIENT);
    (void)close(STDIN_FILENO);
    execv("/proc/self/exe", (char *const *)args);
    _exit(CLI_TRANSIENT);
}

/* What the daemon said last. */
static void last_words(const char *name, char *line, size_t size)
{
    char path[CONFIG_PATH_BYTES], next[512];
    FILE *log = fopen(log_path(path, name), "re");

    snprintf(line, size, "it said nothing");
    while (log && fgets(next, sizeof(next), log)) {
        next[strcspn(next, "\n")] = 0;
        const char *text = strncmp(next, "lunstickd: ", 11) ? next : next + 11;
        snprintf(line, size, "%s", strncmp(text, "error: ", 7) ? text : text + 7);
    }
    if (log)
        fclose(log);
}

/* Until its device is there, or it ended, or the time is over. */
static int wait_for_device(const char *program, const char *name, pid_t pid)
{
    char device[DEVICE_BYTES], text[512] = "the daemon does not answer", path[CONFIG_PATH_BYTES];
    int status;

    for (unsigned ms = 0; ms < MAP_SECONDS * 1000; ms += 50) {
        if (waitpid(pid, &status, WNOHANG) == pid) {
            last_words(name, text, sizeof(text));
            return cli_fail(program, WIFEXITED(status) ? WEXITSTATUS(status) : CLI_TRANSIENT, "%s",
                            text);
        }
        if (device_of(name, device, text, sizeof(text)) == 1) {
            puts(device);
            return CLI_OK;
        }
        pause_ms(50);
    }
    (void)kill(pid, SIGTERM);
    (void)waitpid(pid, NULL, 0);
    return cli_fail(program, CLI_TRANSIENT, "no disk within %d s: %s (see %s)", MAP_SECONDS, text,
                    log_path(path, name));
}

int cli_map(int argc, char **argv)
{
    struct wishes w = {.name = NULL};
    const struct cli_flag flags[] = {
        {.name = "name", .value = &w.name},
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
    if (geteuid() != 0)
        return cli_fail(argv[0], CLI_WRONG, "only root makes block devices; run it with sudo");
    if (device_of(w.name, device, NULL, 0) == 1)
        return cli_fail(argv[0], CLI_TRANSIENT, "%s is %s already; --name gives another name",
                        w.name, device);
    if (mkdir(CONFIG_RUN_DIR, 0755) < 0 && errno != EEXIST)
        return cli_fail(argv[0], CLI_TRANSIENT, CONFIG_RUN_DIR ": %s", strerror(errno));
    load_module();
    pid_t pid = fork();
    if (pid == 0)
        become_daemon(&w);
    if (pid < 0)
        return cli_fail(argv[0], CLI_TRANSIENT, "cannot start a process: %s", strerror(errno));
    return wait_for_device(argv[0], w.name, pid);
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
