/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scripted usb_port: queues as the real port has them, and the host's end
 * of the two endpoints, packet by packet. Events reach the protocol from
 * script_port_turn() only. It aborts when the protocol breaks usb_port.h.
 */
#ifndef LUNSTICK_TESTS_SCRIPT_PORT_H
#define LUNSTICK_TESTS_SCRIPT_PORT_H

#include "bridge/deferred.h"
#include "gadget/usb_port.h"

#include <stddef.h>

#define SCRIPT_PORT_QUEUE 8
#define SCRIPT_PORT_DONE  32

/* Aborts with the place: works with NDEBUG and without cmocka (fuzzers). */
#define SCRIPT_CHECK(condition) script_check(condition, #condition, __FILE__, __LINE__)
void script_check(bool ok, const char *condition, const char *file, int line);

struct script_port {
    struct usb_port usb;
    struct deferred_list *deferred;
    uint16_t packet_bytes;
    bool on;

    struct usb_req *queue[2][SCRIPT_PORT_QUEUE]; /* oldest first */
    unsigned queued[2];
    uint32_t in_offset_bytes; /* of the oldest IN request, sent already */
    struct usb_req *done[SCRIPT_PORT_DONE];
    unsigned done_count;
    bool halted[2];

    /* The script. */
    unsigned depth;         /* of a queue; SCRIPT_PORT_QUEUE at most */
    bool hold_done;         /* completions wait */
    bool reverse_done;      /* of different endpoints: the youngest first */
    unsigned refuse_halt;   /* so many times -EAGAIN */
    int halt_error;         /* or this */
    unsigned refuse_submit; /* so many times -EAGAIN, IN only */
    int submit_error;       /* or this, every time */
    /* Told of every IN request that the host has read to its end. */
    void (*sent)(void *ctx, const struct usb_req *req);
    void *sent_ctx;

    /* What happened. */
    unsigned halts, cancels, submits[2];
    uint64_t out_asked_bytes; /* sum of the lengths of OUT requests */
    unsigned peak[2];         /* of queued */
    bool babble;              /* the device sent more than the host asked for */
};

/* The caller's structure, poisoned before; no event is called. */
void script_port_init(struct script_port *port, struct deferred_list *deferred);

/* Runs completions and deferred calls until nothing is left, at most `rounds`. */
void script_port_turn(struct script_port *port);
void script_port_turns(struct script_port *port, unsigned rounds);

/* A request or its buffer is still with the port. */
bool script_port_uses(const struct script_port *port, const void *memory, size_t bytes);

/* SET_CONFIGURATION; the end of it; the class reset. No turn is made. */
void script_port_enable(struct script_port *port, enum usb_speed speed, uint16_t packet_bytes);
void script_port_disable(struct script_port *port);
/* Requests come back with -ESHUTDOWN, the event is still to come. */
void script_port_shut_down(struct script_port *port);
void script_port_bot_reset(struct script_port *port);

/* How the host's transfer ended. */
enum host_end { HOST_DONE, HOST_STALL, HOST_NAK };
struct host_result {
    uint32_t bytes;
    enum host_end end;
};

/* One transfer of the host; turns are made while it waits. 0 bytes to OUT is a
 * zero-length packet. IN ends at `bytes` or with a short packet. */
struct host_result host_out(struct script_port *port, const void *data, uint32_t bytes);
struct host_result host_in(struct script_port *port, void *data, uint32_t bytes);
void host_clear_halt(struct script_port *port, enum usb_endpoint endpoint);

/* The oldest request completes as the test says. No turn is made. */
void script_port_finish(struct script_port *port, enum usb_endpoint endpoint, int status,
                        uint32_t actual_bytes);

#endif
