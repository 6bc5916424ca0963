#pragma once
/*
 * What is different between two JSON values, as the steps that make the second
 * one out of the first: those of a JSON Patch (RFC 6902). Objects are compared by
 * their keys whatever their order, strings decoded, numbers by their tokens: 1 is
 * not 1.0, since data is kept as it was sent. Pure.
 */

#include "common/json.h"

enum json_edit_kind { JSON_EDIT_ADD, JSON_EDIT_REMOVE, JSON_EDIT_REPLACE };

/** One step; its place is that in what the steps before it have made. */
struct json_edit {
	enum json_edit_kind kind;
	struct span path;       /* a JSON Pointer, decoded; valid during the call */
	struct json_value from; /* what goes; raw.n == 0 in an add */
	struct json_value to;   /* what comes; raw.n == 0 in a remove */
};

/** Tells the steps in their order; none when the values are the same. Both have been accepted by
 * json_check(). */
void json_diff(struct json_value from, struct json_value to,
	void (*tell)(void *arg, const struct json_edit *step), void *arg);
/** Appends a step as an object of a JSON Patch. */
void json_edit_add(const struct json_edit *step, struct json_out *o);
