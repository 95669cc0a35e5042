/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The public calls on segments: arguments are checked, then the rows below are
 * wired together.  Contracts are in vista.h.
 */
#include <errno.h>
#include <stdlib.h>

#include "api/segments.h"
#include "base/error.h"
#include "base/watch.h"
#include "check/check.h"
#include "core/transaction.h"
#include "heap/heap.h"
#include "ranges/ranges.h"

#define ALL_FLAGS \
    (VISTA_CREATE | VISTA_EXCLUSIVE | VISTA_READ_ONLY | VISTA_AUTO_RANGE | VISTA_POWER_SAFE | \
     VISTA_KILL_SAFE | VISTA_ACCEPT_TORN | VISTA_ANY_ADDRESS | VISTA_NO_HEAP | VISTA_SPARSE | \
     VISTA_CHECK_RANGES | VISTA_GROW)

static const struct {
    unsigned flags; /* all of these together make no sense, */
    const char *why;
} bad_flags[] = {
    {VISTA_READ_ONLY | VISTA_CREATE, "VISTA_READ_ONLY cannot create"},
    {VISTA_READ_ONLY | VISTA_ACCEPT_TORN, "VISTA_READ_ONLY cannot recover a torn segment"},
    {VISTA_READ_ONLY | VISTA_POWER_SAFE, "VISTA_READ_ONLY commits nothing to be power-safe"},
    {VISTA_READ_ONLY | VISTA_KILL_SAFE, "VISTA_READ_ONLY commits nothing to be kill-safe"},
    {VISTA_READ_ONLY | VISTA_AUTO_RANGE, "VISTA_READ_ONLY has no ranges"},
    {VISTA_READ_ONLY | VISTA_CHECK_RANGES, "VISTA_READ_ONLY has no ranges"},
    {VISTA_AUTO_RANGE | VISTA_CHECK_RANGES, "with VISTA_AUTO_RANGE all ranges are declared"},
    {VISTA_READ_ONLY | VISTA_GROW, "VISTA_READ_ONLY cannot grow"},
    {VISTA_NO_HEAP | VISTA_GROW, "VISTA_GROW is for a heap"},
    {VISTA_POWER_SAFE | VISTA_KILL_SAFE, "VISTA_POWER_SAFE and VISTA_KILL_SAFE exclude each other"},
    {VISTA_EXCLUSIVE | VISTA_ACCEPT_TORN, "what VISTA_EXCLUSIVE creates cannot be torn"},
};

const struct vista_map_options vi_default_options;

static int check_flags(const char *path, size_t size, unsigned flags)
{
    if (flags & ~ALL_FLAGS)
        return vi_fail(EINVAL, "vista_map: unknown flags 0x%x", flags & ~ALL_FLAGS);
    for (size_t i = 0; i < sizeof bad_flags / sizeof bad_flags[0]; i++)
        if ((flags & bad_flags[i].flags) == bad_flags[i].flags)
            return vi_fail(EINVAL, "%s: %s", path, bad_flags[i].why);
    if (flags & VISTA_EXCLUSIVE && !(flags & VISTA_CREATE))
        return vi_fail(EINVAL, "%s: VISTA_EXCLUSIVE goes with VISTA_CREATE", path);
    if (flags & VISTA_CREATE && size == 0)
        return vi_fail(EINVAL, "%s: VISTA_CREATE needs a size above 0", path);
    if (!(flags & VISTA_CREATE) && size != 0)
        return vi_fail(EINVAL, "%s: size %zu without VISTA_CREATE: it must be 0", path, size);
    return 0;
}

static int check_options(const char *path, size_t size, unsigned flags,
                         const struct vista_map_options *options)
{
    if (memcmp(options->reserved, vi_default_options.reserved, sizeof options->reserved) != 0 ||
        options->reserved0 != 0)
        return vi_fail(EINVAL, "%s: reserved options must be zero", path);
    if (options->flush_ms != 0 || options->log_size != 0)
        return vi_fail(ENOTSUP, "%s: flush_ms and log_size are for the disk class", path);
    if (options->stream != NULL || options->stream_size != 0 || options->view_wait_ms != 0)
        return vi_fail(ENOTSUP, "%s: this library makes no copies of a live segment", path);
    if (options->log != NULL && flags & VISTA_READ_ONLY)
        return vi_fail(EINVAL, "%s: VISTA_READ_ONLY does not go with another's log", path);
    if (options->auto_pages != 0 && !(flags & VISTA_AUTO_RANGE))
        return vi_fail(EINVAL, "%s: auto_pages goes with VISTA_AUTO_RANGE", path);
    if ((options->address != NULL || options->max_size != 0 || options->mode != 0) &&
        !(flags & VISTA_CREATE))
        return vi_fail(EINVAL, "%s: address, max_size and mode go with VISTA_CREATE", path);
    if ((uintptr_t)options->address % VI_PAGE != 0 || (uintptr_t)options->address >> 47 != 0)
        return vi_fail(EINVAL, "%s: address %p is not a multiple of %u below 2^47", path,
                       options->address, VI_PAGE);
    if (options->max_size != 0 && options->max_size < size)
        return vi_fail(EINVAL, "%s: max_size %zu is less than size %zu", path, options->max_size,
                       size);
    if (options->mode & ~(mode_t)0777)
        return vi_fail(EINVAL, "%s: mode 0%o is more than permission bits", path, options->mode);
    return 0;
}

/* VISTA_CHECK in the environment adds to the flags; of a member what its home was. */
static int check_environment(unsigned *flags, vista_segment *log)
{
    struct vi_segment *other = log != NULL ? vi_segment_check(log) : NULL;
    const char *value = getenv("VISTA_CHECK");

    if (value == NULL || *value == '\0')
        return 0;
    if (strcmp(value, "ranges") != 0)
        return vi_fail(EINVAL, "VISTA_CHECK is \"%s\": it must be ranges", value);
    if (!(*flags & (VISTA_READ_ONLY | VISTA_AUTO_RANGE)) &&
        (other == NULL || vi_ranges_mode(vi_home(other)) == VISTA_CHECK_RANGES))
        *flags |= VISTA_CHECK_RANGES;
    return 0;
}

static int back(void *context, uint64_t offset, uint64_t length)
{
    return vi_segment_back(context, offset, length);
}

static bool unback(void *context, uint64_t offset, uint64_t length)
{
    return vi_segment_unback(context, offset, length);
}

static void reclaim(void *context)
{
    vi_tx_each_idle(context);
}

static void release(void *heap, uint32_t slot)
{
    vi_heap_release(heap, slot);
}

static struct vi_heap *make_heap(struct vi_segment *segment, uint64_t size)
{
    const struct vi_superblock *s = &segment->superblock;
    unsigned char *meta = segment->map.meta;
    const struct vi_heap_place place = {
        .header = (struct vi_heap_header *)(meta + s->heap_offset),
        .descriptors = (uint64_t *)(meta + vi_superblock_descriptors(s)),
        .marks = meta + vi_superblock_marks(s),
        .base = segment->map.data,
        .size = size,
        .max_size = s->max_size,
        .persist = &segment->persist,
        .path = segment->path,
        .left_open = !s->clean,
        .back = segment->flags & VISTA_SPARSE ? back : NULL,
        .unback = segment->flags & VISTA_SPARSE ? unback : NULL,
        .reclaim = reclaim,
        .context = segment,
    };

    return vi_heap_open(&place);
}

static int open_heap(struct vi_segment *segment, struct vi_heap *heap)
{
    if (heap == NULL)
        return -1;
    segment->heap = heap;
    segment->release = release;
    for (unsigned kind = VI_KIND_UNDO + 1; kind < VI_KINDS; kind++)
        segment->contexts[kind] = heap;
    return 0;
}

/* What was torn may be damaged anywhere: the log was, now all is looked at. */
static int check_torn(const struct vi_segment *segment)
{
    if (vi_check_mapped(&segment->file, &segment->superblock, segment->map.meta, NULL, NULL) == 0)
        return 0;
    return vi_fail(EBADMSG, "torn: after its rollback, %s", vi_error_message());
}

/* What finds ranges by itself copies whole pages: there nobody is told. */
static void watch(const struct vi_segment *segment, bool on)
{
    if (vi_watched && segment->heap != NULL && segment->ranges == NULL)
        vi_heap_watch(segment->heap, on);
}

/* errno stays, unless this fails: of several, or after a failure, it is the first's. */
int vi_close_segment(struct vi_segment *segment, bool clean)
{
    const int error = errno;
    int result;

    watch(segment, false);
    vi_ranges_close(segment); /* which are its group's, too */
    if (clean && segment->heap != NULL && !(segment->flags & VISTA_READ_ONLY))
        vi_heap_trim(segment->heap, vi_home(segment)->logs.slots);
    if (vi_is_member(segment)) {
        struct vi_segment *home = vi_home(segment);

        vi_group_leave(segment);
        vi_tx_face_all(home);
    }
    if (segment->heap != NULL)
        vi_heap_close(segment->heap);
    result = (segment->own.engine->close)(segment, clean);
    if (result == 0)
        errno = error;
    return result;
}

/* Opened, with what its records mean, and not yet recovered. */
struct vi_segment *vi_open_segment(const char *path, size_t size, unsigned flags,
                                   const struct vista_map_options *options)
{
    struct vi_segment *segment = vi_segment_open(path, size, flags, options);

    if (segment == NULL)
        return NULL;
    vi_engine_set(&segment->own, vi_engine_of(&segment->persist));
    segment->accept_torn = flags & VISTA_ACCEPT_TORN;
    segment->contexts[VI_KIND_UNDO] = segment;
    vi_logs_use(&segment->logs, vi_heap_kinds);
    if (!(segment->flags & VISTA_NO_HEAP) &&
        open_heap(segment, make_heap(segment, segment->superblock.size)) != 0) {
        vi_close_segment(segment, false);
        return NULL;
    }
    return segment;
}

vista_segment *vista_map(const char *path, size_t size, unsigned flags,
                         const struct vista_map_options *options)
{
    struct vi_segment *segment;

    options = options != NULL ? options : &vi_default_options;
    if (path == NULL || *path == '\0')
        return vi_fail(EINVAL, "vista_map: no path"), NULL;
    if (strlen(path) >= PATH_MAX)
        return vi_fail(ENAMETOOLONG, "vista_map: the path is %zu bytes long", strlen(path)), NULL;
    if (check_environment(&flags, options->log) != 0 || check_flags(path, size, flags) != 0 ||
        check_options(path, size, flags, options) != 0)
        return NULL;
    segment = vi_map_segment(path, size, flags, options, 0);
    return segment != NULL ? &segment->handle : NULL;
}

/* With arguments that make sense.  NOLINTNEXTLINE(misc-no-recursion) */
struct vi_segment *vi_map_segment(const char *path, size_t size, unsigned flags,
                                  const struct vista_map_options *options, int deep)
{
    struct vi_segment *segment = vi_open_segment(path, size, flags, options);
    bool fresh;

    if (segment != NULL)
        segment = vi_after_home(segment, size, flags, options, deep);
    if (segment == NULL)
        return NULL;
    fresh = segment->fresh;
    if ((!(flags & VISTA_READ_ONLY) &&
         segment->own.engine->recover(segment, vi_attach_member) != 0) ||
        (flags & VISTA_ACCEPT_TORN && check_torn(segment) != 0) ||
        vi_release_members(segment, true) != 0 || vi_join(segment, flags, options->log) != 0 ||
        vi_segment_start(segment) != 0) {
        vi_release_members(segment, false);
        vi_close_segment(segment, false);
        return NULL;
    }
    if (flags & (VISTA_AUTO_RANGE | VISTA_CHECK_RANGES) &&
        vi_ranges_open(segment, options->auto_pages, flags & VISTA_CHECK_RANGES) != 0) {
        const int error = errno;

        segment->fresh = fresh;            /* and then it is not left behind */
        vi_close_segment(segment, !fresh); /* which may have something to say, too */
        errno = error;
        return NULL;
    }
    segment->grows = flags & VISTA_GROW;
    watch(segment, true);
    return segment;
}

int vista_unmap(vista_segment *handle)
{
    struct vi_segment *segment = vi_segment_check(handle), *home;
    uint64_t open;
    int result;

    if (segment == NULL)
        return -1;
    home = vi_home(segment);
    open = vi_tx_count_open(home);
    if (open != 0 && home->ranges != NULL && vi_undeclared_found(&home->ranges->check, EBUSY, home))
        return -1;
    if (open != 0)
        return vi_fail(EBUSY, "%s: transactions are open: %llu", segment->path,
                       (unsigned long long)open);
    if (__atomic_load_n(&segment->holds, __ATOMIC_ACQUIRE) != 0)
        return vi_fail(EBUSY, "%s: is held (vista_hold), %u times", segment->path, segment->holds);
    if (segment->own.members != NULL) { /* their log stays */
        segment->grows = false;
        vi_process_detach(segment);
        return 0;
    }
    result = vi_close_segment(segment, true);
    if (home->state == VI_SEGMENT_DETACHED && home->own.members == NULL &&
        vi_close_segment(home, true) != 0)
        result = -1;
    return result;
}

int vista_hold(vista_segment *handle)
{
    struct vi_segment *segment = vi_segment_check(handle);

    if (segment == NULL)
        return -1;
    __atomic_fetch_add(&segment->holds, 1, __ATOMIC_ACQ_REL);
    return 0;
}

int vista_drop(vista_segment *handle)
{
    struct vi_segment *segment = vi_segment_check(handle);
    unsigned holds;

    if (segment == NULL)
        return -1;
    holds = __atomic_load_n(&segment->holds, __ATOMIC_ACQUIRE);
    do {
        if (holds == 0)
            return vi_fail(EINVAL, "%s: is not held", segment->path);
    } while (!__atomic_compare_exchange_n(&segment->holds, &holds, holds - 1, false,
                                          __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    return 0;
}

void *vista_base(const vista_segment *handle)
{
    const struct vi_segment *segment = vi_segment_check(handle);

    return segment != NULL ? segment->map.data : NULL;
}

size_t vista_size(const vista_segment *handle)
{
    const struct vi_segment *segment = vi_segment_check(handle);

    return segment != NULL ? vi_segment_size(segment) : 0;
}

/* No transaction is open, and the part above holds no block. */
static int shrink(struct vi_segment *segment, uint64_t size)
{
    struct vi_heap *heap = NULL, *old = segment->heap;
    int result, error;

    if (old != NULL) {
        heap = make_heap(segment, size);
        if (heap == NULL)
            return -1;
    }
    if (old != NULL && vi_heap_cut(old, size) != 0) {
        error = errno;
        vi_heap_close(heap);
        errno = error;
        return -1;
    }
    watch(segment, false);
    result = vi_segment_shrink(segment, size);
    error = errno;
    if (heap != NULL) { /* what the old one knows of is gone */
        if (result != 0)
            vi_heap_grow(heap, vi_segment_size(segment));
        open_heap(segment, heap);
        vi_heap_close(old);
    }
    watch(segment, true);
    errno = error;
    return result;
}

/* With size_lock. */
static int resize(struct vi_segment *segment, uint64_t size)
{
    const uint64_t old = segment->map.data_size, open = vi_tx_count_open(vi_home(segment));
    const bool watched = segment->heap == NULL && segment->ranges != NULL;

    if (open != 0 && (size < old || (size > old && watched)))
        return vi_fail(EBUSY, "%s: cannot %s while transactions are open: %llu", segment->path,
                       size < old ? "shrink" : "grow", (unsigned long long)open);
    if ((size < old ? shrink(segment, size) : size > old ? vi_segment_grow(segment, size) : 0) != 0)
        return -1;
    vi_ranges_resize(segment);
    if (segment->heap != NULL)
        vi_heap_grow(segment->heap, size);
    return 0;
}

int vista_resize(vista_segment *handle, size_t size)
{
    struct vi_segment *segment = vi_segment_check(handle);
    int result;

    if (segment == NULL)
        return -1;
    if (segment->flags & VISTA_READ_ONLY)
        return vi_fail(EROFS, "%s: is mapped read-only", segment->path);
    if (size == 0 || size > segment->superblock.max_size)
        return vi_fail(EINVAL, "%s: %zu bytes: its size can be up to %llu", segment->path, size,
                       (unsigned long long)segment->superblock.max_size);
    pthread_mutex_lock(&segment->size_lock);
    result = resize(segment, vi_segment_round(size, segment->flags));
    pthread_mutex_unlock(&segment->size_lock);
    return result;
}

int vista_info(const vista_segment *handle, struct vista_info *out)
{
    struct vi_segment *segment = vi_segment_check(handle);

    if (out == NULL)
        return vi_fail(EINVAL, "vista_info: nowhere to put it");
    memset(out, 0, sizeof *out);
    if (segment == NULL)
        return -1;
    out->path = segment->path;
    memcpy(out->uuid, segment->superblock.uuid, sizeof out->uuid);
    out->base = segment->map.data;
    out->size = vi_segment_size(segment);
    out->max_size = segment->superblock.max_size;
    out->flags = segment->flags | vi_ranges_mode(segment);
    out->persistence = segment->persist.class;
    out->durability = VISTA_KILL_SAFE;
    if (segment->persist.flushes && segment->superblock.real_class != VISTA_CLASS_KILL)
        out->durability = VISTA_POWER_SAFE;
    out->forced = segment->forced;
    out->copy_on_write = segment->file.copy_on_write;
    out->format_version = segment->superblock.version;
    out->fd = segment->file.fd;
    out->data_offset = segment->superblock.data_offset;
    out->rolled_back = segment->rolled_back;
    out->finished = segment->finished;
    out->open_transactions = vi_tx_count_open(vi_home(segment));
    out->log_bytes = vi_logs_bytes(&vi_home(segment)->logs);
    out->log = vi_home(segment)->path;
    if (segment->ranges != NULL)
        vi_ranges_count(segment->ranges, &out->pages_touched, &out->pages_left);
    if (segment->heap != NULL)
        vi_heap_count(segment->heap, out);
    return 0;
}

int vista_flush(vista_segment *handle)
{
    struct vi_segment *segment = vi_segment_check(handle);

    return segment != NULL ? segment->group->engine->flush(segment) : -1;
}
