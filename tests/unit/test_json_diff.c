/*
 * Differences between JSON values: applying the steps to the first value gives
 * the second, for values of all shapes; and what the steps are in plain cases.
 */

#include <check.h>
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json_diff.h"
#include "common/xalloc.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static struct json_value
value_of(struct span text)
{
	struct json_value value;
	struct json_fault fault;

	ck_assert_int_eq(json_check(text, JSON_DEPTH_MAX, &value, &fault), OK);
	return value;
}

static void
add_step(void *arg, const struct json_edit *step)
{
	json_edit_add(step, arg);
}

/** The patch as text; to free. */
static char *
patch_of(struct span from, struct span to)
{
	struct buf patch;
	struct json_out o;

	buf_init(&patch, SIZE_MAX / 2);
	o = json_out_start(&patch);
	json_begin_array(&o, NULL);
	json_diff(value_of(from), value_of(to), add_step, &o);
	json_end_array(&o);
	buf_add_char(&patch, '\0');
	return buf_steal(&patch, &(size_t){0});
}

/* clang-format off */
static const struct {
	struct span from, to;
	const char *patch;
} cases[] = {
	{SPAN("1"), SPAN("1"), "[]"},
	{SPAN("1"), SPAN("1.0"), "[{\"op\":\"replace\",\"path\":\"\",\"value\":1.0}]"},
	{SPAN("\"\\u0041\""), SPAN("\"A\""), "[]"},
	{SPAN("{\"a\":1,\"b\":[]}"), SPAN("{\"b\":[],\"a\":1}"), "[]"},
	{SPAN("{\"a\":1}"), SPAN("{\"a\":2,\"b\":3}"),
		"[{\"op\":\"replace\",\"path\":\"/a\",\"value\":2},"
		"{\"op\":\"add\",\"path\":\"/b\",\"value\":3}]"},
	{SPAN("{\"a/b\":1,\"m~n\":{\"\":1}}"), SPAN("{\"m~n\":{\"\":2}}"),
		"[{\"op\":\"remove\",\"path\":\"/a~1b\"},"
		"{\"op\":\"replace\",\"path\":\"/m~0n/\",\"value\":2}]"},
	{SPAN("[1,2,3]"), SPAN("[1,9,2,3]"), "[{\"op\":\"add\",\"path\":\"/1\",\"value\":9}]"},
	{SPAN("[1,2,3,4]"), SPAN("[1,4]"),
		"[{\"op\":\"remove\",\"path\":\"/2\"},{\"op\":\"remove\",\"path\":\"/1\"}]"},
	{SPAN("[[1],2]"), SPAN("[[5],2]"), "[{\"op\":\"replace\",\"path\":\"/0/0\",\"value\":5}]"},
	{SPAN("{\"a\":1,\"a\":2}"), SPAN("{\"a\":2}"),
		"[{\"op\":\"replace\",\"path\":\"\",\"value\":{\"a\":2}}]"},
	{SPAN("{\"\\ud800\":1}"), SPAN("{}"), "[{\"op\":\"replace\",\"path\":\"\",\"value\":{}}]"},
	{SPAN("{\"a\":[]}"), SPAN("{\"a\":{}}"),
		"[{\"op\":\"replace\",\"path\":\"/a\",\"value\":{}}]"},
	{SPAN("{\"\\u00e9\":null}"), SPAN("{\"\303\251\":true}"),
		"[{\"op\":\"replace\",\"path\":\"/\303\251\",\"value\":true}]"},
};
/* clang-format on */

START_TEST(plain_cases)
{
	char *patch = patch_of(cases[_i].from, cases[_i].to);

	ck_assert_str_eq(patch, cases[_i].patch);
	free(patch);
}
END_TEST

static const char *const keys[] = {"a", "b", "c/d", "~", "~1", "", "0", "-"};

static cJSON *
random_value(int depth)
{
	long kind = random() % (depth > 0 ? 7 : 4);
	cJSON *value, *member;

	switch (kind) {
	case 0:
		return cJSON_CreateNumber((double)(random() % 3));
	case 1:
		return cJSON_CreateString(random() % 2 ? "x" : "y\n\xc3\xa9");
	case 2:
		return cJSON_CreateBool(random() % 2 != 0);
	case 3:
		return cJSON_CreateNull();
	default:
		break;
	}
	value = kind == 4 ? cJSON_CreateArray() : cJSON_CreateObject();
	for (long n = random() % 5; n > 0; n--) {
		const char *key = keys[(size_t)random() % COUNT_OF(keys)];

		member = random_value(depth - 1);
		if (kind == 4)
			cJSON_AddItemToArray(value, member);
		else if (cJSON_GetObjectItemCaseSensitive(value, key) == NULL)
			cJSON_AddItemToObject(value, key, member);
		else
			cJSON_Delete(member);
	}
	return value;
}

/** Puts an item in front of the i-th; cJSON's own function refuses arrays that were copied. */
static void
insert_item(cJSON *array, int i, cJSON *item)
{
	int n = cJSON_GetArraySize(array);

	ck_assert(cJSON_AddItemToArray(array, item));
	for (int k = i; k < n; k++) /* the others move behind it */
		ck_assert(cJSON_AddItemToArray(array, cJSON_DetachItemFromArray(array, i)));
}

/** Changes some of the value in place. */
static void
mutate(cJSON **value)
{
	cJSON *child = (*value)->child;
	int n = cJSON_GetArraySize(*value), i = n > 0 ? (int)(random() % n) : 0;

	if (child == NULL || random() % 4 == 0) {
		cJSON_Delete(*value);
		*value = random_value(3);
		return;
	}
	if (random() % 4 == 0) {
		cJSON_DeleteItemFromArray(*value, i);
		return;
	}
	if (random() % 4 == 0 && cJSON_IsArray(*value)) {
		insert_item(*value, i, random_value(2));
		return;
	}
	child = cJSON_Duplicate(cJSON_GetArrayItem(*value, i), 1);
	mutate(&child);
	if (cJSON_IsArray(*value))
		cJSON_ReplaceItemInArray(*value, i, child);
	else
		cJSON_ReplaceItemInObjectCaseSensitive(
			*value, cJSON_GetArrayItem(*value, i)->string, child);
}

/** The last part of a pointer, decoded, and the value above it. */
static cJSON *
above_of(cJSON *value, const char *path, char *last)
{
	for (;;) {
		const char *slash = strchr(path + 1, '/');
		size_t n = slash != NULL ? (size_t)(slash - path - 1) : strlen(path + 1), k = 0;

		ck_assert_int_eq(path[0], '/');
		for (size_t i = 0; i < n; i++)
			last[k++] = path[1 + i] != '~'     ? path[1 + i]
				    : path[1 + ++i] == '0' ? '~'
							   : '/';
		last[k] = '\0';
		if (slash == NULL)
			return value;
		value = cJSON_IsArray(value) ? cJSON_GetArrayItem(value, atoi(last))
					     : cJSON_GetObjectItemCaseSensitive(value, last);
		ck_assert_ptr_nonnull(value);
		path = slash;
	}
}

static void
apply_to_array(cJSON *array, const char *op, int i, cJSON *to)
{
	int n = cJSON_GetArraySize(array);

	if (strcmp(op, "add") == 0)
		ck_assert_int_le(i, n);
	else
		ck_assert_int_lt(i, n);
	if (strcmp(op, "remove") == 0) {
		cJSON_DeleteItemFromArray(array, i);
	} else if (strcmp(op, "replace") == 0) {
		ck_assert(cJSON_ReplaceItemInArray(array, i, to));
	} else {
		insert_item(array, i, to);
	}
}

static void
apply_to_object(cJSON *object, const char *op, const char *key, cJSON *to)
{
	bool is_there = cJSON_GetObjectItemCaseSensitive(object, key) != NULL;

	ck_assert_int_eq(is_there, strcmp(op, "add") != 0);
	if (is_there)
		cJSON_DeleteItemFromObjectCaseSensitive(object, key);
	if (to != NULL)
		cJSON_AddItemToObject(object, key, to);
}

static void
apply(cJSON **value, const cJSON *step)
{
	const char *op = cJSON_GetStringValue(cJSON_GetObjectItem(step, "op"));
	const char *path = cJSON_GetStringValue(cJSON_GetObjectItem(step, "path"));
	cJSON *to = cJSON_Duplicate(cJSON_GetObjectItem(step, "value"), 1), *above;
	char last[64];

	if (path[0] == '\0') {
		ck_assert_str_eq(op, "replace");
		cJSON_Delete(*value);
		*value = to;
		return;
	}
	above = above_of(*value, path, last);
	if (cJSON_IsArray(above))
		apply_to_array(above, op, atoi(last), to);
	else
		apply_to_object(above, op, last, to);
}

START_TEST(the_patch_makes_the_second_of_the_first)
{
	srandom(1);
	for (int round = 0; round < 5000; round++) {
		cJSON *a = random_value(4), *b = cJSON_Duplicate(a, 1), *patch, *step;
		char *from, *to, *text;

		for (long n = random() % 4; n > 0; n--)
			mutate(&b);
		from = cJSON_PrintUnformatted(a);
		to = cJSON_PrintUnformatted(b);
		text = patch_of(span_of(from), span_of(to));
		patch = cJSON_Parse(text);
		cJSON_ArrayForEach(step, patch) apply(&a, step);
		ck_assert_msg(cJSON_Compare(a, b, 1), "%s %s %s", from, to, text);
		ck_assert_int_eq(strcmp(text, "[]") == 0, strcmp(from, to) == 0);
		cJSON_Delete(a);
		cJSON_Delete(b);
		cJSON_Delete(patch);
		free(from);
		free(to);
		free(text);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("json_diff");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, plain_cases, 0, COUNT_OF(cases));
	tcase_add_test(t, the_patch_makes_the_second_of_the_first);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
