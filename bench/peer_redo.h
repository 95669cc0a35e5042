/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The floor of the disk class: an undo log and a ring of redo records, by hand, inlined, over ordinary
 * memory.  One thread, no checks, no recovery, no truncation, no heap.  A commit copies what it has changed to a record with
 * as many bytes as vista's: 40 of head, 16 for each range, a CRC32C over it.
 *
 * REDO_SYNC 0: the ring is a mapped file, and a commit ends there.
 * REDO_SYNC 1: a commit is one pwritev2(RWF_DSYNC) of the record, padded to 4 KiB, to a log that was written
 * with zeros before; that is how vista writes it.
 *
 * The file that includes this has set PEER_NAME, PEER_SYMBOL, PEER_CLASSES and REDO_SYNC.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "peer.h"
#include "peer_pointers.h"

#define PEER_ABORTS 1
#define PEER_PACE 0.6
#define PEER_ONE_THREAD 1

#define REDO_BLOCK 4096u
#define REDO_LOG ((size_t)32 << 20)
#define REDO_RING ((size_t)2 << 20) /* a range of 1 MiB and its head fit */
#define REDO_UNDO ((size_t)2 << 20)
#define REDO_RANGES 64

struct redo_record {
    uint32_t crc, bytes;
    uint64_t lsn, previous, synced;
    uint32_t epoch, items;
};

struct redo_item {
    uint64_t offset;
    uint32_t length, member_and_kind;
};

struct peer {
    char *data, *ring;
    uint64_t next, previous; /* LSNs */
    size_t used;             /* of the data */
    int fd;
};

struct peer_tx {
    struct peer *peer;
    char *next; /* in the undo log */
    unsigned count;
};

static struct iovec redo_ranges[REDO_RANGES];
static _Alignas(64) char redo_undo[REDO_UNDO];

HOT uint32_t redo_crc(const char *at, const char *end)
{
    uint64_t crc = ~0u;

    for (; at + 8 <= end; at += 8)
        __asm__("crc32q %1, %0" : "+r"(crc) : "rm"(*(const uint64_t *)(const void *)at));
    return ~(uint32_t)crc;
}

UNUSED static void peer_open(struct peer *peer, const struct session *session, size_t size)
{
    static const char zeros[1 << 16];

    if (session->existing)
        bench_fail("%s: it has no recovery", PEER_NAME);
    peer->fd = open(session->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (peer->fd < 0)
        bench_fail("%s: %s", session->path, strerror(errno));
    for (size_t at = 0; at < REDO_RING + REDO_LOG; at += sizeof zeros)
        if (pwrite(peer->fd, zeros, sizeof zeros, (off_t)at) != (ssize_t)sizeof zeros)
            bench_fail("%s: %s", session->path, strerror(errno));
    if (fsync(peer->fd) != 0)
        bench_fail("%s: %s", session->path, strerror(errno));
    peer->ring = mmap(NULL, REDO_RING, PROT_READ | PROT_WRITE, MAP_SHARED, peer->fd, 0);
    peer->data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (peer->ring == MAP_FAILED || peer->data == MAP_FAILED)
        bench_fail("%s: %s", PEER_NAME, strerror(errno));
    madvise(peer->data, size, MADV_HUGEPAGE);
    bench_prefault(peer->data, size);
    bench_prefault(peer->ring, REDO_RING);
    peer->next = REDO_RING;
    peer->previous = 0;
    peer->used = 0;
}

UNUSED static void peer_close(struct peer *peer)
{
    close(peer->fd);
}

UNUSED static void *peer_root(struct peer *peer, size_t size)
{
    peer->used = size;
    return peer->data;
}

HOT void peer_begin(struct peer *peer, struct peer_tx *tx, enum durability class)
{
    (void)class;
    tx->peer = peer;
    tx->next = redo_undo;
    tx->count = 0;
}

HOT void peer_declare(struct peer_tx *tx, void *address, size_t length)
{
    redo_ranges[tx->count++] = (struct iovec){address, length};
    memcpy(tx->next, address, length);
    tx->next += (length + 7) & ~(size_t)7;
}

#include "peer_each.h"

HOT void peer_ready(struct peer_tx *tx)
{
    (void)tx;
    BARRIER();
}

UNUSED static void peer_abort(struct peer_tx *tx)
{
    while (tx->count-- > 0) {
        const struct iovec *range = &redo_ranges[tx->count];

        tx->next -= (range->iov_len + 7) & ~(size_t)7;
        memcpy(range->iov_base, tx->next, range->iov_len);
    }
}

UNUSED static void redo_write(struct peer *peer, char *from, size_t bytes)
{
    const struct iovec part = {from, bytes};
    const off_t at = (off_t)(REDO_RING + peer->next % REDO_LOG);

    if (pwritev2(peer->fd, &part, 1, at, RWF_DSYNC) != (ssize_t)bytes)
        bench_fail("%s: pwritev2: %s", PEER_NAME, strerror(errno));
}

/* Where the next record goes: none wraps the ring. */
HOT char *redo_place(struct peer *peer, size_t bytes)
{
    if (peer->next % REDO_RING + bytes > REDO_RING)
        peer->next += REDO_RING - peer->next % REDO_RING;
    return peer->ring + peer->next % REDO_RING;
}

HOT void peer_end(struct peer_tx *tx)
{
    struct peer *peer = tx->peer;
    size_t bytes = sizeof(struct redo_record) + tx->count * sizeof(struct redo_item) +
                   (size_t)(tx->next - redo_undo);
    struct redo_record *record = (struct redo_record *)(void *)redo_place(peer, bytes);
    char *at = (char *)(record + 1);

    record->bytes = (uint32_t)bytes;
    record->lsn = peer->next;
    record->previous = record->synced = peer->previous;
    record->epoch = 1;
    record->items = tx->count;
    for (unsigned i = 0; i < tx->count; i++) {
        const struct iovec *range = &redo_ranges[i];
        const size_t rounded = (range->iov_len + 7) & ~(size_t)7;

        *(struct redo_item *)(void *)at = (struct redo_item){
            (uint64_t)((char *)range->iov_base - peer->data), (uint32_t)range->iov_len, 0};
        at += sizeof(struct redo_item);
        *(uint64_t *)(void *)(at + rounded - 8) = 0;
        memcpy(at, range->iov_base, range->iov_len);
        at += rounded;
    }
    BARRIER();
    record->crc = redo_crc((const char *)record + 8, at);
    BARRIER();
    peer->previous = peer->next;
    if (REDO_SYNC) {
        const size_t whole = (bytes + REDO_BLOCK - 1) / REDO_BLOCK * REDO_BLOCK;

        redo_write(peer, (char *)record, whole);
        bytes = whole;
    }
    peer->next += bytes;
}
