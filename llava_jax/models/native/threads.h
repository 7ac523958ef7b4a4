// Work of one call on several threads.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

#include "xla/ffi/api/ffi.h"

// Runs work(0) to work(parts - 1) on this thread and on those of the pool that come in time. One of
// the pool may come late, or be waiting in a call of its own: then this one does it all.
template <typename Work>
void Share(xla::ffi::ThreadPool& pool, int64_t parts, const Work& work) {
  struct State {
    std::atomic<int64_t> next{0}, done{0};
  };
  const auto state = std::make_shared<State>();
  const auto take = [state, parts, &work] {
    for (int64_t i; (i = state->next.fetch_add(1)) < parts; state->done.fetch_add(1)) work(i);
  };
  for (int64_t i = 1; i < std::min(pool.num_threads(), parts); ++i) pool.Schedule([take] { take(); });
  take();
  for (int turn = 0; state->done.load() < parts; ++turn) {
    turn < 1000 ? _mm_pause() : std::this_thread::yield();
  }
}
