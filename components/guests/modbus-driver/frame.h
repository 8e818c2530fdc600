/* Modbus frames from the client's side: MBAP, RTU and ASCII ADUs around a PDU.
 * Source: MODBUS Messaging on TCP/IP Implementation Guide V1.0b section 3.1.3 (MBAP); MODBUS over Serial Line V1.02
 * sections 2.5.1 (RTU) and 2.5.2 (ASCII), appendix B (LRC, CRC-16). Never here: what a register means. */
#ifndef TWINLOOP_FRAME_H
#define TWINLOOP_FRAME_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The longest ADU is ASCII's: colon, two characters for each byte of unit, PDU and LRC, CR LF. HEAD_SIZE: the shortest
 * answer in RTU, an exception; of any other they say how long it is. */
enum { PDU_MAX = 253, ADU_MAX = 513, MBAP_SIZE = 7, CRC_SIZE = 2, HEAD_SIZE = 5, ASCII_MIN = 9 };

/* How a PDU is framed. RTU_TCP: RTU frames in a TCP stream, which has no silence between them and no length field. */
typedef enum { FORM_MBAP, FORM_RTU, FORM_ASCII, FORM_RTU_TCP } form_t;

typedef enum { FRAME_OK, FRAME_STALE, FRAME_BAD } frame_verdict_t;

static inline uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline void put16(uint8_t *p, uint16_t v) { p[0] = (uint8_t)(v >> 8); p[1] = (uint8_t)v; }

static inline uint16_t crc16(const uint8_t *p, size_t n) {
  uint16_t crc = 0xFFFF;
  while (n--) {
    crc ^= *p++;
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? (uint16_t)(crc >> 1 ^ 0xA001) : (uint16_t)(crc >> 1);
  }
  return crc;
}

/* The bytes of an RTU answer after its first HEAD_SIZE ones. */
static inline size_t frame_rest(const uint8_t *head) {
  if (head[1] & 0x80) return 0;
  return head[1] <= 4 ? head[2] : 3;               /* a read has a byte count; a write is answered by address and value or count */
}

static inline uint8_t lrc(const uint8_t *p, size_t n) {
  uint8_t sum = 0;
  while (n--) sum = (uint8_t)(sum + *p++);
  return (uint8_t)-sum;
}

static inline int hex_value(uint8_t c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static inline uint8_t *hex_out(uint8_t *at, uint8_t byte) {
  *at++ = (uint8_t)"0123456789ABCDEF"[byte >> 4];
  *at++ = (uint8_t)"0123456789ABCDEF"[byte & 15];
  return at;
}

static inline size_t ascii_request(uint8_t *adu, uint8_t unit, const uint8_t *pdu, size_t n) {
  uint8_t *at = adu;
  *at++ = ':';
  at = hex_out(at, unit);
  for (size_t i = 0; i < n; i++) at = hex_out(at, pdu[i]);
  at = hex_out(at, (uint8_t)(lrc(pdu, n) - unit));
  *at++ = '\r';
  *at++ = '\n';
  return (size_t)(at - adu);
}

/* Decodes in place; a colon begins a frame wherever it stands, so what came before the last one is noise. */
static inline frame_verdict_t ascii_reply(uint8_t *adu, size_t n, uint8_t unit, const uint8_t **pdu, size_t *pdu_len, const char **why) {
  size_t begin = n;
  while (begin && adu[begin - 1] != ':') begin--;
  if (!begin) return *why = "start", FRAME_BAD;
  adu += begin - 1;
  n -= begin - 1;
  if (n < ASCII_MIN || n > ADU_MAX || n % 2 == 0) return *why = "length", FRAME_BAD;
  size_t size = (n - 3) / 2;
  for (size_t i = 0; i < size; i++) {
    int high = hex_value(adu[1 + 2 * i]), low = hex_value(adu[2 + 2 * i]);
    if (high < 0 || low < 0) return *why = "character", FRAME_BAD;
    adu[i] = (uint8_t)(high << 4 | low);           /* behind what is still to be read */
  }
  if (lrc(adu, size)) return *why = "lrc", FRAME_BAD;
  if (adu[0] != unit) return *why = "unit", FRAME_BAD;
  *pdu = adu + 1;
  *pdu_len = size - 2;
  return FRAME_OK;
}

/* Writes the ADU for `pdu` into `adu` (ADU_MAX bytes); returns its length. */
static inline size_t frame_request(uint8_t *adu, form_t form, uint16_t transaction, uint8_t unit, const uint8_t *pdu, size_t n) {
  if (form == FORM_ASCII) return ascii_request(adu, unit, pdu, n);
  if (form != FORM_MBAP) {
    adu[0] = unit;
    memcpy(adu + 1, pdu, n);
    uint16_t crc = crc16(adu, n + 1);
    adu[n + 1] = (uint8_t)crc;                     /* the CRC travels low byte first */
    adu[n + 2] = (uint8_t)(crc >> 8);
    return n + 1 + CRC_SIZE;
  }
  put16(adu, transaction);
  put16(adu + 2, 0);
  put16(adu + 4, (uint16_t)(n + 1));
  adu[6] = unit;
  memcpy(adu + MBAP_SIZE, pdu, n);
  return n + MBAP_SIZE;
}

/* Strips the ADU, which may be changed. STALE: an answer to an earlier request of ours (MBAP only). `why` names what was
 * wrong. */
static inline frame_verdict_t frame_reply(uint8_t *adu, size_t n, form_t form, uint16_t transaction, uint8_t unit,
                                          const uint8_t **pdu, size_t *pdu_len, const char **why) {
  if (form == FORM_ASCII) return ascii_reply(adu, n, unit, pdu, pdu_len, why);
  if (form != FORM_MBAP) {
    if (n < 1 + 2 + CRC_SIZE || n > 1 + PDU_MAX + CRC_SIZE) return *why = "length", FRAME_BAD;
    uint16_t crc = crc16(adu, n - CRC_SIZE);
    if (adu[n - 2] != (uint8_t)crc || adu[n - 1] != (uint8_t)(crc >> 8)) return *why = "crc", FRAME_BAD;
    if (adu[0] != unit) return *why = "unit", FRAME_BAD;
    *pdu = adu + 1;
    *pdu_len = n - 1 - CRC_SIZE;
    return FRAME_OK;
  }
  if (n < MBAP_SIZE + 2 || n > MBAP_SIZE + PDU_MAX) return *why = "length", FRAME_BAD;
  if (get16(adu + 2) != 0) return *why = "protocol", FRAME_BAD;
  if ((size_t)get16(adu + 4) + 6 != n) return *why = "length", FRAME_BAD;
  uint16_t age = (uint16_t)(transaction - get16(adu));
  if (age) return *why = "transaction", age < 64 ? FRAME_STALE : FRAME_BAD;
  if (adu[6] != unit) return *why = "unit", FRAME_BAD;
  *pdu = adu + MBAP_SIZE;
  *pdu_len = n - MBAP_SIZE;
  return FRAME_OK;
}
#endif
