/*
 * Listening sockets: addresses, the loopback rule, the Unix socket's probe, mode
 * and removal, and running out of file descriptors.
 */

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "daemon/base/loop.h"
#include "daemon/net/listen.h"

#define CLIENTS 5

static struct loop *loop;
static struct listener *listener;
static struct error error;
#define DIR_TEMPLATE "/tmp/sysrt-listen-XXXXXX"
static char dir[] = DIR_TEMPLATE;
static char path[64];
static int accepted[64];
static int accepted_n;
static int wanted; /* the loop stops at so many */

static void
on_accept(void *arg, struct listener *l, int fd)
{
	ck_assert_ptr_eq(arg, &accepted_n);
	ck_assert_ptr_eq(l, listener);
	accepted[accepted_n++] = fd;
	if (accepted_n == wanted)
		loop_stop(loop);
}

static void
set_up(void)
{
	memcpy(dir, DIR_TEMPLATE, sizeof(DIR_TEMPLATE));
	accepted_n = wanted = 0;
	listener = NULL;
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/socket", dir);
	loop = loop_new();
	error = ERROR_NONE;
	ck_assert_int_eq(log_set_filter(SPAN("error"), NULL), OK);
}

static void
tear_down(void)
{
	for (int i = 0; i < accepted_n; i++)
		close(accepted[i]);
	listener_close(listener);
	loop_free(loop);
	unlink(path);
	rmdir(dir);
}

static enum err
open_tcp(const char *address)
{
	return listener_open_tcp(loop, address, on_accept, &accepted_n, &listener, &error);
}

static enum err
open_unix(const char *at)
{
	return listener_open_unix(loop, &(struct listener_file){at, (gid_t)-1, 0660}, on_accept,
		&accepted_n, &listener, &error);
}

/** A blocking client of the listener. */
static int
client(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_ge(fd, 0);
	a.sin_port = htons((uint16_t)listener_port(listener));
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static int
unix_client(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	ck_assert_int_ge(fd, 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	close(fd);
	return -1;
}

START_TEST(tcp_accepts_and_knows_its_address)
{
	char expected[32];
	int fds[CLIENTS];

	ck_assert_int_eq(open_tcp("127.0.0.1:0"), OK);
	ck_assert_int_gt(listener_port(listener), 0);
	snprintf(expected, sizeof(expected), "127.0.0.1:%d", listener_port(listener));
	ck_assert_str_eq(listener_address(listener), expected);
	for (int i = 0; i < CLIENTS; i++)
		fds[i] = client();
	wanted = CLIENTS;
	loop_run(loop);
	ck_assert_int_eq(accepted_n, CLIENTS);
	for (int i = 0; i < CLIENTS; i++) {
		ck_assert_int_ne(fcntl(accepted[i], F_GETFL) & O_NONBLOCK, 0);
		ck_assert_int_ne(fcntl(accepted[i], F_GETFD) & FD_CLOEXEC, 0);
		close(fds[i]);
	}
	ck_assert_uint_eq(listener_pauses(listener), 0);
	listener_stop(listener);
	listener_stop(listener);
	ck_assert_str_eq(listener_address(listener), expected);
}
END_TEST

#define CROWD 1000

static int crowd_n;
static bool others_were_served;

/** As soon as one is let in, the next one is there. */
static void
on_one_of_a_crowd(void *arg, struct listener *l, int fd)
{
	(void)arg;
	(void)l;
	close(fd);
	close(unix_client());
	if (++crowd_n == CROWD)
		loop_stop(loop);
}

static void
on_other(void *arg)
{
	(void)arg;
	others_were_served = true;
	loop_stop(loop);
}

START_TEST(who_connects_without_end_keeps_nobody_out)
{
	struct listener_file file = {path, (gid_t)-1, 0660};
	struct loop_watch *other;
	int ends[2];

	crowd_n = 0;
	others_were_served = false;
	ck_assert_int_eq(
		listener_open_unix(loop, &file, on_one_of_a_crowd, NULL, &listener, &error), OK);
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(write(ends[1], "x", 1), 1);
	other = loop_watch_new(loop, ends[0], on_other, NULL);
	close(unix_client());
	loop_run(loop);
	ck_assert(others_were_served);
	loop_watch_free(other);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

static const struct {
	const char *address;
	enum err result;
	bool is_loopback;
} addresses[] = {
	{"127.0.0.1:0",     OK,               true },
	{"127.1.2.3:0",     OK,               true },
	{"[::1]:0",         OK,               true },
	{"localhost:0",     OK,               true },
	{"0.0.0.0:0",       OK,               false},
	{"[::]:0",          OK,               false},
	{"192.0.2.1:0",     ERR_CONFIG_ERROR, false}, /* not an address of this machine */
	{"127.0.0.1",       ERR_CONFIG_ERROR, false},
	{":7117",           ERR_CONFIG_ERROR, false},
	{"::1:0",           ERR_CONFIG_ERROR, false},
	{"127.0.0.1:70000", ERR_CONFIG_ERROR, false},
	{"127.0.0.1:http",  ERR_CONFIG_ERROR, false},
	{"",		ERR_CONFIG_ERROR, false},
};

START_TEST(addresses_are_judged)
{
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		enum err e = open_tcp(addresses[i].address);

		ck_assert_msg(e == addresses[i].result, "\"%s\": %d, %s", addresses[i].address, e,
			error.text);
		if (e != OK)
			continue;
		ck_assert_msg(listener_is_loopback(listener) == addresses[i].is_loopback, "\"%s\"",
			addresses[i].address);
		listener_close(listener);
		listener = NULL;
	}
}
END_TEST

START_TEST(a_taken_port_is_unavailable)
{
	struct listener *first;
	char address[32];

	ck_assert_int_eq(open_tcp("127.0.0.1:0"), OK);
	first = listener;
	snprintf(address, sizeof(address), "%s", listener_address(first));
	ck_assert_int_eq(open_tcp(address), ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(error.text, address));
	ck_assert_ptr_eq(listener, first);
}
END_TEST

START_TEST(a_unix_socket_has_its_mode_and_goes_with_its_listener)
{
	mode_t before = umask(0022);
	struct stat st;
	int fd;

	ck_assert_int_eq(open_unix(path), OK);
	ck_assert_uint_eq(umask(before), 0022);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert(S_ISSOCK(st.st_mode));
	ck_assert_uint_eq(st.st_mode & 07777, 0660);
	ck_assert_str_eq(listener_address(listener), path);
	ck_assert_int_eq(listener_port(listener), 0);
	fd = unix_client();
	ck_assert_int_ge(fd, 0);
	wanted = 1;
	loop_run(loop);
	ck_assert_int_eq(accepted_n, 1);
	close(fd);
	listener_stop(listener);
	ck_assert_int_eq(unix_client(), -1);
	ck_assert_int_eq(access(path, F_OK), 0);
	listener_close(listener);
	listener = NULL;
	ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(a_live_socket_is_left_alone_and_a_stale_one_replaced)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int stale = socket(AF_UNIX, SOCK_STREAM, 0);
	struct listener *first;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	ck_assert_int_eq(bind(stale, (struct sockaddr *)&a, sizeof(a)), 0);
	close(stale);
	ck_assert_int_eq(access(path, F_OK), 0);
	ck_assert_int_eq(open_unix(path), OK);
	first = listener;
	ck_assert_int_eq(open_unix(path), ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(error.text, path));
	ck_assert_ptr_eq(listener, first);
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(other_files_are_never_removed)
{
	char long_path[200];
	struct stat st;
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(open_unix(path), ERR_CONFIG_ERROR);
	ck_assert_int_eq(stat(path, &st), 0);
	unlink(path);
	memset(long_path, 'x', sizeof(long_path));
	long_path[0] = '/';
	long_path[sizeof(long_path) - 1] = '\0';
	ck_assert_int_eq(open_unix(long_path), ERR_CONFIG_ERROR);
	ck_assert_int_eq(open_unix("/nonexistent/folder/socket"), ERR_IO_ERROR);

	ck_assert_int_eq(open_unix(path), OK); /* replaced under our feet: not ours to remove */
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	listener_close(listener);
	listener = NULL;
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(the_group_is_set)
{
	struct stat st;

	ck_assert_int_eq(listener_open_unix(loop, &(struct listener_file){path, getgid(), 0666},
				 on_accept, NULL, &listener, &error),
		OK);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_gid, getgid());
}
END_TEST

/** From now on no descriptor is to be had; returns the limit that was. */
static struct rlimit
use_up_descriptors(void)
{
	struct rlimit before, none;
	int lowest = dup(0);

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	close(lowest);
	none = before;
	none.rlim_cur = (rlim_t)lowest;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(dup(0), -1);
	ck_assert_int_eq(errno, EMFILE);
	return before;
}

static struct rlimit limit_before;

static void
give_back(void *arg)
{
	(void)arg;
	ck_assert_uint_eq(listener_pauses(listener), 1);
	ck_assert_int_eq(accepted_n, 0);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit_before), 0);
}

START_TEST(out_of_descriptors_accepting_pauses_and_comes_back)
{
	struct loop_timer *timer = loop_timer_new(loop, give_back, NULL);
	int fds[CLIENTS];

	ck_assert_int_eq(open_tcp("127.0.0.1:0"), OK);
	for (int i = 0; i < CLIENTS; i++)
		fds[i] = client();
	limit_before = use_up_descriptors();
	loop_timer_start(timer, 150);
	wanted = CLIENTS;
	loop_run(loop);
	ck_assert_int_eq(accepted_n, CLIENTS);
	ck_assert_uint_eq(listener_pauses(listener), 1);
	for (int i = 0; i < CLIENTS; i++)
		close(fds[i]);
	loop_timer_free(timer);
}
END_TEST

static int refused_fd;
static bool got_end;

static void
on_refused(void *arg)
{
	char byte;

	(void)arg;
	got_end = recv(refused_fd, &byte, 1, 0) == 0;
	loop_stop(loop);
}

START_TEST(whoever_waits_long_is_refused)
{
	struct loop_watch *watch;
	int later;

	ck_assert_int_eq(open_tcp("127.0.0.1:0"), OK);
	refused_fd = client();
	watch = loop_watch_new(loop, refused_fd, on_refused, NULL);
	limit_before = use_up_descriptors();
	loop_run(loop);
	ck_assert(got_end);
	ck_assert_int_eq(accepted_n, 0);
	loop_watch_free(watch);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit_before), 0);
	later = client();
	wanted = 1;
	loop_run(loop);
	ck_assert_int_eq(accepted_n, 1);
	close(later);
	close(refused_fd);
}
END_TEST

static void
stop_on_accept(void *arg, struct listener *l, int fd)
{
	(void)arg;
	close(fd);
	accepted_n++;
	listener_stop(l);
	loop_stop(loop);
}

START_TEST(a_listener_may_be_stopped_while_it_accepts)
{
	int one, two, count;

	ck_assert_int_eq(
		listener_open_tcp(loop, "127.0.0.1:0", stop_on_accept, NULL, &listener, &error),
		OK);
	one = client();
	two = client();
	loop_run(loop);
	count = accepted_n;
	accepted_n = 0;
	ck_assert_int_eq(count, 1);
	close(one);
	close(two);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("listen");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, tcp_accepts_and_knows_its_address);
	tcase_add_test(t, addresses_are_judged);
	tcase_add_test(t, a_taken_port_is_unavailable);
	tcase_add_test(t, a_unix_socket_has_its_mode_and_goes_with_its_listener);
	tcase_add_test(t, a_live_socket_is_left_alone_and_a_stale_one_replaced);
	tcase_add_test(t, other_files_are_never_removed);
	tcase_add_test(t, the_group_is_set);
	tcase_add_test(t, a_listener_may_be_stopped_while_it_accepts);
	tcase_add_test(t, who_connects_without_end_keeps_nobody_out);
	suite_add_tcase(s, t);

	/*
	 * Valgrind keeps RLIMIT_NOFILE itself: an accept() beyond it closes the connection that the
	 * kernel had already handed over, where the kernel leaves it waiting. So under valgrind
	 * there is nothing that could come back, and tests/check leaves these out there.
	 */
	t = tcase_create("out of descriptors");
	tcase_set_timeout(t, 30);
	tcase_set_tags(t, "not-under-valgrind");
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, out_of_descriptors_accepting_pauses_and_comes_back);
	tcase_add_test(t, whoever_waits_long_is_refused);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
