/* SPDX-License-Identifier: BSD-3-Clause
 *
 * From a point at which a crash may happen to the states that it may leave, and a
 * verdict on each.
 */
#ifndef CRASH_STATES_H
#define CRASH_STATES_H

#include <stdbool.h>
#include <stdint.h>

struct states {
    /* Set by the caller. */
    uint64_t seed;
    uint64_t only;         /* the one state to look at, from 1; 0: all */
    uint64_t file_each;    /* one in so many states goes through a file too */
    bool through_files;    /* all of them, and nothing in memory */
    bool whole;            /* recovery is all that vista_map does, not of the log alone */
    bool on;               /* points are explored */
    bool created;          /* there is a segment already */
    unsigned may_be_clean; /* the superblock may say so: a bit for each file */
    bool class_changes;    /* to one that flushes: what is promised is its own, once it is stored */
    bool copied;           /* what goes through a file is a copy of the open segment */
    const char *rerun;     /* how to see a state again: its number is appended */

    /* Counted. */
    uint64_t number;   /* states enumerated in this run */
    uint64_t tried;    /* recovered and judged */
    uint64_t distinct; /* images never seen before in this process */
    uint64_t second;   /* of these, left by crashes inside recovery */
    uint64_t files;    /* through files */
    uint64_t bad;
    uint64_t most_dirty; /* lines at one point */
};
extern struct states states;

/* The function behind memory.point. */
struct world;
void states_point(struct world *world);

/* Once, before any process is forked. */
void states_share(void);

/* A new run: another scenario, or another seed. */
void states_begin(uint64_t salt);

/* A call has returned: the states that a crash may leave now. */
void states_after_call(void);

#endif
