#pragma once
/*
 * Errors: one enum of results, one value type that carries a message with its
 * context, one table that maps a code to its name, its JSON-RPC code, its HTTP
 * status and the exit status of sysrtctl. Pure; any thread.
 *
 * A function that can fail returns `enum err`; where the caller wants to know
 * why, it also takes a `struct error *`, which is filled exactly when the
 * result is neither OK nor PENDING.
 */

#include <stdarg.h>
#include <stdint.h>

#include "common/rate.h"
#include "common/span.h"

enum err {
	OK = 0,
	PENDING, /* not a failure: the answer comes later */
	/* The order from here on is the order of the protocol: append, never move. */
	ERR_PARSE_ERROR,
	ERR_INVALID_REQUEST,
	ERR_METHOD_NOT_FOUND,
	ERR_INVALID_ARGUMENT,
	ERR_NOT_FOUND,
	ERR_CONFLICT,
	ERR_RESYNC_REQUIRED,
	ERR_UNAUTHENTICATED,
	ERR_PERMISSION_DENIED,
	ERR_RATE_LIMITED,
	ERR_LIMIT_EXCEEDED,
	ERR_TIMEOUT,
	ERR_UNAVAILABLE,
	ERR_VAULT_LOCKED,
	ERR_DATABASE_ERROR,
	ERR_IO_ERROR,
	ERR_CONFIG_ERROR,
	ERR_INTERNAL_ERROR,
	ERR_COUNT
};

/** One row of the table of codes. */
struct err_info {
	const char *name; /* "NOT_FOUND": what clients switch on */
	int rpc_code;     /* JSON-RPC's integer */
	int http_status;  /* for plain HTTP answers */
	int exit_status;  /* of sysrtctl */
};

#define ERROR_TEXT_MAX 512

/** Of a LIMIT_EXCEEDED: the limit that was reached. Of a RATE_LIMITED: the bucket that had not
 * enough, and when it will have. */
struct error_limit {
	const char *name;       /* a literal; NULL: not known */
	int64_t retry_after_ms; /* this and the rest: of a bucket */
	int64_t level;
	struct rate rate;
};

/** A failure: its code and one sentence that a person can act on. */
struct error {
	enum err code;
	int64_t seq; /* the seq that matters (CONFLICT: the record's; RESYNC_REQUIRED: the lowest
			valid one), or -1 */
	struct error_limit limit;
	char text[ERROR_TEXT_MAX]; /* always terminated, cut at a UTF-8 boundary */
};

#define ERROR_NONE ((struct error){.code = OK, .seq = -1})

/** The row of a code; OK and PENDING have rows too (exit status 0). */
const struct err_info *err_info(enum err code);

/** The code with this name ("NOT_FOUND"), or ERR_INTERNAL_ERROR for one that this version does not
 * know. */
enum err err_by_name(struct span name);

/** Sets *error (which may be NULL) to code and text; returns code, so that `return error_set(...)`
 * reads well. */
enum err error_set(struct error *error, enum err code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#ifdef __clang_analyzer__
/* The analyzer does not look into other files: without this it would follow paths on which what was
 * refused is OK. */
#define error_set(error, code, ...) ((void)(error_set)(error, code, __VA_ARGS__), (code))
#endif

/** As error_set() with ERR_LIMIT_EXCEEDED, for the limit of this name: a literal, the option's
 * where there is one. */
enum err error_set_limit(struct error *error, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** Names the limit behind an error of another code; error may be NULL. */
void error_name_limit(struct error *error, const char *name);

/** As error_set(), with ": " and the text of errno value `errnum` behind. */
enum err error_set_errno(struct error *error, enum err code, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/** Puts "context: " in front of the text that is there; returns the code that is there. */
enum err error_wrap(struct error *error, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
