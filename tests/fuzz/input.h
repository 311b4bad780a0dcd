// Turns the fuzzer's bytes into sizes, and into arrays of any type with values of every kind.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

#include "element.h"
#include "half.h"
#include "tensor.h"

// Aborts if a check fails, upon which the fuzzer keeps the input.
#define EXPECT(condition)                                                           \
  do {                                                                              \
    if (!(condition)) {                                                             \
      std::fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                 \
    }                                                                               \
  } while (false)

namespace puzzlemix {

constexpr Dtype kFloats[] = {Dtype::float64, Dtype::float32, Dtype::float16, Dtype::bfloat16};

inline int size_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::float16:
    case Dtype::bfloat16:
      return 2;
    case Dtype::float32:
    case Dtype::int32:
      return 4;
    default:
      return 8;
  }
}

// Elements in memory of exactly their size, so that sanitizers detect any access beyond it.
class Values {
 public:
  Values(Dtype dtype, int64_t count)
      : dtype_(dtype), bytes_(static_cast<size_t>(count * size_of(dtype))) {
    bytes_.shrink_to_fit();
  }

  Array array() const { return {bytes_.data(), dtype_}; }
  const void* data() const { return bytes_.data(); }
  void* data() { return bytes_.data(); }
  double operator[](int64_t i) const { return element(array(), i); }

  void set(int64_t i, double x) {
    switch (dtype_) {
      case Dtype::float16:
        return put(i, narrow_half(static_cast<float>(x)));
      case Dtype::bfloat16:
        return put(i, narrow_bfloat16(static_cast<float>(x)));
      case Dtype::float32:
        return put(i, static_cast<float>(x));
      case Dtype::float64:
        return put(i, x);
      default:
        return put(i, static_cast<int32_t>(x));
    }
  }
  void set_bits(int64_t i, uint64_t bits) {
    std::memcpy(bytes_.data() + i * size_of(dtype_), &bits, size_of(dtype_));
  }

 private:
  template <typename T>
  void put(int64_t i, T x) {
    std::memcpy(bytes_.data() + i * sizeof x, &x, sizeof x);
  }

  Dtype dtype_;
  std::vector<char> bytes_;
};

class Input {
 public:
  Input(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}

  // A number from least to most. After the last byte numbers are derived from earlier ones.
  int64_t range(int64_t least, int64_t most) {
    return least + static_cast<int64_t>(next() % static_cast<uint64_t>(most - least + 1));
  }
  bool chance(int in) { return range(0, in - 1) == 0; }
  // A number that is small most of the time.
  int side(int small, int large) {
    return static_cast<int>(chance(64) ? range(1, large) : range(1, small));
  }
  uint64_t bits() { return next() ^ next() << 16 ^ next() << 32 ^ next() << 48; }

  enum Range { any, capacities, shares };  // which values are allowed; a few others occur

  // Bytes choose the kind of an array and some of its values; the others are derived from these.
  Values values(Dtype dtype, int64_t count, Range allowed) {
    Values made(dtype, count);
    const bool integers = dtype == Dtype::int32;
    const int kind = static_cast<int>(range(0, 5));
    const int64_t largest = integers ? int64_t{1} << range(0, 24) : 8;
    const double unit = integers ? 1 : std::ldexp(1.0, static_cast<int>(range(-40, 40)));
    for (int64_t i = 0; i < count; ++i) {
      double x = 0;
      switch (kind) {
        case 0:
          x = static_cast<double>(mixed() % 4);
          break;
        case 1:
          x = integers ? static_cast<double>(mixed() % largest) : fraction();
          break;
        case 2:
          x = unit * (integers ? static_cast<double>(mixed() % largest) : fraction());
          break;
        case 3:
          x = mixed() % 4 ? 0 : unit * static_cast<double>(mixed() % 8);
          break;
        case 4:
          x = integers ? static_cast<double>(mixed() % 16)
                       : std::ldexp(fraction(), static_cast<int>(mixed() % 64) - 32);
          break;
        default:
          x = 1;
      }
      if (allowed == shares) x = std::fabs(x) > 1 ? 1 / std::fabs(x) : x;
      if (allowed == any && mixed() % 2) x = -x;
      made.set(i, x);
    }
    if (count > 0 && chance(4)) {
      for (int64_t k = range(0, 3); k >= 0; --k) spoil(made, range(0, count - 1), integers);
    }
    return made;
  }

  // A permutation for each sample; rarely other indices.
  std::vector<int64_t> permutations(int64_t batch, int64_t n, bool spoiled) {
    std::vector<int64_t> source(batch * n);
    for (int64_t b = 0; b < batch; ++b) {
      for (int64_t i = 0; i < n; ++i) {
        const int64_t j = static_cast<int64_t>(mixed() % static_cast<uint64_t>(i + 1));
        source[b * n + i] = source[b * n + j];
        source[b * n + j] = i;
      }
    }
    if (spoiled && batch * n > 0) {
      source[range(0, batch * n - 1)] = chance(2) ? static_cast<int64_t>(bits()) : range(-1, n);
    }
    return source;
  }

 private:
  void spoil(Values& values, int64_t i, bool integers) {
    if (integers) {
      constexpr double kOdd[] = {2147483647.0, -2147483648.0, -1, 1073741824.0};
      return values.set(i, kOdd[range(0, 3)]);
    }
    constexpr double kInf = std::numeric_limits<double>::infinity();
    constexpr double kOdd[] = {kInf,   -kInf,  -0.0,   -1,     1e300, 1.7976931348623157e308,
                               -1e300, 5e-324, 1e-310, 6.1e-5, 1e30,  2};
    const int64_t which = range(0, 13);
    if (which == 12) return values.set_bits(i, bits());
    values.set(i, which == 13 ? std::numeric_limits<double>::quiet_NaN() : kOdd[which]);
  }

  uint64_t next() {
    if (at_ == end_) return mixed();
    uint64_t two = *at_++;
    if (at_ != end_) two |= uint64_t{*at_++} << 8;
    state_ = (state_ ^ two) * 0x9e3779b97f4a7c15u;
    return two;
  }
  uint64_t mixed() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return state_ >> 33;
  }
  double fraction() { return std::ldexp(static_cast<double>(mixed() % (1 << 20)), -20); }

  const uint8_t* at_;
  const uint8_t* const end_;
  uint64_t state_ = 1;
};

// Whether all values are numbers that the contract allows, and so small that no sum of them is
// infinite.
inline bool plain(const Values& values, int64_t count, double least, double most = 1e290) {
  for (int64_t i = 0; i < count; ++i) {
    if (!(values[i] >= least && values[i] <= most)) return false;
  }
  return true;
}

inline double largest(const Values& values, int64_t count) {
  double most = 0;
  for (int64_t i = 0; i < count; ++i) most = std::fmax(most, std::fabs(values[i]));
  return most;
}

inline bool is_permutation(const int64_t* source, int64_t n) {
  std::vector<char> seen(n);
  for (int64_t j = 0; j < n; ++j) {
    if (source[j] < 0 || source[j] >= n || seen[source[j]]) return false;
    seen[source[j]] = 1;
  }
  return true;
}

}  // namespace puzzlemix
