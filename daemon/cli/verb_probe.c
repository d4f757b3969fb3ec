/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lunstick probe: the daemon's own session and probe, once, without a gadget,
 * with everything that was learned printed. Ends within 10 s.
 */
#include "bridge/bytes.h"
#include "bridge/probe.h"
#include "daemon/lunstickd/loop.h"
#include "daemon/lunstickd/options.h"
#include "daemon/lunstickd/secrets.h"
#include "daemon/lunstickd/status.h"
#include "initiator/discover.h"
#include "initiator/session.h"
#include "verbs.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#define RESOLVE_SECONDS  3
#define LOGIN_MS         4000
#define PROBE_MS         7000 /* of the whole, discovery excepted */
#define TOTAL_MS         8500 /* logging out excepted */
#define REPORT_LUNS      0xa0
#define REPORT_LUNS_ROOM 2048
#define LUNS_TEXT_BYTES  1600 /* the room's 255 entries of at most five digits */

struct prober {
    const struct daemon_config *config;
    const struct config_lun *lun;
    struct session *session;
    struct deferred_list deferred;
    struct probe probe;

    struct backend_cmd luns_cmd;
    uint8_t luns[REPORT_LUNS_ROOM];
    uint32_t luns_bytes; /* 0: the target did not tell */

    char host[128]; /* numeric */
    bool luns_only; /* the list of LUNs is all that is wanted */
    bool asked;     /* the session wants `host` */
    bool over;
    bool accepted;
    enum backend_fault fault;
    char why[SESSION_WHY_BYTES];
    uint64_t started_us, logged_in_us;
};

/* ---- the session's upper side ---- */

static void prober_end(struct prober *p, enum backend_fault fault, const char *why)
{
    if (p->over)
        return;
    p->over = true;
    p->fault = fault;
    snprintf(p->why, sizeof(p->why), "%s", why);
}

static void luns_done(struct deferred *d)
{
    struct backend_cmd *cmd =
        (struct backend_cmd *)((char *)d - offsetof(struct backend_cmd, done));
    struct prober *p = (struct prober *)((char *)cmd - offsetof(struct prober, luns_cmd));

    if (cmd->result != BACKEND_DONE)
        return;
    if (cmd->outcome.status == SCSI_STATUS_CODE_GOOD && cmd->outcome.moved_bytes >= 8)
        p->luns_bytes = cmd->outcome.moved_bytes < REPORT_LUNS_ROOM ? cmd->outcome.moved_bytes
                                                                    : REPORT_LUNS_ROOM;
    if (p->luns_only)
        prober_end(p, BACKEND_FAULT_TRANSIENT, "");
    else
        probe_start(&p->probe);
}

/* First of all which LUNs there are: most targets tell it for a wrong LUN, too
 * (SPC-4 6.33), and no unit attention stands in its way. */
static void on_up(void *ctx)
{
    struct prober *p = ctx;
    struct backend *backend = session_backend(p->session);
    struct backend_cmd *cmd = &p->luns_cmd;

    p->logged_in_us = loop_now_us();
    memset(cmd, 0, sizeof(*cmd));
    cmd->cdb[0] = REPORT_LUNS;
    put_be32(cmd->cdb + 6, sizeof(p->luns));
    cmd->cdb_bytes = 12;
    cmd->dir = SCSI_DIR_IN;
    cmd->length_bytes = sizeof(p->luns);
    cmd->iov[0] = (struct iovec){.iov_base = p->luns, .iov_len = sizeof(p->luns)};
    cmd->iov_count = 1;
    deferred_init(&cmd->done, luns_done);
    if (backend->ops->submit(backend, cmd))
        probe_start(&p->probe);
}

static void on_down(void *ctx, const char *why)
{
    prober_end(ctx, BACKEND_FAULT_TRANSIENT, why);
}

static void on_more(void *ctx)
{
    (void)ctx; /* one command at a time never lacks room */
}

static void on_probed(struct probe *probe, const char *fault, enum backend_fault severity)
{
    struct prober *p = probe->ctx;

    p->accepted = !fault;
    prober_end(p, severity, fault ? fault : "");
}

static void on_fault(void *ctx, enum backend_fault fault, const char *why)
{
    prober_end(ctx, fault, why);
}

static void on_resolve(void *ctx, const char *host)
{
    struct prober *p = ctx;

    (void)host;
    p->asked = true;
}

static void log_nothing(enum lun_log_level level, const char *text)
{
    (void)level;
    (void)text;
}

/* ---- the loop ---- */

static void wait_for_session(struct prober *p, uint64_t until_us)
{
    uint64_t now_us = loop_now_us();
    struct pollfd fd = {.fd = session_fd(p->session), .events = session_poll_events(p->session)};
    uint64_t due_us = session_next_timeout_us(p->session);
    int ms = 0;

    if (due_us > until_us)
        due_us = until_us;
    if (!deferred_pending(&p->deferred) && !p->asked && due_us > now_us)
        ms = (int)((due_us - now_us + 999) / 1000);
    if (poll(&fd, 1, ms) > 0)
        session_service(p->session, fd.revents);
    if (loop_now_us() >= session_next_timeout_us(p->session))
        session_run_timeouts(p->session);
}

static void turn(struct prober *p, uint64_t until_us)
{
    wait_for_session(p, until_us);
    if (p->asked) {
        p->asked = false;
        session_resolved(p->session, p->host, NULL);
    }
    deferred_run(&p->deferred);
}

static struct session *open_session(struct prober *p, const struct lun_secrets *secrets)
{
    struct session_config c = {.address = p->lun->address,
                               .header_digest = p->lun->header_digest,
                               .login_timeout_ms = LOGIN_MS,
                               .deferred = &p->deferred,
                               .now_us = loop_now_us,
                               .log = log_nothing,
                               .resolve = on_resolve,
                               .resolve_ctx = p,
                               .fault = on_fault,
                               .fault_ctx = p};
    char lun[16];

    snprintf(c.initiator_name, sizeof(c.initiator_name), "%s", p->config->initiator_name);
    snprintf(c.target_user, sizeof(c.target_user), "%s", p->lun->target_user);
    c.secret = secrets->secret;
    c.target_secret = secrets->target_secret;
    snprintf(lun, sizeof(lun), "%d", p->lun->address.lun);
    session_isid(c.isid, p->config->board, p->config->name, lun, "probe");
    return session_create(&c);
}

static void close_session(struct prober *p)
{
    uint64_t until_us = loop_now_us() + 1000000;

    session_stop(p->session);
    while (!session_stopped(p->session) && loop_now_us() < until_us)
        turn(p, until_us);
    if (session_stopped(p->session))
        session_destroy(p->session);
}

/* Until the disk is known or a fault is. */
static void run_session(struct prober *p)
{
    static const struct backend_events events = {.up = on_up, .down = on_down, .more = on_more};
    uint64_t until_us = p->started_us + UINT64_C(1000) * PROBE_MS;
    struct backend *backend = session_backend(p->session);

    backend->events = &events;
    backend->events_ctx = p;
    probe_init(&p->probe, backend, on_probed, p);
    session_start(p->session);
    while (!p->over && loop_now_us() < until_us)
        turn(p, until_us);
    prober_end(p, BACKEND_FAULT_TRANSIENT, "the target does not answer; is it busy or overloaded?");
}

/* The list of LUNs by way of LUN 0, for targets that tell nothing at a wrong
 * one. Into `p`; where it fails the list stays unknown. */
static void ask_lun_0(struct prober *p, const struct lun_secrets *secrets)
{
    static struct prober q;
    static struct config_lun lun_0;

    lun_0 = *p->lun;
    lun_0.address.lun = 0;
    q = (struct prober){.config = p->config, .lun = &lun_0, .luns_only = true};
    q.started_us = p->started_us;
    memcpy(q.host, p->host, sizeof(q.host));
    deferred_list_init(&q.deferred);
    q.session = open_session(&q, secrets);
    if (!q.session)
        return;
    run_session(&q);
    memcpy(p->luns, q.luns, sizeof(p->luns));
    p->luns_bytes = q.luns_bytes;
    close_session(&q);
}

/* ---- what was learned ---- */

static void print_targets(const struct prober *p, const char *portal, const char *secret)
{
    static struct discover_result found;
    uint64_t used_ms = (loop_now_us() - p->started_us) / 1000;
    const struct discover_request request = {
        .portal = portal,
        .initiator_name = p->config->initiator_name,
        .user = p->lun->address.user,
        .secret = secret,
        .timeout_ms = used_ms < TOTAL_MS ? (unsigned)(TOTAL_MS - used_ms) : 0,
        .now_us = loop_now_us};

    if (discover(&request, &found)) {
        printf("targets      not told (%s)\n", found.why);
        return;
    }
    for (unsigned i = 0; i < found.count && i < DISCOVER_TARGETS_MAX; i++)
        printf("%s%s\n", i ? "             " : "targets      ", found.names[i]);
    if (found.count > DISCOVER_TARGETS_MAX)
        printf("             and %u more\n", found.count - DISCOVER_TARGETS_MAX);
    if (!found.count)
        printf("targets      none for this initiator\n");
}

/* The LUNs of REPORT LUNS, " 0 1 7", from its parameter data, SPC-4 6.33, in
 * peripheral and flat addressing, SAM-5 4.7.7; others have no number. Returns
 * whether `wanted` is among them. */
static bool luns_text(const struct prober *p, int wanted, char text[LUNS_TEXT_BYTES])
{
    uint32_t end = p->luns_bytes < 8 ? 0 : 8 + get_be32(p->luns) / 8 * 8;
    size_t at = 0;
    bool found = false;

    text[0] = 0;
    if (end > p->luns_bytes)
        end = p->luns_bytes;
    for (uint32_t i = 8; i + 8 <= end; i += 8) {
        unsigned lun = (p->luns[i] & 0x3fu) << 8 | p->luns[i + 1];
        if (p->luns[i] >> 6 > 1)
            continue;
        found = found || lun == (unsigned)wanted;
        at += (size_t)snprintf(text + at, LUNS_TEXT_BYTES - at, " %u", lun);
    }
    return found;
}

static void print_luns(const struct prober *p)
{
    char text[LUNS_TEXT_BYTES];

    (void)luns_text(p, 0, text);
    printf("LUNs        %s\n", !p->luns_bytes ? " not told"
                               : text[0]      ? text
                                              : " none for this initiator");
}

static void print_field(const uint8_t *field, unsigned bytes)
{
    while (bytes && (field[bytes - 1] == ' ' || !field[bytes - 1]))
        bytes--;
    for (unsigned i = 0; i < bytes; i++)
        putchar(field[i] >= 0x20 && field[i] < 0x7f ? field[i] : '?');
}

static void print_disk_name(const struct disk_identity *d)
{
    char name[160];

    printf("disk         ");
    print_field(d->inquiry + 8, 8);
    putchar(' ');
    print_field(d->inquiry + 16, 16);
    putchar(' ');
    print_field(d->inquiry + 32, 4);
    printf(", %s\n", disk_name(d, name, sizeof(name)));
}

static void print_provisioning(const struct disk_identity *d)
{
    const struct disk_vpd *b2 = disk_vpd_find(d, 0xb2);
    bool thin = d->capacity16[14] & 0x80; /* LBPME, SBC-3 5.16.2 */

    printf("provisioning %s", thin ? "thin" : "full");
    if (thin && b2 && b2->bytes > 5) /* LBPU and LBPWS, SBC-3 6.6.4 */
        printf("%s%s", b2->data[5] & 0x80 ? ", UNMAP" : "",
               b2->data[5] & 0x40 ? ", WRITE SAME with UNMAP" : "");
    printf("\n");
}

static const char *write_cache(const struct disk_identity *d)
{
    if (!d->has_caching_page)
        return "not told";
    return d->caching_page[2] & 0x04 ? "on" : "off"; /* WCE, SBC-3 6.5.5 */
}

static void print_disk(const struct disk_identity *d)
{
    char size[32];

    print_disk_name(d);
    status_size(d->blocks * d->block_bytes, size, sizeof(size));
    printf("capacity     %s: %llu blocks of %u bytes\n", size, (unsigned long long)d->blocks,
           (unsigned)d->block_bytes);
    printf("write cache  %s, FUA %s\n", write_cache(d), d->dpofua ? "yes" : "no");
    print_provisioning(d);
    printf("reservation  %s\n", !d->reservations_known ? "not supported"
                                : d->reserved          ? "held by an initiator"
                                                       : "none");
}

static void print_host_view(const struct prober *p)
{
    const struct disk_identity *d = &p->probe.disk;
    bool read_only = p->lun->read_only || d->write_protected;
    char size[32];

    status_size(d->blocks * d->block_bytes, size, sizeof(size));
    if (p->accepted)
        printf("USB host     would see a %s%s disk of %s\n", read_only ? "read-only " : "",
               p->lun->removable ? "removable" : "fixed", size);
    else
        printf("USB host     would see nothing\n");
}

static void print_session(const struct prober *p)
{
    const struct session_stats *s = session_stats(p->session);
    char url[ADDRESS_TEXT_BYTES];

    printf("address      %s\n", address_format(&p->lun->address, url, sizeof(url)));
    printf("initiator    %s\n", p->config->initiator_name);
    if (!p->logged_in_us)
        return;
    printf("session      %s, login in %llu ms, CHAP %s, header digest %s\n", s->portal,
           (unsigned long long)((p->logged_in_us - p->started_us) / 1000),
           s->target_authenticated ? "both ways"
           : s->authenticated      ? "yes"
                                   : "no",
           s->header_digest ? "yes" : "no");
}

/* INQUIRY was refused, or answered for a LUN that is not there (peripheral
 * qualifier, SPC-4 6.4.2). */
static bool lun_is_missing(const struct prober *p)
{
    const struct disk_identity *d = &p->probe.disk;

    if (!p->logged_in_us || p->accepted || p->fault != BACKEND_FAULT_PERMANENT)
        return false;
    return !d->inquiry_bytes || d->inquiry[0] >> 5;
}

/* The fault, on stderr. Of a wrong LUN we know more than the bridge: which there are. */
static int report_fault(const struct prober *p)
{
    int status = p->fault == BACKEND_FAULT_PERMANENT ? CLI_WRONG : CLI_TRANSIENT;
    const char *portal = session_stats(p->session)->portal;
    char luns[LUNS_TEXT_BYTES];
    int lun = p->lun->address.lun;

    if (!lun_is_missing(p) || luns_text(p, lun, luns))
        return cli_fail("lunstick probe", status, "%s", p->why);
    if (luns[0])
        return cli_fail("lunstick probe", status, "%s has no LUN %d for us, but these:%s", portal,
                        lun, luns);
    return cli_fail("lunstick probe", status,
                    "%s has no LUN %d for us and does not tell which it has: look at the target",
                    portal, lun);
}

static int report(struct prober *p, const struct lun_secrets *secrets)
{
    char portal[SESSION_WHY_BYTES];
    bool v6 = strchr(p->host, ':') != NULL;

    snprintf(portal, sizeof(portal), v6 ? "[%s]:%u" : "%s:%u", p->host,
             (unsigned)p->lun->address.port);
    print_session(p);
    if (p->accepted || p->fault == BACKEND_FAULT_PERMANENT)
        print_targets(p, portal, secrets->secret);
    if (p->logged_in_us)
        print_luns(p);
    if (p->probe.disk.block_bytes)
        print_disk(&p->probe.disk);
    if (p->logged_in_us)
        print_host_view(p);
    fflush(stdout);
    if (p->accepted)
        return CLI_OK;
    return report_fault(p);
}

static int probe_lun(const struct daemon_config *config, const struct config_lun *lun)
{
    static struct prober p;     /* its buffers outlive every command */
    struct lun_secrets secrets; /* also of the sessions, which end here */
    char why[CONFIG_WHY_BYTES];
    int status;

    p = (struct prober){.config = config, .lun = lun, .started_us = loop_now_us()};
    if (!secrets_load(&secrets, lun, why))
        return cli_fail("lunstick probe", CLI_WRONG, "%s", why);
    if (why[0])
        fprintf(stderr, "lunstick probe: warning: %s\n", why);
    if (!cli_resolve(lun->address.host, RESOLVE_SECONDS, p.host, sizeof(p.host), why)) {
        secrets_wipe(&secrets);
        return cli_fail("lunstick probe", CLI_TRANSIENT, "%s", why);
    }
    deferred_list_init(&p.deferred);
    p.session = open_session(&p, &secrets);
    if (!p.session) {
        secrets_wipe(&secrets);
        return cli_fail("lunstick probe", CLI_WRONG, "no session: %s", strerror(errno));
    }
    run_session(&p);
    if (p.logged_in_us && !p.luns_bytes && lun->address.lun)
        ask_lun_0(&p, &secrets);
    status = report(&p, &secrets);
    close_session(&p);
    secrets_wipe(&secrets);
    return status;
}

int cli_probe(int argc, char **argv)
{
    static struct daemon_config config;
    int worst = CLI_OK;

    signal(SIGPIPE, SIG_IGN);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* no core file holds a secret */
    switch (options_read(&config, argc, argv, stdout, stderr)) {
    case OPTIONS_DONE:
        return CLI_OK;
    case OPTIONS_WRONG:
        return CLI_WRONG;
    case OPTIONS_RUN:
        break;
    }
    for (unsigned i = 0; i < config.lun_count; i++) {
        int status = probe_lun(&config, &config.luns[i]);
        if (i + 1 < config.lun_count)
            printf("\n");
        worst = status > worst ? status : worst;
    }
    return worst;
}
