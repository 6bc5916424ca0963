/* Merge patches: see patch.h. */

#include "daemon/store/patch.h"

#include "common/json_merge.h"

void
patch_init(struct patch *p, const struct op *op)
{
	*p = (struct patch){.put = *op, .change = op->data};
	p->put.kind = OP_PUT;
	p->put.mode = PUT_REPLACE;
	p->put.if_seq = -1;
	buf_init(&p->name, SIZE_MAX / 2);
	buf_init(&p->data, (size_t)op->max_data);
}

void
patch_fini(struct patch *p)
{
	buf_fini(&p->name);
	buf_fini(&p->data);
}

enum err
patch_merge(struct patch *p, struct span name, struct span data, struct error *error)
{
	buf_add_span(&p->name, name);
	if (!json_merge_patch(json_value_of(data), json_value_of(p->change), &p->data) ||
		p->name.failed)
		return error_set(error, ERR_UNAVAILABLE, "out of memory");
	if (p->data.failed)
		return error_set(error, ERR_LIMIT_EXCEEDED,
			"data would have more than %lld bytes (store.max_record, or max_data of "
			"its category)",
			(long long)p->put.max_data);
	p->put.name = buf_span(&p->name);
	p->put.data = buf_span(&p->data);
	return OK;
}

void
patch_take_results(struct patch *p, struct op *op)
{
	op->seq = p->put.seq;
	op->rev = p->put.rev;
	op->change = p->put.change;
	op->evicted = p->put.evicted;
}
