#pragma once
/*
 * The words of the answers: what came of a write as the JSON of a result. Pure.
 */

#include "daemon/store/job.h"

/** Writes job->reply from the results of its operations. */
void answer_write(struct job *j);
