// y = x @ w for x [m, k] in float, and w in 8 bits with a scale for each of n outputs.
//
// At a few rows the weights' way from memory is what takes time: they lie in the order in which
// they are read (int8.pack: [n / 16, k / 4, 16, 4], 128 added), and threads share them. Rows of x
// are rounded to 8 bits as int8.rounded does it, and sums are exact: the results are XLA's.
#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#include "numbers.h"
#include "threads.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

constexpr int64_t kLanes = 16;         // outputs of a block: sums in a register
constexpr int64_t kAhead = 2048;       // bytes of a block that are asked for early
constexpr int64_t kPart = 64 << 10;    // bytes of weights that a thread takes at a time
constexpr int64_t kShared = 512 << 10;  // bytes from which on waking other threads pays

// Rows in 8 bits, their scales, and what the 128 added to weights adds to each sum.
struct Rows {
  std::vector<int8_t> values;
  std::vector<float> scales;
  std::vector<int32_t> excess;
};

template <typename T>
Rows Rounded(const T* x, int64_t m, int64_t k) {
  Rows rows{std::vector<int8_t>(m * k), std::vector<float>(m), std::vector<int32_t>(m)};
  for (int64_t row = 0; row < m; ++row, x += k) {
    __m512 top = _mm512_setzero_ps();
    for (int64_t i = 0; i < k; i += kLanes) top = _mm512_max_ps(top, _mm512_abs_ps(Load(x + i)));
    const float scale = std::max(_mm512_reduce_max_ps(top), 1e-30f) / 127;
    __m512i sum = _mm512_setzero_si512();
    for (int64_t i = 0; i < k; i += kLanes) {
      const __m512i value = _mm512_cvtps_epi32(_mm512_div_ps(Load(x + i), _mm512_set1_ps(scale)));
      sum = _mm512_add_epi32(sum, value);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(&rows.values[row * k + i]),
                       _mm512_cvtsepi32_epi8(value));
    }
    rows.scales[row] = scale;
    rows.excess[row] = 128 * _mm512_reduce_add_epi32(sum);
  }
  return rows;
}

// T: of the results, float or bfloat16.
template <typename T>
struct Product {
  Rows x;
  const uint8_t* w;
  const float* scales;
  T* y;
  int64_t n, k;
};

// kRows rows from `row` on, times kBlocks blocks of outputs from `block` on.
template <int kRows, int kBlocks, typename T>
void Tile(const Product<T>& p, int64_t row, int64_t block) {
  __m512i sums[kBlocks][kRows] = {};
  const int8_t* x = &p.x.values[row * p.k];
  const uint8_t* w = p.w + block * kLanes * p.k;
  for (int64_t i = 0; i < p.k; i += 4) {
    for (int b = 0; b < kBlocks; ++b) {
      const uint8_t* here = w + (b * p.k + i) * kLanes;
      _mm_prefetch(reinterpret_cast<const char*>(here + kAhead), _MM_HINT_T0);
      const __m512i weights = _mm512_loadu_si512(here);
      for (int r = 0; r < kRows; ++r) {
        int32_t four;
        std::memcpy(&four, x + r * p.k + i, 4);
        sums[b][r] = _mm512_dpbusd_epi32(sums[b][r], weights, _mm512_set1_epi32(four));
      }
    }
  }
  for (int b = 0; b < kBlocks; ++b) {
    const int64_t output = (block + b) * kLanes;
    for (int r = 0; r < kRows; ++r) {
      const __m512i sum = _mm512_sub_epi32(sums[b][r], _mm512_set1_epi32(p.x.excess[row + r]));
      const __m512 of_row = _mm512_mul_ps(_mm512_cvtepi32_ps(sum),
                                          _mm512_set1_ps(p.x.scales[row + r]));
      Store(_mm512_mul_ps(of_row, _mm512_loadu_ps(p.scales + output)),
            p.y + (row + r) * p.n + output);
    }
  }
}

template <int kRows, typename T>
void Tiles(const Product<T>& p, int64_t row, int64_t block, int64_t end) {
  constexpr int kBlocks = 8 / kRows;  // so many sums at a time hide how long one takes
  for (; block + kBlocks <= end; block += kBlocks) Tile<kRows, kBlocks>(p, row, block);
  for (; block < end; ++block) Tile<kRows, 1>(p, row, block);
}

template <typename T>
void Blocks(const Product<T>& p, int64_t block, int64_t end) {
  const int64_t m = p.x.scales.size();
  int64_t row = 0;
  for (; row + 8 <= m; row += 8) Tiles<8>(p, row, block, end);
  if (m - row >= 4) Tiles<4>(p, row, block, end), row += 4;
  if (m - row >= 2) Tiles<2>(p, row, block, end), row += 2;
  if (m - row >= 1) Tiles<1>(p, row, block, end);
}

using Packed = ffi::BufferR4<ffi::U8>;
using Scales = ffi::BufferR1<ffi::F32>;

template <typename T>
void All(ffi::ThreadPool& pool, const Product<T>& product) {
  const int64_t blocks = product.n / kLanes, bytes = product.n * product.k;
  const int64_t part = bytes < kShared ? blocks
                                       : std::max<int64_t>(1, kPart / (kLanes * product.k));
  Share(pool, (blocks + part - 1) / part, [&](int64_t i) {
    Blocks(product, i * part, std::min(blocks, (i + 1) * part));
  });
}

ffi::Error Int8Product(ffi::ThreadPool pool, ffi::AnyBuffer x, Packed w, Scales scales,
                       ffi::Result<ffi::AnyBuffer> y) {
  const int64_t n = w.dimensions()[0] * kLanes, k = w.dimensions()[1] * 4;
  const int64_t m = x.element_count() / k;
  if (k % kLanes) return ffi::Error::InvalidArgument("the input's width must divide by 16");
  Rows rows = x.element_type() == ffi::BF16
                  ? Rounded(static_cast<const uint16_t*>(x.untyped_data()), m, k)
                  : Rounded(static_cast<const float*>(x.untyped_data()), m, k);
  const auto with = [&](auto* results) {
    All(pool, Product<std::remove_pointer_t<decltype(results)>>{
                  std::move(rows), w.typed_data(), scales.typed_data(), results, n, k});
  };
  if (y->element_type() == ffi::BF16) {
    with(static_cast<uint16_t*>(y->untyped_data()));
  } else {
    with(static_cast<float*>(y->untyped_data()));
  }
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(kInt8Product, Int8Product,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<Packed>()
                                  .Arg<Scales>()
                                  .Ret<ffi::AnyBuffer>());
