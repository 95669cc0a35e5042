/* SPDX-License-Identifier: BSD-3-Clause
 *
 * How many arguments system calls have, from the kernel's prototypes (SYSCALL_DEFINEn of Linux): what
 * lies in the registers of others is of no meaning, and may differ when a call is made again.
 */
#ifndef VI_CHECKPOINT_ARGUMENT_COUNTS_H
#define VI_CHECKPOINT_ARGUMENT_COUNTS_H

/* Of a call that can be in the log of events: 0, 1, 2, or 3 for three and more.  fcntl and ioctl count
 * as two, since of some of their commands the third is not read. */
unsigned vi_argument_count(long number);

#endif
