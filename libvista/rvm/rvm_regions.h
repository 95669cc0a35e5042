/* SPDX-License-Identifier: BSD-3-Clause
 *
 * RVM's regions: which parts of which segments are where in memory.
 */
#ifndef VI_RVM_REGIONS_H
#define VI_RVM_REGIONS_H

#include "rvm/rvm_state.h"

/* Is a mapped region at these addresses?  With vi_rvm.admin, without which the list does not change. */
bool vi_rvm_is_mapped(uintptr_t from, uint64_t length);

#endif
