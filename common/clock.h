#pragma once
/*
 * The only clock. Pure code takes `now` as a parameter; whoever has to ask,
 * asks here, so that tests can move the time. Any thread.
 */

#include <stdint.h>

/** Wall-clock milliseconds since the Unix epoch: for what is stored and shown. */
int64_t clock_wall_ms(void);

/** Monotonic microseconds: for durations, deadlines and timers. */
int64_t clock_mono_us(void);

static inline int64_t
clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

/** For tests: adds to the wall clock (not to the monotonic one) from now on. */
void clock_shift_wall(int64_t ms);
