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

PuzzlePlanCall puzzle_call(
    int dtype, uintptr_t x1, uintptr_t x2, bool channels_last, uintptr_t saliency1,
    int saliency1_dtype, uintptr_t saliency2, int saliency2_dtype, int64_t batch, int64_t others,
    int channels, int rows, int columns, int saliency_rows1, int saliency_columns1,
    int saliency_rows2, int saliency_columns2, uintptr_t partner, uintptr_t lam, int lam_dtype,
    double lam_number, const std::vector<double>& std, uintptr_t std_values, int std_values_dtype,
    int std_count, int height, int width, int fine_height, int fine_width, int labels, double beta,
    double gamma, double eta, double xi, int neighborhood, bool bilinear, bool exact_cut,
    int transport, int64_t cycles, bool doubles, uintptr_t mask, uintptr_t ratio, uintptr_t source1,
    uintptr_t source2, uintptr_t objective) {
  PuzzleProblem p{};
  p.x1 = array(x1, dtype), p.x2 = array(x2, dtype);
  p.saliency1 = array(saliency1, saliency1_dtype), p.saliency2 = array(saliency2, saliency2_dtype);
  p.channels_last = channels_last;
  p.batch = batch, p.others = others;
  p.channels = channels, p.rows = rows, p.columns = columns;
  p.saliency_rows1 = saliency_rows1, p.saliency_columns1 = saliency_columns1;
  p.saliency_rows2 = saliency_rows2, p.saliency_columns2 = saliency_columns2;
  p.partner = pointer<const int64_t>(partner);
  p.lam = array(lam, lam_dtype), p.lam_number = lam_number;
  p.std_count = std_count, p.std = array(std_values, std_values_dtype);
  std::copy_n(std.begin(), std::min<size_t>(std.size(), kMostStd), p.std_number);
  p.height = height, p.width = width;
  p.fine_height = fine_height, p.fine_width = fine_width;
  p.labels = labels;
  p.beta = beta, p.gamma = gamma, p.eta = eta, p.xi = xi;
  p.neighborhood = neighborhood, p.bilinear = bilinear, p.exact_cut = exact_cut;
  p.transport = static_cast<Transport>(transport), p.cycles = cycles;
  p.doubles = doubles;
  p.mask = pointer<void>(mask), p.ratio = pointer<void>(ratio);
  p.source1 = pointer<int64_t>(source1), p.source2 = pointer<int64_t>(source2);
  p.objective = pointer<double>(objective);
  return {p};
}

}  // namespace

void bind_puzzle(py::module_& module) {
  using py::arg;
  bind_operator(module, "puzzle_plan", &puzzle_call, arg("dtype"), arg("x1"), arg("x2"),
                arg("channels_last"), arg("saliency1"), arg("saliency1_dtype"), arg("saliency2"),
                arg("saliency2_dtype"), arg("batch"), arg("others"), arg("channels"), arg("rows"),
                arg("columns"), arg("saliency_rows1"), arg("saliency_columns1"),
                arg("saliency_rows2"), arg("saliency_columns2"), arg("partner"), arg("lam"),
                arg("lam_dtype"), arg("lam_number"), arg("std"), arg("std_values"),
                arg("std_values_dtype"), arg("std_count"), arg("height"), arg("width"),
                arg("fine_height"), arg("fine_width"), arg("labels"), arg("beta"), arg("gamma"),
                arg("eta"), arg("xi"), arg("neighborhood"), arg("bilinear"), arg("exact_cut"),
                arg("transport"), arg("cycles"), arg("doubles"), arg("mask"), arg("ratio"),
                arg("source1"), arg("source2"), arg("objective"));
}

}  // namespace puzzlemix
