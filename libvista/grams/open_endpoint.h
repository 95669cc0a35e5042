/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Opening and closing: vista_open_endpoint and vista_close_endpoint.
 */
#ifndef VI_GRAMS_OPEN_ENDPOINT_H
#define VI_GRAMS_OPEN_ENDPOINT_H

#include "grams/endpoint.h"

#endif
