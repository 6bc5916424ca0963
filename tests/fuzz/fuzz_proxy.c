/*
 * Fuzzes what a proxy sends: the input is the head of the PROXY protocol, an address,
 * a network, and a value of X-Forwarded-For. Nothing is read beyond the input, a head
 * that is whole stays the same with more behind it, and what is read as an address is
 * printed and read as the same.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/xalloc.h"
#include "daemon/guard/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_address(const struct address *a)
{
	char text[ADDRESS_TEXT_SIZE];
	struct address again;
	struct network net;

	address_format(a, false, text);
	must(address_parse(span_of(text), &again) && memcmp(&again, a, sizeof(again)) == 0);
	must(network_parse(span_of(text), &net) && network_holds(&net, a));
}

static void
check_head(struct span input)
{
	struct proxy_head head, again;
	struct buf longer;
	size_t used = 0, used_again = 0;

	if (proxy_read(input, &head, &used) != PROXY_DONE)
		return;
	must(used > 0 && used <= input.n && used <= PROXY_HEAD_MAX);
	if (head.has_client)
		check_address(&head.client);
	buf_init(&longer, SIZE_MAX / 2);
	buf_add(&longer, input.p, used);
	buf_add(&longer, "GET /", 5);
	must(proxy_read(buf_span(&longer), &again, &used_again) == PROXY_DONE);
	must(used_again == used && again.has_client == head.has_client);
	for (size_t n = 0; n < used; n++)
		must(proxy_read((struct span){longer.p, n}, &again, &used_again) ==
			PROXY_NEED_MORE);
	buf_fini(&longer);
}

static void
check_forwarded(struct span input)
{
	static struct network nets[2];
	struct networks trusted = {nets, 2};
	struct http_reader *r = http_reader_new(1 << 16);
	struct error error = ERROR_NONE;
	struct address client = {{0}};
	struct buf head;
	size_t used;

	must(network_parse(SPAN("10.0.0.0/8"), &nets[0]) && network_parse(SPAN("::1"), &nets[1]));
	buf_init(&head, 1 << 17);
	buf_addf(&head, "GET / HTTP/1.1\r\nX-Forwarded-For: ");
	buf_add_span(&head, input);
	buf_addf(&head, "\r\n\r\n");
	if (!head.failed && http_reader_feed(r, buf_span(&head), &used) == HTTP_DONE &&
		proxy_find_client(http_reader_request(r), &trusted, &client, &error) == OK)
		check_address(&client);
	buf_fini(&head);
	http_reader_free(r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = {size > 0 ? (const char *)data : "", size};
	struct address a;
	struct network net;

	if (address_parse(input, &a))
		check_address(&a);
	if (network_parse(input, &net))
		must(network_holds(&net, &net.address));
	check_head(input);
	check_forwarded(input);
	return 0;
}
