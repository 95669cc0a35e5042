/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What one transaction has to flush and has already done: the lines that it declared, in a
 * short list or, when they are more, by page, so that a commit need not read the log, which is
 * not in the caches, and flushes each line once; and by page, which bytes are declared, so that
 * a long range declared again is not logged again.  Only a help: where memory for it is
 * refused, ranges are logged again, and what to flush is read from the log.
 */
#ifndef VI_CORE_PAGES_H
#define VI_CORE_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "media/persist.h"

#define VI_RUNS 24
#define VI_SIEVE 8 /* pages whose lines do not share bits */

struct vi_pages {
    uintptr_t runs[VI_RUNS]; /* disjoint: address of the first line | number of the others */
    unsigned run_count;
    bool spilled;            /* there were more: all are in the table, and run_count is VI_RUNS */
    bool lost;               /* not all are anywhere */
    uint64_t bits[VI_SIEVE]; /* a bit for each of their lines, which others may share */
    struct vi_page *table;   /* open addressing; entries of other generations are empty */
    size_t capacity;         /* a power of two, or 0 */
    size_t used;
    uint64_t generation;
};

/* Forgets everything. */
void vi_pages_forget(struct vi_pages *pages);
static inline void vi_pages_clear(struct vi_pages *pages)
{
    if (pages->run_count != 0 || pages->used != 0 || pages->lost)
        vi_pages_forget(pages);
}
void vi_pages_release(struct vi_pages *pages);

/* Is the range inside what was passed to vi_pages_declare? (It may say no.) */
bool vi_pages_declared(const struct vi_pages *pages, const void *address, size_t length);
void vi_pages_declare(struct vi_pages *pages, const void *address, size_t length);

/* Notes that the lines of the ranges are to be flushed at the commit. */
void vi_pages_note(struct vi_pages *pages, const struct iovec *ranges, int count);

/* From now on not all are noted. */
static inline void vi_pages_lose(struct vi_pages *pages)
{
    pages->lost = true;
}

/* Flushes what is noted; false: not all is. */
bool vi_pages_flush_noted(const struct vi_pages *pages, const struct vi_persist *persist);

/* Flushes the lines of the range that were neither noted nor flushed before. */
void vi_pages_flush(struct vi_pages *pages, const struct vi_persist *persist, const void *address,
                    size_t length);

#endif
