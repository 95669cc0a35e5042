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
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint/engine/layout.h"
#include "checkpoint/engine/run_report.h"

/* Newer than Debian 12's headers. */
#define WP_UNPOPULATED ((uint64_t)1 << 13)
#define WP_ASYNC ((uint64_t)1 << 15)
#define SCAN_WP_MATCHING ((uint64_t)1 << 0)
#define IS_WATCHED ((uint64_t)1 << 0)
#define IS_WRITTEN ((uint64_t)1 << 1)
#define IS_PRESENT ((uint64_t)1 << 3)
#define IS_SWAPPED ((uint64_t)1 << 4)

/* Pages that are remembered. */
#define KNOWN_BITS 12
#define KNOWN (1u << KNOWN_BITS)
/* The kernel makes room for as many as are asked for; more are seldom found. */
#define FIRST_REGIONS 64
#define MORE_RANGES 64

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

static long scan(int pagemap, bool protects, uint64_t start, uint64_t end,
                 struct vi_region *regions, size_t room, uint64_t *reached)
{
    struct scan_arguments a = {
        .size = sizeof a,
        .flags = protects ? SCAN_WP_MATCHING : 0,
        .start = start,
        .end = end,
        .vec = (uint64_t)regions,
        .vec_len = room,
        .category_mask = IS_WATCHED | IS_WRITTEN,
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
        works = scan(pagemap, true, (uint64_t)page, (uint64_t)page + 2 * VI_GUEST_PAGE, &region, 1,
                     &reached) == 1 &&
                region.start == (uint64_t)page + VI_GUEST_PAGE;
    }
    if (page != MAP_FAILED)
        munmap(page, 2 * VI_GUEST_PAGE);
    return works;
}

static void make_room(struct vi_dirty *dirty, size_t room)
{
    if (room <= dirty->room)
        return;
    dirty->regions = realloc(dirty->regions, 2 * room * sizeof *dirty->regions);
    dirty->ranges = realloc(dirty->ranges, (2 * room + MORE_RANGES) * sizeof *dirty->ranges);
    dirty->room = 2 * room;
    if (dirty->regions == NULL || dirty->ranges == NULL)
        vi_give_up("no memory to find written pages");
}

void vi_dirty_open(struct vi_dirty *dirty)
{
    *dirty = (struct vi_dirty){.watcher = open_watcher()};
    dirty->pagemap = vi_report_raise(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
    if (dirty->watcher < 0)
        vi_give_up("this kernel lacks userfaultfd with UFFD_FEATURE_WP_ASYNC (Linux 6.7)");
    if (dirty->pagemap < 0 || !scan_works(dirty->watcher, dirty->pagemap))
        vi_give_up("this kernel lacks PAGEMAP_SCAN with PM_SCAN_WP_MATCHING (Linux 6.7)");
    make_room(dirty, KNOWN); /* a choice fits, too */
}

void vi_dirty_watch(struct vi_dirty *dirty, void *address, uint64_t size)
{
    if (!watch(dirty->watcher, address, size))
        vi_give_up("written pages cannot be watched: %s", strerror(errno));
}

void vi_dirty_scan(struct vi_dirty *dirty, uint64_t start, uint64_t end)
{
    size_t most = FIRST_REGIONS;

    while (start < end) {
        long found;

        make_room(dirty, dirty->count + 256);
        if (most > dirty->room - dirty->count)
            most = dirty->room - dirty->count;
        found = scan(dirty->pagemap, !dirty->steady, start, end, dirty->regions + dirty->count,
                     most, &start);
        most = SIZE_MAX;
        if (found < 0)
            vi_give_up("written pages cannot be found: %s", strerror(errno));
        for (long i = 0; i < found; i++, dirty->count++)
            dirty->pages +=
                (dirty->regions[dirty->count].end - dirty->regions[dirty->count].start) /
                VI_GUEST_PAGE;
    }
}

/* ---- Pages that are written to again and again ---------------------------------- */

/* A fault, and a scan for it, cost more than to compare a page so often. */
#define MOST_SAME 32u

static struct known {
    uint64_t page;
    uint64_t same; /* how often it was, one time after the other */
} known[KNOWN];

static void protect(const struct vi_dirty *dirty, uint64_t start, uint64_t end)
{
    uint64_t reached;

    if (scan(dirty->pagemap, true, start, end, NULL, 0, &reached) < 0)
        vi_give_up("written pages cannot be protected: %s", strerror(errno));
}

/* Of what was found unprotected: the pages that a checkpoint stores; those that stay so. */
static struct list {
    struct vi_region regions[KNOWN];
    size_t count;
    uint64_t pages;
} chosen, open_pages;

static void add(struct list *list, uint64_t page)
{
    if (list->count == 0 || list->regions[list->count - 1].end != page)
        list->regions[list->count++] = (struct vi_region){.start = page};
    list->regions[list->count - 1].end = page + VI_GUEST_PAGE;
    list->pages++;
}

static void take(struct vi_dirty *dirty, const struct list *list)
{
    memcpy(dirty->regions, list->regions, list->count * sizeof *dirty->regions);
    dirty->count = list->count;
    dirty->pages = list->pages;
}

bool vi_dirty_repeat(struct vi_dirty *dirty, bool remapped)
{
    const uint64_t before = dirty->faults;
    struct rusage usage; /* of the process: its own, and those of the kernel for it */

    getrusage(RUSAGE_SELF, &usage);
    dirty->faults = (uint64_t)usage.ru_minflt + (uint64_t)usage.ru_majflt;
    if (remapped || dirty->faults != before || (!dirty->steady && open_pages.count != 0))
        return false; /* the last: a scan is to protect them */
    take(dirty, &open_pages);
    return true;
}

/* Was it known to be written to?  From now on it is. */
static bool look_at(const struct vi_dirty *dirty, uint64_t page, bool (*is_same)(uint64_t page))
{
    struct known *k = &known[page / VI_GUEST_PAGE * 0x9e3779b97f4a7c15u >> (64 - KNOWN_BITS)];
    const bool again = k->page == page;

    if (!again)
        *k = (struct known){.page = page};
    if (!dirty->steady) /* it is protected, and will be stored */
        return again;
    if (!is_same(page)) {
        k->same = 0;
        add(&chosen, page);
    } else if (++k->same == MOST_SAME) {
        /* It stays known: if the same is written again and again, it is to be found open. */
        protect(dirty, page, page + VI_GUEST_PAGE);
        k->same = 0;
        return again;
    }
    add(&open_pages, page);
    return again;
}

void vi_dirty_choose(struct vi_dirty *dirty, bool (*is_same)(uint64_t page))
{
    const bool few = dirty->pages <= KNOWN / 2, steady = dirty->steady;
    uint64_t again = 0;

    chosen.count = chosen.pages = open_pages.count = open_pages.pages = 0;
    for (size_t i = 0; i < dirty->count; i++) {
        const struct vi_region *r = &dirty->regions[i];

        for (uint64_t page = r->start; few && page < r->end; page += VI_GUEST_PAGE)
            again += look_at(dirty, page, is_same);
        if (!few && steady)
            protect(dirty, r->start, r->end);
    }
    dirty->steady = few && 4 * again >= 3 * dirty->pages;
    if (few && steady)
        take(dirty, &chosen);
}
