/*
 * Pages of changes: records and tombstones behind a position, merged by seq, and
 * earlier versions for who wants them. A page's end is the last seq that was
 * scanned in all of them, not the last that matched. Tombstones up to `base` are
 * skipped: whoever began at 0 never saw what they tell of. With earlier versions
 * they are not, since it may have seen those. Reader thread.
 */

#include <stdlib.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/xalloc.h"
#include "daemon/store/read_priv.h"

#define LOOK_ROWS 64 /* between looks at the clock */

/** One of the tables, at its next row. */
struct source {
	sqlite3_stmt *st;
	int64_t seq; /* of the row; INT64_MAX: no more */
};

struct scan {
	struct read *read;
	struct job *job;
	struct source records;
	struct source tombstones;
	struct source versions;
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

/** What is told of a record. One that is not what the condition asks for may have been: it leaves.
 * Whoever began at 0 was not told of it before the base. */
static enum err
tell_record(struct scan *s, const struct record *r)
{
	const struct pattern *pattern = s->job->read.pattern;

	if (!is_wanted(s, r->category, r->id))
		return OK;
	if (pattern == NULL || pattern_accepts(pattern, r->data))
		return take(s, change_new_put(r));
	return r->seq > s->base ? take(s, change_new_leave(r->category, r->id, r->seq)) : OK;
}

static enum err
look_at_record(struct scan *s)
{
	struct record r = read_record(s->records.st);
	enum err e = tell_record(s, &r);

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
	if ((s->end > s->base || s->job->read.history) && is_wanted(s, category, id))
		e = take(s, change_new_delete(category, id, sqlite3_column_int64(st, 3), s->end,
				    sqlite3_column_int64(st, 4)));
	return e == OK ? advance(s, &s->tombstones) : e;
}

static enum err
look_at_version(struct scan *s)
{
	struct record r = read_record(s->versions.st);
	bool is_deletion = sqlite3_column_type(s->versions.st, 4) == SQLITE_NULL;
	enum err e = OK;

	s->end = r.seq;
	if (is_wanted(s, r.category, r.id))
		e = take(s, is_deletion ? change_new_delete(
						  r.category, r.id, r.rev, r.seq, r.updated_at)
					: change_new_put(&r));
	return e == OK ? advance(s, &s->versions) : e;
}

static bool
page_is_full(const struct scan *s)
{
	return s->found >= s->job->read.limit || s->nbytes >= PAGE_BYTES ||
	       s->scanned >= PAGE_ROWS ||
	       (s->scanned > 0 && s->scanned % LOOK_ROWS == 0 &&
		       clock_mono_us() - s->start_us > PAGE_CHANGES_US);
}

static bool
is_at_head(const struct scan *s)
{
	return s->records.seq == INT64_MAX && s->tombstones.seq == INT64_MAX &&
	       s->versions.seq == INT64_MAX;
}

static enum err
merge(struct scan *s)
{
	enum err e = OK;

	while (e == OK && !page_is_full(s) && !is_at_head(s)) {
		s->scanned++;
		if (s->versions.seq < s->records.seq && s->versions.seq < s->tombstones.seq)
			e = look_at_version(s);
		else if (s->records.seq < s->tombstones.seq)
			e = look_at_record(s);
		else
			e = look_at_tombstone(s);
	}
	return e;
}

/** Fails if deletions behind what was reached are not known any more. */
static enum err
check_known(int64_t unknown_to, int64_t reached, struct error *error)
{
	if (unknown_to <= reached)
		return OK;
	error_set(error, ERR_RESYNC_REQUIRED,
		"deletions up to seq %lld are forgotten, the position is %lld: start at 0",
		(long long)unknown_to, (long long)reached);
	error->seq = unknown_to;
	return ERR_RESYNC_REQUIRED;
}

/** Whoever was told an earlier version of a record has to hear that it was deleted. So none of the
 * deletions behind the position may have been forgotten since it began. */
static enum err
check_forgotten(struct read *r, struct job *j)
{
	int64_t forgotten_to, floor = j->read.floor;
	int rc;

	if (!j->read.history)
		return OK;
	forgotten_to = sql_int(r->st[RD_FORGOTTEN_TO], 0, &rc);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return read_error(r, &j->error, "reading changes");
	if (j->read.since == 0)
		floor = forgotten_to;
	j->page.floor = floor;
	return check_known(forgotten_to, j->read.since > floor ? j->read.since : floor, &j->error);
}

static enum err
scan_page(struct scan *s)
{
	const struct read_params *p = &s->job->read;
	int64_t tombstones_since = p->since > s->base || p->history ? p->since : s->base;
	enum err e = open_source(s, &s->records, RD_OLDEST, RD_OLDEST_IN, p->since);

	if (e == OK)
		e = open_source(s, &s->tombstones, RD_BURIED, RD_BURIED_IN, tombstones_since);
	if (e == OK && p->history)
		e = open_source(s, &s->versions, RD_KEPT, RD_KEPT_IN, p->since);
	if (e == OK)
		e = merge(s);
	if (s->versions.st != NULL)
		sqlite3_reset(s->versions.st);
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
		.versions = {.seq = INT64_MAX},
		.end = j->read.since,
		.start_us = clock_mono_us(),
		.out = json_out_start(&j->reply),
	};
	bool at_head;
	enum err e;

	/* A poller that begins at 0 has no base yet, whatever it says; the hub noted one. */
	if (j->read.since == 0 && (s.base == 0 || j->kind == JOB_CHANGES))
		s.base = r->seq;
	e = check_known(r->pruned_to, j->read.since > s.base ? j->read.since : s.base, &j->error);
	if (e == OK)
		e = check_forgotten(r, j);
	if (e != OK)
		return e;
	if (j->kind == JOB_CHANGES) {
		json_begin_object(&s.out, NULL);
		json_begin_array(&s.out, "items");
	}
	e = scan_page(&s);
	if (e != OK)
		return e;
	at_head = is_at_head(&s);
	if (at_head && r->seq > s.end)
		s.end = r->seq;
	if (j->kind == JOB_CHANGES)
		finish_reply(&s, at_head);
	j->page.end = s.end;
	j->page.at_head = at_head;
	j->page.seq = r->seq;
	return OK;
}
