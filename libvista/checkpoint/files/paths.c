/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Paths of the guest's descriptors and calls: see paths.h.
 */
#include "checkpoint/files/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/vfs.h>
#include <unistd.h>

bool vi_paths_of(int fd, char *path)
{
    char link[64] = "/proc/self/cwd";
    ssize_t length;

    if (fd != AT_FDCWD)
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = '\0';
    return length > 0 && path[0] == '/';
}

long vi_paths_absolute(int directory, const char *path, char *absolute)
{
    char base[PATH_MAX] = "";

    if (path[0] == '/')
        return snprintf(absolute, PATH_MAX, "%s", path) < PATH_MAX ? 0 : -ENAMETOOLONG;
    if (!vi_paths_of(directory, base))
        return base[0] == '\0' ? -EBADF : -ENOTDIR;
    return snprintf(absolute, PATH_MAX, "%s/%s", base, path) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

bool vi_paths_is_made_up(int fd)
{
    struct statfs fs;

    return fstatfs(fd, &fs) == 0 && (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC);
}

int vi_paths_reopen(int fd, int flags)
{
    char link[32];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return open(link, flags | O_CLOEXEC);
}
