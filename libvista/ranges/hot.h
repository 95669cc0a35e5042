/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Hot pages: those that one transaction after another stores to stay open between
 * transactions, and are logged when one begins.  A fault costs some 7 us, a page copied and
 * compared 0.3: so one is worth it that is stored to by every twentieth transaction.
 *
 * Invariant: a hot page's bit in `open` is set and it is not in `touched`, but while pages are
 * being protected again; and it has been logged since the open transaction began.
 *
 * Where commits compare pages and copy what has changed (the disk class) there are none: what is
 * open could change in between.
 */
#ifndef VI_RANGES_HOT_H
#define VI_RANGES_HOT_H

#include "core/page_log.h"
#include "ranges/protect.h"

#define VI_HOT_PAGES 64  /* at most: 20 us at each beginning */
#define VI_HOT_SEEN 256  /* pages remembered that are not hot; a power of two */
#define VI_HOT_WITHIN 16 /* stored to again within so many transactions */
#define VI_HOT_AGAIN 3   /* and so many times one after the other: hot */
#define VI_HOT_QUIET 16  /* and after so many that have not stored to it no more */

struct vi_hot {
    uint32_t count;
    struct {
        uint32_t page;
        uint32_t quiet;    /* transactions since one stored to it */
        const void *image; /* in the log, of the open transaction */
    } page[VI_HOT_PAGES];
    struct {
        uint32_t page;
        uint32_t again;
        uint64_t when; /* the last transaction that faulted there */
    } seen[VI_HOT_SEEN];
    uint64_t now; /* counts transactions */
};

/* A transaction begins: logs the hot pages.  They are durable after a flush of the page log's. */
void vi_hot_begin(struct vi_hot *hot, const struct vi_protect *protect, struct vi_page_log *pages);

/* How many of them it has stored to. */
uint32_t vi_hot_count_changed(const struct vi_hot *hot, const struct vi_protect *protect);

/* It ends: pages become hot, of those touched, or are not hot any more.  Then what is in
 * `touched`, and no hot page, is to be protected again; and vi_hot_end called. */
void vi_hot_choose(struct vi_hot *hot, struct vi_protect *protect);
void vi_hot_end(const struct vi_hot *hot, struct vi_protect *protect);

/* None is hot any more: with no transaction open they are to be protected as touched ones. */
void vi_hot_forget(struct vi_hot *hot, struct vi_protect *protect);

#endif
