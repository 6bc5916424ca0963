#pragma once
/*
 * What went wrong for one session: how often it was refused, by code, and the last
 * few times that it was refused or held back, with the method and the limit that was
 * reached. Nothing is allocated before something happens, and then a fixed size:
 * most sessions have none. Loop thread.
 */

#include <stdint.h>

#include "common/err.h"
#include "common/json.h"

#define TRAIL_EVENTS 8

struct trail; /* NULL: nothing has happened */

void trail_free(struct trail *t);
/** A request was refused. method: a literal, or NULL: not known. Answers that are no refusals
 * (there is no such record, the parameters are wrong) are not noted. */
void trail_note_refusal(
	struct trail **t, const char *method, const struct error *error, int64_t wall_ms);
/** The session is not read for so long, until this bucket (a literal) has room. */
void trail_note_hold(struct trail **t, const char *bucket, int64_t wait_ms, int64_t wall_ms);
/** Writes the members `refusals` and `events`, of which the newest come first. */
void trail_add(const struct trail *t, struct json_out *o);
