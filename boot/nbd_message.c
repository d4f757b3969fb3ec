/* SPDX-License-Identifier: BSD-2-Clause */
#include "nbd_message.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/nbd-netlink.h>
#include <linux/nbd.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWERS_MAX  8 /* to one message; the kernel sends two */
#define ANSWER_BYTES 8192

/* ---- composing ---- */

/* The room is enough for all that this file puts: a backend is less than NBD_BACKEND_BYTES. */
struct writer {
    uint8_t *buf;
    size_t bytes;
};

static void put(struct writer *w, const void *data, size_t bytes)
{
    memcpy(w->buf + w->bytes, data, bytes);
    w->bytes += bytes;
    while (w->bytes % NLA_ALIGNTO != 0)
        w->buf[w->bytes++] = 0;
}

static void put_attr(struct writer *w, uint16_t type, const void *data, size_t bytes)
{
    struct nlattr attr = {.nla_len = (uint16_t)(sizeof(struct nlattr) + bytes), .nla_type = type};
    put(w, &attr, sizeof attr);
    put(w, data, bytes);
}

static void put_string(struct writer *w, uint16_t type, const char *text)
{
    put_attr(w, type, text, strlen(text) + 1);
}

static void put_u32(struct writer *w, uint16_t type, uint32_t number)
{
    put_attr(w, type, &number, sizeof number);
}

static void put_u64(struct writer *w, uint16_t type, uint64_t number)
{
    put_attr(w, type, &number, sizeof number);
}

/* The list of sockets, of one item, of one attribute. */
static void put_socket(struct writer *w, int fd)
{
    uint8_t inner[2 * sizeof(struct nlattr) + sizeof(uint32_t)];
    struct writer item = {.buf = inner};
    struct nlattr head = {.nla_len = sizeof inner, .nla_type = NBD_SOCK_ITEM | NLA_F_NESTED};
    put(&item, &head, sizeof head);
    put_u32(&item, NBD_SOCK_FD, (uint32_t)fd);
    put_attr(w, NBD_ATTR_SOCKETS | NLA_F_NESTED, inner, item.bytes);
}

static void message_begin(struct writer *w, uint16_t type, uint32_t sequence, uint8_t command,
                          uint8_t version)
{
    struct nlmsghdr head = {
        .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK, .nlmsg_seq = sequence};
    struct genlmsghdr generic = {.cmd = command, .version = version};
    put(w, &head, sizeof head);
    put(w, &generic, sizeof generic);
}

static uint32_t message_end(const struct writer *w)
{
    uint32_t bytes = (uint32_t)w->bytes;
    memcpy(w->buf + offsetof(struct nlmsghdr, nlmsg_len), &bytes, sizeof bytes);
    return bytes;
}

uint32_t nbd_message_put(uint8_t buf[NBD_MESSAGE_BYTES], uint16_t family, uint32_t sequence,
                         const struct nbd_message *m)
{
    struct writer w = {.buf = buf};
    message_begin(&w, family, sequence, m->command, NBD_GENL_VERSION);
    put_u32(&w, NBD_ATTR_INDEX, (uint32_t)m->index);
    if (m->geometry) {
        put_u64(&w, NBD_ATTR_SIZE_BYTES, m->geometry->bytes);
        put_u64(&w, NBD_ATTR_BLOCK_SIZE_BYTES, m->geometry->block_bytes);
        put_u64(&w, NBD_ATTR_SERVER_FLAGS, m->geometry->flags);
        /* A request may wait for ever; the kernel only looks after it now and then. */
        put_u64(&w, NBD_ATTR_TIMEOUT, 0);
        put_u64(&w, NBD_ATTR_DEAD_CONN_TIMEOUT, NBD_DEAD_CONNECTION_S);
        put_u64(&w, NBD_ATTR_CLIENT_FLAGS, m->own ? NBD_CFLAG_DESTROY_ON_DISCONNECT : 0);
    }
    if (m->backend)
        put_string(&w, NBD_ATTR_BACKEND_IDENTIFIER, m->backend);
    if (m->fd >= 0)
        put_socket(&w, m->fd);
    return message_end(&w);
}

/* The number of the family, for which the kernel loads the module if it can. */
static uint32_t put_question(uint8_t buf[NBD_MESSAGE_BYTES], uint32_t sequence)
{
    struct writer w = {.buf = buf};
    message_begin(&w, GENL_ID_CTRL, sequence, CTRL_CMD_GETFAMILY, 1);
    put_string(&w, CTRL_ATTR_FAMILY_NAME, NBD_GENL_FAMILY_NAME);
    return message_end(&w);
}

/* ---- the answer ---- */

static void read_family(const uint8_t *attrs, size_t bytes, uint16_t *family)
{
    struct nlattr attr;
    while (bytes >= sizeof attr) {
        memcpy(&attr, attrs, sizeof attr);
        if (attr.nla_len < sizeof attr || attr.nla_len > bytes)
            return;
        if (attr.nla_type == CTRL_ATTR_FAMILY_ID &&
            attr.nla_len >= sizeof(struct nlattr) + sizeof *family)
            memcpy(family, attrs + sizeof(struct nlattr), sizeof *family);
        size_t step = NLA_ALIGN(attr.nla_len);
        if (step > bytes)
            return;
        attrs += step;
        bytes -= step;
    }
}

int nbd_message_answer(const void *buf, size_t bytes, uint32_t sequence, uint16_t *family,
                       int *verdict)
{
    const uint8_t *at = buf;
    struct nlmsghdr head;
    while (bytes >= sizeof head) {
        memcpy(&head, at, sizeof head);
        if (head.nlmsg_len < sizeof head || head.nlmsg_len > bytes)
            return 0;
        const uint8_t *data = at + sizeof(struct nlmsghdr);
        size_t data_bytes = head.nlmsg_len - sizeof(struct nlmsghdr);
        if (head.nlmsg_seq == sequence && head.nlmsg_type == NLMSG_ERROR &&
            data_bytes >= sizeof *verdict) {
            memcpy(verdict, data, sizeof *verdict);
            return 1;
        }
        if (head.nlmsg_seq == sequence && head.nlmsg_type == GENL_ID_CTRL &&
            data_bytes >= sizeof(struct genlmsghdr))
            read_family(data + sizeof(struct genlmsghdr), data_bytes - sizeof(struct genlmsghdr),
                        family);
        size_t step = NLMSG_ALIGN(head.nlmsg_len);
        if (step > bytes)
            return 0;
        at += step;
        bytes -= step;
    }
    return 0;
}

/* ---- speaking ---- */

static int exchange(int fd, const uint8_t *message, uint32_t bytes, uint32_t sequence,
                    uint16_t *family)
{
    uint8_t buf[ANSWER_BYTES];
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    int verdict;
    if (sendto(fd, message, bytes, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
        return -errno;
    for (int i = 0; i < ANSWERS_MAX; i++) {
        struct sockaddr_nl from = {0};
        socklen_t from_bytes = sizeof from;
        ssize_t n = recvfrom(fd, buf, sizeof buf, 0, (struct sockaddr *)&from, &from_bytes);
        if (n < 0 && errno != EINTR)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        if (n > 0 && from.nl_pid == 0 &&
            nbd_message_answer(buf, (size_t)n, sequence, family, &verdict))
            return verdict;
    }
    return -ETIMEDOUT;
}

int nbd_message_send(const struct nbd_message *m)
{
    struct timeval patience = {.tv_sec = NBD_ANSWER_MS / 1000};
    struct sockaddr_nl self = {.nl_family = AF_NETLINK};
    uint8_t buf[NBD_MESSAGE_BYTES];
    uint16_t family = 0;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
    if (fd < 0)
        return -errno;
    int err = 0;
    if (bind(fd, (struct sockaddr *)&self, sizeof self) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0)
        err = -errno;
    if (err == 0)
        err = exchange(fd, buf, put_question(buf, 1), 1, &family);
    if (err == 0 && family == 0)
        err = -ENOENT;
    if (err == 0)
        err = exchange(fd, buf, nbd_message_put(buf, family, 2, m), 2, &family);
    (void)close(fd);
    return err;
}
