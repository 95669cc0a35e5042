/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Segments: making, opening and closing them, their addresses, flags and locks,
 * the guard against torn ones and the guard against forked children.
 */
#include "support.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define KIB 1024u
#define MIB (1024u * KIB)

struct counter {
    struct counter *self;
    uint64_t value;
};

/* A new segment with a counter as its root. */
static vista_segment *new_segment(const char *path, size_t size, unsigned flags)
{
    vista_segment *segment = vista_map(path, size, VISTA_CREATE | VISTA_EXCLUSIVE | flags, NULL);

    SOME(segment);
    return segment;
}

static void set_counter(vista_segment *segment, uint64_t value)
{
    struct counter *counter = vista_root(segment, sizeof *counter);
    vista_tx *tx = vista_begin_transaction(segment, 0);

    SOME(counter);
    SOME(tx);
    OK(vista_set_range(tx, counter, sizeof *counter));
    counter->self = counter;
    counter->value = value;
    OK(vista_end_transaction(tx, 0));
}

static void expect_counter(vista_segment *segment, uint64_t value)
{
    const struct counter *counter = vista_root(segment, 0);

    SOME(counter);
    ck_assert_ptr_eq(counter->self, counter);
    ck_assert_uint_eq(counter->value, value);
}

/* A file that holds `value` and was unmapped. */
static void make_file(const char *path, uint64_t value)
{
    vista_segment *segment = new_segment(path, 64 * KIB, 0);

    set_counter(segment, value);
    OK(vista_unmap(segment));
}

/* ---- Making and opening ------------------------------------------------ */

static void make_and_open_again(const char *path)
{
    vista_segment *segment = new_segment(path, MIB, 0);
    void *base = vista_base(segment);
    struct vista_info info;
    struct stat st;

    SOME(base);
    ck_assert_uint_eq(vista_size(segment), MIB);
    OK(vista_info(segment, &info));
    ck_assert_str_eq(info.path, path);
    ck_assert_ptr_eq(info.base, base);
    ck_assert_uint_eq(info.size, MIB);
    ck_assert_uint_eq(info.max_size, 4 * MIB);
    ck_assert_uint_eq(info.flags, 0);
    ck_assert_uint_eq(info.durability, VISTA_KILL_SAFE);
    ck_assert_uint_eq(info.persistence, VISTA_CLASS_KILL);
    ck_assert_uint_eq(info.forced, 0);
    ck_assert_uint_eq(info.format_version, 1);
    ck_assert_uint_eq(info.rolled_back + info.finished + info.open_transactions, 0);
    ck_assert_uint_eq(info.data_offset % VI_HUGE_PAGE, (uintptr_t)base % VI_HUGE_PAGE);
    ck_assert_int_eq(fstat(info.fd, &st), 0);
    ck_assert_uint_ge((uint64_t)st.st_blocks * 512, MIB);
    ck_assert_int_eq(st.st_mode & 0777, 0600);
    set_counter(segment, 42);
    OK(vista_unmap(segment));
    test_sound(path);
    for (int i = 0; i < 3; i++) {
        segment = vista_map(path, 0, 0, NULL);
        SOME(segment);
        ck_assert_ptr_eq(vista_base(segment), base);
        ck_assert_uint_eq(vista_size(segment), MIB);
        expect_counter(segment, 42);
        OK(vista_unmap(segment));
    }
}

START_TEST(segment_comes_back)
{
    make_and_open_again(test_path("comes-back"));
}
END_TEST

START_TEST(segment_comes_back_on_disk)
{
    make_and_open_again(test_disk_path("comes-back"));
}
END_TEST

START_TEST(create_takes_what_is_there)
{
    const char *path = test_path("there");
    vista_segment *segment;

    make_file(path, 7);
    segment = vista_map(path, 3 * MIB, VISTA_CREATE, NULL);
    SOME(segment);
    ck_assert_uint_eq(vista_size(segment), 64 * KIB);
    expect_counter(segment, 7);
    OK(vista_unmap(segment));
    NULLS(vista_map(path, MIB, VISTA_CREATE | VISTA_EXCLUSIVE, NULL), EEXIST, path);
}
END_TEST

START_TEST(create_takes_an_empty_file)
{
    const char *path = test_path("empty");

    close(open(path, O_CREAT | O_RDWR, 0600));
    NULLS(vista_map(path, 0, 0, NULL), EBADMSG, path);
    vista_segment *segment = vista_map(path, MIB, VISTA_CREATE, NULL);
    SOME(segment);
    OK(vista_unmap(segment));
}
END_TEST

START_TEST(sizes_are_rounded)
{
    static const struct {
        size_t size;
        unsigned flags;
        size_t expected;
    } cases[] = {
        {1, 0, 64 * KIB},
        {64 * KIB, 0, 64 * KIB},
        {64 * KIB + 1, 0, 68 * KIB},
        {1, VISTA_NO_HEAP, 4 * KIB},
        {4097, VISTA_NO_HEAP, 8 * KIB},
        {5 * MIB - 1, VISTA_SPARSE, 5 * MIB},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        vista_segment *segment = new_segment(test_path("rounded"), cases[i].size, cases[i].flags);

        ck_assert_uint_eq(vista_size(segment), cases[i].expected);
        OK(vista_unmap(segment));
    }
}
END_TEST

START_TEST(options_are_taken)
{
    const char *path = test_path("options");
    void *address = (void *)0x550123403000;
    const struct vista_map_options options = {
        .address = address, .max_size = 8 * MIB + 1, .mode = 0640};
    struct vista_info info;
    struct stat st;
    vista_segment *segment;

    umask(0);
    segment = vista_map(path, MIB, VISTA_CREATE, &options);
    SOME(segment);
    ck_assert_ptr_eq(vista_base(segment), address);
    OK(vista_info(segment, &info));
    ck_assert_uint_eq(info.max_size, 8 * MIB + 4 * KIB);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0640);
    set_counter(segment, 3);
    OK(vista_unmap(segment));
    segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
    ck_assert_ptr_eq(vista_base(segment), address);
    expect_counter(segment, 3);
    OK(vista_unmap(segment));
    umask(027);
    segment = vista_map(test_path("masked"), MIB, VISTA_CREATE,
                        &(struct vista_map_options){.mode = 0666});
    SOME(segment);
    OK(vista_info(segment, &info));
    ck_assert_int_eq(fstat(info.fd, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0640);
    OK(vista_unmap(segment));
}
END_TEST

START_TEST(two_segments_differ)
{
    vista_segment *one = new_segment(test_path("one"), MIB, 0);
    vista_segment *two = new_segment(test_path("two"), MIB, 0);
    struct vista_info first, second;

    OK(vista_info(one, &first));
    OK(vista_info(two, &second));
    ck_assert_int_ne(memcmp(first.uuid, second.uuid, 16), 0);
    ck_assert_ptr_ne(first.base, second.base);
    set_counter(one, 1);
    set_counter(two, 2);
    expect_counter(one, 1);
    expect_counter(two, 2);
    OK(vista_unmap(one));
    expect_counter(two, 2);
    OK(vista_unmap(two));
}
END_TEST

/* ---- Kinds of segments ------------------------------------------------- */

START_TEST(no_heap_is_flat)
{
    const char *path = test_path("flat");
    vista_segment *segment = new_segment(path, 64 * KIB, VISTA_NO_HEAP);
    unsigned char *base = vista_base(segment);
    struct vista_info info;
    vista_tx *tx = vista_begin_transaction(segment, 0);

    OK(vista_info(segment, &info));
    ck_assert_uint_eq(info.flags, VISTA_NO_HEAP);
    NULLS(vista_malloc(tx, 8), ENOTSUP, "heap");
    NULLS(vista_calloc(tx, 8, 8), ENOTSUP, "heap");
    NULLS(vista_realloc(tx, NULL, 8), ENOTSUP, "heap");
    FAILS(vista_free(tx, base), ENOTSUP, "heap");
    NULLS(vista_root(segment, 8), ENOTSUP, "heap");
    ck_assert_uint_eq(vista_usable_size(segment, base), 0);
    ck_assert_int_eq(errno, ENOTSUP);
    OK(vista_set_range(tx, base, 64 * KIB));
    memset(base, 'x', 64 * KIB);
    OK(vista_end_transaction(tx, 0));
    OK(vista_unmap(segment));
    test_sound(path);
    segment = vista_map(path, 0, VISTA_NO_HEAP, NULL);
    SOME(segment);
    base = vista_base(segment);
    ck_assert(base[0] == 'x' && base[64 * KIB - 1] == 'x');
    OK(vista_unmap(segment));
    NULLS(vista_map(path, MIB, VISTA_CREATE | VISTA_NO_HEAP | VISTA_SPARSE, NULL), EINVAL, path);
    segment = vista_map(path, MIB, VISTA_CREATE | VISTA_NO_HEAP, NULL);
    SOME(segment);
    OK(vista_unmap(segment));
}
END_TEST

static uint64_t file_bytes(const char *path)
{
    struct stat st;

    ck_assert_int_eq(stat(path, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

START_TEST(sparse_takes_blocks_with_use)
{
    const char *path = test_path("sparse");
    vista_segment *segment = new_segment(path, 256 * MIB, VISTA_SPARSE);
    struct vista_info info;
    uint64_t before;
    vista_tx *tx;
    char *block;

    OK(vista_info(segment, &info));
    ck_assert_uint_eq(info.flags, VISTA_SPARSE);
    before = file_bytes(path);
    ck_assert_uint_lt(before, 2 * MIB);
    tx = vista_begin_transaction(segment, 0);
    block = vista_malloc(tx, MIB);
    SOME(block);
    ck_assert_uint_ge(file_bytes(path), before + MIB);
    ck_assert_uint_lt(file_bytes(path), before + 3 * MIB); /* 2 MiB at a time */
    memset(block, 'y', MIB);
    OK(vista_end_transaction(tx, 0));
    set_counter(segment, 5);
    OK(vista_unmap(segment));
    NULLS(vista_map(path, MIB, VISTA_CREATE | VISTA_NO_HEAP, NULL), EINVAL, path);
    segment = vista_map(path, 0, VISTA_SPARSE, NULL);
    SOME(segment);
    expect_counter(segment, 5);
    ck_assert_uint_lt(file_bytes(path), before + 5 * MIB);
    OK(vista_unmap(segment));
    test_sound(path);
}
END_TEST

/* A copy may have lost blocks that were allocated and zero. */
START_TEST(holes_are_filled_at_map)
{
    const char *path = test_path("holes"), *copy = test_path("holes-copy");
    vista_segment *segment = new_segment(path, 4 * MIB, 0);

    set_counter(segment, 9);
    OK(vista_unmap(segment));
    test_copy(path, copy);
    ck_assert_uint_lt(file_bytes(copy), MIB);
    segment = vista_map(copy, 0, 0, NULL);
    SOME(segment);
    ck_assert_uint_ge(file_bytes(copy), 4 * MIB);
    expect_counter(segment, 9);
    OK(vista_unmap(segment));
}
END_TEST

/* ---- Addresses --------------------------------------------------------- */

START_TEST(address_in_use)
{
    const char *path = test_path("in-use");
    char text[32];
    vista_segment *segment = new_segment(path, MIB, VISTA_NO_HEAP);
    void *base = vista_base(segment);
    struct vista_info info;

    OK(vista_unmap(segment));
    ck_assert_ptr_eq(
        mmap(base, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
        base);
    snprintf(text, sizeof text, "%llx", (unsigned long long)(uintptr_t)base);
    const uint64_t digest = test_digest(path);
    NULLS(vista_map(path, 0, 0, NULL), EADDRINUSE, text);
    ck_assert(test_says(path));
    ck_assert_uint_eq(test_digest(path), digest);
    segment = vista_map(path, 0, VISTA_ANY_ADDRESS, NULL);
    SOME(segment);
    ck_assert_ptr_ne(vista_base(segment), base);
    OK(vista_info(segment, &info));
    ck_assert_uint_eq(info.flags, VISTA_NO_HEAP | VISTA_ANY_ADDRESS);
    ck_assert_uint_eq(info.data_offset % VI_HUGE_PAGE, (uintptr_t)info.base % VI_HUGE_PAGE);

    /* It works there, too. */
    vista_tx *tx = vista_begin_transaction(segment, 0);
    uint64_t *word = vista_base(segment);

    OK(vista_set_range(tx, word, sizeof *word));
    *word = 1234;
    OK(vista_end_transaction(tx, 0));
    OK(vista_unmap(segment));
    munmap(base, 4096);
    segment = vista_map(path, 0, VISTA_ANY_ADDRESS, NULL);
    SOME(segment);
    ck_assert_ptr_eq(vista_base(segment), base);
    ck_assert_uint_eq(*(uint64_t *)base, 1234);
    OK(vista_info(segment, &info));
    ck_assert_uint_eq(info.flags, VISTA_NO_HEAP);
    OK(vista_unmap(segment));
}
END_TEST

/* Made elsewhere, it lives there from then on. */
START_TEST(address_wished_for)
{
    unsigned char *taken = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const struct vista_map_options wish = {.address = taken};
    const char *path = test_path("wish");
    struct vista_info info;

    ck_assert_ptr_ne(taken, MAP_FAILED);
    NULLS(vista_map(path, MIB, VISTA_CREATE, &wish), EADDRINUSE, path);
    vista_segment *segment = vista_map(path, MIB, VISTA_CREATE | VISTA_ANY_ADDRESS, &wish);
    SOME(segment);
    void *base = vista_base(segment);
    ck_assert_ptr_ne(base, taken);
    OK(vista_info(segment, &info));
    ck_assert_uint_eq(info.flags, 0);
    OK(vista_unmap(segment));
    munmap(taken, 4096);
    segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
    ck_assert_ptr_eq(vista_base(segment), base);
    OK(vista_unmap(segment));
}
END_TEST

static unsigned char *stray;

static void store_astray(void *argument)
{
    (void)argument;
    signal(SIGSEGV, SIG_DFL);
    *(volatile unsigned char *)stray = 1;
}

static void map_and_store_past_end(void *argument)
{
    vista_segment *segment = vista_map(argument, 0, 0, NULL);

    REQUIRE(segment != NULL);
    stray = (unsigned char *)vista_base(segment) + vista_size(segment);
    store_astray(NULL);
}

START_TEST(stores_past_the_end_trap)
{
    const char *path = test_path("astray");

    make_file(path, 1);
    ck_assert_int_ge(test_in_child(map_and_store_past_end, (void *)path), 1);
    vista_segment *segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
    expect_counter(segment, 1);
    OK(vista_unmap(segment));
}
END_TEST

/* ---- Read-only, locks -------------------------------------------------- */

START_TEST(read_only_reads)
{
    const char *path = test_path("read-only");
    struct vista_info info;

    make_file(path, 11);
    const uint64_t digest = test_digest(path);
    vista_segment *one = vista_map(path, 0, VISTA_READ_ONLY, NULL);
    SOME(one);
    expect_counter(one, 11);
    OK(vista_info(one, &info));
    ck_assert_uint_eq(info.flags & VISTA_READ_ONLY, VISTA_READ_ONLY);
    NULLS(vista_begin_transaction(one, 0), EROFS, path);
    NULLS(vista_root(one, 4096), EROFS, "");
    NULLS(vista_map(path, 0, 0, NULL), EBUSY, path);
    ck_assert_uint_ge(vista_usable_size(one, vista_root(one, 0)), sizeof(struct counter));
    OK(vista_flush(one));
    OK(vista_unmap(one));
    ck_assert_uint_eq(test_digest(path), digest);
}
END_TEST

static void read_it(void *argument)
{
    vista_segment *segment = vista_map(argument, 0, VISTA_READ_ONLY, NULL);

    REQUIRE(segment != NULL);
    REQUIRE(((struct counter *)vista_root(segment, 0))->value == 12);
    REQUIRE(vista_unmap(segment) == 0);
}

static void cannot_write_it(void *argument)
{
    REQUIRE(vista_map(argument, 0, 0, NULL) == NULL && errno == EBUSY && test_says(argument));
}

static void cannot_read_it(void *argument)
{
    REQUIRE(vista_map(argument, 0, VISTA_READ_ONLY, NULL) == NULL && errno == EBUSY &&
            test_says(argument));
    REQUIRE(vista_check(argument, 0, NULL, NULL) == -1 && errno == EBUSY);
}

START_TEST(readers_share_writers_do_not)
{
    const char *path = test_path("share");

    make_file(path, 12);
    vista_segment *reader = vista_map(path, 0, VISTA_READ_ONLY, NULL);
    SOME(reader);
    ck_assert_int_eq(test_in_child(read_it, (void *)path), 0);
    ck_assert_int_eq(test_in_child(cannot_write_it, (void *)path), 0);
    OK(vista_unmap(reader));
    vista_segment *writer = vista_map(path, 0, 0, NULL);
    SOME(writer);
    ck_assert_int_eq(test_in_child(cannot_read_it, (void *)path), 0);
    ck_assert_int_eq(test_in_child(cannot_write_it, (void *)path), 0);
    NULLS(vista_map(path, 0, 0, NULL), EBUSY, path);
    expect_counter(writer, 12);
    OK(vista_unmap(writer));
}
END_TEST

static atomic_bool *held;

static void hold_for_a_while(void *argument)
{
    vista_segment *segment = vista_map(argument, 0, 0, NULL);

    REQUIRE(segment != NULL);
    atomic_store(held, true);
    test_sleep_us(200000);
    REQUIRE(vista_unmap(segment) == 0);
}

START_TEST(lock_is_waited_for)
{
    const char *path = test_path("wait");
    pid_t child;

    make_file(path, 13);
    held = test_share(sizeof *held);
    child = test_fork(hold_for_a_while, (void *)path);
    while (!atomic_load(held))
        test_sleep_us(1000);
    vista_segment *segment =
        vista_map(path, 0, 0, &(struct vista_map_options){.lock_wait_ms = 60000});
    SOME(segment);
    expect_counter(segment, 13);
    OK(vista_unmap(segment));
    ck_assert_int_eq(test_wait(child), 0);
}
END_TEST

static void leave_open(void *argument)
{
    vista_segment *segment = vista_map(argument, 0, 0, NULL);
    struct counter *counter;
    vista_tx *tx;

    REQUIRE(segment != NULL);
    counter = vista_root(segment, 0);
    tx = vista_begin_transaction(segment, 0);
    REQUIRE(vista_set_range(tx, counter, sizeof *counter) == 0);
    counter->value = 99999;
    _exit(0);
}

START_TEST(read_only_does_not_recover)
{
    const char *path = test_path("unclean");
    struct vista_info info;

    make_file(path, 14);
    ck_assert_int_eq(test_in_child(leave_open, (void *)path), 0);
    const uint64_t digest = test_digest(path);
    NULLS(vista_map(path, 0, VISTA_READ_ONLY, NULL), EUCLEAN, "recover");
    ck_assert(test_says(path));
    test_sound(path);
    ck_assert_uint_eq(test_digest(path), digest);
    vista_segment *segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
    expect_counter(segment, 14);
    OK(vista_info(segment, &info));
    ck_assert_uint_eq(info.rolled_back, 1);
    ck_assert_uint_eq(info.finished, 0);
    OK(vista_unmap(segment));
}
END_TEST

START_TEST(unmap_waits_for_transactions)
{
    const char *path = test_path("open-tx");
    vista_segment *segment = new_segment(path, MIB, 0);
    struct vista_info info;

    set_counter(segment, 1);
    vista_tx *one = vista_begin_transaction(segment, 0);
    vista_tx *two = vista_begin_transaction(segment, 0);
    OK(vista_info(segment, &info));
    ck_assert_uint_eq(info.open_transactions, 2);
    FAILS(vista_unmap(segment), EBUSY, "2");
    OK(vista_end_transaction(one, 0));
    FAILS(vista_unmap(segment), EBUSY, path);
    OK(vista_abort_transaction(two));
    OK(vista_info(segment, &info));
    ck_assert_uint_eq(info.open_transactions, 0);
    expect_counter(segment, 1);
    OK(vista_unmap(segment));
}
END_TEST

/* Every call on a handle that has ended. */
static void expect_ended(vista_segment *segment, int error)
{
    struct vista_info info;

    ck_assert_ptr_null(vista_base(segment));
    ck_assert_int_eq(errno, error);
    ck_assert_uint_eq(vista_size(segment), 0);
    ck_assert_int_eq(errno, error);
    FAILS(vista_info(segment, &info), error, "");
    NULLS(vista_begin_transaction(segment, 0), error, "");
    NULLS(vista_root(segment, 0), error, "");
    FAILS(vista_flush(segment), error, "");
    ck_assert_uint_eq(vista_usable_size(segment, &info), 0);
    ck_assert_int_eq(errno, error);
    FAILS(vista_unmap(segment), error, "");
}

START_TEST(unmapped_handles_fail)
{
    vista_segment *segment = new_segment(test_path("ended"), MIB, 0);

    set_counter(segment, 1);
    OK(vista_unmap(segment));
    expect_ended(segment, EINVAL);
    expect_ended(NULL, EINVAL);

    /* Nor do they come to mean another segment. */
    vista_segment *other = new_segment(test_path("other"), MIB, 0);

    set_counter(other, 2);
    if (other != segment)
        expect_ended(segment, EINVAL);
    expect_counter(other, 2);
    OK(vista_unmap(other));
}
END_TEST

/* ---- The torn guard ---------------------------------------------------- */

/* As if the machine had been started again. */
static void another_boot(const char *path)
{
    for (int copy = 0; copy < VI_SUPERBLOCKS; copy++) {
        struct vi_superblock superblock = test_superblock(path, copy);

        superblock.boot_id[3] ^= 0x10;
        test_superblock_put(path, copy, superblock, true);
    }
}

START_TEST(torn_after_restart)
{
    const char *path = test_disk_path("torn");
    vista_segment *segment;

    make_file(path, 21);
    another_boot(path);
    segment = vista_map(path, 0, 0, NULL); /* it was unmapped: no matter */
    SOME(segment);
    OK(vista_unmap(segment));
    ck_assert_int_eq(test_in_child(leave_open, (void *)path), 0);
    another_boot(path);
    const uint64_t digest = test_digest(path);
    NULLS(vista_map(path, 0, 0, NULL), ECANCELED, "torn");
    ck_assert(test_says(path));
    ck_assert_uint_eq(test_digest(path), digest);
    segment = vista_map(path, 0, VISTA_ACCEPT_TORN, NULL);
    SOME(segment);
    expect_counter(segment, 21);
    OK(vista_unmap(segment));
    segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
    OK(vista_unmap(segment));
}
END_TEST

START_TEST(no_boot_id_counts_as_changed)
{
    const char *path = test_disk_path("no-boot");

    make_file(path, 22);
    ck_assert_int_eq(test_in_child(leave_open, (void *)path), 0);
    for (int copy = 0; copy < VI_SUPERBLOCKS; copy++) {
        struct vi_superblock superblock = test_superblock(path, copy);

        memset(superblock.boot_id, 0, sizeof superblock.boot_id);
        test_superblock_put(path, copy, superblock, true);
    }
    NULLS(vista_map(path, 0, 0, NULL), ECANCELED, "torn");
}
END_TEST

START_TEST(copy_of_an_open_segment)
{
    const char *path = test_path("original"), *copy = test_path("copy");
    const char *clean_copy = test_path("clean-copy");
    vista_segment *segment, *second;

    make_file(path, 23);
    segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
    test_copy(path, copy);
    OK(vista_unmap(segment));
    const uint64_t digest = test_digest(copy);
    NULLS(vista_map(copy, 0, 0, NULL), ECANCELED, copy);
    ck_assert_uint_eq(test_digest(copy), digest);
    second = vista_map(copy, 0, VISTA_ACCEPT_TORN, NULL);
    SOME(second);
    expect_counter(second, 23);
    OK(vista_unmap(second));
    test_copy(path, clean_copy);
    second = vista_map(clean_copy, 0, 0, NULL);
    SOME(second);
    expect_counter(second, 23);
    OK(vista_unmap(second));
}
END_TEST

START_TEST(guard_follows_the_real_class)
{
    const char *path = test_disk_path("forced-torn");

    make_file(path, 24);
    setenv("VISTA_CLASS", "line", 1);
    ck_assert_int_eq(test_in_child(leave_open, (void *)path), 0);
    another_boot(path);
    NULLS(vista_map(path, 0, 0, NULL), ECANCELED, "torn");
    vista_segment *segment = vista_map(path, 0, VISTA_ACCEPT_TORN, NULL);
    SOME(segment);
    expect_counter(segment, 24);
    OK(vista_unmap(segment));
    unsetenv("VISTA_CLASS");
}
END_TEST

/* What ACCEPT_TORN takes must hold up. */
START_TEST(accepted_torn_is_checked)
{
    const char *path = test_disk_path("torn-bad");
    const uint64_t nonsense = 0xffffffffffffffffu;

    make_file(path, 25);
    ck_assert_int_eq(test_in_child(leave_open, (void *)path), 0);
    const struct vi_superblock superblock = test_superblock(path, test_superblock_current(path));
    test_poke(path, superblock.heap_offset + VI_PAGE + 8 * 7, &nonsense, sizeof nonsense);
    another_boot(path);
    NULLS(vista_map(path, 0, VISTA_ACCEPT_TORN, NULL), EBADMSG, path);
    ck_assert(test_says("unit 7: the descriptor 0xffffffffffffffff"));
    NULLS(vista_map(path, 0, 0, NULL), ECANCELED, path);
}
END_TEST

/* ---- Forked children --------------------------------------------------- */

struct inherited {
    vista_segment *segment;
    vista_tx *tx;
    struct counter *counter;
    const char *path;
};

static void use_in_child(void *argument)
{
    const struct inherited *inherited = argument;
    vista_tx *const tx = inherited->tx;
    struct iovec range = {inherited->counter, 8};
    struct vista_info info;

    REQUIRE(vista_base(inherited->segment) == NULL && errno == EPERM);
    REQUIRE(vista_size(inherited->segment) == 0 && errno == EPERM);
    REQUIRE(vista_info(inherited->segment, &info) == -1 && errno == EPERM);
    REQUIRE(vista_begin_transaction(inherited->segment, 0) == NULL && errno == EPERM);
    REQUIRE(vista_set_range(tx, inherited->counter, 8) == -1 && errno == EPERM);
    REQUIRE(vista_set_ranges(tx, &range, 1) == -1 && errno == EPERM);
    REQUIRE(vista_malloc(tx, 8) == NULL && errno == EPERM);
    REQUIRE(vista_calloc(tx, 8, 1) == NULL && errno == EPERM);
    REQUIRE(vista_realloc(tx, NULL, 8) == NULL && errno == EPERM);
    REQUIRE(vista_free(tx, inherited->counter) == -1 && errno == EPERM);
    REQUIRE(vista_end_transaction(tx, 0) == -1 && errno == EPERM);
    REQUIRE(vista_abort_transaction(tx) == -1 && errno == EPERM);
    REQUIRE(vista_flush(inherited->segment) == -1 && errno == EPERM);
    REQUIRE(vista_usable_size(inherited->segment, inherited->counter) == 0 && errno == EPERM);
    REQUIRE(vista_root(inherited->segment, 0) == NULL && errno == EPERM);
    REQUIRE(vista_unmap(inherited->segment) == -1 && errno == EPERM);
    REQUIRE(*vista_errormsg() != '\0');
    REQUIRE(vista_map(inherited->path, 0, 0, NULL) == NULL && errno == EBUSY);
}

START_TEST(children_must_not_touch)
{
    struct inherited inherited = {.path = test_path("forked")};

    inherited.segment = new_segment(inherited.path, MIB, 0);
    set_counter(inherited.segment, 31);
    inherited.counter = vista_root(inherited.segment, 0);
    inherited.tx = vista_begin_transaction(inherited.segment, 0);
    OK(vista_set_range(inherited.tx, &inherited.counter->value, 8));
    inherited.counter->value = 32;
    ck_assert_int_eq(test_in_child(use_in_child, &inherited), 0);
    OK(vista_end_transaction(inherited.tx, 0));
    expect_counter(inherited.segment, 32);
    OK(vista_unmap(inherited.segment));
}
END_TEST

static void live_on(void *argument)
{
    int *pipes = argument;
    char byte;

    close(pipes[1]);
    (void)!read(pipes[0], &byte, 1); /* until the parent closes its end */
}

static void map_anew(void *argument)
{
    vista_segment *segment = vista_map(argument, 0, 0, NULL);

    REQUIRE(segment != NULL);
    REQUIRE(vista_unmap(segment) == 0);
}

START_TEST(children_do_not_hold_the_lock)
{
    const char *path = test_path("forked-lock");
    vista_segment *segment = new_segment(path, MIB, 0);
    int pipes[2];
    pid_t child;

    ck_assert_int_eq(pipe(pipes), 0);
    child = test_fork(live_on, pipes);
    OK(vista_unmap(segment));
    segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
    OK(vista_unmap(segment));
    ck_assert_int_eq(test_in_child(map_anew, (void *)path), 0);
    close(pipes[1]);
    ck_assert_int_eq(test_wait(child), 0);
}
END_TEST

static void map_own(void *argument)
{
    struct inherited *inherited = argument;
    vista_segment *segment = vista_map(inherited->path, MIB, VISTA_CREATE, NULL);

    REQUIRE(segment != NULL);
    set_counter(segment, 77);
    expect_counter(segment, 77);
    REQUIRE(vista_begin_transaction(inherited->segment, 0) == NULL && errno == EPERM);
    REQUIRE(vista_unmap(segment) == 0);
}

/* A child may use the library for segments of its own. */
START_TEST(children_map_their_own)
{
    struct inherited inherited = {.path = test_path("own")};

    inherited.segment = new_segment(test_path("parents"), MIB, 0);
    set_counter(inherited.segment, 1);
    ck_assert_int_eq(test_in_child(map_own, &inherited), 0);
    set_counter(inherited.segment, 2);
    OK(vista_unmap(inherited.segment));
    inherited.segment = vista_map(inherited.path, 0, 0, NULL);
    SOME(inherited.segment);
    expect_counter(inherited.segment, 77);
    OK(vista_unmap(inherited.segment));
}
END_TEST

static void exec_sees_no_descriptor(void *argument)
{
    struct vista_info info;

    REQUIRE(vista_info(argument, &info) == 0);
    REQUIRE((fcntl(info.fd, F_GETFD) & FD_CLOEXEC) != 0);
}

START_TEST(descriptor_is_closed_at_exec)
{
    vista_segment *segment = new_segment(test_path("exec"), MIB, 0);

    exec_sees_no_descriptor(segment);
    OK(vista_unmap(segment));
}
END_TEST

/* ---- Classes ----------------------------------------------------------- */

static void expect_class(vista_segment *segment, unsigned class, unsigned forced)
{
    struct vista_info info;

    SOME(segment);
    OK(vista_info(segment, &info));
    ck_assert_uint_eq(info.persistence, class);
    ck_assert_uint_eq(info.forced, forced);
    set_counter(segment, class);
    expect_counter(segment, class);
    OK(vista_unmap(segment));
}

START_TEST(class_forced_by_options)
{
    const char *path = test_path("forced");

    for (unsigned class = VISTA_CLASS_KILL; class <= VISTA_CLASS_EADR; class ++) {
        OK(vista_init(&(struct vista_options){.force_class = class}));
        expect_class(vista_map(path, MIB, VISTA_CREATE, NULL), class, 1);
        OK(vista_init(NULL));
        expect_class(vista_map(path, 0, 0, NULL), VISTA_CLASS_KILL, 0);
    }
    FAILS(vista_init(&(struct vista_options){.force_class = 5}), EINVAL, "5");
    FAILS(vista_init(&(struct vista_options){.reserved = {[14] = 1}}), EINVAL, "reserved");
    expect_class(vista_map(path, 0, 0, NULL), VISTA_CLASS_KILL, 0);
}
END_TEST

START_TEST(class_forced_by_environment)
{
    static const char *const names[] = {NULL, "kill", "line", "eadr"};
    const char *path = test_path("environment"), *unmade = test_path("not-made");

    for (unsigned class = VISTA_CLASS_KILL; class <= VISTA_CLASS_EADR; class ++) {
        setenv("VISTA_CLASS", names[class], 1);
        expect_class(vista_map(path, MIB, VISTA_CREATE, NULL), class, 2);
        NULLS(vista_map(path, 0, VISTA_POWER_SAFE, NULL), ENOTSUP, path);
    }
    setenv("VISTA_CLASS", "nonsense", 1);
    NULLS(vista_map(path, 0, 0, NULL), EINVAL, "nonsense");
    NULLS(vista_map(unmade, MIB, VISTA_CREATE, NULL), EINVAL, "nonsense");
    ck_assert_int_ne(access(unmade, F_OK), 0);
    unsetenv("VISTA_CLASS");
    setenv("PMEM_IS_PMEM_FORCE", "1", 1);
    expect_class(vista_map(path, 0, 0, NULL), VISTA_CLASS_LINE, 2);
    NULLS(vista_map(path, 0, VISTA_POWER_SAFE, NULL), ENOTSUP, path);
    unsetenv("PMEM_IS_PMEM_FORCE");
    NULLS(vista_map(path, 0, VISTA_POWER_SAFE, NULL), ENOTSUP, "power");
    expect_class(vista_map(path, 0, VISTA_KILL_SAFE, NULL), VISTA_CLASS_KILL, 0);
}
END_TEST

struct crossing {
    const char *path;
    uint64_t value;
};

static void leave_open_in_class(void *argument)
{
    const struct crossing *crossing = argument;

    leave_open((void *)crossing->path);
}

/* Killed in one class, mapped in another: the log's own class is what counts. */
START_TEST(classes_cross)
{
    struct crossing crossing = {test_path("cross"), 41};

    make_file(crossing.path, crossing.value);
    for (unsigned from = VISTA_CLASS_KILL; from <= VISTA_CLASS_EADR; from++)
        for (unsigned to = VISTA_CLASS_KILL; to <= VISTA_CLASS_EADR; to++) {
            struct vista_info info;
            vista_segment *segment;

            OK(vista_init(&(struct vista_options){.force_class = from}));
            ck_assert_int_eq(test_in_child(leave_open_in_class, &crossing), 0);
            OK(vista_init(&(struct vista_options){.force_class = to}));
            test_sound(crossing.path);
            segment = vista_map(crossing.path, 0, 0, NULL);
            SOME(segment);
            OK(vista_info(segment, &info));
            ck_assert_uint_eq(info.rolled_back, 1);
            expect_counter(segment, crossing.value);
            set_counter(segment, ++crossing.value);
            OK(vista_unmap(segment));
        }
}
END_TEST

/* Its handle serves a segment of another class: that flushes its own ranges alone. */
START_TEST(handle_of_another_class)
{
    const char *path = test_path("first"), *other = test_path("second");
    vista_segment *segment = vista_map(path, 4 * MIB, VISTA_CREATE | VISTA_NO_HEAP, NULL);
    struct iovec ranges[2];
    unsigned char *base = vista_base(segment);
    vista_tx *tx = vista_begin_transaction(segment, 0);

    ranges[0] = (struct iovec){base + MIB, 8};
    ranges[1] = (struct iovec){base + 3 * MIB, 8};
    OK(vista_set_ranges(tx, ranges, 2));
    OK(vista_end_transaction(tx, 0));
    OK(vista_unmap(segment));
    OK(vista_init(&(struct vista_options){.force_class = VISTA_CLASS_LINE}));
    segment = vista_map(other, 64 * KIB, VISTA_CREATE | VISTA_NO_HEAP, NULL);
    SOME(segment);
    tx = vista_begin_transaction(segment, 0);
    OK(vista_set_range(tx, vista_base(segment), 8));
    OK(vista_end_transaction(tx, 0)); /* where the other was mapped there is nothing */
    OK(vista_unmap(segment));
}
END_TEST

static void change_and_die(void *argument)
{
    vista_segment *segment = vista_map(argument, 0, 0, NULL);
    unsigned char *base = vista_base(segment);
    vista_tx *tx = vista_begin_transaction(segment, 0);

    REQUIRE(vista_set_range(tx, base, 64) == 0);
    memset(base, 'b', 64);
    _exit(0);
}

static void map_and_die(void *argument)
{
    REQUIRE(vista_map(argument, 0, VISTA_KILL_SAFE, NULL) != NULL);
    _exit(0);
}

/* What a power cut leaves where there are checksums, by which the record does not count. */
static const char *leave_torn_record(const char *name)
{
    const char *path = test_path(name);
    vista_segment *segment;

    OK(vista_init(&(struct vista_options){.force_class = VISTA_CLASS_LINE}));
    segment = vista_map(path, MIB, VISTA_CREATE | VISTA_NO_HEAP, NULL);
    SOME(segment);
    OK(vista_unmap(segment));
    ck_assert_int_eq(test_in_child(change_and_die, (void *)path), 0);
    test_poke(path, VI_SLOTS_OFFSET + sizeof(struct vi_slot_header) + 64, "torn", 4);
    return path;
}

static void expect_not_undone(const char *path, unsigned flags)
{
    vista_segment *segment = vista_map(path, 0, flags, NULL);

    SOME(segment);
    for (int i = 0; i < 64; i++)
        ck_assert_int_eq(((char *)vista_base(segment))[i], 'b');
    OK(vista_unmap(segment));
    test_sound(path);
}

/* Left in its slot, it does not count in a class without checksums either. */
START_TEST(torn_record_in_another_class)
{
    const char *path = leave_torn_record("torn-record");

    OK(vista_init(NULL));
    for (int times = 0; times < 3; times++) {
        test_sound(path);
        ck_assert_int_eq(test_in_child(map_and_die, (void *)path), 0);
    }
    expect_not_undone(path, 0);
}
END_TEST

/* Nor does it count where log space is set aside for pages, and that transaction ended. */
START_TEST(torn_record_set_aside)
{
    expect_not_undone(leave_torn_record("torn-record-aside"), VISTA_AUTO_RANGE);
}
END_TEST

/* ---- Messages ---------------------------------------------------------- */

static void *fail_elsewhere(void *argument)
{
    (void)argument;
    REQUIRE(*vista_errormsg() == '\0');
    REQUIRE(vista_map("/nowhere/of/this/thread", 0, 0, NULL) == NULL);
    REQUIRE(test_says("/nowhere/of/this/thread"));
    return NULL;
}

START_TEST(messages_belong_to_threads)
{
    pthread_t thread;

    ck_assert_str_eq(vista_errormsg(), "");
    NULLS(vista_map("/nowhere/of/main", 0, 0, NULL), ENOENT, "/nowhere/of/main");
    ck_assert_int_eq(pthread_create(&thread, NULL, fail_elsewhere, NULL), 0);
    pthread_join(thread, NULL);
    ck_assert(test_says("/nowhere/of/main"));
}
END_TEST

START_TEST(many_times)
{
    const char *path = test_path("many-times");

    make_file(path, 0);
    for (uint64_t i = 0; i < test_times(500); i++) {
        vista_segment *segment = vista_map(path, 0, 0, NULL);

        SOME(segment);
        expect_counter(segment, i);
        set_counter(segment, i + 1);
        OK(vista_unmap(segment));
    }
    test_sound(path);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("map");
    TCase *tests = test_case(suite, "making", 20);

    tcase_add_test(tests, segment_comes_back);
    tcase_add_test(tests, segment_comes_back_on_disk);
    tcase_add_test(tests, create_takes_what_is_there);
    tcase_add_test(tests, create_takes_an_empty_file);
    tcase_add_test(tests, sizes_are_rounded);
    tcase_add_test(tests, options_are_taken);
    tcase_add_test(tests, two_segments_differ);
    tcase_add_test(tests, many_times);
    tests = test_case(suite, "kinds", 20);
    tcase_add_test(tests, no_heap_is_flat);
    tcase_add_test(tests, sparse_takes_blocks_with_use);
    tcase_add_test(tests, holes_are_filled_at_map);
    tests = test_case(suite, "addresses", 20);
    tcase_add_test(tests, address_in_use);
    tcase_add_test(tests, address_wished_for);
    tcase_add_test(tests, stores_past_the_end_trap);
    tests = test_case(suite, "locks", 20);
    tcase_add_test(tests, read_only_reads);
    tcase_add_test(tests, readers_share_writers_do_not);
    tcase_add_test(tests, lock_is_waited_for);
    tcase_add_test(tests, read_only_does_not_recover);
    tcase_add_test(tests, unmap_waits_for_transactions);
    tcase_add_test(tests, unmapped_handles_fail);
    tests = test_case(suite, "torn", 20);
    tcase_add_test(tests, torn_after_restart);
    tcase_add_test(tests, no_boot_id_counts_as_changed);
    tcase_add_test(tests, copy_of_an_open_segment);
    tcase_add_test(tests, guard_follows_the_real_class);
    tcase_add_test(tests, accepted_torn_is_checked);
    tests = test_case(suite, "fork", 20);
    tcase_add_test(tests, children_must_not_touch);
    tcase_add_test(tests, children_do_not_hold_the_lock);
    tcase_add_test(tests, children_map_their_own);
    tcase_add_test(tests, descriptor_is_closed_at_exec);
    tests = test_case(suite, "classes", 20);
    tcase_add_test(tests, class_forced_by_options);
    tcase_add_test(tests, class_forced_by_environment);
    tcase_add_test(tests, classes_cross);
    tcase_add_test(tests, handle_of_another_class);
    tcase_add_test(tests, torn_record_in_another_class);
    tcase_add_test(tests, torn_record_set_aside);
    tests = test_case(suite, "messages", 20);
    tcase_add_test(tests, messages_belong_to_threads);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
