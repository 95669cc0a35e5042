/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the parts of vista-bench share.
 *
 * A row of a table is one workload on one peer in one durability class.  Every
 * run of a row is a process of its own (worker.c), started in turns by its parent
 * (turns.c): libpmem reads its environment once, when it is loaded, and a fresh
 * process gets fresh pages, so that the spread of the runs tells of both.
 *
 * A workload is written once, against the operations in peer.h, and compiled into
 * each peer's source, so that the calls of the measured loop are inlined.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "random.h"
#include "vista.h"

/* Durability classes of a row; the first ones are vista's. */
enum durability {
    CLASS_NONE = VISTA_CLASS_PROBE, /* no transactions: plain stores */
    CLASS_KILL = VISTA_CLASS_KILL,
    CLASS_LINE = VISTA_CLASS_LINE,
    CLASS_EADR = VISTA_CLASS_EADR,
    CLASS_SYNC, /* system calls that sync a file, for the peers that do */
    CLASSES
};

struct config {
    const char *command;
    const char *peers;   /* list with commas; NULL: the workload's own */
    const char *classes; /* likewise */
    const char *path;    /* a directory for files, or one file that is kept */
    const char *csv;
    const char *out;    /* directory of `all` */
    const char *verify; /* file to check instead of running */
    const char *acks;   /* file that counts what was acknowledged */
    double seconds;
    uint64_t seed;
    size_t size;  /* of the database, in bytes; 0: the workload's own */
    size_t range; /* bytes that a synthetic transaction changes */
    unsigned runs;
    unsigned threads;
    bool shared; /* threads share branches, under locks */
    bool resume; /* go on with the file that is there */
    bool json;
    bool worker; /* hidden: this is the process of one run */
};

#define LANE_COUNTS 8 /* a cache line of them */

/* A thread's own state, on cache lines of its own. */
struct lane {
    struct rng rng;
    uint64_t *done; /* [0] transactions acknowledged, others as the workload has them; in the
                       file of --acks if there is one; NULL: not known */
    uint64_t own_done[LANE_COUNTS];
} __attribute__((aligned(128)));

struct session {
    const struct config *config;
    const char *path;
    enum durability class;
    bool existing; /* open and recover `path` instead of creating it */
    bool killed;   /* it may hold one transaction more than was acknowledged */
    size_t size;
    size_t grows; /* set by the workload: what rows in the heap will take at most */
    unsigned threads;
    struct lane *lanes;
    void *state; /* the workload's */
};

#define CLASSES_MEMORY (1u << CLASS_KILL | 1u << CLASS_LINE | 1u << CLASS_EADR)
#define VERDICT_SIZE 160

/* What one run found. */
struct result {
    uint64_t transactions;
    double ns;             /* per transaction, wall time, of one thread */
    double rate;           /* transactions a second, of all threads */
    double p50, p99, p999; /* ns, from a pass of its own */
    double cpu;            /* ns of processor time per transaction, of the first thread alone */
    double cpu_all;        /* and of the whole process */
    double syncs;          /* calls that sync a file, per transaction */
    bool checked;
    char verdict[VERDICT_SIZE];
};

/* One workload on one peer. */
struct driver {
    const char *workload;
    const char *peer;
    unsigned classes; /* bit 1 << class for each that the peer has */
    bool one_thread;
    bool verifies; /* --verify has something to check */
    /* Creates and loads the store, or opens it.  Exits by bench_fail on errors. */
    void (*open)(struct session *session);
    /* Runs `count` transactions of one thread; fewer, as it returns, if the store is full. */
    unsigned (*batch)(struct session *session, unsigned lane, unsigned count);
    /* Checks the workload's invariants, telling in `text` what was found. */
    bool (*check)(struct session *session, char *text, size_t size);
    void (*close)(struct session *session);
    /* Not NULL: takes the place of all of these, and fills in ns, checked and verdict. */
    void (*measure)(struct session *session, struct result *result);
};

#define MAX_RUNS 100

/* A line of the table. */
struct row {
    const char *workload, *peer;
    enum durability class;
    unsigned threads;
    size_t size, range;
    bool shared;
    const char *path; /* a directory for its files; NULL: the config's */
    unsigned runs;
    double ns[MAX_RUNS]; /* of each turn */
    double cpu[MAX_RUNS];
    double p50[MAX_RUNS], p99[MAX_RUNS];
    struct result median; /* each figure's own median */
    double ns_low, ns_high;
    bool failed;
};

struct table {
    const struct config *config;
    struct row *rows;
    unsigned count;
};

/* command_rows.c: each returns the exit status */
int bench_one(struct config *config);
int bench_main_table(struct config *config);
int bench_synthetic(struct config *config);
int bench_heap(struct config *config);
int bench_recovery(struct config *config);
int bench_threads(struct config *config);
int bench_segments(struct config *config);
int bench_grams(struct config *config);
int bench_checkpoint(struct config *config);
int bench_protocols(struct config *config);
int bench_failures(struct config *config);
int bench_sizes(struct config *config);
void bench_add_row(struct table *table, const struct row *row);

/* command_disk.c */
int bench_disk(struct config *config);

/* command_rvm.c */
int bench_rvm(struct config *config);

/* all.c */
int bench_all(struct config *config);

/* bench.c */
const struct driver *bench_driver(const char *workload, const char *peer);
bool bench_peer_built(const char *peer); /* for any workload */
bool bench_peer_known(const char *peer);

/* options.c */
struct config bench_options(int argc, char **argv);
void bench_usage(FILE *out);
bool bench_list_has(const char *list, const char *name);
const char *bench_class_name(enum durability class);
enum durability bench_class(const char *name, size_t length);
void bench_usage_error(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* worker.c */
int bench_worker(const struct config *config);
int bench_verify(const struct config *config);
void bench_fail(const char *format, ...) __attribute__((noreturn, cold, format(printf, 1, 2)));
void bench_prefault(void *address, size_t length);
uint64_t bench_now(void); /* ns */
void bench_pin(unsigned lane);

/* turns.c */
void bench_turns(struct table *table);
int bench_compare_double(const void *a, const void *b);
double bench_median(double *values, unsigned count); /* sorts them */

/* Medians of what the rows compare as in each turn: for what slows the machine for some
 * seconds is in both, and in medians of each row it may be in one.  A ratio of times; a
 * difference, in ns; and of that in times of a third row, a ratio. */
double bench_ratio(const struct row *row, const struct row *other);
/* The same of the figures at one offset in both rows, as of `cpu`. */
double bench_ratio_at(const struct row *row, const struct row *other, size_t offset);
double bench_difference(const struct row *row, const struct row *other);
double bench_difference_in(const struct row *row, const struct row *other, const struct row *unit);
/* What grows from `one` to `most`, in times of what does from `other_one` to `other_most`. */
double bench_ratio_of_ratios(const struct row *one, const struct row *most,
                             const struct row *other_one, const struct row *other_most);

/* results.c */
int bench_report(const struct table *table);
void bench_print_machine(const struct table *table);
bool bench_write_csv(const struct table *table); /* to config->csv; false: it says why */
const struct row *bench_beside(const struct table *table, const struct row *row, const char *peer);
const char *bench_sharing(const struct row *row); /* what threads share, in words */

/* A file in the folder of --out for bench/plot, which begins with a line about the machine and the
 * runs; NULL: no such folder is asked for. */
FILE *bench_open_data(const struct config *config, const char *name);

/* syncs.c */
uint64_t bench_syncs(void); /* calls so far that synced a file, of all threads */

/* machine.c */
const char *bench_processor(void);
const char *bench_kernel(void);
const char *bench_compiler(void);
const char *bench_file_system(const char *path);
unsigned bench_processors(void);

#endif
