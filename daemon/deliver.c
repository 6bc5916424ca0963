/* The store's sink: see deliver.h. */

#include "daemon/deliver.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/xalloc.h"

static void
collect(struct deliver *d, struct change *c)
{
	if (c == NULL)
		return;
	if (d->changes_n == d->changes_cap) {
		d->changes_cap = d->changes_cap > 0 ? 2 * d->changes_cap : 256;
		d->changes = xrealloc(d->changes, d->changes_cap, sizeof(struct change *));
	}
	d->changes[d->changes_n++] = c;
}

static void
collect_changes(struct deliver *d, const struct job *j)
{
	if (j->result != OK)
		return;
	for (size_t i = 0; i < j->ops_n; i++) {
		const struct sweep *sweep = j->ops[i].sweep;

		collect(d, j->ops[i].change);
		collect(d, j->ops[i].evicted);
		for (size_t at = 0; sweep != NULL && at < sweep->n; at++)
			collect(d, sweep->changes[at]);
	}
}

static void
note(struct deliver *d, const struct job *j)
{
	enum op_kind kind = j->ops_n == 1 ? j->ops[0].kind : OP_PUT;
	bool has_name = kind == OP_GRANT || kind == OP_WITHDRAW || kind == OP_FEED_SET ||
			kind == OP_FEED_DROP;

	gate_note(peers_api(d->peers), &(struct audit_entry){.what = j->origin.audited,
					       .session = j->origin.peer,
					       .name = has_name ? j->ops[0].name : SPAN(""),
					       .result = j->result,
					       .error = &j->error});
}

static void
answer(struct deliver *d, const struct job *j)
{
	struct peer *p = peers_find(d->peers, j->origin.peer);

	if (j->origin.audited != NULL)
		note(d, j);
	if (p == NULL)
		d->dropped++;
	else if (j->is_secret && j->result == OK)
		peer_answer_secret(p, &j->origin, buf_span(&j->reply));
	else
		peer_answer(p, &j->origin, j->result, buf_span(&j->reply), &j->error);
}

/** A restoration that is complete takes the store to a seq that no change has told. */
static bool
jumps(const struct job *j)
{
	const struct op *last = j->ops_n > 0 ? &j->ops[j->ops_n - 1] : NULL;

	return last != NULL && j->result == OK && last->kind == OP_REFILL_MARK && last->seq > 0;
}

/** What is known of feeds is so before the answer says so. */
static void
take_feeds(struct deliver *d, const struct job *j)
{
	bool is_feed =
		j->ops_n > 0 && (j->ops[0].kind == OP_FEED_SET || j->ops[0].kind == OP_FEED_DROP);

	if (is_feed && j->result == OK && d->feeds != NULL)
		feeds_take(d->feeds, &j->ops[0]);
}

/** True if the operation was done. A token that the store does not have counts as revoked: it may
 * have been by a commit whose outcome was not known. */
static bool
is_done(const struct job *j, const struct op *op)
{
	return j->result == OK || (j->result == ERR_NOT_FOUND && op->kind == OP_WITHDRAW);
}

/** A token is good before the answer says so; true if one is not any longer. */
static bool
take_tokens(struct deliver *d, const struct job *j)
{
	bool has_revoked = false;

	for (size_t i = 0; i < j->ops_n; i++)
		if (is_done(j, &j->ops[i]))
			has_revoked |= auth_take(d->auth, &j->ops[i]);
	return has_revoked;
}

static void
deliver_write(struct deliver *d, struct job **job)
{
	struct job *j = *job;
	bool has_revoked = take_tokens(d, j), does_jump = jumps(j);

	collect_changes(d, j);
	take_feeds(d, j);
	if (j->ops_n > 0 && j->ops[0].kind == OP_STOW)
		secrets_done(d->secrets, j);
	if (j->origin.kind == ORIGIN_FEED && d->feeds != NULL)
		feeds_done(d->feeds, job);
	else if (j->origin.kind != ORIGIN_NONE)
		answer(d, j);
	if (has_revoked)
		peers_check_tokens(d->peers, clock_wall_ms());
	if (does_jump)
		hub_replay_all(d->hub);
}

static void
deliver_one(struct deliver *d, struct job **job)
{
	struct job *j = *job;

	switch (j->kind) {
	case JOB_NOTICE:
		hub_replay_all(d->hub);
		break;
	case JOB_BACKUP:
		if (d->backups != NULL)
			backups_done(d->backups, j->result, &j->error, buf_span(&j->reply));
		break;
	case JOB_CHECK:
		if (j->wants_index)
			search_mend(d->search);
		errand_done(d->check, j);
		break;
	case JOB_COMPACT:
		errand_done(d->compaction, j);
		break;
	case JOB_REPLAY:
		hub_page_done(d->hub, job);
		break;
	case JOB_WRITE:
		deliver_write(d, job);
		break;
	case JOB_GET:
	case JOB_HISTORY:
	case JOB_LIST:
	case JOB_COUNT:
	case JOB_CATEGORIES:
	case JOB_SEARCH:
	case JOB_CHANGES:
		answer(d, j);
		break;
	}
}

static void
on_done(void *arg, struct qlist *jobs)
{
	struct deliver *d = arg;
	struct qlist done;
	struct qitem *it;

	qlist_init(&done);
	while ((it = qlist_shift(jobs)) != NULL) {
		struct job *j = (struct job *)(void *)it;

		deliver_one(d, &j);
		if (j != NULL)
			qlist_append(&done, &j->item);
	}
	hub_publish(d->hub, d->changes, d->changes_n);
	search_poke(d->search);
	d->changes_n = 0;
	while ((it = qlist_shift(&done)) != NULL)
		job_free((struct job *)(void *)it);
	peers_check_room(d->peers);
}

static void
on_room(void *arg, struct store_client *client)
{
	struct deliver *d = arg;
	struct peer *p = peers_find(d->peers, store_client_id(client));

	if (p != NULL)
		peer_check_room(p);
}

struct store_sink
deliver_sink(struct deliver *d)
{
	return (struct store_sink){on_done, on_room, d};
}

void
deliver_fini(struct deliver *d)
{
	free(d->changes);
}
