/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The finder of written pages: see dirty.h.
 */
#include "checkpoint/engine/dirty.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint/engine/layout.h"
#include "checkpoint/engine/run_report.h"

/* Newer than Debian 12's headers. */
#define WP_UNPOPULATED ((uint64_t)1 << 13)
#define WP_ASYNC ((uint64_t)1 << 15)
#define SCAN_WP_MATCHING ((uint64_t)1 << 0)
#define SCAN_CHECK_WPASYNC ((uint64_t)1 << 1)
#define IS_WRITTEN ((uint64_t)1 << 1)
#define IS_PRESENT ((uint64_t)1 << 3)
#define IS_SWAPPED ((uint64_t)1 << 4)

struct scan_arguments {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN_CALL _IOWR('f', 16, struct scan_arguments)

static int open_watcher(void)
{
    const int fd = vi_report_raise((int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY));
    struct uffdio_api api = {.api = UFFD_API, .features = WP_ASYNC | WP_UNPOPULATED};

    if (fd >= 0 && ioctl(fd, UFFDIO_API, &api) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool watch(int watcher, void *address, uint64_t size)
{
    struct uffdio_register r = {.range = {(uint64_t)address, size},
                                .mode = UFFDIO_REGISTER_MODE_WP};

    return ioctl(watcher, UFFDIO_REGISTER, &r) == 0;
}

static long scan(int pagemap, uint64_t start, uint64_t end, struct vi_region *regions, size_t room,
                 uint64_t *reached)
{
    struct scan_arguments a = {
        .size = sizeof a,
        .flags = SCAN_WP_MATCHING | SCAN_CHECK_WPASYNC,
        .start = start,
        .end = end,
        .vec = (uint64_t)regions,
        .vec_len = room,
        .category_mask = IS_WRITTEN,
        .category_anyof_mask = IS_PRESENT | IS_SWAPPED, /* holes would match without */
        .return_mask = IS_WRITTEN,
    };
    const long found = ioctl(pagemap, PAGEMAP_SCAN_CALL, &a);

    *reached = a.walk_end;
    return found;
}

/* Tries the scan on a page of its own, since version numbers tell little. */
static bool scan_works(int watcher, int pagemap)
{
    unsigned char *page =
        mmap(NULL, 2 * VI_GUEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct vi_region region = {0};
    uint64_t reached;
    bool works = page != MAP_FAILED && watch(watcher, page, 2 * VI_GUEST_PAGE);

    if (works) {
        page[VI_GUEST_PAGE] = 1;
        works = scan(pagemap, (uint64_t)page, (uint64_t)page + 2 * VI_GUEST_PAGE, &region, 1,
                     &reached) == 1 &&
                region.start == (uint64_t)page + VI_GUEST_PAGE;
    }
    if (page != MAP_FAILED)
        munmap(page, 2 * VI_GUEST_PAGE);
    return works;
}

void vi_dirty_open(struct vi_dirty *dirty)
{
    *dirty = (struct vi_dirty){.watcher = open_watcher()};
    dirty->pagemap = vi_report_raise(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
    if (dirty->watcher < 0)
        vi_give_up("this kernel lacks userfaultfd with UFFD_FEATURE_WP_ASYNC (Linux 6.7)");
    if (dirty->pagemap < 0 || !scan_works(dirty->watcher, dirty->pagemap))
        vi_give_up("this kernel lacks PAGEMAP_SCAN with PM_SCAN_WP_MATCHING (Linux 6.7)");
    dirty->room = 1024;
    dirty->regions = malloc(dirty->room * sizeof *dirty->regions);
    if (dirty->regions == NULL)
        vi_give_up("no memory to find written pages");
}

void vi_dirty_watch(struct vi_dirty *dirty, void *address, uint64_t size)
{
    if (!watch(dirty->watcher, address, size))
        vi_give_up("written pages cannot be watched: %s", strerror(errno));
}

static void make_room(struct vi_dirty *dirty)
{
    struct vi_region *larger;

    if (dirty->count + 256 <= dirty->room)
        return;
    larger = realloc(dirty->regions, 2 * dirty->room * sizeof *larger);
    if (larger == NULL)
        vi_give_up("no memory for a checkpoint");
    dirty->regions = larger;
    dirty->room *= 2;
}

void vi_dirty_scan(struct vi_dirty *dirty, uint64_t start, uint64_t end)
{
    while (start < end) {
        long found;

        make_room(dirty);
        found = scan(dirty->pagemap, start, end, dirty->regions + dirty->count,
                     dirty->room - dirty->count, &start);
        if (found < 0)
            vi_give_up("written pages cannot be found: %s", strerror(errno));
        for (long i = 0; i < found; i++, dirty->count++)
            dirty->pages +=
                (dirty->regions[dirty->count].end - dirty->regions[dirty->count].start) /
                VI_GUEST_PAGE;
    }
}

struct iovec *vi_dirty_ranges(struct vi_dirty *dirty, size_t more)
{
    free(dirty->ranges);
    dirty->ranges = malloc((dirty->count + more) * sizeof *dirty->ranges);
    if (dirty->ranges == NULL)
        vi_give_up("no memory for a checkpoint");
    return dirty->ranges;
}
