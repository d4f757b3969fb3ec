/* SPDX-License-Identifier: BSD-2-Clause */
#include "status.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Text that grows in a buffer of fixed size. What does not fit sets `full`;
 * `at` never passes the terminating 0. */
struct text {
    char *buf;
    size_t size, at;
    bool full;
};

static struct text text_begin(char *buf, size_t size)
{
    if (size)
        buf[0] = 0;
    return (struct text){.buf = buf, .size = size, .full = !size};
}

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *format, ...)
{
    size_t room = t->size - t->at;
    va_list args;
    int length;

    if (t->full)
        return;
    va_start(args, format);
    length = vsnprintf(t->buf + t->at, room, format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= room) {
        t->full = true;
        t->at = t->size - 1;
    } else {
        t->at += (size_t)length;
    }
}

static const char *or_empty(const char *s)
{
    return s ? s : "";
}

static const char *speed_name(enum usb_speed speed)
{
    switch (speed) {
    case USB_SPEED_FULL:
        return "full";
    case USB_SPEED_HIGH:
        return "high";
    case USB_SPEED_SUPER:
        return "super";
    case USB_SPEED_NONE:
        break;
    }
    return "none";
}

static const char *portal(const struct status_lun *l)
{
    return *or_empty(l->portal) ? l->portal : l->session->portal;
}

static bool host_present(const struct status_view *v)
{
    return v->local ? v->bound : v->bot && v->bot->speed != USB_SPEED_NONE;
}

/* Another loss of the same session is what counts, not its first login. */
static uint64_t reconnects(const struct session_stats *s)
{
    return s->logins ? s->logins - 1 : 0;
}

static uint64_t since_ms(uint64_t now_us, uint64_t then_us)
{
    return now_us > then_us ? (now_us - then_us) / 1000 : 0;
}

static bool disk_read_only(const struct status_lun *l)
{
    return l->read_only || (l->disk && l->disk->write_protected);
}

/* Bit 2 of byte 2 of the caching page, SBC-3 6.5.5. */
static bool write_cache(const struct disk_identity *disk)
{
    return disk->has_caching_page && (disk->caching_page[2] & 0x04);
}

/* ---- for people ---- */

/* Decimal, as disks are sold: "64 MB", "1.5 GB". */
static void put_size(struct text *t, uint64_t bytes)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB", "PB", "EB"};
    uint64_t scale = 1;
    unsigned unit = 0;

    while (bytes / scale >= 1000 && unit < 6) {
        scale *= 1000;
        unit++;
    }
    if (bytes / scale < 10 && bytes / (scale / 10 ? scale / 10 : 1) % 10 && unit)
        put(t, "%" PRIu64 ".%" PRIu64 " %s", bytes / scale, bytes / (scale / 10) % 10, units[unit]);
    else
        put(t, "%" PRIu64 " %s", bytes / scale, units[unit]);
}

static void put_ms(struct text *t, uint64_t ms)
{
    uint64_t s = ms / 1000;

    if (s < 10)
        put(t, "%" PRIu64 ".%" PRIu64 " s", s, ms / 100 % 10);
    else if (s < 120)
        put(t, "%" PRIu64 " s", s);
    else if (s < 7200)
        put(t, "%" PRIu64 " min", s / 60);
    else if (s < 48 * UINT64_C(3600))
        put(t, "%" PRIu64 " h", s / 3600);
    else
        put(t, "%" PRIu64 " days", s / 86400);
}

static void put_portal(struct text *t, const struct address *a)
{
    put(t, strchr(a->host, ':') ? "[%s]:%u" : "%s:%u", a->host, (unsigned)a->port);
}

/* A fault as the part of a sentence: without its own full stop. */
static void put_clause(struct text *t, const char *fault)
{
    size_t length = strlen(fault);

    while (length && (fault[length - 1] == '.' || fault[length - 1] == '\n'))
        length--;
    put(t, "%.*s", (int)length, fault);
}

/* No disk was accepted yet: the host sees nothing of this LUN, or an empty drive. */
static void put_waiting(struct text *t, const struct status_view *v, const struct status_lun *l)
{
    put(t,
        host_present(v) ? "The host sees an empty drive, there is no disk yet: " : "No disk yet: ");
    if (l->session->last_fault[0]) {
        put_clause(t, l->session->last_fault);
        put(t, "; trying again.");
        return;
    }
    switch (l->session->state) {
    case SESSION_RESOLVING:
        put(t, "looking up %s.", l->address->host);
        break;
    case SESSION_PROBING:
    case SESSION_UP:
        put(t, "looking at the disk at ");
        put_portal(t, l->address);
        put(t, ".");
        break;
    case SESSION_DOWN:
    case SESSION_CONNECTING:
    case SESSION_BACKOFF:
        put(t, "logging in to ");
        put_portal(t, l->address);
        put(t, ".");
        break;
    }
}

static void put_seen(struct text *t, const struct status_view *v, const struct status_lun *l)
{
    bool present = host_present(v);

    if (v->local)
        put(t, "%s is a ", or_empty(v->udc));
    else
        put(t, present ? "The host sees a " : "No USB host is connected; a ");
    if (disk_read_only(l))
        put(t, "read-only ");
    put_size(t, l->disk->blocks * l->disk->block_bytes);
    put(t, present ? " disk; " : " disk is ready for it; ");
    if (present && v->port && v->port->suspended)
        put(t, "the bus is suspended; ");
    put(t, "the session to ");
    put_portal(t, l->address);
    if (l->lun->session_up) {
        put(t, " is up.");
        return;
    }
    put(t, " is down and commands wait");
    if (l->session->last_fault[0]) {
        put(t, ": ");
        put_clause(t, l->session->last_fault);
    }
    put(t, "; trying again.");
}

/* There is a disk, but not for the host. */
static void put_out(struct text *t, const struct status_view *v, const struct status_lun *l)
{
    static const char *const back[] = {
        [MEDIUM_REINSERT_ON_DEMAND] = "it is back when the host loads it or is plugged in again",
        [MEDIUM_REINSERT_NEVER] = "lunstick insert brings it back",
        [MEDIUM_REINSERT_AFTER] = "it comes back by itself",
    };

    if (v->local) {
        put(t, "%s fails: there is another disk behind its name now.", or_empty(v->udc));
        return;
    }
    put(t, host_present(v) ? "The host sees an empty drive: "
                           : "No USB host is connected; the drive is empty: ");
    if (l->medium == MEDIUM_OUT_USER) {
        put(t, "the disk was ejected here; lunstick insert puts it in.");
    } else if (l->medium == MEDIUM_OUT_HOST) {
        put(t, "the host ejected the disk; %s.", back[l->reinsert]);
    } else if (l->medium == MEDIUM_EXCHANGED) {
        put(t, "there is another disk now, and a fixed disk cannot be exchanged; lunstick unplug "
               "and lunstick plug bring it in.");
    } else {
        put(t, "the disk was given up");
        if (l->session->last_fault[0]) {
            put(t, ": ");
            put_clause(t, l->session->last_fault);
        }
        put(t, "; it comes back with its target.");
    }
}

static void put_lun_sentence(struct text *t, const struct status_view *v,
                             const struct status_lun *l)
{
    size_t begin = t->at;

    if (l->medium == MEDIUM_UNSEEN)
        put_waiting(t, v, l);
    else if (l->medium == MEDIUM_IN && l->disk)
        put_seen(t, v, l);
    else
        put_out(t, v, l);
    /* Behind "Disk 1: " it is no beginning. */
    if (v->lun_count > 1 && begin < t->at && !t->full)
        t->buf[begin] = (char)tolower((unsigned char)t->buf[begin]);
}

static void put_nothing(struct text *t, const struct status_view *v, const char *yet)
{
    put(t, v->local ? "There is no block device%s: " : "The host sees nothing%s: ", yet);
}

static void put_sentence(struct text *t, const struct status_view *v)
{
    bool any_disk = false;

    for (unsigned i = 0; i < v->lun_count; i++)
        any_disk = any_disk || v->luns[i].disk;
    if (v->unplugged) {
        put(t, "The host sees nothing: it was unplugged here; lunstick plug plugs it in again.");
        return;
    }
    if (*or_empty(v->gadget_fault)) {
        put_nothing(t, v, "");
        put_clause(t, v->gadget_fault);
        put(t, ".");
        return;
    }
    if (any_disk && !v->bound) {
        put_nothing(t, v, " yet");
        put(t, "the disk is about to be %s.", v->local ? "shown" : "plugged in");
        return;
    }
    for (unsigned i = 0; i < v->lun_count; i++) {
        if (v->lun_count > 1)
            put(t, "%sDisk %u: ", i ? " " : "", i);
        put_lun_sentence(t, v, &v->luns[i]);
    }
}

size_t status_size(uint64_t bytes, char *buf, size_t size)
{
    struct text t = text_begin(buf, size);

    put_size(&t, bytes);
    return t.at;
}

size_t status_sentence(const struct status_view *view, char *buf, size_t size)
{
    struct text t = text_begin(buf, size);

    put_sentence(&t, view);
    return t.at;
}

/* A field of fixed length of INQUIRY data: printable, without blanks around. */
static const char *inquiry_field(const struct disk_identity *disk, unsigned from, unsigned length,
                                 char *out)
{
    unsigned n = 0;

    for (unsigned i = from; i < from + length && i < disk->inquiry_bytes; i++) {
        uint8_t c = disk->inquiry[i];
        if (n || c != ' ')
            out[n++] = c >= 0x20 && c < 0x7f ? (char)c : '?';
    }
    while (n && out[n - 1] == ' ')
        n--;
    out[n] = 0;
    return out;
}

static void put_disk(struct text *t, const struct status_lun *l)
{
    const struct disk_identity *d = l->disk;
    char vendor[9], product[17], revision[5], name[128];

    if (!d) {
        put(t, "  disk       none was seen yet\n");
        return;
    }
    put(t, "  disk       %s %s %s, %s%s%s\n", inquiry_field(d, 8, 8, vendor),
        inquiry_field(d, 16, 16, product), inquiry_field(d, 32, 4, revision),
        disk_name(d, name, sizeof(name)), l->medium == MEDIUM_IN ? "" : ", ",
        l->medium == MEDIUM_IN ? "" : medium_name(l->medium));
    put(t, "  capacity   ");
    put_size(t, d->blocks * d->block_bytes);
    put(t, ", %" PRIu64 " blocks of %" PRIu32 " bytes%s%s, write cache %s\n", d->blocks,
        d->block_bytes, disk_read_only(l) ? ", read-only" : "", l->removable ? ", removable" : "",
        write_cache(d) ? "on" : "off");
    put(t, "%s%s", l->cdrom ? "  shown as   a CD-ROM\n" : "",
        !l->exclusive         ? ""
        : l->lun->access_held ? "  access     ours alone\n"
                              : "  access     not ours alone now\n");
}

static void put_lun(struct text *t, const struct status_view *v, const struct status_lun *l)
{
    const struct session_stats *s = l->session;
    const struct lun_stats *n = l->lun;
    char url[ADDRESS_TEXT_BYTES];

    put(t, "  target     %s\n", address_format(l->address, url, sizeof(url)));
    put(t, "  session    %s for ", session_state_name(s->state));
    put_ms(t, since_ms(v->now_us, s->since_us));
    if (portal(l)[0])
        put(t, ", at %s", portal(l));
    put(t, ", %" PRIu64 " reconnects", reconnects(s));
    if (s->keepalive_rtt_us)
        put(t, ", round trip %" PRIu64 " us", s->keepalive_rtt_us);
    put(t, "\n");
    if (s->last_fault[0])
        put(t, "  last fault %s\n", s->last_fault);
    put_disk(t, l);
    put(t,
        "  commands   %" PRIu64 " (%" PRIu64 " answered here, %" PRIu64 " failed, %" PRIu64
        " late, %" PRIu64 " sent again), %u at the target\n",
        n->commands, n->local_answers, n->check_conditions, n->answered_late, n->retried,
        n->outstanding);
    put(t, "  read       ");
    put_size(t, n->read_bytes);
    put(t, ", written ");
    put_size(t, n->written_bytes);
    put(t, ", latency %" PRIu64 " us on average, %" PRIu64 " us at most\n",
        n->commands ? n->latency_us_sum / n->commands : 0, n->latency_us_max);
}

static void put_usb(struct text *t, const struct status_view *v)
{
    put(t, "  USB        %s%s", *or_empty(v->udc) ? v->udc : "no controller",
        v->bound ? "" : ", not plugged in");
    if (host_present(v))
        put(t, ", %s speed%s, host %s", speed_name(v->bot->speed),
            v->port && v->port->suspended ? ", suspended" : "", v->host ? v->host : "unknown");
    if (v->bot)
        put(t, ", %" PRIu64 " resets", v->bot->resets);
    put(t, ", serial %s\n", or_empty(v->serial));
}

size_t status_text(const struct status_view *view, char *buf, size_t size)
{
    struct text t = text_begin(buf, size);

    put_sentence(&t, view);
    put(&t, "\n");
    for (unsigned i = 0; i < view->lun_count; i++) {
        if (view->lun_count > 1)
            put(&t, "Disk %u\n", i);
        put_lun(&t, view, &view->luns[i]);
    }
    if (view->lun_count > 1)
        put(&t, "All disks\n");
    if (view->local)
        put(&t, "  device     %s\n", *or_empty(view->udc) ? view->udc : "none yet");
    else
        put_usb(&t, view);
    put(&t, "  initiator  %s\n", or_empty(view->initiator_name));
    put(&t, "  daemon     %s, version %s, process %ld, up ", or_empty(view->name),
        or_empty(view->version), view->pid);
    put_ms(&t, since_ms(view->now_us, view->started_us));
    put(&t, "\n");
    return t.at;
}

/* ---- for programs ---- */

/* A comma if something stands before in the same object or array. */
static void json_next(struct text *t)
{
    char last = t->at ? t->buf[t->at - 1] : '{';

    if (last != '{' && last != '[')
        put(t, ",");
}

static void json_quote(struct text *t, const char *s)
{
    put(t, "\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            put(t, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            put(t, "\\u%04x", c);
        else
            put(t, "%c", c);
    }
    put(t, "\"");
}

static void json_open(struct text *t, const char *key, char bracket)
{
    json_next(t);
    if (key)
        put(t, "\"%s\":", key);
    put(t, "%c", bracket);
}

static void json_close(struct text *t, char bracket)
{
    put(t, "%c", bracket);
}

static void json_string(struct text *t, const char *key, const char *value)
{
    json_next(t);
    put(t, "\"%s\":", key);
    json_quote(t, or_empty(value));
}

static void json_number(struct text *t, const char *key, uint64_t value)
{
    json_next(t);
    put(t, "\"%s\":%" PRIu64, key, value);
}

static void json_bool(struct text *t, const char *key, bool value)
{
    json_next(t);
    put(t, "\"%s\":%s", key, value ? "true" : "false");
}

static void json_pointer(struct text *t, const char *key, const void *value)
{
    json_next(t);
    put(t, "\"%s\":\"0x%" PRIxPTR "\"", key, (uintptr_t)value);
}

static void json_usb(struct text *t, const struct status_view *v)
{
    static const struct bot_stats no_bot;
    static const struct ffs_port_stats no_port;
    const struct bot_stats *b = v->bot ? v->bot : &no_bot;
    const struct ffs_port_stats *p = v->port ? v->port : &no_port;

    json_open(t, "usb", '{');
    json_string(t, "udc", v->udc);
    json_bool(t, "bound", v->bound);
    json_string(t, "serial", v->serial);
    json_string(t, "speed", speed_name(b->speed));
    json_bool(t, "suspended", p->suspended);
    json_string(t, "state", v->bot_state);
    json_string(t, "fault", v->gadget_fault);
    json_number(t, "cbws", b->cbws);
    json_number(t, "invalid_cbws", b->invalid_cbws);
    json_number(t, "resets", b->resets);
    json_number(t, "enables", b->enables);
    json_number(t, "phase_errors", b->phase_errors);
    json_number(t, "in_bytes", p->in_bytes);
    json_number(t, "out_bytes", p->out_bytes);
    json_number(t, "stale", p->stale);
    json_pointer(t, "last_in_buf", p->last_in_buf);
    json_pointer(t, "last_out_buf", p->last_out_buf);
    json_bool(t, "plugged", !v->unplugged);
    json_string(t, "host", v->host);
    json_close(t, '}');
}

static void json_session(struct text *t, const struct status_view *v, const struct session_stats *s)
{
    json_open(t, "session", '{');
    json_string(t, "state", session_state_name(s->state));
    json_number(t, "since_ms", since_ms(v->now_us, s->since_us));
    json_number(t, "logins", s->logins);
    json_number(t, "reconnects", reconnects(s));
    json_number(t, "losses", s->losses);
    json_number(t, "keepalive_rtt_us", s->keepalive_rtt_us);
    json_number(t, "outstanding", s->outstanding);
    json_bool(t, "header_digest", s->header_digest);
    json_bool(t, "authenticated", s->authenticated);
    json_bool(t, "target_authenticated", s->target_authenticated);
    json_number(t, "max_send_bytes", s->max_send_bytes);
    json_number(t, "first_burst_bytes", s->first_burst_bytes);
    json_string(t, "last_fault", s->last_fault);
    json_pointer(t, "last_iov_base", s->last_iov_base);
    json_close(t, '}');
}

static void json_disk(struct text *t, const struct status_lun *l)
{
    const struct disk_identity *d = l->disk;
    char field[128];

    if (!d) {
        json_next(t);
        put(t, "\"disk\":null");
        return;
    }
    json_open(t, "disk", '{');
    json_string(t, "id", disk_name(d, field, sizeof(field)));
    json_string(t, "vendor", inquiry_field(d, 8, 8, field));
    json_string(t, "product", inquiry_field(d, 16, 16, field));
    json_string(t, "revision", inquiry_field(d, 32, 4, field));
    json_number(t, "blocks", d->blocks);
    json_number(t, "block_bytes", d->block_bytes);
    json_number(t, "bytes", d->blocks * d->block_bytes);
    json_bool(t, "write_protected", disk_read_only(l));
    json_bool(t, "write_cache", write_cache(d));
    json_bool(t, "usable", !disk_unusable(d));
    json_string(t, "why", disk_unusable(d));
    json_close(t, '}');
}

static void json_io(struct text *t, const struct lun_stats *n)
{
    json_open(t, "io", '{');
    json_number(t, "commands", n->commands);
    json_number(t, "local_answers", n->local_answers);
    json_number(t, "passed_through", n->passed_through);
    json_number(t, "read_bytes", n->read_bytes);
    json_number(t, "written_bytes", n->written_bytes);
    json_number(t, "check_conditions", n->check_conditions);
    json_number(t, "answered_late", n->answered_late);
    json_number(t, "retried", n->retried);
    json_number(t, "orphans", n->orphans);
    json_number(t, "adopted", n->adopted);
    json_number(t, "outstanding", n->outstanding);
    json_number(t, "proofs", n->proofs);
    json_number(t, "disproofs", n->disproofs);
    json_number(t, "latency_us_mean", n->commands ? n->latency_us_sum / n->commands : 0);
    json_number(t, "latency_us_max", n->latency_us_max);
    json_open(t, "last_streamed_read", '{');
    json_number(t, "bytes", n->last_streamed_read.bytes);
    json_number(t, "first_to_host_us", n->last_streamed_read.first_to_host_us);
    json_number(t, "last_segment_us", n->last_streamed_read.last_segment_us);
    json_close(t, '}');
    json_open(t, "last_streamed_write", '{');
    json_number(t, "bytes", n->last_streamed_write.bytes);
    json_number(t, "first_to_target_us", n->last_streamed_write.first_to_target_us);
    json_number(t, "last_from_host_us", n->last_streamed_write.last_from_host_us);
    json_close(t, '}');
    json_close(t, '}');
}

static void json_lun(struct text *t, const struct status_view *v, const struct status_lun *l)
{
    char url[ADDRESS_TEXT_BYTES];

    json_open(t, NULL, '{');
    json_string(t, "url", address_format(l->address, url, sizeof(url)));
    json_string(t, "portal", portal(l));
    json_string(t, "iqn", l->address->iqn);
    json_number(t, "lun", (uint64_t)l->address->lun);
    json_bool(t, "read_only", l->read_only);
    json_bool(t, "removable", l->removable);
    json_string(t, "medium", medium_name(l->medium));
    json_bool(t, "cdrom", l->cdrom);
    json_bool(t, "exclusive", l->exclusive);
    json_bool(t, "access_held", l->lun->access_held);
    json_session(t, v, l->session);
    json_disk(t, l);
    json_io(t, l->lun);
    json_close(t, '}');
}

size_t status_json(const struct status_view *view, char *buf, size_t size)
{
    struct text t = text_begin(buf, size);
    char sentence[1024];

    status_sentence(view, sentence, sizeof(sentence));
    json_open(&t, NULL, '{');
    json_string(&t, "summary", sentence);
    json_string(&t, "version", view->version);
    json_string(&t, "name", view->name);
    json_number(&t, "pid", (uint64_t)view->pid);
    json_number(&t, "uptime_ms", since_ms(view->now_us, view->started_us));
    json_string(&t, "initiator_name", view->initiator_name);
    if (view->local)
        json_string(&t, "device", view->bound ? view->udc : "");
    else
        json_usb(&t, view);
    json_open(&t, "luns", '[');
    for (unsigned i = 0; i < view->lun_count; i++)
        json_lun(&t, view, &view->luns[i]);
    json_close(&t, ']');
    json_close(&t, '}');
    put(&t, "\n");
    if (t.full) {
        if (size)
            buf[0] = 0;
        return 0;
    }
    return t.at;
}
