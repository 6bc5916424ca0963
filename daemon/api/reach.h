#pragma once
/*
 * What a call reaches, against the scopes of who calls: the one place where it is
 * judged. A method has a verb, and its parameters say in their table which of them
 * name what is touched, and how. What is named must be covered by the caller's
 * scopes; what is wider is refused, never narrowed. A method whose parameters name
 * nothing for its verb touches everything, so that one that forgets to say so is
 * refused to whoever may not do everything. Pure.
 */

#include <stdbool.h>

#include "daemon/api/gate.h"

/** May fill parameters in that were not given (arg_spec.narrows). ERR_PERMISSION_DENIED names what
 * is missing: "needs write:ticker"; ERR_INVALID_ARGUMENT: an item is not what it has to be. */
enum err reach_check(const struct method *m, const struct scopes *scopes, struct args *args,
	struct error *error);
/** The same of one more thing that a call turned out to touch. */
enum err reach_need(const struct method *m, const struct scopes *scopes, enum scope verb,
	struct span name, struct error *error);
/** True if there are params with which the method may be called. */
bool reach_is_possible(const struct method *m, const struct scopes *scopes);
/** The refusal of one that may not be called at all. */
enum err reach_refuse(const struct method *m, const struct scopes *scopes, struct error *error);
/** True if the verb holds for all of these terms. */
bool reach_covers(const struct scopes *scopes, enum scope verb, const struct term *terms, size_t n);
