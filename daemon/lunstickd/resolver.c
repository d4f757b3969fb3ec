/* SPDX-License-Identifier: BSD-2-Clause */
#include "resolver.h"

#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RESOLVE_SECONDS 5
#define ADDRESSES_MAX   64

/* ---- the process of one request ---- */

void resolver_look_up(char out[RESOLVER_TEXT_BYTES], const char *host, uint32_t attempt)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(host, NULL, &hints, &list);
    if (rc != 0 || !list) {
        (void)snprintf(out, RESOLVER_TEXT_BYTES, "-%s",
                       rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
        return;
    }
    uint32_t count = 1;
    for (const struct addrinfo *ai = list; ai->ai_next && count < ADDRESSES_MAX; ai = ai->ai_next)
        count++;
    const struct addrinfo *chosen = list;
    for (uint32_t skip = attempt % count; skip && chosen->ai_next; skip--)
        chosen = chosen->ai_next;
    char numeric[128];
    rc = getnameinfo(chosen->ai_addr, chosen->ai_addrlen, numeric, sizeof numeric, NULL, 0,
                     NI_NUMERICHOST);
    (void)snprintf(out, RESOLVER_TEXT_BYTES, "%c%s", rc == 0 ? '+' : '-',
                   rc == 0 ? numeric : gai_strerror(rc));
    freeaddrinfo(list);
}

static _Noreturn void helper_main(const struct resolver *r, int pipe_fd, const char *host,
                                  uint32_t attempt)
{
    char out[RESOLVER_TEXT_BYTES] = "-no rights could be dropped";
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)alarm(RESOLVE_SECONDS + 1);
    if (dup2(pipe_fd, 3) == 3) {
        sandbox_close_from(4);
        if (getuid() != 0 || sandbox_enter(r->uid, r->gid, NULL, false) == 0)
            resolver_look_up(out, host, attempt);
        if (write(3, out, strlen(out)) < 0)
            _exit(1);
    }
    _exit(0);
}

/* ---- the parent's side ---- */

static void finish(struct resolver *r, const char *numeric, const char *why)
{
    if (r->pid > 0)
        (void)kill(r->pid, SIGKILL);
    r->pid = 0;
    r->deadline_us = LOOP_NEVER;
    if (r->watch.fd >= 0)
        (void)close(r->watch.fd);
    r->watch.fd = -1;
    if (r->done && (numeric || why))
        r->done(r->ctx, numeric, why);
}

static void answer_ready(void *ctx, short revents)
{
    struct resolver *r = ctx;
    (void)revents;
    ssize_t n =
        read(r->watch.fd, r->answer + r->answer_bytes, RESOLVER_TEXT_BYTES - r->answer_bytes);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        r->answer_bytes += (size_t)n;
        if (r->answer_bytes < RESOLVER_TEXT_BYTES)
            return;
    }
    r->answer[r->answer_bytes] = 0;
    if (r->answer[0] == '+')
        finish(r, r->answer + 1, NULL);
    else
        finish(r, NULL, r->answer[0] == '-' ? r->answer + 1 : "the resolver ended unexpectedly");
}

int resolver_init(struct resolver *r, struct loop *loop, uid_t uid, gid_t gid)
{
    r->uid = uid;
    r->gid = gid;
    r->pid = 0;
    r->deadline_us = LOOP_NEVER;
    r->watch = (struct loop_watch){.fd = -1, .events = POLLIN, .ready = answer_ready, .ctx = r};
    return loop_add(loop, &r->watch);
}

void resolver_ask(struct resolver *r, const char *host, uint32_t attempt)
{
    int ends[2];
    resolver_cancel(r);
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
        finish(r, NULL, strerror(errno));
        return;
    }
    pid_t pid = fork();
    if (pid == 0)
        helper_main(r, ends[1], host, attempt);
    int error = errno;
    (void)close(ends[1]);
    r->watch.fd = ends[0];
    r->answer_bytes = 0;
    if (pid < 0) {
        finish(r, NULL, strerror(error));
        return;
    }
    r->pid = pid;
    r->deadline_us = loop_now_us() + RESOLVE_SECONDS * 1000000ULL;
}

void resolver_cancel(struct resolver *r)
{
    finish(r, NULL, NULL);
}

void resolver_died(struct resolver *r, pid_t pid)
{
    if (r->pid == pid)
        r->pid = 0;
}

void resolver_run_timeout(struct resolver *r)
{
    if (loop_now_us() >= r->deadline_us)
        finish(r, NULL, "no answer from the name server");
}
