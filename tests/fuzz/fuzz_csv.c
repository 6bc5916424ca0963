/*
 * Fuzzes CSV: rows end at the same places whatever the pieces the text comes in,
 * fields lie within their row, every row either has a fault or is an object of
 * JSON, and fields that are written are read back as the same.
 */

#include <stdint.h>
#include <stdlib.h>

#include "common/json.h"
#include "common/xalloc.h"
#include "ctl/columns.h"
#include "ctl/csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** Writes the fields of a row again, reads that, and wants the same texts. */
static void
check_row(struct span row, char separator)
{
	struct csv_walk w = csv_walk_start(row, separator), again;
	struct csv_field field, same;
	struct buf out, text, text_again;
	size_t n = 0;

	buf_init(&out, 4 * row.n + 8);
	buf_init(&text, row.n + 1);
	buf_init(&text_again, row.n + 1);
	for (; csv_next(&w, &field); n++) {
		must(field.text.p >= row.p && field.text.p + field.text.n <= row.p + row.n);
		if (n > 0)
			buf_add_char(&out, separator);
		buf_reset(&text);
		csv_add_text(&text, &field);
		csv_add_field(&out, text.n > 0 ? buf_span(&text) : SPAN(""), separator);
	}
	must(!out.failed);
	w = csv_walk_start(row, separator);
	again = csv_walk_start(buf_span(&out), separator);
	for (; n > 0; n--) {
		must(csv_next(&w, &field) && csv_next(&again, &same));
		buf_reset(&text);
		buf_reset(&text_again);
		csv_add_text(&text, &field);
		csv_add_text(&text_again, &same);
		must(span_eq(buf_span(&text), buf_span(&text_again)));
	}
	buf_fini(&out);
	buf_fini(&text);
	buf_fini(&text_again);
}

static void
check_object(struct columns *c, struct span row)
{
	char why[COLUMNS_WHY_SIZE] = "";
	struct json_fault fault;
	struct json_value value;
	struct buf out;

	buf_init(&out, SIZE_MAX / 2);
	if (c->n == 0)
		must(columns_read(c, row, why) || why[0] != '\0');
	else if (columns_add_row(c, row, &out, why))
		must(json_check(buf_span(&out), 1, &value, &fault) == OK);
	else
		must(why[0] != '\0');
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + 1;
	enum csv_state state = CSV_FIELD, piece_state = CSV_FIELD;
	struct columns c;
	char separator;

	if (size < 2)
		return 0;
	separator = data[0] % 2 == 0 ? ',' : '\t';
	columns_init(&c, separator, data[0] % 4 < 2);
	size--;
	for (size_t at = 0, used, piece; at < size; at += used) {
		used = csv_row_end(&state, separator, text + at, size - at);
		for (piece = 0; at + piece < size; piece++)
			if (csv_row_end(&piece_state, separator, text + at + piece, 1) == 1)
				break;
		must(used > 0 ? used == piece + 1 : at + piece == size);
		must(used == 0 || (state == CSV_FIELD && piece_state == CSV_FIELD));
		used = used > 0 ? used : size - at;
		check_row((struct span){text + at, used}, separator);
		check_object(&c, (struct span){text + at, used - (text[at + used - 1] == '\n')});
	}
	columns_fini(&c);
	return 0;
}
