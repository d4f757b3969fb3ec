/* SPDX-License-Identifier: BSD-2-Clause */
#include "config_txt.h"

#include "boot/image_config_txt.h"

#include <stdio.h>
#include <string.h>

/* The overlay and, behind commas, its parameters. */
static bool is_dwc2(struct text_span value)
{
    static const char name[] = "dwc2";
    size_t bytes = strlen(name);

    return text_starts(value, name) &&
           (value.bytes == bytes || strchr(", \t#", value.text[bytes]) != NULL);
}

static bool is_host(struct text_span value)
{
    return memmem(value.text, value.bytes, "dr_mode=host", strlen("dr_mode=host")) != NULL;
}

enum config_txt_verdict config_txt_check(const char *text, const char *model)
{
    enum config_txt_verdict verdict = CONFIG_TXT_MISSING;
    struct config_txt_board board = {.revision = 0};
    struct config_txt_setting setting;
    struct config_txt c;
    bool otg_mode = false;

    snprintf(board.model, sizeof(board.model), "%s", model);
    config_txt_begin(&c, &board, text);
    while (config_txt_next(&c, &setting)) {
        if (text_is(setting.key, "dtoverlay") && is_dwc2(setting.value))
            verdict = is_host(setting.value) ? CONFIG_TXT_AS_HOST : CONFIG_TXT_GOOD;
        else if (text_is(setting.key, "otg_mode"))
            otg_mode = text_starts(setting.value, "1");
    }
    return verdict == CONFIG_TXT_GOOD && otg_mode ? CONFIG_TXT_OTG_MODE : verdict;
}
