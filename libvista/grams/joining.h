/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Transactions of several sites: the public calls.
 */
#ifndef VI_GRAMS_JOINING_H
#define VI_GRAMS_JOINING_H

#include "vista_grams.h"

#endif
