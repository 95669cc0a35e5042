/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Plain stores to a file mapping, without transactions, and malloc for what grows: the
 * work itself.  What a kill leaves is whatever was stored, without the rows in malloc's
 * memory.
 */
#include <limits.h>
#include <malloc.h>
#include <stdlib.h>

#include "map_time.h"
#include "peer.h"
#include "peer_pointers.h"

#define PEER_NAME "plain"
#define PEER_SYMBOL(workload) workload##_plain
#define PEER_CLASSES (1u << CLASS_NONE)
#define PEER_ABORTS 0
#define PEER_PACE 1.0
#define PEER_ONE_THREAD 0

#define PLAIN_TABLE (256u << 10) /* blocks from here on are tables */

struct peer {
    struct mapping mapping;
    struct pool *pool;
};

struct peer_tx {
    struct peer *peer;
};

/* Gives malloc pages that are faulted in, as the files of the other peers are. */
static void plain_prefault(size_t size)
{
    void *block;

    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
    block = malloc(size);
    if (block != NULL)
        bench_prefault(block, size);
    free(block);
}

UNUSED static void peer_open(struct peer *peer, const struct session *session, size_t size)
{
    peer->mapping = mapping_open(session, size + MAPPING_HEADER);
    peer->pool = peer->mapping.base;
    plain_prefault(session->grows);
    mapping_start(&peer->mapping, peer->pool);
}

UNUSED static void peer_close(struct peer *peer)
{
    mapping_close(&peer->mapping);
}

HOT void peer_begin(struct peer *peer, struct peer_tx *tx, enum durability class)
{
    (void)class;
    tx->peer = peer;
}

/* Tables come from the file; rows from malloc. */
UNUSED static void *peer_malloc(struct peer_tx *tx, size_t size)
{
    struct pool *pool = tx->peer->pool;
    void *block;

    if (size < PLAIN_TABLE) {
        block = malloc(size);
    } else {
        block = (char *)tx->peer->mapping.base + pool->next;
        pool->next += pool_round(size);
    }
    if (block == NULL || pool->next > pool->end)
        bench_fail("plain: out of memory");
    return block;
}

UNUSED static void peer_free(struct peer_tx *tx, void *address, size_t size)
{
    (void)tx;
    if (size < PLAIN_TABLE)
        free(address);
}

/* At the same place each time: the first thing in the file. */
UNUSED static void *peer_root(struct peer *peer, size_t size)
{
    if (peer->pool->next == MAPPING_HEADER)
        peer->pool->next += pool_round(size);
    return (char *)peer->mapping.base + MAPPING_HEADER;
}

HOT void peer_declare(struct peer_tx *tx, void *address, size_t length)
{
    (void)tx, (void)address, (void)length;
}

#include "peer_each.h"

HOT void peer_ready(struct peer_tx *tx)
{
    (void)tx;
}

/* The compiler may not carry a store over to the next transaction. */
HOT void peer_end(struct peer_tx *tx)
{
    (void)tx;
    BARRIER();
}

UNUSED static void peer_abort(struct peer_tx *tx)
{
    (void)tx;
    bench_fail("plain: stores cannot be taken back");
}
