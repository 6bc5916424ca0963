#pragma once
/*
 * Where a client stands, as text: "0", "N", "EPOCH:SEQ", "EPOCH:SEQ:BASE" (a
 * replay from 0 that broke off). In a file it is one line.
 */

#include "ctl/ctl.h"

#define EPOCH_TEXT_SIZE 65

struct position {
	char epoch[EPOCH_TEXT_SIZE];
	int64_t seq;
	int64_t base;
	bool is_set;
};

/** Parses a position; for a bare number the epoch is asked of the daemon. 0 or an exit status. */
int position_parse(struct position *p, const char *text, struct ctl *c);
/** Reads it from a file; a missing file leaves it unset. */
int position_load(struct position *p, const char *path);
/** Writes it to a file, which is replaced at once. */
int position_save(const struct position *p, const char *path);
void position_set_epoch(struct position *p, struct span raw_string);
/** Writes since, epoch and base when it is set. */
void position_put(const struct position *p, struct json_out *o);
/** Tells on standard error how to go on. */
void position_hint(const struct position *p);
