/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The trace of a run (vista-run --trace FILE): what it did, for a checker of the protocol and for
 * tests.  It is mapped, so that it outlives kills, and never rolled back.
 */
#ifndef VI_CHECKPOINT_TRACE_H
#define VI_CHECKPOINT_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "checkpoint/trap/trap.h"

enum vi_trace_kind {
    VI_TRACE_NONE,    /* behind the last record */
    VI_TRACE_START,   /* a run begins */
    VI_TRACE_COMMIT,  /* message: the checkpoint's number */
    VI_TRACE_VISIBLE, /* message: a hash of the bytes */
    VI_TRACE_RECEIVE, /* any other call: non-deterministic unless its class says otherwise */
    VI_TRACE_RESUME   /* message: the number of the checkpoint that it goes on from */
};

/* 32 bytes. */
struct vi_trace_record {
    uint32_t sequence;
    uint16_t kind;
    uint16_t number; /* of the system call */
    uint32_t vpid;
    uint32_t descriptor; /* its first argument */
    uint64_t message;
    int64_t result;
};

bool vi_trace_open(const char *path);
void vi_trace_start(void);
void vi_trace_resumed(void);
void vi_trace_commit(void);
void vi_trace_visible(const struct vi_call *call, long result, const void *bytes);
void vi_trace_call(const struct vi_call *call, long result);

#endif
