/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Ranges of a transaction that overlap or touch become one.
 */
#ifndef VI_RVM_COALESCE_H
#define VI_RVM_COALESCE_H

#include "rvm/rvm_transactions.h"

/* Writes the ranges, merged and by address, to `to`, which has room for all; returns how many. */
size_t vi_rvm_coalesce(struct vi_rvm_range *to, const struct vi_rvm_range *from, size_t count);

#endif
