#pragma once
/*
 * CSV (RFC 4180), and the same with another separator: where a row ends, and
 * its fields as spans into it. A field begins with a quote or holds none that
 * means anything; inside quotes a quote is written twice. Rows end with a line
 * feed, with a carriage return before it or without. Pure; any thread.
 */

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/span.h"

/** Where in a row the bytes seen so far end. */
enum csv_state {
	CSV_FIELD, /* at the beginning of a field; of a row too */
	CSV_PLAIN,
	CSV_QUOTED,
	CSV_QUOTE, /* behind a quote inside quotes: the first of two, or the closing one */
};

/** Goes on through the n bytes at p: how many of them belong to the row, the line feed at its end
 * included, and *state is ready for the next row; or 0 when the row has not ended yet. */
size_t csv_row_end(enum csv_state *state, char separator, const char *p, size_t n);

struct csv_field {
	struct span text; /* without the quotes around it, quotes inside still doubled */
	bool is_quoted;
};

/** A walk over the fields of a row, which is without the end of its line. */
struct csv_walk {
	const char *p; /* NULL: no field is left */
	const char *end;
	char separator;
	const char *fault; /* why the last csv_next() ended the walk; NULL: the row has ended */
};

struct csv_walk csv_walk_start(struct span row, char separator);
/** The next field; false at the end or at a fault. */
bool csv_next(struct csv_walk *w, struct csv_field *field);
/** Appends the text of a field, each doubled quote as one. */
void csv_add_text(struct buf *out, const struct csv_field *field);
/** Appends text as a field, in quotes where it must be. */
void csv_add_field(struct buf *out, struct span text, char separator);
