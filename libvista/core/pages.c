/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Pages a transaction has declared or flushed: see pages.h.
 */
#include "core/pages.h"

#include <string.h>

#include "base/arena.h"
#include "media/format.h"

#define FIRST_CAPACITY 128u /* with their places a page of memory */
#define KEPT_CAPACITY 4096u /* 128 KiB; a larger table is given back at the end */

struct vi_page {
    uint64_t page;   /* address / VI_PAGE */
    uint64_t lines;  /* a bit for each that is noted or flushed */
    uint32_t bucket; /* that leads to it */
    uint16_t low;    /* declared: bytes low to high of the page */
    uint16_t high;
};

static size_t table_bytes(size_t capacity)
{
    return capacity * (sizeof(struct vi_page) + 2 * sizeof(uint32_t));
}

/* The page's entry; NULL: it has none, and *place is where it would be found. */
static inline struct vi_page *find(const struct vi_pages *pages, uint64_t page, uint32_t *bucket)
{
    const uint32_t mask = (uint32_t)(2 * pages->capacity - 1);
    uint32_t at = (uint32_t)(page * 0x9e3779b97f4a7c15u >> 32) & mask;

    for (;; at = (at + 1) & mask) {
        struct vi_page *entry = &pages->entries[pages->buckets[at]];

        if (pages->buckets[at] >= pages->used || entry->bucket != at) {
            *bucket = at;
            return NULL;
        }
        if (entry->page == page)
            return entry;
    }
}

static bool grow(struct vi_pages *pages)
{
    struct vi_pages larger = *pages;
    uint32_t bucket = 0;

    larger.capacity = pages->capacity != 0 ? 2 * pages->capacity : FIRST_CAPACITY;
    larger.entries = vi_reserve(table_bytes(larger.capacity));
    if (larger.entries == NULL)
        return false;
    larger.buckets = (uint32_t *)(larger.entries + larger.capacity);
    for (larger.used = 0; larger.used < pages->used; larger.used++) {
        find(&larger, pages->entries[larger.used].page, &bucket);
        larger.entries[larger.used] = pages->entries[larger.used];
        larger.entries[larger.used].bucket = bucket;
        larger.buckets[bucket] = (uint32_t)larger.used;
    }
    vi_pages_release(pages);
    *pages = larger;
    return true;
}

/* The page's entry, made if need be; NULL when memory is refused. */
static inline struct vi_page *make(struct vi_pages *pages, uint64_t page)
{
    struct vi_page *entry = NULL;
    uint32_t bucket = 0;

    if (pages->capacity != 0)
        entry = find(pages, page, &bucket);
    if (entry != NULL)
        return entry;
    if (pages->used == pages->capacity) {
        if (!grow(pages))
            return NULL;
        find(pages, page, &bucket);
    }
    entry = &pages->entries[pages->used];
    *entry = (struct vi_page){.page = page, .bucket = bucket};
    pages->buckets[bucket] = (uint32_t)pages->used++;
    return entry;
}

void vi_pages_forget(struct vi_pages *pages)
{
    pages->used = 0;
    pages->lost = false;
    if (pages->capacity > KEPT_CAPACITY)
        vi_pages_release(pages);
}

void vi_pages_release(struct vi_pages *pages)
{
    if (pages->entries != NULL)
        vi_release(pages->entries, table_bytes(pages->capacity));
    *pages = (struct vi_pages){0};
}

/* Where the part of a range from `at` to `end` that is in one page ends, as an offset there. */
static uint32_t end_in_page(uintptr_t at, uintptr_t end)
{
    const uintptr_t page = at / VI_PAGE * VI_PAGE;

    return (uint32_t)(end - page < VI_PAGE ? end - page : VI_PAGE);
}

static uintptr_t next_page(uintptr_t at)
{
    return (at / VI_PAGE + 1) * VI_PAGE;
}

bool vi_pages_declared(const struct vi_pages *pages, const void *address, size_t length)
{
    const uintptr_t end = (uintptr_t)address + length;
    const struct vi_page *entry;
    uint32_t bucket;

    if (pages->used == 0)
        return false;
    for (uintptr_t at = (uintptr_t)address; at < end; at = next_page(at)) {
        entry = find(pages, at / VI_PAGE, &bucket);
        if (entry == NULL || at % VI_PAGE < entry->low || end_in_page(at, end) > entry->high)
            return false;
    }
    return true;
}

void vi_pages_declare(struct vi_pages *pages, const void *address, size_t length)
{
    const uintptr_t end = (uintptr_t)address + length;

    for (uintptr_t at = (uintptr_t)address; at < end; at = next_page(at)) {
        struct vi_page *entry = make(pages, at / VI_PAGE);
        const uint16_t low = (uint16_t)(at % VI_PAGE), high = (uint16_t)end_in_page(at, end);

        if (entry == NULL)
            return;
        if (low <= entry->high && high >= entry->low) { /* they touch: one interval */
            entry->low = low < entry->low ? low : entry->low;
            entry->high = high > entry->high ? high : entry->high;
        } else if (high - low > entry->high - entry->low) {
            entry->low = low;
            entry->high = high;
        }
    }
}

/* Flushes the lines of a page that `mask` has a bit for, run by run. */
static void flush_lines(const struct vi_persist *persist, uintptr_t page, uint64_t mask)
{
    while (mask != 0) {
        const unsigned first = (unsigned)__builtin_ctzll(mask);
        const uint64_t rest = ~(mask >> first);
        const unsigned count = rest != 0 ? (unsigned)__builtin_ctzll(rest) : 64;

        persist->ops.flush((void *)(page + (uintptr_t)first * VI_LINE), (size_t)count * VI_LINE);
        mask = count == 64 ? 0 : mask & ~((((uint64_t)1 << count) - 1) << first);
    }
}

/* The lines of a page from `at` to before `end` that it did not have yet; it has them now. */
static inline uint64_t take_lines(struct vi_pages *pages, uintptr_t at, uintptr_t end)
{
    const unsigned first = (unsigned)(at % VI_PAGE / VI_LINE);
    const unsigned last = (end_in_page(at, end) - 1) / VI_LINE;
    uint64_t mask = (((uint64_t)2 << (last - first)) - 1) << first;
    struct vi_page *entry = make(pages, at / VI_PAGE);

    if (entry == NULL) {
        pages->lost = true;
        return mask;
    }
    mask &= ~entry->lines;
    entry->lines |= mask;
    return mask;
}

void vi_pages_note(struct vi_pages *pages, const struct iovec *ranges, int count)
{
    for (int i = 0; i < count && !pages->lost; i++) {
        const uintptr_t end = (uintptr_t)ranges[i].iov_base + ranges[i].iov_len;

        for (uintptr_t at = (uintptr_t)ranges[i].iov_base; at < end; at = next_page(at))
            take_lines(pages, at, end);
    }
}

bool vi_pages_flush_noted(const struct vi_pages *pages, const struct vi_persist *persist)
{
    for (size_t i = 0; i < pages->used; i++)
        flush_lines(persist, pages->entries[i].page * VI_PAGE, pages->entries[i].lines);
    return !pages->lost;
}

void vi_pages_flush(struct vi_pages *pages, const struct vi_persist *persist, const void *address,
                    size_t length)
{
    const uintptr_t end = (uintptr_t)address + length;

    for (uintptr_t at = (uintptr_t)address; at < end; at = next_page(at))
        flush_lines(persist, at / VI_PAGE * VI_PAGE, take_lines(pages, at, end));
}
