#pragma once
/*
 * Allocation of what we size ourselves: out of memory ends the process with a
 * message. What a peer sizes goes through try_alloc() or a struct buf with a
 * maximum, both of which can fail. must() is for our own bugs and stays on in
 * release builds. Any thread.
 */

#include <stddef.h>

#define xnew(type)      ((type *)xcalloc(1, sizeof(type)))
#define xnew_n(n, type) ((type *)xcalloc((n), sizeof(type)))

void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t n, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *text) __attribute__((malloc, returns_nonnull));
/** A terminated copy of n bytes. */
char *xstrndup(const char *p, size_t n) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull));
/** Uninitialised memory, or NULL: for sizes that a peer chose. */
void *try_alloc(size_t nbytes) __attribute__((malloc));

#define must(x) ((x) ? (void)0 : must_failed(#x, __FILE__, __LINE__))
_Noreturn void must_failed(const char *what, const char *file, int line);
