/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista-run --info: what a checkpoint file holds.
 */
#ifndef VI_CHECKPOINT_INSPECT_H
#define VI_CHECKPOINT_INSPECT_H

/* Prints it; an exit status. */
int vi_inspect(const char *file);

#endif
