/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Opening, creating and closing segments: see lifetime.h.
 */
#include "core/lifetime.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/error.h"
#include "core/backing.h"
#include "core/handles.h"
#include "core/process.h"

/* A flat sparse segment is often touched page by page, far apart: its disk blocks are
 * allocated by 64 KiB, which costs a call for each 16 pages and wastes little. */
#define FLAT_GROUP ((uint64_t)64 << 10)

#define DEFAULT_GROWTH 4u /* times the size at creation */

/* ---- Class ------------------------------------------------------------- */

/* What the file gives to a program that maps it like this. */
static enum vista_class probe(const struct vi_segment *segment, unsigned flags,
                              const struct vista_map_options *options)
{
    const bool map_sync = vi_map_sync_granted(&segment->file);

    if (!map_sync && !segment->file.in_memory && !(flags & VISTA_READ_ONLY) &&
        (flags & VISTA_POWER_SAFE || options->flush_ms != 0))
        return VISTA_CLASS_DISK;
    return flags & VISTA_KILL_SAFE ? VISTA_CLASS_KILL : vi_persist_probe(map_sync);
}

static const char *why_not_power_safe(const struct vi_segment *segment)
{
    return segment->forced == 2      ? "the class is forced by the environment"
           : segment->file.in_memory ? "the file lies in memory, and goes with the machine"
                                     : "PMEM_NO_FLUSH=1 turns cache flushes off";
}

static int choose_class(struct vi_segment *segment, unsigned flags,
                        const struct vista_map_options *options)
{
    enum vista_class real, class;

    if (flags & VI_REPLAY) {
        vi_persist_init(&segment->persist, VISTA_CLASS_DISK);
        segment->map.is_private = segment->map.is_lazy = true;
        return 0;
    }
    real = probe(segment, flags, options);
    if (vi_persist_forced(vi_process()->force_class, &class, &segment->forced) != 0)
        return -1;
    if (flags & VISTA_KILL_SAFE || (flags & VISTA_READ_ONLY && class == VISTA_CLASS_DISK))
        segment->forced = 0;
    if (segment->forced == 0)
        class = real;
    else if (class == VISTA_CLASS_DISK && !segment->file.in_memory)
        real = VISTA_CLASS_DISK;
    if (flags & VISTA_POWER_SAFE && (class == VISTA_CLASS_KILL || segment->forced == 2 ||
                                     (class == VISTA_CLASS_DISK && real != VISTA_CLASS_DISK)))
        return vi_fail(ENOTSUP, "%s: cannot be power-safe: %s", segment->path,
                       why_not_power_safe(segment));
    vi_persist_init(&segment->persist, class);
    segment->map.is_private = class == VISTA_CLASS_DISK;
    segment->superblock.real_class = real;
    return 0;
}

/* The disk class has its undo log in memory of its own. */
static int map_file(struct vi_segment *segment)
{
    const struct vi_superblock *s = &segment->superblock;
    struct vi_map *map = &segment->map;

    if (vi_map_file(map, &segment->file, vi_superblock_meta_size(s), s->data_offset, s->size) != 0)
        return -1;
    if (vi_class_flushes(segment->persist.class) && !segment->forced && !map->map_sync)
        return vi_fail(ENOTSUP, "%s: MAP_SYNC was granted for a page, but not for all",
                       segment->path);
    if (!map->is_private)
        return 0;
    return vi_map_scratch(map, &segment->file, VI_LOG_OFFSET, VI_LOG_OFFSET + VI_PAGE) != 0
               ? -1
               : vi_map_scratch(map, &segment->file, VI_SLOTS_OFFSET,
                                s->chunks_offset + s->chunks_size);
}

/* ---- Creating ---------------------------------------------------------- */

static int new_superblock(struct vi_segment *segment, size_t size, unsigned flags,
                          const struct vista_map_options *options)
{
    struct vi_superblock *s = &segment->superblock;

    if (size > VI_SIZE_MAX || options->max_size > VI_SIZE_MAX)
        return vi_fail(EINVAL, "%s: size %zu or max_size %zu is larger than 8 TiB", segment->path,
                       size, options->max_size);
    *s = (struct vi_superblock){.magic = VI_MAGIC, .version = VI_VERSION};
    s->features_must =
        (flags & VISTA_NO_HEAP ? 0 : VI_MUST_HEAP) | (flags & VISTA_SPARSE ? VI_MUST_SPARSE : 0);
    if (getrandom(s->uuid, sizeof s->uuid, 0) != sizeof s->uuid)
        return vi_fail_system(errno, "%s: no random numbers for its UUID", segment->path);
    if (options->layout != NULL)
        memcpy(s->layout, options->layout, strlen(options->layout)); /* checked */
    s->size = vi_segment_round(size, flags);
    s->max_size = (options->max_size + VI_PAGE - 1) / VI_PAGE * VI_PAGE;
    if (s->max_size < s->size)
        s->max_size = s->size;
    return 0;
}

/* Allocates what the file must have before anything is stored in it. */
static int allocate_blocks(struct vi_segment *segment)
{
    const struct vi_superblock *s = &segment->superblock;
    const bool sparse = s->features_must & VI_MUST_SPARSE;

    if (vi_file_allocate(&segment->file, 0, VI_MEMBERS_OFFSET) != 0)
        return -1;
    if (s->heap_offset != 0 && vi_file_allocate(&segment->file, s->heap_offset, VI_PAGE) != 0)
        return -1;
    return sparse ? 0 : vi_segment_allocate(segment, 0, s->size);
}

/* Reserves address space for growth too, if it can be had. */
static int reserve_new(struct vi_segment *segment, unsigned flags,
                       const struct vista_map_options *options)
{
    struct vi_superblock *s = &segment->superblock;
    const uint64_t address = (uint64_t)options->address;

    if (options->max_size == 0 && s->size <= VI_SIZE_MAX / DEFAULT_GROWTH) {
        s->max_size = DEFAULT_GROWTH * s->size;
        if (vi_map_reserve(&segment->map, segment->path, address, s->max_size) == 0)
            return 0;
        s->max_size = s->size;
    }
    if (vi_map_reserve(&segment->map, segment->path, address, s->max_size) == 0)
        return 0;
    if (errno != EADDRINUSE || !(flags & VISTA_ANY_ADDRESS))
        return -1;
    return vi_map_reserve(&segment->map, segment->path, 0, s->max_size);
}

static int create(struct vi_segment *segment, size_t size, unsigned flags,
                  const struct vista_map_options *options)
{
    struct vi_superblock *s = &segment->superblock;

    segment->map.writable = true;
    if (new_superblock(segment, size, flags, options) != 0 ||
        reserve_new(segment, flags, options) != 0)
        return -1;
    s->address = (uint64_t)segment->map.data;
    if (vi_superblock_layout(s) != 0 || vi_file_truncate(&segment->file, 0) != 0 ||
        vi_file_truncate(&segment->file, s->data_offset + s->size) != 0 ||
        allocate_blocks(segment) != 0 || choose_class(segment, flags, options) != 0)
        return -1;
    return map_file(segment);
}

/* ---- Opening ----------------------------------------------------------- */

static int check_torn(struct vi_segment *segment, unsigned flags)
{
    const char *why = vi_guard_torn(&segment->superblock, &segment->file);

    segment->was_torn = why != NULL;
    if (why == NULL || flags & VISTA_ACCEPT_TORN)
        return 0;
    return vi_fail(ECANCELED,
                   "%s: may be torn: %s; VISTA_ACCEPT_TORN, or `vista recover --accept-torn`, "
                   "takes it if its log and a full check hold up",
                   segment->path, why);
}

/* What could not be recovered after a kill is not opened. */
static int check_guard(const struct vi_segment *segment, unsigned flags)
{
    uint8_t boot[16];

    if (!segment->map.writable || flags & VISTA_ACCEPT_TORN ||
        !vi_guard_needed(&segment->file, segment->superblock.real_class) || vi_guard_boot_id(boot))
        return 0;
    return vi_fail(errno == EMFILE || errno == ENFILE || errno == ENOMEM ? errno : ENOTSUP,
                   "%s: after a kill it could not be told whether the machine restarted, and so "
                   "not be recovered: %s; VISTA_ACCEPT_TORN maps it all the same, and a file on "
                   "tmpfs needs no boot id",
                   segment->path, vi_error_message());
}

/* Before anything is recovered or written; `layout` NULL: any will do. */
static int check_layout(struct vi_segment *segment, const char *layout)
{
    memcpy(segment->layout, segment->superblock.layout, VI_LAYOUT_MAX);
    if (layout == NULL || strcmp(layout, segment->layout) == 0)
        return 0;
    return vi_fail(EMEDIUMTYPE, "%s: what it holds is not laid out as \"%s\"", segment->path,
                   layout);
}

static int check_flags(const struct vi_segment *segment, unsigned flags)
{
    const unsigned has = (segment->superblock.features_must & VI_MUST_HEAP ? 0 : VISTA_NO_HEAP) |
                         (segment->superblock.features_must & VI_MUST_SPARSE ? VISTA_SPARSE : 0);

    if (flags & ~has & VISTA_NO_HEAP)
        return vi_fail(EINVAL, "%s: has a heap, VISTA_NO_HEAP was asked for", segment->path);
    if (flags & ~has & VISTA_SPARSE)
        return vi_fail(EINVAL, "%s: is not sparse, VISTA_SPARSE was asked for", segment->path);
    if (flags & VISTA_READ_ONLY && !segment->superblock.clean)
        return vi_fail(EUCLEAN, "%s: needs recovery: it was not unmapped; map it for writing first",
                       segment->path);
    return 0;
}

static int reserve_old(struct vi_segment *segment, unsigned flags)
{
    const struct vi_superblock *s = &segment->superblock;

    if (vi_map_reserve(&segment->map, segment->path, s->address, s->max_size) == 0)
        return 0;
    if (errno == ENOMEM && vi_map_reserve(&segment->map, segment->path, s->address, s->size) == 0)
        return 0; /* it cannot grow while mapped here */
    if (!(flags & VISTA_ANY_ADDRESS))
        return -1;
    if (vi_map_reserve_anywhere(&segment->map, segment->path, s->address, s->size) != 0)
        return -1;
    segment->flags |= VISTA_ANY_ADDRESS;
    return 0;
}

/* A copy may have holes where blocks were allocated, in the log's slots, too.  It was made of a
 * clean segment, whose log holds no more than its slots, or it may be torn. */
static int fill_holes(struct vi_segment *segment)
{
    const struct vi_superblock *s = &segment->superblock;
    const struct vi_log_header *log = (const void *)(segment->map.meta + VI_LOG_OFFSET);
    const uint64_t metadata = s->heap_offset != 0 ? s->size / VI_UNIT * VI_MARKS_PER_UNIT : 0,
                   used = log->slots_used <= VI_SLOTS ? log->slots_used : 0, /* else damaged */
        near = (used < VI_SLOTS_NEAR ? used : VI_SLOTS_NEAR) * VI_SLOT_SIZE,
                   far = vi_superblock_far_slots(used) <= s->chunks_size
                             ? vi_superblock_far_slots(used)
                             : 0;
    const bool copied = s->inode != segment->file.inode, sparse = s->features_must & VI_MUST_SPARSE;

    if (!copied && !sparse && segment->file.blocks >= s->size + metadata + near + far)
        return 0;
    if ((near != 0 && vi_file_allocate(&segment->file, VI_SLOTS_OFFSET, near) != 0) ||
        (far != 0 &&
         vi_file_allocate(&segment->file, s->chunks_offset + s->chunks_size - far, far) != 0))
        return -1;
    return copied || !sparse ? allocate_blocks(segment) : 0;
}

static int open_existing(struct vi_segment *segment, unsigned flags,
                         const struct vista_map_options *options)
{
    const struct vi_superblock *s = &segment->superblock;

    segment->map.writable = !(flags & VISTA_READ_ONLY);
    if (check_flags(segment, flags) != 0)
        return -1;
    if (!s->clean && s->features_must & VI_MUST_REDO && !(flags & VI_REPLAY))
        return vi_fail(VI_LEFT_REDO, "%s: has a redo log that was left", segment->path);
    if (check_torn(segment, flags) != 0 || reserve_old(segment, flags) != 0 ||
        choose_class(segment, flags, options) != 0)
        return -1;
    if (!s->clean && segment->persist.class == VISTA_CLASS_DISK &&
        !(s->features_must & VI_MUST_REDO))
        return vi_fail(VI_LEFT_UNDO, "%s: has an undo log that was left", segment->path);
    if (map_file(segment) != 0)
        return -1;
    return segment->map.writable ? fill_holes(segment) : 0;
}

/* ---- The whole --------------------------------------------------------- */

static void keep_flags(struct vi_segment *segment, unsigned flags)
{
    segment->flags |= flags & (VISTA_READ_ONLY | VI_REPLAY);
    if (!(segment->superblock.features_must & VI_MUST_HEAP))
        segment->flags |= VISTA_NO_HEAP;
    if (segment->superblock.features_must & VI_MUST_SPARSE)
        segment->flags |= VISTA_SPARSE;
}

static int reserve_backed(struct vi_segment *segment)
{
    uint64_t groups;

    segment->group_size = segment->flags & VISTA_NO_HEAP ? FLAT_GROUP : VI_HUGE_PAGE;
    groups = segment->superblock.max_size / segment->group_size + 1;
    if (!(segment->flags & VISTA_SPARSE))
        return 0;
    segment->backed = vi_reserve((groups + 63) / 64 * sizeof(uint64_t));
    return segment->backed != NULL ? 0 : vi_fail(ENOMEM, "%s: no memory", segment->path);
}

static int open_file(struct vi_segment *segment, size_t size, unsigned flags,
                     const struct vista_map_options *options)
{
    const mode_t mode = options->mode != 0 ? options->mode : 0600;
    const bool read_only = flags & VISTA_READ_ONLY;
    int found;

    if (vi_file_open(&segment->file, segment->path, flags, mode, options->lock_wait_ms) != 0 ||
        vi_file_raise(&segment->file, options->descriptor_floor) != 0)
        return -1;
    segment->created = segment->file.made;
    if (realpath(segment->path, segment->real) == NULL)
        memcpy(segment->real, segment->path, sizeof segment->real);
    found = vi_superblock_read(&segment->file, read_only, &segment->superblock);
    if (found < 0)
        return -1;
    if (found == 1 && !(flags & VISTA_CREATE))
        return vi_fail(EBADMSG, "%s: not a vista segment (empty, or its creation was interrupted)",
                       segment->path);
    segment->created = found == 1;
    if (segment->created && create(segment, size, flags, options) != 0)
        return -1;
    if (check_layout(segment, options->layout) != 0)
        return -1;
    if (!segment->created && open_existing(segment, flags, options) != 0)
        return -1;
    if (check_guard(segment, flags) != 0)
        return -1;
    if (segment->created)
        segment->superblock.log_class = segment->persist.class;
    keep_flags(segment, flags);
    if (reserve_backed(segment) != 0)
        return -1;
    if (read_only)
        return 0;
    if (vi_logs_open(&segment->logs, segment->map.meta, &segment->superblock, &segment->file,
                     &segment->persist) != 0)
        return -1;
    if (options->log_kept != 0)
        segment->logs.kept = options->log_kept;
    return 0;
}

struct vi_segment *vi_segment_open(const char *path, size_t size, unsigned flags,
                                   const struct vista_map_options *options)
{
    struct vi_segment *segment = vi_process_new_segment();
    uint8_t boot[16];

    if (segment == NULL)
        return NULL;
    memcpy(segment->path, path, strlen(path) + 1); /* shorter than PATH_MAX: checked */
    (void)vi_guard_boot_id(boot);                  /* while there is a descriptor for it */
    if (open_file(segment, size, flags, options) == 0)
        return segment;
    vi_segment_close(segment, false); /* which keeps errno */
    return NULL;
}

int vi_segment_start(struct vi_segment *segment)
{
    struct vi_superblock *s = &segment->superblock;

    if (segment->map.writable) {
        if (segment->file.size > s->data_offset + s->size) /* killed while its size changed */
            (void)vi_file_truncate(&segment->file, s->data_offset + s->size);
        /* What recovery stored, or an earlier class left unflushed. */
        if (segment->persist.ops.sync(segment->file.fd) != 0)
            return vi_fail_system(errno, "%s: cannot sync", segment->path);
        vi_guard_stamp(s, &segment->file);
        s->log_class = segment->persist.class;
        s->mapped = (uintptr_t)segment->map.data;
        /* What the last opening left for others to read is void. */
        memset(&s->shares, 0,
               offsetof(struct vi_superblock, reserved2) - offsetof(struct vi_superblock, shares));
        s->opening[0] = s->sequence + 1;
        s->clean = 0;
        s->features_must &= ~(uint64_t)(VI_MUST_MEMBER | VI_MUST_REDO);
        if (vi_is_member(segment))
            s->features_must |= VI_MUST_MEMBER;
        if (segment->persist.class == VISTA_CLASS_DISK)
            s->features_must |= VI_MUST_REDO;
        if (vi_superblock_write(&segment->file, &segment->persist, segment->map.meta, s) != 0 ||
            (segment->file.made && vi_file_sync_name(segment->real) != 0))
            return -1;
        segment->logs.checked = segment->persist.flushes;
        segment->logs.careful = segment->logs.checked || segment->logs.make_room != NULL;
        segment->logs.mapped = s->mapped;
    }
    vi_process_add(segment);
    vi_handle_serve(segment);
    return 0;
}

static int mark_clean(struct vi_segment *segment)
{
    if (vi_segment_intact(segment) != 0) /* and storing to it could kill us */
        return -1;
    vi_logs_trim(&segment->logs);
    if (segment->persist.ops.sync(segment->file.fd) != 0)
        return vi_fail_system(errno, "%s: cannot write it back: it stays unclean", segment->path);
    segment->superblock.clean = 1;
    segment->superblock.features_must &= ~(uint64_t)(VI_MUST_MEMBER | VI_MUST_REDO);
    return vi_superblock_write(&segment->file, &segment->persist, segment->map.meta,
                               &segment->superblock);
}

/* Only a file that was not there before is removed. */
static void undo_creation(const struct vi_segment *segment)
{
    if (segment->file.made)
        unlink(segment->real);
    else
        (void)!ftruncate(segment->file.fd, 0);
}

int vi_segment_close(struct vi_segment *segment, bool clean)
{
    const int result = clean && segment->map.writable ? mark_clean(segment) : 0;
    const int error = errno;

    vi_tx_retire_all(segment);
    vi_logs_close(&segment->logs);
    vi_map_undo(&segment->map);
    if (segment->created)
        undo_creation(segment);
    vi_file_close(&segment->file);
    if (segment->backed != NULL)
        vi_release(segment->backed, (segment->superblock.max_size / segment->group_size + 1 + 63) /
                                        64 * sizeof(uint64_t));
    vi_process_remove(segment);
    errno = error;
    return result;
}
