// assignment on the CPU: the batch over threads, one workspace a thread.
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "batch.h"
#include "element.h"
#include "team_algorithms.h"
#include "transport/cost_scale.h"
#include "transport/deferred_acceptance.h"
#include "transport/exact_assignment.h"
#include "transport/small_assignment.h"
#include "transport/transport.h"

namespace puzzlemix {
namespace {

// The extremes of a matrix; `finite` says whether all of it is.
template <typename T>
struct Extent {
  T least, most;
  bool finite;
};

template <typename T>
Extent<T> extent(const T* values, int64_t count) {
  constexpr int kLanes = 16;
  T least[kLanes], most[kLanes], nothing[kLanes];
  for (int l = 0; l < kLanes; ++l) {
    least[l] = most[l] = values[0];
    nothing[l] = 0;
  }
  const auto look = [&](int l, T x) {
    least[l] = x < least[l] ? x : least[l];
    most[l] = x > most[l] ? x : most[l];
    nothing[l] += x * 0;  // stays 0 unless x is infinite or not a number
  };
  const int64_t whole = count / kLanes * kLanes;
  for (int64_t i = 0; i < whole; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) look(l, values[i + l]);
  }
  for (int64_t i = whole; i < count; ++i) look(0, values[i]);
  for (int l = 1; l < kLanes; ++l) {
    least[0] = std::min(least[0], least[l]);
    most[0] = std::max(most[0], most[l]);
    nothing[0] += nothing[l];
  }
  return {least[0], most[0], nothing[0] == 0};
}

// One sample: n x n costs of type T, where the caller has them or where they were unpacked.
template <typename T>
class Matrix {
 public:
  explicit Matrix(int n) : n_(n) {}

  // What is wrong where a cost is not finite, or the range isn't.
  Status set(const T* costs, int64_t b) {
    costs_ = costs;
    const int64_t count = int64_t{n_} * n_;
    const Extent<T> extent = puzzlemix::extent(costs, count);
    if (!extent.finite) {
      const T* const at = std::find_if(costs, costs + count, [](T x) { return !(x - x == 0); });
      // Another thread may have changed it since.
      return {Fault::value, 0, b, std::min<int64_t>(at - costs, count - 1)};
    }
    if (std::is_integral<T>::value) return {};
    const double least = static_cast<double>(extent.least), most = static_cast<double>(extent.most);
    if (!(most - least <= std::numeric_limits<double>::max())) {
      return {Fault::sum, 0, b, std::max_element(costs, costs + count) - costs};
    }
    scale_ = CostScale(least, most);
    return {};
  }

  // As given, for deferred acceptance.
  const T* row(int i) const { return costs_ + int64_t{n_} * i; }
  T at(int i, int j) const { return row(i)[j]; }

  // As integers, for the exact assignment.
  void fill(int i, double* out) const {
    const T* costs = row(i);
    const CostScale scale = scale_;
    for (int j = 0; j < n_; ++j) {
      const double cost = static_cast<double>(costs[j]);
      out[j] = std::is_integral<T>::value ? cost : scale.integer(cost);
    }
  }

 private:
  const int n_;
  const T* costs_ = nullptr;
  CostScale scale_;
};

// Serves any number of samples of one size, of any call.
template <typename T>
class Workspace {
 public:
  explicit Workspace(const AssignmentProblem& p) : n_(static_cast<int>(p.n)), matrix_(n_) {}

  bool fits(const AssignmentProblem& p) const { return p.n == n_; }

  Status solve(const AssignmentProblem& problem, int64_t b) {
    const Status status = matrix_.set(costs(problem, b), b);
    if (!status.ok()) return status;
    int64_t* const source = problem.source + b * n_;
    if (problem.exact && n_ <= SmallAssignment::kMost) {
      small_.solve(n_, matrix_, source);
    } else if (problem.exact) {
      exact_.solve(n_, matrix_, source);
    } else {
      match(source);
    }
    const Matrix<T> matrix = matrix_;
    problem.total[b] = PlainTeam().add(
        n_, [=](int j) { return static_cast<double>(matrix.at(static_cast<int>(source[j]), j)); });
    return {};
  }

 private:
  // The types without arithmetic of their own are unpacked to double.
  const T* costs(const AssignmentProblem& problem, int64_t b) {
    const int64_t count = int64_t{n_} * n_;
    const Dtype dtype = problem.cost.dtype;
    if constexpr (std::is_same<T, double>::value) {
      if (dtype != Dtype::float64) {
        unpacked_.resize(count);
        load(problem.cost, b * count, count, unpacked_.data());
        return unpacked_.data();
      }
    }
    const T* const given = static_cast<const T*>(problem.cost.data) + b * count;
    // The exact solvers rely on finding a row as it was, which another thread may write to. Copies
    // of larger matrices cost up to half as much as solving.
    constexpr int kCopied = 1024;
    if (!problem.exact || n_ > kCopied) return given;
    copied_.assign(given, given + count);
    return copied_.data();
  }

  void match(int64_t* source) {
    matching_.reset(n_);
    for (int i = 0; i < n_; ++i) {
      for (int row = i; row < n_;) row = matching_.seat(row, matching_.choose(matrix_, row));
    }
    for (int j = 0; j < n_; ++j) source[j] = matching_.row(j);
  }

  const int n_;
  Matrix<T> matrix_;
  std::vector<double> unpacked_;
  std::vector<T> copied_;
  DeferredAcceptance<T> matching_;
  SmallAssignment small_;
  ExactAssignment exact_;
};

template <typename T>
Status solve(const AssignmentProblem& p, int threads) {
  constexpr int64_t kWorthwhile = 10000;  // entries that pay for waking a thread
  return solve_batch<Workspace<T>>(p, 1 + kWorthwhile / (p.n * p.n), threads);
}

}  // namespace

Status assignment_cpu(const AssignmentProblem& problem, int threads) {
  switch (problem.cost.dtype) {
    case Dtype::float32:
      return solve<float>(problem, threads);
    case Dtype::int32:
      return solve<int32_t>(problem, threads);
    default:
      return solve<double>(problem, threads);
  }
}

}  // namespace puzzlemix
