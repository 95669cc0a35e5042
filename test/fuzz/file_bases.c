/* SPDX-License-Identifier: BSD-3-Clause
 *
 * See file_bases.h.  A new state goes to the end of the list, or the inputs in the corpus
 * would mean other files.
 */
#include "file_bases.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "media/format.h"
#include "media/persist.h"

#define KIB ((size_t)1024)
#define ADDRESS ((void *)0x551234400000)

static struct base *list;
static unsigned count;
static unsigned role; /* of file 0 in what is made */

static int compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Finds what in it is worth changing. */
static void index_base(struct base *base)
{
    const uint64_t data =
        base->image.count != 0
            ? ((const struct vi_superblock *)base->image.pages[0].bytes)->data_offset
            : 0;
    size_t different = 0;

    base->lines = malloc(base->image.count * 64 * sizeof *base->lines + 8);
    base->words = malloc(base->image.count * 512 * sizeof *base->words + 8);
    HOLDS(base->lines != NULL && base->words != NULL, "malloc");
    for (size_t i = 0; i < base->image.count && base->image.pages[i].at < data; i++)
        for (size_t line = 0; line < 64; line++) {
            uint64_t words[8];
            bool any = false;

            memcpy(words, base->image.pages[i].bytes + line * 64, sizeof words);
            for (int j = 0; j < 8; j++)
                if (words[j] != 0) {
                    any = true;
                    base->words[base->word_count++] = words[j];
                }
            if (any)
                base->lines[base->line_count++] = (uint32_t)(base->image.pages[i].at / 64 + line);
        }
    qsort(base->words, base->word_count, sizeof *base->words, compare);
    for (size_t i = 0; i < base->word_count; i++)
        if (different == 0 || base->words[different - 1] != base->words[i])
            base->words[different++] = base->words[i];
    base->word_count = different;
}

static void keep(const char *name)
{
    HOLDS(count < ALL, "too many bases");
    list[count] = (struct base){.name = name, .role = role};
    if (role != ALONE) {
        file_use(1);
        list[count].other = image_take();
    }
    file_use(0);
    list[count].image = image_take();
    index_base(&list[count++]);
}

/* Where flushes can be lost, a file is kept at each of a call's fences. */
static const char *fences_of;
static unsigned fences, fences_kept;

static void flush(const void *address, size_t length)
{
    (void)address;
    (void)length;
}

static void fence(void)
{
    if (fences_of != NULL && ++fences <= fences_kept)
        keep(fences_of);
}

static void write_words(uint64_t *to, const uint64_t *from, size_t length)
{
    memcpy(to, from, length);
}

static int sync_nothing(int fd)
{
    (void)fd;
    return 0;
}

static const struct vi_persist_ops watching = {
    .flush = flush, .fence = fence, .write = write_words, .sync = sync_nothing};

static vista_segment *make(size_t size, unsigned flags, unsigned class)
{
    const struct vista_options options = {.force_class = class};
    const struct vista_map_options where = {.address = ADDRESS, .max_size = 2 * size};
    const struct image empty = {0};
    vista_segment *segment;

    random_restart();
    image_put(&empty);
    vi_persist_test_ops = &watching;
    HOLDS(vista_init(&options) == 0, "vista_init");
    segment = vista_map(file_path, size, VISTA_CREATE | flags, &where);
    HOLDS(segment != NULL, "vista_map");
    return segment;
}

static void done(vista_segment *segment)
{
    fences_of = NULL;
    die(segment);
    vi_persist_test_ops = NULL;
}

static vista_tx *begin(vista_segment *segment)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    HOLDS(tx != NULL, "begin");
    return tx;
}

static unsigned char *data(vista_segment *segment)
{
    return vista_base(segment);
}

static void change(vista_tx *tx, unsigned char *at, size_t length, int byte)
{
    HOLDS(vista_set_range(tx, at, length) == 0, "set_range");
    memset(at, byte, length);
}

static void *allocate(vista_tx *tx, size_t size)
{
    void *block = vista_malloc(tx, size);

    HOLDS(block != NULL, "malloc");
    return memset(block, 'a', size);
}

static void end(vista_tx *tx)
{
    HOLDS(vista_end_transaction(tx, 0) == 0, "end");
}

/* Blocks of many classes, some freed again; `kept` gets some that stay. */
static void fill(vista_segment *segment, void **kept, size_t large)
{
    static const size_t sizes[] = {16, 16, 48, 100, 128, 200, 500, 1000, 3000, 8000};
    vista_tx *tx = begin(segment);
    void *block[30];

    HOLDS(vista_root(segment, 200) != NULL, "root");
    for (int i = 0; i < 30; i++)
        block[i] = allocate(tx, i >= 28 ? large : sizes[i % 10] * (large > 8 * KIB || i < 10));
    end(tx);
    tx = begin(segment);
    for (int i = 0; i < 30; i += 3)
        HOLDS(vista_free(tx, block[i]) == 0, "free");
    end(tx);
    for (int i = 0; i < 8; i++)
        kept[i] = block[3 * i + 1];
    kept[8] = block[28];
}

/* Three transactions open at once, with all that can be pending. */
static void leave_open(vista_segment *segment, void **kept, vista_tx **tx, size_t large)
{
    for (int i = 0; i < 3; i++)
        tx[i] = begin(segment);
    change(tx[0], kept[0], 16, 1);
    change(tx[0], kept[1], 5, 2);
    change(tx[0], kept[0], 8, 3);
    allocate(tx[0], 40);
    HOLDS(vista_free(tx[0], kept[2]) == 0, "free");
    change(tx[1], kept[4], 16, 4);
    HOLDS(vista_free(tx[1], allocate(tx[1], 1000)) == 0, "free");
    allocate(tx[1], large);
    HOLDS(vista_realloc(tx[1], kept[3], 5000) != NULL, "realloc");
    HOLDS(vista_free(tx[2], kept[8]) == 0, "free");
    HOLDS(vista_free(tx[2], kept[5]) == 0, "free");
    HOLDS(vista_free(tx[2], allocate(tx[2], large)) == 0, "free");
    allocate(tx[2], 16);
}

static void heap(size_t size, size_t large, unsigned flags, unsigned class, const char *open,
                 const char *finishing)
{
    vista_segment *segment = make(size, flags, class);
    vista_tx *tx[3];
    void *kept[9];

    fill(segment, kept, large);
    leave_open(segment, kept, tx, large);
    keep(open);
    fences_of = finishing;
    fences = 0;
    fences_kept = 4;
    end(tx[2]);
    done(segment);
}

static void clean(size_t size, unsigned flags, const char *name)
{
    vista_segment *segment = make(size, flags, VISTA_CLASS_KILL);
    void *kept[9];

    if (flags & VISTA_NO_HEAP) {
        vista_tx *tx = begin(segment);

        change(tx, data(segment) + 100, 1000, 'c');
        end(tx);
    } else {
        fill(segment, kept, 4 * KIB);
    }
    HOLDS(vista_unmap(segment) == 0, "unmap");
    vi_persist_test_ops = NULL;
    keep(name);
}

/* Chains of chunks, and one that was in another transaction's chain before. */
static void chains(unsigned flags, unsigned class, const char *name)
{
    vista_segment *segment = make(512 * KIB, VISTA_NO_HEAP | flags, class);
    vista_tx *a = begin(segment), *b = begin(segment);

    change(a, data(segment), 100 * KIB, 1);
    change(b, data(segment) + 200 * KIB, 20 * KIB, 2);
    end(a);
    a = begin(segment);
    for (size_t i = 0; i < 40; i++)
        change(a, data(segment) + i * KIB, 900, 3);
    change(a, data(segment) + 50 * KIB, 3, 4);
    change(b, data(segment) + 300 * KIB, 200 * KIB, 5);
    change(b, data(segment) + 250 * KIB, 24, 6);
    keep(name);
    done(segment);
}

/* A transaction over two segments is open, and one with frees in both is being committed;
 * file 0 is home or the member. */
static void group(unsigned class, const char *open, const char *finishing)
{
    const struct vista_map_options where = {.address = (char *)ADDRESS + (64 << 20)};
    const unsigned home = role == HOME ? 0 : 1;
    struct vista_map_options with = {0};
    vista_segment *segments[2];
    void *kept[2][9];
    vista_tx *tx[2];

    file_use(1 - home);
    image_put(&(struct image){0});
    segments[1] = vista_map(file_path, 256 * KIB, VISTA_CREATE, &where);
    HOLDS(segments[1] != NULL, "vista_map");
    fill(segments[1], kept[1], 40 * KIB);
    HOLDS(vista_unmap(segments[1]) == 0, "unmap");
    file_use(home);
    segments[0] = make(512 * KIB, 0, class);
    fill(segments[0], kept[0], 40 * KIB);
    with.log = segments[0];
    file_use(1 - home);
    segments[1] = vista_map(file_path, 0, 0, &with);
    HOLDS(segments[1] != NULL, "vista_map with another's log");
    for (int i = 0; i < 2; i++)
        tx[i] = begin(segments[i]);
    for (int i = 0; i < 2; i++) {
        change(tx[0], kept[i][0], 16, 1);
        HOLDS(vista_free(tx[0], kept[i][2]) == 0, "free");
        HOLDS(vista_malloc_in(tx[0], segments[i], 40) != NULL, "malloc");
        HOLDS(vista_malloc_in(tx[1], segments[i], 9 * KIB) != NULL, "malloc");
        HOLDS(vista_free(tx[1], kept[i][8]) == 0, "free");
        change(tx[1], kept[i][4], 5, 2);
    }
    keep(open);
    fences_of = finishing;
    fences = 0;
    fences_kept = finishing != NULL ? 4 : 0;
    end(tx[1]);
    fences_of = NULL;
    die(segments[1]);
    done(segments[0]);
}

static void root_moves(void)
{
    vista_segment *segment = make(512 * KIB, 0, VISTA_CLASS_LINE);
    void *kept[9];

    fill(segment, kept, 40 * KIB);
    fences_of = "the root moves";
    fences = 0;
    fences_kept = 4;
    HOLDS(vista_root(segment, 20 * KIB) != NULL, "root");
    done(segment);
}

/* In a transaction that also frees and changes what was there. */
static void grows(void)
{
    vista_segment *segment = make(128 * KIB, VISTA_GROW, VISTA_CLASS_LINE);
    void *kept[9];
    vista_tx *tx;

    fill(segment, kept, 4 * KIB);
    tx = begin(segment);
    change(tx, kept[0], 16, 1);
    HOLDS(vista_free(tx, kept[2]) == 0, "free");
    fences_of = "the heap grows";
    fences = 0;
    fences_kept = 4;
    allocate(tx, 100 * KIB);
    end(tx);
    done(segment);
}

static void creation(void)
{
    fences_of = "being created";
    fences = 0;
    fences_kept = 2;
    done(make(64 * KIB, 0, VISTA_CLASS_LINE));
}

void bases_make(struct base bases[ALL])
{
    list = bases;
    count = 0;
    role = ALONE;
    clean(64 * KIB, 0, "clean, a small heap");
    clean(64 * KIB, VISTA_NO_HEAP, "clean, flat");
    clean(1024 * KIB, 0, "clean, a heap");
    clean(256 * KIB, VISTA_SPARSE, "clean, a sparse heap");
    heap(512 * KIB, 40 * KIB, 0, VISTA_CLASS_KILL, "open, kill-safe", NULL);
    heap(512 * KIB, 40 * KIB, 0, VISTA_CLASS_LINE, "open, cache lines", "finishing");
    heap(512 * KIB, 40 * KIB, VISTA_SPARSE, VISTA_CLASS_EADR, "open, sparse, eADR", NULL);
    chains(0, VISTA_CLASS_KILL, "chains, kill-safe");
    chains(0, VISTA_CLASS_LINE, "chains, cache lines");
    chains(VISTA_SPARSE, VISTA_CLASS_KILL, "chains, sparse");
    creation();
    HOLDS(count == BASES, "%u bases", count);
    role = HOME;
    group(VISTA_CLASS_KILL, "home, kill-safe", NULL);
    group(VISTA_CLASS_LINE, "home, cache lines", "home, finishing");
    role = MEMBER;
    group(VISTA_CLASS_KILL, "member, kill-safe", NULL);
    HOLDS(count == BASES + GROUPS - 1, "%u bases", count);
    group(VISTA_CLASS_LINE, "member, cache lines", NULL);
    for (unsigned i = BASES; i < count; i++)
        bases[i].flushes = strstr(bases[i].name, "kill-safe") == NULL;
    HOLDS(count == BASES + GROUPS, "%u bases", count);
    role = ALONE;
    root_moves();
    grows();
    HOLDS(count == ALL, "%u bases", count);
    HOLDS(vista_init(NULL) == 0, "vista_init");
}
