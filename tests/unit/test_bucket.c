/*
 * Token buckets against an exact model: random rates, costs and times. From several
 * threads at once the sum of what is taken lies between the bounds to the token.
 *
 * threads: yes
 */

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/xalloc.h"
#include "daemon/guard/bucket.h"

#define ROUNDS  100
#define STEPS   1000
#define THREADS 4
#define TICKS   2000 /* ms that the threads go through */

static unsigned
seed(void)
{
	const char *text = getenv("SYSRT_SEED");
	unsigned n = text != NULL ? (unsigned)strtoul(text, NULL, 10) : (unsigned)time(NULL);

	printf("SYSRT_SEED=%u\n", n);
	return n;
}

static int64_t
random_below(int64_t n)
{
	return (int64_t)(((uint64_t)rand() << 31 | (uint64_t)rand()) % (uint64_t)n);
}

static struct rate
random_rate(void)
{
	static const int64_t periods[] = {1000, 60000, 3600000};
	int64_t most = rand() % 4 == 0 ? RATE_COUNT_MAX : 100;
	struct rate r = {1 + random_below(most), periods[rand() % 3], 1 + random_below(most)};

	return r;
}

/** What is there, in parts of a token, kept the plain way. */
struct model {
	__int128 parts;
	int64_t at_ms;
};

static void
model_refill(struct model *m, const struct rate *r, int64_t now_ms)
{
	__int128 most = (__int128)r->burst * r->period_ms;

	m->parts += (__int128)r->count * (now_ms - m->at_ms);
	if (m->parts > most)
		m->parts = most;
	m->at_ms = now_ms;
}

START_TEST(test_it_is_what_the_model_says)
{
	srand(seed());
	for (int round = 0; round < ROUNDS; round++) {
		struct rate r = random_rate();
		int64_t now_ms = random_below(INT64_C(1) << 40);
		int64_t pace_ms = 1 + random_below(2 * r.period_ms / r.count + 2);
		struct bucket b = {0}, copy;
		struct model m = {(__int128)r.burst * r.period_ms, now_ms};

		for (int step = 0; step < STEPS; step++) {
			int64_t cost = 1 + random_below(rand() % 8 == 0 ? 2 * r.burst : 4);
			int64_t parts = (cost < r.burst ? cost : r.burst) * r.period_ms;
			int64_t wait_ms = -1, other_ms;

			now_ms += rand() % 50 == 0 ? random_below(1000000) : random_below(pace_ms);
			model_refill(&m, &r, now_ms);
			must(bucket_level(&b, &r, now_ms) == (int64_t)(m.parts / r.period_ms));
			if (m.parts >= parts) {
				must(bucket_take(&b, &r, cost, now_ms, &wait_ms));
				m.parts -= parts;
				continue;
			}
			must(!bucket_take(&b, &r, cost, now_ms, &wait_ms));
			must(wait_ms >= 1);
			copy = b;
			must(!bucket_take(&copy, &r, cost, now_ms + wait_ms - 1, &other_ms));
			must(bucket_take(&copy, &r, cost, now_ms + wait_ms, &other_ms));
		}
	}
}
END_TEST

/** Asked for more than there is, all the time. */
START_TEST(test_no_drift)
{
	static const struct rate rates[] = {
		{7,    1000,    3},
                {1000, 1000,    4},
                {11,   60000,   5},
                {13,   3600000, 2}
        };

	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		const struct rate *r = &rates[i];
		int64_t end_ms = 1000 * r->period_ms, passed = 0, wait_ms;
		int64_t step_ms = r->period_ms / r->count / 2;
		struct bucket b = {0};

		for (int64_t now_ms = 0; now_ms <= end_ms; now_ms += 1 + step_ms)
			while (bucket_take(&b, r, 1, now_ms, &wait_ms))
				passed++;
		ck_assert_int_le(passed, r->burst + r->count * 1000);
		ck_assert_int_ge(passed, r->burst + r->count * 1000 - 2);
	}
}
END_TEST

START_TEST(test_what_is_given_back_is_there)
{
	struct rate r = {10, 1000, 10};
	struct bucket b = {0};
	int64_t wait_ms;

	ck_assert(bucket_take(&b, &r, 7, 5, &wait_ms));
	bucket_give(&b, &r, 7);
	ck_assert_int_eq(bucket_level(&b, &r, 5), 10);
	ck_assert_int_eq(bucket_level(&b, &r, 50000), 10);
}
END_TEST

START_TEST(test_unlimited)
{
	struct rate r = RATE_UNLIMITED;
	struct bucket b = {0};
	int64_t wait_ms;

	for (int i = 0; i < 1000; i++)
		ck_assert(bucket_take(&b, &r, RATE_BURST_MAX, 0, &wait_ms));
	ck_assert_int_eq(bucket_level(&b, &r, 0), INT64_MAX);
}
END_TEST

static const struct rate shared_rate = {50000, 1000, 777};
static struct bucket shared;
static _Atomic int64_t clock_ms;

/** Takes what it gets until the clock, which every thread moves, is at its end. */
static void *
take_all(void *arg)
{
	int64_t *passed = arg, now_ms, wait_ms;
	unsigned n = 0;

	while ((now_ms = atomic_load(&clock_ms)) < TICKS) {
		*passed += bucket_take(&shared, &shared_rate, 1, now_ms, &wait_ms);
		if (++n % 64 == 0)
			atomic_compare_exchange_strong(&clock_ms, &now_ms, now_ms + 1);
	}
	return NULL;
}

START_TEST(test_threads_share_one)
{
	pthread_t threads[THREADS];
	int64_t passed[THREADS] = {0}, sum = 0, wait_ms;
	int64_t most = shared_rate.burst + shared_rate.count * TICKS / shared_rate.period_ms;

	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, take_all, &passed[i]), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < THREADS; i++)
		sum += passed[i];
	ck_assert_int_gt(sum, shared_rate.burst);
	while (bucket_take(&shared, &shared_rate, 1, TICKS, &wait_ms))
		sum++;
	/* Nothing was lost between them and nothing taken twice, but for what had to go over the
	 * brim: a full bucket does not fill, and this one was never full again. */
	ck_assert_int_eq(sum, most);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("bucket");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_it_is_what_the_model_says);
	tcase_add_test(t, test_no_drift);
	tcase_add_test(t, test_what_is_given_back_is_there);
	tcase_add_test(t, test_unlimited);
	tcase_add_test(t, test_threads_share_one);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
