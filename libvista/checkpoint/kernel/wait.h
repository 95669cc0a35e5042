/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Waiting for descriptors and for time.
 */
#ifndef VI_CHECKPOINT_WAIT_H
#define VI_CHECKPOINT_WAIT_H

#include "checkpoint/trap/trap.h"

long vi_call_poll(struct vi_call *call);   /* poll, ppoll */
long vi_call_select(struct vi_call *call); /* select, pselect6 */
long vi_call_epoll_wait(struct vi_call *call);
/* Epoll sets: what was told before the kill is told again; a descriptor that is about to be closed
 * is taken out, since the open description behind it lives on for a while. */
void vi_wait_recover(void);
void vi_wait_forget(int gone);
long vi_call_sleep(struct vi_call *call); /* nanosleep, clock_nanosleep */

#endif
