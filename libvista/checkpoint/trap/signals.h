/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Signals of the guest.  The kernel's handlers are the runtime's; it builds the guest's frames and
 * takes them down.  A signal that comes while the runtime waits for the guest is kept until the
 * call is over.
 */
#ifndef VI_CHECKPOINT_SIGNALS_H
#define VI_CHECKPOINT_SIGNALS_H

#include "checkpoint/trap/trap.h"

/* Installs the handlers that the control state asks for, and the runtime's own. */
void vi_signals_start(void);
/* Resumed from a checkpoint, of which nothing was changed yet. */
void vi_signals_resumed(void);
/* The program is replaced: of its handlers none is left, nor its stack for them. */
void vi_signals_replaced(void);
/* Just before the guest goes on for the first time. */
void vi_signals_entered(ucontext_t *context);
/* Behind a call that was made without the trap: does what came meanwhile. */
void vi_signals_back(ucontext_t *context);
/* A signal has come; returns the FS to go on with. */
uint64_t vi_signals_arrive(int number, siginfo_t *info, ucontext_t *context, uint64_t fs);
/* Ends a call: its result, and the frame of a signal that is pending. */
void vi_signals_deliver(struct vi_call *call, long result);
/* Makes the interval's checkpoint if one is due. */
void vi_signals_tick(struct vi_call *call);
void vi_signals_every(unsigned milliseconds);
/* The program wants another interval, from now on and after each kill. */
void vi_signals_restart(uint64_t milliseconds);

/* Ends a call that a signal has interrupted and that is never made again by itself; `mask` is
 * what it waited with, or NULL. */
long vi_signals_interrupt(struct vi_call *call, const uint64_t *mask);
/* Those that the guest has handlers for, but what is the runtime's own. */
extern uint64_t vi_signals_handled;
/* Is one kept that this mask lets through? */
bool vi_signals_kept(uint64_t mask);
/* The mask that the kernel is to wait with, of which the runtime needs its own signals open. */
uint64_t vi_signals_open(uint64_t mask);
/* A signal that the runtime itself gives the guest. */
void vi_signals_raise(int number);

#endif
