/* Addresses and networks: see network.h. */

#include "daemon/base/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define ADDRESS_BITS 128
#define IPV4_AT      12 /* bytes in front of an IPv4 address */

static const unsigned char ipv4_prefix[IPV4_AT] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool
is_ipv4(const struct address *a)
{
	return memcmp(a->bytes, ipv4_prefix, sizeof(ipv4_prefix)) == 0;
}

/** The number of bits behind the slash: digits, no more than `max`. */
static bool
bits_parse(const char *text, unsigned max, unsigned *out)
{
	unsigned n = 0;
	size_t length = strlen(text);

	if (length < 1 || length > 3 || (length > 1 && text[0] == '0') ||
		strspn(text, "0123456789") != length)
		return false;
	for (; *text != '\0'; text++)
		n = n * 10 + (unsigned)(*text - '0');
	*out = n;
	return n <= max;
}

/** With all bits behind the prefix 0. */
static struct address
masked(const struct address *a, unsigned bits)
{
	struct address m = *a;

	for (unsigned i = 0; i < ADDRESS_BITS / 8; i++) {
		unsigned kept = bits > i * 8 ? bits - i * 8 : 0;

		if (kept < 8)
			m.bytes[i] &= (unsigned char)(0xff00u >> kept);
	}
	return m;
}

bool
network_parse(struct span text, struct network *out)
{
	char copy[ADDRESS_TEXT_SIZE];
	char *slash;
	unsigned most = ADDRESS_BITS;
	struct address whole;

	if (text.n >= sizeof(copy) || memchr(text.p, '\0', text.n) != NULL)
		return false;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	slash = strchr(copy, '/');
	if (slash != NULL)
		*slash++ = '\0';
	memcpy(out->address.bytes, ipv4_prefix, sizeof(ipv4_prefix));
	if (inet_pton(AF_INET, copy, out->address.bytes + IPV4_AT) == 1)
		most = 32;
	else if (inet_pton(AF_INET6, copy, out->address.bytes) != 1)
		return false;
	out->bits = most;
	if (slash != NULL && !bits_parse(slash, most, &out->bits))
		return false;
	out->bits += ADDRESS_BITS - most;
	whole = masked(&out->address, out->bits);
	return memcmp(&whole, &out->address, sizeof(whole)) == 0;
}

bool
network_holds(const struct network *n, const struct address *a)
{
	struct address m = masked(a, n->bits);

	return memcmp(&m, &n->address, sizeof(m)) == 0;
}

/** An address alone. */
static bool
read_bare(struct span text, struct address *out)
{
	struct network n;

	if (text.n == 0 || memchr(text.p, '/', text.n) != NULL || !network_parse(text, &n))
		return false;
	*out = n.address;
	return true;
}

static bool
is_port(struct span text)
{
	int64_t port = 0;

	return text.n > 1 && text.p[0] == ':' &&
	       span_number((struct span){text.p + 1, text.n - 1}, &port) && port <= 65535;
}

bool
address_parse(struct span text, struct address *out)
{
	const char *end;
	size_t skip = text.n > 0 && text.p[0] == '[';

	if (skip == 0 && read_bare(text, out))
		return true;
	end = text.n > 0 ? memchr(text.p, skip > 0 ? ']' : ':', text.n) : NULL;
	if (end == NULL ||
		!read_bare((struct span){text.p + skip, (size_t)(end - text.p) - skip}, out))
		return false;
	end += skip;
	return (skip > 0 && end == text.p + text.n) ||
	       is_port((struct span){end, (size_t)(text.p + text.n - end)});
}

void
address_set_ipv4(struct address *a, const void *bytes)
{
	memcpy(a->bytes, ipv4_prefix, sizeof(ipv4_prefix));
	memcpy(a->bytes + IPV4_AT, bytes, sizeof(a->bytes) - IPV4_AT);
}

bool
address_of_peer(int fd, struct address *out)
{
	union {
		struct sockaddr any;
		struct sockaddr_storage storage;
	} a = {0};
	socklen_t size = sizeof(a);

	return getpeername(fd, &a.any, &size) == 0 && address_of(&a.any, out);
}

bool
address_is_loopback(const struct address *a)
{
	static const unsigned char one[16] = {[15] = 1};

	return is_ipv4(a) ? a->bytes[IPV4_AT] == 127 : memcmp(a->bytes, one, sizeof(one)) == 0;
}

bool
address_of(const struct sockaddr *sa, struct address *out)
{
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof(in6));
		memcpy(out->bytes, &in6.sin6_addr, sizeof(out->bytes));
		return true;
	}
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof(in));
		address_set_ipv4(out, &in.sin_addr);
		return true;
	}
	return false;
}

struct address
address_owner(const struct address *a)
{
	return is_ipv4(a) ? *a : masked(a, 64);
}

void
address_format(const struct address *a, bool is_owner, char out[ADDRESS_TEXT_SIZE])
{
	char text[INET6_ADDRSTRLEN];

	if (is_ipv4(a)) {
		inet_ntop(AF_INET, a->bytes + IPV4_AT, text, sizeof(text));
		is_owner = false;
	} else {
		inet_ntop(AF_INET6, a->bytes, text, sizeof(text));
	}
	snprintf(out, ADDRESS_TEXT_SIZE, "%s%s", text, is_owner ? "/64" : "");
}
