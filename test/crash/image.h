/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Recovering what a crash has left, by the library's own functions: of a single segment its
 * log alone, which is fast; or whatever vista_map does, on simulated files; and the same on
 * real ones, with vista_check, for a sample of states.
 */
#ifndef CRASH_IMAGE_H
#define CRASH_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "memory.h"
#include "vista.h"

/* What a recovered segment is judged by. */
struct found {
    uint64_t size; /* of the data */
    const unsigned char *data;
    const unsigned char *heap; /* header, descriptors, marks; NULL: no heap */
    uint64_t descriptors;      /* whose place there is: marks lie behind */
};

/* Recovery runs in `class` from now on. */
void image_open(enum vista_class class);
void image_close(void);

struct trial {
    int files;
    unsigned order;        /* in which they are mapped: one of ORDERS */
    bool created;          /* vista_map had returned: there must be a segment, else may be */
    size_t size;           /* else, that it is to have */
    unsigned may_be_clean; /* the superblock may say so: a bit for each file */
    bool copied;           /* the files are copies, made while the segments were open */
    struct found found[FILES];
    const char *why; /* set when that fails */
};
#define ORDERS 6

/* Recovers the only file's log in a world. */
bool image_recover_log(int world, struct trial *trial);

/* Does the first file of a world say that its log's class flushes? */
bool image_flushes(int world);

/* Maps all files of a world. */
bool image_recover_all(int world, struct trial *trial);

/* Writes IMAGE to real files, checks them, maps them, has `judge` look at them, and goes on
 * to work with them. */
bool image_try_files(struct trial *trial, const char *(*judge)(const struct trial *trial));

/* A new run: no page has been stored to. */
void image_reset(void);

#endif
