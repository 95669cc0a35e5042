/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a segment must hold after a crash: the changes of acknowledged transactions,
 * all or nothing of one whose commit was under way, nothing of the others.  Every
 * byte and every block of the heap has an owner:
 *
 *     LIVE_BYTE   committed: must be exactly as it was
 *     UNUSED      in no block: anything
 *     RANGE       declared by `act`: as it was, or as it is to be
 *     FRESH       in a block that `act` allocated: anything, or as it is to be
 *     GOING       in a block that `act` freed: as it was, or anything
 *
 * Bytes are told by their place: the data of one file comes after that of another.
 */
#ifndef CRASH_MODEL_H
#define CRASH_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image.h"
#include "memory.h"

#define DATA_MAX (512u << 10)
#define GRANULE 16u /* blocks begin at multiples of it */
#define BLOCK_WORDS (DATA_MAX / GRANULE / 64)
#define ACTS 6
#define NOWHERE SIZE_MAX /* no place */

enum role { LIVE_BYTE, UNUSED, RANGE, FRESH, GOING };

/* A transaction as the model sees it. */
struct act {
    bool open;
    bool ending;   /* its commit has begun */
    bool aborting; /* its abort has begun */
    bool decided;  /* its commit is known to be done though it has not returned */
    bool moves_root;
    uint64_t root[2];
    uint64_t changed[BLOCK_WORDS]; /* blocks that are allocated, or freed, if it commits */
};

struct model_file {
    size_t first; /* place of its data */
    size_t room;  /* places that it has: its size may become that */
    size_t size;
    size_t next; /* while it is being resized: it may be that, too; else size */
    bool heap;
};

struct model {
    struct model_file file[FILES];
    int files;
    size_t size; /* places */
    unsigned char base[DATA_MAX];
    unsigned char role[DATA_MAX];
    unsigned char owner[DATA_MAX]; /* index of the act */
    uint64_t blocks[BLOCK_WORDS];
    uint64_t root[2]; /* of file 0: offset, size; others have none */
    struct act act[ACTS];
    uint64_t epoch; /* changes when the verdict on a state may */
};
extern struct model model;

void model_reset(void);
/* One more file of `size` bytes, which may become `room`. */
void model_add(size_t size, size_t room, bool heap);

int model_file_at(size_t place);

/* The file is being resized; now it is.  What it grows by is zero. */
void model_resize(int file, size_t size);
void model_resized(int file);

void model_range(int act, size_t place, size_t length);
void model_allocated(int act, size_t place, size_t length);
/* A block of the act, or a committed one, goes on there. */
void model_extended(int act, size_t place, size_t length);
void model_freed(int act, size_t place, size_t length);

/* The act committed: what LIVE holds is now what must be. */
void model_commit(int act);
void model_abort(int act);

/* Before states are judged: gathers the lines that may be wrong in one. */
void model_prepare(void);

/* NULL: the state is right; else what is wrong.  `found` has all files.  Lines that recovery
 * stored to, in IMAGE and SECOND, are judged too.  *outcome gets a bit for each act that
 * counts as committed.  (Of two sizes the second of two recoveries may find the other:
 * a line of a torn superblock that the first wrote again can make it whole.) */
const char *model_judge(const struct found *found, unsigned *outcome);

#endif
