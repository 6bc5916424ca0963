/*
 * Fuzzes where a token is shown: the input is the target and the header lines of a
 * handshake. What is shown is never longer than it may be, and only what a token's
 * checksum agrees with is one; what is refused is refused in words that do not tell
 * the token.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/xalloc.h"
#include "daemon/guard/bearer.h"
#include "daemon/guard/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_text(struct span text)
{
	char copy[TOKEN_TEXT_SIZE];

	if (!token_is_whole(text))
		return;
	must(text.n == TOKEN_TEXT_SIZE - 1 && token_is_in(text));
	memcpy(copy, text.p, text.n);
	for (size_t i = 0; i < text.n; i++) {
		copy[i] ^= 1;
		must(!token_is_whole((struct span){copy, text.n}));
		copy[i] ^= 1;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char rest[] = "Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
				   "Sec-WebSocket-Version: 13\r\n"
				   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
	struct http_reader *r = http_reader_new(1 << 16);
	struct error error = ERROR_NONE;
	struct http_upgrade up;
	struct bearer shown;
	struct buf head;
	size_t used;
	int status;

	check_text((struct span){(const char *)data, size});
	buf_init(&head, 1 << 17);
	buf_add(&head, "GET ", 4);
	buf_add(&head, data, size);
	buf_add(&head, rest, sizeof(rest) - 1);
	if (!head.failed && http_reader_feed(r, buf_span(&head), &used) == HTTP_DONE &&
		http_upgrade_check(http_reader_request(r), &up, &status, &error) == OK) {
		if (bearer_read(http_reader_request(r), &up, &shown, &error) == OK) {
			must(shown.n <= BEARER_MAX);
			check_text((struct span){shown.text, shown.n});
		} else {
			must(error.text[0] != '\0' && strstr(error.text, "sysrt_") == NULL);
		}
	}
	buf_fini(&head);
	http_reader_free(r);
	return 0;
}
