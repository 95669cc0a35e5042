/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A lock service over a faulty network, whose server and clients are opened anew in the middle of
 * what they do: the history that its clients see is one that a single lock could have had
 * (linearizability: Herlihy and Wing, 1990), found by the search of Wing and Gong (1993).
 *
 * Clients try to take the lock, and give it back.  Each operation has the times between which it
 * was under way; the search looks for an order that fits those times and in which each answer
 * is what the lock would have said.
 */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "grams_fixture.h"

#define CLIENTS 4
#define EACH 14
#define MOST (CLIENTS * EACH)

enum what { TRY, RELEASE };

struct operation {
    int client;
    enum what what;
    bool yes; /* TRY: it was had */
    uint64_t begun, ended;
};

/* ---- The search -------------------------------------------------------------------- */

#define VISITED (1u << 16)

struct search {
    const struct operation *of;
    int count;
    uint64_t visited[VISITED]; /* hashes of what was done and who has the lock */
};

/* Was it tried from here before? */
static bool enter(struct search *search, uint64_t done, int owner)
{
    uint64_t hash = (done * 0x9e3779b97f4a7c15u ^ (uint64_t)(owner + 2) * 0xbf58476d1ce4e5b9u) | 1;

    for (uint64_t at = hash >> 40;; at++) {
        uint64_t *slot = &search->visited[at % VISITED];

        if (*slot == hash)
            return false;
        if (*slot == 0) {
            *slot = hash;
            return true;
        }
    }
}

/* Who has the lock after the operation; -2: it cannot have been answered so. */
static int apply(const struct operation *operation, int owner)
{
    if (operation->what == RELEASE)
        return owner == operation->client ? -1 : -2;
    if (operation->yes)
        return owner == -1 ? operation->client : -2;
    return owner != -1 ? owner : -2;
}

/* NOLINTNEXTLINE(misc-no-recursion) */
static bool is_linear(struct search *search, uint64_t done, int owner)
{
    uint64_t first_end = UINT64_MAX;

    if (done == (search->count == 64 ? UINT64_MAX : ((uint64_t)1 << search->count) - 1))
        return true;
    if (!enter(search, done, owner))
        return false;
    for (int i = 0; i < search->count; i++)
        if (!(done >> i & 1) && search->of[i].ended < first_end)
            first_end = search->of[i].ended;
    for (int i = 0; i < search->count; i++) {
        int after;

        if (done >> i & 1 || search->of[i].begun > first_end)
            continue;
        after = apply(&search->of[i], owner);
        if (after != -2 && is_linear(search, done | (uint64_t)1 << i, after))
            return true;
    }
    return false;
}

static bool check(const struct operation *of, int count)
{
    struct search *search = calloc(1, sizeof *search);
    bool result;

    search->of = of;
    search->count = count;
    result = is_linear(search, 0, -1);
    free(search);
    return result;
}

START_TEST(test_search)
{
    const struct operation one_after_another[] = {{0, TRY, true, 0, 1},
                                                  {1, TRY, false, 2, 3},
                                                  {0, RELEASE, true, 4, 5},
                                                  {1, TRY, true, 6, 7}};
    const struct operation at_once[] = {
        {0, TRY, true, 0, 9}, {1, TRY, true, 0, 20}, {0, RELEASE, true, 10, 15}};
    const struct operation both[] = {{0, TRY, true, 0, 1}, {1, TRY, true, 2, 3}};
    const struct operation none[] = {{0, TRY, false, 0, 1}, {1, TRY, true, 2, 3}};

    ck_assert(check(one_after_another, 4));
    ck_assert(!check(both, 2));
    ck_assert(!check(none, 2));
    ck_assert(!check(at_once, 2));
    ck_assert(check(at_once, 3));
}
END_TEST

/* ---- The service ---------------------------------------------------------------------- */

static struct gram_end server, clients[CLIENTS];
static struct operation history[MOST];
static int made;
static bool stop;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* The lock is one word of the segment: the session that has it. */
static void *serve(void *arg)
{
    struct test_random random = test_random_new(100);

    (void)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        uint64_t *owner = &server.root->data[0], what, answer = 1;
        vista_tx *tx = vista_begin_transaction(server.segment, 0);
        vista_request request;

        if (vista_receive_request(tx, server.endpoint, &what, sizeof what, &request, 2) < 0) {
            OK(vista_abort_transaction(tx));
            continue;
        }
        OK(vista_set_range(tx, owner, sizeof *owner));
        if (what == RELEASE)
            *owner = 0;
        else if (*owner == 0)
            *owner = request.session;
        else
            answer = 0;
        OK(vista_send_response(tx, server.endpoint, &request, &answer, sizeof answer));
        OK(test_below(&random, 6) == 0 ? vista_abort_transaction(tx)
                                       : vista_end_transaction(tx, 0));
        if (test_below(&random, 8) == 0)
            gram_reopen(&server);
    }
    return NULL;
}

static uint64_t ask(struct gram_end *end, uint64_t what, struct test_random *random)
{
    vista_request request = gram_send(end, &what, sizeof what, 0);
    uint64_t answer = 2;

    for (;;) {
        vista_tx *tx = vista_begin_transaction(end->segment, 0);
        const ssize_t length = vista_receive_response(
            tx, end->endpoint, &request, &answer, sizeof answer, 1 + (int)test_below(random, 5));

        if (length == sizeof answer && test_below(random, 5) != 0) {
            OK(vista_end_transaction(tx, 0));
            return answer;
        }
        OK(vista_abort_transaction(tx));
        if (test_below(random, 3) == 0)
            gram_reopen(end);
    }
}

static void *use(void *arg)
{
    const int which = (int)(intptr_t)arg;
    struct test_random random = test_random_new(101 + (uint64_t)which);
    bool have = false;

    for (int i = 0; i < EACH; i++) {
        struct operation mine = {.client = which, .what = have ? RELEASE : TRY, .begun = now()};
        const uint64_t answer = ask(&clients[which], mine.what, &random);

        mine.ended = now();
        mine.yes = answer == 1;
        have = mine.what == TRY && mine.yes;
        pthread_mutex_lock(&lock);
        history[made++] = mine;
        pthread_mutex_unlock(&lock);
        test_sleep_us(test_below(&random, 2000));
    }
    return NULL;
}

START_TEST(test_lock_service)
{
    const struct gram_faults faults = {.loss = 60,
                                       .refusal = 60,
                                       .duplication = 150,
                                       .delay = 300,
                                       .delay_us = 4000,
                                       .seed = test_seed()};
    pthread_t server_thread, threads[CLIENTS];

    server = (struct gram_end){.path = gram_path("server"), .address = gram_address("server")};
    gram_open(&server, NULL);
    for (intptr_t i = 0; i < CLIENTS; i++) {
        char name[16];

        snprintf(name, sizeof name, "client%d", (int)i);
        clients[i] = (struct gram_end){.path = gram_path(name), .address = gram_address(name)};
        gram_open(&clients[i], NULL);
        gram_connect(&clients[i], &server);
    }
    gram_network(&faults);
    ck_assert(pthread_create(&server_thread, NULL, serve, NULL) == 0);
    for (intptr_t i = 0; i < CLIENTS; i++)
        ck_assert(pthread_create(&threads[i], NULL, use, (void *)i) == 0);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    __atomic_store_n(&stop, true, __ATOMIC_RELEASE);
    pthread_join(server_thread, NULL);
    ck_assert_int_eq(made, MOST);
    ck_assert(check(history, made));
    for (int i = 0; i < made; i++) /* one who was told otherwise than it was */
        if (history[i].what == TRY && !history[i].yes) {
            struct operation wrong[MOST + 1];

            memcpy(wrong, history, sizeof history);
            for (int j = 0; j < made; j++)
                wrong[j].yes = wrong[j].what == TRY ? true : wrong[j].yes;
            ck_assert(!check(wrong, made));
            break;
        }
    for (int i = 0; i < CLIENTS; i++)
        gram_close(&clients[i]);
    gram_close(&server);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("grams_linear");
    TCase *tcase = test_case(suite, "lock", 8);

    tcase_add_test(tcase, test_search);
    tcase_add_loop_test(tcase, test_lock_service, 0, 2);
    return test_run(suite);
}
