/* The answer to the request of most traffic: registers of a device that answers all that it is asked, over MBAP.
 *
 * Belongs here: what devices/modbus/server.py's respond_tcp does with one whole Read Holding or Input Registers
 * (tests/devices/test_answers.py compares the two). Never: any other request, a fault, manners, a register that is hidden
 * or lies: None is said to all of that, before anything is done, and server.py answers. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { REQUEST_BYTES = 12, HEADER_BYTES = 7, COUNT_MAX = 125 };

typedef struct {
    PyTypeObject *server, *device, *image, *layout;
    Py_ssize_t buffer, plain, device_at, faults, unit_id, witnesses; /* of a server */
    Py_ssize_t image_at, move, step, step_ns;                        /* of its device */
    Py_ssize_t layout_at, overlays, raw;                             /* of its image */
    Py_ssize_t first, length, unreadable;                            /* of how that lies */
    PyObject *holding, *input;
} Places;

static Places of; /* told by bind_server */

static PyObject *field(PyObject *one, Py_ssize_t offset) { return *(PyObject **)((char *)one + offset); }

/* Nothing in it? -1: it isn't there. */
static int is_empty(PyObject *found) {
    if (found == NULL)
        return -1;
    if (PyList_CheckExact(found))
        return PyList_GET_SIZE(found) == 0;
    if (PyTuple_CheckExact(found))
        return PyTuple_GET_SIZE(found) == 0;
    if (PyDict_CheckExact(found))
        return PyDict_GET_SIZE(found) == 0;
    if (PyBytes_CheckExact(found))
        return PyBytes_GET_SIZE(found) == 0;
    return -1;
}

static bool small(PyObject *found, long long *out) {
    if (found == NULL || !PyLong_CheckExact(found))
        return false;
    int overflow;
    *out = PyLong_AsLongLongAndOverflow(found, &overflow);
    return !overflow;
}

/* An int that a dictionary has for a table. */
static bool at_table(PyObject *dict, PyObject *table, long long *out) {
    return dict != NULL && PyDict_CheckExact(dict) && small(PyDict_GetItemWithError(dict, table), out);
}

/* ``Device.advance``; false with an exception set. */
static bool advances(PyObject *device, long long now_ns, long long step_ns, long long before) {
    long long step = now_ns > 0 ? now_ns / step_ns : 0;
    if (step == before)
        return true;
    PyObject *number = PyLong_FromLongLong(step);
    if (number == NULL)
        return false;
    PyObject **at = (PyObject **)((char *)device + of.step);
    Py_XSETREF(*at, Py_NewRef(number));
    PyObject *move = Py_NewRef(field(device, of.move)), *done = PyObject_CallOneArg(move, number);
    Py_DECREF(move);
    Py_DECREF(number);
    Py_XDECREF(done);
    return done != NULL;
}

static bool tell(PyObject *witnesses, const unsigned char *request, const unsigned char *answer, Py_ssize_t size) {
    if (PyTuple_GET_SIZE(witnesses) == 0)
        return true;
    PyObject *pair = Py_BuildValue("(y#y#)", request + HEADER_BYTES, (Py_ssize_t)(REQUEST_BYTES - HEADER_BYTES), answer, size);
    bool fine = pair != NULL;
    for (Py_ssize_t i = 0; fine && i < PyTuple_GET_SIZE(witnesses); i++) {
        PyObject *told = PyObject_CallOneArg(PyTuple_GET_ITEM(witnesses, i), pair);
        fine = told != NULL;
        Py_XDECREF(told);
    }
    Py_XDECREF(pair);
    return fine;
}

PyObject *read_answer(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    if (count != 3) {
        PyErr_Format(PyExc_TypeError, "read_answer takes a server, bytes, an instant; got %zd arguments", count);
        return NULL;
    }
    PyObject *server = given[0];
    if (of.server == NULL || !Py_IS_TYPE(server, of.server) || !PyBytes_CheckExact(given[1]) ||
        PyBytes_GET_SIZE(given[1]) != REQUEST_BYTES)
        Py_RETURN_NONE;
    const unsigned char *request = (const unsigned char *)PyBytes_AS_STRING(given[1]);
    unsigned start = request[8] << 8 | request[9], registers = request[10] << 8 | request[11];
    if (memcmp(request + 2, "\0\0\0\6", 4) != 0 || (request[7] != 3 && request[7] != 4) || registers < 1 || registers > COUNT_MAX)
        Py_RETURN_NONE;
    PyObject *device = field(server, of.device_at), *witnesses = field(server, of.witnesses), *table;
    long long unit, now_ns, step_ns, before, first, length;
    if (field(server, of.plain) != Py_True || is_empty(field(server, of.buffer)) != 1 || is_empty(field(server, of.faults)) != 1 ||
        !small(field(server, of.unit_id), &unit) || unit != request[6] || device == NULL || !Py_IS_TYPE(device, of.device) ||
        witnesses == NULL || !PyTuple_CheckExact(witnesses) || !small(given[2], &now_ns) ||
        !small(field(device, of.step_ns), &step_ns) || step_ns <= 0 || !small(field(device, of.step), &before) ||
        field(device, of.move) == NULL)
        Py_RETURN_NONE;
    PyObject *image = field(device, of.image_at);
    if (image == NULL || !Py_IS_TYPE(image, of.image) || is_empty(field(image, of.overlays)) != 1)
        Py_RETURN_NONE;
    PyObject *layout = field(image, of.layout_at), *raws = field(image, of.raw);
    table = request[7] == 3 ? of.holding : of.input;
    if (layout == NULL || !Py_IS_TYPE(layout, of.layout) || is_empty(field(layout, of.unreadable)) != 1 || raws == NULL ||
        !PyDict_CheckExact(raws) || !at_table(field(layout, of.first), table, &first) ||
        !at_table(field(layout, of.length), table, &length)) {
        if (PyErr_Occurred())
            return NULL;
        Py_RETURN_NONE;
    }
    if (start < first || start + registers > first + length)
        Py_RETURN_NONE;
    PyObject *raw = PyDict_GetItemWithError(raws, table);
    if (raw == NULL) {
        if (PyErr_Occurred())
            return NULL;
        Py_RETURN_NONE;
    }
    Py_INCREF(raw), Py_INCREF(witnesses), Py_INCREF(device);
    PyObject *answers = NULL;
    Py_buffer bytes;
    unsigned char answer[HEADER_BYTES + 2 + 2 * COUNT_MAX];
    if (advances(device, now_ns, step_ns, before) && PyObject_GetBuffer(raw, &bytes, PyBUF_SIMPLE) == 0) {
        unsigned size = 2 * registers;
        bool fits = bytes.len >= (Py_ssize_t)(2 * (start - first) + size);
        if (fits)
            memcpy(answer + HEADER_BYTES + 2, (const char *)bytes.buf + 2 * (start - first), size);
        PyBuffer_Release(&bytes);
        if (!fits)
            PyErr_SetString(PyExc_IndexError, "an image is shorter than its layout");
        else {
            memcpy(answer, request, 4);
            answer[4] = (unsigned char)((size + 3) >> 8), answer[5] = (unsigned char)(size + 3), answer[6] = request[6];
            answer[7] = request[7], answer[8] = (unsigned char)size;
            if (tell(witnesses, request, answer + HEADER_BYTES, 2 + size))
                answers = Py_BuildValue("[y#]", answer, (Py_ssize_t)(HEADER_BYTES + 2 + size));
        }
    }
    Py_DECREF(raw), Py_DECREF(witnesses), Py_DECREF(device);
    return answers;
}

/* Where a class's slot lies; false with an exception set when it has none of that name. */
static bool offset_of(PyObject *type, const char *name, Py_ssize_t *out) {
    PyObject *found = PyObject_GetAttrString(type, name);
    if (found == NULL)
        return false;
    bool is_slot = Py_IS_TYPE(found, &PyMemberDescr_Type) && ((PyMemberDescrObject *)found)->d_member->type == T_OBJECT_EX;
    if (is_slot)
        *out = ((PyMemberDescrObject *)found)->d_member->offset;
    else
        PyErr_Format(PyExc_TypeError, "%s of %R is no slot", name, type);
    Py_DECREF(found);
    return is_slot;
}

PyObject *bind_server(PyObject *module, PyObject *given) {
    PyObject *server, *device, *image, *layout, *holding, *input;
    if (!PyArg_ParseTuple(given, "O!O!O!O!OO", &PyType_Type, &server, &PyType_Type, &device, &PyType_Type, &image, &PyType_Type,
                          &layout, &holding, &input))
        return NULL;
    Places found = {(PyTypeObject *)server, (PyTypeObject *)device, (PyTypeObject *)image, (PyTypeObject *)layout, .holding = holding, .input = input};
    const struct { PyObject *type; const char *name; Py_ssize_t *to; } slots[] = {
        {server, "_buffer", &found.buffer}, {server, "_plain", &found.plain}, {server, "device", &found.device_at},
        {server, "faults", &found.faults}, {server, "unit_id", &found.unit_id}, {server, "witnesses", &found.witnesses},
        {device, "image", &found.image_at}, {device, "_move", &found.move}, {device, "_step", &found.step},
        {device, "_step_ns", &found.step_ns}, {image, "layout", &found.layout_at}, {image, "overlays", &found.overlays},
        {image, "raw", &found.raw}, {layout, "first", &found.first}, {layout, "length", &found.length},
        {layout, "unreadable", &found.unreadable},
    };
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++)
        if (!offset_of(slots[i].type, slots[i].name, slots[i].to))
            return NULL;
    Py_INCREF(given); /* for good, once for each time that it is told: it holds them all */
    of = found;
    Py_RETURN_NONE;
}
