/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Inside the heap: size classes, the volatile state of blocks, units and spans, what
 * slots keep, free runs.  A large block is a span's only one, of a class of its own.
 *
 * A block goes round these states.  Who may move it on is told beside the
 * arrow; so no two threads ever store to the same state, and none needs a lock or a
 * locked instruction, but where blocks go between a slot and a span, many at once.
 *
 *               the heap's lock           a slot's owner
 *     free  <---------------------> kept ----------------> taken by the slot
 *                                    ^ ^                       |    |
 *                 the transaction    | +--- cancel, abort -----+    | cancel, when the
 *                 has committed      |           | commit           | slot keeps enough
 *     freeing ----------------------->           v                  v
 *        ^                                     live              dropped, until the
 *        +---------- vista_free ----------------+                transaction's end
 */
#ifndef VI_HEAP_HEAP_STATE_H
#define VI_HEAP_HEAP_STATE_H

#include <pthread.h>

#include "core/log.h"
#include "heap/heap_area.h"

/* ---- Size classes ------------------------------------------------------ */

/* 16 to 128 by 16, then eight to each doubling: at most an eighth is lost. */
#define VI_CLASSES 56u
#define VI_LARGE VI_CLASSES /* the class of the others; their size is their span's */
#define VI_SMALL_MAX 8192u
#define VI_SMALL_UNITS 16u /* of the longest small span */

struct vi_class {
    uint32_t size;       /* of a block */
    uint32_t units;      /* of a span, at most; in a small heap it is shorter */
    uint32_t reciprocal; /* offset * reciprocal >> 32 is offset / size, below 64 KiB */
};
extern const struct vi_class vi_classes[VI_CLASSES + 1];

static inline unsigned vi_class_of(size_t size)
{
    const size_t last = size - (size != 0);
    const unsigned doubling = 57 - (unsigned)__builtin_clzll(last | 1); /* 1 from 129 on */

    return size <= 128 ? (unsigned)(last / 16)
                       : doubling * 8 + (unsigned)(last >> (doubling + 3)) - 8;
}

/* ---- State ------------------------------------------------------------- */

enum vi_block_state {
    VI_BLOCK_FREE,    /* counted in its span */
    VI_BLOCK_KEPT,    /* free, and listed in a slot's magazine */
    VI_BLOCK_LIVE,    /* allocated and committed */
    VI_BLOCK_FREEING, /* the same, and an open transaction has freed it */
    VI_BLOCK_OWNED    /* and above: by the two macros below */
};
#define VI_BLOCK_TAKEN(slot) (VI_BLOCK_OWNED + 2 * (slot))       /* by its open transaction */
#define VI_BLOCK_DROPPED(slot) (VI_BLOCK_OWNED + 2 * (slot) + 1) /* and freed by it again */
_Static_assert(VI_BLOCK_DROPPED(VI_SLOTS - 1) <= UINT16_MAX, "a state has 16 bits");

struct vi_unit {
    uint32_t next;   /* in a list of runs or spans: unit + 1 */
    uint32_t prev;   /* the same */
    uint32_t length; /* at both ends of a free run: of it; else 0 */
    uint16_t blocks; /* head of a loaded span: how many */
    uint16_t free;   /* of these, in that state: then the span is in its class's list */
    uint16_t from;   /* none before this one is */
    uint8_t shard;   /* whose list that is */
    uint8_t grown;   /* a large block that vista_realloc made longer */
};

/* Slots take from spans of their own while there are, for threads that take from one span
 * store to the same cache lines of states and marks by turns.  To keep it small, slots whose
 * numbers leave the same rest share their lists of spans. */
#define VI_SHARDS 8u

/* Blocks that a slot may take without asking, the next one last. */
#define VI_KEPT 63u
struct vi_magazine {
    uint64_t count;
    uint64_t block[VI_KEPT];
};

struct vi_cache {
    struct vi_magazine magazine[VI_LARGE + 1]; /* the last one stays empty */
    uint64_t held;                             /* bit k: magazine k may have blocks */
    bool in_log; /* and the open transaction's log may name some of them */
};

#define VI_BINS 64

struct vi_heap {
    struct vi_heap_area area;
    _Atomic uint64_t units;         /* in the data */
    struct vi_unit *unit;           /* by unit */
    uint16_t *map;                  /* by unit: 0, or of a span that is loaded, see below */
    uint16_t *state;                /* of blocks, as they are marked in the file */
    struct vi_cache *cache;         /* by slot */
    uint8_t capacity[VI_LARGE + 1]; /* most blocks in a magazine */
    bool watched;                   /* tools that look on are told what may be used */

    pthread_mutex_t lock;   /* of `unit` and what follows */
    uint64_t limit;         /* units below may have been used in an earlier mapping */
    uint64_t frontier;      /* of these, free runs below are in the bins; as all above are */
    uint64_t loaded_to;     /* spans below are loaded; at most the frontier */
    bool overlooked;        /* a span behind the frontier has ended */
    bool damaged;           /* the descriptor at the frontier makes no sense */
    uint32_t bins[VI_BINS]; /* free runs by length */
    uint64_t filled;        /* bit k: bin k is not empty */
    uint64_t *idle;         /* sparse: a bit for each group that is free and may have disk blocks */
    uint64_t idle_count;
    uint32_t partial[VI_SHARDS][VI_LARGE + 1]; /* spans with free blocks */
};

#define VI_NONE UINT64_MAX

/* The one place where stored heap metadata changes: a mark or a word. */
static inline void vi_heap_store(void *where, size_t size, uint64_t value)
{
    if (size == 1)
        __atomic_store_n((uint8_t *)where, (uint8_t)value, __ATOMIC_RELEASE);
    else
        __atomic_store_n((uint64_t *)where, value, __ATOMIC_RELEASE);
}

/* The same for a word that outlives the transaction that it was changed for: durable at once, or
 * noted behind what was committed. */
static inline void vi_heap_store_now(struct vi_heap *heap, uint64_t *where, uint64_t value)
{
    vi_heap_store(where, sizeof *where, value);
    vi_flush_fence(heap->area.persist, where, sizeof *where);
    if (heap->area.note != NULL)
        heap->area.note(heap->area.segment, where, sizeof *where);
}

static inline uint64_t vi_descriptor(const struct vi_heap *heap, uint64_t unit)
{
    return __atomic_load_n(&heap->area.descriptors[unit], __ATOMIC_ACQUIRE);
}

/* ---- Blocks ------------------------------------------------------------ */

/* A block is named by its span's first unit << 16 | its number in it. */
static inline uint64_t vi_block(uint64_t head, uint64_t index)
{
    return head << 16 | index;
}

static inline uint64_t vi_block_offset(uint64_t block, unsigned class)
{
    return (block >> 16) * VI_UNIT + (block & 0xffffu) * vi_classes[class].size;
}

static inline uint64_t vi_block_cell(uint64_t block)
{
    return (block >> 16) * VI_MARKS_PER_UNIT + (block & 0xffffu);
}

static inline uint32_t vi_block_state(const struct vi_heap *heap, uint64_t block)
{
    return __atomic_load_n(&heap->state[vi_block_cell(block)], __ATOMIC_RELAXED);
}

static inline void vi_block_become(struct vi_heap *heap, uint64_t block, uint32_t state)
{
    __atomic_store_n(&heap->state[vi_block_cell(block)], (uint16_t)state, __ATOMIC_RELAXED);
}

/* What the map says of a loaded span, at its first unit, and of small ones at the others:
 * units back to the first << 8 | size class + 1. */
static inline unsigned vi_map_class(unsigned entry)
{
    return (entry & 0xffu) - 1;
}

static inline unsigned vi_map_of(const struct vi_heap *heap, uint64_t offset)
{
    return __atomic_load_n(&heap->map[offset / VI_UNIT], __ATOMIC_ACQUIRE);
}

/* The block of a loaded span that begins at `offset`; VI_NONE: none does. */
static inline uint64_t vi_block_at(uint64_t offset, unsigned entry)
{
    const struct vi_class *class = &vi_classes[vi_map_class(entry)];
    const uint64_t head = offset / VI_UNIT - (entry >> 8), inside = offset - head * VI_UNIT;
    const uint64_t index = inside * class->reciprocal >> 32;

    return index * class->size == inside ? vi_block(head, index) : VI_NONE;
}

/* ---- Spans ------------------------------------------------------------- */

static inline unsigned vi_span_class(uint64_t descriptor)
{
    return VI_SPAN_KIND(descriptor) == VI_SPAN_LARGE ? VI_LARGE : VI_SPAN_CLASS(descriptor);
}

static inline uint64_t vi_span_block_size(uint64_t descriptor)
{
    return VI_SPAN_KIND(descriptor) == VI_SPAN_LARGE ? VI_SPAN_UNITS(descriptor) * VI_UNIT
                                                     : vi_classes[VI_SPAN_CLASS(descriptor)].size;
}

static inline uint32_t vi_span_blocks(uint64_t descriptor)
{
    if (VI_SPAN_KIND(descriptor) == VI_SPAN_LARGE)
        return 1;
    return (uint32_t)(VI_SPAN_UNITS(descriptor) * VI_UNIT) /
           vi_classes[VI_SPAN_CLASS(descriptor)].size;
}

#endif
