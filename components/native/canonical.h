/* Values between a guest's memory and wasmtime's C values, as the canonical ABI of the component model has them.
 *
 * Belongs here: types, lifting, lowering, in the order and with the checks and words of wasmtime's own dynamic values
 * (component-model, design/mvp/CanonicalABI.md; wasmtime, runtime/component/values.rs). Never: calls (direct.h).
 * Only for types that are plain data: no resource, stream or future.
 *
 * What is lifted lies in an arena and is freed as a whole; names in it are the type's own. */

enum {
    KIND_S8 = 1, KIND_S16 = 3, KIND_U16 = 4, KIND_S32 = 5, KIND_U32 = 6, KIND_S64 = 7, KIND_F32 = 9, KIND_F64 = 10,
    KIND_CHAR = 11, KIND_STRING = 12, KIND_RECORD = 14, KIND_TUPLE = 15, KIND_VARIANT = 16, KIND_ENUM = 17,
    KIND_OPTION = 18, KIND_FLAGS = 20
};
enum { CORE_I32 = 0, CORE_I64 = 1, CORE_F32 = 2, CORE_F64 = 3 }; /* as wasmtime_valkind_t */
enum { FLAT_MAX = 16, TYPES_DEEP_MAX = 64 };
#define TRANSFER_MAX ((uint64_t)128 << 20) /* bytes that one lifting may carry: wasmtime's hostcall fuel */
enum { RUST_VALUE_BYTES = 48 }; /* what each element of a list counts there: size_of::<Val>(), which test_direct.py looks for */

/* ---- arenas -------------------------------------------------------------------------------------- */
typedef struct Segment Segment;
struct Segment { Segment *next; size_t size, used; };
enum { SEGMENT_BYTES = 16384 - sizeof(Segment), SPARE_MAX = 16 };
static Segment *spare; /* of SEGMENT_BYTES each, the one that was used last first: it is in the cache */
static int spares;

static void *room(Segment **arena, size_t bytes) {
    bytes = (bytes + 7) & ~(size_t)7;
    Segment *top = *arena;
    if (top == NULL || top->size - top->used < bytes) {
        if (bytes <= SEGMENT_BYTES && spare != NULL) {
            top = spare, spare = top->next, spares--;
        } else {
            size_t size = bytes > SEGMENT_BYTES ? bytes : SEGMENT_BYTES;
            if ((top = malloc(sizeof *top + size)) == NULL)
                return NULL;
            top->size = size;
        }
        top->used = 0;
        top->next = *arena;
        *arena = top;
    }
    void *found = (char *)(top + 1) + top->used;
    top->used += bytes;
    return found;
}

static void free_arena(Segment **arena) {
    while (*arena != NULL) {
        Segment *top = *arena;
        *arena = top->next;
        if (top->size == SEGMENT_BYTES && spares < SPARE_MAX)
            top->next = spare, spare = top, spares++;
        else
            free(top);
    }
}

/* ---- types --------------------------------------------------------------------------------------- */
typedef struct Type Type;
typedef struct { Sized name; const Type *type; uint32_t offset; } Part; /* a field, an element, a case */
struct Type {
    uint8_t kind, align, tag_bytes; /* tag_bytes: of a discriminant, or of the bits of flags */
    bool numbers;                   /* a record of nothing but numbers and truths: most of what crosses */
    uint32_t size, payload_at;
    uint32_t count; /* of parts */
    uint32_t flat;  /* core values; flats has that many */
    uint8_t *flats;
    Part *parts; /* option: none, some; result: ok, err */
};

static uint32_t aligned(uint32_t at, uint32_t align) { return (at + align - 1) & ~(align - 1); }

static bool type_failed(const char *why) {
    PyErr_SetString(PyExc_TypeError, why);
    return false;
}

static Type *type_of(PyObject *told, Segment **arena, int depth);

static bool parts_of(Type *type, PyObject *told, bool named, Segment **arena, int depth) {
    if (!PyTuple_Check(told))
        return type_failed("parts of a type are a tuple");
    type->count = (uint32_t)PyTuple_GET_SIZE(told);
    if ((type->parts = room(arena, type->count * sizeof *type->parts)) == NULL)
        return PyErr_NoMemory() != NULL;
    memset(type->parts, 0, type->count * sizeof *type->parts);
    for (uint32_t i = 0; i < type->count; i++) {
        PyObject *one = PyTuple_GET_ITEM(told, i), *of = one;
        if (named) {
            Py_ssize_t size;
            if (!PyTuple_Check(one) || PyTuple_GET_SIZE(one) != 2)
                return type_failed("a named part is its name and its type");
            const char *text = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(one, 0), &size);
            char *kept = text == NULL ? NULL : room(arena, (size_t)size + 1);
            if (kept == NULL)
                return PyErr_Occurred() ? false : PyErr_NoMemory() != NULL;
            memcpy(kept, text, (size_t)size + 1);
            type->parts[i].name = (Sized){(uint64_t)size, kept};
            of = PyTuple_GET_ITEM(one, 1);
        }
        if (of != Py_None && (type->parts[i].type = type_of(of, arena, depth + 1)) == NULL)
            return false;
    }
    return true;
}

/* One block after the other: a record, a tuple. */
static bool in_a_row(Type *type, Segment **arena) {
    type->align = 1;
    type->numbers = type->kind == KIND_RECORD;
    for (uint32_t i = 0; i < type->count; i++) {
        const Type *of = type->parts[i].type;
        if (of == NULL)
            return type_failed("a field has a type");
        type->numbers = type->numbers && of->kind <= KIND_F64;
        type->size = aligned(type->size, of->align);
        type->parts[i].offset = type->size;
        type->size += of->size;
        type->flat += of->flat;
        if (of->align > type->align)
            type->align = of->align;
    }
    type->size = aligned(type->size, type->align);
    if ((type->flats = room(arena, type->flat)) == NULL)
        return PyErr_NoMemory() != NULL;
    uint8_t *out = type->flats;
    for (uint32_t i = 0; i < type->count; i++) {
        memcpy(out, type->parts[i].type->flats, type->parts[i].type->flat);
        out += type->parts[i].type->flat;
    }
    return true;
}

static uint8_t joined(uint8_t a, uint8_t b) {
    if (a == b)
        return a;
    return (a == CORE_I32 && b == CORE_F32) || (a == CORE_F32 && b == CORE_I32) ? CORE_I32 : CORE_I64;
}

/* A discriminant, then one of several. */
static bool one_of(Type *type, Segment **arena) {
    if (!type->count)
        return type_failed("a variant has a case");
    uint32_t align, size = 0, flat = 0;
    type->tag_bytes = type->count <= 1 << 8 ? 1 : type->count <= 1 << 16 ? 2 : 4;
    align = type->tag_bytes;
    for (uint32_t i = 0; i < type->count; i++) {
        const Type *of = type->parts[i].type;
        if (of == NULL)
            continue;
        align = of->align > align ? of->align : align;
        size = of->size > size ? of->size : size;
        flat = of->flat > flat ? of->flat : flat;
    }
    uint32_t of_payload = 1;
    for (uint32_t i = 0; i < type->count; i++)
        if (type->parts[i].type != NULL && type->parts[i].type->align > of_payload)
            of_payload = type->parts[i].type->align;
    type->align = (uint8_t)align;
    type->payload_at = aligned(type->tag_bytes, of_payload);
    type->size = aligned(type->payload_at + size, align);
    type->flat = 1 + flat;
    if ((type->flats = room(arena, type->flat)) == NULL)
        return PyErr_NoMemory() != NULL;
    type->flats[0] = CORE_I32;
    for (uint32_t k = 0; k < flat; k++) {
        bool met = false;
        for (uint32_t i = 0; i < type->count; i++) {
            const Type *of = type->parts[i].type;
            if (of == NULL || k >= of->flat)
                continue;
            type->flats[1 + k] = met ? joined(type->flats[1 + k], of->flats[k]) : of->flats[k];
            met = true;
        }
    }
    return true;
}

static bool plain(Type *type, uint8_t size, uint8_t flat, uint8_t core, Segment **arena) {
    type->size = type->align = size;
    if (flat == 2) /* a pointer and a length */
        type->align = 4;
    type->flat = flat;
    if ((type->flats = room(arena, flat)) == NULL)
        return PyErr_NoMemory() != NULL;
    memset(type->flats, core, flat);
    return true;
}

static bool bits(Type *type, Segment **arena) {
    if (type->count > 32)
        return type_failed("flags of more than 32 don't cross here");
    type->tag_bytes = type->count <= 8 ? 1 : type->count <= 16 ? 2 : 4;
    return plain(type, type->tag_bytes, 1, CORE_I32, arena);
}

static bool type_fill(Type *type, PyObject *told, Segment **arena, int depth) {
    PyObject *rest = PyTuple_GET_SIZE(told) > 1 ? PyTuple_GET_ITEM(told, 1) : NULL;
    if (type->kind >= KIND_STRING + 1 && rest == NULL)
        return type_failed("a type of parts has them");
    switch (type->kind) {
    case KIND_BOOL: case KIND_S8: case KIND_U8: return plain(type, 1, 1, CORE_I32, arena);
    case KIND_S16: case KIND_U16: return plain(type, 2, 1, CORE_I32, arena);
    case KIND_S32: case KIND_U32: case KIND_CHAR: return plain(type, 4, 1, CORE_I32, arena);
    case KIND_S64: case KIND_U64: return plain(type, 8, 1, CORE_I64, arena);
    case KIND_F32: return plain(type, 4, 1, CORE_F32, arena);
    case KIND_F64: return plain(type, 8, 1, CORE_F64, arena);
    case KIND_STRING: return plain(type, 8, 2, CORE_I32, arena);
    case KIND_LIST: return parts_of(type, rest, false, arena, depth) && type->count == 1 && plain(type, 8, 2, CORE_I32, arena);
    case KIND_RECORD: return parts_of(type, rest, true, arena, depth) && in_a_row(type, arena);
    case KIND_TUPLE: return parts_of(type, rest, false, arena, depth) && in_a_row(type, arena);
    case KIND_VARIANT: case KIND_ENUM: return parts_of(type, rest, true, arena, depth) && one_of(type, arena);
    case KIND_OPTION: case KIND_RESULT: return parts_of(type, rest, false, arena, depth) && type->count == 2 && one_of(type, arena);
    case KIND_FLAGS: return parts_of(type, rest, true, arena, depth) && bits(type, arena);
    default: return type_failed("a kind that doesn't cross here");
    }
}

/* From what Python says of it, (kind, parts): see components/direct/shapes.py. NULL with an exception. */
static Type *type_of(PyObject *told, Segment **arena, int depth) {
    if (depth > TYPES_DEEP_MAX || !PyTuple_Check(told) || PyTuple_GET_SIZE(told) < 1) {
        type_failed(depth > TYPES_DEEP_MAX ? "types are nested too deep" : "a type is a tuple");
        return NULL;
    }
    long kind = PyLong_AsLong(PyTuple_GET_ITEM(told, 0));
    if (kind == -1 && PyErr_Occurred())
        return NULL;
    Type *type = room(arena, sizeof *type);
    if (type == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    memset(type, 0, sizeof *type);
    type->kind = kind < 0 || kind > 255 ? 255 : (uint8_t)kind;
    if (type_fill(type, told, arena, depth))
        return type;
    if (!PyErr_Occurred())
        type_failed("a type has other parts than it must");
    return NULL;
}

/* ---- lifting ------------------------------------------------------------------------------------- */
typedef struct {
    const uint8_t *memory;
    uint64_t bytes; /* of memory */
    uint64_t left;  /* of TRANSFER_MAX */
    Segment **arena;
    const char *failure; /* of lift_text when it names a number: the interpreter's lock is held */
} Lift;
static char lift_text[100];

static bool lift_failed(Lift *lift, const char *why) {
    lift->failure = why;
    return false;
}

static void *lift_room(Lift *lift, uint64_t bytes) {
    void *found = room(lift->arena, bytes);
    if (found == NULL)
        lift_failed(lift, "this machine has no memory left");
    return found;
}

static bool carried(Lift *lift, uint64_t count, uint64_t size) {
    if (count && count > lift->left / size)
        return lift_failed(lift, "too much data is being copied between the host and the guest: fuel allocated for "
                                 "hostcalls has been exhausted");
    lift->left -= count * size;
    return true;
}

/* Is it UTF-8? If it isn't: as Rust's from_utf8 says where. */
static bool is_utf8(Lift *lift, const uint8_t *text, uint64_t size) {
    uint64_t i = 0;
    while (i < size) {
        if (i + 8 <= size) {
            uint64_t eight;
            memcpy(&eight, text + i, 8);
            if (!(eight & UINT64_C(0x8080808080808080))) {
                i += 8;
                continue;
            }
        }
        uint8_t first = text[i];
        if (first < 0x80) {
            i++;
            continue;
        }
        int more = first >= 0xC2 && first <= 0xDF ? 1 : (first & 0xF0) == 0xE0 ? 2 : first >= 0xF0 && first <= 0xF4 ? 3 : 0;
        uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
        uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
        int good = 0;
        while (good < more && i + 1 + (uint64_t)good < size) {
            uint8_t next = text[i + 1 + (uint64_t)good];
            if (next < (good ? 0x80 : low) || next > (good ? 0xBF : high))
                break;
            good++;
        }
        if (more && good == more) {
            i += 1 + (uint64_t)more;
            continue;
        }
        lift->failure = lift_text;
        if (more && i + 1 + (uint64_t)good == size)
            snprintf(lift_text, sizeof lift_text, "incomplete utf-8 byte sequence from index %llu",
                     (unsigned long long)i);
        else
            snprintf(lift_text, sizeof lift_text, "invalid utf-8 sequence of %d bytes from index %llu",
                     1 + good, (unsigned long long)i);
        return false;
    }
    return true;
}

static bool lift_string(Lift *lift, uint32_t at, uint32_t size, Value *out) {
    if ((uint64_t)at + size > lift->bytes)
        return lift_failed(lift, "string pointer/length out of bounds of memory");
    if (!carried(lift, size, 1) || !is_utf8(lift, lift->memory + at, size))
        return false;
    char *kept = lift_room(lift, (uint64_t)size + 1);
    if (kept == NULL)
        return false;
    memcpy(kept, lift->memory + at, size);
    kept[size] = 0;
    out->of.sized = (Sized){size, kept};
    return true;
}

static bool load(Lift *lift, const Type *type, const uint8_t *from, Value *out);

static inline uint16_t half_at(const uint8_t *from) { uint16_t x; memcpy(&x, from, 2); return x; }
static inline uint32_t word_at(const uint8_t *from) { uint32_t x; memcpy(&x, from, 4); return x; }
static inline uint64_t number_at(const uint8_t *from) { uint64_t x; memcpy(&x, from, 8); return x; }

/* A list of records of numbers, without a call for each: as load does it. */
static bool lift_rows(Lift *lift, const Type *of, const uint8_t *from, uint32_t count, Value *values) {
    Entry *entry = lift_room(lift, (uint64_t)count * of->count * sizeof *entry);
    if (entry == NULL)
        return false;
    const Part *parts = of->parts, *end = parts + of->count;
    for (uint32_t i = 0; i < count; i++, from += of->size) {
        values[i].kind = KIND_RECORD;
        values[i].of.sized = (Sized){of->count, entry};
        for (const Part *part = parts; part < end; part++, entry++) {
            const uint8_t *at = from + part->offset;
            entry->name = part->name;
            entry->value.kind = part->type->kind;
            switch (part->type->size) {
            case 8: entry->value.of.number = number_at(at); break;
            case 4: entry->value.of.number = word_at(at); break;
            case 2: entry->value.of.number = half_at(at); break;
            default: entry->value.of.number = part->type->kind == KIND_BOOL ? *at != 0 : *at;
            }
        }
    }
    return true;
}

static bool lift_list(Lift *lift, const Type *type, uint32_t at, uint32_t count, Value *out) {
    const Type *of = type->parts[0].type;
    if ((uint64_t)count * of->size + at > lift->bytes)
        return lift_failed(lift, "list pointer/length out of bounds of memory");
    if (!carried(lift, count, RUST_VALUE_BYTES))
        return false;
    if (at % of->align)
        return lift_failed(lift, "list pointer is not aligned");
    Value *values = lift_room(lift, (uint64_t)count * sizeof *values);
    if (values == NULL)
        return false;
    const uint8_t *from = lift->memory + at;
    if (of->kind == KIND_U8)
        for (uint32_t i = 0; i < count; i++) {
            values[i].kind = KIND_U8;
            values[i].of.number = from[i];
        }
    else if (of->numbers) {
        if (!lift_rows(lift, of, from, count, values))
            return false;
    } else
        for (uint32_t i = 0; i < count; i++, from += of->size)
            if (!load(lift, of, from, values + i))
                return false;
    out->of.sized = (Sized){count, values};
    return true;
}

static bool lift_char(Lift *lift, uint32_t code, Value *out) {
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return lift_failed(lift, "converted integer out of range for `char`");
    out->of.word = code;
    return true;
}

/* What a variant, enum, option or result has beside its payload, which is at place; NULL: there is none. */
static bool lift_tag(Lift *lift, const Type *type, uint32_t tag, Value *out, Value **place) {
    if (tag >= type->count) {
        lift->failure = lift_text;
        snprintf(lift_text, sizeof lift_text, "discriminant %u out of range [0..%u)", tag, type->count);
        return false;
    }
    const Part *part = type->parts + tag;
    *place = NULL;
    if (part->type != NULL && (*place = lift_room(lift, sizeof **place)) == NULL)
        return false;
    switch (type->kind) {
    case KIND_ENUM: out->of.sized = part->name; break;
    case KIND_OPTION: out->of.sized = (Sized){(uintptr_t)*place, NULL}; break;
    case KIND_RESULT:
        out->of.number = 0; /* all eight bytes, of which one is looked at */
        out->of.result.ok = tag == 0;
        out->of.result.payload = *place;
        break;
    default: out->of.variant.tag = part->name, out->of.variant.payload = *place;
    }
    return true;
}

static bool lift_flags(Lift *lift, const Type *type, uint32_t set, Value *out) {
    Sized *names = lift_room(lift, type->count * sizeof *names);
    if (names == NULL)
        return false;
    uint64_t count = 0;
    for (uint32_t i = 0; i < type->count; i++)
        if (set >> i & 1)
            names[count++] = type->parts[i].name;
    out->of.sized = (Sized){count, names};
    return true;
}

static uint32_t tag_at(const uint8_t *from, int bytes) {
    return bytes == 1 ? *from : bytes == 2 ? half_at(from) : word_at(from);
}

/* From memory; whoever calls has seen that all of its bytes are there. */
static bool load(Lift *lift, const Type *type, const uint8_t *from, Value *out) {
    Value *place;
    out->kind = type->kind;
    switch (type->kind) {
    case KIND_BOOL: out->of.number = *from != 0; return true;
    case KIND_S8: case KIND_U8: out->of.number = *from; return true;
    case KIND_S16: case KIND_U16: out->of.number = half_at(from); return true;
    case KIND_S32: case KIND_U32: case KIND_F32: out->of.number = word_at(from); return true;
    case KIND_S64: case KIND_U64: case KIND_F64: out->of.number = number_at(from); return true;
    case KIND_CHAR: return lift_char(lift, word_at(from), out);
    case KIND_STRING: return lift_string(lift, word_at(from), word_at(from + 4), out);
    case KIND_LIST: return lift_list(lift, type, word_at(from), word_at(from + 4), out);
    case KIND_RECORD: {
        Entry *entries = lift_room(lift, type->count * sizeof *entries);
        if (entries == NULL)
            return false;
        out->of.sized = (Sized){type->count, entries};
        for (const Part *part = type->parts, *end = part + type->count; part < end; part++, entries++) {
            entries->name = part->name;
            if (!load(lift, part->type, from + part->offset, &entries->value))
                return false;
        }
        return true;
    }
    case KIND_TUPLE: {
        Value *values = lift_room(lift, type->count * sizeof *values);
        if (values == NULL)
            return false;
        out->of.sized = (Sized){type->count, values};
        for (uint32_t i = 0; i < type->count; i++)
            if (!load(lift, type->parts[i].type, from + type->parts[i].offset, values + i))
                return false;
        return true;
    }
    case KIND_FLAGS: return lift_flags(lift, type, tag_at(from, type->tag_bytes), out);
    default: {
        uint32_t tag = tag_at(from, type->tag_bytes);
        if (!lift_tag(lift, type, tag, out, &place))
            return false;
        return place == NULL || load(lift, type->parts[tag].type, from + type->payload_at, place);
    }
    }
}

/* From core values, of which it takes as many as type->flat. */
static bool lift_flat(Lift *lift, const Type *type, const Raw *raw, Value *out) {
    Value *place;
    out->kind = type->kind;
    switch (type->kind) {
    case KIND_BOOL: out->of.number = (uint32_t)raw->word != 0; return true;
    case KIND_S8: case KIND_U8: out->of.number = (uint8_t)raw->word; return true;
    case KIND_S16: case KIND_U16: out->of.number = (uint16_t)raw->word; return true;
    case KIND_S32: case KIND_U32: case KIND_F32: out->of.number = (uint32_t)raw->word; return true;
    case KIND_S64: case KIND_U64: case KIND_F64: out->of.number = raw->word; return true;
    case KIND_CHAR: return lift_char(lift, (uint32_t)raw->word, out);
    case KIND_STRING: return lift_string(lift, (uint32_t)raw[0].word, (uint32_t)raw[1].word, out);
    case KIND_LIST: return lift_list(lift, type, (uint32_t)raw[0].word, (uint32_t)raw[1].word, out);
    case KIND_RECORD: {
        Entry *entries = lift_room(lift, type->count * sizeof *entries);
        if (entries == NULL)
            return false;
        out->of.sized = (Sized){type->count, entries};
        for (uint32_t i = 0; i < type->count; raw += type->parts[i++].type->flat) {
            entries[i].name = type->parts[i].name;
            if (!lift_flat(lift, type->parts[i].type, raw, &entries[i].value))
                return false;
        }
        return true;
    }
    case KIND_TUPLE: {
        Value *values = lift_room(lift, type->count * sizeof *values);
        if (values == NULL)
            return false;
        out->of.sized = (Sized){type->count, values};
        for (uint32_t i = 0; i < type->count; raw += type->parts[i++].type->flat)
            if (!lift_flat(lift, type->parts[i].type, raw, values + i))
                return false;
        return true;
    }
    case KIND_FLAGS: return lift_flags(lift, type, (uint32_t)raw->word, out);
    default: {
        uint32_t tag = (uint32_t)raw->word;
        if (!lift_tag(lift, type, tag, out, &place))
            return false;
        return place == NULL || lift_flat(lift, type->parts[tag].type, raw + 1, place);
    }
    }
}

/* ---- lowering ------------------------------------------------------------------------------------ */
typedef struct Lower Lower;
struct Lower {
    uint8_t *memory;
    uint64_t bytes;
    /* Has the guest make room; where it is, or false with an error. Sets memory and bytes: it may have grown. */
    bool (*make_room)(Lower *, uint32_t align, uint64_t bytes, uint32_t *found);
    void *owner, *error;
};

static bool lower_failed(Lower *lower, const char *why) {
    lower->error = wasmtime.error_new(why);
    return false;
}

static bool put(Lower *lower, const Type *type, const Value *value, uint32_t to);

/* A list of records of numbers, without a call for each: as put does it. */
static bool put_rows(Lower *lower, const Type *of, const Value *values, uint64_t count, uint32_t found) {
    uint8_t *to = lower->memory + found;
    const Part *parts = of->parts, *end = parts + of->count;
    for (uint64_t i = 0; i < count; i++, to += of->size) {
        const Entry *entry = values[i].of.sized.data;
        if (values[i].kind != KIND_RECORD || values[i].of.sized.size != of->count)
            return lower_failed(lower, "type mismatch");
        for (const Part *part = parts; part < end; part++, entry++) {
            uint8_t *at = to + part->offset;
            if (entry->value.kind != part->type->kind)
                return lower_failed(lower, "type mismatch");
            switch (part->type->size) {
            case 8: memcpy(at, &entry->value.of.number, 8); break;
            case 4: memcpy(at, &entry->value.of.word, 4); break;
            case 2: memcpy(at, &entry->value.of.half, 2); break;
            default: *at = part->type->kind == KIND_BOOL ? entry->value.of.boolean != 0 : entry->value.of.byte;
            }
        }
    }
    return true;
}

static bool put_list(Lower *lower, const Type *type, const Value *value, uint32_t *found) {
    const Type *of = type->parts[0].type;
    const Sized *list = &value->of.sized;
    const Value *values = list->data;
    if (!lower->make_room(lower, of->align, list->size * of->size, found))
        return false;
    if (of->kind == KIND_U8) {
        uint8_t *to = lower->memory + *found;
        for (uint64_t i = 0; i < list->size; i++)
            to[i] = values[i].of.byte;
        return true;
    }
    uint32_t to = *found;
    if (of->numbers)
        return put_rows(lower, of, values, list->size, to);
    for (uint64_t i = 0; i < list->size; i++, to += of->size)
        if (!put(lower, of, values + i, to))
            return false;
    return true;
}

static bool put_string(Lower *lower, const Value *value, uint32_t *found) {
    const Sized *text = &value->of.sized;
    if (text->size > INT32_MAX)
        return lower_failed(lower, "string too large to copy into wasm");
    if (!lower->make_room(lower, 1, text->size, found))
        return false;
    memcpy(lower->memory + *found, text->data, text->size);
    return true;
}

/* Which case a variant, enum, option or result is of, and its payload's value (NULL: none). */
static bool tag_of(Lower *lower, const Type *type, const Value *value, uint32_t *tag, const Value **payload) {
    *payload = NULL;
    if (type->kind == KIND_OPTION) {
        *payload = at(value->of.number);
        *tag = *payload != NULL;
    } else if (type->kind == KIND_RESULT) {
        *payload = value->of.result.payload;
        *tag = !value->of.result.ok;
    } else {
        const Sized *name = &value->of.sized; /* of an enum; a variant's tag lies there, too */
        for (*tag = 0; *tag < type->count; ++*tag) {
            const Sized *known = &type->parts[*tag].name;
            if (known->size == name->size && !memcmp(known->data, name->data, name->size))
                break;
        }
        if (*tag == type->count)
            return lower_failed(lower, "unknown variant case");
        if (type->kind == KIND_VARIANT)
            *payload = value->of.variant.payload;
    }
    if ((*payload != NULL) != (type->parts[*tag].type != NULL))
        return lower_failed(lower, "a payload where none is expected, or none where one is");
    return true;
}

static bool bits_of(Lower *lower, const Type *type, const Value *value, uint32_t *set) {
    const Sized *names = value->of.sized.data;
    *set = 0;
    for (uint64_t k = 0; k < value->of.sized.size; k++) {
        uint32_t i = 0;
        while (i < type->count && (type->parts[i].name.size != names[k].size ||
                                   memcmp(type->parts[i].name.data, names[k].data, names[k].size)))
            i++;
        if (i == type->count)
            return lower_failed(lower, "unknown flag");
        *set |= UINT32_C(1) << i;
    }
    return true;
}

static bool fits(Lower *lower, const Type *type, const Value *value) {
    if (value->kind != type->kind)
        return lower_failed(lower, "type mismatch");
    if ((type->kind == KIND_RECORD || type->kind == KIND_TUPLE) && value->of.sized.size != type->count)
        return lower_failed(lower, "expected another number of fields");
    return true;
}

/* Into memory that the guest has made room for. */
static bool put(Lower *lower, const Type *type, const Value *value, uint32_t to) {
    const Value *payload;
    uint32_t found, tag;
    uint8_t *memory = lower->memory;
    if (!fits(lower, type, value))
        return false;
    switch (type->kind) {
    case KIND_BOOL: memory[to] = value->of.boolean != 0; return true;
    case KIND_S8: case KIND_U8: memory[to] = value->of.byte; return true;
    case KIND_S16: case KIND_U16: memcpy(memory + to, &value->of.half, 2); return true;
    case KIND_S32: case KIND_U32: case KIND_F32: case KIND_CHAR: memcpy(memory + to, &value->of.word, 4); return true;
    case KIND_S64: case KIND_U64: case KIND_F64: memcpy(memory + to, &value->of.number, 8); return true;
    case KIND_STRING: case KIND_LIST: {
        if (!(type->kind == KIND_STRING ? put_string(lower, value, &found) : put_list(lower, type, value, &found)))
            return false;
        uint32_t pair[2] = {found, (uint32_t)value->of.sized.size};
        memcpy(lower->memory + to, pair, 8);
        return true;
    }
    case KIND_RECORD: {
        const Entry *entries = value->of.sized.data;
        for (uint32_t i = 0; i < type->count; i++)
            if (!put(lower, type->parts[i].type, &entries[i].value, to + type->parts[i].offset))
                return false;
        return true;
    }
    case KIND_TUPLE: {
        const Value *values = value->of.sized.data;
        for (uint32_t i = 0; i < type->count; i++)
            if (!put(lower, type->parts[i].type, values + i, to + type->parts[i].offset))
                return false;
        return true;
    }
    case KIND_FLAGS:
        if (!bits_of(lower, type, value, &tag))
            return false;
        memcpy(memory + to, &tag, type->tag_bytes);
        return true;
    default:
        if (!tag_of(lower, type, value, &tag, &payload))
            return false;
        memcpy(memory + to, &tag, type->tag_bytes);
        return payload == NULL || put(lower, type->parts[tag].type, payload, to + type->payload_at);
    }
}

static inline void raw_is(Raw *raw, uint64_t word) { *raw = (Raw){word, 0}; }

/* Into core values. */
static bool put_flat(Lower *lower, const Type *type, const Value *value, Raw *raw) {
    const Value *payload;
    uint32_t found, tag;
    if (!fits(lower, type, value))
        return false;
    switch (type->kind) {
    case KIND_BOOL: raw_is(raw, value->of.boolean != 0); return true;
    case KIND_U8: raw_is(raw, value->of.byte); return true;
    case KIND_S8: raw_is(raw, (uint32_t)(int8_t)value->of.byte); return true;
    case KIND_U16: raw_is(raw, value->of.half); return true;
    case KIND_S16: raw_is(raw, (uint32_t)(int16_t)value->of.half); return true;
    case KIND_S32: case KIND_U32: case KIND_F32: case KIND_CHAR: raw_is(raw, value->of.word); return true;
    case KIND_S64: case KIND_U64: case KIND_F64: raw_is(raw, value->of.number); return true;
    case KIND_STRING: case KIND_LIST:
        if (!(type->kind == KIND_STRING ? put_string(lower, value, &found) : put_list(lower, type, value, &found)))
            return false;
        raw_is(raw, found);
        raw_is(raw + 1, (uint32_t)value->of.sized.size);
        return true;
    case KIND_RECORD: {
        const Entry *entries = value->of.sized.data;
        for (uint32_t i = 0; i < type->count; raw += type->parts[i++].type->flat)
            if (!put_flat(lower, type->parts[i].type, &entries[i].value, raw))
                return false;
        return true;
    }
    case KIND_TUPLE: {
        const Value *values = value->of.sized.data;
        for (uint32_t i = 0; i < type->count; raw += type->parts[i++].type->flat)
            if (!put_flat(lower, type->parts[i].type, values + i, raw))
                return false;
        return true;
    }
    case KIND_FLAGS:
        if (!bits_of(lower, type, value, &tag))
            return false;
        raw_is(raw, tag);
        return true;
    default: {
        if (!tag_of(lower, type, value, &tag, &payload))
            return false;
        raw_is(raw, tag);
        uint32_t written = 0;
        if (payload != NULL) {
            if (!put_flat(lower, type->parts[tag].type, payload, raw + 1))
                return false;
            written = type->parts[tag].type->flat;
        }
        for (uint32_t k = 1 + written; k < type->flat; k++)
            raw_is(raw + k, 0);
        return true;
    }
    }
}
