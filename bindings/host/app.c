/* host/app.c - a script that was built into a copy of the program (weir.tool.build).
 *
 * Such a file ends in a Lua chunk, its length (8 bytes, little-endian) and a mark. A file that ends
 * otherwise, or cannot be read, is weir itself. Where there is no /proc (a bare root) the file is
 * the one that the system was told to execute.
 */
#include "app.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define MARK "\033weirapp"
enum { MARK_SIZE = sizeof MARK - 1, TAIL = MARK_SIZE + 8 };

static const char proc_exe[] = "/proc/self/exe";

/* What was executed; of a script that begins with #! that is the script. */
static const char *executed(void)
{
    const char *path = (const char *)(uintptr_t)getauxval(AT_EXECFN);
    return path != NULL ? path : "";
}

int host_self(char *path, size_t size)
{
    ssize_t n = readlink(proc_exe, path, size - 1);
    if (n <= 0) {
        const char *name = executed();
        n = (ssize_t)strlen(name);
        if ((size_t)n >= size)
            return 0;
        memcpy(path, name, (size_t)n);
    }
    path[n] = '\0';
    return strchr(path, '/') != NULL;
}

static uint64_t little_endian(const unsigned char *p)
{
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--)
        n = n << 8 | p[i];
    return n;
}

static int read_all(int fd, char *to, size_t size)
{
    while (size > 0) {
        ssize_t n = read(fd, to, size);
        if (n <= 0)
            return 0;
        to += n;
        size -= (size_t)n;
    }
    return 1;
}

char *host_app(size_t *size)
{
    unsigned char tail[TAIL];
    char *chunk = NULL;
    *size = 0;
    int fd = open(proc_exe, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fd = open(executed(), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    off_t end = lseek(fd, -TAIL, SEEK_END);
    if (end > 0 && read_all(fd, (char *)tail, TAIL) && memcmp(tail + 8, MARK, MARK_SIZE) == 0 &&
        little_endian(tail) <= (uint64_t)end) {
        *size = (size_t)little_endian(tail);
        chunk = malloc(*size + 1);
        if (chunk != NULL &&
            (lseek(fd, end - (off_t)*size, SEEK_SET) < 0 || !read_all(fd, chunk, *size))) {
            free(chunk);
            chunk = NULL;
        }
    }
    close(fd);
    return chunk;
}
