/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What must be refused: power-safety where it cannot be had, and segments that a
 * machine's death may have torn.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"

static vista_segment *map_or_fail(const char *path, unsigned flags)
{
    vista_segment *segment = vista_map(path, flags & VISTA_CREATE ? VM_SIZE : 0, flags, NULL);

    if (segment == NULL)
        vm_fail_call(path);
    return segment;
}

static void unmap_or_fail(vista_segment *segment)
{
    if (vista_unmap(segment) != 0)
        vm_fail_call("vista_unmap");
}

/* vista_map fails with `error` and says `words`. */
static void expect_refusal(const char *name, const char *path, unsigned flags, int error,
                           const char *words)
{
    vista_segment *segment;

    errno = 0;
    segment = vista_map(path, flags & VISTA_CREATE ? VM_SIZE : 0, flags, NULL);
    if (segment != NULL)
        vm_fail("%s: not refused", name);
    if (errno != error || strstr(vista_errormsg(), words) == NULL)
        vm_fail("%s: refused with %s: %s", name, strerror(errno), vista_errormsg());
    vm_say("ok %s: %s", name, vista_errormsg());
}

/* Maps, and tells the class that was given. */
static void expect_class(const char *name, const char *path, unsigned flags, enum vista_class class)
{
    vista_segment *segment = map_or_fail(path, VISTA_CREATE | flags);
    struct vista_info info;

    if (vista_info(segment, &info) != 0)
        vm_fail_call("vista_info");
    if (info.persistence != class ||
        info.durability != (class == VISTA_CLASS_KILL ? VISTA_KILL_SAFE : VISTA_POWER_SAFE))
        vm_fail("%s: class %u, durability 0x%x", name, info.persistence, info.durability);
    unmap_or_fail(segment);
    unlink(path);
    vm_say("ok %s", name);
}

/* That the kernel maps the file with MAP_SYNC, or does not: what the case rests on. */
static void expect_map_sync(const char *path, bool granted)
{
    const int fd = open(path, O_RDWR | O_CREAT, 0600);
    void *at;

    if (fd < 0 || ftruncate(fd, 4096) != 0)
        vm_fail("%s: %s", path, strerror(errno));
    at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
    if ((at != MAP_FAILED) != granted)
        vm_fail("%s: MAP_SYNC is %s", path, granted ? "refused" : "granted");
    close(fd);
    unlink(path);
}

void vm_refuse_virtio(void)
{
    expect_map_sync("/vpmem/probe", false);
    expect_class("virtio-pmem, DAX without MAP_SYNC, is power-safe as a disk is", "/vpmem/segment",
                 VISTA_POWER_SAFE, VISTA_CLASS_DISK);
    expect_class("virtio-pmem taken as kill-safe", "/vpmem/segment", 0, VISTA_CLASS_KILL);
    expect_map_sync("/disk/probe", false);
    expect_class("a disk is power-safe by its redo log", "/disk/power", VISTA_POWER_SAFE,
                 VISTA_CLASS_DISK);
    setenv("VISTA_CLASS", "line", 1);
    expect_refusal("the page cache refused as power-safe with the class forced", "/disk/power",
                   VISTA_CREATE | VISTA_POWER_SAFE, ENOTSUP, "forced");
    unsetenv("VISTA_CLASS");
}

void vm_refuse_no_flush(void)
{
    expect_map_sync("/dax/probe", true);
    expect_refusal("PMEM_NO_FLUSH=1 on real DAX refused as power-safe", "/dax/no-flush",
                   VISTA_CREATE | VISTA_POWER_SAFE, ENOTSUP, "PMEM_NO_FLUSH");
    expect_class("PMEM_NO_FLUSH=1 on real DAX taken as kill-safe", "/dax/no-flush", 0,
                 VISTA_CLASS_KILL);
}

/* ---- Torn -------------------------------------------------------------- */

static void commit_steps(vista_segment *segment, struct vm_model *model, unsigned count)
{
    while (count-- > 0)
        vm_work_step(segment, model, 0);
}

static vista_segment *make(const char *path, unsigned flags, uint64_t seed, struct vm_model *model)
{
    vista_segment *segment;

    unlink(path);
    segment = map_or_fail(path, flags | VISTA_CREATE | VISTA_EXCLUSIVE);
    vm_work_create(segment, seed);
    vm_model_start(model, seed, 0);
    return segment;
}

#define TORN_STEPS 50

/* A process that dies: within one life of the machine that tears nothing. */
static void check_killed_process(uint64_t seed)
{
    static struct vm_model models[VM_STREAMS];
    const uint64_t acked[VM_STREAMS] = {TORN_STEPS};
    vista_segment *segment;
    pid_t child = fork();
    int status;

    if (child == 0) {
        segment = make(VM_DISK, VISTA_KILL_SAFE, seed, &models[0]);
        commit_steps(segment, &models[0], TORN_STEPS);
        vm_work_leave_open(segment);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        vm_fail("the child did not come to its end");
    segment = map_or_fail(VM_DISK, 0);
    vm_verify(segment, seed, acked, false, models);
    unmap_or_fail(segment);
    vm_say("ok a page-cache segment taken after its process died");
}

/* Leaves an open segment on the disk and one on DAX for the machine to die with. */
void vm_torn_make(uint64_t seed)
{
    static struct vm_model model;

    check_killed_process(seed);
    commit_steps(make(VM_KILL, VISTA_KILL_SAFE, seed, &model), &model, TORN_STEPS);
    commit_steps(make(VM_DISK, VISTA_KILL_SAFE, seed, &model), &model, TORN_STEPS);
    vm_say("acknowledged %u commits on each", TORN_STEPS);
    vm_end(VM_DIED);
}

/* What would be there if it were not refused: this shows that the comparison sees
 * what a machine's death costs without power-safety. */
static void look_at_torn(uint64_t seed)
{
    vista_segment *segment = vista_map(VM_DISK, 0, VISTA_ACCEPT_TORN, NULL);
    const struct vm_root *root;

    if (segment == NULL && errno != EBADMSG)
        vm_fail_call("vista_map with VISTA_ACCEPT_TORN");
    if (segment == NULL) {
        vm_say("ok accepted as torn it does not pass the check: %s", vista_errormsg());
        return;
    }
    root = vista_root(segment, 0);
    if (root == NULL || root->seed != seed)
        vm_say("ok accepted as torn it is empty: %u commits were lost", TORN_STEPS);
    else
        vm_say("ok accepted as torn it has %llu of %u commits",
               (unsigned long long)root->streams[0].count, TORN_STEPS);
    unmap_or_fail(segment);
}

/* Refused, then made anew and unmapped; a second death changes nothing in that. */
void vm_torn_check(uint64_t seed)
{
    static struct vm_model model;

    expect_refusal("a page-cache segment refused after the machine died", VM_DISK, 0, ECANCELED,
                   "may be torn");
    expect_refusal("a kill-safe segment on DAX refused after the machine died", VM_KILL, 0,
                   ECANCELED, "may be torn");
    expect_refusal("a torn segment refused to a reader", VM_DISK, VISTA_READ_ONLY, EUCLEAN,
                   "needs recovery");
    look_at_torn(seed);
    for (unsigned i = 0; i < 2; i++) {
        vista_segment *segment = make(i == 0 ? VM_DISK : VM_KILL, VISTA_KILL_SAFE, seed, &model);

        commit_steps(segment, &model, TORN_STEPS);
        unmap_or_fail(segment);
    }
    vm_end(VM_DIED);
}

void vm_clean_check(uint64_t seed)
{
    static struct vm_model models[VM_STREAMS];
    const uint64_t acked[VM_STREAMS] = {TORN_STEPS};

    for (unsigned i = 0; i < 2; i++) {
        vista_segment *segment = map_or_fail(i == 0 ? VM_DISK : VM_KILL, 0);

        vm_verify(segment, seed, acked, false, models);
        unmap_or_fail(segment);
        vm_say("ok %s taken, all commits in it, after it was unmapped and the machine died",
               i == 0 ? "a page-cache segment" : "a kill-safe segment on DAX");
    }
}
