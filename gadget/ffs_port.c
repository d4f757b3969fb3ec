/* SPDX-License-Identifier: BSD-2-Clause */
#include "ffs_port.h"

#include "descriptors.h"
#include "ffs_ep0.h"

#include <errno.h>
#include <libaio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Those of the generation before may still be on their way back. */
#define SLOTS (2u * FFS_PORT_DEPTH)
/* A host that floods ep0 gets this much of one turn of the event loop. */
#define EP0_EVENTS_PER_TURN 16

/* A request in the kernel. */
struct slot {
    struct iocb iocb;
    struct usb_req *req;
    uint32_t generation;
    bool slipped; /* perhaps: the device was configured while it was submitted */
    bool done;    /* reaped; waits for older ones of its endpoint */
    long result;
};

/* The outstanding requests of one endpoint, oldest first. */
struct queue {
    int fd;
    struct slot slots[SLOTS];
    unsigned head, count;
};

struct ffs_port {
    struct usb_port usb; /* first: the ops get its address */
    int ep0_fd, event_fd;
    io_context_t aio;
    struct queue queues[2]; /* by enum usb_endpoint */
    uint32_t generation;
    bool enabled;

    /* An ep0 event that submit() read ahead of its turn. */
    struct ffs_event held;
    bool has_held;
    struct deferred held_call;
    bool answering; /* a SETUP: a read of ep0 would be its data or status stage */

    struct deferred_list *deferred;
    void (*log)(enum lun_log_level level, const char *text);
    struct ffs_port_stats stats;
};

static void say(const struct ffs_port *port, enum lun_log_level level, const char *what, int err)
{
    char text[160];

    if (err < 0)
        (void)snprintf(text, sizeof(text), "usb: %s: %s", what, strerror(-err));
    else
        (void)snprintf(text, sizeof(text), "usb: %s", what);
    port->log(level, text);
}

static struct ffs_port *port_of(struct usb_port *usb)
{
    return (struct ffs_port *)usb;
}

/* The i-th oldest request of a queue. */
static struct slot *slot_at(struct queue *q, unsigned i)
{
    return &q->slots[(q->head + i) % SLOTS];
}

/* ---- requests ---- */

/* From AIO's result to the status of the contract. A disabled endpoint answers
 * EAGAIN because its file is non-blocking. */
static void fill_outcome(struct ffs_port *port, const struct slot *slot)
{
    struct usb_req *req = slot->req;
    uint64_t *bytes = req->endpoint == USB_IN ? &port->stats.in_bytes : &port->stats.out_bytes;

    req->busy = false;
    req->actual_bytes = 0;
    if (slot->generation != port->generation) {
        bool lost = slot->slipped && req->endpoint == USB_OUT && slot->result > 0;
        port->stats.stale++;
        req->status = lost ? -ESTALE : -ESHUTDOWN;
    } else if (slot->result < 0) {
        req->status = slot->result == -EAGAIN ? -ESHUTDOWN : (int)slot->result;
    } else {
        req->status = 0;
        req->actual_bytes = (uint32_t)slot->result;
        *bytes += req->actual_bytes;
    }
}

/* Hands completed requests to the protocol, in the order of submission: one
 * that the kernel refused is in the ring before older ones that it took. */
static void deliver(struct ffs_port *port, struct queue *q)
{
    while (q->count && slot_at(q, 0)->done) {
        struct slot *slot = slot_at(q, 0);
        struct usb_req *req = slot->req;

        fill_outcome(port, slot);
        q->head = (q->head + 1) % SLOTS;
        q->count--;
        port->usb.events->io_done(port->usb.events_ctx, req);
    }
}

static bool ep0_read(struct ffs_port *port, struct ffs_event *event)
{
    int got = ffs_ep0_read(port->ep0_fd, event);

    if (got < 0)
        say(port, LUN_LOG_ERROR, "cannot read ep0", got);
    return got == 1;
}

static bool changes_configuration(const struct ffs_event *event)
{
    return event->type == FFS_EV_ENABLE || event->type == FFS_EV_DISABLE ||
           event->type == FFS_EV_UNBIND;
}

/*
 * Whether the host has reset or configured the device since the protocol was
 * last told: a request made now would go into a configuration that the protocol
 * does not know of, and carry data of an old command into it. An event found
 * here is kept and told from the event loop.
 */
static bool configuration_is_stale(struct ffs_port *port)
{
    if (!port->has_held && !port->answering && ep0_read(port, &port->held)) {
        port->has_held = true;
        deferred_add(port->deferred, &port->held_call);
    }
    return port->has_held && changes_configuration(&port->held);
}

static unsigned outstanding(const struct ffs_port *port, struct queue *q)
{
    unsigned n = 0;

    for (unsigned i = 0; i < q->count; i++)
        n += slot_at(q, i)->generation == port->generation;
    return n;
}

/* Asks for one back. EINPROGRESS: cancelled, it will be in the ring. EINVAL: too
 * late, it is in the ring, or was cancelled before. */
static void cancel_slot(struct ffs_port *port, struct slot *slot)
{
    struct io_event unused;
    int err = io_cancel(port->aio, &slot->iocb, &unused);

    if (err != -EINPROGRESS && err != -EINVAL && err != 0)
        say(port, LUN_LOG_WARNING, "io_cancel", err);
}

/* The youngest first: taking the active one back would start the next. */
static void cancel_queue(struct ffs_port *port, struct queue *q)
{
    for (unsigned i = q->count; i-- > 0;)
        if (!slot_at(q, i)->done)
            cancel_slot(port, slot_at(q, i));
}

/* usb_port_ops: an error of the kernel's for an accepted request, a disabled
 * endpoint for one, comes back through the ring like any completion. The host
 * may configure the device between the look at ep0 and io_submit(): hence the
 * second look, and such a request is taken back at once. */
static int ffs_submit(struct usb_port *usb, struct usb_req *req)
{
    struct ffs_port *port = port_of(usb);
    struct queue *q = &port->queues[req->endpoint];

    if (!port->enabled || configuration_is_stale(port))
        return -ESHUTDOWN;
    if (q->count == SLOTS || outstanding(port, q) == FFS_PORT_DEPTH)
        return -EAGAIN;

    struct slot *slot = slot_at(q, q->count);
    struct iocb *iocb = &slot->iocb;
    if (req->endpoint == USB_IN)
        io_prep_pwrite(iocb, q->fd, req->buf, req->length_bytes, 0);
    else
        io_prep_pread(iocb, q->fd, req->buf, req->length_bytes, 0);
    io_set_eventfd(iocb, port->event_fd);
    iocb->data = slot;
    slot->req = req;
    slot->generation = port->generation;
    slot->slipped = false;
    slot->done = false;

    int taken = io_submit(port->aio, 1, &iocb);
    if (taken != 1)
        return taken < 0 ? taken : -EAGAIN;
    q->count++;
    req->generation = port->generation;
    req->busy = true;
    const void **last =
        req->endpoint == USB_IN ? &port->stats.last_in_buf : &port->stats.last_out_buf;
    if (req->length_bytes > BULK_MAX_PACKET_SUPER)
        *last = req->buf;
    slot->slipped = configuration_is_stale(port) && port->held.type == FFS_EV_ENABLE;
    if (slot->slipped)
        cancel_slot(port, slot);
    return 0;
}

/* usb_port_ops: FunctionFS halts an endpoint when it is used against its
 * direction, and says so with EBADMSG. The host clears the halt unseen. */
static int ffs_halt(struct usb_port *usb, enum usb_endpoint endpoint)
{
    struct ffs_port *port = port_of(usb);
    struct queue *q = &port->queues[endpoint];
    uint8_t none = 0;

    if (!port->enabled || configuration_is_stale(port))
        return -ESHUTDOWN;
    if (q->count) /* some controllers halt at once, and lose what is queued */
        return -EAGAIN;
    ssize_t n = endpoint == USB_IN ? read(q->fd, &none, 1) : write(q->fd, &none, 1);
    if (n < 0 && errno == EBADMSG)
        return 0;
    return n < 0 ? -errno : -EIO;
}

/* usb_port_ops. A request that is done may still have data in the controller's
 * FIFO, for the host to read: out with them, where the controller can. */
static void ffs_cancel(struct usb_port *usb)
{
    struct ffs_port *port = port_of(usb);

    for (int i = 0; i < 2; i++) {
        cancel_queue(port, &port->queues[i]);
        if (port->enabled)
            ffs_endpoint_flush(port->queues[i].fd);
    }
}

static const struct usb_port_ops ffs_ops = {
    .submit = ffs_submit,
    .halt = ffs_halt,
    .cancel = ffs_cancel,
};

/* ---- ep0 ---- */

/* Bus reset, configuration 0, cable, unbind. The kernel gives the requests
 * back by itself, before or after this. */
static void on_disable(struct ffs_port *port)
{
    port->stats.suspended = false;
    if (!port->enabled)
        return;
    port->enabled = false;
    port->generation++;
    port->usb.events->disabled(port->usb.events_ctx);
}

static enum usb_speed speed_of(int max_packet_bytes)
{
    switch (max_packet_bytes) {
    case BULK_MAX_PACKET_FULL:
        return USB_SPEED_FULL;
    case BULK_MAX_PACKET_HIGH:
        return USB_SPEED_HIGH;
    case BULK_MAX_PACKET_SUPER:
        return USB_SPEED_SUPER;
    default:
        return USB_SPEED_NONE;
    }
}

/*
 * SET_CONFIGURATION. The kernel drops events that a later one makes void: an
 * enable may come without the disable before it. What slipped into the new
 * configuration, a request or a halt, is taken back. The descriptor in use tells the speed;
 * without one the endpoints are disabled again already, and that event comes.
 */
static void on_enable(struct ffs_port *port)
{
    on_disable(port);
    ffs_cancel(&port->usb);
    int max_packet = ffs_endpoint_max_packet(port->queues[USB_IN].fd);
    enum usb_speed speed = speed_of(max_packet);
    if (speed == USB_SPEED_NONE) {
        say(port, LUN_LOG_WARNING, "enabled, but the endpoint has no descriptor",
            max_packet < 0 ? max_packet : -EPROTO);
        return;
    }
    ffs_endpoint_clear_halt(port->queues[USB_IN].fd);
    port->generation++;
    port->enabled = true;
    port->usb.events->enabled(port->usb.events_ctx, speed, (uint16_t)max_packet);
}

/*
 * Class requests, BOT 3.1 and 3.2; everything else is stalled. The reset is
 * acknowledged when the protocol has taken its requests back: the host sends
 * its next CBW after the acknowledgement, and no old request may catch it.
 */
static void on_setup(struct ffs_port *port, const struct ffs_event *setup)
{
    enum { CLASS_OUT = 0x21, CLASS_IN = 0xa1 }; /* to an interface */
    int err;

    if (setup->request_type == CLASS_OUT && setup->request == USB_BOT_RESET && setup->value == 0 &&
        setup->length == 0 && port->enabled) {
        port->usb.events->bot_reset(port->usb.events_ctx);
        err = ffs_ep0_acknowledge(port->ep0_fd);
    } else if (setup->request_type == CLASS_IN && setup->request == USB_BOT_GET_MAX_LUN &&
               setup->value == 0 && setup->length == 1) {
        uint8_t max_lun = port->usb.events->max_lun(port->usb.events_ctx);
        err = ffs_ep0_answer(port->ep0_fd, &max_lun, 1);
    } else {
        err = ffs_ep0_stall(port->ep0_fd, setup);
    }
    /* A host that resets the bus in the middle is no fault of ours. */
    if (err && err != -EIDRM && err != -ESRCH && err != -ESHUTDOWN)
        say(port, LUN_LOG_WARNING, "cannot answer a control request", err);
}

static void on_event(struct ffs_port *port, const struct ffs_event *event)
{
    switch (event->type) {
    case FFS_EV_ENABLE:
        on_enable(port);
        break;
    case FFS_EV_DISABLE:
    case FFS_EV_UNBIND:
        on_disable(port);
        break;
    case FFS_EV_SETUP:
        port->answering = true;
        on_setup(port, event);
        port->answering = false;
        break;
    case FFS_EV_SUSPEND:
    case FFS_EV_RESUME:
        port->stats.suspended = event->type == FFS_EV_SUSPEND;
        break;
    case FFS_EV_BIND:
    case FFS_EV_UNKNOWN:
        break;
    }
}

static void run_held(struct ffs_port *port)
{
    if (!port->has_held)
        return;
    struct ffs_event event = port->held;
    port->has_held = false;
    on_event(port, &event);
}

void ffs_port_aio_ready(struct ffs_port *port)
{
    struct io_event events[2 * SLOTS];
    struct timespec no_wait = {0, 0};
    eventfd_t count;

    run_held(port);                             /* what came in since is of the new configuration */
    (void)eventfd_read(port->event_fd, &count); /* only empties it: the ring counts */
    int got = io_getevents(port->aio, 0, (long)(2 * SLOTS), events, &no_wait);
    if (got < 0)
        say(port, LUN_LOG_ERROR, "io_getevents", got);
    for (int i = 0; i < got; i++) {
        struct slot *slot = events[i].data;

        slot->done = true;
        slot->result = (long)events[i].res;
        deliver(port, &port->queues[slot->req->endpoint]);
    }
}

static void held_run(struct deferred *call)
{
    run_held((struct ffs_port *)((char *)call - offsetof(struct ffs_port, held_call)));
}

void ffs_port_ep0_ready(struct ffs_port *port)
{
    struct ffs_event event;

    run_held(port);
    for (int i = 0; i < EP0_EVENTS_PER_TURN && !port->has_held && ep0_read(port, &event); i++)
        on_event(port, &event);
}

/* ---- life ---- */

struct ffs_port *ffs_port_create(int ep0_fd, struct deferred_list *deferred,
                                 void (*log)(enum lun_log_level level, const char *text))
{
    struct ffs_port *port = calloc(1, sizeof(*port));

    if (!port)
        return NULL;
    port->usb.ops = &ffs_ops;
    port->ep0_fd = ep0_fd;
    port->event_fd = -1;
    port->queues[USB_IN].fd = -1;
    port->queues[USB_OUT].fd = -1;
    port->deferred = deferred;
    port->log = log;
    deferred_init(&port->held_call, held_run);
    return port;
}

static void close_if_open(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

void ffs_port_destroy(struct ffs_port *port)
{
    if (!port)
        return;
    deferred_cancel(port->deferred, &port->held_call);
    if (port->aio) {
        ffs_cancel(&port->usb);
        (void)io_destroy(port->aio); /* waits for what was cancelled */
    }
    close_if_open(&port->event_fd);
    close_if_open(&port->queues[USB_IN].fd);
    close_if_open(&port->queues[USB_OUT].fd);
    close_if_open(&port->ep0_fd);
    free(port);
}

struct usb_port *ffs_port_usb(struct ffs_port *port)
{
    return &port->usb;
}

int ffs_port_write_descriptors(struct ffs_port *port)
{
    return ffs_ep0_write_descriptors(port->ep0_fd);
}

int ffs_port_attach(struct ffs_port *port, int ep_in_fd, int ep_out_fd)
{
    port->queues[USB_IN].fd = ep_in_fd;
    port->queues[USB_OUT].fd = ep_out_fd;
    port->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (port->event_fd < 0)
        return -errno;
    return io_setup(2 * (int)SLOTS, &port->aio);
}

int ffs_port_ep0_fd(const struct ffs_port *port)
{
    return port->ep0_fd;
}

int ffs_port_aio_fd(const struct ffs_port *port)
{
    return port->event_fd;
}

const struct ffs_port_stats *ffs_port_stats(const struct ffs_port *port)
{
    return &port->stats;
}
