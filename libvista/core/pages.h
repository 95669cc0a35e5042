/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The dirty set of one transaction, by page: which lines a commit has to flush, so that it need
 * not read the log, which is not in the caches, and flushes each line once; and which bytes are
 * declared, so that a long range declared again is not logged again.  Only a help: where memory
 * for it is refused, ranges are logged again, and what to flush is read from the log.
 */
#ifndef VI_CORE_PAGES_H
#define VI_CORE_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "media/persist.h"

/* An entry is found by a hash table of twice as many places, which is never cleared: a place
 * counts if it names an entry that is used and names the place in turn. */
struct vi_pages {
    struct vi_page *entries; /* in the order in which their pages came */
    uint32_t *buckets;
    size_t capacity; /* of entries: a power of two, or 0 */
    size_t used;
    bool lost; /* not all that is to be flushed is noted: it is to be read from the log */
};

/* Forgets everything. */
void vi_pages_forget(struct vi_pages *pages);
static inline void vi_pages_clear(struct vi_pages *pages)
{
    if (pages->used != 0 || pages->lost)
        vi_pages_forget(pages);
}
void vi_pages_release(struct vi_pages *pages);

/* Is the range inside what was passed to vi_pages_declare? (It may say no.) */
bool vi_pages_declared(const struct vi_pages *pages, const void *address, size_t length);
void vi_pages_declare(struct vi_pages *pages, const void *address, size_t length);

/* Notes that the lines of the ranges are to be flushed at the commit. */
void vi_pages_note(struct vi_pages *pages, const struct iovec *ranges, int count);

/* Flushes what is noted; false: not all is. */
bool vi_pages_flush_noted(const struct vi_pages *pages, const struct vi_persist *persist);

/* Flushes the lines of the range that were neither noted nor flushed before. */
void vi_pages_flush(struct vi_pages *pages, const struct vi_persist *persist, const void *address,
                    size_t length);

#endif
