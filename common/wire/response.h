#pragma once
/*
 * One HTTP/1.1 response, as a client reads it: the head, and of a body the first
 * RESPONSE_BODY_MAX bytes. On http_parser. More lenient than the reader of requests,
 * for nothing is passed on from here: header fields may be folded, and interim
 * responses (1xx but for 101) are passed over. Pure; one thread at a time.
 */

#include <stdbool.h>
#include <stddef.h>

#include "common/span.h"
#include "common/wire/http.h"

#define RESPONSE_HEAD_MAX 32768 /* bytes, with the interim ones before it */
#define RESPONSE_BODY_MAX 1024

enum response_state {
	RESPONSE_READING, /* the head */
	RESPONSE_HEAD,    /* it is there; what comes next is the body, if it has one */
	RESPONSE_DONE,    /* the body too, or enough of it */
	RESPONSE_BAD,     /* it is none: response_why() */
};

struct response;

struct response *response_new(void);
void response_free(struct response *r);
/** Takes bytes up to the end of the head, or, in a call of its own (with no bytes, if there are
 * none), of the body; *used says how many. */
enum response_state response_take(struct response *r, struct span bytes, size_t *used);
/** There are no more. Done or bad after. */
enum response_state response_end(struct response *r);
/** A literal. */
const char *response_why(const struct response *r);

/* Of one whose head is there; borrowed: */

int response_status(const struct response *r);
/** The words behind the status, as they were sent. */
struct span response_reason(const struct response *r);
unsigned response_headers(const struct response *r, const struct http_header **out);
/** The only header of this name, empty if there is none or more; *count (may be NULL): how many. */
struct span response_header(const struct response *r, const char *name, unsigned *count);
/** As http_header_has_token(). */
bool response_has_token(const struct response *r, const char *name, const char *token);
struct span response_body(const struct response *r);
