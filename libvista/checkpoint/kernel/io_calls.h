/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Reading and writing.
 */
#ifndef VI_CHECKPOINT_IO_CALLS_H
#define VI_CHECKPOINT_IO_CALLS_H

#include "checkpoint/trap/trap.h"

long vi_call_read(struct vi_call *call);
long vi_call_readv(struct vi_call *call);
long vi_call_file_read(struct vi_call *call); /* pread and its like, lseek, getdents */
long vi_call_write(struct vi_call *call);
long vi_call_writev(struct vi_call *call);
long vi_call_pwrite(struct vi_call *call);
long vi_call_pwritev(struct vi_call *call);
long vi_call_sendfile(struct vi_call *call);
long vi_call_copy_file_range(struct vi_call *call);
long vi_call_ftruncate(struct vi_call *call);
long vi_call_fallocate(struct vi_call *call);
long vi_call_recv(struct vi_call *call);
long vi_call_recvmsg(struct vi_call *call);
long vi_call_send(struct vi_call *call);    /* sendto, sendmsg, sendmmsg, shutdown */
long vi_call_visible(struct vi_call *call); /* any call that others see at once */

#endif
