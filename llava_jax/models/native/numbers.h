// Numbers of every type that arrays here have, 16 at a time as float32, and back.
#pragma once

#include <immintrin.h>

#include <cstdint>

inline __m512 Load(const float* x) { return _mm512_loadu_ps(x); }

inline __m512 Load(const uint16_t* x) {  // bfloat16
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

inline __m512 Load(const int8_t* x) {
  const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x));
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(values));
}

inline void Store(__m512 x, float* out) { _mm512_storeu_ps(out, x); }

inline void Store(__m512 x, uint16_t* out) {  // bfloat16: to the nearest, of two the even one
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
  const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, half), 16);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_cvtepi32_epi16(rounded));
}
