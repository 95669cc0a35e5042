/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the figures were measured on.
 */
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

#include "bench.h"

const char *bench_processor(void)
{
    static char name[128];
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "re");

    snprintf(name, sizeof name, "unknown processor");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        const char *colon = strchr(line, ':');

        if (strncmp(line, "model name", 10) == 0 && colon != NULL) {
            snprintf(name, sizeof name, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
            break;
        }
    }
    if (file != NULL)
        fclose(file);
    return name;
}

unsigned bench_processors(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

const char *bench_kernel(void)
{
    static char name[160];
    struct utsname system;

    if (uname(&system) != 0)
        return "unknown kernel";
    snprintf(name, sizeof name, "%.60s %.80s", system.sysname, system.release);
    return name;
}

const char *bench_compiler(void)
{
#ifdef __clang__
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}

/* Of the file or, where it is not there yet, of its directory. */
const char *bench_file_system(const char *path)
{
    static const struct {
        long magic;
        const char *name;
    } known[] = {{0x01021994, "tmpfs"}, {0xef53, "ext4"},        {0x58465342, "xfs"},
                 {0x9123683e, "btrfs"}, {0x794c7630, "overlay"}, {0x6969, "nfs"},
                 {0x858458f6, "ramfs"}, {0x65735546, "fuse"}};
    struct statfs info;
    char directory[PATH_MAX];
    char *slash;

    snprintf(directory, sizeof directory, "%s", path);
    if (statfs(path, &info) != 0) {
        slash = strrchr(directory, '/');
        if (slash != NULL)
            *(slash == directory ? slash + 1 : slash) = '\0';
        if (statfs(slash != NULL ? directory : ".", &info) != 0)
            return "unknown";
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if ((unsigned long)info.f_type == (unsigned long)known[i].magic)
            return known[i].name;
    }
    return "another";
}
