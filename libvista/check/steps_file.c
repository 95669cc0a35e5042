/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Steps: in what state the segment was left, and the file as the file system has
 * it.
 */
#include "check/steps_file.h"

#include <errno.h>
#include <sys/stat.h>

#include "media/guard.h"
#include "media/superblock.h"

void vi_check_state(struct vi_check *check)
{
    const struct vi_superblock *superblock = check->superblock;
    const char *torn = vi_guard_torn(superblock, check->file);

    check->totals->may_be_torn = torn != NULL;
    if (superblock->clean) {
        vi_check_say(check, VI_CHECK_PASSED, "clean, as vista_unmap leaves it");
        return;
    }
    vi_check_say(check, VI_CHECK_NOTE,
                 "not unmapped by its last user; it needs recovery, which "
                 "the next vista_map does");
    if (torn != NULL)
        vi_check_say(check, VI_CHECK_NOTE, "it may be torn: %s", torn);
}

void vi_check_size(struct vi_check *check)
{
    const struct vi_superblock *superblock = check->superblock;
    const uint64_t end = superblock->data_offset + superblock->size;
    struct stat st;

    if (fstat(check->file->fd, &st) != 0) {
        vi_check_say(check, VI_CHECK_NOTE, "cannot be looked at: %s", strerror(errno));
        return;
    }
    if ((uint64_t)st.st_size < end)
        vi_check_say(check, VI_CHECK_DAMAGE, "truncated to %llu bytes, it should have %llu",
                     (unsigned long long)st.st_size, (unsigned long long)end);
    else if ((uint64_t)st.st_size > end)
        vi_check_say(check, VI_CHECK_NOTE, "%llu bytes long, %llu more than the segment needs",
                     (unsigned long long)st.st_size, (unsigned long long)(st.st_size - (off_t)end));
    if (!(superblock->features_must & VI_MUST_SPARSE) && !check->file->copy_on_write &&
        (uint64_t)st.st_blocks * 512 < superblock->size)
        vi_check_say(check, VI_CHECK_NOTE,
                     "%llu bytes are on the disk, fewer than the %llu of data: a copy has holes, "
                     "which the next vista_map fills",
                     (unsigned long long)st.st_blocks * 512, (unsigned long long)superblock->size);
    if (check->damage == 0)
        vi_check_say(check, VI_CHECK_PASSED, "%llu bytes of data at file offset %llu",
                     (unsigned long long)superblock->size,
                     (unsigned long long)superblock->data_offset);
}
