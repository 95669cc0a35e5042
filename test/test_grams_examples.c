/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The examples of messages, with their servers and clients killed while they work.
 */
#include <signal.h>
#include <sys/prctl.h>

#include "command.h"
#include "grams_fixture.h"

static char program[512];

struct arguments {
    const char *const *argv;
    const char *out;
};

static void run_program(void *arg)
{
    const struct arguments *with = arg;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (with->out != NULL)
        REQUIRE(freopen(with->out, "a", stdout) != NULL);
    execv(program, (char *const *)(uintptr_t)with->argv);
    REQUIRE(!"executed");
}

static pid_t start(const char *out, const char *const *argv)
{
    struct arguments with = {argv, out};

    return test_fork(run_program, &with);
}

static void name_program(const char *name)
{
    snprintf(program, sizeof program, "%s/examples/example_%s", build_directory(), name);
}

static void kill_it(pid_t child)
{
    kill(child, SIGKILL);
    test_wait(child);
}

/* How many lines of the file are this one. */
static unsigned count_lines(const char *path, const char *line)
{
    FILE *file = fopen(path, "r");
    char text[256];
    unsigned count = 0;

    if (file == NULL)
        return 0;
    while (fgets(text, sizeof text, file) != NULL)
        count += strcmp(text, line) == 0;
    fclose(file);
    return count;
}

#define CLIENTS 3
#define ROUNDS 5

/* Clients that die holding the lock hold it when they come back, and the others wait; the server
 * is killed all the time. */
START_TEST(test_locks)
{
    const char *address = gram_address("locks"), *server = gram_path("server");
    const char *out = gram_path("out");
    const char *const serve[] = {"locks", server, "serve", address, NULL};
    const char *client[CLIENTS];
    pid_t server_pid, pids[CLIENTS];
    struct test_random random = test_random_new(7);

    name_program("12_locks");
    for (int i = 0; i < CLIENTS; i++) {
        char name[16];

        snprintf(name, sizeof name, "client%d", i);
        client[i] = gram_path(name);
    }
    server_pid = start(NULL, serve);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < CLIENTS; i++) {
            const char *const use[] = {"locks",
                                       client[i],
                                       "use",
                                       address,
                                       "printer",
                                       "5",
                                       round < 3 && i == round ? "kill" : NULL,
                                       NULL};

            pids[i] = start(out, use);
        }
        for (int i = 0; i < 6; i++) {
            test_sleep_us(test_below(&random, 20000));
            kill_it(server_pid);
            server_pid = start(NULL, serve);
        }
        if (round < 3) { /* the one dies holding it, so that the others wait */
            ck_assert_int_eq(test_wait(pids[round]), 128 + SIGKILL);
            for (int i = 0; i < CLIENTS; i++)
                if (i != round)
                    kill_it(pids[i]);
        } else {
            for (int i = 0; i < CLIENTS; i++)
                ck_assert_int_eq(test_wait(pids[i]), 0);
        }
    }
    kill_it(server_pid);
    ck_assert_uint_ge(count_lines(out, "printer is mine\n"), CLIENTS * ROUNDS);
    ck_assert_uint_eq(count_lines(out, "refused: it is another's\n"), 0);
}
END_TEST

/* The sum of both banks is what it was. */
START_TEST(test_transfer)
{
    const char *address = gram_address("bank"), *south = gram_path("south");
    const char *north = gram_path("north");
    const char *const serve[] = {"transfer", south, "serve", address, NULL};
    struct test_random random = test_random_new(8);
    long here, away, there, none;
    pid_t pid;

    name_program("13_transfer");
    pid = start(NULL, serve);
    for (int i = 0; i < 25; i++) {
        const char *const send[] = {
            "transfer", north, "send", address, "7", i % 3 == 0 ? "kill" : NULL, NULL};
        const pid_t sender = start("/dev/null", send);

        if (i % 2 == 0) {
            test_sleep_us(test_below(&random, 15000));
            kill_it(pid);
            pid = start(NULL, serve);
        }
        if (i % 5 == 4) {
            test_sleep_us(test_below(&random, 15000));
            kill_it(sender);
        } else {
            test_wait(sender);
        }
    }
    ck_assert_int_eq(run_shell("true"), 0);
    {
        char command[1024];

        snprintf(command, sizeof command, "%s '%s' send '%s' 0", program, north, address);
        ck_assert_int_eq(run_shell(command), 0);
        ck_assert_int_eq(sscanf(output, "%ld here, %ld under way", &here, &away), 2);
        kill_it(pid);
        snprintf(command, sizeof command, "%s '%s' show", program, south);
        ck_assert_int_eq(run_shell(command), 0);
        ck_assert_int_eq(sscanf(output, "%ld here, %ld under way", &there, &none), 2);
    }
    ck_assert_int_eq(away, 0);
    ck_assert_int_lt(here, 1000);
    ck_assert_int_eq(here + there, 2000);
}
END_TEST

#define TASKS 200

/* Every task's result is counted once. */
START_TEST(test_queue)
{
    const char *address = gram_address("queue"), *server = gram_path("server");
    const char *putter = gram_path("putter"), *asker = gram_path("asker");
    const char *const serve[] = {"queue", server, "serve", address, NULL};
    const char *const puts[] = {"queue", putter, "put", address, "200", NULL};
    const char *workers[CLIENTS];
    struct test_random random = test_random_new(9);
    pid_t server_pid, pids[CLIENTS], put_pid;
    char command[1024];
    long done = 0, sum = 0, wanted = 0;

    name_program("14_queue");
    server_pid = start(NULL, serve);
    put_pid = start(NULL, puts);
    for (int i = 0; i < CLIENTS; i++) {
        char name[16];
        const char *work[] = {"queue", NULL, "work", address, NULL};

        snprintf(name, sizeof name, "worker%d", i);
        work[1] = workers[i] = gram_path(name);
        pids[i] = start(NULL, work);
    }
    for (int i = 0; i < 30; i++) {
        const int which = (int)test_below(&random, CLIENTS + 2);

        test_sleep_us(test_below(&random, 20000));
        if (which < CLIENTS) {
            const char *const work[] = {"queue", workers[which], "work", address, NULL};

            kill_it(pids[which]);
            pids[which] = start(NULL, work);
        } else if (which == CLIENTS) {
            kill_it(server_pid);
            server_pid = start(NULL, serve);
        } else {
            kill_it(put_pid);
            put_pid = start(NULL, puts);
        }
    }
    ck_assert_int_eq(test_wait(put_pid), 0);
    snprintf(command, sizeof command, "%s '%s' ask '%s'", program, asker, address);
    while (done < TASKS) {
        ck_assert_int_eq(run_shell(command), 0);
        ck_assert_int_eq(sscanf(output, "%ld done, the sum of their results is %ld", &done, &sum),
                         2);
        test_sleep_us(20000);
    }
    for (long i = 0; i < TASKS; i++)
        wanted += i * i;
    ck_assert_int_eq(done, TASKS);
    ck_assert_int_eq(sum, wanted);
    for (int i = 0; i < CLIENTS; i++)
        kill_it(pids[i]);
    kill_it(server_pid);
}
END_TEST

static void show(const char *path, long *left, long *held, long *sold, long *booked)
{
    char command[1024];
    long under_way;

    snprintf(command, sizeof command, "%s '%s' show", program, path);
    ck_assert_int_eq(run_shell(command), 0);
    ck_assert_int_eq(sscanf(output, "%ld left, %ld held, %ld sold; %ld under way, %ld booked", left,
                            held, sold, &under_way, booked),
                     5);
    ck_assert_int_eq(under_way, 0);
}

/* What one house has sold the other has, too, and that is what the traveller has booked. */
START_TEST(test_booking)
{
    const char *address[2] = {gram_address("hotel"), gram_address("train")};
    const char *path[2] = {gram_path("hotel"), gram_path("train")}, *me = gram_path("me");
    const char *const serve[2][6] = {{"booking", path[0], "serve", address[0], "12", NULL},
                                     {"booking", path[1], "serve", address[1], "9", NULL}};
    struct test_random random = test_random_new(10);
    long left, held, sold[2], booked, none;
    pid_t pids[2];

    name_program("16_booking");
    for (int i = 0; i < 2; i++)
        pids[i] = start(NULL, serve[i]);
    for (int i = 0; i < 24; i++) {
        const char *const book[] = {
            "booking", me, "book", address[0], address[1], i % 3 == 0 ? "kill" : NULL, NULL};
        const pid_t traveller = start("/dev/null", book);
        const int which = (int)test_below(&random, 2);

        test_sleep_us(test_below(&random, 10000));
        kill_it(pids[which]);
        pids[which] = start(NULL, serve[which]);
        if (i % 5 == 4)
            kill_it(traveller);
        else
            test_wait(traveller);
    }
    {
        const char *const last[] = {"booking", me, "book", address[0], address[1], NULL};

        ck_assert_int_eq(test_wait(start("/dev/null", last)), 0);
    }
    for (int i = 0; i < 2; i++) {
        kill_it(pids[i]);
        show(path[i], &left, &held, &sold[i], &none);
        ck_assert_int_eq(held, 0);
        ck_assert_int_eq(left + sold[i], i == 0 ? 12 : 9);
    }
    show(me, &left, &held, &none, &booked);
    ck_assert_int_eq(sold[0], sold[1]);
    ck_assert_int_eq(sold[0], booked);
    ck_assert_int_eq(booked, 9);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("grams_examples");
    TCase *tcase = test_case(suite, "killed", 8);

    tcase_add_test(tcase, test_locks);
    tcase_add_test(tcase, test_transfer);
    tcase_add_test(tcase, test_queue);
    tcase_add_test(tcase, test_booking);
    return test_run(suite);
}
