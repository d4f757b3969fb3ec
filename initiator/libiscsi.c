/* SPDX-License-Identifier: BSD-2-Clause */
#include "libiscsi.h"

#include <stddef.h>
#include <stdlib.h>

void libiscsi_clear_environment(void)
{
    static const char *const names[] = {
        "LIBISCSI_CHAP_USERNAME",
        "LIBISCSI_CHAP_PASSWORD",
        "LIBISCSI_CHAP_TARGET_USERNAME",
        "LIBISCSI_CHAP_TARGET_PASSWORD",
        "LIBISCSI_DEBUG",
        "LIBISCSI_TCP_USER_TIMEOUT",
        "LIBISCSI_TCP_KEEPCNT",
        "LIBISCSI_TCP_KEEPINTVL",
        "LIBISCSI_TCP_KEEPIDLE",
        "LIBISCSI_TCP_SYNCNT",
        "LIBISCSI_BIND_INTERFACES",
        "LIBISCSI_RDMA_ACK_TIMEOUT",
        "LIBISCSI_CACHE_ALLOCATIONS",
        "LIBISCSI_IGNORE_NOP_OUT_ON_STUCK_WAITPDU_QUEUE",
        "LIBISCSI_DROP_CONN_ON_ASYNC_EVENT1",
        "LIBISCSI_ALLOW_TARGETNAME_REDIRECT",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unsetenv(names[i]);
}
