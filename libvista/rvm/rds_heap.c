/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The heap in recoverable memory: see rds_heap.h.
 */
#include "rvm/rds_heap.h"

static void put(struct rds_writer *writer, void *at, uint64_t value)
{
    if (writer->error == 0)
        writer->error = (int)rvm_modify_bytes(writer->tid, at, &value, sizeof value);
}

static void put_link(struct rds_writer *writer, struct rds_block **at, struct rds_block *to)
{
    put(writer, at, (uint64_t)(uintptr_t)to);
}

/* ---- Where blocks are ------------------------------------------------------ */

struct rds_block *rds_heap_first(const struct rds_heap *heap)
{
    return (struct rds_block *)(&heap->list[heap->lists] + 1); /* behind a word */
}

static uint64_t *end_of(const struct rds_heap *heap)
{
    return (uint64_t *)((char *)rds_heap_first(heap) + heap->chunks * heap->chunk_size);
}

struct rds_block *rds_heap_next(const struct rds_heap *heap, const struct rds_block *block)
{
    return (struct rds_block *)((char *)block + rds_chunks_of(block) * heap->chunk_size);
}

static uint64_t *last_word(const struct rds_heap *heap, const struct rds_block *block)
{
    return (uint64_t *)rds_heap_next(heap, block) - 1;
}

uint64_t rds_heap_chunks(const struct rds_heap *heap, uint64_t size)
{
    const uint64_t bytes = size + RDS_AROUND < RDS_SMALLEST ? RDS_SMALLEST : size + RDS_AROUND;

    return (bytes + heap->chunk_size - 1) / heap->chunk_size;
}

int rds_heap_judge(const struct rds_heap *heap, const struct rds_block *block)
{
    const char *const first = (char *)rds_heap_first(heap);
    const uint64_t offset = (uint64_t)((const char *)block - first), kind = block->word >> 32;
    const uint64_t size = heap->chunks * heap->chunk_size;

    if (kind != RDS_USED && kind != RDS_FREE)
        return ECORRUPT;
    return rds_chunks_of(block) != 0 && offset < size &&
                   rds_chunks_of(block) <= (size - offset) / heap->chunk_size &&
                   *last_word(heap, block) == block->word
               ? 0
               : ECORRUPT;
}

/* ---- Lists ----------------------------------------------------------------- */

static struct rds_block **list_of(struct rds_heap *heap, uint64_t chunks)
{
    return &heap->list[(chunks < heap->lists ? chunks : heap->lists) - 1];
}

static void put_words(struct rds_writer *writer, const struct rds_heap *heap,
                      struct rds_block *block, uint64_t kind, uint64_t chunks)
{
    put(writer, &block->word, kind << 32 | chunks);
    put(writer, (char *)block + chunks * heap->chunk_size - sizeof block->word,
        kind << 32 | chunks);
}

static void link_free(struct rds_writer *writer, struct rds_heap *heap, struct rds_block *block,
                      uint64_t chunks)
{
    struct rds_block **list = list_of(heap, chunks);

    put_words(writer, heap, block, RDS_FREE, chunks);
    put_link(writer, &block->next, *list);
    put_link(writer, &block->previous, NULL);
    if (*list != NULL)
        put_link(writer, &(*list)->previous, block);
    put_link(writer, list, block);
}

static void unlink_free(struct rds_writer *writer, struct rds_heap *heap, struct rds_block *block)
{
    struct rds_block **from =
        block->previous != NULL ? &block->previous->next : list_of(heap, rds_chunks_of(block));

    if (*from != block || (block->next != NULL && block->next->previous != block))
        writer->error = EBAD_LIST;
    put_link(writer, from, block->next);
    if (block->next != NULL)
        put_link(writer, &block->next->previous, block->previous);
}

/* ---- Blocks ---------------------------------------------------------------- */

void rds_heap_format(struct rds_writer *writer, struct rds_heap *heap, uint64_t length,
                     uint64_t chunk_size, uint64_t lists)
{
    const struct rds_heap sizes = {.chunk_size = chunk_size, .lists = lists};
    const uint64_t room = length - ((char *)&heap->list[lists] - (char *)heap) - RDS_AROUND;
    const uint64_t most = room / chunk_size < UINT32_MAX ? room / chunk_size : UINT32_MAX;
    const uint64_t words[] = {RDS_MAGIC, length, chunk_size, lists, 0, most};

    if (rds_heap_chunks(&sizes, 0) > most)
        writer->error = ENO_ROOM;
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
        put(writer, (uint64_t *)heap + i, words[i]);
    for (uint64_t i = 0; i < lists; i++)
        put_link(writer, &heap->list[i], NULL);
    if (writer->error != 0)
        return;
    put(writer, (uint64_t *)rds_heap_first(heap) - 1, (uint64_t)RDS_USED << 32);
    put(writer, end_of(heap), (uint64_t)RDS_USED << 32);
    link_free(writer, heap, rds_heap_first(heap), most);
}

struct rds_block *rds_heap_find(const struct rds_heap *heap, uint64_t chunks)
{
    for (uint64_t i = chunks < heap->lists ? chunks : heap->lists; i <= heap->lists; i++)
        for (struct rds_block *block = heap->list[i - 1]; block != NULL; block = block->next)
            if (rds_chunks_of(block) >= chunks)
                return block;
    return NULL;
}

void rds_heap_take(struct rds_writer *writer, struct rds_heap *heap, struct rds_block *block,
                   uint64_t chunks)
{
    const uint64_t all = rds_chunks_of(block);

    if (rds_heap_judge(heap, block) != 0 || !rds_is_free(block))
        writer->error = EBAD_LIST;
    if (all - chunks < rds_heap_chunks(heap, 0))
        chunks = all;
    unlink_free(writer, heap, block);
    if (chunks != all)
        link_free(writer, heap, (struct rds_block *)((char *)block + chunks * heap->chunk_size),
                  all - chunks);
    put_words(writer, heap, block, RDS_USED, chunks);
    put(writer, &heap->used, heap->used + chunks);
}

unsigned rds_heap_give(struct rds_writer *writer, struct rds_heap *heap, struct rds_block *block,
                       bool join)
{
    const uint64_t before = ((uint64_t *)block)[-1], own = rds_chunks_of(block);
    struct rds_block *next = rds_heap_next(heap, block);
    uint64_t chunks = own;
    unsigned joined = 0;

    if (join && rds_is_free(next)) {
        chunks += rds_chunks_of(next);
        unlink_free(writer, heap, next);
        joined++;
    }
    if (join && before >> 32 == RDS_FREE) {
        block = (struct rds_block *)((char *)block - (uint32_t)before * heap->chunk_size);
        chunks += (uint32_t)before;
        unlink_free(writer, heap, block);
        joined++;
    }
    link_free(writer, heap, block, chunks);
    put(writer, &heap->used, heap->used - own);
    return joined;
}
