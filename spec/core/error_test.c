/* error_test.c - every code has a number below libuv's, a kind of the list, and a text. */
#include "check.h"

static const int codes[] = {
#define CODE(name, number, kind, text) name,
    WEIR_ERROR_MAP(CODE)
#undef CODE
};
#define N_CODES (sizeof codes / sizeof codes[0])

static void names_every_code(void **state)
{
    static const char *const kinds[] = {"nomem",    "misuse",   "busy",      "impossible", "closed",
                                        "overload", "deadlock", "cancelled", "timeout",    "open"};
    (void)state;
    for (size_t i = 0; i < N_CODES; i++) {
        size_t k = 0;
        while (k < sizeof kinds / sizeof kinds[0] && strcmp(kinds[k], weir_error_name(codes[i])))
            k++;
        CHECK(k < sizeof kinds / sizeof kinds[0]);
        CHECK(strlen(weir_error_text(codes[i])) > 0);
        CHECK(strcmp(weir_error_text(codes[i]), weir_error_text(1)) != 0);
    }
    CHECK_TEXT(weir_error_name(WEIR_EOVERLOAD), "overload");
    CHECK_TEXT(weir_error_text(WEIR_EHOLDER), "not held by this task");
}

static void keeps_codes_apart_from_libuv(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CODES; i++) {
        CHECK(codes[i] <= -20001);
        for (size_t j = 0; j < i; j++)
            CHECK(codes[i] != codes[j]);
    }
}

static void answers_for_any_number(void **state)
{
    (void)state;
    CHECK_TEXT(weir_error_name(0), "ok");
    CHECK_TEXT(weir_error_text(0), "no error");
    CHECK_TEXT(weir_error_name(1), "unknown");
    CHECK_TEXT(weir_error_name(-4095), "unknown");
    CHECK_TEXT(weir_error_text(-32000), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_every_code),
        cmocka_unit_test(keeps_codes_apart_from_libuv),
        cmocka_unit_test(answers_for_any_number),
    };
    return CHECK_MAIN(tests);
}
