/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What files say of groups: see members.h.  Records hold addresses, so what belongs to which
 * segment follows from where each is mapped; of a log left by a process that died, from the
 * entries in home's table.
 */
#include "core/members.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "core/group.h"
#include "media/io.h"

static uint32_t check_of(uint32_t seed, const struct vi_member *entry)
{
    const uint32_t crc = vi_crc32c(seed, entry, offsetof(struct vi_member, check));

    return vi_crc32c(crc, entry->path, sizeof entry->path);
}

struct vi_member *vi_members(const struct vi_logs *logs)
{
    return (struct vi_member *)(logs->meta + VI_MEMBERS_OFFSET);
}

bool vi_member_is_sound(const struct vi_logs *logs, const struct vi_member *entry)
{
    return entry->path[0] != '\0' && entry->path[sizeof entry->path - 1] == '\0' &&
           entry->check == check_of(logs->seed, entry);
}

const struct vi_member *vi_member_at(const struct vi_logs *logs, uint64_t address)
{
    const struct vi_member *table = vi_members(logs);

    for (unsigned i = 0; i < VI_MEMBERS; i++)
        if (address - table[i].mapped < table[i].max_size && vi_member_is_sound(logs, &table[i]))
            return &table[i];
    return NULL;
}

bool vi_members_apart(const struct vi_logs *logs)
{
    const struct vi_member *table = vi_members(logs), *sound[VI_MEMBERS];
    unsigned count = 0;

    for (unsigned i = 0; i < VI_MEMBERS; i++) {
        if (table[i].max_size == 0 || !vi_member_is_sound(logs, &table[i]))
            continue;
        for (unsigned other = 0; other < count; other++)
            if (table[i].mapped - sound[other]->mapped < sound[other]->max_size ||
                sound[other]->mapped - table[i].mapped < table[i].max_size)
                return false;
        sound[count++] = &table[i];
    }
    return true;
}

int vi_member_listed(const struct vi_file *home, const struct vi_superblock *superblock,
                     const uint8_t uuid[16], uint64_t opening)
{
    const struct vi_logs logs = {.seed = vi_crc32c(0, superblock->uuid, sizeof superblock->uuid)};
    struct vi_member entry;

    for (unsigned i = 0; i < VI_MEMBERS; i++) {
        if (pread(home->fd, &entry, sizeof entry, VI_MEMBERS_OFFSET + (off_t)i * VI_PAGE) !=
            (ssize_t)sizeof entry)
            return vi_fail(EBADMSG, "%s: cannot read its table of members", home->path);
        if (memcmp(entry.uuid, uuid, sizeof entry.uuid) == 0 && entry.opening == opening &&
            vi_member_is_sound(&logs, &entry))
            return 1;
    }
    return 0;
}

bool vi_member_home(const struct vi_file *file, const struct vi_superblock *superblock,
                    struct vi_member *home)
{
    const struct vi_logs logs = {.seed = vi_crc32c(0, superblock->uuid, sizeof superblock->uuid)};

    return pread(file->fd, home, sizeof *home, VI_HOME_OFFSET) == (ssize_t)sizeof *home &&
           vi_member_is_sound(&logs, home);
}

bool vi_member_names_back(const struct vi_file *file, const struct vi_superblock *superblock,
                          const uint8_t uuid[16], uint64_t opening)
{
    struct vi_member home;

    return !superblock->clean && superblock->features_must & VI_MUST_MEMBER &&
           vi_member_home(file, superblock, &home) && home.opening == opening &&
           memcmp(home.uuid, uuid, sizeof home.uuid) == 0;
}

/* Stores an entry durably: in the disk class the mapping is but an image of the file. */
static int write_entry(const struct vi_logs *logs, uint64_t offset, const struct vi_member *entry)
{
    const struct iovec part = {(void *)entry, sizeof *entry};

    memcpy(logs->meta + offset, entry, sizeof *entry);
    vi_flush_fence(logs->persist, logs->meta + offset, sizeof *entry);
    if (!logs->in_memory || vi_io_write(vi_io(), logs->file->fd, &part, 1, offset, true) == 0)
        return 0;
    return vi_fail_system(errno, "%s: cannot write its table of members", logs->file->path);
}

int vi_member_void(const struct vi_logs *logs, const struct vi_member *entry)
{
    static const struct vi_member none;

    return write_entry(logs, (uint64_t)((const unsigned char *)entry - logs->meta), &none);
}

/* Stores an entry at `offset` of the file with these logs. */
static int store(const struct vi_logs *logs, uint64_t offset, const struct vi_segment *of,
                 uint64_t mapped, uint64_t opening)
{
    struct vi_member entry = {.mapped = mapped, .max_size = of->map.reserved, .opening = opening};
    const size_t length = strlen(of->real);
    struct stat st;

    if (of->real[0] != '/' || stat(of->real, &st) != 0 || st.st_dev != of->file.device ||
        st.st_ino != of->file.inode)
        return vi_fail(ENOENT, "%s: cannot tell its absolute path: it is not at %s", of->path,
                       of->real);
    if (length < sizeof entry.path)
        memcpy(entry.path, of->real, length);
    else
        return vi_fail(ENAMETOOLONG, "%s: its absolute path has %zu bytes, more than %zu", of->path,
                       length, sizeof entry.path - 1);
    memcpy(entry.uuid, of->superblock.uuid, sizeof entry.uuid);
    entry.check = check_of(logs->seed, &entry);
    if (vi_file_allocate(logs->file, offset, sizeof entry) != 0)
        return -1;
    return write_entry(logs, offset, &entry);
}

static bool is_in_group(const struct vi_segment *home, const uint8_t uuid[16])
{
    const struct vi_segment *at = home->own.members;

    while (at != NULL && !vi_segment_is(at, uuid))
        at = at->next_member;
    return at != NULL || vi_segment_is(home, uuid);
}

/* One that is not mapped now and was where the new one is would be taken for it: it goes. */
static int clear_entry(const struct vi_logs *logs, const struct vi_member *entry,
                       const struct vi_segment *segment)
{
    const uint64_t from = (uintptr_t)segment->map.data;

    if (entry->mapped - from >= segment->map.reserved && from - entry->mapped >= entry->max_size)
        return 0;
    return vi_member_void(logs, entry);
}

/* The member's own entry, or a free one, or that of one which is not mapped now: no record
 * names it, since home was recovered.  VI_MEMBERS: none.  -1: it cannot be written. */
static int choose(const struct vi_segment *home, const struct vi_segment *segment)
{
    struct vi_member *table = vi_members(&home->logs);
    int own = VI_MEMBERS, idle = VI_MEMBERS, spare = VI_MEMBERS;

    for (int i = VI_MEMBERS; i-- > 0;) {
        if (!vi_member_is_sound(&home->logs, &table[i]))
            spare = i;
        else if (vi_segment_is(segment, table[i].uuid))
            own = i;
        else if (!is_in_group(home, table[i].uuid)) {
            if (clear_entry(&home->logs, &table[i], segment) != 0)
                return -1;
            idle = i;
        }
    }
    return own != (int)VI_MEMBERS ? own : spare != (int)VI_MEMBERS ? spare : idle;
}

/* It was left open as a member, and its home was recovered: it stands alone, and says so
 * before what it says of its home changes. */
static int stand_alone(struct vi_segment *segment)
{
    struct vi_superblock *s = &segment->superblock;

    if (!(s->features_must & VI_MUST_MEMBER))
        return 0;
    s->features_must &= ~(uint64_t)VI_MUST_MEMBER;
    return vi_superblock_write(&segment->file, &segment->persist, segment->map.meta, s);
}

int vi_group_join(struct vi_segment *home, struct vi_segment *segment)
{
    const uint64_t opening = home->superblock.opening[0];
    int result = -1, number;

    pthread_mutex_lock(&home->size_lock); /* one at a time */
    number = choose(home, segment);
    if (is_in_group(home, segment->superblock.uuid))
        vi_fail(EINVAL, "%s: is a copy of a segment that shares the log of %s", segment->path,
                home->path);
    else if (number == (int)VI_MEMBERS)
        vi_fail(ENOSPC, "%s: %u segments share its log, and no more can", home->path, VI_MEMBERS);
    else if (number >= 0 && stand_alone(segment) == 0 &&
             store(&home->logs, VI_MEMBERS_OFFSET + (uint64_t)number * VI_PAGE, segment,
                   (uintptr_t)segment->map.data, opening) == 0 &&
             store(&segment->logs, VI_HOME_OFFSET, home, 0, opening) == 0)
        result = 0;
    if (result == 0) {
        segment->member = (unsigned)number + 1;
        vi_group_link(home, segment, (uintptr_t)segment->map.data);
    }
    pthread_mutex_unlock(&home->size_lock);
    return result;
}
