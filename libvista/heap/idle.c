/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Groups of units in a sparse heap, 2 MiB each, that are wholly free and may have disk blocks:
 * these go back to the file system, some at a time and all of them when the heap is closed.
 *
 * A unit is free only when the slot of the transaction that freed its last block is durably
 * idle (rule 6 of the log) and its span's descriptor is durably zero.  So a crash finds a hole
 * only where no log names anything, and blocks where they were not given back yet.
 */
#include "heap/idle.h"

/* So many are kept for the next who allocates there: below that, to give blocks back and to
 * allocate them again would cost a program that frees and allocates more than it saves. */
#ifndef VI_IDLE_KEPT
#define VI_IDLE_KEPT 8u
#endif

static bool is_free(const struct vi_heap *heap, uint64_t group, uint64_t run, uint64_t length)
{
    const uint64_t from = group * VI_GROUP_UNITS, units = heap->units;
    const uint64_t end = from + VI_GROUP_UNITS < units ? from + VI_GROUP_UNITS : units;

    return run <= from && end <= run + length;
}

void vi_idle_add(struct vi_heap *heap, uint64_t unit, uint64_t units, uint64_t run, uint64_t length)
{
    for (uint64_t group = unit / VI_GROUP_UNITS; group <= (unit + units - 1) / VI_GROUP_UNITS;
         group++) {
        const uint64_t bit = (uint64_t)1 << group % 64;

        if (heap->idle[group / 64] & bit || !is_free(heap, group, run, length))
            continue;
        heap->idle[group / 64] |= bit;
        heap->idle_count++;
    }
    if (heap->idle_count > VI_IDLE_KEPT)
        vi_idle_give(heap);
}

void vi_idle_remove(struct vi_heap *heap, uint64_t unit, uint64_t units)
{
    for (uint64_t group = unit / VI_GROUP_UNITS; group <= (unit + units - 1) / VI_GROUP_UNITS;
         group++) {
        const uint64_t bit = (uint64_t)1 << group % 64;

        heap->idle_count -= (heap->idle[group / 64] & bit) != 0;
        heap->idle[group / 64] &= ~bit;
    }
}

/* The first group from `from` on that is idle, or is not. */
static uint64_t next(const struct vi_heap *heap, uint64_t from, bool idle)
{
    const uint64_t end = (heap->units + VI_GROUP_UNITS - 1) / VI_GROUP_UNITS;

    while (from < end && (heap->idle[from / 64] >> from % 64 & 1) != idle)
        from = idle && heap->idle[from / 64] >> from % 64 == 0 ? (from / 64 + 1) * 64 : from + 1;
    return from < end ? from : end;
}

void vi_idle_give(struct vi_heap *heap)
{
    const struct vi_heap_area *area = &heap->area;
    const uint64_t size = heap->units * VI_UNIT, group_size = (uint64_t)VI_GROUP_UNITS * VI_UNIT;
    uint64_t to;

    for (uint64_t from = next(heap, 0, true); heap->idle_count != 0; from = next(heap, to, true)) {
        to = next(heap, from, false);
        if (!area->unback(area->segment, from * group_size,
                          (to * group_size < size ? to * group_size : size) - from * group_size))
            break;
        heap->idle_count -= to - from;
        for (uint64_t group = from; group < to; group++)
            heap->idle[group / 64] &= ~((uint64_t)1 << group % 64);
    }
}
