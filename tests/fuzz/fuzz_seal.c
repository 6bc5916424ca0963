/*
 * Fuzzes what is sealed: the input is taken for each kind of it, by keys that are known.
 * Nothing of it opens; the input itself, sealed, comes back, and does not once a bit of it
 * that the input names has flipped. A head that can be read is written as it was.
 */

#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "daemon/guard/foreign.h"
#include "daemon/guard/roster.h"
#include "daemon/guard/seal.h"
#include "daemon/guard/vaulthead.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct secret *key;

static void
check_refused(struct span input, const struct seal_for *what)
{
	struct error error = ERROR_NONE;
	struct secret *plain = NULL;
	struct roster roster = {.v = NULL};

	must(seal_open(key, what, input, &plain, &error) != OK && error.text[0] != '\0');
	must(foreign_open(key, input, &plain, &error) != OK);
	must(plain == NULL);
	must(roster_read(input, key, SPAN("head"), &roster, &error) == ERR_DATABASE_ERROR);
	must(roster.v == NULL);
}

static void
check_head(struct span input)
{
	char text[VAULT_HEAD_SIZE];
	struct vault_head head;

	if (vault_head_read(input, &head, NULL) != OK)
		return;
	must(head.memory <= VAULT_MEMORY_MAX && head.passes <= VAULT_PASSES_MAX);
	vault_head_write(&head, text);
	must(span_is(input, text));
}

static void
check_seal(enum seal_cipher cipher, struct span input, const struct seal_for *what, size_t bit)
{
	struct secret *plain = NULL;
	struct buf sealed;

	buf_init(&sealed, SEAL_MAX);
	seal_make(cipher, key, what, input, &sealed);
	must(seal_open(key, what, buf_span(&sealed), &plain, NULL) == OK);
	must(span_eq(secret_span(plain), input));
	secret_free(plain);
	plain = NULL;
	bit %= 8 * sealed.n;
	sealed.p[bit / 8] ^= (char)(1 << bit % 8);
	must(seal_open(key, what, buf_span(&sealed), &plain, NULL) != OK && plain == NULL);
	buf_fini(&sealed);
}

/** A roster with names out of the input, as far as they are some; then one with a flipped bit. */
static void
check_roster(struct span input, size_t bit)
{
	struct roster roster = {.generation = (int64_t)bit}, back = {.v = NULL};
	struct buf text;

	for (size_t at = 0; at + 8 <= input.n && roster.n < 20; at += 8) {
		struct roster_entry entry = {.version = (int64_t)at};

		memcpy(entry.name, input.p + at, 8);
		if (name_check("name", span_of(entry.name), false, NULL) == OK)
			roster_put(&roster, &entry);
	}
	buf_init(&text, SIZE_MAX / 2);
	roster_write(&roster, key, SPAN("head"), &text);
	must(roster_read(buf_span(&text), key, SPAN("head"), &back, NULL) == OK);
	must(back.n == roster.n && back.generation == roster.generation);
	for (size_t i = 0; i < roster.n; i++)
		must(strcmp(back.v[i].name, roster.v[i].name) == 0 &&
			back.v[i].version == roster.v[i].version);
	roster_fini(&back);
	must(roster_read(buf_span(&text), key, SPAN("other"), &back, NULL) != OK);
	text.p[bit % text.n] ^= 1;
	must(roster_read(buf_span(&text), key, SPAN("head"), &back, NULL) != OK);
	roster_fini(&roster);
	buf_fini(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = {(const char *)data, size};
	const struct seal_for what = {
		"value", {"name", 4},
                 (int64_t)size
        };
	size_t bit = 0;

	if (key == NULL)
		key = seal_key_new();
	for (size_t i = 0; i < size && i < 4; i++)
		bit = bit << 8 | data[i];
	check_refused(input, &what);
	check_head(input);
	check_roster(input, bit);
	if (size > SEAL_PLAIN_MAX)
		return 0;
	check_seal(SEAL_XCHACHA20, input, &what, bit);
	if (seal_has_aes())
		check_seal(SEAL_AES256GCM, input, &what, bit);
	return 0;
}
