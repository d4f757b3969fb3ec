/* SPDX-License-Identifier: BSD-2-Clause */
#include "memory.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

/* More than half of it is for who cannot wait, which is the network with what it receives. */
#define RESERVE_KB 8192

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#define PR_GET_IO_FLUSHER 58
#endif

void memory_lock(void)
{
    if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
        log_printf(LUN_LOG_WARNING, "memory is not locked: %s", strerror(errno));
}

void memory_reserve(void)
{
    char text[32] = "";
    int fd = open("/proc/sys/vm/min_free_kbytes", O_RDWR | O_CLOEXEC);
    bool good = fd >= 0 && read(fd, text, sizeof text - 1) > 0;
    if (good && strtol(text, NULL, 10) < RESERVE_KB) {
        int length = snprintf(text, sizeof text, "%d", RESERVE_KB);
        good = pwrite(fd, text, (size_t)length, 0) == length;
    }
    if (!good)
        log_printf(LUN_LOG_WARNING,
                   "vm.min_free_kbytes: %s: the disk may stall when memory is short",
                   strerror(errno));
    if (fd >= 0)
        (void)close(fd);
}

void *memory_shared(size_t bytes)
{
    void *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    (void)madvise(memory, bytes, MADV_DONTDUMP);
    return memory;
}

void memory_prepare(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "-1000", 5) != 5)
        log_printf(LUN_LOG_WARNING,
                   "oom_score_adj: %s: the kernel may kill us when memory is short",
                   strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) < 0 || prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0) != 1)
        log_printf(LUN_LOG_WARNING,
                   "PR_SET_IO_FLUSHER: %s: the disk may stall when memory is short",
                   strerror(errno));
    memory_lock();
}
