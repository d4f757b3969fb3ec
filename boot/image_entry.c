/* SPDX-License-Identifier: BSD-2-Clause */
#include "image_entry.h"

#include "image_text.h"
#include "image_version.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

static const char suffix[] = ".conf";

/* NAME+LEFT.conf, NAME+LEFT-DONE.conf: cuts the counters off; true: none is left. */
static bool cut_counters(char *id)
{
    char *plus = strrchr(id, '+');
    size_t left;
    size_t done;

    if (!plus)
        return false;
    left = strspn(plus + 1, "0123456789");
    done = plus[1 + left] == '-' ? strspn(plus + left + 2, "0123456789") : 0;
    if (left == 0 || plus[1 + left + (done > 0 ? done + 1 : 0)] != '\0')
        return false;
    *plus = '\0';
    return strspn(plus + 1, "0") == left;
}

static bool read_name(const char *file, struct entry *entry)
{
    size_t bytes = strlen(file);

    if (bytes <= strlen(suffix) || bytes >= sizeof(entry->file) ||
        strcmp(file + bytes - strlen(suffix), suffix) != 0)
        return false;
    memcpy(entry->file, file, bytes);
    memcpy(entry->id, file, bytes - strlen(suffix));
    entry->bad = cut_counters(entry->id);
    return true;
}

static void add_options(struct entry *entry, struct text_span rest)
{
    size_t used = strlen(entry->options);

    while (rest.bytes > 0) {
        struct text_span word = text_word(&rest);
        if (word.text[0] == '$')
            continue;
        if (used + (used > 0) + word.bytes + 1 > sizeof(entry->options)) {
            entry->too_long = true;
            entry->options[0] = '\0';
            return;
        }
        if (used > 0)
            entry->options[used++] = ' ';
        memcpy(entry->options + used, word.text, word.bytes);
        used += word.bytes;
    }
}

bool entry_read(const char *file, const char *text, struct entry *entry)
{
    struct text_span rest;

    memset(entry, 0, sizeof(*entry));
    if (!read_name(file, entry))
        return false;
    while (text_line(&text, &rest)) {
        struct text_span key = text_word(&rest);
        bool fits = true;
        if (text_is(key, "linux"))
            fits = text_copy(rest, entry->kernel, sizeof(entry->kernel));
        else if (text_is(key, "version"))
            fits = text_copy(rest, entry->version, sizeof(entry->version));
        else if (text_is(key, "sort-key"))
            fits = text_copy(rest, entry->sort_key, sizeof(entry->sort_key));
        else if (text_is(key, "machine-id"))
            fits = text_copy(rest, entry->machine_id, sizeof(entry->machine_id));
        else if (text_is(key, "options") && !entry->too_long)
            add_options(entry, rest);
        else if (text_is(key, "architecture") && !text_is_any_case(rest, "aa64"))
            return false;
        entry->too_long = entry->too_long || !fits;
    }
    return entry->kernel[0] != '\0' || entry->too_long;
}

int entry_order(const struct entry *a, const struct entry *b)
{
    int order = a->bad - b->bad;

    if (order == 0)
        order = (b->sort_key[0] != '\0') - (a->sort_key[0] != '\0');
    if (order == 0 && a->sort_key[0]) {
        order = strcmp(a->sort_key, b->sort_key);
        if (order == 0)
            order = strcmp(a->machine_id, b->machine_id);
        if (order == 0)
            order = image_version_compare(b->version, a->version);
    }
    return order != 0 ? order : image_version_compare(b->id, a->id);
}

bool entry_default(const char *loader_conf, char pattern[ENTRY_NAME_BYTES])
{
    struct text_span rest;

    pattern[0] = '\0';
    while (text_line(&loader_conf, &rest)) {
        struct text_span key = text_word(&rest);
        if (text_is(key, "default"))
            text_copy(rest, pattern, ENTRY_NAME_BYTES);
    }
    return pattern[0] != '\0' && pattern[0] != '@';
}

bool entry_matches(const struct entry *entry, const char *pattern)
{
    char name[ENTRY_NAME_BYTES + sizeof(suffix)];

    snprintf(name, sizeof(name), "%s%s", entry->id, suffix);
    return fnmatch(pattern, entry->id, 0) == 0 || fnmatch(pattern, name, 0) == 0 ||
           fnmatch(pattern, entry->file, 0) == 0;
}
