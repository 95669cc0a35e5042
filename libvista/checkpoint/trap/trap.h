/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The trap: between the guest and the runtime.
 *
 * Every system call of the guest is a SIGSYS (PR_SET_SYSCALL_USER_DISPATCH), which the runtime
 * handles on a stack of its own with all signals blocked.  The FS register is swapped at entry
 * and exit, so that each side has its thread-local storage.
 */
#ifndef VI_CHECKPOINT_TRAP_H
#define VI_CHECKPOINT_TRAP_H

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#include "checkpoint/engine/layout.h"

/* A system call of the guest. */
struct vi_call {
    long number;
    uint64_t arguments[6];
    ucontext_t *context;
};

/* The guest's mask of signals. */
static inline uint64_t *vi_trap_mask(ucontext_t *context)
{
    return (uint64_t *)&context->uc_sigmask;
}

/* Results that are not the guest's. */
#define VI_NO_RESULT LONG_MIN  /* the registers are as they have to be */
#define VI_INTERRUPTED (-512L) /* EINTR, or the call again, as the signal's action says */

/* A system call of the runtime's own: a result, or minus an errno. */
long vi_system(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);
/* The guest's call, as it is. */
long vi_pass(struct vi_call *call);

/* The handler of all signals, in assembly. */
void vi_trap_entry(int number, siginfo_t *info, void *context);
/* Enters the guest with the state of `frame`; from then on system calls are trapped. */
_Noreturn void vi_trap_enter(const struct vi_frame *frame);
/* An initial state: everything zero but these. */
void vi_trap_fresh(struct vi_frame *frame, uint64_t entry, uint64_t stack);

/* The guest goes on as `with` says, and this is committed. */
void vi_trap_replace(ucontext_t *context, const struct vi_frame *with);

/* Commits with the guest about to make `call`. */
void vi_trap_commit(const struct vi_call *call);
/* Commits with the guest behind `call`, which gave `result`. */
void vi_trap_commit_behind(const struct vi_call *call, long result);
/* Commits with the guest where it was interrupted. */
void vi_trap_commit_here(const ucontext_t *context);

/* Is it the call that the last checkpoint was made before, and that a resumed guest makes again? */
bool vi_trap_is_first(void);
bool vi_trap_in_runtime(const ucontext_t *context);

extern uint64_t vi_guest_fs;
extern uint64_t vi_runtime_fs;

#endif
