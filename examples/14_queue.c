/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Example 14: a work queue with many workers.  Each task is done by one worker, and its result
 * counted once, whoever dies.
 *
 *     cc -o queue 14_queue.c $(pkg-config --cflags --libs vista)
 *
 *     ./queue server.vista serve unix:/tmp/queue &
 *     ./queue putter.vista put unix:/tmp/queue 100      tasks 0 to 99; returns when all are stored
 *     ./queue w1.vista work unix:/tmp/queue &           as many workers as there are processors
 *     ./queue w2.vista work unix:/tmp/queue &
 *     ./queue putter.vista ask unix:/tmp/queue          how many are done, and the sum of results
 *
 * A worker asks for a task, and the server answers when there is one: the waiting requests are
 * stored.  What a worker has been given it keeps in its segment until the server has its
 * result, so that a killed one does it when it comes back.  The result goes with the next request.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vista_grams.h>

#define TASKS 4096
#define WAITING 256

struct message {
    enum { PUT, WORK, ASK } what;
    long number, result; /* WORK: of the task before, if `has_result` */
    int has_result;
};

struct root {
    void *endpoint;
    uint32_t server;
    /* The server's: */
    long put, given, done, sum;
    long tasks[TASKS];
    unsigned waiting;
    vista_request waits[WAITING];
    /* A worker's, and a putter's: */
    int has_result;
    long number, result;
    long next;
};

static vista_segment *segment;
static struct root *root;
static vista_endpoint *endpoint;

static void must(int good)
{
    if (good)
        return;
    fprintf(stderr, "queue: %s\n", vista_errormsg());
    exit(1);
}

static vista_tx *begin(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    must(tx != NULL && vista_set_range(tx, root, sizeof *root) == 0);
    return tx;
}

static void end(vista_tx *tx)
{
    must(vista_end_transaction(tx, 0) == 0);
}

static void open_all(const char *path, const char *address)
{
    vista_tx *tx;

    segment = vista_map(path, 8 << 20, VISTA_CREATE, NULL);
    must(segment != NULL);
    root = vista_root(segment, sizeof *root);
    must(root != NULL);
    if (root->endpoint == NULL) {
        tx = begin();
        root->endpoint = vista_create_endpoint(tx, NULL);
        must(root->endpoint != NULL);
        end(tx);
    }
    endpoint = vista_open_endpoint(segment, root->endpoint, address, 0, NULL);
    must(endpoint != NULL);
}

static void answer(vista_tx *tx, const vista_request *to, long a, long b)
{
    const long both[2] = {a, b};

    must(vista_send_response(tx, endpoint, to, both, sizeof both) == 0);
}

static void give(vista_tx *tx)
{
    while (root->waiting > 0 && root->given < root->put) {
        answer(tx, &root->waits[--root->waiting], root->tasks[root->given % TASKS], 0);
        root->given++;
    }
}

static void execute(vista_tx *tx, const struct message *message, const vista_request *from)
{
    if (message->what == PUT) {
        const int room = root->put - root->given < TASKS;

        if (room)
            root->tasks[root->put++ % TASKS] = message->number;
        answer(tx, from, room, 0);
    } else if (message->what == WORK) {
        root->done += message->has_result;
        root->sum += message->has_result ? message->result : 0;
        must(root->waiting < WAITING);
        root->waits[root->waiting++] = *from;
    } else {
        answer(tx, from, root->done, root->sum);
    }
    give(tx);
}

static void serve(void)
{
    for (;;) {
        struct vista_ready ready = {.endpoint = endpoint, .wanted = VISTA_REQUEST};
        struct message message;
        vista_request from;
        vista_tx *tx;

        must(vista_select(&ready, 1, -1) == 1);
        tx = begin();
        must(vista_receive_request(tx, endpoint, &message, sizeof message, &from, 0) ==
             sizeof message);
        execute(tx, &message, &from);
        end(tx);
    }
}

static void ask(vista_tx *tx, const struct message *message)
{
    vista_request request;

    must(vista_send_request(tx, endpoint, root->server, message, sizeof *message, 0, &request) ==
         0);
}

/* Takes the answer to the only request there is; `then` is done in the same transaction. */
static void await(long got[2], void (*then)(const long got[2]))
{
    vista_tx *tx = begin();
    vista_request any = {0};

    must(vista_receive_response(tx, endpoint, &any, got, 2 * sizeof *got, -1) > 0);
    then(got);
    end(tx);
}

static void keep_task(const long got[2])
{
    root->number = got[0];
    root->result = got[0] * got[0]; /* the work */
    root->has_result = 1;
}

static int has_unanswered(void)
{
    struct vista_endpoint_info info;

    must(vista_endpoint_info(endpoint, &info) == 0);
    return info.unanswered > 0;
}

static void work(void)
{
    for (;;) {
        long got[2];

        if (!has_unanswered()) {
            const struct message message = {
                .what = WORK, .has_result = root->has_result, .result = root->result};
            vista_tx *tx = begin();

            ask(tx, &message);
            root->has_result = 0;
            end(tx);
        }
        await(got, keep_task);
    }
}

static void count_put(const long got[2])
{
    root->next += got[0];
}

static void put(long tasks)
{
    while (root->next < tasks || has_unanswered()) {
        long got[2];

        if (!has_unanswered()) {
            const struct message message = {.what = PUT, .number = root->next};
            vista_tx *tx = begin();

            ask(tx, &message);
            end(tx);
        }
        await(got, count_put);
    }
}

static void print(const long got[2])
{
    printf("%ld done, the sum of their results is %ld\n", got[0], got[1]);
}

int main(int argc, char **argv)
{
    const struct message question = {.what = ASK};
    uint32_t server;
    vista_tx *tx;
    long got[2];

    if (argc < 4 || (strcmp(argv[2], "put") == 0 && argc < 5)) {
        fprintf(stderr, "usage: queue FILE serve|work|ask ADDRESS\n"
                        "       queue FILE put ADDRESS TASKS\n");
        return 2;
    }
    open_all(argv[1], strcmp(argv[2], "serve") == 0 ? argv[3] : "unix:");
    if (strcmp(argv[2], "serve") == 0)
        serve();
    must(vista_connect(endpoint, argv[3], NULL, &server, -1) == 0);
    tx = begin();
    root->server = server;
    end(tx);
    if (strcmp(argv[2], "work") == 0)
        work();
    if (strcmp(argv[2], "put") == 0) {
        put(strtol(argv[4], NULL, 10));
    } else {
        tx = begin();
        ask(tx, &question);
        end(tx);
        await(got, print);
    }
    must(vista_close_endpoint(endpoint) == 0);
    return vista_unmap(segment) != 0;
}
