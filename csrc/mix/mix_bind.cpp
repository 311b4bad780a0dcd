#include "dispatch.h"
#include "mix/labels.h"
#include "mix/mix.h"

namespace puzzlemix {

namespace py = pybind11;

namespace {

struct MixCall {
  MixProblem problem;

  Status run(int threads) const { return mix_cpu(problem, threads); }
};

MixCall mix_call(int dtype, uintptr_t mask, int64_t mask_stride, int64_t mask_rows,
                 int64_t mask_cols, uintptr_t source1, int64_t rows1, int64_t cols1,
                 uintptr_t source2, int64_t rows2, int64_t cols2, uintptr_t partner, int64_t batch,
                 int64_t others, int64_t channels, int64_t height, int64_t width, bool trusted,
                 uintptr_t x1, uintptr_t x2, uintptr_t out) {
  MixProblem p;
  p.dtype = static_cast<Dtype>(dtype);
  p.mask = pointer<const void>(mask), p.mask_stride = mask_stride;
  p.mask_grid = {mask_rows, mask_cols};
  p.map1 = {pointer<const int64_t>(source1), {rows1, cols1}};
  p.map2 = {pointer<const int64_t>(source2), {rows2, cols2}};
  p.partner = pointer<const int64_t>(partner);
  p.batch = batch, p.others = others;
  p.channels = channels, p.height = height, p.width = width;
  p.trusted = trusted;
  p.x1 = pointer<const void>(x1), p.x2 = pointer<const void>(x2), p.out = pointer<void>(out);
  return {p};
}

int64_t device_bytes(const MixCall&) { return 0; }

#ifdef PUZZLEMIX_HAS_CUDA
Status enqueue(const MixCall& call, char*, void* stream, int& code) {
  code = mix_cuda(call.problem, stream);
  return {};
}
#endif

}  // namespace

void bind_mix(py::module_& module) {
  using py::arg;
  py::module_ entries = module.def_submodule("mix");
  const auto bind = [&](const auto&... names) {
    bind_cpu(entries, &mix_call, names...);
    bind_cuda(entries, &mix_call, names...);
  };
  bind(arg("dtype"), arg("mask"), arg("mask_stride"), arg("mask_rows"), arg("mask_cols"),
       arg("source1"), arg("rows1"), arg("cols1"), arg("source2"), arg("rows2"), arg("cols2"),
       arg("partner"), arg("batch"), arg("others"), arg("channels"), arg("height"), arg("width"),
       arg("trusted"), arg("x1"), arg("x2"), arg("out"));
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
