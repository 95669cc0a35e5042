/* SPDX-License-Identifier: BSD-3-Clause
 *
 * RVM's log file: see rvm_log.h.
 */
#include "rvm/rvm_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "disk/replay.h"
#include "media/guard.h"
#include "vista.h"

#define LOG_MOST ((uint64_t)1 << 40) /* far above what a record can be */

static int close_failed(struct vi_file *file)
{
    const int error = errno;

    vi_file_close(file);
    return errno = error, -1;
}

/* What reading a header said, which is above 0 where none counts. */
static int need_header(const struct vi_rvm_log *log, int result)
{
    return result <= 0 ? result : vi_fail(EBADMSG, "%s: no header of it is sound", log->path);
}

/* ---- Making ------------------------------------------------------------- */

/* A ring a quarter of the log that was asked for at most, and a log in which a record that large
 * is not more than the half that fits in any case. */
static void lay_out(struct vi_disk_area *area, uint64_t bytes)
{
    uint64_t ring;

    if (bytes < VI_RVM_LOG_LEAST)
        bytes = VI_RVM_LOG_LEAST;
    ring =
        bytes / 4 < VI_RVM_RING_MOST ? bytes / 4 / VI_REDO_BLOCK * VI_REDO_BLOCK : VI_RVM_RING_MOST;
    vi_disk_area_set(area, 0, VI_RVM_RING_OFFSET, ring, vi_disk_up(2 * (bytes + ring), ring));
}

static int write_log(struct vi_file *file, uint64_t bytes)
{
    struct vi_disk_area area = {.io = vi_io(), .path = file->path, .fd = file->fd};
    uint64_t end;

    if (getrandom(area.uuid, sizeof area.uuid, 0) != sizeof area.uuid ||
        getrandom(&area.incarnation, sizeof area.incarnation, 0) != sizeof area.incarnation)
        return vi_fail_system(errno, "%s: no random numbers", file->path);
    lay_out(&area, bytes);
    end = area.log_offset + area.log_size;
    if (vi_file_truncate(file, end) != 0 || vi_file_allocate(file, 0, end) != 0)
        return -1;
    return vi_disk_create(&area, 1, (struct vi_disk_point){area.ring_size, 0});
}

int vi_rvm_log_create(const char *path, uint64_t bytes, mode_t mode)
{
    struct vi_file file;
    int error;

    if (bytes > LOG_MOST)
        return vi_fail(ENOSPC, "%s: a log of %llu bytes is too large", path,
                       (unsigned long long)bytes);
    if (vi_file_open(&file, path, VISTA_CREATE | VISTA_EXCLUSIVE, mode, 0) != 0)
        return -1;
    if (write_log(&file, bytes) == 0 && vi_file_sync_name(path) == 0)
        return vi_file_close(&file), 0;
    error = errno;
    unlink(path);
    errno = error;
    return close_failed(&file);
}

/* ---- Reading ------------------------------------------------------------ */

/* Recovery writes to whatever files the log names. */
static int check_trust(const struct vi_file *file)
{
    struct stat st;

    if (fstat(file->fd, &st) != 0)
        return vi_fail_system(errno, "%s: cannot stat", file->path);
    if (st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH))
        return vi_fail(EPERM, "%s: is another user's, or others may write it", file->path);
    return 0;
}

/* Which log it is its headers say. */
static int read_uuid(struct vi_disk_area *area)
{
    static const char codas[] = "RVM Log Version"; /* with which Coda's begin */
    unsigned char block[VI_REDO_BLOCK];
    bool skewed = false;

    for (unsigned i = 0; i < VI_REDO_HEADERS; i++) {
        const struct vi_redo_header *header = (const void *)block;

        if (vi_io_read(area->io, area->fd, block, sizeof block, (uint64_t)i * VI_REDO_BLOCK,
                       false) != 0)
            break;
        if (header->magic == VI_REDO_MAGIC && header->version == VI_REDO_VERSION &&
            header->check == vi_crc32c(0, header, offsetof(struct vi_redo_header, check)))
            return memcpy(area->uuid, header->uuid, sizeof area->uuid), 0;
        skewed |= memmem(block, sizeof block, codas, sizeof codas - 1) != NULL ||
                  (header->magic == VI_REDO_MAGIC && header->version > VI_REDO_VERSION);
    }
    return skewed ? vi_fail(EPROTO, "%s: is a log of another version", area->path)
                  : vi_fail(EBADMSG, "%s: is no log", area->path);
}

static uint32_t check_of(const struct vi_disk_area *area, const struct vi_member *entry)
{
    uint32_t crc = vi_crc32c(0, area->uuid, sizeof area->uuid);

    crc = vi_crc32c(crc, entry, offsetof(struct vi_member, check));
    return vi_crc32c(crc, entry->path, sizeof entry->path);
}

static bool is_sound(const struct vi_disk_area *area, const struct vi_member *entry)
{
    return entry->path[0] == '/' && entry->path[sizeof entry->path - 1] == '\0' &&
           entry->check == check_of(area, entry);
}

static int read_all(struct vi_rvm_log *log, struct vi_disk_area *area)
{
    struct vi_disk_point head;

    *area = (struct vi_disk_area){.io = vi_io(),
                                  .path = log->path,
                                  .fd = log->file.fd,
                                  .copies_on_write = log->file.copy_on_write};
    if (check_trust(&log->file) != 0 || read_uuid(area) != 0)
        return -1;
    vi_disk_area_set(area, 0, VI_RVM_RING_OFFSET, VI_RVM_RING_MOST, VI_RVM_RING_MOST);
    if (need_header(log, vi_disk_header_read(area, log->file.size, &head)) != 0)
        return -1;
    if (vi_io_read(area->io, area->fd, log->member, sizeof log->member, VI_RVM_MEMBERS_OFFSET,
                   false) != 0)
        return vi_fail_system(errno, "%s: cannot read its table", log->path);
    for (unsigned i = 0; i < VI_RVM_MEMBERS; i++)
        if (!is_sound(area, &log->member[i]))
            log->member[i].path[0] = '\0';
    return 0;
}

int vi_rvm_log_read(struct vi_rvm_log *log, const char *path, bool read_only,
                    struct vi_disk_area *area)
{
    if (realpath(path, log->path) == NULL)
        return vi_fail_system(errno, "%s: cannot open", path);
    if (vi_file_open(&log->file, log->path, read_only ? VISTA_READ_ONLY : 0, 0, 0) != 0)
        return -1;
    return read_all(log, area) == 0 ? 0 : close_failed(&log->file);
}

/* ---- Members ------------------------------------------------------------ */

static uint64_t birth_of(int fd)
{
    struct statx more;

    return statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &more) == 0 && more.stx_mask & STATX_BTIME
               ? (uint64_t)more.stx_btime.tv_sec * 1000000000 + more.stx_btime.tv_nsec
               : 0;
}

/* A file that is made where one has been deleted may have its inode: when it was made tells, if that is
 * known; else the device must be the same as long as its number counts. */
static bool is_same(const struct vi_member *entry, int fd, const struct stat *st)
{
    const uint64_t birth = birth_of(fd);
    uint8_t boot[16];

    if (!S_ISREG(st->st_mode) || st->st_ino != VI_RVM_INODE(entry))
        return false;
    if (birth != 0 && VI_RVM_BIRTH(entry) != 0)
        return birth == VI_RVM_BIRTH(entry);
    return !vi_guard_boot_id(boot) || memcmp(boot, entry->uuid, sizeof boot) != 0 ||
           st->st_dev == entry->mapped;
}

int vi_rvm_member_open(const struct vi_rvm_log *log, unsigned member, int flags)
{
    const struct vi_member *entry = &log->member[member - 1];
    struct stat st;
    int fd;

    if (entry->path[0] == '\0')
        return vi_fail(EBADMSG, "%s: damaged: a record names a segment that is not in its table",
                       log->path);
    fd = open(entry->path, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return vi_fail_system(errno, "%s: cannot open, and %s has records of it", entry->path,
                              log->path);
    if (fstat(fd, &st) == 0 && is_same(entry, fd, &st) && st.st_uid == geteuid() &&
        (uint64_t)st.st_size >= entry->max_size)
        return fd;
    close(fd);
    return vi_fail(ESTALE, "%s: is not the segment that %s has records of", entry->path, log->path);
}

/* Targets belong to who truncates. */
static void set_target(struct vi_rvm_log *log, unsigned member, struct vi_disk_target target)
{
    struct vi_disk_log *redo = &log->redo;
    const int state = vi_disk_lock(redo);

    while (redo->truncating)
        pthread_cond_wait(&redo->changed, &redo->lock);
    log->target[member] = target;
    vi_disk_unlock(redo, state);
}

static struct vi_disk_target target_of(int fd, uint64_t size)
{
    return (struct vi_disk_target){.exists = true, .fd = fd, .part = {{0, size}, {0, 0}}};
}

/* The log names the segment, as long as it is now, before a record may be of it. */
static int put_member(struct vi_rvm_log *log, unsigned member, int fd, const char *path,
                      const struct stat *st)
{
    const struct vi_disk_area *area = &log->redo.area;
    struct vi_member entry = {.mapped = st->st_dev, .max_size = (uint64_t)st->st_size};
    const struct iovec whole = {&entry, sizeof entry};

    if (strlen(path) >= sizeof entry.path)
        return vi_fail(ENAMETOOLONG, "%s: the name is too long", path);
    VI_RVM_INODE(&entry) = st->st_ino;
    VI_RVM_BIRTH(&entry) = birth_of(fd);
    if (!vi_guard_boot_id(entry.uuid))
        memset(entry.uuid, 0, sizeof entry.uuid);
    memcpy(entry.path, path, strlen(path));
    entry.check = check_of(area, &entry);
    if (vi_io_write(area->io, area->fd, &whole, 1,
                    VI_RVM_MEMBERS_OFFSET + (uint64_t)(member - 1) * VI_PAGE, true) != 0)
        return vi_fail_system(errno, "%s: cannot write its table", log->path);
    log->member[member - 1] = entry;
    set_target(log, member, target_of(fd, (uint64_t)st->st_size));
    return 0;
}

/* The entry that a segment has, else one that is free; 0: neither. */
static unsigned find_entry(const struct vi_rvm_log *log, int fd, const struct stat *st)
{
    unsigned free = 0;

    for (unsigned member = 1; member <= VI_RVM_MEMBERS; member++) {
        const struct vi_member *entry = &log->member[member - 1];

        if (log->target[member].exists)
            continue;
        if (entry->path[0] != '\0' && is_same(entry, fd, st))
            return member;
        if (free == 0 || (entry->path[0] == '\0' && log->member[free - 1].path[0] != '\0'))
            free = member;
    }
    return free;
}

unsigned vi_rvm_member_join(struct vi_rvm_log *log, int fd, const char *path, const struct stat *st)
{
    const unsigned member = find_entry(log, fd, st);

    if (member == 0)
        return vi_fail(ENFILE, "%s: its table of segments is full", log->path), 0;
    return put_member(log, member, fd, path, st) == 0 ? member : 0;
}

int vi_rvm_member_grow(struct vi_rvm_log *log, unsigned member, const struct stat *st)
{
    const struct vi_member *entry = &log->member[member - 1];

    return (uint64_t)st->st_size <= entry->max_size
               ? 0
               : put_member(log, member, log->target[member].fd, entry->path, st);
}

void vi_rvm_member_leave(struct vi_rvm_log *log, unsigned member)
{
    const int fd = log->target[member].fd;

    set_target(log, member, (struct vi_disk_target){0});
    close(fd);
}

/* ---- Opening ------------------------------------------------------------ */

/* Opens the segments that records name. */
static int open_named(struct vi_rvm_log *log, const struct vi_disk_left *left)
{
    uint8_t named[VI_DISK_MEMBERS] = {0};

    vi_disk_members_named(left, named);
    for (unsigned member = 1; member < VI_DISK_MEMBERS; member++) {
        int fd;

        if (!named[member])
            continue;
        fd = vi_rvm_member_open(log, member, O_RDWR);
        if (fd < 0)
            return -1;
        log->target[member] = target_of(fd, log->member[member - 1].max_size);
    }
    return 0;
}

static void close_targets(struct vi_rvm_log *log)
{
    for (unsigned member = 1; member < VI_DISK_MEMBERS; member++)
        if (log->target[member].exists)
            close(log->target[member].fd);
    memset(log->target, 0, sizeof log->target);
}

static int recover(struct vi_rvm_log *log, struct vi_disk_area *area)
{
    struct vi_disk_left left;
    int result = need_header(log, vi_disk_load(&left, area, log->file.size));

    if (result != 0)
        return -1;
    result = open_named(log, &left) == 0 && vi_disk_replay(&left, log->target) == 0 ? 0 : -1;
    if (result == 0)
        *area = left.area;
    vi_disk_unload(&left);
    return result;
}

int vi_rvm_log_open(struct vi_rvm_log *log, const char *path)
{
    struct vi_disk_area area;
    struct vi_disk_point head;
    int result;

    if (vi_rvm_log_read(log, path, false, &area) != 0)
        return -1;
    result = recover(log, &area);
    close_targets(log);
    if (result == 0)
        result = need_header(log, vi_disk_header_read(&area, log->file.size, &head));
    if (result == 0)
        result = vi_disk_log_open(&log->redo, &area, head, log->target);
    return result == 0 ? 0 : close_failed(&log->file);
}

void vi_rvm_log_close(struct vi_rvm_log *log)
{
    vi_disk_log_close(&log->redo);
    close_targets(log);
    vi_file_close(&log->file);
}

void vi_rvm_log_forget(struct vi_rvm_log *log)
{
    close_targets(log);
    vi_file_forget(&log->file);
}
