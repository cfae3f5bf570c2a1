/* postgres/pg_error.c - from libpq's words and the server's fields to error objects.
 *
 * `query`: the server refused a statement; the connection is fine. `network`: there is none, or it
 * broke; said once to who was using it, and to all who come later as `lost`. Messages are one line.
 */
#include "pg.h"
#include <stdio.h>
#include <string.h>

#define HEAD 80 /* bytes shown of a statement */

/* --- what became of the connection ----------------------------------------------------------- */
void weir__pg_clear_fault(weir_pg *c)
{
    weir__pg_alloc(c, c->fault.text, c->fault.size, 0);
    memset(&c->fault, 0, sizeof c->fault);
}

/* Write `text` to `line`, of 2n + 1 bytes, with its line ends and tabs as blanks, or "; " where
 * another sentence begins. Returns how long it is. */
static size_t write_line(char *line, const char *text, size_t n)
{
    size_t at = 0;
    while (n > 0 && strchr(" \n\t", text[n - 1]))
        n--;
    for (size_t i = 0; i < n; i++) {
        if (text[i] != '\n' && text[i] != '\t') {
            line[at++] = text[i];
            continue;
        }
        if (text[i] == '\n' && text[i + 1] != '\t')
            line[at++] = ';';
        line[at++] = ' ';
        while (i + 1 < n && strchr(" \n\t", text[i + 1]))
            i++;
    }
    line[at] = '\0';
    return at;
}

/* [-0, +1, m] */
static void push_line(lua_State *L, const char *text)
{
    luaL_Buffer b;
    size_t n = strlen(text);
    char *line = luaL_buffinitsize(L, &b, 2 * n + 1);
    luaL_pushresultsize(&b, write_line(line, text, n));
}

void weir__pg_set_fault(weir_pg *c, const char *kind, const char *sqlstate, const char *text)
{
    size_t n = strlen(text);
    weir__pg_clear_fault(c);
    c->fault.kind = kind;
    c->fault.text = weir__pg_alloc(c, NULL, 0, 2 * n + 1);
    if (c->fault.text != NULL) {
        c->fault.size = 2 * n + 1;
        write_line(c->fault.text, text, n);
    }
    if (sqlstate != NULL && strlen(sqlstate) == 5)
        memcpy(c->fault.sqlstate, sqlstate, 6);
}

static int is_sqlstate(const char *p)
{
    for (int i = 0; i < 5; i++)
        if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'A' && p[i] <= 'Z')))
            return 0;
    return p[5] == ':' && p[6] == ' ';
}

/* A failed attempt has a text and no fields. While it dials the connection is verbose, and its text
 * has "FATAL:  53300: too many" and "LOCATION: ..." : both are taken out. */
void weir__pg_set_dial_fault(weir_pg *c)
{
    const char *text = PQerrorMessage(c->pg);
    size_t n = strlen(text), at = 0;
    char sqlstate[6] = "";
    char *plain = weir__pg_alloc(c, NULL, 0, n + 1);
    if (plain == NULL) {
        weir__pg_set_fault(c, "network", NULL, text);
        return;
    }
    for (const char *p = text; *p != '\0';) {
        if (p - text > 3 && p[-1] == ' ' && p[-2] == ' ' && p[-3] == ':' &&
            n - (size_t)(p - text) > 6 && is_sqlstate(p)) {
            memcpy(sqlstate, p, 5); /* of several hosts: the last one's */
            sqlstate[5] = '\0';
            p += 7;
        } else if ((p == text || p[-1] == '\n') && strncmp(p, "LOCATION:", 9) == 0) {
            p += strcspn(p, "\n");
            p += *p == '\n';
        } else {
            plain[at++] = *p++;
        }
    }
    plain[at] = '\0';
    weir__pg_set_fault(c, "network", sqlstate, plain);
    weir__pg_alloc(c, plain, n + 1, 0);
}

int weir__pg_raise_fault(lua_State *L, weir_pg *c, const char *op)
{
    const char *text = c->fault.text != NULL ? c->fault.text : "the connection is closed";
    if (c->state == PG_CLOSED && c->fault.text == NULL)
        return c->api->raise(L, "closed", op, "%s", text);
    if (c->was_told)
        c->api->push_error(L, "lost", op, "the connection is lost: %s", text);
    else
        c->api->push_error(L, c->fault.kind, op, "%s", text);
    c->was_told = 1;
    if (c->fault.sqlstate[0] != '\0') {
        lua_pushstring(L, c->fault.sqlstate);
        lua_setfield(L, -2, "sqlstate");
    }
    return lua_error(L);
}

/* --- a statement that was refused ------------------------------------------------------------ */
static const char *text_of(lua_State *L, int sql, size_t *size)
{
    const char *s = NULL;
    if (luaL_testudata(L, sql, WEIR_PG_STATEMENT) != NULL) {
        lua_getiuservalue(L, sql, 1);
        s = lua_tolstring(L, -1, size);
        lua_pop(L, 1); /* alive: the statement has it */
    } else if (lua_type(L, sql) == LUA_TSTRING) {
        s = lua_tolstring(L, sql, size);
    }
    return s;
}

void weir__pg_push_head(lua_State *L, int sql)
{
    char line[HEAD + 4];
    size_t size = 0, n = 0;
    int blank = 1; /* a blank is due, or would be the first */
    const char *s = text_of(L, sql, &size);
    for (size_t i = 0; i < size; i++) {
        int is_blank = (unsigned char)s[i] <= ' ';
        if (n == HEAD) {
            while (n > 0 && ((unsigned char)line[n - 1] & 0xc0) == 0x80)
                n--; /* not in the middle of a character */
            n -= n > 0 && (unsigned char)line[n - 1] >= 0xc0;
            memcpy(line + n, "...", 3);
            n += 3;
            break;
        }
        if (!is_blank)
            line[n++] = s[i];
        else if (!blank)
            line[n++] = ' ';
        blank = is_blank;
    }
    while (n > 0 && line[n - 1] == ' ')
        n--;
    lua_pushlstring(L, line, n);
}

static void set_field(lua_State *L, const PGresult *r, int code, const char *name)
{
    const char *value = PQresultErrorField(r, code);
    if (value != NULL) {
        lua_pushstring(L, value);
        lua_setfield(L, -2, name);
    }
}

static void set_number(lua_State *L, const PGresult *r, int code, const char *name)
{
    const char *value = PQresultErrorField(r, code);
    if (value != NULL && lua_stringtonumber(L, value) != 0)
        lua_setfield(L, -2, name);
}

void weir__pg_push_error(lua_State *L, weir_pg *c, const char *op, const PGresult *r, int sql)
{
    const char *primary = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    const char *sqlstate = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *detail = PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL);

    luaL_checkstack(L, 12, "error");
    push_line(L, primary != NULL ? primary : PQresultErrorMessage(r)); /* the latter: libpq's own */
    push_line(L, detail != NULL ? detail : "");
    if (sql != 0)
        weir__pg_push_head(L, sql);
    else
        lua_pushliteral(L, "");
    c->api->push_error(L, "query", op, "%s%s%s%s%s%s%s", lua_tostring(L, -3),
                       sqlstate != NULL ? " (" : "", sqlstate != NULL ? sqlstate : "",
                       *lua_tostring(L, -2) ? "; " : "", lua_tostring(L, -2),
                       sqlstate != NULL ? ")" : "", *lua_tostring(L, -1) ? ", in: " : "");
    lua_getfield(L, -1, "message");
    lua_pushvalue(L, -3);
    lua_concat(L, 2);
    lua_setfield(L, -2, "message");
    lua_replace(L, -4);
    lua_pop(L, 2);
    set_field(L, r, PG_DIAG_SQLSTATE, "sqlstate");
    set_field(L, r, PG_DIAG_SEVERITY_NONLOCALIZED, "severity");
    set_field(L, r, PG_DIAG_MESSAGE_DETAIL, "detail");
    set_field(L, r, PG_DIAG_MESSAGE_HINT, "hint");
    set_number(L, r, PG_DIAG_STATEMENT_POSITION, "position");
    set_field(L, r, PG_DIAG_CONTEXT, "context");
    set_field(L, r, PG_DIAG_SCHEMA_NAME, "schema");
    set_field(L, r, PG_DIAG_TABLE_NAME, "table");
    set_field(L, r, PG_DIAG_COLUMN_NAME, "column");
    set_field(L, r, PG_DIAG_DATATYPE_NAME, "datatype");
    set_field(L, r, PG_DIAG_CONSTRAINT_NAME, "constraint");
}

int weir__pg_raise_timeout(lua_State *L, weir_pg *c, const char *op, const char *doing, int sql)
{
    if (sql != 0)
        weir__pg_push_head(L, sql);
    else
        lua_pushliteral(L, "");
    return c->api->raise(L, "timeout", op, "timed out while %s%s%s", doing,
                         *lua_tostring(L, -1) ? ", in: " : "", lua_tostring(L, -1));
}
