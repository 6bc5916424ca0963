#pragma once
/*
 * What has changed in the store above a seq, records and deletions, a batch at a
 * time, as the index wants it: read in one short snapshot and kept. A read-only
 * connection of its own. Indexer thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "daemon/base/conf.h"
#include "daemon/search/kinds.h"

struct changed;
struct index_place;

/** A record, or a deletion. */
struct changed_row {
	int64_t seq;
	enum conf_search kind;
	bool is_deletion;
	uint32_t category_n;
	uint32_t id_n;
	uint32_t name_n;
	size_t text_n;
	size_t at; /* category, id, name, text: in the batch's memory */
};

enum err changed_open(
	const char *store_path, const struct conf *conf, struct changed **out, struct error *error);
void changed_close(struct changed *c);

/** Whether an index at this place can be gone on with: see indexcheck_fits(). */
enum err changed_knows(
	struct changed *c, const struct index_place *place, bool *knows, struct error *error);
/** The newest seq now; 0: it cannot be read. */
int64_t changed_peek_seq(struct changed *c);

/** Reads the next batch above `mark`, of categories that are searched. */
enum err changed_read(
	struct changed *c, int64_t mark, const struct kinds *kinds, struct error *error);
/** Where the store stood. */
int64_t changed_last_seq(const struct changed *c);
int64_t changed_pruned_to(const struct changed *c);
/** Everything up to here is in the batch. */
int64_t changed_end(const struct changed *c);

size_t changed_count(const struct changed *c);
/** Rows by seq, records first, then deletions; NULL at the end. */
const struct changed_row *changed_row(const struct changed *c, size_t i);
struct span changed_category(const struct changed *c, const struct changed_row *row);
struct span changed_id(const struct changed *c, const struct changed_row *row);
struct span changed_name(const struct changed *c, const struct changed_row *row);
struct span changed_text(const struct changed *c, const struct changed_row *row);
