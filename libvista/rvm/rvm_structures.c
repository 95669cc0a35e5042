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
}

static void *from_heap(void *structure)
{
    if (structure != NULL)
        ((struct any *)structure)->from_heap = rvm_true;
    return structure;
}

static void *copy(const void *structure, size_t size, rvm_struct_id_t id)
{
    void *made;

    if (structure == NULL || ((const struct any *)structure)->struct_id != id)
        return NULL;
    made = malloc(size);
    return made != NULL ? from_heap(memcpy(made, structure, size)) : NULL;
}

/* Whoever frees it twice, or uses it once more, is told that it is none. */
static void discard(void *structure, rvm_struct_id_t id)
{
    struct any *any = structure;

    if (any == NULL || any->struct_id != id)
        return;
    any->struct_id = (rvm_struct_id_t)0;
    if (any->from_heap)
        free(any);
}

void rvm_init_tid(rvm_tid_t *tid)
{
    init(tid, sizeof *tid, rvm_tid_id);
}

rvm_tid_t *rvm_malloc_tid(void)
{
    rvm_tid_t *tid = malloc(sizeof *tid);

    rvm_init_tid(tid);
    return from_heap(tid);
}

rvm_tid_t *rvm_copy_tid(rvm_tid_t *tid)
{
    return copy(tid, sizeof *tid, rvm_tid_id);
}

void rvm_free_tid(rvm_tid_t *tid)
{
    discard(tid, rvm_tid_id);
}

void rvm_init_region(rvm_region_t *region)
{
    init(region, sizeof *region, rvm_region_id);
}

rvm_region_t *rvm_malloc_region(void)
{
    rvm_region_t *region = malloc(sizeof *region);

    rvm_init_region(region);
    return from_heap(region);
}

rvm_region_t *rvm_copy_region(rvm_region_t *region)
{
    return copy(region, sizeof *region, rvm_region_id);
}

void rvm_free_region(rvm_region_t *region)
{
    discard(region, rvm_region_id);
}

void rvm_init_options(rvm_options_t *options)
{
    init(options, sizeof *options, rvm_options_id);
    if (options != NULL) {
        options->truncate = RVM_TRUNCATE_DEFAULT;
        options->create_log_mode = 0600;
    }
}

rvm_options_t *rvm_malloc_options(void)
{
    rvm_options_t *options = malloc(sizeof *options);

    rvm_init_options(options);
    return from_heap(options);
}

/* The array is the original's. */
rvm_options_t *rvm_copy_options(rvm_options_t *options)
{
    rvm_options_t *made = copy(options, sizeof *options, rvm_options_id);

    if (made != NULL) {
        made->tid_array = NULL;
        made->n_uncommit = 0;
    }
    return made;
}

void rvm_free_options(rvm_options_t *options)
{
    if (options != NULL && options->struct_id == rvm_options_id) {
        free(options->tid_array);
        options->tid_array = NULL;
    }
    discard(options, rvm_options_id);
}

void rvm_init_statistics(rvm_statistics_t *statistics)
{
    init(statistics, sizeof *statistics, rvm_statistics_id);
}

rvm_statistics_t *rvm_malloc_statistics(void)
{
    rvm_statistics_t *statistics = malloc(sizeof *statistics);

    rvm_init_statistics(statistics);
    return from_heap(statistics);
}

rvm_statistics_t *rvm_copy_statistics(rvm_statistics_t *statistics)
{
    return copy(statistics, sizeof *statistics, rvm_statistics_id);
}

void rvm_free_statistics(rvm_statistics_t *statistics)
{
    discard(statistics, rvm_statistics_id);
}

/* ---- Names ----------------------------------------------------------------- */

static char *name_in(const char *const *names, size_t count, unsigned at, const char *none)
{
    return (char *)(at < count && names[at] != NULL ? names[at] : none);
}

#define COUNT(names) (sizeof(names) / sizeof *(names))

char *rvm_return(rvm_return_t code)
{
    static const char *const names[] = {"RVM_EINIT",       "RVM_EINTERNAL",
                                        "RVM_EIO",         "RVM_EUNUSED",
                                        "RVM_ELOG",        "RVM_ELOG_VERSION_SKEW",
                                        "RVM_EMODE",       "RVM_ENAME_TOO_LONG",
                                        "RVM_ENO_MEMORY",  "RVM_ENOT_MAPPED",
                                        "RVM_EOFFSET",     "RVM_EOPTIONS",
                                        "RVM_EOVERLAP",    "RVM_EPAGER",
                                        "RVM_ERANGE",      "RVM_EREGION",
                                        "RVM_EREGION_DEF", "RVM_ESRC",
                                        "RVM_ESTATISTICS", "RVM_ESTAT_VERSION_SKEW",
                                        "RVM_ETERMINATED", "RVM_ETHREADS",
                                        "RVM_ETID",        "RVM_ETOO_BIG",
                                        "RVM_EUNCOMMIT",   "RVM_EVERSION_SKEW",
                                        "RVM_EVM_OVERLAP"};

    if (code == RVM_SUCCESS)
        return (char *)"RVM_SUCCESS";
    return name_in(names, COUNT(names), (unsigned)code - RVM_EINIT, "invalid return code");
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
