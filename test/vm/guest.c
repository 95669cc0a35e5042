/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One life of the virtual machine: what an earlier life left is checked, then work
 * is done until death comes.
 *
 * usage: guest wait
 *   until the machine goes on from the state that is saved now, see vm_wait
 * usage: guest NAME=VALUE...
 *   seed=S         of the segment's contents
 *   class=line     that the memory must give: line or eadr; disk: the segment is on a disk
 *   acked=A,B      commits that each stream has acknowledged; "new": a creation was
 *                  cut off; without it there is no segment yet
 *   exact=1        no commit was under way
 *   recover=K      die at the K-th persist of the mapping that recovers
 *   fresh=S        begin again with a new segment, of this seed
 *   work=KIND:N    create, commit, abort or unmap: die at its N-th persist
 *                  run: two threads commit until death comes from outside
 *                  persist: the same, to the N-th persist; panic: for N ms
 *   refuse=WHAT    see refuse.c, instead of all that
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

#define SECONDS 600   /* should the host forget this machine: above all that it waits */
#define FLUSH_EVERY 8 /* commits, of those that are not flushed each */
#define WARM_UP (2 * VM_BIG_EVERY - 1) /* the next step is a big one */

static struct vm_model models[VM_STREAMS];

static struct {
    uint64_t seed;
    enum vista_class class;
    bool exists, was_new, exact, fresh;
    uint64_t fresh_seed;
    uint64_t acked[VM_STREAMS];
    unsigned long recover;
    const char *work;
    unsigned long number;
    const char *refuse;
    const char *path;
} life = {.class = VISTA_CLASS_LINE, .work = "none", .refuse = "", .path = VM_DAX};

/* ---- Arguments --------------------------------------------------------- */

static void set_class(const char *value)
{
    if (strcmp(value, "disk") == 0) {
        life.class = VISTA_CLASS_DISK;
        life.path = VM_DISK;
    } else if (strcmp(value, "eadr") == 0) {
        life.class = VISTA_CLASS_EADR;
    }
}

static void set_acked(char *value)
{
    life.exists = true;
    life.was_new = strcmp(value, "new") == 0;
    for (unsigned i = 0; !life.was_new && i < VM_STREAMS; i++) {
        life.acked[i] = strtoull(value, &value, 10);
        value += *value == ',';
    }
}

static void set_work(char *value)
{
    char *number = strchr(value, ':');

    if (number != NULL) {
        *number++ = '\0';
        life.number = strtoul(number, NULL, 10);
    }
    life.work = value;
}

static void read_argument(const char *name, char *value)
{
    if (strcmp(name, "seed") == 0)
        life.seed = strtoull(value, NULL, 10);
    else if (strcmp(name, "class") == 0)
        set_class(value);
    else if (strcmp(name, "acked") == 0)
        set_acked(value);
    else if (strcmp(name, "exact") == 0)
        life.exact = true;
    else if (strcmp(name, "recover") == 0)
        life.recover = strtoul(value, NULL, 10);
    else if (strcmp(name, "fresh") == 0) {
        life.fresh = true;
        life.fresh_seed = strtoull(value, NULL, 10);
    } else if (strcmp(name, "work") == 0)
        set_work(value);
    else if (strcmp(name, "refuse") == 0)
        life.refuse = value;
    else
        vm_fail("unknown argument %s", name);
}

static void read_arguments(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');

        if (value == NULL)
            vm_fail("argument %s has no value", argv[i]);
        *value++ = '\0';
        read_argument(argv[i], value);
    }
}

/* On a disk, every third segment's commits are made durable several at a time. */
static unsigned flush_every(uint64_t seed)
{
    return life.class == VISTA_CLASS_DISK && seed % 3 == 0 ? FLUSH_EVERY : 1;
}

/* ---- Looking back ------------------------------------------------------ */

static int report(void *arg, int severity, const char *text)
{
    (void)arg;
    if (severity == 2)
        vm_say("damage: %s", text);
    return 0;
}

static void check(const char *when)
{
    if (vista_check(life.path, 0, report, NULL) != 0)
        vm_fail("vista_check %s: %s: %s", when, strerror(errno), vista_errormsg());
}

static void say_persists(const char *phase)
{
    const char *letters;
    const unsigned long count = vm_persist_counted(&letters);

    vm_say("persists %s %lu %s", phase, count, letters);
}

static vista_segment *map(unsigned flags)
{
    const size_t size = flags & VISTA_CREATE ? VM_SIZE : 0;
    vista_segment *segment = vista_map(life.path, size, flags | VISTA_POWER_SAFE, NULL);
    struct vista_info info;

    if (segment == NULL || vista_info(segment, &info) != 0)
        vm_fail_call("vista_map");
    if (info.persistence != life.class || info.durability != VISTA_POWER_SAFE || info.forced)
        vm_fail("class %u, durability 0x%x, forced %u", info.persistence, info.durability,
                info.forced);
    return segment;
}

static void unmap(vista_segment *segment)
{
    if (vista_unmap(segment) != 0)
        vm_fail_call("vista_unmap");
}

/* Checks, recovers, compares, unmaps and checks again. */
static void look_back(void)
{
    vista_segment *segment;
    struct vista_info info;

    vm_say("looking");
    if (!life.was_new)
        check("before recovery");
    vm_persist_arm(life.recover);
    segment = map(life.was_new ? VISTA_CREATE : 0);
    say_persists("recover");
    vm_persist_arm(0);
    vista_info(segment, &info);
    if (life.was_new)
        vm_verify_new(segment, life.seed, models);
    else
        vm_verify(segment, life.seed, life.acked, life.exact ? 0 : flush_every(life.seed), models);
    unmap(segment);
    check("after recovery");
    vm_say("checked %llu,%llu rolled back %llu, finished %llu", (unsigned long long)models[0].count,
           (unsigned long long)models[1].count, (unsigned long long)info.rolled_back,
           (unsigned long long)info.finished);
}

/* ---- Work -------------------------------------------------------------- */

/* Says that a commit was made: from here on it may not be lost. */
static void acknowledge(const struct vm_model *model)
{
    vm_say("c %u %llu", model->stream, (unsigned long long)model->count);
}

static void step(vista_segment *segment, struct vm_model *model)
{
    const unsigned every = flush_every(model->seed);

    vm_work_step(segment, model, every == 1 ? 0 : VISTA_NO_FLUSH);
    if (model->count % every != 0)
        return;
    if (every != 1 && vista_flush(segment) != 0)
        vm_fail_call("vista_flush");
    acknowledge(model);
}

/* Where in a commit with frees to finish it is undone from the most, and finished
 * with the most to do: the fence before the commit point, and the one after. */
static void say_points(void)
{
    const char *letters;
    unsigned long at = vm_persist_counted(&letters), fences = 0, points[5] = {0};

    while (at > 0 && fences < 4)
        if (letters[--at] == 'f')
            points[++fences] = at + 1;
    vm_say("points %lu %lu", points[4], points[3]);
}

/* Dies within one call or transaction, at a persist that the host has chosen. */
static void work_to_point(vista_segment *segment)
{
    while (models[0].count < WARM_UP)
        step(segment, &models[0]);
    if (strcmp(life.work, "create") == 0)
        return;
    vm_work_leave_open(segment);
    if (strcmp(life.work, "commit") == 0) {
        vm_persist_arm(life.number);
        vm_work_step(segment, &models[0], 0);
        say_persists(life.work);
        say_points();
    } else {
        vm_persist_arm(life.number);
        vm_work_abort(segment, &models[0]);
        say_persists(life.work);
    }
}

static void work_to_unmap(vista_segment *segment)
{
    while (models[0].count < WARM_UP)
        step(segment, &models[0]);
    vm_persist_arm(life.number);
    unmap(segment);
    say_persists(life.work);
}

static void *run_stream(void *argument)
{
    vista_segment *segment = argument;
    static unsigned streams;
    const unsigned stream = __atomic_fetch_add(&streams, 1, __ATOMIC_RELAXED);

    for (;;)
        step(segment, &models[stream]);
    return NULL;
}

static void panic(unsigned long ms)
{
    const int fd = open("/proc/sysrq-trigger", O_WRONLY);

    usleep((useconds_t)ms * 1000);
    vm_say("panic");
    if (write(fd, "c", 1) != 1)
        vm_fail("/proc/sysrq-trigger: %s", strerror(errno));
}

static void work_until_death(vista_segment *segment)
{
    pthread_t thread;

    vm_work_leave_open(segment);
    vm_persist_arm(strcmp(life.work, "persist") == 0 ? life.number : 0);
    vm_say("running");
    for (unsigned i = 0; i < VM_STREAMS; i++)
        if (pthread_create(&thread, NULL, run_stream, segment) != 0)
            vm_fail("pthread_create");
    if (strcmp(life.work, "panic") == 0)
        panic(life.number);
    for (;;)
        pause();
}

static vista_segment *begin_again(void)
{
    vista_segment *segment;

    unlink(life.path);
    sync(); /* or the old one may be there again after a death */
    vm_say("fresh");
    if (strcmp(life.work, "create") == 0)
        vm_persist_arm(life.number);
    segment = map(VISTA_CREATE | VISTA_EXCLUSIVE);
    vm_work_create(segment, life.fresh_seed);
    if (strcmp(life.work, "create") == 0)
        say_persists("create");
    vm_persist_arm(0);
    for (unsigned i = 0; i < VM_STREAMS; i++)
        vm_model_start(&models[i], life.fresh_seed, i);
    vm_say("created");
    return segment;
}

static void work(void)
{
    vista_segment *segment = life.fresh ? begin_again() : map(0);
    const char *kind = life.work;

    if (strcmp(kind, "create") == 0 || strcmp(kind, "commit") == 0 || strcmp(kind, "abort") == 0)
        work_to_point(segment);
    else if (strcmp(kind, "unmap") == 0)
        work_to_unmap(segment);
    else
        work_until_death(segment);
}

static void refuse(uint64_t seed)
{
    if (strcmp(life.refuse, "virtio") == 0)
        vm_refuse_virtio();
    else if (strcmp(life.refuse, "no-flush") == 0)
        vm_refuse_no_flush();
    else if (strcmp(life.refuse, "torn-make") == 0)
        vm_torn_make(seed);
    else if (strcmp(life.refuse, "torn-check") == 0)
        vm_torn_check(seed);
    else
        vm_clean_check(seed);
    vm_end(VM_DONE);
}

int main(int argc, char **argv)
{
    alarm(SECONDS);
    vm_ports_open();
    if (argc == 2 && strcmp(argv[1], "wait") == 0)
        return vm_wait(), 0;
    read_arguments(argc, argv);
    if (*life.refuse != '\0')
        refuse(life.seed);
    if (life.class != VISTA_CLASS_DISK)
        vm_persist_count();
    if (life.exists)
        look_back();
    if (strcmp(life.work, "none") != 0)
        work();
    vm_end(VM_DONE);
}
