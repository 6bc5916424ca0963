/* Positions as text: see position.h. */

#include "ctl/position.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "ctl/out.h"

#define TEXT_SIZE 128

static bool
parse_number(const char *text, size_t n, int64_t *out)
{
	return n > 0 && json_number_int64((struct span){text, n}, out) && *out >= 0;
}

/** "EPOCH:SEQ[:BASE]" */
static bool
parse_full(struct position *p, const char *text)
{
	size_t epoch_n = strcspn(text, ":"), seq_n;
	const char *seq = text + epoch_n + 1;

	if (text[epoch_n] == '\0' || epoch_n == 0 || epoch_n >= EPOCH_TEXT_SIZE)
		return false;
	seq_n = strcspn(seq, ":");
	if (!parse_number(seq, seq_n, &p->seq))
		return false;
	p->base = 0;
	if (seq[seq_n] == ':' && !parse_number(seq + seq_n + 1, strlen(seq + seq_n + 1), &p->base))
		return false;
	memcpy(p->epoch, text, epoch_n);
	p->epoch[epoch_n] = '\0';
	p->is_set = true;
	return true;
}

void
position_set_epoch(struct position *p, struct span raw)
{
	if (raw.n >= 2)
		json_string_text(raw, p->epoch, sizeof(p->epoch));
}

static int
ask_epoch(struct position *p, struct ctl *c)
{
	struct sysrt_error error;
	struct json_value store;
	char *result = NULL;
	int status = ctl_connect(c);

	if (status != 0)
		return status;
	if (sysrt_call(c->sysrt, "status", NULL, c->timeout_ms, &result, &error) != 0)
		return ctl_fail(&error);
	store = out_member(span_of(result), "store");
	position_set_epoch(p, out_member(store.raw, "epoch").raw);
	free(result);
	sysrt_close(c->sysrt);
	c->sysrt = NULL;
	return 0;
}

int
position_parse(struct position *p, const char *text, struct ctl *c)
{
	if (parse_number(text, strlen(text), &p->seq)) {
		p->is_set = true;
		return p->seq > 0 ? ask_epoch(p, c) : 0;
	}
	if (parse_full(p, text))
		return 0;
	return ctl_usage("a position is 0, a number, or EPOCH:SEQ, not \"%s\"", text);
}

int
position_load(struct position *p, const char *path)
{
	char text[TEXT_SIZE];
	FILE *f = fopen(path, "re");
	bool is_valid;

	if (f == NULL && errno == ENOENT)
		return 0;
	if (f == NULL)
		return ctl_usage("reading %s: %s", path, strerror(errno));
	is_valid = fgets(text, sizeof(text), f) != NULL;
	fclose(f);
	if (is_valid) {
		text[strcspn(text, "\n")] = '\0';
		is_valid = parse_full(p, text);
	}
	return is_valid ? 0 : ctl_usage("%s holds no position: remove it to begin anew", path);
}

static void
format(const struct position *p, char out[TEXT_SIZE])
{
	if (p->base > p->seq)
		snprintf(out, TEXT_SIZE, "%s:%" PRId64 ":%" PRId64, p->epoch, p->seq, p->base);
	else
		snprintf(out, TEXT_SIZE, "%s:%" PRId64, p->epoch, p->seq);
}

int
position_save(const struct position *p, const char *path)
{
	char text[TEXT_SIZE], *temporary;
	bool is_written;
	FILE *f;

	if (!p->is_set || p->epoch[0] == '\0')
		return 0;
	temporary = xasprintf("%s.new", path);
	format(p, text);
	f = fopen(temporary, "we");
	is_written = f != NULL && fprintf(f, "%s\n", text) > 0;
	if (f != NULL && fclose(f) != 0)
		is_written = false;
	if (is_written && rename(temporary, path) != 0)
		is_written = false;
	if (!is_written)
		fprintf(stderr, "sysrtctl: writing %s: %s\n", path, strerror(errno));
	free(temporary);
	return is_written ? 0 : EXIT_REFUSED;
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
position_hint(const struct position *p)
{
	char text[TEXT_SIZE];

	format(p, text);
	fprintf(stderr, "go on with: --since %s\n", text);
}
