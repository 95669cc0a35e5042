/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Offsets of 128 bits, and pages: the calls are in rvm/rvm.h.
 */
#include <rvm/rvm.h>
#include <unistd.h>

rvm_length_t rvm_page_size(void)
{
    return (rvm_length_t)sysconf(_SC_PAGESIZE);
}

rvm_length_t rvm_page_mask(void)
{
    return ~(rvm_page_size() - 1);
}

rvm_offset_t rvm_mk_offset(rvm_length_t high, rvm_length_t low)
{
    return (rvm_offset_t){.high = high, .low = low};
}

rvm_offset_t rvm_add_offsets(const rvm_offset_t *x, const rvm_offset_t *y)
{
    const rvm_length_t low = x->low + y->low;

    return rvm_mk_offset(x->high + y->high + (low < x->low), low);
}

rvm_offset_t rvm_sub_offsets(const rvm_offset_t *x, const rvm_offset_t *y)
{
    return rvm_mk_offset(x->high - y->high - (x->low < y->low), x->low - y->low);
}

rvm_offset_t rvm_round_offset_up_to_page(const rvm_offset_t *x)
{
    const rvm_offset_t up = RVM_ADD_LENGTH_TO_OFFSET(*x, rvm_page_size() - 1);

    return rvm_round_offset_down_to_page(&up);
}

rvm_offset_t rvm_round_offset_down_to_page(const rvm_offset_t *x)
{
    return rvm_mk_offset(x->high, x->low & rvm_page_mask());
}

rvm_length_t rvm_round_length_up_to_page(rvm_length_t length)
{
    return (length + rvm_page_size() - 1) & rvm_page_mask();
}

rvm_length_t rvm_round_length_down_to_page(rvm_length_t length)
{
    return length & rvm_page_mask();
}
