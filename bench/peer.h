/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a peer that keeps its data in memory gives to a workload.  Each peer_*.h
 * defines these, as functions that are inlined; a workload's header, included
 * after it, calls them.
 *
 *     struct peer                    an open store, used by all threads
 *     struct peer_tx                 one transaction, a local variable
 *     peer_ref                       a stored reference to a block
 *     PEER_NAME                      a string
 *     PEER_SYMBOL(workload)          the driver's name
 *     PEER_CLASSES                   the bits of struct driver
 *     PEER_ABORTS                    0: it has no transactions to abort
 *     PEER_ONE_THREAD                1: no more than one thread
 *     PEER_PACE                      transactions against those of plain, at most: by
 *                                    which files are sized
 *
 *     PEER_APART                     1: a workload's accounts are apart from the rest; they are
 *                                    peer_apart(peer, session, size), as peer_root
 *
 *     peer_open(peer, session, size) creates the file, or recovers the one there
 *     peer_close(peer)
 *     peer_root(peer, size)          the same block each time; zero at first
 *     peer_begin(peer, tx, class)
 *     peer_malloc(tx, size)          needs no peer_declare
 *     peer_free(tx, address, size)
 *     peer_declare(tx, address, length)
 *     peer_declare_all(tx, ranges, count), a constant count of constant lengths; the array
 *                                    stays until more is declared, or peer_ready
 *     peer_ready(tx)                 now what was declared may be stored to
 *     peer_end(tx), peer_abort(tx)
 *     peer_at(peer, ref), peer_to(peer, address)
 *
 * The order within a transaction is begin, then malloc, free and declare, then
 * ready, then the stores, then end; or round again from malloc.  `class` is a
 * constant wherever a workload's loop is inlined, so that nothing is decided in it;
 * for that, the address of a struct peer_tx must not be given to a function that is
 * not inlined.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <string.h>
#include <sys/uio.h>

#include "bench.h"

#define HOT static inline __attribute__((always_inline))
#define UNUSED __attribute__((unused))
#define BARRIER() __asm__ __volatile__("" ::: "memory")

#endif
