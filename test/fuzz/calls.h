/* SPDX-License-Identifier: BSD-3-Clause
 *
 * fuzz_calls: the model in plain memory (calls_model.c), the mapping of segments
 * (calls_mapping.c), transactions with their ranges (calls_transactions.c), stores
 * (calls_stores.c), the heap's calls (calls_heap.c) and calls that make no sense
 * (calls_wrong.c).
 *
 * The model holds each byte that a program may rely on, whose it is (a block, a range
 * that an open transaction has declared or stored to) and what it was before; so it knows
 * what an abort, a commit and the death of the process must leave.
 */
#ifndef FUZZ_CALLS_H
#define FUZZ_CALLS_H

#include "fuzz.h"

#define KIB ((size_t)1024)
#define SIZE_MAX_DATA (256 * KIB)
#define SEGMENTS FILES
#define ACTS 5
#define BLOCKS 256
#define UNDOS 512

enum { NO_ONE = 255 };

struct seg {
    bool made;
    vista_segment *handle;      /* NULL: not mapped, or */
    bool detached;              /* only its file is, for the members that use its log */
    struct seg *log;            /* whose log it uses, or did when it was last mapped */
    unsigned char *base, *home; /* where it is, and where it was made */
    size_t size;
    bool flat, sparse, read_only, grows;
    bool cramped;   /* address space to grow in may have been refused, or it lies elsewhere */
    unsigned watch; /* VISTA_AUTO_RANGE, VISTA_CHECK_RANGES or 0 */
    bool guarded;   /* the sanitizer is told what of the heap is no block */
    unsigned class;
    bool clean;                                     /* the last mapping ended well */
    uint32_t root, root_size;                       /* of the committed root; size 0: none */
    _Alignas(8) unsigned char now[SIZE_MAX_DATA];   /* what each byte is, */
    _Alignas(8) unsigned char known[SIZE_MAX_DATA]; /* 0xff if that is known, */
    uint8_t owner[SIZE_MAX_DATA]; /* and who alone may change it: an act, NO_ONE */
};

struct block {
    bool live; /* there, also when `freed_by` will free it */
    struct seg *in;
    uint32_t at, size;
    uint8_t by, freed_by; /* acts, NO_ONE: none */
};

struct undo {
    struct seg *in;
    uint32_t at, length;
    unsigned char *old, *old_known;
};

/* A transaction. */
struct act {
    vista_tx *tx; /* NULL: none is open */
    struct seg *log;
    bool keeps;                                  /* begun VISTA_NO_RESTORE */
    enum { DECLARED, MAYBE, UNDECLARED } stores; /* VISTA_CHECK_RANGES: all of them */
    bool opened; /* whole pages, and so stores there may be overlooked */
    struct undo undos[UNDOS];
    unsigned undo_count;
    uint64_t cancelled[SEGMENTS]; /* bytes allocated and freed in it, in whole pages */
};

extern struct seg segs[SEGMENTS];
extern struct act acts[ACTS];
extern struct block blocks[BLOCKS];
extern unsigned char next_byte;

/* ---- The model --------------------------------------------------------- */

/* Its bytes are in memory: mapped, or detached. */
static inline bool is_there(const struct seg *s)
{
    return s->handle != NULL || s->detached;
}

static inline unsigned index_of(const struct seg *s)
{
    return (unsigned)(s - segs);
}

void model_reset(void);

/* All segments are as the model says. */
void compare(const char *when);

/* While no transaction is open, what is no block of a guarded heap must not be used. */
void look_at_rest(const struct seg *s);

/* What a range was, and that it is `act`'s now. */
void own(int act, struct seg *s, size_t at, size_t length);

/* What is there is not to be known, and no one's. */
void unknown(struct seg *s, size_t at, size_t length);

/* What an act's end does to the model. */
void settle(int act, bool committed);

/* Open transactions that cover the segment, for its log is theirs. */
unsigned open_count(const struct seg *s);

/* Allocated blocks as they will be when every open transaction is rolled back. */
uint64_t committed_blocks(const struct seg *s);

/* Bytes that `act` may store to: of no other transaction and, in a heap, inside one block or
 * the root. */
bool may_change(int act, const struct seg *s, size_t at, size_t length);

/* A block that was given out: apart from all that is allocated or may be again. */
void given(int act, unsigned which, struct seg *s, void *address, size_t size);

/* That `act` has freed: at its end, or already if it is its own. */
void freed(int act, struct block *b);

/* The heap may be full: it is not while a page is free, if a page will do. */
void no_block(const struct act *a, struct seg *s, size_t size);

/* It is larger: VISTA_CHECK_RANGES may overlook stores there while transactions are open. */
void sized(const struct seg *s);

/* A heap that is full may grow the segment, up to its maximum. */
void look_at_size(struct seg *s);

/* ---- Mapping ----------------------------------------------------------- */

/* The first segment, with which every input begins. */
void create_first(struct input *input);

/* Maps a segment that is not, or makes it: maybe with another's log, automatic or checked
 * ranges, or something else mapped where it lives. */
void map_some(struct input *input, struct seg *s);
/* Alone, as it was made. */
void map_plainly(struct seg *s, unsigned flags);
void map_again(struct input *input, struct seg *s, bool killed);
void map_twice(struct seg *s);

/* Ends a mapping: well, */
void leave(struct seg *s);
/* or all, as a kill would. */
void leave_killed(void);

void resize(struct input *input, struct seg *s);
void inquire(struct seg *s);

/* ---- Transactions ------------------------------------------------------ */

bool begin(int act, struct seg *s, unsigned mode);
void finish(int act, bool commit, unsigned mode);
void finish_all(const struct seg *log); /* NULL: of every log */

void set_range(struct input *input, int act, struct seg *s);
void set_ranges(struct input *input, int act, unsigned which, bool across);
void store_undeclared(struct input *input, int act, struct seg *s);
void open_pages(struct input *input, int act, struct seg *s);
size_t some_length(struct input *input);

/* ---- Stores ------------------------------------------------------------ */

/* The program's handlers, which pass on to the library what may be its: with
 * VISTA_HOST_FAULTS, and where the library's handlers were there first. */
void take_signals(void);

/* Stores to the segment, as far as it lets it, and to the model. */
void store(struct seg *s, size_t at, size_t length);

/* The two parts of it; the first returns how many bytes there are for the second. */
size_t try_store(const struct seg *s, size_t at, size_t length);
void stored(struct seg *s, size_t at, size_t length);

/* Automatic ranges have so many pages left, if each byte's page is closed. */
bool has_room(const struct seg *s, size_t at, size_t length);

/* No byte of a segment that is watched, or mapped read-only. */
void store_outside(struct input *input, struct seg *s);

/* ---- The heap ---------------------------------------------------------- */

/* In home, or in a segment. */
void allocate(struct input *input, int act, struct seg *in, bool zeroed);
void reallocate(struct input *input, int act);
void release(struct input *input, int act);
void release_wrong(struct input *input, int act, struct seg *s);
void root(struct input *input, struct seg *s);
void walk(struct seg *s);

/* ---- Calls that make no sense ------------------------------------------- */

void call_wrongly(struct input *input, int act, struct seg *s);

/* ---- Refused calls (fuzz_calls.c) -------------------------------------- */

void inject(struct input *input, unsigned also);

#endif
