/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Example 16: a journey is a room and a seat, of two houses on two machines: both are booked or
 * neither is, whichever of the three dies, and whenever.
 *
 *     cc -o booking 16_booking.c $(pkg-config --cflags --libs vista)
 *
 *     ./booking hotel.vista serve udp:127.0.0.1:7001 10 &          has 10
 *     ./booking train.vista serve udp:127.0.0.1:7002 5 &
 *     ./booking me.vista book udp:127.0.0.1:7001 udp:127.0.0.1:7002         booked
 *     ./booking me.vista book udp:127.0.0.1:7001 udp:127.0.0.1:7002 kill    dies when it has asked
 *     ./booking me.vista book udp:127.0.0.1:7001 udp:127.0.0.1:7002         hears of both
 *     ./booking hotel.vista show                                   what it has, and what is held
 *
 * A house holds one when it is asked, and votes; it is sold when the traveller's end has decided
 * so, and free again otherwise.  Each step is a transaction of one house; none waits for another
 * with anything locked.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vista_grams.h>

#define HELD 64 /* at a time */

struct house {
    void *endpoint;
    long left, held, sold;             /* of a house */
    vista_gid gid[HELD];               /* of what is held, else zero */
    long under_way, booked, not_to_be; /* of a traveller */
};

static vista_segment *segment;
static struct house *house;
static vista_endpoint *endpoint;

static void must(int good)
{
    if (good)
        return;
    fprintf(stderr, "booking: %s\n", vista_errormsg());
    exit(1);
}

static vista_tx *begin(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    must(tx != NULL && vista_set_range(tx, house, sizeof *house) == 0);
    return tx;
}

static void open_house(const char *path, const char *address, long left)
{
    vista_tx *tx;

    segment = vista_map(path, 4 << 20, VISTA_CREATE, NULL);
    must(segment != NULL);
    house = vista_root(segment, sizeof *house);
    must(house != NULL);
    if (house->endpoint == NULL) {
        tx = begin();
        house->endpoint = vista_create_endpoint(tx, NULL);
        house->left = left;
        must(house->endpoint != NULL && vista_end_transaction(tx, 0) == 0);
    }
    if (address == NULL)
        return;
    endpoint = vista_open_endpoint(segment, house->endpoint, address, 0, NULL);
    must(endpoint != NULL);
}

/* ---- What vista_join calls, in a transaction in which the house is declared --- */

static vista_gid *find(const vista_gid *gid)
{
    for (vista_gid *held = house->gid; held < house->gid + HELD; held++)
        if (memcmp(held, gid, sizeof *gid) == 0)
            return held;
    return NULL;
}

static int hold(void *arg, vista_tx *tx, const vista_gid *gid, const void *message, size_t length)
{
    static const vista_gid none;
    vista_gid *held = find(&none);

    (void)arg, (void)tx, (void)message, (void)length;
    if (house->left == 0 || held == NULL)
        return VISTA_VOTE_NO;
    *held = *gid;
    house->left--;
    house->held++;
    return VISTA_VOTE_YES;
}

/* An outcome may be told again, of what is held no more: that changes nothing. */
static int settle(const vista_gid *gid, long *to)
{
    vista_gid *held = find(gid);

    if (held == NULL)
        return 0;
    *held = (vista_gid){{0}};
    house->held--;
    ++*to;
    return 0;
}

static int sell(void *arg, vista_tx *tx, const vista_gid *gid)
{
    (void)arg, (void)tx;
    return settle(gid, &house->sold);
}

static int let_go(void *arg, vista_tx *tx, const vista_gid *gid)
{
    (void)arg, (void)tx;
    return settle(gid, &house->left);
}

static int booked(void *arg, vista_tx *tx, const vista_gid *gid)
{
    (void)arg, (void)tx, (void)gid;
    house->under_way--;
    house->booked++;
    puts("booked");
    return 0;
}

static int refused(void *arg, vista_tx *tx, const vista_gid *gid)
{
    (void)arg, (void)tx, (void)gid;
    house->under_way--;
    house->not_to_be++;
    puts("not to be had");
    return 0;
}

static const struct vista_participant seller = {.prepare = hold, .commit = sell, .abort = let_go};
static const struct vista_participant traveller = {.commit = booked, .abort = refused};

/* What is due, in a transaction; waits where nothing is. */
static void join(const struct vista_participant *with)
{
    struct vista_ready ready = {.endpoint = endpoint, .wanted = VISTA_REQUEST | VISTA_RESPONSE};
    vista_tx *tx = begin();

    if (vista_join(tx, endpoint, with, NULL) == 0) {
        must(vista_end_transaction(tx, 0) == 0);
        return;
    }
    must(errno == EAGAIN);
    must(vista_abort_transaction(tx) == 0);
    must(vista_select(&ready, 1, -1) == 1);
}

static void book(const char *const *houses, int dies)
{
    struct vista_site sites[2] = {{.message = "one", .length = 3}, {.message = "one", .length = 3}};
    vista_gid gid;
    vista_tx *tx;

    for (int i = 0; i < 2; i++)
        must(vista_connect(endpoint, houses[i], NULL, &sites[i].peer, -1) == 0);
    while (house->under_way > 0) /* of an earlier life */
        join(&traveller);
    tx = begin();
    must(vista_coordinate(tx, endpoint, &gid, sites, 2, 0) == 0);
    house->under_way++;
    must(vista_end_transaction(tx, 0) == 0);
    if (dies)
        raise(SIGKILL);
    while (house->under_way > 0)
        join(&traveller);
}

/* Until the houses have heard of the outcome, too. */
static void tell(void)
{
    struct vista_endpoint_info info;

    while (vista_endpoint_info(endpoint, &info) == 0 && info.agreements > 0)
        join(&traveller);
}

static void show(void)
{
    printf("%ld left, %ld held, %ld sold; %ld under way, %ld booked, %ld not\n", house->left,
           house->held, house->sold, house->under_way, house->booked, house->not_to_be);
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[2] : "";

    if (argc == 5 && strcmp(what, "serve") == 0) {
        open_house(argv[1], argv[3], strtol(argv[4], NULL, 10));
        for (;;)
            join(&seller);
    } else if (argc >= 5 && strcmp(what, "book") == 0) {
        open_house(argv[1], strncmp(argv[3], "udp:", 4) == 0 ? "udp:127.0.0.1:0" : "unix:", 0);
        book((const char *const *)argv + 3, argc > 5);
        tell();
        must(vista_close_endpoint(endpoint) == 0);
    } else if (argc == 3 && strcmp(what, "show") == 0) {
        open_house(argv[1], NULL, 0);
        show();
    } else {
        fprintf(stderr, "usage: booking FILE serve ADDRESS COUNT\n"
                        "       booking FILE book ADDRESS ADDRESS [kill]\n"
                        "       booking FILE show\n");
        return 2;
    }
    return vista_unmap(segment) != 0;
}
