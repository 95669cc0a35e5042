/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The heap on several threads: included after a peer's own header and heap_rows.h.  A thread has a
 * tray of 4096 slots, in volatile memory, and each transaction replaces the block in one of them
 * by a new one of 16 to 256 bytes.
 *
 * By default a thread keeps its tray and takes slots at random: it frees what it has
 * allocated itself.  With --shared it goes once through the tray, in an order of its own,
 * and exchanges it for the one that the last thread to do so has left: what it frees was
 * allocated by that thread, and is counted.
 *
 * Each block begins with its number, which is checked in the end.
 */
#include <pthread.h>
#include <stdlib.h>

#include "peer.h"

#define SMALL_SLOTS 4096u
#define SMALL_LEAST 16u
#define SMALL_MOST 256u
#define SMALL_ROOM ((size_t)4 << 20) /* a tray's blocks take 0.6 MB on average, 1 MB at most */

struct small_block {
    uint64_t *block; /* NULL: none yet */
    uint32_t size;
    uint32_t owner; /* the thread that has allocated it */
};

struct small_tray {
    uint64_t first; /* number of the first block */
    struct small_block blocks[SMALL_SLOTS];
} __attribute__((aligned(128)));

/* Of a thread, on lines of its own. */
struct small_lane {
    struct small_tray *tray;
    uint32_t left, slot, stride; /* with --shared: how far it is through the tray */
    uint64_t foreign;            /* blocks freed that another had allocated */
} __attribute__((aligned(128)));

struct small {
    struct peer peer;
    struct small_tray *trays; /* one more than there are threads */
    struct small_lane *lanes;
    pthread_mutex_t lock; /* of `left`: the tray that no thread has */
    struct small_tray *left;
};

static void *small_nothing(void *argument)
{
    return argument;
}

/* In a process that never had a second thread, malloc takes no locks: what is compared
 * is a program of threads, on one of them and on several. */
static void small_have_threads(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, small_nothing, NULL) != 0)
        bench_fail("a thread could not be started");
    pthread_join(thread, NULL);
}

static void small_open(struct session *session)
{
    const unsigned threads = session->threads;
    struct small *small = calloc(1, sizeof *small);

    if (small == NULL)
        bench_fail("out of memory");
    small->trays = aligned_alloc(128, (threads + 1) * sizeof *small->trays);
    small->lanes = aligned_alloc(128, threads * sizeof *small->lanes);
    if (small->trays == NULL || small->lanes == NULL)
        bench_fail("out of memory");
    memset(small->trays, 0, (threads + 1) * sizeof *small->trays);
    memset(small->lanes, 0, threads * sizeof *small->lanes);
    for (unsigned i = 0; i <= threads; i++) {
        small->trays[i].first = (uint64_t)i * SMALL_SLOTS;
        if (i < threads)
            small->lanes[i].tray = &small->trays[i];
    }
    small->left = &small->trays[threads];
    pthread_mutex_init(&small->lock, NULL);
    small_have_threads();
    session->state = small;
    peer_open(&small->peer, session, (threads + 1) * SMALL_ROOM + (32u << 20));
    peer_root(&small->peer, 64);
}

HOT void small_replace(struct small *small, struct small_tray *tray, uint32_t slot, uint32_t size,
                       uint32_t owner, enum durability class)
{
    struct small_block *place = &tray->blocks[slot];

    *place = (struct small_block){
        heap_replace(&small->peer, place->block, place->size, size, tray->first + slot, class),
        size, owner};
}

/* Leaves the tray for another thread, takes the one left before, and draws the order
 * to go through it: the stride is odd, so that each slot has its turn. */
static void small_hand_on(struct small *small, struct small_lane *lane, struct rng *rng)
{
    const uint64_t random = rng_next(rng);
    struct small_tray *tray;

    pthread_mutex_lock(&small->lock);
    tray = small->left;
    small->left = lane->tray;
    pthread_mutex_unlock(&small->lock);
    lane->tray = tray;
    lane->left = SMALL_SLOTS;
    lane->slot = (uint32_t)random % SMALL_SLOTS;
    lane->stride = (uint32_t)(random >> 32) | 1;
}

HOT uint32_t small_next_slot(struct small *small, struct small_lane *lane, struct rng *rng,
                             uint32_t number)
{
    const struct small_block *place;

    if (lane->left == 0)
        small_hand_on(small, lane, rng);
    lane->left--;
    lane->slot = (lane->slot + lane->stride) % SMALL_SLOTS;
    place = &lane->tray->blocks[lane->slot];
    lane->foreign += place->block != NULL && place->owner != number;
    return lane->slot;
}

HOT void small_loop(struct session *session, uint32_t number, unsigned count, bool shared,
                    enum durability class)
{
    struct small *small = session->state;
    struct small_lane *lane = &small->lanes[number];
    struct rng rng = session->lanes[number].rng;
    uint64_t *const done = session->lanes[number].done;

    while (count-- > 0) {
        const uint64_t random = rng_next(&rng);
        const uint32_t size =
            SMALL_LEAST + rng_scale((uint32_t)(random >> 32), SMALL_MOST - SMALL_LEAST + 1);
        const uint32_t slot =
            shared ? small_next_slot(small, lane, &rng, number) : (uint32_t)random % SMALL_SLOTS;

        small_replace(small, lane->tray, slot, size, number, class);
        ++*done;
    }
    session->lanes[number].rng = rng;
}

static unsigned small_batch(struct session *session, unsigned lane, unsigned count)
{
    const bool shared = session->config->shared;
    const bool kill = session->class == CLASS_KILL || session->class == CLASS_NONE;

    if (shared && kill)
        small_loop(session, lane, count, true, CLASS_KILL);
    else if (shared)
        small_loop(session, lane, count, true, session->class);
    else if (kill)
        small_loop(session, lane, count, false, CLASS_KILL);
    else
        small_loop(session, lane, count, false, session->class);
    return count;
}

static bool small_check(struct session *session, char *text, size_t size)
{
    const struct small *small = session->state;
    uint64_t live = 0, freed = 0, foreign = 0;

    for (unsigned i = 0; i <= session->threads; i++) {
        const struct small_tray *tray = &small->trays[i];

        for (uint32_t slot = 0; slot < SMALL_SLOTS; slot++) {
            if (tray->blocks[slot].block == NULL)
                continue;
            if (*tray->blocks[slot].block != tray->first + slot) {
                snprintf(text, size, "block %llu holds another's number",
                         (unsigned long long)(tray->first + slot));
                return false;
            }
            live++;
        }
    }
    for (unsigned i = 0; i < session->threads; i++) {
        freed += *session->lanes[i].done;
        foreign += small->lanes[i].foreign;
    }
    freed -= live; /* as many as were allocated and are not live */
    snprintf(text, size, "%llu live blocks hold their numbers; %.0f %% of frees by another thread",
             (unsigned long long)live, freed == 0 ? 0 : 100.0 * (double)foreign / (double)freed);
    return true;
}

static void small_close(struct session *session)
{
    struct small *small = session->state;

    peer_close(&small->peer);
    free(small->lanes);
    free(small->trays);
    free(small);
}

const struct driver PEER_SYMBOL(heap_small) = {.workload = "heap-small",
                                               .peer = PEER_NAME,
                                               .classes = PEER_CLASSES,
                                               .one_thread = PEER_ONE_THREAD,
                                               .open = small_open,
                                               .batch = small_batch,
                                               .check = small_check,
                                               .close = small_close};
