/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Several copies of the shared library in one process, as plug-ins that bring their own have
 * them: each is loaded by dlopen, which has little room for storage of threads, and works.
 */
#include "support.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPIES 4
#define STORAGE 128u /* bytes of a thread's that the library may have */

static void copy_library(const char *to)
{
    const int from = open(VISTA_LIBRARY, O_RDONLY | O_CLOEXEC);
    const int copy = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    char bytes[65536];
    ssize_t got;

    ck_assert_int_ge(from, 0);
    ck_assert_int_ge(copy, 0);
    while ((got = read(from, bytes, sizeof bytes)) > 0)
        ck_assert_int_eq(write(copy, bytes, (size_t)got), got);
    close(from);
    OK(close(copy));
}

/* A transaction by the copy's own functions, and the message of a call that fails. */
static void use(void *library, const char *path)
{
    vista_segment *(*map)(const char *, size_t, unsigned, const struct vista_map_options *);
    vista_tx *(*begin)(vista_segment *, unsigned);
    int (*end)(vista_tx *, unsigned), (*unmap)(vista_segment *);
    const char *(*message)(void);
    vista_segment *segment;

    *(void **)&map = dlsym(library, "vista_map");
    *(void **)&begin = dlsym(library, "vista_begin_transaction");
    *(void **)&end = dlsym(library, "vista_end_transaction");
    *(void **)&unmap = dlsym(library, "vista_unmap");
    *(void **)&message = dlsym(library, "vista_errormsg");
    segment = map(path, 1 << 20, VISTA_CREATE, NULL);
    ck_assert_msg(segment != NULL, "%s", message());
    for (int i = 0; i < 3; i++) {
        vista_tx *tx = begin(segment, 0);

        ck_assert_ptr_ne(tx, NULL);
        ck_assert_int_eq(end(tx, 0), 0);
        ck_assert_int_eq(end(tx, 0), -1);
        ck_assert_ptr_ne(strstr(message(), "has ended"), NULL);
    }
    ck_assert_int_eq(unmap(segment), 0);
}

START_TEST(load)
{
    void *library[COPIES];
    char *path[COPIES];

    if (test_is_sanitized()) {
        test_skip("copies", "built with a sanitizer");
        return;
    }
    for (int i = 0; i < COPIES; i++) {
        char name[32];

        snprintf(name, sizeof name, "libcopy%d.so", i);
        path[i] = strdup(test_path(name));
        copy_library(path[i]);
        library[i] = dlopen(path[i], RTLD_NOW | RTLD_LOCAL);
        ck_assert_msg(library[i] != NULL, "copy %d: %s", i, dlerror());
        for (int j = 0; j < i; j++)
            ck_assert_ptr_ne(library[i], library[j]);
    }
    for (int i = 0; i < COPIES; i++)
        use(library[i], test_path("segment"));
}
END_TEST

START_TEST(have_little_storage)
{
    const int fd = open(VISTA_LIBRARY, O_RDONLY | O_CLOEXEC);
    const unsigned char *file;
    const Elf64_Ehdr *header;
    const Elf64_Phdr *part;
    struct stat st;

    ck_assert_int_ge(fd, 0);
    OK(fstat(fd, &st));
    file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    ck_assert_ptr_ne(file, MAP_FAILED);
    header = (const void *)file;
    part = (const void *)(file + header->e_phoff);
    for (unsigned i = 0; i < header->e_phnum; i++)
        if (part[i].p_type == PT_TLS)
            ck_assert_uint_le(part[i].p_memsz, test_is_sanitized() ? UINT64_MAX : STORAGE);
    munmap((void *)file, (size_t)st.st_size);
    close(fd);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("copies");
    TCase *tests = test_case(suite, "copies", 30);

    tcase_add_test(tests, load);
    tcase_add_test(tests, have_little_storage);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
