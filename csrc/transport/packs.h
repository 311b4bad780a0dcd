// Minima of long rows, in vectors of 16 bytes.
//
// No minimum of floats is vectorised by GCC itself, which keeps to what the scalar one does with
// NaN and with zeros of both signs; so vectors are spelt out in the extension that GCC and Clang
// share. Other compilers get arrays.
#pragma once

#include <cstring>
#include <limits>

namespace puzzlemix {

template <typename T>
constexpr int kPacked = 16 / static_cast<int>(sizeof(T));

#if defined(__GNUC__)
template <typename T>
using Pack [[gnu::vector_size(16)]] = T;

template <typename T>
inline T least(T a, T b) {
  return a < b ? a : b;
}
template <typename T>
inline T most(T a, T b) {
  return a > b ? a : b;
}
#else
template <typename T>
struct Pack {
  T& operator[](int l) { return at[l]; }
  T operator[](int l) const { return at[l]; }
  T at[kPacked<T>];
};

template <typename T, typename Operation>
inline Pack<T> each(const Pack<T>& a, const Pack<T>& b, const Operation& operation) {
  Pack<T> out;
  for (int l = 0; l < kPacked<T>; ++l) out[l] = operation(a[l], b[l]);
  return out;
}
template <typename T>
inline Pack<T> operator+(const Pack<T>& a, const Pack<T>& b) {
  return each(a, b, [](T x, T y) { return x + y; });
}
template <typename T>
inline Pack<T> operator-(const Pack<T>& a, const Pack<T>& b) {
  return each(a, b, [](T x, T y) { return x - y; });
}
template <typename T>
inline Pack<T> operator*(const Pack<T>& a, const Pack<T>& b) {
  return each(a, b, [](T x, T y) { return x * y; });
}
template <typename T>
inline Pack<T> least(const Pack<T>& a, const Pack<T>& b) {
  return each(a, b, [](T x, T y) { return x < y ? x : y; });
}
template <typename T>
inline Pack<T> most(const Pack<T>& a, const Pack<T>& b) {
  return each(a, b, [](T x, T y) { return x > y ? x : y; });
}
#endif

template <typename T>
inline Pack<T> pack(const T* from) {
  Pack<T> x;
  std::memcpy(&x, from, sizeof x);
  return x;
}
template <typename T>
inline Pack<T> pack_of(T value) {
  Pack<T> x;
  for (int l = 0; l < kPacked<T>; ++l) x[l] = value;
  return x;
}
template <typename P, typename T>
inline void unpack(const P& x, T* to) {
  std::memcpy(to, &x, sizeof x);
}

// kCount partial minima of a row: lane l has that of the entries l, l + kCount, and so on. They are
// found in one pass without a branch, and the lane that holds the row's minimum says which entries
// to search for its index.
template <int kCount>
struct Lanes {
  double minimum() const {
    double rest[kCount];
    for (int l = 0; l < kCount; ++l) rest[l] = least[l];
    for (int half = kCount / 2; half > 0; half /= 2) {
      for (int l = 0; l < half; ++l) rest[l] = rest[l + half] < rest[l] ? rest[l + half] : rest[l];
    }
    return rest[0];
  }

  // The index of an entry with this value: the first one of the first lane that has it.
  template <typename Value>
  int find(double value, const Value& at) const {
    int j = 0;
    while (least[j] != value) ++j;
    while (at(j) != value) j += kCount;
    return j;
  }

  double least[kCount];
};

// Rows are padded with infinity to whole lanes.
constexpr int kMostLanes = 16;
inline int padded_to_lanes(int n) { return (n + kMostLanes - 1) / kMostLanes * kMostLanes; }

// The lane minima of a row; value(j) returns the vector of its entries j and j + 1. NaNs are
// ignored.
template <int kCount, typename Value>
inline Lanes<kCount> lane_minima(int padded, const Value& value) {
  constexpr int kPacks = kCount / kPacked<double>;
  Pack<double> minima[kPacks];
  for (auto& x : minima) x = pack_of(std::numeric_limits<double>::infinity());
  for (int j = 0; j < padded; j += kCount) {
    for (int k = 0; k < kPacks; ++k) {
      minima[k] = least(value(j + k * kPacked<double>), minima[k]);
    }
  }
  Lanes<kCount> lanes;
  for (int k = 0; k < kPacks; ++k) unpack(minima[k], lanes.least + k * kPacked<double>);
  return lanes;
}

}  // namespace puzzlemix
