/* SPDX-License-Identifier: BSD-2-Clause */
/* What is said to the kernel's nbd, and what its files in sysfs say, without either. */
#include "boot/nbd_device.h"
#include "boot/nbd_wire.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/nbd-netlink.h>
#include <linux/nbd.h>
#include <linux/netlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const struct nbd_geometry geometry = {
    .bytes = 0x123456789000, .block_bytes = 4096, .flags = NBD_CAN_FLAGS | NBD_CAN_FLUSH};

/* ---- messages ---- */

static uint8_t message[NBD_MESSAGE_BYTES];
static uint32_t message_bytes;

static void compose(const struct nbd_message *m)
{
    memset(message, 0xa5, sizeof message);
    message_bytes = nbd_message_put(message, 0x1c, 7, m);
    assert_true(message_bytes <= sizeof message);
}

/* The attribute's data, and their length; NULL: it is not there. */
static const uint8_t *attr_in(const uint8_t *at, size_t bytes, unsigned type, size_t *length)
{
    const uint8_t *found = NULL;
    while (bytes > 0) {
        struct nlattr attr;
        assert_true(bytes >= sizeof attr);
        memcpy(&attr, at, sizeof attr);
        assert_true(attr.nla_len >= sizeof attr && attr.nla_len <= bytes);
        if ((attr.nla_type & NLA_TYPE_MASK) == type) {
            assert_null(found);
            found = at + sizeof attr;
            *length = attr.nla_len - sizeof attr;
        }
        at += (size_t)NLA_ALIGN(attr.nla_len);
        bytes -= (size_t)NLA_ALIGN(attr.nla_len);
    }
    return found;
}

static const uint8_t *attr_find(unsigned type, size_t *length)
{
    const size_t head = sizeof(struct nlmsghdr) + sizeof(struct genlmsghdr);
    return attr_in(message + head, message_bytes - head, type, length);
}

static uint64_t attr_number(unsigned type)
{
    size_t length = 0;
    uint64_t number = 0;
    const uint8_t *at = attr_find(type, &length);
    assert_non_null(at);
    assert_true(length == 4 || length == 8);
    if (length == 8) {
        memcpy(&number, at, 8);
    } else {
        uint32_t small;
        memcpy(&small, at, 4);
        number = small;
    }
    return number;
}

static bool attr_is_there(unsigned type)
{
    size_t length;
    return attr_find(type, &length) != NULL;
}

static const struct nbd_message connect_message = {.command = NBD_CMD_CONNECT,
                                                   .index = 5,
                                                   .fd = 9,
                                                   .backend = "lunstick x",
                                                   .geometry = &geometry,
                                                   .own = true};

static void a_message_begins_with_both_headers(void **state)
{
    (void)state;
    struct nlmsghdr head;
    struct genlmsghdr generic;
    compose(&connect_message);
    memcpy(&head, message, sizeof head);
    memcpy(&generic, message + sizeof head, sizeof generic);
    assert_int_equal(head.nlmsg_len, message_bytes);
    assert_int_equal(head.nlmsg_type, 0x1c);
    assert_int_equal(head.nlmsg_seq, 7);
    assert_int_equal(head.nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK);
    assert_int_equal(generic.cmd, NBD_CMD_CONNECT);
    assert_int_equal(generic.version, NBD_GENL_VERSION);
}

static void connect_says_what_the_disk_is(void **state)
{
    (void)state;
    size_t length;
    compose(&connect_message);
    assert_int_equal(attr_number(NBD_ATTR_INDEX), 5);
    assert_int_equal(attr_number(NBD_ATTR_SIZE_BYTES), 0x123456789000);
    assert_int_equal(attr_number(NBD_ATTR_BLOCK_SIZE_BYTES), 4096);
    assert_int_equal(attr_number(NBD_ATTR_SERVER_FLAGS), NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH);
    assert_string_equal((const char *)attr_find(NBD_ATTR_BACKEND_IDENTIFIER, &length),
                        "lunstick x");
    assert_int_equal(length, sizeof "lunstick x");
}

static void requests_wait_for_ever(void **state)
{
    (void)state;
    compose(&connect_message);
    assert_int_equal(attr_number(NBD_ATTR_TIMEOUT), 0);
    uint64_t seconds = attr_number(NBD_ATTR_DEAD_CONN_TIMEOUT);
    assert_true(seconds >= 24 * 86400);
    assert_true(seconds * 1000 <= INT32_MAX); /* ticks of a 32-bit kernel, at most 1000 Hz */
}

static void only_a_device_of_our_own_goes_with_the_disconnect(void **state)
{
    (void)state;
    struct nbd_message m = connect_message;
    compose(&m);
    assert_int_equal(attr_number(NBD_ATTR_CLIENT_FLAGS), NBD_CFLAG_DESTROY_ON_DISCONNECT);
    m.own = false;
    compose(&m);
    assert_int_equal(attr_number(NBD_ATTR_CLIENT_FLAGS), 0);
}

static void the_socket_is_a_list_of_one(void **state)
{
    (void)state;
    size_t length = 0;
    uint32_t fd;
    compose(&connect_message);
    const uint8_t *at = attr_find(NBD_ATTR_SOCKETS, &length);
    assert_non_null(at);
    at = attr_in(at, length, NBD_SOCK_ITEM, &length);
    assert_non_null(at);
    at = attr_in(at, length, NBD_SOCK_FD, &length);
    assert_non_null(at);
    assert_int_equal(length, sizeof fd);
    memcpy(&fd, at, sizeof fd);
    assert_int_equal(fd, 9);
}

/* A size, even the same one, could have the kernel wait for all requests. */
static void reconfigure_leaves_the_disk_as_it_is(void **state)
{
    (void)state;
    const struct nbd_message m = {
        .command = NBD_CMD_RECONFIGURE, .index = 5, .fd = 9, .backend = "lunstick x"};
    compose(&m);
    assert_int_equal(attr_number(NBD_ATTR_INDEX), 5);
    assert_true(attr_is_there(NBD_ATTR_SOCKETS));
    assert_true(attr_is_there(NBD_ATTR_BACKEND_IDENTIFIER));
    assert_false(attr_is_there(NBD_ATTR_SIZE_BYTES));
    assert_false(attr_is_there(NBD_ATTR_BLOCK_SIZE_BYTES));
    assert_false(attr_is_there(NBD_ATTR_CLIENT_FLAGS));
}

static void disconnect_names_the_device_alone(void **state)
{
    (void)state;
    const struct nbd_message m = {.command = NBD_CMD_DISCONNECT, .index = 5, .fd = -1};
    compose(&m);
    assert_int_equal(attr_number(NBD_ATTR_INDEX), 5);
    assert_int_equal(message_bytes, sizeof(struct nlmsghdr) + sizeof(struct genlmsghdr) + 8);
}

static void the_longest_backend_fits(void **state)
{
    (void)state;
    char backend[NBD_BACKEND_BYTES];
    size_t length = 0;
    struct nbd_message m = connect_message;
    memset(backend, 'b', sizeof backend);
    backend[sizeof backend - 1] = '\0';
    m.backend = backend;
    compose(&m);
    assert_non_null(attr_find(NBD_ATTR_BACKEND_IDENTIFIER, &length));
    assert_int_equal(length, NBD_BACKEND_BYTES);
}

/* ---- answers ---- */

struct answer {
    uint8_t bytes[256];
    size_t length;
};

static void answer_add(struct answer *a, uint16_t type, uint32_t sequence, const void *data,
                       size_t length)
{
    struct nlmsghdr head = {
        .nlmsg_len = (uint32_t)(sizeof head + length), .nlmsg_type = type, .nlmsg_seq = sequence};
    memcpy(a->bytes + a->length, &head, sizeof head);
    memcpy(a->bytes + a->length + sizeof head, data, length);
    a->length += (size_t)NLMSG_ALIGN(sizeof head + length);
}

static void answer_verdict(struct answer *a, uint32_t sequence, int verdict)
{
    struct nlmsgerr error = {.error = verdict};
    answer_add(a, NLMSG_ERROR, sequence, &error, sizeof error);
}

static void answer_family(struct answer *a, uint32_t sequence, uint16_t attr_bytes)
{
    struct {
        struct genlmsghdr generic;
        struct nlattr attr;
        uint16_t family, padding;
    } data = {.generic = {.cmd = CTRL_CMD_NEWFAMILY},
              .attr = {.nla_len = attr_bytes, .nla_type = CTRL_ATTR_FAMILY_ID},
              .family = 0x21};
    answer_add(a, GENL_ID_CTRL, sequence, &data, sizeof data);
}

static void the_family_comes_before_the_verdict(void **state)
{
    (void)state;
    struct answer a = {.length = 0};
    uint16_t family = 0;
    int verdict = 77;
    answer_family(&a, 7, 6);
    assert_int_equal(nbd_message_answer(a.bytes, a.length, 7, &family, &verdict), 0);
    assert_int_equal(family, 0x21);
    answer_verdict(&a, 7, 0);
    assert_int_equal(nbd_message_answer(a.bytes, a.length, 7, &family, &verdict), 1);
    assert_int_equal(verdict, 0);
}

static void an_error_is_the_verdict(void **state)
{
    (void)state;
    struct answer a = {.length = 0};
    uint16_t family = 0;
    int verdict = 77;
    answer_verdict(&a, 7, -EBUSY);
    assert_int_equal(nbd_message_answer(a.bytes, a.length, 7, &family, &verdict), 1);
    assert_int_equal(verdict, -EBUSY);
}

static void an_answer_to_another_question_is_none(void **state)
{
    (void)state;
    struct answer a = {.length = 0};
    uint16_t family = 0;
    int verdict = 77;
    answer_family(&a, 6, 6);
    answer_verdict(&a, 6, 0);
    assert_int_equal(nbd_message_answer(a.bytes, a.length, 7, &family, &verdict), 0);
    assert_int_equal(family, 0);
}

static void a_malformed_answer_is_none(void **state)
{
    (void)state;
    static const uint16_t lengths[] = {0, 3, 5, 9, UINT16_MAX};
    uint16_t family = 0;
    int verdict = 77;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct answer a = {.length = 0};
        answer_family(&a, 7, lengths[i]);
        assert_int_equal(nbd_message_answer(a.bytes, a.length, 7, &family, &verdict), 0);
        assert_int_equal(family, 0);
    }
    struct answer a = {.length = 0};
    answer_verdict(&a, 7, 0);
    for (size_t length = 0; length < a.length; length++)
        assert_int_equal(nbd_message_answer(a.bytes, length, 7, &family, &verdict), 0);
}

/* ---- sysfs ---- */

static char sys[] = "/tmp/lunstick-nbd-XXXXXX";
static char why[NBD_WHY_BYTES];

static void file_write(const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", sys, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void dir_make(const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", sys, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

/* As the kernel shows them: nbd0 is free, 2 and 10 are ours, 3 is a stranger's, 4 was
 * connected by one who gave no name. */
static int make_sys(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(sys));
    dir_make("sda");
    dir_make("nbd");
    dir_make("nbd7x");
    dir_make("nbd0");
    file_write("nbd0/size", "0\n");
    dir_make("nbd10");
    file_write("nbd10/size", "4096\n");
    file_write("nbd10/pid", "1234\n");
    file_write("nbd10/backend", "lunstick b\n");
    dir_make("nbd2");
    file_write("nbd2/size", "2048\n");
    file_write("nbd2/pid", "99\n");
    file_write("nbd2/backend", "lunstick a\n");
    dir_make("nbd3");
    file_write("nbd3/size", "2048\n");
    file_write("nbd3/pid", "98\n");
    file_write("nbd3/backend", "other\n");
    dir_make("nbd4");
    file_write("nbd4/size", "2048\n");
    file_write("nbd4/pid", "97\n");
    return 0;
}

static int remove_sys(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r '%s'", sys);
    return system(command);
}

static void a_connected_device_is_read(void **state)
{
    (void)state;
    struct nbd_device_state device;
    memset(&device, 0xa5, sizeof device);
    assert_int_equal(nbd_device_read(sys, 10, &device), 0);
    assert_int_equal(device.bytes, 4096 * 512);
    assert_int_equal(device.pid, 1234);
    assert_string_equal(device.backend, "lunstick b");
}

static void a_device_may_have_no_backend(void **state)
{
    (void)state;
    struct nbd_device_state device;
    memset(&device, 0xa5, sizeof device);
    assert_int_equal(nbd_device_read(sys, 4, &device), 0);
    assert_string_equal(device.backend, "");
}

static void a_free_device_is_not_connected(void **state)
{
    (void)state;
    struct nbd_device_state device;
    assert_int_equal(nbd_device_read(sys, 0, &device), -ENOENT);
    assert_int_equal(nbd_device_read(sys, 1, &device), -ENOENT);
}

static void devices_are_found_in_their_order(void **state)
{
    (void)state;
    assert_int_equal(nbd_device_find(sys, "lunstick", 0), 2);
    assert_int_equal(nbd_device_find(sys, "lunstick", 3), 10);
    assert_int_equal(nbd_device_find(sys, "lunstick", 11), -ENOENT);
    assert_int_equal(nbd_device_find(sys, "lunstick b", 0), 10);
    assert_int_equal(nbd_device_find(sys, "nobody", 0), -ENOENT);
}

static void a_strangers_device_is_left_alone(void **state)
{
    (void)state;
    assert_int_equal(nbd_device_disconnect(sys, 3, "lunstick a", why), -EPERM);
    assert_string_equal(why, "nbd3 belongs to other");
    assert_int_equal(nbd_device_reconnect(sys, 3, "lunstick a", &geometry, why), -EPERM);
    assert_int_equal(nbd_device_disconnect(sys, 4, "lunstick a", why), -EPERM);
    assert_string_equal(why, "nbd4 belongs to process 97");
}

static void a_smaller_disk_does_not_take_over(void **state)
{
    (void)state;
    const struct nbd_geometry small = {.bytes = 2047 * 512, .block_bytes = 512};
    assert_int_equal(nbd_device_reconnect(sys, 2, "lunstick a", &small, why), -EINVAL);
    assert_non_null(strstr(why, "1048064"));
}

static void disconnecting_what_is_not_connected_is_done(void **state)
{
    (void)state;
    assert_int_equal(nbd_device_disconnect(sys, 0, "lunstick a", why), 0);
    assert_int_equal(nbd_device_disconnect(sys, 55, "lunstick a", why), 0);
}

static void an_impossible_disk_is_refused(void **state)
{
    (void)state;
    static const struct nbd_geometry bad[] = {
        {.bytes = 0, .block_bytes = 512},     {.bytes = 4096, .block_bytes = 256},
        {.bytes = 8192, .block_bytes = 8192}, {.bytes = 1536, .block_bytes = 768},
        {.bytes = 1000, .block_bytes = 512},  {.bytes = UINT64_MAX - 511, .block_bytes = 512},
        {.bytes = 4096, .block_bytes = 0}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int index = -1;
        assert_int_equal(nbd_device_connect(sys, &index, "lunstick a", &bad[i], why), -EINVAL);
        assert_int_equal(index, -1);
    }
}

static void a_backend_needs_a_name_that_sysfs_can_show(void **state)
{
    (void)state;
    char longer[NBD_BACKEND_BYTES + 1];
    int index = -1;
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(nbd_device_connect(sys, &index, "", &geometry, why), -EINVAL);
    assert_int_equal(nbd_device_connect(sys, &index, "a\nb", &geometry, why), -EINVAL);
    assert_int_equal(nbd_device_connect(sys, &index, longer, &geometry, why), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_begins_with_both_headers),
        cmocka_unit_test(connect_says_what_the_disk_is),
        cmocka_unit_test(requests_wait_for_ever),
        cmocka_unit_test(only_a_device_of_our_own_goes_with_the_disconnect),
        cmocka_unit_test(the_socket_is_a_list_of_one),
        cmocka_unit_test(reconfigure_leaves_the_disk_as_it_is),
        cmocka_unit_test(disconnect_names_the_device_alone),
        cmocka_unit_test(the_longest_backend_fits),
        cmocka_unit_test(the_family_comes_before_the_verdict),
        cmocka_unit_test(an_error_is_the_verdict),
        cmocka_unit_test(an_answer_to_another_question_is_none),
        cmocka_unit_test(a_malformed_answer_is_none),
        cmocka_unit_test(a_connected_device_is_read),
        cmocka_unit_test(a_device_may_have_no_backend),
        cmocka_unit_test(a_free_device_is_not_connected),
        cmocka_unit_test(devices_are_found_in_their_order),
        cmocka_unit_test(a_strangers_device_is_left_alone),
        cmocka_unit_test(a_smaller_disk_does_not_take_over),
        cmocka_unit_test(disconnecting_what_is_not_connected_is_done),
        cmocka_unit_test(an_impossible_disk_is_refused),
        cmocka_unit_test(a_backend_needs_a_name_that_sysfs_can_show),
    };
    return cmocka_run_group_tests(tests, make_sys, remove_sys);
}
