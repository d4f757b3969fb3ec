/* SPDX-License-Identifier: BSD-2-Clause */
#include "login_fault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the fix depends on, besides the code. */
enum subject { ABOUT_TARGET, ABOUT_CHAP, ABOUT_INITIATOR, ABOUT_NOTHING };

struct status {
    unsigned short code; /* class and detail */
    enum backend_fault fault;
    enum subject subject;
    const char *cause;
};

/* RFC 7143 11.13.5. Unknown details of class 2 are permanent, as the class is
 * defined, and so is a move without an address; all else is transient. */
static const struct status statuses[] = {
    {0x0200, BACKEND_FAULT_PERMANENT, ABOUT_INITIATOR, "it refuses what this initiator asks for"},
    {0x0201, BACKEND_FAULT_PERMANENT, ABOUT_CHAP, "authentication failed"},
    {0x0202, BACKEND_FAULT_PERMANENT, ABOUT_INITIATOR, "this initiator is not allowed here"},
    {0x0203, BACKEND_FAULT_PERMANENT, ABOUT_TARGET, "it has no target of this name for us"},
    {0x0204, BACKEND_FAULT_PERMANENT, ABOUT_TARGET, "the target was removed"},
    {0x0205, BACKEND_FAULT_PERMANENT, ABOUT_NOTHING, "it speaks another version of iSCSI"},
    {0x0206, BACKEND_FAULT_TRANSIENT, ABOUT_NOTHING, "it has too many connections"},
    {0x0207, BACKEND_FAULT_PERMANENT, ABOUT_NOTHING, "it misses a parameter in the login"},
    {0x0208, BACKEND_FAULT_TRANSIENT, ABOUT_NOTHING, "it cannot replace the old session yet"},
    {0x0209, BACKEND_FAULT_PERMANENT, ABOUT_NOTHING, "it takes no sessions for disks here"},
    {0x020a, BACKEND_FAULT_TRANSIENT, ABOUT_NOTHING, "it says that the session does not exist"},
    {0x020b, BACKEND_FAULT_TRANSIENT, ABOUT_NOTHING, "it says that the login went out of step"},
    {0x0300, BACKEND_FAULT_TRANSIENT, ABOUT_NOTHING, "it has an error of its own"},
    {0x0301, BACKEND_FAULT_TRANSIENT, ABOUT_NOTHING, "its service is not available now"},
    {0x0302, BACKEND_FAULT_TRANSIENT, ABOUT_NOTHING, "it is out of resources"},
};

int fault_number(const char *text)
{
    const char *open = strrchr(text, '(');
    char *end;
    long number;

    if (open == NULL)
        return -1;
    number = strtol(open + 1, &end, 10);
    if (end == open + 1 || *end != ')' || number < 0 || number > 0xffff)
        return -1;
    return (int)number;
}

void fault_clean(char *text)
{
    for (; *text != '\0'; text++)
        if (*text < ' ' || *text > '~')
            *text = '?';
}

static const char *chap_fix(const struct login_fault_context *context)
{
    if (!context->chap)
        return "it asks for CHAP: give the user in the URL and the secret in a file";
    if (context->mutual)
        return "check user and secret, and those of mutual CHAP";
    return "check user and secret";
}

/* The fix, with the names that it is about. */
static void describe(const struct status *status, const struct login_fault_context *context,
                     char *why, size_t why_bytes)
{
    switch (status->subject) {
    case ABOUT_TARGET:
        snprintf(why, why_bytes,
                 "%s refuses the login: %s (%s): check the name, and that the target admits %s",
                 context->portal, status->cause, context->iqn, context->initiator_name);
        break;
    case ABOUT_CHAP:
        snprintf(why, why_bytes, "%s refuses the login: %s: %s", context->portal, status->cause,
                 chap_fix(context));
        break;
    case ABOUT_INITIATOR:
        snprintf(why, why_bytes, "%s refuses the login: %s: admit %s in the target's access list",
                 context->portal, status->cause, context->initiator_name);
        break;
    case ABOUT_NOTHING:
        snprintf(why, why_bytes, "%s refuses the login: %s (status 0x%04x)", context->portal,
                 status->cause, status->code);
        break;
    }
}

/* What libiscsi itself found wrong; all of it is in the texts of both versions. */
static bool mutual_chap_failed(const char *text)
{
    return strstr(text, "CHAP_R") != NULL || strstr(text, "CHAP_N") != NULL ||
           strstr(text, "CHAP targetname") != NULL;
}

enum backend_fault login_fault(const char *text, const struct login_fault_context *context,
                               char *why, size_t why_bytes)
{
    int code = fault_number(text);

    if (mutual_chap_failed(text)) {
        snprintf(why, why_bytes,
                 "%s does not prove that it is %s (mutual CHAP): check the target's user and "
                 "secret on both sides",
                 context->portal, context->iqn);
        return BACKEND_FAULT_PERMANENT;
    }
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        if (statuses[i].code != code)
            continue;
        describe(&statuses[i], context, why, why_bytes);
        return statuses[i].fault;
    }
    if (code >= 0x0100) {
        snprintf(why, why_bytes, "%s refuses the login with status 0x%04x%s", context->portal,
                 (unsigned)code, code >> 8 == 1 ? ": moved, but it does not say where" : "");
        return code >> 8 <= 2 ? BACKEND_FAULT_PERMANENT : BACKEND_FAULT_TRANSIENT;
    }
    snprintf(why, why_bytes, "the login at %s failed: %s", context->portal, text);
    return BACKEND_FAULT_TRANSIENT;
}

enum backend_fault connect_fault(const char *text, const struct login_fault_context *context,
                                 char *why, size_t why_bytes)
{
    int error = fault_number(text);

    if (error == ECONNREFUSED)
        snprintf(why, why_bytes,
                 "%s refuses the connection: is the target running there, and on this port?",
                 context->portal);
    else if (error == ENETUNREACH || error == EHOSTUNREACH || error == ETIMEDOUT)
        snprintf(why, why_bytes, "%s is not reachable (%s): check cable, network and address",
                 context->portal, strerror(error));
    else if (error > 0)
        snprintf(why, why_bytes, "no connection to %s: %s", context->portal, strerror(error));
    else
        snprintf(why, why_bytes, "no connection to %s: %s", context->portal, text);
    return BACKEND_FAULT_TRANSIENT;
}
