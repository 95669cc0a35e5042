/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A record's checksum: see record.h.
 */
#include "core/record.h"

#include "base/crc32c.h"

uint64_t vi_record_check(const struct vi_log *log, uintptr_t at, const uint64_t *record,
                         uint64_t bytes)
{
    const uint64_t place[4] = {log->slot, at - (uintptr_t)log->logs->meta, record[0], bytes};

    return bytes << 32 |
           vi_crc32c(vi_crc32c(log->logs->seed, place, sizeof place), record + 2, bytes);
}
