/* The timeline: what is due lies in a heap of C, and tasks, timers and signals are types of C.
 *
 * Belongs here: what sim/kernel/timeline.py does in Python, by the same names, in the same order and with the same
 * errors (tests/sim/kernel/test_ways.py compares the two). Never: what happens at an instant, SimPy's own events (their turn is
 * Python's Turn). Instants are of 64 bits here: one beyond is an OverflowError, and no scenario comes near. */
#include "engine.h"

static struct { PyObject *happen, *fired, *task, *value, *close, *due, *open, *ended, *require_balance, *priority; } names;

/* ---- Timer ------------------------------------------------------------------------------------- */
typedef struct { PyObject_HEAD PyObject *action, *arguments; } Timer;
static PyTypeObject TimerType;

static Timer *timer_made(PyObject *action, PyObject *const *given, Py_ssize_t count) {
    PyObject *arguments = PyTuple_New(count);
    if (arguments == NULL)
        return NULL;
    for (Py_ssize_t i = 0; i < count; i++)
        PyTuple_SET_ITEM(arguments, i, Py_NewRef(given[i]));
    Timer *self = (Timer *)TimerType.tp_alloc(&TimerType, 0);
    if (self == NULL) {
        Py_DECREF(arguments);
        return NULL;
    }
    self->action = Py_NewRef(action), self->arguments = arguments;
    return self;
}

static PyObject *timer_new(PyTypeObject *type, PyObject *given, PyObject *named) {
    static char *keys[] = {"action", "arguments", NULL};
    PyObject *action, *arguments;
    if (!PyArg_ParseTupleAndKeywords(given, named, "OO!", keys, &action, &PyTuple_Type, &arguments))
        return NULL;
    Timer *self = (Timer *)type->tp_alloc(type, 0);
    if (self != NULL)
        self->action = Py_NewRef(action), self->arguments = Py_NewRef(arguments);
    return (PyObject *)self;
}

static int timer_traverse(Timer *self, visitproc visit, void *arg) {
    Py_VISIT(self->action);
    Py_VISIT(self->arguments);
    return 0;
}

static int timer_clear(Timer *self) {
    Py_CLEAR(self->action);
    Py_CLEAR(self->arguments);
    return 0;
}

static void timer_dealloc(Timer *self) {
    PyObject_GC_UnTrack(self);
    timer_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static bool timer_happens(Timer *self) {
    if (self->action == NULL || self->action == Py_None || self->arguments == NULL)
        return true;
    PyObject *action = Py_NewRef(self->action), *arguments = Py_NewRef(self->arguments);
    PyObject *found = PyObject_Vectorcall(action, ((PyTupleObject *)arguments)->ob_item, (size_t)PyTuple_GET_SIZE(arguments), NULL);
    Py_DECREF(action);
    Py_DECREF(arguments);
    Py_XDECREF(found);
    return found != NULL;
}

static PyObject *timer_happen(Timer *self, PyObject *unused) {
    if (!timer_happens(self))
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *timer_cancel(Timer *self, PyObject *unused) {
    Py_XSETREF(self->action, Py_NewRef(Py_None));
    Py_RETURN_NONE;
}

static PyMethodDef timer_methods[] = {
    {"happen", (PyCFunction)timer_happen, METH_NOARGS, "Call, unless cancelled."},
    {"cancel", (PyCFunction)timer_cancel, METH_NOARGS, "Do nothing when due."},
    {NULL},
};
static PyMemberDef timer_members[] = {
    {"action", T_OBJECT, offsetof(Timer, action), 0, NULL},
    {"arguments", T_OBJECT, offsetof(Timer, arguments), READONLY, NULL},
    {NULL},
};
static PyTypeObject TimerType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "twinloop.components.native.engine.Timer",
    .tp_doc = "A call at an instant.",
    .tp_basicsize = sizeof(Timer),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = timer_new,
    .tp_dealloc = (destructor)timer_dealloc,
    .tp_traverse = (traverseproc)timer_traverse,
    .tp_clear = (inquiry)timer_clear,
    .tp_methods = timer_methods,
    .tp_members = timer_members,
};

/* ---- Event ------------------------------------------------------------------------------------- */
typedef struct { PyObject_HEAD Timeline *env; PyObject *fired, *task, *value; } Event;
static PyTypeObject EventType;

static bool is_env(PyObject *env) {
    if (PyObject_TypeCheck(env, &TimelineType))
        return true;
    PyErr_Format(PyExc_TypeError, "expected an environment of the compiled part, got %R", Py_TYPE(env));
    return false;
}

static PyObject *event_new(PyTypeObject *type, PyObject *given, PyObject *named) {
    static char *keys[] = {"env", NULL};
    PyObject *env;
    if (!PyArg_ParseTupleAndKeywords(given, named, "O", keys, &env) || !is_env(env))
        return NULL;
    Event *self = (Event *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->env = (Timeline *)Py_NewRef(env);
        self->fired = Py_NewRef(Py_False), self->task = Py_NewRef(Py_None), self->value = Py_NewRef(Py_None);
    }
    return (PyObject *)self;
}

static PyObject *event_vectorcall(PyObject *type, PyObject *const *given, size_t flags, PyObject *named) {
    if (PyVectorcall_NARGS(flags) != 1 || named != NULL) {
        PyErr_SetString(PyExc_TypeError, "Event takes an environment");
        return NULL;
    }
    if (!is_env(given[0]))
        return NULL;
    Event *self = (Event *)EventType.tp_alloc(&EventType, 0);
    if (self != NULL) {
        self->env = (Timeline *)Py_NewRef(given[0]);
        self->fired = Py_NewRef(Py_False), self->task = Py_NewRef(Py_None), self->value = Py_NewRef(Py_None);
    }
    return (PyObject *)self;
}

static int event_traverse(Event *self, visitproc visit, void *arg) {
    Py_VISIT(self->env);
    Py_VISIT(self->task);
    Py_VISIT(self->value);
    return 0;
}

static int event_clear(Event *self) {
    Py_CLEAR(self->env);
    Py_CLEAR(self->fired);
    Py_CLEAR(self->task);
    Py_CLEAR(self->value);
    return 0;
}

static void event_dealloc(Event *self) {
    PyObject_GC_UnTrack(self);
    event_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

/* ---- Task -------------------------------------------------------------------------------------- */
typedef struct { PyObject_HEAD Timeline *env; PyObject *steps, *done, *value; } Task;
static PyTypeObject TaskType;

static PyObject *task_new(PyTypeObject *type, PyObject *given, PyObject *named) {
    static char *keys[] = {"env", "steps", NULL};
    PyObject *env, *steps;
    if (!PyArg_ParseTupleAndKeywords(given, named, "OO", keys, &env, &steps) || !is_env(env))
        return NULL;
    if (!PyIter_Check(steps)) {
        PyErr_Format(PyExc_AttributeError, "%R has no steps to send to", Py_TYPE(steps));
        return NULL;
    }
    Task *self = (Task *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->env = (Timeline *)Py_NewRef(env), self->steps = Py_NewRef(steps);
    self->done = Py_NewRef(Py_False), self->value = Py_NewRef(Py_None);
    int64_t now = now_of(self->env);
    if ((now == -1 && PyErr_Occurred()) || put_at(self->env, now, START, (PyObject *)self) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int task_traverse(Task *self, visitproc visit, void *arg) {
    Py_VISIT(self->env);
    Py_VISIT(self->steps);
    Py_VISIT(self->value);
    return 0;
}

static int task_clear(Task *self) {
    Py_CLEAR(self->env);
    Py_CLEAR(self->steps);
    Py_CLEAR(self->done);
    Py_CLEAR(self->value);
    return 0;
}

static void task_dealloc(Task *self) {
    PyObject_GC_UnTrack(self);
    task_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static inline bool true_of(PyObject *found) { return found == Py_True || (found != Py_False && found != NULL && PyObject_IsTrue(found) == 1); }

/* What it waits for: 1 when that has fired already (its value is in ``found``), 0 when it waits, -1 for an error. */
static int awaited(Task *self, PyObject *wanted, PyObject **found) {
    if (Py_IS_TYPE(wanted, &EventType)) {
        Event *event = (Event *)wanted;
        if (true_of(event->fired)) {
            *found = Py_NewRef(event->value == NULL ? Py_None : event->value);
            return 1;
        }
        Py_XSETREF(event->task, Py_NewRef(self));
        return 0;
    }
    PyObject *fired = PyObject_GetAttr(wanted, names.fired);
    int is_fired = fired == NULL ? -1 : PyObject_IsTrue(fired);
    Py_XDECREF(fired);
    if (is_fired > 0)
        return (*found = PyObject_GetAttr(wanted, names.value)) == NULL ? -1 : 1;
    return is_fired < 0 ? -1 : PyObject_SetAttr(wanted, names.task, (PyObject *)self);
}

static bool close_steps(Task *self) {
    PyObject *found = PyObject_CallMethodNoArgs(self->steps, names.close);
    Py_XDECREF(found);
    return found != NULL;
}

/* The instant that comes after so many ns; false with an exception set. */
static bool from_now(Timeline *env, int64_t in_ns, int64_t *at_ns) {
    int64_t now = now_of(env);
    if (now == -1 && PyErr_Occurred())
        return false;
    if (!__builtin_add_overflow(now, in_ns, at_ns))
        return true;
    PyErr_SetString(PyExc_OverflowError, "an instant beyond 64 bits");
    return false;
}

static void nobody_runs(Timeline *env) { Py_XSETREF(env->running, Py_NewRef(Py_None)); }

/* Run to the next wait; false with an exception set. */
static bool task_runs(Task *self, PyObject *value) {
    if (true_of(self->done))
        return true;
    Timeline *env = self->env;
    PyObject *wanted, *sent = Py_NewRef(value);
    Py_INCREF(self);
    Py_XSETREF(env->running, Py_NewRef(self));
    bool fine = false;
    for (;;) {
        PySendResult how = PyIter_Send(self->steps, sent, &wanted);
        Py_CLEAR(sent);
        if (how != PYGEN_NEXT) {
            fine = how == PYGEN_RETURN;
            if (fine) {
                Py_XSETREF(self->done, Py_NewRef(Py_True));
                Py_XSETREF(self->value, wanted);
            }
            nobody_runs(env);
            break;
        }
        if (PyLong_CheckExact(wanted) || true_of(self->done)) {
            nobody_runs(env);
            if (true_of(self->done))
                fine = close_steps(self); /* it was stopped from within */
            else {
                int64_t in_ns = quick_int(wanted), at_ns;
                fine = !(in_ns == -1 && PyErr_Occurred()) && from_now(env, in_ns, &at_ns) &&
                       put_at(env, at_ns, NORMAL, (PyObject *)self) == 0;
            }
            Py_DECREF(wanted);
            break;
        }
        int ready = awaited(self, wanted, &sent);
        Py_DECREF(wanted);
        if (ready <= 0) {
            nobody_runs(env);
            fine = ready == 0;
            break;
        }
    }
    Py_DECREF(self);
    return fine;
}

static PyObject *task_happen(Task *self, PyObject *const *given, Py_ssize_t count) {
    if (count > 1) {
        PyErr_SetString(PyExc_TypeError, "happen takes a value");
        return NULL;
    }
    if (!task_runs(self, count ? given[0] : Py_None))
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *task_stop(Task *self, PyObject *unused) {
    Py_XSETREF(self->done, Py_NewRef(Py_True));
    if (self->env->running != (PyObject *)self && !close_steps(self))
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef task_methods[] = {
    {"happen", (PyCFunction)(void (*)(void))task_happen, METH_FASTCALL, "Run to the next wait."},
    {"stop", (PyCFunction)task_stop, METH_NOARGS, "It runs no further."},
    {NULL},
};
static PyMemberDef task_members[] = {
    {"done", T_OBJECT_EX, offsetof(Task, done), 0, NULL},
    {"value", T_OBJECT_EX, offsetof(Task, value), 0, NULL},
    {NULL},
};
static PyTypeObject TaskType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "twinloop.components.native.engine.Task",
    .tp_doc = "A process over a generator.",
    .tp_basicsize = sizeof(Task),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = task_new,
    .tp_dealloc = (destructor)task_dealloc,
    .tp_traverse = (traverseproc)task_traverse,
    .tp_clear = (inquiry)task_clear,
    .tp_methods = task_methods,
    .tp_members = task_members,
};

/* ---- Event.fire, which knows tasks -------------------------------------------------------------- */
static PyObject *event_fire(Event *self, PyObject *const *given, Py_ssize_t count) {
    if (count > 1) {
        PyErr_SetString(PyExc_TypeError, "fire takes a value");
        return NULL;
    }
    if (true_of(self->fired))
        Py_RETURN_NONE;
    PyObject *value = Py_NewRef(count ? given[0] : Py_None);
    Py_XSETREF(self->fired, Py_NewRef(Py_True));
    Py_XSETREF(self->value, Py_NewRef(value));
    bool fine = true;
    if (self->task != NULL && self->task != Py_None) {
        PyObject *task = Py_NewRef(self->task), *found = NULL;
        Timeline *env = self->env;
        if (env->running == Py_None || env->running == NULL) {
            if (Py_IS_TYPE(task, &TaskType))
                fine = task_runs((Task *)task, value);
            else
                fine = (found = PyObject_CallMethodOneArg(task, names.happen, value)) != NULL;
            Py_XDECREF(found);
        } else {
            PyObject *happen = PyObject_GetAttr(task, names.happen);
            int64_t now = happen == NULL ? -1 : now_of(env);
            fine = happen != NULL && !(now == -1 && PyErr_Occurred()) && call_at(env, now, happen, value) == 0;
            Py_XDECREF(happen);
        }
        Py_DECREF(task);
    }
    Py_DECREF(value);
    if (!fine)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef event_methods[] = {
    {"fire", (PyCFunction)(void (*)(void))event_fire, METH_FASTCALL, "Resume whoever waits."},
    {NULL},
};
static PyMemberDef event_members[] = {
    {"fired", T_OBJECT_EX, offsetof(Event, fired), 0, NULL},
    {"task", T_OBJECT, offsetof(Event, task), 0, NULL},
    {"value", T_OBJECT, offsetof(Event, value), 0, NULL},
    {NULL},
};
static PyTypeObject EventType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "twinloop.components.native.engine.Event",
    .tp_doc = "What one task waits for.",
    .tp_basicsize = sizeof(Event),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = event_new,
    .tp_vectorcall = event_vectorcall,
    .tp_dealloc = (destructor)event_dealloc,
    .tp_traverse = (traverseproc)event_traverse,
    .tp_clear = (inquiry)event_clear,
    .tp_methods = event_methods,
    .tp_members = event_members,
};

/* ---- the heap ---------------------------------------------------------------------------------- */
static inline bool before(const Entry *one, const Entry *other) {
    if (one->at_ns != other->at_ns)
        return one->at_ns < other->at_ns;
    if (one->priority != other->priority)
        return one->priority < other->priority;
    return one->number < other->number;
}

static void rise(Entry *entries, Py_ssize_t at) {
    Entry mine = entries[at];
    while (at) {
        Py_ssize_t above = (at - 1) / 2;
        if (!before(&mine, entries + above))
            break;
        entries[at] = entries[above];
        at = above;
    }
    entries[at] = mine;
}

static void sink(Entry *entries, Py_ssize_t count, Py_ssize_t at) {
    Entry mine = entries[at];
    for (;;) {
        Py_ssize_t below = 2 * at + 1;
        if (below >= count)
            break;
        if (below + 1 < count && before(entries + below + 1, entries + below))
            below++;
        if (!before(entries + below, &mine))
            break;
        entries[at] = entries[below];
        at = below;
    }
    entries[at] = mine;
}

int put_at(Timeline *self, int64_t at_ns, int priority, PyObject *what) {
    if (self->count == self->room) {
        Py_ssize_t room = 2 * self->room + 64;
        Entry *entries = PyMem_Realloc(self->entries, (size_t)room * sizeof *entries);
        if (entries == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        self->entries = entries, self->room = room;
    }
    self->entries[self->count] = (Entry){at_ns, self->numbers++, priority, Py_NewRef(what)};
    rise(self->entries, self->count++);
    return 0;
}

int call_at(Timeline *self, int64_t at_ns, PyObject *action, PyObject *argument) {
    Timer *timer = timer_made(action, &argument, 1);
    int done = timer == NULL ? -1 : put_at(self, at_ns, NORMAL, (PyObject *)timer);
    Py_XDECREF(timer);
    return done;
}

static Entry taken(Timeline *self) {
    Entry first = self->entries[0];
    if (--self->count) {
        self->entries[0] = self->entries[self->count];
        sink(self->entries, self->count, 0);
    }
    return first;
}

int64_t now_of(Timeline *self) {
    if (self->now == NULL)
        return 0;
    return quick_int(self->now);
}

/* ---- Timeline ---------------------------------------------------------------------------------- */
static PyObject *timeline_new(PyTypeObject *type, PyObject *given, PyObject *named) {
    Timeline *self = (Timeline *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->now = PyLong_FromLong(0), self->running = Py_NewRef(Py_None);
    if (self->now == NULL)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static int timeline_traverse(Timeline *self, visitproc visit, void *arg) {
    for (Py_ssize_t i = 0; i < self->count; i++)
        Py_VISIT(self->entries[i].what);
    Py_VISIT(self->running);
    return 0;
}

static int timeline_clear(Timeline *self) {
    Py_ssize_t count = self->count;
    Entry *entries = self->entries;
    self->count = self->room = 0, self->entries = NULL;
    for (Py_ssize_t i = 0; i < count; i++)
        Py_DECREF(entries[i].what);
    PyMem_Free(entries);
    Py_CLEAR(self->running);
    return 0;
}

static void timeline_dealloc(Timeline *self) {
    PyObject_GC_UnTrack(self);
    timeline_clear(self);
    Py_CLEAR(self->now);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static bool arrive(Timeline *self, int64_t at_ns) {
    PyObject *now = PyLong_FromLongLong(at_ns);
    if (now == NULL)
        return false;
    Py_XSETREF(self->now, now);
    return true;
}

/* The first thing happens; false with an exception set. */
static bool next_happens(Timeline *self) {
    Entry next = taken(self);
    PyObject *what = next.what;
    bool fine = arrive(self, next.at_ns);
    if (fine) {
        if (Py_IS_TYPE(what, &TaskType))
            fine = task_runs((Task *)what, Py_None);
        else if (Py_IS_TYPE(what, &TimerType))
            fine = timer_happens((Timer *)what);
        else if (Py_IS_TYPE(what, &SegmentType))
            fine = segment_happens(what);
        else {
            PyObject *found = PyObject_CallMethodNoArgs(what, names.happen);
            Py_XDECREF(found);
            fine = found != NULL;
        }
    }
    Py_DECREF(what);
    return fine;
}

static bool count_of(PyObject *ledger, PyObject *name, int64_t *out) {
    PyObject *found = PyObject_GetAttr(ledger, name);
    if (found == NULL)
        return false;
    *out = quick_int(found);
    Py_DECREF(found);
    return !(*out == -1 && PyErr_Occurred());
}

static bool balances(PyObject *ledger) {
    int64_t due, open, ended;
    if (PyObject_TypeCheck(ledger, &SumsType)) {
        const Sums *sums = (Sums *)ledger;
        due = sums->due, open = sums->open, ended = sums->ended;
    } else if (!count_of(ledger, names.due, &due) || !count_of(ledger, names.open, &open) || !count_of(ledger, names.ended, &ended))
        return false;
    if (due == open + ended)
        return true;
    PyObject *found = PyObject_CallMethodNoArgs(ledger, names.require_balance);
    Py_XDECREF(found);
    return found != NULL;
}

static PyObject *timeline_run_to(Timeline *self, PyObject *given, PyObject *named) {
    static char *keys[] = {"until_ns", "ledger", "limit", NULL};
    long long until_ns, limit;
    PyObject *ledger;
    if (!PyArg_ParseTupleAndKeywords(given, named, "LOL", keys, &until_ns, &ledger, &limit))
        return NULL;
    for (long long events = 0; events < limit; events++) {
        if (self->stopped || !self->count || self->entries[0].at_ns > until_ns)
            return PyLong_FromLongLong(events);
        if (!next_happens(self) || !balances(ledger))
            return NULL;
        if (!(events & 1023) && PyErr_CheckSignals() < 0)
            return NULL;
    }
    return PyLong_FromLongLong(limit < 0 ? 0 : limit);
}

static PyObject *timeline_happens(Timeline *self, PyObject *unused) {
    if (!self->count) {
        PyErr_SetString(PyExc_IndexError, "nothing is on the timeline");
        return NULL;
    }
    if (!next_happens(self))
        return NULL;
    Py_RETURN_NONE;
}

static bool ns_of(PyObject *number, int64_t *out) {
    *out = quick_int(number);
    return !(*out == -1 && PyErr_Occurred());
}

/* The value of ``priority=``; NORMAL without it. */
static bool priority_of(PyObject *const *named_values, PyObject *named, int *out) {
    *out = NORMAL;
    Py_ssize_t count = named == NULL ? 0 : PyTuple_GET_SIZE(named);
    for (Py_ssize_t i = 0; i < count; i++) {
        int is_it = PyObject_RichCompareBool(PyTuple_GET_ITEM(named, i), names.priority, Py_EQ);
        if (is_it < 0)
            return false;
        if (!is_it) {
            PyErr_Format(PyExc_TypeError, "unexpected argument %R", PyTuple_GET_ITEM(named, i));
            return false;
        }
        long found = PyLong_AsLong(named_values[i]);
        if (found == -1 && PyErr_Occurred())
            return false;
        *out = (int)found;
    }
    return true;
}

static PyObject *timeline_call_at(Timeline *self, PyObject *const *given, Py_ssize_t count, PyObject *named) {
    int64_t at_ns;
    int priority;
    if (count < 2) {
        PyErr_SetString(PyExc_TypeError, "call_at takes an instant and what to call");
        return NULL;
    }
    if (!ns_of(given[0], &at_ns) || !priority_of(given + count, named, &priority))
        return NULL;
    Timer *timer = timer_made(given[1], given + 2, count - 2);
    if (timer != NULL && put_at(self, at_ns, priority, (PyObject *)timer) < 0)
        Py_CLEAR(timer);
    return (PyObject *)timer;
}

static PyObject *timeline_call_in(Timeline *self, PyObject *const *given, Py_ssize_t count) {
    int64_t delay_ns, at_ns;
    if (count < 2) {
        PyErr_SetString(PyExc_TypeError, "call_in takes a delay and what to call");
        return NULL;
    }
    if (!ns_of(given[0], &delay_ns) || !from_now(self, delay_ns, &at_ns))
        return NULL;
    Timer *timer = timer_made(given[1], given + 2, count - 2);
    if (timer != NULL && put_at(self, at_ns, NORMAL, (PyObject *)timer) < 0)
        Py_CLEAR(timer);
    return (PyObject *)timer;
}

static PyObject *timeline_expect(Timeline *self, PyObject *const *given, Py_ssize_t count, PyObject *named) {
    int64_t at_ns;
    int priority = NORMAL;
    if (count < 2 || count > 3) {
        PyErr_SetString(PyExc_TypeError, "expect takes an instant, an occurrence and a priority");
        return NULL;
    }
    if (!ns_of(given[0], &at_ns))
        return NULL;
    if (count == 3) {
        long found = PyLong_AsLong(given[2]);
        if (found == -1 && PyErr_Occurred())
            return NULL;
        priority = (int)found;
    } else if (!priority_of(given + count, named, &priority))
        return NULL;
    if (put_at(self, at_ns, priority, given[1]) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *timeline_trouble_at(Timeline *self, PyObject *at) {
    int64_t at_ns;
    if (!ns_of(at, &at_ns))
        return NULL;
    for (Py_ssize_t i = 0; i < self->count; i++)
        if (self->entries[i].at_ns == at_ns && self->entries[i].priority == TROUBLE)
            Py_RETURN_TRUE;
    Py_RETURN_FALSE;
}

static PyObject *timeline_drop(Timeline *self, PyObject *kept) {
    Py_ssize_t count = self->count, left = 0, lost = 0;
    Entry *entries = PyMem_Malloc(((size_t)count + 1) * sizeof *entries);
    PyObject **gone = PyMem_Malloc(((size_t)count + 1) * sizeof *gone);
    if (entries == NULL || gone == NULL) {
        PyMem_Free(entries);
        PyMem_Free(gone);
        return PyErr_NoMemory();
    }
    memcpy(entries, self->entries, (size_t)count * sizeof *entries); /* who is asked may put something there */
    for (Py_ssize_t i = 0; i < count; i++)
        Py_INCREF(entries[i].what);
    bool fine = true;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *found = fine ? PyObject_CallOneArg(kept, entries[i].what) : NULL;
        int is_kept = found == NULL ? -1 : PyObject_IsTrue(found);
        Py_XDECREF(found);
        fine = is_kept >= 0;
        if (is_kept > 0)
            entries[left++] = entries[i];
        else
            gone[lost++] = entries[i].what;
    }
    if (fine) {
        Entry *old = self->entries;
        Py_ssize_t had = self->count;
        self->entries = entries, self->count = left, self->room = count + 1;
        for (Py_ssize_t i = left / 2 - 1; i >= 0; i--)
            sink(entries, left, i);
        entries = old, left = had;
    }
    for (Py_ssize_t i = 0; i < left; i++)
        Py_DECREF(entries[i].what);
    for (Py_ssize_t i = 0; i < lost; i++)
        Py_DECREF(gone[i]);
    PyMem_Free(entries);
    PyMem_Free(gone);
    if (!fine)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *timeline_next_ns(Timeline *self, void *unused) {
    if (!self->count)
        Py_RETURN_NONE;
    return PyLong_FromLongLong(self->entries[0].at_ns);
}

/* SimPy's own queue, to look at: its entries, the first of them in front. */
static PyObject *timeline_queue(Timeline *self, void *unused) {
    PyObject *found = PyList_New(0);
    for (Py_ssize_t i = 0; found != NULL && i < self->count; i++) {
        const Entry *one = self->entries + i;
        PyObject *entry = Py_BuildValue("(LiKO)", (long long)one->at_ns, (int)one->priority, (unsigned long long)one->number, one->what);
        if (entry == NULL || PyList_Append(found, entry) < 0)
            Py_CLEAR(found);
        Py_XDECREF(entry);
    }
    return found;
}

static int timeline_set_queue(Timeline *self, PyObject *queue, void *unused) {
    if (queue != NULL && PyList_CheckExact(queue) && !PyList_GET_SIZE(queue))
        return 0; /* SimPy begins with nothing */
    PyErr_SetString(PyExc_AttributeError, "the queue lies in C: expect puts something there");
    return -1;
}

static PyMethodDef timeline_methods[] = {
    {"call_at", (PyCFunction)(void (*)(void))timeline_call_at, METH_FASTCALL | METH_KEYWORDS, "Call at an instant."},
    {"call_in", (PyCFunction)(void (*)(void))timeline_call_in, METH_FASTCALL, "Call after a delay."},
    {"expect", (PyCFunction)(void (*)(void))timeline_expect, METH_FASTCALL | METH_KEYWORDS, "Let it happen at an instant."},
    {"trouble_at", (PyCFunction)timeline_trouble_at, METH_O, "Is there trouble at that instant?"},
    {"drop", (PyCFunction)timeline_drop, METH_O, "Nothing will happen but what is kept."},
    {"run_to", (PyCFunction)(void (*)(void))timeline_run_to, METH_VARARGS | METH_KEYWORDS, "Let everything happen that is due."},
    {"happens", (PyCFunction)timeline_happens, METH_NOARGS, "The next thing that is due."},
    {NULL},
};
static PyMemberDef timeline_members[] = {
    {"now", T_OBJECT_EX, offsetof(Timeline, now), 0, NULL},
    {"_active_proc", T_OBJECT, offsetof(Timeline, running), 0, NULL},
    {"stopped", T_BOOL, offsetof(Timeline, stopped), 0, NULL},
    {NULL},
};
static PyGetSetDef timeline_properties[] = {
    {"next_ns", (getter)timeline_next_ns, NULL, "When the next thing is due; None: nothing is.", NULL},
    {"_queue", (getter)timeline_queue, (setter)timeline_set_queue, NULL, NULL},
    {NULL},
};
PyTypeObject TimelineType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "twinloop.components.native.engine.Timeline",
    .tp_doc = "What is due, and the clock.",
    .tp_basicsize = sizeof(Timeline),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .tp_new = timeline_new,
    .tp_dealloc = (destructor)timeline_dealloc,
    .tp_traverse = (traverseproc)timeline_traverse,
    .tp_clear = (inquiry)timeline_clear,
    .tp_methods = timeline_methods,
    .tp_members = timeline_members,
    .tp_getset = timeline_properties,
};

/* ---- the module's part -------------------------------------------------------------------------- */
int timeline_part(PyObject *module) {
    const Word words[] = {
        {&names.happen, "happen"}, {&names.fired, "fired"}, {&names.task, "task"}, {&names.value, "value"},
        {&names.close, "close"}, {&names.due, "due"}, {&names.open, "open"}, {&names.ended, "ended"},
        {&names.require_balance, "require_balance"}, {&names.priority, "priority"},
    };
    if (!intern(words, sizeof words / sizeof *words))
        return -1;
    PyTypeObject *types[] = {&TimelineType, &TaskType, &TimerType, &EventType};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (PyModule_AddType(module, types[i]) < 0)
            return -1;
    return 0;
}
