/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Killed at any moment, a segment holds what was committed.
 *
 * A child runs random transactions on several threads, each with ranges and a list
 * of heap blocks of its own, and is sent SIGKILL at a random moment.  Beside the
 * segment, in memory that both processes share, each thread keeps two models of
 * what is its own: how it was after the last commit that was acknowledged, and how
 * it is to be after the one that is under way.  The parent then runs vista_check,
 * maps the segment, compares it byte by byte with the one or the other and counts
 * the heap's blocks, so that nothing is lost, torn or leaked; and the next child
 * goes on with the same file.  Now and then a child that only recovers is killed in
 * between.  Creation is killed, too.
 */
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

#define THREADS 3
#define BYTES 6000
#define NODES 64

/* ---- In the segment ---------------------------------------------------- */

struct node {
    struct node *next;
    uint64_t size; /* of the body */
    unsigned char body[];
};

struct area {
    uint64_t sequence;
    struct node *head;
    unsigned char bytes[BYTES];
};

struct root {
    struct area areas[THREADS];
};

/* ---- Beside it --------------------------------------------------------- */

/* A node's body: `split` bytes of b, then a. */
struct node_model {
    uint32_t size, split;
    unsigned char a, b;
};

struct model {
    uint64_t sequence;
    uint32_t nodes;
    struct node_model node[NODES];
    unsigned char bytes[BYTES];
};

struct thread_model {
    uint64_t acknowledged; /* the sequence after the last commit that returned */
    uint64_t intended;     /* after the one under way, or the same */
    struct model model[2]; /* by sequence % 2 */
};

struct shared {
    const char *path;
    unsigned class;
    uint64_t stream;
    size_t largest; /* body */
    uint64_t transactions, aborted, full;
    struct thread_model thread[THREADS];
};

static struct shared *shared;
static vista_segment *segment;
static struct root *root;

/* ---- The child --------------------------------------------------------- */

static struct node **link_at(struct area *area, size_t index)
{
    struct node **link = &area->head;

    while (index-- > 0)
        link = &(*link)->next;
    return link;
}

static size_t random_body(struct test_random *random)
{
    return 1 + test_below(random, test_below(random, 6) == 0 ? shared->largest : 200);
}

static void write_bytes(vista_tx *tx, struct area *area, struct model *model,
                        struct test_random *random)
{
    const size_t most = test_below(random, 8) == 0 ? BYTES : 120;
    const size_t length = 1 + test_below(random, most), at = test_below(random, BYTES - length + 1);

    REQUIRE(vista_set_range(tx, area->bytes + at, length) == 0);
    for (size_t i = at; i < at + length; i++)
        area->bytes[i] = model->bytes[i] = (unsigned char)test_next(random);
}

static void insert(vista_tx *tx, struct area *area, struct model *model, struct test_random *random)
{
    const size_t index = test_below(random, model->nodes + 1), size = random_body(random);
    struct node **link = link_at(area, index), *node;

    if (model->nodes == NODES)
        return;
    node = vista_malloc(tx, sizeof *node + size);
    if (node == NULL) {
        REQUIRE(errno == ENOMEM);
        shared->full++;
        return;
    }
    memmove(model->node + index + 1, model->node + index,
            (model->nodes - index) * sizeof model->node[0]);
    model->nodes++;
    model->node[index] =
        (struct node_model){.size = (uint32_t)size, .a = (unsigned char)test_next(random)};
    node->next = *link;
    node->size = size;
    memset(node->body, model->node[index].a, size);
    REQUIRE(vista_set_range(tx, link, sizeof *link) == 0);
    *link = node;
}

static void take_out(vista_tx *tx, struct area *area, struct model *model, size_t index)
{
    struct node **link = link_at(area, index), *node = *link;

    REQUIRE(vista_set_range(tx, link, sizeof *link) == 0);
    *link = node->next;
    REQUIRE(vista_free(tx, node) == 0);
    model->nodes--;
    memmove(model->node + index, model->node + index + 1,
            (model->nodes - index) * sizeof model->node[0]);
}

static void resize(vista_tx *tx, struct area *area, struct model *model, size_t index,
                   struct test_random *random)
{
    struct node **link = link_at(area, index), *old = *link;
    const size_t size = random_body(random);
    struct node *node = vista_realloc(tx, old, sizeof *node + size);

    if (node == NULL) {
        REQUIRE(errno == ENOMEM);
        shared->full++;
        return;
    }
    if (node == old)
        REQUIRE(vista_set_range(tx, node, sizeof *node + size) == 0);
    REQUIRE(vista_set_range(tx, link, sizeof *link) == 0);
    *link = node;
    node->size = size;
    if (size > model->node[index].size)
        memset(node->body + model->node[index].size, model->node[index].a,
               size - model->node[index].size);
    model->node[index].size = (uint32_t)size;
    if (model->node[index].split > size)
        model->node[index].split = (uint32_t)size;
}

static void overwrite(vista_tx *tx, struct area *area, struct model *model, size_t index,
                      struct test_random *random)
{
    struct node *node = *link_at(area, index);
    struct node_model *of = &model->node[index];
    const uint32_t split = (uint32_t)test_below(random, of->size + 1);

    /* What lies between the old split and the new one changes, too. */
    REQUIRE(vista_set_range(tx, node->body, split > of->split ? split : of->split) == 0);
    of->b = (unsigned char)test_next(random);
    memset(node->body, of->b, split);
    if (of->split > split)
        memset(node->body + split, of->a, of->split - split);
    of->split = split;
}

static void one_step(vista_tx *tx, struct area *area, struct model *model,
                     struct test_random *random)
{
    const uint64_t choice = test_below(random, 10);

    if (choice < 3)
        write_bytes(tx, area, model, random);
    else if (choice < 6 || model->nodes == 0)
        insert(tx, area, model, random);
    else if (choice < 8)
        take_out(tx, area, model, test_below(random, model->nodes));
    else if (choice < 9)
        resize(tx, area, model, test_below(random, model->nodes), random);
    else
        overwrite(tx, area, model, test_below(random, model->nodes), random);
}

static void one_transaction(struct area *area, struct thread_model *mine,
                            struct test_random *random)
{
    const uint64_t sequence = mine->acknowledged + 1;
    struct model *next = &mine->model[sequence % 2];
    vista_tx *tx = vista_begin_transaction(segment, 0);

    REQUIRE(tx != NULL);
    *next = mine->model[mine->acknowledged % 2];
    next->sequence = sequence;
    REQUIRE(vista_set_range(tx, &area->sequence, sizeof area->sequence) == 0);
    area->sequence = sequence;
    for (uint64_t i = test_below(random, 7); i > 0; i--)
        one_step(tx, area, next, random);
    if (test_below(random, 8) == 0) {
        REQUIRE(vista_abort_transaction(tx) == 0);
        __atomic_fetch_add(&shared->aborted, 1, __ATOMIC_RELAXED);
        return;
    }
    __atomic_store_n(&mine->intended, sequence, __ATOMIC_SEQ_CST);
    REQUIRE(vista_end_transaction(tx, 0) == 0);
    __atomic_store_n(&mine->acknowledged, sequence, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&shared->transactions, 1, __ATOMIC_RELAXED);
}

static void *run_thread(void *argument)
{
    const size_t which = (size_t)argument;
    struct test_random random = test_random_new(shared->stream * THREADS + which);

    for (;;)
        one_transaction(&root->areas[which], &shared->thread[which], &random);
    return NULL;
}

/* Until it is killed. */
static void run_child(void *argument)
{
    pthread_t thread;

    (void)argument;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    segment = vista_map(shared->path, 0, 0, NULL);
    REQUIRE(segment != NULL);
    root = vista_root(segment, 0);
    REQUIRE(root != NULL);
    for (size_t i = 1; i < THREADS; i++)
        REQUIRE(pthread_create(&thread, NULL, run_thread, (void *)i) == 0);
    run_thread(NULL);
}

static void only_recover(void *argument)
{
    (void)argument;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    segment = vista_map(shared->path, 0, 0, NULL);
    REQUIRE(segment != NULL);
    for (;;)
        pause();
}

/* ---- The parent -------------------------------------------------------- */

/* Runs a child and kills it after a while. */
static void kill_after(void (*run)(void *), uint64_t microseconds)
{
    pid_t child = test_fork(run, NULL);
    int status;

    test_sleep_us(microseconds);
    kill(child, SIGKILL);
    status = test_wait(child);
    ck_assert_msg(status == 128 + SIGKILL, "the child ended by itself with status %d", status);
}

static uint64_t expect_list(const struct area *area, const struct model *model, size_t which)
{
    const struct node *node = area->head;

    for (size_t i = 0; i < model->nodes; i++, node = node->next) {
        const struct node_model *of = &model->node[i];

        ck_assert_msg(node != NULL, "thread %zu: the list ends before node %zu of %u", which, i,
                      model->nodes);
        ck_assert_uint_ge(vista_usable_size(segment, node), sizeof *node + of->size);
        ck_assert_uint_eq(node->size, of->size);
        for (size_t j = 0; j < of->size; j++)
            if (node->body[j] != (j < of->split ? of->b : of->a))
                ck_abort_msg("thread %zu, node %zu of %u: byte %zu of %u is %u", which, i,
                             model->nodes, j, of->size, node->body[j]);
    }
    ck_assert_msg(node == NULL, "thread %zu: the list goes on after %u nodes", which, model->nodes);
    return model->nodes;
}

/* Compares, and makes what was found the state that the next child begins with. */
static void expect_models(void)
{
    uint64_t blocks = 1;

    root = vista_root(segment, 0);
    SOME(root);
    for (size_t i = 0; i < THREADS; i++) {
        struct thread_model *mine = &shared->thread[i];
        const struct area *area = &root->areas[i];
        const struct model *model = &mine->model[area->sequence % 2];

        ck_assert_msg(area->sequence == mine->acknowledged || area->sequence == mine->intended,
                      "thread %zu: transaction %llu is there; acknowledged %llu, begun %llu", i,
                      (unsigned long long)area->sequence, (unsigned long long)mine->acknowledged,
                      (unsigned long long)mine->intended);
        ck_assert_uint_eq(model->sequence, area->sequence);
        for (size_t j = 0; j < BYTES; j++)
            if (area->bytes[j] != model->bytes[j])
                ck_abort_msg("thread %zu: byte %zu is %u, should be %u", i, j, area->bytes[j],
                             model->bytes[j]);
        blocks += expect_list(area, model, i);
        mine->acknowledged = mine->intended = area->sequence;
    }
    ck_assert_uint_eq(test_live_blocks(shared->path), blocks);
}

static void kill_and_compare(unsigned class, size_t size, size_t largest, unsigned kills)
{
    struct test_random random = test_random_new(777 + class + size);
    uint64_t rolled_back = 0, finished = 0, found_open = 0, before, longer = 1;
    struct vista_info info;

    shared = test_share(sizeof *shared);
    shared->path = test_path("killed");
    shared->largest = largest;
    OK(vista_init(&(struct vista_options){.force_class = class}));
    segment = vista_map(shared->path, size, VISTA_CREATE, NULL);
    SOME(segment);
    SOME(vista_root(segment, sizeof *root));
    for (unsigned i = 0; i < kills || (rolled_back == 0 && class != VISTA_CLASS_DISK) ||
                         shared->transactions <= kills;
         i++) {
        OK(vista_unmap(segment));
        shared->stream = i;
        before = shared->transactions;
        kill_after(run_child, test_below(&random, (i % 4 == 0 ? 2000 : 12000) * longer));
        /* A machine may be too busy for a child to get anywhere in that time. */
        longer = i % 4 == 0 ? longer : shared->transactions != before ? 1 : longer + 1;
        if (i % 3 == 0)
            for (uint64_t times = test_below(&random, 4); times > 0; times--)
                kill_after(only_recover, test_below(&random, 1200));
        test_sound(shared->path);
        segment = vista_map(shared->path, 0, 0, NULL);
        SOME(segment);
        OK(vista_info(segment, &info));
        rolled_back += info.rolled_back;
        finished += info.finished;
        found_open += info.rolled_back + info.finished != 0;
        expect_models();
    }
    OK(vista_unmap(segment));
    test_sound(shared->path);
    printf("%u kills or more, %llu found transactions open, %llu rolled back, %llu finished; %llu "
           "committed, %llu aborted, the heap was full %llu times\n",
           kills, (unsigned long long)found_open, (unsigned long long)rolled_back,
           (unsigned long long)finished, (unsigned long long)shared->transactions,
           (unsigned long long)shared->aborted, (unsigned long long)shared->full);
}

START_TEST(killed_in_the_kill_class)
{
    kill_and_compare(VISTA_CLASS_KILL, 4 * MIB, 30000, test_times(100));
}
END_TEST

START_TEST(killed_in_the_line_class)
{
    kill_and_compare(VISTA_CLASS_LINE, 4 * MIB, 30000, test_times(100));
}
END_TEST

START_TEST(killed_in_the_disk_class)
{
    kill_and_compare(VISTA_CLASS_DISK, 4 * MIB, 30000, test_times(30));
}
END_TEST

START_TEST(killed_with_the_heap_full)
{
    kill_and_compare(VISTA_CLASS_KILL, 200 * KIB, 20000, test_times(80));
}
END_TEST

START_TEST(killed_with_the_heap_full_in_the_line_class)
{
    kill_and_compare(VISTA_CLASS_LINE, 200 * KIB, 20000, test_times(40));
}
END_TEST

/* ---- Creation ---------------------------------------------------------- */

static void only_create(void *argument)
{
    vista_segment *made = vista_map(argument, 256 * KIB, VISTA_CREATE, NULL);

    REQUIRE(made != NULL);
    for (;;)
        pause();
}

START_TEST(killed_while_creating)
{
    struct test_random random = test_random_new(9);
    const char *path = test_path("created");

    for (unsigned i = 0; i < test_times(60); i++) {
        pid_t child;

        unlink(path);
        child = test_fork(only_create, (void *)path);
        test_sleep_us(test_below(&random, 1000));
        kill(child, SIGKILL);
        ck_assert_int_eq(test_wait(child), 128 + SIGKILL);
        segment = vista_map(path, 256 * KIB, VISTA_CREATE, NULL);
        SOME(segment);
        SOME(vista_root(segment, 100));
        OK(vista_unmap(segment));
        test_sound(path);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("kill");
    TCase *tests = test_case(suite, "kill", 100);

    tcase_add_test(tests, killed_in_the_kill_class);
    tcase_add_test(tests, killed_in_the_line_class);
    tcase_add_test(tests, killed_in_the_disk_class);
    tcase_add_test(tests, killed_with_the_heap_full);
    tcase_add_test(tests, killed_with_the_heap_full_in_the_line_class);
    tcase_add_test(tests, killed_while_creating);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
