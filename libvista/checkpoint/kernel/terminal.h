/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The terminal: its settings belong to the program's state, its size to the user.
 */
#ifndef VI_CHECKPOINT_TERMINAL_H
#define VI_CHECKPOINT_TERMINAL_H

#include "checkpoint/trap/trap.h"

/* Notes the settings before the program changes them. */
void vi_terminal_start(void);
/* Puts the settings of the checkpoint back, unless the program has children; tells it of another size. */
void vi_terminal_recover(bool has_children);
/* Is there no terminal any more where one was? */
bool vi_terminal_is_gone(void);

#endif
