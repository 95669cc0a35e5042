/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Paths of the guest's descriptors and calls: see paths.h.
 */
#include "checkpoint/files/paths.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/vfs.h>
#include <unistd.h>

bool vi_paths_of(int fd, char *path)
{
    char link[64];
    ssize_t length;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = '\0';
    return length > 0 && path[0] == '/';
}

bool vi_paths_absolute(int directory, const char *path, char *absolute, size_t size)
{
    char link[64], base[PATH_MAX] = "";
    ssize_t length;

    if (path[0] == '/')
        return (size_t)snprintf(absolute, size, "%s", path) < size;
    if (directory == AT_FDCWD)
        snprintf(link, sizeof link, "/proc/self/cwd");
    else
        snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    length = readlink(link, base, sizeof base - 1);
    if (length < 0)
        return false;
    base[length] = '\0';
    return (size_t)snprintf(absolute, size, "%s/%s", base, path) < size;
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
