/* The usual events of mover.py, in C: a frame that arrives and leaves at once, and bytes that wait for room.
 *
 * mover.py is the specification, and its Python code handles every other event: an end of stream, an error, urgent
 * data, a missing pipe, a direction that is discarded. For these, `run` returns the leg, and native.py calls the code
 * that the pure mover would have called. Nothing is called back from here while an event is handled, except
 * `CleanPipes.give`.
 *
 * One thread uses all of this. It holds the GIL whenever it touches an object, and releases it only while it waits. The
 * objects' state (`Leg`, `Tunnel`, `Pipe`) is shared with the Python code, which uses it by attributes.
 *
 * Invariants, as in mover.py: the journal's word is stored before a pipe is filled; a source is read only into a clean
 * pipe; a pipe that holds bytes is not in the list of clean ones; no descriptor is closed here.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <structmember.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#define FLAGS (SPLICE_F_NONBLOCK | SPLICE_F_MOVE)
#define BATCH 64 /* mover.py */
#define LONGEST_WAIT 86400.0 /* seconds */

/* A build for tests calls a function before and after each store and system call, which may end the process there. */
#ifdef SPLICER_STEPS
static PyObject *step_hook;
static void step(void) {
  if (step_hook) Py_XDECREF(PyObject_CallNoArgs(step_hook));
}
#else
#define step() ((void)0)
#endif

/* ---- state that Python shares ---- */

typedef struct {
  PyObject_HEAD
  int read_fd, write_fd, place, size;
} Pipe;

typedef struct {
  PyObject_HEAD
  double last;
} Tunnel;

typedef struct Leg {
  PyObject_HEAD
  PyObject *peer, *tunnel, *pipe;
  long long parked, total;
  unsigned long long word;
  int fd, mask;
  char eof, over, discard, starved, plain;
} Leg;

static PyMemberDef pipe_members[] = {
    {"read_fd", T_INT, offsetof(Pipe, read_fd), 0, NULL},
    {"write_fd", T_INT, offsetof(Pipe, write_fd), 0, NULL},
    {"place", T_INT, offsetof(Pipe, place), 0, NULL},
    {"size", T_INT, offsetof(Pipe, size), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};
static PyMemberDef tunnel_members[] = {
    {"last", T_DOUBLE, offsetof(Tunnel, last), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};
static PyMemberDef leg_members[] = {
    {"peer", T_OBJECT_EX, offsetof(Leg, peer), 0, NULL},
    {"tunnel", T_OBJECT_EX, offsetof(Leg, tunnel), 0, NULL},
    {"pipe", T_OBJECT, offsetof(Leg, pipe), 0, NULL},
    {"parked", T_LONGLONG, offsetof(Leg, parked), 0, NULL},
    {"total", T_LONGLONG, offsetof(Leg, total), 0, NULL},
    {"word", T_ULONGLONG, offsetof(Leg, word), 0, NULL},
    {"fd", T_INT, offsetof(Leg, fd), 0, NULL},
    {"mask", T_INT, offsetof(Leg, mask), 0, NULL},
    {"eof", T_BOOL, offsetof(Leg, eof), 0, NULL},
    {"over", T_BOOL, offsetof(Leg, over), 0, NULL},
    {"discard", T_BOOL, offsetof(Leg, discard), 0, NULL},
    {"starved", T_BOOL, offsetof(Leg, starved), 0, NULL},
    {"plain", T_BOOL, offsetof(Leg, plain), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static void free_object(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
  Py_DECREF(type);
}
static int leg_traverse(Leg *leg, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE((PyObject *)leg));
  Py_VISIT(leg->peer);
  Py_VISIT(leg->tunnel);
  Py_VISIT(leg->pipe);
  return 0;
}
static int leg_clear(Leg *leg) {
  Py_CLEAR(leg->peer);
  Py_CLEAR(leg->tunnel);
  Py_CLEAR(leg->pipe);
  return 0;
}
static void leg_dealloc(Leg *leg) {
  PyObject_GC_UnTrack(leg);
  leg_clear(leg);
  free_object((PyObject *)leg);
}

#define SHARED (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE)
static PyType_Slot pipe_slots[] = {
    {Py_tp_doc, "The descriptors of a pipe: see pipes.py."},
    {Py_tp_dealloc, free_object},
    {Py_tp_members, pipe_members},
    {0, NULL},
};
static PyType_Slot tunnel_slots[] = {
    {Py_tp_doc, "What a mover changes of a tunnel: see tunnel.py."},
    {Py_tp_dealloc, free_object},
    {Py_tp_members, tunnel_members},
    {0, NULL},
};
static PyType_Slot leg_slots[] = {
    {Py_tp_doc, "What a mover uses of a leg: see tunnel.py."},
    {Py_tp_dealloc, leg_dealloc},
    {Py_tp_traverse, leg_traverse},
    {Py_tp_clear, leg_clear},
    {Py_tp_members, leg_members},
    {0, NULL},
};
static PyType_Spec pipe_spec = {"splicer.relay._mover.Pipe", sizeof(Pipe), 0, SHARED, pipe_slots};
static PyType_Spec tunnel_spec = {"splicer.relay._mover.Tunnel", sizeof(Tunnel), 0, SHARED, tunnel_slots};
static PyType_Spec leg_spec = {"splicer.relay._mover.Leg", sizeof(Leg), 0, SHARED | Py_TPFLAGS_HAVE_GC, leg_slots};
static PyTypeObject *pipe_type, *tunnel_type, *leg_type;

/* ---- the engine ---- */

/* Why `run` returns a leg; native.py has the same names. */
enum { MOVED, EVENT, READ_FAILED, WRITE_FAILED, WATCH_FAILED };

typedef struct {
  PyObject_HEAD
  PyObject *clean;   /* list of Pipe: CleanPipes.clean */
  PyObject *starved; /* list of Leg: Mover._starved */
  PyObject *give;    /* CleanPipes.give */
  Py_buffer buffer;
  _Atomic uint64_t *journal;
  Leg **legs; /* by descriptor; NULL: none */
  double now;
  struct epoll_event events[BATCH];
  long long batches;
  Leg *leg; /* of the event under way; borrowed */
  int epoll, invited, places, known, count, next, why, error, mask;
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

/* `Leg.wanted` and `Mover.watch`. */
static int watch(Engine *e, Leg *leg) {
  Leg *peer = (Leg *)leg->peer;
  int wanted = leg->eof || leg->over || leg->parked ? 0 : EPOLLIN;
  if (peer->parked && !peer->starved) wanted |= EPOLLOUT;
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

/* `Mover.drain`. */
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

/* `Mover._pass`. */
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
  if (!filled) return EVENT;
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

/* Waits for a batch; -1 with an exception. */
static int wait(Engine *e, double seconds) {
  int count, ms = seconds <= 0 ? 0 : (int)((seconds > LONGEST_WAIT ? LONGEST_WAIT : seconds) * 1000 + 0.999);
  e->next = e->count = 0;
  if (!ms) {
    count = epoll_wait(e->epoll, e->events, BATCH, 0);
  } else {
    Py_BEGIN_ALLOW_THREADS
    count = epoll_wait(e->epoll, e->events, BATCH, ms);
    Py_END_ALLOW_THREADS
  }
  if (count < 0) {
    if (errno != EINTR) {
      PyErr_SetFromErrno(PyExc_OSError);
      return -1;
    }
    return PyErr_CheckSignals();
  }
  e->count = count;
  e->batches += count > 0;
  return 0;
}

/* The rest of the batch. Returns a leg with which Python has to go on, borrowed; or NULL, maybe with an exception. */
static Leg *go_on(Engine *e) {
  while (e->next < e->count) {
    struct epoll_event *event = &e->events[e->next++];
    int fd = event->data.fd;
    Leg *leg = fd < e->known ? e->legs[fd] : NULL;
    if (!leg) { /* its tunnel ended earlier in this batch */
      if (fd == e->invited) {
        e->found = 1;
        e->batches -= e->count == 1; /* nothing of a tunnel's */
      }
      continue;
    }
    e->mask = (int)event->events;
    e->leg = leg;
    e->why = handle(e, leg, e->mask);
    if (e->why < 0) return NULL;
    if (e->why != MOVED) return e->leg;
  }
  return NULL;
}

/* A batch is handled as a whole before anything else: the caller may close descriptors after it. */
static PyObject *engine_run(Engine *e, PyObject *args) {
  double until;
  int once;
  if (!PyArg_ParseTuple(args, "ddp", &e->now, &until, &once)) return NULL;
  double offset = e->now - monotonic();
  if (once && !e->count && wait(e, 0)) return NULL;
  for (;;) {
    Leg *leg = go_on(e);
    if (leg) return Py_NewRef((PyObject *)leg);
    if (PyErr_Occurred()) return NULL;
    int handled = e->count;
    e->next = e->count = 0;
    if (e->found) {
      e->found = 0;
      Py_RETURN_TRUE;
    }
    if ((handled && (e->changed || PyList_Size(e->starved) > 0)) || e->now >= until || once) Py_RETURN_FALSE;
    if (wait(e, until - e->now)) return NULL;
    e->now = offset + monotonic();
  }
}

static int engine_set(Engine *e, PyObject *key, PyObject *leg) {
  long fd = PyLong_AsLong(key);
  if (fd == -1 && PyErr_Occurred()) return -1;
  if (fd < 0 || fd > 1 << 24 || (leg && !PyObject_TypeCheck(leg, leg_type))) {
    PyErr_SetString(PyExc_TypeError, "a descriptor and a leg are needed");
    return -1;
  }
  if (fd >= e->known) {
    if (!leg) return 0;
    size_t count = ((size_t)fd / 1024 + 1) * 1024;
    Leg **legs = realloc(e->legs, count * sizeof *legs);
    if (!legs) {
      PyErr_NoMemory();
      return -1;
    }
    memset(legs + e->known, 0, (count - (size_t)e->known) * sizeof *legs);
    e->legs = legs;
    e->known = (int)count;
  }
  PyObject *old = (PyObject *)e->legs[fd];
  e->legs[fd] = (Leg *)Py_XNewRef(leg);
  Py_XDECREF(old);
  return 0;
}

/* No journal any more: every event is Python's. */
static PyObject *engine_close(Engine *e, PyObject *none) {
  (void)none;
  e->places = 0;
  PyBuffer_Release(&e->buffer);
  Py_RETURN_NONE;
}

static PyObject *engine_get(Engine *e, PyObject *key) {
  long fd = PyLong_AsLong(key);
  if (fd == -1 && PyErr_Occurred()) return NULL;
  Leg *leg = fd >= 0 && fd < e->known ? e->legs[fd] : NULL;
  return Py_NewRef(leg ? (PyObject *)leg : Py_None);
}

static PyObject *engine_new(PyTypeObject *type, PyObject *args, PyObject *names) {
  int epoll;
  PyObject *words, *clean, *starved, *give;
  if (names || !PyArg_ParseTuple(args, "iOO!O!O", &epoll, &words, &PyList_Type, &clean, &PyList_Type, &starved, &give))
    return NULL;
  Engine *e = (Engine *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
  if (!e) return NULL;
  if (PyObject_GetBuffer(words, &e->buffer, PyBUF_WRITABLE)) {
    Py_DECREF(e);
    return NULL;
  }
  e->journal = e->buffer.buf;
  e->places = (int)(e->buffer.len / (Py_ssize_t)sizeof *e->journal);
  e->epoll = epoll;
  e->invited = -1;
  e->clean = Py_NewRef(clean);
  e->starved = Py_NewRef(starved);
  e->give = Py_NewRef(give);
  return (PyObject *)e;
}
static int engine_traverse(Engine *e, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE((PyObject *)e));
  Py_VISIT(e->clean);
  Py_VISIT(e->starved);
  Py_VISIT(e->give);
  for (int fd = 0; fd < e->known; fd++) Py_VISIT(e->legs[fd]);
  return 0;
}
static int engine_clear(Engine *e) {
  Py_CLEAR(e->clean);
  Py_CLEAR(e->starved);
  Py_CLEAR(e->give);
  for (int fd = 0; fd < e->known; fd++) Py_CLEAR(e->legs[fd]);
  return 0;
}
static void engine_dealloc(Engine *e) {
  PyObject_GC_UnTrack(e);
  engine_clear(e);
  PyBuffer_Release(&e->buffer);
  free(e->legs);
  free_object((PyObject *)e);
}

static PyMethodDef engine_methods[] = {
    {"run", (PyCFunction)(void (*)(void))engine_run, METH_VARARGS, "run(now, until, once)"},
    {"close", (PyCFunction)(void (*)(void))engine_close, METH_NOARGS, "Release the journal."},
    {"get", (PyCFunction)(void (*)(void))engine_get, METH_O, "The leg with this descriptor, or None."},
    {NULL, NULL, 0, NULL},
};
static PyMemberDef engine_members[] = {
    {"why", T_INT, offsetof(Engine, why), READONLY, NULL},
    {"error", T_INT, offsetof(Engine, error), READONLY, NULL},
    {"mask", T_INT, offsetof(Engine, mask), READONLY, NULL},
    {"now", T_DOUBLE, offsetof(Engine, now), READONLY, NULL},
    {"batches", T_LONGLONG, offsetof(Engine, batches), 0, NULL},
    {"invited", T_INT, offsetof(Engine, invited), 0, NULL},
    {"changed", T_BOOL, offsetof(Engine, changed), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};
static PyType_Slot engine_slots[] = {
    {Py_tp_doc, "Moves the bytes of the usual events: see native.py."},
    {Py_tp_new, engine_new},
    {Py_tp_dealloc, engine_dealloc},
    {Py_tp_traverse, engine_traverse},
    {Py_tp_clear, engine_clear},
    {Py_tp_methods, engine_methods},
    {Py_tp_members, engine_members},
    {Py_mp_ass_subscript, engine_set},
    {0, NULL},
};
static PyType_Spec engine_spec = {
    "splicer.relay._mover.Engine", sizeof(Engine), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, engine_slots,
};

/* ---- the module ---- */

#ifdef SPLICER_STEPS
static PyObject *set_step_hook(PyObject *module, PyObject *hook) {
  (void)module;
  Py_XDECREF(step_hook);
  step_hook = Py_NewRef(hook);
  Py_RETURN_NONE;
}
static PyMethodDef module_methods[] = {
    {"set_step_hook", set_step_hook, METH_O, "Call this before and after each store and system call."},
    {NULL, NULL, 0, NULL},
};
#else
static PyMethodDef module_methods[] = {{NULL, NULL, 0, NULL}};
#endif

static int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **type) {
  *type = (PyTypeObject *)PyType_FromSpec(spec);
  return *type ? PyModule_AddType(module, *type) : -1;
}

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "splicer.relay._mover", "The usual events of mover.py, in C.", -1, module_methods,
    NULL, NULL, NULL, NULL,
};
PyMODINIT_FUNC PyInit__mover(void) {
  PyTypeObject *engine_type;
  PyObject *module = PyModule_Create(&definition);
  if (!module) return NULL;
  if (add_type(module, &pipe_spec, &pipe_type) || add_type(module, &tunnel_spec, &tunnel_type) ||
      add_type(module, &leg_spec, &leg_type) || add_type(module, &engine_spec, &engine_type)) {
    Py_DECREF(module);
    return NULL;
  }
  return module;
}
