/* programs.c - the programs; see programs.h. */
#include "programs.h"

#include "check.h"

/* How task `i` ended. */
static int ended(const script_world *w, unsigned i, weir_task_state state, int error)
{
    return w->task[i].ended && w->task[i].task.state == state && w->task[i].error == error;
}

static int done(const script_world *w, unsigned i)
{
    return ended(w, i, WEIR_TASK_DONE, 0);
}

static int all_done(const script_world *w)
{
    int ok = 1;
    for (unsigned i = 0; i < SCRIPT_TASKS; i++)
        ok &= !w->task[i].spawned || done(w, i);
    return ok && w->deadlocks == 0;
}

static int times_out(const script_world *w)
{
    int late = ended(w, 2, WEIR_TASK_FAILED, WEIR_ETIMEOUT) && w->task[2].ended_at == 10;
    return done(w, 1) && (late || done(w, 2)) && done(w, 3);
}

static int cancels_a_waiter(const script_world *w)
{
    return done(w, 0) && done(w, 1) && done(w, 3) &&
           (done(w, 2) || ended(w, 2, WEIR_TASK_CANCELLED, WEIR_ECANCELED));
}

/* Main catches the timeout of its scope; the child is gone with it. */
static int one_deadline(const script_world *w)
{
    return done(w, 0) && w->task[0].caught == WEIR_ETIMEOUT && w->task[0].ended_at == 5 &&
           ended(w, 1, WEIR_TASK_CANCELLED, WEIR_ECANCELED) && w->task[1].ended_at == 5;
}

static int shielded(const script_world *w)
{
    return w->task[1].ended_at == 3 && done(w, 2) && w->n_log == 1 && w->log[0] == 7;
}

static int grace_is_over(const script_world *w)
{
    return w->task[1].ended_at == 4 && w->n_log == 0 && done(w, 0) &&
           ended(w, 1, WEIR_TASK_CANCELLED, WEIR_ECANCELED);
}

static int fails_its_siblings(const script_world *w)
{
    return done(w, 0) && w->task[0].caught == SCRIPT_EFAILED &&
           ended(w, 1, WEIR_TASK_FAILED, SCRIPT_EFAILED) &&
           ended(w, 2, WEIR_TASK_CANCELLED, WEIR_ECANCELED) && w->task[0].ended_at == 1;
}

static int claimed(const script_world *w)
{
    return done(w, 0) && ended(w, 1, WEIR_TASK_FAILED, SCRIPT_EFAILED) && done(w, 2);
}

static int closed(const script_world *w)
{
    int ok = done(w, 0);
    for (unsigned i = 1; i < 4; i++)
        ok &= done(w, i) || ended(w, i, WEIR_TASK_FAILED, WEIR_ECLOSED);
    return ok;
}

static int resized(const script_world *w)
{
    int ok = done(w, 0) && done(w, 1);
    for (unsigned i = 2; i < 4; i++)
        ok &= done(w, i) || ended(w, i, WEIR_TASK_FAILED, WEIR_EIMPOSSIBLE);
    return ok && w->deadlocks == 0;
}

static int one_is_told(const script_world *w)
{
    unsigned told = 0;
    for (unsigned i = 0; i < SCRIPT_TASKS; i++)
        told += w->task[i].error == WEIR_EDEADLOCK;
    return told == w->deadlocks && told <= 1; /* the others then go on */
}

static int self_deadlock(const script_world *w)
{
    return w->deadlocks == 1 && ended(w, 0, WEIR_TASK_FAILED, WEIR_EDEADLOCK) && w->n_cycle == 1 &&
           w->cycle[0] == 0;
}

static int leaks_one(const script_world *w)
{
    return w->leaked == 1 && done(w, 0) && done(w, 1) && done(w, 2);
}

static int daemon_goes_last(const script_world *w)
{
    return done(w, 0) && done(w, 2) && ended(w, 1, WEIR_TASK_CANCELLED, WEIR_ECANCELED) &&
           w->task[1].ended_at == 8;
}

static int minimum_holds(const script_world *w)
{
    return done(w, 0) && w->task[0].caught == WEIR_ETIMEOUT && w->task[0].ended_at == 3;
}

/* Every task is done or was told what became of its create: its own failure, or that it is open. */
static int leases_or_fails(const script_world *w)
{
    int ok = 1;
    for (unsigned i = 0; i < SCRIPT_TASKS; i++)
        ok &= !w->task[i].spawned || done(w, i) || ended(w, i, WEIR_TASK_FAILED, SCRIPT_EFAILED) ||
              ended(w, i, WEIR_TASK_FAILED, WEIR_EOPEN) ||
              ended(w, i, WEIR_TASK_FAILED, WEIR_ETIMEOUT);
    return ok && w->deadlocks == 0;
}

/* The dials take four, the loans one: three tasks, and at most two resources are needed. */
static int nobody_waits_for_a_dial(const script_world *w)
{
    return all_done(w) && w->task[1].ended_at <= 9 && w->task[2].ended_at <= 9 &&
           w->task[3].ended_at <= 9 && w->pool.stats.created <= 2;
}

/* A body on a line. */
/* clang-format off */
const program programs[] = {
    {{"one permit, four tasks", {1},
      {{SSPAWN(1), SSPAWN(2), SSPAWN(3), SACQUIRE(0, 1), SYIELD, SRELEASE(0)},
       {SYIELD, SACQUIRE(0, 1), SYIELD, SRELEASE(0), SYIELD},
       {SYIELD, SACQUIRE(0, 1), SYIELD, SRELEASE(0), SYIELD},
       {SYIELD, SACQUIRE(0, 1), SYIELD, SRELEASE(0)}}}, 250000, all_done},
    {{"two rounds of two permits, and a cancel", {2},
      {{SSPAWN(1), SSPAWN(2), SSPAWN(3), SYIELD, SYIELD, SCANCEL(2)},
       {SACQUIRE(0, 1), SYIELD, SRELEASE(0), SACQUIRE(0, 2), SYIELD, SRELEASE(0)},
       {SACQUIRE(0, 2), SYIELD, SRELEASE(0), SACQUIRE(0, 1), SYIELD, SRELEASE(0)},
       {SACQUIRE(0, 1), SYIELD, SRELEASE(0), SYIELD}}}, 250000, NULL},
    {{"two semaphores, timeouts that meet releases", {1, 1},
      {{SDETACH(1), SDETACH(2), SDETACH(3)},
       {SACQUIRE(0, 1), SSLEEP(2), SACQUIRE_IN(1, 1, 2), SSLEEP(2)},
       {SACQUIRE_IN(1, 1, 2), SSLEEP(2), SRELEASE(1), SACQUIRE_IN(0, 1, 2), SSLEEP(2)},
       {SYIELD, SACQUIRE_IN(0, 1, 2), SYIELD, SACQUIRE_IN(1, 1, 4)}}}, 250000, NULL},
    {{"a deadline among waiters", {1},
      {{SCATCH_IN(2), SSPAWN(1), SSPAWN(2), SSPAWN(3), SSLEEP(5), SCLOSE, SACQUIRE(0, 1)},
       {SACQUIRE(0, 1), SSLEEP(2), SRELEASE(0), SYIELD},
       {SYIELD, SACQUIRE_IN(0, 1, 2), SYIELD},
       {SYIELD, SSHIELD(4), SACQUIRE(0, 1), SSLEEP(1), SCLOSE}}}, 250000, NULL},
    {{"one permit, three tasks", {1},
      {{SSPAWN(1), SSPAWN(2), SSPAWN(3)},
       {SACQUIRE(0, 1), SYIELD, SRELEASE(0)},
       {SACQUIRE(0, 1), SYIELD, SRELEASE(0)},
       {SACQUIRE(0, 1), SYIELD, SRELEASE(0)}}}, 0, all_done},
    {{"two permits, three tasks, twice", {2},
      {{SSPAWN(1), SSPAWN(2), SSPAWN(3)},
       {SACQUIRE(0, 1), SYIELD, SRELEASE(0), SACQUIRE(0, 1), SYIELD, SRELEASE(0)},
       {SACQUIRE(0, 1), SYIELD, SRELEASE(0), SACQUIRE(0, 1), SYIELD, SRELEASE(0)},
       {SACQUIRE(0, 1), SYIELD, SRELEASE(0)}}}, 60000, all_done},
    {{"weights one, two and three of three", {3},
      {{SSPAWN(1), SSPAWN(2), SSPAWN(3)},
       {SACQUIRE(0, 1), SYIELD, SRELEASE(0), STRY(0, 1), SYIELD, SRELEASE(0)},
       {SACQUIRE(0, 2), SYIELD, SRELEASE(0)},
       {SACQUIRE(0, 3), SYIELD, SRELEASE(0)}}}, 60000, all_done},
    {{"four tasks, two semaphores in one order", {1, 2},
      {{SSPAWN(1), SSPAWN(2), SSPAWN(3), SACQUIRE(1, 2), SRELEASE(1)},
       {SACQUIRE(0, 1), SACQUIRE(1, 1), SYIELD, SRELEASE(1), SRELEASE(0)},
       {SACQUIRE(0, 1), SACQUIRE(1, 2), SYIELD},
       {SACQUIRE(1, 1), SYIELD}}}, 60000, all_done},
    {{"a timeout while another holds", {1},
      {{SSPAWN(1), SSPAWN(2), SSPAWN(3)},
       {SACQUIRE(0, 1), SSLEEP(20), SRELEASE(0)},
       {SCATCH, SCLOSE, SACQUIRE_IN(0, 1, 10), SRELEASE(0)},
       {SSLEEP(30)}}}, 0, NULL},
    {{"equal timeouts and a release at that instant", {1},
      {{SSPAWN(1), SDETACH(2), SDETACH(3)},
       {SACQUIRE(0, 1), SSLEEP(10), SRELEASE(0)},
       {SACQUIRE_IN(0, 1, 10), SYIELD, SRELEASE(0)},
       {SACQUIRE_IN(0, 1, 10), SYIELD, SRELEASE(0)}}}, 0, NULL},
    {{"a detached timeout", {1},
      {{SSPAWN(1), SDETACH(2), SDETACH(3)},
       {SACQUIRE(0, 1), SSLEEP(20), SRELEASE(0)},
       {SACQUIRE_IN(0, 1, 10), SRELEASE(0)},
       {SACQUIRE(0, 1), SRELEASE(0)}}}, 0, times_out},
    {{"cancel of a waiter", {1},
      {{SSPAWN(1), SSPAWN(2), SSPAWN(3), SYIELD, SCANCEL(2)},
       {SACQUIRE(0, 1), SYIELD, SRELEASE(0)},
       {SACQUIRE(0, 1), SYIELD, SRELEASE(0)},
       {SACQUIRE(0, 1), SYIELD, SRELEASE(0)}}}, 60000, cancels_a_waiter},
    {{"release and cancel of the one it was given to", {1},
      {{SACQUIRE(0, 1), SSPAWN(1), SSPAWN(2), SYIELD, SRELEASE(0), SCANCEL(1)},
       {SACQUIRE(0, 1), SYIELD, SRELEASE(0)},
       {SACQUIRE(0, 1), SYIELD, SRELEASE(0)}}}, 0, NULL},
    {{"one deadline", {1},
      {{SCATCH_IN(5), SSPAWN(1), SSLEEP(9), SCLOSE, SACQUIRE(0, 1)},
       {SACQUIRE(0, 1), SSLEEP(7)}}}, 0, one_deadline},
    {{"deadlines nest by the minimum", {0},
      {{SCATCH, SOPEN_IN(3), SOPEN_IN(9), SSPAWN(1), SSLEEP(7), SCLOSE, SCLOSE, SCLOSE},
       {SOPEN_IN(5), SSLEEP(6), SCLOSE}}}, 0, minimum_holds},
    {{"a shield", {1},
      {{SSPAWN(1), SSPAWN(2), SSLEEP(1), SCANCEL(1)},
       {SACQUIRE(0, 1), SSHIELD(9), SSLEEP(3), SMARK(7), SCLOSE, SSLEEP(9)},
       {SSLEEP(2), SACQUIRE(0, 1)}}}, 0, shielded},
    {{"the grace of a shield", {1},
      {{SSPAWN(1), SSLEEP(1), SCANCEL(1), SACQUIRE(0, 1)},
       {SACQUIRE(0, 1), SSHIELD(3), SSLEEP(8), SMARK(7), SCLOSE}}}, 0, grace_is_over},
    {{"a failed child and its siblings", {1},
      {{SCATCH, SSPAWN(1), SSPAWN(2), SSLEEP(9), SCLOSE},
       {SSLEEP(1), SFAIL},
       {SACQUIRE(0, 1), SSLEEP(5)}}}, 0, fails_its_siblings},
    {{"a claimed failure", {0},
      {{SSPAWN(1), SSPAWN(2), SPJOIN(1), SJOIN(2)},
       {SSLEEP(1), SFAIL},
       {SSLEEP(2)}}}, 0, claimed},
    {{"joins, with a timeout", {0},
      {{SSPAWN(1), SSPAWN(2), SCATCH, SJOIN_IN(1, 2), SCLOSE, SJOIN(1)},
       {SJOIN(2), SYIELD},
       {SSLEEP(3)}}}, 0, all_done},
    {{"close under waiters", {1},
      {{SDETACH(1), SDETACH(2), SDETACH(3), SYIELD, SCLOSE_SEMAPHORE(0), SYIELD},
       {SACQUIRE(0, 1), SYIELD, SYIELD},
       {SYIELD, SACQUIRE(0, 1), SYIELD},
       {SYIELD, SACQUIRE(0, 1)}}}, 60000, closed},
    {{"a smaller and a larger capacity", {3},
      {{SDETACH(1), SDETACH(2), SDETACH(3), SYIELD, SRESIZE(0, 1), SYIELD, SRESIZE(0, 2), SYIELD,
        SRESIZE(0, 3)},
       {SACQUIRE(0, 1), SYIELD, SYIELD},
       {SACQUIRE(0, 2), SYIELD},
       {SYIELD, SACQUIRE(0, 3), SYIELD}}}, 60000, resized},
    {{"drain", {2},
      {{SSPAWN(1), SSPAWN(2), SYIELD, SYIELD, SDRAIN(0), STRY(0, 1)},
       {SACQUIRE(0, 1), SYIELD},
       {SACQUIRE(0, 2), SYIELD}}}, 0, NULL},
    {{"a permit changes hands", {1},
      {{SACQUIRE(0, 1), SSPAWN(1), SSPAWN(2), SYIELD, STRANSFER(0, 1), SYIELD},
       {SYIELD, SYIELD, SRELEASE(0)},
       {SACQUIRE(0, 1)}}}, 0, all_done},
    {{"a leak is repaired", {1},
      {{SSPAWN(1), SSPAWN(2)},
       {SACQUIRE(0, 1), SFORGET(0), SYIELD},
       {SYIELD, SYIELD, SYIELD, SYIELD, SACQUIRE(0, 1)}}}, 0, leaks_one},
    {{"a daemon and a detached task", {1},
      {{SDAEMON(1), SDETACH(2), SSLEEP(1)},
       {SACQUIRE(0, 1), SPARK},
       {SSLEEP(8)}}}, 0, daemon_goes_last},
    {{"two acquires of one permit", {1},
      {{SACQUIRE(0, 1), SACQUIRE(0, 1)}}}, 0, self_deadlock},
    {{"two semaphores in two orders", {1, 1},
      {{SDETACH(1), SDETACH(2)},
       {SACQUIRE(0, 1), SYIELD, SACQUIRE(1, 1)},
       {SACQUIRE(1, 1), SYIELD, SACQUIRE(0, 1)}}}, 0, one_is_told},
    {{"three semaphores in a ring", {1, 1, 1},
      {{SDETACH(1), SDETACH(2), SDETACH(3)},
       {SACQUIRE(0, 1), SYIELD, SACQUIRE(1, 1)},
       {SACQUIRE(1, 1), SYIELD, SACQUIRE(2, 1)},
       {SACQUIRE(2, 1), SYIELD, SACQUIRE(0, 1)}}}, 60000, one_is_told},
    {{"children wait for what their parent holds", {1},
      {{SACQUIRE(0, 1), SDETACH(1), SYIELD, SJOIN(1)},
       {SACQUIRE(0, 1)}}}, 0, NULL},
    {{"a scope end that waits for its own permit", {1},
      {{SACQUIRE(0, 1), SCATCH, SSPAWN(1), SSPAWN(2), SCLOSE},
       {SACQUIRE(0, 1)},
       {SYIELD, SYIELD}}}, 0, NULL},
    {{"cancel from within, with cleanup", {1},
      {{SCATCH, SSPAWN(1), SYIELD, SCANCEL_SCOPE, SYIELD, SCLOSE, SACQUIRE(0, 1)},
       {SACQUIRE(0, 1), SSHIELD(5), SSLEEP(2), SCLOSE, SYIELD, SYIELD}}}, 0, NULL},
    {{"one resource, three tasks", {0},
      {{SPOOL(1, 0, 2), SSPAWN(1), SSPAWN(2), SLEASE, SYIELD, SGIVE},
       {SLEASE, SYIELD, SGIVE},
       {SLEASE, SYIELD, SGIVE, STAKE}}}, 60000, all_done},
    {{"two resources, dialled at once, three tasks", {0},
      {{SPOOL(2, 1, 0), SSPAWN(1), SSPAWN(2), SSPAWN(3)},
       {SLEASE, SYIELD, SGIVE, SLEASE, SGIVE},
       {SLEASE, SYIELD, SDISCARD, SLEASE},
       {SLEASE, SYIELD}}}, 60000, all_done},
    {{"a return while a dial is pending", {0},
      {{SPOOL(3, 0, 4), SSPAWN(1), SSPAWN(2), SSPAWN(3)},
       {SLEASE, SSLEEP(1), SGIVE},
       {SLEASE, SSLEEP(1), SGIVE},
       {SLEASE, SSLEEP(1), SGIVE}}}, 60000, nobody_waits_for_a_dial},
    {{"cancels of who waits for a resource", {0},
      {{SPOOL(1, 0, 1), SSPAWN(1), SSPAWN(2), SSPAWN(3), SYIELD, SCANCEL(2), SSLEEP(1), SCANCEL(1)},
       {SLEASE, SSLEEP(1), SGIVE},
       {SLEASE, SSLEEP(1), SGIVE},
       {SLEASE, SGIVE}}}, 60000, NULL},
    {{"a lease given back and a cancel of the one it was given to", {0},
      {{SPOOL(1, SCRIPT_POOL_CHECKS, 0), SLEASE, SSPAWN(1), SSPAWN(2), SYIELD, SGIVE, SCANCEL(1)},
       {SLEASE, SYIELD, SGIVE},
       {SLEASE, SYIELD, SGIVE}}}, 0, NULL},
    {{"timeouts that meet dials", {0},
      {{SPOOL(2, 0, 2), SDETACH(1), SDETACH(2), SDETACH(3)},
       {SLEASE_IN(2), SSLEEP(2)},
       {SLEASE_IN(2), SSLEEP(2), SGIVE, SLEASE_IN(2)},
       {SYIELD, SLEASE_IN(4), SYIELD}}}, 60000, NULL},
    {{"creates that may fail", {0},
      {{SPOOL(2, SCRIPT_POOL_FAULTS, 1), SDETACH(1), SDETACH(2)},
       {SLEASE, SYIELD, SGIVE},
       {SLEASE, SSLEEP(1), SDISCARD, SLEASE}}}, 20000, leases_or_fails},
    {{"creates that may fail at once, the first opens", {0},
      {{SPOOL(2, 1 | SCRIPT_POOL_FAULTS | SCRIPT_POOL_OPENS, 0), SDETACH(1), SDETACH(2), SDETACH(3)},
       {SLEASE, SYIELD, SGIVE, SSLEEP(9), SLEASE},
       {SYIELD, SLEASE, SYIELD, SDISCARD, SLEASE},
       {SLEASE, SSLEEP(1)}}}, 20000, leases_or_fails},
    {{"checks that may fail", {0},
      {{SPOOL(2, 2 | SCRIPT_POOL_CHECKS | SCRIPT_POOL_FAULTS, 1), SDETACH(1), SDETACH(2)},
       {SSLEEP(9), SLEASE, SYIELD, SGIVE},
       {SSLEEP(9), SLEASE, SGIVE, SSLEEP(4), SLEASE}}}, 20000, leases_or_fails},
    {{"checks that may fail at once, of one resource", {0},
      {{SPOOL(1, SCRIPT_POOL_CHECKS | SCRIPT_POOL_FAULTS, 0), SDETACH(1), SDETACH(2)},
       {SLEASE, SGIVE, SSLEEP(3), SLEASE, SYIELD},
       {SSLEEP(3), SLEASE_IN(9), SYIELD, SFAIL}}}, 20000, NULL},
    {{"creates and checks that time out", {0},
      {{SPOOL(2, SCRIPT_POOL_CHECKS | SCRIPT_POOL_HASTY, 4), SDETACH(1), SDETACH(2)},
       {SCATCH, SLEASE, SCLOSE, SLEASE_IN(9)},
       {SYIELD, SLEASE}}}, 20000, NULL},
    {{"the pool is closed under all", {0},
      {{SPOOL(2, 1 | SCRIPT_POOL_CHECKS, 2), SDETACH(1), SDETACH(2), SDETACH(3), SSLEEP(4), SCLOSE_POOL},
       {SLEASE, SSLEEP(1), SGIVE, SSLEEP(1), SLEASE},
       {SYIELD, SLEASE, SSLEEP(3)},
       {SSLEEP(1), SLEASE}}}, 20000, closed},
    {{"drain of the pool", {0},
      {{SPOOL(1, 1, 1), SSPAWN(1), SSPAWN(2), SSLEEP(1), SYIELD, SDRAIN_POOL, STAKE},
       {SLEASE, SYIELD},
       {SLEASE, SYIELD}}}, 20000, NULL},
    {{"drain of the pool by one who holds", {0},
      {{SPOOL(1, 0, 0), SLEASE, SDRAIN_POOL}}}, 0, self_deadlock},
    {{"a smaller and a larger pool", {0},
      {{SPOOL(2, 0, 1), SSPAWN(1), SSPAWN(2), SSPAWN(3), SSLEEP(3), SRESIZE_POOL(1), SYIELD,
        SRESIZE_POOL(3), SEVICT_POOL},
       {SLEASE, SSLEEP(2), SGIVE, SLEASE},
       {SLEASE, SSLEEP(4)},
       {SLEASE, SSLEEP(2)}}}, 20000, all_done},
    {{"a lease changes hands", {0},
      {{SPOOL(1, 0, 0), SLEASE, SSPAWN(1), SSPAWN(2), SYIELD, SLEND(1), SYIELD},
       {SYIELD, SYIELD, SGIVE},
       {SLEASE}}}, 0, all_done},
    {{"a lease is lost", {0},
      {{SPOOL(1, SCRIPT_POOL_CHECKS, 1), SSPAWN(1), SSPAWN(2)},
       {SLEASE, SLOSE, SYIELD},
       {SSLEEP(4), SLEASE}}}, 0, leaks_one},
    {{"two leases of one", {0},
      {{SPOOL(1, 0, 0), SLEASE, SLEASE}}}, 0, self_deadlock},
    {{"two leases of two each", {0},
      {{SPOOL(2, 0, 0), SDETACH(1), SDETACH(2)},
       {SLEASE, SYIELD, SLEASE},
       {SLEASE, SYIELD, SLEASE}}}, 0, one_is_told},
    {{"a lease and a permit in two orders", {1},
      {{SPOOL(1, 0, 0), SDETACH(1), SDETACH(2)},
       {SLEASE, SYIELD, SACQUIRE(0, 1)},
       {SACQUIRE(0, 1), SYIELD, SLEASE}}}, 0, one_is_told},
};
/* clang-format on */
const unsigned n_programs = sizeof programs / sizeof programs[0];

script_world *program_run(const program *p, weir_simulator *sim, const script_world *setup)
{
    script_world *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    if (setup != NULL)
        *w = *setup;
    w->sim = sim;
    script_run(w, &p->script);
    return w;
}

static script_op random_pool(check_random *r)
{
    uint8_t max = (uint8_t)(1 + check_below(r, 3));
    uint16_t flags = (uint16_t)(check_below(r, 16) * SCRIPT_POOL_CHECKS);
    uint16_t min = (uint16_t)(check_below(r, 2) * check_below(r, max + 1u));
    return (script_op){SCRIPT_POOL, max, flags | min, check_below(r, 2) * check_below(r, 5)};
}

static script_op random_pool_op(check_random *r, unsigned tasks)
{
    uint16_t k = (uint16_t)check_below(r, tasks);
    uint8_t max = (uint8_t)(1 + check_below(r, 3));
    uint32_t t = 1 + check_below(r, 6);
    script_op choices[] = {
        SLEASE,     SLEASE, SLEASE, SLEASE_IN(t), SLEASE_IN(t), STAKE,       SGIVE,
        SGIVE,      SGIVE,  SGIVE,  SDISCARD,     SLEND(k),     SSLEEP(t),   SSLEEP(t),
        SCANCEL(k), SYIELD, SFAIL,  SLOSE,        SEVICT_POOL,  SCLOSE_POOL, SRESIZE_POOL(max),
    };
    return choices[check_below(r, sizeof choices / sizeof choices[0])];
}

/* Main spawns everybody, in scopes or not; the others draw from what is legal anywhere. Deadlock
 * is an outcome, not an accident: the scripts report it and go on. */
static void draw(script_program *p, uint64_t seed, unsigned tasks, int has_pool)
{
    check_random r = {seed};
    memset(p, 0, sizeof *p);
    p->name = "random";
    p->capacity[0] = (uint16_t)(1 + check_below(&r, 3));
    p->capacity[1] = 1;
    for (unsigned i = 0; i < tasks; i++) {
        unsigned at = 0, open = 0, n = 2 + check_below(&r, 5);
        script_op *body = p->body[i];
        if (i == 0 && has_pool)
            body[at++] = random_pool(&r);
        for (unsigned k = 1; i == 0 && k < tasks; k++)
            body[at++] =
                (script_op){check_below(&r, 4) ? SCRIPT_SPAWN : SCRIPT_DETACH, (uint8_t)k, 0, 0};
        while (n-- > 0) {
            uint8_t s = (uint8_t)check_below(&r, 2), k = (uint8_t)check_below(&r, tasks);
            uint16_t weight = (uint16_t)(1 + check_below(&r, p->capacity[s]));
            uint32_t t = 1 + check_below(&r, 4);
            script_op choices[] = {
                SACQUIRE(s, weight),
                SACQUIRE_IN(s, weight, t),
                STRY(s, weight),
                SRELEASE(s),
                SRELEASE(s),
                SSLEEP(t),
                SYIELD,
                SYIELD,
                SJOIN(k),
                SPJOIN(k),
                SJOIN_IN(k, t),
                SCANCEL(k),
                SOPEN,
                SOPEN_IN(t),
                SCATCH,
                SCATCH_IN(t),
                SSHIELD(t),
                SCLOSE,
                SFAIL,
                STRANSFER(s, k),
                SCANCEL_SCOPE,
                SRESIZE(s, weight),
            };
            script_op op = choices[check_below(&r, sizeof choices / sizeof choices[0])];
            if (has_pool && check_below(&r, 3) > 0)
                op = random_pool_op(&r, tasks);
            if (op.code == SCRIPT_CLOSE && open == 0)
                continue;
            open += op.code >= SCRIPT_OPEN && op.code <= SCRIPT_SHIELD;
            open -= op.code == SCRIPT_CLOSE;
            body[at++] = op;
        }
    }
}

void program_random(script_program *p, uint64_t seed, unsigned tasks)
{
    draw(p, seed, tasks, 0);
}

void program_random_pool(script_program *p, uint64_t seed, unsigned tasks)
{
    draw(p, seed, tasks, 1);
}
