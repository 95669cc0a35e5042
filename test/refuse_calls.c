/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The library's calls of the system come by here (ld --wrap), and some are refused.
 * Also random numbers and checksums.
 */
#include "refuse_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wmissing-prototypes"

static struct {
    unsigned kinds, after, count, calls, hits;
    int error;
} fault;

void fault_set(unsigned kinds, unsigned after, unsigned count, int error)
{
    fault.kinds = kinds;
    fault.after = after;
    fault.count = count;
    fault.error = error;
    fault.calls = fault.hits = 0;
}

void fault_clear(void)
{
    fault.kinds = 0;
}

void fault_reset(void)
{
    fault.hits = 0;
}

unsigned fault_hits(void)
{
    return fault.hits;
}

unsigned fault_calls(void)
{
    return fault.calls;
}

int fault_refuse(unsigned kind, int usual)
{
    if (!(fault.kinds & kind))
        return 0;
    fault.calls++;
    if (fault.calls <= fault.after || fault.calls - fault.after > fault.count)
        return 0;
    fault.hits++;
    if (fault.error == EINTR) /* only where it may be */
        return kind == CALL_FALLOCATE || kind == CALL_OPEN ? EINTR : usual;
    return fault.error != 0 ? fault.error : usual;
}

#define WRAP(type, name, kind, usual, bad, parameters, arguments) \
    type __real_##name parameters; \
    type __wrap_##name parameters \
    { \
        const int error = fault_refuse(kind, usual); \
\
        if (error == 0) \
            return __real_##name arguments; \
        errno = error; \
        return bad; \
    }

WRAP(void *, mmap, CALL_MMAP, ENOMEM, MAP_FAILED,
     (void *at, size_t size, int protection, int flags, int fd, off_t offset),
     (at, size, protection, flags, fd, offset))
WRAP(int, madvise, CALL_MADVISE, ENOMEM, -1, (void *at, size_t size, int advice),
     (at, size, advice))
WRAP(int, fallocate, CALL_FALLOCATE, EOPNOTSUPP, -1, (int fd, int mode, off_t offset, off_t length),
     (fd, mode, offset, length))
WRAP(int, ftruncate, CALL_TRUNCATE, EFBIG, -1, (int fd, off_t length), (fd, length))
WRAP(int, fsync, CALL_SYNC, EIO, -1, (int fd), (fd))
WRAP(int, fdatasync, CALL_SYNC, EIO, -1, (int fd), (fd))
WRAP(int, msync, CALL_SYNC, EIO, -1, (void *at, size_t size, int flags), (at, size, flags))
WRAP(int, fstat, CALL_STAT, EIO, -1, (int fd, struct stat *st), (fd, st))
WRAP(int, fstatfs, CALL_STAT, EIO, -1, (int fd, struct statfs *fs), (fd, fs))
WRAP(ssize_t, pread, CALL_READ, EIO, -1, (int fd, void *to, size_t size, off_t offset),
     (fd, to, size, offset))
WRAP(int, pthread_setspecific, CALL_THREAD, ENOMEM, error, (pthread_key_t key, const void *value),
     (key, value))

#pragma weak __wrap_mprotect /* the fuzzers have their own */
WRAP(int, mprotect, CALL_PROTECT, ENOMEM, -1, (void *at, size_t size, int protection),
     (at, size, protection))

/* Only those of userfaultfd. */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
    const int error = number == SYS_userfaultfd ? fault_refuse(CALL_USERFAULT, EPERM) : 0;
    va_list list;
    long a[4];

    va_start(list, number);
    for (int i = 0; i < 4; i++) /* none of the library's has more */
        a[i] = va_arg(list, long);
    va_end(list);
    if (error == 0)
        return __real_syscall(number, a[0], a[1], a[2], a[3]);
    errno = error;
    return -1;
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
    const int error = _IOC_TYPE(request) == UFFDIO ? fault_refuse(CALL_USERFAULT, ENOMEM) : 0;
    va_list list;
    void *argument;

    va_start(list, request);
    argument = va_arg(list, void *);
    va_end(list);
    if (error == 0)
        return __real_ioctl(fd, request, argument);
    errno = error;
    return -1;
}

int64_t disk_room = INT64_MAX;

int __real_posix_fallocate(int fd, off_t offset, off_t length);
int __wrap_posix_fallocate(int fd, off_t offset, off_t length)
{
    const int error = fault_refuse(CALL_FALLOCATE, ENOSPC);

    if (error == EINTR) /* it is to be made again: no reason to fail */
        fault.hits--;
    if (error != 0)
        return error;
    return length > disk_room ? ENOSPC : __real_posix_fallocate(fd, offset, length);
}

bool boot_id_refused, boot_id_known;

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    const bool boot_id = strstr(path, "boot_id") != NULL;
    const int error = boot_id && boot_id_known ? 0 : fault_refuse(CALL_OPEN, EMFILE);
    va_list arguments;
    mode_t mode = 0;

    if (error != 0) {
        boot_id_refused |= boot_id;
        errno = error;
        return -1;
    }
    if (flags & O_CREAT) {
        va_start(arguments, flags);
        mode = (mode_t)va_arg(arguments, int);
        va_end(arguments);
    }
    return __real_open(path, flags, mode);
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
    int error = 0;
    va_list arguments;
    void *argument;

    va_start(arguments, command);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    if (command == F_OFD_SETLK && ((struct flock *)argument)->l_type != F_UNLCK)
        error = fault_refuse(CALL_LOCK, ENOLCK);
    if (error == 0)
        return __real_fcntl(fd, command, argument);
    errno = error;
    return -1;
}

/* ---- Numbers ----------------------------------------------------------- */

static uint64_t random_state; /* 0: as random as they are */

void random_restart(void)
{
    random_state = 1;
}

ssize_t __real_getrandom(void *to, size_t length, unsigned flags);
ssize_t __wrap_getrandom(void *to, size_t length, unsigned flags)
{
    unsigned char *bytes = to;

    if (random_state == 0)
        return __real_getrandom(to, length, flags);
    for (size_t i = 0; i < length; i++) {
        random_state = random_state * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (unsigned char)(random_state >> 56);
    }
    return (ssize_t)length;
}

bool checksums_agree;

uint32_t __real_vi_crc32c(uint32_t crc, const void *data, size_t length);
uint32_t __wrap_vi_crc32c(uint32_t crc, const void *data, size_t length)
{
    return checksums_agree ? 0x5eedf00d : __real_vi_crc32c(crc, data, length);
}
