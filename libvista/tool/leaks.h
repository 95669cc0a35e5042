/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Blocks that no pointer leads to.
 */
#ifndef VI_TOOL_LEAKS_H
#define VI_TOOL_LEAKS_H

#include "tool/main.h"

struct tool_leaks;

/* Gathers a sound heap's blocks: to be called as vi_check_visitor's `block`. */
struct tool_leaks *tool_leaks_new(bool quiet, bool json);
void tool_leaks_block(void *leaks, uint64_t offset, uint64_t size);

/* Whether `list` (NULL: there is none) is offsets or addresses with commas between; false,
 * all said, if it is not. */
bool tool_leaks_are_offsets(const char *list);

/*
 * Scans for pointers from the root and from blocks at `others` (such a list) and says which blocks none was found to.  How many
 * those are; or -1, all said, with *status.
 */
int64_t tool_leaks_find(struct tool_leaks *leaks, const struct vi_file *file,
                        const struct vi_superblock *superblock, struct vi_root root,
                        const char *others, enum tool_status *status);
void tool_leaks_free(struct tool_leaks *leaks);

#endif
