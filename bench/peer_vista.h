/* SPDX-License-Identifier: BSD-3-Clause
 *
 * libvista, used as its header advises: ranges known together are declared by one
 * vista_set_ranges, which is inlined when their number and lengths are constants, and
 * single ones by the inlined vista_set_range.  Where lines are flushed all that is
 * declared before the stores goes into one call, for one fence.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"
#include "peer_pointers.h"

#ifndef VISTA_FLAGS /* of vista_map; peer_vista_auto.h and peer_vista_disk.h have all of these */
#define VISTA_FLAGS 0u
#define PEER_NAME "vista"
#define PEER_SYMBOL(workload) workload##_vista
#define PEER_PACE 0.8
#define PEER_ONE_THREAD 0
#endif
#ifndef VISTA_DISK /* 1: in the disk class, where of VISTA_GROUP commits the last is flushed */
#define VISTA_DISK 0
#define VISTA_LOG 0
#define VISTA_GROUP 1u
#define VISTA_FLUSH_MS 0
#define PEER_CLASSES CLASSES_MEMORY
#endif
#define PEER_ABORTS 1

/* Where no line is flushed a range is declared at once. */
#define VISTA_AT_ONCE(class) (VISTA_DISK || (class) == CLASS_KILL)

#define VISTA_BATCH 256 /* a delivery declares at most 10 * (4 + 15) ranges */

struct peer {
    vista_segment *segment;
};

/* Apart from the ranges, so that the compiler keeps it in registers. */
struct peer_tx {
    vista_tx *tx;
    enum durability class;
    int count;                  /* of ranges that are not declared yet, */
    const struct iovec *ranges; /* which are here */
};

static __thread struct iovec vista_ranges[VISTA_BATCH];
UNUSED static __thread unsigned vista_ended; /* transactions */

__attribute__((noreturn, cold)) static void vista_fail(const char *call)
{
    bench_fail("%s: %s", call, vista_errormsg());
}

UNUSED static void peer_open(struct peer *peer, const struct session *session, size_t size)
{
    const struct vista_options options = {.force_class =
                                              VISTA_DISK ? VISTA_CLASS_DISK : session->class};
    const struct vista_map_options map = {
        .lock_wait_ms = 10000, .flush_ms = VISTA_FLUSH_MS, .log_size = VISTA_LOG};

    if (vista_init(session->killed ? NULL : &options) != 0)
        vista_fail("vista_init");
    /* A file whose making was killed is made again, and found to be empty. */
    peer->segment = vista_map(session->path, size, VISTA_CREATE | VISTA_FLAGS, &map);
    if (peer->segment == NULL)
        vista_fail("vista_map");
    if (!session->existing && VISTA_FLAGS == 0)
        bench_prefault(vista_base(peer->segment), vista_size(peer->segment));
}

UNUSED static void peer_close(struct peer *peer)
{
    if (vista_unmap(peer->segment) != 0)
        vista_fail("vista_unmap");
}

UNUSED static void *peer_root(struct peer *peer, size_t size)
{
    void *root = vista_root(peer->segment, size);

    if (root == NULL)
        vista_fail("vista_root");
    return root;
}

HOT void peer_begin(struct peer *peer, struct peer_tx *tx, enum durability class)
{
    tx->class = class;
    tx->count = 0;
    tx->ranges = vista_ranges;
    tx->tx = vista_begin_transaction(peer->segment, 0);
    if (__builtin_expect(tx->tx == NULL, 0))
        vista_fail("vista_begin_transaction");
}

HOT void peer_declare(struct peer_tx *tx, void *address, size_t length)
{
    if (VISTA_FLAGS != 0)
        return;
    if (VISTA_AT_ONCE(tx->class)) {
        if (__builtin_expect(vista_set_range(tx->tx, address, length) != 0, 0))
            vista_fail("vista_set_range");
        return;
    }
    if (__builtin_expect(tx->count == VISTA_BATCH, 0))
        bench_fail("vista: more than %d ranges at once", VISTA_BATCH);
    if (tx->ranges != vista_ranges)
        tx->ranges = memcpy(vista_ranges, tx->ranges, (size_t)tx->count * sizeof *vista_ranges);
    vista_ranges[tx->count++] = (struct iovec){address, length};
}

/* The first ones stay where they are until peer_ready. */
HOT void peer_declare_all(struct peer_tx *tx, const struct iovec *ranges, int count)
{
    if (VISTA_FLAGS != 0)
        return;
    if (VISTA_AT_ONCE(tx->class)) {
        if (__builtin_expect(vista_set_ranges(tx->tx, ranges, count) != 0, 0))
            vista_fail("vista_set_ranges");
        return;
    }
    if (tx->count == 0) {
        tx->ranges = ranges;
        tx->count = count;
        return;
    }
    for (int i = 0; i < count; i++)
        peer_declare(tx, ranges[i].iov_base, ranges[i].iov_len);
}

HOT void peer_ready(struct peer_tx *tx)
{
    if (VISTA_AT_ONCE(tx->class) || tx->count == 0)
        return;
    if (__builtin_expect(vista_set_ranges(tx->tx, tx->ranges, tx->count) != 0, 0))
        vista_fail("vista_set_ranges");
    tx->count = 0;
    tx->ranges = vista_ranges;
}

HOT unsigned vista_end_mode(void)
{
    if (VISTA_GROUP == 0)
        return VISTA_NO_FLUSH;
    return VISTA_GROUP == 1 || ++vista_ended % (VISTA_GROUP + !VISTA_GROUP) == 0 ? 0
                                                                                 : VISTA_NO_FLUSH;
}

HOT void peer_end(struct peer_tx *tx)
{
    if (__builtin_expect(vista_end_transaction(tx->tx, vista_end_mode()) != 0, 0))
        vista_fail("vista_end_transaction");
}

HOT void peer_abort(struct peer_tx *tx)
{
    if (vista_abort_transaction(tx->tx) != 0)
        vista_fail("vista_abort_transaction");
}

HOT void *peer_malloc(struct peer_tx *tx, size_t size)
{
    void *block = vista_malloc(tx->tx, size);

    if (__builtin_expect(block == NULL, 0))
        vista_fail("vista_malloc");
    return block;
}

HOT void peer_free(struct peer_tx *tx, void *address, size_t size)
{
    (void)size;
    if (__builtin_expect(vista_free(tx->tx, address) != 0, 0))
        vista_fail("vista_free");
}
