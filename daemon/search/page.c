/* The answer to a search: see page.h. */

#include "daemon/search/page.h"

#include <stdio.h>

#include "common/clock.h"
#include "common/json.h"
#include "daemon/search/snippet.h"

#define PAGE_MAX_BYTES (1u << 20)

struct page_writer {
	struct follow *store; /* borrowed */
	struct found *found;
	const struct read_params *params;
	struct job *job;
	struct json_out out;
};

static void
put_name_matches(struct page_writer *w, const struct query *q)
{
	struct match matches[SNIPPET_MATCHES_MAX];
	size_t n = query_find(
		q, QUERY_NAME, &w->store->doc.columns[QUERY_NAME], matches, SNIPPET_MATCHES_MAX);

	snippet_put_matches(&w->out, "name_matches", buf_span(&w->store->name), matches, n);
}

static void
put_snippet(struct page_writer *w, const struct query *q)
{
	struct match matches[SNIPPET_MATCHES_MAX];
	size_t n;

	if (w->params->snippet == 0)
		return;
	n = query_find(
		q, QUERY_DATA, &w->store->doc.columns[QUERY_DATA], matches, SNIPPET_MATCHES_MAX);
	snippet_put(&w->out, "snippet", buf_span(&w->store->text), matches, n, w->params->snippet);
}

static void
put_item(struct page_writer *w, const struct record *r, const struct match_found *m)
{
	const struct query *q = w->found->queries[m->kind];
	struct json_out *o = &w->out;

	json_begin_object(o, NULL);
	json_put_string(o, "category", r->category);
	json_put_string(o, "id", r->id);
	json_put_string(o, "name", r->name);
	json_put_int(o, "seq", r->seq);
	json_put_int(o, "rev", r->rev);
	json_put_int(o, "updated_at", r->updated_at);
	if (w->params->order == ORDER_RANK)
		json_put_double(o, "score", m->score);
	put_snippet(w, q);
	put_name_matches(w, q);
	if (w->params->wants_data)
		json_put_raw(o, "data", r->data);
	json_end_object(o);
}

/** Puts one match; a record that has gone without the store's knowledge is left out. */
static enum err
put_match(struct page_writer *w, const struct match_found *m)
{
	struct error *error = &w->job->error;
	struct record r;
	int rc = follow_read(w->store, m->seq, &r);
	enum err e;

	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? OK : follow_error(w->store, error);
	if (clock_mono_us() > w->job->deadline_us)
		return error_set(error, ERR_TIMEOUT, "out of time");
	e = follow_take_apart(w->store, m->kind, r.name, r.data, error);
	if (e != OK)
		return e;
	if (query_matches(w->found->queries[m->kind], &w->store->doc))
		put_item(w, &r, m);
	else
		w->found->is_wrong = true;
	return OK;
}

/** Puts the items of the page, from *at on; *at: where it ends. */
static enum err
put_items(struct page_writer *w, size_t *at)
{
	const struct found *found = w->found;
	size_t first = *at;
	enum err e = OK;

	json_begin_array(&w->out, "items");
	while (e == OK && *at < found->n && *at - first < w->params->limit) {
		if (*at > first && w->job->reply.n >= PAGE_MAX_BYTES)
			break;
		e = put_match(w, &found->v[(*at)++]);
	}
	json_end_array(&w->out);
	return e;
}

static void
put_cursor(struct page_writer *w, size_t at)
{
	const struct found *found = w->found;
	int64_t next = found->next;
	char text[64];

	if (w->params->order == ORDER_RANK) {
		if (at >= found->n)
			return;
		snprintf(text, sizeof(text), "r:%lld:%zu", (long long)found->upto, at);
	} else {
		if (at < found->n)
			next = found->v[at - 1].seq; /* the page ended early */
		if (next == 0)
			return;
		snprintf(text, sizeof(text), "n:%lld:%zu", (long long)next, found->offset + at);
	}
	json_put_str(&w->out, "cursor", text);
}

enum err
page_put(struct follow *store, struct found *found, struct job *j, const char *epoch)
{
	struct page_writer w = {
		.store = store,
		.found = found,
		.params = &j->read,
		.job = j,
		.out = json_out_start(&j->reply),
	};
	bool is_ranked = j->read.order == ORDER_RANK;
	size_t at = is_ranked ? found->offset : 0;
	enum err e;

	json_begin_object(&w.out, NULL);
	e = put_items(&w, &at);
	if (e != OK)
		return e;
	json_put_int(&w.out, "total", (int64_t)found->total);
	if (is_ranked)
		json_put_int(&w.out, "ranked", (int64_t)found->n);
	json_put_bool(&w.out, "capped", found->is_capped);
	put_cursor(&w, at);
	json_put_str(&w.out, "epoch", epoch);
	json_put_int(&w.out, "seq", store->seq);
	json_end_object(&w.out);
	return OK;
}
