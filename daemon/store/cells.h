#pragma once
/*
 * The rows on one page of a database file (leaf or interior, of a table or of an
 * index), with what of them lies on overflow pages. The bytes are not trusted:
 * whatever they are, reading stays within the page and ends. Any thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/span.h"
#include "daemon/store/pages.h"

#define ROW_COLUMNS_MAX 32

/* Of a b-tree's pages: the first byte. */
enum page_type { PAGE_INDEX = 2, PAGE_TABLE = 5, PAGE_INDEX_LEAF = 10, PAGE_TABLE_LEAF = 13 };

enum column_type { COLUMN_NULL, COLUMN_INT, COLUMN_TEXT, COLUMN_OTHER };

struct column {
	enum column_type type;
	int64_t value;
	struct span text; /* also of what is neither integer nor text: its bytes */
};

struct row {
	int64_t rowid; /* on a leaf of a table */
	unsigned n;
	struct column columns[ROW_COLUMNS_MAX];
	bool is_cut; /* the overflow pages end too early: the last columns are what was found */
	/* Its own length and those of its columns do not agree: it comes twice, first as long as
	 * its columns are, then as long as it says. */
	enum { ROW_AGREES, ROW_BY_COLUMNS, ROW_BY_LENGTH } length;
};

struct cells {
	const struct pages *pages; /* borrowed */
	uint32_t page;
	unsigned type;           /* enum page_type, or anything else: then there are no cells */
	unsigned n;              /* cells */
	bool is_again;           /* the last cell comes once more, as long as it says */
	unsigned next;           /* the cell that comes next */
	unsigned broken_n;       /* cells passed over, since there is no row in them */
	unsigned char *bytes;    /* of the page */
	unsigned char *overflow; /* a page of it */
	struct buf payload;      /* of the current row */
};

void cells_init(struct cells *c, const struct pages *pages);
void cells_fini(struct cells *c);
/** Goes to a page; false if the disk does not give all of it. */
bool cells_open(struct cells *c, uint32_t page);
/** Takes the page for one of this type, whatever its first byte says. */
void cells_force_type(struct cells *c, enum page_type type);
/** The next row, valid until the next call; false at the end. An interior page of a table has none.
 */
bool cells_next(struct cells *c, struct row *row);
/** The pages below an interior page: the i-th of n + 1; 0: there is none. */
uint32_t cells_child(const struct cells *c, unsigned i);
