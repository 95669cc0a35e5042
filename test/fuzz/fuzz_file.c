/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Damaged segment files.  An input picks a file that the library has made (file_bases.c),
 * patches it, says how it is to be mapped and what is then done with it.
 *
 * What holds of any file: vista_check and vista_map end, with a documented errno and a
 * message or well; a file that is refused is left as it was, to the byte; so is one that
 * is only read.  What vista_check calls sound is mapped, is still sound after
 * vista_unmap, blocks allocated in it do not overlap, and an abort restores it.
 *
 * Input: base (from 0xc0 on with real checksums) | how to map, 2 bytes | count of
 * patches | patches | operations.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_bases.h"
#include "media/format.h"
#include "media/superblock.h"

#define PATCHES_MAX 15u
#define OPERATIONS_MAX 60u
#define ACTS 3u
#define BLOCKS 16u
#define AUTO_PAGES 100u

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static struct base bases[2][ALL];
static bool talk; /* FUZZ_TALK is set: says what an input does */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    file_open();
    bases_make(bases[0]);
    checksums_agree = true;
    bases_make(bases[1]);
    talk = getenv("FUZZ_TALK") != NULL;
    return 0;
}

/* ---- Patches ----------------------------------------------------------- */

/* Where in the file: a word of a line that is not all zero, or any word. */
static uint64_t place(const struct base *base, struct input *input)
{
    const uint64_t line = take(input, 2), word = take(input, 1);

    if (line < 0xe000 && base->line_count != 0)
        return (uint64_t)base->lines[line % base->line_count] * 64 + word % 8 * 8;
    return base->image.size < 8 ? 0
                                : ((line & 0x1fff) << 20 | word << 12) % base->image.size / 8 * 8;
}

static uint64_t get(uint64_t at)
{
    uint64_t word = 0;

    (void)!pread(file_fd, &word, sizeof word, (off_t)at);
    return word;
}

static void put(uint64_t at, const void *bytes, size_t length)
{
    if (at < VI_SUPERBLOCKS * VI_PAGE) /* both copies, so that it counts */
        (void)!pwrite(file_fd, bytes, length, (off_t)(at ^ VI_PAGE));
    (void)!pwrite(file_fd, bytes, length, (off_t)at);
}

static void put_word(uint64_t at, uint64_t word)
{
    put(at, &word, sizeof word);
}

/* Other sizes, with all that follows from them as it must be. */
static void lay_out(struct input *input)
{
    const uint64_t size = take(input, 3), shift = take(input, 1), max = take(input, 2);
    struct vi_superblock s = {0};

    (void)!pread(file_fd, &s, sizeof s, 0);
    s.size = (size + 1) << shift % 32 << 12;
    s.max_size = s.size + (max << 12);
    if (shift & 128)
        s.features_must ^= VI_MUST_HEAP;
    if (shift & 64)
        s.features_must ^= VI_MUST_SPARSE;
    if (s.address < (uint64_t)1 << 47 && vi_superblock_layout(&s) == 0 &&
        s.data_offset + s.size < (uint64_t)1 << 44)
        (void)!ftruncate(file_fd, (off_t)(s.data_offset + s.size));
    (void)!pwrite(file_fd, &s, sizeof s, 0);
    s.sequence++;
    (void)!pwrite(file_fd, &s, sizeof s, VI_PAGE);
}

static void patch(const struct base *base, struct input *input)
{
    static const uint64_t numbers[] = {0,
                                       1,
                                       7,
                                       8,
                                       63,
                                       64,
                                       VI_PAGE,
                                       VI_SLOTS,
                                       VI_SLOTS + 1,
                                       VI_CHUNK_UNIT,
                                       VI_CHUNK_MAX,
                                       VI_CHUNKS_OFFSET,
                                       INT32_MAX,
                                       UINT32_MAX,
                                       INT64_MAX,
                                       UINT64_MAX,
                                       (uint64_t)1 << 47,
                                       (uint64_t)1 << 43};
    const unsigned what = (unsigned)take(input, 1) % 13;
    unsigned char bytes[64 * 8] = {0};
    uint64_t at, number;

    if (talk)
        printf("patch of kind %u\n", what);
    if (what == 10) {
        lay_out(input);
        return;
    }
    if (what == 11) { /* cut short, or longer */
        number = take(input, 4);
        (void)!ftruncate(file_fd,
                         (off_t)(number >> 31 ? base->image.size - number % (base->image.size + 1)
                                              : number << 3));
        return;
    }
    at = place(base, input);
    if (talk)
        printf("patch of kind %u at file offset %llu, which holds %llx\n", what,
               (unsigned long long)at, (unsigned long long)get(at));
    switch (what) {
    case 0:
        put_word(at, take(input, 8));
        break;
    case 1:
        put_word(at, get(at) + (uint64_t)(int8_t)take(input, 1));
        break;
    case 2:
        put_word(at, get(at) ^ (uint64_t)1 << take(input, 1) % 64);
        break;
    case 3:
        put_word(at, get(place(base, input)));
        break;
    case 4: /* a few words from elsewhere */
        number = place(base, input);
        if (pread(file_fd, bytes, take(input, 1) % 64 * 8 + 8, (off_t)number) > 0)
            put(at, bytes, sizeof bytes);
        break;
    case 5:
        put(at, bytes, take(input, 1) % 64 * 8 + 8);
        break;
    case 6:
        put_word(at, numbers[take(input, 1) % (sizeof numbers / sizeof *numbers)]);
        break;
    case 7: /* something that stands elsewhere in the file */
        number = take(input, 2);
        if (base->word_count != 0)
            put_word(at, base->words[number % base->word_count]);
        break;
    case 8:
        number = take(input, 4);
        put(at + number % 8, &number, 4);
        break;
    case 9:
        number = take(input, 2);
        put(at + number % 8, &number, 1 + (number & 1));
        break;
    default: /* two copies that differ */
        number = get(at % VI_PAGE) + (uint64_t)(int8_t)take(input, 1);
        (void)!pwrite(file_fd, &number, sizeof number, (off_t)(at % (2 * VI_PAGE)));
    }
}

/* ---- Operations -------------------------------------------------------- */

static struct {
    vista_segment *segment;
    unsigned char *base;
    size_t size;
    bool sound;
    unsigned role; /* in its group */
    bool patched;
    bool flat;
    bool automatic; /* VISTA_AUTO_RANGE, for so many pages: */
    vista_tx *tx[ACTS];
    struct {
        unsigned char *at;
        size_t size;
        int act; /* that allocated it */
    } blocks[BLOCKS];
} run;

static void forget_blocks(int act)
{
    for (unsigned i = 0; i < BLOCKS; i++)
        if (run.blocks[i].at != NULL && run.blocks[i].act == act)
            run.blocks[i].at = NULL;
}

/* Automatic ranges have room for a store of so many bytes. */
static bool may_store(size_t length)
{
    struct vista_info info;

    if (!run.automatic)
        return true;
    HOLDS(vista_info(run.segment, &info) == 0, "vista_info");
    return length / 4096 + 2 <= info.pages_left;
}

/* A block that the library gave out: inside the data, apart from the others. */
static void given(unsigned char *at, size_t size, int act, unsigned keep_at)
{
    run.size = vista_size(run.segment); /* it may have grown */
    HOLDS(at >= run.base && size <= run.size && at <= run.base + run.size - size, "block %p + %zu",
          (void *)at, size);
    if (run.sound)
        for (unsigned i = 0; i < BLOCKS; i++)
            HOLDS(run.blocks[i].at == NULL || at + size <= run.blocks[i].at ||
                      run.blocks[i].at + run.blocks[i].size <= at,
                  "%p + %zu overlaps %p + %zu", (void *)at, size, (void *)run.blocks[i].at,
                  run.blocks[i].size);
    if (may_store(size))
        memset(at, 'x', size);
    run.blocks[keep_at].at = at;
    run.blocks[keep_at].size = size;
    run.blocks[keep_at].act = act;
}

static void allocate(struct input *input, int act, bool again)
{
    const unsigned which = (unsigned)take(input, 1) % BLOCKS;
    size_t size = take(input, 2);
    unsigned char *block;

    size = size % 4 == 0 ? size : size % 512; /* mostly small */
    if (!again && run.blocks[which].at != NULL)
        return;
    if (again && (run.blocks[which].at == NULL || run.blocks[which].act != act))
        return;
    expect();
    block = again ? vista_realloc(run.tx[act], run.blocks[which].at, size)
                  : vista_malloc(run.tx[act], size);
    if (block != NULL) {
        run.blocks[which].at = NULL;
        given(block, size, act, which);
        return;
    }
    if (run.sound && !run.flat)
        REFUSED("vista_malloc of a sound segment", ENOMEM, ENOSPC);
    else
        REFUSED("vista_malloc", ENOMEM, ENOSPC, ENOTSUP, EBADMSG, EINVAL);
}

static void release(struct input *input, int act)
{
    const unsigned which = (unsigned)take(input, 1) % BLOCKS;

    if (run.blocks[which].at == NULL || run.blocks[which].act != act)
        return;
    expect();
    if (vista_free(run.tx[act], run.blocks[which].at) != 0)
        REFUSED("vista_free", EINVAL, ENOSPC, EBADMSG);
    HOLDS(!run.sound || *vista_errormsg() == '\0' || errno == ENOSPC, "of a block given out");
    run.blocks[which].at = NULL;
}

/* An address that may be a block of before, or none. */
static void release_any(struct input *input, int act)
{
    unsigned char *at = run.base + take(input, 3) * 16;

    for (unsigned i = 0; i < BLOCKS; i++)
        if (run.blocks[i].at == at)
            return;
    expect();
    if (vista_free(run.tx[act], at) != 0)
        REFUSED("vista_free", EINVAL, ENOSPC, ENOTSUP, EBADMSG);
}

static void change(struct input *input, int act)
{
    unsigned char *at = run.base + take(input, 3);
    size_t length = take(input, 2);
    unsigned char old[512];

    length = length % 8 == 0 ? length : length % 300;
    expect();
    if ((!run.automatic || length % 2 == 0 || at + length > run.base + run.size) &&
        vista_set_range(run.tx[act], at, length) != 0) {
        REFUSED("vista_set_range", EINVAL, ENOSPC, ENOMEM);
        HOLDS(errno != EINVAL || at + length > run.base + run.size, "a range inside the data");
        return;
    }
    HOLDS(at + length <= run.base + run.size, "a range outside the data");
    if (!run.flat || !may_store(length))
        return;
    if (length <= sizeof old) {
        memcpy(old, at, length);
        memset(at, 'y', length);
    } else {
        at[0] = at[length - 1] = 'z';
    }
}

static void finish_act(int act, bool commit)
{
    expect();
    HOLDS((commit ? vista_end_transaction(run.tx[act], 0) : vista_abort_transaction(run.tx[act])) ==
              0,
          "ending a transaction");
    run.tx[act] = NULL;
    forget_blocks(act);
}

/* Begins, stores all over, aborts: as before. */
static void there_and_back(void)
{
    const size_t length = run.size < 4096 ? run.size : 4096;
    static unsigned char old[4096];
    vista_tx *tx;

    for (unsigned i = 0; i < ACTS; i++)
        if (run.tx[i] != NULL)
            return;
    tx = vista_begin_transaction(run.segment, 0);
    if (tx == NULL)
        return;
    memcpy(old, run.base, length);
    if (run.automatic || vista_set_range(tx, run.base, length) == 0) {
        memset(run.base, 'q', length);
        HOLDS(vista_abort_transaction(tx) == 0, "abort");
        HOLDS(memcmp(old, run.base, length) == 0, "an abort restores");
    } else {
        HOLDS(vista_abort_transaction(tx) == 0, "abort");
    }
}

static void look_around(void)
{
    const size_t end = run.size < 256 * 1024 ? run.size : 256 * 1024;
    struct vista_info info;
    size_t usable;

    HOLDS(vista_info(run.segment, &info) == 0 && info.base == run.base && info.size == run.size,
          "vista_info");
    for (size_t at = 0; at < end; at += 16) {
        usable = vista_usable_size(run.segment, run.base + at);
        HOLDS(usable <= run.size - at, "a block of %zu bytes at %zu", usable, at);
    }
}

static void root(struct input *input)
{
    const size_t size = take(input, 2);
    unsigned char *at;

    expect();
    at = vista_root(run.segment, size);
    if (at == NULL) {
        REFUSED("vista_root", ENOENT, EBUSY, EROFS, ENOMEM, ENOSPC, ENOTSUP, EBADMSG, EINVAL);
        return;
    }
    run.size = vista_size(run.segment);
    HOLDS(at >= run.base && size <= run.size && at <= run.base + run.size - size, "the root at %p",
          (void *)at);
}

static void operation(struct input *input)
{
    const unsigned what = (unsigned)take(input, 1), act = what / 16 % ACTS;

    if (talk)
        printf("operation %u of act %u\n", what % 16, act);

    switch (what % 16) {
    case 12:
        look_around();
        return;
    case 13:
        root(input);
        return;
    case 14:
        there_and_back();
        return;
    case 15:
        HOLDS(vista_flush(run.segment) == 0, "vista_flush");
        return;
    default:
        break;
    }
    if (run.tx[act] == NULL) {
        expect();
        run.tx[act] = vista_begin_transaction(run.segment, what % 16 == 11 ? VISTA_NO_RESTORE : 0);
        if (run.tx[act] == NULL) {
            REFUSED("vista_begin_transaction", EAGAIN, EROFS, ENOSPC, ENOMEM, EBUSY);
            HOLDS(errno != EBUSY || run.automatic, "one at a time");
            return;
        }
        if (what % 16 == 11) {
            finish_act((int)act, true);
            return;
        }
    }
    switch (what % 16) {
    case 0:
    case 1:
    case 2:
        allocate(input, (int)act, what % 16 == 2);
        break;
    case 3:
    case 4:
        release(input, (int)act);
        break;
    case 5:
    case 6:
        release_any(input, (int)act);
        break;
    case 7:
    case 8:
        change(input, (int)act);
        break;
    case 9:
        finish_act((int)act, false);
        break;
    default:
        finish_act((int)act, true);
    }
}

/* Leaves by vista_unmap, or as a killed process would. */
static bool leave(bool killed)
{
    memset(run.blocks, 0, sizeof run.blocks);
    if (killed) {
        memset(run.tx, 0, sizeof run.tx);
        die(run.segment);
        return false;
    }
    for (int i = 0; i < (int)ACTS; i++)
        if (run.tx[i] != NULL)
            finish_act(i, i % 2 == 0);
    expect();
    HOLDS(vista_unmap(run.segment) == 0, "vista_unmap");
    return true;
}

/* ---- One input --------------------------------------------------------- */

static unsigned reported;

static int report(void *limit, int severity, const char *text)
{
    HOLDS(severity >= 0 && severity <= 2 && *text != '\0', "a report");
    if (talk)
        printf("  %d %s\n", severity, text);
    return ++reported == *(unsigned *)limit;
}

static bool check(unsigned limit)
{
    int result;

    reported = 0;
    expect();
    result = vista_check(file_path, 0, report, &limit);
    if (result == 0)
        return true;
    REFUSED("vista_check", EBADMSG, ENOTSUP, ECANCELED, ENOMEM);
    HOLDS(errno != ECANCELED || reported == limit, "stopped by itself");
    return false;
}

static vista_segment *map(unsigned flags)
{
    const struct vista_map_options options = {.auto_pages =
                                                  flags & VISTA_AUTO_RANGE ? AUTO_PAGES : 0};
    vista_segment *segment;

    expect();
    segment = vista_map(file_path, flags & VISTA_CREATE ? 65536 : 0, flags, &options);
    if (segment == NULL) {
        if (run.role != ALONE && run.patched) /* whatever open(2) says of other names */
            HOLDS(errno != 0 && *vista_errormsg() != '\0', "vista_map fails without a message");
        else if (run.sound && !(flags & VISTA_ACCEPT_TORN)) /* which looks at more */
            REFUSED("vista_map of a sound segment", EUCLEAN, ECANCELED, EADDRINUSE, ENOMEM, EINVAL,
                    ENOTSUP, ENOSPC);
        else
            REFUSED("vista_map", EUCLEAN, ECANCELED, EADDRINUSE, ENOMEM, EINVAL, ENOTSUP, ENOSPC,
                    EBADMSG, EFBIG);
        return NULL;
    }
    memset(&run.tx, 0, sizeof run.tx);
    run.segment = segment;
    run.base = vista_base(segment);
    run.size = vista_size(segment);
    HOLDS(run.base != NULL && run.size != 0, "a mapped segment");
    return segment;
}

/* To protect terabytes by userfaultfd takes the kernel minutes: it makes tables for all. */
static bool is_huge(void)
{
    struct stat status;

    return stat(file_path, &status) == 0 && status.st_size > (off_t)1 << 36;
}

static unsigned flags_of(unsigned how)
{
    return (how & 1 ? VISTA_READ_ONLY : 0) | ((how & 3) == 2 ? VISTA_ACCEPT_TORN : 0) |
           (how & 4 ? VISTA_ANY_ADDRESS : 0) | ((how & 41) == 40 ? VISTA_KILL_SAFE : 0) |
           ((how & 193) == 192 ? VISTA_CREATE : 0) | ((how & 193) == 64 ? VISTA_AUTO_RANGE : 0) |
           ((how & 193) == 128 ? VISTA_GROW : 0);
}

static void use(struct input *input, unsigned flags, unsigned how)
{
    struct vista_info info;
    bool accepted;

    HOLDS(vista_info(run.segment, &info) == 0, "vista_info");
    run.flat = info.flags & VISTA_NO_HEAP;
    run.automatic = flags & VISTA_AUTO_RANGE;
    accepted = flags & VISTA_ACCEPT_TORN;
    for (unsigned i = 0; i < OPERATIONS_MAX && input->left > 0; i++)
        operation(input);
    if (leave(how & 0x100 && !(flags & VISTA_READ_ONLY))) {
        if (run.sound || accepted)
            HOLDS(check(0), "sound before, and not after it was mapped and used");
    } else if (map(flags & (VISTA_ANY_ADDRESS | VISTA_KILL_SAFE)) != NULL) {
        leave(false);
        if (run.sound || accepted)
            HOLDS(check(0), "sound before, and not after it was mapped, killed and recovered");
    } else {
        HOLDS(!run.sound || errno != EBADMSG, "a sound segment, refused after a kill");
    }
}

/* Of the file, and of the other one in a group. */
struct digests {
    uint64_t of[2];
};

static struct digests digests(void)
{
    struct digests digests = {{file_digest(), 0}};

    if (run.role != ALONE) {
        file_use(1);
        digests.of[1] = file_digest();
        file_use(0);
    }
    return digests;
}

static bool is_unchanged(struct digests before)
{
    const struct digests now = digests();

    return now.of[0] == before.of[0] && now.of[1] == before.of[1];
}

/* What is not damaged is sound, if nothing was, and can be mapped. */
static void look_at_other(void)
{
    file_use(1);
    run.sound = check(0);
    if (!run.patched) {
        HOLDS(run.sound, "the other of the group");
        HOLDS(map(0) != NULL, "the other of the group");
        HOLDS(vista_unmap(run.segment) == 0 && check(0), "the other of the group");
    }
    file_use(0);
}

/* Of a member that is refused, home may have been recovered; and whoever is a member may
 * have lost what its own idle log slots held, where that would count in another class. */
static bool may_be_tidied(const struct base *base, struct digests before)
{
    const struct digests now = digests();

    return base->role == MEMBER ? now.of[1] != before.of[1] || base->flushes
                                : base->role == HOME && now.of[0] == before.of[0] && base->flushes;
}

static void put_base(const struct base *base)
{
    if (base->role != ALONE || run.role != ALONE) { /* or what the last input left there */
        file_use(1);
        image_put(&base->other);
        file_use(0);
    }
    image_put(&base->image);
    run.role = base->role;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct input input = {bytes, length};
    const unsigned which = (unsigned)take(&input, 1), how = (unsigned)take(&input, 2);
    const unsigned base_of = (which & 0xb0) == 0xb0 ? BASES + GROUPS + which % LATER
                             : how & 0x8000         ? BASES + which % GROUPS
                                                    : which % BASES;
    const struct base *base = &bases[which < 0xc0][base_of];
    const unsigned patches = (unsigned)take(&input, 1) % (PATCHES_MAX + 1);
    unsigned flags = flags_of(how);
    const struct vista_options class = {.force_class = how >> 9 & 3};
    void *in_the_way = MAP_FAILED;
    struct digests before;

    checksums_agree = which < 0xc0;
    put_base(base);
    run.patched = patches != 0;
    if (talk)
        printf("base %u: %s; mapped with flags %x, class %u%s\n", base_of, base->name, flags,
               class.force_class, how & 0x100 ? ", killed" : "");
    for (unsigned i = 0; i < patches; i++)
        patch(base, &input);
    if (is_huge())
        flags &= ~VISTA_AUTO_RANGE;
    HOLDS(vista_init(&class) == 0, "vista_init");
    before = digests();
    run.sound = check(how >> 12 & 7 ? 0 : 1 + (how >> 11 & 15));
    HOLDS(is_unchanged(before), "vista_check changes nothing");
    if (how & 0x800 && base->image.count != 0)
        in_the_way = mmap((void *)(get(64) & ~(uint64_t)4095), 4096, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (map(flags) != NULL) {
        use(&input, flags, how);
        HOLDS(!(flags & VISTA_READ_ONLY) || is_unchanged(before), "reading changes nothing");
    } else if (!(flags & (VISTA_ACCEPT_TORN | VISTA_CREATE))) {
        HOLDS(is_unchanged(before) || may_be_tidied(base, before),
              "a file that is refused stays as it was");
    }
    if (in_the_way != MAP_FAILED)
        munmap(in_the_way, 4096);
    if (run.role != ALONE)
        look_at_other();
    return 0;
}
