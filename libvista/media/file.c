/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Files: see file.h.  The lock is an open-file-description lock (fcntl(2)): it
 * belongs to our descriptor, so that two mappings in one process exclude each
 * other too, and closing some other descriptor of the file does not drop it.
 */
#include "media/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "media/format.h"
#include "vista.h"

#define ZFS_MAGIC 0x2fc12fc1
#define BCACHEFS_MAGIC 0xca451a4e

/* The bytes behind it are those of shares (format.h). */
static struct flock lock_of(int type)
{
    return (struct flock){
        .l_type = (short)type, .l_whence = SEEK_SET, .l_len = (off_t)VI_LOCK_LENGTH};
}

static int lock(const struct vi_file *file, bool shared, unsigned wait_ms)
{
    struct flock range = lock_of(shared ? F_RDLCK : F_WRLCK);
    const struct timespec pause = {.tv_nsec = 1000000};
    struct timespec start, now;

    clock_gettime(CLOCK_MONOTONIC, &start);
    while (fcntl(file->fd, F_OFD_SETLK, &range) != 0) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return vi_fail_system(errno, "%s: cannot lock", file->path);
        clock_gettime(CLOCK_MONOTONIC, &now);
        if ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 >= wait_ms)
            return vi_fail(EBUSY, "%s: mapped already, %s", file->path,
                           shared ? "for writing" : "in this process or another");
        nanosleep(&pause, NULL);
    }
    return 0;
}

/* Refuses what is not a regular file, before opening it could have effects. */
static int check_type(const char *path, const struct stat *st)
{
    const char *what = "not a regular file";

    if (S_ISREG(st->st_mode))
        return 0;
    if (S_ISDIR(st->st_mode))
        return vi_fail(EISDIR, "%s: is a directory", path);
    if (S_ISCHR(st->st_mode))
        what = "a character device; device DAX is not supported, use a DAX file system";
    return vi_fail(ENODEV, "%s: is %s", path, what);
}

static int identify(struct vi_file *file)
{
    struct statfs fs;
    struct statx more;
    struct stat st;

    if (fstat(file->fd, &st) != 0 || fstatfs(file->fd, &fs) != 0)
        return vi_fail_system(errno, "%s: cannot stat", file->path);
    file->size = (uint64_t)st.st_size;
    file->blocks = (uint64_t)st.st_blocks * 512;
    file->device = st.st_dev;
    file->inode = st.st_ino;
    file->linked = st.st_nlink != 0;
    if (statx(file->fd, "", AT_EMPTY_PATH, STATX_BTIME, &more) == 0 && more.stx_mask & STATX_BTIME)
        file->birth = (uint64_t)more.stx_btime.tv_sec * 1000000000 + more.stx_btime.tv_nsec;
    file->in_memory =
        (unsigned long)fs.f_type == TMPFS_MAGIC || (unsigned long)fs.f_type == RAMFS_MAGIC;
    file->overlay = (unsigned long)fs.f_type == OVERLAYFS_SUPER_MAGIC;
    file->copy_on_write = (unsigned long)fs.f_type == BTRFS_SUPER_MAGIC ||
                          (unsigned long)fs.f_type == ZFS_MAGIC ||
                          (unsigned long)fs.f_type == BCACHEFS_MAGIC;
    return check_type(file->path, &st);
}

static int open_or_make(struct vi_file *file, unsigned flags, mode_t mode)
{
    const int access = (flags & VISTA_READ_ONLY ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK;
    struct stat st;

    for (int tries = 0; tries < 100; tries++) {
        const bool there = stat(file->path, &st) == 0, missing = !there && errno == ENOENT;

        if (there && check_type(file->path, &st) != 0)
            return -1;
        file->made = flags & VISTA_CREATE && (missing || flags & VISTA_EXCLUSIVE);
        file->fd = open(file->path, access | (file->made ? O_CREAT | O_EXCL : 0), mode);
        /* A link whose target is missing is there for O_EXCL: who asked for no more than that the
         * file is made gets its target made. */
        if (file->fd < 0 && errno == EEXIST && missing && !(flags & VISTA_EXCLUSIVE) &&
            stat(file->path, &st) != 0 && errno == ENOENT)
            file->fd = open(file->path, access | O_CREAT, mode);
        if (file->fd >= 0)
            return 0;
        if (errno != EINTR && errno != (missing ? EEXIST : ENOENT)) /* neither came nor went */
            break;
    }
    return vi_fail_system(errno, "%s: cannot open", file->path);
}

int vi_file_open(struct vi_file *file, const char *path, unsigned flags, mode_t mode,
                 unsigned wait_ms)
{
    struct stat st;

    for (int tries = 0; tries < 100; tries++) {
        *file = (struct vi_file){.path = path, .fd = -1};
        if (open_or_make(file, flags, mode) != 0 ||
            lock(file, flags & VISTA_READ_ONLY, wait_ms) != 0 ||
            identify(file) != 0) { /* only now: its last user may have resized it */
            vi_file_close(file);
            file->made = false; /* it is whose lock it is */
            return -1;
        }
        /* Its maker may have given up and removed it while we waited. */
        if (stat(path, &st) == 0 && st.st_dev == file->device && st.st_ino == file->inode)
            return 0;
        vi_file_close(file);
    }
    return vi_fail(EBUSY, "%s: is being replaced again and again", path);
}

int vi_file_open_unlocked(struct vi_file *file, const char *path)
{
    *file = (struct vi_file){.path = path, .fd = -1};
    if (open_or_make(file, VISTA_READ_ONLY, 0) == 0 && identify(file) == 0)
        return 0;
    vi_file_forget(file);
    return -1;
}

int vi_file_raise(struct vi_file *file, unsigned floor)
{
    int raised;

    if (floor == 0 || file->fd >= (int)floor)
        return 0;
    raised = fcntl(file->fd, F_DUPFD_CLOEXEC, (int)floor);
    if (raised < 0) /* the lock goes with the open file, which both have */
        return vi_fail_system(errno, "%s: no descriptor from %u on", file->path, floor);
    close(file->fd);
    file->fd = raised;
    return 0;
}

void vi_file_forget(struct vi_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

void vi_file_close(struct vi_file *file)
{
    struct flock range = lock_of(F_UNLCK);

    if (file->fd >= 0) /* a child just forked may not have closed its duplicate yet */
        (void)fcntl(file->fd, F_OFD_SETLK, &range);
    vi_file_forget(file);
}

int vi_file_truncate(const struct vi_file *file, uint64_t size)
{
    struct rlimit limit;

    /* Past it the kernel would kill the process, by SIGXFSZ. */
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && size > limit.rlim_cur)
        return vi_fail_system(EFBIG, "%s: cannot make it %llu bytes long", file->path,
                              (unsigned long long)size);
    while (ftruncate(file->fd, (off_t)size) != 0)
        if (errno != EINTR)
            return vi_fail_system(errno, "%s: cannot make it %llu bytes long", file->path,
                                  (unsigned long long)size);
    return 0;
}

int vi_file_check(const struct vi_file *file, uint64_t size)
{
    struct stat st;

    if (fstat(file->fd, &st) != 0)
        return vi_fail_system(errno, "%s: cannot stat", file->path);
    if ((uint64_t)st.st_size < size)
        return vi_fail(EBADMSG, "%s: truncated to %llu bytes while it was mapped", file->path,
                       (unsigned long long)st.st_size);
    if (file->linked && st.st_nlink == 0)
        return vi_fail(ENOENT, "%s: removed while it was mapped: what it held is lost", file->path);
    return 0;
}

int vi_file_back(const struct vi_file *file, uint64_t offset, uint64_t length)
{
    struct stat st;
    int error;

    if (fstat(file->fd, &st) != 0)
        return errno;
    if ((uint64_t)st.st_size < offset + length)
        return EBADMSG;
    do
        error = posix_fallocate(file->fd, (off_t)offset, (off_t)length);
    while (error == EINTR);
    return error;
}

int vi_file_allocate(const struct vi_file *file, uint64_t offset, uint64_t length)
{
    const int error = vi_file_back(file, offset, length);

    if (error == 0)
        return 0;
    if (error == EBADMSG && vi_file_check(file, offset + length) != 0)
        return -1;
    return vi_fail_system(error, "%s: cannot allocate %llu bytes on the disk", file->path,
                          (unsigned long long)length);
}

void vi_file_punch(const struct vi_file *file, uint64_t offset, uint64_t length)
{
    /* Nothing is lost where this is refused. */
    (void)fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                    (off_t)length);
}

uint64_t vi_file_room(const struct vi_file *file)
{
    struct statfs fs;

    /* Without a limit a file system may say that it has no blocks at all. */
    if (fstatfs(file->fd, &fs) != 0 || fs.f_blocks == 0)
        return UINT64_MAX;
    return (uint64_t)fs.f_bfree * (uint64_t)fs.f_bsize;
}

/* The next hole in a part, or a part never stored to; false: there is none. */
static bool next_hole(const struct vi_file *file, uint64_t *from, uint64_t *to, uint64_t end)
{
    off_t hole = lseek(file->fd, (off_t)*from, SEEK_HOLE), data;

    if (hole < 0 || (uint64_t)hole >= end)
        return false;
    data = lseek(file->fd, hole, SEEK_DATA);
    if (data < 0 && errno != ENXIO) /* that there is no data behind it */
        return false;
    *from = (uint64_t)hole;
    *to = data < 0 || (uint64_t)data > end ? end : (uint64_t)data;
    return true;
}

uint64_t vi_file_holes(const struct vi_file *file, uint64_t offset, uint64_t length)
{
    const uint64_t end = offset + length;
    uint64_t sum = 0, to;

    for (; next_hole(file, &offset, &to, end); offset = to)
        sum += to - offset;
    return sum;
}

void vi_file_punch_holes(const struct vi_file *file, uint64_t offset, uint64_t length)
{
    const uint64_t end = offset + length;

    for (uint64_t to; next_hole(file, &offset, &to, end); offset = to)
        vi_file_punch(file, offset, to - offset);
}

int vi_file_sync_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    char directory[4096];
    int fd, error;

    snprintf(directory, sizeof directory, "%.*s.", slash != NULL ? (int)(slash - path + 1) : 0,
             path);
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return vi_fail_system(errno, "%s: cannot open", directory);
    error = fsync(fd) == 0 || errno == EINVAL ? 0 : errno;
    close(fd);
    return error == 0 ? 0 : vi_fail_system(error, "%s: cannot sync", directory);
}
