/* SPDX-License-Identifier: BSD-3-Clause
 *
 * When to commit.  A protocol (Lowell, Chandra and Chen, "Exploring Failure Transparency and the Limits
 * of Generic Recovery", OSDI 2000) is an answer to three questions: commit before a visible
 * event?  After a non-deterministic one?  Log that instead?  The adaptive one gives, at each
 * time, the answers of the one that is cheapest by what it has measured (adaptive.h).
 *
 * The result of a visible event is in the event log when the event has been made, outside of any
 * checkpoint.  A process that is resumed and comes to the event finds it made, unless the kill came
 * between the two; then the event is repeated, which failure transparency allows.
 */
#ifndef VI_CHECKPOINT_PROTOCOL_H
#define VI_CHECKPOINT_PROTOCOL_H

#include "checkpoint/trap/trap.h"

/* The protocols by name and by number; -1, NULL: there is none. */
int vi_protocol_number(const char *name);
const char *vi_protocol_name(uint64_t number);

/* Commit as late as may be, so that fewer of the program's own errors are committed or replayed: nothing
 * is logged, and the adaptive protocol chooses among those that commit before visible events.  To be
 * said before the run starts or goes on. */
void vi_protocol_late(bool is_late);
/* A run begins, of the protocol that the header names. */
void vi_protocol_start(void);
/* The guest was trapped with this call. */
void vi_protocol_enter(long number);

/* Has the protocol that is in force to know of each non-deterministic event? */
bool vi_protocol_needs_results(void);

/* Before a visible event that is output and nothing else, and before any other.  Commits if the protocol
 * says so, and before the others in any case, since they change what a checkpoint holds of
 * descriptors.  False: the event was made before a kill, with `result`.  True: it is to be made, all
 * but the first `result` bytes of a send, which the kernel took before a kill. */
bool vi_protocol_output(const struct vi_call *call, long *result);
bool vi_protocol_visible(const struct vi_call *call, long *result);
/* Is the guest doing again what it did before a kill, or sending?  No signal comes before that is over. */
bool vi_protocol_is_repeating(void);
/* A call is left without having done anything, since a signal has come. */
void vi_protocol_interrupted(void);
/* The visible event of `bytes` was made. */
void vi_protocol_done(const struct vi_call *call, long result, const void *bytes);

/* Something was told to the guest that may be told otherwise the next time; `what` in words.  The call
 * or signal has to end with settling, with the guest as it goes on. */
void vi_protocol_undetermined(const char *what);
void vi_protocol_settle(const ucontext_t *context);
/* Logs what a call gave, if the protocol logs it: it is deterministic then. */
bool vi_protocol_log(const struct vi_call *call, long result);
/* A signal that has ended a call; with another mask than the guest's, if the call waited so. */
struct vi_ended {
    siginfo_t info;
    uint64_t mask;
    uint64_t has_mask;
};

/* Was it such a call, which is logged with its signal if at all?  One of the next two has to follow. */
bool vi_protocol_defers(long result);
/* Logs both, if the protocol logs them.  False: it does not, and the signal is non-deterministic. */
bool vi_protocol_log_signal(const struct vi_call *call, long result, const struct vi_ended *ended);
/* The call ends without a signal, if it was one. */
void vi_protocol_not_logged(const struct vi_call *call, long result);
/* Is a signal to be given the guest again behind this call?  Which one? */
bool vi_protocol_ended_again(struct vi_ended *ended);

/* Gives the guest again what is logged of the call, which is not made.  False: it is to be made. */
bool vi_protocol_replay(struct vi_call *call, long *result);

/* A checkpoint with all that belongs to it. */
void vi_protocol_commit(const struct vi_frame *frame);

/* Resumed from the last checkpoint. */
void vi_protocol_resumed(void);

#endif
