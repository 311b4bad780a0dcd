#include <vector>

#include "objective/team_objective.h"
#include "plain_team.h"
#include "pool.h"
#include "team_run.h"

namespace puzzlemix {

Status pair_cpu(const PairProblem& problem, int threads) {
  constexpr int64_t kWorthwhile = 8000;  // windows read that pay for waking a thread
  const int64_t windows = int64_t{problem.channels} * problem.rows * problem.columns;
  parallel_for(problem.batch, 1 + kWorthwhile / windows, threads, [&](int64_t begin, int64_t end) {
    const Footprint bytes = footprint<TeamPair>(problem);
    std::vector<char> fast(bytes.fast), slow(bytes.slow);
    PlainTeam team;
    for (int64_t b = begin; b < end; ++b) {
      Arena arena(fast.data(), bytes.fast, slow.data());
      TeamPair::solve(team, TeamPair::layout(arena, problem), problem, b);
    }
  });
  return {};
}

}  // namespace puzzlemix
