/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The guest's descriptors after a kill: opened by path, taken from whoever started the run, or from the
 * supervisor.
 */
#ifndef VI_CHECKPOINT_REOPEN_H
#define VI_CHECKPOINT_REOPEN_H

#include <stdbool.h>

/* Opens again what there was.  With `changed` a file that has taken the place of one that was open will do. */
void vi_reopen_all(bool changed);

#endif
