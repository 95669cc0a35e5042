/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The guest's descriptors: see descriptors.h.
 */
#include "checkpoint/files/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/files/keeper.h"
#include "checkpoint/files/paths.h"
#include "checkpoint/files/zone.h"

/* Groups that wait for a checkpoint; with more a program that closes what has no name ran out of them. */
#define MOST_DROPPED (VI_DESCRIPTORS / 2)

bool vi_files_touched[VI_DESCRIPTORS], vi_files_any_touched, vi_files_closed;
/* Of descriptions that were closed, what the supervisor need not keep from the next checkpoint on;
 * and what the last one has, whose groups are not free before. */
static uint32_t dropped[VI_DESCRIPTORS];
static uint32_t dropped_count;
uint32_t vi_files_accepted;
static bool entered[VI_DESCRIPTORS]; /* since the last checkpoint, which has the others */

struct vi_open_file *vi_files_of(uint64_t fd)
{
    const uint32_t group = vi_files_group(fd);

    return group != 0 ? &vi_engine.control->files[group - 1] : NULL;
}

uint32_t vi_files_group(uint64_t fd)
{
    return fd < VI_DESCRIPTORS ? vi_engine.control->descriptors[fd].group : 0;
}

static bool is_dropped(uint32_t group)
{
    for (uint32_t i = 0; i < dropped_count; i++)
        if (dropped[i] == group)
            return true;
    return false;
}

static uint32_t free_group(void)
{
    const struct vi_control *c = vi_engine.control;

    for (uint32_t i = 0; i < VI_DESCRIPTORS; i++)
        if (c->files[i].kind == VI_FILE_NONE && !vi_zone_is_closing(i + 1) && !is_dropped(i + 1))
            return i + 1;
    return 0;
}

static long refuse(int fd, long error)
{
    close(fd);
    return error;
}

/* A file that has no name any more cannot be opened again. */
static bool has_path(const struct vi_open_file *file)
{
    struct stat st;

    return file->path[0] == '/' && stat(file->path, &st) == 0 && st.st_dev == file->device &&
           st.st_ino == file->inode;
}

static void describe(struct vi_open_file *file, int fd, enum vi_file_kind kind)
{
    struct stat st = {0};

    (void)fstat(fd, &st);
    file->mode = st.st_mode & S_IFMT;
    file->device = st.st_dev;
    file->inode = st.st_ino;
    file->terminal = S_ISCHR(st.st_mode) && isatty(fd);
    file->kind = kind;
    if (kind != VI_FILE_REGULAR)
        return;
    if (!has_path(file) || S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))
        file->kind = VI_FILE_KEPT;
    else if (S_ISDIR(st.st_mode))
        file->kind = VI_FILE_DIRECTORY;
    else if (!S_ISREG(st.st_mode))
        file->kind = VI_FILE_DEVICE;
    file->made_up = vi_paths_is_made_up(fd);
}

static struct vi_open_file *enter(uint32_t group, int fd, enum vi_file_kind kind, const char *path)
{
    struct vi_open_file *file = &vi_engine.control->files[group - 1];
    const uint16_t close_on_exec = fcntl(fd, F_GETFD) & FD_CLOEXEC;

    memset(file, 0, offsetof(struct vi_open_file, path));
    memcpy(file->path, path, strlen(path) + 1);
    describe(file, fd, kind);
    file->flags = (uint32_t)(fcntl(fd, F_GETFL) & ~O_CLOEXEC);
    file->inherited = (uint32_t)fd;
    file->references = 1;
    vi_engine.control->descriptors[fd] = (struct vi_descriptor){(uint16_t)group, close_on_exec};
    vi_files_touched[group - 1] = vi_files_any_touched = entered[group - 1] = true;
    return file;
}

long vi_files_add(int fd, enum vi_file_kind kind, const char *path)
{
    const uint32_t group = free_group();
    struct vi_open_file *file;

    if (fd >= VI_DESCRIPTORS || group == 0)
        return refuse(fd, -EMFILE);
    if (path != NULL && strlen(path) >= VI_PATH_SIZE)
        return refuse(fd, -ENAMETOOLONG);
    file = enter(group, fd, kind, path != NULL ? path : "");
    if (file->kind == VI_FILE_KEPT && !vi_keeper_give(group, fd)) {
        file->kind = VI_FILE_NONE;
        vi_engine.control->descriptors[fd] = (struct vi_descriptor){0};
        return refuse(fd, -ENFILE);
    }
    return fd;
}

/* A connection of that listener that was accepted and not handed out before a kill, or 0. */
static uint32_t find_accepted(uint32_t listener)
{
    for (uint32_t group = 1; vi_files_accepted != 0 && group <= VI_DESCRIPTORS; group++)
        if (listener != 0 && vi_engine.control->files[group - 1].kind == VI_FILE_ACCEPTED &&
            vi_engine.control->files[group - 1].inherited == listener)
            return group;
    return 0;
}

bool vi_files_is_waiting(uint64_t fd)
{
    const uint32_t group = vi_files_group(fd);

    return vi_zone_left(group) != 0 || find_accepted(group) != 0;
}

bool vi_files_any_waiting(void)
{
    return vi_files_accepted != 0 || vi_zone_any_left();
}

long vi_files_accept(uint64_t listener, int flags)
{
    uint32_t group = find_accepted(vi_files_group(listener));
    int fd;

    if (group != 0) {
        fd = fcntl(vi_keeper_find(group), F_DUPFD, 0);
        if (fd >= 0)
            vi_keeper_release(group);
        vi_files_accepted -= fd >= 0;
    } else {
        group = free_group();
        fd = group != 0 ? vi_keeper_accept(vi_files_group(listener), group) : -EMFILE;
    }
    if (fd < 0)
        return fd;
    if (fd >= VI_DESCRIPTORS)
        return refuse(fd, -EMFILE);
    (void)fcntl(fd, F_SETFD, flags & O_CLOEXEC ? FD_CLOEXEC : 0);
    (void)fcntl(fd, F_SETFL, O_RDWR | (flags & O_NONBLOCK));
    (void)enter(group, fd, VI_FILE_KEPT, "");
    return fd;
}

long vi_files_dup(int from, int to, bool close_on_exec)
{
    struct vi_control *c = vi_engine.control;
    const uint32_t group = vi_files_group((uint64_t)from);

    if (to >= VI_DESCRIPTORS)
        return refuse(to, -EMFILE);
    c->descriptors[to] = (struct vi_descriptor){(uint16_t)group, close_on_exec};
    c->files[group - 1].references++;
    return to;
}

void vi_files_forget(int fd)
{
    struct vi_control *c = vi_engine.control;
    const uint32_t group = vi_files_group((uint64_t)fd);
    struct vi_open_file *file;
    uint32_t waiting;

    if (group == 0)
        return;
    vi_files_closed = true;
    file = &c->files[group - 1];
    c->descriptors[fd] = (struct vi_descriptor){0};
    if (--file->references != 0)
        return;
    if ((file->kind == VI_FILE_KEPT || !entered[group - 1]) && dropped_count < VI_DESCRIPTORS)
        dropped[dropped_count++] = group;
    file->kind = VI_FILE_NONE;
    vi_zone_close(group);
    while ((waiting = find_accepted(group)) != 0) {
        vi_keeper_release(waiting);
        dropped[dropped_count++] = waiting;
        vi_files_accepted--;
        vi_engine.control->files[waiting - 1].kind = VI_FILE_NONE;
    }
}

bool vi_files_ends(uint64_t fd)
{
    const struct vi_open_file *file = vi_files_of(fd);

    return file != NULL && file->references == 1 &&
           (dropped_count >= MOST_DROPPED || file->shared ||
            (file->locks != 0 && (vi_engine.control->births | vi_engine.header->parent) != 0) ||
            (file->kind == VI_FILE_KEPT && file->mode != S_IFREG && file->mode != S_IFDIR));
}

void vi_files_touch(uint64_t fd)
{
    const uint32_t group = vi_files_group(fd);

    if (group != 0)
        vi_files_touched[group - 1] = vi_files_any_touched = true;
}

static void gather_offset(int fd, struct vi_open_file *file)
{
    const off_t at = lseek(fd, 0, SEEK_CUR);

    if (at >= 0 && at != file->offset)
        file->offset = at;
}

void vi_files_gather(void)
{
    struct vi_control *c = vi_engine.control;

    for (int fd = 0; vi_files_any_touched && fd < VI_DESCRIPTORS; fd++) {
        const uint32_t group = c->descriptors[fd].group;
        struct vi_open_file *file = group != 0 ? &c->files[group - 1] : NULL;

        if (file == NULL || !vi_files_touched[group - 1])
            continue;
        if (file->mode == S_IFREG || file->mode == S_IFDIR)
            gather_offset(fd, file);
        vi_files_touched[group - 1] = false;
    }
    vi_files_any_touched = false;
}

void vi_files_settle(void)
{
    while (dropped_count != 0)
        vi_keeper_drop(dropped[--dropped_count]);
    memset(entered, 0, sizeof entered);
}

bool vi_files_is_visible(uint64_t fd)
{
    const struct vi_open_file *file = vi_files_of(fd);

    return file != NULL &&
           (file->mode != S_IFREG || file->kind == VI_FILE_INHERITED || file->shared);
}

bool vi_files_is_own(uint64_t fd)
{
    const struct vi_open_file *file = vi_files_of(fd);

    return file != NULL && (file->mode == S_IFREG || file->mode == S_IFDIR) &&
           file->kind != VI_FILE_INHERITED && !file->made_up && !file->shared;
}

bool vi_files_is_input(const struct vi_open_file *file)
{
    return (file->mode == S_IFREG || file->mode == S_IFDIR) &&
           (file->flags & O_ACCMODE) == O_RDONLY;
}

bool vi_files_is_new(uint64_t fd)
{
    const uint32_t group = vi_files_group(fd);

    return group != 0 && entered[group - 1];
}

bool vi_files_is_stream(uint64_t fd)
{
    const struct vi_open_file *file = vi_files_of(fd);

    return file != NULL && (file->terminal || file->mode == S_IFIFO || file->mode == S_IFSOCK ||
                            (file->mode == 0 && file->kind == VI_FILE_KEPT));
}

bool vi_files_has_name(const struct vi_open_file *file)
{
    return file->kind == VI_FILE_REGULAR || file->kind == VI_FILE_DIRECTORY;
}

int vi_files_descriptor_of(uint32_t group)
{
    for (int fd = 0; fd < VI_DESCRIPTORS; fd++)
        if (vi_engine.control->descriptors[fd].group == group)
            return fd;
    return -1;
}

void vi_files_unnamed(const char *path)
{
    struct stat st;

    if (lstat(path, &st) != 0)
        return;
    for (uint32_t group = 1; group <= VI_DESCRIPTORS; group++) {
        struct vi_open_file *file = &vi_engine.control->files[group - 1];

        if (vi_files_has_name(file) && file->device == st.st_dev && file->inode == st.st_ino &&
            vi_keeper_give(group, vi_files_descriptor_of(group)))
            file->kind = VI_FILE_KEPT;
    }
}

void vi_files_renamed(void)
{
    char path[PATH_MAX];

    for (int fd = 0; fd < VI_DESCRIPTORS; fd++) {
        struct vi_open_file *file = vi_files_of((uint64_t)fd);

        if (file != NULL && (vi_files_has_name(file) || (file->shared && file->mode == S_IFREG)) &&
            vi_paths_of(fd, path) && strlen(path) < VI_PATH_SIZE)
            memcpy(file->path, path, strlen(path) + 1);
    }
}

/* ---- Start --------------------------------------------------------------------- */

void vi_files_start(void)
{
    for (int fd = 0; fd < VI_DESCRIPTORS; fd++)
        if (fcntl(fd, F_GETFL) >= 0)
            vi_files_add(fd, VI_FILE_INHERITED, NULL);
}
