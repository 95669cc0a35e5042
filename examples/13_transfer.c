/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Example 13: money moves between two banks on two machines, and none is lost or made, whichever
 * of them dies, and whenever.
 *
 *     cc -o transfer 13_transfer.c $(pkg-config --cflags --libs vista)
 *
 *     ./transfer south.vista serve udp:127.0.0.1:7001 &
 *     ./transfer north.vista send udp:127.0.0.1:7001 70         70 leave the north, and arrive
 *     ./transfer north.vista send udp:127.0.0.1:7001 5 kill     dies when 5 have left
 *     ./transfer north.vista send udp:127.0.0.1:7001 0          what was under way arrives
 *     ./transfer north.vista show                               what it has, and what is under way
 *
 * The debit and the request are one transaction, the credit and the response another; a refusal (the
 * south takes no more than it has room for) is credited back by the transaction that receives
 * it.  At any moment: north + under way + south is what it was, where what has arrived and
 * whose answer has not is counted once, by the numbers of the transfers.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vista_grams.h>

#define MOST 5000 /* that a bank has room for */

struct bank {
    void *endpoint;
    uint32_t other;
    long money;
    long under_way; /* sent, and not yet answered */
    unsigned long sent, refused, arrived;
};

struct answer {
    int taken;
};

static vista_segment *segment;
static struct bank *bank;
static vista_endpoint *endpoint;

static void must(int good)
{
    if (good)
        return;
    fprintf(stderr, "transfer: %s\n", vista_errormsg());
    exit(1);
}

static vista_tx *begin(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    must(tx != NULL && vista_set_range(tx, bank, sizeof *bank) == 0);
    return tx;
}

static void open_bank(const char *path, const char *address)
{
    vista_tx *tx;

    segment = vista_map(path, 4 << 20, VISTA_CREATE, NULL);
    must(segment != NULL);
    bank = vista_root(segment, sizeof *bank);
    must(bank != NULL);
    if (bank->endpoint == NULL) {
        tx = begin();
        bank->endpoint = vista_create_endpoint(tx, NULL);
        bank->money = 1000;
        must(bank->endpoint != NULL && vista_end_transaction(tx, 0) == 0);
    }
    if (address == NULL)
        return;
    endpoint = vista_open_endpoint(segment, bank->endpoint, address, 0, NULL);
    must(endpoint != NULL);
}

static void serve(void)
{
    for (;;) {
        struct vista_ready ready = {.endpoint = endpoint, .wanted = VISTA_REQUEST};
        struct answer answer;
        vista_request from;
        vista_tx *tx;
        long amount;

        must(vista_select(&ready, 1, -1) == 1);
        tx = begin();
        must(vista_receive_request(tx, endpoint, &amount, sizeof amount, &from, 0) ==
             sizeof amount);
        answer.taken = amount <= MOST - bank->money;
        if (answer.taken) {
            bank->money += amount;
            bank->arrived++;
        }
        must(vista_send_response(tx, endpoint, &from, &answer, sizeof answer) == 0);
        must(vista_end_transaction(tx, 0) == 0);
    }
}

static void send_money(long amount)
{
    vista_tx *tx = begin();
    vista_request request;

    if (amount > bank->money) {
        printf("there are only %ld\n", bank->money);
        must(vista_abort_transaction(tx) == 0);
        return;
    }
    must(vista_send_request(tx, endpoint, bank->other, &amount, sizeof amount, 0, &request) == 0);
    bank->money -= amount;
    bank->under_way += amount;
    bank->sent++;
    must(vista_end_transaction(tx, 0) == 0);
}

/* The amounts of what is unanswered are not stored: one at a time is under way, so it is that. */
static void await(void)
{
    while (bank->under_way > 0) {
        vista_tx *tx = begin();
        vista_request any = {0};
        struct answer answer;

        must(vista_receive_response(tx, endpoint, &any, &answer, sizeof answer, -1) ==
             sizeof answer);
        if (!answer.taken) {
            bank->money += bank->under_way;
            bank->refused++;
            printf("refused: the other bank is full\n");
        }
        bank->under_way = 0;
        must(vista_end_transaction(tx, 0) == 0);
    }
}

static void show(void)
{
    printf("%ld here, %ld under way; %lu sent, %lu refused, %lu arrived\n", bank->money,
           bank->under_way, bank->sent, bank->refused, bank->arrived);
}

static void run_send(const char *to, long amount, int dies)
{
    uint32_t other;
    vista_tx *tx;

    must(vista_connect(endpoint, to, NULL, &other, -1) == 0);
    tx = begin();
    bank->other = other;
    must(vista_end_transaction(tx, 0) == 0);
    await();
    if (amount > 0)
        send_money(amount);
    if (dies)
        raise(SIGKILL);
    await();
    show();
    must(vista_close_endpoint(endpoint) == 0);
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[2] : "";

    if (argc == 4 && strcmp(what, "serve") == 0) {
        open_bank(argv[1], argv[3]);
        serve();
    } else if (argc >= 5 && strcmp(what, "send") == 0) {
        open_bank(argv[1], strncmp(argv[3], "udp:", 4) == 0 ? "udp:127.0.0.1:0" : "unix:");
        run_send(argv[3], strtol(argv[4], NULL, 10), argc > 5);
    } else if (argc == 3 && strcmp(what, "show") == 0) {
        open_bank(argv[1], NULL);
        show();
    } else {
        fprintf(stderr, "usage: transfer FILE serve ADDRESS\n"
                        "       transfer FILE send ADDRESS AMOUNT [kill]\n"
                        "       transfer FILE show\n");
        return 2;
    }
    return vista_unmap(segment) != 0;
}
