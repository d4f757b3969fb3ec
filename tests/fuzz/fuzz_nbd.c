/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The input is a script for the local block device between a kernel that asks for
 * what it likes, more at a time than is served, in portions of bytes, and a target
 * that does what it likes: BUSY, failures, short answers, commands that hang,
 * sessions lost with and without effect, another disk behind the same name. The
 * connection breaks, too, and the kernel asks again on the next one for all that has
 * no answer. The front end and the logical unit are the real ones; their socket is
 * memory (recv and sendmsg are put in by the linker's --wrap), the clock virtual.
 *
 * Every block carries the disk, its address and a version; or it is zeros, which were
 * asked for.
 *   - a request is answered once, with its handle, after it came; a WRITE that went
 *     well after all its data came;
 *   - a READ brings blocks of its addresses, not older than what was acknowledged
 *     before it was asked for, and never of another disk;
 *   - what was acknowledged is on the disk, nothing that was not asked for is, and
 *     nothing at all is on another disk;
 *   - nothing is unmapped that is in no TRIM, and a TRIM that went well is all unmapped;
 *   - what is no request is EINVAL, and what is one is not;
 *   - the front end asks to be woken for what it needs;
 *   - at the end an honest kernel is served, and all slices are home.
 */
#include "boot/nbd.h"
#include "boot/nbd_wire.h"
#include "bridge/bytes.h"
#include "bridge/opcode.h"
#include "tests/unit/ram_backend.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SLOTS      12 /* the front end has 8 */
#define SLICES     (NBD_SEGMENTS + 8)
#define BLOCKS     1024u
#define DISK_BYTES (BLOCKS * RAM_BLOCK_BYTES)
#define WORDS      (RAM_BLOCK_BYTES / 8)
#define THE_SOCKET 900 /* no file descriptor of the process */
#define EVENTS_MAX 300

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #what);                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

/* What the kernel knows of one of its requests. */
struct slot {
    bool used;   /* it has no answer yet */
    bool queued; /* it is not all sent; an answer may come before that */
    bool came;   /* its header has */
    uint16_t type, flags;
    uint64_t offset;
    uint32_t length;
    uint32_t version; /* of what it writes */
    uint32_t cookie;
    uint32_t data_sent;
    uint32_t floor[BLOCKS];
    bool unmapped[BLOCKS];
};

static struct fuzz {
    const uint8_t *input;
    size_t left;
    struct deferred_list deferred;
    struct pool pool;
    struct ram_backend ram;
    struct lun *lun;
    struct nbd *nbd; /* NULL: no connection */
    struct nbd_geometry geometry;
    uint32_t segment_bytes;
    bool ended;

    struct slot slot[SLOTS];
    uint32_t cookies, versions;
    unsigned disk; /* behind the target's name now; the first one is ours */
    char serial[16];
    bool exchanged, cannot_read;
    uint32_t acknowledged[BLOCKS], issued[BLOCKS];
    uint32_t zeroed[BLOCKS]; /* the version of the last zeros that were asked for */

    /* The socket, kernel to us: the slots in the order in which they are sent. */
    unsigned queue[SLOTS], queued;
    uint8_t head[sizeof(struct nbd_request_wire)]; /* of the first of them */
    size_t head_sent;
    bool head_made, closed, reset;
    size_t portion;      /* of bytes that one call takes or brings; 0: any */
    size_t let_go, room; /* bytes that may come, and that we may send */
    /* Us to kernel. */
    uint8_t reply[sizeof(struct nbd_reply_wire)];
    size_t reply_bytes;
    struct slot *reading; /* its data are coming */
    uint32_t read_bytes;
    uint8_t block[RAM_BLOCK_BYTES];
    bool moved;
    unsigned answered;
    bool honest; /* the target is: all goes well */
} f;

static uint64_t now_us;
static uint8_t arena[SLICES * POOL_SLICE_BYTES] __attribute__((aligned(4096)));
static uint8_t disk_memory[RAM_BLOCKS * RAM_BLOCK_BYTES];

static uint64_t virtual_now(void)
{
    return now_us;
}

static uint8_t take(void)
{
    if (f.left == 0)
        return 0;
    f.left--;
    return *f.input++;
}

/* ---- blocks ---- */

/* Most of a run's time is spent here. */
__attribute__((no_sanitize("address", "undefined", "coverage"))) static void
fill_block(uint8_t *at, uint32_t disk, uint64_t lba, uint32_t version)
{
    uint64_t words[WORDS];
    words[0] = (uint64_t)disk << 48 | lba << 32 | version;
    for (unsigned i = 1; i < WORDS; i++)
        words[i] = words[0] * 31 + i;
    memcpy(at, words, sizeof(words));
}

/* The version of a block that must be whole, of that disk and that address. */
static uint32_t block_version(const uint8_t *at, uint32_t disk, uint64_t lba)
{
    uint64_t first;
    uint8_t expected[RAM_BLOCK_BYTES];
    memcpy(&first, at, sizeof(first));
    if (first == 0) { /* there is no disk 0 */
        memset(expected, 0, sizeof(expected));
        CHECK(disk == 1 && f.zeroed[lba] > 0 && memcmp(at, expected, sizeof(expected)) == 0);
        return f.zeroed[lba];
    }
    CHECK((uint32_t)(first >> 48) == disk);
    CHECK((first >> 32 & 0xffff) == lba);
    fill_block(expected, disk, lba, (uint32_t)first);
    CHECK(memcmp(at, expected, sizeof(expected)) == 0);
    return (uint32_t)first;
}

static void check_disk(void)
{
    for (uint32_t lba = 0; lba < BLOCKS; lba++) {
        uint32_t version = block_version(ram_block(&f.ram, lba), f.disk, lba);
        CHECK(f.disk == 1 ? version >= f.acknowledged[lba] && version <= f.issued[lba]
                          : version == 0);
    }
}

static void new_disk(void)
{
    if (f.disk > 0)
        check_disk();
    f.disk++;
    f.exchanged = f.disk > 1;
    snprintf(f.serial, sizeof(f.serial), "disk%u", f.disk);
    f.ram.serial = f.serial;
    for (uint32_t lba = 0; lba < BLOCKS; lba++)
        fill_block(ram_block(&f.ram, lba), f.disk, lba, 0);
}

/* ---- the requests ---- */

static bool has_blocks(const struct slot *s)
{
    return s->type != NBD_TYPE_FLUSH;
}

static bool changes_blocks(const struct slot *s)
{
    return s->type == NBD_TYPE_WRITE || s->type == NBD_TYPE_WRITE_ZEROES;
}

/* As the protocol has it, and the geometry that the kernel was told. */
static uint32_t refusal(const struct slot *s)
{
    bool trim = s->type == NBD_TYPE_TRIM, write = s->type == NBD_TYPE_WRITE;
    bool zeroes = s->type == NBD_TYPE_WRITE_ZEROES;
    bool data = write || s->type == NBD_TYPE_READ;
    if (s->type == NBD_TYPE_DISCONNECT || (s->type > NBD_TYPE_TRIM && !zeroes))
        return NBD_EINVAL;
    if (trim && f.geometry.trim_blocks == 0)
        return NBD_EINVAL;
    if ((trim || write || zeroes) && (f.geometry.flags & NBD_IS_READ_ONLY))
        return NBD_EPERM;
    if (has_blocks(s) &&
        (s->length == 0 || s->length % RAM_BLOCK_BYTES || s->offset % RAM_BLOCK_BYTES ||
         s->offset > DISK_BYTES || s->length > DISK_BYTES - s->offset))
        return NBD_EINVAL;
    return data && s->length > f.geometry.max_bytes ? NBD_EINVAL : NBD_OK;
}

static uint64_t first_block(const struct slot *s)
{
    return s->offset / RAM_BLOCK_BYTES;
}

static uint64_t end_block(const struct slot *s)
{
    return first_block(s) + s->length / RAM_BLOCK_BYTES;
}

/* It goes to the socket's end, for the first time or again. */
static void slot_queue(struct slot *s)
{
    s->came = false;
    s->data_sent = 0;
    s->cookie = ++f.cookies;
    memcpy(s->floor, f.acknowledged, sizeof(s->floor));
    memset(s->unmapped, 0, sizeof(s->unmapped));
    if (changes_blocks(s) && refusal(s) == NBD_OK) {
        s->version = ++f.versions;
        for (uint64_t lba = first_block(s); lba < end_block(s); lba++) {
            f.issued[lba] = s->version;
            if (s->type == NBD_TYPE_WRITE_ZEROES)
                f.zeroed[lba] = s->version;
        }
    }
    s->queued = true;
    f.queue[f.queued++] = (unsigned)(s - f.slot);
}

/* Zeros go to the disk in steps: which of two such requests wins is not said, while
 * both are under way. */
static bool races(const struct slot *s)
{
    for (const struct slot *other = f.slot; other < f.slot + SLOTS; other++)
        if (other != s && other->used && changes_blocks(other) && changes_blocks(s) &&
            (other->type == NBD_TYPE_WRITE_ZEROES || s->type == NBD_TYPE_WRITE_ZEROES) &&
            refusal(other) == NBD_OK && refusal(s) == NBD_OK && first_block(other) < end_block(s) &&
            first_block(s) < end_block(other))
            return true;
    return false;
}

static void ask(uint16_t type, uint16_t flags, uint64_t offset, uint32_t length)
{
    struct slot *s = f.slot;
    while (s < f.slot + SLOTS && (s->used || s->queued))
        s++;
    if (s == f.slot + SLOTS)
        return;
    s->type = type;
    s->flags = flags;
    s->offset = offset;
    s->length = length;
    s->used = !races(s);
    if (s->used)
        slot_queue(s);
}

/* ---- the socket ---- */

ssize_t __wrap_recv(int fd, void *bytes, size_t count, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);

static void head_make(const struct slot *s)
{
    struct nbd_request_wire wire;
    put_be32(wire.magic, NBD_REQUEST_MAGIC_VALUE);
    put_be16(wire.flags, s->flags);
    put_be16(wire.type, s->type);
    put_be32(wire.handle, s->cookie);
    put_be32(wire.handle + 4, (uint32_t)(s - f.slot));
    put_be64(wire.offset, s->offset);
    put_be32(wire.length, s->length);
    memcpy(f.head, &wire, sizeof(wire));
    f.head_sent = 0;
    f.head_made = true;
}

static uint32_t data_bytes(const struct slot *s)
{
    return s->type == NBD_TYPE_WRITE ? s->length : 0;
}

/* What is written, from byte `at` of it on; at most to the block's end. */
static size_t data_make(const struct slot *s, uint8_t *to, size_t count)
{
    uint8_t block[RAM_BLOCK_BYTES];
    uint32_t within = s->data_sent % RAM_BLOCK_BYTES;
    if (refusal(s) == NBD_OK)
        fill_block(block, 1, first_block(s) + s->data_sent / RAM_BLOCK_BYTES, s->version);
    else
        memset(block, 0xb5, sizeof(block));
    uint32_t left = s->length - s->data_sent;
    size_t n = RAM_BLOCK_BYTES - within < left ? RAM_BLOCK_BYTES - within : left;
    n = n < count ? n : count;
    memcpy(to, block + within, n);
    return n;
}

/* The next bytes of the stream; 0: there are none. */
static size_t stream(uint8_t *to, size_t count)
{
    if (f.queued == 0)
        return 0;
    struct slot *s = &f.slot[f.queue[0]];
    size_t n;
    if (!f.head_made)
        head_make(s);
    if (f.head_sent < sizeof(f.head)) {
        n = sizeof(f.head) - f.head_sent;
        n = n < count ? n : count;
        memcpy(to, f.head + f.head_sent, n);
        f.head_sent += n;
        s->came = f.head_sent == sizeof(f.head);
    } else {
        n = data_make(s, to, count);
        s->data_sent += (uint32_t)n;
    }
    if (s->came && s->data_sent == data_bytes(s)) {
        f.head_made = false;
        f.queued--;
        memmove(f.queue, f.queue + 1, f.queued * sizeof(f.queue[0]));
        s->queued = false;
    }
    return n;
}

static size_t cut(size_t count, size_t credit)
{
    if (f.portion > 0 && count > f.portion)
        count = f.portion;
    return count < credit ? count : credit;
}

ssize_t __wrap_recv(int fd, void *bytes, size_t count, int flags)
{
    size_t done = 0;
    CHECK(fd == THE_SOCKET && (flags & MSG_DONTWAIT) && count > 0);
    if (f.reset) {
        errno = ECONNRESET;
        return -1;
    }
    count = cut(count, f.let_go);
    while (done < count) {
        size_t n = stream((uint8_t *)bytes + done, count - done);
        if (n == 0)
            break;
        done += n;
    }
    f.let_go -= done;
    f.moved = f.moved || done > 0;
    if (done > 0 || f.closed)
        return (ssize_t)done;
    errno = EAGAIN;
    return -1;
}

static void slot_answered(struct slot *s)
{
    s->used = false;
    f.answered++;
}

static void on_reply(void)
{
    struct nbd_reply_wire wire;
    memcpy(&wire, f.reply, sizeof(wire));
    CHECK(get_be32(wire.magic) == NBD_REPLY_MAGIC_VALUE);
    uint32_t number = get_be32(wire.handle + 4);
    CHECK(number < SLOTS);
    struct slot *s = &f.slot[number];
    CHECK(s->used && s->came && get_be32(wire.handle) == s->cookie);
    uint32_t error = get_be32(wire.error), refused = refusal(s);
    CHECK(error == NBD_OK || error == NBD_EIO || error == NBD_EPERM || error == NBD_EINVAL ||
          error == NBD_ENOSPC);
    CHECK(refused == NBD_OK ? error != NBD_EINVAL : error == refused);
    CHECK(!f.honest || error == refused);
    if (error != NBD_OK) {
        slot_answered(s);
        return;
    }
    CHECK(s->data_sent == data_bytes(s));
    for (uint64_t lba = first_block(s); has_blocks(s) && lba < end_block(s); lba++) {
        if (changes_blocks(s) && f.acknowledged[lba] < s->version)
            f.acknowledged[lba] = s->version;
        CHECK(s->type != NBD_TYPE_TRIM || s->unmapped[lba]);
    }
    if (s->type != NBD_TYPE_READ) {
        slot_answered(s);
        return;
    }
    f.reading = s;
    f.read_bytes = 0;
}

static void on_data(const uint8_t *bytes, size_t count)
{
    struct slot *s = f.reading;
    while (count > 0) {
        uint32_t within = f.read_bytes % RAM_BLOCK_BYTES;
        size_t n = RAM_BLOCK_BYTES - within < count ? RAM_BLOCK_BYTES - within : count;
        memcpy(f.block + within, bytes, n);
        f.read_bytes += (uint32_t)n;
        bytes += n;
        count -= n;
        if (f.read_bytes % RAM_BLOCK_BYTES)
            continue;
        uint64_t lba = first_block(s) + f.read_bytes / RAM_BLOCK_BYTES - 1;
        uint32_t version = block_version(f.block, 1, lba);
        CHECK(version >= s->floor[lba] && version <= f.issued[lba]);
    }
    if (f.read_bytes == s->length) {
        f.reading = NULL;
        slot_answered(s);
    }
}

static void kernel_takes(const uint8_t *bytes, size_t count)
{
    while (count > 0) {
        size_t n = f.reading ? f.reading->length - f.read_bytes : sizeof(f.reply) - f.reply_bytes;
        n = n < count ? n : count;
        if (f.reading) {
            on_data(bytes, n);
        } else {
            memcpy(f.reply + f.reply_bytes, bytes, n);
            f.reply_bytes += n;
        }
        if (f.reply_bytes == sizeof(f.reply)) {
            f.reply_bytes = 0;
            on_reply();
        }
        bytes += n;
        count -= n;
    }
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    size_t total = 0, done = 0;
    CHECK(fd == THE_SOCKET && (flags & MSG_DONTWAIT) && (flags & MSG_NOSIGNAL));
    if (f.reset || f.closed) {
        errno = EPIPE;
        return -1;
    }
    for (size_t i = 0; i < message->msg_iovlen; i++)
        total += message->msg_iov[i].iov_len;
    CHECK(total > 0);
    total = cut(total, f.room);
    for (size_t i = 0; done < total; i++) {
        size_t n = message->msg_iov[i].iov_len;
        n = n < total - done ? n : total - done;
        kernel_takes(message->msg_iov[i].iov_base, n);
        done += n;
    }
    f.room -= done;
    f.moved = f.moved || done > 0;
    if (done > 0)
        return (ssize_t)done;
    errno = EAGAIN;
    return -1;
}

static short socket_events(void)
{
    bool readable = f.reset || f.closed || (f.queued > 0 && f.let_go > 0);
    bool writable = f.reset || f.closed || f.room > 0;
    return (short)((readable ? POLLIN : 0) | (writable ? POLLOUT : 0));
}

/* ---- the target's side ---- */

/* What is unmapped was asked for; it is noted while it is at the target. */
static void check_unmap(const struct backend_cmd *cmd)
{
    uint8_t list[24];
    size_t done = 0;
    CHECK(cmd->length_bytes == sizeof(list));
    for (int i = 0; i < cmd->iov_count && done < sizeof(list); i++) {
        size_t n =
            cmd->iov[i].iov_len < sizeof(list) - done ? cmd->iov[i].iov_len : sizeof(list) - done;
        memcpy(list + done, cmd->iov[i].iov_base, n);
        done += n;
    }
    CHECK(done == sizeof(list) && get_be16(list) == 22 && get_be16(list + 2) == 16);
    uint64_t lba = get_be64(list + 8), count = get_be32(list + 16);
    CHECK(count > 0 && count <= f.geometry.trim_blocks && lba < BLOCKS && count <= BLOCKS - lba);
    bool wanted = false;
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *s = &f.slot[i];
        if (!s->used || s->type != NBD_TYPE_TRIM || refusal(s) != NBD_OK || lba < first_block(s) ||
            lba + count > end_block(s))
            continue;
        wanted = true;
        memset(s->unmapped + lba, true, count);
    }
    CHECK(wanted);
}

static void check_target(void)
{
    for (unsigned i = 0; i < RAM_QUEUE; i++)
        if (f.ram.queue[i] && f.ram.queue[i]->cdb[0] == OP_UNMAP)
            check_unmap(f.ram.queue[i]);
}

static void on_end(void *ctx)
{
    (void)ctx;
    CHECK(!f.ended);
    f.ended = true;
}

/* Until nobody has anything to do; the front end is woken as it asks to be. */
static void settle(void)
{
    for (unsigned turns = 0;; turns++) {
        CHECK(turns < 200000);
        f.moved = false;
        if (f.nbd && !f.ended && (nbd_events(f.nbd) & socket_events()))
            nbd_ready(f.nbd);
        bool more = deferred_pending(&f.deferred);
        deferred_run(&f.deferred);
        check_target();
        if (!more && !f.moved)
            break;
    }
    if (f.ram.up && (f.ram.drops > 0 || f.ram.rejects > 0)) {
        f.ram.drops = f.ram.rejects = 0;
        ram_lose(&f.ram, "ended");
        settle();
    }
}

static void pass(uint64_t us)
{
    uint64_t end = now_us + us;
    for (;;) {
        settle();
        uint64_t next = lun_next_timeout_us(f.lun);
        if (next > end)
            break;
        if (next > now_us)
            now_us = next;
        lun_run_timeouts(f.lun);
    }
    now_us = end;
}

/* ---- connections ---- */

static void open_nbd(void)
{
    const struct nbd_config config = {
        .fd = THE_SOCKET, .lun = f.lun, .deferred = &f.deferred, .ended = on_end};
    f.ended = f.closed = f.reset = f.head_made = false;
    f.portion = 0;
    f.let_go = f.room = SIZE_MAX;
    f.reply_bytes = 0;
    f.reading = NULL;
    f.queued = 0;
    for (unsigned i = 0; i < SLOTS; i++)
        f.slot[i].queued = false;
    for (unsigned i = 0; i < SLOTS; i++)
        if (f.slot[i].used)
            slot_queue(&f.slot[i]);
    f.nbd = nbd_create(&config);
    CHECK(f.nbd);
    nbd_begin(f.nbd, &f.geometry, f.segment_bytes);
}

static void close_nbd(void)
{
    nbd_destroy(f.nbd);
    f.nbd = NULL;
    settle();
}

/* Only the kernel ends it; it comes again. */
static void reopen_nbd(void)
{
    if (!f.ended)
        return;
    CHECK(f.closed || f.reset);
    close_nbd();
    open_nbd();
}

/* What the kernel sends is none: only an end can come of it. */
static void send_garbage(uint8_t what)
{
    if (!f.nbd || f.ended || f.queued > 0 || f.slot[0].used)
        return;
    ask(what & 1 ? NBD_TYPE_DISCONNECT : NBD_TYPE_READ, 0, 0, RAM_BLOCK_BYTES);
    head_make(&f.slot[0]);
    if (!(what & 1))
        f.head[what >> 1 & 3] ^= 0x40;
    f.let_go = f.room = SIZE_MAX;
    for (unsigned i = 0; i < 4000 && !f.ended; i++) {
        settle();
        ram_turn(&f.ram);
        /* with all at work there is no room even to look at it */
        if (f.queued > 0 && f.slot[0].used && f.head_sent == 0 && i > 100)
            break;
    }
    CHECK(f.ended || f.head_sent < sizeof(f.head));
    close_nbd();
    f.slot[0].used = false;
    open_nbd();
}

/* ---- faults ---- */

static void plan_failure(uint8_t how)
{
    static const uint8_t statuses[] = {
        SCSI_STATUS_CODE_BUSY, SCSI_STATUS_CODE_TASK_SET_FULL, SCSI_STATUS_CODE_TASK_ABORTED,
        SCSI_STATUS_CODE_RESERVATION_CONFLICT, SCSI_STATUS_CODE_CHECK_CONDITION};
    static const struct sense_code senses[] = {
        {SENSE_UNIT_ATTENTION, 0x29, 0},  {SENSE_UNIT_ATTENTION, 0x3f, 0x0e},
        {SENSE_DATA_PROTECT, 0x27, 0x07}, {SENSE_MEDIUM_ERROR, 0x11, 0},
        {SENSE_RECOVERED_ERROR, 0x17, 0}, {SENSE_NOT_READY, 0x04, 0x01},
        {SENSE_DATA_PROTECT, 0x27, 0},    {SENSE_UNIT_ATTENTION, 0x28, 0},
        {SENSE_ILLEGAL_REQUEST, 0x20, 0}, {SENSE_ILLEGAL_REQUEST, 0x24, 0}};
    struct ram_backend *ram = &f.ram;
    unsigned number = ram->seen_count + 1 + take() % 8;
    ram->fail_number = ram->short_number = ram->over_number = ram->recover_number = 0;
    f.cannot_read = true; /* a proof of continuity can fail with any of them */
    switch (how % 8) {
    case 0:
        ram->short_number = number;
        break;
    case 1:
        ram->over_number = number;
        break;
    case 2:
        ram->recover_number = number;
        break;
    case 3:
        ram->pending_attention = senses[take() % 2];
        break;
    default:
        ram->fail_number = number;
        ram->fail_last = number + (how & 0x80 ? 40 : 0);
        ram->fail_sense = senses[take() % 10];
        ram->fail_status = statuses[how / 8 % 5];
        /* It is not executed, which a current RECOVERED ERROR would deny. */
        ram->fail_deferred = ram->fail_sense.key == SENSE_RECOVERED_ERROR;
        break;
    }
}

static void lose(uint8_t how)
{
    if (!f.ram.up)
        return;
    /* What is lost may have been executed all the same. */
    f.ram.lose_executes = how & 1;
    ram_lose(&f.ram, "lost");
    settle();
    if ((how & 14) == 14)
        new_disk();
}

/* ---- the script ---- */

static void ask_usual(uint8_t how)
{
    static const uint16_t counts[] = {1, 1, 8, 9, 64, 128, 129, 200, 256, 300, 512, 1024};
    static const uint16_t types[] = {NBD_TYPE_READ, NBD_TYPE_WRITE, NBD_TYPE_WRITE, NBD_TYPE_TRIM};
    uint64_t lba = (uint64_t)take() * 4;
    uint32_t blocks = counts[take() % 12];
    uint16_t type = types[how & 3], flags = 0;
    uint32_t most = f.geometry.max_bytes / RAM_BLOCK_BYTES;
    if (type == NBD_TYPE_TRIM && how & 8)
        type = NBD_TYPE_WRITE_ZEROES;
    if (how & 4 && type == NBD_TYPE_WRITE)
        flags = NBD_COMMAND_FUA;
    if (how & 4 && type == NBD_TYPE_WRITE_ZEROES)
        flags = take() & (NBD_COMMAND_FUA | NBD_COMMAND_NO_HOLE);
    if ((type == NBD_TYPE_READ || type == NBD_TYPE_WRITE) && blocks > most)
        blocks = most;
    if (lba + blocks > BLOCKS)
        lba = BLOCKS - blocks;
    ask(type, flags, lba * RAM_BLOCK_BYTES, blocks * RAM_BLOCK_BYTES);
}

static void ask_any(void)
{
    static const uint32_t lengths[] = {0,      1,       511,     512,    513,    4096,
                                       65535,  65536,   65537,   66048,  131072, 524288,
                                       524800, 1048576, 1049088, 2097152};
    static const uint64_t offsets[] = {0,   1,          512,        DISK_BYTES - 512, DISK_BYTES,
                                       513, UINT64_MAX, 1ULL << 63, UINT64_MAX - 511};
    uint16_t type = take() % 8;
    uint16_t flags = take();
    uint64_t offset = offsets[take() % 9];
    uint32_t length = lengths[take() % 16];
    if (type == NBD_TYPE_DISCONNECT)
        type = NBD_TYPE_FLUSH;
    ask(type, flags, offset, type == NBD_TYPE_TRIM && flags & 0x80 ? length << 11 : length);
}

static void rare_event(uint8_t what)
{
    switch (what & 7) {
    case 0: /* the kernel ends it */
        f.closed = true;
        f.let_go = SIZE_MAX;
        break;
    case 1:
        f.reset = true;
        break;
    case 2: /* the process does */
        if (f.nbd)
            close_nbd();
        break;
    case 3:
        send_garbage(what >> 3);
        break;
    default:
        f.ram.room = 1 + take() % RAM_QUEUE;
        f.ram.delay_turns = what >> 3 & 3;
        break;
    }
}

static void event(uint8_t what)
{
    uint8_t how = what >> 4;
    switch (what & 15) {
    case 0:
    case 1:
    case 2:
        ask_usual(how);
        break;
    case 3:
        if (how == 0)
            ask(NBD_TYPE_FLUSH, 0, 0, 0);
        else
            ask_any();
        break;
    case 4: /* the socket is full, or goes on */
        f.room = how == 15 ? SIZE_MAX : (size_t)take() << how;
        break;
    case 5:
        f.let_go = how == 15 ? SIZE_MAX : (size_t)take() << how;
        break;
    case 6:
        f.portion = how == 0 ? 0 : 7 + ((size_t)take() << how);
        break;
    case 7:
    case 8:
        ram_turn(&f.ram);
        break;
    case 9:
        f.ram.hold_from = how == 0 ? 0 : f.ram.seen_count + how;
        break;
    case 10:
        ram_let_go(&f.ram, f.ram.seen_count - how);
        break;
    case 11:
        plan_failure(take());
        break;
    case 12:
        lose(how);
        break;
    case 13:
        if (!f.ram.up)
            ram_up(&f.ram);
        else if (!f.nbd)
            open_nbd();
        break;
    case 14:
        pass((uint64_t)take() << how);
        break;
    default:
        rare_event(take());
        break;
    }
    settle();
    reopen_nbd();
}

static void open_all(void)
{
    static const uint32_t segments[] = {32768, 4096, 16384, 65536};
    uint8_t how = take();
    memset(&f.deferred, 0, sizeof(f) - offsetof(struct fuzz, deferred));
    now_us = 1000000;
    deferred_list_init(&f.deferred);
    pool_init(&f.pool, arena, SLICES);
    memset(arena, 0xee, sizeof(arena));
    ram_init_on(&f.ram, &f.deferred, disk_memory);
    f.ram.blocks = BLOCKS;
    f.ram.write_cache = how & 4;
    f.ram.transfer_blocks = how & 8 ? 150 : 0;
    f.ram.same_blocks = how & 16 ? 100 : 0;
    f.ram.provisioning = how & 32 ? 0xe4 : 0;
    new_disk();
    f.segment_bytes = segments[how & 3];
    struct lun_config config = {
        .backend = &f.ram.backend,
        .deferred = &f.deferred,
        .pool = &f.pool,
        .now_us = virtual_now,
        .attention_off = true,
        .whole_reads = true,
        .segment_bytes = f.segment_bytes,
    };
    f.lun = lun_create(&config);
    CHECK(f.lun);
    ram_up(&f.ram);
    for (unsigned i = 0; !lun_disk(f.lun); i++) {
        CHECK(i < 100);
        ram_turn(&f.ram);
        settle();
    }
    f.geometry = nbd_describe(lun_disk(f.lun), f.segment_bytes, (how & 0x38) == 0x38);
    CHECK(f.geometry.bytes == DISK_BYTES && f.geometry.block_bytes == RAM_BLOCK_BYTES);
    if (how & 0x80) /* it takes less than it told of */
        f.ram.same_blocks /= 2;
    if (how & 0x40) { /* the RAM disk takes UNMAP without a word of it */
        f.geometry.trim_blocks = how & 0x80 ? 1024 : 100;
        f.geometry.flags |= NBD_CAN_TRIM;
    }
    open_nbd();
}

/* ---- the end: an honest kernel, a good target ---- */

static void run_all(void)
{
    for (unsigned turn = 0;; turn++) {
        bool busy = false;
        for (unsigned i = 0; i < SLOTS; i++)
            busy = busy || f.slot[i].used;
        if (!busy)
            break;
        CHECK(turn < 20000);
        if (!f.ram.up)
            ram_up(&f.ram);
        ram_turn(&f.ram);
        settle();
        reopen_nbd();
        if (f.ram.outstanding == 0)
            pass(50000);
    }
}

static void make_good(void)
{
    f.ram.hold_from = f.ram.fail_number = f.ram.short_number = 0;
    f.ram.over_number = f.ram.recover_number = 0;
    f.ram.pending_attention = sense_none;
    f.ram.room = RAM_QUEUE;
    f.ram.delay_turns = 0;
    f.ram.refused = true; /* more() for those who were refused */
    f.let_go = f.room = SIZE_MAX;
    f.portion = 0;
    if (!f.nbd)
        open_nbd();
}

static void finish(void)
{
    make_good();
    run_all();
    pass(20000000);
    for (unsigned i = 0; i < 20 || f.ram.outstanding > 0; i++) {
        CHECK(i < 1000);
        if (!f.ram.up)
            ram_up(&f.ram);
        ram_turn(&f.ram);
        settle();
    }
    CHECK(lun_medium(f.lun) == MEDIUM_IN || f.exchanged || f.cannot_read);
    f.honest = lun_medium(f.lun) == MEDIUM_IN && f.disk == 1;
    unsigned before = f.answered, asked = 0;
    ask(NBD_TYPE_WRITE, NBD_COMMAND_FUA, 0, 4096);
    ask(NBD_TYPE_FLUSH, 0, 0, 0);
    ask(NBD_TYPE_TRIM, 0, 8192, 4096);
    asked = 3;
    run_all();
    for (uint32_t at = 0; at < DISK_BYTES; at += f.geometry.max_bytes) {
        uint32_t left = DISK_BYTES - at;
        ask(NBD_TYPE_READ, 0, at, left < f.geometry.max_bytes ? left : f.geometry.max_bytes);
        asked++;
        run_all();
    }
    CHECK(f.answered == before + asked);
    CHECK(!f.ended && nbd_stats(f.nbd)->outstanding == 0);
    check_disk();
    close_nbd();
    CHECK(lun_stats(f.lun)->outstanding == 0 && f.ram.outstanding == 0);
    CHECK(f.pool.free_count == SLICES);
    ram_lose(&f.ram, "over");
    settle();
    lun_destroy(f.lun);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size > 4096)
        return 0;
    f.input = input;
    f.left = size;
    open_all();
    for (unsigned i = 0; f.left > 0 && i < EVENTS_MAX; i++)
        event(take());
    finish();
    return 0;
}
