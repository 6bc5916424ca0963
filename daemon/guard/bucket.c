/* Token buckets: see bucket.h. */

#include "daemon/guard/bucket.h"

static int64_t
parts_of(const struct rate *r, int64_t tokens)
{
	return (tokens < r->burst ? tokens : r->burst) * r->period_ms;
}

static int64_t
divide_up(int64_t n, int64_t by)
{
	return n / by + (n % by > 0);
}

bool
bucket_take(struct bucket *b, const struct rate *r, int64_t cost, int64_t now_ms,
	int64_t *retry_after_ms)
{
	int64_t now, full_at, next, over;

	if (rate_is_unlimited(r))
		return true;
	now = now_ms * r->count;
	full_at = atomic_load_explicit(&b->full_at, memory_order_relaxed);
	do {
		next = (full_at > now ? full_at : now) + parts_of(r, cost);
		over = next - now - r->burst * r->period_ms;
		if (over > 0) {
			*retry_after_ms = divide_up(over, r->count);
			return false;
		}
	} while (!atomic_compare_exchange_weak_explicit(
		&b->full_at, &full_at, next, memory_order_relaxed, memory_order_relaxed));
	return true;
}

void
bucket_give(struct bucket *b, const struct rate *r, int64_t cost)
{
	if (!rate_is_unlimited(r))
		atomic_fetch_sub_explicit(&b->full_at, parts_of(r, cost), memory_order_relaxed);
}

void
bucket_cap(struct bucket *b, const struct rate *r, int64_t most, int64_t now_ms)
{
	int64_t least, full_at;

	if (rate_is_unlimited(r) || most >= r->burst)
		return;
	least = now_ms * r->count + (r->burst - most) * r->period_ms;
	full_at = atomic_load_explicit(&b->full_at, memory_order_relaxed);
	while (full_at < least && !atomic_compare_exchange_weak_explicit(&b->full_at, &full_at,
					  least, memory_order_relaxed, memory_order_relaxed))
		;
}

int64_t
bucket_level(const struct bucket *b, const struct rate *r, int64_t now_ms)
{
	int64_t missing;

	if (rate_is_unlimited(r))
		return INT64_MAX;
	missing = atomic_load_explicit(&b->full_at, memory_order_relaxed) - now_ms * r->count;
	return missing <= 0 ? r->burst : r->burst - divide_up(missing, r->period_ms);
}

int64_t
bucket_full_at_ms(const struct bucket *b, const struct rate *r)
{
	return rate_is_unlimited(r)
		       ? 0
		       : divide_up(
				 atomic_load_explicit(&b->full_at, memory_order_relaxed), r->count);
}
