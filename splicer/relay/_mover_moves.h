/* Moving the bytes of one event: what directions.py does with them in the usual case. */
#ifndef SPLICER_MOVER_MOVES_H
#define SPLICER_MOVER_MOVES_H
#include "_mover_objects.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <time.h>

#define FLAGS (SPLICE_F_NONBLOCK | SPLICE_F_MOVE)
#define BATCH 64 /* mover.py */

/* A build for tests calls a function before and after each store and system call, which may end the process there. */
#ifdef SPLICER_STEPS
static PyObject *step_hook;
static void step(void) {
  if (step_hook) Py_XDECREF(PyObject_CallNoArgs(step_hook));
}
#else
#define step() ((void)0)
#endif

/* Why `run` returns a leg; native.py has the same names. */
enum { MOVED, EVENT, READ_FAILED, WRITE_FAILED, WATCH_FAILED, END };

typedef struct {
  PyObject_HEAD
  PyObject *clean;   /* list of Pipe: CleanPipes.clean */
  PyObject *starved; /* list of Leg: Mover._starved */
  PyObject *give;    /* CleanPipes.give */
  PyObject *turn;    /* called by `turn_if_due`; NULL: nothing is */
  Py_buffer buffer, beat;
  _Atomic uint64_t *journal;
  Leg **legs; /* by descriptor; NULL: none */
  double now, looked, delay; /* when it looked for events last, by CLOCK_MONOTONIC; how long frames may wait */
  struct epoll_event events[BATCH];
  long long batches;
  Leg *leg; /* of the event under way; borrowed */
  int epoll, invited, places, known, live, count, next, why, error, mask;
  char found, changed; /* in this batch: the invited epoll has events; a pipe was taken or given back */
} Engine;

static double monotonic(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int fail(Engine *e, int why) {
  e->error = errno;
  return why;
}

/* `Leg.wanted` and `Directions.watch`. */
static int watch(Engine *e, Leg *leg) {
  Leg *peer = (Leg *)leg->peer;
  int wanted = leg->eof || leg->over || leg->parked ? 0 : EPOLLIN;
  if (peer && peer->parked && !peer->starved) wanted |= EPOLLOUT;
  if (wanted == leg->mask) return MOVED;
  struct epoll_event event = {.events = (uint32_t)wanted, .data.u64 = (uint64_t)leg->fd};
  int how = !wanted ? EPOLL_CTL_DEL : leg->mask ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  if (epoll_ctl(e->epoll, how, leg->fd, &event)) return fail(e, WATCH_FAILED);
  leg->mask = wanted;
  return MOVED;
}
static int watch_both(Engine *e, Leg *leg) {
  int why = watch(e, leg);
  return why ? why : watch(e, (Leg *)leg->peer);
}

static void count_bytes(Engine *e, Leg *leg, ssize_t bytes) {
  leg->total += bytes;
  ((Tunnel *)leg->tunnel)->last = e->now;
}

/* The pipe of the leg, if the leg is one whose bytes may be moved here. */
static Pipe *pipe_of(Leg *leg) {
  return leg->pipe && PyObject_TypeCheck(leg->pipe, pipe_type) ? (Pipe *)leg->pipe : NULL;
}

/* `Directions.drain`. */
static int drain(Engine *e, Leg *leg) {
  Pipe *pipe = pipe_of(leg);
  Leg *peer = (Leg *)leg->peer;
  if (!pipe || leg->discard) return EVENT;
  step();
  ssize_t bytes = splice(pipe->read_fd, NULL, peer->fd, NULL, (size_t)leg->parked, FLAGS);
  step();
  if (bytes < 0) return errno == EAGAIN ? MOVED : fail(e, WRITE_FAILED);
  leg->parked -= bytes;
  count_bytes(e, leg, bytes);
  if (leg->parked) return MOVED;
  PyObject *given = PyObject_CallFunctionObjArgs(e->give, leg->pipe, NULL);
  if (!given) return -1;
  Py_DECREF(given);
  Py_CLEAR(leg->pipe);
  e->changed = 1;
  return peer->mask & (int)EPOLLOUT ? watch_both(e, leg) : MOVED;
}

/* The clean pipe that is used next: the last one of the list. Borrowed. */
static Pipe *clean_pipe(Engine *e) {
  Py_ssize_t count = PyList_Size(e->clean);
  PyObject *pipe = count > 0 ? PyList_GetItem(e->clean, count - 1) : NULL;
  return pipe && PyObject_TypeCheck(pipe, pipe_type) ? (Pipe *)pipe : NULL;
}

/* Takes `pipe`, the last of the clean ones, for the leg's bytes. */
static int park(Engine *e, Leg *leg, Pipe *pipe, ssize_t bytes) {
  Py_ssize_t count = PyList_Size(e->clean);
  Py_XDECREF(leg->pipe);
  leg->pipe = Py_NewRef((PyObject *)pipe);
  leg->parked = bytes;
  e->changed = 1;
  return PyList_SetSlice(e->clean, count - 1, count, NULL);
}

/* `Directions._pass`. */
static int pass(Engine *e, Leg *leg) {
  Pipe *pipe = clean_pipe(e);
  Leg *peer = (Leg *)leg->peer;
  if (!pipe || leg->discard || pipe->place < 0 || pipe->place >= e->places) return EVENT;
  step();
  atomic_store_explicit(&e->journal[pipe->place], leg->word, memory_order_release);
  step();
  ssize_t filled = splice(leg->fd, NULL, pipe->write_fd, NULL, (size_t)pipe->size, FLAGS);
  step();
  if (filled < 0) return errno == EAGAIN ? EVENT : fail(e, READ_FAILED);
  if (!filled) return END;
  ssize_t sent = splice(pipe->read_fd, NULL, peer->fd, NULL, (size_t)filled, FLAGS);
  int why = sent >= 0 ? MOVED : errno == EAGAIN ? (sent = 0, MOVED) : fail(e, WRITE_FAILED);
  step();
  if (why) return park(e, leg, pipe, filled) ? -1 : why;
  if (sent) count_bytes(e, leg, sent);
  if (sent == filled) return MOVED;
  if (park(e, leg, pipe, filled - sent)) return -1;
  return watch_both(e, leg);
}

/* One event, as in `Mover._handle`. Returns why Python has to go on with it, or -1 with an exception. */
static int handle(Engine *e, Leg *leg, int mask) {
  Leg *peer = (Leg *)leg->peer;
  if (leg->plain || !peer || !leg->tunnel) return EVENT;
  if (peer->parked && mask != EPOLLIN) {
    int why = drain(e, peer);
    if (why > EVENT) e->leg = peer;
    if (why) return why;
  }
  if (leg->parked || leg->eof || mask == EPOLLOUT) return MOVED;
  return pass(e, leg);
}

#endif
