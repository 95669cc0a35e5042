/* SPDX-License-Identifier: BSD-3-Clause
 *
 * All runs of twelve steps (VISTA_MODEL_STEPS: of up to 20) of the real code, of a client and a server with one slot, over a network
 * that delivers, swaps, drops and doubles datagrams as the run says.
 *
 * Both ends are in this process, on a network in memory, with a clock that stands until a step
 * moves it and random numbers that are always the same.  A death is the abort of what is open and the
 * endpoint opened anew: of what was stored that is the same as a kill and a recovery.  A run is
 * replayed from the beginning to reach a state; states that were met before (what is stored,
 * staged, open and in the network) are not gone on from.  After each step each request was executed
 * at most once, and only when its sender had committed; and from each state, when nothing more is
 * lost, all that was sent is executed and answered once.
 */
#include <stdlib.h>
#include <sys/un.h>

#include "grams/endpoint.h"
#include "grams_fixture.h"
#include "grams_mail.h"

#define STEPS 20
#define WIRES 4 /* datagrams in the network at once; one more is lost */
#define NUMBERS 64
#define STATES (1u << 20)

static unsigned char run[STEPS];
static int run_length;

static const char *run_text(void)
{
    static char text[STEPS * 4 + 1];

    text[0] = '\0';
    for (int i = 0; i < run_length; i++)
        sprintf(text + strlen(text), "%d ", run[i]);
    return text;
}

/* Check's own assertions write to a file each time that they hold. */
#define HOLDS(condition) \
    do { \
        if (!(condition)) \
            ck_abort_msg("%s is false after the steps %s: \"%s\"", #condition, run_text(), \
                         vista_errormsg()); \
    } while (0)
#define GOOD(call) HOLDS((call) == 0)

/* ---- The network in memory ------------------------------------------------------ */

struct wire {
    int to;
    size_t length;
    unsigned char bytes[512];
};

static struct wire wires[WIRES];
static int wire_count;
static struct vi_address addresses[2];

static void note_sent(int which, const struct vi_packet *packet)
{
    struct wire *wire = &wires[wire_count];

    if (wire_count == WIRES)
        return;
    wire->to = 1 - which;
    wire->length = gram_mail_gather(packet, wire->bytes, sizeof wire->bytes);
    HOLDS(wire->length <= sizeof wire->bytes);
    wire_count++;
}

/* ---- The two ends ------------------------------------------------------------------ */

static struct gram_end ends[2];
static vista_tx *open_tx[2];
static vista_request received; /* by the server, kept in its root, too */

struct client_data {
    uint64_t sent, answered[NUMBERS];
};
struct server_data {
    uint64_t executed[NUMBERS], number;
    vista_request from;
};
#define CLIENT ((struct client_data *)ends[0].root->data)
#define SERVER ((struct server_data *)ends[1].root->data)

static struct vi_gram_row *row_of(const struct gram_end *end)
{
    const struct vi_gram_table *table = end->root->block;

    return table->entry[0].row != NULL ? table->entry[0].row : table->entry[1].row;
}

static struct {
    uint64_t data[GRAM_DATA];
    unsigned char row[2][1024];
} kept;
static uint64_t kept_server[GRAM_DATA];

static void open_endpoint(int which)
{
    gram_mail.opening = which;
    ends[which].endpoint = vista_open_endpoint(ends[which].segment, ends[which].root->block,
                                               ends[which].address, 0, NULL);
    HOLDS(ends[which].endpoint != NULL);
}

static void keep(void)
{
    memcpy(kept.data, ends[0].root->data, sizeof kept.data);
    memcpy(kept_server, ends[1].root->data, sizeof kept_server);
    for (int i = 0; i < 2; i++)
        memcpy(kept.row[i], row_of(&ends[i]), vi_row_size(1));
}

static void end_tx(int which, bool commit)
{
    vista_tx *tx = open_tx[which];

    open_tx[which] = NULL;
    GOOD(commit ? vista_end_transaction(tx, 0) : vista_abort_transaction(tx));
}

static void die(int which)
{
    if (open_tx[which] != NULL)
        end_tx(which, false);
    GOOD(vista_close_endpoint(ends[which].endpoint));
    ends[which].endpoint = NULL;
}

static void reset(void)
{
    for (int i = 0; i < 2; i++)
        die(i);
    memcpy(ends[0].root->data, kept.data, sizeof kept.data);
    memcpy(ends[1].root->data, kept_server, sizeof kept_server);
    for (int i = 0; i < 2; i++)
        memcpy(row_of(&ends[i]), kept.row[i], vi_row_size(1));
    wire_count = 0;
    gram_mail.to = -1;
    gram_mail.clock = (uint64_t)1 << 40;
    for (int i = 0; i < 2; i++)
        open_endpoint(i);
}

/* ---- Steps ---------------------------------------------------------------------------- */

static vista_tx *begin(int which)
{
    vista_tx *tx = vista_begin_transaction(ends[which].segment, 0);

    HOLDS(tx != NULL);
    GOOD(vista_set_range(tx, ends[which].root->data,
                         which == 0 ? sizeof(struct client_data) : sizeof(struct server_data)));
    return open_tx[which] = tx;
}

static bool send_request(void)
{
    vista_tx *tx = begin(0);
    uint64_t number = CLIENT->sent;
    vista_request request;

    if (number == NUMBERS || vista_send_request(tx, ends[0].endpoint, ends[0].root->peer, &number,
                                                sizeof number, 0, &request) != 0) {
        end_tx(0, false);
        return false;
    }
    CLIENT->sent++;
    return true;
}

static bool take_response(void)
{
    vista_tx *tx = begin(0);
    vista_request any = {0};
    uint64_t number;

    if (vista_receive_response(tx, ends[0].endpoint, &any, &number, sizeof number, 0) < 0) {
        end_tx(0, false);
        return false;
    }
    HOLDS(number < NUMBERS);
    CLIENT->answered[number]++;
    return true;
}

static bool accept_request(bool answer)
{
    vista_tx *tx = begin(1);
    uint64_t number;

    if (vista_receive_request(tx, ends[1].endpoint, &number, sizeof number, &received, 0) < 0) {
        end_tx(1, false);
        return false;
    }
    HOLDS(number < NUMBERS);
    SERVER->executed[number]++;
    SERVER->number = number;
    SERVER->from = received;
    if (answer)
        GOOD(vista_send_response(tx, ends[1].endpoint, &received, &number, sizeof number));
    return true;
}

static bool answer_request(void)
{
    vista_tx *tx = begin(1);

    if (SERVER->from.session == 0 ||
        vista_send_response(tx, ends[1].endpoint, &SERVER->from, &SERVER->number,
                            sizeof SERVER->number) != 0) {
        end_tx(1, false);
        return false;
    }
    return true;
}

static void deliver(int i, bool keeps)
{
    const int to = wires[i].to;

    gram_mail.to = to;
    gram_mail.from = addresses[1 - to];
    gram_mail.length = wires[i].length;
    memcpy(gram_mail.bytes, wires[i].bytes, wires[i].length);
    if (!keeps) {
        memmove(&wires[i], &wires[i + 1], (size_t)(wire_count - i - 1) * sizeof wires[0]);
        wire_count--;
    }
    GOOD(vista_pump(ends[to].endpoint));
}

static void pass_time(void)
{
    gram_mail.clock += (uint64_t)20 * 1000 * 1000 * 1000;
    GOOD(vista_pump(ends[0].endpoint));
}

enum action {
    SEND,
    SEND_OPEN,
    TAKE,
    TAKE_OPEN,
    ACCEPT,
    ACCEPT_ANSWER_OPEN,
    ACCEPT_ANSWER,
    ANSWER,
    CLIENT_COMMIT,
    CLIENT_ABORT,
    SERVER_COMMIT,
    SERVER_ABORT,
    DELIVER,
    DELIVER_SECOND,
    DOUBLE,
    DROP,
    TIME,
    CLIENT_DIES,
    SERVER_DIES,
    ACTIONS
};

/* One of those that are a whole transaction. */
static bool commit_if(int which, bool done)
{
    if (done)
        end_tx(which, true);
    return done;
}

/* False: there is nothing of the kind to do. */
static bool act_end(enum action action)
{
    const bool client = open_tx[0] == NULL, server = open_tx[1] == NULL;

    switch (action) {
    case SEND:
        return client && commit_if(0, send_request());
    case SEND_OPEN:
        return client && send_request();
    case TAKE:
        return client && commit_if(0, take_response());
    case TAKE_OPEN:
        return client && take_response();
    case ACCEPT:
        return server && commit_if(1, accept_request(false));
    case ACCEPT_ANSWER_OPEN:
        return server && accept_request(true);
    case ACCEPT_ANSWER:
        return server && commit_if(1, accept_request(true));
    case ANSWER:
        return server && commit_if(1, answer_request());
    case CLIENT_COMMIT:
    case CLIENT_ABORT:
        if (!client)
            end_tx(0, action == CLIENT_COMMIT);
        return !client;
    default:
        if (!server)
            end_tx(1, action == SERVER_COMMIT);
        return !server;
    }
}

static bool act(enum action action)
{
    if (action <= SERVER_ABORT)
        return act_end(action);
    if (action == TIME) {
        pass_time();
    } else if (action == CLIENT_DIES || action == SERVER_DIES) {
        die(action == SERVER_DIES);
        open_endpoint(action == SERVER_DIES);
    } else if (wire_count <= (action == DELIVER_SECOND)) {
        return false;
    } else if (action == DROP) {
        wire_count--;
        memmove(&wires[0], &wires[1], (size_t)wire_count * sizeof wires[0]);
    } else {
        deliver(action == DELIVER_SECOND, action == DOUBLE);
    }
    return true;
}

/* ---- What must hold -------------------------------------------------------------------- */

/* An open transaction's own changes may be seen here, and are judged as if it commits. */
static void check_safe(void)
{
    HOLDS(ends[0].endpoint->broken == 0 && ends[1].endpoint->broken == 0);
    for (uint64_t n = 0; n < NUMBERS; n++) {
        HOLDS(SERVER->executed[n] <= 1);
        HOLDS(SERVER->executed[n] == 0 ||
              n < CLIENT->sent - (open_tx[0] != NULL && CLIENT->sent > 0 && n + 1 == CLIENT->sent &&
                                  ends[0].endpoint->lanes[0].acts & VI_ACT_SEND));
        HOLDS(CLIENT->answered[n] <= SERVER->executed[n]);
    }
}

/* Nothing is lost any more: all is executed and answered. */
static void check_live(void)
{
    const int length = run_length;

    for (int i = 0; i < 2; i++)
        if (open_tx[i] != NULL)
            end_tx(i, true);
    for (int round = 0; round < 40; round++) {
        while (wire_count > 0)
            deliver(0, false);
        act(ACCEPT_ANSWER);
        act(ANSWER);
        act(TAKE);
        if (round % 4 == 3)
            pass_time();
    }
    run_length = length;
    for (uint64_t n = 0; n < CLIENT->sent; n++)
        HOLDS(SERVER->executed[n] == 1 && CLIENT->answered[n] == 1);
    check_safe();
}

/* ---- The search ---------------------------------------------------------------------------- */

static uint64_t *seen;

static uint64_t mix(uint64_t hash, const void *data, size_t length)
{
    const unsigned char *at = data;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u;
    return hash ^ hash >> 29;
}

static uint64_t state_hash(void)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (int i = 0; i < 2; i++) {
        const struct vi_lane *lane = ends[i].endpoint->lanes + (row_of(&ends[i])->id % 2);
        const unsigned char flags[] = {
            open_tx[i] != NULL, lane->acts,     lane->owner != NULL,    lane->staged != NULL,
            lane->in != NULL,   lane->due != 0, lane->due == UINT64_MAX};

        hash = mix(hash, flags, sizeof flags);
        hash = mix(hash, row_of(&ends[i]), vi_row_size(1));
    }
    hash = mix(hash, CLIENT, sizeof *CLIENT);
    hash = mix(hash, SERVER, sizeof *SERVER);
    for (int i = 0; i < wire_count; i++)
        hash = mix(hash, wires[i].bytes, wires[i].length);
    return hash | 1;
}

/* True: it is new. */
static bool enter(uint64_t hash)
{
    for (uint64_t at = hash >> 12;; at++) {
        uint64_t *slot = &seen[at % STATES];

        if (*slot == hash)
            return false;
        if (*slot == 0) {
            *slot = hash;
            return true;
        }
    }
}

struct path {
    unsigned char steps[STEPS];
    uint32_t open; /* the actions that there may be something to do for */
};

static uint32_t find_open(void)
{
    const uint32_t of_server = 1u << ACCEPT | 1u << ACCEPT_ANSWER_OPEN | 1u << ACCEPT_ANSWER;
    uint32_t open = 1u << TIME | 1u << CLIENT_DIES | 1u << SERVER_DIES;

    open |= open_tx[0] != NULL ? 1u << CLIENT_COMMIT | 1u << CLIENT_ABORT
                               : 1u << SEND | 1u << SEND_OPEN;
    if (open_tx[0] == NULL && !TAILQ_EMPTY(&ends[0].endpoint->responses))
        open |= 1u << TAKE | 1u << TAKE_OPEN;
    open |= open_tx[1] != NULL ? 1u << SERVER_COMMIT | 1u << SERVER_ABORT : 1u << ANSWER;
    if (open_tx[1] == NULL && !TAILQ_EMPTY(&ends[1].endpoint->requests))
        open |= of_server;
    if (wire_count > 0)
        open |= 1u << DELIVER | 1u << DOUBLE | 1u << DROP;
    return wire_count > 1 ? open | 1u << DELIVER_SECOND : open;
}

static bool replay(const struct path *path, int depth, int next)
{
    reset();
    run_length = 0;
    for (int i = 0; i < depth; i++) {
        run[run_length++] = path->steps[i];
        HOLDS(act((enum action)path->steps[i]));
    }
    if (next < 0)
        return true;
    run[run_length++] = (unsigned char)next;
    return act((enum action)next);
}

static uint64_t explore(int steps)
{
    struct path *now = malloc(STATES / 4 * sizeof *now),
                *after = malloc(STATES / 4 * sizeof *after);
    size_t count = 1, more;
    uint64_t states = 1;

    *now = (struct path){.open = UINT32_MAX};
    for (int depth = 0; depth < steps; depth++) {
        more = 0;
        for (size_t i = 0; i < count; i++)
            for (int next = 0; next < ACTIONS; next++) {
                if (!(now[i].open >> next & 1) || !replay(&now[i], depth, next))
                    continue;
                check_safe();
                if (!enter(state_hash()))
                    continue;
                states++;
                HOLDS(states < STATES / 2);
                after[more] = now[i];
                after[more].open = find_open();
                after[more++].steps[depth] = (unsigned char)next;
                check_live();
            }
        {
            struct path *swap = now;

            now = after;
            after = swap;
            count = more;
        }
    }
    free(now);
    free(after);
    return states;
}

START_TEST(test_all_runs)
{
    const struct vista_endpoint_options options = {.slots = 1, .peers = 2};
    const int steps = getenv("VISTA_MODEL_STEPS") != NULL ? atoi(getenv("VISTA_MODEL_STEPS")) : 12;
    uint64_t states;

    seen = calloc(STATES, sizeof *seen);
    for (int i = 0; i < 2; i++) {
        ends[i] = (struct gram_end){.path = gram_path(i == 0 ? "client" : "server"),
                                    .address = gram_address(i == 0 ? "c" : "s")};
        OK(vi_address_parse(&addresses[i], ends[i].address));
        gram_open(&ends[i], &options);
    }
    gram_connect(&ends[0], &ends[1]);
    keep();
    gram_mail.sent = note_sent;
    gram_mail_use();
    for (int i = 0; i < 2; i++) {
        OK(vista_close_endpoint(ends[i].endpoint));
        open_endpoint(i);
    }
    states = explore(steps);
    printf("%d steps: %llu states\n", steps, (unsigned long long)states);
    ck_assert_uint_gt(states, 500);
    for (int i = 0; i < 2; i++)
        gram_close(&ends[i]);
    free(seen);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("grams_model");
    TCase *tcase = test_case(suite, "model", 30);

    tcase_add_test(tcase, test_all_runs);
    return test_run(suite);
}
