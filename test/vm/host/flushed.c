/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a disk with a write cache has after its power failed.
 *
 * usage: flushed LOG DISK UNIT KEEP FALSE SEED
 *
 * LOG is what QEMU's blklogwrites wrote (the format of Linux's dm-log-writes), of all that a
 * machine wrote to a disk that was as the file DISK is.  What was written before the last flush
 * but FALSE, which the disk only claims, goes to DISK; of what was written later, KEEP percent,
 * drawn by SEED for each UNIT bytes, as a cache may have written them back.  Prints how many
 * sectors were lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512u
#define MAGIC 0x6a736677736872u
#define FLUSH 1u
#define FUA 2u

struct entry {
    uint64_t sector, sectors, flags, length;
};

static int log_fd, disk_fd;
static uint64_t log_size;
static unsigned long unit, keep;

static void fail(const char *what)
{
    fprintf(stderr, "flushed: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* The entry at or behind `*at`, which moves to it: of one that was still to be written when the
 * machine died there is a hole.  False: there is none. */
static bool next_entry(uint64_t *at, struct entry *entry)
{
    static const struct entry none;

    for (; *at + SECTOR <= log_size; *at += SECTOR) {
        if (pread(log_fd, entry, sizeof *entry, (off_t)*at) != (ssize_t)sizeof *entry)
            fail("the log");
        if (memcmp(entry, &none, sizeof none) != 0)
            return true;
    }
    return false;
}

static uint64_t behind(uint64_t at, const struct entry *entry)
{
    return at + (1 + entry->sectors) * SECTOR;
}

/* Where the first flush is that has so many behind it; 0 when there are not so many. */
static uint64_t find_flush(unsigned long later)
{
    struct entry entry;
    unsigned long count = 0, seen = 0;

    for (uint64_t at = SECTOR; next_entry(&at, &entry); at = behind(at, &entry))
        count += entry.flags & FLUSH;
    for (uint64_t at = SECTOR; next_entry(&at, &entry); at = behind(at, &entry))
        if ((entry.flags & FLUSH) && ++seen + later == count)
            return at;
    return 0;
}

static bool is_kept(void)
{
    return (unsigned long)(drand48() * 100) < keep;
}

/* One entry's data; returns how many of its sectors are lost. */
static uint64_t replay(uint64_t at, const struct entry *entry, bool flushed)
{
    unsigned char sector[SECTOR];
    uint64_t lost = 0;
    bool kept = flushed || is_kept();

    for (uint64_t i = 0; i < entry->sectors; i++) {
        if ((entry->sector + i) % (unit / SECTOR) == 0)
            kept = flushed || is_kept();
        if (!kept) {
            lost++;
            continue;
        }
        if (pread(log_fd, sector, SECTOR, (off_t)(at + (1 + i) * SECTOR)) != (ssize_t)SECTOR)
            fail("the log's end");
        if (pwrite(disk_fd, sector, SECTOR, (off_t)((entry->sector + i) * SECTOR)) !=
            (ssize_t)SECTOR)
            fail("the disk");
    }
    return lost;
}

static void open_files(const char *log, const char *disk)
{
    uint64_t magic = 0;
    struct stat st;

    log_fd = open(log, O_RDONLY | O_CLOEXEC);
    disk_fd = open(disk, O_RDWR | O_CLOEXEC);
    if (log_fd < 0 || disk_fd < 0 || fstat(log_fd, &st) != 0)
        fail("open");
    log_size = (uint64_t)st.st_size;
    /* The log's head comes with the first flush. */
    if (pread(log_fd, &magic, sizeof magic, 0) < 0 || (magic != 0 && magic != MAGIC)) {
        fprintf(stderr, "flushed: %s is no log of writes\n", log);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    uint64_t lost = 0, last;
    struct entry entry;

    if (argc != 7)
        return fprintf(stderr, "usage: flushed LOG DISK UNIT KEEP FALSE SEED\n"), 2;
    open_files(argv[1], argv[2]);
    unit = strtoul(argv[3], NULL, 10);
    keep = strtoul(argv[4], NULL, 10);
    last = find_flush(strtoul(argv[5], NULL, 10));
    srand48(strtol(argv[6], NULL, 10));
    for (uint64_t at = SECTOR; next_entry(&at, &entry); at = behind(at, &entry))
        lost += replay(at, &entry, at < last || (entry.flags & FUA));
    printf("%" PRIu64 "\n", lost);
    return 0;
}
