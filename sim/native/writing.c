/* Bytes of the hot path: the trace's lines, a message's body, digit by digit, and its packet.
 *
 * Belongs here: what sim/kernel/trace.py (lines), sim/cloud/messages.py (Body) and sim/cloud/mqtt_wire.py (sample,
 * take_sample) make in Python, byte for byte
 * (tests/sim/cloud compares them). Never: what is rare: repr does that, or the twin. */
#include "engine.h"
#include <math.h>

typedef struct { char *text; size_t size, room; } Text;

static bool more(Text *to, size_t size) {
    if (to->size + size <= to->room)
        return true;
    size_t room = 2 * to->room + size + 256;
    char *text = PyMem_Realloc(to->text, room);
    if (text == NULL) {
        PyErr_NoMemory();
        return false;
    }
    to->text = text, to->room = room;
    return true;
}

static bool put(Text *to, const char *text, size_t size) {
    if (!more(to, size))
        return false;
    memcpy(to->text + to->size, text, size);
    to->size += size;
    return true;
}

static char *digits_before(char *end, uint64_t number) {
    do
        *--end = (char)('0' + number % 10);
    while (number /= 10);
    return end;
}

static bool put_number(Text *to, uint64_t number, bool negative) {
    char room[24], *end = room + sizeof room, *begin = digits_before(end, number);
    if (negative)
        *--begin = '-';
    return put(to, begin, (size_t)(end - begin));
}

static bool put_text(Text *to, PyObject *text) {
    Py_ssize_t size;
    const char *found = PyUnicode_AsUTF8AndSize(text, &size);
    return found != NULL && put(to, found, (size_t)size);
}

static bool put_repr(Text *to, PyObject *what) {
    PyObject *text = PyObject_Repr(what);
    bool done = text != NULL && put_text(to, text);
    Py_XDECREF(text);
    return done;
}

static bool put_int(Text *to, PyObject *number) {
    int over;
    long long found = PyLong_AsLongLongAndOverflow(number, &over);
    if (over)
        return put_repr(to, number);
    return put_number(to, found < 0 ? 0 - (uint64_t)found : (uint64_t)found, found < 0);
}

/* Text that repr only puts into quotes. */
static bool put_quoted(Text *to, PyObject *text) {
    if (!PyUnicode_IS_COMPACT_ASCII(text))
        return put_repr(to, text);
    const char *found = (const char *)PyUnicode_1BYTE_DATA(text);
    size_t size = (size_t)PyUnicode_GET_LENGTH(text);
    for (size_t i = 0; i < size; i++)
        if (found[i] < ' ' || found[i] > '~' || found[i] == '\'' || found[i] == '\\')
            return put_repr(to, text);
    if (!more(to, size + 2))
        return false;
    char *at = to->text + to->size;
    at[0] = '\'';
    memcpy(at + 1, found, size);
    at[size + 1] = '\'';
    to->size += size + 2;
    return true;
}

static bool put_record(Text *to, PyObject *record) {
    if (!PyTuple_CheckExact(record) || PyTuple_GET_SIZE(record) < 2)
        return put_repr(to, record);
    if (!put(to, "(", 1))
        return false;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(record); i++) {
        PyObject *field = PyTuple_GET_ITEM(record, i);
        if (i && !put(to, ", ", 2))
            return false;
        if (!(PyLong_CheckExact(field) ? put_int(to, field)
              : PyUnicode_CheckExact(field) ? put_quoted(to, field)
                                            : put_repr(to, field)))
            return false;
    }
    return put(to, ")", 1);
}

static PyObject *lines(PyObject *module, PyObject *records) {
    if (!PyList_Check(records)) {
        PyErr_SetString(PyExc_TypeError, "lines are of a list");
        return NULL;
    }
    Text out = {0};
    PyObject *found = NULL;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(records); i++) {
        PyObject *record = PyList_GET_ITEM(records, i);
        Py_INCREF(record);
        bool done = put_record(&out, record) && put(&out, ", ", 2);
        Py_DECREF(record);
        if (!done)
            goto over;
    }
    found = PyBytes_FromStringAndSize(out.text, (Py_ssize_t)out.size);
over:
    PyMem_Free(out.text);
    return found;
}

/* ---- doubles ----------------------------------------------------------------------------------- */
static const double TENS[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};
static const uint64_t WHOLE_TENS[] = {
    UINT64_C(1), UINT64_C(10), UINT64_C(100), UINT64_C(1000), UINT64_C(10000), UINT64_C(100000), UINT64_C(1000000),
    UINT64_C(10000000), UINT64_C(100000000), UINT64_C(1000000000), UINT64_C(10000000000), UINT64_C(100000000000),
    UINT64_C(1000000000000), UINT64_C(10000000000000), UINT64_C(100000000000000), UINT64_C(1000000000000000),
    UINT64_C(10000000000000000), UINT64_C(100000000000000000), UINT64_C(1000000000000000000)};

#ifdef __SIZEOF_INT128__
typedef unsigned __int128 Wide;

/* The digits of a double from 1e-4 to 1e15 that has no decimal of 15: 16 or 17 of them, and how many are places. The
 * double is whole / 2^halved; 10^places times that is compared with a decimal exactly, in integers. False: ask repr. */
static bool long_digits(double size, uint64_t *number, int *places) {
    int exponent, magnitude = -4;
    uint64_t whole = (uint64_t)ldexp(frexp(size, &exponent), 53);
    int halved = 53 - exponent;
    for (double ten = 1e-3; magnitude < 14 && size >= ten; ten *= 10)
        magnitude++;
    *places = 16 - magnitude; /* so that 17 digits stand before the point */
    if (whole == UINT64_C(1) << 52 || halved < 1 || *places < 2 || *places > 20)
        return false; /* below a power of two the next double is nearer */
    Wide tens = *places > 18 ? (Wide)WHOLE_TENS[18] * WHOLE_TENS[*places - 18] : WHOLE_TENS[*places];
    Wide scaled = whole * tens, one = (Wide)1 << halved;
    uint64_t seventeen = (uint64_t)(scaled >> halved);
    if (seventeen < WHOLE_TENS[16] || seventeen >= WHOLE_TENS[17] - 10)
        return false;
    Wide less = (Wide)(seventeen - seventeen % 10) << halved, from_less = scaled - less, from_more = less + 10 * one - scaled;
    bool even = !(whole & 1), low = 2 * from_less < tens + even, high = 2 * from_more < tens + even;
    if (low || high) { /* 16 digits do: they are read as this double, not as its neighbour */
        if (low && high && from_less == from_more)
            return false;
        *number = seventeen / 10 + (high && (!low || from_more < from_less));
        *places -= 1;
        return *number % 10 != 0;
    }
    Wide rest = scaled - ((Wide)seventeen << halved);
    if (2 * rest == one)
        return false;
    *number = seventeen + (2 * rest > one);
    return *number % 10 != 0;
}
#else
static bool long_digits(double size, uint64_t *number, int *places) { return false; }
#endif

static bool put_decimal(Text *to, uint64_t number, int places, bool negative) {
    char room[48], *end = room + sizeof room, *begin = end;
    if (places) {
        for (int i = 0; i < places; i++, number /= 10)
            *--begin = (char)('0' + number % 10);
    } else
        *--begin = '0';
    *--begin = '.';
    begin = digits_before(begin, number);
    if (negative)
        *--begin = '-';
    return put(to, begin, (size_t)(end - begin));
}

/* repr of a finite double. A quotient of two whole doubles is rounded once, so number / 10^places is the double that
 * this decimal stands for; of decimals with at most 15 digits only one stands for it, and repr prints the shortest. */
static bool put_real(Text *to, double value) {
    double size = fabs(value);
    if (size < 1e15 && size >= 1e-4) {
        for (int places = 0; places < 19 && size * TENS[places] < 1e15; places++) {
            uint64_t number = (uint64_t)(size * TENS[places] + 0.5);
            if ((double)number / TENS[places] != size)
                continue;
            return put_decimal(to, number, places, value < 0);
        }
        uint64_t number;
        int places;
        if (long_digits(size, &number, &places))
            return put_decimal(to, number, places, value < 0);
    }
    char *text = PyOS_double_to_string(value, 'r', 0, Py_DTSF_ADD_DOT_0, NULL);
    if (text == NULL) {
        PyErr_NoMemory();
        return false;
    }
    bool done = put(to, text, strlen(text));
    PyMem_Free(text);
    return done;
}

static PyObject *real(PyObject *module, PyObject *value) {
    double number = PyFloat_AsDouble(value);
    if (number == -1.0 && PyErr_Occurred())
        return NULL;
    Text out = {0};
    PyObject *found = put_real(&out, number) ? PyUnicode_FromStringAndSize(out.text, (Py_ssize_t)out.size) : NULL;
    PyMem_Free(out.text);
    return found;
}

/* ---- bodies ------------------------------------------------------------------------------------ */
typedef struct { PyObject_HEAD PyObject *ids, *heads; /* tuples */ } AllWell;
static PyObject *good; /* the status 0 */

static PyObject *well_new(PyTypeObject *type, PyObject *given, PyObject *named) {
    PyObject *ids, *heads;
    if (!PyArg_ParseTuple(given, "O!O!", &PyTuple_Type, &ids, &PyTuple_Type, &heads))
        return NULL;
    bool texts = PyTuple_GET_SIZE(ids) == PyTuple_GET_SIZE(heads);
    for (Py_ssize_t i = 0; texts && i < PyTuple_GET_SIZE(heads); i++)
        texts = PyUnicode_Check(PyTuple_GET_ITEM(heads, i));
    if (!texts) {
        PyErr_SetString(PyExc_TypeError, "each id has a head, which is a text");
        return NULL;
    }
    AllWell *self = (AllWell *)type->tp_alloc(type, 0);
    if (self != NULL)
        self->ids = Py_NewRef(ids), self->heads = Py_NewRef(heads);
    return (PyObject *)self;
}

static void well_dealloc(AllWell *self) {
    Py_CLEAR(self->ids);
    Py_CLEAR(self->heads);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static bool same(PyObject *one, PyObject *other) {
    if (one == other)
        return true;
    if (!PyLong_CheckExact(one) || !PyLong_CheckExact(other))
        return false;
    int over, also;
    return PyLong_AsLongLongAndOverflow(one, &over) == PyLong_AsLongLongAndOverflow(other, &also) && !over && !also;
}

/* Is it a whole batch, all Good, of finite doubles that were measured at one instant? */
static bool is_well(AllWell *self, PyObject *batch) {
    if (!PyTuple_Check(batch) || PyTuple_GET_SIZE(batch) != 5)
        return false;
    for (int i = 0; i < 5; i++)
        if (!PyTuple_Check(PyTuple_GET_ITEM(batch, i)))
            return false;
    PyObject *ids = PyTuple_GET_ITEM(batch, 0), *values = PyTuple_GET_ITEM(batch, 1);
    PyObject *statuses = PyTuple_GET_ITEM(batch, 2), *times = PyTuple_GET_ITEM(batch, 3);
    Py_ssize_t count = PyTuple_GET_SIZE(self->ids);
    if (!count || PyTuple_GET_SIZE(PyTuple_GET_ITEM(batch, 4)) || PyTuple_GET_SIZE(ids) != count ||
        PyTuple_GET_SIZE(values) != count || PyTuple_GET_SIZE(statuses) != count || PyTuple_GET_SIZE(times) != count)
        return false;
    PyObject *first = PyTuple_GET_ITEM(times, 0);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *value = PyTuple_GET_ITEM(values, i), *status = PyTuple_GET_ITEM(statuses, i);
        if (!same(PyTuple_GET_ITEM(ids, i), PyTuple_GET_ITEM(self->ids, i)) || !PyFloat_CheckExact(value) ||
            !isfinite(PyFloat_AS_DOUBLE(value)) || !same(status, good) || !PyLong_CheckExact(first) ||
            !same(PyTuple_GET_ITEM(times, i), first))
            return false;
    }
    return true;
}

static PyObject *well_of(AllWell *self, PyObject *const *given, Py_ssize_t count) {
    if (count != 3 || !PyUnicode_Check(given[0]) || !PyLong_Check(given[1])) {
        PyErr_SetString(PyExc_TypeError, "of takes a name, a number and a batch");
        return NULL;
    }
    PyObject *batch = given[2];
    if (!is_well(self, batch))
        Py_RETURN_NONE;
    PyObject *values = PyTuple_GET_ITEM(batch, 1), *found = NULL;
    Text out = {0};
    if (!put(&out, "{\"device\":\"", 11) || !put_text(&out, given[0]) || !put(&out, "\",\"seq\":", 8) ||
        !put_int(&out, given[1]) || !put(&out, ",\"t\":", 5) ||
        !put_int(&out, PyTuple_GET_ITEM(PyTuple_GET_ITEM(batch, 3), 0)) || !put(&out, ",\"values\":{", 11))
        goto over;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(values); i++)
        if ((i && !put(&out, ",", 1)) || !put_text(&out, PyTuple_GET_ITEM(self->heads, i)) ||
            !put_real(&out, PyFloat_AS_DOUBLE(PyTuple_GET_ITEM(values, i))))
            goto over;
    if (put(&out, "}}", 2))
        found = PyBytes_FromStringAndSize(out.text, (Py_ssize_t)out.size);
over:
    PyMem_Free(out.text);
    return found;
}

static PyMethodDef well_methods[] = {
    {"of", (PyCFunction)(void (*)(void))well_of, METH_FASTCALL, "The body, or None: it is no such batch."},
    {NULL},
};
static PyTypeObject AllWellType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "twinloop.components.native.engine.AllWell",
    .tp_doc = "Bodies of whole batches that are all Good and measured at one instant.",
    .tp_basicsize = sizeof(AllWell),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = well_new,
    .tp_dealloc = (destructor)well_dealloc,
    .tp_methods = well_methods,
};

/* ---- packets ----------------------------------------------------------------------------------- */
enum { PUBLISH_QOS_1 = 0x32, HEAD_BYTES = 5, PACKET_BYTES = 2 };

/* The head of a PUBLISH whose length takes two bytes; false for any other. */
static bool head_of(Py_ssize_t topic, Py_ssize_t body, unsigned char *head) {
    Py_ssize_t size = topic + body + 4;
    if (size <= 127 || size >= 16384)
        return false;
    head[0] = PUBLISH_QOS_1;
    head[1] = (unsigned char)((size & 0x7F) | 0x80), head[2] = (unsigned char)(size >> 7);
    head[3] = (unsigned char)(topic >> 8), head[4] = (unsigned char)(topic & 0xFF);
    return true;
}

static PyObject *sample(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    if (count != 3 || !PyBytes_Check(given[0]) || !PyBytes_Check(given[1])) {
        PyErr_SetString(PyExc_TypeError, "sample takes a topic, a body and a packet's identifier");
        return NULL;
    }
    long packet = PyLong_AsLong(given[2]);
    if (packet < 0 || packet > 0xFFFF) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_OverflowError, "an identifier has two bytes");
        return NULL;
    }
    unsigned char head[HEAD_BYTES];
    Py_ssize_t topic = PyBytes_GET_SIZE(given[0]), body = PyBytes_GET_SIZE(given[1]);
    if (!head_of(topic, body, head))
        Py_RETURN_NONE;
    PyObject *found = PyBytes_FromStringAndSize(NULL, HEAD_BYTES + topic + PACKET_BYTES + body);
    if (found == NULL)
        return NULL;
    char *at = PyBytes_AS_STRING(found);
    memcpy(at, head, HEAD_BYTES);
    memcpy(at + HEAD_BYTES, PyBytes_AS_STRING(given[0]), (size_t)topic);
    at[HEAD_BYTES + topic] = (char)(packet >> 8), at[HEAD_BYTES + topic + 1] = (char)(packet & 0xFF);
    memcpy(at + HEAD_BYTES + topic + PACKET_BYTES, PyBytes_AS_STRING(given[1]), (size_t)body);
    return found;
}

static PyObject *take_sample(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    if (count != 3 || !PyBytes_Check(given[0]) || !PyBytes_Check(given[1]) || !PyBytes_Check(given[2])) {
        PyErr_SetString(PyExc_TypeError, "take_sample takes bytes, a topic and a body");
        return NULL;
    }
    unsigned char head[HEAD_BYTES];
    Py_ssize_t topic = PyBytes_GET_SIZE(given[1]), body = PyBytes_GET_SIZE(given[2]);
    const unsigned char *at = (const unsigned char *)PyBytes_AS_STRING(given[0]);
    if (!head_of(topic, body, head) || PyBytes_GET_SIZE(given[0]) != HEAD_BYTES + topic + PACKET_BYTES + body ||
        memcmp(at, head, HEAD_BYTES) || memcmp(at + HEAD_BYTES, PyBytes_AS_STRING(given[1]), (size_t)topic) ||
        memcmp(at + HEAD_BYTES + topic + PACKET_BYTES, PyBytes_AS_STRING(given[2]), (size_t)body))
        Py_RETURN_NONE;
    return PyLong_FromLong(at[HEAD_BYTES + topic] << 8 | at[HEAD_BYTES + topic + 1]);
}

static PyMethodDef functions[] = {
    {"sample", (PyCFunction)(void (*)(void))sample, METH_FASTCALL, "A PUBLISH with QoS 1 of the usual length; else None."},
    {"take_sample", (PyCFunction)(void (*)(void))take_sample, METH_FASTCALL, "The identifier of the packet that says just that; None for any other."},
    {"lines", lines, METH_O, "Records as the trace's digest has them."},
    {"real", real, METH_O, "repr of a finite float."},
    {NULL},
};

int writing_part(PyObject *module) {
    good = PyLong_FromLong(0);
    return good == NULL || PyModule_AddFunctions(module, functions) < 0 || PyModule_AddType(module, &AllWellType) < 0 ? -1 : 0;
}
