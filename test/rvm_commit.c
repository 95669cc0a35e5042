/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Leaves a log with two records behind, for test/rvmutl_test.  usage: rvm_commit LOG DATA
 */
#include <rvm/rvm.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    rvm_options_t *options = rvm_malloc_options();
    rvm_region_t *region = rvm_malloc_region();
    rvm_tid_t tid;

    if (argc != 3)
        return 2;
    options->log_dev = argv[1];
    options->create_log_file = rvm_true;
    region->data_dev = argv[2];
    if (RVM_INIT(options) != RVM_SUCCESS || rvm_map(region, NULL) != RVM_SUCCESS)
        return 3;
    rvm_init_tid(&tid);
    if (rvm_begin_transaction(&tid, restore) != RVM_SUCCESS ||
        rvm_modify_bytes(&tid, region->vmaddr + 100, "hello", 5) != RVM_SUCCESS ||
        rvm_end_transaction(&tid, flush) != RVM_SUCCESS ||
        rvm_begin_transaction(&tid, no_restore) != RVM_SUCCESS ||
        rvm_modify_bytes(&tid, region->vmaddr + 100, "jello", 5) != RVM_SUCCESS ||
        rvm_modify_bytes(&tid, region->vmaddr + 4096, "!", 1) != RVM_SUCCESS ||
        rvm_end_transaction(&tid, no_flush) != RVM_SUCCESS)
        return 4;
    _exit(0);
}
