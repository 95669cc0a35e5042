/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Example 5: a transfer between two banks, each in a segment of its own.
 *
 *     cc -o banks 05_two_banks.c $(pkg-config --cflags --libs vista)
 *
 *     ./banks north.vista south.vista 70         moves 70 from the north to the south
 *     ./banks north.vista south.vista 5 kill     dies when 5 have left, and not arrived
 *     ./banks north.vista south.vista            says what each has: all is there
 *
 * South shares the log of north, so that one transaction covers both.  After the kill
 * either file alone is enough to set both right: it says where the other is.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <vista.h>

struct bank {
    long opened; /* not 0: it has its first deposit */
    long money;
};

static void fail(void)
{
    fprintf(stderr, "banks: %s\n", vista_errormsg());
    exit(1);
}

static vista_segment *open_bank(const char *path, vista_segment *log, struct bank **bank)
{
    const struct vista_map_options options = {.log = log};
    vista_segment *segment = vista_map(path, 1 << 20, VISTA_CREATE, &options);
    struct vista_info info;
    vista_tx *tx;

    if (segment == NULL || vista_info(segment, &info) != 0)
        fail();
    if (info.rolled_back != 0)
        printf("recovered: a transfer that was killed half-way has not been\n");
    *bank = vista_root(segment, sizeof **bank);
    if (*bank == NULL)
        fail();
    if ((*bank)->opened)
        return segment;
    tx = vista_begin_transaction(segment, 0);
    if (tx == NULL || vista_set_range(tx, *bank, sizeof **bank) != 0)
        fail();
    **bank = (struct bank){.opened = 1, .money = 1000};
    if (vista_end_transaction(tx, 0) != 0)
        fail();
    return segment;
}

/* Begun on either: it is one and the same log. */
static void transfer(vista_segment *segment, struct bank *from, struct bank *to, long amount,
                     int dies)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    if (tx == NULL || vista_set_range(tx, &from->money, sizeof from->money) != 0 ||
        vista_set_range(tx, &to->money, sizeof to->money) != 0)
        fail();
    from->money -= amount;
    if (dies)
        raise(SIGKILL);
    to->money += amount;
    if (from->money < 0 || to->money < 0) {
        printf("refused: there is not so much\n");
        if (vista_abort_transaction(tx) != 0)
            fail();
    } else if (vista_end_transaction(tx, 0) != 0) {
        fail();
    }
}

int main(int argc, char **argv)
{
    vista_segment *north, *south;
    struct bank *from, *to;

    if (argc < 3) {
        fprintf(stderr, "usage: %s NORTH SOUTH [AMOUNT [kill]]\n", argv[0]);
        return 2;
    }
    north = open_bank(argv[1], NULL, &from);
    south = open_bank(argv[2], north, &to);
    if (argc > 3)
        transfer(south, from, to, strtol(argv[3], NULL, 10), argc > 4);
    printf("north %ld, south %ld, together %ld\n", from->money, to->money, from->money + to->money);
    if (vista_unmap(south) != 0 || vista_unmap(north) != 0)
        fail();
    return 0;
}
