/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Faults from outside: each is a clear error, loses nothing that was committed and
 * leaves the library usable.
 *
 * Scenarios: the K-th system call of each kind is refused, for every K, from creating a
 * segment to unmapping it for the last time; the file is truncated or removed while it is
 * mapped; the process forks in the middle of transactions; a thread exits with one open;
 * signals arrive all the time; there is hardly any address space.
 */
#include "refusal.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

/* ---- Refused system calls ---------------------------------------------- */

/* One run of all that a segment lives through; at most one of its calls is refused
 * something, is made again, and then all is as if nothing had happened. */
static struct {
    const char *path;
    const char *what; /* the run, for messages */
    unsigned flags;   /* of creation */
    vista_segment *segment;
    unsigned char *root; /* or the data of a flat segment */
    unsigned char expected[32 * 1024];
    unsigned failures;
} life;

#define ROOT_SIZE sizeof life.expected

/* A file that is not there, or that is empty: as good as none. */
static bool is_made(void)
{
    struct stat st;

    return stat(life.path, &st) == 0 && st.st_size != 0;
}

static void expect_contents(void)
{
    if (life.segment != NULL && life.root != NULL)
        ck_assert_msg(memcmp(life.root, life.expected, ROOT_SIZE) == 0, "%s: contents differ",
                      life.what);
}

/* A call has failed: because it was refused something, and with an error that says so. */
static void expect_refusal(const char *call, int error)
{
    expect_message(life.what, call, error, error == ECANCELED);
    life.failures++;
    fault_clear();
    expect_contents();
}

static void map_life(size_t size, unsigned flags)
{
    const bool made = is_made();

    life.segment = vista_map(life.path, size, flags, NULL);
    if (life.segment == NULL) {
        expect_refusal("vista_map", errno);
        if (!made)
            ck_assert_msg(!is_made(), "%s: half a segment is left", life.what);
        /* Where the boot could not be told a file counts as torn from then on. */
        if (boot_id_refused && made)
            flags |= VISTA_ACCEPT_TORN;
        life.segment = vista_map(life.path, size, flags, NULL);
    }
    if (life.segment == NULL && boot_id_refused && errno == ECANCELED)
        life.segment = vista_map(life.path, size, flags | VISTA_ACCEPT_TORN, NULL);
    ck_assert_msg(life.segment != NULL, "%s: cannot map: %s", life.what, vista_errormsg());
    life.root = vista_base(life.segment);
    if (!(life.flags & VISTA_NO_HEAP))
        TRY_FOR(life.root, vista_root(life.segment, ROOT_SIZE));
    expect_contents();
}

static void store_some(size_t at, size_t length, int byte)
{
    memset(life.root + at, byte, length);
    memset(life.expected + at, byte, length);
}

/* Ranges in the slot and beyond it, in a chunk; then blocks of all kinds. */
static void one_transaction(int byte, bool commit)
{
    unsigned char before[ROOT_SIZE];
    struct iovec ranges[] = {{life.root + 9000, 12000}, {life.root + 25000, 7000}};
    void *small, *large, *moved;
    vista_tx *tx;

    memcpy(before, life.expected, ROOT_SIZE);
    TRY_FOR(tx, vista_begin_transaction(life.segment, 0));
    TRY(vista_set_range(tx, life.root, 300));
    store_some(0, 300, byte);
    TRY(vista_set_ranges(tx, ranges, 2));
    store_some(9000, 12000, byte + 1);
    if (!(life.flags & VISTA_NO_HEAP)) {
        TRY_FOR(small, vista_malloc(tx, 100));
        TRY_FOR(large, vista_calloc(tx, 5000, 10));
        ck_assert_int_eq(((char *)large)[49999], 0);
        TRY_FOR(moved, vista_realloc(tx, small, 3000));
        TRY(vista_free(tx, moved));
        TRY(vista_free(tx, large));
        TRY_FOR(small, vista_malloc(tx, 24));
        memset(small, 's', 24);
    }
    store_some(25000, 7000, byte + 2);
    if (commit) {
        OK(vista_end_transaction(tx, 0));
    } else {
        OK(vista_abort_transaction(tx));
        memcpy(life.expected, before, ROOT_SIZE);
    }
    expect_contents();
}

/* The handle ends in any case; what was committed is found. */
static void unmap_life(void)
{
    TRY(vista_flush(life.segment));
    if (vista_unmap(life.segment) != 0) {
        life.segment = NULL;
        expect_refusal("vista_unmap", errno);
    }
    life.segment = NULL;
}

/* Whether there were so many calls of these kinds that one was refused. */
static bool live(unsigned kinds, unsigned after, unsigned count)
{
    unlink(life.path);
    memset(life.expected, 0, ROOT_SIZE);
    life.failures = 0;
    life.root = NULL;
    boot_id_refused = false;
    fault_set(kinds, after, count, 0);
    map_life(MIB, VISTA_CREATE | life.flags);
    one_transaction(10, true);
    one_transaction(20, false);
    unmap_life();
    map_life(0, 0);
    one_transaction(30, true);
    one_transaction(40, false);
    unmap_life();
    fault_clear();
    map_life(0, 0);
    one_transaction(50, true);
    unmap_life();
    test_sound(life.path);
    if (!(life.flags & VISTA_NO_HEAP)) /* the root, and a block of each commit */
        ck_assert_uint_eq(test_live_blocks(life.path), 4);
    return fault_hits() != 0;
}

static const struct {
    const char *name;
    unsigned kind;
    bool silent; /* the library can do without */
} refusals[] = {
    {"mmap", CALL_MMAP, false},
    {"madvise", CALL_MADVISE, false},
    {"posix_fallocate", CALL_FALLOCATE, false},
    {"ftruncate", CALL_TRUNCATE, false},
    {"fsync", CALL_SYNC, false},
    {"open", CALL_OPEN, false},
    {"fcntl", CALL_LOCK, false},
    {"fstat", CALL_STAT, false},
    {"pread", CALL_READ, false},
    {"pthread_setspecific", CALL_THREAD, true},
};

static void refuse_each(unsigned flags, unsigned class)
{
    char what[128];

    OK(vista_init(&(struct vista_options){.force_class = class}));
    life.path = test_path("life");
    life.flags = flags;
    life.what = what;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        for (int for_good = 0; for_good < 2; for_good++) {
            unsigned failures = 0, k = 0;
            bool more;

            do {
                snprintf(what, sizeof what, "flags 0x%x, class %u, %s call %u%s", flags, class,
                         refusals[i].name, k, for_good ? " and all that follow" : "");
                more = live(refusals[i].kind, k, for_good ? 1000000 : 1);
                failures += life.failures;
                ck_assert_uint_lt(k++, 1000);
            } while (more);
            ck_assert_msg(failures != 0 || refusals[i].silent, "%s: never failed anything", what);
        }
    OK(vista_init(NULL));
}

START_TEST(every_system_call)
{
    static const unsigned flags[] = {0, VISTA_NO_HEAP, VISTA_SPARSE, VISTA_SPARSE | VISTA_NO_HEAP};

    for (unsigned class = VISTA_CLASS_KILL; class <= VISTA_CLASS_LINE; class ++)
        refuse_each(flags[_i], class);
}
END_TEST

/* vista_check passes, or says what it was refused; it changes nothing. */
START_TEST(every_system_call_of_a_check)
{
    const char *path = test_path("checked");
    vista_segment *segment = vista_map(path, MIB, VISTA_CREATE, NULL);

    SOME(segment);
    SOME(vista_root(segment, 30000));
    OK(vista_unmap(segment));
    const uint64_t digest = test_digest(path);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        unsigned hits = 1;

        for (unsigned k = 0; hits != 0; k++) {
            int result;

            fault_set(refusals[i].kind, k, 1, 0);
            errno = 0;
            result = vista_check(path, 0, NULL, NULL);
            const int error = errno;
            hits = fault_hits();
            fault_clear();
            ck_assert_msg(result == 0 || (error != EBADMSG && error != 0 && *vista_errormsg() != 0),
                          "%s call %u: errno %d, \"%s\"", refusals[i].name, k, error,
                          vista_errormsg());
        }
    }
    ck_assert_uint_eq(test_digest(path), digest);
    test_sound(path);
}
END_TEST

/* Every record that the heap writes may be the one that needs a chunk of the log, and
 * there is none: the transaction stands as before the call. */
static unsigned no_chunk(vista_segment *segment, unsigned char *root, size_t fill)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);
    void *old = vista_malloc(tx, 40), *block;
    unsigned refused = 0;

    SOME(old);
    memset(old, 'o', 40);
    OK(vista_end_transaction(tx, 0));
    tx = vista_begin_transaction(segment, 0);
    OK(vista_set_range(tx, root, fill));
    root[0]++;
    fault_set(CALL_FALLOCATE, 0, 1000000, 0);
    for (size_t size = 100000; size >= 100; size /= 10) {
        block = vista_malloc(tx, size);
        ck_assert(block != NULL || errno == ENOSPC);
        refused += block == NULL;
        block = vista_realloc(tx, old, size);
        ck_assert(block != NULL || errno == ENOSPC);
        refused += block == NULL;
        if (block != NULL)
            old = block;
        ck_assert_int_eq(((char *)old)[39], 'o');
    }
    if (vista_free(tx, old) != 0)
        ck_assert_int_eq(errno, ENOSPC);
    fault_clear();
    OK(vista_abort_transaction(tx));
    ck_assert_int_eq(root[0], 0);
    return refused;
}

START_TEST(no_chunk_for_the_heap)
{
    for (unsigned class = VISTA_CLASS_KILL; class <= VISTA_CLASS_LINE; class ++) {
        const char *path = test_path("no-chunk");
        vista_segment *segment;
        unsigned rounds = 0, refused = 0;

        OK(vista_init(&(struct vista_options){.force_class = class}));
        for (size_t fill = 15800; fill < 16300; fill += 8, rounds++) {
            segment = vista_map(path, 4 * MIB, VISTA_CREATE, NULL); /* its slots have no chunks */
            SOME(segment);
            refused += no_chunk(segment, vista_root(segment, 20000), fill);
            OK(vista_unmap(segment));
        }
        ck_assert_uint_ge(refused, 10);
        test_sound(path);
        ck_assert_uint_eq(test_live_blocks(path), rounds + 1);
        unlink(path);
    }
    OK(vista_init(NULL));
}
END_TEST

/* More is declared than the whole log area holds. */
START_TEST(log_area_is_full)
{
    const char *path = test_path("full");
    vista_segment *segment = vista_map(path, 64 * KIB, VISTA_CREATE | VISTA_NO_HEAP, NULL);
    unsigned char *base = vista_base(segment);
    vista_tx *tx = vista_begin_transaction(segment, 0);
    unsigned count = 0;

    SOME(tx);
    while (vista_set_range(tx, base + count % 2 * 1000, 200) == 0) {
        base[count % 2 * 1000] = 1;
        ck_assert_uint_lt(count++, 10000000);
    }
    ck_assert_int_eq(errno, ENOSPC);
    ck_assert_msg(test_says("log area"), "%s", vista_errormsg());
    OK(vista_abort_transaction(tx));
    ck_assert(base[0] == 0 && base[1000] == 0);
    tx = vista_begin_transaction(segment, 0);
    OK(vista_set_range(tx, base, 60000));
    OK(vista_end_transaction(tx, 0));
    OK(vista_unmap(segment));
    test_sound(path);
}
END_TEST

/* A sync that fails at the end: the data is in the file, which stays unclean. */
START_TEST(unmapping_cannot_write)
{
    const char *path = test_path("eio");
    struct vista_info info;
    vista_segment *segment = vista_map(path, MIB, VISTA_CREATE, NULL);
    uint64_t *root = vista_root(segment, 8);
    vista_tx *tx = vista_begin_transaction(segment, 0);

    OK(vista_set_range(tx, root, 8));
    *root = 77;
    OK(vista_end_transaction(tx, 0));
    fault_set(CALL_SYNC, 0, 1, EIO);
    FAILS(vista_unmap(segment), EIO, path);
    fault_clear();
    FAILS(vista_unmap(segment), EINVAL, "not mapped");
    NULLS(vista_map(path, 0, VISTA_READ_ONLY, NULL), EUCLEAN, "recovery");
    segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
    OK(vista_info(segment, &info));
    ck_assert_uint_eq(info.rolled_back, 0);
    ck_assert_uint_eq(*(uint64_t *)vista_root(segment, 0), 77);
    OK(vista_unmap(segment));
}
END_TEST

/* ---- The file goes ----------------------------------------------------- */

START_TEST(removed_while_mapped)
{
    const char *path = test_path("removed");
    vista_segment *segment = vista_map(path, MIB, VISTA_CREATE, NULL);
    uint64_t *root = vista_root(segment, 8);
    vista_tx *tx;

    SOME(root);
    OK(vista_flush(segment));
    ck_assert_int_eq(unlink(path), 0);
    FAILS(vista_flush(segment), ENOENT, "removed");
    tx = vista_begin_transaction(segment, 0); /* it goes on: the file lives while it is mapped */
    SOME(tx);
    OK(vista_set_range(tx, root, 8));
    *root = 1;
    OK(vista_end_transaction(tx, 0));
    FAILS(vista_unmap(segment), ENOENT, path);
    FAILS(vista_unmap(segment), EINVAL, "not mapped");

    segment = vista_map(path, MIB, VISTA_CREATE, NULL); /* a new one beside its remains */
    SOME(segment);
    SOME(vista_root(segment, 8));
    const char *other = test_path("other");
    ck_assert_int_eq(rename(path, other), 0); /* a name is a name */
    OK(vista_flush(segment));
    OK(vista_unmap(segment));
    test_sound(other);
}
END_TEST

/* Cut off behind the data that is used: what needs more of the file is told, and the rest
 * goes on.  No store reaches what is gone. */
START_TEST(truncated_while_mapped)
{
    const char *path = test_path("truncated");
    struct vista_info info;
    vista_segment *segment =
        vista_map(path, 8 * MIB, VISTA_CREATE | VISTA_SPARSE | VISTA_NO_HEAP, NULL);
    unsigned char *base = vista_base(segment);
    vista_tx *tx = vista_begin_transaction(segment, 0);

    SOME(tx);
    OK(vista_info(segment, &info));
    OK(vista_set_range(tx, base, 8));
    ck_assert_int_eq(truncate(path, (off_t)(info.data_offset + 4 * MIB)), 0);
    FAILS(vista_flush(segment), EBADMSG, "truncated");
    FAILS(vista_set_range(tx, base + 5 * MIB, 8), EBADMSG, path);
    base[0] = 1;
    OK(vista_end_transaction(tx, 0));
    ck_assert_int_eq(truncate(path, VI_SLOTS_OFFSET + VI_SLOT_SIZE), 0);
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    NULLS(vista_begin_transaction(segment, 0), EBADMSG, "truncated");
    OK(vista_abort_transaction(tx));
    FAILS(vista_unmap(segment), EBADMSG, path);
    NULLS(vista_map(path, 0, 0, NULL), EBADMSG, "truncated");
    FAILS(vista_check(path, 0, NULL, NULL), EBADMSG, "truncated");
}
END_TEST

/* The log cannot grow into what was cut off, which would make the file longer again. */
START_TEST(truncated_log)
{
    const char *path = test_path("truncated-log");
    vista_segment *segment = vista_map(path, MIB, VISTA_CREATE | VISTA_NO_HEAP, NULL);
    vista_tx *tx = vista_begin_transaction(segment, 0);
    unsigned char *base = vista_base(segment);
    struct stat st;

    OK(vista_set_range(tx, base, 100));
    ck_assert_int_eq(truncate(path, VI_CHUNKS_OFFSET), 0);
    FAILS(vista_set_range(tx, base + 4096, 60 * KIB), EBADMSG, path);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_size, VI_CHUNKS_OFFSET);
    FAILS(vista_unmap(segment), EBUSY, path); /* and to abort would store to what is gone */
}
END_TEST

/* ---- Fork, threads, signals -------------------------------------------- */

struct forked {
    vista_segment *segment;
    vista_tx *tx[2];
    unsigned char *root, *block;
};

static void in_the_child(void *argument)
{
    const struct forked *f = argument;
    const char *own = test_path("child");
    struct vista_info info;
    vista_segment *segment;

    for (int i = 0; i < 2; i++) {
        REQUIRE(vista_set_range(f->tx[i], f->root, 8) == -1 && errno == EPERM);
        REQUIRE(vista_malloc(f->tx[i], 8) == NULL && errno == EPERM);
        REQUIRE(vista_free(f->tx[i], f->block) == -1 && errno == EPERM);
        REQUIRE(vista_end_transaction(f->tx[i], 0) == -1 && errno == EPERM && test_says("parent"));
        REQUIRE(vista_abort_transaction(f->tx[i]) == -1 && errno == EPERM);
    }
    REQUIRE(vista_begin_transaction(f->segment, 0) == NULL && errno == EPERM);
    REQUIRE(vista_root(f->segment, 0) == NULL && errno == EPERM);
    REQUIRE(vista_info(f->segment, &info) == -1 && errno == EPERM);
    REQUIRE(vista_flush(f->segment) == -1 && errno == EPERM);
    REQUIRE(vista_unmap(f->segment) == -1 && errno == EPERM);
    segment = vista_map(own, MIB, VISTA_CREATE, NULL); /* it has the library to itself */
    REQUIRE(segment != NULL && vista_root(segment, 50000) != NULL && vista_unmap(segment) == 0);
}

START_TEST(fork_in_a_transaction)
{
    for (unsigned class = VISTA_CLASS_KILL; class <= VISTA_CLASS_LINE; class ++) {
        const char *path = test_path("fork");
        struct forked f = {0};

        OK(vista_init(&(struct vista_options){.force_class = class}));
        f.segment = vista_map(path, MIB, VISTA_CREATE, NULL);
        SOME(f.segment);
        f.root = vista_root(f.segment, 40000);
        for (int i = 0; i < 2; i++) {
            f.tx[i] = vista_begin_transaction(f.segment, 0);
            OK(vista_set_range(f.tx[i], f.root + 20000 * i, 19000)); /* chunks, too */
            memset(f.root + 20000 * i, 'a' + i, 19000);
            f.block = vista_malloc(f.tx[i], 500);
            SOME(f.block);
        }
        ck_assert_int_eq(test_in_child(in_the_child, &f), 0);
        OK(vista_set_range(f.tx[0], f.root + 19000, 8));
        f.root[19000] = 'z';
        OK(vista_end_transaction(f.tx[0], 0));
        ck_assert_int_eq(test_in_child(in_the_child, &f), 0);
        OK(vista_abort_transaction(f.tx[1]));
        for (int i = 0; i < 40000; i++)
            ck_assert_int_eq(f.root[i], i < 19000 ? 'a' : i == 19000 ? 'z' : 0);
        OK(vista_unmap(f.segment));
        test_sound(path);
        ck_assert_uint_eq(test_live_blocks(path), 2);
        unlink(path);
    }
    OK(vista_init(NULL));
}
END_TEST

static void *begin_and_exit(void *argument)
{
    struct forked *f = argument;

    f->tx[0] = vista_begin_transaction(f->segment, 0);
    REQUIRE(f->tx[0] != NULL && vista_set_range(f->tx[0], f->root, 8) == 0);
    f->root[0] = 1;
    f->block = vista_malloc(f->tx[0], 100);
    REQUIRE(f->block != NULL);
    return NULL;
}

/* Its transaction stays open: another thread may end it, nobody can unmap before. */
START_TEST(thread_exits_in_a_transaction)
{
    const char *path = test_path("exit");
    struct forked f = {.segment = vista_map(path, MIB, VISTA_CREATE, NULL)};
    struct vista_info info;
    pthread_t thread;

    f.root = vista_root(f.segment, 64);
    for (int round = 0; round < 100; round++) {
        f.root[0] = 0;
        ck_assert_int_eq(pthread_create(&thread, NULL, begin_and_exit, &f), 0);
        pthread_join(thread, NULL);
        OK(vista_info(f.segment, &info));
        ck_assert_uint_eq(info.open_transactions, 1);
        FAILS(vista_unmap(f.segment), EBUSY, "transactions are open: 1");
        if (round % 2 == 0)
            OK(vista_abort_transaction(f.tx[0]));
        else
            OK(vista_end_transaction(f.tx[0], 0));
        ck_assert_int_eq(f.root[0], round % 2);
    }
    OK(vista_info(f.segment, &info));
    ck_assert_uint_le(info.log_bytes, 4 * VI_SLOT_SIZE); /* slots are used again */
    OK(vista_unmap(f.segment));
    test_sound(path);
    ck_assert_uint_eq(test_live_blocks(path), 51);
}
END_TEST

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
    (void)number;
    signals = signals + 1;
}

static void storm(unsigned flags, unsigned class)
{
    const struct sigaction action = {.sa_handler = count_signal, .sa_flags = (int)flags};
    const struct itimerval often = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};

    OK(vista_init(&(struct vista_options){.force_class = class}));
    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
    life.path = test_disk_path("storm");
    life.what = "a storm of signals";
    setitimer(ITIMER_REAL, &often, NULL);
    for (unsigned i = 0; i < test_times(20); i++) {
        life.flags = i % 2 ? VISTA_NO_HEAP : 0;
        live(0, 0, 0);
        ck_assert_uint_eq(life.failures, 0);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    ck_assert_int_gt(signals, 0);
    OK(vista_init(NULL));
}

/* Every system call is interrupted, also by handlers that let it return EINTR; what
 * is between two instructions of a commit is seen by a handler and no one else. */
START_TEST(signals_all_the_time)
{
    storm(_i % 2 ? SA_RESTART : 0, _i < 2 ? VISTA_CLASS_KILL : VISTA_CLASS_LINE);
}
END_TEST

/* ---- Address space ----------------------------------------------------- */

static uint64_t address_space_used(void)
{
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");

    REQUIRE(statm != NULL && fscanf(statm, "%lu", &pages) == 1);
    fclose(statm);
    return pages * 4096;
}

/* With so much more than is used now: works, or says what there is no room for. */
static void live_within(void *argument)
{
    const uint64_t used = address_space_used(), more = *(const uint64_t *)argument;
    const struct rlimit limit = {used + more, RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};
    const char *path = test_path("limited");
    vista_segment *segment;
    vista_tx *tx;
    void *root;

    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
    segment = vista_map(path, 4 * MIB, VISTA_CREATE, NULL);
    if (segment == NULL) {
        REQUIRE(errno == ENOMEM && *vista_errormsg() != '\0');
        REQUIRE(access(path, F_OK) != 0);
        REQUIRE(setrlimit(RLIMIT_AS, &none) == 0);
        segment = vista_map(path, 4 * MIB, VISTA_CREATE, NULL);
        REQUIRE(segment != NULL);
    }
    root = vista_root(segment, 100000);
    tx = vista_begin_transaction(segment, 0);
    if (root == NULL || tx == NULL)
        REQUIRE(errno == ENOMEM && *vista_errormsg() != '\0');
    REQUIRE(setrlimit(RLIMIT_AS, &none) == 0);
    root = root != NULL || tx != NULL ? vista_root(segment, 100000) : root;
    if (root != NULL && tx != NULL) {
        REQUIRE(vista_set_range(tx, root, 100000) == 0);
        memset(root, 1, 100000);
        REQUIRE(vista_end_transaction(tx, 0) == 0);
    }
    REQUIRE(vista_unmap(segment) == 0 && unlink(path) == 0);
}

START_TEST(little_address_space)
{
    if (test_is_sanitized() || test_is_valgrind()) {
        test_skip("a limit on address space", "the tool needs more than any limit");
        return;
    }
    for (uint64_t more = 0; more < 512 * MIB; more = more == 0 ? 64 * KIB : more * 5 / 4)
        ck_assert_msg(test_in_child(live_within, &more) == 0, "with %llu bytes more",
                      (unsigned long long)more);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("faults");
    TCase *tests = test_case(suite, "system calls", 60);

    tcase_add_loop_test(tests, every_system_call, 0, 4);
    tcase_add_test(tests, every_system_call_of_a_check);
    tcase_add_test(tests, no_chunk_for_the_heap);
    tcase_add_test(tests, log_area_is_full);
    tcase_add_test(tests, unmapping_cannot_write);
    tests = test_case(suite, "file", 20);
    tcase_add_test(tests, removed_while_mapped);
    tcase_add_test(tests, truncated_while_mapped);
    tcase_add_test(tests, truncated_log);
    tests = test_case(suite, "process", 60);
    tcase_add_test(tests, fork_in_a_transaction);
    tcase_add_test(tests, thread_exits_in_a_transaction);
    tcase_add_loop_test(tests, signals_all_the_time, 0, 4);
    tcase_add_test(tests, little_address_space);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
