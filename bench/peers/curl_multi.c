/* curl_multi.c - N requests at 50 in flight through a bare libcurl multi loop: the HTTP floor.
 *
 * What a C program that does nothing else would be: one easy handle per slot, reused; the body
 * is counted and dropped; no header is looked at. Two loops, since which is cheaper depends on
 * the build: `socket` is curl_multi_socket_action on epoll, `perform` is curl_multi_perform and
 * curl_multi_poll. Usage: curl_multi URL N LIMIT socket|perform. A figure is the CPU time
 * (user + sys) of one request, connections warm.
 */
#include <curl/curl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

typedef struct run {
    CURLM *multi;
    const char *url;
    int epoll;
    long timeout; /* ms, as libcurl asks; -1 is none */
    long left;    /* requests not started */
    long running;
    uint64_t bytes;
} run;

static void fail(const char *what)
{
    fprintf(stderr, "curl_multi: %s\n", what);
    exit(1);
}

static double cpu_ns(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return ((double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec) * 1e9 +
           ((double)u.ru_utime.tv_usec + (double)u.ru_stime.tv_usec) * 1e3;
}

static double wall_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    (void)data;
    ((run *)arg)->bytes += size * count;
    return size * count;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    run *r = arg;
    struct epoll_event e = {0};
    (void)easy;
    e.data.fd = fd;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(r->epoll, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    e.events = ((what & CURL_POLL_IN) ? EPOLLIN : 0u) | ((what & CURL_POLL_OUT) ? EPOLLOUT : 0u);
    epoll_ctl(r->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e);
    curl_multi_assign(r->multi, fd, r);
    return 0;
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
    (void)multi;
    ((run *)arg)->timeout = ms;
    return 0;
}

static void start(run *r, CURL *easy)
{
    r->left--;
    r->running++;
    if (curl_multi_add_handle(r->multi, easy) != CURLM_OK)
        fail("add_handle failed");
}

/* Take what has ended and start the next request in its slot. */
static void reap(run *r)
{
    CURLMsg *m;
    int queued;
    while ((m = curl_multi_info_read(r->multi, &queued)) != NULL) {
        CURL *easy = m->easy_handle;
        long status = 0;
        if (m->msg != CURLMSG_DONE)
            continue;
        if (m->data.result != CURLE_OK)
            fail(curl_easy_strerror(m->data.result));
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        if (status != 200)
            fail("a status is not 200");
        curl_multi_remove_handle(r->multi, easy);
        r->running--;
        if (r->left > 0)
            start(r, easy);
    }
}

static void loop_socket(run *r)
{
    struct epoll_event events[64];
    int running, n, i;
    while (r->running > 0) {
        if (r->timeout == 0) { /* handles just added; some may end at once */
            r->timeout = -1;
            curl_multi_socket_action(r->multi, CURL_SOCKET_TIMEOUT, 0, &running);
            reap(r);
            continue;
        }
        n = epoll_wait(r->epoll, events, 64, (int)r->timeout);
        if (n == 0)
            r->timeout = 0;
        for (i = 0; i < n; i++) {
            int what = ((events[i].events & EPOLLIN) ? CURL_CSELECT_IN : 0) |
                       ((events[i].events & EPOLLOUT) ? CURL_CSELECT_OUT : 0) |
                       ((events[i].events & (EPOLLERR | EPOLLHUP)) ? CURL_CSELECT_ERR : 0);
            curl_multi_socket_action(r->multi, events[i].data.fd, what, &running);
        }
        reap(r);
    }
}

static void loop_perform(run *r)
{
    int running;
    while (r->running > 0) {
        curl_multi_perform(r->multi, &running);
        reap(r);
        if (r->running > 0)
            curl_multi_poll(r->multi, NULL, 0, 1000, NULL);
    }
}

static void requests(run *r, CURL **slots, long limit, long n, int by_socket)
{
    long i;
    r->left = n;
    r->bytes = 0;
    for (i = 0; i < limit && r->left > 0; i++)
        start(r, slots[i]);
    if (by_socket)
        loop_socket(r);
    else
        loop_perform(r);
}

int main(int argc, char **argv)
{
    run r = {0};
    CURL **slots;
    long n, limit, i;
    int by_socket;
    double cpu, wall;
    if (argc != 5)
        fail("usage: curl_multi URL N LIMIT socket|perform");
    r.url = argv[1];
    n = strtol(argv[2], NULL, 10);
    limit = strtol(argv[3], NULL, 10);
    by_socket = strcmp(argv[4], "socket") == 0;
    r.timeout = -1;
    r.epoll = epoll_create1(EPOLL_CLOEXEC);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    r.multi = curl_multi_init();
    slots = calloc((size_t)limit, sizeof *slots);
    if (r.multi == NULL || slots == NULL || r.epoll < 0)
        fail("cannot set up");
    if (by_socket) {
        curl_multi_setopt(r.multi, CURLMOPT_SOCKETFUNCTION, on_socket);
        curl_multi_setopt(r.multi, CURLMOPT_SOCKETDATA, &r);
        curl_multi_setopt(r.multi, CURLMOPT_TIMERFUNCTION, on_timer);
        curl_multi_setopt(r.multi, CURLMOPT_TIMERDATA, &r);
    }
    curl_multi_setopt(r.multi, CURLMOPT_MAXCONNECTS, limit);
    for (i = 0; i < limit; i++) {
        slots[i] = curl_easy_init();
        curl_easy_setopt(slots[i], CURLOPT_URL, r.url);
        curl_easy_setopt(slots[i], CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(slots[i], CURLOPT_WRITEDATA, &r);
        curl_easy_setopt(slots[i], CURLOPT_NOSIGNAL, 1L);
        /* As weir.http does: no look into the environment, no scan of the DNS cache each time. */
        curl_easy_setopt(slots[i], CURLOPT_PROXY, "");
        curl_easy_setopt(slots[i], CURLOPT_NOPROXY, "");
        curl_easy_setopt(slots[i], CURLOPT_DNS_CACHE_TIMEOUT, -1L);
    }
    requests(&r, slots, limit, 500, by_socket); /* connect */
    cpu = cpu_ns();
    wall = wall_ns();
    requests(&r, slots, limit, n, by_socket);
    printf("row name=http impl=libcurl-%s unit=ns value=%.1f n=%ld wall=%.1f bytes=%.1f\n", argv[4],
           (cpu_ns() - cpu) / (double)n, n, (wall_ns() - wall) / (double)n,
           (double)r.bytes / (double)n);
    for (i = 0; i < limit; i++)
        curl_easy_cleanup(slots[i]);
    curl_multi_cleanup(r.multi);
    free(slots);
    return 0;
}
