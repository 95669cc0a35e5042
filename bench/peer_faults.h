/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The measure for automatic ranges: a bare loop of page protection.  The handler
 * copies the page to a log in the same file and opens it; the end protects each
 * touched page again.  Nothing tells a recovery what the log holds.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "map_time.h"
#include "peer.h"
#include "peer_pointers.h"

#define PEER_NAME "faults"
#define PEER_SYMBOL(workload) workload##_faults
#define PEER_CLASSES (1u << CLASS_KILL)
#define PEER_ABORTS 1
#define PEER_PACE 0.1
#define PEER_ONE_THREAD 1

#define FAULTS_PAGE ((size_t)4096)

struct peer {
    struct mapping mapping;
    struct pool *pool;
};

struct peer_tx {
    struct peer *peer;
};

/* Of the one transaction that is open. */
static char *faults_log;
static char **faults_page;
static size_t faults_count;

static void faults_protect(void *page, int protection)
{
    if (mprotect(page, FAULTS_PAGE, protection) != 0)
        abort();
}

static void faults_handle(int signal, siginfo_t *info, void *context)
{
    char *page = (char *)((uintptr_t)info->si_addr / FAULTS_PAGE * FAULTS_PAGE);

    (void)signal, (void)context;
    if (info->si_code != SEGV_ACCERR)
        abort();
    memcpy(faults_log + faults_count * FAULTS_PAGE, page, FAULTS_PAGE);
    faults_page[faults_count++] = page;
    faults_protect(page, PROT_READ | PROT_WRITE);
}

/* Behind the pool's header, which stays open, are the data and as much again for the log. */
UNUSED static void peer_open(struct peer *peer, const struct session *session, size_t size)
{
    const struct sigaction action = {.sa_sigaction = faults_handle, .sa_flags = SA_SIGINFO};
    size_t data;

    peer->mapping = mapping_open(session, MAPPING_HEADER + 2 * size);
    peer->pool = peer->mapping.base;
    mapping_start(&peer->mapping, peer->pool);
    data = (peer->mapping.size - MAPPING_HEADER) / 2 / FAULTS_PAGE * FAULTS_PAGE;
    faults_log = (char *)peer->mapping.base + MAPPING_HEADER + data;
    faults_page = calloc(data / FAULTS_PAGE, sizeof *faults_page);
    if (faults_page == NULL || sigaction(SIGSEGV, &action, NULL) != 0 ||
        mprotect((char *)peer->mapping.base + MAPPING_HEADER, data, PROT_READ) != 0)
        bench_fail("faults: cannot protect %zu bytes", data);
}

UNUSED static void peer_close(struct peer *peer)
{
    mapping_close(&peer->mapping);
    free(faults_page);
}

HOT void peer_begin(struct peer *peer, struct peer_tx *tx, enum durability class)
{
    (void)class;
    tx->peer = peer;
}

UNUSED static void *peer_malloc(struct peer_tx *tx, size_t size)
{
    struct pool *pool = tx->peer->pool;
    void *block = (char *)tx->peer->mapping.base + pool->next;

    pool->next += pool_round(size);
    if (pool->next > (uint64_t)(faults_log - (char *)tx->peer->mapping.base))
        bench_fail("faults: out of memory");
    return block;
}

UNUSED static void *peer_root(struct peer *peer, size_t size)
{
    if (peer->pool->next == MAPPING_HEADER)
        peer->pool->next += pool_round(size);
    return (char *)peer->mapping.base + MAPPING_HEADER;
}

HOT void peer_declare(struct peer_tx *tx, void *address, size_t length)
{
    (void)tx, (void)address, (void)length;
}

HOT void peer_declare_all(struct peer_tx *tx, const struct iovec *ranges, int count)
{
    (void)tx, (void)ranges, (void)count;
}

HOT void peer_ready(struct peer_tx *tx)
{
    (void)tx;
    BARRIER();
}

HOT void peer_end(struct peer_tx *tx)
{
    (void)tx;
    BARRIER();
    while (faults_count != 0)
        faults_protect(faults_page[--faults_count], PROT_READ);
}

UNUSED static void peer_abort(struct peer_tx *tx)
{
    BARRIER();
    for (size_t i = 0; i < faults_count; i++)
        memcpy(faults_page[i], faults_log + i * FAULTS_PAGE, FAULTS_PAGE);
    peer_end(tx);
}
