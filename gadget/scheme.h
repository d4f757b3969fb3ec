/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A gadget scheme of configfs-templates/: read, held against what libusbgx
 * understands, and filled in for one gadget. libusbgx itself names neither line
 * nor key of a mistake and passes over keys that it does not know.
 */
#ifndef LUNSTICK_GADGET_SCHEME_H
#define LUNSTICK_GADGET_SCHEME_H

#include "gadget.h"

/* The text for usbg_import_gadget(), to be freed: `name` is the instance of
 * the one ffs function, `serial` the serial number where the file has none.
 * NULL with "FILE:LINE: what is wrong" in `why`. */
char *scheme_fill(const char *path, const char *name, const char *serial,
                  char why[GADGET_WHY_BYTES]);

#endif
