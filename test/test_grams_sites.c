/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Transactions of several sites.
 *
 *  1. Each vote, each outcome, at sites with and without a vote, coordinated here or handed over.
 *  2. Sites without a free slot, with a broken session, with a program that never answers; a
 *     coordinator whose session is broken and who is asked.
 *  3. Records that are damaged, and messages that are none.
 *  4. Three parties move money, and are killed at random moments over a faulty network: each
 *     transfer happens at both sites or at none, and both ends hear of it once.
 *
 * VISTA_TEST_SCALE times the usual number of kills.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "command.h"
#include "grams/tables.h"
#include "grams_fixture.h"

#define OPEN 256

/* ---- Banks ------------------------------------------------------------------- */

struct reserved {
    vista_gid gid;
    int64_t amount;
    bool used;
};

struct bank {
    struct vi_gram_table *block;
    uint32_t peer[2];
    int64_t money;
    struct reserved open[OPEN];
    /* Told, each: how often, and which, as the sum of their numbers. */
    uint64_t commits, aborts, told_commits, told_aborts;
    uint64_t committed, told_committed;
};

struct order {
    int64_t amount; /* negative: to be taken */
    int vote;       /* VISTA_VOTE_YES: if there is so much */
};

struct party {
    vista_segment *segment;
    struct bank *bank;
    vista_endpoint *endpoint;
};

static bool may_be_unknown; /* what an outcome is about */

static struct reserved *find(struct bank *bank, const vista_gid *gid)
{
    for (int i = 0; i < OPEN; i++)
        if (gid == NULL ? !bank->open[i].used
                        : bank->open[i].used && memcmp(&bank->open[i].gid, gid, sizeof *gid) == 0)
            return &bank->open[i];
    return NULL;
}

static void reserve(struct party *party, vista_tx *tx, const vista_gid *gid, int64_t amount)
{
    struct reserved *entry = find(party->bank, NULL);

    REQUIRE(entry != NULL && find(party->bank, gid) == NULL);
    REQUIRE(vista_set_range(tx, entry, sizeof *entry) == 0);
    REQUIRE(vista_set_range(tx, &party->bank->money, sizeof party->bank->money) == 0);
    *entry = (struct reserved){*gid, amount, true};
    if (amount < 0)
        party->bank->money += amount;
}

static int prepare(void *arg, vista_tx *tx, const vista_gid *gid, const void *message,
                   size_t length)
{
    struct party *party = arg;
    struct order order;

    REQUIRE(length == sizeof order);
    memcpy(&order, message, sizeof order);
    if (order.vote != VISTA_VOTE_YES)
        return order.vote;
    if (party->bank->money + order.amount < 0)
        return VISTA_VOTE_NO;
    reserve(party, tx, gid, order.amount);
    return VISTA_VOTE_YES;
}

static int settle(struct party *party, vista_tx *tx, const vista_gid *gid, bool committed)
{
    struct bank *bank = party->bank;
    struct reserved *entry = find(bank, gid);

    if (entry == NULL && may_be_unknown)
        return 0;
    REQUIRE(entry != NULL);
    REQUIRE(vista_set_range(tx, entry, sizeof *entry) == 0);
    REQUIRE(vista_set_range(tx, &bank->money, sizeof bank->money) == 0);
    REQUIRE(vista_set_range(tx, &bank->commits, sizeof *bank - offsetof(struct bank, commits)) ==
            0);
    if (committed ? entry->amount > 0 : entry->amount < 0)
        bank->money += committed ? entry->amount : -entry->amount;
    entry->used = false;
    bank->commits += committed;
    bank->aborts += !committed;
    bank->committed += committed ? gid->part[0] : 0;
    return 0;
}

static int commit(void *arg, vista_tx *tx, const vista_gid *gid)
{
    return settle(arg, tx, gid, true);
}

static int cancel(void *arg, vista_tx *tx, const vista_gid *gid)
{
    return settle(arg, tx, gid, false);
}

static int one_phase(void *arg, vista_tx *tx, const vista_gid *gid, int committed,
                     const void *message, size_t length)
{
    struct bank *bank = ((struct party *)arg)->bank;

    REQUIRE(length == sizeof(struct order) && ((const struct order *)message)->vote == 99);
    REQUIRE(vista_set_range(tx, &bank->commits, sizeof *bank - offsetof(struct bank, commits)) ==
            0);
    bank->told_commits += committed != 0;
    bank->told_aborts += committed == 0;
    bank->told_committed += committed ? gid->part[0] : 0;
    return 0;
}

static const struct vista_participant callbacks = {prepare, commit, cancel, one_phase};

static void open_party(struct party *party, const char *path, const char *address,
                       const struct vista_endpoint_options *options)
{
    vista_tx *tx;

    party->segment = vista_map(path, (size_t)4 << 20, VISTA_CREATE | VISTA_GROW, NULL);
    REQUIRE(party->segment != NULL);
    party->bank = vista_root(party->segment, sizeof *party->bank);
    REQUIRE(party->bank != NULL);
    if (party->bank->block == NULL) {
        tx = vista_begin_transaction(party->segment, 0);
        REQUIRE(vista_set_range(tx, party->bank, sizeof *party->bank) == 0);
        party->bank->block = vista_create_endpoint(tx, options);
        party->bank->money = 10000;
        REQUIRE(party->bank->block != NULL && vista_end_transaction(tx, 0) == 0);
    }
    party->endpoint = vista_open_endpoint(party->segment, party->bank->block, address, 0, NULL);
    REQUIRE(party->endpoint != NULL);
}

static void keep_peer(struct party *party, int which, uint32_t peer)
{
    vista_tx *tx = vista_begin_transaction(party->segment, 0);

    REQUIRE(vista_set_range(tx, &party->bank->peer[which], sizeof peer) == 0);
    party->bank->peer[which] = peer;
    REQUIRE(vista_end_transaction(tx, 0) == 0);
}

/* One step in a transaction of its own; false: there was none. */
static bool join(struct party *party)
{
    vista_tx *tx = vista_begin_transaction(party->segment, 0);

    if (vista_join(tx, party->endpoint, &callbacks, party) == 0) {
        REQUIRE(vista_end_transaction(tx, 0) == 0);
        return true;
    }
    REQUIRE(errno == EAGAIN);
    REQUIRE(vista_abort_transaction(tx) == 0);
    return false;
}

static uint64_t agreements(const struct party *party)
{
    struct vista_endpoint_info info;

    REQUIRE(vista_endpoint_info(party->endpoint, &info) == 0);
    return info.agreements;
}

/* ---- In one process ----------------------------------------------------------- */

static struct party parties[3]; /* 0 coordinates */

static void connect_parties(int from, int which, int to)
{
    struct gram_end client = {.endpoint = parties[from].endpoint};
    struct gram_end server = {.endpoint = parties[to].endpoint};
    uint32_t peer;

    ck_assert_int_eq(gram_try_connect(&client, &server, &peer, -1), 0);
    keep_peer(&parties[from], which, peer);
}

static void open_all(const struct vista_endpoint_options *options)
{
    static const char *const names[] = {"coordinator", "north", "south"};

    for (int i = 0; i < 3; i++)
        open_party(&parties[i], gram_path(names[i]), gram_address(names[i]), options);
    connect_parties(0, 0, 1);
    connect_parties(0, 1, 2);
    connect_parties(1, 0, 2);
}

static void close_party(int i)
{
    OK(vista_close_endpoint(parties[i].endpoint));
    OK(vista_unmap(parties[i].segment));
}

static void settle_all(void)
{
    for (int idle = 0; idle < 20; idle++)
        for (int i = 0; i < 3; i++)
            while (parties[i].endpoint != NULL && join(&parties[i]))
                idle = 0;
}

static void all_commit_once(void)
{
    settle_all();
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(parties[i].bank->commits, 1);
        close_party(i);
    }
}

/* The second site has no vote where `told`. */
static vista_gid begin_one(const struct order *north, const struct order *south, bool told,
                           bool away)
{
    const struct bank *bank = parties[0].bank;
    const struct vista_site sites[] = {
        {bank->peer[0], 0, north, sizeof *north},
        {bank->peer[1], told ? VISTA_ONE_PHASE : 0, south, sizeof *south}};
    vista_tx *tx = vista_begin_transaction(parties[0].segment, 0);
    vista_gid gid;

    OK(vista_coordinate(tx, parties[0].endpoint, &gid, sites, 2, away ? bank->peer[0] : 0));
    reserve(&parties[0], tx, &gid, 0);
    OK(vista_end_transaction(tx, 0));
    return gid;
}

#define YES VISTA_VOTE_YES
#define NO VISTA_VOTE_NO
#define READ VISTA_VOTE_READ_ONLY

static const struct {
    struct order north, south;
    bool told, commits;
} cases[] = {
    {{-100, YES}, {100, YES}, false, true},  {{-100, YES}, {100, NO}, false, false},
    {{-100, NO}, {100, YES}, false, false},  {{-20000, YES}, {20000, YES}, false, false},
    {{-100, READ}, {100, YES}, false, true}, {{-100, READ}, {100, READ}, false, true},
    {{-100, YES}, {100, READ}, false, true}, {{-100, READ}, {100, NO}, false, false},
    {{-100, YES}, {0, 99}, true, true},      {{-100, NO}, {0, 99}, true, false},
};

START_TEST(test_outcomes)
{
    const int64_t moved[2] = {cases[_i / 2].north.amount, cases[_i / 2].south.amount};
    const bool commits = cases[_i / 2].commits, told = cases[_i / 2].told;
    const int votes[2] = {cases[_i / 2].north.vote, cases[_i / 2].south.vote};

    open_all(NULL);
    begin_one(&cases[_i / 2].north, &cases[_i / 2].south, told, _i % 2 != 0);
    settle_all();
    for (int i = 0; i < 3; i++) {
        const struct bank *bank = parties[i].bank;
        const bool voted = i == 0 || votes[i - 1] == YES;

        ck_assert_uint_eq(agreements(&parties[i]), 0);
        ck_assert_uint_eq(bank->commits, commits && voted);
        ck_assert_uint_le(bank->aborts, !commits && voted);
        ck_assert_uint_eq(bank->told_commits, told && i == 2 && commits);
        ck_assert_uint_eq(bank->told_aborts, told && i == 2 && !commits);
        if (i > 0)
            ck_assert_int_eq(bank->money, 10000 + (commits && voted ? moved[i - 1] : 0));
        for (int n = 0; n < OPEN; n++)
            ck_assert(!bank->open[n].used);
        close_party(i);
    }
}
END_TEST

/* Two slots, and more transactions at once than they hold. */
START_TEST(test_slots)
{
    const struct vista_endpoint_options options = {.slots = 2};
    const struct order north = {-10, YES}, south = {10, YES};

    open_all(&options);
    for (int i = 0; i < 30; i++)
        begin_one(&north, &south, false, i % 3 == 0);
    ck_assert_uint_eq(agreements(&parties[0]), 30);
    settle_all();
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(agreements(&parties[i]), 0);
        ck_assert_uint_eq(parties[i].bank->commits, 30);
    }
    ck_assert_int_eq(parties[1].bank->money, 9700);
    ck_assert_int_eq(parties[2].bank->money, 10300);
    for (int i = 0; i < 3; i++)
        close_party(i);
}
END_TEST

/* What is stored is all that a party needs to go on. */
START_TEST(test_reopened)
{
    const struct order north = {-10, YES}, south = {10, YES};

    open_all(NULL);
    begin_one(&north, &south, false, _i != 0);
    for (int step = 0; step < 60; step++) {
        struct party *party = &parties[step % 3];

        join(party);
        OK(vista_close_endpoint(party->endpoint));
        party->endpoint = vista_open_endpoint(party->segment, party->bank->block,
                                              gram_address(step % 3 == 0   ? "coordinator"
                                                           : step % 3 == 1 ? "north"
                                                                           : "south"),
                                              0, NULL);
        SOME(party->endpoint);
    }
    test_sleep_us(30000);
    settle_all();
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(agreements(&parties[i]), 0);
        ck_assert_uint_eq(parties[i].bank->commits, 1);
        close_party(i);
    }
}
END_TEST

START_TEST(test_withdrawn)
{
    const struct order north = {-10, YES}, south = {10, YES};
    vista_gid gid, other = {{1, 2}};
    vista_tx *tx;

    open_all(NULL);
    gid = begin_one(&north, &south, false, false);
    while (_i != 0 && join(&parties[1])) /* has reserved; the south is asleep */
        ;
    ck_assert_int_eq(parties[1].bank->money, _i != 0 ? 9990 : 10000);
    tx = vista_begin_transaction(parties[0].segment, 0);
    FAILS(vista_withdraw(tx, parties[0].endpoint, &other), EINVAL, "does not coordinate");
    OK(vista_withdraw(tx, parties[0].endpoint, &gid));
    FAILS(vista_withdraw(tx, parties[0].endpoint, &gid), EALREADY, "decided");
    OK(vista_end_transaction(tx, 0));
    while (join(&parties[0])) /* others are still asleep */
        ;
    ck_assert_uint_eq(parties[0].bank->aborts, 1);
    settle_all();
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(agreements(&parties[i]), 0);
        ck_assert_uint_eq(parties[i].bank->commits, 0);
        ck_assert_uint_eq(parties[i].bank->aborts, 1);
        ck_assert_int_eq(parties[i].bank->money, 10000);
        close_party(i);
    }
}
END_TEST

static void forget(struct party *party, uint32_t peer)
{
    vista_tx *tx = vista_begin_transaction(party->segment, 0);

    OK(vista_forget_peer(tx, party->endpoint, peer));
    OK(vista_end_transaction(tx, 0));
}

static uint32_t client_of(const struct party *party)
{
    const struct vi_gram_table *table = party->bank->block;

    for (uint32_t i = 0; i < table->peers; i++)
        if (table->entry[i].row != NULL && table->entry[i].row->role == VI_ROLE_SERVER)
            return table->entry[i].row->id;
    return 0;
}

static void inquire(struct party *party, const vista_gid *gid)
{
    vista_tx *tx = vista_begin_transaction(party->segment, 0);

    OK(vista_inquire(tx, party->endpoint, party->bank->peer[0], gid));
    OK(vista_end_transaction(tx, 0));
}

/* The south votes yes, or was never asked, and its session breaks: the outcome is commit or abort
 * accordingly, and it learns it when it asks, also if the first answer is lost. */
START_TEST(test_broken)
{
    const struct order north = {-10, YES}, south = {10, YES};
    const bool voted = _i != 0;
    vista_gid gid;

    open_all(NULL);
    gid = begin_one(&north, &south, false, false);
    if (voted)
        while (join(&parties[2]) || join(&parties[0]))
            ;
    else
        while (join(&parties[2])) /* its vote does not come through */
            ;
    forget(&parties[0], parties[0].bank->peer[1]);
    while (join(&parties[1]) || join(&parties[0]))
        ;
    ck_assert_uint_eq(parties[0].bank->commits, voted);
    ck_assert_uint_eq(parties[1].bank->commits, voted);
    ck_assert_uint_eq(parties[0].bank->aborts, !voted);
    ck_assert_uint_eq(agreements(&parties[0]), voted); /* an abort need not be remembered */
    ck_assert_int_eq(parties[2].bank->money, 10000);
    SOME(find(parties[2].bank, &gid));

    connect_parties(2, 0, 0);
    inquire(&parties[2], &gid);
    while (join(&parties[0]))
        ;
    ck_assert_uint_eq(agreements(&parties[0]), voted);
    forget(&parties[0], client_of(&parties[0])); /* and with it the answer */
    forget(&parties[2], parties[2].bank->peer[0]);
    connect_parties(2, 0, 0);
    inquire(&parties[2], &gid);
    settle_all();
    ck_assert_int_eq(parties[2].bank->money, voted ? 10010 : 10000);
    ck_assert_uint_eq(parties[2].bank->commits, voted);
    ck_assert_uint_eq(agreements(&parties[0]), 0);
    for (int i = 0; i < 3; i++)
        close_party(i);
}
END_TEST

/* Whoever was handed it has lost whom to tell, keeps what it knows, and is asked. */
START_TEST(test_away_and_broken)
{
    const struct order north = {-10, YES}, south = {10, YES};
    vista_gid gid;
    vista_tx *tx;

    open_all(NULL);
    gid = begin_one(&north, &south, false, true);
    while (join(&parties[1]))
        ;
    tx = vista_begin_transaction(parties[0].segment, 0);
    FAILS(vista_withdraw(tx, parties[0].endpoint, &gid), EINVAL, "does not coordinate");
    OK(vista_inquire(tx, parties[0].endpoint, parties[0].bank->peer[0], &gid));
    OK(vista_end_transaction(tx, 0));
    while (join(&parties[1]) || join(&parties[0])) /* undecided */
        ;
    ck_assert_uint_eq(agreements(&parties[0]), 1);
    forget(&parties[1], client_of(&parties[1]));
    while (join(&parties[2]) || join(&parties[1]))
        ;
    ck_assert_uint_eq(parties[1].bank->commits, 1);
    ck_assert_uint_eq(parties[2].bank->commits, 1);
    ck_assert_uint_eq(agreements(&parties[1]), 1);

    forget(&parties[0], parties[0].bank->peer[0]);
    connect_parties(0, 0, 1);
    tx = vista_begin_transaction(parties[0].segment, 0);
    OK(vista_inquire(tx, parties[0].endpoint, parties[0].bank->peer[0], &gid));
    OK(vista_end_transaction(tx, 0));
    settle_all();
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(agreements(&parties[i]), 0);
        ck_assert_uint_eq(parties[i].bank->commits, 1);
        close_party(i);
    }
}
END_TEST

static void withdraw(struct party *party, const vista_gid *gid)
{
    vista_tx *tx = vista_begin_transaction(party->segment, 0);

    OK(vista_withdraw(tx, party->endpoint, gid));
    FAILS(vista_withdraw(tx, party->endpoint, gid), EALREADY, "decided");
    OK(vista_end_transaction(tx, 0));
}

/* The session with whoever was handed it is lost with the answer, or with the news that this has
 * been stored: what was committed is remembered there until then, and said again here. */
START_TEST(test_away_answer_lost)
{
    const struct order north = {-10, YES}, south = {10, YES};
    vista_gid gid;

    open_all(NULL);
    gid = begin_one(&north, &south, false, true);
    while (join(&parties[1]) || join(&parties[2]))
        ;
    while (_i == 1 && join(&parties[0]))
        ;
    ck_assert_uint_eq(parties[0].bank->commits, _i == 1);
    ck_assert_uint_eq(parties[1].bank->commits, 1);
    ck_assert_uint_eq(parties[2].bank->commits, 1);
    forget(&parties[0], parties[0].bank->peer[0]);
    forget(&parties[1], client_of(&parties[1]));
    ck_assert_uint_eq(agreements(&parties[0]), 1);
    ck_assert_uint_eq(agreements(&parties[1]), 1);
    if (_i == 2) { /* the record is kept until it is given up */
        settle_all();
        ck_assert_uint_eq(agreements(&parties[1]), 1);
        withdraw(&parties[1], &gid);
        settle_all();
        ck_assert_uint_eq(agreements(&parties[1]), 0);
        return;
    }
    connect_parties(0, 0, 1);
    if (_i == 0)
        inquire(&parties[0], &gid);
    settle_all();
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(agreements(&parties[i]), 0);
        ck_assert_uint_eq(parties[i].bank->commits, 1);
        ck_assert_uint_eq(parties[i].bank->aborts, 0);
        close_party(i);
    }
}
END_TEST

/* A coordinator that has lost a site tells it when it is connected to it anew; again, where it had
 * been told and the answer was lost. */
START_TEST(test_told_anew)
{
    const struct order north = {-10, YES}, south = {10, YES};

    open_all(NULL);
    begin_one(&north, &south, false, false);
    while (join(&parties[2]) || join(&parties[0]))
        ;
    may_be_unknown = _i != 0;
    while (_i != 0 && parties[2].bank->commits == 0) {
        join(&parties[0]);
        join(&parties[1]);
        join(&parties[2]);
    }
    forget(&parties[0], parties[0].bank->peer[1]);
    forget(&parties[2], client_of(&parties[2]));
    while (join(&parties[1]) || join(&parties[0]))
        ;
    ck_assert_uint_eq(parties[1].bank->commits, 1);
    ck_assert_uint_eq(parties[2].bank->commits, _i != 0);
    connect_parties(0, 1, 2);
    settle_all();
    ck_assert_uint_eq(agreements(&parties[0]), 0);
    all_commit_once();
}
END_TEST

/* Who coordinates what was handed over may be a site without a vote, too. */
START_TEST(test_no_vote_at_coordinator)
{
    const struct order told = {0, 99}, south = {10, _i != 0 ? YES : NO};
    const struct bank *bank;
    struct vista_site sites[] = {{0, VISTA_ONE_PHASE, &told, sizeof told},
                                 {0, 0, &south, sizeof south}};
    vista_tx *tx;
    vista_gid gid;

    open_all(NULL);
    bank = parties[0].bank;
    sites[0].peer = bank->peer[0];
    sites[1].peer = bank->peer[1];
    tx = vista_begin_transaction(parties[0].segment, 0);
    OK(vista_coordinate(tx, parties[0].endpoint, &gid, sites, 2, bank->peer[0]));
    reserve(&parties[0], tx, &gid, 0);
    OK(vista_end_transaction(tx, 0));
    settle_all();
    ck_assert_uint_eq(parties[1].bank->told_commits, _i != 0);
    ck_assert_uint_eq(parties[1].bank->told_aborts, _i == 0);
    ck_assert_uint_eq(parties[1].bank->commits + parties[1].bank->aborts, 0);
    ck_assert_uint_eq(parties[0].bank->commits, _i != 0);
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(agreements(&parties[i]), 0);
        close_party(i);
    }
}
END_TEST

/* A site that another transaction would forget, and does not, is asked afterwards. */
START_TEST(test_not_forgotten)
{
    const struct order north = {-10, YES}, south = {10, YES};
    vista_tx *tx;

    open_all(NULL);
    tx = vista_begin_transaction(parties[0].segment, 0);
    OK(vista_forget_peer(tx, parties[0].endpoint, parties[0].bank->peer[1]));
    begin_one(&north, &south, false, false);
    OK(vista_abort_transaction(tx));
    all_commit_once();
}
END_TEST

/* The south coordinates nothing, and so cannot tell the north that it was aborted. */
START_TEST(test_other_asked)
{
    const struct order north = {-10, YES}, south = {10, YES};
    vista_gid gid;

    open_all(NULL);
    gid = begin_one(&north, &south, false, _i != 0);
    join(&parties[1]);
    inquire(&parties[1], &gid);
    while (join(&parties[2]) || join(&parties[1]))
        ;
    ck_assert_uint_eq(parties[1].bank->aborts, 0);
    settle_all();
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(parties[i].bank->commits, 1);
        ck_assert_uint_eq(agreements(&parties[i]), 0);
        close_party(i);
    }
}
END_TEST

/* Is asked for something, and answers the newest request with this.  The others are left. */
static void answer_newest(struct party *party, uint32_t kind)
{
    struct vi_saying says;
    vista_request request, newest = {0};
    vista_tx *tx = vista_begin_transaction(party->segment, 0);
    char message[4096];

    while (vista_receive_request(tx, party->endpoint, message, sizeof message, &request, 0) >= 0) {
        memcpy(&says, message, sizeof says);
        newest = request;
        if (says.kind == VI_SAY_INQUIRE)
            break;
    }
    says.kind = kind;
    OK(vista_send_response(tx, party->endpoint, &newest, &says, sizeof says));
    OK(vista_end_transaction(tx, 0));
}

/* The inquiry's answer is from before the record arrived there. */
START_TEST(test_overtaken)
{
    const struct order north = {-10, YES}, south = {10, YES};
    vista_gid gid;

    open_all(NULL);
    gid = begin_one(&north, &south, false, true);
    inquire(&parties[0], &gid);
    answer_newest(&parties[1], VI_SAY_ABORT);
    while (join(&parties[0]))
        ;
    ck_assert_uint_eq(agreements(&parties[0]), 1);
    ck_assert_uint_eq(parties[0].bank->aborts, 0);
    for (int i = 0; i < 3; i++)
        close_party(i);
}
END_TEST

/* A request that is none is answered with nothing, and a one-way one not at all. */
START_TEST(test_nonsense)
{
    const struct order north = {-10, YES}, south = {10, YES};
    static const unsigned char garbage[200] = "VGTA and then something else";
    const struct vista_site none = {99, 0, NULL, 0};
    vista_tx *tx;
    vista_request request;
    vista_gid gid;

    open_all(NULL);
    may_be_unknown = true;
    tx = vista_begin_transaction(parties[0].segment, 0);
    for (unsigned i = 0; i < 8; i++)
        OK(vista_send_request(tx, parties[0].endpoint, parties[0].bank->peer[0], garbage, i * 28,
                              i % 2 ? VISTA_ONE_WAY : 0, &request));
    for (uint32_t kind = 0; kind < 14; kind++) {
        struct vi_agreement says = {.says = {VI_AGREEMENT_MAGIC, VI_SAY_HAND_OVER, {{kind, 7}}},
                                    .count = kind * 1000,
                                    .size = kind * 40};

        OK(vista_send_request(tx, parties[0].endpoint, parties[0].bank->peer[1], &says, sizeof says,
                              kind % 2 ? VISTA_ONE_WAY : 0, &request));
    }
    OK(vista_end_transaction(tx, 0));
    settle_all();
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(agreements(&parties[i]), 0);
    tx = vista_begin_transaction(parties[0].segment, 0);
    FAILS(vista_coordinate(tx, parties[0].endpoint, &gid, &none, 1, 0), EINVAL, "no peer");
    FAILS(vista_coordinate(tx, parties[0].endpoint, &gid, &none, 0, 0), EINVAL, "");
    FAILS(vista_coordinate(tx, parties[0].endpoint, &gid, NULL, 1, 0), EINVAL, "");
    FAILS(vista_inquire(tx, parties[0].endpoint, 99, &gid), EINVAL, "");
    FAILS(vista_join(tx, parties[0].endpoint, NULL, NULL), EINVAL, "");
    OK(vista_abort_transaction(tx));
    begin_one(&north, &south, false, false);
    settle_all();
    ck_assert_uint_eq(parties[0].bank->commits, 1);
    for (int i = 0; i < 3; i++)
        close_party(i);
}
END_TEST

/* A record of one site, which a stranger hands over to the north, spoilt in one way
 * each; the last is sound, and asked for one-way. */
START_TEST(test_strange_record)
{
    static const uint32_t offsets[] = {80 + 56, 80, 0, 8}, flags[] = {0, 2, 4};
    struct strange {
        struct vi_saying says;
        _Alignas(struct vi_agreement) unsigned char head[sizeof(struct vi_agreement)];
        struct vi_site site;
        struct vi_saying asks;
        struct order order;
    } to = {.says = {VI_AGREEMENT_MAGIC, VI_SAY_HAND_OVER, {{77, 0}}},
            .site = {.length = sizeof to.asks + sizeof to.order}};
    struct vi_agreement of = {.size = sizeof to - sizeof to.says};
    const int bad = _i;
    vista_request request;
    vista_tx *tx;

    open_all(NULL);
    may_be_unknown = true;
    memcpy(&to.says.gid.part[1], parties[1].bank->block->uuid, 8);
    memcpy(to.site.uuid, parties[2].bank->block->uuid, sizeof to.site.uuid);
    of.says = to.asks = to.says;
    of.says.kind = 0;
    to.asks.kind = bad == 6 ? VI_SAY_COMMIT : VI_SAY_PREPARE;
    to.asks.gid.part[0] += bad == 7;
    of.says.gid.part[0] += bad == 8;
    of.count = bad != 9;
    to.order = (struct order){10, YES};
    to.site.offset = offsets[bad < 4 ? bad : 0];
    to.site.flags = flags[bad == 4 || bad == 5 ? bad - 3 : 0];
    memcpy(to.head, &of, sizeof to.head);
    tx = vista_begin_transaction(parties[0].segment, 0);
    OK(vista_send_request(tx, parties[0].endpoint, parties[0].bank->peer[0], &to, sizeof to,
                          bad == 10 ? VISTA_ONE_WAY : 0, &request));
    OK(vista_end_transaction(tx, 0));
    while (join(&parties[1]))
        ck_assert_uint_eq(agreements(&parties[1]), bad == 0);
    settle_all();
    ck_assert_int_eq(parties[2].bank->commits, bad == 0);
    for (int i = 0; i < 3; i++)
        close_party(i);
}
END_TEST

/* A peer that takes no message as long as a vote is asked for none. */
START_TEST(test_no_room_for_a_vote)
{
    const struct order north = {-10, YES}, south = {10, YES};
    struct vi_gram_table *table;
    struct vi_gram_row *row;
    vista_tx *tx;

    open_all(NULL);
    table = parties[1].bank->block;
    row = table->entry[client_of(&parties[1]) % table->peers].row;
    tx = vista_begin_transaction(parties[1].segment, 0);
    OK(vista_set_range(tx, row, sizeof *row));
    row->message_max = sizeof(struct vi_saying) - 1;
    vi_table_seal(row, sizeof *row, &row->crc);
    OK(vista_end_transaction(tx, 0));
    begin_one(&north, &south, false, _i != 0);
    settle_all();
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(agreements(&parties[i]), 0);
        ck_assert_uint_eq(parties[i].bank->commits, 0);
        ck_assert_int_eq(parties[i].bank->money, 10000);
        close_party(i);
    }
}
END_TEST

static int not_now(void *arg, vista_tx *tx, const vista_gid *gid, const void *message,
                   size_t length)
{
    (void)arg, (void)tx, (void)gid, (void)message, (void)length;
    return errno = EAGAIN, -1;
}

/* A callback's EAGAIN is told from there being nothing to do: the message would be lost. */
START_TEST(test_not_now)
{
    static const struct vista_participant with = {.prepare = not_now};
    const struct order north = {-10, YES}, south = {10, YES};
    vista_tx *tx;

    open_all(NULL);
    begin_one(&north, &south, false, _i != 0);
    tx = vista_begin_transaction(parties[1].segment, 0);
    FAILS(vista_join(tx, parties[1].endpoint, &with, NULL), EBUSY, "EAGAIN");
    OK(vista_abort_transaction(tx));
    all_commit_once();
}
END_TEST

/* A record is judged before it is believed. */
START_TEST(test_damaged)
{
    const struct order north = {-10, YES}, south = {10, YES};
    const char *coordinator = gram_path("coordinator");
    struct vi_gram_table *table;
    struct vi_agreement *of;
    char command[1024];
    vista_tx *tx;

    open_all(NULL);
    begin_one(&north, &south, false, false);
    table = parties[0].bank->block;
    of = table->agreements;
    OK(vista_close_endpoint(parties[0].endpoint));
    OK(vista_unmap(parties[0].segment));
    snprintf(command, sizeof command, "%s/vista grams '%s'", build_directory(), coordinator);
    if (run_shell(command) == 0) /* else it is not built: test/grams_mutants */
        SOME(strstr(output, "of several sites: undecided, 0 of 2 done"));
    parties[0].segment = vista_map(coordinator, 0, 0, NULL);
    SOME(parties[0].segment);
    parties[0].bank = vista_root(parties[0].segment, 0);
    for (size_t at = 0; at < of->size; at += 3) {
        unsigned char *byte = (unsigned char *)of + at;

        tx = vista_begin_transaction(parties[0].segment, 0);
        OK(vista_set_range(tx, byte, 1));
        *byte ^= 0x21;
        OK(vista_end_transaction(tx, 0));
        parties[0].endpoint =
            vista_open_endpoint(parties[0].segment, table, gram_address("again"), 0, NULL);
        ck_assert_msg(parties[0].endpoint == NULL && errno == EBADMSG, "byte %zu", at);
        tx = vista_begin_transaction(parties[0].segment, 0);
        OK(vista_set_range(tx, byte, 1));
        *byte ^= 0x21;
        OK(vista_end_transaction(tx, 0));
    }
    parties[0].endpoint =
        vista_open_endpoint(parties[0].segment, table, gram_address("again"), 0, NULL);
    SOME(parties[0].endpoint);
    for (int i = 0; i < 3; i++)
        close_party(i);
}
END_TEST

/* ---- Killed ------------------------------------------------------------------- */

static struct shared {
    char address[3][64];
    const char *path[3];
    struct gram_faults faults;
    uint64_t stream, begun;
    bool finish, quiet[3];
} * shared;
static struct test_random random_of;

static void end(vista_tx *tx)
{
    if (test_below(&random_of, 12) == 0)
        REQUIRE(vista_abort_transaction(tx) == 0);
    else
        REQUIRE(vista_end_transaction(tx, 0) == 0);
}

/* Both sites and, without a vote, the south once more. */
static void begin_random(struct party *party)
{
    static const int votes[] = {YES, YES, YES, YES, YES, NO};
    const int64_t amount = 1 + (int64_t)test_below(&random_of, 500);
    const int64_t sign = test_below(&random_of, 2) ? 1 : -1;
    const struct order north = {-sign * amount, votes[test_below(&random_of, 6)]};
    const struct order south = {sign * amount, votes[test_below(&random_of, 6)]}, told = {0, 99};
    const struct vista_site sites[] = {
        {party->bank->peer[0], 0, &north, sizeof north},
        {party->bank->peer[1], 0, &south, sizeof south},
        {party->bank->peer[1], VISTA_ONE_PHASE, &told, sizeof told},
    };
    vista_tx *tx;
    vista_gid gid;

    if (find(party->bank, NULL) == NULL || agreements(party) > 24)
        return;
    tx = vista_begin_transaction(party->segment, 0);
    REQUIRE(vista_coordinate(tx, party->endpoint, &gid, sites, 3,
                             test_below(&random_of, 3) == 0 ? party->bank->peer[0] : 0) == 0);
    reserve(party, tx, &gid, 0);
    if (test_below(&random_of, 8) == 0 && vista_withdraw(tx, party->endpoint, &gid) != 0)
        REQUIRE(errno == EINVAL);
    end(tx);
    shared->begun++;
}

static void join_or_abort(struct party *party)
{
    for (int i = 0; i < 20; i++) {
        vista_tx *tx = vista_begin_transaction(party->segment, 0);

        if (vista_join(tx, party->endpoint, &callbacks, party) != 0) {
            REQUIRE(errno == EAGAIN);
            REQUIRE(vista_abort_transaction(tx) == 0);
            return;
        }
        end(tx);
    }
}

static bool is_quiet(const struct party *party)
{
    struct vista_endpoint_info info;

    REQUIRE(vista_endpoint_info(party->endpoint, &info) == 0);
    REQUIRE(info.broken == 0);
    return info.agreements == 0 && info.unanswered == 0 && info.executing == 0;
}

static void connect_killed(struct party *party, int which, int to)
{
    uint32_t peer;

    while (party->bank->peer[which] == 0)
        if (vista_connect(party->endpoint, shared->address[to], NULL, &peer, 1000) == 0)
            keep_peer(party, which, peer);
        else
            REQUIRE(errno == ETIMEDOUT);
}

static void run_party(void *arg)
{
    const int which = (int)(intptr_t)arg;
    struct party *party = &parties[which];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    random_of = test_random_new(shared->stream * 3 + (uint64_t)which);
    gram_network(&shared->faults);
    open_party(party, shared->path[which], shared->address[which], NULL);
    if (which == 0)
        connect_killed(party, 0, 1);
    if (which == 0)
        connect_killed(party, 1, 2);
    if (which == 1)
        connect_killed(party, 0, 2);
    for (;;) {
        struct vista_ready ready = {.endpoint = party->endpoint,
                                    .wanted = VISTA_REQUEST | VISTA_RESPONSE};

        if (which == 0 && !shared->finish)
            begin_random(party);
        REQUIRE(vista_select(&ready, 1, 2) >= 0);
        join_or_abort(party);
        __atomic_store_n(&shared->quiet[which], shared->finish && is_quiet(party),
                         __ATOMIC_SEQ_CST);
    }
}

static pid_t child[3];

static void start(int which)
{
    shared->stream++;
    shared->faults.seed = test_seed() + shared->stream;
    child[which] = test_fork(run_party, (void *)(intptr_t)which);
}

static void kill_one(int which)
{
    kill(child[which], SIGKILL);
    ck_assert_int_eq(test_wait(child[which]), 128 + SIGKILL);
}

/* Quiet at one moment may be a moment before the next message: all are, three times. */
static void await_quiet(void)
{
    for (int times = 0; times < 3; times++) {
        for (int i = 0; i < 3; i++)
            while (!__atomic_load_n(&shared->quiet[i], __ATOMIC_SEQ_CST)) {
                times = 0;
                test_sleep_us(5000);
            }
        test_sleep_us(30000);
    }
}

static void compare(unsigned kills)
{
    struct bank *banks[3];
    vista_segment *segments[3];

    for (int i = 0; i < 3; i++) {
        segments[i] = vista_map(shared->path[i], 0, 0, NULL);
        SOME(segments[i]);
        banks[i] = vista_root(segments[i], 0);
        for (int n = 0; n < OPEN; n++)
            ck_assert_msg(!banks[i]->open[n].used, "party %d still has something reserved", i);
    }
    ck_assert_int_eq(banks[1]->money + banks[2]->money, 20000);
    for (int i = 1; i < 3; i++) {
        ck_assert_uint_eq(banks[i]->commits, banks[0]->commits);
        ck_assert_uint_eq(banks[i]->committed, banks[0]->committed);
    }
    ck_assert_uint_eq(banks[2]->told_commits, banks[0]->commits);
    ck_assert_uint_eq(banks[2]->told_committed, banks[0]->committed);
    ck_assert_uint_eq(banks[2]->told_aborts, banks[0]->aborts);
    ck_assert_uint_gt(banks[0]->commits, 0);
    printf("%u kills, %llu commits, %llu aborts, each at all sites\n", kills,
           (unsigned long long)banks[0]->commits, (unsigned long long)banks[0]->aborts);
    for (int i = 0; i < 3; i++)
        OK(vista_unmap(segments[i]));
}

static const struct gram_faults networks[] = {
    {0},
    {.loss = 50,
     .refusal = 50,
     .duplication = 50,
     .delay = 100,
     .delay_us = 2000,
     .corruption = 20},
};

START_TEST(test_kills)
{
    static const char *const names[] = {"coordinator", "north", "south"};
    const unsigned kills = test_times(40);
    struct test_random random = test_random_new(2000 + (uint64_t)_i);

    shared = test_share(sizeof *shared);
    shared->faults = networks[_i];
    for (int i = 0; i < 3; i++) {
        shared->path[i] = gram_path(names[i]);
        strcpy(shared->address[i], gram_address(names[i]));
    }
    for (int i = 0; i < 3; i++)
        start(i);
    for (unsigned n = 0; n < kills; n++) {
        const int which = (int)test_below(&random, 3);

        test_sleep_us(test_below(&random, test_below(&random, 4) == 0 ? 40000 : 8000));
        kill_one(which);
        start(which);
    }
    while (shared->begun < 20)
        test_sleep_us(10000);
    shared->finish = true;
    await_quiet();
    for (int i = 0; i < 3; i++)
        kill_one(i);
    compare(kills);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("grams_sites");
    TCase *tcase = test_case(suite, "sites", 20), *killed;

    tcase_add_loop_test(tcase, test_outcomes, 0, 2 * (int)(sizeof cases / sizeof *cases));
    tcase_add_test(tcase, test_slots);
    tcase_add_loop_test(tcase, test_reopened, 0, 2);
    tcase_add_loop_test(tcase, test_withdrawn, 0, 2);
    tcase_add_loop_test(tcase, test_broken, 0, 2);
    tcase_add_test(tcase, test_away_and_broken);
    tcase_add_loop_test(tcase, test_away_answer_lost, 0, 3);
    tcase_add_loop_test(tcase, test_told_anew, 0, 2);
    tcase_add_loop_test(tcase, test_other_asked, 0, 2);
    tcase_add_loop_test(tcase, test_no_vote_at_coordinator, 0, 2);
    tcase_add_test(tcase, test_not_forgotten);
    tcase_add_test(tcase, test_overtaken);
    tcase_add_test(tcase, test_nonsense);
    tcase_add_loop_test(tcase, test_strange_record, 0, 11);
    tcase_add_loop_test(tcase, test_no_room_for_a_vote, 0, 2);
    tcase_add_loop_test(tcase, test_not_now, 0, 2);
    tcase_add_test(tcase, test_damaged);
    killed = test_case(suite, "kill", 30 + 3 * test_scale());
    tcase_add_loop_test(killed, test_kills, 0, (int)(sizeof networks / sizeof *networks));
    return test_run(suite);
}
