/* scope_test.c - the tree: marks, causes, deadlines, shields.
 *
 * The random part keeps a tree of bare scopes and compares each with a definition that looks at
 * times alone: a scope is cancelled from the earliest of its own cancel, its own deadline and
 * what comes from above: the parent's time, but for a shield the later of that and its opening,
 * plus its grace.
 */
#include <weir/scope.h>

#include "bed.h"
#include "script.h"

static const weir_reason why = {"why", 7}, later = {"later", 8};

/* --- marks ---------------------------------------------------------------------------------- */

static void a_cancel_marks_all_below_and_nothing_else(void **state)
{
    bed b = bed_new();
    weir_scope a, in, deep, beside;
    (void)state;
    weir_scope_open(b.rt, &a, weir_root(b.rt), NULL, 0);
    weir_scope_open(b.rt, &in, &a, NULL, 0);
    weir_scope_open(b.rt, &deep, &in, NULL, 0);
    weir_scope_open(b.rt, &beside, &a, NULL, 0);
    CHECK_INT(weir_runtime_counters(b.rt)->scopes, 4);
    CHECK(weir_scope_is_inside(&deep, &a) && weir_scope_is_inside(&a, &a));
    CHECK(!weir_scope_is_inside(&a, &deep) && !weir_scope_is_inside(&beside, &in));
    CHECK_INT(weir_scope_cancel(b.rt, &in, why), 1);
    CHECK(weir_scope_is_cancelled(&in) && weir_scope_is_cancelled(&deep));
    CHECK(!weir_scope_is_cancelled(&a) && !weir_scope_is_cancelled(&beside));
    CHECK(in.cause == &in && deep.cause == &in && beside.cause == NULL);
    CHECK_TEXT(in.reason.text, "why");
    CHECK_VALID(b.rt);
    weir_scope_end(b.rt, &deep);
    weir_scope_end(b.rt, &in);
    weir_scope_end(b.rt, &beside);
    weir_scope_end(b.rt, &a);
    CHECK(!weir_scope_is_cancelled(weir_root(b.rt)));
    bed_free(&b);
}

static void the_first_reason_stays(void **state)
{
    bed b = bed_new();
    weir_scope a, in;
    (void)state;
    weir_scope_open(b.rt, &a, weir_root(b.rt), NULL, 0);
    weir_scope_open(b.rt, &in, &a, NULL, 0);
    CHECK_INT(weir_scope_cancel(b.rt, &in, why), 1);
    CHECK_INT(weir_scope_cancel(b.rt, &in, later), 0);
    CHECK_INT(weir_scope_cancel(b.rt, &a, later), 1);
    CHECK_INT(in.reason.value, 7);
    CHECK(in.cause == &in); /* it was cancelled itself before */
    CHECK(a.cause == &a && a.reason.value == 8);
    weir_scope_end(b.rt, &in);
    CHECK_INT(weir_scope_cancel(b.rt, &in, why), 0); /* ended: nothing */
    weir_scope_end(b.rt, &a);
    bed_free(&b);
}

static void a_scope_opened_in_a_cancelled_one_is_cancelled(void **state)
{
    bed b = bed_new();
    weir_scope a, in;
    (void)state;
    weir_scope_open(b.rt, &a, weir_root(b.rt), NULL, 0);
    weir_scope_cancel(b.rt, &a, why);
    weir_scope_open(b.rt, &in, &a, NULL, 0);
    CHECK(weir_scope_is_cancelled(&in) && in.cause == &a);
    CHECK_INT(weir_scope_cancel(b.rt, &in, later), 0);
    weir_scope_end(b.rt, &in);
    weir_scope_end(b.rt, &a);
    bed_free(&b);
}

/* A chain of tasks that each spawned the next must not need a stack. */
static void a_cancel_of_a_deep_tree_does_not_recurse(void **state)
{
    enum { DEEP = 200000 };
    bed b = bed_new();
    weir_scope *s = calloc(DEEP, sizeof *s);
    (void)state;
    assert_non_null(s);
    for (int i = 0; i < DEEP; i++)
        weir_scope_open(b.rt, &s[i], i == 0 ? weir_root(b.rt) : &s[i - 1], NULL, 0);
    CHECK_INT(weir_scope_cancel(b.rt, &s[0], why), 1);
    for (int i = DEEP - 1; i >= 0; i--) {
        CHECK(s[i].cause == &s[0]);
        weir_scope_end(b.rt, &s[i]);
    }
    free(s);
    bed_free(&b);
}

/* As a signal does it. */
static void the_root_can_be_cancelled(void **state)
{
    bed b = bed_new();
    weir_scope in, shield;
    weir_deadline d;
    weir_task t;
    (void)state;
    weir_scope_open(b.rt, &in, weir_root(b.rt), NULL, 0);
    weir_scope_open(b.rt, &shield, &in, NULL, WEIR_SCOPE_SHIELD);
    CHECK_INT(weir_scope_cancel(b.rt, weir_root(b.rt), why), 1);
    CHECK(weir_scope_is_cancelled(&in) && in.cause == weir_root(b.rt));
    CHECK(!weir_scope_is_cancelled(&shield)); /* its grace begins when it is told */
    CHECK_ERR(weir_task_spawn(b.rt, &t, weir_root(b.rt), NULL, 0), WEIR_ECANCELED);
    weir_scope_shield(b.rt, &shield, &d, 3);
    weir_simulator_advance(b.sim, 3);
    weir_turn(b.rt);
    CHECK(weir_scope_is_cancelled(&shield));
    weir_deadline_unset(b.rt, &d);
    weir_scope_end(b.rt, &shield);
    weir_scope_end(b.rt, &in);
    bed_free(&b);
}

/* --- deadlines and shields -------------------------------------------------------------------- */

static void a_deadline_cancels_and_says_so(void **state)
{
    bed b = bed_new();
    weir_scope a, in;
    weir_deadline da, din;
    (void)state;
    weir_scope_open(b.rt, &a, weir_root(b.rt), NULL, 0);
    weir_scope_open(b.rt, &in, &a, NULL, 0);
    weir_scope_set_deadline(b.rt, &a, &da, 10);
    weir_scope_set_deadline(b.rt, &in, &din, 20);
    weir_simulator_advance(b.sim, 9);
    weir_turn(b.rt);
    CHECK(!weir_scope_is_cancelled(&a));
    weir_simulator_advance(b.sim, 11); /* both are due; the outer came first */
    weir_turn(b.rt);
    CHECK(a.flags & WEIR_SCOPE_EXPIRED);
    CHECK_TEXT(a.reason.text, "deadline");
    CHECK(!(in.flags & WEIR_SCOPE_EXPIRED) && in.cause == &a);
    weir_deadline_unset(b.rt, &din);
    weir_scope_end(b.rt, &in);
    weir_deadline_unset(b.rt, &da);
    weir_deadline_unset(b.rt, &da);
    weir_scope_end(b.rt, &a);
    bed_free(&b);
}

static void a_past_deadline_is_due_for_all_inside(void **state)
{
    bed b = bed_new();
    weir_scope a, in, deep, shield;
    weir_deadline da, din;
    (void)state;
    weir_scope_open(b.rt, &a, weir_root(b.rt), NULL, 0);
    weir_scope_set_deadline(b.rt, &a, &da, weir_now(b.rt));
    weir_scope_open(b.rt, &in, &a, NULL, 0);
    weir_scope_set_deadline(b.rt, &in, &din, weir_now(b.rt));
    weir_scope_open(b.rt, &deep, &in, NULL, 0);
    weir_scope_open(b.rt, &shield, &in, NULL, WEIR_SCOPE_SHIELD);
    CHECK((deep.flags & WEIR_SCOPE_DUE) && !(shield.flags & WEIR_SCOPE_DUE));
    CHECK(!weir_scope_is_cancelled(&deep));
    weir_scope_expire(b.rt, &deep);
    CHECK(deep.cause == &a && (a.flags & WEIR_SCOPE_EXPIRED) && !(in.flags & WEIR_SCOPE_EXPIRED));
    CHECK(!weir_scope_is_cancelled(&shield));
    weir_scope_expire(b.rt, &deep); /* once is enough */
    weir_turn(b.rt);
    CHECK(deep.cause == &a && !(in.flags & WEIR_SCOPE_EXPIRED));
    weir_scope_end(b.rt, &shield);
    weir_scope_end(b.rt, &deep);
    weir_deadline_unset(b.rt, &din);
    weir_scope_end(b.rt, &in);
    weir_deadline_unset(b.rt, &da);
    weir_scope_end(b.rt, &a);
    bed_free(&b);
}

static void a_shield_stands_for_its_grace(void **state)
{
    (void)state;
    /* 0: the cancel comes after the entry; 1: before it. The grace counts from the later. */
    for (int before = 0; before < 2; before++) {
        bed b = bed_new();
        weir_scope a, shield, in;
        weir_deadline d;
        weir_scope_open(b.rt, &a, weir_root(b.rt), NULL, 0);
        if (before)
            weir_scope_cancel(b.rt, &a, why);
        weir_simulator_advance(b.sim, 5);
        weir_turn(b.rt);
        weir_scope_open(b.rt, &shield, &a, NULL, WEIR_SCOPE_SHIELD);
        weir_scope_shield(b.rt, &shield, &d, 10);
        weir_scope_open(b.rt, &in, &shield, NULL, 0);
        CHECK(!weir_scope_is_cancelled(&shield) && !weir_scope_is_cancelled(&in));
        if (!before) {
            CHECK_INT(weir_runtime_counters(b.rt)->timers, 0);
            weir_scope_cancel(b.rt, &a, why);
        }
        CHECK_VALID(b.rt);
        weir_simulator_advance(b.sim, 9);
        weir_turn(b.rt);
        CHECK(!weir_scope_is_cancelled(&in));
        weir_simulator_advance(b.sim, 1);
        weir_turn(b.rt);
        CHECK(weir_scope_is_cancelled(&shield) && weir_scope_is_cancelled(&in));
        CHECK(in.cause == &a && shield.cause == &a);
        CHECK_VALID(b.rt);
        weir_scope_end(b.rt, &in);
        weir_deadline_unset(b.rt, &d);
        weir_scope_end(b.rt, &shield);
        weir_scope_end(b.rt, &a);
        bed_free(&b);
    }
}

static void graces_of_nested_shields_add_up(void **state)
{
    bed b = bed_new();
    weir_scope a, s[2];
    weir_deadline d[2];
    (void)state;
    weir_scope_open(b.rt, &a, weir_root(b.rt), NULL, 0);
    for (int i = 0; i < 2; i++) {
        weir_scope_open(b.rt, &s[i], i ? &s[0] : &a, NULL, WEIR_SCOPE_SHIELD);
        weir_scope_shield(b.rt, &s[i], &d[i], i ? 4 : 10);
    }
    weir_scope_cancel(b.rt, &a, why);
    weir_scope_cancel(b.rt, &a, later);
    weir_simulator_advance(b.sim, 10);
    weir_turn(b.rt);
    CHECK(weir_scope_is_cancelled(&s[0]) && !weir_scope_is_cancelled(&s[1]));
    weir_simulator_advance(b.sim, 4);
    weir_turn(b.rt);
    CHECK(weir_scope_is_cancelled(&s[1]) && s[1].cause == &a);
    for (int i = 1; i >= 0; i--) {
        weir_deadline_unset(b.rt, &d[i]);
        weir_scope_end(b.rt, &s[i]);
    }
    weir_scope_end(b.rt, &a);
    bed_free(&b);
}

static void a_shield_can_be_cancelled_itself(void **state)
{
    bed b = bed_new();
    weir_scope a, shield;
    weir_deadline d;
    (void)state;
    weir_scope_open(b.rt, &a, weir_root(b.rt), NULL, 0);
    weir_scope_open(b.rt, &shield, &a, NULL, WEIR_SCOPE_SHIELD);
    weir_scope_shield(b.rt, &shield, &d, 10);
    CHECK_INT(weir_scope_cancel(b.rt, &shield, why), 1);
    CHECK(weir_scope_is_cancelled(&shield) && !weir_scope_is_cancelled(&a));
    weir_scope_cancel(b.rt, &a, later);
    CHECK_INT(shield.reason.value, 7);
    CHECK(shield.cause == &shield);
    weir_simulator_advance(b.sim, 30);
    weir_turn(b.rt);
    CHECK_VALID(b.rt);
    weir_deadline_unset(b.rt, &d);
    weir_scope_end(b.rt, &shield);
    weir_scope_end(b.rt, &a);
    bed_free(&b);
}

/* --- against the definition ------------------------------------------------------------------- */

#define SCOPES 20

typedef struct node {
    weir_scope s;
    weir_deadline d;
    int open, parent, shield, children;
    uint64_t opened, own, grace, deadline; /* own: of its cancel; FOREVER if none */
} node;

/* When `i` was or will be cancelled. */
static uint64_t cancelled_at(const node *n, int i)
{
    uint64_t own = n[i].own < n[i].deadline ? n[i].own : n[i].deadline, above = WEIR_FOREVER;
    if (n[i].parent >= 0)
        above = cancelled_at(n, n[i].parent);
    if (above < n[i].opened)
        above = n[i].opened;
    if (above != WEIR_FOREVER && n[i].shield)
        above += n[i].grace;
    return own < above ? own : above;
}

static void open_node(bed *b, node *n, int i, int parent, check_random *r)
{
    uint64_t now = weir_now(b->rt), grace = check_below(r, 12);
    n[i] = (node){.open = 1,
                  .parent = parent,
                  .opened = now,
                  .own = WEIR_FOREVER,
                  .deadline = WEIR_FOREVER,
                  .shield = check_below(r, 3) == 0,
                  .grace = grace};
    weir_scope_open(b->rt, &n[i].s, parent < 0 ? weir_root(b->rt) : &n[parent].s, NULL,
                    n[i].shield ? WEIR_SCOPE_SHIELD : 0);
    if (n[i].shield) {
        weir_scope_shield(b->rt, &n[i].s, &n[i].d, n[i].grace);
    } else {
        n[i].deadline = check_below(r, 3) ? WEIR_FOREVER : now + check_below(r, 20);
        weir_scope_set_deadline(b->rt, &n[i].s, &n[i].d, n[i].deadline);
    }
    if (parent >= 0)
        n[parent].children++;
}

static void end_node(bed *b, node *n, int i)
{
    weir_deadline_unset(b->rt, &n[i].d);
    weir_scope_end(b->rt, &n[i].s);
    n[i].open = 0;
    if (n[i].parent >= 0)
        n[n[i].parent].children--;
}

/* Let `ns` pass, nanosecond by nanosecond, so that nothing is seen late. */
static void live(bed *b, unsigned ns)
{
    for (;; ns--) {
        do
            weir_turn(b->rt);
        while (weir_next_turn(b->rt) <= weir_now(b->rt));
        if (ns == 0)
            return;
        weir_simulator_advance(b->sim, 1);
    }
}

static void random_trees_match_the_definition(void **state)
{
    check_random r = {check_seed(50)};
    uint32_t trees = check_scaled(4000), ops = 0;
    (void)state;
    for (uint32_t t = 0; t < trees; t++) {
        bed b = bed_new();
        node n[SCOPES] = {0};
        for (int k = 0; k < 60; k++, ops++) {
            int i = (int)check_below(&r, SCOPES), p = (int)check_below(&r, SCOPES + 2) - 2;
            uint64_t now;
            if (!n[i].open && (p < 0 || n[p].open))
                open_node(&b, n, i, p < 0 ? -1 : p, &r);
            else if (n[i].open && n[i].children == 0 && check_below(&r, 3) == 0)
                end_node(&b, n, i);
            else if (n[i].open && check_below(&r, 4) == 0) {
                int fresh = !weir_scope_is_cancelled(&n[i].s);
                CHECK_INT(weir_scope_cancel(b.rt, &n[i].s, why), fresh);
                now = weir_now(b.rt);
                if (n[i].own > now)
                    n[i].own = now;
            }
            live(&b, check_below(&r, 4));
            now = weir_now(b.rt);
            for (int j = 0; j < SCOPES; j++) {
                if (!n[j].open)
                    continue;
                CHECK_INT(weir_scope_is_cancelled(&n[j].s), cancelled_at(n, j) <= now);
                if (n[j].s.flags & WEIR_SCOPE_EXPIRED)
                    CHECK(n[j].deadline == cancelled_at(n, j));
                else if (n[j].deadline <= now)
                    CHECK(n[j].deadline >= cancelled_at(n, j));
            }
            CHECK_VALID(b.rt);
        }
        for (int left = 1; left;) {
            left = 0;
            for (int i = 0; i < SCOPES; i++)
                if (n[i].open && n[i].children == 0)
                    end_node(&b, n, i);
                else
                    left |= n[i].open;
        }
        bed_free(&b);
    }
    check_figure("sequences", trees);
    check_figure("ops", ops);
}

int main(void)
{
    const struct CMUnitTest scope[] = {
        cmocka_unit_test(a_cancel_marks_all_below_and_nothing_else),
        cmocka_unit_test(the_first_reason_stays),
        cmocka_unit_test(a_scope_opened_in_a_cancelled_one_is_cancelled),
        cmocka_unit_test(a_cancel_of_a_deep_tree_does_not_recurse),
        cmocka_unit_test(the_root_can_be_cancelled),
        cmocka_unit_test(a_deadline_cancels_and_says_so),
        cmocka_unit_test(a_past_deadline_is_due_for_all_inside),
        cmocka_unit_test(a_shield_stands_for_its_grace),
        cmocka_unit_test(graces_of_nested_shields_add_up),
        cmocka_unit_test(a_shield_can_be_cancelled_itself),
        cmocka_unit_test(random_trees_match_the_definition),
    };
    return CHECK_MAIN(scope);
}
