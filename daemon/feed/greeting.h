#pragma once
/*
 * The greeting: what a feed says when it has connected, in order, and what it waits for
 * in between. Pure; one thread at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/span.h"

struct conf_steps;
struct greeting;

/** The steps were checked; borrowed. */
struct greeting *greeting_new(const struct conf_steps *steps);
void greeting_free(struct greeting *g);
/** From the beginning. */
void greeting_begin(struct greeting *g);

/** What one step is. */
struct greeting_step {
	struct span send; /* to be expanded; n == 0: nothing */
	bool is_binary;   /* it is base64 of a binary message instead */
	int64_t wait_ms;  /* for the message that greeting_hear() takes; 0: it does not wait */
};

/** The next step; false: it is over, or waits. */
bool greeting_next(struct greeting *g, struct greeting_step *step);
/** A text that came: true if it is what was waited for. */
bool greeting_hear(struct greeting *g, struct span text);
