/* Inner loops of HTDemucs for which torch makes many passes over memory. library.py calls them and documents them.

   Plain C with GCC's vector extensions, 16 numbers at a time on any CPU. Each function is compiled for AVX-512, for AVX2
   and for any other CPU, and the loader chooses one, with GCC and glibc; elsewhere for what the compiler aims at. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define EXPORTED __attribute__((visibility("default")))
#if defined(FOR_EACH_CPU) /* by the command line, for one CPU */
#elif defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) /* others cannot choose a version at load, or do not inline into it */
#define FOR_EACH_CPU EXPORTED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EACH_CPU EXPORTED
#endif
#define INLINE static inline __attribute__((always_inline))

enum { VECTOR = 16 };

typedef uint16_t bf16;
typedef float floats __attribute__((vector_size(4 * VECTOR)));
typedef int32_t ints __attribute__((vector_size(4 * VECTOR)));
typedef uint16_t halves __attribute__((vector_size(2 * VECTOR)));
typedef uint8_t bytes __attribute__((vector_size(VECTOR)));

/* The number of the layout that library.py expects: arguments, `Wide`, the size of the scratch. A library that was
   compiled before a change has another number. */
EXPORTED const int32_t msaas_layout = 1;

/* --- numbers */

INLINE floats all(float x) { return x - (floats){0}; }

INLINE ints pick_bits(ints where, ints x, ints otherwise) { return (where & x) | (~where & otherwise); }
INLINE floats pick(ints where, floats x, floats otherwise)
{
    return (floats)pick_bits(where, (ints)x, (ints)otherwise);
}

/* These leave NaN as it is, so that what a broken model makes is seen; power_of_two does as well. */
INLINE floats at_least(floats x, float low) { return pick(x < low, all(low), x); }
INLINE floats at_most(floats x, float high) { return pick(x > high, all(high), x); }
INLINE floats larger(floats x, floats y) { return pick(x > y, x, y); }
INLINE floats magnitude(floats x) { return (floats)((ints)x & 0x7FFFFFFF); }

INLINE float sum_of(floats x)
{
    float sum = 0;
    for (int i = 0; i < VECTOR; i++)
        sum += x[i];
    return sum;
}

INLINE float largest_of(floats x)
{
    float largest = x[0];
    for (int i = 1; i < VECTOR; i++)
        largest = x[i] > largest ? x[i] : largest;
    return largest;
}

/* 2^x for -126 ≤ x ≤ 126, with a relative error of 2e-7 if exact, else 1e-4: a fortieth of bfloat16's rounding.
   Polynomials of 2^f for |f| ≤ 1/2: Taylor's, and one with the smallest relative error. */
INLINE floats power_of_two(floats x, int exact)
{
    /* 1.5 · 2^23, and the exponent's bias: a sum with it has the exponent of 2^n, n nearest to x, in its lowest bits. */
    const float rounding = 12582912 + 127;
    floats shifted = x + rounding, f = x - (shifted - rounding), power;
    if (exact) {
        power = f * 1.5403530e-4f + 1.3333558e-3f;
        power = power * f + 9.6181291e-3f;
        power = power * f + 5.5504109e-2f;
        power = power * f + 2.4022651e-1f;
        power = power * f + 6.9314718e-1f;
        power = power * f + 1;
    } else {
        power = f * 5.5171628e-2f + 2.4261113e-1f;
        power = power * f + 6.9326098e-1f;
        power = power * f + 9.9992520e-1f;
    }
    return power * (floats)((ints)shifted << 23);
}

static const float LOG2_E = 1.44269504f;

/* x/2 (1 + erf(x/√2)). erf: Abramowitz and Stegun (1964), 7.1.26, absolute error 1.5e-7. */
INLINE floats gelu(floats x)
{
    floats a = magnitude(x) * 0.70710678f;
    floats t = 1 / (1 + 0.3275911f * a);
    floats p = 1.061405429f * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    floats tail = 0.5f * p * t * power_of_two(at_least(a * a * -LOG2_E, -126), 1); /* (1 - erf a) / 2 */
    return x * pick(x < 0, tail, 1 - tail);
}

/* --- memory, of either type: `is_bf16` is always a constant */

INLINE floats load(const float *from)
{
    floats x;
    memcpy(&x, from, sizeof x);
    return x;
}

INLINE void store(float *to, floats x) { memcpy(to, &x, sizeof x); }

INLINE floats load_bf16(const bf16 *from)
{
    halves x;
    memcpy(&x, from, sizeof x);
    return (floats)(__builtin_convertvector(x, ints) << 16);
}

INLINE void store_bf16(bf16 *to, floats x) /* rounded to the nearest; rounding could turn NaN into a number */
{
    ints bits = pick_bits(x == x, ((ints)x + 0x8000) >> 16, (ints){0} + 0x7FC0);
    halves rounded = __builtin_convertvector(bits, halves);
    memcpy(to, &rounded, sizeof rounded);
}

INLINE floats load_at(const void *from, int64_t at, int is_bf16)
{
    return is_bf16 ? load_bf16((const bf16 *)from + at) : load((const float *)from + at);
}

INLINE void store_at(void *to, int64_t at, floats x, int is_bf16)
{
    if (is_bf16)
        store_bf16((bf16 *)to + at, x);
    else
        store((float *)to + at, x);
}

INLINE float number_at(const void *from, int64_t at, int is_bf16)
{
    if (!is_bf16)
        return ((const float *)from)[at];
    uint32_t bits = (uint32_t)((const bf16 *)from)[at] << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Adds the first `count` of x to the numbers from `at` on. */
INLINE void add_at(void *to, int64_t at, floats x, int count, int is_bf16)
{
    if (count == VECTOR) {
        store_at(to, at, load_at(to, at, is_bf16) + x, is_bf16);
        return;
    }
    char some[sizeof(floats)] = {0}, *place = (char *)to + at * (is_bf16 ? sizeof(bf16) : sizeof(float));
    size_t size = count * (is_bf16 ? sizeof(bf16) : sizeof(float));
    memcpy(some, place, size);
    store_at(some, 0, load_at(some, 0, is_bf16) + x, is_bf16);
    memcpy(place, some, size);
}

/* --- attention */

FOR_EACH_CPU void msaas_exponentials(bf16 *scores, float *inverse_sums, int64_t rows, int64_t columns)
{
    for (int64_t row = 0; row < rows; row++, scores += columns) {
        floats largest = all(-INFINITY), sum = all(0);
        for (int64_t c = 0; c < columns; c += VECTOR)
            largest = larger(load_bf16(scores + c), largest);
        float top = largest_of(largest);
        for (int64_t c = 0; c < columns; c += VECTOR) {
            floats power = power_of_two(at_least((load_bf16(scores + c) - top) * LOG2_E, -126), 0);
            store_bf16(scores + c, power);
            sum += power;
        }
        inverse_sums[row] = 1 / sum_of(sum);
    }
}

/* --- 8-bit integers */

FOR_EACH_CPU void msaas_quantize(const bf16 *numbers, uint8_t *integers, bf16 *scales, int64_t rows, int64_t columns)
{
    for (int64_t row = 0; row < rows; row++, numbers += columns, integers += columns) {
        floats largest = all(1e-30f), nothing = all(0);
        for (int64_t c = 0; c < columns; c += VECTOR) {
            floats x = load_bf16(numbers + c);
            largest = larger(magnitude(x), largest);
            nothing += x * 0; /* NaN if x is NaN or infinite */
        }
        float scale = largest_of(largest) / 127 + sum_of(nothing);
        uint32_t bits;
        memcpy(&bits, &scale, sizeof bits);
        scales[row] = (bits + 0xFFFF) >> 16; /* rounded up, so that no integer is above 127 */
        float inverse = 1 / number_at(scales, row, 1);
        for (int64_t c = 0; c < columns; c += VECTOR) {
            floats shifted = load_bf16(numbers + c) * inverse + 128.5f;
            bytes made = __builtin_convertvector(__builtin_convertvector(shifted, ints), bytes);
            memcpy(integers + c, &made, sizeof made);
        }
    }
}

/* --- residual branches */

enum { TOGETHER = 4 }; /* times whose sums share the loads of weights, and a division */

/* The layer after the norm, as library.py lays it out. Arrays of `width`: channels, filled up to whole vectors. */
typedef struct {
    const float *weight; /* [h, 2, width], of the value and of the gate */
    const float *bias, *gain, *shift; /* [2, width] */
    const float *spread; /* [h, h]: W'W / 2C */
    const float *centred; /* [h, h]: the same of W less its mean over channels … */
    const float *cross; /* [h]: … and with the bias less its mean */
    const float *mean_weight; /* [h] */
    float offset, mean_bias; /* mean square of the bias less its mean; its mean */
} Wide;

INLINE Wide wide_at(const float *from, int64_t h, int64_t width)
{
    Wide wide = {.weight = from};
    wide.bias = wide.weight + 2 * h * width;
    wide.gain = wide.bias + 2 * width;
    wide.shift = wide.gain + 2 * width;
    wide.spread = wide.shift + 2 * width;
    wide.centred = wide.spread + h * h;
    wide.cross = wide.centred + h * h;
    wide.mean_weight = wide.cross + h;
    wide.offset = wide.mean_weight[h];
    wide.mean_bias = wide.mean_weight[h + 1];
    return wide;
}

INLINE float dot(const float *x, const float *y, int64_t count)
{
    floats sum = all(0), other = all(0);
    for (int64_t i = 0; i < count; i += 2 * VECTOR) {
        sum += load(x + i) * load(y + i);
        other += load(x + i + VECTOR) * load(y + i + VECTOR);
    }
    return sum_of(sum + other);
}

/* Group norm of one group and GELU of [times, h], into [h, length] with zeros behind the times. */
INLINE void normalized(const void *narrow, int is_bf16, const float *norm, float eps, int64_t times, int64_t h,
                       int64_t length, float *made, float *means)
{
    floats sum = all(0), squares = all(0), rest = all(0);
    for (int64_t k = 0; k < h; k++) {
        for (int64_t t = 0; t < times; t++)
            made[k * length + t] = number_at(narrow, t * h + k, is_bf16);
        memset(made + k * length + times, 0, (length - times) * sizeof *made);
    }
    for (int64_t i = 0; i < h * length; i += VECTOR)
        sum += load(made + i);
    float mean = sum_of(sum) / (h * times);
    for (int64_t k = 0; k < h; k++) /* nothing is added to the squares behind the times */
        for (int64_t t = times; t < length; t++)
            made[k * length + t] = mean;
    for (int64_t i = 0; i < h * length; i += VECTOR) {
        floats centred = load(made + i) - mean;
        squares += centred * centred;
        rest += centred;
    }
    float missed = sum_of(rest) / (h * times); /* by the rounding of the sum */
    float variance = sum_of(squares) / (h * times) - missed * missed;
    float inverse = 1 / sqrtf((variance < 0 ? 0 : variance) + eps);
    mean += missed;
    for (int64_t k = 0; k < h; k++) {
        float *row = made + k * length, gain = norm[k] * inverse, shift = norm[h + k];
        for (int64_t t = 0; t < times; t += VECTOR)
            store(row + t, gelu((load(row + t) - mean) * gain + shift));
        memset(row + times, 0, (length - times) * sizeof *row);
        floats total = all(0);
        for (int64_t t = 0; t < length; t += VECTOR)
            total += load(row + t);
        means[k] = sum_of(total) / times;
    }
}

/* Mean and 1 / deviation of the wide layer's output over times and channels, from mean and covariance of its input. */
INLINE void moments(const Wide *wide, const float *narrow, const float *means, float eps, int64_t times, int64_t h,
                    int64_t length, float *mean, float *inverse)
{
    float variance = wide->offset;
    *mean = wide->mean_bias;
    for (int64_t k = 0; k < h; k++) {
        *mean += wide->mean_weight[k] * means[k];
        variance += 2 * wide->cross[k] * means[k];
        for (int64_t j = 0; j <= k; j++) {
            float product = means[k] * means[j];
            float covariance = dot(narrow + k * length, narrow + j * length, length) / times - product;
            variance += (j < k ? 2 : 1) * (wide->spread[k * h + j] * covariance + wide->centred[k * h + j] * product);
        }
    }
    *inverse = 1 / sqrtf((variance < 0 ? 0 : variance) + eps); /* below by rounding, where all is the same */
}

/* value · sigmoid(gate) of TOGETHER times and VECTOR channels. narrow: at the first of the times. */
INLINE void gated(const float *narrow, int64_t length, const float *weight, const float *bias, int64_t h, int64_t width,
                  int exact, floats *made)
{
    floats value[TOGETHER], gate[TOGETHER], left[TOGETHER];
    for (int i = 0; i < TOGETHER; i++) {
        value[i] = load(bias);
        gate[i] = load(bias + width);
    }
    for (int64_t k = 0; k < h; k++) {
        floats v = load(weight + 2 * k * width), g = load(weight + (2 * k + 1) * width);
        for (int i = 0; i < TOGETHER; i++) {
            value[i] += v * narrow[k * length + i];
            gate[i] += g * narrow[k * length + i];
        }
    }
    floats product = all(1);
    for (int i = 0; i < TOGETHER; i++) { /* four such factors are below 2^126 */
        gate[i] = 1 + power_of_two(at_least(at_most(gate[i] * -LOG2_E, 31), -31), exact);
        left[i] = product;
        product *= gate[i];
    }
    floats inverse = 1 / product; /* one division for all of them */
    for (int i = TOGETHER - 1; i >= 0; i--) {
        made[i] = value[i] * inverse * left[i];
        inverse *= gate[i];
    }
}

/* scratch: h · length + 2 (h + 1) width + h numbers. */
INLINE void add_branch(void *rows, const void *narrow, int is_bf16, const float *norm, const float *widening,
                       const float *eps, float *scratch, int64_t times, int64_t h, int64_t channels)
{
    int64_t length = (times + 2 * VECTOR - 1) / (2 * VECTOR) * (2 * VECTOR), width = (channels + VECTOR - 1) / VECTOR * VECTOR;
    float *input = scratch, *weight = input + h * length, *bias = weight + 2 * h * width, *means = bias + 2 * width;
    Wide wide = wide_at(widening, h, width);
    float mean, inverse;
    normalized(narrow, is_bf16, norm, eps[0], times, h, length, input, means);
    moments(&wide, input, means, eps[1], times, h, length, &mean, &inverse);
    for (int64_t c = 0; c < 2 * width; c += VECTOR) { /* the wide norm within weight and bias */
        floats gain = load(wide.gain + c) * inverse;
        store(bias + c, (load(wide.bias + c) - mean) * gain + load(wide.shift + c));
        for (int64_t k = 0; k < h; k++)
            store(weight + 2 * k * width + c, load(wide.weight + 2 * k * width + c) * gain);
    }
    for (int64_t t = 0; t < times; t += TOGETHER)
        for (int64_t c = 0; c < channels; c += VECTOR) {
            floats made[TOGETHER];
            gated(input + t, length, weight + c, bias + c, h, width, !is_bf16, made);
            int some = channels - c < VECTOR ? channels - c : VECTOR;
            for (int i = 0; i < TOGETHER && t + i < times; i++)
                add_at(rows, (t + i) * channels + c, made[i], some, is_bf16);
        }
}

/* narrow: [count, times, h]. */
INLINE void add_branches(void *rows, const void *narrow, int is_bf16, const float *norm, const float *widening,
                         const float *eps, float *scratch, int64_t count, int64_t times, int64_t h, int64_t channels)
{
    const int64_t size = is_bf16 ? sizeof(bf16) : sizeof(float);
    for (int64_t i = 0; i < count; i++)
        add_branch((char *)rows + i * times * channels * size, (const char *)narrow + i * times * h * size, is_bf16, norm,
                   widening, eps, scratch, times, h, channels);
}

FOR_EACH_CPU void msaas_add_branches_bf16(bf16 *rows, const bf16 *narrow, const float *norm, const float *widening,
                                          const float *eps, float *scratch, int64_t count, int64_t times, int64_t h,
                                          int64_t channels)
{
    add_branches(rows, narrow, 1, norm, widening, eps, scratch, count, times, h, channels);
}

FOR_EACH_CPU void msaas_add_branches_float(float *rows, const float *narrow, const float *norm, const float *widening,
                                           const float *eps, float *scratch, int64_t count, int64_t times, int64_t h,
                                           int64_t channels)
{
    add_branches(rows, narrow, 0, norm, widening, eps, scratch, count, times, h, channels);
}
