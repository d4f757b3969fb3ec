/* SPDX-License-Identifier: BSD-2-Clause */
#include "discover.h"

#include "libiscsi.h"
#include "login_fault.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Connect, log in, ask: each step begins in the callback of the one before. */
struct discovery {
    struct discover_result *result;
    bool over;
};

static void fail(struct iscsi_context *iscsi, struct discovery *d, const char *step)
{
    if (d->over)
        return;
    d->over = true;
    snprintf(d->result->why, sizeof(d->result->why), "%s: %s", step, iscsi_get_error(iscsi));
    fault_clean(d->result->why);
}

static void take(struct discover_result *result, const struct iscsi_discovery_address *list)
{
    for (; list; list = list->next) {
        if (!list->target_name)
            continue;
        if (result->count < DISCOVER_TARGETS_MAX) {
            char *name = result->names[result->count];
            snprintf(name, DISCOVER_NAME_BYTES, "%s", list->target_name);
            fault_clean(name);
        }
        result->count++;
    }
}

static void told(struct iscsi_context *iscsi, int status, void *data, void *ctx)
{
    struct discovery *d = ctx;

    if (status != SCSI_STATUS_GOOD) {
        fail(iscsi, d, "no list");
        return;
    }
    take(d->result, data);
    d->result->why[0] = 0;
    d->over = true;
}

static void logged_in(struct iscsi_context *iscsi, int status, void *data, void *ctx)
{
    (void)data;
    if (status != SCSI_STATUS_GOOD)
        fail(iscsi, ctx, "not admitted");
    else if (iscsi_discovery_async(iscsi, told, ctx))
        fail(iscsi, ctx, "no list");
}

static void connected(struct iscsi_context *iscsi, int status, void *data, void *ctx)
{
    (void)data;
    if (status != SCSI_STATUS_GOOD)
        fail(iscsi, ctx, "no connection");
    else if (iscsi_login_async(iscsi, logged_in, ctx))
        fail(iscsi, ctx, "not admitted");
}

static void run(struct iscsi_context *iscsi, struct discovery *d,
                const struct discover_request *request)
{
    uint64_t deadline_us = request->now_us() + (uint64_t)request->timeout_ms * 1000;

    while (!d->over) {
        uint64_t now_us = request->now_us();
        struct pollfd p = {.fd = iscsi_get_fd(iscsi), .events = (short)iscsi_which_events(iscsi)};
        int ready;
        if (now_us >= deadline_us)
            return;
        ready = poll(&p, 1, (int)((deadline_us - now_us) / 1000) + 1);
        if (ready < 0 && errno != EINTR)
            return;
        if (ready > 0 && iscsi_service(iscsi, p.revents) < 0 && !d->over)
            fail(iscsi, d, "connection lost");
    }
}

int discover(const struct discover_request *request, struct discover_result *result)
{
    struct discovery d = {.result = result};
    struct iscsi_context *iscsi;

    memset(result, 0, sizeof(*result));
    snprintf(result->why, sizeof(result->why), "no answer in time");
    libiscsi_clear_environment();
    iscsi = iscsi_create_context(request->initiator_name);
    if (!iscsi) {
        snprintf(result->why, sizeof(result->why), "no memory");
        return -1;
    }
    iscsi_set_noautoreconnect(iscsi, 1);
    iscsi_set_timeout(iscsi, 0);
    if (iscsi_set_session_type(iscsi, ISCSI_SESSION_DISCOVERY) ||
        iscsi_set_header_digest(iscsi, ISCSI_HEADER_DIGEST_NONE) ||
        (request->user[0] &&
         iscsi_set_initiator_username_pwd(iscsi, request->user, request->secret)) ||
        iscsi_connect_async(iscsi, request->portal, connected, &d))
        fail(iscsi, &d, "no connection");
    run(iscsi, &d, request);
    /* It cancels what is outstanding: the callbacks find `d` for the last time,
     * and that it is over. */
    d.over = true;
    iscsi_destroy_context(iscsi);
    return result->why[0] ? -1 : 0;
}
