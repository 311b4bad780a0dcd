#include "tensor.h"

#include "element.h"

namespace puzzlemix {
namespace {

template <typename T>
void load_typed(const void* data, int64_t offset, int64_t count, double* out) {
  const T* in = static_cast<const T*>(data) + offset;
  for (int64_t i = 0; i < count; ++i) out[i] = as_double(in[i]);
}

}  // namespace

void load(const Array& array, int64_t offset, int64_t count, double* out) {
  switch (array.dtype) {
    case Dtype::float16:
      return load_typed<Half>(array.data, offset, count, out);
    case Dtype::bfloat16:
      return load_typed<BFloat16>(array.data, offset, count, out);
    case Dtype::float32:
      return load_typed<float>(array.data, offset, count, out);
    case Dtype::float64:
      return load_typed<double>(array.data, offset, count, out);
    case Dtype::int32:
      return load_typed<int32_t>(array.data, offset, count, out);
    case Dtype::int64:
      return load_typed<int64_t>(array.data, offset, count, out);
  }
}

}  // namespace puzzlemix
