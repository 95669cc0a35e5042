/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Pages that segment libraries have noted as in use: the calls are in rvm/rvm.h.
 */
#include <stdlib.h>

#include "rvm/rvm_regions.h"

struct noted {
    struct noted *next;
    uintptr_t from, end;
};

static struct noted *all; /* with vi_rvm.regions_lock */

static struct noted **find(uintptr_t from, uintptr_t end)
{
    struct noted **link = &all;

    while (*link != NULL && (end <= (*link)->from || from >= (*link)->end))
        link = &(*link)->next;
    return link;
}

static uintptr_t end_of(const char *vmaddr, rvm_length_t length)
{
    return (uintptr_t)vmaddr + rvm_round_length_up_to_page(length);
}

rvm_bool_t rvm_register_page(char *vmaddr, rvm_length_t length)
{
    const uintptr_t from = (uintptr_t)vmaddr & rvm_page_mask(), end = end_of(vmaddr, length);
    struct noted *noted;

    if (length == 0 || end <= from || vi_rvm_is_mapped(from, end - from))
        return rvm_false;
    noted = malloc(sizeof *noted);
    if (noted == NULL)
        return rvm_false;
    pthread_mutex_lock(&vi_rvm.regions_lock);
    if (*find(from, end) == NULL) {
        *noted = (struct noted){all, from, end};
        all = noted;
        noted = NULL;
    }
    pthread_mutex_unlock(&vi_rvm.regions_lock);
    if (noted == NULL)
        return rvm_true;
    free(noted);
    return rvm_false;
}

rvm_bool_t rvm_unregister_page(char *vmaddr, rvm_length_t length)
{
    const uintptr_t from = (uintptr_t)vmaddr & rvm_page_mask(), end = end_of(vmaddr, length);
    struct noted **link, *found;

    pthread_mutex_lock(&vi_rvm.regions_lock);
    link = find(from, end);
    found = *link;
    if (found != NULL && found->from == from && found->end == end)
        *link = found->next;
    else
        found = NULL;
    pthread_mutex_unlock(&vi_rvm.regions_lock);
    free(found);
    return found != NULL; /* NOLINT(clang-analyzer-unix.Malloc): whether there was one */
}
