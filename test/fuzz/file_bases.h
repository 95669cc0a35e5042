/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Segment files in many states, made by the library itself, to be damaged.
 */
#ifndef FUZZ_FILE_BASES_H
#define FUZZ_FILE_BASES_H

#include "fuzz.h"

#define BASES 24

struct base {
    const char *name;
    struct image image;
    uint32_t *lines; /* offsets / 64 of the lines that are not all zero, less the data */
    size_t line_count;
    uint64_t *words; /* the different words in them */
    size_t word_count;
};

/* Makes them all, with checksums as `checksums_agree` says: always the same ones in the
 * same order.  How many. */
unsigned bases_make(struct base *bases);

#endif
