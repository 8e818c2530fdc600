/* Which registers are read together: blocks, and what becomes of one that the device refuses with exception 02 or 03
 * (MODBUS Application Protocol V1.1b3 section 7: an address that isn't there, or too many).
 * Belongs here: grouping, splitting, holes. Never: exchanges (exchange.h), readings (driver.c).
 *
 * A block that was never read whole is split at its widest gap, else in the middle; its halves are asked at once, as long
 * as that doesn't take longer than one timeout a poll, else in the polls that follow. A point that is refused alone
 * HOLE_REFUSALS times, while others are read, is a hole: it is asked for now and then (`again`). A block that was read
 * whole once stays whole: its device is at fault then, and not the map. */
#ifndef TWINLOOP_BLOCKS_H
#define TWINLOOP_BLOCKS_H
#include "exchange.h"

enum { HOLE_REFUSALS = 5, HOPELESS_MAX = 64 };

static int by_address(const void *a, const void *b) {
  const point_t *x = a, *y = b;
  if (x->write_only != y->write_only) return x->write_only ? 1 : -1;
  if (x->table != y->table) return x->table < y->table ? -1 : 1;
  if (x->address != y->address) return x->address < y->address ? -1 : 1;
  return x->id < y->id ? -1 : x->id > y->id;
}

/* ---- powers of ten --------------------------------------------------------------------------------------------- */
static power_t *power_of(const point_t *p) {
  for (size_t i = 0; i < d.power_count; i++)
    if (d.powers[i].table == p->table && d.powers[i].address == p->power) return &d.powers[i];
  return NULL;
}

static bool lies_in(const power_t *w, const block_t *b) {
  return w->table == b->table && w->address >= b->first && w->address < (uint32_t)b->first + b->count;
}

static void block_marked(block_t *b) {
  b->powers = false;
  for (size_t i = 0; i < d.power_count; i++) if (lies_in(&d.powers[i], b)) b->powers = true;
}

/* Each power once; false when one lies in no point that is read. */
static bool find_powers(void) {
  for (size_t i = 0; i < d.point_count; i++) {
    const point_t *p = &d.points[i];
    if (!p->scaled_live || power_of(p)) continue;
    d.powers[d.power_count++] = (power_t){0, p->power, 0, p->table};
    bool read = false;
    for (size_t k = 0; k < d.read_count; k++) {
      const point_t *q = &d.points[k];
      if (q->table == p->table && p->power >= q->address && p->power < (uint32_t)q->address + q->width) read = true;
    }
    if (!read) return false;
  }
  return true;
}

static void group(void) {
  d.block_count = d.resting = d.turn = 0;
  d.split = d.any_seen = false;
  for (size_t i = 0; i < d.read_count; i++) {
    const point_t *p = &d.points[i];
    block_t *b = d.block_count ? &d.blocks[d.block_count - 1] : NULL;
    uint32_t end = (uint32_t)p->address + p->width, limit = p->table <= TABLE_DISCRETE ? BITS_MAX : d.block_max;
    if (b && b->table == p->table && p->address <= (uint32_t)b->first + b->count + d.gap && end - b->first <= limit) {
      if (end > (uint32_t)b->first + b->count) b->count = (uint16_t)(end - b->first);
      b->end = (uint16_t)(i + 1);
    } else {
      d.blocks[d.block_count++] = (block_t){.first = p->address, .count = p->width, .start = (uint16_t)i,
                                            .end = (uint16_t)(i + 1), .table = p->table};
    }
  }
  for (size_t i = 0; i < d.block_count; i++) block_marked(&d.blocks[i]);
}

/* The registers from a block's first point to its last. */
static void block_span(block_t *b) {
  uint32_t end = 0;
  for (size_t i = b->start; i < b->end; i++)
    if ((uint32_t)d.points[i].address + d.points[i].width > end) end = (uint32_t)d.points[i].address + d.points[i].width;
  b->first = d.points[b->start].address;
  b->count = (uint16_t)(end - b->first);
  block_marked(b);
}

/* The point before which a block is cut, 0 if its points share their registers. An address that isn't there lies in a
 * gap more likely than in a point; what is too much is halved. */
static uint16_t block_cut(const block_t *b) {
  uint32_t middle = b->first + b->count / 2u, end = 0, best_gap = 0, best_far = UINT32_MAX;
  uint16_t best = 0;
  for (uint16_t i = b->start; i < b->end; i++) {
    uint32_t at = d.points[i].address, far = at > middle ? at - middle : middle - at;
    uint32_t gap = b->code == ILLEGAL_ADDRESS && at > end ? at - end : 0;
    if (i > b->start && at >= end && (gap > best_gap || (gap == best_gap && far < best_far))) {
      best = i;
      best_gap = gap;
      best_far = far;
    }
    if (at + d.points[i].width > end) end = at + d.points[i].width;
  }
  return best;
}

/* It was refused with 02 or 03. True when it has become two, of which the first stands in its place. */
static bool block_refused(size_t at, uint8_t code) {
  block_t *b = &d.blocks[at];
  b->code = code;
  if (b->refusals < HOLE_REFUSALS) b->refusals++;
  if (b->seen || d.hopeless_left) return false;
  uint16_t cut = block_cut(b);
  if (!cut) {
    if (b->refusals < HOLE_REFUSALS || !d.any_seen) return false;
    b->rests = true;
    if (!d.resting++) d.again_at_ns = twinloop_gateway_clock_monotonic() + d.again_ns;
    return false;
  }
  memmove(b + 1, b, (d.block_count - at) * sizeof *b);
  d.block_count++;
  d.split = true;
  b[0].end = b[1].start = cut;
  b[0].refusals = b[1].refusals = 1;
  block_span(b);
  block_span(b + 1);
  return true;
}

/* May this poll ask for a block that was refused before, and never read? */
static bool block_may(const block_t *b, uint16_t *next_turn) {
  if (b->rests) return false;
  if (!d.split) return true;
  if (b->start < d.turn) return false;
  uint64_t now_ns = twinloop_gateway_clock_monotonic();
  if (!d.split_ns) d.split_ns = now_ns;
  if (now_ns - d.split_ns < d.timeout_ns) return true;
  if (!*next_turn) *next_turn = b->start;
  return false;
}

static void blocks_begin(void) {
  d.split_ns = 0;
  if (!d.resting || twinloop_gateway_clock_monotonic() < d.again_at_ns) return;
  for (size_t i = 0; i < d.block_count; i++) {
    block_t *b = &d.blocks[i];
    if (b->rests) b->refusals = HOLE_REFUSALS - 1;
    b->rests = false;
  }
  d.resting = 0;
}

/* A device that refuses everything has no holes: nothing was learned, and splitting is put off, for ever more polls. */
static void blocks_end(bool any_good, bool all_asked, uint16_t next_turn) {
  d.turn = next_turn;
  if (any_good) {
    d.hopeless = d.hopeless_left = 0;
    return;
  }
  if (d.hopeless_left) d.hopeless_left--;
  if (!d.split || !all_asked) return;
  group();
  d.hopeless = d.hopeless ? (d.hopeless < HOPELESS_MAX ? 2 * d.hopeless : HOPELESS_MAX) : 1;
  d.hopeless_left = d.hopeless;
}
#endif
