/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The trace of a run, as vista-run writes it (--trace FILE) and vista-trace reads it: an array of
 * records in the order in which the process did what they tell, up to the first of kind NONE.
 *
 * The writer tells what was done and to what kind of object, and not what that means: whether an
 * event is visible or non-deterministic is for the reader to say, by a table of its own.
 */
#ifndef VI_TRACE_FORMAT_H
#define VI_TRACE_FORMAT_H

#include <stdint.h>

enum vi_trace_kind {
    VI_TRACE_NONE,    /* behind the last record */
    VI_TRACE_START,   /* a run begins */
    VI_TRACE_COMMIT,  /* message: the checkpoint's number; number: of the protocol by which it was
                       * made; result: how many commits logging has saved so far */
    VI_TRACE_VISIBLE, /* a call that the runtime took for visible; message: a hash of the bytes */
    VI_TRACE_CALL,    /* any other call */
    VI_TRACE_RESUME,  /* message: the number of the checkpoint that the run goes on from */
    VI_TRACE_SIGNAL,  /* number: of a signal whose handler begins to run */
    VI_TRACE_TO,      /* the next record sends on channel `message`, up to position `result` */
    VI_TRACE_FROM     /* the next record receives from channel `message`, up to there */
};

/* What a descriptor leads to. */
enum vi_trace_object {
    VI_TRACE_NOTHING, /* there is none */
    VI_TRACE_OWN,    /* a file or folder that the program opened: undone, and so read alike again */
    VI_TRACE_OUTPUT, /* a file of whoever started the run: never undone */
    VI_TRACE_OUTSIDE, /* a file that the kernel makes up, as in /proc */
    VI_TRACE_TERMINAL,
    VI_TRACE_DEVICE,
    VI_TRACE_PIPE,
    VI_TRACE_SOCKET,
    VI_TRACE_OTHER /* timers, epoll sets and the like */
};

/* The result is in the checkpoint file: the call made again gives the same. */
#define VI_TRACE_LOGGED 1u

struct vi_trace_record {
    uint32_t sequence;
    uint16_t kind;
    uint16_t number; /* of the system call */
    uint32_t vpid;
    uint16_t descriptor;
    uint8_t object;
    uint8_t flags;
    uint64_t message;
    int64_t result;
};
_Static_assert(sizeof(struct vi_trace_record) == 32, "a record has 32 bytes");

#endif
