/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A program as its author would write it for RVM's interface, and knowing nothing of this library: test/install_test
 * and test/packages_test compile it with -I, -L and -lrds -lseg -lrvm alone.
 *
 * usage: rvm_program LOG DATA HEAP
 *
 * DATA is a raw image of at least 8 KiB.  Each run adds 1 to the long at byte 4096, puts a
 * node to the list in HEAP, and prints the number, the sum of the list and how it ended.
 */
#include <rvm/rds.h>
#include <rvm/rvm.h>
#include <rvm/rvm_segment.h>
#include <rvm/rvm_statistics.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct node {
    struct node *next;
    long number;
};

static void check(rvm_return_t result, const char *what)
{
    if (result != RVM_SUCCESS) {
        fprintf(stderr, "%s: %s\n", what, rvm_return(result));
        exit(1);
    }
}

static long add_one(char *data)
{
    rvm_region_t *region = rvm_malloc_region();
    rvm_tid_t *tid = rvm_malloc_tid();
    long *number;

    region->data_dev = data;
    region->offset = RVM_MK_OFFSET(0, 4096);
    region->length = RVM_RND_LENGTH_UP_TO_PAGE(1);
    check(rvm_map(region, NULL), "rvm_map");
    number = (long *)region->vmaddr;
    check(rvm_begin_transaction(tid, restore), "rvm_begin_transaction");
    check(rvm_set_range(tid, number, sizeof *number), "rvm_set_range");
    ++*number;
    check(rvm_end_transaction(tid, flush), "rvm_end_transaction");
    rvm_free_tid(tid);
    rvm_free_region(region);
    return *number;
}

static long add_node(char *heap, long number)
{
    rvm_offset_t length = RVM_MK_OFFSET(0, 0);
    char *address = NULL;
    struct node **list, *node;
    rvm_tid_t tid;
    long sum = 0;
    int err;

    if (access(heap, F_OK) != 0) {
        rds_zap_heap(heap, length, (char *)0x7e9000000000, RVM_PAGE_SIZE, 16 * RVM_PAGE_SIZE, 10,
                     RDS_CHUNK_SIZE, &err);
        if (err == SUCCESS)
            rds_start_heap((char *)0x7e9000000000, &err);
        address = (char *)0x7e9000000000 + 16 * RVM_PAGE_SIZE;
    } else {
        rds_load_heap(heap, length, &address, &err);
    }
    if (err != SUCCESS)
        exit(2);
    list = (struct node **)address;
    rvm_init_tid(&tid);
    check(rvm_begin_transaction(&tid, restore), "rvm_begin_transaction");
    node = (struct node *)rds_malloc(sizeof *node, &tid, &err);
    if (err != SUCCESS)
        exit(3);
    check(rvm_set_range(&tid, node, sizeof *node), "rvm_set_range");
    node->next = *list;
    node->number = number;
    check(rvm_modify_bytes(&tid, list, &node, sizeof node), "rvm_modify_bytes");
    check(rvm_end_transaction(&tid, no_flush), "rvm_end_transaction");
    for (node = *list; node != NULL; node = node->next)
        sum += node->number;
    return sum;
}

int main(int argc, char **argv)
{
    rvm_options_t *options = rvm_malloc_options();
    rvm_statistics_t statistics;
    long number, sum;

    if (argc != 4)
        return 4;
    options->log_dev = argv[1];
    options->truncate = 30;
    options->flags = RVM_COALESCE_RANGES;
    if (access(argv[1], F_OK) != 0) {
        options->create_log_file = rvm_true;
        options->create_log_size = RVM_MK_OFFSET(0, 1 << 20);
    }
    check(RVM_INIT(options), "RVM_INIT");
    number = add_one(argv[2]);
    sum = add_node(argv[3], number);
    rvm_init_statistics(&statistics);
    check(RVM_STATISTICS(&statistics), "RVM_STATISTICS");
    check(rvm_truncate(), "rvm_truncate");
    check(rvm_terminate(), "rvm_terminate");
    rvm_free_options(options);
    printf("%ld %ld %s\n", number, sum, rvm_return(RVM_SUCCESS));
    return 0;
}
