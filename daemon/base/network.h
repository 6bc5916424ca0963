#pragma once
/*
 * Addresses and the networks they are in: "127.0.0.0/8", "::1", "2001:db8::/32".
 * An IPv4 address is held as the IPv6 one it maps to. Pure, but for asking a socket;
 * any thread.
 */

#include <stdbool.h>
#include <sys/socket.h>

#include "common/span.h"

struct address {
	unsigned char bytes[16];
};

struct network {
	struct address address;
	unsigned bits; /* of the address that count */
};

#define ADDRESS_TEXT_SIZE 64

/** Reads a network, or an address alone; false if it is none, or has bits set behind its prefix. */
bool network_parse(struct span text, struct network *out);
bool network_holds(const struct network *n, const struct address *a);
/** Reads an address, which may have brackets and a port. */
bool address_parse(struct span text, struct address *out);
/** Four bytes of IPv4, as they come over the wire. */
void address_set_ipv4(struct address *a, const void *bytes);
/** That of the other end of a socket; false if it has none (a Unix socket, or it is gone). */
bool address_of_peer(int fd, struct address *out);
bool address_is_loopback(const struct address *a);
/** Of a socket's address; false if it is not of the internet. */
bool address_of(const struct sockaddr *sa, struct address *out);
/** The part of an address that one client has for itself: of IPv6 the first 64 bits. */
struct address address_owner(const struct address *a);
/** "192.0.2.7"; of an owner "2001:db8:0:1::/64". */
void address_format(const struct address *a, bool is_owner, char out[ADDRESS_TEXT_SIZE]);
