/* One search: see find.h. */

#include "daemon/search/find.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "daemon/search/indexfile.h"
#include "daemon/search/score.h"
#include "daemon/search/source.h"
#include "daemon/store/sql.h"

#define LOOKS_MAX       50000 /* entries looked at for one search */
#define LOOKS_PER_CLOCK 256
#define TAIL_RECORD_MAX                                                                            \
	2048 /* bytes of the tail for each record of max_lag, as they may be behind */
#define PROGRESS_OPS 2000

enum statement { ST_BEGIN, ST_END, ST_MARK, ST_COUNT };

static const char *const texts[ST_COUNT] = {
	[ST_BEGIN] = "BEGIN",
	[ST_END] = "COMMIT",
	[ST_MARK] = INDEX_MARK_SQL,
};

struct finder {
	struct search_shared *shared; /* borrowed */
	struct conf conf;             /* what sql_open() looks at: not for anything else */
	bool is_store_open;
	struct follow store;
	unsigned generation; /* of the index that is open, or that could not be opened */
	sqlite3 *index;      /* NULL: it is not open */
	bool is_failing;     /* it is to be opened again */
	sqlite3_stmt *st[ST_COUNT];
	struct index_statements *searches;
	struct kinds *kinds;
	int64_t mark;
	int64_t deadline_us;
};

/** A search while it runs. */
struct run {
	struct finder *finder;
	const struct read_params *params;
	struct found *found;
	struct score scores[INDEX_KINDS];
	struct source sources[2 * INDEX_KINDS];
	size_t sources_n;
	bool is_restricted;
	size_t looks;
	bool has_read; /* a record, which takes long, since the clock was looked at */
	size_t passed; /* matches that earlier pages have shown */
	int64_t upto;  /* the newest that is considered */
};

struct finder *
finder_new(struct search_shared *shared, const struct conf *conf)
{
	struct finder *f = xnew(struct finder);

	f->shared = shared;
	f->conf.store = conf->store;
	return f;
}

static void
close_index(struct finder *f)
{
	if (f->index == NULL)
		return;
	for (int i = 0; i < ST_COUNT; i++)
		sqlite3_finalize(f->st[i]);
	source_close_index(f->searches);
	sql_close(f->index);
	kinds_free(f->kinds);
	memset(f->st, 0, sizeof(f->st));
	f->searches = NULL;
	f->index = NULL;
	f->kinds = NULL;
}

void
finder_free(struct finder *f)
{
	if (f == NULL)
		return;
	close_index(f);
	if (f->is_store_open)
		follow_close(&f->store);
	free(f);
}

struct follow *
finder_store(struct finder *f)
{
	return &f->store;
}

static int
on_progress(void *arg)
{
	const struct finder *f = arg;

	return f->deadline_us != 0 && clock_mono_us() > f->deadline_us;
}

static enum err
damage_error(struct error *error)
{
	return error_set(error, ERR_UNAVAILABLE,
		"the search index is damaged and is made anew: try again later");
}

enum err
finder_note_damage(struct finder *f, struct error *error)
{
	f->shared->damaged = f->generation;
	return damage_error(error);
}

/** SQLite's error about the index, or TIMEOUT. After another than that it is opened again. */
static enum err
index_error(struct finder *f, struct error *error)
{
	int rc = sqlite3_errcode(f->index);

	if (rc == SQLITE_INTERRUPT)
		return error_set(error, ERR_TIMEOUT, "out of time");
	f->is_failing = true;
	if (indexfile_is_damage(rc))
		return finder_note_damage(f, error);
	return sql_error(f->index, error, "reading the search index");
}

static enum err
read_kinds(struct finder *f, struct error *error)
{
	sqlite3_stmt *st;
	enum err e = sql_prepare(f->index, INDEX_KINDS_SQL, &st, error);
	int rc;

	if (e != OK)
		return e;
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		f->kinds = kinds_new(sql_span(st, 0));
	else
		e = sql_error(f->index, error, "reading the search index");
	sqlite3_finalize(st);
	return e;
}

static enum err
open_index(struct finder *f, struct error *error)
{
	enum err e;

	f->generation = f->shared->generation;
	e = indexfile_open_reader(f->shared->index_path, &f->conf, &f->index, error);
	for (int i = 0; i < ST_COUNT && e == OK; i++)
		e = sql_prepare(f->index, texts[i], &f->st[i], error);
	if (e == OK)
		e = source_open_index(f->index, &f->searches, error);
	if (e == OK)
		e = read_kinds(f, error);
	if (e == OK && f->generation != f->shared->generation)
		e = ERR_UNAVAILABLE; /* what was opened may be of two files */
	if (e != OK) {
		close_index(f);
		if (e == ERR_DATABASE_ERROR) /* what is asked here depends on nobody */
			return finder_note_damage(f, error);
		return error_set(error, ERR_UNAVAILABLE,
			"the search index cannot be read now: try again later");
	}
	f->is_failing = false;
	sqlite3_progress_handler(f->index, PROGRESS_OPS, on_progress, f);
	return OK;
}

static enum err
open_files(struct finder *f, struct error *error)
{
	enum err e = OK;

	if (!f->is_store_open) {
		e = follow_open(&f->store, f->shared->store_path, &f->conf, error);
		f->is_store_open = e == OK;
		if (e != OK)
			follow_close(&f->store);
	}
	if (f->index != NULL && (f->is_failing || f->generation != f->shared->generation)) {
		close_index(f);
		follow_forget(&f->store);
	}
	if (e == OK && f->shared->damaged == f->shared->generation)
		return damage_error(error);
	return e == OK && f->index == NULL ? open_index(f, error) : e;
}

static enum err
begin_index(struct finder *f, struct error *error)
{
	int rc;

	sql_begin_work();
	if (sql_run(f->st[ST_BEGIN]) != SQLITE_DONE)
		return index_error(f, error);
	f->mark = sql_int(f->st[ST_MARK], 0, &rc);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? OK : index_error(f, error);
}

static enum err
catch_up(struct finder *f, struct error *error)
{
	uint64_t max_bytes = (uint64_t)f->shared->max_lag * TAIL_RECORD_MAX;
	enum err e;

	if (f->shared->state == SEARCH_BUILDING && f->store.seq - f->mark > 2 * f->shared->max_lag)
		return error_set(error, ERR_UNAVAILABLE,
			"the search index is being made, it is at seq %lld of %lld: try again later",
			(long long)f->mark, (long long)f->store.seq);
	e = follow_catch_up(&f->store, f->mark, f->kinds, max_bytes, error);
	f->shared->tail_records = follow_records(&f->store);
	f->shared->tail_bytes = follow_bytes(&f->store);
	return e;
}

enum err
finder_begin(struct finder *f, int64_t deadline_us, struct error *error)
{
	enum err e;

	f->deadline_us = f->store.deadline_us = 0;
	if (f->shared->state == SEARCH_IDLE)
		return error_set(error, ERR_UNAVAILABLE,
			"no category is searched: see [category.NAME] search in the configuration");
	e = open_files(f, error);
	if (e != OK)
		return e;
	f->deadline_us = f->store.deadline_us = deadline_us;
	e = begin_index(f, error);
	if (e == OK)
		e = follow_begin(&f->store, error);
	return e == OK ? catch_up(f, error) : e;
}

void
finder_end(struct finder *f)
{
	f->deadline_us = f->store.deadline_us = 0;
	if (f->index != NULL && !sqlite3_get_autocommit(f->index))
		sql_run(f->st[ST_END]);
	if (f->is_store_open)
		follow_end(&f->store);
}

void
finder_rest(struct finder *f)
{
	if (!f->is_store_open)
		return;
	follow_forget(&f->store);
	f->shared->tail_records = f->shared->tail_bytes = 0;
}

/** The kinds of index that a pattern of categories may reach. */
static enum err
choose_kinds(const struct finder *f, const struct pattern *pattern, bool wanted[INDEX_KINDS],
	struct error *error)
{
	struct span name;
	bool any = false;

	if (pattern != NULL && pattern_is_one_category(pattern, &name)) {
		enum conf_search kind = kinds_of(f->kinds, name);

		if (kind == SEARCH_OFF)
			return error_set(error, ERR_INVALID_ARGUMENT,
				"category %.*s is not searched: see [category.NAME] search in the "
				"configuration",
				SPAN_FMT(name));
		for (int i = 0; i < INDEX_KINDS; i++)
			wanted[i] = i == (int)kind;
		return OK;
	}
	for (int i = 0; i < INDEX_KINDS; i++)
		any |= wanted[i] = kinds_has(f->kinds, (enum conf_search)i);
	must(any);
	return OK;
}

/** Reads the query as each kind of index reads it. One in which it comes to nothing is left out. */
static enum err
read_query(struct run *r, const bool wanted[INDEX_KINDS], struct error *error)
{
	enum err e = OK;
	bool any = false;

	for (int i = 0; i < INDEX_KINDS; i++) {
		if (!wanted[i])
			continue;
		e = query_new(r->params->query, r->finder->store.tokenizers[i],
			&r->found->queries[i], error);
		if (e == ERR_LIMIT_EXCEEDED) /* no kind is left out because of that */
			return error_wrap(error, "query");
		any |= e == OK;
	}
	return any ? OK : error_wrap(error, "query");
}

static bool
is_filtered(const struct read_params *p)
{
	return p->pattern != NULL || p->updated_after != INT64_MIN ||
	       p->updated_before != INT64_MAX;
}

/** The index first: with its first match the scores learn its statistics. */
static enum err
open_sources(struct run *r, struct error *error)
{
	struct finder *f = r->finder;
	bool is_ranked = r->params->order == ORDER_RANK;

	for (int i = 0; i < INDEX_KINDS; i++) {
		struct source *s = &r->sources[r->sources_n];

		if (r->found->queries[i] == NULL)
			continue;
		score_init(&r->scores[i], r->found->queries[i], &f->store.tails[i], f->mark,
			r->params->is_apart);
		r->sources_n++;
		if (source_start_index(s, f->searches, (enum conf_search)i, &r->scores[i],
			    &(struct source_range){is_ranked, 0, r->upto}) != SQLITE_OK)
			return index_error(f, error);
	}
	for (int i = 0; i < INDEX_KINDS; i++)
		if (r->found->queries[i] != NULL)
			source_start_tail(&r->sources[r->sources_n++], (enum conf_search)i,
				&r->scores[i], &(struct source_range){is_ranked, f->mark, r->upto});
	return OK;
}

static void
close_sources(struct run *r)
{
	for (size_t i = 0; i < r->sources_n; i++)
		source_end(&r->sources[i]);
}

static struct source *
newest_source(struct run *r)
{
	struct source *best = NULL;

	for (size_t i = 0; i < r->sources_n; i++)
		if (r->sources[i].seq != 0 && (best == NULL || r->sources[i].seq > best->seq))
			best = &r->sources[i];
	return best;
}

static bool
has_condition(const struct read_params *p)
{
	return p->pattern != NULL && p->pattern->where != NULL;
}

/** What the record itself decides: a condition on its data, and, since the tail takes a phrase for
 * all of its words, whether it matches. */
static enum err
check_record(struct run *r, const struct source *s, bool *is_wanted, struct error *error)
{
	struct follow *store = &r->finder->store;
	struct record record;
	int rc = follow_read(store, s->seq, &record);
	enum err e;

	*is_wanted = false;
	r->has_read = true;
	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? OK : follow_error(store, error);
	if (r->params->pattern != NULL && !pattern_accepts(r->params->pattern, record.data))
		return OK;
	*is_wanted = !s->must_check;
	if (*is_wanted)
		return OK;
	e = follow_take_apart(store, s->kind, record.name, record.data, error);
	*is_wanted = e == OK && query_matches(r->found->queries[s->kind], &store->doc);
	return e;
}

/** Whether a candidate is there and wanted. */
static enum err
look(struct run *r, const struct source *s, bool *is_wanted, struct error *error)
{
	const struct read_params *p = r->params;
	struct follow *store = &r->finder->store;
	bool has_time = p->updated_after != INT64_MIN || p->updated_before != INT64_MAX;
	struct span category;
	int64_t time;
	int rc;

	*is_wanted = !r->is_restricted && r->finder->mark == store->seq;
	if (*is_wanted)
		return OK; /* nothing has moved since the index was written */
	rc = follow_look(store, s->seq, has_time, &category, &time);
	if (rc == SQLITE_DONE)
		return OK;
	if (rc != SQLITE_ROW)
		return follow_error(store, error);
	*is_wanted = (!has_time || (time > p->updated_after && time < p->updated_before)) &&
		     (p->pattern == NULL || pattern_matches(p->pattern, category, SPAN("")));
	if (!*is_wanted || (!s->must_check && !has_condition(p)))
		return OK;
	return check_record(r, s, is_wanted, error);
}

static bool
is_over(struct run *r, struct error *error, enum err *e)
{
	bool must_look = ++r->looks % LOOKS_PER_CLOCK == 0 || r->has_read;

	r->has_read = false;
	if (must_look && clock_mono_us() > r->finder->deadline_us) {
		*e = error_set(error, ERR_TIMEOUT, "out of time");
		return true;
	}
	return r->looks > LOOKS_MAX && r->is_restricted;
}

/** Takes a match; false: enough of them. */
static bool
take(struct run *r, struct source *s)
{
	const struct read_params *p = r->params;
	struct found *found = r->found;
	size_t known = r->passed + found->total;

	if (p->order == ORDER_RANK && known == p->rank_limit) {
		found->is_capped = true;
		return false;
	}
	if (p->order != ORDER_RANK && found->n == p->limit) {
		found->next = found->v[found->n - 1].seq;
		if (known >= p->rank_limit) {
			found->is_capped = true;
			return false;
		}
	}
	found->total++;
	if (p->order == ORDER_RANK || found->n < p->limit)
		found->v[found->n++] = (struct match_found){s->seq, source_score(s), s->kind};
	return true;
}

/** Enough was looked at: the next page of a listing goes on with this one. */
static void
cut_short(struct run *r, int64_t seq)
{
	struct found *found = r->found;

	found->is_capped = true;
	if (found->next == 0)
		found->next = found->n < r->params->limit ? seq + 1 : found->v[found->n - 1].seq;
}

static enum err
collect(struct run *r, struct error *error)
{
	struct source *s;
	enum err e = OK;

	while (e == OK && (s = newest_source(r)) != NULL) {
		bool is_wanted;

		if (is_over(r, error, &e)) {
			cut_short(r, s->seq);
			break;
		}
		e = look(r, s, &is_wanted, error);
		if (e == OK && is_wanted && !take(r, s))
			break;
		if (e == OK && source_next(s) != SQLITE_OK)
			e = index_error(r->finder, error);
	}
	return e;
}

static int
compare_scores(const void *a, const void *b)
{
	const struct match_found *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return (x->seq < y->seq) - (x->seq > y->seq);
}

static enum err
bad_cursor(struct error *error)
{
	return error_set(
		error, ERR_INVALID_ARGUMENT, "cursor: not one that a search in this order gave");
}

/** A number of at most 16 digits, and `end` behind it. */
static bool
read_number(struct span *text, char end, int64_t *out)
{
	size_t n = 0;

	*out = 0;
	while (n < text->n && n < 16 && text->p[n] >= '0' && text->p[n] <= '9')
		*out = *out * 10 + (text->p[n++] - '0');
	if (n == 0 || (end == '\0' ? n != text->n : n == text->n || text->p[n] != end))
		return false;
	n += end != '\0';
	*text = (struct span){text->p + n, text->n - n};
	return true;
}

/** "n:SEQ:PASSED", the page goes on below it; or "r:UPTO:OFFSET". */
static enum err
read_cursor(struct run *r, struct error *error)
{
	struct span text = r->params->cursor;
	bool is_ranked = r->params->order == ORDER_RANK;
	int64_t seq, count;

	r->upto = r->finder->store.seq;
	if (text.n == 0)
		return OK;
	if (text.n < 2 || text.p[0] != (is_ranked ? 'r' : 'n') || text.p[1] != ':')
		return bad_cursor(error);
	text = (struct span){text.p + 2, text.n - 2};
	if (!read_number(&text, ':', &seq) || !read_number(&text, '\0', &count))
		return bad_cursor(error);
	if (is_ranked) {
		r->upto = seq;
		r->found->offset = (size_t)count;
	} else {
		r->upto = seq - 1;
		r->passed = (size_t)count;
	}
	return OK;
}

static enum err
run(struct run *r, struct error *error)
{
	const struct read_params *p = r->params;
	struct found *found = r->found;
	bool wanted[INDEX_KINDS] = {false};
	enum err e = read_cursor(r, error);

	if (e == OK)
		e = choose_kinds(r->finder, p->pattern, wanted, error);
	if (e == OK)
		e = read_query(r, wanted, error);
	if (e != OK)
		return e;
	found->v = xnew_n(p->order == ORDER_RANK ? p->rank_limit : p->limit, struct match_found);
	e = open_sources(r, error);
	if (e == OK)
		e = collect(r, error);
	close_sources(r);
	found->upto = r->upto;
	if (p->order == ORDER_RANK) {
		qsort(found->v, found->n, sizeof(*found->v), compare_scores);
	} else {
		found->offset = r->passed;
		found->total += r->passed;
		if (found->total > p->rank_limit) {
			found->total = p->rank_limit;
			found->is_capped = true;
		}
	}
	return e;
}

enum err
finder_run(struct finder *f, const struct read_params *p, struct found *found, struct error *error)
{
	struct run *r = xnew(struct run);
	enum err e;

	*found = (struct found){.v = NULL};
	r->finder = f;
	r->params = p;
	r->found = found;
	r->is_restricted = is_filtered(p);
	e = run(r, error);
	free(r);
	return e;
}

void
found_fini(struct found *found)
{
	for (int i = 0; i < INDEX_KINDS; i++)
		query_free(found->queries[i]);
	free(found->v);
}
