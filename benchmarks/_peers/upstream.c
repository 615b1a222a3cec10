/* The upstream of benchmarks/gateway.py: an OpenAI-compatible server on one core that does next to nothing itself.

     upstream PORT

   POST of anything is answered with a chat completion of `tokens` tokens, whole, or as events where the body has
   "stream": true. Each token is an event and a write of its own; its text is a word of 13 letters that says when it was
   written: the microseconds of the machine's monotonic clock in base 16, digits 'a' to 'p'.
   GET /set?tokens=N&rate=R   tokens of an answer; events a second in each stream, 0 is as fast as they are taken
   GET /seen                  {"requests": .., "chunks": ..} since the start
   Anything else that is a GET: 200. Linux only (epoll, timerfd). */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { IN = 1 << 18, OUT = 1 << 16, TOKENS = 100000 };

typedef struct conn {
    int fd, closed, queued, usage;
    size_t in, from, out;        /* bytes read; of `outgoing`: the first that is not written yet, and the end */
    long sent, total, id;        /* tokens of the stream under way; total 0: none is */
    uint64_t due;                /* nanoseconds */
    struct conn *next;
    char incoming[IN + 1], outgoing[OUT];
} conn;

static int epoll, timer;
static long tokens = 16, rate, requests, chunks;
static conn *head, *tail;        /* streams by when their next event is due: all have the same pace, so a queue does */
static char text[16 * TOKENS];   /* the whole completion's text */

static uint64_t now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000ull + at.tv_nsec;
}

static void push(conn *c) {
    c->queued = 1;
    c->next = NULL;
    if (tail) tail->next = c; else head = c;
    tail = c;
}

static conn *pop(void) {
    conn *c = head;
    head = c->next;
    if (!head) tail = NULL;
    c->queued = 0;
    return c;
}

static void drop(conn *c) {
    if (!c->closed) close(c->fd);
    c->closed = 1;
    if (!c->queued) free(c);     /* one in the queue is freed when its turn comes */
}

/* Writes what waits; 0 when all is written, 1 when the peer takes no more for now, -1 when it is gone. */
static int flush(conn *c) {
    while (c->from < c->out) {
        ssize_t n = send(c->fd, c->outgoing + c->from, c->out - c->from, MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN ? 1 : -1;
        c->from += n;
    }
    c->from = c->out = 0;
    return 0;
}

static void watch(conn *c, int writable) {
    struct epoll_event want = {.events = EPOLLIN | EPOLLRDHUP | (writable ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &want);
}

#define SAY(c, ...) ((c)->out += snprintf((c)->outgoing + (c)->out, OUT - (c)->out, __VA_ARGS__))

/* One event as one chunk of the transfer coding. */
static void event(conn *c, const char *data) {
    SAY(c, "%zx\r\ndata: %s\n\n\r\n", strlen(data) + 8, data);
}

#define CHUNK "{\"id\":\"chatcmpl-%024ld\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"mock\"," \
              "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_44709d6fcb\",\"choices\":[%s]%s}"
#define CHOICE "{\"index\":0,\"delta\":{%s},\"logprobs\":null,\"finish_reason\":%s}"
#define USAGE "\"usage\":{\"prompt_tokens\":48,\"completion_tokens\":%ld,\"total_tokens\":%ld," \
              "\"prompt_tokens_details\":{\"cached_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0}}"

static void chunk(conn *c, const char *delta, const char *finish) {
    char choice[256], data[768];
    snprintf(choice, sizeof choice, CHOICE, delta, finish);
    snprintf(data, sizeof data, CHUNK, c->id, choice, c->usage ? ",\"usage\":null" : "");
    event(c, data);
}

static void token(conn *c) {
    char delta[64] = "\"content\":\" ", *at = delta + 12;
    uint64_t stamp = now() / 1000;
    for (int i = 12; i >= 0; i--, stamp >>= 4) at[i] = 'a' + (stamp & 15);
    strcpy(at + 13, "\"");
    chunk(c, delta, "null");
    c->sent++;
    chunks++;
}

static void last(conn *c) {
    char usage[256], data[768];
    chunk(c, "", "\"stop\"");
    if (c->usage) {
        snprintf(usage, sizeof usage, "," USAGE, c->total, c->total + 48);
        snprintf(data, sizeof data, CHUNK, c->id, "", usage);
        event(c, data);
    }
    event(c, "[DONE]");
    SAY(c, "0\r\n\r\n");
    c->total = 0;
}

static void whole(conn *c) {
    static char body[sizeof text + 1024];
    int n = snprintf(body, sizeof body,
        "{\"id\":\"chatcmpl-%024ld\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"mock\","
        "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%s\",\"refusal\":null,\"annotations\":[]},"
        "\"logprobs\":null,\"finish_reason\":\"stop\"}]," USAGE ",\"service_tier\":\"default\","
        "\"system_fingerprint\":\"fp_44709d6fcb\"}", c->id, text, tokens, tokens + 48);
    SAY(c, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s", n, body);
}

static void set(void) {
    if (tokens < 1 || tokens > 3000) tokens = 16;    /* the whole completion must fit into `outgoing` */
    text[0] = 0;
    for (long i = 0; i < tokens; i++) strcat(text, i ? " word" : "word");
}

static void other(conn *c) {
    char body[128];
    char *query = strstr(c->incoming, "/set?");
    if (query && query < strchr(c->incoming, '\n')) {
        sscanf(query, "/set?tokens=%ld&rate=%ld", &tokens, &rate);
        set();
    }
    int n = snprintf(body, sizeof body, "{\"requests\": %ld, \"chunks\": %ld}", requests, chunks);
    SAY(c, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s", n, body);
}

static void stream(conn *c, int usage) {
    c->usage = usage;
    c->total = tokens;
    c->sent = 0;
    c->due = now();
    SAY(c, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
           "transfer-encoding: chunked\r\n\r\n");
    chunk(c, "\"role\":\"assistant\",\"content\":\"\",\"refusal\":null", "null");
    if (!c->queued) push(c);
}

/* The length of the first request if all of it is there, else 0; `body` is where its body begins. */
static size_t complete(conn *c, char **body) {
    c->incoming[c->in] = 0;
    char *end = strstr(c->incoming, "\r\n\r\n");
    if (!end) return 0;
    *body = end + 4;
    *end = 0;
    char *length = strcasestr(c->incoming, "\ncontent-length:"), *coding = strcasestr(c->incoming, "\ntransfer-encoding:");
    *end = '\r';
    size_t at = *body - c->incoming;
    if (coding) {
        char *done = strstr(*body, "0\r\n\r\n");
        return done ? (size_t)(done + 5 - c->incoming) : 0;
    }
    size_t all = at + (length ? strtoul(length + 16, NULL, 10) : 0);
    return c->in >= all ? all : 0;
}

/* Whether a flag is set in the JSON between two places. */
static int asked(const char *body, const char *end, const char *name) {
    for (const char *at = body; (at = memmem(at, end - at, name, strlen(name))); at++) {
        const char *value = at + strlen(name);
        while (value < end && strchr(" :\n", *value)) value++;
        if (end - value >= 4 && !strncmp(value, "true", 4)) return 1;
    }
    return 0;
}

static void answer(conn *c) {
    char *body;
    size_t all;
    while (!c->total && (all = complete(c, &body))) {
        if (strncmp(c->incoming, "POST", 4)) {
            other(c);
        } else {
            c->id = ++requests;
            if (asked(body, c->incoming + all, "\"stream\"")) stream(c, asked(body, c->incoming + all, "\"include_usage\""));
            else whole(c);
        }
        memmove(c->incoming, c->incoming + all, c->in - all);
        c->in -= all;
    }
}

static void readable(conn *c) {
    ssize_t n = recv(c->fd, c->incoming + c->in, IN - c->in, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)) { drop(c); return; }
    if (n > 0) c->in += n;
    answer(c);
    int left = flush(c);
    if (left < 0) drop(c);
    else if (left) watch(c, 1);
}

static void writable(conn *c) {
    int left = flush(c);
    if (left < 0) { drop(c); return; }
    if (!left) {
        watch(c, 0);
        if (c->total && !c->queued) push(c);
    }
}

/* The next event of the stream that is due first. */
static void turn(void) {
    conn *c = pop();
    if (c->closed) { free(c); return; }
    if (OUT - c->out < 4096) return;                  /* the peer does not read: `writable` goes on with it */
    token(c);
    if (c->sent == c->total) {
        last(c);
        answer(c);                                    /* what came meanwhile */
    }
    int left = flush(c);
    if (left < 0) { drop(c); return; }
    if (left) watch(c, 1);
    c->due += rate ? 1000000000ull / rate : 0;
    if (c->total && !c->queued && (!left || rate)) push(c);
}

static void alarm_at(uint64_t due) {
    struct itimerspec at = {.it_value = {due / 1000000000, due % 1000000000}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static void welcome(int listening) {
    int fd, on = 1;
    while ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        conn *c = calloc(1, sizeof *c);
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct epoll_event want = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = c};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &want);
    }
}

int main(int argc, char **argv) {
    if (argc != 2) { fprintf(stderr, "usage: upstream PORT\n"); return 2; }
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listening, (struct sockaddr *)&at, sizeof at) || listen(listening, 4096)) { perror("upstream"); return 1; }
    set();
    epoll = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event accepting = {.events = EPOLLIN, .data.ptr = &listening}, alarm = {.events = EPOLLIN, .data.ptr = &timer};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listening, &accepting);
    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &alarm);
    struct epoll_event events[256];
    for (;;) {
        int wait = -1;
        if (head) {
            uint64_t time = now();
            if (head->closed || head->due <= time) wait = 0; else alarm_at(head->due);
        }
        int n = epoll_wait(epoll, events, 256, wait);
        for (int i = 0; i < n; i++) {
            conn *c = events[i].data.ptr;
            if ((void *)c == &listening) { welcome(listening); continue; }
            if ((void *)c == &timer) { uint64_t rang; if (read(timer, &rang, 8) < 0) continue; continue; }
            if (events[i].events & EPOLLIN) readable(c);
            else if (events[i].events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) drop(c);
            else if (events[i].events & EPOLLOUT) writable(c);
        }
        for (int left = 64; head && left && (head->closed || head->due <= now()); left--) turn();
    }
}
