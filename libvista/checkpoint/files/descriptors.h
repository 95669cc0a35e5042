/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The guest's descriptors.  Each has the number that it has in the kernel; the control state
 * tells how the open description behind it is had again: opened by path, taken from whoever
 * started the run, or from the supervisor, which holds what no path leads to.
 */
#ifndef VI_CHECKPOINT_DESCRIPTORS_H
#define VI_CHECKPOINT_DESCRIPTORS_H

#include <stdbool.h>
#include <stdint.h>

#include "checkpoint/engine/layout.h"

/* The open description of a descriptor, or NULL; its number, 0 if there is none. */
struct vi_open_file *vi_files_of(uint64_t fd);
uint32_t vi_files_group(uint64_t fd);
/* A descriptor of an open description of this process, or -1. */
int vi_files_descriptor_of(uint32_t group);
/* How many open descriptions are VI_FILE_ACCEPTED. */
extern uint32_t vi_files_accepted;

/* Enters what the kernel has just opened as `fd`: 0, or minus an errno, and it is closed. */
long vi_files_add(int fd, enum vi_file_kind kind, const char *path);
long vi_files_dup(int from, int to, bool close_on_exec);
void vi_files_forget(int fd);
/* Accepts a connection, which is entered: its descriptor, or minus an errno. */
long vi_files_accept(uint64_t listener, int flags);
/* Is it the last descriptor of a connection or the like, or of a file that may be locked and that the supervisor
 * keeps, so that others see its end? */
bool vi_files_ends(uint64_t fd);
/* Does something wait for the guest that the kernel has handed out already? */
bool vi_files_is_waiting(uint64_t fd);
bool vi_files_any_waiting(void);

/* Its offset may change: it is noted at the next checkpoint. */
void vi_files_touch(uint64_t fd);
extern bool vi_files_touched[VI_DESCRIPTORS], vi_files_any_touched; /* by group, less 1 */
/* One has been closed, and with it the kernel has ended the locks on its file. */
extern bool vi_files_closed;
void vi_files_gather(void);
/* A checkpoint is made: the supervisor need not keep what was closed before it. */
void vi_files_settle(void);

/* Is a write to it seen by others, at once and for good?  Else it is a file, which is undone. */
bool vi_files_is_visible(uint64_t fd);
/* Is it a file that reads the same when the program is resumed, unless others change it? */
bool vi_files_is_own(uint64_t fd);
/* Is it a file or folder that is only read?  Is it had again by its name? */
bool vi_files_is_input(const struct vi_open_file *file);
bool vi_files_has_name(const struct vi_open_file *file);
/* Was it opened since the last checkpoint? */
bool vi_files_is_new(uint64_t fd);
/* Can its input be read only once? */
bool vi_files_is_stream(uint64_t fd);

/* What has this path is about to lose it; something has another name, and with it what lies below. */
void vi_files_unnamed(const char *path);
void vi_files_renamed(void);

/* Enters what the run was started with. */
void vi_files_start(void);

#endif
