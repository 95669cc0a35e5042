/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What `vista-bench checkpoint` runs bare and under vista-run; each prints nanoseconds of processor
 * time.
 *
 *     bench_guest calls COUNT              a getuid, as libc makes it
 *     bench_guest traps COUNT              a getuid that vista-run cannot make without a trap
 *     bench_guest pages PAGES COUNT MIB    to write to so many pages of MIB MiB, and a checkpoint
 *     bench_guest floor PAGES COUNT MIB    the same pages found by a scan, and copied twice
 *     bench_guest beat                     a byte a millisecond, until it is ended
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "dc.h"

#define PAGE 4096

static uint64_t cpu_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int calls(unsigned count)
{
    const uint64_t begin = cpu_now();

    for (unsigned i = 0; i < count; i++)
        syscall(SYS_getuid);
    printf("%.1f\n", (double)(cpu_now() - begin) / count);
    return 0;
}

static int traps(unsigned count)
{
    const uint64_t begin = cpu_now();

    for (unsigned i = 0; i < count; i++) {
        long result = SYS_getuid;

        __asm__ volatile("nop\n syscall" : "+a"(result) : : "rcx", "r11", "memory");
    }
    printf("%.1f\n", (double)(cpu_now() - begin) / count);
    return 0;
}

static unsigned char *area_of(size_t size)
{
    unsigned char *area =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (area == MAP_FAILED)
        abort();
    madvise(area, size, MADV_NOHUGEPAGE);
    memset(area, 1, size);
    return area;
}

/* Spread evenly, so that each page is a range of its own. */
static void touch(unsigned char *area, size_t size, unsigned pages, unsigned turn)
{
    const size_t step = size / PAGE / pages * PAGE;

    for (unsigned i = 0; i < pages; i++)
        area[i * step + turn % PAGE] = (unsigned char)turn;
}

static int by_checkpoints(unsigned pages, unsigned count, size_t size)
{
    unsigned char *area = area_of(size);
    uint64_t begin;

    dc_checkpoint();
    begin = cpu_now();
    for (unsigned i = 0; i < count; i++) {
        touch(area, size, pages, i);
        if (dc_checkpoint() != 0)
            abort();
    }
    printf("%.0f\n", (double)(cpu_now() - begin) / count);
    return 0;
}

struct scan_arguments {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
struct region {
    uint64_t start, end, categories;
};
#define SCAN_CALL _IOWR('f', 16, struct scan_arguments)

/* Makes the written pages of the area known, and arms them again; how many regions. */
static long scan(int pagemap, unsigned char *area, size_t size, struct region *regions, size_t room)
{
    struct scan_arguments a = {.size = sizeof a,
                               .flags = 3, /* PM_SCAN_WP_MATCHING, PM_SCAN_CHECK_WPASYNC */
                               .start = (uint64_t)area,
                               .end = (uint64_t)area + size,
                               .vec = (uint64_t)regions,
                               .vec_len = room,
                               .category_mask = 2, /* PAGE_IS_WRITTEN */
                               .category_anyof_mask = 8,
                               .return_mask = 2};

    return ioctl(pagemap, SCAN_CALL, &a);
}

static int by_hand(unsigned pages, unsigned count, size_t size)
{
    unsigned char *area = area_of(size), *old = area_of(size), *copy = area_of(size);
    const int watcher = (int)syscall(SYS_userfaultfd, O_CLOEXEC | 1);
    const int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    struct uffdio_api api = {.api = UFFD_API, .features = 1u << 15 | 1u << 13};
    struct uffdio_register reg = {.range = {(uint64_t)area, size}, .mode = UFFDIO_REGISTER_MODE_WP};
    struct region *regions = malloc((pages + 1) * sizeof *regions);
    uint64_t begin;

    if (watcher < 0 || ioctl(watcher, UFFDIO_API, &api) != 0 ||
        ioctl(watcher, UFFDIO_REGISTER, &reg) != 0 || regions == NULL)
        abort();
    while (scan(pagemap, area, size, regions, pages) > 0)
        continue;
    begin = cpu_now();
    for (unsigned i = 0; i < count; i++) {
        long found;

        touch(area, size, pages, i);
        found = scan(pagemap, area, size, regions, pages + 1);
        if (found < 0)
            abort();
        for (long r = 0; r < found; r++) {
            const size_t at = regions[r].start - (uint64_t)area;
            const size_t length = regions[r].end - regions[r].start;

            memcpy(old + at, copy + at, length);
            memcpy(copy + at, area + at, length);
        }
    }
    printf("%.0f\n", (double)(cpu_now() - begin) / count);
    return 0;
}

static int beat(void)
{
    for (;;) {
        if (write(1, ".", 1) != 1)
            return 0;
        usleep(1000);
    }
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    const unsigned first = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
    const unsigned count = argc > 3 ? (unsigned)atoi(argv[3]) : 1;
    const size_t size = (argc > 4 ? (size_t)atoi(argv[4]) : 1) << 20;

    if (strcmp(what, "calls") == 0)
        return calls(first);
    if (strcmp(what, "traps") == 0)
        return traps(first);
    if (strcmp(what, "pages") == 0)
        return by_checkpoints(first, count, size);
    if (strcmp(what, "floor") == 0)
        return by_hand(first, count, size);
    if (strcmp(what, "beat") == 0)
        return beat();
    return 2;
}
