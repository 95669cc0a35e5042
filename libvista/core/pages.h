/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What one transaction has already done, by page: which bytes of it are declared,
 * so that a long range declared again is not logged again, and which of its lines
 * are flushed, so that each is flushed once.  Only a help: where memory for it is
 * refused, ranges are logged and lines flushed again.
 */
#ifndef VI_CORE_PAGES_H
#define VI_CORE_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "media/persist.h"

#define VI_LINES_KEPT 24

struct vi_pages {
    uintptr_t lines[VI_LINES_KEPT]; /* flushed: the first few, quicker looked at one by one */
    unsigned line_count;            /* more than are kept: the table has them */
    struct vi_page *table;          /* open addressing; entries of other generations are empty */
    size_t capacity;                /* a power of two, or 0 */
    size_t used;
    uint64_t generation;
};

/* Forgets everything. */
void vi_pages_clear(struct vi_pages *pages);
void vi_pages_release(struct vi_pages *pages);

/* Is the range inside what was passed to vi_pages_declare? (It may say no.) */
bool vi_pages_declared(const struct vi_pages *pages, const void *address, size_t length);
void vi_pages_declare(struct vi_pages *pages, const void *address, size_t length);

/* Flushes the lines of the ranges that this has not flushed yet. */
void vi_pages_flush(struct vi_pages *pages, const struct vi_persist *persist,
                    const struct iovec *ranges, unsigned count);

#endif
