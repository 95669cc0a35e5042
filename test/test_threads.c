/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Threads: many at once on one segment and on several, handles that move between
 * them, threads that end with transactions open, forks beside them.  The point of
 * most of this is to be run under ThreadSanitizer.
 */
#include "support.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define THREADS 6

static vista_segment *segment;
static const char *path;
static unsigned char *base;

static void make(size_t size, unsigned flags)
{
    path = test_path("threads");
    segment = vista_map(path, size, VISTA_CREATE | flags, NULL);
    SOME(segment);
    base = vista_base(segment);
}

static void finish(void)
{
    struct vista_info info;

    OK(vista_info(segment, &info));
    ck_assert_uint_eq(info.open_transactions, 0);
    OK(vista_unmap(segment));
    test_sound(path);
}

static void run_threads(size_t count, void *(*run)(void *))
{
    pthread_t threads[64];

    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run, (void *)i), 0);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}

/* ---- Ranges ------------------------------------------------------------ */

#define AREA (64 * KIB)

/* Each thread on its own area, against its own model. */
static void *change_own_area(void *argument)
{
    const size_t which = (size_t)argument;
    struct test_random random = test_random_new(which);
    unsigned char *area = base + which * AREA, *model = calloc(1, AREA);

    for (unsigned i = 0; i < test_times(3000); i++) {
        vista_tx *tx = vista_begin_transaction(segment, 0);
        const size_t length = test_below(&random, i % 50 == 0 ? AREA : 200);
        const size_t at = test_below(&random, AREA - length + 1);

        REQUIRE(tx != NULL);
        REQUIRE(vista_set_range(tx, area + at, length) == 0);
        memset(area + at, (int)i, length);
        REQUIRE(vista_set_range(tx, area + at / 2, 8) == 0);
        memset(area + at / 2, (int)~i, 8);
        if (i % 3 == 0) {
            REQUIRE(vista_abort_transaction(tx) == 0);
            REQUIRE(memcmp(area + at, model + at, length) == 0);
        } else {
            REQUIRE(vista_end_transaction(tx, 0) == 0);
            memset(model + at, (int)i, length);
            memset(model + at / 2, (int)~i, 8);
        }
    }
    REQUIRE(memcmp(area, model, AREA) == 0);
    free(model);
    return NULL;
}

START_TEST(ranges_of_many_threads)
{
    OK(vista_init(&(struct vista_options){.force_class = (unsigned)_i}));
    make(THREADS * AREA, VISTA_NO_HEAP);
    run_threads(THREADS, change_own_area);
    finish();
}
END_TEST

/* ---- The heap ---------------------------------------------------------- */

#define HELD 100

static void *use_heap(void *argument)
{
    const size_t which = (size_t)argument;
    struct test_random random = test_random_new(100 + which);
    unsigned char *held[HELD] = {NULL};
    size_t size[HELD];

    for (unsigned i = 0; i < test_times(3000); i++) {
        vista_tx *tx = vista_begin_transaction(segment, 0);
        const bool commit = test_below(&random, 4) != 0;

        REQUIRE(tx != NULL);
        for (int j = 0; j < 4; j++) {
            const size_t k = test_below(&random, HELD);

            if (held[k] != NULL) {
                REQUIRE(held[k][0] == (unsigned char)which);
                REQUIRE(held[k][size[k] - 1] == (unsigned char)which);
                REQUIRE(vista_usable_size(segment, held[k]) >= size[k]);
                if (!commit)
                    continue;
                REQUIRE(vista_free(tx, held[k]) == 0);
                held[k] = NULL;
            } else {
                const size_t want = 1 + test_below(&random, i % 20 == 0 ? 20000 : 300);
                unsigned char *block = vista_malloc(tx, want);

                REQUIRE(block != NULL || errno == ENOMEM);
                if (block == NULL)
                    continue;
                memset(block, (int)which, want);
                if (commit) {
                    held[k] = block;
                    size[k] = want;
                }
            }
        }
        REQUIRE((commit ? vista_end_transaction(tx, 0) : vista_abort_transaction(tx)) == 0);
    }
    vista_tx *tx = vista_begin_transaction(segment, 0);
    for (size_t i = 0; i < HELD; i++)
        REQUIRE(vista_free(tx, held[i]) == 0);
    REQUIRE(vista_end_transaction(tx, 0) == 0);
    return NULL;
}

static void heap_of_many(size_t size, unsigned flags)
{
    make(size, flags);
    run_threads(THREADS, use_heap);
    ck_assert_uint_eq(test_live_blocks(path), 0);
    vista_tx *tx = vista_begin_transaction(segment, 0);
    SOME(vista_malloc(tx, vista_size(segment) - 4 * KIB)); /* all is one again */
    OK(vista_abort_transaction(tx));
    finish();
}

START_TEST(heap_of_many_threads)
{
    OK(vista_init(&(struct vista_options){.force_class = (unsigned)_i}));
    heap_of_many(8 * MIB, 0);
}
END_TEST

START_TEST(full_heap_of_many_threads)
{
    heap_of_many(300 * KIB, 0);
}
END_TEST

START_TEST(sparse_heap_of_many_threads)
{
    heap_of_many(64 * MIB, VISTA_SPARSE);
}
END_TEST

/* ---- A queue ----------------------------------------------------------- */

struct item {
    vista_tx *tx;
    void *block;
    size_t number;
    struct item *next;
};

static struct queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct item *head, **tail;
} queues[2];

static void make_queue(struct queue *queue)
{
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->filled, NULL);
    queue->head = NULL;
    queue->tail = &queue->head;
}

static void put(struct queue *queue, struct item *item)
{
    pthread_mutex_lock(&queue->lock);
    item->next = NULL;
    *queue->tail = item;
    queue->tail = &item->next;
    pthread_cond_signal(&queue->filled);
    pthread_mutex_unlock(&queue->lock);
}

static struct item *get(struct queue *queue)
{
    struct item *item;

    pthread_mutex_lock(&queue->lock);
    while (queue->head == NULL)
        pthread_cond_wait(&queue->filled, &queue->lock);
    item = queue->head;
    queue->head = item->next;
    if (queue->head == NULL)
        queue->tail = &queue->head;
    pthread_mutex_unlock(&queue->lock);
    return item;
}

/* ---- Handles that move ------------------------------------------------- */

#define LANES 64
#define LANE 512

/* Begins, declares the first half, allocates. */
static void *beginner(void *argument)
{
    const unsigned count = test_times(4000);
    static struct item items[2][8192];
    struct item *mine = items[(size_t)argument];

    for (unsigned i = 0; i < count && i < 8192; i++) {
        struct item *item = &mine[i];

        /* A lane is free again before it is used anew: at most LANES / 2 are under way. */
        item->number = (size_t)argument * (LANES / 2) + i % (LANES / 2);
        if (i >= LANES / 2) {
            struct item *done = get(&queues[1]);

            item->number = done->number;
        }
        item->tx = vista_begin_transaction(segment, 0);
        REQUIRE(item->tx != NULL);
        REQUIRE(vista_set_range(item->tx, base + item->number * LANE, 256) == 0);
        memset(base + item->number * LANE, 0x11, 256);
        item->block = vista_malloc(item->tx, 80);
        REQUIRE(item->block != NULL);
        memset(item->block, 0x22, 80);
        put(&queues[0], item);
    }
    return NULL;
}

/* Goes on with what another began, and ends it. */
static void *ender(void *argument)
{
    struct item *item;

    while ((item = get(&queues[0]))->tx != NULL) {
        unsigned char *lane = base + item->number * LANE;
        struct iovec ranges[2] = {{lane + 256, 100}, {lane + 400, 100}};

        REQUIRE(((unsigned char *)item->block)[79] == 0x22);
        REQUIRE(vista_set_range(item->tx, lane + 200, 64) == 0);
        REQUIRE(vista_set_ranges(item->tx, ranges, 2) == 0);
        memset(lane + 256, 0x33, 100);
        memset(lane + 400, 0x33, 100);
        REQUIRE(vista_free(item->tx, item->block) == 0);
        if ((size_t)argument % 2 == 0) {
            REQUIRE(vista_end_transaction(item->tx, 0) == 0);
        } else {
            REQUIRE(vista_abort_transaction(item->tx) == 0);
        }
        put(&queues[1], item);
    }
    return NULL;
}

START_TEST(handles_move)
{
    pthread_t beginners[2], enders[2];
    struct item stop[2] = {{.tx = NULL}, {.tx = NULL}};

    OK(vista_init(&(struct vista_options){.force_class = (unsigned)_i}));
    make(4 * MIB, 0); /* each open transaction takes a span for its blocks */
    void *root = vista_root(segment, LANES * LANE);
    SOME(root);
    base = root;
    make_queue(&queues[0]);
    make_queue(&queues[1]);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_create(&enders[i], NULL, ender, (void *)i), 0);
        ck_assert_int_eq(pthread_create(&beginners[i], NULL, beginner, (void *)i), 0);
    }
    for (size_t i = 0; i < 2; i++)
        pthread_join(beginners[i], NULL);
    put(&queues[0], &stop[0]);
    put(&queues[0], &stop[1]);
    for (size_t i = 0; i < 2; i++)
        pthread_join(enders[i], NULL);
    ck_assert_uint_eq(test_live_blocks(path), 1);
    finish();
}
END_TEST

/* No handle is given out while it is open, wherever it was begun and ended. */
static pthread_mutex_t mill_lock = PTHREAD_MUTEX_INITIALIZER;
static vista_tx *mill[64]; /* open, by lane; NULL: none */
static bool lane_busy[64];

static bool note_begun(vista_tx *tx, size_t lane)
{
    bool alone = true;

    pthread_mutex_lock(&mill_lock);
    for (size_t i = 0; i < 64; i++)
        alone &= mill[i] != tx;
    mill[lane] = tx;
    pthread_mutex_unlock(&mill_lock);
    return alone;
}

/* A lane that is free, or one with an open transaction that no one works on. */
static size_t take_lane(struct test_random *random)
{
    size_t lane = test_below(random, 64);

    pthread_mutex_lock(&mill_lock);
    while (lane_busy[lane])
        lane = (lane + 1) % 64;
    lane_busy[lane] = true;
    pthread_mutex_unlock(&mill_lock);
    return lane;
}

static vista_tx *take_open(size_t lane)
{
    pthread_mutex_lock(&mill_lock);
    vista_tx *tx = mill[lane];
    mill[lane] = NULL;
    pthread_mutex_unlock(&mill_lock);
    return tx;
}

static void leave_lane(size_t lane)
{
    pthread_mutex_lock(&mill_lock);
    lane_busy[lane] = false;
    pthread_mutex_unlock(&mill_lock);
}

static void *mill_around(void *argument)
{
    struct test_random random = test_random_new(300 + (size_t)argument);

    for (unsigned i = 0; i < test_times(30000); i++) {
        const size_t lane = take_lane(&random);
        unsigned char *bytes = base + lane * LANE;
        vista_tx *tx = take_open(lane);

        if (tx == NULL) {
            tx = vista_begin_transaction(segment, test_below(&random, 16) ? 0 : VISTA_NO_RESTORE);
            REQUIRE(tx != NULL);
            REQUIRE(vista_set_range(tx, bytes, 200) == 0);
            memset(bytes, (int)i, 200);
            REQUIRE(note_begun(tx, lane));
        } else {
            REQUIRE(vista_set_range(tx, bytes + 100, 300) == 0);
            memset(bytes + 100, (int)i, 300);
            if (test_below(&random, 3) != 0 || vista_abort_transaction(tx) != 0)
                REQUIRE(vista_end_transaction(tx, 0) == 0);
        }
        leave_lane(lane);
    }
    return NULL;
}

START_TEST(handles_are_never_given_out_twice)
{
    OK(vista_init(&(struct vista_options){.force_class = (unsigned)_i}));
    make(MIB, VISTA_NO_HEAP);
    memset(mill, 0, sizeof mill);
    memset(lane_busy, 0, sizeof lane_busy);
    run_threads(THREADS, mill_around);
    for (size_t i = 0; i < 64; i++)
        if (mill[i] != NULL)
            OK(vista_end_transaction(mill[i], 0));
    finish();
}
END_TEST

/* ---- Threads that end -------------------------------------------------- */

static vista_tx *left[1000];

/* Leaves ten open, and one ended in its cache. */
static void *leave_open(void *argument)
{
    const size_t which = (size_t)argument;

    for (size_t i = 10 * which; i < 10 * which + 10; i++) {
        left[i] = vista_begin_transaction(segment, 0);
        REQUIRE(left[i] != NULL);
        REQUIRE(vista_set_range(left[i], base + 64 * i, 64) == 0);
        memset(base + 64 * i, 0x44, 64);
    }
    vista_tx *tx = vista_begin_transaction(segment, 0);
    REQUIRE(tx != NULL && vista_end_transaction(tx, 0) == 0);
    return NULL;
}

START_TEST(threads_end_with_transactions_open)
{
    struct vista_info info;

    make(MIB, VISTA_NO_HEAP);
    for (size_t i = 0; i < 100; i += 20) {
        pthread_t threads[20];

        for (size_t j = 0; j < 20; j++)
            ck_assert_int_eq(pthread_create(&threads[j], NULL, leave_open, (void *)(i + j)), 0);
        for (size_t j = 0; j < 20; j++)
            pthread_join(threads[j], NULL);
    }
    OK(vista_info(segment, &info));
    ck_assert_uint_eq(info.open_transactions, 1000);
    FAILS(vista_unmap(segment), EBUSY, "1000");
    for (size_t i = 0; i < 1000; i++)
        OK(i % 3 == 0 ? vista_abort_transaction(left[i]) : vista_end_transaction(left[i], 0));
    for (size_t i = 0; i < 1000; i++)
        ck_assert_uint_eq(base[64 * i], i % 3 == 0 ? 0 : 0x44);
    finish();
}
END_TEST

static unsigned committed;

static void *once(void *argument)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    (void)argument;
    REQUIRE(tx != NULL);
    REQUIRE(vista_set_range(tx, base, 8) == 0);
    REQUIRE(vista_end_transaction(tx, 0) == 0);
    __atomic_fetch_add(&committed, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* The slots of threads that ended are used again: there are 4096. */
START_TEST(slots_come_back)
{
    pthread_t thread;

    make(MIB, VISTA_NO_HEAP);
    for (unsigned i = 0; i < 5000; i++) {
        ck_assert_int_eq(pthread_create(&thread, NULL, once, NULL), 0);
        pthread_join(thread, NULL);
    }
    struct vi_log_header header;
    struct vista_info info;

    OK(vista_info(segment, &info));
    ck_assert_int_eq(pread(info.fd, &header, sizeof header, VI_LOG_OFFSET), sizeof header);
    ck_assert_uint_le(header.slots_used, 2);
    finish();
}
END_TEST

/* ---- Several segments -------------------------------------------------- */

static char thread_paths[THREADS][300];

/* Maps, uses and unmaps one of its own, beside one that all share. */
static void *map_own(void *argument)
{
    const size_t which = (size_t)argument;

    for (unsigned i = 0; i < test_times(100); i++) {
        vista_segment *mine = vista_map(thread_paths[which], 64 * KIB, VISTA_CREATE, NULL);
        uint64_t *root;
        vista_tx *tx, *shared;

        REQUIRE(mine != NULL);
        root = vista_root(mine, 64);
        REQUIRE(root != NULL && root[0] == 3 * i);
        for (int j = 0; j < 3; j++) { /* the thread's cache serves both in turns */
            tx = vista_begin_transaction(mine, 0);
            shared = vista_begin_transaction(segment, 0);
            REQUIRE(tx != NULL && shared != NULL);
            REQUIRE(vista_set_range(shared, base + 64 * which, 8) == 0);
            base[64 * which]++;
            REQUIRE(vista_set_range(tx, root, 8) == 0);
            root[0]++;
            REQUIRE(vista_end_transaction(j % 2 ? tx : shared, 0) == 0);
            REQUIRE(vista_end_transaction(j % 2 ? shared : tx, 0) == 0);
        }
        REQUIRE(vista_unmap(mine) == 0);
    }
    return NULL;
}

START_TEST(segments_of_many_threads)
{
    make(MIB, VISTA_NO_HEAP);
    for (size_t i = 0; i < THREADS; i++) {
        char name[32];

        snprintf(name, sizeof name, "thread-%zu", i);
        snprintf(thread_paths[i], sizeof thread_paths[0], "%s", test_path(name));
    }
    run_threads(THREADS, map_own);
    for (size_t i = 0; i < THREADS; i++) {
        ck_assert_uint_eq(base[64 * i], (unsigned char)(3 * test_times(100)));
        test_sound(thread_paths[i]);
    }
    finish();
}
END_TEST

static void *use_and_wait(void *argument)
{
    struct queue *queue = argument;

    once(NULL);     /* something of the first segment stays in the thread's cache; */
    get(&queue[0]); /* it is unmapped, another mapped, */
    once(NULL);     /* and that is used */
    return NULL;
}

/* A segment is unmapped while other threads have handles of it in their caches. */
START_TEST(caches_outlive_segments)
{
    pthread_t threads[10];
    struct item go[10];

    make_queue(&queues[0]);
    for (int round = 0; round < 20; round++) {
        make(64 * KIB, VISTA_NO_HEAP);
        for (size_t i = 0; i < 10; i++)
            ck_assert_int_eq(pthread_create(&threads[i], NULL, use_and_wait, queues), 0);
        while (__atomic_load_n(&committed, __ATOMIC_ACQUIRE) < 10 * (2 * (unsigned)round + 1))
            test_sleep_us(100);
        OK(vista_unmap(segment));
        make(64 * KIB, VISTA_NO_HEAP);
        for (size_t i = 0; i < 10; i++)
            put(&queues[0], &go[i]);
        for (size_t i = 0; i < 10; i++)
            pthread_join(threads[i], NULL);
        finish();
    }
}
END_TEST

/* ---- Forks beside threads ---------------------------------------------- */

static bool stop_working;

static void *work(void *argument)
{
    const size_t which = (size_t)argument;

    while (!__atomic_load_n(&stop_working, __ATOMIC_RELAXED)) {
        vista_tx *tx = vista_begin_transaction(segment, 0);
        void *block = vista_malloc(tx, 100);

        REQUIRE(tx != NULL && block != NULL);
        REQUIRE(vista_free(tx, block) == 0);
        block = vista_malloc(tx, 5000);
        REQUIRE(block != NULL);
        if (which % 2) {
            REQUIRE(vista_end_transaction(tx, 0) == 0);
            tx = vista_begin_transaction(segment, 0);
            REQUIRE(vista_free(tx, block) == 0);
        }
        REQUIRE((which % 2 ? vista_end_transaction(tx, 0) : vista_abort_transaction(tx)) == 0);
    }
    return NULL;
}

static void use_own_in_child(void *argument)
{
    vista_segment *own;
    vista_tx *tx;

    alarm(20);
    REQUIRE(vista_begin_transaction(segment, 0) == NULL && errno == EPERM);
    own = vista_map(argument, 64 * KIB, VISTA_CREATE, NULL);
    REQUIRE(own != NULL);
    tx = vista_begin_transaction(own, 0);
    REQUIRE(tx != NULL && vista_malloc(tx, 100) != NULL);
    REQUIRE(vista_end_transaction(tx, 0) == 0);
    REQUIRE(vista_unmap(own) == 0);
}

START_TEST(forks_beside_threads)
{
    const char *own = test_path("child");
    pthread_t threads[4];

    if (test_is_thread_sanitized()) {
        test_skip("forks beside threads", "ThreadSanitizer does not support them");
        return;
    }
    make(4 * MIB, 0);
    stop_working = false;
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, (void *)i), 0);
    for (unsigned i = 0; i < test_times(200); i++)
        ck_assert_int_eq(test_in_child(use_own_in_child, (void *)own), 0);
    __atomic_store_n(&stop_working, true, __ATOMIC_RELAXED);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(test_live_blocks(path), 0);
    finish();
}
END_TEST

/* ---- The root ---------------------------------------------------------- */

static void *ask_for_root(void *argument)
{
    for (size_t i = 1; i < 200; i++)
        REQUIRE(vista_root(segment, 8 + (i * 7 + (size_t)argument) % 100) != NULL ||
                errno == EBUSY);
    return NULL;
}

START_TEST(root_of_many_threads)
{
    make(MIB, 0);
    run_threads(THREADS, ask_for_root);
    ck_assert_uint_eq(test_live_blocks(path), 1);
    finish();
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("threads");
    TCase *tests = test_case(suite, "threads", 60);

    tcase_add_loop_test(tests, ranges_of_many_threads, VISTA_CLASS_KILL, VISTA_CLASS_EADR + 1);
    tcase_add_loop_test(tests, heap_of_many_threads, VISTA_CLASS_KILL, VISTA_CLASS_LINE + 1);
    tcase_add_test(tests, full_heap_of_many_threads);
    tcase_add_test(tests, sparse_heap_of_many_threads);
    tcase_add_loop_test(tests, handles_move, VISTA_CLASS_KILL, VISTA_CLASS_LINE + 1);
    tcase_add_loop_test(tests, handles_are_never_given_out_twice, VISTA_CLASS_KILL,
                        VISTA_CLASS_LINE + 1);
    tcase_add_test(tests, threads_end_with_transactions_open);
    tcase_add_test(tests, slots_come_back);
    tcase_add_test(tests, segments_of_many_threads);
    tcase_add_test(tests, caches_outlive_segments);
    tcase_add_test(tests, forks_beside_threads);
    tcase_add_test(tests, root_of_many_threads);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
