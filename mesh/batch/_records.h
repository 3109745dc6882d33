/* What a batch and its records are: the strict rules of header.py and records.py, without Python and without memory.
 *
 * Invariants:
 * A. Every byte is read behind a check against an end that the caller holds; a size is compared with what is left
 *    before anything moves. A number that was judged is not read a second time: the bytes may change meanwhile.
 * B. What is accepted here, the strict code accepts. Refusals have no reasons: the strict code finds them.
 * C. Numbers fit: 32 bits in at most 5 bytes, timestamps 64 in at most 10; sums are checked for overflow.
 */
#ifndef MESH_RECORDS_H
#define MESH_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "_crc32c.h"

enum {
    HEADER_BYTES = 61,
    LENGTH_END = 12,
    CRC_START = 21,
    MAGIC = 2,
    CODEC_BITS = 0x07,
    APPEND_TIME_BIT = 0x08,
    TRANSACTIONAL_BIT = 0x10,
    CONTROL_BIT = 0x20,
    LAST_CODEC = 4,
    MAX_HEADERS = 1000000,
    MAX_RECORD_HEADERS = 100000,
};

/* Bytes that are left to read. */
struct bytes {
    const uint8_t *at, *end;
};

static inline size_t left(const struct bytes *of) {
    return (size_t)(of->end - of->at);
}

static inline uint32_t big_endian_32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline uint64_t big_endian_64(const uint8_t *at) {
    return (uint64_t)big_endian_32(at) << 32 | big_endian_32(at + 4);
}

/* --- a batch: the table of its header is in header.py */

struct batch {
    const uint8_t *data;
    size_t size;
    int64_t base_offset, base_timestamp_ms, max_timestamp_ms;
    int32_t leader_epoch, count;
    uint32_t crc;
    unsigned attributes;
};

/* Whether a batch begins there that is whole, of format 2, dense, not empty, of CreateTime, not control, of a known
 * codec. Its CRC is not looked at. */
static bool read_batch(struct bytes data, struct batch *out) {
    if (left(&data) < HEADER_BYTES)
        return false;
    const uint8_t *at = data.at;
    int32_t length = (int32_t)big_endian_32(at + 8), last_delta = (int32_t)big_endian_32(at + 23);
    out->data = at;
    out->base_offset = (int64_t)big_endian_64(at);
    out->leader_epoch = (int32_t)big_endian_32(at + 12);
    out->crc = big_endian_32(at + 17);
    out->attributes = at[22]; /* the upper byte has none that is defined */
    out->base_timestamp_ms = (int64_t)big_endian_64(at + 27);
    out->max_timestamp_ms = (int64_t)big_endian_64(at + 35);
    out->count = (int32_t)big_endian_32(at + 57);
    if (at[16] != MAGIC || length < HEADER_BYTES - LENGTH_END || (size_t)length > left(&data) - LENGTH_END)
        return false;
    out->size = (size_t)length + LENGTH_END;
    return out->count > 0 && last_delta == out->count - 1 && !(out->attributes & (APPEND_TIME_BIT | CONTROL_BIT))
        && (out->attributes & CODEC_BITS) <= LAST_CODEC;
}

static bool has_right_crc(const struct batch *batch) {
    return crc32c(batch->data + CRC_START, batch->size - CRC_START) == batch->crc;
}

/* --- its records: the table of their parts is in records.py */

/* The next number in zigzag form, still in that form: odd where it is negative. */
static bool read_longer(struct bytes *from, unsigned bits, uint64_t *out) {
    uint64_t number = 0;
    for (unsigned shift = 0; shift < bits && from->at < from->end; shift += 7) {
        uint64_t byte = *from->at++;
        if (bits - shift < 7 && byte >> (bits - shift))
            return false; /* the last byte that may be: it has more bits, or says that more bytes come */
        number |= (byte & 127) << shift;
        if (byte < 128) {
            *out = number;
            return true;
        }
    }
    return false;
}

static inline bool read_number(struct bytes *from, unsigned bits, uint64_t *out) {
    if (from->at < from->end && *from->at < 128) { /* nearly all of them */
        *out = *from->at++;
        return true;
    }
    return read_longer(from, bits, out);
}

static inline int64_t signed_of(uint64_t zigzag) {
    return (int64_t)(zigzag >> 1) ^ -(int64_t)(zigzag & 1);
}

/* A size and so many bytes, which are all there. */
static inline bool read_sized(struct bytes *from, struct bytes *out) {
    uint64_t size;
    if (!read_number(from, 32, &size) || size & 1 || size >> 1 > left(from))
        return false;
    from->at += size >> 1;
    *out = (struct bytes){from->at - (size >> 1), from->at};
    return true;
}

/* The same, or null, which is -1 and no other negative number. */
static inline bool skip_nullable(struct bytes *from) {
    uint64_t size;
    if (!read_number(from, 32, &size))
        return false;
    if (size == 1)
        return true;
    if (size & 1 || size >> 1 > left(from))
        return false;
    from->at += size >> 1;
    return true;
}

static inline bool is_continuation(uint8_t byte) {
    return (byte & 0xC0) == 0x80;
}

/* UTF-8 by RFC 3629: the shortest form, no surrogates, nothing above U+10FFFF. */
static bool is_utf8(struct bytes text) {
    while (text.at < text.end) {
        const uint8_t *at = text.at;
        uint8_t first = *at, second;
        size_t follow;
        if (first < 0x80) {
            text.at++;
            continue;
        }
        if (first < 0xC2 || first > 0xF4)
            return false;
        follow = first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
        if (left(&text) <= follow || !is_continuation(second = at[1]))
            return false;
        if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) || (first == 0xF0 && second < 0x90)
            || (first == 0xF4 && second > 0x8F))
            return false;
        for (size_t n = 2; n <= follow; n++)
            if (!is_continuation(at[n]))
                return false;
        text.at += follow + 1;
    }
    return true;
}

struct record {
    int64_t timestamp_ms;
    struct bytes rest; /* what follows its offset delta */
};

/* The next record up to its offset delta, which must be `index`; its bytes are all there. */
static bool read_start(struct bytes *from, int64_t base_timestamp_ms, int64_t index, struct record *out) {
    struct bytes body;
    uint64_t timestamp, delta;
    if (!read_sized(from, &body) || body.at == body.end || *body.at++ != 0)
        return false;
    if (!read_number(&body, 64, &timestamp) || !read_number(&body, 32, &delta) || delta != (uint64_t)index << 1)
        return false;
    out->rest = body;
    return !__builtin_add_overflow(base_timestamp_ms, signed_of(timestamp), &out->timestamp_ms);
}

/* Whether the rest is a key, a value and headers, to its last byte. */
static bool is_rest(struct bytes rest, int64_t *headers_left) {
    uint64_t twice;
    struct bytes key;
    if (!skip_nullable(&rest) || !skip_nullable(&rest) || !read_number(&rest, 32, &twice) || twice & 1)
        return false;
    int64_t headers = (int64_t)(twice >> 1);
    if (headers > MAX_RECORD_HEADERS || headers > *headers_left)
        return false;
    *headers_left -= headers;
    while (headers--)
        if (!read_sized(&rest, &key) || !is_utf8(key) || !skip_nullable(&rest))
            return false;
    return rest.at == rest.end;
}

/* Whether `payload` is exactly `count` dense records. */
static bool are_all_records(struct bytes payload, int64_t count, int64_t base_timestamp_ms) {
    int64_t headers_left = MAX_HEADERS;
    struct record record;
    for (int64_t index = 0; index < count; index++)
        if (!read_start(&payload, base_timestamp_ms, index, &record) || !is_rest(record.rest, &headers_left))
            return false;
    return count >= 0 && payload.at == payload.end;
}

/* --- records of several payloads, joined */

struct part {
    struct bytes payload;
    int64_t count, base_timestamp_ms;
};

enum joining { JOINED, NO_RECORDS, TOO_FAR_APART, TOO_MUCH };

static inline unsigned number_bytes(uint64_t zigzag) {
    return zigzag < 128 ? 1 : (70 - (unsigned)__builtin_clzll(zigzag)) / 7;
}

static inline uint8_t *write_number(uint8_t *to, uint64_t zigzag) {
    for (; zigzag > 127; zigzag >>= 7)
        *to++ = (uint8_t)(zigzag | 128);
    *to++ = (uint8_t)zigzag;
    return to;
}

static inline uint64_t zigzag_of(int64_t number) {
    return (uint64_t)number << 1 ^ (uint64_t)(number >> 63);
}

/* How a record begins in its new place. */
struct start {
    uint64_t body_bytes, timestamp, delta;
};

static enum joining new_start(const struct record *record, int64_t base_timestamp_ms, int64_t index, struct start *out) {
    int64_t timestamp;
    if (__builtin_sub_overflow(record->timestamp_ms, base_timestamp_ms, &timestamp))
        return TOO_FAR_APART;
    out->timestamp = zigzag_of(timestamp);
    out->delta = (uint64_t)index << 1;
    out->body_bytes = 1 + number_bytes(out->timestamp) + number_bytes(out->delta) + left(&record->rest);
    return index > INT32_MAX || out->body_bytes > INT32_MAX ? TOO_MUCH : JOINED;
}

/* Judge all parts, and say how many bytes they come to. `base_timestamp_ms` is the first part's. */
static enum joining measure(const struct part *parts, size_t count, int64_t base_timestamp_ms, size_t *size) {
    int64_t index = 0, all_headers = 0;
    *size = 0;
    for (const struct part *part = parts; part < parts + count; part++) {
        struct bytes payload = part->payload;
        int64_t headers_left = MAX_HEADERS;
        for (int64_t own = 0; own < part->count; own++, index++) {
            struct record record;
            struct start start;
            if (!read_start(&payload, part->base_timestamp_ms, own, &record) || !is_rest(record.rest, &headers_left))
                return NO_RECORDS;
            enum joining outcome = new_start(&record, base_timestamp_ms, index, &start);
            if (outcome != JOINED)
                return outcome;
            if (__builtin_add_overflow(*size, number_bytes(start.body_bytes << 1) + (size_t)start.body_bytes, size))
                return TOO_MUCH;
        }
        all_headers += MAX_HEADERS - headers_left;
        if (part->count < 0 || payload.at != payload.end)
            return NO_RECORDS;
        if (all_headers > MAX_HEADERS)
            return TOO_MUCH;
    }
    return JOINED;
}

/* Write the records of parts that were measured to exactly `size` bytes. They are read anew and never trusted: the
 * memory of others may have changed since. */
static enum joining join(const struct part *parts, size_t count, int64_t base_timestamp_ms, uint8_t *to, size_t size) {
    const uint8_t *end = to + size;
    int64_t index = 0;
    for (const struct part *part = parts; part < parts + count; part++) {
        struct bytes payload = part->payload;
        for (int64_t own = 0; own < part->count; own++, index++) {
            struct record record;
            struct start start;
            if (!read_start(&payload, part->base_timestamp_ms, own, &record)
                || new_start(&record, base_timestamp_ms, index, &start) != JOINED
                || number_bytes(start.body_bytes << 1) + start.body_bytes > (size_t)(end - to))
                return NO_RECORDS;
            to = write_number(to, start.body_bytes << 1);
            *to++ = 0; /* attributes */
            to = write_number(to, start.timestamp);
            to = write_number(to, start.delta);
            memcpy(to, record.rest.at, left(&record.rest));
            to += left(&record.rest);
        }
    }
    return to == end ? JOINED : NO_RECORDS;
}

#endif
