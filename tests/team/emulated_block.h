// CUDA's thread block on the host, to run the code of BlockTeam and its lanes (team.h, lanes.h)
// without a GPU. To be included before these.
//
// Each thread is a fiber. A fiber runs until it has to wait for others, at a barrier or a shuffle,
// and then one of those that can go on does, drawn at random, with one warp behind the others. So
// what holds for one order of threads only is soon wrong, and threads that wait for each other in
// vain are found at once.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#define __CUDACC__
#define __host__
#define __device__
#define __forceinline__ inline
#define PUZZLEMIX_EMULATED_BLOCK

namespace emulated {

class Block {
 public:
  Block(int threads, uint64_t seed, std::function<void()> code)
      : threads_(threads), code_(std::move(code)), random_(seed), passed_(threads) {}

  void run() {
    current() = this;
    for (int k = 0; k < threads_; ++k) {
      fibers_.push_back(std::make_unique<Fiber>());
      Fiber& fiber = *fibers_.back();
      getcontext(&fiber.start);
      fiber.start.uc_stack = {fiber.stack.data(), 0, fiber.stack.size()};
      makecontext(&fiber.start, &Block::start, 0);
      ready_.push_back(k);
    }
    while (!ready_.empty()) {
      draw();
      thread_ = ready_.back();
      ready_.pop_back();
      Fiber& fiber = *fibers_[thread_];
      if (_setjmp(scheduler_) != 0) continue;
      if (std::exchange(fiber.started, true)) _longjmp(fiber.waits, 1);
      setcontext(&fiber.start);
    }
    if (ended_ < threads_) {
      std::printf("%d of %d threads wait for ever\n", threads_ - ended_, threads_);
      std::abort();
    }
  }

  static Block*& current() {
    static Block* block = nullptr;
    return block;
  }
  unsigned thread() const { return thread_; }
  unsigned threads() const { return threads_; }

  // Waits for `threads` threads to come to the barrier; returns the sum of their values.
  uint32_t meet(int barrier, int threads, uint32_t value) {
    Barrier& at = barriers_[barrier];
    at.sum += value;
    at.waiting.push_back(thread_);
    if (static_cast<int>(at.waiting.size()) == threads) {
      at.result = std::exchange(at.sum, 0);
      ready_.insert(ready_.end(), at.waiting.begin(), at.waiting.end());
      at.waiting.clear();
    }
    if (_setjmp(fibers_[thread_]->waits) == 0) _longjmp(scheduler_, 1);
    return barriers_[barrier].result;
  }

  // The value that lane `from` of this thread's warp passes.
  template <typename T>
  T shuffle(T value, int from) {
    static_assert(sizeof(T) <= sizeof(uint64_t), "a word");
    const int warp = thread_ / 32, barrier = -1 - warp;
    *reinterpret_cast<T*>(&passed_[thread_]) = value;
    meet(barrier, 32, 0);
    const T result = *reinterpret_cast<T*>(&passed_[warp * 32 + from]);
    meet(barrier, 32, 0);
    return result;
  }
  uint32_t vote(bool value) {
    return meet(-1 - static_cast<int>(thread_ / 32), 32, uint32_t{value} << thread_ % 32);
  }

 private:
  struct Fiber {
    ucontext_t start;
    jmp_buf waits;
    bool started = false;
    std::vector<char> stack = std::vector<char>(1 << 16);
  };
  struct Barrier {
    std::vector<int> waiting;
    uint32_t sum = 0, result = 0;
  };

  // Draws the thread that goes on, ready_.back(). Those of one warp, now this one and now that, are
  // left behind by the others.
  void draw() {
    if (random_() % 256 == 0) slow_warp_ = random_() % (threads_ / 32);
    for (int tries = 0; tries < 16; ++tries) {
      std::swap(ready_[random_() % ready_.size()], ready_.back());
      if (ready_.back() / 32 != slow_warp_) break;
    }
  }

  static void start() {
    Block& block = *current();
    block.code_();
    ++block.ended_;
    _longjmp(block.scheduler_, 1);
  }

  const int threads_;
  const std::function<void()> code_;
  std::minstd_rand random_;
  std::vector<uint64_t> passed_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<int> ready_;
  std::map<int, Barrier> barriers_;
  jmp_buf scheduler_;
  unsigned thread_ = 0;
  int slow_warp_ = 0, ended_ = 0;
};

struct Index {
  unsigned x;
};

}  // namespace emulated

#define threadIdx (emulated::Index{emulated::Block::current()->thread()})
#define blockDim (emulated::Index{emulated::Block::current()->threads()})

inline int max(int a, int b) { return a > b ? a : b; }
inline int min(int a, int b) { return a < b ? a : b; }
inline uint32_t __funnelshift_l(uint32_t low, uint32_t high, int by) {
  return high << by | low >> (32 - by);
}
inline int __viaddmin_s32_relu(int a, int b, int c) {
  return max(min(static_cast<int>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b)), c), 0);
}
inline unsigned long long atomicMin(unsigned long long* at, unsigned long long value) {
  const unsigned long long before = *at;
  if (value < before) *at = value;
  return before;
}
inline int atomicAdd(int* at, int value) { return std::exchange(*at, *at + value); }

inline void __syncthreads() {
  auto* const block = emulated::Block::current();
  block->meet(0, block->threads(), 0);
}
inline int __syncthreads_or(int x) {
  auto* const block = emulated::Block::current();
  return block->meet(0, block->threads(), x != 0) != 0;
}
template <typename T>
T __shfl_sync(unsigned, T x, int lane) {
  return emulated::Block::current()->shuffle(x, lane & 31);
}
template <typename T>
T __shfl_xor_sync(unsigned all, T x, int apart) {
  return __shfl_sync(all, x, static_cast<int>(threadIdx.x % 32) ^ apart);
}
template <typename T>
T __shfl_up_sync(unsigned all, T x, int by) {
  const int lane = threadIdx.x % 32;
  return __shfl_sync(all, x, lane < by ? lane : lane - by);
}
template <typename T>
T __shfl_down_sync(unsigned all, T x, int by) {
  const int lane = threadIdx.x % 32;
  return __shfl_sync(all, x, lane + by > 31 ? lane : lane + by);
}
inline unsigned __ballot_sync(unsigned, bool x) { return emulated::Block::current()->vote(x); }
inline bool __any_sync(unsigned all, bool x) { return __ballot_sync(all, x) != 0; }

// The functions of ptx.h.
namespace puzzlemix::ptx {

template <typename T>
T load_shared(const T* p, int at) {
  return p[at];
}
template <typename T>
void store_shared(T* p, int at, T x) {
  p[at] = x;
}
template <int kBarrier, int threads>
uint32_t meet_count(bool x) {
  return emulated::Block::current()->meet(kBarrier, threads, x);
}
template <int kBarrier, int threads>
void meet() {
  meet_count<kBarrier, threads>(false);
}

}  // namespace puzzlemix::ptx
