/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The checker's own table of system calls: what a call means for failure transparency.  It is no
 * copy of vista-run's table, and written from the manual of Linux, so that a call that vista-run
 * takes for what it is not is found.
 */
#ifndef VI_TRACE_CALLS_H
#define VI_TRACE_CALLS_H

#include "trace/trace_format.h"

/* Of a call with that result, on what its descriptor leads to. */
enum vi_meaning {
    VI_MEANS_NOTHING, /* made again from the same state it gives the same, and no one sees it */
    VI_MEANS_UNDETERMINED,
    VI_MEANS_VISIBLE
};

enum vi_meaning vi_trace_meaning(const struct vi_trace_record *record);

/* NULL: it is not known, and so undetermined. */
const char *vi_trace_call_name(unsigned number);
const char *vi_trace_object_name(unsigned object);

#endif
