/* The state of an import: see resume.h. */

#include "ctl/resume.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "ctl/answer.h"

#define SAVE_EVERY_US 250000
#define READ_BYTES    ((size_t)128 << 10)
#define STATE_BYTES   4096
#define HASH_BYTES    16
#define HASH_SIZE     (2 * HASH_BYTES + 1)

/** What the file says. */
struct state {
	char key[RESUME_KEY_SIZE];
	char hash[HASH_SIZE];
	int64_t offset;
};

static void
begin(struct resume *r)
{
	r->offset = 0;
	r->lines = 0;
	crypto_generichash_init(&r->hash, NULL, 0, HASH_BYTES);
}

/** Hashes the input from r->offset to `to`: 0, or -1 when it cannot be read so far (errno 0: it is
 * shorter). */
static int
hash_to(struct resume *r, int64_t to)
{
	unsigned char *bytes = xnew_n(READ_BYTES, unsigned char);
	ssize_t n = 1;

	while (r->offset < to && n > 0) {
		size_t left = (size_t)(to - r->offset);

		errno = 0;
		n = pread(r->fd, bytes, left < READ_BYTES ? left : READ_BYTES, r->offset);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0) {
			crypto_generichash_update(&r->hash, bytes, (size_t)n);
			for (ssize_t i = 0; i < n; i++)
				r->lines += bytes[i] == '\n';
			r->offset += n;
		}
	}
	free(bytes);
	return r->offset == to ? 0 : -1;
}

/** The hash of what was hashed so far, which can go on. */
static void
read_hash(const struct resume *r, char out[HASH_SIZE])
{
	crypto_generichash_state copy = r->hash;
	unsigned char bytes[HASH_BYTES];

	crypto_generichash_final(&copy, bytes, sizeof(bytes));
	sodium_bin2hex(out, HASH_SIZE, bytes, sizeof(bytes));
}

static bool
read_text(struct json_value object, const char *name, char *out, size_t size)
{
	char *text = answer_dup(object, name);
	bool fits = text != NULL && strlen(text) < size;

	if (fits)
		memcpy(out, text, strlen(text) + 1);
	free(text);
	return fits;
}

static bool
parse(struct resume *r, struct span text, struct state *s)
{
	struct json_value v = answer_value(text);

	s->offset = answer_int(v, "offset", -1);
	r->position = (struct position){.seq = answer_int(v, "seq", -1)};
	return read_text(v, "key", s->key, sizeof(s->key)) &&
	       strlen(s->key) + 1 == sizeof(s->key) &&
	       read_text(v, "hash", s->hash, sizeof(s->hash)) && s->offset >= 0 &&
	       r->position.seq >= 0 &&
	       read_text(v, "epoch", r->position.epoch, sizeof(r->position.epoch));
}

/** Reads the file; *is_there: there is one. */
static int
load(struct resume *r, struct state *s, bool *is_there)
{
	char text[STATE_BYTES];
	FILE *f = fopen(r->path, "re");
	size_t n;

	*is_there = f != NULL;
	if (f == NULL)
		return errno == ENOENT ? 0 : ctl_refuse("reading %s: %s", r->path, strerror(errno));
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	if (!parse(r, (struct span){text, n}, s))
		return ctl_refuse("%s is no state of an import: remove it to begin anew", r->path);
	return 0;
}

/** False when the store does not have what was acknowledged. */
static int
ask_store(struct resume *r, struct ctl *c, bool *has_it)
{
	struct sysrt_error error;
	struct buf params;
	struct json_out o = ctl_params(&params);
	char *result = NULL;
	int got, status = ctl_connect(c);

	r->position.is_set = true;
	position_put(&r->position, &o);
	json_put_int(&o, "limit", 1);
	json_end_object(&o);
	buf_add_char(&params, '\0');
	*has_it = true;
	if (status == 0) {
		got = sysrt_call(c->sysrt, "changes", params.p, c->timeout_ms, &result, &error);
		*has_it = got == 0;
		if (got != 0 && strcmp(error.name, "RESYNC_REQUIRED") != 0)
			status = ctl_fail(&error);
	}
	free(result);
	buf_fini(&params);
	return status;
}

/** Goes to where the state says, if what it was made of is still so. */
static int
take_up(struct resume *r, const struct state *s, struct ctl *c, const char *name)
{
	char hash[HASH_SIZE];
	bool has_it;
	int status;

	memcpy(r->key, s->key, sizeof(r->key));
	if (hash_to(r, s->offset) != 0 && errno != 0)
		return ctl_refuse("reading %s: %s", name, strerror(errno));
	read_hash(r, hash);
	if (r->offset != s->offset || strcmp(hash, s->hash) != 0)
		return ctl_refuse("%s has changed before byte %" PRId64
				  ", up to which it was imported: remove %s to import it anew",
			name, s->offset, r->path);
	status = ask_store(r, c, &has_it);
	if (status != 0 || has_it)
		return status;
	ctl_warn("this store does not have what was written so far: all of %s is sent again", name);
	begin(r);
	return 0;
}

static void
make_key(char key[RESUME_KEY_SIZE])
{
	unsigned char bytes[(RESUME_KEY_SIZE - 1) / 2];

	randombytes_buf(bytes, sizeof(bytes));
	sodium_bin2hex(key, RESUME_KEY_SIZE, bytes, sizeof(bytes));
}

int
resume_open(struct resume *r, struct ctl *c, int fd, const char *name, const char *path)
{
	bool is_there;
	struct state s;
	int status;

	must(sodium_init() >= 0);
	*r = (struct resume){.fd = fd};
	r->path = path != NULL ? xstrdup(path) : xasprintf("%s.resume", name);
	begin(r);
	status = load(r, &s, &is_there);
	if (status == 0 && is_there)
		return take_up(r, &s, c, name);
	if (status == 0) {
		make_key(r->key);
		status = resume_save(r); /* before anything is sent under its ids */
	}
	return status;
}

int
resume_advance(struct resume *r, const char *epoch, int64_t offset, int64_t seq)
{
	if (offset <= r->offset)
		return 0;
	if (hash_to(r, offset) != 0)
		return ctl_refuse("the input has become shorter while it was read");
	snprintf(r->position.epoch, sizeof(r->position.epoch), "%s", epoch);
	r->position.seq = seq;
	return clock_mono_us() - r->saved_us < SAVE_EVERY_US ? 0 : resume_save(r);
}

int
resume_save(struct resume *r)
{
	char hash[HASH_SIZE];
	struct json_out o;
	struct buf text;
	int status;

	read_hash(r, hash);
	buf_init(&text, STATE_BYTES);
	o = json_out_start(&text);
	json_begin_object(&o, NULL);
	json_put_str(&o, "key", r->key);
	json_put_int(&o, "offset", r->offset);
	json_put_str(&o, "hash", hash);
	json_put_str(&o, "epoch", r->position.epoch);
	json_put_int(&o, "seq", r->position.seq);
	json_end_object(&o);
	buf_add_char(&text, '\0');
	status = position_save_text(text.p, r->path);
	buf_fini(&text);
	r->saved_us = clock_mono_us();
	return status;
}

void
resume_close(struct resume *r)
{
	free(r->path);
	r->path = NULL;
}

void
resume_make_id(const char *key, int64_t offset, char out[RESUME_ID_SIZE])
{
	snprintf(out, RESUME_ID_SIZE, "%s-%012" PRIx64, key, (uint64_t)offset);
}
