/* A stream's segments and the way that they take: integers that fit into 64 bits.
 *
 * Belongs here: what sim/network/half.py (Half, Segment) and sim/network/link.py (Figures) do in Python, by the same
 * names, with the same draws, order and errors (tests/sim/network compares them). Never: handshakes (tcp.py), what isn't
 * plain of a link: Python's ``offer`` does that. A class of Python's that does a step in its own way is asked for it:
 * only those that bind was told of are plain. */
#include "engine.h"

enum { HEADER_BYTES = 40, MSS_BYTES = 1460 };
static const int64_t NEVER_NS = INT64_C(1) << 62, EIGHT_S = 8000000000;

static struct {
    PyObject *model, *rules, *adopt, *offer, *queue_full, *word, *passes, *transit, *leave, *retry, *attempt, *broken, *troubled,
        *user_timeout_ns, *break_off, *env, *link, *offered, *lost, *pop;
} names;

static struct { PyTypeObject *half, *way; long long rto_ns, rto_max_ns; Slot broken, troubled, user_timeout_ns, offered, lost; } plain;

static bool count_one(const Slot *slot, PyObject *of, PyObject *name) {
    PyObject *before = read_of(slot, of, name);
    long long count = before == NULL ? -1 : quick_int(before);
    Py_XDECREF(before);
    PyObject *after = count == -1 && PyErr_Occurred() ? NULL : PyLong_FromLongLong(count + 1);
    if (after == NULL)
        return false;
    PyObject **at = place_of(slot, of);
    bool done = true;
    if (at != NULL)
        Py_XSETREF(*at, Py_NewRef(after));
    else
        done = PyObject_SetAttr(of, name, after) == 0;
    Py_DECREF(after);
    return done;
}

static bool int_of(PyObject *found, int64_t *out) {
    *out = found == NULL ? -1 : quick_int(found);
    Py_XDECREF(found);
    return !(*out == -1 && PyErr_Occurred());
}

/* ---- Figures: one direction of a leg -------------------------------------------------------------- */
typedef struct {
    PyObject_HEAD
    PyObject *link, *stats, *model, *loss_threshold, *loss_coin, *jitter_coin, *jitter_words;
    long long free_at_ns, booked_ns, least_ns, rate_bps, span;
} Figures;

static int figures_traverse(Figures *self, visitproc visit, void *arg) {
    Py_VISIT(self->link);
    Py_VISIT(self->stats);
    Py_VISIT(self->model);
    Py_VISIT(self->loss_coin);
    Py_VISIT(self->jitter_coin);
    Py_VISIT(self->jitter_words);
    return 0;
}

static int figures_clear(Figures *self) {
    Py_CLEAR(self->link);
    Py_CLEAR(self->stats);
    Py_CLEAR(self->model);
    Py_CLEAR(self->loss_threshold);
    Py_CLEAR(self->loss_coin);
    Py_CLEAR(self->jitter_coin);
    Py_CLEAR(self->jitter_words);
    return 0;
}

static void figures_dealloc(Figures *self) {
    PyObject_GC_UnTrack(self);
    figures_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

/* The next word of a stream of random ones: from its array, or asked for. */
static bool word_of(PyObject *coin, PyObject *words, uint64_t *out) {
    Py_ssize_t left = words == NULL ? 0 : PyObject_Length(words);
    PyObject *word = left < 0 ? NULL : PyObject_CallMethodNoArgs(left ? words : coin, left ? names.pop : names.word);
    *out = word == NULL ? 0 : PyLong_AsUnsignedLongLong(word);
    Py_XDECREF(word);
    return !PyErr_Occurred();
}

/* The first of what ``offer`` says, if it comes undamaged. */
static bool offered(Figures *self, int64_t size, int64_t now, int64_t *arrives) {
    PyObject *size_of = PyLong_FromLongLong(size), *now_of = PyLong_FromLongLong(now);
    PyObject *all = size_of != NULL && now_of != NULL
                        ? PyObject_CallMethodObjArgs((PyObject *)self, names.offer, size_of, now_of, NULL) : NULL;
    Py_XDECREF(size_of);
    Py_XDECREF(now_of);
    *arrives = NEVER_NS;
    Py_ssize_t count = all == NULL ? -1 : PyObject_Length(all);
    if (count > 0) {
        PyObject *first = PySequence_GetItem(all, 0);
        int damaged = first == NULL ? -1 : truth(PySequence_GetItem(first, 1));
        if (damaged == 0)
            int_of(PySequence_GetItem(first, 0), arrives);
        Py_XDECREF(first);
    }
    Py_XDECREF(all);
    return !PyErr_Occurred();
}

static bool way_transit(Figures *self, int64_t size, int64_t now, int64_t *arrives) {
    PyObject *model = PyObject_GetAttr(self->link, names.model);
    if (model == NULL)
        return false;
    int adopted = model == self->model ? 1 : truth(PyObject_CallMethodOneArg((PyObject *)self, names.adopt, model));
    int ruled = adopted < 0 ? -1 : adopted ? truth(PyObject_GetAttr(self->link, names.rules)) : 0;
    bool fine = false;
    if (ruled < 0)
        goto over;
    if (!adopted || ruled) {
        fine = offered(self, size, now, arrives);
        goto over;
    }
    if (!count_one(&plain.offered, self->stats, names.offered))
        goto over;
    if (self->rate_bps) {
        if (now < self->free_at_ns) {
            PyObject *instant = PyLong_FromLongLong(now);
            int full = instant == NULL ? -1 : truth(PyObject_CallMethodObjArgs((PyObject *)self, names.queue_full, model, instant, NULL));
            Py_XDECREF(instant);
            if (full) {
                *arrives = NEVER_NS;
                fine = full > 0;
                goto over;
            }
            now = self->free_at_ns;
        }
        int64_t takes_ns = EIGHT_S * size / self->rate_bps;
        self->booked_ns += takes_ns;
        now = self->free_at_ns = now + takes_ns;
    }
    int may_lose = self->loss_threshold == NULL ? 0 : PyObject_IsTrue(self->loss_threshold);
    if (may_lose) {
        PyObject *word = may_lose < 0 ? NULL : PyObject_CallMethodNoArgs(self->loss_coin, names.word);
        int lost = word == NULL ? -1 : PyObject_RichCompareBool(word, self->loss_threshold, Py_LT);
        Py_XDECREF(word);
        if (lost) {
            *arrives = NEVER_NS;
            fine = lost > 0 && count_one(&plain.lost, self->stats, names.lost);
            goto over;
        }
    }
    int64_t delay = self->least_ns;
    fine = true;
    if (!self->span)
        *arrives = now + delay;
    else {
        uint64_t word, span = (uint64_t)self->span;
        fine = word_of(self->jitter_coin, self->jitter_words, &word);
        /* word * span >> 64, by halves: a product of 128 bits isn't had everywhere */
        uint64_t low = (word & 0xFFFFFFFF) * (span & 0xFFFFFFFF), mid = (word >> 32) * (span & 0xFFFFFFFF) + (low >> 32);
        uint64_t other = (word & 0xFFFFFFFF) * (span >> 32) + (mid & 0xFFFFFFFF);
        delay += (int64_t)((word >> 32) * (span >> 32) + (mid >> 32) + (other >> 32));
        *arrives = delay > 0 ? now + delay : now;
    }
over:
    Py_DECREF(model);
    return fine;
}

static bool sized(PyObject *told, int64_t *size) {
    if (!int_of(Py_NewRef(told), size))
        return false;
    if (*size >= 0 && *size < INT64_C(1) << 30)
        return true;
    PyErr_SetString(PyExc_OverflowError, "a segment of such a size can't be");
    return false;
}

static PyObject *figures_transit(Figures *self, PyObject *const *given, Py_ssize_t count) {
    int64_t size, now, arrives;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "transit takes a size and an instant");
        return NULL;
    }
    if (!sized(given[0], &size) || !int_of(Py_NewRef(given[1]), &now) || !way_transit(self, size, now, &arrives))
        return NULL;
    return PyLong_FromLongLong(arrives);
}

static PyMethodDef figures_methods[] = {
    {"transit", (PyCFunction)(void (*)(void))figures_transit, METH_FASTCALL, "When a stream's segment comes."},
    {NULL},
};
static PyMemberDef figures_members[] = {
    {"link", T_OBJECT_EX, offsetof(Figures, link), 0, NULL},
    {"stats", T_OBJECT_EX, offsetof(Figures, stats), 0, NULL},
    {"_model", T_OBJECT, offsetof(Figures, model), 0, NULL},
    {"_loss_threshold", T_OBJECT_EX, offsetof(Figures, loss_threshold), 0, NULL},
    {"_loss_coin", T_OBJECT_EX, offsetof(Figures, loss_coin), 0, NULL},
    {"_jitter_coin", T_OBJECT_EX, offsetof(Figures, jitter_coin), 0, NULL},
    {"_jitter_words", T_OBJECT_EX, offsetof(Figures, jitter_words), 0, NULL},
    {"_free_at_ns", T_LONGLONG, offsetof(Figures, free_at_ns), 0, NULL},
    {"_booked_ns", T_LONGLONG, offsetof(Figures, booked_ns), 0, NULL},
    {"_least_ns", T_LONGLONG, offsetof(Figures, least_ns), 0, NULL},
    {"_rate_bps", T_LONGLONG, offsetof(Figures, rate_bps), 0, NULL},
    {"_span", T_LONGLONG, offsetof(Figures, span), 0, NULL},
    {NULL},
};
static PyTypeObject FiguresType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "twinloop.components.native.engine.Figures",
    .tp_doc = "What a way needs to know of its model while that is plain.",
    .tp_basicsize = sizeof(Figures),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .tp_new = PyType_GenericNew,
    .tp_dealloc = (destructor)figures_dealloc,
    .tp_traverse = (traverseproc)figures_traverse,
    .tp_clear = (inquiry)figures_clear,
    .tp_methods = figures_methods,
    .tp_members = figures_members,
};

/* ---- Half and Segment --------------------------------------------------------------------------- */
typedef struct Segment Segment;
typedef struct {
    PyObject_HEAD
    PyObject *stream, *way, *receive, *link;
    Timeline *env;
    Segment **flight; /* in order */
    Py_ssize_t count, room;
    long long retransmitted;
} Half;
struct Segment {
    PyObject_HEAD
    Half *half;
    PyObject *payload;
    int64_t size_bytes, by_ns, rto_ns;
    long long first_ns, sent_ns;
    char arrived;
    bool waits; /* it hasn't left: by_ns is by when it should arrive */
};
static PyTypeObject HalfType;

static int segment_traverse(Segment *self, visitproc visit, void *arg) {
    Py_VISIT(self->half);
    Py_VISIT(self->payload);
    return 0;
}

static int segment_clear(Segment *self) {
    Py_CLEAR(self->half);
    Py_CLEAR(self->payload);
    return 0;
}

static void segment_dealloc(Segment *self) {
    PyObject_GC_UnTrack(self);
    segment_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static int half_init(Half *self, PyObject *given, PyObject *named) {
    static char *keys[] = {"stream", "way", "receive", NULL};
    PyObject *stream, *way, *receive;
    if (!PyArg_ParseTupleAndKeywords(given, named, "OOO", keys, &stream, &way, &receive))
        return -1;
    PyObject *env = PyObject_GetAttr(stream, names.env), *link = env == NULL ? NULL : PyObject_GetAttr(way, names.link);
    if (link == NULL || !PyObject_TypeCheck(env, &TimelineType)) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_TypeError, "expected an environment of the compiled part, got %R", Py_TYPE(env));
        Py_XDECREF(env);
        Py_XDECREF(link);
        return -1;
    }
    Py_XSETREF(self->stream, Py_NewRef(stream));
    Py_XSETREF(self->way, Py_NewRef(way));
    Py_XSETREF(self->receive, Py_NewRef(receive));
    Py_XSETREF(self->link, link);
    Py_XSETREF(self->env, (Timeline *)env);
    return 0;
}

static int half_traverse(Half *self, visitproc visit, void *arg) {
    Py_VISIT(self->stream);
    Py_VISIT(self->way);
    Py_VISIT(self->receive);
    Py_VISIT(self->link);
    Py_VISIT(self->env);
    for (Py_ssize_t i = 0; i < self->count; i++)
        Py_VISIT(self->flight[i]);
    return 0;
}

static int half_clear(Half *self) {
    Py_CLEAR(self->stream);
    Py_CLEAR(self->way);
    Py_CLEAR(self->receive);
    Py_CLEAR(self->link);
    Py_CLEAR(self->env);
    Segment **flight = self->flight;
    Py_ssize_t count = self->count;
    self->flight = NULL, self->count = self->room = 0;
    for (Py_ssize_t i = 0; i < count; i++)
        Py_DECREF(flight[i]);
    PyMem_Free(flight);
    return 0;
}

static void half_dealloc(Half *self) {
    PyObject_GC_UnTrack(self);
    half_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static bool into_flight(Half *self, Segment *segment) {
    if (self->count == self->room) {
        Py_ssize_t room = self->room ? 2 * self->room : 2;
        Segment **flight = PyMem_Realloc(self->flight, (size_t)room * sizeof *flight);
        if (flight == NULL) {
            PyErr_NoMemory();
            return false;
        }
        self->flight = flight, self->room = room;
    }
    self->flight[self->count++] = (Segment *)Py_NewRef(segment);
    return true;
}

static Segment *out_of_flight(Half *self) {
    Segment *first = self->flight[0];
    memmove(self->flight, self->flight + 1, (size_t)--self->count * sizeof *self->flight);
    return first;
}

static inline int is_broken(Half *self) { return truth(read_of(&plain.broken, self->stream, names.broken)); }

static bool tell_trouble(Half *self) {
    PyObject *told = read_of(&plain.troubled, self->stream, names.troubled), *found = NULL;
    if (told != NULL)
        found = told == Py_None ? Py_NewRef(Py_None) : PyObject_CallNoArgs(told);
    Py_XDECREF(told);
    Py_XDECREF(found);
    return found != NULL;
}

static bool transit(Half *self, int64_t size, int64_t now, int64_t *arrives) {
    if (Py_IS_TYPE(self->way, plain.way))
        return way_transit((Figures *)self->way, size, now, arrives);
    PyObject *size_of = PyLong_FromLongLong(size), *instant = PyLong_FromLongLong(now), *found = NULL;
    if (size_of != NULL && instant != NULL)
        found = PyObject_CallMethodObjArgs(self->way, names.transit, size_of, instant, NULL);
    Py_XDECREF(size_of);
    Py_XDECREF(instant);
    return found != NULL && int_of(found, arrives);
}

static bool again(Half *self, Segment *segment) {
    self->retransmitted++;
    int64_t patience, now = now_of(self->env);
    if (!int_of(read_of(&plain.user_timeout_ns, self->stream, names.user_timeout_ns), &patience) || (now == -1 && PyErr_Occurred()))
        return false;
    int64_t ends = Py_MIN(segment->sent_ns + segment->rto_ns, segment->first_ns + patience);
    PyObject *attempt = PyObject_GetAttr((PyObject *)self, names.attempt);
    if (attempt == NULL)
        return false;
    bool done = call_at(self->env, Py_MAX(now, ends), attempt, (PyObject *)segment) == 0;
    Py_DECREF(attempt);
    segment->rto_ns = Py_MIN(2 * segment->rto_ns, plain.rto_max_ns);
    return done && tell_trouble(self);
}

static bool retry(Half *self, Segment *segment) {
    if (Py_IS_TYPE(self, plain.half))
        return again(self, segment);
    PyObject *found = PyObject_CallMethodOneArg((PyObject *)self, names.retry, (PyObject *)segment);
    Py_XDECREF(found);
    return found != NULL;
}

/* It is offered now; the timer runs if it doesn't come. */
static bool offer_now(Half *self, Segment *segment, int64_t now, int64_t *arrives) {
    if (!transit(self, segment->size_bytes, now, arrives))
        return false;
    return *arrives == NEVER_NS ? retry(self, segment) : put_at(self->env, *arrives, NORMAL, (PyObject *)segment) == 0;
}

static bool half_sends(Half *self, PyObject *payload, int64_t size, int64_t at_ns, int64_t by_ns, int64_t *arrives) {
    size += HEADER_BYTES;
    Segment *segment = (Segment *)SegmentType.tp_alloc(&SegmentType, 0);
    if (segment == NULL)
        return false;
    segment->half = (Half *)Py_NewRef(self), segment->payload = Py_NewRef(payload);
    segment->size_bytes = size, segment->first_ns = segment->sent_ns = at_ns, segment->rto_ns = plain.rto_ns;
    int64_t now = now_of(self->env);
    bool done = !(now == -1 && PyErr_Occurred()) && into_flight(self, segment);
    if (done && at_ns > now) { /* it meets the link as it is then */
        segment->by_ns = by_ns, segment->waits = true;
        *arrives = at_ns;
        done = put_at(self->env, at_ns, NORMAL, (PyObject *)segment) == 0;
    } else if (done)
        done = offer_now(self, segment, at_ns, arrives);
    Py_DECREF(segment);
    return done;
}

static PyObject *half_send(Half *self, PyObject *const *given, Py_ssize_t count) {
    int64_t size, at_ns, by_ns = NEVER_NS, arrives;
    if (count < 3 || count > 4) {
        PyErr_SetString(PyExc_TypeError, "send takes a payload, its size, an instant, and by when it should come");
        return NULL;
    }
    if (!sized(given[1], &size) || !int_of(Py_NewRef(given[2]), &at_ns) || (count == 4 && !int_of(Py_NewRef(given[3]), &by_ns)))
        return NULL;
    for (; size > MSS_BYTES; size -= MSS_BYTES) {
        if (Py_IS_TYPE(self, plain.half)) {
            if (!half_sends(self, Py_None, MSS_BYTES, at_ns, by_ns, &arrives))
                return NULL;
            continue;
        }
        PyObject *found = PyObject_CallMethod((PyObject *)self, "send", "OiLL", Py_None, (int)MSS_BYTES, (long long)at_ns, (long long)by_ns);
        if (found == NULL)
            return NULL;
        Py_DECREF(found);
    }
    return half_sends(self, given[0], size, at_ns, by_ns, &arrives) ? PyLong_FromLongLong(arrives) : NULL;
}

static bool leaves(Half *self, Segment *segment, int64_t by_ns) {
    segment->waits = false;
    int64_t now = now_of(self->env), arrives;
    if ((now == -1 && PyErr_Occurred()) || !transit(self, segment->size_bytes, now, &arrives))
        return false;
    if (arrives == NEVER_NS)
        return retry(self, segment);
    return put_at(self->env, arrives, NORMAL, (PyObject *)segment) == 0 && (arrives < by_ns || tell_trouble(self));
}

static bool is_segment(PyObject *told) {
    if (Py_IS_TYPE(told, &SegmentType))
        return true;
    PyErr_SetString(PyExc_TypeError, "expected a segment");
    return false;
}

static PyObject *half_leave(Half *self, PyObject *const *given, Py_ssize_t count) {
    int64_t by_ns;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "leave takes a segment and an instant");
        return NULL;
    }
    if (!is_segment(given[0]) || !int_of(Py_NewRef(given[1]), &by_ns) || !leaves(self, (Segment *)given[0], by_ns))
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *half_attempt(Half *self, PyObject *told) {
    if (!is_segment(told))
        return NULL;
    Segment *segment = (Segment *)told;
    int broken = is_broken(self);
    if (broken < 0)
        return NULL;
    if (broken || segment->arrived)
        Py_RETURN_NONE;
    int64_t now = now_of(self->env), patience, arrives;
    if ((now == -1 && PyErr_Occurred()) || !int_of(read_of(&plain.user_timeout_ns, self->stream, names.user_timeout_ns), &patience))
        return NULL;
    if (now - segment->first_ns >= patience)
        return PyObject_CallMethodNoArgs(self->stream, names.break_off);
    segment->sent_ns = now;
    if (!offer_now(self, segment, now, &arrives))
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *half_retry(Half *self, PyObject *told) {
    if (!is_segment(told) || !again(self, (Segment *)told))
        return NULL;
    Py_RETURN_NONE;
}

/* Payload of a segment that has come in its turn; is the stream broken then? -1 for an error. */
static int received(Half *self, Segment *segment) {
    if (segment->payload == Py_None)
        return 0;
    PyObject *receive = Py_NewRef(self->receive), *payload = Py_NewRef(segment->payload);
    PyObject *found = PyObject_CallOneArg(receive, payload);
    Py_DECREF(receive);
    Py_DECREF(payload);
    if (found == NULL)
        return -1;
    Py_DECREF(found);
    return is_broken(self);
}

static bool dropped_by_rule(Half *self, Segment *segment, bool *gone) {
    *gone = false;
    int ruled = truth(PyObject_GetAttr(self->link, names.rules));
    if (ruled <= 0)
        return ruled == 0;
    PyObject *size = PyLong_FromLongLong(segment->size_bytes);
    PyObject *extra = size == NULL ? NULL : PyObject_CallMethodObjArgs(self->way, names.passes, size, self->env->now, NULL);
    *gone = extra == Py_None;
    Py_XDECREF(size);
    Py_XDECREF(extra);
    return extra != NULL;
}

static bool comes(Half *self, Segment *segment) {
    bool gone;
    if (!dropped_by_rule(self, segment, &gone))
        return false;
    if (gone)
        return retry(self, segment); /* the timer has run since it was sent */
    segment->arrived = true;
    if (!self->count) {
        PyErr_SetString(PyExc_IndexError, "nothing is in flight");
        return false;
    }
    if (self->flight[0] != segment)
        return tell_trouble(self);
    for (;;) {
        Segment *first = out_of_flight(self);
        int over = received(self, first);
        Py_DECREF(first);
        if (over)
            return over > 0;
        if (!self->count || !self->flight[0]->arrived)
            return true;
    }
}

bool segment_happens(PyObject *object) {
    Segment *self = (Segment *)object;
    Half *half = self->half;
    int broken = is_broken(half);
    if (broken || self->arrived)
        return broken >= 0;
    if (!self->waits)
        return comes(half, self);
    if (Py_IS_TYPE(half, plain.half))
        return leaves(half, self, self->by_ns);
    PyObject *by_ns = PyLong_FromLongLong(self->by_ns), *found = NULL;
    if (by_ns != NULL)
        found = PyObject_CallMethodObjArgs((PyObject *)half, names.leave, object, by_ns, NULL);
    Py_XDECREF(by_ns);
    Py_XDECREF(found);
    return found != NULL;
}

static PyObject *segment_happen(PyObject *self, PyObject *unused) {
    if (!segment_happens(self))
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *half_flight(Half *self, void *unused) {
    PyObject *found = PyList_New(self->count);
    for (Py_ssize_t i = 0; found != NULL && i < self->count; i++)
        PyList_SET_ITEM(found, i, Py_NewRef(self->flight[i]));
    return found;
}

static PyMethodDef segment_methods[] = {
    {"happen", segment_happen, METH_NOARGS, "It leaves, or it reaches the other end."},
    {NULL},
};
static PyMemberDef segment_members[] = {
    {"payload", T_OBJECT, offsetof(Segment, payload), READONLY, NULL},
    {"first_ns", T_LONGLONG, offsetof(Segment, first_ns), READONLY, NULL},
    {"sent_ns", T_LONGLONG, offsetof(Segment, sent_ns), READONLY, NULL},
    {"arrived", T_BOOL, offsetof(Segment, arrived), READONLY, NULL},
    {NULL},
};
PyTypeObject SegmentType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "twinloop.components.native.engine.Segment",
    .tp_doc = "A segment on its way.",
    .tp_basicsize = sizeof(Segment),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)segment_dealloc,
    .tp_traverse = (traverseproc)segment_traverse,
    .tp_clear = (inquiry)segment_clear,
    .tp_methods = segment_methods,
    .tp_members = segment_members,
};
static PyMethodDef half_methods[] = {
    {"send", (PyCFunction)(void (*)(void))half_send, METH_FASTCALL, "Offer bytes."},
    {"leave", (PyCFunction)(void (*)(void))half_leave, METH_FASTCALL, "The device has its answer."},
    {"retry", (PyCFunction)half_retry, METH_O, "Start a segment's timer."},
    {"_attempt", (PyCFunction)half_attempt, METH_O, NULL},
    {NULL},
};
static PyMemberDef half_members[] = {
    {"stream", T_OBJECT, offsetof(Half, stream), READONLY, NULL},
    {"way", T_OBJECT, offsetof(Half, way), READONLY, NULL},
    {"receive", T_OBJECT, offsetof(Half, receive), READONLY, NULL},
    {"link", T_OBJECT, offsetof(Half, link), READONLY, NULL},
    {"env", T_OBJECT, offsetof(Half, env), READONLY, NULL},
    {"retransmitted", T_LONGLONG, offsetof(Half, retransmitted), READONLY, NULL},
    {NULL},
};
static PyGetSetDef half_properties[] = {
    {"flight", (getter)half_flight, NULL, "Segments that haven't come in their turn, in order; a list of its own.", NULL},
    {NULL},
};
static PyTypeObject HalfType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "twinloop.components.native.engine.Half",
    .tp_doc = "One direction of a stream.",
    .tp_basicsize = sizeof(Half),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)half_init,
    .tp_dealloc = (destructor)half_dealloc,
    .tp_traverse = (traverseproc)half_traverse,
    .tp_clear = (inquiry)half_clear,
    .tp_methods = half_methods,
    .tp_members = half_members,
    .tp_getset = half_properties,
};

/* ---- the module's part -------------------------------------------------------------------------- */
static PyObject *bind_streams(PyObject *module, PyObject *given) {
    PyObject *half, *way, *stream, *stats;
    long long rto_ns, rto_max_ns;
    if (!PyArg_ParseTuple(given, "O!O!O!O!LL", &PyType_Type, &half, &PyType_Type, &way, &PyType_Type, &stream, &PyType_Type, &stats,
                          &rto_ns, &rto_max_ns))
        return NULL;
    if (!PyType_IsSubtype((PyTypeObject *)half, &HalfType) || !PyType_IsSubtype((PyTypeObject *)way, &FiguresType)) {
        PyErr_SetString(PyExc_TypeError, "bind_streams takes a Half, a way with Figures, a stream and its counts");
        return NULL;
    }
    if (!slot_of(stream, names.broken, &plain.broken) || !slot_of(stream, names.troubled, &plain.troubled) ||
        !slot_of(stream, names.user_timeout_ns, &plain.user_timeout_ns) || !slot_of(stats, names.offered, &plain.offered) ||
        !slot_of(stats, names.lost, &plain.lost))
        return NULL;
    Py_INCREF(half), Py_INCREF(way), Py_INCREF(stream), Py_INCREF(stats); /* for good: once a process */
    plain.half = (PyTypeObject *)half, plain.way = (PyTypeObject *)way;
    plain.rto_ns = rto_ns, plain.rto_max_ns = rto_max_ns;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"bind_streams", bind_streams, METH_VARARGS, "Told once: the plain classes of a half, a way, a stream, a leg's counts; the first and the longest timer."},
    {NULL},
};

int streams_part(PyObject *module) {
    const Word words[] = {
        {&names.model, "model"}, {&names.rules, "rules"}, {&names.adopt, "_adopt"}, {&names.offer, "offer"},
        {&names.queue_full, "_queue_full"}, {&names.word, "word"}, {&names.passes, "passes"}, {&names.transit, "transit"},
        {&names.leave, "leave"}, {&names.retry, "retry"}, {&names.attempt, "_attempt"}, {&names.broken, "broken"},
        {&names.troubled, "troubled"}, {&names.user_timeout_ns, "user_timeout_ns"}, {&names.break_off, "break_off"},
        {&names.env, "env"}, {&names.link, "link"}, {&names.offered, "offered"}, {&names.lost, "lost"}, {&names.pop, "pop"},
    };
    if (!intern(words, sizeof words / sizeof *words))
        return -1;
    if (PyModule_AddType(module, &FiguresType) < 0 || PyModule_AddType(module, &HalfType) < 0 ||
        PyModule_AddType(module, &SegmentType) < 0)
        return -1;
    return PyModule_AddFunctions(module, functions);
}
