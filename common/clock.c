/*
 * The system's clocks, and the shift that tests put on the wall clock. Any
 * thread.
 */

#include "common/clock.h"

#include <stdatomic.h>
#include <time.h>

static _Atomic int64_t wall_shift_ms;

int64_t
clock_wall_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 +
	       atomic_load_explicit(&wall_shift_ms, memory_order_relaxed);
}

int64_t
clock_mono_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void
clock_shift_wall(int64_t ms)
{
	atomic_fetch_add_explicit(&wall_shift_ms, ms, memory_order_relaxed);
}
