/* What a call reaches: see reach.h. */

#include "daemon/api/reach.h"

#include <string.h>

#include "common/xalloc.h"

struct reach {
	const struct method *method;
	const struct scopes *scopes;
	struct args *args;
	unsigned named; /* verbs that something was named for */
	struct error *error;
};

static const struct term everything = {
	{"", 0},
        true
};

static enum err
refuse(const struct reach *r, enum scope verb, const struct term *what)
{
	struct buf need;

	buf_init(&need, ERROR_TEXT_MAX);
	scope_add_text(&need, verb, what->text, what->is_prefix);
	error_set(r->error, ERR_PERMISSION_DENIED,
		"%s needs %.*s, which this session does not have (%s)%s", r->method->name,
		SPAN_FMT(buf_span(&need)), scopes_source(r->scopes),
		verb == SCOPE_ADMIN ? ": use sysrtctl on the daemon's machine" : "");
	buf_fini(&need);
	return ERR_PERMISSION_DENIED;
}

static enum err
need(struct reach *r, enum scope verb, const struct term *what)
{
	r->named |= verb;
	return scopes_cover(r->scopes, verb, what->text, what->is_prefix) ? OK
									  : refuse(r, verb, what);
}

static enum err
check_terms(struct reach *r, enum scope verb, const struct arg *arg)
{
	enum err e = OK;

	for (size_t i = 0; i < arg->terms_n && e == OK; i++)
		e = need(r, verb, &arg->terms[i]);
	return e;
}

/** What stands beside the array under the same name. */
static struct span
find_beside(const struct reach *r, const char *name)
{
	const struct arg_spec *specs = r->method->args;

	for (size_t i = 0; specs[i].name != NULL; i++)
		if (strcmp(specs[i].name, name) == 0)
			return r->args->v[i].text;
	return SPAN("");
}

static enum err
check_item(struct reach *r, const struct arg_spec *specs, struct json_value item)
{
	struct args args;
	enum err e = args_read_item(&args, specs, item, r->error);

	for (size_t i = 0; e == OK && specs[i].name != NULL; i++) {
		struct term name = {.text = args.v[i].text};

		if (specs[i].touches == SCOPE_NONE)
			continue;
		if (!args.v[i].is_set)
			name.text = find_beside(r, specs[i].name);
		e = need(r, specs[i].touches, &name);
	}
	args_fini(&args);
	return e;
}

/** Whoever may do everything is not asked for each item. */
static enum err
check_items(struct reach *r, const struct arg_spec *spec, const struct arg *arg)
{
	struct json_walk w = json_walk_start(arg->value);
	struct json_value item;
	enum err e = OK;

	r->named |= spec->touches;
	if (scopes_cover(r->scopes, spec->touches, everything.text, true))
		return OK;
	for (size_t i = 0; e == OK && json_array_next(&w, &item); i++) {
		e = check_item(r, spec->items, item);
		if (e != OK && e != ERR_PERMISSION_DENIED)
			error_wrap(r->error, "record %zu", i);
	}
	return e;
}

/** A pattern that was not given becomes all that the caller may touch so, if that is not
 * everything. */
static void
narrow(struct reach *r, const struct arg_spec *spec, struct arg *arg)
{
	struct term own;
	size_t at = 0;

	if (scopes_cover(r->scopes, spec->touches, everything.text, true))
		return;
	while (scopes_next(r->scopes, spec->touches, &at, &own.text, &own.is_prefix)) {
		arg->terms = xrealloc(arg->terms, arg->terms_n + 1, sizeof(own));
		arg->terms[arg->terms_n++] = own;
	}
	arg->is_set = arg->terms_n > 0;
}

static enum err
check_arg(struct reach *r, const struct arg_spec *spec, struct arg *arg)
{
	if (spec->narrows && !arg->is_set)
		narrow(r, spec, arg);
	if (spec->items != NULL)
		return arg->is_set ? check_items(r, spec, arg) : OK;
	if (arg->terms_n > 0)
		return check_terms(r, spec->touches, arg);
	return arg->text.n > 0 ? need(r, spec->touches, &(struct term){.text = arg->text}) : OK;
}

enum err
reach_check(
	const struct method *m, const struct scopes *scopes, struct args *args, struct error *error)
{
	struct reach r = {.method = m, .scopes = scopes, .args = args, .error = error};
	enum err e = OK;

	if (m->scope == SCOPE_ADMIN) /* whatever it names */
		e = need(&r, SCOPE_ADMIN, &everything);
	for (size_t i = 0; e == OK && m->args[i].name != NULL; i++)
		if (m->args[i].touches != SCOPE_NONE)
			e = check_arg(&r, &m->args[i], &args->v[i]);
	if (e == OK && (m->scope & ~r.named) != 0)
		e = need(&r, m->scope, &everything);
	return e;
}

enum err
reach_need(const struct method *m, const struct scopes *scopes, enum scope verb, struct span name,
	struct error *error)
{
	struct reach r = {.method = m, .scopes = scopes, .error = error};

	return need(&r, verb, &(struct term){.text = name});
}

bool
reach_is_possible(const struct method *m, const struct scopes *scopes)
{
	return (m->scope & ~scopes_verbs(scopes)) == 0;
}

enum err
reach_refuse(const struct method *m, const struct scopes *scopes, struct error *error)
{
	return refuse(&(struct reach){.method = m, .scopes = scopes, .error = error}, m->scope,
		&everything);
}

bool
reach_covers(const struct scopes *scopes, enum scope verb, const struct term *terms, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!scopes_cover(scopes, verb, terms[i].text, terms[i].is_prefix))
			return false;
	return true;
}
