/* pool_model_embed.c - the embedder's half of the model's bed; see pool_model.h. */
#include "pool_model.h"

static bed *bed_of(weir_pool *p)
{
    return weir_container(p, bed, p);
}

int pool_embed_index(const weir_resource *r)
{
    return (int)(uintptr_t)r->data - 1;
}

void pool_embed_answer(bed *b, weir_resource *r, int is_good)
{
    if (r->state == WEIR_RESOURCE_CONNECTING) {
        b->handles += !is_good;
        weir_pool_created(&b->p, r, is_good ? 0 : -1, !is_good);
    } else if (r->state == WEIR_RESOURCE_CHECKING) {
        weir_pool_checked(&b->p, r, is_good);
    } else {
        weir_pool_destroyed(&b->p, r);
    }
}

/* The pool begins what the model said it would. */
static void see(weir_pool *p, weir_resource *r, model_call call)
{
    bed *b = bed_of(p);
    EXPECT(b, b->n_seen < b->n_expected && b->expected[b->n_seen].call == call);
    if (b->line != 0)
        return;
    unsigned number = b->expected[b->n_seen].number;
    int i = b->expected[b->n_seen++].resource;
    if (call == CALL_CREATE) {
        b->resource[i].r = r;
        r->data = (void *)(uintptr_t)(i + 1);
    }
    EXPECT(b, pool_embed_index(r) == i);
    if (b->line == 0 && pool_model_is_sync(b, call == CALL_ABORT ? number + 7 : number))
        pool_embed_answer(b, r, pool_model_is_good(b, call, number));
}

static void create(weir_pool *p, weir_resource *r)
{
    see(p, r, CALL_CREATE);
}

static void check(weir_pool *p, weir_resource *r)
{
    see(p, r, CALL_CHECK);
}

static void destroy(weir_pool *p, weir_resource *r)
{
    see(p, r, CALL_DESTROY);
}

static void abort_it(weir_pool *p, weir_resource *r)
{
    see(p, r, CALL_ABORT);
}

static void drop(weir_pool *p, intptr_t failure)
{
    bed *b = bed_of(p);
    EXPECT(b, failure == 1 && b->handles > 0);
    b->handles--;
}

static intptr_t share(weir_pool *p, intptr_t failure)
{
    bed_of(p)->handles++;
    return failure;
}

void pool_embed_leaked(weir_pool *p, weir_lease *lease)
{
    EXPECT(bed_of(p), lease->reported);
    bed_of(p)->leaks++;
}

static const weir_pool_ops plain = {create, NULL, destroy, abort_it, drop, share};
static const weir_pool_ops checked = {create, check, destroy, abort_it, drop, share};

const weir_pool_ops *pool_embed_ops(const bed *b)
{
    return b->has_check ? &checked : &plain;
}

static uint64_t chance(void *ctx)
{
    return check_random_next(&((bed *)ctx)->chance);
}

static uint64_t env_now(void *ctx)
{
    bed *b = ctx;
    const weir_env *env = weir_simulator_env(b->sim);
    return env->now(env->ctx);
}

static void *env_alloc(void *ctx, void *ptr, size_t old, size_t size)
{
    bed *b = ctx;
    const weir_env *env = weir_simulator_env(b->sim);
    return env->alloc(env->ctx, ptr, old, size);
}

weir_env pool_embed_env(bed *b)
{
    return (weir_env){b, env_now, env_alloc, chance, NULL, NULL};
}
