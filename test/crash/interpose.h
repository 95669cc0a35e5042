/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Included before all else in the objects of the library that the explorer links:
 * calls whose stores the compiler does not show go to instrument.c, calls of the system to
 * files.c.
 */
#ifndef CRASH_INTERPOSE_H
#define CRASH_INTERPOSE_H

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "instrument.h"

/* Chains that are not kept are within the reach of a small memory. */
#define VI_LOG_KEPT ((uint64_t)256 << 10)

/* Whoever frees the last block of a small heap is to give its disk blocks back at once. */
#define VI_IDLE_KEPT 0u

#define memcpy(to, from, length) crash_memcpy(to, from, length)
#define memmove(to, from, length) crash_memmove(to, from, length)
#define memset(to, value, length) crash_memset(to, value, length)
#define pthread_mutex_lock(mutex) crash_mutex_lock(mutex)

#define open(...) crash_open(__VA_ARGS__)
#define close(fd) crash_close(fd)
#define read(fd, to, length) crash_read(fd, to, length)
#define pread(fd, to, length, offset) crash_pread(fd, to, length, offset)
#define fstat(fd, st) crash_fstat(fd, st)
#define stat(path, st) crash_stat(path, st)
#define fstatfs(fd, fs) crash_fstatfs(fd, fs)
#define statx(fd, path, flags, mask, out) ((void)(out), -1)
#define fcntl(fd, command, lock) crash_fcntl(fd, command, (uintptr_t)(lock))
#define ftruncate(fd, size) crash_ftruncate(fd, size)
#define posix_fallocate(fd, offset, length) crash_posix_fallocate(fd, offset, length)
#define fallocate(fd, mode, offset, length) crash_fallocate(fd, mode, offset, length)
#define lseek(fd, offset, whence) crash_lseek(fd, offset, whence)
#define fsync(fd) crash_fsync(fd)
#define unlink(path) crash_unlink(path)
#define realpath(path, resolved) crash_realpath(path, resolved)
#define fopen(path, mode) crash_fopen(path, mode)
#define mmap(address, length, protection, flags, fd, offset) \
    crash_mmap(address, length, protection, flags, fd, offset)
#define munmap(address, length) crash_munmap(address, length)
#define madvise(address, length, advice) crash_madvise(address, length, advice)
#define mprotect(address, length, protection) crash_mprotect(address, length, protection)
#define getrandom(to, length, flags) crash_getrandom(to, length, flags)
#define syscall(...) crash_syscall(__VA_ARGS__)

#endif
