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

BlockMap block_map(const Tensor& source) {
  if (source.is_none()) return {};
  const auto [batch, rows, columns] = source.sizes<3>();
  return {source.data<const int64_t>(), {rows, columns}};
}

// x1, x2 and out are channels_last in memory if so said, else contiguous. A mask of one sample
// serves all of them.
MixCall mix_call(const Tensor& x1, const Tensor& x2, bool channels_last, const Tensor& mask,
                 const Tensor& source1, const Tensor& source2, const Tensor& partner, bool trusted,
                 const Tensor& out) {
  MixProblem p;
  const auto [batch, channels, height, width] = x1.sizes<4>();
  const auto [masks, rows, columns] = mask.sizes<3>();
  p.dtype = x1.dtype();
  p.mask = mask.data<const void>(), p.mask_stride = masks == 1 ? 0 : rows * columns;
  p.mask_grid = {rows, columns};
  p.map1 = block_map(source1), p.map2 = block_map(source2);
  p.partner = partner.data<const int64_t>();
  p.batch = batch, p.others = x2.is_none() ? 0 : x2.sizes<4>()[0];
  p.channels = channels_last ? 1 : channels;
  p.height = height, p.width = channels_last ? width * channels : width;
  p.trusted = trusted;
  p.x1 = x1.data<const void>(), p.x2 = x2.data<const void>(), p.out = out.data<void>();
  return {p};
}

#ifdef PUZZLEMIX_HAS_CUDA
int64_t device_bytes(const MixCall&) { return 0; }

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
  bind(arg("x1"), arg("x2"), arg("channels_last"), arg("mask"), arg("source1"), arg("source2"),
       arg("partner"), arg("trusted"), arg("out"));
  module.def("are_classes", [](const Tensor& labels, int64_t classes) {
    return are_classes(labels.data<const int64_t>(), labels.sizes<1>()[0], classes);
  });
  module.def(
      "mix_labels",
      [](const Tensor& labels, const Tensor& others, const Tensor& ratio, const Tensor& partner,
         const Tensor& out) {
        const auto [batch, classes] = out.sizes<2>();
        return mix_labels({labels.data<const int64_t>(), others.data<const int64_t>(),
                           ratio.data<const float>(), partner.data<const int64_t>(),
                           out.data<float>(), batch, others.is_none() ? 0 : others.sizes<1>()[0],
                           classes});
      },
      py::kw_only(), arg("labels"), arg("others"), arg("ratio"), arg("partner"), arg("out"));
}

}  // namespace puzzlemix
