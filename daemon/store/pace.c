/* How far a follower may be behind: see pace.h. */

#include "daemon/store/pace.h"

#include <time.h>

#define WAIT_OP_US  1000   /* at most, for one operation */
#define WAIT_MAX_US 200000 /* a batch */

void
pace_init(struct pace *p)
{
	p->mark = PACE_NOBODY;
	p->allowed = 0;
	p->slope = 1;
	p->waited_us = 0;
}

int64_t
pace_wait_us(const struct pace *p, int64_t last_seq, size_t ops_n)
{
	int64_t mark = p->mark, over;
	double share, wait_us;

	if (mark == PACE_NOBODY)
		return 0;
	over = last_seq - mark - p->allowed;
	if (over <= 0)
		return 0;
	share = (double)over / (double)p->slope;
	wait_us = (share < 1 ? share : 1) * WAIT_OP_US * (double)ops_n;
	return wait_us < WAIT_MAX_US ? (int64_t)wait_us : WAIT_MAX_US;
}

void
pace_keep(struct pace *p, int64_t last_seq, size_t ops_n)
{
	int64_t us = pace_wait_us(p, last_seq, ops_n);
	struct timespec ts = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

	if (us == 0)
		return;
	nanosleep(&ts, NULL);
	p->waited_us += (uint64_t)us;
}
