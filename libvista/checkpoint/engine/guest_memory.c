/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The engine: see guest_memory.h.
 */
#include "checkpoint/engine/guest_memory.h"

#include "vista.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint/engine/dirty.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/files/zone.h"

#define GIB ((uint64_t)1 << 30)
#define LOG_KEPT ((size_t)64 << 20) /* a checkpoint of 16,000 pages relinks no chunk */

static const struct {
    uint64_t base, size;
} areas[VI_AREAS] = {
    [VI_AREA_FIXED] = {0x200000, GIB},
    [VI_AREA_IMAGE] = {0x100000000000, GIB},
    [VI_AREA_BREAK] = {0x110000000000, 8 * GIB},
    [VI_AREA_MMAP] = {0x210000000000, 32 * GIB},
    [VI_AREA_STACK] = {0x2fffe0000000, GIB / 16},
};

struct vi_engine vi_engine;
static vista_segment *segment;
static struct vista_info info; /* of it: its file */
static unsigned char *shared;
static struct vi_dirty dirty;
/* Behind it nothing of an area was stored by the last checkpoint; what lies there is logged by none. */
static uint64_t stored_high[VI_AREAS];
/* Of what is not writable, between what is: to scan it, too, costs less than to scan twice. */
#define MOST_BETWEEN ((uint64_t)1 << 20)

uint64_t vi_area_start(enum vi_area area)
{
    return areas[area].base + (area == VI_AREA_FIXED ? 0 : vi_engine.header->slide);
}

uint64_t vi_area_end(enum vi_area area)
{
    return vi_area_start(area) + areas[area].size;
}

enum vi_area vi_area_of(uint64_t address)
{
    enum vi_area area = 0;

    while (area < VI_AREAS && (address < vi_area_start(area) || address >= vi_area_end(area)))
        area++;
    return area;
}

static uint64_t area_offset(enum vi_area area)
{
    uint64_t offset = VI_HEADER_SIZE + VI_CONTROL_SIZE;

    for (enum vi_area before = 0; before < area; before++)
        offset += areas[before].size;
    return offset;
}

/* Where in the shared mapping a page of the guest or of the control state is stored. */
static unsigned char *stored_at(uint64_t address)
{
    const enum vi_area area = vi_area_of(address);

    if (area == VI_AREAS)
        return shared + VI_HEADER_SIZE + (address - (uint64_t)vi_engine.control);
    return shared + area_offset(area) + (address - vi_area_start(area));
}

static uint64_t offset_of(uint64_t address)
{
    return info.data_offset + (uint64_t)(stored_at(address) - shared);
}

bool vi_engine_write(int fd, const void *bytes, uint64_t length, uint64_t offset)
{
    while (length != 0) {
        const ssize_t put = pwrite(fd, bytes, length, (off_t)offset);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        bytes = (const char *)bytes + put;
        offset += (uint64_t)put;
        length -= (uint64_t)put;
    }
    return true;
}

/* Private memory of the guest: a view of the file where something is stored; else anonymous, which needs no
 * page of the file before a checkpoint stores it. */
static void map_memory(uint64_t start, uint64_t end, int protection, int flags)
{
    const bool anonymous = flags & MAP_ANONYMOUS;
    void *memory;

    if (start == end)
        return;
    memory = mmap((void *)start, end - start, protection, MAP_PRIVATE | MAP_NORESERVE | flags,
                  anonymous ? -1 : info.fd, anonymous ? 0 : (off_t)offset_of(start));
    if ((uint64_t)memory != start)
        vi_give_up("the program's memory at %llx cannot be mapped: %s", (unsigned long long)start,
                   strerror(errno));
    (void)madvise(memory, end - start, MADV_NOHUGEPAGE);
    (void)madvise(memory, end - start, MADV_RANDOM); /* what lies beside may be no one's */
}

void vi_engine_watch(uint64_t start, uint64_t end)
{
    vi_dirty_watch(&dirty, (void *)start, end - start);
}

bool vi_engine_is_new(uint64_t start)
{
    const enum vi_area area = vi_area_of(start);

    return area != VI_AREAS && start >= stored_high[area];
}

/* What was stored last.  The dynamic linker maps a library as a whole, and then the parts of it again in their
 * places, where they are already. */
static struct part {
    uint64_t start, end, offset;
    struct stat file;
} filled;

static bool is_there(const struct part *p)
{
    return p->start >= filled.start && p->end <= filled.end &&
           p->start - filled.start == p->offset - filled.offset &&
           p->file.st_dev == filled.file.st_dev && p->file.st_ino == filled.file.st_ino &&
           memcmp(&p->file.st_ctim, &filled.file.st_ctim, sizeof p->file.st_ctim) == 0;
}

void vi_engine_unmapped(void)
{
    filled.end = 0;
}

long vi_engine_fill(uint64_t start, uint64_t end, int fd, uint64_t offset)
{
    static unsigned char bytes[16 * VI_GUEST_PAGE];
    struct part part = {.start = start, .end = end, .offset = offset};
    const bool fresh = vi_engine_is_new(start);
    uint64_t size;

    if (fresh)
        map_memory(start, end, PROT_NONE, MAP_FIXED);
    (void)fstat(fd, &part.file);
    if (fresh && is_there(&part))
        return 0;
    filled.end = 0;
    for (uint64_t at = start; at < end; at += size) {
        const uint64_t most = end - at < sizeof bytes ? end - at : sizeof bytes;
        const ssize_t got = pread(fd, bytes, most, (off_t)(offset + at - start));

        if (got < 0)
            return -errno;
        if (got == 0 && (!fresh || at >= vi_engine.control->high[vi_area_of(at)]))
            break; /* what lies there is zero */
        if (got == 0)
            memset(bytes, 0, most);
        size = got > 0 ? (uint64_t)got : most;
        if (!fresh)
            memcpy((void *)at, bytes, size);
        else if (!vi_engine_write(info.fd, bytes, size, offset_of(at)))
            vi_engine_stop(strerror(errno));
    }
    if (fresh && part.file.st_ctim.tv_sec < time(NULL) - 1) /* else it may change unseen */
        filled = part;
    return 0;
}

/* ---- Opening ------------------------------------------------------------- */

vista_segment *vi_engine_map(const char *path)
{
    const uint64_t size = area_offset(VI_AREAS);
    const struct vista_map_options options = {.max_size = size,
                                              .log_kept = LOG_KEPT,
                                              .lock_wait_ms = VI_DEATH_MS,
                                              .descriptor_floor = VI_DESCRIPTORS};
    const unsigned flags =
        VISTA_CREATE | VISTA_NO_HEAP | VISTA_SPARSE | VISTA_ANY_ADDRESS | VISTA_KILL_SAFE;

    return vista_map(path, size, flags, &options);
}

/* A checkpoint that was killed may have left something behind what was used.  To look for it is quick,
 * to remove nothing is not. */
static void clean(enum vi_area area)
{
    const uint64_t used = vi_engine.control->high[area];
    const uint64_t high = used != 0 ? used : vi_area_start(area), end = vi_area_end(area);
    off_t from, found;

    stored_high[area] = high;
    if (high == end)
        return;
    from = (off_t)offset_of(high);
    found = lseek(info.fd, from, SEEK_DATA);
    if (found < 0 ? errno == ENXIO : found >= from + (off_t)(end - high))
        return;
    if (madvise(stored_at(high), end - high, MADV_REMOVE) != 0)
        stored_high[area] = vi_engine.control->high[area] = end;
}

static void open_areas(void)
{
    const struct vi_control *control;

    if (vista_info(segment, &info) != 0)
        vi_give_up("%s", vista_errormsg());
    vi_engine.control = (void *)(vi_area_end(VI_AREA_STACK) + VI_GUEST_PAGE);
    map_memory((uint64_t)vi_engine.control, (uint64_t)vi_engine.control + VI_CONTROL_SIZE,
               PROT_READ | PROT_WRITE,
               MAP_FIXED_NOREPLACE | (vi_engine.header->started ? 0 : MAP_ANONYMOUS));
    vi_engine_watch((uint64_t)vi_engine.control, (uint64_t)vi_engine.control + VI_CONTROL_SIZE);
    control = vi_engine.control;
    for (enum vi_area area = 0; area < VI_AREAS; area++) {
        clean(area);
        map_memory(vi_area_start(area), stored_high[area], PROT_NONE, MAP_FIXED_NOREPLACE);
        map_memory(stored_high[area], vi_area_end(area), PROT_NONE,
                   MAP_FIXED_NOREPLACE | MAP_ANONYMOUS);
        vi_engine_watch(vi_area_start(area), vi_area_end(area));
    }
    for (uint64_t i = 0; i < control->map_count; i++) {
        const struct vi_map_entry *map = &control->maps[i];

        if (mprotect((void *)map->start, map->end - map->start, (int)map->protection | PROT_READ) !=
            0)
            vi_give_up("memory at %llx: %s", (unsigned long long)map->start,
                       errno == EACCES ? "the file lies on a file system mounted noexec"
                                       : strerror(errno));
    }
}

static void begin(struct vi_header *header)
{
    uint64_t random = 0;

    (void)!getrandom(&random, sizeof random, 0);
    header->magic = VI_CHECKPOINT_MAGIC;
    header->version = VI_CHECKPOINT_VERSION;
    header->slide = random % (GIB / 4 / VI_GUEST_PAGE) * VI_GUEST_PAGE;
}

void vi_engine_change(void (*change)(struct vi_header *header), size_t length)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    if (tx == NULL || vista_set_range(tx, vi_engine.header, length) != 0)
        vi_give_up("%s", vista_errormsg());
    change(vi_engine.header);
    vista_end_transaction(tx, 0);
}

void vi_engine_open(const char *path)
{
    struct vi_header *header;

    vi_dirty_open(&dirty);
    segment = vi_engine_map(path);
    if (segment == NULL)
        vi_give_up("%s", vista_errormsg());
    if (vista_size(segment) != area_offset(VI_AREAS))
        vi_give_up("%s: not a checkpoint file of this version", path);
    shared = vista_base(segment);
    /* Where nothing is stored, to read ahead would make pages of zeroes. */
    (void)madvise(shared, area_offset(VI_AREAS), MADV_RANDOM);
    header = (struct vi_header *)shared;
    vi_engine.header = header;
    if (header->magic == 0)
        vi_engine_change(begin, offsetof(struct vi_header, program));
    if (header->magic != VI_CHECKPOINT_MAGIC || header->version != VI_CHECKPOINT_VERSION)
        vi_give_up("%s: not a checkpoint file of this version", path);
    open_areas();
}

void vi_engine_wipe(uint64_t start, uint64_t end)
{
    const off_t base = (off_t)offset_of(start) - (off_t)start;
    uint64_t from = start, to;

    while (from < end) {
        const off_t data = lseek(info.fd, (off_t)from + base, SEEK_DATA);

        if (data < 0 || data - base >= (off_t)end)
            return;
        from = (uint64_t)(data - base);
        to = (uint64_t)(lseek(info.fd, data, SEEK_HOLE) - base);
        if (to > end)
            to = end;
        memset((void *)from, 0, to - from);
        from = to;
    }
}

/* ---- Checkpoints ----------------------------------------------------------- */

/* The control state lies behind the last mapping, the stack, to be found by the same scan. */
static void find_changes(void)
{
    struct vi_control *control = vi_engine.control;
    uint64_t start = (uint64_t)control, end = start + sizeof *control;
    const bool remapped = vi_engine.remapped;

    vi_engine.remapped = false;
    if (vi_dirty_repeat(&dirty, remapped))
        return;
    for (uint64_t i = control->map_count; i-- != 0;) {
        struct vi_map_entry *map = &control->maps[i];

        if (!(map->protection & PROT_WRITE) && !map->unsaved)
            continue;
        if (map->unsaved) /* to store it needlessly would make a page of the table a written one */
            map->unsaved = 0;
        if (start - map->end > MOST_BETWEEN) {
            vi_dirty_scan(&dirty, start, end);
            end = map->end;
        }
        start = map->start;
    }
    vi_dirty_scan(&dirty, start, end);
}

/* What of the header a checkpoint changes: its numbers, the processor's state, the zones. */
static int header_ranges(struct iovec *ranges, const struct vi_frame *frame)
{
    struct vi_header *header = vi_engine.header;

    ranges[0] = (struct iovec){header, offsetof(struct vi_header, program)};
    ranges[1] =
        (struct iovec){&header->frame, offsetof(struct vi_frame, xsave) + frame->xsave_size};
    return 2 + vi_zone_ranges(ranges + 2);
}

static void store_header(const struct vi_frame *frame, uint64_t sent_place)
{
    struct vi_header *header = vi_engine.header;

    memcpy(&header->frame, frame, offsetof(struct vi_frame, xsave) + frame->xsave_size);
    vi_zone_settle();
    header->commits++;
    header->sent_place = sent_place;
    header->started = 1;
    header->pages += dirty.pages;
}

/* Stores what lies where nothing was stored before, of which no checkpoint knows; the rest of the regions is
 * the transaction's. */
static void store_new(void)
{
    size_t count = 0;

    for (size_t i = 0; i < dirty.count; i++) {
        struct vi_region r = dirty.regions[i];
        const enum vi_area area = vi_area_of(r.start);
        const uint64_t high = area == VI_AREAS ? r.end : stored_high[area];
        const uint64_t start = r.start > high ? r.start : high;

        if (start < r.end &&
            !vi_engine_write(info.fd, (const void *)start, r.end - start, offset_of(start)))
            vi_engine_stop(strerror(errno));
        if (start < r.end)
            r.end = start;
        if (r.start < r.end)
            dirty.regions[count++] = r;
    }
    dirty.count = count;
}

static bool try_commit(const struct vi_frame *frame, uint64_t sent_place)
{
    struct iovec *ranges = dirty.ranges;
    vista_tx *tx = vista_begin_transaction(segment, VISTA_NO_RESTORE);
    size_t count = dirty.count;

    if (tx == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        ranges[i] = (struct iovec){stored_at(dirty.regions[i].start),
                                   dirty.regions[i].end - dirty.regions[i].start};
    count += (size_t)header_ranges(ranges + count, frame);
    if (vista_set_ranges(tx, ranges, (int)count) != 0) {
        vista_end_transaction(tx, 0);
        return false;
    }
    for (size_t i = 0; i < dirty.count; i++)
        memcpy(ranges[i].iov_base, (const void *)dirty.regions[i].start, ranges[i].iov_len);
    store_header(frame, sent_place);
    return vista_end_transaction(tx, 0) == 0;
}

void vi_engine_stop(const char *why)
{
    vi_give_up("no checkpoint can be made, the run stops: %s; the same command goes on", why);
}

static bool is_same(uint64_t page)
{
    return !vi_engine_is_new(page) &&
           memcmp((const void *)page, stored_at(page), VI_GUEST_PAGE) == 0;
}

void vi_engine_commit(const struct vi_frame *frame, uint64_t sent_place)
{
    find_changes();
    vi_dirty_choose(&dirty, is_same);
    store_new();
    /* The scan has protected its pages again.  Until a commit succeeds they stay in the list. */
    if (!try_commit(frame, sent_place))
        vi_engine_stop(vista_errormsg());
    for (enum vi_area area = 0; area < VI_AREAS; area++)
        if (stored_high[area] < vi_engine.control->high[area])
            stored_high[area] = vi_engine.control->high[area];
    dirty.count = 0;
    dirty.pages = 0;
    vi_report->commits++;
}
