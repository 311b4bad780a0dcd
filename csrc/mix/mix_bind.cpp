#include "bindings.h"
#include "mix/labels.h"
#include "mix/mix.h"
#include "where.h"

namespace puzzlemix {

namespace py = pybind11;

namespace {

#ifndef PUZZLEMIX_HAS_CUDA
constexpr int (*mix_cuda)(const MixProblem&, void*) = nullptr;
constexpr int (*mix_grad_cuda)(const MixGradProblem&, void*) = nullptr;
#endif

// (fault, argument, sample, entry), or None where all is well.
py::object fault(const Status& status) {
  if (status.ok()) return py::none();
  return py::make_tuple(static_cast<int>(status.fault), status.argument, status.sample,
                        status.entry);
}

// None where all is well. On the CPU else (fault, argument, sample, entry), on CUDA the launch's
// error code.
template <typename Problem>
py::object run(const Problem& problem, const Where& where, Status (*cpu)(const Problem&, int),
               [[maybe_unused]] int (*cuda)(const Problem&, void*)) {
  const int64_t with = std::get<1>(where);  // threads, or a stream
  if (place(where) == Place::cpu) {
    Status status;
    {
      const py::gil_scoped_release release;
      status = cpu(problem, static_cast<int>(with));
    }
    return fault(status);
  }
#ifdef PUZZLEMIX_HAS_CUDA
  if (const int error = cuda(problem, pointer<void>(with))) return py::int_(error);
#endif
  return py::none();
}

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

MixProblem mix_problem(const MixLayout& layout, uintptr_t x1, uintptr_t x2, uintptr_t out) {
  return {layout, pointer<const void>(x1), pointer<const void>(x2), pointer<void>(out)};
}

MixGradProblem mix_grad_problem(const MixLayout& layout, uintptr_t grad, uintptr_t x1, uintptr_t x2,
                                uintptr_t grad1, uintptr_t grad2, uintptr_t grad_mask,
                                uintptr_t inverse) {
  return {layout,
          pointer<const void>(grad),
          pointer<const void>(x1),
          pointer<const void>(x2),
          pointer<void>(grad1),
          pointer<void>(grad2),
          pointer<double>(grad_mask),
          pointer<int64_t>(inverse)};
}

}  // namespace

void bind_mix(py::module_& module) {
  using py::arg;
  py::class_<MixLayout>(module, "MixLayout")
      .def(py::init(&layout), py::kw_only(), arg("dtype"), arg("mask"), arg("mask_step"),
           arg("mask_rows"), arg("mask_cols"), arg("source1"), arg("rows1"), arg("cols1"),
           arg("source2"), arg("rows2"), arg("cols2"), arg("partner"), arg("batch"), arg("others"),
           arg("channels"), arg("height"), arg("width"), arg("trusted"));
  py::class_<MixProblem>(module, "MixProblem")
      .def(py::init(&mix_problem), arg("layout"), py::kw_only(), arg("x1"), arg("x2"), arg("out"));
  py::class_<MixGradProblem>(module, "MixGradProblem")
      .def(py::init(&mix_grad_problem), arg("layout"), py::kw_only(), arg("grad"), arg("x1"),
           arg("x2"), arg("grad1"), arg("grad2"), arg("grad_mask"), arg("inverse"));
  module.def("mix", [](const MixProblem& problem, const Where& where) {
    return run(problem, where, mix_cpu, mix_cuda);
  });
  module.def("check_labels", [](uintptr_t labels, int64_t batch, int64_t classes) {
    return fault(check_labels(pointer<const int64_t>(labels), batch, classes));
  });
  module.def(
      "mix_labels",
      [](uintptr_t labels, uintptr_t others, uintptr_t ratio, uintptr_t partner, uintptr_t out,
         int64_t batch, int64_t count, int64_t classes) {
        return fault(mix_labels({pointer<const int64_t>(labels), pointer<const int64_t>(others),
                                 pointer<const float>(ratio), pointer<const int64_t>(partner),
                                 pointer<float>(out), batch, count, classes}));
      },
      py::kw_only(), arg("labels"), arg("others"), arg("ratio"), arg("partner"), arg("out"),
      arg("batch"), arg("count"), arg("classes"));
  module.def("mix_grad", [](const MixGradProblem& problem, const Where& where) {
    return run(problem, where, mix_grad_cpu, mix_grad_cuda);
  });
}

}  // namespace puzzlemix
