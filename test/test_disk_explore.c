/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The crash-state explorer of the redo log, on a simulated disk.
 *
 * A model makes commits of random items on two files that share a log, small and larger than the
 * ring, flushed and not, with truncations, flushes, clean ends, deaths and failing disks between;
 * at every write and sync further commits are made inside, as other threads would.  At each of
 * these points crash states are made: the death of the process; a loss of power with dirty
 * sectors lost, kept, older, torn, garbage in the log, the ring any mix.  Each is recovered, and
 * the files have to be exactly those of a prefix of the commits that has all that were
 * acknowledged.  Recovery itself is crashed, too, and what it left has to be durable.
 */
#include <stdlib.h>

#include "disk/disk_log.h"
#include "disk/replay.h"
#include "simdisk.h"

#define RING (8u << 10)
#define LOG (32u << 10)
#define HOME_SIZE (16u << 10)
#define MEMBER_SIZE (8u << 10)
#define BASE (HOME_SIZE + MEMBER_SIZE)
#define HEADERS HOME_SIZE
#define RING_AT (HEADERS + VI_REDO_HEADERS * VI_REDO_BLOCK)
#define FILE_SIZE (RING_AT + RING + LOG)
#define COMMITS 400 /* in one run, at most */
#define ITEMS 6

enum { HOME, MEMBER, CRASH_HOME, CRASH_MEMBER, DEEP_HOME, DEEP_MEMBER };

static struct {
    struct vi_disk_log redo;
    struct vi_disk_target target[VI_DISK_MEMBERS];
    unsigned char (*history)[BASE]; /* after each commit */
    uint64_t latest;                /* commit that may count */
    uint64_t returned;              /* commit that survives the process's death */
    uint64_t durable;               /* commit that survives a loss of power */
    struct test_random random;
    uint64_t run;
    bool inside;   /* a commit is being made within another's */
    bool failing;  /* the disk has been told to fail */
    bool thorough; /* after a failure: each point inside recovery is one to crash at */
    bool own_ring; /* as where the file system copies on write */
    bool uniform;  /* small commits are alike, so that old records lie where new ones do */
    uint64_t states, equal, points, deep, deaths, poisoned, large, nested, truncations;
} model;

/* What recovery made of states of this run, by a hash of their files. */
#define SEEN 8192
static struct seen {
    uint64_t hash; /* 0: none */
    uint64_t found;
} seen[SEEN];

static const uint8_t uuid[16] = "explored segment";

static void bad(const char *what, uint64_t found)
{
    fprintf(stderr,
            "VISTA_TEST_SEED=%llu: run %llu: %s: found %llu, latest %llu, returned %llu, durable "
            "%llu (%s)\n",
            (unsigned long long)test_seed(), (unsigned long long)model.run, what,
            (unsigned long long)found, (unsigned long long)model.latest,
            (unsigned long long)model.returned, (unsigned long long)model.durable,
            vista_errormsg());
    exit(1);
}

/* ---- Memory ------------------------------------------------------------- */

#define POOL 8
#define POOL_SIZE ((size_t)4 << 20)
#define CREATION ((size_t)1 << 20) /* used for its zeros, as what a large record has behind it */

static struct {
    unsigned char *memory;
    bool used;
} pool[POOL];

void *__real_vi_reserve(size_t size);
void __real_vi_release(void *address, size_t size);
void *__wrap_vi_reserve(size_t size);
void __wrap_vi_release(void *address, size_t size);

/* What the library maps and unmaps again for each recovery stays mapped: that took half of the
 * time.  A sanitizer sees it as it is. */
void *__wrap_vi_reserve(size_t size)
{
    for (int i = 0; i < POOL && size <= POOL_SIZE && !test_is_sanitized(); i++) {
        if (pool[i].used)
            continue;
        pool[i].used = true;
        if (pool[i].memory == NULL)
            pool[i].memory = __real_vi_reserve(POOL_SIZE);
        else if (size <= RING || size == CREATION)
            memset(pool[i].memory, 0, size);
        return pool[i].memory;
    }
    return __real_vi_reserve(size);
}

void __wrap_vi_release(void *address, size_t size)
{
    for (int i = 0; i < POOL; i++)
        if (address != NULL && address == pool[i].memory) {
            pool[i].used = false;
            return;
        }
    __real_vi_release(address, size);
}

/* ---- Recovery of a crash state ------------------------------------------ */

static void set_targets(struct vi_disk_target *target, int home, int member)
{
    memset(target, 0, VI_DISK_MEMBERS * sizeof *target);
    target[0] = (struct vi_disk_target){
        .exists = true, .fd = home, .part = {{0, HOME_SIZE / 2}, {HOME_SIZE / 2, HOME_SIZE}}};
    target[1] =
        (struct vi_disk_target){.exists = true, .fd = member, .part = {{0, MEMBER_SIZE}, {0, 0}}};
}

static int recover(int home, int member, struct vi_disk_area *area, struct vi_disk_point *head)
{
    struct vi_disk_target target[VI_DISK_MEMBERS];
    struct vi_disk_left left;
    int result;

    *area = (struct vi_disk_area){
        .io = vi_io(), .path = "simulated", .fd = home, .copies_on_write = model.own_ring};
    memcpy(area->uuid, uuid, sizeof uuid);
    vi_disk_area_set(area, HEADERS, RING_AT, RING, LOG);
    result = vi_disk_load(&left, area, FILE_SIZE);
    if (result != 0)
        return result;
    set_targets(target, home, member);
    result = vi_disk_replay(&left, target);
    *area = left.area;
    *head = (struct vi_disk_point){vi_disk_up(left.end.lsn + 1, RING), 0};
    vi_disk_unload(&left);
    return result;
}

/* Which prefix do the files hold?  It has to be exactly one. */
static uint64_t prefix(const unsigned char *home, const unsigned char *member)
{
    uint64_t found;

    memcpy(&found, home, sizeof found);
    if (found > model.latest)
        bad("a commit that was never made", found);
    if (memcmp(home, model.history[found], HOME_SIZE) != 0)
        bad("home is torn", found);
    if (memcmp(member, model.history[found] + HOME_SIZE, MEMBER_SIZE) != 0)
        bad("the member is torn", found);
    return found;
}

static uint64_t hash_bytes(uint64_t hash, const unsigned char *bytes, size_t length)
{
    uint64_t lane[4] = {hash, hash + 1, hash + 2, hash + 3}, word[4];

    for (size_t at = 0; at < length; at += sizeof word) {
        memcpy(word, bytes + at, sizeof word);
        for (int i = 0; i < 4; i++)
            lane[i] = (lane[i] ^ word[i]) * 0x9e3779b97f4a7c15u;
    }
    for (int i = 0; i < 4; i++)
        hash = (hash ^ lane[i] ^ lane[i] >> 29) * 0xd6e8feb86659fd93u;
    return hash;
}

/* Where a state is remembered by what programs see of the files and what the disk has. */
static struct seen *find_seen(int home, int member)
{
    uint64_t hash = 1;
    struct seen *at;

    for (int i = 0; i < 2; i++) {
        const struct sim *sim = &sim_files[i == 0 ? home : member];

        hash = hash_bytes(hash, sim->cache, sim->size);
        if (memcmp(sim->cache, sim->disk, sim->size) != 0) /* not after a loss of power */
            hash = hash_bytes(hash + 1, sim->disk, sim->size);
    }
    hash += hash == 0;
    for (at = &seen[hash % SEEN]; at->hash != 0 && at->hash != hash;)
        at = at + 1 < seen + SEEN ? at + 1 : seen;
    if (at->hash == 0)
        *at = (struct seen){hash, UINT64_MAX};
    return at;
}

/* Recovers and checks: the commit found.  What was recovered has to be durable, too. */
static uint64_t check_recovery(int home, int member, uint64_t least)
{
    struct seen *const known = find_seen(home, member);
    struct vi_disk_area area;
    struct vi_disk_point head;
    uint64_t found;

    if (known->found != UINT64_MAX && sim_point == NULL) {
        model.equal++;
        if (known->found < least)
            bad("acknowledged commits are lost", known->found);
        return known->found;
    }
    if (recover(home, member, &area, &head) != 0)
        bad("recovery fails", 0);
    found = prefix(sim_files[home].cache, sim_files[member].cache);
    if (found < least)
        bad("acknowledged commits are lost", found);
    if (prefix(sim_files[home].disk, sim_files[member].disk) != found)
        bad("recovery was not durable", found);
    model.states += known->found == UINT64_MAX;
    known->found = found;
    return found;
}

static uint64_t deep_least;

/* A loss of power, or a second death, inside recovery. */
static void deep_point(int fd, const char *what)
{
    void (*const hook)(int, const char *) = sim_point;
    const bool power = test_below(&model.random, 3) != 0;
    const enum sim_choice choice = test_below(&model.random, 3) == 0 ? SIM_NONE : SIM_RANDOM;

    (void)what;
    if ((fd != CRASH_HOME && fd != CRASH_MEMBER) ||
        (!model.thorough && test_below(&model.random, 4) != 0))
        return;
    sim_point = NULL;
    for (int i = 0; i < 2; i++) {
        if (power)
            sim_power(CRASH_HOME + i, DEEP_HOME + i, choice, 0, &model.random);
        else
            sim_kill(CRASH_HOME + i, DEEP_HOME + i);
    }
    check_recovery(DEEP_HOME, DEEP_MEMBER, power ? model.durable : deep_least);
    model.deep++;
    sim_point = hook;
}

static void check_state(uint64_t least)
{
    void (*const hook)(int, const char *) = sim_point;

    deep_least = least;
    sim_point = model.thorough || test_below(&model.random, 6) == 0 ? deep_point : NULL;
    check_recovery(CRASH_HOME, CRASH_MEMBER, least);
    sim_point = hook;
}

static void power(enum sim_choice choice, int fd, unsigned sector)
{
    for (int i = 0; i < 2; i++)
        sim_power(i, CRASH_HOME + i,
                  i != fd && choice == SIM_ONLY      ? SIM_NONE
                  : i != fd && choice == SIM_ALL_BUT ? SIM_ALL
                                                     : choice,
                  sector, &model.random);
    check_state(model.durable);
}

/* The states that a crash here might leave: all single ones by turns, random ones. */
static void explore(void)
{
    uint16_t list[SIM_SECTORS];
    const int fd = (int)test_below(&model.random, 2);
    const unsigned count = sim_dirty(fd, list);

    model.points++;
    for (int i = 0; i < 2; i++)
        sim_kill(i, CRASH_HOME + i);
    check_state(model.returned);
    power(SIM_NONE, 0, 0);
    power(SIM_ALL, 0, 0);
    for (int i = 0; i < 3; i++)
        power(SIM_RANDOM, 0, 0);
    for (int i = 0; i < 2 && count != 0; i++)
        power(i == 0 ? SIM_ONLY : SIM_ALL_BUT, fd, list[test_below(&model.random, count)]);
}

/* ---- Commits ------------------------------------------------------------ */

static bool is_half(uint64_t n)
{
    return test_below(&model.random, n) == 0;
}

static struct vi_redo_item choose_item(bool large)
{
    struct vi_redo_item item = {.member = (uint16_t)test_below(&model.random, 2)};
    const uint64_t size = item.member == 0 ? HOME_SIZE : MEMBER_SIZE;
    uint64_t half = test_below(&model.random, 2) * (HOME_SIZE / 2);

    if (model.uniform && !large)
        return (struct vi_redo_item){.offset = 64 + 64 * test_below(&model.random, 32),
                                     .length = 56};
    item.length = (uint32_t)(large ? 3000 + test_below(&model.random, 4500)
                                   : 1 + test_below(&model.random, is_half(4) ? 1500 : 60));
    if (item.member != 0)
        half = 0;
    item.offset = half + 8 + test_below(&model.random, HOME_SIZE / 2 - 8 - item.length);
    ck_assert(item.offset + item.length <= size);
    return item;
}

/* Stores to the image, as a transaction does. */
static void change(unsigned char *image, const struct vi_redo_item *item)
{
    unsigned char *at = image + (item->member != 0 ? HOME_SIZE : 0) + item->offset;

    for (uint32_t i = 0; i < item->length; i++)
        at[i] = (unsigned char)test_next(&model.random);
}

/* Builds the record of the next commit; the lock is held. */
static uint64_t build(const struct vi_redo_item *items, unsigned count)
{
    unsigned char *const image = model.history[model.latest + 1];

    memcpy(image, model.history[model.latest], BASE);
    model.latest++;
    memcpy(image, &model.latest, sizeof model.latest);
    for (unsigned i = 0; i < count; i++)
        change(image, &items[i]);
    for (unsigned i = 0; i < count; i++)
        vi_disk_put(&model.redo, items[i].member, items[i].offset,
                    image + (items[i].member != 0 ? HOME_SIZE : 0) + items[i].offset,
                    items[i].length);
    vi_disk_put(&model.redo, 0, 0, &model.latest, sizeof model.latest);
    return vi_disk_end(&model.redo, true);
}

static int commit(bool large, bool flush)
{
    struct vi_redo_item items[ITEMS];
    const unsigned count = large || model.inside || model.uniform
                               ? 1
                               : 1 + (unsigned)test_below(&model.random, ITEMS - 1);
    uint64_t bytes = sizeof(struct vi_redo_record) + vi_disk_item_size(sizeof(uint64_t)), mine;
    uint64_t end;

    if (model.latest + 2 >= COMMITS)
        return 0;
    for (unsigned i = 0; i < count; i++) {
        items[i] = choose_item(large);
        bytes += vi_disk_item_size(items[i].length);
    }
    if (vi_disk_begin(&model.redo, bytes) != 0)
        return -1;
    model.large += model.redo.writer.large;
    end = build(items, count);
    if (end == UINT64_MAX)
        return -1;
    mine = model.latest;
    if (!model.inside || !model.own_ring) { /* there it would wait for itself */
        if (vi_disk_flush(&model.redo, end, false) != 0)
            return -1;
        model.returned = mine > model.returned ? mine : model.returned;
    }
    if (flush && vi_disk_flush(&model.redo, end, true) != 0)
        return -1;
    if (flush && mine > model.durable)
        model.durable = mine;
    return 0;
}

/* Is there room for a small commit without waiting for anyone? */
static bool has_room(void)
{
    const struct vi_disk_log *redo = &model.redo;
    uint64_t end;

    vi_disk_next_lsn(&redo->area, redo->tail.lsn, 1700, &end);
    end = vi_disk_up(end, VI_REDO_BLOCK);
    return redo->failed == 0 && end - redo->head.lsn <= LOG && end - redo->written.lsn <= RING;
}

/* A point of the run itself: other threads may commit, and all may die. */
static void live_point(int fd, const char *what)
{
    void (*const hook)(int, const char *) = sim_point;

    (void)what;
    if (fd != HOME && fd != MEMBER)
        return;
    if (!model.inside && is_half(3) && pthread_mutex_trylock(&model.redo.lock) == 0) {
        const bool room = has_room();

        pthread_mutex_unlock(&model.redo.lock);
        if (room) {
            model.inside = true;
            model.nested++;
            commit(false, false);
            model.inside = false;
        }
    }
    /* The engine's own claim counts as an acknowledgment. */
    if (model.redo.durable.commits > model.durable)
        model.durable = model.redo.durable.commits;
    if (!is_half(3))
        return;
    sim_point = NULL;
    explore();
    sim_point = hook;
}

/* ---- Runs --------------------------------------------------------------- */

static void start(const struct vi_disk_area *area, struct vi_disk_point head)
{
    set_targets(model.target, HOME, MEMBER);
    ck_assert_int_eq(vi_disk_log_open(&model.redo, area, head, model.target), 0);
    model.redo.truncate_percent = 101; /* so that no thread is started for it */
    model.redo.tail.commits = model.redo.written.commits = model.redo.durable.commits =
        model.latest;
    sim_point = live_point;
}

/* The process or the machine dies, and goes on with what is left. */
static void die(void)
{
    const bool machine = is_half(2);
    struct vi_disk_area area;
    struct vi_disk_point head;
    uint64_t found;

    sim_point = NULL;
    memset(&sim_faults, 0, sizeof sim_faults);
    model.failing = false;
    vi_disk_log_close(&model.redo);
    for (int i = 0; i < 2; i++) {
        if (machine)
            sim_power(i, CRASH_HOME + i, SIM_RANDOM, 0, &model.random);
        else
            sim_kill(i, CRASH_HOME + i);
        sim_kill(CRASH_HOME + i, i);
    }
    if (recover(HOME, MEMBER, &area, &head) != 0)
        bad("recovery fails", 0);
    found = prefix(sim_files[HOME].cache, sim_files[MEMBER].cache);
    if (found < (machine ? model.durable : model.returned))
        bad("acknowledged commits are lost", found);
    if (prefix(sim_files[HOME].disk, sim_files[MEMBER].disk) != found)
        bad("recovery was not durable", found);
    model.latest = model.returned = model.durable = found;
    model.deaths++;
    start(&area, head);
}

/* The kernel takes for written what the disk lacks: recovery has to know, whenever it dies. */
static void explore_failure(void)
{
    void (*const hook)(int, const char *) = sim_point;
    const struct sim_faults faults = sim_faults;

    sim_point = NULL;
    memset(&sim_faults, 0, sizeof sim_faults);
    model.thorough = true;
    for (int times = 0; times < 4; times++) {
        for (int i = 0; i < 2; i++)
            sim_kill(i, CRASH_HOME + i);
        check_state(model.returned);
    }
    model.thorough = false;
    sim_faults = faults;
    sim_point = hook;
}

static void fail_soon(void)
{
    sim_faults = (struct sim_faults){.on = (int)test_below(&model.random, 2), .error = EIO};
    switch (test_below(&model.random, 6)) {
    case 0:
        sim_faults.fail_sync = 1 + (unsigned)test_below(&model.random, 6);
        break;
    case 4:
        sim_faults = (struct sim_faults){.fail_sync = 1, .kind = SIM_FILE_SYNC};
        break;
    case 5:
        sim_faults = (struct sim_faults){.fail_sync = 1, .kind = SIM_HEADER_SYNC};
        break;
    case 1:
        sim_faults.fail_write = 1 + (unsigned)test_below(&model.random, 12);
        break;
    case 2:
        sim_faults.fail_write = 1 + (unsigned)test_below(&model.random, 12);
        sim_faults.error = ENOSPC;
        break;
    default:
        sim_faults.short_write = 1 + (unsigned)test_below(&model.random, 12);
    }
    model.failing = true;
}

static void step(void)
{
    const uint64_t what = test_below(&model.random, 40);
    int result = 0;

    if (what < 20)
        result = commit(false, false);
    else if (what < 30)
        result = commit(false, true);
    else if (what < 33)
        result = commit(true, is_half(2));
    else if (what < 35)
        result = vi_disk_flush(&model.redo, UINT64_MAX, true);
    else if (what < 36)
        result = vi_disk_truncate(&model.redo), model.truncations++;
    else if (what < 38)
        fail_soon();
    else
        die();
    if (result == 0)
        return;
    if (!model.failing)
        bad("a call fails", model.redo.failed);
    if (model.redo.failed != 0) {
        model.poisoned++;
        ck_assert_int_eq(commit(false, false), -1);
        explore_failure();
        die();
    }
}

static void run_one(uint64_t run)
{
    struct vi_disk_area area = {.io = vi_io(), .path = "simulated", .fd = HOME};

    model.run = run;
    model.random = test_random_new(run);
    model.latest = model.returned = model.durable = 0;
    memset(&sim_faults, 0, sizeof sim_faults);
    model.failing = false;
    model.uniform = run % 3 == 2;
    model.own_ring = run % 5 == 4;
    area.copies_on_write = model.own_ring;
    memset(seen, 0, sizeof seen);
    memset(model.history[0], 0, BASE);
    memcpy(area.uuid, uuid, sizeof uuid);
    sim_point = NULL;
    sim_new(HOME, FILE_SIZE);
    sim_new(MEMBER, MEMBER_SIZE);
    sim_files[HOME].log_from = HEADERS;
    sim_files[HOME].log_to = FILE_SIZE;
    vi_disk_area_set(&area, HEADERS, RING_AT, RING, LOG);
    ck_assert_int_eq(vi_disk_create(&area, 1, (struct vi_disk_point){RING, 0}), 0);
    start(&area, (struct vi_disk_point){RING, 0});
    for (int i = 0; i < 60; i++)
        step();
    sim_point = NULL;
    vi_disk_log_close(&model.redo);
}

START_TEST(explores)
{
    const uint64_t wanted = test_times(40000);

    model.history = malloc(COMMITS * sizeof *model.history);
    vi_io_test_ops = &sim_ops;
    for (uint64_t run = 0; model.states < wanted; run++)
        run_one(run);
    printf("redo: %llu runs, %llu points, %llu states, %llu seen again, %llu inside recovery; "
           "%llu deaths, "
           "%llu failed disks, %llu large and %llu nested commits, %llu truncations\n",
           (unsigned long long)model.run + 1, (unsigned long long)model.points,
           (unsigned long long)model.states, (unsigned long long)model.equal,
           (unsigned long long)model.deep, (unsigned long long)model.deaths,
           (unsigned long long)model.poisoned, (unsigned long long)model.large,
           (unsigned long long)model.nested, (unsigned long long)model.truncations);
    ck_assert(model.deep != 0 && model.deaths != 0 && model.poisoned != 0 && model.large != 0 &&
              model.nested != 0 && model.truncations != 0);
    vi_io_test_ops = NULL;
    free(model.history);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redo log, explored");
    TCase *tcase = test_case(suite, "explores", 300);

    tcase_add_test(tcase, explores);
    return test_run(suite);
}
