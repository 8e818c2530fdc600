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

typedef struct {
    PyObject_HEAD
    long long due, open, ended;
    PyObject *rows, *ends, *totals, *due_of, *last_touched, *on_end;
} Sums; /* of a ledger */
extern PyTypeObject SumsType;

/* What a segment of guest code costs in ns (fuel, calls, imports, exchanges, values, bytes), noted in a meter, and what a
 * whole call that crossed nothing but its lists does; -1 with an exception set. */
void meters_are(PyTypeObject *type); /* the plain class of meters; any other, its subclasses too, is asked by name */
long long charge_segment(PyObject *meter, const long long counts[6]);
long long charge_whole_call(PyObject *meter, long long fuel, long long values);

/* What each part adds to the module; 0 or -1. */
int timeline_part(PyObject *module);
int writing_part(PyObject *module);
int streams_part(PyObject *module);
int accounts_part(PyObject *module);
int calls_part(PyObject *module);
int frames_part(PyObject *module);

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

/* Names that a part looks up, made once; false with an exception set. */
typedef struct { PyObject **to; const char *text; } Word;
static inline bool intern(const Word *all, size_t count) {
    for (size_t i = 0; i < count; i++)
        if ((*all[i].to = PyUnicode_InternFromString(all[i].text)) == NULL)
            return false;
    return true;
}

/* ---- slots of Python's classes, read where they lie ---------------------------------------------- */
typedef struct { PyTypeObject *type; Py_ssize_t offset; char is_truth; } Slot;

/* The place of a class's slot, its own or of a base; false with an exception set when it has none of that name. */
static inline bool slot_of(PyObject *type, PyObject *name, Slot *out) {
    PyObject *found = PyObject_GetAttr(type, name);
    if (found == NULL)
        return false;
    int kind = Py_IS_TYPE(found, &PyMemberDescr_Type) ? ((PyMemberDescrObject *)found)->d_member->type : -1;
    bool is_slot = kind == T_OBJECT_EX || kind == T_BOOL;
    if (is_slot)
        *out = (Slot){(PyTypeObject *)type, ((PyMemberDescrObject *)found)->d_member->offset, kind == T_BOOL};
    else
        PyErr_Format(PyExc_TypeError, "%R of %R is no slot", name, type);
    Py_DECREF(found);
    return is_slot;
}

/* Slots of classes, one by one; false with an exception set. */
typedef struct { PyObject *type, *name; Slot *to; } Wanted;
static inline bool slots_of(const Wanted *all, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!slot_of(all[i].type, all[i].name, all[i].to))
            return false;
    return true;
}

/* Where the object lies that a slot holds; NULL for an object of another class. */
static inline PyObject **place_of(const Slot *slot, PyObject *of) {
    return Py_IS_TYPE(of, slot->type) && !slot->is_truth ? (PyObject **)((char *)of + slot->offset) : NULL;
}

static inline PyObject *read_of(const Slot *slot, PyObject *of, PyObject *name) {
    PyObject **at = place_of(slot, of);
    return at != NULL && *at != NULL ? Py_NewRef(*at) : PyObject_GetAttr(of, name);
}

/* Takes the reference to ``what``; false with an exception set, also where that is NULL. */
static inline bool write_of(const Slot *slot, PyObject *of, PyObject *name, PyObject *what) {
    if (what == NULL)
        return false;
    PyObject **at = place_of(slot, of);
    if (at != NULL) {
        Py_XSETREF(*at, what);
        return true;
    }
    int failed = PyObject_SetAttr(of, name, what);
    Py_DECREF(what);
    return !failed;
}

/* 1, 0, or -1 with an exception set; takes the reference. */
static inline int truth(PyObject *found) {
    int is_true = found == NULL ? -1 : found == Py_True ? 1 : found == Py_False || found == Py_None ? 0 : PyObject_IsTrue(found);
    Py_XDECREF(found);
    return is_true;
}

static inline int truth_of(const Slot *slot, PyObject *of, PyObject *name) {
    if (slot->is_truth && Py_IS_TYPE(of, slot->type))
        return *((char *)of + slot->offset) != 0;
    return truth(read_of(slot, of, name));
}

/* The int that a slot holds, of 64 bits; false with an exception set. */
static inline bool number_of(const Slot *slot, PyObject *of, PyObject *name, long long *out) {
    PyObject **at = place_of(slot, of);
    if (at != NULL && *at != NULL && PyLong_CheckExact(*at))
        *out = quick_int(*at);
    else {
        PyObject *found = read_of(slot, of, name);
        *out = found == NULL ? -1 : quick_int(found);
        Py_XDECREF(found);
    }
    return *out != -1 || !PyErr_Occurred();
}

#endif
