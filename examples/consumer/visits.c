/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A program of its own that uses the installed library: it counts how often it was
 * run on a file, by whichever of its builds.
 *
 *     make && ./visits FILE                                 finds the library by pkg-config
 *     cmake -B build && cmake --build build && build/visits FILE    by its CMake package
 *
 * What a kill leaves: the count before or after, never another.  It is also a C++
 * program, so that either compiler can be tried on it.
 */
#include <stdio.h>

#include <vista.h>

struct visits {
    unsigned long count;
};

int main(int argc, char **argv)
{
    vista_segment *segment;
    struct visits *visits;
    vista_tx *tx;

    if (argc != 2) {
        fprintf(stderr, "usage: %s FILE\n", argv[0]);
        return 2;
    }
    segment = vista_map(argv[1], 1 << 20, VISTA_CREATE, NULL);
    visits = segment == NULL ? NULL : (struct visits *)vista_root(segment, sizeof *visits);
    tx = visits == NULL ? NULL : vista_begin_transaction(segment, 0);
    if (tx == NULL || vista_set_range(tx, &visits->count, sizeof visits->count) != 0) {
        fprintf(stderr, "visits: %s\n", vista_errormsg());
        return 1;
    }
    visits->count++;
    if (vista_end_transaction(tx, 0) != 0) {
        fprintf(stderr, "visits: %s\n", vista_errormsg());
        return 1;
    }
    printf("%lu\n", visits->count);
    if (vista_unmap(segment) != 0) {
        fprintf(stderr, "visits: %s\n", vista_errormsg());
        return 1;
    }
    return 0;
}
