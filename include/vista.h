/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista.h - recoverable memory: a file mapped into memory, changed by plain
 * stores inside transactions that are atomic and durable, with a persistent
 * heap in it.
 *
 *     vista_segment *bank = vista_map("bank.vista", 64 << 20, VISTA_CREATE, NULL);
 *     struct account *a = bank != NULL ? vista_root(bank, sizeof *a) : NULL;
 *     vista_tx *tx = a != NULL ? vista_begin_transaction(bank, 0) : NULL;
 *
 *     if (tx == NULL || vista_set_range(tx, &a->balance, sizeof a->balance) != 0)
 *         errx(1, "%s", vista_errormsg());
 *     a->balance += 100;
 *     if (vista_end_transaction(tx, 0) != 0 || vista_unmap(bank) != 0)
 *         errx(1, "%s", vista_errormsg());
 *
 * The design is that of Vista (Lowell and Chen, "Free Transactions with Rio
 * Vista", SOSP 1997; Lowell's dissertation, 1999, chapter 3): what a
 * transaction is about to change is first copied to an undo log that is itself
 * in the file; commit discards the log by one store; abort, and recovery after
 * a crash, copy it back.
 *
 * ERRORS.  Functions that return int return 0, or -1 with errno set; functions
 * that return a pointer return NULL with errno set.  vista_errormsg() then says
 * in words what was wrong.  No function exits, aborts, prints or leaves a lock
 * held.  Every function that takes a segment or a transaction fails with EINVAL
 * when it is NULL or has ended, and with EPERM in a child process that was
 * forked from the one that mapped the segment.  Those that would take more of a file
 * that someone else has truncated while it was mapped fail with EBADMSG; a store to
 * what was cut off raises SIGBUS, as in any mapped file.
 *
 * THREADS.  Every function may be called from any thread.  One transaction is
 * used by one thread at a time and may move between threads.  No function but
 * vista_fault is async-signal-safe.
 */
#ifndef VISTA_H
#define VISTA_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
/* C has no other casts; and what warns of them in a C++ program would warn of these. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
#pragma GCC diagnostic ignored "-Wcast-align"
#pragma GCC diagnostic ignored "-Wshadow" /* vista_info, a structure and a function */
#pragma GCC diagnostic ignored "-Wzero-as-null-pointer-constant"
#endif

/* The library's source turns the inlined functions below into ordinary ones. */
#ifndef VISTA_INLINE
#define VISTA_INLINE static inline __attribute__((always_inline))
#endif

typedef struct vista_segment vista_segment;
typedef struct vista_tx vista_tx;

/* The version of this header; vista_version() tells the library's, which may be later: as
 * VISTA_VERSION_NUMBER. */
#define VISTA_VERSION_MAJOR 0
#define VISTA_VERSION_MINOR 1
#define VISTA_VERSION_PATCH 0
#define VISTA_VERSION_NUMBER \
    (VISTA_VERSION_MAJOR * 1000000u + VISTA_VERSION_MINOR * 1000u + VISTA_VERSION_PATCH)
unsigned vista_version(void);

/* ---- Segments ---------------------------------------------------------- */

/* Flags of vista_map. */
#define VISTA_CREATE 0x0001u       /* make the file when it is not there */
#define VISTA_EXCLUSIVE 0x0002u    /* with CREATE: it must not be there */
#define VISTA_READ_ONLY 0x0004u    /* look only: no recovery, no writing */
#define VISTA_AUTO_RANGE 0x0008u   /* ranges need not be declared: see AUTOMATIC RANGES */
#define VISTA_POWER_SAFE 0x0010u   /* require: commits survive power loss */
#define VISTA_KILL_SAFE 0x0020u    /* ask for no more than: commits survive the process */
#define VISTA_ACCEPT_TORN 0x0040u  /* take a segment that may be torn */
#define VISTA_ANY_ADDRESS 0x0080u  /* may be mapped away from its own address */
#define VISTA_NO_HEAP 0x0100u      /* at creation: flat memory from vista_base on */
#define VISTA_SPARSE 0x0200u       /* at creation: disk blocks are allocated with use */
#define VISTA_CHECK_RANGES 0x0400u /* to find ranges that were forgotten: see below */
#define VISTA_GROW 0x0800u         /* the heap grows when it is full, up to max_size */
#define VISTA_SHARE 0x1000u        /* these three are for copies and readers of a live segment, */
#define VISTA_VIEW 0x2000u         /* which a later release makes: ENOTSUP */
#define VISTA_STANDBY 0x4000u

/* A heap that is VISTA_SPARSE gives the disk blocks of 2 MiB back that are wholly free: of more
 * than 16 MiB at once, of all when it is unmapped. */

/* How commits are made to last: what the segment's log is written for. */
enum vista_class {
    VISTA_CLASS_PROBE = 0, /* in options: find out */
    VISTA_CLASS_KILL = 1,  /* plain stores: survives the death of the process */
    VISTA_CLASS_LINE = 2,  /* cache lines written back, fences: survives power loss */
    VISTA_CLASS_EADR = 3,  /* fences alone, where the caches survive power loss too */
    VISTA_CLASS_DISK = 4   /* a private image and a redo log, synced by groups of commits */
};

struct vista_map_options {
    void *address;   /* creation: map here for ever (a multiple of the page size); NULL: chosen */
    size_t max_size; /* creation: bytes the data may ever grow to; 0: four times size.  A copy
                        can have more: vista copy --max-size, see vista(1) */
    vista_segment *log;    /* share this segment's log, see SEVERAL SEGMENTS; NULL: its own */
    mode_t mode;           /* creation: permission bits, less the umask; 0: 0600 */
    unsigned lock_wait_ms; /* how long to wait for another process's lock; 0: not at all */
    size_t auto_pages;     /* VISTA_AUTO_RANGE: pages a transaction may touch; 0: all */
    unsigned flush_ms; /* commits survive power loss within so many milliseconds; 0: see class */
    unsigned descriptor_floor; /* the library's own descriptors get numbers from this one on */
    size_t log_size;           /* bytes of redo log (disk class); 0: chosen by the data's size */
    size_t log_kept;           /* bytes of undo log that a slot keeps for its next transaction;
                                  0: 4 MiB */
    const char *layout;        /* what the program stores in it, up to 47 bytes; NULL: not asked */
    const char *stream;        /* copies of a live segment: three options of a later release */
    size_t stream_size;
    unsigned view_wait_ms;
    unsigned reserved0;       /* zero */
    const char *group_folder; /* where else the other segments of its group may be, see below */
    uint64_t reserved[15];    /* zero */
};

/*
 * Maps the segment in file `path`, and first recovers it if its last user did
 * not unmap it: transactions that had not committed are rolled back, those that
 * had are finished (vista_info says how many).
 *
 * `size`, in bytes, is for creation: above 0 with VISTA_CREATE, it is rounded up
 * to whole pages (to at least 64 KiB where there is a heap); a file that exists
 * keeps the size it has.  Without VISTA_CREATE it must be 0.  A file left by a
 * creation that was killed counts as not created.  `options` may be NULL.
 *
 * The segment comes to lie at the address that was chosen when it was created,
 * so that pointers into it, stored in it, stay good.  (At creation, with
 * VISTA_ANY_ADDRESS, options->address is only a wish.)  One process at a time maps
 * a segment for writing; any number may map it VISTA_READ_ONLY meanwhile no one
 * writes.  The handle belongs to the library and ends with vista_unmap.
 *
 * VISTA_POWER_SAFE asks that commits survive loss of power: where MAP_SYNC is granted (a
 * DAX file system on persistent memory) by flushing cache lines, on other file systems by the
 * disk class; it fails on tmpfs and ramfs, which go with the machine.  VISTA_KILL_SAFE asks for
 * the weaker class even there; with options->flush_ms commits survive loss of power so many
 * milliseconds later, by the disk class, too.  With neither, and no flush_ms, the best class that
 * needs no disk writes is used.
 *
 * In the disk class the data is a private image of the file, which is older than memory while
 * it is mapped; a commit's values are copied to a redo log in the file.  options->log_size is that
 * log's size: it bounds how much recovery has to apply, and grows when a transaction needs more
 * than half of it.
 *
 * Caveats.  A child that was forked has none of its parent's segments: it maps them itself
 * when the parent has unmapped them.  Locks on NFS hold only as far as its servers and mounts
 * keep them, and another machine's stores are not seen: one machine uses a file at a time.  A
 * copy of a file that was open when it was copied is refused (`vista copy` waits for it to
 * be unmapped).  A plugin that uses the library must not be unloaded by dlclose while segments
 * are mapped.  A handle that has ended may be that of a newer transaction, or segment.
 *
 * Errors:
 *   EINVAL       an argument or a combination of flags that makes no sense; VISTA_NO_HEAP or
 *                VISTA_SPARSE, and the existing file is not so
 *   ENOTSUP      another format, byte order or feature; a flag of a later release; a class
 *                that this file cannot give; no boot id of the machine's own can be had, so
 *                that after a kill the segment could not be recovered (VISTA_ACCEPT_TORN, or
 *                a file on tmpfs, does without)
 *   EEXIST       the file exists (VISTA_EXCLUSIVE)
 *   ENOENT, EACCES, EISDIR, EMFILE, ...   as from open(2)
 *   ENAMETOOLONG the path is longer than PATH_MAX
 *   ENODEV       not a regular file
 *   EBUSY        locked by another user; to share a log, with automatic ranges, while a
 *                transaction is open
 *   EBADMSG      not a segment, or damaged
 *   EMEDIUMTYPE  options->layout is not its layout; it was not recovered
 *   ECANCELED    it may be torn: it was left open under another boot of the machine, or by
 *                another file than this, as a copy is (VISTA_ACCEPT_TORN takes it all the same
 *                if its log and a full check hold up, EBADMSG if they do not); the message
 *                says what was seen
 *   EUCLEAN      it needs recovery (VISTA_READ_ONLY)
 *   EADDRINUSE   something is mapped where the segment lives
 *   ENOMEM       no room in the address space, or no memory
 *   ENOSPC, EDQUOT, EFBIG   no room for the file; for a redo log in it, beside the log slots of
 *                another class in which it once had a thousand transactions open at once
 *   EIO          the disk
 *   EPERM        options->log was mapped by the parent process
 * After a failure vista_errormsg() keeps what it says while the NULL handle is passed on.
 */
vista_segment *vista_map(const char *path, size_t size, unsigned flags,
                         const struct vista_map_options *options);

/*
 * Writes the data to its file, marks it clean and unmaps it.  The handle ends,
 * also when -1 is returned because writing failed (EIO, ENOSPC): the segment is
 * then recovered at its next mapping.
 * Errors: EBUSY transactions are open, or it is held, and it stays mapped; ENOENT someone
 * has removed the file, and what it held is lost; EBADMSG someone has truncated it.
 */
int vista_unmap(vista_segment *segment);

/*
 * Makes the data `size` bytes, rounded up as by vista_map; the address stays.  It may
 * grow, up to the max_size of its creation, while transactions are open, on other threads
 * too.  It may shrink while none is open and none is begun until the call returns, if no
 * block of the heap lies in what goes; its disk space is given back.  A VISTA_NO_HEAP
 * segment mapped VISTA_AUTO_RANGE or VISTA_CHECK_RANGES grows under the same condition.
 * A crash leaves the old size or the new one.
 * Errors: EINVAL `size` is 0 or above max_size; EBUSY transactions are open and may not be,
 * or a block is in the way; ENOSPC, EDQUOT no room on the disk; ENOMEM no address space was
 * to be had for it when the segment was mapped; EROFS; EBADMSG the heap is damaged.  Then
 * all is as it was.
 */
int vista_resize(vista_segment *segment, size_t size);

/*
 * Between vista_hold and vista_drop, which nest and may be called by any thread, vista_unmap of
 * the segment fails with EBUSY: for layers that keep pointers into a segment which the
 * program unmaps.
 * Errors: EINVAL; of vista_drop also: the segment is not held.
 */
int vista_hold(vista_segment *segment);
int vista_drop(vista_segment *segment);

/* The mapped segment whose data `address` is in; NULL with EINVAL: there is none. */
vista_segment *vista_segment_of(const void *address);

/* Where the data begins; NULL with errno on a handle that has ended.  Memory from
 * here on belongs to the heap unless the segment is VISTA_NO_HEAP. */
void *vista_base(const vista_segment *segment);

/* Bytes of data; 0 with errno on a handle that has ended. */
size_t vista_size(const vista_segment *segment);

struct vista_info {
    const char *path;        /* as given to vista_map; lives as long as the segment is mapped */
    unsigned char uuid[16];  /* the segment's own */
    void *base;              /* as vista_base */
    size_t size;             /* as vista_size */
    size_t max_size;         /* what size may grow to */
    unsigned flags;          /* which of READ_ONLY, AUTO_RANGE, CHECK_RANGES, NO_HEAP, SPARSE it is;
                                ANY_ADDRESS if moved, ACCEPT_TORN if it may be torn */
    unsigned durability;     /* what is promised: VISTA_KILL_SAFE or VISTA_POWER_SAFE */
    unsigned persistence;    /* how: enum vista_class */
    unsigned forced;         /* 0 probed, 1 forced by vista_init, 2 by the environment */
    unsigned copy_on_write;  /* 1: the file system copies on write, so that a store may yet
                                fail for want of space although its blocks were allocated;
                                0 on XFS, where blocks that a copy shares do so, too */
    unsigned format_version; /* of the file */
    int fd;                  /* the open file; the library's own */
    uint64_t data_offset;    /* where the data begins in it, in bytes */
    uint64_t rolled_back;    /* transactions undone when this mapping recovered the segment */
    uint64_t finished;       /* committed transactions whose frees it finished */
    uint64_t open_transactions;
    uint64_t log_bytes;     /* log space now held by transactions' slots */
    uint64_t pages_touched; /* VISTA_AUTO_RANGE: of this segment, by the open transaction */
    uint64_t pages_left;    /* that it, or the next, may still touch, of all that share the log */
    /* The heap, as far as transactions have committed; all 0 if it is damaged: */
    uint64_t heap_blocks;  /* allocated */
    uint64_t heap_used;    /* bytes that they can hold, the sum of vista_usable_size */
    uint64_t heap_free;    /* bytes free, in pages and between blocks of like size */
    uint64_t heap_largest; /* the largest block that there is room for, in bytes */
    const char *log;       /* path of the segment whose log it uses, mostly its own */
    uint64_t log_size;     /* bytes of redo log (disk class; in the others the next five are 0), */
    uint64_t log_used;     /* and how many of them truncation has yet to write to the base */
    uint64_t committed;    /* commits of this mapping, */
    uint64_t durable;      /* and how many of them survive power loss by now */
    unsigned failed;       /* errno of the write or sync that failed, or EOVERFLOW if memory changed
                              that a commit was measuring: no commit is taken any more */
    unsigned torn_guard;   /* 1: after its machine's death a segment that was open is refused;
                              0: it need not be, for its file cannot outlive the machine or its
                              class flushes */
    uint64_t commits;      /* of this mapping, in the log that it uses: see below */
    uint64_t aborts;
    const char *layout;   /* as at creation, "" if none; lives as long as the segment is mapped */
    uint64_t incarnation; /* of copies of live segments, which a later release makes: all 0 */
    uint64_t lsn;
    uint64_t lsn_durable;
    uint64_t views;
    uint64_t reserved[16];
};

/*
 * Tells what there is to know of a mapped segment.  It looks through the metadata of
 * what of the heap was ever used, locking it briefly again and again: a millisecond for
 * 80 MiB of small blocks, or a few GiB of large ones.
 *
 * `commits` and `aborts` are counted nowhere while transactions run.  The end of one that has
 * logged anything moves its slot's stamp on by one step; so the steps of all slots since home
 * was mapped are the transactions that have ended, and of these those that were rolled back
 * are counted as that is done.  The library's own transactions (a root that is made or grows)
 * are among them; one that has logged nothing may be counted as a commit or not.
 */
int vista_info(const vista_segment *segment, struct vista_info *out);

/* ---- Transactions ------------------------------------------------------ */

#define VISTA_NO_RESTORE 0x1u /* begin: the transaction will not be aborted */
#define VISTA_NO_FLUSH 0x2u   /* end: durable by the next vista_flush at the latest */
                              /* 0x4 of begin is reserved: to wait for a transaction to end */

/*
 * Any number of transactions, up to 4096, may be open on a segment at once (of one whose
 * max_size is below 42 MiB, up to 1088 and 72 more for each MiB of max_size), on
 * one thread or several; threads that have none open keep at most a quarter of these to
 * themselves.  Keeping them from changing the same bytes is the
 * program's business (as in RVM, Satyanarayanan et al., TOCS 1994, section 3.1):
 * two open transactions must not declare overlapping ranges.  A thread's exit
 * leaves its transactions open.
 */

/*
 * Begins a transaction.  `mode` is 0, or VISTA_NO_RESTORE: the caller promises
 * not to abort it (after a crash it is rolled back all the same).
 * Errors: EINVAL; EAGAIN so many are open; EBUSY one is, with automatic ranges; EROFS
 * the segment is mapped read-only; ENOSPC or ENOMEM no room for one more log, or, with
 * automatic ranges, for the pages that the segment has grown by.
 */
VISTA_INLINE vista_tx *vista_begin_transaction(vista_segment *segment, unsigned mode);

/*
 * Declares that the transaction may change `length` bytes from `address` on.
 * When it returns 0 the bytes as they are now are safe in the log, and may be
 * stored to until the transaction ends.  Ranges may overlap and repeat, be empty
 * and lie at any alignment.
 * Errors: EINVAL the range is not wholly inside the segment's data; ENOSPC or
 * ENOMEM no room for the log to grow; in the disk class also EDQUOT, and EIO or EBADMSG when
 * making room in its redo log has failed.  Then nothing was declared.
 */
VISTA_INLINE int vista_set_range(vista_tx *tx, void *address, size_t length);

/* Declares `count` ranges, all or (on error, as above) none.  It is the faster call for
 * several: they make one record and, in the cache-line class, share one fence.  EINVAL
 * also: `count` is negative. */
VISTA_INLINE int vista_set_ranges(vista_tx *tx, const struct iovec *ranges, int count);

/*
 * Commits: on return all of the transaction's changes will be found after a
 * crash of the kind that the segment's class covers, and the handle has ended.
 * `mode` is 0 or VISTA_NO_FLUSH, under which durability (never atomicity) may
 * wait for vista_flush; classes 1 to 3 flush at once.
 * Errors: EINVAL; EFAULT under VISTA_CHECK_RANGES; EIO the log could not be written (disk
 * class).  After EIO the handle has ended: the transaction was rolled back, or, if its
 * record was on its way, the next mapping tells if it was committed.  After any other error
 * a transaction that was open still is.  A commit cannot fail for want of space, but in the disk
 * class it can for want of memory, of more than half a MiB or when the redo log is full: EIO, and it
 * was rolled back.
 */
VISTA_INLINE int vista_end_transaction(vista_tx *tx, unsigned mode);

/*
 * Rolls back: every declared range holds again what it held when it was first
 * declared, every allocation and free is undone, and the handle has ended.
 * Errors: EINVAL, also for a transaction begun VISTA_NO_RESTORE, which stays open.  The abort
 * of an open transaction that was not begun so never fails.
 */
int vista_abort_transaction(vista_tx *tx);

/*
 * Has `fn` called once, with `arg`, after the transaction has ended.  `outcome` is 1: it is
 * durable, as its class promises; 0: it was rolled back, by an abort or by an end that failed
 * with EIO before its record was begun; -1, and any other value of a later release: unknown
 * (EIO: the next mapping tells).  It is for what may happen only when a
 * commit is sure, or is to be forgotten with an abort: messages, replication, the answer
 * of a server.
 *
 * `fn` is called by the thread that ends the transaction, before that call returns, VISTA_NO_FLUSH
 * or not: in the disk class the end of a transaction that has such functions flushes.  Functions
 * of one transaction are called in the order in which they were registered; between
 * transactions there is no order.  No lock of the library is held: `fn` may begin and end
 * transactions, but not unmap, nor wait for another thread's end.  It returns: no exception
 * and no longjmp may cross the library.  An end that fails and leaves the transaction open
 * (EFAULT) calls nothing.  A crash calls nothing either: what must happen after one has to be
 * found from what the transaction stored.
 * Errors: EINVAL the transaction has ended, or `fn` is NULL; ENOMEM.  Then nothing was registered.
 */
int vista_on_end(vista_tx *tx, void (*fn)(void *arg, int outcome), void *arg);

/* The segment whose log an open transaction is on: its own, or home of its group.  NULL with
 * errno on a handle that has ended. */
vista_segment *vista_transaction_segment(vista_tx *tx);

/* On return every commit so far is durable, VISTA_NO_FLUSH or not.  Errors: ENOENT, EBADMSG
 * as vista_unmap; EIO the redo log could not be written (disk class). */
int vista_flush(vista_segment *segment);

/* ---- Several segments --------------------------------------------------- */

/*
 * A segment that is mapped with options.log shares the undo log of that segment, its
 * home, for as long as it is mapped: a transaction begun on any segment of such a group
 * covers all of them, and all of its changes in all of them happen or none do.  Any
 * segment may be home of up to 255 others that are mapped; given the handle of another
 * member, its home is meant.  All have one class (ENOTSUP), and none is a copy of another
 * (EINVAL).  A member may be mapped VISTA_AUTO_RANGE or VISTA_CHECK_RANGES if its home was,
 * alike (EINVAL); if it is with neither, its ranges are declared, and stores to it not watched.
 *
 * - vista_set_range takes ranges in each of them; vista_free, vista_realloc and
 *   vista_usable_size know the segment from the address; vista_malloc and vista_calloc
 *   allocate in home, vista_malloc_in where it is told to.  vista_root and vista_resize are
 *   each segment's own.
 * - They may be unmapped in any order, when no transaction is open (EBUSY).  Home's handle
 *   then ends as all do; its file stays mapped, with the size that it has, until the last
 *   member is unmapped.
 * - What is left of such transactions after a crash is in home's log, which has the paths
 *   of the members.  The next mapping of any of them first recovers home and the
 *   members that its log names, all at once; one that cannot be found, or is locked,
 *   is refused by name (ENOENT, EBUSY, ...).  What was moved since is found by its UUID where
 *   the segments lie to each other as before, and in the folder options.group_folder, under
 *   any name.  VISTA_ACCEPT_TORN goes on without it: its
 *   changes are then not undone, or those of the segment mapped if home is missing.
 * - After a clean unmapping each segment stands alone again.
 */

/* ---- Automatic ranges -------------------------------------------------- */

/*
 * On a segment mapped VISTA_AUTO_RANGE a transaction needs no vista_set_range: the
 * first store to each page (4096 bytes) of the data faults, and the library's signal
 * handler logs the whole page, opens it to stores and lets the store go on.  The
 * end of the transaction protects the touched pages again.  That costs a fault and a
 * copied page for each page touched, however few bytes are stored to it.  Up to 64 pages
 * that one transaction after another stores to stay open, and are copied as the next
 * begins: so a store to one of these outside any transaction is not found.  (Page
 * protection for logging is older than Vista: Appel and Li, "Virtual Memory
 * Primitives for User Programs", ASPLOS 1991.)
 *
 * - One transaction at a time is open on such a segment, or on all that share its log; a
 *   second begin is EBUSY, and so is a vista_root that has to make or grow the root
 *   meanwhile, and a vista_map of one more with that log.  Stores by any thread belong to it.
 * - vista_set_range still logs the bytes declared, at once, and leaves the page as it
 *   is.  The heap's calls open what they store to themselves.
 * - Log space for auto_pages pages, by default for all (in the disk class: for as
 *   many as half of its redo log takes before that has grown; a quarter, if it cannot), is
 *   reserved by vista_map: ENOSPC comes there, and never from a store.  Segments that share a log add up what each has; home's log has room for an
 *   eighth more than its max_size, and 16 MiB, so that a member larger than that needs an
 *   auto_pages.
 * - In a VISTA_NO_HEAP | VISTA_SPARSE segment the first store to each 2 MiB allocates their
 *   disk blocks; on a full disk it is refused as one past auto_pages is, see below.
 *   vista_open_pages allocates them before, and says so if it cannot.
 * - By default a segment that grows may touch its new pages, too.  Log space for these is
 *   reserved by the next transaction's begin.  In a transaction during which a heap grows the
 *   new pages need none: what the heap has there is new, and when that is rolled back
 *   nothing is there.
 * - A store outside any transaction, or to one page more than auto_pages, is not
 *   possible: the fault goes on to the handler that the program had before, or kills
 *   the program, as any wild store does.  In that handler vista_errormsg() says why;
 *   it may call that one function.
 * - A system call that stores to a page not yet open fails with EFAULT (or stores
 *   less), for there is no signal then.  Call vista_open_pages first: a read repeated
 *   after EFAULT may lack what a socket or a terminal had delivered.
 * - A thread that stores must not block SIGSEGV and SIGBUS (faults come by
 *   the one or the other); the handlers run on the thread's alternate stack if it has
 *   one.  Every other fault is passed on to whoever had the signal when the first
 *   such segment was mapped.  A program that installs a handler later must have it
 *   call vista_fault, or pass on what is not its own.
 * - Valgrind resumes stores that fault correctly only with the option
 *   --vex-iropt-register-updates=allregs-at-mem-access.
 * - A child that has been forked has none of the pages, as always.
 * - Where the kernel allows no more mappings (vm.max_map_count), neighbouring pages
 *   are logged and opened together; auto_pages then covers fewer.
 */

/*
 * Logs the whole pages that `length` bytes from `address` on lie in, in bulk, and
 * opens them to stores: the program's, and the kernel's for a system call.  On a
 * segment without automatic ranges it is vista_set_range of these pages.
 * Errors: EINVAL the bytes are not wholly inside the segment's data; ENOSPC they are
 * more pages than are left of auto_pages, and then none is opened, or the disk is full;
 * ENOMEM.
 */
int vista_open_pages(vista_tx *tx, void *address, size_t length);

/*
 * For a program, or its language's runtime, that must have SIGSEGV and SIGBUS for itself:
 * it sets VISTA_HOST_FAULTS in struct vista_options before vista_map, which then
 * installs no handlers, and calls this from its own with what that was passed (SA_SIGINFO).
 * 1: the fault was a store to a protected page and is mended; return from the
 * handler.  0: it was not, or may not be, which vista_errormsg() then explains; the
 * fault is the program's.  Async-signal-safe; errno stays.
 */
#if defined(_POSIX_C_SOURCE) && _POSIX_C_SOURCE >= 199309L /* else there is no siginfo_t */
int vista_fault(const siginfo_t *info, void *ucontext);
#endif

/*
 * VISTA_CHECK_RANGES, or VISTA_CHECK=ranges in the environment of a program that maps
 * without it, is a debug aid: it finds stores that no vista_set_range declared and
 * that were not to a block allocated in the transaction.  vista_end_transaction then
 * fails with EFAULT, and vista_errormsg() tells the first such store: its address and its
 * offset in the data.  If it was the first to its page, it tells where it was made, too:
 * function, module and offset for addr2line(1), and the source line if the program has
 * debugging information and libdw (of elfutils) is installed.  If it was not, a watchpoint
 * at the address, which is the same in the next run, finds it.  The transaction stays open
 * and cannot be committed; an abort, of one begun VISTA_NO_RESTORE too, takes back all its
 * stores, also those not declared.
 *
 * It works by page protection, as above: so a store outside any transaction is a fault,
 * at the faulty instruction; transactions wait for each other, up to two seconds, after
 * which a begin is EBUSY (two of one thread cannot be checked); the log has room for a
 * copy of all data; and all is many times slower.  A store of the value that was there
 * before may be overlooked; so may one, to a page that is open already, whose range is
 * declared after it, and of several to a page by which the segment has grown during the
 * transaction all but the first.  VISTA_CHECK checks a member of a log if it checks its
 * home.
 */

/* ---- The persistent heap ----------------------------------------------- */

/*
 * Memory is allocated and freed in transactions: an abort or a crash gives back
 * what was allocated and keeps what was freed.  Blocks are aligned to 16 bytes.
 * In the transaction that allocated it a block needs no vista_set_range.  All of
 * these fail with ENOTSUP on a VISTA_NO_HEAP segment.
 */

/*
 * Allocates `size` bytes (0 counts as 1), with undefined contents.
 * Errors: ENOMEM no room in the heap; ENOSPC, EDQUOT no room for the log, or on the disk;
 * EFBIG the file cannot be made longer (VISTA_GROW); in the disk class EIO or EBADMSG, making room
 * in its redo log has failed.  The transaction then stands as before
 * the call.
 */
void *vista_malloc(vista_tx *tx, size_t size);

/* The same in another segment that shares the transaction's log.  Errors also: EINVAL it
 * does not. */
void *vista_malloc_in(vista_tx *tx, vista_segment *segment, size_t size);

/* As vista_malloc(tx, count * size), zeroed; ENOMEM when the product overflows. */
void *vista_calloc(vista_tx *tx, size_t count, size_t size);

/* The same in another segment that shares the transaction's log, as vista_malloc_in. */
void *vista_calloc_in(vista_tx *tx, vista_segment *segment, size_t count, size_t size);

/*
 * Resizes a block, or allocates one when `address` is NULL.  It returns the same
 * address, and then the old bytes need a vista_set_range as before, or a new
 * block with the old contents, and then the old block is freed.  A block above 8 KiB is made
 * longer where it lies if what is behind it is free; one that has to move a second time because
 * it grows gets twice its size, so that what is copied in all is in proportion to what it comes
 * to.  After an abort, or an error, a block may be longer than it was; its old bytes are as they
 * were.  Errors: as vista_malloc and vista_free.
 */
void *vista_realloc(vista_tx *tx, void *address, size_t size);

/* The same of a block in another segment that shares the transaction's log, where a new one is
 * allocated, too, if `address` is NULL.  Errors also: EINVAL it does not, or the block is in
 * another. */
void *vista_realloc_in(vista_tx *tx, vista_segment *segment, void *address, size_t size);

/*
 * Frees a block; NULL is allowed and does nothing.  Until the transaction
 * commits the block stays readable and is given to no one; a block that was also
 * allocated in this transaction may be given out again by it at once.
 * Errors: EINVAL `address` is not the start of a block, the block is free already
 * or being freed, belongs to another open transaction, or is the root.  This is found
 * unless two threads free one block at the same instant: both may then succeed, and
 * what becomes of that block, but of no other, is undefined.
 */
int vista_free(vista_tx *tx, void *address);

/* Bytes that a block can hold, at least what was asked for; 0 with EINVAL when
 * `address` is not the start of a block. */
size_t vista_usable_size(vista_segment *segment, const void *address);

/* Called by vista_heap_walk with a block: where it begins, and its vista_usable_size.
 * Return 0 to go on, anything else to stop. */
typedef int (*vista_walk_fn)(void *arg, void *address, size_t size);

/*
 * Calls `visit` for every allocated block, the root's too, in the order of addresses.
 * What counts is what has been committed: a block that an open transaction has
 * allocated is not visited, one that it has freed is.  Other threads, and `visit`
 * itself, may allocate and free meanwhile: blocks whose allocation or free is committed
 * during the walk may be visited or not (and may be gone when they are), all others are
 * visited once.  To find blocks that nothing points to any more, look while no
 * transaction runs.
 * Errors: EINVAL; ECANCELED `visit` has stopped it; EBADMSG the heap is damaged.
 */
int vista_heap_walk(vista_segment *segment, vista_walk_fn visit, void *arg);

/*
 * The root: the block from which everything else is found.  It is made, zeroed,
 * by the first call, durably and outside any transaction of the caller's; later
 * calls return it, larger when `size` has grown (the new bytes zeroed).  With
 * `size` 0 it is returned as it is: a program that may be given another's segment
 * asks so first, and knows its own by vista_usable_size and a mark in it.  Growth may
 * move the root; pointers to it are then to be fetched anew.
 * Errors: ENOENT `size` is 0 and there is no root; EBUSY it would have to move
 * while transactions are open; EROFS; ENOMEM, ENOSPC.
 */
void *vista_root(vista_segment *segment, size_t size);

/* ---- The rest ---------------------------------------------------------- */

/* Flags of struct vista_options. */
#define VISTA_HOST_FAULTS 0x1u /* install no signal handlers: see vista_fault */

struct vista_options {
    unsigned force_class;  /* enum vista_class: take it instead of probing, for tests */
    unsigned flags;        /* VISTA_HOST_FAULTS */
    uint64_t reserved[15]; /* zero */
};

/*
 * Sets options for segments mapped from now on; optional and repeatable; NULL
 * restores the defaults.  The environment variable VISTA_CLASS (kill, line, eadr,
 * disk) and libpmem's PMEM_IS_PMEM_FORCE=1 force a class too, but never satisfy
 * VISTA_POWER_SAFE.
 * Errors: EINVAL an unknown class or a reserved field that is not zero.
 */
int vista_init(const struct vista_options *options);

/* What the last failed call on this thread had to say; "" if none has failed.
 * Lives until this thread's next failed call. */
const char *vista_errormsg(void);

/* Called with each finding of vista_check, one line without a newline.
 * `severity`: 0 a step passed, 1 worth knowing, 2 damage.  Return 0 to go on,
 * anything else to stop. */
typedef int (*vista_report_fn)(void *arg, int severity, const char *text);

/*
 * Checks a segment that is not mapped by anyone: superblock, logs, heap.  It
 * reads only.  `flags` is 0.  `report` may be NULL.
 * Returns 0: sound (a segment that needs recovery can be sound, which is
 * reported); -1: EBADMSG damaged, ECANCELED stopped by `report`, or errors as
 * from vista_map with VISTA_READ_ONLY.
 */
int vista_check(const char *path, unsigned flags, vista_report_fn report, void *arg);

#include "vista_inline.h"

#ifdef __cplusplus
#pragma GCC diagnostic pop
}
#endif
#endif
