// masked_transport on the CPU: the batch over threads, each with one workspace for all its samples.
#include <algorithm>
#include <atomic>
#include <vector>

#include "pool.h"
#include "transport/block_approx.h"
#include "transport/block_exact.h"

namespace puzzlemix {
namespace {

template <typename Solver>
Status solve(const TransportProblem& p, int threads, int64_t grain) {
  const int height = static_cast<int>(p.height), width = static_cast<int>(p.width);
  const int64_t cells = p.height * p.width;
  const std::vector<Move> moves = nearest_moves(height, width);
  std::atomic<bool> valid{true};
  parallel_for(p.batch, grain, threads, [&](int64_t begin, int64_t end) {
    BlockSample sample(height, width);
    Solver solver(sample, moves);
    for (int64_t b = begin; b < end; ++b) {
      if (!sample.load(p, b)) {
        valid = false;
        return;
      }
      p.total[b] = solver.solve(p.source + b * cells);
    }
  });
  return valid ? Status::ok : Status::bad_value;
}

}  // namespace

Status masked_transport_cpu(const TransportProblem& p, int threads) {
  return p.exact ? solve<BlockExact>(p, threads, 1) : solve<BlockApprox>(p, threads, 1);
}

}  // namespace puzzlemix
