#pragma once
/*
 * What TLS clients trust, by the file that says it: read once, and again when the file
 * is another one. Loop thread.
 */

#include "common/err.h"

struct authorities;
struct tls_context;

struct authorities *authorities_new(void);
void authorities_free(struct authorities *a);
/** Borrowed until the next call. ca: a file; "": the system's. */
enum err authorities_find(
	struct authorities *a, const char *ca, struct tls_context **out, struct error *error);
