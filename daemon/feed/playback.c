/* Playbacks: see playback.h. */

#include "daemon/feed/playback.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/rpc.h"
#include "common/xalloc.h"
#include "daemon/feed/feedrecord.h"
#include "daemon/hub/hub.h"

#define TEXTS_MAX ((size_t)1 << 30)

/** A record, whose texts stand one behind the other in `texts`. */
struct kept {
	struct feed_record record;
	size_t at;
};

struct playback {
	struct playback_of of;
	struct list in_list;
	uint64_t id;
	struct origin origin;
	char origin_id[RPC_ID_RAW_MAX + 1];
	struct feedrecord_texts made;
	struct buf texts;
	struct kept *records;
	size_t n;
	size_t cap;
	struct feedrecord_times at; /* of the message under way */
	int64_t messages;
	int64_t told; /* to topics */
	int64_t unmapped;
};

struct playback *
playback_new(const struct playback_of *of)
{
	struct playback *p = xnew(struct playback);

	p->of = *of;
	list_init(&p->in_list);
	feedrecord_texts_init(&p->made);
	buf_init(&p->texts, TEXTS_MAX);
	return p;
}

void
playback_free(struct playback *p)
{
	if (p == NULL)
		return;
	list_remove(&p->in_list);
	feedrecord_texts_fini(&p->made);
	buf_fini(&p->texts);
	free(p->records);
	free(p);
}

static void
keep(struct playback *p, const struct feed_record *r)
{
	if (p->n == p->cap) {
		p->cap = p->cap > 0 ? 2 * p->cap : 64;
		p->records = xrealloc(p->records, p->cap, sizeof(*p->records));
	}
	p->records[p->n++] = (struct kept){*r, p->texts.n};
	buf_add_span(&p->texts, r->category);
	buf_add_span(&p->texts, r->id);
	buf_add_span(&p->texts, r->name);
	buf_add_span(&p->texts, r->data);
}

static void
on_mapped(void *arg, const struct mapped *r)
{
	struct playback *p = arg;
	struct feed_record record;

	if (!feedrecord_make(p->of.feed, p->of.mapping, r, &p->at, &p->made, &record)) {
		p->texts.failed = true;
	} else if (r->is_topic) {
		hub_publish_topic(p->of.hub, r->category, record.data);
		p->told++;
	} else if (feedrecord_check(&record, p->of.conf, NULL) != OK) {
		p->unmapped++;
	} else {
		keep(p, &record);
	}
}

static void
on_unmapped(void *arg, const struct unmapped *u)
{
	struct playback *p = arg;

	(void)u;
	p->unmapped++;
}

void
playback_add(struct playback *p, int64_t at_ms, struct span message)
{
	struct mapping_input in = {
		.text = message,
		.now_ms = at_ms,
		.max_record = p->of.conf->store.max_record,
	};

	p->messages++;
	p->at = (struct feedrecord_times){.received_ms = at_ms, .now_ms = clock_wall_ms()};
	mapping_run(p->of.mapping, &in, &(struct mapping_sink){on_mapped, on_unmapped, p});
}

static struct span
take(const char **at, size_t n)
{
	struct span text = {*at, n};

	*at += n;
	return text;
}

static void
fill(struct playback *p, struct job *j)
{
	for (size_t i = 0; i < p->n; i++) {
		struct feed_record r = p->records[i].record;
		const char *at = p->texts.p + p->records[i].at;

		r.category = take(&at, r.category.n);
		r.id = take(&at, r.id.n);
		r.name = take(&at, r.name.n);
		r.data = take(&at, r.data.n);
		feedrecord_fill(&r, p->of.conf, j, &j->ops[i]);
	}
}

static void
keep_origin(struct playback *p, uint64_t id, const struct origin *origin)
{
	p->id = id;
	p->origin = *origin;
	must(origin->id.n < sizeof(p->origin_id));
	if (origin->id.n > 0)
		memcpy(p->origin_id, origin->id.p, origin->id.n);
	p->origin.id.p = p->origin_id;
}

enum err
playback_job(struct playback *p, uint64_t id, const struct origin *origin, struct job **out,
	struct error *error)
{
	struct job *j = NULL;

	if (!p->texts.failed && p->n > 0)
		j = job_new(JOB_WRITE, &(struct origin){.kind = ORIGIN_FEED, .peer = id}, p->n,
			p->texts.n);
	if (p->texts.failed || (p->n > 0 && j == NULL))
		return error_set(error, ERR_LIMIT_EXCEEDED, "out of memory");
	*out = j;
	if (j == NULL)
		return OK;
	j->is_many = true;
	fill(p, j);
	keep_origin(p, id, origin);
	buf_fini(&p->texts);
	buf_init(&p->texts, TEXTS_MAX);
	return OK;
}

uint64_t
playback_id(const struct playback *p)
{
	return p->id;
}

const struct origin *
playback_origin(const struct playback *p)
{
	return &p->origin;
}

struct list *
playback_in_list(struct playback *p)
{
	return &p->in_list;
}

struct playback *
playback_of_list(struct list *link)
{
	return list_item(link, struct playback, in_list);
}

void
playback_add_answer(const struct playback *p, const struct job *j, struct buf *out)
{
	struct json_out o = json_out_start(out);
	int64_t seq = 0;

	for (size_t i = 0; j != NULL && i < j->ops_n; i++)
		if (j->ops[i].seq > seq)
			seq = j->ops[i].seq;
	json_begin_object(&o, NULL);
	json_put_int(&o, "messages", p->messages);
	json_put_int(&o, "records", (int64_t)p->n);
	if (p->told > 0)
		json_put_int(&o, "told", p->told);
	json_put_int(&o, "unmapped", p->unmapped);
	if (seq > 0)
		json_put_int(&o, "seq", seq);
	json_end_object(&o);
}
