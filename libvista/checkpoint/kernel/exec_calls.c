/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Another program in place of the running one: see handlers.h.
 *
 * What the call gives is copied out of the guest's memory and the program checked; from then on there is
 * no way back.  The old program goes, the new one is loaded, and a checkpoint is made of it: a kill before
 * that finds the old one before its call, a kill behind it the new one.
 */
#include "checkpoint/kernel/handlers.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/files/descriptors.h"
#include "checkpoint/files/locks.h"
#include "checkpoint/files/paths.h"
#include "checkpoint/kernel/guest_process.h"
#include "checkpoint/kernel/memory_calls.h"
#include "checkpoint/kernel/wait.h"
#include "checkpoint/loader/loader.h"
#include "checkpoint/protocol/protocol.h"
#include "checkpoint/protocol/trace.h"
#include "checkpoint/trap/fast.h"
#include "checkpoint/trap/signals.h"

#define MOST_BYTES ((size_t)2 << 20) /* of strings, as the kernel's under a stack of 8 MiB */
#define MOST_SCRIPTS 4               /* whose interpreters are scripts */
#define SCRIPT_LINE 256

/* What the new program is given; before its arguments there is room for those of scripts, two each. */
static char bytes[MOST_BYTES];
static size_t used;
static char *arguments[2 * MOST_SCRIPTS + VI_LOADER_STRINGS], *environment[VI_LOADER_STRINGS];

/* ---- Arguments ---------------------------------------------------------------- */

static char *keep(const char *string)
{
    const size_t size = strlen(string) + 1;
    char *kept = bytes + used;

    if (size > sizeof bytes - used)
        return NULL;
    memcpy(kept, string, size);
    used += size;
    return kept;
}

static long copy_strings(uint64_t at, char **to)
{
    for (size_t count = 0; at != 0; count++, at += sizeof(uint64_t)) {
        uint64_t string;

        if (!vi_memory_readable(at, sizeof string))
            return -EFAULT;
        memcpy(&string, (const void *)at, sizeof string);
        if (string == 0)
            break;
        if (count == VI_LOADER_STRINGS - 1)
            return -E2BIG;
        if (!vi_memory_string(string, MOST_BYTES))
            return -EFAULT;
        *to = keep((const char *)string);
        if (*to++ == NULL)
            return -E2BIG;
    }
    *to = NULL;
    return 0;
}

/* The path of the program, which is absolute. */
static long path_of(const struct vi_call *call, char *path)
{
    const uint64_t *a = call->arguments;
    const bool at = call->number == SYS_execveat;
    const int directory = at ? (int)a[0] : AT_FDCWD;
    const char *name = (const char *)a[at];

    if (!vi_memory_string(a[at], PATH_MAX))
        return -EFAULT;
    if (at && a[4] & ~(uint64_t)AT_EMPTY_PATH)
        return -EINVAL;
    if (strcmp(name, "/proc/self/exe") == 0) /* the kernel takes the runtime for the program */
        name = vi_engine.control->image;
    if (*name != '\0')
        return vi_paths_absolute(directory, name, path);
    return at && a[4] & AT_EMPTY_PATH && vi_paths_of(directory, path) ? 0 : -ENOENT;
}

/* ---- The program --------------------------------------------------------------- */

static bool is_privileged(const struct stat *st)
{
    return (st->st_mode & S_ISUID && st->st_uid != geteuid()) ||
           (st->st_mode & S_ISGID && st->st_gid != getegid());
}

/* Its first line, as far as it is read; or minus an errno. */
static long read_line(const char *path, char line[SCRIPT_LINE + 1])
{
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    long result = fd < 0 ? -errno : 0;
    ssize_t length = 0;

    if (result == 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || access(path, X_OK) != 0))
        result = -EACCES;
    if (result == 0 && is_privileged(&st)) {
        vi_refuse("a program with the rights of another user", "EPERM");
        result = -EPERM;
    }
    if (result == 0)
        length = read(fd, line, SCRIPT_LINE);
    line[length > 0 ? length : 0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    if (fd >= 0)
        vi_locks_close(fd);
    return result;
}

/* #! interpreter [argument]: the argument is the rest of the line. */
static long take_script(char *line, char *path, char ***first)
{
    char *name = line + 2 + strspn(line + 2, " \t"), *rest = name + strcspn(name, " \t");
    char *end = line + strlen(line), *script = keep(path), *interpreter, *argument = NULL;

    while (end > name && isspace((unsigned char)end[-1]))
        *--end = '\0';
    if (*rest != '\0') {
        *rest++ = '\0';
        argument = keep(rest + strspn(rest, " \t"));
    }
    interpreter = keep(name);
    if (script == NULL || interpreter == NULL)
        return -E2BIG;
    if (*name == '\0' || vi_paths_absolute(AT_FDCWD, name, path) != 0)
        return -ENOEXEC;
    **first = script;
    if (argument != NULL && *argument != '\0')
        *--*first = argument;
    *--*first = interpreter;
    return 0;
}

/* Follows scripts to the program that is to be loaded. */
static long find_program(char *path, char ***first)
{
    char line[SCRIPT_LINE + 1];
    long result;

    for (int scripts = 0;; scripts++) {
        result = read_line(path, line);
        if (result != 0)
            return result;
        if (line[0] != '#' || line[1] != '!')
            return vi_loader_check(path);
        if (scripts == MOST_SCRIPTS)
            return -ELOOP;
        result = take_script(line, path, first);
        if (result != 0)
            return result;
    }
}

/* ---- In its place --------------------------------------------------------------- */

/* Those that are not the new program's; others see their end behind the checkpoint. */
static void forget_marked(bool *marked)
{
    for (int fd = 0; fd < VI_DESCRIPTORS; fd++) {
        marked[fd] =
            vi_files_of((uint64_t)fd) != NULL && vi_engine.control->descriptors[fd].close_on_exec;
        if (marked[fd])
            vi_files_forget(fd);
    }
}

static void close_marked(const bool *marked)
{
    for (int fd = 0; fd < VI_DESCRIPTORS; fd++)
        if (marked[fd]) {
            vi_wait_forget(fd);
            (void)close(fd);
            vi_files_closed = true; /* locks went that the checkpoint has found */
        }
}

static void replace(struct vi_call *call, const char *path, char **first)
{
    static struct vi_frame frame;
    bool marked[VI_DESCRIPTORS];
    uint64_t entry, stack;

    vi_process_gather(); /* signals that wait for handlers, which are about to go */
    forget_marked(marked);
    vi_memory_clear();
    vi_signals_replaced();
    vi_fast_forget();
    vi_process_replaced(path);
    vi_loader_load(path, first, environment, &entry, &stack);
    vi_trap_fresh(&frame, entry, stack);
    memcpy(&frame.mask, &call->context->uc_sigmask, sizeof frame.mask);
    vi_trace_after(call, 0, false);
    vi_trap_replace(call->context, &frame);
    close_marked(marked);
}

long vi_call_exec(struct vi_call *call)
{
    const bool at = call->number == SYS_execveat;
    char path[PATH_MAX], **first = arguments + 2 * MOST_SCRIPTS;
    long result = path_of(call, path);

    vi_protocol_undetermined("execve"); /* so is what is found there */
    used = 0;
    if (result == 0)
        result = copy_strings(call->arguments[1 + at], first);
    if (result == 0)
        result = copy_strings(call->arguments[2 + at], environment);
    if (result == 0 && *first == NULL) {
        first[0] = "";
        first[1] = NULL;
    }
    if (result == 0)
        result = find_program(path, &first);
    if (result != 0)
        return result;
    replace(call, path, first);
    return VI_NO_RESULT;
}
