/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista copy: a copy of a segment that is not in use.  It has a name only when it is
 * whole and on the disk: it is written without one where the file system can do that;
 * where not, its superblock, without which it is no segment, comes last.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "media/map.h"
#include "tool/main.h"
#include "tool/output.h"
#include "vista.h"

#define STEP (8u << 20) /* bytes copied by one call */
#define SUPERBLOCKS (VI_SUPERBLOCKS * VI_SUPERBLOCK_SIZE)

struct copy {
    struct vi_file from, to;
    struct vi_superblock original, superblock; /* the second is the copy's */
    bool named;                                /* the copy has its name already */
    bool reflinked;
};

/* ---- Bytes ------------------------------------------------------------- */

/* Where copy_file_range cannot: between file systems of some kinds. */
static ssize_t copy_by_hand(const struct copy *copy, off_t at, size_t length, off_t shift)
{
    static char buffer[1 << 20];
    const ssize_t got =
        pread(copy->from.fd, buffer, length < sizeof buffer ? length : sizeof buffer, at);

    return got <= 0 ? got : pwrite(copy->to.fd, buffer, (size_t)got, at + shift);
}

/* The bytes from `at` to `end`, to as far from there as `shift` says. */
static int copy_range(const struct copy *copy, off_t at, off_t end, off_t shift)
{
    const struct vi_superblock *s = &copy->original;

    while (at < end) {
        const size_t left = (size_t)(end - at), length = left < STEP ? left : STEP;
        off_t from = at, to = at + shift;
        ssize_t got = copy_file_range(copy->from.fd, &from, copy->to.fd, &to, length, 0);

        if (got < 0 && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP ||
                        errno == ENOSYS || errno == EPERM))
            got = copy_by_hand(copy, at, length, shift);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return vi_fail_system(errno, "%s: cannot write the copy", copy->to.path);
        if (got == 0)
            return vi_fail(EIO, "%s: became shorter while it was copied", copy->from.path);
        at += got;
        if ((uint64_t)at > s->data_offset) /* what is before is small, or a hole */
            tool_progress("copied", (uint64_t)at - s->data_offset, s->size);
    }
    return 0;
}

/* A part of the file, and not its holes. */
static int copy_part(const struct copy *copy, off_t at, off_t end, off_t shift)
{
    off_t data, hole;

    for (; at < end; at = hole) {
        data = lseek(copy->from.fd, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            break;
        hole = data < 0 ? end : lseek(copy->from.fd, data, SEEK_HOLE);
        if (data < 0) /* the file system cannot tell */
            data = at;
        if (hole <= data || hole > end)
            hole = end;
        if (copy_range(copy, data, hole, shift) != 0)
            return -1;
    }
    return 0;
}

/* Bytes of the slots at the end of the chunks. */
static uint64_t far_slots(const struct copy *copy)
{
    struct vi_log_header log;

    if (pread(copy->from.fd, &log, sizeof log, VI_LOG_OFFSET) != (ssize_t)sizeof log ||
        log.slots_used > vi_superblock_slots(&copy->original))
        return 0; /* damaged */
    return vi_superblock_far_slots(log.slots_used);
}

/* Of a segment that may grow to more, everything behind the near slots lies elsewhere.  There is
 * nothing in its chunks, since it is clean. */
static int copy_larger(const struct copy *copy)
{
    const struct vi_superblock *from = &copy->original, *to = &copy->superblock;
    const uint64_t old = from->chunks_offset + from->chunks_size,
                   new = to->chunks_offset + to->chunks_size, units = vi_superblock_units(from),
                   far = far_slots(copy);
    const struct {
        uint64_t from, to, length;
    } parts[] = {
        {SUPERBLOCKS, SUPERBLOCKS, from->chunks_offset - SUPERBLOCKS},
        {old - far, new - far, far},
        {old, new, from->heap_offset != 0 ? VI_PAGE + units * sizeof(uint64_t) : 0},
        {vi_superblock_marks(from), vi_superblock_marks(to),
         from->heap_offset != 0 ? units * VI_MARKS_PER_UNIT : 0},
        {from->data_offset, to->data_offset, from->size},
    };

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (copy_part(copy, (off_t)parts[i].from, (off_t)(parts[i].from + parts[i].length),
                      (off_t)parts[i].to - (off_t)parts[i].from) != 0)
            return -1;
    return 0;
}

static bool is_larger(const struct copy *copy)
{
    return copy->superblock.max_size != copy->original.max_size;
}

/* All but the superblocks. */
static int copy_data(const struct copy *copy)
{
    const uint64_t end = copy->superblock.data_offset + copy->superblock.size;

    if (is_larger(copy))
        return vi_file_truncate(&copy->to, end) != 0 ? -1 : copy_larger(copy);
    if (vi_file_truncate(&copy->to, copy->from.size) != 0)
        return -1;
    return copy_part(copy, SUPERBLOCKS, (off_t)copy->from.size, 0);
}

/* That a store cannot find the disk full, vista_map sees to as well; here, so that a
 * copy for which there is no room fails. */
static int allocate(const struct copy *copy)
{
    const struct vi_superblock *s = &copy->superblock;

    if (copy->reflinked || s->features_must & VI_MUST_SPARSE)
        return 0;
    return vi_file_allocate(&copy->to, s->data_offset, s->size);
}

/* The copy's own superblock, in both places. */
static int put_superblocks(struct copy *copy)
{
    struct vi_persist persist;
    void *pages;
    int result;

    pages = mmap(NULL, SUPERBLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED, copy->to.fd, 0);
    if (pages == MAP_FAILED)
        return vi_fail_system(errno, "%s: cannot map the copy", copy->to.path);
    vi_persist_init(&persist, VISTA_CLASS_KILL);
    result = vi_file_allocate(&copy->to, 0, SUPERBLOCKS);
    if (result == 0 && fsync(copy->to.fd) != 0)
        result = vi_fail_system(errno, "%s: cannot sync", copy->to.path);
    if (result == 0)
        result = vi_superblock_write(&copy->to, &persist, pages, &copy->superblock);
    munmap(pages, SUPERBLOCKS);
    return result;
}

/* ---- Names ------------------------------------------------------------- */

static int create_copy(struct copy *copy, mode_t mode)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof path, "%s", copy->to.path) >= (int)sizeof path)
        return vi_fail(ENAMETOOLONG, "%s: the name is too long", copy->to.path);
    if (access(copy->to.path, F_OK) == 0) /* linkat and O_EXCL see to it that it is so */
        return vi_fail(EEXIST, "%s: is there already", copy->to.path);
    copy->to.fd = open(dirname(path), O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    if (copy->to.fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
        copy->to.fd = open(copy->to.path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, mode);
        copy->named = copy->to.fd >= 0;
    }
    if (copy->to.fd < 0)
        return vi_fail_system(errno, "%s: cannot be made", copy->to.path);
    return fchmod(copy->to.fd, mode) == 0
               ? 0
               : vi_fail_system(errno, "%s: cannot get its permissions", copy->to.path);
}

static int name_copy(struct copy *copy)
{
    char self[64];

    snprintf(self, sizeof self, "/proc/self/fd/%d", copy->to.fd);
    if (!copy->named && linkat(AT_FDCWD, self, AT_FDCWD, copy->to.path, AT_SYMLINK_FOLLOW) != 0)
        return vi_fail_system(errno, "%s: cannot be given its name", copy->to.path);
    copy->named = true;
    return vi_file_sync_name(copy->to.path);
}

/* ---- The whole --------------------------------------------------------- */

/* The copy may grow to `max_size`, if the address space behind it is free. */
static int make_larger(struct copy *copy, uint64_t max_size)
{
    struct vi_superblock *s = &copy->superblock;
    struct vi_map map = {0};

    if (max_size < s->max_size || max_size > VI_SIZE_MAX)
        return vi_fail(EINVAL, "%s: may grow to %llu bytes, and its copy to no less, or over %llu",
                       copy->from.path, (unsigned long long)s->max_size,
                       (unsigned long long)VI_SIZE_MAX);
    s->max_size = (max_size + VI_PAGE - 1) / VI_PAGE * VI_PAGE;
    if (vi_superblock_layout(s) != 0 ||
        vi_map_reserve(&map, copy->from.path, s->address, s->max_size) != 0)
        return -1;
    vi_map_undo(&map);
    return 0;
}

static int write_copy(struct copy *copy)
{
    struct stat st;

    if (fstat(copy->from.fd, &st) != 0)
        return vi_fail_system(errno, "%s: cannot stat", copy->from.path);
    if (create_copy(copy, st.st_mode & 0777) != 0)
        return -1;
    /* A name is given to nothing that could be taken for the whole. */
    copy->reflinked =
        !copy->named && !is_larger(copy) && ioctl(copy->to.fd, FICLONE, copy->from.fd) == 0;
    if (!copy->reflinked && copy_data(copy) != 0)
        return -1;
    return allocate(copy) != 0 || put_superblocks(copy) != 0 ? -1 : name_copy(copy);
}

static enum tool_status copy_segment(struct copy *copy, bool keep_uuid, uint64_t max_size)
{
    uint8_t *uuid = copy->superblock.uuid;
    int result, error;

    if (!copy->superblock.clean) {
        vi_fail(EUCLEAN,
                "%s: needs recovery, and a copy of it would count as torn; `vista recover` "
                "it first",
                copy->from.path);
        return tool_failed(errno);
    }
    if (!keep_uuid && getrandom(uuid, sizeof copy->superblock.uuid, 0) < 0) {
        vi_fail_system(errno, "no random numbers for a UUID");
        return tool_failed(errno);
    }
    result = max_size != 0 && make_larger(copy, max_size) != 0 ? -1 : write_copy(copy);
    error = errno;
    tool_progress("", 0, 0);
    if (result != 0 && copy->named)
        unlink(copy->to.path);
    if (copy->to.fd >= 0)
        close(copy->to.fd);
    if (result != 0)
        return tool_failed(error);
    printf("%s: %s of %s, uuid %s\n", copy->to.path,
           copy->reflinked ? "a copy that shares blocks" : "a copy", copy->from.path,
           tool_uuid(uuid));
    return TOOL_DONE;
}

static enum tool_status run_copy(int argc, char **argv)
{
    bool keep_uuid = false;
    const char *max = NULL, *paths[2];
    const struct tool_option options[] = {{.name = "keep-uuid", .given = &keep_uuid},
                                          {.name = "max-size", .letter = 'm', .value = &max},
                                          {0}};
    struct copy copy = {0};
    enum tool_status status;
    uint64_t max_size = 0;

    if (!tool_arguments(&tool_copy, argc, argv, options, paths, 2, &status))
        return status;
    if (!tool_bytes(max, &max_size))
        return tool_usage(&tool_copy, "not a number of bytes: ", max);
    status = tool_open(&copy.from, paths[0], &copy.original);
    if (status != TOOL_DONE)
        return status;
    copy.superblock = copy.original;
    copy.to = (struct vi_file){.path = paths[1], .fd = -1};
    status = copy_segment(&copy, keep_uuid, max_size);
    vi_file_close(&copy.from);
    return status;
}

const struct tool_command tool_copy = {
    .name = "copy",
    .summary = "copies a segment that is not in use",
    .run = run_copy,
    .help = "usage: vista copy [--keep-uuid] [--max-size BYTES] FILE COPY\n"
            "\n"
            "Copies a segment that no program has mapped for writing; programs that want to\n"
            "wait or fail meanwhile.  The copy must not be there.  Where the file system can\n"
            "(XFS, Btrfs) both share their disk blocks until one is changed; else what is\n"
            "allocated is copied.  The copy appears under its name when it is whole and on\n"
            "the disk, and not at all if that fails.  It lives at the same address, so that\n"
            "the pointers in it hold: one process cannot map both, but with\n"
            "VISTA_ANY_ADDRESS.\n"
            "\n"
            "  --keep-uuid           a backup, to take the original's place; else the copy gets\n"
            "                        a UUID of its own, being another segment from now on\n"
            "  -m, --max-size BYTES  what the copy may ever grow to, which is more than the\n"
            "                        original may; nothing may be mapped in the address space\n"
            "                        behind it\n"
            "\n"
            "Exit status: 0 copied; 1 damaged, not a segment, or it needs recovery first; 2 the\n"
            "command line makes no sense; 3 a file cannot be opened, is in use, is there\n"
            "already, or has no room.\n",
};
