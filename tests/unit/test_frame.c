/*
 * Frames and bodies: what they hold, how they are wrapped for each door, and that
 * counting frees them (under AddressSanitizer).
 */

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/xalloc.h"
#include "daemon/base/frame.h"

static struct body *
body_of(const char *text, size_t n)
{
	struct body *b = body_new(n);

	ck_assert_ptr_nonnull(b);
	memcpy(b->bytes, text, n);
	return b;
}

static void
expect_bytes(const struct frame *f, struct span expected)
{
	struct buf all;

	buf_init(&all, SIZE_MAX);
	buf_add(&all, f->head, f->head_n);
	if (f->body != NULL)
		buf_add(&all, f->body->bytes, f->body->n);
	ck_assert_uint_eq(frame_size(f), expected.n);
	ck_assert(span_eq(buf_span(&all), expected));
	buf_fini(&all);
}

START_TEST(frames_share_a_body)
{
	struct body *b = body_of("body", 4);
	struct frame *one = frame_new(SPAN("1:"), b), *two = frame_new(SPAN("two:"), b);
	struct frame *bare = frame_new(SPAN("alone"), NULL);

	ck_assert_uint_eq(b->refs, 3);
	body_unref(b);
	expect_bytes(one, SPAN("1:body"));
	frame_ref(one);
	frame_unref(one);
	frame_unref(one);
	expect_bytes(two, SPAN("two:body"));
	ck_assert_uint_eq(two->body->refs, 1);
	frame_unref(two);
	expect_bytes(bare, SPAN("alone"));
	frame_unref(bare);
	frame_unref(NULL);
	body_unref(NULL);
}
END_TEST

START_TEST(joined_frames_are_their_bytes)
{
	struct body *b = body_of("body", 4);
	struct frame *parts[] = {
		frame_new(SPAN("1:"), b), frame_new(SPAN("alone"), NULL), frame_new(SPAN(""), b)};
	struct frame *all = frame_join(parts, 3), *none = frame_join(parts, 0), *again;

	body_unref(b);
	ck_assert(!all->is_secret);
	parts[1]->is_secret = 1;
	again = frame_join(parts, 2);
	ck_assert(again->is_secret); /* it has the secret bytes too */
	for (int i = 0; i < 3; i++)
		frame_unref(parts[i]);
	expect_bytes(all, SPAN("1:bodyalonebody"));
	expect_bytes(again, SPAN("1:bodyalone"));
	expect_bytes(none, SPAN(""));
	frame_unref(all);
	frame_unref(again);
	frame_unref(none);
}
END_TEST

START_TEST(a_body_too_long_is_refused)
{
	ck_assert_ptr_null(body_new((size_t)UINT32_MAX + 1));
}
END_TEST

START_TEST(lines_go_as_they_are)
{
	struct body *b = body_of("2}\n", 3);
	struct frame *f = frame_message(FRAMING_LINE, SPAN("{\"a\":"), b);

	body_unref(b);
	expect_bytes(f, SPAN("{\"a\":2}\n"));
	frame_unref(f);
}
END_TEST

/* The example of RFC 6455, 5.7: "A single-frame unmasked text message". */
START_TEST(websocket_messages_get_a_header)
{
	struct body *b = body_of("llo", 3);
	struct frame *f = frame_message(FRAMING_WEBSOCKET, SPAN("He"), b);

	body_unref(b);
	expect_bytes(f, SPAN("\x81\x05Hello"));
	frame_unref(f);
	f = frame_message(FRAMING_WEBSOCKET, SPAN("Hello"), NULL);
	expect_bytes(f, SPAN("\x81\x05Hello"));
	frame_unref(f);
}
END_TEST

START_TEST(websocket_headers_at_the_borders_of_length)
{
	static const struct {
		size_t n;
		struct span header;
	} rows[] = {
		{125,   {"\x81\x7d", 2}                                 },
		{126,   {"\x81\x7e\x00\x7e", 4}                         },
		{65535, {"\x81\x7e\xff\xff", 4}                         },
		{65536, {"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10}},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct body *b = body_new(rows[i].n - 1);
		struct frame *f = frame_message(FRAMING_WEBSOCKET, SPAN("x"), b);

		ck_assert_uint_eq(f->head_n, rows[i].header.n + 1);
		ck_assert_mem_eq(f->head, rows[i].header.p, rows[i].header.n);
		ck_assert_uint_eq(frame_size(f), rows[i].header.n + rows[i].n);
		body_unref(b);
		frame_unref(f);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("frame");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, frames_share_a_body);
	tcase_add_test(t, joined_frames_are_their_bytes);
	tcase_add_test(t, a_body_too_long_is_refused);
	tcase_add_test(t, lines_go_as_they_are);
	tcase_add_test(t, websocket_messages_get_a_header);
	tcase_add_test(t, websocket_headers_at_the_borders_of_length);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
