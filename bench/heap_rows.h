/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The heap on one thread: included after a peer's own header.
 *
 *     heap-64     64 B are allocated, and in every other transaction 64 B freed
 *     heap-mixed  of 4096 blocks of 16 B to 64 KiB one is replaced
 *     heap-map    a node is put into a hash map of a million buckets
 *
 * The program's own list of live blocks is volatile.  Each block begins with its
 * number, which is checked in the end.
 */
#include <stdlib.h>

#include "peer.h"

#define HEAP_PER_SECOND 800e6 /* what plain stores have been seen to fill, and half */
#define HEAP_SLOTS 4096u
#define HEAP_MIXED_SIZE ((size_t)256 << 20) /* for 4096 blocks of 16 KiB on average, and holes */
#define HEAP_BUCKETS (1u << 20)

struct heap_node {
    peer_ref next;
    uint64_t key, value;
};

struct heap_live {
    uint64_t *block; /* begins with its place among the live ones */
    uint32_t size;
};

struct heap {
    struct peer peer;
    peer_ref *buckets; /* the root */
    struct heap_live *live;
    uint64_t most; /* live blocks */
    uint64_t count;
    uint64_t room;
};

/* What the run will allocate: warm-up and latencies take a fifth each.  --size limits
 * it; heap-64 and heap-map then end a run early. */
static uint64_t heap_growth(const struct session *session)
{
    const double wanted = 32e6 + HEAP_PER_SECOND * PEER_PACE * 1.4 * session->config->seconds;

    return wanted < (double)session->size ? (uint64_t)wanted : session->size;
}

static void heap_open(struct session *session)
{
    struct heap *heap = calloc(1, sizeof *heap);

    if (heap == NULL)
        bench_fail("out of memory");
    heap->room = heap_growth(session);
    heap->most = heap->room / 64;
    heap->live = calloc(heap->most, sizeof *heap->live);
    if (heap->live == NULL)
        bench_fail("out of memory");
    bench_prefault(heap->live, heap->most * sizeof *heap->live);
    session->state = heap;
    session->grows = heap->room;
    peer_open(&heap->peer, session,
              strcmp(session->config->command, "heap-mixed") == 0
                  ? HEAP_MIXED_SIZE
                  : heap->room + HEAP_BUCKETS * sizeof(peer_ref) + (32u << 20));
    heap->buckets = peer_root(&heap->peer, HEAP_BUCKETS * sizeof(peer_ref));
}

HOT bool heap_one_64(struct heap *heap, struct rng *rng, enum durability class)
{
    const uint64_t random = rng_next(rng);
    struct heap_live *live = &heap->live[heap->count];
    struct peer_tx tx;

    if (heap->count == heap->most || heap->room < 96)
        return false;
    peer_begin(&heap->peer, &tx, class);
    live->block = peer_malloc(&tx, 64);
    if ((random & 1) && heap->count != 0) {
        struct heap_live *old =
            &heap->live[rng_scale((uint32_t)(random >> 32), (uint32_t)heap->count)];

        peer_ready(&tx);
        *live->block = (uint64_t)(old - heap->live);
        peer_free(&tx, old->block, 64);
        peer_ready(&tx);
        old->block = live->block;
    } else {
        peer_ready(&tx);
        *live->block = heap->count++;
        heap->room -= 80;
    }
    peer_end(&tx);
    return true;
}

/* A block of `size` bytes that begins with `number`, in one transaction with the free of
 * another if there is one. */
HOT uint64_t *heap_replace(struct peer *peer, uint64_t *old, uint32_t old_size, uint32_t size,
                           uint64_t number, enum durability class)
{
    struct peer_tx tx;
    uint64_t *block;

    peer_begin(peer, &tx, class);
    block = peer_malloc(&tx, size);
    if (old != NULL)
        peer_free(&tx, old, old_size);
    peer_ready(&tx);
    *block = number;
    peer_end(&tx);
    return block;
}

/* Sizes whose logarithms are even, of the steps of 16 bytes. */
HOT bool heap_one_mixed(struct heap *heap, struct rng *rng, enum durability class)
{
    const uint64_t random = rng_next(rng);
    const uint32_t slot = (uint32_t)random % HEAP_SLOTS;
    const uint32_t power = 4 + rng_scale((uint32_t)(random >> 32), 12);
    const uint32_t size = (1u << power) + (uint32_t)(random >> 12) % (1u << power);
    struct heap_live *live = &heap->live[slot];

    *live = (struct heap_live){
        heap_replace(&heap->peer, live->block, live->size, size, slot, class), size};
    heap->count = HEAP_SLOTS;
    return true;
}

HOT bool heap_one_map(struct heap *heap, struct rng *rng, enum durability class)
{
    const uint64_t key = rng_next(rng);
    peer_ref *bucket = &heap->buckets[key % HEAP_BUCKETS];
    struct heap_node *node;
    struct peer_tx tx;

    if (heap->room < 96)
        return false;
    heap->room -= 48;
    peer_begin(&heap->peer, &tx, class);
    node = peer_malloc(&tx, sizeof *node);
    peer_declare(&tx, bucket, sizeof *bucket);
    peer_ready(&tx);
    *node = (struct heap_node){*bucket, key, heap->count++};
    *bucket = peer_to(&heap->peer, node);
    peer_end(&tx);
    return true;
}

static bool heap_check_live(struct session *session, char *text, size_t size)
{
    struct heap *heap = session->state;
    uint64_t found = 0;

    for (uint64_t i = 0; i < heap->count; i++) {
        if (heap->live[i].block == NULL)
            continue;
        if (*heap->live[i].block != i) {
            snprintf(text, size, "block %llu holds another's number", (unsigned long long)i);
            return false;
        }
        found++;
    }
    snprintf(text, size, "%llu live blocks hold their numbers", (unsigned long long)found);
    return true;
}

static bool heap_check_map(struct session *session, char *text, size_t size)
{
    struct heap *heap = session->state;
    uint64_t found = 0;

    for (uint64_t i = 0; i < HEAP_BUCKETS; i++) {
        const struct heap_node *node = peer_at(&heap->peer, heap->buckets[i]);

        for (; node != NULL; node = peer_at(&heap->peer, node->next))
            found += node->key % HEAP_BUCKETS == i;
    }
    snprintf(text, size, "%llu keys found of %llu", (unsigned long long)found,
             (unsigned long long)heap->count);
    return found == heap->count;
}

static void heap_close(struct session *session)
{
    struct heap *heap = session->state;

    peer_close(&heap->peer);
    free(heap->live);
    free(heap);
}

typedef bool heap_step(struct heap *heap, struct rng *rng, enum durability class);

HOT unsigned heap_loop(struct session *session, unsigned count, heap_step *step)
{
    struct heap *heap = session->state;
    struct rng *rng = &session->lanes[0].rng;
    unsigned i = 0;

    if (session->class == CLASS_KILL || session->class == CLASS_NONE) {
        while (i < count && step(heap, rng, CLASS_KILL))
            i++;
    } else {
        while (i < count && step(heap, rng, session->class))
            i++;
    }
    return i;
}

#define HEAP_DRIVER(variant, text, checks) \
    static unsigned heap_batch_##variant(struct session *session, unsigned lane, unsigned count) \
    { \
        (void)lane; \
        return heap_loop(session, count, heap_one_##variant); \
    } \
    const struct driver PEER_SYMBOL(heap_##variant) = {.workload = text, \
                                                       .peer = PEER_NAME, \
                                                       .classes = PEER_CLASSES, \
                                                       .one_thread = true, \
                                                       .open = heap_open, \
                                                       .batch = heap_batch_##variant, \
                                                       .check = checks, \
                                                       .close = heap_close};
HEAP_DRIVER(64, "heap-64", heap_check_live)
HEAP_DRIVER(mixed, "heap-mixed", heap_check_live)
HEAP_DRIVER(map, "heap-map", heap_check_map)
