/* The words of the answers to writes: see answer.h. */

#include "daemon/store/answer.h"

#include "common/json.h"

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

void
answer_write(struct job *j)
{
	struct json_out o = json_out_start(&j->reply);

	if (j->origin.id.n == 0 || j->ops_n == 0)
		return;
	if (j->ops[0].kind == OP_DELETE)
		delete_result(&o, j);
	else if (j->is_many)
		put_many_result(&o, j);
	else
		put_result(&o, &j->ops[0]);
}
