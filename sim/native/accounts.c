/* Accounts that are kept many times in a poll: what a segment of guest code costs, and the ledger's three sums.
 *
 * Belongs here: what sim/machine/budget.py (Charges) and sim/accounts/ledger.py (Sums) keep in Python, by the same names
 * (tests/sim/native compares them). Never: prices, rows. Sums are of 64 bits; what doesn't fit is an OverflowError. */
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

static bool is_meter(PyObject *meter) {
    if (PyObject_TypeCheck(meter, &ChargesType))
        return true;
    PyErr_Format(PyExc_TypeError, "%R is no meter", Py_TYPE(meter));
    return false;
}

long long charge_segment(PyObject *meter, const long long counts[6]) {
    return is_meter(meter) && are_counts(counts, 6) ? charge((Charges *)meter, counts) : -1;
}

long long charge_whole_call(PyObject *meter, long long fuel, long long values) {
    const long long counts[] = {fuel, values};
    return is_meter(meter) && are_counts(counts, 2) ? charge_call((Charges *)meter, fuel, values) : -1;
}

/* ---- Sums --------------------------------------------------------------------------------------- */
static PyMemberDef sums_members[] = {
    {"due", T_LONGLONG, offsetof(Sums, due), 0, NULL},
    {"open", T_LONGLONG, offsetof(Sums, open), 0, NULL},
    {"ended", T_LONGLONG, offsetof(Sums, ended), 0, NULL},
    {NULL},
};
PyTypeObject SumsType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "twinloop.components.native.engine.Sums",
    .tp_doc = "Points that were due, are open, have ended.",
    .tp_basicsize = sizeof(Sums),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = PyType_GenericNew,
    .tp_members = sums_members,
};

int accounts_part(PyObject *module) {
    return PyModule_AddType(module, &ChargesType) < 0 || PyModule_AddType(module, &SumsType) < 0 ? -1 : 0;
}
