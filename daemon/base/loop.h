#pragma once
/*
 * The loop: libevent's base with what sysrt adds. Timers, signals, descriptors,
 * "do it at the end of this turn", and "run this on the loop" from another
 * thread through struct queue. Everything here runs on the loop thread.
 */

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct loop;

struct loop *loop_new(void);
void loop_free(struct loop *l);
/** Runs until loop_stop(). */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);
struct event_base *loop_base(struct loop *l);
/** The number of the turn under way. */
uint64_t loop_turn(const struct loop *l);
/** For callbacks of what can be very many: ends the turn if these have taken long in it. Then what
 * is deferred is done, and what goes first is looked at; the others go on in the next turn. */
void loop_yield_if_late(struct loop *l);
/** Monotonic milliseconds, read once a turn. */
int64_t loop_now_ms(struct loop *l);

/** Calls fn(arg) after the callbacks of this turn, in order of deferral. What it defers in turn
 * runs in the next one. */
void loop_defer(struct loop *l, void (*fn)(void *arg), void *arg);
/** Forgets every deferred call with this arg: for whoever frees it. */
void loop_undefer(struct loop *l, void *arg);

/** A timer: embedded by its owner. */
struct loop_timer;
struct loop_timer *loop_timer_new(struct loop *l, void (*fn)(void *arg), void *arg);
/** (Re)starts it: once, after wait_ms. */
void loop_timer_start(struct loop_timer *t, int64_t wait_ms);
void loop_timer_stop(struct loop_timer *t);
void loop_timer_free(struct loop_timer *t);

/** Calls fn(arg, signo) on the loop for a signal until the loop is freed. */
void loop_on_signal(struct loop *l, int signo, void (*fn)(void *arg, int signo), void *arg);

/** Calls fn(arg) whenever fd is readable until loop_forget(). */
struct loop_watch;
struct loop_watch *loop_watch_new(struct loop *l, int fd, void (*fn)(void *arg), void *arg);
/** It goes before what does not. */
void loop_watch_prefer(struct loop_watch *w);
void loop_watch_free(struct loop_watch *w);

/* Priorities of events, as libevent has them: what is not said otherwise is the second. */
#define LOOP_FIRST      0
#define LOOP_PRIORITIES 2
