// One element of a tensor as a double, on the CPU and on CUDA.
#pragma once

#include "half.h"
#include "tensor.h"

namespace puzzlemix {

PUZZLEMIX_HD inline double as_double(Half x) { return widen(x); }
PUZZLEMIX_HD inline double as_double(BFloat16 x) { return widen(x); }
template <typename T>
PUZZLEMIX_HD double as_double(T x) {
  return static_cast<double>(x);
}

PUZZLEMIX_HD inline double element(const Array& array, int64_t i) {
  switch (array.dtype) {
    case Dtype::float16:
      return as_double(static_cast<const Half*>(array.data)[i]);
    case Dtype::bfloat16:
      return as_double(static_cast<const BFloat16*>(array.data)[i]);
    case Dtype::float32:
      return as_double(static_cast<const float*>(array.data)[i]);
    case Dtype::float64:
      return static_cast<const double*>(array.data)[i];
    case Dtype::int32:
      return as_double(static_cast<const int32_t*>(array.data)[i]);
    default:
      return as_double(static_cast<const int64_t*>(array.data)[i]);
  }
}

// On CUDA nobody looks at the values first: what is not finite, and what is negative where that is
// forbidden, counts as 0.
PUZZLEMIX_HD inline double finite_element(const Array& array, int64_t i) {
  const double x = element(array, i);
  return x - x == 0 ? x : 0;
}
PUZZLEMIX_HD inline double capacity_element(const Array& array, int64_t i) {
  const double x = finite_element(array, i);
  return x > 0 ? x : 0;
}

}  // namespace puzzlemix
