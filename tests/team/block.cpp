// Runs every device algorithm on an emulated block of CUDA, and compares with a shuffled team.
// Built by tests/test_races.py.
#include "emulated_block.h"
// The block first: what follows is compiled for it.
#include "every_algorithm.h"

namespace puzzlemix {

template <typename Algorithm, typename Lanes>
void solve_in_block(const typename Algorithm::Problem& problem, int threads) {
  const Footprint bytes = footprint<Algorithm>(problem);
  for (int64_t b = 0; b < problem.batch; ++b) {
    std::vector<char> fast(bytes.fast, '\x5a'), slow(bytes.slow, '\x5a');
    typename BlockTeam<Lanes>::Shared shared;
    emulated::Block(threads, b, [&] {
      BlockTeam<Lanes> team(shared);
      Arena arena(fast.data(), bytes.fast, slow.data());
      Algorithm::solve(team, typename Algorithm::Work(arena, problem), problem, b);
    }).run();
  }
}

// With as many threads as a launch would have, up to 128: see launch.cuh.
template <typename Algorithm>
void solve_otherwise(const typename Algorithm::Problem& problem) {
  const int threads = std::min((Algorithm::items(problem) + kWarp - 1) / kWarp * kWarp, 128);
  if constexpr (kCuts<Algorithm>) {
    if (Algorithm::lanes(problem) == kFourWarps) {
      return solve_in_block<Algorithm, FourWarpLanes>(problem, 160);
    }
  }
  solve_in_block<Algorithm, WarpLanes>(problem, threads);
}

}  // namespace puzzlemix

int main() {
  // One grid that one warp cuts, and three that four cut.
  return puzzlemix::run({{5, 7}, {17, 3}, {20, 18}, {32, 32}}, {2, 5});
}
