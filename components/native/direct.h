/* Calls of a component past wasmtime's component API: its core modules are instances of their own, and values cross
 * by canonical.h.
 *
 * Belongs here: how the core modules of a component are put together (a Blueprint, as components/direct/plan.py has
 * read it from the component's bytes), one instance of it (Direct, of one CallWords), calls of its exports and of the
 * host by it. Never: what is Python's part of an import (crossing.c), a component that isn't plain data and plain
 * functions (plan.py says which).
 *
 * wasmtime's component API makes every field of every value a heap object of its own, with its name, twice; that was
 * half the price of a call. wasm_trap_t and wasmtime_error_t are one struct (wasmtime, crates/c-api/src/trap.rs). */

#define SHOWN_MAX UINT64_C(0xFFFEFFFF) /* bytes of a memory that can be looked at: below 4 GiB */
enum { MODULES_MAX = 8, WANTED_MAX = 64, CORE_MAX = FLAT_MAX + 2 };

/* ---- what is known of a component ---------------------------------------------------------------- */
typedef struct {
    const Type *takes, *gives; /* a tuple of all parameters; NULL: no result */
    uint8_t in[FLAT_MAX + 1], ins; /* core parameters and results of the function that is called or imported */
    uint8_t out, outs;             /* out: the kind of the one result */
    bool in_memory, by_pointer;    /* parameters are too many, the result is more than one core value */
} Shape;

typedef struct { uint32_t instance; Sized name; } Place; /* an export of a core instance */
typedef struct { Shape shape; Place core, after; uint32_t index; bool has_after; } Exported;
typedef struct { Sized module, name; int32_t host; Place place; } Wanted; /* host: which import of the host's; -1: place */
typedef struct { void *module; Wanted *wanted; uint32_t count; bool starts; } Step;
typedef struct { PyObject_HEAD PyObject *import; Shape shape; Segment *types; bool parks; } Lowered;

typedef struct {
    PyObject_HEAD
    Segment *arena; /* types and all that is below */
    void *engine, *linker; /* its functions are the host's, "h" and their number by name */
    PyObject *kept;        /* what keeps the modules, the linker and the host's functions */
    Step *steps;
    Exported *exports;
    uint32_t step_count, export_count;
    Place memory, realloc;
    bool has_memory, has_realloc;
} Blueprint;

struct Direct {
    Blueprint *blueprint;
    CoreInstance instances[MODULES_MAX];
    CoreMemory memory;
    CoreFunction realloc, *functions; /* two of each export: itself, and what comes after it */
    void *linker, *trap;              /* of the step under way; what a call on a fiber ended with */
    const Exported *under_way;
    CoreValue result;
    struct { const Lowered *import; CoreValue *results; void **trap; uint32_t to; Value value; } parked;
    uint32_t next; /* step */
    bool starting, may_leave, has_memory;
    uint64_t seen_bytes; /* of its memory, when it was looked at last */
};

static bool sized_of(PyObject *text, Segment **arena, Sized *out) {
    Py_ssize_t size;
    const char *found = PyUnicode_AsUTF8AndSize(text, &size);
    char *kept = found == NULL ? NULL : room(arena, (size_t)size + 1);
    if (kept == NULL)
        return found == NULL ? false : PyErr_NoMemory() != NULL;
    memcpy(kept, found, (size_t)size + 1);
    *out = (Sized){(uint64_t)size, kept};
    return true;
}

static bool place_of(PyObject *told, Segment **arena, Place *out) {
    PyObject *name;
    return PyArg_ParseTuple(told, "IO!", &out->instance, &PyUnicode_Type, &name) && sized_of(name, arena, &out->name);
}

/* told: (parameters' types, result's type or None); lowered: the host is called, else the guest. */
static bool shape_of(PyObject *told, Segment **arena, bool lowered, Shape *out) {
    PyObject *takes, *gives;
    memset(out, 0, sizeof *out);
    if (!PyArg_ParseTuple(told, "O!O", &PyTuple_Type, &takes, &gives))
        return false;
    PyObject *whole = Py_BuildValue("(iO)", KIND_TUPLE, takes);
    if (whole == NULL)
        return false;
    out->takes = type_of(whole, arena, 0);
    Py_DECREF(whole);
    if (out->takes == NULL || (gives != Py_None && (out->gives = type_of(gives, arena, 0)) == NULL))
        return false;
    out->in_memory = out->takes->flat > FLAT_MAX;
    if (out->in_memory)
        out->in[out->ins++] = CORE_I32;
    else
        for (; out->ins < out->takes->flat; out->ins++)
            out->in[out->ins] = out->takes->flats[out->ins];
    if (out->gives == NULL)
        return true;
    out->by_pointer = out->gives->flat > 1;
    if (out->by_pointer && lowered) {
        out->in[out->ins++] = CORE_I32;
    } else if (out->by_pointer || out->gives->flat) {
        out->outs = 1;
        out->out = out->by_pointer ? CORE_I32 : out->gives->flats[0];
    }
    return true;
}

/* ---- Lowered: an import of the host's as core modules see it ------------------------------------- */
static PyObject *lowered_new(PyTypeObject *type, PyObject *given, PyObject *named) {
    PyObject *import, *shape;
    int parks;
    if (!is_bound() || !PyArg_ParseTuple(given, "OO!p", &import, &PyTuple_Type, &shape, &parks))
        return NULL;
    if (!Py_IS_TYPE(import, &ImportType)) {
        PyErr_SetString(PyExc_TypeError, "an Import is lowered");
        return NULL;
    }
    Lowered *self = (Lowered *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->import = Py_NewRef(import);
    self->parks = parks;
    if (!shape_of(shape, &self->types, true, &self->shape))
        Py_CLEAR(self);
    return (PyObject *)self;
}

static int lowered_traverse(Lowered *self, visitproc visit, void *arg) {
    Py_VISIT(self->import);
    return 0;
}

static int lowered_clear(Lowered *self) {
    Py_CLEAR(self->import);
    return 0;
}

static void lowered_dealloc(Lowered *self) {
    PyObject_GC_UnTrack(self);
    lowered_clear(self);
    free_arena(&self->types);
    Py_TYPE(self)->tp_free(self);
}

/* (kinds of its core parameters, of its core results) */
static PyObject *lowered_core(Lowered *self, void *unused) {
    const Shape *shape = &self->shape;
    return Py_BuildValue("y#y#", (char *)shape->in, (Py_ssize_t)shape->ins, (char *)&shape->out, (Py_ssize_t)shape->outs);
}

static PyObject *lowered_at(Lowered *self, void *unused) { return PyLong_FromVoidPtr(self); }
static PyGetSetDef lowered_getset[] = {
    {"at", (getter)lowered_at, NULL, NULL, NULL}, {"core", (getter)lowered_core, NULL, NULL, NULL}, {NULL},
};

static PyTypeObject LoweredType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "twinloop.components.native.crossing.Lowered",
    .tp_basicsize = sizeof(Lowered),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_traverse = (traverseproc)lowered_traverse,
    .tp_clear = (inquiry)lowered_clear,
    .tp_doc = "(Import, its types, does it park): what LOWERED_SYNC and LOWERED_ASYNC are given as their environment.",
    .tp_new = lowered_new,
    .tp_getset = lowered_getset,
    .tp_dealloc = (destructor)lowered_dealloc,
};

/* ---- Blueprint ----------------------------------------------------------------------------------- */
static bool step_of(Blueprint *self, PyObject *told, Step *out) {
    unsigned long long module;
    PyObject *wanted;
    int starts;
    if (!PyArg_ParseTuple(told, "KO!p", &module, &PyTuple_Type, &wanted, &starts))
        return false;
    out->module = at(module), out->starts = starts;
    out->count = (uint32_t)PyTuple_GET_SIZE(wanted);
    if (out->count > WANTED_MAX)
        return type_failed("a core module imports 64 things at most");
    if ((out->wanted = room(&self->arena, out->count * sizeof *out->wanted)) == NULL)
        return PyErr_NoMemory() != NULL;
    for (uint32_t i = 0; i < out->count; i++) {
        Wanted *one = out->wanted + i;
        PyObject *from, *name, *place;
        int host;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(wanted, i), "UUiO", &from, &name, &host, &place) ||
            !sized_of(from, &self->arena, &one->module) || !sized_of(name, &self->arena, &one->name))
            return false;
        one->host = host;
        if (host < 0 && !place_of(place, &self->arena, &one->place))
            return false;
    }
    return true;
}

static bool exported_of(Blueprint *self, PyObject *told, uint32_t index, Exported *out) {
    PyObject *shape, *of, *after;
    out->index = index;
    if (!PyArg_ParseTuple(told, "O!O!O", &PyTuple_Type, &shape, &PyTuple_Type, &of, &after) ||
        !shape_of(shape, &self->arena, false, &out->shape) || !place_of(of, &self->arena, &out->core))
        return false;
    out->has_after = after != Py_None;
    return !out->has_after || place_of(after, &self->arena, &out->after);
}

static bool blueprint_fill(Blueprint *self, PyObject *steps, PyObject *exports, PyObject *memory, PyObject *realloc) {
    self->has_memory = memory != Py_None, self->has_realloc = realloc != Py_None;
    if ((self->has_memory && !place_of(memory, &self->arena, &self->memory)) ||
        (self->has_realloc && !place_of(realloc, &self->arena, &self->realloc)))
        return false;
    self->step_count = (uint32_t)PyTuple_GET_SIZE(steps), self->export_count = (uint32_t)PyTuple_GET_SIZE(exports);
    if (self->step_count > MODULES_MAX || !self->step_count)
        return type_failed("a blueprint has one to eight modules");
    self->steps = room(&self->arena, self->step_count * sizeof *self->steps);
    self->exports = room(&self->arena, self->export_count * sizeof *self->exports);
    if (self->steps == NULL || self->exports == NULL)
        return PyErr_NoMemory() != NULL;
    for (uint32_t i = 0; i < self->step_count; i++)
        if (!step_of(self, PyTuple_GET_ITEM(steps, i), self->steps + i))
            return false;
    for (uint32_t i = 0; i < self->export_count; i++)
        if (!exported_of(self, PyTuple_GET_ITEM(exports, i), i, self->exports + i))
            return false;
    return true;
}

static PyObject *blueprint_new(PyTypeObject *type, PyObject *given, PyObject *named) {
    unsigned long long engine, linker;
    PyObject *kept, *steps, *exports, *memory, *realloc;
    if (!is_bound() || !PyArg_ParseTuple(given, "KKOO!O!OO", &engine, &linker, &kept, &PyTuple_Type, &steps,
                                         &PyTuple_Type, &exports, &memory, &realloc))
        return NULL;
    Blueprint *self = (Blueprint *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->engine = at(engine), self->linker = at(linker), self->kept = Py_NewRef(kept);
    if (!blueprint_fill(self, steps, exports, memory, realloc))
        Py_CLEAR(self);
    return (PyObject *)self;
}

static int blueprint_traverse(Blueprint *self, visitproc visit, void *arg) {
    Py_VISIT(self->kept);
    return 0;
}

static int blueprint_clear(Blueprint *self) {
    Py_CLEAR(self->kept);
    return 0;
}

static void blueprint_dealloc(Blueprint *self) {
    PyObject_GC_UnTrack(self);
    blueprint_clear(self);
    free_arena(&self->arena);
    Py_TYPE(self)->tp_free(self);
}

/* ---- an instance --------------------------------------------------------------------------------- */
static void *gone(void) { return wasmtime.error_new("a core export that the component's bytes promise isn't there"); }

static bool extern_at(Direct *self, void *context, const Place *place, Extern *out) {
    return core.export_get(context, self->instances + place->instance, place->name.data, place->name.size, out);
}

static bool wanted_at(Direct *self, void *context, const Wanted *one, Extern *out) {
    if (one->host < 0)
        return extern_at(self, context, &one->place, out);
    char name[16];
    int size = snprintf(name, sizeof name, "%d", one->host);
    return core.linker_get(self->blueprint->linker, context, "h", 1, name, (size_t)size, out);
}

/* The error of a step without a fiber, or NULL. */
static void *step_at_once(Direct *self, void *context, const Step *step, CoreInstance *made) {
    Extern found[WANTED_MAX];
    void *trap = NULL;
    for (uint32_t i = 0; i < step->count; i++)
        if (!wanted_at(self, context, step->wanted + i, found + i))
            return gone();
    void *error = core.instance_new(context, step->module, found, step->count, made, &trap);
    return error != NULL ? error : trap;
}

static void free_linker(Direct *self) {
    if (self->linker != NULL)
        core.linker_delete(self->linker);
    self->linker = NULL;
}

/* Begins a step on a fiber; the future, or NULL with an error. */
static void *step_on_fiber(Direct *self, void *context, const Step *step, CoreInstance *made, void **error) {
    free_linker(self);
    self->linker = core.linker_new(self->blueprint->engine);
    for (uint32_t i = 0; i < step->count; i++) {
        const Wanted *one = step->wanted + i;
        Extern found;
        *error = wanted_at(self, context, one, &found)
                     ? core.linker_define(self->linker, context, one->module.data, one->module.size, one->name.data,
                                          one->name.size, &found)
                     : gone();
        if (*error != NULL)
            return NULL;
    }
    return core.instantiate_async(self->linker, context, step->module, made, &self->trap, error);
}

/* Its memory and its realloc, as soon as the module is there that has them: start code may call the host. The error,
 * or NULL. */
static void *find_memory(Direct *self, void *context, uint32_t made) {
    const Blueprint *of = self->blueprint;
    Extern found;
    if (of->has_memory && of->memory.instance + 1 == made) {
        if (!extern_at(self, context, &of->memory, &found) || found.kind != EXTERN_MEMORY)
            return gone();
        self->memory = found.of.memory;
        self->has_memory = true;
    }
    if (of->has_realloc && of->realloc.instance + 1 == made) {
        if (!extern_at(self, context, &of->realloc, &found) || found.kind != EXTERN_FUNCTION)
            return gone();
        self->realloc = found.of.function;
    }
    return NULL;
}

/* Where its exports are, once all modules are there; the error, or NULL. */
static void *find_exports(Direct *self, void *context) {
    const Blueprint *of = self->blueprint;
    Extern found;
    void *error = find_memory(self, context, of->step_count);
    if (error != NULL)
        return error;
    if ((self->functions = malloc(2 * of->export_count * sizeof *self->functions)) == NULL)
        return wasmtime.error_new("this machine has no memory left");
    for (uint32_t i = 0; i < of->export_count; i++) {
        const Exported *one = of->exports + i;
        if (!extern_at(self, context, &one->core, &found) || found.kind != EXTERN_FUNCTION)
            return gone();
        self->functions[2 * i] = found.of.function;
        if (one->has_after && (!extern_at(self, context, &one->after, &found) || found.kind != EXTERN_FUNCTION))
            return gone();
        self->functions[2 * i + 1] = found.of.function;
    }
    return NULL;
}

static bool started(CallWords *words, Blueprint *blueprint) {
    if (words->direct != NULL) {
        PyErr_SetString(PyExc_AssertionError, "it was started before");
        return false;
    }
    if ((words->direct = calloc(1, sizeof *words->direct)) == NULL)
        return PyErr_NoMemory() != NULL;
    words->direct->blueprint = blueprint; /* its instance's ``linked`` keeps it */
    words->direct->may_leave = true;
    return true;
}

/* What a call left that came to no end. */
static void direct_end(CallWords *words) {
    Value *answer = &words->direct->parked.value;
    wasmtime.delete(answer);
    *answer = (Value){.kind = KIND_BOOL};
}

static void free_direct(CallWords *words) {
    Direct *self = words->direct;
    if (self == NULL)
        return;
    words->direct = NULL;
    free_linker(self);
    free(self->functions);
    free(self);
}

static bool words_given(PyObject *given, CallWords **out) {
    if (!Py_IS_TYPE(given, &CallWordsType)) {
        PyErr_SetString(PyExc_TypeError, "an instance's words are wanted");
        return false;
    }
    *out = (CallWords *)given;
    return true;
}

/* (words) -> address of an error, 0 for none: all modules at once. */
static PyObject *blueprint_at_once(Blueprint *self, PyObject *given) {
    CallWords *words;
    if (!words_given(given, &words) || !started(words, self))
        return NULL;
    void *error = NULL;
    for (uint32_t i = 0; i < self->step_count && error == NULL; i++) {
        error = step_at_once(words->direct, words->context, self->steps + i, words->direct->instances + i);
        if (error == NULL)
            error = find_memory(words->direct, words->context, i + 1);
    }
    if (error == NULL)
        error = find_exports(words->direct, words->context);
    return PyLong_FromVoidPtr(error);
}

/* The next step that has start code is left under way; steps without are done at once, which is what they are on a
 * fiber, too. Sets future; NULL: all is done, or it ended with words->error. */
static void go_on_starting(CallWords *words) {
    Direct *self = words->direct;
    const Blueprint *of = self->blueprint;
    while (self->next < of->step_count) {
        const Step *step = of->steps + self->next;
        words->future = step_on_fiber(self, words->context, step, self->instances + self->next, &words->error);
        self->next++;
        if (words->future == NULL || step->starts)
            return;
        while (!wasmtime.poll(words->future)) {
        }
        wasmtime.future_delete(words->future);
        words->future = NULL;
        if (words->error == NULL)
            words->error = self->trap;
        if (words->error == NULL)
            words->error = find_memory(self, words->context, self->next);
        if (words->error != NULL)
            return;
    }
    words->error = find_exports(self, words->context);
}

/* (words): as at_once, on a fiber, for CallWords.poll to go on with. Is it done? */
static PyObject *blueprint_on_fiber(Blueprint *self, PyObject *given) {
    CallWords *words;
    if (!words_given(given, &words) || !started(words, self))
        return NULL;
    words->direct->starting = true;
    words->error = NULL;
    go_on_starting(words);
    return words_poll(words, NULL);
}

/* Where CallWords.call and start find an export, by its number: the same for all instances. */
static PyObject *blueprint_exports(Blueprint *self, void *unused) {
    PyObject *list = PyTuple_New(self->export_count);
    for (uint32_t i = 0; list != NULL && i < self->export_count; i++) {
        PyObject *place = PyLong_FromVoidPtr(self->exports + i);
        if (place == NULL)
            Py_CLEAR(list);
        else
            PyTuple_SET_ITEM(list, i, place);
    }
    return list;
}

static PyMethodDef blueprint_methods[] = {
    {"at_once", (PyCFunction)blueprint_at_once, METH_O, NULL},
    {"on_fiber", (PyCFunction)blueprint_on_fiber, METH_O, NULL},
    {NULL},
};
static PyGetSetDef blueprint_getset[] = {{"exports", (getter)blueprint_exports, NULL, NULL, NULL}, {NULL}};

static PyTypeObject BlueprintType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "twinloop.components.native.crossing.Blueprint",
    .tp_basicsize = sizeof(Blueprint),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_traverse = (traverseproc)blueprint_traverse,
    .tp_clear = (inquiry)blueprint_clear,
    .tp_doc = "(engine, linker, what to keep, steps, exports, memory, realloc): see components/direct/linking.py.",
    .tp_new = blueprint_new,
    .tp_methods = blueprint_methods,
    .tp_getset = blueprint_getset,
    .tp_dealloc = (destructor)blueprint_dealloc,
};

/* ---- the guest makes room ------------------------------------------------------------------------ */
static void look_at_memory(Direct *self, void *context, uint8_t **memory, uint64_t *bytes) {
    *memory = self->has_memory ? core.memory_data(context, &self->memory) : NULL;
    *bytes = *memory == NULL ? 0 : core.memory_size(context, &self->memory);
    if (*bytes > SHOWN_MAX) /* shown to a guest that asked too often (host/memory.py): there is no more behind it */
        *bytes = self->seen_bytes;
    self->seen_bytes = *bytes;
}

/* Is it shown memory that isn't there, so that it asks no more (host/memory.py)? */
static bool asked_too_often(CallWords *words) {
    return words->direct->has_memory && core.memory_size(words->context, &words->direct->memory) > SHOWN_MAX;
}

/* A core function to its end, on a fiber of its own: a store that has some calls no other way. The error, or NULL. */
static void *to_its_end(CallWords *words, const CoreFunction *function, const uint8_t *kinds, size_t count, Raw *raw,
                        size_t results) {
    CoreValue in[CORE_MAX], out[1] = {{0}};
    void *trap = NULL, *error = NULL;
    for (size_t i = 0; i < count; i++)
        in[i] = (CoreValue){.kind = kinds[i], .words = {raw[i].word}};
    void *future = core.call_async(words->context, function, in, count, out, results, &trap, &error);
    bool done;
    do /* its fuel ends it, and its asking for memory in vain, at the end of a slice as in any call */
        done = wasmtime.poll(future);
    while (!done && !asked_too_often(words));
    wasmtime.future_delete(future);
    if (!done)
        return wasmtime.error_new("it asked for memory too often"); /* what is told of it is instance.py's */
    raw[0] = (Raw){out[0].kind == CORE_I32 ? (uint32_t)out[0].words[0] : out[0].words[0], 0};
    return error != NULL ? error : trap;
}

static bool placed(Lower *lower, uint32_t align, uint64_t bytes, uint32_t found, void *error) {
    CallWords *words = lower->owner;
    if (error != NULL) {
        lower->error = error;
        return false;
    }
    if (found % align)
        return lower_failed(lower, "realloc return: result not aligned");
    look_at_memory(words->direct, words->context, &lower->memory, &lower->bytes);
    if (found + bytes > lower->bytes)
        return lower_failed(lower, "realloc return: beyond end of memory");
    return true;
}

static const uint8_t FOUR_WORDS[4] = {CORE_I32, CORE_I32, CORE_I32, CORE_I32};

/* Where a guest runs below, or where none of its calls is on a fiber. */
static bool make_room(Lower *lower, uint32_t align, uint64_t bytes, uint32_t *found) {
    CallWords *words = lower->owner;
    Raw raw[4] = {{0, 0}, {0, 0}, {align, 0}, {(uint32_t)bytes, 0}};
    void *trap = NULL, *error = core.call(words->context, &words->direct->realloc, raw, 4, &trap);
    *found = (uint32_t)raw[0].word;
    return placed(lower, align, bytes, *found, error != NULL ? error : trap);
}

/* Before a call on a fiber, and while one waits. */
static bool make_room_on_fiber(Lower *lower, uint32_t align, uint64_t bytes, uint32_t *found) {
    CallWords *words = lower->owner;
    Raw raw[4] = {{0, 0}, {0, 0}, {align, 0}, {(uint32_t)bytes, 0}};
    void *error = to_its_end(words, &words->direct->realloc, FOUR_WORDS, 4, raw, 1);
    *found = (uint32_t)raw[0].word;
    return placed(lower, align, bytes, *found, error);
}

/* ---- calls of its exports ------------------------------------------------------------------------ */
/* Core arguments of values; the error, or NULL. */
static void *lower_arguments(CallWords *words, const Shape *shape, const Value *values, Raw *raw, bool on_fiber) {
    Direct *self = words->direct;
    Lower lower = {.make_room = on_fiber ? make_room_on_fiber : make_room, .owner = words};
    const Part *parts = shape->takes->parts;
    bool well = true;
    uint32_t found = 0;
    if (!shape->takes->count)
        return NULL;
    look_at_memory(self, words->context, &lower.memory, &lower.bytes);
    self->may_leave = false;
    if (shape->in_memory) {
        well = lower.make_room(&lower, shape->takes->align, shape->takes->size, &found);
        raw_is(raw, found);
    }
    for (uint32_t i = 0; well && i < shape->takes->count; i++) {
        if (shape->in_memory) {
            well = put(&lower, parts[i].type, values + i, found + parts[i].offset);
        } else {
            well = put_flat(&lower, parts[i].type, values + i, raw);
            raw += parts[i].type->flat;
        }
    }
    self->may_leave = true;
    return well ? NULL : lower.error;
}

/* The result that a core function returned, into words->result; the error, or NULL. */
static void *lift_result(CallWords *words, const Shape *shape, Raw *raw) {
    Lift lift = {.left = TRANSFER_MAX, .arena = &words->arena};
    uint8_t *memory;
    bool well;
    if (shape->gives == NULL)
        return NULL;
    look_at_memory(words->direct, words->context, &memory, &lift.bytes);
    lift.memory = memory;
    if (!shape->by_pointer) {
        well = lift_flat(&lift, shape->gives, raw, &words->result);
    } else {
        uint32_t from = (uint32_t)raw->word;
        well = from % shape->gives->align ? lift_failed(&lift, "return pointer not aligned")
               : (uint64_t)from + shape->gives->size > lift.bytes
                   ? lift_failed(&lift, "pointer out of bounds of memory")
                   : load(&lift, shape->gives, memory + from, &words->result);
    }
    if (well)
        return NULL;
    words->result.kind = KIND_BOOL;
    free_arena(&words->arena);
    return wasmtime.error_new(lift.failure);
}

/* As wasmtime_component_func_call: the error, or NULL. */
static void *direct_call(CallWords *words, const void *called, const Value *arguments) {
    const Exported *function = called;
    Direct *self = words->direct;
    const Shape *shape = &function->shape;
    const CoreFunction *functions = self->functions + 2 * function->index;
    Raw raw[CORE_MAX];
    void *trap = NULL, *error = lower_arguments(words, shape, arguments, raw, false);
    if (error != NULL)
        return error;
    error = core.call(words->context, functions, raw, shape->ins > shape->outs ? shape->ins : shape->outs, &trap);
    if (error != NULL || trap != NULL)
        return error != NULL ? error : trap;
    if ((error = lift_result(words, shape, raw)) != NULL || !function->has_after)
        return error;
    self->may_leave = false;
    error = core.call(words->context, functions + 1, raw, shape->outs, &trap);
    self->may_leave = true;
    return error != NULL ? error : trap;
}

static void direct_start(CallWords *words, const void *called, const Value *arguments) {
    const Exported *function = called;
    Direct *self = words->direct;
    const Shape *shape = &function->shape;
    Raw raw[CORE_MAX];
    CoreValue in[CORE_MAX];
    self->under_way = function, self->trap = NULL, self->result = (CoreValue){0};
    if ((words->error = lower_arguments(words, shape, arguments, raw, true)) != NULL)
        return;
    for (uint32_t i = 0; i < shape->ins; i++)
        in[i] = (CoreValue){.kind = shape->in[i], .words = {raw[i].word}};
    words->future = core.call_async(words->context, self->functions + 2 * function->index, in, shape->ins,
                                    &self->result, shape->outs, &self->trap, &words->error);
}

/* After a step: is the whole call done, with its result or its error in words? */
static bool direct_done(CallWords *words) {
    Direct *self = words->direct;
    for (;;) {
        if (words->future != NULL) {
            if (!wasmtime.poll(words->future))
                return false;
            wasmtime.future_delete(words->future);
            words->future = NULL;
        }
        if (words->error == NULL)
            words->error = self->trap;
        self->trap = NULL;
        if (words->error != NULL || !self->starting)
            break;
        if (self->next == self->blueprint->step_count && self->functions != NULL)
            break;
        go_on_starting(words);
    }
    if (self->starting) {
        self->starting = false;
        free_linker(self);
        return true;
    }
    const Exported *function = self->under_way;
    if (words->error != NULL || function == NULL)
        return true;
    uint64_t word = self->result.words[0];
    Raw raw[CORE_MAX] = {{self->result.kind == CORE_I32 || self->result.kind == CORE_F32 ? (uint32_t)word : word, 0}};
    Raw kept = raw[0];
    words->error = lift_result(words, &function->shape, raw);
    if (words->error == NULL && function->has_after) {
        self->may_leave = false;
        raw[0] = kept;
        words->error = to_its_end(words, self->functions + 2 * function->index + 1, &function->shape.out,
                                  function->shape.outs, raw, 0);
        self->may_leave = true;
    }
    return true;
}

/* ---- calls of the host --------------------------------------------------------------------------- */
/* The words of the instance that calls; a borrowed reference, NULL with an exception. */
static CallWords *words_of_instance(PyObject *instance) {
    PyObject *block = PyObject_GetAttr(instance, names.block);
    if (block == NULL)
        return NULL;
    Py_DECREF(block); /* the instance keeps it */
    if (Py_IS_TYPE(block, &CallWordsType) && ((CallWords *)block)->direct != NULL)
        return (CallWords *)block;
    PyErr_SetString(PyExc_TypeError, "an instance of this host has other words");
    return NULL;
}

/* What it is called with, as C values in an arena; the error, or NULL. */
static void *lift_arguments(const Lowered *self, CallWords *words, const Raw *raw, Segment **arena, Value **values) {
    const Type *takes = self->shape.takes;
    Lift lift = {.left = TRANSFER_MAX, .arena = arena};
    uint8_t *memory;
    look_at_memory(words->direct, words->context, &memory, &lift.bytes);
    lift.memory = memory;
    *values = lift_room(&lift, takes->count * sizeof **values);
    bool well = *values != NULL;
    uint32_t from = (uint32_t)raw->word;
    if (well && self->shape.in_memory)
        well = from % takes->align                              ? lift_failed(&lift, "pointer not aligned")
               : (uint64_t)from + takes->size > lift.bytes ? lift_failed(&lift, "pointer out of bounds")
                                                           : true;
    for (uint32_t i = 0; well && i < takes->count; i++) {
        const Part *part = takes->parts + i;
        well = self->shape.in_memory ? load(&lift, part->type, memory + from + part->offset, *values + i)
                                     : lift_flat(&lift, part->type, raw, *values + i);
        raw += part->type->flat;
    }
    return well ? NULL : wasmtime.error_new(lift.failure);
}

/* Its result back to the guest; the error, or NULL. value is freed. */
static void *lower_answer(const Lowered *self, CallWords *words, Value *value, uint32_t to, Raw *out, bool on_fiber) {
    const Type *gives = self->shape.gives;
    void *error = NULL;
    if (gives == NULL)
        return NULL;
    Lower lower = {.make_room = on_fiber ? make_room_on_fiber : make_room, .owner = words};
    look_at_memory(words->direct, words->context, &lower.memory, &lower.bytes);
    if (self->shape.by_pointer && to % gives->align)
        error = wasmtime.error_new("pointer not aligned");
    else if (self->shape.by_pointer && (uint64_t)to + gives->size > lower.bytes)
        error = wasmtime.error_new("pointer out of bounds");
    if (error == NULL) {
        words->direct->may_leave = false;
        bool well = self->shape.by_pointer ? put(&lower, gives, value, to) : put_flat(&lower, gives, value, out);
        words->direct->may_leave = true;
        if (!well)
            error = lower.error;
    }
    wasmtime.delete(value);
    value->kind = KIND_BOOL;
    return error;
}

/* wasmtime_func_unchecked_callback_t */
static void *on_lowered_sync(void *environment, void *caller, Raw *raw, size_t count) {
    PyGILState_STATE lock = PyGILState_Ensure();
    const Lowered *self = environment;
    Import *import = (Import *)self->import;
    void *context = core.caller_context(caller), *error = NULL;
    Segment *arena = NULL;
    Value *values = NULL, result = {.kind = KIND_BOOL};
    PyObject *instance = instance_at(import, context);
    CallWords *words = instance == NULL ? NULL : words_of_instance(instance);
    int otherwise = words == NULL ? 1 : rare(import, true);
    uint32_t to = self->shape.by_pointer ? (uint32_t)raw[self->shape.ins - 1].word : 0;
    if (PyErr_Occurred() || words == NULL) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_SystemError, "an import was called by an instance that nobody knows");
        keep(instance);
        error = failed();
    } else if (!words->direct->may_leave) {
        error = core.trap_of_code(CANNOT_LEAVE);
    } else if ((error = lift_arguments(self, words, raw, &arena, &values)) == NULL) {
        uint32_t given = self->shape.takes->count, given_back = self->shape.gives != NULL;
        if (otherwise)
            error = on_sync_rare(import, context, values, given, &result, given_back, instance);
        else if (!served(import, instance, values, given, &result)) {
            keep(instance);
            error = failed();
        }
        if (error == NULL)
            error = lower_answer(self, words, &result, to, raw, false);
    }
    free_arena(&arena);
    Py_XDECREF(instance);
    PyGILState_Release(lock);
    return error;
}

/* The parked import's answer has come: into the guest with it. Its fiber waits in wasmtime for this very function, and
 * can't wait for anything else meanwhile: what the guest does to make room has a fiber of its own. */
static bool is_answered(void *environment) {
    CallWords *words = environment;
    if (!words->flag)
        return false;
    Direct *self = words->direct;
    Raw out = {0, 0};
    const Lowered *import = self->parked.import;
    void *error = lower_answer(import, words, &self->parked.value, self->parked.to, &out, true);
    if (error != NULL)
        *self->parked.trap = error;
    else if (import->shape.outs)
        *self->parked.results = (CoreValue){.kind = import->shape.out, .words = {out.word}};
    return true;
}

/* wasmtime_func_async_callback_t */
static void on_lowered_async(void *environment, void *caller, const CoreValue *arguments, size_t count,
                             CoreValue *results, size_t result_count, void **trap, Continuation *then) {
    PyGILState_STATE lock = PyGILState_Ensure();
    const Lowered *self = environment;
    Import *import = (Import *)self->import;
    void *context = core.caller_context(caller);
    Segment *arena = NULL;
    Value *values = NULL;
    Raw raw[CORE_MAX];
    PyObject *instance = instance_at(import, context);
    CallWords *words = instance == NULL ? NULL : words_of_instance(instance);
    int otherwise = words == NULL ? 1 : rare(import, false);
    *then = (Continuation){is_set, &always, NULL};
    for (size_t i = 0; i < count && i < CORE_MAX; i++)
        raw[i] = (Raw){arguments[i].words[0], 0};
    if (PyErr_Occurred() || words == NULL) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_SystemError, "an import was called by an instance that nobody knows");
        keep(instance);
        *trap = failed();
    } else if (!words->direct->may_leave) {
        *trap = core.trap_of_code(CANNOT_LEAVE);
    } else if ((*trap = lift_arguments(self, words, raw, &arena, &values)) == NULL) {
        Direct *of = words->direct;
        uint32_t given = self->shape.takes->count;
        of->parked.import = self, of->parked.results = results, of->parked.trap = trap;
        of->parked.to = self->shape.by_pointer ? (uint32_t)raw[self->shape.ins - 1].word : 0;
        of->parked.value = (Value){.kind = KIND_BOOL};
        if (otherwise) {
            on_async_rare(import, context, values, given, &of->parked.value, self->shape.gives != NULL, trap, then, instance);
        } else if (!parked(import, instance, values, &of->parked.value, then)) {
            keep(instance);
            *trap = failed();
        }
        *then = *trap == NULL ? (Continuation){is_answered, words, NULL} : (Continuation){is_set, &always, NULL};
    }
    free_arena(&arena);
    Py_XDECREF(instance);
    PyGILState_Release(lock);
}
