/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Killed at every instruction of the three commits of a request (its sending, its receipt with the
 * answer, the answer's receipt), and of those of a transaction of several sites, an end has the state before it or after it: message, generation and
 * history together with what the program changed in the same transaction, all in tables that
 * open again.
 */
#include "step.h"

#include "grams/tables.h"
#include "grams_fixture.h"

#define SIZE ((size_t)128 << 10)
#define ADDRESS ((void *)0x2b0000000000)

static const char *path, *copy;
static struct gram_end ends[2]; /* client, server */
static int stepped;             /* which of them */
static struct step step;
static vista_request request;

static struct gram_end *mine(void)
{
    return &ends[stepped];
}

/* The root of the end that is stepped is small, so that all of its segment can be watched. */
struct small {
    void *block;
    uint32_t peer;
    uint64_t count;
};

static struct small *small_root(vista_segment *segment)
{
    return vista_root(segment, sizeof(struct small));
}

static void open_small(struct gram_end *end)
{
    const struct vista_endpoint_options options = {.slots = 1, .peers = 2};
    struct small *root;
    vista_tx *tx;

    end->segment = vista_map(path, 0, 0, NULL);
    REQUIRE(end->segment != NULL);
    root = small_root(end->segment);
    REQUIRE(root != NULL);
    tx = vista_begin_transaction(end->segment, 0);
    REQUIRE(vista_set_range(tx, root, sizeof *root) == 0);
    root->block = vista_create_endpoint(tx, &options);
    REQUIRE(root->block != NULL && vista_end_transaction(tx, 0) == 0);
    end->root = (struct gram_root *)root; /* its first two members are the same */
    end->endpoint = vista_open_endpoint(end->segment, root->block, end->address, 0, NULL);
    REQUIRE(end->endpoint != NULL);
}

static vista_tx *begin_counted(void)
{
    struct small *root = small_root(mine()->segment);
    vista_tx *tx = vista_begin_transaction(mine()->segment, 0);

    REQUIRE(vista_set_range(tx, &root->count, sizeof root->count) == 0);
    root->count++;
    return tx;
}

static void prepare(void)
{
    char text[8];

    for (int i = 0; i < 2; i++) {
        ends[i].address = gram_address(i == 0 ? "client" : "server");
        if (i == stepped)
            open_small(&ends[i]);
        else
            gram_open(&ends[i], NULL);
    }
    gram_connect(&ends[0], &ends[1]);
    request = gram_send(&ends[0], "one", 4, 0);
    gram_settle(&ends[0], &ends[1]);
    REQUIRE(gram_echo(&ends[1], text, sizeof text) == 4);
    gram_settle(&ends[0], &ends[1]);
    REQUIRE(gram_receive(&ends[0], &request, text, sizeof text) == 4);
}

static void prepare_request(void)
{
    prepare();
    request = gram_send(&ends[0], "two", 4, 0);
    gram_settle(&ends[0], &ends[1]);
}

static void prepare_response(void)
{
    char text[8];

    prepare_request();
    REQUIRE(gram_echo(&ends[1], text, sizeof text) == 4);
    gram_settle(&ends[0], &ends[1]);
}

static void act_send(void)
{
    vista_tx *tx = begin_counted();

    REQUIRE(vista_send_request(tx, ends[0].endpoint, ends[0].root->peer, "two", 4, 0, &request) ==
            0);
    REQUIRE(vista_end_transaction(tx, 0) == 0);
}

static void act_answer(void)
{
    vista_tx *tx = begin_counted();
    vista_request got;
    char text[8];

    REQUIRE(vista_receive_request(tx, ends[1].endpoint, text, sizeof text, &got, 0) == 4);
    REQUIRE(vista_send_response(tx, ends[1].endpoint, &got, "answer", 7) == 0);
    REQUIRE(vista_end_transaction(tx, 0) == 0);
}

static void act_take(void)
{
    vista_tx *tx = begin_counted();
    char text[8];

    REQUIRE(vista_receive_response(tx, ends[0].endpoint, &request, text, sizeof text, 0) == 4);
    REQUIRE(vista_end_transaction(tx, 0) == 0);
}

/* ---- Of a transaction of several sites ------------------------------------------- */

static int vote_yes(void *arg, vista_tx *tx, const vista_gid *gid, const void *message,
                    size_t length)
{
    (void)arg, (void)tx, (void)gid, (void)message;
    REQUIRE(length == 5);
    return VISTA_VOTE_YES;
}

static const struct vista_participant callbacks = {.prepare = vote_yes};

static void coordinate(vista_tx *tx)
{
    const struct vista_site site = {ends[0].root->peer, 0, "room", 5};
    vista_gid gid;

    REQUIRE(vista_coordinate(tx, ends[0].endpoint, &gid, &site, 1, 0) == 0);
    REQUIRE(vista_end_transaction(tx, 0) == 0);
}

static void act_coordinate(void)
{
    coordinate(begin_counted());
}

static void prepare_vote(void)
{
    prepare();
    coordinate(vista_begin_transaction(ends[0].segment, 0));
    gram_settle(&ends[0], &ends[1]);
}

static void join(vista_tx *tx, int which)
{
    REQUIRE(vista_join(tx, ends[which].endpoint, &callbacks, NULL) == 0);
    REQUIRE(vista_end_transaction(tx, 0) == 0);
}

static void act_vote(void)
{
    join(begin_counted(), 1);
}

static void prepare_decision(void)
{
    prepare_vote();
    join(vista_begin_transaction(ends[1].segment, 0), 1);
    gram_settle(&ends[0], &ends[1]);
}

static void act_decide(void)
{
    join(begin_counted(), 0);
}

/* What the copy has, recovered; its tables are judged whole. */
static uint64_t view(uint64_t number)
{
    vista_segment *segment = vista_map(copy, 0, 0, NULL);
    const struct vi_gram_table *table;
    uint64_t hash = 0xcbf29ce484222325u;
    const struct small *root;

    (void)number;
    SOME(segment);
    root = small_root(segment);
    table = root->block;
    OK(vi_table_check(segment, table));
    hash = step_mix(hash, &root->count, sizeof root->count);
    for (uint32_t i = 0; i < table->peers; i++)
        if (table->entry[i].row != NULL)
            hash = step_mix(hash, table->entry[i].row, vi_row_size(1));
    for (const struct vi_agreement *of = table->agreements; of != NULL; of = of->next)
        hash = step_mix(hash, of, of->size);
    OK(vista_unmap(segment));
    test_sound(copy);
    return hash;
}

START_TEST(every_instruction)
{
    static const struct {
        const char *name;
        int stepped;
        void (*prepare)(void), (*act)(void);
    } commits[] = {
        {"sending", 0, prepare, act_send},         {"answering", 1, prepare_request, act_answer},
        {"taking", 0, prepare_response, act_take}, {"coordinating", 0, prepare, act_coordinate},
        {"voting", 1, prepare_vote, act_vote},     {"deciding", 0, prepare_decision, act_decide}};
    const struct vista_map_options options = {.address = ADDRESS, .max_size = SIZE};
    vista_segment *segment;

    OK(vista_init(
        &(struct vista_options){.force_class = _i < 6 ? VISTA_CLASS_KILL : VISTA_CLASS_LINE}));
    stepped = commits[_i % 6].stepped;
    path = gram_path("stepped");
    copy = gram_path("copy");
    segment = vista_map(path, SIZE, VISTA_CREATE, &options);
    SOME(segment);
    OK(vista_unmap(segment));
    step = (struct step){
        .file = {{.path = path, .copy = copy, .address = ADDRESS, .max_size = SIZE, .chunks = 3}},
        .files = 1,
        .prepare = commits[_i % 6].prepare,
        .act = commits[_i % 6].act,
        .view = view};
    step_through(&step, commits[_i % 6].name, STEP_CHANGES);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("grams_step");
    TCase *tcase = test_case(suite, "commits", 20);

    if (test_is_valgrind() || test_is_sanitized()) {
        test_skip("single steps of messages", "a sanitizer's instructions are too many");
        return 77;
    }
    tcase_add_loop_test(tcase, every_instruction, 0, 12);
    return test_run(suite);
}
