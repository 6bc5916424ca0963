/* The words of the answers to writes: see answer.h. */

#include "daemon/store/answer.h"

#include <stdio.h>

#include "common/json.h"
#include "common/xalloc.h"
#include "daemon/guard/grant_text.h"
#include "daemon/guard/scope.h"

static void
put_result(struct json_out *o, const struct op *op)
{
	json_begin_object(o, NULL);
	json_put_string(o, "category", op->category);
	json_put_string(o, "id", op->id);
	json_put_int(o, "seq", op->seq);
	json_put_int(o, "rev", op->rev);
	json_put_bool(o, "created", op->created);
	if (op->skipped)
		json_put_bool(o, "skipped", true);
	json_end_object(o);
}

static void
put_many_result(struct json_out *o, const struct job *j)
{
	int64_t created = 0, skipped = 0, seq = 0;

	for (size_t i = 0; i < j->ops_n; i++) {
		created += j->ops[i].created;
		skipped += j->ops[i].skipped;
		seq = j->ops[i].seq > seq ? j->ops[i].seq : seq;
	}
	json_begin_object(o, NULL);
	json_put_int(o, "count", (int64_t)j->ops_n);
	json_put_int(o, "created", created);
	json_put_int(o, "skipped", skipped);
	json_put_int(o, "seq", seq);
	if (j->wants_results) {
		json_begin_array(o, "results");
		for (size_t i = 0; i < j->ops_n; i++)
			put_result(o, &j->ops[i]);
		json_end_array(o);
	}
	json_end_object(o);
}

/** The first and the last operation are no records. */
static void
refill_result(struct json_out *o, const struct job *j)
{
	int64_t skipped = 0, seq = 0;

	for (size_t i = 0; i < j->ops_n; i++) {
		skipped += j->ops[i].skipped;
		seq = j->ops[i].seq > seq ? j->ops[i].seq : seq;
	}
	json_begin_object(o, NULL);
	json_put_int(o, "count", (int64_t)j->ops_n - 2);
	json_put_int(o, "skipped", skipped);
	json_put_int(o, "seq", seq);
	json_end_object(o);
}

static void
delete_result(struct json_out *o, const struct job *j)
{
	int64_t deleted = 0, seq = 0;

	for (size_t i = 0; i < j->ops_n; i++) {
		deleted += j->ops[i].seq != 0;
		seq = j->ops[i].seq > seq ? j->ops[i].seq : seq;
	}
	json_begin_object(o, NULL);
	if (j->is_many)
		json_put_int(o, "deleted", deleted);
	else
		json_put_bool(o, "deleted", deleted > 0);
	if (seq != 0)
		json_put_int(o, "seq", seq);
	json_end_object(o);
}

/** The cursor is there when there is more to look at. */
static void
delete_where_result(struct json_out *o, const struct op *op)
{
	char cursor[24];

	json_begin_object(o, NULL);
	json_put_int(o, "deleted", (int64_t)op->sweep->n);
	if (op->seq != 0)
		json_put_int(o, "seq", op->seq);
	if (op->sweep->end != 0) {
		snprintf(cursor, sizeof(cursor), "%lld", (long long)op->sweep->end);
		json_put_str(o, "cursor", cursor);
	}
	json_end_object(o);
}

/** The only time that the token's text is told. */
static void
grant_result(struct json_out *o, const struct op *op)
{
	char form[RATE_TEXT_SIZE];
	struct span scopes;
	struct rate rate;

	must(grant_text_split(op->data, &scopes, &rate));
	json_begin_object(o, NULL);
	json_put_string(o, "name", op->name);
	json_put_string(o, "token", op->category);
	scope_put_list(o, "scopes", scopes);
	if (!rate_is_unlimited(&rate)) {
		rate_format(&rate, form);
		json_put_str(o, "rate", form);
	}
	json_put_int(o, "created_at", op->now_ms);
	if (op->expires_at != 0)
		json_put_int(o, "expires_at", op->expires_at);
	json_end_object(o);
}

static void
feed_result(struct json_out *o, const struct op *op)
{
	json_begin_object(o, NULL);
	json_put_string(o, "name", op->name);
	json_put_bool(o, "created", op->created);
	json_put_int(o, "version", op->rev);
	json_put_int(o, "updated_at", op->now_ms);
	json_end_object(o);
}

void
answer_write(struct job *j)
{
	struct json_out o = json_out_start(&j->reply);

	if (j->origin.id.n == 0 || j->ops_n == 0)
		return;
	if (j->ops[0].kind == OP_DELETE)
		delete_result(&o, j);
	else if (j->ops[0].kind == OP_DELETE_WHERE)
		delete_where_result(&o, &j->ops[0]);
	else if (j->ops[0].kind == OP_REFILL_CHECK)
		refill_result(&o, j);
	else if (j->ops[0].kind == OP_GRANT)
		grant_result(&o, &j->ops[0]);
	else if (j->ops[0].kind == OP_FEED_SET)
		feed_result(&o, &j->ops[0]);
	else if (j->ops[0].kind == OP_WITHDRAW || j->ops[0].kind == OP_FEED_DROP)
		buf_add(&j->reply, "{}", 2);
	else if (j->is_many)
		put_many_result(&o, j);
	else
		put_result(&o, &j->ops[0]);
}
