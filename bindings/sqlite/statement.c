/* sqlite/statement.c - compiled statements: a cache by text, the least recently used goes first.
 *
 * Everything here belongs to the loop, but for the statement itself: it is compiled, reset and
 * finalised on the thread. So what is to be reset or finalised waits in `backlog` for the next
 * operation, which does it first. A text whose statement is in use (a loop over rows that runs
 * the same one again) gets a second one, which is not kept.
 */
#include "sqlite.h"
#include <string.h>

static uint32_t hash_of(const char *sql, size_t size)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < size; i++)
        h = (h ^ (unsigned char)sql[i]) * 16777619u;
    return h;
}

static weir_statement **bucket_of(weir_sqlite *c, uint32_t hash)
{
    return &c->bucket[hash % WEIR_SQLITE_BUCKETS];
}

static void uncache(weir_sqlite *c, weir_statement *s)
{
    weir_statement **p = bucket_of(c, s->hash);
    while (*p != s)
        p = &(*p)->next;
    *p = s->next;
    s->is_cached = 0;
    c->n_cached--;
}

/* FREE and of no use: the next operation finalises it. */
static void doom(weir_sqlite *c, weir_statement *s)
{
    s->state = STATEMENT_ABANDONED;
    s->is_doomed = 1;
    weir_list_push(&c->backlog, &s->backlog);
}

/* Down to the bound, the least recently used first; those in use and those with a handle stay. */
static void evict(weir_sqlite *c)
{
    weir_link *k = weir_list_first(&c->all);
    while (c->n_cached > c->max_cached && k != NULL) {
        weir_statement *s = weir_container(k, weir_statement, link);
        k = weir_list_next(&c->all, k);
        if (s->is_cached && s->state == STATEMENT_FREE && s->pins == 0) {
            uncache(c, s);
            doom(c, s);
        }
    }
}

static void take(weir_sqlite *c, weir_statement *s)
{
    s->state = STATEMENT_RUNNING;
    s->is_over = 0;
    weir_link_remove(&s->link);
    weir_list_push(&c->all, &s->link);
}

weir_statement *weir__statement_get(weir_sqlite *c, const char *sql, size_t size)
{
    uint32_t hash = hash_of(sql, size);
    weir_statement *s = *bucket_of(c, hash);
    int is_known;

    while (s != NULL && (s->hash != hash || s->size != size || memcmp(s->sql, sql, size) != 0))
        s = s->next;
    is_known = s != NULL;
    if (is_known && s->state == STATEMENT_FREE) {
        take(c, s);
        return s;
    }
    s = sqlite3_malloc64(sizeof *s + size + 1);
    if (s == NULL)
        return NULL;
    memset(s, 0, sizeof *s);
    memcpy(s->sql, sql, size);
    s->sql[size] = '\0';
    s->size = size;
    s->hash = hash;
    s->state = STATEMENT_RUNNING;
    weir_list_push(&c->all, &s->link);
    if (!is_known && c->max_cached > 0) {
        s->next = *bucket_of(c, hash);
        *bucket_of(c, hash) = s;
        s->is_cached = s->is_kept = 1;
        c->n_cached++;
        evict(c);
    }
    return s;
}

weir_statement *weir__statement_use(weir_sqlite *c, weir_statement *s)
{
    if (s->state != STATEMENT_FREE)
        return weir__statement_get(c, s->sql, s->size);
    take(c, s);
    return s;
}

void weir__statement_put(weir_sqlite *c, weir_statement *s)
{
    s->state = STATEMENT_FREE;
    weir__bytes_clear(&s->params);
    if (s->stmt == NULL && s->is_cached) /* it did not compile: nothing worth keeping */
        uncache(c, s);
    if (!s->is_cached && s->pins == 0)
        doom(c, s);
    else
        evict(c);
}

void weir__statement_abandon(weir_sqlite *c, weir_statement *s)
{
    s->state = STATEMENT_ABANDONED;
    weir_list_push(&c->backlog, &s->backlog);
}

void weir__statement_unpin(weir_sqlite *c, weir_statement *s)
{
    s->pins--;
    if (s->state == STATEMENT_FREE)
        weir__statement_put(c, s);
}

/* --- on the thread ---------------------------------------------------------------------------- */
void weir__statements_tidy(weir_sqlite *c)
{
    weir_link *k = weir_list_first(&c->work_backlog);
    for (; k != NULL; k = weir_list_next(&c->work_backlog, k)) {
        weir_statement *s = weir_container(k, weir_statement, backlog);
        if (s->is_doomed) {
            sqlite3_finalize(s->stmt);
            s->stmt = NULL;
        } else if (s->stmt != NULL) {
            sqlite3_reset(s->stmt);
            sqlite3_clear_bindings(s->stmt);
        }
    }
}

static void free_statement(weir_statement *s)
{
    weir_link_remove(&s->link);
    weir__bytes_free(&s->params);
    sqlite3_free(s);
}

void weir__statements_tidied(weir_sqlite *c)
{
    weir_link *k;
    while ((k = weir_list_pop(&c->work_backlog)) != NULL) {
        weir_statement *s = weir_container(k, weir_statement, backlog);
        if (s->is_doomed)
            free_statement(s);
        else
            weir__statement_put(c, s);
    }
}

void weir__statements_free(weir_sqlite *c)
{
    weir_link *k;
    while ((k = weir_list_first(&c->all)) != NULL) {
        weir_statement *s = weir_container(k, weir_statement, link);
        sqlite3_finalize(s->stmt);
        free_statement(s);
    }
}
