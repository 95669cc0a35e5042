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

void vi_protect_open(struct vi_protect *protect, unsigned char *base, size_t size, bool by_mprotect)
{
    struct uffdio_register area = {.range = {(uintptr_t)base, size},
                                   .mode = UFFDIO_REGISTER_MODE_WP};

    protect->base = base;
    protect->fd = by_mprotect ? -1 : signalling_fd();
    if (protect->fd >= 0 && ioctl(protect->fd, UFFDIO_REGISTER, &area) != 0)
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
    while (result != 0 && errno == EAGAIN);
    return result;
}
