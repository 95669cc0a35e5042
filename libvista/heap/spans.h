/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Inside the heap: size classes, the volatile state of units and spans, free runs.
 *
 * Volatile state of a block of a small span, told by four bits:
 *
 *     taken avail mine freeing
 *       0     0     0     0     free
 *       1     1     0     0     free, but only the span's owner may hand it out
 *       1     0     1     0     allocated by the owner's open transaction
 *       1     0     0     0     allocated
 *       1     0     0     1     allocated, and freed by a transaction that is still open
 *
 * `taken` and `freeing` are changed by any thread, atomically; `avail` and `mine` only
 * by the slot that owns the span.  A span stays its owner's until the transaction that
 * took blocks from it has ended.
 */
#ifndef VI_HEAP_SPANS_H
#define VI_HEAP_SPANS_H

#include <pthread.h>

#include "heap/heap.h"

/* 16 to 128 by 16, then eight to each doubling: at most an eighth is lost. */
#define VI_CLASSES 56
#define VI_SMALL_MAX 8192u
#define VI_SMALL_UNITS 16u /* of the longest small span */

struct vi_class {
    uint32_t size;       /* of a block */
    uint32_t units;      /* of a span, at most; in a small heap it is shorter */
    uint32_t reciprocal; /* offset * reciprocal >> 32 is offset / size, below 64 KiB */
};
extern const struct vi_class vi_classes[VI_CLASSES];
unsigned vi_class_of(size_t size);

enum vi_unit_state {
    VI_UNIT_UNSEEN,  /* as the descriptor says; not looked at, or a large span at rest */
    VI_UNIT_FREE,    /* first or last of a free run */
    VI_UNIT_SMALL,   /* head of a small span whose words are loaded */
    VI_UNIT_PENDING, /* head of a large block that `owner` has allocated */
    VI_UNIT_FREEING, /* head of a large block that an open transaction has freed */
};

struct vi_unit {
    uint64_t stamp;         /* small: of the last transaction that took a block */
    uint32_t next;          /* in a list of runs or spans: unit + 1 */
    uint32_t prev;          /* the same; of bins and partial lists */
    uint32_t length;        /* of the free run, at both ends; of a pending large block */
    _Atomic uint16_t owner; /* slot + 1 */
    _Atomic uint8_t state;
    uint8_t class;
    _Atomic uint8_t listed; /* in its class's partial list */
    uint16_t blocks;        /* small: how many */
    uint16_t from;          /* small: avail is empty before this block's word */
};
_Static_assert(sizeof(struct vi_unit) == 32, "two units a line");

struct vi_word {
    _Atomic uint64_t taken;
    _Atomic uint64_t freeing;
    uint64_t avail;
    uint64_t mine;
};

/* A slot's spans: unit + 1. */
struct vi_cache {
    uint32_t current[VI_CLASSES];
    uint32_t retired;  /* used up in this transaction */
    uint64_t returned; /* a bit for each class: a retired span may have a block again */
};

#define VI_BINS 40

struct vi_heap {
    struct vi_heap_place place;
    uint64_t units;               /* in the data */
    pthread_mutex_t lock;         /* of all below but what the head of this file excepts */
    uint64_t frontier;            /* units below have been looked at */
    bool damaged;                 /* the descriptor at the frontier makes no sense */
    uint32_t partial[VI_CLASSES]; /* spans with free blocks and no owner */
    uint32_t bins[VI_BINS];       /* free runs by the logarithm of their length */
    struct vi_unit *unit;         /* by unit */
    struct vi_word *word;         /* by unit, VI_WORDS_PER_UNIT each */
    struct vi_cache *cache;       /* by slot */
};

#define VI_NONE UINT64_MAX

/* The one place where stored heap metadata changes. */
static inline void vi_heap_store(uint64_t *where, uint64_t clear, uint64_t set)
{
    if (clear == ~(uint64_t)0)
        __atomic_store_n(where, set, __ATOMIC_RELEASE);
    else if (set != 0)
        __atomic_fetch_or(where, set, __ATOMIC_ACQ_REL);
    else
        __atomic_fetch_and(where, ~clear, __ATOMIC_ACQ_REL);
}

static inline struct vi_word *vi_span_word(struct vi_heap *heap, uint64_t head, uint64_t block)
{
    return &heap->word[head * VI_WORDS_PER_UNIT + block / 64];
}

static inline uint64_t *vi_span_bits(struct vi_heap *heap, uint64_t head, uint64_t block)
{
    return &heap->place.bitmaps[head * VI_WORDS_PER_UNIT + block / 64];
}

static inline uint64_t vi_descriptor(const struct vi_heap *heap, uint64_t unit)
{
    return __atomic_load_n(&heap->place.descriptors[unit], __ATOMIC_ACQUIRE);
}

/* Does the descriptor make sense for a span that begins at `unit`? */
bool vi_descriptor_valid(const struct vi_heap *heap, uint64_t unit, uint64_t descriptor);

/* The head of the small span that `unit` is in, or VI_NONE. */
uint64_t vi_span_head(const struct vi_heap *heap, uint64_t unit);

/* Makes sure that a small span's words are loaded; false: it is not a sound one. */
bool vi_span_load(struct vi_heap *heap, uint64_t head);

/* Is the descriptor valid, and are those behind it zero, so that it overlaps no other? */
bool vi_span_sound(const struct vi_heap *heap, uint64_t head, uint64_t descriptor);

/* A block of an owned span becomes available again to the owner. */
void vi_span_push(struct vi_heap *heap, uint64_t head, uint32_t block);

/* All of the following are called with the lock. */

/* Lists of runs or spans, that begin at `first`. */
void vi_list_add(struct vi_heap *heap, uint32_t *first, uint64_t unit);
void vi_list_remove(struct vi_heap *heap, uint32_t *first, uint64_t unit);

/* Free runs; taking looks further into the heap if it must, and allocates the disk
 * blocks.  VI_NONE with errno 0: no room; else with errno. */
void vi_runs_put(struct vi_heap *heap, uint64_t unit, uint64_t units);
uint64_t vi_runs_take(struct vi_heap *heap, uint64_t units);
bool vi_runs_scan(struct vi_heap *heap); /* false: nothing was left to look at */

/* A span with free blocks of the class for `slot`; the free ones become available.
 * VI_NONE with errno 0: no room; else with errno. */
uint64_t vi_span_acquire(struct vi_heap *heap, uint32_t slot, unsigned class);
/* Makes what has become free in an owned span available; false: nothing. */
bool vi_span_harvest(struct vi_heap *heap, uint64_t head);
/* The owner lets go. */
void vi_span_release(struct vi_heap *heap, uint64_t head);
/* A span without owner: free blocks put it on its list, no block ends it. */
void vi_span_review(struct vi_heap *heap, uint64_t head);

#endif
