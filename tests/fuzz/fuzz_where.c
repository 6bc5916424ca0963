/*
 * Fuzzes conditions: the input is a condition, a line feed, and data. No crash on
 * any input; a condition that is taken is its own print; the walk over the data
 * finds what looking up each pointer by itself finds; "not" is the opposite, a
 * copy is the same.
 */

#include <stdint.h>
#include <stdlib.h>

#include "common/json_compare.h"
#include "common/json_pointer.h"
#include "common/where.h"
#include "common/xalloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_json(struct span text, struct json_value *value)
{
	struct json_fault fault;

	return json_check(text, JSON_DEPTH_MAX, value, &fault) == OK;
}

static struct span
decode(struct span raw, char **owned)
{
	*owned = xcalloc(1, raw.n);
	return (struct span){*owned, json_string_bytes(raw, *owned)};
}

static bool
text_is_in(struct span raw, struct span part)
{
	char *owned;
	struct span text = decode(raw, &owned);
	bool is_in = part.n == 0 || memmem(text.p, text.n, part.p, part.n) != NULL;

	must(json_string_has_prefix(raw, part) == span_has_prefix(text, part));
	free(owned);
	return is_in;
}

static bool
array_has(struct json_value array, struct json_value item)
{
	struct json_walk w = json_walk_start(array);
	struct json_value value;

	while (array.type == JSON_ARRAY && json_array_next(&w, &value))
		if (json_equal(value, item))
			return true;
	return false;
}

/** <0, 0, >0, or 2: no order. */
static int
order_of(struct json_value a, struct json_value b)
{
	struct json_decimal x, y;
	int order, back;

	if (a.type != b.type)
		return 2;
	if (a.type == JSON_STRING) {
		order = json_string_compare(a.raw, b.raw);
		back = json_string_compare(b.raw, a.raw);
	} else {
		x = json_decimal_of(a.raw);
		y = json_decimal_of(b.raw);
		order = json_decimal_compare(&x, &y);
		back = json_decimal_compare(&y, &x);
	}
	must((order < 0) == (back > 0) && (order == 0) == (back == 0));
	must((order == 0) == json_equal(a, b));
	return order < 0 ? -1 : order > 0;
}

static bool
text_operator_holds(
	struct span op, bool is_there, struct json_value value, struct json_value operand)
{
	char *owned;
	struct span text;
	bool holds;

	if (!is_there || value.type != JSON_STRING || operand.type != JSON_STRING)
		return is_there && json_string_is(op, "contains") && array_has(value, operand);
	text = decode(operand.raw, &owned);
	holds = json_string_is(op, "prefix") ? json_string_has_prefix(value.raw, text)
					     : text_is_in(value.raw, text);
	free(owned);
	return holds;
}

static bool
operator_holds(struct span op, bool is_there, struct json_value value, struct json_value operand)
{
	int order;

	if (json_string_is(op, "="))
		return is_there && json_equal(value, operand);
	if (json_string_is(op, "!="))
		return !is_there || !json_equal(value, operand);
	if (json_string_is(op, "in"))
		return is_there && array_has(operand, value);
	if (json_string_is(op, "exists"))
		return is_there == (operand.type == JSON_TRUE);
	if (json_string_is(op, "contains") || json_string_is(op, "prefix"))
		return text_operator_holds(op, is_there, value, operand);
	order = is_there ? order_of(value, operand) : 2;
	if (json_string_is(op, "<"))
		return order == -1;
	if (json_string_is(op, "<="))
		return order == -1 || order == 0;
	if (json_string_is(op, ">"))
		return order == 1;
	must(json_string_is(op, ">="));
	return order == 1 || order == 0;
}

static bool
pointer_holds(struct span key, struct json_value operators, struct json_value data)
{
	struct json_pointer *pointer;
	struct json_walk w = json_walk_start(operators);
	struct json_value value = {.type = JSON_NULL}, operand;
	char *owned;
	struct span op, text = decode(key, &owned);
	bool is_there, holds = true;

	must(json_pointer_new(text, &pointer, NULL) == OK);
	is_there = json_pointer_find(pointer, data, &value);
	free(pointer);
	free(owned);
	if (operators.type != JSON_OBJECT)
		return is_there && json_equal(value, operators);
	while (json_object_next(&w, &op, &operand))
		holds = operator_holds(op, is_there, value, operand) && holds;
	return holds;
}

/** The condition as its text says it, one pointer at a time. */
static bool
holds(struct json_value condition, struct json_value data)
{
	struct json_walk w = json_walk_start(condition), list;
	struct json_value value, item;
	struct span key;
	bool all = true;

	while (json_object_next(&w, &key, &value)) {
		bool is_and = json_string_is(key, "and"), one = is_and;

		if (json_string_is(key, "not")) {
			all = !holds(value, data) && all;
		} else if (is_and || json_string_is(key, "or")) {
			list = json_walk_start(value);
			while (json_array_next(&list, &item))
				one = is_and ? holds(item, data) && one : holds(item, data) || one;
			all = one && all;
		} else {
			all = pointer_holds(key, value, data) && all;
		}
	}
	return all;
}

static struct where *
condition_of(struct span text)
{
	struct json_value value;
	struct where *w = NULL;

	must(is_json(text, &value));
	must(where_new(value, &w, NULL) == OK);
	return w;
}

static void
check(struct where *w, struct json_value condition, struct json_value data)
{
	bool does = where_matches(w, data.raw);
	struct where *again = condition_of(where_text(w)), *opposite, *copy;
	struct error error = ERROR_NONE;
	struct buf text;

	must(does == holds(condition, data));
	must(span_eq(where_text(again), where_text(w)) && where_size(again) == where_size(w));
	must(where_matches(again, data.raw) == does);
	copy = xcalloc(1, where_size(w));
	memcpy(copy, w, where_size(w));
	free(w);
	must(where_matches(copy, data.raw) == does);
	buf_init(&text, SIZE_MAX / 2);
	buf_add_span(&text, SPAN("{\"not\":"));
	buf_add_span(&text, where_text(copy));
	buf_add_char(&text, '}');
	must(is_json(buf_span(&text), &condition));
	if (where_new(condition, &opposite, &error) == OK) {
		must(where_matches(opposite, data.raw) != does);
		free(opposite);
	} else {
		must(error.code == ERR_LIMIT_EXCEEDED);
	}
	buf_fini(&text);
	free(copy);
	free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	const char *feed = size > 0 ? memchr(p, '\n', size) : NULL;
	struct error error = ERROR_NONE;
	struct json_value condition, value;
	struct where *w;

	if (feed == NULL || !is_json((struct span){p, (size_t)(feed - p)}, &condition) ||
		!is_json((struct span){feed + 1, (size_t)(p + size - feed - 1)}, &value))
		return 0;
	if (where_new(condition, &w, &error) == OK)
		check(w, condition, value);
	else
		must(error.text[0] != '\0');
	return 0;
}
