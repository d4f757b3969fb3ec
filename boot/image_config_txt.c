/* SPDX-License-Identifier: BSD-2-Clause */
#include "image_config_txt.h"

#include <stdio.h>
#include <string.h>

#define LINE_CHARACTERS 98

enum filter { MODEL, SERIAL, EXPRESSION, MONITOR, PIN, TRYBOOT, FILTERS };

_Static_assert((int)FILTERS == CONFIG_TXT_FILTERS, "one flag for each type");

/* ---- boards ---- */

/* What follows "Raspberry Pi " in the device tree's model, longer names before
 * those that they begin with, and the filters that such a board sees. Both the
 * firmware's names (Plus) and the kernel's (+). */
static const struct model {
    const char *name;
    const char *sees[4];
} models[] = {
    {"Compute Module 5", {"pi5", "cm5"}},
    {"Compute Module 4S", {"pi4", "cm4s"}},
    {"Compute Module 4", {"pi4", "cm4"}},
    {"Compute Module 3 Plus", {"pi3", "pi3+", "cm3+"}},
    {"Compute Module 3+", {"pi3", "pi3+", "cm3+"}},
    {"Compute Module 3", {"pi3", "cm3"}},
    {"Compute Module 0", {"pi0", "pi0w", "pi02", "cm0"}},
    {"Compute Module", {"pi1", "cm1"}},
    {"500", {"pi5", "pi500"}},
    {"5", {"pi5"}},
    {"400", {"pi4", "pi400"}},
    {"4", {"pi4"}},
    {"3 Model A", {"pi3", "pi3+"}},
    {"3 Model B Plus", {"pi3", "pi3+"}},
    {"3 Model B+", {"pi3", "pi3+"}},
    {"3", {"pi3"}},
    {"2", {"pi2"}},
    {"Zero 2", {"pi0", "pi0w", "pi02"}},
    {"Zero W", {"pi0", "pi0w"}},
    {"Zero", {"pi0"}},
    {"Model", {"pi1"}},
};

static const struct model *find_model(const char *text)
{
    static const char maker[] = "Raspberry Pi ";

    if (strncmp(text, maker, strlen(maker)) != 0)
        return NULL;
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
        if (strncmp(text + strlen(maker), models[i].name, strlen(models[i].name)) == 0)
            return &models[i];
    return NULL;
}

static bool sees(const struct config_txt_board *board, struct text_span name)
{
    const struct model *model = find_model(board->model);

    for (size_t i = 0; model && i < 4 && model->sees[i]; i++)
        if (text_is_any_case(name, model->sees[i]))
            return true;
    return false;
}

bool config_txt_board_sees(const struct config_txt_board *board, const char *name)
{
    return sees(board, (struct text_span){name, strlen(name)});
}

/* ---- filters ---- */

/* [name=value]: the value as a number. */
static bool asks_number(struct text_span section, const char *name, unsigned long *number)
{
    size_t bytes = strlen(name);

    return section.bytes > bytes && text_starts(section, name) && section.text[bytes] == '=' &&
           text_number((struct text_span){section.text + bytes + 1, section.bytes - bytes - 1},
                       number);
}

/* Revision codes of the new style (bit 23) have the type of the board in 8 bits. */
static bool is_board_type(const struct config_txt_board *board, unsigned long type)
{
    return board->revision >> 23 & 1 && (board->revision >> 4 & 0xff) == type;
}

static void filter(struct config_txt *c, struct text_span section)
{
    static const char *const expressions[] = {"boot_partition", "partition", "boot_count",
                                              "boot_arg1",      "bootvar0",  "cust_otp"};
    const struct config_txt_board *board = c->board;
    unsigned long number;

    if (text_is_any_case(section, "all")) {
        memset(c->out, 0, sizeof(c->out));
        return;
    }
    if (text_starts(section, "HDMI:"))
        return;
    if (text_starts(section, "EDID=")) {
        c->out[MONITOR] = true;
    } else if (text_starts(section, "gpio")) {
        c->out[PIN] = true;
    } else if (text_is(section, "tryboot")) {
        c->out[TRYBOOT] = true;
    } else if (text_starts(section, "0x")) {
        c->out[SERIAL] = board->serial == 0 || !text_number(section, &number) ||
                         number != (board->serial & UINT32_MAX);
    } else if (asks_number(section, "board-type", &number)) {
        c->out[MODEL] = !is_board_type(board, number);
    } else if (asks_number(section, "boot_partition", &number)) {
        c->out[EXPRESSION] = board->boot_partition == 0 || number != board->boot_partition;
    } else {
        for (size_t i = 0; i < sizeof(expressions) / sizeof(expressions[0]); i++) {
            if (text_starts(section, expressions[i])) {
                c->out[EXPRESSION] = true;
                return;
            }
        }
        c->out[MODEL] = !sees(board, section);
    }
}

/* ---- lines ---- */

void config_txt_begin(struct config_txt *c, const struct config_txt_board *board, const char *text)
{
    memset(c, 0, sizeof(*c));
    c->board = board;
    c->texts[0] = text;
    c->depth = 1;
}

bool config_txt_include(struct config_txt *c, const char *text)
{
    if (c->depth == CONFIG_TXT_DEPTH)
        return false;
    c->texts[c->depth++] = text;
    return true;
}

static bool next_line(struct config_txt *c, struct text_span *line)
{
    for (; c->depth > 0; c->depth--)
        if (text_line(&c->texts[c->depth - 1], line))
            return true;
    return false;
}

static bool applies(const struct config_txt *c)
{
    for (unsigned i = 0; i < CONFIG_TXT_FILTERS; i++)
        if (c->out[i])
            return false;
    return true;
}

/* A blank before the `=` makes it no setting. */
static bool split(struct text_span line, struct config_txt_setting *setting)
{
    struct text_span rest = line;
    struct text_span word = text_word(&rest);
    const char *equals = memchr(word.text, '=', word.bytes);

    if (equals) {
        setting->key = (struct text_span){word.text, (size_t)(equals - word.text)};
        setting->value =
            (struct text_span){equals + 1, (size_t)(line.text + line.bytes - equals - 1)};
    } else {
        setting->key = word;
        setting->value = rest;
    }
    return setting->key.bytes > 0 && (equals || (rest.bytes > 0 && rest.text[0] != '='));
}

/* What stands in brackets; several may stand in one line: "[pi4][gpio4=1]". */
static void read_sections(struct config_txt *c, struct text_span line)
{
    while (line.bytes > 0 && line.text[0] == '[') {
        const char *end = memchr(line.text, ']', line.bytes);
        size_t bytes = end ? (size_t)(end - line.text) : line.bytes;

        filter(c, (struct text_span){line.text + 1, bytes - 1});
        line.text += bytes + (end != NULL);
        line.bytes -= bytes + (end != NULL);
    }
}

bool config_txt_next(struct config_txt *c, struct config_txt_setting *setting)
{
    struct text_span line;

    while (next_line(c, &line)) {
        if (line.bytes > LINE_CHARACTERS)
            line.bytes = LINE_CHARACTERS;
        if (line.bytes == 0 || line.text[0] == '#')
            continue;
        if (line.text[0] == '[')
            read_sections(c, line);
        else if (applies(c) && split(line, setting))
            return true;
    }
    return false;
}

/* ---- what to boot ---- */

void config_txt_apply(struct config_txt_boot *boot, const struct config_txt_setting *setting)
{
    struct text_span key = setting->key;
    struct text_span value = setting->value;
    unsigned long number = 0;
    bool is_number = text_number(value, &number);

    if (text_is(key, "kernel"))
        text_copy(value, boot->kernel, sizeof(boot->kernel));
    else if (text_is(key, "cmdline"))
        text_copy(value, boot->cmdline, sizeof(boot->cmdline));
    else if (text_is(key, "device_tree"))
        text_copy(value, boot->device_tree, sizeof(boot->device_tree));
    else if (text_is(key, "os_prefix"))
        text_copy(value, boot->os_prefix, sizeof(boot->os_prefix));
    else if (text_is(key, "upstream_kernel") && is_number)
        boot->upstream_kernel = number != 0;
    else if (text_is(key, "arm_64bit") && is_number)
        boot->says_32bit = number == 0;
}
