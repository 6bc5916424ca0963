/* The table of options, and finding them by name: see conf_table.h. */

#include "daemon/base/conf_table.h"

#include <string.h>

#include "common/url.h"

#define KIB INT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)
#define DAY (INT64_C(86400) * 1000)

#define AT(member)          offsetof(struct conf, member)
#define IN_CATEGORY(member) offsetof(struct conf_category, member)
#define IN_FEED(member)     offsetof(struct conf_feed, member)
#define COUNT_OF(a)         (sizeof(a) / sizeof((a)[0]))

/* clang-format off */
const struct conf_option conf_options[] = {
	/* name, type, member, default, least, most, words allowed, needs a restart, help */
	{"store.path", CONF_TEXT, AT(store.path),
	 "\"/var/lib/sysrt/sysrt.db\"", 1, 4000, NULL, true,
	 "The file that holds everything."},
	{"store.durability", CONF_CHOICE, AT(store.durability),
	 "\"full\"", 0, 0, "normal full", true,
	 "full: a commit is on the disk before the reply. normal: survives a crash of the daemon "
	 "and a kill, may lose the last moments at power loss."},
	{"store.readers", CONF_COUNT, AT(store.readers), "2", 1, 64, NULL, true,
	 "Threads that read; with more than one, the first is for replay."},
	{"store.queue", CONF_COUNT, AT(store.queue), "256", 8, 65536, NULL, false,
	 "Operations waiting for the writer."},
	{"store.queue_bytes", CONF_SIZE, AT(store.queue_bytes),
	 "\"64MiB\"", MIB, 64 * GIB, NULL, false,
	 "Bytes of operations waiting for the writer."},
	{"store.max_record", CONF_SIZE, AT(store.max_record),
	 "\"1MiB\"", KIB, 256 * MIB, NULL, false,
	 "Data of one record."},
	{"store.tombstone_retention", CONF_DURATION, AT(store.tombstone_retention_ms),
	 "\"7d\"", 0, INT64_MAX, NULL, false,
	 "How long a deletion is remembered, so that a client that was away learns of it."},
	{"store.tombstone_max", CONF_COUNT, AT(store.tombstone_max),
	 "1000000", 0, INT64_MAX, NULL, false,
	 "Deletions remembered at most; older ones are forgotten early."},
	{"store.read_timeout", CONF_DURATION, AT(store.read_timeout_ms),
	 "\"10s\"", 1, DAY, NULL, false,
	 "A read that takes longer is answered TIMEOUT."},
	{"store.cache", CONF_SIZE, AT(store.cache_bytes), "\"64MiB\"", MIB, 64 * GIB, NULL, true,
	 "Page cache of the writer and of each reader, at most."},
	{"store.wal_limit", CONF_SIZE, AT(store.wal_limit),
	 "\"256MiB\"", MIB, 1024 * GIB, NULL, false,
	 "The write-ahead log is restarted at this size."},
	{"store.wal_hard_limit", CONF_SIZE, AT(store.wal_hard_limit),
	 "\"4GiB\"", MIB, INT64_MAX, NULL, false,
	 "Writes are refused while the write-ahead log is larger."},

	{"websocket.listen", CONF_TEXTS, AT(websocket.listen),
	 "[\"127.0.0.1:7117\", \"[::1]:7117\"]", 0, 16, NULL, true,
	 "Addresses to listen on. Port 0: the kernel chooses, `status` says which."},
	{"websocket.echo", CONF_BOOL, AT(websocket.echo), "false", 0, 0, NULL, false,
	 "Serve /echo, a plain WebSocket echo for testing proxies and clients."},
	{"websocket.max_sessions", CONF_COUNT, AT(websocket.max_sessions),
	 "10000", 1, 1000000, NULL, false,
	 "WebSocket sessions at a time."},
	{"websocket.max_message", CONF_SIZE, AT(websocket.max_message),
	 "\"4MiB\"", KIB, 256 * MIB, NULL, false,
	 "A message on either door."},
	{"websocket.max_fragments", CONF_COUNT, AT(websocket.max_fragments),
	 "65536", 1, 100000000, NULL, false,
	 "Frames that a message may come in."},
	{"websocket.max_input", CONF_SIZE, AT(websocket.max_input),
	 "\"256MiB\"", MIB, INT64_MAX, NULL, false,
	 "Unfinished messages of all sessions together, on either door."},
	{"websocket.send_queue", CONF_SIZE, AT(websocket.send_queue),
	 "\"256KiB\"", 4 * KIB, GIB, NULL, false,
	 "Unsent bytes of a session before its subscriptions fall back to replay."},
	{"websocket.heartbeat", CONF_DURATION, AT(websocket.heartbeat_ms),
	 "\"30s\"", 100, DAY, NULL, false,
	 "Between pings; a session that leaves three unanswered is closed."},
	{"websocket.origins", CONF_ORIGINS, AT(websocket.origins), "[]", 0, 1000, NULL, false,
	 "Web pages that may connect, such as \"https://app.example.org\"."},
	{"websocket.hosts", CONF_HOSTS, AT(websocket.hosts), "[]", 0, 1000, NULL, false,
	 "Names under which clients may reach the listener, besides localhost."},
	{"websocket.max_in_flight", CONF_COUNT, AT(websocket.max_in_flight),
	 "256", 1, 65536, NULL, false,
	 "Requests of a session that wait for their answers; then it is not read."},
	{"websocket.max_subscriptions", CONF_COUNT, AT(websocket.max_subscriptions),
	 "100", 1, 100000, NULL, false,
	 "Subscriptions of one session."},
	{"websocket.max_header", CONF_SIZE, AT(websocket.max_header),
	 "\"16KiB\"", KIB, MIB, NULL, false,
	 "The head of an HTTP request."},
	{"websocket.header_timeout", CONF_DURATION, AT(websocket.header_timeout_ms),
	 "\"10s\"", 10, DAY, NULL, false,
	 "For the TLS handshake and the head of an HTTP request to arrive."},
	{"websocket.stall_timeout", CONF_DURATION, AT(websocket.stall_timeout_ms),
	 "\"60s\"", 100, DAY, NULL, false,
	 "A session that accepts nothing for so long is closed."},
	{"websocket.auth", CONF_CHOICE, AT(websocket.auth), "\"optional\"", 0, 0,
	 "optional required none", false,
	 "Who has to show a token. optional: nobody on loopback, everybody on any other address. "
	 "required: everybody. none: nobody anywhere."},
	{"websocket.auth_timeout", CONF_DURATION, AT(websocket.auth_timeout_ms),
	 "\"10s\"", 100, DAY, NULL, false,
	 "For a token to be shown, where one has to be."},
	{"websocket.anonymous", CONF_SCOPES, AT(websocket.anonymous),
	 "[\"read\", \"write\", \"publish\"]", 0, 100, NULL, false,
	 "What a client without a token may do: read, write and publish, each of everything or of some "
	 "categories and topics: \"read:ticker,sensor.*\"."},
	{"websocket.trusted_proxies", CONF_NETWORKS, AT(websocket.trusted_proxies),
	 "[]", 0, 100, NULL, false,
	 "Proxies whose X-Forwarded-For and X-Forwarded-Proto are believed: addresses or networks."},
	{"websocket.proxy_protocol", CONF_BOOL, AT(websocket.proxy_protocol), "false", 0, 0, NULL,
	 false,
	 "Connections from trusted proxies begin with the PROXY protocol, version 1 or 2."},
	{"websocket.shutdown_delay", CONF_DURATION, AT(websocket.shutdown_delay_ms),
	 "\"0s\"", 0, DAY, NULL, false,
	 "How long /readyz says 503 before listening stops."},

	{"tls.cert", CONF_TEXT, AT(tls.cert), "\"\"", 0, 4000, NULL, false,
	 "The certificate, with those between it and a root, in PEM: with it all of websocket.listen "
	 "speaks TLS, https:// and wss://."},
	{"tls.key", CONF_TEXT, AT(tls.key), "\"\"", 0, 4000, NULL, false,
	 "Its key, in PEM: nobody but its owner and its group may read the file."},
	{"tls.client_ca", CONF_TEXT, AT(tls.client_ca), "\"\"", 0, 4000, NULL, false,
	 "Who signs certificates of clients, in PEM: one stands for the token that has its common "
	 "name."},
	{"tls.max_handshakes", CONF_COUNT, AT(tls.max_handshakes), "1000", 1, 1000000, NULL, false,
	 "Handshakes under way at a time; beyond that the oldest is cut."},

	{"control.socket", CONF_TEXT, AT(control.socket),
	 "\"/run/sysrt/control.sock\"", 1, 100, NULL, true,
	 "The Unix socket for sysrtctl and scripts."},
	{"control.admin_group", CONF_TEXT, AT(control.admin_group),
	 "\"sysrt\"", 0, 100, NULL, false,
	 "Members may use the control socket, besides root and the daemon's own user."},
	{"control.read_group", CONF_TEXT, AT(control.read_group), "\"\"", 0, 100, NULL, false,
	 "Members may read by the control socket. With it the socket's mode is 0666; everybody else "
	 "is refused when he comes."},
	{"control.max_per_uid", CONF_COUNT, AT(control.max_per_uid), "256", 1, 100000, NULL, false,
	 "Connections of one user to the control socket."},

	{"limits.session", CONF_RATE, AT(limits.session), "\"5000/s burst 10000\"", 0, 0, NULL, false,
	 "What one session may use: the costs of its requests (see `methods`). /s, /m or /h; \"burst "
	 "N\" is what it may have saved."},
	{"limits.address", CONF_RATE, AT(limits.address), "\"20000/s burst 40000\"", 0, 0, NULL, false,
	 "What all sessions from one address may use; of IPv6 an address is the first 64 bits."},
	{"limits.connections", CONF_RATE, AT(limits.connections),
	 "\"20/s burst 200\"", 0, 0, NULL, false,
	 "Connections from one address; one more is closed."},
	{"limits.total", CONF_RATE, AT(limits.total), "\"unlimited\"", 0, 0, NULL, false,
	 "What all sessions together may use."},
	{"limits.refusals", CONF_RATE, AT(limits.refusals), "\"20/s burst 100\"", 0, 0, NULL, false,
	 "Refusals (RATE_LIMITED) that a session is told; one that goes on is not read for a while."},
	{"limits.exempt", CONF_NETWORKS, AT(limits.exempt),
	 "[\"127.0.0.0/8\", \"::1\"]", 0, 1000, NULL, false,
	 "Networks that are not limited. The control socket never is."},
	{"limits.addresses", CONF_COUNT, AT(limits.addresses), "65536", 64, 10000000, NULL, false,
	 "Addresses remembered at a time, at 48 bytes each."},

	{"hub.recent", CONF_COUNT, AT(hub.recent), "1024", 0, 1048576, NULL, false,
	 "Newest changes kept in memory, for clients that fell a little behind."},
	{"hub.recent_bytes", CONF_SIZE, AT(hub.recent_bytes),
	 "\"16MiB\"", 64 * KIB, 64 * GIB, NULL, false,
	 "Bytes of them, at most."},
	{"hub.max_patterns", CONF_COUNT, AT(hub.max_patterns), "1000000", 1, 1000000000, NULL, false,
	 "Different patterns of all subscriptions to records together; one with several categories and "
	 "ids counts as so many pairs."},
	{"hub.max_topics", CONF_COUNT, AT(hub.max_topics), "1000000", 1, 1000000000, NULL, false,
	 "Different topics, and beginnings of topics, that all subscriptions together are for."},

	{"search.rank_limit", CONF_COUNT, AT(search.rank_limit), "2000", 10, 100000, NULL, false,
	 "Matches of a search that are counted and ranked: the newest."},
	{"search.timeout", CONF_DURATION, AT(search.timeout_ms), "\"5s\"", 1, DAY, NULL, false,
	 "A search that takes longer is answered TIMEOUT."},
	{"search.max_lag", CONF_COUNT, AT(search.max_lag), "100000", 1000, 10000000, NULL, false,
	 "Changes that the index may be behind; beyond them writing slows down. Searches find them "
	 "in memory: about 500 bytes each."},

	{"log.filter", CONF_FILTER, AT(log.filter), "\"info\"", 1, 1000, NULL, false,
	 "Level, or levels per part: \"info,store=debug\". Levels: error warn info debug trace."},
	{"log.format", CONF_CHOICE, AT(log.format), "\"logfmt\"", 0, 0, "logfmt json", false,
	 "How log lines are written."},
	{"log.audit", CONF_TEXT, AT(log.audit), "\"\"", 0, 4000, NULL, false,
	 "A file for the audit log: who did or was refused what, a line of JSON each. It is in the "
	 "log, too."},

	{"vault.cipher", CONF_CHOICE, AT(vault.cipher), "\"xchacha20poly1305\"", 0, 0,
	 "xchacha20poly1305 aes256gcm", false,
	 "What new secrets are sealed with. aes256gcm only where the processor has instructions for "
	 "it."},
	{"vault.key_file", CONF_TEXT, AT(vault.key_file), "\"\"", 0, 4000, NULL, false,
	 "A file with the vault's key, 32 bytes or 64 hexadecimal digits, of root or of the daemon's "
	 "user, and of mode 0400 or 0600. The credential sysrt.key goes before it."},
	{"vault.allow_read", CONF_BOOL, AT(vault.allow_read), "false", 0, 0, NULL, false,
	 "The values of secrets may be read back, with the scope secrets."},
	{"vault.argon2_memory", CONF_SIZE, AT(vault.argon2_memory),
	 "\"256MiB\"", MIB, 4 * GIB, NULL, false,
	 "Memory that a new passphrase of the vault costs, each time that it is tried."},
	{"vault.argon2_passes", CONF_COUNT, AT(vault.argon2_passes), "3", 1, 100, NULL, false,
	 "Passes over that memory."},

	{"backup.folder", CONF_TEXT, AT(backup.folder), "\"\"", 0, 4000, NULL, false,
	 "Where backups are made when no file is named; it has to be there."},
	{"backup.every", CONF_DURATION, AT(backup.every_ms),
	 "\"unlimited\"", 100, INT64_MAX, NULL, false,
	 "Time from one backup into the folder to the next; \"unlimited\": none by itself."},
	{"backup.keep", CONF_COUNT, AT(backup.keep), "7", 1, INT64_MAX, NULL, false,
	 "Backups in the folder; older ones are removed when a new one is made."},
	{"backup.verify", CONF_BOOL, AT(backup.verify), "true", 0, 0, NULL, false,
	 "Check all of a backup that is made by the schedule."},

	{"daemon.shutdown_timeout", CONF_DURATION, AT(daemon.shutdown_timeout_ms),
	 "\"30s\"", 100, DAY, NULL, false,
	 "For a stop; then what still waits is answered UNAVAILABLE."},
};

static const struct conf_option category_options[] = {
	{"history", CONF_KEEP, IN_CATEGORY(history), "0", 0, 1000000, NULL, false,
	 "Earlier versions of each record that are kept: so many, or each for so long after it was "
	 "replaced."},
	{"ttl", CONF_DURATION, IN_CATEGORY(ttl_ms), "\"unlimited\"", 1, INT64_MAX, NULL, false,
	 "A record that is written with neither ttl nor expires_at is deleted after so long."},
	{"max_records", CONF_COUNT, IN_CATEGORY(max_records),
	 "\"unlimited\"", 1, INT64_MAX, NULL, false,
	 "Records of the category at most: for a new one the one written longest ago is deleted."},
	{"max_data", CONF_SIZE, IN_CATEGORY(max_data), "\"unlimited\"", 1, INT64_MAX, NULL, false,
	 "Data of one record; store.max_record holds too."},
	{"search", CONF_CHOICE, IN_CATEGORY(search), "\"words\"", 0, 0, "words trigram off", false,
	 "words: found by words. trigram: found by any part of three or more letters. off: not "
	 "found."},
};

static const struct conf_option feed_options[] = {
	{"url", CONF_TEXT, IN_FEED(url), "\"\"", 0, URL_MAX, NULL, false,
	 "Where it connects to: ws:// or wss://."},
	{"enabled", CONF_BOOL, IN_FEED(enabled), "true", 0, 0, NULL, false,
	 "Whether it is started by itself."},
	{"ca", CONF_TEXT, IN_FEED(ca), "\"\"", 0, 4000, NULL, false,
	 "Who may have signed the upstream's certificate, in PEM; \"\": the authorities that the "
	 "system knows."},
	{"headers", CONF_TEXTS, IN_FEED(headers), "[]", 0, 64, NULL, false,
	 "More headers of the handshake, each \"Name: value\". In these and in messages "
	 "${secret:NAME} stands for a secret, ${now_ms}, ${now_s} and ${now_iso} for the time of "
	 "the connection, ${signature} for what sign_text makes; \"$${\" is a text \"${\"."},
	{"subprotocols", CONF_TEXTS, IN_FEED(subprotocols), "[]", 0, 16, NULL, false,
	 "Subprotocols that are offered, the best first."},
	{"on_connect", CONF_STEPS, IN_FEED(on_connect), "[]", 0, 64, NULL, false,
	 "Messages to send first, in order. A table {send = \"...\", await = '{\"/type\":"
	 "\"subscribed\"}', timeout = \"10s\"} goes on when a message came that meets the condition; "
	 "without send it only waits; with send_base64 instead it sends a binary message."},
	{"connect_timeout", CONF_DURATION, IN_FEED(connect_timeout_ms),
	 "\"10s\"", 100, DAY, NULL, false,
	 "For a connection to be open, from the look-up of the name to the handshake."},
	{"app_ping", CONF_TEXT, IN_FEED(app_ping), "\"\"", 0, 65536, NULL, false,
	 "A message to send again and again, for upstreams that want one."},
	{"app_ping_every", CONF_DURATION, IN_FEED(app_ping_every_ms),
	 "\"30s\"", 100, DAY, NULL, false,
	 "How often."},
	{"heartbeat", CONF_DURATION, IN_FEED(heartbeat_ms), "\"30s\"", 100, INT64_MAX, NULL, false,
	 "Between pings; a connection that leaves three unanswered is dead. \"unlimited\": none are "
	 "sent."},
	{"idle_timeout", CONF_DURATION, IN_FEED(idle_timeout_ms),
	 "\"unlimited\"", 100, INT64_MAX, NULL, false,
	 "A connection on which no message came for so long is dead."},
	{"max_retries", CONF_COUNT, IN_FEED(max_retries),
	 "\"unlimited\"", 0, INT64_MAX, NULL, false,
	 "Attempts in a row after one that failed; then the feed has failed until it is started. A "
	 "minute live ends the row."},
	{"max_message", CONF_SIZE, IN_FEED(max_message), "\"4MiB\"", KIB, 256 * MIB, NULL, false,
	 "A message of the upstream; a larger one ends the connection."},
	{"sign_text", CONF_TEXT, IN_FEED(sign_text), "\"\"", 0, 4000, NULL, false,
	 "What ${signature} signs, by HMAC-SHA256; with ${secret:NAME} and ${now_...} as in "
	 "messages."},
	{"sign_secret", CONF_TEXT, IN_FEED(sign_secret), "\"\"", 0, 128, NULL, false,
	 "The name of the secret that is the key of signatures."},
	{"sign_key", CONF_CHOICE, IN_FEED(sign_key), "\"raw\"", 0, 0, "raw hex base64", false,
	 "How the secret is written: the key itself, or its bytes in hexadecimal digits or base64."},
	{"sign_as", CONF_CHOICE, IN_FEED(sign_as), "\"hex\"", 0, 0, "hex base64", false,
	 "How the signature is written."},
	{"split", CONF_TEXT, IN_FEED(split), "\"\"", 0, 4000, NULL, false,
	 "A JSON Pointer to an array in the message, each item of which is mapped; \"{}\": the message "
	 "itself is the array; \"\": the message is the item."},
	{"where", CONF_TEXT, IN_FEED(where), "\"\"", 0, 16384, NULL, false,
	 "A condition on the message, as of record.list: others are passed over."},
	{"category", CONF_TEXT, IN_FEED(category), "\"\"", 0, 4000, NULL, false,
	 "The category of a record; \"\": the feed's name. In this and the next {/product_id} stands for "
	 "what that JSON Pointer names in the item, {$/channel} for the same in the whole message, {} "
	 "for the item; {{ and }} are braces. What has no text there is not mapped."},
	{"id", CONF_TEXT, IN_FEED(id), "\"\"", 0, 4000, NULL, false,
	 "Its id; \"\": a new one each time."},
	{"name", CONF_TEXT, IN_FEED(name), "\"\"", 0, 4000, NULL, false,
	 "Its name; \"\": the id."},
	{"data", CONF_TEXT, IN_FEED(data), "\"{}\"", 0, 4000, NULL, false,
	 "Its data: one place, whatever stands there, as it was sent."},
	{"time", CONF_TEXT, IN_FEED(time), "\"\"", 0, 4000, NULL, false,
	 "When it was written (updated_at): RFC 3339, or a number of seconds, milliseconds, "
	 "microseconds or nanoseconds since 1970, which are told apart by size; never after its "
	 "arrival. \"\": at its arrival."},
	{"ttl", CONF_DURATION, IN_FEED(ttl_ms), "\"unlimited\"", 1, INT64_MAX, NULL, false,
	 "Records are deleted after so long; \"unlimited\": as [category.NAME] says."},
	{"received_at", CONF_TEXT, IN_FEED(received_at), "\"\"", 0, 128, NULL, false,
	 "The name of a member with the time of arrival that is added to data that is an object; "
	 "\"\": none."},
	{"topic", CONF_TEXT, IN_FEED(topic), "\"\"", 0, 4000, NULL, false,
	 "The topic that data is published to instead of being stored."},
	{"drop_unmapped", CONF_BOOL, IN_FEED(drop_unmapped), "true", 0, 0, NULL, false,
	 "What is not mapped is only counted; false: some of it is logged, with the place that was "
	 "not there."},
	{"on_full", CONF_CHOICE, IN_FEED(on_full), "\"wait\"", 0, 0, "wait conflate", false,
	 "While the store has no room. wait: the upstream is not read. conflate: the newest of each "
	 "record is kept."},
	{"rate", CONF_RATE, IN_FEED(rate), "\"unlimited\"", 0, 0, NULL, false,
	 "Messages that are taken; the upstream is not read while there are more."},
	{"record", CONF_TEXT, IN_FEED(record), "\"\"", 0, 128, NULL, false,
	 "The name of a recording of all messages, recordings/NAME.ndjson beside the store; \"\": none."},
	{"record_max", CONF_SIZE, IN_FEED(record_max),
	 "\"256MiB\"", 64 * KIB, 1024 * GIB, NULL, false,
	 "Bytes of a recording; then it is NAME.ndjson.1, in the place of the one before, and begins "
	 "anew."},
	{"stale_after", CONF_DURATION, IN_FEED(stale_after_ms),
	 "\"unlimited\"", 100, INT64_MAX, NULL, false,
	 "Subscribers to its categories are told that they are stale when it is down for so long."},
};

const struct conf_section conf_sections[] = {
	{"category", AT(categories), sizeof(struct conf_category), category_options,
	 COUNT_OF(category_options), true, NULL,
	 "What holds for one category, or with a name that ends in * for all that begin so. Of all "
	 "that fit the table with the longest name holds, alone."},
	{"feed", AT(feeds), sizeof(struct conf_feed), feed_options, COUNT_OF(feed_options), false,
	 conf_feed_check,
	 "An upstream WebSocket, whose messages become records. `sysrtctl feed` shows and tests them."},
};
/* clang-format on */

const size_t conf_options_n = COUNT_OF(conf_options);
const size_t conf_sections_n = COUNT_OF(conf_sections);

static const struct conf_option *
find(const struct conf_option *options, size_t n, struct span name)
{
	for (size_t i = 0; i < n; i++)
		if (span_is(name, options[i].name))
			return &options[i];
	return NULL;
}

const struct conf_option *
conf_option_find(struct span name)
{
	return find(conf_options, conf_options_n, name);
}

const struct conf_option *
conf_key_find(const struct conf_section *s, struct span key)
{
	return find(s->options, s->options_n, key);
}

const struct conf_section *
conf_section_find(struct span name)
{
	for (size_t i = 0; i < conf_sections_n; i++)
		if (span_is(name, conf_sections[i].name))
			return &conf_sections[i];
	return NULL;
}

#define NAME_MAX_N 64

/** Levenshtein's distance; names longer than NAME_MAX_N are far from everything. */
static size_t
distance(struct span a, struct span b)
{
	size_t row[NAME_MAX_N + 1];

	if (a.n > NAME_MAX_N || b.n > NAME_MAX_N)
		return SIZE_MAX;
	for (size_t j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t change = diagonal + (a.p[i - 1] != b.p[j - 1]);
			size_t least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;

			diagonal = row[j];
			row[j] = change < least ? change : least;
		}
	}
	return row[b.n];
}

static const char *
nearest(const struct conf_option *options, size_t n, struct span name)
{
	size_t best = name.n / 4 + 2;
	const char *found = NULL;

	for (size_t i = 0; i < n; i++) {
		size_t d = distance(name, span_of(options[i].name));

		if (d < best) {
			best = d;
			found = options[i].name;
		}
	}
	return found;
}

const char *
conf_option_nearest(struct span name)
{
	return nearest(conf_options, conf_options_n, name);
}

const char *
conf_key_nearest(const struct conf_section *s, struct span key)
{
	return nearest(s->options, s->options_n, key);
}

const char *
conf_section_nearest(struct span name)
{
	for (size_t i = 0; i < conf_sections_n; i++)
		if (distance(name, span_of(conf_sections[i].name)) <= 2)
			return conf_sections[i].name;
	return NULL;
}
