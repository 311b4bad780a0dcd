#include "dispatch.h"
#include "graphcut/device_graphcut.h"
#include "graphcut/graphcut.h"

namespace puzzlemix {

namespace py = pybind11;

namespace {

struct MinCutCall {
  MinCutProblem problem;

  Status run(int threads) const { return grid_min_cut_cpu(problem, threads); }

  template <typename Use>
  Status on_device(const Use& use) const {
    use(Chosen<DeviceMinCut>(), problem);
    return {};
  }
};

// A call of one of the three operators on a labelling problem, whose device algorithm is Algorithm.
template <typename Algorithm>
struct LabelingCall {
  LabelingProblem problem;
  int64_t max_cycles;              // the most sweeps of alpha_beta_swap
  bool label_cost_in_host_memory;  // then it crosses to the device by value

  Status run(int threads) const {
    if constexpr (std::is_same_v<Algorithm, DeviceSwap>) {
      return alpha_beta_swap_cpu(problem, max_cycles, threads);
    } else if constexpr (std::is_same_v<Algorithm, DeviceExact>) {
      return exact_labeling_cpu(problem, threads);
    } else {
      return labeling_energy_cpu(problem, threads);
    }
  }

  template <typename Use>
  Status on_device(const Use& use) const {
    constexpr bool kConvex = std::is_same_v<Algorithm, DeviceExact>;
    DeviceLabelingProblem given{problem, max_cycles, label_cost_in_host_memory, {}};
    if (given.known) {
      const bool valid =
          read_label_cost(problem, given.known_cost) && (!kConvex || make_convex(given.known_cost));
      if (!valid) return kBadLabelCost;
    }
    use(Chosen<Algorithm>(), given);
    return {};
  }
};

template <typename Algorithm>
LabelingCall<Algorithm> labeling_call(const Tensor& unary, const Tensor& vertical,
                                      const Tensor& horizontal, const Tensor& label_cost,
                                      bool label_cost_in_host_memory, const Tensor& out,
                                      const Tensor& energy, int64_t max_cycles) {
  const auto [batch, height, width, labels] = unary.sizes<4>();
  const Array costs = unary.array();
  return {{costs, vertical.array(), horizontal.array(), label_cost.array(),
           costs.dtype == Dtype::int32, batch, static_cast<int>(height), static_cast<int>(width),
           static_cast<int>(labels), out.data<int64_t>(), energy.data<double>()},
          max_cycles,
          label_cost_in_host_memory};
}

template <typename Algorithm>
void bind_labeling(py::module_& module, const char* name) {
  using py::arg;
  bind_operator(module, name, &labeling_call<Algorithm>, arg("unary"), arg("vertical"),
                arg("horizontal"), arg("label_cost"), arg("label_cost_in_host_memory"), arg("out"),
                arg("energy"), arg("max_cycles"));
}

MinCutCall min_cut_call(const Tensor& source, const Tensor& sink, const Tensor& vertical,
                        const Tensor& horizontal, const Tensor& segment, const Tensor& flow) {
  const auto [batch, height, width] = source.sizes<3>();
  const Array costs = source.array();
  return {{costs, sink.array(), vertical.array(), horizontal.array(), costs.dtype == Dtype::int32,
           batch, static_cast<int>(height), static_cast<int>(width), segment.data<bool>(),
           flow.data<double>()}};
}

}  // namespace

void bind_graphcut(py::module_& module) {
  using py::arg;
  bind_operator(module, "grid_min_cut", &min_cut_call, arg("source"), arg("sink"), arg("vertical"),
                arg("horizontal"), arg("segment"), arg("flow"));
  bind_labeling<DeviceSwap>(module, "alpha_beta_swap");
  bind_labeling<DeviceExact>(module, "exact_labeling");
  bind_labeling<DeviceLabelingEnergy>(module, "labeling_energy");
}

}  // namespace puzzlemix
