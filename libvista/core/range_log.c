/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One range, logged: see range_log.h.
 */
#include "core/range_log.h"

#include <string.h>

#include "core/handles.h"

/* Up to 16 bytes by two moves, which overlap, and are no wider than what a program stores. */
static inline void copy_short(unsigned char *to, const unsigned char *from, size_t length)
{
    if (length >= 8) {
        const uint64_t first = *(const vista_inline_unaligned *)from;
        const uint64_t last = *(const vista_inline_unaligned *)(from + length - 8);

        *(vista_inline_unaligned *)to = first;
        *(vista_inline_unaligned *)(to + length - 8) = last;
        return;
    }
    for (size_t i = 0; i < length; i++)
        to[i] = from[i];
}

/* Behind a record's header: the item of the range, with zeros up to a word's end, and a word of
 * zeros.  Says where that is. */
static inline uint64_t *put_item(uint64_t *item, const void *address, size_t length)
{
    unsigned char *const to = (unsigned char *)(item + 1);
    uint64_t *const end = (uint64_t *)(to + ((length + 7) & ~(size_t)7));
    const vista_inline_pair zeros = {0, 0};

    *item = (uintptr_t)address;
    *(vista_inline_pair *)(end - 1) = zeros;
    if (length <= 16)
        copy_short(to, address, length);
    else
        memcpy(to, address, length);
    return end;
}

static inline void end_record(vista_tx *tx, uint64_t *record, uint64_t shape, uint64_t *end)
{
    VISTA_INLINE_COMPILER_BARRIER();
    vista_inline_count(record, tx->stamp, shape);
    VISTA_INLINE_COMPILER_BARRIER();
    tx->next = (uintptr_t)end;
}

static inline bool is_declared(const struct vi_long_ranges *ranges, uintptr_t from, uintptr_t to)
{
    for (unsigned i = 0; i < ranges->count; i++)
        if (from >= ranges->range[i].from && to <= ranges->range[i].to)
            return true;
    return false;
}

/* One that is longer, but has room in the chunk, and whose like are few. */
static bool log_long(vista_tx *handle, void *address, size_t length)
{
    struct vi_tx *const tx = (struct vi_tx *)handle;
    struct vi_long_ranges *const ranges = &tx->long_ranges;
    const uintptr_t from = (uintptr_t)address, to = from + length;
    const uintptr_t high = vista_inline_is_in1(handle, from) ? handle->high : handle->high2;
    uint64_t *const record = (uint64_t *)handle->next;

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
    end_record(handle, record, (uint64_t)VI_KIND_UNDO << VI_KIND_SHIFT | length,
               put_item(record + 2, address, length));
    ranges->range[ranges->count].from = from;
    ranges->range[ranges->count++].to = to;
    return true;
}

bool vi_range_log(vista_tx *tx, void *address, size_t length)
{
    uint64_t *record;

    if (VISTA_INLINE_UNLIKELY(tx == NULL || tx->next > tx->limit1 || length == 0 ||
                              !vista_inline_is_in(tx, (uintptr_t)address)))
        return false;
    if (length >= VISTA_INLINE_LENGTH)
        return log_long(tx, address, length);
    record = (uint64_t *)tx->next;
    end_record(tx, record, VISTA_INLINE_SHORT | length, put_item(record + 2, address, length));
    return true;
}
