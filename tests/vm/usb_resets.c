/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * usb_resets COUNT SEED: port resets, configuration 0 and back, and replugs, at
 * random moments, while usb-storage has the device and somebody writes on it.
 * The disk has to be there again within 10 s each time. Exit status 0 or 1.
 *
 * No Bulk-Only resets: Linux makes them after a failed command only. Asked for
 * by SG_SCSI_RESET it waits 6 s and forgets the command that it has aborted.
 */
#include "usb_disk.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OPEN_MS 20000

static uint32_t seed;

static uint32_t random_below(uint32_t limit)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % limit;
}

/* A disk of usb-storage's with a size: it was read from the device. */
static bool disk_is_there(void)
{
    DIR *dir = opendir("/sys/block");
    const struct dirent *entry;
    unsigned long long blocks = 0;

    while (dir && blocks == 0 && (entry = readdir(dir)) != NULL) {
        char path[300];
        (void)snprintf(path, sizeof(path), "/sys/block/%s/size", entry->d_name);
        FILE *f = strncmp(entry->d_name, "sd", 2) == 0 ? fopen(path, "re") : NULL;
        if (f && fscanf(f, "%llu", &blocks) != 1)
            blocks = 0;
        if (f)
            (void)fclose(f);
    }
    if (dir)
        (void)closedir(dir);
    return blocks > 0;
}

static uint64_t wait_for_disk(void)
{
    uint64_t start_ms = usb_now_ms();

    while (!disk_is_there()) {
        if (usb_now_ms() - start_ms > HANG_MS)
            fail("no disk for %d ms", HANG_MS);
        usb_sleep_ms(5);
    }
    return usb_now_ms() - start_ms;
}

int main(int argc, char **argv)
{
    static unsigned resets, configurations, replugs;
    static uint64_t longest_ms;
    static int status;

    if (argc != 3)
        return 2;
    unsigned count = (unsigned)strtoul(argv[1], NULL, 10);
    seed = (uint32_t)strtoul(argv[2], NULL, 10) | 1;
    if (usb_watch(OPEN_MS) != 0) {
        printf("no device 1d6b:0104\n");
        return 1;
    }
    if (setjmp(fail_jump) == 0) {
        for (unsigned i = 0; i < count; i++) {
            uint32_t what = random_below(100);
            if (what < 80) {
                must("port reset", usb_port_reset());
                resets++;
            } else if (what < 92) {
                must("configuration 0 and 1", usb_configuration_zero());
                configurations++;
            } else {
                must("cable", usb_replug());
                replugs++;
            }
            uint64_t took_ms = wait_for_disk();
            if (took_ms > longest_ms)
                longest_ms = took_ms;
            usb_sleep_ms(random_below(100));
        }
    } else {
        printf("wrong: %s\n", fail_why);
        status = 1;
    }
    printf("%u port resets, %u new configurations, %u replugs; no disk for %llu ms at most\n",
           resets, configurations, replugs, (unsigned long long)longest_ms);
    return status;
}
