/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The rarer ranges, logged: see range_log.h.
 */
#include "core/range_log.h"

#include <string.h>

#include "core/handles.h"

static inline bool is_declared(const struct vi_long_ranges *ranges, uintptr_t from, uintptr_t to)
{
    for (unsigned i = 0; i < ranges->count; i++)
        if (from >= ranges->range[i].from && to <= ranges->range[i].to)
            return true;
    return false;
}

static bool log_long(vista_tx *handle, void *address, size_t length)
{
    struct vi_tx *const tx = (struct vi_tx *)handle;
    struct vi_long_ranges *const ranges = &tx->long_ranges;
    const uintptr_t from = (uintptr_t)address, to = from + length;
    const uintptr_t high = vista_inline_is_in1(handle, from) ? handle->high : handle->high2;
    uint64_t *const record = (uint64_t *)handle->next, *end;

    if (length > VI_RECORD_MAX || tx->pages.used != 0 ||
        length - VISTA_INLINE_LENGTH > (handle->limit1 & ~(uintptr_t)1) - handle->next ||
        length - VISTA_INLINE_LENGTH > high - from)
        return false;
    if (ranges->stamp != handle->stamp) {
        ranges->stamp = handle->stamp;
        ranges->count = 0;
    }
    if (is_declared(ranges, from, to))
        return true;
    if (ranges->count == VI_LONG_RANGES)
        return false;
    end = vi_range_frame(record + 2, address, length);
    memcpy(record + 3, address, length);
    vi_range_count(handle, record, (uint64_t)VI_KIND_UNDO << VI_KIND_SHIFT | length, end);
    ranges->range[ranges->count].from = from;
    ranges->range[ranges->count++].to = to;
    return true;
}

bool vi_range_log(vista_tx *tx, void *address, size_t length)
{
    if (tx == NULL || tx->next > tx->limit1 || length == 0 ||
        !vista_inline_is_in(tx, (uintptr_t)address))
        return false;
    if (length > VISTA_INLINE_LENGTH)
        return log_long(tx, address, length);
    vi_range_log_short(tx, address, length);
    return true;
}
