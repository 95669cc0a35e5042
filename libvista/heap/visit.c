/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Looking through the whole heap for what is allocated, as stored: blocks that open
 * transactions have allocated do not count yet, and those that they have freed still
 * do.  A part is looked at under the lock, which keeps it what it is.  A block that is
 * allocated all the while is found once, since the span that holds it does not move.
 */
#include "heap/visit.h"

#include <errno.h>

#include "base/error.h"
#include "base/watch.h"
#include "heap/descriptor.h"
#include "heap/spans.h"

/* A span, or free units. */
struct part {
    uint64_t head;
    uint64_t units;
    uint64_t size;                                      /* of a block */
    uint32_t blocks;                                    /* of the span; free units: 0 */
    uint32_t count;                                     /* of these that are allocated, */
    uint16_t index[VI_SMALL_UNITS * VI_MARKS_PER_UNIT]; /* by number, if asked for */
};

/* By the number of ones: a mark is 1 or 0. */
static uint32_t count(const struct vi_heap *heap, const struct part *part)
{
    const uint64_t *marks = (const uint64_t *)(heap->area.marks + part->head * VI_MARKS_PER_UNIT);
    uint32_t ones = 0;

    for (uint32_t i = 0; i < part->blocks; i += 8)
        ones += (uint32_t)__builtin_popcountll(__atomic_load_n(marks++, __ATOMIC_RELAXED));
    return ones;
}

/* The part behind this one; without units: there is none.  -1 with EBADMSG. */
static int next(struct vi_heap *heap, struct part *part, bool list)
{
    uint64_t unit = part->head + part->units, d = 0, end;

    part->head = unit;
    part->blocks = part->count = 0;
    pthread_mutex_lock(&heap->lock);
    end = heap->area.header->end;
    if (unit >= end)
        unit = heap->units;
    else if (end <= heap->units)
        unit = vi_descriptor_pass(heap, unit, end);
    if (unit == part->head && unit < end && end <= heap->units)
        d = vi_descriptor(heap, unit);
    if (unit == part->head && vi_descriptor_valid(heap, unit, d)) {
        unit += VI_SPAN_UNITS(d);
        part->size = vi_span_block_size(d);
        part->blocks = vi_span_blocks(d);
        if (list)
            for (uint32_t i = 0; (i = vi_span_allocated(heap, part->head, d, i)) < part->blocks;
                 i++)
                part->index[part->count++] = (uint16_t)i;
        else
            part->count = count(heap, part);
    }
    pthread_mutex_unlock(&heap->lock);
    part->units = unit - part->head;
    if (part->units != 0 || unit == heap->units)
        return 0;
    return vi_fail(EBADMSG, "%s: damaged: the heap's descriptor of unit %llu makes no sense",
                   heap->area.path, (unsigned long long)unit);
}

int vi_heap_walk(struct vi_heap *heap, vista_walk_fn visit, void *arg)
{
    struct part part = {0};

    do {
        if (next(heap, &part, true) != 0)
            return -1;
        for (uint32_t i = 0; i < part.count; i++) {
            void *block = heap->area.base + part.head * VI_UNIT + part.index[i] * part.size;

            vi_heap_show(heap, block, part.size, true);
            if (visit(arg, block, part.size) != 0)
                return vi_fail(ECANCELED, "%s: vista_heap_walk was stopped by its caller",
                               heap->area.path);
        }
    } while (part.units != 0);
    return 0;
}

void vi_heap_count(struct vi_heap *heap, struct vista_info *info)
{
    struct part part = {0};
    uint64_t run = 0;

    do {
        uint64_t free;

        if (next(heap, &part, false) != 0) {
            info->heap_blocks = info->heap_used = info->heap_free = info->heap_largest = 0;
            return;
        }
        free = part.count == 0 ? part.units * VI_UNIT : (part.blocks - part.count) * part.size;
        run = part.count == 0 ? run + free : 0;
        info->heap_blocks += part.count;
        info->heap_used += part.count * part.size;
        info->heap_free += free;
        info->heap_largest = run > info->heap_largest ? run : info->heap_largest;
        if (part.count < part.blocks && part.size > info->heap_largest)
            info->heap_largest = part.size;
    } while (part.units != 0);
}

/* ---- Tools that look on ------------------------------------------------ */

void vi_heap_show(const struct vi_heap *heap, const void *block, size_t size, bool contents)
{
    if (heap->watched)
        vi_watch_show(block, size, contents);
}

static int pass(void *unused, void *block, size_t size)
{
    (void)unused, (void)block, (void)size;
    return 0;
}

/* Of a damaged heap, nothing is said. */
void vi_heap_watch(struct vi_heap *heap, bool on)
{
    heap->watched = on;
    if (on)
        vi_watch_hide(heap->area.base, heap->units * VI_UNIT);
    if (!on || vi_heap_walk(heap, pass, NULL) != 0) { /* which shows the blocks */
        heap->watched = false;
        vi_watch_show(heap->area.base, heap->units * VI_UNIT, true);
    }
}
