/* A plugin of qemu-user that counts executed instructions between two marks, those of a guest's compiled code apart from
 * all others. A program marks by a system call that Linux doesn't have (MARK): what, a. Compiled code is what mprotect makes
 * executable (226 is its number on ARM64): libraries are mapped so from the start, and /proc/self/maps of qemu-user doesn't tell.
 * The API of qemu 6 to 8 (version 1), declared by hand: Debian's qemu-user ships no header. Counters aren't atomic: what is
 * counted must run on one thread.
 * Belongs here: counting. Never: what is counted. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, void (*cb)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t id,
    void (*cb)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, enum qemu_plugin_op op, void *ptr, uint64_t imm);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

enum { MARK = 7001, BEGIN = 1, END = 2, MPROTECT = 226, PROT_EXEC = 4, RANGES_MAX = 256 };

static uint64_t guest, host, guest_before, host_before;
static struct { uint64_t from, to; } ranges[RANGES_MAX];
static size_t range_count;
static FILE *out;

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
  uint64_t at = qemu_plugin_tb_vaddr(tb), *counter = &host;
  (void)id;
  for (size_t i = 0; i < range_count; i++) if (at >= ranges[i].from && at < ranges[i].to) counter = &guest;
  qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, counter, qemu_plugin_tb_n_insns(tb));
}

static void called(qemu_plugin_id_t id, unsigned vcpu, int64_t number, uint64_t what, uint64_t a, uint64_t b, uint64_t c,
                   uint64_t d, uint64_t e, uint64_t f, uint64_t g) {
  (void)id, (void)vcpu, (void)c, (void)d, (void)e, (void)f, (void)g;
  if (number == MPROTECT && b & PROT_EXEC && range_count < RANGES_MAX) {
    ranges[range_count].from = what;
    ranges[range_count++].to = what + a;
  }
  if (number != MARK) return;
  if (what == BEGIN) {
    guest_before = guest;
    host_before = host;
  } else if (what == END) {
    fprintf(out, "%llu %llu %llu\n", (unsigned long long)a, (unsigned long long)(guest - guest_before),
            (unsigned long long)(host - host_before));
    fflush(out);
  }
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
  (void)info;
  if (argc != 1 || strncmp(argv[0], "out=", 4) || !(out = fopen(argv[0] + 4, "w"))) return -1;
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_vcpu_syscall_cb(id, called);
  return 0;
}
