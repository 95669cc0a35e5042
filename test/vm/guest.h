/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The program that runs inside the virtual machine: what its parts share.
 *
 * It talks to the host through two ports of the emulated machine, so that nothing
 * it has said is lost when the machine dies: bytes written to port 0xe9 are in a
 * file of the host's before the next instruction, and a word written to port 0xf4
 * ends the machine there and then.
 */
#ifndef VISTA_VM_GUEST_H
#define VISTA_VM_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vista.h"

/* ---- ports.c: the host, and death -------------------------------------- */

/* QEMU's exit status is twice this and one. */
enum vm_end { VM_DIED = 16, VM_FAILED = 17, VM_DONE = 18 };

void vm_ports_open(void);

/* One line to the host. */
__attribute__((format(printf, 1, 2))) void vm_say(const char *format, ...);

/* Returns when the machine that this one's state was given to says that it goes on, by another
 * byte to be read from the lines' port; numbers are random again from there. */
void vm_wait(void);

/* The machine stops. */
__attribute__((noreturn)) void vm_end(enum vm_end how);
__attribute__((noreturn, format(printf, 1, 2))) void vm_fail(const char *format, ...);

/* With errno and the library's message. */
__attribute__((noreturn)) void vm_fail_call(const char *call);

/* Puts a count in front of every flush, fence and sync of segments mapped from now
 * on; they are those of the class that the machine's persistent memory gives. */
void vm_persist_count(void);

/* Counts from 0; the machine dies instead of persist `point` (0: never). */
void vm_persist_arm(unsigned long point);

/* What was counted: a letter for each, w a line's write-back, f a fence, s a sync. */
unsigned long vm_persist_counted(const char **letters);

/* ---- work.c: transactions whose outcome is known in advance ------------ */

#define VM_STREAMS 2       /* each a thread's, in its own part of the segment */
#define VM_SLOTS 48        /* blocks that a stream may own */
#define VM_AREA (32 << 10) /* bytes that a stream writes ranges of */
#define VM_BLOCK_MAX 20000
#define VM_BIG_EVERY 16 /* every so many steps, one with all there is in it */

/* The segment's root. */
#define VM_MAGIC 0x766d2d776f726b31u
struct vm_stream {
    uint64_t count; /* of its commits */
    void *blocks[VM_SLOTS];
    unsigned char area[VM_AREA];
};
struct vm_root {
    uint64_t magic; /* 0: not initialized */
    uint64_t seed;
    unsigned char scratch[1024]; /* of the transaction that is left open */
    struct vm_stream streams[VM_STREAMS];
};

struct vm_root *vm_work_root(vista_segment *segment);

/* Bytes that follow from a tag. */
void vm_fill(void *to, uint64_t length, uint64_t tag);

struct vm_slot {
    uint64_t size; /* 0: none */
    uint64_t tag;  /* of its contents */
};

/* What a stream's part of the segment holds after `count` commits: a function of
 * the seed alone. */
struct vm_model {
    uint64_t seed;
    unsigned stream;
    uint64_t count;
    struct vm_slot slots[VM_SLOTS];
    unsigned char area[VM_AREA];
};

void vm_model_start(struct vm_model *model, uint64_t seed, unsigned stream);
void vm_model_advance(struct vm_model *model, uint64_t count);

/* Makes the root and commits the state that both models start from. */
void vm_work_create(vista_segment *segment, uint64_t seed);

/* Runs and commits the model's next step, `mode` as vista_end_transaction has it; some steps
 * abort another one first. */
void vm_work_step(vista_segment *segment, struct vm_model *model, unsigned mode);

/* Runs a big step as vm_work_step would, and aborts it. */
void vm_work_abort(vista_segment *segment, const struct vm_model *model);

/* Begins a transaction that changes and allocates, and leaves it open. */
void vm_work_leave_open(vista_segment *segment);

/* ---- compare.c: exact comparison ----------------------------------------- */

/* Compares all of the segment with what it must hold.  Each stream has committed
 * `acked` transactions, or up to `in_flight` more; `models` become those. */
void vm_verify(vista_segment *segment, uint64_t seed, const uint64_t acked[VM_STREAMS],
               unsigned in_flight, struct vm_model models[VM_STREAMS]);

/* The same after a creation that may not have come to its end. */
void vm_verify_new(vista_segment *segment, uint64_t seed, struct vm_model models[VM_STREAMS]);

/* ---- refuse.c: what must be refused, and when it must be taken --------- */

#define VM_DAX "/dax/segment"     /* ext4 with DAX on the NVDIMM */
#define VM_KILL "/dax/kill"       /* there too, asked to be kill-safe only */
#define VM_DISK "/disk/segment"   /* on a disk, in the page cache */
#define VM_SIZE ((size_t)4 << 20) /* of the segments' data */

void vm_refuse_virtio(void);
void vm_refuse_no_flush(void);
void vm_torn_make(uint64_t seed);
void vm_torn_check(uint64_t seed);
void vm_clean_check(uint64_t seed);

#endif
