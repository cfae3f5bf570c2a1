/* sqlite/bytes.c - growing buffers, from SQLite's allocator: any thread may use them.
 *
 * What a pool thread reads or writes is never a Lua object: the collector runs on another thread.
 */
#include "sqlite.h"
#include <string.h>

#define KEEP 65536

int weir__bytes_reserve(weir_bytes *b, size_t more)
{
    size_t capacity = b->capacity ? b->capacity : 256;
    char *data;
    if (more <= b->capacity - b->size)
        return 0;
    if (more > SIZE_MAX / 4 - b->size)
        return WEIR_ENOMEM;
    while (capacity - b->size < more)
        capacity *= 2;
    data = sqlite3_realloc64(b->data, capacity);
    if (data == NULL)
        return WEIR_ENOMEM;
    b->data = data;
    b->capacity = capacity;
    return 0;
}

int weir__bytes_append(weir_bytes *b, const void *data, size_t size)
{
    if (weir__bytes_reserve(b, size) != 0)
        return WEIR_ENOMEM;
    if (size > 0)
        memcpy(b->data + b->size, data, size);
    b->size += size;
    return 0;
}

void weir__bytes_clear(weir_bytes *b)
{
    b->size = 0;
    if (b->capacity > KEEP)
        weir__bytes_free(b);
}

void weir__bytes_free(weir_bytes *b)
{
    sqlite3_free(b->data);
    *b = (weir_bytes){NULL, 0, 0};
}

void weir__bytes_swap(weir_bytes *a, weir_bytes *b)
{
    weir_bytes c = *a;
    *a = *b;
    *b = c;
}
