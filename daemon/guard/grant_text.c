/* What a token is granted, as a text: see grant_text.h. */

#include "daemon/guard/grant_text.h"

#include <stdio.h>
#include <string.h>

#define MARK    "rate:"
#define BURST   " burst "
#define BURST_N (sizeof(BURST) - 1)

void
grant_text_add_rate(struct buf *text, const struct rate *rate)
{
	char form[RATE_TEXT_SIZE], *burst;

	if (rate_is_unlimited(rate))
		return;
	rate_format(rate, form);
	burst = strstr(form, BURST);
	if (burst != NULL)
		*burst = '\0';
	buf_addf(text, " " MARK "%s", form);
	if (burst != NULL)
		buf_addf(text, "+%s", burst + BURST_N);
}

/** "10/h+60" is "10/h burst 60". */
static bool
read_rate(struct span form, struct rate *rate)
{
	const char *plus = form.n > 0 ? memchr(form.p, '+', form.n) : NULL;
	size_t head = plus != NULL ? (size_t)(plus - form.p) : form.n;
	char text[2 * RATE_TEXT_SIZE];

	if (form.n >= RATE_TEXT_SIZE)
		return false;
	snprintf(text, sizeof(text), "%.*s%s%.*s", (int)head, form.p, plus != NULL ? BURST : "",
		plus != NULL ? (int)(form.n - head - 1) : 0, plus != NULL ? plus + 1 : "");
	return rate_parse(span_of(text), rate) && !rate_is_unlimited(rate);
}

bool
grant_text_split(struct span text, struct span *scopes, struct rate *rate)
{
	const char *mark = text.n > 0 ? memmem(text.p, text.n, " " MARK, sizeof(MARK)) : NULL;

	*scopes = text;
	*rate = RATE_UNLIMITED;
	if (mark == NULL)
		return true;
	scopes->n = (size_t)(mark - text.p);
	mark += sizeof(MARK);
	return read_rate((struct span){mark, (size_t)(text.p + text.n - mark)}, rate);
}
