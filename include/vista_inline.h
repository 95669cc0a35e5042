/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista_inline.h - the inlined path of a transaction: included by vista.h, and not to be
 * included, nor anything in it used, by a program.  It is here so that a transaction
 * costs no function call.  What is below is frozen: a program compiled with it
 * works with every later library.
 */
#ifndef VISTA_INLINE_H
#define VISTA_INLINE_H

#ifndef VISTA_H
#error "include vista.h"
#endif

/*
 * What bounds a loop of small transactions is how many of them the processor
 * overlaps, and that is bounded by its windows of instructions and of stores, and by
 * the registers it has to rename: so the path has few of the first two, compares with
 * bounds rather than computing an offset, and moves data by vector registers.  Two
 * checks are made less exact than they could be, and what they miss goes out of line.
 *
 * A record of the undo log, format 1, as the kill-safe class has it: a stamp; the shape,
 * which is the lengths of one to seven ranges, 9 bits each, and VISTA_INLINE_SHORT; then each
 * range's address and the bytes as they were, padded to 8; then eight zero bytes or the
 * next record.  It counts once its stamp, stored last, is that of its slot.
 */
#define VISTA_INLINE_SHORT ((uint64_t)1 << 63)
#define VISTA_INLINE_SHAPE_BITS 9
#define VISTA_INLINE_STAMP_STEP 0x2000u /* from one transaction's stamp to the slot's next */
#define VISTA_INLINE_LENGTH 256         /* longer ranges go out of line */
#define VISTA_INLINE_RANGES 7           /* more in one call do, too */
#define VISTA_INLINE_RECORD (24 + VISTA_INLINE_LENGTH + 8) /* the longest of one range */

/* The beginning of a transaction's handle.  The end stores stamp and limit1 at once, the
 * beginning limit1 and next. */
struct vista_tx {
    uint64_t stamp;   /* of the open transaction, or of the next */
    uintptr_t limit1; /* VISTA_INLINE_CLOSED; or, open, the last place for an inlined record of
                         format 1.  Odd: commit takes more than to discard the log. */
    uintptr_t next;   /* where the next record goes, while open */
    uint64_t *word;   /* the stamp as it is stored in the slot: the commit point */
    uintptr_t room;   /* what limit1 becomes when a transaction begins, and */
    uintptr_t first;  /* next: where the log begins */
    uintptr_t low;    /* where an inlined range may begin: at the segment's data, */
    uintptr_t high;   /* and at the last such address */
    uint64_t number;  /* the segment's, never used again */
    uintptr_t low2;   /* low and high of another segment of the group; or of none */
    uintptr_t high2;
};
#define VISTA_INLINE_CLOSED 1u

/* The beginning of a segment's handle. */
struct vista_segment {
    uint64_t number; /* VISTA_INLINE_UNMAPPED: not mapped here (unmapped, or in a forked child) */
};

#define VISTA_INLINE_UNMAPPED UINT64_MAX

/* A handle that this thread may begin when it is not open: a cache that may be
 * emptied at any time. */
struct vista_thread_cache {
    uint64_t number; /* of the segment that tx belongs to; 0: empty */
    vista_tx *tx;
};
extern __thread struct vista_thread_cache vista_thread_cache
    __attribute__((tls_model("initial-exec")));

vista_tx *vista_begin_out_of_line(vista_segment *segment, unsigned mode);
void vista_inline_find_segment(vista_tx *tx,
                               const void *address); /* to the segment that has it, if it can */
int vista_set_ranges_out_of_line(vista_tx *tx, const struct iovec *ranges, int count);
int vista_end_out_of_line(vista_tx *tx, unsigned mode);

typedef uint64_t vista_inline_pair __attribute__((vector_size(16), aligned(8), may_alias));
typedef uint64_t vista_inline_word __attribute__((may_alias));
typedef uint64_t vista_inline_unaligned __attribute__((aligned(1), may_alias));
#if defined(__SSE2__) && __FLT_EVAL_METHOD__ == 0
typedef double vista_inline_lane
    __attribute__((aligned(1), may_alias)); /* moved, never computed with */
#else
typedef uint64_t vista_inline_lane __attribute__((aligned(1), may_alias));
#endif

#if defined(__SANITIZE_THREAD__)
#define VISTA_INLINE_THREAD_SANITIZER 1 /* it sees only what the compiler stores */
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define VISTA_INLINE_THREAD_SANITIZER 1
#endif
#endif

#define VISTA_INLINE_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define VISTA_INLINE_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* The compiler must not move a store over this. */
#define VISTA_INLINE_COMPILER_BARRIER() __asm__ __volatile__("" ::: "memory")

/* The same for what is at `address` alone, so that what else the compiler holds in
 * registers stays there. */
#define VISTA_INLINE_MEMORY(address) (*(char(*)[])(address))

/* Of one range in a record. */
#define VISTA_INLINE_ITEM(length) (sizeof(vista_inline_word) + (((length) + 7) & ~(size_t)7))

/* Copies whole words. */
static inline __attribute__((always_inline)) void vista_inline_copy(char *to, const char *from,
                                                                    size_t length)
{
    memcpy(to, from, length & ~(size_t)15);
    if (length % 16 != 0)
        *(vista_inline_lane *)(to + length - 8) = *(const vista_inline_lane *)(from + length - 8);
}

/* Copies a range, address and bytes, to the log, and eight zero bytes behind the `last`; to
 * where the next goes.  Two words to a store: the address goes with the first of the bytes where
 * that leaves no odd one. */
static inline __attribute__((always_inline)) uint64_t *
vista_inline_put(uint64_t *item, const void *range, size_t length, int last)
{
    const size_t whole = (length - 1) & ~(size_t)7; /* all but the last word */
    const size_t first =
        length >= 8 && (VISTA_INLINE_ITEM(length) / 8 + (size_t)last) % 2 == 0 ? 8 : 0;
    const char *const from = (const char *)range;
    char *const to = (char *)(item + 1);
    uint64_t tail = 0;

    if (first != 0) {
        const vista_inline_pair both = {(uintptr_t)range, *(const vista_inline_unaligned *)from};

        *(vista_inline_pair *)item = both;
    } else {
        *item = (uintptr_t)range;
    }
    if (length % 8 == 0 && !last) {
        vista_inline_copy(to + first, from + first, length - first);
    } else {
        vista_inline_copy(to + first, from + first, whole - first);
        memcpy(&tail, from + whole, length - whole);
        if (last) {
            const vista_inline_pair both = {tail, 0};

            *(vista_inline_pair *)(to + whole) = both;
        } else {
            *(vista_inline_word *)(to + whole) = tail;
        }
    }
    return (uint64_t *)((char *)item + VISTA_INLINE_ITEM(length));
}

/* The record counts from here on: its stamp is stored by the same instruction as the shape, or
 * after it. */
static inline __attribute__((always_inline)) void vista_inline_count(uint64_t *record,
                                                                     uint64_t stamp, uint64_t shape)
{
#if defined(__SSE2__) && !defined(VISTA_INLINE_THREAD_SANITIZER)
    const vista_inline_pair first = {stamp, 0}, second = {0, shape}; /* this is a constant */

    *(vista_inline_pair *)record = first | second;
#else
    record[1] = shape;
    VISTA_INLINE_COMPILER_BARRIER();
    *record = stamp;
#endif
}

/* In the second of the segments whose ranges are inlined now? */
static inline int vista_inline_is_in2(const vista_tx *tx, uintptr_t address)
{
    return address >= tx->low2 && address <= __atomic_load_n(&tx->high2, __ATOMIC_RELAXED);
}

/* The steps of vista_set_ranges for one of the ranges, of which there are `count`. */
#define VISTA_INLINE_EACH(step) step(0) step(1) step(2) step(3) step(4) step(5) step(6)
#define VISTA_INLINE_ALL(step, operator) \
    (step(0) operator step(1) operator step(2) operator step(3) operator step(4) operator step(5) \
     operator step(6))
#define VISTA_INLINE_LOAD(i) \
    void *const address##i = count > (i) ? ranges[i].iov_base : NULL; \
    const size_t length##i = count > (i) ? ranges[i].iov_len : 1;
#define VISTA_INLINE_BRIEF(i) \
    (__builtin_constant_p(length##i) & (length##i > 0) & (length##i <= VISTA_INLINE_LENGTH))
#define VISTA_INLINE_NEED(i) (count > (i) ? VISTA_INLINE_ITEM(length##i) : 0)
#define VISTA_INLINE_SHAPE(i) \
    (count > (i) ? (uint64_t)length##i << (VISTA_INLINE_SHAPE_BITS * (i)) : 0)
#define VISTA_INLINE_IS_IN(address) \
    VISTA_INLINE_LIKELY((uintptr_t)(address) >= low && (uintptr_t)(address) <= high)
/* `low` and `high` become those of the segment that has it: this is neither of the two. */
#define VISTA_INLINE_FIND_OTHER(address) \
    { \
        vista_inline_find_segment(tx, address); \
        low = tx->low; \
        high = __atomic_load_n(&tx->high, __ATOMIC_RELAXED); \
    }
/* The same for any. */
#define VISTA_INLINE_FIND(address) \
    if (!VISTA_INLINE_IS_IN(address)) { \
        low = tx->low2; \
        high = __atomic_load_n(&tx->high2, __ATOMIC_RELAXED); \
        if (!VISTA_INLINE_IS_IN(address)) \
            VISTA_INLINE_FIND_OTHER(address) \
    }
#define VISTA_INLINE_INSIDE(i) \
    (count <= (i) || VISTA_INLINE_IS_IN(address##i) || \
     vista_inline_is_in2(tx, (uintptr_t)address##i))
#define VISTA_INLINE_PUT(i) \
    if (count > (i)) \
        item = vista_inline_put(item, address##i, length##i, count == (i) + 1);
#define VISTA_INLINE_OPEN(i) \
    if (count > (i)) \
        __asm__ __volatile__("" : "+m"(VISTA_INLINE_MEMORY(address##i)) : "m"(*record));
#define VISTA_INLINE_COPY(i) {address##i, length##i},

VISTA_INLINE vista_tx *vista_begin_transaction(vista_segment *segment, unsigned mode)
{
    struct vista_thread_cache *cache = &vista_thread_cache;
    vista_tx *tx = cache->tx;

    if (VISTA_INLINE_UNLIKELY(segment == NULL || cache->number != segment->number || mode != 0 ||
                              __atomic_load_n(&tx->limit1, __ATOMIC_ACQUIRE) !=
                                  VISTA_INLINE_CLOSED))
        return vista_begin_out_of_line(segment, mode);
#if defined(VISTA_INLINE_THREAD_SANITIZER)
    tx->next = tx->first;
    __atomic_store_n(&tx->limit1, tx->room, __ATOMIC_RELAXED);
#else
    *(vista_inline_pair *)&tx->limit1 = *(const vista_inline_pair *)&tx->room;
#endif
    return tx;
}

VISTA_INLINE int vista_set_ranges(vista_tx *tx, const struct iovec *ranges, int count)
{
    if (VISTA_INLINE_LIKELY(__builtin_constant_p(count) && count > 0 &&
                            count <= VISTA_INLINE_RANGES && ranges != NULL)) {
        VISTA_INLINE_EACH(VISTA_INLINE_LOAD)
        const uint64_t shape = VISTA_INLINE_SHORT | VISTA_INLINE_ALL(VISTA_INLINE_SHAPE, |);
        const size_t need = 3 * sizeof(vista_inline_word) + VISTA_INLINE_ALL(VISTA_INLINE_NEED, +);
        const size_t beyond = need > VISTA_INLINE_RECORD ? need - VISTA_INLINE_RECORD : 0;

        if (VISTA_INLINE_LIKELY(VISTA_INLINE_ALL(VISTA_INLINE_BRIEF, &) && tx != NULL)) {
            const uintptr_t next = tx->next;
            uintptr_t low = tx->low;
            uintptr_t high = __atomic_load_n(&tx->high, __ATOMIC_RELAXED); /* resizing */

            if (!VISTA_INLINE_INSIDE(0))
                VISTA_INLINE_FIND_OTHER(address0)
            if (VISTA_INLINE_LIKELY(next + beyond <= tx->limit1) &&
                VISTA_INLINE_ALL(VISTA_INLINE_INSIDE, &&)) {
                uint64_t *const record = (uint64_t *)next, *item = record + 2;

                VISTA_INLINE_EACH(VISTA_INLINE_PUT)
                __asm__ __volatile__("" : "+m"(VISTA_INLINE_MEMORY(record)));
                vista_inline_count(record, tx->stamp, shape);
                /* Now it counts, and the program may store. */
                VISTA_INLINE_EACH(VISTA_INLINE_OPEN)
                tx->next = (uintptr_t)item;
                return 0;
            }
        }
        {
            /* Not the caller's array, which need then not be in memory on the way above. */
            const struct iovec copy[] = {VISTA_INLINE_EACH(VISTA_INLINE_COPY)};

            return vista_set_ranges_out_of_line(tx, copy, count);
        }
    }
    return vista_set_ranges_out_of_line(tx, ranges, count);
}

VISTA_INLINE int vista_set_range(vista_tx *tx, void *address, size_t length)
{
    struct iovec range;

    if (__builtin_constant_p(length) && length > 0 && length <= VISTA_INLINE_LENGTH && tx != NULL) {
        uint64_t *const record = (uint64_t *)tx->next;
        uintptr_t low = tx->low, high = __atomic_load_n(&tx->high, __ATOMIC_RELAXED);

        VISTA_INLINE_FIND(address)
        if (VISTA_INLINE_IS_IN(address) && VISTA_INLINE_LIKELY(tx->next <= tx->limit1)) {
            uint64_t *const end = vista_inline_put(record + 2, address, length, 1);

            __asm__ __volatile__("" : "+m"(VISTA_INLINE_MEMORY(record)));
            vista_inline_count(record, tx->stamp, VISTA_INLINE_SHORT | length);
            __asm__ __volatile__("" : "+m"(VISTA_INLINE_MEMORY(address)) : "m"(*record));
            tx->next = (uintptr_t)end;
            return 0;
        }
    }
    range.iov_base = address;
    range.iov_len = length;
    return vista_set_ranges_out_of_line(tx, &range, 1);
}

VISTA_INLINE int vista_end_transaction(vista_tx *tx, unsigned mode)
{
    const vista_inline_pair step = {VISTA_INLINE_STAMP_STEP, VISTA_INLINE_CLOSED};
    vista_inline_pair after = {0, 0};

    if (VISTA_INLINE_UNLIKELY(tx == NULL || vista_thread_cache.tx != tx || mode != 0 ||
                              tx->limit1 % 2 != 0))
        return vista_end_out_of_line(tx, mode);
#if defined(VISTA_INLINE_THREAD_SANITIZER)
    after[0] = tx->stamp + step[0];
    tx->stamp = after[0];
    *tx->word = after[0];
    __atomic_store_n(&tx->limit1, VISTA_INLINE_CLOSED, __ATOMIC_RELEASE);
#else
    after[0] = tx->stamp;
    after += step;
    VISTA_INLINE_COMPILER_BARRIER();
    *tx->word = after[0]; /* the commit point: every record of the log is void */
    VISTA_INLINE_COMPILER_BARRIER();
    *(vista_inline_pair *)&tx->stamp = after;
#endif
    return 0;
}

#endif
