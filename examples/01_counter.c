/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Example 1: a counter that goes on where it was.
 *
 *     cc -o counter 01_counter.c $(pkg-config --cflags --libs vista)
 *
 *     ./counter counter.vista          counts to 1
 *     ./counter counter.vista          counts to 2
 *     ./counter counter.vista kill     dies between the store of 3 and the commit
 *     ./counter counter.vista          says what was rolled back, counts to 3
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <vista.h>

struct counter {
    unsigned long runs;
};

static void fail(void)
{
    fprintf(stderr, "counter: %s\n", vista_errormsg());
    exit(1);
}

int main(int argc, char **argv)
{
    vista_segment *segment;
    struct vista_info info;
    struct counter *counter;
    vista_tx *tx;

    if (argc < 2) {
        fprintf(stderr, "usage: %s FILE [kill]\n", argv[0]);
        return 2;
    }

    /* The file becomes memory.  If its last user was killed, this recovers it. */
    segment = vista_map(argv[1], 1 << 20, VISTA_CREATE, NULL);
    if (segment == NULL || vista_info(segment, &info) != 0)
        fail();
    if (info.rolled_back != 0)
        printf("recovered: rolled back what a killed run had not committed\n");

    /* The root is where a program finds its data again; zeroed when it is new. */
    counter = vista_root(segment, sizeof *counter);
    if (counter == NULL)
        fail();

    /* First declare what will change, then change it by plain stores. */
    tx = vista_begin_transaction(segment, 0);
    if (tx == NULL || vista_set_range(tx, &counter->runs, sizeof counter->runs) != 0)
        fail();
    counter->runs++;
    if (argc > 2)
        raise(SIGKILL);
    if (vista_end_transaction(tx, 0) != 0)
        fail();

    printf("%lu\n", counter->runs);
    return vista_unmap(segment) == 0 ? 0 : (fail(), 1);
}
