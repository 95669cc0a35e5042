/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Recovery: the time that vista_map takes after a kill in the middle of a transaction
 * that had changed `range` bytes, in a segment of `size` bytes.  A range of 0 is a
 * segment that was killed with nothing open; its blocks are not allocated beforehand,
 * so that large heaps can be measured.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define PIECE (1u << 20) /* bytes a vista_set_range */

static void fail(const char *call)
{
    bench_fail("recovery: %s: %s", call, vista_errormsg());
}

static vista_segment *map(const struct session *session, size_t size)
{
    const struct vista_options options = {.force_class = session->class};
    const unsigned sparse = session->config->range == 0 ? VISTA_SPARSE : 0;
    vista_segment *segment;

    if (vista_init(&options) != 0)
        fail("vista_init");
    segment = vista_map(session->path, size, size != 0 ? VISTA_CREATE | sparse : 0, NULL);
    if (segment == NULL)
        fail("vista_map");
    return segment;
}

/* Fills a heap of any size with blocks of 64 KiB. */
static void fill_heap(vista_segment *segment, size_t size)
{
    void **root = vista_root(segment, sizeof *root);

    for (size_t done = 0; root != NULL && done + (16u << 20) < size / 8 * 7;) {
        vista_tx *tx = vista_begin_transaction(segment, 0);

        for (int i = 0; i < 64 && done + (16u << 20) < size / 8 * 7; i++, done += 65536) {
            if (vista_malloc(tx, 65536) == NULL)
                fail("vista_malloc");
        }
        if (vista_end_transaction(tx, 0) != 0)
            fail("vista_end_transaction");
    }
}

static void die_in_transaction(const struct session *session)
{
    const size_t range = session->config->range;
    vista_segment *segment = map(session, session->size);
    vista_tx *tx;
    char *data;

    if (range == 0) {
        fill_heap(segment, session->size);
        raise(SIGKILL);
    }
    data = vista_root(segment, range);
    if (data == NULL)
        fail("vista_root");
    tx = vista_begin_transaction(segment, 0);
    for (size_t at = 0; at < range; at += PIECE) {
        const size_t length = range - at < PIECE ? range - at : PIECE;

        if (vista_set_range(tx, data + at, length) != 0)
            fail("vista_set_range");
        memset(data + at, 0x55, length);
    }
    raise(SIGKILL);
}

static bool all_zero(const char *data, size_t length)
{
    return length == 0 || (data[0] == 0 && memcmp(data, data + 1, length - 1) == 0);
}

static void recovery_measure(struct session *session, struct result *result)
{
    const size_t range = session->config->range;
    vista_segment *segment;
    struct vista_info info;
    uint64_t begin;
    int status;
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child == 0)
        die_in_transaction(session);
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFSIGNALED(status))
        bench_fail("recovery: the process to kill did not come so far");
    begin = bench_now();
    segment = map(session, 0);
    result->ns = (double)(bench_now() - begin);
    result->transactions = 1;
    if (vista_info(segment, &info) != 0)
        fail("vista_info");
    result->checked = info.rolled_back == (range != 0) &&
                      all_zero(range != 0 ? vista_root(segment, 0) : NULL, range);
    snprintf(result->verdict, sizeof result->verdict, "%llu rolled back",
             (unsigned long long)info.rolled_back);
    if (vista_unmap(segment) != 0)
        fail("vista_unmap");
}

const struct driver recovery_vista = {.workload = "recovery",
                                      .peer = "vista",
                                      .classes = CLASSES_MEMORY,
                                      .one_thread = true,
                                      .measure = recovery_measure};
