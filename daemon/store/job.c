/*
 * Jobs: see job.h. The block is the job, its ops, and the room for their texts.
 */

#include "daemon/store/job.h"

#include <stdlib.h>
#include <string.h>

#include "common/secret.h"
#include "common/xalloc.h"
#include "daemon/store/client.h"

/* The private tail of a job: where the next text goes. */
struct job_block {
	struct job job;
	char *room;
	size_t room_n;
};

static struct job_block *
block_of(struct job *j)
{
	return (struct job_block *)(void *)j;
}

struct job *
job_new(enum job_kind kind, const struct origin *origin, size_t ops_n, size_t nbytes)
{
	size_t texts_n = nbytes + origin->id.n;
	size_t size = sizeof(struct job_block) + ops_n * sizeof(struct op) + texts_n;
	struct job_block *b = try_alloc(size);
	struct job *j;

	if (b == NULL)
		return NULL;
	memset(b, 0, sizeof(*b) + ops_n * sizeof(struct op));
	j = &b->job;
	j->item.nbytes = size;
	j->kind = kind;
	j->ops = (struct op *)(void *)(b + 1);
	j->ops_n = ops_n;
	for (size_t i = 0; i < ops_n; i++)
		j->ops[i].if_seq = -1;
	b->room = (char *)(j->ops + ops_n);
	b->room_n = texts_n;
	j->origin = *origin;
	j->origin.id = job_keep(j, origin->id);
	j->read.updated_after = INT64_MIN;
	j->read.updated_before = INT64_MAX;
	j->error = ERROR_NONE;
	buf_init(&j->reply, SIZE_MAX / 2);
	return j;
}

char *
job_room(struct job *j, size_t *n)
{
	*n = block_of(j)->room_n;
	return block_of(j)->room;
}

struct span
job_keep_written(struct job *j, size_t n)
{
	struct job_block *b = block_of(j);
	struct span kept = {b->room, n};

	must(n <= b->room_n);
	b->room += n;
	b->room_n -= n;
	return kept;
}

struct span
job_keep(struct job *j, struct span text)
{
	must(text.n <= block_of(j)->room_n);
	if (text.n > 0)
		memcpy(block_of(j)->room, text.p, text.n);
	return job_keep_written(j, text.n);
}

size_t
job_weight(const struct job *j)
{
	return j->ops_n > 0 && j->ops[0].sweep != NULL ? SWEEP_ROWS : j->ops_n;
}

bool
job_must_last(const struct job *j)
{
	return j->ops_n > 0 && (j->ops[0].kind == OP_STOW || j->ops[0].kind == OP_WITHDRAW);
}

size_t
job_done(const struct job *j)
{
	return j->ops_n > 0 && j->ops[0].sweep != NULL ? j->ops[0].sweep->n : j->ops_n;
}

static void
free_changes(struct change **changes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		change_unref(changes[i]);
	free(changes);
}

void
job_drop_results(struct job *j)
{
	for (size_t i = 0; i < j->ops_n; i++) {
		struct op *op = &j->ops[i];

		change_unref(op->change);
		change_unref(op->evicted);
		op->change = op->evicted = NULL;
		op->seq = op->rev = 0;
		op->created = op->skipped = false;
		if (op->sweep != NULL)
			sweep_reset(op->sweep);
	}
	free_changes(j->page.changes, j->page.n);
	j->page = (struct page){.changes = NULL};
	buf_reset(&j->reply);
	j->error = ERROR_NONE;
	j->result = OK;
}

void
job_renew(struct job *j)
{
	job_drop_results(j);
	client_unref(j->client);
	j->client = NULL;
	j->is_inside = false;
	j->ticket = 0;
}

void
job_fail(struct job *j, enum err code, const struct error *error)
{
	struct error copy = *error;

	job_drop_results(j);
	j->result = code;
	j->error = copy;
	j->error.code = code;
}

void
job_free(struct job *j)
{
	if (j == NULL)
		return;
	job_drop_results(j);
	for (size_t i = 0; i < j->ops_n; i++)
		sweep_free(j->ops[i].sweep);
	buf_fini(&j->reply);
	free(j->read.pattern);
	client_unref(j->client);
	if (j->is_secret)
		secret_wipe((struct span){(char *)j, j->item.nbytes});
	free(block_of(j));
}
