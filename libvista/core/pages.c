/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Pages a transaction has declared or flushed: see pages.h.
 */
#include "core/pages.h"

#include "base/arena.h"
#include "media/format.h"

#define FIRST_CAPACITY 128u
#define KEPT_CAPACITY 4096u /* 128 KiB; a larger table is given back at the end */
#define KEY_BITS 36         /* of a page's number: addresses have 47 bits */

struct vi_page {
    uint64_t key; /* generation << KEY_BITS | address / VI_PAGE */
    uint32_t low; /* declared: bytes low to high of the page */
    uint32_t high;
    uint64_t flushed; /* a bit for each line */
};

static size_t hash(uint64_t page)
{
    return (size_t)(page * 0x9e3779b97f4a7c15u >> 20);
}

/* The page's entry, or the empty one where it belongs; NULL without a table. */
static struct vi_page *look(const struct vi_pages *pages, uint64_t page)
{
    const uint64_t key = pages->generation << KEY_BITS | page;
    size_t at = hash(page);

    if (pages->capacity == 0)
        return NULL;
    for (;; at++) {
        struct vi_page *entry = &pages->table[at & (pages->capacity - 1)];

        if (entry->key == key || entry->key >> KEY_BITS != pages->generation)
            return entry;
    }
}

static bool is_present(const struct vi_pages *pages, const struct vi_page *entry, uint64_t page)
{
    return entry != NULL && entry->key == (pages->generation << KEY_BITS | page);
}

static bool grow(struct vi_pages *pages)
{
    struct vi_pages larger = *pages;

    larger.capacity = pages->capacity ? 2 * pages->capacity : FIRST_CAPACITY;
    larger.generation = pages->generation ? pages->generation : 1;
    larger.table = vi_reserve(larger.capacity * sizeof *larger.table);
    if (larger.table == NULL)
        return false;
    for (size_t i = 0; i < pages->capacity; i++) {
        const struct vi_page *entry = &pages->table[i];

        if (entry->key >> KEY_BITS == pages->generation)
            *look(&larger, entry->key & (((uint64_t)1 << KEY_BITS) - 1)) = *entry;
    }
    vi_pages_release(pages);
    *pages = larger;
    return true;
}

/* The page's entry, made if need be; NULL when memory is refused. */
static struct vi_page *make(struct vi_pages *pages, uint64_t page)
{
    struct vi_page *entry = look(pages, page);

    if (is_present(pages, entry, page))
        return entry;
    if (pages->used >= pages->capacity / 4 * 3 && !grow(pages))
        return NULL;
    entry = look(pages, page);
    *entry = (struct vi_page){.key = pages->generation << KEY_BITS | page};
    pages->used++;
    return entry;
}

void vi_pages_clear(struct vi_pages *pages)
{
    pages->line_count = 0;
    if (pages->used == 0)
        return;
    pages->used = 0;
    pages->generation++;
    if (pages->capacity > KEPT_CAPACITY || pages->generation >> (64 - KEY_BITS) != 0)
        vi_pages_release(pages);
}

void vi_pages_release(struct vi_pages *pages)
{
    if (pages->table != NULL)
        vi_release(pages->table, pages->capacity * sizeof *pages->table);
    *pages = (struct vi_pages){0};
}

bool vi_pages_declared(const struct vi_pages *pages, const void *address, size_t length)
{
    const uintptr_t end = (uintptr_t)address + length;

    if (pages->used == 0)
        return false;
    for (uintptr_t at = (uintptr_t)address; at < end; at = (at / VI_PAGE + 1) * VI_PAGE) {
        const struct vi_page *entry = look(pages, at / VI_PAGE);
        const uintptr_t page = at / VI_PAGE * VI_PAGE;

        if (!is_present(pages, entry, at / VI_PAGE) || at - page < entry->low ||
            (end - page < VI_PAGE ? end - page : VI_PAGE) > entry->high)
            return false;
    }
    return true;
}

void vi_pages_declare(struct vi_pages *pages, const void *address, size_t length)
{
    const uintptr_t end = (uintptr_t)address + length;

    for (uintptr_t at = (uintptr_t)address; at < end; at = (at / VI_PAGE + 1) * VI_PAGE) {
        struct vi_page *entry = make(pages, at / VI_PAGE);
        const uintptr_t page = at / VI_PAGE * VI_PAGE;
        const uint32_t low = (uint32_t)(at - page);
        const uint32_t high = (uint32_t)(end - page < VI_PAGE ? end - page : VI_PAGE);

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

/* The lines of a page from `at` to before `end` that are not flushed yet; they are now. */
static uint64_t take_lines(struct vi_pages *pages, uintptr_t at, uintptr_t end)
{
    const uintptr_t page = at / VI_PAGE * VI_PAGE;
    const unsigned first = (unsigned)((at - page) / VI_LINE);
    const uintptr_t stop = end - page < VI_PAGE ? end - page : VI_PAGE;
    const unsigned lines = (unsigned)((stop - 1) / VI_LINE) - first + 1;
    uint64_t mask = (lines == 64 ? ~(uint64_t)0 : ((uint64_t)1 << lines) - 1) << first;
    struct vi_page *entry = make(pages, at / VI_PAGE);

    if (entry != NULL) {
        mask &= ~entry->flushed;
        entry->flushed |= mask;
    }
    return mask;
}

/* Line by line, few as they are. */
static void flush_few(struct vi_pages *pages, const struct vi_persist *persist, uintptr_t at,
                      uintptr_t end)
{
    for (uintptr_t line = at & ~(uintptr_t)(VI_LINE - 1); line < end; line += VI_LINE) {
        const uintptr_t *seen = pages->lines, *const stop = seen + pages->line_count;

        while (seen != stop && *seen != line)
            seen++;
        if (seen != stop)
            continue;
        pages->lines[pages->line_count++] = line;
        persist->ops.flush((void *)line, VI_LINE);
    }
}

static void flush_many(struct vi_pages *pages, const struct vi_persist *persist, uintptr_t at,
                       uintptr_t end)
{
    if (pages->line_count <= VI_LINES_KEPT)
        for (unsigned i = 0; i < pages->line_count; i++)
            take_lines(pages, pages->lines[i], pages->lines[i] + 1);
    pages->line_count = VI_LINES_KEPT + 1;
    for (; at < end; at = (at / VI_PAGE + 1) * VI_PAGE)
        flush_lines(persist, at / VI_PAGE * VI_PAGE, take_lines(pages, at, end));
}

void vi_pages_flush(struct vi_pages *pages, const struct vi_persist *persist,
                    const struct iovec *ranges, unsigned count)
{
    for (unsigned i = 0; persist->flushes && i < count; i++) {
        const uintptr_t at = (uintptr_t)ranges[i].iov_base;
        const size_t length = ranges[i].iov_len;

        if (length == 0)
            continue;
        if (length / VI_LINE + 2 + pages->line_count <= VI_LINES_KEPT)
            flush_few(pages, persist, at, at + length);
        else
            flush_many(pages, persist, at, at + length);
    }
}
