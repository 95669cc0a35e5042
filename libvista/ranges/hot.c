/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Hot pages: see hot.h.
 */
#include "ranges/hot.h"

#include <string.h>

#include "media/format.h"

/* A transaction that touches more than this touches most of them once. */
#define LOOKED_AT 256u

static void set_open(struct vi_protect *protect, uint64_t page, bool open)
{
    const uint64_t bit = (uint64_t)1 << page % 64;

    if (open)
        protect->open[page / 64] |= bit;
    else
        protect->open[page / 64] &= ~bit;
}

static bool is_changed(const struct vi_hot *hot, const struct vi_protect *protect, uint32_t i)
{
    return hot->page[i].image != NULL &&
           memcmp(hot->page[i].image, protect->base + (uint64_t)hot->page[i].page * VI_PAGE,
                  VI_PAGE) != 0;
}

void vi_hot_begin(struct vi_hot *hot, const struct vi_protect *protect, struct vi_page_log *pages)
{
    for (uint32_t i = 0; i < hot->count; i++)
        hot->page[i].image =
            vi_page_log_append(pages, protect->base + (uint64_t)hot->page[i].page * VI_PAGE);
}

/* As is_changed(), in the middle of the transaction: threads may be storing to the page, and what
 * is found is as old as any answer.  No memcmp, for the thread sanitizer looks into that one. */
__attribute__((no_sanitize("thread"))) static bool
is_changed_so_far(const struct vi_hot *hot, const struct vi_protect *protect, uint32_t i)
{
    const volatile uint64_t *page =
        (const uint64_t *)(protect->base + (uint64_t)hot->page[i].page * VI_PAGE);
    const uint64_t *image = (const uint64_t *)hot->page[i].image;

    for (size_t n = 0; n < VI_PAGE / sizeof *page; n++)
        if (page[n] != image[n])
            return true;
    return false;
}

uint32_t vi_hot_count_changed(const struct vi_hot *hot, const struct vi_protect *protect)
{
    uint32_t changed = 0;

    for (uint32_t i = 0; i < hot->count; i++)
        changed += is_changed_so_far(hot, protect, i);
    return changed;
}

/* Those that have not changed for long are touched ones, to be protected. */
static void cool(struct vi_hot *hot, struct vi_protect *protect)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < hot->count; i++) {
        hot->page[i].quiet = is_changed(hot, protect, i) ? 0 : hot->page[i].quiet + 1;
        if (hot->page[i].quiet > VI_HOT_QUIET)
            protect->touched[protect->count++] = hot->page[i].page;
        else
            hot->page[kept++] = hot->page[i];
    }
    hot->count = kept;
}

/* Has it been stored to often, of late? */
static bool is_wanted(struct vi_hot *hot, uint32_t page)
{
    const uint32_t at = page * 0x9e3779b1u >> 24;
    const bool again = hot->seen[at].when != 0 && hot->seen[at].page == page &&
                       hot->now - hot->seen[at].when <= VI_HOT_WITHIN;

    _Static_assert(VI_HOT_SEEN == 1 << 8, "the hash has 8 bits");
    hot->seen[at].page = page;
    hot->seen[at].when = hot->now;
    hot->seen[at].again = again ? hot->seen[at].again + 1 : 0;
    return hot->seen[at].again >= VI_HOT_AGAIN;
}

void vi_hot_choose(struct vi_hot *hot, struct vi_protect *protect)
{
    const uint64_t touched = protect->count;

    hot->now++;
    protect->count = 0;
    for (uint64_t i = 0; i < touched; i++) {
        const uint32_t page = protect->touched[i];

        if (touched > LOOKED_AT || !is_wanted(hot, page) || hot->count == VI_HOT_PAGES) {
            protect->touched[protect->count++] = page;
            continue;
        }
        hot->page[hot->count].page = page;
        hot->page[hot->count].quiet = 0;
        hot->page[hot->count++].image = NULL;
    }
    cool(hot, protect);
    for (uint32_t i = 0; i < hot->count; i++)
        set_open(protect, hot->page[i].page, false); /* for who looks for runs */
}

void vi_hot_end(const struct vi_hot *hot, struct vi_protect *protect)
{
    for (uint32_t i = 0; i < hot->count; i++)
        set_open(protect, hot->page[i].page, true);
}

void vi_hot_forget(struct vi_hot *hot, struct vi_protect *protect)
{
    for (uint32_t i = 0; i < hot->count; i++)
        protect->touched[protect->count++] = hot->page[i].page;
    memset(hot, 0, sizeof *hot);
}
