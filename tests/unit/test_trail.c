/*
 * What went wrong for a session: what is noted, that those in a row are one, and that
 * the oldest go.
 */

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/guard/trail.h"

static struct trail *trail;

static void
refuse(enum err code, const char *method, const char *limit, int64_t wall_ms)
{
	struct error error = ERROR_NONE;

	error_set(&error, code, "no");
	error_name_limit(&error, limit);
	trail_note_refusal(&trail, method, &error, wall_ms);
}

static void
expect(const char *text)
{
	struct buf out;
	struct json_out o;

	buf_init(&out, 1 << 16);
	o = json_out_start(&out);
	json_begin_object(&o, NULL);
	trail_add(trail, &o);
	json_end_object(&o);
	ck_assert_msg(span_is(buf_span(&out), text), "%.*s", (int)out.n, out.p);
	buf_fini(&out);
}

START_TEST(test_nothing)
{
	trail = NULL;
	expect("{\"refusals\":{},\"events\":[]}");
	refuse(ERR_NOT_FOUND, "record.get", NULL, 1);
	refuse(ERR_INVALID_ARGUMENT, "record.get", NULL, 1);
	ck_assert_ptr_null(trail);
	trail_free(trail);
}
END_TEST

START_TEST(test_those_in_a_row_are_one)
{
	trail = NULL;
	refuse(ERR_RATE_LIMITED, "ping", "session", 1);
	refuse(ERR_RATE_LIMITED, "ping", "session", 2);
	trail_note_hold(&trail, "session", 250, 3);
	refuse(ERR_LIMIT_EXCEEDED, NULL, "hub.max_topics", 4);
	expect("{\"refusals\":{\"RATE_LIMITED\":2,\"LIMIT_EXCEEDED\":1},\"events\":["
	       "{\"what\":\"refused\",\"code\":\"LIMIT_EXCEEDED\",\"limit\":\"hub.max_topics\","
	       "\"times\":1,\"first_at\":4,\"last_at\":4},"
	       "{\"what\":\"held back\",\"bucket\":\"session\",\"wait_ms\":250,"
	       "\"times\":1,\"first_at\":3,\"last_at\":3},"
	       "{\"what\":\"refused\",\"code\":\"RATE_LIMITED\",\"method\":\"ping\","
	       "\"bucket\":\"session\",\"times\":2,\"first_at\":1,\"last_at\":2}]}");
	trail_free(trail);
}
END_TEST

START_TEST(test_the_oldest_go)
{
	static const char *const methods[] = {"a", "b"};
	struct buf out;
	struct json_out o;

	trail = NULL;
	for (int i = 0; i < 1000; i++)
		refuse(ERR_PERMISSION_DENIED, methods[i % 2], NULL, i);
	buf_init(&out, 1 << 16);
	o = json_out_start(&out);
	json_begin_object(&o, NULL);
	trail_add(trail, &o);
	json_end_object(&o);
	buf_add_char(&out, '\0');
	ck_assert_ptr_nonnull(strstr(out.p, "\"PERMISSION_DENIED\":1000"));
	ck_assert_ptr_nonnull(strstr(out.p, "[{\"what\":\"refused\",\"code\":\"PERMISSION_DENIED\","
					    "\"method\":\"b\",\"times\":1,\"first_at\":999"));
	ck_assert_ptr_nonnull(strstr(out.p, "\"first_at\":992"));
	ck_assert_ptr_null(strstr(out.p, "\"first_at\":991"));
	buf_fini(&out);
	trail_free(trail);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("trail");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, test_nothing);
	tcase_add_test(t, test_those_in_a_row_are_one);
	tcase_add_test(t, test_the_oldest_go);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
