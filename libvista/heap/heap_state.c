/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The size classes: see heap_state.h.
 */
#include "heap/heap_state.h"

#define CLASS(size, units) \
    { \
        (size), (units), (uint32_t)((1ull << 32) / (size) + 1) \
    }
#define EIGHT(base, step, units) \
    CLASS((base) + (step), units), CLASS((base) + 2 * (step), units), \
        CLASS((base) + 3 * (step), units), CLASS((base) + 4 * (step), units), \
        CLASS((base) + 5 * (step), units), CLASS((base) + 6 * (step), units), \
        CLASS((base) + 7 * (step), units), CLASS((base) + 8 * (step), units)

/* Spans have 16 blocks or more up to 1 KiB, and at least 8 beyond. */
const struct vi_class vi_classes[VI_LARGE + 1] = {
    EIGHT(0, 16, 4),      EIGHT(128, 16, 4),    EIGHT(256, 32, 4),   EIGHT(512, 64, 4),
    EIGHT(1024, 128, 16), EIGHT(2048, 256, 16), EIGHT(4096, 512, 16)};
