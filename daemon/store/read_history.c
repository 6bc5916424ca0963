/*
 * Versions of one record: what there is now (a record or a tombstone) and those
 * that were kept, the newest first. The cursor of a listing is the number of the
 * last kept version that it showed, so that versions which come or go meanwhile
 * do not disturb it. Reader thread.
 */

#include <inttypes.h>
#include <stdio.h>

#include "common/json.h"
#include "common/time.h"
#include "daemon/store/read_priv.h"

/** A version, as it is read; its texts are borrowed until the next step. */
struct version {
	struct record record;
	bool is_deletion;
	int64_t n;        /* INT64_MAX: it is the newest */
	int64_t ended_at; /* INT64_MAX: nothing came after it */
	int64_t ended_seq;
};

/** A walk from the newest version to the oldest. */
struct versions {
	struct read *read;
	const struct read_params *params;
	sqlite3_stmt *st; /* that gives them now */
	bool is_at_newest;
};

static void
start(struct versions *v, enum read_statement which)
{
	if (v->st != NULL)
		sqlite3_reset(v->st);
	v->st = v->read->st[which];
	sql_bind_span(v->st, 1, v->params->category);
	sql_bind_span(v->st, 2, v->params->id);
}

static void
take_row(struct versions *v, struct version *out)
{
	const struct read_params *p = v->params;

	*out = (struct version){
		.record = {.seq = sqlite3_column_int64(v->st, 0),
			   .category = p->category,
			   .id = p->id,
			   .name = sql_span(v->st, 1),
			   .data = sql_span(v->st, 2),
			   .rev = sqlite3_column_int64(v->st, 3),
			   .created_at = sqlite3_column_int64(v->st, 4),
			   .updated_at = sqlite3_column_int64(v->st, 5),
			   .expires_at = sqlite3_column_int64(v->st, 6)},
		.is_deletion = sqlite3_column_type(v->st, 2) == SQLITE_NULL,
		.n = INT64_MAX,
		.ended_at = INT64_MAX,
		.ended_seq = INT64_MAX,
	};
	if (v->is_at_newest)
		return;
	out->n = sqlite3_column_int64(v->st, 7);
	if (sqlite3_column_type(v->st, 9) == SQLITE_NULL)
		return;
	out->ended_at = sqlite3_column_int64(v->st, 8);
	out->ended_seq = sqlite3_column_int64(v->st, 9);
}

/** The next older one: SQLITE_ROW, SQLITE_DONE or a failure. */
static int
next(struct versions *v, struct version *out)
{
	int rc = sqlite3_step(v->st);

	if (rc == SQLITE_DONE && v->is_at_newest) {
		start(v, RD_VERSIONS);
		sqlite3_bind_int64(v->st, 3, INT64_MAX);
		v->is_at_newest = false;
		rc = sqlite3_step(v->st);
	}
	if (rc == SQLITE_ROW)
		take_row(v, out);
	return rc;
}

static struct versions
versions_start(struct read *r, const struct read_params *p)
{
	struct versions v = {.read = r, .params = p, .is_at_newest = true};

	start(&v, RD_NEWEST_VERSION);
	return v;
}

/** True if this is where the search ends: the version that was asked for, or the one that was there
 * last before it. */
static bool
is_asked_for(const struct read_params *p, const struct version *v)
{
	switch (p->version) {
	case VERSION_REV:
		return !v->is_deletion && v->record.rev == p->number;
	case VERSION_SEQ:
		return v->record.seq <= p->number;
	case VERSION_TIME:
		return v->record.updated_at <= p->number;
	case VERSION_NEWEST:
		break;
	}
	return true;
}

/** True if it had not ended then: between two versions that are kept there may be others. */
static bool
was_in_force(const struct read_params *p, const struct version *v)
{
	if (p->version == VERSION_SEQ)
		return v->ended_seq > p->number;
	return p->version != VERSION_TIME || v->ended_at > p->number;
}

static enum err
none_is_kept(const struct read_params *p, struct error *error)
{
	char when[TIME_TEXT_SIZE + sizeof("seq ")];

	if (p->version == VERSION_TIME)
		time_format(p->number, when);
	else
		snprintf(when, sizeof(when), "%s %" PRId64,
			p->version == VERSION_REV ? "rev" : "seq", p->number);
	return error_set(error, ERR_NOT_FOUND,
		"of %.*s/%.*s no version of %s is kept: see record.history", SPAN_FMT(p->category),
		SPAN_FMT(p->id), when);
}

enum err
read_version(struct read *r, struct job *j)
{
	const struct read_params *p = &j->read;
	struct versions v = versions_start(r, p);
	struct version found;
	enum err e = OK;
	int rc;

	while ((rc = next(&v, &found)) == SQLITE_ROW && !is_asked_for(p, &found))
		continue;
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		e = read_error(r, &j->error, "reading versions");
	else if (rc == SQLITE_DONE || !was_in_force(p, &found))
		e = none_is_kept(p, &j->error);
	else if (found.is_deletion)
		e = error_set(&j->error, ERR_NOT_FOUND, "%.*s/%.*s was deleted then, by seq %lld",
			SPAN_FMT(p->category), SPAN_FMT(p->id), (long long)found.record.seq);
	else
		read_put_record(r, j, &found.record);
	sqlite3_reset(v.st);
	return e;
}

/** Where the page begins: *next is the first version of it, if rc says that there is one. */
static enum err
start_page(struct versions *v, struct version *first, int *rc, struct error *error)
{
	int64_t n;

	if (v->params->cursor.n == 0) {
		*rc = next(v, first);
		return OK;
	}
	if (!span_number(v->params->cursor, &n))
		return error_set(error, ERR_INVALID_ARGUMENT,
			"cursor: not one that a listing of versions gave");
	v->is_at_newest = false;
	start(v, RD_VERSIONS);
	sqlite3_bind_int64(v->st, 3, n);
	*rc = next(v, first);
	return OK;
}

/** Writes versions until the page is full. */
static enum err
fill(struct versions *v, struct job *j, struct json_out *o)
{
	struct version at = {.n = 0};
	unsigned found = 0;
	char cursor[24];
	int rc = SQLITE_DONE;
	enum err e = start_page(v, &at, &rc, &j->error);

	if (e != OK)
		return e;
	json_begin_object(o, NULL);
	json_begin_array(o, "items");
	while (rc == SQLITE_ROW && found < j->read.limit && j->reply.n < PAGE_BYTES) {
		if (found++ > 0)
			buf_add_char(&j->reply, ',');
		version_add_json(&j->reply, &at.record, at.is_deletion);
		rc = next(v, &at);
	}
	json_end_array(o);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return read_error(v->read, &j->error, "reading versions");
	if (found == 0 && j->read.cursor.n == 0)
		return error_set(&j->error, ERR_NOT_FOUND,
			"there is no record %.*s/%.*s, and no version of it is kept",
			SPAN_FMT(j->read.category), SPAN_FMT(j->read.id));
	if (rc == SQLITE_ROW) {
		/* The first that is not shown is a kept one: the newest came first. */
		snprintf(cursor, sizeof(cursor), "%lld", (long long)at.n + 1);
		json_put_str(o, "cursor", cursor);
	}
	return OK;
}

enum err
read_history(struct read *r, struct job *j)
{
	struct versions v = versions_start(r, &j->read);
	struct json_out o = json_out_start(&j->reply);
	enum err e = fill(&v, j, &o);

	sqlite3_reset(v.st);
	if (e == OK)
		read_put_snapshot(r, &o);
	return e;
}
