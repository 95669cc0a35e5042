/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A check's own view of a file's metadata: see view.h.  To read a hole of a mapped file would
 * fill it with a page: in memory, and on tmpfs for good.  Metadata is laid out for the largest
 * size, and so nearly all of it may be holes.  They are left to memory of no file, which reads as
 * zero.
 */
#include "check/view.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "media/format.h"

#define ANONYMOUS (MAP_PRIVATE | MAP_NORESERVE | MAP_ANONYMOUS)

static bool map_part(const struct vi_file *file, unsigned char *view, uint64_t from, uint64_t to)
{
    return mmap(view + from, to - from, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED, file->fd, (off_t)from) != MAP_FAILED;
}

/* Maps what the file has between two offsets.  Where it cannot be told, or takes more mappings
 * than there are, all of the rest is mapped. */
static bool map_data(const struct vi_file *file, unsigned char *view, uint64_t size)
{
    uint64_t from = 0, to;

    for (; from < size; from = to) {
        const off_t data = lseek(file->fd, (off_t)from, SEEK_DATA);
        const off_t hole = data < 0 ? -1 : lseek(file->fd, data, SEEK_HOLE);

        if (data < 0 && errno == ENXIO)
            return true;
        from = data < 0 ? from : (uint64_t)data / VI_PAGE * VI_PAGE;
        to = hole < 0 ? size : ((uint64_t)hole + VI_PAGE - 1) / VI_PAGE * VI_PAGE;
        if (from >= size)
            return true;
        if (to > size)
            to = size;
        if (!map_part(file, view, from, to))
            return map_part(file, view, from, size);
    }
    return true;
}

unsigned char *vi_view_map(const struct vi_file *file, size_t size)
{
    unsigned char *view = mmap(NULL, size, PROT_READ | PROT_WRITE, ANONYMOUS, -1, 0);

    if (view != MAP_FAILED && map_data(file, view, size))
        return view;
    vi_fail_system(errno, "%s: cannot map %zu bytes of metadata", file->path, size);
    if (view != MAP_FAILED)
        munmap(view, size);
    return NULL;
}
