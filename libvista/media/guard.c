/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The torn guard: see guard.h.
 */
#include "media/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/error.h"

#define BOOT_ID "sys/kernel/random/boot_id"

/* ---- The boot id -------------------------------------------------------- */

/* Containers put a file of their own over the kernel's, with a new id at each start. */
static int open_own(void)
{
    const int fd = open("/proc/" BOOT_ID, O_RDONLY | O_CLOEXEC);
    struct statfs fs = {0};

    if (fd < 0)
        return vi_fail_system(errno, "/proc/" BOOT_ID ": cannot open");
    if (fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC)
        return fd;
    close(fd);
    return vi_fail(ENOTSUP, "/proc/" BOOT_ID " is not the kernel's but a container's own");
}

/* In a proc of our own, mounted nowhere: for root, and not where a filter of system calls may
 * kill who makes such a call. */
static int open_detached(void)
{
    int context, mounted, fd;

    if (geteuid() != 0 || prctl(PR_GET_SECCOMP) != 0)
        return -1;
    context = fsopen("proc", FSOPEN_CLOEXEC);
    if (context < 0)
        return -1;
    mounted = fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0
                  ? fsmount(context, FSMOUNT_CLOEXEC, 0)
                  : -1;
    close(context);
    if (mounted < 0)
        return -1;
    fd = openat(mounted, BOOT_ID, O_RDONLY | O_CLOEXEC);
    close(mounted);
    return fd;
}

static bool parse(const char *text, uint8_t id[16])
{
    int count = 0;

    for (; count < 16 && sscanf(text, "%2hhx", &id[count]) == 1; count++)
        text += text[2] == '-' ? 3 : 2;
    return count == 16;
}

static bool read_boot_id(uint8_t id[16])
{
    char text[64] = "";
    bool found;
    int fd = open_own();
    const int error = errno;

    if (fd < 0)
        fd = open_detached();
    if (fd < 0)
        return errno = error, false;
    found = read(fd, text, sizeof text - 1) >= 36 && parse(text, id);
    close(fd);
    return found || vi_fail(ENOTSUP, "/proc/" BOOT_ID ": holds no boot id") == 0;
}

bool vi_guard_boot_id(uint8_t id[16])
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static uint8_t kept[16];
    static bool known;
    bool found;

    pthread_mutex_lock(&mutex);
    found = known || read_boot_id(kept);
    known = found;
    for (int i = 0; i < 16; i++)
        id[i] = found ? kept[i] : 0;
    pthread_mutex_unlock(&mutex);
    return found;
}

/* ---- What is stored, and what is found ---------------------------------- */

void vi_guard_stamp(struct vi_superblock *superblock, const struct vi_file *file)
{
    (void)vi_guard_boot_id(superblock->boot_id);
    superblock->device = file->device;
    superblock->inode = file->inode;
    superblock->birth = file->birth;
}

static const char *why_another_boot(const struct vi_superblock *s)
{
    static const uint8_t none[16];
    uint8_t boot[16];

    if (memcmp(s->boot_id, none, sizeof none) == 0)
        return "no boot id could be had when it was opened, so that it cannot be told whether "
               "the machine restarted since";
    if (!vi_guard_boot_id(boot))
        return "no boot id can be had now, so that it cannot be told whether the machine "
               "restarted since it was opened";
    return memcmp(boot, s->boot_id, sizeof boot) != 0
               ? "the boot id is not the one under which it was opened"
               : NULL;
}

const char *vi_guard_torn(const struct vi_superblock *s, const struct vi_file *file)
{
    const bool same_birth = s->birth != 0 && s->birth == file->birth;
    const char *boot;

    if (s->clean)
        return NULL;
    if (s->inode != file->inode)
        return "its inode is not that of the file that was open, as if it were a copy";
    if (s->birth != 0 && file->birth != 0 && !same_birth)
        return "it was made at another time than the file that was open, as if it were a copy";
    boot = file->in_memory ? NULL : why_another_boot(s);
    if (boot != NULL) /* and the number of a device means nothing */
        return vi_guard_needed(file, s->real_class) ? boot : NULL;
    /* A container's file system gets another number at each start. */
    if (s->device != file->device && !(file->overlay && same_birth))
        return "the file system has another device number than when it was opened";
    return NULL;
}
