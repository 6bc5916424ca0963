/* Rows of CSV: see table.h. */

#include "ctl/table.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "ctl/answer.h"
#include "ctl/csv.h"

#define SEPARATOR   ','
#define ALL_COLUMNS "category,id,name,data,seq,rev,created_at,updated_at,expires_at"

static int
add_column(struct table *t, struct span name)
{
	static const char known[] = "," ALL_COLUMNS ",op,deleted_at,";
	struct error error = ERROR_NONE;
	struct table_column *c;
	char *listed;
	bool is_known;

	t->columns = xrealloc(t->columns, t->n + 1, sizeof(*t->columns));
	c = &t->columns[t->n++];
	*c = (struct table_column){.name = xstrndup(name.p, name.n)};
	if (c->name[0] == '/') {
		if (json_pointer_new(name, &c->pointer, &error) == OK)
			return 0;
		return ctl_usage("the column \"%s\": %s", c->name, error.text);
	}
	listed = xasprintf(",%s,", c->name);
	is_known = name.n > 0 && strstr(known, listed) != NULL;
	free(listed);
	if (is_known)
		return 0;
	return ctl_usage("there is no column \"%s\": it is one of " ALL_COLUMNS
			 ",op,deleted_at, or a pointer into the data such as /price",
		c->name);
}

int
table_init(struct table *t, const char *columns)
{
	const char *p = columns != NULL ? columns : ALL_COLUMNS;
	int status = 0;

	*t = (struct table){.columns = NULL};
	while (status == 0 && p != NULL) {
		const char *comma = strchr(p, ',');

		status = add_column(
			t, (struct span){p, comma != NULL ? (size_t)(comma - p) : strlen(p)});
		p = comma != NULL ? comma + 1 : NULL;
	}
	return status;
}

void
table_fini(struct table *t)
{
	for (size_t i = 0; i < t->n; i++) {
		free(t->columns[i].name);
		free(t->columns[i].pointer);
	}
	free(t->columns);
}

bool
table_has_op(const struct table *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->columns[i].name, "op") == 0)
			return true;
	return false;
}

static void
end_field(const struct table *t, size_t i, struct buf *out)
{
	if (i + 1 < t->n)
		buf_add_char(out, SEPARATOR);
	else
		buf_add_span(out, SPAN("\r\n"));
}

void
table_add_heading(const struct table *t, struct buf *out)
{
	for (size_t i = 0; i < t->n; i++) {
		csv_add_field(out, span_of(t->columns[i].name), SEPARATOR);
		end_field(t, i, out);
	}
}

/** A text as it is, anything else as JSON; what is not there, or null, is empty. */
static void
add_value(struct buf *out, struct json_value value)
{
	char *text;

	if (value.raw.n == 0 || value.type == JSON_NULL)
		return;
	if (value.type != JSON_STRING) {
		csv_add_field(out, value.raw, SEPARATOR);
		return;
	}
	text = xcalloc(1, value.raw.n + 1);
	json_string_text(value.raw, text, value.raw.n + 1);
	csv_add_field(out, span_of(text), SEPARATOR);
	free(text);
}

void
table_add_row(const struct table *t, struct json_value record, struct buf *out)
{
	struct json_value data = answer_member(record, "data");

	for (size_t i = 0; i < t->n; i++) {
		const struct table_column *c = &t->columns[i];
		struct json_value value = {.raw.n = 0};

		if (c->pointer == NULL)
			value = answer_member(record, c->name);
		else if (data.raw.n > 0 && !json_pointer_find(c->pointer, data, &value))
			value.raw.n = 0;
		add_value(out, value);
		end_field(t, i, out);
	}
}
