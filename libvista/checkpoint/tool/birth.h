/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Child processes of the program, in its supervisor: see kernel/children.h.
 */
#ifndef VI_CHECKPOINT_BIRTH_H
#define VI_CHECKPOINT_BIRTH_H

#include <stdbool.h>

#include "checkpoint/tool/run_options.h"

/* Starts the process that supervises the child; once for each number of a birth.  In that process: true, and
 * the options are the child's. */
bool vi_birth_give(struct vi_options *options);
/* Notes which children have ended, of a run of this file.  True: one has since this was asked last. */
bool vi_birth_look(const char *file);
/* Has the program committed that it was told of each that has ended? */
bool vi_birth_is_told(void);
/* Ends them all, and waits until none of them does anything any more. */
void vi_birth_kill(void);
/* Notes which have ended: have all? */
bool vi_birth_is_over(const char *file);
/* The same as to kill them, and their files go: nothing goes on from them. */
void vi_birth_end(const char *file);

#endif
