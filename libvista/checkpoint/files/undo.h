/* SPDX-License-Identifier: BSD-3-Clause
 *
 * File-system undo: what a checkpoint that is gone back to did not know of is taken back.
 *
 * Before a call changes a file or a name, a record that undoes it is appended to FILE.undo, with
 * the number of the last checkpoint.  The next checkpoint has another number, and that one store
 * voids the log.  After a kill the records of the present number are undone, newest first; each
 * may be undone twice.  What is removed or replaced keeps a link beside FILE until the next checkpoint.
 */
#ifndef VI_CHECKPOINT_UNDO_H
#define VI_CHECKPOINT_UNDO_H

#include <stdbool.h>
#include <stdint.h>

/* Opens the log of the checkpoint file `path`; undoes what is in it when `recover`. */
void vi_undo_open(const char *path, bool recover);
void vi_undo_committed(void);
/* The run is over: nothing is left of it. */
void vi_undo_remove(const char *path);

/* What follows is about to happen.  0, or minus an errno, and it must not. */
long vi_undo_bytes(int fd, int64_t offset, uint64_t length); /* bytes written; -1: at the end */
long vi_undo_truncate(int fd, uint64_t size);
long vi_undo_truncate_path(const char *path, uint64_t size);
long vi_undo_create(const char *path);      /* a name, if it is not there */
long vi_undo_remove_name(const char *path); /* unlink or rmdir; of a replaced name too: */
bool vi_undo_is_full(void);                 /* no more of them before a checkpoint */
long vi_undo_rename(const char *from, const char *to);
long vi_undo_attributes(const char *path); /* mode, owner, times */

#endif
