/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Bad input: each is refused with its errno and a message that names what and why,
 * changes nothing, and leaves the library usable.
 *
 * Scenarios: flags and options that make no sense; files that are no segments, or
 * not to be had; a full disk under every kind of allocation; files cut short;
 * every field of the superblock damaged, with a checksum that tells and with one
 * that does not; random damage; other processes; ranges, pointers and handles that
 * are none; a heap and a log that run out in the middle of a transaction.
 */
#include "support.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

static void change_and_look(vista_segment *segment)
{
    static uint64_t value;
    uint64_t *root = vista_root(segment, 64);
    vista_tx *tx = vista_begin_transaction(segment, 0);

    SOME(root);
    SOME(tx);
    OK(vista_set_range(tx, root, 64));
    root[3] = ++value;
    void *block = vista_malloc(tx, 48);
    SOME(block);
    OK(vista_free(tx, block));
    OK(vista_end_transaction(tx, 0));
    ck_assert_uint_eq(root[3], value);
}

/* Segments can be made, used and mapped again. */
static void expect_usable(void)
{
    const char *path = test_path("usable");
    vista_segment *segment = vista_map(path, MIB, VISTA_CREATE, NULL);

    SOME(segment);
    change_and_look(segment);
    OK(vista_unmap(segment));
    segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
    change_and_look(segment);
    OK(vista_unmap(segment));
}

/* A file that is a sound segment, unmapped. */
static const char *make_file_of(const char *name, size_t size, unsigned flags)
{
    const char *path = test_path(name);
    vista_segment *segment = vista_map(path, size, VISTA_CREATE | flags, NULL);

    SOME(segment);
    if (!(flags & VISTA_NO_HEAP))
        change_and_look(segment);
    OK(vista_unmap(segment));
    return path;
}

static const char *make_file(const char *name, unsigned flags)
{
    return make_file_of(name, 256 * KIB, flags);
}

static vista_segment *make(const char *name, size_t size, unsigned flags)
{
    vista_segment *segment = vista_map(test_path(name), size, VISTA_CREATE | flags, NULL);

    SOME(segment);
    return segment;
}

/* ---- Flags and options ------------------------------------------------- */

/* What vista_map is to say of these flags on a sound heap segment: 0 it maps. */
static int verdict(unsigned flags, size_t size, bool exists)
{
    if (flags & VISTA_EXCLUSIVE && !(flags & VISTA_CREATE))
        return EINVAL;
    if (flags & VISTA_READ_ONLY &&
        flags & (VISTA_CREATE | VISTA_ACCEPT_TORN | VISTA_POWER_SAFE | VISTA_KILL_SAFE |
                 VISTA_AUTO_RANGE | VISTA_CHECK_RANGES | VISTA_GROW))
        return EINVAL;
    if (flags & VISTA_AUTO_RANGE && flags & VISTA_CHECK_RANGES)
        return EINVAL;
    if (flags & VISTA_GROW && flags & VISTA_NO_HEAP)
        return EINVAL;
    if (flags & VISTA_POWER_SAFE && flags & VISTA_KILL_SAFE)
        return EINVAL;
    if (flags & VISTA_EXCLUSIVE && flags & VISTA_ACCEPT_TORN)
        return EINVAL;
    if ((size == 0) == ((flags & VISTA_CREATE) != 0))
        return EINVAL;
    if (exists && flags & VISTA_EXCLUSIVE)
        return EEXIST;
    if (exists && flags & (VISTA_NO_HEAP | VISTA_SPARSE))
        return EINVAL;
    if (!exists && !(flags & VISTA_CREATE))
        return ENOENT;
    if (flags & VISTA_POWER_SAFE)
        return ENOTSUP;
    return 0;
}

static void try_flags(const char *path, unsigned flags, size_t size, bool exists, uint64_t digest)
{
    const int expected = verdict(flags, size, exists);
    vista_segment *segment;

    errno = 0;
    segment = vista_map(path, size, flags, NULL);
    if (segment != NULL) {
        ck_assert_msg(expected == 0, "flags %03x, size %zu: mapped, should be %s", flags, size,
                      strerror(expected));
        OK(vista_unmap(segment));
        if (!exists)
            unlink(path);
        return;
    }
    /* Two things may be wrong at once: then either may be named. */
    ck_assert_msg(errno == expected || (expected != 0 && (errno == EINVAL || errno == ENOTSUP)),
                  "flags %03x, size %zu, %s: errno is %s, should be %s: %s", flags, size,
                  exists ? "a segment" : "no file", strerror(errno), strerror(expected),
                  vista_errormsg());
    ck_assert(*vista_errormsg() != '\0');
    if (exists && digest != 0)
        ck_assert_uint_eq(test_digest(path), digest);
    if (!exists)
        ck_assert_int_ne(access(path, F_OK), 0);
}

START_TEST(every_combination_of_flags)
{
    const char *path = make_file("flags", 0), *missing = test_path("missing");

    for (unsigned flags = 0; flags < 0x1000; flags++) {
        const uint64_t digest =
            verdict(flags, flags & VISTA_CREATE ? MIB : 0, true) == 0 ? 0 : test_digest(path);

        try_flags(path, flags, 0, true, digest);
        try_flags(path, flags, MIB, true, digest);
        try_flags(missing, flags, 0, false, 0);
        try_flags(missing, flags, MIB, false, 0);
    }
    for (unsigned bit = 12; bit < 15; bit++) { /* SHARE, VIEW, STANDBY: of a later release */
        NULLS(vista_map(path, 0, 1u << bit, NULL), ENOTSUP, "live segment");
        NULLS(vista_map(missing, MIB, 1u << bit | VISTA_CREATE, NULL), ENOTSUP, "live segment");
    }
    for (unsigned bit = 15; bit < 32; bit++) {
        NULLS(vista_map(path, 0, 1u << bit, NULL), EINVAL, "flag");
        NULLS(vista_map(missing, MIB, 1u << bit | VISTA_CREATE, NULL), EINVAL, "flag");
    }
    expect_usable();
}
END_TEST

START_TEST(messages_of_flags)
{
    const char *path = make_file("said", 0);

    NULLS(vista_map(path, 0, VISTA_EXCLUSIVE, NULL), EINVAL, "VISTA_EXCLUSIVE");
    NULLS(vista_map(path, MIB, VISTA_CREATE | VISTA_READ_ONLY, NULL), EINVAL, "VISTA_READ_ONLY");
    NULLS(vista_map(path, 0, VISTA_POWER_SAFE | VISTA_KILL_SAFE, NULL), EINVAL, "VISTA_POWER_SAFE");
    NULLS(vista_map(path, 0, VISTA_READ_ONLY | VISTA_AUTO_RANGE, NULL), EINVAL, "VISTA_READ_ONLY");
    NULLS(vista_map(path, 0, VISTA_CREATE, NULL), EINVAL, "size");
    NULLS(vista_map(path, 4096, 0, NULL), EINVAL, "VISTA_CREATE");
    NULLS(vista_map(path, 0, VISTA_NO_HEAP, NULL), EINVAL, "VISTA_NO_HEAP");
    NULLS(vista_map(path, 0, VISTA_SPARSE, NULL), EINVAL, "VISTA_SPARSE");
    NULLS(vista_map(path, 0, VISTA_POWER_SAFE, NULL), ENOTSUP, path);
    expect_usable();
}
END_TEST

START_TEST(options_that_make_no_sense)
{
    const char *path = test_path("options");
    vista_segment *other = make("other", MIB, 0);
    struct vista_map_options options = {.auto_pages = 7};

    NULLS(vista_map(path, MIB, VISTA_CREATE, &options), EINVAL, "auto_pages");
    options = (struct vista_map_options){.reserved = {[9] = 1}};
    NULLS(vista_map(path, MIB, VISTA_CREATE, &options), EINVAL, "reserved");
    options = (struct vista_map_options){.address = (void *)0x550000000010};
    NULLS(vista_map(path, MIB, VISTA_CREATE, &options), EINVAL, "0x550000000010");
    options = (struct vista_map_options){.max_size = MIB - 1};
    NULLS(vista_map(path, MIB, VISTA_CREATE, &options), EINVAL, "1048575");
    options = (struct vista_map_options){.mode = 010000};
    NULLS(vista_map(path, MIB, VISTA_CREATE, &options), EINVAL, "mode");
    NULLS(vista_map(path, SIZE_MAX, VISTA_CREATE, NULL), EINVAL, "");
    NULLS(vista_map(path, SIZE_MAX - 4095, VISTA_CREATE | VISTA_SPARSE, NULL), EINVAL, "");
    options = (struct vista_map_options){.max_size = SIZE_MAX};
    NULLS(vista_map(path, MIB, VISTA_CREATE, &options), EINVAL, "");
    ck_assert_int_ne(access(path, F_OK), 0);

    /* Where something is, and where nothing can be. */
    options = (struct vista_map_options){.address = vista_base(other)};
    NULLS(vista_map(path, MIB, VISTA_CREATE, &options), EADDRINUSE, path);
    options = (struct vista_map_options){.address = (void *)0xffff800000000000};
    ck_assert_ptr_null(vista_map(path, MIB, VISTA_CREATE, &options));
    ck_assert_int_ne(access(path, F_OK), 0);
    change_and_look(other);
    OK(vista_unmap(other));
    expect_usable();
}
END_TEST

START_TEST(init_options)
{
    for (unsigned class = 5; class < 1000; class += 99)
        FAILS(vista_init(&(struct vista_options){.force_class = class}), EINVAL, "class");
    for (size_t i = 0; i < 15; i++) {
        struct vista_options options = {0};

        options.reserved[i] = 1;
        FAILS(vista_init(&options), EINVAL, "reserved");
    }
    OK(vista_init(NULL));
    expect_usable();
}
END_TEST

/* ---- Files ------------------------------------------------------------- */

static void expect_refused(const char *path, int error, const char *part)
{
    NULLS(vista_map(path, 0, 0, NULL), error, part);
    NULLS(vista_map(path, 0, VISTA_READ_ONLY, NULL), error, part);
    NULLS(vista_map(path, MIB, VISTA_CREATE, NULL), error, part);
    FAILS(vista_check(path, 0, NULL, NULL), error, part);
}

START_TEST(not_a_file)
{
    const char *directory = test_path("directory"), *fifo = test_path("fifo");
    const char *loop = test_path("loop"), *file = make_file("regular", 0);
    char path[6000];

    ck_assert_int_eq(mkdir(directory, 0700), 0);
    expect_refused(directory, EISDIR, directory);
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    expect_refused(fifo, ENODEV, fifo); /* without waiting for its other end */
    expect_refused("/dev/null", ENODEV, "/dev/null");
    ck_assert_int_eq(symlink(loop, loop), 0);
    expect_refused(loop, ELOOP, loop);
    snprintf(path, sizeof path, "%s/inside", file);
    expect_refused(path, ENOTDIR, path);
    expect_refused("/no/such/directory/file", ENOENT, "/no/such/directory/file");
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    ck_assert_ptr_null(vista_map(path, MIB, VISTA_CREATE, NULL));
    ck_assert_int_eq(errno, ENAMETOOLONG);
    path[300] = '\0';
    ck_assert_ptr_null(vista_map(path, MIB, VISTA_CREATE, NULL));
    ck_assert_int_eq(errno, ENAMETOOLONG);
    NULLS(vista_map("", MIB, VISTA_CREATE, NULL), EINVAL, "path");
    NULLS(vista_map(NULL, MIB, VISTA_CREATE, NULL), EINVAL, "path");
    FAILS(vista_check(NULL, 0, NULL, NULL), EINVAL, "path");
    FAILS(vista_check(file, 1, NULL, NULL), EINVAL, "flag");
    const char *missing = test_path("missing");
    NULLS(vista_map(missing, 0, 0, NULL), ENOENT, missing);
    FAILS(vista_check(missing, 0, NULL, NULL), ENOENT, missing);
    ck_assert_int_ne(access(missing, F_OK), 0);
    expect_usable();
}
END_TEST

START_TEST(not_a_segment)
{
    static const size_t lengths[] = {1, 100, 255, 256, 4095, 4096, 8191, 8192, 20000, 300000};
    const char *path = test_path("text");

    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        for (int zero = 0; zero < 2; zero++) {
            FILE *file = fopen(path, "w");

            for (size_t j = 0; j < lengths[i]; j++)
                putc(zero ? 0 : "What is this? "[j % 14], file);
            fclose(file);
            const uint64_t digest = test_digest(path);
            NULLS(vista_map(path, 0, 0, NULL), EBADMSG, path);
            NULLS(vista_map(path, 0, VISTA_READ_ONLY, NULL), EBADMSG, path);
            FAILS(vista_check(path, 0, NULL, NULL), EBADMSG, path);
            if (!zero) /* no creation that was killed looks like this */
                NULLS(vista_map(path, MIB, VISTA_CREATE, NULL), EBADMSG, path);
            ck_assert_uint_eq(test_digest(path), digest);
        }
    expect_usable();
}
END_TEST

static void without_permission(void *argument)
{
    char **paths = argument;

    REQUIRE(setegid(65534) == 0 && seteuid(65534) == 0);
    REQUIRE(vista_map(paths[0], 0, 0, NULL) == NULL && errno == EACCES && test_says(paths[0]));
    REQUIRE(vista_map(paths[0], 0, VISTA_READ_ONLY, NULL) == NULL && errno == EACCES);
    REQUIRE(vista_check(paths[0], 0, NULL, NULL) == -1 && errno == EACCES && test_says(paths[0]));
    REQUIRE(vista_map(paths[1], MIB, VISTA_CREATE, NULL) == NULL && errno == EACCES &&
            test_says(paths[1]));
}

START_TEST(no_permission)
{
    const char *file = make_file("mine", 0), *directory = test_path("locked");
    const char *path = test_path("locked/file");
    const char *paths[] = {file, path};

    if (geteuid() != 0) {
        if (chmod(file, 0) != 0 || access(file, R_OK) == 0)
            return;
        NULLS(vista_map(file, 0, 0, NULL), EACCES, file);
        return;
    }
    ck_assert_int_eq(mkdir(directory, 0700), 0);
    const uint64_t digest = test_digest(file);
    ck_assert_int_eq(test_in_child(without_permission, paths), 0);
    ck_assert_uint_eq(test_digest(file), digest);
    expect_usable();
}
END_TEST

START_TEST(truncated)
{
    const char *path = make_file("whole", 0), *cut = test_path("cut");
    const struct vi_superblock superblock = test_superblock(path, 0);
    const uint64_t end = superblock.data_offset + superblock.size;
    const uint64_t lengths[] = {1,
                                100,
                                511,
                                512,
                                4095,
                                4096,
                                5000,
                                8191,
                                8192,
                                16384,
                                20000,
                                superblock.chunks_offset,
                                superblock.heap_offset,
                                superblock.data_offset - 1,
                                superblock.data_offset,
                                superblock.data_offset + 4096,
                                end - 4096,
                                end - 1};
    char text[32];

    snprintf(text, sizeof text, "%llu", (unsigned long long)end);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        test_copy(path, cut);
        ck_assert_int_eq(truncate(cut, (off_t)lengths[i]), 0);
        const uint64_t digest = test_digest(cut);
        NULLS(vista_map(cut, 0, 0, NULL), EBADMSG, cut);
        if (lengths[i] >= sizeof superblock)
            ck_assert(test_says(text));
        NULLS(vista_map(cut, 0, VISTA_READ_ONLY, NULL), EBADMSG, cut);
        NULLS(vista_map(cut, 0, VISTA_ACCEPT_TORN, NULL), EBADMSG, cut);
        NULLS(vista_map(cut, MIB, VISTA_CREATE, NULL), EBADMSG, cut);
        FAILS(vista_check(cut, 0, NULL, NULL), EBADMSG, cut);
        ck_assert_uint_eq(test_digest(cut), digest);
    }
    expect_usable();
}
END_TEST

/* Cut short under a mapping: the next mapping sees it. */
START_TEST(truncated_while_open)
{
    const char *path = make_file("later", 0);
    vista_segment *segment = vista_map(path, 0, 0, NULL);

    SOME(segment);
    ck_assert_int_eq(truncate(path, 65536), 0);
    (void)vista_unmap(segment);
    NULLS(vista_map(path, 0, 0, NULL), EBADMSG, "truncated");
    expect_usable();
}
END_TEST

/* Below all that a slot's word can be: what lies in the slot since early days would count. */
START_TEST(word_of_no_stamp)
{
    const char *path = test_path("word");
    const uint64_t words[] = {0, 1, VISTA_INLINE_STAMP_STEP - 1,
                              (uint64_t)1 << VI_STAMP_SLOT_SHIFT};

    vista_segment *segment = vista_map(path, MIB, VISTA_CREATE, NULL);
    SOME(segment);
    SOME(vista_root(segment, 100));
    OK(vista_unmap(segment));
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        test_poke(path, VI_SLOTS_OFFSET, &words[i], sizeof words[i]);
        FAILS(vista_check(path, 0, NULL, NULL), EBADMSG, path);
        NULLS(vista_map(path, 0, 0, NULL), EBADMSG, path);
        NULLS(vista_map(path, 0, VISTA_ACCEPT_TORN, NULL), EBADMSG, path);
    }
}
END_TEST

/* A crash while the size changed leaves a longer file, which is cut when it is mapped; one
 * that is refused stays as it is. */
START_TEST(longer_than_it_says)
{
    const char *path = make_file("longer", 0);
    const uint64_t many = VI_SLOTS + 1, slots = 1;
    struct stat st;

    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(truncate(path, st.st_size + 12288), 0);
    test_poke(path, VI_LOG_OFFSET, &many, sizeof many);
    const uint64_t digest = test_digest(path);
    NULLS(vista_map(path, 0, 0, NULL), EBADMSG, "slots");
    ck_assert_uint_eq(test_digest(path), digest);
    test_poke(path, VI_LOG_OFFSET, &slots, sizeof slots);
    vista_segment *segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
    change_and_look(segment);
    OK(vista_unmap(segment));
    const off_t before = st.st_size;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_size, before);
    test_sound(path);
}
END_TEST

/* ---- The superblock ---------------------------------------------------- */

#define FIELD(name) \
#name, offsetof(struct vi_superblock, name), sizeof(((struct vi_superblock *)0)->name)

/* A field, a value for it, and what becomes of a file whose superblock holds it and
 * a good checksum.  0: it may be mapped. */
static const struct {
    const char *name;
    size_t offset, size;
    uint64_t value;
    int error;
    const char *part;
} mended[] = {
    {FIELD(magic), 0, EBADMSG, "not a vista segment"},
    {FIELD(magic), VI_MAGIC ^ 1, EBADMSG, "not a vista segment"},
    {FIELD(magic), VI_MAGIC_SWAPPED, ENOTSUP, "byte order"},
    {FIELD(version), 0, ENOTSUP, "version 0"},
    {FIELD(version), 2, ENOTSUP, "version 2"},
    {FIELD(version), 0x01000000, ENOTSUP, "version 16777216"},
    {FIELD(reserved0), 1, 0, ""},
    {FIELD(features_may), 1, 0, ""},
    {FIELD(features_may), ~0ull, 0, ""},
    {FIELD(features_read_only), 1, ENOTSUP, "feature"},
    {FIELD(features_read_only), 1ull << 63, ENOTSUP, "feature"},
    {FIELD(features_must), VI_MUST_HEAP | 16, ENOTSUP, "11"},
    {FIELD(features_must), 1ull << 63 | VI_MUST_HEAP, ENOTSUP, "8000000000000001"},
    {FIELD(features_must), 0, EBADMSG, "damaged"},
    {FIELD(sequence), 0, 0, ""},
    {FIELD(sequence), ~0ull, 0, ""},
    {FIELD(uuid), 0x1234, 0, ""},
    {FIELD(address), 0, EBADMSG, "damaged"},
    {FIELD(address), 1, EBADMSG, "damaged"},
    {FIELD(address), 1ull << 47, EBADMSG, "damaged"},
    {FIELD(address), ~0ull << 12, EBADMSG, "damaged"},
    {FIELD(size), 0, EBADMSG, "damaged"},
    {FIELD(size), 1, EBADMSG, "damaged"},
    {FIELD(size), 4096 * 1000, EBADMSG, "damaged"},
    {FIELD(size), 256 * 1024 + 4096, EBADMSG, "truncated"},
    {FIELD(size), ~0ull << 12, EBADMSG, "damaged"},
    {FIELD(max_size), 0, EBADMSG, "damaged"},
    {FIELD(max_size), 4096, EBADMSG, "damaged"},
    {FIELD(max_size), 1ull << 30, EBADMSG, "damaged"},
    {FIELD(max_size), 1ull << 44, EBADMSG, "damaged"},
    {FIELD(max_size), ~0ull << 12, EBADMSG, "damaged"},
    {FIELD(chunks_offset), 0, EBADMSG, "damaged"},
    {FIELD(chunks_offset), VI_CHUNKS_OFFSET + 4096, EBADMSG, "damaged"},
    {FIELD(chunks_size), 0, EBADMSG, "damaged"},
    {FIELD(chunks_size), ~0ull, EBADMSG, "damaged"},
    {FIELD(heap_offset), 0, EBADMSG, "damaged"},
    {FIELD(heap_offset), 8192, EBADMSG, "damaged"},
    {FIELD(heap_offset), ~0ull, EBADMSG, "damaged"},
    {FIELD(data_offset), 0, EBADMSG, "damaged"},
    {FIELD(data_offset), 4096, EBADMSG, "damaged"},
    {FIELD(data_offset), ~0ull << 21, EBADMSG, "damaged"},
    {FIELD(device), 77, 0, ""},
    {FIELD(inode), 77, 0, ""},
    {FIELD(boot_id), 77, 0, ""},
    {FIELD(clean), 2, EBADMSG, "damaged"},
    {FIELD(clean), ~0ull, EBADMSG, "damaged"},
    {FIELD(log_class), 0, EBADMSG, "damaged"},
    {FIELD(log_class), 5, EBADMSG, "damaged"},
    {FIELD(log_class), ~0ull, EBADMSG, "damaged"},
    {FIELD(real_class), 0, EBADMSG, "damaged"},
    {FIELD(real_class), 5, EBADMSG, "damaged"},
    {FIELD(reserved1), ~0ull, 0, ""},
    {FIELD(birth), 1, 0, ""},
    {FIELD(lsn), ~0ull, 0, ""},
    {FIELD(history[0]), ~0ull, 0, ""},
    {FIELD(history[7].first_lsn), 1, 0, ""},
    {FIELD(layout), ~0ull, 0, ""},
    {FIELD(lasting[6]), ~0ull, 0, ""},
    {FIELD(shares), ~0ull, 0, ""},
    {FIELD(incarnation), 1, 0, ""},
    {FIELD(opening[5]), ~0ull, 0, ""},
    {FIELD(reserved2[1]), ~0ull, 0, ""},
    {FIELD(reserved3), ~0ull, 0, ""},
};

static void damage(struct vi_superblock *superblock, size_t offset, size_t size, uint64_t value)
{
    memcpy((char *)superblock + offset, &value, size < 8 ? size : 8);
}

START_TEST(superblock_with_a_good_checksum)
{
    const char *path = make_file("sound", 0), *bad = test_path("bad");
    const int i = _i;

    test_copy(path, bad);
    for (int copy = 0; copy < VI_SUPERBLOCKS; copy++) {
        struct vi_superblock superblock = test_superblock(path, copy);

        damage(&superblock, mended[i].offset, mended[i].size, mended[i].value);
        test_superblock_put(bad, copy, superblock, true);
    }
    const uint64_t digest = test_digest(bad);
    if (mended[i].error == 0) {
        OK(vista_check(bad, 0, NULL, NULL));
        ck_assert_uint_eq(test_digest(bad), digest);
        vista_segment *segment = vista_map(bad, 0, 0, NULL);
        SOME(segment);
        change_and_look(segment);
        OK(vista_unmap(segment));
        return;
    }
    NULLS(vista_map(bad, 0, 0, NULL), mended[i].error, mended[i].part);
    ck_assert_msg(test_says(bad), "%s: the path is not in \"%s\"", mended[i].name,
                  vista_errormsg());
    NULLS(vista_map(bad, MIB, VISTA_CREATE, NULL), mended[i].error, mended[i].part);
    if (mended[i].offset != offsetof(struct vi_superblock, features_read_only)) {
        NULLS(vista_map(bad, 0, VISTA_READ_ONLY, NULL), mended[i].error, mended[i].part);
        FAILS(vista_check(bad, 0, NULL, NULL), mended[i].error, mended[i].part);
    } else {
        vista_segment *segment = vista_map(bad, 0, VISTA_READ_ONLY, NULL);

        SOME(segment);
        OK(vista_unmap(segment));
    }
    ck_assert_uint_eq(test_digest(bad), digest);
    expect_usable();
}
END_TEST

/* Each bit of the superblock turned over, the checksum left as it was. */
START_TEST(superblock_with_a_bad_checksum)
{
    const char *path = make_file("sound", 0), *bad = test_path("bad");
    const struct vi_superblock copies[] = {test_superblock(path, 0), test_superblock(path, 1)};

    test_copy(path, bad);
    for (size_t bit = 0; bit < 8 * sizeof copies[0]; bit++) {
        const bool of_magic = bit < 64;
        const bool of_version = bit >= 64 && bit < 96;

        for (int copy = 0; copy < VI_SUPERBLOCKS; copy++) {
            struct vi_superblock superblock = copies[copy];

            ((unsigned char *)&superblock)[bit / 8] ^= (unsigned char)(1u << bit % 8);
            test_superblock_put(bad, copy, superblock, false);
        }
        NULLS(vista_map(bad, 0, 0, NULL), of_version ? ENOTSUP : EBADMSG, bad);
        ck_assert(test_says(of_magic ? "not a vista segment" : of_version ? "version" : "damaged"));
    }
    const uint64_t digest = test_digest(bad);
    FAILS(vista_check(bad, 0, NULL, NULL), EBADMSG, "damaged");
    NULLS(vista_map(bad, MIB, VISTA_CREATE, NULL), EBADMSG, "damaged");
    NULLS(vista_map(bad, 0, VISTA_ACCEPT_TORN, NULL), EBADMSG, "damaged");
    ck_assert_uint_eq(test_digest(bad), digest);
    expect_usable();
}
END_TEST

/* One good copy is enough. */
START_TEST(one_copy_of_the_superblock)
{
    const char *path = make_file("sound", 0), *bad = test_path("bad");
    vista_segment *segment;

    for (int copy = 0; copy < VI_SUPERBLOCKS; copy++) {
        struct vi_superblock superblock = test_superblock(path, copy);

        test_copy(path, bad);
        test_adopt(bad);
        memset(&superblock, 0xff, sizeof superblock);
        test_superblock_put(bad, copy, superblock, false);
        segment = vista_map(bad, 0, 0, NULL);
        SOME(segment);
        change_and_look(segment);
        OK(vista_unmap(segment));
        test_sound(bad);
        ck_assert_uint_eq(test_superblock(bad, copy).magic, VI_MAGIC);
    }
}
END_TEST

/* The copy that is not damaged is of a later version: that is said, of either. */
START_TEST(one_copy_and_of_a_later_version)
{
    const char *path = make_file("sound", 0), *bad = test_path("bad");

    for (int copy = 0; copy < VI_SUPERBLOCKS; copy++) {
        struct vi_superblock superblock = test_superblock(path, copy);

        test_copy(path, bad);
        superblock.features_read_only = 1;
        test_superblock_put(bad, copy, superblock, true);
        memset(&superblock, copy * 0xff, sizeof superblock);
        test_superblock_put(bad, 1 - copy, superblock, false);
        NULLS(vista_map(bad, 0, 0, NULL), ENOTSUP, "features");
        vista_segment *segment = vista_map(bad, 0, VISTA_READ_ONLY, NULL);
        SOME(segment);
        OK(vista_unmap(segment));
    }
}
END_TEST

/* ---- Random damage ----------------------------------------------------- */

struct damaged {
    const char *path;
    void *blocks[64];
};

/* Whatever the file says: errors, but nothing worse. */
static void use_damaged(void *argument)
{
    struct damaged *damaged = argument;
    vista_segment *segment;
    vista_tx *tx;

    alarm(20);
    (void)vista_check(damaged->path, 0, NULL, NULL);
    segment = vista_map(damaged->path, 0, VISTA_ACCEPT_TORN, NULL);
    if (segment == NULL)
        segment = vista_map(damaged->path, 0, 0, NULL);
    if (segment == NULL)
        return;
    (void)vista_root(segment, 0);
    for (int round = 0; round < 3; round++) {
        tx = vista_begin_transaction(segment, 0);
        if (tx == NULL)
            break;
        for (size_t i = 0; i < 64; i++) {
            (void)vista_usable_size(segment, damaged->blocks[i]);
            if (i % 2)
                (void)vista_free(tx, damaged->blocks[i]);
            else
                (void)vista_malloc(tx, 16 << i % 12);
        }
        if (round == 1)
            (void)vista_abort_transaction(tx);
        else
            (void)vista_end_transaction(tx, 0);
    }
    (void)vista_root(segment, 5000);
    (void)vista_unmap(segment);
    (void)vista_check(damaged->path, 0, NULL, NULL);
}

/* A segment with blocks; killed with transactions open, if `argument` is not clean. */
static void make_for_damage(void *argument)
{
    struct damaged *damaged = argument;
    vista_segment *segment = vista_map(damaged->path, 0, 0, NULL);
    vista_tx *tx = vista_begin_transaction(segment, 0);
    unsigned char *base = vista_base(segment);

    for (size_t i = 0; i < 64; i++)
        REQUIRE((damaged->blocks[i] = vista_malloc(tx, 20 * i * (i % 9 == 0 ? 20 : 1))) != NULL);
    REQUIRE(vista_end_transaction(tx, 0) == 0);
    for (size_t i = 0; i < 5; i++) {
        tx = vista_begin_transaction(segment, 0);
        REQUIRE(vista_set_range(tx, base + MIB + 3000 * i, 3000) == 0);
        REQUIRE(vista_free(tx, damaged->blocks[i]) == 0);
        REQUIRE(vista_malloc(tx, 100 + 5000 * (i % 2)) != NULL);
        if (i == 3)
            REQUIRE(vista_set_range(tx, base + MIB + 100000, 40000) == 0);
    }
}

static void poke_at_random(const char *path, uint64_t from, uint64_t length,
                           struct test_random *random)
{
    static const uint64_t values[] = {0, 1, 0xff, 0x7fffffffffffffff, 0xffffffffffffffff, 4096};
    uint64_t value = test_next(random);
    const uint64_t at = from + test_below(random, length / 8) * 8;

    switch (test_below(random, 4)) {
    case 0:
        value = values[test_below(random, 6)];
        break;
    case 1: {
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        ck_assert_int_eq(pread(fd, &value, 8, (off_t)at), 8);
        close(fd);
        value ^= (uint64_t)1 << test_below(random, 64);
        break;
    }
    default:
        break;
    }
    test_poke(path, at, &value, 1 + test_below(random, 8));
}

START_TEST(random_damage)
{
    struct damaged *damaged = test_share(sizeof *damaged);
    struct test_random random = test_random_new(1);
    const char *path = make_file_of("whole", 2 * MIB, 0), *bad = test_path("damaged");
    const struct vi_superblock s = test_superblock(path, 0);
    const uint64_t areas[][2] = {
        {VI_LOG_OFFSET, 64},
        {VI_SLOTS_OFFSET, 512},
        {VI_SLOTS_OFFSET, 6 * 16384},
        {s.chunks_offset, 512},
        {s.heap_offset, 64},
        {s.heap_offset + VI_PAGE, 8 * s.size / VI_UNIT},
        {s.heap_offset + VI_PAGE + 8 * VI_GROUP_UNITS, 32 * s.size / VI_UNIT},
        {s.heap_offset, s.data_offset - s.heap_offset},
    };

    damaged->path = path;
    ck_assert_int_eq(test_in_child(make_for_damage, damaged), 0);
    for (unsigned round = 0; round < test_times(400); round++) {
        test_copy(path, bad);
        test_adopt(bad);
        for (uint64_t i = 1 + test_below(&random, 4); i > 0; i--) {
            const uint64_t *area = areas[test_below(&random, sizeof areas / sizeof areas[0])];

            poke_at_random(bad, area[0], area[1], &random);
        }
        damaged->path = bad;
        const int status = test_in_child(use_damaged, damaged);

        ck_assert_msg(status == 0, "round %u ended with status %d", round, status);
    }
    expect_usable();
}
END_TEST

/* ---- Other processes --------------------------------------------------- */

static void second_process(void *argument)
{
    REQUIRE(vista_map(argument, 0, 0, NULL) == NULL && errno == EBUSY && test_says(argument));
    REQUIRE(vista_map(argument, MIB, VISTA_CREATE, NULL) == NULL && errno == EBUSY);
    REQUIRE(vista_map(argument, 0, VISTA_READ_ONLY, NULL) == NULL && errno == EBUSY);
    REQUIRE(vista_check(argument, 0, NULL, NULL) == -1 && errno == EBUSY);
}

static void forked_child(void *argument)
{
    REQUIRE(vista_begin_transaction(argument, 0) == NULL && errno == EPERM && test_says("parent"));
    REQUIRE(vista_unmap(argument) == -1 && errno == EPERM);
}

START_TEST(other_processes)
{
    const char *path = make_file("busy", 0);
    vista_segment *segment = vista_map(path, 0, 0, NULL);

    SOME(segment);
    const uint64_t digest = test_digest(path);
    ck_assert_int_eq(test_in_child(second_process, (void *)path), 0);
    ck_assert_int_eq(test_in_child(forked_child, segment), 0);
    ck_assert_uint_eq(test_digest(path), digest);
    change_and_look(segment);
    OK(vista_unmap(segment));
}
END_TEST

/* ---- Ranges ------------------------------------------------------------ */

static void refuse_range(vista_tx *tx, void *address, size_t length)
{
    struct iovec range = {address, length};
    char text[32];

    snprintf(text, sizeof text, "%zu", length);
    FAILS(vista_set_range(tx, address, length), EINVAL, text);
    FAILS(vista_set_ranges(tx, &range, 1), EINVAL, text);
    /* The same on the inlined path, where it can be. */
    if (length == 1)
        FAILS(vista_set_range(tx, address, 1), EINVAL, text);
    if (length == 8)
        FAILS(vista_set_range(tx, address, 8), EINVAL, text);
    if (length == 256)
        FAILS(vista_set_range(tx, address, 256), EINVAL, text);
}

static void wrong_ranges(unsigned flags)
{
    vista_segment *segment = make("ranges", 64 * KIB, flags);
    unsigned char *base = vista_base(segment), *end = base + 64 * KIB;
    vista_tx *tx = vista_begin_transaction(segment, 0);

    SOME(tx);
    refuse_range(tx, end, 1);
    refuse_range(tx, end - 7, 8);
    refuse_range(tx, end - 255, 256);
    refuse_range(tx, end - 1, 2);
    refuse_range(tx, base, 64 * KIB + 1);
    refuse_range(tx, base + 1, 64 * KIB);
    refuse_range(tx, base - 1, 1);
    refuse_range(tx, base - 1, 8);
    refuse_range(tx, base - 8, 8);
    refuse_range(tx, base - 256, 256);
    refuse_range(tx, base - 1, 64 * KIB);
    refuse_range(tx, base - 1, 64 * KIB + 2);
    refuse_range(tx, NULL, 1);
    refuse_range(tx, NULL, 8);
    refuse_range(tx, (void *)UINTPTR_MAX, 1);
    refuse_range(tx, (void *)(UINTPTR_MAX - 7), 8);
    refuse_range(tx, (void *)(UINTPTR_MAX - 3), 8);
    refuse_range(tx, base, SIZE_MAX);
    refuse_range(tx, base + 8, SIZE_MAX - 7);
    refuse_range(tx, base + 8, (size_t)0 - (uintptr_t)base);
    refuse_range(tx, base, (size_t)1 << 63);
    refuse_range(tx, (void *)((uintptr_t)base + ((size_t)1 << 63)), 8);
    refuse_range(tx, (void *)((uintptr_t)end + ((size_t)1 << 40)), 8);
    refuse_range(tx, &segment, 8);
    OK(vista_set_range(tx, end - 8, 8));
    OK(vista_set_range(tx, base, 8));
    base[0] = end[-1] = 1;
    OK(vista_abort_transaction(tx));
    ck_assert_uint_eq(base[0] | end[-1], 0);
    OK(vista_unmap(segment));
}

START_TEST(ranges_outside)
{
    for (unsigned class = VISTA_CLASS_KILL; class <= VISTA_CLASS_LINE; class ++) {
        OK(vista_init(&(struct vista_options){.force_class = class}));
        wrong_ranges(VISTA_NO_HEAP);
        wrong_ranges(0);
        wrong_ranges(VISTA_NO_HEAP | VISTA_SPARSE);
    }
    OK(vista_init(NULL));
    expect_usable();
}
END_TEST

/* ---- Pointers ---------------------------------------------------------- */

static void refuse_pointer(vista_segment *segment, vista_tx *tx, void *pointer)
{
    char text[32];

    snprintf(text, sizeof text, "%llx", (unsigned long long)(uintptr_t)pointer);
    FAILS(vista_free(tx, pointer), EINVAL, text);
    NULLS(vista_realloc(tx, pointer, 5), EINVAL, text);
    errno = 0;
    ck_assert_uint_eq(vista_usable_size(segment, pointer), 0);
    ck_assert_int_eq(errno, EINVAL);
}

START_TEST(pointers_that_are_no_blocks)
{
    vista_segment *segment = make("pointers", MIB, 0);
    char *base = vista_base(segment), *root = vista_root(segment, 1000);
    vista_tx *tx = vista_begin_transaction(segment, 0);
    char *small = vista_malloc(tx, 64), *medium = vista_malloc(tx, 3000);
    char *large = vista_malloc(tx, 100000);

    SOME(root);
    SOME(small);
    SOME(medium);
    SOME(large);
    OK(vista_end_transaction(tx, 0));
    tx = vista_begin_transaction(segment, 0);
    for (size_t i = 1; i < 64; i++)
        refuse_pointer(segment, tx, small + i);
    for (size_t i = 1; i < 3000; i += i < 100 ? 1 : 16)
        refuse_pointer(segment, tx, medium + i);
    for (size_t i = 16; i < 100000; i += i < 5000 ? 16 : 4096)
        refuse_pointer(segment, tx, large + i);
    for (size_t i = 16; i < 1000; i += 16)
        refuse_pointer(segment, tx, root + i);
    for (ptrdiff_t i = -64; i < 0; i++) {
        refuse_pointer(segment, tx, base + i);
        refuse_pointer(segment, tx, base + MIB - i);
    }
    refuse_pointer(segment, tx, base + MIB);
    refuse_pointer(segment, tx, base + MIB - 16);
    refuse_pointer(segment, tx, base + MIB - 4096);
    refuse_pointer(segment, tx, &segment);
    refuse_pointer(segment, tx, segment);
    refuse_pointer(segment, tx, (void *)1);
    refuse_pointer(segment, tx, (void *)UINTPTR_MAX);
    refuse_pointer(segment, tx, (void *)(UINTPTR_MAX & ~(uintptr_t)15));
    refuse_pointer(segment, tx, small + 64 * 200); /* in its span or past it: never given out */
    FAILS(vista_free(tx, root), EINVAL, "root");
    OK(vista_end_transaction(tx, 0));
    struct vista_info info;
    OK(vista_info(segment, &info));
    ck_assert_uint_eq(test_live_blocks(info.path), 4);
    OK(vista_unmap(segment));
}
END_TEST

/* Freed already: in this transaction, by a committed one, by one in the same batch
 * of a span; and the block itself stays as it was. */
START_TEST(double_frees)
{
    static const size_t sizes[] = {1, 64, 1000, 8000, 9000, 200000};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        vista_segment *segment = make("double", MIB, 0);
        vista_tx *tx = vista_begin_transaction(segment, 0);
        char *block = vista_malloc(tx, sizes[i]), *kept = vista_malloc(tx, sizes[i]);

        SOME(block);
        SOME(kept);
        memset(kept, 'k', sizes[i]);
        OK(vista_end_transaction(tx, 0));
        tx = vista_begin_transaction(segment, 0);
        OK(vista_free(tx, block));
        FAILS(vista_free(tx, block), EINVAL, "free");
        NULLS(vista_realloc(tx, block, sizes[i]), EINVAL, "");
        OK(vista_end_transaction(tx, 0));
        tx = vista_begin_transaction(segment, 0);
        refuse_pointer(segment, tx, block);
        OK(vista_abort_transaction(tx));
        tx = vista_begin_transaction(segment, 0);
        block = vista_malloc(tx, sizes[i]);
        SOME(block);
        OK(vista_free(tx, block));
        refuse_pointer(segment, tx, block);
        OK(vista_end_transaction(tx, 0));
        ck_assert_uint_ge(vista_usable_size(segment, kept), sizes[i]);
        ck_assert(kept[0] == 'k' && kept[sizes[i] - 1] == 'k');
        change_and_look(segment);
        OK(vista_unmap(segment));
    }
}
END_TEST

/* ---- Handles ----------------------------------------------------------- */

static void refuse_handle(vista_tx *tx, void *inside)
{
    struct iovec range = {inside, 8};
    volatile size_t eight = 8; /* out of line, too */

    FAILS(vista_set_range(tx, inside, 8), EINVAL, "transaction");
    FAILS(vista_set_range(tx, inside, eight), EINVAL, "transaction");
    FAILS(vista_set_ranges(tx, &range, 1), EINVAL, "transaction");
    FAILS(vista_set_ranges(tx, &range, 0), EINVAL, "transaction");
    NULLS(vista_malloc(tx, 8), EINVAL, "transaction");
    NULLS(vista_calloc(tx, 8, 8), EINVAL, "transaction");
    NULLS(vista_realloc(tx, inside, 8), EINVAL, "transaction");
    FAILS(vista_free(tx, inside), EINVAL, "transaction");
    FAILS(vista_free(tx, NULL), EINVAL, "transaction");
    FAILS(vista_end_transaction(tx, 0), EINVAL, "transaction");
    FAILS(vista_end_transaction(tx, VISTA_NO_FLUSH), EINVAL, "transaction");
    FAILS(vista_abort_transaction(tx), EINVAL, "transaction");
}

START_TEST(handles_that_ended)
{
    for (unsigned class = VISTA_CLASS_KILL; class <= VISTA_CLASS_LINE; class ++)
        for (int way = 0; way < 4; way++) {
            OK(vista_init(&(struct vista_options){.force_class = class}));
            vista_segment *segment = make("handles", MIB, 0);
            uint64_t *root = vista_root(segment, 64);
            vista_tx *tx = vista_begin_transaction(segment, way == 3 ? VISTA_NO_RESTORE : 0);

            SOME(tx);
            if (way != 2)
                OK(vista_set_range(tx, root, 8));
            OK(way == 1 ? vista_abort_transaction(tx) : vista_end_transaction(tx, 0));
            refuse_handle(tx, root);
            refuse_handle(NULL, root);
            change_and_look(segment);
            refuse_handle(tx, root);
            OK(vista_unmap(segment));
            refuse_handle(tx, root);
            expect_usable();
        }
}
END_TEST

START_TEST(null_arguments)
{
    vista_segment *segment = make("nulls", MIB, 0);
    vista_tx *tx = vista_begin_transaction(segment, 0);

    FAILS(vista_info(segment, NULL), EINVAL, "");
    FAILS(vista_info(NULL, NULL), EINVAL, "");
    NULLS(vista_begin_transaction(NULL, 0), EINVAL, "");
    FAILS(vista_set_range(tx, NULL, 0), EINVAL, "");
    FAILS(vista_set_ranges(tx, NULL, 2), EINVAL, "");
    FAILS(vista_flush(NULL), EINVAL, "");
    FAILS(vista_unmap(NULL), EINVAL, "");
    OK(vista_end_transaction(tx, 0));
    change_and_look(segment);
    OK(vista_unmap(segment));
}
END_TEST

/* ---- Running out ------------------------------------------------------- */

/* Fills the heap in the middle of a transaction that did other things before. */
static void run_out(bool commit, size_t size)
{
    vista_segment *segment = make("run-out", MIB, 0);
    uint64_t *root = vista_root(segment, 1000), count = 0;
    vista_tx *tx = vista_begin_transaction(segment, 0);
    void *old = vista_malloc(tx, 5000), *block;
    char text[32];

    SOME(root);
    SOME(old);
    OK(vista_end_transaction(tx, 0));
    tx = vista_begin_transaction(segment, 0);
    OK(vista_set_range(tx, root, 1000));
    root[0] = 1;
    OK(vista_free(tx, old));
    while ((block = vista_malloc(tx, size)) != NULL) {
        memset(block, 0x55, size);
        count++;
    }
    ck_assert_int_eq(errno, ENOMEM);
    snprintf(text, sizeof text, "%zu", size);
    ck_assert_msg(test_says(text), "%s", vista_errormsg());
    NULLS(vista_calloc(tx, 1, MIB), ENOMEM, "1048576");
    root[1] = 2; /* it goes on all the same */
    OK(vista_set_range(tx, root, 8));
    if (commit)
        OK(vista_end_transaction(tx, 0));
    else
        OK(vista_abort_transaction(tx));
    ck_assert_uint_eq(root[0], commit ? 1 : 0);
    ck_assert_uint_eq(root[1], commit ? 2 : 0);
    struct vista_info info;
    OK(vista_info(segment, &info));
    ck_assert_uint_eq(test_live_blocks(info.path), commit ? 1 + count : 2);
    if (!commit) {
        change_and_look(segment);
        ck_assert_uint_ge(vista_usable_size(segment, old), 5000);
    }
    char path[512];
    snprintf(path, sizeof path, "%s", info.path);
    OK(vista_unmap(segment));
    test_sound(path);
}

START_TEST(out_of_heap)
{
    static const size_t sizes[] = {16, 64, 1000, 5000, 100000};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        run_out(false, sizes[i]);
        run_out(true, sizes[i]);
    }
    expect_usable();
}
END_TEST

/* Mapped again, the first block lies over the end of what was ever used before; then the
 * heap runs out, and looks for free spans everywhere. */
START_TEST(out_of_heap_when_mapped_again)
{
    const char *path = test_path("again");
    vista_segment *segment = vista_map(path, 8 * MIB, VISTA_CREATE, NULL);
    size_t count = 0;
    vista_tx *tx;

    SOME(vista_root(segment, 100));
    OK(vista_unmap(segment));
    segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
    tx = vista_begin_transaction(segment, 0);
    SOME(vista_malloc(tx, 5 * MIB));
    OK(vista_end_transaction(tx, 0));
    tx = vista_begin_transaction(segment, 0);
    while (vista_malloc(tx, 100000) != NULL)
        ck_assert_uint_lt(count++, 100);
    ck_assert_int_eq(errno, ENOMEM);
    OK(vista_abort_transaction(tx));
    OK(vista_unmap(segment));
    test_sound(path);
}
END_TEST

static void many_open(unsigned class)
{
    static vista_tx *open[VI_SLOTS];
    const bool disk = test_room(false) < 2 * VI_SLOTS * VI_SLOT_SIZE;
    const char *path = disk ? test_disk_path("thousand") : test_path("thousand");
    const struct vista_map_options large = {.max_size = 42 * MIB};
    vista_segment *segment = vista_map(path, MIB, VISTA_CREATE | VISTA_NO_HEAP, &large);
    uint64_t *base = vista_base(segment);
    struct vista_info info;

    SOME(segment);
    for (size_t i = 0; i < 1000; i++) {
        open[i] = vista_begin_transaction(segment, 0);
        SOME(open[i]);
        OK(vista_set_range(open[i], base + 16 * i, 128));
        memset(base + 16 * i, (int)class, 128);
    }
    OK(vista_info(segment, &info));
    ck_assert_uint_eq(info.open_transactions, 1000);
    FAILS(vista_unmap(segment), EBUSY, "1000");
    for (size_t i = 1000; i < VI_SLOTS; i++) {
        open[i] = vista_begin_transaction(segment, 0);
        SOME(open[i]);
    }
    NULLS(vista_begin_transaction(segment, 0), EAGAIN, "4096");
    for (size_t i = 0; i < VI_SLOTS; i++)
        OK(i % 2 ? vista_end_transaction(open[i], 0) : vista_abort_transaction(open[i]));
    for (size_t i = 0; i < 16000; i++)
        if (((unsigned char *)base)[i * 8] != (i / 16 % 2 ? class : 0))
            ck_abort_msg("word %zu is %llx", i, (unsigned long long)base[i]);
    vista_tx *tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    OK(vista_end_transaction(tx, 0));
    OK(vista_unmap(segment));
}

START_TEST(a_thousand_open)
{
    for (unsigned class = VISTA_CLASS_KILL; class <= VISTA_CLASS_LINE; class ++) {
        OK(vista_init(&(struct vista_options){.force_class = class}));
        many_open(class);
    }
    OK(vista_init(NULL));
    expect_usable();
}
END_TEST

/* One of the whole segment, longer than a record holds. */
START_TEST(a_range_of_a_gibibyte)
{
    const size_t size = (test_is_sanitized() || test_is_valgrind() ? 256 : 1024) * MIB + 4096;
    const bool disk = test_room(false) < 3 * size;
    const char *path = disk ? test_disk_path("gibibyte") : test_path("gibibyte");
    struct vista_info info;

    if (disk && test_room(true) < 3 * size) {
        test_skip("a range of 1 GiB", "too little room in memory and on the disk");
        return;
    }
    vista_segment *segment = vista_map(path, size, VISTA_CREATE | VISTA_NO_HEAP,
                                       &(struct vista_map_options){.max_size = size});
    SOME(segment);
    unlink(path); /* so that nothing so large stays behind, whatever happens */
    unsigned char *base = vista_base(segment);
    vista_tx *tx = vista_begin_transaction(segment, 0);
    OK(vista_set_range(tx, base, size));
    for (size_t i = 0; i < size; i += 4096)
        base[i] = (unsigned char)(i >> 12);
    base[size - 1] = 1;
    OK(vista_info(segment, &info));
    ck_assert_uint_ge(info.log_bytes, size);
    OK(vista_abort_transaction(tx));
    for (size_t i = 0; i < size; i += 4096)
        if (base[i] != 0)
            ck_abort_msg("byte %zu is %u", i, base[i]);
    ck_assert_uint_eq(base[size - 1], 0);
    tx = vista_begin_transaction(segment, 0);
    OK(vista_set_range(tx, base, size));
    base[0] = base[size - 1] = 7;
    OK(vista_end_transaction(tx, 0));
    FAILS(vista_unmap(segment), ENOENT, "removed");
}
END_TEST

/* ---- A full disk ------------------------------------------------------- */

static char small_disk[300];

/* A file system of 4 MiB that only this process sees. */
static bool mount_small_disk(void)
{
    snprintf(small_disk, sizeof small_disk, "%s", test_path("small"));
    ck_assert_int_eq(mkdir(small_disk, 0700), 0);
    if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("none", small_disk, "tmpfs", 0, "size=4m") == 0)
        return true;
    test_skip("a full disk", "no file system can be mounted here without being root");
    return false;
}

static const char *on_small(const char *name)
{
    static char paths[4][400];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", small_disk, name);
    return path;
}

/* Takes all but `left` bytes of what is free. */
static void fill_small_disk(size_t left)
{
    const char *path = on_small("hog");
    char page[4096] = {0};
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    off_t length = 0;

    ck_assert_int_ge(fd, 0);
    while (write(fd, page, sizeof page) == sizeof page)
        length += (off_t)sizeof page;
    ck_assert_int_eq(errno, ENOSPC);
    ck_assert_int_eq(ftruncate(fd, length - (off_t)left), 0);
    close(fd);
}

START_TEST(no_space_to_create)
{
    const char *path;

    if (!mount_small_disk())
        return;
    path = on_small("segment");
    NULLS(vista_map(path, 8 * MIB, VISTA_CREATE, NULL), ENOSPC, path);
    ck_assert_int_ne(access(path, F_OK), 0); /* nothing stays behind */
    fill_small_disk(0);
    NULLS(vista_map(path, 64 * KIB, VISTA_CREATE, NULL), ENOSPC, path);
    ck_assert_int_ne(access(path, F_OK), 0);
    NULLS(vista_map(path, 64 * KIB, VISTA_CREATE | VISTA_SPARSE, NULL), ENOSPC, path);
    ck_assert_int_ne(access(path, F_OK), 0);
    unlink(on_small("hog"));
    vista_segment *segment = vista_map(path, MIB, VISTA_CREATE, NULL);
    SOME(segment);
    change_and_look(segment);
    OK(vista_unmap(segment));
    /* A copy with holes for which there is no room. */
    test_copy(path, on_small("copy"));
    fill_small_disk(0);
    const uint64_t digest = test_digest(on_small("copy"));
    NULLS(vista_map(on_small("copy"), 0, 0, NULL), ENOSPC, on_small("copy"));
    ck_assert_uint_eq(test_digest(on_small("copy")), digest);
    expect_usable();
}
END_TEST

/* The log wants to grow and cannot; the transaction stands as before, and ends. */
static void log_cannot_grow(bool commit, unsigned class)
{
    const char *path = on_small("segment");
    struct iovec ranges[2];
    vista_segment *segment;
    unsigned char *base;
    vista_tx *tx;

    unlink(path);
    OK(vista_init(&(struct vista_options){.force_class = class}));
    segment = vista_map(path, MIB, VISTA_CREATE | VISTA_NO_HEAP, NULL);
    SOME(segment);
    base = vista_base(segment);
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    fill_small_disk(0);
    OK(vista_set_range(tx, base, 100));
    memset(base, 1, 100);
    FAILS(vista_set_range(tx, base + 4096, 100000), ENOSPC, path);
    ranges[0] = (struct iovec){base + 200, 100};
    ranges[1] = (struct iovec){base + 8192, 200000};
    FAILS(vista_set_ranges(tx, ranges, 2), ENOSPC, path);
    NULLS(vista_begin_transaction(segment, 0), ENOSPC, path); /* its slot has no blocks */
    OK(vista_set_range(tx, base + 100, 8));
    memset(base + 100, 1, 8);
    if (commit)
        OK(vista_end_transaction(tx, 0));
    else
        OK(vista_abort_transaction(tx));
    for (size_t i = 0; i < MIB; i++)
        if (base[i] != (commit && i < 108))
            ck_abort_msg("byte %zu is %u", i, base[i]);
    unlink(on_small("hog"));
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    OK(vista_set_range(tx, base + 4096, 100000));
    memset(base + 4096, 2, 100000);
    OK(vista_abort_transaction(tx));
    OK(vista_unmap(segment));
    test_sound(path);
}

START_TEST(no_space_for_the_log)
{
    if (!mount_small_disk())
        return;
    for (unsigned class = VISTA_CLASS_KILL; class <= VISTA_CLASS_LINE; class ++) {
        log_cannot_grow(true, class);
        log_cannot_grow(false, class);
    }
    OK(vista_init(NULL));
    expect_usable();
}
END_TEST

/* The log of many small ranges and of heap work, to the last byte. */
START_TEST(no_space_by_small_steps)
{
    const char *path;

    if (!mount_small_disk())
        return;
    path = on_small("segment");
    vista_segment *segment = vista_map(path, MIB, VISTA_CREATE, NULL);
    SOME(segment);
    unsigned char *root = vista_root(segment, 4096);
    vista_tx *tx = vista_begin_transaction(segment, 0);
    size_t count = 0;
    SOME(root);
    fill_small_disk(0);
    while (vista_set_range(tx, root + count % 4000, 50) == 0) {
        root[count % 4000] = 1;
        ck_assert_uint_lt(count++, 1000000);
    }
    ck_assert_int_eq(errno, ENOSPC);
    ck_assert(test_says(path));
    while (vista_malloc(tx, 16) != NULL)
        ck_assert_uint_lt(count++, 1000000);
    ck_assert_int_eq(errno, ENOSPC);
    FAILS(vista_free(tx, vista_base(segment)), errno, ""); /* ENOSPC or no block: no crash */
    OK(vista_abort_transaction(tx));
    for (size_t i = 0; i < 4096; i++)
        ck_assert_uint_eq(root[i], 0);
    ck_assert_uint_eq(test_live_blocks(path), 1);
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    OK(vista_set_range(tx, root, 50));
    root[0] = 3;
    SOME(vista_malloc(tx, 100));
    OK(vista_end_transaction(tx, 0));
    ck_assert_uint_eq(test_live_blocks(path), 2);
    OK(vista_unmap(segment));
    test_sound(path);
}
END_TEST

START_TEST(no_space_in_a_sparse_segment)
{
    const char *path;

    if (!mount_small_disk())
        return;
    path = on_small("sparse");
    vista_segment *segment = vista_map(path, 64 * MIB, VISTA_CREATE | VISTA_SPARSE, NULL);
    SOME(segment);
    SOME(vista_root(segment, 64));
    change_and_look(segment);
    vista_tx *tx = vista_begin_transaction(segment, 0);
    NULLS(vista_malloc(tx, 32 * MIB), ENOSPC, path);
    void *block = vista_malloc(tx, 64 * KIB);
    SOME(block);
    memset(block, 1, 64 * KIB);
    OK(vista_end_transaction(tx, 0));
    change_and_look(segment);
    OK(vista_unmap(segment));
    test_sound(path);
    unlink(path);
    path = on_small("flat");
    segment = vista_map(path, 64 * MIB, VISTA_CREATE | VISTA_SPARSE | VISTA_NO_HEAP, NULL);
    SOME(segment);
    unsigned char *base = vista_base(segment);
    tx = vista_begin_transaction(segment, 0);
    OK(vista_set_range(tx, base, 100));
    base[0] = 1;
    FAILS(vista_set_range(tx, base, 40 * MIB), ENOSPC, path);
    OK(vista_end_transaction(tx, 0));
    ck_assert_uint_eq(base[0], 1);
    OK(vista_unmap(segment));
    test_sound(path);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("bad input");
    TCase *tests = test_case(suite, "flags", 30);

    tcase_add_test(tests, every_combination_of_flags);
    tcase_add_test(tests, messages_of_flags);
    tcase_add_test(tests, options_that_make_no_sense);
    tcase_add_test(tests, init_options);
    tests = test_case(suite, "files", 30);
    tcase_add_test(tests, not_a_file);
    tcase_add_test(tests, not_a_segment);
    tcase_add_test(tests, no_permission);
    tcase_add_test(tests, truncated);
    tcase_add_test(tests, truncated_while_open);
    tcase_add_test(tests, longer_than_it_says);
    tcase_add_test(tests, word_of_no_stamp);
    tests = test_case(suite, "superblock", 30);
    tcase_add_loop_test(tests, superblock_with_a_good_checksum, 0,
                        (int)(sizeof mended / sizeof mended[0]));
    tcase_add_test(tests, superblock_with_a_bad_checksum);
    tcase_add_test(tests, one_copy_of_the_superblock);
    tcase_add_test(tests, one_copy_and_of_a_later_version);
    tests = test_case(suite, "damage", 60);
    tcase_add_test(tests, random_damage);
    tests = test_case(suite, "processes", 20);
    tcase_add_test(tests, other_processes);
    tests = test_case(suite, "arguments", 30);
    tcase_add_test(tests, ranges_outside);
    tcase_add_test(tests, pointers_that_are_no_blocks);
    tcase_add_test(tests, double_frees);
    tcase_add_test(tests, handles_that_ended);
    tcase_add_test(tests, null_arguments);
    tests = test_case(suite, "running out", 60);
    tcase_add_test(tests, out_of_heap);
    tcase_add_test(tests, out_of_heap_when_mapped_again);
    tcase_add_test(tests, a_thousand_open);
    tcase_add_test(tests, a_range_of_a_gibibyte);
    tcase_add_test(tests, no_space_to_create);
    tcase_add_test(tests, no_space_for_the_log);
    tcase_add_test(tests, no_space_by_small_steps);
    tcase_add_test(tests, no_space_in_a_sparse_segment);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
