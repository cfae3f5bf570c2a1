/* base/error.c - the outcomes of weir's own calls, one number and one name each.
 *
 * Both tables come from WEIR_ERROR_MAP, so a code without a name cannot be written.
 */
#include <weir/error.h>

const char *weir_error_name(int code)
{
    switch (code) {
    case 0:
        return "ok";
#define WEIR_ERROR_NAME(name, number, kind, text)                                                  \
    case name:                                                                                     \
        return kind;
        WEIR_ERROR_MAP(WEIR_ERROR_NAME)
#undef WEIR_ERROR_NAME
    default:
        return "unknown";
    }
}

const char *weir_error_text(int code)
{
    switch (code) {
    case 0:
        return "no error";
#define WEIR_ERROR_TEXT(name, number, kind, text)                                                  \
    case name:                                                                                     \
        return text;
        WEIR_ERROR_MAP(WEIR_ERROR_TEXT)
#undef WEIR_ERROR_TEXT
    default:
        return "unknown error";
    }
}
