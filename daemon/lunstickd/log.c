/* SPDX-License-Identifier: BSD-2-Clause */
#include "log.h"

#include "log_limit.h"
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    const char *program;
    enum lun_log_level max_level;
    bool journal, socket;
    unsigned lost; /* lines, since one was written */
} log_state = {.program = "lunstickd", .max_level = LUN_LOG_INFO};

/* systemd.exec(5): JOURNAL_STREAM is "device:inode" of the stream that was
 * connected; a stderr that was redirected since is another one. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat st;
    char mine[64];
    if (!stream || fstat(STDERR_FILENO, &st) < 0)
        return false;
    (void)snprintf(mine, sizeof mine, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    return strcmp(stream, mine) == 0;
}

/* Nobody waits for a reader who sleeps or a terminal that was stopped: pipes
 * and terminals are opened anew, because O_NONBLOCK on the description that was
 * inherited would be everybody's who has it. */
static void unblock_stderr(void)
{
    struct stat st;
    if (fstat(STDERR_FILENO, &st) < 0)
        return;
    log_state.socket = S_ISSOCK(st.st_mode);
    if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
        return;
    int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)dup2(fd, STDERR_FILENO);
    (void)close(fd);
}

void log_init(const char *program, enum lun_log_level max_level)
{
    log_state.program = program;
    log_state.max_level = max_level;
    log_state.journal = stderr_is_journal();
    unblock_stderr();
}

size_t log_format(char line[LOG_LINE_BYTES], enum lun_log_level level, const char *text,
                  const char *program, bool journal)
{
    static const char *const words[] = {"error: ", "warning: ", "", "debug: "};
    static const char *const marks[] = {"<3>", "<4>", "<6>", "<7>"};
    int n = journal ? snprintf(line, LOG_LINE_BYTES - 1, "%s%s", marks[level], text)
                    : snprintf(line, LOG_LINE_BYTES - 1, "%s: %s%s", program, words[level], text);
    size_t length = n < 0 ? 0 : (size_t)n;
    if (length > LOG_LINE_BYTES - 2)
        length = LOG_LINE_BYTES - 2;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = '?';
    line[length++] = '\n';
    line[length] = 0;
    return length;
}

static bool write_line(enum lun_log_level level, const char *text)
{
    char line[LOG_LINE_BYTES];
    size_t length = log_format(line, level, text, log_state.program, log_state.journal);
    ssize_t n = log_state.socket ? send(STDERR_FILENO, line, length, MSG_DONTWAIT | MSG_NOSIGNAL)
                                 : write(STDERR_FILENO, line, length);
    return n >= 0 || errno != EAGAIN;
}

/* Nothing is written while older lines are missing. */
static void write_in_order(enum lun_log_level level, const char *text)
{
    char lost[64];
    if (log_state.lost) {
        (void)snprintf(lost, sizeof lost, "%u lines of the log were lost", log_state.lost);
        if (write_line(LUN_LOG_WARNING, lost))
            log_state.lost = 0;
    }
    if (log_state.lost || !write_line(level, text))
        log_state.lost++;
}

static struct log_limit limit = {.say = write_in_order, .next_us = UINT64_MAX};

void log_text(enum lun_log_level level, const char *text)
{
    if (level > log_state.max_level)
        return;
    if (level == LUN_LOG_DEBUG)
        write_in_order(level, text);
    else
        log_limit_line(&limit, loop_now_us(), level, text);
}

uint64_t log_next_timeout_us(void)
{
    return limit.next_us;
}

void log_run_timeouts(void)
{
    log_limit_run(&limit, loop_now_us());
}

void log_end(void)
{
    log_limit_flush(&limit, loop_now_us());
}

void log_forked(void)
{
    memset(limit.kinds, 0, sizeof limit.kinds);
}

void log_printf(enum lun_log_level level, const char *format, ...)
{
    char text[LOG_LINE_BYTES];
    va_list args;
    if (level > log_state.max_level)
        return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_text(level, text);
}
