/* What the sources of the engine share: one module, twinloop.components.native.engine.
 *
 * Belongs here: the timeline as others put something on it, and the parts' own tables. Never: what one part alone has. */
#ifndef TWINLOOP_ENGINE_H
#define TWINLOOP_ENGINE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <float.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if FLT_EVAL_METHOD != 0
#error "doubles here have another precision than Python's"
#endif

enum { TROUBLE = -1, START = 0, NORMAL = 1 }; /* priorities, as kernel/timeline.py has them */

typedef struct {
    int64_t at_ns;
    uint64_t number;
    int32_t priority;
    PyObject *what;
} Entry;

typedef struct {
    PyObject_HEAD
    Entry *entries; /* a binary heap by (at_ns, priority, number) */
    Py_ssize_t count, room;
    uint64_t numbers;
    PyObject *now;     /* an int */
    PyObject *running; /* the task that runs now, or None */
    char stopped;
} Timeline;

extern PyTypeObject TimelineType;

/* Put something on the timeline; 0, or -1 with an exception set. */
int put_at(Timeline *self, int64_t at_ns, int priority, PyObject *what);
/* The clock; -1 with an exception set where somebody has put no int there. */
int64_t now_of(Timeline *self);

/* Call something with one argument at an instant; 0 or -1. */
int call_at(Timeline *self, int64_t at_ns, PyObject *action, PyObject *argument);

extern PyTypeObject SegmentType;
/* A segment is due; false with an exception set. */
bool segment_happens(PyObject *segment);

typedef struct { PyObject_HEAD long long due, open, ended; } Sums; /* of a ledger */
extern PyTypeObject SumsType;

/* What each part adds to the module; 0 or -1. */
int timeline_part(PyObject *module);
int writing_part(PyObject *module);
int streams_part(PyObject *module);
int accounts_part(PyObject *module);

/* As PyLong_AsLongLong, which takes a long way for an int of more than 30 bits: all instants are. */
static inline long long quick_int(PyObject *number) {
    if (PyLong_Check(number) && PyLong_SHIFT == 30) {
#if PY_VERSION_HEX >= 0x030C0000
        const digit *digits = ((PyLongObject *)number)->long_value.ob_digit;
        uintptr_t tag = ((PyLongObject *)number)->long_value.lv_tag;
        Py_ssize_t size = tag & 2 ? -1 : (Py_ssize_t)(tag >> 3);
#else
        const digit *digits = ((PyLongObject *)number)->ob_digit;
        Py_ssize_t size = Py_SIZE(number);
#endif
        if (size == 2)
            return (long long)(digits[0] | (uint64_t)digits[1] << 30);
        if (size == 1)
            return digits[0];
    }
    return PyLong_AsLongLong(number);
}

#endif
