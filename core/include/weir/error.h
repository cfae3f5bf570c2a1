/* weir/error.h - the outcomes of weir's own calls, one number and one name each.
 *
 * A call gives 0 or a negative code. Codes below -20000 are weir's; libuv's codes
 * (small negative numbers) pass through unchanged from core/uv and from there alone.
 * Answers (busy, impossible ...) share the list, so that one function names them all.
 */
#ifndef WEIR_ERROR_H
#define WEIR_ERROR_H

#include <weir/begin.h>

#define WEIR_ERROR_MAP(X)                                                                          \
    X(WEIR_ENOMEM, -20001, "nomem", "out of memory")                                               \
    X(WEIR_EINVAL, -20002, "misuse", "invalid argument")                                           \
    X(WEIR_EBUSY, -20003, "busy", "would have to wait")                                            \
    X(WEIR_EIMPOSSIBLE, -20004, "impossible", "can never be granted")                              \
    X(WEIR_ECLOSED, -20005, "closed", "closed")                                                    \
    X(WEIR_EOVERLOAD, -20006, "overload", "too many waiting")                                      \
    X(WEIR_EHOLDER, -20007, "misuse", "not held by this task")                                     \
    X(WEIR_EDEADLOCK, -20008, "deadlock", "nobody can wake this wait")                             \
    X(WEIR_ECANCELED, -20009, "cancelled", "cancelled")                                            \
    X(WEIR_ETIMEOUT, -20010, "timeout", "timed out")                                               \
    X(WEIR_ENOIO, -20011, "misuse", "this runtime has no I/O (virtual time)")                      \
    X(WEIR_EOPEN, -20012, "open", "refused: it failed too often of late")

enum {
#define WEIR_ERROR_ENUM(name, code, kind, text) name = code,
    WEIR_ERROR_MAP(WEIR_ERROR_ENUM)
#undef WEIR_ERROR_ENUM
};

/* The fixed lower-case word for `code` ("closed"); "ok" for 0, "unknown" otherwise. Static text. */
const char *weir_error_name(int code);

/* One line for people. Static text. */
const char *weir_error_text(int code);

#include <weir/end.h>
#endif
