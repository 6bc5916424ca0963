/*
 * watch: follows changes with automatic reconnect and resume, as JSON lines or
 * by running a program for each. The position goes forward, and is kept in the
 * file of --state, only after the change before it has left this process: was
 * written, or the program ended with 0. Signals are let in only where nothing
 * can be torn, which includes waiting for somebody who does not read.
 */

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/door.h"
#include "ctl/interrupt.h"
#include "ctl/out.h"
#include "ctl/position.h"
#include "ctl/program.h"
#include "ctl/text.h"

#define BACK_OFF_MIN_MS 50
#define BACK_OFF_MAX_MS 5000
#define BACK_OFF_SPREAD 2     /* one part in so many is added at random */
#define RETRY_MAX_MS    60000 /* that the daemon may ask for */
#define KEEP_EVERY      1000  /* changes between two writes of the state, while they keep coming */
#define LINES_BYTES     ((size_t)64 << 10) /* that are gathered before they are printed */
#define LINES_MAX       ((size_t)1 << 30)

/* What a step of watching results in, beside an exit status above 0. */
enum { GO_ON = 0, AGAIN = -1 /* connect and subscribe anew */ };

struct watch {
	struct ctl *c;
	bool is_topic;
	bool was_connected;
	bool cannot_print;
	int wait_ms;                   /* before the next attempt to connect */
	const char *state;             /* the file; NULL: none */
	struct position position;      /* behind what was handed on */
	struct position safe;          /* behind what has left this process */
	char kept[POSITION_TEXT_SIZE]; /* what is in the file */
	unsigned unkept;               /* changes since then */
	struct buf lines;              /* handed on, not printed yet */
};

static int
print(struct watch *w)
{
	size_t at = 0;
	int status = w->cannot_print ? EXIT_REFUSED : out_write(buf_span(&w->lines), &at);

	buf_consume(&w->lines, at);
	w->cannot_print = status == EXIT_REFUSED;
	if (status == GO_ON)
		w->safe = w->position;
	return status;
}

static int
run_program(struct watch *w, struct span line)
{
	const char *name = w->c->program[0];
	int status;
	bool has_run;

	interrupt_release();
	has_run = program_run(w->c->program, &line, &status);
	interrupt_hold();
	if (!has_run)
		return EXIT_REFUSED;
	if (status != 0 && interrupt_status() == 0)
		ctl_refuse("%s ended with %d: stopping before this change", name, status);
	return status != 0 ? EXIT_REFUSED : GO_ON;
}

/** Gathers a line to be printed, or runs the program on it. */
static int
hand_on(struct watch *w, struct span line)
{
	int status = GO_ON;

	if (w->c->program != NULL)
		return run_program(w, line);
	if (w->lines.n >= LINES_BYTES)
		status = print(w);
	out_add_json(w->c, &w->lines, line);
	if (w->lines.failed)
		return ctl_refuse("out of memory");
	return status;
}

/** Prints what is gathered, then keeps the position behind it. */
static int
keep(struct watch *w)
{
	char text[POSITION_TEXT_SIZE];
	int status = print(w);

	w->unkept = 0;
	if (status != 0 || w->state == NULL || !w->safe.is_set)
		return status;
	position_format(&w->safe, text);
	if (strcmp(text, w->kept) == 0)
		return 0;
	status = position_save(&w->safe, w->state);
	if (status == 0)
		memcpy(w->kept, text, sizeof(text));
	else
		w->state = NULL; /* told once */
	return status;
}

static int
on_change(struct watch *w, struct json_value params)
{
	int64_t seq = answer_int(params, "seq", 0), prev = answer_int(params, "prev", 0);
	int status;

	if (seq <= w->position.seq)
		return GO_ON; /* it was told before */
	if (prev > w->position.seq)
		return AGAIN; /* a gap, which must not be */
	status = hand_on(w, params.raw);
	if (status != 0)
		return status;
	w->position.seq = seq;
	if (w->c->program != NULL || ++w->unkept >= KEEP_EVERY)
		return keep(w);
	return GO_ON;
}

/** The position is not valid any more: everything comes anew, which is told, so that whoever reads
 * can drop at "synced" what was not among it. */
static int
start_anew(struct watch *w, const char *why)
{
	int status;

	ctl_warn("%s; starting anew: what is not told until \"synced\" is gone", why);
	status = hand_on(w, SPAN("{\"op\":\"resync\"}"));
	if (status != GO_ON)
		return status;
	w->position = (struct position){.seq = 0, .is_set = true, .is_resync = true};
	return keep(w);
}

static int
on_synced(struct watch *w, struct json_value params)
{
	int64_t seq = answer_int(params, "seq", w->position.seq);
	char line[64];
	int status = GO_ON;

	if (w->position.is_resync) {
		snprintf(line, sizeof(line), "{\"op\":\"synced\",\"seq\":%" PRId64 "}", seq);
		status = hand_on(w, span_of(line));
	}
	if (status != GO_ON)
		return status;
	w->position.is_resync = false;
	w->position.seq = seq;
	w->position.base = 0;
	return GO_ON;
}

/** The daemon says that we may not listen any longer. */
static int
on_unsubscribed(struct json_value params)
{
	char *reason = answer_dup(params, "reason");

	ctl_warn("the subscription has ended: %s", reason != NULL ? reason : "no reason is told");
	free(reason);
	return EXIT_DENIED;
}

/** The daemon says when to come back. */
static void
on_closing(struct watch *w, struct json_value params)
{
	int64_t retry_ms = answer_int(params, "retry_after_ms", 0);

	if (retry_ms > w->wait_ms)
		w->wait_ms = retry_ms < RETRY_MAX_MS ? (int)retry_ms : RETRY_MAX_MS;
}

static int
on_notice(struct watch *w, const struct sysrt_notice *n)
{
	struct json_value params = answer_value((struct span){n->params, n->params_n});
	int status = GO_ON;

	if (strcmp(n->method, "change") == 0) {
		status = on_change(w, params);
	} else if (strcmp(n->method, "message") == 0) {
		status = hand_on(w, params.raw);
	} else if (strcmp(n->method, "synced") == 0) {
		status = on_synced(w, params);
	} else if (strcmp(n->method, "progress") == 0) {
		w->position.seq = answer_int(params, "seq", w->position.seq);
	} else if (strcmp(n->method, "resync") == 0) {
		status = start_anew(w, "fell behind what the store still knows of deletions");
		if (status == GO_ON)
			status = AGAIN;
	} else if (strcmp(n->method, "lagged") == 0) {
		ctl_hint(w->c, "sysrtctl: fell behind, catching up");
	} else if (strcmp(n->method, "unsubscribed") == 0) {
		status = on_unsubscribed(params);
	} else if (strcmp(n->method, "closing") == 0) {
		on_closing(w, params);
	}
	return status;
}

static int
make_params(struct watch *w, struct buf *params)
{
	static const char *const everything[] = {"*"};
	struct ctl *c = w->c;
	struct json_out o = ctl_params(params);
	int status;

	text_put_words(&o, w->is_topic ? "topics" : "categories",
		c->words_n > 0 ? c->words : everything, c->words_n > 0 ? c->words_n : 1);
	text_put_option(c, &o, "id", "ids");
	if (!w->is_topic)
		position_put(&w->position, &o);
	if (ctl_option(c, "history") != NULL)
		json_put_bool(&o, "history", true);
	status = text_put_where(c, &o);
	json_end_object(&o);
	buf_add_char(params, '\0');
	return status;
}

static void
take_subscribed(struct watch *w, const char *result)
{
	struct json_value answer = answer_value(span_of(result));

	position_set_epoch(&w->position, answer);
	if (!w->position.is_set)
		w->position.seq = answer_int(answer, "seq", 0);
	w->position.is_set = true;
	w->position.base = answer_int(answer, "base", 0);
	if (!w->safe.is_set)
		w->safe = w->position;
}

/** What to do about a failure: connect again where it may help and has worked before. */
static int
on_failure(struct watch *w, const struct sysrt_error *error)
{
	static const char *const passing[] = {"CLOSED", "NOT_RUNNING", "UNAVAILABLE", "TIMEOUT",
		"INTERRUPTED", "RATE_LIMITED", "LIMIT_EXCEEDED"};

	for (size_t i = 0; w->was_connected && i < sizeof(passing) / sizeof(passing[0]); i++)
		if (strcmp(error->name, passing[i]) == 0)
			return AGAIN;
	return interrupt_status() != 0 ? AGAIN : ctl_fail(error);
}

static int
subscribe(struct watch *w)
{
	struct sysrt_error error;
	struct buf params;
	char *result = NULL;
	int got, status;

	status = make_params(w, &params);
	if (status != GO_ON) {
		buf_fini(&params);
		return status;
	}
	got = sysrt_call(w->c->sysrt, "subscribe", params.p, w->c->timeout_ms, &result, &error);
	buf_fini(&params);
	if (got == 0) {
		take_subscribed(w, result);
		free(result);
		return GO_ON;
	}
	if (strcmp(error.name, "RESYNC_REQUIRED") != 0)
		return on_failure(w, &error);
	interrupt_hold();
	status = start_anew(w, error.text);
	interrupt_release();
	return status == GO_ON ? subscribe(w) : status;
}

/** Nothing more came: a good moment to print what is there. Then waits for more. */
static int
wait_for_more(struct watch *w)
{
	struct pollfd fds[] = {
		{.fd = sysrt_fd(w->c->sysrt),                      .events = POLLIN},
		{.fd = w->c->program == NULL ? STDOUT_FILENO : -1, .events = 0     },
	};
	int status = keep(w);

	if (status != 0)
		return status;
	if (interrupt_poll(fds, 2, sysrt_wait_ms(w->c->sysrt)) > 0 &&
		(fds[1].revents & POLLERR) != 0)
		raise(SIGPIPE); /* nobody reads what we would print */
	return GO_ON;
}

static int
stream(struct watch *w)
{
	struct sysrt_notice notice;
	struct sysrt_error error;
	int status = GO_ON, kept;

	interrupt_hold();
	while (interrupt_status() == 0 && status == GO_ON) {
		int got = sysrt_next(w->c->sysrt, 0, &notice, &error);

		if (got < 0)
			status = on_failure(w, &error);
		else
			status = got > 0 ? on_notice(w, &notice) : wait_for_more(w);
	}
	if (status == AGAIN) { /* it may take long until there is more */
		kept = keep(w);
		status = kept != GO_ON ? kept : status;
	}
	interrupt_release();
	return status;
}

/** One connection, from its beginning to its end. */
static int
follow(struct watch *w)
{
	struct sysrt_error error;
	int status;

	if (door_open(w->c, &error) != 0)
		return on_failure(w, &error);
	status = subscribe(w);
	if (status == GO_ON) {
		if (w->was_connected)
			ctl_hint(w->c, "sysrtctl: connected again");
		w->was_connected = true;
		w->wait_ms = BACK_OFF_MIN_MS;
		status = stream(w);
		if (status == AGAIN && interrupt_status() == 0)
			ctl_hint(w->c, "sysrtctl: the connection ended, connecting again");
	}
	ctl_disconnect(w->c);
	return status;
}

/** Waits, longer each time, and not as long as everybody else who lost the same daemon. */
static void
back_off(struct watch *w)
{
	uint32_t spread_ms = randombytes_uniform((uint32_t)w->wait_ms / BACK_OFF_SPREAD);

	interrupt_hold();
	if (interrupt_status() == 0)
		interrupt_poll(NULL, 0, w->wait_ms + (int)spread_ms);
	interrupt_release();
	w->wait_ms = w->wait_ms * 2 > BACK_OFF_MAX_MS ? BACK_OFF_MAX_MS : w->wait_ms * 2;
}

static int
start_position(struct watch *w)
{
	const char *since = ctl_option(w->c, "since");
	int status = 0;

	w->state = ctl_option(w->c, "state");
	if (w->is_topic &&
		(since != NULL || w->state != NULL || ctl_option(w->c, "history") != NULL))
		return ctl_usage("topics are not stored: --since, --state and --history do not go "
				 "with them");
	if (w->state != NULL)
		status = position_load(&w->position, w->state);
	if (status == 0 && since != NULL && !w->position.is_set)
		status = position_parse(&w->position, since, w->c);
	ctl_disconnect(w->c);
	w->safe = w->position;
	return status;
}

/** Prints what is left, and tells how to go on. */
static int
end(struct watch *w, int status)
{
	int kept = keep(w);

	buf_fini(&w->lines);
	if (interrupt_status() != 0)
		status = interrupt_status();
	else if (status == GO_ON)
		status = kept;
	if (status != 0 && w->was_connected && !w->is_topic)
		position_hint(&w->safe, w->c);
	return status;
}

int
watch_run(struct ctl *c)
{
	struct watch w = {
		.c = c, .is_topic = ctl_option(c, "topic") != NULL, .wait_ms = BACK_OFF_MIN_MS};
	int status = start_position(&w);

	if (status != 0)
		return status;
	buf_init(&w.lines, LINES_MAX);
	interrupt_catch();
	if (c->program != NULL) {
		signal(SIGPIPE, SIG_IGN);
		signal(SIGCHLD, SIG_DFL); /* so that how a program ended is known */
	}
	while ((status = follow(&w)) == AGAIN && interrupt_status() == 0)
		back_off(&w);
	return end(&w, status);
}
