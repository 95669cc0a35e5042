/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Descriptors after a kill: see reopen.h.
 */
#include "checkpoint/files/reopen.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/files/descriptors.h"
#include "checkpoint/files/keeper.h"
#include "checkpoint/files/paths.h"
#include "checkpoint/files/zone.h"

#define REOPENED (~(O_CREAT | O_EXCL | O_TRUNC))

static bool accept_changed; /* a file that has taken the place of one that was open */

static int open_again(struct vi_open_file *file)
{
    const int flags = (int)(file->flags & (uint32_t)REOPENED) | O_CLOEXEC | O_NOCTTY;
    const int fd = open(file->path, flags);
    struct stat st;

    if (fd < 0)
        vi_give_up("%s, which the program had open: %s", file->path, strerror(errno));
    /* A folder may have been removed and made again, in undoing. */
    if (fstat(fd, &st) != 0 ||
        (file->mode == S_IFREG && st.st_ino != file->inode && !accept_changed))
        vi_give_up("%s, which the program had open, is another file now; --accept-changed takes it",
                   file->path);
    file->device = st.st_dev;
    file->inode = st.st_ino;
    return fd;
}

/* Has this process nothing yet but what its parent had? */
static bool is_born(void)
{
    return vi_engine.header->born_at == vi_engine.header->commits;
}

/* Of what its parent reads a child has an open description of its own, and keeps it. */
static int open_own(uint32_t group, int parents)
{
    struct vi_open_file *file = &vi_engine.control->files[group - 1];
    const int fd = vi_paths_reopen(parents, (int)file->flags & REOPENED & ~O_NOFOLLOW);

    if (fd >= 0 && vi_keeper_give(group, fd))
        file->kind = VI_FILE_KEPT;
    return fd;
}

/* The supervisor that kept what the processes shared is gone, and they with it: this one keeps it from now on. */
static int share_again(uint32_t group, struct vi_open_file *file)
{
    const int fd = open_again(file);

    (void)lseek(fd, 0, SEEK_END);
    return vi_keeper_give(group, fd) ? fd : -1;
}

/* A descriptor of the description, at any number, its offset as it was. */
static int get_again(uint32_t group, const int *started)
{
    struct vi_open_file *file = &vi_engine.control->files[group - 1];
    const bool output = (file->flags & O_ACCMODE) != O_RDONLY;
    const bool inherited = file->kind == VI_FILE_INHERITED;
    int fd = -1, from = vi_keeper_find(group);

    if (inherited)
        from = file->inherited < VI_DESCRIPTORS ? started[file->inherited] : -1;
    if (from >= 0 && is_born() && vi_files_is_input(file))
        fd = open_own(group, from);
    else if (from >= 0)
        fd = fcntl(from, F_DUPFD_CLOEXEC, VI_DESCRIPTORS);
    else if (inherited)
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    else if (file->kind != VI_FILE_KEPT)
        fd = open_again(file);
    else if (file->shared && file->mode == S_IFREG)
        fd = share_again(group, file);
    if (fd < 0)
        vi_give_up("descriptor %d of the program is lost with its supervisor",
                   vi_files_descriptor_of(group));
    if (file->kind == VI_FILE_INHERITED || file->kind == VI_FILE_KEPT) {
        /* Whether it is appended to is for whoever started this run to say. */
        const int appended = file->kind == VI_FILE_KEPT ? (int)file->flags : fcntl(fd, F_GETFL);

        (void)fcntl(fd, F_SETFL,
                    (appended & O_APPEND) | ((int)file->flags & (O_NONBLOCK | O_ASYNC)));
    }
    /* Output that was inherited or is shared is never undone: it goes on at its end. */
    if (!file->shared && (file->mode == S_IFREG || file->mode == S_IFDIR) &&
        (file->kind != VI_FILE_INHERITED || !output))
        (void)lseek(fd, file->offset, SEEK_SET);
    if (file->locks != 0 && flock(fd, (int)file->locks | LOCK_NB) != 0)
        vi_give_up("%s: the lock that the program had is another's", file->path);
    return fd;
}

/* Moves what the process has at the guest's numbers out of the way. */
static void move_started(int *started)
{
    struct pollfd fds[VI_DESCRIPTORS];

    for (int fd = 0; fd < VI_DESCRIPTORS; fd++)
        fds[fd] = (struct pollfd){.fd = fd};
    (void)poll(fds, VI_DESCRIPTORS, 0);
    for (int fd = 0; fd < VI_DESCRIPTORS; fd++) {
        started[fd] = fds[fd].revents & POLLNVAL ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, VI_DESCRIPTORS);
        if (started[fd] >= 0)
            close(fd);
    }
}

static void put_at(int fd, uint32_t group)
{
    const struct vi_control *c = vi_engine.control;
    int to;

    for (to = 0; to < VI_DESCRIPTORS; to++)
        if (c->descriptors[to].group == group &&
            dup3(fd, to, c->descriptors[to].close_on_exec ? O_CLOEXEC : 0) < 0)
            vi_give_up("descriptor %d: %s", to, strerror(errno));
    close(fd);
}

/* What the supervisor was given behind the checkpoint is not ours; it would still hold locks.  But a
 * connection that was accepted is there for good. */
static void drop_stale(void)
{
    for (uint32_t group = 1; group <= VI_DESCRIPTORS; group++) {
        struct vi_open_file *file = &vi_engine.control->files[group - 1];
        const uint32_t listener = vi_keeper_accepted(group, vi_engine.header->commits);

        if (file->kind == VI_FILE_ACCEPTED && vi_keeper_find(group) < 0)
            file->kind = VI_FILE_NONE; /* it ended with its supervisor */
        if (file->kind == VI_FILE_KEPT || file->kind == VI_FILE_ACCEPTED ||
            vi_keeper_find(group) < 0 || (is_born() && vi_files_has_name(file))) {
            vi_files_accepted += file->kind == VI_FILE_ACCEPTED;
            continue;
        }
        if (listener != 0 && vi_engine.control->files[listener - 1].kind == VI_FILE_KEPT) {
            file->kind = VI_FILE_ACCEPTED;
            file->inherited = listener;
            file->references = 0;
            vi_files_accepted++;
            continue;
        }
        (void)flock(vi_keeper_find(group), LOCK_UN);
        vi_keeper_drop(group);
    }
}

static int input_of(uint32_t group)
{
    return vi_engine.control->files[group - 1].kind == VI_FILE_ACCEPTED
               ? vi_keeper_find(group)
               : vi_files_descriptor_of(group);
}

/* A copy that stayed open would keep a connection from its end. */
static void release_copies(void)
{
    for (uint32_t group = 1; group <= VI_DESCRIPTORS; group++)
        if (vi_engine.control->files[group - 1].kind != VI_FILE_ACCEPTED)
            vi_keeper_release(group);
}

void vi_reopen_all(bool changed)
{
    int started[VI_DESCRIPTORS];

    accept_changed = changed;
    drop_stale();
    move_started(started);
    for (uint32_t group = 1; group <= VI_DESCRIPTORS; group++) {
        const uint32_t kind = vi_engine.control->files[group - 1].kind;

        if (kind != VI_FILE_NONE && kind != VI_FILE_ACCEPTED) /* its number may be another's */
            put_at(vi_report_raise(get_again(group, started)), group);
    }
    for (int fd = 0; fd < VI_DESCRIPTORS; fd++)
        if (started[fd] >= 0)
            close(started[fd]);
    vi_zone_recover(input_of);
    release_copies();
}
