/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What an endpoint tells of itself: vista_endpoint_info, vista_each_request.
 */
#ifndef VI_GRAMS_ENDPOINT_REPORT_H
#define VI_GRAMS_ENDPOINT_REPORT_H

#include "grams/endpoint.h"

/* Calls `visit` for each stored request of a row; 0, or what `visit` returned. */
int vi_report_row(const struct vi_gram_row *row, vista_request_fn visit, void *arg);

#endif
