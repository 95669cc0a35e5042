/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Segment files in many states, made by the library itself, to be damaged.  One that
 * shares a log is there with the other of the two, which is not damaged.
 */
#ifndef FUZZ_FILE_BASES_H
#define FUZZ_FILE_BASES_H

#include "fuzz.h"

#define BASES 16 /* alone: by the low bits of an input's first byte; then */
#define GROUPS 8 /* one of two segments with one log; and then */
#define LATER 8  /* alone again: what was thought of later */
#define ALL (BASES + GROUPS + LATER)

enum { ALONE, HOME, MEMBER };

struct base {
    const char *name;
    unsigned role;
    bool flushes;       /* of a group: its log is of the class with cache lines */
    struct image image; /* of file 0, which is damaged */
    struct image other; /* of file 1: of HOME the member, of a MEMBER home */
    uint32_t *lines;    /* offsets / 64 of the lines that are not all zero, less the data */
    size_t line_count;
    uint64_t *words; /* the different words in them */
    size_t word_count;
};

/* Makes them all, with checksums as `checksums_agree` says: always the same ones in the
 * same order. */
void bases_make(struct base bases[ALL]);

#endif
