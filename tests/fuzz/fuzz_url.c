/* SPDX-License-Identifier: BSD-2-Clause */
/* Any text as a URL: refused with one line, or an address that stays the same
 * when it is formatted and parsed again. */
#include "initiator/address.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int good)
{
    if (!good)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct address address;
    struct address again;
    char why[ADDRESS_WHY_BYTES];
    char text[ADDRESS_TEXT_BYTES];
    char *url = malloc(size + 1);

    check(url != NULL);
    memcpy(url, data, size);
    url[size] = '\0';
    memset(&address, 0xa5, sizeof(address));
    memset(why, 0xa5, sizeof(why));
    if (!address_parse(url, &address, why)) {
        check(why[0] != '\0' && memchr(why, '\0', sizeof(why)) != NULL);
        check(strchr(why, '\n') == NULL);
    } else {
        check(address.port != 0 && address.lun >= 0 && address.lun <= 16383);
        address_format(&address, text, sizeof(text));
        check(strlen(text) < sizeof(text) - 1);
        check(address_parse(text, &again, why));
        check(memcmp(&address, &again, sizeof(address)) == 0);
    }
    free(url);
    return 0;
}
