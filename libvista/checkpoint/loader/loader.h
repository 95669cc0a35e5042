/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Loads a program as execve(2) would: its segments, its interpreter's, and the first stack.
 */
#ifndef VI_CHECKPOINT_LOADER_H
#define VI_CHECKPOINT_LOADER_H

#include <stdint.h>

/* Loads the program of file `path` and tells where it begins.  The run ends, saying why, when it
 * cannot be run. */
void vi_loader_load(const char *path, char **arguments, char **environment, uint64_t *entry,
                    uint64_t *stack);

#endif
