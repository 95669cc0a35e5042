/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Ranges that are declared one by one, by peers that have no call for several: to be included
 * behind their peer_declare.
 */
#ifndef BENCH_PEER_EACH_H
#define BENCH_PEER_EACH_H

#include "peer.h"

HOT void peer_declare_all(struct peer_tx *tx, const struct iovec *ranges, int count)
{
#pragma GCC unroll 8
    for (int i = 0; i < count; i++)
        peer_declare(tx, ranges[i].iov_base, ranges[i].iov_len);
}

#endif
