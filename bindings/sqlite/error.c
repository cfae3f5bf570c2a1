/* sqlite/error.c - what SQLite said, as an error object: its code by name, its text, its statement.
 */
#include "sqlite.h"
#include <string.h>

#define NAME(code)                                                                                 \
    {                                                                                              \
        code, #code                                                                                \
    }

static const struct {
    int code;
    const char *name;
} names[] = {
    NAME(SQLITE_ERROR),
    NAME(SQLITE_INTERNAL),
    NAME(SQLITE_PERM),
    NAME(SQLITE_ABORT),
    NAME(SQLITE_BUSY),
    NAME(SQLITE_LOCKED),
    NAME(SQLITE_NOMEM),
    NAME(SQLITE_READONLY),
    NAME(SQLITE_INTERRUPT),
    NAME(SQLITE_IOERR),
    NAME(SQLITE_CORRUPT),
    NAME(SQLITE_NOTFOUND),
    NAME(SQLITE_FULL),
    NAME(SQLITE_CANTOPEN),
    NAME(SQLITE_PROTOCOL),
    NAME(SQLITE_EMPTY),
    NAME(SQLITE_SCHEMA),
    NAME(SQLITE_TOOBIG),
    NAME(SQLITE_CONSTRAINT),
    NAME(SQLITE_MISMATCH),
    NAME(SQLITE_MISUSE),
    NAME(SQLITE_NOLFS),
    NAME(SQLITE_AUTH),
    NAME(SQLITE_FORMAT),
    NAME(SQLITE_RANGE),
    NAME(SQLITE_NOTADB),
    NAME(SQLITE_ERROR_MISSING_COLLSEQ),
    NAME(SQLITE_ERROR_RETRY),
    NAME(SQLITE_ERROR_SNAPSHOT),
    NAME(SQLITE_IOERR_READ),
    NAME(SQLITE_IOERR_SHORT_READ),
    NAME(SQLITE_IOERR_WRITE),
    NAME(SQLITE_IOERR_FSYNC),
    NAME(SQLITE_IOERR_DIR_FSYNC),
    NAME(SQLITE_IOERR_TRUNCATE),
    NAME(SQLITE_IOERR_FSTAT),
    NAME(SQLITE_IOERR_UNLOCK),
    NAME(SQLITE_IOERR_RDLOCK),
    NAME(SQLITE_IOERR_DELETE),
    NAME(SQLITE_IOERR_BLOCKED),
    NAME(SQLITE_IOERR_NOMEM),
    NAME(SQLITE_IOERR_ACCESS),
    NAME(SQLITE_IOERR_CHECKRESERVEDLOCK),
    NAME(SQLITE_IOERR_LOCK),
    NAME(SQLITE_IOERR_CLOSE),
    NAME(SQLITE_IOERR_DIR_CLOSE),
    NAME(SQLITE_IOERR_SHMOPEN),
    NAME(SQLITE_IOERR_SHMSIZE),
    NAME(SQLITE_IOERR_SHMLOCK),
    NAME(SQLITE_IOERR_SHMMAP),
    NAME(SQLITE_IOERR_SEEK),
    NAME(SQLITE_IOERR_DELETE_NOENT),
    NAME(SQLITE_IOERR_MMAP),
    NAME(SQLITE_IOERR_GETTEMPPATH),
    NAME(SQLITE_IOERR_CONVPATH),
    NAME(SQLITE_IOERR_VNODE),
    NAME(SQLITE_IOERR_AUTH),
    NAME(SQLITE_IOERR_BEGIN_ATOMIC),
    NAME(SQLITE_IOERR_COMMIT_ATOMIC),
    NAME(SQLITE_IOERR_ROLLBACK_ATOMIC),
    NAME(SQLITE_IOERR_DATA),
    NAME(SQLITE_IOERR_CORRUPTFS),
    NAME(SQLITE_LOCKED_SHAREDCACHE),
    NAME(SQLITE_LOCKED_VTAB),
    NAME(SQLITE_BUSY_RECOVERY),
    NAME(SQLITE_BUSY_SNAPSHOT),
    NAME(SQLITE_BUSY_TIMEOUT),
    NAME(SQLITE_CANTOPEN_NOTEMPDIR),
    NAME(SQLITE_CANTOPEN_ISDIR),
    NAME(SQLITE_CANTOPEN_FULLPATH),
    NAME(SQLITE_CANTOPEN_CONVPATH),
    NAME(SQLITE_CANTOPEN_DIRTYWAL),
    NAME(SQLITE_CANTOPEN_SYMLINK),
    NAME(SQLITE_CORRUPT_VTAB),
    NAME(SQLITE_CORRUPT_SEQUENCE),
    NAME(SQLITE_CORRUPT_INDEX),
    NAME(SQLITE_READONLY_RECOVERY),
    NAME(SQLITE_READONLY_CANTLOCK),
    NAME(SQLITE_READONLY_ROLLBACK),
    NAME(SQLITE_READONLY_DBMOVED),
    NAME(SQLITE_READONLY_CANTINIT),
    NAME(SQLITE_READONLY_DIRECTORY),
    NAME(SQLITE_ABORT_ROLLBACK),
    NAME(SQLITE_CONSTRAINT_CHECK),
    NAME(SQLITE_CONSTRAINT_COMMITHOOK),
    NAME(SQLITE_CONSTRAINT_FOREIGNKEY),
    NAME(SQLITE_CONSTRAINT_FUNCTION),
    NAME(SQLITE_CONSTRAINT_NOTNULL),
    NAME(SQLITE_CONSTRAINT_PRIMARYKEY),
    NAME(SQLITE_CONSTRAINT_TRIGGER),
    NAME(SQLITE_CONSTRAINT_UNIQUE),
    NAME(SQLITE_CONSTRAINT_VTAB),
    NAME(SQLITE_CONSTRAINT_ROWID),
    NAME(SQLITE_CONSTRAINT_PINNED),
    NAME(SQLITE_CONSTRAINT_DATATYPE),
    NAME(SQLITE_AUTH_USER),
};

/* By the extended code, or the primary one if SQLite has newer ones than we do. */
static const char *name_of(int code)
{
    const char *primary = "SQLITE_ERROR";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].code == code)
            return names[i].name;
        if (names[i].code == (code & 0xff))
            primary = names[i].name;
    }
    return primary;
}

void weir__head(char *out, size_t size, const char *sql, size_t length)
{
    size_t n = 0;
    for (size_t i = 0; i < length && sql[i] != '\0'; i++) {
        int is_blank = (unsigned char)sql[i] <= ' ';
        if (is_blank && (n == 0 || out[n - 1] == ' '))
            continue;
        if (n + 4 >= size) {
            while (n > 0 && ((unsigned char)out[n - 1] & 0xc0) == 0x80) /* no half of a letter */
                n--;
            if (n > 0 && (unsigned char)out[n - 1] >= 0xc0)
                n--;
            memcpy(out + n, "...", 4);
            return;
        }
        out[n++] = is_blank ? ' ' : sql[i];
    }
    while (n > 0 && out[n - 1] == ' ')
        n--;
    out[n] = '\0';
}

static void push_misuse(lua_State *L, const weir_sqlite *c)
{
    const weir_operation *op = &c->op;
    const char *name = weir__op_name(op->op);
    if (op->fault == FAULT_EMPTY)
        c->api->push_error(L, "misuse", name, "there is no statement in '%s'", op->head);
    else if (op->fault == FAULT_MANY)
        c->api->push_error(L, "misuse", name, "one statement at a time (exec takes several): %s",
                           op->head);
    else if (op->fault == FAULT_NAME)
        c->api->push_error(L, "misuse", name, "%s: %s", op->message.data, op->head);
    else if (op->kind == WORK_EXEC)
        c->api->push_error(L, "misuse", name, "exec takes no parameters, %d wanted by: %s",
                           op->n_wanted, op->head);
    else
        c->api->push_error(L, "misuse", name, "parameters wanted: %d, got: %d, in: %s",
                           op->n_wanted, op->n_params, op->head);
}

/* "UNIQUE constraint failed: t.a, t.b": what comes after the colon says which. */
static void set_constraint(lua_State *L, int code, const char *message)
{
    const char *colon = strstr(message, "failed: ");
    if ((code & 0xff) != SQLITE_CONSTRAINT || colon == NULL)
        return;
    lua_pushstring(L, colon + strlen("failed: "));
    lua_setfield(L, -2, "constraint");
}

void weir__push_error(lua_State *L, const weir_sqlite *c)
{
    const weir_operation *op = &c->op;
    const char *message = op->message.size > 0 ? op->message.data : "", *code = name_of(op->rc);
    if (op->fault == FAULT_MEMORY) {
        lua_pushliteral(L, "not enough memory");
        return;
    }
    if (op->fault == FAULT_DROPPED) { /* by the end of the loop alone: nobody is left to see it */
        c->api->push_error(L, "closed", weir__op_name(op->op), "the runtime has ended");
        return;
    }
    if (op->fault != FAULT_NONE) {
        push_misuse(L, c);
        return;
    }
    if (op->head[0] == '\0')
        c->api->push_error(L, "query", weir__op_name(op->op), "%s (%s)", message, code);
    else
        c->api->push_error(L, "query", weir__op_name(op->op), "%s (%s) in: %s", message, code,
                           op->head);
    lua_pushstring(L, code);
    lua_setfield(L, -2, "code");
    lua_pushstring(L, message);
    lua_setfield(L, -2, "detail");
    if (op->offset_of_error >= 0) {
        lua_pushinteger(L, (lua_Integer)op->offset + op->offset_of_error + 1);
        lua_setfield(L, -2, "position");
    }
    set_constraint(L, op->rc, message);
}
