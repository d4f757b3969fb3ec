/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervisor.h"

#include "log.h"
#include "memory.h"
#include "parent.h"
#include "rundir.h"
#include "sandbox.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
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

/* Shared with each parent process, and in no core file. NULL with errno. */
static struct parent_kept *make_kept(void)
{
    struct parent_kept *kept = mmap(NULL, sizeof *kept, PROT_READ | PROT_WRITE,
                                    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (kept == MAP_FAILED)
        return NULL;
    (void)madvise(kept, sizeof *kept, MADV_DONTDUMP);
    return kept;
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

static void say_end(int status)
{
    if (WIFSIGNALED(status))
        log_printf(LUN_LOG_ERROR, "the parent process was ended by signal %d (%s)",
                   WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        log_printf(LUN_LOG_ERROR, "the parent process ended with status %d", WEXITSTATUS(status));
}

/* One life of the parent process: its wait status; 1: it could not be started. */
static int live(const struct daemon_config *config, struct parent_kept *kept, const sigset_t *set)
{
    pid_t parent = fork();
    if (parent == 0) {
        log_forked();
        _exit(parent_main(config, kept));
    }
    if (parent < 0) {
        (void)fail("cannot start a process", errno);
        return 1 << 8;
    }
    int status = watch_over(parent, kept, set);
    if (!WIFEXITED(status) || kept->shown)
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
    int status = live(config, kept, &set);
    while (kept->shown && !(WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
        (void)nanosleep(&pause, NULL);
        log_text(LUN_LOG_WARNING, "starting the parent process again");
        status = live(config, kept, &set);
    }
    log_end();
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
