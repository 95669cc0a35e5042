/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Stores that were not declared: see undeclared.h.
 */
#include "ranges/undeclared.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "core/group.h"

static bool is_allowed(const struct vi_undeclared *check, uint64_t offset)
{
    return check->allowed[offset / 64] >> offset % 64 & 1;
}

void vi_undeclared_allow(struct vi_undeclared *check, uint64_t offset, uint64_t length)
{
    const uint64_t end = offset + length;

    for (; offset < end; offset = (offset | 63) + 1) {
        const uint64_t left = end - offset / 64 * 64;
        const uint64_t below = left < 64 ? ((uint64_t)1 << left) - 1 : ~(uint64_t)0;

        __atomic_fetch_or(&check->allowed[offset / 64], below & ~(uint64_t)0 << offset % 64,
                          __ATOMIC_RELAXED);
    }
}

void vi_undeclared_forget(struct vi_undeclared *check, size_t size)
{
    check->count = 0;
    if (check->allowed != NULL && /* it reads as zero from then on */
        madvise(check->allowed, size / 8, MADV_DONTNEED) != 0)
        memset(check->allowed, 0, size / 8);
}

/* What is noted is not to be noted again. */
static void note(struct vi_undeclared *check, struct vi_note store, uint64_t offset,
                 uint64_t length)
{
    if (check->home->count == 0)
        check->home->first = store;
    check->home->count++;
    vi_undeclared_allow(check, offset, length);
}

void vi_undeclared_store(struct vi_undeclared *check, uint64_t offset, struct vi_note store)
{
    if (check->allowed != NULL && !is_allowed(check, offset))
        note(check, store, offset / 8 * 8, 8); /* the rest of the store, most often */
}

/* ---- At the end -------------------------------------------------------- */

/* Bytes that differ, close together, are one store. */
void vi_undeclared_compare(struct vi_undeclared *check, const struct vi_item *page,
                           const unsigned char *base)
{
    const unsigned char *before = page->payload, *now = base + page->offset;
    uint32_t from = 0, to;

    if (memcmp(before, now, page->length) == 0)
        return;
    for (; from < page->length; from = to + 1) {
        to = from;
        if (before[from] == now[from] || is_allowed(check, page->offset + from))
            continue;
        for (uint32_t i = from; i < page->length && i - to < sizeof(uint64_t); i++)
            if (before[i] != now[i] && !is_allowed(check, page->offset + i))
                to = i;
        note(check, (struct vi_note){.address = (uintptr_t)now + from}, page->offset + from,
             to + 1 - from);
    }
}

/* What is called of elfutils' libdw, in the order of `names`.  It is loaded only when a
 * store is to be described, and not there everywhere.  Its standard way to find debugging
 * information would ask servers on the network, too. */
struct libdw {
    void *find_elf, *find_debuginfo; /* to be called by it */
    void *(*begin)(void *callbacks[4]);
    int (*report)(void *session, pid_t pid);
    int (*report_end)(void *session, void *, void *);
    void *(*source)(void *session, uint64_t code);
    const char *(*line)(void *source, uint64_t *, int *line, int *, uint64_t *, uint64_t *);
    void (*end)(void *session);
};

/* ", file.c:56", if that is known. */
static void describe_line(uintptr_t code, char *text, size_t size)
{
    static const char *const names[] = {"dwfl_linux_proc_find_elf",
                                        "dwfl_build_id_find_debuginfo",
                                        "dwfl_begin",
                                        "dwfl_linux_proc_report",
                                        "dwfl_report_end",
                                        "dwfl_getsrc",
                                        "dwfl_lineinfo",
                                        "dwfl_end"};
    void *const library = dlopen("libdw.so.1", RTLD_NOW), *symbols[8] = {NULL}, *session, *source;
    const char *file = NULL;
    struct libdw dw;
    int line = 0;

    for (int i = 0; library != NULL && i < 8; i++)
        if ((symbols[i] = dlsym(library, names[i])) == NULL)
            return;
    memcpy(&dw, symbols, sizeof dw);
    if (library == NULL ||
        (session = dw.begin((void *[4]){dw.find_elf, dw.find_debuginfo})) == NULL)
        return;
    if (dw.report(session, getpid()) == 0 && dw.report_end(session, NULL, NULL) == 0 &&
        (source = dw.source(session, code)) != NULL)
        file = dw.line(source, NULL, &line, NULL, NULL, NULL);
    if (file != NULL)
        snprintf(text, size, ", %s:%d", file, line);
    dw.end(session);
}

/* "function+0x12 (/module+0x1234, file.c:56)", the module as addr2line wants it; false:
 * not known. */
static bool describe(uintptr_t code, char *text, size_t size)
{
    struct link_map *module;
    char source[150] = "";
    Dl_info info;

    if (code == 0 || dladdr1((void *)code, &info, (void **)&module, RTLD_DL_LINKMAP) == 0 ||
        info.dli_fname == NULL)
        return false;
    describe_line(code, source, sizeof source);
    if (info.dli_sname != NULL)
        snprintf(text, size, "%s+0x%zx (%s+0x%zx%s)", info.dli_sname,
                 (size_t)(code - (uintptr_t)info.dli_saddr), info.dli_fname,
                 (size_t)(code - module->l_addr), source);
    else
        snprintf(text, size, "%s+0x%zx%s", info.dli_fname, (size_t)(code - module->l_addr), source);
    return true;
}

bool vi_undeclared_found(const struct vi_undeclared *check, int error, struct vi_segment *home)
{
    const struct vi_note *first = &check->first;
    const struct vi_segment *segment;
    char code[250], caller[250] = "";
    bool known, called;

    if (check->count == 0)
        return false;
    segment = vi_group_find(home, first->address);
    known = describe(first->code, code, sizeof code);
    called = known && describe(first->caller - 1, /* in the call */
                               caller, sizeof caller);
    vi_fail(error,
            "%s: stored to without vista_set_range: 0x%zx, offset %zu, by %s%s%s; %u such "
            "stores in all; the transaction is still open",
            segment->path, (size_t)first->address,
            (size_t)(first->address - (uintptr_t)segment->map.data),
            known ? code : "an instruction that a watchpoint at this address finds",
            called ? ", or its caller " : "", caller, check->count);
    return true;
}
