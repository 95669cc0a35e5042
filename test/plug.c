/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A plugin that uses libvista, which test_environment loads and closes.
 */
#include <stddef.h>
#include <vista.h>

int plug_use(const char *path);

/* Maps, watched for stores, commits once on this thread, unmaps. */
int plug_use(const char *path)
{
    vista_segment *segment = vista_map(path, 1 << 20, VISTA_CREATE | VISTA_AUTO_RANGE, NULL);
    vista_segment *other;
    long *root, *plain;
    vista_tx *tx;
    char name[4096];
    size_t at = 0;

    for (; path[at] != '\0' && at < sizeof name - 2; at++)
        name[at] = path[at];
    name[at] = '2';
    name[at + 1] = '\0';
    other = vista_map(name, 1 << 20, VISTA_CREATE, NULL);
    root = segment != NULL ? vista_root(segment, sizeof *root) : NULL;
    plain = other != NULL ? vista_root(other, sizeof *plain) : NULL;
    if (root == NULL || plain == NULL)
        return -1;
    tx = vista_begin_transaction(segment, 0);
    if (tx == NULL)
        return -1;
    ++*root;
    if (vista_end_transaction(tx, 0) != 0)
        return -1;
    tx = vista_begin_transaction(other, 0); /* this thread's cache has it */
    if (tx == NULL || vista_set_range(tx, plain, sizeof *plain) != 0)
        return -1;
    ++*plain;
    if (vista_end_transaction(tx, 0) != 0)
        return -1;
    return vista_unmap(segment) | vista_unmap(other);
}
