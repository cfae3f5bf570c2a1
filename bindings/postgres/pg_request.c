/* postgres/pg_request.c - a cancel request on its way to the server, on a thread of its own.
 *
 * PQcancel makes a connection and blocks, without end if the server is silent: so it has a thread
 * that nobody joins, and that shares nothing with us. It owns its half of a pipe and closes it
 * when it is through; the loop watches the other half. The thread pool of the loop would not do:
 * a silent server would take it from who looks up names, and the program could not end.
 *
 *   queue -> running -> weir__pg_asked(owner), if there still is one
 *
 * A request that waits for its turn when its connection goes is dropped. Where the runtime ends,
 * those on their way have END_WAIT together: who is interrupted leaves no statement running.
 */
#include "pg.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define AT_ONCE 16
#define END_WAIT 1000 /* ms */

struct weir_pg_cancel {
    weir_link link; /* in the house's queue or running */
    const weir_lua_api *api;
    weir_pg_house *house;
    weir_pg *owner; /* NULL: nobody waits for it */
    lua_Alloc alloc;
    void *alloc_data;
    PGcancel *handle; /* until it runs */
    weir_poll *poll;
    int fd; /* readable when the thread is through; -1 until it runs */
};

/* --- the thread ------------------------------------------------------------------------------ */
typedef struct errand { /* from malloc: the thread frees it */
    PGcancel *handle;
    int fd;
} errand;

static void *run(void *data)
{
    errand *e = data;
    char text[256];
    PQcancel(e->handle, text, sizeof text); /* if it fails the grace ends the wait */
    PQfreeCancel(e->handle);
    close(e->fd);
    free(e);
    return NULL;
}

/* Takes `handle` and `fd` if it begins. No signal is for this thread. */
static int begin_thread(PGcancel *handle, int fd)
{
    pthread_t thread;
    sigset_t all, before;
    int rc;
    errand *e = malloc(sizeof *e);
    if (e == NULL)
        return WEIR_ENOMEM;
    e->handle = handle;
    e->fd = fd;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&thread, NULL, run, e);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        free(e);
        return WEIR_ENOMEM;
    }
    pthread_detach(thread);
    return 0;
}

/* --- the loop's side ------------------------------------------------------------------------- */
static void request_free(weir_pg_cancel *k)
{
    if (weir_link_is_linked(&k->link))
        weir_link_remove(&k->link);
    if (k->owner != NULL)
        k->owner->cancel = NULL;
    k->api->poll_free(k->poll);
    if (k->fd >= 0) {
        close(k->fd);
        k->house->running--;
    }
    PQfreeCancel(k->handle);
    k->alloc(k->alloc_data, k, sizeof *k, 0);
}

static void begin_all(weir_pg_house *house);

static void on_end(weir_poll *poll, int status, int events, void *data)
{
    weir_pg_cancel *k = data;
    weir_pg *c = k->owner;
    weir_pg_house *house = k->house;
    (void)poll;
    (void)status;
    (void)events;
    request_free(k);
    begin_all(house);
    if (c != NULL)
        weir__pg_asked(c);
}

static int begin(weir_pg_cancel *k)
{
    int fds[2], rc = WEIR_ENOMEM;
    if (pipe(fds) != 0)
        return rc;
    fcntl(fds[0], F_SETFD, FD_CLOEXEC);
    fcntl(fds[1], F_SETFD, FD_CLOEXEC);
    rc = k->api->poll_new(k->house->rt, fds[0], on_end, k, &k->poll);
    if (rc == 0)
        rc = k->api->poll_set(k->poll, WEIR_READABLE);
    if (rc == 0)
        rc = begin_thread(k->handle, fds[1]);
    if (rc != 0) {
        k->api->poll_free(k->poll);
        k->poll = NULL;
        close(fds[0]);
        close(fds[1]);
        return rc;
    }
    k->handle = NULL; /* the thread's */
    k->fd = fds[0];
    k->house->running++;
    weir_list_push(&k->house->requests, &k->link);
    return 0;
}

static void begin_all(weir_pg_house *house)
{
    while (house->running < AT_ONCE && !weir_list_is_empty(&house->queue)) {
        weir_pg_cancel *k = weir_container(weir_list_pop(&house->queue), weir_pg_cancel, link);
        if (begin(k) != 0)
            request_free(k); /* the grace of its owner ends */
    }
}

int weir__pg_request(weir_pg *c, int is_awaited)
{
    weir_pg_cancel *k = weir__pg_alloc(c, NULL, 0, sizeof *k);
    if (k == NULL)
        return 0;
    memset(k, 0, sizeof *k);
    weir_link_init(&k->link);
    k->api = c->api;
    k->house = c->house;
    k->alloc = c->alloc;
    k->alloc_data = c->alloc_data;
    k->fd = -1;
    k->handle = PQgetCancel(c->pg);
    if (k->handle == NULL) {
        request_free(k);
        return 0;
    }
    if (is_awaited) {
        k->owner = c;
        c->cancel = k;
    }
    weir_list_push(&c->house->queue, &k->link);
    begin_all(c->house);
    return 1;
}

void weir__pg_request_forget(weir_pg *c, int drop)
{
    weir_pg_cancel *k = c->cancel;
    if (k == NULL)
        return;
    k->owner = NULL;
    c->cancel = NULL;
    if (drop && k->fd < 0)
        request_free(k);
}

/* --- the house ------------------------------------------------------------------------------- */
static int64_t ms_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The runtime ends: all that wait begin now, and what is not through in time is left to itself. */
static void house_ended(void *data)
{
    weir_pg_house *house = data;
    int64_t until = ms_now() + END_WAIT;
    begin_all(house);
    while (!weir_list_is_empty(&house->requests)) {
        weir_pg_cancel *k = weir_container(weir_list_first(&house->requests), weir_pg_cancel, link);
        struct pollfd p = {.fd = k->fd, .events = POLLIN};
        int64_t left = until - ms_now();
        if (left > 0 && poll(&p, 1, (int)left) < 0 && errno == EINTR)
            continue;
        request_free(k);
        begin_all(house);
    }
    house->rt = NULL;
}

/* Registry: houses by their runtime; those of ended ones go when a new one comes. */
weir_pg_house *weir__pg_house(lua_State *L, const weir_lua_api *api, weir_runtime *rt)
{
    static const char key = 0;
    weir_pg_house *house;
    int houses;
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
    }
    houses = lua_gettop(L);
    lua_rawgetp(L, houses, rt);
    house = lua_touserdata(L, -1);
    if (house == NULL || house->rt == NULL) {
        for (lua_pushnil(L); lua_next(L, houses) != 0; lua_pop(L, 1))
            if (((weir_pg_house *)lua_touserdata(L, -1))->rt == NULL) {
                lua_pushvalue(L, -2);
                lua_pushnil(L);
                lua_rawset(L, houses);
            }
        house = lua_newuserdatauv(L, sizeof *house, 0);
        weir_list_init(&house->queue);
        weir_list_init(&house->requests);
        house->running = 0;
        house->rt = NULL;
        lua_rawsetp(L, houses, rt);
        api->at_end(L, rt, house_ended, house);
        house->rt = rt;
    }
    lua_settop(L, houses - 1);
    return house;
}
