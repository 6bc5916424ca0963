#pragma once
/*
 * A token's text: "sysrt_", 43 random letters and digits (as much as 32 bytes), and
 * a checksum of six, so that people and scanners know one when they see it. It is
 * kept as a hash, keyed by the store. Pure, but for making one.
 */

#include <stdbool.h>

#include "common/span.h"

#define TOKEN_TEXT_SIZE 56 /* with the terminator */
#define TOKEN_HASH_SIZE 65 /* hexadecimal, terminated */
#define TOKEN_KEY_BYTES 32

/** A new one: random. */
void token_make(char out[TOKEN_TEXT_SIZE]);
/** True if the text has the shape of a token and its checksum is right. */
bool token_is_whole(struct span text);
/** True if something that looks like a token is in the text: it does not belong there. */
bool token_is_in(struct span text);
void token_hash(
	const unsigned char key[TOKEN_KEY_BYTES], struct span text, char out[TOKEN_HASH_SIZE]);
