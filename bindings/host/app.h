/* host/app.h - this executable: where it is, and what `weir build` put behind it. */
#ifndef WEIR_HOST_APP_H
#define WEIR_HOST_APP_H
#include <stddef.h>

enum { HOST_PATH = 4096 };

/* The file of this executable, with a slash in it. 1, or 0 if the system does not say. */
int host_self(char *path, size_t size);

/* The Lua chunk behind this executable, of `*size` bytes, for the caller to free. NULL: it is weir
 * itself, or, where *size is not 0, what is there cannot be read. */
char *host_app(size_t *size);

#endif
