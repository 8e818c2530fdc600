/* A device's step in C: every point's signal computed and written into the registers.
 *
 * Belongs here: what devices/model/stepper.py does for points that are plain registers, with the same doubles and the
 * same bytes (tests/devices/test_signals.py compares the two). Never: what a signal is (model/signal.py), which points
 * are plain (model/stepper.py says), a sum and a product in one rounding (-ffp-contract=off). */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef STAMP
#define STAMP ""
#endif

enum { CONSTANT, RAMP, SINE, SQUARE, STEP, COUNTER, WALK, REVERSION, KINDS };
enum { SINE_STEPS = 1024, TABLES_MAX = 4 };

static double sines[SINE_STEPS + 1]; /* model/signal.SINE, told by bind */
static bool bound;

typedef struct { /* what all devices of a model have alike */
    int kind, type, table;
    double level, swing, duty, noise, limit, drift, first, rollover, scale, offset;
    int64_t period;
    Py_ssize_t position;
} Point;

typedef struct {
    PyObject_HEAD
    bool recurrent;
    int tables;
    Py_ssize_t ends[TABLES_MAX]; /* of each table the bytes that points lie in */
    Py_ssize_t count;
    Point *points;
} Points;

typedef struct { /* what one device has of its own */
    uint64_t key, grain;
    int64_t shift;
} Own;

typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    Points *of;
    Own *own;
    double *values; /* of the recurrences, at the step that was looked at last */
    uint64_t last;
    int tables;
    Py_buffer *raw;
} Step;

/* ---- numbers ----------------------------------------------------------------------------------- */
static const uint64_t STRIDE = 0x9E3779B97F4A7C15u;

/* signal.noise of the step whose j is (k + 1) * STRIDE. */
static inline double noise(uint64_t key, uint64_t j) {
    uint64_t x = key + j;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    x ^= x >> 31;
    int64_t quarters = (int64_t)(x & 0xFFFF) + (int64_t)(x >> 16 & 0xFFFF) + (int64_t)(x >> 32 & 0xFFFF) + (int64_t)(x >> 48);
    return (double)(quarters - 131070) * (1.0 / 37837.227);
}

static inline double sine(int64_t turns, int64_t of) {
    int64_t scaled = turns % of * SINE_STEPS, i = scaled / of, rest = scaled % of;
    double low = sines[i];
    return low + (sines[i + 1] - low) * ((double)rest / (double)of);
}

/* Python's float %. */
static inline double modulo(double value, double by) {
    double found = fmod(value, by);
    if (found == 0.0)
        return copysign(0.0, by);
    return (by < 0) != (found < 0) ? found + by : found;
}

static void begin_again(Step *self) {
    self->last = 0;
    for (Py_ssize_t i = 0; i < self->of->count; i++)
        self->values[i] = self->of->points[i].first;
}

static void recur(Step *self, uint64_t k) {
    if (k < self->last)
        begin_again(self);
    while (self->last < k) {
        self->last++;
        uint64_t j = (self->last + 1) * STRIDE;
        for (Py_ssize_t i = 0; i < self->of->count; i++) {
            const Point *p = self->of->points + i;
            double *value = self->values + i;
            if (p->kind == REVERSION)
                *value = *value + p->duty * (p->level - *value) + p->swing * noise(self->own[i].key, j);
            else if (p->kind == WALK) {
                *value += p->swing * noise(self->own[i].key, j);
                if (p->limit != 0.0) {
                    double low = p->level - p->limit, high = p->level + p->limit;
                    *value = *value > high ? 2 * high - *value : *value < low ? 2 * low - *value : *value;
                }
            }
        }
    }
}

/* The engineering value of a point at step k; ``recurred``: what a recurrence has come to. */
static double value_at(const Point *p, const Own *own, double recurred, int64_t k) {
    double value;
    switch (p->kind) {
    case RAMP: value = p->level + p->swing * ((double)((k + own->shift) % p->period) / (double)p->period); break;
    case SINE: value = p->level + p->swing * sine(k + own->shift, p->period); break;
    case SQUARE:
        value = (double)((k + own->shift) % p->period) < p->duty * (double)p->period ? p->level + p->swing : p->level;
        break;
    case STEP: value = k < p->period ? p->level : p->level + p->swing; break;
    case COUNTER:
        value = p->level + p->swing * (double)k;
        return p->rollover != 0.0 ? modulo(value, p->rollover) : value;
    case WALK: case REVERSION: value = recurred; break;
    default: value = p->level;
    }
    if (p->drift != 0.0)
        value = value + p->drift * (double)k;
    if (p->noise != 0.0)
        value = value + p->noise * noise(own->grain, ((uint64_t)k + 1) * STRIDE);
    return value;
}

/* ---- registers --------------------------------------------------------------------------------- */
static inline void put(unsigned char *at, uint64_t bits, int bytes) {
    for (int i = 0; i < bytes; i++)
        at[i] = (unsigned char)(bits >> 8 * (bytes - 1 - i));
}

static void write_real(unsigned char *at, double value, char type) {
    uint64_t bits = 0;
    if (type == 'd') {
        memcpy(&bits, &value, 8);
        put(at, bits, 8);
        return;
    }
    const double most = 3.4028234663852886e38;
    float single = value > most ? INFINITY : value < -most ? -INFINITY : (float)value;
    uint32_t half;
    memcpy(&half, &single, 4);
    put(at, half, 4);
}

static void write_whole(unsigned char *at, double value, int bits, bool has_sign) {
    double below = ldexp(1.0, has_sign ? bits - 1 : bits), low = has_sign ? -below : 0.0;
    bool narrow = bits < 53;
    bool within = value >= low && (narrow ? value <= below - 1.0 : value < below);
    uint64_t found;
    if (within)
        found = has_sign ? (uint64_t)(int64_t)rint(value) : (uint64_t)rint(value);
    else if (value > 0)
        found = has_sign ? (UINT64_C(1) << (bits - 1)) - 1 : bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
    else
        found = has_sign ? (uint64_t)0 - (UINT64_C(1) << (bits - 1)) : 0;
    put(at, found, bits / 8);
}

static void show(unsigned char *at, const Point *p, double value) {
    if (p->offset != 0.0)
        value = value - p->offset;
    if (p->scale != 1.0)
        value = value / p->scale;
    switch (p->type) {
    case 'H': write_whole(at, value, 16, false); break;
    case 'h': write_whole(at, value, 16, true); break;
    case 'I': write_whole(at, value, 32, false); break;
    case 'i': write_whole(at, value, 32, true); break;
    case 'Q': write_whole(at, value, 64, false); break;
    case 'q': write_whole(at, value, 64, true); break;
    default: write_real(at, value, (char)p->type);
    }
}

static int size_of(int type) {
    switch (type) {
    case 'H': case 'h': return 2;
    case 'I': case 'i': case 'f': return 4;
    case 'Q': case 'q': case 'd': return 8;
    default: return 0;
    }
}

/* ---- Points -------------------------------------------------------------------------------------- */
static bool point_of(Points *self, PyObject *told, Point *p) {
    long long period;
    if (!PyTuple_Check(told)) {
        PyErr_SetString(PyExc_TypeError, "a point is a tuple");
        return false;
    }
    if (!PyArg_ParseTuple(told, "iddLddddddinCdd", &p->kind, &p->level, &p->swing, &period, &p->duty, &p->noise, &p->limit,
                          &p->drift, &p->first, &p->rollover, &p->table, &p->position, &p->type, &p->scale, &p->offset))
        return false;
    p->period = period;
    int size = size_of(p->type);
    if (p->kind < 0 || p->kind >= KINDS || period < 1 || period > INT64_C(1) << 48 || !size || p->table < 0 ||
        p->table >= TABLES_MAX || p->position < 0 || p->position > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "a point that is no plain one");
        return false;
    }
    if (p->table >= self->tables)
        self->tables = p->table + 1;
    if (p->position + size > self->ends[p->table])
        self->ends[p->table] = p->position + size;
    self->recurrent |= p->kind == WALK || p->kind == REVERSION;
    return true;
}

static PyObject *points_new(PyTypeObject *type, PyObject *given, PyObject *named) {
    PyObject *told;
    if (!PyArg_ParseTuple(given, "O!", &PyList_Type, &told))
        return NULL;
    Points *self = (Points *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->points = PyMem_Calloc((size_t)PyList_GET_SIZE(told) + 1, sizeof *self->points);
    if (self->points == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(told); i++, self->count++)
        if (!point_of(self, PyList_GET_ITEM(told, i), self->points + i)) {
            Py_DECREF(self);
            return NULL;
        }
    return (PyObject *)self;
}

static void points_dealloc(Points *self) {
    PyMem_Free(self->points);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyTypeObject PointsType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "twinloop.components.native.signals.Points",
    .tp_doc = "Points that move, as all devices of a model have them.",
    .tp_basicsize = sizeof(Points),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = points_new,
    .tp_dealloc = (destructor)points_dealloc,
};

/* ---- Step -------------------------------------------------------------------------------------- */
static PyObject *step_call(PyObject *object, PyObject *const *given, size_t flags, PyObject *named) {
    Step *self = (Step *)object;
    if (PyVectorcall_NARGS(flags) != 1 || (named != NULL && PyTuple_GET_SIZE(named))) {
        PyErr_SetString(PyExc_TypeError, "a step takes its number");
        return NULL;
    }
    long long k = PyLong_AsLongLong(given[0]);
    if (k < 0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "steps count from 0");
        return NULL;
    }
    if (self->values != NULL)
        recur(self, (uint64_t)k);
    for (Py_ssize_t i = 0; i < self->of->count; i++) {
        const Point *p = self->of->points + i;
        double value = value_at(p, self->own + i, self->values == NULL ? 0.0 : self->values[i], k);
        show((unsigned char *)self->raw[p->table].buf + p->position, p, value);
    }
    Py_RETURN_NONE;
}

static int own_of(PyObject *told, Own *own) {
    unsigned long long key, grain;
    long long shift;
    if (!PyTuple_Check(told)) {
        PyErr_SetString(PyExc_TypeError, "what a device has of its own is a tuple for each point");
        return -1;
    }
    if (!PyArg_ParseTuple(told, "LKK", &shift, &key, &grain))
        return -1;
    if (shift < 0) {
        PyErr_SetString(PyExc_ValueError, "a shift of less than 0 steps");
        return -1;
    }
    *own = (Own){key, grain, shift};
    return 0;
}

static PyObject *step_new(PyTypeObject *type, PyObject *given, PyObject *named) {
    PyObject *points, *own, *raw;
    if (!bound) {
        PyErr_SetString(PyExc_RuntimeError, "bind comes first");
        return NULL;
    }
    if (!PyArg_ParseTuple(given, "O!O!O!", &PointsType, &points, &PyList_Type, &own, &PyList_Type, &raw))
        return NULL;
    const Points *of = (Points *)points;
    if (PyList_GET_SIZE(own) != of->count || PyList_GET_SIZE(raw) != of->tables) {
        PyErr_SetString(PyExc_ValueError, "as many of one's own as there are points, as many tables as they lie in");
        return NULL;
    }
    Step *self = (Step *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->call = step_call;
    self->of = (Points *)Py_NewRef(points);
    self->own = PyMem_Calloc((size_t)of->count + 1, sizeof *self->own);
    self->raw = PyMem_Calloc((size_t)of->tables + 1, sizeof *self->raw);
    if (self->own == NULL || self->raw == NULL || (of->recurrent && (self->values = PyMem_Calloc((size_t)of->count + 1, sizeof *self->values)) == NULL)) {
        PyErr_NoMemory();
        goto failed;
    }
    for (int i = 0; i < of->tables; i++, self->tables++) {
        if (PyObject_GetBuffer(PyList_GET_ITEM(raw, i), self->raw + i, PyBUF_WRITABLE) < 0)
            goto failed;
        if (of->ends[i] > self->raw[i].len) {
            self->tables++; /* it has to be given back */
            PyErr_SetString(PyExc_ValueError, "a table that is shorter than its points");
            goto failed;
        }
    }
    for (Py_ssize_t i = 0; i < of->count; i++)
        if (own_of(PyList_GET_ITEM(own, i), self->own + i) < 0)
            goto failed;
    if (self->values != NULL)
        begin_again(self);
    return (PyObject *)self;
failed:
    Py_DECREF(self);
    return NULL;
}

static void step_dealloc(Step *self) {
    for (int i = 0; i < self->tables; i++)
        PyBuffer_Release(self->raw + i);
    PyMem_Free(self->raw);
    PyMem_Free(self->own);
    PyMem_Free(self->values);
    Py_XDECREF(self->of);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyTypeObject StepType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "twinloop.components.native.signals.Step",
    .tp_doc = "A device's step: called with k, it writes what holds then for every point that moves.",
    .tp_basicsize = sizeof(Step),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_new = step_new,
    .tp_dealloc = (destructor)step_dealloc,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(Step, call),
};

/* ---- the module -------------------------------------------------------------------------------- */
static PyObject *bind(PyObject *module, PyObject *table) {
    PyObject *found = PySequence_Fast(table, "a table of sines");
    if (found == NULL)
        return NULL;
    if (PySequence_Fast_GET_SIZE(found) != SINE_STEPS + 1)
        PyErr_SetString(PyExc_ValueError, "a turn has 1024 steps");
    for (Py_ssize_t i = 0; i <= SINE_STEPS && !PyErr_Occurred(); i++)
        sines[i] = PyFloat_AsDouble(PySequence_Fast_GET_ITEM(found, i));
    Py_DECREF(found);
    if (PyErr_Occurred())
        return NULL;
    bound = true;
    Py_RETURN_NONE;
}

PyObject *read_answer(PyObject *module, PyObject *const *given, Py_ssize_t count); /* answers.c */
PyObject *bind_server(PyObject *module, PyObject *given);

static PyMethodDef functions[] = {
    {"read_answer", (PyCFunction)(void (*)(void))read_answer, METH_FASTCALL, "(server, bytes, instant): the answers to a plain read; None for anything else."},
    {"bind_server", bind_server, METH_VARARGS, "Told once: the classes of a server, a device, an image, its layout; the names of two tables."},
    {"bind", bind, METH_O, "Told once: sin(2 pi i / 1024) for i = 0 to 1024."},
    {NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "signals", .m_doc = "A device's step, in C.", .m_size = -1, .m_methods = functions,
};

PyMODINIT_FUNC PyInit_signals(void) {
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL || PyModule_AddType(module, &PointsType) < 0 ||
        PyModule_AddType(module, &StepType) < 0 || PyModule_AddStringConstant(module, "STAMP", STAMP) < 0) {
        Py_XDECREF(module);
        return NULL;
    }
    return module;
}
