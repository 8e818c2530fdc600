/* c-wasi: a transform that does to WASI what its options say, and tells what happened in a text reading.
 * For tests of what a gateway grants, limits and records. `do` names the things to do in each call, in order, separated
 * by spaces; README.md lists them. The text takes the place of the batch's first reading; the others pass unchanged. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <wasi/api.h>

#include "../../../components/guests/bindings/reading_transform.h"
#include "../../../components/guests/text.h"

enum { TOLD_MAX = 65536, OPEN_MAX_HERE = 4096, NAME_MAX_HERE = 512 };

typedef struct { const char *name; void (*run)(void); } action_t;

/* what `configure` was told */
static char todo[1024], path[NAME_MAX_HERE], to[NAME_MAX_HERE], text[8192];
static size_t text_len;
static uint64_t count, span_ns, first, last, offset;
static bool at_configure, configured;
static uint16_t first_point;

/* what happened */
static char told[TOLD_MAX];
static size_t told_len;
static int held = -1;
static int many[OPEN_MAX_HERE];
static size_t many_len;

__attribute__((format(printf, 1, 2))) static void tell(const char *form, ...) {
  va_list args;
  va_start(args, form);
  int n = vsnprintf(told + told_len, TOLD_MAX - told_len, form, args);
  va_end(args);
  if (n > 0) told_len += (size_t)n < TOLD_MAX - told_len ? (size_t)n : TOLD_MAX - told_len - 1;
}

/* The outcome of a libc call: "ok" or "errno 44" (WASI preview 1's numbers). */
static void tell_outcome(int result) {
  if (result < 0) tell("errno %d", errno); else tell("ok");
}

static void tell_data(const char *data, size_t len) {
  if (text_is_utf8((text_t){data, len})) { tell("%.*s", (int)len, data); return; }
  tell("hex ");
  for (size_t i = 0; i < len; i++) tell("%02x", (unsigned char)data[i]);
}

static uint64_t now_ns(clockid_t id) {
  struct timespec t;
  return clock_gettime(id, &t) ? 0 : (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- time, random, environment ---- */
static void do_sleep(void) {
  uint64_t before = now_ns(CLOCK_MONOTONIC);
  struct timespec t = {(time_t)(span_ns / 1000000000u), (long)(span_ns % 1000000000u)};
  int result = nanosleep(&t, 0);
  if (result) tell("errno %d", errno); else tell("%llu ns", (unsigned long long)(now_ns(CLOCK_MONOTONIC) - before));
}

/* Two clocks at once: `time` and three times that, on the monotonic clock. Tells which came, and when. */
static void do_poll2(void) {
  __wasi_subscription_t asked[2] = {0};
  __wasi_event_t came[2];
  __wasi_size_t n = 0;
  uint64_t before = now_ns(CLOCK_MONOTONIC);
  for (int i = 0; i < 2; i++) {
    asked[i].userdata = (uint64_t)i + 1;
    asked[i].u.tag = __WASI_EVENTTYPE_CLOCK;
    asked[i].u.u.clock.id = __WASI_CLOCKID_MONOTONIC;
    asked[i].u.u.clock.timeout = i ? span_ns : 3 * span_ns;
  }
  __wasi_errno_t bad = __wasi_poll_oneoff(asked, came, 2, &n);
  if (bad) { tell("errno %d", bad); return; }
  for (size_t i = 0; i < n; i++) tell("%llu ", (unsigned long long)came[i].userdata);
  tell("after %llu ns", (unsigned long long)(now_ns(CLOCK_MONOTONIC) - before));
}

/* Until an instant of the wall clock, `time` from now. */
static void do_poll_wall(void) {
  __wasi_subscription_t asked = {0};
  __wasi_event_t came;
  __wasi_size_t n = 0;
  uint64_t before = now_ns(CLOCK_REALTIME);
  asked.u.tag = __WASI_EVENTTYPE_CLOCK;
  asked.u.u.clock = (__wasi_subscription_clock_t){.id = __WASI_CLOCKID_REALTIME, .timeout = before + span_ns, .flags = __WASI_SUBCLOCKFLAGS_SUBSCRIPTION_CLOCK_ABSTIME};
  __wasi_errno_t bad = __wasi_poll_oneoff(&asked, &came, 1, &n);
  if (!bad && n == 1 && came.error) bad = came.error;
  if (bad) tell("errno %d", bad); else tell("%llu ns", (unsigned long long)(now_ns(CLOCK_REALTIME) - before));
}

static void do_clock(void) {
  tell("wall %llu monotonic %llu", (unsigned long long)now_ns(CLOCK_REALTIME), (unsigned long long)now_ns(CLOCK_MONOTONIC));
}

static void do_resolution(void) {
  __wasi_timestamp_t wall = 0, monotonic = 0;
  __wasi_errno_t bad = __wasi_clock_res_get(__WASI_CLOCKID_REALTIME, &wall);
  if (!bad) bad = __wasi_clock_res_get(__WASI_CLOCKID_MONOTONIC, &monotonic);
  if (bad) tell("errno %d", bad); else tell("wall %llu monotonic %llu", (unsigned long long)wall, (unsigned long long)monotonic);
}

static void do_random(void) {
  unsigned char bytes[32];
  size_t n = count && count < sizeof bytes ? (size_t)count : 8;
  if (getentropy(bytes, n)) { tell("errno %d", errno); return; }
  for (size_t i = 0; i < n; i++) tell("%02x", bytes[i]);
}

typedef __wasi_errno_t (*sizes_t)(__wasi_size_t *, __wasi_size_t *);
typedef __wasi_errno_t (*strings_t)(uint8_t **, uint8_t *);

static void tell_strings(sizes_t sizes, strings_t get) {
  __wasi_size_t n = 0, bytes = 0;
  __wasi_errno_t bad = sizes(&n, &bytes);
  if (bad) { tell("errno %d", bad); return; }
  uint8_t **at = calloc(n + 1, sizeof *at), *buffer = malloc(bytes + 1);
  if (!at || !buffer) { tell("no memory"); return; }
  bad = get(at, buffer);
  if (bad) tell("errno %d", bad);
  for (size_t i = 0; !bad && i < n; i++) tell("%s%s", i ? "," : "", (char *)at[i]);
  free(at);
  free(buffer);
}

static void do_env(void) { tell_strings(__wasi_environ_sizes_get, __wasi_environ_get); }
static void do_args(void) { tell_strings(__wasi_args_sizes_get, __wasi_args_get); }

/* ---- streams ---- */
static void tell_written(int fd, const char *data, size_t len) {
  ssize_t n = write(fd, data, len);
  if (n < 0) tell("errno %d", errno); else tell("%zd bytes", n);
}

static void do_stdout(void) { tell_written(1, text, text_len); }
static void do_stderr(void) { tell_written(2, text, text_len); }

static void do_stdin(void) {
  char data[256];
  ssize_t n = read(0, data, sizeof data);
  if (n < 0) tell("errno %d", errno); else tell_data(data, (size_t)n);
}

static void do_flood_stderr(void) {
  char line[100];
  uint64_t lines = count ? count : 10000, i;
  memset(line, '.', sizeof line);
  line[sizeof line - 1] = '\n';
  for (i = 0; i < lines; i++) {
    int n = snprintf(line, 24, "%llu", (unsigned long long)i);
    line[n] = ' ';
    if (write(2, line, sizeof line) < 0) { tell("errno %d after ", errno); break; }
  }
  tell("%llu lines", (unsigned long long)i);
}

static void do_isatty(void) { tell("%d %d %d", isatty(0), isatty(1), isatty(2)); }

/* ---- files: `path`, and `to` where there are two ---- */
static int opened(int flags) {
  int fd = open(path, flags, 0666);
  if (fd < 0) tell("errno %d", errno);
  return fd;
}

static void do_open(void) {
  int fd = opened(O_RDONLY);
  if (fd >= 0) { tell("fd %d", fd); close(fd); }
}

static void do_create(void) {
  int fd = opened(O_WRONLY | O_CREAT | O_EXCL);
  if (fd >= 0) { tell("ok"); close(fd); }
}

static void write_text(int flags, bool sync) {
  int fd = opened(flags);
  if (fd < 0) return;
  tell_written(fd, text, text_len);
  if (sync) { tell(" sync "); tell_outcome(fsync(fd)); }
  if (close(fd)) tell(" close errno %d", errno);
}

static void do_write(void) { write_text(O_WRONLY | O_CREAT | O_TRUNC, false); }
static void do_append(void) { write_text(O_WRONLY | O_CREAT | O_APPEND, false); }
static void do_append_sync(void) { write_text(O_WRONLY | O_CREAT | O_APPEND, true); }

static void do_write_at(void) {
  int fd = opened(O_WRONLY | O_CREAT);
  if (fd < 0) return;
  ssize_t n = pwrite(fd, text, text_len, (off_t)offset);
  if (n < 0) tell("errno %d", errno); else tell("%zd bytes", n);
  close(fd);
}

static void do_fill(void) {
  static const char block[4096];
  uint64_t wanted = count ? count : 1 << 20, done = 0;
  int fd = opened(O_WRONLY | O_CREAT | O_APPEND);
  if (fd < 0) return;
  while (done < wanted) {
    size_t piece = wanted - done < sizeof block ? (size_t)(wanted - done) : sizeof block;
    ssize_t n = write(fd, block, piece);
    if (n <= 0) { tell("errno %d after ", errno); break; }
    done += (uint64_t)n;
  }
  tell("%llu bytes", (unsigned long long)done);
  close(fd);
}

static void read_some(bool whence) {
  static char data[TOLD_MAX / 4];
  size_t wanted = count && count < sizeof data ? (size_t)count : sizeof data, have = 0;
  int fd = opened(O_RDONLY);
  if (fd < 0) return;
  for (;;) {
    ssize_t n = whence ? pread(fd, data + have, wanted - have, (off_t)(offset + have)) : read(fd, data + have, wanted - have);
    if (n < 0) { tell("errno %d", errno); break; }
    have += (size_t)n;
    if (!n || have == wanted) { tell_data(data, have); break; }
  }
  close(fd);
}

static void do_read(void) { read_some(false); }
static void do_read_at(void) { read_some(true); }

static void sync_path(int (*sync)(int)) {
  int fd = opened(O_WRONLY);
  if (fd < 0) return;
  tell_outcome(sync(fd));
  close(fd);
}

static void do_fsync(void) { sync_path(fsync); }
static void do_fdatasync(void) { sync_path(fdatasync); }

static void do_sync_dir(void) {
  int fd = opened(O_RDONLY | O_DIRECTORY);
  if (fd < 0) return;
  tell_outcome(fsync(fd));
  close(fd);
}

static void do_truncate(void) {
  int fd = opened(O_WRONLY);
  if (fd < 0) return;
  tell_outcome(ftruncate(fd, (off_t)offset));
  close(fd);
}

static void do_rename(void) { tell_outcome(rename(path, to)); }
static void do_link(void) { tell_outcome(link(path, to)); }
static void do_symlink(void) { tell_outcome(symlink(path, to)); }
static void do_unlink(void) { tell_outcome(unlink(path)); }
static void do_mkdir(void) { tell_outcome(mkdir(path, 0777)); }
static void do_rmdir(void) { tell_outcome(rmdir(path)); }

static void do_readlink(void) {
  char data[NAME_MAX_HERE];
  ssize_t n = readlink(path, data, sizeof data);
  if (n < 0) tell("errno %d", errno); else tell_data(data, (size_t)n);
}

static void do_stat(void) {
  struct stat s;
  if (stat(path, &s)) { tell("errno %d", errno); return; }
  tell("%s %lld bytes mtime %lld.%09ld", S_ISDIR(s.st_mode) ? "directory" : S_ISREG(s.st_mode) ? "file" : "other", (long long)s.st_size,
       (long long)s.st_mtim.tv_sec, (long)s.st_mtim.tv_nsec);
}

static void do_touch(void) {
  struct timespec times[2] = {{0, UTIME_OMIT}, {(time_t)(span_ns / 1000000000u), (long)(span_ns % 1000000000u)}};
  tell_outcome(utimensat(AT_FDCWD, path, times, 0));
}

static void do_readdir(void) {
  DIR *d = opendir(path);
  if (!d) { tell("errno %d", errno); return; }
  int n = 0;
  errno = 0;
  for (struct dirent *e; (e = readdir(d)); n++) tell("%s%s", n ? "," : "", e->d_name);
  if (errno) tell(" errno %d", errno);
  closedir(d);
}

/* PATH.0, PATH.1, ...: created and left open until close-many. */
static void do_many_open(void) {
  char name[NAME_MAX_HERE + 24];
  uint64_t wanted = count ? count : 100, i;
  for (i = 0; i < wanted && many_len < OPEN_MAX_HERE; i++) {
    snprintf(name, sizeof name, "%s.%llu", path, (unsigned long long)i);
    int fd = open(name, O_WRONLY | O_CREAT, 0666);
    if (fd < 0) { tell("errno %d after ", errno); break; }
    many[many_len++] = fd;
  }
  tell("%llu open", (unsigned long long)i);
}

static void do_close_many(void) {
  size_t closed = 0;
  while (many_len) closed += close(many[--many_len]) == 0;
  tell("%zu closed", closed);
}

/* A file that stays open from call to call: opened when it isn't. */
static void do_hold(void) {
  if (held < 0) held = opened(O_RDWR | O_CREAT | O_APPEND);
  if (held >= 0) tell_written(held, text, text_len);
}

static void do_hold_sync(void) { tell_outcome(held < 0 ? (errno = EBADF, -1) : fsync(held)); }

static void do_hold_read(void) {
  char data[4096];
  ssize_t n = held < 0 ? (errno = EBADF, -1) : pread(held, data, sizeof data, (off_t)offset);
  if (n < 0) tell("errno %d", errno); else tell_data(data, (size_t)n);
}

static void do_preopens(void) {
  __wasi_prestat_t what;
  char name[NAME_MAX_HERE];
  int n = 0;
  for (__wasi_fd_t fd = 3; !__wasi_fd_prestat_get(fd, &what) && what.u.dir.pr_name_len < sizeof name; fd++, n++)
    if (!__wasi_fd_prestat_dir_name(fd, (uint8_t *)name, what.u.dir.pr_name_len)) tell("%s%.*s", n ? "," : "", (int)what.u.dir.pr_name_len, name);
  if (!n) tell("none");
}

/* ---- ends ---- */
static void do_exit(void) { exit((int)count); }
static void do_abort(void) { abort(); }

static volatile uint64_t sink;
__attribute__((noinline)) static uint64_t deeper(uint64_t n) { return n == UINT64_MAX ? n : deeper(n + 1) + sink; }
static void do_recurse(void) { tell("%llu", (unsigned long long)deeper(1)); }
static void do_loop(void) { for (;;) sink++; }

static void do_spin(void) {
  uint64_t turns = count ? count : 1000000;
  for (uint64_t i = 0; i < turns; i++) sink++;
  tell("ok");
}

/* Memory that is never given back, a MiB at a time: `count` MiB, or until it is refused. */
static void do_grow(void) {
  uint64_t mib = 0;
  for (char *more; (!count || mib < count) && (more = malloc(1 << 20)); mib++) *(volatile char *)more = 1;
  tell("%llu MiB%s", (unsigned long long)mib, count && mib == count ? "" : ", refused");
}

static void do_grow_forever(void) {
  do_grow();
  abort();
}

static const action_t ACTIONS[] = {
  {"sleep", do_sleep}, {"poll2", do_poll2}, {"poll-wall", do_poll_wall}, {"clock", do_clock}, {"resolution", do_resolution},
  {"random", do_random}, {"env", do_env}, {"args", do_args}, {"stdout", do_stdout}, {"stderr", do_stderr}, {"stdin", do_stdin},
  {"flood-stderr", do_flood_stderr}, {"isatty", do_isatty}, {"open", do_open}, {"create", do_create}, {"write", do_write},
  {"append", do_append}, {"append-sync", do_append_sync}, {"write-at", do_write_at}, {"fill", do_fill}, {"read", do_read},
  {"read-at", do_read_at}, {"fsync", do_fsync}, {"fdatasync", do_fdatasync}, {"sync-dir", do_sync_dir}, {"truncate", do_truncate},
  {"rename", do_rename}, {"link", do_link}, {"symlink", do_symlink}, {"readlink", do_readlink}, {"unlink", do_unlink},
  {"mkdir", do_mkdir}, {"rmdir", do_rmdir}, {"stat", do_stat}, {"touch", do_touch}, {"readdir", do_readdir},
  {"many-open", do_many_open}, {"close-many", do_close_many}, {"hold", do_hold}, {"hold-sync", do_hold_sync},
  {"hold-read", do_hold_read}, {"preopens", do_preopens}, {"exit", do_exit}, {"abort", do_abort},
  {"recurse", do_recurse}, {"loop", do_loop}, {"spin", do_spin}, {"grow", do_grow}, {"grow-forever", do_grow_forever}};

static const action_t *action_of(text_t word) {
  for (size_t i = 0; i < sizeof ACTIONS / sizeof *ACTIONS; i++)
    if (text_is(word, ACTIONS[i].name)) return &ACTIONS[i];
  return 0;
}

/* "sleep 2500000000 ns; env A=1" */
static void act(void) {
  told_len = 0;
  for (text_t rest = {todo, strlen(todo)}; rest.len;) {
    text_t word = text_cut(&rest, ' ');
    if (!word.len) continue;
    const action_t *action = action_of(word);
    tell("%s%s ", told_len ? "; " : "", action->name);
    action->run();
  }
  if (text_is_utf8((text_t){told, told_len})) return;
  told_len = 0;
  tell("what happened isn't UTF-8");
}

/* ---- the contract ---- */
static bool copy(char *into, size_t size, text_t value) {
  if (value.len >= size || memchr(value.at, 0, value.len)) return false;
  memcpy(into, value.at, value.len);
  into[value.len] = 0;
  return true;
}

static bool set_todo(text_t value) {
  if (!copy(todo, sizeof todo, value)) return false;
  for (text_t rest = value; rest.len;) {
    text_t word = text_cut(&rest, ' ');
    if (word.len && !action_of(word)) return false;
  }
  return true;
}

static bool set_option(text_t key, text_t value, bool *known) {
  *known = true;
  if (text_is(key, "do")) return set_todo(value);
  if (text_is(key, "path")) return copy(path, sizeof path, value);
  if (text_is(key, "to")) return copy(to, sizeof to, value);
  if (text_is(key, "text")) { text_len = value.len; return copy(text, sizeof text, value); }
  if (text_is(key, "time")) return text_duration(value, &span_ns);
  if (text_is(key, "count")) return text_unsigned(value, UINT64_MAX, &count);
  if (text_is(key, "offset")) return text_unsigned(value, INT64_MAX, &offset);
  if (text_is(key, "first")) return text_unsigned(value, UINT64_MAX, &first);
  if (text_is(key, "last")) return text_unsigned(value, UINT64_MAX, &last);
  if (text_is(key, "when")) { at_configure = text_is(value, "configure"); return at_configure || text_is(value, "call"); }
  return *known = false;
}

bool exports_twinloop_gateway_transform_configure(exports_twinloop_gateway_transform_settings_t *s,
                                                  exports_twinloop_gateway_transform_config_error_t *err) {
  bool ok = true;
  configured = false;
  strcpy(path, "/data/file");
  strcpy(to, "/data/other");
  strcpy(text, "hello\n");
  todo[0] = 0;
  text_len = 6;
  count = first = offset = 0;
  last = UINT64_MAX;
  span_ns = 2500000000u;
  at_configure = false;
  first_point = s->points.len ? s->points.ptr[0].id : 0;
  for (size_t i = 0; ok && i < s->options.len; i++) {
    bool known;
    ok = set_option(TEXT(s->options.ptr[i].f0), TEXT(s->options.ptr[i].f1), &known);
    if (ok) continue;
    err->tag = known ? TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_BAD_OPTION : TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_UNKNOWN_OPTION;
    err->val.other = s->options.ptr[i].f0;
    s->options.ptr[i].f0.len = 0;
  }
  if (ok && at_configure) act();
  configured = ok;
  exports_twinloop_gateway_transform_settings_free(s);
  return ok;
}

bool exports_twinloop_gateway_transform_transform_readings(exports_twinloop_gateway_transform_origin_t *source,
                                                           exports_twinloop_gateway_transform_batch_t *input,
                                                           exports_twinloop_gateway_transform_batch_t *ret,
                                                           exports_twinloop_gateway_transform_transform_error_t *err) {
  bool due = source->sequence >= first && source->sequence <= last;
  reading_transform_string_free(&source->device);
  *ret = *input;
  if (!configured) {
    err->tag = TWINLOOP_GATEWAY_TYPES_TRANSFORM_ERROR_NOT_CONFIGURED;
    twinloop_gateway_types_batch_free(input);
    return false;
  }
  if (!due) return true;
  if (!at_configure) act();
  twinloop_gateway_types_reading_t reading = {.point = first_point};
  if (input->readings.len) {
    reading = input->readings.ptr[0];
    memmove(ret->readings.ptr, ret->readings.ptr + 1, --ret->readings.len * sizeof reading);
  }
  size_t had = input->texts.len;
  ret->texts.ptr = realloc(had ? ret->texts.ptr : 0, (had + 1) * sizeof *ret->texts.ptr);
  twinloop_gateway_types_text_reading_t *one = &ret->texts.ptr[had];
  *one = (twinloop_gateway_types_text_reading_t){.point = reading.point, .status = 0, .measured = reading.measured};
  one->value.ptr = malloc(told_len + 1);
  memcpy(one->value.ptr, told, told_len);
  one->value.len = told_len;
  ret->texts.len = had + 1;
  return true;
}
