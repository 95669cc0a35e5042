/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The workloads on plain.
 */
#include "peer_plain.h"

#include "debit_credit.h"
#include "heap_rows.h"
#include "heap_small.h"
#include "order_entry.h"
#include "order_entry_check.h"
#include "order_entry_load.h"
#include "synthetic.h"

/* The measure for large ranges: copying the range into a buffer that stays in the
 * cache, and no stores to it; peer "copy". */
static unsigned copy_batch(struct session *session, unsigned lane, unsigned count)
{
    static char buffer[1u << 20];
    const struct synthetic *s = session->state;
    const size_t range = session->config->range;
    struct rng *rng = &session->lanes[lane].rng;

    count = count > 16 && range > 16384 ? 16 : count;
    for (unsigned i = 0; i < count; i++) {
        memcpy(buffer,
               s->data + rng_scale((uint32_t)rng_next(rng), (uint32_t)s->places) * (size_t)8,
               range);
        BARRIER();
    }
    return count;
}

const struct driver synthetic_copy = {.workload = "synthetic",
                                      .peer = "copy",
                                      .classes = PEER_CLASSES,
                                      .one_thread = true,
                                      .open = synthetic_open,
                                      .batch = copy_batch,
                                      .check = synthetic_check,
                                      .close = synthetic_close};
