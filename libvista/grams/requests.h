/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Requests and responses, sent and received inside transactions: the public calls.
 */
#ifndef VI_GRAMS_REQUESTS_H
#define VI_GRAMS_REQUESTS_H

#include "grams/endpoint.h"

/* What a call needs to begin; `sane`: its other arguments are.  NULL: all is said. */
vista_endpoint *vi_request_check(vista_tx *tx, const vista_endpoint *endpoint, bool sane);

#endif
