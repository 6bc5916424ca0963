/*
 * The growable buffer. It doubles, so that appending costs a constant time per
 * byte, and never holds more than its maximum. A failed buffer takes nothing
 * more until it is reset: half a text is never followed by its end. Owns its
 * bytes; any thread, one at a time.
 */

#include "common/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAP_MIN 64
#define MAPPED  (256u << 10) /* from here on a block has pages of its own, which move with it */

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void
buf_fini(struct buf *b)
{
	if (b->wipes && b->p != NULL)
		explicit_bzero(b->p, b->cap);
	free(b->p);
	*b = (struct buf){0};
}

static bool
has_room(const struct buf *b, size_t n)
{
	return !b->failed && n <= b->max - b->n;
}

/** To another place, and nothing stays in the old one. */
static char *
move(struct buf *b, size_t cap)
{
	char *p = malloc(cap > 0 ? cap : 1);

	if (p == NULL || b->p == NULL)
		return p;
	memcpy(p, b->p, b->n);
	explicit_bzero(b->p, b->cap);
	free(b->p);
	return p;
}

/** Grows to hold n more bytes, which the maximum allows. */
static bool
grow(struct buf *b, size_t n)
{
	size_t needed = b->n + n;
	size_t cap = b->cap > b->max / 2 ? b->max : b->cap * 2;
	char *p;

	if (cap < needed)
		cap = needed;
	if (cap < CAP_MIN)
		cap = CAP_MIN < b->max ? CAP_MIN : b->max;
	p = b->wipes && b->cap < MAPPED ? move(b, cap) : realloc(b->p, cap > 0 ? cap : 1);
	if (p == NULL)
		return false;
	b->p = p;
	b->cap = cap;
	return true;
}

char *
buf_reserve(struct buf *b, size_t n)
{
	if (!has_room(b, n) || ((b->p == NULL || n > b->cap - b->n) && !grow(b, n))) {
		b->failed = true;
		return NULL;
	}
	return b->p + b->n;
}

void
buf_add(struct buf *b, const void *p, size_t n)
{
	char *to;

	if (n == 0)
		return;
	to = buf_reserve(b, n);
	if (to == NULL)
		return;
	memcpy(to, p, n);
	b->n += n;
}

void
buf_add_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void
buf_add_span(struct buf *b, struct span s)
{
	buf_add(b, s.p, s.n);
}

void
buf_add_int(struct buf *b, int64_t value)
{
	char digits[20]; /* of INT64_MIN, with its sign */
	char *p = digits + sizeof(digits);
	uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;

	do {
		*--p = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest > 0);
	if (value < 0)
		*--p = '-';
	buf_add(b, p, (size_t)(digits + sizeof(digits) - p));
}

void
buf_addf(struct buf *b, const char *fmt, ...)
{
	char small[256];
	char *text = small;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(small, sizeof(small), fmt, args);
	va_end(args);
	if (n >= (int)sizeof(small) && has_room(b, (size_t)n)) {
		va_start(args, fmt);
		n = vasprintf(&text, fmt, args);
		va_end(args);
	}
	if (n < 0 || !has_room(b, (size_t)n)) {
		b->failed = true;
		return;
	}
	buf_add(b, text, (size_t)n);
	if (text != small)
		free(text);
}

void
buf_consume(struct buf *b, size_t n)
{
	if (n >= b->n) {
		b->n = 0;
		return;
	}
	if (n == 0)
		return;
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

void
buf_reset(struct buf *b)
{
	b->n = 0;
	b->failed = false;
}

void
buf_clear(struct buf *b, size_t kept)
{
	struct buf empty = {.max = b->max, .wipes = b->wipes};

	if (b->cap > kept) {
		buf_fini(b);
		*b = empty;
	} else {
		buf_reset(b);
	}
}

char *
buf_steal(struct buf *b, size_t *n)
{
	char *p = b->p;

	*n = b->n;
	*b = (struct buf){.max = b->max};
	return p;
}
