/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Simulated persistent memory.  The library's own objects are compiled so that each
 * of their stores comes by here (instrument.c), and its flushes and fences do through
 * vi_persist_test_ops.  For every cache line that was ever stored to there is the
 * list of its versions since it was last known to be durable: a crash leaves any one
 * of them, since a line reaches memory as a prefix of its stores in order.
 *
 * There are three worlds, each a memory of its own with the same layout:
 *
 *     LIVE    the mapped segments that a scenario works on
 *     IMAGE   what a crash of LIVE may have left; recovery runs on it
 *     SECOND  what a crash of that recovery may have left; recovery runs again
 *
 * Each holds up to FILES files (files.h) of three areas.  Between states IMAGE and SECOND
 * equal what is durable in LIVE.  Everything runs on one thread of the system; `thread`
 * numbers those that the scenario simulates.
 */
#ifndef CRASH_MEMORY_H
#define CRASH_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINE 64u
#define PAGE 4096u
#define THREADS 4
#define FILES 3

enum { LIVE, IMAGE, SECOND, WORLDS, NO_WORLD = WORLDS };
enum { META, DATA, INODE, AREAS };

/* An area of a file is a region.  Everything tracked lies in [WINDOW, WINDOW + 2^40);
 * region r of world w in number w * REGIONS + r of its 4 GiB parts, so that a store is told
 * from others by a shift. */
#define REGIONS (FILES * AREAS)
#define REGION(file, area) ((unsigned)(file)*AREAS + (area))
#define WINDOW ((uintptr_t)0x200000000000)
#define PART(number) (WINDOW + ((uintptr_t)(number) << 32))
#define PART_OF(address) ((uintptr_t)(address) >> 32 & 0xff)
#define REGION_OF(address) (PART_OF(address) % REGIONS)
#define FILE_SHIFT 40 /* offsets tell the file, too */

struct version {
    unsigned char bytes[LINE];
    uint64_t hash; /* of offset and bytes; 0 when these are zero */
};

struct line {
    unsigned char *at;
    uint64_t offset; /* in the file, and that << FILE_SHIFT */
    uint32_t first;  /* how many versions came before versions[0], which is durable */
    uint32_t count;  /* versions from there on; 1: the line is clean */
    uint32_t capacity;
    struct version *versions;
    unsigned char original[LINE]; /* before its first store */
    unsigned char synced[LINE];   /* when its file was last synced, or as `original` */
};

struct region {
    unsigned char *base;
    size_t size;
    uint64_t offset;  /* as of its first line */
    uint32_t *number; /* by line: its place in struct world.lines + 1; 0: never stored to */
};

struct world {
    struct region region[REGIONS];
    struct line **lines; /* [0, used) in the order of their first store; behind: spare */
    size_t used, capacity;
    bool exact;      /* stores are durable at once: the kill-safe and eADR classes */
    bool touch_only; /* only remember which lines were stored to, and what they were */
    uint64_t hash;   /* of the durable image */
    struct flush {
        struct line *line;
        uint32_t version; /* counted like struct line.first */
    } * flushes[THREADS]; /* begun, not yet fenced */
    size_t flush_count[THREADS], flush_capacity[THREADS];
};

extern struct world worlds[WORLDS];

struct memory {
    int current;     /* the world whose code runs, or NO_WORLD */
    unsigned thread; /* simulated */
    uint64_t seed;   /* of the order in which a memcpy stores its words */
    uint64_t stores; /* seen in LIVE */
    /* A crash may happen now: before a fence, or, exact, after a store. */
    void (*point)(struct world *world);
    /* In LIVE: another simulated thread may run now. */
    void (*pause)(bool at_fence);
};
extern struct memory memory;

/* Empties the worlds. */
void memory_reset(void);

/* A region of each world, all zero; nothing happens if it is there. */
void memory_region(unsigned region, size_t size, uint64_t offset);

/* Address at the same place of another world. */
unsigned char *memory_mirror(const struct world *from, const unsigned char *at,
                             const struct world *to);

/* Before a store; what it stored is looked at when the next event comes. */
void memory_store_tracked(const void *address, size_t size);
static inline void memory_store(const void *address, size_t size)
{
    if ((uintptr_t)address >> 40 == WINDOW >> 40) /* most are to the stack */
        memory_store_tracked(address, size);
}
void memory_complete(void);

void memory_flush(const void *address, size_t length);
void memory_fence(void);
/* Words of a line get there in any order: here in one that the seed says. */
void memory_write(uint64_t *to, const uint64_t *from, size_t length);
/* All that was stored to a file is durable from now on, in the world whose code runs. */
void memory_sync(int file);

/* All that was stored to LIVE is durable from now on. */
void memory_all_durable(void);

/* The class flushes from now on, and did nothing of the kind before: what was stored since its
 * file was last synced may be lost. */
void memory_doubt(void);

/* Forgets a world's lines; `restore`: puts back what they were, in deeper worlds too. */
void memory_forget(struct world *world, bool restore);

/* Stores zeros to what was stored to in a part of a file of LIVE. */
void memory_clear(uint64_t offset, uint64_t length);

#endif
