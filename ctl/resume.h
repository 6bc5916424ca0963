#pragma once
/*
 * How far an import has come, kept in a file beside the input, so that one that
 * broke off goes on there: nothing is lost, since only what the daemon has
 * acknowledged counts as done, and nothing is written twice, since what was
 * under way is sent again with the ids that it had. Records without an id get
 * one from their place in the input and a key that is made once.
 *
 * An input that has changed before that place is noticed (by a hash of all of
 * it), and so is a store that does not have what was acknowledged: another one,
 * or one whose history forked. Then all of the input is sent again.
 *
 * Functions return 0, or an exit status after telling why not.
 */

#include <sodium.h>

#include "ctl/position.h"

#define RESUME_KEY_SIZE 17
#define RESUME_ID_SIZE  64

struct resume {
	char *path; /* of the state; NULL: nothing is kept */
	int fd;     /* of the input; borrowed */
	char key[RESUME_KEY_SIZE];
	int64_t offset;                /* all before it is done */
	uint64_t lines;                /* line feeds before it */
	crypto_generichash_state hash; /* of the bytes before it */
	struct position position;      /* of the store when it was acknowledged */
	int64_t saved_us;
};

/** Reads the state, when there is one, and judges it; makes one otherwise. fd: the input, a file.
 * path: of the state; NULL: beside the input, which has this name. */
int resume_open(struct resume *r, struct ctl *c, int fd, const char *name, const char *path);
/** Notes that all before `offset` is done, at `seq` of the epoch; the state is saved now and then.
 */
int resume_advance(struct resume *r, const char *epoch, int64_t offset, int64_t seq);
/** Saves the state, when it is not saved. */
int resume_save(struct resume *r);
void resume_close(struct resume *r);
/** The id of a record that has none, by the offset behind it. */
void resume_make_id(const char *key, int64_t offset, char out[RESUME_ID_SIZE]);
