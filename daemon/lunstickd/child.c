/* SPDX-License-Identifier: BSD-2-Clause */
#include "child.h"

#include "bridge/deferred.h"
#include "bridge/lun.h"
#include "bridge/pool.h"
#include "control.h"
#include "drive.h"
#include "front.h"
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

/* Of 64 KiB. What a unit keeps in flight, and for all of them what the cable's one
 * command, orphans and the probes need. */
#define ARENA_SLICES         32
#define ARENA_SLICES_PER_LUN 16
#define LOGOUT_MS            2000
#define PARENT_SILENCE_S     10 /* during set-up */
/* Longer than a port reset takes: somebody pulled the plug. */
#define REPLUG_MS 2000
/* A new child has its disks back, or goes on without those that are away. */
#define BIND_LATE_MS 5000

struct child {
    const struct daemon_config *config;
    struct loop loop;
    struct deferred_list deferred;
    const struct front_ops *front;
    struct loop_watch parent, signals;
    struct pool pool;
    struct cable cable;
    struct drive *drives[BOT_LUNS_MAX];
    struct lun *luns[BOT_LUNS_MAX];
    unsigned count; /* of both */
    struct control control;
    uint64_t started_us;
    pid_t pid;
    char udc[PRIVSEP_TEXT_BYTES];
    bool bind_wanted, bound, unplugged;
    char bind_fault[PRIVSEP_TEXT_BYTES];
    uint64_t bind_late_us; /* without the drives that are not ready; LOOP_NEVER: not so */
    uint32_t plug_ticket;  /* of who waits for the plug or unplug; 0: nobody */
    uint64_t cable_out_us; /* since when no host is there; LOOP_NEVER: one is */
    uint64_t last_print;   /* fingerprint(); 0: the next sentence counts in any case */
    char last_sentence[PRIVSEP_TEXT_BYTES];
    bool stopping;
    uint64_t stop_by_us;
    enum child_exit exit_code;
};

/* Large, and there is one: not on the stack. */
static struct child the_child;

_Static_assert(POOL_SLICES_MAX >= ARENA_SLICES + ARENA_SLICES_PER_LUN * BOT_LUNS_MAX,
               "the pool holds the slices of all units");
_Static_assert(CONTROL_ANSWER_BYTES >= STATUS_BYTES, "an answer holds the longest status");

/* Being told to stop is none. */
static int fail(const char *what, int rc)
{
    if (rc != -ECANCELED)
        log_printf(LUN_LOG_ERROR, "%s: %s", what, strerror(-rc));
    return rc;
}

static void end(struct child *child, enum child_exit exit_code)
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

/* ---- the drives ---- */

static void tell_parent(void *ctx, const struct privsep_msg *msg)
{
    send_parent(ctx, msg);
}

static void drive_ends(void *ctx, enum child_exit why)
{
    end(ctx, why);
}

/* Promise 6: the host sees the gadget when it can look at every drive. One that
 * had it before is not kept from all its disks for long because one is away. */
static void drive_is_settled(void *ctx)
{
    struct child *child = ctx;
    bool late = loop_now_us() >= child->bind_late_us;
    unsigned settled = 0, empty = 0;
    struct privsep_msg msg;
    for (unsigned i = 0; i < child->count; i++) {
        if (drive_settled(child->drives[i]))
            settled++;
        else if (late && drive_may_be_empty(child->drives[i]))
            empty++;
    }
    if (settled == 0 || settled + empty < child->count || child->bind_wanted || child->stopping)
        return;
    child->bind_wanted = true;
    child->bind_late_us = LOOP_NEVER;
    privsep_init(&msg, PRIVSEP_BIND);
    child->front->bind_text(msg.text[0]);
    send_parent(child, &msg);
}

static size_t put_answer(char *out, size_t size, int status, const char *text)
{
    int n = snprintf(out, size, "%d %.*s\n", status, DRIVE_ANSWER_BYTES - 1, text);
    return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

static void answer_later(void *ctx, uint32_t ticket, int status, const char *text)
{
    struct child *child = ctx;
    char line[DRIVE_ANSWER_BYTES + 8];
    (void)put_answer(line, sizeof line, status, text);
    control_answer(&child->control, ticket, line);
}

/* The host went away, or came: after a while without it, it is another. */
static void watch_cable(struct child *child)
{
    bool present = child->front->host_present();
    if (present == (child->cable_out_us == LOOP_NEVER))
        return;
    uint64_t now_us = loop_now_us();
    bool replugged = present && now_us - child->cable_out_us > REPLUG_MS * 1000ULL;
    child->cable_out_us = present ? LOOP_NEVER : now_us;
    for (unsigned i = 0; replugged && i < child->count; i++)
        drive_replugged(child->drives[i]);
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
    view->unplugged = child->unplugged;
    view->host = child->cable.host->name;
    view->gadget_fault = child->bind_fault;
    child->front->view(view);
    view->lun_count = child->count;
    for (unsigned i = 0; i < child->count; i++)
        drive_view(child->drives[i], &view->luns[i]);
}

/* ---- requests ---- */

/* BOUND from the parent answers it. */
static int plug(struct child *child, bool plugged, uint32_t ticket, char text[DRIVE_ANSWER_BYTES])
{
    struct privsep_msg msg;
    if (plugged != child->unplugged) {
        (void)snprintf(text, DRIVE_ANSWER_BYTES, "it is %s already",
                       plugged ? "plugged in" : "unplugged");
        return 1;
    }
    if (child->plug_ticket)
        answer_later(child, child->plug_ticket, 1, "there was another request in the meantime");
    child->plug_ticket = ticket;
    for (unsigned i = 0; plugged && i < child->count; i++)
        drive_unplugged(child->drives[i], false);
    privsep_init(&msg, PRIVSEP_PLUG);
    msg.number = plugged;
    send_parent(child, &msg);
    return REQUEST_LATER;
}

static void plug_answered(struct child *child)
{
    const char *fault = child->bind_fault;
    if (!child->plug_ticket)
        return;
    answer_later(child, child->plug_ticket, fault[0] != 0,
                 fault[0]           ? fault
                 : child->unplugged ? "Unplugged: the host sees nothing; the sessions go on."
                 : child->bound     ? "Plugged in."
                                    : "The host sees it as soon as the disk is there.");
    child->plug_ticket = 0;
}

static void stop(struct child *child);

static int perform(struct child *child, const struct request *request, uint32_t ticket,
                   char text[DRIVE_ANSWER_BYTES])
{
    int lun = request->lun == REQUEST_ANY_LUN && child->count == 1 ? 0 : request->lun;
    bool unmap = request->verb == REQUEST_UNMAP;
    if (unmap != (child->config->front == CONFIG_FRONT_NBD)) {
        (void)snprintf(text, DRIVE_ANSWER_BYTES, "%s",
                       unmap ? "the disk is on the USB port, and no block device here; lunstick "
                               "unplug takes it away"
                             : "the disk is this machine's own: nothing to eject or to unplug; "
                               "lunstick unmap takes it away");
        return 2;
    }
    if (unmap) {
        (void)snprintf(text, DRIVE_ANSWER_BYTES, "%.31s goes away.", child->udc);
        stop(child);
        return 0;
    }
    if (request->verb == REQUEST_PLUG || request->verb == REQUEST_UNPLUG)
        return plug(child, request->verb == REQUEST_PLUG, ticket, text);
    if (lun >= 0 && (unsigned)lun < child->count)
        return drive_request(child->drives[lun], request, ticket, text);
    if (lun == REQUEST_ANY_LUN)
        (void)snprintf(text, DRIVE_ANSWER_BYTES, "there are %u disks; say which: --lun 0 to %u",
                       child->count, child->count - 1);
    else
        (void)snprintf(text, DRIVE_ANSWER_BYTES, "there is no LUN %d here; allowed: 0 to %u", lun,
                       child->count - 1);
    return 2;
}

static size_t respond(void *ctx, char *line, uint32_t ticket, char *answer, size_t size)
{
    struct child *child = ctx;
    struct status_view view;
    struct request request;
    char text[DRIVE_ANSWER_BYTES];
    int status = 2;
    if (request_parse(&request, line, text, sizeof text)) {
        if (request.verb == REQUEST_STATUS) {
            fill_view(child, &view);
            return request.json ? status_json(&view, answer, size)
                                : status_text(&view, answer, size);
        }
        if (child->stopping) {
            (void)snprintf(text, sizeof text, "the daemon is stopping");
            status = 1;
        } else {
            status = perform(child, &request, ticket, text);
        }
    }
    return status == REQUEST_LATER ? CONTROL_LATER : put_answer(answer, size, status, text);
}

/* A number that is another one when something moved. */
static uint64_t fingerprint(const struct child *child)
{
    uint64_t print =
        (uint64_t)child->front->state() * 4 + (child->bound ? 2 : 0) + (unsigned)child->unplugged;
    for (unsigned i = 0; i < child->count; i++)
        print = print * 1099511628211u + drive_state(child->drives[i]) + 1;
    return print + 1;
}

/* A new sentence for the service manager, whenever something moved. */
static void report_moves(struct child *child)
{
    struct status_view view;
    struct privsep_msg msg;
    uint64_t print = fingerprint(child);
    if (print == child->last_print)
        return;
    child->last_print = print;
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
    for (unsigned i = 0; i < child->count; i++)
        drive_stop(child->drives[i]);
}

static void check_stopped(struct child *child)
{
    if (!child->stopping)
        return;
    bool all = true;
    for (unsigned i = 0; i < child->count; i++)
        all = all && drive_stopped(child->drives[i]);
    if (all || loop_now_us() >= child->stop_by_us)
        end(child, CHILD_EXIT_STOPPED);
}

/* ---- events ---- */

static void take_secrets(struct lun_secrets *secrets, struct privsep_msg *msg)
{
    (void)snprintf(secrets->secret, sizeof secrets->secret, "%.255s", msg->text[0]);
    (void)snprintf(secrets->target_secret, sizeof secrets->target_secret, "%.255s", msg->text[1]);
    explicit_bzero(msg, sizeof *msg);
}

static void new_secrets(const struct child *child, struct privsep_msg *msg)
{
    struct lun_secrets secrets = {.secret = ""};
    struct drive *drive = child->drives[msg->lun];
    take_secrets(&secrets, msg);
    drive_secrets(drive, &secrets);
    secrets_wipe(&secrets);
}

static void bound(struct child *child, const struct privsep_msg *msg)
{
    child->bound = msg->number == PRIVSEP_IS_BOUND;
    child->unplugged = msg->number == PRIVSEP_UNPLUGGED;
    memcpy(child->bind_fault, msg->text[0], sizeof child->bind_fault);
    if (msg->text[1][0])
        memcpy(child->udc, msg->text[1], sizeof child->udc);
    for (unsigned i = 0; i < child->count; i++)
        drive_unplugged(child->drives[i], child->unplugged);
    child->last_print = 0; /* the service manager hears of a fault, too */
    child->last_sentence[0] = 0;
    plug_answered(child);
}

/* Behind BIND. */
static void take_front(struct child *child, int fd)
{
    if (child->front->describe || child->front->open(fd) < 0)
        end(child, CHILD_EXIT_BROKEN);
}

static void hear_parent(struct child *child, struct privsep_msg *msg)
{
    if (msg->type == PRIVSEP_STOP)
        stop(child);
    else if (msg->type == PRIVSEP_FRONT)
        take_front(child, msg->fds[0]);
    else if (msg->type == PRIVSEP_BOUND)
        bound(child, msg);
    else if (msg->lun >= child->count)
        return;
    else if (msg->type == PRIVSEP_RESOLVED)
        drive_resolved(child->drives[msg->lun], msg->text[0], msg->text[1]);
    else if (msg->type == PRIVSEP_INSERTED)
        drive_inserted(child->drives[msg->lun], msg);
    else if (msg->type == PRIVSEP_SECRETS)
        new_secrets(child, msg);
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
    hear_parent(child, &msg);
}

static void signal_ready(void *ctx, short revents)
{
    struct child *child = ctx;
    struct signalfd_siginfo info;
    (void)revents;
    if (read(child->signals.fd, &info, sizeof info) == (ssize_t)sizeof info && !child->config->root)
        stop(child); /* else the parent says so */
}

/* The kernel disconnected its block device: there is nobody to serve. */
static void front_ended(void *ctx)
{
    stop(ctx);
}

static uint64_t prepare(void *ctx)
{
    struct child *child = ctx;
    uint64_t next_us = control_next_timeout_us(&child->control);
    next_us = loop_earlier(next_us, child->front->prepare());
    next_us = loop_earlier(next_us, log_next_timeout_us());
    watch_cable(child);
    if (child->bind_late_us > loop_now_us())
        next_us = loop_earlier(next_us, child->bind_late_us);
    for (unsigned i = 0; i < child->count; i++)
        next_us = loop_earlier(next_us, drive_prepare(child->drives[i]));
    report_moves(child);
    check_stopped(child);
    return child->stopping ? loop_earlier(next_us, child->stop_by_us) : next_us;
}

static void timers(void *ctx)
{
    struct child *child = ctx;
    for (unsigned i = 0; i < child->count; i++)
        drive_run_timeouts(child->drives[i]);
    child->front->run_timeouts();
    if (loop_now_us() >= child->bind_late_us)
        drive_is_settled(child);
    control_run_timeouts(&child->control);
    log_run_timeouts();
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
    rc = sandbox_enter(start->uid, start->gid, start->root_dir, start->config->root);
    if (rc < 0)
        return rc;
    rc = sandbox_forget_files();
    if (rc < 0)
        log_printf(LUN_LOG_DEBUG, "Landlock: %s", strerror(-rc));
    /* Cleared by the change of the user id; the parent may have died since. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return -errno;
    return getppid() == start->parent ? 0 : -ESRCH;
}

/* The control socket, and the front's descriptor where it is there already. */
static int take_start(struct child *child)
{
    struct privsep_msg msg;
    int rc = expect(child, PRIVSEP_START, &msg);
    if (rc < 0)
        return fail("the parent's first message", rc);
    memcpy(child->udc, msg.text[0], sizeof child->udc);
    const struct front_config fc = {
        .config = child->config,
        .loop = &child->loop,
        .deferred = &child->deferred,
        .log = log_module,
        .ended = front_ended,
        .ctx = child,
    };
    child->front->init(&fc);
    rc = control_init(&child->control, &child->loop, msg.fds[0]);
    if (rc < 0)
        return fail("control socket", rc);
    if (!child->front->describe)
        return 0;
    rc = expect(child, PRIVSEP_FRONT, &msg);
    return rc < 0 ? fail("ep0 from the parent", rc) : child->front->open(msg.fds[0]);
}

/* The descriptors, then the endpoint files that appear with them. */
static int set_up_endpoints(struct child *child)
{
    struct privsep_msg msg;
    int rc = child->front->describe();
    if (rc < 0)
        return rc;
    privsep_init(&msg, PRIVSEP_DESCRIPTORS_WRITTEN);
    rc = privsep_send(child->parent.fd, &msg);
    if (rc == 0)
        rc = expect(child, PRIVSEP_ENDPOINTS, &msg);
    if (rc < 0)
        return fail("the endpoint files", rc);
    return child->front->attach(msg.fds[0], msg.fds[1]);
}

static int make_drive(struct child *child, const struct child_start *start, unsigned number,
                      const struct lun_secrets *secrets)
{
    const struct drive_config dc = {
        .config = child->config,
        .number = number,
        .slot = &start->slots[number],
        .secrets = secrets,
        .host_knew = start->again,
        .loop = &child->loop,
        .deferred = &child->deferred,
        .pool = &child->pool,
        .cable = &child->cable,
        .memory = start->memory,
        .log = log_module,
        .ctx = child,
        .tell_parent = tell_parent,
        .settled = drive_is_settled,
        .end = drive_ends,
        .answer = answer_later,
    };
    struct drive *drive = drive_create(&dc);
    if (!drive)
        return -errno;
    child->drives[number] = drive;
    child->luns[number] = drive_lun(drive);
    return 0;
}

static int set_up_drives(struct child *child, const struct child_start *start)
{
    cable_init(&child->cable, child->config->lun_count, child->config->host);
    for (unsigned i = 0; i < child->config->lun_count; i++) {
        struct privsep_msg msg;
        struct lun_secrets secrets = {.secret = ""};
        int rc = expect(child, PRIVSEP_SECRETS, &msg);
        if (rc < 0)
            return fail("the secrets from the parent", rc);
        take_secrets(&secrets, &msg);
        rc = make_drive(child, start, i, &secrets);
        secrets_wipe(&secrets);
        if (rc < 0)
            return fail("logical unit", rc);
    }
    child->count = child->config->lun_count;
    return 0;
}

static unsigned arena_slices(const struct daemon_config *config)
{
    return ARENA_SLICES + ARENA_SLICES_PER_LUN * config->lun_count;
}

size_t child_arena_bytes(const struct daemon_config *config)
{
    return arena_slices(config) * (size_t)POOL_SLICE_BYTES;
}

static int make_arena(struct child *child, void *arena)
{
    size_t size = child_arena_bytes(child->config);
    if (!arena)
        arena = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
                     -1, 0);
    if (arena == MAP_FAILED)
        return -errno;
    (void)madvise(arena, size, MADV_DONTFORK);
    pool_init(&child->pool, arena, arena_slices(child->config));
    return 0;
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

    rc = make_arena(child, start->arena);
    if (rc < 0)
        return fail("buffers", rc);
    rc = take_start(child);
    if (rc == 0)
        rc = set_up_drives(child, start);
    if (rc == 0 && child->front->describe)
        rc = set_up_endpoints(child);
    if (rc == 0)
        rc = child->front->serve(child->luns, child->count);
    if (rc < 0)
        return rc;

    if (fcntl(child->parent.fd, F_SETFL, O_NONBLOCK) < 0)
        return fail("socket to the parent", -errno);
    watch(child, &child->parent, child->parent.fd, parent_ready);
    watch(child, &child->signals, child->signals.fd, signal_ready);
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
    child->front = child->config->front == CONFIG_FRONT_NBD ? &front_nbd : &front_usb;
    child->unplugged = start->unplugged;
    child->pid = getpid();
    child->started_us = child->cable_out_us = loop_now_us();
    child->bind_late_us = start->again ? child->started_us + BIND_LATE_MS * 1000ULL : LOOP_NEVER;
    child->control.respond = respond;
    child->control.ctx = child;
    deferred_list_init(&child->deferred);
    loop_init(&child->loop, &child->deferred, prepare, timers, child);

    int rc = set_up(child, start);
    if (rc < 0)
        return rc == -ECANCELED ? CHILD_EXIT_STOPPED : CHILD_EXIT_BROKEN;
    for (unsigned i = 0; i < child->count; i++) {
        drive_unplugged(child->drives[i], child->unplugged);
        drive_start(child->drives[i]);
    }
    drive_is_settled(child); /* early, or with empty drives only */
    rc = loop_run(&child->loop);
    if (rc < 0) {
        (void)fail("event loop", rc);
        return CHILD_EXIT_BROKEN;
    }
    return (int)child->exit_code;
}
