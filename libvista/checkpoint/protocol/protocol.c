/* SPDX-License-Identifier: BSD-3-Clause
 *
 * When to commit: see protocol.h.
 */
#include "checkpoint/protocol/protocol.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/files/descriptors.h"
#include "checkpoint/files/locks.h"
#include "checkpoint/files/tcp.h"
#include "checkpoint/files/undo.h"
#include "checkpoint/files/zone.h"
#include "checkpoint/kernel/call_results.h"
#include "checkpoint/kernel/guest_process.h"
#include "checkpoint/kernel/handlers.h"
#include "checkpoint/protocol/event_log.h"
#include "checkpoint/protocol/trace.h"

static const struct {
    const char *name;
    enum { NEVER, IF_UNSAVED, ALWAYS } before_visible;
    bool after_undetermined;
    bool logs; /* what can be logged does not count as non-deterministic */
} protocols[] = {
    {"cpvs", ALWAYS, false, false},       /* commit prior to visible or send */
    {"cand", NEVER, true, false},         /* commit after non-deterministic */
    {"cbndvs", IF_UNSAVED, false, false}, /* commit between non-deterministic and visible or send */
    {"cand-log", NEVER, true, true},      {"cbndvs-log", IF_UNSAVED, false, true},
};
#define PROTOCOLS (sizeof protocols / sizeof *protocols)

#define MOST_LOGGED 4096u /* bytes that an event wrote */

/* Non-deterministic events since the last checkpoint; and in the present call or signal. */
static bool unsaved, present;

int vi_protocol_number(const char *name)
{
    for (int i = 0; i < (int)PROTOCOLS; i++)
        if (strcmp(protocols[i].name, name) == 0)
            return i;
    return -1;
}

const char *vi_protocol_name(uint64_t number)
{
    return number < PROTOCOLS ? protocols[number].name : NULL;
}

bool vi_protocol_needs_results(void)
{
    return protocols[vi_engine.header->protocol].before_visible != ALWAYS;
}

/* ---- Visible events ------------------------------------------------------------- */

/* Before the checkpoint, if there is one, since of a kill between the two nothing may be sent. */
static void note_position(const struct vi_call *call, uint64_t place)
{
    const struct vi_open_file *file = vi_files_of(call->arguments[0]);
    struct vi_header *header = vi_engine.header;

    header->sent_place = 0;
    if (file != NULL && file->mode == S_IFSOCK &&
        vi_tcp_sent((int)call->arguments[0], &header->sent_position))
        header->sent_place = place;
}

/* Is a send being made, or to be made again? */
static bool is_sending(void)
{
    return vi_engine.header->sent_place != 0 && vi_engine.header->sent_place == vi_events_place();
}

bool vi_protocol_is_repeating(void)
{
    return vi_events_is_replaying() || is_sending();
}

void vi_protocol_interrupted(void)
{
    vi_engine.header->sent_place = 0;
}

/* No handler of the guest has run since the checkpoint: signals are held. */
static bool is_sent_in_part(const struct vi_call *call, long *part)
{
    uint64_t position;

    if (unsaved || !is_sending() || !vi_tcp_sent((int)call->arguments[0], &position))
        return false;
    *part = (long)(position - vi_engine.header->sent_position);
    return true;
}

static bool has_to_commit(const struct vi_call *call)
{
    switch (protocols[vi_engine.header->protocol].before_visible) {
    case ALWAYS:
        return true;
    case IF_UNSAVED:
        if (unsaved)
            return true;
        break;
    default:
        break;
    }
    /* Of what was opened since the last checkpoint there will be another, which has seen nothing. */
    return vi_files_is_new(call->arguments[0]) || !vi_events_has_room(0);
}

static bool prepare(const struct vi_call *call, bool commits, long *result)
{
    *result = 0;
    if (vi_events_is_replaying()) {
        *result = vi_events_replay(call);
        vi_trace_replayed();
        return false;
    }
    if (is_sent_in_part(call, result))
        return true;
    if (commits) {
        note_position(call, vi_events_place_behind_commit());
        vi_trap_commit(call);
    } else {
        note_position(call, vi_events_place());
    }
    return true;
}

bool vi_protocol_output(const struct vi_call *call, long *result)
{
    return prepare(call, has_to_commit(call), result);
}

bool vi_protocol_visible(const struct vi_call *call, long *result)
{
    return prepare(call, true, result);
}

void vi_protocol_done(const struct vi_call *call, long result, const void *bytes)
{
    vi_trace_visible(call, result,
                     bytes); /* first, since an event that is logged is not repeated */
    vi_events_append(call, result, NULL, 0);
}

/* ---- Non-deterministic events ----------------------------------------------------- */

void vi_protocol_undetermined(const char *what)
{
    if (vi_events_is_replaying())
        vi_events_refuse(what);
    present = true;
}

/* Behind an event that is not logged nothing is: a resumed guest might not come there. */
static bool may_log(const struct iovec *parts, int count)
{
    size_t bytes = 0;

    if (!protocols[vi_engine.header->protocol].logs || unsaved || present || count < 0)
        return false;
    for (int i = 0; i < count; i++)
        bytes += parts[i].iov_len;
    return bytes <= MOST_LOGGED && vi_events_has_room(bytes);
}

bool vi_protocol_log(const struct vi_call *call, long result)
{
    struct iovec parts[VI_RESULTS];
    int count = vi_results_of(call, result, parts);

    if (call->number == SYS_read && result > 0 && vi_zone_has(vi_files_group(call->arguments[0])))
        count = 0; /* the bytes have landed */
    if (!may_log(parts, count))
        return false;
    vi_events_append(call, result, parts, count);
    return true;
}

bool vi_protocol_replay(struct vi_call *call, long *result)
{
    struct iovec parts[VI_RESULTS];

    if (!vi_events_is_replaying() || !protocols[vi_engine.header->protocol].logs)
        return false;
    *result = vi_events_replay(call);
    if (call->number == SYS_read && *result > 0) { /* no more than then */
        call->arguments[2] = (uint64_t)*result;
        *result = vi_call_read(call);
    } else {
        vi_events_write(parts, vi_results_of(call, *result, parts));
    }
    vi_trace_replayed();
    return true;
}

void vi_protocol_settle(const ucontext_t *context)
{
    if (!present)
        return;
    present = false;
    unsaved = true;
    if (protocols[vi_engine.header->protocol].after_undetermined)
        vi_trap_commit_here(context);
}

/* ---- Commits ----------------------------------------------------------------------- */

void vi_protocol_commit(const struct vi_frame *frame)
{
    vi_locks_gather();
    vi_files_gather();
    vi_process_gather();
    /* A send that is to be made again is so from this checkpoint, too. */
    vi_engine_commit(frame,
                     is_sending() ? vi_events_place_behind_commit() : vi_engine.header->sent_place);
    vi_events_committed();
    unsaved = false;
    vi_undo_committed();
    vi_files_settle();
    vi_trace_commit();
}

void vi_protocol_resumed(void)
{
    vi_events_resumed();
    vi_trace_resumed();
}
