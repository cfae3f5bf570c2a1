/* host/embedded.h - the Lua half of the library inside the binary; the array is made by the build.
 */
#ifndef WEIR_HOST_EMBEDDED_H
#define WEIR_HOST_EMBEDDED_H
#include <stddef.h>

struct weir_embedded {
    const char *name;      /* of the module: "weir.http" */
    const char *source;    /* Lua text */
    size_t size;           /* bytes of it */
    const char *chunkname; /* "@weir/http/init.lua", as tracebacks show it */
};

/* Ended by an entry whose name is NULL. */
extern const struct weir_embedded weir_embedded_modules[];

#endif
