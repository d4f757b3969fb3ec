/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The states of a session, and what moves them.
 *
 * Everything that happens is noted first and acted on later: libiscsi's events
 * (conn.h) and the logical unit's verdicts come on stacks where no context may
 * be destroyed and nobody may be called back. `turn` is the deferred call that
 * reads the notes. A loss puts the commands on the deferred list first and
 * `down` behind them, so that the logical unit hears of them in this order.
 */
#include "session.h"

#include "conn.h"
#include "login_fault.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BACKOFF_MIN_MS 100u
#define LOGOUT_MS      1000u
/* A TCP connection needs a round trip, whatever the target does. With one that
 * is not made in this time the next address of the portal is tried. */
#define CONNECT_MS 2000u
/* A session that ends sooner than this after its acceptance was no success. */
#define SHORT_LIFE_US UINT64_C(10000000)
/* Login time-outs that a resolver and a probe may take. */
#define RESOLVE_FACTOR 2u
/* And a resolver if there is an address to go to without. */
#define RESOLVE_AGAIN_MS 3000u
#define PROBE_FACTOR     4u
/* Moves from portal to portal in one login, and their time: login time-outs from
 * the first of them on. */
#define REDIRECTS_MAX   4u
#define REDIRECT_FACTOR 2u

#define NEVER UINT64_MAX

/* What happened since the last turn. */
struct notes {
    bool logged_in;
    bool failed;
    bool closed; /* the connection, under a session */
    bool redirected;
    bool stage_refused;
    bool room;
    bool logged_out;
    enum backend_fault fault;
    char why[CONN_WHY_BYTES];
    char portal[SESSION_WHY_BYTES];
};

struct session {
    struct backend backend; /* first: what the logical unit holds */
    struct session_config config;
    struct session_stats stats;
    struct conn *conn;
    struct notes notes;
    struct deferred turn;
    struct deferred push; /* sends what was submitted in this turn */
    struct deferred down;
    char down_why[SESSION_WHY_BYTES];

    bool announced;     /* up() was called, down() is due */
    bool accepted_ever; /* nothing is permanent any more */
    bool stopping;
    bool no_security_stage; /* this target does not let us in that way */
    unsigned redirects;     /* of this login */
    uint64_t redirects_end_us;
    char visited[REDIRECTS_MAX + 1][SESSION_PORTAL_BYTES]; /* the portals of this login */
    struct address portal; /* host and port in use; differs after a redirect */
    char numeric[64];      /* of this attempt */
    char good[64];         /* of the last session that was accepted, where the portal is a name */
    bool try_good;         /* the next attempt goes there without asking */
    uint32_t backoff_ms;
    unsigned short_lives;  /* in a row, closed by the target */
    uint64_t accepted_us;  /* of this session, 0: not yet */
    uint64_t deadline_us;  /* of the state */
    uint64_t heard_us;     /* when bytes came last */
    uint64_t nop_sent_us;  /* of the last keepalive */
    unsigned nops_unheard; /* keepalives since bytes came last */
};

static uint64_t now_us(const struct session *s)
{
    return s->config.now_us();
}

static uint64_t after_ms(const struct session *s, uint32_t ms)
{
    return now_us(s) + (uint64_t)ms * 1000;
}

__attribute__((format(printf, 3, 4))) static void
log_text(const struct session *s, enum lun_log_level level, const char *format, ...)
{
    char text[SESSION_WHY_BYTES + 128];
    va_list args;

    if (s->config.log == NULL)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    s->config.log(level, text);
}

const char *session_state_name(enum session_state state)
{
    static const char *const names[] = {
        [SESSION_DOWN] = "DOWN",
        [SESSION_RESOLVING] = "RESOLVING",
        [SESSION_CONNECTING] = "CONNECTING",
        [SESSION_PROBING] = "PROBING",
        [SESSION_UP] = "UP",
        [SESSION_BACKOFF] = "BACKOFF",
    };

    return (size_t)state < sizeof(names) / sizeof(names[0]) ? names[state] : "?";
}

/* No state of a login that was redirected lasts longer than the redirects may. */
static uint64_t login_end_us(const struct session *s, uint64_t end_us)
{
    bool login = s->stats.state == SESSION_RESOLVING || s->stats.state == SESSION_CONNECTING;

    return login && s->redirects_end_us < end_us ? s->redirects_end_us : end_us;
}

/* The one way from state to state. `limit_ms` later its time-out comes; 0: none. */
static void move(struct session *s, enum lun_log_level level, enum session_state state,
                 uint32_t limit_ms, const char *text)
{
    log_text(s, level, "session: %s -> %s: %s", session_state_name(s->stats.state),
             session_state_name(state), text);
    s->stats.state = state;
    s->stats.since_us = now_us(s);
    s->deadline_us = limit_ms == 0 ? NEVER : login_end_us(s, after_ms(s, limit_ms));
}

static bool has_session(const struct session *s)
{
    return s->stats.state == SESSION_PROBING || s->stats.state == SESSION_UP;
}

static void wake(struct session *s)
{
    deferred_add(s->backend.deferred, &s->turn);
}

/* The first fault of a turn is the cause; what follows from it is not told. */
static void note_fault(struct session *s, enum backend_fault fault, const char *why)
{
    if (!s->notes.failed) {
        s->notes.failed = true;
        s->notes.fault = fault;
        snprintf(s->notes.why, sizeof(s->notes.why), "%s", why);
        fault_clean(s->notes.why);
    }
    wake(s);
}

/* ---- events of the connection: notes only ---- */

static void on_logged_in(void *ctx)
{
    struct session *s = ctx;

    s->notes.logged_in = true;
    wake(s);
}

static void on_failed(void *ctx, enum backend_fault fault, const char *why)
{
    note_fault(ctx, fault, why);
}

static void on_closed(void *ctx, const char *why)
{
    struct session *s = ctx;

    if (!s->notes.failed)
        s->notes.closed = true;
    note_fault(s, BACKEND_FAULT_TRANSIENT, why);
}

static void on_redirected(void *ctx, const char *portal)
{
    struct session *s = ctx;

    s->notes.redirected = true;
    snprintf(s->notes.portal, sizeof(s->notes.portal), "%s", portal);
    wake(s);
}

static void on_stage_refused(void *ctx)
{
    struct session *s = ctx;

    s->notes.stage_refused = true;
    wake(s);
}

static void on_nop_answered(void *ctx)
{
    struct session *s = ctx;

    s->stats.keepalive_rtt_us = now_us(s) - s->nop_sent_us;
}

static void on_logged_out(void *ctx)
{
    struct session *s = ctx;

    s->notes.logged_out = true;
    wake(s);
}

static void on_room(void *ctx)
{
    struct session *s = ctx;

    s->notes.room = true;
    wake(s);
}

static void on_log(void *ctx, bool warning, const char *text)
{
    log_text(ctx, warning ? LUN_LOG_WARNING : LUN_LOG_DEBUG, "session: %s", text);
}

static const struct conn_events conn_events = {
    .logged_in = on_logged_in,
    .failed = on_failed,
    .closed = on_closed,
    .redirected = on_redirected,
    .stage_refused = on_stage_refused,
    .nop_answered = on_nop_answered,
    .logged_out = on_logged_out,
    .room = on_room,
    .log = on_log,
};

/* ---- resolving and connecting ---- */

static uint32_t connect_ms(const struct session *s)
{
    return CONNECT_MS < s->config.login_timeout_ms ? CONNECT_MS : s->config.login_timeout_ms;
}

static const char *text_of(const char *secret)
{
    return secret != NULL ? secret : "";
}

static void open_conn(struct session *s)
{
    const struct session_config *config = &s->config;
    struct conn_params params = {
        .portal = s->stats.portal,
        .initiator_name = config->initiator_name,
        .iqn = config->address.iqn,
        .lun = (uint16_t)config->address.lun,
        .isid = config->isid,
        .user = config->address.user,
        .secret = text_of(config->secret),
        .target_user = config->target_user,
        .target_secret = text_of(config->target_secret),
        .header_digest = config->header_digest || config->address.header_digest,
        .security_stage = !s->no_security_stage,
        .tcp_user_timeout_ms = 3 * config->keepalive_ms,
    };

    move(s, LUN_LOG_DEBUG, SESSION_CONNECTING, connect_ms(s), s->stats.portal);
    memset(&s->notes, 0, sizeof(s->notes));
    conn_open(s->conn, &params);
}

/* What is wrong with a redirect to this portal. */
static const char *wrong_turn(const struct session *s, const char *numeric, const char *portal)
{
    if (!address_may_lead(s->numeric, numeric))
        return "where no target can be";
    for (unsigned i = 0; i < s->redirects; i++)
        if (strcmp(s->visited[i], portal) == 0)
            return "in a circle";
    return NULL;
}

static void connect_to(struct session *s, const char *numeric)
{
    bool ipv6 = strchr(numeric, ':') != NULL;
    char portal[SESSION_PORTAL_BYTES];
    const char *wrong = NULL;

    snprintf(portal, sizeof(portal), "%s%.63s%s:%u", ipv6 ? "[" : "", numeric, ipv6 ? "]" : "",
             s->portal.port);
    if (s->redirects > 0)
        wrong = wrong_turn(s, numeric, portal);
    if (wrong != NULL) {
        char why[CONN_WHY_BYTES];
        snprintf(why, sizeof(why), "%s sends us %s: to %s", s->stats.portal, wrong, portal);
        note_fault(s, BACKEND_FAULT_TRANSIENT, why);
        return;
    }
    memcpy(s->visited[s->redirects], portal, sizeof(portal));
    memcpy(s->stats.portal, portal, sizeof(portal));
    snprintf(s->numeric, sizeof(s->numeric), "%.63s", numeric);
    open_conn(s);
}

static bool have_good(const struct session *s)
{
    return s->redirects == 0 && s->good[0] != '\0';
}

static void resolve(struct session *s)
{
    uint32_t patience_ms =
        have_good(s) ? RESOLVE_AGAIN_MS : RESOLVE_FACTOR * s->config.login_timeout_ms;

    move(s, LUN_LOG_DEBUG, SESSION_RESOLVING, patience_ms, s->portal.host);
    if (address_is_numeric(s->portal.host))
        connect_to(s, s->portal.host);
    else if (s->config.resolve != NULL)
        s->config.resolve(s->config.resolve_ctx, s->portal.host);
    else
        note_fault(s, BACKEND_FAULT_PERMANENT, "the portal is a name, and names are not resolved");
}

/* Names do not resolve for a while, in a network that comes back, say: then the
 * address that was good is better than none. */
static void not_resolved(struct session *s, const char *why)
{
    if (have_good(s)) {
        log_text(s, LUN_LOG_DEBUG, "session: %s: trying %s again", why, s->good);
        connect_to(s, s->good);
    } else {
        note_fault(s, BACKEND_FAULT_TRANSIENT, why);
    }
}

static void begin(struct session *s)
{
    s->portal = s->config.address;
    s->redirects = 0;
    s->redirects_end_us = NEVER;
    if (s->try_good && have_good(s)) {
        s->try_good = false;
        connect_to(s, s->good);
    } else {
        resolve(s);
    }
}

/* An answer that nobody waits for any more is dropped; the question is asked
 * again with the next attempt. */
void session_resolved(struct session *s, const char *numeric, const char *why)
{
    char text[CONN_WHY_BYTES];

    if (s->stats.state != SESSION_RESOLVING || s->notes.failed || s->stopping)
        return;
    if (numeric != NULL && address_is_numeric(numeric)) {
        connect_to(s, numeric);
        return;
    }
    snprintf(text, sizeof(text), "cannot resolve %s: %.300s: check the name and /etc/resolv.conf",
             s->portal.host, why != NULL ? why : "no address");
    not_resolved(s, text);
}

/* RFC 7143 13.8: TargetAddress is host[:port][,portal-group-tag], where the host
 * may be in brackets. */
static bool take_redirect(struct address *portal, char *text)
{
    char url[SESSION_WHY_BYTES + 64];
    char why[ADDRESS_WHY_BYTES];
    struct address parsed = {.port = 0};

    text[strcspn(text, ",")] = '\0';
    snprintf(url, sizeof(url), "iscsi://%s/iqn.x/0", text);
    if (!address_parse(url, &parsed, why) || parsed.user[0] != '\0')
        return false;
    *portal = parsed;
    return true;
}

/* The user's own name may be told again; others are not asked for: whose
 * addresses are looked up is not the target's to say. */
static bool may_resolve(const struct session *s, const char *host)
{
    return address_is_numeric(host) || strcasecmp(host, s->config.address.host) == 0;
}

static void follow_redirect(struct session *s)
{
    char portal[SESSION_WHY_BYTES];

    snprintf(portal, sizeof(portal), "%s", s->notes.portal);
    s->notes.redirected = false;
    conn_close(s->conn);
    if (s->redirects == 0)
        s->redirects_end_us = after_ms(s, REDIRECT_FACTOR * s->config.login_timeout_ms);
    if (++s->redirects > REDIRECTS_MAX) {
        note_fault(s, BACKEND_FAULT_TRANSIENT, "the target sends us from portal to portal");
        return;
    }
    if (!take_redirect(&s->portal, portal)) {
        note_fault(s, BACKEND_FAULT_TRANSIENT, "the target sends us to a portal that is none");
        return;
    }
    if (!may_resolve(s, s->portal.host)) {
        note_fault(s, BACKEND_FAULT_TRANSIENT,
                   "the target sends us to a portal by its name: have it tell the address");
        return;
    }
    log_text(s, LUN_LOG_INFO, "session: the target sends us to portal %s", portal);
    resolve(s);
}

/* ---- full feature phase ---- */

static void heard(struct session *s)
{
    s->heard_us = now_us(s);
    s->nops_unheard = 0;
}

static void take_agreement(struct session *s)
{
    const struct conn_agreed *agreed = conn_agreed(s->conn);

    s->stats.header_digest = agreed->header_digest;
    s->stats.authenticated = agreed->authenticated;
    s->stats.target_authenticated = agreed->target_authenticated;
    s->stats.max_send_bytes = agreed->max_send_bytes;
    s->stats.first_burst_bytes = agreed->first_burst_bytes;
    s->stats.portal_group = agreed->portal_group;
    s->stats.time2wait_s = agreed->time2wait_s;
    s->stats.time2retain_s = agreed->time2retain_s;
}

static void enter_probing(struct session *s)
{
    s->notes.logged_in = false;
    s->stats.logins++;
    s->accepted_us = 0;
    take_agreement(s);
    heard(s);
    move(s, LUN_LOG_INFO, SESSION_PROBING, PROBE_FACTOR * s->config.login_timeout_ms, "logged in");
    s->announced = true;
    s->backend.events->up(s->backend.events_ctx);
}

static void op_accept(struct backend *b)
{
    struct session *s = (struct session *)b;

    if (s->stats.state != SESSION_PROBING || s->notes.failed || s->stopping)
        return;
    s->accepted_ever = true;
    s->accepted_us = now_us(s);
    s->stats.last_fault[0] = '\0';
    s->try_good = true;
    if (s->redirects == 0 && !address_is_numeric(s->portal.host))
        memcpy(s->good, s->numeric, sizeof(s->good));
    move(s, LUN_LOG_INFO, SESSION_UP, 0, "accepted");
}

static void op_reject(struct backend *b, enum backend_fault fault, const char *why)
{
    struct session *s = (struct session *)b;

    if (!has_session(s))
        return;
    note_fault(s, fault, why);
}

static void op_drop(struct backend *b, const char *why)
{
    struct session *s = (struct session *)b;

    if (!has_session(s))
        return;
    note_fault(s, BACKEND_FAULT_TRANSIENT, why);
}

static int op_submit(struct backend *b, struct backend_cmd *cmd)
{
    struct session *s = (struct session *)b;
    int result;

    if (!has_session(s) || s->notes.failed || s->stopping)
        return -ENOTCONN;
    result = conn_submit(s->conn, cmd);
    if (result == 0)
        deferred_add(s->backend.deferred, &s->push);
    return result;
}

static const struct backend_ops backend_ops = {
    .submit = op_submit,
    .accept = op_accept,
    .reject = op_reject,
    .drop = op_drop,
};

/* Saves a round through poll(): the socket nearly always has room. */
static void run_push(struct deferred *d)
{
    struct session *s = (struct session *)((char *)d - offsetof(struct session, push));

    if (has_session(s) && (conn_poll_events(s->conn) & POLLOUT) != 0)
        conn_service(s->conn, POLLOUT);
}

/* ---- the end of a session ---- */

static void run_down(struct deferred *d)
{
    struct session *s = (struct session *)((char *)d - offsetof(struct session, down));

    s->backend.events->down(s->backend.events_ctx, s->down_why);
}

/* Commands first, the news behind them. */
static void close_conn(struct session *s, const char *why)
{
    conn_close(s->conn);
    deferred_cancel(s->backend.deferred, &s->push);
    memset(&s->notes, 0, sizeof(s->notes));
    if (!s->announced)
        return;
    s->announced = false;
    s->stats.losses++;
    snprintf(s->down_why, sizeof(s->down_why), "%s", why);
    deferred_add(s->backend.deferred, &s->down);
}

/* Whether the session that ended now was worth its login: if so, the next
 * waiting begins anew; if the target keeps on closing it, somebody else does
 * what we do (RFC 7143 6.3.5: a login with our name and ISID ends our session). */
static bool taken_away(struct session *s)
{
    bool lived = s->accepted_us != 0 && now_us(s) - s->accepted_us >= SHORT_LIFE_US;

    if (s->notes.closed && s->accepted_us == 0)
        return true; /* in the middle of the probe */
    if (lived || !s->notes.closed) {
        s->short_lives = 0;
        return false;
    }
    return ++s->short_lives >= 2;
}

/* The cause is told once: to fault(), or to the log where there is none. */
static void tell_fault(struct session *s, enum backend_fault fault, const char *why, bool news)
{
    if (s->config.fault != NULL)
        s->config.fault(s->config.fault_ctx, fault, why);
    else
        log_text(s, news ? LUN_LOG_WARNING : LUN_LOG_DEBUG, "session: %s", why);
}

static void wait_for_next_login(struct session *s, bool news, bool taken)
{
    /* Two that take it from each other shall not do so all the time. */
    uint32_t most_ms = taken ? 2 * s->config.backoff_max_ms : s->config.backoff_max_ms;
    char text[64];

    snprintf(text, sizeof(text), "the next login is in %u ms", s->backoff_ms);
    move(s, news ? LUN_LOG_INFO : LUN_LOG_DEBUG, SESSION_BACKOFF, s->backoff_ms, text);
    s->backoff_ms = 2 * s->backoff_ms < most_ms ? 2 * s->backoff_ms : most_ms;
}

static void end_session(struct session *s)
{
    bool taken = taken_away(s);
    bool was_accepted = s->accepted_us != 0;
    enum backend_fault fault = s->accepted_ever ? BACKEND_FAULT_TRANSIENT : s->notes.fault;
    char why[SESSION_WHY_BYTES];
    bool news;

    snprintf(why, sizeof(why), "%s%s", s->notes.why,
             taken ? ": another initiator uses this name (each bridge needs its own), or the "
                     "target is restarting"
                   : "");
    news = strcmp(s->stats.last_fault, why) != 0;
    snprintf(s->stats.last_fault, sizeof(s->stats.last_fault), "%s", why);
    close_conn(s, why);
    s->accepted_us = 0;
    if (was_accepted && !taken)
        s->backoff_ms = BACKOFF_MIN_MS;
    if (fault == BACKEND_FAULT_PERMANENT)
        move(s, LUN_LOG_INFO, SESSION_DOWN, 0, "only the user can help");
    else
        wait_for_next_login(s, news, taken);
    tell_fault(s, fault, why, news);
}

static void finish_stop(struct session *s)
{
    close_conn(s, "stopped");
    move(s, LUN_LOG_INFO, SESSION_DOWN, 0, "stopped");
}

/* ---- the turn ---- */

static void run_turn(struct deferred *d)
{
    struct session *s = (struct session *)((char *)d - offsetof(struct session, turn));

    if (s->stats.state == SESSION_DOWN || s->stats.state == SESSION_BACKOFF)
        return;
    if (s->stopping) {
        if (s->notes.logged_out || s->notes.failed || s->notes.redirected || s->notes.stage_refused)
            finish_stop(s);
        return;
    }
    if (s->notes.failed) {
        end_session(s);
        return;
    }
    if (s->notes.redirected) {
        follow_redirect(s);
        return;
    }
    if (s->notes.stage_refused) {
        conn_close(s->conn);
        s->no_security_stage = true;
        open_conn(s);
        return;
    }
    if (s->notes.logged_in)
        enter_probing(s);
    if (s->notes.room) {
        s->notes.room = false;
        s->backend.events->more(s->backend.events_ctx);
    }
}

/* ---- timers ---- */

/* A keepalive when nothing came for its interval, another one an interval
 * later; after the third the target is given up. The first comes right after
 * the acceptance: it measures the round-trip time. */
static uint64_t keepalive_due_us(const struct session *s)
{
    uint64_t interval_us = (uint64_t)s->config.keepalive_ms * 1000;

    if (!has_session(s))
        return NEVER;
    if (s->stats.state == SESSION_UP && s->nop_sent_us < s->accepted_us)
        return 0;
    return (s->nops_unheard == 0 ? s->heard_us : s->nop_sent_us) + interval_us;
}

static void run_keepalive(struct session *s)
{
    char why[CONN_WHY_BYTES];

    if (s->nops_unheard >= 2) {
        snprintf(why, sizeof(why),
                 "%s did not answer two keepalives: it hangs, or the network does",
                 s->stats.portal);
        note_fault(s, BACKEND_FAULT_TRANSIENT, why);
        return;
    }
    s->nop_sent_us = now_us(s);
    s->nops_unheard++;
    if (conn_nop(s->conn) == 0)
        deferred_add(s->backend.deferred, &s->push);
}

static void state_timed_out(struct session *s)
{
    char why[CONN_WHY_BYTES];
    uint32_t login_ms = s->config.login_timeout_ms;
    uint64_t login_us = (uint64_t)login_ms * 1000;

    switch (s->stats.state) {
    case SESSION_RESOLVING:
        snprintf(why, sizeof(why),
                 "cannot resolve %s: no answer from the name service: check network and "
                 "/etc/resolv.conf",
                 s->portal.host);
        not_resolved(s, why);
        return;
    case SESSION_CONNECTING:
        if (conn_has_tcp(s->conn) && now_us(s) < login_end_us(s, s->stats.since_us + login_us)) {
            s->deadline_us = login_end_us(s, s->stats.since_us + login_us);
            return;
        }
        if (conn_has_tcp(s->conn))
            snprintf(why, sizeof(why),
                     "%s takes the connection and does not answer the login within %u ms",
                     s->stats.portal, login_ms);
        else
            snprintf(why, sizeof(why), "%s does not answer within %u ms: check address and network",
                     s->stats.portal, connect_ms(s));
        break;
    case SESSION_PROBING:
        snprintf(why, sizeof(why), "LUN %d at %s does not answer: is its disk busy?",
                 s->config.address.lun, s->stats.portal);
        break;
    case SESSION_BACKOFF:
        begin(s);
        return;
    default:
        return;
    }
    note_fault(s, BACKEND_FAULT_TRANSIENT, why);
}

uint64_t session_next_timeout_us(const struct session *s)
{
    uint64_t keepalive_us = s->stopping ? NEVER : keepalive_due_us(s);

    return keepalive_us < s->deadline_us ? keepalive_us : s->deadline_us;
}

void session_run_timeouts(struct session *s)
{
    uint64_t now = now_us(s);

    if (s->notes.failed || s->down.queued)
        return; /* what is under way comes first */
    if (now >= s->deadline_us) {
        s->deadline_us = NEVER;
        if (s->stopping)
            finish_stop(s);
        else
            state_timed_out(s);
        return;
    }
    if (!s->stopping && now >= keepalive_due_us(s))
        run_keepalive(s);
}

/* ---- event loop ---- */

int session_fd(const struct session *s)
{
    return conn_fd(s->conn);
}

short session_poll_events(const struct session *s)
{
    return conn_poll_events(s->conn);
}

void session_service(struct session *s, short revents)
{
    if (revents == 0)
        return;
    if ((revents & POLLIN) != 0)
        heard(s);
    conn_service(s->conn, revents);
}

const struct session_stats *session_stats(const struct session *s)
{
    /* Not kept twice; the structure is ours. */
    struct session_stats *stats = (struct session_stats *)(uintptr_t)&s->stats;

    stats->outstanding = conn_outstanding(s->conn);
    stats->last_iov_base = conn_last_iov_base(s->conn);
    return stats;
}

/* ---- life ---- */

static bool config_usable(const struct session_config *config)
{
    bool chap = text_of(config->secret)[0] != '\0';
    bool mutual = text_of(config->target_secret)[0] != '\0';

    if (config->deferred == NULL || config->now_us == NULL || config->initiator_name[0] == '\0')
        return false;
    if (config->isid[0] != SESSION_ISID_RANDOM)
        return false;
    if (chap && config->address.user[0] == '\0')
        return false;
    if (mutual != (config->target_user[0] != '\0'))
        return false;
    return !mutual || (chap && strcmp(config->secret, config->target_secret) != 0);
}

struct session *session_create(const struct session_config *config)
{
    struct session *s;

    if (!config_usable(config)) {
        errno = EINVAL;
        return NULL;
    }
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->conn = conn_create(&conn_events, s, config->deferred);
    if (s->conn == NULL) {
        free(s);
        errno = ENOMEM;
        return NULL;
    }
    s->config = *config;
    if (s->config.login_timeout_ms == 0)
        s->config.login_timeout_ms = 5000;
    if (s->config.keepalive_ms == 0)
        s->config.keepalive_ms = 5000;
    if (s->config.backoff_max_ms == 0)
        s->config.backoff_max_ms = 1000;
    s->backoff_ms = BACKOFF_MIN_MS;
    s->backend.ops = &backend_ops;
    s->backend.deferred = config->deferred;
    s->deadline_us = s->redirects_end_us = NEVER;
    s->stats.since_us = now_us(s);
    s->stats.portal_group = -1;
    deferred_init(&s->turn, run_turn);
    deferred_init(&s->push, run_push);
    deferred_init(&s->down, run_down);
    return s;
}

void session_start(struct session *s)
{
    assert(s->backend.events != NULL);
    if (s->stats.state == SESSION_DOWN && !s->stopping)
        begin(s);
}

void session_stop(struct session *s)
{
    if (s->stopping)
        return;
    s->stopping = true;
    if (has_session(s) && !s->notes.failed && conn_logout(s->conn) == 0) {
        s->deadline_us = after_ms(s, LOGOUT_MS);
        log_text(s, LUN_LOG_DEBUG, "session: logging out");
        return;
    }
    finish_stop(s);
}

bool session_stopped(const struct session *s)
{
    return s->stopping && s->stats.state == SESSION_DOWN && !s->down.queued && !s->turn.queued;
}

void session_destroy(struct session *s)
{
    if (s == NULL)
        return;
    conn_close(s->conn);
    deferred_cancel(s->backend.deferred, &s->turn);
    deferred_cancel(s->backend.deferred, &s->push);
    deferred_cancel(s->backend.deferred, &s->down);
    conn_destroy(s->conn);
    free(s);
}

struct backend *session_backend(struct session *s)
{
    return &s->backend;
}
