/* `sysrtd store VERB`: see offline.h. */

#include "daemon/offline.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/json.h"
#include "common/report.h"
#include "daemon/store/compact.h"
#include "daemon/store/export.h"
#include "daemon/store/file.h"
#include "daemon/store/migrate.h"
#include "daemon/store/repair.h"
#include "daemon/store/restore.h"
#include "daemon/store/verify.h"

static int
status_of(enum err e)
{
	switch ((int)e) {
	case OK:
		return EX_OK;
	case ERR_CONFIG_ERROR:
		return EX_CONFIG;
	case ERR_PERMISSION_DENIED:
		return EX_NOPERM;
	default:
		return EX_UNAVAILABLE;
	}
}

int
offline_fail(enum err e, const char *text)
{
	fprintf(stderr, "sysrtd: %s\n", text);
	return status_of(e);
}

static int
fail_at(const struct offline *o, const char *doing, enum err e, struct error *error)
{
	error_wrap(error, "%s store %s", doing, o->conf->store.path);
	return offline_fail(e, error->text);
}

/** Prints the JSON, or the text that was made of it. */
static int
print(const struct offline *o, const struct buf *json, const struct buf *text, int status)
{
	const struct buf *out = o->is_json ? json : text;

	if (fwrite(out->p, 1, out->n, stdout) != out->n || (o->is_json && putchar('\n') < 0) ||
		fflush(stdout) != 0)
		return EX_IOERR;
	return status;
}

static int
run_migrate(const struct offline *o)
{
	struct error error = ERROR_NONE;
	int from = 0, now = o->to > 0 ? o->to : migrate_newest();
	enum err e = file_migrate(o->conf, o->to, o->does_copy, &from, &error);

	if (e != OK)
		return fail_at(o, "migrating", e, &error);
	if (from == now)
		printf("%s is at version %d of the schema already\n", o->conf->store.path, now);
	else
		printf("%s went from version %d of the schema to %d\n", o->conf->store.path, from,
			now);
	if (from != now && o->does_copy && from > 0)
		printf("what it was before is %s.before-v%d\n", o->conf->store.path, now);
	return EX_OK;
}

static int
run_check(const struct offline *o)
{
	struct error error = ERROR_NONE;
	struct buf json, text;
	struct json_out out;
	bool ok = false;
	int status;
	enum err e;

	buf_init(&json, SIZE_MAX / 2);
	buf_init(&text, SIZE_MAX / 2);
	out = json_out_start(&json);
	json_begin_object(&out, NULL);
	e = repair_check(o->conf->store.path, &out, &ok, &error);
	json_end_object(&out);
	if (e == OK) {
		report_add_check(&text, buf_span(&json));
		status = print(o, &json, &text, ok ? EX_OK : EX_DATAERR);
	} else {
		status = fail_at(o, "checking", e, &error);
	}
	buf_fini(&json);
	buf_fini(&text);
	return status;
}

static int
run_repair(const struct offline *o)
{
	struct error error = ERROR_NONE;
	enum repair_how how = REPAIR_NOTHING;
	struct buf json, text;
	struct json_out out;
	int status;
	enum err e;

	buf_init(&json, SIZE_MAX / 2);
	buf_init(&text, SIZE_MAX / 2);
	out = json_out_start(&json);
	json_begin_object(&out, NULL);
	e = repair_file(o->conf->store.path, o->conf, &out, &how, &error);
	json_end_object(&out);
	if (e == OK) {
		report_add_repair(&text, o->conf->store.path, buf_span(&json));
		status = print(o, &json, &text, EX_OK);
	} else {
		status = fail_at(o, "repairing", e, &error);
	}
	buf_fini(&json);
	buf_fini(&text);
	return status;
}

static int
run_compact(const struct offline *o)
{
	struct error error = ERROR_NONE;
	int64_t before, now;
	enum err e = compact_file(o->conf, &before, &now, &error);

	if (e != OK)
		return fail_at(o, "compacting", e, &error);
	printf("%s had %" PRId64 " bytes, and has %" PRId64 "\n", o->conf->store.path, before, now);
	return EX_OK;
}

static int
run_restore(const struct offline *o)
{
	struct restore r = {
		.path = o->conf->store.path,
		.from = o->file,
		.drops_tokens = o->drops_tokens,
	};
	struct error error = ERROR_NONE;
	enum err e = restore_file(&r, o->conf, &error);
	struct buf line;

	if (e != OK)
		return fail_at(o, "restoring", e, &error);
	buf_init(&line, 4096);
	verify_add_line(&r.backup, &line);
	printf("restored %s from %s: %.*s\n", r.path, r.from, SPAN_FMT(buf_span(&line)));
	if (r.aside != NULL)
		printf("the store that was there is %s\n", r.aside);
	if (r.aside_log != NULL)
		printf("the log that was there, of a store that was gone, is %s\n", r.aside_log);
	if (r.backup.tokens > 0 && r.drops_tokens)
		printf("the tokens of the backup were left out\n");
	else if (r.backup.tokens > 0)
		fprintf(stderr,
			"sysrtd: the tokens are as of the backup: one that was revoked since is good "
			"again. `sysrtctl token list` shows them; --drop-tokens leaves them out\n");
	buf_fini(&line);
	free(r.aside);
	free(r.aside_log);
	return EX_OK;
}

static int
run_export(const struct offline *o)
{
	struct error error = ERROR_NONE;
	enum err e = export_file(o->conf->store.path, o->file, &error);

	if (e != OK)
		return fail_at(o, "exporting", e, &error);
	printf("exported %s to %s\n", o->conf->store.path, o->file);
	return EX_OK;
}

static const struct offline_verb verbs[] = {
	{"migrate", false, false, true,  false, run_migrate},
	{"check",   true,  false, false, false, run_check  },
	{"repair",  true,  false, false, false, run_repair },
	{"compact", true,  false, false, false, run_compact},
	{"restore", true,  true,  false, true,  run_restore},
	{"export",  true,  true,  false, false, run_export },
};

const struct offline_verb *
offline_find(const char *name)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}
