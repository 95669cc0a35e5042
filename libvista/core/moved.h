/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Segments of a group that lie beside each other as before, in a folder that has another name
 * now: they are found by UUID.
 */
#ifndef VI_CORE_MOVED_H
#define VI_CORE_MOVED_H

#include <limits.h>

#include "core/members.h"

/* Where the segment of an entry is: at the entry's path, or else at the end of that path under
 * one of the folders that `beside`, an absolute path, lies in, or else in `folder` (NULL: none).  False: it is in neither, and
 * `path` is the entry's. */
bool vi_moved_find(const struct vi_member *entry, const char *beside, const char *folder,
                   char path[PATH_MAX]);

#endif
