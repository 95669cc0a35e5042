/* SPDX-License-Identifier: BSD-3-Clause
 *
 * libvista in its disk class: vista, but for the class and how a commit ends.  The file that includes
 * this has set PEER_NAME, PEER_SYMBOL, PEER_CLASSES, VISTA_GROUP and VISTA_FLUSH_MS, the
 * last two of peer_vista.h.
 */
#define PEER_PACE 0.4
#define PEER_ONE_THREAD 0
#define VISTA_FLAGS 0u
#define VISTA_DISK 1
#define VISTA_LOG ((size_t)32 << 20) /* as the floor's and RVM's */
#include "peer_vista.h"
