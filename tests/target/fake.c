/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For shell scripts: a target that behaves as none should. Prints its port and
 * serves until it is killed, or its starter ends.
 *
 *   fake silent       takes connections and says nothing
 *   fake closes       closes after the login request
 *   fake mute         logs in, then answers nothing
 *   fake full         its queue of connections is full: no connection is made
 *   fake slow PORT    a relay to PORT of loopback that holds the first answer to
 *                     a SCSI command for a second; it prints "held" then
 */
#include "fake_target.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HOLD_US = 1000000 };
enum { OP_SCSI_RESPONSE = 0x21, OP_DATA_IN = 0x25 };

static void tell(const char *text)
{
    puts(text);
    fflush(stdout);
}

static void tell_port(uint16_t port)
{
    char text[16];

    snprintf(text, sizeof(text), "%u", port);
    tell(text);
}

static struct sockaddr_in loopback(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static int listen_with(int backlog, uint16_t *port)
{
    struct sockaddr_in address = loopback(0);
    socklen_t bytes = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(fd, backlog) != 0 || getsockname(fd, (struct sockaddr *)&address, &bytes) != 0)
        abort();
    *port = ntohs(address.sin_port);
    return fd;
}

/* Connections of our own fill the queue; nobody accepts them. */
static void serve_full(void)
{
    uint16_t port;
    (void)listen_with(0, &port);
    struct sockaddr_in address = loopback(port);

    for (int i = 0; i < 4; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
            abort();
        (void)connect(fd, (struct sockaddr *)&address, sizeof(address));
    }
    tell_port(port);
    for (;;)
        pause();
}

static void relay_slowly(int initiator, int target)
{
    struct pollfd fds[2] = {{initiator, POLLIN, 0}, {target, POLLIN, 0}};
    static uint8_t bytes[65536];
    bool held = false;

    while (poll(fds, 2, -1) > 0) {
        for (int i = 0; i < 2; i++) {
            ssize_t got;
            if (fds[i].revents == 0)
                continue;
            got = read(fds[i].fd, bytes, sizeof(bytes));
            if (got <= 0)
                return;
            if (i == 1 && !held && (bytes[0] == OP_SCSI_RESPONSE || bytes[0] == OP_DATA_IN)) {
                held = true;
                tell("held");
                usleep(HOLD_US);
            }
            if (write(fds[1 - i].fd, bytes, (size_t)got) != got)
                return;
        }
    }
}

static void serve_slowly(uint16_t to)
{
    uint16_t port;
    int listener = listen_with(8, &port);
    struct sockaddr_in address = loopback(to);

    tell_port(port);
    for (;;) {
        int initiator = accept(listener, NULL, NULL);
        int target = socket(AF_INET, SOCK_STREAM, 0);
        if (initiator < 0 || target < 0)
            abort();
        if (connect(target, (struct sockaddr *)&address, sizeof(address)) == 0)
            relay_slowly(initiator, target);
        close(target);
        close(initiator);
    }
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    enum fake_behaviour behaviour;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (strcmp(name, "full") == 0)
        serve_full();
    if (strcmp(name, "slow") == 0 && argc > 2)
        serve_slowly((uint16_t)strtoul(argv[2], NULL, 10));
    if (strcmp(name, "silent") == 0)
        behaviour = FAKE_SILENT;
    else if (strcmp(name, "closes") == 0)
        behaviour = FAKE_CLOSES;
    else if (strcmp(name, "mute") == 0)
        behaviour = FAKE_LOGIN_THEN_MUTE;
    else
        return 2;
    tell_port(fake_target_start(behaviour, NULL).port);
    for (;;)
        pause();
}
