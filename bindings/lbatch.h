/* bindings/lbatch.h - what the bindings of a batch and of its groups share. */
#ifndef WEIR_BINDINGS_LBATCH_H
#define WEIR_BINDINGS_LBATCH_H
#include "lflight.h"

#include <weir/begin.h>

typedef struct lbatch lbatch;
typedef struct lbatch_object {
    const void *tag; /* first */
    lbatch *batch;   /* NULL once it is gone */
} lbatch_object;
/* Core memory: groups may be out when the state is closed. */
struct lbatch {
    lobject object; /* first */
    lcontext *ctx;
    lbatch_object *owner;
    weir_batch batch;
    int has_key;
    size_t size;
    char name[];
};

/* User values of a batch: functions, the reason of its close. */
enum { LBATCH_FN = 1, LBATCH_KEY, LBATCH_REASON, LBATCH_USER };
/* Of a group: keys in the order they came; the place of each identity in it; the task. */
enum { LGROUP_KEYS = 1, LGROUP_PLACES, LGROUP_TASK, LGROUP_BATCH, LGROUP_USER };

typedef struct lrequest lrequest;

/* A group, userdata, anchored while it has requests or its task. */
typedef struct lgroup {
    lcontext *ctx;
    lrequest **request; /* by the place of its key; NULL if nobody must join it any more */
    uint32_t n, room;   /* keys */
    uint32_t refs;      /* requests, and the task */
    int slot;           /* its anchor; 0: none */
} lgroup;

struct lrequest {
    weir_request request; /* first */
    lgroup *group;
    uint32_t place; /* of its key, from 0 on */
    int failed;     /* its part of the outcome is an error */
};

/* --- lbatch.c, lbatch_watch.c --------------------------------------------------------- */
/* That of the userdata at 1, NULL once it is gone. */
static inline lbatch *lbatch_at(lua_State *L)
{
    return ((const lbatch_object *)lua_touserdata(L, 1))->batch;
}
/* The batch at index 1, of this runtime; or misuse. */
lbatch *lbatch_check(lua_State *L, const char *where);
int lbatch_stats(lua_State *L);
int lbatch_index(lua_State *L);
int lbatch_tostring(lua_State *L);

/* --- lgroup.c ------------------------------------------------------------------------- */
/* Push the group that gathers, made if there is none; the batch is at 1. Raises. */
lgroup *lgroup_push(lua_State *L, lbatch *b);
/* The request of the identity at `id`, which has not been flushed, or NULL. The group's userdata is
 * at `index`. */
lrequest *lgroup_find(lua_State *L, int index, int id);
/* A request for the key at `key`, identity at `id`: 0 and *out, or a code with nothing changed.
 * Raises. The group may be full afterwards. */
int lgroup_add(lua_State *L, lbatch *b, int index, int key, int id, lrequest **out);
/* Push the task of the group at `index`, nil if it could not be spawned. */
void lgroup_push_task(lua_State *L, int index);
extern const weir_batch_ops lgroup_ops;

#include <weir/end.h>
#endif
