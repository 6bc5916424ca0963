/*
 * Changes: see change.h. One block holds the change, its category and id; the
 * body is a block of its own, since frames share it.
 */

#include "daemon/store/change.h"

#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/xalloc.h"

/* The most that the fixed parts of a body and the escapes can take beyond the texts themselves. */
#define BODY_FIXED_MAX 320
#define ESCAPED_MAX    6

static struct change *
change_new(enum change_op op, struct span category, struct span id, int64_t seq)
{
	struct change *c = try_alloc(sizeof(*c) + category.n + id.n);
	char *text;

	if (c == NULL)
		return NULL;
	text = (char *)(c + 1);
	memcpy(text, category.p, category.n);
	memcpy(text + category.n, id.p, id.n);
	*c = (struct change){
		.refs = 1,
		.op = op,
		.seq = seq,
		.category = {text,              category.n},
		.id = {text + category.n, id.n      },
	};
	return c;
}

/** Makes a body of what was written, and of the end of the message; frees the buffer. */
static struct body *
body_of(struct buf *json)
{
	struct body *body;

	buf_add(json, "}}\n", 3);
	body = json->failed ? NULL : body_new(json->n);
	if (body != NULL)
		memcpy(body->bytes, json->p, json->n);
	buf_fini(json);
	return body;
}

/** Gives the change its body; frees it when that fails. */
static struct change *
finish(struct change *c, struct buf *json)
{
	c->body = body_of(json);
	if (c->body != NULL)
		return c;
	free(c);
	return NULL;
}

static void
put_key(struct json_out *o, struct span category, struct span id)
{
	json_put_string(o, "category", category);
	json_put_string(o, "id", id);
}

static void
put_times(struct json_out *o, const struct record *r)
{
	json_put_int(o, "created_at", r->created_at);
	json_put_int(o, "updated_at", r->updated_at);
	if (r->expires_at != 0)
		json_put_int(o, "expires_at", r->expires_at);
}

struct change *
change_new_put(const struct record *r)
{
	struct change *c = change_new(CHANGE_PUT, r->category, r->id, r->seq);
	struct json_out o;
	struct buf json;
	size_t data_end;

	if (c == NULL)
		return NULL;
	buf_init(&json,
		BODY_FIXED_MAX + ESCAPED_MAX * (r->category.n + r->id.n + r->name.n) + r->data.n);
	o = json_out_start(&json);
	json_put_str(&o, "op", "put");
	put_key(&o, r->category, r->id);
	json_put_string(&o, "name", r->name);
	json_put_raw(&o, "data", r->data);
	data_end = json.n;
	json_put_int(&o, "rev", r->rev);
	put_times(&o, r);
	c = finish(c, &json);
	if (c != NULL)
		c->data = (struct span){c->body->bytes + data_end - r->data.n, r->data.n};
	return c;
}

struct change *
change_new_delete(
	struct span category, struct span id, int64_t rev, int64_t seq, int64_t deleted_at)
{
	struct change *c = change_new(CHANGE_DELETE, category, id, seq);
	struct json_out o;
	struct buf json;

	if (c == NULL)
		return NULL;
	buf_init(&json, BODY_FIXED_MAX + ESCAPED_MAX * (category.n + id.n));
	o = json_out_start(&json);
	json_put_str(&o, "op", "delete");
	put_key(&o, category, id);
	json_put_int(&o, "rev", rev);
	json_put_int(&o, "deleted_at", deleted_at);
	return finish(c, &json);
}

/** The text of a "leave", as far as finish() wants it. */
static void
add_leave(struct buf *json, struct span category, struct span id)
{
	struct json_out o;

	buf_init(json, BODY_FIXED_MAX + ESCAPED_MAX * (category.n + id.n));
	o = json_out_start(json);
	json_put_str(&o, "op", "leave");
	put_key(&o, category, id);
}

struct change *
change_new_leave(struct span category, struct span id, int64_t seq)
{
	struct change *c = change_new(CHANGE_LEAVE, category, id, seq);
	struct buf json;

	if (c == NULL)
		return NULL;
	add_leave(&json, category, id);
	return finish(c, &json);
}

struct body *
change_leave_body(struct change *c)
{
	struct buf json;

	if (c->leave != NULL)
		return c->leave;
	add_leave(&json, c->category, c->id);
	c->leave = body_of(&json);
	must(c->leave != NULL); /* a name and an id: out of memory ends the process */
	return c->leave;
}

void
change_set_before(struct change *c, struct span data)
{
	char *copy = data.n > 0 ? try_alloc(data.n) : NULL;

	c->knows_before = data.n == 0 || copy != NULL;
	if (copy == NULL)
		return;
	memcpy(copy, data.p, data.n);
	c->before = (struct span){copy, data.n};
}

void
change_drop_before(struct change *c)
{
	free((char *)(uintptr_t)c->before.p);
	c->before = (struct span){NULL, 0};
	c->knows_before = false;
}

struct change *
change_ref(struct change *c)
{
	c->refs++;
	return c;
}

void
change_unref(struct change *c)
{
	if (c == NULL || --c->refs > 0)
		return;
	body_unref(c->body);
	body_unref(c->leave);
	change_drop_before(c);
	free(c);
}

static void
put_record(struct json_out *o, const struct record *r)
{
	put_key(o, r->category, r->id);
	json_put_string(o, "name", r->name);
	json_put_raw(o, "data", r->data);
	json_put_int(o, "rev", r->rev);
	json_put_int(o, "seq", r->seq);
	put_times(o, r);
}

void
record_add_json(struct buf *out, const struct record *r)
{
	struct json_out o = json_out_start(out);

	json_begin_object(&o, NULL);
	put_record(&o, r);
	json_end_object(&o);
}

void
version_add_json(struct buf *out, const struct record *r, bool is_deletion)
{
	struct json_out o = json_out_start(out);

	json_begin_object(&o, NULL);
	json_put_str(&o, "op", is_deletion ? "delete" : "put");
	if (is_deletion) {
		put_key(&o, r->category, r->id);
		json_put_int(&o, "rev", r->rev);
		json_put_int(&o, "seq", r->seq);
		json_put_int(&o, "deleted_at", r->updated_at);
	} else {
		put_record(&o, r);
	}
	json_end_object(&o);
}

void
tail_fini(struct tail *t)
{
	for (size_t i = 0; i < t->n; i++)
		change_unref(t->changes[i]);
	free(t->changes);
	*t = (struct tail){.changes = NULL};
}
