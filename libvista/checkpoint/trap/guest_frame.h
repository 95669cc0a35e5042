/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Frames of the guest's signal handlers, as the kernel lays them on a stack; rt_sigreturn takes them down.
 */
#ifndef VI_CHECKPOINT_GUEST_FRAME_H
#define VI_CHECKPOINT_GUEST_FRAME_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

/* Makes the guest go on in its handler of the signal. */
void vi_frame_build(int number, const siginfo_t *info, ucontext_t *context);
/* Behind the handler that was just entered this mask is good. */
void vi_frame_set_mask(const ucontext_t *context, uint64_t mask);
/* Is that on the alternate stack? */
bool vi_frame_is_on_alternate(uint64_t sp);

#endif
