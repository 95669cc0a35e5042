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

/* Pages that are remembered. */
#define KNOWN_BITS 12
#define KNOWN (1u << KNOWN_BITS)
/* The kernel makes room for as many as are asked for; more are seldom found. */
#define FIRST_REGIONS 64

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
        .flags = (protects ? SCAN_WP_MATCHING : 0) | SCAN_CHECK_WPASYNC,
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
        works = scan(pagemap, true, (uint64_t)page, (uint64_t)page + 2 * VI_GUEST_PAGE, &region, 1,
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
    dirty->room = KNOWN; /* a choice fits, too */
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
    size_t most = FIRST_REGIONS;

    while (start < end) {
        long found;

        make_room(dirty);
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

#define MOST_SAME 8u /* a fault costs about as much as to compare a page so often */

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

/* Chosen regions, not protected when they were found. */
struct choice {
    struct vi_region regions[KNOWN];
    size_t count;
    uint64_t pages;
};

static void choose(struct choice *choice, uint64_t page)
{
    if (choice->count == 0 || choice->regions[choice->count - 1].end != page)
        choice->regions[choice->count++] = (struct vi_region){.start = page};
    choice->regions[choice->count - 1].end = page + VI_GUEST_PAGE;
    choice->pages++;
}

/* Was it known to be written to?  From now on it is.  Without a choice it is protected, and will be stored. */
static bool look_at(const struct vi_dirty *dirty, uint64_t page, struct choice *choice,
                    bool (*is_same)(uint64_t page))
{
    struct known *k = &known[page / VI_GUEST_PAGE * 0x9e3779b97f4a7c15u >> (64 - KNOWN_BITS)];
    const bool again = k->page == page;

    if (!again)
        *k = (struct known){.page = page};
    if (choice == NULL)
        return again;
    if (is_same(page)) {
        k->same++;
    } else {
        k->same = 0;
        choose(choice, page);
    }
    if (!again || k->same == MOST_SAME)
        protect(dirty, page, page + VI_GUEST_PAGE);
    if (k->same == MOST_SAME)
        k->page = 0;
    return again;
}

void vi_dirty_choose(struct vi_dirty *dirty, bool (*is_same)(uint64_t page))
{
    static struct choice choice;
    const bool few = dirty->pages <= KNOWN / 2, steady = dirty->steady;
    uint64_t again = 0;

    choice.count = choice.pages = 0;
    for (size_t i = 0; i < dirty->count; i++) {
        const struct vi_region *r = &dirty->regions[i];

        for (uint64_t page = r->start; few && page < r->end; page += VI_GUEST_PAGE)
            again += look_at(dirty, page, steady ? &choice : NULL, is_same);
        if (!few && steady)
            protect(dirty, r->start, r->end);
    }
    dirty->steady = few && 4 * again >= 3 * dirty->pages;
    if (!few || !steady)
        return;
    memcpy(dirty->regions, choice.regions, choice.count * sizeof *dirty->regions);
    dirty->count = choice.count;
    dirty->pages = choice.pages;
}

struct iovec *vi_dirty_ranges(struct vi_dirty *dirty, size_t more)
{
    free(dirty->ranges);
    dirty->ranges = malloc((dirty->count + more) * sizeof *dirty->ranges);
    if (dirty->ranges == NULL)
        vi_give_up("no memory for a checkpoint");
    return dirty->ranges;
}
