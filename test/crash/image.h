/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Recovering what a crash has left.  In memory, with the library's own functions but
 * without a file: that is fast.  And through a file, with vista_check and vista_map,
 * for a sample of states and wherever the superblock is at stake.
 */
#ifndef CRASH_IMAGE_H
#define CRASH_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "vista.h"

/* What a recovered segment is judged by. */
struct found {
    const unsigned char *data;
    const unsigned char *heap; /* header, descriptors, marks; NULL: no heap */
    uint64_t units;            /* of the heap's data */
    uint64_t descriptors;      /* whose place there is: marks lie behind */
};

/* IMAGE and SECOND become segments like `live`; recovery runs in `class`. */
void image_open(const vista_segment *live, enum vista_class class);
void image_close(void);

/* Recovers a world in memory.  False: refused, see vista_errormsg. */
bool image_recover(int world, struct found *found);

/* What there is in LIVE itself. */
void image_of_live(const vista_segment *live, struct found *found);

/* Forgets the pages of the last segment. */
void image_file_reset(const char *path);

struct trial {
    size_t size;       /* of the data */
    bool created;      /* vista_map had returned: there must be a segment, else may be */
    bool may_be_clean; /* the superblock may say so */
    bool copied;       /* the file is a copy, made while the segment was open */
    bool (*judge)(const struct found *found);
    const char *why; /* set when something but the judgement is wrong */
};

/* Writes IMAGE to a file of its own, checks it, maps it and has it judged. */
bool image_try_file(struct trial *trial);

#endif
