/* Records of feeds: see feedrecord.h. */

#include "daemon/feed/feedrecord.h"

#include <sodium.h>

#define TEXT_KEPT ((size_t)16 << 10)

void
feedrecord_texts_init(struct feedrecord_texts *t)
{
	buf_init(&t->data, SIZE_MAX / 2);
}

void
feedrecord_texts_fini(struct feedrecord_texts *t)
{
	buf_fini(&t->data);
}

void
feedrecord_texts_clear(struct feedrecord_texts *t)
{
	buf_clear(&t->data, TEXT_KEPT);
}

static struct span
make_id(struct feedrecord_texts *t, int64_t now_ms)
{
	unsigned char random[UUID_RANDOM_N];

	randombytes_buf(random, sizeof(random));
	uuid_write(now_ms, random, t->uuid);
	return span_of(t->uuid);
}

bool
feedrecord_make(const struct conf_feed *f, const struct mapping *m, const struct mapped *r,
	const struct feedrecord_times *at, struct feedrecord_texts *t, struct feed_record *out)
{
	buf_reset(&t->data);
	mapping_add_data(m, r, at->received_ms, &t->data);
	*out = (struct feed_record){
		.category = r->category,
		.id = r->id,
		.data = buf_span(&t->data),
		.now_ms = r->time_ms,
		.at_ms = at->now_ms,
		.came_us = at->came_us,
	};
	if (out->id.n == 0 && !r->is_topic)
		out->id = make_id(t, at->now_ms);
	out->name = r->name.n > 0 ? r->name : out->id;
	if (f->ttl_ms < CONF_UNLIMITED - at->now_ms)
		out->expires_at = at->now_ms + f->ttl_ms;
	return !t->data.failed;
}

enum err
feedrecord_check(const struct feed_record *r, const struct conf *conf, struct error *error)
{
	int64_t max = conf->store.max_record, n = (int64_t)r->data.n;
	int64_t max_data = conf_category(conf, r->category)->max_data;

	if (n > max)
		return error_set_limit(error, "store.max_record",
			"data has %lld bytes, at most %lld are allowed (store.max_record)",
			(long long)n, (long long)max);
	if (n > max_data)
		return error_set(error, ERR_LIMIT_EXCEEDED,
			"data has %lld bytes, at most %lld are allowed in its category (max_data)",
			(long long)n, (long long)max_data);
	return OK;
}

void
feedrecord_fill(const struct feed_record *r, const struct conf *conf, struct job *j, struct op *op)
{
	const struct conf_category *c = conf_category(conf, r->category);

	op->kind = OP_PUT;
	op->category = job_keep(j, r->category);
	op->id = job_keep(j, r->id);
	op->name = job_keep(j, r->name);
	op->data = job_keep(j, r->data);
	op->now_ms = r->now_ms;
	op->expires_at = r->expires_at;
	if (op->expires_at == 0 && c->ttl_ms < CONF_UNLIMITED - r->at_ms)
		op->expires_at = r->at_ms + c->ttl_ms;
	op->keep = c->history.count;
	op->max_records = c->max_records != CONF_UNLIMITED ? c->max_records : 0;
}
