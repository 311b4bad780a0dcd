// masked_transport on the CPU: the batch over threads, one workspace a thread.
#include "batch.h"
#include "transport/block_approx.h"
#include "transport/block_exact.h"

namespace puzzlemix {
namespace {

template <typename Solver>
class Workspace {
 public:
  explicit Workspace(const TransportProblem& problem)
      : problem_(problem),
        sample_(static_cast<int>(problem.height), static_cast<int>(problem.width)),
        solver_(sample_) {}

  Status operator()(int64_t b) {
    if (!sample_.load(problem_, b)) return {Fault::value, 0, b, 0};
    problem_.total[b] = solver_.solve(problem_.source + b * sample_.cells());
    return {};
  }

 private:
  const TransportProblem& problem_;
  BlockSample sample_;
  Solver solver_;
};

template <typename Solver>
Status solve(const TransportProblem& p, int threads) {
  constexpr int64_t kWorthwhile = 4096;  // cells that pay for waking a thread
  return solve_batch(p.batch, 1 + kWorthwhile / (p.height * p.width), threads,
                     [&p] { return Workspace<Solver>(p); });
}

}  // namespace

Status masked_transport_cpu(const TransportProblem& p, int threads) {
  return p.exact ? solve<BlockExact>(p, threads) : solve<BlockApprox>(p, threads);
}

}  // namespace puzzlemix
