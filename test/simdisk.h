/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A simulated disk behind media/io.  A file has what programs see (the page cache) and what the
 * disk has; sectors that differ, or were written since they were synced, are dirty.  After a
 * process's death the cache is there as it was; after a loss of power each dirty sector has any
 * of the contents that it had since it was synced, and one in the log may be garbage.
 */
#ifndef VISTA_TEST_SIMDISK_H
#define VISTA_TEST_SIMDISK_H

#include <stdbool.h>
#include <stdint.h>

#include "media/io.h"
#include "support.h"

#define SIM_SECTOR 512u
#define SIM_MAX (768u << 10) /* bytes of a file */
#define SIM_SECTORS (SIM_MAX / SIM_SECTOR)
#define SIM_VERSIONS 3 /* older contents of a sector that are remembered */
#define SIM_FILES 6

struct sim {
    unsigned char *cache; /* SIM_MAX, page-aligned */
    unsigned char *disk;
    unsigned char *older[SIM_VERSIONS];
    uint8_t versions[SIM_SECTORS];   /* contents in `older`, newest first lost */
    uint8_t dirty[SIM_SECTORS];      /* 1 written; 2 mapped and stored to, perhaps */
    uint64_t forgotten[SIM_SECTORS]; /* hash of a content that a failed sync takes for written */
    uint64_t size;
    uint64_t mapped_from, mapped_to; /* the part that is mapped */
    uint64_t log_from, log_to;       /* where a torn sector may be garbage */
};

extern struct sim sim_files[SIM_FILES]; /* the descriptor is the index */
extern const struct vi_io_ops sim_ops;

/* What goes wrong: counted down at each call; the one that reaches 0 fails.  0: none does. */
struct sim_faults {
    unsigned fail_sync;  /* the sync, or synced write, fails and its sectors are forgotten */
    unsigned fail_write; /* the write fails */
    int error;           /* of that, EIO or ENOSPC */
    unsigned short_write;
    int on; /* the descriptor they are for */
    /* Of syncs counts: any; one of the file; a synced write to the log's headers. */
    enum { SIM_ANY_SYNC, SIM_FILE_SYNC, SIM_HEADER_SYNC } kind;
};
extern struct sim_faults sim_faults;

/* Called at each point where the process or the machine might die: a part of a write has reached
 * the cache, or a sync is about to return. */
extern void (*sim_point)(int fd, const char *what);

void sim_new(int fd, uint64_t size);
/* The file as it is after the death of the process. */
void sim_kill(int from, int to);
/* After a loss of power: what each dirty sector has is chosen. */
enum sim_choice { SIM_NONE, SIM_ALL, SIM_RANDOM, SIM_ALL_BUT, SIM_ONLY };
void sim_power(int from, int to, enum sim_choice choice, unsigned sector,
               struct test_random *random);
/* The dirty sectors' numbers; returns how many. */
unsigned sim_dirty(int fd, uint16_t list[SIM_SECTORS]);

#endif
