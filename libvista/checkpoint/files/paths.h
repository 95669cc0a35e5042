/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Where a descriptor or a path of the guest's leads, as an absolute path.
 */
#ifndef VI_CHECKPOINT_PATHS_H
#define VI_CHECKPOINT_PATHS_H

#include <stdbool.h>

/* That of a descriptor, or of the folder that AT_FDCWD stands for, in PATH_MAX bytes; false: it has none. */
bool vi_paths_of(int fd, char *path);
/* What a call's directory descriptor and path mean, in as many: 0, or minus an errno. */
long vi_paths_absolute(int directory, const char *path, char *absolute);
/* Opens anew what a descriptor leads to, whatever its name is by now; -1 as open(2). */
int vi_paths_reopen(int fd, int flags);
/* Does the kernel make up what it reads as, under /proc or /sys? */
bool vi_paths_is_made_up(int fd);

#endif
