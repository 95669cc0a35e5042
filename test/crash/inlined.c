/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The functions that vista.h inlines into programs, compiled like the library's own
 * objects, so that their stores are seen.
 */
#include "inlined.h"

const size_t inlined_lengths[8][7] = {
    [2] = {24, 8}, [3] = {256, 1, 256}, [7] = {8, 8, 37, 1, 8, 16, 50}};

/* How many ranges, if they have those lengths; else 0. */
static int inlined_shape(const struct iovec *ranges, int count)
{
    if (count < 2 || count > 7 || inlined_lengths[count][0] == 0)
        return 0;
    for (int i = 0; i < count; i++)
        if (ranges[i].iov_len != inlined_lengths[count][i])
            return 0;
    return count;
}

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

#define RANGE(i, length) \
    { \
        ranges[i].iov_base, length \
    }

int inlined_set_ranges(vista_tx *tx, const struct iovec *ranges, int count)
{
    switch (inlined_shape(ranges, count)) {
    case 2: {
        const struct iovec two[] = {RANGE(0, 24), RANGE(1, 8)};

        return vista_set_ranges(tx, two, 2);
    }
    case 3: {
        const struct iovec three[] = {RANGE(0, 256), RANGE(1, 1), RANGE(2, 256)};

        return vista_set_ranges(tx, three, 3);
    }
    case 7: {
        const struct iovec seven[] = {RANGE(0, 8), RANGE(1, 8),  RANGE(2, 37), RANGE(3, 1),
                                      RANGE(4, 8), RANGE(5, 16), RANGE(6, 50)};

        return vista_set_ranges(tx, seven, 7);
    }
    default:
        return vista_set_ranges(tx, ranges, count);
    }
}

int inlined_end(vista_tx *tx)
{
    return vista_end_transaction(tx, 0);
}
