/* Accounts that are kept many times in a poll: what a segment of guest code costs, and the ledger's sums and
 * plain rows.
 *
 * Belongs here: what sim/machine/budget.py (Charges) and sim/accounts/rows.py (Rows) keep in Python, by the same names
 * (tests/sim/machine/test_meter.py and tests/sim/accounts/test_rows.py compare them). Never: prices, shares of rows. Sums
 * are of 64 bits; what doesn't fit is an OverflowError. */
#include "engine.h"

enum { PS_PER_NS = 1000 };

/* ---- Charges ------------------------------------------------------------------------------------ */
typedef struct {
    PyObject_HEAD
    long long fuel, calls, imports, exchanges, values, bytes, cpu_ns, rest_ps;
    long long fuel_ps, call_ps, import_ps, exchange_ps, value_ps, byte_ps;
} Charges;

static bool costs(long long count, long long price_ps, long long *sum) {
    long long cost;
    if (!__builtin_mul_overflow(count, price_ps, &cost) && !__builtin_add_overflow(*sum, cost, sum))
        return true;
    PyErr_SetString(PyExc_OverflowError, "a segment that costs more than 64 bits hold");
    return false;
}

static long long charged(Charges *self, long long ps) {
    long long ns = ps / PS_PER_NS;
    self->rest_ps = ps % PS_PER_NS;
    self->cpu_ns += ns;
    return ns;
}

static bool are_counts(const long long *n, Py_ssize_t count) {
    for (Py_ssize_t i = 0; i < count; i++)
        if (n[i] < 0) {
            PyErr_SetString(PyExc_ValueError, "counts are 0 or more");
            return false;
        }
    return true;
}

static bool counts_of(PyObject *const *given, Py_ssize_t count, Py_ssize_t wanted, long long *out) {
    if (count != wanted) {
        PyErr_Format(PyExc_TypeError, "expected %zd counts, got %zd", wanted, count);
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        out[i] = quick_int(given[i]);
        if (out[i] == -1 && PyErr_Occurred())
            return false;
    }
    return are_counts(out, count);
}

static long long charge(Charges *self, const long long n[6]) {
    long long ps = self->rest_ps;
    if (!costs(n[0], self->fuel_ps, &ps) || !costs(n[1], self->call_ps, &ps) || !costs(n[2], self->import_ps, &ps) ||
        !costs(n[3], self->exchange_ps, &ps) || !costs(n[4], self->value_ps, &ps) || !costs(n[5], self->byte_ps, &ps))
        return -1;
    self->fuel += n[0], self->calls += n[1], self->imports += n[2];
    self->exchanges += n[3], self->values += n[4], self->bytes += n[5];
    return charged(self, ps);
}

static PyObject *charges_charge(Charges *self, PyObject *const *given, Py_ssize_t count) {
    long long n[6], ns = counts_of(given, count, 6, n) ? charge(self, n) : -1;
    return ns < 0 ? NULL : PyLong_FromLongLong(ns);
}

static long long charge_call(Charges *self, long long fuel, long long values) {
    long long ps = self->rest_ps;
    if (!costs(fuel, self->fuel_ps, &ps) || !costs(1, self->call_ps, &ps) || !costs(values, self->value_ps, &ps))
        return -1;
    self->fuel += fuel, self->calls++, self->values += values;
    return charged(self, ps);
}

static PyObject *charges_charge_call(Charges *self, PyObject *const *given, Py_ssize_t count) {
    long long n[2], ns = counts_of(given, count, 2, n) ? charge_call(self, n[0], n[1]) : -1;
    return ns < 0 ? NULL : PyLong_FromLongLong(ns);
}

static PyObject *charges_price(Charges *self, PyObject *const *given, Py_ssize_t count) {
    long long n[6];
    if (!counts_of(given, count, 6, n))
        return NULL;
    self->fuel_ps = n[0], self->call_ps = n[1], self->import_ps = n[2];
    self->exchange_ps = n[3], self->value_ps = n[4], self->byte_ps = n[5];
    Py_RETURN_NONE;
}

static PyMethodDef charges_methods[] = {
    {"charge", (PyCFunction)(void (*)(void))charges_charge, METH_FASTCALL, "Account for one segment; its time in ns."},
    {"charge_call", (PyCFunction)(void (*)(void))charges_charge_call, METH_FASTCALL, "The same for one whole call."},
    {"_price", (PyCFunction)(void (*)(void))charges_price, METH_FASTCALL, NULL},
    {NULL},
};
static PyMemberDef charges_members[] = {
    {"fuel", T_LONGLONG, offsetof(Charges, fuel), 0, NULL},
    {"calls", T_LONGLONG, offsetof(Charges, calls), 0, NULL},
    {"imports", T_LONGLONG, offsetof(Charges, imports), 0, NULL},
    {"exchanges", T_LONGLONG, offsetof(Charges, exchanges), 0, NULL},
    {"values", T_LONGLONG, offsetof(Charges, values), 0, NULL},
    {"bytes", T_LONGLONG, offsetof(Charges, bytes), 0, NULL},
    {"cpu_ns", T_LONGLONG, offsetof(Charges, cpu_ns), 0, NULL},
    {"_rest_ps", T_LONGLONG, offsetof(Charges, rest_ps), 0, NULL},
    {NULL},
};
static PyTypeObject ChargesType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "twinloop.components.native.engine.Charges",
    .tp_doc = "What a component has used, and what that costs.",
    .tp_basicsize = sizeof(Charges),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = PyType_GenericNew,
    .tp_methods = charges_methods,
    .tp_members = charges_members,
};

static PyTypeObject *plain_meter; /* the class of which none is asked by name */

void meters_are(PyTypeObject *type) {
    PyTypeObject *before = plain_meter;
    plain_meter = PyType_IsSubtype(type, &ChargesType) ? type : NULL; /* one that charges in Python is always asked */
    Py_XINCREF(plain_meter);
    Py_XDECREF(before);
}

/* What somebody who looks on has put in a meter's place is asked by name. */
static long long time_said(PyObject *said) {
    long long ns = said == NULL ? -1 : quick_int(said);
    Py_XDECREF(said);
    if (ns < 0 && !PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "a meter says a time of less than 0");
    return ns;
}

long long charge_segment(PyObject *meter, const long long n[6]) {
    if (Py_IS_TYPE(meter, plain_meter))
        return are_counts(n, 6) ? charge((Charges *)meter, n) : -1;
    return time_said(PyObject_CallMethod(meter, "charge", "LLLLLL", n[0], n[1], n[2], n[3], n[4], n[5]));
}

long long charge_whole_call(PyObject *meter, long long fuel, long long values) {
    const long long n[] = {fuel, values};
    if (Py_IS_TYPE(meter, plain_meter))
        return are_counts(n, 2) ? charge_call((Charges *)meter, fuel, values) : -1;
    return time_said(PyObject_CallMethod(meter, "charge_call", "LL", fuel, values));
}

/* ---- Sums, and rows of one gateway's ---------------------------------------------------------------- */
static struct { PyObject *device, *k, *due_ns, *period_ns, *due, *open, *read, *carried, *delivered, *void_, *marks, *close; } row_names;
static struct {
    PyTypeObject *row;
    Slot device, k, due_ns, period_ns, due, open, read, carried, delivered, void_, marks;
    PyObject *open_row, *close, *deliver, *end_delivered, *no_cause;
} rows; /* told to bind_ledger */

enum { MASK_BITS = 62 };

/* A mask of a plain row that 64 bits hold; -1 (nothing is set) for one that rows.py has to look at. */
static long long mask_of(const Slot *slot, PyObject *row) {
    PyObject *mask = *place_of(slot, row);
    long long found = mask != NULL && PyLong_CheckExact(mask) ? quick_int(mask) : -1;
    if (found == -1 && PyErr_Occurred())
        PyErr_Clear();
    return found >> MASK_BITS ? -1 : found;
}

static PyObject *field_of(const Slot *slot, PyObject *row) { return *place_of(slot, row); }

static bool is_plain(PyObject *dict) { return dict != NULL && PyDict_CheckExact(dict); }

/* Add to what a dictionary has at a key that is there; 1, 0 where it isn't, -1 with an exception set. */
static int add_at(PyObject *dict, PyObject *key, long long count) {
    PyObject *before = PyDict_GetItemWithError(dict, key);
    if (before == NULL)
        return PyErr_Occurred() ? -1 : 0;
    long long sum = quick_int(before);
    PyObject *after = sum == -1 && PyErr_Occurred() ? NULL : PyLong_FromLongLong(sum + count);
    int failed = after == NULL ? -1 : PyDict_SetItem(dict, key, after);
    Py_XDECREF(after);
    return failed ? -1 : 1;
}

static bool touch(Sums *self, PyObject *device, PyObject *k, PyObject *mask) {
    PyObject *three = PyTuple_Pack(3, device, k, mask);
    if (three != NULL)
        Py_XSETREF(self->last_touched, three);
    return three != NULL;
}

/* Points of a plain row end; 1 done, 0 (nothing was done) where rows.py has to look, -1 with an exception set. */
static int row_closes(Sums *self, PyObject *row, long long mask, PyObject *mask_given, PyObject *end, PyObject *cause) {
    if (!Py_IS_TYPE(row, rows.row) || mask < 0 || field_of(&rows.marks, row) != Py_None || !is_plain(self->totals) ||
        !is_plain(self->ends) || !is_plain(self->rows) || self->on_end == NULL)
        return 0;
    long long open = mask_of(&rows.open, row), count = __builtin_popcountll((unsigned long long)mask);
    if (open < 0 || mask & ~open)
        return 0;
    PyObject *device = field_of(&rows.device, row), *k = field_of(&rows.k, row);
    if (device == NULL || k == NULL)
        return 0;
    PyObject *how = PyTuple_Pack(2, end, cause), *key = PyTuple_Pack(3, device, end, cause);
    int known = how == NULL || key == NULL ? -1 : PyDict_Contains(self->ends, key);
    if (known < 0 && PyErr_ExceptionMatches(PyExc_TypeError)) { /* a cause that is none: rows.py has words for it */
        PyErr_Clear();
        known = 0;
    }
    if (known > 0) /* such an end has been seen, so the cause is one of it */
        known = add_at(self->totals, how, count);
    if (known > 0)
        known = add_at(self->ends, key, count);
    Py_XDECREF(how);
    Py_XDECREF(key);
    if (known <= 0)
        return known;
    self->open -= count, self->ended += count, open &= ~mask;
    if (!write_of(&rows.open, row, row_names.open, PyLong_FromLongLong(open)) || !touch(self, device, k, mask_given))
        return -1;
    if (!open) { /* of a row that has ended nothing may end once more */
        PyObject *at = PyTuple_Pack(2, device, k);
        int there = at == NULL ? -1 : PyDict_Contains(self->rows, at);
        if (there > 0)
            there = PyDict_DelItem(self->rows, at);
        Py_XDECREF(at);
        if (there < 0)
            return -1;
    }
    if (self->on_end == Py_None)
        return 1;
    PyObject *told[] = {NULL, row, mask_given, end, cause}, *on_end = Py_NewRef(self->on_end); /* who may put another there */
    PyObject *done = PyObject_Vectorcall(on_end, told + 1, 4 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_DECREF(on_end);
    Py_XDECREF(done);
    return done == NULL ? -1 : 1;
}

/* ``rows.py``'s method of that name, with the same arguments. */
static PyObject *purely(PyObject *function, Sums *self, PyObject *const *given, Py_ssize_t count, PyObject *named) {
    PyObject *all[9];
    Py_ssize_t whole = count + (named == NULL ? 0 : PyTuple_GET_SIZE(named));
    if (whole > 8 || function == NULL) {
        PyErr_SetString(PyExc_TypeError, "more arguments than a ledger takes");
        return NULL;
    }
    all[0] = (PyObject *)self;
    for (Py_ssize_t i = 0; i < whole; i++)
        all[1 + i] = given[i];
    return PyObject_Vectorcall(function, all, (size_t)count + 1, named);
}

static PyObject *sums_close(Sums *self, PyObject *const *given, Py_ssize_t count, PyObject *named) {
    if ((count == 3 || count == 4) && named == NULL && PyLong_CheckExact(given[1])) {
        long long mask = quick_int(given[1]);
        if (mask == -1 && PyErr_Occurred())
            PyErr_Clear();
        int done = row_closes(self, given[0], mask, given[1], given[2], count == 4 ? given[3] : rows.no_cause);
        if (done)
            return done > 0 ? Py_NewRef(given[1]) : NULL;
    }
    return purely(rows.close, self, given, count, named);
}

static PyObject *sums_deliver(Sums *self, PyObject *const *given, Py_ssize_t count, PyObject *named) {
    if (count == 2 && named == NULL && Py_IS_TYPE(given[0], rows.row) && PyLong_CheckExact(given[1])) {
        PyObject *row = given[0];
        long long mask = quick_int(given[1]), had = mask_of(&rows.delivered, row), open = mask_of(&rows.open, row);
        if (mask == -1 && PyErr_Occurred())
            PyErr_Clear();
        /* all of it is open, and for the first time there */
        if (mask > 0 && had >= 0 && open >= 0 && !(mask & had) && !(mask & ~open) && mask_of(&rows.void_, row) == 0 &&
            field_of(&rows.marks, row) == Py_None) {
            if (!write_of(&rows.delivered, row, row_names.delivered, PyLong_FromLongLong(had | mask)))
                return NULL;
            PyObject *words[] = {(PyObject *)self, row, given[1], rows.end_delivered}; /* by name: one may be put there */
            return PyObject_VectorcallMethod(row_names.close, words, 4 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
        }
    }
    return purely(rows.deliver, self, given, count, named);
}

static PyObject *sums_open_row(Sums *self, PyObject *const *given, Py_ssize_t count, PyObject *named) {
    long long mask = count == 5 && named == NULL && PyLong_CheckExact(given[3]) ? quick_int(given[3]) : -1;
    if (mask == -1 && PyErr_Occurred())
        PyErr_Clear();
    if (mask < 0 || !PyLong_CheckExact(given[0]) || self->due_of == NULL || !PyList_CheckExact(self->due_of) ||
        !is_plain(self->rows) || rows.row == NULL)
        return purely(rows.open_row, self, given, count, named);
    long long device = quick_int(given[0]);
    if (device == -1 && PyErr_Occurred())
        PyErr_Clear();
    long long points = __builtin_popcountll((unsigned long long)mask);
    PyObject *key = PyTuple_Pack(2, given[0], given[1]);
    int there = key == NULL ? -1 : PyDict_Contains(self->rows, key);
    if (there || device < 0 || device >= PyList_GET_SIZE(self->due_of)) {
        Py_XDECREF(key);
        return there < 0 ? NULL : purely(rows.open_row, self, given, count, named);
    }
    PyObject *row = rows.row->tp_alloc(rows.row, 0), *zero = PyLong_FromLong(0);
    if (row != NULL) {
        const struct { const Slot *slot; PyObject *value; } values[] = {
            {&rows.device, given[0]}, {&rows.k, given[1]}, {&rows.due_ns, given[2]}, {&rows.due, given[3]},
            {&rows.open, given[3]}, {&rows.period_ns, given[4]}, {&rows.read, zero}, {&rows.carried, zero},
            {&rows.delivered, zero}, {&rows.void_, zero}, {&rows.marks, Py_None},
        };
        for (size_t i = 0; i < sizeof values / sizeof *values; i++)
            *place_of(values[i].slot, row) = Py_NewRef(values[i].value);
        long long before = quick_int(PyList_GET_ITEM(self->due_of, device));
        PyObject *after = before == -1 && PyErr_Occurred() ? NULL : PyLong_FromLongLong(before + points);
        if (after == NULL || PyList_SetItem(self->due_of, device, after) < 0 || PyDict_SetItem(self->rows, key, row) < 0 ||
            !touch(self, given[0], given[1], given[3]))
            Py_CLEAR(row);
        else
            self->due += points, self->open += points;
    }
    Py_DECREF(zero);
    Py_DECREF(key);
    return row;
}

static int sums_traverse(Sums *self, visitproc visit, void *arg) {
    Py_VISIT(self->rows);
    Py_VISIT(self->ends);
    Py_VISIT(self->totals);
    Py_VISIT(self->due_of);
    Py_VISIT(self->last_touched);
    Py_VISIT(self->on_end);
    return 0;
}

static int sums_clear(Sums *self) {
    Py_CLEAR(self->rows);
    Py_CLEAR(self->ends);
    Py_CLEAR(self->totals);
    Py_CLEAR(self->due_of);
    Py_CLEAR(self->last_touched);
    Py_CLEAR(self->on_end);
    return 0;
}

static void sums_dealloc(Sums *self) {
    PyObject_GC_UnTrack(self);
    sums_clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *sums_new(PyTypeObject *type, PyObject *given, PyObject *named) {
    Sums *self = (Sums *)type->tp_alloc(type, 0);
    if (self != NULL) {
        PyObject **all[] = {&self->rows, &self->ends, &self->totals, &self->due_of, &self->last_touched, &self->on_end};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            *all[i] = Py_NewRef(Py_None);
    }
    return (PyObject *)self;
}

static PyMethodDef sums_methods[] = {
    {"open_row", (PyCFunction)(void (*)(void))sums_open_row, METH_FASTCALL | METH_KEYWORDS, "As accounts/rows.py's."},
    {"close", (PyCFunction)(void (*)(void))sums_close, METH_FASTCALL | METH_KEYWORDS, "As accounts/rows.py's."},
    {"deliver", (PyCFunction)(void (*)(void))sums_deliver, METH_FASTCALL | METH_KEYWORDS, "As accounts/rows.py's."},
    {NULL},
};
static PyMemberDef sums_members[] = {
    {"due", T_LONGLONG, offsetof(Sums, due), 0, NULL},
    {"open", T_LONGLONG, offsetof(Sums, open), 0, NULL},
    {"ended", T_LONGLONG, offsetof(Sums, ended), 0, NULL},
    {"rows", T_OBJECT_EX, offsetof(Sums, rows), 0, NULL},
    {"ends", T_OBJECT_EX, offsetof(Sums, ends), 0, NULL},
    {"totals", T_OBJECT_EX, offsetof(Sums, totals), 0, NULL},
    {"due_of", T_OBJECT_EX, offsetof(Sums, due_of), 0, NULL},
    {"last_touched", T_OBJECT_EX, offsetof(Sums, last_touched), 0, NULL},
    {"on_end", T_OBJECT_EX, offsetof(Sums, on_end), 0, NULL},
    {NULL},
};
PyTypeObject SumsType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "twinloop.components.native.engine.Sums",
    .tp_doc = "Points that were due, are open, have ended; rows of one gateway, opened and closed.",
    .tp_basicsize = sizeof(Sums),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = sums_new,
    .tp_traverse = (traverseproc)sums_traverse,
    .tp_clear = (inquiry)sums_clear,
    .tp_dealloc = (destructor)sums_dealloc,
    .tp_methods = sums_methods,
    .tp_members = sums_members,
};

static PyObject *bind_ledger(PyObject *module, PyObject *given) {
    PyObject *row, *open_row, *close, *deliver, *end_delivered, *no_cause;
    if (!PyArg_ParseTuple(given, "O!OOOOO", &PyType_Type, &row, &open_row, &close, &deliver, &end_delivered, &no_cause))
        return NULL;
    const struct { PyObject **name; const char *text; Slot *to; } slots[] = {
        {&row_names.device, "device", &rows.device}, {&row_names.k, "k", &rows.k}, {&row_names.due_ns, "due_ns", &rows.due_ns},
        {&row_names.period_ns, "period_ns", &rows.period_ns}, {&row_names.due, "due", &rows.due},
        {&row_names.open, "open", &rows.open}, {&row_names.read, "read", &rows.read},
        {&row_names.carried, "carried", &rows.carried}, {&row_names.delivered, "delivered", &rows.delivered},
        {&row_names.void_, "void", &rows.void_}, {&row_names.marks, "marks", &rows.marks},
    };
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++)
        if ((*slots[i].name = PyUnicode_InternFromString(slots[i].text)) == NULL || !slot_of(row, *slots[i].name, slots[i].to))
            return NULL;
    if ((row_names.close = PyUnicode_InternFromString("close")) == NULL)
        return NULL;
    Py_INCREF(given); /* for good, once a process: it holds them all */
    rows.row = (PyTypeObject *)row, rows.open_row = open_row, rows.close = close, rows.deliver = deliver;
    rows.end_delivered = end_delivered, rows.no_cause = no_cause;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"bind_ledger", bind_ledger, METH_VARARGS, "Told once: the class of a row, rows.py's three methods, the best end and its cause."},
    {NULL},
};

int accounts_part(PyObject *module) {
    return PyModule_AddType(module, &ChargesType) < 0 || PyModule_AddType(module, &SumsType) < 0
               ? -1
               : PyModule_AddFunctions(module, functions);
}
