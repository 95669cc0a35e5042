/* SPDX-License-Identifier: BSD-3-Clause
 *
 * From traces to a history: the events of one or many processes, and the messages between them.
 */
#ifndef VI_TRACE_READER_H
#define VI_TRACE_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "trace/save_work.h"
#include "trace/trace_format.h"

/* What an event was made of. */
struct vi_origin {
    struct vi_trace_record record;
    const char *file;
};

struct vi_process_name {
    const char *file;
    uint32_t vpid;
};

struct vi_traces {
    struct vi_history history;
    struct vi_origin *origins;          /* of the events */
    struct vi_process_name *names;      /* of the processes */
    struct vi_segment *sent, *received; /* parts of channels */
    size_t sent_count, received_count;
};

/* Adds a file's events: NULL, or why it is none.  The name has to stay. */
const char *vi_traces_read(struct vi_traces *traces, const char *file);
/* Behind the last file: finds who received what was sent by whom.  False: no memory. */
bool vi_traces_join(struct vi_traces *traces);
void vi_traces_free(struct vi_traces *traces);

/* Says what an event was, as in "read of a terminal (descriptor 0)". */
void vi_traces_describe(const struct vi_traces *traces, uint32_t event, char *text, size_t size);

#endif
