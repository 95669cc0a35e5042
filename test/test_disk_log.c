/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The redo log: where records go, headers, appending, group commit of threads, truncation, the
 * log's thread, recovery, failures; on a real file, or on the simulated disk where it has to fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "disk/apply.h"
#include "disk/disk_log.h"
#include "disk/replay.h"
#include "simdisk.h"

#define DATA (64u << 10)
#define RING_AT (DATA + VI_REDO_HEADERS * VI_REDO_BLOCK)
#define RING (64u << 10)
#define LOG (512u << 10)
#define FILE_END (RING_AT + RING + LOG)

/* The most that can be mapped at once, and how often more was wanted. */
static size_t reserve_most = SIZE_MAX;
static unsigned refused;

void *__real_vi_reserve(size_t size);
void *__wrap_vi_reserve(size_t size);

void *__wrap_vi_reserve(size_t size)
{
    if (size <= reserve_most)
        return __real_vi_reserve(size);
    refused++;
    return errno = ENOMEM, NULL;
}

static struct vi_disk_log redo;

/* Who waits may be cancelled first; then there is nothing to wait for any more. */
static bool at_once;

int __real_pthread_cond_wait(pthread_cond_t *changed, pthread_mutex_t *lock);
int __wrap_pthread_cond_wait(pthread_cond_t *changed, pthread_mutex_t *lock);

int __wrap_pthread_cond_wait(pthread_cond_t *changed, pthread_mutex_t *lock)
{
    if (!at_once)
        return __real_pthread_cond_wait(changed, lock);
    pthread_testcancel();
    redo.leading = redo.truncating = redo.growing = false;
    return 0;
}

static struct vi_disk_target target[VI_DISK_MEMBERS];
static struct vi_disk_area area;

/* An area of a new file, not yet written. */
static void lay_out(int fd)
{
    area = (struct vi_disk_area){.io = vi_io(), .path = "a redo log", .fd = fd};
    memcpy(area.uuid, "0123456789abcdef", 16);
    vi_disk_area_set(&area, DATA, RING_AT, RING, LOG);
    memset(target, 0, sizeof target);
    target[0] = (struct vi_disk_target){.exists = true, .fd = fd, .part = {{0, DATA}, {0, 0}}};
}

static int file(const char *path)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, FILE_END), 0);
    return fd;
}

static void begin(int fd)
{
    lay_out(fd);
    OK(vi_disk_create(&area, 1, (struct vi_disk_point){RING, 0}));
    OK(vi_disk_log_open(&redo, &area, (struct vi_disk_point){RING, 0}, target));
    redo.truncate_percent = 101; /* no thread is started when it is half full */
}

static void begin_simulated(void)
{
    vi_io_test_ops = &sim_ops;
    sim_new(0, FILE_END);
    begin(0);
}

/* Commits one item; returns where the stream ends. */
static uint64_t put(uint64_t offset, const void *bytes, uint32_t length)
{
    uint64_t end;

    OK(vi_disk_begin(&redo, sizeof(struct vi_redo_record) + vi_disk_item_size(length)));
    vi_disk_put(&redo, 0, offset, bytes, length);
    end = vi_disk_end(&redo, true);
    ck_assert_uint_ne(end, UINT64_MAX);
    return end;
}

static uint64_t put_word(uint64_t offset, uint64_t value)
{
    return put(offset, &value, sizeof value);
}

static uint64_t word_at(int fd, uint64_t offset)
{
    uint64_t value = 0;

    ck_assert_int_eq(vi_io_read(vi_io(), fd, &value, sizeof value, offset, false), 0);
    return value;
}

static int recover(int fd, uint64_t *records)
{
    struct vi_disk_left left;
    int result;

    lay_out(fd);
    result = vi_disk_load(&left, &area, FILE_END);
    if (result != 0)
        return result;
    *records = left.records;
    result = vi_disk_replay(&left, target);
    vi_disk_unload(&left);
    return result;
}

START_TEST(places_of_records)
{
    uint64_t end;

    lay_out(-1);
    ck_assert_uint_eq(vi_disk_next_lsn(&area, RING, 48, &end), RING);
    ck_assert_uint_eq(end, RING + 48);
    /* None crosses a ring multiple. */
    ck_assert_uint_eq(vi_disk_next_lsn(&area, 2 * RING - 40, 48, &end), 2 * RING);
    ck_assert_uint_eq(vi_disk_next_lsn(&area, 2 * RING - 48, 48, &end), 2 * RING - 48);
    /* A large one begins and ends at one, and does not wrap the log. */
    ck_assert_uint_eq(vi_disk_next_lsn(&area, RING + 8, RING / 2 + 8, &end), 2 * RING);
    ck_assert_uint_eq(end, 3 * RING);
    ck_assert_uint_eq(vi_disk_next_lsn(&area, LOG - 2 * RING, 3 * RING, &end), LOG);
    ck_assert_uint_eq(end, LOG + 3 * RING);
    ck_assert_uint_eq(vi_disk_record_max(&area), LOG / 2 - RING);
}
END_TEST

/* The log stays as it is where none would take the record: it has all of its area, or is longer than
 * a record can be. */
START_TEST(growing_in_vain)
{
    const struct vi_file none = {.path = "a redo log", .fd = -1};

    begin_simulated();
    FAILS(vi_disk_grow(&redo, &none, FILE_END, LOG), ENOSPC, "no room");
    redo.area.log_size = (uint64_t)32 << 30;
    FAILS(vi_disk_grow(&redo, &none, UINT64_MAX / 2, (uint64_t)5 << 30), ENOSPC, "no room");
    FAILS(vi_disk_grow(&redo, &none, redo.area.log_offset + redo.area.log_size, UINT32_MAX), ENOSPC,
          "no room");
    ck_assert_int_eq(redo.failed, 0);
    vi_disk_log_close(&redo);
    vi_io_test_ops = NULL;
}
END_TEST

START_TEST(headers)
{
    struct vi_disk_point head;
    const int fd = file(test_path("redo"));
    const uint64_t garbage = 0x1234;

    lay_out(fd);
    ck_assert_int_eq(vi_disk_header_read(&area, FILE_END, &head), 1);
    OK(vi_disk_header_write(&area, 7, (struct vi_disk_point){RING, 0}));
    OK(vi_disk_header_write(&area, 8, (struct vi_disk_point){3 * RING, 2 * RING}));
    OK(vi_disk_header_read(&area, FILE_END, &head));
    ck_assert_uint_eq(area.epoch, 8);
    ck_assert_uint_eq(head.lsn, 3 * RING);
    ck_assert_uint_eq(head.previous, 2 * RING);
    /* One that is damaged does not count: the other does. */
    ck_assert_int_eq(pwrite(fd, &garbage, 8, DATA + area.generation % 2 * VI_REDO_BLOCK + 100), 8);
    OK(vi_disk_header_read(&area, FILE_END, &head));
    ck_assert_uint_eq(area.epoch, 7);
    /* A log that is longer than the file is none, nor is another segment's. */
    ck_assert_int_eq(vi_disk_header_read(&area, FILE_END - 1, &head), 1);
    area.uuid[0]++;
    ck_assert_int_eq(vi_disk_header_read(&area, FILE_END, &head), 1);
    area.uuid[0]--;
    OK(vi_disk_headers_void(&area));
    ck_assert_int_eq(vi_disk_header_read(&area, FILE_END, &head), 1);
    close(fd);
}
END_TEST

START_TEST(survives_a_kill_without_a_sync)
{
    const int fd = file(test_path("redo"));
    uint64_t records;

    begin(fd);
    for (uint64_t i = 0; i < 100; i++)
        put_word(i * 8, i + 1);
    vi_disk_log_close(&redo); /* nothing is written */
    ck_assert_uint_eq(word_at(fd, 8), 0);
    OK(recover(fd, &records));
    ck_assert_uint_eq(records, 100);
    for (uint64_t i = 0; i < 100; i++)
        ck_assert_uint_eq(word_at(fd, i * 8), i + 1);
    OK(recover(fd, &records)); /* again: there is nothing left */
    ck_assert_uint_eq(records, 0);
    close(fd);
}
END_TEST

/* It says nothing, but is read as what it was written as. */
START_TEST(an_item_without_bytes)
{
    const int fd = file(test_path("redo"));
    const struct vi_redo_item *item;

    begin(fd);
    OK(vi_disk_begin(&redo, sizeof(struct vi_redo_record) + vi_disk_item_size(0)));
    vi_disk_put(&redo, 7, 24, "", 0);
    ck_assert_uint_eq(vi_disk_end(&redo, false), RING + sizeof(struct vi_redo_record) + 16);
    item = vi_disk_item((const void *)redo.ring, NULL);
    SOME(item);
    ck_assert_uint_eq(item->offset, 24);
    ck_assert_uint_eq(item->length, 0);
    ck_assert_uint_eq(item->member, 7);
    ck_assert_uint_eq(item->kind, VI_REDO_BYTES);
    vi_disk_log_close(&redo);
    close(fd);
}
END_TEST

START_TEST(large_records)
{
    unsigned char *bytes = malloc(DATA);
    const int fd = file(test_path("redo"));
    uint64_t records;

    for (uint32_t i = 0; i < DATA; i++)
        bytes[i] = (unsigned char)(i * 7);
    begin(fd);
    put_word(0, 1);
    /* Two items of almost DATA bytes each: a record of more than two rings. */
    OK(vi_disk_begin(&redo, sizeof(struct vi_redo_record) + 2 * vi_disk_item_size(DATA - 8)));
    for (int i = 0; i < 2; i++)
        vi_disk_put(&redo, 0, 8, bytes, DATA - 8);
    ck_assert_uint_eq(vi_disk_end(&redo, false), 5 * RING); /* from the second ring on */
    put_word(0, 2);
    FAILS(vi_disk_begin(&redo, vi_disk_record_max(&area) + 8), ENOSPC, "half its redo log");
    vi_disk_log_close(&redo);
    OK(recover(fd, &records));
    ck_assert_uint_eq(records, 3);
    ck_assert_uint_eq(word_at(fd, 0), 2);
    ck_assert_int_eq(pread(fd, bytes + 8, DATA - 8, 8), DATA - 8);
    for (uint32_t i = 8; i < DATA; i++)
        ck_assert_uint_eq(bytes[i], (unsigned char)((i - 8) * 7));
    free(bytes);
    close(fd);
}
END_TEST

/* Than was said: in the ring, or in memory of its own. */
static void longer_than(uint32_t most)
{
    const int fd = file(test_path("redo"));
    uint64_t records;

    begin(fd);
    put_word(0, 1);
    OK(vi_disk_begin(&redo, most));
    redo.writer.to += most;
    FAILS(vi_disk_end(&redo, true) == UINT64_MAX ? -1 : 0, EIO, "has failed");
    ck_assert_int_eq(redo.failed, EOVERFLOW);
    FAILS(vi_disk_begin(&redo, 64), EIO, "has failed");
    vi_disk_log_close(&redo);
    OK(recover(fd, &records));
    ck_assert_uint_eq(records, 1);
    close(fd);
}

START_TEST(records_that_are_longer)
{
    longer_than(64);
    longer_than(RING);
}
END_TEST

/* As if nothing had been wanted. */
START_TEST(no_memory_for_a_large_record)
{
    const int fd = file(test_path("redo"));
    uint64_t records;

    begin(fd);
    put_word(0, 1);
    reserve_most = 0;
    FAILS(vi_disk_begin(&redo, RING), ENOMEM, "no memory");
    ck_assert_uint_eq(refused, 1);
    put_word(0, 2); /* where the ring has room */
    reserve_most = SIZE_MAX;
    ck_assert_int_eq(redo.failed, 0);
    OK(vi_disk_begin(&redo, RING));
    ck_assert_uint_ne(vi_disk_end(&redo, false), UINT64_MAX);
    put_word(8, 3);
    vi_disk_log_close(&redo);
    OK(recover(fd, &records));
    ck_assert_uint_eq(records, 4);
    ck_assert_uint_eq(word_at(fd, 0), 2);
    ck_assert_uint_eq(word_at(fd, 8), 3);
    close(fd);
}
END_TEST

START_TEST(truncation_and_a_full_log)
{
    const int fd = file(test_path("redo"));
    const uint64_t first = 5;
    uint64_t records;

    begin(fd);
    put_word(0, first);
    OK(vi_disk_truncate(&redo));
    ck_assert_uint_eq(word_at(fd, 0), first); /* it is in the data */
    ck_assert_uint_eq(redo.head.lsn, redo.tail.lsn);
    for (uint64_t i = 1; i <= 20000; i++) /* more than twice the log, NO_FLUSH alone */
        put_word(i % 1000 * 8, i);
    ck_assert_uint_gt(redo.head.lsn, LOG);
    vi_disk_log_close(&redo);
    OK(recover(fd, &records));
    for (uint64_t i = 19001; i <= 20000; i++)
        ck_assert_uint_eq(word_at(fd, i % 1000 * 8), i);
    close(fd);
}
END_TEST

/* As much as the log has, and what the pieces of its records need. */
START_TEST(truncation_with_little_memory)
{
    static unsigned char bytes[8000];
    const int fd = file(test_path("redo"));

    begin(fd);
    for (unsigned i = 0; i < 30; i++) {
        memset(bytes, (int)i + 1, sizeof bytes);
        put(i * 100, bytes, sizeof bytes);
    }
    reserve_most = LOG;
    OK(vi_disk_truncate(&redo));
    ck_assert_uint_eq(refused, 0);
    ck_assert_uint_eq(word_at(fd, 2892) >> 56, 29);
    for (unsigned at = 2900; at < 2900 + sizeof bytes; at += 100)
        ck_assert_uint_eq(word_at(fd, at) & 255, 30);
    reserve_most = 0;
    FAILS(vi_disk_truncate(&redo), ENOMEM, "apply");
    vi_disk_log_close(&redo);
    close(fd);
}
END_TEST

/* ---- Threads ------------------------------------------------------------ */

#define THREADS 4
#define EACH 200

static void *commit_many(void *arg)
{
    const uint64_t mine = (uint64_t)(uintptr_t)arg;

    for (uint64_t i = 1; i <= EACH; i++)
        if (vi_disk_flush(&redo, put_word(mine * 8, i), true) != 0)
            return (void *)1;
    return NULL;
}

START_TEST(many_threads_flush)
{
    const int fd = file(test_disk_path("redo"));
    pthread_t thread[THREADS];
    uint64_t records;
    void *result;

    begin(fd);
    redo.truncate_percent = 50;
    OK(vi_disk_start_thread(&redo, 0));
    for (uint64_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, commit_many, (void *)(uintptr_t)i), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], &result);
        ck_assert_ptr_null(result);
    }
    ck_assert_uint_eq(redo.tail.commits, THREADS * EACH);
    ck_assert_uint_eq(redo.durable.commits, THREADS * EACH);
    vi_disk_log_close(&redo);
    OK(recover(fd, &records));
    for (uint64_t i = 0; i < THREADS; i++)
        ck_assert_uint_eq(word_at(fd, i * 8), EACH);
    close(fd);
}
END_TEST

/* Check's assertions are points of cancellation, too: here are none. */
static bool commit_quietly(uint64_t value, uint32_t length)
{
    static unsigned char bytes[RING];

    memcpy(bytes, &value, sizeof value);
    if (vi_disk_begin(&redo, sizeof(struct vi_redo_record) + vi_disk_item_size(length)) != 0)
        return false;
    vi_disk_put(&redo, 0, 0, bytes, length);
    return vi_disk_end(&redo, true) != UINT64_MAX;
}

static bool commit_large(void)
{
    return commit_quietly(1, RING);
}

static bool commit_while_it_grows(void)
{
    redo.growing = true;
    redo.writer.limit = 0;
    return commit_quietly(7, 8);
}

static bool flush_behind_a_leader(void)
{
    redo.leading = true;
    return vi_disk_flush(&redo, UINT64_MAX, true) == 0;
}

static bool truncate_behind_another(void)
{
    redo.truncating = true;
    return vi_disk_truncate(&redo) == 0;
}

static bool grow_behind_another(void)
{
    const struct vi_file of_log = {.path = area.path, .fd = area.fd};

    redo.growing = true;
    return vi_disk_grow(&redo, &of_log, FILE_END + LOG, LOG / 2) == 0;
}

static bool (*const calls[])(void) = {commit_large, commit_while_it_grows, flush_behind_a_leader,
                                      truncate_behind_another, grow_behind_another};
static bool has_worked;

static void *call_cancelled(void *call)
{
    pthread_cancel(pthread_self());
    has_worked = (*(bool (*const *)(void))call)();
    pthread_testcancel();
    return NULL;
}

/* A thread that is cancelled is so behind what it does with the log, whether it writes or waits. */
START_TEST(cancelled_threads)
{
    const int fd = file(test_path("redo"));

    ck_assert_int_eq(ftruncate(fd, FILE_END + LOG), 0);
    begin(fd);
    at_once = true;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        pthread_t thread;
        void *result;

        has_worked = false;
        ck_assert_int_eq(pthread_create(&thread, NULL, call_cancelled, (void *)&calls[i]), 0);
        pthread_join(thread, &result);
        ck_assert_ptr_eq(result, PTHREAD_CANCELED);
        ck_assert_msg(has_worked, "call %zu failed or was cut short", i);
        ck_assert_int_eq(pthread_mutex_trylock(&redo.lock), 0);
        ck_assert(!redo.leading && !redo.truncating && !redo.growing && redo.failed == 0);
        pthread_mutex_unlock(&redo.lock);
    }
    ck_assert_uint_eq(redo.area.log_size, 2 * LOG);
    ck_assert_uint_eq(redo.tail.commits, 2);
    ck_assert_uint_eq(word_at(fd, 0), 7);
    put_word(0, 8);
    OK(vi_disk_truncate(&redo));
    ck_assert_uint_eq(word_at(fd, 0), 8);
    vi_disk_log_close(&redo);
    close(fd);
}
END_TEST

/* Waits until the log's thread has brought a count so far, or for five seconds. */
static uint64_t await(const uint64_t *count, uint64_t least)
{
    uint64_t found = 0;

    for (int i = 0; i < 5000 && found < least; i++) {
        test_sleep_us(1000);
        pthread_mutex_lock(&redo.lock);
        found = *count;
        pthread_mutex_unlock(&redo.lock);
    }
    return found;
}

START_TEST(the_thread_flushes_and_truncates)
{
    const int fd = file(test_path("redo"));
    uint64_t records;

    begin(fd);
    redo.truncate_percent = 50;
    OK(vi_disk_start_thread(&redo, 1));
    put_word(0, 1);
    ck_assert_uint_eq(await(&redo.durable.commits, 1), 1);
    for (uint64_t i = 0; i < 5000; i++) /* over half of the log */
        put_word(8 + i % 100 * 8, i + 1);
    ck_assert_uint_gt(await(&redo.head.lsn, RING + 1), RING);
    vi_disk_log_close(&redo);
    OK(recover(fd, &records));
    ck_assert_uint_eq(word_at(fd, 8 + 4999 % 100 * 8), 5000);
    close(fd);
}
END_TEST

/* ---- Damage ------------------------------------------------------------- */

/* Recovers a log with one record whose item is changed, its checksum mended. */
static void refuses(uint64_t offset, uint32_t length, unsigned member, unsigned kind,
                    const char *says)
{
    const int fd = file(test_path("redo"));
    struct vi_redo_record *record;
    struct vi_redo_item *item;
    uint64_t records;

    begin(fd);
    put_word(0, 1);
    record = (void *)(redo.ring + RING % RING);
    item = (void *)(record + 1);
    *item = (struct vi_redo_item){offset, length, (uint16_t)member, (uint16_t)kind};
    record->check = vi_disk_check(&area, record);
    vi_disk_log_close(&redo);
    FAILS(recover(fd, &records), EBADMSG, says);
    ck_assert_uint_eq(word_at(fd, 0), 0);
    close(fd);
}

START_TEST(damaged_records)
{
    refuses(DATA, 8, 0, VI_REDO_BYTES, "outside");
    refuses(UINT64_MAX - 3, 8, 0, VI_REDO_BYTES, "outside");
    refuses(0, 8, 1, VI_REDO_BYTES, "member");
    refuses(0, 8, 65535, VI_REDO_BYTES, "member");
    refuses(0, 8, 0, VI_REDO_KINDS, "unknown kind");
    refuses(0, 4096, 0, VI_REDO_BYTES, "does not fit");
    refuses(0, UINT32_MAX, 0, VI_REDO_BYTES, "does not fit");
    refuses(0, 0, 0, VI_REDO_BYTES, "longer");
}
END_TEST

START_TEST(unknown_kinds_may_be_skipped)
{
    const int fd = file(test_path("redo"));
    struct vi_redo_record *record;
    uint64_t records;

    begin(fd);
    put_word(0, 1);
    record = (void *)(redo.ring + RING % RING);
    ((struct vi_redo_item *)(record + 1))->kind = VI_REDO_SKIPPED;
    record->check = vi_disk_check(&area, record);
    vi_disk_log_close(&redo);
    OK(recover(fd, &records));
    ck_assert_uint_eq(records, 1);
    ck_assert_uint_eq(word_at(fd, 0), 0);
    close(fd);
}
END_TEST

/* Acknowledged commits that are gone are never silently fewer. */
START_TEST(a_hole_is_told)
{
    const int fd = file(test_path("redo"));
    const uint64_t zero = 0;
    uint64_t records;

    begin(fd);
    put_word(0, 1);
    put_word(0, 2);
    OK(vi_disk_flush(&redo, UINT64_MAX, true));
    put_word(0, 3);
    OK(vi_disk_flush(&redo, UINT64_MAX, true));
    vi_disk_log_close(&redo);
    /* The first record is overwritten in the log and in the ring. */
    ck_assert_int_eq(pwrite(fd, &zero, 8, (off_t)(area.log_offset + RING % LOG)), 8);
    ck_assert_int_eq(pwrite(fd, &zero, 8, (off_t)area.ring_offset), 8);
    FAILS(recover(fd, &records), EBADMSG, "missing");
    close(fd);
}
END_TEST

/* A sound record whose items lie there already, but for one that is alone. */
static void forge(unsigned char *at, uint64_t lsn, uint64_t previous, uint32_t bytes,
                  uint32_t items)
{
    struct vi_redo_record *record = (void *)at;

    *record = (struct vi_redo_record){
        .bytes = bytes, .lsn = lsn, .previous = previous, .epoch = 1, .items = items};
    if (items == 1)
        *(struct vi_redo_item *)(record + 1) = (struct vi_redo_item){
            .length = bytes - (uint32_t)(sizeof *record + sizeof(struct vi_redo_item))};
    record->check = vi_disk_check(&area, record);
}

/* An empty log that begins at `head`, and memory for what is to be forged there. */
static int begin_forging(uint64_t head, unsigned char **log, unsigned char **ring)
{
    const int fd = file(test_path("redo"));

    lay_out(fd);
    OK(vi_disk_header_write(&area, 1, (struct vi_disk_point){head, 0}));
    *log = calloc(1, LOG);
    *ring = calloc(1, RING);
    ck_assert(*log != NULL && *ring != NULL);
    return fd;
}

static void end_forging(int fd, unsigned char *log, unsigned char *ring)
{
    ck_assert_int_eq(pwrite(fd, log, LOG, (off_t)area.log_offset), LOG);
    ck_assert_int_eq(pwrite(fd, ring, RING, (off_t)area.ring_offset), RING);
    free(log);
    free(ring);
}

/* The ring has a record that ends too far behind the head: were it copied to the log, a record that
 * it has in it would lie at the head, longer than all that counts, and with as many pieces as fit. */
START_TEST(a_record_over_the_head)
{
    const uint64_t head = LOG + 2 * VI_REDO_BLOCK, first = LOG + RING;
    const uint32_t each = 24, items = (LOG - 2 * VI_REDO_BLOCK) / each - 2;
    unsigned char *log, *ring, *at;
    uint64_t records;
    int fd = begin_forging(head, &log, &ring);

    at = log + 2 * VI_REDO_BLOCK; /* the forged record: built here, where all of it fits */
    for (uint32_t i = 0; i < items; i++)
        *(struct vi_redo_item *)(at + sizeof(struct vi_redo_record) + (uint64_t)i * each) =
            (struct vi_redo_item){VI_REDO_BLOCK - 1, 2, 0, VI_REDO_BYTES};
    /* In one of its items, as long as four: the only record that counts. */
    ((struct vi_redo_item *)(log + RING))[-1].length = 4 * each - sizeof(struct vi_redo_item);
    forge(log + RING, first, 0, 64, 1);
    forge(at, head, 0, (uint32_t)sizeof(struct vi_redo_record) + items * each, items - 3);
    memcpy(ring + 2 * VI_REDO_BLOCK, at, RING / 4);
    memset(at, 0, RING / 4);
    forge(ring, (uint64_t)2 * LOG, first, 2 * VI_REDO_BLOCK + RING / 4, 2);
    end_forging(fd, log, ring);
    OK(recover(fd, &records));
    ck_assert_uint_eq(records, 1);
    close(fd);
}
END_TEST

/* The log has a record that is sound only with one of the ring in it, which is what counts. */
START_TEST(a_record_over_another)
{
    const uint64_t garbage = 0x1234;
    unsigned char *log, *ring;
    uint64_t records;
    int fd = begin_forging(RING + 8, &log, &ring);

    forge(ring, (uint64_t)2 * RING, 0, 64, 1);
    memcpy(log + 2 * RING, ring, 64);
    forge(log + RING + 8, RING + 8, 0, RING - 8 + 64, 1);
    memset(log + 2 * RING, 0, 64);
    end_forging(fd, log, ring);
    ck_assert_int_eq(pwrite(fd, &garbage, 8, 100), 8);
    FAILS(recover(fd, &records), EBADMSG, "not found again");
    ck_assert_uint_eq(word_at(fd, 100), garbage);
    close(fd);
}
END_TEST

START_TEST(a_wild_store_is_not_written)
{
    const int fd = file(test_path("redo"));

    begin(fd);
    put_word(0, 1);
    redo.ring[60]++;
    FAILS(vi_disk_flush(&redo, UINT64_MAX, true), EIO, "has failed");
    FAILS(vi_disk_begin(&redo, 64), EIO, "has failed");
    FAILS(vi_disk_truncate(&redo), EIO, "redo log");
    vi_disk_log_close(&redo);
    close(fd);
}
END_TEST

/* ---- A disk that fails --------------------------------------------------- */

START_TEST(a_failed_sync_poisons)
{
    uint64_t end;

    begin_simulated();
    end = put_word(0, 1);
    sim_faults = (struct sim_faults){.on = 0, .fail_sync = 1};
    FAILS(vi_disk_flush(&redo, end, true), EIO, "has failed");
    ck_assert_int_eq(redo.failed, EIO);
    FAILS(vi_disk_flush(&redo, end, true), EIO, "has failed"); /* it is not tried again */
    FAILS(vi_disk_begin(&redo, 64), EIO, "has failed");
    vi_disk_log_close(&redo);
    vi_io_test_ops = NULL;
}
END_TEST

START_TEST(short_and_failing_writes)
{
    uint64_t records;

    begin_simulated();
    sim_faults = (struct sim_faults){.on = 0, .short_write = 1};
    put_word(0, 1);
    OK(vi_disk_flush(&redo, UINT64_MAX, true)); /* goes on */
    /* The data's disk is full: the log keeps what it has, and it is tried again. */
    put_word(8, 2);
    OK(vi_disk_flush(&redo, UINT64_MAX, true));
    sim_faults = (struct sim_faults){.on = 0, .fail_write = 1, .error = ENOSPC};
    FAILS(vi_disk_truncate(&redo), ENOSPC, "apply");
    ck_assert_int_eq(redo.failed, 0);
    OK(vi_disk_truncate(&redo));
    ck_assert_uint_eq(word_at(0, 8), 2);
    vi_disk_log_close(&redo);
    OK(recover(0, &records));
    ck_assert_uint_eq(records, 0);
    vi_io_test_ops = NULL;
}
END_TEST

/* Where the file system copies on write, the ring is no part of the file: what was not written is
 * gone with the process, and what vi_disk_flush has returned for is not. */
START_TEST(a_ring_that_is_not_mapped)
{
    uint64_t records, end = 0;

    vi_io_test_ops = &sim_ops;
    sim_new(0, FILE_END);
    lay_out(0);
    area.copies_on_write = true;
    OK(vi_disk_create(&area, 1, (struct vi_disk_point){RING, 0}));
    OK(vi_disk_log_open(&redo, &area, (struct vi_disk_point){RING, 0}, target));
    ck_assert_uint_eq(sim_files[0].mapped_to, 0);
    for (uint64_t i = 1; i <= 100; i++)
        end = put_word(i * 8, i);
    OK(vi_disk_flush(&redo, end, false));
    ck_assert_uint_eq(redo.durable.lsn, RING);
    put_word(8, 77);
    vi_disk_log_close(&redo);
    OK(recover(0, &records));
    ck_assert_uint_eq(records, 100);
    ck_assert_uint_eq(word_at(0, 8), 1);
    ck_assert_uint_eq(word_at(0, 800), 100);
    sim_new(0, FILE_END);
    begin(0);
    put_word(8, 1);
    OK(vi_disk_flush(&redo, redo.tail.lsn, false)); /* there is nothing to do */
    ck_assert_uint_eq(redo.written.lsn, RING);
    vi_disk_log_close(&redo);
    vi_io_test_ops = NULL;
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redo log");
    TCase *tcase = test_case(suite, "redo", 20);

    tcase_add_test(tcase, places_of_records);
    tcase_add_test(tcase, growing_in_vain);
    tcase_add_test(tcase, headers);
    tcase_add_test(tcase, survives_a_kill_without_a_sync);
    tcase_add_test(tcase, an_item_without_bytes);
    tcase_add_test(tcase, large_records);
    tcase_add_test(tcase, records_that_are_longer);
    tcase_add_test(tcase, no_memory_for_a_large_record);
    tcase_add_test(tcase, truncation_and_a_full_log);
    tcase_add_test(tcase, truncation_with_little_memory);
    tcase_add_test(tcase, many_threads_flush);
    tcase_add_test(tcase, cancelled_threads);
    tcase_add_test(tcase, the_thread_flushes_and_truncates);
    tcase_add_test(tcase, damaged_records);
    tcase_add_test(tcase, unknown_kinds_may_be_skipped);
    tcase_add_test(tcase, a_hole_is_told);
    tcase_add_test(tcase, a_record_over_the_head);
    tcase_add_test(tcase, a_record_over_another);
    tcase_add_test(tcase, a_wild_store_is_not_written);
    tcase_add_test(tcase, a_failed_sync_poisons);
    tcase_add_test(tcase, short_and_failing_writes);
    tcase_add_test(tcase, a_ring_that_is_not_mapped);
    return test_run(suite);
}
