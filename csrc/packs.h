// Vectors of 16 bytes, for loops that compilers don't vectorise by themselves.
//
// Spelt out in the extension that GCC and Clang share; other compilers get arrays.
#pragma once

#include <cstring>

namespace puzzlemix {

template <typename T>
constexpr int kPacked = 16 / static_cast<int>(sizeof(T));

// Of two numbers, or of two vectors entry by entry.
template <typename T>
inline T least(T a, T b) {
  return a < b ? a : b;
}
template <typename T>
inline T most(T a, T b) {
  return a > b ? a : b;
}

#if defined(__GNUC__)
template <typename T>
using Pack [[gnu::vector_size(16)]] = T;

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

}  // namespace puzzlemix
