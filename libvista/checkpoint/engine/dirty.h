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
    struct iovec *ranges; /* the user's: room for one for each region, and 64 more */
    size_t count, room;
    uint64_t pages;
    bool steady; /* most were written to before the last checkpoint, too: they stay unprotected */
    uint64_t faults; /* of pages, when written ones were last looked for */
};

/* Opens what it needs; where the kernel lacks it the run ends, which says what. */
void vi_dirty_open(struct vi_dirty *dirty);

/* From now on writes to these bytes, private pages of a file, are seen. */
void vi_dirty_watch(struct vi_dirty *dirty, void *address, uint64_t size);

/* Before any scan of a checkpoint: what is protected cannot be written to without a fault.  True: there was
 * none, and the regions are what stays unprotected; not so if memory was `remapped` since. */
bool vi_dirty_repeat(struct vi_dirty *dirty, bool remapped);
/* Appends the regions written to since they were last found, and protects them again, unless `steady`. */
void vi_dirty_scan(struct vi_dirty *dirty, uint64_t start, uint64_t end);

/* Behind the last scan of a checkpoint.  A page that is written to between any two costs a fault each
 * time.  So where most are such pages, they stay unprotected and are found by every scan; those that
 * `is_same` as what is stored are taken out, and protected when they were so often. */
void vi_dirty_choose(struct vi_dirty *dirty, bool (*is_same)(uint64_t page));

#endif
