/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Calls without the trap.  A signal for each system call costs microseconds.  Where the guest has been
 * trapped twice, the 5 bytes before the instruction SYSCALL become a jump to a stub, and that leads to
 * the runtime.  Most calls that are passed on as they are need no frame; for the others one is made
 * without a signal (frame.h).
 *
 *     libc:  mov $102, %eax  ->  jmp stub     stub:  mov $102, %eax        (what stood there)
 *            syscall                                  lea (behind), %rcx   (as SYSCALL does)
 *     behind:                                         jmp *entry
 *
 * In read(2), whose number is loaded by 2 bytes, it is the comparison before that.  SYSCALL stays, so that
 * all that knows its address finds it.  Stubs are made anew in each process, at the same addresses, from a list in
 * the control state.  Signals are not blocked in a stub: one that comes is kept, and the way back leads
 * through a stub that traps, where it is delivered.
 */
#ifndef VI_CHECKPOINT_FAST_H
#define VI_CHECKPOINT_FAST_H

#include <stdbool.h>
#include <ucontext.h>

#include "checkpoint/kernel/table.h"

/* The vector registers are the guest's, too, and what runs without a frame may not use them. */
#define VI_QUICK __attribute__((target("general-regs-only")))

/* Where the present call goes back to behind its SYSCALL, and the guest's stack. */
extern uint64_t vi_fast_site, vi_fast_sp;
/* How many went without the trap that other protocols have to see; those of the process's state go so
 * under each. */
extern uint64_t vi_fast_spared;
/* A system call of the runtime's own. */
long vi_fast_pass(long number, const uint64_t *arguments);

/* Only then, and not of a run that is traced, in which each call has to be seen. */
void vi_fast_allow(bool traced);
/* Makes the stubs of what was committed. */
void vi_fast_start(void);

/* The program is replaced, and with it the places that lead to them. */
void vi_fast_forget(void);

/* Which calls do without the trap: another protocol is in force. */
void vi_fast_choose(void);
/* Is it one that would, on whatever, under a protocol that need not see it? */
bool vi_fast_is_possible(long number);

/* The guest was trapped with this call. */
void vi_fast_learn(const ucontext_t *context, long number);

/* A signal has come.  True: the guest was about to enter or to leave, and is now where it is itself;
 * the trap there may have been to deliver what was kept. */
bool vi_fast_step_out(ucontext_t *context);
/* It was kept: if it came in the middle of a call, that ends in the trap. */
void vi_fast_redirect(const ucontext_t *context);
/* Is it this trap?  Then the guest is behind the call that it made. */
bool vi_fast_is_back(ucontext_t *context);

#endif
