/* SPDX-License-Identifier: BSD-2-Clause */
#include "image_extlinux.h"

#include "image_text.h"

#include <string.h>

/* The label with that name, or the first; false: there is none. */
static bool read_label(const char *text, struct text_span name, struct extlinux_label *label)
{
    struct text_span rest;
    bool inside = false;

    memset(label, 0, sizeof(*label));
    while (text_line(&text, &rest)) {
        struct text_span key = text_word(&rest);
        if (text_is_any_case(key, "label")) {
            if (inside)
                return true;
            inside = name.text
                         ? rest.bytes == name.bytes && memcmp(rest.text, name.text, rest.bytes) == 0
                         : true;
            if (inside && !text_copy(rest, label->name, sizeof(label->name)))
                label->too_long = true;
        } else if (!inside) {
            continue;
        } else if (text_is_any_case(key, "kernel") || text_is_any_case(key, "linux")) {
            label->too_long |= !text_copy(rest, label->kernel, sizeof(label->kernel));
            label->kernel[strcspn(label->kernel, "#")] = '\0';
        } else if (text_is_any_case(key, "append")) {
            label->too_long |= !text_copy(rest, label->append, sizeof(label->append));
        }
    }
    return inside;
}

/* Its name; text == NULL: nothing says so. */
static struct text_span find_default(const char *text)
{
    struct text_span wanted = {NULL, 0};
    struct text_span marked = {NULL, 0};
    struct text_span label = {NULL, 0};
    struct text_span rest;

    while (text_line(&text, &rest)) {
        struct text_span key = text_word(&rest);
        if (text_is_any_case(key, "label"))
            label = rest;
        else if (text_is_any_case(key, "default") || text_is_any_case(key, "ontimeout"))
            wanted = rest;
        else if (text_is_any_case(key, "menu") && text_is_any_case(rest, "default") && !marked.text)
            marked = label;
    }
    return wanted.text ? wanted : marked;
}

bool extlinux_default(const char *text, struct extlinux_label *label)
{
    const struct text_span any = {NULL, 0};
    struct text_span name = find_default(text);

    return (name.text && read_label(text, name, label)) || read_label(text, any, label);
}
