/* SPDX-License-Identifier: BSD-3-Clause
 *
 * usage: misuse FILE HOW
 *
 * Uses heap blocks wrongly, or only as is allowed, for AddressSanitizer and Valgrind to
 * see: test_watch.c runs it.  Exit status 1: it is this program itself that failed.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vista.h"

#define SIZE 64 /* of a size class: without a margin the next block would follow at once */

struct root {
    char *block, *other;
};

static vista_segment *segment;
static struct root *root;
static volatile char sink;

static void require(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "misuse: %s: %s\n", what, vista_errormsg());
    exit(1);
}

static vista_tx *begin(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    require(tx != NULL && vista_set_range(tx, root, sizeof *root) == 0, "begin");
    return tx;
}

static void end(vista_tx *tx)
{
    require(vista_end_transaction(tx, 0) == 0, "end");
}

static void map(const char *path)
{
    segment = vista_map(path, 1 << 20, VISTA_CREATE, NULL);
    root = vista_root(segment, sizeof *root);
    require(root != NULL, "map");
}

/* Two blocks side by side, of one size. */
static void make(size_t size)
{
    vista_tx *tx = begin();

    root->block = vista_malloc(tx, size);
    root->other = vista_malloc(tx, size);
    require(root->block != NULL && root->other != NULL, "malloc");
    memset(root->block, 1, size);
    memset(root->other, 2, size);
    end(tx);
}

static void free_block(void)
{
    vista_tx *tx = begin();

    require(vista_free(tx, root->block) == 0, "free");
    sink = root->block[0]; /* readable until the commit */
    end(tx);
}

static void after_free(const char *path)
{
    (void)path;
    make(SIZE);
    free_block();
    sink = root->block[8];
}

static void after_free_large(const char *path)
{
    (void)path;
    make(100000);
    free_block();
    root->block[50000] = 1;
}

static void after_abort(const char *path)
{
    vista_tx *tx = begin();
    char *block = vista_malloc(tx, SIZE);

    (void)path;
    require(block != NULL && vista_abort_transaction(tx) == 0, "abort");
    block[0] = 1;
}

static void after_both(const char *path)
{
    vista_tx *tx = begin();
    char *block = vista_malloc(tx, SIZE);

    (void)path;
    require(block != NULL && vista_free(tx, block) == 0, "free");
    end(tx);
    sink = block[0];
}

/* It goes back before its turn, with others of its size. */
static void after_both_of_many(const char *path)
{
    vista_tx *tx = begin();
    char *block = NULL;

    (void)path;
    for (int i = 0; i < 40; i++)
        require((block = vista_malloc(tx, 3000)) != NULL, "malloc");
    require(vista_free(tx, block) == 0 && vista_abort_transaction(tx) == 0, "abort");
    sink = block[0];
}

static void beyond(const char *path)
{
    (void)path;
    make(SIZE);
    root->block[SIZE] = 1;
}

static void before(const char *path)
{
    (void)path;
    make(SIZE);
    sink = (root->block < root->other ? root->other : root->block)[-1];
}

static void after_restart(const char *path)
{
    make(SIZE);
    free_block();
    require(vista_unmap(segment) == 0, "unmap");
    map(path);
    sink = root->other[SIZE - 1];
    sink = root->block[0];
}

static void after_growth(const char *path)
{
    (void)path;
    require(vista_resize(segment, 2 << 20) == 0, "resize");
    sink = ((char *)vista_base(segment))[(2 << 20) - 1];
}

static void undefined(const char *path)
{
    vista_tx *tx = begin();

    (void)path;
    root->block = vista_malloc(tx, SIZE);
    require(root->block != NULL, "malloc");
    end(tx);
    if (root->block[SIZE - 1] == 0)
        sink = 1;
}

/* Where the segment was, and was larger for a while. */
static void map_another(void *at)
{
    char *other = mmap(at, 2 << 20, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    require(other == at, "mmap");
    memset(other, 1, 2 << 20);
}

/* All that is allowed; an abort puts back what it freed, and what was declared. */
static void nothing(const char *path)
{
    void *base = vista_base(segment);
    vista_tx *tx;
    char *grown;

    make(SIZE);
    tx = begin();
    require(vista_set_range(tx, root->block, SIZE) == 0, "set_range");
    memset(root->block, 9, SIZE);
    require(vista_free(tx, root->block) == 0 && vista_abort_transaction(tx) == 0, "abort");
    require(root->block[SIZE - 1] == 1, "the block is not back");

    tx = begin();
    grown = vista_malloc(tx, 10);
    require(grown != NULL && vista_set_range(tx, grown, 10) == 0, "malloc");
    require(vista_free(tx, grown) == 0 && vista_abort_transaction(tx) == 0, "abort");

    tx = begin();
    root->block = grown = vista_realloc(tx, root->block, 5000);
    require(grown != NULL && grown[SIZE - 1] == 1, "realloc");
    grown[4999] = 1;
    require(vista_realloc(tx, grown, 4990) == grown, "realloc in place");
    memset(grown, 3, vista_usable_size(segment, grown));
    require(vista_calloc(tx, 3, 7) != NULL, "calloc");
    end(tx);
    root = vista_root(segment, 3000);
    require(root != NULL && ((char *)root)[2999] == 0, "root");
    require(vista_unmap(segment) == 0, "unmap");
    map(path);
    require(root->block[0] == 3 && root->other[SIZE - 1] == 2, "what was stored");
    require(vista_resize(segment, 2 << 20) == 0, "grow");
    require(vista_resize(segment, 1 << 20) == 0, "shrink");
    require(root->block[0] == 3 && root->other[SIZE - 1] == 2, "what was stored");
    root = vista_root(segment, 50000);
    require(root != NULL && ((char *)root)[49999] == 0, "root");
    require(vista_unmap(segment) == 0, "unmap");
    map_another(base);
    puts("nothing wrong was done");
}

/* Whose commits copy blocks as a whole. */
static void nothing_on_disk(const char *path)
{
    const struct vista_options disk = {.force_class = VISTA_CLASS_DISK};
    vista_tx *tx;

    require(vista_unmap(segment) == 0 && vista_init(&disk) == 0, "unmap");
    map(path);
    tx = begin();
    require(vista_calloc(tx, 1, 3000000 / 4) != NULL && vista_calloc(tx, 1, 50) != NULL, "calloc");
    end(tx);
    nothing(path);
}

static const struct {
    const char *name;
    void (*run)(const char *path);
} ways[] = {
    {"after-free", after_free},
    {"after-free-large", after_free_large},
    {"after-abort", after_abort},
    {"after-both", after_both},
    {"after-both-of-many", after_both_of_many},
    {"beyond", beyond},
    {"before", before},
    {"after-growth", after_growth},
    {"after-restart", after_restart},
    {"undefined", undefined},
    {"nothing", nothing},
    {"nothing-on-disk", nothing_on_disk},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 3 && i < sizeof ways / sizeof *ways; i++)
        if (strcmp(argv[2], ways[i].name) == 0) {
            map(argv[1]);
            ways[i].run(argv[1]);
            return 0;
        }
    return 1;
}
