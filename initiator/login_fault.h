/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why a connection or a login failed: what libiscsi says, turned into one line
 * with the cause and the fix, and the verdict whether waiting can help.
 */
#ifndef LUNSTICK_INITIATOR_LOGIN_FAULT_H
#define LUNSTICK_INITIATOR_LOGIN_FAULT_H

#include "bridge/backend.h"

#include <stddef.h>

/* What the message speaks of; nothing is kept. */
struct login_fault_context {
    const char *portal; /* "192.0.2.1:3260" */
    const char *iqn;
    const char *initiator_name;
    bool chap, mutual; /* secrets were configured */
};

/* Of a login that libiscsi called failed: `text` is iscsi_get_error(), which
 * ends with status class and detail, "(515)", when the target sent them
 * (RFC 7143 11.13.5). */
enum backend_fault login_fault(const char *text, const struct login_fault_context *context,
                               char *why, size_t why_bytes);
/* Of a TCP connection; `text` ends with the errno, "(111)". Always transient. */
enum backend_fault connect_fault(const char *text, const struct login_fault_context *context,
                                 char *why, size_t why_bytes);
/* The number in the last parentheses of the text; -1: there is none. */
int fault_number(const char *text);
/* Targets have a hand in some texts: what is not printable ASCII becomes '?'. */
void fault_clean(char *text);

#endif
