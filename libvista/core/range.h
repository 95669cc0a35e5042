/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A range whose length the program's compiler does not know, in the kill-safe class: most are
 * logged here, as the inlined path would.
 */
#ifndef VI_CORE_RANGE_H
#define VI_CORE_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vista.h"

#define VI_LONG_RANGES 8

/* The long ranges that a transaction has declared, which need not be logged again.  They are
 * those of the transaction that has `stamp`; so an end need not clear them. */
struct vi_long_ranges {
    uint64_t stamp;
    unsigned count;
    struct {
        uintptr_t from, to;
    } range[VI_LONG_RANGES];
};

/* Logs the range if that takes no more than a record in the log's chunk as it is; false:
 * nothing was done. */
bool vi_range_log(vista_tx *tx, void *address, size_t length);

#endif
