/* When to expire, to prune and to trim: see maintain.h. */

#include "daemon/store/maintain.h"

#include "common/log.h"

#define PRUNE_BATCH    1000
#define PRUNE_EVERY_MS 60000
#define HOLD_MS        250
#define STEP_MS        5000 /* of the clocks against each other: more than drift and leap seconds */
#define PAUSE_MS       60000 /* after a step, or a failure */
#define LOOK_MS        60000 /* at the clock, while something will expire */

void
maintain_init(struct maintain *m, struct due *due, int64_t wall_ms, int64_t mono_ms)
{
	m->due = due;
	m->offset_ms = wall_ms - mono_ms;
	m->paused_to_ms = 0;
	m->next_prune_ms = mono_ms;
}

void
maintain_reload(struct maintain *m, const struct conf *conf)
{
	m->retention_ms = conf->store.tombstone_retention_ms;
	m->tombstone_max = conf->store.tombstone_max;
}

static bool
is_paused(struct maintain *m, int64_t wall_ms, int64_t mono_ms)
{
	int64_t step = wall_ms - mono_ms - m->offset_ms;

	m->offset_ms += step;
	if (step > STEP_MS || step < -STEP_MS) {
		log_warn("store", "the clock was set: expiry and pruning pause",
			F_INT("step_ms", step), F_INT("pause_ms", PAUSE_MS));
		m->paused_to_ms = mono_ms + PAUSE_MS;
	}
	return mono_ms < m->paused_to_ms;
}

static struct job *
new_prune(const struct maintain *m, int64_t wall_ms)
{
	struct job *j = job_new(JOB_WRITE, &(struct origin){.kind = ORIGIN_NONE}, 1, 0);

	if (j == NULL)
		return NULL;
	j->ops[0].kind = OP_PRUNE;
	j->ops[0].now_ms = wall_ms;
	j->ops[0].limit = PRUNE_BATCH;
	j->ops[0].keep = m->tombstone_max;
	j->ops[0].upto = m->prune_upto;
	j->ops[0].expires_at = m->retention_ms < wall_ms ? wall_ms - m->retention_ms : 0;
	return j;
}

struct job *
maintain_next(struct maintain *m, struct apply *a, int64_t wall_ms, int64_t mono_ms)
{
	int64_t next = INT64_MAX;
	enum err e = apply_next_expiry(a, &next, NULL);
	struct job *j;

	m->expiry_lag_ms = next < wall_ms ? wall_ms - next : 0;
	if (is_paused(m, wall_ms, mono_ms) || apply_is_restoring(a))
		return NULL;
	m->work = MAINTAIN_EXPIRE;
	if (e == OK && next <= wall_ms && mono_ms >= m->no_expiry_to_ms) {
		j = due_expired(m->due, wall_ms);
		if (j != NULL)
			return j;
		m->no_expiry_to_ms = mono_ms + PAUSE_MS; /* it cannot be read */
	}
	j = due_walk(m->due, a, wall_ms, mono_ms);
	if (j != NULL) {
		m->work = j->ops[0].kind == OP_DELETE ? MAINTAIN_EVICT : MAINTAIN_TRIM;
		return j;
	}
	m->work = MAINTAIN_PRUNE;
	if (mono_ms >= m->held_to_ms &&
		(apply_tombstones(a) > m->tombstone_max ||
			(apply_tombstones(a) > 0 && mono_ms >= m->next_prune_ms)))
		return new_prune(m, wall_ms);
	return NULL;
}

void
maintain_done(struct maintain *m, const struct job *j, enum err result, int64_t mono_ms)
{
	if (result != OK && m->work == MAINTAIN_EXPIRE)
		m->no_expiry_to_ms = mono_ms + PAUSE_MS;
	else if (result != OK)
		m->paused_to_ms = mono_ms + PAUSE_MS;
	else if (m->work == MAINTAIN_PRUNE && j->ops[0].skipped)
		m->held_to_ms = m->next_prune_ms = mono_ms + HOLD_MS;
	else if (m->work == MAINTAIN_PRUNE && j->ops[0].seq < PRUNE_BATCH)
		m->next_prune_ms = mono_ms + PRUNE_EVERY_MS;
}

int64_t
maintain_wake_us(struct maintain *m, struct apply *a, int64_t wall_ms, int64_t mono_us)
{
	int64_t next = INT64_MAX, wait_ms = INT64_MAX, walk_ms = due_wake_ms(m->due);
	int64_t wait_for_walk_ms = walk_ms == INT64_MAX       ? INT64_MAX
				   : walk_ms > mono_us / 1000 ? walk_ms - mono_us / 1000
							      : 0;

	if (apply_is_restoring(a))
		return INT64_MAX; /* its end is a job that wakes the writer */
	if (apply_next_expiry(a, &next, NULL) == OK && next != INT64_MAX)
		wait_ms = next > wall_ms ? next - wall_ms : 1;
	if (wait_ms > LOOK_MS && wait_ms != INT64_MAX)
		wait_ms = LOOK_MS;
	if (wait_ms < m->no_expiry_to_ms - mono_us / 1000)
		wait_ms = m->no_expiry_to_ms - mono_us / 1000;
	if (wait_ms > wait_for_walk_ms)
		wait_ms = wait_for_walk_ms;
	if (wait_ms < m->paused_to_ms - mono_us / 1000)
		wait_ms = m->paused_to_ms - mono_us / 1000;
	if (apply_tombstones(a) > 0 && wait_ms > PRUNE_EVERY_MS)
		wait_ms = PRUNE_EVERY_MS;
	if (apply_tombstones(a) > 0 && mono_us / 1000 < m->held_to_ms && wait_ms > HOLD_MS)
		wait_ms = HOLD_MS;
	return wait_ms == INT64_MAX ? INT64_MAX : mono_us + wait_ms * 1000;
}
