// The plan on the CPU: one thread takes a pair from pixels to plan, in one workspace.
#include "puzzle/puzzle.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "batch.h"
#include "graphcut/exact.h"
#include "graphcut/swap.h"
#include "owned.h"
#include "plain_team.h"
#include "puzzle/decide.h"
#include "puzzle/pooling.h"
#include "transport/block_approx.h"
#include "transport/block_exact.h"

namespace puzzlemix {
namespace {

// A call with the integers of its label cost, which are made once for all samples.
struct CpuCall : PuzzleCall {
  explicit CpuCall(const PuzzleProblem& problem)
      : PuzzleCall(problem), cost(squared_label_cost(problem.labels)) {}
  LabelCost cost;
};

// What calls must have in common to use the same workspace.
struct Sizes {
  explicit Sizes(const PuzzleCall& p)
      : number{p.channels,
               p.cell_rows,
               p.cell_columns,
               p.columns * p.channels,
               p.height,
               p.width,
               p.fine_height,
               p.fine_width,
               p.labels,
               p.exact_cut,
               static_cast<int>(p.transport),
               p.cycles > 1,
               p.saliency_columns1,
               p.saliency_columns2} {}
  bool operator==(const Sizes& other) const {
    return std::equal(std::begin(number), std::end(number), std::begin(other.number));
  }
  int number[14];
};

template <int Words, int Width>
class Planner {
 public:
  explicit Planner(const CpuCall& call) : sizes_(call), cost_(call.cost), memory_(call) {
    const IntegerLabeling& integers = memory_->decision.integers;
    call.exact_cut ? void(exact_.emplace(integers, cost_)) : void(swap_.emplace(integers, cost_));
    memory_->blocks.lay_out(team_);
    const int height = call.fine_height, width = call.fine_width;
    if (call.transport == Transport::approx) approx_.emplace(height, width);
    if (call.transport == Transport::exact) exact_transport_.emplace(height, width);
  }

  bool fits(const CpuCall& call) const { return sizes_ == Sizes(call); }

  Status solve(const CpuCall& call, int64_t b) {
    call_ = &call;
    const int64_t second = call.partner ? call.partner[b] : b;
    if (second < 0 || second >= call.others) return {Fault::value, PuzzleArgument::partner, b, 0};
    if (call.lam.data && !in_unit_interval(element(call.lam, b)))
      return {Fault::value, PuzzleArgument::lam, b, 0};
    const Work& work = *memory_;
    for (const ImageOf image : {ImageOf{0, b}, ImageOf{1, second}}) {
      const Status status = pool(image);
      if (!status.ok()) return status;
    }
    const View images{{work.cells[0], work.cells[1]},
                      {work.shares[0], work.shares[1]},
                      {nullptr, nullptr},
                      nullptr};
    Pair pair(call, b, images);
    if (!decide(team_, call, cost_, work.decision, work.blocks, &pair, *this))
      return {Fault::sum, PuzzleArgument::none, b, 0};
    return {};
  }

  // ---- The engines that decide() calls ----

  void cut(PlainTeam&, const IntegerLabeling&, int32_t* label) {
    swap_ ? swap_->solve(-1, label) : exact_->solve(label);
  }

  int64_t transport(PlainTeam&, const Blocks& blocks, int64_t* source) {
    return approx_ ? approx_->solve(blocks, source) : exact_transport_->solve(blocks, source);
  }

 private:
  struct Work {
    Work(Arena& arena, const PuzzleCall& call)
        : decision(arena, call, Words * 64),
          line(arena.take<double>(std::max(
              {call.columns * call.channels, call.saliency_columns1, call.saliency_columns2}))),
          sums(arena.take<double>(call.fine_cells())),
          shares{arena.take<double>(call.fine_cells()), arena.take<double>(call.fine_cells())},
          cells{arena.take<double>(call.image_cells() + kAliasing),
                arena.take<double>(call.image_cells())},
          blocks(arena, call.fine_height, call.fine_width) {}

    // Doubles between the windows of the two images. If their planes were a multiple of 4 KB apart,
    // the processor's store buffer would mistake one for the other.
    static constexpr int kAliasing = 40;

    DecisionWork decision;
    double *line, *sums;
    double *shares[2], *cells[2];
    Blocks blocks;
  };

  static bool in_unit_interval(double x) { return x >= 0 && x <= 1; }

  Status pool(const ImageOf& image) {
    const PuzzleCall& call = *call_;
    const Work& work = *memory_;
    bool wrong =
        pool_stripes(team_, call, image, 0, call.stripes(), work.line, work.cells[image.side]);
    // If every pixel is in a window that is written, checking the windows is enough.
    if (call.all_windows()) {
      wrong = !all_finite(team_, call.image_cells(), work.cells[image.side]);
    }
    if (wrong) {
      const Status status = bad_pixel(image);
      if (!status.ok()) return status;
      // All pixels are finite, but a window's sum overflowed: its distances will count as 0.
    }
    if (pool_saliency(team_, call, image, 0, call.fine_height, work.line, work.sums)) {
      const Status status = bad_saliency(image);
      if (!status.ok()) return status;
    }
    share(team_, call, work.sums, work.line, work.shares[image.side]);
    return {};
  }

  // Finds the first pixel that is not finite, if there is one.
  Status bad_pixel(const ImageOf& image) const {
    const PuzzleCall& call = *call_;
    const int64_t plane = int64_t{call.rows} * call.columns, pixels = call.channels * plane;
    const int argument = image.side == 0 ? PuzzleArgument::x1 : PuzzleArgument::x2;
    for (int64_t i = 0; i < pixels; ++i) {
      const int64_t at = call.channels_last ? i % plane * call.channels + i / plane : i;
      const Array& array = image.side == 0 ? call.x1 : call.x2;
      if (!std::isfinite(element(array, image.index * pixels + at))) {
        return {Fault::value, argument, image.index, i};
      }
    }
    return {};
  }

  // Finds the first saliency that is negative or not finite, if there is one.
  Status bad_saliency(const ImageOf& image) const {
    const PuzzleCall& call = *call_;
    const bool first = image.side == 0;
    const int argument = first ? PuzzleArgument::saliency1 : PuzzleArgument::saliency2;
    const int64_t count = first ? int64_t{call.saliency_rows1} * call.saliency_columns1
                                : int64_t{call.saliency_rows2} * call.saliency_columns2;
    for (int64_t i = 0; i < count; ++i) {
      const double x = element(first ? call.saliency1 : call.saliency2, image.index * count + i);
      if (!(x >= 0 && std::isfinite(x))) return {Fault::value, argument, image.index, i};
    }
    return {};
  }

  const Sizes sizes_;
  const LabelCost cost_;
  Owned<Work> memory_;
  PlainTeam team_;
  const PuzzleCall* call_ = nullptr;
  std::optional<AlphaBetaSwap<Words, Width>> swap_;
  std::optional<ExactLabeling<Words, Width>> exact_;
  std::optional<BlockApprox> approx_;
  std::optional<BlockExact> exact_transport_;
};

}  // namespace

Status puzzle_plan_cpu(const PuzzleProblem& problem, int threads) {
  const CpuCall call(problem);
  const int64_t pixels = int64_t{call.channels} * call.rows * call.columns;
  const int64_t nanoseconds = pixels / 2 + 30 * call.labels * call.cells() + 1000;
  constexpr int64_t kWorthwhile = 10000;  // nanoseconds that pay for waking a thread
  return for_words(call.height, call.width, [&](auto words, auto width) {
    return solve_batch<Planner<words, width>>(call, kWorthwhile / nanoseconds + 1, threads);
  });
}

}  // namespace puzzlemix
