/* SPDX-License-Identifier: BSD-3-Clause
 *
 * When to commit: see protocol.h.
 */
#include "checkpoint/protocol/protocol.h"

#include <sys/stat.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/files/descriptors.h"
#include "checkpoint/files/tcp.h"
#include "checkpoint/files/undo.h"
#include "checkpoint/kernel/guest_process.h"
#include "checkpoint/protocol/trace.h"

/* Before the checkpoint, since of a kill between the two nothing may be sent. */
static void note_position(const struct vi_call *call)
{
    const struct vi_open_file *file = vi_files_of(call->arguments[0]);
    struct vi_header *header = vi_engine.header;

    header->sent_commit = 0;
    if (file != NULL && file->mode == S_IFSOCK &&
        vi_tcp_sent((int)call->arguments[0], &header->sent_position))
        header->sent_commit = header->commits + 1;
}

bool vi_protocol_visible(const struct vi_call *call, long *result)
{
    const struct vi_header *header = vi_engine.header;
    uint64_t position;

    *result = 0;
    if (vi_trap_is_first() && header->done_commit == header->commits) {
        *result = header->done_result;
        vi_trace_replayed();
        return false;
    }
    if (vi_trap_is_first() && header->sent_commit == header->commits &&
        vi_tcp_sent((int)call->arguments[0], &position)) {
        *result = (long)(position - header->sent_position);
        return true;
    }
    note_position(call);
    vi_trap_commit(call);
    return true;
}

void vi_protocol_done(const struct vi_call *call, long result, const void *bytes)
{
    struct vi_header *header = vi_engine.header;

    vi_trace_visible(call, result, bytes); /* first, since an event that is noted is not repeated */
    header->done_result = result;
    __asm__ volatile("" ::: "memory");
    header->done_commit = header->commits;
}

void vi_protocol_commit(const struct vi_frame *frame)
{
    vi_files_gather();
    vi_process_gather();
    vi_engine_commit(frame);
    vi_undo_committed();
    vi_files_settle();
    vi_trace_commit();
}

void vi_protocol_resumed(void)
{
    vi_trace_resumed();
}
