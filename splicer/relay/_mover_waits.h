/* Waiting for events, and looking for some between the steps of other tasks. */
#ifndef SPLICER_MOVER_WAITS_H
#define SPLICER_MOVER_WAITS_H
#include "_mover_moves.h"

#define LONGEST_WAIT 86400.0 /* seconds */

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
  return 0;
}

/* Whether tunnels have events: they stay in the batch for `run`. -1 with an exception. */
static int look(Engine *e) {
  e->looked = monotonic();
  if (!e->count && wait(e, 0)) return -1;
  if (e->count == 1 && e->events[0].data.fd == e->invited) e->count = 0;
  return e->count > 0;
}
static PyObject *engine_look(Engine *e, PyObject *none) {
  (void)none;
  int found = look(e);
  return found < 0 ? NULL : PyBool_FromLong(found);
}

/* Each call has many of these, and nearly none of them has anything to do: so the usual case needs no Python. An error is
 * left to `turn`, which looks again: Trio would only log it.
 */
static PyObject *engine_turn_if_due(Engine *e, PyObject *none) {
  (void)none;
  if (!e->live || !e->turn || monotonic() - e->looked < e->delay) Py_RETURN_NONE;
  int found = look(e);
  if (!found) Py_RETURN_NONE;
  if (found < 0) PyErr_Clear();
  return PyObject_CallNoArgs(e->turn);
}
static PyObject *engine_attend(Engine *e, PyObject *args) {
  PyObject *turn;
  if (!PyArg_ParseTuple(args, "Od", &turn, &e->delay)) return NULL;
  Py_XDECREF(e->turn);
  e->turn = Py_NewRef(turn);
  Py_RETURN_NONE;
}

/* Trio calls this before each step of each task. */
static PyObject *engine_before_task_step(Engine *e, PyObject *task) {
  if (e->beat.buf) ++*(int64_t *)e->beat.buf;
  return engine_turn_if_due(e, task);
}
static PyObject *engine_count_steps(Engine *e, PyObject *beat) {
  PyBuffer_Release(&e->beat);
  if (PyObject_GetBuffer(beat, &e->beat, PyBUF_WRITABLE)) return NULL;
  if (e->beat.len < (Py_ssize_t)sizeof(int64_t)) {
    PyBuffer_Release(&e->beat);
    PyErr_SetString(PyExc_ValueError, "a word of 8 bytes is needed");
    return NULL;
  }
  Py_RETURN_NONE;
}

#endif
