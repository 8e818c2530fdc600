/* Calls of an instance, step by step, without Python's interpreter between the steps.
 *
 * Belongs here: begin, advance, answer and call_at of an instance that is called directly (direct.h), as
 * components/host/calling.py has them; its state, which Python reads and writes by name. Never: what is rare: whatever
 * isn't a healthy step of such an instance is calling.py's, which works on the same state. */

static struct { PyObject *begin, *advance, *answer, *call_at, *park, *request; uint64_t slice_fuel, refused_max; } pure;

/* ---- CallState ------------------------------------------------------------------------------------ */
typedef struct {
    PyObject_HEAD
    PyObject *signature, *function, *arguments, *arguments_at, *start, *pending;
    long long fuel_given;
    char begun;
} CallState;

/* Members are never without an object: Python reads such ones as quickly as slots of its own. */
static PyMemberDef state_members[] = {
    {"signature", T_OBJECT_EX, offsetof(CallState, signature), 0, NULL},
    {"function", T_OBJECT_EX, offsetof(CallState, function), 0, NULL},
    {"arguments", T_OBJECT_EX, offsetof(CallState, arguments), 0, NULL},
    {"arguments_at", T_OBJECT_EX, offsetof(CallState, arguments_at), 0, NULL},
    {"start", T_OBJECT_EX, offsetof(CallState, start), 0, NULL},
    {"pending", T_OBJECT_EX, offsetof(CallState, pending), 0, NULL},
    {"fuel_given", T_LONGLONG, offsetof(CallState, fuel_given), 0, NULL},
    {"begun", T_BOOL, offsetof(CallState, begun), 0, NULL},
    {NULL},
};

static int state_traverse(CallState *self, visitproc visit, void *arg) {
    Py_VISIT(self->signature);
    Py_VISIT(self->function);
    Py_VISIT(self->arguments);
    Py_VISIT(self->arguments_at);
    Py_VISIT(self->start);
    Py_VISIT(self->pending);
    return 0;
}

static int state_clear(CallState *self) {
    Py_CLEAR(self->signature);
    Py_CLEAR(self->function);
    Py_CLEAR(self->arguments);
    Py_CLEAR(self->arguments_at);
    Py_CLEAR(self->start);
    Py_CLEAR(self->pending);
    return 0;
}

static void state_dealloc(CallState *self) {
    PyObject_GC_UnTrack(self);
    state_clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *state_new(PyTypeObject *type, PyObject *given, PyObject *named) {
    CallState *self = (CallState *)type->tp_alloc(type, 0);
    if (self != NULL) {
        PyObject **all[] = {&self->signature, &self->function, &self->arguments, &self->arguments_at, &self->start,
                            &self->pending};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            *all[i] = Py_NewRef(Py_None);
    }
    return (PyObject *)self;
}

static PyTypeObject CallStateType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "twinloop.components.native.crossing.CallState",
    .tp_basicsize = sizeof(CallState),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_doc = "As host/calling.py has it.",
    .tp_new = state_new,
    .tp_members = state_members,
    .tp_traverse = (traverseproc)state_traverse,
    .tp_clear = (inquiry)state_clear,
    .tp_dealloc = (destructor)state_dealloc,
};

/* ---- Calling -------------------------------------------------------------------------------------- */
typedef struct {
    PyObject_HEAD
    PyObject *block, *call, *memory, *functions, *fault, *raised, *request;
    long long fuel_left;
    char busy, closed, holds_result, fibers;
} Calling;

static PyMemberDef calling_members[] = {
    {"block", T_OBJECT_EX, offsetof(Calling, block), 0, NULL},
    {"_call", T_OBJECT_EX, offsetof(Calling, call), 0, NULL},
    {"memory", T_OBJECT_EX, offsetof(Calling, memory), 0, NULL},
    {"_functions", T_OBJECT_EX, offsetof(Calling, functions), 0, NULL},
    {"fault", T_OBJECT_EX, offsetof(Calling, fault), 0, NULL},
    {"raised", T_OBJECT_EX, offsetof(Calling, raised), 0, NULL},
    {"request", T_OBJECT_EX, offsetof(Calling, request), 0, NULL},
    {"_fuel_left", T_LONGLONG, offsetof(Calling, fuel_left), 0, NULL},
    {"busy", T_BOOL, offsetof(Calling, busy), 0, NULL},
    {"closed", T_BOOL, offsetof(Calling, closed), 0, NULL},
    {"_holds_result", T_BOOL, offsetof(Calling, holds_result), 0, NULL},
    {"_fibers", T_BOOL, offsetof(Calling, fibers), 0, NULL},
    {NULL},
};

static bool is_none(const PyObject *one) { return one == NULL || one == Py_None; }

/* What it is called with goes to calling.py's function of that name. */
static PyObject *purely(PyObject *function, Calling *self, PyObject *const *given, Py_ssize_t count, PyObject *named) {
    PyObject *all[8];
    Py_ssize_t whole = count + (named == NULL ? 0 : PyTuple_GET_SIZE(named));
    if (whole > 7) {
        PyErr_SetString(PyExc_TypeError, "a call has at most six arguments");
        return NULL;
    }
    all[0] = (PyObject *)self;
    for (Py_ssize_t i = 0; i < whole; i++)
        all[1 + i] = given[i];
    return PyObject_Vectorcall(function, all, (size_t)count + 1, named);
}

/* Its words and its call when it can be called here. */
static bool direct_parts(Calling *self, CallWords **words, CallState **call) {
    if (self->block == NULL || self->call == NULL || !Py_IS_TYPE(self->block, &CallWordsType) ||
        !Py_IS_TYPE(self->call, &CallStateType))
        return false;
    *words = (CallWords *)self->block, *call = (CallState *)self->call;
    return (*words)->direct != NULL && is_none((*call)->start) && self->functions != NULL &&
           PyDict_CheckExact(self->functions);
}

/* The function of an export, which call is of from here on; NULL with an exception. */
static const Exported *called(Calling *self, CallState *call, PyObject *export) {
    PyObject *entry = PyDict_GetItemWithError(self->functions, export);
    uint64_t place;
    if (entry == NULL) {
        if (!PyErr_Occurred())
            PyErr_SetObject(PyExc_KeyError, export);
        return NULL;
    }
    if (!PyTuple_Check(entry) || PyTuple_GET_SIZE(entry) != 3 || !as_word(PyTuple_GET_ITEM(entry, 1), &place))
        return NULL;
    Py_XSETREF(call->signature, Py_NewRef(PyTuple_GET_ITEM(entry, 0)));
    Py_XSETREF(call->function, Py_NewRef(PyTuple_GET_ITEM(entry, 1)));
    return at(place);
}

/* How often its memory asked for more than its limit in this call; -1 with an exception. */
static long long asked_for(Calling *self) {
    PyObject *asked = PyObject_GetAttr(self->memory, names.asked);
    long long count = asked == NULL ? -1 : PyLong_AsLongLong(asked);
    Py_XDECREF(asked);
    return count;
}

static bool nothing_asked(Calling *self) { return PyObject_SetAttr(self->memory, names.asked, names.zero) == 0; }

static bool done_by(Calling *self, PyObject *method) {
    PyObject *done = PyObject_CallMethodNoArgs((PyObject *)self, method);
    Py_XDECREF(done);
    return done != NULL;
}

static PyObject *calling_call_at(Calling *self, PyObject *const *given, Py_ssize_t count) {
    CallWords *words;
    CallState *call;
    uint64_t arguments, fuel;
    if (count != 3 || self->fibers || self->busy || !is_none(self->fault) || !direct_parts(self, &words, &call))
        return purely(pure.call_at, self, given, count, NULL);
    if (!as_word(given[1], &arguments) || !as_word(given[2], &fuel))
        return NULL;
    if (self->holds_result) {
        free_arena(&words->arena);
        self->holds_result = 0;
    }
    const Exported *function = called(self, call, given[0]);
    if (function == NULL || !nothing_asked(self))
        return NULL;
    uint64_t slice = fuel <= pure.slice_fuel ? fuel : pure.slice_fuel;
    self->busy = 1;
    call->fuel_given = self->fuel_left = (long long)slice;
    ready(words);
    wasmtime.set_fuel(words->context, slice);
    words->error = direct_call(words, function, at(arguments));
    look(words);
    uint64_t left = words->left;
    if (slice < fuel) {
        if (words->error != NULL && !left) { /* it raises */
            PyObject *raised = PyObject_CallMethod((PyObject *)self, "_too_long", "K",
                                                   (unsigned long long)(uintptr_t)words->error);
            Py_XDECREF(raised);
            return NULL;
        }
        left += fuel - slice;
    }
    self->fuel_left = (long long)left;
    long long asked = asked_for(self);
    if (asked < 0)
        return NULL;
    if (words->error != NULL || !is_none(self->raised) || (uint64_t)asked > pure.refused_max) {
        if (!done_by(self, names.finish))
            return NULL;
        left = (uint64_t)self->fuel_left;
    } else {
        self->busy = 0;
        self->holds_result = function->shape.gives != NULL;
    }
    return PyLong_FromLongLong((long long)(fuel - left));
}

static PyObject *calling_begin(Calling *self, PyObject *const *given, Py_ssize_t count, PyObject *named) {
    CallWords *words;
    CallState *call;
    uint64_t fuel;
    if (named != NULL || count < 3 || count > 4 || self->busy || !is_none(self->fault) ||
        !direct_parts(self, &words, &call))
        return purely(pure.begin, self, given, count, named);
    if (!as_word(given[2], &fuel))
        return NULL;
    if (self->holds_result) {
        free_arena(&words->arena);
        self->holds_result = 0;
    }
    if (called(self, call, given[0]) == NULL || !nothing_asked(self))
        return NULL;
    Py_XSETREF(call->arguments, Py_NewRef(given[1]));
    Py_XSETREF(call->arguments_at, Py_NewRef(count == 4 ? given[3] : Py_None));
    call->begun = 0;
    self->busy = 1;
    call->fuel_given = self->fuel_left = (long long)fuel;
    wasmtime.set_fuel(words->context, fuel);
    Py_RETURN_NONE;
}

/* Its first step, or the next; -1: not for here, 0: not done, 1: done. */
static int step_of_call(CallWords *words, CallState *call, const Exported *function) {
    uint64_t place = 0;
    if (!call->begun) {
        if (is_none(call->arguments_at)) {
            if (function->shape.takes->count || is_none(call->arguments) || !PyTuple_CheckExact(call->arguments) ||
                PyTuple_GET_SIZE(call->arguments))
                return -1;
        } else if (!as_word(call->arguments_at, &place)) {
            PyErr_Clear(); /* calling.py says what is wrong with it */
            return -1;
        }
        call->begun = 1;
        ready(words);
        direct_start(words, function, at(place));
    }
    bool done = direct_done(words);
    look(words);
    return done;
}

static PyObject *calling_advance(Calling *self, PyObject *unused) {
    CallWords *words;
    CallState *call;
    uint64_t place;
    if (self->closed || !self->busy || !self->fibers || !direct_parts(self, &words, &call) || is_none(call->function) ||
        !as_word(call->function, &place)) {
        PyErr_Clear();
        return purely(pure.advance, self, NULL, 0, NULL);
    }
    const Exported *function = at(place);
    long long before = self->fuel_left;
    int done = step_of_call(words, call, function);
    if (done < 0)
        return purely(pure.advance, self, NULL, 0, NULL);
    if (!done && is_none(self->request) && is_none(self->raised)) {
        PyObject *on = PyObject_CallMethod((PyObject *)self, "_go_on", "L", before);
        done = on == NULL ? -1 : PyObject_IsTrue(on);
        Py_XDECREF(on);
        if (done < 0)
            return NULL;
    }
    self->fuel_left = (long long)words->left;
    long long asked = asked_for(self);
    if (asked < 0)
        return NULL;
    bool many = (uint64_t)asked > pure.refused_max;
    if (done && words->error == NULL && is_none(self->raised) && !many) {
        self->busy = call->begun = 0;
        direct_end(words);
        self->holds_result = function->shape.gives != NULL;
    } else if (done ? !done_by(self, names.finish) : (many || is_none(self->request)) && !done_by(self, names.stopped)) {
        return NULL;
    }
    return PyLong_FromLongLong(before - self->fuel_left);
}

static PyObject *calling_answer(Calling *self, PyObject *value) {
    CallWords *words;
    CallState *call;
    if (self->closed || !direct_parts(self, &words, &call) || is_none(call->pending))
        return purely(pure.answer, self, &value, 1, NULL);
    PyObject *pending = Py_NewRef(call->pending);
    PyObject *given[2] = {value, PyTuple_GET_ITEM(pending, 1)};
    PyObject *done = PyObject_Vectorcall(PyTuple_GET_ITEM(pending, 0), given, 2, NULL);
    Py_DECREF(pending);
    if (done == NULL)
        return NULL;
    Py_DECREF(done);
    Py_XSETREF(self->request, Py_NewRef(Py_None));
    Py_XSETREF(call->pending, Py_NewRef(Py_None));
    words->flag = 1;
    Py_RETURN_NONE;
}

static PyObject *calling_park(Calling *self, PyObject *const *given, Py_ssize_t count) {
    CallWords *words;
    CallState *call;
    if (count != 4 || !direct_parts(self, &words, &call))
        return purely(pure.park, self, given, count, NULL);
    PyTypeObject *type = (PyTypeObject *)pure.request;
    PyObject *request = type->tp_alloc(type, 2), *pending = PyTuple_Pack(2, given[2], given[3]);
    if (request == NULL || pending == NULL) {
        Py_XDECREF(request);
        Py_XDECREF(pending);
        return NULL;
    }
    PyTuple_SET_ITEM(request, 0, Py_NewRef(given[0]));
    PyTuple_SET_ITEM(request, 1, Py_NewRef(given[1]));
    words->flag = 0;
    Py_XSETREF(call->pending, pending);
    Py_XSETREF(self->request, request);
    Py_RETURN_NONE;
}

static PyMethodDef calling_methods[] = {
    {"begin", (PyCFunction)(void (*)(void))calling_begin, METH_FASTCALL | METH_KEYWORDS, "As host/calling.py's."},
    {"advance", (PyCFunction)calling_advance, METH_NOARGS, "As host/calling.py's."},
    {"answer", (PyCFunction)calling_answer, METH_O, "As host/calling.py's."},
    {"call_at", (PyCFunction)(void (*)(void))calling_call_at, METH_FASTCALL, "As host/calling.py's."},
    {"park", (PyCFunction)(void (*)(void))calling_park, METH_FASTCALL, "As host/calling.py's."},
    {NULL},
};

static int calling_traverse(Calling *self, visitproc visit, void *arg) {
    Py_VISIT(self->block);
    Py_VISIT(self->call);
    Py_VISIT(self->memory);
    Py_VISIT(self->functions);
    Py_VISIT(self->fault);
    Py_VISIT(self->raised);
    Py_VISIT(self->request);
    return 0;
}

static int calling_clear(Calling *self) {
    Py_CLEAR(self->block);
    Py_CLEAR(self->call);
    Py_CLEAR(self->memory);
    Py_CLEAR(self->functions);
    Py_CLEAR(self->fault);
    Py_CLEAR(self->raised);
    Py_CLEAR(self->request);
    return 0;
}

static void calling_dealloc(Calling *self) {
    PyObject_GC_UnTrack(self);
    calling_clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *calling_new(PyTypeObject *type, PyObject *given, PyObject *named) {
    Calling *self = (Calling *)type->tp_alloc(type, 0);
    if (self != NULL) {
        PyObject **all[] = {&self->block, &self->call, &self->memory, &self->functions, &self->fault, &self->raised,
                            &self->request};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            *all[i] = Py_NewRef(Py_None);
    }
    return (PyObject *)self;
}

static PyTypeObject CallingType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "twinloop.components.native.crossing.Calling",
    .tp_basicsize = sizeof(Calling),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .tp_doc = "As host/calling.py has it.",
    .tp_new = calling_new,
    .tp_methods = calling_methods,
    .tp_members = calling_members,
    .tp_traverse = (traverseproc)calling_traverse,
    .tp_clear = (inquiry)calling_clear,
    .tp_dealloc = (destructor)calling_dealloc,
};
