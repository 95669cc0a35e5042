/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista_forget_peer.
 */
#ifndef VI_GRAMS_FORGETTING_H
#define VI_GRAMS_FORGETTING_H

#include "grams/endpoint.h"

#endif
