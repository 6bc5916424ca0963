/* Secrets in locked memory: see secret.h. */

#include "common/secret.h"

#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/base64.h"
#include "common/xalloc.h"

struct secret *
secret_new(size_t n)
{
	struct secret *s = xnew(struct secret);

	must(sodium_init() >= 0);
	s->n = n;
	s->bytes = sodium_malloc(n > 0 ? n : 1);
	must(s->bytes != NULL);
	return s;
}

struct secret *
secret_copy(struct span bytes)
{
	struct secret *s = secret_new(bytes.n);

	if (bytes.n > 0)
		memcpy(s->bytes, bytes.p, bytes.n);
	return s;
}

struct secret *
secret_from_base64(struct span text)
{
	struct secret *s = secret_new(base64_room(text.n));
	size_t n;

	if (!base64_read(text, s->bytes, s->n, &n)) {
		secret_free(s);
		return NULL;
	}
	s->n = n;
	return s;
}

struct secret *
secret_from_hex(struct span text)
{
	struct secret *s = secret_new(text.n / 2 + 1);
	size_t n = 0;

	if (text.n % 2 != 0 ||
		sodium_hex2bin(s->bytes, s->n, text.p, text.n, NULL, &n, NULL) != 0 ||
		n != text.n / 2) {
		secret_free(s);
		return NULL;
	}
	s->n = n;
	return s;
}

void
secret_free(struct secret *s)
{
	if (s == NULL)
		return;
	sodium_free(s->bytes); /* it wipes */
	free(s);
}

bool
secret_can_lock(void)
{
	struct secret *s = secret_new(1);
	bool can = mlock(s->bytes, s->n) == 0; /* once more: only now one hears of it */

	secret_free(s);
	return can;
}

void
secret_wipe(struct span bytes)
{
	if (bytes.n > 0)
		sodium_memzero((void *)(uintptr_t)bytes.p, bytes.n);
}
