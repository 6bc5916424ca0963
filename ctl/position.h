#pragma once
/*
 * Where a client stands, as text: "0", "N", "EPOCH:SEQ", "EPOCH:SEQ:BASE" (a
 * replay from 0 that broke off), with ":resync" behind it when that replay
 * takes the place of what was told before. In a file it is one line.
 */

#include "ctl/ctl.h"

#define EPOCH_TEXT_SIZE    65
#define POSITION_TEXT_SIZE 128

struct position {
	char epoch[EPOCH_TEXT_SIZE];
	int64_t seq;
	int64_t base; /* above seq as long as a replay from 0 is under way, else of no meaning */
	bool is_set;
	bool is_resync; /* somebody waits for its end, to drop what was not told again */
};

/** Parses a position; for a bare number the epoch is asked of the daemon. 0 or an exit status. */
int position_parse(struct position *p, const char *text, struct ctl *c);
/** Writes it as text ("EPOCH:SEQ"). */
void position_format(const struct position *p, char out[POSITION_TEXT_SIZE]);
/** Reads it from a file; a missing file leaves it unset. 0 or an exit status. */
int position_load(struct position *p, const char *path);
/** Writes it to a file, which is replaced as a whole: it is never half written. 0 or an exit
 * status. */
int position_save(const struct position *p, const char *path);
/** As position_save(), any line. */
int position_save_text(const char *text, const char *path);
/** Takes the member `epoch` of an answer. */
void position_set_epoch(struct position *p, struct json_value answer);
/** Writes since, epoch and base as params, when it is set. */
void position_put(const struct position *p, struct json_out *o);
/** Tells on standard error how to go on. */
void position_hint(const struct position *p, const struct ctl *c);
