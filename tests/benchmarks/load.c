/*
 * Scrapes an HTTP server: load HOST PORT PATH CONNECTIONS SECONDS INTERVAL_MS [same]
 *
 * Each connection asks again as soon as it has its answer, or, with an interval, once in that time. Connections stay
 * open where the server lets them. Every answer is looked at: its status, its length, that it begins with a comment
 * and ends with a line, and with "same" that it is, byte for byte, the first one. Prints what came of it as JSON.
 *
 * In C, so that it takes little of the machine and is faster than what it measures.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST_CONNECTIONS 256

struct client {
    int socket;
    char *answer;
    size_t got, room, head, length; /* length: of the body, or SIZE_MAX until the server closes */
    int closes, chunked, asked;
    double due, since;
};

static struct client clients[MOST_CONNECTIONS];
static struct sockaddr_in address;
static char request[1024];
static char *first;
static size_t first_length;
static int same, epoll;
static double interval;
static double *latencies;
static size_t scrapes, room, bad, connects;
static unsigned long long bytes;

static double now(void)
{
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return moment.tv_sec + moment.tv_nsec / 1e9;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void open_socket(struct client *client)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    int one = 1;

    client->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->socket < 0 || connect(client->socket, (struct sockaddr *)&address, sizeof address) != 0)
        fail("load: connect");
    setsockopt(client->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(client->socket, F_SETFL, O_NONBLOCK);
    epoll_ctl(epoll, EPOLL_CTL_ADD, client->socket, &event);
    connects++;
}

static void ask(struct client *client)
{
    client->since = now();
    client->got = client->head = 0;
    client->length = SIZE_MAX;
    client->closes = client->chunked = 0;
    client->asked = 1;
    if (client->socket < 0)
        open_socket(client);
    if (send(client->socket, request, strlen(request), MSG_NOSIGNAL) < 0)
        fail("load: send");
}

static void hang_up(struct client *client)
{
    close(client->socket);
    client->socket = -1;
}

static int good(const struct client *client)
{
    const char *body = client->answer + client->head;
    size_t length = client->got - client->head;

    if (strncmp(client->answer, "HTTP/1.", 7) != 0 || strncmp(client->answer + 8, " 200", 4) != 0)
        return 0;
    if (length < 2 || body[0] != '#' || body[length - 1] != '\n')
        return 0;
    if (client->length != SIZE_MAX && length != client->length)
        return 0;
    if (!same)
        return 1;
    if (first == NULL) {
        first = malloc(length);
        memcpy(first, body, length);
        first_length = length;
    }
    return length == first_length && memcmp(body, first, length) == 0;
}

/* Put the parts of a chunked body (RFC 9112, section 7.1) together. */
static void join(struct client *client)
{
    char *from = client->answer + client->head, *to = from, *end = client->answer + client->got;

    while (from < end) {
        size_t length = strtoull(from, &from, 16);
        from += 2;
        if (length == 0 || length > (size_t)(end - from))
            break;
        memmove(to, from, length);
        to += length;
        from += length + 2;
    }
    client->got = to - client->answer;
}

static void done(struct client *client)
{
    double moment = now();

    if (client->chunked)
        join(client);

    if (scrapes == room) {
        room = room ? 2 * room : 4096;
        latencies = realloc(latencies, room * sizeof *latencies);
    }
    latencies[scrapes++] = moment - client->since;
    bytes += client->got;
    bad += !good(client);
    client->asked = 0;
    if (client->closes)
        hang_up(client);
    client->due = interval > 0 ? client->due + interval : 0;
}

static void read_head(struct client *client)
{
    char *end, *field;

    client->answer[client->got] = '\0';
    if ((end = strstr(client->answer, "\r\n\r\n")) == NULL)
        return;
    client->head = end + 4 - client->answer;
    *end = '\0';
    if ((field = strcasestr(client->answer, "\r\nContent-Length:")) != NULL)
        client->length = strtoull(field + 17, NULL, 10);
    client->chunked = strcasestr(client->answer, "\r\nTransfer-Encoding: chunked") != NULL;
    client->closes = strncmp(client->answer, "HTTP/1.1", 8) != 0 || strcasestr(client->answer, "\r\nConnection: close");
    *end = '\r';
}

static int whole(const struct client *client)
{
    static const char last[] = "\r\n0\r\n\r\n";
    size_t length = sizeof last - 1;

    if (client->head == 0)
        return 0;
    if (client->chunked)
        return client->got >= client->head + length &&
               memcmp(client->answer + client->got - length, last, length) == 0;
    return client->length != SIZE_MAX && client->got >= client->head + client->length;
}

static void receive(struct client *client)
{
    for (;;) {
        if (client->room - client->got < 65536) {
            client->room = client->room ? 2 * client->room : 1 << 20;
            client->answer = realloc(client->answer, client->room);
        }
        ssize_t came = recv(client->socket, client->answer + client->got, client->room - client->got - 1, 0);
        if (came < 0 && errno == EAGAIN)
            return;
        if (came < 0)
            fail("load: recv");
        if (came == 0) { /* also of a connection that rests */
            client->closes = 1;
            if (client->asked && client->got == 0) { /* it was closed while this asked: that is the server's right */
                hang_up(client);
                ask(client);
            } else if (client->asked) {
                done(client);
            } else {
                hang_up(client);
            }
            return;
        }
        client->got += came;
        if (client->head == 0)
            read_head(client);
        if (whole(client)) {
            done(client);
            return;
        }
    }
}

static int compare(const void *left, const void *right)
{
    double difference = *(const double *)left - *(const double *)right;
    return (difference > 0) - (difference < 0);
}

static double share(double part)
{
    size_t place = part * scrapes;
    return scrapes ? latencies[place < scrapes ? place : scrapes - 1] : 0;
}

int main(int argc, char **argv)
{
    if (argc < 7)
        return 2;
    int count = atoi(argv[4]);
    double seconds = atof(argv[5]), start = now(), end = start + seconds;
    struct rusage used;

    interval = atof(argv[6]) / 1000;
    same = argc > 7;
    address.sin_family = AF_INET;
    address.sin_port = htons(atoi(argv[2]));
    if (count < 1 || count > MOST_CONNECTIONS || inet_pton(AF_INET, argv[1], &address.sin_addr) != 1)
        return 2;
    snprintf(request, sizeof request,
             "GET %s HTTP/1.1\r\nHost: %s:%s\r\nUser-Agent: Prometheus/3.0.0\r\n"
             "Accept: text/plain;version=0.0.4;q=1,*/*;q=0.1\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n",
             argv[3], argv[1], argv[2]);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    srand(1);
    for (int i = 0; i < count; i++) {
        clients[i].socket = -1;
        clients[i].due = interval > 0 ? start + interval * (i + rand() / (double)RAND_MAX) / count : 0;
    }
    for (;;) {
        struct epoll_event events[MOST_CONNECTIONS];
        double moment = now(), next = end;
        int waiting = 0;

        for (int i = 0; i < count; i++) {
            struct client *client = &clients[i];
            if (!client->asked && moment < end && client->due <= moment)
                ask(client);
            waiting += client->asked;
            if (!client->asked && client->due < next)
                next = client->due;
        }
        if (moment >= end && (!waiting || moment > end + 30))
            break;
        int patience = moment >= end ? 1000 : (int)((next - moment) * 1000) + (next > moment);
        int happened = epoll_wait(epoll, events, MOST_CONNECTIONS, patience);
        for (int i = 0; i < happened; i++)
            receive(events[i].data.ptr);
    }
    seconds = now() - start;
    getrusage(RUSAGE_SELF, &used);
    qsort(latencies, scrapes, sizeof *latencies, compare);
    printf("{\"scrapes\": %zu, \"seconds\": %.6f, \"bytes\": %llu, \"bad\": %zu, \"connects\": %zu, "
           "\"p50\": %.6f, \"p99\": %.6f, \"longest\": %.6f, \"cpu\": %.6f}\n",
           scrapes, seconds, bytes, bad, connects, share(0.5), share(0.99), share(1),
           used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    return bad != 0;
}
