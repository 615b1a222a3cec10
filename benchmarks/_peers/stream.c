/* The load of benchmarks/gateway.py on streams: sends the same request on each connection and reads its events.

     stream PORT REQUEST CONNECTIONS TOKENS RATE SECONDS RAMP AGAIN

   REQUEST is a file with the bytes of one request. TOKENS are expected in each stream, RATE of them a second (0: as fast
   as they come). Connections begin one after the other within RAMP seconds. With AGAIN 1 each sends the next request
   when a stream ends, until SECONDS are over; else it ends with its stream, or with the time, whichever is first.
   A token's text says when the upstream wrote it (see upstream.c), so `transit` is what lies between. A chunk is on time
   if it is here within 50 ms of when it is due: the first one's writing plus its number divided by RATE. Chunks that were
   due and did not come are late. Chunks of the ramp are left out of both.
   Prints JSON; times in milliseconds. Linux only. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READ = 1 << 17, LINE = 1 << 14, LATE_MS = 50 };
enum { HEAD, SIZE, DATA, AFTER, TRAILER };     /* where in the response the next byte is */

typedef struct { double *at; size_t n, room; } series;

typedef struct conn {
    int fd, part, done, over;
    size_t line, left;                         /* bytes of the line that is begun; bytes left of the chunk */
    long got;                                  /* tokens of this stream */
    double began, base;                        /* seconds: when the request was sent; when its first token was written */
    char text[LINE];
} conn;

static series transit, first;
static long tokens, streams, all, errors, due, on_time;
static double rate, started, until, counted_from;
static int again, running;
static char request[1 << 16], fault[512];
static size_t request_length;

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static void add(series *s, double value) {
    if (s->n == s->room) s->at = realloc(s->at, (s->room = s->room ? 2 * s->room : 4096) * sizeof *s->at);
    s->at[s->n++] = value;
}

static int order(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A percentile in milliseconds; without samples it is null. */
static const char *share(series *s, double part) {
    static char said[8][32];
    static int turn;
    char *here = said[turn++ % 8];
    if (s->n) snprintf(here, 32, "%.4f", s->at[(size_t)(part * (s->n - 1))] * 1e3);
    else strcpy(here, "null");
    return here;
}

static void wrong(conn *c, const char *what) {
    if (!errors++) snprintf(fault, sizeof fault, "%s: %.300s", what, c->text);
    for (char *at = fault; *at; at++) if (*at == '"' || *at == '\\' || (unsigned char)*at < 32) *at = '\'';
    if (!c->over) { c->over = 1; close(c->fd); running--; }
}

static void ask(conn *c) {
    c->part = HEAD;
    c->line = c->left = c->got = c->done = 0;
    c->began = now();
    if (send(c->fd, request, request_length, MSG_NOSIGNAL) != (ssize_t)request_length) wrong(c, "cannot send");
}

/* Of a stream's chunks that were due between the end of the ramp and `end`, how many there are. */
static void owed(conn *c, double end) {
    double base = c->base ? c->base : c->began;
    for (long i = 0; rate && i < tokens; i++) {
        double at = base + i / rate;
        if (at >= counted_from && at + LATE_MS / 1e3 < end) due++;
    }
}

static void ended(conn *c) {
    if (!c->done) { wrong(c, "the stream ended without [DONE]"); return; }
    if (c->got != tokens) { wrong(c, "tokens are missing"); return; }
    streams++;
    owed(c, until);
    c->base = 0;
    if (again && now() < until) { ask(c); return; }
    c->over = 1;
    close(c->fd);
    running--;
}

static void token(conn *c, const char *word) {
    uint64_t stamp = 0;
    for (int i = 0; i < 13; i++) {
        if (word[i] < 'a' || word[i] > 'p') { wrong(c, "a token was changed"); return; }
        stamp = stamp << 4 | (uint64_t)(word[i] - 'a');
    }
    double written = stamp / 1e6, here = now();
    if (!c->got) { c->base = written; add(&first, here - c->began); }
    double planned = c->base + (rate ? c->got / rate : 0);
    c->got++;
    all++;
    if (planned < counted_from) return;
    add(&transit, here - written);
    if (rate && planned + LATE_MS / 1e3 < until && here - planned <= LATE_MS / 1e3) on_time++;
}

static void event(conn *c) {
    char *data = c->text + 5;
    c->text[c->line] = 0;
    if (strncmp(c->text, "data:", 5)) return;
    if (strstr(data, "[DONE]")) { c->done = 1; return; }
    char *delta = strstr(data, "\"delta\""), *content = delta ? strstr(delta, "\"content\"") : NULL;
    if (strstr(data, "\"error\"")) { wrong(c, "an error event"); return; }
    if (!content) return;
    char *word = content + 9;
    while (*word == ' ' || *word == ':') word++;
    if (*word != '"' || word[1] == '"') return;      /* null, or the empty text of the first event */
    token(c, word + 1 + (word[1] == ' '));
}

static void heading(conn *c) {
    c->text[c->line] = 0;
    if (!strncmp(c->text, "HTTP/1.", 7) && strncmp(c->text + 9, "200", 3)) wrong(c, "not 200");
    else if (!strcasestr(c->text, "\ntransfer-encoding: chunked")) wrong(c, "not chunked");
    c->part = SIZE;
    c->line = 0;
}

/* Takes the bytes of a response apart: head, then the size line and the data of each chunk. */
static void take(conn *c, const char *at, const char *end) {
    while (at < end && !c->over) {
        if (c->part == DATA) {
            size_t n = (size_t)(end - at) < c->left ? (size_t)(end - at) : c->left;
            const char *newline = memchr(at, '\n', n);
            if (newline) n = newline - at + 1;
            if (c->line + n >= LINE) { wrong(c, "a long line"); return; }
            memcpy(c->text + c->line, at, n);
            c->line += n;
            c->left -= n;
            at += n;
            if (newline) { event(c); c->line = 0; }
            if (!c->left) c->part = AFTER;
            continue;
        }
        char byte = *at++;
        if (c->part == HEAD) {
            if (c->line + 1 >= LINE) { wrong(c, "a long head"); return; }
            c->text[c->line++] = byte;
            if (c->line > 3 && !memcmp(c->text + c->line - 4, "\r\n\r\n", 4)) heading(c);
        } else if (c->part == AFTER) {
            if (byte == '\n') c->part = SIZE;
        } else if (c->part == SIZE) {
            if (byte == '\n') c->part = c->left ? DATA : TRAILER;
            else if (byte != '\r') c->left = c->left * 16 + (byte <= '9' ? byte - '0' : (byte | 32) - 'a' + 10);
        } else if (byte == '\n') {
            ended(c);
        }
    }
}

static void readable(conn *c) {
    static char buffer[READ];
    ssize_t n = recv(c->fd, buffer, READ, 0);
    if (n > 0) take(c, buffer, buffer + n);
    else if (n == 0 || errno != EAGAIN) wrong(c, "the connection was closed");
}

static void opened(conn *c, int epoll, struct sockaddr_in *at) {
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    running++;
    if (connect(c->fd, (struct sockaddr *)at, sizeof *at)) { wrong(c, "cannot connect"); return; }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event want = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &want);
    ask(c);
}

static void print(double seconds) {
    qsort(transit.at, transit.n, sizeof *transit.at, order);
    qsort(first.at, first.n, sizeof *first.at, order);
    printf("{\"streams\": %ld, \"chunks\": %ld, \"seconds\": %.3f, \"errors\": %ld, \"first_error\": \"%s\", "
           "\"due\": %ld, \"on_time\": %ld, "
           "\"first_ms\": {\"p50\": %s, \"p99\": %s}, \"transit_ms\": {\"p50\": %s, \"p99\": %s, \"max\": %s}}\n",
           streams, all, seconds, errors, fault, due, on_time, share(&first, 0.5), share(&first, 0.99),
           share(&transit, 0.5), share(&transit, 0.99), share(&transit, 1));
}

int main(int argc, char **argv) {
    if (argc != 9) { fprintf(stderr, "usage: stream PORT REQUEST CONNECTIONS TOKENS RATE SECONDS RAMP AGAIN\n"); return 2; }
    FILE *file = fopen(argv[2], "rb");
    if (!file) { perror(argv[2]); return 1; }
    request_length = fread(request, 1, sizeof request, file);
    int connections = atoi(argv[3]), epoll = epoll_create1(0);
    double seconds = atof(argv[6]), ramp = atof(argv[7]);
    tokens = atol(argv[4]);
    rate = atof(argv[5]);
    again = atoi(argv[8]);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    conn *conns = calloc(connections, sizeof *conns);
    struct epoll_event events[256];
    started = now();
    until = started + seconds;
    counted_from = started + ramp;
    for (int begun = 0; now() < until + 2 && (begun < connections || running);) {
        while (begun < connections && now() >= started + ramp * begun / connections) opened(&conns[begun++], epoll, &at);
        int n = epoll_wait(epoll, events, 256, begun < connections ? 1 : 20);
        for (int i = 0; i < n; i++) if (!((conn *)events[i].data.ptr)->over) readable(events[i].data.ptr);
        if (!again && now() >= until) break;
    }
    double took = now() - started;
    for (int i = 0; i < connections; i++) if (!conns[i].over) owed(&conns[i], until);
    print(took);
    return 0;
}
