#include "dispatch.h"
#include "mix/labels.h"
#include "mix/mix.h"

namespace puzzlemix {

namespace py = pybind11;

namespace {

MixLayout layout(int dtype, uintptr_t mask, int64_t mask_step, int64_t mask_rows, int64_t mask_cols,
                 uintptr_t source1, int64_t rows1, int64_t cols1, uintptr_t source2, int64_t rows2,
                 int64_t cols2, uintptr_t partner, int64_t batch, int64_t others, int64_t channels,
                 int64_t height, int64_t width, bool trusted) {
  MixLayout l;
  l.dtype = static_cast<Dtype>(dtype);
  l.mask = pointer<const void>(mask), l.mask_step = mask_step;
  l.mask_grid = {mask_rows, mask_cols};
  l.map1 = {pointer<const int64_t>(source1), {rows1, cols1}};
  l.map2 = {pointer<const int64_t>(source2), {rows2, cols2}};
  l.partner = pointer<const int64_t>(partner);
  l.batch = batch, l.others = others;
  l.channels = channels, l.height = height, l.width = width;
  l.trusted = trusted;
  return l;
}

struct MixCall {
  MixProblem problem;

  Status run(int threads) const { return mix_cpu(problem, threads); }
};

struct MixGradCall {
  MixGradProblem problem;

  Status run(int threads) const { return mix_grad_cpu(problem, threads); }
};

MixCall mix_call(int dtype, uintptr_t mask, int64_t mask_step, int64_t mask_rows, int64_t mask_cols,
                 uintptr_t source1, int64_t rows1, int64_t cols1, uintptr_t source2, int64_t rows2,
                 int64_t cols2, uintptr_t partner, int64_t batch, int64_t others, int64_t channels,
                 int64_t height, int64_t width, bool trusted, uintptr_t x1, uintptr_t x2,
                 uintptr_t out) {
  return {{layout(dtype, mask, mask_step, mask_rows, mask_cols, source1, rows1, cols1, source2,
                  rows2, cols2, partner, batch, others, channels, height, width, trusted),
           pointer<const void>(x1), pointer<const void>(x2), pointer<void>(out)}};
}

MixGradCall mix_grad_call(int dtype, uintptr_t mask, int64_t mask_step, int64_t mask_rows,
                          int64_t mask_cols, uintptr_t source1, int64_t rows1, int64_t cols1,
                          uintptr_t source2, int64_t rows2, int64_t cols2, uintptr_t partner,
                          int64_t batch, int64_t others, int64_t channels, int64_t height,
                          int64_t width, bool trusted, uintptr_t grad, uintptr_t x1, uintptr_t x2,
                          uintptr_t grad1, uintptr_t grad2, uintptr_t grad_mask,
                          uintptr_t inverse) {
  return {{layout(dtype, mask, mask_step, mask_rows, mask_cols, source1, rows1, cols1, source2,
                  rows2, cols2, partner, batch, others, channels, height, width, trusted),
           pointer<const void>(grad), pointer<const void>(x1), pointer<const void>(x2),
           pointer<void>(grad1), pointer<void>(grad2), pointer<double>(grad_mask),
           pointer<int64_t>(inverse)}};
}

int64_t device_bytes(const MixCall&) { return 0; }
int64_t device_bytes(const MixGradCall&) { return 0; }

#ifdef PUZZLEMIX_HAS_CUDA
Status enqueue(const MixCall& call, char*, void* stream, int& code) {
  code = mix_cuda(call.problem, stream);
  return {};
}

Status enqueue(const MixGradCall& call, char*, void* stream, int& code) {
  code = mix_grad_cuda(call.problem, stream);
  return {};
}
#endif

// The fields of the layout and more.
template <typename Call, typename... Fields, typename... Names>
void bind_mixture(py::module_& module, const char* name, Call (*make)(Fields...),
                  const Names&... more) {
  using py::arg;
  py::module_ entries = module.def_submodule(name);
  const auto named = [&](const auto&... names) {
    bind_cpu(entries, make, names...);
    bind_cuda(entries, make, names...);
  };
  named(arg("dtype"), arg("mask"), arg("mask_step"), arg("mask_rows"), arg("mask_cols"),
        arg("source1"), arg("rows1"), arg("cols1"), arg("source2"), arg("rows2"), arg("cols2"),
        arg("partner"), arg("batch"), arg("others"), arg("channels"), arg("height"), arg("width"),
        arg("trusted"), more...);
}

}  // namespace

void bind_mix(py::module_& module) {
  using py::arg;
  bind_mixture(module, "mix", &mix_call, arg("x1"), arg("x2"), arg("out"));
  bind_mixture(module, "mix_grad", &mix_grad_call, arg("grad"), arg("x1"), arg("x2"), arg("grad1"),
               arg("grad2"), arg("grad_mask"), arg("inverse"));
  module.def("check_labels", [](uintptr_t labels, int64_t batch, int64_t classes) {
    return outcome(check_labels(pointer<const int64_t>(labels), batch, classes));
  });
  module.def(
      "mix_labels",
      [](uintptr_t labels, uintptr_t others, uintptr_t ratio, uintptr_t partner, uintptr_t out,
         int64_t batch, int64_t count, int64_t classes) {
        return outcome(mix_labels({pointer<const int64_t>(labels), pointer<const int64_t>(others),
                                   pointer<const float>(ratio), pointer<const int64_t>(partner),
                                   pointer<float>(out), batch, count, classes}));
      },
      py::kw_only(), arg("labels"), arg("others"), arg("ratio"), arg("partner"), arg("out"),
      arg("batch"), arg("count"), arg("classes"));
}

}  // namespace puzzlemix
