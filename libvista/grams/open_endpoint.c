/* SPDX-License-Identifier: BSD-3-Clause */
#include "grams/open_endpoint.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/error.h"
#include "grams/staging.h"
#include "grams/waiting.h"

static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, vista_endpoint) open_endpoints;

/* With open_lock. */
static bool is_open(const void *block)
{
    for (const vista_endpoint *e = LIST_FIRST(&open_endpoints); e != NULL; e = LIST_NEXT(e, link))
        if (e->table == block && e->segment->idle != 0)
            return true;
    return false;
}

/* ---- Memory -------------------------------------------------------------- */

/* One mapping: the endpoint, peers, lanes, buffers. */
static vista_endpoint *make(const struct vi_gram_table *table, const struct vi_socket *socket)
{
    const size_t lanes = (size_t)table->peers * table->slots;
    const size_t received = (size_t)VI_BATCH * socket->receive_max;
    const size_t size = sizeof(struct vista_endpoint) + table->peers * sizeof(struct vi_peer) +
                        lanes * sizeof(struct vi_lane) + received +
                        (size_t)VI_BATCH * socket->datagram_max;
    vista_endpoint *e = vi_reserve(size);

    if (e == NULL)
        return NULL;
    e->size = size;
    e->peer = (struct vi_peer *)(e + 1);
    e->lanes = (struct vi_lane *)(e->peer + table->peers);
    e->buffers = (unsigned char *)(e->lanes + lanes);
    e->scratch = e->buffers + received;
    return e;
}

static void prepare(vista_endpoint *e, vista_segment *segment, struct vi_gram_table *table,
                    struct vi_socket *socket)
{
    pthread_condattr_t monotonic;

    e->segment = segment;
    e->table = table;
    e->socket = socket;
    e->next_due = UINT64_MAX;
    TAILQ_INIT(&e->requests);
    TAILQ_INIT(&e->responses);
    TAILQ_INIT(&e->unwanted);
    e->poll_fd = e->timer_fd = -1;
    pthread_mutex_init(&e->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&e->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    vi_address_print(&socket->bound, e->address);
    socket->transport->random(socket, &e->life, sizeof e->life);
    socket->transport->random(socket, &e->random, sizeof e->random);
    socket->transport->random(socket, e->cookie_key, sizeof e->cookie_key);
    e->random |= 1;
    for (uint32_t i = 0; i < table->peers; i++) {
        e->peer[i].index = i;
        e->peer[i].lane = e->lanes + (size_t)i * table->slots;
    }
    for (int i = 0; i < VI_BATCH; i++)
        e->in[i].part[0] =
            (struct iovec){e->buffers + (size_t)i * socket->receive_max, socket->receive_max};
}

/* ---- Whether it may be opened -------------------------------------------- */

static int check_arguments(vista_segment *segment, const void *block, unsigned flags,
                           const struct vista_open_options *options,
                           const struct vi_address *address, struct vista_info *info)
{
    static const struct vista_open_options none;

    if (vista_info(segment, info) != 0)
        return -1;
    if (block == NULL || flags & ~(VISTA_ADOPT | VISTA_UNAUTHENTICATED) ||
        (options != NULL && memcmp(options->reserved, none.reserved, sizeof none.reserved) != 0))
        return vi_fail(EINVAL, "vista_open_endpoint: no block, or unknown flags or options");
    if (info->flags & VISTA_READ_ONLY)
        return vi_fail(EROFS, "%s: is mapped read-only", info->path);
    if ((options == NULL || options->key == NULL) && !(flags & VISTA_UNAUTHENTICATED) &&
        !vi_address_is_local(address))
        return vi_fail(EACCES, "the address is open to other machines: that needs a key, or "
                               "VISTA_UNAUTHENTICATED");
    if (options != NULL && options->key != NULL)
        return vi_wire_load_keys();
    return 0;
}

/* Is it the file that it was opened from last? */
static int check_file(const struct vi_gram_table *table, const struct stat *file,
                      const struct vista_info *info, unsigned flags)
{
    if ((table->device == 0 && table->inode == 0) || flags & VISTA_ADOPT ||
        (table->device == file->st_dev && table->inode == file->st_ino))
        return 0;
    return vi_fail(ECANCELED,
                   "%s: its endpoint was last used from inode %llu of device 0x%llx, and this is "
                   "%llu of 0x%llx: if no other copy is in use, VISTA_ADOPT says so",
                   info->path, (unsigned long long)table->inode, (unsigned long long)table->device,
                   (unsigned long long)file->st_ino, (unsigned long long)file->st_dev);
}

/* Which process this is: of what it has mapped although it was torn, sessions that came later are
 * as good as any. */
static uint64_t this_process(void)
{
    static uint64_t number; /* with open_lock */

    while (number == 0 && getrandom(&number, sizeof number, 0) < 0)
        ;
    return number;
}

/* Stores which file it is; of one that may be torn no session is to be believed. */
static int adopt(vista_segment *segment, struct vi_gram_table *table, const struct stat *file,
                 bool torn)
{
    vista_tx *tx;
    int error;

    torn = torn && table->torn != this_process();
    if (!torn && table->device == file->st_dev && table->inode == file->st_ino)
        return 0;
    tx = vista_begin_transaction(segment, 0);
    if (tx == NULL)
        return -1;
    if (vista_set_range(tx, table, sizeof *table) == 0 &&
        (!torn || vi_table_break(tx, table, VI_BROKEN_TORN) == 0)) {
        table->device = file->st_dev;
        table->inode = file->st_ino;
        table->torn = torn ? this_process() : 0;
        vi_table_seal(table, sizeof *table, &table->crc);
        return vista_end_transaction(tx, 0);
    }
    error = errno;
    vista_abort_transaction(tx);
    errno = error;
    return -1;
}

/* ---- Opening --------------------------------------------------------------- */

static vista_endpoint *open_on(vista_segment *segment, struct vi_gram_table *table,
                               const struct vi_address *address, const void *key, unsigned class)
{
    struct vi_socket *socket = vi_socket_open(address);
    vista_endpoint *e;

    if (socket == NULL)
        return NULL;
    e = make(table, socket);
    if (e == NULL) {
        socket->transport->close(socket);
        return NULL;
    }
    prepare(e, segment, table, socket);
    e->class = class;
    if (key != NULL)
        e->key = memcpy(e->key_bytes, key, sizeof e->key_bytes);
    e->fragment_max = socket->datagram_max - (uint32_t)VI_WIRE_KEYED_HEADER;
    for (uint32_t i = 0; i < table->peers; i++)
        if (table->entry[i].row != NULL)
            vi_endpoint_attach(e, &e->peer[i], table->entry[i].row);
    return e;
}

static void discard(vista_endpoint *e)
{
    vi_wait_close(e);
    vi_staging_close(e);
    e->socket->transport->close(e->socket);
    pthread_cond_destroy(&e->changed);
    pthread_mutex_destroy(&e->lock);
    explicit_bzero(e->key_bytes, sizeof e->key_bytes);
    vi_release(e, e->size);
}

/* With open_lock. */
static vista_endpoint *open_locked(vista_segment *segment, struct vi_gram_table *table,
                                   const struct vi_address *address, unsigned flags,
                                   const void *key, const struct vista_info *info)
{
    vista_endpoint *e;
    struct stat file;

    if (is_open(table))
        return vi_fail(EBUSY, "the endpoint at %p is open already", (void *)table), NULL;
    if (vi_table_check(segment, table) != 0)
        return NULL;
    if (fstat(info->fd, &file) != 0)
        return vi_fail_system(errno, "%s", info->path), NULL;
    if (check_file(table, &file, info, flags) != 0 ||
        adopt(segment, table, &file, info->flags & VISTA_ACCEPT_TORN) != 0)
        return NULL;
    e = open_on(segment, table, address, key, info->durability);
    if (e == NULL)
        return NULL;
    if (vista_hold(segment) != 0) {
        discard(e);
        return NULL;
    }
    LIST_INSERT_HEAD(&open_endpoints, e, link);
    return e;
}

vista_endpoint *vista_open_endpoint(vista_segment *segment, void *block, const char *address,
                                    unsigned flags, const struct vista_open_options *options)
{
    vista_endpoint *e = NULL;
    struct vi_address bound;
    struct vista_info info;
    int cancel;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    if (vi_address_parse(&bound, address) == 0 &&
        check_arguments(segment, block, flags, options, &bound, &info) == 0) {
        pthread_mutex_lock(&open_lock);
        e = open_locked(segment, block, &bound, flags, options != NULL ? options->key : NULL,
                        &info);
        pthread_mutex_unlock(&open_lock);
    }
    pthread_setcancelstate(cancel, NULL);
    return e;
}

int vista_close_endpoint(vista_endpoint *endpoint)
{
    vista_endpoint *e = vi_endpoint_check(endpoint);
    bool in_use;
    int cancel;

    if (e == NULL)
        return -1;
    pthread_mutex_lock(&open_lock);
    vi_endpoint_lock(e);
    in_use = !LIST_EMPTY(&e->groups) || e->users != 0;
    vi_endpoint_unlock(e);
    if (in_use) {
        pthread_mutex_unlock(&open_lock);
        return vi_fail(EBUSY, "%s: a transaction that used it has not ended, or a thread does",
                       e->address);
    }
    LIST_REMOVE(e, link);
    pthread_mutex_unlock(&open_lock);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    vista_drop(e->segment);
    discard(e);
    pthread_setcancelstate(cancel, NULL);
    return 0;
}
