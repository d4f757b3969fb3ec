/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_target.h"

#include "bridge/bytes.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define BHS_BYTES 48

enum { OP_SCSI = 0x01, OP_LOGIN = 0x03 };
enum { EXIT_FORBIDDEN = 66 };

struct server {
    int fd;
    enum fake_behaviour behaviour;
    const char *moved_to;
    uint32_t stat_sn;
};

static bool read_all(int fd, uint8_t *out, size_t bytes)
{
    while (bytes > 0) {
        ssize_t got = read(fd, out, bytes);
        if (got <= 0)
            return false;
        out += got;
        bytes -= (size_t)got;
    }
    return true;
}

static bool read_pdu(int fd, uint8_t bhs[BHS_BYTES])
{
    uint8_t data[4096];
    size_t bytes;

    if (!read_all(fd, bhs, BHS_BYTES))
        return false;
    bytes = (get_be24(bhs + 5) + 3u) & ~3u;
    while (bytes > 0) {
        size_t piece = bytes < sizeof(data) ? bytes : sizeof(data);
        if (!read_all(fd, data, piece))
            return false;
        bytes -= piece;
    }
    return true;
}

static void send_pdu(struct server *s, uint8_t bhs[BHS_BYTES], const uint8_t *request,
                     const char *data, size_t data_bytes)
{
    uint8_t padded[512] = {0};
    uint32_t cmd_sn = get_be32(request + 24) + (request[0] & 0x40 ? 0 : 1);

    put_be24(bhs + 5, (uint32_t)data_bytes);
    memcpy(bhs + 16, request + 16, 4);
    put_be32(bhs + 24, s->stat_sn++);
    put_be32(bhs + 28, cmd_sn);
    put_be32(bhs + 32, cmd_sn + 31);
    memcpy(padded, data, data_bytes);
    if (write(s->fd, bhs, BHS_BYTES) != BHS_BYTES)
        return;
    data_bytes = (data_bytes + 3) & ~(size_t)3;
    if (data_bytes > 0 && write(s->fd, padded, data_bytes) < 0)
        return;
}

/* RFC 7143 11.13: straight from the first request to the full feature phase,
 * or from the security stage first. */
static void answer_login(struct server *s, const uint8_t *request)
{
    uint8_t bhs[BHS_BYTES] = {0x23, (uint8_t)(request[1] & 0x8f)};
    char text[300] = "TargetPortalGroupTag=7";
    size_t bytes = strlen(text) + 1;
    bool moved = s->behaviour == FAKE_MOVED || s->behaviour == FAKE_MOVED_NOWHERE;

    memcpy(bhs + 8, request + 8, 6);
    if (moved) {
        bhs[36] = 0x01;
        bhs[37] = 0x01;
        bytes = 0;
    }
    if (s->behaviour == FAKE_MOVED)
        bytes = (size_t)snprintf(text, sizeof(text), "TargetAddress=%s", s->moved_to) + 1;
    if (s->behaviour == FAKE_BAD_KEYS)
        bytes = (size_t)snprintf(text, sizeof(text), "MaxRecvDataSegmentLength=0") + 1;
    if (s->behaviour == FAKE_EARLY_ANSWER) {
        static const char keys[] = "InitialR2T=No\0ImmediateData=Yes\0FirstBurstLength=262144\0"
                                   "MaxRecvDataSegmentLength=8192";
        memcpy(text, keys, sizeof(keys));
        bytes = sizeof(keys);
    }
    /* Out of the security stage without CHAP: the whole login is done. */
    if (s->behaviour == FAKE_NO_MUTUAL)
        bhs[1] = 0x87;
    send_pdu(s, bhs, request, text, bytes);
}

static void answer_command(struct server *s, const uint8_t *request)
{
    static const char sense[] = {0, 18, 0x70, 0, 7,    0, 0, 0, 0, 10,
                                 0, 0,  0,    0, 0x27, 0, 0, 0, 0, 0};
    uint8_t bhs[BHS_BYTES] = {0x21, 0x80};
    const char *data = "";
    size_t data_bytes = 0;

    switch (s->behaviour) {
    case FAKE_LONG_RESIDUAL:
        bhs[1] |= 0x02;
        put_be32(bhs + 44, get_be32(request + 20) + 1);
        break;
    case FAKE_NO_SENSE:
        bhs[3] = 0x02;
        break;
    case FAKE_UNKNOWN_STATUS:
        bhs[3] = 0x77;
        break;
    case FAKE_EARLY_ANSWER:
        bhs[3] = 0x02;
        data = sense;
        data_bytes = sizeof(sense);
        break;
    default:
        break;
    }
    send_pdu(s, bhs, request, data, data_bytes);
}

/* The rest of what comes, after a while in which the sender had to wait. */
static void look_for_forbidden_bytes(int fd)
{
    uint8_t bytes[4096];
    unsigned row = 0;
    ssize_t got;

    usleep(200000);
    while ((got = read(fd, bytes, sizeof(bytes))) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            row = bytes[i] == FAKE_FORBIDDEN_BYTE ? row + 1 : 0;
            if (row == 16)
                _exit(EXIT_FORBIDDEN);
        }
    }
}

static void serve_early(struct server *s)
{
    uint8_t request[BHS_BYTES];
    uint8_t data[4096];

    while (read_all(s->fd, request, BHS_BYTES)) {
        if ((request[0] & 0x3f) == OP_SCSI) {
            answer_command(s, request);
            look_for_forbidden_bytes(s->fd);
            return;
        }
        if (!read_all(s->fd, data, (get_be24(request + 5) + 3u) & ~3u))
            return;
        if ((request[0] & 0x3f) == OP_LOGIN)
            answer_login(s, request);
    }
}

static void serve(struct server *s)
{
    uint8_t request[BHS_BYTES];
    char byte;

    if (s->behaviour == FAKE_SILENT) {
        while (read(s->fd, &byte, 1) > 0) {
        }
        return;
    }
    if (s->behaviour == FAKE_EARLY_ANSWER) {
        serve_early(s);
        return;
    }
    while (read_pdu(s->fd, request)) {
        if (s->behaviour == FAKE_CLOSES)
            return;
        if ((request[0] & 0x3f) == OP_LOGIN)
            answer_login(s, request);
        else if (s->behaviour == FAKE_LOGIN_THEN_MUTE)
            continue;
        else if ((request[0] & 0x3f) == OP_SCSI)
            answer_command(s, request);
    }
}

/* So small that 100 KB of a command wait in its sender. */
static void make_buffers_small(int fd)
{
    int segment = 536;
    int bytes = 4096;

    setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

static int listen_anywhere(uint16_t *port, bool small)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (small)
        make_buffers_small(fd);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(fd, 8) != 0 || getsockname(fd, (struct sockaddr *)&address, &bytes) != 0)
        abort();
    *port = ntohs(address.sin_port);
    return fd;
}

struct fake_target fake_target_start(enum fake_behaviour behaviour, const char *moved_to)
{
    struct fake_target target;
    int listener = listen_anywhere(&target.port, behaviour == FAKE_EARLY_ANSWER);

    target.pid = fork();
    if (target.pid < 0)
        abort();
    if (target.pid > 0) {
        close(listener);
        return target;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        struct server server = {accept(listener, NULL, NULL), behaviour, moved_to, 1};
        if (server.fd < 0)
            _exit(1);
        serve(&server);
        close(server.fd);
    }
}

bool fake_target_stop(struct fake_target *target)
{
    int status = 0;

    kill(target->pid, SIGKILL);
    waitpid(target->pid, &status, 0);
    return !WIFEXITED(status) || WEXITSTATUS(status) != EXIT_FORBIDDEN;
}

uint16_t fake_target_closed_port(void)
{
    uint16_t port;

    close(listen_anywhere(&port, false));
    return port;
}
