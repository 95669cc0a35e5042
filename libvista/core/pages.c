/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Pages a transaction has declared or flushed: see pages.h.
 */
#include "core/pages.h"

#include <string.h>

#include "base/arena.h"
#include "media/format.h"

#define FIRST_CAPACITY 128u
#define KEPT_CAPACITY 4096u /* 128 KiB; a larger table is given back at the end */
#define KEY_BITS 36         /* of a page's number: addresses have 47 bits */
#define RUN VI_PAGE         /* a run's bytes at most: its lines are counted in 6 bits */

struct vi_page {
    uint64_t key; /* generation << KEY_BITS | address / VI_PAGE */
    uint32_t low; /* declared: bytes low to high of the page */
    uint32_t high;
    uint64_t lines; /* a bit for each that is noted or flushed */
};

/* Does it have something, and then of which page? */
static bool is_used(const struct vi_pages *pages, const struct vi_page *entry)
{
    return entry->key >> KEY_BITS == pages->generation;
}

static uint64_t page_of(const struct vi_page *entry)
{
    return entry->key & (((uint64_t)1 << KEY_BITS) - 1);
}

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

        if (entry->key == key || !is_used(pages, entry))
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

        if (is_used(pages, entry))
            *look(&larger, page_of(entry)) = *entry;
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

void vi_pages_forget(struct vi_pages *pages)
{
    pages->run_count = 0;
    pages->spilled = false;
    pages->lost = false;
    memset(pages->bits, 0, sizeof pages->bits);
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

/* The lines of a page from `at` to before `end` that it did not have yet; it has them now. */
static uint64_t take_lines(struct vi_pages *pages, uintptr_t at, uintptr_t end)
{
    const uintptr_t page = at / VI_PAGE * VI_PAGE;
    const unsigned first = (unsigned)((at - page) / VI_LINE);
    const uintptr_t stop = end - page < VI_PAGE ? end - page : VI_PAGE;
    const unsigned lines = (unsigned)((stop - 1) / VI_LINE) - first + 1;
    uint64_t mask = (lines == 64 ? ~(uint64_t)0 : ((uint64_t)1 << lines) - 1) << first;
    struct vi_page *entry = make(pages, at / VI_PAGE);

    if (entry == NULL) {
        pages->lost = true;
        return mask;
    }
    mask &= ~entry->lines;
    entry->lines |= mask;
    return mask;
}

static uintptr_t run_begin(uintptr_t run)
{
    return run & ~(uintptr_t)(VI_LINE - 1);
}

static size_t run_length(uintptr_t run)
{
    return (run % VI_LINE + 1) * VI_LINE;
}

/* Into the table; what is new is flushed if there is something to flush with. */
static void take(struct vi_pages *pages, const struct vi_persist *persist, uintptr_t at,
                 uintptr_t end)
{
    for (; at < end; at = (at / VI_PAGE + 1) * VI_PAGE) {
        const uint64_t lines = take_lines(pages, at, end);

        if (persist != NULL)
            flush_lines(persist, at / VI_PAGE * VI_PAGE, lines);
    }
}

static void spill(struct vi_pages *pages)
{
    for (unsigned i = 0; i < pages->run_count; i++)
        take(pages, NULL, run_begin(pages->runs[i]),
             run_begin(pages->runs[i]) + run_length(pages->runs[i]));
    pages->run_count = VI_RUNS; /* no more go there */
    pages->spilled = true;
}

/* Notes lines, some of which may be noted already; false: there are too many runs. */
static bool note_others(struct vi_pages *pages, uintptr_t at, uintptr_t end)
{
    while (at < end) {
        uintptr_t stop = end - at > RUN ? at + RUN : end;

        for (unsigned i = 0; i < pages->run_count && at < stop; i++) {
            const uintptr_t first = run_begin(pages->runs[i]);

            if (at < first && first < stop)
                stop = first;
            else if (at - first < run_length(pages->runs[i]))
                at = first + run_length(pages->runs[i]);
        }
        if (at >= stop)
            continue;
        if (pages->run_count == VI_RUNS)
            return false;
        pages->runs[pages->run_count++] = at | ((stop - at) / VI_LINE - 1);
        for (; at < stop; at += VI_LINE)
            pages->bits[at / VI_PAGE % VI_SIEVE] |= (uint64_t)1 << at / VI_LINE % 64;
    }
    return true;
}

/* Most ranges are in one page, and have no line whose bit another has. */
void vi_pages_note(struct vi_pages *pages, const struct iovec *ranges, int count)
{
    unsigned noted = pages->run_count;

    for (int i = 0; i < count && !pages->lost; i++) {
        const uintptr_t address = (uintptr_t)ranges[i].iov_base;
        const uintptr_t first = address / VI_LINE;
        const uintptr_t last = (address + ranges[i].iov_len - 1) / VI_LINE;
        uint64_t *const bits = &pages->bits[first / 64 % VI_SIEVE];
        const uint64_t mask = (((uint64_t)2 << (last - first) % 64) - 1) << first % 64;

        if (ranges[i].iov_len == 0)
            continue;
        if (first / 64 == last / 64 && (*bits & mask) == 0 && noted < VI_RUNS) {
            *bits |= mask;
            pages->runs[noted++] = first * VI_LINE | (last - first);
            continue;
        }
        pages->run_count = noted;
        if (!pages->spilled && !note_others(pages, first * VI_LINE, (last + 1) * VI_LINE))
            spill(pages);
        if (pages->spilled)
            take(pages, NULL, first * VI_LINE, (last + 1) * VI_LINE);
        noted = pages->run_count;
    }
    pages->run_count = noted;
}

static void flush_run(const struct vi_persist *persist, uintptr_t run)
{
    persist->ops.flush((void *)run_begin(run), run_length(run));
}

bool vi_pages_flush_noted(const struct vi_pages *pages, const struct vi_persist *persist)
{
    for (unsigned i = 0; !pages->spilled && i < pages->run_count; i++)
        flush_run(persist, pages->runs[i]);
    for (size_t i = 0; pages->spilled && i < pages->capacity; i++)
        if (is_used(pages, &pages->table[i]))
            flush_lines(persist, page_of(&pages->table[i]) * VI_PAGE, pages->table[i].lines);
    return !pages->lost;
}

void vi_pages_flush(struct vi_pages *pages, const struct vi_persist *persist, const void *address,
                    size_t length)
{
    const uintptr_t at = run_begin((uintptr_t)address);
    const uintptr_t end = run_begin((uintptr_t)address + length + VI_LINE - 1);
    const unsigned before = pages->run_count;

    if (!pages->spilled && note_others(pages, at, end)) {
        for (unsigned i = before; i < pages->run_count; i++)
            flush_run(persist, pages->runs[i]);
        return;
    }
    if (!pages->spilled) {
        pages->run_count = before;
        spill(pages);
    }
    take(pages, persist, at, end);
}
