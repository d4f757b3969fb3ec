/* SPDX-License-Identifier: BSD-2-Clause */
#include "child.h"

#include "bridge/deferred.h"
#include "bridge/lun.h"
#include "bridge/pool.h"
#include "control.h"
#include "gadget/bot.h"
#include "gadget/ffs_port.h"
#include "initiator/session.h"
#include "log.h"
#include "loop.h"
#include "privsep.h"
#include "sandbox.h"
#include "secrets.h"
#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ARENA_SLICES          48 /* 3 MiB */
#define LOGOUT_MS             2000
#define PARENT_SILENCE_S      10 /* during set-up */
#define REPEATED_FAULT_LOG_MS 60000
#define REFUSED_RETRY_MS      5000

struct child;

/* One disk: a logical unit and the session behind it. */
struct child_lun {
    struct child *child;
    unsigned index;
    const struct config_lun *config;
    struct session *session;
    struct lun *lun;
    struct loop_watch watch;
    bool accepted;     /* a disk was accepted once */
    bool waited;       /* the target was away before it answered */
    uint64_t retry_us; /* LOOP_NEVER, or when a session that was refused starts again */
    uint32_t resolves; /* since the last session */
    char portal[64];   /* numeric; empty: not known yet */
    enum session_state last_state;
    uint64_t fault_logged_us;
    char fault[SESSION_WHY_BYTES]; /* the last one that was logged */
};

struct child {
    const struct daemon_config *config;
    struct loop loop;
    struct deferred_list deferred;
    struct loop_watch parent, signals, ep0, aio;
    struct pool pool;
    struct child_lun luns[BOT_LUNS_MAX];
    struct lun *bot_luns[BOT_LUNS_MAX];
    unsigned lun_count;
    struct ffs_port *port;
    struct bot *bot;
    struct control control;
    uint64_t started_us;
    pid_t pid;
    char udc[PRIVSEP_TEXT_BYTES];
    bool bind_wanted, bound, again;
    char bind_fault[PRIVSEP_TEXT_BYTES];
    enum usb_speed last_speed;
    bool last_bound;
    char last_sentence[PRIVSEP_TEXT_BYTES];
    bool stopping;
    uint64_t stop_by_us;
    int exit_code;
};

/* Large, and there is one: not on the stack. */
static struct child the_child;

_Static_assert(CONTROL_ANSWER_BYTES >= STATUS_BYTES, "an answer holds the longest status");

/* Being told to stop is none. */
static int fail(const char *what, int rc)
{
    if (rc != -ECANCELED)
        log_printf(LUN_LOG_ERROR, "%s: %s", what, strerror(-rc));
    return rc;
}

static void end(struct child *child, int exit_code)
{
    if (!child->loop.stop)
        child->exit_code = exit_code;
    child->loop.stop = true;
}

/* What the modules say; the end of a session that we end is no news. */
static void log_module(enum lun_log_level level, const char *text)
{
    log_text(the_child.stopping ? LUN_LOG_DEBUG : level, text);
}

/* ---- to the parent ---- */

/* A parent that does not read is as good as none. */
static void send_parent(struct child *child, const struct privsep_msg *msg)
{
    int rc = privsep_send(child->parent.fd, msg);
    if (rc < 0) {
        (void)fail("the parent process does not answer", rc);
        end(child, CHILD_EXIT_BROKEN);
    }
}

static void send_plain(struct child *child, enum privsep_type type)
{
    struct privsep_msg msg;
    privsep_init(&msg, type);
    send_parent(child, &msg);
}

/* ---- sessions and logical units ---- */

static void ask_resolver(void *ctx, const char *host)
{
    struct child_lun *l = ctx;
    struct privsep_msg msg;
    (void)host; /* the parent resolves the configured name and no other */
    privsep_init(&msg, PRIVSEP_RESOLVE);
    msg.lun = (uint8_t)l->index;
    msg.number = l->resolves++;
    send_parent(l->child, &msg);
}

/* The same fault again and again is said once a minute. */
static void log_fault(struct child_lun *l, enum lun_log_level level, const char *why)
{
    uint64_t now_us = loop_now_us();
    bool same = strncmp(l->fault, why, sizeof l->fault - 1) == 0;
    if (same && now_us - l->fault_logged_us < REPEATED_FAULT_LOG_MS * 1000ULL)
        level = LUN_LOG_DEBUG;
    else
        l->fault_logged_us = now_us;
    (void)snprintf(l->fault, sizeof l->fault, "%s", why);
    log_text(level, why);
}

/* Before the first acceptance a permanent fault ends the daemon, a transient
 * one only with --once; afterwards nothing does. What a target that was away
 * says at first is not permanent: many listen before their LUNs are there. The
 * session gives up on its own after such an answer, and is started again. */
static void session_fault(void *ctx, enum backend_fault fault, const char *why)
{
    struct child_lun *l = ctx;
    struct child *child = l->child;
    bool first = !l->accepted && !l->waited && !child->again;
    if (first && fault == BACKEND_FAULT_PERMANENT) {
        log_text(LUN_LOG_ERROR, why);
        end(child, CHILD_EXIT_PERMANENT);
    } else if (first && child->config->once) {
        log_text(LUN_LOG_ERROR, why);
        end(child, CHILD_EXIT_TRANSIENT);
    } else {
        log_fault(l, LUN_LOG_WARNING, why);
    }
    if (fault == BACKEND_FAULT_PERMANENT)
        l->retry_us = loop_now_us() + REFUSED_RETRY_MS * 1000ULL;
    else
        l->waited = true;
}

/* Promise 6: the host sees the gadget when every LUN was accepted once. */
static void disk_changed(void *ctx, const struct disk_identity *disk)
{
    struct child_lun *l = ctx;
    struct child *child = l->child;
    if (!disk)
        return;
    l->accepted = true;
    l->resolves = 0;
    l->fault[0] = 0;
    for (unsigned i = 0; i < child->lun_count; i++)
        if (!child->luns[i].accepted)
            return;
    if (!child->bind_wanted && !child->stopping) {
        child->bind_wanted = true;
        send_plain(child, PRIVSEP_BIND);
    }
}

static void session_ready(void *ctx, short revents)
{
    struct child_lun *l = ctx;
    session_service(l->session, revents);
}

static int make_session(struct child_lun *l, const struct lun_secrets *secrets)
{
    struct child *child = l->child;
    const struct daemon_config *config = child->config;
    char number[8];
    struct session_config sc = {
        .address = l->config->address,
        .header_digest = l->config->header_digest,
        .login_timeout_ms = config->login_timeout_ms,
        .keepalive_ms = config->keepalive_ms,
        .backoff_max_ms = config->backoff_max_ms,
        .deferred = &child->deferred,
        .now_us = loop_now_us,
        .log = log_module,
        .resolve = address_is_numeric(l->config->address.host) ? NULL : ask_resolver,
        .resolve_ctx = l,
        .fault = session_fault,
        .fault_ctx = l,
    };
    (void)snprintf(number, sizeof number, "%u", l->index);
    memcpy(sc.initiator_name, config->initiator_name, sizeof sc.initiator_name);
    memcpy(sc.target_user, l->config->target_user, sizeof sc.target_user);
    memcpy(sc.secret, secrets->secret, sizeof sc.secret);
    memcpy(sc.target_secret, secrets->target_secret, sizeof sc.target_secret);
    session_isid(sc.isid, config->board, config->name, number, "usb");
    if (address_is_numeric(l->config->address.host))
        (void)snprintf(l->portal, sizeof l->portal, "%.63s", l->config->address.host);
    l->session = session_create(&sc);
    int rc = l->session ? 0 : -errno;
    explicit_bzero(&sc, sizeof sc);
    return rc;
}

static int make_lun(struct child_lun *l)
{
    struct child *child = l->child;
    const struct daemon_config *config = child->config;
    const struct lun_config lc = {
        .backend = session_backend(l->session),
        .deferred = &child->deferred,
        .pool = &child->pool,
        .now_us = loop_now_us,
        .log = log_module,
        .disk_changed = disk_changed,
        .disk_changed_ctx = l,
        .answer_within_ms = config->answer_within_ms,
        .segment_bytes = config->segment_bytes,
        .read_only = l->config->read_only,
        .removable = l->config->removable,
    };
    l->lun = lun_create(&lc);
    return l->lun ? 0 : -errno;
}

/* ---- status ---- */

static void fill_view(const struct child *child, struct status_view *view)
{
    memset(view, 0, sizeof *view);
    view->version = LUNSTICK_VERSION;
    view->name = child->config->name;
    view->pid = child->pid;
    view->now_us = loop_now_us();
    view->started_us = child->started_us;
    view->initiator_name = child->config->initiator_name;
    view->serial = child->config->serial;
    view->udc = child->udc;
    view->bound = child->bound;
    view->gadget_fault = child->bind_fault;
    view->bot = bot_stats(child->bot);
    view->bot_state = bot_state_name(child->bot);
    view->port = ffs_port_stats(child->port);
    view->lun_count = child->lun_count;
    for (unsigned i = 0; i < child->lun_count; i++) {
        const struct child_lun *l = &child->luns[i];
        view->luns[i] = (struct status_lun){
            .address = &l->config->address,
            .portal = l->portal[0] ? l->portal : NULL,
            .session = session_stats(l->session),
            .lun = lun_stats(l->lun),
            .disk = lun_disk(l->lun),
            .read_only = l->config->read_only,
            .removable = l->config->removable,
        };
    }
}

static size_t respond(void *ctx, const char *line, char *answer, size_t size)
{
    const struct child *child = ctx;
    struct status_view view;
    int n;
    fill_view(child, &view);
    if (strcmp(line, "status") == 0)
        return status_text(&view, answer, size);
    if (strcmp(line, "status json") == 0)
        return status_json(&view, answer, size);
    n = snprintf(answer, size, "error: no such request\n");
    return n > 0 ? (size_t)n : 0;
}

/* A new sentence for the service manager, whenever something moved. */
static void report_moves(struct child *child)
{
    bool moved = !child->last_sentence[0] || child->bound != child->last_bound ||
                 bot_stats(child->bot)->speed != child->last_speed;
    for (unsigned i = 0; i < child->lun_count; i++) {
        enum session_state state = session_stats(child->luns[i].session)->state;
        moved = moved || state != child->luns[i].last_state;
        child->luns[i].last_state = state;
    }
    if (!moved)
        return;
    child->last_bound = child->bound;
    child->last_speed = bot_stats(child->bot)->speed;

    struct status_view view;
    struct privsep_msg msg;
    privsep_init(&msg, PRIVSEP_STATUS);
    fill_view(child, &view);
    (void)status_sentence(&view, msg.text[0], sizeof msg.text[0]);
    if (strcmp(msg.text[0], child->last_sentence) == 0)
        return;
    memcpy(child->last_sentence, msg.text[0], sizeof child->last_sentence);
    send_parent(child, &msg);
}

/* ---- stopping ---- */

static void stop(struct child *child)
{
    if (child->stopping)
        return;
    child->stopping = true;
    child->stop_by_us = loop_now_us() + LOGOUT_MS * 1000ULL;
    for (unsigned i = 0; i < child->lun_count; i++)
        session_stop(child->luns[i].session);
}

static void check_stopped(struct child *child)
{
    if (!child->stopping)
        return;
    bool all = true;
    for (unsigned i = 0; i < child->lun_count; i++)
        all = all && session_stopped(child->luns[i].session);
    if (all || loop_now_us() >= child->stop_by_us)
        end(child, CHILD_EXIT_STOPPED);
}

/* ---- events ---- */

static void resolved(struct child *child, const struct privsep_msg *msg)
{
    if (msg->lun >= child->lun_count)
        return;
    struct child_lun *l = &child->luns[msg->lun];
    if (msg->text[0][0]) {
        (void)snprintf(l->portal, sizeof l->portal, "%.63s", msg->text[0]);
        session_resolved(l->session, l->portal, NULL);
    } else {
        session_resolved(l->session, NULL, msg->text[1]);
    }
}

static void parent_ready(void *ctx, short revents)
{
    struct child *child = ctx;
    struct privsep_msg msg;
    (void)revents;
    int rc = privsep_recv(child->parent.fd, &msg);
    if (rc == -EAGAIN || rc == -EINTR)
        return;
    if (rc < 0) {
        /* Without the parent nobody would tear the gadget down: closing
         * FunctionFS, by ending, unbinds it. */
        log_text(LUN_LOG_ERROR, rc == -EPIPE ? "the parent process is gone: ending"
                                             : "the parent process sent nonsense: ending");
        end(child, CHILD_EXIT_BROKEN);
        return;
    }
    if (msg.type == PRIVSEP_STOP) {
        stop(child);
    } else if (msg.type == PRIVSEP_RESOLVED) {
        resolved(child, &msg);
    } else if (msg.type == PRIVSEP_BOUND) {
        child->bound = msg.number != 0;
        memcpy(child->bind_fault, msg.text[0], sizeof child->bind_fault);
        child->last_sentence[0] = 0; /* the service manager hears of a fault, too */
    }
}

static void signal_ready(void *ctx, short revents)
{
    struct child *child = ctx;
    struct signalfd_siginfo info;
    (void)revents;
    if (read(child->signals.fd, &info, sizeof info) == (ssize_t)sizeof info)
        stop(child);
}

static void ep0_ready(void *ctx, short revents)
{
    const struct child *child = ctx;
    (void)revents;
    ffs_port_ep0_ready(child->port);
}

static void aio_ready(void *ctx, short revents)
{
    const struct child *child = ctx;
    (void)revents;
    ffs_port_aio_ready(child->port);
}

static uint64_t prepare(void *ctx)
{
    struct child *child = ctx;
    report_moves(child);
    check_stopped(child);
    uint64_t next_us = control_next_timeout_us(&child->control);
    next_us = loop_earlier(next_us, bot_next_timeout_us(child->bot));
    if (child->stopping)
        next_us = loop_earlier(next_us, child->stop_by_us);
    for (unsigned i = 0; i < child->lun_count; i++) {
        struct child_lun *l = &child->luns[i];
        l->watch.fd = session_fd(l->session);
        l->watch.events = session_poll_events(l->session);
        next_us = loop_earlier(next_us, session_next_timeout_us(l->session));
        next_us = loop_earlier(next_us, lun_next_timeout_us(l->lun));
        next_us = loop_earlier(next_us, l->retry_us);
    }
    return next_us;
}

static void timers(void *ctx)
{
    struct child *child = ctx;
    uint64_t now_us = loop_now_us();
    for (unsigned i = 0; i < child->lun_count; i++) {
        struct child_lun *l = &child->luns[i];
        if (session_next_timeout_us(l->session) <= now_us)
            session_run_timeouts(l->session);
        if (lun_next_timeout_us(l->lun) <= now_us)
            lun_run_timeouts(l->lun);
        if (l->retry_us <= now_us) {
            l->retry_us = LOOP_NEVER;
            session_start(l->session);
        }
    }
    bot_run_timeouts(child->bot);
    control_run_timeouts(&child->control);
}

/* ---- set-up ---- */

/* The next message, of this one type; blocks for a while at most. -ECANCELED:
 * told to stop. */
static int expect(const struct child *child, enum privsep_type type, struct privsep_msg *msg)
{
    int rc = privsep_recv(child->parent.fd, msg);
    if (rc == 0 && msg->type != type) {
        for (unsigned i = 0; i < PRIVSEP_FDS_MAX; i++)
            if (msg->fds[i] >= 0)
                (void)close(msg->fds[i]);
        rc = msg->type == PRIVSEP_STOP ? -ECANCELED : -EPROTO;
    }
    return rc;
}

/* Keeps stdout, stderr and the socket to the parent, as descriptor 3. */
static int keep_descriptors(struct child *child, int sock)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0)
        (void)dup2(null, STDIN_FILENO);
    if (sock != 3 && dup2(sock, 3) < 0)
        return -errno;
    child->parent.fd = 3;
    sandbox_close_from(4);
    return 0;
}

static int watch_signals(struct child *child)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_SETMASK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return -errno;
    child->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return child->signals.fd < 0 ? -errno : 0;
}

static int give_up_rights(const struct child_start *start)
{
    int rc = sandbox_limits();
    if (rc < 0)
        return rc;
    if (geteuid() == 0) {
        rc = sandbox_enter(start->uid, start->gid, start->root_dir);
        if (rc < 0)
            return rc;
    }
    /* Cleared by the change of the user id; the parent may have died since. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return -errno;
    return getppid() == start->parent ? 0 : -ESRCH;
}

/* ep0 and the control socket. */
static int take_start(struct child *child)
{
    struct privsep_msg msg;
    int rc = expect(child, PRIVSEP_START, &msg);
    if (rc < 0)
        return fail("the parent's first message", rc);
    memcpy(child->udc, msg.text[0], sizeof child->udc);
    child->port = ffs_port_create(msg.fds[0], &child->deferred, log_module);
    if (!child->port)
        return fail("USB port", -errno);
    rc = control_init(&child->control, &child->loop, msg.fds[1]);
    return rc < 0 ? fail("control socket", rc) : 0;
}

/* The descriptors, then the endpoint files that appear with them. */
static int set_up_usb(struct child *child)
{
    struct privsep_msg msg;
    int rc = ffs_port_write_descriptors(child->port);
    if (rc < 0)
        return fail("FunctionFS refused the USB descriptors", rc);
    privsep_init(&msg, PRIVSEP_DESCRIPTORS_WRITTEN);
    rc = privsep_send(child->parent.fd, &msg);
    if (rc == 0)
        rc = expect(child, PRIVSEP_ENDPOINTS, &msg);
    if (rc < 0)
        return fail("the endpoint files", rc);
    rc = ffs_port_attach(child->port, msg.fds[0], msg.fds[1]);
    return rc < 0 ? fail("USB endpoints", rc) : 0;
}

static int set_up_luns(struct child *child)
{
    child->lun_count = child->config->lun_count;
    for (unsigned i = 0; i < child->lun_count; i++) {
        struct child_lun *l = &child->luns[i];
        struct privsep_msg msg;
        struct lun_secrets secrets;
        l->child = child;
        l->index = i;
        l->config = &child->config->luns[i];
        l->retry_us = LOOP_NEVER;
        l->watch = (struct loop_watch){.fd = -1, .ready = session_ready, .ctx = l};
        int rc = expect(child, PRIVSEP_SECRETS, &msg);
        if (rc < 0)
            return fail("the secrets from the parent", rc);
        (void)snprintf(secrets.secret, sizeof secrets.secret, "%.255s", msg.text[0]);
        (void)snprintf(secrets.target_secret, sizeof secrets.target_secret, "%.255s", msg.text[1]);
        rc = make_session(l, &secrets);
        explicit_bzero(&msg, sizeof msg);
        secrets_wipe(&secrets);
        if (rc == 0)
            rc = make_lun(l);
        if (rc == 0)
            rc = loop_add(&child->loop, &l->watch);
        if (rc < 0)
            return fail("logical unit", rc);
        child->bot_luns[i] = l->lun;
    }
    return 0;
}

static int make_arena(struct child *child)
{
    size_t size = ARENA_SLICES * (size_t)POOL_SLICE_BYTES;
    void *arena =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (arena == MAP_FAILED)
        return -errno;
    (void)madvise(arena, size, MADV_DONTFORK);
    pool_init(&child->pool, arena, ARENA_SLICES);
    return 0;
}

static int make_bot(struct child *child)
{
    const struct bot_config bc = {
        .port = ffs_port_usb(child->port),
        .deferred = &child->deferred,
        .luns = child->bot_luns,
        .lun_count = child->lun_count,
        .short_in = child->config->short_in,
        .now_us = loop_now_us,
        .log = log_module,
    };
    child->bot = bot_create(&bc);
    return child->bot ? 0 : -errno;
}

static void watch(struct child *child, struct loop_watch *w, int fd,
                  void (*ready)(void *ctx, short revents))
{
    *w = (struct loop_watch){.fd = fd, .events = POLLIN, .ready = ready, .ctx = child};
    (void)loop_add(&child->loop, w); /* there is room for all: LOOP_WATCHES_MAX */
}

static int set_up(struct child *child, const struct child_start *start)
{
    const struct timeval patience = {.tv_sec = PARENT_SILENCE_S};
    int rc = keep_descriptors(child, start->sock);
    if (rc == 0)
        rc = watch_signals(child);
    if (rc < 0)
        return fail("start of the child process", rc);
    /* libiscsi takes CHAP names, secrets and more from the environment. */
    (void)clearenv();
    rc = give_up_rights(start);
    if (rc < 0)
        return fail("the child process cannot give up its rights", rc);
    if (setsockopt(child->parent.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0)
        return fail("socket to the parent", -errno);

    rc = make_arena(child);
    if (rc < 0)
        return fail("buffers", rc);
    rc = take_start(child);
    if (rc == 0)
        rc = set_up_luns(child);
    if (rc == 0)
        rc = set_up_usb(child);
    if (rc < 0)
        return rc;
    rc = make_bot(child);
    if (rc < 0)
        return fail("Bulk-Only Transport", rc);

    if (fcntl(child->parent.fd, F_SETFL, O_NONBLOCK) < 0)
        return fail("socket to the parent", -errno);
    watch(child, &child->parent, child->parent.fd, parent_ready);
    watch(child, &child->signals, child->signals.fd, signal_ready);
    watch(child, &child->ep0, ffs_port_ep0_fd(child->port), ep0_ready);
    watch(child, &child->aio, ffs_port_aio_fd(child->port), aio_ready);
    if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
        log_printf(LUN_LOG_WARNING,
                   "memory is not locked (%s): the disk may stall when memory "
                   "is short",
                   strerror(errno));
    rc = sandbox_filter();
    return rc < 0 ? fail("system call filter (CONFIG_SECCOMP_FILTER is needed)", rc) : 0;
}

int child_main(const struct child_start *start)
{
    struct child *child = &the_child;
    child->config = start->config;
    child->again = start->again;
    child->pid = getpid();
    child->started_us = loop_now_us();
    child->control.respond = respond;
    child->control.ctx = child;
    deferred_list_init(&child->deferred);
    loop_init(&child->loop, &child->deferred, prepare, timers, child);

    int rc = set_up(child, start);
    if (rc < 0)
        return rc == -ECANCELED ? CHILD_EXIT_STOPPED : CHILD_EXIT_BROKEN;
    for (unsigned i = 0; i < child->lun_count; i++)
        session_start(child->luns[i].session);
    rc = loop_run(&child->loop);
    if (rc < 0) {
        (void)fail("event loop", rc);
        return CHILD_EXIT_BROKEN;
    }
    return child->exit_code;
}
