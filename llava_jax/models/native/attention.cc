// Attention of one new token in each row to the tokens of that row in the cache, and to itself.
//
// XLA copies each block of a cache before it multiplies it, for rows that have no such block too.
// Here every row reads its own tokens, once, where they lie.
#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "numbers.h"
#include "threads.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

constexpr int64_t kLanes = 16;
constexpr int64_t kShared = 256 << 10;  // bytes of keys from which on waking other threads pays
constexpr float kMasked = -1e30f;

// The sum of each of 16 registers, in its own lane.
__m512 SumEach(const __m512* x) {
  __m512 quarters[4];
  for (int i = 0; i < 4; ++i) {
    __m512d pairs[2];
    for (int j = 0; j < 2; ++j) {
      const __m512 a = x[4 * i + 2 * j], b = x[4 * i + 2 * j + 1];
      pairs[j] = _mm512_castps_pd(
          _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
    }
    quarters[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(pairs[0], pairs[1])),
                                _mm512_castpd_ps(_mm512_unpackhi_pd(pairs[0], pairs[1])));
  }
  const auto folded = [](__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
  };
  return folded(folded(quarters[0], quarters[1]), folded(quarters[2], quarters[3]));
}

// e^x for x <= 0: a power of two times a polynomial for what is left of the exponent.
__m512 Exp(__m512 x) {
  const __m512 power = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504f));
  const __m512 whole = _mm512_roundscale_ps(power, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 rest = _mm512_sub_ps(power, whole);
  __m512 y = _mm512_set1_ps(1.54035304e-4f);
  for (float c : {1.33335581e-3f, 9.61812911e-3f, 5.55041087e-2f, 2.40226507e-1f, 6.93147181e-1f,
                  1.0f}) {
    y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(c));
  }
  return _mm512_scalef_ps(y, whole);
}

// Tokens of one head of one row. Scales are of int8 alone, one a token.
template <typename T>
struct Tokens {
  const T *k, *v;
  const float *k_scale, *v_scale;
  int64_t count;
};

template <int kWidth, typename T>
__m512 Products(const __m512* q, const T* k) {
  __m512 sum = _mm512_setzero_ps();
  for (int i = 0; i < kWidth; ++i) sum = _mm512_fmadd_ps(q[i], Load(k + i * kLanes), sum);
  return sum;
}

// One query of kWidth * 16 channels. `weights` has room for count + 16 numbers.
template <int kWidth, typename T, typename New>
void Attend(const New* query, const New* k, const New* v, const Tokens<T>& cached,
            float* weights, New* out) {
  __m512 q[kWidth];
  for (int i = 0; i < kWidth; ++i) q[i] = Load(query + i * kLanes);
  const float own = _mm512_reduce_add_ps(Products<kWidth>(q, k));
  __m512 tops = _mm512_set1_ps(own);
  for (int64_t t = 0; t < cached.count; t += kLanes) {
    __m512 sums[kLanes];
    for (int64_t j = 0; j < kLanes; ++j) {
      sums[j] = Products<kWidth>(q, cached.k + (t + j) * kWidth * kLanes);
    }
    __m512 scores = SumEach(sums);
    if (cached.k_scale) scores = _mm512_mul_ps(scores, _mm512_loadu_ps(cached.k_scale + t));
    const int64_t left = std::min(cached.count - t, kLanes);
    scores = _mm512_mask_mov_ps(_mm512_set1_ps(kMasked), (1u << left) - 1, scores);
    tops = _mm512_max_ps(tops, scores);
    _mm512_storeu_ps(weights + t, scores);
  }
  const __m512 top = _mm512_set1_ps(_mm512_reduce_max_ps(tops));
  const float own_weight = _mm512_cvtss_f32(Exp(_mm512_sub_ps(_mm512_set1_ps(own), top)));
  __m512 all = _mm512_setzero_ps();
  for (int64_t t = 0; t < cached.count; t += kLanes) {
    __m512 weight = Exp(_mm512_sub_ps(_mm512_loadu_ps(weights + t), top));
    all = _mm512_add_ps(all, weight);
    if (cached.v_scale) weight = _mm512_mul_ps(weight, _mm512_loadu_ps(cached.v_scale + t));
    _mm512_storeu_ps(weights + t, weight);
  }
  __m512 sums[kWidth];
  for (int i = 0; i < kWidth; ++i) {
    sums[i] = _mm512_mul_ps(_mm512_set1_ps(own_weight), Load(v + i * kLanes));
  }
  for (int64_t t = 0; t < cached.count; ++t) {
    const __m512 weight = _mm512_set1_ps(weights[t]);
    for (int i = 0; i < kWidth; ++i) {
      sums[i] = _mm512_fmadd_ps(weight, Load(cached.v + (t * kWidth + i) * kLanes), sums[i]);
    }
  }
  const __m512 whole = _mm512_set1_ps(_mm512_reduce_add_ps(all) + own_weight);
  for (int i = 0; i < kWidth; ++i) {
    Store(_mm512_div_ps(sums[i], whole), out + i * kLanes);
  }
}

// q [rows, kv_heads, group, width], k and v [rows, kv_heads, 1, width]; caches
// [layers, rows, kv_heads, length, width] with scales [..., 1] where they are int8, else [0].
struct Call {
  ffi::ThreadPool* pool;
  ffi::AnyBuffer q, k, v, cached_k, cached_v, k_scale, v_scale;
  const int32_t* start;
  void* out;  // of the type of q
  int64_t layer;
};

template <int kWidth, typename T, typename New>
void AttendAll(const Call& call) {
  const auto shape = call.q.dimensions();
  const int64_t rows = shape[0], heads = shape[1], group = shape[2], width = kWidth * kLanes;
  const auto kept = call.cached_k.dimensions();
  const int64_t length = kept[kept.size() - 2];
  const auto at = [](const ffi::AnyBuffer& buffer, auto* type, int64_t place) {
    return static_cast<decltype(type)>(buffer.untyped_data()) + place;
  };
  const bool scaled = call.k_scale.element_count() > 0;
  const auto head = [&](int64_t number) {
    const int64_t count = call.start[number / heads];
    const int64_t place = (call.layer * rows * heads + number) * length;
    const T* type = nullptr;
    const float* scales = nullptr;
    const Tokens<T> cached{at(call.cached_k, type, place * width),
                           at(call.cached_v, type, place * width),
                           scaled ? at(call.k_scale, scales, place) : nullptr,
                           scaled ? at(call.v_scale, scales, place) : nullptr, count};
    std::vector<float> weights(count + kLanes);
    const New* own = nullptr;
    for (int64_t i = number * group; i < (number + 1) * group; ++i) {
      Attend<kWidth>(at(call.q, own, i * width), at(call.k, own, number * width),
                     at(call.v, own, number * width), cached, weights.data(),
                     static_cast<New*>(call.out) + i * width);
    }
  };
  int64_t read = 0;
  for (int64_t row = 0; row < rows; ++row) read += call.start[row] * heads * width * sizeof(T);
  const int64_t parts = read < kShared ? 1 : rows * heads;
  Share(*call.pool, parts, [&](int64_t i) {
    for (int64_t j = i; j < rows * heads; j += parts) head(j);
  });
}

template <int kWidth>
bool OfWidth(const Call& call) {
  const auto own = call.q.element_type(), kept = call.cached_k.element_type();
  const bool bfloat16 = own == ffi::BF16;
  if (kept == ffi::U16 && bfloat16) AttendAll<kWidth, uint16_t, uint16_t>(call);
  else if (kept == ffi::F32 && !bfloat16) AttendAll<kWidth, float, float>(call);
  else if (kept == ffi::S8 && bfloat16) AttendAll<kWidth, int8_t, uint16_t>(call);
  else if (kept == ffi::S8) AttendAll<kWidth, int8_t, float>(call);
  else return false;
  return true;
}

ffi::Error Attention(ffi::ThreadPool pool, ffi::AnyBuffer q, ffi::AnyBuffer k, ffi::AnyBuffer v,
                     ffi::AnyBuffer cached_k, ffi::AnyBuffer cached_v, ffi::AnyBuffer k_scale,
                     ffi::AnyBuffer v_scale, ffi::BufferR1<ffi::S32> start,
                     ffi::Result<ffi::AnyBuffer> out, int64_t layer) {
  const Call call{&pool,   q, k, v, cached_k, cached_v, k_scale, v_scale, start.typed_data(),
                  out->untyped_data(), layer};
  const int64_t width = q.dimensions().back();
  if (width == 64 ? OfWidth<4>(call) : width == 128 && OfWidth<8>(call)) {
    return ffi::Error::Success();
  }
  return ffi::Error::InvalidArgument("attention of this width or type is not built");
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(kAttention, Attention,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::BufferR1<ffi::S32>>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Attr<int64_t>("layer"));
