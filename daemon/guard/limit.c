/* What clients may use: see limit.h. */

#include "daemon/guard/limit.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"

#define WAYS         8 /* places for an address */
#define LOG_EVERY_MS 10000

enum { SESSION, ADDRESS, CONNECT, TOTAL, RATES_N };

static const char *const names[RATES_N] = {
	[SESSION] = "session",
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

struct limits {
	struct rate rates[RATES_N];
	struct bucket total;
	struct owner *owners;
	size_t sets_n; /* of WAYS owners each */
	unsigned char key[crypto_shorthash_KEYBYTES];
	struct network *exempt;
	size_t exempt_n;
	uint64_t generation;
	int64_t next_log_ms;
	uint64_t unlogged; /* refusals since the last line */
	struct counter refused[RATES_N];
	struct counter forgotten; /* addresses that were short of tokens */
};

static void
adopt(struct limits *l, const struct conf *conf)
{
	const struct conf_list *exempt = &conf->limits.exempt;

	l->rates[SESSION] = conf->limits.session;
	l->rates[ADDRESS] = conf->limits.address;
	l->rates[CONNECT] = conf->limits.connections;
	l->rates[TOTAL] = conf->limits.total;
	l->exempt = xnew_n(exempt->n + 1, struct network);
	l->exempt_n = exempt->n;
	for (size_t i = 0; i < exempt->n; i++)
		must(network_parse(span_of(exempt->v[i]), &l->exempt[i]));
	l->sets_n = ((size_t)conf->limits.addresses + WAYS - 1) / WAYS;
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
limits_new(const struct conf *conf, struct stats *stats)
{
	struct limits *l = xnew(struct limits);

	crypto_shorthash_keygen(l->key);
	adopt(l, conf);
	stats_add_counter(stats, "sysrt_limits_session_refused_total", &l->refused[SESSION]);
	stats_add_counter(stats, "sysrt_limits_address_refused_total", &l->refused[ADDRESS]);
	stats_add_counter(stats, "sysrt_limits_connections_refused_total", &l->refused[CONNECT]);
	stats_add_counter(stats, "sysrt_limits_total_refused_total", &l->refused[TOTAL]);
	stats_add_counter(stats, "sysrt_limits_addresses_forgotten_total", &l->forgotten);
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
	let_go(l);
	adopt(l, conf);
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
		counter_add(&l->forgotten, 1);
	return best;
}

/** The address's owner in the table; a new one takes a place. */
static struct owner *
find(struct limits *l, const struct address *address, int64_t now_ms)
{
	struct address key = address_owner(address);
	struct owner *set = set_of(l, &key), *place;

	for (struct owner *o = set; o < set + WAYS; o++)
		if (o->is_used && memcmp(&o->address, &key, sizeof(key)) == 0)
			return o;
	place = choose_place(l, set, now_ms);
	*place = (struct owner){.address = key, .is_used = true};
	return place;
}

/** One line for all that is refused in a while. */
static void
log_refusal(struct limits *l, const char *bucket, const struct address *a, int64_t now_ms)
{
	char text[ADDRESS_TEXT_SIZE];

	l->unlogged++;
	if (now_ms < l->next_log_ms)
		return;
	address_format(a, false, text);
	log_warn("limits", "rate limit reached", F_STR("bucket", bucket), F_STR("address", text),
		F_INT("refused", l->unlogged));
	l->next_log_ms = now_ms + LOG_EVERY_MS;
	l->unlogged = 0;
}

bool
limits_admit(struct limits *l, const struct address *address, int64_t now_ms)
{
	struct owner *o;
	int64_t retry_after_ms;

	if (rate_is_unlimited(&l->rates[CONNECT]) || is_exempt(l, address))
		return true;
	o = find(l, address, now_ms);
	if (bucket_take(&o->connects, &l->rates[CONNECT], 1, now_ms, &retry_after_ms))
		return true;
	o->refused++;
	counter_add(&l->refused[CONNECT], 1);
	log_refusal(l, names[CONNECT], address, now_ms);
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
		s->bucket = (struct bucket){0};
	}
	return s->has_address && !s->is_exempt;
}

/** Why a request is not run. */
struct refusal {
	int kind; /* of the bucket that had not enough */
	int64_t retry_after_ms;
	int64_t level;
};

static enum err
refuse(struct limits *l, struct limited *s, const struct refusal *r, struct error *error)
{
	const struct rate *rate = &l->rates[r->kind];
	char text[RATE_TEXT_SIZE];

	s->refused++;
	s->refused_ms = clock_wall_ms();
	s->by = names[r->kind];
	counter_add(&l->refused[r->kind], 1);
	rate_format(rate, text);
	error_set(error, ERR_RATE_LIMITED,
		"too fast: try again in %" PRId64 " ms (limits.%s is \"%s\")", r->retry_after_ms,
		names[r->kind], text);
	error->limit = (struct error_limit){names[r->kind], r->retry_after_ms, r->level, *rate};
	return ERR_RATE_LIMITED;
}

/** Takes the cost from all that are not NULL, or from none: then *refusal says which had not
 * enough. */
static bool
take_all(struct limits *l, struct bucket *const buckets[RATES_N], int64_t cost, int64_t now_ms,
	struct refusal *refusal)
{
	for (int kind = 0; kind < RATES_N; kind++) {
		if (buckets[kind] == NULL || bucket_take(buckets[kind], &l->rates[kind], cost,
						     now_ms, &refusal->retry_after_ms))
			continue;
		refusal->kind = kind;
		while (kind-- > 0)
			if (buckets[kind] != NULL)
				bucket_give(buckets[kind], &l->rates[kind], cost);
		return false;
	}
	return true;
}

enum err
limits_take(struct limits *l, struct limited *s, int64_t cost, int64_t now_ms, struct error *error)
{
	struct bucket *buckets[RATES_N] = {[SESSION] = &s->bucket, [TOTAL] = &l->total};
	struct refusal refusal = {.kind = SESSION};
	struct owner *owner = NULL;

	if (!is_limited(l, s))
		return OK;
	if (!rate_is_unlimited(&l->rates[ADDRESS])) {
		owner = find(l, &s->address, now_ms);
		buckets[ADDRESS] = &owner->requests;
	}
	if (take_all(l, buckets, cost, now_ms, &refusal))
		return OK;
	refusal.level = bucket_level(buckets[refusal.kind], &l->rates[refusal.kind], now_ms);
	if (owner != NULL)
		owner->refused++;
	log_refusal(l, names[refusal.kind], &s->address, now_ms);
	return refuse(l, s, &refusal, error);
}

struct limits_trial
limits_try(struct limits *l, const struct rate *pace, int64_t cost, int64_t for_ms)
{
	struct limits_trial t = {.first_refused_ms = -1};
	struct bucket session = {0}, address = {0}, total = {0};
	struct bucket *const buckets[RATES_N] = {
		[SESSION] = &session, [ADDRESS] = &address, [TOTAL] = &total};
	struct refusal refusal;

	for (; t.sent * pace->period_ms < for_ms * pace->count; t.sent++) {
		int64_t now_ms = t.sent * pace->period_ms / pace->count;

		if (take_all(l, buckets, cost, now_ms, &refusal)) {
			t.passed++;
		} else if (t.first_refused_ms < 0) {
			t.first_refused_ms = now_ms;
			t.first_refused_by = names[refusal.kind];
		}
	}
	return t;
}

static void
put_rate(struct json_out *o, const struct limits *l, int kind)
{
	char text[RATE_TEXT_SIZE];

	rate_format(&l->rates[kind], text);
	json_put_str(o, names[kind], text);
}

void
limits_add_hello(struct limits *l, struct limited *s, struct json_out *o)
{
	if (!is_limited(l, s))
		return;
	json_begin_object(o, "rates");
	put_rate(o, l, SESSION);
	put_rate(o, l, ADDRESS);
	put_rate(o, l, TOTAL);
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

	if (!is_limited(l, &copy))
		return;
	put_level(o, &copy.bucket, &l->rates[SESSION], now_ms);
	json_put_int(o, "refused", (int64_t)s->refused);
	if (s->by == NULL)
		return;
	json_put_int(o, "refused_at", s->refused_ms);
	json_put_str(o, "refused_by", s->by);
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
		put_rate(o, l, kind);
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
