/* bindings/lembed.h - what the table of functions has for hosts; weir/lua.h says what each does. */
#ifndef WEIR_BINDINGS_LEMBED_H
#define WEIR_BINDINGS_LEMBED_H
#include <weir/lua.h>

#include "context.h"

#include <weir/begin.h>

int lembed_start(lua_State *L, lcontext *ctx, int nargs, weir_lua_done_fn done, void *data,
                 weir_task **task);

#include <weir/end.h>
#endif
