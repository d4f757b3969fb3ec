/* SPDX-License-Identifier: BSD-2-Clause */
#include "wire_tap.h"

#include "bridge/bytes.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define BHS_BYTES 48

/* Where in the initiator's stream we are. */
struct reader {
    uint8_t bhs[BHS_BYTES];
    size_t have_bytes;
    size_t skip_bytes; /* data of the PDU, padded */
    bool logged_in;    /* its first request was seen */
};

static bool write_all(int fd, const uint8_t *bytes, size_t count)
{
    while (count > 0) {
        ssize_t done = write(fd, bytes, count);
        if (done <= 0)
            return false;
        bytes += done;
        count -= (size_t)done;
    }
    return true;
}

static void note_login(struct wire_log *log, const uint8_t *bhs)
{
    struct wire_login *login = &log->logins[log->login_count % WIRE_TAP_LOGINS];

    memcpy(login->isid, bhs + 8, sizeof(login->isid));
    login->tsih = get_be16(bhs + 14);
    __sync_synchronize();
    log->login_count++;
}

static void note_command(struct wire_log *log, const uint8_t *bhs)
{
    struct wire_command *command = &log->commands[log->count % WIRE_TAP_COMMANDS];

    command->flags = bhs[1];
    command->expected_bytes = get_be32(bhs + 20);
    memcpy(command->cdb, bhs + 32, sizeof(command->cdb));
    __sync_synchronize();
    log->count++;
}

static void follow(struct reader *reader, struct wire_log *log, const uint8_t *bytes, size_t count)
{
    while (count > 0) {
        size_t piece;
        if (reader->skip_bytes > 0) {
            piece = count < reader->skip_bytes ? count : reader->skip_bytes;
            reader->skip_bytes -= piece;
        } else {
            piece = BHS_BYTES - reader->have_bytes;
            piece = count < piece ? count : piece;
            memcpy(reader->bhs + reader->have_bytes, bytes, piece);
            reader->have_bytes += piece;
            if (reader->have_bytes == BHS_BYTES) {
                if ((reader->bhs[0] & 0x3f) == 0x01)
                    note_command(log, reader->bhs);
                if ((reader->bhs[0] & 0x3f) == 0x03 && !reader->logged_in)
                    note_login(log, reader->bhs);
                reader->logged_in = true;
                reader->have_bytes = 0;
                reader->skip_bytes = (get_be24(reader->bhs + 5) + 3u) & ~3u;
            }
        }
        bytes += piece;
        count -= piece;
    }
}

/* In a process of its own, so that an old connection may stay while a new one is made. */
static void relay(int initiator, int target, struct wire_log *log)
{
    struct pollfd fds[2] = {{initiator, POLLIN, 0}, {target, POLLIN, 0}};
    struct reader reader = {.have_bytes = 0};
    static uint8_t bytes[65536];

    while (poll(fds, 2, -1) > 0) {
        for (int i = 0; i < 2; i++) {
            ssize_t got;
            if (fds[i].revents == 0)
                continue;
            got = read(fds[i].fd, bytes, sizeof(bytes));
            if (got <= 0)
                return;
            if (i == 0)
                follow(&reader, log, bytes, (size_t)got);
            if (!write_all(fds[1 - i].fd, bytes, (size_t)got))
                return;
        }
    }
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

struct wire_tap wire_tap_start(uint16_t target_port)
{
    struct wire_tap tap;
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    tap.log =
        mmap(NULL, sizeof(*tap.log), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (tap.log == MAP_FAILED || listener < 0 ||
        bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listener, 8) != 0 || getsockname(listener, (struct sockaddr *)&address, &bytes) != 0)
        abort();
    tap.port = ntohs(address.sin_port);
    tap.pid = fork();
    if (tap.pid < 0)
        abort();
    if (tap.pid > 0) {
        close(listener);
        return tap;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int initiator = accept(listener, NULL, NULL);
        int target = connect_to(target_port);
        if (initiator >= 0 && target >= 0 && fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            close(listener);
            relay(initiator, target, tap.log);
            _exit(0);
        }
        if (target >= 0)
            close(target);
        if (initiator >= 0)
            close(initiator);
    }
}

void wire_tap_stop(struct wire_tap *tap)
{
    kill(tap->pid, SIGKILL);
    waitpid(tap->pid, NULL, 0);
    munmap(tap->log, sizeof(*tap->log));
}
