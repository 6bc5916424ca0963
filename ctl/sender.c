/* Records in batches: see sender.h. */

#include "ctl/sender.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "ctl/answer.h"
#include "ctl/interrupt.h"

#define BATCH_RECORDS 1000
#define UNDER_WAY     2 /* batches that are with the daemon */
#define BATCHES       (UNDER_WAY + 1)
#define PARAMS_REST   ((size_t)64) /* what stands around the head and the records */

/** Records that go in one call. */
struct batch {
	struct buf records;   /* JSON, with commas */
	size_t *ends;         /* of each in `records` */
	struct place *places; /* of each in the input */
	size_t n;
	int64_t call;    /* its id, once it was sent */
	bool is_chained; /* to the one before it */
};

struct sender {
	struct sender_options options;
	struct buf params;             /* of the call that is made; its memory is used again */
	struct batch batches[BATCHES]; /* in turn */
	unsigned first;                /* the oldest that is with the daemon */
	unsigned sent_n;               /* how many are */
	struct batch *filling;         /* the next */
	struct place done;
	int64_t seq;
	uint64_t written, skipped;
};

struct sender *
sender_new(const struct sender_options *options)
{
	struct sender *s = xnew(struct sender);
	size_t records_max = options->batch_bytes + options->record_bytes + BATCH_RECORDS;

	s->options = *options;
	buf_init(&s->params, options->head.n + records_max + PARAMS_REST);
	for (unsigned i = 0; i < BATCHES; i++) {
		buf_init(&s->batches[i].records, records_max);
		s->batches[i].ends = xnew_n(BATCH_RECORDS, size_t);
		s->batches[i].places = xnew_n(BATCH_RECORDS, struct place);
	}
	s->filling = &s->batches[0];
	return s;
}

void
sender_free(struct sender *s)
{
	if (s == NULL)
		return;
	for (unsigned i = 0; i < BATCHES; i++) {
		buf_fini(&s->batches[i].records);
		free(s->batches[i].ends);
		free(s->batches[i].places);
	}
	buf_fini(&s->params);
	free(s);
}

/** The params of a call with these records; they live until the next one is made. */
static const char *
make_params(struct sender *s, struct span records, bool is_chained)
{
	buf_reset(&s->params);
	buf_add_char(&s->params, '{');
	buf_add_span(&s->params, s->options.head);
	if (is_chained)
		buf_add_span(&s->params, SPAN("\"chained\":true,"));
	buf_add_span(&s->params, SPAN("\"records\":["));
	buf_add_span(&s->params, records);
	buf_add(&s->params, "]}", 3); /* with the end of the text */
	must(!s->params.failed);
	return s->params.p;
}

static void
count(struct sender *s, char *result)
{
	struct json_value answer = answer_value(span_of(result));
	int64_t skipped = answer_int(answer, "skipped", 0), seq = answer_int(answer, "seq", 0);

	s->written += (uint64_t)(answer_int(answer, "count", 0) - skipped);
	s->skipped += (uint64_t)skipped;
	s->seq = seq > s->seq ? seq : s->seq;
	free(result);
}

static bool
is_fault_of_records(const struct sysrt_error *error)
{
	return strcmp(error->name, "INVALID_ARGUMENT") == 0 ||
	       strcmp(error->name, "LIMIT_EXCEEDED") == 0 || strcmp(error->name, "CONFLICT") == 0;
}

/** Waits for the answer to a call. An interruption lets the call that is under way come to its end;
 * the second one does not. */
static int
receive(struct sender *s, int64_t call, char **result, struct sysrt_error *error)
{
	const struct ctl *c = s->options.c;
	int got = -1;

	*error = (struct sysrt_error){.name = "INTERRUPTED"};
	while (got != 0 && strcmp(error->name, "INTERRUPTED") == 0 && interrupt_count() < 2)
		got = sysrt_receive(c->sysrt, call, c->timeout_ms, result, error);
	return got;
}

/** Sends the records from `from` to `to` of a batch and waits: 0, or -1 and why not. */
static int
send_part(
	struct sender *s, const struct batch *b, size_t from, size_t to, struct sysrt_error *error)
{
	size_t start = from > 0 ? b->ends[from - 1] + 1 : 0;
	const char *params =
		make_params(s, (struct span){b->records.p + start, b->ends[to - 1] - start}, false);
	const struct ctl *c = s->options.c;
	char *result;
	int64_t call;

	if (sysrt_send(c->sysrt, s->options.method, params, c->timeout_ms, &call, error) != 0 ||
		receive(s, call, &result, error) != 0)
		return -1;
	count(s, result);
	return 0;
}

/** Records were refused, all of them: one is bad at least. Finds it by halves, in their order. */
static int
halve(struct sender *s, const struct batch *b, size_t from, size_t to,
	const struct sysrt_error *why)
{
	static const char at[] = "record 0: "; /* of the call, which is no news */
	size_t middle = from + (to - from) / 2;
	size_t bounds[] = {from, middle, to};
	struct sysrt_error error;
	int status = 0;

	if (!is_fault_of_records(why) || interrupt_status() != 0)
		return s->options.on_failure(s->options.arg, why);
	if (to - from == 1)
		return s->options.on_bad(s->options.arg, b->places[from].line,
			why->text + (strncmp(why->text, at, strlen(at)) == 0 ? strlen(at) : 0));
	for (unsigned i = 0; i < 2 && status == 0; i++)
		if (send_part(s, b, bounds[i], bounds[i + 1], &error) != 0)
			status = halve(s, b, bounds[i], bounds[i + 1], &error);
	return status;
}

/** A batch was refused: for its records; or for the batch before it, which is dealt with. */
static int
take_refusal(struct sender *s, const struct batch *b, struct sysrt_error *why)
{
	if (b->is_chained && strcmp(why->name, "UNAVAILABLE") == 0 && interrupt_status() == 0 &&
		send_part(s, b, 0, b->n, why) == 0)
		return 0;
	return halve(s, b, 0, b->n, why);
}

/** Waits for the answer to the batch that was sent first of those under way. When it was refused,
 * the one behind it was too, and has to be sent again before anything else: what is sent now would
 * be chained to the last part of this one, which may be done. */
static int
finish_one(struct sender *s)
{
	struct batch *b = &s->batches[s->first];
	struct sysrt_error error;
	char *result;
	bool is_refused;
	int status = 0, done;

	s->first = (s->first + 1) % BATCHES;
	s->sent_n--;
	is_refused = receive(s, b->call, &result, &error) != 0;
	if (is_refused)
		status = take_refusal(s, b, &error);
	else
		count(s, result);
	if (status == 0)
		s->done = b->places[b->n - 1];
	buf_reset(&b->records);
	b->n = 0;
	done = s->options.on_done(s->options.arg);
	if (status == 0)
		status = done;
	return status == 0 && is_refused && s->sent_n > 0 ? finish_one(s) : status;
}

int
sender_finish(struct sender *s)
{
	int status = 0;

	while (status == 0 && s->sent_n > 0)
		status = finish_one(s);
	return status;
}

/** Sends what was gathered, once there is room for it. What may be too long for the daemon waits
 * for all before it: a refusal of that does not say what was refused. */
static int
send_batch(struct sender *s)
{
	const struct ctl *c = s->options.c;
	struct batch *b = s->filling;
	unsigned most = b->records.n > s->options.batch_bytes ? 0 : UNDER_WAY - 1;
	struct sysrt_error error;
	int status = 0;

	while (status == 0 && s->sent_n > most)
		status = finish_one(s);
	if (status != 0 || b->n == 0)
		return status;
	b->is_chained = s->sent_n > 0;
	if (sysrt_send(c->sysrt, s->options.method,
		    make_params(s, buf_span(&b->records), b->is_chained), c->timeout_ms, &b->call,
		    &error) != 0)
		return s->options.on_failure(s->options.arg, &error);
	s->sent_n++;
	s->filling = &s->batches[(s->first + s->sent_n) % BATCHES];
	return 0;
}

int
sender_add(struct sender *s, struct span record, struct place place)
{
	struct batch *b = s->filling;
	int status = 0;

	if (b->n > 0 && b->records.n + record.n > s->options.batch_bytes)
		status = send_batch(s);
	if (status != 0)
		return status;
	b = s->filling;
	if (b->n > 0)
		buf_add_char(&b->records, ',');
	buf_add_span(&b->records, record);
	must(!b->records.failed);
	b->ends[b->n] = b->records.n;
	b->places[b->n++] = place;
	return b->n == BATCH_RECORDS ? send_batch(s) : 0;
}

int
sender_flush(struct sender *s)
{
	int status = send_batch(s);

	return status == 0 ? sender_finish(s) : status;
}

bool
sender_has_waiting(const struct sender *s)
{
	return s->filling->n > 0;
}

int64_t
sender_seq(const struct sender *s)
{
	return s->seq;
}

uint64_t
sender_written(const struct sender *s)
{
	return s->written;
}

uint64_t
sender_skipped(const struct sender *s)
{
	return s->skipped;
}

struct place
sender_done(const struct sender *s)
{
	return s->done;
}
