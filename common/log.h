#pragma once
/*
 * The log: a constant message and typed fields, a level per part by a filter
 * ("info,store=debug"), as logfmt or JSON, one line one write(2) to standard
 * error. The only global state of the program. Any thread; the filter is
 * changed on the loop thread only. Nothing secret and no record body is logged.
 *
 *	log_info("session", "session ready", F_INT("protocol", p), F_SPAN("peer", s));
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/span.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };
enum log_format { LOG_LOGFMT, LOG_JSON };

enum log_field_kind { LOG_FIELD_END, LOG_FIELD_INT, LOG_FIELD_SPAN, LOG_FIELD_BOOL };

struct log_field {
	enum log_field_kind kind;
	const char *key;
	int64_t i;
	struct span s;
};

#define F_INT(k, v)  ((struct log_field){.kind = LOG_FIELD_INT, .key = (k), .i = (int64_t)(v)})
#define F_BOOL(k, v) ((struct log_field){.kind = LOG_FIELD_BOOL, .key = (k), .i = (v)})
#define F_SPAN(k, v) ((struct log_field){.kind = LOG_FIELD_SPAN, .key = (k), .s = (v)})
#define F_STR(k, v)  F_SPAN(k, span_of(v))
#define F_ERROR(e)   F_SPAN("error", span_of((e)->text))

#define F_END ((struct log_field){.kind = LOG_FIELD_END})

#define log_at(level, part, message, ...)                                                          \
	(log_is_on((level), (part))                                                                \
			? log_write((level), (part), (message),                                    \
				  (const struct log_field[]){F_END, ##__VA_ARGS__, F_END} + 1)     \
			: (void)0)
#define log_error(part, ...) log_at(LOG_ERROR, part, __VA_ARGS__)
#define log_warn(part, ...)  log_at(LOG_WARN, part, __VA_ARGS__)
#define log_info(part, ...)  log_at(LOG_INFO, part, __VA_ARGS__)
#define log_debug(part, ...) log_at(LOG_DEBUG, part, __VA_ARGS__)
#define log_trace(part, ...) log_at(LOG_TRACE, part, __VA_ARGS__)

/** Sets the filter; on an error (unknown level, empty item) the old one stays. */
enum err log_set_filter(struct span filter, struct error *error);
/** Only says whether it is one: OK or ERR_CONFIG_ERROR. */
enum err log_check_filter(struct span filter, struct error *error);
void log_set_format(enum log_format format);
/** The filter in force, as text. */
const char *log_filter(void);
/** True when a message of this level in this part is written. Cheap enough for hot paths. */
bool log_is_on(enum log_level level, const char *part);
/** Writes one line; fields end with kind LOG_FIELD_END. Use the macros. */
void log_write(enum log_level level, const char *part, const char *message,
	const struct log_field *fields);
