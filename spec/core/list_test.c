/* list_test.c - the intrusive list: order, membership, and random moves against plain arrays. */
#include <weir/list.h>

#include "check.h"

#define LISTS 3
#define NODES 12

typedef struct item {
    int before; /* so that the link is not at offset 0 */
    weir_link link;
} item;

static void knows_whether_a_node_is_linked(void **state)
{
    weir_list l;
    item a = {0};
    (void)state;
    weir_list_init(&l);
    weir_link_init(&a.link);
    CHECK(!weir_link_is_linked(&a.link) && weir_list_is_empty(&l));
    weir_list_push(&l, &a.link);
    CHECK(weir_link_is_linked(&a.link) && !weir_list_is_empty(&l));
    CHECK(weir_container(weir_list_first(&l), item, link) == &a);
    CHECK(weir_list_next(&l, &a.link) == NULL);
    CHECK(weir_list_pop(&l) == &a.link);
    CHECK(!weir_link_is_linked(&a.link) && weir_list_pop(&l) == NULL);
    CHECK(weir_list_first(&l) == NULL);
}

static void appends_whole_lists_in_order(void **state)
{
    weir_list to, from;
    item n[4];
    (void)state;
    weir_list_init(&to);
    weir_list_init(&from);
    weir_list_append(&to, &from);
    CHECK(weir_list_is_empty(&to));
    for (int i = 0; i < 4; i++) {
        weir_link_init(&n[i].link);
        weir_list_push(i < 2 ? &to : &from, &n[i].link);
    }
    weir_list_append(&to, &from);
    CHECK(weir_list_is_empty(&from));
    weir_list_append(&to, &from);
    for (int i = 0; i < 4; i++)
        CHECK(weir_list_pop(&to) == &n[i].link);
    CHECK(weir_list_is_empty(&to));
    weir_list_push(&from, &n[0].link);
    weir_list_append(&to, &from); /* into an empty one */
    CHECK(weir_list_pop(&to) == &n[0].link && weir_list_is_empty(&to));
}

/* --- against arrays: which[l] lists the nodes of list l in order ----------------------------- */

typedef struct model {
    int which[LISTS][NODES], n[LISTS], home[NODES];
} model;

static void model_insert(model *m, int l, int at, int i)
{
    memmove(&m->which[l][at + 1], &m->which[l][at], sizeof(int) * (size_t)(m->n[l] - at));
    m->which[l][at] = i;
    m->n[l]++;
    m->home[i] = l;
}

static int model_find(const model *m, int i)
{
    int at = 0;
    while (m->which[m->home[i]][at] != i)
        at++;
    return at;
}

static void model_remove(model *m, int i)
{
    int l = m->home[i], at = model_find(m, i);
    m->n[l]--;
    memmove(&m->which[l][at], &m->which[l][at + 1], sizeof(int) * (size_t)(m->n[l] - at));
    m->home[i] = -1;
}

static void check_lists(const model *m, weir_list *lists, item *nodes)
{
    for (int l = 0; l < LISTS; l++) {
        weir_link *k = weir_list_first(&lists[l]);
        for (int i = 0; i < m->n[l]; i++, k = weir_list_next(&lists[l], k)) {
            CHECK(k == &nodes[m->which[l][i]].link);
            CHECK(k->next->prev == k && k->prev->next == k);
        }
        CHECK(k == NULL);
    }
    for (int i = 0; i < NODES; i++)
        CHECK(weir_link_is_linked(&nodes[i].link) == (m->home[i] >= 0));
}

static void random_moves_match_arrays(void **state)
{
    check_random r = {check_seed(1)};
    uint32_t ops = check_scaled(200000);
    weir_list lists[LISTS];
    item nodes[NODES];
    model m = {.n = {0}};
    (void)state;
    for (int l = 0; l < LISTS; l++)
        weir_list_init(&lists[l]);
    for (int i = 0; i < NODES; i++) {
        weir_link_init(&nodes[i].link);
        m.home[i] = -1;
    }
    for (uint32_t op = 0; op < ops; op++) {
        int l = (int)check_below(&r, LISTS), i = (int)check_below(&r, NODES);
        int to = (int)check_below(&r, LISTS), what = (int)check_below(&r, 16);
        if (what == 0 && to != l) {
            weir_list_append(&lists[to], &lists[l]);
            while (m.n[l] > 0) {
                int first = m.which[l][0];
                model_remove(&m, first);
                model_insert(&m, to, m.n[to], first);
            }
        } else if (what == 1) {
            weir_link *k = weir_list_pop(&lists[l]);
            CHECK((k == NULL) == (m.n[l] == 0));
            if (k != NULL)
                model_remove(&m, m.which[l][0]);
        } else if (m.home[i] >= 0) {
            weir_link_remove(&nodes[i].link);
            model_remove(&m, i);
        } else if (what < 6) {
            weir_list_push(&lists[l], &nodes[i].link);
            model_insert(&m, l, m.n[l], i);
        } else if (what < 11) {
            weir_list_push_front(&lists[l], &nodes[i].link);
            model_insert(&m, l, 0, i);
        } else if (m.n[l] > 0) {
            int at = (int)check_below(&r, (uint32_t)m.n[l]);
            weir_link_insert(&nodes[m.which[l][at]].link, &nodes[i].link);
            model_insert(&m, l, at, i);
        }
        check_lists(&m, lists, nodes);
    }
    check_figure("ops", ops);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(knows_whether_a_node_is_linked),
        cmocka_unit_test(appends_whole_lists_in_order),
        cmocka_unit_test(random_moves_match_arrays),
    };
    return CHECK_MAIN(list);
}
