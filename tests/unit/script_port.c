/* SPDX-License-Identifier: BSD-2-Clause */
#include "script_port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void script_check(bool ok, const char *condition, const char *file, int line)
{
    if (ok)
        return;
    (void)fprintf(stderr, "%s:%d: check failed: %s\n", file, line, condition);
    abort();
}

static struct script_port *script_port_of(struct usb_port *usb)
{
    return (struct script_port *)usb; /* the first member */
}

static int script_submit(struct usb_port *usb, struct usb_req *req)
{
    struct script_port *port = script_port_of(usb);
    enum usb_endpoint ep = req->endpoint;

    SCRIPT_CHECK(ep == USB_OUT || ep == USB_IN);
    if (!port->on)
        return -ESHUTDOWN;
    if (port->submit_error)
        return port->submit_error;
    if (ep == USB_IN && port->refuse_submit > 0) {
        port->refuse_submit--;
        return -EAGAIN;
    }
    if (port->queued[ep] == port->depth)
        return -EAGAIN;
    SCRIPT_CHECK(!script_port_uses(port, req, sizeof *req));
    SCRIPT_CHECK(req->buf != NULL);
    if (ep == USB_OUT) {
        SCRIPT_CHECK(req->length_bytes > 0 && req->length_bytes % port->packet_bytes == 0);
        port->out_asked_bytes += req->length_bytes;
    }
    req->status = -EINPROGRESS;
    req->actual_bytes = 0;
    port->queue[ep][port->queued[ep]++] = req;
    if (port->queued[ep] > port->peak[ep])
        port->peak[ep] = port->queued[ep];
    port->submits[ep]++;
    return 0;
}

/* A halted endpoint stays halted whatever is asked. */
static int script_halt(struct usb_port *usb, enum usb_endpoint ep)
{
    struct script_port *port = script_port_of(usb);

    SCRIPT_CHECK(ep == USB_IN); /* OUT is never halted */
    if (!port->on)
        return -ESHUTDOWN;
    port->halts++;
    if (port->halt_error)
        return port->halt_error;
    if (port->queued[ep] > 0)
        return -EAGAIN;
    if (port->refuse_halt > 0) {
        port->refuse_halt--;
        return -EAGAIN;
    }
    port->halted[ep] = true;
    return 0;
}

static void take_back(struct script_port *port, int status)
{
    for (int ep = USB_OUT; ep <= USB_IN; ep++)
        while (port->queued[ep] > 0)
            script_port_finish(port, (enum usb_endpoint)ep, status, 0);
    port->in_offset_bytes = 0;
}

static void script_cancel(struct usb_port *usb)
{
    struct script_port *port = script_port_of(usb);

    port->cancels++;
    take_back(port, -ECONNRESET);
}

static const struct usb_port_ops script_ops = {script_submit, script_halt, script_cancel};

void script_port_init(struct script_port *port, struct deferred_list *deferred)
{
    memset(port, 0, sizeof *port);
    port->usb.ops = &script_ops;
    port->deferred = deferred;
    port->depth = SCRIPT_PORT_QUEUE;
}

void script_port_finish(struct script_port *port, enum usb_endpoint ep, int status,
                        uint32_t actual_bytes)
{
    SCRIPT_CHECK(port->queued[ep] > 0 && port->done_count < SCRIPT_PORT_DONE);
    struct usb_req *req = port->queue[ep][0];

    SCRIPT_CHECK(actual_bytes <= req->length_bytes);
    port->queued[ep]--;
    for (unsigned i = 0; i < port->queued[ep]; i++)
        port->queue[ep][i] = port->queue[ep][i + 1];
    req->status = status;
    req->actual_bytes = actual_bytes;
    port->done[port->done_count++] = req;
}

static struct usb_req *done_pop(struct script_port *port)
{
    unsigned pick = 0;

    /* The first of the endpoint of the youngest: an endpoint keeps its order. */
    if (port->reverse_done)
        while (port->done[pick]->endpoint != port->done[port->done_count - 1]->endpoint)
            pick++;
    struct usb_req *req = port->done[pick];
    port->done_count--;
    for (unsigned i = pick; i < port->done_count; i++)
        port->done[i] = port->done[i + 1];
    return req;
}

void script_port_turns(struct script_port *port, unsigned rounds)
{
    while (rounds-- > 0) {
        bool moved = false;
        while (port->done_count > 0 && !port->hold_done) {
            port->usb.events->io_done(port->usb.events_ctx, done_pop(port));
            moved = true;
        }
        if (deferred_run(port->deferred) == 0 && !moved)
            return;
    }
}

void script_port_turn(struct script_port *port)
{
    script_port_turns(port, 50);
}

static bool overlaps(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    return (uintptr_t)a < (uintptr_t)b + b_bytes && (uintptr_t)b < (uintptr_t)a + a_bytes;
}

static bool req_uses(const struct usb_req *req, const void *memory, size_t bytes)
{
    return overlaps(req, sizeof *req, memory, bytes) ||
           overlaps(req->buf, req->length_bytes, memory, bytes);
}

bool script_port_uses(const struct script_port *port, const void *memory, size_t bytes)
{
    for (int ep = USB_OUT; ep <= USB_IN; ep++)
        for (unsigned i = 0; i < port->queued[ep]; i++)
            if (req_uses(port->queue[ep][i], memory, bytes))
                return true;
    for (unsigned i = 0; i < port->done_count; i++)
        if (req_uses(port->done[i], memory, bytes))
            return true;
    return false;
}

void script_port_enable(struct script_port *port, enum usb_speed speed, uint16_t packet_bytes)
{
    take_back(port, -ESHUTDOWN);
    port->halted[USB_OUT] = port->halted[USB_IN] = false;
    port->packet_bytes = packet_bytes;
    port->on = true;
    port->usb.events->enabled(port->usb.events_ctx, speed, packet_bytes);
}

void script_port_shut_down(struct script_port *port)
{
    port->on = false;
    take_back(port, -ESHUTDOWN);
}

void script_port_disable(struct script_port *port)
{
    script_port_shut_down(port);
    port->usb.events->disabled(port->usb.events_ctx);
}

void script_port_bot_reset(struct script_port *port)
{
    port->usb.events->bot_reset(port->usb.events_ctx);
}

/* Makes turns until a request of the endpoint is there. */
static bool wait_request(struct script_port *port, enum usb_endpoint ep)
{
    for (int i = 0; i < 50 && port->queued[ep] == 0 && !port->halted[ep]; i++)
        script_port_turns(port, 1);
    return port->queued[ep] > 0 && !port->halted[ep];
}

struct host_result host_out(struct script_port *port, const void *data, uint32_t bytes)
{
    struct host_result result = {0, HOST_DONE};

    do {
        if (!wait_request(port, USB_OUT)) {
            result.end = port->halted[USB_OUT] ? HOST_STALL : HOST_NAK;
            return result;
        }
        struct usb_req *req = port->queue[USB_OUT][0];
        uint32_t packet = bytes - result.bytes;
        if (packet > port->packet_bytes)
            packet = port->packet_bytes;
        if (packet > 0)
            memcpy(req->buf + req->actual_bytes, (const uint8_t *)data + result.bytes, packet);
        result.bytes += packet;
        uint32_t actual = req->actual_bytes + packet;
        req->actual_bytes = actual;
        if (packet < port->packet_bytes || actual == req->length_bytes)
            script_port_finish(port, USB_OUT, 0, actual);
    } while (result.bytes < bytes);
    return result;
}

struct host_result host_in(struct script_port *port, void *data, uint32_t bytes)
{
    struct host_result result = {0, HOST_DONE};
    uint32_t packet;

    do {
        if (!wait_request(port, USB_IN)) {
            result.end = port->halted[USB_IN] ? HOST_STALL : HOST_NAK;
            return result;
        }
        struct usb_req *req = port->queue[USB_IN][0];
        packet = req->length_bytes - port->in_offset_bytes;
        if (packet > port->packet_bytes)
            packet = port->packet_bytes;
        if (packet > bytes - result.bytes) {
            port->babble = true;
            packet = bytes - result.bytes;
        }
        if (packet > 0)
            memcpy((uint8_t *)data + result.bytes, req->buf + port->in_offset_bytes, packet);
        result.bytes += packet;
        port->in_offset_bytes += packet;
        if (port->in_offset_bytes == req->length_bytes || port->babble) {
            if (port->sent)
                port->sent(port->sent_ctx, req);
            script_port_finish(port, USB_IN, 0, req->length_bytes);
            port->in_offset_bytes = 0;
        }
    } while (result.bytes < bytes && packet == port->packet_bytes && !port->babble);
    return result;
}

void host_clear_halt(struct script_port *port, enum usb_endpoint endpoint)
{
    port->halted[endpoint] = false;
}
