/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Free runs of units, and the look through the heap that finds them.  Nothing of this
 * is stored: a free unit is one whose descriptor is zero and that no span covers.  The
 * first and last unit of a run carry its length, so that runs that touch are joined
 * when one is put back.
 */
#include "heap/runs.h"

#include <errno.h>

#include "heap/descriptor.h"
#include "heap/idle.h"

#define PARTS 64 /* of the heap that are looked at, in passing */
#define EXACT 32 /* bins whose runs are all of one length, 1 unit, 2, ...; then one to a doubling */
#define LOOKS 32 /* at runs of such a bin: the shortest that fits, of so many */

void vi_list_add(struct vi_heap *heap, uint32_t *first, uint64_t unit)
{
    heap->unit[unit].next = *first;
    heap->unit[unit].prev = 0;
    if (*first != 0)
        heap->unit[*first - 1].prev = (uint32_t)unit + 1;
    *first = (uint32_t)unit + 1;
}

void vi_list_remove(struct vi_heap *heap, uint32_t *first, uint64_t unit)
{
    const struct vi_unit *u = &heap->unit[unit];

    if (u->next != 0)
        heap->unit[u->next - 1].prev = u->prev;
    if (u->prev != 0)
        heap->unit[u->prev - 1].next = u->next;
    else
        *first = u->next;
}

static unsigned bin_of(uint64_t units)
{
    return units <= EXACT ? (unsigned)(units - 1) % EXACT
                          : EXACT + 58 - (unsigned)__builtin_clzll(units);
}

/* Both ends. */
static void tag(struct vi_heap *heap, uint64_t unit, uint64_t units, uint64_t length)
{
    heap->unit[unit].length = heap->unit[unit + units - 1].length = (uint32_t)length;
}

static void add(struct vi_heap *heap, uint64_t unit, uint64_t units)
{
    const unsigned bin = bin_of(units);

    vi_list_add(heap, &heap->bins[bin], unit);
    heap->filled |= (uint64_t)1 << bin;
    tag(heap, unit, units, units);
}

/* Returns its length. */
static uint64_t drop(struct vi_heap *heap, uint64_t unit)
{
    const uint64_t units = heap->unit[unit].length;
    const unsigned bin = bin_of(units);

    vi_list_remove(heap, &heap->bins[bin], unit);
    if (heap->bins[bin] == 0)
        heap->filled &= ~((uint64_t)1 << bin);
    tag(heap, unit, units, 0);
    return units;
}

uint64_t vi_runs_put(struct vi_heap *heap, uint64_t unit, uint64_t units)
{
    const uint64_t freed = unit, count = units, end = unit + units;

    if (unit > 0 && heap->unit[unit - 1].length != 0) {
        unit -= heap->unit[unit - 1].length;
        units += drop(heap, unit);
    }
    if (end < heap->units && heap->unit[end].length != 0)
        units += drop(heap, end);
    add(heap, unit, units);
    if (heap->idle != NULL)
        vi_idle_add(heap, freed, count, unit, units);
    return units;
}

/* Moves the frontier over what comes next, over `parts` spans or stretches of free
 * units at most, to the next run of `units` or longer; false: there was none. */
static bool scan(struct vi_heap *heap, uint64_t units, uint64_t parts)
{
    for (; parts > 0 && heap->frontier < heap->limit && !heap->damaged; parts--) {
        const uint64_t head = heap->frontier, end = vi_descriptor_pass(heap, head, heap->limit);

        if (end == head) {
            const uint64_t d = vi_descriptor(heap, head);

            heap->damaged = !vi_span_sound(heap, head, d) || head + VI_SPAN_UNITS(d) > heap->limit;
            heap->frontier += heap->damaged ? 0 : VI_SPAN_UNITS(d);
            continue;
        }
        heap->frontier = end;
        if (vi_runs_put(heap, head, end - head) >= units)
            return true;
    }
    return false;
}

void vi_runs_find(struct vi_heap *heap)
{
    scan(heap, UINT64_MAX, UINT64_MAX);
}

/* The best of the first runs in a filled bin that are long enough; VI_NONE if none is. */
static uint64_t best_in(const struct vi_heap *heap, unsigned bin, uint64_t units)
{
    uint64_t best = VI_NONE;
    uint32_t at = heap->bins[bin];

    if (bin < EXACT)
        return at - 1;
    for (int i = 0; at != 0 && (i < LOOKS || best == VI_NONE); i++, at = heap->unit[at - 1].next) {
        const uint32_t length = heap->unit[at - 1].length;

        if (length >= units && (best == VI_NONE || length < heap->unit[best].length))
            best = at - 1;
    }
    return best;
}

/* What is used from now on: durably, before a span can be there. */
static void raise_end(struct vi_heap *heap, uint64_t end)
{
    uint64_t *where = &heap->area.header->end;

    if (end <= *where)
        return;
    end = (end + VI_GROUP_UNITS - 1) / VI_GROUP_UNITS * VI_GROUP_UNITS;
    vi_heap_store_now(heap, where, end < heap->units ? end : heap->units);
}

/* The first `units` of a run that is in no bin and has `length` are used from now on. */
static bool use(struct vi_heap *heap, uint64_t unit, uint64_t units, uint64_t length)
{
    const struct vi_heap_area *area = &heap->area;

    if (length > units)
        add(heap, unit + units, length - units);
    if (heap->idle != NULL)
        vi_idle_remove(heap, unit, units);
    if (area->back == NULL || area->back(area->segment, unit * VI_UNIT, units * VI_UNIT) == 0) {
        raise_end(heap, unit + units);
        return true;
    }
    vi_runs_put(heap, unit, units);
    return false;
}

uint64_t vi_runs_take(struct vi_heap *heap, uint64_t units)
{
    uint64_t unit = VI_NONE;

    scan(heap, units, PARTS); /* to use again what is free there before what never was */
    do {
        for (uint64_t bins = heap->filled & ~(uint64_t)0 << bin_of(units);
             bins != 0 && unit == VI_NONE; bins &= bins - 1)
            unit = best_in(heap, (unsigned)__builtin_ctzll(bins), units);
    } while (unit == VI_NONE && scan(heap, units, UINT64_MAX));
    errno = 0;
    if (unit == VI_NONE)
        return VI_NONE;
    return use(heap, unit, units, drop(heap, unit)) ? unit : VI_NONE;
}

bool vi_runs_take_at(struct vi_heap *heap, uint64_t unit, uint64_t units)
{
    errno = 0;
    if (unit >= heap->units || units > heap->units - unit)
        return false;
    /* The span before is looked through, too: it is not to be found longer than it was. */
    while (vi_runs_unknown(heap, unit - 1) || vi_runs_unknown(heap, unit)) {
        const uint64_t frontier = heap->frontier;

        scan(heap, UINT64_MAX, 1);
        if (heap->frontier == frontier)
            return false;
    }
    return heap->unit[unit].length >= units && use(heap, unit, units, drop(heap, unit));
}
