#include <pybind11/stl.h>

#include <algorithm>
#include <vector>

#include "dispatch.h"
#include "puzzle/device_puzzle.h"
#include "puzzle/puzzle.h"

namespace puzzlemix {

namespace py = pybind11;

namespace {

struct PuzzlePlanCall {
  PuzzleProblem problem;

  Status run(int threads) const { return puzzle_plan_cpu(problem, threads); }
};

// The scratch memory of a call: the pooled images first, then what the algorithms need.
int64_t device_bytes(const PuzzlePlanCall& plan) {
  const PuzzleCall call(plan.problem);
  const PooledImages nowhere = pooled_images(call, nullptr);
  int64_t bytes = scratch_bytes<DevicePool>(PoolProblem(call, nowhere));
  with_decision<Chosen>(plan.problem, [&](auto chosen) {
    using Algorithm = typename decltype(chosen)::Type;
    bytes = std::max(bytes, scratch_bytes<Algorithm>(DecideProblem(call, nowhere)));
  });
  return pooled_bytes(call) + bytes;
}

#ifdef PUZZLEMIX_HAS_CUDA
Status enqueue(const PuzzlePlanCall& plan, char* scratch, void* stream, int& code) {
  if (plan.problem.batch == 0) return {};
  const PuzzleCall call(plan.problem);
  const PooledImages images = pooled_images(call, scratch);
  char* const rest = scratch + pooled_bytes(call);
  code = solve_cuda<DevicePool>(PoolProblem(call, images), rest, stream);
  if (code != 0) return {};
  with_decision<Chosen>(plan.problem, [&](auto chosen) {
    code = solve_cuda<typename decltype(chosen)::Type>(DecideProblem(call, images), rest, stream);
  });
  return {};
}
#endif

Status run_on_team(const PuzzlePlanCall& plan, uint64_t seed, Waits& waits) {
  const PuzzleCall call(plan.problem);
  std::vector<char> memory(pooled_bytes(call));
  const PooledImages images = pooled_images(call, memory.data());
  waits = solve_shuffled<DevicePool>(PoolProblem(call, images), seed);
  with_decision<Chosen>(plan.problem, [&](auto chosen) {
    using Algorithm = typename decltype(chosen)::Type;
    const Waits more = solve_shuffled<Algorithm>(DecideProblem(call, images), seed);
    waits.phases += more.phases;
    waits.shuffles += more.shuffles;
    waits.votes += more.votes;
  });
  return {};
}

// x1 and x2 are channels_last in memory if so said, else contiguous. grids: h, w, h', w'. weights:
// beta, gamma, eta, xi. Standard deviations are in the list `std`, or in the tensor `std_values`.
PuzzlePlanCall puzzle_call(const Tensor& x1, const Tensor& x2, bool channels_last,
                           const Tensor& saliency1, const Tensor& saliency2, const Tensor& partner,
                           const Tensor& lam, double lam_number, const std::vector<double>& std,
                           const Tensor& std_values, const std::array<int, 4>& grids, int labels,
                           const std::array<double, 4>& weights, int neighborhood, bool bilinear,
                           bool exact_cut, int transport, int64_t cycles, const Tensor& mask,
                           const Tensor& ratio, const Tensor& source1, const Tensor& source2,
                           const Tensor& objective) {
  PuzzleProblem p{};
  const auto [batch, channels, rows, columns] = x1.sizes<4>();
  const auto [samples1, rows1, columns1] = saliency1.sizes<3>();
  const auto [samples2, rows2, columns2] = saliency2.sizes<3>();
  p.x1 = x1.array(), p.x2 = x2.array(), p.channels_last = channels_last;
  p.saliency1 = saliency1.array(), p.saliency2 = saliency2.array();
  p.batch = batch, p.others = x2.sizes<4>()[0];
  p.channels = static_cast<int>(channels);
  p.rows = static_cast<int>(rows), p.columns = static_cast<int>(columns);
  p.saliency_rows1 = static_cast<int>(rows1), p.saliency_columns1 = static_cast<int>(columns1);
  p.saliency_rows2 = static_cast<int>(rows2), p.saliency_columns2 = static_cast<int>(columns2);
  p.partner = partner.data<const int64_t>();
  p.lam = lam.array(), p.lam_number = lam_number;
  p.std = std_values.array();
  p.std_count = static_cast<int>(std_values.is_none() ? std.size() : std_values.sizes<1>()[0]);
  std::copy_n(std.begin(), std::min<size_t>(std.size(), kMostStd), p.std_number);
  p.height = grids[0], p.width = grids[1], p.fine_height = grids[2], p.fine_width = grids[3];
  p.labels = labels;
  p.beta = weights[0], p.gamma = weights[1], p.eta = weights[2], p.xi = weights[3];
  p.neighborhood = neighborhood, p.bilinear = bilinear, p.exact_cut = exact_cut;
  p.transport = static_cast<Transport>(transport), p.cycles = cycles;
  p.doubles = mask.dtype() == Dtype::float64;
  p.mask = mask.data<void>(), p.ratio = ratio.data<void>();
  p.source1 = source1.data<int64_t>(), p.source2 = source2.data<int64_t>();
  p.objective = objective.data<double>();
  return {p};
}

}  // namespace

void bind_puzzle(py::module_& module) {
  using py::arg;
  bind_operator(module, "puzzle_plan", &puzzle_call, arg("x1"), arg("x2"), arg("channels_last"),
                arg("saliency1"), arg("saliency2"), arg("partner"), arg("lam"), arg("lam_number"),
                arg("std"), arg("std_values"), arg("grids"), arg("labels"), arg("weights"),
                arg("neighborhood"), arg("bilinear"), arg("exact_cut"), arg("transport"),
                arg("cycles"), arg("mask"), arg("ratio"), arg("source1"), arg("source2"),
                arg("objective"));
}

}  // namespace puzzlemix
