/* window_test.c - the sliding window: at most n in any span, and everything that allows.
 *
 * The reference is the list of all that was ever granted, summed anew for every question.
 */
#include <weir/window.h>

#include "check.h"

#define ROOM 8

static void bad_windows_are_misuse(void **state)
{
    weir_window_record room[ROOM];
    weir_window w;
    (void)state;
    CHECK_ERR(weir_window_init(&w, 0, 10, room, ROOM), WEIR_EINVAL);
    CHECK_ERR(weir_window_init(&w, 1, 0, room, ROOM), WEIR_EINVAL);
    CHECK_ERR(weir_window_init(&w, ROOM + 1, 10, room, ROOM), WEIR_EINVAL);
    CHECK_ERR(weir_window_init(&w, WEIR_WINDOW_MOST + 1, 10, room, UINT32_MAX), WEIR_EINVAL);
}

/* A fixed window lets 2 n through around its boundary. */
static void a_boundary_lets_no_double_through(void **state)
{
    weir_window_record room[3];
    weir_window w;
    (void)state;
    CHECK_OK(weir_window_init(&w, 3, 1000, room, 3));
    weir_window_charge(&w, 3, 999);
    CHECK_INT(weir_window_due(&w, 1, 1000), 1999);
    CHECK_INT(weir_window_due(&w, 3, 1998), 1999);
    CHECK_INT(weir_window_available(&w, 1998), 0);
    CHECK_INT(weir_window_available(&w, 1999), 3);
    CHECK_INT(weir_window_due(&w, 1, UINT64_MAX - 1), UINT64_MAX - 1);
}

typedef struct grant {
    uint64_t at;
    uint32_t count;
} grant;

static uint32_t used(const grant *g, int n, uint64_t per, uint64_t now)
{
    uint32_t sum = 0;
    for (int i = 0; i < n; i++)
        sum += g[i].at + per > now ? g[i].count : 0;
    return sum;
}

static uint64_t quiet(const grant *g, int n, uint64_t per, uint64_t now)
{
    uint64_t last = now;
    for (int i = 0; i < n; i++)
        if (g[i].at + per > last)
            last = g[i].at + per;
    return last;
}

static void random_grants_match_the_list_of_all(void **state)
{
    check_random r = {check_seed(84)};
    uint32_t rounds = check_scaled(50000);
    (void)state;
    for (uint32_t round = 0; round < rounds; round++) {
        weir_window_record room[ROOM], other[2 * ROOM];
        weir_window w;
        grant g[80];
        uint32_t n = 1 + check_below(&r, ROOM);
        uint64_t per = 1 + check_below(&r, 60), now = check_below(&r, 5);
        int grants = 0;
        CHECK_OK(weir_window_init(&w, n, per, room, ROOM));
        for (int i = 0; i < 60; i++) {
            uint32_t count = 1 + check_below(&r, n);
            uint64_t due = now;
            now += check_below(&r, 20);
            for (due = now; used(g, grants, per, due) + count > n;)
                due++;
            CHECK_INT(weir_window_due(&w, count, now), due);
            uint32_t sum = used(g, grants, per, now);
            CHECK_INT(weir_window_available(&w, now), sum < n ? n - sum : 0);
            CHECK_INT(weir_window_quiet(&w, now), quiet(g, grants, per, now));
            if (due == now || check_below(&r, 2)) {
                now = due;
                weir_window_charge(&w, count, now);
                g[grants++] = (grant){now, count};
            }
            if (check_below(&r, 8) == 0 && grants > 0) {
                int k = (int)check_below(&r, (uint32_t)grants);
                weir_window_refund(&w, g[k].count, g[k].at);
                g[k] = g[--grants];
            }
            if (i == 30) { /* twice the room, another number, the same log */
                n = 1 + check_below(&r, 2 * ROOM);
                weir_window_change(&w, n, per, other, 2 * ROOM);
            }
            CHECK_INT(weir_window_validate(&w), 0);
        }
    }
    check_figure("sequences", rounds);
}

/* A window and its plan are charged alike for a while, then the plan alone: it is what a window
 * with all those charges is, and the one that it is of has only its own. */
static void a_plan_goes_ahead_of_its_window(void **state)
{
    check_random r = {check_seed(86)};
    uint32_t rounds = check_scaled(20000);
    (void)state;
    for (uint32_t round = 0; round < rounds; round++) {
        weir_window_record room[3][ROOM];
        weir_window w, plan, all;
        uint32_t n = 1 + check_below(&r, ROOM), counts[40];
        uint64_t per = 1 + check_below(&r, 60), now = 0, at[40];
        CHECK_OK(weir_window_init(&w, n, per, room[0], ROOM));
        CHECK_OK(weir_window_init(&all, n, per, room[1], ROOM));
        CHECK_OK(weir_window_init(&plan, n, per, room[2], ROOM));
        for (int i = 0; i < 40; i++) {
            counts[i] = 1 + check_below(&r, n);
            now += check_below(&r, 30) + (i == 10); /* a plan begins later than what is charged */
            if (i == 10)
                weir_window_plan(&plan, &w);
            at[i] = now = weir_window_due(&all, counts[i], now);
            weir_window_charge(&all, counts[i], now);
            if (i < 10)
                weir_window_charge(&w, counts[i], now);
            else
                weir_window_charge(&plan, counts[i], now);
            if (i < 10)
                continue;
            for (int k = 0; k < 4; k++) {
                uint64_t later = now + check_below(&r, 80);
                uint32_t more = 1 + check_below(&r, n);
                CHECK_INT(weir_window_due(&plan, more, now), weir_window_due(&all, more, now));
                CHECK_INT(weir_window_available(&plan, later), weir_window_available(&all, later));
            }
            if (i >= 20) /* the window follows */
                weir_window_charge(&w, counts[i - 10], at[i - 10]);
            CHECK_INT(weir_window_validate(&w), 0);
        }
    }
    check_figure("sequences", rounds);
}

int main(void)
{
    const struct CMUnitTest window[] = {
        cmocka_unit_test(bad_windows_are_misuse),
        cmocka_unit_test(a_boundary_lets_no_double_through),
        cmocka_unit_test(random_grants_match_the_list_of_all),
        cmocka_unit_test(a_plan_goes_ahead_of_its_window),
    };
    return CHECK_MAIN(window);
}
