/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Descriptors of units: see descriptor.h.
 */
#include "heap/descriptor.h"

uint64_t vi_descriptor_pass(const struct vi_heap *heap, uint64_t unit, uint64_t end)
{
    const struct vi_heap_area *area = &heap->area;
    uint64_t stop = (unit / VI_GROUP_UNITS + 1) * VI_GROUP_UNITS, hole = 0;

    if (unit < end && unit % VI_GROUP_UNITS == 0 && area->hole != NULL)
        hole = area->hole(area->segment, &area->descriptors[unit]) / sizeof(uint64_t);
    if (hole != 0)
        return hole < end - unit ? unit + hole : end;
    if (stop > end)
        stop = end;
    while (unit < stop && vi_descriptor(heap, unit) == 0)
        unit++;
    return unit;
}

bool vi_descriptor_valid(const struct vi_heap *heap, uint64_t unit, uint64_t d)
{
    const unsigned class = VI_SPAN_CLASS(d);
    const uint64_t units = VI_SPAN_UNITS(d);

    if (units == 0 || unit >= heap->units || units > heap->units - unit ||
        d != VI_SPAN(VI_SPAN_KIND(d), units, class))
        return false;
    if (VI_SPAN_KIND(d) == VI_SPAN_SMALL)
        return class < VI_CLASSES && units <= vi_classes[class].units &&
               units * VI_UNIT >= vi_classes[class].size;
    return VI_SPAN_KIND(d) == VI_SPAN_LARGE && class == 0;
}

bool vi_span_sound(const struct vi_heap *heap, uint64_t head, uint64_t descriptor)
{
    const uint64_t end = head + VI_SPAN_UNITS(descriptor);
    uint64_t unit = head + 1, next;

    if (!vi_descriptor_valid(heap, head, descriptor))
        return false;
    while (unit < end && (next = vi_descriptor_pass(heap, unit, end)) != unit)
        unit = next;
    return unit >= end;
}
