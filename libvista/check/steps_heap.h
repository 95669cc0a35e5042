/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Steps: the heap's descriptors and marks, and its root; and what other steps ask of spans.
 */
#ifndef VI_CHECK_STEPS_HEAP_H
#define VI_CHECK_STEPS_HEAP_H

#include "check/findings.h"

/* A span; blocks are numbered from its first unit on. */
struct vi_check_span {
    uint64_t unit;
    uint64_t units;
    uint64_t block_size;
    uint64_t blocks;
};

uint64_t vi_check_units(const struct vi_check *check); /* of the data as large as it is now */
uint64_t vi_check_descriptor(const struct vi_check *check, uint64_t unit);
/* The span that a unit lies in, of a large one but the first units; false: none that
 * makes sense. */
bool vi_check_span_of(const struct vi_check *check, uint64_t unit, struct vi_check_span *span);
bool vi_check_mark(const struct vi_check *check, const struct vi_check_span *span, uint64_t block);

void vi_check_descriptors(struct vi_check *check);
void vi_check_marks(struct vi_check *check);
void vi_check_root(struct vi_check *check);

#endif
