/* SPDX-License-Identifier: BSD-3-Clause
 *
 * libpmemobj, as its manual says it runs best: release library, ranges added by
 * their addresses (pmemobj_tx_add_range_direct), references kept as offsets from
 * the pool so that nothing is looked up, the pool's pages faulted in beforehand.
 * The environment is set by turns.c before the process of a run starts:
 * PMEM_IS_PMEM_FORCE=1 in kill, line and eadr, PMEM_NO_FLUSH=1 too in kill and eadr;
 * nothing in sync, where it calls msync.
 */
#include <errno.h>
#include <libpmemobj.h>
#include <unistd.h>

#include "peer.h"

#define PEER_NAME "libpmemobj"
#define PEER_SYMBOL(workload) workload##_pmemobj
#define PEER_CLASSES (CLASSES_MEMORY | 1u << CLASS_SYNC)
#define PEER_ABORTS 1
#define PEER_PACE 0.2
#define PEER_ONE_THREAD 0

typedef uint64_t peer_ref;

struct peer {
    PMEMobjpool *pool;
    uint64_t uuid; /* makes an object's identity of its offset */
};

struct peer_tx {
    struct peer *peer;
};

__attribute__((noreturn, cold)) static void pmemobj_fail(const char *call)
{
    bench_fail("%s: %s", call, pmemobj_errormsg());
}

UNUSED static void peer_open(struct peer *peer, const struct session *session, size_t size)
{
    const size_t room = size + size / 4 + PMEMOBJ_MIN_POOL; /* its metadata */

    peer->pool = session->existing ? pmemobj_open(session->path, "vista-bench")
                                   : pmemobj_create(session->path, "vista-bench", room, 0600);
    for (int i = 0; i < 1000 && peer->pool == NULL && errno == EAGAIN; i++) {
        usleep(10000); /* a killed process is still being taken down */
        peer->pool = pmemobj_open(session->path, "vista-bench");
    }
    if (peer->pool == NULL)
        pmemobj_fail(session->existing ? "pmemobj_open" : "pmemobj_create");
    if (!session->existing)
        bench_prefault(peer->pool, room & ~(size_t)4095);
}

UNUSED static void peer_close(struct peer *peer)
{
    pmemobj_close(peer->pool);
}

UNUSED static void *peer_root(struct peer *peer, size_t size)
{
    PMEMoid root = pmemobj_root(peer->pool, size);

    if (OID_IS_NULL(root))
        pmemobj_fail("pmemobj_root");
    peer->uuid = root.pool_uuid_lo;
    return pmemobj_direct_inline(root);
}

HOT void peer_begin(struct peer *peer, struct peer_tx *tx, enum durability class)
{
    (void)class;
    tx->peer = peer;
    if (pmemobj_tx_begin(peer->pool, NULL, TX_PARAM_NONE) != 0)
        pmemobj_fail("pmemobj_tx_begin");
}

HOT void peer_declare(struct peer_tx *tx, void *address, size_t length)
{
    (void)tx;
    if (pmemobj_tx_add_range_direct(address, length) != 0)
        pmemobj_fail("pmemobj_tx_add_range_direct");
}

#include "peer_each.h"

HOT void peer_ready(struct peer_tx *tx)
{
    (void)tx;
}

HOT void peer_end(struct peer_tx *tx)
{
    (void)tx;
    pmemobj_tx_commit();
    if (pmemobj_tx_end() != 0)
        pmemobj_fail("pmemobj_tx_end");
}

UNUSED static void peer_abort(struct peer_tx *tx)
{
    (void)tx;
    pmemobj_tx_abort(ECANCELED);
    (void)pmemobj_tx_end();
}

UNUSED static void *peer_malloc(struct peer_tx *tx, size_t size)
{
    PMEMoid oid = pmemobj_tx_alloc(size, 0);

    if (OID_IS_NULL(oid))
        pmemobj_fail("pmemobj_tx_alloc");
    return (char *)tx->peer->pool + oid.off;
}

UNUSED static void peer_free(struct peer_tx *tx, void *address, size_t size)
{
    const PMEMoid oid = {tx->peer->uuid, (uint64_t)((char *)address - (char *)tx->peer->pool)};

    (void)size;
    if (pmemobj_tx_free(oid) != 0)
        pmemobj_fail("pmemobj_tx_free");
}

HOT void *peer_at(struct peer *peer, peer_ref ref)
{
    return ref == 0 ? NULL : (char *)peer->pool + ref;
}

HOT peer_ref peer_to(struct peer *peer, void *address)
{
    return address == NULL ? 0 : (uint64_t)((char *)address - (char *)peer->pool);
}
