/*
 * The rig of the hub's tests: see hub_rig.h.
 */

#include "tests/unit/hub_rig.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/xalloc.h"

const char *const rig_categories[RIG_CATEGORIES] = {"a", "ab", "abc", "b"};
struct rig rig;

/* --- the store's side --- */

static unsigned
id_number(struct span id)
{
	unsigned n = 0;

	ck_assert(id.n >= 2 && id.p[0] == 'i');
	for (size_t i = 1; i < id.n; i++)
		n = 10 * n + (unsigned)(id.p[i] - '0');
	ck_assert_uint_lt(n, RIG_IDS);
	return n;
}

static unsigned
category_number(struct span category)
{
	for (unsigned i = 0; i < RIG_CATEGORIES; i++)
		if (span_is(category, rig_categories[i]))
			return i;
	ck_abort_msg("unknown category");
	return 0;
}

/** The result of a write: what the state should be, and the change for the hub. */
static void
on_write(struct job *j)
{
	ck_assert_msg(j->result == OK, "%s", j->error.text);
	for (size_t i = 0; i < j->ops_n; i++) {
		struct op *op = &j->ops[i];
		unsigned category, id;

		if (op->change == NULL)
			continue;
		category = category_number(op->category);
		id = id_number(op->id);
		rig.state.seq[category][id] = op->kind == OP_PUT ? op->seq : 0;
		rig.state.is_odd[category][id] = op->kind == OP_PUT && op->data.p[1] == 'o';
		rig.last_seq = op->seq;
		hub_publish(rig.hub, &op->change, 1);
	}
	rig.writes_pending--;
}

static void
on_done(void *arg, struct qlist *jobs)
{
	struct qitem *item;

	(void)arg;
	while ((item = qlist_shift(jobs)) != NULL) {
		struct job *j = (struct job *)(void *)item;

		if (j->kind == JOB_REPLAY) {
			hub_page_done(rig.hub, &j);
			continue;
		}
		ck_assert_int_eq(j->kind, JOB_WRITE);
		on_write(j);
		job_free(j);
	}
}

static void
on_room(void *arg, struct store_client *c)
{
	(void)arg;
	(void)c;
}

void
rig_prepare(void)
{
	memset(&rig, 0, sizeof(rig));
	snprintf(rig.folder, sizeof(rig.folder), "/tmp/test_hub.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(rig.folder));
	snprintf(rig.path, sizeof(rig.path), "%s/sysrt.db", rig.folder);
	rig.conf.store.path = rig.path;
	rig.conf.store.durability = DURABILITY_NORMAL;
	rig.conf.store.readers = 2;
	rig.conf.store.queue = 256;
	rig.conf.store.queue_bytes = 64 << 20;
	rig.conf.store.max_record = 4 << 20;
	rig.conf.store.tombstone_retention_ms = INT64_C(604800000);
	rig.conf.store.tombstone_max = 1000000;
	rig.conf.store.read_timeout_ms = 10000;
	rig.conf.store.cache_bytes = 8 << 20;
	rig.conf.store.wal_limit = 256 << 20;
	rig.conf.store.wal_hard_limit = INT64_C(4) << 30;
	rig.conf.websocket.send_queue = 256 << 10;
	rig.conf.websocket.max_subscriptions = 100;
	rig.conf.hub.max_patterns = rig.conf.hub.max_topics = 1000000;
	rig.conf.hub.recent = 1024;
	rig.conf.hub.recent_bytes = 16 << 20;
}

void
rig_start(void)
{
	struct store_sink sink = {on_done, on_room, NULL};
	struct error error = ERROR_NONE;

	rig.loop = loop_new();
	ck_assert_msg(
		store_open(rig.loop, &rig.conf, &sink, &rig.store, &error) == OK, "%s", error.text);
	rig.hub = hub_new(rig.loop, rig.store, &rig.conf);
	ck_assert_msg(hub_warm(rig.hub, &error) == OK, "%s", error.text);
}

void
rig_setup(void)
{
	rig_prepare();
	rig_start();
}

void
rig_teardown(void)
{
	char command[128];

	hub_free(rig.hub);
	store_close(rig.store);
	loop_free(rig.loop);
	snprintf(command, sizeof(command), "rm -rf %s", rig.folder);
	ck_assert_int_eq(system(command), 0);
}

struct waiting {
	bool (*condition)(void *arg);
	void *arg;
	struct loop_timer *timer;
};

static void
on_look(void *arg)
{
	struct waiting *w = arg;

	if (w->condition(w->arg))
		loop_stop(rig.loop);
	else
		loop_timer_start(w->timer, 1);
}

void
rig_run_until(bool (*condition)(void *arg), void *arg)
{
	struct waiting w = {condition, arg, NULL};

	w.timer = loop_timer_new(rig.loop, on_look, &w);
	loop_timer_start(w.timer, 0);
	loop_run(rig.loop);
	loop_timer_free(w.timer);
}

static bool
is_settled(void *arg)
{
	(void)arg;
	return rig.writes_pending == 0 && hub_is_idle(rig.hub);
}

void
rig_settle(void)
{
	rig_run_until(is_settled, NULL);
}

static bool
count_down(void *arg)
{
	unsigned *n = arg;

	return (*n)-- == 0;
}

void
rig_turns(unsigned n)
{
	rig_run_until(count_down, &n);
}

static struct job *
write_job(size_t nbytes)
{
	struct job *j = job_new(JOB_WRITE, &(struct origin){.kind = ORIGIN_NONE}, 1, nbytes + 64);

	ck_assert_ptr_nonnull(j);
	j->ops[0].now_ms = clock_wall_ms();
	return j;
}

static void
submit(struct job *j)
{
	struct error error = ERROR_NONE;

	ck_assert_msg(store_submit(rig.store, NULL, &j, &error) == PENDING, "%s", error.text);
	rig.writes_pending++;
}

static struct job *
record_job(enum op_kind kind, unsigned category, unsigned id, size_t nbytes)
{
	struct job *j = write_job(nbytes);
	struct op *op = &j->ops[0];
	char text[16];

	snprintf(text, sizeof(text), "i%u", id);
	op->kind = kind;
	op->category = span_of(rig_categories[category]);
	op->id = op->name = job_keep(j, span_of(text));
	return j;
}

void
rig_put(unsigned category, unsigned id, size_t data_n)
{
	struct job *j = record_job(OP_PUT, category, id, data_n + 2);
	char *data = xcalloc(1, data_n + 2);

	memset(data, 'x', data_n + 2);
	data[0] = data[data_n + 1] = '"';
	if (data_n % 2 == 1)
		data[1] = 'o';
	j->ops[0].data = job_keep(j, (struct span){data, data_n + 2});
	free(data);
	submit(j);
}

void
rig_delete(unsigned category, unsigned id)
{
	submit(record_job(OP_DELETE, category, id, 0));
}

void
rig_prune(void)
{
	struct job *j = write_job(0);

	j->ops[0].kind = OP_PRUNE;
	j->ops[0].expires_at = INT64_MAX;
	j->ops[0].limit = 1000000;
	submit(j);
}

static struct term
term_of(const char *text)
{
	struct term t = {span_of(text), false};

	if (t.text.n > 0 && text[t.text.n - 1] == '*') {
		t.text.n--;
		t.is_prefix = true;
	}
	return t;
}

struct pattern *
rig_pattern(const char *category, const char *id)
{
	struct term c = term_of(category), i = term_of(id != NULL ? id : "");

	return pattern_new(&c, 1, &i, id != NULL ? 1 : 0, NULL);
}

struct pattern *
rig_odd_pattern(const char *category, const char *id)
{
	struct term c = term_of(category), i = term_of(id != NULL ? id : "");
	struct where *where = NULL;
	struct pattern *p;

	ck_assert_int_eq(
		where_new(json_value_of(SPAN("{\"\":{\"prefix\":\"o\"}}")), &where, NULL), OK);
	p = pattern_new(&c, 1, &i, id != NULL ? 1 : 0, where);
	free(where);
	return p;
}

/* --- the client's side --- */

static int64_t
int_of(struct json_value object, const char *name, int64_t otherwise)
{
	struct json_walk w = json_walk_start(object);
	struct json_value v;
	struct span key;
	int64_t n;

	while (json_object_next(&w, &key, &v))
		if (json_string_is(key, name) && json_number_int64(v.raw, &n))
			return n;
	return otherwise;
}

/** A member's value; must be there. */
static struct json_value
member_of(struct json_value object, const char *name)
{
	struct json_walk w = json_walk_start(object);
	struct json_value v;
	struct span key;

	while (json_object_next(&w, &key, &v))
		if (json_string_is(key, name))
			return v;
	ck_abort_msg("no member %s", name);
	return object;
}

static struct span
text_of(struct json_value object, const char *name)
{
	struct span raw = member_of(object, name).raw;

	return (struct span){raw.p + 1, raw.n - 2};
}

static void
on_change(struct view *v, struct json_value params)
{
	int64_t seq = int_of(params, "seq", -1), prev = int_of(params, "prev", -1);
	unsigned category = category_number(text_of(params, "category"));
	unsigned id = id_number(text_of(params, "id"));

	ck_assert_msg(prev >= 0 && prev <= v->position, "a gap: prev %lld, position %lld",
		(long long)prev, (long long)v->position);
	ck_assert_msg(seq > v->position, "told again: seq %lld, position %lld", (long long)seq,
		(long long)v->position);
	v->position = seq;
	v->prev = prev;
	v->changes++;
	v->leaves += span_is(text_of(params, "op"), "leave");
	v->state.seq[category][id] = span_is(text_of(params, "op"), "put") ? seq : 0;
}

static void
on_position(struct view *v, int64_t seq)
{
	ck_assert_int_ge(seq, v->position);
	v->position = seq;
}

static void
on_notification(struct view *v, struct span method, struct json_value params)
{
	int64_t seq = int_of(params, "seq", -1);

	if (span_is(method, "change")) {
		on_change(v, params);
	} else if (span_is(method, "message")) {
		v->messages++;
	} else if (span_is(method, "stale")) {
		if (v->stale++ == 0)
			v->before_stale = v->changes + v->synced;
		v->stale_since = int_of(params, "since", -1);
	} else if (span_is(method, "fresh")) {
		v->fresh++;
		v->stale_since = 0;
	} else if (span_is(method, "resync")) {
		v->resync = seq;
	} else {
		on_position(v, seq);
		v->synced += span_is(method, "synced");
		v->progress += span_is(method, "progress");
		v->lagged += span_is(method, "lagged");
		v->dropped += (unsigned)int_of(params, "dropped", 0);
	}
}

/** Cuts the next message off what was sent; its text, without the header of its framing. */
static struct span
next_message(struct span *sent, enum framing framing)
{
	size_t header = 0, n;
	struct span text;

	if (framing == FRAMING_LINE) {
		const char *end = memchr(sent->p, '\n', sent->n);

		ck_assert_ptr_nonnull(end);
		n = (size_t)(end + 1 - sent->p);
	} else {
		const unsigned char *u = (const unsigned char *)sent->p;

		header = u[1] == 126 ? 4 : 2;
		ck_assert_uint_lt(u[1], 127); /* a test's messages are shorter */
		n = u[1] == 126 ? (size_t)u[2] << 8 | u[3] : u[1];
	}
	ck_assert_uint_le(header + n, sent->n);
	text = (struct span){sent->p + header, n};
	*sent = (struct span){text.p + n, sent->n - header - n};
	return text;
}

/** True if it is a change. */
static bool
read_message(struct reader *r, struct span text)
{
	struct json_value message, params;
	struct json_fault fault;
	int64_t number;

	ck_assert_int_eq(json_check(text, JSON_DEPTH_MAX, &message, &fault), OK);
	params = member_of(message, "params");
	number = int_of(params, "subscription", -1);
	ck_assert(number >= 1 && number <= RIG_VIEWS);
	on_notification(&r->views[number], text_of(message, "method"), params);
	return span_is(text_of(message, "method"), "change");
}

static void
read_frame(struct reader *r, struct frame *f)
{
	struct span rest;
	struct buf b;

	buf_init(&b, SIZE_MAX / 2);
	buf_add(&b, f->head, f->head_n);
	if (f->body != NULL)
		buf_add(&b, f->body->bytes, f->body->n);
	rest = buf_span(&b);
	while (rest.n > 0) {
		if (!read_message(r, next_message(&rest, r->subscriber.framing)))
			continue;
		frame_unref(r->last_change);
		r->last_change = frame_ref(f);
	}
	buf_fini(&b);
}

static struct reader *
reader_of(struct subscriber *s)
{
	return list_item(s, struct reader, subscriber);
}

static void
on_send(struct subscriber *s, struct frame *f)
{
	struct reader *r = reader_of(s);

	r->queue = xrealloc(r->queue, r->queue_n + 1, sizeof(struct frame *));
	r->queue[r->queue_n++] = frame_ref(f);
	r->unsent += frame_size(f);
	r->frames++;
}

static void
read_all(struct reader *r)
{
	for (size_t i = 0; i < r->queue_n; i++) {
		read_frame(r, r->queue[i]);
		frame_unref(r->queue[i]);
	}
	r->queue_n = 0;
	r->unsent = 0;
}

static size_t
on_flush(struct subscriber *s)
{
	struct reader *r = reader_of(s);

	r->flushes++;
	if (!r->is_stuck)
		read_all(r);
	if (r->unsent > r->most_unsent)
		r->most_unsent = r->unsent;
	return r->unsent;
}

static size_t
on_unsent(const struct subscriber *s)
{
	return ((const struct reader *)(const void *)s)->unsent;
}

static const struct subscriber_ops ops = {on_send, on_flush, on_unsent};

void
reader_init(struct reader *r, enum framing framing)
{
	memset(r, 0, sizeof(*r));
	subscriber_init(&r->subscriber, rig.hub, framing, &ops);
	for (unsigned i = 0; i <= RIG_VIEWS; i++)
		r->views[i].resync = -1;
}

void
reader_fini(struct reader *r)
{
	subscriber_fini(&r->subscriber);
	for (size_t i = 0; i < r->queue_n; i++)
		frame_unref(r->queue[i]);
	free(r->queue);
	r->queue = NULL;
	r->queue_n = 0;
	frame_unref(r->last_change);
	r->last_change = NULL;
}

enum err
reader_try_subscribe(
	struct reader *r, struct pattern *p, int64_t since, int64_t base, unsigned *number)
{
	struct position from = {
		.epoch = span_of(store_epoch(rig.store)), .since = since, .base = base};
	struct error error = ERROR_NONE;
	struct subscribed got;
	struct view *v;
	enum err e;

	e = hub_subscribe(&r->subscriber, &p, &from, &got, &error);
	ck_assert_msg(e == OK || e == ERR_RESYNC_REQUIRED, "%s", error.text);
	ck_assert((p == NULL) == (e == OK));
	free(p);
	if (e != OK)
		return e;
	ck_assert_uint_le(got.number, RIG_VIEWS);
	v = &r->views[got.number];
	v->position = since >= 0 ? since : got.seq;
	v->base = got.base;
	*number = got.number;
	return OK;
}

unsigned
reader_subscribe(struct reader *r, struct pattern *p, int64_t since, int64_t base)
{
	unsigned number = 0;

	ck_assert_int_eq(reader_try_subscribe(r, p, since, base, &number), OK);
	return number;
}

unsigned
reader_subscribe_topics(struct reader *r, struct pattern *p)
{
	struct error error = ERROR_NONE;
	struct subscribed got;

	ck_assert_msg(
		hub_subscribe_topics(&r->subscriber, &p, &got, &error) == OK, "%s", error.text);
	r->views[got.number].position = got.seq;
	return got.number;
}

void
reader_stick(struct reader *r)
{
	r->is_stuck = true;
}

void
reader_unstick(struct reader *r)
{
	bool was_blocked = r->unsent > 0;

	r->is_stuck = false;
	read_all(r);
	if (was_blocked)
		subscriber_drained(&r->subscriber);
}

struct catching_up {
	struct reader *reader;
	unsigned number;
};

/** A narrow subscription that is live hears only `progress`. */
static bool
is_caught_up(void *arg)
{
	const struct catching_up *c = arg;
	const struct view *v = &c->reader->views[c->number];

	if (is_settled(NULL) && (v->resync >= 0 || v->position >= hub_published(rig.hub)))
		return true;
	subscriber_beat(&c->reader->subscriber);
	return false;
}

void
reader_catch_up(struct reader *r, unsigned number)
{
	rig_run_until(is_caught_up, &(struct catching_up){r, number});
}

void
reader_check_state(const struct reader *r, unsigned number, const struct pattern *p)
{
	char id[16];

	for (unsigned c = 0; c < RIG_CATEGORIES; c++) {
		for (unsigned i = 0; i < RIG_IDS; i++) {
			bool is_match;

			snprintf(id, sizeof(id), "i%u", i);
			is_match = pattern_matches(p, span_of(rig_categories[c]), span_of(id)) &&
				   (p->where == NULL || rig.state.is_odd[c][i]);
			ck_assert_msg(r->views[number].state.seq[c][i] ==
					      (is_match ? rig.state.seq[c][i] : 0),
				"%s/%s is at %lld, not at %lld", rig_categories[c], id,
				(long long)r->views[number].state.seq[c][i],
				(long long)rig.state.seq[c][i]);
		}
	}
}
