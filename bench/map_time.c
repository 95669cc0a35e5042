/* SPDX-License-Identifier: BSD-3-Clause
 *
 * See map_time.h.
 */
#include "map_time.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Below where Linux puts programs and libraries, and where sanitizers allow it. */
#define ADDRESS ((void *)0x551000000000u)

struct mapping mapping_open(const struct session *session, size_t size)
{
    const int flags = O_RDWR | O_CLOEXEC | (session->existing ? 0 : O_CREAT | O_TRUNC);
    const int fd = open(session->path, flags, 0600);
    struct mapping mapping = {NULL, size};
    struct stat status;
    int error = 0;

    if (fd < 0 || fstat(fd, &status) != 0)
        bench_fail("%s: %s", session->path, strerror(errno));
    if (status.st_size > MAPPING_HEADER)
        mapping.size = (size_t)status.st_size;
    else /* new, or killed while it was made */
        error = posix_fallocate(fd, 0, (off_t)size);
    if (error != 0)
        bench_fail("%s: no room for %zu bytes: %s", session->path, size, strerror(error));
    mapping.base = mmap(ADDRESS, mapping.size, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
    if (mapping.base != ADDRESS)
        bench_fail("%s: cannot be mapped: %s", session->path, strerror(errno));
    close(fd);
    if (!session->existing)
        bench_prefault(mapping.base, mapping.size);
    return mapping;
}

void mapping_check(const struct pool *pool)
{
    if (pool->magic != 0 && pool->magic != POOL_MAGIC)
        bench_fail("not a file of vista-bench, or of another peer");
}

void mapping_start(const struct mapping *mapping, struct pool *pool)
{
    mapping_check(pool);
    if (pool->magic == POOL_MAGIC)
        return;
    pool->next = MAPPING_HEADER;
    pool->end = mapping->size;
    __atomic_store_n(&pool->magic, POOL_MAGIC, __ATOMIC_RELEASE);
}

void mapping_close(struct mapping *mapping)
{
    munmap(mapping->base, mapping->size);
}
