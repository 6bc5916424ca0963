/*
 * Allocation that cannot fail, and the end of the process when one of our own
 * assumptions does not hold. Any thread.
 */

#include "common/xalloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void
out_of_memory(void)
{
	fputs("out of memory\n", stderr);
	abort();
}

void *
xcalloc(size_t n, size_t size)
{
	void *p = calloc(n > 0 ? n : 1, size > 0 ? size : 1);

	if (p == NULL)
		out_of_memory();
	return p;
}

void *
xrealloc(void *p, size_t n, size_t size)
{
	void *grown = n > 0 && size > 0 ? reallocarray(p, n, size) : realloc(p, 1);

	if (grown == NULL)
		out_of_memory();
	return grown;
}

char *
xstrdup(const char *text)
{
	return xstrndup(text, strlen(text));
}

char *
xstrndup(const char *p, size_t n)
{
	char *copy = xcalloc(n + 1, 1);

	if (n > 0)
		memcpy(copy, p, n);
	return copy;
}

char *
xasprintf(const char *fmt, ...)
{
	char *text = NULL;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vasprintf(&text, fmt, args);
	va_end(args);
	if (n < 0)
		out_of_memory();
	return text;
}

void *
try_alloc(size_t nbytes)
{
	return malloc(nbytes > 0 ? nbytes : 1);
}

_Noreturn void
must_failed(const char *what, const char *file, int line)
{
	fprintf(stderr, "%s:%d: must hold but does not: %s\n", file, line, what);
	abort();
}
