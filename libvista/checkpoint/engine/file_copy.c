/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Copies of checkpoint files: see file_copy.h.
 */
#include "checkpoint/engine/file_copy.h"

#include "vista.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "checkpoint/engine/guest_memory.h"

/* Bytes [at, end). */
static bool copy_part(int from, int to, off_t at, off_t end)
{
    static unsigned char part[1 << 18];

    while (at < end) {
        const size_t size = end - at < (off_t)sizeof part ? (size_t)(end - at) : sizeof part;
        const ssize_t got = pread(from, part, size, at);

        if (got <= 0 || pwrite(to, part, (size_t)got, at) != got)
            return false;
        at += got;
    }
    return true;
}

/* Where there are holes there are holes. */
static bool copy_data(int from, int to, off_t at, off_t end)
{
    while ((at = lseek(from, at, SEEK_DATA)) >= 0 && at < end) {
        const off_t hole = lseek(from, at, SEEK_HOLE);

        if (hole < 0 || !copy_part(from, to, at, hole < end ? hole : end))
            return false;
        at = hole;
    }
    return at >= 0 || errno == ENXIO;
}

/* The copy is of no process yet. */
static int orphan(vista_segment *segment)
{
    struct vi_header *header = vista_base(segment);

    header->parent = header->vpid;
    header->vpid = 0;
    return vista_unmap(segment);
}

/* A file's own header tells which file it is; the data behind it are the checkpoint. */
int vi_copy_checkpoint(const char *name, const char *copy)
{
    const int from = open(name, O_RDONLY | O_CLOEXEC);
    vista_segment *segment;
    struct vista_info info = {0};
    int error = 0;

    (void)unlink(copy); /* of a run that was killed with its supervisor */
    segment = from >= 0 ? vi_engine_map(copy) : NULL;
    if (segment != NULL)
        errno = 0;
    if (segment == NULL || vista_info(segment, &info) != 0 ||
        !copy_data(from, info.fd, (off_t)info.data_offset,
                   (off_t)(info.data_offset + vista_size(segment))))
        error = errno != 0 ? errno : EAGAIN;
    if (segment != NULL && orphan(segment) != 0)
        error = EIO;
    if (from >= 0)
        close(from);
    if (error != 0)
        (void)unlink(copy);
    return error;
}
