/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The words in which scenarios are written.  Each does a call of the library, tells
 * the model of it and looks at the states that a crash may leave.  Places are offsets
 * of data, which of file 0 are those in it (model.h); acts are transactions by number.
 */
#ifndef CRASH_PROGRAM_H
#define CRASH_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "model.h"
#include "vista.h"

enum media {
    FLAT,
    HEAP,
    SPARSE_FLAT,
    SPARSE_HEAP,
    GROWING_HEAP,
    AUTO /* flat, with automatic ranges */
};

struct run {
    uint64_t seed;
    enum vista_class class;
    enum vista_class recovery;      /* that recovery runs in */
    vista_segment *segments[FILES]; /* NULL: not mapped */
    int home;                       /* file whose log the others are mapped with */
    unsigned char *base;            /* of file 0 */
    vista_tx *tx[8];                /* of each act */
    bool rehearsal;                 /* nothing is explored; roots are learnt */
};
extern struct run run;

/* Before a scenario: numbers follow from run.seed. */
void seed_random(void);

/* A number in [low, high]. */
uint64_t pick(uint64_t low, uint64_t high);
bool maybe(unsigned percent);

/* A fresh segment, filled with a pattern when flat.  Everything before explore() is
 * taken as durable and not looked at. */
void fresh_segment(enum media media, size_t size);
void explore(void);
void leave_segment(void);

/* The same with room to grow.  Then another file, which uses the log of the first: the
 * place of its data.
 * Or one that does not yet, and is not mapped. */
void fresh_with_room(enum media media, size_t size, size_t room);
size_t fresh_member(enum media media, size_t size, size_t room);
size_t fresh_stranger(enum media media, size_t size);

/* The process dies, and maps all that it had again, in a class: open acts are undone. */
void die_and_map(enum vista_class class);
void unmap(int file);
void map_again(int file); /* home, or with its log */

bool resize(int file, size_t size); /* false: refused */

unsigned char *address_of(size_t place);
size_t place_of(const void *address);

void begin(int act);
void begin_on(int act, int file);
void declare(int act, size_t place, size_t length);
bool declare_all(int act, const struct iovec *ranges, int count); /* false: refused */
void store(size_t place, size_t length);                          /* of random bytes */
void store_bytes(size_t place, const void *bytes, size_t length);
void change(int act, size_t place, size_t length);            /* declare and store */
void change_undeclared(int act, size_t place, size_t length); /* faults, and stores */
void commit(int act);
void roll_back(int act);

size_t allocate(int act, size_t size);       /* and fills it; NOWHERE: no room */
size_t allocate_plain(int act, size_t size); /* leaves it as it is */
size_t allocate_in(int act, int file, size_t size);
/* Its heap grows, if it must, to a size that is learnt in a rehearsal. */
size_t allocate_growing(int act, size_t size);
void release(int act, size_t place);
size_t reallocate(int act, size_t place, size_t size);
void grow_root(size_t size); /* with act 5 */

/* Simulated threads: they take turns at fences, at some stores and between calls. */
void together(void (*const *bodies)(void), int count);
void on_thread(unsigned thread); /* goes on as another thread */

#endif
