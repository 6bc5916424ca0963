#pragma once
/*
 * The record of who did what: administration, and what was refused to whom. Each
 * entry is a line of the log in the part "audit" and, if there is one, a line of JSON
 * in a file of its own, written with one write(2). Of refusals, which anybody can
 * cause, no more than some a second are told, and how many were not. Loop thread.
 */

#include <stdint.h>

#include "common/err.h"
#include "daemon/base/stats.h"

#define AUDIT_WHO_SIZE 256

struct audit;

struct audit_entry {
	const char *what; /* the method, or what else was tried: "connect" */
	const char *who;  /* "uid 0 pid 71", "127.0.0.1:51234 token ci" */
	uint64_t session; /* 0: none yet */
	struct span name; /* of what it was about, one that name_check() allows; "": it has none */
	enum err result;
	const struct error *error; /* when it failed */
};

/** path "": no file. Registers its counters. ERR_IO_ERROR, ERR_PERMISSION_DENIED. */
enum err audit_open(const char *path, struct stats *stats, struct audit **out, struct error *error);
/** Opens the file anew, which may have another name now, or have been moved away. On a failure the
 * old one stays. */
enum err audit_reopen(struct audit *a, const char *path, struct error *error);
void audit_close(struct audit *a);
void audit_note(struct audit *a, const struct audit_entry *entry, int64_t wall_ms);
