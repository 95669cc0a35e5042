/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Loads a program as execve(2) would: its segments, its interpreter's, and the first stack.
 */
#ifndef VI_CHECKPOINT_LOADER_H
#define VI_CHECKPOINT_LOADER_H

#include <stdint.h>

#define VI_LOADER_STRINGS 16384u /* arguments, or words of the environment, with their end */

/* Can the program of file `path` be loaded, as far as its headers tell, and its interpreter's?  0, or minus an
 * errno. */
long vi_loader_check(const char *path);
/* Loads the program of file `path` and tells where it begins.  The run ends, saying why, when it
 * cannot be run. */
void vi_loader_load(const char *path, char **arguments, char **environment, uint64_t *entry,
                    uint64_t *stack);

#endif
