/* The usual events of mover.py, in C: a frame that arrives and leaves at once, and bytes that wait for room.
 *
 * mover.py and directions.py are the specification, and their Python code handles every other event: an end of stream,
 * an error, urgent data, a missing pipe, a direction that is discarded. For these, `run` returns the leg, and native.py
 * calls the code that the pure mover would have called. Nothing is called back from here while an event is handled, except
 * `CleanPipes.give`.
 *
 * One thread uses all of this. It holds the GIL whenever it touches an object, and releases it only while it waits. The
 * objects' state (`Leg`, `Tunnel`, `Pipe`) is shared with the Python code, which uses it by attributes.
 *
 * Invariants, as in mover.py: the journal's word is stored before a pipe is filled; a source is read only into a clean
 * pipe; a pipe that holds bytes is not in the list of clean ones; no descriptor is closed here.
 */
#include "_mover_waits.h"

#include <stdlib.h>
#include <string.h>

/* The rest of the batch. Returns a leg with which Python has to go on, borrowed; or NULL, maybe with an exception. */
static Leg *go_on(Engine *e) {
  e->batches += e->count && !e->next;
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
  if (once && !e->count && look(e) < 0) return NULL;
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
    e->looked = monotonic();
    e->now = offset + e->looked;
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
  e->live += (leg != NULL) - (old != NULL);
  e->legs[fd] = (Leg *)Py_XNewRef(leg);
  Py_XDECREF(old);
  return 0;
}

static Leg *as_leg(PyObject *leg) {
  if (PyObject_TypeCheck(leg, leg_type)) return (Leg *)leg;
  PyErr_SetString(PyExc_TypeError, "a leg is needed");
  return NULL;
}

/* `Directions.watch`. */
static PyObject *engine_watch(Engine *e, PyObject *object) {
  Leg *leg = as_leg(object);
  if (!leg) return NULL;
  if (!watch(e, leg)) Py_RETURN_NONE;
  errno = e->error;
  return PyErr_SetFromErrno(PyExc_OSError);
}

/* A leg's part of `Directions.drop`. Returns whether it has a pipe. */
static PyObject *engine_forget(Engine *e, PyObject *object) {
  Leg *leg = as_leg(object);
  if (!leg) return NULL;
  if (leg->mask) {
    if (epoll_ctl(e->epoll, EPOLL_CTL_DEL, leg->fd, NULL)) return PyErr_SetFromErrno(PyExc_OSError);
    leg->mask = 0;
  }
  if (leg->fd >= 0 && leg->fd < e->known && e->legs[leg->fd] == leg) {
    e->legs[leg->fd] = NULL;
    e->live--;
    Py_DECREF(object);
  }
  return PyBool_FromLong(leg->pipe && leg->pipe != Py_None);
}

/* No journal any more: every event is Python's. */
static PyObject *engine_close(Engine *e, PyObject *none) {
  (void)none;
  e->places = 0;
  PyBuffer_Release(&e->buffer);
  PyBuffer_Release(&e->beat);
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
  Py_VISIT(e->turn);
  for (int fd = 0; fd < e->known; fd++) Py_VISIT(e->legs[fd]);
  return 0;
}
static int engine_clear(Engine *e) {
  Py_CLEAR(e->clean);
  Py_CLEAR(e->starved);
  Py_CLEAR(e->give);
  Py_CLEAR(e->turn);
  for (int fd = 0; fd < e->known; fd++) Py_CLEAR(e->legs[fd]);
  return 0;
}
static void engine_dealloc(Engine *e) {
  PyObject_GC_UnTrack(e);
  engine_clear(e);
  PyBuffer_Release(&e->buffer);
  PyBuffer_Release(&e->beat);
  free(e->legs);
  free_object((PyObject *)e);
}

static PyMethodDef engine_methods[] = {
    {"run", (PyCFunction)(void (*)(void))engine_run, METH_VARARGS, "run(now, until, once)"},
    {"watch", (PyCFunction)(void (*)(void))engine_watch, METH_O, "Register the events that a leg needs."},
    {"forget", (PyCFunction)(void (*)(void))engine_forget, METH_O, "Watch a leg no longer; whether it has a pipe."},
    {"close", (PyCFunction)(void (*)(void))engine_close, METH_NOARGS, "Release the journal."},
    {"look", (PyCFunction)(void (*)(void))engine_look, METH_NOARGS, "Whether there are events."},
    {"attend", (PyCFunction)(void (*)(void))engine_attend, METH_VARARGS, "attend(turn, delay)"},
    {"turn_if_due", (PyCFunction)(void (*)(void))engine_turn_if_due, METH_NOARGS, "See `attend`."},
    {"count_steps", (PyCFunction)(void (*)(void))engine_count_steps, METH_O, "count_steps(beat)"},
    {"before_task_step", (PyCFunction)(void (*)(void))engine_before_task_step, METH_O, "See `count_steps`."},
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
