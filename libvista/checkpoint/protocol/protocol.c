/* SPDX-License-Identifier: BSD-3-Clause
 *
 * When to commit: see protocol.h.
 */
#include "checkpoint/protocol/protocol.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/files/descriptors.h"
#include "checkpoint/files/locks.h"
#include "checkpoint/files/tcp.h"
#include "checkpoint/files/undo.h"
#include "checkpoint/files/zone.h"
#include "checkpoint/kernel/call_results.h"
#include "checkpoint/kernel/children.h"
#include "checkpoint/kernel/guest_process.h"
#include "checkpoint/kernel/handlers.h"
#include "checkpoint/protocol/adaptive.h"
#include "checkpoint/protocol/event_log.h"
#include "checkpoint/protocol/trace.h"
#include "checkpoint/trap/fast.h"

static const struct protocol {
    const char *name;
    enum { NEVER, IF_UNSAVED, ALWAYS } before_visible;
    bool after_undetermined;
    bool logs; /* what can be logged does not count as non-deterministic */
} protocols[] = {
    /* Commit prior to visible or send; after non-deterministic; between the two. */
    [VI_CPVS] = {"cpvs", ALWAYS, false, false},
    [VI_CAND] = {"cand", NEVER, true, false},
    [VI_CBNDVS] = {"cbndvs", IF_UNSAVED, false, false},
    [VI_CAND_LOG] = {"cand-log", NEVER, true, true},
    [VI_CBNDVS_LOG] = {"cbndvs-log", IF_UNSAVED, false, true},
    [VI_PLANS] = {"adaptive", IF_UNSAVED, false, true}, /* one of them at a time */
};
#define PROTOCOLS (sizeof protocols / sizeof *protocols)

#define MOST_LOGGED 4096u        /* bytes that an event wrote */
#define LONGEST_REPLAY 100000000 /* ns that a resumed program takes to be where it was */
#define COMMITS_WORTH 20         /* commits, if they take longer */
#define SAMPLES 16u              /* one of so many traps and entries is timed */

/* Non-deterministic events since the last checkpoint; and in the present call or signal. */
static bool unsaved, present;
static bool deferred; /* the present call, which is to be logged with the signal that ended it */
static struct vi_ended ended_again; /* the signal that ended the present call before a kill */
static bool has_ended;              /* there is one */
static bool counted;                /* the adaptive protocol knows of the present one */
static bool logged;                 /* one was logged since the last visible event or checkpoint */

static bool late; /* nothing is logged */
static struct vi_adaptive adaptive;
static int64_t trap_left;  /* when the guest went on after a trap; 0: this is none to be timed */
static int64_t saved_wall; /* when the last checkpoint was, by a coarse clock; */
static int64_t saved_time; /* in the process's own time; */
static int64_t save_took;  /* and how much of that it took */

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

static bool is_adaptive(void)
{
    return vi_engine.header->protocol == VI_PLANS;
}

static const struct protocol *in_force(void)
{
    return &protocols[vi_engine.header->plan];
}

bool vi_protocol_needs_results(void)
{
    return in_force()->before_visible != ALWAYS;
}

/* ---- The adaptive protocol -------------------------------------------------------- */

/* Not by the C library: it would go to the kernel's pages, whose system calls are the guest's. */
static int64_t now_by(clockid_t clock)
{
    struct timespec now;

    vi_system(SYS_clock_gettime, (uint64_t)clock, (uint64_t)&now, 0, 0, 0, 0);
    return now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Under CPVS there may be events that nothing is known of: only a checkpoint saves them. */
static void follow(bool saved)
{
    const enum vi_plan before = adaptive.plan;

    if (adaptive.wanted == before || (before == VI_CPVS && !saved))
        return;
    vi_adaptive_follow(&adaptive);
    vi_engine.header->plan = adaptive.plan;
    vi_engine.header->choices++;
    if (before == VI_CPVS || adaptive.plan == VI_CPVS)
        vi_fast_choose();
}

void vi_protocol_late(bool is_late)
{
    late = is_late;
}

void vi_protocol_start(void)
{
    vi_adaptive_start(&adaptive, late);
    vi_engine.header->plan = is_adaptive() ? adaptive.plan : vi_engine.header->protocol;
}

void vi_protocol_enter(long number)
{
    if (!is_adaptive() || vi_events_is_replaying())
        return;
    if (trap_left != 0)
        vi_adaptive_trapped(&adaptive, (uint64_t)(now_by(CLOCK_MONOTONIC) - trap_left));
    trap_left = 0;
    vi_adaptive_call(&adaptive, vi_fast_is_possible(number));
    follow(false);
}

static void leave(void)
{
    static unsigned traps;

    if (is_adaptive() && ++traps % SAMPLES == 0)
        trap_left = now_by(CLOCK_MONOTONIC);
}

/* Is there so much behind the last checkpoint that a kill would be noticed? */
static bool is_long_ago(void)
{
    const int64_t most =
        COMMITS_WORTH * save_took > LONGEST_REPLAY ? COMMITS_WORTH * save_took : LONGEST_REPLAY;

    return is_adaptive() && now_by(CLOCK_MONOTONIC_COARSE) - saved_wall > most &&
           now_by(CLOCK_THREAD_CPUTIME_ID) - saved_time > most;
}

static void note_commit(int64_t begun, uint64_t pages)
{
    saved_wall = now_by(CLOCK_MONOTONIC_COARSE);
    saved_time = now_by(CLOCK_THREAD_CPUTIME_ID);
    save_took = saved_time - begun;
    vi_adaptive_untrapped(&adaptive, vi_fast_spared);
    vi_fast_spared = 0;
    if (pages != 0) /* the first, of all there is, is like no other */
        vi_adaptive_committed(&adaptive, (uint64_t)save_took, vi_engine.header->pages - pages);
    follow(true);
}

/* ---- Visible events ------------------------------------------------------------- */

static bool is_birth(const struct vi_call *call)
{
    return call->number == SYS_fork || call->number == SYS_vfork || call->number == SYS_clone;
}

/* Before the checkpoint, if there is one, since of a kill between the two nothing may be sent. */
static void note_position(const struct vi_call *call, uint64_t place)
{
    const struct vi_open_file *file = vi_files_of(call->arguments[0]);
    struct vi_header *header = vi_engine.header;

    header->sent_place = 0;
    if (file != NULL && file->shared)
        header->sent_position = place;
    if (is_birth(call) || (file != NULL && (file->shared || (file->mode == S_IFSOCK &&
                                                             vi_tcp_sent((int)call->arguments[0],
                                                                         &header->sent_position)))))
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
    const struct vi_open_file *file = vi_files_of(call->arguments[0]);
    uint64_t position = vi_engine.header->sent_position;

    if (unsaved || !is_sending())
        return false;
    if (is_birth(call)) /* the supervisor knows whether it was made, */
        return true;
    if (file != NULL && file->shared) /* and what was written */
        position += vi_report->sent_key == position ? vi_report->sent : 0;
    else if (!vi_tcp_sent((int)call->arguments[0], &position))
        return false;
    *part = (long)(position - vi_engine.header->sent_position);
    return true;
}

static bool has_to_commit(const struct vi_call *call)
{
    /* The protocol may be another than when the event was. */
    if (in_force()->before_visible == ALWAYS ||
        (unsaved && (in_force()->before_visible == IF_UNSAVED || is_adaptive())))
        return true;
    /* Of what was opened since the last checkpoint there will be another, which has seen nothing. */
    return vi_files_is_new(call->arguments[0]) || !vi_events_has_room(0) || is_long_ago();
}

static bool prepare(const struct vi_call *call, bool commits, long *result)
{
    *result = 0;
    if (vi_events_is_replaying()) {
        *result = vi_events_replay(call);
        vi_trace_replayed();
        logged = false;
        return false;
    }
    if (is_sent_in_part(call, result))
        return true;
    if (is_adaptive())
        vi_adaptive_visible(&adaptive);
    vi_engine.header->saved += logged && !commits;
    logged = false;
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
    if (is_adaptive() && !counted)
        vi_adaptive_undetermined(&adaptive, false);
    counted = false;
    present = true;
}

static size_t total_of(const struct iovec *parts, int count)
{
    size_t bytes = 0;

    for (int i = 0; i < count; i++)
        bytes += parts[i].iov_len;
    return bytes;
}

/* Behind an event that is not logged nothing is: a resumed guest might not come there. */
static bool may_log(const struct iovec *parts, int count)
{
    const size_t bytes = total_of(parts, count);

    if (late || !in_force()->logs || unsaved || present || count < 0)
        return false;
    return bytes <= MOST_LOGGED && vi_events_has_room(bytes);
}

/* Each would have been committed behind, or the first of them before what is seen next. */
static void note_logged(void)
{
    vi_engine.header->saved += in_force()->after_undetermined;
    logged = !in_force()->after_undetermined;
}

static void append(const struct vi_call *call, long result, const struct iovec *parts, int count)
{
    static unsigned entries;
    const bool timed = is_adaptive() && entries++ % SAMPLES == 0;
    const int64_t begun = timed ? now_by(CLOCK_MONOTONIC) : 0;

    vi_events_append(call, result, parts, count);
    if (timed)
        vi_adaptive_logged(&adaptive, (uint64_t)(now_by(CLOCK_MONOTONIC) - begun));
    note_logged();
}

bool vi_protocol_log(const struct vi_call *call, long result)
{
    struct iovec parts[VI_RESULTS];
    int count = vi_results_of(call, result, parts);

    if (call->number == SYS_read && result > 0 && vi_zone_has(vi_files_group(call->arguments[0])))
        count = 0; /* the bytes have landed */
    if (is_adaptive())
        vi_adaptive_undetermined(&adaptive, count >= 0 && total_of(parts, count) <= MOST_LOGGED);
    counted = !may_log(parts, count);
    if (!counted)
        append(call, result, parts, count);
    return !counted;
}

bool vi_protocol_defers(long result)
{
    deferred = (result == VI_INTERRUPTED || result == -EINTR) && !present &&
               (in_force()->logs || is_adaptive());
    return deferred;
}

/* After a kill these come again by themselves: from the timer that the checkpoint has set to fire once, and
 * from the supervisor. */
static bool comes_again(const siginfo_t *info)
{
    const struct timeval *interval = &vi_engine.control->timer.it_interval;

    if (info->si_code <= 0)
        return info->si_pid == getppid();
    return info->si_signo == SIGALRM && (interval->tv_sec | interval->tv_usec) == 0;
}

bool vi_protocol_log_signal(const struct vi_call *call, long result, const struct vi_ended *ended)
{
    struct iovec parts[2] = {{(void *)ended, sizeof *ended}};
    const bool was_deferred = deferred;
    int count;

    deferred = false;
    if (!was_deferred)
        return false;
    count = comes_again(&ended->info) ? -1 : 1 + vi_results_of_ended(call, parts + 1);
    if (is_adaptive())
        vi_adaptive_undetermined(&adaptive, count >= 0);
    counted = !may_log(parts, count);
    vi_trace_after(call, result, !counted);
    if (!counted) {
        vi_events_append_ended(call, result, parts, count);
        note_logged();
    }
    return !counted;
}

void vi_protocol_not_logged(const struct vi_call *call, long result)
{
    if (!deferred)
        return;
    deferred = false;
    vi_trace_after(call, result, false);
    vi_protocol_undetermined("a call that was interrupted");
}

bool vi_protocol_ended_again(struct vi_ended *ended)
{
    const bool has = has_ended;

    has_ended = false;
    *ended = ended_again;
    return has;
}

static void replay_ended(const struct vi_call *call)
{
    struct iovec parts[2] = {{&ended_again, sizeof ended_again}};

    vi_events_write(parts, 1 + vi_results_of_ended(call, parts + 1));
    has_ended = true;
}

bool vi_protocol_replay(struct vi_call *call, long *result)
{
    struct iovec parts[VI_RESULTS];
    bool ended;

    if (!vi_events_is_replaying() || !protocols[vi_engine.header->protocol].logs)
        return false;
    logged = !in_force()->after_undetermined;
    ended = vi_events_is_ended();
    *result = vi_events_replay(call);
    if (ended) {
        replay_ended(call);
    } else if (call->number == SYS_read && *result > 0) { /* no more than then */
        call->arguments[2] = (uint64_t)*result;
        *result = vi_call_read(call);
        vi_trace_after(call, *result, true); /* what it received it depends on again */
    } else {
        vi_events_write(parts, vi_results_of(call, *result, parts));
    }
    vi_trace_replayed();
    return true;
}

void vi_protocol_settle(const ucontext_t *context)
{
    if (present) {
        present = false;
        unsaved = true;
        if (in_force()->after_undetermined)
            vi_trap_commit_here(context);
    }
    leave();
}

/* ---- Commits ----------------------------------------------------------------------- */

void vi_protocol_commit(const struct vi_frame *frame)
{
    const int64_t begun = is_adaptive() ? now_by(CLOCK_THREAD_CPUTIME_ID) : 0;
    const uint64_t pages = vi_engine.header->pages;

    vi_locks_gather();
    vi_files_gather();
    vi_process_gather();
    /* A send that is to be made again is so from this checkpoint, too. */
    vi_engine_commit(frame,
                     is_sending() ? vi_events_place_behind_commit() : vi_engine.header->sent_place);
    vi_events_committed();
    unsaved = logged = false;
    vi_undo_committed();
    vi_files_settle();
    vi_children_settle();
    vi_trace_commit();
    if (is_adaptive())
        note_commit(begun, pages);
}

void vi_protocol_resumed(void)
{
    struct vi_header *header = vi_engine.header;

    vi_protocol_start();
    vi_events_resumed();
    /* The checkpoint that was to be made before it is not there, and the next one may have another reason. */
    if (header->sent_place == vi_events_place_behind_commit())
        header->sent_place = 0;
    vi_trace_resumed();
}
