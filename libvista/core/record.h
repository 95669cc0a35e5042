/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What those who write a log's records and those who read them have in common.
 */
#ifndef VI_CORE_RECORD_H
#define VI_CORE_RECORD_H

#include "core/chunks.h"

#define VI_RECORD_HEADER (3 * sizeof(uint64_t))
#define VI_TERMINATOR sizeof(uint64_t)

static inline uintptr_t vi_line_up(uintptr_t at)
{
    return (at + VI_LINE - 1) & ~(uintptr_t)(VI_LINE - 1);
}

/* Bytes behind an item's address, with the padding. */
static inline size_t vi_kind_payload(const struct vi_record_kind *kind, uint32_t length)
{
    return kind->payload == VI_PAYLOAD_LENGTH ? ((size_t)length + 7) & ~(size_t)7 : kind->payload;
}

/* Where a record has its shape. */
static inline uint64_t *vi_record_shape(const struct vi_logs *logs, const uint64_t *record)
{
    return (uint64_t *)record + (logs->checked ? 2 : 1);
}

/* The checksum of a record that is, or will be, in a slot's log at `at`, before the `bytes` behind its first two
 * words. */
uint32_t vi_record_seed(const struct vi_logs *logs, uint32_t slot, uintptr_t at, uint64_t stamp,
                        uint64_t bytes);

/* The checksum's word of such a record. */
uint64_t vi_record_check(const struct vi_logs *logs, uint32_t slot, uintptr_t at,
                         const uint64_t *record, uint64_t bytes);

#endif
