/* Long jobs of the writer's: see chores.h. */

#include "daemon/store/chores.h"

#include "common/clock.h"
#include "daemon/store/backup.h"
#include "daemon/store/copy.h"
#include "daemon/store/vacuum.h"

/* Of a turn that a backup takes at most: what comes in meanwhile waits for that. */
#define COPY_US 1000

/* How often a compaction that waits is looked at. While somebody has written not long ago it rests
 * after each step, for so many times as long as that took. */
#define WAIT_US 20000
#define BUSY_US 50000
#define REST    2

bool
chores_take(struct chores *c, struct job *j)
{
	if (j->kind == JOB_BACKUP)
		c->backup = j;
	else if (j->kind == JOB_COMPACT)
		c->compaction = j;
	else
		return false;
	return true;
}

bool
chores_write(const struct chores *c)
{
	return c->compaction != NULL;
}

static void
hand_on(struct job **j, struct queue *to)
{
	struct qlist one;

	qlist_init(&one);
	qlist_append(&one, &(*j)->item);
	*j = NULL;
	queue_push(to, &one);
}

static bool
copy_some(struct chores *c)
{
	if (c->backup == NULL)
		return false;
	if (backup_copy(c->backup, c->db, &c->copy, clock_mono_us() + COPY_US))
		return true;
	hand_on(&c->backup, c->backups);
	return false;
}

/** A compaction rests while a copy is made, which would have to follow it. */
static bool
compact_some(struct chores *c, const struct error *why_not, int64_t batch_us)
{
	struct job *j = c->compaction;
	enum vacuum_next next = VACUUM_OVER;
	int64_t start_us = clock_mono_us(), end_us;

	if (j == NULL || (!j->vacuum->is_stopped && (c->copy != NULL || start_us < c->rest_us)))
		return false;
	if (why_not == NULL)
		next = vacuum_run(j, c->db, c->wal);
	else
		j->result = error_set(&j->error, why_not->code, "%s", why_not->text);
	end_us = clock_mono_us();
	c->rest_us = end_us - batch_us < BUSY_US ? end_us + REST * (end_us - start_us) : 0;
	if (next != VACUUM_OVER)
		return next == VACUUM_AGAIN && c->rest_us == 0;
	vacuum_end(j->vacuum, c->wal);
	hand_on(&c->compaction, c->out);
	return false;
}

bool
chores_run(struct chores *c, const struct error *why_not, int64_t batch_us)
{
	bool has_more = copy_some(c);

	return compact_some(c, why_not, batch_us) || has_more;
}

bool
chores_are_done(const struct chores *c)
{
	return c->backup == NULL && c->compaction == NULL;
}

int64_t
chores_wake_us(const struct chores *c, int64_t now_us, int64_t until_us)
{
	int64_t next_us = now_us + WAIT_US;

	if (c->compaction == NULL)
		return until_us;
	if (c->copy == NULL && c->rest_us > now_us)
		next_us = c->rest_us;
	return next_us < until_us ? next_us : until_us;
}

void
chores_fini(struct chores *c)
{
	copy_close(c->copy);
}
