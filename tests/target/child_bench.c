/* SPDX-License-Identifier: BSD-2-Clause */
#include "child_bench.h"

#include "daemon/lunstickd/sandbox.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

void configure(struct bench *b, const char *format, ...)
{
    char url[512], why[ADDRESS_WHY_BYTES], config_why[CONFIG_WHY_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(url, sizeof url, format, args);
    va_end(args);
    if (b->config.lun_count == 0)
        daemon_config_init(&b->config);
    struct config_lun *lun = &b->config.luns[b->config.lun_count++];
    *lun = b->config.lun_defaults;
    assert_true(address_parse(url, &lun->address, why));
    if (!daemon_config_finish(&b->config, config_why))
        fail_msg("%s", config_why);
}

void tell(const struct bench *b, struct privsep_msg *msg)
{
    assert_int_equal(privsep_send(b->sock, msg), 0);
    for (unsigned i = 0; i < PRIVSEP_FDS_MAX; i++)
        if (msg->fds[i] >= 0)
            (void)close(msg->fds[i]);
}

static int usb_file(struct bench *b, unsigned which)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    b->usb[which] = pair[0];
    return pair[1];
}

static int control_socket(struct bench *b)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    memset(&b->control, 0, sizeof b->control);
    b->control.sun_family = AF_UNIX;
    b->control_bytes = sizeof b->control;
    assert_int_equal(bind(fd, (struct sockaddr *)&b->control, sizeof(sa_family_t)), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&b->control, &b->control_bytes), 0);
    return fd;
}

void start_child(struct bench *b)
{
    struct privsep_msg msg;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    b->sock = pair[0];
    b->start.config = &b->config;
    b->start.sock = pair[1];
    b->start.parent = getpid();
    (void)sandbox_user("nobody", &b->start.uid, &b->start.gid);
    b->start.root_dir = "/";
    for (unsigned i = 0; i < b->config.lun_count; i++)
        slot_init(&b->slots[i], &b->config.luns[i]);
    for (unsigned i = 0; i < b->config.lun_count; i++)
        b->slots[i].ejected = b->ejected;
    b->start.slots = b->slots;
    b->pid = fork();
    if (b->pid == 0)
        _exit(child_main(&b->start));
    (void)close(pair[1]);
    privsep_init(&msg, PRIVSEP_START);
    privsep_text(&msg, 0, "a.udc");
    msg.fds[0] = control_socket(b);
    tell(b, &msg);
    privsep_init(&msg, PRIVSEP_FRONT);
    msg.fds[0] = usb_file(b, USB_EP0);
    tell(b, &msg);
    privsep_init(&msg, PRIVSEP_SECRETS);
    privsep_text(&msg, 0, b->secret);
    privsep_text(&msg, 1, b->target_secret);
    for (unsigned i = 0; i < b->config.lun_count; i++)
        tell(b, &msg);
    explicit_bzero(&msg, sizeof msg); /* later children are copies of this process */
}

bool heard(struct bench *b, enum privsep_type type, struct privsep_msg *msg)
{
    for (unsigned turns = 0; turns < 100; turns++) {
        struct pollfd pfd = {.fd = b->sock, .events = POLLIN};
        if (poll(&pfd, 1, PATIENCE_MS) <= 0 || privsep_recv(b->sock, msg) < 0)
            return false;
        if (msg->type == PRIVSEP_STATUS)
            memcpy(b->status, msg->text[0], sizeof b->status);
        if (msg->type == type)
            return true;
        if (msg->type == PRIVSEP_DESCRIPTORS_WRITTEN) {
            struct privsep_msg answer;
            privsep_init(&answer, PRIVSEP_ENDPOINTS);
            answer.fds[0] = usb_file(b, USB_EP_IN);
            answer.fds[1] = usb_file(b, USB_EP_OUT);
            tell(b, &answer);
        }
    }
    return false;
}

int exit_status(struct bench *b)
{
    int status = 0;
    for (unsigned i = 0; i < PATIENCE_MS / 10; i++) {
        if (waitpid(b->pid, &status, WNOHANG) == b->pid) {
            b->pid = 0;
            return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
        }
        (void)usleep(10000);
    }
    return -1000;
}

int begin_to_ask(const struct bench *b, const char *line)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&b->control, b->control_bytes), 0);
    assert_int_equal(send(fd, line, strlen(line), MSG_NOSIGNAL), strlen(line));
    return fd;
}

void hear_answer(int fd, char *answer, size_t size)
{
    size_t got = 0;
    ssize_t n;
    while (got < size - 1 && (n = recv(fd, answer + got, size - 1 - got, 0)) > 0)
        got += (size_t)n;
    answer[got] = 0;
    (void)close(fd);
}

void ask(const struct bench *b, const char *line, char *answer, size_t size)
{
    hear_answer(begin_to_ask(b, line), answer, size);
}

int make_bench(void **state)
{
    static struct bench b;
    memset(&b, 0, sizeof b);
    b.secret = b.target_secret = "";
    for (unsigned i = 0; i < USB_FILES; i++)
        b.usb[i] = -1;
    *state = &b;
    return 0;
}

int end_bench(void **state)
{
    const struct bench *b = *state;
    if (b->pid > 0) {
        (void)kill(b->pid, SIGKILL);
        (void)waitpid(b->pid, NULL, 0);
    }
    for (unsigned i = 0; i < USB_FILES; i++)
        if (b->usb[i] >= 0)
            (void)close(b->usb[i]);
    (void)close(b->sock);
    return 0;
}

const char *port(void)
{
    const char *text = getenv("TARGET_PORT");
    assert_non_null(text);
    return text;
}

void start_with_plain_target(struct bench *b)
{
    struct privsep_msg msg;
    configure(b, "iscsi://127.0.0.1:%s/iqn.2026-01.test:plain/1", port());
    start_child(b);
    assert_true(heard(b, PRIVSEP_BIND, &msg));
}
