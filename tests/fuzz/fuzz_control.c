/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clients of any kind at the control socket: slow ones, lines in pieces, without
 * end, or with anything in them, hang-ups in the middle, more than there are
 * places. The input is a script of what they do. Whatever that is: a request is
 * one line, an answer goes to who asked, at once or later, whole unless its client
 * was dropped, and afterwards the next one is served.
 */
#include "daemon/lunstickd/control.h"
#include "daemon/lunstickd/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FRIENDS 12 /* more than CONTROL_CLIENTS */

#define LATER_BYTES 200

struct friend
{
    int fd;        /* -1: none */
    int mark;      /* of the bytes of its answer; -1: none came yet */
    size_t answer; /* bytes received */
    bool deaf;
};

static struct {
    struct deferred_list deferred;
    struct loop loop;
    struct control control;
    struct sockaddr_un address;
    socklen_t address_bytes;
    struct friend friends[FRIENDS];
    unsigned requests;
    bool hurried;             /* somebody was dropped for being slow */
    size_t answer_bytes;      /* of the next answer */
    bool later;               /* it comes later, and is short */
    uint32_t tickets[256];    /* by mark; 0: answered at once */
    size_t answer_sizes[256]; /* by mark */
} bench;

static void require(bool good)
{
    if (!good)
        abort();
}

/* Whatever the line is: a request, or a reason why it is none. */
static void understand(char *line)
{
    struct request request;
    char why[128] = "";
    if (!request_parse(&request, line, why, sizeof why)) {
        require(why[0] && strnlen(why, sizeof why) < sizeof why);
        return;
    }
    require(request.lun >= REQUEST_ANY_LUN && request.lun < 16);
    require(request.verb == REQUEST_INSERT || (!request.url && !request.read_only));
    require(!request.url || (request.url[0] && !strchr(request.url, ' ')));
}

static size_t respond(void *ctx, char *line, uint32_t ticket, char *answer, size_t size)
{
    size_t length = strnlen(line, CONTROL_REQUEST_BYTES);
    unsigned mark = ++bench.requests & 0xff;
    (void)ctx;
    require(length < CONTROL_REQUEST_BYTES && !strchr(line, '\n'));
    require(size == CONTROL_ANSWER_BYTES && ticket != 0);
    understand(line);
    bench.tickets[mark] = bench.later ? ticket : 0;
    if (bench.later) {
        bench.answer_sizes[mark] = LATER_BYTES;
        return CONTROL_LATER;
    }
    memset(answer, (int)mark, bench.answer_bytes);
    if (bench.answer_sizes[mark] < bench.answer_bytes)
        bench.answer_sizes[mark] = bench.answer_bytes;
    return bench.answer_bytes;
}

/* To a client that may have left, or been answered. */
static void answer_later(unsigned mark)
{
    char text[LATER_BYTES + 1];
    memset(text, (int)mark, LATER_BYTES);
    text[LATER_BYTES] = 0;
    if (mark)
        control_answer(&bench.control, bench.tickets[mark], text);
}

static void new_count(void)
{
    memset(bench.tickets, 0, sizeof bench.tickets);
    bench.requests = 0;
    memset(bench.answer_sizes, 0, sizeof bench.answer_sizes);
}

static uint64_t at_once(void *ctx)
{
    (void)ctx;
    return 0;
}

static void nothing_due(void *ctx)
{
    (void)ctx;
}

static void start(void)
{
    bench.address.sun_family = AF_UNIX; /* autobind: a free abstract name */
    bench.address_bytes = sizeof bench.address;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    require(bind(fd, (struct sockaddr *)&bench.address, sizeof(sa_family_t)) == 0);
    require(listen(fd, FRIENDS) == 0);
    require(getsockname(fd, (struct sockaddr *)&bench.address, &bench.address_bytes) == 0);
    deferred_list_init(&bench.deferred);
    loop_init(&bench.loop, &bench.deferred, at_once, nothing_due, NULL);
    bench.control.respond = respond;
    require(control_init(&bench.control, &bench.loop, fd) == 0);
    for (unsigned i = 0; i < FRIENDS; i++)
        bench.friends[i].fd = -1;
}

static void turn(void)
{
    require(loop_turn(&bench.loop) == 0);
}

static void drop(struct friend *f)
{
    if (f->fd >= 0)
        (void)close(f->fd);
    *f = (struct friend){.fd = -1, .mark = -1};
}

static void meet(struct friend *f)
{
    drop(f);
    f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connect(f->fd, (const struct sockaddr *)&bench.address, bench.address_bytes) < 0) {
        require(errno == EAGAIN); /* the listen queue is full */
        drop(f);
    }
}

/* At most `room` bytes of its answer; true at the end of file. */
static bool hear(struct friend *f, size_t room)
{
    static unsigned char buffer[CONTROL_ANSWER_BYTES];
    ssize_t n = recv(f->fd, buffer, room < sizeof buffer ? room : sizeof buffer, 0);
    if (n == 0 || (n < 0 && errno == ECONNRESET)) {
        require(f->mark < 0 || f->deaf || bench.hurried || bench.requests > 255 ||
                f->answer == bench.answer_sizes[f->mark]);
        return true;
    }
    for (ssize_t i = 0; i < n; i++) {
        if (f->mark < 0)
            f->mark = buffer[i];
        require(buffer[i] == f->mark);
    }
    f->answer += n > 0 ? (size_t)n : 0;
    require(f->mark < 0 || f->answer <= bench.answer_sizes[f->mark]);
    return false;
}

static void time_is_up(unsigned which)
{
    bench.hurried = true;
    bench.control.clients[which % CONTROL_CLIENTS].deadline_us = 0;
    control_run_timeouts(&bench.control);
}

/* One step of the script; returns the bytes that it used. */
static size_t step(const uint8_t *data, size_t size)
{
    struct friend *f = &bench.friends[(data[0] >> 4) % FRIENDS];
    size_t used = 1, length;
    switch (data[0] & 0xf) {
    case 0:
        meet(f);
        break;
    case 1:
        drop(f);
        break;
    case 2:
        (void)shutdown(f->fd, SHUT_WR);
        break;
    case 3:
        (void)shutdown(f->fd, SHUT_RD);
        f->deaf = true;
        break;
    case 4:
        time_is_up(data[0] >> 4);
        break;
    case 5: /* the length of the answers from now on */
        length = size > 1 ? data[1] : 0;
        bench.answer_bytes = length * length * 2 + (length == 255 ? 1022 : 0);
        used = size > 1 ? 2 : 1;
        break;
    case 6:
    case 7:
        if (f->fd >= 0 && hear(f, (size_t)16 << (data[0] & 1 ? 12 : 2)))
            drop(f);
        break;
    case 8:
    case 9:
        turn();
        break;
    case 10:
        (void)send(f->fd, "status\n", 7, MSG_NOSIGNAL);
        break;
    case 11:
        bench.later = data[0] >> 7;
        if (!bench.later && size > 1)
            answer_later(data[1]);
        used = size > 1 ? 2 : 1;
        break;
    default: /* what follows, in one piece */
        length = size > 1 ? data[1] : 0;
        used = size > 1 ? 2 : 1;
        length = length < size - used ? length : size - used;
        (void)send(f->fd, data + used, length, MSG_NOSIGNAL);
        used += length;
    }
    return used;
}

/* When all have left, the daemon keeps nothing of them, and serves the next. */
static void end(void)
{
    for (unsigned i = 0; i < FRIENDS; i++)
        drop(&bench.friends[i]);
    for (unsigned i = 0; i < 4 * FRIENDS; i++)
        turn();
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
        require(bench.control.clients[i].watch.fd < 0);
    require(bench.control.listener.events != 0 && !bench.control.answered);
    require(control_next_timeout_us(&bench.control) == LOOP_NEVER);

    struct friend *f = &bench.friends[0];
    bool over = false;
    bench.answer_bytes = 3000;
    bench.later = false;
    new_count();
    meet(f);
    require(f->fd >= 0 && send(f->fd, "status\n", 7, MSG_NOSIGNAL) == 7);
    for (unsigned i = 0; i < 100 && !over; i++) {
        turn();
        over = hear(f, CONTROL_ANSWER_BYTES);
    }
    require(over && f->answer == 3000);
    drop(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!bench.loop.deferred)
        start();
    bench.answer_bytes = 10;
    bench.hurried = bench.later = false;
    new_count();
    for (size_t at = 0; at < size;)
        at += step(data + at, size - at);
    end();
    return 0;
}
