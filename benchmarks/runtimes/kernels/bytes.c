/* Checksums, digests and encodings of bytes. */
#include "kernel.h"

static u8 frame[256];

KERNEL(empty) { return n; }

KERNEL(crc16) { /* Modbus RTU, bit by bit, 200 bytes */
    u32 word = 0;
    fill(frame, 200, 1);
    for (u32 i = 0; i < n; i++) {
        u16 crc = 0xFFFF;
        frame[i % 200] ^= (u8)(i + 1);
        for (u32 at = 0; at < 200; at++) {
            crc ^= frame[at];
            for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0xA001 : crc >> 1;
        }
        word = mix(word, crc);
    }
    return word;
}

static u32 table[256];

KERNEL(crc32) { /* as zlib's, by a table, 256 bytes */
    u32 word = 0;
    if (!table[1])
        for (u32 i = 0; i < 256; i++) {
            u32 value = i;
            for (int bit = 0; bit < 8; bit++) value = value & 1 ? (value >> 1) ^ 0xEDB88320u : value >> 1;
            table[i] = value;
        }
    fill(frame, 256, 2);
    for (u32 i = 0; i < n; i++) {
        u32 crc = 0xFFFFFFFFu;
        frame[i % 256] ^= (u8)(i + 1);
        for (u32 at = 0; at < 256; at++) crc = table[(crc ^ frame[at]) & 255] ^ (crc >> 8);
        word = mix(word, ~crc);
    }
    return word;
}

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

KERNEL(base64) { /* 192 bytes there, and back again */
    static char text[256];
    static u8 back[192], value[128];
    u32 word = 0;
    for (u32 i = 0; i < 64; i++) value[(u8)letters[i]] = (u8)i;
    fill(frame, 192, 3);
    for (u32 i = 0; i < n; i++) {
        frame[i % 192] ^= (u8)(i + 1);
        for (u32 at = 0, to = 0; at < 192; at += 3, to += 4) {
            u32 three = (u32)frame[at] << 16 | (u32)frame[at + 1] << 8 | frame[at + 2];
            for (u32 k = 0; k < 4; k++) text[to + k] = letters[three >> (18 - 6 * k) & 63];
        }
        for (u32 at = 0, to = 0; at < 256; at += 4, to += 3) {
            u32 three = 0;
            for (u32 k = 0; k < 4; k++) three = three << 6 | value[(u8)text[at + k] & 127];
            back[to] = (u8)(three >> 16), back[to + 1] = (u8)(three >> 8), back[to + 2] = (u8)three;
        }
        for (u32 at = 0; at < 256; at += 8) word = mix(word, (u8)text[at]);
        for (u32 at = 0; at < 192; at += 8) word = mix(word, back[at]);
    }
    return word;
}

static const u32 rounds[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline u32 turn(u32 x, u32 by) { return x >> by | x << (32 - by); }

static void block(u32 *state, const u8 *bytes) {
    u32 w[64], s[8];
    for (u32 i = 0; i < 16; i++)
        w[i] = (u32)bytes[4 * i] << 24 | (u32)bytes[4 * i + 1] << 16 | (u32)bytes[4 * i + 2] << 8 | bytes[4 * i + 3];
    for (u32 i = 16; i < 64; i++) {
        u32 a = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3;
        u32 b = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + a + w[i - 7] + b;
    }
    for (u32 i = 0; i < 8; i++) s[i] = state[i];
    for (u32 i = 0; i < 64; i++) {
        u32 a = s[7] + (turn(s[4], 6) ^ turn(s[4], 11) ^ turn(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + rounds[i] + w[i];
        u32 b = (turn(s[0], 2) ^ turn(s[0], 13) ^ turn(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        s[7] = s[6], s[6] = s[5], s[5] = s[4], s[4] = s[3] + a;
        s[3] = s[2], s[2] = s[1], s[1] = s[0], s[0] = a + b;
    }
    for (u32 i = 0; i < 8; i++) state[i] += s[i];
}

KERNEL(sha256) { /* 200 bytes: four blocks */
    u32 word = 0;
    fill(frame, 200, 4);
    for (u32 i = 0; i < n; i++) {
        u32 state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
        frame[i % 200] ^= (u8)(i + 1);
        for (u32 at = 200; at < 256; at++) frame[at] = 0;
        frame[200] = 0x80, frame[254] = 200 * 8 >> 8, frame[255] = 200 * 8 & 255;
        for (u32 at = 0; at < 256; at += 64) block(state, frame + at);
        for (u32 at = 0; at < 8; at++) word = mix(word, state[at]);
    }
    return word;
}
