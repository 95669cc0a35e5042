/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Hostile files.  Groups of segments that the library left open are forged: members' claims and
 * homes, superblocks, logs with their chains, records of every kind, far slots, heaps, shares,
 * redo records; every checksum is right, and the numbers are evil.  Then each file is checked,
 * and one is mapped, used and unmapped.  What has to hold:
 *
 *  - Nothing is stored outside the segments: memory that belongs to the program, and that forged
 *    addresses lead to, stays as it is, and pages beside the segments' places cannot be stored to.
 *  - A file changes only if it is the one that was mapped, or one that its group is linked with:
 *    home names it, and it names home, and was left open.  No other file changes, whoever names it.
 *  - vista_check changes no file, and takes no disk space; nothing stays open, locked or mapped.
 *  - What is refused as damaged, and has no group, stays as it was.
 *  - A call ends, well or with an errno and a message without control characters.
 *  - What vista_check calls sound recovery does not call damaged, of no file of the group.
 *
 * A batch runs in a child, so that a fault is seen, too; what fails prints the line that repeats
 * that one group alone: VISTA_HOSTILE_CASE.
 */
#include "hostile.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "core/process.h"
#include "disk/disk_state.h"
#include "media/superblock.h"

#define KIB ((size_t)1024)
#define ADDRESS(i) ((unsigned char *)0x551000000000u + (size_t)(i)*0x10000000u)
#define GROUPS_OF_FILES 1250 /* of four segments each, at scale 1 */
#define BATCH 125

static const char *const names_of[FILES] = {"home", "first", "second", "other", "decoy"};
static const size_t sizes[FILES] = {128 * KIB, 64 * KIB, 256 * KIB, 64 * KIB, 64 * KIB};
#define ADDRESS(i) ((unsigned char *)0x551000000000u + (size_t)(i)*0x10000000u)

struct forge files[FILES];
char text[1024];

/* ---- Files that are left open ------------------------------------------- */

enum { KILL_HEAPS, LINE_HEAPS, KILL_FLAT, LINE_FLAT, KILL_SPARSE, LINE_CHAINS, DISK, SETS };
static struct forge_image sets[SETS][FILES];

static vista_segment *make(int i, unsigned flags, vista_segment *log)
{
    const struct vista_map_options options = {
        .address = ADDRESS(i), .max_size = 2 * sizes[i], .log = log};
    vista_segment *segment = vista_map(files[i].path, sizes[i], VISTA_CREATE | flags, &options);

    REQUIRE(segment != NULL);
    return segment;
}

static void store(vista_tx *tx, vista_segment *segment, size_t offset, size_t length)
{
    unsigned char *at = (unsigned char *)vista_base(segment) + offset;

    REQUIRE(vista_set_range(tx, at, length) == 0);
    memset(at, 0x5a, length);
}

/* Blocks and a root, committed. */
static void settle(vista_segment *segment, void *kept[4])
{
    vista_tx *tx;

    REQUIRE(vista_root(segment, 100) != NULL);
    tx = vista_begin_transaction(segment, 0);
    for (int i = 0; i < 4; i++) {
        kept[i] = vista_malloc_in(tx, segment, i == 3 ? 9 * KIB : (size_t)40 << i);
        REQUIRE(kept[i] != NULL);
    }
    REQUIRE(vista_end_transaction(tx, 0) == 0);
}

/* Changes a segment in a transaction that stays open. */
static void leave(vista_tx *tx, vista_segment *segment, bool flat, void *kept[4], size_t length)
{
    if (flat) {
        store(tx, segment, 4000, 300);
        store(tx, segment, 8, 8);
    } else {
        REQUIRE(vista_free(tx, kept[1]) == 0);
        REQUIRE(vista_malloc_in(tx, segment, 80) != NULL);
        REQUIRE(vista_realloc(tx, kept[3], 13 * KIB) != NULL);
        store(tx, segment, (size_t)((char *)kept[2] - (char *)vista_base(segment)), 60);
    }
    for (size_t at = 0; at < length; at += 8 * KIB)
        store(tx, segment, at, 8 * KIB);
}

static void make_set(void *argument)
{
    const int set = *(const int *)argument;
    const bool flat = set == KILL_FLAT || set == LINE_FLAT, disk = set == DISK;
    const struct vista_options class = {.force_class = disk ? VISTA_CLASS_DISK
                                                       : set == LINE_HEAPS || set == LINE_FLAT ||
                                                               set == LINE_CHAINS
                                                           ? VISTA_CLASS_LINE
                                                           : VISTA_CLASS_KILL};
    const unsigned flags = (flat ? VISTA_NO_HEAP : 0) | (set == KILL_SPARSE ? VISTA_SPARSE : 0);
    vista_segment *segment[FILES];
    void *kept[FILES][4];
    vista_tx *tx, *second;

    REQUIRE(vista_init(&class) == 0);
    REQUIRE(vista_unmap(make(DECOY, flags, NULL)) == 0);
    for (int i = HOME; i <= OTHER; i++) {
        segment[i] = make(i, flags, !disk && (i == FIRST || i == SECOND) ? segment[HOME] : NULL);
        if (!flat)
            settle(segment[i], kept[i]);
    }
    tx = vista_begin_transaction(segment[HOME], 0);
    second = vista_begin_transaction(segment[OTHER], 0);
    REQUIRE(tx != NULL && second != NULL);
    for (int i = HOME; i <= OTHER; i++)
        if (i == HOME || i == OTHER || !disk)
            leave(i == OTHER ? second : tx, segment[i], flat, kept[i],
                  set == LINE_CHAINS && i == HOME ? 64 * KIB : 0);
    if (disk)
        REQUIRE(vista_end_transaction(tx, VISTA_NO_FLUSH) == 0);
    raise(SIGKILL);
}

static void make_sets(void)
{
    FILE *line;

    for (int i = 0; i < FILES; i++)
        forge_open(&files[i], test_path(names_of[i]));
    snprintf(text, sizeof text, "%s", test_path("text"));
    line = fopen(text, "w");
    ck_assert(line != NULL && fputs("no segment\n", line) >= 0 && fclose(line) == 0);
    for (int set = 0; set < SETS; set++) {
        for (int i = 0; i < FILES; i++)
            ck_assert_int_eq(ftruncate(files[i].fd, 0), 0);
        ck_assert_int_eq(test_in_child(make_set, &set), 128 + SIGKILL);
        for (int i = 0; i < FILES; i++)
            sets[set][i] = forge_take(&files[i]);
    }
}

/* ---- What may change ---------------------------------------------------- */

/* As the files say before anything is called. */
static bool names(int home, int member)
{
    off_t at = VI_MEMBERS_OFFSET;

    for (; (at = lseek(files[home].fd, at, SEEK_DATA)) >= 0 && at < VI_SLOTS_OFFSET;
         at += VI_PAGE) {
        const struct vi_member entry = forge_entry_at(&files[home], (uint64_t)at);

        if (entry.path[0] != '\0' && forge_entry_sound(&files[home], &entry) &&
            memcmp(entry.uuid, files[member].s.uuid, sizeof entry.uuid) == 0)
            return true;
    }
    return false;
}

/* Was it left open with the log of `home`, and does it say so? */
static bool names_back(int member, int home)
{
    const struct vi_superblock *s = &files[member].s;
    const struct vi_member entry = forge_entry_at(&files[member], VI_HOME_OFFSET);

    return !s->clean && s->features_must & VI_MUST_MEMBER &&
           forge_entry_sound(&files[member], &entry) &&
           memcmp(entry.uuid, files[home].s.uuid, sizeof entry.uuid) == 0;
}

/* What is linked with a file, by names and names back. */
static unsigned linked(int with)
{
    unsigned set = 1u << with, before = 0;

    while (set != before) {
        before = set;
        for (int home = 0; home < FILES; home++)
            for (int member = 0; member < FILES; member++)
                if (home != member && (set >> home & 1) != (set >> member & 1) &&
                    names_back(member, home) && names(home, member))
                    set |= 1u << home | 1u << member;
    }
    return set;
}

/* ---- Calls -------------------------------------------------------------- */

static struct {
    uint64_t groups, mapped, sound, mapped_damaged;
} * tally;
static unsigned noted; /* reports of the last check that are no pass */

static int report(void *show, int severity, const char *line)
{
    for (const char *at = line; *at != '\0'; at++)
        REQUIRE((unsigned char)*at >= ' ');
    noted += severity != 0;
    if (*(const bool *)show)
        printf("    %d %s\n", severity, line);
    return 0;
}

static bool shown;

/* The call has failed as calls do. */
static void refused(void)
{
    REQUIRE(errno != 0 && *vista_errormsg() != '\0');
    for (const char *at = vista_errormsg(); *at != '\0'; at++)
        REQUIRE((unsigned char)*at >= ' ');
    if (shown)
        printf("  errno %d: %s\n", errno, vista_errormsg());
}

static uint64_t blocks_of(const char *path)
{
    struct stat st;

    REQUIRE(stat(path, &st) == 0);
    return (uint64_t)st.st_blocks;
}

/* Says whether all four are sound.  `deep`: that a check does not change them is looked at; it has
 * them open for reading only. */
static bool check_all(bool deep)
{
    bool sound = true;

    for (int i = 0; i < DECOY; i++) {
        const uint64_t digest = deep ? test_digest(files[i].path) : 0,
                       blocks = blocks_of(files[i].path);

        if (shown)
            printf("  check of %s\n", names_of[i]);
        errno = 0;
        if (vista_check(files[i].path, 0, report, &shown) != 0) {
            refused();
            sound = false;
        }
        REQUIRE(!deep || test_digest(files[i].path) == digest);
        REQUIRE(blocks_of(files[i].path) == blocks);
    }
    return sound;
}

/* The library's own calls, on a segment that was mapped. */
static void use(struct test_random *random, vista_segment *segment, unsigned flags)
{
    struct vista_info info;
    vista_tx *tx;

    REQUIRE(vista_info(segment, &info) == 0);
    (void)vista_root(segment, 0);
    if (flags & VISTA_READ_ONLY || (tx = vista_begin_transaction(segment, 0)) == NULL)
        return;
    for (int i = 0; i < 6; i++) {
        unsigned char *block = vista_malloc(tx, (size_t)1 << test_below(random, 15));

        REQUIRE(block == NULL || (block >= (unsigned char *)info.base &&
                                  block < (unsigned char *)info.base + vista_size(segment)));
        if (block != NULL && test_below(random, 2) == 0)
            (void)vista_free(tx, block);
        (void)vista_free(tx, (unsigned char *)info.base + test_below(random, 300) * 16);
    }
    (void)vista_set_range(tx, info.base, 4096);
    REQUIRE(vista_end_transaction(tx, 0) == 0);
}

static unsigned draw_flags(struct test_random *random)
{
    static const unsigned some[] = {0,
                                    VISTA_ANY_ADDRESS,
                                    VISTA_ACCEPT_TORN,
                                    VISTA_READ_ONLY,
                                    VISTA_KILL_SAFE | VISTA_ANY_ADDRESS,
                                    VISTA_AUTO_RANGE,
                                    VISTA_ACCEPT_TORN | VISTA_ANY_ADDRESS,
                                    0};

    return some[test_below(random, sizeof some / sizeof *some)];
}

static unsigned open_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    unsigned count = 0;

    REQUIRE(folder != NULL);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

/* ---- One group ---------------------------------------------------------- */

static unsigned char canary[CANARY_SIZE];

static void canary_is_whole(void)
{
    REQUIRE(memcmp(CANARY, canary, CANARY_SIZE) == 0);
}

static void map_one(struct test_random *random, int which, bool all_sound)
{
    const unsigned flags = draw_flags(random), may_change = linked(which);
    const struct vista_options class = {.force_class =
                                            test_below(random, 3) == 0 ? VISTA_CLASS_LINE : 0};
    const unsigned descriptors = open_descriptors();
    uint64_t digest[FILES], text_digest = test_digest(text);
    vista_segment *segment;

    for (int i = 0; i < FILES; i++)
        digest[i] = may_change >> i & 1 && may_change != 1u << i ? 0 : test_digest(files[i].path);
    REQUIRE(vista_init(&class) == 0);
    if (shown)
        printf("  %s mapped with flags 0x%x, class %u\n", names_of[which], flags,
               class.force_class);
    errno = 0;
    segment = vista_map(files[which].path, 0, flags, NULL);
    if (segment == NULL) {
        refused();
        REQUIRE(!all_sound || errno != EBADMSG);
        if (errno == EBADMSG && may_change == 1u << which && !(flags & VISTA_ACCEPT_TORN) &&
            !(files[which].s.features_must & VI_MUST_REDO)) /* a redo log comes first, by itself */
            REQUIRE(test_digest(files[which].path) == digest[which]);
    } else {
        tally->mapped++;
        tally->mapped_damaged += !all_sound;
        use(random, segment, flags);
        errno = 0;
        if (vista_unmap(segment) != 0)
            refused();
    }
    for (int i = 0; i < FILES; i++)
        if (!(may_change >> i & 1))
            REQUIRE(test_digest(files[i].path) == digest[i]);
    REQUIRE(test_digest(text) == text_digest);
    REQUIRE(vi_process()->mapped == NULL);
    REQUIRE(open_descriptors() == descriptors);
    canary_is_whole();
}

static void one_group(uint64_t number)
{
    struct test_random random = test_random_new(number);
    /* To recover a redo log takes reading all of it. */
    const int set = test_below(&random, 25) == 0 ? DISK : (int)test_below(&random, DISK);
    bool sound;

    for (int i = 0; i < FILES; i++)
        forge_put(&files[i], &sets[set][i]);
    hostile_deeds(&random);
    if (shown)
        printf("case %llu, set %d\n", (unsigned long long)number, set);
    sound = check_all(number % 16 == 0);
    tally->groups++;
    tally->sound += sound;
    map_one(&random, (int)test_below(&random, 3) == 0 ? (int)test_below(&random, FILES) : HOME,
            sound);
    sound = check_all(false);
    map_one(&random, (int)test_below(&random, DECOY), sound);
}

/* ---- Batches ------------------------------------------------------------ */

struct batch {
    uint64_t from, to;
    volatile uint64_t *at;
};

/* Pages on both sides of where a segment belongs cannot be stored to. */
static void set_neighbours(void)
{
    unsigned char *at = mmap(CANARY - VI_PAGE, CANARY_SIZE + 2 * VI_PAGE, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    REQUIRE(at == CANARY - VI_PAGE);
    for (size_t i = 0; i < CANARY_SIZE; i++)
        CANARY[i] = canary[i] = (unsigned char)(i * 7);
    for (int i = 0; i < FILES; i++)
        for (int side = 0; side < 2; side++) {
            unsigned char *beside = side == 0 ? ADDRESS(i) - 64 * KIB : ADDRESS(i) + 2 * sizes[i];

            REQUIRE(mmap(beside, 64 * KIB, PROT_READ,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == beside);
        }
}

static void run_batch(void *argument)
{
    const struct batch *batch = argument;

    set_neighbours();
    for (uint64_t i = batch->from; i < batch->to; i++) {
        *batch->at = i;
        alarm(60);
        one_group(i);
    }
}

START_TEST(groups)
{
    const unsigned count = test_times(GROUPS_OF_FILES);
    const char *single = getenv("VISTA_HOSTILE_CASE");
    struct batch batch = {.at = test_share(sizeof *batch.at)};

    tally = test_share(sizeof *tally);
    make_sets();
    shown = single != NULL;
    batch.from = shown ? strtoull(single, NULL, 0) : 0;
    for (; batch.from < (shown ? batch.from + 1 : count); batch.from = batch.to) {
        int status;

        batch.to = batch.from + (shown ? 1 : BATCH);
        fflush(stdout);
        status = test_in_child(run_batch, &batch);
        ck_assert_msg(status == 0, "status %d; again: VISTA_TEST_SEED=%llu VISTA_HOSTILE_CASE=%llu",
                      status, (unsigned long long)test_seed(), (unsigned long long)*batch.at);
        if (shown)
            return;
    }
    printf(
        "hostile groups: %llu of four segments, all four sound %llu; mapped %llu, though a check "
        "had called one damaged %llu\n",
        (unsigned long long)tally->groups, (unsigned long long)tally->sound,
        (unsigned long long)tally->mapped, (unsigned long long)tally->mapped_damaged);
    ck_assert_uint_gt(tally->sound, tally->groups / 50);
    ck_assert_uint_gt(tally->mapped, tally->groups / 10);
}
END_TEST

/* ---- Holes -------------------------------------------------------------- */

#ifdef __SANITIZE_THREAD__ /* which leaves no tebibyte of addresses */
#define TEBIBYTE ((uint64_t)1 << 30)
#else
#define TEBIBYTE ((uint64_t)1 << 40)
#endif

static int stop(void *arg, void *block, size_t size)
{
    (void)arg, (void)block, (void)size;
    return 0;
}

/* A segment of a tebibyte in a file of 124 KiB, left open, whose heap says that all of it was in use
 * once: descriptors alone would be 2 GiB. */
static void make_huge(struct forge *file, bool large)
{
    const struct vista_map_options options = {.max_size = TEBIBYTE};
    vista_segment *segment;

    forge_open(file, test_path("huge"));
    segment = vista_map(file->path, 64 * KIB, VISTA_CREATE | VISTA_SPARSE, &options);
    SOME(segment);
    SOME(vista_root(segment, 100));
    OK(vista_unmap(segment));
    file->s = test_superblock(file->path, test_superblock_current(file->path));
    file->s.size = TEBIBYTE;
    file->s.clean = 0;
    forge_superblock(file, true);
    forge_poke_word(file, file->s.heap_offset + offsetof(struct vi_heap_header, end),
                    TEBIBYTE / VI_UNIT);
    if (large) /* and a block of half of it */
        forge_poke_word(file, vi_superblock_descriptors(&file->s) + TEBIBYTE / VI_UNIT / 2 * 8,
                        VI_SPAN(VI_SPAN_LARGE, TEBIBYTE / VI_UNIT / 2, 0));
}

/* What is no more than a hole in the file stays one, whatever is done with it: neither is it read,
 * nor does it take time. */
START_TEST(holes_stay_holes)
{
    struct vista_info info;
    vista_segment *segment;
    struct forge file;
    uint64_t blocks;
    vista_tx *tx;
    void *block;

    make_huge(&file, _i == 1);
    blocks = blocks_of(file.path);
    ck_assert_uint_lt(blocks, 2 * 1024);
    OK(vista_check(file.path, 0, NULL, NULL));
    ck_assert_uint_eq(blocks_of(file.path), blocks);
    segment = vista_map(file.path, 0, 0, NULL);
    SOME(segment);
    OK(vista_info(segment, &info));
    OK(vista_heap_walk(segment, stop, NULL));
    ck_assert_uint_ge(info.heap_free, TEBIBYTE / 2 - 64 * KIB);
    OK(vista_resize(segment, TEBIBYTE - VI_PAGE));
    tx = vista_begin_transaction(segment, 0);
    block = vista_malloc(tx, 100);
    SOME(block);
    (void)vista_free(tx, (char *)vista_base(segment) + TEBIBYTE / 2 + 65536);
    OK(vista_end_transaction(tx, 0));
    OK(vista_unmap(segment));
    OK(vista_check(file.path, 0, NULL, NULL));
    /* A sparse heap allocates 2 MiB at once, and metadata for them. */
    ck_assert_uint_lt(blocks_of(file.path), blocks + 3 * 2 * 1024);
}
END_TEST

static void leave_redo_log(void *path)
{
    const struct vista_map_options options = {.max_size = TEBIBYTE, .log_size = (size_t)4 << 20};
    vista_segment *segment;
    vista_tx *tx;

    REQUIRE(vista_init(&(struct vista_options){.force_class = VISTA_CLASS_DISK}) == 0);
    segment = vista_map(path, 64 * KIB, VISTA_CREATE | VISTA_NO_HEAP, &options);
    REQUIRE(segment != NULL);
    tx = vista_begin_transaction(segment, 0);
    store(tx, segment, 8, 8);
    REQUIRE(vista_end_transaction(tx, VISTA_NO_FLUSH) == 0);
    raise(SIGKILL);
}

static struct forge left_redo_log(void)
{
    static struct forge file;

    forge_open(&file, test_path("redo"));
    ck_assert_int_eq(test_in_child(leave_redo_log, file.path), 128 + SIGKILL);
    file.s = test_superblock(file.path, test_superblock_current(file.path));
    return file;
}

static long pages_touched(void)
{
    struct rusage usage;

    ck_assert_int_eq(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_minflt;
}

/* A log that calls itself half a tebibyte is as quick as what it holds. */
START_TEST(redo_log_of_holes)
{
    const struct forge file = left_redo_log();
    long before;

    forge_redo_size(&file, TEBIBYTE / 2);
    before = pages_touched();
    OK(vista_check(file.path, 0, NULL, NULL));
    if (!test_is_sanitized()) /* which has pages of its own */
        ck_assert_int_lt(pages_touched() - before, 4096);
}
END_TEST

/* What looks like records one over the other, each as long as all that is left, is not looked at
 * through and through. */
START_TEST(redo_records_over_each_other)
{
    const uint64_t size = (uint64_t)4 << 20, step = sizeof(struct vi_redo_record);
    const struct forge file = left_redo_log();
    const uint64_t offset = forge_redo_size(&file, size);
    struct vi_redo_record record = {0};
    struct vi_disk_point at;

    ck_assert(forge_redo_begin(&file, &at));
    record.epoch = forge_redo_epoch(&file);
    for (uint64_t lsn = at.lsn + 8192; lsn < at.lsn + size - step; lsn += step) {
        record.lsn = lsn;
        record.synced = at.lsn + size;
        record.bytes = (uint32_t)((size - lsn % size) & ~(uint64_t)7);
        if (size - lsn % size >= step)
            forge_poke(&file, offset + lsn % size, &record, step);
    }
    FAILS(vista_check(file.path, 0, NULL, NULL), EBADMSG, "missing");
    NULLS(vista_map(file.path, 0, 0, NULL), EBADMSG, "missing");
}
END_TEST

/* What recovery refuses in a sound record, a check calls damage, by the same rule. */
START_TEST(redo_items_that_cannot_be)
{
    static const struct vi_redo_item items[] = {
        {.offset = 0, .length = 8},                              /* the superblock */
        {.offset = (uint64_t)1 << 50, .length = 8},              /* behind the data */
        {.offset = 0, .length = 8, .member = 9},                 /* which it has not */
        {.offset = 0, .length = 8, .member = VI_DISK_MEMBERS},   /* nor can have */
        {.offset = 0, .length = 8, .kind = VI_REDO_KINDS},       /* unknown */
        {.offset = 0, .length = 8, .kind = VI_REDO_SKIPPED - 1}, /* unknown */
        {.offset = 0, .length = 8, .kind = VI_REDO_SKIPPED},     /* to be passed over */
        {.offset = (uint64_t)1 << 50, .length = 8, .kind = VI_REDO_KINDS - 1} /* without effect */
    };
    const bool fine = items[_i].kind == VI_REDO_SKIPPED || items[_i].kind == VI_REDO_KINDS - 1;
    const struct forge file = left_redo_log();
    struct vi_disk_point at;

    ck_assert(forge_redo_begin(&file, &at));
    forge_redo(&file, &at, items[_i], "abcdefg", 8);
    if (fine) {
        OK(vista_check(file.path, 0, NULL, NULL));
        OK(vista_unmap(vista_map(file.path, 0, 0, NULL)));
    } else {
        FAILS(vista_check(file.path, 0, NULL, NULL), EBADMSG, "the redo record");
        NULLS(vista_map(file.path, 0, 0, NULL), EBADMSG, "the redo record");
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hostile");
    TCase *tests = test_case(suite, "hostile", 120);

    tcase_add_test(tests, groups);
    tcase_add_loop_test(tests, holes_stay_holes, 0, 2);
    tcase_add_test(tests, redo_log_of_holes);
    tcase_add_test(tests, redo_records_over_each_other);
    tcase_add_loop_test(tests, redo_items_that_cannot_be, 0, 8);
    suite_add_tcase(suite, tests);
    return test_run(suite);
}
