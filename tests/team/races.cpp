// Runs every device algorithm on a team of real threads. Built with -fsanitize=thread by
// tests/test_races.py: a missing barrier is a race that it reports.
#include <thread>

#include "every_algorithm.h"
#include "threaded_team.h"

namespace puzzlemix {

template <typename Algorithm>
void solve_otherwise(const typename Algorithm::Problem& problem) {
  constexpr int kThreads = 4;
  const Footprint bytes = footprint<Algorithm>(problem);
  std::vector<char> fast(bytes.fast), slow(bytes.slow);
  ThreadedTeam::Meeting meeting(kThreads);
  std::vector<std::thread> threads;
  for (int k = 0; k < kThreads; ++k) {
    threads.emplace_back([&, k] {
      ThreadedTeam team(meeting, k);
      for (int64_t b = 0; b < problem.batch; ++b) {
        Arena arena(fast.data(), bytes.fast, slow.data());
        Algorithm::solve(team, typename Algorithm::Work(arena, problem), problem, b);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace puzzlemix

int main() {
  return puzzlemix::run({{1, 1}, {2, 2}, {1, 7}, {5, 7}, {8, 8}, {9, 9}, {16, 16}, {20, 18}},
                        {2, 3, 5});
}
