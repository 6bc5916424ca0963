#pragma once
/*
 * The tokens that are good, in memory: looked up when one is shown, changed when the
 * store has committed that. What a token may do and until when goes with it: sessions
 * hold a reference. Loop thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/json.h"
#include "daemon/guard/limit.h"
#include "daemon/guard/scope.h"
#include "daemon/guard/token.h"
#include "daemon/store/grant.h"
#include "daemon/store/job.h"

#define AUTH_TOKENS_MAX 100000
#define AUTH_NAME_MAX   128
#define AUTH_EXPIRED_MS INT64_C(604800000) /* so long after its time a token is still listed */

/** One that is shown, or was. Counted. */
struct auth_token {
	unsigned refs;
	bool is_revoked;
	char name[AUTH_NAME_MAX + 1];
	char hash[TOKEN_HASH_SIZE];
	struct scopes *scopes;
	struct allowance allowance; /* of all sessions that use it */
	int64_t created_at;
	int64_t expires_at;      /* INT64_MAX: never */
	int64_t used_at;         /* 0: not yet */
	int64_t noted_at;        /* what the store has of that */
	struct auth_token *next; /* of its bucket, and of that by its name */
	struct auth_token *next_named;
};

struct auth;

/** With what the store has. */
struct auth *auth_new(const struct grant_list *list);
void auth_free(struct auth *a);
unsigned auth_count(const struct auth *a);

struct auth_token *auth_token_ref(struct auth_token *t);
void auth_token_unref(struct auth_token *t);
/** OK, or ERR_UNAUTHENTICATED: it was revoked, or has expired. */
enum err auth_token_check(const struct auth_token *t, int64_t now_ms, struct error *error);

/** The token with this text (borrowed). ERR_UNAUTHENTICATED says why there is none that is good. */
enum err auth_find(struct auth *a, struct span text, int64_t now_ms, struct auth_token **out,
	struct error *error);
/** The token of this name (borrowed), or NULL. */
struct auth_token *auth_find_name(struct auth *a, struct span name);
/** The same for who has shown a certificate for the name. ERR_UNAUTHENTICATED. */
enum err auth_find_certified(struct auth *a, const char *name, int64_t now_ms,
	struct auth_token **out, struct error *error);
/** The hash that a new token is kept as. ERR_UNAVAILABLE: the store has no key;
 * ERR_LIMIT_EXCEEDED: there are too many. */
enum err auth_hash(
	const struct auth *a, struct span text, char out[TOKEN_HASH_SIZE], struct error *error);
/** An operation that was done, if it is about tokens. True: one was revoked. */
bool auth_take(struct auth *a, const struct op *op);
/** What its sessions may use together; NULL: no rate of its own. */
struct allowance *auth_token_allowance(struct auth_token *t);
/** Writes its rate, if it has one. */
void auth_token_put_rate(const struct auth_token *t, struct json_out *o);
/** Writes all of them as items of a list, by name. */
void auth_add_list(const struct auth *a, struct json_out *o);
/** Writes those that have a rate, `most` of them, as items of a list: those first that are nearest
 * to their limits. now_ms: monotonic. */
void auth_add_limits(const struct auth *a, size_t most, int64_t now_ms, struct json_out *o);
/** A job that notes which tokens were used since that was last noted, and removes those that have
 * been void for AUTH_EXPIRED_MS; NULL: there are none. */
struct job *auth_tidy(struct auth *a, int64_t now_ms);
