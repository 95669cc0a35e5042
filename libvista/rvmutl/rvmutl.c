/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The command that looks at RVM's logs and recovers them: see rvmutl(1).
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/replay.h"
#include "rvm/rvm_log.h"
#include "vista.h"

static const char usage_text[] =
    "usage: rvmutl status LOG                        what is in it\n"
    "       rvmutl recover LOG                       carry what is in it to the segments\n"
    "       rvmutl show LOG                          a line for each record and each of its "
    "ranges\n"
    "       rvmutl peek LOG SEGMENT OFFSET [LENGTH]  a segment's bytes, as recovery would make "
    "them\n"
    "       rvmutl poke LOG SEGMENT OFFSET BYTE...   change a segment that the log has nothing of\n"
    "       rvmutl copy_log LOG TO                   copy it, to be looked at\n";

/* A log that is only read. */
struct opened {
    struct vi_rvm_log log;
    struct vi_disk_area area;
    struct vi_disk_left left;
};

__attribute__((noreturn)) static void usage(void)
{
    fputs(usage_text, stderr);
    exit(2);
}

__attribute__((noreturn)) static void fail(void)
{
    errx(1, "%s", vista_errormsg());
}

static struct opened *open_log(const char *path)
{
    struct opened *opened = calloc(1, sizeof *opened);
    int result;

    if (opened == NULL)
        err(1, NULL);
    if (vi_rvm_log_read(&opened->log, path, true, &opened->area) != 0)
        fail();
    result = vi_disk_load(&opened->left, &opened->area, opened->log.file.size);
    if (result > 0)
        errx(1, "%s: no header of it is sound", path);
    if (result < 0)
        fail();
    return opened;
}

static void close_log(struct opened *opened)
{
    vi_disk_unload(&opened->left);
    vi_file_close(&opened->log.file);
    free(opened);
}

/* A number, decimal or with 0x. */
static uint64_t number(const char *text, uint64_t most)
{
    char *end;
    uint64_t value;

    errno = 0;
    value = strtoull(text, &end, 0);
    if (end == text || *end != '\0' || *text == '-' || errno != 0 || value > most)
        errx(2, "%s: no number, or too large", text);
    return value;
}

/* ---- Records ---------------------------------------------------------------- */

static const char *path_of(const struct opened *opened, const struct vi_redo_item *item)
{
    const char *path =
        item->member - 1u < VI_RVM_MEMBERS ? opened->log.member[item->member - 1u].path : "";

    return path[0] != '\0' ? path : "(not in its table)";
}

static int status(char **args)
{
    struct opened *opened = open_log(args[0]);
    const struct vi_disk_left *left = &opened->left;

    printf("log:       %s\n", opened->log.path);
    printf("size:      %" PRIu64 " bytes, and a ring of %" PRIu64 "\n", left->area.log_size,
           left->area.ring_size);
    printf("opened:    %" PRIu32 " times\n", left->area.epoch);
    printf("records:   %" PRIu64 " from %" PRIu64 " to %" PRIu64 "\n", left->records,
           left->head.lsn, left->end.lsn);
    for (unsigned i = 0; i < VI_RVM_MEMBERS; i++)
        if (opened->log.member[i].path[0] != '\0')
            printf("segment %u: %s\n", i + 1, opened->log.member[i].path);
    close_log(opened);
    return 0;
}

static int show(char **args)
{
    struct opened *opened = open_log(args[0]);
    struct vi_disk_walk walk = vi_disk_walk_left(&opened->left);
    const struct vi_redo_record *before = NULL;
    const struct vi_redo_item *item;

    for (; (item = vi_disk_walk(&walk)) != NULL; before = walk.record) {
        if (walk.record != before)
            printf("%" PRIu64 ": %" PRIu32 " ranges, %" PRIu32 " bytes\n", walk.record->lsn,
                   walk.record->items, walk.record->bytes);
        printf("  %s at %" PRIu64 ": %" PRIu32 "\n", path_of(opened, item), item->offset,
               item->length);
    }
    close_log(opened);
    return 0;
}

static int recover(char **args)
{
    struct vi_rvm_log *log = calloc(1, sizeof *log);

    if (log == NULL)
        err(1, NULL);
    if (vi_rvm_log_open(log, args[0]) != 0)
        fail();
    vi_rvm_log_close(log);
    free(log);
    return 0;
}

/* ---- Segments ----------------------------------------------------------------- */

/* Puts what an item says over the bytes from `offset` on. */
static void overlay(unsigned char *bytes, uint64_t offset, uint64_t length,
                    const struct vi_redo_item *item)
{
    const unsigned char *from = (const unsigned char *)(item + 1);

    for (uint64_t i = 0; i < item->length; i++)
        if (item->offset + i - offset < length)
            bytes[item->offset + i - offset] = from[i];
}

/* Overlays all that the log has of a segment; returns how many items that is. */
static unsigned apply(const struct opened *opened, const char *path, unsigned char *bytes,
                      uint64_t offset, uint64_t length)
{
    struct vi_disk_walk walk = vi_disk_walk_left(&opened->left);
    const struct vi_redo_item *item;
    unsigned count = 0;

    while ((item = vi_disk_walk(&walk)) != NULL)
        if (strcmp(path_of(opened, item), path) == 0) {
            overlay(bytes, offset, length, item);
            count++;
        }
    return count;
}

static int open_segment(const char *name, int flags, char path[PATH_MAX])
{
    const int fd = realpath(name, path) != NULL ? open(path, flags | O_CLOEXEC) : -1;

    if (fd < 0)
        err(1, "%s", name);
    return fd;
}

#define PEEK_MOST (1u << 20)

static int peek(char **args)
{
    static unsigned char bytes[PEEK_MOST];
    const uint64_t offset = number(args[2], INT64_MAX);
    const uint64_t wanted = args[3] != NULL ? number(args[3], PEEK_MOST) : 16;
    struct opened *opened = open_log(args[0]);
    char path[PATH_MAX];
    const int fd = open_segment(args[1], O_RDONLY, path);
    const ssize_t got = pread(fd, bytes, wanted, (off_t)offset);

    if (got < 0)
        err(1, "%s", args[1]);
    (void)apply(opened, path, bytes, offset, (uint64_t)got);
    for (ssize_t i = 0; i < got; i++)
        printf("%02x%c", bytes[i], i % 16 == 15 || i == got - 1 ? '\n' : ' ');
    close(fd);
    close_log(opened);
    return 0;
}

static int poke(char **args)
{
    const uint64_t offset = number(args[2], INT64_MAX - PEEK_MOST);
    struct opened *opened = open_log(args[0]);
    char path[PATH_MAX];
    const int fd = open_segment(args[1], O_RDWR, path);
    const off_t end = lseek(fd, 0, SEEK_END);

    if (apply(opened, path, NULL, 0, 0) != 0)
        errx(1, "%s: the log has records of it: recover it first", args[1]);
    for (uint64_t i = 0; args[3 + i] != NULL; i++) {
        const unsigned char byte = (unsigned char)number(args[3 + i], UINT8_MAX);

        if (offset + i >= (uint64_t)end)
            errx(1, "%s: ends at %lld", args[1], (long long)end);
        if (pwrite(fd, &byte, 1, (off_t)(offset + i)) != 1)
            err(1, "%s", args[1]);
    }
    if (fsync(fd) != 0)
        err(1, "%s", args[1]);
    close(fd);
    close_log(opened);
    return 0;
}

static int copy_log(char **args)
{
    static unsigned char bytes[PEEK_MOST];
    struct opened *opened = open_log(args[0]);
    const int to = open(args[1], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    uint64_t at = 0;

    if (to < 0)
        err(1, "%s", args[1]);
    while (at < opened->log.file.size) {
        const ssize_t got = pread(opened->log.file.fd, bytes, sizeof bytes, (off_t)at);

        if (got <= 0 || pwrite(to, bytes, (size_t)got, (off_t)at) != got)
            err(1, "%s", args[1]);
        at += (uint64_t)got;
    }
    if (fsync(to) != 0 || close(to) != 0)
        err(1, "%s", args[1]);
    close_log(opened);
    return 0;
}

/* -------------------------------------------------------------------------------- */

static const struct command {
    const char *name;
    int (*run)(char **args);
    int least, most; /* arguments behind the name */
} commands[] = {{"status", status, 1, 1}, {"recover", recover, 1, 1}, {"show", show, 1, 1},
                {"peek", peek, 3, 4},     {"poke", poke, 4, 1000},    {"copy_log", copy_log, 2, 2}};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc >= 2 && i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[1], commands[i].name) == 0 && argc - 2 >= commands[i].least &&
            argc - 2 <= commands[i].most)
            return commands[i].run(argv + 2);
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage_text, stdout);
        return 0;
    }
    usage();
}
