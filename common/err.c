/*
 * The table of codes and the texts of errors. A text never grows past its
 * fixed room: what does not fit is cut at its end, so that the context, which
 * stands in front, is what remains. Pure; any thread.
 */

#include "common/err.h"

#include <stdio.h>
#include <string.h>

#include "common/utf8.h"

#undef error_set /* the analyzer has a macro of that name */

/* clang-format off */
static const struct err_info infos[ERR_COUNT] = {
	/*                        name                rpc code  http  exit */
	[OK]                    = {"OK",                     0,  200,  0},
	[PENDING]               = {"PENDING",                0,  202,  0},
	[ERR_PARSE_ERROR]       = {"PARSE_ERROR",       -32700,  400,  1},
	[ERR_INVALID_REQUEST]   = {"INVALID_REQUEST",   -32600,  400,  1},
	[ERR_METHOD_NOT_FOUND]  = {"METHOD_NOT_FOUND",  -32601,  404,  1},
	[ERR_INVALID_ARGUMENT]  = {"INVALID_ARGUMENT",  -32602,  400,  1},
	[ERR_NOT_FOUND]         = {"NOT_FOUND",         -32001,  404,  4},
	[ERR_CONFLICT]          = {"CONFLICT",          -32002,  409,  7},
	[ERR_RESYNC_REQUIRED]   = {"RESYNC_REQUIRED",   -32003,  410,  1},
	[ERR_UNAUTHENTICATED]   = {"UNAUTHENTICATED",   -32004,  401,  6},
	[ERR_PERMISSION_DENIED] = {"PERMISSION_DENIED", -32005,  403,  6},
	[ERR_RATE_LIMITED]      = {"RATE_LIMITED",      -32006,  429,  8},
	[ERR_LIMIT_EXCEEDED]    = {"LIMIT_EXCEEDED",    -32007,  413,  1},
	[ERR_TIMEOUT]           = {"TIMEOUT",           -32008,  504,  5},
	[ERR_UNAVAILABLE]       = {"UNAVAILABLE",       -32009,  503,  8},
	[ERR_VAULT_LOCKED]      = {"VAULT_LOCKED",      -32010,  423,  1},
	[ERR_DATABASE_ERROR]    = {"DATABASE_ERROR",    -32011,  500,  1},
	[ERR_IO_ERROR]          = {"IO_ERROR",          -32012,  500,  1},
	[ERR_CONFIG_ERROR]      = {"CONFIG_ERROR",      -32013,  500,  1},
	[ERR_INTERNAL_ERROR]    = {"INTERNAL_ERROR",    -32603,  500,  1},
};
/* clang-format on */

/** What a formatting call left in a buffer of ERROR_TEXT_MAX, cut at a character if it was cut. */
static void
cut_text(char *text, int wanted)
{
	if (wanted >= ERROR_TEXT_MAX)
		text[utf8_cut(text, ERROR_TEXT_MAX - 1)] = '\0';
}

const struct err_info *
err_info(enum err code)
{
	return &infos[code];
}

enum err
err_by_name(struct span name)
{
	for (enum err code = ERR_PARSE_ERROR; code < ERR_COUNT; code++)
		if (span_is(name, infos[code].name))
			return code;
	return ERR_INTERNAL_ERROR;
}

enum err
error_set(struct error *error, enum err code, const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX]; /* the arguments may point into the old text */
	va_list args;

	if (error == NULL)
		return code;
	va_start(args, fmt);
	cut_text(text, vsnprintf(text, sizeof(text), fmt, args));
	va_end(args);
	error->code = code;
	error->seq = -1;
	error->limit = (struct error_limit){.name = NULL};
	memcpy(error->text, text, strlen(text) + 1);
	return code;
}

enum err
error_set_limit(struct error *error, const char *name, const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX];
	va_list args;

	if (error == NULL)
		return ERR_LIMIT_EXCEEDED;
	va_start(args, fmt);
	cut_text(text, vsnprintf(text, sizeof(text), fmt, args));
	va_end(args);
	error_set(error, ERR_LIMIT_EXCEEDED, "%s", text);
	error->limit.name = name;
	return ERR_LIMIT_EXCEEDED;
}

void
error_name_limit(struct error *error, const char *name)
{
	if (error != NULL)
		error->limit.name = name;
}

enum err
error_set_errno(struct error *error, enum err code, int errnum, const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX];
	char room[128];
	va_list args;

	if (error == NULL)
		return code;
	va_start(args, fmt);
	cut_text(text, vsnprintf(text, sizeof(text), fmt, args));
	va_end(args);
	return error_set(error, code, "%s: %s", text, strerror_r(errnum, room, sizeof(room)));
}

enum err
error_wrap(struct error *error, const char *fmt, ...)
{
	char context[ERROR_TEXT_MAX];
	struct error_limit limit;
	int64_t seq;
	va_list args;

	if (error == NULL)
		return ERR_INTERNAL_ERROR;
	va_start(args, fmt);
	cut_text(context, vsnprintf(context, sizeof(context), fmt, args));
	va_end(args);
	seq = error->seq;
	limit = error->limit;
	error_set(error, error->code, "%s: %s", context, error->text);
	error->seq = seq;
	error->limit = limit;
	return error->code;
}
