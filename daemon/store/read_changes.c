/*
 * Pages of changes: records and tombstones behind a position, merged by seq. A
 * page's end is the last seq that was scanned in both, not the last that
 * matched. Tombstones up to `base` are skipped: whoever began at 0 never saw
 * what they tell of. Reader thread.
 */

#include <stdlib.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/xalloc.h"
#include "daemon/store/read_priv.h"

#define LOOK_ROWS 64 /* between looks at the clock */

/** One of the two tables, at its next row. */
struct source {
	sqlite3_stmt *st;
	int64_t seq; /* of the row; INT64_MAX: no more */
};

struct scan {
	struct read *read;
	struct job *job;
	struct source records;
	struct source tombstones;
	int64_t base;
	int64_t end;
	int64_t start_us;
	unsigned scanned;
	size_t found;
	size_t nbytes;
	size_t cap;
	struct json_out out; /* for a poller */
};

static enum err
advance(struct scan *s, struct source *from)
{
	int rc = sqlite3_step(from->st);

	from->seq = rc == SQLITE_ROW ? sqlite3_column_int64(from->st, 0) : INT64_MAX;
	return rc == SQLITE_ROW || rc == SQLITE_DONE
		       ? OK
		       : read_error(s->read, &s->job->error, "reading changes");
}

static enum err
open_source(struct scan *s, struct source *from, enum read_statement all,
	enum read_statement in_category, int64_t since)
{
	const struct pattern *pattern = s->job->read.pattern;
	struct span category;

	if (pattern != NULL && pattern_is_one_category(pattern, &category)) {
		from->st = s->read->st[in_category];
		sql_bind_span(from->st, 2, category);
	} else {
		from->st = s->read->st[all];
	}
	sqlite3_bind_int64(from->st, 1, since);
	return advance(s, from);
}

static void
add_to_page(struct scan *s, struct change *c)
{
	struct page *page = &s->job->page;

	if (page->n == s->cap) {
		s->cap = s->cap > 0 ? 2 * s->cap : 64;
		page->changes = xrealloc(page->changes, s->cap, sizeof(struct change *));
	}
	page->changes[page->n++] = c;
	s->nbytes += c->body->n;
}

/** {"seq":N,"op":...}: the body of a change ends its message, "}}" and a line feed. */
static void
add_to_reply(struct scan *s, const struct change *c)
{
	struct buf *reply = &s->job->reply;

	if (s->found > 0)
		buf_add_char(reply, ',');
	buf_addf(reply, "{\"seq\":%lld,", (long long)c->seq);
	buf_add(reply, c->body->bytes, c->body->n - 2);
	s->nbytes = reply->n;
}

static enum err
take(struct scan *s, struct change *c)
{
	if (c == NULL)
		return error_set(&s->job->error, ERR_UNAVAILABLE, "out of memory");
	if (s->job->kind == JOB_REPLAY) {
		add_to_page(s, c);
	} else {
		add_to_reply(s, c);
		change_unref(c);
	}
	s->found++;
	return OK;
}

static bool
is_wanted(const struct scan *s, struct span category, struct span id)
{
	const struct pattern *pattern = s->job->read.pattern;

	return pattern == NULL || pattern_matches(pattern, category, id);
}

static enum err
look_at_record(struct scan *s)
{
	struct record r = read_record(s->records.st);
	enum err e = is_wanted(s, r.category, r.id) ? take(s, change_new_put(&r)) : OK;

	s->end = r.seq;
	return e == OK ? advance(s, &s->records) : e;
}

static enum err
look_at_tombstone(struct scan *s)
{
	sqlite3_stmt *st = s->tombstones.st;
	struct span category = sql_span(st, 1), id = sql_span(st, 2);
	enum err e = OK;

	s->end = s->tombstones.seq;
	if (s->end > s->base && is_wanted(s, category, id))
		e = take(s, change_new_delete(category, id, sqlite3_column_int64(st, 3), s->end,
				    sqlite3_column_int64(st, 4)));
	return e == OK ? advance(s, &s->tombstones) : e;
}

static bool
page_is_full(const struct scan *s)
{
	return s->found >= s->job->read.limit || s->nbytes >= PAGE_BYTES ||
	       s->scanned >= PAGE_ROWS ||
	       (s->scanned > 0 && s->scanned % LOOK_ROWS == 0 &&
		       clock_mono_us() - s->start_us > PAGE_CHANGES_US);
}

static enum err
merge(struct scan *s)
{
	enum err e = OK;

	while (e == OK && !page_is_full(s)) {
		if (s->records.seq == INT64_MAX && s->tombstones.seq == INT64_MAX)
			break;
		s->scanned++;
		e = s->records.seq < s->tombstones.seq ? look_at_record(s) : look_at_tombstone(s);
	}
	return e;
}

static enum err
check_pruned(const struct read *r, int64_t since, int64_t base, struct error *error)
{
	int64_t reached = since > base ? since : base;

	if (r->pruned_to <= reached)
		return OK;
	error_set(error, ERR_RESYNC_REQUIRED,
		"deletions up to seq %lld are forgotten, the position is %lld: start at 0",
		(long long)r->pruned_to, (long long)reached);
	error->seq = r->pruned_to;
	return ERR_RESYNC_REQUIRED;
}

static enum err
scan_page(struct scan *s)
{
	const struct read_params *p = &s->job->read;
	int64_t tombstones_since = p->since > s->base ? p->since : s->base;
	enum err e = open_source(s, &s->records, RD_OLDEST, RD_OLDEST_IN, p->since);

	if (e == OK)
		e = open_source(s, &s->tombstones, RD_BURIED, RD_BURIED_IN, tombstones_since);
	if (e == OK)
		e = merge(s);
	if (s->records.st != NULL)
		sqlite3_reset(s->records.st);
	if (s->tombstones.st != NULL)
		sqlite3_reset(s->tombstones.st);
	return e;
}

static void
finish_reply(struct scan *s, bool at_head)
{
	json_end_array(&s->out);
	json_put_int(&s->out, "seq", s->end);
	if (s->base > 0 && !at_head)
		json_put_int(&s->out, "base", s->base);
	json_put_bool(&s->out, "more", !at_head);
	json_put_str(&s->out, "epoch", s->read->epoch);
	json_end_object(&s->out);
}

enum err
read_changes(struct read *r, struct job *j)
{
	struct scan s = {
		.read = r,
		.job = j,
		.base = j->read.base,
		.end = j->read.since,
		.start_us = clock_mono_us(),
		.out = json_out_start(&j->reply),
	};
	bool at_head;
	enum err e;

	/* A poller that begins at 0 has no base yet, whatever it says; the hub noted one. */
	if (j->read.since == 0 && (s.base == 0 || j->kind == JOB_CHANGES))
		s.base = r->seq;
	e = check_pruned(r, j->read.since, s.base, &j->error);
	if (e != OK)
		return e;
	if (j->kind == JOB_CHANGES) {
		json_begin_object(&s.out, NULL);
		json_begin_array(&s.out, "items");
	}
	e = scan_page(&s);
	if (e != OK)
		return e;
	at_head = s.records.seq == INT64_MAX && s.tombstones.seq == INT64_MAX;
	if (at_head && r->seq > s.end)
		s.end = r->seq;
	if (j->kind == JOB_CHANGES)
		finish_reply(&s, at_head);
	j->page.end = s.end;
	j->page.at_head = at_head;
	return OK;
}
