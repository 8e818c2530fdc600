/* Text that a gateway reads and writes: JSON, lines with numbers, topics. */
#include "kernel.h"

static char message[] = "{\"device\":\"press-07\",\"seq\":100234,\"ok\":true,\"fault\":null,\"values\":["
                        "{\"name\":\"oil temperature\",\"value\":61.250,\"unit\":\"Cel\",\"quality\":\"good\"},"
                        "{\"name\":\"pressure\",\"value\":-3.125,\"unit\":\"bar\",\"quality\":\"good\"},"
                        "{\"name\":\"cycles\",\"value\":884213,\"unit\":\"1\",\"quality\":\"uncertain\"}],"
                        "\"tags\":[\"hall 2\",\"line \\\"A\\\"\",[1,2,[3,4]]]}";

static const char *cursor;

static u32 text_of(u32 word) { /* after the first quote: its characters, escapes resolved */
    u32 length = 0;
    for (char c = *++cursor; c != '"'; c = *++cursor) {
        if (c == '\\') c = *++cursor;
        word = mix(word, (u8)c);
        length++;
    }
    cursor++;
    return mix(word, length);
}

static u32 number_of(u32 word) { /* in thousandths; no exponents */
    u32 negative = *cursor == '-', value = 0, places = 0, after = 0;
    if (negative) cursor++;
    for (;; cursor++) {
        if (*cursor == '.') {
            after = 1;
        } else if (*cursor >= '0' && *cursor <= '9') {
            value = value * 10 + (u32)(*cursor - '0');
            places += after;
        } else {
            break;
        }
    }
    for (; places < 3; places++) value *= 10;
    return mix(word, negative ? 0 - value : value);
}

static u32 any_of(u32 word, u32 depth) {
    char c = *cursor, close = c == '{' ? '}' : ']';
    if (c == '"') return text_of(word);
    if (c == 't' || c == 'n') {
        cursor += 4;
        return mix(word, c == 't');
    }
    if (c != '{' && c != '[') return number_of(word);
    word = mix(word, depth);
    cursor++;
    for (;;) {
        if (c == '{') {
            word = text_of(word);
            cursor++; /* the colon */
        }
        word = any_of(word, depth + 1);
        if (*cursor++ == close) return word;
    }
}

KERNEL(json) { /* reads a message of 400 characters, to its leaves */
    u32 word = 0;
    for (u32 i = 0; i < n; i++) {
        message[32] = (char)('0' + i % 10); /* the last digit of seq */
        cursor = message;
        word = any_of(word, 1);
    }
    return word;
}

static char line[160];

static char *put_text(char *to, const char *text) {
    while (*text) *to++ = *text++;
    return to;
}

static char *put_number(char *to, u32 value, u32 base, u32 width) {
    char digits[12];
    u32 length = 0;
    do {
        digits[length++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value || length < width);
    while (length) *to++ = digits[--length];
    return to;
}

static char *format(char *to, const char *pattern, const u32 *arguments) { /* %u, %3 (three digits), %x, %t */
    static const char *const states[] = {"good", "uncertain", "bad"};
    for (; *pattern; pattern++) {
        if (*pattern != '%') {
            *to++ = *pattern;
            continue;
        }
        switch (*++pattern) {
        case 'u': to = put_number(to, *arguments++, 10, 1); break;
        case '3': to = put_number(to, *arguments++, 10, 3); break;
        case 'x': to = put_number(to, *arguments++, 16, 8); break;
        default: to = put_text(to, states[*arguments++]);
        }
    }
    *to = 0;
    return to;
}

KERNEL(fmt) { /* writes a line of protocol with six numbers */
    u32 word = 0, state = 5;
    for (u32 i = 0; i < n; i++) {
        u32 milli = draw(&state) % 250000;
        u32 arguments[] = {i % 100, milli / 1000, milli % 1000, milli % 3, draw(&state), 1700000000u + i};
        char *end = format(line, "press,line=%u value=%u.%3,state=\"%t\",raw=0x%x %u000000000", arguments);
        for (char *at = line; at < end; at++) word = mix(word, (u8)*at);
    }
    return word;
}

static int fits(const char *filter, const char *topic) { /* MQTT's wildcards + and # */
    for (;;) {
        if (*filter == '#') return 1;
        if (*filter == '+') {
            while (*topic && *topic != '/') topic++;
            filter++;
        } else {
            while (*filter && *filter != '/' && *filter == *topic) filter++, topic++;
        }
        if (*filter != *topic) return filter[0] == '/' && filter[1] == '#' && !*topic;
        if (!*filter) return 1;
        filter++, topic++;
    }
}

KERNEL(topics) { /* finds the routes of a topic among sixteen filters */
    static const char *const filters[] = {
        "plant/+/press/+/temperature", "plant/1/press/7/pressure", "plant/#", "plant/+/oven/#", "+/+/press/+/cycles", "cloud/#", "plant/2/+/+/state", "plant/1/press/+/+",
        "plant/3/press/7/temperature", "plant/1/oven/3/temperature", "+/1/#", "plant/+/+/+/temperature", "site/+/alarm", "plant/1/press/7", "plant/+/press/7/pressure/#", "#",
    };
    static char topics[][40] = {"plant/1/press/7/pressure", "plant/2/oven/3/temperature", "plant/3/press/7/cycles", "site/9/alarm"};
    u32 word = 0;
    for (u32 i = 0; i < n; i++) {
        topics[i & 3][(i & 3) == 3 ? 5 : 6] = (char)('1' + i % 3);
        for (u32 at = 0; at < 16; at++) word = mix(word, (u32)fits(filters[at], topics[i & 3]) << at);
    }
    return word;
}
