/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Child processes in the supervisor: see birth.h.
 */
#include "checkpoint/tool/birth.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint/engine/file_copy.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/files/keeper.h"
#include "checkpoint/files/undo.h"

/* ---- Births -------------------------------------------------------------------- */

static struct vi_child *find(uint64_t birth)
{
    for (int i = 0; i < VI_CHILDREN; i++)
        if (vi_report->children[i].birth == birth)
            return &vi_report->children[i];
    return NULL;
}

/* In the child's supervisor: its file is a copy of its parent's. */
static void begin(struct vi_options *options, int told, pid_t parent)
{
    char copy[sizeof options->file];
    const size_t length =
        (size_t)snprintf(copy, sizeof copy, "%s.%d", options->file, (int)getpid());
    int error = length < sizeof copy - 16 ? 0 : ENAMETOOLONG;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (error == 0 && getppid() == parent) {
        vi_undo_remove(copy); /* of a run that was killed with its supervisor */
        error = vi_copy_checkpoint(options->file, copy);
    }
    if (error == 0)
        memcpy(options->file, copy, length + 1);
    if (error != 0)
        vi_say("a child process is not made: %s: %s", copy, strerror(error));
    if (getppid() != parent || write(told, &error, sizeof error) != sizeof error || error != 0)
        _exit(1);
    options->fresh = false;
    options->trace = options->output = NULL;
}

/* What the new process tells; without a word it has died. */
static int result_of(pid_t pid, int told)
{
    int error = EAGAIN;

    if (read(told, &error, sizeof error) != sizeof error)
        error = EAGAIN;
    if (error != 0)
        (void)waitpid(pid, NULL, 0);
    return error;
}

bool vi_birth_give(struct vi_options *options)
{
    const uint64_t birth = vi_keeper_birth();
    const pid_t parent = getpid();
    struct vi_child *child = birth != 0 ? find(birth) : NULL;
    int told[2], error = 0;
    pid_t pid;

    if (birth == 0)
        return false;
    if (child == NULL) { /* else it is asked for again, after a kill */
        child = find(0);
        if (child == NULL || pipe2(told, O_CLOEXEC) != 0) {
            vi_keeper_answer(EAGAIN);
            return false;
        }
        pid = fork();
        if (pid == 0) {
            begin(options, told[1], parent);
            close(told[0]);
            close(told[1]);
            return true;
        }
        close(told[1]);
        error = pid < 0 ? EAGAIN : result_of(pid, told[0]);
        close(told[0]);
        if (error == 0)
            *child = (struct vi_child){.birth = birth, .pid = pid};
    }
    vi_keeper_answer(error);
    return false;
}

/* ---- Ends ---------------------------------------------------------------------- */

static int status_of(const siginfo_t *info)
{
    if (info->si_code == CLD_EXITED)
        return (info->si_status & 0xff) << 8;
    return info->si_status | (info->si_code == CLD_DUMPED ? 0x80 : 0);
}

/* Its own, and those of its children, whose names begin with it. */
static void remove_files(const char *file, pid_t pid)
{
    char name[PATH_MAX + 16], *own;
    const struct dirent *entry;
    size_t length;
    DIR *folder;

    snprintf(name, sizeof name, "%s%s.%d", strchr(file, '/') != NULL ? "" : "./", file, (int)pid);
    own = strrchr(name, '/') + 1;
    length = strlen(own);
    own[-1] = '\0';
    folder = opendir(own - 1 == name ? "/" : name);
    while (folder != NULL && (entry = readdir(folder)) != NULL)
        if (strncmp(entry->d_name, own, length) == 0 &&
            (entry->d_name[length] == '\0' || entry->d_name[length] == '.'))
            (void)unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder != NULL)
        closedir(folder);
}

/* Who sent SIGKILL to its number has ended its supervisor, which would have removed its files; and its
 * children, which die with that. */
static void note_end(struct vi_child *child, int status, const char *file)
{
    if (WIFSIGNALED(status))
        remove_files(file, child->pid);
    child->status = status;
    __atomic_store_n(&child->ended, 1, __ATOMIC_RELEASE);
}

bool vi_birth_look(const char *file)
{
    const uint64_t one = 1;
    bool any = false;

    for (int i = 0; i < VI_CHILDREN; i++) {
        struct vi_child *child = &vi_report->children[i];
        siginfo_t info = {0};

        if (child->birth == 0)
            continue;
        /* Its number is no other's before the parent has it. */
        if (!child->ended &&
            waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            info.si_pid != 0 && !vi_report->refused) {
            note_end(child, status_of(&info), file);
            any = true;
        }
        if (child->ended && child->reaped && waitpid(child->pid, NULL, 0) == child->pid)
            *child = (struct vi_child){0};
    }
    if (any)
        (void)!write(vi_report->ends, &one, sizeof one);
    return any;
}

bool vi_birth_is_told(void)
{
    for (int i = 0; i < VI_CHILDREN; i++)
        if (vi_report->children[i].ended && !vi_report->children[i].reaped)
            return false;
    return true;
}

/* Theirs, too, who die with them: this process has them as its own then. */
void vi_birth_kill(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (int i = 0; i < VI_CHILDREN; i++)
        if (vi_report->children[i].birth != 0)
            kill(vi_report->children[i].pid, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0) {
    }
}

bool vi_birth_is_over(const char *file)
{
    (void)vi_birth_look(file);
    for (int i = 0; i < VI_CHILDREN; i++)
        if (vi_report->children[i].birth != 0 && !vi_report->children[i].ended)
            return false;
    return true;
}

void vi_birth_end(const char *file)
{
    vi_birth_kill();
    for (int i = 0; i < VI_CHILDREN; i++)
        if (vi_report->children[i].birth != 0 && !vi_report->children[i].ended)
            remove_files(file, vi_report->children[i].pid);
}
