/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The loader: see loader.h.
 */
#include "checkpoint/loader/loader.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/kernel/memory_calls.h"

#define MOST_HEADERS 64
#define STACK_SIZE ((uint64_t)16 << 20)
#define STACK_TOP_GAP ((uint64_t)VI_GUEST_PAGE)

struct image {
    Elf64_Ehdr header;
    Elf64_Phdr segments[MOST_HEADERS];
    int fd;
    const char *path;
    uint64_t base; /* what is added to its addresses */
};

/* 0, and its file is open; or minus an errno. */
static long read_image(struct image *image, const char *path)
{
    const Elf64_Ehdr *h = &image->header;
    const size_t size = sizeof image->segments[0];

    image->path = path;
    image->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (image->fd < 0)
        return -errno;
    if (pread(image->fd, &image->header, sizeof *h, 0) == sizeof *h &&
        memcmp(h->e_ident, ELFMAG, SELFMAG) == 0 && h->e_machine == EM_X86_64 &&
        (h->e_type == ET_EXEC || h->e_type == ET_DYN) && h->e_phnum <= MOST_HEADERS &&
        h->e_phentsize == size &&
        pread(image->fd, image->segments, h->e_phnum * size, (off_t)h->e_phoff) ==
            (ssize_t)(h->e_phnum * size))
        return 0;
    close(image->fd);
    return -ENOEXEC;
}

static void check(const struct image *image, long result)
{
    if (result < 0)
        vi_give_up("%s: cannot be loaded: %s", image->path, strerror((int)-result));
}

/* Where its segments end, relative to its base; they begin at `*start`. */
static uint64_t extent_of(const struct image *image, uint64_t *start)
{
    uint64_t end = 0;

    *start = UINT64_MAX;
    for (int i = 0; i < image->header.e_phnum; i++) {
        const Elf64_Phdr *p = &image->segments[i];

        if (p->p_type != PT_LOAD)
            continue;
        if (VI_PAGE_DOWN(p->p_vaddr) < *start)
            *start = VI_PAGE_DOWN(p->p_vaddr);
        if (VI_PAGE_UP(p->p_vaddr + p->p_memsz) > end)
            end = VI_PAGE_UP(p->p_vaddr + p->p_memsz);
    }
    return end;
}

static int protection_of(const Elf64_Phdr *p)
{
    return (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) |
           (p->p_flags & PF_X ? PROT_EXEC : 0);
}

static void map_segment(const struct image *image, const Elf64_Phdr *p)
{
    const uint64_t start = image->base + VI_PAGE_DOWN(p->p_vaddr);
    const uint64_t file_end = image->base + p->p_vaddr + p->p_filesz;
    const uint64_t end = image->base + VI_PAGE_UP(p->p_vaddr + p->p_memsz);

    if (p->p_filesz != 0)
        check(image, vi_memory_map(start, VI_PAGE_UP(file_end) - start, protection_of(p),
                                   MAP_PRIVATE | MAP_FIXED, image->fd, VI_PAGE_DOWN(p->p_offset)));
    if (p->p_memsz > p->p_filesz && p->p_flags & PF_W && VI_PAGE_UP(file_end) != file_end)
        memset((void *)file_end, 0, VI_PAGE_UP(file_end) - file_end);
    if (end > VI_PAGE_UP(file_end))
        check(image,
              vi_memory_map(VI_PAGE_UP(file_end), end - VI_PAGE_UP(file_end), protection_of(p),
                            MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0));
}

/* Maps an image at `at`, or, if that is 0, wherever there is room; what is not position-independent
 * has its own addresses. */
static void map_image(struct image *image, uint64_t at)
{
    uint64_t start;
    const uint64_t end = extent_of(image, &start);

    if (image->header.e_type == ET_DYN && at == 0) {
        const long found =
            vi_memory_map(0, end - start, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        check(image, found);
        at = (uint64_t)found;
    }
    image->base = image->header.e_type == ET_DYN ? at - start : 0;
    for (int i = 0; i < image->header.e_phnum; i++)
        if (image->segments[i].p_type == PT_LOAD)
            map_segment(image, &image->segments[i]);
    close(image->fd);
}

static const Elf64_Phdr *find_segment(const struct image *image, uint32_t type)
{
    for (int i = 0; i < image->header.e_phnum; i++)
        if (image->segments[i].p_type == type)
            return &image->segments[i];
    return NULL;
}

/* Its interpreter's name, in PATH_MAX bytes, empty if it has none; 0, or minus an errno. */
static long read_interpreter(const struct image *image, char *path)
{
    const Elf64_Phdr *p = find_segment(image, PT_INTERP);
    const size_t size = p != NULL ? p->p_filesz : 0;

    path[0] = '\0';
    if (size >= PATH_MAX ||
        pread(image->fd, path, size, p != NULL ? (off_t)p->p_offset : 0) != (ssize_t)size)
        return -ENOEXEC;
    path[size] = '\0';
    return 0;
}

static struct image program, interpreter; /* whose descriptor is -1 where there is none */

/* Both are open, if it gives 0; else an errno, negative, and none is. */
static long open_both(const char *path)
{
    static char name[PATH_MAX];
    uint64_t start;
    long result = read_image(&program, path);

    interpreter.fd = -1;
    if (result != 0)
        return result;
    result = extent_of(&program, &start) == 0 ? -ENOEXEC : read_interpreter(&program, name);
    if (result == 0 && name[0] != '\0') {
        result = read_image(&interpreter, name);
        result = result == -ENOEXEC ? -ELIBBAD : result;
    }
    if (result != 0)
        close(program.fd);
    return result;
}

long vi_loader_check(const char *path)
{
    const long result = open_both(path);

    if (result == 0)
        close(program.fd);
    if (result == 0 && interpreter.fd >= 0)
        close(interpreter.fd);
    return result;
}

/* ---- The stack --------------------------------------------------------------- */

static uint64_t push(uint64_t *at, const void *bytes, size_t size)
{
    *at -= size;
    memcpy((void *)*at, bytes, size);
    return *at;
}

static size_t push_strings(uint64_t *at, char **strings, uint64_t *addresses)
{
    size_t count = 0;

    for (; strings[count] != NULL; count++) {
        if (count == VI_LOADER_STRINGS - 1)
            vi_give_up("too many arguments");
        addresses[count] = push(at, strings[count], strlen(strings[count]) + 1);
    }
    addresses[count] = 0;
    return count;
}

/* Where in memory the program's headers are. */
static uint64_t headers_at(const struct image *program)
{
    for (int i = 0; i < program->header.e_phnum; i++) {
        const Elf64_Phdr *p = &program->segments[i];

        if (p->p_type == PT_LOAD && p->p_offset <= program->header.e_phoff &&
            program->header.e_phoff < p->p_offset + p->p_filesz)
            return program->base + p->p_vaddr + program->header.e_phoff - p->p_offset;
    }
    return 0;
}

/* As the kernel's, but without the vDSO, whose calls the runtime would not see. */
static size_t fill_auxiliary(uint64_t *aux, const struct image *program, uint64_t base,
                             uint64_t *at, const char *path)
{
    unsigned char random[16];
    const uint64_t pairs[][2] = {
        {AT_PHDR, headers_at(program)},
        {AT_PHENT, sizeof(Elf64_Phdr)},
        {AT_PHNUM, program->header.e_phnum},
        {AT_PAGESZ, VI_GUEST_PAGE},
        {AT_BASE, base},
        {AT_FLAGS, 0},
        {AT_ENTRY, program->base + program->header.e_entry},
        {AT_UID, getuid()},
        {AT_EUID, geteuid()},
        {AT_GID, getgid()},
        {AT_EGID, getegid()},
        {AT_SECURE, 0},
        {AT_CLKTCK, 100},
        {AT_HWCAP, getauxval(AT_HWCAP)},
        {AT_HWCAP2, getauxval(AT_HWCAP2)},
        {AT_MINSIGSTKSZ, getauxval(AT_MINSIGSTKSZ)},
        {AT_EXECFN, push(at, path, strlen(path) + 1)},
        {AT_PLATFORM, push(at, "x86_64", 7)},
        {AT_RANDOM, getrandom(random, sizeof random, 0) == 16 ? push(at, random, 16) : 0},
        {AT_NULL, 0},
    };

    memcpy(aux, pairs, sizeof pairs);
    return sizeof pairs / sizeof(uint64_t);
}

static uint64_t build_stack(const struct image *program, uint64_t base, char **arguments,
                            char **environment)
{
    static uint64_t argv[VI_LOADER_STRINGS], envp[VI_LOADER_STRINGS], aux[64];
    const uint64_t end = vi_area_end(VI_AREA_STACK), size = STACK_SIZE;
    uint64_t at = end - STACK_TOP_GAP;
    size_t argc, envc, auxc, words;

    check(program, vi_memory_map(end - size, size, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    argc = push_strings(&at, arguments, argv);
    envc = push_strings(&at, environment, envp);
    auxc = fill_auxiliary(aux, program, base, &at, program->path);
    words = 1 + argc + 1 + envc + 1 + auxc;
    at = (at - words * sizeof(uint64_t)) & ~(uint64_t)15;
    at += words * sizeof(uint64_t);
    push(&at, aux, auxc * sizeof *aux);
    push(&at, envp, (envc + 1) * sizeof *envp);
    push(&at, argv, (argc + 1) * sizeof *argv);
    return push(&at, &(uint64_t){argc}, sizeof(uint64_t));
}

void vi_loader_load(const char *path, char **arguments, char **environment, uint64_t *entry,
                    uint64_t *stack)
{
    bool dynamic;

    check(&program, open_both(path));
    dynamic = interpreter.fd >= 0;
    map_image(&program, vi_area_start(VI_AREA_IMAGE));
    if (dynamic)
        map_image(&interpreter, 0);
    vi_memory_start_break();
    *entry = dynamic ? interpreter.base + interpreter.header.e_entry
                     : program.base + program.header.e_entry;
    *stack = build_stack(&program, dynamic ? interpreter.base : 0, arguments, environment);
}
