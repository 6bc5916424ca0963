#pragma once
/*
 * Giving back what is free in a store that no daemon holds: all of it is written anew,
 * without gaps, and so that later it can be done while it is in use (vacuum.h). Seqs,
 * epochs and positions stay what they are. Any thread.
 */

#include <stdint.h>

#include "common/err.h"
#include "daemon/base/conf.h"

/** *before and *now: the bytes of the file. On a failure it is as it was. */
enum err compact_file(const struct conf *conf, int64_t *before, int64_t *now, struct error *error);
