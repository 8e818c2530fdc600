/* Probe kernels of the other kind: what an interpreter in a component does (componentize-py, StarlingMonkey, QuickJS).
 * Code that is data: an operation is fetched, decoded and jumped to, values lie in boxes on a heap, names in hash
 * tables. Their data don't fit into the first cache, as an interpreter's don't. Built into
 * components/probes/interpreters.wasm by `python -m benchmarks.calibration --build`. */
#include "../runtimes/kernels/kernel.h"

/* ---- a stack machine: a switch for each operation ---------------------------------------------------------------- */
enum { PUSH, LOAD, STORE, ADD, SUB, MUL, LESS, JUMP, CALL, OPS, CODE = 8192, STEPS = 4096, LOCALS = 1024 };
typedef struct { u8 op; u8 flags; u16 argument; } op_t;

static op_t code[CODE];
static u32 locals[LOCALS], stack[64];

KERNEL(switched) {
    u32 word = 0, state = 21;
    for (u32 i = 0; i < CODE; i++) code[i] = (op_t){(u8)(draw(&state) % OPS), 0, (u16)draw(&state)};
    u32 at = 0, depth = 0;
    for (u32 i = 0; i < n; i++) {
        for (u32 step = 0; step < STEPS; step++) {
            op_t one = code[at++ % CODE];
            u32 top = depth ? stack[depth - 1] : 1, under = depth > 1 ? stack[depth - 2] : 2;
            switch (one.op) {
            case PUSH: if (depth < 64) stack[depth++] = one.argument; break;
            case LOAD: if (depth < 64) stack[depth++] = locals[one.argument % LOCALS]; break;
            case STORE: locals[one.argument % LOCALS] = top; if (depth) depth--; break;
            case ADD: if (depth > 1) stack[--depth - 1] = under + top; break;
            case SUB: if (depth > 1) stack[--depth - 1] = under - top; break;
            case MUL: if (depth > 1) stack[--depth - 1] = under * top; break;
            case LESS: if (depth > 1) stack[--depth - 1] = under < top; break;
            case JUMP: if (top & 1) at += one.argument % 64; if (depth) depth--; break;
            case CALL: locals[one.argument % LOCALS] = at; depth = depth > 8 ? depth - 8 : 0; break;
            }
        }
        word = mix(word, stack[0] + at);
    }
    return word;
}

/* ---- a tree of expressions: a call through a table for each node ------------------------------------------------- */
enum { NODES = 8192 };
typedef struct node node_t;
typedef u32 (*eval_t)(const node_t *);
struct node { eval_t eval; u32 left, right, value; u32 type, line; };

static node_t nodes[NODES];
static u32 world[256];

static inline u32 eval(u32 at) { return nodes[at].eval(&nodes[at]); }
static u32 eval_number(const node_t *one) { return one->value; }
static u32 eval_name(const node_t *one) { return world[one->value % 256]; }
static u32 eval_sum(const node_t *one) { return eval(one->left) + eval(one->right); }
static u32 eval_difference(const node_t *one) { return eval(one->left) - eval(one->right); }
static u32 eval_product(const node_t *one) { return eval(one->left) * eval(one->right); }
static u32 eval_choice(const node_t *one) { return eval(one->left) & 1 ? eval(one->right) : one->value; }
static u32 eval_let(const node_t *one) { return world[one->value % 256] = eval(one->left); }
static const eval_t leaves[] = {eval_number, eval_name}, inner[] = {eval_sum, eval_difference, eval_product, eval_choice, eval_let};

KERNEL(trees) {
    u32 word = 0, state = 22;
    for (u32 at = NODES; at-- > 0;) { /* a node's children come after it, anywhere in the arena, at most ten deep */
        u32 depth = 0;
        for (u32 k = at + 1; k; k >>= 1) depth++;
        int leaf = depth > 10;
        u32 first = 2 * at + 1;
        nodes[at] = (node_t){leaf ? leaves[draw(&state) % 2] : inner[draw(&state) % 5], leaf ? 0 : first, leaf ? 0 : first + 1, draw(&state), 0, at};
    }
    for (u32 i = 0; i < n; i++) {
        for (u32 root = 0; root < 8; root++) word = mix(word, eval(7 + root));
        world[i % 256] = word;
    }
    return word;
}

/* ---- objects: boxed values with counts of references, names in a hash table -------------------------------------- */
enum { BOXES = 16384, SLOTS = 4096, NAMES = 1024 };
typedef struct { u32 references, type, next, value; double number; u32 hash, length; } box_t;
typedef struct { u32 name, hash, box; } slot_t;

static box_t boxes[BOXES];
static slot_t table[SLOTS];
static u32 unused;
static u8 names[NAMES][16];

static u32 hash_of(const u8 *name) {
    u32 hash = 2166136261u;
    for (u32 i = 0; i < 16 && name[i]; i++) hash = mix(hash, name[i]);
    return hash;
}
static u32 equal(const u8 *one, const u8 *other) {
    for (u32 i = 0; i < 16; i++) {
        if (one[i] != other[i]) return 0;
        if (!one[i]) return 1;
    }
    return 1;
}
static slot_t *find(u32 name) {
    u32 hash = hash_of(names[name]), at = hash % SLOTS;
    while (table[at].name && !(table[at].hash == hash && equal(names[table[at].name], names[name]))) at = (at + 1) % SLOTS;
    table[at].name = name, table[at].hash = hash;
    return &table[at];
}
static u32 take(double number) {
    u32 at = unused;
    unused = boxes[at].next;
    boxes[at] = (box_t){1, 1, 0, (u32)number, number, 0, 0};
    return at;
}
static void drop(u32 at) {
    if (at && !--boxes[at].references) boxes[at].next = unused, unused = at;
}

KERNEL(objects) {
    u32 word = 0, state = 23;
    for (u32 i = 1; i < BOXES; i++) { /* free boxes lie in any order, as after a while of use */
        boxes[i].next = i * 5 % BOXES;
        if (!boxes[i].next) boxes[i].next = 5;
    }
    unused = 1;
    for (u32 i = 0; i < SLOTS; i++) table[i] = (slot_t){0, 0, 0};
    for (u32 i = 1; i < NAMES; i++)
        for (u32 k = 0; k < 15; k++) names[i][k] = k < 4 + i % 11 ? (u8)('a' + draw(&state) % 26) : 0;
    for (u32 i = 0; i < n; i++) {
        for (u32 step = 0; step < 128; step++) {
            u32 drawn = draw(&state);
            slot_t *left = find(1 + drawn % (NAMES - 1)), *right = find(1 + (drawn >> 10) % (NAMES - 1));
            double a = left->box ? boxes[left->box].number : 1, b = right->box ? boxes[right->box].number : 2;
            u32 made = take(drawn >> 31 ? a + b : a - b);
            u32 old = left->box;
            left->box = made;
            drop(old);
            word = mix(word, made);
        }
    }
    return word;
}
