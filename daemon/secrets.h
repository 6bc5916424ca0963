#pragma once
/*
 * The vault at work: requests wait in line, and are carried out one after the other, but
 * that a lock goes before those that have not begun. What
 * takes long is done on a thread apart, what changes the vault in one transaction of the
 * store; then whoever asked is answered. Loop thread.
 */

#include "daemon/api/gate.h"
#include "daemon/base/conf.h"
#include "daemon/guard/vault.h"
#include "daemon/peer/peer.h"
#include "daemon/store/store.h"

struct secrets;

/** All borrowed. */
struct secrets *secrets_new(struct loop *loop, struct store *store, struct peers *peers,
	struct vault *vault, const struct conf *conf);
/** Waits for what is under way on the thread. */
void secrets_free(struct secrets *s);
/** Looks for a key again, if the vault is locked. */
void secrets_reload(struct secrets *s, const struct conf *conf);

/** PENDING: the peer will be answered. Takes what is secret in the wish. ERR_UNAVAILABLE: too much
 * waits. */
enum err secrets_ask(struct secrets *s, const struct origin *origin, struct vault_wish *wish,
	struct error *error);
/** The store's answer to what changed the vault. NULL is fine: nobody is left to hear it. */
void secrets_done(struct secrets *s, const struct job *j);
bool secrets_are_idle(const struct secrets *s);

/** Opens the vault with the key that is where the configuration says, if there is one; what is
 * wrong with it is logged, and told to those who want something of the vault. */
void secrets_find_key(struct vault *vault, const struct conf *conf);
