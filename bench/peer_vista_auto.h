/* SPDX-License-Identifier: BSD-3-Clause
 *
 * libvista with automatic ranges: vista, but for its name and what it does not need.
 */
#define PEER_NAME "vista-auto"
#define PEER_SYMBOL(workload) workload##_vista_auto
#define PEER_PACE 0.1
#define PEER_ONE_THREAD 1
#define VISTA_FLAGS VISTA_AUTO_RANGE
#include "peer_vista.h"
