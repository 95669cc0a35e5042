/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The disk class: see disk.h.
 */
#include "disk/disk.h"

#include <errno.h>

#include "base/arena.h"
#include "base/error.h"
#include "core/engine.h"
#include "core/lifetime.h"
#include "core/members.h"
#include "core/redo.h"
#include "core/transaction.h"
#include "disk/commit_record.h"
#include "disk/replay.h"

#define RING_SIZE (1u << 20)
#define LOG_LEAST ((uint64_t)4 << 20)
#define LEAST (VI_REDO_HEADERS * VI_REDO_BLOCK + RING_SIZE + LOG_LEAST)
#define PAGE_MOST \
    (VI_PAGE + 32u) /* in a record, of one of which bytes here and there have changed */
#define BESIDE (3 * (VI_SLOT_SIZE + VI_CHUNK_UNIT)) /* of what the undo log begins with */
#define LOG_MOST ((uint64_t)32 << 20)               /* of an eighth of the data, by default */

struct vi_disk {
    struct vi_redo redo; /* first: how its group finds it */
    struct vi_engine engine;
    struct vi_segment *home;
    uint64_t pages; /* that automatic ranges may change in one transaction, all of its group */
    pthread_mutex_t
        reserving;          /* held while the log grows for more of them; before the log's lock */
    uint64_t default_pages; /* of a segment's, where it is not said how many */
    uint64_t end;           /* of the file's part that the redo log may have */
    bool lazy; /* what an end returns survives the process; the machine after flush_ms at most */
    struct vi_disk_log log;
    bool automatic; /* of the commit that has locked the log: see vi_disk_record_build */
    struct vi_disk_target target[VI_DISK_MEMBERS];
};

/* ---- What a commit does ------------------------------------------------- */

static int grow_for(struct vi_disk *disk, uint64_t pages, uint64_t bytes)
{
    return vi_disk_grow(&disk->log, &disk->home->file, disk->end,
                        pages * PAGE_MOST + BESIDE + bytes);
}

/* The log takes a record of so many bytes from now on, and of all pages of automatic ranges, which
 * a store that faults could not have it grow for. */
static int grow_for_record(void *context, uint64_t bytes)
{
    struct vi_disk *disk = context;

    return grow_for(disk, __atomic_load_n(&disk->pages, __ATOMIC_RELAXED), bytes);
}

static int prepare(struct vi_redo *redo, struct vi_tx *tx, unsigned mode)
{
    struct vi_disk *disk = (struct vi_disk *)redo;
    const bool automatic = __atomic_load_n(&disk->pages, __ATOMIC_RELAXED) != 0;

    (void)mode;
    if (vi_disk_begin(&disk->log, vi_disk_record_measure(tx, automatic)) != 0)
        return -1;
    disk->automatic = automatic;
    return 0;
}

/* Must its end wait for no more than that the process dies? */
static bool is_lazy(const struct vi_disk *disk, unsigned mode)
{
    return mode & VISTA_NO_FLUSH || disk->lazy;
}

static uint64_t commit(struct vi_redo *redo, struct vi_tx *tx, unsigned mode)
{
    struct vi_disk *disk = (struct vi_disk *)redo;
    uint64_t end;

    vi_disk_record_build(&disk->log, tx, disk->automatic);
    end = vi_disk_end(&disk->log, true);
    return end != UINT64_MAX && is_lazy(disk, mode) && !disk->log.area.copies_on_write ? 0 : end;
}

static int wait_until_durable(struct vi_redo *redo, uint64_t position, unsigned mode)
{
    struct vi_disk *disk = (struct vi_disk *)redo;

    return vi_disk_flush(&disk->log, position, position == UINT64_MAX || !is_lazy(disk, mode));
}

static int flush_log(struct vi_redo *redo)
{
    return vi_disk_flush(&((struct vi_disk *)redo)->log, UINT64_MAX, true);
}

/* Nothing can be told of a failure: the next commit is. */
static void note(struct vi_redo *redo, struct vi_segment *segment, const void *address,
                 size_t length)
{
    struct vi_disk_log *log = &((struct vi_disk *)redo)->log;

    if (vi_disk_begin(log, sizeof(struct vi_redo_record) + vi_disk_item_size(length)) != 0)
        return;
    vi_disk_put(log, segment->member, vi_disk_offset(segment, address), address, (uint32_t)length);
    (void)vi_disk_end(log, false);
}

static const struct vi_redo_ops disk_ops = {.prepare = prepare,
                                            .commit = commit,
                                            .wait = wait_until_durable,
                                            .note = note,
                                            .flush = flush_log};

static struct vi_disk *disk_of(const struct vi_segment *segment)
{
    struct vi_redo *redo = segment->group->redo;

    while (redo != NULL && redo->ops != &disk_ops)
        redo = redo->next;
    return (struct vi_disk *)redo;
}

int vi_disk_settle(struct vi_segment *segment)
{
    struct vi_disk *disk = disk_of(segment);

    return disk != NULL ? vi_disk_truncate(&disk->log) : 0;
}

uint64_t vi_disk_pages(const struct vi_segment *segment)
{
    const struct vi_disk *disk = disk_of(segment);

    return disk != NULL ? disk->default_pages : 0;
}

int vi_disk_reserve_pages(const struct vi_segment *segment, int64_t pages)
{
    struct vi_disk *disk = disk_of(segment);
    uint64_t all;
    int result;

    if (disk == NULL)
        return 0;
    pthread_mutex_lock(&disk->reserving);
    all = disk->pages + (uint64_t)pages;
    result = pages > 0 ? grow_for(disk, all, 0) : 0;
    if (result == 0) /* else nobody has seen them */
        __atomic_store_n(&disk->pages, all, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&disk->reserving);
    return result;
}

void vi_disk_count(const struct vi_segment *segment, struct vista_info *info)
{
    struct vi_disk *disk = disk_of(segment);

    if (disk == NULL)
        return;
    pthread_mutex_lock(&disk->log.lock);
    info->log_size = disk->log.area.log_size;
    info->log_used = disk->log.tail.lsn - disk->log.head.lsn;
    info->committed = disk->log.tail.commits;
    info->durable = disk->log.durable.commits;
    info->failed = (unsigned)disk->log.failed;
    pthread_mutex_unlock(&disk->log.lock);
    if (disk->home->superblock.real_class == VISTA_CLASS_DISK && !disk->lazy)
        info->durability = VISTA_POWER_SAFE;
}

/* ---- Opening and closing ------------------------------------------------ */

void vi_disk_set_target(struct vi_disk_target *target, const struct vi_superblock *s, int fd,
                        uint64_t size)
{
    const uint64_t meta_end = s->heap_offset != 0 ? vi_superblock_meta_size(s) : 0;

    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): of an array that is not empty */
    *target = (struct vi_disk_target){
        .exists = true,
        .fd = fd,
        .part = {{s->heap_offset, meta_end}, {s->data_offset, s->data_offset + size}},
    };
}

struct vi_disk_area vi_disk_area_of(const struct vi_file *file, const struct vi_superblock *s)
{
    struct vi_disk_area area = {
        .io = vi_io(), .path = file->path, .fd = file->fd, .copies_on_write = file->copy_on_write};

    memcpy(area.uuid, s->uuid, sizeof area.uuid);
    vi_disk_area_set(&area, s->chunks_offset, s->chunks_offset + VI_REDO_HEADERS * VI_REDO_BLOCK,
                     RING_SIZE, LOG_LEAST);
    return area;
}

/* Where the redo log's part of a file ends: slots that another class has used lie behind it.
 * 0: the smallest log does not fit, or it cannot be told. */
static uint64_t end_of(const struct vi_segment *segment)
{
    const struct vi_superblock *s = &segment->superblock;
    uint64_t used = 0;

    if (vi_io_read(vi_io(), segment->file.fd, &used, sizeof used, VI_LOG_OFFSET, false) != 0)
        return vi_fail_system(errno, "%s: cannot read its log's header", segment->path), 0;
    if (used > vi_superblock_slots(s))
        return vi_fail(EBADMSG, "%s: damaged: %llu log slots in use", segment->path,
                       (unsigned long long)used),
               0;
    if (s->chunks_size < vi_superblock_far_slots(used) + LEAST)
        return vi_fail(ENOSPC, "%s: %llu log slots of another class leave no room for a redo log",
                       segment->path, (unsigned long long)used),
               0;
    return s->chunks_offset + s->chunks_size - vi_superblock_far_slots(used);
}

static uint64_t log_size_of(const struct vi_superblock *s, uint64_t end, uint64_t wanted)
{
    const uint64_t left = end - s->chunks_offset - VI_REDO_HEADERS * VI_REDO_BLOCK - RING_SIZE;

    if (wanted == 0)
        wanted = s->size / 8 < LOG_MOST ? s->size / 8 : LOG_MOST;
    wanted = wanted < LOG_LEAST ? LOG_LEAST : wanted;
    return (wanted < left - RING_SIZE ? vi_disk_up(wanted, RING_SIZE) : left) / RING_SIZE *
           RING_SIZE;
}

/* As many as fit a record of a log of the size that it begins with: pages that filled all of one that
 * has grown would have it grow for each block beside them.  Half of the largest record stays for these. */
static uint64_t pages_of(const struct vi_superblock *s, uint64_t end, uint64_t wanted)
{
    struct vi_disk_area area = {.ring_size = RING_SIZE, .log_size = log_size_of(s, end, wanted)};
    const uint64_t whole = vi_disk_record_max(&area);
    uint64_t half;

    area.log_size = log_size_of(s, end, UINT64_MAX);
    half = vi_disk_record_max(&area) / 2;
    return ((whole < half ? whole : half) - BESIDE) / PAGE_MOST;
}

/* An empty log: the one that is there, in a new epoch, if it is as large as wanted. */
static int begin_log(const struct vi_segment *segment, uint64_t end, uint64_t wanted,
                     struct vi_disk_area *area, struct vi_disk_point *head)
{
    const struct vi_superblock *s = &segment->superblock;
    const uint64_t size = log_size_of(s, end, wanted);
    uint64_t lsn;
    int found = 1;

    *area = vi_disk_area_of(&segment->file, s);
    *head = (struct vi_disk_point){0};
    if (!segment->created && s->log_class == VISTA_CLASS_DISK)
        found = vi_disk_header_read(area, end, head);
    if (found == 0 && wanted == 0 ? area->log_size < size : area->log_size != size) {
        vi_disk_area_set(area, area->headers_offset, area->ring_offset, RING_SIZE, size);
        found = 1;
    }
    if (found < 0 || vi_file_allocate(&segment->file, area->headers_offset,
                                      area->log_offset + area->log_size - area->headers_offset))
        return -1;
    lsn = s->lsn < UINT64_MAX / 4 ? s->lsn : 0; /* a number that none can have is not gone by */
    lsn = head->lsn > lsn ? head->lsn : lsn;
    *head = (struct vi_disk_point){vi_disk_up(lsn + 1, area->ring_size), 0};
    return found == 0 ? vi_disk_header_write(area, area->epoch + 1, *head)
                      : vi_disk_create(area, (uint32_t)s->lasting[0] + 1, *head);
}

/* A member's file is one of those that records may name, or no longer.  `error`, unless it is 0: the
 * log still has records of it, and so nothing can be applied any more. */
static void set_member(struct vi_disk *disk, const struct vi_segment *segment, bool exists,
                       int error)
{
    struct vi_disk_target *target = &disk->target[segment->member];
    const int state = vi_disk_lock(&disk->log);

    while (disk->log.truncating)
        pthread_cond_wait(&disk->log.changed, &disk->log.lock);
    vi_disk_set_target(target, &segment->superblock, segment->file.fd,
                       segment->superblock.max_size);
    target->exists = exists;
    if (error != 0)
        vi_disk_poison(&disk->log, error);
    vi_disk_unlock(&disk->log, state);
}

/* A member has left the group already, so that no later record names it. */
static int close_disk(struct vi_segment *segment, bool clean)
{
    struct vi_disk *disk = disk_of(segment);
    const int result = clean ? vi_disk_truncate(&disk->log) : 0, error = errno;
    int closed;

    segment->own.redo = NULL;
    if (segment == disk->home) {
        vi_disk_log_close(&disk->log);
        segment->superblock.lsn = disk->log.tail.lsn;
        segment->superblock.lasting[0] = disk->log.area.epoch;
        vi_release(disk, sizeof *disk);
    } else {
        set_member(disk, segment, false, result != 0 ? error : 0);
    }
    closed = vi_segment_close(segment, clean && result == 0);
    return result == 0 ? closed : (errno = error, -1);
}

/* Its commits go to home's log. */
static int join(struct vi_segment *segment, unsigned flags)
{
    struct vi_disk *disk = disk_of(segment);

    if (flags & VISTA_POWER_SAFE && disk->lazy)
        return vi_fail(ENOTSUP, "%s: cannot be power-safe: %s, whose log it is to use, is not",
                       segment->path, disk->home->path);
    set_member(disk, segment, true, 0);
    segment->own.redo = &disk->redo; /* also when it has left */
    vi_engine_set(&segment->own, &disk->engine);
    return 0;
}

static int open_log(struct vi_segment *segment, struct vi_disk *disk,
                    const struct vista_map_options *options)
{
    const struct vi_superblock *s = &segment->superblock;
    struct vi_disk_point head;
    struct vi_disk_area area;

    disk->end = end_of(segment);
    if (disk->end == 0 || begin_log(segment, disk->end, options->log_size, &area, &head) != 0)
        return -1;
    disk->default_pages = pages_of(s, disk->end, options->log_size);
    vi_disk_set_target(&disk->target[0], s, segment->file.fd, s->max_size);
    if (vi_disk_log_open(&disk->log, &area, head, disk->target) == 0 &&
        (options->flush_ms == 0 || vi_disk_start_thread(&disk->log, options->flush_ms) == 0))
        return 0;
    vi_disk_log_close(&disk->log);
    return -1;
}

int vi_disk_open(struct vi_segment *segment, unsigned flags,
                 const struct vista_map_options *options)
{
    const struct vi_superblock *s = &segment->superblock;
    struct vi_disk *disk;

    if (segment->persist.class != VISTA_CLASS_DISK) {
        const struct vi_disk_area area = vi_disk_area_of(&segment->file, s);

        return !segment->created && s->log_class == VISTA_CLASS_DISK ? vi_disk_headers_void(&area)
                                                                     : 0;
    }
    if (vi_is_member(segment))
        return join(segment, flags);
    disk = vi_reserve(sizeof *disk);
    if (disk == NULL)
        return vi_fail(ENOMEM, "%s: no memory for its redo log", segment->path);
    pthread_mutex_init(&disk->reserving, NULL);
    disk->redo.ops = &disk_ops;
    disk->home = segment;
    disk->lazy = !(flags & VISTA_POWER_SAFE) && options->flush_ms != 0;
    if (open_log(segment, disk, options) != 0) {
        vi_release(disk, sizeof *disk);
        return -1;
    }
    vi_engine_follow(&segment->own, &disk->redo);
    disk->engine = vi_engine_followed;
    disk->engine.gate = 1;
    disk->engine.close = close_disk;
    vi_engine_set(&segment->own, &disk->engine);
    segment->logs.careful = true;
    segment->logs.make_room = grow_for_record;
    segment->logs.room_context = disk;
    return 0;
}

/* ---- Recovery ----------------------------------------------------------- */

/* Opens the members that records name.  One that cannot be is passed over if the caller accepts what
 * may be torn, and has no entry from then on. */
static int attach_named(struct vi_segment *home, const struct vi_disk_left *left,
                        struct vi_disk_target *target, vi_attach_fn *attach)
{
    const struct vi_member *entry = vi_members(&home->logs);
    uint8_t named[VI_DISK_MEMBERS] = {0};

    vi_disk_members_named(left, named);
    for (unsigned i = 1; i < VI_DISK_MEMBERS; i++, entry++) {
        const struct vi_segment *const before = home->own.members, *now;
        const bool sound = named[i] && vi_member_is_sound(&home->logs, entry);

        if (sound && attach(home, entry) != 0)
            return -1;
        now = home->own.members;
        if (now != before)
            vi_disk_set_target(&target[i], &now->superblock, now->file.fd, now->superblock.size);
        else if (named[i] && home->accept_torn)
            target[i] = (struct vi_disk_target){.exists = true, .abandoned = true};
        if (sound && now == before && vi_member_void(&home->logs, entry) != 0)
            return -1;
    }
    return 0;
}

int vi_disk_recover(struct vi_segment *segment, vi_attach_fn *attach)
{
    struct vi_superblock *s = &segment->superblock;
    const struct vi_disk_area area = vi_disk_area_of(&segment->file, s);
    struct vi_disk_target target[VI_DISK_MEMBERS] = {0};
    struct vi_disk_left left;
    int result = s->clean ? 0 : vi_disk_load(&left, &area, s->chunks_offset + s->chunks_size);

    if (s->clean || result < 0)
        return result;
    if (result > 0)
        return vi_fail(EBADMSG, "%s: damaged: no header of its redo log is sound", segment->path);
    vi_disk_set_target(&target[0], s, segment->file.fd, s->size);
    result = attach_named(segment, &left, target, attach);
    result = result == 0 ? vi_disk_replay(&left, target) : -1;
    s->lsn = left.end.lsn;
    s->lasting[0] = left.area.epoch;
    vi_disk_unload(&left);
    return result;
}
