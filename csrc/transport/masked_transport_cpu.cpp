// masked_transport on the CPU: the batch is spread over threads, each with its own workspace.
#include <algorithm>
#include <cstring>
#include <limits>

#include "batch.h"
#include "element.h"
#include "owned.h"
#include "transport/block_approx.h"
#include "transport/block_exact.h"
#include "transport/transport.h"

namespace puzzlemix {
namespace {

// Solves samples of one shape, one after the other, for any number of calls.
template <typename Engine>
class Workspace {
 public:
  explicit Workspace(const TransportProblem& p)
      : blocks_(static_cast<int>(p.height), static_cast<int>(p.width)),
        engine_(static_cast<int>(p.height), static_cast<int>(p.width)) {
    PlainTeam team;
    blocks_->lay_out(team);
  }

  bool fits(const TransportProblem& p) const {
    return p.height == blocks_->height() && p.width == blocks_->width();
  }

  Status solve(const TransportProblem& problem, int64_t b) {
    PlainTeam team;
    Blocks& blocks = *blocks_;
    const Status status = load(problem, b);
    if (!status.ok()) return status;
    blocks.scale(team, problem.xi, problem.indicator);
    // A move costs at most 2 * xi. The contract states this bound, which doesn't depend on the
    // grid.
    if (!(2 * problem.xi + blocks.most_saliency() <= std::numeric_limits<double>::max())) {
      const double* const s = blocks.saliency();
      return {Fault::sum, kSaliency, b, std::max_element(s, s + blocks.cells()) - s};
    }
    int64_t* const source = problem.source + b * blocks.cells();
    const int64_t squared = engine_.solve(blocks, source);
    problem.total[b] = blocks.total(team, squared, [=](int j) { return source[j]; });
    return {};
  }

 private:
  // The numbers of the function's tensors, in the order of its signature.
  static constexpr int kSaliency = 0, kMask = 1;

  Status load(const TransportProblem& problem, int64_t b) const {
    const Blocks blocks = *blocks_;
    const int n = blocks.cells();
    double *const s = blocks.saliency(), *const w = blocks.weight();
    puzzlemix::load(problem.saliency, b * n, n, s);
    puzzlemix::load(problem.mask, b * n, n, w);
    if (!allowed(s, w, n)) return first_fault(s, w, n, b);
    if (problem.indicator) PlainTeam().for_each(n, [=](int i) { w[i] = w[i] > 0 ? 1.0 : 0.0; });
    return {};
  }

  // Whether saliency is finite and not negative and the mask in [0, 1], without branches: the bits
  // of x * 0 are all 0 unless x is negative, infinite or NaN. Adding 0 first turns -0, which is
  // allowed, into +0.
  static bool allowed(const double* saliency, const double* mask, int n) {
    uint64_t wrong = 0;
    const auto look = [&wrong](double x) {
      const double zero = (x + 0.0) * 0.0;
      uint64_t bits;
      std::memcpy(&bits, &zero, sizeof bits);
      wrong |= bits;
    };
    for (int i = 0; i < n; ++i) {
      look(saliency[i]);
      look(mask[i]);
      look(1.0 - mask[i]);
    }
    return wrong == 0;
  }

  static Status first_fault(const double* saliency, const double* mask, int n, int64_t b) {
    constexpr double kMost = std::numeric_limits<double>::max();
    const auto salient = [](double x) { return x >= 0 && x <= kMost; };
    const double* const at = std::find_if_not(saliency, saliency + n, salient);
    if (at != saliency + n) return {Fault::value, kSaliency, b, at - saliency};
    const auto share = [](double x) { return x >= 0 && x <= 1; };
    return {Fault::value, kMask, b, std::find_if_not(mask, mask + n, share) - mask};
  }

  Owned<Blocks> blocks_;
  Engine engine_;
};

template <typename Engine>
Status solve(const TransportProblem& p, int threads) {
  constexpr int64_t kWorthwhile = 4096;  // cells that pay for waking a thread
  return solve_batch<Workspace<Engine>>(p, 1 + kWorthwhile / (p.height * p.width), threads);
}

}  // namespace

Status masked_transport_cpu(const TransportProblem& p, int threads) {
  return p.exact ? solve<BlockExact>(p, threads) : solve<BlockApprox>(p, threads);
}

}  // namespace puzzlemix
