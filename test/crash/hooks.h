/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What scenarios can set in the functions that stand in for the system's.
 */
#ifndef CRASH_HOOKS_H
#define CRASH_HOOKS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct hooks {
    bool no_space;          /* the disk is full */
    bool pretend;           /* copies have the live file's identity */
    uint64_t device, inode; /* which is this */
    void (*blocked)(void);  /* a lock is taken: let others run */
};
extern struct hooks hooks;

void *crash_memcpy(void *to, const void *from, size_t length);
void *crash_memmove(void *to, const void *from, size_t length);
void *crash_memset(void *to, int value, size_t length);
void *crash_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
int crash_mprotect(void *address, size_t length, int protection);
int crash_posix_fallocate(int fd, off_t offset, off_t length);
int crash_fallocate(int fd, int mode, off_t offset, off_t length);
int crash_fstat(int fd, struct stat *st);
int crash_stat(const char *path, struct stat *st);
ssize_t crash_getrandom(void *to, size_t length, unsigned flags);
int crash_mutex_lock(pthread_mutex_t *mutex);

#endif
