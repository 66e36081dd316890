/* The state that the C code shares with Python: objects whose fields are attributes there. */
#ifndef SPLICER_MOVER_OBJECTS_H
#define SPLICER_MOVER_OBJECTS_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <structmember.h>

#include <stddef.h>

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

#endif
