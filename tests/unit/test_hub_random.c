/*
 * The hub at random: writers, deleters, pruning, readers that stick, read on,
 * go away and resume, forced replays, changing limits. Each reader checks every
 * change against its position; at the end its state is the store's. A failure
 * names its seed; SYSRT_SEED repeats it.
 *
 * threads: yes
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/hub_rig.h"

#define READERS 13
#define MANY    5 /* the first ones are of one group, whose frames are joined */
#define STEPS   1500
#define SEEDS   6

static const struct {
	const char *category;
	const char *id;
	bool only_odd; /* with a condition */
} wants[READERS] = {
	{"*",   NULL,  false},
	{"*",   NULL,  false},
	{"*",   NULL,  false},
	{"*",   NULL,  false},
	{"*",   NULL,  false},
	{"a",   NULL,  false},
	{"a*",  NULL,  false},
	{"ab*", "i1*", false},
	{"b",   "i3",  false},
	{"*",   "i*",  false},
	{"*",   NULL,  true },
	{"a*",  "i1*", true },
	{"b",   NULL,  true },
};

struct client {
	struct reader reader;
	struct view view; /* as it was when it went away */
	unsigned number;  /* of its subscription; 0: it is away */
};

static struct client clients[READERS];

static unsigned
dice(unsigned n)
{
	return (unsigned)rand() % n;
}

static struct pattern *
wanted(unsigned i)
{
	return wants[i].only_odd ? rig_odd_pattern(wants[i].category, wants[i].id)
				 : rig_pattern(wants[i].category, wants[i].id);
}

/** Comes (back): from where it was, or from 0 when that is not valid any more. */
static void
come(unsigned i)
{
	struct client *c = &clients[i];
	struct view old = c->view;
	int64_t base = old.base > old.position ? old.base : 0;
	bool is_one_of_many = i < MANY;

	reader_init(&c->reader, is_one_of_many || dice(2) == 0 ? FRAMING_LINE : FRAMING_WEBSOCKET);
	if (!is_one_of_many && dice(2) == 0) /* then its number is 2 */
		reader_subscribe(&c->reader, rig_pattern("elsewhere", NULL), -1, 0);
	if (old.position > 0 &&
		reader_try_subscribe(&c->reader, wanted(i), old.position, base, &c->number) == OK)
		c->reader.views[c->number].state = old.state;
	else
		c->number = reader_subscribe(&c->reader, wanted(i), 0, 0);
}

static void
go(unsigned i)
{
	struct client *c = &clients[i];

	c->view = c->reader.views[c->number];
	if (c->view.resync >= 0)
		c->view = (struct view){.resync = -1};
	reader_fini(&c->reader);
	c->number = 0;
}

static void
change_limits(void)
{
	rig.conf.hub.recent = dice(40);
	rig.conf.websocket.send_queue = 300 + dice(4000);
	hub_reload(rig.hub, &rig.conf);
}

static void
disturb(unsigned i)
{
	struct client *c = &clients[i];

	if (c->number == 0)
		come(i);
	else if (dice(3) == 0)
		go(i);
	else if (c->reader.is_stuck)
		reader_unstick(&c->reader);
	else
		reader_stick(&c->reader);
}

static void
beat(unsigned i)
{
	if (clients[i].number != 0)
		subscriber_beat(&clients[i].reader.subscriber);
}

static void
step(void)
{
	unsigned what = dice(100);

	if (what < 50)
		for (unsigned n = 1 + dice(8); n > 0; n--)
			rig_put(dice(RIG_CATEGORIES), dice(RIG_IDS),
				(dice(10) == 0 ? 3000 : 20) + dice(2));
	else if (what < 65)
		rig_delete(dice(RIG_CATEGORIES), dice(RIG_IDS));
	else if (what < 90)
		disturb(dice(READERS));
	else if (what < 91)
		rig_prune();
	else if (what < 92)
		hub_replay_all(rig.hub);
	else if (what < 94)
		change_limits();
	else if (what < 95)
		beat(dice(READERS));
	else
		rig_turns(dice(4));
}

/** Lets everybody read on, and start again where the hub told them to. */
static void
finish(unsigned i)
{
	struct client *c = &clients[i];
	struct pattern *p = wanted(i);

	if (c->number == 0)
		come(i);
	reader_unstick(&c->reader);
	reader_catch_up(&c->reader, c->number);
	if (c->reader.views[c->number].resync >= 0) {
		go(i);
		come(i);
		reader_catch_up(&c->reader, c->number);
	}
	reader_check_state(&c->reader, c->number, p);
	free(p);
}

static unsigned
seed_of(int i)
{
	const char *text = getenv("SYSRT_SEED");

	return text != NULL ? (unsigned)strtoul(text, NULL, 10) : (unsigned)i + 1;
}

START_TEST(everybody_converges)
{
	unsigned seed = seed_of(_i);

	printf("SYSRT_SEED=%u\n", seed);
	srand(seed);
	for (unsigned i = 0; i < READERS; i++) {
		clients[i] = (struct client){.view.resync = -1};
		come(i);
	}
	for (unsigned n = 0; n < STEPS; n++)
		step();
	rig_settle();
	for (unsigned i = 0; i < READERS; i++)
		finish(i);
	for (unsigned i = 0; i < READERS; i++)
		reader_fini(&clients[i].reader);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("hub_random");
	TCase *tc = tcase_create("hub_random");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, rig_setup, rig_teardown);
	tcase_add_loop_test(tc, everybody_converges, 0, SEEDS);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
