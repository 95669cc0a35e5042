/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Handles of transactions, and which of them a thread may begin by itself.
 *
 * A handle is bound to one log slot for as long as its segment is mapped.  While no transaction
 * is open on it, it is in exactly one of these places: the cache of one thread, which alone
 * may begin it there; its group's idle list; or nowhere, a *stray*, whose thread exited
 * while it was open.  In a cache it stays while it is open, and any thread may end it:
 * the last store of an end, to limit1, makes it the cache's again.  A handle of a cache
 * whose segment has been unmapped is *parked* there: only that thread, or its exit, takes it
 * for another segment, since it is what the thread's inlined path looks at.
 */
#ifndef VI_CORE_HANDLES_H
#define VI_CORE_HANDLES_H

#include "core/hooks.h"
#include "core/pages.h"
#include "core/process.h"
#include "core/segment.h"

#define VI_LONG_RANGES 8

/* The long ranges that a transaction has declared, which need not be logged again.  They are
 * those of the transaction that has `stamp`; so an end need not clear them. */
struct vi_long_ranges {
    uint64_t stamp;
    unsigned count;
    struct {
        uintptr_t from, to;
    } range[VI_LONG_RANGES];
};

struct vi_tx {
    struct vi_log log;          /* first: begins with the public prefix */
    struct vi_segment *segment; /* NULL: spare, or parked */
    bool no_restore;
    bool cached; /* in some thread's cache */
    bool stray;
    uint64_t first_stamp; /* of its slot when it was given that: what has ended since is counted */
    uint64_t aborts;      /* of these, those that were rolled back; atomic */
    struct vi_pages pages;
    struct vi_long_ranges long_ranges;
    struct vi_tx *next_all;
    struct vi_tx *next_idle;
    struct vi_hooks hooks;    /* of vista_on_end */
    struct vi_shadow *shadow; /* the log's, where lines are flushed: made when first of use, kept */
};

/* What a thread has at the places that `entry` of segments' handles leads to.  Segments are
 * given these in turn, so that four logs have one each. */
struct vi_thread_cache {
    vista_tx *handle[VI_THREAD_HANDLES]; /* never NULL */
};
extern __thread struct vi_thread_cache vi_thread_cache __attribute__((tls_model("initial-exec")));
extern const struct vi_thread_cache vi_thread_cache_empty;

/* Fills in the prefix of a segment that is mapped now, so that transactions can begin. */
void vi_handle_serve(struct vi_segment *segment);

/* The prefix's `idle` of segments with one log, which is the `number`-th. */
static inline uintptr_t vi_handle_idle(uint64_t number)
{
    return number * 4 + 1;
}

static inline bool vi_tx_is_open(const struct vi_tx *tx)
{
    return __atomic_load_n(&tx->log.cursor.limit1, __ATOMIC_ACQUIRE) !=
           __atomic_load_n(&tx->log.cursor.idle, __ATOMIC_RELAXED);
}

/* A handle of the home segment on which no transaction is open, and none is begun by anyone
 * else until it is closed: the one that this thread has, or one that it then has if it is to
 * `keep` it.  NULL with errno. */
struct vi_tx *vi_handle_take(struct vi_segment *home, bool cache);

/* The transaction has ended: the next may be begun. */
void vi_handle_close(struct vi_tx *tx);

/* Do ranges in the segment's data always go out of line? */
bool vi_handle_is_gated(const struct vi_segment *segment);

/* Ranges inside `segment`, of the group, are inlined from now on, and no others. */
void vi_tx_set_bounds(struct vi_tx *tx, const struct vi_segment *segment);

/* Of every handle of the group, ranges inside home: its size has changed.  No transaction is
 * open. */
void vi_tx_set_bounds_all(struct vi_segment *home);

/* How many transactions are open. */
uint64_t vi_tx_count_open(struct vi_segment *segment);

/* How many have ended since home was mapped: each moves its slot's stamp on. */
void vi_tx_count_ended(struct vi_segment *home, uint64_t *commits, uint64_t *aborts);

/* The segment is going: its handles end, and serve other segments. */
void vi_tx_retire_all(struct vi_segment *segment);

/* Visits each slot of the segment's group that no thread holds. */
void vi_tx_each_idle(struct vi_segment *segment, void (*visit)(void *arg, uint32_t slot),
                     void *arg);

#endif
