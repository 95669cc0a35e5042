/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Page protection: see protect.h.
 */
#include "ranges/protect.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "media/format.h"

/* Touched pages within so few are protected again by one call, which costs less than
 * a call for each. */
#define ONE_CALL 512u

/* A userfaultfd whose faults come as signals: in user mode only, which needs no
 * privilege.  What the kernel itself stores, for a system call, fails with EFAULT. */
static int signalling_fd(void)
{
#if defined(UFFD_USER_MODE_ONLY) && defined(UFFD_FEATURE_WP_HUGETLBFS_SHMEM)
    struct uffdio_api api = {.api = UFFD_API,
                             .features = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_PAGEFAULT_FLAG_WP |
                                         UFFD_FEATURE_WP_HUGETLBFS_SHMEM};
    const int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

    if (fd < 0 || ioctl(fd, UFFDIO_API, &api) == 0)
        return fd;
    close(fd);
#endif
    return -1;
}

static int cover(const struct vi_protect *protect, unsigned char *from, size_t size)
{
    struct uffdio_register area = {.range = {(uintptr_t)from, size},
                                   .mode = UFFDIO_REGISTER_MODE_WP};

    return ioctl(protect->fd, UFFDIO_REGISTER, &area);
}

void vi_protect_open(struct vi_protect *protect, unsigned char *base, size_t size, bool by_mprotect)
{
    protect->base = base;
    protect->fd = by_mprotect ? -1 : signalling_fd();
    if (protect->fd >= 0 && cover(protect, base, size) != 0)
        vi_protect_close(protect); /* not a file of tmpfs */
}

void vi_protect_close(struct vi_protect *protect)
{
    if (protect->fd >= 0)
        close(protect->fd);
    protect->fd = -1;
}

int vi_protect_set(const struct vi_protect *protect, uint64_t page, uint64_t count, bool writable)
{
    unsigned char *from = protect->base + page * VI_PAGE;
    struct uffdio_writeprotect area = {.range = {(uintptr_t)from, count * VI_PAGE},
                                       .mode = writable ? 0 : UFFDIO_WRITEPROTECT_MODE_WP};
    int result;

    if (protect->fd < 0)
        return mprotect(from, count * VI_PAGE, writable ? PROT_READ | PROT_WRITE : PROT_READ);
    do
        result = ioctl(protect->fd, UFFDIO_WRITEPROTECT, &area);
    while (result != 0 && (errno == EAGAIN ||
                           /* mapped since then: the segment has grown */
                           (errno == ENOENT && cover(protect, from, count * VI_PAGE) == 0)));
    return result;
}

void vi_protect_set_open(struct vi_protect *protect, uint64_t page, uint64_t end)
{
    for (; page < end; page++) {
        protect->open[page / 64] |= (uint64_t)1 << page % 64;
        protect->touched[protect->count++] = (uint32_t)page;
    }
}

void vi_protect_widen(const struct vi_protect *protect, uint64_t pages, uint64_t *page,
                      uint64_t *end)
{
    uint64_t low = *page, high = *end;
    bool down;

    while (low > 0 && !vi_is_open(protect, low - 1))
        low--;
    while (high < pages && !vi_is_open(protect, high))
        high++;
    down = low > 0 && (high == pages || *page - low <= high - *end);
    if (down || high == pages)
        *page = low;
    if (!down)
        *end = high;
}

/* Pages close to each other by one call, others run by run. */
int vi_protect_again(struct vi_protect *protect, bool others)
{
    uint64_t low = UINT64_MAX, high = 0;
    bool at_once;
    int result = 0;

    for (uint64_t i = 0; i < protect->count; i++) {
        const uint64_t page = protect->touched[i];

        low = page < low ? page : low;
        high = page >= high ? page + 1 : high;
    }
    at_once = protect->count != 0 && high - low <= (others ? protect->count : ONE_CALL);
    if (at_once)
        result = vi_protect_set(protect, low, high - low, false);
    for (uint64_t i = 0; i < protect->count && !at_once; i++) {
        low = high = protect->touched[i];
        if (low > 0 && vi_is_open(protect, low - 1))
            continue;
        while (vi_is_open(protect, high))
            high++;
        result |= vi_protect_set(protect, low, high - low, false);
    }
    while (protect->count > 0)
        protect->open[protect->touched[--protect->count] / 64] = 0;
    return result;
}
