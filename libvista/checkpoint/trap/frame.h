/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Frames without a signal.  A call that came by a stub (fast.h), and that the runtime has to handle as one
 * that was trapped, needs what the kernel's frame of SIGSYS has: the registers, the state of the
 * processor, the mask of signals.  It is made here, and the guest goes on by rt_sigreturn as behind a
 * trap; what is saved is the signal, which is most of a trap's time.
 */
#ifndef VI_CHECKPOINT_FRAME_H
#define VI_CHECKPOINT_FRAME_H

#include <stdint.h>
#include <ucontext.h>

/* Frames are as this one of the kernel's, and their calls handled on the stack that ends at `stack`. */
void vi_frame_start(const ucontext_t *context, uint64_t stack);
/* The size of the processor's state in a frame. */
uint32_t vi_frame_state_size(const unsigned char *fp);

/* Where a stub's call goes, with the runtime's saved registers on the stack: see fast.c. */
extern const char vi_frame_enter[];

#endif
