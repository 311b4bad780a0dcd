#include "graphcut/graphcut.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "batch.h"
#include "graphcut/exact.h"
#include "graphcut/grid_cut.h"
#include "graphcut/integers.h"
#include "graphcut/swap.h"
#include "owned.h"
#include "plain_team.h"

namespace puzzlemix {
namespace {

// ---- Checks: the first entry that is not allowed ------------------------------------------------

// Looks at bits, as comparisons of doubles don't vectorise. Adding one to the exponent of an
// infinity or a NaN carries into the sign.
constexpr uint64_t kSign = uint64_t{1} << 63, kExponentOne = uint64_t{1} << 52;

uint64_t bits_of(double x) {
  uint64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

// Whether all values are finite and have no sign: -0, which is allowed, doesn't pass.
bool all_unsigned(const double* values, int count) {
  uint64_t wrong = 0;
  for (int i = 0; i < count; ++i) wrong |= bits_of(values[i]) | (bits_of(values[i]) + kExponentOne);
  return (wrong & kSign) == 0;
}

bool capacity(double x) { return x >= 0 && x <= DBL_MAX; }

// Checks values that are kept by cell; `argument` is the number of their tensor.
Status check_cells(const double* values, int cells, int argument, int64_t b) {
  if (all_unsigned(values, cells)) return {};
  const double* const end = values + cells;
  const double* const wrong = std::find_if_not(values, end, capacity);
  if (wrong == end) return {};
  return {Fault::value, argument, b, wrong - values};
}

Status check_edges(const GivenEdges& edges, GridShape shape, int64_t b, int first_argument) {
  const Status down = check_cells(edges.down, shape.cells(), first_argument, b);
  if (!down.ok()) return down;
  Status right = check_cells(edges.right, shape.cells(), first_argument + 1, b);
  right.entry = shape.horizontal(static_cast<int>(right.entry));
  return right;
}

Status check_labeling(const GivenLabeling& given, GridShape shape, int labels, int64_t b,
                      int unary_argument) {
  PlainTeam team;
  bool finite = true;
  for (int l = 0; l < labels; ++l) {
    finite = finite && all_finite(team, shape.cells(), given.unary + l * given.plane);
  }
  for (int e = 0; !finite && e < shape.cells() * labels; ++e) {
    const double x = given.unary[e % labels * given.plane + e / labels];
    if (!(std::abs(x) <= DBL_MAX)) return {Fault::value, unary_argument, b, e};
  }
  return check_edges(given.edges, shape, b, unary_argument + 1);
}

// ---- Workspaces: each solves one sample after another in storage of its own ---------------------

template <int Words, int Width>
class MinCut {
 public:
  explicit MinCut(const MinCutProblem& p)
      : shape_(p.height, p.width), memory_(kPlane), cut_(p.height, p.width) {
    for (int i = 0; i < shape_.cells(); ++i) all_.set(i);
  }

  bool fits(const MinCutProblem& p) const {
    return p.height == shape_.height && p.width == shape_.width;
  }

  Status solve(const MinCutProblem& p, int64_t b) {
    const auto& [given, integers] = *memory_;
    PlainTeam team;
    read_cut(team, p, b, given);
    const int n = shape_.cells();
    Status status = check_cells(given.source, n, 0, b);
    if (status.ok()) status = check_cells(given.sink, n, 1, b);
    if (status.ok()) status = check_edges(given.edges, shape_, b, 2);
    if (!status.ok()) return status;
    if (!round_cut(team, given, shape_, p.integers, integers)) return {Fault::sum, 0, b, 0};
    std::copy_n(integers.excess, n, cut_.excess());
    flow_.clear();
    const auto edges = cut_.edges(integers.right, integers.down, integers.right, integers.down);
    const Bits<Words> sink_side = cut_.solve(all_, edges, 1, flow_, /*sweeps=*/true);
    bool* const segment = p.segment + b * n;
    for (int i = 0; i < n; ++i) segment[i] = sink_side.has(i);
    p.flow[b] = cut_capacity(team, given, shape_, [=](int i) { return segment[i]; });
    return {};
  }

 private:
  static constexpr int kPlane = Words * 64;
  struct Work {
    Work(Arena& arena, int plane) : given(arena, plane), integers(arena, plane) {}

    GivenCut given;
    IntegerCut integers;
  };

  const GridShape shape_;
  Owned<Work> memory_;
  GridCut<Words, Width> cut_;
  Flow<Words> flow_;
  Bits<Words> all_ = Bits<Words>::none();
};

// A labelling problem with the integers of its label cost, which are made once for all samples.
struct CostedProblem : LabelingProblem {
  LabelCost cost;
  int64_t max_cycles;
};

// The base of the workspaces of labelling problems: one sample, and its integers.
class Labeling {
 public:
  Labeling(const CostedProblem& p, int plane)
      : shape_(p.height, p.width), cost_(p.cost), memory_(shape_, plane, p.labels) {}

  bool fits(const CostedProblem& p) const {
    return p.height == shape_.height && p.width == shape_.width && p.cost == cost_;
  }

 protected:
  Status load(const CostedProblem& p, int64_t b) {
    PlainTeam team;
    read_labeling(team, p, b, memory_->given);
    const Status status = check_labeling(memory_->given, shape_, p.labels, b, 0);
    if (!status.ok()) return status;
    if (!round_labeling(team, memory_->given, cost_, p.integers, memory_->integers)) {
      return {Fault::sum, 0, b, 0};
    }
    return {};
  }

  // Solves a sample, label(out) being what writes the labels.
  template <typename Label>
  Status solve_with(const CostedProblem& p, int64_t b, const Label& label) {
    const Status status = load(p, b);
    if (!status.ok()) return status;
    int64_t* const out = p.out + b * shape_.cells();
    label(out);
    p.energy[b] = energy(out);
    return {};
  }

  double energy(const int64_t* labels) const {
    PlainTeam team;
    return labeling_energy(team, memory_->given, shape_, &cost_, labels);
  }

  struct Work {
    Work(Arena& arena, GridShape shape, int plane, int labels)
        : given(arena, plane, labels), integers(arena, shape, plane, labels) {}

    GivenLabeling given;
    IntegerLabeling integers;
  };

  const GridShape shape_;
  const LabelCost cost_;
  Owned<Work> memory_;
};

template <int Words, int Width>
class Swap : public Labeling {
 public:
  explicit Swap(const CostedProblem& p)
      : Labeling(p, Words * 64), swap_(memory_->integers, cost_) {}

  Status solve(const CostedProblem& p, int64_t b) {
    return solve_with(p, b, [&](int64_t* out) { swap_.solve(p.max_cycles, out); });
  }

 private:
  AlphaBetaSwap<Words, Width> swap_;
};

template <int Words, int Width>
class Exact : public Labeling {
 public:
  explicit Exact(const CostedProblem& p)
      : Labeling(p, Words * 64), exact_(memory_->integers, cost_) {}

  Status solve(const CostedProblem& p, int64_t b) {
    return solve_with(p, b, [&](int64_t* out) { exact_.solve(out); });
  }

 private:
  ExactLabeling<Words, Width> exact_;
};

class Energy : public Labeling {
 public:
  explicit Energy(const CostedProblem& p)
      : Labeling(p, padded(p.height * p.width)), labels_(shape_.cells()) {}

  Status solve(const CostedProblem& p, int64_t b) {
    PlainTeam team;
    const int n = shape_.cells();
    // A copy, so that no label changes between its check and its use.
    std::copy_n(p.out + b * n, n, labels_.begin());
    const auto known = [&](int64_t label) { return label >= 0 && label < p.labels; };
    const auto wrong = std::find_if_not(labels_.begin(), labels_.end(), known);
    read_labeling(team, p, b, memory_->given);
    const Status status = check_labeling(memory_->given, shape_, p.labels, b, 1);
    if (!status.ok()) return status;
    if (wrong != labels_.end()) return {Fault::value, 0, b, wrong - labels_.begin()};
    p.energy[b] = energy(labels_.data());
    return {};
  }

 private:
  std::vector<int64_t> labels_;
};

// The least samples that are worth waking a thread for, if each takes this time.
int64_t grain(int64_t nanoseconds) {
  constexpr int64_t kWorthwhile = 20000;  // nanoseconds of work that pay for waking a thread
  return kWorthwhile / nanoseconds + 1;
}

int64_t cells(const LabelingProblem& p) { return int64_t{p.height} * p.width; }

}  // namespace

Status grid_min_cut_cpu(const MinCutProblem& p, int threads) {
  return for_words(p.height, p.width, [&](auto words, auto width) {
    return solve_batch<MinCut<words, width>>(p, grain(20 * p.height * p.width), threads);
  });
}

Status alpha_beta_swap_cpu(const LabelingProblem& given, int64_t max_cycles, int threads) {
  CostedProblem p{given, {}, max_cycles};
  if (!read_label_cost(p, p.cost)) return kBadLabelCost;
  return for_words(p.height, p.width, [&](auto words, auto width) {
    return solve_batch<Swap<words, width>>(p, grain(30 * p.labels * cells(p)), threads);
  });
}

Status exact_labeling_cpu(const LabelingProblem& given, int threads) {
  CostedProblem p{given, {}, -1};
  if (!read_label_cost(p, p.cost) || !make_convex(p.cost)) return kBadLabelCost;
  return for_words(p.height, p.width, [&](auto words, auto width) {
    return solve_batch<Exact<words, width>>(p, grain(25 * p.labels * cells(p)), threads);
  });
}

Status labeling_energy_cpu(const LabelingProblem& given, int threads) {
  CostedProblem p{given, {}, -1};
  if (!read_label_cost(p, p.cost)) return kBadLabelCost;
  return solve_batch<Energy>(p, grain(2 * p.labels * cells(p)), threads);
}

}  // namespace puzzlemix
