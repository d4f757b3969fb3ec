/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Removing gadgets from configfs and FunctionFS mounts without knowing their
 * history: a daemon may have been killed at any step. Plain rmdir and unlink,
 * since libusbgx cannot read every gadget that is half there.
 */
#ifndef LUNSTICK_GADGET_LEFTOVERS_H
#define LUNSTICK_GADGET_LEFTOVERS_H

#include <stdbool.h>

/* Whether the gadget directory has our function ffs.NAME, or none at all yet. */
bool leftovers_are_ours(const char *gadgets, const char *name);
/* Unbinds and removes a gadget. 1: removed, 0: there is none, or -errno. */
int leftovers_remove_gadget(const char *gadgets, const char *name);
/* Unmounts FunctionFS from `dir` and removes it. The same values. */
int leftovers_remove_mount(const char *dir);

#endif
