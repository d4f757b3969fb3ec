/* SPDX-License-Identifier: BSD-2-Clause */
/* Any text as the configuration file: an answer, never a crash, and a
 * configuration that was taken stays within its own rules. */
#include "daemon/lunstickd/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libconfig's scanner forgets its buffer when a string does not end. The daemon
 * reads one file and exits on such an error. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libconfig";
}

static void check(const struct daemon_config *config)
{
    if (config->lun_count < 1 || config->lun_count > BOT_LUNS_MAX)
        abort();
    if (!config_name_valid(config->name) || strlen(config->serial) < 12)
        abort();
    if (config->segment_bytes % 4096 || config->segment_bytes > POOL_SLICE_BYTES)
        abort();
    for (unsigned i = 0; i < config->lun_count; i++) {
        if (!config->luns[i].address.host[0])
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct daemon_config config;
    static char why[CONFIG_WHY_BYTES];
    char *text = malloc(size + 1);

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    daemon_config_init(&config);
    if (!daemon_config_read_text(&config, text, "fuzz.conf", why)) {
        if (!why[0])
            abort();
    } else if (daemon_config_finish(&config, why)) {
        check(&config);
    }
    free(text);
    return 0;
}
