/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The crash-state explorer of RVM's log: the calls of rvm/rvm.h on real files, with a disk simulated behind media/io.
 *
 * Random transactions change two segments, flushed and not, with truncations and unmapping between. At writes
 * and syncs crash states are made of the three files: the death of the process; a loss of power, with each
 * sector that was not synced lost or kept, in the ring any mix.  Each state is recovered by a log of its own, in
 * copies of the files, whose entries in the table are made to name the copies; and both segments have to be those
 * of one and the same commit that is not older than what was acknowledged.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/crc32c.h"
#include "rvm/rvm_log.h"
#include "rvm_support.h"

#define SECTOR 512u
#define SEGMENT (2 * PAGE)
#define FILES 3
#define COMMITS 300
#define MOST (2u << 20) /* bytes of a file */
#define ENTRIES 4u      /* of the table, that may be in use */

enum { LOG, ONE, TWO };

static struct file {
    char path[PATH_MAX], copy[PATH_MAX];
    ino_t inode;
    int fd, copy_fd;
    uint64_t size;
    unsigned char *disk;
    uint8_t dirty[MOST / SECTOR];
} files[FILES];

static uint64_t ring_from, ring_to;
static unsigned char history[COMMITS + 2][2][SEGMENT];
static uint64_t latest, returned, durable, states, points;
static struct test_random random_state;
static bool is_exploring;

static unsigned char now[MOST];

/* ---- Crash states -------------------------------------------------------------- */

static bool is_lost(const struct file *file, uint64_t at, unsigned keeps)
{
    const bool is_ring = file == &files[LOG] && at >= ring_from && at < ring_to;

    return (file->dirty[at / SECTOR] || is_ring) && test_below(&random_state, 4) >= keeps;
}

static void write_part(const struct file *file, unsigned keeps, uint64_t from, uint64_t to)
{
    REQUIRE(pread(file->fd, now + from, to - from, (off_t)from) == (ssize_t)(to - from));
    for (uint64_t at = from; at < to; at += SECTOR)
        if (keeps < 4 && is_lost(file, at, keeps))
            memcpy(now + at, file->disk + at, SECTOR);
    REQUIRE(pwrite(file->copy_fd, now + from, to - from, (off_t)from) == (ssize_t)(to - from));
}

/* `keeps`: of each four sectors that were not synced; 4: the process dies alone. */
static void write_copy(const struct file *file, unsigned keeps)
{
    if (file != &files[LOG])
        write_part(file, keeps, 0, file->size);
    else {
        write_part(file, keeps, 0, VI_RVM_MEMBERS_OFFSET + ENTRIES * VI_PAGE);
        write_part(file, keeps, VI_RVM_RING_OFFSET, file->size);
    }
}

/* Entries name the copies; what is not sound stays so. */
static void adopt(void)
{
    const uint8_t *uuid = ((const struct vi_redo_header *)files[LOG].disk)->uuid;

    for (unsigned i = 0; i < ENTRIES; i++) {
        const off_t at = VI_RVM_MEMBERS_OFFSET + (off_t)i * VI_PAGE;
        struct vi_member entry;
        struct stat st;
        uint32_t crc;

        REQUIRE(pread(files[LOG].copy_fd, &entry, sizeof entry, at) == sizeof entry);
        crc = vi_crc32c(vi_crc32c(0, uuid, 16), &entry, offsetof(struct vi_member, check));
        if (entry.path[0] == '\0' || entry.check != vi_crc32c(crc, entry.path, sizeof entry.path))
            continue;
        for (unsigned f = ONE; f < FILES; f++) {
            if (strcmp(entry.path, files[f].path) != 0)
                continue;
            memset(entry.path, 0, sizeof entry.path);
            memcpy(entry.path, files[f].copy, strlen(files[f].copy));
            REQUIRE(stat(files[f].copy, &st) == 0);
            VI_RVM_INODE(&entry) = st.st_ino;
            VI_RVM_BIRTH(&entry) = 0;
            break;
        }
        crc = vi_crc32c(vi_crc32c(0, uuid, 16), &entry, offsetof(struct vi_member, check));
        entry.check = vi_crc32c(crc, entry.path, sizeof entry.path);
        REQUIRE(pwrite(files[LOG].copy_fd, &entry, sizeof entry, at) == sizeof entry);
    }
}

static void check_copies(uint64_t least, const char *what)
{
    static unsigned char got[2][SEGMENT];
    uint64_t found;

    for (unsigned i = 0; i < 2; i++)
        REQUIRE(pread(files[ONE + i].copy_fd, got[i], SEGMENT, 0) == SEGMENT);
    memcpy(&found, got[0], sizeof found);
    if (found < least || found > latest || memcmp(got, history[found], sizeof got) != 0) {
        fprintf(stderr, "%s: found %llu, at least %llu, latest %llu\n", what,
                (unsigned long long)found, (unsigned long long)least, (unsigned long long)latest);
        REQUIRE(false);
    }
}

static void crash(unsigned keeps)
{
    static struct vi_rvm_log log;

    for (unsigned i = 0; i < FILES; i++)
        write_copy(&files[i], keeps);
    adopt();
    memset(&log, 0, sizeof log);
    if (vi_rvm_log_open(&log, files[LOG].copy) != 0) {
        fprintf(stderr, "recovery fails: %s\n", vista_errormsg());
        REQUIRE(false);
    }
    vi_rvm_log_close(&log);
    check_copies(keeps == 4 ? returned : durable, keeps == 4 ? "a kill" : "a loss of power");
    states++;
}

static void point(void)
{
    if (!is_exploring)
        return;
    points++;
    if (test_below(&random_state, 3) != 0)
        return;
    is_exploring = false;
    crash(4);
    crash((unsigned)test_below(&random_state, 4));
    is_exploring = true;
}

/* ---- The disk --------------------------------------------------------------------- */

static struct file *file_of(int fd)
{
    struct stat st;

    REQUIRE(fstat(fd, &st) == 0);
    for (unsigned i = 0; i < FILES; i++)
        if (files[i].inode == st.st_ino && files[i].inode != 0)
            return &files[i];
    return NULL;
}

static ssize_t read_file(int fd, void *to, size_t length, uint64_t offset, bool direct)
{
    if (direct)
        return errno = ENOTSUP, -1;
    return pread(fd, to, length, (off_t)offset);
}

static ssize_t write_file(int fd, const struct iovec *from, int count, uint64_t offset,
                          bool is_durable)
{
    struct file *file = file_of(fd);
    ssize_t done;

    if (file != NULL)
        point();
    done = pwritev(fd, from, count, (off_t)offset);
    if (file == NULL)
        return done;
    memset(file->dirty + offset / SECTOR, 1,
           (offset + (uint64_t)done + SECTOR - 1) / SECTOR - offset / SECTOR);
    point();
    if (is_durable) {
        REQUIRE(pread(fd, file->disk + offset, (size_t)done, (off_t)offset) == done);
        memset(file->dirty + (offset + SECTOR - 1) / SECTOR, 0,
               (offset + (uint64_t)done) / SECTOR - (offset + SECTOR - 1) / SECTOR);
    }
    return done;
}

static int sync_file(int fd)
{
    struct file *file = file_of(fd);

    if (file == NULL)
        return 0;
    point();
    REQUIRE(pread(fd, file->disk, file->size, 0) == (ssize_t)file->size);
    memset(file->dirty, 0, sizeof file->dirty);
    point();
    return 0;
}

static void *map_file(int fd, uint64_t offset, size_t length)
{
    if (file_of(fd) == &files[LOG]) {
        ring_from = offset;
        ring_to = offset + length;
    }
    return mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
}

static void unmap_file(void *address, size_t length)
{
    munmap(address, length);
}

static const struct vi_io_ops ops = {read_file, write_file, sync_file, map_file, unmap_file};

/* ---- The program --------------------------------------------------------------------- */

static rvm_region_t regions[2];

static void map_one(unsigned i)
{
    rvm_init_region(&regions[i]);
    regions[i].data_dev = files[ONE + i].path;
    MUST(rvm_map(&regions[i], NULL));
}

/* The number of the commit goes to both segments, and random bytes somewhere. */
static void commit_once(rvm_mode_t mode)
{
    static unsigned char bytes[SEGMENT];
    rvm_tid_t tid;

    rvm_init_tid(&tid);
    MUST(rvm_begin_transaction(&tid, restore));
    latest++;
    memcpy(history[latest], history[latest - 1], sizeof history[latest]);
    for (unsigned i = 0; i < 2; i++) {
        const uint64_t at = 8 + test_below(&random_state, SEGMENT - 8);
        const uint64_t length = 1 + test_below(&random_state, SEGMENT - at);

        memset(bytes, (int)test_below(&random_state, 256), length);
        MUST(rvm_modify_bytes(&tid, regions[i].vmaddr, &latest, sizeof latest));
        MUST(rvm_modify_bytes(&tid, regions[i].vmaddr + at, bytes, length));
        memcpy(history[latest][i], &latest, sizeof latest);
        memcpy(history[latest][i] + at, bytes, length);
    }
    MUST(rvm_end_transaction(&tid, mode));
    returned = latest;
    durable = mode == flush ? latest : durable;
}

static void step(void)
{
    const uint64_t what = test_below(&random_state, 20);

    if (what == 0) {
        MUST(rvm_truncate());
        durable = latest;
    } else if (what == 1) {
        MUST(rvm_flush());
        durable = latest;
    } else if (what == 2) { /* a segment leaves and comes back */
        MUST(rvm_unmap(&regions[1]));
        munmap(regions[1].vmaddr, regions[1].length);
        durable = latest;
        map_one(1);
    } else {
        commit_once(what < 12 ? no_flush : flush);
    }
}

static void watch(unsigned i, const char *name)
{
    struct file *file = &files[i];
    char copy[40];
    struct stat st;

    snprintf(copy, sizeof copy, "%s.copy", name);
    if (file->path[0] == '\0')
        strcpy(file->path, test_path(name));
    strcpy(file->copy, test_path(copy));
    file->fd = open(file->path, O_RDWR);
    file->copy_fd = open(file->copy, O_RDWR | O_CREAT, 0600);
    REQUIRE(file->fd >= 0 && file->copy_fd >= 0 && fstat(file->fd, &st) == 0);
    file->inode = st.st_ino;
    file->size = (uint64_t)st.st_size;
    file->disk = malloc(MOST);
    REQUIRE(file->size <= MOST && ftruncate(file->copy_fd, st.st_size) == 0);
    REQUIRE(pread(file->fd, file->disk, file->size, 0) == (ssize_t)file->size);
}

START_TEST(crash_states)
{
    rvm_options_t options;

    random_state = test_random_new((uint64_t)_i + 1);
    for (unsigned i = ONE; i < FILES; i++) {
        strcpy(files[i].path, test_path(i == ONE ? "one" : "two"));
        make_segment(files[i].path, SEGMENT);
        test_poke(files[i].path, 0, "\0\0\0\0\0\0\0\0", 8);
        watch(i, i == ONE ? "one" : "two");
        memcpy(history[0][i - ONE], files[i].disk, SEGMENT);
    }
    rvm_init_options(&options);
    WORKS(RVM_INIT(NULL));
    options.log_dev = strcpy(files[LOG].path, test_path("log"));
    WORKS(rvm_create_log(&options, &(rvm_offset_t){0, 65536}, 0600));
    watch(LOG, "log");
    vi_io_test_ops = &ops;
    is_exploring = true;
    options.truncate = 0; /* by no thread, which the disk here has no lock for */
    WORKS(rvm_set_options(&options));
    map_one(0);
    map_one(1);
    while (latest < COMMITS * test_scale() && latest < COMMITS)
        step();
    WORKS(rvm_terminate());
    durable = latest;
    crash(0);
    ck_assert_uint_gt(states, latest);
    fprintf(stderr, "rvm_explore: %llu states at %llu points, %llu commits\n",
            (unsigned long long)states, (unsigned long long)points, (unsigned long long)latest);
    vi_io_test_ops = NULL;
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rvm_explore");
    TCase *explore = test_case(suite, "explore", 20);

    tcase_add_loop_test(explore, crash_states, 0, 2);
    return test_run(suite);
}
