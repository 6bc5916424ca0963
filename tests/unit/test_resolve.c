/*
 * Names to addresses, and connecting to one after the other: with a name service of our
 * own, whose slow answers come when the test says so.
 * threads: yes
 */

#include <arpa/inet.h>
#include <check.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "daemon/base/loop.h"
#include "daemon/net/dial.h"
#include "daemon/net/resolve.h"

#define PATIENCE_US 60000000
#define SLOW_US     1100000 /* that long is slow */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static bool may_wake;     /* those asleep */
static unsigned asleep_n; /* under the lock */
static unsigned slept_n;

static struct loop *loop;
static struct resolver *resolver;
static unsigned told;
static struct resolved last;

/** Adds an address in front of a list; on any thread, so nothing of Check is to be used. */
static void
add(struct addrinfo **list, const char *text)
{
	struct addrinfo *a = xnew(struct addrinfo);
	union resolve_address *address = xnew(union resolve_address);

	a->ai_addr = &address->any;
	a->ai_family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
	address->any.sa_family = (sa_family_t)a->ai_family;
	a->ai_addrlen = resolve_address_size(address);
	if (a->ai_family == AF_INET)
		must(inet_pton(AF_INET, text, &address->v4.sin_addr) == 1);
	else
		must(inet_pton(AF_INET6, text, &address->v6.sin6_addr) == 1);
	a->ai_next = *list;
	*list = a;
}

static void
sleep_on(void)
{
	pthread_mutex_lock(&lock);
	asleep_n++;
	while (!may_wake)
		pthread_cond_wait(&wake, &lock);
	asleep_n--;
	slept_n++;
	pthread_mutex_unlock(&lock);
}

/** In the place of the C library's: "slow-..." answers when it may, "none" never has an address. */
int
getaddrinfo(
	const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
	struct in6_addr any;
	bool is_figures;
	int port = atoi(service);

	*out = NULL;
	if (host == NULL)
		host = "127.0.0.1";
	is_figures = inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any);
	if ((hints->ai_flags & AI_NUMERICHOST) != 0 && !is_figures)
		return EAI_NONAME;
	if (is_figures)
		add(out, host);
	if (strncmp(host, "slow", 4) == 0)
		sleep_on();
	if (strcmp(host, "none") == 0)
		return EAI_NONAME;
	if (strcmp(host, "silent") == 0)
		return EAI_AGAIN;
	if (strcmp(host, "many") == 0) {
		add(out, "10.0.0.2");
		add(out, "10.0.0.1");
		add(out, "::3");
		add(out, "::2");
		add(out, "::1");
	} else if (strcmp(host, "local") == 0) {
		add(out, "127.0.0.1");
		add(out, "127.0.0.2");
		add(out, "127.0.0.3");
	} else if (!is_figures) {
		add(out, "10.0.0.1");
	}
	for (struct addrinfo *a = *out; a != NULL; a = a->ai_next)
		((union resolve_address *)(void *)a->ai_addr)->v4.sin_port = htons((uint16_t)port);
	return 0;
}

void
freeaddrinfo(struct addrinfo *list)
{
	while (list != NULL) {
		struct addrinfo *next = list->ai_next;

		free(list->ai_addr);
		free(list);
		list = next;
	}
}

static void
let_wake(void)
{
	pthread_mutex_lock(&lock);
	may_wake = true;
	pthread_cond_broadcast(&wake);
	pthread_mutex_unlock(&lock);
}

static unsigned
count_asleep(void)
{
	unsigned n;

	pthread_mutex_lock(&lock);
	n = asleep_n;
	pthread_mutex_unlock(&lock);
	return n;
}

static void
set_up(void)
{
	loop = loop_new();
	resolver = resolver_new(loop);
	told = 0;
	may_wake = false;
	slept_n = 0;
}

static void
tear_down(void)
{
	let_wake();
	resolver_free(resolver);
	loop_free(loop);
	while (count_asleep() > 0)
		usleep(1000);
}

static void
stop(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

static void
turn(void)
{
	loop_defer(loop, stop, NULL);
	loop_run(loop);
}

static void
until_told(unsigned n)
{
	int64_t until_us = clock_mono_us() + PATIENCE_US;

	while (told < n) {
		ck_assert_int_lt(clock_mono_us(), until_us);
		turn();
	}
	ck_assert_uint_eq(told, n);
}

static void
until_asleep(unsigned n)
{
	int64_t until_us = clock_mono_us() + PATIENCE_US;

	while (count_asleep() < n) {
		ck_assert_int_lt(clock_mono_us(), until_us);
		turn();
	}
}

static void
on_found(void *arg, const struct resolved *found)
{
	(void)arg;
	told++;
	last = *found;
}

static struct resolve *
ask(const char *host)
{
	return resolve_start(resolver, host, 7117, on_found, NULL);
}

static void
expect_address(unsigned at, const char *text)
{
	const union resolve_address *a = &last.v[at];
	char got[INET6_ADDRSTRLEN];

	ck_assert_uint_gt(last.n, at);
	if (a->any.sa_family == AF_INET)
		inet_ntop(AF_INET, &a->v4.sin_addr, got, sizeof(got));
	else
		inet_ntop(AF_INET6, &a->v6.sin6_addr, got, sizeof(got));
	ck_assert_str_eq(got, text);
	ck_assert_uint_eq(ntohs(a->v4.sin_port), 7117);
}

START_TEST(figures_are_known_at_once)
{
	ask("192.0.2.7");
	ck_assert_uint_eq(told, 0); /* not from inside */
	turn();
	until_told(1);
	ck_assert_uint_eq(last.n, 1);
	expect_address(0, "192.0.2.7");
	ask("2001:db8::7");
	turn();
	until_told(2);
	expect_address(0, "2001:db8::7");
}
END_TEST

START_TEST(localhost_is_this_machine)
{
	ask("localhost");
	ask("a.localhost");
	turn();
	until_told(2);
	expect_address(0, "127.0.0.1");
	ask("notlocalhost");
	until_told(3);
	expect_address(0, "10.0.0.1");
}
END_TEST

START_TEST(families_alternate)
{
	ask("many");
	until_told(1);
	ck_assert_uint_eq(last.n, 5);
	expect_address(0, "::1");
	expect_address(1, "10.0.0.1");
	expect_address(2, "::2");
	expect_address(3, "10.0.0.2");
	expect_address(4, "::3");
}
END_TEST

START_TEST(names_without_addresses)
{
	ask("none");
	until_told(1);
	ck_assert_uint_eq(last.n, 0);
	ck_assert_str_eq(last.why, "there is no host of this name");
	ask("silent");
	until_told(2);
	ck_assert_str_eq(last.why, "no name server answers");
}
END_TEST

START_TEST(cancelled)
{
	struct resolve *running = ask("slow"), *figures = ask("192.0.2.7"), *others[20];

	for (size_t i = 0; i < 20; i++)
		others[i] = ask("slow too");
	until_asleep(RESOLVE_THREADS);
	resolve_cancel(NULL);
	resolve_cancel(running);
	if (told == 0)
		resolve_cancel(figures);
	told = 0;
	for (size_t i = 0; i < 20; i++)
		resolve_cancel(others[i]);
	let_wake();
	ask("fast");
	until_told(1);
	ck_assert_uint_eq(last.n, 1);
}
END_TEST

START_TEST(slow_names_do_not_delay_others)
{
	struct resolve *slow[RESOLVE_THREADS], *again[RESOLVE_THREADS];
	int64_t since_us;
	char host[16];

	for (size_t i = 0; i < RESOLVE_THREADS; i++) {
		snprintf(host, sizeof(host), "slow-%zu", i);
		slow[i] = ask(host);
	}
	until_asleep(RESOLVE_THREADS);
	since_us = clock_mono_us();
	ask("fast");
	until_told(1); /* a second later, when those that sleep are slow */
	while (clock_mono_us() < since_us + SLOW_US)
		turn();
	turn();
	/* They are known as slow now: others of the same names have to wait for them. */
	for (size_t i = 0; i < RESOLVE_THREADS; i++) {
		resolve_cancel(slow[i]);
		snprintf(host, sizeof(host), "slow-%zu", i);
		again[i] = ask(host);
	}
	for (int i = 0; i < 20; i++) {
		ask("fast");
		until_told(2 + (unsigned)i);
	}
	ck_assert_uint_eq(count_asleep(), RESOLVE_THREADS);
	for (size_t i = 0; i < RESOLVE_THREADS / 2; i++)
		resolve_cancel(again[i]);
	let_wake();
	until_told(21 + RESOLVE_THREADS / 2);
}
END_TEST

START_TEST(a_thread_may_outlive_it)
{
	struct resolve *q = ask("slow");

	until_asleep(1);
	resolve_cancel(q);
}
END_TEST

static unsigned resolved, connected, failed;
static int connected_fd;
static char why[256];

static void
on_dial(void *arg, enum dial_event event, int fd, const char *text)
{
	(void)arg;
	switch (event) {
	case DIAL_RESOLVED:
		resolved++;
		break;
	case DIAL_CONNECTED:
		connected++;
		connected_fd = fd;
		break;
	case DIAL_FAILED:
		failed++;
		snprintf(why, sizeof(why), "%s", text);
		break;
	}
}

/** A socket of one of this machine's addresses; it listens, or not yet. */
static int
bind_to(const char *address, bool listens, uint16_t *port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t n = sizeof(a);

	inet_pton(AF_INET, address, &a.sin_addr);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	if (listens)
		ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static void
dial(const char *host, uint16_t port)
{
	int64_t until_us = clock_mono_us() + PATIENCE_US;
	struct dial *d;

	resolved = connected = failed = 0;
	d = dial_new(loop, resolver, host, port, on_dial, NULL);
	while (connected + failed == 0) {
		ck_assert_int_lt(clock_mono_us(), until_us);
		turn();
	}
	dial_free(d);
}

START_TEST(all_addresses_are_tried)
{
	uint16_t port;
	int fd = bind_to("127.0.0.1", true, &port);
	char name[64];

	dial("local", port); /* the third of three */
	ck_assert_uint_eq(resolved, 1);
	ck_assert_uint_eq(connected, 1);
	close(connected_fd);
	close(fd);
	fd = bind_to("127.0.0.1", false, &port); /* so that it is nobody else's */
	dial("local", port);
	ck_assert_uint_eq(failed, 1);
	snprintf(name, sizeof(name), "the last address, 127.0.0.1:%u: Connection refused", port);
	ck_assert_str_eq(why, name);
	dial("127.0.0.1", port);
	ck_assert_str_eq(why, name + strlen("the last address, "));
	dial("none", port);
	ck_assert_str_eq(why, "there is no host of this name");
	ck_assert_uint_eq(resolved, 0);
	close(fd);
}
END_TEST

START_TEST(given_up)
{
	uint16_t port;
	int fd = bind_to("127.0.0.1", true, &port);
	struct dial *d = dial_new(loop, resolver, "slow", port, on_dial, NULL);

	resolved = connected = failed = 0;
	until_asleep(1);
	dial_free(d);
	d = dial_new(loop, resolver, "127.0.0.1", port, on_dial, NULL);
	while (resolved == 0)
		turn();
	dial_free(d);
	for (int i = 0; i < 10; i++)
		turn();
	ck_assert_uint_eq(connected + failed, 0);
	close(fd);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("resolve");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int n;

	tcase_set_timeout(t, 90);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, figures_are_known_at_once);
	tcase_add_test(t, localhost_is_this_machine);
	tcase_add_test(t, families_alternate);
	tcase_add_test(t, names_without_addresses);
	tcase_add_test(t, cancelled);
	tcase_add_test(t, slow_names_do_not_delay_others);
	tcase_add_test(t, a_thread_may_outlive_it);
	tcase_add_test(t, all_addresses_are_tried);
	tcase_add_test(t, given_up);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	n = srunner_ntests_failed(r);
	srunner_free(r);
	return n == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
