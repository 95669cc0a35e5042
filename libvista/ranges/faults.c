/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Faults: see faults.h.  The handlers read the list of segments without a lock: it
 * only grows.  Its state is in the arena; `the_faults` but leads there.
 */
#include "ranges/faults.h"

#include <errno.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/error.h"

#define FAULT_WRITE 2 /* a bit of the processor's error code */

struct faults {
    pthread_mutex_t lock; /* of changes to all of this */
    _Atomic(struct vi_ranges *) first;
    vi_mend_fn *mend;
    bool installed;
    struct sigaction before[2]; /* who had SIGSEGV and SIGBUS before us */
};

static struct faults *the_faults;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* ---- The list ---------------------------------------------------------- */

static void after_fork_in_child(void)
{
    for (struct vi_ranges *r = the_faults->first; r != NULL; r = r->next) {
        r->size = 0; /* the pages are not here */
        vi_protect_close(&r->protect);
    }
    pthread_mutex_init(&the_faults->lock, NULL);
}

static void make_faults(void)
{
    struct faults *faults = vi_arena_alloc(sizeof *faults);

    if (faults == NULL || pthread_mutex_init(&faults->lock, NULL) != 0 ||
        pthread_atfork(NULL, NULL, after_fork_in_child) != 0)
        return;
    the_faults = faults;
}

struct vi_ranges *vi_faults_take(struct vi_segment *segment, vi_mend_fn *mend)
{
    struct vi_ranges *r = NULL;

    pthread_once(&once, make_faults);
    if (the_faults != NULL) {
        pthread_mutex_lock(&the_faults->lock);
        if (the_faults->mend == NULL) /* handlers read it without the lock */
            the_faults->mend = mend;
        for (r = the_faults->first; r != NULL && r->segment != NULL;)
            r = r->next;
        if (r == NULL && (r = vi_arena_alloc(sizeof *r)) != NULL) {
            pthread_mutex_init(&r->lock, NULL);
            r->protect.fd = -1;
            r->next = the_faults->first;
            the_faults->first = r;
        }
        if (r != NULL)
            r->segment = segment;
        pthread_mutex_unlock(&the_faults->lock);
    }
    if (r == NULL)
        vi_fail(ENOMEM, "no memory for automatic ranges");
    return r;
}

void vi_faults_give(struct vi_ranges *r)
{
    pthread_mutex_lock(&the_faults->lock);
    r->segment = NULL;
    pthread_mutex_unlock(&the_faults->lock);
}

/* Where the sanitizers have nothing to say. */
__attribute__((no_sanitize("address", "thread"))) static uintptr_t top_of(const ucontext_t *context)
{
    return *(const uintptr_t *)context->uc_mcontext.gregs[REG_RSP];
}

bool vi_faults_mend(const siginfo_t *info, const void *ucontext)
{
    const ucontext_t *context = ucontext;
    const uintptr_t address = (uintptr_t)info->si_addr;

    if (the_faults == NULL ||
        info->si_code != (info->si_signo == SIGBUS ? BUS_ADRERR : SEGV_ACCERR) ||
        !(context->uc_mcontext.gregs[REG_ERR] & FAULT_WRITE))
        return false;
    for (struct vi_ranges *r = the_faults->first; r != NULL; r = r->next)
        if (address - r->base < r->size && info->si_signo == (r->protect.fd < 0 ? SIGSEGV : SIGBUS))
            return the_faults->mend(
                r, (struct vi_note){address, (uintptr_t)context->uc_mcontext.gregs[REG_RIP],
                                    top_of(context)});
    return false;
}

/* ---- The handlers ------------------------------------------------------ */

/* What the kernel does where there is no handler, once we return. */
static void die(int signal, siginfo_t *info)
{
    const struct sigaction action = {.sa_handler = SIG_DFL};

    sigaction(signal, &action, NULL);
    syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), signal, info);
}

/* Calls who had the signal before us, as the kernel would. */
static void pass_on(int signal, siginfo_t *info, void *ucontext)
{
    struct sigaction *before = &the_faults->before[signal == SIGBUS];
    const struct sigaction action = *before;
    sigset_t mask = ((ucontext_t *)ucontext)->uc_sigmask;

    if (action.sa_handler == SIG_IGN && info->si_code <= 0)
        return; /* sent by someone; a fault cannot be ignored */
    if (action.sa_handler == SIG_IGN || action.sa_handler == SIG_DFL) {
        die(signal, info);
        return;
    }
    if (action.sa_flags & SA_RESETHAND)
        *before = (struct sigaction){.sa_handler = SIG_DFL};
    sigorset(&mask, &mask, &action.sa_mask);
    if (!(action.sa_flags & SA_NODEFER))
        sigaddset(&mask, signal);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    if (action.sa_flags & SA_SIGINFO)
        action.sa_sigaction(signal, info, ucontext);
    else
        action.sa_handler(signal);
}

static void on_fault(int signal, siginfo_t *info, void *ucontext)
{
    const int error = errno;

    if (!vi_faults_mend(info, ucontext))
        pass_on(signal, info, ucontext);
    errno = error;
}

/* Once, and again where the program has gone back to no handler; one that it has
 * installed over ours passes on what is not its own, as vista.h says. */
static int install(int signal, struct sigaction *before, bool again)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK}, now;

    sigfillset(&action.sa_mask);
    if (sigaction(signal, NULL, &now) != 0)
        return -1;
    if (again && now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN)
        return 0;
    *before = now;
    return sigaction(signal, &action, NULL);
}

int vi_faults_install(void)
{
    int result = 0;

    pthread_mutex_lock(&the_faults->lock);
    for (int bus = 0; bus < 2 && result == 0; bus++)
        result = install(bus ? SIGBUS : SIGSEGV, &the_faults->before[bus], the_faults->installed);
    the_faults->installed |= result == 0;
    pthread_mutex_unlock(&the_faults->lock);
    return result == 0 ? 0 : vi_fail_system(errno, "cannot install a signal handler");
}

/* As in core/process.c: while nothing is watched, whoever had the signals before has them again.
 * Where a segment is still mapped the process is ending, and its threads may yet store to it. */
static __attribute__((destructor)) void at_unload(void)
{
    struct sigaction now;

    if (the_faults == NULL || !the_faults->installed)
        return;
    for (struct vi_ranges *r = the_faults->first; r != NULL; r = r->next)
        if (r->segment != NULL)
            return;
    for (int bus = 0; bus < 2; bus++)
        if (sigaction(bus ? SIGBUS : SIGSEGV, NULL, &now) == 0 && now.sa_flags & SA_SIGINFO &&
            now.sa_sigaction == on_fault)
            sigaction(bus ? SIGBUS : SIGSEGV, &the_faults->before[bus], NULL);
}
