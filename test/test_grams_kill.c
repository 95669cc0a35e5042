/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Ends that are killed at any moment, over a network that loses, doubles, delays and corrupts:
 * every request of a committed transaction is executed once and answered once.
 *
 * A client sends numbered requests, some of them one-way, some cancelled, some large, and counts
 * for each number the answers that it received; a server counts how often it has executed each.
 * They count in the very transactions that receive.  Both are sent SIGKILL at random moments, and
 * abort now and then by themselves.  At last they are left alone until all is answered, and each
 * number's counts are compared with what the client has stored about it.  With three parties
 * the server of one is the client of the next, and answers when it has been answered.
 *
 * VISTA_TEST_SCALE times the usual number of kills: `VISTA_TEST_SCALE=100 test_grams_kill` is a
 * soak.  It prints how many kills and requests it was.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "grams_fixture.h"

#define NUMBERS ((uint64_t)1 << 19)
#define PARTIES 3
#define PENDING 64
#define LARGEST 200000

/* What a client stores about a number. */
enum { UNUSED, SENT, DONE, CANCELLED, ONE_WAY };

struct pending {
    vista_request from; /* session 0: free */
    vista_request to;   /* session 0: not yet passed on */
    uint64_t number;
    uint64_t size;
};

struct root {
    void *block;
    uint32_t peer, peers_known;
    uint64_t next;
    struct pending pending[PENDING];
    unsigned char state[NUMBERS];    /* of the client's requests */
    unsigned char executed[NUMBERS]; /* of the server's, how often */
    unsigned char answered[NUMBERS]; /* of the client's, how often */
};

struct message {
    uint64_t number, size;
};

struct party {
    const char *path;
    char address[64];
};

static struct shared {
    struct party party[PARTIES];
    int parties;
    bool keyed;
    bool finish; /* send nothing more */
    struct gram_faults faults;
    uint64_t stream;
    uint64_t kills, requests;
    bool quiet[PARTIES];    /* has nothing under way, after `finish` */
    uint64_t sent[PARTIES]; /* requests, as they are committed */
    size_t largest;
} * shared;

/* ---- A party, in a child ------------------------------------------------------- */

static vista_segment *segment;
static struct root *root;
static vista_endpoint *endpoint;
static struct test_random random_of;
static unsigned char *buffer;

static void open_party(int which)
{
    static const unsigned char key[32] = "of all three of them............";
    const struct vista_open_options options = {.key = shared->keyed ? key : NULL};
    const struct vista_endpoint_options few = {.peers = 4}; /* quick to open */
    vista_tx *tx;

    segment =
        vista_map(shared->party[which].path, (size_t)16 << 20, VISTA_CREATE | VISTA_GROW, NULL);
    REQUIRE(segment != NULL);
    root = vista_root(segment, sizeof *root);
    REQUIRE(root != NULL);
    if (root->block == NULL) {
        tx = vista_begin_transaction(segment, 0);
        REQUIRE(vista_set_range(tx, &root->block, sizeof root->block) == 0);
        root->block = vista_create_endpoint(tx, &few);
        REQUIRE(root->block != NULL);
        REQUIRE(vista_end_transaction(tx, 0) == 0);
    }
    endpoint = vista_open_endpoint(segment, root->block, shared->party[which].address, 0, &options);
    REQUIRE(endpoint != NULL);
}

static void connect_party(int next)
{
    uint32_t peer;
    vista_tx *tx;

    while (root->peer == 0) {
        if (vista_connect(endpoint, shared->party[next].address, NULL, &peer, 1000) != 0) {
            REQUIRE(errno == ETIMEDOUT);
            continue;
        }
        tx = vista_begin_transaction(segment, 0);
        REQUIRE(vista_set_range(tx, &root->peer, sizeof root->peer) == 0);
        root->peer = peer;
        REQUIRE(vista_end_transaction(tx, 0) == 0);
    }
}

static size_t random_size(void)
{
    const size_t most = test_below(&random_of, 40) == 0 ? shared->largest : 400;

    return sizeof(struct message) + test_below(&random_of, most);
}

/* A message that its number and size tell every byte of. */
static void fill(uint64_t number, uint64_t size)
{
    struct message *message = (struct message *)buffer;

    memset(buffer, (int)(number % 251), size);
    *message = (struct message){number, size};
}

static void check_message(ssize_t length, uint64_t number)
{
    const struct message *message = (const struct message *)buffer;

    REQUIRE(length == (ssize_t)message->size);
    REQUIRE(number == UINT64_MAX || message->number == number);
    for (ssize_t i = sizeof *message; i < length; i++)
        REQUIRE(buffer[i] == message->number % 251);
}

static void set_state(vista_tx *tx, uint64_t number, unsigned char state)
{
    REQUIRE(vista_set_range(tx, &root->state[number], 1) == 0);
    root->state[number] = state;
}

/* Sends one request with the next number; false: no room. */
static bool send_one(vista_tx *tx, vista_request *request, uint64_t *number)
{
    const bool one_way = request == NULL && test_below(&random_of, 8) == 0;
    const uint64_t size = random_size();
    vista_request mine;

    *number = root->next;
    if (*number >= NUMBERS)
        return false;
    fill(*number, size);
    if (vista_send_request(tx, endpoint, root->peer, buffer, size, one_way ? VISTA_ONE_WAY : 0,
                           &mine) != 0) {
        REQUIRE(errno == EAGAIN);
        return false;
    }
    REQUIRE(vista_set_range(tx, &root->next, sizeof root->next) == 0);
    root->next++;
    set_state(tx, *number, one_way ? ONE_WAY : SENT);
    if (request == NULL && !one_way && test_below(&random_of, 16) == 0) {
        REQUIRE(vista_cancel_request(tx, endpoint, &mine) == 0);
        set_state(tx, *number, CANCELLED);
    }
    if (request != NULL)
        *request = mine;
    return true;
}

static void end(vista_tx *tx)
{
    if (test_below(&random_of, 8) == 0)
        REQUIRE(vista_abort_transaction(tx) == 0);
    else
        REQUIRE(vista_end_transaction(tx, 0) == 0);
}

static void client_send(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);
    uint64_t number;

    REQUIRE(tx != NULL);
    for (uint64_t i = test_below(&random_of, 4); i > 0; i--)
        send_one(tx, NULL, &number);
    end(tx);
}

static struct pending *find_passed(const vista_request *request)
{
    for (int i = 0; i < PENDING; i++)
        if (root->pending[i].to.session == request->session &&
            root->pending[i].to.generation == request->generation &&
            root->pending[i].to.slot == request->slot && root->pending[i].from.session != 0)
            return &root->pending[i];
    return NULL;
}

/* Answers what was received, unless that was one-way. */
static void answer(vista_tx *tx, struct pending *pending)
{
    fill(pending->number, pending->size);
    if (vista_send_response(tx, endpoint, &pending->from, buffer, pending->size) != 0)
        REQUIRE(errno == EINVAL);
    REQUIRE(vista_set_range(tx, pending, sizeof *pending) == 0);
    memset(pending, 0, sizeof *pending);
}

/* Takes a response, and passes it on where it was asked for. */
static bool client_receive(int ms)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);
    vista_request request = {0};
    const ssize_t length = vista_receive_response(tx, endpoint, &request, buffer, LARGEST + 16, ms);
    struct message message;
    struct pending *passed;

    if (length < 0) {
        REQUIRE(errno == EAGAIN || errno == ETIMEDOUT);
        REQUIRE(vista_abort_transaction(tx) == 0);
        return false;
    }
    check_message(length, UINT64_MAX);
    memcpy(&message, buffer, sizeof message);
    REQUIRE(vista_set_range(tx, &root->answered[message.number], 1) == 0);
    root->answered[message.number]++;
    REQUIRE(root->state[message.number] == SENT);
    set_state(tx, message.number, DONE);
    passed = find_passed(&request);
    if (passed != NULL)
        answer(tx, passed);
    end(tx);
    return true;
}

static struct pending *find_free(void)
{
    for (int i = 0; i < PENDING; i++)
        if (root->pending[i].from.session == 0)
            return &root->pending[i];
    return NULL;
}

static void execute(vista_tx *tx, ssize_t length)
{
    uint64_t number;

    check_message(length, UINT64_MAX);
    memcpy(&number, buffer, sizeof number);
    REQUIRE(number < NUMBERS);
    REQUIRE(vista_set_range(tx, &root->executed[number], 1) == 0);
    root->executed[number]++;
    REQUIRE(root->executed[number] == 1);
}

/* Is it a request that wants an answer?  One-way ones are answered by their receipt. */
static int is_answerable(void *arg, const vista_request *request, unsigned state, size_t length)
{
    (void)arg, (void)request, (void)state, (void)length;
    return 0;
}

static void server_receive(int ms)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);
    struct pending *pending = find_free();
    vista_request request;
    struct message message;
    const ssize_t length = vista_receive_request(tx, endpoint, buffer, LARGEST + 16, &request, ms);

    if (length < 0) {
        REQUIRE(errno == EAGAIN || errno == ETIMEDOUT);
        REQUIRE(vista_abort_transaction(tx) == 0);
        return;
    }
    execute(tx, length);
    memcpy(&message, buffer, sizeof message);
    if (pending == NULL || test_below(&random_of, 2) == 0) {
        if (vista_send_response(tx, endpoint, &request, buffer, (size_t)length) != 0)
            REQUIRE(errno == EINVAL); /* one-way */
    } else {
        REQUIRE(vista_set_range(tx, pending, sizeof *pending) == 0);
        *pending =
            (struct pending){.from = request, .number = message.number, .size = message.size};
    }
    end(tx);
}

/* What was put off is answered, or passed on to the next party. */
static void serve_pending(bool pass)
{
    for (int i = 0; i < PENDING; i++) {
        struct pending *pending = &root->pending[i];
        vista_tx *tx;
        uint64_t number;

        if (pending->from.session == 0 || pending->to.session != 0 ||
            (!shared->finish && test_below(&random_of, 2) == 0))
            continue;
        tx = vista_begin_transaction(segment, 0);
        REQUIRE(vista_set_range(tx, pending, sizeof *pending) == 0);
        fill(pending->number, pending->size);
        if (!pass || !send_one(tx, &pending->to, &number))
            answer(tx, pending);
        end(tx);
    }
}

static bool is_quiet(void)
{
    struct vista_endpoint_info info;

    /* A one-way request that is to be passed on counts as executing nowhere. */
    for (int i = 0; i < PENDING; i++)
        if (root->pending[i].from.session != 0)
            return false;
    REQUIRE(vista_endpoint_info(endpoint, &info) == 0);
    REQUIRE(info.broken == 0);
    return info.unanswered == 0 && info.executing == 0;
}

static void run_party(void *arg)
{
    const int which = (int)(intptr_t)arg;
    const bool has_next = which + 1 < shared->parties;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    random_of = test_random_new(shared->stream * PARTIES + (uint64_t)which);
    buffer = malloc(LARGEST + 64);
    gram_network(&shared->faults);
    open_party(which);
    REQUIRE(vista_each_request(endpoint, is_answerable, NULL) == 0);
    if (has_next)
        connect_party(which + 1);
    while (!shared->finish || which != 0 || !is_quiet()) {
        if (which == 0 && !shared->finish)
            client_send();
        if (which == 0)
            for (int i = 0; i < 4 && client_receive(i == 0 ? 2 : 0); i++)
                ;
        if (which != 0) {
            server_receive(has_next ? 0 : 2);
            serve_pending(has_next);
        }
        if (which != 0 && has_next)
            client_receive(1);
        __atomic_store_n(&shared->sent[which], root->next, __ATOMIC_SEQ_CST);
        __atomic_store_n(&shared->quiet[which], shared->finish && is_quiet(), __ATOMIC_SEQ_CST);
    }
    REQUIRE(vista_close_endpoint(endpoint) == 0);
    REQUIRE(vista_unmap(segment) == 0);
}

/* ---- The parent ---------------------------------------------------------------- */

static pid_t child[PARTIES];

static void start(int which)
{
    shared->stream++;
    shared->faults.seed = test_seed() + shared->stream;
    child[which] = test_fork(run_party, (void *)(intptr_t)which);
}

static void kill_one(int which)
{
    int status;

    kill(child[which], SIGKILL);
    status = test_wait(child[which]);
    ck_assert_msg(status == 128 + SIGKILL, "party %d ended with %d", which, status);
    shared->kills++;
}

/* An assertion that holds is no cheap thing, and there are many numbers. */
static void compare_one(const struct root *mine, const struct root *its, uint64_t n)
{
    const int wanted = n < mine->next, answered = wanted && mine->state[n] == DONE;

    if (its->executed[n] != wanted || mine->answered[n] != answered || mine->state[n] == SENT)
        ck_abort_msg("request %llu, state %d: executed %d times, answered %d",
                     (unsigned long long)n, mine->state[n], its->executed[n], mine->answered[n]);
}

static void compare(void)
{
    struct gram_end ends[PARTIES];
    const struct root *roots[PARTIES];

    for (int i = 0; i < shared->parties; i++) {
        test_sound(shared->party[i].path);
        ends[i].segment = vista_map(shared->party[i].path, 0, VISTA_READ_ONLY, NULL);
        SOME(ends[i].segment);
        roots[i] = vista_root(ends[i].segment, 0);
    }
    for (int i = 0; i + 1 < shared->parties; i++) {
        const struct root *mine = roots[i], *its = roots[i + 1];

        ck_assert(mine->next > 0);
        shared->requests += mine->next;
        for (uint64_t n = 0; n < NUMBERS; n++)
            compare_one(mine, its, n);
    }
    for (int i = 0; i < shared->parties; i++)
        OK(vista_unmap(ends[i].segment));
}

static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    ck_assert(bind(fd, (struct sockaddr *)&address, length) == 0);
    ck_assert(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
    close(fd);
    return ntohs(address.sin_port);
}

static void prepare(int parties, bool udp, bool keyed, size_t largest)
{
    shared = test_share(sizeof *shared);
    shared->parties = parties;
    shared->keyed = keyed;
    shared->largest = largest;
    for (int i = 0; i < parties; i++) {
        char name[16];

        snprintf(name, sizeof name, "party%d", i);
        shared->party[i].path = gram_path(name);
        if (udp)
            snprintf(shared->party[i].address, 64, "udp:127.0.0.1:%d", free_port());
        else
            snprintf(shared->party[i].address, 64, "unix:@vista-%d-%d", getpid(), i);
    }
}

static const struct {
    int parties;
    bool udp, keyed;
    size_t largest;
    struct gram_faults faults;
} runs[] = {
    {2, false, false, 2000, {0}},
    {2, false, false, 2000, {.loss = 100, .duplication = 100, .delay = 200, .delay_us = 3000}},
    {2,
     true,
     false,
     LARGEST,
     {.loss = 50, .duplication = 50, .delay = 100, .delay_us = 2000, .corruption = 30}},
    {2,
     true,
     true,
     2000,
     {.loss = 50,
      .duplication = 100,
      .delay = 100,
      .delay_us = 5000,
      .corruption = 50,
      .partition_ms = 20}},
    {3,
     true,
     false,
     2000,
     {.loss = 50, .duplication = 50, .delay = 100, .delay_us = 2000, .move = 50}},
    {3, false, true, LARGEST, {.loss = 20, .duplication = 20, .partition_ms = 10}},
};
#define RUNS (int)(sizeof runs / sizeof *runs)

START_TEST(test_kills)
{
    const unsigned kills = test_times(52);
    struct test_random random = test_random_new(1000 + (uint64_t)_i);
    int which, status;

    prepare(runs[_i].parties, runs[_i].udp, runs[_i].keyed, runs[_i].largest);
    shared->faults = runs[_i].faults;
    for (int i = 0; i < shared->parties; i++)
        start(i);
    while (shared->kills < kills) {
        test_sleep_us(test_below(&random, test_below(&random, 8) == 0 ? 30000 : 4000));
        which = (int)test_below(&random, (uint64_t)shared->parties);
        kill_one(which);
        if (test_below(&random, 4) == 0) {
            const int other = (which + 1) % shared->parties;

            kill_one(other);
            start(other);
        }
        start(which);
    }
    for (int i = 0; i + 1 < shared->parties; i++) /* few kills may leave no time for that */
        do
            test_sleep_us(50000);
        while (__atomic_load_n(&shared->sent[i], __ATOMIC_SEQ_CST) == 0);
    shared->finish = true;
    status = test_wait(child[0]);
    ck_assert_msg(status == 0, "the client ended with %d", status);
    /* What was one-way for the first may yet be under way to the third: what they said
       while it was sending does not count. */
    for (int i = 1; i < shared->parties; i++)
        __atomic_store_n(&shared->quiet[i], false, __ATOMIC_SEQ_CST);
    for (int i = 1; i < shared->parties; i++)
        while (!__atomic_load_n(&shared->quiet[i], __ATOMIC_SEQ_CST))
            test_sleep_us(10000);
    for (int i = shared->parties - 1; i > 0; i--)
        kill_one(i);
    for (int i = 1; i < shared->parties; i++) { /* recovers what was killed last */
        vista_segment *last = vista_map(shared->party[i].path, 0, 0, NULL);

        SOME(last);
        OK(vista_unmap(last));
    }
    compare();
    printf("%llu kills, %llu requests, each executed once and answered once\n",
           (unsigned long long)shared->kills, (unsigned long long)shared->requests);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("grams_kill");
    TCase *tcase = test_case(suite, "kill", 10 + 6 * test_scale());

    tcase_add_loop_test(tcase, test_kills, 0, RUNS);
    return test_run(suite);
}
