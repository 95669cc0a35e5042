/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Writes the trace of a run (vista-run --trace FILE): what it did, for vista-trace, which checks the
 * protocol, and for tests.  It is mapped, so that it outlives kills, and never rolled back.
 */
#ifndef VI_CHECKPOINT_TRACE_H
#define VI_CHECKPOINT_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "checkpoint/trap/trap.h"
#include "trace/trace_format.h"

bool vi_trace_open(const char *path);
void vi_trace_start(void);
void vi_trace_resumed(void);
/* What is open is about to be a child's, too. */
void vi_trace_forks(void);
void vi_trace_commit(void);
/* A signal's handler is about to run. */
void vi_trace_signal(int number, bool logged);

/* Around each call: what its descriptor, if it has one, leads to is looked at before. */
void vi_trace_before(const struct vi_call *call, bool descriptor);
/* It was a visible event, whose result is noted; `bytes` may be NULL. */
void vi_trace_visible(const struct vi_call *call, long result, const void *bytes);
/* It was made before a kill, and is not made now. */
void vi_trace_replayed(void);
void vi_trace_after(const struct vi_call *call, long result, bool logged);

#endif
