/* What a peer may do, and by which token: see peer.h. */

#include "daemon/peer/peer.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "daemon/api/reach.h"

#define CLOSE_TOKEN 4101

static bool
may_read(void *arg, const struct term *names, size_t n)
{
	return reach_covers(arg, SCOPE_READ, names, n);
}

void
peer_grant(struct peer *p, struct scopes *scopes)
{
	struct scopes *before = p->caller.scopes;

	p->caller.scopes = scopes_ref(scopes);
	scopes_unref(before);
	hub_withdraw(&p->subscriber, may_read, scopes, "this session may not read it any longer");
}

static void
set_token(struct peer *p, struct auth_token *token)
{
	struct auth_token *before = p->caller.token;

	p->caller.token = auth_token_ref(token);
	p->limited.allowance = auth_token_allowance(token);
	auth_token_unref(before);
	peer_grant(p, token != NULL ? token->scopes : NULL);
}

enum err
peer_admit(struct peer *p, struct auth_token *token, struct error *error)
{
	enum err e = OK;

	set_token(p, token);
	if (p->caller.must_auth)
		e = p->ops->welcome(p, error);
	if (e == OK)
		p->caller.must_auth = false;
	else
		set_token(p, NULL);
	return e;
}

static void
check_token(struct peer *p, void *arg)
{
	struct error error = ERROR_NONE;

	if (p->caller.token == NULL ||
		auth_token_check(p->caller.token, *(const int64_t *)arg, &error) == OK)
		return;
	log_info("auth", "session closed", F_INT("session", p->caller.id), F_ERROR(&error));
	p->ops->close(p, CLOSE_TOKEN, error.text);
	if (!p->is_gone)
		set_token(p, NULL);
}

void
peers_check_tokens(struct peers *ps, int64_t wall_ms)
{
	peers_each(ps, check_token, &wall_ms);
}

void
peer_describe(struct peer *p, char out[AUDIT_WHO_SIZE])
{
	size_t n;

	p->ops->describe(p, out);
	n = strlen(out);
	if (p->caller.token != NULL)
		snprintf(out + n, AUDIT_WHO_SIZE - n, " token %s", p->caller.token->name);
}
