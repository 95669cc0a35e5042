/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Files: open, lock, allocate, identify.  All functions return -1 with errno and
 * a message that names the path.
 */
#ifndef VI_MEDIA_FILE_H
#define VI_MEDIA_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct vi_file {
    const char *path; /* the caller's */
    int fd;           /* -1: not open */
    bool made;        /* it was not there before */
    bool linked;      /* it had a name when it was opened */
    bool copy_on_write;
    bool in_memory;  /* on tmpfs or ramfs: gone when the machine is */
    bool overlay;    /* on overlayfs */
    uint64_t birth;  /* when it was made, in nanoseconds since 1970; 0: unknown */
    uint64_t size;   /* when it was opened */
    uint64_t blocks; /* bytes allocated, when it was opened */
    uint64_t device;
    uint64_t inode;
};

/* Opens a regular file and takes its lock, shared when VISTA_READ_ONLY is in
 * `flags`; VISTA_CREATE and VISTA_EXCLUSIVE as in vista_map. */
int vi_file_open(struct vi_file *file, const char *path, unsigned flags, mode_t mode,
                 unsigned wait_ms);
/* Opens one to read it beside whoever has its lock. */
int vi_file_open_unlocked(struct vi_file *file, const char *path);

/* Moves the descriptor to the lowest free number from `floor` on, where the program's own
 * next is not to be changed by ours. */
int vi_file_raise(struct vi_file *file, unsigned floor);

/* Unlocks and closes.  In a forked child, which has only a duplicate of the parent's
 * descriptor and no say about its lock: closes. */
void vi_file_close(struct vi_file *file);
void vi_file_forget(struct vi_file *file);

/* Makes the file `size` bytes long. */
int vi_file_truncate(const struct vi_file *file, uint64_t size);

/* The file is what was opened, at least `size` bytes long.  What it is not while it is
 * mapped someone else did: ENOENT it was removed, EBADMSG truncated. */
int vi_file_check(const struct vi_file *file, uint64_t size);

/* Allocates disk blocks, so that no store can find the disk full; as far as the file
 * reaches, EBADMSG beyond. */
int vi_file_allocate(const struct vi_file *file, uint64_t offset, uint64_t length);

/* The same without a message, for signal handlers: 0, or an errno. */
int vi_file_back(const struct vi_file *file, uint64_t offset, uint64_t length);

/* Bytes free on the file's disk, UINT64_MAX when it cannot be told. */
uint64_t vi_file_room(const struct vi_file *file);
/* Bytes of a part that are holes, or allocated and never stored to; 0 when it cannot be told. */
uint64_t vi_file_holes(const struct vi_file *file, uint64_t offset, uint64_t length);
/* Gives the disk blocks of these back. */
void vi_file_punch_holes(const struct vi_file *file, uint64_t offset, uint64_t length);

/* Gives disk blocks back where the file system can; the bytes then read as zero. */
void vi_file_punch(const struct vi_file *file, uint64_t offset, uint64_t length);

/* Makes a file's name durable; its path has no links. */
int vi_file_sync_name(const char *path);

#endif
