/*
 * The audit log's file: each entry is a line of its own, also the longest, and one
 * behind a line that did not get to its end.
 */

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/json.h"
#include "daemon/guard/audit.h"

static char path[64];
static struct stats *stats;
static struct audit *audit;

static void
set_up(void)
{
	struct error error = ERROR_NONE;
	int fd;

	strcpy(path, "/tmp/sysrt-audit-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	close(fd);
	stats = stats_new();
	ck_assert_int_eq(audit_open(path, stats, &audit, &error), OK);
}

static void
tear_down(void)
{
	audit_close(audit);
	stats_free(stats);
	unlink(path);
}

static void
note(const char *what, const struct error *error)
{
	char who[AUDIT_WHO_SIZE];

	memset(who, '\x02', sizeof(who) - 1);
	who[sizeof(who) - 1] = '\0';
	audit_note(audit,
		&(struct audit_entry){.what = what,
			.who = who,
			.session = UINT32_MAX,
			.name = SPAN("ci"),
			.result = error->code,
			.error = error},
		0);
}

/** The lines of the file that are one JSON text each; others are counted in *torn. */
static int
count_lines(int *torn)
{
	static char text[1 << 16];
	struct json_value value;
	struct json_fault fault;
	FILE *f = fopen(path, "r");
	int n = 0;

	*torn = 0;
	while (fgets(text, sizeof(text), f) != NULL) {
		bool is_whole = text[strlen(text) - 1] == '\n' &&
				json_check(span_of(text), JSON_DEPTH_MAX, &value, &fault) == OK;

		n += is_whole;
		*torn += !is_whole;
	}
	fclose(f);
	return n;
}

START_TEST(test_the_longest_entry)
{
	struct error error = {.code = ERR_CONFLICT};
	int torn;

	memset(error.text, '\x01', sizeof(error.text) - 1);
	note("a", &error);
	note("b", &error);
	ck_assert_int_eq(count_lines(&torn), 2);
	ck_assert_int_eq(torn, 0);
}
END_TEST

START_TEST(test_behind_half_a_line)
{
	struct error none = ERROR_NONE;
	struct rlimit before, little;
	struct stat status;
	int torn;

	note("a", &none);
	ck_assert_int_eq(stat(path, &status), 0);
	getrlimit(RLIMIT_FSIZE, &before);
	little = before;
	little.rlim_cur = (rlim_t)status.st_size + 20;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &little);
	note("b", &none);
	note("c", &none);
	setrlimit(RLIMIT_FSIZE, &before);
	note("d", &none);
	note("e", &none);
	ck_assert_int_eq(count_lines(&torn), 3);
	ck_assert_int_eq(torn, 1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("audit");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, test_the_longest_entry);
	tcase_add_test(t, test_behind_half_a_line);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
