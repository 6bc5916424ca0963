#pragma once
/*
 * What a WebSocket session is greeted with: the notification `hello`, which says
 * whom it talks to, where the store stands, and the limits that apply to it.
 * Loop thread.
 */

#include "daemon/peer/peer.h"

void hello_say(struct peer *p);
