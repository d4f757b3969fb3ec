/* SPDX-License-Identifier: BSD-2-Clause */
#include "privsep.h"

#include "bridge/bytes.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Packet: type, LUN, two bytes 0, number, two lengths, the texts without 0. */
#define HEAD_BYTES 12

void privsep_init(struct privsep_msg *msg, enum privsep_type type)
{
    memset(msg, 0, sizeof *msg);
    msg->type = type;
    for (unsigned i = 0; i < PRIVSEP_FDS_MAX; i++)
        msg->fds[i] = -1;
}

void privsep_text(struct privsep_msg *msg, unsigned index, const char *text)
{
    size_t length = strnlen(text, PRIVSEP_TEXT_BYTES - 1);
    memcpy(msg->text[index], text, length);
    msg->text[index][length] = 0;
}

bool privsep_from_child(enum privsep_type type)
{
    return type >= PRIVSEP_DESCRIPTORS_WRITTEN && type < PRIVSEP_TYPE_END;
}

unsigned privsep_fd_count(enum privsep_type type)
{
    switch ((int)type) {
    case PRIVSEP_START:
    case PRIVSEP_FRONT:
        return 1;
    case PRIVSEP_ENDPOINTS:
        return 2;
    default:
        return 0;
    }
}

size_t privsep_encode(const struct privsep_msg *msg, uint8_t packet[PRIVSEP_PACKET_BYTES])
{
    size_t at = HEAD_BYTES;
    packet[0] = (uint8_t)msg->type;
    packet[1] = msg->lun;
    put_be16(packet + 2, 0);
    put_be32(packet + 4, msg->number);
    for (unsigned i = 0; i < 2; i++) {
        size_t length = strnlen(msg->text[i], PRIVSEP_TEXT_BYTES - 1);
        put_be16(packet + 8 + 2 * (size_t)i, (uint16_t)length);
        memcpy(packet + at, msg->text[i], length);
        at += length;
    }
    return at;
}

bool privsep_decode(struct privsep_msg *msg, const uint8_t *packet, size_t length)
{
    if (length < HEAD_BYTES || packet[0] < PRIVSEP_START || packet[0] >= PRIVSEP_TYPE_END ||
        get_be16(packet + 2) != 0)
        return false;
    size_t first = get_be16(packet + 8), second = get_be16(packet + 10);
    if (first >= PRIVSEP_TEXT_BYTES || second >= PRIVSEP_TEXT_BYTES ||
        length != HEAD_BYTES + first + second || memchr(packet + HEAD_BYTES, 0, first + second))
        return false;
    privsep_init(msg, (enum privsep_type)packet[0]);
    msg->lun = packet[1];
    msg->number = get_be32(packet + 4);
    memcpy(msg->text[0], packet + HEAD_BYTES, first);
    memcpy(msg->text[1], packet + HEAD_BYTES + first, second);
    return true;
}

union control_buffer {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(PRIVSEP_FDS_MAX * sizeof(int))];
};

int privsep_send(int sock, const struct privsep_msg *msg)
{
    uint8_t packet[PRIVSEP_PACKET_BYTES];
    union control_buffer control;
    struct iovec iov = {.iov_base = packet, .iov_len = privsep_encode(msg, packet)};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
    size_t fd_bytes = privsep_fd_count(msg->type) * sizeof(int);

    if (fd_bytes) {
        memset(&control, 0, sizeof control);
        header.msg_control = control.bytes;
        header.msg_controllen = (socklen_t)CMSG_SPACE(fd_bytes);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = (socklen_t)CMSG_LEN(fd_bytes);
        memcpy(CMSG_DATA(cmsg), msg->fds, fd_bytes);
    }
    ssize_t sent = sendmsg(sock, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    int rc = sent < 0 ? -errno : 0;
    explicit_bzero(packet, sizeof packet);
    return rc;
}

/* Takes over all descriptors that came, also those that nobody asked for. The
 * kernel puts them into one control message, cut to the room that there is. */
static unsigned take_fds(struct msghdr *header, int fds[PRIVSEP_FDS_MAX])
{
    const struct cmsghdr *c = CMSG_FIRSTHDR(header);
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
        return 0;
    size_t count = ((size_t)c->cmsg_len - (size_t)CMSG_LEN(0)) / sizeof(int);
    if (count > PRIVSEP_FDS_MAX)
        count = PRIVSEP_FDS_MAX;
    memcpy(fds, CMSG_DATA(c), count * sizeof(int));
    return (unsigned)count;
}

int privsep_recv(int sock, struct privsep_msg *msg)
{
    uint8_t packet[PRIVSEP_PACKET_BYTES];
    union control_buffer control;
    struct iovec iov = {.iov_base = packet, .iov_len = sizeof packet};
    struct msghdr header = {.msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes};
    int fds[PRIVSEP_FDS_MAX];

    ssize_t length = recvmsg(sock, &header, MSG_CMSG_CLOEXEC);
    if (length < 0)
        return errno == ECONNRESET ? -EPIPE : -errno;
    if (length == 0)
        return -EPIPE;
    unsigned count = take_fds(&header, fds);
    bool good = !(header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
                privsep_decode(msg, packet, (size_t)length) && count == privsep_fd_count(msg->type);
    for (unsigned i = 0; i < count; i++) {
        if (good)
            msg->fds[i] = fds[i];
        else
            (void)close(fds[i]);
    }
    explicit_bzero(packet, sizeof packet);
    return good ? 0 : -EPROTO;
}
