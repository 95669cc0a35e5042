/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Finds the pages that were written to: userfaultfd's asynchronous write protection and
 * PAGEMAP_SCAN, which Linux has from 6.7 on.
 */
#ifndef VI_CHECKPOINT_DIRTY_H
#define VI_CHECKPOINT_DIRTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* As the kernel's struct page_region. */
struct vi_region {
    uint64_t start, end, categories;
};

struct vi_dirty {
    int watcher; /* the userfaultfd */
    int pagemap;
    struct vi_region *regions;
    struct iovec *ranges;
    size_t count, room;
    uint64_t pages;
};

/* Opens what it needs; where the kernel lacks it the run ends, which says what. */
void vi_dirty_open(struct vi_dirty *dirty);

/* From now on writes to these bytes, private pages of a file, are seen. */
void vi_dirty_watch(struct vi_dirty *dirty, void *address, uint64_t size);

/* Appends the regions written to since they were last found, and protects them again. */
void vi_dirty_scan(struct vi_dirty *dirty, uint64_t start, uint64_t end);

/* Room for a range for each region and `more`; the finder's own. */
struct iovec *vi_dirty_ranges(struct vi_dirty *dirty, size_t more);

#endif
