/* SPDX-License-Identifier: BSD-3-Clause
 *
 * base/watch and who calls it: AddressSanitizer and Valgrind report the misuse of heap
 * blocks, and no more than that.  Only the program is built for the sanitizer; the
 * library beside it is the one that is installed.
 */
#include "command.h"

static const char *const wrong[] = {"after-free", "after-free-large",   "after-abort",
                                    "after-both", "after-both-of-many", "beyond",
                                    "before",     "after-restart",      "after-growth"};
#define WRONG (sizeof wrong / sizeof *wrong)

/* Of the sanitizers that this build knows. */
static bool has(const char *program)
{
    char path[PATH_MAX + 64];

    snprintf(path, sizeof path, "%s/test/%s", build_directory(), program);
    return access(path, X_OK) == 0;
}

START_TEST(test_address_sanitizer)
{
    if (!has("misuse_asan")) {
        test_skip("AddressSanitizer and heap blocks", "not in this build");
        return;
    }
    for (size_t i = 0; i < WRONG; i++) {
        const int status = run("test/misuse_asan %s %s", test_path("segment"), wrong[i]);

        ck_assert_msg(status != 0 && strstr(output, "use-after-poison") != NULL,
                      "%s: exit status %d\n%s", wrong[i], status, output);
    }
    EXPECT(0, "nothing wrong was done", "test/misuse_asan %s nothing", test_path("segment"));
    EXPECT(0, "nothing wrong was done", "test/misuse_asan %s nothing-on-disk", test_path("other"));
}
END_TEST

START_TEST(test_valgrind)
{
    const char *valgrind = "exec valgrind --quiet --error-exitcode=42";

    if (!has("misuse_valgrind") || run("vista --version && valgrind --version") != 0) {
        test_skip("Valgrind and heap blocks", "no valgrind, or not in this build");
        return;
    }
    for (size_t i = 0; i < WRONG; i++) {
        const int status = run("vista --version; %s %s/test/misuse_valgrind %s %s", valgrind,
                               build_directory(), test_path("segment"), wrong[i]);

        ck_assert_msg(status == 42 && strstr(output, "Invalid ") != NULL, "%s: exit status %d\n%s",
                      wrong[i], status, output);
    }
    EXPECT(42, "uninitialised", "vista --version; %s %s/test/misuse_valgrind %s undefined",
           valgrind, build_directory(), test_path("segment"));
    EXPECT(0, "nothing wrong was done", "vista --version; %s %s/test/misuse_valgrind %s nothing",
           valgrind, build_directory(), test_path("segment"));
    EXPECT(0, "nothing wrong was done",
           "vista --version; %s %s/test/misuse_valgrind %s nothing-on-disk", valgrind,
           build_directory(), test_path("other"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("watch");
    TCase *tools = test_case(suite, "tools", 60);

    tcase_add_test(tools, test_address_sanitizer);
    tcase_add_test(tools, test_valgrind);
    return test_run(suite);
}
