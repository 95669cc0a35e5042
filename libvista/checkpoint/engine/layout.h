/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a checkpoint file holds, and where the guest's memory lies.
 *
 * The segment's data begin with `struct vi_header`, which the runtime reads and writes through
 * the shared mapping; then comes `struct vi_control`, which it has in a private view, as the guest
 * has its memory, so that the same scan finds what of it has changed; then the guest's areas.
 */
#ifndef VI_CHECKPOINT_LAYOUT_H
#define VI_CHECKPOINT_LAYOUT_H

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/time.h>
#include <termios.h>

#define VI_GUEST_PAGE 4096u
/* Where the page of an address begins, and where the next one does unless it is a page's own. */
#define VI_PAGE_DOWN(address) ((address) & ~(uint64_t)(VI_GUEST_PAGE - 1))
#define VI_PAGE_UP(address) VI_PAGE_DOWN((address) + VI_GUEST_PAGE - 1)
#define VI_CHECKPOINT_MAGIC 0x746e696f706b6863u /* "chkpoint" */
#define VI_CHECKPOINT_VERSION 8u

#define VI_DEATH_MS 5000 /* how long a runtime whose supervisor was killed may take to die */

/* Descriptors from here on are the runtime's, and do not exist for the guest. */
#define VI_DESCRIPTORS 960
#define VI_CHILDREN 256
#define VI_SENT_AT_ONCE 65536u

/* Addresses of the guest's areas; all but the first are moved by the slide of the file. */
enum vi_area {
    VI_AREA_FIXED, /* programs that are not position-independent */
    VI_AREA_IMAGE, /* those that are */
    VI_AREA_BREAK,
    VI_AREA_MMAP,
    VI_AREA_STACK,
    VI_AREAS
};

#define VI_HEADER_SIZE ((uint64_t)1 << 20)
#define VI_CONTROL_SIZE ((uint64_t)1 << 20)

#define VI_XSAVE_MAX 12288u
#define VI_ZONES 16
#define VI_ZONE_SIZE 8192u

/* The processor's state of the guest; `xsave` as in the kernel's signal frames. */
struct vi_frame {
    uint64_t registers[23]; /* as in a ucontext */
    uint64_t fs;
    uint64_t mask; /* of signals */
    uint64_t xsave_size;
    unsigned char xsave[VI_XSAVE_MAX];
};

/* A landing zone.  Input is read into it before the guest has it.  The bytes that hold nothing
 * are 0xFF, which no UTF-8 text contains; so what a read had stored when it was killed is found. */
struct vi_zone {
    uint32_t group;    /* the open description; 0: unused */
    uint32_t ended;    /* an end of file is about to be taken, or was */
    uint64_t count;    /* bytes that have landed */
    uint64_t position; /* of the first of them in a TCP stream; VI_NO_POSITION: it is none */
    unsigned char bytes[VI_ZONE_SIZE];
};

#define VI_NO_POSITION UINT64_MAX

/* A call that was made since the last checkpoint, and what it gave. */
struct vi_log_entry {
    uint64_t number;
    uint64_t first, last; /* arguments, by which a call that is made again is known */
    int64_t result;
    uint64_t end; /* of what it wrote, in the log's bytes */
};
#define VI_LOG_ENTRIES 1024u
#define VI_LOG_BYTES 131072u

#define VI_COMMAND_SIZE 65536u

struct vi_header {
    uint64_t magic;
    uint64_t version;
    uint64_t started; /* 0: the program has not made its first checkpoint */
    uint64_t commits; /* its number is what binds the undo log to a checkpoint */
    uint64_t slide;
    uint64_t cpu[4];       /* feature words that were there at the start */
    uint64_t vpid;         /* the process as the guest knows it; 0: a child's that has not begun */
    uint64_t command_size; /* of the arguments, each ended by a zero byte */
    uint64_t pages;        /* pages that checkpoints have stored, all together */
    uint64_t protocol;
    uint64_t plan;     /* the protocol in force: of an adaptive one the present choice */
    uint64_t choices;  /* how often that has changed */
    uint64_t saved;    /* commits that were not needed since events were logged */
    uint64_t log_mark; /* of the event log: see event_log.c */
    /* The event that has or will have this place in the log is a send, on a connection that had
     * been sent so much. */
    uint64_t sent_place;
    uint64_t sent_position;
    /* Of a child process: its parent's number; of that one's checkpoints the one that it comes from, with
     * which it has to begin until it has made one of its own; where its number is to be stored. */
    uint64_t parent, born_at, born_tid;
    char program[PATH_MAX];
    char command[VI_COMMAND_SIZE];
    struct vi_frame frame;
    struct vi_zone zones[VI_ZONES];
    struct vi_log_entry log[VI_LOG_ENTRIES];
    unsigned char log_bytes[VI_LOG_BYTES];
};
_Static_assert(sizeof(struct vi_header) <= VI_HEADER_SIZE, "the header fits its place");

/* A mapping of the guest. */
struct vi_map_entry {
    uint64_t start, end;
    uint32_t protection; /* the guest's own */
    uint32_t unsaved;    /* not writable, but written to since the last checkpoint */
};
#define VI_MAPS 4096

enum vi_file_kind {
    VI_FILE_NONE,
    VI_FILE_INHERITED, /* from whoever started the run */
    VI_FILE_REGULAR,
    VI_FILE_DIRECTORY,
    VI_FILE_DEVICE,  /* terminals too; opened again by path */
    VI_FILE_KEPT,    /* held by the supervisor */
    VI_FILE_ACCEPTED /* so, and of group `inherited`, which has not handed it to the guest yet */
};

#define VI_PATH_SIZE 400u

/* An open description of the guest. */
struct vi_open_file {
    uint32_t kind; /* NONE: free */
    uint32_t flags;
    uint32_t references;
    uint32_t inherited; /* its number then */
    uint32_t mode;      /* the file type bits */
    uint32_t terminal;
    uint64_t device, inode;
    int64_t offset;
    uint32_t locks;   /* as flock(2) */
    uint32_t made_up; /* by the kernel, as in /proc: read again it may differ */
    uint32_t
        shared; /* with a child process or the parent: what is written goes by the supervisor */
    char path[VI_PATH_SIZE];
};

struct vi_descriptor {
    uint16_t group; /* index of the open description plus 1; 0: closed */
    uint16_t close_on_exec;
};

/* A lock of fcntl(2), and a descriptor that it was taken by. */
#define VI_LOCKS 4096u

struct vi_lock {
    uint32_t descriptor, type;
    uint64_t start, length;
};

/* As the kernel has it. */
struct vi_action {
    uint64_t handler;
    uint64_t flags;
    uint64_t restorer;
    uint64_t mask;
};

/* Where the guest makes system calls without the trap (trap/fast.h): the instruction SYSCALL, and
 * what stood before it.  The stubs are this far below the area of mappings. */
#define VI_FAST_SITES 511u
#define VI_FAST_GAP 65536u

struct vi_fast_site {
    uint64_t call;
    unsigned char instruction[8];
};

struct vi_control {
    uint64_t high[VI_AREAS]; /* memory from here on was never used */
    uint64_t break_start, break_end;
    uint64_t map_count;
    uint64_t ppid;
    uint64_t umask;
    uint64_t pending; /* signals taken from the kernel and not yet delivered */
    uint64_t alt_base, alt_size, alt_flags;
    struct itimerval timer;
    uint64_t recovery_signal; /* by which the program is told of a kill; 0: it is not */
    uint64_t interval;        /* of checkpoints for time's sake, as the program wants it */
    uint64_t terminal;        /* 1: there is one, with these settings */
    struct termios termios;
    struct winsize_copy {
        uint16_t rows, columns, x, y;
    } window;
    char directory[PATH_MAX];
    char name[16];
    char image[PATH_MAX];         /* the program that is loaded */
    uint64_t births, child_count; /* children so far; those that were not waited for: */
    int32_t children[VI_CHILDREN];
    struct vi_action actions[65];
    siginfo_t info[65];
    uint64_t lock_count;
    struct vi_lock locks[VI_LOCKS];
    uint64_t fast_back, fast_count; /* where an interrupted call goes back to */
    struct vi_fast_site fast_sites[VI_FAST_SITES];
    struct vi_descriptor descriptors[VI_DESCRIPTORS];
    struct vi_map_entry maps[VI_MAPS];
    struct vi_open_file files[VI_DESCRIPTORS];
};
_Static_assert(sizeof(struct vi_control) <= VI_CONTROL_SIZE, "the control state fits its place");

#endif
