/* The few functions of a C library that shim.c and the generated bindings use, so that the template holds none.
 * Belongs here: bytes and text in memory. Never: allocation (shim.c), anything that needs a system. */
#ifndef TWINLOOP_PLAIN_H
#define TWINLOOP_PLAIN_H
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n) {
  for (size_t i = 0; i < n; i++) ((char *)to)[i] = ((const char *)from)[i];
  return to;
}

void *memmove(void *to, const void *from, size_t n) {
  if ((size_t)to <= (size_t)from) return memcpy(to, from, n);
  while (n--) ((char *)to)[n] = ((const char *)from)[n];
  return to;
}

void *memset(void *at, int value, size_t n) {
  for (size_t i = 0; i < n; i++) ((char *)at)[i] = (char)value;
  return at;
}

int memcmp(const void *a, const void *b, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (((const unsigned char *)a)[i] != ((const unsigned char *)b)[i]) return ((const unsigned char *)a)[i] - ((const unsigned char *)b)[i];
  return 0;
}

size_t strlen(const char *text) {
  size_t n = 0;
  while (text[n]) n++;
  return n;
}

static int text_differs(const char *a, const char *b) {
  size_t n = strlen(a);
  return n != strlen(b) || memcmp(a, b, n);
}

static const char *text_after(const char *text, const char *word) {
  for (size_t n = strlen(word); *text; text++)
    if (strlen(text) >= n && !memcmp(text, word, n)) return text + n;
  return 0;
}

_Noreturn void abort(void) { __builtin_trap(); }
#endif
