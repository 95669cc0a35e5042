/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The process: its ids, limits, timers, and its end.
 */
#ifndef VI_CHECKPOINT_GUEST_PROCESS_H
#define VI_CHECKPOINT_GUEST_PROCESS_H

#include "checkpoint/trap/trap.h"

void vi_process_start(void);
void vi_process_recover(void);
/* What is to be noted before a checkpoint. */
void vi_process_gather(void);

long vi_call_exit(struct vi_call *call);
long vi_call_getpid(struct vi_call *call);
long vi_call_getppid(struct vi_call *call);
long vi_call_kill(struct vi_call *call); /* kill, tkill, tgkill */
long vi_call_arch_prctl(struct vi_call *call);
long vi_call_set_tid_address(struct vi_call *call);
long vi_call_prctl(struct vi_call *call);
long vi_call_umask(struct vi_call *call);
long vi_call_limit(struct vi_call *call); /* getrlimit, setrlimit, prlimit64 */
long vi_call_setitimer(struct vi_call *call);
long vi_call_alarm(struct vi_call *call);
long vi_call_fork(struct vi_call *call); /* and clone */
long vi_call_wait(struct vi_call *call);

#endif
