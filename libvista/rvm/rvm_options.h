/* SPDX-License-Identifier: BSD-3-Clause
 *
 * RVM's options, and opening the log that they name.
 */
#ifndef VI_RVM_OPTIONS_H
#define VI_RVM_OPTIONS_H

#include "rvm/rvm_state.h"

/* As rvm_set_options; with vi_rvm.admin. */
rvm_return_t vi_rvm_apply_options(rvm_options_t *options);

#endif
