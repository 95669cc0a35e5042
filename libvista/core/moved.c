/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Finding what was moved: see moved.h.
 */
#include "core/moved.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDERS 32 /* that a file is looked for in, and that its path may be deep below each */

/* Does either copy of its superblock say so?  Nothing is taken from it but that. */
static bool has_uuid(const char *path, const uint8_t uuid[16])
{
    struct vi_superblock copy;
    bool has = false;
    struct stat st;
    int fd;

    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    for (int i = 0; i < VI_SUPERBLOCKS; i++)
        has |=
            pread(fd, &copy, sizeof copy, (off_t)i * VI_SUPERBLOCK_SIZE) == (ssize_t)sizeof copy &&
            copy.magic == VI_MAGIC && memcmp(copy.uuid, uuid, sizeof copy.uuid) == 0;
    close(fd);
    return has;
}

/* The end of the entry's path that is there under the folder, the longest first. */
static bool find_below(const struct vi_member *entry, const char *folder, size_t length,
                       char path[PATH_MAX])
{
    const char *end = entry->path;

    for (int i = 0; i < FOLDERS && (end = strchr(end, '/')) != NULL; i++, end++) {
        const size_t rest = strlen(end);

        if (length + rest >= PATH_MAX)
            continue;
        memcpy(path, folder, length);
        memcpy(path + length, end, rest + 1);
        if (has_uuid(path, entry->uuid))
            return true;
    }
    return false;
}

/* Under any name. */
static bool find_in(const struct vi_member *entry, const char *folder, char path[PATH_MAX])
{
    DIR *const files = opendir(folder);
    const struct dirent *file;
    bool found = false;

    while (files != NULL && !found && (file = readdir(files)) != NULL)
        found = snprintf(path, PATH_MAX, "%s/%s", folder, file->d_name) < PATH_MAX &&
                has_uuid(path, entry->uuid);
    if (files != NULL)
        closedir(files);
    return found;
}

bool vi_moved_find(const struct vi_member *entry, const char *beside, const char *folder,
                   char path[PATH_MAX])
{
    size_t length = strlen(beside);
    bool found = has_uuid(entry->path, entry->uuid), moved = false;

    for (int i = 0; i < FOLDERS && length > 0 && !found && !moved; i++) {
        while (length > 0 && beside[--length] != '/')
            ;
        moved = find_below(entry, beside, length, path);
    }
    if (!found && !moved && folder != NULL)
        moved = find_in(entry, folder, path);
    if (!moved)
        memcpy(path, entry->path, strlen(entry->path) + 1);
    return found || moved;
}
