/* What of a transform's and a policy's arguments changes with each sample, written where it lies.
 *
 * Belongs here: set_batch and set_link of components/host/batch.py (StageWords), which has the batches that a receiver
 * takes in another form. Never: where the words lie (batch.py says it once for each device). */

enum { ENTRY_WORDS = 6 }; /* of a record's entry: its name's length and place, its value's four words */

typedef struct {
    PyObject_HEAD
    unsigned long long fields_at, sequence_at, link_at;
    PyObject *made;
} StageWords;

static PyObject *pure_set_batch; /* batch.py's */

static void put_word(unsigned long long where, unsigned long long word) { *(uint64_t *)(uintptr_t)where = word; }

static bool word_of(PyObject *given, unsigned long long *out) {
    *out = PyLong_Check(given) ? PyLong_AsUnsignedLongLong(given) : (PyErr_SetString(PyExc_TypeError, "an int was expected"), ~0ull);
    return *out != ~0ull || !PyErr_Occurred();
}

static PyObject *stage_set_batch(StageWords *self, PyObject *const *given, Py_ssize_t count) {
    unsigned long long sequence, entries;
    if (count != 3 || !PyTuple_Check(given[1]) || PyTuple_GET_SIZE(given[1]) != 7) {
        PyErr_SetString(PyExc_TypeError, "set_batch takes a sample's k, what batch_in returns, and a bool");
        return NULL;
    }
    int knows_integers = PyObject_IsTrue(given[2]);
    int has_them = knows_integers < 0 ? -1 : PyObject_IsTrue(PyTuple_GET_ITEM(given[1], knows_integers ? 6 : 5));
    if (has_them < 0)
        return NULL;
    if (!self->fields_at || !self->sequence_at || pure_set_batch == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "nobody has said where the batch is, or bind_stage what to do with rare ones");
        return NULL;
    }
    if (knows_integers != has_them) {
        PyObject *all[] = {(PyObject *)self, given[0], given[1], given[2]};
        return PyObject_Vectorcall(pure_set_batch, all, 4, NULL);
    }
    if (!word_of(given[0], &sequence) || !word_of(PyTuple_GET_ITEM(given[1], 4), &entries))
        return NULL;
    put_word(self->sequence_at, sequence);
    put_word(self->fields_at, knows_integers ? 3 : 2);
    put_word(self->fields_at + 8, entries);
    return PyLong_FromLong(0);
}

static PyObject *stage_set_link(StageWords *self, PyObject *const *given, Py_ssize_t count) {
    unsigned long long since, backlog, round_trip;
    if (count != 5) {
        PyErr_Format(PyExc_TypeError, "set_link takes 5 figures, got %zd", count);
        return NULL;
    }
    int up = PyObject_IsTrue(given[0]);
    double used = PyFloat_AsDouble(given[4]);
    if (up < 0 || (used == -1.0 && PyErr_Occurred()) || !word_of(given[1], &since) || !word_of(given[2], &backlog) ||
        !word_of(given[3], &round_trip))
        return NULL;
    if (!self->link_at) {
        PyErr_SetString(PyExc_RuntimeError, "nobody has said where the link-state is");
        return NULL;
    }
    float as_f32 = (float)used;
    if (as_f32 - as_f32 != 0 && used - used == 0) { /* infinite now */
        PyErr_SetString(PyExc_OverflowError, "a share that is too large for 32 bits");
        return NULL;
    }
    unsigned long long entry = 8 * ENTRY_WORDS;
    *(uint8_t *)(uintptr_t)self->link_at = (uint8_t)up;
    put_word(self->link_at + entry, since);
    put_word(self->link_at + 2 * entry, backlog);
    put_word(self->link_at + 3 * entry, round_trip);
    memcpy((void *)(uintptr_t)(self->link_at + 4 * entry), &as_f32, sizeof as_f32);
    Py_RETURN_NONE;
}

static PyObject *stage_new(PyTypeObject *type, PyObject *given, PyObject *named) {
    StageWords *self = (StageWords *)type->tp_alloc(type, 0);
    if (self != NULL)
        self->made = Py_NewRef(Py_None);
    return (PyObject *)self;
}

static int stage_traverse(StageWords *self, visitproc visit, void *arg) {
    Py_VISIT(self->made);
    return 0;
}

static int stage_clear(StageWords *self) {
    Py_CLEAR(self->made);
    return 0;
}

static void stage_dealloc(StageWords *self) {
    PyObject_GC_UnTrack(self);
    stage_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMethodDef stage_methods[] = {
    {"set_batch", (PyCFunction)(void (*)(void))stage_set_batch, METH_FASTCALL, "As host/batch.py's."},
    {"set_link", (PyCFunction)(void (*)(void))stage_set_link, METH_FASTCALL, "As host/batch.py's."},
    {NULL},
};
static PyMemberDef stage_members[] = {
    {"_fields_at", T_ULONGLONG, offsetof(StageWords, fields_at), 0, NULL},
    {"_sequence_at", T_ULONGLONG, offsetof(StageWords, sequence_at), 0, NULL},
    {"_link_at", T_ULONGLONG, offsetof(StageWords, link_at), 0, NULL},
    {"_made", T_OBJECT_EX, offsetof(StageWords, made), 0, NULL},
    {NULL},
};
static PyTypeObject StageWordsType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "twinloop.components.native.crossing.StageWords",
    .tp_doc = "As host/batch.py has it.",
    .tp_basicsize = sizeof(StageWords),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = stage_new,
    .tp_traverse = (traverseproc)stage_traverse,
    .tp_clear = (inquiry)stage_clear,
    .tp_dealloc = (destructor)stage_dealloc,
    .tp_methods = stage_methods,
    .tp_members = stage_members,
};

static PyObject *bind_stage(PyObject *module, PyObject *function) {
    Py_XSETREF(pure_set_batch, Py_NewRef(function));
    Py_RETURN_NONE;
}
