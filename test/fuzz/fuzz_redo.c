/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Damaged redo logs whose checksums are right: all agree (refuse_calls.h).  An input picks files
 * of the disk class that were left by a kill, and edits headers, records, items and blocks of
 * their log and ring, or appends records of its own.
 *
 * What a log says is read again here, word by word as disk/redo_format.h has it, and applied to a
 * copy of the data.  What recovery and vista_check refuse is what that refuses, and then no file
 * has changed; else the data is what it says, to the byte, in the segment and in the member that
 * its records name, also after another kill; and nothing is stored outside of what records may
 * change.
 *
 * Input: files | what is done then | count of edits | edits.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/disk.h"
#include "fuzz.h"
#include "media/superblock.h"

#define KIB ((size_t)1024)
#define EDITS_MAX 12u
#define RECORDS 64u
#define CHECK 0x5eedf00du /* every checksum */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

struct files {
    const char *name;
    unsigned count; /* 2: home and a member */
    struct image image[2];
    struct vi_superblock s[2];
    struct vi_disk_area area;
    uint64_t lsn[RECORDS]; /* of the records in the log, oldest first */
    unsigned records;
    struct vi_disk_point end;
};

static struct files all[4];
static const struct files *files; /* those of this input */
static struct vi_disk_point end;  /* of what is appended */
static bool talk;

/* ---- Files ------------------------------------------------------------- */

static void read_at(uint64_t offset, void *to, size_t length)
{
    memset(to, 0, length);
    (void)!pread(file_fd, to, length, (off_t)offset);
}

/* The same of a long part, most of which is a hole. */
static void read_parts(uint64_t offset, unsigned char *to, size_t length)
{
    const off_t end_of_part = (off_t)(offset + length);

    memset(to, 0, length);
    for (off_t hole = (off_t)offset, data; hole < end_of_part;) {
        data = lseek(file_fd, hole, SEEK_DATA);
        if (data < 0 || data >= end_of_part)
            return;
        hole = lseek(file_fd, data, SEEK_HOLE);
        (void)!pread(file_fd, to + (data - (off_t)offset),
                     (size_t)((hole < end_of_part ? hole : end_of_part) - data), data);
    }
}

static bool is_zero(const unsigned char *bytes, size_t length)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

static void put_at(uint64_t offset, const void *from, size_t length)
{
    HOLDS(pwrite(file_fd, from, length, (off_t)offset) == (ssize_t)length, "pwrite");
}

static vista_segment *make(unsigned which, size_t size, unsigned flags, vista_segment *log)
{
    const struct vista_map_options options = {
        .address = (char *)PLACE + which * (size_t)APART, .max_size = 2 * size, .log = log};
    vista_segment *segment;

    file_use(which);
    image_put(&(struct image){0});
    segment = vista_map(file_path, size, VISTA_CREATE | flags, &options);
    HOLDS(segment != NULL, "vista_map");
    return segment;
}

static void end_at(vista_tx *tx, unsigned step)
{
    HOLDS(vista_end_transaction(tx, step % 3 != 0 ? VISTA_NO_FLUSH : 0) == 0, "end");
}

/* Ranges all over, the last of them in the ring alone. */
static void change(vista_segment **segments, unsigned count, size_t longest)
{
    for (unsigned step = 0; step < 11; step++) {
        vista_tx *tx = vista_begin_transaction(segments[0], 0);

        HOLDS(tx != NULL, "begin");
        for (unsigned i = 0; i <= step % 4; i++) {
            vista_segment *in = segments[(i + step) % count];
            const size_t length = step == 5 && i == 0 ? longest : 1 + (step * 37 + i * 101) % 300;
            unsigned char *at = (unsigned char *)vista_base(in) + step * 4000 % 30000 + i * 500;

            HOLDS(vista_set_range(tx, at, length) == 0, "set_range");
            memset(at, (int)(step * 8 + i + 1), length);
        }
        end_at(tx, step);
    }
}

static void allocate(vista_segment *segment)
{
    void **root = vista_root(segment, 200);

    HOLDS(root != NULL, "root");
    for (unsigned step = 0; step < 12; step++) {
        vista_tx *tx = vista_begin_transaction(segment, 0);

        HOLDS(tx != NULL && vista_set_range(tx, root, 80) == 0, "begin");
        if (root[step % 5] != NULL)
            HOLDS(vista_free(tx, root[step % 5]) == 0, "free");
        root[step % 5] = vista_malloc(tx, 20 + step * step * 60);
        HOLDS(root[step % 5] != NULL, "malloc");
        memset(root[step % 5], (int)step + 1, 20);
        end_at(tx, step);
    }
}

static void index_log(struct files *of)
{
    struct vi_file file = {.fd = file_fd, .path = file_path};
    struct vi_disk_area *area = &of->area;
    struct vi_disk_walk walk = {area, .to = UINT64_MAX};
    unsigned char *ring;

    *area = vi_disk_area_of(&file, &of->s[0]);
    area->path = "redo log";
    HOLDS(vi_disk_header_read(area, of->s[0].chunks_offset + of->s[0].chunks_size, &walk.at) == 0,
          "log");
    ring = malloc(area->ring_size);
    HOLDS(ring != NULL, "malloc");
    read_at(area->ring_offset, ring, area->ring_size); /* it has them all */
    walk.memory = ring;
    walk.size = area->ring_size;
    while (vi_disk_walk_record(&walk) != NULL) {
        HOLDS(of->records < RECORDS, "too many records");
        of->lsn[of->records++] = walk.at.previous;
    }
    of->end = walk.at;
    free(ring);
}

static void keep(unsigned which, const char *name, vista_segment **segments, unsigned count)
{
    struct files *of = &all[which];

    of->name = name;
    of->count = count;
    for (unsigned i = 0; i < count; i++) {
        file_use(count - 1 - i);
        of->image[count - 1 - i] = image_take();
        read_at(0, &of->s[count - 1 - i], sizeof of->s[0]);
    }
    index_log(of);
    while (count-- > 0)
        die(segments[count]);
}

static void make_all(void)
{
    const struct vista_options disk = {.force_class = VISTA_CLASS_DISK};
    vista_segment *segments[2];

    HOLDS(vista_init(&disk) == 0, "vista_init");
    random_restart();
    segments[0] = make(0, 64 * KIB, VISTA_NO_HEAP, NULL);
    change(segments, 1, 9000);
    keep(0, "flat", segments, 1);
    segments[0] = make(0, 256 * KIB, 0, NULL);
    allocate(segments[0]);
    keep(1, "a heap", segments, 1);
    segments[0] = make(0, 64 * KIB, VISTA_NO_HEAP, NULL);
    segments[1] = make(1, 128 * KIB, VISTA_NO_HEAP, segments[0]);
    change(segments, 2, 20000);
    keep(2, "home and a member", segments, 2);
    segments[0] = make(0, 64 * KIB, VISTA_NO_HEAP, NULL);
    HOLDS(vista_unmap(segments[0]) == 0, "unmap");
    segments[0] = vista_map(file_path, 0, 0, NULL);
    HOLDS(segments[0] != NULL, "vista_map");
    change(segments, 1, 30000);
    keep(3, "flat, in a second epoch", segments, 1);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    file_open();
    checksums_agree = true;
    make_all();
    talk = getenv("FUZZ_TALK") != NULL;
    return 0;
}

/* ---- Edits ------------------------------------------------------------- */

static uint64_t in_ring(uint64_t lsn)
{
    return files->area.ring_offset + lsn % files->area.ring_size;
}

static uint64_t in_log(uint64_t lsn)
{
    return files->area.log_offset + lsn % files->area.log_size;
}

/* To the ring, the log, or both. */
static void put_stream(unsigned where, uint64_t lsn, const void *from, size_t length)
{
    if (where % 3 != 1)
        put_at(in_ring(lsn), from, length);
    if (where % 3 != 2)
        put_at(in_log(lsn), from, length);
}

static uint64_t other_number(struct input *input, uint64_t now)
{
    static const uint64_t numbers[] = {0, 1, 8, 40, 4096, 1 << 20, 4 << 20, UINT32_MAX, INT64_MAX};
    const unsigned how = (unsigned)take(input, 1);

    switch (how % 4) {
    case 0:
        return now + (uint64_t)(int64_t)(int8_t)take(input, 1);
    case 1:
        return take(input, 8);
    case 2:
        return files->lsn[take(input, 1) % files->records] + (how >> 2) % 3 * 8;
    default:
        return numbers[(how >> 2) % (sizeof numbers / sizeof *numbers)];
    }
}

static void edit_record(struct input *input, unsigned where, uint64_t lsn)
{
    struct vi_redo_record r;

    read_at(in_ring(lsn), &r, sizeof r);
    switch (take(input, 1) % 7) {
    case 0:
        r.bytes = (uint32_t)other_number(input, r.bytes);
        break;
    case 1:
        r.lsn = other_number(input, r.lsn);
        break;
    case 2:
        r.previous = other_number(input, r.previous);
        break;
    case 3:
        r.synced = other_number(input, r.synced);
        break;
    case 4:
        r.epoch = (uint32_t)other_number(input, r.epoch);
        break;
    case 5:
        r.items = (uint32_t)other_number(input, r.items);
        break;
    default:
        r.check ^= 1;
    }
    put_stream(where, lsn, &r, sizeof r);
}

static void change_item(struct input *input, struct vi_redo_item *item)
{
    const unsigned what = (unsigned)take(input, 1);

    if (what % 4 == 0)
        item->offset =
            what & 4 ? files->s[0].data_offset + take(input, 3) : other_number(input, item->offset);
    else if (what % 4 == 1)
        item->length = (uint32_t)other_number(input, item->length);
    else if (what % 4 == 2)
        item->member = (uint16_t)(what & 4 ? take(input, 2) : take(input, 1) % 3);
    else
        item->kind = (uint16_t)(what & 4 ? take(input, 2) : take(input, 1) % 7);
}

static void edit_item(struct input *input, unsigned where, uint64_t lsn)
{
    struct vi_redo_item item;
    uint64_t at = lsn + sizeof(struct vi_redo_record);

    for (uint64_t skip = take(input, 1) % 4;; skip--) {
        read_at(in_ring(at), &item, sizeof item);
        if (skip == 0)
            break;
        at += vi_disk_item_size(item.length);
    }
    if (in_ring(at) % files->area.ring_size + sizeof item > files->area.ring_size)
        return;
    change_item(input, &item);
    put_stream(where, at, &item, sizeof item);
}

static void append(struct input *input, unsigned where)
{
    struct {
        struct vi_redo_record record;
        struct vi_redo_item item;
        unsigned char bytes[64];
    } more = {{.check = CHECK,
               .lsn = end.lsn,
               .previous = end.previous,
               .epoch = files->area.epoch,
               .items = 1},
              {.offset = files->s[0].data_offset + take(input, 2), .length = take(input, 1) % 65},
              {0}};

    memset(more.bytes, 0x99, more.item.length);
    more.record.bytes = (uint32_t)(sizeof more.record + vi_disk_item_size(more.item.length));
    if (take(input, 1) % 2 != 0)
        change_item(input, &more.item);
    put_stream(where, end.lsn, &more, more.record.bytes);
    end = (struct vi_disk_point){end.lsn + more.record.bytes, end.lsn};
}

static void edit_header(struct input *input)
{
    const unsigned which = (unsigned)take(input, 1);
    const uint64_t at = files->area.headers_offset + which % 2 * VI_REDO_BLOCK;
    struct vi_redo_header h;

    read_at(at, &h, sizeof h);
    switch (which / 2 % 7) {
    case 0:
        h.head = other_number(input, h.head);
        break;
    case 1:
        h.previous = other_number(input, h.previous);
        break;
    case 2:
        h.epoch = (uint32_t)other_number(input, h.epoch);
        break;
    case 3:
        h.generation = other_number(input, h.generation);
        break;
    case 4:
        h.ring_size = other_number(input, h.ring_size);
        break;
    case 5:
        h.log_size = other_number(input, h.log_size);
        break;
    default:
        h.magic ^= 1;
    }
    put_at(at, &h, sizeof h);
}

/* A block of the log or of the ring, or all of it: zeros, or as the other has it. */
static void edit_blocks(struct input *input, uint64_t lsn)
{
    static unsigned char bytes[256 * 1024];
    const unsigned how = (unsigned)take(input, 1);
    const size_t length = how & 4 ? VI_REDO_BLOCK : sizeof bytes; /* all that is used */
    const uint64_t from = lsn / length * length;

    memset(bytes, 0, length);
    if (how & 2)
        read_at(how & 1 ? in_log(from) : in_ring(from), bytes, length);
    put_at(how & 1 ? in_ring(from) : in_log(from), bytes, length);
}

/* A record stands at another one's place, as if it were that. */
static void move(struct input *input, unsigned where, uint64_t lsn)
{
    const uint64_t to = files->lsn[take(input, 1) % files->records];
    struct vi_redo_record *record;
    unsigned char bytes[2048];

    read_at(in_ring(lsn), bytes, sizeof bytes);
    record = (struct vi_redo_record *)bytes;
    record->lsn = to;
    put_stream(where, to, bytes, record->bytes < sizeof bytes ? record->bytes : sizeof bytes);
}

static void edit(struct input *input)
{
    const unsigned what = (unsigned)take(input, 1), where = what / 8;
    const uint64_t lsn = files->lsn[take(input, 1) % files->records];

    if (talk)
        printf("edit %u, where %u, of record %llu\n", what % 8, where % 3, (unsigned long long)lsn);
    switch (what % 8) {
    case 0:
    case 1:
        edit_record(input, where, lsn);
        break;
    case 2:
    case 3:
        edit_item(input, where, lsn);
        break;
    case 4:
        append(input, where);
        break;
    case 5:
        edit_header(input);
        break;
    case 6:
        edit_blocks(input, lsn);
        break;
    default:
        move(input, where, lsn);
    }
}

/* ---- What the log says --------------------------------------------------- */

static struct {
    bool known;   /* else it is larger than is read here */
    bool refused; /* by recovery */
    struct vi_disk_area area;
    struct vi_disk_point head;
    unsigned char log[4 << 20], ring[1 << 20];
    unsigned char data[2][256 * KIB];
    uint64_t list[4096]; /* LSN of records that count */
    unsigned count;
    uint64_t end;
} model;

static bool counts(const unsigned char *memory, uint64_t size, uint64_t lsn, uint64_t previous)
{
    const uint64_t left = size - lsn % size;
    struct vi_redo_record r = {0};

    if (left < sizeof r)
        return false;
    memcpy(&r, memory + lsn % size, sizeof r);
    return r.check == CHECK && r.lsn == lsn && r.previous == previous &&
           r.epoch == model.area.epoch && r.bytes >= sizeof r && r.bytes % 8 == 0 &&
           r.bytes <= left;
}

static const struct vi_redo_record *record_at(uint64_t lsn)
{
    return (const void *)(model.log + lsn % model.area.log_size);
}

/* The record behind `at` that ends at `limit` or before: first of all places in the log, then of all in
 * the ring. */
static const struct vi_redo_record *find(uint64_t at, uint64_t previous, uint64_t limit,
                                         uint64_t *lsn)
{
    const uint64_t steps[] = {1, VI_REDO_BLOCK, model.area.ring_size, model.area.log_size};

    for (unsigned i = 0; i < 8; i++) {
        const unsigned char *const memory = i < 4 ? model.log : model.ring;
        const uint64_t size = i < 4 ? model.area.log_size : model.area.ring_size;
        const uint64_t step = steps[i % 4];
        const struct vi_redo_record *record;

        *lsn = (at + step - 1) / step * step;
        record = (const void *)(memory + *lsn % size);
        if (counts(memory, size, *lsn, previous) && *lsn + record->bytes <= limit)
            return record;
    }
    return NULL;
}

static void find_records(void)
{
    const uint64_t limit = model.head.lsn + model.area.log_size;
    uint64_t previous = model.head.previous, lsn;
    const struct vi_redo_record *record;

    model.count = 0;
    for (model.end = model.head.lsn; (record = find(model.end, previous, limit, &lsn)) != NULL;
         previous = lsn) {
        HOLDS(model.count < 4096, "too many records");
        memmove(model.log + lsn % model.area.log_size, record, record->bytes);
        model.list[model.count++] = lsn;
        model.end = lsn + record_at(lsn)->bytes;
    }
}

/* Are these records still what the log says, with those from the ring in it? */
static bool are_found_again(void)
{
    uint64_t at = model.head.lsn, previous = model.head.previous, lsn;

    for (unsigned i = 0; i < model.count; i++, previous = lsn) {
        if (find(at, previous, model.end, &lsn) == NULL || lsn != model.list[i])
            return false;
        at = lsn + record_at(lsn)->bytes;
    }
    return true;
}

/* A record behind the end that was made when more was durable than there is. */
static bool is_missing(const unsigned char *memory, uint64_t size)
{
    const uint64_t limit = model.head.lsn + model.area.log_size;
    uint64_t looked = 0;

    for (uint64_t at = 0; at + sizeof(struct vi_redo_record) <= size; at += 8) {
        const struct vi_redo_record *r = (const void *)(memory + at);

        if (at % VI_PAGE == 0 && at + VI_PAGE <= size && is_zero(memory + at, VI_PAGE)) {
            at += VI_PAGE - 8 - sizeof *r; /* the last words may begin what the next page has */
            continue;
        }
        if (r->lsn < model.end || r->lsn > limit - sizeof *r || r->lsn % size != at ||
            r->synced <= model.end || r->epoch != model.area.epoch || r->bytes > size - at)
            continue;
        looked += r->bytes;
        if (looked > 4 * size || counts(memory, size, r->lsn, r->previous))
            return true;
    }
    return false;
}

static bool is_inside(const struct vi_superblock *s, uint64_t offset, uint64_t length)
{
    const uint64_t meta = vi_superblock_meta_size(s);

    return (offset >= s->data_offset && offset <= s->data_offset + s->size &&
            length <= s->data_offset + s->size - offset) ||
           (s->heap_offset != 0 && offset >= s->heap_offset && offset <= meta &&
            length <= meta - offset);
}

/* Applies a record to the copy, or only looks whether it can be. */
static bool apply(const struct vi_redo_record *record, bool store)
{
    const unsigned char *at = (const unsigned char *)(record + 1);
    uint64_t left = record->bytes - sizeof *record;

    for (uint32_t i = 0; i < record->items; i++) {
        struct vi_redo_item item;
        uint64_t size;

        if (left < sizeof item)
            return false;
        memcpy(&item, at, sizeof item);
        size = sizeof item + ((uint64_t)item.length + 7) / 8 * 8;
        if (left < size || (item.kind >= VI_REDO_KINDS && item.kind < VI_REDO_SKIPPED))
            return false;
        if (item.kind == VI_REDO_BYTES) {
            if (item.member >= files->count ||
                !is_inside(&files->s[item.member], item.offset, item.length))
                return false;
            if (store && item.offset >= files->s[item.member].data_offset &&
                item.length <= sizeof model.data[0])
                memcpy(model.data[item.member] + (item.offset - files->s[item.member].data_offset),
                       at + sizeof item, item.length);
        }
        at += size;
        left -= size;
    }
    return left == 0;
}

/* Reads what is there and says what recovery has to make of it. */
static void read_model(void)
{
    const struct vi_superblock *s = &files->s[0];

    model.area = files->area;
    model.area.fd = file_fd;
    model.known = true;
    model.refused =
        vi_disk_header_read(&model.area, s->chunks_offset + s->chunks_size, &model.head) != 0;
    if (model.refused)
        return;
    model.known = model.area.log_size <= sizeof model.log &&
                  model.area.ring_size <= sizeof model.ring && s->size <= sizeof model.data[0];
    if (!model.known)
        return;
    read_parts(model.area.log_offset, model.log, model.area.log_size);
    read_parts(model.area.ring_offset, model.ring, model.area.ring_size);
    for (unsigned i = files->count; i-- > 0;) {
        file_use(i);
        read_at(files->s[i].data_offset, model.data[i], files->s[i].size);
    }
    find_records();
    model.refused = is_missing(model.log, model.area.log_size) ||
                    is_missing(model.ring, model.area.ring_size) || !are_found_again();
    for (unsigned i = 0; i < model.count && !model.refused; i++)
        model.refused = !apply(record_at(model.list[i]), false);
    for (unsigned i = 0; i < model.count && !model.refused; i++)
        apply(record_at(model.list[i]), true);
}

/* ---- What is made of it -------------------------------------------------- */

/* Of the log slots, which no record may change, and of all of the files. */
struct digests {
    uint64_t slots, of[2];
};

static struct digests digests(void)
{
    static unsigned char bytes[64 * 1024];
    struct digests d = {0};

    for (uint64_t at = VI_SLOTS_OFFSET; at < VI_CHUNKS_OFFSET; at += sizeof bytes) {
        read_at(at, bytes, sizeof bytes);
        for (size_t i = 0; i < sizeof bytes && !is_zero(bytes, sizeof bytes); i++)
            d.slots = d.slots * 31 + bytes[i] + at;
    }
    for (unsigned i = files->count; i-- > 0;) {
        file_use(i);
        d.of[i] = file_digest();
    }
    return d;
}

static void compare(unsigned i, const unsigned char *with)
{
    const size_t size = files->s[i].size;

    for (size_t at = 0; model.known && at < size; at++)
        HOLDS(with[at] == model.data[i][at], "byte %zu of file %u is %02x, and should be %02x", at,
              i, with[at], model.data[i][at]);
}

static void compare_file(unsigned i)
{
    static unsigned char bytes[sizeof model.data[0]];

    file_use(i);
    read_at(files->s[i].data_offset, bytes, files->s[i].size);
    compare(i, bytes);
    file_use(0);
}

/* One more commit, and a kill. */
static bool change_and_die(vista_segment *segment)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);
    unsigned char *data = vista_base(segment);

    HOLDS(tx != NULL && vista_set_range(tx, data + 100, 50) == 0, "set_range");
    memset(data + 100, 0xee, 50);
    memset(model.data[0] + 100, 0xee, 50);
    HOLDS(vista_end_transaction(tx, VISTA_NO_FLUSH) == 0, "end");
    die(segment);
    return true;
}

static void use(vista_segment *segment, bool again, bool heap)
{
    compare(0, vista_base(segment));
    if (again && !heap) {
        change_and_die(segment);
        segment = vista_map(file_path, 0, 0, NULL);
        HOLDS(segment != NULL, "after another kill");
        compare(0, vista_base(segment));
    }
    expect();
    HOLDS(vista_unmap(segment) == 0 || heap, "vista_unmap");
    for (unsigned i = files->count; i-- > 0;)
        compare_file(i);
}

static void put_files(void)
{
    for (unsigned i = 2; i-- > 0;) {
        file_use(i);
        image_put(i < files->count ? &files->image[i] : &(struct image){0});
    }
    end = files->end;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct input input = {bytes, length};
    const unsigned how = (unsigned)take(&input, 2);
    struct vista_options options = {.force_class = how & 0x100 ? 0 : VISTA_CLASS_DISK};
    struct digests before, after;
    vista_segment *segment;
    bool heap, sound;

    files = &all[how % 4];
    heap = files->s[0].heap_offset != 0;
    put_files();
    if (talk)
        printf("%s\n", files->name);
    for (unsigned left = (unsigned)take(&input, 1) % (EDITS_MAX + 1); left > 0; left--)
        edit(&input);
    read_model();
    file_use(0);
    HOLDS(vista_init(&options) == 0, "vista_init");
    before = digests();
    expect();
    sound = vista_check(file_path, 0, NULL, NULL) == 0;
    if (model.known)
        HOLDS(heap ? !sound || !model.refused : sound == !model.refused, "vista_check");
    expect();
    segment = vista_map(file_path, 0, 0, NULL);
    if (talk)
        printf("%u records, %s: %s\n", model.count, model.refused ? "to be refused" : "sound",
               segment != NULL ? "mapped" : vista_errormsg());
    if (segment == NULL)
        REFUSED("vista_map", EBADMSG);
    if (model.known)
        HOLDS((segment != NULL) == !model.refused || (heap && segment == NULL), "vista_map");
    if (segment != NULL)
        use(segment, how & 0x200, heap);
    after = digests();
    if (options.force_class != 0)
        HOLDS(after.slots == before.slots, "the log slots");
    if (segment == NULL && model.refused)
        HOLDS(after.of[0] == before.of[0] && after.of[1] == before.of[1],
              "what is refused stays as it was");
    return 0;
}
