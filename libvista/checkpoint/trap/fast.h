/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Calls without the trap.  A signal for each system call costs microseconds, most of them for the
 * frame.  Where the guest has been trapped once, and the call can do without a frame, the 5 bytes
 * before the instruction SYSCALL become a jump to a stub, and that leads to the runtime.
 *
 *     libc:  mov $102, %eax  ->  jmp stub     stub:  mov $102, %eax        (what stood there)
 *            syscall                                  lea (behind), %rcx   (as SYSCALL does)
 *     behind:                                         jmp *entry
 *
 * SYSCALL stays, so that all that knows its address finds it, and the trap is where a call goes that
 * turns out to need it.  Stubs are made anew in each process, at the same addresses, from a list in
 * the control state.  Signals are not blocked in a stub: one that comes is kept, and the way back leads
 * through a stub that traps, where it is delivered.
 */
#ifndef VI_CHECKPOINT_FAST_H
#define VI_CHECKPOINT_FAST_H

#include <stdbool.h>
#include <ucontext.h>

#include "checkpoint/kernel/table.h"

/* Only then, and not of a run that is traced, in which each call has to be seen. */
void vi_fast_allow(bool traced);
/* Makes the stubs of what was committed. */
void vi_fast_start(void);

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
