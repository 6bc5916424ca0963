/*
 * The tokens in memory: see auth.h. They are found by the beginning of their keyed
 * hash, which nobody outside can aim at; what is found is compared in constant time.
 */

#include "daemon/guard/auth.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/guard/grant_text.h"

#define BUCKETS  1024 /* a power of two */
#define NOTE_MAX 1000 /* operations of one job */

struct auth {
	struct auth_token *buckets[BUCKETS];
	struct auth_token *named[BUCKETS]; /* the same by their names */
	unsigned n;
	bool has_key;
	unsigned char key[TOKEN_KEY_BYTES];
};

struct auth_token *
auth_token_ref(struct auth_token *t)
{
	if (t != NULL)
		t->refs++;
	return t;
}

void
auth_token_unref(struct auth_token *t)
{
	if (t == NULL || --t->refs > 0)
		return;
	scopes_unref(t->scopes);
	free(t);
}

enum err
auth_token_check(const struct auth_token *t, int64_t now_ms, struct error *error)
{
	if (now_ms >= t->expires_at)
		return error_set(
			error, ERR_UNAUTHENTICATED, "the token \"%s\" has expired", t->name);
	if (t->is_revoked)
		return error_set(
			error, ERR_UNAUTHENTICATED, "the token \"%s\" was revoked", t->name);
	return OK;
}

static unsigned
bucket_of(const char *hash)
{
	char start[5] = {hash[0], hash[1], hash[2], hash[3], '\0'};

	return (unsigned)strtoul(start, NULL, 16) & (BUCKETS - 1);
}

static unsigned
bucket_of_name(struct span name)
{
	uint32_t hash = 2166136261; /* FNV-1a: names are chosen by who may make tokens */

	for (size_t i = 0; i < name.n; i++)
		hash = (hash ^ (unsigned char)name.p[i]) * 16777619;
	return hash & (BUCKETS - 1);
}

/** Reads what it was granted; one of which that cannot be read may do nothing. */
static void
read_grant(struct auth_token *t, struct span grant)
{
	struct error error = ERROR_NONE;
	char *source = xasprintf("the token \"%s\"", t->name);
	struct span scopes;
	enum err e = OK;

	t->scopes = scopes_new(source);
	free(source);
	if (!grant_text_split(grant, &scopes, &t->allowance.rate))
		e = error_set(&error, ERR_INVALID_ARGUMENT, "its rate is none");
	if (e == OK)
		e = scopes_add(t->scopes, scopes, SCOPE_ALL, &error);
	if (e == OK)
		return;
	log_error("auth", "the scopes of a token cannot be read", F_STR("token", t->name),
		F_ERROR(&error));
	scopes_unref(t->scopes); /* what was read of them */
	t->scopes = NULL;
}

/** Adds a token. */
static void
add(struct auth *a, struct span name, struct span hash, struct span grant,
	const struct auth_token *like)
{
	struct auth_token *t = xnew(struct auth_token), **bucket, **named;

	must(name.n < sizeof(t->name) && hash.n < sizeof(t->hash));
	*t = *like;
	t->refs = 1;
	memcpy(t->name, name.p, name.n);
	memcpy(t->hash, hash.p, hash.n);
	read_grant(t, grant);
	bucket = &a->buckets[bucket_of(t->hash)];
	t->next = *bucket;
	*bucket = t;
	named = &a->named[bucket_of_name(name)];
	t->next_named = *named;
	*named = t;
	a->n++;
}

static int64_t
expiry_of(int64_t expires_at)
{
	return expires_at != 0 ? expires_at : INT64_MAX;
}

struct auth *
auth_new(const struct grant_list *list)
{
	struct auth *a = xnew(struct auth);
	size_t n = 0;

	if (list->key != NULL)
		a->has_key = sodium_hex2bin(a->key, sizeof(a->key), list->key, strlen(list->key),
				     NULL, &n, NULL) == 0 &&
			     n == sizeof(a->key);
	for (size_t i = 0; i < list->n; i++) {
		const struct grant *g = &list->v[i];

		if (strlen(g->name) > AUTH_NAME_MAX || strlen(g->hash) != TOKEN_HASH_SIZE - 1)
			continue; /* not ours: the table is open to whoever has the file */
		add(a, span_of(g->name), span_of(g->hash), span_of(g->scopes),
			&(struct auth_token){.created_at = g->created_at,
				.expires_at = expiry_of(g->expires_at),
				.used_at = g->used_at,
				.noted_at = g->used_at});
	}
	return a;
}

void
auth_free(struct auth *a)
{
	if (a == NULL)
		return;
	for (unsigned i = 0; i < BUCKETS; i++) {
		while (a->buckets[i] != NULL) {
			struct auth_token *t = a->buckets[i];

			a->buckets[i] = t->next;
			auth_token_unref(t);
		}
	}
	sodium_memzero(a->key, sizeof(a->key));
	free(a);
}

unsigned
auth_count(const struct auth *a)
{
	return a->n;
}

enum err
auth_find(struct auth *a, struct span text, int64_t now_ms, struct auth_token **out,
	struct error *error)
{
	char hash[TOKEN_HASH_SIZE];
	struct auth_token *t;
	enum err e;

	if (!token_is_whole(text))
		return error_set(error, ERR_UNAUTHENTICATED,
			"that is no token: it begins with sysrt_ and has 55 characters, of which the "
			"last six are its checksum");
	token_hash(a->key, text, hash);
	t = a->has_key ? a->buckets[bucket_of(hash)] : NULL;
	while (t != NULL && sodium_memcmp(t->hash, hash, sizeof(hash)) != 0)
		t = t->next;
	if (t == NULL)
		return error_set(error, ERR_UNAUTHENTICATED,
			"the token is not known: it was revoked, or is one of another store");
	e = auth_token_check(t, now_ms, error);
	if (e != OK)
		return e;
	t->used_at = now_ms;
	*out = t;
	return OK;
}

struct auth_token *
auth_find_name(struct auth *a, struct span name)
{
	struct auth_token *t = a->named[bucket_of_name(name)];

	while (t != NULL && !span_is(name, t->name))
		t = t->next_named;
	return t;
}

enum err
auth_find_certified(struct auth *a, const char *name, int64_t now_ms, struct auth_token **out,
	struct error *error)
{
	struct auth_token *t = auth_find_name(a, span_of(name));
	enum err e;

	if (t == NULL)
		return error_set(error, ERR_UNAUTHENTICATED,
			"the certificate is for \"%s\", and there is no token of that name", name);
	e = auth_token_check(t, now_ms, error);
	if (e != OK)
		return e;
	t->used_at = now_ms;
	*out = t;
	return OK;
}

enum err
auth_hash(const struct auth *a, struct span text, char out[TOKEN_HASH_SIZE], struct error *error)
{
	if (!a->has_key)
		return error_set(error, ERR_UNAVAILABLE,
			"the key of the tokens is damaged: `sysrtd store repair` makes another");
	if (a->n >= AUTH_TOKENS_MAX)
		return error_set(error, ERR_LIMIT_EXCEEDED,
			"there are %u tokens, the most there may be", a->n);
	token_hash(a->key, text, out);
	return OK;
}

static void
revoke(struct auth *a, struct auth_token *t)
{
	struct auth_token **at = &a->buckets[bucket_of(t->hash)];
	struct auth_token **named = &a->named[bucket_of_name(span_of(t->name))];

	while (*at != t)
		at = &(*at)->next;
	while (*named != t)
		named = &(*named)->next_named;
	*at = t->next;
	*named = t->next_named;
	a->n--;
	t->is_revoked = true;
	auth_token_unref(t);
}

static bool
revoke_name(struct auth *a, struct span name)
{
	struct auth_token *t = auth_find_name(a, name);

	if (t != NULL)
		revoke(a, t);
	return t != NULL;
}

static bool
revoke_expired(struct auth *a, int64_t upto_ms)
{
	unsigned before = a->n;

	for (unsigned i = 0; i < BUCKETS; i++) {
		struct auth_token *t = a->buckets[i], *next;

		for (; t != NULL; t = next) {
			next = t->next;
			if (t->expires_at <= upto_ms)
				revoke(a, t);
		}
	}
	return a->n < before;
}

bool
auth_take(struct auth *a, const struct op *op)
{
	bool has_revoked = false;

	if (op->kind == OP_WITHDRAW_EXPIRED)
		has_revoked = revoke_expired(a, op->expires_at);
	if (op->kind == OP_GRANT || op->kind == OP_WITHDRAW)
		has_revoked = revoke_name(a, op->name);
	if (op->kind == OP_GRANT)
		add(a, op->name, op->id, op->data,
			&(struct auth_token){
				.created_at = op->now_ms, .expires_at = expiry_of(op->expires_at)});
	return has_revoked;
}

struct allowance *
auth_token_allowance(struct auth_token *t)
{
	return t != NULL && !rate_is_unlimited(&t->allowance.rate) ? &t->allowance : NULL;
}

void
auth_token_put_rate(const struct auth_token *t, struct json_out *o)
{
	char text[RATE_TEXT_SIZE];

	if (rate_is_unlimited(&t->allowance.rate))
		return;
	rate_format(&t->allowance.rate, text);
	json_put_str(o, "rate", text);
}

static void
put_token(const struct auth_token *t, struct json_out *o)
{
	json_begin_object(o, NULL);
	json_put_str(o, "name", t->name);
	scopes_put_list(t->scopes, o, "scopes");
	auth_token_put_rate(t, o);
	json_put_int(o, "created_at", t->created_at);
	if (t->used_at != 0)
		json_put_int(o, "used_at", t->used_at);
	if (t->expires_at != INT64_MAX)
		json_put_int(o, "expires_at", t->expires_at);
	json_end_object(o);
}

static int
compare_names(const void *a, const void *b)
{
	const struct auth_token *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

void
auth_add_list(const struct auth *a, struct json_out *o)
{
	const struct auth_token **all = xnew_n(a->n + 1, const struct auth_token *);
	size_t n = 0;

	for (unsigned i = 0; i < BUCKETS; i++)
		for (const struct auth_token *t = a->buckets[i]; t != NULL; t = t->next)
			all[n++] = t;
	qsort(all, n, sizeof(*all), compare_names);
	for (size_t i = 0; i < n; i++)
		put_token(all[i], o);
	free(all);
}

static int64_t
full_at_ms(const struct auth_token *t)
{
	return bucket_full_at_ms(&t->allowance.bucket, &t->allowance.rate);
}

static int
compare_need(const void *a, const void *b)
{
	int64_t x = full_at_ms(*(const struct auth_token *const *)a),
		y = full_at_ms(*(const struct auth_token *const *)b);

	return (x < y) - (x > y);
}

void
auth_add_limits(const struct auth *a, size_t most, int64_t now_ms, struct json_out *o)
{
	const struct auth_token **all = xnew_n(a->n + 1, const struct auth_token *);
	size_t n = 0;

	for (unsigned i = 0; i < BUCKETS; i++)
		for (const struct auth_token *t = a->buckets[i]; t != NULL; t = t->next)
			if (!rate_is_unlimited(&t->allowance.rate))
				all[n++] = t;
	qsort(all, n, sizeof(*all), compare_need);
	for (size_t i = 0; i < n && i < most; i++) {
		const struct allowance *has = &all[i]->allowance;

		json_begin_object(o, NULL);
		json_put_str(o, "name", all[i]->name);
		auth_token_put_rate(all[i], o);
		json_put_int(o, "level", bucket_level(&has->bucket, &has->rate, now_ms));
		json_put_int(o, "refused", (int64_t)has->refused);
		json_end_object(o);
	}
	free(all);
}

/** Tokens whose last use is not noted, NOTE_MAX of them at most; returns how many. */
static size_t
find_used(struct auth *a, struct auth_token **used)
{
	size_t n = 0;

	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct auth_token *t = a->buckets[i]; t != NULL && n < NOTE_MAX; t = t->next)
			if (t->used_at > t->noted_at)
				used[n++] = t;
	return n;
}

static bool
has_expired_before(const struct auth *a, int64_t ms)
{
	for (unsigned i = 0; i < BUCKETS; i++)
		for (const struct auth_token *t = a->buckets[i]; t != NULL; t = t->next)
			if (t->expires_at <= ms)
				return true;
	return false;
}

struct job *
auth_tidy(struct auth *a, int64_t now_ms)
{
	struct auth_token **used = xnew_n(NOTE_MAX, struct auth_token *);
	size_t n = find_used(a, used);
	bool has_old = has_expired_before(a, now_ms - AUTH_EXPIRED_MS);
	struct job *j = n > 0 || has_old ? job_new(JOB_WRITE, &(struct origin){.kind = ORIGIN_NONE},
						   n + has_old, n * AUTH_NAME_MAX)
					 : NULL;

	if (j != NULL && has_old) {
		j->ops[n].kind = OP_WITHDRAW_EXPIRED;
		j->ops[n].expires_at = now_ms - AUTH_EXPIRED_MS;
	}
	for (size_t i = 0; j != NULL && i < n; i++) {
		j->ops[i].kind = OP_NOTE_USE;
		j->ops[i].name = job_keep(j, span_of(used[i]->name));
		j->ops[i].now_ms = used[i]->noted_at = used[i]->used_at;
	}
	free(used);
	return j;
}
