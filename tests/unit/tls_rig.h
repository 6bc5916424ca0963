#pragma once
/*
 * What tests of TLS stand on: certificates of its own making in a folder of its own, and
 * a client that is OpenSSL's. Files are left out of memory's reach: they are PEM.
 */

#include <openssl/ssl.h>
#include <stdbool.h>

#include "common/buf.h"
#include "daemon/net/tls.h"

/** Makes the folder with ca.crt, ca.key, server.crt, server.key, other.crt, other.key (both signed
 * by the CA) and client.crt, client.key ("CN=alice"). */
void rig_init(void);
void rig_fini(void);
/** A path in the folder: good until the fourth call after this one. */
const char *rig_path(const char *name);
/** Makes NAME.crt and NAME.key, signed by the CA. common_names: parted by commas. */
void rig_make(const char *name, const char *common_names);
/** The same for hosts ("DNS:a.example,IP:127.0.0.1"), good from and to so many days from now.
 * is_own: signed by itself. */
void rig_make_for(const char *name, const char *hosts, int from, int to, bool is_own);

/** A context on server.crt and server.key. */
struct tls_context *rig_context(bool asks_clients);

/** A client that talks by memory: what it says is in `said` after each call. */
struct rig_client {
	SSL_CTX *context;
	SSL *ssl;
	struct buf said;
	struct buf heard; /* data */
	bool is_open;
	bool has_ended; /* the server said that it is the end */
	bool has_failed;
};

/** certificate: NAME of one to show; NULL: none. */
void rig_client_init(struct rig_client *c, int version, const char *certificate);
void rig_client_fini(struct rig_client *c);
/** Goes on, with these bytes of the server. */
void rig_client_take(struct rig_client *c, struct span bytes);
void rig_client_send(struct rig_client *c, struct span data);
