/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Calls without the trap: see fast.h.
 */
#include "checkpoint/trap/fast.h"

#include <string.h>
#include <sys/mman.h>
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
#define STACK_WORDS 1024
#define SLOW (-4096L) /* no result of the kernel's */

/* The first has the runtime's entry, and the trap of a way back. */
struct first_stub {
    uint64_t entry;
    unsigned char trap[SYSCALL_SIZE];
};

enum way { BY_TRAP, PASSED, PASSED_FD, OF_FILE, /* of state: */ PASSED_STATE, IDENTITY, PARENT };

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
    uint32_t group = 0;
    long result;

    if (way == PASSED_FD || way == OF_FILE)
        group = a[0] < VI_DESCRIPTORS ? vi_engine.control->descriptors[a[0]].group : 0;
    if (way == BY_TRAP || (way == OF_FILE && group == 0) ||
        (way == PASSED_FD && (int)a[0] >= VI_DESCRIPTORS))
        return SLOW;
    vi_report->calls++;
    vi_fast_spared += way < PASSED_STATE;
    vi_kill_quickly(false);
    if (way == OF_FILE)
        vi_files_touched[group - 1] = vi_files_any_touched = true;
    if (way == IDENTITY)
        result = (long)vi_engine.header->vpid;
    else if (way == PARENT)
        result = (long)vi_engine.control->ppid;
    else
        result = vi_fast_pass(number, a);
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

    return row != NULL && row->class != VI_CLASS_STATE && way_of(row, number) != BY_TRAP;
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

static void make_stub(uint64_t index)
{
    const struct vi_fast_site *site = &vi_engine.control->fast_sites[index];
    static const unsigned char lea[3] = {0x48, 0x8d, 0x0d}; /* to(%rip), %rcx */
    static const unsigned char jump[2] = {0xff, 0x25};      /* *to(%rip) */
    unsigned char *stub = stub_of(index);

    memcpy(stub, site->instruction, JUMP_SIZE);
    memcpy(stub + 5, lea, sizeof lea);
    put_distance(stub + 8, stub + 12, site->call + SYSCALL_SIZE);
    memcpy(stub + 12, jump, sizeof jump);
    put_distance(stub + 14, stub + 18, (uint64_t)&first->entry);
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
    unsigned char *at = (unsigned char *)site.call - JUMP_SIZE;
    const uint64_t page = (uint64_t)at & ~(uint64_t)(VI_GUEST_PAGE - 1);
    const uint64_t size = site.call - page;
    uint64_t index;

    if (!allowed || !is_seen_again(site.call) || site.call - (uint64_t)first > INT32_MAX / 2 ||
        !vi_memory_readable((uint64_t)at - 1, JUMP_SIZE + 1) ||
        vi_memory_writable((uint64_t)at, JUMP_SIZE) || !is_known(at, number))
        return;
    memcpy(site.instruction, at, JUMP_SIZE);
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
