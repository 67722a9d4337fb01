/* A model server for the benchmark: answers every POST at once, or as a stream paced at 5 ms an event.
 *
 *   cc -O2 -o llm_upstream llm_upstream.c && ./llm_upstream PORT
 *
 * One thread, epoll, keep-alive; it reads Content-Length bodies and looks for `"stream":true` in them.
 * Native so that the upstream's own cost stays small beside what is measured.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 20, PACE_US = 5000, ROOM = 1 << 20, MOST = 4096 };

struct peer {
    int fd;
    size_t held;
    int left;          /* events of a stream still to be sent */
    long long due;     /* when the next one is, in microseconds */
    char *in;
};

static struct peer *peers[MOST];
static int streaming;

static const char *PLAIN =
    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"bench-model\","
    "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
    "\"The refund was sent on Monday and will be with the customer within three working days.\"},"
    "\"finish_reason\":\"stop\"}],"
    "\"usage\":{\"prompt_tokens\":420,\"completion_tokens\":18,\"total_tokens\":438}}";
static const char *EVENT =
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"bench-model\","
    "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" refund\"},\"finish_reason\":null}]}\n\n";
static const char *LAST =
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"bench-model\","
    "\"choices\":[],\"usage\":{\"prompt_tokens\":420,\"completion_tokens\":20,\"total_tokens\":440}}\n\n"
    "data: [DONE]\n\n";

static long long now_us(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000LL + at.tv_nsec / 1000;
}

static void put(struct peer *peer, const char *text, size_t length) {
    while (length) {
        ssize_t sent = send(peer->fd, text, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) continue;
        if (sent <= 0) return;
        text += sent;
        length -= (size_t)sent;
    }
}

static void chunk(struct peer *peer, const char *text) {
    char framed[2048];
    int length = snprintf(framed, sizeof framed, "%zx\r\n%s\r\n", strlen(text), text);
    put(peer, framed, (size_t)length);
}

static void forget(struct peer *peer) {
    if (peer->left) streaming--;
    peers[peer->fd] = NULL;
    close(peer->fd);
    free(peer->in);
    free(peer);
}

static void answer(struct peer *peer, const char *body, size_t length) {
    if (memmem(body, length, "\"stream\":true", 13) || memmem(body, length, "\"stream\": true", 14)) {
        static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                   "Transfer-Encoding: chunked\r\n\r\n";
        put(peer, head, sizeof head - 1);
        chunk(peer, EVENT);
        peer->left = EVENTS - 1;
        peer->due = now_us() + PACE_US;
        streaming++;
        return;
    }
    char reply[2048];
    int size = snprintf(reply, sizeof reply,
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                        strlen(PLAIN), PLAIN);
    put(peer, reply, (size_t)size);
}

/* Answer every whole request that was received. */
static void serve(struct peer *peer) {
    for (;;) {
        char *end = memmem(peer->in, peer->held, "\r\n\r\n", 4);
        if (!end) return;
        size_t head = (size_t)(end - peer->in) + 4, length = 0;
        *end = 0;
        char *field = strcasestr(peer->in, "\r\ncontent-length:");
        if (field) length = strtoul(field + 17, NULL, 10);
        *end = '\r';
        if (peer->held < head + length) return;
        answer(peer, peer->in + head, length);
        peer->held -= head + length;
        memmove(peer->in, peer->in + head + length, peer->held);
    }
}

static void pace(void) {
    long long now = now_us();
    for (int fd = 0; fd < MOST; fd++) {
        struct peer *peer = peers[fd];
        if (!peer || !peer->left || peer->due > now) continue;
        peer->due += PACE_US;
        if (--peer->left) {
            chunk(peer, EVENT);
        } else {
            chunk(peer, LAST);
            put(peer, "0\r\n\r\n", 5);
            streaming--;
        }
    }
}

int main(int count, char **given) {
    if (count != 2) return 2;
    int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poll = epoll_create1(0);
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(given[1]))};
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&place, sizeof place) || listen(listener, 512)) return 1;
    struct epoll_event wanted = {.events = EPOLLIN, .data.fd = listener}, ready[256];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &wanted);
    for (;;) {
        int found = epoll_wait(poll, ready, 256, streaming ? 1 : -1);
        for (int index = 0; index < found; index++) {
            int fd = ready[index].data.fd;
            if (fd == listener) {
                int near = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (near < 0 || near >= MOST) { if (near >= 0) close(near); continue; }
                setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                struct peer *peer = calloc(1, sizeof *peer);
                peer->fd = near;
                peer->in = malloc(ROOM);
                peers[near] = peer;
                struct epoll_event more = {.events = EPOLLIN, .data.fd = near};
                epoll_ctl(poll, EPOLL_CTL_ADD, near, &more);
                continue;
            }
            struct peer *peer = peers[fd];
            if (!peer) continue;
            ssize_t got = recv(fd, peer->in + peer->held, ROOM - peer->held, 0);
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) { forget(peer); continue; }
            peer->held += (size_t)got;
            serve(peer);
        }
        if (streaming) pace();
    }
}
