/*
 * A TOML document: key/value pairs, headers, arrays and inline tables, and who
 * may add to which table. A table is defined once: by a header, by dotted keys
 * within one section, or in one piece as a value; only tables that were merely
 * named on the way to others can be defined later. Pure; any thread.
 */

#include "common/toml.h"

#include "common/toml_priv.h"
#include "common/utf8.h"

#define TEXT_MAX      ((size_t)64 << 20)
#define KEY_SHOWN_MAX 64 /* bytes of a key in an error */

static bool read_value(struct toml_reader *r, struct toml_branch *b);

static bool
fault_at_key(struct toml_reader *r, const struct toml_key *key, const char *what)
{
	struct span shown = key->raw;

	if (shown.n > KEY_SHOWN_MAX)
		shown.n = utf8_cut(shown.p, KEY_SHOWN_MAX);
	return toml_fault(r, key->place.p, "%.*s %s", SPAN_FMT(shown), what);
}

/** A new table in a table; NULL and a fault if it would be too deep. */
static struct toml_branch *
add_table(struct toml_reader *r, struct toml_branch *parent, const struct toml_key *key,
	enum toml_origin origin)
{
	struct toml_branch *b = toml_tree_add(r, parent, key);

	if (b == NULL)
		return NULL;
	b->node.type = TOML_TABLE;
	b->origin = origin;
	b->section = r->section;
	return b;
}

/** The table that a dotted key goes through. */
static struct toml_branch *
enter_by_dots(struct toml_reader *r, struct toml_branch *table, const struct toml_key *key)
{
	struct toml_branch *b = toml_tree_find(r, table, key->text);

	if (b == NULL)
		return add_table(r, table, key, TOML_BY_DOTS);
	if (b->node.type != TOML_TABLE) {
		fault_at_key(r, key, "is not a table");
		return NULL;
	}
	if (b->origin == TOML_BY_PATH) {
		b->origin = TOML_BY_DOTS;
		b->section = r->section;
	}
	if (b->origin != TOML_BY_DOTS || b->section != r->section) {
		fault_at_key(r, key, "is a table that was defined elsewhere");
		return NULL;
	}
	return b;
}

/** The table that a header goes through; of an array of tables, the last. */
static struct toml_branch *
enter_by_path(struct toml_reader *r, struct toml_branch *table, const struct toml_key *key)
{
	struct toml_branch *b = toml_tree_find(r, table, key->text);

	if (b == NULL)
		return add_table(r, table, key, TOML_BY_PATH);
	if (b->node.type != TOML_TABLE && b->node.type != TOML_ARRAY) {
		fault_at_key(r, key, "is not a table");
		return NULL;
	}
	if (b->origin == TOML_BY_VALUE) {
		fault_at_key(r, key, "was written in one piece and cannot be extended");
		return NULL;
	}
	return b->node.type == TOML_ARRAY ? b->last : b;
}

/** [key] */
static struct toml_branch *
open_table(struct toml_reader *r, struct toml_branch *parent, const struct toml_key *key)
{
	struct toml_branch *b = toml_tree_find(r, parent, key->text);

	if (b == NULL)
		return add_table(r, parent, key, TOML_BY_HEADER);
	if (b->node.type != TOML_TABLE || b->origin != TOML_BY_PATH) {
		fault_at_key(r, key, "is defined twice");
		return NULL;
	}
	b->origin = TOML_BY_HEADER;
	b->node.line = key->place.line;
	b->node.column = key->place.column;
	return b;
}

/** [[key]] */
static struct toml_branch *
open_item(struct toml_reader *r, struct toml_branch *parent, const struct toml_key *key)
{
	struct toml_branch *b = toml_tree_find(r, parent, key->text);
	struct toml_key no_key = {.place = key->place};

	if (b == NULL) {
		b = toml_tree_add(r, parent, key);
		if (b == NULL)
			return NULL;
		b->node.type = TOML_ARRAY;
		b->origin = TOML_BY_HEADER;
	} else if (b->node.type != TOML_ARRAY || b->origin != TOML_BY_HEADER) {
		fault_at_key(r, key, "is defined already, and not by [[ ]]");
		return NULL;
	}
	return add_table(r, b, &no_key, TOML_BY_HEADER);
}

typedef struct toml_branch *enter_fn(
	struct toml_reader *r, struct toml_branch *table, const struct toml_key *key);

/** A key of one or more parts: enters the table of each but the last, which is left in *key. */
static struct toml_branch *
read_path(struct toml_reader *r, struct toml_branch *table, enter_fn *enter, struct toml_key *key)
{
	while (toml_scan_key(r, key)) {
		if (!toml_scan_is_at(r, '.'))
			return table;
		r->p++;
		toml_scan_blank(r);
		table = enter(r, table, key);
		if (table == NULL)
			return NULL;
	}
	return NULL;
}

static bool
read_header(struct toml_reader *r)
{
	const char *open = r->p;
	bool is_item = r->end - open >= 2 && open[1] == '[';
	struct toml_branch *table;
	struct toml_key key;

	r->p += is_item ? 2 : 1;
	toml_scan_blank(r);
	r->section = ++r->sections_n;
	table = read_path(r, toml_tree_root(r->doc), enter_by_path, &key);
	if (table == NULL)
		return false;
	if (!toml_scan_is_at(r, ']') || (is_item && (r->end - r->p < 2 || r->p[1] != ']')))
		return toml_fault(r, r->p, is_item ? "expected ]]" : "expected ]");
	r->p += is_item ? 2 : 1;
	r->table = is_item ? open_item(r, table, &key) : open_table(r, table, &key);
	return r->table != NULL;
}

static bool
read_pair(struct toml_reader *r, struct toml_branch *table)
{
	struct toml_branch *b;
	struct toml_key key;

	table = read_path(r, table, enter_by_dots, &key);
	if (table == NULL)
		return false;
	if (!toml_scan_is_at(r, '='))
		return toml_fault(r, r->p, "expected = after the key");
	r->p++;
	if (toml_tree_find(r, table, key.text) != NULL)
		return fault_at_key(r, &key, "is defined twice");
	b = toml_tree_add(r, table, &key);
	if (b == NULL)
		return false;
	toml_scan_blank(r);
	return read_value(r, b);
}

static bool
read_array(struct toml_reader *r, struct toml_branch *array)
{
	const char *open = r->p;

	array->node.type = TOML_ARRAY;
	do {
		struct toml_key no_key;
		struct toml_branch *item;

		r->p++; /* the bracket or a comma */
		if (!toml_scan_gap(r))
			return false;
		if (toml_scan_is_at(r, ']'))
			break;
		no_key = (struct toml_key){.place = toml_place_of(r, r->p)};
		item = toml_tree_add(r, array, &no_key);
		if (item == NULL || !read_value(r, item) || !toml_scan_gap(r))
			return false;
	} while (toml_scan_is_at(r, ','));
	if (r->p == r->end)
		return toml_fault(r, open, "the array is not closed");
	if (!toml_scan_is_at(r, ']'))
		return toml_fault(r, r->p, "expected a comma or ]");
	r->p++;
	return true;
}

static bool
read_inline_table(struct toml_reader *r, struct toml_branch *table)
{
	unsigned section = r->section;

	table->node.type = TOML_TABLE;
	r->section = ++r->sections_n;
	do {
		r->p++; /* the brace or a comma */
		toml_scan_blank(r);
		if (table->last == NULL && toml_scan_is_at(r, '}'))
			break;
		if (!read_pair(r, table))
			return false;
		toml_scan_blank(r);
	} while (toml_scan_is_at(r, ','));
	if (!toml_scan_is_at(r, '}'))
		return toml_fault(r, r->p, "expected a comma or } on the same line");
	r->p++;
	r->section = section;
	return true;
}

static bool
read_value(struct toml_reader *r, struct toml_branch *b)
{
	b->origin = TOML_BY_VALUE;
	switch (r->p < r->end ? *r->p : '\0') {
	case '"':
	case '\'':
		b->node.type = TOML_STRING;
		return toml_scan_string(r, &b->node.text);
	case '[':
		return read_array(r, b);
	case '{':
		return read_inline_table(r, b);
	default:
		return toml_value_read(r, &b->node);
	}
}

/** What a line holds before its end: a header, a pair, or nothing. */
static bool
read_expression(struct toml_reader *r)
{
	if (r->p == r->end || *r->p == '#' || *r->p == '\r' || *r->p == '\n')
		return true;
	return *r->p == '[' ? read_header(r) : read_pair(r, r->table);
}

static bool
read_document(struct toml_reader *r)
{
	while (r->p < r->end) {
		toml_scan_blank(r);
		if (!read_expression(r) || !toml_scan_line_end(r))
			return false;
	}
	return true;
}

/** The text as a whole: its size, a byte order mark in front, UTF-8. */
static bool
check_text(struct toml_reader *r)
{
	struct span text = {r->start, (size_t)(r->end - r->start)};

	if (text.n > TEXT_MAX)
		return toml_fault(r, r->start, "the text is longer than %zu bytes", TEXT_MAX);
	for (const char *p = r->start; p < r->end;) {
		size_t n = utf8_next(p, r->end);

		if (n == 0)
			return toml_fault(r, p, "invalid UTF-8");
		p += n;
	}
	if (span_has_prefix(text, SPAN("\xef\xbb\xbf")))
		r->p = r->start = r->start + 3;
	return true;
}

enum err
toml_parse(struct span text, const char *name, struct toml **out, struct error *error)
{
	const char *start = text.n > 0 ? text.p : "";
	struct toml_reader r = {
		.p = start,
		.start = start,
		.end = start + text.n,
		.name = name,
		.error = error,
		.doc = toml_tree_new(),
	};
	bool is_good;

	r.table = toml_tree_root(r.doc);
	buf_init(&r.scratch, text.n + 16); /* nothing decoded is longer; dates get an addition */
	is_good = check_text(&r) && read_document(&r);
	buf_fini(&r.scratch);
	toml_index_fini(&r.index);
	if (!is_good) {
		toml_free(r.doc);
		return ERR_CONFIG_ERROR;
	}
	*out = r.doc;
	return OK;
}
