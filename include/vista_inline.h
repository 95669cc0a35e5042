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

/*
 * The beginning of a transaction's handle.  `limit1` says in which state it is:
 *
 *     idle          no transaction is open
 *     even          the last place where an inlined record of format 1 may begin
 *     odd, above 3  the same, and the commit takes more than to discard the log
 *     3             every range goes out of line, and the commit
 *     1             the handle belongs to no segment
 *
 * What a later library may store there, and when; for a program that was compiled with this
 * header reads the fields as follows:
 *
 *     stamp       out of line; the inlined end adds `step` to it
 *     limit1      out of line, anything above; the inlined beginning stores `room`, the end
 *                 `idle`.  The inlined path begins a handle only while this is its segment's
 *                 idle, sets ranges while `next` is at most this, ends while it is even.
 *     next, first out of line: the 24 + 256 + 8 bytes from any place up to limit1 are the
 *                 log's, and `next` is a multiple of 8
 *     word        between transactions
 *     room        at any time, by any thread, by one relaxed store: an odd value sends the
 *                 end out of line, 3 also the ranges of transactions begun from then on
 *     low, high   out of line by the thread that has the transaction; `high` by any other,
 *                 too.  So low2, high2.  A range of up to 256 bytes that begins from low to
 *                 high, both included, is the segment's.  low above high: none is.
 *     step, idle  between transactions; step leaves bit 0 of the stamp alone.  The end adds
 *                 and stores them both at once.
 *     reserved    at any time
 *
 * 0 in `limit1` and `room` is what a library stores that no longer writes format 1: no place
 * is that low, so that ranges go out of line; and an odd limit1 sends the end there.
 */
struct vista_tx {
    uint64_t stamp;   /* of the open transaction, or of the next */
    uintptr_t limit1; /* see above.  The end stores stamp and limit1 at once, the */
    uintptr_t next;   /* beginning limit1 and next: where the next record goes */
    uint64_t *word;   /* the stamp as it is stored in the slot: the commit point */
    uintptr_t room;   /* what limit1 becomes when a transaction begins, and */
    uintptr_t first;  /* next: where the log begins */
    uintptr_t low;    /* where an inlined range may begin: at the segment's data, */
    uintptr_t high;   /* and at the last such address */
    uint64_t step;    /* from one transaction's stamp to the next */
    uintptr_t idle;   /* what limit1 becomes when one ends: odd, above 3, and no other
                         segment's, mapped or unmapped, of this process */
    uintptr_t low2;   /* low and high of another segment of the group; or of none */
    uintptr_t high2;
    uint64_t reserved[4];
};
#define VISTA_INLINE_CLOSED 1u

/*
 * The beginning of a segment's handle.  A thread has the handle that it may begin, at most
 * one at a time for a segment, in storage of its own, `entry` bytes from its thread pointer.
 * There is always a handle there, if only one whose limit1 is 1, or another segment's.  One
 * that was begun by the inlined path stays there until it has ended.  A library stores both
 * when it maps the segment, 0 to `idle` when it unmaps it or the process is a forked child.
 */
struct vista_segment {
    uintptr_t entry;
    uintptr_t idle; /* of the segment's handles */
};

vista_tx *vista_begin_out_of_line(vista_segment *segment, unsigned mode);
void vista_inline_find_segment(vista_tx *tx,
                               const void *address); /* to the segment that has it, if it can */
int vista_set_range_out_of_line(vista_tx *tx, void *address, size_t length);
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

/* What another thread may store to: a plain load, which can be an instruction's operand. */
#if defined(VISTA_INLINE_THREAD_SANITIZER)
#define VISTA_INLINE_SHARED(field) __atomic_load_n(&(field), __ATOMIC_ACQUIRE)
#else
#define VISTA_INLINE_SHARED(field) (field)
#endif

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

/* May a range begin there?  In one of the two segments whose ranges are inlined now; or in
 * another, which is then one of the two. */
static inline __attribute__((always_inline)) int vista_inline_is_in1(const vista_tx *tx,
                                                                     uintptr_t address)
{
    return VISTA_INLINE_LIKELY(address >= tx->low) &&
           VISTA_INLINE_LIKELY(address <= VISTA_INLINE_SHARED(tx->high));
}
static inline __attribute__((always_inline)) int vista_inline_is_in2(const vista_tx *tx,
                                                                     uintptr_t address)
{
    return address >= tx->low2 && address <= VISTA_INLINE_SHARED(tx->high2);
}
static inline __attribute__((always_inline)) int vista_inline_is_in(vista_tx *tx, uintptr_t address)
{
    if (VISTA_INLINE_LIKELY(vista_inline_is_in1(tx, address)) || vista_inline_is_in2(tx, address))
        return 1;
    vista_inline_find_segment(tx, (const void *)address);
    return vista_inline_is_in1(tx, address);
}

/* The handle that this thread may begin on the segment. */
static inline __attribute__((always_inline)) vista_tx *
vista_inline_handle(const vista_segment *segment)
{
    vista_tx *tx;

    __asm__ __volatile__("movq %%fs:(%1), %0" : "=r"(tx) : "r"(segment->entry), "m"(*segment));
    return tx;
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
#define VISTA_INLINE_INSIDE(i) \
    (count <= (i) || VISTA_INLINE_LIKELY(vista_inline_is_in1(tx, (uintptr_t)address##i)) || \
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
    vista_tx *tx;

    if (VISTA_INLINE_UNLIKELY(segment == NULL || mode != 0))
        return vista_begin_out_of_line(segment, mode);
    tx = vista_inline_handle(segment);
    if (VISTA_INLINE_UNLIKELY(VISTA_INLINE_SHARED(tx->limit1) !=
                              VISTA_INLINE_SHARED(segment->idle)))
        return vista_begin_out_of_line(segment, mode);
#if defined(VISTA_INLINE_THREAD_SANITIZER)
    tx->next = tx->first;
    __atomic_store_n(&tx->limit1, __atomic_load_n(&tx->room, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
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

            if (VISTA_INLINE_LIKELY(next + beyond <= tx->limit1) &&
                vista_inline_is_in(tx, (uintptr_t)address0) &&
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
    if (__builtin_constant_p(length) && length > 0 && length <= VISTA_INLINE_LENGTH &&
        VISTA_INLINE_LIKELY(tx != NULL && tx->next <= tx->limit1 &&
                            vista_inline_is_in(tx, (uintptr_t)address))) {
        uint64_t *const record = (uint64_t *)tx->next;
        uint64_t *const end = vista_inline_put(record + 2, address, length, 1);

        __asm__ __volatile__("" : "+m"(VISTA_INLINE_MEMORY(record)));
        vista_inline_count(record, tx->stamp, VISTA_INLINE_SHORT | length);
        __asm__ __volatile__("" : "+m"(VISTA_INLINE_MEMORY(address)) : "m"(*record));
        tx->next = (uintptr_t)end;
        return 0;
    }
    return vista_set_range_out_of_line(tx, address, length);
}

VISTA_INLINE int vista_end_transaction(vista_tx *tx, unsigned mode)
{
    vista_inline_pair after = {0, 0};

    if (VISTA_INLINE_UNLIKELY(tx == NULL || mode != 0 ||
                              (tx->limit1 | VISTA_INLINE_SHARED(tx->room)) % 2 != 0))
        return vista_end_out_of_line(tx, mode);
#if defined(VISTA_INLINE_THREAD_SANITIZER)
    after[0] = tx->stamp + tx->step;
    __atomic_store_n(&tx->stamp, after[0], __ATOMIC_RELAXED);
    *tx->word = after[0];
    __atomic_store_n(&tx->limit1, tx->idle, __ATOMIC_RELEASE);
#else
    after[0] = tx->stamp;
    after += *(const vista_inline_pair *)&tx->step;
    VISTA_INLINE_COMPILER_BARRIER();
    *tx->word = after[0]; /* the commit point: every record of the log is void */
    VISTA_INLINE_COMPILER_BARRIER();
    *(vista_inline_pair *)&tx->stamp = after;
#endif
    return 0;
}

#endif
