#include "graphcut/graphcut.h"

#include <algorithm>
#include <vector>

#include "batch.h"
#include "graphcut/descent.h"
#include "graphcut/grid_cut.h"
#include "graphcut/integers.h"
#include "graphcut/ishikawa.h"
#include "graphcut/swap.h"

namespace puzzlemix {
namespace {

// Solvers of one sample after another, each with its own storage, called with the sample's index.

// A value that is not allowed, somewhere in the sample.
Status bad_value(int64_t b) { return {Fault::value, 0, b, 0}; }

template <int Words, int Width>
class MinCut {
 public:
  explicit MinCut(const MinCutProblem& problem)
      : problem_(problem), sample_(problem), cut_(problem.height, problem.width) {
    for (int i = 0; i < problem.height * problem.width; ++i) all_.set(i);
  }

  Status operator()(int64_t b) {
    if (!sample_.load(b)) return bad_value(b);
    const int cells = problem_.height * problem_.width;
    std::copy_n(sample_.excess(), cells, cut_.excess());
    flow_.clear();
    const auto edges = cut_.edges(sample_.right(), sample_.down(), sample_.right(), sample_.down());
    const Bits<Words> sink_side = cut_.solve(all_, edges, 1, flow_);
    bool* const segment = problem_.segment + b * cells;
    for (int i = 0; i < cells; ++i) segment[i] = sink_side.has(i);
    problem_.flow[b] = sample_.value(segment);
    return {};
  }

 private:
  const MinCutProblem& problem_;
  CutSample sample_;
  GridCut<Words, Width> cut_;
  Flow<Words> flow_;
  Bits<Words> all_ = Bits<Words>::none();
};

// What the two labellings share.
class Labeling {
 public:
  Labeling(const LabelingProblem& problem, const LabelCost& cost)
      : problem_(problem), sample_(problem, cost) {}

 protected:
  template <typename Solve>
  Status label(int64_t b, const Solve& solve) {
    if (!sample_.load(b)) return bad_value(b);
    int64_t* const out = problem_.out + b * sample_.cells();
    solve(out);
    problem_.energy[b] = sample_.energy(out);
    return {};
  }

  const LabelingProblem& problem_;
  Sample sample_;
};

template <int Words, int Width>
class Swap : Labeling {
 public:
  Swap(const LabelingProblem& problem, const LabelCost& cost, int64_t max_cycles)
      : Labeling(problem, cost), max_cycles_(max_cycles), swap_(sample_) {}

  Status operator()(int64_t b) {
    return label(b, [this](int64_t* out) { swap_.solve(max_cycles_, out); });
  }

 private:
  const int64_t max_cycles_;
  AlphaBetaSwap<Words, Width> swap_;
};

template <int Words, int Width>
class Exact : Labeling {
 public:
  Exact(const LabelingProblem& problem, const LabelCost& cost)
      : Labeling(problem, cost), descent_(sample_), ishikawa_(sample_) {}

  Status operator()(int64_t b) {
    return label(b, [this](int64_t* out) {
      if (descent_.applies() && descent_.solve(out)) return;
      ishikawa_.solve(descent_.lowest(), descent_.highest(), out);
    });
  }

 private:
  Descent<Words, Width> descent_;
  Ishikawa ishikawa_;
};

// Calls f with the number of words that a grid's bit masks take, as a constant.
template <typename F>
Status for_words(int height, int width, const F& f) {
  const auto known = [&](auto words, auto usual) {
    constexpr int kUsual = usual;
    return height > 1 && width == kUsual ? f(words, usual)
                                         : f(words, std::integral_constant<int, 0>());
  };
  switch (padded(height * width) / 64) {
    case 1:
      return known(std::integral_constant<int, 1>(), std::integral_constant<int, 8>());
    case 4:
      return known(std::integral_constant<int, 4>(), std::integral_constant<int, 16>());
    case 16:
      return known(std::integral_constant<int, 16>(), std::integral_constant<int, 32>());
    default:
      return known(std::integral_constant<int, 64>(), std::integral_constant<int, 64>());
  }
}

// How many samples are worth a thread, by the time that one takes.
int64_t grain(int64_t nanoseconds) {
  constexpr int64_t kWorthwhile = 20000;  // nanoseconds of work that pay for waking a thread
  return kWorthwhile / nanoseconds + 1;
}

int64_t cells(const LabelingProblem& p) { return int64_t{p.height} * p.width; }

}  // namespace

Status grid_min_cut_cpu(const MinCutProblem& p, int threads) {
  return for_words(p.height, p.width, [&](auto words, auto width) {
    return solve_batch(p.batch, grain(20 * p.height * p.width), threads,
                       [&] { return MinCut<words, width>(p); });
  });
}

Status alpha_beta_swap_cpu(const LabelingProblem& p, int64_t max_cycles, int threads) {
  LabelCost cost;
  if (!read_label_cost(p, cost)) return {Fault::label_cost, 3, 0, 0};
  return for_words(p.height, p.width, [&](auto words, auto width) {
    return solve_batch(p.batch, grain(30 * p.labels * cells(p)), threads,
                       [&] { return Swap<words, width>(p, cost, max_cycles); });
  });
}

Status exact_labeling_cpu(const LabelingProblem& p, int threads) {
  LabelCost cost;
  if (!read_label_cost(p, cost) || !make_convex(cost)) return {Fault::label_cost, 3, 0, 0};
  return for_words(p.height, p.width, [&](auto words, auto width) {
    return solve_batch(p.batch, grain(25 * p.labels * cells(p)), threads,
                       [&] { return Exact<words, width>(p, cost); });
  });
}

Status labeling_energy_cpu(const LabelingProblem& p, int threads) {
  LabelCost cost;
  if (!read_label_cost(p, cost)) return {Fault::label_cost, 3, 0, 0};
  return solve_batch(p.batch, grain(2 * p.labels * cells(p)), threads, [&] {
    return [&p, sample = Sample(p, cost),
            labels = std::vector<int64_t>(cells(p))](int64_t b) mutable -> Status {
      // A copy, lest another thread changes a label that was checked.
      std::copy_n(p.out + b * cells(p), cells(p), labels.begin());
      const auto known = [&p](int64_t label) { return label >= 0 && label < p.labels; };
      if (!sample.read(b) || !std::all_of(labels.begin(), labels.end(), known)) return bad_value(b);
      p.energy[b] = sample.energy(labels.data());
      return {};
    };
  });
}

}  // namespace puzzlemix
