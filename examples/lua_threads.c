/* lua_threads.c - two Lua states in two threads, a runtime each, that pass work by letters.
 *
 * A runtime belongs to one thread. What crosses is a letter (weir/inbox.h): plain memory with the
 * text in it, posted to the other's inbox and there for that thread alone. In the main thread
 * ask(text) waits for the answer; the other thread starts a task for each question and
 * posts back what it returned. Neither blocks the other, and ten questions are under way at once.
 *
 *   cc lua_threads.c $(pkg-config --cflags --libs weir-lua lua5.4) -pthread -o lua_threads
 */
#include <lualib.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <weir/lua.h>

static const char asks[] =
    "local weir, ask = require 'weir', ...\n"
    "weir.run(function()\n"
    "  local numbers = {}\n"
    "  for i = 1, 10 do numbers[i] = i end\n"
    "  local squares = weir.map(numbers, function(i) return ask(tostring(i)) end)\n"
    "  print(table.concat(squares, ' '))\n"
    "  assert(table.concat(squares, ' ') == '1 4 9 16 25 36 49 64 81 100')\n"
    "  local ok, err = pcall(weir.timeout, 0.01, ask, 'never')\n"
    "  print(weir.kind(err))\n"
    "  assert(not ok and weir.kind(err) == 'timeout')\n"
    "end)\n";

static const char answers[] = "local weir = require 'weir'\n"
                              "return function(text)\n"
                              "  if text == 'never' then weir.sleep(math.huge) end\n"
                              "  weir.sleep(0.001)\n"
                              "  return tostring(math.tointeger(tonumber(text)) ^ 2 // 1 | 0)\n"
                              "end\n";

typedef struct side {
    const weir_lua_api *api;
    lua_State *L;
    weir_inbox *inbox;
    struct side *other;
    int answer; /* registry reference of the function that answers */
    int is_over, rc;
    pthread_barrier_t *both; /* open before the first letter, and to the last */
} side;

typedef struct letter {
    weir_letter letter; /* first */
    side *to;
    weir_waiter *waiter; /* who asked; NULL once it gave up. The asking thread's alone */
    int n_owners;        /* the box of ask, and its journey; the asking thread's too */
    char text[64];
} letter;

/* --- the thread that asks --------------------------------------------------------------------- */

static void drop(letter *m)
{
    if (--m->n_owners == 0)
        free(m);
}

static void on_answer(weir_runtime *rt, weir_letter *l)
{
    letter *m = (letter *)l;
    weir_waiter *w = m->waiter;
    m->waiter = NULL;
    if (w != NULL)
        m->to->api->waiter_settle(rt, w, WEIR_GRANTED);
    drop(m);
}

/* Given up: the letter is still with the other thread, and will be dropped when it comes back. */
static void ask_leave(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    ((letter *)w->object)->waiter = NULL;
}

static const weir_wait_ops ask_ops = {.op = "ask", .leave = ask_leave};

static int box_gc(lua_State *L)
{
    letter **box = lua_touserdata(L, 1);
    if (*box != NULL)
        drop(*box);
    return 0;
}

static int ask_done(lua_State *L, int status, lua_KContext ctx)
{
    const side *s = lua_touserdata(L, lua_upvalueindex(1));
    (void)status;
    s->api->outcome(L);
    lua_pushstring(L, ((letter *)ctx)->text);
    return 1;
}

static void on_question(weir_runtime *rt, weir_letter *l);

/* ask(text) -> text */
static int ask(lua_State *L)
{
    side *s = lua_touserdata(L, lua_upvalueindex(1));
    const char *text = luaL_checkstring(L, 1);
    weir_waiter *w = s->api->enter(L, "ask");
    letter **box = lua_newuserdatauv(L, sizeof(letter *), 0);
    *box = NULL;
    luaL_setmetatable(L, "letter");
    letter *m = *box = calloc(1, sizeof *m);
    if (m == NULL)
        return luaL_error(L, "not enough memory");
    *m = (letter){.letter.deliver = on_question, .to = s->other, .n_owners = 2};
    snprintf(m->text, sizeof m->text, "%s", text);
    s->api->waiter_begin(s->api->runtime(L), w, &ask_ops, m, WEIR_FOREVER);
    m->waiter = w;
    s->api->inbox_post(s->other->inbox, &m->letter); /* nothing but `waiter` is ours now */
    return s->api->park(L, ask_done, (lua_KContext)m);
}

/* --- the thread that answers ------------------------------------------------------------------ */

/* Whatever came of it, the letter goes back: somebody waits for it. Raises nothing. */
static void send_back(letter *m, const char *text)
{
    side *asking = m->to->other;
    snprintf(m->text, sizeof m->text, "%s", text);
    m->to = asking;
    m->letter.deliver = on_answer;
    asking->api->inbox_post(asking->inbox, &m->letter);
}

static void on_answered(lua_State *L, weir_task_state state, void *data)
{
    int is_text = state == WEIR_TASK_DONE && lua_type(L, 2) == LUA_TSTRING;
    send_back(data, is_text ? lua_tostring(L, 2) : "no answer");
}

/* Protected: `data` is the letter. */
static int answer(lua_State *L)
{
    letter *m = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, m->to->answer);
    lua_pushstring(L, m->text);
    int rc = m->to->api->start(L, 1, on_answered, m, NULL);
    return rc == 0 ? 0 : luaL_error(L, "no answer: %s", m->to->api->error_text(rc));
}

static void on_question(weir_runtime *rt, weir_letter *l)
{
    letter *m = (letter *)l;
    if (m->to->api->protect(rt, answer, m) != 0) /* nothing was started */
        send_back(m, "no answer");
}

static void on_over(weir_runtime *rt, weir_letter *l)
{
    (void)rt;
    ((letter *)l)->to->is_over = 1;
}

/* --- both ------------------------------------------------------------------------------------- */

static int open_side(lua_State *L, side *s)
{
    lua_settop(L, 0);
    luaL_openlibs(L);
    weir_lua_preload(L);
    s->api = weir_lua_open(L);
    luaL_newmetatable(L, "letter");
    lua_pushcfunction(L, box_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    return s->api->inbox_new(s->api->runtime(L), &s->inbox);
}

static int answering(lua_State *L)
{
    side *s = lua_touserdata(L, 1);
    int rc = open_side(L, s);
    if (rc == 0 && luaL_dostring(L, answers) != LUA_OK)
        return lua_error(L);
    s->answer = luaL_ref(L, LUA_REGISTRYINDEX);
    pthread_barrier_wait(s->both);
    while (!s->is_over)
        s->api->loop_once(s->api->loop(L), 1);
    /* Who never answers is cancelled, and its letter goes back. */
    s->api->end(L, "the program ends", 0);
    pthread_barrier_wait(s->both);
    s->api->inbox_free(s->inbox);
    return 0;
}

static int asking(lua_State *L)
{
    side *s = lua_touserdata(L, 1);
    letter over = {.letter.deliver = on_over, .to = s->other};
    if (open_side(L, s) != 0 || luaL_loadstring(L, asks) != LUA_OK)
        return luaL_error(L, "cannot open");
    lua_pushlightuserdata(L, s);
    lua_pushcclosure(L, ask, 1);
    pthread_barrier_wait(s->both);
    int rc = lua_pcall(L, 1, 0, 0);
    s->api->inbox_post(s->other->inbox, &over.letter);
    pthread_barrier_wait(s->both);
    s->api->inbox_free(s->inbox); /* with the answers nobody waits for any more */
    return rc == LUA_OK ? 0 : lua_error(L);
}

static void run(side *s, lua_CFunction f)
{
    lua_State *L = luaL_newstate();
    if (L == NULL)
        abort();
    lua_pushcfunction(L, f);
    lua_pushlightuserdata(L, s);
    s->rc = lua_pcall(L, 1, 0, 0);
    if (s->rc != LUA_OK) {
        fprintf(stderr, "lua_threads: %s\n", lua_tostring(L, -1));
        exit(1); /* the other waits for us */
    }
    lua_close(L);
}

static void *thread(void *data)
{
    run(data, answering);
    return NULL;
}

int main(void)
{
    pthread_barrier_t both;
    side a = {.both = &both}, b = {.both = &both};
    pthread_t other;
    a.other = &b;
    b.other = &a;
    if (pthread_barrier_init(&both, NULL, 2) != 0 || pthread_create(&other, NULL, thread, &b) != 0)
        return 1;
    run(&a, asking);
    pthread_join(other, NULL);
    pthread_barrier_destroy(&both);
    return a.rc != LUA_OK || b.rc != LUA_OK;
}
