/* model_fuzz.c - a primitive against its reference model, under operations that the fuzzer chooses.
 *
 * Linked with one spec/core/x_model_test.c, which is compiled with WEIR_FUZZ: the input's bytes are
 * the numbers that chance gives there. A difference between the two is printed as the test prints
 * it, made as short as it can be, and ends the process, which is how libFuzzer sees it.
 */
#include "sequences.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const check_model *m = check_model_fuzzed;
    check_sequence s;
    check_random r = {0};
    if (n == 0)
        return 0;
    check_feed(&r, bytes, n);
    check_draw_sequence(m, &r, &s);
    check_feed(NULL, NULL, 0);
    int line = check_run_sequence(m, &s);
    if (line != 0) {
        fprintf(stderr, "%s: not as in the model: %s:%d\n", m->name, m->file, line);
        abort();
    }
    return 0;
}
