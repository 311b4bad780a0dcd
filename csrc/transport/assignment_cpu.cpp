// assignment on the CPU: the batch over threads, each with one workspace for all its samples.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "pool.h"
#include "transport/deferred_acceptance.h"
#include "transport/dense_assignment.h"
#include "transport/transport.h"

namespace puzzlemix {
namespace {

// One solver a thread: matrices come one after another into the same room.
class Solver {
 public:
  explicit Solver(const AssignmentProblem& problem)
      : p_(problem), n_(static_cast<int>(problem.n)), given_(problem.n * problem.n) {}

  // False where a value is not allowed.
  bool operator()(int64_t b) {
    load(p_.cost, b * p_.n * p_.n, p_.n * p_.n, given_.data());
    if (!all_finite()) return false;
    const auto [least, most] = std::minmax_element(given_.begin(), given_.end());
    if (!std::isfinite(*most - *least)) return false;  // the range may overflow
    int64_t* const source = p_.source + b * p_.n;
    p_.exact ? solve_exact(*least, *most, source) : solve_approx(source);
    double total = 0;
    for (int j = 0; j < n_; ++j) total += at(static_cast<int>(source[j]), j);
    p_.total[b] = total;
    return true;
  }

  // The rows of costs, for deferred acceptance.
  const double* row(int i) const { return given_.data() + p_.n * i; }
  double at(int i, int j) const { return row(i)[j]; }

 private:
  bool all_finite() const {
    return std::all_of(given_.begin(), given_.end(), [](double x) { return std::isfinite(x); });
  }

  void solve_approx(int64_t* source) {
    matching_.reset(n_);
    for (int i = 0; i < n_; ++i) {
      for (int row = i; row < n_;) row = matching_.seat(row, matching_.choose(*this, row));
    }
    for (int j = 0; j < n_; ++j) source[j] = matching_.row(j);
  }

  void solve_exact(double least, double most, int64_t* source) {
    if (p_.cost.dtype == Dtype::int32) return exact_.solve(given_.data(), n_, source);
    int exponent = 30;
    if (most > least) std::frexp(most - least, &exponent);
    const double scale = std::ldexp(1.0, std::min(30 - exponent, 1000));
    integers_.resize(given_.size());
    for (size_t k = 0; k < given_.size(); ++k) {
      integers_[k] = std::nearbyint((given_[k] - least) * scale);
    }
    exact_.solve(integers_.data(), n_, source);
  }

  const AssignmentProblem& p_;
  const int n_;
  std::vector<double> given_, integers_;
  DeferredAcceptance<double> matching_;
  DenseAssignment exact_;
};

}  // namespace

Status assignment_cpu(const AssignmentProblem& problem, int threads) {
  std::atomic<bool> valid{true};
  const int64_t worthwhile = 1 + 10000 / (problem.n * problem.n);
  parallel_for(problem.batch, worthwhile, threads, [&](int64_t begin, int64_t end) {
    Solver solve(problem);
    for (int64_t b = begin; b < end; ++b) {
      if (!solve(b)) valid = false;
    }
  });
  return valid ? Status::ok : Status::bad_value;
}

}  // namespace puzzlemix
