/* What was found to be wrong: see findings.h. */

#include "daemon/store/findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "common/xalloc.h"

#define TEXT_BYTES 1200 /* a category and an id, and what is wrong */

void
findings_fini(struct findings *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->v[i].text);
	free(f->v);
	*f = (struct findings){.v = NULL};
}

/** What is no text, or moves a terminal's cursor, becomes a question mark. */
static void
clean(char *text)
{
	char *end = text + strlen(text);

	for (char *p = text; p < end;) {
		size_t n = utf8_next(p, end);

		if (n == 0 || (unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
		p += n > 0 ? n : 1;
	}
}

void
findings_add(struct findings *f, const char *where, const char *fmt, ...)
{
	char text[TEXT_BYTES];
	va_list args;

	if (f->total++ >= FINDINGS_MAX)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	clean(text);
	f->v = xrealloc(f->v, f->n + 1, sizeof(*f->v));
	f->v[f->n++] = (struct finding){where, xstrdup(text)};
}

void
findings_add_json(const struct findings *f, const char *where, struct json_out *o, const char *key)
{
	json_begin_array(o, key);
	for (size_t i = 0; i < f->n; i++)
		if (where == NULL || strcmp(f->v[i].where, where) == 0)
			json_put_str(o, NULL, f->v[i].text);
	json_end_array(o);
}
