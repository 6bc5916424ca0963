#pragma once
/*
 * Times and durations as texts: RFC 3339 and "30s". A time is an integer of
 * milliseconds since the Unix epoch everywhere else. Pure; any thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"

/** Parses an RFC 3339 date-time ("2026-11-24T10:00:00.5+01:00"; 'T' may be a space, digits beyond
 * milliseconds are cut, second 60 is taken as 59.999). False if it is not one. */
bool time_parse(struct span text, int64_t *ms);

#define TIME_TEXT_SIZE 32
/** Writes "2026-11-24T10:00:00.500Z" (terminated). */
void time_format(int64_t ms, char out[TIME_TEXT_SIZE]);

/** Parses a duration: an integer or decimal number and a unit out of ms s m h d w ("1.5h", "30s").
 * Several in a row add up ("1h30m"). False if it is not one, or if it does not fit. */
bool duration_parse(struct span text, int64_t *ms);

/** Writes the shortest exact form ("7d", "1500ms"). */
void duration_format(int64_t ms, char out[TIME_TEXT_SIZE]);

/** Parses a size in bytes: an integer with an optional unit out of B KB KiB MB MiB GB GiB. */
bool size_parse(struct span text, int64_t *nbytes);

/** Writes the shortest exact form in binary units ("256KiB"). */
void size_format(int64_t nbytes, char out[TIME_TEXT_SIZE]);
