/* http/curl_origin.c - origins and their addresses: a cache, one lookup at a time for each.
 *
 * curl would start a thread for every name it has to look up, and to give up a transfer would
 * wait for that thread. So curl never looks anything up: weir's resolver does (at most four at
 * once, the rest queue), the outcome is kept for a while, and a transfer that is about to start
 * hands curl whatever addresses it has not got yet. IPv6 literals need no lookup.
 *
 * An origin lives while a transfer points at it, and unused for as long as there is room.
 */
#include "curl.h"
#include <stdio.h>
#include <string.h>

#define MAX_UNUSED 4096
#define FAILURE_TTL WEIR_SECOND

static uint32_t hash_of(const weir_address *at)
{
    uint32_t h = 2166136261u ^ at->port ^ ((uint32_t)at->secure << 16);
    for (const char *p = at->host; *p != '\0'; p++)
        h = (h ^ (unsigned char)*p) * 16777619u;
    return h;
}

static int grow(weir_client *c)
{
    uint32_t n = c->n_buckets ? c->n_buckets * 2 : 64;
    weir_origin **buckets = weir__http_alloc(c, NULL, 0, n * sizeof *buckets);
    if (buckets == NULL)
        return WEIR_ENOMEM;
    memset(buckets, 0, n * sizeof *buckets);
    for (uint32_t i = 0; i < c->n_buckets; i++)
        for (weir_origin *o = c->buckets[i], *next; o != NULL; o = next) {
            next = o->next;
            o->next = buckets[o->hash & (n - 1)];
            buckets[o->hash & (n - 1)] = o;
        }
    weir__http_alloc(c, c->buckets, c->n_buckets * sizeof *buckets, 0);
    c->buckets = buckets;
    c->n_buckets = n;
    return 0;
}

/* Have curl drop the addresses with the next transfer that starts. Best effort: out of memory
 * costs curl one entry too many. */
static void forget(weir_client *c, const weir_origin *o)
{
    char entry[sizeof o->at.host + 8];
    struct curl_slist *list;
    snprintf(entry, sizeof entry, "-%s:%u", o->at.host, o->at.port);
    list = curl_slist_append(c->forget, entry);
    if (list != NULL)
        c->forget = list;
}

static void origin_free(weir_client *c, weir_origin *o)
{
    weir_origin **p = &c->buckets[o->hash & (c->n_buckets - 1)];
    while (*p != o)
        p = &(*p)->next;
    *p = o->next;
    if (weir_link_is_linked(&o->unused))
        weir_link_remove(&o->unused);
    if (weir_link_is_linked(&o->opened))
        weir_link_remove(&o->opened);
    if (o->lookup != NULL)
        c->api->resolve_cancel(o->lookup);
    if (o->loaded > 0 && c->multi != NULL)
        forget(c, o);
    weir__http_alloc(c, o->addresses, o->addresses_size, 0);
    weir__http_alloc(c, o, sizeof *o, 0);
    c->n_origins--;
}

weir_origin *weir__origin_get(weir_client *c, const weir_address *at)
{
    uint32_t hash = hash_of(at);
    weir_origin *o;

    if (c->n_origins >= c->n_buckets && grow(c) != 0 && c->n_buckets == 0)
        return NULL;
    for (o = c->buckets[hash & (c->n_buckets - 1)]; o != NULL; o = o->next)
        if (o->hash == hash && o->at.port == at->port && o->at.secure == at->secure &&
            strcmp(o->at.host, at->host) == 0)
            break;
    if (o == NULL) {
        o = weir__http_alloc(c, NULL, 0, sizeof *o);
        if (o == NULL)
            return NULL;
        memset(o, 0, sizeof *o);
        weir_list_init(&o->waiting);
        weir_list_init(&o->naming);
        o->client = c;
        o->hash = hash;
        o->at = *at;
        o->next = c->buckets[hash & (c->n_buckets - 1)];
        c->buckets[hash & (c->n_buckets - 1)] = o;
        c->n_origins++;
    } else if (o->users == 0) {
        weir_link_remove(&o->unused);
        c->n_unused--;
    }
    o->users++;
    return o;
}

void weir__origin_put(weir_client *c, weir_origin *o)
{
    if (o == NULL || --o->users > 0)
        return;
    weir_list_push(&c->unused, &o->unused);
    if (++c->n_unused > MAX_UNUSED) {
        c->n_unused--;
        origin_free(c, weir_container(weir_list_first(&c->unused), weir_origin, unused));
    }
}

void weir__origins_free(weir_client *c)
{
    for (uint32_t i = 0; i < c->n_buckets; i++)
        while (c->buckets[i] != NULL)
            origin_free(c, c->buckets[i]);
    weir__http_alloc(c, c->buckets, c->n_buckets * sizeof(weir_origin *), 0);
    c->buckets = NULL;
    c->n_buckets = 0;
}

void weir__origins_unload(weir_client *c)
{
    for (uint32_t i = 0; i < c->n_buckets; i++)
        for (weir_origin *o = c->buckets[i]; o != NULL; o = o->next)
            o->loaded = 0;
}

/* Keep `list` in the form that curl takes. */
static int keep(weir_origin *o, const char *const *list, unsigned n)
{
    weir_client *c = o->client;
    size_t size = strlen(o->at.host) + 8;
    char *text, *p;
    for (unsigned i = 0; i < n; i++)
        size += strlen(list[i]) + 3;
    text = weir__http_alloc(c, NULL, 0, size);
    if (text == NULL)
        return WEIR_ENOMEM;
    memset(text, 0, size);
    p = text + sprintf(text, "%s:%u:", o->at.host, o->at.port);
    for (unsigned i = 0; i < n; i++)
        p += sprintf(p, strchr(list[i], ':') ? "%s[%s]" : "%s%s", i > 0 ? "," : "", list[i]);
    if (o->addresses != NULL && strcmp(o->addresses, text) == 0) {
        weir__http_alloc(c, text, size, 0);
        return 0;
    }
    weir__http_alloc(c, o->addresses, o->addresses_size, 0);
    o->addresses = text;
    o->addresses_size = size;
    o->version++;
    return 0;
}

static void resolved(void *data, int status, const char *const *list, unsigned n)
{
    weir_origin *o = data;
    weir_client *c = o->client;
    weir_list due;

    o->lookup = NULL;
    o->status = status != 0 ? status : keep(o, list, n);
    o->expires = c->api->after(c->rt, o->status == 0 ? c->name_ttl : FAILURE_TTL);
    weir_list_init(&due);
    weir_list_append(&due, &o->naming);
    o->users++; /* the last transfer to fail must not take it away under us */
    for (weir_link *k; (k = weir_list_pop(&due)) != NULL;) {
        weir_transfer *t = weir_container(k, weir_transfer, link);
        if (o->status == 0)
            weir__transfer_start(t);
        else
            weir__transfer_fail(t, FAULT_NAME, o->status);
    }
    weir__origin_put(c, o);
}

int weir__origin_need(weir_origin *o, weir_transfer *t)
{
    weir_client *c = o->client;
    int rc;
    if (o->at.host[0] == '[')
        return 1;
    if (o->lookup == NULL) {
        if (c->api->now(c->rt) < o->expires)
            return o->status == 0 ? 1 : o->status;
        rc = c->api->resolve_new(c->rt, o->at.host, resolved, o, &o->lookup);
        if (rc != 0) {
            o->lookup = NULL;
            return rc;
        }
        c->stats.lookups++;
    }
    weir_list_push(&o->naming, &t->link);
    return 0;
}

void weir__origin_leave(weir_origin *o, weir_transfer *t)
{
    /* not linked: popped by `resolved`, which is at it */
    if (weir_link_is_linked(&t->link))
        weir_link_remove(&t->link);
    if (weir_list_is_empty(&o->naming) && o->lookup != NULL) {
        o->client->api->resolve_cancel(o->lookup);
        o->lookup = NULL;
    }
}
