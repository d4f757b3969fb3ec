/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervisor.h"

#include "log.h"
#include "memory.h"
#include "parent.h"
#include "rundir.h"
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_S 1

static int fail(const char *what, int error)
{
    log_printf(LUN_LOG_ERROR, "%s: %s", what, strerror(error));
    return 1;
}

static void own_signals(sigset_t *set)
{
    (void)sigemptyset(set);
    (void)sigaddset(set, SIGCHLD);
    (void)sigaddset(set, SIGTERM);
    (void)sigaddset(set, SIGINT);
    (void)sigaddset(set, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, set, NULL);
    /* Whoever started us may have ignored it, and so would we. */
    (void)signal(SIGCHLD, SIG_DFL);
    (void)signal(SIGPIPE, SIG_IGN);
}

/* What is kept from one parent process to the next. NULL with errno. */
static struct parent_kept *make_kept(void)
{
    struct parent_kept *kept = memory_shared(sizeof *kept);
    if (kept)
        kept->memory = memory_shared(sizeof *kept->memory);
    return kept && kept->memory ? kept : NULL;
}

/* What is asked of files, now or never. */
static bool look_up(struct parent_kept *kept, const struct daemon_config *config)
{
    char why[CONFIG_WHY_BYTES];
    bool good = secrets_load(&kept->secrets, &config->luns[0], why);
    if (why[0])
        log_text(good ? LUN_LOG_WARNING : LUN_LOG_ERROR, why);
    (void)sandbox_user(config->user, &kept->uid, &kept->gid);
    kept->control_gid = rundir_group(config->user);
    return good;
}

/* ---- another disk ---- */

/* What is open from the start: where the program is, and whom the user reads. */
struct place {
    int root, console;
};

static struct place know_place(void)
{
    return (struct place){.root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC),
                          .console = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC)};
}

/* Back into the root directory that there was at the start, with what was mounted in it
 * then, in a mount namespace of our own. The one that is on the disk cannot be read. */
static int go_back(const struct place *place)
{
    static const char *const dirs[] = {"dev", "proc", "sys", "run"};
    char from[8];
    struct stat then, now;
    if (fstat(place->root, &then) == 0 && stat("/", &now) == 0 && then.st_dev == now.st_dev &&
        then.st_ino == now.st_ino)
        return 0;
    if (fchdir(place->root) < 0 || unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -errno;
    for (unsigned i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        (void)snprintf(from, sizeof from, "/%s", dirs[i]);
        if (mount(from, dirs[i], NULL, MS_BIND | MS_REC, NULL) < 0)
            log_printf(LUN_LOG_WARNING, "%s for the program: %s", from, strerror(errno));
    }
    return chroot(".") < 0 ? -errno : 0;
}

static _Noreturn void become_program(const char *program, const struct place *place)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    int rc = go_back(place);
    if (rc == 0 && place->console >= 0 &&
        (dup2(place->console, STDOUT_FILENO) < 0 || dup2(place->console, STDERR_FILENO) < 0))
        rc = -errno;
    if (rc == 0) {
        (void)execl(program, program, (char *)NULL);
        rc = -errno;
    }
    log_printf(LUN_LOG_ERROR, "%s: %s", program, strerror(-rc));
    log_end();
    _exit(1);
}

static void tell_other_disk(const struct daemon_config *config, const struct parent_kept *kept,
                            const struct place *place)
{
    if (place->console >= 0)
        (void)dprintf(place->console, "lunstick: the disk behind / is another one now (%s)\n",
                      kept->other_disk);
    log_printf(LUN_LOG_ERROR, "the disk behind / is another one now (%s)", kept->other_disk);
    if (!config->on_other_disk[0])
        return;
    pid_t pid = fork();
    if (pid == 0) {
        log_forked();
        become_program(config->on_other_disk, place);
    }
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

/* ---- the parent process ---- */

/* Its wait status. Until the device is shown it hears of the signals that we get. */
static int watch_over(pid_t parent, const struct parent_kept *kept, const sigset_t *set)
{
    int status = 0;
    for (;;) {
        int number = sigwaitinfo(set, NULL);
        if (number > 0 && number != SIGCHLD && !kept->shown)
            (void)kill(parent, number);
        if (waitpid(parent, &status, WNOHANG) == parent)
            return status;
    }
}

static bool ended_for_good(int status)
{
    return WIFEXITED(status) &&
           (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == PARENT_EXIT_OTHER_DISK);
}

static void say_end(int status)
{
    if (WIFSIGNALED(status))
        log_printf(LUN_LOG_ERROR, "the parent process was ended by signal %d (%s)",
                   WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        log_printf(LUN_LOG_ERROR, "the parent process ended with status %d", WEXITSTATUS(status));
}

/* One life of the parent process: its wait status; 1: it could not be started. */
static int live(const struct daemon_config *config, struct parent_kept *kept, const sigset_t *set,
                const struct place *place)
{
    pid_t parent = fork();
    if (parent == 0) {
        log_forked();
        (void)close(place->root);
        (void)close(place->console);
        _exit(parent_main(config, kept));
    }
    if (parent < 0) {
        (void)fail("cannot start a process", errno);
        return 1 << 8;
    }
    int status = watch_over(parent, kept, set);
    if (!ended_for_good(status) && (!WIFEXITED(status) || kept->shown))
        say_end(status);
    return status;
}

int supervisor_main(const struct daemon_config *config)
{
    static const struct timespec pause = {.tv_sec = PAUSE_S};
    sigset_t set;
    (void)prctl(PR_SET_NAME, "lunstickd", 0, 0, 0);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    sandbox_close_from(STDERR_FILENO + 1);
    own_signals(&set);
    (void)setsid();
    if (geteuid() != 0) {
        log_text(LUN_LOG_ERROR, "must be started by root, who makes the block device (try sudo)");
        return 2;
    }
    if (chdir("/") < 0)
        return fail("/", errno);
    struct parent_kept *kept = make_kept();
    if (!kept)
        return fail("memory", errno);
    if (!look_up(kept, config))
        return 2;
    memory_prepare();
    int rc = log_to_kernel();
    if (rc < 0)
        log_printf(LUN_LOG_WARNING, "/dev/kmsg: %s: the log goes to stderr", strerror(-rc));
    const struct place place = know_place();
    int status = live(config, kept, &set, &place);
    while (kept->shown && !ended_for_good(status)) {
        (void)nanosleep(&pause, NULL);
        log_text(LUN_LOG_WARNING, "starting the parent process again");
        status = live(config, kept, &set, &place);
    }
    if (kept->shown && WEXITSTATUS(status) == PARENT_EXIT_OTHER_DISK)
        tell_other_disk(config, kept, &place);
    log_end();
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
