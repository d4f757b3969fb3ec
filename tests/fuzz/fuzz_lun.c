/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The input is a script for the logical unit between a host that does what it
 * likes and a target that does, too: any CDB with any length, eight commands at
 * once, data in pieces, aborts; BUSY, unit attentions, failures, short answers,
 * commands that hang, sessions lost with and without effect, another disk behind
 * the same name, no room, no slices. Time is virtual.
 *
 * Every block carries the disk, its address and a version, so that each byte
 * that reaches the host or the target can be judged:
 *   - a READ brings blocks of the disk that the host knows, at the address it
 *     asked for, not older than what was acknowledged before it was submitted;
 *   - what a WRITE calls moved is on the disk, and stays;
 *   - nothing is written to another disk than the host knew;
 *   - commands that overlap and write are never at the target together, orphans
 *     included;
 *   - without a medium nothing is read or written;
 *   - a disk that holds what it took is not called another one's copy, unless nothing
 *     of it can be read; it is ours at the end, whoever had it in between;
 *   - every command is completed once, and in time if the host does its part;
 *   - at the end an honest host is served, and all slices are home.
 */
#include "bridge/bytes.h"
#include "bridge/lun.h"
#include "bridge/opcode.h"
#include "tests/unit/ram_backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS     8
#define SLICES    20u
#define BLOCKS    1024u
#define OUT_MAX   16
#define WITHIN_US 4000000u
#define WORDS     (RAM_BLOCK_BYTES / 8)

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #what);                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

/* A piece or a room that the host has. */
struct out {
    uint8_t *at;
    uint32_t bytes;
};

/* What the host knows of one of its commands. */
struct slot {
    struct lun_cmd *cmd; /* NULL: free */
    struct op op;
    bool no_medium;                /* at submit */
    bool complete, aborted, ended; /* ended: it sent fewer bytes than it should */
    uint32_t disk;                 /* that the host knew at submit */
    uint32_t version;              /* of what it writes */
    uint32_t taken_bytes, done_bytes;
    struct out out[OUT_MAX]; /* oldest first */
    unsigned outs;
    uint64_t waited_us; /* while it had neither piece nor room */
    uint32_t floor[BLOCKS];
};

static struct fuzz {
    const uint8_t *input;
    size_t left;
    struct deferred_list deferred;
    struct pool pool;
    struct ram_backend ram;
    struct cable cable;
    struct lun *lun;
    struct slot slot[SLOTS];
    uint8_t *hostage[SLICES];
    unsigned hostages;
    unsigned ends; /* drops and rejects that were carried out */
    uint32_t disk; /* behind the target's name now */
    char serial[16];
    uint32_t accepted_disk, known_disk;
    bool told_no_medium;
    bool exclusive;
    bool cannot_read; /* a failure was planned that a proof cannot get past */
    bool cut_short;   /* and one that looks like a target without reservations */
    unsigned releases, released;
    uint32_t versions;
    uint32_t acknowledged[BLOCKS], issued[BLOCKS];
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
    CHECK((uint32_t)(first >> 48) == disk);
    CHECK((first >> 32 & 0xffff) == lba);
    fill_block(expected, disk, lba, (uint32_t)first);
    CHECK(memcmp(at, expected, sizeof(expected)) == 0);
    return (uint32_t)first;
}

static void new_disk(void)
{
    f.disk++;
    snprintf(f.serial, sizeof(f.serial), "disk%u", f.disk);
    f.ram.serial = f.serial;
    for (uint32_t lba = 0; lba < BLOCKS; lba++)
        fill_block(ram_block(&f.ram, lba), f.disk, lba, 0);
    memset(f.acknowledged, 0, sizeof(f.acknowledged));
}

static void check_disk(void)
{
    for (uint32_t lba = 0; lba < BLOCKS; lba++) {
        uint32_t version = block_version(ram_block(&f.ram, lba), f.disk, lba);
        CHECK(version >= f.acknowledged[lba] && version <= f.issued[lba]);
    }
}

/* ---- the target's side ---- */

/* The blocks that a command touches, or may for all we know. */
struct span {
    uint64_t first, end;
    bool write;
};

static struct span span_of(const struct backend_cmd *cmd)
{
    struct op op;
    op_decode(cmd->cdb, cmd->cdb_bytes, RAM_BLOCK_BYTES, &op);
    uint64_t end = op.lba > UINT64_MAX - op.blocks ? UINT64_MAX : op.lba + op.blocks;
    if (op.flush)
        return (struct span){0, UINT64_MAX, false};
    if (cmd->cdb[0] == OP_PERSISTENT_RESERVE_OUT) /* of the bridge's own, it comes at any time */
        return (struct span){0, 0, false};
    if (op.plain || (op.read_only && op.ranged))
        return (struct span){op.lba, end, op.writes};
    return (struct span){0, op.read_only ? 0 : UINT64_MAX, !op.read_only};
}

static void check_order(void)
{
    struct span span[RAM_QUEUE];
    unsigned count = 0;
    for (unsigned i = 0; i < RAM_QUEUE; i++) {
        if (!f.ram.queue[i])
            continue;
        struct span b = span[count] = span_of(f.ram.queue[i]);
        for (unsigned j = 0; j < count; j++) {
            struct span a = span[j];
            CHECK(!(a.write || b.write) || a.end <= b.first || b.end <= a.first);
        }
        count++;
    }
}

static void disk_accepted(void *ctx, const struct disk_identity *disk)
{
    (void)ctx;
    (void)disk;
    f.accepted_disk = f.disk;
}

static void settle(void)
{
    for (unsigned turns = 0; deferred_pending(&f.deferred); turns++) {
        CHECK(turns < 10000);
        deferred_run(&f.deferred);
        check_order();
        if (f.ram.up && f.ram.drops + f.ram.rejects != f.ends) {
            f.ends = f.ram.drops + f.ram.rejects;
            ram_lose(&f.ram, "ended");
        }
    }
}

static void pass(uint64_t us)
{
    uint64_t end = now_us + us;
    for (;;) {
        settle();
        uint64_t next = lun_next_timeout_us(f.lun);
        uint64_t to = next < end ? next : end;
        if (to > now_us) {
            for (unsigned i = 0; i < SLOTS; i++)
                if (f.slot[i].cmd && f.slot[i].outs == 0)
                    f.slot[i].waited_us += to - now_us;
            now_us = to;
        }
        if (next > end)
            break;
        lun_run_timeouts(f.lun);
        settle();
        for (unsigned i = 0; i < SLOTS; i++)
            CHECK(!f.slot[i].cmd || f.slot[i].complete || f.slot[i].aborted ||
                  f.slot[i].waited_us <= WITHIN_US);
    }
}

/* ---- the host's side ---- */

static void on_progress(struct lun_cmd *cmd)
{
    const struct slot *s = cmd->front;
    CHECK(s->cmd == cmd && !s->complete && !s->aborted);
}

/* What was moved of a WRITE is on the disk from now on. */
static void acknowledge(const struct slot *s)
{
    uint32_t blocks = s->cmd->outcome.moved_bytes / RAM_BLOCK_BYTES;
    if (!s->op.plain || !s->op.writes || s->disk != f.disk)
        return;
    CHECK(blocks <= s->op.blocks);
    for (uint32_t i = 0; i < blocks; i++) {
        CHECK(s->op.lba + i < BLOCKS);
        if (f.acknowledged[s->op.lba + i] < s->version)
            f.acknowledged[s->op.lba + i] = s->version;
    }
}

static void on_complete(struct lun_cmd *cmd)
{
    struct slot *s = cmd->front;
    const struct scsi_outcome *o = &cmd->outcome;
    struct sense_code sense;
    CHECK(s->cmd == cmd && !s->complete && !s->aborted);
    CHECK(cmd->owner == SCSI_OWNER_REPLY);
    CHECK(o->moved_bytes <= cmd->length_bytes);
    s->complete = true;
    acknowledge(s);
    bool good = o->status == SCSI_STATUS_CODE_GOOD && !o->phase_error;
    if (good && s->op.plain)
        CHECK(o->moved_bytes == s->op.length_bytes && !s->no_medium);
    CHECK(!(good && s->ended));
    if (cmd->cdb[0] == OP_REQUEST_SENSE) /* its data may be the news */
        f.known_disk = f.accepted_disk;
    if (o->phase_error || o->status != SCSI_STATUS_CODE_CHECK_CONDITION)
        return;
    CHECK(o->sense_bytes > 0 && o->sense_bytes <= SENSE_MAX_BYTES);
    sense_parse(o->sense, o->sense_bytes, &sense);
    if (sense_code_equal(sense, sense_no_medium))
        f.told_no_medium = true;
    else if (sense_code_equal(sense, sense_medium_changed))
        f.known_disk = f.accepted_disk;
    else /* the others are the target's, and stay with us */
        CHECK(sense.key != SENSE_UNIT_ATTENTION || sense_code_equal(sense, sense_capacity_changed));
}

static const struct frontend_ops ops = {on_progress, on_complete};

static void submit(const uint8_t *cdb, uint8_t cdb_bytes, enum scsi_dir dir, uint32_t bytes)
{
    struct slot *s = f.slot;
    while (s < f.slot + SLOTS && s->cmd)
        s++;
    if (s == f.slot + SLOTS)
        return;
    memset(s, 0, offsetof(struct slot, floor));
    memcpy(s->floor, f.acknowledged, sizeof(s->floor));
    s->cmd = lun_cmd_take(f.lun, &ops);
    CHECK(s->cmd);
    memcpy(s->cmd->cdb, cdb, SCSI_CDB_MAX_BYTES);
    s->cmd->cdb_bytes = cdb_bytes;
    s->cmd->dir = dir;
    s->cmd->length_bytes = bytes;
    s->cmd->front = s;
    if (f.known_disk == 0 && !f.told_no_medium) /* a host that comes when all is there */
        f.known_disk = f.accepted_disk;
    s->disk = f.known_disk;
    s->no_medium = lun_medium(f.lun) != MEDIUM_IN;
    op_decode(cdb, cdb_bytes, RAM_BLOCK_BYTES, &s->op);
    if (s->op.plain && s->op.writes) {
        s->version = ++f.versions;
        for (uint64_t lba = s->op.lba; lba < BLOCKS && lba < s->op.lba + s->op.blocks; lba++)
            f.issued[lba] = s->version;
    }
    lun_submit(f.lun, s->cmd);
    check_order();
}

/* A READ or WRITE of the usual kind. */
static void submit_plain(uint8_t how)
{
    static const uint8_t reads[] = {OP_READ_10, OP_READ_6, OP_READ_12, OP_READ_16};
    static const uint8_t writes[] = {OP_WRITE_10, OP_WRITE_6, OP_WRITE_12, OP_WRITE_16};
    static const uint16_t counts[] = {1, 1, 8, 9, 64, 128, 129, 200, 256, 300, 600, 1024};
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {0};
    bool out = how & 1;
    uint32_t lba = (uint32_t)take() * 4;
    uint32_t blocks = counts[take() % 12];
    if ((how >> 1 & 3) == 1 && blocks > 256)
        blocks = 256;
    if (lba + blocks > BLOCKS)
        lba = BLOCKS - blocks;
    cdb[0] = out ? writes[how >> 1 & 3] : reads[how >> 1 & 3];
    cdb[1] = how >> 3 & 1 && cdb[0] > 0x0a ? 0x08 : 0; /* FUA */
    op_set_range(cdb, lba, blocks);
    submit(cdb, SCSI_CDB_MAX_BYTES, out ? SCSI_DIR_OUT : SCSI_DIR_IN, blocks * RAM_BLOCK_BYTES);
}

static void submit_any(void)
{
    static const uint8_t usual[] = {
        OP_TEST_UNIT_READY,  OP_REQUEST_SENSE,        OP_INQUIRY,     OP_MODE_SENSE_6,
        OP_READ_CAPACITY_10, OP_SYNCHRONIZE_CACHE_10, OP_UNMAP,       OP_COMPARE_AND_WRITE,
        OP_VERIFY_10,        OP_WRITE_SAME_10,        OP_REPORT_LUNS, OP_START_STOP_UNIT};
    static const uint32_t lengths[] = {0,    1,    8,     18,    36,     192,    255,     512,
                                       1024, 4096, 65536, 65537, 131072, 524288, 1048576, 1048577};
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    uint8_t how = take();
    for (unsigned i = 0; i < sizeof(cdb); i++)
        cdb[i] = take();
    if (how & 0x80)
        cdb[0] = usual[cdb[0] % sizeof(usual)];
    struct op op;
    op_decode(cdb, SCSI_CDB_MAX_BYTES, RAM_BLOCK_BYTES, &op);
    uint32_t bytes = lengths[take() % 16];
    enum scsi_dir dir = (enum scsi_dir)(how % 3);
    if ((how & 0x40) && op.length != OP_LENGTH_HOST && op.length_bytes <= 1u << 24) {
        bytes = (uint32_t)op.length_bytes;
        dir = op.dir;
    }
    submit(cdb, (uint8_t)(1 + how % SCSI_CDB_MAX_BYTES), dir, bytes);
}

static void check_in(const struct slot *s, const uint8_t *piece, uint32_t bytes)
{
    uint32_t at = s->taken_bytes;
    if (!s->op.plain || s->op.writes)
        return;
    CHECK(at % RAM_BLOCK_BYTES == 0 && bytes % RAM_BLOCK_BYTES == 0);
    for (uint32_t i = 0; i < bytes; i += RAM_BLOCK_BYTES) {
        uint64_t lba = s->op.lba + (at + i) / RAM_BLOCK_BYTES;
        CHECK(lba < BLOCKS);
        uint32_t version = block_version(piece + i, s->disk, lba);
        CHECK(version >= s->floor[lba] && version <= f.issued[lba]);
    }
}

static void fill_out(const struct slot *s, uint8_t *room, uint32_t bytes)
{
    if (!s->op.plain || s->taken_bytes % RAM_BLOCK_BYTES || bytes % RAM_BLOCK_BYTES) {
        memset(room, 0xb5, bytes);
        return;
    }
    for (uint32_t i = 0; i < bytes; i += RAM_BLOCK_BYTES)
        fill_block(room + i, s->disk, s->op.lba + (s->taken_bytes + i) / RAM_BLOCK_BYTES,
                   s->version);
}

/* Takes a piece or a room. False: there is none. */
static bool slot_take(struct slot *s)
{
    struct out *out = &s->out[s->outs];
    bool in = s->cmd->dir == SCSI_DIR_IN;
    if (s->outs == OUT_MAX || s->ended || s->aborted)
        return false;
    out->bytes = in ? lun_in_next(f.lun, s->cmd, &out->at) : lun_out_next(f.lun, s->cmd, &out->at);
    if (out->bytes == 0)
        return false;
    CHECK(!in || !s->complete || s->taken_bytes + out->bytes <= s->cmd->outcome.moved_bytes);
    if (in)
        check_in(s, out->at, out->bytes);
    else
        fill_out(s, out->at, out->bytes);
    s->taken_bytes += out->bytes;
    CHECK(s->taken_bytes <= s->cmd->length_bytes);
    s->outs++;
    return true;
}

/* Gives the oldest one back; a room in part if `cut`. */
static void slot_give(struct slot *s, bool cut)
{
    if (s->outs == 0)
        return;
    struct out out = s->out[0];
    s->outs--;
    memmove(s->out, s->out + 1, s->outs * sizeof(out));
    if (s->cmd->dir == SCSI_DIR_IN) {
        /* Until it is given back the piece is the host's. */
        s->taken_bytes -= out.bytes;
        uint32_t taken_bytes = s->taken_bytes;
        s->taken_bytes = s->done_bytes;
        check_in(s, out.at, out.bytes);
        s->taken_bytes = taken_bytes + out.bytes;
        s->done_bytes += out.bytes;
        lun_in_done(f.lun, s->cmd, out.bytes);
    } else if (!s->ended) {
        s->ended = cut && !s->complete;
        lun_out_done(f.lun, s->cmd, cut ? out.bytes / 2 : out.bytes);
    }
}

static void slot_abort(struct slot *s)
{
    if (!s->aborted)
        lun_abort(f.lun, s->cmd);
    s->aborted = true;
}

static void slot_release(struct slot *s)
{
    if (s->outs > 0 || !(s->complete || s->aborted))
        return;
    lun_release(f.lun, s->cmd);
    s->cmd = NULL;
}

/* ---- faults ---- */

static void plan_failure(uint8_t how)
{
    static const uint8_t statuses[] = {
        SCSI_STATUS_CODE_BUSY, SCSI_STATUS_CODE_TASK_SET_FULL, SCSI_STATUS_CODE_TASK_ABORTED,
        SCSI_STATUS_CODE_RESERVATION_CONFLICT, SCSI_STATUS_CODE_CHECK_CONDITION};
    static const struct sense_code senses[] = {
        {SENSE_UNIT_ATTENTION, 0x29, 0},  {SENSE_UNIT_ATTENTION, 0x3f, 0x0e},
        {SENSE_UNIT_ATTENTION, 0x28, 0},  {SENSE_MEDIUM_ERROR, 0x11, 0},
        {SENSE_RECOVERED_ERROR, 0x17, 0}, {SENSE_NOT_READY, 0x04, 0x01}};
    struct ram_backend *ram = &f.ram;
    unsigned number = ram->seen_count + 1 + take() % 8;
    ram->fail_number = ram->short_number = ram->over_number = ram->recover_number = 0;
    switch (how % 8) {
    case 0:
        ram->short_number = number;
        f.cut_short = true;
        break;
    case 1:
        ram->over_number = number;
        break;
    case 2:
        ram->recover_number = number;
        break;
    case 3:
        ram->pending_attention = senses[take() % 3];
        break;
    default:
        ram->fail_number = number;
        ram->fail_last = number + (how & 0x80 ? 40 : 0);
        ram->fail_sense = senses[take() % 6];
        f.cannot_read = f.cannot_read || ram->fail_sense.key == SENSE_MEDIUM_ERROR;
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
    if (how & 2)
        new_disk();
    if (how & 4)
        f.ram.blocks = BLOCKS + (how >> 3 & 3);
}

static void hold_slices(unsigned count)
{
    while (f.hostages > count)
        pool_give(&f.pool, f.hostage[--f.hostages]);
    while (f.hostages < count && f.pool.free_count > 0)
        f.hostage[f.hostages++] = pool_take(&f.pool);
}

/* ---- the script ---- */

static void open_lun(void)
{
    uint8_t how = take();
    static const uint32_t segments[] = {0, 4096, 16384, 61440};
    memset(&f.deferred, 0, sizeof(f) - offsetof(struct fuzz, deferred));
    now_us = 1000000;
    deferred_list_init(&f.deferred);
    pool_init(&f.pool, arena, SLICES);
    memset(arena, 0xee, sizeof(arena));
    ram_init_on(&f.ram, &f.deferred, disk_memory);
    f.ram.blocks = BLOCKS;
    new_disk();
    /* The host that waits least, so that WITHIN_US holds for it. */
    cable_init(&f.cable, how & 4 ? 2 : 1, &host_unknown);
    struct lun_config config = {
        .backend = &f.ram.backend,
        .deferred = &f.deferred,
        .pool = &f.pool,
        .now_us = virtual_now,
        .disk_changed = disk_accepted,
        .answer_within_ms = how & 0x20 ? LUN_ANSWER_BY_HOST : WITHIN_US / 1000,
        .cable = how & 0x20 ? &f.cable : NULL,
        .reinsert = (enum medium_reinsert)(how % 3),
        .reinsert_after_ms = 3000,
        .give_up_after_ms = how & 0x40 ? 60000 : 0,
        .segment_bytes = segments[how & 3],
        .removable = how & 4,
        .read_only = (how & 0x18) == 0x18,
    };
    f.exclusive = how & 0x10;
    config.reservation_key = f.exclusive ? 0x4c554e : 0;
    config.take_over = how & 8;
    f.ram.pr = !(how & 0x20);
    f.ram.pr_abort = how & 1;
    f.ram.pr_forgets = how & 2;
    f.lun = lun_create(&config);
    CHECK(f.lun);
    if (how & 0x80)
        return;
    ram_up(&f.ram);
    for (unsigned i = 0; i < 20; i++) {
        ram_turn(&f.ram);
        settle();
    }
}

static void note_release(void *ctx)
{
    (void)ctx;
    f.released++;
    CHECK(f.released <= f.releases);
}

static const struct sense_code preempted = {SENSE_UNIT_ATTENTION, 0x2a, 0x03};

/* Another initiator takes the disk, or gives it back. */
static void other_takes(bool takes)
{
    if (!takes && f.ram.pr_holder != RAM_PR_OTHERS)
        return;
    f.ram.pr_other_key = takes ? 0x7468656d : 0;
    f.ram.pr_holder = takes ? RAM_PR_OTHERS : RAM_PR_FREE;
    if (takes && f.ram.pr_key != 0)
        f.ram.pending_attention = preempted;
    f.ram.pr_key = 0;
}

static void release_access(void)
{
    if (f.releases != f.released)
        return;
    f.releases++;
    lun_release_access(f.lun, note_release, NULL);
}

static void rare_event(uint8_t what)
{
    switch (what % 10) {
    case 0:
        lun_host_reset(f.lun);
        break;
    case 1:
    case 2:
        (void)lun_eject(f.lun, what % 10 == 1);
        break;
    case 3:
        (void)lun_insert(f.lun);
        break;
    case 4:
        lun_replugged(f.lun);
        break;
    case 5:
        release_access();
        break;
    case 6:
        lun_claim_access(f.lun);
        break;
    case 7:
    case 8:
        if (f.exclusive)
            other_takes(what % 10 == 7);
        break;
    default: /* the other unit on the cable is in use */
        f.cable.used_us[1] = now_us;
        break;
    }
}

static void event(uint8_t what)
{
    uint8_t how = what >> 4;
    struct slot *s = &f.slot[how % SLOTS];
    switch (what & 15) {
    case 0:
    case 1:
        submit_plain(how);
        break;
    case 2:
        submit_any();
        break;
    case 3:
        while (s->cmd && slot_take(s)) {
        }
        break;
    case 4:
        if (s->cmd)
            slot_give(s, how == 15);
        break;
    case 5:
        if (s->cmd)
            for (unsigned i = take() % 32; i > 0 && slot_take(s); i--)
                slot_give(s, false);
        break;
    case 6:
        if (s->cmd && how >= 8)
            slot_abort(s);
        if (s->cmd)
            slot_release(s);
        break;
    case 7:
    case 8:
        ram_turn(&f.ram);
        settle();
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
        break;
    case 14:
        pass((uint64_t)take() << how);
        break;
    default:
        if (how < 8)
            hold_slices(how * 3);
        else if (how < 15)
            f.ram.room = 1 + take() % RAM_QUEUE;
        else
            rare_event(take());
        break;
    }
    settle();
}

/* ---- the end: an honest host, a good target ---- */

static bool serve_all(void)
{
    bool busy = false;
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *s = &f.slot[i];
        if (!s->cmd)
            continue;
        while (slot_take(s)) {
        }
        while (s->outs > 0)
            slot_give(s, false);
        slot_release(s);
        busy = busy || s->cmd;
    }
    return busy;
}

static void run_all(void)
{
    for (unsigned turn = 0; serve_all(); turn++) {
        CHECK(turn < 4000);
        if (!f.ram.up)
            ram_up(&f.ram);
        settle();
        ram_turn(&f.ram);
        settle();
        if (f.ram.outstanding == 0)
            pass(50000);
    }
}

static void make_good(void)
{
    f.ram.hold_from = f.ram.fail_number = f.ram.short_number = 0;
    f.ram.over_number = f.ram.recover_number = 0;
    f.ram.pending_attention =
        f.exclusive && f.ram.pr && f.ram.pr_holder != RAM_PR_OURS ? preempted : sense_none;
    f.ram.room = RAM_QUEUE;
    f.ram.refused = true; /* more() for those who were refused */
    hold_slices(0);
    other_takes(false);
    lun_claim_access(f.lun);
    (void)lun_insert(f.lun);
}

static void finish(void)
{
    make_good();
    run_all();
    pass(20000000);
    (void)lun_insert(f.lun); /* what was given up while there was no session */
    /* At most a medium change and a capacity change are still to be told. */
    static const uint8_t tur[SCSI_CDB_MAX_BYTES] = {OP_TEST_UNIT_READY};
    for (unsigned i = 0; i < 12 || f.ram.outstanding > 0; i++) {
        if (!f.ram.up)
            ram_up(&f.ram);
        ram_turn(&f.ram);
        settle();
    }
    if (lun_medium(f.lun) == MEDIUM_EXCHANGED)
        lun_replugged(f.lun);
    for (unsigned i = 0; i < 3; i++) {
        submit(tur, 6, SCSI_DIR_NONE, 0);
        run_all();
    }
    check_disk();
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {OP_READ_10};
    op_set_range(cdb, 0, BLOCKS);
    submit(cdb, 10, SCSI_DIR_IN, BLOCKS * RAM_BLOCK_BYTES);
    struct slot *s = &f.slot[0];
    while (!s->complete || s->done_bytes < s->cmd->outcome.moved_bytes) {
        settle();
        ram_turn(&f.ram);
        while (slot_take(s)) {
        }
        while (s->outs > 0)
            slot_give(s, false);
    }
    CHECK(s->cmd->outcome.status == SCSI_STATUS_CODE_GOOD && !s->cmd->outcome.phase_error);
    CHECK(s->done_bytes == BLOCKS * RAM_BLOCK_BYTES);
    slot_release(s);
    settle();
    CHECK(lun_next_timeout_us(f.lun) == UINT64_MAX);
    CHECK(lun_stats(f.lun)->outstanding == 0 && f.ram.outstanding == 0);
    CHECK(lun_stats(f.lun)->disproofs == 0 || f.cannot_read);
    CHECK(lun_stats(f.lun)->access_held == (f.exclusive && f.ram.pr) || f.cut_short);
    CHECK(f.ram.pr_holder == (lun_stats(f.lun)->access_held ? RAM_PR_OURS : RAM_PR_FREE) ||
          f.cut_short);
    CHECK(f.releases == f.released);
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
    open_lun();
    while (f.left > 0)
        event(take());
    finish();
    return 0;
}
