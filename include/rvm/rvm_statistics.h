/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What RVM has counted since it was started.
 */
#ifndef RVM_RVM_STATISTICS_H
#define RVM_RVM_STATISTICS_H

#include <rvm/rvm.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RVM_STATISTICS_VERSION "RVM Statistics Version 1.1"

typedef struct {
    rvm_struct_id_t struct_id;
    rvm_bool_t from_heap;

    rvm_length_t n_abort;           /* transactions aborted */
    rvm_length_t n_flush_commit;    /* transactions ended with flush */
    rvm_length_t n_no_flush_commit; /* and with no_flush */
    rvm_length_t n_uncommit;        /* transactions open now */
    rvm_length_t n_unflush;         /* committed, and not durable yet */
    rvm_length_t n_rvm_flush;       /* calls of rvm_flush */
    rvm_length_t n_truncation;      /* calls of rvm_truncate */
    rvm_length_t n_range;           /* ranges of transactions that ended */
    rvm_offset_t log_written;       /* bytes of records */
    rvm_offset_t log_size;          /* bytes of the log */
    rvm_offset_t log_used;          /* of these, in use */
    rvm_length_t reserved[185];     /* 0 */
} rvm_statistics_t;

/* Sets `statistics`, of the version that the program was compiled with: RVM_STATISTICS passes it.
 * RVM_ESTAT_VERSION_SKEW; RVM_ESTATISTICS; RVM_ELOG no log is open. */
rvm_return_t rvm_statistics(const char *version, rvm_statistics_t *statistics);
#define RVM_STATISTICS(statistics) rvm_statistics(RVM_STATISTICS_VERSION, statistics)

/* Prints them, a line each.  RVM_EIO the stream has failed. */
rvm_return_t rvm_print_statistics(rvm_statistics_t *statistics, FILE *stream);

rvm_statistics_t *rvm_malloc_statistics(void);
void rvm_init_statistics(rvm_statistics_t *statistics);
rvm_statistics_t *rvm_copy_statistics(rvm_statistics_t *statistics);
void rvm_free_statistics(rvm_statistics_t *statistics);

#ifdef __cplusplus
}
#endif

#endif
