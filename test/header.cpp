/* SPDX-License-Identifier: BSD-3-Clause
 *
 * All that vista.h has inlined, in a C++ program that wants to hear of every cast:
 * install_test compiles it.
 */
#include <vista.h>

int move_amount(vista_segment *segment, long *from, long *to, long amount);

int move_amount(vista_segment *segment, long *from, long *to, long amount)
{
    const iovec ranges[] = {{from, sizeof *from}, {to, sizeof *to}};
    vista_tx *tx = vista_begin_transaction(segment, 0);

    if (vista_set_ranges(tx, ranges, 2) != 0 || vista_set_range(tx, to, sizeof *to) != 0)
        return vista_abort_transaction(tx);
    *from -= amount;
    *to += amount;
    return vista_end_transaction(tx, 0);
}
