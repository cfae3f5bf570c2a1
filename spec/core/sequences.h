/* sequences.h - random sequences of operations, run on a primitive and on its reference model.
 *
 * A test of a model says how a sequence is drawn, run and printed; this draws many, and makes one
 * that fails as short as it can. In a fuzzer's build (WEIR_FUZZ) the same description is what
 * spec/fuzz/model_fuzz.c drives, which draws from the fuzzer's bytes in place of chance.
 */
#ifndef WEIR_SEQUENCES_H
#define WEIR_SEQUENCES_H
#include "check.h"

#define CHECK_MODEL_OPS 64   /* of a sequence, at most */
#define CHECK_MODEL_BYTES 64 /* of an operation, at most */
#define CHECK_PLAN_BYTES 256

typedef struct check_model {
    const char *name, *file;
    uint64_t stream;     /* of check_seed */
    uint32_t sequences;  /* at a WEIR_TEST_FACTOR of 100 */
    size_t ops, op_size; /* operations of a sequence; bytes of one */
    size_t plan_size;    /* of what all of a sequence share: seed, options ... */
    void (*draw)(void *plan, check_random *r);
    void (*draw_op)(const void *plan, check_random *r, void *op);
    check_sequence_fn run; /* its ctx is the plan */
    void (*print)(const void *plan);
    void (*print_op)(const void *op);
} check_model;

/* Room for a sequence of any model. */
typedef struct check_sequence {
    _Alignas(max_align_t) unsigned char plan[CHECK_PLAN_BYTES];
    _Alignas(max_align_t) unsigned char ops[CHECK_MODEL_OPS * CHECK_MODEL_BYTES];
    size_t n;
} check_sequence;

/* Draw a sequence: as many operations as the model has, or as the bytes of check_feed are for. */
void check_draw_sequence(const check_model *m, check_random *r, check_sequence *out);
/* Run it: 0, or the line in m->file that broke, after `s` was shortened and printed. */
int check_run_sequence(const check_model *m, check_sequence *s);

/* main() of a model's test: m->sequences of them. */
int check_model_main(const check_model *m);

#ifdef WEIR_FUZZ
extern const check_model *const check_model_fuzzed;
#define CHECK_MODEL_MAIN(m) const check_model *const check_model_fuzzed = &(m);
#else
#define CHECK_MODEL_MAIN(m)                                                                        \
    int main(void)                                                                                 \
    {                                                                                              \
        return check_model_main(&(m));                                                             \
    }
#endif

#endif
