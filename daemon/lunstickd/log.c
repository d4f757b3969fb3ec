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

/* Of one line (printk's LOG_LINE_MAX, less what it puts before it), and of a while. */
#define KERNEL_LINE_BYTES   900
#define KERNEL_WINDOW_LINES 10
#define KERNEL_WINDOW_US    6000000

static struct {
    const char *program;
    enum lun_log_level max_level;
    enum log_style style;
    bool socket;
    bool copied;   /* stdout gets errors and warnings, too */
    unsigned lost; /* lines, since one was written */
    uint64_t window_us;
    unsigned window_lines; /* to the kernel, since then */
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
    log_state.style = stderr_is_journal() ? LOG_JOURNAL : LOG_PLAIN;
    unblock_stderr();
}

/* Each process opens it for itself: the kernel counts the lines of an open file. */
static int open_kernel_log(void)
{
    int fd = open("/dev/kmsg", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = dup2(fd, STDERR_FILENO) < 0 ? -errno : 0;
    (void)close(fd);
    return rc;
}

int log_to_kernel(void)
{
    int rc = open_kernel_log();
    if (rc < 0)
        return rc;
    log_state.style = LOG_KERNEL;
    log_state.socket = false;
    log_state.copied = true;
    return 0;
}

size_t log_format(char line[LOG_LINE_BYTES], enum lun_log_level level, const char *text,
                  const char *program, enum log_style style)
{
    static const char *const words[] = {"error: ", "warning: ", "", "debug: "};
    static const char *const marks[] = {"<3>", "<4>", "<6>", "<7>"};
    const char *mark = style == LOG_PLAIN ? "" : marks[level];
    const char *word = style == LOG_JOURNAL ? "" : words[level];
    bool named = style != LOG_JOURNAL;
    size_t most = style == LOG_KERNEL ? KERNEL_LINE_BYTES : LOG_LINE_BYTES - 2;
    int n = snprintf(line, LOG_LINE_BYTES - 1, "%s%s%s%s%s", mark, named ? program : "",
                     named ? ": " : "", word, text);
    size_t length = n < 0 ? 0 : (size_t)n;
    if (length > most)
        length = most;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = '?';
    line[length++] = '\n';
    line[length] = 0;
    return length;
}

/* Of more than 10 lines in 5 s (DEFAULT_RATELIMIT_BURST, _INTERVAL) the kernel would
 * lose the rest, and not tell. */
static bool kernel_takes_it(void)
{
    uint64_t now_us = loop_now_us();
    if (now_us - log_state.window_us > KERNEL_WINDOW_US) {
        log_state.window_us = now_us;
        log_state.window_lines = 0;
    }
    return log_state.window_lines++ < KERNEL_WINDOW_LINES;
}

static void copy_line(enum lun_log_level level, const char *text)
{
    char line[LOG_LINE_BYTES];
    size_t length = log_format(line, level, text, log_state.program, LOG_PLAIN);
    log_state.copied = write(STDOUT_FILENO, line, length) >= 0;
}

static bool write_line(enum lun_log_level level, const char *text)
{
    char line[LOG_LINE_BYTES];
    size_t length = log_format(line, level, text, log_state.program, log_state.style);
    if (log_state.style == LOG_KERNEL && !kernel_takes_it())
        return false;
    ssize_t n = log_state.socket ? send(STDERR_FILENO, line, length, MSG_DONTWAIT | MSG_NOSIGNAL)
                                 : write(STDERR_FILENO, line, length);
    return n >= 0 || errno != EAGAIN;
}

/* Nothing is written while older lines are missing. */
static void write_in_order(enum lun_log_level level, const char *text)
{
    char lost[64];
    if (log_state.copied && level <= LUN_LOG_WARNING)
        copy_line(level, text);
    if (log_state.lost) {
        (void)snprintf(lost, sizeof lost, "%u lines of the log were lost", log_state.lost);
        if (write_line(LUN_LOG_WARNING, lost))
            log_state.lost = 0;
    }
    if (log_state.lost || !write_line(level, text))
        log_state.lost++;
}

static struct log_limit limit = {.say = NULL}; /* large: no part of the program file */

static struct log_limit *the_limit(void)
{
    if (!limit.say) {
        limit.say = write_in_order;
        limit.next_us = UINT64_MAX;
    }
    return &limit;
}

void log_text(enum lun_log_level level, const char *text)
{
    if (level > log_state.max_level)
        return;
    if (level == LUN_LOG_DEBUG)
        write_in_order(level, text);
    else
        log_limit_line(the_limit(), loop_now_us(), level, text);
}

uint64_t log_next_timeout_us(void)
{
    return the_limit()->next_us;
}

void log_run_timeouts(void)
{
    log_limit_run(the_limit(), loop_now_us());
}

void log_end(void)
{
    log_limit_flush(the_limit(), loop_now_us());
}

void log_forked(void)
{
    memset(limit.kinds, 0, sizeof limit.kinds);
    log_state.lost = log_state.window_lines = 0;
    if (log_state.style == LOG_KERNEL)
        (void)open_kernel_log();
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
