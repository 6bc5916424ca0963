/*
 * The recorder on real files: lines, bounds, a disk that is full, ends that come in
 * between.
 *
 * threads: yes
 */

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "daemon/base/loop.h"
#include "daemon/feed/recorder.h"

static char top[64], folder[96], path[128], old_path[160];
static struct loop *loop;
static struct recorders *recorders;
static unsigned written_n;

static void
on_written(void *arg)
{
	ck_assert_ptr_eq(arg, &written_n);
	written_n++;
	loop_stop(loop);
}

static void
setup(void)
{
	snprintf(top, sizeof(top), "/tmp/test_recorder.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(folder, sizeof(folder), "%s/recordings", top);
	snprintf(path, sizeof(path), "%s/r.ndjson", folder);
	snprintf(old_path, sizeof(old_path), "%s.1", path);
	loop = loop_new();
	recorders = recorders_new(loop, folder);
	written_n = 0;
}

static void
teardown(void)
{
	char command[128];

	recorders_free(recorders);
	loop_free(loop);
	snprintf(command, sizeof(command), "rm -rf %s", top);
	ck_assert_int_eq(system(command), 0);
}

static struct recorder *
open_one(int64_t max)
{
	return recorder_open(recorders, &(struct recorder_wish){"r", max, on_written, &written_n});
}

static void
write_and_wait(struct recorder *r)
{
	unsigned n = written_n;

	ck_assert(recorder_write(r));
	ck_assert(recorder_is_writing(r));
	while (written_n == n)
		loop_run(loop);
}

static char *
read_file(const char *name)
{
	char *text = xcalloc(1, 1 << 20);
	FILE *f = fopen(name, "r");

	ck_assert_msg(f != NULL, "no %s", name);
	ck_assert_uint_lt(fread(text, 1, (1 << 20) - 1, f), (1 << 20) - 1);
	fclose(f);
	return text;
}

static void
check_file(const char *name, const char *wanted)
{
	char *text = read_file(name);

	ck_assert_str_eq(text, wanted);
	free(text);
}

static void
check_status(const struct recorder *r, const char *part, bool is_there)
{
	struct buf text;
	struct json_out o;

	buf_init(&text, 8192);
	o = json_out_start(&text);
	json_begin_object(&o, NULL);
	recorder_add_status(r, &o);
	json_end_object(&o);
	buf_add_char(&text, '\0');
	ck_assert_msg((strstr(text.p, part) != NULL) == is_there, "%s in %s", part, text.p);
	buf_fini(&text);
}

START_TEST(a_line_each)
{
	struct recorder *r = open_one(1 << 20);
	struct stat st;

	ck_assert(!recorder_write(r)); /* nothing to write */
	ck_assert_ptr_null(open_one(1 << 20));
	recorder_add(r, 12, true, SPAN("{\"a\":\"\n\"}"));
	recorder_add(r, 13, false, SPAN("\0\xff"));
	write_and_wait(r);
	recorder_add(r, 14, true, SPAN(""));
	write_and_wait(r);
	check_file(path, "{\"at\":12,\"text\":\"{\\\"a\\\":\\\"\\n\\\"}\"}\n"
			 "{\"at\":13,\"base64\":\"AP8=\"}\n{\"at\":14,\"text\":\"\"}\n");
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(stat(folder, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	check_status(r, "\"messages\":3", true);
	recorder_close(r);
}
END_TEST

/** It goes into a piece of its own. */
START_TEST(added_while_it_writes)
{
	struct recorder *r = open_one(1 << 20);

	recorder_add(r, 1, true, SPAN("a"));
	ck_assert(recorder_write(r));
	recorder_add(r, 2, true, SPAN("b"));
	while (written_n == 0)
		loop_run(loop);
	check_file(path, "{\"at\":1,\"text\":\"a\"}\n");
	check_status(r, "\"messages\":1", true);
	write_and_wait(r);
	check_file(path, "{\"at\":1,\"text\":\"a\"}\n{\"at\":2,\"text\":\"b\"}\n");
	check_status(r, "\"messages\":2", true);
	ck_assert(!recorder_write(r));
	recorder_close(r);
}
END_TEST

/** What a death has cut short does not spoil the line behind it. */
START_TEST(goes_on_behind_half_a_line)
{
	struct recorder *r = open_one(1 << 20);
	FILE *f;

	ck_assert_int_eq(mkdir(folder, 0700), 0);
	f = fopen(path, "w");
	fputs("{\"at\":1,\"te", f);
	fclose(f);
	recorder_add(r, 2, true, SPAN("x"));
	write_and_wait(r);
	check_file(path, "{\"at\":1,\"te\n{\"at\":2,\"text\":\"x\"}\n");
	recorder_close(r);
}
END_TEST

START_TEST(bounded)
{
	struct recorder *r = open_one(10000);
	char message[1000];
	struct stat st;

	memset(message, 'x', sizeof(message));
	for (int i = 0; i < 100; i++) {
		off_t all = 0;

		recorder_add(r, i, true, (struct span){message, sizeof(message)});
		write_and_wait(r);
		ck_assert_int_eq(stat(path, &st), 0);
		all += st.st_size;
		if (stat(old_path, &st) == 0)
			all += st.st_size;
		ck_assert_int_le(all, 10000);
		ck_assert(i < 8 || all > 4500);
	}
	recorder_close(r);
}
END_TEST

/** A limit of the process stands for a disk that is full. */
START_TEST(a_full_disk_is_told_and_left_out)
{
	struct recorder *r = open_one(1 << 20);
	struct rlimit limit = {2000, 2000};
	char message[1500];
	char *text;

	signal(SIGXFSZ, SIG_IGN);
	memset(message, 'x', sizeof(message));
	recorder_add(r, 1, true, SPAN("first"));
	write_and_wait(r);
	limit.rlim_max = RLIM_INFINITY;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (int i = 0; i < 3; i++)
		recorder_add(r, 2, true, (struct span){message, sizeof(message)});
	write_and_wait(r);
	check_status(r, "\"lost\":3", true);
	check_status(r, "\"error\":", true);
	check_file(path, "{\"at\":1,\"text\":\"first\"}\n");
	limit.rlim_cur = RLIM_INFINITY;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	recorder_add(r, 3, true, SPAN("last"));
	write_and_wait(r);
	check_status(r, "\"messages\":2", true);
	check_status(r, "\"error\":", false);
	text = read_file(path);
	ck_assert_str_eq(text, "{\"at\":1,\"text\":\"first\"}\n{\"at\":3,\"text\":\"last\"}\n");
	free(text);
	recorder_close(r);
}
END_TEST

START_TEST(one_that_cannot_be_opened_is_tried_again)
{
	struct recorder *r = open_one(1 << 20);
	int fd = open(folder, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	close(fd);
	recorder_add(r, 1, true, SPAN("x"));
	write_and_wait(r);
	check_status(r, "\"lost\":1", true);
	ck_assert_int_eq(unlink(folder), 0);
	recorder_add(r, 2, true, SPAN("y"));
	write_and_wait(r);
	check_file(path, "{\"at\":2,\"text\":\"y\"}\n");
	recorder_close(r);
}
END_TEST

/** The one that is closed while it writes does so, before its successor, and is not heard of. */
START_TEST(closed_while_it_writes)
{
	struct recorder *r = open_one(1 << 20), *next;

	recorder_add(r, 1, true, SPAN("a"));
	ck_assert(recorder_write(r));
	recorder_retire(r);
	next = open_one(1 << 20);
	ck_assert_ptr_nonnull(next);
	recorder_close(r);
	recorder_add(next, 2, true, SPAN("b"));
	write_and_wait(next);
	ck_assert_uint_eq(written_n, 1);
	check_file(path, "{\"at\":1,\"text\":\"a\"}\n{\"at\":2,\"text\":\"b\"}\n");
	recorder_add(next, 3, true, SPAN("c"));
	ck_assert(recorder_write(next)); /* it is freed with all of them */
}
END_TEST

static void
add_tests(TCase *tc)
{
	tcase_add_test(tc, a_line_each);
	tcase_add_test(tc, added_while_it_writes);
	tcase_add_test(tc, goes_on_behind_half_a_line);
	tcase_add_test(tc, bounded);
	tcase_add_test(tc, a_full_disk_is_told_and_left_out);
	tcase_add_test(tc, one_that_cannot_be_opened_is_tried_again);
	tcase_add_test(tc, closed_while_it_writes);
}

int
main(void)
{
	Suite *suite = suite_create("recorder");
	TCase *tc = tcase_create("recorder");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	add_tests(tc);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
