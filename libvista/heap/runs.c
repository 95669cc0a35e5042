/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Free runs of units.  Nothing of this is stored: a free unit is one whose
 * descriptor is zero and that no span covers.  The first and last unit of a run
 * carry its length, so that runs that touch are joined when one is put back.
 */
#include "heap/spans.h"

#define LOOKS 32 /* at runs of the same bin: the shortest that fits, of so many */

static unsigned bin_of(uint64_t units)
{
    return 63 - (unsigned)__builtin_clzll(units);
}

/* Both ends: their state and length. */
static void tag(struct vi_heap *heap, uint64_t unit, uint64_t units, uint8_t state)
{
    heap->unit[unit].length = (uint32_t)units;
    heap->unit[unit + units - 1].length = (uint32_t)units;
    __atomic_store_n(&heap->unit[unit].state, state, __ATOMIC_RELEASE);
    __atomic_store_n(&heap->unit[unit + units - 1].state, state, __ATOMIC_RELEASE);
}

static void add(struct vi_heap *heap, uint64_t unit, uint64_t units)
{
    uint32_t *first = &heap->bins[bin_of(units)];
    struct vi_unit *u = &heap->unit[unit];

    u->next = *first;
    u->prev = 0;
    if (*first != 0)
        heap->unit[*first - 1].prev = (uint32_t)unit + 1;
    *first = (uint32_t)unit + 1;
    tag(heap, unit, units, VI_UNIT_FREE);
}

static void drop(struct vi_heap *heap, uint64_t unit)
{
    struct vi_unit *u = &heap->unit[unit];

    if (u->next != 0)
        heap->unit[u->next - 1].prev = u->prev;
    if (u->prev != 0)
        heap->unit[u->prev - 1].next = u->next;
    else
        heap->bins[bin_of(u->length)] = u->next;
    tag(heap, unit, u->length, VI_UNIT_UNSEEN);
}

void vi_runs_put(struct vi_heap *heap, uint64_t unit, uint64_t units)
{
    if (unit > 0 && heap->unit[unit - 1].state == VI_UNIT_FREE) {
        const uint32_t before = heap->unit[unit - 1].length;

        drop(heap, unit - before);
        unit -= before;
        units += before;
    }
    if (unit + units < heap->units && heap->unit[unit + units].state == VI_UNIT_FREE) {
        const uint32_t after = heap->unit[unit + units].length;

        drop(heap, unit + units);
        units += after;
    }
    add(heap, unit, units);
}

/* The best of the first runs in a bin that are long enough; VI_NONE if none is. */
static uint64_t look(const struct vi_heap *heap, unsigned bin, uint64_t units)
{
    uint64_t best = VI_NONE;
    uint32_t at = heap->bins[bin];

    for (int i = 0; at != 0 && (i < LOOKS || best == VI_NONE); i++) {
        const struct vi_unit *u = &heap->unit[at - 1];

        if (u->length >= units && (best == VI_NONE || u->length < heap->unit[best].length))
            best = at - 1;
        at = u->next;
    }
    return best;
}

uint64_t vi_runs_take(struct vi_heap *heap, uint64_t units)
{
    do {
        for (unsigned bin = bin_of(units); bin < VI_BINS; bin++) {
            const uint64_t unit = look(heap, bin, units);

            if (unit != VI_NONE) {
                const uint64_t length = heap->unit[unit].length;

                drop(heap, unit);
                if (length > units)
                    add(heap, unit + units, length - units);
                return unit;
            }
        }
    } while (vi_runs_scan(heap));
    return VI_NONE;
}
