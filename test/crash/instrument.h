/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the library's objects call in place of functions of the C library: those that store
 * (instrument.c), and those of the system (files.c).
 */
#ifndef CRASH_INSTRUMENT_H
#define CRASH_INSTRUMENT_H

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/vfs.h>

/* What scenarios can set. */
struct hooks {
    bool no_space;         /* the disk is full */
    bool pretend;          /* real copies have the identity of what they are copies of */
    void (*blocked)(void); /* a lock is taken: let others run */
};
extern struct hooks hooks;

void *crash_memcpy(void *to, const void *from, size_t length);
void *crash_memmove(void *to, const void *from, size_t length);
void *crash_memset(void *to, int value, size_t length);
int crash_mutex_lock(pthread_mutex_t *mutex);

int crash_open(const char *path, int flags, ...);
int crash_close(int fd);
ssize_t crash_read(int fd, void *to, size_t length);
ssize_t crash_pread(int fd, void *to, size_t length, off_t offset);
int crash_fstat(int fd, struct stat *st);
int crash_stat(const char *path, struct stat *st);
int crash_fstatfs(int fd, struct statfs *fs);
int crash_fcntl(int fd, int command, uintptr_t argument);
int crash_ftruncate(int fd, off_t size);
int crash_posix_fallocate(int fd, off_t offset, off_t length);
int crash_fallocate(int fd, int mode, off_t offset, off_t length);
off_t crash_lseek(int fd, off_t offset, int whence);
int crash_fsync(int fd);
int crash_unlink(const char *path);
char *crash_realpath(const char *path, char *resolved);
FILE *crash_fopen(const char *path, const char *mode);
void *crash_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
int crash_munmap(void *address, size_t length);
int crash_madvise(void *address, size_t length, int advice);
int crash_mprotect(void *address, size_t length, int protection);
ssize_t crash_getrandom(void *to, size_t length, unsigned flags);
long crash_syscall(long number, ...);

#endif
