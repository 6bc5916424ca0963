/*
 * Fuzzes the states of a feed's connection: the first bytes are its settings, then each
 * event is three bytes, what happens, how much later, and what comes with it. The rules
 * hold at each step, and with an upstream that does what it should it is live at the end.
 */

#include <stdint.h>

#include "common/xalloc.h"
#include "tests/unit/machine_rules.h"

#define SETTINGS_N 5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64_t
setting(uint8_t byte, int64_t least)
{
	return byte == 255 ? MACHINE_NEVER : least + (int64_t)byte * byte;
}

static void
settle(struct machine *m, int64_t now_ms)
{
	static const enum machine_event_kind kinds[] = {
		MACHINE_START, MACHINE_OPENED, MACHINE_RELEASED, MACHINE_GREETED};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		rules_step(m, &(struct machine_event){.kind = kinds[i]}, now_ms, 0);
	must(m->state == FEED_LIVE);
	rules_step(m, &(struct machine_event){.kind = MACHINE_STOP}, now_ms, 0);
	must(m->state == FEED_IDLE);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct machine_limits limits;
	struct machine m;
	int64_t now_ms = 0;

	if (size < SETTINGS_N)
		return 0;
	limits = (struct machine_limits){setting(data[0], 1), setting(data[1], 1),
		setting(data[2], 1), setting(data[3], 1), setting(data[4], 0)};
	machine_init(&m, &limits);
	for (size_t i = SETTINGS_N; i + 2 < size; i += 3) {
		struct machine_event e = {
			.kind = (enum machine_event_kind)(data[i] % (MACHINE_TICK + 1)),
			.is_tls = data[i + 2] & 1,
			.is_permanent = data[i + 2] & 2,
			.wait_ms = (int64_t)data[i + 2] << (data[i + 2] & 15),
			.why = data[i + 2] & 4 ? "why" : NULL,
		};
		int64_t wanted_ms = machine_next(&m);

		if (data[i + 1] < 128)
			now_ms += (int64_t)data[i + 1] * data[i + 1];
		else if (wanted_ms != MACHINE_NEVER && wanted_ms > now_ms)
			now_ms = wanted_ms;
		rules_step(&m, &e, now_ms, (uint64_t)data[i + 1] << 40 | i);
	}
	settle(&m, now_ms);
	return 0;
}
