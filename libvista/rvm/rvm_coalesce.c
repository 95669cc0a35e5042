/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Merging ranges: see rvm_coalesce.h.
 */
#include "rvm/rvm_coalesce.h"

#include <stdlib.h>
#include <string.h>

static int by_address(const void *left, const void *right)
{
    const struct vi_rvm_range *a = left, *b = right;

    return a->from < b->from ? -1 : a->from > b->from;
}

/* Two regions that touch in memory are not one. */
static bool is_joined(const struct vi_rvm_range *last, const struct vi_rvm_range *next)
{
    return next->from - last->from <= last->length && next->member == last->member &&
           next->offset - last->offset == next->from - last->from;
}

size_t vi_rvm_coalesce(struct vi_rvm_range *to, const struct vi_rvm_range *from, size_t count)
{
    size_t merged = 0;

    memcpy(to, from, count * sizeof *to);
    qsort(to, count, sizeof *to, by_address);
    for (size_t i = 1; i < count; i++) {
        const uint64_t end = to[i].from + to[i].length;

        if (!is_joined(&to[merged], &to[i]))
            to[++merged] = to[i];
        else if (end > to[merged].from + to[merged].length)
            to[merged].length = end - to[merged].from;
    }
    return merged + 1;
}
