/*
 * Who may use the control socket: what one who may not is told.
 */

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "daemon/guard/peercred.h"

#define GROUPS_N 200

static void
expect_refusal(size_t groups_n, const char *who)
{
	struct peercred p = {
		.uid = geteuid() + 1, .groups = xnew_n(groups_n, gid_t), .groups_n = groups_n};
	struct conf *conf = conf_new();
	struct error error = ERROR_NONE;
	struct scopes *scopes = NULL;

	for (size_t i = 0; i < groups_n; i++)
		p.groups[i] = (gid_t)(4000000000 + i);
	free(conf->control.admin_group);
	free(conf->control.read_group);
	conf->control.admin_group = xasprintf("%0100d", 1);
	conf->control.read_group = xasprintf("%0100d", 2);
	ck_assert_int_eq(peercred_judge(&p, conf, &scopes, &error), ERR_PERMISSION_DENIED);
	ck_assert_ptr_null(scopes);
	ck_assert_msg(strstr(error.text, who) != NULL, "%s", error.text);
	ck_assert_msg(strstr(error.text, "1\" (control.admin_group) or, to read, \"") != NULL, "%s",
		error.text);
	ck_assert_msg(strstr(error.text, "2\" (control.read_group)") != NULL, "%s", error.text);
	conf_free(conf);
	peercred_fini(&p);
}

START_TEST(test_what_is_needed_is_told)
{
	expect_refusal(1, " (groups 4000000000) may not");
	expect_refusal(10, " 4000000009) may not");
	expect_refusal(11, " 4000000009 and 1 more) may not");
	expect_refusal(GROUPS_N, " 4000000009 and 190 more) may not");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("peercred");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, test_what_is_needed_is_told);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
