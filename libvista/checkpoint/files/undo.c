/* SPDX-License-Identifier: BSD-3-Clause
 *
 * File-system undo: see undo.h.
 */
#include "checkpoint/files/undo.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/files/keeper.h"
#include "checkpoint/files/locks.h"
#include "checkpoint/files/paths.h"

#define MOST_LINKS 4096u
#define PART ((uint64_t)16 << 20) /* of a file, in one record */
#define END_MARK 0x646e652d6f646e75u

enum kind { BYTES, SIZE, CREATED, REMOVED, RENAMED, ATTRIBUTES };

/* A record: this, the path, the other path, the data, and END_MARK xor the checkpoint's number,
 * without which it was cut off by a kill and its change not made. */
struct record {
    uint64_t commit;
    uint32_t kind;
    uint32_t mode;
    uint64_t offset;
    uint64_t size; /* of the file, before */
    uint64_t device, inode;
    uint64_t data;        /* bytes of it */
    uint32_t path, other; /* bytes of them, each with its end */
    uint32_t owner, group;
    uint32_t was_there;
    struct timespec times[2];
};

static int log_fd = -1;
static uint64_t log_end;        /* where the next record goes */
static uint64_t log_commit;     /* of the records that are there */
static char *links[MOST_LINKS]; /* that keep what goes at the next checkpoint */
static uint32_t link_count;
static char log_path[PATH_MAX];

/* Beside the checkpoint file; or, of another file system, hidden where the file itself is. */
static void link_name(const char *beside, char *name, size_t size)
{
    const char *slash = beside != NULL ? strrchr(beside, '/') : NULL;

    if (slash == NULL)
        snprintf(name, size, "%.*s.%u", (int)sizeof log_path - 16, log_path, link_count);
    else
        snprintf(name, size, "%.*s/.vista-undo-%d-%u", (int)(slash - beside), beside, getpid(),
                 link_count);
}

/* ---- Appending --------------------------------------------------------------- */

static long append(struct record record, const char *path, const char *other, const void *data)
{
    uint64_t mark, at;

    if (log_commit != vi_engine.header->commits)
        log_end = 0;
    log_commit = vi_engine.header->commits;
    record.commit = log_commit;
    record.path = (uint32_t)strlen(path) + 1;
    record.other = (uint32_t)strlen(other) + 1;
    mark = END_MARK ^ log_commit;
    at = log_end + sizeof record;
    if (!vi_engine_write(log_fd, path, record.path, at) ||
        !vi_engine_write(log_fd, other, record.other, at += record.path) ||
        !vi_engine_write(log_fd, data, record.data, at += record.other) ||
        !vi_engine_write(log_fd, &mark, sizeof mark, at += record.data) ||
        !vi_engine_write(log_fd, &record, sizeof record, log_end))
        return errno != 0 ? -errno : -ENOSPC;
    log_end = at + sizeof mark;
    return 0;
}

static bool read_at(int fd, void *bytes, uint64_t length, uint64_t offset)
{
    while (length != 0) {
        const ssize_t got = pread(fd, bytes, length, (off_t)offset);

        if (got <= 0)
            return false;
        bytes = (char *)bytes + got;
        offset += (uint64_t)got;
        length -= (uint64_t)got;
    }
    return true;
}

/* Bytes [record.offset, end) in parts, each with the whole file's size: undone is the last one first. */
static long save_parts(struct record record, const char *path, int reader, uint64_t end)
{
    const uint64_t most = end - record.offset < PART ? end - record.offset : PART;
    unsigned char *data = malloc(most + 1);
    long result = data == NULL ? -ENOMEM : 0;

    do {
        record.data = end - record.offset < most ? end - record.offset : most;
        if (result == 0 && !read_at(reader, data, record.data, record.offset))
            result = -EACCES;
        if (result == 0)
            result = append(record, path, "", data);
        record.offset += record.data;
    } while (result == 0 && record.offset < end);
    free(data);
    return result;
}

/* Bytes [offset, offset + length) of the file, as far as it has them. */
static long save(int fd, uint64_t offset, uint64_t length)
{
    char path[PATH_MAX];
    struct record record = {.kind = BYTES, .offset = offset};
    struct stat st;
    uint64_t end = offset;
    int reader;
    long result;

    if (fstat(fd, &st) != 0 || !vi_paths_of(fd, path))
        return -EBADF;
    record.size = (uint64_t)st.st_size;
    record.device = st.st_dev;
    record.inode = st.st_ino;
    record.times[0] = st.st_atim;
    record.times[1] = st.st_mtim;
    if (offset < record.size)
        end = record.size - offset < length ? record.size : offset + length;
    reader = end == offset || (fcntl(fd, F_GETFL) & O_ACCMODE) != O_WRONLY
                 ? fd
                 : vi_paths_reopen(fd, O_RDONLY);
    result = save_parts(record, path, reader, end);
    if (reader >= 0 && reader != fd)
        vi_locks_close(reader);
    if (result == -EACCES)
        vi_refuse("writing to a file that cannot be read", "what it held could not be undone");
    return result;
}

long vi_undo_bytes(int fd, int64_t offset, uint64_t length)
{
    struct stat st;

    if (offset < 0) {
        if (fstat(fd, &st) != 0)
            return -errno;
        offset = st.st_size;
    }
    return save(fd, (uint64_t)offset, length);
}

long vi_undo_truncate(int fd, uint64_t size)
{
    return save(fd, size, UINT64_MAX);
}

long vi_undo_truncate_path(const char *path, uint64_t size)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    long result;

    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    result = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? vi_undo_truncate(fd, size) : 0;
    vi_locks_close(fd);
    return result;
}

long vi_undo_create(const char *path)
{
    struct stat st;

    if (lstat(path, &st) == 0)
        return 0;
    return append((struct record){.kind = CREATED}, path, "", NULL);
}

bool vi_undo_is_full(void)
{
    return link_count == MOST_LINKS;
}

/* Keeps what `path` names by another name. */
static bool keep(const char *path, char *name, size_t size)
{
    link_name(NULL, name, size);
    (void)unlink(name);
    if (linkat(AT_FDCWD, path, AT_FDCWD, name, 0) != 0) {
        link_name(path, name, size);
        if (linkat(AT_FDCWD, path, AT_FDCWD, name, 0) != 0)
            return false;
    }
    links[link_count] = strdup(name);
    link_count += links[link_count] != NULL;
    return true;
}

static long append_going(struct record record, const char *path, const struct stat *st)
{
    char name[PATH_MAX] = "";

    record.mode = st->st_mode;
    if (!S_ISDIR(st->st_mode) && !keep(path, name, sizeof name)) {
        vi_refuse("removing a file that can have no second name", "it could not be brought back");
        return -EPERM;
    }
    return append(record, path, name, NULL);
}

long vi_undo_remove_name(const char *path)
{
    struct stat st;

    if (lstat(path, &st) != 0)
        return 0; /* and the call fails */
    return append_going((struct record){.kind = REMOVED}, path, &st);
}

long vi_undo_rename(const char *from, const char *to)
{
    struct stat st, victim;
    long result;

    if (lstat(from, &st) != 0)
        return 0;
    if (lstat(to, &victim) == 0) {
        if (victim.st_dev == st.st_dev && victim.st_ino == st.st_ino)
            return 0;
        result = append_going((struct record){.kind = REMOVED}, to, &victim);
        if (result != 0)
            return result;
    }
    return append((struct record){.kind = RENAMED, .device = st.st_dev, .inode = st.st_ino}, from,
                  to, NULL);
}

long vi_undo_attributes(const char *path)
{
    struct stat st;

    if (lstat(path, &st) != 0)
        return 0;
    return append((struct record){.kind = ATTRIBUTES,
                                  .mode = st.st_mode,
                                  .owner = st.st_uid,
                                  .group = st.st_gid,
                                  .device = st.st_dev,
                                  .inode = st.st_ino,
                                  .times = {st.st_atim, st.st_mtim}},
                  path, "", NULL);
}

/* ---- Undoing ----------------------------------------------------------------- */

static bool is_same(const char *path, const struct record *record)
{
    struct stat st;

    return lstat(path, &st) == 0 && st.st_dev == record->device && st.st_ino == record->inode;
}

/* A file without a name is with the supervisor, or was made behind the checkpoint and is gone. */
static int open_changed(const struct record *record, const char *path)
{
    int kept;

    if (is_same(path, record))
        return open(path, O_WRONLY | O_CLOEXEC);
    kept = vi_keeper_find_file(record->device, record->inode);
    return kept >= 0 ? vi_paths_reopen(kept, O_WRONLY) : -1;
}

static void undo_bytes(const struct record *record, const char *path, const void *data)
{
    const int fd = open_changed(record, path);

    if (fd < 0)
        return;
    if (!vi_engine_write(fd, data, record->data, record->offset) ||
        ftruncate(fd, (off_t)record->size) != 0 || futimens(fd, record->times) != 0)
        vi_say("%s: cannot be brought back to what it held: %s", path, strerror(errno));
    close(fd);
}

/* Its own writes are undone by now: what is in a file that it may write to is of another process. */
static bool is_anothers(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 && st.st_size != 0 &&
           access(path, W_OK) == 0;
}

static void undo_created(const char *path)
{
    if (!is_anothers(path) && unlink(path) != 0 && errno == EISDIR)
        (void)rmdir(path);
}

static void undo_removed(const struct record *record, const char *path, const char *name)
{
    if (*name == '\0')
        (void)mkdir(path, record->mode & 07777);
    else if (linkat(AT_FDCWD, name, AT_FDCWD, path, 0) != 0 && errno != EEXIST)
        vi_say("%s: cannot be brought back from %s: %s", path, name, strerror(errno));
}

static void undo_attributes(const struct record *record, const char *path)
{
    if (!is_same(path, record))
        return;
    (void)!lchown(path, record->owner, record->group);
    if (!S_ISLNK(record->mode))
        (void)chmod(path, record->mode & 07777);
    (void)utimensat(AT_FDCWD, path, record->times, AT_SYMLINK_NOFOLLOW);
}

static void undo(const struct record *record)
{
    const char *path = (const char *)(record + 1), *other = path + record->path;
    const void *data = other + record->other;

    if (record->kind == BYTES)
        undo_bytes(record, path, data);
    else if (record->kind == CREATED)
        undo_created(path);
    else if (record->kind == REMOVED)
        undo_removed(record, path, other);
    else if (record->kind == RENAMED && is_same(other, record) && !is_same(path, record))
        (void)rename(other, path);
    else if (record->kind == ATTRIBUTES)
        undo_attributes(record, path);
}

/* The end of the record at `at`, or 0: it is none of that checkpoint, whole. */
static uint64_t end_of(const unsigned char *log, uint64_t at, uint64_t size, uint64_t commit)
{
    struct record record;
    uint64_t end = at + sizeof record, mark;

    if (end + sizeof mark > size)
        return 0;
    memcpy(&record, log + at, sizeof record);
    if (record.commit != commit || record.data > size)
        return 0;
    end += (uint64_t)record.path + record.other + record.data;
    if (end + sizeof mark > size)
        return 0;
    memcpy(&mark, log + end, sizeof mark);
    return mark == (END_MARK ^ record.commit) ? end + sizeof mark : 0;
}

/* The new names that the records of the log gave are taken back. */
static void forget_link(const struct record *record)
{
    const char *other = (const char *)(record + 1) + record->path;

    if (record->kind == REMOVED && *other != '\0')
        (void)unlink(other);
}

/* Does it with each record of the log's checkpoint, the last one first. */
static void each_record(const unsigned char *log, uint64_t size,
                        void (*act)(const struct record *record))
{
    uint64_t *starts = malloc((size / sizeof(struct record) + 1) * sizeof *starts);
    uint64_t count = 0, next, commit = 0;

    if (starts == NULL)
        vi_give_up("no memory to undo what was written");
    if (size >= sizeof commit)
        memcpy(&commit, log, sizeof commit);
    for (uint64_t at = 0; (next = end_of(log, at, size, commit)) != 0; at = next)
        starts[count++] = at;
    while (count != 0) {
        const uint64_t start = starts[--count];
        const uint64_t length = end_of(log, start, size, commit) - start;
        /* NOLINTNEXTLINE(clang-analyzer-optin.portability.UnixAPI): a record has a header */
        struct record *record = malloc(length);

        if (record == NULL)
            vi_give_up("no memory to undo what was written");
        memcpy(record, log + start, length);
        act(record);
        free(record);
    }
    free(starts);
}

/* Undoes the log if it is of the last checkpoint; what only it needed goes in any case. */
static void recover(bool undoing)
{
    struct stat st;
    unsigned char *log;
    uint64_t commit = 0;

    if (fstat(log_fd, &st) != 0 || (size_t)st.st_size < sizeof commit)
        return;
    log = malloc((size_t)st.st_size);
    if (log == NULL || !read_at(log_fd, log, (uint64_t)st.st_size, 0))
        vi_give_up("%s: cannot be read", log_path);
    memcpy(&commit, log, sizeof commit);
    if (undoing && commit == vi_engine.header->commits)
        each_record(log, (uint64_t)st.st_size, undo);
    each_record(log, (uint64_t)st.st_size, forget_link);
    free(log);
}

static void remove_links(void)
{
    while (link_count != 0) {
        (void)unlink(links[--link_count]);
        free(links[link_count]);
    }
}

void vi_undo_open(const char *path, bool recovering)
{
    char resolved[PATH_MAX];

    if (realpath(path, resolved) == NULL)
        vi_give_up("%s: %s", path, strerror(errno));
    snprintf(log_path, sizeof log_path, "%.*s.undo", (int)sizeof log_path - 8, resolved);
    log_fd = vi_report_raise(open(log_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (log_fd < 0)
        vi_give_up("%s: %s", log_path, strerror(errno));
    recover(recovering);
    if (ftruncate(log_fd, 0) != 0)
        vi_give_up("%s: %s", log_path, strerror(errno));
    log_commit = vi_engine.header->commits;
    log_end = 0;
}

void vi_undo_committed(void)
{
    remove_links();
}

void vi_undo_remove(const char *path)
{
    char name[PATH_MAX + 32];

    snprintf(name, sizeof name, "%s.undo", path);
    (void)unlink(name);
    (void)unlink(path);
}
