/* Stacks of fibers that are used again: wasmtime maps one for each call that waits while its instance has none, and
 * unmaps it afterwards, which takes longer than a call.
 *
 * Belongs here: where stacks come from, and where they go. Never: how large they are (host/engines.py). */
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct { void *environment; uint8_t *(*top)(void *, size_t *); void (*finalizer)(void *); } StackMemory;
typedef struct { void *environment; void *(*make)(void *, size_t, bool, StackMemory *); void (*finalizer)(void *); } StackCreator;

typedef struct Stack Stack;
struct Stack { Stack *next; uint8_t *base; size_t guard, size; }; /* base: of the guard page below it */
enum { IDLE_MAX = 64 };
static Stack *idle; /* the one that was used last first: its pages are in the caches */
static int idles;
static pthread_mutex_t stacks = PTHREAD_MUTEX_INITIALIZER; /* a store may be closed without the interpreter's lock */

static uint8_t *top_of_stack(void *environment, size_t *size) {
    const Stack *self = environment;
    *size = self->size;
    return self->base + self->guard + self->size;
}

static void stack_is_idle(void *environment) {
    Stack *self = environment;
    pthread_mutex_lock(&stacks);
    bool kept = idles < IDLE_MAX;
    if (kept)
        self->next = idle, idle = self, idles++;
    pthread_mutex_unlock(&stacks);
    if (!kept) {
        munmap(self->base, self->guard + self->size);
        free(self);
    }
}

static Stack *idle_stack(size_t size) {
    Stack *found = NULL;
    pthread_mutex_lock(&stacks);
    for (Stack **at = &idle; *at != NULL; at = &(*at)->next)
        if ((*at)->size == size) {
            found = *at;
            *at = found->next;
            idles--;
            break;
        }
    pthread_mutex_unlock(&stacks);
    return found;
}

static Stack *mapped_stack(size_t size) {
    Stack *self = malloc(sizeof *self);
    if (self == NULL)
        return NULL;
    self->guard = (size_t)sysconf(_SC_PAGESIZE), self->size = size;
    self->base = mmap(NULL, self->guard + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (self->base == MAP_FAILED) {
        free(self);
        return NULL;
    }
    if (mprotect(self->base, self->guard, PROT_NONE)) {
        munmap(self->base, self->guard + size);
        free(self);
        return NULL;
    }
    return self;
}

/* wasmtime_new_stack_memory_callback_t */
static void *new_stack(void *environment, size_t size, bool zeroed, StackMemory *out) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size = (size + page - 1) / page * page;
    Stack *self = idle_stack(size);
    if (self == NULL)
        self = mapped_stack(size);
    else if (zeroed)
        memset(self->base + self->guard, 0, size);
    if (self == NULL)
        return wasmtime.error_new("this machine refused to map the stack of a call");
    *out = (StackMemory){self, top_of_stack, stack_is_idle};
    return NULL;
}

static StackCreator stack_creator = {NULL, new_stack, NULL};
