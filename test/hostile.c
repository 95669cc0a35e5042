/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What is forged in hostile files: see hostile.h.
 */
#include "hostile.h"

#include "core/process.h"
#include "media/superblock.h"

#define KIB ((size_t)1024)

static struct test_random *r;

static uint64_t below(uint64_t limit)
{
    return test_below(r, limit);
}

static bool one_in(uint64_t n)
{
    return below(n) == 0;
}

/* ---- Evil numbers ------------------------------------------------------- */

static uint64_t random_word(void)
{
    return test_next(r) >> below(64);
}

/* Of data that has `size` bytes and may have more. */
static uint64_t evil_offset(const struct vi_superblock *s)
{
    const uint64_t edges[] = {0,
                              8,
                              100,
                              4096,
                              s->size - 8,
                              s->size - 4,
                              s->size - 1,
                              s->size,
                              s->size + 8,
                              s->size + 4088,
                              s->max_size,
                              2 * s->size,
                              s->max_size - 8,
                              s->max_size + 8,
                              (uint64_t)-8,
                              (uint64_t)-64,
                              2u << 20,
                              s->data_offset,
                              1ull << 40};

    if (one_in(2))
        return below(s->size + 1) & ~(uint64_t)(one_in(2) ? 4095 : 7);
    return edges[below(sizeof edges / sizeof *edges)] + (one_in(4) ? random_word() : 0);
}

static uint64_t evil_address(void)
{
    const struct forge *file = &files[below(FILES)];

    switch (below(12)) {
    case 0:
        return (uintptr_t)CANARY + below(CANARY_SIZE);
    case 1:
        return (uintptr_t)r + 64 + below(64);
    case 2:
        return (uintptr_t)vi_process() + below(4096);
    case 3:
        return random_word();
    case 4:
        return file->s.address + evil_offset(&file->s);
    default:
        file = &files[below(4)];
        return file->s.mapped + evil_offset(&file->s);
    }
}

static uint64_t evil_size(void)
{
    const struct forge *file = &files[below(FILES)];
    const uint64_t some[] = {0,     4096,           file->s.size,     file->s.max_size,
                             65536, 1ull << 30,     file->s.size - 1, file->s.size + 4096,
                             1,     UINT64_MAX / 2, 1ull << 43,       UINT64_MAX - 4095};

    return one_in(4) ? random_word() : some[below(sizeof some / sizeof *some)];
}

static uint32_t evil_length(void)
{
    const uint32_t some[] = {0,
                             1,
                             7,
                             8,
                             60,
                             255,
                             256,
                             4096,
                             12000,
                             VI_RECORD_MAX,
                             VI_RECORD_MAX + 1,
                             UINT32_MAX,
                             0x7fffffff,
                             1 << 16,
                             2 << 16,
                             0xffff0000,
                             0xffff,
                             3,
                             0x10001};

    return one_in(3)   ? (uint32_t)below(400)
           : one_in(4) ? (uint32_t)(below(5) << 16 | below(300))
           : one_in(8) ? (uint32_t)random_word()
                       : some[below(sizeof some / sizeof *some)];
}

static void evil_path(char path[sizeof((struct vi_member *)0)->path])
{
    static const char *const others[] = {
        "/", "/dev/zero", "/proc/self/mem", "/proc/self/exe",
        "x", "../first",  "/etc/passwd",    "/nowhere/\x1b[31mfirst\n",
        "//"};
    const size_t size = sizeof((struct vi_member *)0)->path;
    const int which = (int)below(FILES + 4);

    memset(path, 0, size);
    if (which < FILES)
        snprintf(path, size, "%s", files[which].path);
    else if (which == FILES)
        snprintf(path, size, "%s", text);
    else if (which == FILES + 1)
        memset(path, '/', size - below(3));
    else if (which == FILES + 2)
        snprintf(path, size, "%s", others[below(sizeof others / sizeof *others)]);
    else
        snprintf(path, size, "/elsewhere%s", files[below(FILES)].path);
}

/* ---- Evil deeds --------------------------------------------------------- */

/* Decoy is never forged: it was unmapped in order, and names no one. */
static struct forge *victim(void)
{
    return &files[one_in(2) ? HOME : below(DECOY)];
}

static void forge_uuid(uint8_t uuid[16])
{
    memcpy(uuid, files[below(FILES)].s.uuid, 16);
    if (one_in(12))
        uuid[below(16)] ^= 1;
}

static void deed_member(void)
{
    const struct forge *file = one_in(4) ? victim() : &files[HOME];
    const uint64_t at = VI_MEMBERS_OFFSET + (one_in(8) ? below(VI_MEMBERS) : below(4)) * VI_PAGE;
    struct vi_member entry = forge_entry_at(file, at);
    const uint64_t what = below(16);

    if (entry.path[0] == '\0' || what & 1)
        evil_path(entry.path);
    if (entry.path[0] == '\0' || what & 2)
        forge_uuid(entry.uuid);
    if (what & 4)
        entry.mapped = evil_address();
    if (what & 8)
        entry.max_size = evil_size();
    if (what == 0) { /* a plausible one */
        const struct forge *of = &files[below(DECOY)];

        entry = (struct vi_member){.mapped = of->s.mapped, .max_size = of->s.max_size};
        memcpy(entry.uuid, of->s.uuid, sizeof entry.uuid);
        memcpy(entry.path, of->path, strlen(of->path) < sizeof entry.path ? strlen(of->path) : 0);
    }
    forge_entry(file, at, &entry);
}

static void deed_home(void)
{
    struct forge *file = victim();
    struct vi_member entry = forge_entry_at(file, VI_HOME_OFFSET);
    const struct forge *of = &files[below(FILES)];

    entry.mapped = one_in(4) ? evil_address() : 0;
    memcpy(entry.uuid, of->s.uuid, sizeof entry.uuid);
    memset(entry.path, 0, sizeof entry.path);
    snprintf(entry.path, sizeof entry.path, "%.4000s", of->path);
    if (one_in(3))
        evil_path(entry.path);
    if (one_in(6))
        forge_uuid(entry.uuid);
    forge_entry(file, VI_HOME_OFFSET, &entry);
    if (one_in(2)) {
        file->s.features_must |= VI_MUST_MEMBER;
        file->s.clean = 0;
        forge_superblock(file, false);
    }
}

static void deed_superblock(void)
{
    struct forge *file = victim();
    struct vi_superblock *s = &file->s;
    bool lay_out = false;

    switch (below(12)) {
    case 0:
        s->clean ^= 1;
        break;
    case 1:
        s->features_must ^= VI_MUST_MEMBER;
        break;
    case 2:
        s->features_must ^= 1u << below(5);
        lay_out = one_in(2);
        break;
    case 3:
        s->log_class = (uint32_t)below(6);
        break;
    case 4:
        s->real_class = (uint32_t)below(6);
        break;
    case 5:
    case 6:
        s->mapped = evil_address() & ~(uint64_t)(one_in(2) ? 4095 : 0);
        break;
    case 7:
        s->address = evil_address() & ~(uint64_t)4095;
        lay_out = one_in(2);
        break;
    case 8:
        forge_uuid(s->uuid);
        break;
    case 9:
        s->size = one_in(2) ? s->max_size : (below(s->max_size / 4096) + 1) * 4096;
        lay_out = true;
        break;
    case 10:
        s->max_size = s->size + below(64) * 4096;
        lay_out = true;
        break;
    default:
        memset((unsigned char *)s + below(500), (int)below(256), 1 + below(8));
    }
    forge_superblock(file, lay_out);
}

static void evil_payload(unsigned char *payload, size_t size)
{
    for (size_t i = 0; i < size; i += 8)
        *(uint64_t *)(payload + i) = one_in(3) ? evil_address() : 0x0101010101010101u * below(256);
}

/* One that names a block or an extension as such records do, mostly of a unit that has one. */
static void evil_block(const struct forge *of, uint32_t *length, uint64_t *address)
{
    const uint64_t units = of->s.size / VI_UNIT, descriptors = of->s.heap_offset + VI_PAGE;
    uint64_t unit = below(units + 1), d;

    for (int i = 0; i < 40 && of->s.heap_offset != 0; i++) {
        d = forge_word(of, descriptors + unit * sizeof d);
        if (d != 0)
            break;
        unit = unit == 0 ? units : unit - 1;
    }
    *length =
        (uint32_t)(one_in(3) ? below(6) : below(2)) << 16 | (uint32_t)below(one_in(4) ? 300 : 8);
    *address =
        of->s.mapped + (unit + (*length >> 16)) * VI_UNIT + (*length & 0xffff) * (16 << below(4));
    if (one_in(3))
        *length = (uint32_t)below(8);
}

static void put_evil_record(struct forge_log *log)
{
    static unsigned char payload[16 * 1024] __attribute__((aligned(8)));
    unsigned kind = (unsigned)below(VI_KINDS + (one_in(8) ? 4 : 0));
    uint64_t address = evil_address();
    uint32_t length = evil_length();
    size_t padded;

    if (one_in(2))
        kind = VI_KIND_UNDO;
    if (kind != VI_KIND_UNDO && one_in(2))
        evil_block(&files[below(DECOY)], &length, &address);
    padded = kind == VI_KIND_UNDO   ? (length + (size_t)7) & ~(size_t)7
             : kind == VI_KIND_ROOT ? sizeof(struct vi_root) * 2
                                    : 0;
    if (padded > sizeof payload || one_in(30))
        padded = below(100) * 8;
    evil_payload(payload, padded);
    if (kind == VI_KIND_ROOT)
        for (int i = 0; i < 4; i++)
            ((uint64_t *)payload)[i] =
                i % 2 == 0 ? evil_offset(&files[below(FILES)].s) : below(200);
    if (kind == VI_KIND_UNDO && one_in(4)) {
        uint64_t words[64];

        for (int i = 0; i < 60; i++)
            words[i] = evil_address();
        forge_short(log, random_word() & below(UINT64_MAX), words, below(60) + 1);
        return;
    }
    forge_record(log, kind, length, address, payload, padded);
}

static void put_evil_chunk(struct forge_log *log, uint64_t index)
{
    const struct forge *file = log->file;
    const uint64_t units = file->s.chunks_size / VI_CHUNK_UNIT;
    const struct vi_chunk_header header = {
        .owner = one_in(10) ? random_word() : log->slot + (uint64_t)1,
        .next = one_in(4) ? file->s.chunks_offset + below(units + 2) * VI_CHUNK_UNIT : 0,
        .index = one_in(10) ? below(4) : index,
        .size = one_in(4) ? evil_size() & ~(uint64_t)(VI_CHUNK_UNIT - 1) : VI_CHUNK_UNIT};
    const uint64_t unit = one_in(6) ? units - 1 - below(4) : below(one_in(2) ? 4 : units);

    forge_chunk(log,
                file->s.chunks_offset + unit * VI_CHUNK_UNIT + (one_in(20) ? below(9) * 512 : 0),
                header);
}

static void deed_log(void)
{
    const struct forge *file = victim();
    const uint32_t slot = (uint32_t)(one_in(40) ? VI_SLOTS_NEAR + below(12) : below(3));
    const uint64_t count = one_in(6) ? below(100) : 1 + below(5);
    struct forge_log log;

    if (file->s.chunks_size > 1ull << 40)
        return;
    log = forge_log_begin(file, slot, one_in(5));
    for (uint64_t i = 0, index = 1; i < count; i++) {
        if (one_in(8))
            put_evil_chunk(&log, index++);
        put_evil_record(&log);
    }
    if (one_in(10))
        forge_poke_word(file, forge_slot(file, slot), random_word());
    if (one_in(15))
        forge_poke_word(file, VI_LOG_OFFSET, one_in(2) ? below(80) : random_word());
}

static void deed_heap(void)
{
    const struct forge *file = victim();
    const uint64_t descriptors = file->s.heap_offset + VI_PAGE;
    const uint64_t units = file->s.size / VI_UNIT;

    if (file->s.heap_offset == 0 || file->s.max_size > 1ull << 40)
        return;
    switch (below(5)) {
    case 0:
        forge_poke_word(
            file, descriptors + below(units + 2) * 8,
            VI_SPAN(1 + below(2), one_in(4) ? random_word() & 0xffffffff : below(20), below(60)));
        break;
    case 1:
        forge_poke_word(file, descriptors + below(units + 2) * 8, one_in(2) ? 0 : random_word());
        break;
    case 2:
        forge_poke_word(file, vi_superblock_marks(&file->s) + below(units + 1) * 256 + below(8) * 8,
                        0x0101010101010101u * below(3));
        break;
    case 3:
        forge_poke_word(file, file->s.heap_offset + 16, one_in(2) ? evil_size() : below(units + 2));
        break;
    default:
        forge_poke_word(file, file->s.heap_offset + below(2) * 8, evil_offset(&file->s));
    }
}

static void deed_shares(void)
{
    const struct forge *file = victim();
    uint64_t line[8];

    for (int i = 0; i < 8; i++)
        line[i] = evil_address();
    forge_poke(file, VI_SHARES_OFFSET + below(VI_SHARES) * VI_LINE, line, sizeof line);
}

static void deed_redo(void)
{
    struct forge *file = victim();
    struct vi_disk_point at;
    unsigned char payload[512];

    if (!forge_redo_begin(file, &at)) {
        deed_log();
        return;
    }
    for (uint64_t i = below(4) + 1; i-- > 0;) {
        struct vi_redo_item item = {.offset = one_in(2)
                                                  ? file->s.data_offset + evil_offset(&file->s)
                                              : one_in(2) ? file->s.heap_offset + below(100000)
                                                          : random_word(),
                                    .length = (uint32_t)below(400),
                                    .member = (uint16_t)(one_in(6) ? random_word() : 0),
                                    .kind = (uint16_t)(one_in(6) ? random_word() : 0)};
        const size_t bytes = item.length;

        if (one_in(8))
            item.length = evil_length();
        evil_payload(payload, sizeof payload);
        forge_redo(file, &at, item, payload, bytes);
    }
}

static void deed_word(void)
{
    const struct forge *file = victim();
    const uint64_t at = one_in(2) ? below(64 * KIB) : below(2 * VI_CHUNKS_OFFSET);

    forge_poke_word(file, at & ~(uint64_t)7, one_in(2) ? evil_address() : random_word());
}

void hostile_deeds(struct test_random *random)
{
    static void (*const deeds[])(void) = {deed_member, deed_member, deed_home, deed_superblock,
                                          deed_log,    deed_log,    deed_log,  deed_heap,
                                          deed_redo,   deed_shares, deed_word};

    r = random;
    for (uint64_t i = one_in(2) ? 1 + below(2) : below(6); i > 0; i--)
        deeds[below(sizeof deeds / sizeof *deeds)]();
}
