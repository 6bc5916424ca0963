/*
 * Listings: an order, filters, and a page bounded by limit, bytes and time. The
 * cursor names the place to go on: "n:SEQ" (newest first), "o:SEQ" (oldest
 * first), "i:CATEGORY:ID" (by id). One category is read by its index; any other
 * pattern scans the table from the cursor. Reader thread.
 */

#include <stdlib.h>
#include <strings.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/xalloc.h"
#include "daemon/store/read_priv.h"

static const char order_letters[] = {
	[ORDER_NEWEST] = 'n',
	[ORDER_OLDEST] = 'o',
	[ORDER_ID] = 'i',
};

struct listing {
	struct read *read;
	const struct read_params *params;
	sqlite3_stmt *st;
	char *like; /* owned, terminated; NULL: no LIKE */
	unsigned to_skip;
	unsigned found;
	unsigned scanned;
	int64_t start_us;
	struct record last; /* its place is where the next page begins: seq, category, id */
	struct buf last_text;
	struct json_out out;
	struct buf *reply;
};

static enum err
bad_cursor(struct error *error)
{
	return error_set(
		error, ERR_INVALID_ARGUMENT, "cursor: not one that a listing in this order gave");
}

/** Picks the statement and binds where it starts. */
static enum err
start_by_seq(
	struct listing *l, const struct span *category, struct span cursor, struct error *error)
{
	bool is_newest = l->params->order == ORDER_NEWEST;
	int64_t from = is_newest ? INT64_MAX : 0;
	enum read_statement which = is_newest ? RD_NEWEST : RD_OLDEST;

	if (cursor.n > 0 && !span_number(cursor, &from))
		return bad_cursor(error);
	if (category != NULL)
		which = is_newest ? RD_NEWEST_IN : RD_OLDEST_IN;
	l->st = l->read->st[which];
	sqlite3_bind_int64(l->st, 1, from);
	if (category != NULL)
		sql_bind_span(l->st, 2, *category);
	return OK;
}

static enum err
start_by_id(struct listing *l, const struct span *category, struct span cursor, struct error *error)
{
	struct span from_category = {"", 0}, from_id = {"", 0};

	if (cursor.n > 0) {
		const char *colon = memchr(cursor.p, ':', cursor.n);

		if (colon == NULL)
			return bad_cursor(error);
		from_category = (struct span){cursor.p, (size_t)(colon - cursor.p)};
		from_id = (struct span){colon + 1, cursor.n - from_category.n - 1};
	}
	l->st = l->read->st[category != NULL ? RD_BY_ID_IN : RD_BY_ID];
	sql_bind_span(l->st, 1, category != NULL ? *category : from_category);
	sql_bind_span(l->st, 2, from_id);
	return OK;
}

static enum err
start(struct listing *l, struct error *error)
{
	const struct read_params *p = l->params;
	struct span cursor = p->cursor, name, *category = NULL;

	if (p->pattern != NULL && pattern_is_one_category(p->pattern, &name))
		category = &name;
	if (cursor.n > 0) {
		if (cursor.n < 3 || cursor.p[0] != order_letters[p->order] || cursor.p[1] != ':')
			return bad_cursor(error);
		cursor = (struct span){cursor.p + 2, cursor.n - 2};
	}
	return p->order == ORDER_ID ? start_by_id(l, category, cursor, error)
				    : start_by_seq(l, category, cursor, error);
}

/** True if `part` is in `text`, letter case of ASCII ignored (as LIKE does). */
static bool
contains(struct span text, struct span part)
{
	for (size_t i = 0; i + part.n <= text.n; i++)
		if (strncasecmp(text.p + i, part.p, part.n) == 0)
			return true;
	return false;
}

static bool
name_matches(const struct listing *l, struct span name)
{
	switch (l->params->name_match) {
	case NAME_ANY:
		return true;
	case NAME_SUBSTRING:
		return contains(name, l->params->name);
	case NAME_LIKE:
		return sqlite3_strlike(l->like, name.p, '\\') == 0;
	}
	return false;
}

static bool
row_matches(const struct listing *l, const struct record *r)
{
	const struct read_params *p = l->params;

	return r->updated_at > p->updated_after && r->updated_at < p->updated_before &&
	       (p->pattern == NULL || pattern_matches(p->pattern, r->category, r->id)) &&
	       name_matches(l, r->name) &&
	       (p->pattern == NULL || pattern_accepts(p->pattern, r->data));
}

static bool
has_condition(const struct listing *l)
{
	return l->params->pattern != NULL && l->params->pattern->where != NULL;
}

/** A condition may find little in much: then the page ends with what there is, be it nothing. */
static bool
is_tired(const struct listing *l)
{
	return has_condition(l) && l->to_skip == 0 && l->scanned > 0 &&
	       (l->scanned >= PAGE_LIST_ROWS || clock_mono_us() - l->start_us > PAGE_LIST_US);
}

static bool
page_is_full(const struct listing *l)
{
	return l->found > 0 && (l->found >= l->params->limit || l->reply->n >= PAGE_BYTES ||
				       clock_mono_us() - l->start_us > PAGE_LIST_US);
}

/** The cursor behind this record. */
static void
put_cursor(struct listing *l, const struct record *r)
{
	struct buf text;

	buf_init(&text, 2048);
	buf_addf(&text, "%c:", order_letters[l->params->order]);
	if (l->params->order == ORDER_ID) {
		buf_add_span(&text, r->category);
		buf_add_char(&text, ':');
		buf_add_span(&text, r->id);
	} else {
		buf_add_int(&text, r->seq);
	}
	json_put_string(&l->out, "cursor", buf_span(&text));
	buf_fini(&text);
}

static void
add_item(struct listing *l, const struct record *r)
{
	if (l->found++ > 0)
		buf_add_char(l->reply, ',');
	record_add_json(l->reply, r);
}

/** The next page begins behind this record. */
static void
note_place(struct listing *l, const struct record *r)
{
	buf_reset(&l->last_text);
	buf_add_span(&l->last_text, r->category);
	buf_add_span(&l->last_text, r->id);
	l->last = (struct record){
		.seq = r->seq,
		.category = {l->last_text.p,                 r->category.n},
		.id = {l->last_text.p + r->category.n, r->id.n      }
        };
}

/** Takes the record, or passes over it; false when it no longer fits: the next page looks at it
 * once more. */
static bool
look_at(struct listing *l, const struct record *r)
{
	bool is_match;

	if (is_tired(l))
		return false;
	l->scanned++;
	is_match = row_matches(l, r);
	if (is_match && l->to_skip == 0 && page_is_full(l))
		return false;
	if (is_match && l->to_skip == 0)
		add_item(l, r);
	else if (is_match)
		l->to_skip--;
	if (is_match || has_condition(l))
		note_place(l, r);
	return true;
}

/** Steps until the page is full or nothing is left. */
static enum err
fill(struct listing *l, struct error *error)
{
	struct record r;
	enum err e = OK;
	int rc;

	buf_init(&l->last_text, 2048);
	while ((rc = sqlite3_step(l->st)) == SQLITE_ROW) {
		r = read_record(l->st);
		if (!look_at(l, &r))
			break;
	}
	json_end_array(&l->out);
	if (rc == SQLITE_ROW)
		put_cursor(l, &l->last);
	else if (rc != SQLITE_DONE)
		e = read_error(l->read, error, "listing");
	buf_fini(&l->last_text);
	return e;
}

enum err
read_list(struct read *r, struct job *j)
{
	struct listing l = {
		.read = r,
		.params = &j->read,
		.to_skip = j->read.offset,
		.start_us = clock_mono_us(),
		.out = json_out_start(&j->reply),
		.reply = &j->reply,
	};
	enum err e = start(&l, &j->error);

	if (e != OK)
		return e;
	if (j->read.name_match == NAME_LIKE)
		l.like = xstrndup(j->read.name.p, j->read.name.n);
	json_begin_object(&l.out, NULL);
	json_begin_array(&l.out, "items");
	e = fill(&l, &j->error);
	sqlite3_reset(l.st);
	free(l.like);
	json_put_str(&l.out, "epoch", r->epoch);
	json_put_int(&l.out, "seq", r->seq);
	json_end_object(&l.out);
	return e;
}
