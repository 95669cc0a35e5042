/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Included before all else in the objects of the library that the explorer links:
 * calls whose stores the compiler does not show, and calls of the system, go to
 * hooks.c.
 */
#ifndef CRASH_INTERPOSE_H
#define CRASH_INTERPOSE_H

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "hooks.h"

/* Chains that are not kept are within the reach of a small memory. */
#define VI_LOG_KEPT ((uint64_t)256 << 10)

#define memcpy(to, from, length) crash_memcpy(to, from, length)
#define memmove(to, from, length) crash_memmove(to, from, length)
#define memset(to, value, length) crash_memset(to, value, length)
#define mmap(address, length, protection, flags, fd, offset) \
    crash_mmap(address, length, protection, flags, fd, offset)
#define mprotect(address, length, protection) crash_mprotect(address, length, protection)
#define posix_fallocate(fd, offset, length) crash_posix_fallocate(fd, offset, length)
#define fallocate(fd, mode, offset, length) crash_fallocate(fd, mode, offset, length)
#define fstat(fd, st) crash_fstat(fd, st)
#define stat(path, st) crash_stat(path, st)
#define getrandom(to, length, flags) crash_getrandom(to, length, flags)
#define pthread_mutex_lock(mutex) crash_mutex_lock(mutex)

#endif
