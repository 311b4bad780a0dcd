#include "pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

#include "interrupt.h"

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace puzzlemix {
namespace {

constexpr auto kInterval = std::chrono::milliseconds(100);  // between checks for an interruption

// How long a thread spins before it sleeps: to be woken takes longer than a small mix, and calls
// often follow each other at once.
constexpr auto kSpin = std::chrono::microseconds(100);

template <typename Predicate>
void spin_until(const Predicate& predicate) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  while (!predicate() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
}

// On a worker, the flag by which the thread that it works for tells it to stop; else null.
thread_local const std::atomic<bool>* called_off = nullptr;

std::atomic<Interruption> interruption{nullptr};

// One call of parallel_for. Threads take chunks from `next_` on until none is left. Each is one of
// `parts` equal parts of what is left, or `largest` (guided self-scheduling; Polychronopoulos and
// Kuck, 1987): long ones first, as neighbouring samples may share work, and single samples last, so
// that the threads end together.
class Job {
 public:
  Job(int64_t count, int64_t largest, int64_t parts,
      const std::function<void(int64_t, int64_t)>& body)
      : count_(count), largest_(largest), parts_(parts), body_(body) {}

  void work() {
    for (bool first = true;; first = false) {
      int64_t begin = next_.load(std::memory_order_relaxed), end;
      do {
        if (begin >= count_) return;
        end = begin + std::clamp<int64_t>((count_ - begin) / parts_, 1, largest_);
      } while (!next_.compare_exchange_weak(begin, end, std::memory_order_relaxed));
      attempt([&] {
        if (!first) check_interruption();
        body_(begin, end);
      });
    }
  }

  // Does the work of the job on a worker.
  void help() {
    called_off = &failed_;
    work();
    called_off = nullptr;
  }

  // Called by the caller while it waits for workers: stops the job if it is interrupted.
  void ask() { attempt(check_interruption); }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  template <typename F>
  void attempt(const F& f) {
    try {
      f();
    } catch (...) {
      const std::lock_guard<std::mutex> lock(error_mutex_);
      if (!error_) error_ = std::current_exception();
      next_.store(count_, std::memory_order_relaxed);
      failed_.store(true, std::memory_order_relaxed);
    }
  }

  const int64_t count_, largest_, parts_;
  const std::function<void(int64_t, int64_t)>& body_;
  std::atomic<int64_t> next_{0};
  std::atomic<bool> failed_{false};
  std::mutex error_mutex_;
  std::exception_ptr error_;
};

class Pool {
 public:
  // Runs the job on this thread and on up to `helpers` workers.
  void run(Job& job, int helpers) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      grow(helpers);
      job_ = &job;
      wanted_ = std::min(helpers, workers_);
    }
    wake_.notify_all();
    job.work();
    std::unique_lock<std::mutex> lock(mutex_);
    wanted_ = 0;  // workers that have not started by now are not needed
    lock.unlock();
    spin_until([this] { return active_ == 0; });
    lock.lock();
    while (!done_.wait_for(lock, kInterval, [this] { return active_ == 0; })) {
      lock.unlock();
      job.ask();
      lock.lock();
    }
  }

 private:
  void grow(int helpers) {
    try {
      for (; workers_ < helpers; ++workers_) std::thread([this] { serve(); }).detach();
    } catch (const std::system_error&) {
      // The system gives no more threads: those that exist, or the caller alone, do the work.
    }
  }

  void serve() {
    while (true) {
      spin_until([this] { return wanted_ > 0; });
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [this] { return wanted_ > 0; });
      --wanted_;
      ++active_;
      Job& job = *job_;
      lock.unlock();
      job.help();
      lock.lock();
      if (--active_ == 0) done_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  Job* job_ = nullptr;
  int workers_ = 0;
  // Written under the lock; atomic because spinning threads read them without it.
  std::atomic<int> wanted_{0}, active_{0};
};

// The pool and the lock of its user. Never freed, because at exit a worker may still sleep in it. A
// forked child makes another one: its copy has no workers, and a lock in it may be held for ever.
struct Shared {
  std::mutex busy;
  Pool pool;
};

Shared* shared = new Shared;

#if !defined(_WIN32)
const int at_fork = pthread_atfork(nullptr, nullptr, [] { shared = new Shared; });
#endif

}  // namespace

void ask_for_interruption(Interruption wanted) { interruption = wanted; }

void check_interruption() {
  if (called_off) {
    if (called_off->load(std::memory_order_relaxed)) throw Interrupted();
    return;
  }
  thread_local std::chrono::steady_clock::time_point next;
  const auto now = std::chrono::steady_clock::now();
  if (now < next) return;
  next = now + kInterval;
  const Interruption wanted = interruption.load(std::memory_order_relaxed);
  if (wanted && wanted()) throw Interrupted();
}

void parallel_for(int64_t count, int64_t grain, int threads,
                  const std::function<void(int64_t, int64_t)>& body) {
  if (count <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  // Chunks are so small that a thread soon checks again whether it should stop.
  const int64_t largest = 64 * std::min(grain, count);
  const int helpers = static_cast<int>(std::min<int64_t>(threads, count / grain)) - 1;
  Shared& mine = *shared;
  if (helpers < 1 || !mine.busy.try_lock()) {
    Job job(count, largest, 1, body);
    job.work();
    return job.rethrow();
  }
  const std::lock_guard<std::mutex> lock(mine.busy, std::adopt_lock);
  Job job(count, largest, int64_t{2} * (helpers + 1), body);
  mine.pool.run(job, helpers);
  job.rethrow();
}

}  // namespace puzzlemix
