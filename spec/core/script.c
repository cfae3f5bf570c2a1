/* script.c - the interpreter of scripted tasks; see script.h.
 *
 * A resume first settles the wait that the task was in, then runs ops until the next wait.
 * `error` and `closing`/`leaving` say that frames are to be popped before anything else, so one
 * loop serves the straight course, the error and the end.
 */
#include "script.h"

#include "check.h"

void script_broken(script_world *w, const char *what, const char *file, int line)
{
    if (w->broken == NULL) {
        w->broken = what;
        w->file = file;
        w->line = line;
    }
}

static weir_reason script_reason(const char *text)
{
    weir_reason reason = {text, 0};
    return reason;
}

/* --- frames ------------------------------------------------------------------------------- */

void script_push(script_task *t, weir_permit *p, weir_lease *lease)
{
    script_frame *f = &t->frame[t->n_frames++];
    assert_true(t->n_frames <= SCRIPT_FRAMES);
    f->permit = p;
    f->lease = lease;
}

static unsigned script_semaphore_of(const script_world *w, const weir_permit *p)
{
    unsigned s = 0;
    while (p->of != &w->sem[s])
        s++;
    return s;
}

static void script_took(script_task *t, weir_permit *p)
{
    script_world *w = t->world;
    unsigned s = script_semaphore_of(w, p);
    w->inside[s] += p->n;
    SCRIPT_CHECK(w, w->inside[s] <= w->most[s]);
    SCRIPT_CHECK(w, p->hold.holder == &t->task);
    script_push(t, p, NULL);
}

void script_forget_frame(script_task *t, unsigned i)
{
    for (t->n_frames--; i < t->n_frames; i++) { /* no scope stands above, see below */
        t->frame[i].permit = t->frame[i + 1].permit;
        t->frame[i].lease = t->frame[i + 1].lease;
    }
}

/* The newest permit of semaphore `s` that no scope was opened after, or -1: a scope's memory
 * stays put, so the frames below one do too. */
static int script_find_permit(const script_task *t, unsigned s)
{
    for (int i = t->n_frames - 1; i >= 0 && !script_is_scope(&t->frame[i]); i--)
        if (t->frame[i].permit != NULL && t->frame[i].permit->of == &t->world->sem[s])
            return i;
    return -1;
}

static void script_release(script_task *t, unsigned i)
{
    weir_permit *p = t->frame[i].permit;
    script_world *w = t->world;
    w->inside[script_semaphore_of(w, p)] -= p->n;
    script_forget_frame(t, i);
    weir_permit_release(p);
}

static void script_open(script_task *t, const script_op *op)
{
    weir_runtime *rt = t->world->rt;
    script_frame *f = &t->frame[t->n_frames++];
    assert_true(t->n_frames <= SCRIPT_FRAMES);
    f->permit = NULL;
    f->lease = NULL;
    f->catches = op->code == SCRIPT_CATCH;
    f->opened_at = (uint8_t)(op - t->body);
    f->has_deadline = op->t != 0;
    weir_scope_open(rt, &f->scope, t->task.current, &t->task,
                    op->code == SCRIPT_SHIELD ? WEIR_SCOPE_SHIELD : 0);
    if (op->code == SCRIPT_SHIELD)
        weir_scope_shield(rt, &f->scope, &f->deadline, op->t);
    else if (op->t != 0)
        weir_scope_set_deadline(rt, &f->scope, &f->deadline, weir_after(rt, op->t));
}

/* The op after the SCLOSE that belongs to the one at `opened_at`. */
static uint8_t script_after(const script_op *body, uint8_t opened_at)
{
    unsigned depth = 0;
    uint8_t i = opened_at;
    while (body[++i].code != SCRIPT_END) {
        if (body[i].code >= SCRIPT_OPEN && body[i].code <= SCRIPT_SHIELD)
            depth++;
        else if (body[i].code == SCRIPT_CLOSE && depth-- == 0)
            return (uint8_t)(i + 1);
    }
    return i;
}

/* All children have ended: end the scope on top and say what comes of it. A failed child is
 * what the scope raises; its own deadline comes before the cancel it caused; a cancel from
 * above passes through. */
static void script_ended_scope(script_task *t)
{
    script_frame *f = &t->frame[t->n_frames - 1];
    uint32_t flags = f->scope.flags;
    int error = t->error;
    if (f->has_deadline)
        weir_deadline_unset(t->world->rt, &f->deadline);
    weir_scope_end(t->world->rt, &f->scope);
    SCRIPT_CHECK(t->world, t->task.current == f->scope.parent);
    t->n_frames--;
    if (flags & WEIR_SCOPE_FAILED && (error == 0 || error == WEIR_ECANCELED))
        error = SCRIPT_EFAILED;
    else if (flags & WEIR_SCOPE_EXPIRED && !(flags & WEIR_SCOPE_SHIELD) &&
             (error == 0 || error == WEIR_ECANCELED))
        error = WEIR_ETIMEOUT;
    if (weir_scope_is_cancelled(t->task.current) && !(flags & WEIR_SCOPE_SHIELD))
        error = WEIR_ECANCELED;
    if (f->catches && error != 0) {
        t->caught = error;
        error = 0;
        if (!t->closing && !t->leaving)
            t->pc = script_after(t->body, f->opened_at);
    }
    t->error = error;
    t->closing = 0;
}

/* --- waiting ------------------------------------------------------------------------------- */

int script_may_wait(script_task *t)
{
    if (!weir_scope_is_cancelled(t->task.current))
        return 1;
    t->error = WEIR_ECANCELED;
    return 0;
}

/* Can nobody end the wait that was just begun? Counts it if so. */
static int script_is_stuck(script_task *t)
{
    script_world *w = t->world;
    weir_graph graph;
    if (t->task.wait.status != WEIR_PENDING || w->blind ||
        !weir_graph_is_stuck(w->rt, &t->task, &graph))
        return 0;
    SCRIPT_CHECK(w, graph.n_cycle > 0 && graph.n_cycle <= SCRIPT_TASKS);
    if (w->deadlocks++ == 0)
        for (uint32_t i = 0; i < graph.n_cycle && i < SCRIPT_TASKS; i++)
            w->cycle[w->n_cycle++] =
                (unsigned)(weir_container(graph.cycle[i], script_task, task) - w->task);
    return 1;
}

int script_waits(script_task *t, script_code doing)
{
    t->doing = (uint8_t)doing;
    t->world->awaits++;
    if (!script_is_stuck(t))
        return 1;
    weir_waiter_abandon(t->world->rt, &t->task.wait);
    t->error = WEIR_EDEADLOCK;
    return 0;
}

/* Join the children of `s`, then go on with `doing`. 1 if that is a wait. This wait cannot be left:
 * if it is a deadlock the children are cancelled. */
static int script_join_children(script_task *t, weir_scope *s, script_code doing)
{
    if (s->n_children == 0)
        return 0;
    weir_scope_join(t->world->rt, s, &t->task.wait, 0, WEIR_FOREVER);
    t->doing = (uint8_t)doing;
    t->world->awaits++;
    if (script_is_stuck(t)) {
        s->flags |= WEIR_SCOPE_FAILED;
        weir_scope_cancel(t->world->rt, s, script_reason("deadlock"));
    }
    return 1;
}

static void script_outcome_of(script_task *t, const script_task *other, int claim)
{
    if (claim)
        return;
    if (other->task.state == WEIR_TASK_CANCELLED)
        t->error = WEIR_ECANCELED;
    else if (other->task.state == WEIR_TASK_FAILED)
        t->error = SCRIPT_EFAILED;
}

/* The wait is over: what it means for the body. */
static void script_settle(script_task *t)
{
    const script_op *op = &t->body[t->pc - (t->pc > 0)];
    weir_status status = (weir_status)t->task.wait.status;
    script_world *w = t->world;
    if (t->doing == SCRIPT_CLOSE || t->doing == SCRIPT_END) { /* joins of the end */
        SCRIPT_CHECK(w, status == WEIR_GRANTED);
        return;
    }
    if (t->doing == SCRIPT_LEASE) {
        script_leased(t, status);
        if (t->error != 0 || status == WEIR_GRANTED)
            return;
    }
    if (status == WEIR_GRANTED) {
        if (t->doing == SCRIPT_ACQUIRE)
            script_took(t, t->asked);
        else if (t->doing == SCRIPT_JOIN || t->doing == SCRIPT_PJOIN)
            script_outcome_of(t, &w->task[op->a], t->doing == SCRIPT_PJOIN);
        return;
    }
    t->error = status == WEIR_TIMEOUT      ? WEIR_ETIMEOUT
               : status == WEIR_CANCELED   ? WEIR_ECANCELED
               : status == WEIR_CLOSED     ? WEIR_ECLOSED
               : status == WEIR_STUCK      ? WEIR_EDEADLOCK
               : status == WEIR_IMPOSSIBLE ? WEIR_EIMPOSSIBLE
                                           : WEIR_EINVAL;
    SCRIPT_CHECK(w, t->error != WEIR_EINVAL);
}

/* Pop the frame on top, or end the task if there is none. 1 to go on, 0 to leave resume. */
static int script_unwind(script_task *t)
{
    script_world *w = t->world;
    if (t->n_frames > 0 && t->frame[t->n_frames - 1].permit != NULL) {
        script_release(t, t->n_frames - 1u);
        return 1;
    }
    if (t->n_frames > 0 && t->frame[t->n_frames - 1].lease != NULL) {
        script_give(t, t->n_frames - 1u, t->error != 0);
        return 1;
    }
    if (t->n_frames > 0) {
        weir_scope *s = &t->frame[t->n_frames - 1].scope;
        if (t->error != 0)
            weir_scope_cancel(w->rt, s, script_reason("failed"));
        if (script_join_children(t, s, SCRIPT_CLOSE))
            return 0;
        script_ended_scope(t);
        return 1;
    }
    if (t->error != 0)
        weir_scope_cancel(w->rt, &t->task.scope, script_reason("failed"));
    if (script_join_children(t, &t->task.scope, SCRIPT_END))
        return 0;
    if (t->task.scope.flags & WEIR_SCOPE_FAILED && (t->error == 0 || t->error == WEIR_ECANCELED))
        t->error = SCRIPT_EFAILED;
    t->ended = 1;
    t->ended_at = weir_now(w->rt);
    w->leaked += weir_task_finish(w->rt, &t->task,
                                  t->error == 0                ? WEIR_TASK_DONE
                                  : t->error == WEIR_ECANCELED ? WEIR_TASK_CANCELLED
                                                               : WEIR_TASK_FAILED);
    return 0;
}

/* --- ops ------------------------------------------------------------------------------------ */

static void script_leave_park(weir_runtime *rt, weir_waiter *wait)
{
    (void)rt;
    (void)wait;
}

static const weir_wait_ops script_park_ops = {"script:park", script_leave_park, NULL, NULL, NULL};

static void script_spawn(script_task *t, weir_scope *parent, const script_op *op, uint32_t flags)
{
    script_task *child = &t->world->task[op->a];
    if (child->spawned)
        return;
    t->error = weir_task_spawn(t->world->rt, &child->task, parent, script_resume, flags);
    child->spawned = t->error == 0;
}

/* 1 if the task waits now. */
static int script_acquire(script_task *t, const script_op *op)
{
    script_world *w = t->world;
    weir_semaphore *s = &w->sem[op->a];
    weir_permit *p = NULL;
    int32_t priority = (int32_t)(t - w->task); /* where it counts */
    int rc = op->code == SCRIPT_TRY ? weir_semaphore_try(s, &t->task, op->n, &p)
                                    : weir_semaphore_take_ranked(s, &t->task, op->n, priority, &p);
    if (rc == WEIR_EBUSY && op->code == SCRIPT_ACQUIRE) {
        if (!script_may_wait(t))
            return 0;
        rc = weir_semaphore_acquire_ranked(s, &t->task, op->n, priority, &t->task.wait,
                                           op->t ? weir_after(w->rt, op->t) : WEIR_FOREVER,
                                           &t->asked);
        if (rc == 0)
            return script_waits(t, SCRIPT_ACQUIRE);
        t->error = rc;
    } else if (rc == 0) {
        script_took(t, p);
    } else if (op->code == SCRIPT_ACQUIRE || rc == WEIR_ENOMEM) {
        t->error = rc;
    }
    w->nomem += rc == WEIR_ENOMEM;
    return 0;
}

static int script_join(script_task *t, const script_op *op)
{
    script_world *w = t->world;
    script_task *other = &w->task[op->a];
    int claim = op->code == SCRIPT_PJOIN;
    if (!other->spawned)
        return 0;
    if (other->ended) {
        script_outcome_of(t, other, claim);
        return 0;
    }
    if (!script_may_wait(t))
        return 0;
    weir_task_join(w->rt, &other->task, &t->task.wait, claim,
                   op->t ? weir_after(w->rt, op->t) : WEIR_FOREVER);
    return script_waits(t, (script_code)op->code);
}

static int script_wait_op(script_task *t, const script_op *op)
{
    script_world *w = t->world;
    if (!script_may_wait(t))
        return 0;
    switch ((script_code)op->code) {
    case SCRIPT_SLEEP:
        weir_sleep_until(w->rt, &t->task.wait, weir_after(w->rt, op->t));
        break;
    case SCRIPT_YIELD:
        weir_yield(w->rt, &t->task.wait);
        break;
    case SCRIPT_DRAIN:
        weir_semaphore_drain(&w->sem[op->a], &t->task.wait, WEIR_FOREVER);
        break;
    default:
        weir_waiter_begin(w->rt, &t->task.wait, &script_park_ops, w, WEIR_FOREVER);
        break;
    }
    return script_waits(t, (script_code)op->code);
}

/* Release, transfer or forget the newest permit of a semaphore; nothing without one. */
static void script_hand_back(script_task *t, const script_op *op)
{
    script_world *w = t->world;
    script_task *to = &w->task[op->n];
    int i = script_find_permit(t, op->a);
    weir_permit *p = i < 0 ? NULL : t->frame[i].permit;
    if (i < 0)
        return;
    if (op->code == SCRIPT_RELEASE) {
        script_release(t, (unsigned)i);
    } else if (op->code == SCRIPT_FORGET) {
        w->inside[op->a] -= p->n;
        script_forget_frame(t, (unsigned)i);
    } else if (to->spawned && !to->ended && to != t && to->n_frames < SCRIPT_FRAMES &&
               (to->n_frames == 0 || !script_is_scope(&to->frame[to->n_frames - 1]))) {
        script_forget_frame(t, (unsigned)i);
        weir_permit_transfer(p, &to->task);
        script_push(to, p, NULL);
    }
}

/* One op. 1 if the task waits now. */
static int script_do(script_task *t, const script_op *op)
{
    script_world *w = t->world;
    switch ((script_code)op->code) {
    case SCRIPT_END:
        t->pc--;
        t->leaving = 1;
        return 0;
    case SCRIPT_FAIL:
        t->error = SCRIPT_EFAILED;
        return 0;
    case SCRIPT_MARK:
        if (w->n_log < SCRIPT_LOG)
            w->log[w->n_log++] = (uint8_t)op->n;
        return 0;
    case SCRIPT_ACQUIRE:
    case SCRIPT_TRY:
        return script_acquire(t, op);
    case SCRIPT_RELEASE:
    case SCRIPT_TRANSFER:
    case SCRIPT_FORGET:
        script_hand_back(t, op);
        return 0;
    case SCRIPT_SLEEP:
    case SCRIPT_YIELD:
    case SCRIPT_PARK:
    case SCRIPT_DRAIN:
        return script_wait_op(t, op);
    case SCRIPT_SPAWN:
        script_spawn(t, t->task.current, op, 0);
        return 0;
    case SCRIPT_DETACH:
        script_spawn(t, weir_root(w->rt), op, 0);
        return 0;
    case SCRIPT_DAEMON:
        script_spawn(t, weir_root(w->rt), op, WEIR_SCOPE_DAEMON);
        return 0;
    case SCRIPT_JOIN:
    case SCRIPT_PJOIN:
        return script_join(t, op);
    case SCRIPT_CANCEL:
        if (w->task[op->a].spawned && !w->task[op->a].ended)
            weir_scope_cancel(w->rt, &w->task[op->a].task.scope, script_reason("asked"));
        return 0;
    case SCRIPT_CANCEL_SCOPE:
        weir_scope_cancel(w->rt, t->task.current, script_reason("asked"));
        return 0;
    case SCRIPT_OPEN:
    case SCRIPT_CATCH:
    case SCRIPT_SHIELD:
        script_open(t, op);
        return 0;
    case SCRIPT_CLOSE:
        for (int i = t->n_frames - 1; i >= 0; i--)
            t->closing |= script_is_scope(&t->frame[i]);
        return 0;
    case SCRIPT_CLOSE_SEMAPHORE:
        weir_semaphore_close(&w->sem[op->a]);
        return 0;
    case SCRIPT_RESIZE:
        w->most[op->a] = w->most[op->a] > op->n ? w->most[op->a] : op->n;
        SCRIPT_CHECK(w, weir_semaphore_resize(&w->sem[op->a], op->n) == 0);
        return 0;
    default:
        return script_pool_op(t, op);
    }
}

static void script_inject(script_world *w)
{
    for (unsigned i = 0; i < 2; i++) {
        script_task *t = &w->task[w->inject[i].task];
        if (w->inject[i].step != w->steps)
            continue;
        if (w->inject[i].target == SCRIPT_THE_ROOT)
            weir_scope_cancel(w->rt, weir_root(w->rt), script_reason("injected"));
        else if (t->spawned && !t->ended)
            weir_scope_cancel(
                w->rt, w->inject[i].target == SCRIPT_THE_TASK ? &t->task.scope : t->task.current,
                script_reason("injected"));
    }
}

void script_resume(weir_runtime *rt, weir_task *task)
{
    script_task *t = weir_container(task, script_task, task);
    script_world *w = t->world;
    SCRIPT_CHECK(w, !t->ended);
    SCRIPT_CHECK(w, weir_current(rt) == task);
    w->steps++;
    script_inject(w);
    if (t->doing == SCRIPT_MARK) { /* its first turn */
        t->doing = SCRIPT_END;
        if (task->wait.status == WEIR_CANCELED)
            t->error = WEIR_ECANCELED;
    } else {
        script_settle(t);
    }
    for (;;) {
        if (t->error != 0 || t->closing || t->leaving) {
            if (!script_unwind(t))
                return;
        } else {
            if (script_do(t, &t->body[t->pc++]))
                return;
        }
    }
}
