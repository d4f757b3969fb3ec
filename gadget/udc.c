/* SPDX-License-Identifier: BSD-2-Clause */
#include "udc.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UDC_PATH_BYTES 512

/* Appends, cut to what fits. */
static void append(char *text, size_t size, const char *format, const char *a, const char *b)
{
    size_t used = strlen(text);

    (void)snprintf(text + used, size - used, format, a, b);
}

/* First line of DIR/NAME/ATTRIBUTE; false if it is empty or cannot be read. */
static bool read_attribute(const char *dir, const char *name, const char *attribute, char *text,
                           size_t size)
{
    char path[UDC_PATH_BYTES];

    text[0] = '\0';
    if ((size_t)snprintf(path, sizeof(path), "%s/%s/%s", dir, name, attribute) >= sizeof(path))
        return false;
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    if (!fgets(text, (int)size, file))
        text[0] = '\0';
    (void)fclose(file);
    text[strcspn(text, "\n")] = '\0';
    return text[0] != '\0';
}

static int not_hidden(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Names in a directory, sorted; 0 if it does not exist. Free with free_names(). */
static int list_names(const char *dir, struct dirent ***names)
{
    int count = scandir(dir, names, not_hidden, alphasort);

    if (count < 0)
        *names = NULL;
    return count < 0 ? 0 : count;
}

static void free_names(struct dirent **names, int count)
{
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

bool udc_holder(const struct udc_places *where, const char *udc, char *holder, size_t size)
{
    struct dirent **gadgets;
    char text[UDC_NAME_BYTES];
    bool held = false;

    holder[0] = '\0';
    int count = list_names(where->gadgets, &gadgets);
    for (int i = 0; i < count && !held; i++) {
        const char *name = gadgets[i]->d_name;
        held = read_attribute(where->gadgets, name, "UDC", text, sizeof(text)) &&
               strcmp(text, udc) == 0;
        if (held)
            append(holder, size, "%s %s", "gadget", name);
    }
    free_names(gadgets, count);
    /* g_mass_storage and other drivers that are no configfs gadgets */
    if (!held && read_attribute(where->udc_class, udc, "function", text, sizeof(text))) {
        held = true;
        append(holder, size, "%s %s", "driver", text);
    }
    return held;
}

static enum gadget_error choose_named(const struct udc_places *where, const char *wanted,
                                      struct dirent **names, int count, char why[GADGET_WHY_BYTES])
{
    char holder[128];

    for (int i = 0; i < count; i++) {
        if (strcmp(names[i]->d_name, wanted) != 0)
            continue;
        if (!udc_holder(where, wanted, holder, sizeof(holder)))
            return GADGET_OK;
        (void)snprintf(why, GADGET_WHY_BYTES, "the UDC %s is in use by the %s", wanted, holder);
        return GADGET_UDC_BUSY;
    }
    (void)snprintf(why, GADGET_WHY_BYTES, "there is no UDC %.*s; there is", UDC_NAME_BYTES, wanted);
    for (int i = 0; i < count; i++)
        append(why, GADGET_WHY_BYTES, "%s %s", i ? "," : "", names[i]->d_name);
    return GADGET_UDC_UNKNOWN;
}

static enum gadget_error choose_free(const struct udc_places *where, struct dirent **names,
                                     int count, char udc[UDC_NAME_BYTES],
                                     char why[GADGET_WHY_BYTES])
{
    char holder[128];

    (void)snprintf(why, GADGET_WHY_BYTES, "every UDC is in use:");
    for (int i = 0; i < count; i++) {
        const char *name = names[i]->d_name;
        if (!udc_holder(where, name, holder, sizeof(holder))) {
            (void)snprintf(udc, UDC_NAME_BYTES, "%.*s", UDC_NAME_BYTES - 1, name);
            return GADGET_OK;
        }
        append(why, GADGET_WHY_BYTES, i ? ", %s by the %s" : " %s by the %s", name, holder);
    }
    return GADGET_UDC_BUSY;
}

enum gadget_error udc_choose(const struct udc_places *where, const char *wanted,
                             char udc[UDC_NAME_BYTES], char why[GADGET_WHY_BYTES])
{
    struct dirent **names;
    int count = list_names(where->udc_class, &names);
    enum gadget_error error;

    if (count == 0) {
        (void)snprintf(why, GADGET_WHY_BYTES,
                       "there is no USB device controller in %s; on a Raspberry Pi add "
                       "dtoverlay=dwc2 to config.txt and reboot, elsewhere modprobe dummy_hcd",
                       where->udc_class);
        error = GADGET_NO_UDC;
    } else if (wanted) {
        error = choose_named(where, wanted, names, count, why);
        if (error == GADGET_OK)
            (void)snprintf(udc, UDC_NAME_BYTES, "%s", wanted);
    } else {
        error = choose_free(where, names, count, udc, why);
    }
    free_names(names, count);
    if (error == GADGET_OK)
        why[0] = '\0';
    return error;
}

void udc_describe(const struct udc_places *where, const char *udc, char *text, size_t size)
{
    char state[64], speed[64];

    text[0] = '\0';
    if (!read_attribute(where->udc_class, udc, "state", state, sizeof(state)))
        (void)snprintf(state, sizeof(state), "state unknown");
    append(text, size, "%s%s", state, "");
    if (read_attribute(where->udc_class, udc, "maximum_speed", speed, sizeof(speed)))
        append(text, size, "%s%s", ", up to ", speed);
}
