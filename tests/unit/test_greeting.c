/* What a feed says when it has connected, and the journal of what happened to it. */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/conf.h"
#include "daemon/feed/greeting.h"
#include "daemon/feed/journal.h"

static char send_a[] = "a", send_c[] = "AGM=";
static char await_b[] = "{\"/b\":1}", await_c[] = " {\"/c\" : {\"exists\":true}} ";
static struct conf_step steps[] = {
	{send_a, false, NULL,    0  },
	{NULL,   false, await_b, 100},
	{send_c, true,  await_c, 200},
};

static void
check_step(struct greeting *g, const char *send, int64_t wait_ms)
{
	struct greeting_step s;

	ck_assert(greeting_next(g, &s));
	ck_assert(span_is(s.send, send));
	ck_assert(s.is_binary == (strcmp(send, send_c) == 0));
	ck_assert_int_eq(s.wait_ms, wait_ms);
}

static void
check_all(struct greeting *g)
{
	struct greeting_step s;

	greeting_begin(g);
	ck_assert(!greeting_hear(g, SPAN("{\"b\":1}")));
	check_step(g, "a", 0);
	check_step(g, "", 100);
	ck_assert(!greeting_next(g, &s)); /* it waits */
	ck_assert(!greeting_hear(g, SPAN("{\"b\":2}")));
	ck_assert(!greeting_hear(g, SPAN("{\"b\":1")));
	ck_assert(!greeting_hear(g, SPAN("")));
	ck_assert(greeting_hear(g, SPAN(" {\"b\":1} ")));
	ck_assert(!greeting_hear(g, SPAN("{\"c\":1}"))); /* not asked for yet */
	check_step(g, send_c, 200);
	ck_assert(greeting_hear(g, SPAN("{\"c\":null}")));
	ck_assert(!greeting_next(g, &s));
	ck_assert(!greeting_hear(g, SPAN("{\"c\":1}")));
}

START_TEST(in_order)
{
	struct conf_steps all = {steps, 3}, none = {NULL, 0};
	struct greeting *g = greeting_new(&all);
	struct greeting_step s;

	check_all(g);
	check_all(g);
	greeting_begin(g);
	check_step(g, "a", 0);
	check_step(g, "", 100);
	check_all(g); /* it broke off before */
	greeting_free(g);
	g = greeting_new(&none);
	greeting_begin(g);
	ck_assert(!greeting_next(g, &s));
	greeting_free(g);
}
END_TEST

START_TEST(the_last_things_are_kept)
{
	static struct journal j;
	char detail[16];
	struct json_out o;
	struct buf text;

	for (int i = 0; i < 3 * JOURNAL_MAX + 7; i++) {
		snprintf(detail, sizeof(detail), "%d", i);
		journal_note(&j, i, "it", i % 2 == 0 ? detail : NULL);
	}
	ck_assert_uint_eq(j.n, JOURNAL_MAX);
	buf_init(&text, SIZE_MAX / 2);
	o = json_out_start(&text);
	journal_add_items(&j, 2, &o);
	buf_add_char(&text, '\0');
	ck_assert_str_eq(text.p, "{\"at\":605,\"what\":\"it\"},"
				 "{\"at\":606,\"what\":\"it\",\"detail\":\"606\"}");
	buf_reset(&text);
	o = json_out_start(&text);
	journal_add_items(&j, 1000, &o);
	ck_assert(span_has_prefix(buf_span(&text), SPAN("{\"at\":407,")));
	buf_fini(&text);
	journal_fini(&j);
	ck_assert_uint_eq(j.n, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("greeting");
	TCase *tc = tcase_create("greeting");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tc, in_order);
	tcase_add_test(tc, the_last_things_are_kept);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
