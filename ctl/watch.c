/*
 * watch: follows changes with automatic reconnect and resume, as JSON lines or
 * by running a program for each. changes: one page of them. A position is kept
 * in a file only after what stands before it has been written or run.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "ctl/commands.h"
#include "ctl/out.h"
#include "ctl/position.h"
#include "ctl/text.h"

#define BACK_OFF_MIN_MS 50
#define BACK_OFF_MAX_MS 5000
#define KEEP_EVERY      1000 /* changes between two writes of the state, while they keep coming */

struct watch {
	struct ctl *c;
	struct position position;
	bool is_resyncing; /* replaying from 0 because the position was not valid */
	bool was_connected;
	bool is_topic;
	unsigned unkept; /* changes since the state was written */
	const char *state;
};

static volatile sig_atomic_t interrupted;

static void
on_interrupt(int signo)
{
	(void)signo;
	interrupted = 1;
}

static void
catch_interrupts(void)
{
	struct sigaction action = {.sa_handler = on_interrupt};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static int64_t
member_int(struct span object, const char *name, int64_t otherwise)
{
	struct json_value v = out_member(object, name);
	int64_t number;

	return v.type == JSON_NUMBER && v.raw.n > 0 && json_number_int64(v.raw, &number)
		       ? number
		       : otherwise;
}

/** Writes a change to the program's standard input; false when it did not take it all. */
static bool
feed(int fd, struct span line)
{
	while (line.n > 0) {
		ssize_t n = write(fd, line.p, line.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		line.p += n;
		line.n -= (size_t)n;
	}
	return write(fd, "\n", 1) == 1;
}

static int
run_child(char **argv, int in)
{
	signal(SIGPIPE, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	dup2(in, STDIN_FILENO);
	execvp(argv[0], argv);
	fprintf(stderr, "sysrtctl: running %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/** Runs the program with the change on its standard input; its exit status. */
static int
run_program(char **argv, struct span line)
{
	int ends[2], status = 0;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) != 0 || (child = fork()) < 0) {
		fprintf(stderr, "sysrtctl: running %s: %s\n", argv[0], strerror(errno));
		return EXIT_REFUSED;
	}
	if (child == 0)
		run_child(argv, ends[0]);
	close(ends[0]);
	/* A program may well not read it. */
	(void)feed(ends[1], line);
	close(ends[1]);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int
hand_on(struct watch *w, struct span line)
{
	int status;

	if (w->c->rest == NULL) {
		out_raw(line);
		return 0;
	}
	status = run_program(w->c->rest, line);
	if (status != 0 && !interrupted)
		fprintf(stderr, "sysrtctl: %s ended with %d: stopping before this change\n",
			w->c->rest[0], status);
	return status;
}

/** Keeps the position: what stands before it must have left this process. */
static int
keep(struct watch *w)
{
	w->unkept = 0;
	if (out_finish() != EXIT_DONE)
		return EXIT_REFUSED;
	return w->state != NULL ? position_save(&w->position, w->state) : 0;
}

static int
on_change(struct watch *w, struct span params)
{
	int64_t seq = member_int(params, "seq", 0), prev = member_int(params, "prev", 0);
	int status;

	if (seq <= w->position.seq)
		return 0;
	if (prev > w->position.seq)
		return -1; /* a gap, which must not be: subscribe again */
	status = hand_on(w, params);
	if (status != 0)
		return status;
	w->position.seq = seq;
	if (w->c->rest != NULL || ++w->unkept >= KEEP_EVERY)
		return keep(w);
	return 0;
}

static void
on_synced(struct watch *w, struct span params)
{
	w->position.seq = member_int(params, "seq", w->position.seq);
	w->position.base = 0;
	if (w->is_resyncing)
		printf("{\"op\":\"synced\",\"seq\":%lld}\n", (long long)w->position.seq);
	w->is_resyncing = false;
}

/** 0: go on; -1: subscribe again; else an exit status. */
static int
on_notice(struct watch *w, const struct sysrt_notice *n)
{
	struct span params = {n->params, n->params_n};

	if (strcmp(n->method, "change") == 0)
		return on_change(w, params);
	if (strcmp(n->method, "message") == 0)
		return hand_on(w, params);
	if (strcmp(n->method, "synced") == 0)
		on_synced(w, params);
	else if (strcmp(n->method, "progress") == 0)
		w->position.seq = member_int(params, "seq", w->position.seq);
	else if (strcmp(n->method, "resync") == 0)
		return -1;
	else if (strcmp(n->method, "lagged") == 0 && !w->c->is_quiet)
		fprintf(stderr, "sysrtctl: fell behind, catching up\n");
	return 0;
}

static struct json_out
subscribe_params(struct watch *w, struct buf *params)
{
	static const char *const everything[] = {"*"};
	struct ctl *c = w->c;
	const char *const *words = c->words_n > 0 ? c->words : everything;
	struct json_out o = params_start(params);

	text_put_words(
		&o, w->is_topic ? "topics" : "categories", words, c->words_n > 0 ? c->words_n : 1);
	text_put_option(c, &o, "id", "ids");
	if (!w->is_topic)
		position_put(&w->position, &o);
	json_end_object(&o);
	buf_add_char(params, '\0');
	return o;
}

/** The position was not valid: everything comes anew, and is told so. */
static void
start_anew(struct watch *w, const struct sysrt_error *error)
{
	fprintf(stderr, "sysrtctl: %s\n", error->text);
	printf("{\"op\":\"resync\"}\n");
	w->position = (struct position){.seq = 0, .is_set = true};
	w->is_resyncing = true;
}

static void
take_subscribed(struct watch *w, const char *result)
{
	struct span text = span_of(result);

	position_set_epoch(&w->position, out_member(text, "epoch").raw);
	if (!w->position.is_set)
		w->position.seq = member_int(text, "seq", 0);
	w->position.is_set = true;
	w->position.base = member_int(text, "base", 0);
}

/** Subscribes: 0, -1 when the connection broke, else an exit status. */
static int
subscribe(struct watch *w)
{
	struct sysrt_error error;
	struct buf params;
	char *result = NULL;
	int got;

	for (;;) {
		subscribe_params(w, &params);
		got = sysrt_call(
			w->c->sysrt, "subscribe", params.p, w->c->timeout_ms, &result, &error);
		buf_fini(&params);
		if (got == 0 || strcmp(error.name, "RESYNC_REQUIRED") != 0)
			break;
		start_anew(w, &error);
	}
	if (got != 0)
		return strcmp(error.name, "CLOSED") == 0 || strcmp(error.name, "UNAVAILABLE") == 0
			       ? -1
			       : ctl_fail(&error);
	take_subscribed(w, result);
	free(result);
	return 0;
}

/** Reads until the connection breaks (-1), or an exit status is due. */
static int
stream(struct watch *w)
{
	struct sysrt_notice notice;
	struct sysrt_error error;
	int got, status = 0;

	while (!interrupted && status == 0) {
		got = sysrt_next(w->c->sysrt, 0, &notice, &error);
		if (got == 0) {
			/* Nothing more for now: a good moment to write what is there. */
			status = keep(w);
			if (status == 0)
				got = sysrt_next(w->c->sysrt, -1, &notice, &error);
		}
		if (got < 0)
			return strcmp(error.name, "CLOSED") == 0 ? -1 : ctl_fail(&error);
		if (got > 0 && status == 0)
			status = on_notice(w, &notice);
	}
	return status;
}

/** Connects, again and again once it has worked: 0, or an exit status. */
static int
connect_again(struct watch *w, int *wait_ms)
{
	struct sysrt_error error;

	while (!interrupted) {
		if (sysrt_connect(w->c->socket, &w->c->sysrt, &error) == 0)
			return 0;
		if (!w->was_connected || strcmp(error.name, "NOT_RUNNING") != 0)
			return ctl_fail(&error);
		poll(NULL, 0, *wait_ms);
		*wait_ms = *wait_ms * 2 > BACK_OFF_MAX_MS ? BACK_OFF_MAX_MS : *wait_ms * 2;
	}
	return EXIT_INTERRUPTED;
}

/** One connection, from beginning to end: -1 when it broke. */
static int
follow(struct watch *w, int *wait_ms)
{
	int status = connect_again(w, wait_ms);

	if (status != 0)
		return status;
	status = subscribe(w);
	if (status == 0) {
		if (w->was_connected && !w->c->is_quiet)
			fprintf(stderr, "sysrtctl: connected again\n");
		w->was_connected = true;
		*wait_ms = BACK_OFF_MIN_MS;
		status = stream(w);
	}
	sysrt_close(w->c->sysrt);
	w->c->sysrt = NULL;
	return status;
}

static int
start_position(struct watch *w)
{
	const char *since = ctl_option(w->c, "since");
	int status = 0;

	w->state = ctl_option(w->c, "state");
	if (w->state != NULL)
		status = position_load(&w->position, w->state);
	if (status == 0 && since != NULL && !w->position.is_set)
		status = position_parse(&w->position, since, w->c);
	return status;
}

int
watch_run(struct ctl *c)
{
	struct watch w = {.c = c, .is_topic = ctl_option(c, "topic") != NULL};
	int wait_ms = BACK_OFF_MIN_MS, status = start_position(&w);

	if (status != 0)
		return status;
	catch_interrupts();
	if (c->rest != NULL)
		signal(SIGPIPE, SIG_IGN);
	do {
		status = follow(&w, &wait_ms);
		if (status == -1 && !interrupted && !c->is_quiet)
			fprintf(stderr, "sysrtctl: the connection broke, trying again\n");
		if (status == -1 && !interrupted)
			poll(NULL, 0, wait_ms);
	} while (status == -1 && !interrupted);
	if (w.unkept > 0 || interrupted)
		keep(&w);
	if (interrupted && !w.is_topic && w.position.is_set && !c->is_quiet)
		position_hint(&w.position);
	return interrupted ? EXIT_INTERRUPTED : status;
}

int
watch_changes(struct ctl *c)
{
	static const char *const columns[] = {"seq", "op", "category", "id", "name", "data", NULL};
	struct position position = {.seq = 0, .is_set = true};
	const char *since = ctl_option(c, "since");
	struct buf params;
	struct json_out o;
	char *result = NULL;
	int status = since != NULL ? position_parse(&position, since, c) : 0;

	if (status != 0)
		return status;
	o = params_start(&params);
	if (c->words_n > 0)
		text_put_words(&o, "categories", c->words, c->words_n);
	position_put(&position, &o);
	status = text_put_number(c, &o, "limit", "limit");
	json_end_object(&o);
	if (status != 0) {
		buf_fini(&params);
		return status;
	}
	status = ctl_call(c, "changes", &params, &result);
	if (status == 0) {
		struct span text = span_of(result);

		out_list(c, result, columns);
		position_set_epoch(&position, out_member(text, "epoch").raw);
		position.seq = member_int(text, "seq", 0);
		position.base = member_int(text, "base", 0);
		if (c->format != FORMAT_JSON && !c->is_quiet)
			position_hint(&position);
	}
	free(result);
	return status;
}
