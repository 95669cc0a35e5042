/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Lightweight recoverable virtual memory: the interface that Satyanarayanan, Mashburn, Kumar, Steere
 * and Kistler describe (ACM Transactions on Computer Systems 12(1), 1994), as programs written for
 * Coda's librvm use it.  Link with -lrvm.
 *
 * A *segment* is a file, a raw image of bytes.  A *region* of it is mapped into memory; a program
 * changes that by ordinary stores, inside transactions, and declares with rvm_set_range what it will change.
 * At a transaction's end the declared ranges, as they are then, become one record of the *log*, a file
 * of its own.  A flushed end returns when the record is on the disk.  *Truncation* carries records to the
 * segments and frees the log; rvm_initialize recovers what a crash has left in it.
 *
 * A log belongs to one process at a time, and must be its user's own file that nobody else may write.
 * A segment is in use with one log at a time: nothing keeps a second one from it, and then either overwrites what the
 * other has committed.
 * All calls may be made by any thread; a transaction is one thread's at a time.  Transactions are not
 * isolated from each other: who shares memory between them locks it.  After a fork the child has the
 * mapped memory, and no RVM: calls are RVM_EINIT until it begins its own, in which the parent's regions are not mapped and
 * its transactions not open.
 *
 * Calls return RVM_SUCCESS or the code of what was wrong.  Of every call:
 *   RVM_EINIT   rvm_initialize has not succeeded yet, or rvm_terminate has
 *   RVM_EREGION, RVM_EOPTIONS, RVM_ETID, RVM_ESTATISTICS   a structure was not made by rvm_malloc_X or
 *               rvm_init_X; of a tid also: there is no such transaction open
 *   RVM_EIO     reading, writing or syncing a file failed, and errno says how.  Once a write or sync of the log
 *               has failed nothing can be committed any more: what is durable the next start tells.
 */
#ifndef RVM_RVM_H
#define RVM_RVM_H

#include <sys/time.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RVM_VERSION "RVM Interface Version 1.3  7 Mar 1994"

typedef unsigned long rvm_length_t;
typedef int rvm_bool_t;
#define rvm_false 0
#define rvm_true 1

/* A place in a segment or a log, or a length there: high * 2^64 + low.  `high` is 0 of all files. */
typedef struct {
    rvm_length_t high;
    rvm_length_t low;
} rvm_offset_t;

typedef enum {
    RVM_SUCCESS = 0,
    RVM_EINIT = 200,
    RVM_EINTERNAL = 201, /* never returned */
    RVM_EIO = 202,
    RVM_EUNUSED = 203,           /* never returned */
    RVM_ELOG = 204,              /* no log is open, or the file is none, or not to be trusted */
    RVM_ELOG_VERSION_SKEW = 205, /* another version's log */
    RVM_EMODE = 206,             /* not a mode for this call */
    RVM_ENAME_TOO_LONG = 207,
    RVM_ENO_MEMORY = 208,
    RVM_ENOT_MAPPED = 209,        /* not inside one mapped region */
    RVM_EOFFSET = 210,            /* beyond the segment's end */
    RVM_EOPTIONS = 211,           /* the options cannot be */
    RVM_EOVERLAP = 212,           /* that part of the segment is mapped already */
    RVM_EPAGER = 213,             /* there are no external pagers */
    RVM_ERANGE = 214,             /* the addresses cannot be */
    RVM_EREGION = 215,            /* no region */
    RVM_EREGION_DEF = 216,        /* the region names no segment */
    RVM_ESRC = 217,               /* the source is NULL */
    RVM_ESTATISTICS = 218,        /* no statistics */
    RVM_ESTAT_VERSION_SKEW = 219, /* statistics of another version of this interface */
    RVM_ETERMINATED = 220,        /* never returned: RVM_EINIT is */
    RVM_ETHREADS = 221,           /* never returned: all threads are alike */
    RVM_ETID = 222,               /* no open transaction; or one is open already */
    RVM_ETOO_BIG = 223,           /* the transaction's record is larger than the log was made for */
    RVM_EUNCOMMIT = 224,          /* transactions are open */
    RVM_EVERSION_SKEW = 225,      /* the program was compiled with another version of this header */
    RVM_EVM_OVERLAP = 226         /* another region is at these addresses */
} rvm_return_t;

typedef enum { restore = 140, no_restore = 141, flush = 142, no_flush = 143 } rvm_mode_t;

typedef enum {
    rvm_region_id = 40,
    rvm_options_id = 41,
    rvm_tid_id = 42,
    rvm_statistics_id = 43
} rvm_struct_id_t;

/* ---- Structures ----------------------------------------------------------
 *
 * Each is made by rvm_malloc_X, or is the program's own and prepared by rvm_init_X.  The first two
 * fields are not to be changed.  rvm_copy_X makes a copy by malloc, NULL without memory; pointers in it are the same
 * ones.  rvm_free_X frees what rvm_malloc_X or rvm_copy_X returned; a program's own structure is only made unusable. */

/* A transaction. */
typedef struct {
    rvm_struct_id_t struct_id;
    rvm_bool_t from_heap;
    struct timeval uname; /* names it among all of this process */
    void *tid;            /* the library's */
    void *reserved;       /* the program's */
} rvm_tid_t;

/* A part of a segment, for rvm_map and rvm_unmap. */
typedef struct {
    rvm_struct_id_t struct_id;
    rvm_bool_t from_heap;
    char *data_dev; /* the segment's file; a string of the program's */
    rvm_offset_t
        dev_length;      /* where the segment ends, if the file is longer; 0: at the file's end */
    rvm_offset_t offset; /* where the region begins */
    char *vmaddr;        /* where in memory; NULL: the library chooses */
    rvm_length_t length; /* 0: to the segment's end */
    rvm_bool_t no_copy;  /* the memory has the bytes already: they are not read */
} rvm_region_t;

/* Optimizations and ways to map. */
#define RVM_COALESCE_RANGES 1 /* a range inside the one declared before it is logged once */
#define RVM_COALESCE_TRANS 2  /* without effect: each transaction has its own record */
#define RVM_ALL_OPTIMIZATIONS 3
#define RVM_MAP_PRIVATE 8 /* a region's pages are read when they are used first */

#define RVM_TRUNCATE_DEFAULT 50

typedef struct {
    rvm_struct_id_t struct_id;
    rvm_bool_t from_heap;
    char *log_dev; /* the log's file; a string of the program's; NULL: no log */
    long truncate; /* 1 to 100: truncated by a thread when that full (per cent); 0: when full */
    rvm_length_t recovery_buf_len; /* without effect */
    rvm_length_t flush_buf_len;    /* without effect */
    rvm_length_t max_read_len;     /* without effect */
    rvm_bool_t log_empty;          /* set by rvm_query: the log holds no record */
    rvm_length_t n_uncommit;       /* set by rvm_query: how many transactions are open */
    rvm_tid_t *
        tid_array; /* set by rvm_query: they; until the next query with these options, or rvm_free_options */
    char *pager;                  /* has to be NULL */
    rvm_length_t flags;           /* of the above */
    rvm_bool_t create_log_file;   /* rvm_initialize makes the log if it is not there: */
    rvm_offset_t create_log_size; /* for records up to that many bytes: see rvm_create_log */
    rvm_length_t create_log_mode; /* and with these permissions */
} rvm_options_t;

/* ---- Starting and ending ------------------------------------------------- */

/* Begins.  With a log_dev in `options` (NULL: all as by default) that log is opened, and what a crash left
 * in it is recovered; without one rvm_set_options can name it later.  Has it succeeded once, then
 * it does so again and has no effect.  `version` is RVM_VERSION: RVM_INIT passes it.
 * RVM_EVERSION_SKEW; RVM_EINIT after rvm_terminate; as rvm_set_options. */
rvm_return_t rvm_initialize(const char *version, rvm_options_t *options);
#define RVM_INIT(options) rvm_initialize(RVM_VERSION, options)

/* Flushes, truncates and closes the log.  Mapped memory stays, as memory.  RVM_EUNCOMMIT: transactions are
 * open, or the end of one has not returned, and nothing has happened.  RVM_EIO: the log is closed, and has
 * records that the next start carries to the segments. */
rvm_return_t rvm_terminate(void);

/* Changes the options in force.  RVM_EOPTIONS: truncate is not 0 to 100, or flags are unknown.  RVM_EPAGER.
 * With the first log_dev: RVM_EIO it is not there, or another process has it, or a segment that records in it
 * name is not what it was; RVM_ELOG it is no log or damaged, or another user's or writable by others, or
 * another log is open; RVM_ELOG_VERSION_SKEW; RVM_ENAME_TOO_LONG. */
rvm_return_t rvm_set_options(rvm_options_t *options);

/* Sets `options` to the options in force and to what is open: of `region`, unless that is NULL.
 * RVM_ELOG no log is open; RVM_ENOT_MAPPED no such region. */
rvm_return_t rvm_query(rvm_options_t *options, rvm_region_t *region);

/* Makes the file options->log_dev a log, for transactions whose records have *length bytes, at least 64 KiB; the
 * file is larger.  A record has 40 bytes, and for each range 16 and its length, rounded up to a multiple of 8.
 * `mode`: its permissions.  RVM_EIO: it is there already (errno EEXIST). */
rvm_return_t rvm_create_log(rvm_options_t *options, rvm_offset_t *length, long mode);

/* ---- Regions ------------------------------------------------------------- */

/* Maps a part of a segment: `offset` is rounded down to a page; `length` up, and cut at the
 * segment's end.  What was committed is in the memory on return.  vmaddr, if it is not NULL, is a multiple of
 * the page size, and there is either memory of the program's or none.  offset, vmaddr and length are set
 * to what they are.  `options`, unless NULL, come into force.
 * RVM_ELOG no log is open; RVM_EREGION_DEF; RVM_EIO, with errno EPERM: the segment is another user's, and recovery
 * would not write to it; RVM_EOFFSET; RVM_EOVERLAP; RVM_EVM_OVERLAP; RVM_ERANGE vmaddr is no multiple, or there
 * is memory at a part of the addresses only, or not for writing. */
rvm_return_t rvm_map(rvm_region_t *region, rvm_options_t *options);

/* Ends the mapping of a whole region, which its vmaddr and length name.  The memory stays and is the program's.
 * Once its last region is unmapped the segment's file has what was committed.  After an error it is still mapped.
 * RVM_EUNCOMMIT an open transaction has ranges there; to another thread that declares
 * a range meanwhile it may be RVM_ENOT_MAPPED all the same.  RVM_ERANGE it is a part of a region only; RVM_ENOT_MAPPED. */
rvm_return_t rvm_unmap(rvm_region_t *region);

/* ---- Transactions -------------------------------------------------------- */

/* Begins a transaction.  `mode`: restore, or no_restore when it will not be aborted: then old values
 * are not kept, and an abort leaves memory as it is.  RVM_ETID it is open already; RVM_EMODE; RVM_ELOG. */
rvm_return_t rvm_begin_transaction(rvm_tid_t *tid, rvm_mode_t mode);

/* Declares that the transaction changes, or has changed since it began, `length` bytes at `dest`.  An abort
 * restores what they are now.  The bytes lie in one region, or RVM_ENOT_MAPPED. */
rvm_return_t rvm_set_range(rvm_tid_t *tid, void *dest, rvm_length_t length);

/* The same, and copies `length` bytes from `src`; the two may overlap.  RVM_ESRC. */
rvm_return_t rvm_modify_bytes(rvm_tid_t *tid, void *dest, const void *src, rvm_length_t length);

/* Commits.  `mode`: flush returns when this transaction and all before it are durable; no_flush at
 * once: they survive the death of the process, and that of the machine after rvm_flush or the next flushed end.
 * RVM_EMODE; RVM_ETOO_BIG, and the transaction is still open.  After RVM_EIO it is still open unless `tid`
 * says RVM_ETID from then on: then the next start tells whether it is durable. */
rvm_return_t rvm_end_transaction(rvm_tid_t *tid, rvm_mode_t mode);

/* Restores the ranges' old values, newest first, and ends. */
rvm_return_t rvm_abort_transaction(rvm_tid_t *tid);

/* Returns when all that is committed is durable.  RVM_ELOG. */
rvm_return_t rvm_flush(void);

/* Returns when all that was committed is in the segments' files, durably, and the log is free of it.  Transactions
 * go on meanwhile.  RVM_ELOG. */
rvm_return_t rvm_truncate(void);

/* ---- Names --------------------------------------------------------------- */

/* The name of a code, mode or structure, such as "RVM_EIO"; of what is none, a text that says so.
 * Not to be changed or freed. */
char *rvm_return(rvm_return_t code);
char *rvm_mode(rvm_mode_t mode);
char *rvm_type(rvm_struct_id_t id);

/* ---- Making structures --------------------------------------------------- */

rvm_region_t *rvm_malloc_region(void);
void rvm_init_region(rvm_region_t *region);
rvm_region_t *rvm_copy_region(rvm_region_t *region);
void rvm_free_region(rvm_region_t *region);

rvm_options_t *rvm_malloc_options(void);
void rvm_init_options(rvm_options_t *options);
rvm_options_t *rvm_copy_options(rvm_options_t *options);
void rvm_free_options(rvm_options_t *options);

rvm_tid_t *rvm_malloc_tid(void);
void rvm_init_tid(rvm_tid_t *tid);
rvm_tid_t *rvm_copy_tid(rvm_tid_t *tid);
void rvm_free_tid(rvm_tid_t *tid);

/* ---- For libraries above this one ---------------------------------------- */

/* Notes that the pages are in use; rvm_false: a part of them is noted already, or mapped. */
rvm_bool_t rvm_register_page(char *vmaddr, rvm_length_t length);
/* Forgets exactly that; rvm_false: it was not noted. */
rvm_bool_t rvm_unregister_page(char *vmaddr, rvm_length_t length);

/* Not 0 while RVM_MAP_PRIVATE is in force. */
extern int rvm_map_private;

/* ---- Offsets ------------------------------------------------------------- */

rvm_length_t rvm_page_size(void);
rvm_length_t rvm_page_mask(void); /* of an address: which page */

rvm_offset_t rvm_mk_offset(rvm_length_t high, rvm_length_t low);
rvm_offset_t rvm_add_offsets(const rvm_offset_t *x, const rvm_offset_t *y);
rvm_offset_t rvm_sub_offsets(const rvm_offset_t *x, const rvm_offset_t *y);
rvm_offset_t rvm_round_offset_up_to_page(const rvm_offset_t *x);
rvm_offset_t rvm_round_offset_down_to_page(const rvm_offset_t *x);
rvm_length_t rvm_round_length_up_to_page(rvm_length_t length);
rvm_length_t rvm_round_length_down_to_page(rvm_length_t length);

static inline rvm_offset_t rvm_add_length_to_offset(const rvm_offset_t *x, rvm_length_t length)
{
    const rvm_offset_t y = {0, length};

    return rvm_add_offsets(x, &y);
}

static inline rvm_offset_t rvm_sub_length_from_offset(const rvm_offset_t *x, rvm_length_t length)
{
    const rvm_offset_t y = {0, length};

    return rvm_sub_offsets(x, &y);
}

#define RVM_PAGE_SIZE rvm_page_size()
#define RVM_PAGE_MASK rvm_page_mask()

#define RVM_MK_OFFSET(h, l) rvm_mk_offset(h, l)
#define RVM_INIT_OFFSET(x, h, l) ((void)((x) = rvm_mk_offset(h, l)))
#define RVM_ZERO_OFFSET(x) RVM_INIT_OFFSET(x, 0, 0)
#define RVM_OFFSET_TO_LENGTH(x) ((x).low)
#define RVM_OFFSET_HIGH_BITS_TO_LENGTH(x) ((x).high)
#define RVM_ADD_OFFSETS(x, y) rvm_add_offsets(&(x), &(y))
#define RVM_ADD_LENGTH_TO_OFFSET(x, length) rvm_add_length_to_offset(&(x), length)
#define RVM_SUB_OFFSETS(x, y) rvm_sub_offsets(&(x), &(y))
#define RVM_SUB_LENGTH_FROM_OFFSET(x, length) rvm_sub_length_from_offset(&(x), length)
#define RVM_RND_OFFSET_UP_TO_PAGE(x) rvm_round_offset_up_to_page(&(x))
#define RVM_RND_OFFSET_DN_TO_PAGE(x) rvm_round_offset_down_to_page(&(x))
#define RVM_RND_LENGTH_UP_TO_PAGE(length) rvm_round_length_up_to_page(length)
#define RVM_RND_LENGTH_DN_TO_PAGE(length) rvm_round_length_down_to_page(length)
#define RVM_OFFSET_LSS(x, y) ((x).high < (y).high || ((x).high == (y).high && (x).low < (y).low))
#define RVM_OFFSET_GTR(x, y) RVM_OFFSET_LSS(y, x)
#define RVM_OFFSET_LEQ(x, y) (!RVM_OFFSET_LSS(y, x))
#define RVM_OFFSET_GEQ(x, y) (!RVM_OFFSET_LSS(x, y))
#define RVM_OFFSET_EQL(x, y) ((x).high == (y).high && (x).low == (y).low)
#define RVM_OFFSET_EQL_ZERO(x) ((x).high == 0 && (x).low == 0)

#ifdef __cplusplus
}
#endif

#endif
