/* SPDX-License-Identifier: BSD-2-Clause */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    const char *program;
    enum lun_log_level max_level;
    bool journal;
} log_state = {"lunstickd", LUN_LOG_INFO, false};

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

void log_init(const char *program, enum lun_log_level max_level)
{
    log_state.program = program;
    log_state.max_level = max_level;
    log_state.journal = stderr_is_journal();
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

void log_text(enum lun_log_level level, const char *text)
{
    char line[LOG_LINE_BYTES];
    if (level > log_state.max_level)
        return;
    size_t length = log_format(line, level, text, log_state.program, log_state.journal);
    /* A log that cannot be written has nowhere to say so. */
    if (write(STDERR_FILENO, line, length) < 0)
        return;
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
