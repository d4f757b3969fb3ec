/* SPDX-License-Identifier: BSD-2-Clause */
#include "config_txt.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define LINE_BYTES 128 /* the firmware's own limit is 98 characters */

/* A section's name, and what a model's text must contain (any of them). */
static const struct section {
    const char *name;
    const char *models[5];
} sections[] = {
    {"pi0", {"Pi Zero"}},
    {"pi0w", {"Pi Zero W"}},
    {"pi02", {"Pi Zero 2"}},
    {"pi3", {"Pi 3", "Compute Module 3"}},
    {"pi3+", {"Pi 3 Model B Plus", "Pi 3 Model A Plus", "Compute Module 3 Plus"}},
    {"pi4", {"Pi 4", "Pi 400", "Compute Module 4"}},
    {"pi400", {"Pi 400"}},
    {"cm4", {"Compute Module 4 Rev"}},
    {"cm4s", {"Compute Module 4S"}},
    {"pi5", {"Pi 5", "Compute Module 5"}}, /* "Pi 5" is in "Pi 500", too */
    {"pi500", {"Pi 500"}},
    {"cm5", {"Compute Module 5"}},
};

static bool section_applies(const char *name, const char *model)
{
    if (!strcmp(name, "all"))
        return true;
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        if (strcmp(sections[i].name, name) != 0)
            continue;
        for (size_t m = 0; m < 5 && sections[i].models[m]; m++) {
            if (strstr(model, sections[i].models[m]))
                return true;
        }
    }
    return false;
}

/* The next line without blanks around; NULL at the end. */
static const char *next_line(const char *text, char line[LINE_BYTES])
{
    size_t length = strcspn(text, "\n");
    size_t from = strspn(text, " \t");
    size_t to = length;

    if (!*text)
        return NULL;
    if (from > length)
        from = length;
    while (to > from && strchr(" \t\r", text[to - 1]))
        to--;
    snprintf(line, LINE_BYTES, "%.*s", (int)(to - from < LINE_BYTES ? to - from : LINE_BYTES - 1),
             text + from);
    return text + length + (text[length] == '\n');
}

/* The overlay and, behind commas, its parameters. */
static bool is_dwc2(const char *line)
{
    static const char key[] = "dtoverlay=dwc2";
    size_t length = sizeof(key) - 1;

    return !strncmp(line, key, length) && (!line[length] || strchr(", \t#", line[length]));
}

enum config_txt_verdict config_txt_check(const char *text, const char *model)
{
    enum config_txt_verdict verdict = CONFIG_TXT_MISSING;
    bool applies = true, otg_mode = false;
    char line[LINE_BYTES];

    while ((text = next_line(text, line)) != NULL) {
        if (line[0] == '[') {
            line[strcspn(line, "]")] = 0;
            applies = section_applies(line + 1, model);
        } else if (applies && is_dwc2(line)) {
            verdict = strstr(line, "dr_mode=host") ? CONFIG_TXT_AS_HOST : CONFIG_TXT_GOOD;
        } else if (applies && !strncmp(line, "otg_mode=", 9)) {
            otg_mode = line[9] == '1';
        }
    }
    return verdict == CONFIG_TXT_GOOD && otg_mode ? CONFIG_TXT_OTG_MODE : verdict;
}
