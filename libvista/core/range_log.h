/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A range whose length the program's compiler does not know, in the kill-safe class: most are
 * logged here, as the inlined path would.
 */
#ifndef VI_CORE_RANGE_LOG_H
#define VI_CORE_RANGE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vista.h"

/* Logs the range if that takes no more than a record in the log's chunk as it is; false:
 * nothing was done. */
bool vi_range_log(vista_tx *tx, void *address, size_t length);

#endif
