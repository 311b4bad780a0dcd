// assignment on the CPU: the batch over threads, one workspace a thread.
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "batch.h"
#include "element.h"
#include "packs.h"
#include "transport/cost_scale.h"
#include "transport/deferred_acceptance.h"
#include "transport/jonker_volgenant.h"
#include "transport/lane_minima.h"
#include "transport/transport.h"

namespace puzzlemix {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The costs of one sample, where the caller has them or where they were unpacked.
template <typename T>
struct Matrix {
  const T* row(int i) const { return costs + int64_t{columns} * i; }
  T at(int i, int j) const { return row(i)[j]; }

  const T* costs;
  int rows, columns;
};

// ---- Values -------------------------------------------------------------------------------------

template <typename T>
struct Extent {
  T least, most;
};

// The extremes of some costs. Adds the costs of each lane to `sum`, if they are floats: its lanes
// are finite only if all costs are.
template <typename T>
Extent<T> extent(const T* values, int count, Pack<T>& sum) {
  constexpr bool kFloat = !std::is_integral<T>::value;
  constexpr int kPacks = 4, kLanes = kPacks * kPacked<T>;
  T low = values[0], high = values[0];
  int i = 0;
  if (count >= kLanes) {
    Pack<T> lows[kPacks], highs[kPacks];
    for (int k = 0; k < kPacks; ++k) lows[k] = highs[k] = pack(values + k * kPacked<T>);
    for (; i + kLanes <= count; i += kLanes) {
      Pack<T> x[kPacks];
      for (int k = 0; k < kPacks; ++k) {
        x[k] = pack(values + i + k * kPacked<T>);
        lows[k] = least(x[k], lows[k]);
        highs[k] = most(x[k], highs[k]);
      }
      if (kFloat) sum = sum + ((x[0] + x[1]) + (x[2] + x[3]));
    }
    const Pack<T> lowest = least(least(lows[0], lows[1]), least(lows[2], lows[3]));
    const Pack<T> highest = most(most(highs[0], highs[1]), most(highs[2], highs[3]));
    for (int l = 0; l < kPacked<T>; ++l) {
      low = least<T>(lowest[l], low);
      high = most<T>(highest[l], high);
    }
  }
  for (; i < count; ++i) {
    low = least<T>(values[i], low);
    high = most<T>(values[i], high);
    if (kFloat) sum[0] += values[i];
  }
  return {low, high};
}

// The extremes where some costs are infinite, which are left out of the largest.
template <typename T>
Extent<T> finite_extent(const T* values, int count) {
  Extent<T> found{*std::min_element(values, values + count), std::numeric_limits<T>::lowest()};
  for (int i = 0; i < count; ++i) {
    if (values[i] <= std::numeric_limits<T>::max()) found.most = std::max(found.most, values[i]);
  }
  return found;
}

// ---- The exact assignment's costs ---------------------------------------------------------------

// Integers of a matrix with at most as many rows as columns; see jonker_volgenant.h for what it
// asks. Kept, but for large matrices, of which a row is made each time.
template <typename T>
class IntegerCosts {
 public:
  // least [rows]: the least cost of each row.
  void set(const Matrix<T>& matrix, const double* least, double lowest, const CostScale& scale,
           bool forbids) {
    matrix_ = matrix;
    least_ = least;
    lowest_ = lowest;
    scale_ = scale;
    forbids_ = forbids;
    padded_ = padded_to_lanes(matrix.columns);
    kept_ = int64_t{matrix.rows} * padded_ <= kKept;
    integers_.resize((kept_ ? matrix.rows : 1) * static_cast<size_t>(padded_));
    for (int i = 0; i < matrix.rows && kept_; ++i) fill(i, integers_.data() + int64_t{i} * padded_);
  }

  const double* row(int i) {
    if (kept_) return integers_.data() + int64_t{i} * padded_;
    fill(i, integers_.data());
    return integers_.data();
  }
  double at(int i, int j) const {
    if (kept_) return integers_[int64_t{i} * padded_ + j];
    return scale_.integer(static_cast<double>(matrix_.at(i, j)), least_[i]);
  }
  double offset(int i) const {
    constexpr double kMost = 4294967296.0;
    return std::min(std::ceil((least_[i] - lowest_) * scale_.scale()), kMost);
  }
  bool forbids() const { return forbids_; }

 private:
  static constexpr int64_t kKept =
      1100000;  // 8 MB; making 1024 rows anew takes as long as a search

  void fill(int i, double* __restrict out) const {
    const T* const __restrict costs = matrix_.row(i);
    const CostScale scale = scale_;
    const double least = least_[i];
    const int n = matrix_.columns;
    if (forbids_) {
      for (int j = 0; j < n; ++j) out[j] = scale.integer(static_cast<double>(costs[j]), least);
    } else {
      for (int j = 0; j < n; ++j) out[j] = scale.allowed(static_cast<double>(costs[j]), least);
    }
    std::fill(out + n, out + padded_, kInfinity);
  }

  Matrix<T> matrix_{};
  const double* least_ = nullptr;
  double lowest_ = 0;
  CostScale scale_;
  int padded_ = 0;
  bool kept_ = true, forbids_ = false;
  std::vector<double> integers_;
};

// ---- Samples ------------------------------------------------------------------------------------

// Serves any number of samples of one size, of any call.
template <typename T>
class Workspace {
 public:
  explicit Workspace(const AssignmentProblem& p)
      : rows_(static_cast<int>(p.rows)), columns_(static_cast<int>(p.columns)) {}

  bool fits(const AssignmentProblem& p) const { return p.rows == rows_ && p.columns == columns_; }

  Status solve(const AssignmentProblem& problem, int64_t b) {
    int64_t* const source = problem.source + b * columns_;
    std::fill_n(source, columns_, int64_t{-1});
    problem.total[b] = 0;
    if (std::min(rows_, columns_) == 0) return {};
    const Matrix<T> matrix{costs(problem, b), rows_, columns_};
    const Status status = check(matrix, b);
    if (!status.ok()) return status;
    const bool assigned = problem.exact ? assign(matrix, source) : match(matrix, source);
    double total = 0;
    for (int j = 0; j < columns_; ++j) {
      if (source[j] >= 0) total += matrix.at(static_cast<int>(source[j]), j);
    }
    problem.total[b] = total;
    if (!assigned || total == kInfinity) return infeasible(matrix, source, assigned, b);
    return {};
  }

 private:
  // The types without arithmetic of their own are unpacked to double.
  const T* costs(const AssignmentProblem& problem, int64_t b) {
    const int64_t count = int64_t{rows_} * columns_;
    if constexpr (std::is_same<T, double>::value) {
      if (problem.cost.dtype != Dtype::float64) {
        unpacked_.resize(count);
        load(problem.cost, b * count, count, unpacked_.data());
        return unpacked_.data();
      }
    }
    return static_cast<const T*>(problem.cost.data) + b * count;
  }

  Status check(const Matrix<T>& matrix, int64_t b) {
    constexpr T kMost = std::numeric_limits<T>::max(), kLowest = std::numeric_limits<T>::lowest();
    forbids_ = false;
    if (!measure(matrix)) {
      const T *const begin = matrix.costs, *const end = begin + int64_t{rows_} * columns_;
      const T* const wrong = std::find_if(begin, end, [](T x) { return !(x >= kLowest); });
      if (wrong != end) return {Fault::value, 0, b, wrong - begin};
      forbids_ = std::any_of(begin, end, [](T x) { return x > kMost; });
    }
    return finite_range_ ? Status() : Status{Fault::sum, 0, b, 0};
  }

  // Sets what is known of the rows of a matrix. Returns false if a cost may not be finite.
  bool measure(const Matrix<T>& matrix) {
    Pack<T> sum = pack_of(T{0});
    measure(matrix, [&](const T* row) { return extent<T>(row, matrix.columns, sum); });
    bool finite = true;
    for (int l = 0; l < kPacked<T>; ++l) finite = finite && sum[l] - sum[l] == 0;
    if (!finite) {
      measure(matrix, [&](const T* row) { return finite_extent(row, matrix.columns); });
    }
    return finite;
  }

  template <typename Look>
  void measure(const Matrix<T>& matrix, const Look& extent_of) {
    double lowest = kInfinity, most = -kInfinity, spread = 0;
    least_.resize(matrix.rows);
    for (int i = 0; i < matrix.rows; ++i) {
      const Extent<T> extent = extent_of(matrix.row(i));
      const double low = static_cast<double>(extent.least), high = static_cast<double>(extent.most);
      least_[i] = low;
      lowest = std::min(lowest, low);
      most = std::max(most, high);
      spread = std::max(spread, high - low);
    }
    lowest_ = lowest;
    spread_ = spread;
    finite_range_ = !(most - lowest > DBL_MAX);
  }

  // The status of an infinite total: a fault if the assignment has to contain a forbidden pair.
  static Status infeasible(const Matrix<T>& matrix, const int64_t* source, bool assigned,
                           int64_t b) {
    int j = 0;
    const auto forbidden = [&](int k) {
      return source[k] >= 0 && !(matrix.at(static_cast<int>(source[k]), k) <= DBL_MAX);
    };
    while (assigned && j < matrix.columns && !forbidden(j)) ++j;
    if (j == matrix.columns) return {};  // finite costs whose sum is not
    return {Fault::infeasible, 0, b, 0};
  }

  bool match(const Matrix<T>& matrix, int64_t* source) {
    matching_.reset(rows_, columns_);
    for (int i = 0; i < rows_; ++i) {
      for (int row = i; row < rows_;) {
        const auto choice = matching_.choose(matrix, row);
        if (choice.column < 0) break;  // a row left over
        row = matching_.seat(row, choice);
      }
    }
    for (int j = 0; j < columns_; ++j) {
      if (matching_.row(j) < rows_) source[j] = matching_.row(j);
    }
    return true;
  }

  // False where no assignment has room for all.
  bool assign(const Matrix<T>& matrix, int64_t* source) {
    if (rows_ <= columns_) {
      if (!refine(matrix)) return false;
      for (int j = 0; j < columns_; ++j) source[j] = engine_.row(j);
      return true;
    }
    // The engine needs a column for each row: it gets the transposed matrix.
    turned_.resize(int64_t{rows_} * columns_);
    for (int i = 0; i < rows_; ++i) {
      for (int j = 0; j < columns_; ++j) turned_[int64_t{rows_} * j + i] = matrix.at(i, j);
    }
    const Matrix<T> turned{turned_.data(), columns_, rows_};
    measure(turned);
    if (!refine(turned)) return false;
    for (int i = 0; i < rows_; ++i) {
      if (engine_.row(i) >= 0) source[engine_.row(i)] = i;
    }
    return true;
  }

  // Solves on finer and finer scales, until the total is as near to the least as is promised.
  bool refine(const Matrix<T>& matrix) {
    constexpr bool kInteger = std::is_integral<T>::value;
    if (*std::max_element(least_.begin(), least_.end()) == kInfinity) return false;
    int bits = 45;
    for (int n = 1; n < matrix.columns + 2; n *= 2) --bits;
    CostScale scale = kInteger ? CostScale() : CostScale(spread_, bits);
    while (true) {
      integers_.set(matrix, least_.data(), lowest_, scale, forbids_);
      if (engine_.solve(matrix.rows, matrix.columns, integers_) >= 0) return false;
      if (kInteger) return true;
      double total = 0;
      for (int j = 0; j < matrix.columns; ++j) {
        const int i = engine_.row(j);
        if (i >= 0) total += static_cast<double>(matrix.at(i, j)) - least_[i];
      }
      if (scale.fine_enough(total, matrix.rows)) return true;
      const CostScale finer(total, bits);
      if (!finer.finer_than(scale)) return true;
      scale = finer;
      forbids_ = true;
    }
  }

  const int rows_, columns_;
  double lowest_ = 0;  // the least of all costs
  // Of the rows of what is assigned: the least cost of each, and the most that one is above that.
  std::vector<double> least_;
  double spread_ = 0;
  bool finite_range_ = true;  // whether the costs' range is a number
  bool forbids_ = false;      // whether a pair is forbidden
  std::vector<double> unpacked_;
  std::vector<T> turned_;
  DeferredAcceptance<T> matching_;
  IntegerCosts<T> integers_;
  JonkerVolgenant engine_;
};

template <typename T>
Status solve(const AssignmentProblem& p, int threads) {
  constexpr int64_t kWorthwhile = 10000;  // entries that pay for waking a thread
  const int64_t entries = std::max<int64_t>(p.rows * p.columns, 1);
  return solve_batch<Workspace<T>>(p, 1 + kWorthwhile / entries, threads);
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
