/* Values: decoded from registers and messages, filtered, converted, sorted, judged by rules. */
#include "kernel.h"

static u32 numbers[256];

KERNEL(sort) { /* 256 numbers, by a heap */
    u32 word = 0, state = 6;
    for (u32 i = 0; i < n; i++) {
        for (u32 at = 0; at < 256; at++) numbers[at] = draw(&state);
        for (u32 start = 128, end = 256; end > 1;) {
            u32 value, at;
            if (start) {
                value = numbers[at = --start];
            } else {
                value = numbers[--end];
                numbers[end] = numbers[at = 0];
            }
            for (u32 child; (child = 2 * at + 1) < end; at = child) {
                if (child + 1 < end && numbers[child + 1] > numbers[child]) child++;
                if (numbers[child] <= value) break;
                numbers[at] = numbers[child];
            }
            numbers[at] = value;
        }
        for (u32 at = 0; at < 256; at += 16) word = mix(word, numbers[at]);
    }
    return word;
}

KERNEL(filter) { /* the median of five, smoothed, as a rate: 64 samples */
    u32 word = 0, state = 7;
    for (u32 i = 0; i < n; i++) {
        int32_t last[5] = {0}, smooth = 0, before = 0;
        for (u32 at = 0; at < 64; at++) {
            int32_t sorted[5], sample = (int32_t)(draw(&state) % 20001) - 10000;
            last[at % 5] = sample;
            for (int k = 0; k < 5; k++) {
                int to = k;
                for (; to > 0 && sorted[to - 1] > last[k]; to--) sorted[to] = sorted[to - 1];
                sorted[to] = last[k];
            }
            smooth += (sorted[2] - smooth) / 8;
            word = mix(word, (u32)((smooth - before) * 1000 / (int32_t)(at % 7 + 1)));
            before = smooth;
        }
    }
    return word;
}

KERNEL(registers) { /* 64 registers: scaled integers, floats with swapped words, deadbands */
    static u16 raw[64];
    static double kept[32];
    u32 word = 0, state = 8;
    for (u32 i = 0; i < 32; i++) kept[i] = 0;
    for (u32 i = 0; i < n; i++) {
        for (u32 at = 0; at < 64; at += 2) {
            u32 drawn = draw(&state);
            raw[at] = (u16)drawn, raw[at + 1] = (u16)(drawn >> 18 | 0x4000); /* a float of 2 to 8 or so */
        }
        for (u32 at = 0; at < 32; at++) {
            u32 bits = (u32)raw[2 * at + 1] << 16 | raw[2 * at];
            double value, change;
            if (at & 1) {
                float single;
                __builtin_memcpy(&single, &bits, 4);
                value = (double)single * 0.5;
            } else {
                value = (double)(int16_t)raw[2 * at] * 0.1 + 20.0;
            }
            if (value > 3000.0) value = 3000.0;
            change = value > kept[at] ? value - kept[at] : kept[at] - value;
            if (change < 0.25) continue;
            kept[at] = value;
            word = mix(word, (u32)(int32_t)value);
        }
    }
    return word;
}

KERNEL(maths) { /* 32 resistances of a Pt100 to temperatures, and to flow by a square root */
    u32 word = 0, state = 9;
    for (u32 i = 0; i < n; i++) {
        double sum = 0;
        for (u32 at = 0; at < 32; at++) {
            double ohms = 100.0 + (double)(draw(&state) % 100000) / 1000.0;
            double a = 3.9083e-3, b = -5.775e-7;
            double celsius = (__builtin_sqrt(a * a - 4.0 * b * (1.0 - ohms / 100.0)) - a) / (2.0 * b);
            double density = 999.84 / (1.0 + celsius * (2.1e-4 + celsius * 3.0e-6));
            sum += __builtin_sqrt(2.0 * (celsius + 10.0) * 100.0 / density);
        }
        word = mix(word, (u32)(int32_t)(sum * 1000.0));
    }
    return word;
}

static u8 packet[320];

static u32 tlv_level(const u8 *at, const u8 *end, u32 word) {
    static u8 copy[64];
    while (at + 2 <= end) {
        u8 tag = at[0], length = at[1];
        const u8 *value = at + 2;
        if (value + length > end) return mix(word, 0xBAD);
        if (tag & 0x20) {
            word = tlv_level(value, value + length, word);
        } else {
            u32 size = length < 64 ? length : 64, total = 0;
            for (u32 k = 0; k < size; k++) copy[k] = value[k];
            for (u32 k = 0; k < size; k++) total = total << 1 ^ copy[k];
            word = mix(word, (u32)tag << 24 ^ total);
        }
        at = value + length;
    }
    return word;
}

KERNEL(tlv) { /* nested elements of tag, length and value: 300 bytes */
    u32 word = 0, state = 10, at = 0;
    for (u32 outer = 0; outer < 4; outer++) {
        packet[at] = 0x30, packet[at + 1] = 73, at += 2;
        for (u32 inner = 0; inner < 7; inner++) {
            u32 length = inner == 6 ? 73 - 6 * (2 + 8) - 2 : 8;
            packet[at++] = (u8)(inner + 1), packet[at++] = (u8)length;
            for (u32 k = 0; k < length; k++) packet[at++] = (u8)(draw(&state) >> 24);
        }
    }
    for (u32 i = 0; i < n; i++) {
        packet[5 + i % 6] ^= (u8)(i + 1); /* in the first value */
        word = tlv_level(packet, packet + 300, word);
    }
    return word;
}

KERNEL(states) { /* a stream of MQTT packets, byte by byte through a machine of six states */
    enum { TYPE, LENGTH, TOPIC_HIGH, TOPIC_LOW, TOPIC, PAYLOAD } at = TYPE;
    u32 word = 0, state = 11, left = 0, shift = 0, topic = 0, kind = 0;
    for (u32 i = 0; i < n; i++) {
        for (u32 k = 0; k < 256; k++) {
            u8 byte = (u8)(draw(&state) >> 24);
            switch (at) {
            case TYPE:
                kind = byte >> 4, left = shift = 0, at = LENGTH;
                break;
            case LENGTH:
                left |= (u32)(byte & 31) << shift, shift += 5;
                if (!(byte & 128) || shift > 5) at = left == 0 ? TYPE : kind == 3 && left > 2 ? TOPIC_HIGH : PAYLOAD;
                break;
            case TOPIC_HIGH: left--, at = TOPIC_LOW; break;
            case TOPIC_LOW:
                left--, topic = byte % 16 < left ? byte % 16 : left;
                at = topic ? TOPIC : left ? PAYLOAD : TYPE;
                break;
            case TOPIC:
                word = mix(word, byte), left--;
                if (!--topic) at = left ? PAYLOAD : TYPE;
                break;
            case PAYLOAD:
                word += byte;
                if (!--left) word = mix(word, kind), at = TYPE;
                break;
            }
        }
    }
    return word;
}

typedef u32 (*rule)(u32 value, u32 limit);
static u32 above(u32 value, u32 limit) { return value > limit; }
static u32 below(u32 value, u32 limit) { return value < limit; }
static u32 near(u32 value, u32 limit) { return value - limit + 500 < 1000; }
static u32 step(u32 value, u32 limit) { return limit ? value % limit < 3 : 0; }
static u32 bits(u32 value, u32 limit) { return (value & limit) == limit; }

KERNEL(rules) { /* 64 rules through a table of functions */
    static const rule kinds[] = {above, below, near, step, bits};
    static struct { rule test; u32 limit; } table[64];
    u32 word = 0, state = 12;
    for (u32 i = 0; i < 64; i++) table[i].test = kinds[draw(&state) % 5], table[i].limit = draw(&state) % 10000;
    for (u32 i = 0; i < n; i++) {
        u32 value = draw(&state) % 10000, fired = 0;
        for (u32 k = 0; k < 64; k++) fired += table[k].test(value + k, table[k].limit) << (k & 7);
        word = mix(word, fired);
    }
    return word;
}
