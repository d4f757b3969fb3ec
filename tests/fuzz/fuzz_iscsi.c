/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The input is a script for the other side of a session: the scripted target
 * (tests/target/hostile.h), whose answers are bent, cut, repeated and mixed with
 * bytes of the input, under commands of every direction and size. The session
 * and libiscsi are the real ones; their socket is memory (the functions are put
 * in by the linker's --wrap), the clock virtual, random numbers the same each time.
 *
 *   - a command is completed once, in its session or with its end;
 *   - what it calls moved has come: no byte of the buffer is another command's;
 *   - nothing of a buffer is sent after its command went back;
 *   - no answer makes us work, or use memory, without end;
 *   - at the end a target that behaves is logged in to and read from.
 */
#include "bridge/bytes.h"
#include "initiator/session.h"
#include "tests/target/hostile.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sanitizer/allocator_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SLOTS        8u
#define BUFFER_BYTES 65536u
#define BLOCKS       512u
/* What a buffer holds that is not the command's: neither we nor the target send
 * eight of it. */
#define STALE      0x5e
#define STALE_RUN  8u
#define MEMORY_MAX (64u << 20)
#define IDLE_TURNS 200u /* in a row, without a byte moved: work without end */
#define PORTIONS   300u /* of one connection; then all comes at once */
#define THE_SOCKET 900  /* no file descriptor of the process */
#define JUDGED_LBA 7u
#define EVENTS_MAX 200u

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #what);                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

struct slot {
    struct backend_cmd cmd;
    bool busy;
    uint8_t buffer[BUFFER_BYTES];
};

static struct fuzz {
    const uint8_t *input;
    size_t left;
    uint64_t now_us;
    struct deferred_list deferred;
    struct session_config config;
    struct session *session;
    struct hostile target;
    struct slot slots[SLOTS];
    uint8_t requests[64][BHS_BYTES]; /* the last of each opcode */
    /* The socket. */
    bool connected, closed, reset;
    size_t portion; /* of bytes that one call takes or brings; 0: any */
    unsigned portions;
    bool moved;    /* bytes were */
    size_t let_go; /* bytes of the target that may come now */
    size_t room;   /* for bytes of ours */
    /* What the next answer is bent by. */
    uint8_t bends[8][2];
    unsigned bend_count;
    unsigned unanswered; /* so many of the next requests are */
    char keys[256];
    bool honest; /* the target is; what it says is checked */
} f;

static uint8_t disk[BLOCKS * RAM_BLOCK_BYTES];

static uint8_t take(void)
{
    if (f.left == 0)
        return 0;
    f.left--;
    return *f.input++;
}

static uint64_t virtual_now(void)
{
    return f.now_us;
}

/* ---- the socket ---- */

int __wrap_socket(int domain, int type, int protocol);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t bytes);
int __wrap_close(int fd);
int __real_close(int fd);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t bytes);
int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *bytes);
int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *bytes);
ssize_t __wrap_recv(int fd, void *bytes, size_t count, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t count, int flags);
ssize_t __wrap_readv(int fd, const struct iovec *iov, int count);
ssize_t __wrap_writev(int fd, const struct iovec *iov, int count);
int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **result);
void __wrap_freeaddrinfo(struct addrinfo *ai);
ssize_t __wrap_getrandom(void *bytes, size_t count, unsigned flags);
time_t __wrap_time(time_t *out);

int __wrap_socket(int domain, int type, int protocol)
{
    (void)domain;
    (void)type;
    (void)protocol;
    return THE_SOCKET;
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t bytes)
{
    CHECK(fd == THE_SOCKET);
    (void)address;
    (void)bytes;
    hostile_connected(&f.target);
    f.connected = true;
    f.closed = f.reset = false;
    f.let_go = f.room = SIZE_MAX;
    f.portion = 0;
    f.portions = 0;
    errno = EINPROGRESS;
    return -1;
}

int __wrap_close(int fd)
{
    if (fd != THE_SOCKET)
        return __real_close(fd);
    f.connected = false;
    return 0;
}

int __wrap_fcntl(int fd, int command, ...)
{
    CHECK(fd == THE_SOCKET);
    (void)command;
    return 0;
}

int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t bytes)
{
    CHECK(fd == THE_SOCKET);
    (void)level;
    (void)option;
    (void)value;
    (void)bytes;
    return 0;
}

int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *bytes)
{
    CHECK(fd == THE_SOCKET && level == SOL_SOCKET && option == SO_ERROR);
    memset(value, 0, *bytes);
    if (f.reset)
        *(int *)value = ECONNRESET;
    return 0;
}

int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *bytes)
{
    CHECK(fd == THE_SOCKET);
    memset(address, 0, *bytes);
    return 0;
}

static size_t coming(void)
{
    return f.target.out_bytes < f.let_go ? f.target.out_bytes : f.let_go;
}

static size_t portion_of(size_t count)
{
    if (f.portion == 0 || count <= f.portion || f.portions == PORTIONS)
        return count;
    f.portions++;
    return f.portion;
}

static ssize_t bring(uint8_t *bytes, size_t count)
{
    size_t have = coming();

    CHECK(f.connected);
    if (f.reset) {
        errno = ECONNRESET;
        return -1;
    }
    if (count > have)
        count = have;
    count = portion_of(count);
    if (count == 0 && f.closed && f.target.out_bytes == 0)
        return 0;
    if (count == 0) {
        errno = EAGAIN;
        return -1;
    }
    memcpy(bytes, f.target.out + f.target.out_done, count);
    hostile_sent(&f.target, count);
    f.moved = true;
    if (f.let_go != SIZE_MAX)
        f.let_go -= count;
    return (ssize_t)count;
}

static bool has_stale(const uint8_t *bytes, size_t count)
{
    static const uint8_t run[STALE_RUN] = {STALE, STALE, STALE, STALE, STALE, STALE, STALE, STALE};

    return memmem(bytes, count, run, sizeof(run)) != NULL;
}

static ssize_t carry(const uint8_t *bytes, size_t count)
{
    CHECK(f.connected);
    if (f.reset || f.closed) {
        errno = EPIPE;
        return -1;
    }
    count = portion_of(count < f.room ? count : f.room);
    if (count == 0) {
        errno = EAGAIN;
        return -1;
    }
    CHECK(!has_stale(bytes, count));
    hostile_take(&f.target, bytes, count);
    f.moved = true;
    if (f.room != SIZE_MAX)
        f.room -= count;
    return (ssize_t)count;
}

ssize_t __wrap_recv(int fd, void *bytes, size_t count, int flags)
{
    CHECK(fd == THE_SOCKET);
    (void)flags;
    return bring(bytes, count);
}

ssize_t __wrap_send(int fd, const void *bytes, size_t count, int flags)
{
    CHECK(fd == THE_SOCKET);
    (void)flags;
    return carry(bytes, count);
}

static ssize_t each(const struct iovec *iov, int count, bool out)
{
    ssize_t done = 0;

    for (int i = 0; i < count; i++) {
        ssize_t n;
        if (iov[i].iov_len == 0)
            continue;
        n = out ? carry(iov[i].iov_base, iov[i].iov_len) : bring(iov[i].iov_base, iov[i].iov_len);
        if (n <= 0)
            return done > 0 ? done : n;
        done += n;
        if ((size_t)n < iov[i].iov_len)
            break;
    }
    return done;
}

ssize_t __wrap_readv(int fd, const struct iovec *iov, int count)
{
    CHECK(fd == THE_SOCKET);
    return each(iov, count, false);
}

ssize_t __wrap_writev(int fd, const struct iovec *iov, int count)
{
    CHECK(fd == THE_SOCKET);
    return each(iov, count, true);
}

int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **result)
{
    static struct sockaddr_in address;
    static struct addrinfo ai = {.ai_family = AF_INET, .ai_addr = (struct sockaddr *)&address};

    (void)service;
    (void)hints;
    CHECK(address_is_numeric(node));
    *result = &ai;
    return 0;
}

void __wrap_freeaddrinfo(struct addrinfo *ai)
{
    (void)ai;
}

ssize_t __wrap_getrandom(void *bytes, size_t count, unsigned flags)
{
    (void)flags;
    memset(bytes, 0x11, count);
    return (ssize_t)count;
}

time_t __wrap_time(time_t *out)
{
    time_t now = (time_t)(f.now_us / 1000000);

    if (out)
        *out = now;
    return now;
}

/* ---- the logical unit's part ---- */

static void on_up(void *ctx)
{
    struct backend *backend = session_backend(f.session);

    (void)ctx;
    backend->ops->accept(backend);
}

static void on_down(void *ctx, const char *why)
{
    (void)ctx;
    CHECK(why[0] != '\0');
    for (unsigned i = 0; i < SLOTS; i++)
        CHECK(!f.slots[i].busy);
}

static void on_more(void *ctx)
{
    (void)ctx;
}

static const struct backend_events events = {.up = on_up, .down = on_down, .more = on_more};

static void on_done(struct deferred *d)
{
    struct backend_cmd *cmd =
        (struct backend_cmd *)((char *)d - offsetof(struct backend_cmd, done));
    struct slot *s = (struct slot *)((char *)cmd - offsetof(struct slot, cmd));
    const struct scsi_outcome *o = &cmd->outcome;

    CHECK(s->busy);
    s->busy = false;
    if (cmd->result == BACKEND_DONE) {
        CHECK(o->moved_bytes <= cmd->length_bytes);
        CHECK(o->sense_bytes <= SENSE_MAX_BYTES);
        CHECK(o->status != SCSI_STATUS_CODE_CHECK_CONDITION || o->sense_bytes > 0);
        if (cmd->dir == SCSI_DIR_IN)
            CHECK(!has_stale(s->buffer, o->moved_bytes));
        if (f.honest)
            CHECK(memcmp(s->buffer, disk + JUDGED_LBA * RAM_BLOCK_BYTES, o->moved_bytes) == 0);
    }
    /* Somebody else's now. */
    memset(s->buffer, STALE, cmd->length_bytes);
}

/* ---- the event loop ---- */

static bool serve(void)
{
    short wanted;
    short revents = 0;

    if (session_fd(f.session) != THE_SOCKET)
        return false;
    if (f.target.closes && f.target.out_bytes == 0)
        f.closed = true;
    wanted = session_poll_events(f.session);
    if ((wanted & POLLIN) && (coming() > 0 || (f.closed && f.target.out_bytes == 0)))
        revents |= POLLIN;
    if ((wanted & POLLOUT) && f.room > 0)
        revents |= POLLOUT;
    if (f.reset)
        revents |= POLLERR;
    if (revents)
        session_service(f.session, revents);
    return revents != 0;
}

static void settle(void)
{
    unsigned idle = 0;
    bool worked = true;

    while (worked) {
        f.moved = false;
        worked = deferred_run(&f.deferred) > 0;
        if (f.now_us >= session_next_timeout_us(f.session)) {
            session_run_timeouts(f.session);
            worked = true;
        }
        worked = serve() || worked || deferred_pending(&f.deferred);
        idle = f.moved ? 0 : idle + 1;
        CHECK(idle < IDLE_TURNS);
    }
    CHECK(__sanitizer_get_current_allocated_bytes() < MEMORY_MAX);
}

static void pass(uint64_t us)
{
    uint64_t end_us = f.now_us + us;

    settle();
    while (session_next_timeout_us(f.session) <= end_us) {
        f.now_us = session_next_timeout_us(f.session);
        settle();
    }
    f.now_us = end_us;
    settle();
}

/* ---- the target ---- */

static bool bend(struct hostile *t, const struct hostile_pdu *request)
{
    size_t before = t->out_bytes;

    memcpy(f.requests[request->bhs[0] & 0x3f], request->bhs, BHS_BYTES);
    if (f.unanswered > 0) {
        f.unanswered--;
        return true;
    }
    hostile_behave(t, request);
    if (t->out_bytes - before < BHS_BYTES)
        return true;
    for (unsigned i = 0; i < f.bend_count; i++)
        t->out[t->out_done + before + f.bends[i][0] % BHS_BYTES] = f.bends[i][1];
    f.bend_count = 0;
    return true;
}

static uint8_t clean(uint8_t byte)
{
    return byte == STALE ? 0 : byte;
}

static void raw_bytes(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint8_t byte = clean(take());
        hostile_put_raw(&f.target, &byte, 1);
    }
}

static uint32_t take_number(void)
{
    uint32_t number = take();

    return number << (take() & 31);
}

/* A PDU of any kind in answer to any request; its fields are the input's. */
static void any_pdu(unsigned kind)
{
    static const uint8_t opcodes[] = {OP_NOP_IN,        OP_SCSI_RESPONSE,   OP_LOGIN_RESPONSE,
                                      OP_DATA_IN,       OP_LOGOUT_RESPONSE, OP_R2T,
                                      OP_ASYNC,         OP_REJECT,          OP_TEXT_RESPONSE,
                                      OP_TASK_RESPONSE, OP_DATA_IN,         OP_R2T};
    static const uint8_t of[] = {OP_SCSI_COMMAND, OP_NOP_OUT, OP_LOGIN, OP_LOGOUT};
    static uint8_t data[8192];
    struct hostile_pdu request = {.data = NULL};
    uint8_t bhs[BHS_BYTES];
    uint8_t how = take();
    uint32_t bytes = (uint32_t)take() << (how >> 5);
    uint8_t opcode = kind < sizeof(opcodes) ? opcodes[kind] : take();
    uint8_t flags = take();

    memcpy(request.bhs, f.requests[of[how & 3]], BHS_BYTES);
    hostile_answer(bhs, opcode, flags, &request);
    if (how & 4)
        put_be32(bhs + 16, get_be32(bhs + 16) + take());
    if (how & 8)
        put_be32(bhs + 16, 0xffffffff);
    bhs[2] = take();
    bhs[3] = take();
    put_be32(bhs + 20, take());
    for (unsigned i = 36; i < BHS_BYTES; i += 4)
        put_be32(bhs + i, take_number());
    memset(data, 0x11, sizeof(data));
    if (opcode == OP_REJECT)
        memcpy(data, request.bhs, BHS_BYTES);
    else
        for (unsigned i = 0; i < 64 && i < bytes; i++)
            data[i] = clean(take());
    hostile_put(&f.target, bhs, data, bytes < sizeof(data) ? bytes : sizeof(data));
}

static void login_keys(unsigned count)
{
    memset(f.keys, 0, sizeof(f.keys));
    for (unsigned i = 0; i < count && i < sizeof(f.keys) - 2; i++) {
        char c = (char)take();
        f.keys[i] = c == '\0' && i > 0 && f.keys[i - 1] == '\0' ? 'x' : c;
    }
    f.target.keys = f.keys;
}

/* ---- the host ---- */

/* Two slices with a seam anywhere. */
static void lend(struct slot *s, uint32_t bytes, uint32_t seam)
{
    s->cmd.length_bytes = bytes;
    s->cmd.iov_count = 0;
    if (seam > 0 && seam < bytes)
        s->cmd.iov[s->cmd.iov_count++] = (struct iovec){s->buffer, seam};
    else
        seam = 0;
    if (bytes > 0)
        s->cmd.iov[s->cmd.iov_count++] = (struct iovec){s->buffer + seam, bytes - seam};
}

static struct slot *submit(const uint8_t *cdb, uint8_t cdb_bytes, enum scsi_dir dir, uint32_t bytes,
                           uint32_t seam)
{
    struct backend *backend = session_backend(f.session);
    struct slot *s = f.slots;

    while (s < f.slots + SLOTS && s->busy)
        s++;
    if (s == f.slots + SLOTS)
        return NULL;
    memset(&s->cmd, STALE, sizeof(s->cmd));
    memset(s->cmd.cdb, 0, sizeof(s->cmd.cdb));
    memcpy(s->cmd.cdb, cdb, cdb_bytes);
    s->cmd.cdb_bytes = cdb_bytes;
    s->cmd.dir = dir;
    s->cmd.outcome.sense_bytes = 0;
    deferred_init(&s->cmd.done, on_done);
    memset(s->buffer, dir == SCSI_DIR_OUT ? 0x21 : STALE, bytes);
    lend(s, bytes, seam);
    s->busy = backend->ops->submit(backend, &s->cmd) == 0;
    if (!s->busy)
        memset(s->buffer, STALE, bytes);
    return s->busy ? s : NULL;
}

static struct slot *read_or_write(bool write, uint32_t lba, uint32_t blocks, uint32_t seam)
{
    uint8_t cdb[10] = {write ? 0x2a : 0x28};

    put_be32(cdb + 2, lba);
    put_be16(cdb + 7, (uint16_t)blocks);
    return submit(cdb, 10, write ? SCSI_DIR_OUT : SCSI_DIR_IN, blocks * RAM_BLOCK_BYTES, seam);
}

static void any_command(uint8_t how)
{
    uint8_t cdb[16] = {0};
    uint32_t bytes = take();

    cdb[0] = take();
    if (cdb[0] == 0x28 || cdb[0] == 0x2a || (cdb[0] & 0x1f) == 0x08 || (cdb[0] & 0x1f) == 0x0a)
        cdb[0] = 0x12; /* its length would not be the CDB's */
    cdb[1] = take();
    cdb[4] = (uint8_t)bytes;
    submit(cdb, 6, (enum scsi_dir)(how % 3), how % 3 == 0 ? 0 : bytes << (how >> 3), 0);
}

/* ---- the script ---- */

static void event(uint8_t byte)
{
    unsigned how = byte >> 4;
    uint32_t lba;

    switch (byte & 15) {
    case 0:
        f.let_go = how == 15 ? SIZE_MAX : how * 13;
        break;
    case 1:
        f.bend_count = how % 8;
        for (unsigned i = 0; i < f.bend_count; i++) {
            f.bends[i][0] = take();
            f.bends[i][1] = take();
        }
        break;
    case 2:
        raw_bytes(how * 4);
        break;
    case 3:
    case 4:
        any_pdu(how);
        break;
    case 5:
    case 6:
        lba = take();
        read_or_write((byte & 15) == 6, lba, 1 + how * 8u, (uint32_t)take() * 17);
        break;
    case 7:
        any_command((uint8_t)how);
        break;
    case 8:
        pass(UINT64_C(1000) << how);
        break;
    case 9:
        f.closed = how < 8;
        f.reset = how >= 8;
        break;
    case 10:
        f.room = how & 1 ? (size_t)take() * 100 : SIZE_MAX;
        f.portion = how >> 1 == 0 ? 0 : (size_t)1 << (how >> 1);
        break;
    case 11:
        f.target.out_bytes -= f.target.out_bytes < how ? f.target.out_bytes : how;
        break;
    case 12:
        session_backend(f.session)->ops->drop(session_backend(f.session), "for a test");
        break;
    case 13:
        login_keys(how * 4);
        break;
    case 14:
        f.target.exp_cmd_sn += how & 1 ? take() : 0;
        f.target.stat_sn -= how & 2 ? take() : 0;
        f.target.window = how & 4 ? take() : 32;
        f.target.data_in_bytes = how & 8 ? 500 + 16u * take() : 16384;
        f.target.mute = how == 15;
        break;
    default:
        f.unanswered = how;
        break;
    }
    if (byte & 15)
        settle();
}

static void open_session(uint8_t how)
{
    char why[ADDRESS_WHY_BYTES];

    hostile_init(&f.target, disk);
    f.target.disk.blocks = BLOCKS;
    f.target.twist = bend;
    f.target.twist_opcode = -1;
    f.target.twists = UINT32_MAX;
    f.target.initial_r2t = !(how & 1);
    if (how & 1)
        f.target.keys = "InitialR2T=No\0ImmediateData=Yes\0FirstBurstLength=65536\0"
                        "MaxRecvDataSegmentLength=4096\0";
    if (how & 2) {
        f.target.digests = true;
        f.target.keys = "HeaderDigest=CRC32C\0";
    }
    memset(&f.config, 0, sizeof(f.config));
    CHECK(address_parse("iscsi://127.0.0.1/iqn.2026-01.test:plain/1", &f.config.address, why));
    strcpy(f.config.initiator_name, "iqn.2026-01.test:initiator");
    session_isid(f.config.isid, "board", "gadget", "lun0", "test");
    f.config.header_digest = how & 2;
    if (how & 4) {
        strcpy(f.config.address.user, "joe");
        f.config.secret = "secret-of-joe";
    }
    if ((how & 12) == 12) {
        strcpy(f.config.target_user, "disk");
        f.config.target_secret = "secret-of-disk";
    }
    f.config.deferred = &f.deferred;
    f.config.now_us = virtual_now;
    f.session = session_create(&f.config);
    CHECK(f.session != NULL);
    session_backend(f.session)->events = &events;
    session_start(f.session);
}

static void finish(void)
{
    bool mutual = f.config.target_secret != NULL;

    session_stop(f.session);
    pass(2000000);
    CHECK(session_stopped(f.session));
    /* Only who knows the secret may have got in. */
    CHECK(!mutual || session_stats(f.session)->logins == 0);
    session_destroy(f.session);
    hostile_free(&f.target);
    for (unsigned i = 0; i < SLOTS; i++)
        CHECK(!f.slots[i].busy);
}

static bool is_up_anew(void)
{
    return session_stats(f.session)->state == SESSION_UP && !f.closed;
}

/* What the disk holds now, through the session as it is after all that. */
static void honest_end(void)
{
    struct slot *s;

    f.target.twists = f.unanswered = 0;
    f.target.keys = f.target.digests ? "HeaderDigest=CRC32C\0" : "InitialR2T=Yes\0";
    f.target.initial_r2t = true;
    f.target.window = 32;
    f.target.data_in_bytes = 16384;
    if (f.config.target_secret != NULL || session_stats(f.session)->state == SESSION_DOWN)
        return;
    f.closed = true;
    f.target.out_bytes = 0;
    for (unsigned i = 0; i < 60 && !is_up_anew(); i++)
        pass(1000000);
    if (session_stats(f.session)->state == SESSION_DOWN)
        return;
    CHECK(is_up_anew());
    for (unsigned i = 0; i < 32 * RAM_BLOCK_BYTES; i++)
        disk[JUDGED_LBA * RAM_BLOCK_BYTES + i] = (uint8_t)(i >> 3) & 0x3f;
    f.honest = true;
    s = read_or_write(false, JUDGED_LBA, 32, 1000);
    CHECK(s != NULL);
    settle();
    CHECK(!s->busy && s->cmd.result == BACKEND_DONE);
    CHECK(s->cmd.outcome.status == SCSI_STATUS_CODE_GOOD);
    CHECK(s->cmd.outcome.moved_bytes == 32 * RAM_BLOCK_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    static bool made;
    uint8_t how;

    memset(&f.requests, 0, sizeof(f.requests));
    f.input = input;
    f.left = size;
    f.now_us = 1000000;
    f.connected = false;
    f.bend_count = f.unanswered = 0;
    f.honest = false;
    deferred_list_init(&f.deferred);
    for (; !made; made = true)
        for (unsigned i = 0; i < SLOTS; i++)
            memset(f.slots[i].buffer, STALE, BUFFER_BYTES);
    memset(disk, 0x21, sizeof(disk));
    how = take();
    open_session(how);
    if (how < 128)
        settle(); /* it logs in */
    for (unsigned i = 0; f.left > 0 && i < EVENTS_MAX; i++)
        event(take());
    honest_end();
    finish();
    return 0;
}
