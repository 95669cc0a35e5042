/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A record's checksum: see record.h.
 */
#include "core/record.h"

#include "base/crc32c.h"

uint32_t vi_record_seed(const struct vi_logs *logs, uint32_t slot, uintptr_t at, uint64_t stamp,
                        uint64_t bytes)
{
    const uint64_t position[4] = {slot, at - (uintptr_t)logs->meta, stamp, bytes};

    return vi_crc32c(logs->seed, position, sizeof position);
}

uint64_t vi_record_check(const struct vi_logs *logs, uint32_t slot, uintptr_t at,
                         const uint64_t *record, uint64_t bytes)
{
    return bytes << 32 |
           vi_crc32c(vi_record_seed(logs, slot, at, record[0], bytes), record + 2, bytes);
}
