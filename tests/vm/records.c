/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The witness of the outage tests: numbered, checksummed records on a disk, and
 * a judge that knows which of them the disk has acknowledged.
 *
 *   records write DEVICE LOG [-n COUNT] [-s SECONDS] [-p PACE_MS] [-e ERRORS]
 *                            [-r REGION_MIB] [-b BASE_MIB] [-t TAG]
 *       writes round and round over a region of the disk, several sizes, each
 *       beginning in the range of others, and reads some of them back; on a disk
 *       with a write cache, a second process flushes all the time. Ends after
 *       COUNT records, SECONDS, more than ERRORS errors (0), or SIGTERM. A LOG
 *       that is there is continued, with its tag and region.
 *   records verify IMAGE LOG   what of it is on the disk, or in a target's image
 *   records show LOG           how far the writer is
 *
 * All print one line of names and numbers:
 *   records     written to the disk, whether they came back or not
 *   acknowledged   O_DIRECT writes that returned, on a disk that says "write
 *               through"; on one that says "write back" those before a
 *               successful fsync, and those of O_DSYNC
 *   lost        acknowledged records that are not there, nor a newer one
 *   stale       acknowledged records of which an older one is in the place
 *   misread     of the two while the writer read them back
 *   errors      of the host: failed reads, writes and flushes
 *   pause_ms    the longest time without a successful one, also between two writers
 *   resumed_ms  when that ended, as time since boot
 *   ok_ms       the last successful one, as time since boot
 *   flush_ms    the longest flush
 *   cache       through or back
 *
 * The log is a mapped file: it holds whatever becomes of the writer. `verify`
 * exits with 1 if anything is lost, stale, or misread.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_BYTES   512u
#define STRIDE_BLOCKS 128u /* from the begin of a record to that of the next */
#define RECORD_BLOCKS 512u /* the longest */
#define LOG_MAGIC     UINT64_C(0x3152534452434552)
#define BLOCK_MAGIC   UINT64_C(0x4b434f4c42434552)
#define FLUSH_EVERY   8u /* records, on a disk with a write cache */
#define DSYNC_EVERY   5u
#define READ_EVERY    4u

enum state { NEVER, ISSUED, WRITTEN, ACKNOWLEDGED, FAILED };

struct log {
    uint64_t magic;
    uint64_t tag;
    uint64_t region_blocks, base_blocks;
    uint64_t capacity; /* entries of `state` */
    uint64_t issued;   /* records below this number have a state */
    uint64_t flushed;  /* below this none is WRITTEN */
    uint64_t reads, flushes, errors, misread;
    uint64_t pause_us, resumed_us, ok_us, flush_us;
    uint32_t write_back;
    uint32_t align_blocks; /* of the disk's own blocks */
    uint8_t state[];       /* enum state */
};

struct block {
    uint64_t magic, tag, number;
    uint32_t index, count; /* in its record */
    uint64_t sum;          /* of the whole block with this as 0 */
    uint64_t fill[(BLOCK_BYTES - 40) / 8];
};
_Static_assert(sizeof(struct block) == BLOCK_BYTES, "one block");

struct counts {
    uint64_t acknowledged, lost, stale;
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "records: %s: %s\n", what, strerror(errno));
    exit(2);
}

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- where a record is, and what is in it ---- */

static uint64_t mix(uint64_t x)
{
    x ^= x >> 31;
    x *= UINT64_C(0x9e3779b97f4a7c15);
    x ^= x >> 29;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    return x ^ x >> 32;
}

/* A region is a whole number of strides. */
static uint64_t record_first(const struct log *l, uint64_t number)
{
    return number * STRIDE_BLOCKS % l->region_blocks;
}

static uint32_t record_blocks(const struct log *l, uint64_t number)
{
    static const uint32_t sizes[] = {1, 8, 15, 128, 8, 1, 240, 8, 15, 1, 8, RECORD_BLOCKS};
    uint64_t left = l->region_blocks - record_first(l, number);
    uint32_t blocks = sizes[mix(number ^ l->tag) % (sizeof(sizes) / sizeof(sizes[0]))];
    blocks = (blocks + l->align_blocks - 1) / l->align_blocks * l->align_blocks;
    return blocks < left ? blocks : (uint32_t)left;
}

static uint64_t block_sum(const struct block *b)
{
    const uint64_t *words = (const uint64_t *)(const void *)b;
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof(*b) / 8; i++)
        sum = (sum ^ words[i]) * UINT64_C(0x100000001b3) + (sum >> 47);
    return sum;
}

static void block_fill(struct block *b, const struct log *l, uint64_t number, uint32_t index)
{
    uint64_t word = mix(number ^ (uint64_t)index << 40 ^ l->tag << 20);
    *b = (struct block){.magic = BLOCK_MAGIC,
                        .tag = l->tag,
                        .number = number,
                        .index = index,
                        .count = record_blocks(l, number)};
    for (size_t i = 0; i < sizeof(b->fill) / 8; i++)
        b->fill[i] = word += UINT64_C(0x9e3779b97f4a7c15);
    b->sum = block_sum(b);
}

/* True: it is a block of a record of this log, at block `at` of the region. */
static bool block_read(const struct block *b, const struct log *l, uint64_t at)
{
    struct block copy = *b;
    copy.sum = 0;
    return b->magic == BLOCK_MAGIC && b->tag == l->tag && b->number < l->issued &&
           b->index < record_blocks(l, b->number) && block_sum(&copy) == b->sum &&
           record_first(l, b->number) + b->index == at;
}

/* ---- the judge ---- */

/* The newest acknowledged record that covers a block of the region; false: none. */
static bool newest(const struct log *l, uint64_t at, uint64_t *number)
{
    uint64_t slots = l->region_blocks / STRIDE_BLOCKS, own = at / STRIDE_BLOCKS;
    bool found = false;
    *number = 0;
    for (uint64_t back = 0; back < RECORD_BLOCKS / STRIDE_BLOCKS && back <= own; back++) {
        uint64_t slot = own - back;
        if (l->issued <= slot)
            continue;
        uint64_t n = slot + (l->issued - 1 - slot) / slots * slots;
        for (;; n -= slots) {
            if (l->state[n] == ACKNOWLEDGED && at - record_first(l, n) < record_blocks(l, n)) {
                if (!found || n > *number)
                    *number = n;
                found = true;
                break;
            }
            if (n < slots)
                break;
        }
    }
    return found;
}

/* Whether what is in a block is what has to be there. Newer than the newest
 * acknowledged is right, whatever became of it. `bad` is called for the rest. */
static void judge(const struct log *l, uint64_t at, const struct block *b,
                  void (*bad)(void *ctx, uint64_t number, bool stale), void *ctx)
{
    uint64_t number;
    if (!newest(l, at, &number))
        return;
    bool ours = block_read(b, l, at);
    if (ours && b->number >= number)
        return;
    bad(ctx, number, ours);
}

struct marks {
    uint8_t *lost, *stale; /* by number: counted once, however many blocks */
    struct counts *counts;
};

static void mark(void *ctx, uint64_t number, bool stale)
{
    struct marks *m = ctx;
    uint8_t *seen = stale ? &m->stale[number] : &m->lost[number];
    if (*seen == 0)
        (*(stale ? &m->counts->stale : &m->counts->lost))++;
    *seen = 1;
}

static void print(const struct log *l, const struct counts *c)
{
    uint64_t acknowledged = 0;
    for (uint64_t i = 0; i < l->issued; i++)
        acknowledged += l->state[i] == ACKNOWLEDGED;
    printf("records %" PRIu64 " acknowledged %" PRIu64 " lost %" PRIu64 " stale %" PRIu64
           " misread %" PRIu64 " errors %" PRIu64 " flushes %" PRIu64 " pause_ms %" PRIu64
           " resumed_ms %" PRIu64 " ok_ms %" PRIu64 " flush_ms %" PRIu64 " cache %s\n",
           l->issued, acknowledged, c->lost, c->stale, l->misread, l->errors, l->flushes,
           l->pause_us / 1000, l->resumed_us / 1000, l->ok_us / 1000, l->flush_us / 1000,
           l->write_back ? "back" : "through");
}

static int verify(const char *path, const struct log *l)
{
    struct counts counts = {0, 0, 0};
    struct marks marks = {calloc(l->capacity, 1), calloc(l->capacity, 1), &counts};
    struct stat st;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &st) != 0)
        die(path);
    /* Past the page cache, which need not know what a target wrote below it. */
    if (S_ISBLK(st.st_mode) && fcntl(fd, F_SETFL, O_DIRECT) != 0)
        die(path);
    uint64_t piece_blocks = STRIDE_BLOCKS;
    struct block *piece = aligned_alloc(4096, piece_blocks * BLOCK_BYTES);
    if (!piece || !marks.lost || !marks.stale)
        die("memory");
    for (uint64_t at = 0; at < l->region_blocks; at += piece_blocks) {
        off_t offset = (off_t)((l->base_blocks + at) * BLOCK_BYTES);
        if (pread(fd, piece, piece_blocks * BLOCK_BYTES, offset) !=
            (ssize_t)(piece_blocks * BLOCK_BYTES))
            die(path);
        for (uint64_t i = 0; i < piece_blocks; i++)
            judge(l, at + i, &piece[i], mark, &marks);
    }
    print(l, &counts);
    return counts.lost || counts.stale || l->misread;
}

/* ---- the writer ---- */

struct options {
    uint64_t count, seconds, pace_ms, errors, region_mib, base_mib, tag;
};

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

/* Maps a log of `capacity` records, new or as it is; 0: it has to be there. */
static struct log *log_map(const char *path, uint64_t capacity)
{
    int fd = open(path, capacity ? O_RDWR | O_CREAT : O_RDONLY, 0644);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        die(path);
    size_t bytes = (size_t)st.st_size;
    if (capacity && bytes == 0) {
        bytes = sizeof(struct log) + capacity;
        if (ftruncate(fd, (off_t)bytes) != 0)
            die(path);
    }
    int how = capacity ? PROT_READ | PROT_WRITE : PROT_READ;
    struct log *l = mmap(NULL, bytes, how, MAP_SHARED, fd, 0);
    if (l == MAP_FAILED)
        die(path);
    if (capacity && l->magic == 0) {
        l->magic = LOG_MAGIC;
        l->capacity = capacity;
    }
    if (l->magic != LOG_MAGIC || bytes < sizeof(*l) + l->capacity || l->issued > l->capacity) {
        errno = EINVAL;
        die(path);
    }
    close(fd);
    return l;
}

/* A line of sysfs about the disk into `text`. */
static bool disk_tells(dev_t dev, const char *what, char *text, int bytes)
{
    char command[256];
    snprintf(command, sizeof(command), "cat /sys/dev/block/%u:%u/%s 2>/dev/null", major(dev),
             minor(dev), what);
    FILE *f = popen(command, "r");
    bool told = f && fgets(text, bytes, f);
    if (f)
        pclose(f);
    return told;
}

/* Reads from the disk how it caches and what its blocks are. */
static void look_at_disk(struct log *l, int fd)
{
    struct stat st;
    char text[64];
    if (fstat(fd, &st) != 0 || !S_ISBLK(st.st_mode))
        die("not a disk");
    /* no SCSI disk: what its driver says to the kernel */
    if (!disk_tells(st.st_rdev, "device/scsi_disk/*/cache_type", text, sizeof(text)) &&
        !disk_tells(st.st_rdev, "queue/write_cache", text, sizeof(text)))
        die("the disk does not tell its cache type");
    l->write_back = strncmp(text, "write back", 10) == 0;
    if (!disk_tells(st.st_rdev, "queue/logical_block_size", text, sizeof(text)))
        die("the disk does not tell its block size");
    l->align_blocks = (uint32_t)strtoul(text, NULL, 10) / BLOCK_BYTES;
}

struct writer {
    struct log *log;
    int disk, disk_dsync;
    struct block *data;
    uint64_t waits_since_us; /* the first try since the last success */
    uint64_t errors;         /* of this run */
};

/* Of two processes. */
static void count_error(struct log *l)
{
    __atomic_fetch_add(&l->errors, 1, __ATOMIC_RELAXED);
}

static void begins(struct writer *w)
{
    if (w->waits_since_us == 0)
        w->waits_since_us = now_us();
}

static bool ends(struct writer *w, bool good, const char *what, uint64_t number)
{
    struct log *l = w->log;
    int error = errno;
    if (good) {
        l->ok_us = now_us();
        if (l->ok_us - w->waits_since_us > l->pause_us) {
            l->pause_us = l->ok_us - w->waits_since_us;
            l->resumed_us = l->ok_us;
        }
        w->waits_since_us = 0;
    } else {
        count_error(l);
        w->errors++;
        fprintf(stderr, "records: %" PRIu64 " ms: %s of record %" PRIu64 ": %s\n", now_us() / 1000,
                what, number, strerror(error));
        usleep(100000);
    }
    return good;
}

static off_t record_offset(const struct log *l, uint64_t number)
{
    return (off_t)((l->base_blocks + record_first(l, number)) * BLOCK_BYTES);
}

static void write_one(struct writer *w)
{
    struct log *l = w->log;
    uint64_t number = l->issued;
    uint32_t blocks = record_blocks(l, number);
    bool dsync = l->write_back && number % DSYNC_EVERY == 0;
    for (uint32_t i = 0; i < blocks; i++)
        block_fill(&w->data[i], l, number, i);
    l->state[number] = ISSUED;
    l->issued = number + 1;
    begins(w);
    ssize_t bytes = pwrite(dsync ? w->disk_dsync : w->disk, w->data, blocks * BLOCK_BYTES,
                           record_offset(l, number));
    bool good = ends(w, bytes == (ssize_t)(blocks * BLOCK_BYTES), "write", number);
    l->state[number] = !good ? FAILED : !l->write_back || dsync ? ACKNOWLEDGED : WRITTEN;
}

/* What was written before and is not known to be safe: now, or never. */
static void flush(struct writer *w)
{
    struct log *l = w->log;
    begins(w);
    bool good = ends(w, fsync(w->disk) == 0, "flush", l->issued);
    for (; l->flushed < l->issued; l->flushed++)
        if (l->state[l->flushed] == WRITTEN)
            l->state[l->flushed] = good ? ACKNOWLEDGED : FAILED;
    l->flushes += good;
}

static void count_misread(void *ctx, uint64_t number, bool stale)
{
    struct writer *w = ctx;
    if (w->log->misread++ < 10)
        fprintf(stderr, "records: %" PRIu64 " ms: record %" PRIu64 " reads as %s\n",
                now_us() / 1000, number, stale ? "an older one" : "something else");
}

static void read_one(struct writer *w)
{
    struct log *l = w->log;
    uint64_t slots = l->region_blocks / STRIDE_BLOCKS;
    uint64_t recent = l->issued < slots ? l->issued : slots;
    uint64_t number = l->issued - 1 - mix(l->issued + l->reads++) % recent;
    uint32_t blocks = record_blocks(l, number);
    begins(w);
    ssize_t bytes = pread(w->disk, w->data, blocks * BLOCK_BYTES, record_offset(l, number));
    if (!ends(w, bytes == (ssize_t)(blocks * BLOCK_BYTES), "read", number))
        return;
    for (uint32_t i = 0; i < blocks; i++)
        judge(l, record_first(l, number) + i, &w->data[i], count_misread, w);
}

/* A flush must come back in time as well, whatever else is under way. */
static pid_t start_flusher(struct log *l, int disk, uint64_t pace_ms)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    while (!stopped) {
        uint64_t since_us = now_us();
        if (fsync(disk) != 0) {
            fprintf(stderr, "records: %" PRIu64 " ms: flush: %s\n", now_us() / 1000,
                    strerror(errno));
            count_error(l);
            usleep(100000);
        } else if (now_us() - since_us > l->flush_us) {
            l->flush_us = now_us() - since_us;
        }
        usleep((useconds_t)pace_ms * 4000 + 1000);
    }
    _exit(0);
}

static int write_all(const char *device, struct log *l, const struct options *o)
{
    struct writer w = {.log = l};
    w.disk = open(device, O_RDWR | O_DIRECT);
    w.disk_dsync = open(device, O_RDWR | O_DIRECT | O_DSYNC);
    w.data = aligned_alloc(4096, RECORD_BLOCKS * BLOCK_BYTES);
    if (w.disk < 0 || w.disk_dsync < 0)
        die(device);
    if (!w.data)
        die("memory");
    look_at_disk(l, w.disk);
    if (l->region_blocks == 0) {
        l->tag = o->tag;
        l->region_blocks = o->region_mib << 11;
        l->base_blocks = o->base_mib << 11;
    }
    w.waits_since_us = l->ok_us; /* a pause does not end with the writer it stopped */
    pid_t flusher = l->write_back ? start_flusher(l, w.disk, o->pace_ms) : 0;
    uint64_t until_us = o->seconds ? now_us() + o->seconds * 1000000 : UINT64_MAX;
    uint64_t last = o->count ? l->issued + o->count : l->capacity;
    while (!stopped && w.errors <= o->errors && now_us() < until_us && l->issued < last &&
           l->issued < l->capacity) {
        write_one(&w);
        if (l->write_back && l->issued % FLUSH_EVERY == 0)
            flush(&w);
        if (l->issued % READ_EVERY == 0)
            read_one(&w);
        usleep((useconds_t)o->pace_ms * 1000);
    }
    if (flusher > 0) {
        kill(flusher, SIGTERM);
        waitpid(flusher, NULL, 0);
    }
    if (l->write_back && w.errors <= o->errors)
        flush(&w);
    print(l, &(struct counts){0, 0, 0});
    return w.errors > o->errors || l->misread;
}

static _Noreturn void usage(void)
{
    fprintf(stderr, "usage: records write DEVICE LOG [-n COUNT] [-s SECONDS] [-p PACE_MS] "
                    "[-e ERRORS] [-r REGION_MIB] [-b BASE_MIB] [-t TAG]\n"
                    "       records verify IMAGE LOG | show LOG\n");
    exit(2);
}

static struct options options_read(int argc, char **argv)
{
    struct options o = {.region_mib = 16, .tag = 1};
    int option;
    while ((option = getopt(argc, argv, "n:s:p:e:r:b:t:")) != -1) {
        uint64_t value = option == '?' ? 0 : strtoull(optarg, NULL, 10);
        switch (option) {
        case 'n':
            o.count = value;
            break;
        case 's':
            o.seconds = value;
            break;
        case 'p':
            o.pace_ms = value;
            break;
        case 'e':
            o.errors = value;
            break;
        case 'r':
            o.region_mib = value;
            break;
        case 'b':
            o.base_mib = value;
            break;
        case 't':
            o.tag = value;
            break;
        default:
            usage();
        }
    }
    if (optind != argc || o.region_mib == 0)
        usage();
    return o;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "show") == 0) {
        print(log_map(argv[2], 0), &(struct counts){0, 0, 0});
        return 0;
    }
    if (argc == 4 && strcmp(argv[1], "verify") == 0)
        return verify(argv[2], log_map(argv[3], 0));
    if (argc < 4 || strcmp(argv[1], "write") != 0)
        usage();
    struct options o = options_read(argc - 3, argv + 3);
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    return write_all(argv[2], log_map(argv[3], UINT64_C(1) << 20), &o);
}
