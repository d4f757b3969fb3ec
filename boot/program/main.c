/* SPDX-License-Identifier: BSD-2-Clause */
#include "program.h"

#include "bridge/nearest.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct question {
    const char *name;
    int (*answer)(int argc, char **argv);
};

static const struct question questions[] = {
    {"words", boot_words},     {"image", boot_image},
    {"path", boot_path},       {"image-words", boot_image_words},
    {"modules", boot_modules}, {"device-tree", boot_device_tree},
};

#define QUESTIONS_COUNT (sizeof(questions) / sizeof(questions[0]))
#define OPTIONS_MAX     8

int boot_fail(int status, const char *format, ...)
{
    va_list args;

    fputs("lunstick-boot: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return status;
}

static int unknown(const char *what, const char *word, const char *const *names)
{
    size_t dashes = strspn(word, "-");
    const char *nearest = nearest_word(word + dashes, names);

    return boot_fail(BOOT_WRONG, "unknown %s \"%s\"; did you mean %.*s%s?", what, word, (int)dashes,
                     word, nearest ? nearest : names[0]);
}

bool boot_options(int argc, char **argv, const struct boot_option *options)
{
    const char *names[OPTIONS_MAX + 1] = {NULL};

    for (int i = 1; i < argc; i += 2) {
        unsigned n = 0;
        for (; n < OPTIONS_MAX && options[n].name; n++) {
            names[n] = options[n].name;
            if (!strncmp(argv[i], "--", 2) && !strcmp(argv[i] + 2, names[n]))
                break;
        }
        if (n == OPTIONS_MAX || !options[n].name) {
            unknown("option", argv[i], names);
            return false;
        }
        if (i + 1 == argc) {
            boot_fail(BOOT_WRONG, "a value is missing after %s", argv[i]);
            return false;
        }
        *options[n].value = argv[i + 1];
    }
    return true;
}

int main(int argc, char **argv)
{
    const char *names[QUESTIONS_COUNT + 1] = {NULL};

    for (unsigned i = 0; i < QUESTIONS_COUNT; i++) {
        names[i] = questions[i].name;
        if (argc < 2 || strcmp(argv[1], names[i]) != 0)
            continue;
        int status = questions[i].answer(argc - 1, argv + 1);
        if (status == BOOT_OK && (fflush(stdout) || ferror(stdout)))
            return boot_fail(BOOT_TRANSIENT, "the output: %s", strerror(errno));
        return status;
    }
    return unknown("question", argc > 1 ? argv[1] : "", names);
}
