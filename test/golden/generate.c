/* SPDX-License-Identifier: BSD-3-Clause
 *
 * usage: golden_generate FOLDER [disk|group]
 *
 * Makes the golden segments of this library's format, or those of its disk class, and the table
 * of what is to become of each, or a group of the disk class: see README.md.  For a new version of the format they are made once, when it is
 * final, into a folder of its own; what is there is never made again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "core/segment.h"
#include "disk/disk.h"
#include "disk/replay.h"
#include "golden.h"
#include "media/format.h"
#include "refuse_calls.h"
#include "vista.h"

#define PATH "/dev/shm/golden.vista"
#define MEMBER "/dev/shm/golden-member.vista"
#define DONE 9 /* transactions committed */

static const char *folder;
static FILE *table;

__attribute__((noreturn)) static void stop(const char *what)
{
    fprintf(stderr, "%s: %s (%s)\n", what, strerror(errno), vista_errormsg());
    unlink(PATH);
    exit(1);
}

#define MUST(condition) \
    do { \
        if (!(condition)) \
            stop(#condition); \
    } while (0)

/* ---- Writing a file as text --------------------------------------------- */

static FILE *create(const char *name)
{
    char path[512];
    FILE *out;

    snprintf(path, sizeof path, "%s/%s.seg", folder, name);
    out = fopen(path, "we");
    MUST(out != NULL);
    return out;
}

static void print_bytes(FILE *out, uint64_t at, const unsigned char *bytes, size_t length)
{
    fprintf(out, "%llx ", (unsigned long long)at);
    for (size_t i = 0; i < length; i++)
        fprintf(out, "%02x", bytes[i]);
    fputc('\n', out);
}

static size_t run_length(const unsigned char *bytes, size_t length)
{
    size_t run = 1;

    while (run < length && bytes[run] == bytes[0])
        run++;
    return run;
}

/* Runs of one byte, zeros left out, and the rest by lines of up to 32 bytes. */
static void print_page(FILE *out, uint64_t at, const unsigned char *bytes, size_t length)
{
    size_t plain = 0;

    for (size_t i = 0; i < length;) {
        const size_t run = run_length(bytes + i, length - i);

        if (run < 12 && i - plain < 32) {
            i += run;
            continue;
        }
        if (i > plain)
            print_bytes(out, at + plain, bytes + plain, i - plain);
        if (run >= 12) {
            if (bytes[i] != 0)
                fprintf(out, "%llx %02x*%zu\n", (unsigned long long)(at + i), bytes[i], run);
            i += run;
        }
        plain = i;
    }
    if (length > plain)
        print_bytes(out, at + plain, bytes + plain, length - plain);
}

/* The machine that it was made on is not to be seen in it. */
static void make_anonymous(int fd)
{
    for (int copy = 0; copy < VI_SUPERBLOCKS; copy++) {
        struct vi_superblock s;

        MUST(pread(fd, &s, sizeof s, copy * (off_t)VI_PAGE) == sizeof s);
        if (s.magic != VI_MAGIC)
            continue;
        s.device = s.inode = 1;
        s.birth = 0;
        memset(s.boot_id, 0xb0, sizeof s.boot_id);
        s.check = vi_crc32c(0, &s, offsetof(struct vi_superblock, check));
        MUST(pwrite(fd, &s, sizeof s, copy * (off_t)VI_PAGE) == sizeof s);
    }
}

static void copy_file(int from, int to)
{
    off_t data = 0, hole = 0;

    MUST(ftruncate(to, lseek(from, 0, SEEK_END)) == 0);
    while ((data = lseek(from, hole, SEEK_DATA)) >= 0) {
        hole = lseek(from, data, SEEK_HOLE);
        while (data < hole) {
            char bytes[4096];
            const ssize_t got = pread(from, bytes, sizeof bytes, data);

            MUST(got > 0 && pwrite(to, bytes, (size_t)got, data) == got);
            data += got;
        }
    }
}

/* A file as it is now: as a process that is killed here would leave it. */
static void keep_file(const char *path, const char *name)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC), copy = memfd_create("copy", MFD_CLOEXEC);
    FILE *out = create(name);
    off_t data = 0, hole = 0;

    MUST(fd >= 0 && copy >= 0);
    copy_file(fd, copy);
    make_anonymous(copy);
    fprintf(out, "size %lld\n", (long long)lseek(copy, 0, SEEK_END));
    while ((data = lseek(copy, hole, SEEK_DATA)) >= 0) {
        hole = lseek(copy, data, SEEK_HOLE);
        for (; data < hole; data += 4096) {
            unsigned char bytes[4096];
            const ssize_t got = pread(copy, bytes, sizeof bytes, data);

            MUST(got > 0);
            print_page(out, (uint64_t)data, bytes, (size_t)got);
        }
    }
    MUST(fclose(out) == 0);
    close(fd);
    close(copy);
}

static void keep(const char *name)
{
    keep_file(PATH, name);
}

/* ---- Making them -------------------------------------------------------- */

static vista_segment *make(size_t size, unsigned flags, unsigned class, uintptr_t address)
{
    const struct vista_options options = {.force_class = class};
    const struct vista_map_options where = {.address = (void *)address};
    vista_segment *segment;

    unlink(PATH);
    random_restart();
    MUST(vista_init(&options) == 0);
    segment = vista_map(PATH, size, VISTA_CREATE | flags, &where);
    MUST(segment != NULL);
    return segment;
}

static void flat_transaction(vista_segment *segment, vista_tx *tx, unsigned state)
{
    unsigned char *base = vista_base(segment);

    for (unsigned i = 0; i < GOLDEN_RANGES; i++) {
        MUST(vista_set_range(tx, base + golden_at(state, i), golden_length(state, i)) == 0);
        memset(base + golden_at(state, i), (int)state, golden_length(state, i));
    }
}

static void heap_transaction(vista_segment *segment, vista_tx *tx, unsigned state)
{
    struct golden_root *root = vista_root(segment, 0);
    struct golden_block *b = &root->blocks[state % GOLDEN_BLOCKS],
                        *old = &root->blocks[(state + GOLDEN_BLOCKS / 2) % GOLDEN_BLOCKS];
    unsigned char *base = vista_base(segment), *block;

    MUST(vista_set_range(tx, b, sizeof *b) == 0);
    MUST(vista_set_range(tx, old, sizeof *old) == 0);
    block = vista_malloc(tx, golden_size(state));
    MUST(block != NULL);
    memset(block, (int)state, golden_size(state));
    if (old->size != 0)
        MUST(vista_free(tx, base + old->offset) == 0);
    *old = (struct golden_block){0};
    *b = (struct golden_block){(uint64_t)(block - base), golden_size(state), state};
    MUST(vista_set_range(tx, &root->state, sizeof root->state) == 0);
    root->state = state;
}

typedef void transaction(vista_segment *, vista_tx *, unsigned);

static vista_tx *begin(vista_segment *segment)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    MUST(tx != NULL);
    return tx;
}

static void committed(vista_segment *segment, transaction *what, unsigned from, unsigned to)
{
    for (unsigned state = from; state <= to; state++) {
        vista_tx *tx = begin(segment);

        what(segment, tx, state);
        MUST(vista_end_transaction(tx, 0) == 0);
    }
}

/* Kept in the midst of a commit with frees, after its commit point. */
static const char *finishing;

static vi_step_fn *steps[VI_STEPS], *real_finish;

static bool keep_and_finish(void *context, uint32_t slot, const struct vi_item *items,
                            uint32_t count)
{
    if (finishing != NULL)
        keep(finishing);
    finishing = NULL;
    return real_finish(context, slot, items, count);
}

/* From now on, of this segment. */
static void watch_finish(vista_segment *handle)
{
    struct vi_segment *segment = (struct vi_segment *)handle;

    memcpy(steps, segment->logs.steps, sizeof steps);
    real_finish = steps[VI_FINISH];
    steps[VI_FINISH] = keep_and_finish;
    segment->logs.steps = steps;
}

static const char *const errors[] = {
    [0] = "ok",
    [EBADMSG] = "EBADMSG",
    [ENOTSUP] = "ENOTSUP",
    [EUCLEAN] = "EUCLEAN",
    [ECANCELED] = "ECANCELED",
    [EINVAL] = "EINVAL",
};

/* A line of the table.  `torn`: with VISTA_ACCEPT_TORN, and then the state, blocks in the
 * heap besides the root, transactions rolled back and finished. */
static void expected(const char *name, const char *kind, int check, int read_only, int map,
                     int torn, unsigned state, unsigned rolled_back, unsigned finished)
{
    fprintf(table, "%-26s %-6s %-8s %-9s %-10s %-8s %5u %5u %5u\n", name, kind, errors[check],
            errors[read_only], errors[map], errors[torn], state, rolled_back, finished);
}

static void flats(unsigned class, const char *suffix, uintptr_t address, unsigned flags)
{
    vista_segment *segment = make(GOLDEN_FLAT, VISTA_NO_HEAP | flags, class, address);
    char name[64];

    committed(segment, flat_transaction, 1, DONE);
    MUST(vista_unmap(segment) == 0);
    snprintf(name, sizeof name, "flat-clean-%s", suffix);
    keep(name);
    expected(name, "flat", 0, 0, 0, 0, DONE, 0, 0);
    segment = vista_map(PATH, 0, 0, NULL);
    MUST(segment != NULL);
    flat_transaction(segment, begin(segment), DONE + 1);
    MUST(vista_set_range(begin(segment), (char *)vista_base(segment) + 255000, 100) == 0);
    snprintf(name, sizeof name, "flat-open-%s", suffix);
    keep(name);
    expected(name, "flat", 0, EUCLEAN, ECANCELED, 0, DONE, 2, 0);
    unlink(PATH); /* and leave it mapped: addresses differ */
}

/* More transactions open than there are near slots. */
static void many(uintptr_t address)
{
    vista_segment *segment = make(GOLDEN_FLAT, VISTA_NO_HEAP, VISTA_CLASS_KILL, address);

    committed(segment, flat_transaction, 1, DONE);
    for (unsigned i = 0; i < VI_SLOTS_NEAR + 6; i++) {
        unsigned char *at = (unsigned char *)vista_base(segment) + 64 * (size_t)i;

        MUST(vista_set_range(begin(segment), at, 64) == 0);
        memset(at, 0x77, 64);
    }
    keep("flat-open-many");
    expected("flat-open-many", "flat", 0, EUCLEAN, ECANCELED, 0, DONE, VI_SLOTS_NEAR + 6, 0);
    unlink(PATH);
}

static void heaps(unsigned class, const char *suffix, uintptr_t address, unsigned flags)
{
    vista_segment *segment = make(1 << 20, flags, class, address);
    struct golden_root *root = vista_root(segment, sizeof *root);
    char name[64], midst[64];
    vista_tx *tx, *other;
    void *block;

    MUST(root != NULL);
    committed(segment, heap_transaction, 1, 2 * DONE);
    MUST(vista_unmap(segment) == 0);
    snprintf(name, sizeof name, "heap-clean-%s", suffix);
    keep(name);
    expected(name, "heap", 0, 0, 0, 0, 2 * DONE, 0, 0);
    segment = vista_map(PATH, 0, 0, NULL);
    MUST(segment != NULL);
    other = begin(segment); /* all that can be pending */
    block = vista_malloc(other, 300);
    MUST(block != NULL && vista_free(other, block) == 0);
    MUST(vista_malloc(other, 70000) != NULL);
    block = vista_calloc(other, 10, 10);
    MUST(block != NULL && vista_set_range(other, block, 10) == 0); /* and now it is in the file */
    tx = begin(segment);
    heap_transaction(segment, tx, 2 * DONE + 1);
    snprintf(name, sizeof name, "heap-open-%s", suffix);
    keep(name);
    expected(name, "heap", 0, EUCLEAN, ECANCELED, 0, 2 * DONE, 2, 0);
    snprintf(midst, sizeof midst, "heap-finishing-%s", suffix);
    watch_finish(segment);
    finishing = midst;
    MUST(vista_end_transaction(tx, 0) == 0);
    MUST(finishing == NULL);
    expected(midst, "heap", 0, EUCLEAN, ECANCELED, 0, 2 * DONE + 1, 1, 1);
    unlink(PATH);
}

/* ---- Broken ones: another, with some bytes changed ----------------------- */

static void broken(const char *name, const char *from, uint64_t at, const void *bytes,
                   size_t length)
{
    FILE *out = create(name);

    fprintf(out, "from %s\n", from);
    print_bytes(out, at, bytes, length);
    MUST(fclose(out) == 0);
}

static void broken_word(const char *name, const char *from, uint64_t at, uint64_t word)
{
    broken(name, from, at, &word, sizeof word);
}

/* With a superblock changed and its checksum right again, in both copies. */
static void with_superblock(const char *name, const char *from, size_t field, uint64_t value,
                            size_t length)
{
    FILE *out = create(name);

    fprintf(out, "from %s\n", from);
    for (int copy = 0; copy < VI_SUPERBLOCKS; copy++) {
        const int fd = open(PATH, O_RDONLY | O_CLOEXEC);
        struct vi_superblock s;

        MUST(fd >= 0 && pread(fd, &s, sizeof s, copy * (off_t)VI_PAGE) == sizeof s);
        s.device = s.inode = 1;
        memset(s.boot_id, 0xb0, sizeof s.boot_id);
        memcpy((char *)&s + field, &value, length);
        s.check = vi_crc32c(0, &s, offsetof(struct vi_superblock, check));
        print_bytes(out, (uint64_t)copy * VI_PAGE, (unsigned char *)&s, sizeof s);
        close(fd);
    }
    MUST(fclose(out) == 0);
}

#define SUPERBLOCK(name, field, value, check, read_only, map) \
    do { \
        with_superblock(name, clean, offsetof(struct vi_superblock, field), value, \
                        sizeof((struct vi_superblock *)0)->field < 8 \
                            ? sizeof((struct vi_superblock *)0)->field \
                            : 8); \
        expected(name, "heap", check, read_only, map, map, 2 * DONE, 0, 0); \
    } while (0)

static void breakage(uintptr_t address)
{
    static const unsigned char junk[256] = {0xff, 1, 2, 3};
    const char *clean = "base";
    vista_segment *segment = make(1 << 20, 0, VISTA_CLASS_KILL, address);
    struct golden_root *root = vista_root(segment, sizeof *root);
    struct vi_superblock s;
    struct vista_info info;
    int fd;

    MUST(root != NULL && vista_info(segment, &info) == 0);
    committed(segment, heap_transaction, 1, 2 * DONE);
    MUST(vista_unmap(segment) == 0);
    fd = open(PATH, O_RDONLY | O_CLOEXEC);
    MUST(fd >= 0 && pread(fd, &s, sizeof s, 0) == sizeof s);
    close(fd);
    keep(clean);
    expected(clean, "heap", 0, 0, 0, 0, 2 * DONE, 0, 0);

    SUPERBLOCK("other-magic", magic, VI_MAGIC + 1, EBADMSG, EBADMSG, EBADMSG);
    SUPERBLOCK("other-byte-order", magic, VI_MAGIC_SWAPPED, ENOTSUP, ENOTSUP, ENOTSUP);
    SUPERBLOCK("version-0", version, 0, ENOTSUP, ENOTSUP, ENOTSUP);
    SUPERBLOCK("must-feature-63", features_must, (uint64_t)1 << 63 | 1, ENOTSUP, ENOTSUP, ENOTSUP);
    SUPERBLOCK("read-only-feature-63", features_read_only, (uint64_t)1 << 63, 0, 0, ENOTSUP);
    SUPERBLOCK("may-feature-63", features_may, (uint64_t)1 << 63, 0, 0, 0);
    SUPERBLOCK("address-unaligned", address, s.address + 8, EBADMSG, EBADMSG, EBADMSG);
    SUPERBLOCK("size-0", size, 0, EBADMSG, EBADMSG, EBADMSG);
    SUPERBLOCK("size-over-maximum", size, s.max_size + 4096, EBADMSG, EBADMSG, EBADMSG);
    SUPERBLOCK("chunks-elsewhere", chunks_offset, s.chunks_offset + 65536, EBADMSG, EBADMSG,
               EBADMSG);
    SUPERBLOCK("layout-named", layout, 0x31206b6e6162, 0, 0, 0); /* "bank 1" */
    SUPERBLOCK("lasting-words", lasting[6], ~(uint64_t)0, 0, 0, 0);
    SUPERBLOCK("opening-words", opening[5], ~(uint64_t)0, 0, 0, 0);
    SUPERBLOCK("reserved-0", reserved0, UINT32_MAX, 0, 0, 0);
    SUPERBLOCK("reserved-1", reserved1, UINT32_MAX, 0, 0, 0);
    SUPERBLOCK("reserved-2", reserved2[1], ~(uint64_t)0, 0, 0, 0);
    SUPERBLOCK("reserved-3", reserved3, UINT32_MAX, 0, 0, 0);
    SUPERBLOCK("class-unknown", log_class, 9, EBADMSG, EBADMSG, EBADMSG);
    SUPERBLOCK("clean-unknown", clean, 2, EBADMSG, EBADMSG, EBADMSG);

    broken("copy-0-damaged", clean, 0, junk, sizeof junk);
    expected("copy-0-damaged", "heap", 0, 0, 0, 0, 2 * DONE, 0, 0);
    broken("copy-1-damaged", clean, VI_PAGE, junk, sizeof junk);
    expected("copy-1-damaged", "heap", 0, 0, 0, 0, 2 * DONE, 0, 0);
    broken_word("slots-too-many", clean, VI_LOG_OFFSET, VI_SLOTS + 1);
    expected("slots-too-many", "heap", EBADMSG, 0, EBADMSG, EBADMSG, 2 * DONE, 0, 0);
    broken_word("slot-of-another", clean, VI_SLOTS_OFFSET, 7 << 13 | 5 << 1);
    expected("slot-of-another", "heap", EBADMSG, 0, EBADMSG, EBADMSG, 2 * DONE, 0, 0);
    /* The first record's address. */
    broken_word("record-outside", "flat-open-kill",
                VI_SLOTS_OFFSET + sizeof(struct vi_slot_header) + 16, 1);
    expected("record-outside", "flat", EBADMSG, EUCLEAN, ECANCELED, EBADMSG, DONE, 0, 0);
    broken_word("descriptor-too-long", clean, s.heap_offset + VI_PAGE,
                VI_SPAN(VI_SPAN_LARGE, 1000000, 0));
    expected("descriptor-too-long", "any", EBADMSG, 0, 0, EBADMSG, 0, 0, 0);
    broken_word("root-outside", clean, s.heap_offset, s.size);
    expected("root-outside", "any", EBADMSG, 0, 0, EBADMSG, 0, 0, 0);
    unlink(PATH);

    /* A file cut short, and what the death of its maker leaves. */
    FILE *out = create("truncated");
    fprintf(out, "from %s\nsize %llu\n", clean,
            (unsigned long long)(s.data_offset + s.size - 4096));
    MUST(fclose(out) == 0);
    expected("truncated", "any", EBADMSG, EBADMSG, EBADMSG, EBADMSG, 0, 0, 0);
    out = create("creation-killed");
    fprintf(out, "size %llu\n", (unsigned long long)(s.data_offset + s.size));
    MUST(fclose(out) == 0);
    expected("creation-killed", "any", EBADMSG, EBADMSG, EBADMSG, EBADMSG, 0, 0, 0);
    out = create("empty");
    fprintf(out, "size 0\n");
    MUST(fclose(out) == 0);
    expected("empty", "any", EBADMSG, EBADMSG, EBADMSG, EBADMSG, 0, 0, 0);
}

/* ---- The disk class ----------------------------------------------------- */

/* Some bytes of another one are zero: of the ring, or of a redo log. */
static void blank(const char *name, const char *from, uint64_t at, uint64_t length)
{
    FILE *out = create(name);

    fprintf(out, "from %s\n", from);
    for (uint64_t part; length != 0; at += part, length -= part) {
        part = length < 1 << 20 ? length : 1 << 20;
        fprintf(out, "%llx 00*%llu\n", (unsigned long long)at, (unsigned long long)part);
    }
    MUST(fclose(out) == 0);
}

/* With one record more, in the ring, of one item. */
static void with_record(const char *name, const char *from, const struct vi_disk_left *left,
                        struct vi_redo_item item)
{
    const struct vi_disk_area *area = &left->area;
    struct {
        struct vi_redo_record record;
        struct vi_redo_item item;
        uint64_t value;
    } more = {{.bytes = sizeof more,
               .lsn = left->end.lsn,
               .previous = left->end.previous,
               .epoch = area->epoch,
               .items = 1},
              item,
              0x7777777777777777};

    more.record.check = vi_disk_check(area, &more.record);
    broken(name, from, area->ring_offset + more.record.lsn % area->ring_size, &more, sizeof more);
}

static void damaged(const char *name)
{
    expected(name, "flat", EBADMSG, EUCLEAN, ECANCELED, EBADMSG, 0, 0, 0);
}

/* What of a redo log that was left makes a difference; up to `flushed` all are in the log. */
static void redo_logs(const char *from, unsigned flushed)
{
    static const unsigned char junk[64] = {0xff, 1, 2, 3};
    const struct vi_file file = {.path = PATH, .fd = open(PATH, O_RDONLY | O_CLOEXEC)};
    struct vi_superblock s;
    struct vi_disk_area area;
    struct vi_disk_left left;
    uint64_t header;

    MUST(file.fd >= 0 && pread(file.fd, &s, sizeof s, 0) == sizeof s);
    area = vi_disk_area_of(&file, &s);
    MUST(vi_disk_load(&left, &area, s.chunks_offset + s.chunks_size) == 0);
    area = left.area;
    blank("redo-log-alone", from, area.ring_offset, area.ring_size);
    expected("redo-log-alone", "flat", 0, EUCLEAN, ECANCELED, 0, flushed, 0, 0);
    blank("redo-ring-alone", from, area.log_offset, area.log_size);
    expected("redo-ring-alone", "flat", 0, EUCLEAN, ECANCELED, 0, flushed + 1, 0, 0);
    blank("redo-lost", "redo-log-alone", area.log_offset + left.head.lsn % area.log_size, 4096);
    damaged("redo-lost");
    header = area.headers_offset + area.generation % VI_REDO_HEADERS * VI_REDO_BLOCK;
    broken("redo-header-of-before", from,
           area.headers_offset + (area.generation + 1) % VI_REDO_HEADERS * VI_REDO_BLOCK, junk,
           sizeof junk);
    expected("redo-header-of-before", "flat", 0, EUCLEAN, ECANCELED, 0, flushed + 1, 0, 0);
    broken("redo-headers", "redo-header-of-before", header, junk, sizeof junk);
    damaged("redo-headers");
    with_record("redo-kind-skipped", from, &left,
                (struct vi_redo_item){s.data_offset, 8, 0, VI_REDO_SKIPPED});
    expected("redo-kind-skipped", "flat", 0, EUCLEAN, ECANCELED, 0, flushed + 1, 0, 0);
    with_record("redo-kind-unknown", from, &left,
                (struct vi_redo_item){s.data_offset, 8, 0, VI_REDO_KINDS});
    damaged("redo-kind-unknown");
    with_record("redo-item-outside", from, &left, (struct vi_redo_item){0, 8, 0, VI_REDO_BYTES});
    damaged("redo-item-outside");
    with_record("redo-member-unknown", from, &left,
                (struct vi_redo_item){s.data_offset, 8, 3, VI_REDO_BYTES});
    expected("redo-member-unknown", "flat", EBADMSG, EUCLEAN, ECANCELED, 0, flushed + 1, 0, 0);
    vi_disk_unload(&left);
    close(file.fd);
}

/* Clean; and with commits that are not yet in the data, the last of them in the ring alone, and a
 * transaction open. */
static void disks(size_t size, unsigned flags, transaction *what, const char *kind,
                  uintptr_t address)
{
    vista_segment *segment = make(size, flags, VISTA_CLASS_DISK, address);
    char clean[64], left_open[64];
    vista_tx *tx;

    snprintf(clean, sizeof clean, "%s-clean-disk", kind);
    snprintf(left_open, sizeof left_open, "%s-open-disk", kind);
    if (!(flags & VISTA_NO_HEAP))
        MUST(vista_root(segment, sizeof(struct golden_root)) != NULL);
    committed(segment, what, 1, DONE);
    MUST(vista_unmap(segment) == 0);
    keep(clean);
    expected(clean, kind, 0, 0, 0, 0, DONE, 0, 0);
    segment = vista_map(PATH, 0, 0, NULL);
    MUST(segment != NULL);
    committed(segment, what, DONE + 1, DONE + 3);
    tx = begin(segment);
    what(segment, tx, DONE + 4);
    MUST(vista_end_transaction(tx, VISTA_NO_FLUSH) == 0);
    what(segment, begin(segment), DONE + 5);
    keep(left_open);
    expected(left_open, kind, 0, EUCLEAN, ECANCELED, 0, DONE + 4, 0, 0);
    if (flags & VISTA_NO_HEAP)
        redo_logs(left_open, DONE + 3);
    unlink(PATH); /* and leave it mapped: addresses differ */
}

/* One transaction over home and its member. */
static void commit_both(vista_segment **both, unsigned state, unsigned mode)
{
    vista_tx *tx = begin(both[0]);

    flat_transaction(both[0], tx, state);
    flat_transaction(both[1], tx, state);
    MUST(vista_end_transaction(tx, mode) == 0);
}

/* Two flat segments that share a log, as `disks` leaves one: with commits that are not yet in the data. */
static void group(void)
{
    vista_segment *both[2] = {make(GOLDEN_FLAT, VISTA_NO_HEAP, VISTA_CLASS_DISK, 0x551b00000000)};
    const struct vista_map_options options = {.address = (void *)0x551c00000000, .log = both[0]};

    unlink(MEMBER);
    both[1] = vista_map(MEMBER, GOLDEN_FLAT, VISTA_CREATE | VISTA_NO_HEAP, &options);
    MUST(both[1] != NULL);
    for (unsigned state = 1; state <= DONE; state++)
        commit_both(both, state, 0);
    MUST(vista_unmap(both[1]) == 0 && vista_unmap(both[0]) == 0);
    both[0] = vista_map(PATH, 0, 0, NULL);
    both[1] = vista_map(MEMBER, 0, 0, &(struct vista_map_options){.log = both[0]});
    MUST(both[0] != NULL && both[1] != NULL);
    for (unsigned state = DONE + 1; state <= DONE + 3; state++)
        commit_both(both, state, 0);
    commit_both(both, DONE + 4, VISTA_NO_FLUSH);
    flat_transaction(both[1], begin(both[0]), DONE + 5);
    keep("home");
    keep_file(MEMBER, "member");
    unlink(PATH);
    unlink(MEMBER);
}

int main(int argc, char **argv)
{
    const char *what = argc == 3 ? argv[2] : "";
    char path[512];

    if (argc < 2 || argc > 3 ||
        (argc == 3 && strcmp(what, "disk") != 0 && strcmp(what, "group") != 0)) {
        fprintf(stderr, "usage: golden_generate FOLDER [disk|group]\n");
        return 2;
    }
    folder = argv[1];
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        stop(folder);
    if (strcmp(what, "group") == 0)
        return group(), 0;
    snprintf(path, sizeof path, "%s/table", folder);
    table = fopen(path, "wxe");
    if (table == NULL)
        stop(path);
    fprintf(table, "# %-24s %-6s %-8s %-9s %-10s %-8s %5s %5s %5s\n", "file", "holds", "check",
            "read-only", "map", "torn", "state", "undone", "finished");
    if (argc == 3) {
        disks(GOLDEN_FLAT, VISTA_NO_HEAP, flat_transaction, "flat", 0x551900000000);
        disks(1 << 20, 0, heap_transaction, "heap", 0x551a00000000);
        MUST(fclose(table) == 0);
        return 0;
    }
    flats(VISTA_CLASS_KILL, "kill", 0x551000000000, 0);
    flats(VISTA_CLASS_LINE, "line", 0x551100000000, 0);
    flats(VISTA_CLASS_KILL, "sparse", 0x551200000000, VISTA_SPARSE);
    many(0x551800000000);
    heaps(VISTA_CLASS_KILL, "kill", 0x551300000000, 0);
    heaps(VISTA_CLASS_LINE, "line", 0x551400000000, 0);
    heaps(VISTA_CLASS_EADR, "eadr", 0x551500000000, 0);
    heaps(VISTA_CLASS_KILL, "sparse", 0x551600000000, VISTA_SPARSE);
    breakage(0x551700000000);
    MUST(fclose(table) == 0);
    return 0;
}
