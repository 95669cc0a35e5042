/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The functions that vista.h inlines into programs, compiled like the library's own
 * objects, so that their stores are seen.
 */
#include "inlined.h"

vista_tx *inlined_begin(vista_segment *segment)
{
    return vista_begin_transaction(segment, 0);
}

int inlined_set_range(vista_tx *tx, void *address, size_t length)
{
    switch (length) { /* known to the compiler: else it is an ordinary call */
    case 1:
        return vista_set_range(tx, address, 1);
    case 8:
        return vista_set_range(tx, address, 8);
    case 24:
        return vista_set_range(tx, address, 24);
    case 37:
        return vista_set_range(tx, address, 37);
    case 256:
        return vista_set_range(tx, address, 256);
    default:
        return vista_set_range(tx, address, length);
    }
}

int inlined_end(vista_tx *tx)
{
    return vista_end_transaction(tx, 0);
}
