/*
 * What a decision of the limiter costs: a bucket alone, and the three that a request
 * passes, with one address and with as many as are remembered. In time of a processor,
 * since a decision waits for nothing.
 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/xalloc.h"
#include "daemon/guard/limit.h"

#define ROUNDS 5000000

static double
ns_each(clock_t started)
{
	return (double)(clock() - started) * (1e9 / CLOCKS_PER_SEC) / ROUNDS;
}

static double
bucket_alone(void)
{
	struct rate r = {1000000, 1000, 1000000000};
	struct bucket b = {0};
	clock_t started = clock();
	int64_t wait_ms, refused = 0;

	for (int64_t i = 0; i < ROUNDS; i++)
		refused += !bucket_take(&b, &r, 1, i >> 10, &wait_ms);
	must(refused == 0);
	return ns_each(started);
}

static double
requests_from(struct limits *l, uint32_t addresses)
{
	struct limited *sessions = xnew_n(addresses, struct limited);
	struct error error = ERROR_NONE;
	int64_t refused = 0;
	clock_t started;
	double ns;

	for (uint32_t i = 0; i < addresses; i++) {
		struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(i << 4)}};
		struct address a;

		must(address_of((struct sockaddr *)&in, &a));
		limited_init(&sessions[i], &a);
	}
	started = clock();
	for (int64_t i = 0; i < ROUNDS; i++)
		refused += limits_take(l, &sessions[i % addresses], 1, i >> 10, &error) != OK;
	ns = ns_each(started);
	must(refused == 0);
	free(sessions);
	return ns;
}

int
main(void)
{
	struct conf *conf = conf_new();
	struct stats *stats = stats_new();
	struct bounds *bounds = bounds_new(stats);
	struct limits *l;

	conf->limits.session = conf->limits.address = conf->limits.total =
		(struct rate){1000000, 1000, 1000000000};
	l = limits_new(conf, bounds);
	printf("limit bucket_ns=%.0f request_ns=%.0f request_of_60000_addresses_ns=%.0f\n",
		bucket_alone(), requests_from(l, 1), requests_from(l, 60000));
	limits_free(l);
	bounds_free(bounds);
	stats_free(stats);
	conf_free(conf);
	return EXIT_SUCCESS;
}
