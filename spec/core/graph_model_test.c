/* graph_model_test.c - the deadlock search against a reference, in random programs that hang.
 *
 * The reference computes the set of tasks that can act as a least fixed point, round by round over
 * all tasks; the search must say the same of every task after every turn.
 */
#include <weir/graph.h>

#include "check.h"
#include "programs.h"

static int acts_for(script_world *w, const int *acts, const weir_task *t)
{
    return acts[weir_container(t, script_task, task) - w->task];
}

/* One of those who hold, and all of them for a drain. What is on its way comes by itself. */
static int reference_pool(script_world *w, const int *acts, int is_drain)
{
    const weir_pool *p = &w->pool;
    uint32_t able = 0;
    if (!is_drain &&
        (p->n_connecting + p->n_checking + p->n_closing > 0 || weir_timer_is_set(&p->dial)))
        return 1;
    for (weir_link *k = weir_list_first(&p->leased); k; k = weir_list_next(&p->leased, k))
        able += acts_for(w, acts, weir_container(k, weir_resource, link)->lease->hold.holder) != 0;
    return is_drain ? able == p->n_leased : able > 0;
}

/* Can task `i` be woken if just those in `acts` can act? */
static int reference_wakes(script_world *w, const int *acts, unsigned i)
{
    const weir_waiter *wait = &w->task[i].task.wait;
    if (wait->status != WEIR_PENDING || weir_timer_is_set(&wait->timer) ||
        wait->ops->can_wake == NULL)
        return 1;
    if (strcmp(wait->ops->op, "task:await") == 0) {
        const weir_task *t = wait->object;
        return acts_for(w, acts, t);
    }
    if (strcmp(wait->ops->op, "semaphore:acquire") == 0) {
        const weir_permit *wanted = wait->object;
        const weir_semaphore *s = wanted->of;
        int64_t reach = s->available;
        for (weir_link *k = weir_list_first(&s->holders); k; k = weir_list_next(&s->holders, k)) {
            const weir_permit *p = weir_container(k, weir_permit, link);
            if (acts_for(w, acts, p->hold.holder))
                reach += p->n;
        }
        const weir_waiter *head = weir_container(weir_list_first(&s->queue), weir_waiter, link);
        const weir_task *first = weir_container(head, weir_task, wait);
        return reach >= wanted->n && (head == wait || acts_for(w, acts, first));
    }
    if (strncmp(wait->ops->op, "pool:", 5) == 0)
        return reference_pool(w, acts, strcmp(wait->ops->op, "pool:drain") == 0);
    const weir_scope *s = wait->object; /* a scope's end */
    for (weir_link *k = weir_list_first(&s->children); k; k = weir_list_next(&s->children, k)) {
        weir_task *t = weir_scope_task(weir_container(k, weir_scope, link));
        if (t != NULL && !acts_for(w, acts, t))
            return 0;
    }
    return 1;
}

/* Compare the answer for every waiting task; returns how many are stuck. */
static unsigned compare(script_world *w)
{
    int acts[SCRIPT_TASKS] = {0}, more = 1;
    unsigned stuck = 0;
    while (more) {
        more = 0;
        for (unsigned i = 0; i < SCRIPT_TASKS; i++)
            if (w->task[i].spawned && !w->task[i].ended && !acts[i] && reference_wakes(w, acts, i))
                acts[i] = more = 1;
    }
    for (unsigned i = 0; i < SCRIPT_TASKS; i++) {
        weir_graph g;
        if (!w->task[i].spawned || w->task[i].ended)
            continue;
        CHECK_INT(weir_graph_is_stuck(w->rt, &w->task[i].task, &g), !acts[i]);
        stuck += !acts[i];
        for (uint32_t k = 0; k < g.n_cycle; k++) /* the proof names stuck tasks alone */
            CHECK(acts[i] || !acts_for(w, acts, g.cycle[k]));
    }
    return stuck;
}

static void match(uint64_t stream, uint32_t n,
                  void (*random)(script_program *p, uint64_t seed, unsigned tasks))
{
    check_random r = {check_seed(stream)};
    uint32_t stuck = 0, hung = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t seed = check_random_next(&r);
        script_program p;
        script_world *w = calloc(1, sizeof *w);
        assert_non_null(w);
        random(&p, seed, 3 + check_below(&r, SCRIPT_TASKS - 2));
        w->sim = weir_simulator_new(WEIR_PLAN_SEED, seed);
        w->blind = 1;
        assert_true(script_begin(w, &p));
        for (int turns = 0; turns < 300 && script_step(w); turns++) /* its pool may dial for ever */
            stuck += compare(w);
        if (weir_runtime_counters(w->rt)->tasks > 0) {
            hung++;
            CHECK(compare(w) > 0); /* at rest with tasks alive is a deadlock, and is seen */
            script_cancel_all(w);
        }
        script_world_free(w);
    }
    CHECK(hung > n / 100);
    check_figure("programs", n);
    check_figure("stuck", stuck);
    check_figure("deadlocks", hung);
}

static void the_search_matches_a_fixed_point(void **state)
{
    (void)state;
    match(40, check_scaled(100000), program_random);
}

static void it_does_with_a_pool(void **state)
{
    (void)state;
    match(42, check_scaled(100000), program_random_pool);
}

int main(void)
{
    const struct CMUnitTest graph_model[] = {
        cmocka_unit_test(the_search_matches_a_fixed_point),
        cmocka_unit_test(it_does_with_a_pool),
    };
    return CHECK_MAIN(graph_model);
}
