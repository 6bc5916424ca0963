/*
 * Changes: their bodies are the end of a notification, byte for byte, texts are
 * escaped, data passes as it is; counting frees them (under AddressSanitizer).
 */

#include <check.h>
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "daemon/store/change.h"

static const struct record simple = {
	.category = SPAN("news"),
	.id = SPAN("1"),
	.name = SPAN("First"),
	.data = SPAN("{\"n\":9007199254740993,\"d\":0.10}"),
	.seq = 42,
	.rev = 3,
	.created_at = 1000,
	.updated_at = 2000,
};

static void
expect_body(const struct change *c, const char *expected)
{
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(c->body->refs, 1);
	ck_assert_msg(span_is((struct span){c->body->bytes, c->body->n}, expected), "%.*s",
		(int)c->body->n, c->body->bytes);
}

START_TEST(a_put_is_the_record)
{
	struct change *c = change_new_put(&simple);

	expect_body(c, "\"op\":\"put\",\"category\":\"news\",\"id\":\"1\",\"name\":\"First\","
		       "\"data\":{\"n\":9007199254740993,\"d\":0.10},\"rev\":3,"
		       "\"created_at\":1000,\"updated_at\":2000}}\n");
	ck_assert_int_eq(c->op, CHANGE_PUT);
	ck_assert_int_eq(c->seq, 42);
	change_unref(c);
}
END_TEST

START_TEST(a_time_to_die_is_told)
{
	struct record r = simple;
	struct change *c;

	r.expires_at = 3000;
	r.data = SPAN("null");
	c = change_new_put(&r);
	expect_body(c, "\"op\":\"put\",\"category\":\"news\",\"id\":\"1\",\"name\":\"First\","
		       "\"data\":null,\"rev\":3,\"created_at\":1000,\"updated_at\":2000,"
		       "\"expires_at\":3000}}\n");
	change_unref(c);
}
END_TEST

START_TEST(a_delete_has_no_data)
{
	struct change *c = change_new_delete(SPAN("news"), SPAN("1"), 4, 43, 5000);

	expect_body(c, "\"op\":\"delete\",\"category\":\"news\",\"id\":\"1\",\"rev\":4,"
		       "\"deleted_at\":5000}}\n");
	ck_assert_int_eq(c->op, CHANGE_DELETE);
	ck_assert_int_eq(c->seq, 43);
	change_unref(c);
}
END_TEST

START_TEST(a_change_owns_its_texts)
{
	char category[] = "news", id[] = "one";
	struct change *c =
		change_new_delete((struct span){category, 4}, (struct span){id, 3}, 1, 1, 1);

	memset(category, 'x', 4);
	memset(id, 'x', 3);
	ck_assert(span_is(c->category, "news"));
	ck_assert(span_is(c->id, "one"));
	ck_assert_ptr_eq(change_ref(c), c);
	change_unref(c);
	ck_assert(span_is(c->id, "one"));
	change_unref(c);
	change_unref(NULL);
}
END_TEST

/** cJSON must read the member `key` as exactly this text. */
static void
expect_member(const cJSON *object, const char *key, struct span expected)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));

	ck_assert_ptr_nonnull(text);
	ck_assert(span_eq(span_of(text), expected));
}

/** The largest that texts can become: everything is escaped with six bytes. */
START_TEST(texts_are_escaped)
{
	char id[512];
	struct record r = simple;
	struct change *c;
	cJSON *object;
	char *text;

	memset(id, 1, sizeof(id));
	r.id = (struct span){id, sizeof(id)};
	r.name = SPAN("\"\\\n\037 \303\244");
	c = change_new_put(&r);
	ck_assert_ptr_nonnull(c);
	text = xasprintf("{%.*s", (int)c->body->n - 2, c->body->bytes); /* one object less */
	object = cJSON_Parse(text);
	expect_member(object, "id", r.id);
	expect_member(object, "name", r.name);
	cJSON_Delete(object);
	free(text);
	ck_assert(span_eq(c->id, r.id));
	change_unref(c);

	c = change_new_delete(r.category, r.id, INT64_MAX, INT64_MAX, INT64_MAX);
	ck_assert_ptr_nonnull(c);
	change_unref(c);
}
END_TEST

START_TEST(a_record_is_an_object)
{
	struct record r = simple;
	struct buf out;

	buf_init(&out, SIZE_MAX / 2);
	record_add_json(&out, &r);
	buf_add_char(&out, '\n');
	r.expires_at = 3000;
	r.name = SPAN("a \"b\"");
	r.data = SPAN("[]");
	record_add_json(&out, &r);
	ck_assert(span_is(buf_span(&out),
		"{\"category\":\"news\",\"id\":\"1\",\"name\":\"First\","
		"\"data\":{\"n\":9007199254740993,\"d\":0.10},\"rev\":3,\"seq\":42,"
		"\"created_at\":1000,\"updated_at\":2000}\n"
		"{\"category\":\"news\",\"id\":\"1\",\"name\":\"a \\\"b\\\"\",\"data\":[],"
		"\"rev\":3,\"seq\":42,\"created_at\":1000,\"updated_at\":2000,"
		"\"expires_at\":3000}"));
	buf_fini(&out);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("change");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, a_put_is_the_record);
	tcase_add_test(t, a_time_to_die_is_told);
	tcase_add_test(t, a_delete_has_no_data);
	tcase_add_test(t, a_change_owns_its_texts);
	tcase_add_test(t, texts_are_escaped);
	tcase_add_test(t, a_record_is_an_object);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
