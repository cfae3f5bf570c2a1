/* http/curl_buffer.c - growing buffers, from the Lua state's allocator.
 *
 * curl hands over data outside Lua, so that its memory cannot be a Lua object; taking it from
 * the state's allocator keeps one place that counts, limits and (in tests) fails all of it.
 */
#include "curl.h"
#include <string.h>

void *weir__http_alloc(weir_client *c, void *ptr, size_t old, size_t size)
{
    return c->alloc(c->alloc_data, ptr, old, size);
}

int weir__buffer_reserve(weir_client *c, weir_buffer *b, size_t more)
{
    size_t capacity = b->capacity ? b->capacity : 512;
    char *data;
    if (more <= b->capacity - b->size)
        return 0;
    if (more > SIZE_MAX / 4 - b->size)
        return WEIR_ENOMEM;
    while (capacity - b->size < more)
        capacity *= 2;
    data = weir__http_alloc(c, b->data, b->capacity, capacity);
    if (data == NULL)
        return WEIR_ENOMEM;
    b->data = data;
    b->capacity = capacity;
    return 0;
}

int weir__buffer_append(weir_client *c, weir_buffer *b, const char *data, size_t size)
{
    if (weir__buffer_reserve(c, b, size) != 0)
        return WEIR_ENOMEM;
    if (size > 0)
        memcpy(b->data + b->size, data, size);
    b->size += size;
    return 0;
}

void weir__buffer_clear(weir_client *c, weir_buffer *b, size_t keep)
{
    b->size = 0;
    if (b->capacity > keep) {
        weir__http_alloc(c, b->data, b->capacity, 0);
        b->data = NULL;
        b->capacity = 0;
    }
}
