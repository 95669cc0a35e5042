/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A heap in recoverable memory.  Link with -lrds -lseg -lrvm.
 *
 * A process has one heap.  It lies in a segment of two regions: the heap, and behind it the program's
 * *static* region, in which it finds its structures again.  Calls set *err, to SUCCESS, to one of the
 * negative codes below, or to a code of RVM's, and return 0, or -1 when *err is none of success.
 *
 * With a `tid` a call is a part of that transaction; with NULL it is one of its own, not flushed.  A call that
 * fails may have changed a part of what it was to change: a transaction of the program's must be aborted then, and so
 * has to be one that restores.
 * Transactions are not isolated: while one that has allocated or freed is open, no other may do so, unless none
 * of them is ever aborted and all end before the process does.  The calls themselves may be made by any thread.
 */
#ifndef RVM_RDS_H
#define RVM_RDS_H

#include <rvm/rvm.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SUCCESS 0
#define ERVM_FAILED (-1)        /* memory could not be had, or RVM failed */
#define EBAD_LIST (-2)          /* a free list is damaged */
#define EBAD_SEGMENT_HDR (-3)   /* the segment is no heap's */
#define EHEAP_VERSION_SKEW (-4) /* another version's heap */
#define EHEAP_INIT (-5)         /* the heap has been started already, or not yet */
#define EBAD_ARGS (-6)          /* the arguments cannot be */
#define ECORRUPT (-7)           /* a block is damaged: its program has stored behind its end */
#define EFREED_TWICE (-8)       /* the block is free */
#define ENO_ROOM (-9)           /* the heap is full */

#define RDS_CHUNK_SIZE 32 /* a usual chunk */
#define RDS_NLISTS 100    /* and number of lists */

/* ---- Making and loading -------------------------------------------------- */

/* Makes a segment with an empty heap of `heap_length` bytes at `start`, and behind it a static
 * region of `static_length` bytes of zeros, all multiples of the page size.  Blocks are multiples of `chunk_size`
 * bytes, itself a multiple of 8, at least 16; there are `nlists` lists of free blocks by size, at least 1.  The heap
 * is loaded on return, but not started: rds_start_heap does that. */
int rds_zap_heap(char *dev_name, rvm_offset_t dev_length, char *start, rvm_length_t static_length,
                 rvm_length_t heap_length, unsigned long nlists, unsigned long chunk_size,
                 int *err);

/* Makes an empty heap in mapped memory. */
int rds_init_heap(char *base, rvm_length_t length, unsigned long chunk_size, unsigned long nlists,
                  rvm_tid_t *tid, int *err);

/* Maps a heap's segment and starts the heap; *static_addr becomes the address of its static region. */
int rds_load_heap(char *dev_name, rvm_offset_t dev_length, char **static_addr, int *err);
/* Stops it and unmaps its segment. */
int rds_unload_heap(int *err);

/* Begins to use a heap that is mapped. */
int rds_start_heap(char *start, int *err);
/* Returns -1 in any case; *err says whether it was started. */
int rds_stop_heap(int *err);

/* ---- Blocks -------------------------------------------------------------- */

/* A block of `size` bytes, whose contents are not defined, at a multiple of 8; NULL: *err says why. */
char *rds_malloc(rvm_length_t size, rvm_tid_t *tid, int *err);
int rds_free(char *address, rvm_tid_t *tid, int *err);

/* Cuts `count` free blocks for objects of `size` bytes out of larger ones. */
int rds_prealloc(rvm_length_t size, rvm_length_t count, rvm_tid_t *tid, int *err);

/* Is there a free block for `size` bytes?  1, or 0. */
int rds_maxblock(rvm_length_t size);

/* Blocks that are to be freed once a transaction has committed.  All zero: none. */
typedef struct {
    unsigned long size;  /* of the table, in entries */
    unsigned long count; /* of blocks in it */
    char **table;        /* by malloc */
} intentList_t;

/* Notes that a block is to be freed.  0, or the code. */
int rds_fake_free(char *address, intentList_t *list);
/* Frees them, in a transaction that ends in this mode, and empties the list.  0, or the code. */
int rds_do_free(intentList_t *list, rvm_mode_t mode);

/* ---- Looking ------------------------------------------------------------- */

typedef struct {
    unsigned long malloc, prealloc, free; /* calls since the heap was started */
    unsigned long coalesce;               /* of free: neighbours that were joined */
    unsigned long hits,
        misses; /* of malloc: a block of that size was free; a larger one was split */
    unsigned long freebytes, mallocbytes; /* in the heap now, with what is around the blocks */
} rds_stats_t;

int rds_get_stats(rds_stats_t *stats);
int rds_print_stats(void); /* on stdout */
int rds_print_heap(void);  /* a line for each block; -1: one of them is damaged */

/* From now on each call prints a line on this stream. */
int rds_trace_on(FILE *stream);
int rds_trace_off(void);

#ifdef __cplusplus
}
#endif

#endif
