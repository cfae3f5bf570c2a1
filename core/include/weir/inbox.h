/* weir/inbox.h - the door for other threads: they post letters, the runtime's thread opens them.
 *
 * A runtime belongs to one thread; weir_inbox_post is the one call that any thread may make, a
 * signal handler too. A letter is the sender's memory and goes over whole: from the post until
 * `deliver` is called with it nobody touches it. Posting neither waits, allocates nor fails, and it
 * wakes the runtime's loop, also one that a host drives. Letters are delivered in the order
 * they were posted, from the loop, outside tasks: `deliver` may settle waiters, set timers, post.
 * Every letter is delivered exactly once.
 */
#ifndef WEIR_INBOX_H
#define WEIR_INBOX_H
#include <weir/runtime.h>

#include <weir/begin.h>

typedef struct weir_inbox weir_inbox;
typedef struct weir_letter weir_letter;

/* On the runtime's thread. The letter is the callee's from here: it may free it or post it on. */
typedef void (*weir_deliver_fn)(weir_runtime *rt, weir_letter *letter);

struct weir_letter {
    weir_letter *_next;
    weir_deliver_fn deliver;
};

/* An inbox of `rt` that keeps its loop alive (see below). 0 and *out (gives), WEIR_ENOMEM,
 * WEIR_ENOIO under the simulator, or a code of libuv's. Runtime's thread. */
int weir_inbox_new(weir_runtime *rt, weir_inbox **out);

/* Hand over `letter` (takes; `deliver` is set by the caller). Any thread. */
void weir_inbox_post(weir_inbox *inbox, weir_letter *letter);

/* Is an empty inbox a reason for the loop to go on? It is (1) until told otherwise: a program all
 * of whose tasks wait for other threads is not at its end, nor in a deadlock. Runtime's thread. */
void weir_inbox_keep_alive(weir_inbox *inbox, int on);

/* Deliver what is there, then free. No post may begin any more; one whose letter was delivered has
 * begun, and is waited for: a thread that says by a letter that it is done need not be joined
 * first. Not inside `deliver`. NULL is fine. Runtime's thread. weir_loop_free does it for those
 * that are left. */
void weir_inbox_free(weir_inbox *inbox);

#include <weir/end.h>
#endif
