/*
 * Templates of a mapping: see template.h. A template is a row of parts, each a text or
 * a place; the texts stand in one copy of what was written, braces undone.
 */

#include "daemon/base/template.h"

#include <stdlib.h>
#include <string.h>

#include "common/json_pointer.h"
#include "common/xalloc.h"

struct part {
	struct span text;             /* or as the place was written */
	struct json_pointer *pointer; /* owned; NULL: it is text */
	bool of_message;
};

struct template
{
	struct part parts[TEMPLATE_PARTS_MAX];
	size_t parts_n;
	char *texts; /* owned */
	size_t texts_n;
};

struct parse {
	struct template *t;
	struct span text;
	size_t at;
	struct error *error;
};

static enum err
add_part(struct parse *p, struct part part)
{
	if (p->t->parts_n == TEMPLATE_PARTS_MAX) {
		free(part.pointer);
		return error_set(p->error, ERR_INVALID_ARGUMENT,
			"a template has at most %d places and texts", TEMPLATE_PARTS_MAX);
	}
	p->t->parts[p->t->parts_n++] = part;
	return OK;
}

static struct span
keep(struct parse *p, struct span text)
{
	char *copy = p->t->texts + p->t->texts_n;

	memcpy(copy, text.p, text.n);
	p->t->texts_n += text.n;
	return (struct span){copy, text.n};
}

/** "{/a/b}", "{}" or "{$/a}": p->at is at its brace. */
static enum err
parse_place(struct parse *p)
{
	const char *start = p->text.p + p->at + 1, *end = p->text.p + p->text.n;
	const char *stop = memchr(start, '}', (size_t)(end - start));
	struct part part = {.pointer = NULL};
	struct span pointer;
	enum err e;

	if (stop == NULL)
		return error_set(p->error, ERR_INVALID_ARGUMENT,
			"the { at byte %zu has no } (a brace itself is written {{)", p->at + 1);
	part.text = keep(p, (struct span){start, (size_t)(stop - start)});
	part.of_message = part.text.n > 0 && part.text.p[0] == '$';
	pointer = (struct span){part.text.p + part.of_message, part.text.n - part.of_message};
	if (memchr(pointer.p, '{', pointer.n) != NULL)
		return error_set(p->error, ERR_INVALID_ARGUMENT,
			"there is a { in the place at byte %zu (a brace itself is written {{)",
			p->at + 1);
	e = json_pointer_new(pointer, &part.pointer, p->error);
	if (e != OK)
		return error_wrap(p->error, "the place at byte %zu", p->at + 1);
	p->at = (size_t)(stop + 1 - p->text.p);
	return add_part(p, part);
}

/** Up to the next place or the end; braces that are doubled become one. */
static enum err
parse_text(struct parse *p)
{
	struct span text = {p->t->texts + p->t->texts_n, 0};

	while (p->at < p->text.n) {
		char c = p->text.p[p->at];
		bool is_brace = c == '{' || c == '}';
		bool is_doubled = is_brace && p->at + 1 < p->text.n && p->text.p[p->at + 1] == c;

		if (c == '{' && !is_doubled)
			break;
		if (is_brace && !is_doubled)
			return error_set(p->error, ERR_INVALID_ARGUMENT,
				"the } at byte %zu has no { (a brace itself is written }})",
				p->at + 1);
		p->t->texts[p->t->texts_n++] = c;
		p->at += 1 + is_doubled;
		text.n++;
	}
	return text.n > 0 ? add_part(p, (struct part){.text = text}) : OK;
}

enum err
template_new(struct span text, struct template **out, struct error *error)
{
	struct parse p = {.text = text, .error = error};
	enum err e = OK;

	if (text.n > TEMPLATE_BYTES_MAX)
		return error_set(error, ERR_INVALID_ARGUMENT, "a template has at most %d bytes",
			TEMPLATE_BYTES_MAX);
	p.t = xnew(struct template);
	p.t->texts = xcalloc(1, text.n + 1);
	while (p.at < text.n && e == OK) {
		e = parse_text(&p);
		if (e == OK && p.at < text.n)
			e = parse_place(&p);
	}
	if (e != OK) {
		template_free(p.t);
		return e;
	}
	*out = p.t;
	return OK;
}

void
template_free(struct template *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->parts_n; i++)
		free(t->parts[i].pointer);
	free(t->texts);
	free(t);
}

static bool
fail(struct template_fault *fault, const struct part *part, const char *what)
{
	*fault = (struct template_fault){part->text, what};
	return false;
}

static bool
find(const struct part *part, const struct template_input *in, struct json_value *value,
	struct template_fault *fault)
{
	if (json_pointer_find_in(part->pointer, part->of_message ? in->message : in->item, value))
		return true;
	return fail(fault, part, "is not there");
}

static bool
add_string(const struct part *part, struct span raw, struct buf *out, struct template_fault *fault)
{
	char *to = buf_reserve(out, raw.n);
	size_t n;

	if (to == NULL)
		return true;
	n = json_string_decode(raw, to);
	if (n == SIZE_MAX)
		return fail(fault, part, "is no text: half of a surrogate pair is in it");
	out->n += n;
	return true;
}

static bool
add_place(const struct part *part, const struct template_input *in, struct buf *out,
	struct template_fault *fault)
{
	struct json_value value;

	if (!find(part, in, &value, fault))
		return false;
	switch (value.type) {
	case JSON_STRING:
		return add_string(part, value.raw, out, fault);
	case JSON_NUMBER:
	case JSON_TRUE:
	case JSON_FALSE:
		buf_add_span(out, value.raw);
		return true;
	case JSON_NULL:
		return fail(fault, part, "is null");
	case JSON_ARRAY:
		return fail(fault, part, "is an array");
	case JSON_OBJECT:
		break;
	}
	return fail(fault, part, "is an object");
}

bool
template_fill(const struct template *t, const struct template_input *in, struct buf *out,
	struct template_fault *fault)
{
	size_t before = out->n;

	for (size_t i = 0; i < t->parts_n; i++) {
		const struct part *part = &t->parts[i];

		if (part->pointer == NULL) {
			buf_add_span(out, part->text);
		} else if (!add_place(part, in, out, fault)) {
			out->n = before;
			return false;
		}
	}
	return true;
}

bool
template_is_place(const struct template *t)
{
	return t->parts_n == 1 && t->parts[0].pointer != NULL;
}

bool
template_find(const struct template *t, const struct template_input *in, struct json_value *value,
	struct template_fault *fault)
{
	must(template_is_place(t));
	return find(&t->parts[0], in, value, fault);
}

struct span
template_beginning(const struct template *t, bool *is_all)
{
	bool has_text = t->parts_n > 0 && t->parts[0].pointer == NULL;

	*is_all = t->parts_n == 0 || (t->parts_n == 1 && has_text);
	return has_text ? t->parts[0].text : (struct span){"", 0};
}
