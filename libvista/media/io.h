/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Input and output of the disk class: every byte that is to survive a loss of power goes
 * through one table of operations, so that a test can put a simulated disk behind the whole
 * engine.  The functions beside the table deal with short transfers and errors.
 */
#ifndef VI_MEDIA_IO_H
#define VI_MEDIA_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct vi_io_ops {
    /* As pread.  `direct`: from the disk, past the page cache; ENOTSUP where that cannot be
     * had.  Offset, length and address are then multiples of 4 KiB. */
    ssize_t (*read)(int fd, void *to, size_t length, uint64_t offset, bool direct);
    /* As pwritev.  `durable`: what was written survives a loss of power once the call has
     * returned.  It says nothing of what was written before. */
    ssize_t (*write)(int fd, const struct iovec *from, int count, uint64_t offset, bool durable);
    /* Everything written to the file so far is durable on return. */
    int (*sync)(int fd);
    /* Maps a part of the file shared and writable: stores reach the page cache at once, the
     * disk at any time.  NULL with errno. */
    void *(*map)(int fd, uint64_t offset, size_t length);
    void (*unmap)(void *address, size_t length);
};

/* The operations in use. */
const struct vi_io_ops *vi_io(void);

/* For tests: the operations in use from now on (NULL: those of the system). */
extern const struct vi_io_ops *vi_io_test_ops;

/* Bytes from `offset` on that the file has no data for; 0 also where it cannot be told.  errno stays. */
uint64_t vi_io_hole(int fd, uint64_t offset);

/* Reads all of it: -1 with errno, EBADMSG when the file ends before. */
int vi_io_read(const struct vi_io_ops *io, int fd, void *to, size_t length, uint64_t offset,
               bool direct);

#define VI_IO_PARTS 2 /* pieces of memory that one call of vi_io_write may have */

/* Writes all of it, going on after a short write: -1 with errno, EIO without progress. */
int vi_io_write(const struct vi_io_ops *io, int fd, const struct iovec *from, int count,
                uint64_t offset, bool durable);

#endif
