/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A range whose length the program's compiler does not know, in the kill-safe class: most are
 * logged here, as the inlined path would.
 */
#ifndef VI_CORE_RANGE_LOG_H
#define VI_CORE_RANGE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "vista.h"

/* The first and the last `part` bytes, which overlap: `part` is a constant, and at least half of
 * the length. */
static inline __attribute__((always_inline)) void
vi_copy_ends(unsigned char *to, const unsigned char *from, size_t length, size_t part)
{
    memcpy(to, from, part);
    memcpy(to + length - part, from + length - part, part);
}

/* From 1 byte to 16, and from there to 256: by moves that are no wider than what a program
 * stores. */
static inline void vi_copy_words(unsigned char *to, const unsigned char *from, size_t length)
{
    if (length >= 8)
        vi_copy_ends(to, from, length, 8);
    else if (length >= 4)
        vi_copy_ends(to, from, length, 4);
    else if (length >= 2)
        vi_copy_ends(to, from, length, 2);
    else
        *to = *from;
}

static inline void vi_copy_pairs(unsigned char *to, const unsigned char *from, size_t length)
{
    if (length > 128)
        vi_copy_ends(to, from, length, 128);
    else if (length > 64)
        vi_copy_ends(to, from, length, 64);
    else if (length > 32)
        vi_copy_ends(to, from, length, 32);
    else
        vi_copy_ends(to, from, length, 16);
}

/* Behind a record's header: the range's address, zeros up to a word's end behind the place of its
 * bytes, and a word of zeros.  Says where that is. */
static inline uint64_t *vi_range_frame(uint64_t *item, const void *address, size_t length)
{
    uint64_t *const end = item + 1 + (length + 7) / 8;
    const vista_inline_pair zeros = {0, 0};

    *item = (uintptr_t)address;
    *(vista_inline_pair *)(end - 1) = zeros;
    return end;
}

/* The record counts from here on.  By two stores, as its shape is no constant. */
static inline void vi_range_count(vista_tx *tx, uint64_t *record, uint64_t shape, uint64_t *end)
{
    record[1] = shape;
    VISTA_INLINE_COMPILER_BARRIER();
    *record = tx->stamp;
    VISTA_INLINE_COMPILER_BARRIER();
    tx->next = (uintptr_t)end;
}

/* Has the range from 1 byte to 256, in one of the two segments whose ranges are inlined, and does
 * its record fit in the log's chunk as it is? */
static inline bool vi_range_is_short(const vista_tx *tx, const void *address, size_t length)
{
    return VISTA_INLINE_LIKELY(tx != NULL && tx->next <= tx->limit1 &&
                               length - 1 < VISTA_INLINE_LENGTH) &&
           (vista_inline_is_in1(tx, (uintptr_t)address) ||
            vista_inline_is_in2(tx, (uintptr_t)address));
}

static inline void vi_range_log_short(vista_tx *tx, const void *address, size_t length)
{
    uint64_t *const record = (uint64_t *)tx->next;
    uint64_t *const end = vi_range_frame(record + 2, address, length);

    if (length <= 16)
        vi_copy_words((unsigned char *)(record + 3), address, length);
    else
        vi_copy_pairs((unsigned char *)(record + 3), address, length);
    vi_range_count(tx, record, VISTA_INLINE_SHORT | length, end);
}

/* Logs any range if that takes no more than a record in the log's chunk as it is: one of another
 * segment of the group, or a longer one whose like are few.  False: nothing was done. */
bool vi_range_log(vista_tx *tx, void *address, size_t length);

#endif
