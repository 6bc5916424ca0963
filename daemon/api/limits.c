/* limits.*: what clients may use, and how near they are to it. */

#include "common/clock.h"
#include "daemon/api/methods.h"

#define TRIAL_MAX 100000 /* requests */

/* clang-format off */
const struct arg_spec limits_list_args[] = {
	{"limit", ARG_INT, .min = 1, .max = 1000, .help = "Addresses, and tokens, at most; default 20"},
	{.name = NULL},
};

const struct arg_spec limits_test_args[] = {
	{"rate",   ARG_STRING,   .required = true, .max = RATE_TEXT_SIZE, .help = "Requests: \"50/s\""},
	{"method", ARG_STRING,   .max = 64, .help = "What they call; default record.put"},
	{"for",    ARG_DURATION, .help = "For how long; default 60s"},
	{"token",  ARG_NAME,     .help = "The token that they are sent with"},
	{.name = NULL},
};
/* clang-format on */

enum err
limits_list(struct call *c)
{
	size_t most = c->args[0].is_set ? (size_t)c->args[0].i : 20;
	struct json_out o = json_out_start(c->result);

	json_begin_object(&o, NULL);
	limits_add_list(c->api->limits, most, clock_mono_ms(), &o);
	json_begin_array(&o, "tokens");
	auth_add_limits(c->api->auth, most, clock_mono_ms(), &o);
	json_end_array(&o);
	json_end_object(&o);
	return OK;
}

static void
put_trial(struct call *c, const struct method *m, const struct limits_trial *t)
{
	struct json_out o = json_out_start(c->result);

	json_begin_object(&o, NULL);
	json_put_str(&o, "method", m->name);
	json_put_int(&o, "cost", m->cost);
	json_put_int(&o, "sent", t->sent);
	json_put_int(&o, "passed", t->passed);
	json_put_int(&o, "refused", t->sent - t->passed);
	if (t->first_refused_ms >= 0) {
		json_put_int(&o, "first_refused_ms", t->first_refused_ms);
		json_put_str(&o, "bucket", t->first_refused_by);
	}
	json_end_object(&o);
}

enum err
limits_test(struct call *c)
{
	struct span name = c->args[1].is_set ? c->args[1].text : SPAN("record.put");
	int64_t for_ms = c->args[2].is_set ? c->args[2].i : 60 * 1000;
	const struct method *m = method_find(name);
	const struct auth_token *token = NULL;
	struct rate pace, own = RATE_UNLIMITED;
	struct limits_trial trial;

	if (!rate_parse(c->args[0].text, &pace) || rate_is_unlimited(&pace))
		return error_set(c->error, ERR_INVALID_ARGUMENT, "rate: not one such as \"50/s\"");
	if (m == NULL)
		return error_set(c->error, ERR_INVALID_ARGUMENT, "method: there is no \"%.*s\"",
			SPAN_FMT(name));
	if (for_ms > TRIAL_MAX * pace.period_ms / pace.count)
		return error_set(c->error, ERR_INVALID_ARGUMENT,
			"for: that would be more than %d requests", TRIAL_MAX);
	if (c->args[3].is_set && (token = auth_find_name(c->api->auth, c->args[3].text)) == NULL)
		return error_set(c->error, ERR_NOT_FOUND, "there is no token of the name %.*s",
			SPAN_FMT(c->args[3].text));
	if (token != NULL)
		own = token->allowance.rate;
	trial = limits_try(c->api->limits, &own, &pace, m->cost, for_ms);
	put_trial(c, m, &trial);
	return OK;
}
