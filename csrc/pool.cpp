#include "pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace puzzlemix {
namespace {

// One parallel_for: chunks are taken off `next_` until none is left.
class Job {
 public:
  Job(int64_t count, int64_t chunk, const std::function<void(int64_t, int64_t)>& body)
      : count_(count), chunk_(chunk), body_(body) {}

  void work() {
    while (true) {
      const int64_t begin = next_.fetch_add(chunk_, std::memory_order_relaxed);
      if (begin >= count_) return;
      try {
        body_(begin, std::min(begin + chunk_, count_));
      } catch (...) {
        const std::lock_guard<std::mutex> lock(error_mutex_);
        if (!error_) error_ = std::current_exception();
        next_.store(count_, std::memory_order_relaxed);
      }
    }
  }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  const int64_t count_, chunk_;
  const std::function<void(int64_t, int64_t)>& body_;
  std::atomic<int64_t> next_{0};
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
    wanted_ = 0;  // whoever has not started by now is not needed
    done_.wait(lock, [this] { return active_ == 0; });
  }

 private:
  void grow(int helpers) {
    try {
      for (; workers_ < helpers; ++workers_) std::thread([this] { serve(); }).detach();
    } catch (const std::system_error&) {
      // No more threads to be had: those that are there, or the caller alone, do the work.
    }
  }

  void serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return wanted_ > 0; });
      --wanted_;
      ++active_;
      Job& job = *job_;
      lock.unlock();
      job.work();
      lock.lock();
      if (--active_ == 0) done_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  Job* job_ = nullptr;
  int workers_ = 0, wanted_ = 0, active_ = 0;
};

// Never freed: at exit a worker may still sleep in it, and a forked child, whose copy has lost its
// workers and may hold a lock for ever, starts afresh with another.
struct Shared {
  std::mutex busy;
  Pool pool;
};

Shared* shared = new Shared;

#if !defined(_WIN32)
const int at_fork = pthread_atfork(nullptr, nullptr, [] { shared = new Shared; });
#endif

}  // namespace

void parallel_for(int64_t count, int64_t grain, int threads,
                  const std::function<void(int64_t, int64_t)>& body) {
  if (count <= 0) return;
  const int64_t worthwhile = count / std::max<int64_t>(grain, 1);
  const int helpers = static_cast<int>(std::min<int64_t>(threads, worthwhile)) - 1;
  Shared& mine = *shared;
  if (helpers < 1 || !mine.busy.try_lock()) return body(0, count);
  const std::lock_guard<std::mutex> lock(mine.busy, std::adopt_lock);
  // A few chunks a thread: samples differ in cost, and an atomic is cheap beside a sample.
  Job job(count, std::max<int64_t>(1, count / (int64_t{8} * (helpers + 1))), body);
  mine.pool.run(job, helpers);
  job.rethrow();
}

}  // namespace puzzlemix
