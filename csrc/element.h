// One element of a tensor as a double, on the CPU and on CUDA.
#pragma once

#include <cmath>

#include "half.h"
#include "plain_team.h"
#include "tensor.h"

namespace puzzlemix {

PUZZLEMIX_HD inline float widen(float x) { return x; }
PUZZLEMIX_HD inline double widen(double x) { return x; }

PUZZLEMIX_HD inline double as_double(Half x) { return widen(x); }
PUZZLEMIX_HD inline double as_double(BFloat16 x) { return widen(x); }
template <typename T>
PUZZLEMIX_HD double as_double(T x) {
  return static_cast<double>(x);
}

// Calls f with a value of the C++ type that a dtype stands for; with_float_type knows no integers.
template <typename F>
PUZZLEMIX_HD auto with_float_type(Dtype dtype, const F& f) {
  switch (dtype) {
    case Dtype::float16:
      return f(Half{});
    case Dtype::bfloat16:
      return f(BFloat16{});
    case Dtype::float32:
      return f(float{});
    default:
      return f(double{});
  }
}
template <typename F>
PUZZLEMIX_HD auto with_type(Dtype dtype, const F& f) {
  switch (dtype) {
    case Dtype::int32:
      return f(int32_t{});
    case Dtype::int64:
      return f(int64_t{});
    default:
      return with_float_type(dtype, f);
  }
}

PUZZLEMIX_HD inline double element(const Array& array, int64_t i) {
  return with_type(array.dtype, [&](auto zero) {
    return as_double(static_cast<const decltype(zero)*>(array.data)[i]);
  });
}

// The elements of an array as doubles, counted from a given one: TypedElements where the type is
// known at compile time, AnyElements where each access looks it up.
template <typename T>
struct TypedElements {
  PUZZLEMIX_HD double operator[](int64_t i) const { return as_double(data[i]); }
  const T* data;
};
struct AnyElements {
  PUZZLEMIX_HD double operator[](int64_t i) const { return element(array, first + i); }
  Array array;
  int64_t first;
};

// Calls body with the elements from `first` on. On the CPU body is compiled for each type, so that
// its loops vectorise; on a device, which waits for memory anyway, each access looks the type up.
template <typename Team, typename Body>
PUZZLEMIX_HD void with_elements(const Array& array, int64_t first, const Body& body) {
  if constexpr (Team::kChecked) {
    with_type(array.dtype, [&](auto zero) {
      using T = decltype(zero);
      body(TypedElements<T>{static_cast<const T*>(array.data) + first});
    });
  } else {
    body(AnyElements{array, first});
  }
}

// Elements [first, first + count) as doubles, which hold all of them exactly (int64 up to 2^53).
PUZZLEMIX_HD inline void load(const Array& array, int64_t first, int64_t count, double* out) {
  with_elements<PlainTeam>(array, first, [=](const auto& in) {
    for (int64_t i = 0; i < count; ++i) out[i] = in[i];
  });
}

// An element of an array that is unchecked, as on CUDA: what is not finite counts as 0.
PUZZLEMIX_HD inline double finite_element(const Array& array, int64_t i) {
  const double x = element(array, i);
  return x - x == 0 ? x : 0;
}
// An unchecked cost, where +infinity forbids a pair: -infinity and NaN count as 0.
PUZZLEMIX_HD inline double forbidding_element(const Array& array, int64_t i) {
  const double x = element(array, i);
  return x - x == 0 || x == HUGE_VAL ? x : 0;
}
// An unchecked capacity: what is negative or not finite counts as 0.
PUZZLEMIX_HD inline double capacity_element(const Array& array, int64_t i) {
  const double x = finite_element(array, i);
  return x > 0 ? x : 0;
}

// Whether all of n numbers are finite: x * 0 is 0 for these and NaN for others. On the CPU adding
// up takes a third of the time of comparing, whose results are bools that don't vectorise with
// doubles.
template <typename Team>
PUZZLEMIX_HD bool all_finite(Team& team, int n, const double* values) {
  return team.reduce(n, 0.0, [=](int i) { return values[i] * 0.0; }, Sum()) == 0;
}

}  // namespace puzzlemix
