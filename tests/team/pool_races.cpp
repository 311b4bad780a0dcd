// Tests the thread pool with concurrent and nested callers, bodies that throw, interruptions and
// forked children. tests/test_races.py and tools/sanitize.sh build it with ThreadSanitizer and with
// AddressSanitizer.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <thread>
#include <vector>

#include "interrupt.h"
#include "pool.h"

namespace puzzlemix {
namespace {

#ifdef __SANITIZE_THREAD__
// One fork only, as ThreadSanitizer confuses the threads of a child with those of its parent.
constexpr int kChildsThreads = 1;
#else
constexpr int kChildsThreads = 4;
#endif

constexpr int kCallers = 4, kThreads = 4, kRounds = 300, kForks = 30;

std::atomic<bool> stop{false};
std::atomic<int> failures{0};

void expect(bool good, const char* what) {
  if (good) return;
  std::printf("failed: %s\n", what);
  ++failures;
}

// Every item is done exactly once.
void cover(int count, int threads = kThreads) {
  std::vector<int> done(count);
  parallel_for(count, 1, threads, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) ++done[i];
  });
  for (const int times : done) expect(times == 1, "each item once");
}

void cover_nested() {
  std::atomic<int> done{0};
  parallel_for(8, 1, kThreads, [&](int64_t begin, int64_t end) {
    parallel_for(end - begin, 1, kThreads,
                 [&](int64_t first, int64_t last) { done += static_cast<int>(last - first); });
  });
  expect(done == 8, "nested items once");
}

void throw_out(int at) {
  bool caught = false;
  try {
    parallel_for(64, 1, kThreads, [&](int64_t begin, int64_t end) {
      if (begin <= at && at < end) throw std::runtime_error("planted");
    });
  } catch (const std::runtime_error&) {
    caught = true;
  }
  expect(caught, "the exception of a body");
}

void call_from_all_sides() {
  std::vector<std::thread> callers;
  for (int k = 0; k < kCallers; ++k) {
    callers.emplace_back([k] {
      for (int round = 0; round < kRounds; ++round) {
        cover(1 + (round * 7 + k) % 100);
        if (round % 3 == 0) cover_nested();
        if (round % 3 == 1) throw_out((round + k) % 64);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

// A forked child can use the pool, whatever the parent's threads were doing.
void fork_under_load() {
  std::atomic<bool> enough{false};
  std::thread busy([&] {
    while (!enough) cover(50);
  });
  for (int k = 0; k < kForks; ++k) {
    const pid_t child = fork();
    if (child == 0) {
      cover(100, kChildsThreads);
      _exit(failures.load() ? 1 : 0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a forked child's loop");
  }
  enough = true;
  busy.join();
}

// An endless body ends after an interruption, on workers too.
void interrupt() {
  ask_for_interruption([] { return stop.load(); });
  for (int round = 0; round < 3; ++round) {
    stop = false;
    std::thread later([] {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      stop = true;
    });
    bool interrupted = false;
    try {
      parallel_for(64, 1, kThreads, [](int64_t, int64_t) {
        Patience patience;
        while (true) patience.spend(100000);
      });
    } catch (const Interrupted&) {
      interrupted = true;
    }
    later.join();
    expect(interrupted, "an interruption");
  }
  stop = false;
  cover(100);
}

}  // namespace
}  // namespace puzzlemix

int main() {
  puzzlemix::call_from_all_sides();
  puzzlemix::fork_under_load();
  puzzlemix::interrupt();
  return puzzlemix::failures.load() ? 1 : 0;
}
