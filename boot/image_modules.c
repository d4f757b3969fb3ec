/* SPDX-License-Identifier: BSD-2-Clause */
#include "image_modules.h"

#include <fnmatch.h>
#include <string.h>

#define WORD_BYTES  256
#define DEPTH_LIMIT 8 /* of soft dependencies */

/* Where there is nothing that root could depend on, and much of it. */
static const char *const unneeded[] = {
    "kernel/sound/",           "kernel/drivers/gpu/",          "kernel/drivers/media/",
    "kernel/drivers/staging/", "kernel/drivers/net/wireless/", "kernel/drivers/bluetooth/",
    "kernel/net/bluetooth/",   "kernel/net/wireless/",         "kernel/net/mac80211/",
    "kernel/drivers/iio/",     "kernel/drivers/video/",        "kernel/drivers/accel/",
};

static enum image_modules_answer take(struct image_modules *m, struct text_span word, bool device,
                                      unsigned depth);

/* A name as the kernel has it: `-` is `_`, without directory and .ko. */
static struct text_span name_of(struct text_span path)
{
    struct text_span name = path;

    for (size_t i = 0; i < path.bytes; i++)
        if (path.text[i] == '/')
            name = (struct text_span){path.text + i + 1, path.bytes - i - 1};
    for (size_t i = 0; i + 3 <= name.bytes; i++)
        if (memcmp(name.text + i, ".ko", 3) == 0 &&
            (i + 3 == name.bytes || name.text[i + 3] == '.'))
            name.bytes = i;
    return name;
}

static bool same_name(struct text_span a, struct text_span b)
{
    if (a.bytes != b.bytes)
        return false;
    for (size_t i = 0; i < a.bytes; i++) {
        char from = a.text[i] == '-' ? '_' : a.text[i];
        char to = b.text[i] == '-' ? '_' : b.text[i];
        if (from != to)
            return false;
    }
    return true;
}

/* A pattern of modules.alias, or what it is held against: `-` is `_`, but not in
 * brackets, which only patterns have. */
static bool normal(struct text_span span, bool pattern, char out[WORD_BYTES])
{
    bool in_brackets = false;

    if (!text_copy(span, out, WORD_BYTES))
        return false;
    for (char *c = out; *c != '\0'; c++) {
        in_brackets = pattern && (*c == '[' || (in_brackets && *c != ']'));
        if (*c == '-' && !in_brackets)
            *c = '_';
    }
    return true;
}

/* The longest part of a pattern that stands for itself alone. */
static struct text_span longest_plain(struct text_span pattern)
{
    struct text_span longest = {pattern.text, 0};
    size_t from = 0;

    for (size_t i = 0; i <= pattern.bytes; i++) {
        if (i < pattern.bytes && !strchr("*?[\\-_", pattern.text[i]))
            continue;
        if (i - from > longest.bytes)
            longest = (struct text_span){pattern.text + from, i - from};
        if (i < pattern.bytes && pattern.text[i] == '[')
            while (i < pattern.bytes && pattern.text[i] != ']')
                i++;
        from = i + 1;
    }
    return longest;
}

/* `plain` of the pattern tells quickly that it does not, as nearly all do not. */
static bool matches(struct text_span pattern, struct text_span plain, const char *word)
{
    char text[WORD_BYTES];

    return memmem(word, strlen(word), plain.text, plain.bytes) && normal(pattern, true, text) &&
           fnmatch(text, word, 0) == 0;
}

/* ---- taking ---- */

static bool is_taken(const struct image_modules *m, struct text_span path)
{
    for (unsigned i = 0; i < m->count; i++)
        if (m->taken[i].bytes == path.bytes && memcmp(m->taken[i].text, path.text, path.bytes) == 0)
            return true;
    return false;
}

/* "softdep NAME pre: A B post: C" */
static void take_soft_dependencies(struct image_modules *m, struct text_span name, unsigned depth)
{
    const char *at = m->softdep;
    struct text_span line;

    while (depth < DEPTH_LIMIT && text_line(&at, &line)) {
        if (!text_is(text_word(&line), "softdep") || !same_name(text_word(&line), name))
            continue;
        while (line.bytes > 0) {
            struct text_span word = text_word(&line);
            if (word.text[word.bytes - 1] != ':')
                take(m, word, false, depth + 1);
        }
    }
}

/* What leads out of the directory is none of its modules. */
static void take_path(struct image_modules *m, struct text_span path, unsigned depth)
{
    if (is_taken(m, path) || memmem(path.text, path.bytes, "..", 2))
        return;
    if (m->count == IMAGE_MODULES_MAX) {
        m->full = true;
        return;
    }
    m->taken[m->count++] = path;
    take_soft_dependencies(m, name_of(path), depth);
}

static bool is_unneeded(struct text_span path)
{
    for (size_t i = 0; i < sizeof(unneeded) / sizeof(unneeded[0]); i++)
        if (text_starts(path, unneeded[i]))
            return true;
    return false;
}

/* Its line in modules.dep has all that it depends on. False: there is none. */
static bool take_name(struct image_modules *m, struct text_span name, bool device, unsigned depth)
{
    const char *at = m->dep;
    struct text_span line;

    while (text_line(&at, &line)) {
        struct text_span path = text_word(&line);
        if (path.bytes == 0 || path.text[path.bytes - 1] != ':')
            continue;
        path.bytes--;
        if (!same_name(name_of(path), name))
            continue;
        if (device && is_unneeded(path))
            return true;
        take_path(m, path, depth);
        while (line.bytes > 0)
            take_path(m, text_word(&line), depth);
        return true;
    }
    return false;
}

static bool is_builtin(const struct image_modules *m, struct text_span name)
{
    const char *at = m->builtin;
    struct text_span line;

    while (text_line(&at, &line))
        if (same_name(name_of(line), name))
            return true;
    return false;
}

static bool take_alias(struct image_modules *m, const char *word, bool device, unsigned depth)
{
    bool found = false;

    for (size_t i = 0; i < m->aliases_count; i++)
        if (matches(m->aliases[i].pattern, m->aliases[i].plain, word) &&
            take_name(m, m->aliases[i].name, device, depth))
            found = true;
    return found;
}

/* "alias PATTERN NAME" */
size_t image_modules_index(const char *text, struct image_modules_alias *aliases, size_t room)
{
    struct text_span line;
    size_t count = 0;

    while (text_line(&text, &line)) {
        if (!text_is(text_word(&line), "alias"))
            continue;
        if (count < room) {
            aliases[count].pattern = text_word(&line);
            aliases[count].name = text_word(&line);
            aliases[count].plain = longest_plain(aliases[count].pattern);
        }
        count++;
    }
    return count;
}

/* "NAME.alias=PATTERN" */
static bool is_builtin_alias(const struct image_modules *m, const char *word)
{
    static const char key[] = ".alias=";
    const char *at = m->builtin_info;
    struct text_span line;

    while (text_line(&at, &line)) {
        const char *equals = memmem(line.text, line.bytes, key, strlen(key));
        struct text_span pattern;
        if (!equals)
            continue;
        pattern.text = equals + strlen(key);
        pattern.bytes = (size_t)(line.text + line.bytes - pattern.text);
        if (matches(pattern, longest_plain(pattern), word))
            return true;
    }
    return false;
}

static enum image_modules_answer take(struct image_modules *m, struct text_span word, bool device,
                                      unsigned depth)
{
    char text[WORD_BYTES];

    if (word.bytes == 0 || !normal(word, false, text))
        return IMAGE_MODULES_MISSING;
    if (take_name(m, word, device, depth))
        return IMAGE_MODULES_TAKEN;
    if (is_builtin(m, word))
        return IMAGE_MODULES_BUILTIN;
    if (take_alias(m, text, device, depth))
        return IMAGE_MODULES_TAKEN;
    if (is_builtin_alias(m, text))
        return IMAGE_MODULES_BUILTIN;
    /* a name has no colon */
    return m->builtin_info[0] == '\0' && strchr(text, ':') ? IMAGE_MODULES_BUILTIN
                                                           : IMAGE_MODULES_MISSING;
}

enum image_modules_answer image_modules_take(struct image_modules *m, const char *word)
{
    return take(m, (struct text_span){word, strlen(word)}, false, 0);
}

enum image_modules_answer image_modules_take_device(struct image_modules *m, const char *modalias)
{
    return take(m, (struct text_span){modalias, strlen(modalias)}, true, 0);
}
