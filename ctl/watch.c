/*
 * watch: follows changes with automatic reconnect and resume, as JSON lines or
 * by running a program for each. The position goes forward, and is kept in the
 * file of --state, only after the change before it has left this process: was
 * written, or the program ended with 0. Signals are let in only where nothing
 * can be torn.
 */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/out.h"
#include "ctl/position.h"
#include "ctl/program.h"
#include "ctl/text.h"

#define BACK_OFF_MIN_MS 50
#define BACK_OFF_MAX_MS 5000
#define KEEP_EVERY      1000 /* changes between two writes of the state, while they keep coming */

/* What a step of watching results in, beside an exit status above 0. */
enum { GO_ON = 0, AGAIN = -1 /* connect and subscribe anew */ };

struct watch {
	struct ctl *c;
	bool is_topic;
	bool is_replaying; /* everything comes anew since the position was not valid */
	bool was_connected;
	int wait_ms; /* before the next attempt to connect */
	struct position position;
	char kept[POSITION_TEXT_SIZE]; /* what is in the file */
	unsigned unkept;               /* changes since then */
	const char *state;             /* the file; NULL: none */
	sigset_t open;                 /* signals as they were */
};

static volatile sig_atomic_t interrupted;

static void
on_interrupt(int signo)
{
	interrupted = signo;
}

static void
catch_interrupts(struct watch *w)
{
	struct sigaction action = {.sa_handler = on_interrupt};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigprocmask(SIG_SETMASK, NULL, &w->open);
	if (w->c->program != NULL)
		signal(SIGPIPE, SIG_IGN);
}

static void
hold_signals(void)
{
	sigset_t held;

	sigemptyset(&held);
	sigaddset(&held, SIGINT);
	sigaddset(&held, SIGTERM);
	sigprocmask(SIG_BLOCK, &held, NULL);
}

static void
release_signals(const struct watch *w)
{
	sigprocmask(SIG_SETMASK, &w->open, NULL);
}

static void
tell(const struct watch *w, const char *text)
{
	if (!w->c->is_quiet)
		fprintf(stderr, "sysrtctl: %s\n", text);
}

/** Prints a line, or runs the program on it. */
static int
hand_on(struct watch *w, struct span line)
{
	char **program = w->c->program;
	int status;

	if (program == NULL) {
		out_json(w->c, line);
		return GO_ON;
	}
	release_signals(w);
	status = program_run(program, line);
	hold_signals();
	if (status != 0 && !interrupted)
		ctl_refuse("%s ended with %d: stopping before this change", program[0], status);
	return status;
}

/** Keeps the position, after what stands before it has left this process. */
static int
keep(struct watch *w)
{
	char text[POSITION_TEXT_SIZE];
	int status = out_finish();

	w->unkept = 0;
	if (status != 0 || w->state == NULL || !w->position.is_set)
		return status;
	position_format(&w->position, text);
	if (strcmp(text, w->kept) == 0)
		return 0;
	status = position_save(&w->position, w->state);
	if (status == 0)
		memcpy(w->kept, text, sizeof(text));
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
	fprintf(stderr, "sysrtctl: %s; starting anew: what is not told until \"synced\" is gone\n",
		why);
	w->position = (struct position){.seq = 0, .is_set = true};
	w->is_replaying = true;
	return hand_on(w, SPAN("{\"op\":\"resync\"}"));
}

static int
on_synced(struct watch *w, struct json_value params)
{
	char line[64];
	int status;

	w->position.seq = answer_int(params, "seq", w->position.seq);
	w->position.base = 0;
	if (!w->is_replaying)
		return GO_ON;
	snprintf(line, sizeof(line), "{\"op\":\"synced\",\"seq\":%" PRId64 "}", w->position.seq);
	status = hand_on(w, span_of(line));
	if (status == 0)
		w->is_replaying = false;
	return status;
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
		tell(w, "fell behind, catching up");
	}
	return status;
}

static void
make_params(struct watch *w, struct buf *params)
{
	static const char *const everything[] = {"*"};
	struct ctl *c = w->c;
	struct json_out o = ctl_params(params);

	text_put_words(&o, w->is_topic ? "topics" : "categories",
		c->words_n > 0 ? c->words : everything, c->words_n > 0 ? c->words_n : 1);
	text_put_option(c, &o, "id", "ids");
	if (!w->is_topic)
		position_put(&w->position, &o);
	json_end_object(&o);
	buf_add_char(params, '\0');
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
}

/** What to do about a failure: connect again where it may help and has worked before. */
static int
on_failure(struct watch *w, const struct sysrt_error *error)
{
	static const char *const passing[] = {
		"CLOSED", "NOT_RUNNING", "UNAVAILABLE", "TIMEOUT", "INTERRUPTED"};

	for (size_t i = 0; w->was_connected && i < sizeof(passing) / sizeof(passing[0]); i++)
		if (strcmp(error->name, passing[i]) == 0)
			return AGAIN;
	return interrupted ? AGAIN : ctl_fail(error);
}

static int
subscribe(struct watch *w)
{
	struct sysrt_error error;
	struct buf params;
	char *result = NULL;
	int got, status;

	make_params(w, &params);
	got = sysrt_call(w->c->sysrt, "subscribe", params.p, w->c->timeout_ms, &result, &error);
	buf_fini(&params);
	if (got == 0) {
		take_subscribed(w, result);
		free(result);
		return GO_ON;
	}
	if (strcmp(error.name, "RESYNC_REQUIRED") != 0)
		return on_failure(w, &error);
	hold_signals();
	status = start_anew(w, error.text);
	release_signals(w);
	return status == GO_ON ? subscribe(w) : status;
}

/** Nothing more came: a good moment to write what is there. Then waits for more. */
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
	if (ppoll(fds, 2, NULL, &w->open) > 0 && (fds[1].revents & POLLERR) != 0)
		return EXIT_SIGNALLED + SIGPIPE; /* nobody reads what we would print */
	return GO_ON;
}

static int
stream(struct watch *w)
{
	struct sysrt_notice notice;
	struct sysrt_error error;
	int status = GO_ON;

	hold_signals();
	while (!interrupted && status == GO_ON) {
		int got = sysrt_next(w->c->sysrt, 0, &notice, &error);

		if (got < 0)
			status = on_failure(w, &error);
		else
			status = got > 0 ? on_notice(w, &notice) : wait_for_more(w);
	}
	release_signals(w);
	return status;
}

/** One connection, from its beginning to its end. */
static int
follow(struct watch *w)
{
	struct sysrt_error error;
	int status;

	if (sysrt_connect(w->c->socket, &w->c->sysrt, &error) != 0)
		return on_failure(w, &error);
	status = subscribe(w);
	if (status == GO_ON) {
		if (w->was_connected)
			tell(w, "connected again");
		w->was_connected = true;
		w->wait_ms = BACK_OFF_MIN_MS;
		status = stream(w);
		if (status == AGAIN && !interrupted)
			tell(w, "the connection ended, connecting again");
	}
	ctl_disconnect(w->c);
	return status;
}

static int
start_position(struct watch *w)
{
	const char *since = ctl_option(w->c, "since");
	int status = 0;

	w->state = ctl_option(w->c, "state");
	if (w->is_topic && (since != NULL || w->state != NULL))
		return ctl_usage("topics are not stored: --since and --state do not go with them");
	if (w->state != NULL)
		status = position_load(&w->position, w->state);
	if (status == 0 && since != NULL && !w->position.is_set)
		status = position_parse(&w->position, since, w->c);
	/* Somebody may wait for the end of a replay that broke off. */
	w->is_replaying = w->position.base > w->position.seq;
	ctl_disconnect(w->c);
	return status;
}

static int
end(struct watch *w, int status)
{
	int kept = keep(w);

	if (!interrupted)
		return status != 0 ? status : kept;
	if (!w->is_topic && w->position.is_set && !w->c->is_quiet)
		position_hint(&w->position);
	return EXIT_SIGNALLED + interrupted;
}

int
watch_run(struct ctl *c)
{
	struct watch w = {
		.c = c, .is_topic = ctl_option(c, "topic") != NULL, .wait_ms = BACK_OFF_MIN_MS};
	int status = start_position(&w);

	if (status != 0)
		return status;
	catch_interrupts(&w);
	while ((status = follow(&w)) == AGAIN && !interrupted) {
		poll(NULL, 0, w.wait_ms);
		w.wait_ms = w.wait_ms * 2 > BACK_OFF_MAX_MS ? BACK_OFF_MAX_MS : w.wait_ms * 2;
	}
	return end(&w, status);
}
