/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Input and output of the disk class: see io.h.
 */
#include "media/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

const struct vi_io_ops *vi_io_test_ops;

/* Past the page cache goes a descriptor of its own, for the flag belongs to the open file. */
static ssize_t read_direct(int fd, void *to, size_t length, uint64_t offset)
{
    char path[32];
    ssize_t got;
    int own, error;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    own = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (own < 0)
        return errno = ENOTSUP, -1;
    got = pread(own, to, length, (off_t)offset);
    error = got < 0 && errno == EINVAL ? ENOTSUP : errno;
    close(own);
    errno = error;
    return got;
}

static ssize_t read_file(int fd, void *to, size_t length, uint64_t offset, bool direct)
{
    return direct ? read_direct(fd, to, length, offset) : pread(fd, to, length, (off_t)offset);
}

static ssize_t write_file(int fd, const struct iovec *from, int count, uint64_t offset,
                          bool durable)
{
    ssize_t done = pwritev2(fd, from, count, (off_t)offset, durable ? RWF_DSYNC : 0);

    if (done >= 0 || !durable || (errno != EOPNOTSUPP && errno != ENOSYS))
        return done;
    done = pwritev(fd, from, count, (off_t)offset);
    return done >= 0 && fdatasync(fd) != 0 ? -1 : done;
}

static void *map_file(int fd, uint64_t offset, size_t length)
{
    void *got = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);

    if (got == MAP_FAILED)
        return NULL;
    (void)madvise(got, length, MADV_DONTFORK); /* as the rest of a segment */
    return got;
}

static void unmap_file(void *address, size_t length)
{
    munmap(address, length);
}

static const struct vi_io_ops system_ops = {read_file, write_file, fdatasync, map_file, unmap_file};

const struct vi_io_ops *vi_io(void)
{
    return vi_io_test_ops != NULL ? vi_io_test_ops : &system_ops;
}

uint64_t vi_io_hole(int fd, uint64_t offset)
{
    const int error = errno;
    const off_t data = vi_io_test_ops == NULL ? lseek(fd, (off_t)offset, SEEK_DATA) : 0;
    const bool none = data < 0 && errno == ENXIO;

    errno = error;
    return none ? UINT64_MAX / 2 : data > (off_t)offset ? (uint64_t)data - offset : 0;
}

int vi_io_read(const struct vi_io_ops *io, int fd, void *to, size_t length, uint64_t offset,
               bool direct)
{
    while (length != 0) {
        const ssize_t got = (io->read)(fd, to, length, offset, direct);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            return errno = EBADMSG, -1;
        to = (char *)to + got;
        offset += (uint64_t)got;
        length -= (size_t)got;
    }
    return 0;
}

/* Drops `done` bytes from the front of the pieces; returns how many pieces are left. */
static int drop_front(struct iovec *parts, int count, size_t done)
{
    int first = 0;

    while (first < count && done >= parts[first].iov_len)
        done -= parts[first++].iov_len;
    for (int i = first; i < count; i++)
        parts[i - first] = parts[i];
    if (first < count) {
        parts[0].iov_base = (char *)parts[0].iov_base + done;
        parts[0].iov_len -= done;
    }
    return count - first;
}

int vi_io_write(const struct vi_io_ops *io, int fd, const struct iovec *from, int count,
                uint64_t offset, bool durable)
{
    struct iovec parts[VI_IO_PARTS];
    ssize_t done;

    for (int i = 0; i < count; i++)
        parts[i] = from[i];
    for (count = drop_front(parts, count, 0); count != 0;) {
        done = io->write(fd, parts, count, offset, durable);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        if (done == 0)
            return errno = EIO, -1;
        offset += (uint64_t)done;
        count = drop_front(parts, count, (size_t)done);
    }
    return 0;
}
