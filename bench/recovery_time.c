/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Recovery: the time that vista_map takes after a kill in the middle of a transaction
 * that had changed `range` bytes.
 *
 *     recovery       in a segment of that many bytes and some; beside it (peer plain) a
 *                    fresh process's copying `range` bytes from one file to another, twice
 *     recovery-heap  in a heap of `size` bytes, sparse, of which up to HEAP_USED are in use
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define PIECE (1u << 20) /* bytes a vista_set_range */
#define HEAP_USED ((size_t)256 << 20)
#define BLOCK 65536u

static void fail(const char *call)
{
    bench_fail("recovery: %s: %s", call, vista_errormsg());
}

static bool in_heap(const struct session *session)
{
    return strcmp(session->config->command, "recovery-heap") == 0;
}

static vista_segment *map(const struct session *session, size_t size)
{
    const struct vista_options options = {.force_class = session->class};
    const unsigned sparse = in_heap(session) ? VISTA_SPARSE : 0;
    vista_segment *segment;

    if (vista_init(&options) != 0)
        fail("vista_init");
    segment = vista_map(session->path, size, size != 0 ? VISTA_CREATE | sparse : 0, NULL);
    if (segment == NULL)
        fail("vista_map");
    return segment;
}

static void fill_heap(vista_segment *segment, size_t size)
{
    const size_t use = size / 8 * 7 < HEAP_USED ? size / 8 * 7 : HEAP_USED;

    for (size_t done = 0; done + (16u << 20) < use;) {
        vista_tx *tx = vista_begin_transaction(segment, 0);

        for (int i = 0; i < 64; i++, done += BLOCK) {
            if (vista_malloc(tx, BLOCK) == NULL)
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
    char *data = vista_root(segment, range);

    if (data == NULL)
        fail("vista_root");
    if (in_heap(session))
        fill_heap(segment, session->size);
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
    return data != NULL && data[0] == 0 && memcmp(data, data + 1, length - 1) == 0;
}

static void recovery_measure(struct session *session, struct result *result)
{
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
    result->checked =
        info.rolled_back == 1 && all_zero(vista_root(segment, 0), session->config->range);
    snprintf(result->verdict, sizeof result->verdict, "%llu rolled back",
             (unsigned long long)info.rolled_back);
    if (vista_unmap(segment) != 0)
        fail("vista_unmap");
}

/* ---- Copying as much, twice --------------------------------------------- */

static char *map_half(const struct session *session, int fd, unsigned half)
{
    const size_t range = session->config->range;
    void *address =
        mmap(NULL, range, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(half * range));

    if (address == MAP_FAILED)
        bench_fail("%s: %s", session->path, strerror(errno));
    return address;
}

/* As recovery does: the pages are in the page cache, and this process has none of them
 * mapped yet. */
static void copy_measure(struct session *session, struct result *result)
{
    const size_t range = session->config->range;
    const int fd = open(session->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char *from, *to;
    uint64_t begin;

    if (fd < 0 || (errno = posix_fallocate(fd, 0, (off_t)(2 * range))) != 0)
        bench_fail("%s: %s", session->path, strerror(errno));
    for (unsigned half = 0; half < 2; half++) {
        from = map_half(session, fd, half);
        memset(from, (int)(half + 1), range);
        munmap(from, range);
    }
    begin = bench_now();
    from = map_half(session, fd, 0);
    to = map_half(session, fd, 1);
    memcpy(to, from, range);
    __asm__ __volatile__("" ::: "memory");
    memcpy(to, from, range);
    result->ns = (double)(bench_now() - begin);
    result->transactions = 1;
    result->checked = memcmp(to, from, range) == 0;
    snprintf(result->verdict, sizeof result->verdict, "copied");
    close(fd);
}

const struct driver recovery_vista = {.workload = "recovery",
                                      .peer = "vista",
                                      .classes = CLASSES_MEMORY,
                                      .one_thread = true,
                                      .measure = recovery_measure};

const struct driver recovery_heap_vista = {.workload = "recovery-heap",
                                           .peer = "vista",
                                           .classes = CLASSES_MEMORY,
                                           .one_thread = true,
                                           .measure = recovery_measure};

const struct driver recovery_plain = {.workload = "recovery",
                                      .peer = "plain",
                                      .classes = 1u << CLASS_NONE,
                                      .one_thread = true,
                                      .measure = copy_measure};
