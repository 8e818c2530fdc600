/* What every kernel has: an export (i32 n) -> i32 that does its work n times on data that change from time to
 * time, and returns a word to which each time adds. Never here: the work itself. */
#pragma once
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define KERNEL(name) __attribute__((export_name(#name))) u32 name(u32 n)

static inline u32 draw(u32 *state) { /* xorshift32 */
    u32 x = *state;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *state = x;
}

static inline u32 mix(u32 word, u32 value) { return (word ^ value) * 16777619u; } /* FNV-1a, by words */

static inline void fill(u8 *into, u32 bytes, u32 seed) {
    for (u32 i = 0; i < bytes; i++) into[i] = (u8)(draw(&seed) >> 24);
}
