/* Chains of writes: see chain.h. */

#include "daemon/store/chain.h"

static enum err
refuse(struct error *error)
{
	return error_set(error, ERR_UNAVAILABLE,
		"this was not done, as the write before it that it is chained to was not");
}

enum err
chain_admit(struct store_client *c, const struct job *j, struct error *error)
{
	if (c == NULL || j->kind != JOB_WRITE)
		return OK;
	if (j->is_chained && c->has_refused)
		return refuse(error);
	c->has_refused = false;
	return OK;
}

enum err
chain_check(const struct job *j, struct error *error)
{
	return j->is_chained && j->client->has_failed ? refuse(error) : OK;
}

void
chain_note(const struct qlist *jobs)
{
	for (const struct qitem *it = jobs->first; it != NULL; it = it->next) {
		const struct job *j = (const struct job *)(const void *)it;

		if (j->client != NULL)
			j->client->has_failed = j->result != OK;
	}
}
