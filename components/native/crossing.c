/* The crossing into wasmtime without ctypes: one call from Python where components/host makes several, and the
 * imports' trampolines.
 *
 * Belongs here: what components/host does in Python as well, by the same names, with the same results, errors and
 * order of events (tests/components/native compares the two). Never: policy, a struct of wasmtime's that
 * components/host/capi.py doesn't check, a symbol of libwasmtime: its functions come by address (bind).
 *
 * The interpreter lock is kept throughout, as capi.PyDLL does it. A trampoline runs on the guest's fiber; it leaves no
 * exception behind: what was raised is kept in the instance, and the guest is ended by an error. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef STAMP
#define STAMP ""
#endif

/* ---- wasmtime's values, as capi.py checks them ------------------------------------------------ */
enum { KIND_BOOL = 0, KIND_U8 = 2, KIND_U64 = 8, KIND_LIST = 13, KIND_RESULT = 19 };

typedef struct Value Value;
typedef struct { uint64_t size; void *data; } Sized; /* a list, a string, a record's entries */
struct Value {
    uint8_t kind;
    uint8_t padding[7];
    union {
        uint8_t boolean;
        uint8_t byte;
        uint16_t half;
        uint32_t word;
        uint64_t number;
        double real;
        Sized sized;
        struct { uint8_t ok; uint8_t padding[7]; Value *payload; } result;
        struct { Sized tag; Value *payload; } variant;
    } of;
};
typedef struct { Sized name; Value value; } Entry;
typedef struct { bool (*asked)(void *); void *environment; void (*finalizer)(void *); } Continuation;

_Static_assert(sizeof(Value) == 32, "a component value has 32 bytes");
_Static_assert(sizeof(Entry) == 48, "a record's entry has 48 bytes");

/* ---- libwasmtime ------------------------------------------------------------------------------- */
static struct {
    void *(*call)(const void *, void *, const Value *, size_t, Value *, size_t);
    void *(*call_async)(const void *, void *, const Value *, size_t, Value *, size_t, void **);
    bool (*poll)(void *);
    void (*future_delete)(void *);
    void *(*get_fuel)(void *, uint64_t *);
    void *(*set_fuel)(void *, uint64_t);
    void (*delete)(Value *);
    Value *(*new)(Value *);
    void (*new_list)(Sized *, size_t);
    void *(*error_new)(const char *);
} wasmtime;

/* A core value: wasmtime_val_raw_t, 16 bytes of which numbers take 8. */
typedef struct { uint64_t word, high; } Raw;

typedef struct { uint64_t store; void *function; } CoreFunction; /* wasmtime_func_t */
typedef struct { uint64_t words[3]; } CoreMemory;                /* wasmtime_memory_t */
typedef struct { uint64_t store, instance; } CoreInstance;       /* wasmtime_instance_t */
typedef struct { uint8_t kind; uint8_t padding[7]; union { CoreFunction function; CoreMemory memory; uint64_t words[3]; } of; } Extern;
typedef struct { uint8_t kind; uint8_t padding[7]; uint64_t words[3]; } CoreValue; /* wasmtime_val_t */
_Static_assert(sizeof(Extern) == 32 && sizeof(CoreValue) == 32, "wasmtime's structs");
enum { EXTERN_FUNCTION = 0, EXTERN_MEMORY = 3, CANNOT_LEAVE = 23 };

static struct {
    void *(*instance_new)(void *, const void *, const Extern *, size_t, CoreInstance *, void **);
    bool (*export_get)(void *, const CoreInstance *, const char *, size_t, Extern *);
    void *(*linker_new)(void *);
    void (*linker_delete)(void *);
    void *(*linker_define)(void *, void *, const char *, size_t, const char *, size_t, const Extern *);
    bool (*linker_get)(const void *, void *, const char *, size_t, const char *, size_t, Extern *);
    void *(*instantiate_async)(const void *, void *, const void *, CoreInstance *, void **, void **);
    void *(*call)(void *, const CoreFunction *, Raw *, size_t, void **);
    void *(*call_async)(void *, const CoreFunction *, const CoreValue *, size_t, CoreValue *, size_t, void **, void **);
    void *(*caller_context)(void *);
    uint8_t *(*memory_data)(void *, const CoreMemory *);
    size_t (*memory_size)(void *, const CoreMemory *);
    void *(*trap_of_code)(uint8_t);
} core;

static const struct { const char *name; void **to; } NEEDED[] = {
    {"wasmtime_component_func_call", (void **)&wasmtime.call},
    {"wasmtime_component_func_call_async", (void **)&wasmtime.call_async},
    {"wasmtime_call_future_poll", (void **)&wasmtime.poll},
    {"wasmtime_call_future_delete", (void **)&wasmtime.future_delete},
    {"wasmtime_context_get_fuel", (void **)&wasmtime.get_fuel},
    {"wasmtime_context_set_fuel", (void **)&wasmtime.set_fuel},
    {"wasmtime_component_val_delete", (void **)&wasmtime.delete},
    {"wasmtime_component_val_new", (void **)&wasmtime.new},
    {"wasmtime_component_vallist_new_uninit", (void **)&wasmtime.new_list},
    {"wasmtime_error_new", (void **)&wasmtime.error_new},
    {"wasmtime_instance_new", (void **)&core.instance_new},
    {"wasmtime_instance_export_get", (void **)&core.export_get},
    {"wasmtime_linker_new", (void **)&core.linker_new},
    {"wasmtime_linker_delete", (void **)&core.linker_delete},
    {"wasmtime_linker_define", (void **)&core.linker_define},
    {"wasmtime_linker_get", (void **)&core.linker_get},
    {"wasmtime_linker_instantiate_async", (void **)&core.instantiate_async},
    {"wasmtime_func_call_unchecked", (void **)&core.call},
    {"wasmtime_func_call_async", (void **)&core.call_async},
    {"wasmtime_caller_context", (void **)&core.caller_context},
    {"wasmtime_memory_data", (void **)&core.memory_data},
    {"wasmtime_memory_data_size", (void **)&core.memory_size},
    {"wasmtime_trap_new_code", (void **)&core.trap_of_code},
};
enum { NEEDED_COUNT = sizeof NEEDED / sizeof *NEEDED };
static bool bound;

static inline void *at(uint64_t address) { return (void *)(uintptr_t)address; }

#include "canonical.h"

/* Nothing is made before libwasmtime's functions are known. */
static bool is_bound(void) {
    if (!bound)
        PyErr_SetString(PyExc_RuntimeError, "bind comes first");
    return bound;
}

/* What of Python's side is used here: told once, by bind. */
static struct { PyObject *batch, *read_batch, *framing, *as_case; } python;

static struct {
    PyObject *handlers, *raised, *block, *park, *interrupted, *called, *asked, *finish, *stopped, *zero;
} names;

/* ---- numbers ----------------------------------------------------------------------------------- */
/* An int of 0 to 2^60 - 1 by its two digits of 30 bits: addresses are such, and CPython takes a long way for them. */
static inline bool small_int(PyObject *number, uint64_t *out) {
    if (!PyLong_Check(number) || PyLong_SHIFT != 30)
        return false;
#if PY_VERSION_HEX >= 0x030C0000
    const digit *digits = ((PyLongObject *)number)->long_value.ob_digit;
    uintptr_t tag = ((PyLongObject *)number)->long_value.lv_tag;
    if (tag & 2) /* below zero */
        return false;
    uintptr_t size = tag >> 3;
#else
    const digit *digits = ((PyLongObject *)number)->ob_digit;
    Py_ssize_t size = Py_SIZE(number);
    if (size < 0)
        return false;
#endif
    if (size > 2)
        return false;
    *out = size == 2 ? digits[0] | (uint64_t)digits[1] << 30 : size ? digits[0] : 0;
    return true;
}

/* 0 to 2^64 - 1; false with an exception set for anything else. */
static bool as_word(PyObject *number, uint64_t *out) {
    if (small_int(number, out))
        return true;
    unsigned long long found = PyLong_AsUnsignedLongLong(number);
    if (found == (unsigned long long)-1 && PyErr_Occurred())
        return false;
    *out = found;
    return true;
}

static bool words_of(PyObject *const *given, Py_ssize_t count, Py_ssize_t wanted, const char *name, uint64_t *out) {
    if (count != wanted) {
        PyErr_Format(PyExc_TypeError, "%s takes %zd arguments, got %zd", name, wanted, count);
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++)
        if (!as_word(given[i], out + i))
            return false;
    return true;
}

/* ---- CallWords: what C writes for one instance, and what is done with it ------------------------ */
typedef struct Direct Direct;
typedef struct {
    PyObject_HEAD
    Value result;
    void *error;
    uint64_t flag; /* of the parked import's continuation */
    uint64_t fuel;
    uint64_t left; /* fuel after the last step */
    void *context;
    void *future;
    Direct *direct; /* NULL: it is called by wasmtime's component API */
    Segment *arena; /* what result has beside itself, when it was called directly */
} CallWords;

static PyTypeObject CallWordsType;

/* of direct.h */
static void *direct_call(CallWords *words, const void *function, const Value *arguments);
static void direct_start(CallWords *words, const void *function, const Value *arguments);
static bool direct_done(CallWords *words);
static void direct_end(CallWords *words);
static void free_direct(CallWords *words);

static PyObject *words_new(PyTypeObject *type, PyObject *given, PyObject *named) {
    static char *keys[] = {"context", NULL};
    unsigned long long context;
    if (!is_bound() || !PyArg_ParseTupleAndKeywords(given, named, "K", keys, &context))
        return NULL;
    CallWords *self = (CallWords *)type->tp_alloc(type, 0);
    if (self != NULL)
        self->context = at(context);
    return (PyObject *)self;
}

static void look(CallWords *self) {
    wasmtime.get_fuel(self->context, &self->fuel);
    self->left = self->fuel;
}

static PyObject *words_fuel(CallWords *self, PyObject *unused) {
    look(self);
    return PyLong_FromUnsignedLongLong(self->left);
}

static PyObject *words_set_fuel(CallWords *self, PyObject *given) {
    uint64_t fuel;
    if (!as_word(given, &fuel))
        return NULL;
    wasmtime.set_fuel(self->context, fuel);
    Py_RETURN_NONE;
}

/* The slot and the error are ready for a call: the C API drops what the slot held, let that be a bool. */
static void ready(CallWords *self) {
    self->result.kind = KIND_BOOL;
    memset(self->result.padding, 0, sizeof self->result.padding);
    self->error = NULL;
}

static PyObject *words_call(CallWords *self, PyObject *const *given, Py_ssize_t count) {
    uint64_t w[5];
    if (!words_of(given, count, 5, "call", w))
        return NULL;
    ready(self);
    wasmtime.set_fuel(self->context, w[4]);
    self->error = self->direct != NULL
                      ? direct_call(self, at(w[0]), at(w[1]))
                      : wasmtime.call(at(w[0]), self->context, at(w[1]), w[2], &self->result, w[3]);
    look(self);
    return PyLong_FromUnsignedLongLong(self->left);
}

static PyObject *stepped(CallWords *self) {
    bool done = self->direct != NULL ? direct_done(self) : wasmtime.poll(self->future);
    look(self);
    return PyBool_FromLong(done);
}

static PyObject *words_start(CallWords *self, PyObject *const *given, Py_ssize_t count) {
    uint64_t w[4];
    if (!words_of(given, count, 4, "start", w))
        return NULL;
    ready(self);
    if (self->direct != NULL)
        direct_start(self, at(w[0]), at(w[1]));
    else
        self->future = wasmtime.call_async(at(w[0]), self->context, at(w[1]), w[2], &self->result, w[3], &self->error);
    return stepped(self);
}

static PyObject *words_adopt(CallWords *self, PyObject *given) {
    uint64_t future;
    if (!as_word(given, &future))
        return NULL;
    self->future = at(future);
    return stepped(self);
}

static PyObject *words_poll(CallWords *self, PyObject *unused) {
    if (self->future == NULL && self->direct == NULL) {
        PyErr_SetString(PyExc_AssertionError, "no call is under way");
        return NULL;
    }
    return stepped(self);
}

static PyObject *words_end(CallWords *self, PyObject *unused) {
    void *future = self->future;
    self->future = NULL;
    if (future != NULL)
        wasmtime.future_delete(future);
    if (self->direct != NULL)
        direct_end(self);
    Py_RETURN_NONE;
}

static PyObject *words_delete_result(CallWords *self, PyObject *unused) {
    if (self->direct != NULL)
        free_arena(&self->arena);
    else
        wasmtime.delete(&self->result);
    Py_RETURN_NONE;
}

static PyObject *words_wait(CallWords *self, PyObject *unused) {
    self->flag = 0;
    Py_RETURN_NONE;
}

static PyObject *words_go_on(CallWords *self, PyObject *unused) {
    self->flag = 1;
    Py_RETURN_NONE;
}

static PyObject *words_held(CallWords *self, PyObject *given);

static PyMethodDef words_methods[] = {
    {"fuel", (PyCFunction)words_fuel, METH_NOARGS, NULL},
    {"set_fuel", (PyCFunction)words_set_fuel, METH_O, NULL},
    {"call", (PyCFunction)(void (*)(void))words_call, METH_FASTCALL, NULL},
    {"start", (PyCFunction)(void (*)(void))words_start, METH_FASTCALL, NULL},
    {"adopt", (PyCFunction)words_adopt, METH_O, NULL},
    {"poll", (PyCFunction)words_poll, METH_NOARGS, NULL},
    {"end", (PyCFunction)words_end, METH_NOARGS, NULL},
    {"delete_result", (PyCFunction)words_delete_result, METH_NOARGS, NULL},
    {"wait", (PyCFunction)words_wait, METH_NOARGS, NULL},
    {"go_on", (PyCFunction)words_go_on, METH_NOARGS, NULL},
    {"held", (PyCFunction)words_held, METH_O, "A Held at that address that has taken the result."},
    {NULL},
};

static PyObject *words_at(CallWords *self, void *unused) { return PyLong_FromVoidPtr(&self->result); }
static PyObject *words_error_at(CallWords *self, void *unused) { return PyLong_FromVoidPtr(&self->error); }
static PyObject *words_flag_at(CallWords *self, void *unused) { return PyLong_FromVoidPtr(&self->flag); }
static PyObject *words_get_error(CallWords *self, void *unused) { return PyLong_FromVoidPtr(self->error); }

static int words_set_error(CallWords *self, PyObject *given, void *unused) {
    uint64_t error;
    if (given == NULL) {
        PyErr_SetString(PyExc_TypeError, "an error isn't deleted");
        return -1;
    }
    if (!as_word(given, &error))
        return -1;
    self->error = at(error);
    return 0;
}

static PyGetSetDef words_getset[] = {
    {"at", (getter)words_at, NULL, NULL, NULL},
    {"error_at", (getter)words_error_at, NULL, NULL, NULL},
    {"flag_at", (getter)words_flag_at, NULL, NULL, NULL},
    {"error", (getter)words_get_error, (setter)words_set_error, NULL, NULL},
    {NULL},
};

static PyMemberDef words_members[] = {
    {"left", T_ULONGLONG, offsetof(CallWords, left), READONLY, NULL},
    {NULL},
};

static void words_dealloc(CallWords *self) {
    free_direct(self);
    free_arena(&self->arena);
    Py_TYPE(self)->tp_free(self);
}

static PyTypeObject CallWordsType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "twinloop.components.native.crossing.CallWords",
    .tp_basicsize = sizeof(CallWords),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "As host/call_state.py has it.",
    .tp_new = words_new,
    .tp_methods = words_methods,
    .tp_getset = words_getset,
    .tp_members = words_members,
    .tp_dealloc = (destructor)words_dealloc,
};

/* ---- Held: room for a result that was moved out of its instance --------------------------------- */
typedef struct { PyObject_HEAD Value *place; Segment *arena; char full, direct; } Held;

static PyObject *held_new(PyTypeObject *type, PyObject *given, PyObject *named) {
    static char *keys[] = {"at", NULL};
    unsigned long long place;
    if (!is_bound() || !PyArg_ParseTupleAndKeywords(given, named, "K", keys, &place))
        return NULL;
    Held *self = (Held *)type->tp_alloc(type, 0);
    if (self != NULL)
        self->place = at(place);
    return (PyObject *)self;
}

static PyObject *held_take(Held *self, PyObject *given) {
    CallWords *from = Py_IS_TYPE(given, &CallWordsType) ? (CallWords *)given : NULL;
    uint64_t place = from == NULL ? 0 : (uintptr_t)&from->result;
    if (from == NULL) { /* words of the other way: what they hold is wasmtime's */
        PyObject *told = PyObject_GetAttrString(given, "at");
        bool well = told != NULL && as_word(told, &place);
        Py_XDECREF(told);
        if (!well)
            return NULL;
    }
    if (self->full) {
        PyErr_SetString(PyExc_AssertionError, "what was held before must have been released");
        return NULL;
    }
    self->full = 1;
    memcpy(self->place, at(place), sizeof(Value));
    self->direct = from != NULL && from->direct != NULL;
    if (self->direct) {
        self->arena = from->arena;
        from->arena = NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *held_release(Held *self, PyObject *unused) {
    if (self->full) {
        self->full = 0;
        if (self->direct)
            free_arena(&self->arena);
        else
            wasmtime.delete(self->place);
    }
    Py_RETURN_NONE;
}

static void held_dealloc(Held *self) {
    free_arena(&self->arena);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef held_methods[] = {
    {"take", (PyCFunction)held_take, METH_O, NULL},
    {"release", (PyCFunction)held_release, METH_NOARGS, NULL},
    {NULL},
};

static PyObject *held_at(Held *self, void *unused) { return PyLong_FromVoidPtr(self->place); }
static PyObject *held_full(Held *self, void *unused) { return PyBool_FromLong(self->full); }
static PyGetSetDef held_getset[] = {
    {"at", (getter)held_at, NULL, NULL, NULL},
    {"full", (getter)held_full, NULL, NULL, NULL},
    {NULL},
};

static PyTypeObject HeldType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "twinloop.components.native.crossing.Held",
    .tp_basicsize = sizeof(Held),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "As host/batch.py has it.",
    .tp_new = held_new,
    .tp_methods = held_methods,
    .tp_getset = held_getset,
    .tp_dealloc = (destructor)held_dealloc,
};

static PyObject *words_held(CallWords *self, PyObject *given) {
    PyObject *held = PyObject_CallOneArg((PyObject *)&HeldType, given);
    PyObject *done = held == NULL ? NULL : held_take((Held *)held, (PyObject *)self);
    if (done == NULL)
        Py_CLEAR(held);
    Py_XDECREF(done);
    return held;
}

/* ---- batches where they lie (host/batch.py) ----------------------------------------------------- */
static PyObject *batch_in(PyObject *module, PyObject *given) {
    uint64_t place;
    if (!as_word(given, &place))
        return NULL;
    const Value *result = at(place);
    if (!result->of.result.ok)
        Py_RETURN_NONE;
    const Sized *fields = &result->of.result.payload->of.sized;
    const Entry *entries = fields->data;
    const Sized *readings = &entries[0].value.of.sized, *texts = &entries[1].value.of.sized;
    bool two = fields->size == 2;
    const uint64_t found[7] = {
        readings->size, (uintptr_t)readings->data, texts->size, (uintptr_t)texts->data, (uintptr_t)entries,
        two ? 0 : entries[2].value.of.sized.size, two ? 0 : (uintptr_t)&entries[2].value.of.sized.data,
    };
    PyObject *lists = PyTuple_New(7);
    if (lists == NULL)
        return NULL;
    for (int i = 0; i < 7; i++) {
        PyObject *number = PyLong_FromUnsignedLongLong(found[i]);
        if (number == NULL) {
            Py_DECREF(lists);
            return NULL;
        }
        PyTuple_SET_ITEM(lists, i, number);
    }
    return lists;
}

static PyObject *column(const Value *rows, Py_ssize_t count, int field) {
    PyObject *made = PyTuple_New(count);
    if (made == NULL)
        return NULL;
    for (Py_ssize_t i = 0; i < count; i++) {
        const Value *one = &((const Entry *)rows[i].of.sized.data)[field].value;
        PyObject *item = field == 0   ? PyLong_FromLong(one->of.half)
                         : field == 1 ? PyFloat_FromDouble(one->of.real)
                         : field == 2 ? PyLong_FromUnsignedLong(one->of.word)
                                      : PyLong_FromUnsignedLongLong(one->of.number);
        if (item == NULL) {
            Py_DECREF(made);
            return NULL;
        }
        PyTuple_SET_ITEM(made, i, item);
    }
    return made;
}

static PyObject *read_batch(PyObject *module, PyObject *lists) {
    uint64_t count, rows, texts, integers;
    if (!PyTuple_Check(lists) || PyTuple_GET_SIZE(lists) != 7) {
        PyErr_SetString(PyExc_TypeError, "read_batch takes what batch_in returns");
        return NULL;
    }
    if (!as_word(PyTuple_GET_ITEM(lists, 0), &count) || !as_word(PyTuple_GET_ITEM(lists, 1), &rows) ||
        !as_word(PyTuple_GET_ITEM(lists, 2), &texts) || !as_word(PyTuple_GET_ITEM(lists, 5), &integers))
        return NULL;
    if (texts || integers || !count)
        return PyObject_CallOneArg(python.read_batch, lists);
    PyTypeObject *type = (PyTypeObject *)python.batch;
    PyObject *batch = type->tp_alloc(type, 5);
    if (batch == NULL)
        return NULL;
    for (int field = 0; field < 4; field++) {
        PyObject *made = column(at(rows), (Py_ssize_t)count, field);
        if (made == NULL) {
            Py_DECREF(batch);
            return NULL;
        }
        PyTuple_SET_ITEM(batch, field, made);
    }
    PyObject *none = PyTuple_New(0);
    if (none == NULL) {
        Py_DECREF(batch);
        return NULL;
    }
    PyTuple_SET_ITEM(batch, 4, none);
    return batch;
}

static PyObject *forward_lane(PyObject *module, PyObject *given) {
    uint64_t place;
    if (!as_word(given, &place))
        return NULL;
    const Value *result = at(place);
    if (!result->of.result.ok)
        return PyLong_FromLong(-1);
    const Entry *entries = result->of.result.payload->of.sized.data;
    const Value *verdict = &entries[0].value;
    const Sized *tag = &verdict->of.variant.tag;
    if (tag->size != 7 || entries[1].value.of.sized.size || memcmp(tag->data, "forward", 7))
        return PyLong_FromLong(-1);
    return PyLong_FromLong(verdict->of.variant.payload->of.byte);
}

/* ---- what crosses at fieldbus.transact (host/exchange.py) --------------------------------------- */
static PyObject *bytes_of(const Sized *list) {
    PyObject *made = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)list->size);
    if (made == NULL)
        return NULL;
    char *out = PyBytes_AS_STRING(made);
    const Value *values = list->data;
    for (uint64_t i = 0; i < list->size; i++)
        out[i] = (char)values[i].of.byte;
    return made;
}

/* The framing last met, most often the next one's, too: its fields, and what Python made of them. */
static struct { uint8_t offset, size; bool big_endian; int32_t adjust; PyObject *made; } last;

static PyObject *framing(const Value *value) {
    const Sized *tag = &value->of.variant.tag;
    const Value *payload = value->of.variant.payload;
    if (tag->size != 12) /* not length-field, which is the only one of that length */
        return PyObject_CallFunction(python.framing, "KKK", (unsigned long long)tag->size,
                                     (unsigned long long)(uintptr_t)tag->data,
                                     (unsigned long long)(uintptr_t)payload);
    const Entry *fields = payload->of.sized.data;
    uint8_t offset = fields[0].value.of.byte, size = fields[1].value.of.byte;
    bool big_endian = fields[2].value.of.boolean;
    int32_t adjust = (int32_t)fields[3].value.of.word;
    if (last.made == NULL || last.offset != offset || last.size != size || last.big_endian != big_endian ||
        last.adjust != adjust) {
        PyObject *made = PyObject_CallFunction(python.framing, "KKK", (unsigned long long)tag->size,
                                               (unsigned long long)(uintptr_t)tag->data,
                                               (unsigned long long)(uintptr_t)payload);
        if (made == NULL)
            return NULL;
        last.offset = offset, last.size = size, last.big_endian = big_endian, last.adjust = adjust;
        Py_XSETREF(last.made, made);
    }
    return Py_NewRef(last.made);
}

static PyObject *arguments_of_transact(const Value *values) {
    PyObject *list = PyList_New(3);
    if (list == NULL)
        return NULL;
    PyObject *made[3] = {bytes_of(&values[0].of.sized), NULL, NULL};
    if (made[0] != NULL && (made[1] = framing(&values[1])) != NULL)
        made[2] = PyLong_FromUnsignedLongLong(values[2].of.number);
    for (int i = 0; i < 3; i++)
        PyList_SET_ITEM(list, i, made[i]);
    if (made[2] == NULL)
        Py_CLEAR(list);
    return list;
}

static PyObject *read_transact(PyObject *module, PyObject *given) {
    uint64_t place;
    return as_word(given, &place) ? arguments_of_transact(at(place)) : NULL;
}

/* Replies: a result<list<u8>, bus-error> of Python's into wasmtime's slot; anything but ok with bytes by Python. */
typedef struct { PyObject_HEAD vectorcallfunc vectorcall; PyObject *otherwise; } Replies;

static PyObject *replies_call(PyObject *callable, PyObject *const *given, size_t flags, PyObject *keywords) {
    Replies *self = (Replies *)callable;
    if (keywords != NULL || PyVectorcall_NARGS(flags) != 2) {
        PyErr_SetString(PyExc_TypeError, "a value and the address of its slot are wanted");
        return NULL;
    }
    PyObject *value = given[0];
    if (!PyTuple_Check(value) || PyTuple_GET_SIZE(value) != 2 || PyTuple_GET_ITEM(value, 0) != Py_True ||
        !PyBytes_CheckExact(PyTuple_GET_ITEM(value, 1)))
        return PyObject_Vectorcall(self->otherwise, given, 2, NULL);
    uint64_t slot;
    if (!as_word(given[1], &slot))
        return NULL;
    PyObject *data = PyTuple_GET_ITEM(value, 1);
    Py_ssize_t count = PyBytes_GET_SIZE(data);
    const uint8_t *bytes = (const uint8_t *)PyBytes_AS_STRING(data);
    Value list = {.kind = KIND_LIST};
    wasmtime.new_list(&list.of.sized, (size_t)count);
    Value *values = list.of.sized.data;
    for (Py_ssize_t i = 0; i < count; i++) {
        values[i].kind = KIND_U8;
        values[i].of.byte = bytes[i];
    }
    Value made = {.kind = KIND_RESULT};
    made.of.result.ok = 1;
    made.of.result.payload = wasmtime.new(&list);
    memcpy(at(slot), &made, sizeof made);
    Py_RETURN_NONE;
}

static PyObject *replies_new(PyTypeObject *type, PyObject *given, PyObject *named) {
    PyObject *otherwise;
    if (!is_bound() || !PyArg_ParseTuple(given, "O", &otherwise))
        return NULL;
    Replies *self = (Replies *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->vectorcall = replies_call;
        self->otherwise = Py_NewRef(otherwise);
    }
    return (PyObject *)self;
}

static int replies_traverse(Replies *self, visitproc visit, void *arg) {
    Py_VISIT(self->otherwise);
    return 0;
}

static int replies_clear(Replies *self) {
    Py_CLEAR(self->otherwise);
    return 0;
}

static void replies_dealloc(Replies *self) {
    PyObject_GC_UnTrack(self);
    replies_clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyTypeObject RepliesType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "twinloop.components.native.crossing.Replies",
    .tp_basicsize = sizeof(Replies),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_doc = "Called as host/exchange.py's Replies.write, which does what this doesn't.",
    .tp_new = replies_new,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(Replies, vectorcall),
    .tp_traverse = (traverseproc)replies_traverse,
    .tp_clear = (inquiry)replies_clear,
    .tp_dealloc = (destructor)replies_dealloc,
};

/* ---- Import: what a trampoline is given ---------------------------------------------------------- */
typedef struct {
    PyObject_HEAD
    PyObject *host;      /* asked whether the run was stopped, whether calls are counted; does what is rare */
    PyObject *instances; /* context -> Instance */
    PyObject *name, *read, *write;
    unsigned long long index; /* of this import, for the host's own trampolines */
    int resources;            /* some may be among arguments or result: always the host's own */
    int transact;             /* its arguments are read here */
    int gives;                /* kind of its result: KIND_U64, 0 for nothing, else -1: by write */
} Import;

static PyObject *import_new(PyTypeObject *type, PyObject *given, PyObject *named) {
    PyObject *host, *instances, *name, *read, *write;
    unsigned long long index;
    int resources, transact, gives;
    if (!PyArg_ParseTuple(given, "OO!OOOKppi", &host, &PyDict_Type, &instances, &name, &read, &write, &index,
                          &resources, &transact, &gives))
        return NULL;
    Import *self = (Import *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->host = Py_NewRef(host);
    self->instances = Py_NewRef(instances);
    self->name = Py_NewRef(name);
    self->read = Py_NewRef(read);
    self->write = Py_NewRef(write);
    self->index = index;
    self->resources = resources, self->transact = transact, self->gives = gives;
    return (PyObject *)self;
}

static int import_traverse(Import *self, visitproc visit, void *arg) {
    Py_VISIT(self->host);
    Py_VISIT(self->instances);
    Py_VISIT(self->name);
    Py_VISIT(self->read);
    Py_VISIT(self->write);
    return 0;
}

static int import_clear(Import *self) {
    Py_CLEAR(self->host);
    Py_CLEAR(self->instances);
    Py_CLEAR(self->name);
    Py_CLEAR(self->read);
    Py_CLEAR(self->write);
    return 0;
}

static void import_dealloc(Import *self) {
    PyObject_GC_UnTrack(self);
    import_clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *import_at(Import *self, void *unused) { return PyLong_FromVoidPtr(self); }
static PyGetSetDef import_getset[] = {{"at", (getter)import_at, NULL, NULL, NULL}, {NULL}};

static PyTypeObject ImportType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "twinloop.components.native.crossing.Import",
    .tp_basicsize = sizeof(Import),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_doc = "One import of a component: what SYNC and ASYNC are given as their environment.",
    .tp_new = import_new,
    .tp_getset = import_getset,
    .tp_traverse = (traverseproc)import_traverse,
    .tp_clear = (inquiry)import_clear,
    .tp_dealloc = (destructor)import_dealloc,
};

/* ---- trampolines --------------------------------------------------------------------------------- */
/* The instance of that store, a reference of the caller's own; NULL when nobody knows it, or with an exception. */
static PyObject *instance_at(Import *self, void *context) {
    PyObject *key = PyLong_FromVoidPtr(context);
    if (key == NULL)
        return NULL;
    PyObject *found = PyDict_GetItemWithError(self->instances, key);
    Py_DECREF(key);
    return Py_XNewRef(found);
}

/* What was raised is the instance's from here on; no exception is left. */
static void keep(PyObject *instance) {
#if PY_VERSION_HEX >= 0x030C0000
    PyObject *raised = PyErr_GetRaisedException();
#else
    PyObject *type, *raised, *trace;
    PyErr_Fetch(&type, &raised, &trace);
    PyErr_NormalizeException(&type, &raised, &trace);
    if (trace != NULL && raised != NULL)
        PyException_SetTraceback(raised, trace);
    Py_XDECREF(type);
    Py_XDECREF(trace);
#endif
    if (instance != NULL && raised != NULL && PyObject_SetAttr(instance, names.raised, raised) < 0)
        PyErr_WriteUnraisable(instance);
    else if (instance == NULL && raised != NULL) { /* nobody to keep it: said, not swallowed */
        PyErr_SetObject((PyObject *)Py_TYPE(raised), raised);
        PyErr_WriteUnraisable(NULL);
    }
    Py_XDECREF(raised);
}

static void *failed(void) { return wasmtime.error_new("host import failed"); }

/* 1: the host's own trampoline has to do it; 0: it can be done here; -1: with an exception. */
static int rare(Import *self, bool stops) {
    if (self->resources)
        return 1;
    PyObject *called = PyObject_GetAttr(self->host, names.called);
    if (called == NULL)
        return -1;
    int found = called != Py_None;
    Py_DECREF(called);
    if (found || !stops)
        return found;
    PyObject *interrupted = PyObject_GetAttr(self->host, names.interrupted);
    if (interrupted == NULL)
        return -1;
    found = PyObject_IsTrue(interrupted);
    Py_DECREF(interrupted);
    return found;
}

/* As Host._sync_import: the error that ends the guest, or NULL. */
static void *on_sync_rare(Import *self, void *context, const Value *arguments, size_t count, Value *results,
                          size_t result_count, PyObject *instance) {
    void *error = NULL;
    PyObject *told = PyObject_CallMethod(self->host, "_sync_import", "KKKKKKK", self->index,
                                         (unsigned long long)(uintptr_t)context, 0ULL,
                                         (unsigned long long)(uintptr_t)arguments, (unsigned long long)count,
                                         (unsigned long long)(uintptr_t)results, (unsigned long long)result_count);
    if (told != NULL && told != Py_None) {
        error = PyLong_AsVoidPtr(told);
        if (error == NULL && !PyErr_Occurred())
            PyErr_SetString(PyExc_SystemError, "an import failed without an error");
    }
    Py_XDECREF(told);
    if (PyErr_Occurred()) {
        keep(instance);
        error = failed();
    }
    return error;
}

static bool answered(Import *self, PyObject *value, Value *results) {
    if (self->gives == 0)
        return true;
    if (self->gives == KIND_U64 && PyLong_CheckExact(value)) {
        unsigned long long number = PyLong_AsUnsignedLongLong(value);
        if (number != (unsigned long long)-1 || !PyErr_Occurred()) {
            results->kind = KIND_U64;
            memset(results->padding, 0, sizeof results->padding);
            results->of.number = number;
            return true;
        }
        PyErr_Clear(); /* write says what is wrong with it */
    }
    PyObject *slot = PyLong_FromVoidPtr(results);
    if (slot == NULL)
        return false;
    PyObject *given[2] = {value, slot};
    PyObject *done = PyObject_Vectorcall(self->write, given, 2, NULL);
    Py_DECREF(slot);
    Py_XDECREF(done);
    return done != NULL;
}

/* The arguments by read, as a list. */
static PyObject *arguments_by(Import *self, const Value *arguments) {
    if (self->transact)
        return arguments_of_transact(arguments);
    PyObject *place = PyLong_FromVoidPtr((void *)arguments);
    if (place == NULL)
        return NULL;
    PyObject *list = PyObject_CallOneArg(self->read, place);
    Py_DECREF(place);
    if (list != NULL && !PyList_Check(list)) {
        PyErr_SetString(PyExc_TypeError, "arguments are read as a list");
        Py_CLEAR(list);
    }
    return list;
}

static bool served(Import *self, PyObject *instance, const Value *arguments, size_t count, Value *results) {
    PyObject *handlers = PyObject_GetAttr(instance, names.handlers);
    if (handlers == NULL)
        return false;
    PyObject *handler = PyObject_GetItem(handlers, self->name), *value = NULL;
    Py_DECREF(handlers);
    if (handler == NULL)
        return false;
    if (!count) {
        value = PyObject_CallNoArgs(handler);
    } else {
        PyObject *list = arguments_by(self, arguments);
        if (list != NULL) /* nobody else has it */
            value = PyObject_Vectorcall(handler, PySequence_Fast_ITEMS(list), (size_t)PyList_GET_SIZE(list), NULL);
        Py_XDECREF(list);
    }
    Py_DECREF(handler);
    bool well = value != NULL && answered(self, value, results);
    Py_XDECREF(value);
    return well;
}

static void *on_sync(void *environment, void *context, const void *type, const Value *arguments, size_t count,
                     Value *results, size_t result_count) {
    PyGILState_STATE lock = PyGILState_Ensure();
    Import *self = environment;
    void *error = NULL;
    Py_INCREF(self);
    PyObject *instance = instance_at(self, context);
    int otherwise = instance == NULL ? 1 : rare(self, true);
    if (PyErr_Occurred()) {
        keep(instance);
        error = failed();
    } else if (otherwise) {
        error = on_sync_rare(self, context, arguments, count, results, result_count, instance);
    } else if (!served(self, instance, arguments, count, results)) {
        keep(instance);
        error = failed();
    }
    Py_XDECREF(instance);
    Py_DECREF(self);
    PyGILState_Release(lock);
    return error;
}

static bool is_set(void *flag) { return *(const uint64_t *)flag != 0; }
static uint64_t always = 1;

static bool parked(Import *self, PyObject *instance, const Value *arguments, Value *results, Continuation *then) {
    PyObject *list = arguments_by(self, arguments);
    PyObject *slot = list == NULL ? NULL : PyLong_FromVoidPtr(results);
    PyObject *done = NULL, *block = NULL;
    if (slot != NULL) {
        PyObject *given[5] = {instance, self->name, list, self->write, slot};
        done = PyObject_VectorcallMethod(names.park, given, 5, NULL);
        Py_DECREF(slot);
    }
    Py_XDECREF(list);
    if (done == NULL)
        return false;
    Py_DECREF(done);
    block = PyObject_GetAttr(instance, names.block);
    if (block == NULL)
        return false;
    if (!Py_IS_TYPE(block, &CallWordsType)) {
        PyErr_SetString(PyExc_TypeError, "an instance of this host has other words");
        Py_DECREF(block);
        return false;
    }
    *then = (Continuation){is_set, &((CallWords *)block)->flag, NULL};
    Py_DECREF(block); /* the instance keeps it */
    return true;
}

static void on_async_rare(Import *self, void *context, const Value *arguments, size_t count, Value *results,
                          size_t result_count, void **error, Continuation *then, PyObject *instance) {
    PyObject *told = PyObject_CallMethod(
        self->host, "_async_import", "KKKKKKKKK", self->index, (unsigned long long)(uintptr_t)context, 0ULL,
        (unsigned long long)(uintptr_t)arguments, (unsigned long long)count,
        (unsigned long long)(uintptr_t)results, (unsigned long long)result_count,
        (unsigned long long)(uintptr_t)error, (unsigned long long)(uintptr_t)then);
    if (told == NULL) {
        keep(instance);
        *error = failed();
        *then = (Continuation){is_set, &always, NULL};
    }
    Py_XDECREF(told);
}

static void on_async(void *environment, void *context, const void *type, const Value *arguments, size_t count,
                     Value *results, size_t result_count, void **error, Continuation *then) {
    PyGILState_STATE lock = PyGILState_Ensure();
    Import *self = environment;
    Py_INCREF(self);
    PyObject *instance = instance_at(self, context);
    int otherwise = instance == NULL ? 1 : rare(self, false);
    if (!PyErr_Occurred() && otherwise) {
        on_async_rare(self, context, arguments, count, results, result_count, error, then, instance);
    } else if (PyErr_Occurred() || !parked(self, instance, arguments, results, then)) {
        keep(instance);
        *error = failed();
        *then = (Continuation){is_set, &always, NULL};
    }
    Py_XDECREF(instance);
    Py_DECREF(self);
    PyGILState_Release(lock);
}

#include "direct.h"
#include "calling.h"
#include "stacks.h"
#include "stage.h"

/* ---- the module ---------------------------------------------------------------------------------- */
static PyObject *bind(PyObject *module, PyObject *given) {
    PyObject *addresses, *batch, *read, *frames, *steps[6];
    unsigned long long slice, refused;
    if (!PyArg_ParseTuple(given, "O!O!OOOOOOOO!KK", &PyDict_Type, &addresses, &PyType_Type, &batch, &read, &frames,
                          steps, steps + 1, steps + 2, steps + 3, steps + 4, &PyType_Type, steps + 5, &slice, &refused))
        return NULL;
    for (int i = 0; i < NEEDED_COUNT; i++) {
        PyObject *address = PyDict_GetItemString(addresses, NEEDED[i].name);
        uint64_t found = 0;
        if (address != NULL && !as_word(address, &found))
            return NULL;
        if (!found)
            return PyErr_Format(PyExc_ImportError, "no address of %s", NEEDED[i].name);
        *NEEDED[i].to = at(found);
    }
    Py_XSETREF(python.batch, Py_NewRef(batch));
    Py_XSETREF(python.read_batch, Py_NewRef(read));
    Py_XSETREF(python.framing, Py_NewRef(frames));
    PyObject **to[6] = {&pure.begin, &pure.advance, &pure.answer, &pure.call_at, &pure.park, &pure.request};
    for (int i = 0; i < 6; i++)
        Py_XSETREF(*to[i], Py_NewRef(steps[i]));
    pure.slice_fuel = slice, pure.refused_max = refused;
    Py_CLEAR(last.made);
    bound = true;
    Py_RETURN_NONE;
}

static PyObject *needs(PyObject *module, PyObject *unused) {
    PyObject *list = PyTuple_New(NEEDED_COUNT);
    for (int i = 0; list != NULL && i < NEEDED_COUNT; i++) {
        PyObject *name = PyUnicode_FromString(NEEDED[i].name);
        if (name == NULL)
            Py_CLEAR(list);
        else
            PyTuple_SET_ITEM(list, i, name);
    }
    return list;
}

static PyMethodDef functions[] = {
    {"bind", bind, METH_VARARGS, "(addresses of needs(), Batch, read_batch, framing, five steps of Calling, Request, SLICE_FUEL, REFUSED_MAX): "
                                "before anything else is used."},
    {"bind_stage", bind_stage, METH_O, "Told once: host/batch.py's set_batch, for what is rare."},
    {"needs", needs, METH_NOARGS, "Names of libwasmtime's functions that bind wants."},
    {"batch_in", batch_in, METH_O, "As host/batch.py's."},
    {"read_batch", read_batch, METH_O, "As host/batch.py's."},
    {"forward_lane", forward_lane, METH_O, "As host/batch.py's."},
    {"read_transact", read_transact, METH_O, "As host/exchange.py's."},
    {NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "crossing", .m_doc = "See crossing.c.", .m_size = -1, .m_methods = functions,
};

static bool named(void) {
    const struct { PyObject **to; const char *text; } wanted[] = {
        {&names.handlers, "handlers"}, {&names.raised, "raised"}, {&names.block, "block"}, {&names.park, "park"},
        {&names.interrupted, "interrupted"}, {&names.called, "called"}, {&names.asked, "asked"},
        {&names.finish, "_finish"}, {&names.stopped, "_stopped"},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (*wanted[i].to == NULL && (*wanted[i].to = PyUnicode_InternFromString(wanted[i].text)) == NULL)
            return false;
    return (names.zero = PyLong_FromLong(0)) != NULL;
}

PyMODINIT_FUNC PyInit_crossing(void) {
    PyTypeObject *types[] = {&CallWordsType, &HeldType, &RepliesType, &ImportType, &LoweredType, &BlueprintType, &CallStateType,
                             &CallingType, &StageWordsType};
    const char *called[] = {"CallWords", "Held", "Replies", "Import", "Lowered", "Blueprint", "CallState", "Calling",
                            "StageWords"};
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL || !named())
        goto fail;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (PyType_Ready(types[i]) < 0 || PyModule_AddObjectRef(module, called[i], (PyObject *)types[i]) < 0)
            goto fail;
    const struct { const char *name; void *at; } trampolines[] = {
        {"SYNC", (void *)(uintptr_t)on_sync}, {"ASYNC", (void *)(uintptr_t)on_async},
        {"STACKS", &stack_creator}, {"LOWERED_SYNC", (void *)(uintptr_t)on_lowered_sync}, {"LOWERED_ASYNC", (void *)(uintptr_t)on_lowered_async},
    };
    for (size_t i = 0; i < sizeof trampolines / sizeof *trampolines; i++) {
        PyObject *place = PyLong_FromVoidPtr(trampolines[i].at);
        int added = place == NULL ? -1 : PyModule_AddObjectRef(module, trampolines[i].name, place);
        Py_XDECREF(place);
        if (added)
            goto fail;
    }
    if (PyModule_AddStringConstant(module, "STAMP", STAMP))
        goto fail;
    return module;
fail:
    Py_XDECREF(module);
    return NULL;
}
