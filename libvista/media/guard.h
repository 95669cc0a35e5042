/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The torn guard.  The kernel writes pages of a file to the disk in any order, so a segment
 * that nothing flushes may be torn when its machine goes down while it is open: it is then
 * refused.  It is also refused as a copy that was made meanwhile.  That is told by the boot
 * id under which it was opened, and by what identifies the file.
 *
 * A file on tmpfs or ramfs is gone when its machine is.  Elsewhere, where no boot id can be had
 * that is the machine's own, vista_map declines to open the segment in the first place, for
 * after a kill it could not be told from one that is torn.
 */
#ifndef VI_MEDIA_GUARD_H
#define VI_MEDIA_GUARD_H

#include <stdbool.h>

#include "media/file.h"
#include "media/format.h"

/*
 * The machine's boot id; false: there is none to be had, `id` is zero, and, with errno, the
 * message says why.  Once found it is kept, so that later calls need no descriptor.
 */
bool vi_guard_boot_id(uint8_t id[16]);

/* Whether a segment in this file is guarded; `class`: the real one. */
static inline bool vi_guard_needed(const struct vi_file *file, uint32_t class)
{
    return class == VISTA_CLASS_KILL && !file->in_memory;
}

/* Stores what a later vi_guard_torn goes by. */
void vi_guard_stamp(struct vi_superblock *superblock, const struct vi_file *file);

/* NULL, or what was seen by which a segment that was left open may be torn. */
const char *vi_guard_torn(const struct vi_superblock *superblock, const struct vi_file *file);

#endif
