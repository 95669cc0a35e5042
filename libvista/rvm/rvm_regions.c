/* SPDX-License-Identifier: BSD-3-Clause
 *
 * RVM's regions: see rvm_regions.h, and rvm/rvm.h for what the calls promise.
 *
 * To map: know the segment, by its inode; cut the region at its end; refuse what overlaps; carry to the file
 * what the log has; get memory; read; only then do transactions see the region.
 */
#include "rvm/rvm_regions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rvm/rvm_options.h"
#include "rvm/rvm_transactions.h"

/* A region on its way to be mapped. */
struct mapping {
    char path[PATH_MAX];
    int fd;
    struct stat st;
    unsigned member; /* 0: none of the segment's regions is mapped yet */
    uint64_t offset, length;
    char *memory;
    bool is_ours; /* the memory is mapped here, too */
};

/* ---- Looking up ----------------------------------------------------------- */

static bool overlaps(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length)
{
    return a - b < b_length || b - a < a_length;
}

/* The first of a list that has some of these addresses; NULL: none. */
static struct vi_rvm_region *find(struct vi_rvm_region *region, uintptr_t from, uint64_t length)
{
    while (region != NULL && !overlaps(region->from, region->length, from, length))
        region = region->next;
    return region;
}

bool vi_rvm_is_mapped(uintptr_t from, uint64_t length)
{
    return find(vi_rvm.regions, from, length) != NULL;
}

/* Is some of this part of a segment mapped? */
static bool part_is_mapped(unsigned member, uint64_t offset, uint64_t length)
{
    const struct vi_rvm_region *region = vi_rvm.regions;

    while (region != NULL &&
           (region->member != member || !overlaps(region->offset, region->length, offset, length)))
        region = region->next;
    return region != NULL;
}

/* The segment, if a region of it is mapped: its member. */
static unsigned find_member(const struct vi_rvm_log *log, const struct stat *st)
{
    struct stat other;

    for (unsigned member = 1; member < VI_DISK_MEMBERS; member++)
        if (log->target[member].exists && fstat(log->target[member].fd, &other) == 0 &&
            other.st_dev == st->st_dev && other.st_ino == st->st_ino)
            return member;
    return 0;
}

/* Changes the list; no transaction trusts what it knows of it from then on. */
static void set_link(struct vi_rvm_region **link, struct vi_rvm_region *to)
{
    pthread_mutex_lock(&vi_rvm.regions_lock);
    *link = to;
    __atomic_add_fetch(&vi_rvm.generation, 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&vi_rvm.regions_lock);
}

/* ---- Mapping -------------------------------------------------------------- */

static rvm_return_t open_segment(struct vi_rvm_log *log, const rvm_region_t *region,
                                 struct mapping *map)
{
    if (region->data_dev == NULL)
        return RVM_EREGION_DEF;
    if (realpath(region->data_dev, map->path) == NULL)
        return vi_rvm_code();
    map->fd = open(map->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (map->fd < 0 || fstat(map->fd, &map->st) != 0)
        return vi_rvm_code();
    if (!S_ISREG(map->st.st_mode))
        return errno = ENODEV, RVM_EIO;
    if (map->st.st_uid != geteuid()) /* recovery would not write to it */
        return errno = EPERM, RVM_EIO;
    map->member = find_member(log, &map->st);
    return RVM_SUCCESS;
}

/* Where the region begins and ends. */
static rvm_return_t cut(const rvm_region_t *region, struct mapping *map)
{
    const rvm_offset_t *end_at = &region->dev_length;
    uint64_t end = (uint64_t)map->st.st_size, length;

    if (end_at->high == 0 && end_at->low != 0 && end_at->low < end)
        end = end_at->low;
    map->offset = rvm_round_length_down_to_page(region->offset.low);
    if (region->offset.high != 0 || map->offset >= end)
        return RVM_EOFFSET;
    length = rvm_round_length_up_to_page(region->length);
    if (region->length == 0 || length < region->length || length > end - map->offset)
        length = end - map->offset;
    map->length = length;
    if (part_is_mapped(map->member, map->offset, map->length))
        return RVM_EOVERLAP;
    if ((uintptr_t)region->vmaddr % rvm_page_size() != 0 ||
        (uintptr_t)region->vmaddr + length < length)
        return RVM_ERANGE;
    return region->vmaddr != NULL && vi_rvm_is_mapped((uintptr_t)region->vmaddr, length)
               ? RVM_EVM_OVERLAP
               : RVM_SUCCESS;
}

/* Memory at the address asked for, unless there is some of the program's, or anywhere. */
static rvm_return_t take_memory(const rvm_region_t *region, struct mapping *map)
{
    const bool chosen = region->vmaddr != NULL;
    void *got = mmap(
        region->vmaddr, map->length, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (chosen ? MAP_FIXED_NOREPLACE : 0), -1, 0);

    map->is_ours = got != MAP_FAILED;
    map->memory = map->is_ours ? got : region->vmaddr;
    if (map->is_ours || (chosen && errno == EEXIST))
        return RVM_SUCCESS;
    return chosen ? RVM_ERANGE : RVM_ENO_MEMORY;
}

/* The file's bytes, or its pages, which become private. */
static rvm_return_t read_segment(const struct mapping *map)
{
    if (vi_rvm.flags & RVM_MAP_PRIVATE)
        return mmap(map->memory, map->length, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, map->fd,
                    (off_t)map->offset) != MAP_FAILED
                   ? RVM_SUCCESS
                   : RVM_EIO;
    if (vi_io_read(vi_io(), map->fd, map->memory, map->length, map->offset, false) == 0)
        return RVM_SUCCESS;
    return errno == EFAULT ? RVM_ERANGE : RVM_EIO;
}

/* The log knows the segment, as long as it is now. */
static bool join(struct vi_rvm_log *log, struct mapping *map)
{
    if (map->member != 0)
        return vi_rvm_member_grow(log, map->member, &map->st) == 0;
    map->member = vi_rvm_member_join(log, map->fd, map->path, &map->st);
    if (map->member != 0)
        map->fd = -1;
    return map->member != 0;
}

/* Transactions see it from here on. */
static rvm_return_t add_region(struct vi_rvm_log *log, struct mapping *map)
{
    struct vi_rvm_region *region = malloc(sizeof *region);

    if (region == NULL)
        return RVM_ENO_MEMORY;
    if (!join(log, map)) {
        free(region);
        return vi_rvm_code();
    }
    *region = (struct vi_rvm_region){.from = (uintptr_t)map->memory,
                                     .length = map->length,
                                     .offset = map->offset,
                                     .member = map->member};
    region->next = vi_rvm.regions;
    set_link(&vi_rvm.regions, region);
    return RVM_SUCCESS;
}

/* The file gets what the log has, then memory what the file has. */
static rvm_return_t fill(struct vi_rvm_log *log, const rvm_region_t *region, struct mapping *map)
{
    rvm_return_t result;

    if (map->member != 0 && vi_disk_truncate(&log->redo) != 0)
        return vi_rvm_code();
    result = take_memory(region, map);
    if (result == RVM_SUCCESS && !region->no_copy)
        result = read_segment(map);
    if (result == RVM_SUCCESS)
        result = add_region(log, map);
    if (result != RVM_SUCCESS && map->is_ours)
        munmap(map->memory, map->length);
    return result;
}

static rvm_return_t map_region(struct vi_rvm_log *log, rvm_region_t *region)
{
    struct mapping map = {.fd = -1};
    rvm_return_t result = open_segment(log, region, &map);

    if (result == RVM_SUCCESS)
        result = cut(region, &map);
    if (result == RVM_SUCCESS)
        result = fill(log, region, &map);
    if (map.fd >= 0)
        close(map.fd);
    if (result != RVM_SUCCESS)
        return result;
    region->offset = rvm_mk_offset(0, map.offset);
    region->vmaddr = map.memory;
    region->length = map.length;
    return RVM_SUCCESS;
}

static rvm_return_t check_region(const rvm_region_t *region)
{
    const rvm_return_t ready = vi_rvm_ready(NULL);

    return ready == RVM_SUCCESS && (region == NULL || region->struct_id != rvm_region_id)
               ? RVM_EREGION
               : ready;
}

rvm_return_t rvm_map(rvm_region_t *region, rvm_options_t *options)
{
    struct vi_rvm_log *log;
    rvm_return_t result;

    pthread_mutex_lock(&vi_rvm.admin);
    result = check_region(region);
    if (result == RVM_SUCCESS && options != NULL)
        result = vi_rvm_apply_options(options);
    if (result == RVM_SUCCESS)
        result = vi_rvm_ready(&log);
    if (result == RVM_SUCCESS)
        result = map_region(log, region);
    pthread_mutex_unlock(&vi_rvm.admin);
    return result;
}

/* ---- Unmapping ------------------------------------------------------------ */

/* The link to the region that has exactly these addresses. */
static rvm_return_t find_exactly(const rvm_region_t *region, struct vi_rvm_region ***link)
{
    const uintptr_t from = (uintptr_t)region->vmaddr;

    *link = &vi_rvm.regions;
    while (**link != NULL && from - (**link)->from >= (**link)->length)
        *link = &(**link)->next;
    if (**link == NULL)
        return RVM_ENOT_MAPPED;
    return (**link)->from == from && rvm_round_length_up_to_page((**link)->length) ==
                                         rvm_round_length_up_to_page(region->length)
               ? RVM_SUCCESS
               : RVM_ERANGE;
}

/* Takes a region from the list, unless transactions have ranges in it, or the segment needs what the log has
 * and cannot get it.  It goes first: what is declared before that is seen here, and nothing after. */
static rvm_return_t unmap_region(struct vi_rvm_log *log, const rvm_region_t *asked)
{
    struct vi_rvm_region **link, *region;
    rvm_return_t result = find_exactly(asked, &link);

    if (result != RVM_SUCCESS)
        return result;
    region = *link;
    set_link(link, region->next);
    pthread_mutex_lock(&vi_rvm.lock);
    if (vi_rvm_uncommitted(region->from, region->length, NULL, 0) != 0)
        result = RVM_EUNCOMMIT;
    pthread_mutex_unlock(&vi_rvm.lock);
    if (result == RVM_SUCCESS && !part_is_mapped(region->member, 0, UINT64_MAX)) {
        if (vi_disk_truncate(&log->redo) == 0)
            vi_rvm_member_leave(log, region->member);
        else
            result = vi_rvm_code();
    }
    if (result == RVM_SUCCESS)
        free(region);
    else
        set_link(link, region);
    return result;
}

rvm_return_t rvm_unmap(rvm_region_t *region)
{
    struct vi_rvm_log *log;
    rvm_return_t result;

    pthread_mutex_lock(&vi_rvm.admin);
    result = check_region(region);
    if (result == RVM_SUCCESS)
        result = vi_rvm_ready(&log);
    if (result == RVM_SUCCESS)
        result = unmap_region(log, region);
    pthread_mutex_unlock(&vi_rvm.admin);
    return result;
}

/* ---- Pages in use by others --------------------------------------------------- */

static struct vi_rvm_region *noted; /* with vi_rvm.regions_lock */

rvm_bool_t rvm_register_page(char *vmaddr, rvm_length_t length)
{
    const uintptr_t from = (uintptr_t)vmaddr;
    struct vi_rvm_region *region = malloc(sizeof *region);
    bool is_free;

    if (region == NULL)
        return rvm_false;
    pthread_mutex_lock(&vi_rvm.regions_lock);
    is_free = find(noted, from, length) == NULL && find(vi_rvm.regions, from, length) == NULL;
    if (is_free) {
        *region = (struct vi_rvm_region){.next = noted, .from = from, .length = length};
        noted = region;
    }
    pthread_mutex_unlock(&vi_rvm.regions_lock);
    if (!is_free)
        free(region);
    return is_free;
}

rvm_bool_t rvm_unregister_page(char *vmaddr, rvm_length_t length)
{
    struct vi_rvm_region **link = &noted, *found;

    pthread_mutex_lock(&vi_rvm.regions_lock);
    while (*link != NULL && ((*link)->from != (uintptr_t)vmaddr || (*link)->length != length))
        link = &(*link)->next;
    found = *link;
    if (found != NULL)
        *link = found->next;
    pthread_mutex_unlock(&vi_rvm.regions_lock);
    free(found);
    return found != NULL;
}
