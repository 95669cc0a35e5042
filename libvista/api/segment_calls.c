/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The public calls on segments: arguments are checked, then the rows below are
 * wired together.  Contracts are in vista.h.
 */
#include <errno.h>
#include <stdlib.h>

#include "api/mapping.h"
#include "api/opening.h"
#include "base/error.h"
#include "base/watch.h"
#include "check/check.h"
#include "core/backing.h"
#include "core/resize.h"
#include "core/transaction.h"
#include "disk/disk.h"
#include "heap/cache.h"
#include "heap/heap.h"
#include "heap/heap_kinds.h"
#include "heap/visit.h"
#include "media/guard.h"
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

static int check_flags(const char *path, size_t size, unsigned flags)
{
    if (flags & (VISTA_SHARE | VISTA_VIEW | VISTA_STANDBY))
        return vi_fail(ENOTSUP, "%s: this library makes no copies of a live segment", path);
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
    if (options->layout != NULL && strlen(options->layout) > VI_LAYOUT_MAX)
        return vi_fail(EINVAL, "%s: the layout's name has %zu bytes, more than %u", path,
                       strlen(options->layout), VI_LAYOUT_MAX);
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
    const char *value = secure_getenv("VISTA_CHECK");

    if (value == NULL || *value == '\0')
        return 0;
    if (strcmp(value, "ranges") != 0)
        return vi_fail(EINVAL, "VISTA_CHECK is \"%s\": it must be ranges", value);
    if (!(*flags & (VISTA_READ_ONLY | VISTA_AUTO_RANGE)) &&
        (other == NULL || vi_ranges_mode(vi_home(other)) == VISTA_CHECK_RANGES))
        *flags |= VISTA_CHECK_RANGES;
    return 0;
}

static int check_path(const char *path)
{
    if (path == NULL || *path == '\0')
        return vi_fail(EINVAL, "vista_map: no path");
    if (strlen(path) >= PATH_MAX)
        return vi_fail(ENAMETOOLONG, "vista_map: the path is %zu bytes long", strlen(path));
    return 0;
}

vista_segment *vista_map(const char *path, size_t size, unsigned flags,
                         const struct vista_map_options *options)
{
    struct vi_segment *segment;

    options = options != NULL ? options : &vi_default_options;
    if (check_path(path) != 0 || check_environment(&flags, options->log) != 0 ||
        check_flags(path, size, flags) != 0 || check_options(path, size, flags, options) != 0)
        segment = NULL;
    else
        segment = vi_map_segment(path, size, flags, options, 0);
    if (segment != NULL)
        return &segment->handle;
    vi_error_explains();
    return NULL;
}

vista_segment *vista_segment_of(const void *address)
{
    struct vi_segment *segment = vi_process_find(address);

    return segment != NULL ? &segment->handle : NULL;
}

int vista_unmap(vista_segment *handle)
{
    struct vi_segment *segment = vi_segment_check(handle), *home;
    uint64_t open;

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
    return vi_unmap_segment(segment);
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
    result = vi_resize_segment(segment, vi_segment_round(size, segment->flags));
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
    out->flags =
        segment->flags | vi_ranges_mode(segment) | (segment->was_torn ? VISTA_ACCEPT_TORN : 0);
    out->persistence = segment->persist.class;
    out->durability = VISTA_KILL_SAFE;
    if (segment->persist.flushes && segment->superblock.real_class != VISTA_CLASS_KILL)
        out->durability = VISTA_POWER_SAFE;
    out->forced = segment->forced;
    out->copy_on_write = segment->file.copy_on_write;
    out->torn_guard = vi_guard_needed(&segment->file, segment->superblock.real_class);
    out->layout = segment->layout;
    out->format_version = segment->superblock.version;
    out->fd = segment->file.fd;
    out->data_offset = segment->superblock.data_offset;
    out->rolled_back = segment->rolled_back;
    out->finished = segment->finished;
    out->open_transactions = vi_tx_count_open(vi_home(segment));
    vi_tx_count_ended(vi_home(segment), &out->commits, &out->aborts);
    out->log_bytes = vi_logs_bytes(&vi_home(segment)->logs);
    out->log = vi_home(segment)->path;
    if (segment->ranges != NULL)
        vi_ranges_count(segment->ranges, &out->pages_touched, &out->pages_left);
    if (segment->heap != NULL)
        vi_heap_count(segment->heap, out);
    vi_disk_count(segment, out);
    return 0;
}

int vista_flush(vista_segment *handle)
{
    struct vi_segment *segment = vi_segment_check(handle);

    return segment != NULL ? segment->group->engine->flush(segment) : -1;
}
