/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Calls without the trap: see fast.h.
 */
#include "checkpoint/trap/fast.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/files/descriptors.h"
#include "checkpoint/kernel/guest_process.h"
#include "checkpoint/kernel/handlers.h"
#include "checkpoint/kernel/memory_calls.h"
#include "checkpoint/protocol/protocol.h"
#include "checkpoint/trap/kills.h"

#define STUB_SIZE 32u
#define STUBS_SIZE ((uint64_t)(VI_FAST_SITES + 1) * STUB_SIZE)
#define SYSCALL_SIZE 2
#define JUMP_SIZE 5
#define COMPARE 0x80
#define READ_SIZE 11 /* of what read(2) has before the call */
#define STACK_WORDS 1024
#define SLOW (-4096L) /* no result of the kernel's */

/* The first has the runtime's entry, and the trap of a way back. */
struct first_stub {
    uint64_t entry;
    unsigned char trap[SYSCALL_SIZE];
};

/* Those of the process's state come last. */
enum way { BY_TRAP, PASSED, PASSED_FD, OF_FILE, READ, PASSED_STATE, IDENTITY, PARENT };

uint64_t vi_fast_spared;
static unsigned char ways[VI_ROWS]; /* by number */
static bool allowed;
static struct first_stub *first;

/* Where the call goes back to, the end of its SYSCALL, the guest's stack; the stack here. */
uint64_t vi_fast_back, vi_fast_site, vi_fast_sp, vi_fast_stack[STACK_WORDS];
extern const char vi_fast_entry[], vi_fast_inside[], vi_fast_leave[];
long vi_fast_call(long number, const uint64_t *arguments);

/* Up to vi_fast_inside and at vi_fast_leave all registers are the guest's.  SYSCALL leaves RCX and R11 to
 * the kernel. */
__asm__(".text\n"
        ".globl vi_fast_entry, vi_fast_inside, vi_fast_leave\n"
        "vi_fast_entry:\n"
        "    mov %rcx, vi_fast_back(%rip)\n"
        "    mov %rcx, vi_fast_site(%rip)\n"
        "    mov %rsp, vi_fast_sp(%rip)\n"
        "    lea 8192+vi_fast_stack(%rip), %rsp\n"
        "vi_fast_inside:\n"
        "    push %rax; push %r9; push %r8; push %r10; push %rdx; push %rsi; push %rdi\n"
        "    mov %rsp, %rsi; mov %rax, %rdi; sub $8, %rsp\n"
        "    call vi_fast_call\n"
        "    add $8, %rsp; cmp $-4096, %rax; je vi_frame_enter\n"
        "    pop %rdi; pop %rsi; pop %rdx; pop %r10; pop %r8; pop %r9\n"
        "    mov vi_fast_sp(%rip), %rsp\n"
        "vi_fast_leave:\n"
        "    jmp *vi_fast_back(%rip)\n");

VI_QUICK long vi_fast_pass(long number, const uint64_t *a)
{
    register uint64_t r10 __asm__("r10") = a[3];
    register uint64_t r8 __asm__("r8") = a[4];
    register uint64_t r9 __asm__("r9") = a[5];
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

VI_QUICK long vi_fast_call(long number, const uint64_t *a)
{
    const unsigned way = (uint64_t)number < VI_ROWS ? ways[number] : BY_TRAP;
    const bool of_file = way == OF_FILE || way == READ;
    uint32_t group = 0;
    long result;

    if (of_file)
        group = a[0] < VI_DESCRIPTORS ? vi_engine.control->descriptors[a[0]].group : 0;
    if (way == BY_TRAP || (of_file && group == 0) ||
        (way == READ && vi_engine.control->files[group - 1].mode != S_IFREG) ||
        (way == PASSED_FD && (int)a[0] >= VI_DESCRIPTORS))
        return SLOW;
    vi_report->calls++;
    vi_fast_spared += way < PASSED_STATE;
    vi_kill_quickly(false);
    if (of_file)
        vi_files_touched[group - 1] = vi_files_any_touched = true;
    if (way == IDENTITY)
        result = (long)vi_engine.header->vpid;
    else if (way == PARENT)
        result = (long)vi_engine.control->ppid;
    else
        result = vi_fast_pass(number, a);
    if (way == READ && result == -EINTR) { /* by a signal that the program need not see */
        vi_report->calls--;
        vi_fast_spared--;
        return SLOW;
    }
    vi_kill_quickly(true);
    return result;
}

static enum way way_of(const struct vi_row *row, long number)
{
    if (row == NULL || number == SYS_futex || number == SYS_getrandom) /* they wait */
        return BY_TRAP;
    if (row->handler == vi_pass && row->class == VI_CLASS_STATE)
        return PASSED_STATE;
    if (row->handler == vi_pass)
        return row->descriptor ? PASSED_FD : PASSED;
    if (row->handler == vi_call_file_read)
        return OF_FILE;
    if (row->handler == vi_call_read)
        return READ; /* of a file it is passed on */
    if (row->handler == vi_call_getpid)
        return IDENTITY;
    return row->handler == vi_call_getppid ? PARENT : BY_TRAP;
}

static bool needs_trap(const struct vi_row *row)
{
    return !allowed || row == NULL || (row->class != VI_CLASS_STATE && vi_protocol_needs_results());
}

void vi_fast_choose(void)
{
    for (long number = 0; number < VI_ROWS; number++) {
        const struct vi_row *row = vi_table_row(number);

        ways[number] = (unsigned char)(needs_trap(row) ? BY_TRAP : way_of(row, number));
    }
}

bool vi_fast_is_possible(long number)
{
    const struct vi_row *row = vi_table_row(number);

    return row != NULL && row->class != VI_CLASS_STATE && row->handler != vi_call_read &&
           way_of(row, number) != BY_TRAP;
}

/* ---- Stubs ------------------------------------------------------------------- */

static unsigned char *stub_of(uint64_t index)
{
    return (unsigned char *)first + (index + 1) * STUB_SIZE;
}

static void put_distance(unsigned char *at, const void *end, uint64_t to)
{
    const int32_t distance = (int32_t)(to - (uint64_t)end);

    memcpy(at, &distance, sizeof distance);
}

/* What stood before the call; of a read, what is known to be there is made again, its distances for the new
 * place. */
static unsigned char *put_instructions(unsigned char *stub, const struct vi_fast_site *site)
{
    const unsigned char *old = site->instruction;
    const uint64_t compare_end = site->call - READ_SIZE + 7, jump_end = compare_end + 2;
    static const unsigned char read[15] = {COMPARE, 0x3d, [7] = 0x0f, 0x84, [13] = 0x31, 0xc0};
    int32_t distance;

    if (old[0] != COMPARE) {
        memcpy(stub, old, JUMP_SIZE);
        return stub + JUMP_SIZE;
    }
    memcpy(&distance, old + 2, sizeof distance);
    memcpy(stub, read, sizeof read);
    put_distance(stub + 2, stub + 7, compare_end + (uint64_t)distance);
    put_distance(stub + 9, stub + 13, jump_end + (uint64_t)(int8_t)old[6]);
    return stub + sizeof read;
}

static void make_stub(uint64_t index)
{
    const struct vi_fast_site *site = &vi_engine.control->fast_sites[index];
    static const unsigned char lea[3] = {0x48, 0x8d, 0x0d}; /* to(%rip), %rcx */
    static const unsigned char jump[2] = {0xff, 0x25};      /* *to(%rip) */
    unsigned char *stub = put_instructions(stub_of(index), site);

    memcpy(stub, lea, sizeof lea);
    put_distance(stub + 3, stub + 7, site->call + SYSCALL_SIZE);
    memcpy(stub + 7, jump, sizeof jump);
    put_distance(stub + 9, stub + 13, (uint64_t)&first->entry);
}

void vi_fast_allow(bool traced)
{
    allowed = vi_kill_lets_be_quick(traced);
}

void vi_fast_start(void)
{
    const uint64_t at = vi_area_start(VI_AREA_MMAP) - VI_FAST_GAP;

    first = mmap((void *)at, STUBS_SIZE, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if ((uint64_t)first != at)
        vi_give_up("no memory for the ways into the runtime");
    first->entry = (uint64_t)vi_fast_entry;
    memcpy(first->trap, "\x0f\x05", SYSCALL_SIZE);
    for (uint64_t i = 0; i < vi_engine.control->fast_count; i++)
        make_stub(i);
    mprotect(first, STUBS_SIZE, PROT_READ | PROT_EXEC);
    vi_fast_choose();
}

void vi_fast_forget(void)
{
    vi_engine.control->fast_count = vi_engine.control->fast_back = 0;
}

/* mov $number, %eax, without a prefix; and what syscall(3) has there: mov 8(%rsp), %r9. */
static bool is_known(const unsigned char *instruction, long number)
{
    const int32_t loaded = (int32_t)number;

    return (instruction[0] == 0xb8 && (instruction[-1] & 0xf0) != 0x40 &&
            memcmp(instruction + 1, &loaded, sizeof loaded) == 0) ||
           memcmp(instruction, "\x4c\x8b\x4c\x24\x08", JUMP_SIZE) == 0;
}

/* What read(2) has there: cmpb $0, at(%rip); je to; xor %eax, %eax. */
static bool is_read(const unsigned char *instruction)
{
    return instruction[0] == COMPARE && instruction[1] == 0x3d &&
           (instruction[-1] & 0xf0) != 0x40 && memcmp(instruction + 6, "\0\x74", 2) == 0 &&
           memcmp(instruction + 9, "\x31\xc0", 2) == 0;
}

/* Where a jump may be put, before the call; NULL: nowhere. */
static unsigned char *place_for(uint64_t call, long number)
{
    for (unsigned size = JUMP_SIZE; size <= READ_SIZE; size += READ_SIZE - JUMP_SIZE) {
        unsigned char *at = (unsigned char *)call - size;

        if (!vi_memory_readable((uint64_t)at - 1, size + 1) ||
            vi_memory_writable((uint64_t)at, size))
            return NULL;
        if (size == JUMP_SIZE ? is_known(at, number) : is_read(at))
            return at;
    }
    return NULL;
}

/* The stub of a site, made if it has none; VI_FAST_SITES: there is no room. */
static uint64_t find_stub(struct vi_fast_site site)
{
    struct vi_control *c = vi_engine.control;
    uint64_t index = 0;

    while (index < c->fast_count && memcmp(&c->fast_sites[index], &site, sizeof site) != 0)
        index++;
    if (index == c->fast_count && index < VI_FAST_SITES) {
        c->fast_sites[c->fast_count++] = site;
        mprotect(first, STUBS_SIZE, PROT_READ | PROT_WRITE);
        make_stub(index);
        mprotect(first, STUBS_SIZE, PROT_READ | PROT_EXEC);
    }
    return index;
}

/* What is called once would not be worth a page of its own; what was looked at once will not change. */
static bool is_seen_again(uint64_t call)
{
    static uint64_t seen[256];
    uint64_t *place = &seen[(call ^ call >> 8) % 256];
    const bool again = *place == call;

    if (*place != ~call)
        *place = again ? ~call : call;
    return again;
}

void vi_fast_learn(const ucontext_t *context, long number)
{
    const uint64_t behind = (uint64_t)context->uc_mcontext.gregs[REG_RIP];
    struct vi_fast_site site = {.call = behind - SYSCALL_SIZE};
    unsigned char *at;
    uint64_t index, page, size;

    if (!allowed || !is_seen_again(site.call) || site.call - (uint64_t)first > INT32_MAX / 2)
        return;
    at = place_for(site.call, number);
    if (at == NULL)
        return;
    memcpy(site.instruction, at, *at == COMPARE ? 6 : JUMP_SIZE);
    if (*at == COMPARE)
        site.instruction[6] = at[8];
    page = (uint64_t)at & ~(uint64_t)(VI_GUEST_PAGE - 1);
    size = site.call - page;
    index = find_stub(site);
    if (index == VI_FAST_SITES || mprotect((void *)page, size, PROT_READ | PROT_WRITE) != 0)
        return;
    *at = 0xe9;
    put_distance(at + 1, at + JUMP_SIZE, (uint64_t)stub_of(index));
    mprotect((void *)page, size, PROT_READ | PROT_EXEC);
}

/* ---- Signals -------------------------------------------------------------------- */

bool vi_fast_step_out(ucontext_t *context)
{
    greg_t *r = context->uc_mcontext.gregs;
    const uint64_t at = (uint64_t)r[REG_RIP];

    if (at >= (uint64_t)vi_fast_entry && at < (uint64_t)vi_fast_inside)
        r[REG_RIP] = r[REG_RCX] - SYSCALL_SIZE;
    else if (at == (uint64_t)vi_fast_leave && vi_fast_back != (uint64_t)first->trap)
        r[REG_RIP] = (greg_t)vi_fast_back;
    else if (at == (uint64_t)vi_fast_leave || at == (uint64_t)first->trap)
        r[REG_RIP] = (greg_t)vi_engine.control->fast_back; /* a handler's calls have others */
    else
        return false;
    return true;
}

void vi_fast_redirect(const ucontext_t *context)
{
    const uint64_t sp = (uint64_t)context->uc_mcontext.gregs[REG_RSP];

    if (sp - (uint64_t)vi_fast_stack > sizeof vi_fast_stack ||
        vi_fast_back == (uint64_t)first->trap)
        return;
    vi_engine.control->fast_back = vi_fast_back;
    vi_fast_back = (uint64_t)first->trap;
}

bool vi_fast_is_back(ucontext_t *context)
{
    greg_t *r = context->uc_mcontext.gregs;

    if ((uint64_t)r[REG_RIP] != (uint64_t)first->trap + SYSCALL_SIZE)
        return false;
    r[REG_RIP] = (greg_t)vi_engine.control->fast_back;
    return true;
}
