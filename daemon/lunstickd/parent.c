/* SPDX-License-Identifier: BSD-2-Clause */
#include "parent.h"

#include "bridge/deferred.h"
#include "child.h"
#include "log.h"
#include "loop.h"
#include "memory.h"
#include "notify.h"
#include "outlet.h"
#include "privsep.h"
#include "resolver.h"
#include "rundir.h"
#include "sandbox.h"
#include "secrets.h"
#include "slot.h"
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOP_MS 2500 /* the child's log-out, and a little more */
/* The cable is out for at least this long: a host that only had to reset the port
 * would go on with a child that does not know which disk the host had. */
#define RESTART_MIN_MS      1000
#define RESTART_MAX_MS      5000
#define RESTART_HEALTHY_MS  60000 /* who lived that long starts again after the shortest pause */
#define BIND_RETRY_MS       2000
#define SUPERVISOR_RETRY_MS 1000

/* What set-up of children, configfs and mounts need; all else is dropped. */
#define PARENT_CAPABILITIES                                                                        \
    (1ULL << CAP_SYS_ADMIN | 1ULL << CAP_CHOWN | 1ULL << CAP_FOWNER | 1ULL << CAP_DAC_OVERRIDE |   \
     1ULL << CAP_KILL | 1ULL << CAP_SETUID | 1ULL << CAP_SETGID | 1ULL << CAP_SETPCAP |            \
     1ULL << CAP_SYS_CHROOT | 1ULL << CAP_IPC_LOCK | 1ULL << CAP_SYS_RESOURCE)

/* And where it may have to start a supervisor, which may have to start the machine anew. */
#define PARENT_CAPABILITIES_KEPT (PARENT_CAPABILITIES | 1ULL << CAP_SYS_BOOT)

struct parent;

struct parent_lun {
    struct parent *parent;
    unsigned index;
    struct resolver resolver;
};

struct parent {
    const struct daemon_config *config;
    struct parent_kept *kept; /* NULL: no supervisor */
    pid_t above;              /* it started us */
    pid_t supervisor;         /* started by us, when that one was gone; 0: none */
    uint64_t supervise_at_us; /* LOOP_NEVER: there is one */
    struct loop loop;
    struct deferred_list deferred; /* stays empty */
    struct loop_watch signals, sock;
    struct parent_lun luns[BOT_LUNS_MAX];
    struct slot slots[BOT_LUNS_MAX];
    const struct outlet_ops *outlet;
    struct lun_memory *memory; /* NULL: a disk may be exchanged */
    bool outlet_made;
    char ffs_dir[CONFIG_PATH_BYTES], empty_dir[CONFIG_PATH_BYTES];
    int control_fd;
    uid_t uid;
    gid_t gid;

    pid_t child; /* 0: none */
    uint64_t child_started_us;
    bool child_ran;   /* one reached its loop */
    bool bind_wanted; /* by this child */
    bool bound;
    bool bound_once;
    bool unplugged;                                 /* by the user */
    char bind_text[PRIVSEP_TEXT_BYTES];             /* of this child: what the outlet shows */
    char bind_fault[OUTLET_WHY_BYTES];              /* the last one that was logged */
    uint64_t bind_at_us, restart_at_us, kill_at_us; /* LOOP_NEVER: not planned */
    uint32_t restart_ms;
    bool stopping;
    int exit_code;
};

static struct parent the_parent;

_Static_assert(PRIVSEP_TEXT_BYTES >= ADDRESS_TEXT_BYTES, "a message holds every address");

static void finish(struct parent *p, int exit_code)
{
    if (!p->loop.stop)
        p->exit_code = exit_code;
    p->loop.stop = true;
}

/* ---- the child ---- */

static void kill_child(struct parent *p)
{
    if (p->child > 0)
        (void)kill(p->child, SIGKILL);
}

/* Nothing more is heard from this child; SIGCHLD does the rest. */
static void give_up_child(struct parent *p)
{
    kill_child(p);
    if (p->sock.fd >= 0)
        (void)close(p->sock.fd);
    p->sock.fd = -1;
}

static void send_child(struct parent *p, const struct privsep_msg *msg)
{
    /* At its end of file, or it does not read. */
    if (p->sock.fd >= 0 && privsep_send(p->sock.fd, msg) < 0)
        give_up_child(p);
}

/* And wipes them. */
static void send_secrets(struct parent *p, unsigned lun, struct lun_secrets *secrets)
{
    struct privsep_msg msg;
    privsep_init(&msg, PRIVSEP_SECRETS);
    msg.lun = (uint8_t)lun;
    privsep_text(&msg, 0, secrets->secret);
    privsep_text(&msg, 1, secrets->target_secret);
    send_child(p, &msg);
    secrets_wipe(secrets);
    explicit_bzero(&msg, sizeof msg);
}

static bool get_secrets(const struct parent *p, unsigned lun, struct lun_secrets *secrets,
                        char why[CONFIG_WHY_BYTES])
{
    if (!p->kept)
        return secrets_load(secrets, &p->slots[lun].lun, why);
    *secrets = p->kept->secrets;
    return true;
}

static bool send_all_secrets(struct parent *p)
{
    for (unsigned i = 0; i < p->config->lun_count; i++) {
        struct lun_secrets secrets;
        char why[CONFIG_WHY_BYTES];
        if (!get_secrets(p, i, &secrets, why)) {
            log_text(LUN_LOG_ERROR, why);
            return false;
        }
        send_secrets(p, i, &secrets);
    }
    return true;
}

static int fork_child(struct parent *p)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    const struct child_start start = {
        .config = p->config,
        .sock = pair[1],
        .uid = p->uid,
        .gid = p->gid,
        .root_dir = p->empty_dir,
        .parent = getpid(),
        .again = p->bound_once,
        .unplugged = p->unplugged,
        .slots = p->slots,
        .memory = p->memory,
        .arena = p->kept ? p->kept->arena : NULL,
    };
    pid_t pid = fork();
    if (pid == 0) {
        log_forked();
        int exit_code = child_main(&start);
        log_end();
        _exit(exit_code);
    }
    int error = errno;
    (void)close(pair[1]);
    if (pid < 0) {
        (void)close(pair[0]);
        return -error;
    }
    (void)fcntl(pair[0], F_SETFL, O_NONBLOCK);
    p->child = pid;
    p->sock.fd = pair[0];
    p->child_started_us = loop_now_us();
    p->bind_at_us = LOOP_NEVER;
    return 0;
}

/* What the outlet has for the child; it leaves the parent. */
static void send_front(struct parent *p)
{
    struct privsep_msg msg;
    privsep_init(&msg, PRIVSEP_FRONT);
    msg.fds[0] = p->outlet->fd();
    if (msg.fds[0] < 0)
        return;
    send_child(p, &msg);
    p->outlet->close_fd();
}

/* A new child with all it needs to begin. */
static int start_child(struct parent *p)
{
    struct privsep_msg msg;
    int rc = fork_child(p);
    if (rc == 0) {
        privsep_init(&msg, PRIVSEP_START);
        privsep_text(&msg, 0, p->outlet->name());
        msg.fds[0] = p->control_fd;
        send_child(p, &msg);
        send_front(p);
        if (!send_all_secrets(p))
            give_up_child(p);
    }
    return rc;
}

static void plan_restart(struct parent *p)
{
    log_printf(LUN_LOG_WARNING, "starting the child process again in %u ms", p->restart_ms);
    p->restart_at_us = loop_now_us() + p->restart_ms * 1000ULL;
    p->restart_ms = p->restart_ms * 2 < RESTART_MAX_MS ? p->restart_ms * 2 : RESTART_MAX_MS;
}

static void restart(struct parent *p)
{
    char why[OUTLET_WHY_BYTES];
    p->restart_at_us = LOOP_NEVER;
    if (!p->outlet->reopen(why)) {
        log_text(LUN_LOG_ERROR, why);
        plan_restart(p);
        return;
    }
    int rc = start_child(p);
    if (rc < 0) {
        log_printf(LUN_LOG_ERROR, "cannot start a process: %s", strerror(-rc));
        plan_restart(p);
    }
}

static void log_death(int status)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        log_text(LUN_LOG_ERROR, "the child process made a system call that its filter forbids; "
                                "the kernel's log names it (type=1326, syscall=)");
    else if (WIFSIGNALED(status))
        log_printf(LUN_LOG_ERROR, "the child process was ended by signal %d (%s)", WTERMSIG(status),
                   strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) >= CHILD_EXIT_BROKEN)
        log_printf(LUN_LOG_ERROR, "the child process ended with status %d", WEXITSTATUS(status));
}

static void child_died(struct parent *p, int status)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : CHILD_EXIT_BROKEN;
    p->child = 0; /* its number may be another's now */
    give_up_child(p);
    if (loop_now_us() - p->child_started_us > RESTART_HEALTHY_MS * 1000ULL)
        p->restart_ms = RESTART_MIN_MS;
    p->bind_at_us = LOOP_NEVER;
    for (unsigned i = 0; i < p->config->lun_count; i++)
        resolver_cancel(&p->luns[i].resolver);
    p->outlet->child_died();
    p->bound = p->bind_wanted = false;
    if (!p->stopping)
        log_death(status);

    if (p->stopping || code == CHILD_EXIT_STOPPED)
        finish(p, 0);
    else if (code == CHILD_EXIT_TRANSIENT || code == CHILD_EXIT_PERMANENT)
        finish(p, code);
    else if (p->config->once || !p->child_ran)
        finish(p, 1);
    else
        plan_restart(p);
}

/* ---- what the child asks for ---- */

static void hand_over_endpoints(struct parent *p)
{
    struct privsep_msg msg;
    char why[OUTLET_WHY_BYTES];
    privsep_init(&msg, PRIVSEP_ENDPOINTS);
    if (!p->outlet->endpoints || !p->outlet->endpoints(&msg.fds[0], &msg.fds[1], why)) {
        log_text(LUN_LOG_ERROR, p->outlet->endpoints ? why : "there are no endpoint files");
        give_up_child(p);
        return;
    }
    send_child(p, &msg);
    /* The child's death alone must close FunctionFS. */
    (void)close(msg.fds[0]);
    (void)close(msg.fds[1]);
}

static void tell_bound(struct parent *p, const char *why)
{
    struct privsep_msg msg;
    privsep_init(&msg, PRIVSEP_BOUND);
    msg.number = p->unplugged ? PRIVSEP_UNPLUGGED : p->bound ? PRIVSEP_IS_BOUND : PRIVSEP_NOT_BOUND;
    privsep_text(&msg, 0, why);
    privsep_text(&msg, 1, p->outlet->name());
    send_child(p, &msg);
}

/* If it is to be. */
static void bind_gadget(struct parent *p)
{
    char why[OUTLET_WHY_BYTES] = "";
    p->bind_at_us = LOOP_NEVER;
    if (p->bound || !p->bind_wanted || p->unplugged) {
        tell_bound(p, why);
        return;
    }
    if (p->outlet->bind(p->bind_text, why)) {
        send_front(p);
        p->bound = true;
        p->bound_once = true;
        if (p->kept)
            p->kept->shown = true;
        p->bind_fault[0] = 0;
    } else {
        bool news = strcmp(why, p->bind_fault) != 0;
        memcpy(p->bind_fault, why, sizeof p->bind_fault);
        log_text(news ? LUN_LOG_ERROR : LUN_LOG_DEBUG, why);
        if (!p->bound_once)
            finish(p, 1);
        p->bind_at_us = loop_now_us() + BIND_RETRY_MS * 1000ULL;
    }
    tell_bound(p, why);
}

/* The user's wish, heard by the child. */
static void plug(struct parent *p, bool plugged)
{
    p->unplugged = !plugged;
    log_printf(LUN_LOG_INFO, "the user %s the cable", plugged ? "plugs in" : "unplugs");
    if (!plugged) {
        p->outlet->unbind();
        p->bound = false;
    }
    bind_gadget(p);
}

static void refuse_disk(struct parent *p, unsigned lun, const char *why)
{
    struct privsep_msg msg;
    log_printf(LUN_LOG_WARNING, "disk %u: not inserted: %s", lun, why);
    privsep_init(&msg, PRIVSEP_INSERTED);
    msg.lun = (uint8_t)lun;
    privsep_text(&msg, 1, why);
    send_child(p, &msg);
}

/* Another disk into the slot; a name that is still looked up is the old one's. */
static void insert_disk(struct parent *p, unsigned lun, const struct privsep_msg *asked)
{
    struct slot slot;
    struct lun_secrets secrets;
    struct privsep_msg msg;
    char why[CONFIG_WHY_BYTES], url[ADDRESS_TEXT_BYTES];
    if (!slot_choose(&slot, &p->config->luns[lun], asked->text[0], asked->number != 0, why) ||
        !secrets_load(&secrets, &slot.lun, why)) {
        refuse_disk(p, lun, why);
        return;
    }
    p->slots[lun] = slot;
    resolver_cancel(&p->luns[lun].resolver);
    log_printf(LUN_LOG_INFO, "the user inserts disk %u: %s", lun,
               address_format(&slot.lun.address, url, sizeof url));
    privsep_init(&msg, PRIVSEP_INSERTED);
    msg.lun = (uint8_t)lun;
    privsep_text(&msg, 0, url);
    send_child(p, &msg);
    send_secrets(p, lun, &secrets);
}

static void tell_address(struct parent_lun *l, const char *numeric, const char *why)
{
    struct privsep_msg msg;
    privsep_init(&msg, PRIVSEP_RESOLVED);
    msg.lun = (uint8_t)l->index;
    if (numeric)
        privsep_text(&msg, 0, numeric);
    else
        privsep_text(&msg, 1, why);
    send_child(l->parent, &msg);
}

static void name_resolved(void *ctx, const char *numeric, const char *why)
{
    struct parent_lun *l = ctx;
    struct parent_kept *kept = l->parent->kept;
    if (kept && numeric)
        (void)snprintf(kept->portal, sizeof kept->portal, "%s", numeric);
    tell_address(l, kept && kept->portal[0] ? kept->portal : numeric, why);
}

/* The files and name servers that a name needs may be on the disk itself: where that
 * can be, the address that was found last has every other turn, and the first. */
static void resolve(struct parent *p, unsigned lun, uint32_t attempt)
{
    struct parent_lun *l = &p->luns[lun];
    if (p->kept && p->kept->portal[0] && attempt % 2 == 0)
        tell_address(l, p->kept->portal, NULL);
    else
        resolver_ask(&l->resolver, p->slots[lun].lun.address.host, attempt);
}

/* What the child wants for one of its LUNs. */
static void serve_lun(struct parent *p, const struct privsep_msg *msg)
{
    unsigned lun = msg->lun;
    if (lun >= p->config->lun_count)
        return;
    if (msg->type == PRIVSEP_RESOLVE)
        resolve(p, lun, msg->number);
    else if (msg->type == PRIVSEP_EJECT)
        p->slots[lun].ejected = true;
    else if (msg->text[0][0])
        insert_disk(p, lun, msg);
    else
        slot_insert(&p->slots[lun], &p->config->luns[lun], msg->number != 0);
}

/* The sentence comes from the child: one line of it, or it could speak in the
 * service manager's protocol. */
static void report_status(struct parent *p, const struct privsep_msg *msg)
{
    char text[PRIVSEP_TEXT_BYTES + 32];
    int head = snprintf(text, sizeof text, "%sSTATUS=", p->child_ran ? "" : "READY=1\n");
    (void)snprintf(text + head, sizeof text - (size_t)head, "%s", msg->text[0]);
    for (char *c = text + head; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    notify_send(text);
    p->child_ran = true;
}

/* Without a supervisor it is refused, and the right one waited for. */
static void report_other_disk(struct parent *p, const struct privsep_msg *msg)
{
    if (!p->kept)
        return;
    (void)snprintf(p->kept->other_disk, sizeof p->kept->other_disk, "%.255s", msg->text[0]);
    for (char *c = p->kept->other_disk; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    finish(p, PARENT_EXIT_OTHER_DISK);
}

static void sock_ready(void *ctx, short revents)
{
    struct parent *p = ctx;
    struct privsep_msg msg;
    (void)revents;
    int rc = privsep_recv(p->sock.fd, &msg);
    if (rc == -EAGAIN || rc == -EINTR)
        return;
    if (rc < 0 || !privsep_from_child(msg.type)) {
        if (rc != -EPIPE)
            log_text(LUN_LOG_ERROR, "the child process sent nonsense: ending it");
        for (unsigned i = 0; rc == 0 && i < PRIVSEP_FDS_MAX; i++)
            if (msg.fds[i] >= 0)
                (void)close(msg.fds[i]);
        give_up_child(p);
        return;
    }
    if (p->stopping)
        return;
    switch ((int)msg.type) {
    case PRIVSEP_DESCRIPTORS_WRITTEN:
        hand_over_endpoints(p);
        break;
    case PRIVSEP_BIND:
        p->bind_wanted = true;
        memcpy(p->bind_text, msg.text[0], sizeof p->bind_text);
        bind_gadget(p);
        break;
    case PRIVSEP_PLUG:
        plug(p, msg.number != 0);
        break;
    case PRIVSEP_RESOLVE:
    case PRIVSEP_EJECT:
    case PRIVSEP_INSERT:
        serve_lun(p, &msg);
        break;
    case PRIVSEP_STATUS:
        report_status(p, &msg);
        break;
    case PRIVSEP_OTHER_DISK:
        report_other_disk(p, &msg);
        break;
    default:
        break;
    }
}

/* ---- the supervisor ---- */

/* It alone of our children gets to know what is kept: there are secrets in it. */
static void keep_from_children(struct parent_kept *kept, bool from_all)
{
    (void)madvise(kept, sizeof *kept, from_all ? MADV_DONTFORK : MADV_DOFORK);
}

static void want_supervisor(struct parent *p)
{
    keep_from_children(p->kept, false);
    p->supervisor = supervisor_replace(p->config, p->kept);
    keep_from_children(p->kept, true);
    p->supervise_at_us =
        p->supervisor > 0 ? LOOP_NEVER : loop_now_us() + SUPERVISOR_RETRY_MS * 1000ULL;
    log_text(LUN_LOG_WARNING, p->supervisor > 0
                                  ? "the supervisor is gone: there is another"
                                  : "the supervisor is gone, and no process can be started");
}

static void look_for_supervisor(struct parent *p)
{
    if (p->supervisor == 0 && getppid() != p->above)
        want_supervisor(p);
}

/* ---- signals and time ---- */

/* The host sees the cable pulled first; then nothing new comes, and the child
 * logs out. A second signal does not wait for that. */
static void stop(struct parent *p)
{
    struct privsep_msg msg;
    if (p->stopping) {
        kill_child(p);
        return;
    }
    p->stopping = true;
    p->restart_at_us = LOOP_NEVER;
    p->bind_at_us = LOOP_NEVER;
    notify_send("STOPPING=1");
    log_text(LUN_LOG_INFO, "stopping");
    if (p->bound)
        p->outlet->unbind();
    p->bound = false;
    if (p->child == 0) {
        finish(p, 0);
        return;
    }
    privsep_init(&msg, PRIVSEP_STOP);
    send_child(p, &msg);
    p->kill_at_us = loop_now_us() + STOP_MS * 1000ULL;
}

static void reap(struct parent *p)
{
    pid_t pid;
    int status;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (unsigned i = 0; i < p->config->lun_count; i++)
            resolver_died(&p->luns[i].resolver, pid);
        if (pid == p->child)
            child_died(p, status);
        if (p->kept && pid == p->supervisor)
            want_supervisor(p);
    }
}

static void signal_ready(void *ctx, short revents)
{
    struct parent *p = ctx;
    struct signalfd_siginfo info;
    (void)revents;
    if (read(p->signals.fd, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (info.ssi_signo == SIGCHLD)
        reap(p);
    else if (info.ssi_signo == SIGUSR1)
        look_for_supervisor(p);
    else if (p->kept && p->kept->shown)
        log_text(LUN_LOG_WARNING, "signals do not end what the machine's root is on; lunstick "
                                  "unmap --force does");
    else
        stop(p);
}

static uint64_t prepare(void *ctx)
{
    struct parent *p = ctx;
    uint64_t next_us = loop_earlier(p->bind_at_us, loop_earlier(p->restart_at_us, p->kill_at_us));
    next_us = loop_earlier(next_us, log_next_timeout_us());
    next_us = loop_earlier(next_us, p->supervise_at_us);
    for (unsigned i = 0; i < p->config->lun_count; i++)
        next_us = loop_earlier(next_us, p->luns[i].resolver.deadline_us);
    return next_us;
}

static void timers(void *ctx)
{
    struct parent *p = ctx;
    uint64_t now_us = loop_now_us();
    for (unsigned i = 0; i < p->config->lun_count; i++)
        resolver_run_timeout(&p->luns[i].resolver);
    if (now_us >= p->kill_at_us) {
        p->kill_at_us = LOOP_NEVER;
        log_text(LUN_LOG_WARNING, "the child process did not log out in time");
        kill_child(p);
    }
    if (now_us >= p->bind_at_us)
        bind_gadget(p);
    if (now_us >= p->restart_at_us)
        restart(p);
    if (now_us >= p->supervise_at_us)
        want_supervisor(p);
    log_run_timeouts();
}

/* ---- set-up and tear-down ---- */

static int watch_signals(struct parent *p)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    (void)sigaddset(&set, SIGCHLD);
    if (p->kept)
        (void)sigaddset(&set, SIGUSR1); /* the supervisor died */
    /* Whoever started us may have ignored SIGCHLD, and so would we. */
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGCHLD, SIG_DFL) == SIG_ERR ||
        signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return -errno;
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    p->signals = (struct loop_watch){.fd = fd, .events = POLLIN, .ready = signal_ready, .ctx = p};
    return loop_add(&p->loop, &p->signals);
}

/* A missing or open secret file is told before anything is made. */
static bool check_secrets(const struct daemon_config *config)
{
    for (unsigned i = 0; i < config->lun_count; i++) {
        struct lun_secrets secrets;
        char why[CONFIG_WHY_BYTES];
        bool good = secrets_load(&secrets, &config->luns[i], why);
        secrets_wipe(&secrets);
        if (why[0])
            log_text(good ? LUN_LOG_WARNING : LUN_LOG_ERROR, why);
        if (!good)
            return false;
    }
    return true;
}

/* Makes it for a user to serve; without root's rights, takes over one that was
 * made so. The exit status, 0 if all is well. */
static int get_outlet(struct parent *p, uid_t uid, gid_t gid)
{
    const struct outlet_config oc = {
        .config = p->config,
        .ffs_dir = p->ffs_dir,
        .uid = uid,
        .gid = gid,
        .adopt = geteuid() != 0,
        .loop = &p->loop,
    };
    char why[OUTLET_WHY_BYTES] = "";
    int exit_code = p->outlet->create(&oc, why);
    p->outlet_made = exit_code == 0;
    if (exit_code != 0)
        log_text(LUN_LOG_ERROR, why);
    return exit_code;
}

/* The file of users may be on the disk that `root` is about, and out of reach. */
static void choose_user(struct parent *p)
{
    if (p->kept) {
        p->uid = p->kept->uid;
        p->gid = p->kept->gid;
    } else if (p->config->root) {
        (void)sandbox_user(NULL, &p->uid, &p->gid);
    } else if (!sandbox_user(p->config->user, &p->uid, &p->gid))
        log_printf(LUN_LOG_INFO, "there is no user %s: serving as user %u", p->config->user,
                   (unsigned)p->uid);
}

static int fail(const char *what, int rc)
{
    log_printf(LUN_LOG_ERROR, "%s: %s", what, strerror(-rc));
    return 1;
}

/* 0, or the exit status, after which tear_down() removes what was made. */
static int set_up(struct parent *p)
{
    const struct daemon_config *config = p->config;
    bool root = geteuid() == 0;
    if (!root && access(config->run_dir, F_OK) < 0) {
        log_text(LUN_LOG_ERROR, "must be started by root, who makes the USB gadget (try sudo), or "
                                "after lunstickd --prepare");
        return 2;
    }
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* no core file holds a secret */
    if (!p->kept && !check_secrets(config))
        return 2;
    int rc = notify_open();
    if (rc < 0)
        log_printf(LUN_LOG_WARNING, "the service manager's NOTIFY_SOCKET: %s", strerror(-rc));
    rc = watch_signals(p);
    if (rc < 0)
        return fail("signals", rc);
    if (root)
        choose_user(p);
    if (config->front == CONFIG_FRONT_NBD) {
        p->memory = p->kept ? p->kept->memory : memory_shared(sizeof *p->memory);
        if (!p->memory)
            return fail("memory", -errno);
    }
    for (unsigned i = 0; i < config->lun_count; i++) {
        struct parent_lun *l = &p->luns[i];
        l->parent = p;
        l->index = i;
        slot_init(&p->slots[i], &config->luns[i]);
        l->resolver.done = name_resolved;
        l->resolver.ctx = l;
        rc = resolver_init(&l->resolver, &p->loop, p->uid, p->gid);
        if (rc < 0)
            return fail("resolver", rc);
    }
    int exit_code = get_outlet(p, 0, 0);
    if (exit_code != 0)
        return exit_code;
    /* the name's lock is held from here on */
    rc = root ? rundir_make(config->run_dir, 0, 0) : 0;
    if (rc < 0)
        return fail(config->run_dir, rc);
    p->control_fd = rundir_listen(config->run_dir, p->kept        ? p->kept->control_gid
                                                   : config->root ? RUNDIR_NO_GROUP
                                                                  : rundir_group(config->user));
    if (p->control_fd < 0)
        return fail("control socket", p->control_fd);
    rc = start_child(p);
    if (rc < 0)
        return fail("cannot start a process", rc);
    rc = sandbox_keep_capabilities(!root     ? p->outlet->capabilities
                                   : p->kept ? PARENT_CAPABILITIES_KEPT
                                             : PARENT_CAPABILITIES);
    return rc < 0 ? fail("capabilities", rc) : 0;
}

static void tear_down(struct parent *p, int exit_code)
{
    if (p->child > 0) {
        kill_child(p);
        while (waitpid(p->child, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    for (unsigned i = 0; i < p->config->lun_count; i++)
        if (p->luns[i].parent)
            resolver_cancel(&p->luns[i].resolver);
    while (waitpid(-1, NULL, p->supervisor > 0 ? WNOHANG : 0) > 0) { /* it waits for us */
    }
    /* The device waits for the next one, as if we had been killed. */
    if (p->kept && p->kept->shown && exit_code != 0)
        return;
    if (p->outlet_made) {
        rundir_clear(p->config->run_dir);
        p->outlet->destroy(); /* and lets go of the lock */
        rundir_remove(p->config->run_dir);
    }
    if (p->control_fd >= 0)
        (void)close(p->control_fd);
    if (p->sock.fd >= 0)
        (void)close(p->sock.fd);
    if (p->signals.fd >= 0)
        (void)close(p->signals.fd);
    notify_close();
}

/* A process that another parent's supervisor started has that one's object. */
static void begin(struct parent *p, const struct daemon_config *config)
{
    memset(p, 0, sizeof *p);
    p->config = config;
    p->outlet = config->front == CONFIG_FRONT_NBD ? &outlet_nbd : &outlet_usb;
    (void)umask(022);
    (void)rundir_path(p->ffs_dir, config->run_dir, RUNDIR_FFS);
    (void)rundir_path(p->empty_dir, config->run_dir, RUNDIR_EMPTY);
}

int parent_prepare(const struct daemon_config *config)
{
    struct parent *p = &the_parent;
    begin(p, config);
    if (!p->outlet->leave) {
        log_text(LUN_LOG_ERROR,
                 "--prepare makes a USB gadget; a block device needs root all along");
        return 2;
    }
    if (geteuid() != 0) {
        log_text(LUN_LOG_ERROR, "--prepare makes the USB gadget, which is root's to do (try sudo)");
        return 2;
    }
    if (!sandbox_user(config->user, &p->uid, &p->gid)) {
        log_printf(LUN_LOG_ERROR, "there is no user %s to serve the gadget: useradd --system %s",
                   config->user, config->user);
        return 2;
    }
    int exit_code = get_outlet(p, p->uid, p->gid);
    if (exit_code != 0)
        return exit_code;
    int rc = rundir_make(config->run_dir, p->uid, p->gid);
    if (rc == 0)
        rc = p->outlet->leave();
    if (rc < 0) {
        rundir_clear(config->run_dir);
        p->outlet->destroy();
        rundir_remove(config->run_dir);
        return fail("the gadget cannot be left to its user", rc);
    }
    return 0;
}

/* Under a supervisor. */
static void begin_below(struct parent *p)
{
    keep_from_children(p->kept, true);
    p->bound_once = p->kept->shown;
    p->above = getppid();
    (void)prctl(PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0);
    if (p->above == 1) /* it is gone already */
        p->supervise_at_us = loop_now_us();
}

int parent_main(const struct daemon_config *config, struct parent_kept *kept)
{
    struct parent *p = &the_parent;
    begin(p, config);
    p->kept = kept;
    p->supervise_at_us = LOOP_NEVER;
    if (kept)
        begin_below(p);
    p->control_fd = -1;
    p->signals.fd = -1;
    p->bind_at_us = p->restart_at_us = p->kill_at_us = LOOP_NEVER;
    p->restart_ms = RESTART_MIN_MS;
    deferred_list_init(&p->deferred);
    loop_init(&p->loop, &p->deferred, prepare, timers, p);
    p->sock = (struct loop_watch){.fd = -1, .events = POLLIN, .ready = sock_ready, .ctx = p};
    int exit_code = loop_add(&p->loop, &p->sock) < 0 ? 1 : set_up(p);
    if (exit_code == 0) {
        int rc = loop_run(&p->loop);
        exit_code = rc < 0 ? fail("event loop", rc) : p->exit_code;
    }
    tear_down(p, exit_code);
    if (kept) {
        kept->exit_status = exit_code;
        kept->ended = true;
    }
    log_end();
    return exit_code;
}
