/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The functions of the system that the library's objects call instead (interpose.h): see
 * files.h.
 */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "instrument.h"

/* Descriptors that the system does not give. */
#define FIRST_FD (1 << 20)
#define BOOT_FD (FIRST_FD - 1)
#define DIRECTORY_FD (FIRST_FD - 2)
#define GUARD 65536 /* that the library leaves before the metadata */

struct inode {
    uint64_t there, length;
};

struct hooks hooks;
static struct {
    unsigned opens[FILES];
    int last;       /* file that was opened: what is mapped next is its */
    bool data_next; /* and in that its data */
} state[WORLDS];
static int real_fd[FILES]; /* in no world: the last that the file had */

static struct inode *inode_of(int world, int file)
{
    return (struct inode *)worlds[world].region[REGION(file, INODE)].base;
}

static void set_inode(int file, uint64_t there, uint64_t length)
{
    struct inode *inode = inode_of(memory.current, file);

    memory_store(inode, sizeof *inode);
    *inode = (struct inode){there, length};
    memory_complete();
}

void files_reset(void)
{
    memory_reset();
    for (int file = 0; file < FILES; file++)
        memory_region(REGION(file, INODE), PAGE, ((uint64_t)file * 2 + 1) << (FILE_SHIFT - 1));
    memset(state, 0, sizeof state);
}

void files_die(int world)
{
    memset(&state[world], 0, sizeof state[world]);
}

const char *files_path(int file)
{
    static char paths[FILES][16];

    snprintf(paths[file], sizeof paths[file], "/crash/%d", file);
    return paths[file];
}

const char *files_real_path(int file)
{
    static char paths[FILES][64];

    snprintf(paths[file], sizeof paths[file], "/dev/shm/vista-crash-%d-%d", (int)getpid(), file);
    return paths[file];
}

void *files_address(int file)
{
    return (void *)PART(REGION(file, DATA));
}

uint64_t files_length(int world, int file)
{
    const struct inode *inode = inode_of(world, file);

    return inode->there ? inode->length : 0;
}

/* ---- Files ------------------------------------------------------------- */

static int file_at(const char *path)
{
    for (int file = 0; file < FILES; file++)
        if (strcmp(path, files_path(file)) == 0)
            return file;
    return -1;
}

static bool is_real(int fd)
{
    return fd >= 0 && fd < DIRECTORY_FD;
}

static int open_really(int file, int flags, mode_t mode)
{
    const int fd = open(files_real_path(file), flags, mode);

    for (int i = 0; i < FILES; i++)
        real_fd[i] = i == file ? fd : real_fd[i] == fd ? -1 : real_fd[i];
    return fd;
}

int crash_open(const char *path, int flags, ...)
{
    const int file = file_at(path), world = memory.current;
    struct inode *inode;
    va_list rest;
    mode_t mode;

    va_start(rest, flags);
    mode = flags & O_CREAT ? (mode_t)va_arg(rest, int) : 0;
    va_end(rest);
    if (strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
        return BOOT_FD;
    if (flags & O_DIRECTORY)
        return DIRECTORY_FD;
    if (file < 0)
        return open(path, flags, mode);
    if (world == NO_WORLD)
        return open_really(file, flags, mode);
    inode = inode_of(world, file);
    if (!inode->there ? !(flags & O_CREAT) : (flags & O_EXCL) != 0) {
        errno = inode->there ? EEXIST : ENOENT;
        return -1;
    }
    if (!inode->there)
        set_inode(file, 1, 0);
    state[world].opens[file]++;
    state[world].last = file;
    state[world].data_next = false;
    return FIRST_FD + file;
}

int crash_close(int fd)
{
    if (fd >= FIRST_FD)
        state[memory.current].opens[fd - FIRST_FD]--;
    return is_real(fd) ? close(fd) : 0;
}

/* The machine has always the same boot. */
ssize_t crash_read(int fd, void *to, size_t length)
{
    static const char boot[] = "5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a\n";

    if (is_real(fd))
        return read(fd, to, length);
    length = length < sizeof boot ? length : sizeof boot;
    memcpy(to, boot, length);
    return (ssize_t)length;
}

ssize_t crash_pread(int fd, void *to, size_t length, off_t offset)
{
    const int file = fd - FIRST_FD;
    const unsigned char *meta;
    uint64_t end;

    if (is_real(fd))
        return pread(fd, to, length, offset);
    meta = worlds[memory.current].region[REGION(file, META)].base;
    end = files_length(memory.current, file);
    if ((uint64_t)offset >= end)
        return 0;
    length = length < end - (uint64_t)offset ? length : end - (uint64_t)offset;
    if (meta != NULL)
        memcpy(to, meta + offset, length);
    else
        memset(to, 0, length);
    return (ssize_t)length;
}

/* A file has the same identity in each world, and a copy of it has it if that is
 * pretended, so that it is the plain way of vista_map that it goes. */
static void identify(struct stat *st, int file)
{
    st->st_dev = 1;
    st->st_ino = 1000 + (ino_t)file;
}

static int stat_of(int file, struct stat *st)
{
    const struct inode *inode = inode_of(memory.current, file);

    memset(st, 0, sizeof *st);
    if (!inode->there) {
        errno = ENOENT;
        return -1;
    }
    st->st_mode = S_IFREG | 0600;
    st->st_nlink = 1;
    st->st_size = (off_t)inode->length;
    st->st_blocks = INT32_MAX; /* enough */
    identify(st, file);
    return 0;
}

int crash_fstat(int fd, struct stat *st)
{
    int result;

    if (!is_real(fd))
        return stat_of(fd - FIRST_FD, st);
    result = fstat(fd, st);
    for (int file = 0; file < FILES && hooks.pretend; file++)
        if (fd == real_fd[file])
            identify(st, file);
    return result;
}

int crash_stat(const char *path, struct stat *st)
{
    const int file = file_at(path);
    int result;

    if (file >= 0 && memory.current != NO_WORLD)
        return stat_of(file, st);
    result = stat(file >= 0 ? files_real_path(file) : path, st);
    if (file >= 0 && hooks.pretend)
        identify(st, file);
    return result;
}

int crash_fstatfs(int fd, struct statfs *fs)
{
    memset(fs, 0, sizeof *fs);
    if (fd == BOOT_FD)
        fs->f_type = PROC_SUPER_MAGIC;
    return is_real(fd) ? fstatfs(fd, fs) : 0;
}

/* Locks: who opens a file first has it. */
int crash_fcntl(int fd, int command, uintptr_t argument)
{
    const struct flock *const lock = (const struct flock *)argument;

    if (is_real(fd))
        return fcntl(fd, command, argument);
    if (lock->l_type == F_UNLCK || state[memory.current].opens[fd - FIRST_FD] < 2)
        return 0;
    errno = EAGAIN;
    return -1;
}

/* What is cut off an image is not looked at. */
int crash_ftruncate(int fd, off_t size)
{
    const int file = fd - FIRST_FD;
    uint64_t length;

    if (is_real(fd))
        return ftruncate(fd, size);
    length = files_length(memory.current, file);
    if ((uint64_t)size != length)
        set_inode(file, 1, (uint64_t)size);
    if (memory.current == LIVE && (uint64_t)size < length)
        memory_clear(((uint64_t)file << FILE_SHIFT) + (uint64_t)size, length - (uint64_t)size);
    return 0;
}

int crash_posix_fallocate(int fd, off_t offset, off_t length)
{
    if (is_real(fd))
        return posix_fallocate(fd, offset, length);
    return hooks.no_space && memory.current == LIVE ? ENOSPC : 0;
}

/* Holes.  A file system may refuse them, as images do. */
int crash_fallocate(int fd, int mode, off_t offset, off_t length)
{
    if (is_real(fd))
        return fallocate(fd, mode, offset, length);
    if (memory.current == LIVE)
        memory_clear(((uint64_t)(fd - FIRST_FD) << FILE_SHIFT) + (uint64_t)offset,
                     (uint64_t)length);
    return 0;
}

/* It cannot tell where holes are. */
off_t crash_lseek(int fd, off_t offset, int whence)
{
    if (is_real(fd))
        return lseek(fd, offset, whence);
    errno = EINVAL;
    return -1;
}

int crash_fsync(int fd)
{
    return is_real(fd) ? fsync(fd) : 0;
}

int files_sync(int fd)
{
    if (!is_real(fd))
        memory_sync(fd - FIRST_FD);
    return 0;
}

int crash_unlink(const char *path)
{
    const int file = file_at(path);

    if (file < 0 || memory.current == NO_WORLD)
        return unlink(file < 0 ? path : files_real_path(file));
    set_inode(file, 0, 0);
    return 0;
}

char *crash_realpath(const char *path, char *resolved)
{
    if (file_at(path) < 0)
        return realpath(path, resolved);
    return resolved != NULL ? strcpy(resolved, path) : strdup(path);
}

/* What is mapped where is told slowly. */
FILE *crash_fopen(const char *path, const char *mode)
{
    return memory.current == NO_WORLD ? fopen(path, mode) : NULL;
}

/* ---- Mappings ---------------------------------------------------------- */

/* Address space: of LIVE's data, where its options say; other worlds find that taken, and
 * ask for any next.  Then of the metadata. */
static void *reserve(uintptr_t address, size_t length)
{
    const int world = memory.current, file = state[world].last;
    unsigned region = REGION(file, META);
    unsigned char *place;

    if (address != 0 && world != LIVE) {
        state[world].data_next = true;
        errno = EEXIST;
        return MAP_FAILED;
    }
    if (address != 0) {
        memory_region(REGION(file, DATA), length, 0);
        return (void *)address;
    }
    if (state[world].data_next)
        region = REGION(file, DATA);
    place = (unsigned char *)PART((unsigned)world * REGIONS + region);
    place -= state[world].data_next ? 0 : GUARD;
    state[world].data_next = false;
    return place;
}

void *crash_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    const int file = fd - FIRST_FD;

    if (memory.current == NO_WORLD || is_real(fd))
        return mmap(address, length, protection, flags, fd, offset);
    if (fd < 0)
        return (flags & MAP_FIXED) != 0 ? address : reserve((uintptr_t)address, length);
    if (address == NULL) { /* it is asked if MAP_SYNC is granted */
        errno = EOPNOTSUPP;
        return MAP_FAILED;
    }
    if (REGION_OF(address) == REGION(file, META))
        memory_region(REGION(file, META), length, (uint64_t)file << FILE_SHIFT);
    else if (memory.current == LIVE && address == files_address(file))
        for (int w = 0; w < WORLDS; w++)
            worlds[w].region[REGION(file, DATA)].offset =
                ((uint64_t)file << FILE_SHIFT) + (uint64_t)offset;
    return address;
}

int crash_munmap(void *address, size_t length)
{
    return memory.current == NO_WORLD ? munmap(address, length) : 0;
}

int crash_madvise(void *address, size_t length, int advice)
{
    return memory.current == NO_WORLD ? madvise(address, length, advice) : 0;
}

/* Nothing is protected: scenarios say where a store would fault. */
int crash_mprotect(void *address, size_t length, int protection)
{
    (void)address;
    (void)length;
    (void)protection;
    return 0;
}

/* The same numbers at each run, another for each file: a state found twice is counted
 * once. */
ssize_t crash_getrandom(void *to, size_t length, unsigned flags)
{
    (void)flags;
    memset(to, 0x5a + (memory.current == LIVE ? state[LIVE].last : 0), length);
    return (ssize_t)length;
}

/* That of userfaultfd, which is not there. */
long crash_syscall(long number, ...)
{
    (void)number;
    errno = ENOSYS;
    return -1;
}
