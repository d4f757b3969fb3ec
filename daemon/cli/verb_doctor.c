/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lunstick doctor: one line per thing that a bridge needs, `ok` or `FIX` with
 * what to do. Looks only; changes nothing.
 */
#include "config_txt.h"
#include "daemon/lunstickd/options.h"
#include "daemon/lunstickd/secrets.h"
#include "gadget/gadget.h"
#include "verbs.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_MS      3000
#define RESOLVE_SECONDS 3

struct doctor {
    bool fix; /* something needs fixing */
};

__attribute__((format(printf, 4, 5))) static void
finding(struct doctor *d, bool good, const char *subject, const char *format, ...)
{
    va_list args;

    d->fix = d->fix || !good;
    printf("%-4s %-12s ", good ? "ok" : "FIX", subject);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

/* A small file as a text; false if it cannot be read. */
static bool read_text(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    size_t length;

    text[0] = 0;
    if (!file)
        return false;
    length = fread(text, 1, size - 1, file);
    text[length] = 0;
    fclose(file);
    return true;
}

static void check_overlay(struct doctor *d)
{
    static const char *const paths[] = {"/boot/firmware/config.txt", "/boot/config.txt"};
    static char text[65536];
    char model[128];
    const char *path = NULL;

    if (!read_text("/sys/firmware/devicetree/base/model", model, sizeof(model)) ||
        !strstr(model, "Raspberry Pi")) {
        finding(d, true, "overlay", "not a Raspberry Pi: no config.txt to look at");
        return;
    }
    for (unsigned i = 0; i < 2 && !path; i++) {
        if (read_text(paths[i], text, sizeof(text)))
            path = paths[i];
    }
    if (!path) {
        finding(d, true, "overlay", "no config.txt under /boot: this system was booted otherwise");
        return;
    }
    switch (config_txt_check(text, model)) {
    case CONFIG_TXT_GOOD:
        finding(d, true, "overlay", "dtoverlay=dwc2 in %s", path);
        break;
    case CONFIG_TXT_MISSING:
        finding(d, false, "overlay", "add the line dtoverlay=dwc2 under [all] in %s, and reboot",
                path);
        break;
    case CONFIG_TXT_AS_HOST:
        finding(d, false, "overlay",
                "dtoverlay=dwc2 says dr_mode=host in %s: write dr_mode=peripheral, and reboot",
                path);
        break;
    case CONFIG_TXT_OTG_MODE:
        finding(d, false, "overlay", "remove otg_mode=1 from %s, and reboot", path);
        break;
    }
}

/* A UDC that our own daemon holds is as it should be. */
static void check_gadget(struct doctor *d, const struct daemon_config *config)
{
    char why[GADGET_WHY_BYTES] = "", own[64];
    enum gadget_error error = gadget_check(config->udc[0] ? config->udc : NULL, why);
    int length = snprintf(own, sizeof(own), "by the gadget %s", config->name);
    const char *at = error == GADGET_UDC_BUSY ? strstr(why, own) : NULL;
    bool ours = at && (!at[length] || at[length] == ',');

    finding(d, ours || error == GADGET_OK, "USB device", "%s", why);
}

/* The firmware's bits, of now (0) and since boot (16). */
static void check_power(struct doctor *d)
{
    char text[32];
    unsigned long bits;

    if (!read_text("/sys/devices/platform/soc/soc:firmware/get_throttled", text, sizeof(text))) {
        finding(d, true, "power", "this machine does not tell");
        return;
    }
    bits = strtoul(text, NULL, 16);
    if (bits & 0x1)
        finding(d, false, "power",
                "the voltage is too low now: feed the board through the GPIO header or a "
                "splitter cable, not from the host's port alone");
    else if (bits & 0x10000)
        finding(d, false, "power",
                "the voltage was too low since the last boot: a better supply or a shorter cable");
    else
        finding(d, true, "power", "no low voltage since the last boot");
}

static void check_installation(struct doctor *d, const struct daemon_config *config)
{
    if (getpwnam(config->user))
        finding(d, true, "user", "%s exists", config->user);
    else
        finding(d, false, "user", "there is no user %s; run: sudo useradd --system %s",
                config->user, config->user);
    if (!access(config->scheme_path, R_OK))
        finding(d, true, "scheme", "%s", config->scheme_path);
    else
        finding(d, false, "scheme", "%s: %s; install it, or give --scheme FILE",
                config->scheme_path, strerror(errno));
}

/* Connects within CONNECT_MS; 0 or an errno. */
static int try_connect(const struct addrinfo *to)
{
    int error = 0, fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t size = sizeof(error);
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    if (fd < 0)
        return errno;
    if (connect(fd, to->ai_addr, to->ai_addrlen) && errno != EINPROGRESS)
        error = errno;
    else if (poll(&p, 1, CONNECT_MS) <= 0)
        error = ETIMEDOUT;
    else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size))
        error = errno;
    close(fd);
    return error;
}

static int connect_numeric(const char *host, unsigned port)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *to = NULL;
    char service[8];
    int error;

    snprintf(service, sizeof(service), "%u", port);
    if (getaddrinfo(host, service, &hints, &to))
        return EADDRNOTAVAIL;
    error = try_connect(to);
    freeaddrinfo(to);
    return error;
}

static void check_portal(struct doctor *d, const struct address *a)
{
    char numeric[128], why[CONFIG_WHY_BYTES];
    unsigned port = a->port;
    int error;

    if (!cli_resolve(a->host, RESOLVE_SECONDS, numeric, sizeof(numeric), why)) {
        finding(d, false, "portal", "%s", why);
        return;
    }
    error = connect_numeric(numeric, port);
    if (!error)
        finding(d, true, "portal", "%s port %u takes connections; try: lunstick probe", numeric,
                port);
    else if (error == ECONNREFUSED)
        finding(d, false, "portal", "%s refuses port %u: start the target there, or check the port",
                numeric, port);
    else
        finding(d, false, "portal", "%s port %u: %s; check cable, network, address and firewall",
                numeric, port, strerror(error));
}

static void check_lun(struct doctor *d, const struct config_lun *lun)
{
    struct lun_secrets secrets;
    char why[CONFIG_WHY_BYTES];

    if (lun->address.user[0] || lun->secret_file[0]) {
        bool good = secrets_load(&secrets, lun, why);
        secrets_wipe(&secrets);
        finding(d, good, "secret", "%s", why[0] ? why : "readable, and only by its owner");
    }
    check_portal(d, &lun->address);
}

/* Without an address and a configuration the machine alone is looked at. */
static bool anything_named(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (argv[i][0])
            return true;
    }
    return access(CONFIG_DIR "/lunstick.conf", F_OK) == 0;
}

int cli_doctor(int argc, char **argv)
{
    static struct daemon_config config;
    struct doctor d = {0};

    daemon_config_init(&config);
    if (anything_named(argc, argv)) {
        enum options_result result = options_read(&config, argc, argv, stdout, stderr);
        if (result != OPTIONS_RUN)
            return result == OPTIONS_DONE ? CLI_OK : CLI_WRONG;
    }
    check_overlay(&d);
    check_gadget(&d, &config);
    check_power(&d);
    check_installation(&d, &config);
    for (unsigned i = 0; i < config.lun_count; i++)
        check_lun(&d, &config.luns[i]);
    if (!config.lun_count)
        finding(&d, true, "portal", "not looked at: lunstick doctor iscsi://HOST/IQN/LUN does");
    return d.fix ? CLI_TRANSIENT : CLI_OK;
}
