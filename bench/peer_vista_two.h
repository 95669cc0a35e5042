/* SPDX-License-Identifier: BSD-3-Clause
 *
 * libvista with what a workload keeps apart (debit-credit: its accounts) in a second
 * segment, which shares the log of the first.
 */
#define PEER_NAME "vista-two"
#define PEER_SYMBOL(workload) workload##_vista_two
#define PEER_PACE 0.8
#define PEER_ONE_THREAD 0
#define PEER_APART 1
#define VISTA_FLAGS 0u
#define peer_open home_open
#define peer_close home_close
#include "peer_vista.h"
#undef peer_open
#undef peer_close

#include <limits.h>
#include <unistd.h>

static vista_segment *two_second; /* NULL: not mapped */

static void two_path(const struct session *session, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s-apart", session->path);
}

UNUSED static void peer_open(struct peer *peer, const struct session *session, size_t size)
{
    char path[PATH_MAX];

    two_path(session, path);
    if (!session->existing)
        unlink(path); /* of a run that was killed */
    home_open(peer, session, size);
}

UNUSED static void *peer_apart(struct peer *peer, const struct session *session, size_t size)
{
    const struct vista_map_options map = {.log = peer->segment, .lock_wait_ms = 10000};
    char path[PATH_MAX];
    void *root;

    two_path(session, path);
    two_second = vista_map(path, size + (2u << 20), VISTA_CREATE, &map);
    if (two_second == NULL)
        vista_fail("vista_map");
    if (!session->existing)
        bench_prefault(vista_base(two_second), vista_size(two_second));
    root = vista_root(two_second, size);
    if (root == NULL)
        vista_fail("vista_root");
    return root;
}

UNUSED static void peer_close(struct peer *peer)
{
    if (two_second != NULL && vista_unmap(two_second) != 0)
        vista_fail("vista_unmap");
    home_close(peer);
}
