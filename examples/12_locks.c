/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Example 12: a lock service whose server and clients may die at any moment and come back.
 *
 *     cc -o locks 12_locks.c $(pkg-config --cflags --libs vista)
 *
 *     ./locks server.vista serve unix:/tmp/locks &
 *     ./locks ann.vista use unix:/tmp/locks printer 3        holds it three times, in turn with
 *     ./locks bob.vista use unix:/tmp/locks printer 3        others
 *     ./locks ann.vista use unix:/tmp/locks printer 3 kill   dies holding it; the same command
 *                                                            without kill goes on from there
 *
 * The manager of figure 4.4 of Lowell's dissertation.  An acquisition is a request that is answered
 * when the lock is had: until then the server stores the request itself in the lock's queue.
 * A release answers the next one, in its own transaction.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vista_grams.h>

#define LOCKS 32
#define QUEUE 64

struct message {
    enum { ACQUIRE, RELEASE } what;
    char name[28];
};

struct lock {
    char name[28];
    uint64_t owner; /* a session; 0: free */
    unsigned waiting;
    vista_request queue[QUEUE];
};

enum phase { IDLE, ACQUIRING, HOLDING, RELEASING };

struct root {
    void *endpoint;
    struct lock locks[LOCKS];
    /* A client's: */
    uint32_t server;
    enum phase phase;
    vista_request request; /* ACQUIRING, RELEASING: the one that is unanswered */
    unsigned done;
};

static vista_segment *segment;
static struct root *root;
static vista_endpoint *endpoint;

static void must(int good)
{
    if (good)
        return;
    fprintf(stderr, "locks: %s\n", vista_errormsg());
    exit(1);
}

static vista_tx *begin(void *changed, size_t length)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    must(tx != NULL && vista_set_range(tx, changed, length) == 0);
    return tx;
}

static void open_all(const char *path, const char *address)
{
    segment = vista_map(path, 4 << 20, VISTA_CREATE, NULL);
    must(segment != NULL);
    root = vista_root(segment, sizeof *root);
    must(root != NULL);
    if (root->endpoint == NULL) {
        vista_tx *tx = begin(&root->endpoint, sizeof root->endpoint);

        root->endpoint = vista_create_endpoint(tx, NULL);
        must(root->endpoint != NULL && vista_end_transaction(tx, 0) == 0);
    }
    endpoint = vista_open_endpoint(segment, root->endpoint, address, 0, NULL);
    must(endpoint != NULL);
}

/* ---- The server -------------------------------------------------------- */

static struct lock *find(const char *name)
{
    for (int i = 0; i < LOCKS; i++)
        if (root->locks[i].name[0] == '\0' || strcmp(root->locks[i].name, name) == 0)
            return &root->locks[i];
    return NULL;
}

/* "" means yes. */
static void answer(vista_tx *tx, const vista_request *to, const char *text)
{
    must(vista_send_response(tx, endpoint, to, text, strlen(text) + 1) == 0);
}

static void acquire(vista_tx *tx, struct lock *lock, const vista_request *from)
{
    if (lock->owner == 0) {
        lock->owner = from->session;
        answer(tx, from, "");
    } else if (lock->waiting == QUEUE) {
        answer(tx, from, "too many wait");
    } else {
        lock->queue[lock->waiting++] = *from;
    }
}

static void release(vista_tx *tx, struct lock *lock, const vista_request *from)
{
    if (lock->owner != from->session) {
        answer(tx, from, "it is another's");
        return;
    }
    answer(tx, from, "");
    lock->owner = 0;
    if (lock->waiting == 0)
        return;
    lock->owner = lock->queue[0].session;
    answer(tx, &lock->queue[0], "");
    memmove(lock->queue, lock->queue + 1, --lock->waiting * sizeof lock->queue[0]);
}

static void serve(void)
{
    for (;;) {
        struct vista_ready ready = {.endpoint = endpoint, .wanted = VISTA_REQUEST};
        vista_request from;
        struct message message;
        struct lock *lock;
        vista_tx *tx;

        must(vista_select(&ready, 1, -1) == 1);
        tx = vista_begin_transaction(segment, 0);
        must(vista_receive_request(tx, endpoint, &message, sizeof message, &from, 0) ==
             sizeof message);
        message.name[sizeof message.name - 1] = '\0';
        lock = find(message.name);
        if (lock == NULL) {
            answer(tx, &from, "there are too many locks");
        } else {
            must(vista_set_range(tx, lock, sizeof *lock) == 0);
            strcpy(lock->name, message.name);
            (message.what == ACQUIRE ? acquire : release)(tx, lock, &from);
        }
        must(vista_end_transaction(tx, 0) == 0);
    }
}

/* ---- A client ------------------------------------------------------------ */

static void ask(int what, const char *name)
{
    struct message message = {.what = what};
    vista_tx *tx = begin(&root->phase, sizeof root->phase + sizeof root->request);

    snprintf(message.name, sizeof message.name, "%s", name);
    must(vista_set_range(tx, root, sizeof *root) == 0);
    must(vista_send_request(tx, endpoint, root->server, &message, sizeof message, 0,
                            &root->request) == 0);
    root->phase = what == ACQUIRE ? ACQUIRING : RELEASING;
    must(vista_end_transaction(tx, 0) == 0);
}

static void await(void)
{
    vista_tx *tx = begin(root, sizeof *root);
    char text[64];

    must(vista_receive_response(tx, endpoint, &root->request, text, sizeof text, -1) > 0);
    if (text[0] != '\0') {
        printf("refused: %s\n", text);
        root->phase = IDLE;
        must(vista_end_transaction(tx, 0) == 0);
        exit(1);
    }
    root->done += root->phase == RELEASING;
    root->phase = root->phase == ACQUIRING ? HOLDING : IDLE;
    must(vista_end_transaction(tx, 0) == 0);
}

/* Goes on from wherever the last run was killed. */
static void use(const char *name, unsigned times, int dies)
{
    while (root->done < times) {
        if (root->phase == IDLE) {
            ask(ACQUIRE, name);
        } else if (root->phase == HOLDING) {
            printf("%s is mine\n", name);
            fflush(stdout);
            if (dies)
                raise(SIGKILL);
            ask(RELEASE, name);
        } else {
            await();
        }
    }
}

int main(int argc, char **argv)
{
    const int serves = argc == 4 && strcmp(argv[2], "serve") == 0;
    vista_tx *tx;

    if (!serves && (argc < 6 || strcmp(argv[2], "use") != 0)) {
        fprintf(stderr, "usage: locks FILE serve ADDRESS\n"
                        "       locks FILE use ADDRESS LOCK TIMES [kill]\n");
        return 2;
    }
    open_all(argv[1], serves ? argv[3] : "unix:");
    if (serves)
        serve();
    /* Also where it is connected already: it says from which address it asks now. */
    tx = begin(&root->server, sizeof root->server);
    must(vista_end_transaction(tx, 0) == 0);
    {
        uint32_t server;

        must(vista_connect(endpoint, argv[3], NULL, &server, -1) == 0);
        tx = begin(&root->server, sizeof root->server);
        root->server = server;
        must(vista_end_transaction(tx, 0) == 0);
    }
    use(argv[4], (unsigned)strtoul(argv[5], NULL, 10), argc > 6);
    tx = begin(&root->done, sizeof root->done);
    root->done = 0;
    must(vista_end_transaction(tx, 0) == 0);
    must(vista_close_endpoint(endpoint) == 0);
    return vista_unmap(segment) != 0;
}
