/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Refusing the library's calls of the system, for programs linked with refuse_calls.c and
 * `--wrap` for each of the calls in it; random numbers and checksums can be made the same
 * ones each time.
 */
#ifndef VISTA_TEST_REFUSE_CALLS_H
#define VISTA_TEST_REFUSE_CALLS_H

#include <stdbool.h>
#include <stdint.h>

/* Kinds of system calls that can be made to fail. */
enum {
    CALL_MMAP = 1,
    CALL_MADVISE = 2,
    CALL_FALLOCATE = 4,
    CALL_TRUNCATE = 8,
    CALL_SYNC = 16,
    CALL_OPEN = 32,
    CALL_LOCK = 64,
    CALL_STAT = 128,
    CALL_READ = 256,
    CALL_THREAD = 512,
    CALL_ALL = 1023,
    /* Not among these, since a store may go unmended then. */
    CALL_PROTECT = 1024,
    CALL_USERFAULT = 2048
};

/* Of calls of these kinds, `after` go through and the next `count` fail, with `error`; 0:
 * with what is usual. */
void fault_set(unsigned kinds, unsigned after, unsigned count, int error);
void fault_clear(void);
unsigned fault_hits(void);                  /* calls made to fail since fault_set or */
void fault_reset(void);                     /* this */
int fault_refuse(unsigned kind, int usual); /* a call of that kind: errno to fail with, or 0 */
unsigned fault_calls(void);                 /* calls of those kinds since fault_set */

/* No call is given more of the disk than this, of which there is no end at first. */
extern int64_t disk_room;

/* It could not be told whether the machine has restarted: files may be torn. */
extern bool boot_id_refused;
/* It always can. */
extern bool boot_id_known;

/* From here on getrandom gives the same numbers in every run. */
void random_restart(void);

/* Checksums are a constant, so that all agree; else as they are. */
extern bool checksums_agree;

#endif
