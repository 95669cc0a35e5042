/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the heap's records mean.
 */
#ifndef VI_HEAP_HEAP_KINDS_H
#define VI_HEAP_HEAP_KINDS_H

#include "core/kinds.h"

/* What records mean: the undo log's own and the heap's, whose context is the heap. */
extern const struct vi_record_kind *const vi_heap_kinds[VI_KINDS];

#endif
