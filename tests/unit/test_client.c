/*
 * libsysrt against a peer that we drive by hand: answers out of order, notifications in
 * between, refusals at the door, silence, a hang-up, signals, a peer that does not read.
 */

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/client/sysrt.h"

#define FOLDER "/tmp/test_client.XXXXXX"
static char folder[] = FOLDER;
static char path[sizeof(folder) + 16];
static int listener;
static int peer;
static struct sysrt *s;
static struct sysrt_error error;

static void
set_up(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	memcpy(folder, FOLDER, sizeof(FOLDER));
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/socket", folder);
	memcpy(a.sun_path, path, strlen(path));
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(listener, 8), 0);
	ck_assert_int_eq(sysrt_connect(path, &s, &error), 0);
	peer = accept(listener, NULL, NULL);
	ck_assert_int_ge(peer, 0);
}

static void
tear_down(void)
{
	sysrt_close(s);
	close(peer);
	close(listener);
	unlink(path);
	rmdir(folder);
}

/** Lets the peer say something. */
static void
say(const char *text)
{
	ck_assert_int_eq(write(peer, text, strlen(text)), (ssize_t)strlen(text));
}

static void
assert_failed(int got, const char *name, int exit_status)
{
	ck_assert_int_eq(got, -1);
	ck_assert_str_eq(error.name, name);
	ck_assert_int_eq(error.exit_status, exit_status);
	ck_assert_str_ne(error.text, "");
}

static void
assert_answer(int64_t id, const char *want)
{
	char *result = NULL;

	ck_assert_int_eq(sysrt_receive(s, id, 1000, &result, &error), 0);
	ck_assert_str_eq(result, want);
	free(result);
}

static void
assert_notice(const char *method, const char *params)
{
	struct sysrt_notice n;

	ck_assert_int_eq(sysrt_next(s, 1000, &n, &error), 1);
	ck_assert_str_eq(n.method, method);
	ck_assert_str_eq(n.params, params);
	ck_assert_uint_eq(n.params_n, strlen(params));
}

START_TEST(test_call)
{
	char *result = NULL;
	char sent[200];
	ssize_t n;

	say("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"a\":1}}\n");
	ck_assert_int_eq(sysrt_call(s, "x.y", "{\"k\":\n\"v\"}", 1000, &result, &error), 0);
	ck_assert_str_eq(result, "{\"a\":1}");
	free(result);
	n = read(peer, sent, sizeof(sent) - 1);
	ck_assert_int_gt(n, 0);
	sent[n] = '\0';
	ck_assert_str_eq(sent, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x.y\","
			       "\"params\":{\"k\": \"v\"}}\n");
}
END_TEST

START_TEST(test_error)
{
	char *result = NULL;

	say("{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32002,\"message\":\"it is at 7\","
	    "\"data\":{\"code\":\"CONFLICT\",\"seq\":7}}}\n");
	assert_failed(sysrt_call(s, "x", NULL, 1000, &result, &error), "CONFLICT", 7);
	ck_assert_str_eq(error.text, "it is at 7");
	ck_assert_int_eq(error.seq, 7);
	ck_assert_ptr_null(result);
}
END_TEST

START_TEST(test_answers_overtake)
{
	int64_t a, b, c;

	ck_assert_int_eq(sysrt_send(s, "a", NULL, 1000, &a, &error), 0);
	ck_assert_int_eq(sysrt_send(s, "b", NULL, 1000, &b, &error), 0);
	ck_assert_int_eq(sysrt_send(s, "c", NULL, 1000, &c, &error), 0);
	say("{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":\"c\"}\n"
	    "{\"jsonrpc\":\"2.0\",\"method\":\"change\",\"params\":{\"seq\":1}}\n"
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"a\"}\n"
	    "{\"jsonrpc\":\"2.0\",\"method\":\"change\",\"params\":{\"seq\":2}}\n"
	    "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":\"b\"}\n");
	assert_answer(a, "\"a\"");
	assert_answer(b, "\"b\"");
	assert_answer(c, "\"c\"");
	assert_notice("change", "{\"seq\":1}");
	assert_notice("change", "{\"seq\":2}");
}
END_TEST

START_TEST(test_notices_keep_answers)
{
	int64_t a;

	ck_assert_int_eq(sysrt_send(s, "a", NULL, 1000, &a, &error), 0);
	say("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n"
	    "{\"jsonrpc\":\"2.0\",\"params\":{\"seq\":1},\"method\":\"change\"}\n");
	assert_notice("change", "{\"seq\":1}");
	assert_answer(a, "{}");
}
END_TEST

START_TEST(test_in_pieces)
{
	struct sysrt_notice n;

	say("{\"jsonrpc\":\"2.0\",\"method\":\"sy");
	ck_assert_int_eq(sysrt_next(s, 0, &n, &error), 0);
	say("nced\",\"params\":{\"seq\":9}}");
	ck_assert_int_eq(sysrt_next(s, 0, &n, &error), 0);
	say("\n");
	assert_notice("synced", "{\"seq\":9}");
}
END_TEST

START_TEST(test_timeout)
{
	struct sysrt_notice n;
	char *result;

	assert_failed(sysrt_call(s, "x", NULL, 20, &result, &error), "TIMEOUT", 5);
	ck_assert_int_eq(sysrt_next(s, 20, &n, &error), 0);
	/* What comes too late is no answer to the next one. */
	say("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"late\"}\n"
	    "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":\"in time\"}\n");
	ck_assert_int_eq(sysrt_call(s, "x", NULL, 1000, &result, &error), 0);
	ck_assert_str_eq(result, "\"in time\"");
	free(result);
	/* Nor is it kept: nobody knows its id. */
	assert_failed(sysrt_receive(s, 1, 0, &result, &error), "TIMEOUT", 5);
}
END_TEST

START_TEST(test_hang_up)
{
	struct sysrt_notice n;
	char *result;

	close(peer);
	assert_failed(sysrt_call(s, "x", NULL, 1000, &result, &error), "CLOSED", 3);
	assert_failed(sysrt_next(s, 1000, &n, &error), "CLOSED", 3);
}
END_TEST

START_TEST(test_refused_at_the_door)
{
	char *result;

	say("{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32005,\"message\":\"not you\","
	    "\"data\":{\"code\":\"PERMISSION_DENIED\"}}}\n");
	close(peer);
	assert_failed(sysrt_call(s, "x", NULL, 1000, &result, &error), "PERMISSION_DENIED", 6);
	ck_assert_str_eq(error.text, "not you");
	assert_failed(sysrt_call(s, "x", NULL, 1000, &result, &error), "CLOSED", 3);
}
END_TEST

START_TEST(test_nonsense)
{
	char *result;

	say("these are not the bytes you want\n");
	ck_assert_int_eq(sysrt_call(s, "x", NULL, 1000, &result, &error), -1);
	ck_assert_str_ne(error.text, "");
}
END_TEST

START_TEST(test_nobody_there)
{
	struct sysrt *other = NULL;
	char missing[sizeof(path) + 8], too_long[300];

	snprintf(missing, sizeof(missing), "%s.none", path);
	assert_failed(sysrt_connect(missing, &other, &error), "NOT_RUNNING", 3);
	ck_assert_ptr_nonnull(strstr(error.text, missing));
	ck_assert_ptr_nonnull(strstr(error.text, "start sysrtd"));
	close(listener);
	assert_failed(sysrt_connect(path, &other, &error), "NOT_RUNNING", 3);
	memset(too_long, 'x', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	assert_failed(sysrt_connect(too_long, &other, &error), "IO_ERROR", 1);
	ck_assert_ptr_null(other);
}
END_TEST

START_TEST(test_path_of_the_environment)
{
	struct sysrt *other = NULL;

	setenv("SYSRT_SOCKET", path, 1);
	ck_assert_int_eq(sysrt_connect(NULL, &other, &error), 0);
	sysrt_close(other);
	setenv("SYSRT_SOCKET", "/nowhere/at/all", 1);
	assert_failed(sysrt_connect(NULL, &other, &error), "NOT_RUNNING", 3);
	ck_assert_ptr_nonnull(strstr(error.text, "/nowhere/at/all"));
	ck_assert_int_eq(sysrt_connect(path, &other, &error), 0);
	sysrt_close(other);
	sysrt_close(NULL);
}
END_TEST

static void
on_alarm(int signo)
{
	(void)signo;
}

START_TEST(test_signals)
{
	struct sigaction action = {.sa_handler = on_alarm};
	struct itimerval soon = {.it_value.tv_usec = 10000, .it_interval.tv_usec = 10000};
	struct itimerval never = {.it_value.tv_usec = 0};
	struct sysrt_notice n;
	char *result;

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	ck_assert_int_eq(sysrt_next(s, -1, &n, &error), 0);
	assert_failed(sysrt_call(s, "x", NULL, -1, &result, &error), "INTERRUPTED", 130);
	setitimer(ITIMER_REAL, &never, NULL);
}
END_TEST

/** Nobody accepts, and no more fit in. */
START_TEST(test_nobody_accepts)
{
	struct itimerval soon = {.it_value.tv_usec = 100000};
	struct itimerval never = {.it_value.tv_usec = 0};
	struct sigaction action = {.sa_handler = on_alarm};
	struct sysrt *more[16];
	unsigned n = 0;
	int got = 0;

	sigaction(SIGALRM, &action, NULL);
	while (got == 0) {
		ck_assert_uint_lt(n, sizeof(more) / sizeof(more[0]));
		setitimer(ITIMER_REAL, &soon, NULL);
		got = sysrt_connect(path, &more[n], &error);
		n += got == 0;
	}
	setitimer(ITIMER_REAL, &never, NULL);
	assert_failed(got, "INTERRUPTED", 130);
	assert_failed(sysrt_connect(path, &more[n], &error), "TIMEOUT", 5);
	while (n > 0)
		sysrt_close(more[--n]);
}
END_TEST

/** A daemon that wants its answers read before it takes more requests. */
static void
answer_with_bulk(unsigned requests_n)
{
	FILE *in = fdopen(peer, "r+");
	char *line = NULL, *bulk = malloc(1000);
	size_t cap = 0;

	memset(bulk, 'b', 999);
	bulk[999] = '\0';
	setvbuf(in, NULL, _IONBF, 0);
	for (unsigned i = 1; i <= requests_n; i++) {
		if (getline(&line, &cap, in) < 0)
			_exit(1);
		dprintf(peer, "{\"jsonrpc\":\"2.0\",\"id\":%u,\"result\":\"%s\"}\n", i, bulk);
	}
	_exit(0);
}

START_TEST(test_pipeline_longer_than_all_buffers)
{
	enum { REQUESTS = 2000 };
	pid_t child = fork();
	int64_t id;
	int status;

	ck_assert_int_ge(child, 0);
	if (child == 0)
		answer_with_bulk(REQUESTS);
	for (unsigned i = 1; i <= REQUESTS; i++) {
		ck_assert_int_eq(sysrt_send(s, "some.method", NULL, 1000, &id, &error), 0);
		ck_assert_int_eq(id, i);
	}
	for (unsigned i = REQUESTS; i >= 1; i--) {
		char *result = NULL;

		ck_assert_int_eq(sysrt_receive(s, i, 10000, &result, &error), 0);
		ck_assert_uint_eq(strlen(result), 1001);
		free(result);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}
END_TEST

/** More than any socket takes; the caller frees it. */
static char *
make_large_params(void)
{
	size_t n = 8 << 20;
	char *params = malloc(n);

	memset(params, ' ', n - 1);
	params[0] = '{';
	params[n - 2] = '}';
	params[n - 1] = '\0';
	return params;
}

START_TEST(test_peer_that_does_not_read)
{
	char *params = make_large_params(), *result;

	assert_failed(sysrt_call(s, "x", params, 20, &result, &error), "TIMEOUT", 5);
	/* Half a request is on its way: nothing sensible can follow it. */
	assert_failed(sysrt_call(s, "x", NULL, 20, &result, &error), "CLOSED", 3);
	free(params);
}
END_TEST

START_TEST(test_sending_has_a_timeout_too)
{
	char *params = make_large_params();
	int64_t id;

	assert_failed(sysrt_send(s, "x", params, 20, &id, &error), "TIMEOUT", 5);
	assert_failed(sysrt_send(s, "x", NULL, 20, &id, &error), "CLOSED", 3);
	free(params);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {test_call, test_error, test_answers_overtake,
		test_notices_keep_answers, test_in_pieces, test_timeout, test_hang_up,
		test_refused_at_the_door, test_nonsense, test_nobody_there,
		test_path_of_the_environment, test_signals, test_nobody_accepts,
		test_pipeline_longer_than_all_buffers, test_peer_that_does_not_read,
		test_sending_has_a_timeout_too};
	Suite *suite = suite_create("client");
	TCase *tcase = tcase_create("client");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
