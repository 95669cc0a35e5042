/* SPDX-License-Identifier: BSD-3-Clause
 *
 * RVM through its interface, as its papers have it used: ranges declared one by one, blocks from rds, the
 * segment a file beside its log.  The file that includes this has set PEER_NAME, PEER_SYMBOL, PEER_CLASSES and
 * RVM_GROUP: of so many commits the last one is flushed, 0: none is.
 *
 * The library is ours, or, in the vista-bench-installed that CMake makes where the linker finds one, the librvm of
 * the system.  Tables of 256 KB and more that loading fills are not declared: no log of a usual size
 * holds them.  So files of killed runs are not opened again.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <rvm/rds.h>
#include <rvm/rvm.h>
#include <unistd.h>

#include "peer.h"
#include "peer_pointers.h"

#define PEER_ABORTS 1
#define PEER_PACE 0.3
#define PEER_ONE_THREAD 1
#define RVM_LOG_BYTES (32u << 20)
#define RVM_TABLE (256u << 10)
#define RVM_PAGE 4096u
/* Below where Linux puts programs and libraries. */
#define RVM_ADDRESS ((char *)0x551000000000u)

struct peer {
    char **root; /* the static region's first word */
};

struct peer_tx {
    rvm_tid_t *tid;
};

static rvm_tid_t rvm_tid_of_run;
static unsigned rvm_ended; /* transactions */

HOT void rvm_must(rvm_return_t result, const char *call)
{
    if (__builtin_expect(result != RVM_SUCCESS, 0))
        bench_fail("%s: %s", call, rvm_return(result));
}

static void rds_must(int error, const char *call)
{
    if (error != SUCCESS)
        bench_fail("%s: error %d", call, error);
}

/* The segment and the log beside it. */
UNUSED static void peer_open(struct peer *peer, const struct session *session, size_t size)
{
    rvm_options_t *options = rvm_malloc_options();
    rvm_offset_t log = RVM_MK_OFFSET(0, RVM_LOG_BYTES), length = RVM_MK_OFFSET(0, 0);
    static char segment[PATH_MAX], log_path[PATH_MAX + 8];
    const size_t heap = (size + (8u << 20)) / RVM_PAGE * RVM_PAGE;
    char *root;
    int error, fd;

    if (session->existing)
        bench_fail("%s: %s: files are not opened again", PEER_NAME, session->path);
    snprintf(segment, sizeof segment, "%s", session->path);
    snprintf(log_path, sizeof log_path, "%s-log", session->path);
    unlink(log_path);
    fd = open(segment, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || (errno = posix_fallocate(fd, 0, (off_t)(heap + 2 * RVM_PAGE))) != 0 ||
        fsync(fd) != 0)
        bench_fail("%s: %s: %s", PEER_NAME, segment, strerror(errno));
    close(fd);
    length.low = heap + 2 * RVM_PAGE;
    options->log_dev = log_path;
    rvm_must(rvm_initialize(RVM_VERSION, NULL), "rvm_initialize");
    rvm_must(rvm_create_log(options, &log, 0600), "rvm_create_log");
    rvm_must(rvm_set_options(options), "rvm_set_options");
    rds_zap_heap(segment, length, RVM_ADDRESS, RVM_PAGE, heap, RDS_NLISTS, RDS_CHUNK_SIZE, &error);
    rds_must(error, "rds_zap_heap");
    rds_start_heap(RVM_ADDRESS, &error);
    rds_must(error, "rds_start_heap");
    root = RVM_ADDRESS + heap;
    peer->root = (char **)(void *)root;
    bench_prefault(RVM_ADDRESS, heap);
    rvm_init_tid(&rvm_tid_of_run);
}

UNUSED static void peer_close(struct peer *peer)
{
    (void)peer;
    rvm_must(rvm_terminate(), "rvm_terminate");
}

HOT void peer_begin(struct peer *peer, struct peer_tx *tx, enum durability class)
{
    (void)peer, (void)class;
    tx->tid = &rvm_tid_of_run;
    rvm_must(rvm_begin_transaction(tx->tid, restore), "rvm_begin_transaction");
}

HOT void peer_declare(struct peer_tx *tx, void *address, size_t length)
{
    rvm_must(rvm_set_range(tx->tid, address, length), "rvm_set_range");
}

#include "peer_each.h"

HOT void peer_ready(struct peer_tx *tx)
{
    (void)tx;
}

HOT void peer_end(struct peer_tx *tx)
{
    const bool flushed = RVM_GROUP != 0 && ++rvm_ended % (RVM_GROUP + !RVM_GROUP) == 0;

    rvm_must(rvm_end_transaction(tx->tid, flushed ? flush : no_flush), "rvm_end_transaction");
}

HOT void peer_abort(struct peer_tx *tx)
{
    rvm_must(rvm_abort_transaction(tx->tid), "rvm_abort_transaction");
}

UNUSED static void *peer_malloc(struct peer_tx *tx, size_t size)
{
    int error;
    char *block = rds_malloc(size, tx->tid, &error);

    rds_must(error, "rds_malloc");
    if (size < RVM_TABLE)
        peer_declare(tx, block, size);
    return block;
}

UNUSED static void peer_free(struct peer_tx *tx, void *address, size_t size)
{
    int error;

    (void)size;
    rds_free(address, tx->tid, &error);
    rds_must(error, "rds_free");
}

/* A fresh file's blocks are zero. */
UNUSED static void *peer_root(struct peer *peer, size_t size)
{
    struct peer_tx tx;

    if (*peer->root == NULL) {
        int error;

        peer_begin(peer, &tx, CLASS_KILL);
        peer_declare(&tx, peer->root, sizeof *peer->root);
        *peer->root = rds_malloc(size, tx.tid, &error);
        rds_must(error, "rds_malloc");
        memset(*peer->root, 0, size < RVM_TABLE ? size : 0);
        peer_end(&tx);
    }
    return *peer->root;
}
