/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The calls of rvm/rds.h.
 */
#include <pthread.h>
#include <rvm/rvm_segment.h>
#include <stdlib.h>
#include <string.h>

#include "rvm/rds_heap.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all of these */
static struct rds_heap *heap;                            /* NULL: not started */
static rvm_region_def_t *loaded;                         /* its segment's regions */
static rvm_length_t regions;
static rds_stats_t counts;
static FILE *trace;

/* ---- Calls ------------------------------------------------------------------ */

/* Begins a call that stores; the lock is held until `end`. */
static int begin(struct rds_writer *writer, rvm_tid_t *tid, bool needs_heap)
{
    *writer = (struct rds_writer){.tid = tid};
    pthread_mutex_lock(&lock);
    if (needs_heap && heap == NULL)
        writer->error = EHEAP_INIT;
    if (writer->error != 0 || tid != NULL)
        return writer->error;
    rvm_init_tid(&writer->own);
    writer->tid = &writer->own;
    return writer->error = (int)rvm_begin_transaction(writer->tid, restore);
}

static int report(int *err, int error)
{
    if (err != NULL)
        *err = error;
    return error == 0 ? 0 : -1;
}

/* What a call that failed has stored in a transaction of the program's the program takes back. */
static int end(struct rds_writer *writer, rvm_mode_t mode, const char *what, const void *address,
               int *err)
{
    if (writer->tid == &writer->own) {
        if (writer->error == 0)
            writer->error = (int)rvm_end_transaction(writer->tid, mode);
        if (writer->error != 0)
            (void)rvm_abort_transaction(writer->tid);
    }
    if (trace != NULL)
        fprintf(trace, "rds_%s: %p, code %d\n", what, address, writer->error);
    pthread_mutex_unlock(&lock);
    return report(err, writer->error);
}

static struct rds_block *take(struct rds_writer *writer, rvm_length_t size)
{
    const uint64_t chunks = rds_heap_chunks(heap, size);
    struct rds_block *block = size <= heap->length ? rds_heap_find(heap, chunks) : NULL;

    if (block == NULL)
        return writer->error = ENO_ROOM, NULL;
    counts.hits += rds_chunks_of(block) == chunks;
    counts.misses += rds_chunks_of(block) != chunks;
    rds_heap_take(writer, heap, block, chunks);
    return block;
}

char *rds_malloc(rvm_length_t size, rvm_tid_t *tid, int *err)
{
    struct rds_block *block = NULL;
    struct rds_writer writer;

    if (begin(&writer, tid, true) == 0) {
        counts.malloc++;
        block = take(&writer, size);
    }
    return end(&writer, no_flush, "malloc", block, err) == 0 ? (char *)(&block->word + 1) : NULL;
}

static void give(struct rds_writer *writer, char *address)
{
    struct rds_block *block = (struct rds_block *)((uintptr_t)address - sizeof block->word);
    const uint64_t offset = (uintptr_t)block - (uintptr_t)rds_heap_first(heap);

    counts.free++;
    if ((uintptr_t)address % sizeof block->word != 0 || offset >= heap->chunks * heap->chunk_size ||
        offset % heap->chunk_size != 0)
        writer->error = EBAD_ARGS;
    else if (block->word >> 32 == RDS_FREE)
        writer->error = EFREED_TWICE;
    else
        writer->error = rds_heap_judge(heap, block);
    if (writer->error == 0)
        counts.coalesce += rds_heap_give(writer, heap, block, true);
}

int rds_free(char *address, rvm_tid_t *tid, int *err)
{
    struct rds_writer writer;

    if (begin(&writer, tid, true) == 0)
        give(&writer, address);
    return end(&writer, no_flush, "free", address, err);
}

int rds_prealloc(rvm_length_t size, rvm_length_t count, rvm_tid_t *tid, int *err)
{
    struct rds_block *block, *all = NULL;
    struct rds_writer writer;

    if (begin(&writer, tid, true) == 0)
        counts.prealloc++;
    for (rvm_length_t i = 0; i < count && writer.error == 0; i++) {
        block = take(&writer, size);
        if (writer.error == 0 && rvm_modify_bytes(writer.tid, &block->next, &all, sizeof all) == 0)
            all = block;
    }
    for (; all != NULL && writer.error == 0; all = block) {
        block = all->next;
        (void)rds_heap_give(&writer, heap, all, false);
    }
    return end(&writer, no_flush, "prealloc", NULL, err);
}

int rds_maxblock(rvm_length_t size)
{
    int found;

    pthread_mutex_lock(&lock);
    found = heap != NULL && size <= heap->length &&
            rds_heap_find(heap, rds_heap_chunks(heap, size)) != NULL;
    pthread_mutex_unlock(&lock);
    return found;
}

/* ---- Intentions --------------------------------------------------------------- */

int rds_fake_free(char *address, intentList_t *list)
{
    if (list->count == list->size) {
        const unsigned long size = list->size != 0 ? 2 * list->size : 16;
        char **grown = realloc(list->table, size * sizeof *grown);

        if (grown == NULL)
            return ERVM_FAILED;
        list->table = grown;
        list->size = size;
    }
    list->table[list->count++] = address;
    return SUCCESS;
}

int rds_do_free(intentList_t *list, rvm_mode_t mode)
{
    struct rds_writer writer;
    int error;

    if (begin(&writer, NULL, true) == 0)
        for (unsigned long i = 0; i < list->count && writer.error == 0; i++)
            give(&writer, list->table[i]);
    (void)end(&writer, mode, "do_free", NULL, &error);
    if (error != 0)
        return error;
    free(list->table);
    *list = (intentList_t){0};
    return SUCCESS;
}

/* ---- Making and loading -------------------------------------------------------- */

int rds_init_heap(char *base, rvm_length_t length, unsigned long chunk_size, unsigned long nlists,
                  rvm_tid_t *tid, int *err)
{
    struct rds_writer writer;

    if (base == NULL || (uintptr_t)base % sizeof(uint64_t) != 0 || chunk_size % 8 != 0 ||
        chunk_size < 16 || nlists == 0 || nlists > length / sizeof(uint64_t) ||
        length < sizeof(struct rds_heap) + (nlists + 8) * sizeof(uint64_t))
        return report(err, EBAD_ARGS);
    if (begin(&writer, tid, false) == 0)
        rds_heap_format(&writer, (struct rds_heap *)base, length, chunk_size, nlists);
    return end(&writer, flush, "init_heap", base, err);
}

static int load(char *dev_name, rvm_offset_t dev_length, char **static_addr, int *err)
{
    int result = loaded != NULL ? EHEAP_INIT : 0;

    if (result == 0)
        result = (int)rvm_load_segment(dev_name, dev_length, NULL, &regions, &loaded);
    if (result == 0 && regions != 2) {
        (void)rvm_release_segment(regions, &loaded);
        result = EBAD_SEGMENT_HDR;
    }
    if (result == (int)RVM_ESEGMENT_HDR)
        result = EBAD_SEGMENT_HDR;
    if (result == 0 && static_addr != NULL)
        *static_addr = loaded[1].vmaddr;
    return report(err, result);
}

int rds_zap_heap(char *dev_name, rvm_offset_t dev_length, char *start, rvm_length_t static_length,
                 rvm_length_t heap_length, unsigned long nlists, unsigned long chunk_size, int *err)
{
    rvm_region_def_t parts[2] = {
        {rvm_mk_offset(0, RVM_SEGMENT_HDR_SIZE), heap_length, start},
        {rvm_mk_offset(0, RVM_SEGMENT_HDR_SIZE + heap_length), static_length, start + heap_length}};
    int result = (int)rvm_create_segment(dev_name, dev_length, NULL, 2, parts);

    if (result != 0)
        return report(err, result);
    return load(dev_name, dev_length, NULL, err) == 0
               ? rds_init_heap(start, heap_length, chunk_size, nlists, NULL, err)
               : -1;
}

int rds_start_heap(char *start, int *err)
{
    struct rds_heap *at = (struct rds_heap *)start;
    int result = 0;

    pthread_mutex_lock(&lock);
    if (heap != NULL)
        result = EHEAP_INIT;
    else if (at == NULL || at->magic != RDS_MAGIC)
        result = EHEAP_VERSION_SKEW;
    else
        heap = at;
    counts = (rds_stats_t){0};
    pthread_mutex_unlock(&lock);
    return report(err, result);
}

int rds_stop_heap(int *err)
{
    pthread_mutex_lock(&lock);
    report(err, heap != NULL ? 0 : EHEAP_INIT);
    heap = NULL;
    pthread_mutex_unlock(&lock);
    return -1;
}

int rds_load_heap(char *dev_name, rvm_offset_t dev_length, char **static_addr, int *err)
{
    if (load(dev_name, dev_length, static_addr, err) != 0)
        return -1;
    return rds_start_heap(loaded[0].vmaddr, err);
}

int rds_unload_heap(int *err)
{
    int result;

    (void)rds_stop_heap(&result);
    if (loaded == NULL)
        return report(err, EHEAP_INIT);
    return report(err, (int)rvm_release_segment(regions, &loaded));
}

/* ---- Looking --------------------------------------------------------------------- */

int rds_get_stats(rds_stats_t *stats)
{
    pthread_mutex_lock(&lock);
    *stats = counts;
    if (heap != NULL) {
        stats->mallocbytes = heap->used * heap->chunk_size;
        stats->freebytes = (heap->chunks - heap->used) * heap->chunk_size;
    }
    pthread_mutex_unlock(&lock);
    return heap != NULL ? 0 : EHEAP_INIT;
}

int rds_print_stats(void)
{
    rds_stats_t s;
    const int result = rds_get_stats(&s);

    printf("calls: %lu malloc (%lu of a block that fits, %lu split), %lu prealloc, %lu free (%lu "
           "joined)\nbytes: %lu used, %lu free\n",
           s.malloc, s.hits, s.misses, s.prealloc, s.free, s.coalesce, s.mallocbytes, s.freebytes);
    return result;
}

int rds_print_heap(void)
{
    const struct rds_block *block;
    uint64_t left;

    pthread_mutex_lock(&lock);
    block = heap != NULL ? rds_heap_first(heap) : NULL;
    left = heap != NULL ? heap->chunks : 1;
    for (; block != NULL && left != 0 && rds_heap_judge(heap, block) == 0;
         left -= rds_chunks_of(block), block = rds_heap_next(heap, block))
        printf("%p %s %lu\n", (const void *)(&block->word + 1),
               rds_is_free(block) ? "free" : "used",
               rds_chunks_of(block) * heap->chunk_size - RDS_AROUND);
    pthread_mutex_unlock(&lock);
    return left == 0 ? 0 : -1;
}

int rds_trace_on(FILE *stream)
{
    pthread_mutex_lock(&lock);
    trace = stream;
    pthread_mutex_unlock(&lock);
    return 0;
}

int rds_trace_off(void)
{
    return rds_trace_on(NULL);
}
