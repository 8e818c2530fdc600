/* A frame is cut from what has come, and a message is made of some points: small deeds of every poll.
 *
 * Belongs here: cut_frame as sim/field/framing.py has it, a Message as sim/cloud/messages.py makes it. Never: what is rare
 * of them, which is told to bind_frames. */
#include "engine.h"

static struct {
    PyObject *body, *crc, *device, *k, *lane, *mask, *row, *sent_ns, *size_bytes, *store_id, *topic, *length_field;
} names;

static struct {
    PyTypeObject *message;
    Slot body, crc, device, k, lane, mask, row, sent_ns, size_bytes, store_id, topic, of_device, of_k;
    PyObject *cut_frame, *crc32;
    long long frame_max, record_bytes;
} told;

/* ---- cut_frame ----------------------------------------------------------------------------------- */
/* Modbus's: a length of two bytes, the high one first; false for any other (nothing is set). */
static bool is_length_of_two(PyObject *framing, PyObject **field) {
    if (!PyTuple_Check(framing) || PyTuple_GET_SIZE(framing) != 2)
        return false;
    PyObject *tag = PyTuple_GET_ITEM(framing, 0);
    *field = PyTuple_GET_ITEM(framing, 1);
    return PyUnicode_Check(tag) && (tag == names.length_field || PyUnicode_Compare(tag, names.length_field) == 0) &&
           PyTuple_Check(*field) && PyTuple_GET_SIZE(*field) == 4 && PyLong_CheckExact(PyTuple_GET_ITEM(*field, 0)) &&
           PyLong_CheckExact(PyTuple_GET_ITEM(*field, 1)) && PyTuple_GET_ITEM(*field, 2) == Py_True &&
           PyLong_CheckExact(PyTuple_GET_ITEM(*field, 3));
}

static PyObject *cut_frame(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    PyObject *field;
    if (count != 2) {
        PyErr_Format(PyExc_TypeError, "cut_frame takes 2 arguments, got %zd", count);
        return NULL;
    }
    if (PyBytes_CheckExact(given[0]) && is_length_of_two(given[1], &field)) {
        long long offset = quick_int(PyTuple_GET_ITEM(field, 0)), size = quick_int(PyTuple_GET_ITEM(field, 1));
        long long adjust = quick_int(PyTuple_GET_ITEM(field, 3)), come = PyBytes_GET_SIZE(given[0]);
        if (!PyErr_Occurred() && size == 2 && offset >= 0 && offset <= come - 2 && adjust < INT32_MAX && adjust > INT32_MIN) {
            long long end = offset + 2;
            const unsigned char *bytes = (const unsigned char *)PyBytes_AS_STRING(given[0]);
            long long length = end + (bytes[offset] << 8 | bytes[offset + 1]) + adjust;
            bool too_long = length > told.frame_max || length < end;
            PyObject *frame = too_long || come < length ? Py_NewRef(Py_None)
                              : come == length          ? Py_NewRef(given[0])
                                                        : PyBytes_FromStringAndSize((const char *)bytes, length);
            PyObject *pair = frame == NULL ? NULL : PyTuple_Pack(2, frame, too_long ? Py_True : Py_False);
            Py_XDECREF(frame);
            return pair;
        }
        if (PyErr_Occurred())
            PyErr_Clear(); /* an int that no field has: framing.py says what becomes of it */
    }
    return PyObject_Vectorcall(told.cut_frame, given, 2, NULL);
}

/* ---- messages ------------------------------------------------------------------------------------ */
static PyObject *message(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    if (count != 5 || !PyBytes_Check(given[3]) || !PyBytes_Check(given[4]) || told.message == NULL) {
        PyErr_SetString(PyExc_TypeError, "a message is made of a row, a mask, a lane, a topic and a body");
        return NULL;
    }
    long long remaining = PyBytes_GET_SIZE(given[3]) + PyBytes_GET_SIZE(given[4]) + 4; /* ``publish_bytes`` */
    long long size = 2 + (remaining > 127) + (remaining > 16383) + (remaining > 2097151) + remaining + told.record_bytes;
    PyObject *device = read_of(&told.of_device, given[0], names.device), *k = NULL, *crc = NULL, *bytes = NULL, *zero = NULL;
    PyObject *made = NULL;
    if (device != NULL && (k = read_of(&told.of_k, given[0], names.k)) != NULL &&
        (crc = PyObject_CallOneArg(told.crc32, given[4])) != NULL && (bytes = PyLong_FromLongLong(size)) != NULL &&
        (zero = PyLong_FromLong(0)) != NULL)
        made = told.message->tp_alloc(told.message, 0);
    if (made != NULL) {
        const struct { const Slot *slot; PyObject *value; } values[] = {
            {&told.row, given[0]}, {&told.mask, given[1]}, {&told.lane, given[2]}, {&told.topic, given[3]},
            {&told.body, given[4]}, {&told.device, device}, {&told.k, k}, {&told.crc, crc}, {&told.size_bytes, bytes},
            {&told.store_id, Py_None}, {&told.sent_ns, zero},
        };
        for (size_t i = 0; i < sizeof values / sizeof *values; i++)
            *place_of(values[i].slot, made) = Py_NewRef(values[i].value);
    }
    Py_XDECREF(device);
    Py_XDECREF(k);
    Py_XDECREF(crc);
    Py_XDECREF(bytes);
    Py_XDECREF(zero);
    return made;
}

/* ---- the module's part --------------------------------------------------------------------------- */
static PyObject *bind_frames(PyObject *module, PyObject *given) {
    PyObject *cut;
    long long frame_max;
    if (!PyArg_ParseTuple(given, "OL", &cut, &frame_max))
        return NULL;
    Py_XSETREF(told.cut_frame, Py_NewRef(cut));
    told.frame_max = frame_max;
    Py_RETURN_NONE;
}

static PyObject *bind_messages(PyObject *module, PyObject *given) {
    PyObject *kind, *row, *crc32;
    long long record_bytes;
    if (!PyArg_ParseTuple(given, "O!O!OL", &PyType_Type, &kind, &PyType_Type, &row, &crc32, &record_bytes))
        return NULL;
    const Wanted slots[] = {
        {kind, names.body, &told.body}, {kind, names.crc, &told.crc}, {kind, names.device, &told.device}, {kind, names.k, &told.k},
        {kind, names.lane, &told.lane}, {kind, names.mask, &told.mask}, {kind, names.row, &told.row},
        {kind, names.sent_ns, &told.sent_ns}, {kind, names.size_bytes, &told.size_bytes}, {kind, names.store_id, &told.store_id},
        {kind, names.topic, &told.topic}, {row, names.device, &told.of_device}, {row, names.k, &told.of_k},
    };
    if (!slots_of(slots, sizeof slots / sizeof *slots))
        return NULL;
    Py_INCREF(given); /* for good, once a process: it holds them all */
    told.message = (PyTypeObject *)kind, told.crc32 = crc32, told.record_bytes = record_bytes;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"cut_frame", (PyCFunction)(void (*)(void))cut_frame, METH_FASTCALL, "As field/framing.py's."},
    {"message", (PyCFunction)(void (*)(void))message, METH_FASTCALL, "A Message, as cloud/messages.py makes it."},
    {"bind_frames", bind_frames, METH_VARARGS, "Told once: framing.py's cut_frame, and its REPLY_BYTES_MAX."},
    {"bind_messages", bind_messages, METH_VARARGS, "Told once: Message, Row, crc32, TLS_RECORD_BYTES."},
    {NULL},
};

int frames_part(PyObject *module) {
    const Word words[] = {
        {&names.body, "body"}, {&names.crc, "crc"}, {&names.device, "device"}, {&names.k, "k"}, {&names.lane, "lane"},
        {&names.mask, "mask"}, {&names.row, "row"}, {&names.sent_ns, "sent_ns"}, {&names.size_bytes, "size_bytes"},
        {&names.store_id, "store_id"}, {&names.topic, "topic"}, {&names.length_field, "length-field"},
    };
    if (!intern(words, sizeof words / sizeof *words))
        return -1;
    return PyModule_AddFunctions(module, functions);
}
