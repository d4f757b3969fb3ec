/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervisor.h"

#include "child.h"
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
static struct parent_kept *make_kept(const struct daemon_config *config)
{
    struct parent_kept *kept = memory_shared(sizeof *kept);
    if (!kept)
        return NULL;
    kept->memory = memory_shared(sizeof *kept->memory);
    kept->arena = memory_shared(child_arena_bytes(config));
    return kept->memory && kept->arena ? kept : NULL;
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

/* What is open from the start, in each supervisor and parent: where the program is, and
 * what the user reads. */
enum { ROOT_FD = STDERR_FILENO + 1, CONSOLE_FD, FIRST_FD };

static int open_as(int fd, const char *path, int flags)
{
    int opened = open(path, flags | O_CLOEXEC);
    if (opened < 0 || opened == fd)
        return opened < 0 ? -errno : 0;
    int rc = dup3(opened, fd, O_CLOEXEC) < 0 ? -errno : 0;
    (void)close(opened);
    return rc;
}

static int open_place(void)
{
    int rc = open_as(ROOT_FD, "/", O_PATH | O_DIRECTORY);
    if (rc == 0 && open_as(CONSOLE_FD, "/dev/console", O_WRONLY | O_NOCTTY) < 0)
        rc = open_as(CONSOLE_FD, "/dev/null", O_WRONLY);
    return rc;
}

/* Back into the root directory that there was at the start, with what was mounted in it
 * then, in a mount namespace of our own. The one that is on the disk cannot be read. */
static int go_back(void)
{
    static const char *const dirs[] = {"dev", "proc", "sys", "run"};
    char from[8];
    struct stat then, now;
    if (fstat(ROOT_FD, &then) == 0 && stat("/", &now) == 0 && then.st_dev == now.st_dev &&
        then.st_ino == now.st_ino)
        return 0;
    if (fchdir(ROOT_FD) < 0 || unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -errno;
    for (unsigned i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        (void)snprintf(from, sizeof from, "/%s", dirs[i]);
        if (mount(from, dirs[i], NULL, MS_BIND | MS_REC, NULL) < 0)
            log_printf(LUN_LOG_WARNING, "%s for the program: %s", from, strerror(errno));
    }
    return chroot(".") < 0 ? -errno : 0;
}

static _Noreturn void become_program(const char *program)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    int rc = go_back();
    if (rc == 0 && (dup2(CONSOLE_FD, STDOUT_FILENO) < 0 || dup2(CONSOLE_FD, STDERR_FILENO) < 0))
        rc = -errno;
    if (rc == 0) {
        (void)execl(program, program, (char *)NULL);
        rc = -errno;
    }
    log_printf(LUN_LOG_ERROR, "%s: %s", program, strerror(-rc));
    log_end();
    _exit(1);
}

static void tell_other_disk(const struct daemon_config *config, const struct parent_kept *kept)
{
    (void)dprintf(CONSOLE_FD, "lunstick: the disk behind / is another one now (%s)\n",
                  kept->other_disk);
    log_printf(LUN_LOG_ERROR, "the disk behind / is another one now (%s)", kept->other_disk);
    if (!config->on_other_disk[0])
        return;
    pid_t pid = fork();
    if (pid == 0) {
        log_forked();
        become_program(config->on_other_disk);
    }
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

/* ---- the parent process ---- */

static void log_end_of(pid_t parent, int status)
{
    if (WIFSIGNALED(status))
        log_printf(LUN_LOG_ERROR, "the parent process %ld was ended by signal %d (%s)",
                   (long)parent, WTERMSIG(status), strsignal(WTERMSIG(status)));
}

/* How the parent process ended: the exit status, as of a fault that may go away if it was
 * killed. It is our child, or we are its. Until the device is shown it hears of the signals that we
 * get. */
static int watch_over(pid_t parent, const struct parent_kept *kept, const sigset_t *set)
{
    bool mine = getppid() != parent;
    int status = 0;
    while (mine ? waitpid(parent, &status, WNOHANG) == 0 : getppid() == parent) {
        int number = sigwaitinfo(set, NULL);
        if (number > 0 && number != SIGCHLD && !kept->shown)
            (void)kill(parent, number);
    }
    log_end_of(parent, status);
    return kept->ended ? kept->exit_status : 1;
}

static pid_t start_parent(const struct daemon_config *config, struct parent_kept *kept)
{
    pid_t pid = fork();
    if (pid == 0) {
        log_forked();
        _exit(parent_main(config, kept));
    }
    if (pid < 0)
        (void)fail("cannot start a process", errno);
    return pid;
}

/* Whoever is alive at first is `parent`. The last exit status. */
static int supervise(const struct daemon_config *config, struct parent_kept *kept, pid_t parent)
{
    static const struct timespec pause = {.tv_sec = PAUSE_S};
    sigset_t set;
    own_signals(&set);
    for (;;) {
        int status = parent > 0 ? watch_over(parent, kept, &set) : 1;
        if (!kept->shown || status == 0 || status == PARENT_EXIT_OTHER_DISK)
            return status;
        (void)nanosleep(&pause, NULL);
        log_text(LUN_LOG_WARNING, "starting the parent process again");
        kept->ended = false;
        parent = start_parent(config, kept);
    }
}

static int end(const struct daemon_config *config, const struct parent_kept *kept, int status)
{
    if (kept->shown && status == PARENT_EXIT_OTHER_DISK)
        tell_other_disk(config, kept);
    log_end();
    return status;
}

pid_t supervisor_replace(const struct daemon_config *config, struct parent_kept *kept)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    log_forked();
    sandbox_close_from(FIRST_FD);
    (void)prctl(PR_SET_PDEATHSIG, SIGCHLD, 0, 0, 0);
    memory_lock();
    _exit(end(config, kept, supervise(config, kept, parent)));
}

int supervisor_main(const struct daemon_config *config)
{
    (void)prctl(PR_SET_NAME, "lunstickd", 0, 0, 0);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    sandbox_close_from(STDERR_FILENO + 1);
    (void)setsid();
    if (geteuid() != 0) {
        log_text(LUN_LOG_ERROR, "must be started by root, who makes the block device (try sudo)");
        return 2;
    }
    if (chdir("/") < 0)
        return fail("/", errno);
    int rc = open_place();
    if (rc < 0)
        return fail("/", -rc);
    struct parent_kept *kept = make_kept(config);
    if (!kept)
        return fail("memory", errno);
    if (!look_up(kept, config))
        return 2;
    memory_prepare();
    memory_reserve();
    rc = log_to_kernel();
    if (rc < 0)
        log_printf(LUN_LOG_WARNING, "/dev/kmsg: %s: the log goes to stderr", strerror(-rc));
    sigset_t set;
    own_signals(&set); /* before there is a process whose end they tell */
    return end(config, kept, supervise(config, kept, start_parent(config, kept)));
}
