/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Making, copying and freeing the structures of programs, and the names of what they hold: the calls
 * are in rvm/rvm.h and rvm/rvm_statistics.h.
 */
#include <rvm/rvm_statistics.h>
#include <stdlib.h>
#include <string.h>

/* All structures begin as this one. */
struct any {
    rvm_struct_id_t struct_id;
    rvm_bool_t from_heap;
};

_Static_assert(sizeof(rvm_tid_t) == 40, "as compiled programs have it");
_Static_assert(sizeof(rvm_region_t) == 72, "as compiled programs have it");
_Static_assert(sizeof(rvm_options_t) == 120, "as compiled programs have it");
_Static_assert(sizeof(rvm_statistics_t) == 1600, "as compiled programs have it");

static void init(void *structure, size_t size, rvm_struct_id_t id)
{
    if (structure == NULL)
        return;
    memset(structure, 0, size);
    *(struct any *)structure = (struct any){id, rvm_false};
    if (id == rvm_options_id) {
        ((rvm_options_t *)structure)->truncate = RVM_TRUNCATE_DEFAULT;
        ((rvm_options_t *)structure)->create_log_mode = 0600;
    }
}

static void *make(size_t size, rvm_struct_id_t id)
{
    struct any *made = malloc(size);

    init(made, size, id);
    if (made != NULL)
        made->from_heap = rvm_true;
    return made;
}

static void *copy(const void *structure, size_t size, rvm_struct_id_t id)
{
    const struct any *from = structure;
    void *made = from != NULL && from->struct_id == id ? make(size, id) : NULL;

    if (made == NULL)
        return NULL;
    memcpy((struct any *)made + 1, from + 1, size - sizeof *from);
    if (id == rvm_options_id) /* the array is the original's */
        ((rvm_options_t *)made)->tid_array = NULL;
    return made;
}

/* Whoever frees it twice, or uses it once more, is told that it is none. */
static void discard(void *structure, rvm_struct_id_t id)
{
    struct any *any = structure;

    if (any == NULL || any->struct_id != id)
        return;
    if (id == rvm_options_id)
        free(((rvm_options_t *)structure)->tid_array);
    any->struct_id = (rvm_struct_id_t)0;
    if (any->from_heap)
        free(any);
}

/* Tables: a line for each call, and some codes in each. */
/* clang-format off */
/* NOLINTBEGIN(bugprone-macro-parentheses): it makes names */
#define STRUCTURE(name) \
    void rvm_init_##name(rvm_##name##_t *at) { init(at, sizeof *at, rvm_##name##_id); } \
    rvm_##name##_t *rvm_malloc_##name(void) { return make(sizeof(rvm_##name##_t), rvm_##name##_id); } \
    rvm_##name##_t *rvm_copy_##name(rvm_##name##_t *at) { return copy(at, sizeof *at, rvm_##name##_id); } \
    void rvm_free_##name(rvm_##name##_t *at) { discard(at, rvm_##name##_id); }
/* NOLINTEND(bugprone-macro-parentheses) */
STRUCTURE(tid)
STRUCTURE(region)
STRUCTURE(options)
STRUCTURE(statistics)

static const char *const codes[] = {
    "RVM_EINIT", "RVM_EINTERNAL", "RVM_EIO", "RVM_EUNUSED", "RVM_ELOG", "RVM_ELOG_VERSION_SKEW",
    "RVM_EMODE", "RVM_ENAME_TOO_LONG", "RVM_ENO_MEMORY", "RVM_ENOT_MAPPED", "RVM_EOFFSET",
    "RVM_EOPTIONS", "RVM_EOVERLAP", "RVM_EPAGER", "RVM_ERANGE", "RVM_EREGION", "RVM_EREGION_DEF",
    "RVM_ESRC", "RVM_ESTATISTICS", "RVM_ESTAT_VERSION_SKEW", "RVM_ETERMINATED", "RVM_ETHREADS",
    "RVM_ETID", "RVM_ETOO_BIG", "RVM_EUNCOMMIT", "RVM_EVERSION_SKEW", "RVM_EVM_OVERLAP"};
/* clang-format on */

/* ---- Names ----------------------------------------------------------------- */

static char *name_in(const char *const *names, size_t count, unsigned at, const char *none)
{
    return (char *)(at < count ? names[at] : none);
}

#define COUNT(names) (sizeof(names) / sizeof *(names))

char *rvm_return(rvm_return_t code)
{
    if (code == RVM_SUCCESS)
        return (char *)"RVM_SUCCESS";
    return name_in(codes, COUNT(codes), (unsigned)code - RVM_EINIT, "invalid return code");
}

char *rvm_mode(rvm_mode_t mode)
{
    static const char *const names[] = {"restore", "no_restore", "flush", "no_flush"};

    return name_in(names, COUNT(names), (unsigned)mode - restore, "invalid mode");
}

char *rvm_type(rvm_struct_id_t id)
{
    static const char *const names[] = {"rvm_region_t", "rvm_options_t", "rvm_tid_t",
                                        "rvm_statistics_t"};

    return name_in(names, COUNT(names), (unsigned)id - rvm_region_id, "invalid structure type");
}
