/* SPDX-License-Identifier: BSD-2-Clause */
#include "freezer.h"

#include "usb_disk.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool freezer_exists(void)
{
    return getenv("LUNSTICK_FREEZER") != NULL;
}

static void ask(char letter)
{
    static int sock = -1;
    char answer = 0;

    if (sock < 0) {
        const char *address = getenv("LUNSTICK_FREEZER");
        char text[32] = "";
        struct sockaddr_in sin = {.sin_family = AF_INET};
        size_t length = strcspn(address, ":");

        if (length >= sizeof(text) || !address[length])
            fail("LUNSTICK_FREEZER is not ADDRESS:PORT");
        memcpy(text, address, length);
        sin.sin_port = htons((uint16_t)strtoul(address + length + 1, NULL, 10));
        if (inet_pton(AF_INET, text, &sin.sin_addr) != 1)
            fail("LUNSTICK_FREEZER is not ADDRESS:PORT");
        sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(sock, (const struct sockaddr *)&sin, sizeof(sin)) != 0)
            fail("the freezer: %s", strerror(errno));
    }
    if (write(sock, &letter, 1) != 1 || read(sock, &answer, 1) != 1 || answer != letter)
        fail("the freezer does not answer");
}

void freezer_stop(void)
{
    ask('S');
}

void freezer_continue(void)
{
    ask('C');
}
