/* Frames at the pace of speech, one way, in both directions: the loop of bench/traffic/paced.py, which see.

   One thread is callers and pods at once. It sleeps until the next frame is due, sends it, and reads what has come.
   The kernel has written down when that was (SO_TIMESTAMPNS, socket(7)), so its own slowness is in no latency.

   A frame is its start (RFC 6455, section 5.2), its number (direction, call, position: 8 bytes), the time at which it
   was sent (nanoseconds of CLOCK_REALTIME, 8 bytes), and bytes that follow from its number. Each frame that comes is
   compared, whole, with what was sent. */

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TABLE 65536
#define MOST 65536         /* bytes of one read, and of one frame */
#define EVENTS 64          /* read between two frames */
#define LATE 0.001         /* seconds */
#define JITTER 0.002       /* seconds: the standard deviation of a caller's frames */
#define MOST_JITTER 0.008  /* seconds */
#define CLOCK_ERROR 1e-4   /* of a caller's or a pod's clock, at most, either way */
#define BURST 5            /* frames that a pod sends at once */
#define TALK 4.0           /* seconds that a pod speaks, and is silent */
#define GRACE 2.0          /* seconds without any frame after which those that have not come are missing */

enum pattern { EVEN, BURSTS, VOICE };

struct task {
    uint32_t calls;
    uint32_t size;         /* bytes of a frame, at most MOST */
    uint32_t pattern;
    uint32_t start_size[2];
    const uint8_t *start[2]; /* of callers' frames, and of pods' */
    const int32_t *fd[2];    /* of callers, and of pods: non-blocking, with SO_TIMESTAMPNS */
    double seconds;
    double rate;           /* frames a second of one caller */
    uint64_t seed;
    double *latencies;     /* seconds; there is room for so many: */
    uint64_t room;
};

struct told {
    uint64_t sent, came, late, missing, lost, damaged;
    double seconds, cpu;
    char why[128];
};

/* One direction of a call. `when` has the time of each frame that was sent. */
struct way {
    uint64_t *when;
    uint32_t sent, came, most, have;
    uint8_t *part;
};

struct call { struct way way[2]; int over; }; /* from the caller, from the pod */

/* A source of frames, in a heap by when the next one is due. */
struct stream {
    double next, base, period, phase;
    uint32_t call;
    int down;
};

struct load {
    const struct task *task;
    struct told *told;
    struct call *calls;
    struct stream *heap;
    uint32_t streams;
    uint64_t random;
    int epoll;
    uint8_t table[TABLE + MOST], frame[MOST], came[MOST];
};

static double seconds_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t nanoseconds(struct timespec t) { return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec; }

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return nanoseconds(t);
}

/* splitmix64: the same seed makes the same calls for every proxy. */
static uint64_t random_bits(struct load *load) {
    uint64_t z = load->random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u, z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static double uniform(struct load *load) { return ((double)(random_bits(load) >> 11) + 0.5) / 9007199254740992.0; }

static double jitter(struct load *load) {
    double normal = sqrt(-2 * log(uniform(load))) * cos(6.283185307179586 * uniform(load));
    return fmax(-MOST_JITTER, fmin(MOST_JITTER, normal * JITTER));
}

/* ---- frames ---- */

static void make_frame(struct load *load, uint32_t call, int down, uint32_t number) {
    const struct task *task = load->task;
    uint64_t name = (uint64_t)down << 63 | (uint64_t)call << 32 | number;
    uint8_t *to = load->frame;
    memcpy(to, task->start[down], task->start_size[down]);
    to += task->start_size[down];
    memcpy(to, &name, 8);
    memcpy(to + 8, &load->calls[call].way[down].when[number], 8);
    memcpy(to + 16, load->table + (name * 0x9e3779b97f4a7c15u >> 48), (size_t)(load->frame + task->size - (to + 16)));
}

static void lose(struct load *load, uint32_t number, const char *why, int error) {
    struct call *call = &load->calls[number];
    if (call->over) return;
    call->over = 1;
    load->told->lost++;
    const char *sign = error ? ": " : "", *reason = error ? strerror(error) : "";
    if (!*load->told->why) snprintf(load->told->why, sizeof load->told->why, "%s%s%s", why, sign, reason);
    for (int down = 0; down < 2; down++) epoll_ctl(load->epoll, EPOLL_CTL_DEL, load->task->fd[down][number], NULL);
}

static void send_frame(struct load *load, uint32_t number, int down) {
    struct call *call = &load->calls[number];
    struct way *way = &call->way[down];
    if (call->over || way->sent == way->most) return;
    way->when[way->sent] = now();
    make_frame(load, number, down, way->sent);
    ssize_t sent = send(load->task->fd[down][number], load->frame, load->task->size, MSG_NOSIGNAL);
    if (sent < 0) lose(load, number, "a frame could not be sent", errno);
    else if ((size_t)sent < load->task->size) lose(load, number, "a tunnel took no more", 0);
    else {
        way->sent++;
        load->told->sent++;
    }
}

/* A whole frame has come: is it the one that is due? */
static int judge(struct load *load, uint32_t number, int down, const uint8_t *frame, uint64_t when) {
    struct way *way = &load->calls[number].way[down];
    if (way->came < way->sent) make_frame(load, number, down, way->came);
    if (way->came >= way->sent || memcmp(frame, load->frame, load->task->size)) {
        load->told->damaged++;
        lose(load, number, "a frame is not what was sent", 0);
        return 0;
    }
    if (load->told->came < load->task->room)
        load->task->latencies[load->told->came] = ((double)when - (double)way->when[way->came]) * 1e-9;
    load->told->came++;
    way->came++;
    return 1;
}

static uint64_t arrival(struct msghdr *message) {
    for (struct cmsghdr *one = CMSG_FIRSTHDR(message); one; one = CMSG_NXTHDR(message, one))
        if (one->cmsg_level == SOL_SOCKET && one->cmsg_type == SO_TIMESTAMPNS) {
            struct timespec t;
            memcpy(&t, CMSG_DATA(one), sizeof t);
            return nanoseconds(t);
        }
    return now();
}

/* What comes out at the pod is what the caller sent, and the other way round. */
static void take(struct load *load, uint32_t number, int down) {
    struct way *way = &load->calls[number].way[down];
    const uint32_t size = load->task->size;
    char room[128];
    struct iovec into = {load->came, sizeof load->came};
    struct msghdr message = {.msg_iov = &into, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    ssize_t got = recvmsg(load->task->fd[!down][number], &message, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        lose(load, number, got ? "a tunnel failed" : "a tunnel was closed in the middle of the run", got ? errno : 0);
        return;
    }
    const uint64_t when = arrival(&message);
    for (uint32_t at = 0; at < (uint32_t)got;) {
        uint32_t some = size - way->have, left = (uint32_t)got - at;
        if (way->have || left < size) {
            some = some < left ? some : left;
            memcpy(way->part + way->have, load->came + at, some);
            way->have += some;
            at += some;
            if (way->have < size) return;
            way->have = 0;
            if (!judge(load, number, down, way->part, when)) return;
        } else {
            if (!judge(load, number, down, load->came + at, when)) return;
            at += size;
        }
    }
}

static void take_all(struct load *load, int milliseconds) {
    struct epoll_event events[EVENTS];
    int count = epoll_wait(load->epoll, events, EVENTS, milliseconds);
    for (int i = 0; i < count; i++) {
        uint32_t number = (uint32_t)(events[i].data.u64 >> 1);
        if (!load->calls[number].over) take(load, number, events[i].data.u64 & 1);
    }
}

/* ---- when frames are due ---- */

static void sift(struct load *load, uint32_t i) {
    struct stream *heap = load->heap;
    for (;;) {
        uint32_t least = i, left = 2 * i + 1, right = left + 1;
        if (left < load->streams && heap[left].next < heap[least].next) least = left;
        if (right < load->streams && heap[right].next < heap[least].next) least = right;
        if (least == i) return;
        struct stream one = heap[i];
        heap[i] = heap[least], heap[least] = one, i = least;
    }
}

static void plan(struct load *load, double begin) {
    const struct task *task = load->task;
    int voice = task->pattern == VOICE;
    double period = 1 / task->rate;
    for (uint32_t number = 0; number < task->calls; number++) {
        double share = voice ? uniform(load) : (number + 0.5) / task->calls;
        double error = voice ? 1 + (2 * uniform(load) - 1) * CLOCK_ERROR : 1;
        double first = begin + share * period;
        load->heap[load->streams++] = (struct stream){first, first, period * error, 0, number, 0};
        if (!voice) continue;
        error = 1 + (2 * uniform(load) - 1) * CLOCK_ERROR;
        double base = begin + uniform(load) * BURST * period, phase = uniform(load) * 2 * TALK;
        load->heap[load->streams++] = (struct stream){base, base, BURST * period * error, phase, number, 1};
    }
    for (uint32_t i = load->streams / 2 + 1; i-- > 0;) sift(load, i);
}

static void speak(struct load *load, struct stream *one, double begin) {
    if (!one->down) send_frame(load, one->call, 0);
    else if (fmod(one->base - begin + one->phase, 2 * TALK) < TALK)
        for (int i = 0; i < BURST; i++) send_frame(load, one->call, 1);
    one->base += one->period;
    one->next = one->base + (load->task->pattern == VOICE && !one->down ? jitter(load) : 0);
    sift(load, 0);
}

static void sleep_until(double when) {
    struct timespec t = {(time_t)when, (long)((when - floor(when)) * 1e9)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/* In bursts, all frames of a millisecond leave at its end. */
static double next_due(const struct load *load) {
    double due = load->heap[0].next;
    return load->task->pattern == BURSTS ? ceil(due * 1000) / 1000 : due;
}

/* All frames that are due before the end are sent, however late: everybody gets the same. */
static void run(struct load *load, double begin) {
    double end = begin + load->task->seconds;
    while (load->heap[0].next < end) {
        double due = next_due(load), time = seconds_of(CLOCK_MONOTONIC);
        if (due > time) {
            sleep_until(due);
            time = seconds_of(CLOCK_MONOTONIC);
        }
        for (; load->heap[0].next < end && due <= time; due = next_due(load)) {
            if (time - due > LATE) load->told->late++;
            speak(load, load->heap, begin);
        }
        take_all(load, 0);
    }
}

static int settled(struct load *load) {
    for (uint32_t i = 0; i < load->task->calls; i++)
        for (int down = 0; down < 2 && !load->calls[i].over; down++)
            if (load->calls[i].way[down].came < load->calls[i].way[down].sent) return 0;
    return 1;
}

/* Wait for the last frames: a proxy that is behind is slow, and has lost nothing. */
static void settle(struct load *load) {
    double until = seconds_of(CLOCK_MONOTONIC) + GRACE;
    while (!settled(load) && seconds_of(CLOCK_MONOTONIC) < until) {
        uint64_t before = load->told->came;
        take_all(load, 10);
        if (load->told->came > before) until = seconds_of(CLOCK_MONOTONIC) + GRACE;
    }
}

/* ---- memory, and what is told ---- */

static int furnish(struct load *load) {
    const struct task *task = load->task;
    uint32_t most = (uint32_t)(task->seconds * task->rate * 1.01) + 4 * BURST;
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    load->calls = calloc(task->calls, sizeof *load->calls);
    load->heap = calloc(2 * (size_t)task->calls, sizeof *load->heap);
    if (load->epoll < 0 || !load->calls || !load->heap) return -1;
    for (uint32_t i = 0; i < TABLE + MOST; i++) load->table[i] = (uint8_t)random_bits(load);
    for (uint32_t i = 0; i < task->calls; i++)
        for (int down = 0; down < 2; down++) {
            struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)i << 1 | (uint64_t)down};
            struct way *way = &load->calls[i].way[down];
            way->most = most;
            if (!(way->when = malloc(most * sizeof *way->when)) || !(way->part = malloc(task->size))) return -1;
            if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, task->fd[!down][i], &event)) return -1;
        }
    return 0;
}

static void clear(struct load *load) {
    for (uint32_t i = 0; load->calls && i < load->task->calls; i++)
        for (int down = 0; down < 2; down++) {
            struct way *way = &load->calls[i].way[down];
            if (!load->calls[i].over) load->told->missing += way->sent - way->came;
            free(way->when);
            free(way->part);
        }
    if (load->epoll >= 0) close(load->epoll);
    free(load->calls), free(load->heap), free(load);
}

/* Send for as long as the task says, and wait for the last frames; -1, with errno: there is no memory, or no epoll. */
int paced(const struct task *task, struct told *told) {
    struct load *load = calloc(1, sizeof *load);
    if (!load) return -1;
    load->task = task;
    load->told = told;
    load->random = task->seed;
    int failed = furnish(load), error = errno;
    if (!failed) {
        double begin = seconds_of(CLOCK_MONOTONIC), cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
        plan(load, begin);
        run(load, begin);
        told->seconds = seconds_of(CLOCK_MONOTONIC) - begin;
        told->cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
        settle(load);
    }
    clear(load), errno = error;
    return failed;
}
