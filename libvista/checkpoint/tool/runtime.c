/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The start of the runtime: see runtime.h.
 */
#include "checkpoint/tool/runtime.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/files/descriptors.h"
#include "checkpoint/files/keeper.h"
#include "checkpoint/files/locks.h"
#include "checkpoint/files/reopen.h"
#include "checkpoint/files/undo.h"
#include "checkpoint/kernel/children.h"
#include "checkpoint/kernel/dc_call.h"
#include "checkpoint/kernel/guest_process.h"
#include "checkpoint/kernel/terminal.h"
#include "checkpoint/kernel/wait.h"
#include "checkpoint/loader/loader.h"
#include "checkpoint/protocol/protocol.h"
#include "checkpoint/protocol/trace.h"
#include "checkpoint/trap/fast.h"
#include "checkpoint/trap/signals.h"

#define HAS_FSGSBASE 2 /* in AT_HWCAP2 */

static void read_cpu(uint64_t cpu[4])
{
    unsigned a, b, c, d;

    memset(cpu, 0, 4 * sizeof *cpu);
    if (__get_cpuid(1, &a, &b, &c, &d))
        cpu[0] = (uint64_t)(c & ~(1u << 27)) << 32 | d; /* OSXSAVE is the kernel's */
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        cpu[1] = (uint64_t)c << 32 | b;
        cpu[2] = d;
    }
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    cpu[3] = (uint64_t)d << 32 | a;
}

/* The program has chosen its code by what the processor had. */
static void check_cpu(void)
{
    static const char *const words[] = {"leaf 1", "leaf 7", "leaf 7, EDX", "XCR0"};
    uint64_t cpu[4];

    read_cpu(cpu);
    for (int i = 0; i < 4; i++) {
        const uint64_t missing = vi_engine.header->cpu[i] & ~cpu[i];

        if (missing != 0)
            vi_give_up("this processor lacks what the run was started with: CPUID %s, bits %llx",
                       words[i], (unsigned long long)missing);
    }
}

/* The arguments, each with its end, one behind the other. */
static uint64_t join(char **arguments, char *joined)
{
    uint64_t size = 0;

    for (; *arguments != NULL; arguments++) {
        const size_t length = strlen(*arguments) + 1;

        if (length > VI_COMMAND_SIZE - size)
            vi_give_up("the arguments are longer than %u bytes", VI_COMMAND_SIZE);
        memcpy(joined + size, *arguments, length);
        size += length;
    }
    return size;
}

static void check_command(const struct vi_options *o)
{
    static char joined[VI_COMMAND_SIZE];
    const struct vi_header *header = vi_engine.header;
    const uint64_t size = join(o->arguments, joined);

    if (strcmp(header->program, o->program) != 0 || size != header->command_size ||
        memcmp(joined, header->command, size) != 0)
        vi_give_up("%s is of another command: %s; --fresh begins anew", o->file, header->program);
    if (o->protocol >= 0 && (uint64_t)o->protocol != header->protocol)
        vi_give_up("%s is of protocol %s, and keeps it; --fresh begins anew", o->file,
                   vi_protocol_name(header->protocol));
}

static void redirect(const char *output)
{
    const int fd = open(output, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    char path[PATH_MAX];

    if (fd < 0 || dup2(fd, 1) < 0 || realpath(output, path) == NULL)
        vi_give_up("%s: %s", output, strerror(errno));
    if (fd != 1)
        close(fd);
    vi_files_forget(1);
    if (vi_files_add(1, VI_FILE_REGULAR, path) < 0)
        vi_give_up("%s: cannot be the output", output);
}

_Noreturn static void start(const struct vi_options *o)
{
    static struct vi_frame frame;
    struct vi_header *header = vi_engine.header;
    uint64_t entry, stack;

    memcpy(header->program, o->program, strlen(o->program) + 1);
    header->command_size = join(o->arguments, header->command);
    header->vpid =
        (uint64_t)vi_report->pid; /* which a signal from elsewhere finds, whatever is killed */
    header->protocol = o->protocol >= 0 ? (uint64_t)o->protocol : 0;
    vi_protocol_start();
    read_cpu(header->cpu);
    vi_undo_open(o->file, false);
    vi_files_start();
    if (o->output != NULL)
        redirect(o->output);
    vi_process_start();
    memcpy(vi_engine.control->image, o->program, sizeof o->program);
    vi_terminal_start();
    vi_loader_load(o->program, o->arguments, environ, &entry, &stack);
    vi_trap_fresh(&frame, entry, stack);
    vi_trace_start();
    vi_trap_enter(&frame);
}

_Noreturn static void resume(const struct vi_options *o)
{
    const bool born = vi_children_resumed();

    vi_signals_resumed();
    check_command(o);
    check_cpu();
    vi_undo_open(o->file, true);
    vi_process_recover();
    vi_reopen_all(o->accept_changed);
    vi_locks_take();
    vi_wait_recover();
    if (!born) {
        vi_terminal_recover(vi_children_any());
        vi_dc_resumed();
    }
    vi_protocol_resumed();
    vi_trap_enter(&vi_engine.header->frame);
}

_Noreturn void vi_runtime_run(const struct vi_options *o)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != vi_report->pid) /* it died before */
        _exit(1);
    vi_report_keep_stderr();
    vi_keeper_enter();
    if (!(getauxval(AT_HWCAP2) & HAS_FSGSBASE))
        vi_give_up("the processor or the kernel has no FSGSBASE");
    vi_fast_allow(o->trace != NULL);
    if (o->trace != NULL && !vi_trace_open(o->trace))
        vi_give_up("%s: %s", o->trace, strerror(errno));
    vi_signals_every(o->every);
    vi_protocol_late(o->late);
    vi_engine_open(o->file);
    if (vi_engine.header->started)
        resume(o);
    start(o);
}
