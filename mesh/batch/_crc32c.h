/* CRC-32C (Castagnoli), as it stands in every batch: initial value and final inversion included.
 *
 * Strategy: on x86-64 with SSE 4.2 and PCLMUL, asked for once when the module is loaded, three stretches are summed side
 * by side, because one crc32 instruction takes three cycles but one may begin in each; their sums are then moved to their
 * places by a multiplication. Elsewhere eight tables take eight bytes at a time.
 *
 * Sums are polynomials over GF(2) in reflected order: bit 31 of a sum is the factor of x^0.
 */
#ifndef MESH_CRC32C_H
#define MESH_CRC32C_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CRC_POLYNOMIAL 0x82F63B78u

static uint32_t crc_tables[8][256]; /* [n][byte]: the sum of a byte that n zero bytes follow */

static uint32_t crc_times_x(uint32_t sum) {
    return (sum >> 1) ^ (sum & 1 ? CRC_POLYNOMIAL : 0);
}

/* `sum` without inversions, carried on over `size` bytes. */
static uint32_t crc_by_table(uint32_t sum, const uint8_t *data, size_t size) {
    for (; size >= 8; data += 8, size -= 8)
        sum = crc_tables[7][data[0] ^ (sum & 255)] ^ crc_tables[6][data[1] ^ (sum >> 8 & 255)]
            ^ crc_tables[5][data[2] ^ (sum >> 16 & 255)] ^ crc_tables[4][data[3] ^ (sum >> 24)]
            ^ crc_tables[3][data[4]] ^ crc_tables[2][data[5]] ^ crc_tables[1][data[6]] ^ crc_tables[0][data[7]];
    for (; size; data++, size--)
        sum = (sum >> 8) ^ crc_tables[0][(sum ^ *data) & 255];
    return sum;
}

static uint32_t (*crc_carry_on)(uint32_t sum, const uint8_t *data, size_t size) = crc_by_table;

#if defined(__x86_64__) && !defined(MESH_PORTABLE)
#include <nmmintrin.h>
#include <wmmintrin.h>

#define CRC_LANE_BYTES ((size_t)512)

/* What moves a sum over so many lanes: x^(8 n - 33). Of the 33, one is in the product, which has bit 62 for x^0, and 32
 * are in the instruction that reduces it. */
static uint64_t crc_over_one_lane, crc_over_two_lanes;

static uint64_t crc_mover(size_t bytes) {
    uint32_t power = 0x80000000u; /* x^0 */
    for (size_t n = 8 * bytes - 33; n; n--)
        power = crc_times_x(power);
    return power;
}

static inline uint64_t crc_word(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

__attribute__((target("sse4.2,pclmul")))
static inline uint64_t crc_moved(uint64_t sum, uint64_t mover) {
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)sum), _mm_cvtsi64_si128((long long)mover), 0);
    return (uint64_t)_mm_cvtsi128_si64(product);
}

__attribute__((target("sse4.2,pclmul")))
static uint32_t crc_by_instruction(uint32_t start, const uint8_t *data, size_t size) {
    uint64_t sum = start;
    for (; size >= 3 * CRC_LANE_BYTES; data += 3 * CRC_LANE_BYTES, size -= 3 * CRC_LANE_BYTES) {
        uint64_t second = 0, third = 0;
        for (size_t at = 0; at < CRC_LANE_BYTES; at += 8) {
            sum = _mm_crc32_u64(sum, crc_word(data + at));
            second = _mm_crc32_u64(second, crc_word(data + at + CRC_LANE_BYTES));
            third = _mm_crc32_u64(third, crc_word(data + at + 2 * CRC_LANE_BYTES));
        }
        sum = third ^ _mm_crc32_u64(0, crc_moved(sum, crc_over_two_lanes) ^ crc_moved(second, crc_over_one_lane));
    }
    for (; size >= 8; data += 8, size -= 8)
        sum = _mm_crc32_u64(sum, crc_word(data));
    for (; size; data++, size--)
        sum = _mm_crc32_u8((uint32_t)sum, *data);
    return (uint32_t)sum;
}

static void crc_choose(void) {
    crc_over_one_lane = crc_mover(CRC_LANE_BYTES);
    crc_over_two_lanes = crc_mover(2 * CRC_LANE_BYTES);
    if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"))
        crc_carry_on = crc_by_instruction;
}
#else
static void crc_choose(void) {}
#endif

/* Once, before the first sum. */
static void crc_prepare(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t sum = byte;
        for (int bit = 0; bit < 8; bit++)
            sum = crc_times_x(sum);
        crc_tables[0][byte] = sum;
    }
    for (int n = 1; n < 8; n++)
        for (int byte = 0; byte < 256; byte++) {
            uint32_t sum = crc_tables[n - 1][byte];
            crc_tables[n][byte] = (sum >> 8) ^ crc_tables[0][sum & 255];
        }
    crc_choose();
}

static uint32_t crc32c(const uint8_t *data, size_t size) {
    return ~crc_carry_on(~0u, data, size);
}

#endif
