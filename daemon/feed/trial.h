#pragma once
/*
 * A trial: a feed connects once, greets, and shows the first messages with what each of
 * them would be. Nothing is stored, told or recorded, and nothing secret is shown.
 * Loop thread.
 */

#include <stdint.h>

#include "common/err.h"
#include "common/json.h"
#include "common/list.h"
#include "daemon/base/conf.h"
#include "daemon/store/job.h"

struct links;
struct loop;
struct trial;

struct trial_wish {
	struct loop *loop;
	struct links *links;
	const struct origin *origin; /* who is answered; copied */
	int64_t max_record;
	int64_t messages;
	int64_t timeout_ms;
	/** It is over, at the end of a turn: it is to be answered, and freed. */
	void (*over)(void *arg, struct trial *t);
	void *arg;
};

/** Takes the definition, NULLs it on success. ERR_INVALID_ARGUMENT: it cannot be mapped so. */
enum err trial_start(const struct trial_wish *wish, struct conf_feed **def, struct trial **out,
	struct error *error);
/** Ends it, if it has not, for this reason; "": it did well. */
void trial_end(struct trial *t, const char *why);
/** Not from inside of its link. */
void trial_free(struct trial *t);
const struct origin *trial_origin(const struct trial *t);
struct list *trial_in_list(struct trial *t);
struct trial *trial_of_list(struct list *link);
/** Writes what came of it. */
void trial_add_answer(const struct trial *t, struct buf *out);
