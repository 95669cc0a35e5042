/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The stored tables: made, sealed, and checked.
 */
#ifndef VI_GRAMS_TABLES_H
#define VI_GRAMS_TABLES_H

#include <stdbool.h>

#include "grams/transport.h"

/* Bytes of a table for so many peers, and of a row with so many slots. */
size_t vi_table_size(uint32_t peers);
size_t vi_row_size(uint32_t slots);

/* Sets the checksum of a table's head, a row's, or an agreement, which is one of its fields. */
void vi_table_seal(void *data, size_t length, uint32_t *crc);
/* Of a slot and its message. */
void vi_slot_seal(struct vi_gram_slot *slot);

/* Where a slot's message is. */
static inline const unsigned char *vi_slot_body(const struct vi_gram_slot *slot)
{
    return slot->body != NULL ? slot->body : slot->inlined;
}

/* Is there the magic number of a table? */
bool vi_table_is_one(const void *block, size_t size);

/* Follows every pointer and judges every number: EBADMSG, ENOTSUP. */
int vi_table_check(vista_segment *segment, const struct vi_gram_table *table);

/* Are its numbers and its sites' in order, in a block or message of so many bytes? */
bool vi_agreement_is_sound(const struct vi_agreement *of, size_t size);

/* VI_ROW_BROKEN, for a reason, or VI_ROW_LEAVING; or another address, not NULL. */
int vi_row_change(vista_tx *tx, struct vi_gram_row *row, unsigned state, uint32_t reason,
                  const struct vi_address *to);

/* All sessions that are not yet broken are. */
int vi_table_break(vista_tx *tx, const struct vi_gram_table *table, uint32_t reason);

/* Frees a row, whose entry is declared, and all its messages. */
int vi_row_remove(vista_tx *tx, struct vi_gram_table *table, uint32_t index);

/* Why a session is broken, in words. */
const char *vi_broken_reason(uint32_t reason);

#endif
