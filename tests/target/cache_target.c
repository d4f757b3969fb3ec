/* SPDX-License-Identifier: BSD-2-Clause */
#include "cache_target.h"

#include "bridge/bytes.h"
#include "bridge/opcode.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BHS_BYTES   48
#define BLOCK_BYTES 512u
#define DATA_BYTES  1048576u /* the longest command */
#define PDU_BYTES   262144u  /* and the longest PDU, either way */
#define WINDOW      64

/* RFC 7143 11.2.1.2 */
enum {
    PDU_NOP_OUT = 0x00,
    PDU_SCSI = 0x01,
    PDU_TASK = 0x02,
    PDU_LOGIN = 0x03,
    PDU_LOGOUT = 0x06,
    PDU_NOP_IN = 0x20,
    PDU_SCSI_RESPONSE = 0x21,
    PDU_TASK_RESPONSE = 0x22,
    PDU_LOGIN_RESPONSE = 0x23,
    PDU_DATA_IN = 0x25,
    PDU_LOGOUT_RESPONSE = 0x26,
};

struct disk {
    int fd;
    uint64_t blocks;
    const char *serial;
    bool write_cache, overlay;
    uint8_t *cache; /* of the whole disk; what is dirty counts */
    bool *dirty;
};

struct server {
    struct disk disk;
    int fd;
    uint32_t stat_sn, cmd_sn; /* expected next */
    bool attention;           /* the login is to be told */
    uint8_t bhs[BHS_BYTES];   /* the request */
    uint32_t request_bytes;
    uint8_t request[PDU_BYTES];
    uint8_t data[DATA_BYTES]; /* the answer's */
};

/* The answer to a command. */
struct answer {
    uint32_t bytes;
    struct sense_code sense; /* key 0: GOOD */
};

/* ---- the disk ---- */

static void write_block(struct disk *disk, uint64_t lba, const uint8_t *data)
{
    if (pwrite(disk->fd, data, BLOCK_BYTES, (off_t)(lba * BLOCK_BYTES)) != BLOCK_BYTES)
        _exit(3);
    disk->dirty[lba] = false;
}

static void disk_flush(struct disk *disk)
{
    if (disk->overlay)
        return;
    for (uint64_t lba = 0; lba < disk->blocks; lba++)
        if (disk->dirty[lba])
            write_block(disk, lba, disk->cache + lba * BLOCK_BYTES);
}

static void disk_write(struct disk *disk, uint64_t lba, uint64_t blocks, const uint8_t *data,
                       bool through)
{
    for (; blocks > 0; blocks--, lba++, data += BLOCK_BYTES) {
        memcpy(disk->cache + lba * BLOCK_BYTES, data, BLOCK_BYTES);
        disk->dirty[lba] = true;
        if (through && !disk->overlay)
            write_block(disk, lba, data);
    }
}

static void disk_read(const struct disk *disk, uint64_t lba, uint64_t blocks, uint8_t *data)
{
    if (pread(disk->fd, data, blocks * BLOCK_BYTES, (off_t)(lba * BLOCK_BYTES)) !=
        (ssize_t)(blocks * BLOCK_BYTES))
        _exit(3);
    for (uint64_t i = 0; i < blocks; i++)
        if (disk->dirty[lba + i])
            memcpy(data + i * BLOCK_BYTES, disk->cache + (lba + i) * BLOCK_BYTES, BLOCK_BYTES);
}

static void disk_open(struct disk *disk, const struct cache_target *target)
{
    struct stat about;
    disk->fd = open(target->image, O_RDWR | O_CLOEXEC);
    if (disk->fd < 0 || fstat(disk->fd, &about) != 0) {
        fprintf(stderr, "%s: %s\n", target->image, strerror(errno));
        _exit(2);
    }
    disk->blocks = (uint64_t)about.st_size / BLOCK_BYTES;
    disk->serial = target->serial;
    disk->write_cache = target->write_cache;
    disk->overlay = target->overlay;
    disk->cache = calloc(disk->blocks, BLOCK_BYTES);
    disk->dirty = calloc(disk->blocks, sizeof(*disk->dirty));
    if (!disk->cache || !disk->dirty)
        abort();
}

/* ---- commands ---- */

static struct answer good(uint32_t bytes)
{
    return (struct answer){.bytes = bytes};
}

static struct answer refuse(struct sense_code sense)
{
    return (struct answer){.sense = sense};
}

static struct answer inquiry(struct server *s, const uint8_t *cdb)
{
    uint32_t serial_bytes = (uint32_t)strlen(s->disk.serial);
    if (!(cdb[1] & 1)) {
        memcpy(s->data, "\0\0\5\2\x1f\0\0\2LUNSTICKvolatile cache  0001", 36);
        return good(36);
    }
    s->data[1] = cdb[2];
    switch (cdb[2]) {
    case 0x00:
        memcpy(s->data, "\0\0\0\3\0\x80\x83", 7);
        return good(7);
    case 0x80:
        s->data[3] = (uint8_t)serial_bytes;
        memcpy(s->data + 4, s->disk.serial, serial_bytes);
        return good(4 + serial_bytes);
    case 0x83: /* T10 vendor identification, ASCII */
        s->data[3] = (uint8_t)(4 + 8 + serial_bytes);
        memcpy(s->data + 4, "\2\1\0\0LUNSTICK", 12);
        s->data[7] = (uint8_t)(8 + serial_bytes);
        memcpy(s->data + 16, s->disk.serial, serial_bytes);
        return good(16 + serial_bytes);
    default:
        return refuse(sense_invalid_field);
    }
}

/* The caching page, whatever was asked for; DPO and FUA are supported. */
static struct answer mode_sense(struct server *s, bool ten)
{
    uint32_t head = ten ? 8 : 4;
    uint8_t *page = s->data + head;
    page[0] = 0x08;
    page[1] = 18;
    page[2] = s->disk.write_cache ? 0x04 : 0;
    s->data[ten ? 3 : 2] = 0x10;
    s->data[ten ? 1 : 0] = (uint8_t)(head + 20 - (ten ? 2 : 1));
    return good(head + 20);
}

static struct answer read_capacity(struct server *s, bool sixteen)
{
    if (sixteen) {
        put_be64(s->data, s->disk.blocks - 1);
        put_be32(s->data + 8, BLOCK_BYTES);
        return good(32);
    }
    put_be32(s->data, (uint32_t)(s->disk.blocks - 1));
    put_be32(s->data + 4, BLOCK_BYTES);
    return good(8);
}

static struct answer transfer(struct server *s, const uint8_t *cdb, const struct op *op)
{
    bool fua = op->cdb_bytes > 6 && (cdb[1] & 0x08);
    if (op->blocks > s->disk.blocks || op->lba > s->disk.blocks - op->blocks)
        return refuse(sense_lba_out_of_range);
    if (!op->plain || op->length_bytes > DATA_BYTES)
        return refuse(sense_invalid_field);
    if (op->dir == SCSI_DIR_IN) {
        disk_read(&s->disk, op->lba, op->blocks, s->data);
        return good((uint32_t)op->length_bytes);
    }
    if (s->request_bytes < op->length_bytes)
        return refuse(sense_data_phase_error);
    disk_write(&s->disk, op->lba, op->blocks, s->request, fua || !s->disk.write_cache);
    return good(0);
}

static struct answer execute(struct server *s, const uint8_t *cdb)
{
    static const struct sense_code power_on = {SENSE_UNIT_ATTENTION, 0x29, 0x01};
    struct op op;
    op_decode(cdb, SCSI_CDB_MAX_BYTES, BLOCK_BYTES, &op);
    memset(s->data, 0, 512);
    if (s->attention && cdb[0] != OP_INQUIRY && cdb[0] != OP_REPORT_LUNS) {
        s->attention = false;
        return refuse(power_on);
    }
    switch (cdb[0]) {
    case OP_TEST_UNIT_READY:
    case OP_START_STOP_UNIT:
        return good(0);
    case OP_INQUIRY:
        return inquiry(s, cdb);
    case OP_MODE_SENSE_6:
    case OP_MODE_SENSE_10:
        return mode_sense(s, cdb[0] == OP_MODE_SENSE_10);
    case OP_READ_CAPACITY_10:
        return read_capacity(s, false);
    case OP_SERVICE_ACTION_IN_16:
        return cdb[1] == SA_READ_CAPACITY_16 ? read_capacity(s, true) : refuse(sense_invalid_field);
    case OP_REPORT_LUNS:
        s->data[3] = 8;
        s->data[9] = 1;
        return good(16);
    case OP_READ_6:
    case OP_READ_10:
    case OP_READ_16:
    case OP_WRITE_6:
    case OP_WRITE_10:
    case OP_WRITE_16:
        return transfer(s, cdb, &op);
    case OP_SYNCHRONIZE_CACHE_10:
    case OP_SYNCHRONIZE_CACHE_16:
        disk_flush(&s->disk);
        return good(0);
    default:
        return refuse(sense_invalid_opcode);
    }
}

/* ---- PDUs ---- */

static bool read_all(int fd, uint8_t *out, size_t bytes)
{
    while (bytes > 0) {
        ssize_t got = read(fd, out, bytes);
        if (got <= 0)
            return false;
        out += got;
        bytes -= (size_t)got;
    }
    return true;
}

static bool write_all(int fd, const uint8_t *bytes, size_t count)
{
    while (count > 0) {
        ssize_t done = write(fd, bytes, count);
        if (done <= 0)
            return false;
        bytes += done;
        count -= (size_t)done;
    }
    return true;
}

static bool read_pdu(struct server *s)
{
    if (!read_all(s->fd, s->bhs, BHS_BYTES))
        return false;
    s->request_bytes = get_be24(s->bhs + 5);
    uint32_t padded = (s->request_bytes + 3) & ~3u;
    return s->bhs[4] == 0 && padded <= PDU_BYTES && read_all(s->fd, s->request, padded);
}

/* Sends a PDU in answer to the request. `status`: it takes a StatSN. */
static bool send_pdu(struct server *s, uint8_t bhs[BHS_BYTES], const void *data, uint32_t bytes,
                     bool status)
{
    static const uint8_t pad[4];
    put_be24(bhs + 5, bytes);
    memcpy(bhs + 16, s->bhs + 16, 4);
    put_be32(bhs + 24, status ? s->stat_sn++ : 0);
    put_be32(bhs + 28, s->cmd_sn);
    put_be32(bhs + 32, s->cmd_sn + WINDOW - 1);
    return write_all(s->fd, bhs, BHS_BYTES) && write_all(s->fd, data, bytes) &&
           write_all(s->fd, pad, -bytes & 3u);
}

/* No authentication: whatever stage is asked for is passed (RFC 7143 11.13). */
static bool answer_login(struct server *s)
{
    static const char security[] = "AuthMethod=None\0TargetPortalGroupTag=1";
    static const char operational[] =
        "TargetPortalGroupTag=1\0HeaderDigest=None\0DataDigest=None\0InitialR2T=No\0"
        "ImmediateData=Yes\0MaxRecvDataSegmentLength=262144\0MaxBurstLength=262144\0"
        "FirstBurstLength=262144\0DefaultTime2Wait=0\0DefaultTime2Retain=0\0MaxConnections=1\0"
        "MaxOutstandingR2T=1\0ErrorRecoveryLevel=0\0DataPDUInOrder=Yes\0DataSequenceInOrder=Yes";
    uint8_t bhs[BHS_BYTES] = {PDU_LOGIN_RESPONSE, (uint8_t)(s->bhs[1] & 0x8f)};
    bool full = (s->bhs[1] & 0x83) == 0x83;
    bool first = (s->bhs[1] & 0x0c) == 0;
    memcpy(bhs + 8, s->bhs + 8, 6);
    put_be16(bhs + 14, full ? 1 : 0); /* TSIH */
    s->cmd_sn = get_be32(s->bhs + 24);
    return send_pdu(s, bhs, first ? security : operational,
                    first ? sizeof(security) : sizeof(operational), true);
}

static bool send_data(struct server *s, uint32_t bytes, uint32_t wanted)
{
    uint32_t sent = 0, number = 0;
    do {
        uint32_t piece = bytes - sent < 65536 ? bytes - sent : 65536;
        bool last = sent + piece == bytes;
        uint8_t bhs[BHS_BYTES] = {PDU_DATA_IN};
        bhs[1] = last ? 0x81 : 0; /* F, S */
        if (last && bytes < wanted) {
            bhs[1] |= 0x02;
            put_be32(bhs + 44, wanted - bytes);
        }
        put_be32(bhs + 20, UINT32_MAX); /* no target transfer tag */
        put_be32(bhs + 36, number++);
        put_be32(bhs + 40, sent);
        if (!send_pdu(s, bhs, s->data + sent, piece, last))
            return false;
        sent += piece;
    } while (sent < bytes);
    return true;
}

static bool answer_command(struct server *s)
{
    uint8_t sense[2 + SENSE_FIXED_BYTES] = {0, SENSE_FIXED_BYTES};
    uint8_t bhs[BHS_BYTES] = {PDU_SCSI_RESPONSE, 0x80};
    uint32_t wanted = get_be32(s->bhs + 20);
    struct answer a = execute(s, s->bhs + 32);
    if (a.bytes > wanted)
        a.bytes = wanted;
    if (a.sense.key == SENSE_NO_SENSE && a.bytes > 0)
        return send_data(s, a.bytes, wanted);
    if (a.sense.key == SENSE_NO_SENSE)
        return send_pdu(s, bhs, NULL, 0, true);
    bhs[3] = SCSI_STATUS_CODE_CHECK_CONDITION;
    if (wanted > 0) {
        bhs[1] |= 0x02;
        put_be32(bhs + 44, wanted);
    }
    sense_build_fixed(sense + 2, a.sense);
    return send_pdu(s, bhs, sense, sizeof(sense), true);
}

static bool answer_nop(struct server *s)
{
    uint8_t bhs[BHS_BYTES] = {PDU_NOP_IN, 0x80};
    put_be32(bhs + 20, UINT32_MAX);
    memcpy(bhs + 8, s->bhs + 8, 8);
    return get_be32(s->bhs + 16) == UINT32_MAX ||
           send_pdu(s, bhs, s->request, s->request_bytes, true);
}

static bool serve_one(struct server *s)
{
    uint8_t bhs[BHS_BYTES] = {0, 0x80};
    if (!read_pdu(s))
        return false;
    uint8_t pdu = s->bhs[0] & 0x3f;
    if (pdu != PDU_LOGIN && !(s->bhs[0] & 0x40)) /* not immediate */
        s->cmd_sn = get_be32(s->bhs + 24) + 1;
    switch (pdu) {
    case PDU_LOGIN:
        return answer_login(s);
    case PDU_SCSI:
        return answer_command(s);
    case PDU_NOP_OUT:
        return answer_nop(s);
    case PDU_TASK:
        bhs[0] = PDU_TASK_RESPONSE;
        return send_pdu(s, bhs, NULL, 0, true);
    case PDU_LOGOUT:
        bhs[0] = PDU_LOGOUT_RESPONSE;
        (void)send_pdu(s, bhs, NULL, 0, true);
        return false;
    default:
        return false;
    }
}

/* ---- the process ---- */

static void take_connection(struct server *s, int listener)
{
    int one = 1;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    s->stat_sn = 1;
    s->attention = true;
    if (s->disk.overlay)
        memset(s->disk.dirty, 0, s->disk.blocks * sizeof(*s->disk.dirty));
    if (s->fd >= 0)
        setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

void cache_target_serve(const struct cache_target *target, int listener)
{
    static struct server server;
    struct server *s = &server;
    signal(SIGPIPE, SIG_IGN);
    disk_open(&s->disk, target);
    s->fd = -1;
    for (;;) {
        struct pollfd fds[2] = {{listener, POLLIN, 0}, {s->fd, POLLIN, 0}};
        if (poll(fds, 2, -1) < 0)
            _exit(1);
        if (fds[0].revents != 0) {
            take_connection(s, listener);
        } else if (!serve_one(s)) {
            close(s->fd);
            s->fd = -1;
        }
    }
}

int cache_target_listen(struct cache_target *target, const char *address, uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t bytes = sizeof(at);
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || inet_pton(AF_INET, address, &at.sin_addr) != 1 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 8) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &bytes) != 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    target->port = ntohs(at.sin_port);
    return fd;
}

void cache_target_start(struct cache_target *target)
{
    int listener = cache_target_listen(target, "127.0.0.1", target->port);
    if (listener < 0)
        abort();
    target->pid = fork();
    if (target->pid < 0)
        abort();
    if (target->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        cache_target_serve(target, listener);
    }
    close(listener);
}

void cache_target_cut_power(struct cache_target *target)
{
    kill(target->pid, SIGKILL);
    waitpid(target->pid, NULL, 0);
}
