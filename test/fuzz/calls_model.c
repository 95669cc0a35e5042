/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The model in plain memory: see calls.h.
 */
#include "calls.h"

#include <sanitizer/asan_interface.h>
#include <stdlib.h>
#include <string.h>

#include "base/watch.h"
#include "core/segment.h"
#include "heap/heap.h"

struct seg segs[SEGMENTS];
struct act acts[ACTS];
struct block blocks[BLOCKS];
unsigned char next_byte;

void model_reset(void)
{
    for (unsigned i = 0; i < SEGMENTS; i++) {
        segs[i].made = segs[i].clean = false;
        segs[i].log = &segs[i];
        segs[i].root = segs[i].root_size = 0;
        protection_of(i, 0);
    }
    memset(blocks, 0, sizeof blocks);
    next_byte = 1;
}

/* ---- Bytes ------------------------------------------------------------- */

__attribute__((no_sanitize("address", "undefined"))) static void compare_one(const struct seg *s,
                                                                             const char *when)
{
    const uint64_t *is = (const uint64_t *)s->base, *now = (const uint64_t *)s->now,
                   *known = (const uint64_t *)s->known;

    for (size_t i = 0; i < s->size / sizeof *is; i++)
        HOLDS(
            ((is[i] ^ now[i]) & known[i]) == 0,
            "%s: in segment %u at %zu there is %016llx, it should be %016llx (of which %016llx is "
            "known)",
            when, index_of(s), i * sizeof *is, (unsigned long long)is[i],
            (unsigned long long)now[i], (unsigned long long)known[i]);
}

/* Whoever looks on lets the program have its blocks. */
static void look_at_guard(const struct seg *s)
{
    HOLDS(s->root_size == 0 || !__asan_region_is_poisoned(s->base + s->root, s->root_size),
          "the root must not be used");
    for (unsigned i = 0; i < BLOCKS; i++)
        HOLDS(!blocks[i].live || blocks[i].in != s ||
                  !__asan_region_is_poisoned(s->base + blocks[i].at, blocks[i].size),
              "a block at %u must not be used", blocks[i].at);
}

void look_at_rest(const struct seg *s)
{
    const struct vi_heap *heap = ((struct vi_segment *)s->handle)->heap;
    static bool used[SIZE_MAX_DATA / 16];

    memset(used, 0, sizeof used);
    for (unsigned i = 0; i <= BLOCKS; i++) {
        const bool root = i == BLOCKS, live = !root && blocks[i].live && blocks[i].in == s;
        const size_t at = root ? s->root : blocks[i].at;

        if (root ? s->root_size != 0 : live)
            memset(used + at / 16, true,
                   vi_heap_usable_size((struct vi_heap *)heap, NULL, s->base + at) / 16);
    }
    for (size_t i = 0; i < s->size / 16; i++)
        HOLDS(used[i] || __asan_address_is_poisoned(s->base + i * 16),
              "at %zu there is no block, and it may be used", i * 16);
}

void compare(const char *when)
{
    for (unsigned i = 0; i < SEGMENTS; i++)
        if (is_there(&segs[i])) {
            compare_one(&segs[i], when);
            if (segs[i].guarded)
                look_at_guard(&segs[i]);
        }
}

void own(int act, struct seg *s, size_t at, size_t length)
{
    struct undo *undo = &acts[act].undos[acts[act].undo_count++];

    *undo = (struct undo){s, (uint32_t)at, (uint32_t)length, malloc(2 * length + 1), NULL};
    HOLDS(undo->old != NULL, "malloc");
    undo->old_known = undo->old + length;
    memcpy(undo->old, s->now + at, length);
    memcpy(undo->old_known, s->known + at, length);
    memset(s->owner + at, act, length);
}

static void forget(struct undo *undo)
{
    free(undo->old);
    *undo = (struct undo){0};
}

void unknown(struct seg *s, size_t at, size_t length)
{
    memset(s->known + at, 0, length);
    memset(s->owner + at, NO_ONE, length);
}

bool may_change(int act, const struct seg *s, size_t at, size_t length)
{
    for (size_t i = at; i < at + length; i++)
        if (s->owner[i] != NO_ONE && s->owner[i] != act)
            return false;
    if (s->flat)
        return true;
    if (s->root_size != 0 && at >= s->root && at + length <= s->root + s->root_size)
        return true;
    for (unsigned i = 0; i < BLOCKS; i++)
        if (blocks[i].live && blocks[i].in == s && blocks[i].freed_by == NO_ONE &&
            at >= blocks[i].at && at + length <= blocks[i].at + blocks[i].size)
            return true;
    return false;
}

/* ---- Ends of transactions ---------------------------------------------- */

static void settle_block(int act, struct block *b, bool committed)
{
    if (!b->live || (b->by != act && b->freed_by != act))
        return;
    if (committed ? b->freed_by == act : b->by == act) {
        unknown(b->in, b->at, b->size);
        b->live = false;
    } else if (b->by == act) {
        memset(b->in->owner + b->at, NO_ONE, b->size);
    }
    if (b->by == act)
        b->by = NO_ONE;
    if (b->freed_by == act)
        b->freed_by = NO_ONE;
}

void settle(int act, bool committed)
{
    struct act *a = &acts[act];

    for (unsigned i = a->undo_count; i-- > 0;) {
        struct undo *undo = &a->undos[i];

        if (!committed) {
            memcpy(undo->in->now + undo->at, undo->old, undo->length);
            memcpy(undo->in->known + undo->at, undo->old_known, undo->length);
        }
        memset(undo->in->owner + undo->at, NO_ONE, undo->length);
        forget(undo);
    }
    a->undo_count = 0;
    memset(a->cancelled, 0, sizeof a->cancelled);
    for (unsigned i = 0; i < BLOCKS; i++)
        settle_block(act, &blocks[i], committed);
    a->tx = NULL;
}

unsigned open_count(const struct seg *s)
{
    unsigned count = 0;

    for (int i = 0; i < ACTS; i++)
        count += acts[i].tx != NULL && acts[i].log == s->log;
    return count;
}

/* ---- Blocks ------------------------------------------------------------ */

uint64_t committed_blocks(const struct seg *s)
{
    uint64_t count = s->root_size != 0;

    for (unsigned i = 0; i < BLOCKS; i++)
        count += blocks[i].live && blocks[i].in == s && blocks[i].by == NO_ONE;
    return count;
}

void sized(const struct seg *s)
{
    for (int i = 0; i < ACTS; i++)
        acts[i].opened |= acts[i].tx != NULL && acts[i].log == s->log;
}

void look_at_size(struct seg *s)
{
    const size_t size = s->handle != NULL ? vista_size(s->handle) : s->size;

    HOLDS(size >= s->size && size <= SIZE_MAX_DATA && size % 4096 == 0 &&
              (size == s->size || s->grows),
          "the size is %zu and was %zu", size, s->size);
    if (size != s->size)
        sized(s);
    s->size = size;
}

void given(int act, unsigned which, struct seg *s, void *address, size_t size)
{
    struct block *b = &blocks[which];
    const size_t at = (size_t)((unsigned char *)address - s->base);

    size += size == 0;
    look_at_size(s);
    HOLDS(at <= s->size && size <= s->size - at && at % 16 == 0, "block at %p of %zu", address,
          size);
    HOLDS(s->root_size == 0 || at + size <= s->root || s->root + s->root_size <= at,
          "a block over the root");
    for (unsigned i = 0; i < BLOCKS; i++)
        HOLDS(!blocks[i].live || blocks[i].in != s || at + size <= blocks[i].at ||
                  blocks[i].at + blocks[i].size <= at,
              "a block over another, at %zu of %zu", at, size);
    *b = (struct block){true, s, (uint32_t)at, (uint32_t)size, (uint8_t)act, NO_ONE};
    memset(s->owner + at, act, size);
    memset(s->known + at, 0, size);
}

/* At most: a block may have a span of its own. */
static uint64_t pages_of(size_t size)
{
    return (size + (vi_watched ? VI_WATCH_MARGIN : 0) + 4095) / 4096 + 1;
}

void freed(int act, struct block *b)
{
    if (b->by != act) {
        b->freed_by = (uint8_t)act;
        return;
    }
    /* Its declared ranges may be undone over whatever is there by then: the library must
     * see to it that this does no harm. */
    acts[act].cancelled[index_of(b->in)] += pages_of(b->size);
    unknown(b->in, b->at, b->size);
    b->live = false;
}

void no_block(const struct act *a, struct seg *s, size_t size)
{
    uint64_t pages = pages_of(size) + pages_of(s->root_size);

    look_at_size(s);
    REFUSED("an allocation", ENOMEM, ENOSPC, ENOTSUP, EIO, EFBIG, EINVAL);
    HOLDS((errno == EINVAL) == (s->log != a->log), "it is of this group");
    if (errno == EINVAL)
        return;
    if (s->flat) {
        HOLDS(errno == ENOTSUP, "an allocation in a flat segment");
        return;
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        pages += blocks[i].live && blocks[i].in == s ? pages_of(blocks[i].size) : 0;
    for (int i = 0; i < ACTS; i++)
        pages += acts[i].cancelled[index_of(s)];
    HOLDS(fault_hits() != 0 || size > 2000 || (errno == ENOSPC && s->watch == VISTA_AUTO_RANGE) ||
              pages > (s->grows && !s->cramped ? SIZE_MAX_DATA : s->size) / 4096,
          "no room for %zu bytes beside %llu pages in %zu", size, (unsigned long long)pages,
          s->size);
    compare("an allocation failed");
}
