/* SPDX-License-Identifier: BSD-3-Clause
 *
 * See inlined.c.
 */
#ifndef CRASH_INLINED_H
#define CRASH_INLINED_H

#include "vista.h"

vista_tx *inlined_begin(vista_segment *segment);
int inlined_set_range(vista_tx *tx, void *address, size_t length);
int inlined_set_ranges(vista_tx *tx, const struct iovec *ranges, int count);
extern const size_t inlined_lengths[8][7]; /* [count]: of calls that are inlined, for 2, 3, 7 */
int inlined_end(vista_tx *tx);

#endif
