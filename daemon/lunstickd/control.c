/* SPDX-License-Identifier: BSD-2-Clause */
#include "control.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void serve(struct control *control);

static void drop(struct control_client *client)
{
    struct control *control = client->control;
    (void)close(client->watch.fd);
    client->watch.fd = -1;
    client->ticket = 0;
    if (control->answered == client)
        control->answered = NULL;
    control->listener.events = POLLIN;
}

/* Sends what the socket takes; true when the client is done with. */
static bool send_answer(struct control *control, struct control_client *client)
{
    ssize_t n = send(client->watch.fd, control->answer + control->sent_bytes,
                     control->answer_bytes - control->sent_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0)
        return errno != EAGAIN && errno != EINTR;
    control->sent_bytes += (size_t)n;
    return control->sent_bytes == control->answer_bytes;
}

/* True when the request is there, also cut short by the end of file. */
static bool read_request(struct control_client *client, bool *gone)
{
    size_t room = CONTROL_REQUEST_BYTES - 1 - client->request_bytes;
    char *end = client->request + client->request_bytes;
    ssize_t n = recv(client->watch.fd, end, room, MSG_DONTWAIT);
    *gone = false;
    if (n < 0) {
        *gone = errno != EAGAIN && errno != EINTR;
        return false;
    }
    client->request_bytes += (size_t)n;
    client->request[client->request_bytes] = 0;
    char *newline = strchr(client->request, '\n');
    if (newline)
        *newline = 0;
    *gone = !newline && (client->request_bytes == 0 || (size_t)n == room);
    return newline || n == 0;
}

static void client_ready(void *ctx, short revents)
{
    struct control_client *client = ctx;
    struct control *control = client->control;
    bool gone = (revents & (POLLERR | POLLNVAL)) != 0;
    if (!gone && client->complete) {
        gone = control->answered != client || send_answer(control, client);
    } else if (!gone) {
        client->complete = read_request(client, &gone);
        client->watch.events = client->complete ? 0 : POLLIN;
    }
    if (gone)
        drop(client);
    serve(control);
}

/* Gives the answer buffer to the next client that waits for it. */
static void serve(struct control *control)
{
    for (unsigned i = 0; i < CONTROL_CLIENTS && !control->answered; i++) {
        struct control_client *client = &control->clients[i];
        if (client->watch.fd < 0 || !client->complete || client->ticket)
            continue;
        uint32_t ticket = ++control->tickets ? control->tickets : ++control->tickets;
        size_t bytes = control->respond(control->ctx, client->request, ticket, control->answer,
                                        sizeof control->answer);
        if (bytes == CONTROL_LATER) {
            client->ticket = ticket;
            client->deadline_us = loop_now_us() + CONTROL_LATER_SECONDS * 1000000ULL;
            continue;
        }
        control->answered = client;
        control->sent_bytes = 0;
        control->answer_bytes = bytes;
        client->watch.events = POLLOUT;
        if (send_answer(control, client))
            drop(client);
    }
}

/* The socket of a client that was sent nothing yet takes a short text whole. */
void control_answer(struct control *control, uint32_t ticket, const char *text)
{
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
        struct control_client *client = &control->clients[i];
        if (ticket && client->watch.fd >= 0 && client->ticket == ticket) {
            (void)send(client->watch.fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
            drop(client);
        }
    }
}

static void listener_ready(void *ctx, short revents)
{
    struct control *control = ctx;
    (void)revents;
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
        struct control_client *client = &control->clients[i];
        if (client->watch.fd >= 0)
            continue;
        int fd = accept4(control->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        client->watch.fd = fd;
        client->watch.events = POLLIN;
        client->deadline_us = loop_now_us() + CONTROL_SECONDS * 1000000ULL;
        client->request_bytes = 0;
        client->complete = false;
        client->ticket = 0;
    }
    control->listener.events = 0; /* full: until a place is free */
}

int control_init(struct control *control, struct loop *loop, int listen_fd)
{
    control->answered = NULL;
    control->tickets = 0;
    control->listener = (struct loop_watch){
        .fd = listen_fd, .events = POLLIN, .ready = listener_ready, .ctx = control};
    int rc = loop_add(loop, &control->listener);
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
        struct control_client *client = &control->clients[i];
        client->control = control;
        client->watch = (struct loop_watch){.fd = -1, .ready = client_ready, .ctx = client};
        if (rc == 0)
            rc = loop_add(loop, &client->watch);
    }
    return rc;
}

uint64_t control_next_timeout_us(const struct control *control)
{
    uint64_t next_us = LOOP_NEVER;
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
        const struct control_client *client = &control->clients[i];
        if (client->watch.fd >= 0 && client->deadline_us < next_us)
            next_us = client->deadline_us;
    }
    return next_us;
}

void control_run_timeouts(struct control *control)
{
    if (control_next_timeout_us(control) == LOOP_NEVER)
        return;
    uint64_t now_us = loop_now_us();
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
        struct control_client *client = &control->clients[i];
        if (client->watch.fd >= 0 && client->deadline_us <= now_us)
            drop(client);
    }
    serve(control);
}
