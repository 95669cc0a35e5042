/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Descriptors of units: see descriptor.h.
 */
#include "heap/descriptor.h"

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
    if (!vi_descriptor_valid(heap, head, descriptor))
        return false;
    for (uint64_t unit = head + 1; unit < head + VI_SPAN_UNITS(descriptor); unit++)
        if (vi_descriptor(heap, unit) != 0)
            return false;
    return true;
}
