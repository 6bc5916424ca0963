/* What clients may use: see limit.h. */

#include "daemon/guard/limit.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"

#define WAYS        8    /* places for an address */
#define HOLD_MIN_MS 250  /* the first time */
#define HOLD_MAX_MS 1000 /* whoever is held back is not heard, not even when he hangs up */
#define HOLD_HAS_MS 100  /* of so long it has the tokens afterwards */
#define DOUBLINGS   2    /* of HOLD_MIN_MS that make HOLD_MAX_MS */
#define CALM_MS     5000 /* after so long without being held back a session is as any other */

/* As the rates stand in daemon/base/bounds.h. */
enum { SESSION, TOKEN, ADDRESS, CONNECT, TOTAL, RATES_N };

static const char *const names[RATES_N] = {
	[SESSION] = "session",
	[TOKEN] = "token",
	[ADDRESS] = "address",
	[CONNECT] = "connections",
	[TOTAL] = "total",
};

struct owner {
	struct address address;
	struct bucket requests;
	struct bucket connects;
	uint64_t refused; /* requests and connections */
	bool is_used;
};

_Static_assert(sizeof(struct owner) == 48, "the help of limits.addresses says so");

struct limits {
	struct rate rates[RATES_N]; /* but for the tokens' */
	struct rate refusals;       /* that a session is told */
	struct bucket total;
	struct owner *owners;
	size_t sets_n; /* of WAYS owners each */
	unsigned char key[crypto_shorthash_KEYBYTES];
	struct network *exempt;
	size_t exempt_n;
	uint64_t generation;
	struct bounds *bounds; /* borrowed */
};

static void
read_conf(struct limits *l, const struct conf *conf)
{
	const struct conf_list *exempt = &conf->limits.exempt;

	l->rates[SESSION] = conf->limits.session;
	l->rates[ADDRESS] = conf->limits.address;
	l->rates[CONNECT] = conf->limits.connections;
	l->rates[TOTAL] = conf->limits.total;
	l->refusals = conf->limits.refusals;
	l->exempt = xnew_n(exempt->n + 1, struct network);
	l->exempt_n = exempt->n;
	for (size_t i = 0; i < exempt->n; i++)
		must(network_parse(span_of(exempt->v[i]), &l->exempt[i]));
	l->sets_n = ((size_t)conf->limits.addresses + WAYS - 1) / WAYS;
}

static bool
has_same_conf(const struct limits *a, const struct limits *b)
{
	return memcmp(a->rates, b->rates, sizeof(a->rates)) == 0 &&
	       memcmp(&a->refusals, &b->refusals, sizeof(a->refusals)) == 0 &&
	       a->sets_n == b->sets_n && a->exempt_n == b->exempt_n &&
	       memcmp(a->exempt, b->exempt, a->exempt_n * sizeof(*a->exempt)) == 0;
}

/** All buckets are full. */
static void
begin(struct limits *l)
{
	l->owners = xcalloc(l->sets_n * WAYS, sizeof(*l->owners));
	l->total = (struct bucket){0};
	l->generation++;
}

static void
let_go(struct limits *l)
{
	free(l->owners);
	free(l->exempt);
}

struct limits *
limits_new(const struct conf *conf, struct bounds *bounds)
{
	struct limits *l = xnew(struct limits);

	crypto_shorthash_keygen(l->key);
	l->bounds = bounds;
	read_conf(l, conf);
	begin(l);
	return l;
}

void
limits_free(struct limits *l)
{
	if (l == NULL)
		return;
	let_go(l);
	free(l);
}

void
limits_reload(struct limits *l, const struct conf *conf)
{
	struct limits next = *l;

	read_conf(&next, conf);
	if (has_same_conf(l, &next)) {
		free(next.exempt);
		return;
	}
	let_go(l);
	*l = next;
	begin(l);
}

static bool
is_exempt(const struct limits *l, const struct address *a)
{
	for (size_t i = 0; i < l->exempt_n; i++)
		if (network_holds(&l->exempt[i], a))
			return true;
	return false;
}

/** When both its buckets are full again. */
static int64_t
full_at_ms(const struct limits *l, const struct owner *o)
{
	int64_t requests = bucket_full_at_ms(&o->requests, &l->rates[ADDRESS]);
	int64_t connects = bucket_full_at_ms(&o->connects, &l->rates[CONNECT]);

	return requests > connects ? requests : connects;
}

static struct owner *
set_of(const struct limits *l, const struct address *key)
{
	unsigned char hash[crypto_shorthash_BYTES];
	uint64_t n;

	crypto_shorthash(hash, key->bytes, sizeof(key->bytes), l->key);
	memcpy(&n, hash, sizeof(n));
	return l->owners + n % l->sets_n * WAYS;
}

/** The place of a new address in a set: one that nobody has, else that of who needs least. */
static struct owner *
choose_place(struct limits *l, struct owner *set, int64_t now_ms)
{
	struct owner *best = set;

	for (struct owner *o = set; o < set + WAYS && best->is_used; o++)
		if (!o->is_used || full_at_ms(l, o) < full_at_ms(l, best))
			best = o;
	if (best->is_used && full_at_ms(l, best) > now_ms)
		bounds_reach(l->bounds, BOUND_ADDRESSES, now_ms, 0);
	return best;
}

static bool
is_of(const struct owner *o, const struct address *key)
{
	return o->is_used && memcmp(&o->address, key, sizeof(*key)) == 0;
}

/** The address's owner in the table; a new one takes a place. */
static struct owner *
find(struct limits *l, const struct address *key, int64_t now_ms)
{
	struct owner *set = set_of(l, key), *place;

	for (struct owner *o = set; o < set + WAYS; o++)
		if (is_of(o, key))
			return o;
	place = choose_place(l, set, now_ms);
	*place = (struct owner){.address = *key, .is_used = true};
	return place;
}

/** That of a session's address, which mostly is where it was. */
static struct owner *
find_again(struct limits *l, struct limited *s, int64_t now_ms)
{
	struct address key = address_owner(&s->address);
	struct owner *o = &l->owners[s->place];

	if (!is_of(o, &key)) {
		o = find(l, &key, now_ms);
		s->place = (size_t)(o - l->owners);
	}
	return o;
}

/** Counts it; one line for all that is refused in a while. */
static void
note_refusal(struct limits *l, int kind, const struct address *a, int64_t now_ms)
{
	char text[ADDRESS_TEXT_SIZE];
	uint64_t times;

	if (!bounds_count(l->bounds, (enum bound)(BOUND_RATE_SESSION + kind), now_ms, &times))
		return;
	address_format(a, false, text);
	log_warn("limits", "rate limit reached", F_STR("bucket", names[kind]),
		F_STR("address", text), F_INT("refused", times));
}

bool
limits_admit(struct limits *l, const struct address *address, int64_t now_ms)
{
	struct address key;
	struct owner *o;
	int64_t retry_after_ms;

	if (rate_is_unlimited(&l->rates[CONNECT]) || is_exempt(l, address))
		return true;
	key = address_owner(address);
	o = find(l, &key, now_ms);
	if (bucket_take(&o->connects, &l->rates[CONNECT], 1, now_ms, &retry_after_ms))
		return true;
	o->refused++;
	note_refusal(l, CONNECT, address, now_ms);
	return false;
}

void
limited_init(struct limited *s, const struct address *address)
{
	*s = (struct limited){.address = *address, .has_address = true};
}

/** A session's exemption, as the configuration in force says. */
static bool
is_limited(const struct limits *l, struct limited *s)
{
	if (s->has_address && s->generation != l->generation) {
		s->generation = l->generation;
		s->is_exempt = is_exempt(l, &s->address);
		s->bucket = s->refusals = (struct bucket){0};
		s->held_until_ms = s->keeps = 0;
		s->place = 0; /* there is always one */
	}
	return s->has_address && !s->is_exempt;
}

bool
limited_is_restless(const struct limited *s, int64_t now_ms)
{
	return s->held_until_ms > 0 && now_ms < s->held_until_ms + CALM_MS;
}

/** A bucket that a request has to get its cost from. */
struct claim {
	struct bucket *bucket; /* NULL: it has not to */
	const struct rate *rate;
};

/** Why a request is not run. */
struct refusal {
	int kind; /* of the bucket that had not enough */
	struct rate rate;
	struct owner *owner; /* the address's, or NULL */
	int64_t retry_after_ms;
	int64_t level;
};

/** Not read until the bucket has what was wanted, and longer each time, unless it is full by then;
 * never for long. */
static void
hold(struct limits *l, struct limited *s, const struct refusal *r, int64_t cost, int64_t now_ms)
{
	int64_t full_ms = r->rate.burst * r->rate.period_ms / r->rate.count + 1;
	int64_t wait_ms;

	if (limited_is_held(s, now_ms))
		return; /* the rest of a batch */
	s->in_a_row = limited_is_restless(s, now_ms) ? s->in_a_row + 1 : 0;
	if (s->in_a_row > DOUBLINGS)
		s->in_a_row = DOUBLINGS;
	wait_ms = HOLD_MIN_MS << s->in_a_row;
	if (full_ms < wait_ms)
		wait_ms = full_ms;
	if (r->retry_after_ms > wait_ms)
		wait_ms = r->retry_after_ms;
	s->held_until_ms = now_ms + (wait_ms < HOLD_MAX_MS ? wait_ms : HOLD_MAX_MS);
	s->keeps = cost;
	s->held_by = names[r->kind];
	s->holds++;
	bounds_reach(l->bounds, BOUND_REFUSALS, now_ms, 0);
}

static enum err
refuse(struct limited *s, const struct refusal *r, struct error *error)
{
	char text[RATE_TEXT_SIZE];

	s->refused++;
	s->refused_ms = clock_wall_ms();
	s->by = names[r->kind];
	if (r->owner != NULL)
		r->owner->refused++;
	if (r->kind == TOKEN)
		s->allowance->refused++;
	rate_format(&r->rate, text);
	error_set(error, ERR_RATE_LIMITED, "too fast: try again in %" PRId64 " ms (%s%s is \"%s\")",
		r->retry_after_ms, r->kind == TOKEN ? "the rate of the " : "limits.",
		names[r->kind], text);
	error->limit = (struct error_limit){names[r->kind], r->retry_after_ms, r->level, r->rate};
	return ERR_RATE_LIMITED;
}

/** Takes the cost from all buckets, or from none: then *refusal says which had not enough. */
static bool
take_all(const struct claim claims[RATES_N], int64_t cost, int64_t now_ms, struct refusal *refusal)
{
	for (int kind = 0; kind < RATES_N; kind++) {
		const struct claim *c = &claims[kind];

		if (c->bucket == NULL ||
			bucket_take(c->bucket, c->rate, cost, now_ms, &refusal->retry_after_ms))
			continue;
		refusal->kind = kind;
		refusal->rate = *c->rate;
		refusal->level = bucket_level(c->bucket, c->rate, now_ms);
		while (kind-- > 0)
			if (claims[kind].bucket != NULL)
				bucket_give(claims[kind].bucket, claims[kind].rate, cost);
		return false;
	}
	return true;
}

/** A session that was held back starts with little: what it wanted, so that a dear request is run
 * in the end, or what comes in a short while. */
static void
cap(const struct limits *l, struct limited *s)
{
	const struct rate *r = &l->rates[SESSION];
	int64_t few = rate_is_unlimited(r) ? 0 : r->count * HOLD_HAS_MS / r->period_ms;

	bucket_cap(&s->bucket, r, few > s->keeps ? few : s->keeps, s->held_until_ms);
	s->keeps = 0;
}

/** The buckets of a session; returns that of its address in the table, if that counts. */
static struct owner *
claim(struct limits *l, struct limited *s, int64_t now_ms, struct claim claims[RATES_N])
{
	struct owner *owner = NULL;

	if (s->allowance != NULL)
		claims[TOKEN] = (struct claim){&s->allowance->bucket, &s->allowance->rate};
	if (is_limited(l, s)) {
		if (s->keeps > 0 && !limited_is_held(s, now_ms))
			cap(l, s);
		claims[SESSION] = (struct claim){&s->bucket, &l->rates[SESSION]};
		claims[TOTAL] = (struct claim){&l->total, &l->rates[TOTAL]};
		if (!rate_is_unlimited(&l->rates[ADDRESS])) {
			owner = find_again(l, s, now_ms);
			claims[ADDRESS] = (struct claim){&owner->requests, &l->rates[ADDRESS]};
		}
	}
	return owner;
}

/** Takes the cost from all buckets of the session; if not, *refusal says why. */
static bool
take(struct limits *l, struct limited *s, int64_t cost, int64_t now_ms, struct refusal *refusal)
{
	struct claim claims[RATES_N] = {{.bucket = NULL}};

	refusal->owner = claim(l, s, now_ms, claims);
	return take_all(claims, cost, now_ms, refusal);
}

enum err
limits_take(struct limits *l, struct limited *s, int64_t cost, int64_t now_ms, struct error *error)
{
	struct refusal refusal;
	int64_t next_ms;

	if (take(l, s, cost, now_ms, &refusal))
		return OK;
	note_refusal(l, refusal.kind, &s->address, now_ms);
	if (!bucket_take(&s->refusals, &l->refusals, 1, now_ms, &next_ms))
		hold(l, s, &refusal, cost, now_ms);
	return refuse(s, &refusal, error);
}

void
limits_settle(struct limits *l, struct limited *s, int64_t now_ms)
{
	int64_t cost = (int64_t)(s->owed / LIMITS_BYTES);
	struct refusal refusal;

	if (cost == 0)
		return;
	if (take(l, s, cost, now_ms, &refusal))
		s->owed %= LIMITS_BYTES;
	else
		hold(l, s, &refusal, cost, now_ms);
}

struct limits_trial
limits_try(const struct limits *l, const struct rate *token, const struct rate *pace, int64_t cost,
	int64_t for_ms)
{
	struct limits_trial t = {.first_refused_ms = -1};
	struct bucket buckets[RATES_N] = {0};
	struct claim claims[RATES_N] = {
		[SESSION] = {&buckets[SESSION], &l->rates[SESSION]},
		[TOKEN] = {&buckets[TOKEN],   token             },
		[ADDRESS] = {&buckets[ADDRESS], &l->rates[ADDRESS]},
		[TOTAL] = {&buckets[TOTAL],   &l->rates[TOTAL]  },
	};
	struct refusal refusal;

	for (; t.sent * pace->period_ms < for_ms * pace->count; t.sent++) {
		int64_t now_ms = t.sent * pace->period_ms / pace->count;

		if (take_all(claims, cost, now_ms, &refusal)) {
			t.passed++;
		} else if (t.first_refused_ms < 0) {
			t.first_refused_ms = now_ms;
			t.first_refused_by = names[refusal.kind];
		}
	}
	return t;
}

static void
put_rate(struct json_out *o, int kind, const struct rate *rate)
{
	char text[RATE_TEXT_SIZE];

	rate_format(rate, text);
	json_put_str(o, names[kind], text);
}

void
limits_add_hello(struct limits *l, struct limited *s, struct json_out *o)
{
	bool is_subject = is_limited(l, s);

	if (!is_subject && s->allowance == NULL)
		return;
	json_begin_object(o, "rates");
	if (is_subject) {
		put_rate(o, SESSION, &l->rates[SESSION]);
		put_rate(o, ADDRESS, &l->rates[ADDRESS]);
		put_rate(o, TOTAL, &l->rates[TOTAL]);
	}
	if (s->allowance != NULL)
		put_rate(o, TOKEN, &s->allowance->rate);
	json_end_object(o);
}

static void
put_level(struct json_out *o, const struct bucket *b, const struct rate *r, int64_t now_ms)
{
	if (!rate_is_unlimited(r))
		json_put_int(o, "level", bucket_level(b, r, now_ms));
}

void
limited_add_status(struct limits *l, const struct limited *s, int64_t now_ms, struct json_out *o)
{
	struct limited copy = *s;
	bool is_subject = is_limited(l, &copy);

	if (!is_subject && s->allowance == NULL)
		return;
	if (is_subject)
		put_level(o, &copy.bucket, &l->rates[SESSION], now_ms);
	json_put_int(o, "refused", (int64_t)s->refused);
	if (s->by == NULL)
		return;
	json_put_int(o, "refused_at", s->refused_ms);
	json_put_str(o, "refused_by", s->by);
}

void
limited_add_buckets(struct limits *l, struct limited *s, int64_t now_ms, struct json_out *o)
{
	struct claim claims[RATES_N] = {{.bucket = NULL}};
	char text[RATE_TEXT_SIZE];

	claim(l, s, now_ms, claims);
	json_begin_array(o, "buckets");
	for (int kind = 0; kind < RATES_N; kind++) {
		const struct claim *c = &claims[kind];

		if (c->bucket == NULL || rate_is_unlimited(c->rate))
			continue;
		rate_format(c->rate, text);
		json_begin_object(o, NULL);
		json_put_str(o, "bucket", names[kind]);
		json_put_str(o, "rate", text);
		json_put_int(o, "level", bucket_level(c->bucket, c->rate, now_ms));
		json_end_object(o);
	}
	json_end_array(o);
}

/** Of two owners the one that is refused, or will be, sooner comes first. */
struct hot {
	const struct owner *owner;
	int64_t full_at_ms;
};

static int
compare_hot(const void *a, const void *b)
{
	int64_t x = ((const struct hot *)a)->full_at_ms, y = ((const struct hot *)b)->full_at_ms;

	return (x < y) - (x > y);
}

static void
put_owner(struct json_out *o, const struct limits *l, const struct owner *owner, int64_t now_ms)
{
	char text[ADDRESS_TEXT_SIZE];

	address_format(&owner->address, true, text);
	json_begin_object(o, NULL);
	json_put_str(o, "address", text);
	put_level(o, &owner->requests, &l->rates[ADDRESS], now_ms);
	if (!rate_is_unlimited(&l->rates[CONNECT]))
		json_put_int(o, "connections",
			bucket_level(&owner->connects, &l->rates[CONNECT], now_ms));
	json_put_int(o, "refused", (int64_t)owner->refused);
	json_end_object(o);
}

void
limits_add_list(const struct limits *l, size_t most, int64_t now_ms, struct json_out *o)
{
	struct hot *hot = xnew_n(l->sets_n * WAYS, struct hot);
	size_t n = 0;

	for (size_t i = 0; i < l->sets_n * WAYS; i++) {
		const struct owner *owner = &l->owners[i];

		if (owner->is_used)
			hot[n++] = (struct hot){owner, full_at_ms(l, owner)};
	}
	qsort(hot, n, sizeof(*hot), compare_hot);
	json_begin_object(o, "rates");
	for (int kind = 0; kind < RATES_N; kind++)
		if (kind != TOKEN)
			put_rate(o, kind, &l->rates[kind]);
	json_end_object(o);
	put_level(o, &l->total, &l->rates[TOTAL], now_ms);
	json_put_int(o, "addresses", (int64_t)n);
	json_put_int(o, "places", (int64_t)(l->sets_n * WAYS));
	json_begin_array(o, "items");
	for (size_t i = 0; i < n && i < most; i++)
		put_owner(o, l, hot[i].owner, now_ms);
	json_end_array(o);
	free(hot);
}
