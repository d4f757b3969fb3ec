/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/lunstickd/privsep.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int make_pair(void **state)
{
    static int pair[2];
    *state = pair;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair);
}

static int close_pair(void **state)
{
    const int *pair = *state;
    (void)close(pair[0]);
    (void)close(pair[1]);
    return 0;
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* Sends raw bytes with `count` copies of stdin's descriptor. */
static void send_raw(int sock, const void *bytes, size_t length, unsigned count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(4 * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = (void *)bytes, .iov_len = length};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
    const int fds[4] = {0, 0, 0, 0};
    if (count) {
        memset(&control, 0, sizeof control);
        header.msg_control = control.bytes;
        header.msg_controllen = (socklen_t)CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&header);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = (socklen_t)CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, count * sizeof(int));
    }
    assert_int_equal(sendmsg(sock, &header, 0), length);
}

static void decode_gives_what_encode_took(void **state)
{
    uint8_t packet[PRIVSEP_PACKET_BYTES];
    struct privsep_msg in, out;
    (void)state;
    memset(&out, 0xa5, sizeof out);
    privsep_init(&in, PRIVSEP_RESOLVED);
    in.lun = 7;
    in.number = 0x12345678;
    privsep_text(&in, 0, "192.0.2.1");
    privsep_text(&in, 1, "because");
    size_t length = privsep_encode(&in, packet);
    assert_true(privsep_decode(&out, packet, length));
    assert_memory_equal(&in, &out, sizeof in);
}

static void the_longest_texts_fit(void **state)
{
    uint8_t packet[PRIVSEP_PACKET_BYTES];
    char text[2 * PRIVSEP_TEXT_BYTES];
    struct privsep_msg in, out;
    (void)state;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    privsep_init(&in, PRIVSEP_SECRETS);
    privsep_text(&in, 0, text);
    privsep_text(&in, 1, text);
    size_t length = privsep_encode(&in, packet);
    assert_in_range(length, 1, sizeof packet);
    assert_true(privsep_decode(&out, packet, length));
    assert_int_equal(strlen(out.text[1]), PRIVSEP_TEXT_BYTES - 1);
}

static void decode_refuses_every_other_length(void **state)
{
    uint8_t packet[PRIVSEP_PACKET_BYTES + 1] = {0};
    struct privsep_msg msg;
    (void)state;
    privsep_init(&msg, PRIVSEP_STATUS);
    privsep_text(&msg, 0, "text");
    size_t length = privsep_encode(&msg, packet);
    for (size_t n = 0; n <= sizeof packet; n++)
        assert_int_equal(privsep_decode(&msg, packet, n), n == length);
}

static void decode_refuses_unknown_types(void **state)
{
    uint8_t packet[PRIVSEP_PACKET_BYTES];
    struct privsep_msg msg;
    (void)state;
    privsep_init(&msg, PRIVSEP_STOP);
    size_t length = privsep_encode(&msg, packet);
    packet[0] = 0;
    assert_false(privsep_decode(&msg, packet, length));
    packet[0] = PRIVSEP_TYPE_END;
    assert_false(privsep_decode(&msg, packet, length));
    packet[0] = 0xff;
    assert_false(privsep_decode(&msg, packet, length));
}

static void decode_refuses_a_zero_inside_a_text(void **state)
{
    uint8_t packet[PRIVSEP_PACKET_BYTES];
    struct privsep_msg msg;
    (void)state;
    privsep_init(&msg, PRIVSEP_STATUS);
    privsep_text(&msg, 0, "text");
    size_t length = privsep_encode(&msg, packet);
    packet[length - 2] = 0;
    assert_false(privsep_decode(&msg, packet, length));
}

static void only_the_childs_types_come_from_the_child(void **state)
{
    (void)state;
    assert_false(privsep_from_child(PRIVSEP_START));
    assert_false(privsep_from_child(PRIVSEP_FRONT));
    assert_false(privsep_from_child(PRIVSEP_SECRETS));
    assert_false(privsep_from_child(PRIVSEP_STOP));
    assert_true(privsep_from_child(PRIVSEP_DESCRIPTORS_WRITTEN));
    assert_false(privsep_from_child(PRIVSEP_INSERTED));
    assert_true(privsep_from_child(PRIVSEP_STATUS));
    assert_true(privsep_from_child(PRIVSEP_PLUG));
    assert_true(privsep_from_child(PRIVSEP_EJECT));
    assert_true(privsep_from_child(PRIVSEP_INSERT));
    assert_true(privsep_from_child(PRIVSEP_OTHER_DISK));
}

static void descriptors_travel_with_their_message(void **state)
{
    const int *pair = *state;
    int pipe_fds[2];
    char byte = 0;
    struct privsep_msg msg;
    assert_int_equal(pipe(pipe_fds), 0);
    privsep_init(&msg, PRIVSEP_ENDPOINTS);
    msg.fds[0] = pipe_fds[0];
    msg.fds[1] = pipe_fds[1];
    assert_int_equal(privsep_send(pair[0], &msg), 0);
    assert_int_equal(privsep_recv(pair[1], &msg), 0);
    assert_int_equal(write(msg.fds[1], "x", 1), 1);
    assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
    assert_int_equal(byte, 'x');
    assert_true(fcntl(msg.fds[0], F_GETFD) & FD_CLOEXEC);
    for (unsigned i = 0; i < 2; i++) {
        (void)close(msg.fds[i]);
        (void)close(pipe_fds[i]);
    }
}

static void descriptors_that_do_not_belong_are_closed(void **state)
{
    const int *pair = *state;
    uint8_t packet[PRIVSEP_PACKET_BYTES];
    struct privsep_msg msg;
    privsep_init(&msg, PRIVSEP_BIND);
    size_t length = privsep_encode(&msg, packet);
    unsigned before = open_descriptors();
    send_raw(pair[0], packet, length, 1);
    assert_int_equal(privsep_recv(pair[1], &msg), -EPROTO);
    send_raw(pair[0], packet, length, 4);
    assert_int_equal(privsep_recv(pair[1], &msg), -EPROTO);
    assert_int_equal(open_descriptors(), before);
}

static void a_message_without_its_descriptors_is_refused(void **state)
{
    const int *pair = *state;
    uint8_t packet[PRIVSEP_PACKET_BYTES];
    struct privsep_msg msg;
    privsep_init(&msg, PRIVSEP_ENDPOINTS);
    size_t length = privsep_encode(&msg, packet);
    unsigned before = open_descriptors();
    send_raw(pair[0], packet, length, 1);
    assert_int_equal(privsep_recv(pair[1], &msg), -EPROTO);
    assert_int_equal(open_descriptors(), before);
}

static void a_packet_that_is_too_long_is_refused(void **state)
{
    const int *pair = *state;
    uint8_t packet[PRIVSEP_PACKET_BYTES + 8] = {PRIVSEP_BIND};
    struct privsep_msg msg;
    send_raw(pair[0], packet, sizeof packet, 0);
    assert_int_equal(privsep_recv(pair[1], &msg), -EPROTO);
}

static void the_end_of_the_other_side_is_told(void **state)
{
    int *pair = *state;
    struct privsep_msg msg;
    assert_int_equal(privsep_recv(pair[1], &msg), -EAGAIN);
    (void)close(pair[0]);
    pair[0] = -1;
    assert_int_equal(privsep_recv(pair[1], &msg), -EPIPE);
    privsep_init(&msg, PRIVSEP_BIND);
    assert_int_equal(privsep_send(pair[1], &msg), -EPIPE);
}

static void a_peer_that_does_not_read_blocks_nobody(void **state)
{
    const int *pair = *state;
    struct privsep_msg msg;
    int rc = 0;
    privsep_init(&msg, PRIVSEP_BIND);
    for (unsigned i = 0; i < 100000 && rc == 0; i++)
        rc = privsep_send(pair[0], &msg);
    assert_int_equal(rc, -EAGAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decode_gives_what_encode_took),
        cmocka_unit_test(the_longest_texts_fit),
        cmocka_unit_test(decode_refuses_every_other_length),
        cmocka_unit_test(decode_refuses_unknown_types),
        cmocka_unit_test(decode_refuses_a_zero_inside_a_text),
        cmocka_unit_test(only_the_childs_types_come_from_the_child),
        cmocka_unit_test_setup_teardown(descriptors_travel_with_their_message, make_pair,
                                        close_pair),
        cmocka_unit_test_setup_teardown(descriptors_that_do_not_belong_are_closed, make_pair,
                                        close_pair),
        cmocka_unit_test_setup_teardown(a_message_without_its_descriptors_is_refused, make_pair,
                                        close_pair),
        cmocka_unit_test_setup_teardown(a_packet_that_is_too_long_is_refused, make_pair,
                                        close_pair),
        cmocka_unit_test_setup_teardown(the_end_of_the_other_side_is_told, make_pair, close_pair),
        cmocka_unit_test_setup_teardown(a_peer_that_does_not_read_blocks_nobody, make_pair,
                                        close_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
