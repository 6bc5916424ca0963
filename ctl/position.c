/* Positions as text: see position.h. */

#include "ctl/position.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "ctl/answer.h"

#define RESYNC ":resync"

/** "EPOCH:SEQ[:BASE]" */
static bool
parse_full(struct position *p, struct span text)
{
	const char *end = text.p + text.n, *seq = memchr(text.p, ':', text.n), *base;
	size_t epoch_n = seq != NULL ? (size_t)(seq - text.p) : 0;

	if (epoch_n == 0 || epoch_n >= EPOCH_TEXT_SIZE)
		return false;
	seq++;
	base = memchr(seq, ':', (size_t)(end - seq));
	if (!span_number((struct span){seq, (size_t)((base != NULL ? base : end) - seq)}, &p->seq))
		return false;
	if (base != NULL &&
		!span_number((struct span){base + 1, (size_t)(end - base - 1)}, &p->base))
		return false;
	memcpy(p->epoch, text.p, epoch_n);
	return true;
}

static bool
parse(struct position *p, struct span text)
{
	struct position parsed = {.is_set = true};
	struct span resync = SPAN(RESYNC);

	if (text.n > resync.n && memcmp(text.p + text.n - resync.n, resync.p, resync.n) == 0) {
		parsed.is_resync = true;
		text.n -= resync.n;
	}
	if (!span_number(text, &parsed.seq) && !parse_full(&parsed, text))
		return false;
	*p = parsed;
	return true;
}

void
position_set_epoch(struct position *p, struct json_value answer)
{
	struct json_value epoch = answer_member(answer, "epoch");

	if (epoch.type == JSON_STRING)
		json_string_text(epoch.raw, p->epoch, sizeof(p->epoch));
}

static int
ask_epoch(struct position *p, struct ctl *c)
{
	struct buf params;
	struct json_out o = ctl_params(&params);
	char *result;
	int status;

	json_end_object(&o);
	status = ctl_call(c, "status", &params, &result);
	if (status == 0)
		position_set_epoch(p, answer_member(answer_value(span_of(result)), "store"));
	free(result);
	return status;
}

int
position_parse(struct position *p, const char *text, struct ctl *c)
{
	if (!parse(p, span_of(text)))
		return ctl_usage("a position is 0, a number, or EPOCH:SEQ, not \"%s\"", text);
	return p->epoch[0] == '\0' && p->seq > 0 ? ask_epoch(p, c) : 0;
}

int
position_load(struct position *p, const char *path)
{
	char text[POSITION_TEXT_SIZE];
	FILE *f = fopen(path, "re");
	bool is_valid;

	if (f == NULL && errno == ENOENT)
		return 0;
	if (f == NULL)
		return ctl_refuse("reading %s: %s", path, strerror(errno));
	is_valid = fgets(text, sizeof(text), f) != NULL;
	fclose(f);
	if (is_valid) {
		text[strcspn(text, "\n")] = '\0';
		is_valid = parse(p, span_of(text)) && (p->epoch[0] != '\0' || p->seq == 0);
	}
	return is_valid ? 0 : ctl_refuse("%s holds no position: remove it to begin anew", path);
}

void
position_format(const struct position *p, char out[POSITION_TEXT_SIZE])
{
	char base[32] = "";

	if (p->base > p->seq)
		snprintf(base, sizeof(base), ":%" PRId64, p->base);
	/* 0 is valid in any epoch */
	snprintf(out, POSITION_TEXT_SIZE, "%s%s%" PRId64 "%s%s", p->epoch,
		p->epoch[0] != '\0' ? ":" : "", p->seq, base, p->is_resync ? RESYNC : "");
}

static bool
write_line(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");
	bool is_written;

	if (f == NULL)
		return false;
	is_written = fprintf(f, "%s\n", text) > 0 && fflush(f) == 0 && fsync(fileno(f)) == 0;
	return fclose(f) == 0 && is_written;
}

int
position_save_text(const char *text, const char *path)
{
	char *fresh = xasprintf("%s.new", path);
	int status = 0;

	if (!write_line(fresh, text) || rename(fresh, path) != 0)
		status = ctl_refuse("writing %s: %s", path, strerror(errno));
	free(fresh);
	return status;
}

int
position_save(const struct position *p, const char *path)
{
	char text[POSITION_TEXT_SIZE];

	position_format(p, text);
	return position_save_text(text, path);
}

void
position_put(const struct position *p, struct json_out *o)
{
	if (!p->is_set)
		return;
	json_put_int(o, "since", p->seq);
	if (p->epoch[0] != '\0')
		json_put_str(o, "epoch", p->epoch);
	if (p->base > p->seq)
		json_put_int(o, "base", p->base);
}

void
position_hint(const struct position *p, const struct ctl *c)
{
	char text[POSITION_TEXT_SIZE];

	position_format(p, text);
	ctl_hint(c, "go on with: --since %s", text);
}
