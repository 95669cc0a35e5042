/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What of the disk class is not a workload's rate: latency while the log is truncated, recovery, what large
 * segments cost.  Each is a driver with a `measure` of its own, for vista-disk and, where there is one, for the
 * floor: the same bytes written and synced by hand.
 *
 * Latency: a flushed commit of one page at a time, at random places of 64 MiB.
 *   latency-quiet        with a log that is not truncated
 *   latency-truncating   with one of 4 MiB, which is truncated all the time; every block of the file was written
 *   latency-fresh        the same, the file's blocks allocated and never written
 * Its floor writes as many bytes to a log, and in a second thread reads each half log back, writes its pages to
 * their places in order, syncs, and writes a header.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define PAGE 4096u
#define SAMPLES 200000u

static void must(bool good, const char *what)
{
    if (!good)
        bench_fail("%s: %s", what, strerror(errno));
}

static void vista_must(bool good)
{
    if (!good)
        bench_fail("%s", vista_errormsg());
}

static uint64_t processor_time(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void write_zeros(int fd, uint64_t at, uint64_t length)
{
    static const char zeros[1 << 18];

    for (uint64_t done = 0; done < length; done += sizeof zeros) {
        const size_t part = length - done < sizeof zeros ? length - done : sizeof zeros;

        must(pwrite(fd, zeros, part, (off_t)(at + done)) == (ssize_t)part, "pwrite");
    }
    must(fsync(fd) == 0, "fsync");
}

static int create(const char *path, uint64_t size)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    must(fd >= 0, path);
    errno = posix_fallocate(fd, 0, (off_t)size);
    must(errno == 0, path);
    return fd;
}

/* A flat segment of the disk class, mapped; `written`: all its data's blocks are. */
static vista_segment *map_flat(const char *path, uint64_t size, uint64_t log_size, bool written)
{
    const struct vista_options force = {.force_class = VISTA_CLASS_DISK};
    const struct vista_map_options options = {.log_size = log_size};
    const unsigned flags = VISTA_CREATE | VISTA_NO_HEAP;
    vista_segment *segment;
    struct vista_info info;
    int fd;

    vista_must(vista_init(&force) == 0);
    segment = vista_map(path, size, flags, &options);
    vista_must(segment != NULL && vista_info(segment, &info) == 0);
    if (!written)
        return segment;
    vista_must(vista_unmap(segment) == 0);
    fd = open(path, O_RDWR | O_CLOEXEC);
    must(fd >= 0, path);
    write_zeros(fd, info.data_offset, size);
    close(fd);
    segment = vista_map(path, size, flags, &options);
    vista_must(segment != NULL);
    return segment;
}

/* ---- Latency while the log is truncated ---------------------------------- */

#define LATENCY_DATA ((uint64_t)64 << 20)
#define LATENCY_LOG ((uint64_t)4 << 20)
#define LATENCY_RECORD (2 * PAGE) /* a page and its record's head, padded */

static void latencies(struct result *result, double *samples, unsigned count)
{
    double sum = 0;

    for (unsigned i = 0; i < count; i++)
        sum += samples[i];
    qsort(samples, count, sizeof *samples, bench_compare_double);
    result->transactions = count;
    result->ns = sum / count;
    result->p50 = samples[count / 2];
    result->p99 = samples[(size_t)count * 99 / 100];
    result->p999 = samples[(size_t)((double)count * 0.999)];
    result->checked = true;
    free(samples);
}

/* Commits for the session's time, `commit(context, page)` each; `most` at most. */
static void sample(struct session *session, struct result *result,
                   void (*commit)(void *context, uint64_t page), void *context, unsigned most)
{
    double *samples = calloc(most, sizeof *samples);
    struct rng rng = session->lanes[0].rng;
    const uint64_t begin = bench_now();
    uint64_t now = begin;
    unsigned count = 0;

    must(samples != NULL, "memory");
    while (count < most && (double)(now - begin) < session->config->seconds * 1e9) {
        const uint64_t before = now;

        commit(context, rng_below(&rng, LATENCY_DATA / PAGE));
        now = bench_now();
        samples[count++] = (double)(now - before);
    }
    latencies(result, samples, count);
}

static void commit_page(void *context, uint64_t page)
{
    vista_segment *segment = context;
    char *at = (char *)vista_base(segment) + page * PAGE;
    vista_tx *tx = vista_begin_transaction(segment, 0);

    vista_must(tx != NULL && vista_set_range(tx, at, PAGE) == 0);
    memset(at, (int)page | 1, PAGE);
    vista_must(vista_end_transaction(tx, 0) == 0);
}

static void latency_vista(struct session *session, struct result *result, uint64_t log,
                          bool written, unsigned most)
{
    vista_segment *segment = map_flat(session->path, LATENCY_DATA, log, written);

    bench_prefault(vista_base(segment), LATENCY_DATA);
    sample(session, result, commit_page, segment, most);
    snprintf(result->verdict, VERDICT_SIZE, "%llu commits",
             (unsigned long long)result->transactions);
    vista_must(vista_unmap(segment) == 0);
}

static void quiet_vista(struct session *session, struct result *result)
{
    const uint64_t log = (uint64_t)128 << 20;

    /* A log that is half full is truncated. */
    latency_vista(session, result, log, true, (unsigned)(log / 2 / LATENCY_RECORD - 1));
}

static void truncating_vista(struct session *session, struct result *result)
{
    latency_vista(session, result, LATENCY_LOG, true, SAMPLES);
}

static void fresh_vista(struct session *session, struct result *result)
{
    latency_vista(session, result, LATENCY_LOG, false, SAMPLES);
}

/* The floor: a page for a header, the log, the data. */
struct by_hand {
    int fd;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t tail, head; /* bytes of log */
    bool done;
    uint32_t pages[LATENCY_LOG / LATENCY_RECORD]; /* of the records in the log */
    char record[LATENCY_RECORD];
};

static int compare_pages(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void write_back(struct by_hand *floor, uint64_t from, uint64_t to)
{
    static char log[LATENCY_LOG / 2];
    const uint64_t first = from % LATENCY_LOG / LATENCY_RECORD,
                   count = (to - from) / LATENCY_RECORD;
    uint32_t pages[LATENCY_LOG / LATENCY_RECORD];
    const struct iovec header = {log, PAGE};

    must(pread(floor->fd, log, sizeof log, (off_t)(PAGE + from % LATENCY_LOG)) > 0, "pread");
    memcpy(pages, floor->pages + first, count * sizeof *pages);
    qsort(pages, count, sizeof *pages, compare_pages);
    for (uint64_t i = 0; i < count; i++)
        must(pwrite(floor->fd, log + i * PAGE, PAGE,
                    (off_t)(PAGE + LATENCY_LOG + (uint64_t)pages[i] * PAGE)) == PAGE,
             "pwrite");
    must(fdatasync(floor->fd) == 0, "fdatasync");
    must(pwritev2(floor->fd, &header, 1, 0, RWF_DSYNC) == PAGE, "pwritev2");
}

static void *write_back_thread(void *argument)
{
    struct by_hand *floor = argument;

    pthread_mutex_lock(&floor->lock);
    while (!floor->done) {
        const uint64_t from = floor->head;

        if (floor->tail - from < LATENCY_LOG / 2) {
            pthread_cond_wait(&floor->changed, &floor->lock);
            continue;
        }
        pthread_mutex_unlock(&floor->lock);
        write_back(floor, from, from + LATENCY_LOG / 2);
        pthread_mutex_lock(&floor->lock);
        floor->head = from + LATENCY_LOG / 2;
        pthread_cond_broadcast(&floor->changed);
    }
    pthread_mutex_unlock(&floor->lock);
    return NULL;
}

static void commit_by_hand(void *context, uint64_t page)
{
    struct by_hand *floor = context;
    const struct iovec part = {floor->record, LATENCY_RECORD};
    const uint64_t at = floor->tail % LATENCY_LOG;

    pthread_mutex_lock(&floor->lock);
    while (floor->tail - floor->head == LATENCY_LOG)
        pthread_cond_wait(&floor->changed, &floor->lock);
    pthread_mutex_unlock(&floor->lock);
    floor->pages[at / LATENCY_RECORD] = (uint32_t)page;
    must(pwritev2(floor->fd, &part, 1, (off_t)(PAGE + at), RWF_DSYNC) == LATENCY_RECORD,
         "pwritev2");
    pthread_mutex_lock(&floor->lock);
    floor->tail += LATENCY_RECORD;
    pthread_cond_broadcast(&floor->changed);
    pthread_mutex_unlock(&floor->lock);
}

static void latency_floor(struct session *session, struct result *result, bool written)
{
    struct by_hand *floor = calloc(1, sizeof *floor);
    pthread_t thread;

    must(floor != NULL, "memory");
    floor->fd = create(session->path, PAGE + LATENCY_LOG + LATENCY_DATA);
    write_zeros(floor->fd, 0, PAGE + LATENCY_LOG + (written ? LATENCY_DATA : 0));
    pthread_mutex_init(&floor->lock, NULL);
    pthread_cond_init(&floor->changed, NULL);
    must(pthread_create(&thread, NULL, write_back_thread, floor) == 0, "a thread");
    sample(session, result, commit_by_hand, floor, SAMPLES);
    pthread_mutex_lock(&floor->lock);
    floor->done = true;
    pthread_cond_broadcast(&floor->changed);
    pthread_mutex_unlock(&floor->lock);
    pthread_join(thread, NULL);
    close(floor->fd);
    free(floor);
    snprintf(result->verdict, VERDICT_SIZE, "%llu records",
             (unsigned long long)result->transactions);
}

static void truncating_floor(struct session *session, struct result *result)
{
    latency_floor(session, result, true);
}

static void fresh_floor(struct session *session, struct result *result)
{
    latency_floor(session, result, false);
}

/* ---- Recovery -------------------------------------------------------------- */

#define RECOVERY_DATA ((uint64_t)128 << 20)
#define RECOVERY_LOG ((uint64_t)16 << 20)        /* that is to be applied */
#define RECOVERY_LOG_SIZE (RECOVERY_LOG * 9 / 4) /* less than half full: not truncated */
#define RECOVERY_RANGE 1024u
#define RECOVERY_RANGES (RECOVERY_LOG / (RECOVERY_RANGE + 56))

static uint64_t recovery_place(struct rng *rng)
{
    return (uint64_t)rng_below(rng, RECOVERY_DATA / RECOVERY_RANGE) * RECOVERY_RANGE;
}

/* Commits 16 MiB of log and is killed. */
static void leave_log(const struct session *session)
{
    vista_segment *segment = map_flat(session->path, RECOVERY_DATA, RECOVERY_LOG_SIZE, true);
    struct rng rng = session->lanes[0].rng;

    for (unsigned i = 0; i < RECOVERY_RANGES; i++) {
        char *at = (char *)vista_base(segment) + recovery_place(&rng);
        vista_tx *tx = vista_begin_transaction(segment, 0);

        vista_must(tx != NULL && vista_set_range(tx, at, RECOVERY_RANGE) == 0);
        memset(at, (int)i, RECOVERY_RANGE);
        vista_must(vista_end_transaction(tx, VISTA_NO_FLUSH) == 0);
    }
    vista_must(vista_flush(segment) == 0);
    raise(SIGKILL);
}

static bool recovered(const struct session *session, const char *data)
{
    char *wanted = calloc(1, RECOVERY_DATA);
    struct rng rng = session->lanes[0].rng;
    bool same;

    must(wanted != NULL, "memory");
    for (unsigned i = 0; i < RECOVERY_RANGES; i++)
        memset(wanted + recovery_place(&rng), (int)i, RECOVERY_RANGE);
    same = memcmp(wanted, data, RECOVERY_DATA) == 0;
    free(wanted);
    return same;
}

static void recovery_vista(struct session *session, struct result *result)
{
    const struct vista_map_options options = {.lock_wait_ms = 10000};
    vista_segment *segment;
    uint64_t begin;
    int status;
    const pid_t child = fork();

    if (child == 0) {
        leave_log(session);
        _exit(1);
    }
    must(child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status), "a process");
    begin = bench_now();
    segment = vista_map(session->path, 0, 0, &options);
    vista_must(segment != NULL);
    result->ns = (double)(bench_now() - begin);
    result->checked = recovered(session, vista_base(segment));
    snprintf(result->verdict, VERDICT_SIZE, "every byte is %sas committed",
             result->checked ? "" : "NOT ");
    vista_must(vista_unmap(segment) == 0);
}

struct patch {
    uint64_t place;
    uint32_t number;
};

static int compare_patches(const void *a, const void *b)
{
    const struct patch *x = a, *y = b;

    return x->place != y->place ? (x->place > y->place) - (x->place < y->place)
                                : (x->number > y->number) - (x->number < y->number);
}

/* Reads, changes and writes each run of neighbouring pages. */
static void patch_runs(int fd, struct patch *patches, unsigned count, const char *log)
{
    static char run[64 * PAGE];
    unsigned end;

    qsort(patches, count, sizeof *patches, compare_patches);
    for (unsigned i = 0; i < count; i = end) {
        const uint64_t from = patches[i].place / PAGE * PAGE;
        uint64_t to = from + PAGE;

        for (end = i;
             end < count && patches[end].place <= to && patches[end].place < from + sizeof run;
             end++)
            to = patches[end].place / PAGE * PAGE + PAGE;
        must(pread(fd, run, to - from, (off_t)(RECOVERY_LOG + from)) > 0, "pread");
        for (unsigned k = i; k < end; k++)
            memcpy(run + (patches[k].place - from),
                   log + (uint64_t)patches[k].number * (RECOVERY_RANGE + 56), RECOVERY_RANGE);
        must(pwrite(fd, run, to - from, (off_t)(RECOVERY_LOG + from)) > 0, "pwrite");
    }
}

static void recovery_floor(struct session *session, struct result *result)
{
    struct patch *patches = calloc(RECOVERY_RANGES, sizeof *patches);
    struct rng rng = session->lanes[0].rng;
    char *log;
    uint64_t begin;
    int fd = create(session->path, RECOVERY_LOG + RECOVERY_DATA);

    must(patches != NULL, "memory");
    write_zeros(fd, 0, RECOVERY_LOG + RECOVERY_DATA);
    for (unsigned i = 0; i < RECOVERY_RANGES; i++)
        patches[i] = (struct patch){recovery_place(&rng), i};
    begin = bench_now();
    log = malloc(RECOVERY_LOG);
    must(log != NULL, "memory");
    must(pread(fd, log, RECOVERY_LOG, 0) == (ssize_t)RECOVERY_LOG, "pread");
    patch_runs(fd, patches, RECOVERY_RANGES, log);
    must(fdatasync(fd) == 0, "fdatasync");
    result->ns = (double)(bench_now() - begin);
    result->checked = true;
    snprintf(result->verdict, VERDICT_SIZE, "log read, pages written, synced");
    free(log);
    free(patches);
    close(fd);
}

/* ---- Large segments -------------------------------------------------------- */

/* `ns` is processor time here. */
static void map_sparse(struct session *session, struct result *result)
{
    const struct vista_options force = {.force_class = VISTA_CLASS_DISK};
    vista_segment *segment;
    uint64_t begin;

    vista_must(vista_init(&force) == 0);
    segment = vista_map(session->path, (size_t)16 << 30, VISTA_CREATE | VISTA_SPARSE, NULL);
    vista_must(segment != NULL && vista_unmap(segment) == 0);
    begin = processor_time();
    segment = vista_map(session->path, 0, 0, NULL);
    vista_must(segment != NULL);
    result->ns = (double)(processor_time() - begin);
    result->checked = true;
    snprintf(result->verdict, VERDICT_SIZE, "mapped");
    vista_must(vista_unmap(segment) == 0);
}

/* Processor time of all of it. */
static void malloc_large(struct session *session, struct result *result)
{
    const struct vista_options force = {.force_class = VISTA_CLASS_DISK};
    const uint64_t begin = processor_time();
    vista_segment *segment;
    vista_tx *tx;

    vista_must(vista_init(&force) == 0);
    segment = vista_map(session->path, (size_t)512 << 20, VISTA_CREATE, NULL);
    vista_must(segment != NULL);
    tx = vista_begin_transaction(segment, 0);
    vista_must(tx != NULL && vista_malloc(tx, (size_t)256 << 20) != NULL &&
               vista_end_transaction(tx, 0) == 0);
    vista_must(vista_unmap(segment) == 0);
    segment = vista_map(session->path, 0, 0, NULL);
    vista_must(segment != NULL);
    result->ns = (double)(processor_time() - begin);
    result->checked = true;
    snprintf(result->verdict, VERDICT_SIZE, "allocated");
    vista_must(vista_unmap(segment) == 0);
}

#define FLAT_SIZE ((uint64_t)1 << 30)

static uint64_t anonymous_bytes(void)
{
    FILE *file = fopen("/proc/self/smaps_rollup", "re");
    unsigned long kilobytes = 0;
    char line[200];

    must(file != NULL, "/proc/self/smaps_rollup");
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "Anonymous: %lu kB", &kilobytes) == 1)
            break;
    fclose(file);
    return (uint64_t)kilobytes * 1024;
}

/* Of a file in the page cache. */
static uint64_t cached_bytes(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const off_t size = lseek(fd, 0, SEEK_END);
    const size_t pages = (size_t)size / PAGE;
    unsigned char *present = malloc(pages);
    uint64_t bytes = 0;
    void *map;

    must(fd >= 0 && present != NULL, path);
    map = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
    must(map != MAP_FAILED && mincore(map, (size_t)size, present) == 0, "mincore");
    for (size_t i = 0; i < pages; i++)
        bytes += (present[i] & 1) != 0 ? PAGE : 0;
    munmap(map, (size_t)size);
    free(present);
    close(fd);
    return bytes;
}

/* `ns` is bytes: anonymous memory and page cache of a flat GiB that was mapped and read, with 64 bytes of
 * each hundredth page written. */
static void footprint(struct session *session, struct result *result)
{
    const uint64_t before = anonymous_bytes();
    vista_segment *segment = map_flat(session->path, FLAT_SIZE, 0, false);
    char *data = vista_base(segment);
    uint64_t sum = 0, anonymous, cached;

    for (uint64_t i = 0; i < FLAT_SIZE; i += PAGE)
        sum += (unsigned char)((volatile char *)data)[i];
    for (uint64_t i = 0; i < FLAT_SIZE; i += 100 * PAGE) {
        vista_tx *tx = vista_begin_transaction(segment, 0);

        vista_must(tx != NULL && vista_set_range(tx, data + i, 64) == 0);
        memset(data + i, 1, 64);
        vista_must(vista_end_transaction(tx, VISTA_NO_FLUSH) == 0);
    }
    anonymous = anonymous_bytes() - before;
    cached = cached_bytes(session->path);
    result->ns = (double)(anonymous + cached);
    result->checked = sum == 0;
    snprintf(result->verdict, VERDICT_SIZE, "%.0f MiB anonymous, %.0f MiB of page cache",
             (double)anonymous / 1048576, (double)cached / 1048576);
    vista_must(vista_unmap(segment) == 0);
}

#define MEASURE(name, of_workload, of_peer, function) \
    const struct driver name = {.workload = of_workload, \
                                .peer = of_peer, \
                                .classes = 1u << CLASS_SYNC, \
                                .one_thread = true, \
                                .measure = function}

MEASURE(latency_quiet_vista, "latency-quiet", "vista-disk", quiet_vista);
MEASURE(latency_truncating_vista, "latency-truncating", "vista-disk", truncating_vista);
MEASURE(latency_truncating_floor, "latency-truncating", "floor-sync", truncating_floor);
MEASURE(latency_fresh_vista, "latency-fresh", "vista-disk", fresh_vista);
MEASURE(latency_fresh_floor, "latency-fresh", "floor-sync", fresh_floor);
MEASURE(recovery_disk_vista, "recovery-disk", "vista-disk", recovery_vista);
MEASURE(recovery_disk_floor, "recovery-disk", "floor-sync", recovery_floor);
MEASURE(map_sparse_vista, "map-sparse", "vista-disk", map_sparse);
MEASURE(malloc_large_vista, "malloc-large", "vista-disk", malloc_large);
MEASURE(footprint_vista, "footprint", "vista-disk", footprint);
