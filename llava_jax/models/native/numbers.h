// Numbers of every type that arrays here have, 16 at a time as float32.
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
