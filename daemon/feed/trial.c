/* Trials: see trial.h. */

#include "daemon/feed/trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64.h"
#include "common/clock.h"
#include "common/rpc.h"
#include "common/xalloc.h"
#include "daemon/base/loop.h"
#include "daemon/base/mapping.h"
#include "daemon/feed/link.h"

#define SHOWN_MAX  16384 /* bytes of a message, and of a record's data */
#define ITEMS_MAX  ((size_t)3 << 20)
#define ANSWER_MAX ((size_t)4 << 20)

struct trial {
	struct trial_wish wish;
	struct list in_list;
	struct origin origin;
	char origin_id[RPC_ID_RAW_MAX + 1];
	struct conf_feed *def; /* owned, as all of these */
	struct mapping *mapping;
	struct link *link;
	struct loop_timer *timer;
	struct buf said;     /* items of a list */
	struct buf messages; /* likewise */
	struct json_out said_out;
	struct json_out messages_out;
	int64_t seen;
	bool was_live;
	bool is_over;
	char why[ERROR_TEXT_MAX]; /* it did not go well */
};

static void
tell_over(void *arg)
{
	struct trial *t = arg;

	t->wish.over(t->wish.arg, t);
}

void
trial_end(struct trial *t, const char *why)
{
	if (t->is_over)
		return;
	t->is_over = true;
	snprintf(t->why, sizeof(t->why), "%s", why);
	loop_timer_stop(t->timer);
	link_hold(t->link, true);
	loop_defer(t->wish.loop, tell_over, t);
}

/* What a message would be. */

/** The lists of one message, while it is mapped. */
struct sketch {
	struct json_out *records;
	struct json_out *unmapped;
	bool has_unmapped;
};

static void
on_mapped(void *arg, const struct mapped *r)
{
	struct json_out *o = ((struct sketch *)arg)->records;

	json_begin_object(o, NULL);
	json_put_string(o, r->is_topic ? "topic" : "category", r->category);
	if (!r->is_topic && r->id.n > 0)
		json_put_string(o, "id", r->id);
	if (r->name.n > 0)
		json_put_string(o, "name", r->name);
	if (r->data.raw.n <= SHOWN_MAX)
		json_put_raw(o, "data", r->data.raw);
	else
		json_put_int(o, "data_bytes", (int64_t)r->data.raw.n);
	if (!r->is_topic)
		json_put_int(o, "time", r->time_ms);
	json_end_object(o);
}

static void
on_unmapped(void *arg, const struct unmapped *u)
{
	struct sketch *s = arg;
	struct json_out *o = s->unmapped;

	s->has_unmapped = true;
	json_begin_object(o, NULL);
	if (u->key != NULL)
		json_put_str(o, "key", u->key);
	if (u->place.n > 0)
		json_put_string(o, "place", u->place);
	json_put_str(o, "why", u->why);
	json_put_int(o, "item", (int64_t)u->item);
	json_end_object(o);
}

static void
put_payload(struct json_out *o, bool is_text, struct span payload)
{
	struct span shown = {payload.p, payload.n < SHOWN_MAX ? payload.n : SHOWN_MAX};
	char *text;

	json_put_int(o, "bytes", (int64_t)payload.n);
	if (is_text) {
		json_put_string(o, "text", shown);
		return;
	}
	text = xcalloc(1, base64_size(shown.n));
	base64_write(shown, text);
	json_put_str(o, "base64", text);
	free(text);
}

static void
put_mapping(struct trial *t, struct json_out *o, struct span payload)
{
	struct mapping_input in = {
		.text = payload,
		.now_ms = clock_wall_ms(),
		.max_record = t->wish.max_record,
	};
	struct buf records, unmapped;
	struct json_out to_records = json_out_start(&records), to_unmapped;
	struct sketch s = {.records = &to_records, .unmapped = &to_unmapped};

	buf_init(&records, ITEMS_MAX);
	buf_init(&unmapped, ITEMS_MAX);
	to_unmapped = json_out_start(&unmapped);
	if (!mapping_run(t->mapping, &in, &(struct mapping_sink){on_mapped, on_unmapped, &s}))
		json_put_bool(o, "ignored", true);
	json_begin_array(o, "records");
	if (records.n > 0 && !records.failed)
		json_put_raw(o, NULL, buf_span(&records));
	json_end_array(o);
	if (s.has_unmapped && !unmapped.failed) {
		json_begin_array(o, "unmapped");
		json_put_raw(o, NULL, buf_span(&unmapped));
		json_end_array(o);
	}
	buf_fini(&records);
	buf_fini(&unmapped);
}

/** Adds an item without what is secret in it: as JSON it may be broken then. */
static void
put_safely(struct trial *t, struct json_out *to, struct span item)
{
	struct json_value value;
	struct json_fault fault;
	struct buf safe;

	buf_init(&safe, ANSWER_MAX);
	if (link_redact(t->link, item, &safe))
		item = json_check(buf_span(&safe), JSON_DEPTH_MAX, &value, &fault) == OK
			       ? buf_span(&safe)
			       : SPAN("{\"text\":\"***\",\"records\":[]}");
	json_put_raw(to, NULL, item);
	buf_fini(&safe);
}

static void
on_message(void *arg, enum ws_opcode opcode, struct span payload)
{
	struct trial *t = arg;
	struct buf item, safe;
	struct json_out o;

	if (t->is_over)
		return;
	buf_init(&item, ANSWER_MAX);
	buf_init(&safe, SIZE_MAX / 2);
	o = json_out_start(&item);
	json_begin_object(&o, NULL);
	json_put_int(&o, "at", clock_wall_ms());
	put_payload(&o, opcode == WS_TEXT,
		link_redact(t->link, payload, &safe) ? buf_span(&safe) : payload);
	put_mapping(t, &o, payload);
	json_end_object(&o);
	if (!item.failed && t->messages.n + item.n <= ITEMS_MAX)
		put_safely(t, &t->messages_out, buf_span(&item));
	buf_fini(&safe);
	buf_fini(&item);
	if (++t->seen >= t->wish.messages)
		trial_end(t, "");
}

/* What becomes of its connection. */

static void
on_batch(void *arg)
{
	(void)arg;
}

static void
on_said(void *arg, struct span text)
{
	struct trial *t = arg;

	if (t->said.n + text.n < ITEMS_MAX / 2)
		json_put_string(&t->said_out, NULL, text);
}

static void
on_moved(void *arg, enum machine_state from)
{
	struct trial *t = arg;
	enum machine_state state = link_state(t->link);

	(void)from;
	t->was_live |= state == FEED_LIVE;
	if (state >= FEED_BACKOFF)
		trial_end(t, link_why(t->link));
}

static void
on_timeout(void *arg)
{
	struct trial *t = arg;
	char why[128];

	snprintf(why, sizeof(why), "in time it came only as far as: %s",
		machine_state_name(link_state(t->link)));
	trial_end(t, t->was_live ? "" : why);
}

static void
keep_origin(struct trial *t)
{
	t->origin = *t->wish.origin;
	must(t->origin.id.n < sizeof(t->origin_id));
	if (t->origin.id.n > 0)
		memcpy(t->origin_id, t->origin.id.p, t->origin.id.n);
	t->origin.id.p = t->origin_id;
	t->wish.origin = &t->origin;
}

enum err
trial_start(const struct trial_wish *wish, struct conf_feed **def, struct trial **out,
	struct error *error)
{
	static const struct link_ops ops = {
		.message = on_message, .batch = on_batch, .moved = on_moved, .said = on_said};
	struct link_ops own = ops;
	struct mapping *mapping = NULL;
	struct trial *t;
	enum err e = mapping_new(*def, &mapping, error);

	if (e != OK)
		return e;
	t = own.arg = xnew(struct trial);
	t->wish = *wish;
	keep_origin(t);
	t->def = *def;
	*def = NULL;
	t->def->max_retries = 0; /* it tries once */
	t->mapping = mapping;
	list_init(&t->in_list);
	buf_init(&t->said, ITEMS_MAX);
	buf_init(&t->messages, ITEMS_MAX);
	t->said_out = json_out_start(&t->said);
	t->messages_out = json_out_start(&t->messages);
	t->timer = loop_timer_new(wish->loop, on_timeout, t);
	t->link = link_new(wish->links, t->def, &own);
	*out = t;
	loop_timer_start(t->timer, wish->timeout_ms);
	link_start(t->link);
	return OK;
}

void
trial_free(struct trial *t)
{
	if (t == NULL)
		return;
	list_remove(&t->in_list);
	loop_undefer(t->wish.loop, t);
	link_free(t->link);
	loop_timer_free(t->timer);
	mapping_free(t->mapping);
	conf_feed_free(t->def);
	buf_fini(&t->said);
	buf_fini(&t->messages);
	free(t);
}

const struct origin *
trial_origin(const struct trial *t)
{
	return &t->origin;
}

struct list *
trial_in_list(struct trial *t)
{
	return &t->in_list;
}

struct trial *
trial_of_list(struct list *link)
{
	return list_item(link, struct trial, in_list);
}

void
trial_add_answer(const struct trial *t, struct buf *out)
{
	struct json_out o = json_out_start(out);

	json_begin_object(&o, NULL);
	json_put_str(&o, "name", t->def->named.name);
	json_put_bool(&o, "ok", t->why[0] == '\0');
	if (t->why[0] != '\0')
		json_put_str(&o, "why", t->why);
	link_put_handshake(t->link, &o, "handshake");
	json_begin_array(&o, "greeting");
	if (t->said.n > 0 && !t->said.failed)
		json_put_raw(&o, NULL, buf_span(&t->said));
	json_end_array(&o);
	json_put_int(&o, "seen", t->seen);
	json_begin_array(&o, "messages");
	if (t->messages.n > 0 && !t->messages.failed)
		json_put_raw(&o, NULL, buf_span(&t->messages));
	json_end_array(&o);
	json_end_object(&o);
}
