/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Opening, closing and duplicating descriptors; changing names.
 */
#ifndef VI_CHECKPOINT_NAMES_H
#define VI_CHECKPOINT_NAMES_H

#include "checkpoint/trap/trap.h"

long vi_call_open(struct vi_call *call); /* open, openat, creat */
long vi_call_close(struct vi_call *call);
long vi_call_close_range(struct vi_call *call);
long vi_call_dup(struct vi_call *call); /* dup, dup2, dup3 */
long vi_call_fcntl(struct vi_call *call);
long vi_call_flock(struct vi_call *call);
long vi_call_pipe(struct vi_call *call);
long vi_call_socketpair(struct vi_call *call);
long vi_call_make(struct vi_call *call); /* a descriptor that no path leads to */
long vi_call_accept(struct vi_call *call);

long vi_call_name_create(struct vi_call *call);
long vi_call_name_remove(struct vi_call *call);
long vi_call_rename(struct vi_call *call);
long vi_call_attributes(struct vi_call *call);
long vi_call_truncate(struct vi_call *call);
long vi_call_chdir(struct vi_call *call);
long vi_call_readlink(struct vi_call *call);

#endif
