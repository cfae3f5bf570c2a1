/* sequences.c - draw, run, shorten and print sequences of operations; see sequences.h. */
#include "sequences.h"

void check_draw_sequence(const check_model *m, check_random *r, check_sequence *out)
{
    int is_fed = check_unfed() > 0;
    assert_true(m->ops <= CHECK_MODEL_OPS && m->op_size <= CHECK_MODEL_BYTES);
    assert_true(m->plan_size <= CHECK_PLAN_BYTES);
    memset(out, 0, sizeof *out);
    m->draw(out->plan, r);
    for (; out->n < m->ops && (!is_fed || check_unfed() > 0); out->n++)
        m->draw_op(out->plan, r, out->ops + out->n * m->op_size);
}

int check_run_sequence(const check_model *m, check_sequence *s)
{
    if (m->run(s->ops, s->n, s->plan) == 0)
        return 0;
    s->n = check_shrink(s->ops, s->n, m->op_size, m->run, s->plan);
    m->print(s->plan);
    for (size_t i = 0; i < s->n; i++)
        m->print_op(s->ops + i * m->op_size);
    return m->run(s->ops, s->n, s->plan);
}

static void random_sequences_match_the_model(void **state)
{
    const check_model *m = *state;
    check_random r = {check_seed(m->stream)};
    uint32_t sequences = check_scaled(m->sequences);
    for (uint32_t i = 0; i < sequences; i++) {
        check_sequence s;
        check_draw_sequence(m, &r, &s);
        int line = check_run_sequence(m, &s);
        if (line != 0)
            check_fail(m->file, line, "sequence %u", i);
        check_figure("sequences", 1);
    }
}

int check_model_main(const check_model *m)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(random_sequences_match_the_model, (void *)(uintptr_t)m),
    };
    return check_main(m->name, tests, 1);
}
