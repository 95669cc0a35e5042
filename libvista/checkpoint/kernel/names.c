/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Opening, closing, names: see handlers.h.
 */
#include "checkpoint/kernel/handlers.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/files/descriptors.h"
#include "checkpoint/files/locks.h"
#include "checkpoint/files/paths.h"
#include "checkpoint/files/undo.h"
#include "checkpoint/kernel/children.h"
#include "checkpoint/kernel/memory_calls.h"
#include "checkpoint/kernel/table.h"
#include "checkpoint/kernel/wait.h"
#include "checkpoint/trap/signals.h"
#include "checkpoint/trap/window.h"

/* ---- Opening ----------------------------------------------------------------- */

/* Where the arguments of a call that takes a path are. */
struct path_arguments {
    int directory;
    uint64_t path;
};

/* Where they begin, with the folder or the path; of calls that are not here with the path that comes first. */
#define PATH(name, first) [SYS_##name] = {false, first}
#define AT(name, first) [SYS_##name] = {true, first}
static const struct place {
    bool at;
    uint8_t first;
} places[VI_ROWS] = {AT(openat, 0),    AT(mkdirat, 0),   AT(mknodat, 0),   PATH(link, 1),
                     AT(linkat, 2),    PATH(symlink, 1), AT(symlinkat, 1), AT(unlinkat, 0),
                     AT(renameat, 0),  AT(renameat2, 0), AT(fchmodat, 0),  AT(fchownat, 0),
                     AT(utimensat, 0), AT(futimesat, 0), AT(readlinkat, 0)};

/* Of the path that the call is about, or that it makes: of links the second one. */
static struct path_arguments arguments_of(const struct vi_call *call)
{
    const struct place place = places[call->number];
    const uint64_t *a = call->arguments + place.first;

    return place.at ? (struct path_arguments){(int)a[0], a[1]}
                    : (struct path_arguments){AT_FDCWD, a[0]};
}

static long absolute_of(struct path_arguments p, char *absolute)
{
    if (!vi_memory_string(p.path, PATH_MAX))
        return -EFAULT;
    return vi_paths_absolute(p.directory, (const char *)p.path, absolute);
}

/* The same of a name that is about to go, and what lies below it with it: no folder on the way is one that
 * goes, and comes back when it is undone. */
static long settled_of(struct path_arguments p, char *absolute)
{
    char folder[PATH_MAX], *slash;
    long result = absolute_of(p, absolute);
    bool found;

    if (result != 0)
        return result;
    for (size_t end = strlen(absolute); end > 1 && absolute[end - 1] == '/'; end--)
        absolute[end - 1] = '\0';
    slash = strrchr(absolute, '/');
    *slash = '\0';
    found = realpath(slash == absolute ? "/" : absolute, folder) != NULL;
    *slash = '/';
    if (!found)
        return 0; /* and the call fails */
    if (strlen(folder) + strlen(slash) >= PATH_MAX)
        return -ENAMETOOLONG;
    memmove(absolute + strlen(folder), slash, strlen(slash) + 1);
    memcpy(absolute, folder, strlen(folder));
    return 0;
}

/* What opening is about to change. */
static long prepare_open(const char *path, int flags)
{
    struct stat st;

    if ((flags & O_TMPFILE) == O_TMPFILE)
        return 0;
    if (flags & O_CREAT && stat(path, &st) != 0)
        return errno == ENOENT ? vi_undo_create(path) : 0;
    if (flags & O_TRUNC && (flags & O_ACCMODE) != O_RDONLY && !(flags & O_EXCL))
        return vi_undo_truncate_path(path, 0);
    return 0;
}

/* With signals open only where it may wait: in the window a checkpoint may be made, behind which what was
 * prepared undoes nothing. */
static long make_open(struct vi_call *call, const char *path)
{
    struct stat st;

    return stat(path, &st) != 0 || S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)
               ? vi_pass(call)
               : vi_window_pass(call);
}

static long enter_opened(int fd)
{
    char path[PATH_MAX];

    (void)vi_paths_of(fd, path);
    if (strcmp(path, "/dev/ptmx") == 0 || strcmp(path, "/dev/pts/ptmx") == 0)
        return vi_files_add(fd, VI_FILE_KEPT, path);
    return vi_files_add(fd, VI_FILE_REGULAR, path);
}

long vi_call_open(struct vi_call *call)
{
    const bool at = call->number == SYS_openat;
    const uint64_t *a = call->arguments;
    const int flags = call->number == SYS_creat ? O_CREAT | O_WRONLY | O_TRUNC : (int)a[1 + at];
    char path[PATH_MAX];
    long result = absolute_of(arguments_of(call), path);

    if (result == 0)
        result = prepare_open(path, flags);
    if (result == 0)
        result = make_open(call, path);
    if (result >= 0)
        result = enter_opened((int)result);
    if (result < 0)
        return result;
    vi_children_opened((uint64_t)result);
    if (vi_files_of((uint64_t)result)->mode != S_IFIFO && !vi_files_of((uint64_t)result)->shared)
        return result;
    /* Without a reader a pipe would lose what it holds; others' lines may be in the file by now. */
    vi_trap_commit_behind(call, result);
    return VI_NO_RESULT;
}

/* close, close_range: what the supervisor keeps it keeps open until a checkpoint is without. */
long vi_call_close(struct vi_call *call)
{
    const uint64_t *a = call->arguments, first = a[0];
    const uint64_t last = call->number == SYS_close ? first : a[1];
    bool ends = false, closed[VI_DESCRIPTORS] = {false};

    if (call->number == SYS_close && vi_files_of(first) == NULL)
        return -EBADF;
    if (first > last || (call->number != SYS_close && a[2] != 0))
        return -EINVAL;
    for (uint64_t fd = first; fd <= last && fd < VI_DESCRIPTORS; fd++) {
        closed[fd] = vi_files_of(fd) != NULL;
        ends = vi_files_ends(fd) || ends;
        vi_files_forget((int)fd);
    }
    if (ends)
        vi_trap_commit_behind(call, 0);
    for (uint64_t fd = first; fd <= last && fd < VI_DESCRIPTORS; fd++)
        if (closed[fd]) {
            if (ends)
                vi_wait_forget((int)fd);
            (void)close((int)fd);
            vi_files_closed = true; /* locks went that the checkpoint has found */
        }
    return ends ? VI_NO_RESULT : 0;
}

long vi_call_dup(struct vi_call *call)
{
    const uint64_t *a = call->arguments;
    const bool to_given = call->number != SYS_dup;
    const bool close_on_exec = call->number == SYS_dup3 && a[2] & O_CLOEXEC;
    long result;

    if (vi_files_of(a[0]) == NULL || (to_given && a[1] >= VI_DESCRIPTORS))
        return -EBADF;
    if (call->number == SYS_dup2 && a[0] == a[1])
        return (long)a[1];
    if (call->number == SYS_dup3 && (a[0] == a[1] || a[2] & ~(uint64_t)O_CLOEXEC))
        return -EINVAL;
    if (to_given && vi_files_ends(a[1])) {
        vi_files_forget((int)a[1]);
        vi_files_dup((int)a[0], (int)a[1], close_on_exec);
        vi_trap_commit_behind(call, (long)a[1]);
        vi_wait_forget((int)a[1]);
        vi_pass(call);
        vi_files_closed = true;
        return VI_NO_RESULT;
    }
    result = vi_pass(call);
    if (result < 0)
        return result;
    vi_files_forget((int)result);
    return vi_files_dup((int)a[0], (int)result, close_on_exec);
}

/* Inside another a lock makes two more of it, the end of a lock one. */
static unsigned most_more(const struct vi_call *call)
{
    const struct flock *lock = (const void *)call->arguments[2];

    return vi_memory_readable((uint64_t)lock, sizeof *lock) && lock->l_type == F_UNLCK ? 1 : 2;
}

static long set_lock(struct vi_call *call)
{
    struct vi_call once = *call;
    long result;

    once.arguments[1] = F_SETLK;
    do { /* a checkpoint may be made while it waits, and another has to find the lock */
        if (!vi_locks_touch(most_more(call))) {
            vi_refuse("a lock beyond those that a checkpoint holds", "ENOLCK");
            return -ENOLCK;
        }
        result = vi_pass(&once);
        if (result != -EAGAIN || call->arguments[1] != F_SETLKW)
            return result;
        result = vi_window_wait(call, -1, 0, 10000000, NULL);
    } while (result >= 0);
    return result;
}

long vi_call_fcntl(struct vi_call *call)
{
    const uint64_t *a = call->arguments;
    struct vi_open_file *file = vi_files_of(a[0]);
    long result;

    if (file == NULL)
        return -EBADF;
    if (a[1] == F_SETLK || a[1] == F_SETLKW)
        return set_lock(call);
    if (a[1] == F_OFD_SETLK || a[1] == F_OFD_SETLKW) {
        vi_refuse("a lock of an open file description", "EINVAL");
        return -EINVAL;
    }
    result = vi_pass(call);
    if (result < 0)
        return result;
    if (a[1] == F_DUPFD || a[1] == F_DUPFD_CLOEXEC)
        return vi_files_dup((int)a[0], (int)result, a[1] == F_DUPFD_CLOEXEC);
    if (a[1] == F_SETFD)
        vi_engine.control->descriptors[a[0]].close_on_exec = a[2] & FD_CLOEXEC;
    if (a[1] == F_SETFL)
        file->flags = (file->flags & ~(uint32_t)(O_NONBLOCK | O_APPEND | O_ASYNC)) |
                      ((uint32_t)a[2] & (O_NONBLOCK | O_APPEND | O_ASYNC));
    return result;
}

long vi_call_flock(struct vi_call *call)
{
    struct vi_open_file *file = vi_files_of(call->arguments[0]);
    const uint64_t how = call->arguments[1];
    long result;

    if (file == NULL)
        return -EBADF;
    call->arguments[1] |= LOCK_NB;
    while ((result = vi_pass(call)) == -EWOULDBLOCK && !(how & LOCK_NB)) {
        const long woken = vi_window_wait(call, -1, 0, 10000000, NULL);

        if (woken < 0)
            return woken;
    }
    if (result == 0)
        file->locks = how & LOCK_UN ? 0 : (uint32_t)how & (LOCK_SH | LOCK_EX);
    return result;
}

long vi_call_pair(struct vi_call *call)
{
    const uint64_t *a = call->arguments;
    const int *fds = (const int *)a[call->number == SYS_socketpair ? 3 : 0];
    long result = vi_pass(call);

    if (result < 0)
        return result;
    result = vi_files_add(fds[0], VI_FILE_KEPT, NULL);
    if (result < 0)
        close(fds[1]);
    else
        result = vi_files_add(fds[1], VI_FILE_KEPT, NULL);
    return result < 0 ? result : 0;
}

/* socket, eventfd, epoll_create, timerfd_create, signalfd, inotify_init, memfd_create. */
long vi_call_make(struct vi_call *call)
{
    const long result = vi_pass(call);

    if (result < 0 || vi_files_of((uint64_t)result) != NULL) /* signalfd may change an old one */
        return result;
    return vi_files_add((int)result, VI_FILE_KEPT, NULL);
}

long vi_call_accept(struct vi_call *call)
{
    const struct vi_open_file *file = vi_files_of(call->arguments[0]);
    const int flags = call->number == SYS_accept4 ? (int)call->arguments[3] : 0;
    long result;

    if (file == NULL)
        return -EBADF;
    do {
        if (!(file->flags & O_NONBLOCK) && !vi_files_is_waiting(call->arguments[0])) {
            result = vi_window_wait(call, (int)call->arguments[0], POLLIN, -1, NULL);
            if (result < 0)
                return result;
        }
        result = vi_files_accept(call->arguments[0], flags);
    } while (result == -EAGAIN && !(file->flags & O_NONBLOCK));
    if (result >= 0 && call->arguments[1] != 0)
        (void)vi_system(SYS_getpeername, (uint64_t)result, call->arguments[1], call->arguments[2],
                        0, 0, 0);
    return result;
}

/* ---- Names ------------------------------------------------------------------- */

long vi_call_name_create(struct vi_call *call)
{
    char path[PATH_MAX];
    long result = absolute_of(arguments_of(call), path);

    if (result == 0)
        result = vi_undo_create(path);
    return result == 0 ? vi_pass(call) : result;
}

long vi_call_name_remove(struct vi_call *call)
{
    char path[PATH_MAX];
    long result = settled_of(arguments_of(call), path);

    if (vi_undo_is_full())
        vi_trap_commit(call);
    if (result == 0)
        result = vi_undo_remove_name(path);
    if (result == 0)
        vi_files_unnamed(path);
    return result == 0 ? vi_pass(call) : result;
}

long vi_call_rename(struct vi_call *call)
{
    const uint64_t *a = call->arguments;
    const struct path_arguments second = call->number == SYS_rename
                                             ? (struct path_arguments){AT_FDCWD, a[1]}
                                             : (struct path_arguments){(int)a[2], a[3]};
    char from[PATH_MAX], to[PATH_MAX];
    long result = settled_of(arguments_of(call), from);

    if (call->number == SYS_renameat2 && call->arguments[4] & ~(uint64_t)1) {
        vi_refuse("renameat2 with RENAME_EXCHANGE", "EINVAL, it could not be undone");
        return -EINVAL;
    }
    if (result == 0)
        result = settled_of(second, to);
    if (vi_undo_is_full())
        vi_trap_commit(call);
    if (result == 0)
        result = vi_undo_rename(from, to);
    if (result != 0)
        return result;
    vi_files_unnamed(to);
    result = vi_pass(call);
    if (result == 0) {
        vi_files_renamed();
        (void)vi_paths_of(AT_FDCWD, vi_engine.control->directory);
    }
    return result;
}

/* chmod, chown, utime and their like. */
long vi_call_attributes(struct vi_call *call)
{
    const bool of_descriptor = call->number == SYS_fchmod || call->number == SYS_fchown;
    struct path_arguments p = arguments_of(call);
    char path[PATH_MAX];
    long result;

    if (of_descriptor)
        p = (struct path_arguments){(int)call->arguments[0], 0};
    if (p.path != 0 && !vi_memory_string(p.path, PATH_MAX))
        return -EFAULT;
    if (p.path == 0 || *(const char *)p.path == '\0') { /* the descriptor itself */
        result = vi_paths_of(p.directory, path) ? 0 : -EBADF;
    } else {
        result = absolute_of(p, path);
    }
    if (result == 0)
        result = vi_undo_attributes(path);
    return result == 0 ? vi_pass(call) : result;
}

long vi_call_truncate(struct vi_call *call)
{
    char path[PATH_MAX];
    long result = absolute_of(arguments_of(call), path);

    if (result == 0)
        result = vi_undo_truncate_path(path, call->arguments[1]);
    return result == 0 ? vi_pass(call) : result;
}

long vi_call_chdir(struct vi_call *call)
{
    const long result = vi_pass(call);

    if (result == 0)
        (void)vi_paths_of(AT_FDCWD, vi_engine.control->directory);
    return result;
}

/* The runtime is not what the guest takes itself for. */
long vi_call_readlink(struct vi_call *call)
{
    const bool at = call->number == SYS_readlinkat;
    const struct path_arguments p = arguments_of(call);
    const char *program = vi_engine.control->image;
    const uint64_t to = call->arguments[1 + at];
    size_t size = call->arguments[2 + at];

    if (!vi_memory_string(p.path, PATH_MAX))
        return -EFAULT;
    if (strcmp((const char *)p.path, "/proc/self/exe") != 0)
        return vi_pass(call);
    if (size > strlen(program))
        size = strlen(program);
    if (!vi_memory_writable(to, size))
        return -EFAULT;
    memcpy((void *)to, program, size);
    return (long)size;
}
