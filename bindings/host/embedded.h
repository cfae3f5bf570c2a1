/* host/embedded.h - the modules inside the binary; the arrays are made by the build. */
#ifndef WEIR_HOST_EMBEDDED_H
#define WEIR_HOST_EMBEDDED_H
#include <lauxlib.h>
#include <stddef.h>

struct weir_embedded {
    const char *name;      /* of the module: "weir.http" */
    const char *chunk;     /* Lua text, or what its compiler made of it (cmake/EmbedLua.cmake) */
    size_t size;           /* bytes of it */
    const char *chunkname; /* "@weir/http/init.lua", as tracebacks show it */
};

/* The Lua half of the library. Ended by an entry whose name is NULL. */
extern const struct weir_embedded weir_embedded_modules[];

/* The connectors that are linked in, by module; none but in the release binary. Ended likewise. */
extern const luaL_Reg weir_linked_modules[];

#endif
