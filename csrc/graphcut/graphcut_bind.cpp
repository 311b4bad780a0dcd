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

// The operators on a labelling problem share its fields and differ in what they do with it.
template <typename Algorithm>
struct LabelingCall {
  LabelingProblem problem;
  int64_t max_cycles;              // of the swap
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
      // Its number among the tensors of the function: labels come before it in labeling_energy.
      if (!valid)
        return {Fault::label_cost, std::is_same_v<Algorithm, DeviceLabelingEnergy> ? 4 : 3, 0, 0};
    }
    use(Chosen<Algorithm>(), given);
    return {};
  }
};

template <typename Algorithm>
LabelingCall<Algorithm> labeling_call(uintptr_t unary, int unary_dtype, uintptr_t vertical,
                                      int vertical_dtype, uintptr_t horizontal,
                                      int horizontal_dtype, uintptr_t label_cost,
                                      int label_cost_dtype, bool label_cost_in_host_memory,
                                      bool integers, int64_t batch, int height, int width,
                                      int labels, uintptr_t out, uintptr_t energy,
                                      int64_t max_cycles) {
  return {{array(unary, unary_dtype), array(vertical, vertical_dtype),
           array(horizontal, horizontal_dtype), array(label_cost, label_cost_dtype), integers,
           batch, height, width, labels, pointer<int64_t>(out), pointer<double>(energy)},
          max_cycles,
          label_cost_in_host_memory};
}

template <typename Algorithm>
void bind_labeling(py::module_& module, const char* name) {
  bind_operator(module, name, &labeling_call<Algorithm>, py::arg("unary"), py::arg("unary_dtype"),
                py::arg("vertical"), py::arg("vertical_dtype"), py::arg("horizontal"),
                py::arg("horizontal_dtype"), py::arg("label_cost"), py::arg("label_cost_dtype"),
                py::arg("label_cost_in_host_memory"), py::arg("integers"), py::arg("batch"),
                py::arg("height"), py::arg("width"), py::arg("labels"), py::arg("out"),
                py::arg("energy"), py::arg("max_cycles"));
}

MinCutCall min_cut_call(uintptr_t source, int source_dtype, uintptr_t sink, int sink_dtype,
                        uintptr_t vertical, int vertical_dtype, uintptr_t horizontal,
                        int horizontal_dtype, bool integers, int64_t batch, int height, int width,
                        uintptr_t segment, uintptr_t flow) {
  return {{array(source, source_dtype), array(sink, sink_dtype), array(vertical, vertical_dtype),
           array(horizontal, horizontal_dtype), integers, batch, height, width,
           pointer<bool>(segment), pointer<double>(flow)}};
}

}  // namespace

void bind_graphcut(py::module_& module) {
  bind_operator(module, "grid_min_cut", &min_cut_call, py::arg("source"), py::arg("source_dtype"),
                py::arg("sink"), py::arg("sink_dtype"), py::arg("vertical"),
                py::arg("vertical_dtype"), py::arg("horizontal"), py::arg("horizontal_dtype"),
                py::arg("integers"), py::arg("batch"), py::arg("height"), py::arg("width"),
                py::arg("segment"), py::arg("flow"));
  bind_labeling<DeviceSwap>(module, "alpha_beta_swap");
  bind_labeling<DeviceExact>(module, "exact_labeling");
  bind_labeling<DeviceLabelingEnergy>(module, "labeling_energy");
}

}  // namespace puzzlemix
