/* Calls of components, segment by segment: the core, the guest, what it costs, and only then what its import does.
 *
 * Belongs here: call, call_at_once and at_once_over as sim/gateway/call.py has them (tests/sim/gateway/test_call_steps.py
 * runs both). Never: what is rare (waiting for a core, an import other than transact, a call that has taken too long): that is
 * call.py's, and told to bind_calls. Start code has no steps here. */
#include "engine.h"

static struct {
    PyObject *machine, *meter, *imports, *instance, *fuel_limit, *fuel_limit_ns, *deadline_ns, *segment_start_ns, *left_ns,
        *crossings, *bytes_carried, *logged, *busy_ns, *free, *waiters, *lists, *spent_ns, *fault, *request, *closed, *env,
        *cores, *now, *call_at, *begin, *advance, *answer, *flush_log, *popleft, *transact, *close, *throw, *result_at,
        *serving, *state, *linked, *parks, *ready;
} names;

static struct {
    Slot meter, imports, instance, fuel_limit, fuel_limit_ns, deadline_ns, serving, state, linked;    /* of gateway.slot.Slot */
    Slot in_machine, segment_start_ns, left_ns, crossings, bytes_carried, logged; /* of its Imports */
    Slot busy_ns, free, waiters;                                              /* of machine.cores.Cores */
    Slot lists, spent_ns;                                                     /* of latency.StageTimes */
    Slot fault, request, closed;                                              /* of an Instance */
    long long bus, constant_values, reading_values, looked_at;                /* call.py's figures */
    PyObject *batch_in, *limit_batch, *fuel_or_deadline, *handed_over, *answered, *too_late, *waited, *limit_fuel, *start, *plain_call;
} of;

/* ---- what calls have in common -------------------------------------------------------------------- */
/* The clock, as an int that somebody else may keep; NULL with an exception set. */
static PyObject *clock_of(PyObject *env) {
    if (PyObject_TypeCheck(env, &TimelineType) && ((Timeline *)env)->now != NULL)
        return Py_NewRef(((Timeline *)env)->now);
    return PyObject_GetAttr(env, names.now);
}

static bool instant_of(PyObject *env, long long *out) {
    PyObject *now = clock_of(env);
    *out = now == NULL ? -1 : quick_int(now);
    Py_XDECREF(now);
    return *out != -1 || !PyErr_Occurred();
}

static bool write_number(const Slot *slot, PyObject *to, PyObject *name, long long number) {
    return write_of(slot, to, name, PyLong_FromLongLong(number));
}

/* ``Cores.release``: the first who waits has the core at this instant. */
static bool give_back(PyObject *cores, long long held_ns) {
    long long busy_ns, free;
    if (!number_of(&of.busy_ns, cores, names.busy_ns, &busy_ns) || !write_number(&of.busy_ns, cores, names.busy_ns, busy_ns + held_ns))
        return false;
    PyObject *waiters = read_of(&of.waiters, cores, names.waiters);
    int any = waiters == NULL ? -1 : PyObject_IsTrue(waiters);
    bool fine = any >= 0;
    if (any > 0) {
        PyObject *first = PyObject_CallMethodNoArgs(waiters, names.popleft);
        PyObject *done = first == NULL ? NULL : PyObject_CallNoArgs(first);
        fine = done != NULL;
        Py_XDECREF(first);
        Py_XDECREF(done);
    } else if (fine)
        fine = number_of(&of.free, cores, names.free, &free) && write_number(&of.free, cores, names.free, free + 1);
    Py_XDECREF(waiters);
    return fine;
}

static bool spend(PyObject *spent, long long stage, long long time_ns) {
    bool plain = PyList_CheckExact(spent) && stage >= 0 && stage < PyList_GET_SIZE(spent);
    PyObject *found = plain ? Py_NewRef(PyList_GET_ITEM(spent, stage)) : PySequence_GetItem(spent, stage);
    long long before = found == NULL ? -1 : quick_int(found);
    Py_XDECREF(found);
    PyObject *after = before == -1 && PyErr_Occurred() ? NULL : PyLong_FromLongLong(before + time_ns);
    if (after == NULL || plain)
        return after != NULL && PyList_SetItem(spent, stage, after) == 0;
    int failed = PySequence_SetItem(spent, stage, after); /* somebody who looks on has put another list there */
    Py_DECREF(after);
    return !failed;
}

static bool item_of(PyObject *lists, Py_ssize_t i, long long *out) {
    PyObject *found = PySequence_GetItem(lists, i);
    *out = found == NULL ? -1 : quick_int(found);
    Py_XDECREF(found);
    return *out != -1 || !PyErr_Occurred();
}

/* The batch that a finished call returned is noted; how many values it has to lift, -1 with an exception set. */
static long long lifted(PyObject *instance, PyObject *times) {
    int failed = truth(read_of(&of.fault, instance, names.fault)); /* a Fault is true, as any object */
    if (failed)
        return failed > 0 ? 0 : -1;
    PyObject *at = PyObject_GetAttr(instance, names.result_at), *lists = at == NULL ? NULL : PyObject_CallOneArg(of.batch_in, at);
    Py_XDECREF(at);
    if (lists == NULL || !write_of(&of.lists, times, names.lists, Py_NewRef(lists))) {
        Py_XDECREF(lists);
        return -1;
    }
    long long values = 0;
    int any = PyObject_IsTrue(lists);
    if (any) {
        long long readings, texts, integers;
        if (any < 0 || !item_of(lists, 0, &readings) || !item_of(lists, 2, &texts) || !item_of(lists, 5, &integers))
            values = -1;
        else {
            values = of.reading_values * (readings + integers);
            if (texts || readings + integers > of.looked_at) {
                PyObject *done = PyObject_CallFunctionObjArgs(of.limit_batch, instance, lists, NULL);
                values = done == NULL ? -1 : values;
                Py_XDECREF(done);
            }
        }
    }
    Py_DECREF(lists);
    return values;
}

/* What the segment's imports have crossed and carried. */
static bool crossed(PyObject *imports, long long *crossings, long long *carried) {
    return number_of(&of.crossings, imports, names.crossings, crossings) &&
           number_of(&of.bytes_carried, imports, names.bytes_carried, carried);
}

/* It has been charged: the next segment counts from none. */
static bool crossed_none(PyObject *imports, long long crossings, long long carried) {
    return (crossings == 0 || write_number(&of.crossings, imports, names.crossings, 0)) &&
           (carried == 0 || write_number(&of.bytes_carried, imports, names.bytes_carried, 0));
}

static bool tell(PyObject *object, PyObject *name) {
    PyObject *done = PyObject_CallMethodNoArgs(object, name);
    Py_XDECREF(done);
    return done != NULL;
}

static int dead(PyObject *instance) { return truth_of(&of.closed, instance, names.closed); }

/* How a call has ended: None, or its Fault, for which call.py has words; takes the reference. */
static PyObject *ended(PyObject *slot, PyObject *fault) {
    if (fault == NULL || fault == Py_None)
        return fault;
    PyObject *said = PyObject_CallFunctionObjArgs(of.fuel_or_deadline, slot, fault, NULL);
    Py_DECREF(fault);
    return said;
}

/* ---- a call in one segment ------------------------------------------------------------------------ */
static PyObject *call_at_once(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    if (count != 7) {
        PyErr_Format(PyExc_TypeError, "call_at_once takes 7 arguments, got %zd", count);
        return NULL;
    }
    PyObject *slot = given[0], *instance = given[1], *times = given[4], *cost = NULL;
    PyObject *imports = read_of(&of.imports, slot, names.imports), *meter = NULL;
    PyObject *machine = imports == NULL ? NULL : read_of(&of.in_machine, imports, names.machine);
    PyObject *env = machine == NULL ? NULL : PyObject_GetAttr(machine, names.env);
    PyObject *left = read_of(&of.fuel_limit_ns, slot, names.fuel_limit_ns), *limit = read_of(&of.fuel_limit, slot, names.fuel_limit);
    PyObject *used = NULL;
    if (env == NULL || left == NULL || limit == NULL ||
        !write_of(&of.segment_start_ns, imports, names.segment_start_ns, clock_of(env)) ||
        !write_of(&of.left_ns, imports, names.left_ns, Py_NewRef(left)))
        goto over;
    PyObject *words[] = {instance, given[2], given[6], limit};
    used = PyObject_VectorcallMethod(names.call_at, words, 4 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    long long fuel = used == NULL ? -1 : quick_int(used), values = quick_int(given[3]), crossings, carried;
    int returns_batch = PyObject_IsTrue(given[5]);
    if ((fuel == -1 || values == -1 || returns_batch < 0) && PyErr_Occurred())
        goto over;
    values += of.constant_values;
    if (returns_batch) {
        long long more = lifted(instance, times);
        if (more < 0)
            goto over;
        values += more;
    }
    if (!crossed(imports, &crossings, &carried) || (meter = read_of(&of.meter, slot, names.meter)) == NULL)
        goto over;
    const long long counts[] = {fuel, 1, crossings, 0, values, carried};
    long long ns = crossings || carried ? charge_segment(meter, counts) : charge_whole_call(meter, fuel, values);
    if (ns >= 0 && crossed_none(imports, crossings, carried))
        cost = PyLong_FromLongLong(ns);
over:
    Py_XDECREF(imports);
    Py_XDECREF(meter);
    Py_XDECREF(machine);
    Py_XDECREF(env);
    Py_XDECREF(left);
    Py_XDECREF(limit);
    Py_XDECREF(used);
    return cost;
}

static PyObject *stage_at_once(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    if (count != 7) {
        PyErr_Format(PyExc_TypeError, "stage_at_once takes 7 arguments, got %zd", count);
        return NULL;
    }
    PyObject *slot = given[0], *cores = given[1];
    int waits = truth_of(&of.serving, slot, names.serving);
    if (waits == 0) {
        PyObject *linked = read_of(&of.linked, slot, names.linked);
        waits = linked == NULL ? -1 : truth(PyObject_GetAttr(linked, names.parks));
        Py_XDECREF(linked);
    }
    if (waits == 0) {
        PyObject *state = read_of(&of.state, slot, names.state);
        waits = state == NULL ? -1 : state == names.ready ? 0 : PyObject_RichCompareBool(state, names.ready, Py_NE);
        Py_XDECREF(state);
    }
    long long free = 0;
    if (waits < 0 || (waits == 0 && !number_of(&of.free, cores, names.free, &free)))
        return NULL;
    if (waits || free <= 0)
        return PyLong_FromLong(-1);
    PyObject *instance = read_of(&of.instance, slot, names.instance), *cost = NULL;
    if (instance != NULL && write_of(&of.serving, slot, names.serving, Py_NewRef(Py_True)) &&
        write_number(&of.free, cores, names.free, free - 1)) {
        PyObject *all[] = {slot, instance, given[2], given[3], given[4], given[5], given[6]};
        cost = call_at_once(module, all, 7);
    }
    Py_XDECREF(instance);
    return cost;
}

static PyObject *at_once_over(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    if (count != 6) {
        PyErr_Format(PyExc_TypeError, "at_once_over takes 6 arguments, got %zd", count);
        return NULL;
    }
    PyObject *slot = given[0], *instance = given[1];
    long long cost_ns = quick_int(given[3]), stage = quick_int(given[5]);
    if ((cost_ns == -1 || stage == -1) && PyErr_Occurred())
        return NULL;
    PyObject *spent = NULL, *imports = NULL;
    bool fine = give_back(given[2], cost_ns) && (spent = read_of(&of.spent_ns, given[4], names.spent_ns)) != NULL &&
                spend(spent, stage, cost_ns) && (imports = read_of(&of.imports, slot, names.imports)) != NULL;
    if (fine) {
        int logged = truth_of(&of.logged, imports, names.logged), closed = logged > 0 ? dead(instance) : 1;
        fine = logged >= 0 && closed >= 0 && (closed || tell(imports, names.flush_log));
    }
    Py_XDECREF(spent);
    Py_XDECREF(imports);
    return fine ? ended(slot, read_of(&of.fault, instance, names.fault)) : NULL;
}

/* ---- a call in as many segments as it parks ------------------------------------------------------- */
typedef struct {
    PyObject_HEAD
    PyObject *machine, *slot, *export, *arguments, *times, *port, *arguments_at; /* as they were given */
    PyObject *env, *cores, *meter, *imports, *instance, *spent, *within; /* as they were when it began */
    PyObject *request, *frame; /* the import in which it is parked, and what it sends */
    PyObject *inner;           /* call.py's steps that it is in */
    long long values, stage, deadline_at, cost, parked, carried;
    char returns_batch, exchanges, running;
    enum { BEGINS, ASKS, WAITS, HAS_CORE, CHARGED, ON_BUS, SERVED, OVER } at;
} Call;

static int call_traverse(Call *self, visitproc visit, void *arg) {
    PyObject **all = &self->machine;
    for (PyObject **one = all; one <= &self->inner; one++)
        Py_VISIT(*one);
    return 0;
}

static int call_clear(Call *self) {
    for (PyObject **one = &self->machine; one <= &self->inner; one++)
        Py_CLEAR(*one);
    return 0;
}

static void call_dealloc(Call *self) {
    PyObject_GC_UnTrack(self);
    call_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyTypeObject CallType;

static PyObject *call(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    if (count < 7 || count > 10) {
        PyErr_Format(PyExc_TypeError, "call takes 7 to 10 arguments, got %zd", count);
        return NULL;
    }
    if (given[2] == of.start)
        return PyObject_Vectorcall(of.plain_call, given, (size_t)count, NULL);
    long long values = quick_int(given[4]), stage = quick_int(given[6]);
    int returns_batch = count > 8 ? PyObject_IsTrue(given[8]) : 0;
    if ((values == -1 || stage == -1 || returns_batch < 0) && PyErr_Occurred())
        return NULL;
    Call *self = (Call *)CallType.tp_alloc(&CallType, 0);
    if (self == NULL)
        return NULL;
    self->machine = Py_NewRef(given[0]), self->slot = Py_NewRef(given[1]), self->export = Py_NewRef(given[2]);
    self->arguments = Py_NewRef(given[3]), self->times = Py_NewRef(given[5]), self->port = Py_NewRef(count > 7 ? given[7] : Py_None);
    self->arguments_at = Py_NewRef(count > 9 ? given[9] : Py_None);
    self->values = values, self->stage = stage, self->returns_batch = (char)returns_batch;
    self->at = BEGINS;
    return (PyObject *)self;
}

static bool begins(Call *self) {
    return (self->env = PyObject_GetAttr(self->machine, names.env)) != NULL &&
           (self->cores = PyObject_GetAttr(self->machine, names.cores)) != NULL &&
           (self->meter = read_of(&of.meter, self->slot, names.meter)) != NULL &&
           (self->imports = read_of(&of.imports, self->slot, names.imports)) != NULL &&
           (self->instance = read_of(&of.instance, self->slot, names.instance)) != NULL &&
           (self->within = read_of(&of.deadline_ns, self->slot, names.deadline_ns)) != NULL &&
           (self->spent = read_of(&of.spent_ns, self->times, names.spent_ns)) != NULL;
}

/* It has a core: guest code runs, to its end or its next import that parks; what it costs is in ``cost``. */
static bool runs(Call *self) {
    if (!write_of(&of.segment_start_ns, self->imports, names.segment_start_ns, clock_of(self->env)))
        return false;
    if (!self->exchanges) {
        PyObject *left = read_of(&of.fuel_limit_ns, self->slot, names.fuel_limit_ns);
        PyObject *limit = read_of(&of.fuel_limit, self->slot, names.fuel_limit);
        long long now, within = quick_int(self->within);
        bool fine = left != NULL && limit != NULL && instant_of(self->env, &now) && !(within == -1 && PyErr_Occurred());
        if (fine && __builtin_add_overflow(now, within, &self->deadline_at))
            self->deadline_at = INT64_MAX; /* nothing is simulated for as long */
        fine = fine && write_of(&of.left_ns, self->imports, names.left_ns, Py_NewRef(left));
        if (fine) {
            PyObject *words[] = {self->instance, self->export, self->arguments, limit, self->arguments_at};
            PyObject *begun = PyObject_VectorcallMethod(names.begin, words, 5 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
            fine = begun != NULL;
            Py_XDECREF(begun);
        }
        Py_XDECREF(left);
        Py_XDECREF(limit);
        if (!fine)
            return false;
    }
    PyObject *used = PyObject_CallMethodNoArgs(self->instance, names.advance);
    long long fuel = used == NULL ? -1 : quick_int(used), crossings, carried;
    Py_XDECREF(used);
    if (fuel == -1 && PyErr_Occurred())
        return false;
    PyObject *request = read_of(&of.request, self->instance, names.request);
    if (request == NULL)
        return false;
    Py_XSETREF(self->request, request);
    if (request == Py_None) {
        long long more = self->returns_batch ? lifted(self->instance, self->times) : 0;
        if (more < 0)
            return false;
        self->values += of.constant_values + more;
    }
    if (!crossed(self->imports, &crossings, &carried))
        return false;
    const long long counts[] = {fuel, !self->exchanges, crossings, self->exchanges, self->values, self->carried + carried};
    self->cost = charge_segment(self->meter, counts);
    return self->cost >= 0 && crossed_none(self->imports, crossings, carried);
}

/* The reply of the import in which it was parked has come: it goes on, or its time is over, and ``end`` is its Fault. */
static bool answers(Call *self, PyObject *reply, PyObject **end) {
    PyObject *fault = read_of(&of.fault, self->instance, names.fault);
    if (fault != Py_None) {
        *end = fault;
        return fault != NULL;
    }
    Py_DECREF(fault);
    long long now, limit;
    if (!instant_of(self->env, &now) || !number_of(&of.fuel_limit_ns, self->slot, names.fuel_limit_ns, &limit))
        return false;
    if (now >= self->deadline_at) {
        *end = PyObject_CallFunctionObjArgs(of.waited, self->instance, self->request, self->within, NULL);
        return *end != NULL;
    }
    if (self->deadline_at - now < limit) {
        PyObject *done = PyObject_CallFunction(of.limit_fuel, "OOL", self->instance, self->meter, self->deadline_at - now);
        Py_XDECREF(done);
        if (done == NULL)
            return false;
    }
    PyObject *words[] = {self->instance, reply};
    PyObject *done = PyObject_VectorcallMethod(names.answer, words, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_XDECREF(done);
    self->exchanges = 1, self->values = 0;
    return done != NULL;
}

/* What is waited for on the line: ``port.transact``'s event; NULL with an exception set. */
static PyObject *transacts(Call *self, PyObject *given, long long left_ns) {
    PyObject *three = PySequence_Tuple(given);
    if (three == NULL || PyTuple_GET_SIZE(three) != 3) {
        if (three != NULL)
            PyErr_SetString(PyExc_ValueError, "an exchange is a frame, a framing, a timeout");
        Py_XDECREF(three);
        return NULL;
    }
    PyObject **parts = &PyTuple_GET_ITEM(three, 0), *left = PyLong_FromLongLong(left_ns), *event = NULL;
    int shorter = left == NULL ? -1 : PyObject_RichCompareBool(parts[2], left, Py_LT); /* a guest may ask for any time */
    if (shorter >= 0) {
        Py_XSETREF(self->frame, Py_NewRef(parts[0]));
        PyObject *words[] = {self->port, parts[0], parts[1], shorter ? parts[2] : left, left};
        event = PyObject_VectorcallMethod(names.transact, words, 5 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    Py_XDECREF(left);
    Py_DECREF(three);
    return event;
}

/* Its CPU time has passed. ``end``: what it returns, when it has ended; else it waits for ``wanted``, or goes on. */
static bool charged(Call *self, PyObject **end, PyObject **wanted) {
    if (!give_back(self->cores, self->cost) || !spend(self->spent, self->stage, self->cost))
        return false;
    int closed = dead(self->instance), logged;
    if (closed) { /* it died meanwhile: what this segment led to doesn't happen */
        *end = closed > 0 ? read_of(&of.fault, self->instance, names.fault) : NULL;
        return *end != NULL;
    }
    if ((logged = truth_of(&of.logged, self->imports, names.logged)) < 0 || (logged && !tell(self->imports, names.flush_log)))
        return false;
    if (self->request == Py_None) {
        *end = ended(self->slot, read_of(&of.fault, self->instance, names.fault));
        return *end != NULL;
    }
    long long cpu_left_ns, left_ns;
    if (!instant_of(self->env, &self->parked) || !number_of(&of.left_ns, self->imports, names.left_ns, &cpu_left_ns))
        return false;
    cpu_left_ns -= self->cost, left_ns = self->deadline_at - self->parked;
    if (!write_number(&of.left_ns, self->imports, names.left_ns, cpu_left_ns))
        return false;
    if (cpu_left_ns < 0 || left_ns <= 0) {
        *end = PyObject_CallFunctionObjArgs(of.too_late, self->instance, self->slot, self->request, self->within, NULL);
        return *end != NULL;
    }
    if (!PyTuple_Check(self->request) || PyTuple_GET_SIZE(self->request) != 2) {
        PyErr_SetString(PyExc_TypeError, "a parked import is its name and its arguments");
        return false;
    }
    PyObject *name = PyTuple_GET_ITEM(self->request, 0);
    if (self->port != Py_None && PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, "fieldbus.transact") == 0) {
        *wanted = transacts(self, PyTuple_GET_ITEM(self->request, 1), left_ns);
        self->at = ON_BUS;
        return *wanted != NULL;
    }
    self->inner = PyObject_CallFunction(of.answered, "OOOOLOL", self->machine, self->slot, self->port, self->request, left_ns,
                                        self->spent, self->stage);
    self->at = SERVED;
    return self->inner != NULL;
}

/* The line has answered. */
static bool replied(Call *self, PyObject *reply, PyObject **end) {
    long long now;
    if (!instant_of(self->env, &now) || !spend(self->spent, of.bus, now - self->parked))
        return false;
    PyObject *second = PySequence_GetItem(reply, 1);
    Py_ssize_t out = second == NULL ? -1 : PyObject_Size(self->frame);
    if (out >= 0)
        self->carried = out + (PyBytes_CheckExact(second) ? PyBytes_GET_SIZE(second) : 0);
    Py_XDECREF(second);
    return out >= 0 && answers(self, reply, end);
}

/* Steps of call.py's have ended with ``found``. */
static bool inner_over(Call *self, PyObject *found, PyObject **end) {
    Py_CLEAR(self->inner);
    if (self->at == WAITS) {
        int has = PyObject_IsTrue(found);
        if (has == 0)
            *end = read_of(&of.fault, self->instance, names.fault);
        self->at = HAS_CORE;
        return has > 0 || (has == 0 && *end != NULL);
    }
    if (!PyTuple_Check(found) || PyTuple_GET_SIZE(found) != 2) {
        PyErr_SetString(PyExc_TypeError, "an import's answer is a result and how many bytes it has carried");
        return false;
    }
    self->carried = quick_int(PyTuple_GET_ITEM(found, 1));
    self->at = ASKS;
    return !(self->carried == -1 && PyErr_Occurred()) && answers(self, PyTuple_GET_ITEM(found, 0), end);
}

/* Take a core when one is free; else there are steps of call.py's that wait for one. */
static bool asks(Call *self) {
    long long free;
    if (!number_of(&of.free, self->cores, names.free, &free))
        return false;
    self->at = free > 0 ? HAS_CORE : WAITS;
    if (free > 0)
        return write_number(&of.free, self->cores, names.free, free - 1);
    self->inner = PyObject_CallFunctionObjArgs(of.handed_over, self->cores, self->instance, self->times, NULL);
    return self->inner != NULL;
}

/* It lets go of all that it holds, as a generator that has ended. */
static void is_over(Call *self) {
    PyObject *kind, *value, *trace; /* what it has failed with stays what it is */
    PyErr_Fetch(&kind, &value, &trace);
    self->at = OVER;
    call_clear(self);
    PyErr_Restore(kind, value, trace);
}

/* A StopIteration from within is no end of the steps: a RuntimeError, as a generator has it (PEP 479). */
static void no_end(void) {
    PyObject *kind, *value, *trace, *other;
    PyErr_Fetch(&kind, &value, &trace);
    PyErr_NormalizeException(&kind, &value, &trace);
    if (trace != NULL)
        PyException_SetTraceback(value, trace);
    Py_XDECREF(trace);
    Py_DECREF(kind);
    PyErr_SetString(PyExc_RuntimeError, "steps raised StopIteration");
    PyErr_Fetch(&kind, &other, &trace);
    PyErr_NormalizeException(&kind, &other, &trace);
    PyException_SetCause(other, Py_NewRef(value));
    PyException_SetContext(other, value);
    PyErr_Restore(kind, other, trace);
}

/* Somebody takes these steps: nobody else may, within; false with an exception set. */
static bool enters(Call *self) {
    if (self->running) {
        PyErr_SetString(PyExc_ValueError, "these steps are being taken already");
        return false;
    }
    self->running = 1;
    return true;
}

/* Go on to the next wait. ``value``: what the one before has brought, or what ``inner`` has ended with. */
static PySendResult goes(Call *self, PyObject *value, bool inner_ended, PyObject **out) {
    PyObject *sent = Py_NewRef(value), *end = NULL;
    bool fine = true;
    *out = NULL;
    while (fine && end == NULL) {
        if (self->inner != NULL) {
            PySendResult how = PYGEN_RETURN;
            PyObject *found = Py_NewRef(sent);
            if (!inner_ended) {
                PyObject *inner = Py_NewRef(self->inner);
                Py_DECREF(found);
                how = PyIter_Send(inner, sent, &found);
                Py_DECREF(inner);
            }
            inner_ended = false;
            if (how == PYGEN_NEXT) {
                *out = found;
                break;
            }
            fine = how == PYGEN_RETURN && inner_over(self, found, &end);
            if (how == PYGEN_RETURN)
                Py_DECREF(found);
            continue;
        }
        switch (self->at) {
        case BEGINS:
            fine = begins(self);
            self->at = ASKS;
            break;
        case ASKS:
            fine = asks(self);
            Py_SETREF(sent, Py_NewRef(Py_None));
            break;
        case HAS_CORE:
            fine = runs(self);
            self->at = CHARGED;
            if (fine && self->cost)
                fine = (*out = PyLong_FromLongLong(self->cost)) != NULL;
            break;
        case CHARGED:
            fine = charged(self, &end, out);
            Py_SETREF(sent, Py_NewRef(Py_None));
            break;
        case ON_BUS:
            self->at = ASKS;
            fine = replied(self, sent, &end);
            break;
        default:
            end = Py_NewRef(Py_None);
        }
        if (*out != NULL)
            break;
    }
    Py_DECREF(sent);
    if (fine && end == NULL)
        return PYGEN_NEXT;
    *out = fine ? end : NULL;
    if (!fine)
        Py_XDECREF(end);
    is_over(self);
    if (!fine && PyErr_ExceptionMatches(PyExc_StopIteration))
        no_end();
    return fine ? PYGEN_RETURN : PYGEN_ERROR;
}

static PySendResult call_send(Call *self, PyObject *value, PyObject **out) {
    *out = NULL;
    if (self->at == BEGINS && value != Py_None) {
        PyErr_SetString(PyExc_TypeError, "can't send non-None value to steps that haven't begun");
        return PYGEN_ERROR;
    }
    if (!enters(self))
        return PYGEN_ERROR;
    PySendResult how = goes(self, value, false, out);
    self->running = 0;
    return how;
}

/* As an iterator says it: what is waited for, or NULL with a StopIteration. */
static PyObject *as_iterator(PySendResult how, PyObject *found) {
    if (how != PYGEN_RETURN)
        return found;
    if (found != Py_None) {
        PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, found); /* it may be a tuple */
        if (stop != NULL)
            PyErr_SetObject(PyExc_StopIteration, stop);
        Py_XDECREF(stop);
    } else
        PyErr_SetNone(PyExc_StopIteration);
    Py_DECREF(found);
    return NULL;
}

static PyObject *call_next(Call *self) {
    PyObject *found;
    PySendResult how = call_send(self, Py_None, &found);
    return as_iterator(how, found);
}

static PyObject *call_send_method(Call *self, PyObject *value) {
    PyObject *found;
    PySendResult how = call_send(self, value, &found);
    return as_iterator(how, found);
}

static PyObject *call_close(Call *self, PyObject *none) {
    if (!enters(self))
        return NULL;
    PyObject *inner = self->inner, *done = Py_NewRef(Py_None);
    self->inner = NULL;
    if (inner != NULL)
        Py_SETREF(done, PyObject_CallMethodNoArgs(inner, names.close));
    Py_XDECREF(inner);
    is_over(self);
    self->running = 0;
    return done;
}

/* ``throw``, while nobody else takes the steps. */
static PyObject *thrown(Call *self, PyObject *given, PyObject *type, PyObject *value) {
    PyObject *inner = self->inner, *found = NULL;
    if (inner == NULL) {
        PyErr_SetObject(PyExceptionInstance_Check(type) ? (PyObject *)Py_TYPE(type) : type,
                        PyExceptionInstance_Check(type) ? type : value);
        bool was_over = self->at == OVER;
        is_over(self);
        if (!was_over && PyErr_ExceptionMatches(PyExc_StopIteration))
            no_end();
        return NULL;
    }
    Py_INCREF(inner);
    PyObject *thrower = PyObject_GetAttr(inner, names.throw), *result = thrower == NULL ? NULL : PyObject_CallObject(thrower, given);
    Py_XDECREF(thrower);
    Py_DECREF(inner);
    if (result != NULL)
        return result;
    if (!PyErr_ExceptionMatches(PyExc_StopIteration)) {
        is_over(self);
        return NULL;
    }
    PyObject *kind, *stop, *where; /* its steps have ended, with a value */
    PyErr_Fetch(&kind, &stop, &where);
    PyErr_NormalizeException(&kind, &stop, &where);
    PyObject *with = PyObject_GetAttrString(stop, "value");
    Py_XDECREF(kind);
    Py_XDECREF(stop);
    Py_XDECREF(where);
    if (with == NULL) {
        is_over(self);
        return NULL;
    }
    PySendResult how = goes(self, with, true, &found);
    Py_DECREF(with);
    return as_iterator(how, found);
}

static PyObject *call_throw(Call *self, PyObject *given) {
    PyObject *type, *value = Py_None, *trace = Py_None;
    if (!PyArg_UnpackTuple(given, "throw", 1, 3, &type, &value, &trace))
        return NULL;
    if (!PyExceptionClass_Check(type) && !PyExceptionInstance_Check(type)) {
        PyErr_Format(PyExc_TypeError, "exceptions must be classes or instances deriving from BaseException, not %R", Py_TYPE(type));
        return NULL;
    }
    if (!enters(self))
        return NULL;
    PyObject *found = thrown(self, given, type, value);
    self->running = 0;
    return found;
}

static PyMethodDef call_methods[] = {
    {"send", (PyCFunction)call_send_method, METH_O, "As a generator's."},
    {"throw", (PyCFunction)call_throw, METH_VARARGS, "As a generator's."},
    {"close", (PyCFunction)call_close, METH_NOARGS, "As a generator's."},
    {NULL},
};
static PyAsyncMethods call_async = {.am_send = (sendfunc)call_send};
static PyTypeObject CallType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "twinloop.components.native.engine.Call",
    .tp_doc = "The steps of one call, as gateway/call.py's generator has them.",
    .tp_basicsize = sizeof(Call),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_traverse = (traverseproc)call_traverse,
    .tp_clear = (inquiry)call_clear,
    .tp_dealloc = (destructor)call_dealloc,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = (iternextfunc)call_next,
    .tp_as_async = &call_async,
    .tp_methods = call_methods,
};

/* ---- the module's part ---------------------------------------------------------------------------- */
static PyObject *bind_calls(PyObject *module, PyObject *given) {
    PyObject *slot, *imports, *cores, *times, *instance, *meter;
    PyObject *batch_in, *limit_batch, *fuel_or_deadline, *handed_over, *answered, *too_late, *waited, *limit_fuel, *start, *plain_call;
    long long bus, constant_values, reading_values, looked_at;
    if (!PyArg_ParseTuple(given, "(O!O!O!O!O!O!)(OOOOOOOOOO)(LLLL)", &PyType_Type, &slot, &PyType_Type, &imports, &PyType_Type, &cores,
                          &PyType_Type, &times, &PyType_Type, &instance, &PyType_Type, &meter, &batch_in, &limit_batch, &fuel_or_deadline, &handed_over,
                          &answered, &too_late, &waited, &limit_fuel, &start, &plain_call, &bus, &constant_values, &reading_values, &looked_at))
        return NULL;
    const Wanted slots[] = {
        {slot, names.meter, &of.meter}, {slot, names.imports, &of.imports}, {slot, names.instance, &of.instance},
        {slot, names.fuel_limit, &of.fuel_limit}, {slot, names.fuel_limit_ns, &of.fuel_limit_ns},
        {slot, names.deadline_ns, &of.deadline_ns}, {slot, names.serving, &of.serving},
        {slot, names.state, &of.state}, {slot, names.linked, &of.linked}, {imports, names.machine, &of.in_machine},
        {imports, names.segment_start_ns, &of.segment_start_ns}, {imports, names.left_ns, &of.left_ns},
        {imports, names.crossings, &of.crossings}, {imports, names.bytes_carried, &of.bytes_carried},
        {imports, names.logged, &of.logged}, {cores, names.busy_ns, &of.busy_ns}, {cores, names.free, &of.free},
        {cores, names.waiters, &of.waiters}, {times, names.lists, &of.lists}, {times, names.spent_ns, &of.spent_ns},
        {instance, names.fault, &of.fault}, {instance, names.request, &of.request}, {instance, names.closed, &of.closed},
    };
    if (!slots_of(slots, sizeof slots / sizeof *slots))
        return NULL;
    Py_INCREF(given); /* for good, once a process: it holds them all */
    meters_are((PyTypeObject *)meter);
    of.batch_in = batch_in, of.limit_batch = limit_batch, of.fuel_or_deadline = fuel_or_deadline, of.handed_over = handed_over;
    of.answered = answered, of.too_late = too_late, of.waited = waited, of.limit_fuel = limit_fuel;
    of.start = start, of.plain_call = plain_call;
    of.bus = bus, of.constant_values = constant_values, of.reading_values = reading_values, of.looked_at = looked_at;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"call", (PyCFunction)(void (*)(void))call, METH_FASTCALL, "As gateway/call.py's, all by place."},
    {"call_at_once", (PyCFunction)(void (*)(void))call_at_once, METH_FASTCALL, "As gateway/call.py's."},
    {"stage_at_once", (PyCFunction)(void (*)(void))stage_at_once, METH_FASTCALL, "As gateway/call.py's."},
    {"at_once_over", (PyCFunction)(void (*)(void))at_once_over, METH_FASTCALL, "As gateway/call.py's."},
    {"bind_calls", bind_calls, METH_VARARGS, "Told once: (classes), (call.py's functions), (its figures)."},
    {NULL},
};

int calls_part(PyObject *module) {
    const Word words[] = {
        {&names.machine, "machine"}, {&names.meter, "meter"}, {&names.imports, "imports"}, {&names.instance, "instance"},
        {&names.fuel_limit, "fuel_limit"}, {&names.fuel_limit_ns, "fuel_limit_ns"}, {&names.deadline_ns, "deadline_ns"},
        {&names.segment_start_ns, "segment_start_ns"}, {&names.left_ns, "left_ns"}, {&names.crossings, "crossings"},
        {&names.bytes_carried, "bytes_carried"}, {&names.logged, "logged"}, {&names.busy_ns, "busy_ns"}, {&names.free, "free"},
        {&names.waiters, "waiters"}, {&names.lists, "lists"}, {&names.spent_ns, "spent_ns"}, {&names.fault, "fault"},
        {&names.request, "request"}, {&names.closed, "closed"}, {&names.env, "env"}, {&names.cores, "cores"}, {&names.now, "now"},
        {&names.call_at, "call_at"}, {&names.begin, "begin"}, {&names.advance, "advance"}, {&names.answer, "answer"},
        {&names.flush_log, "flush_log"}, {&names.popleft, "popleft"}, {&names.transact, "transact"}, {&names.close, "close"},
        {&names.throw, "throw"}, {&names.result_at, "result_at"}, {&names.serving, "serving"}, {&names.state, "state"},
        {&names.linked, "linked"}, {&names.parks, "parks"}, {&names.ready, "ready"},
    };
    if (!intern(words, sizeof words / sizeof *words))
        return -1;
    return PyType_Ready(&CallType) < 0 ? -1 : PyModule_AddFunctions(module, functions);
}
