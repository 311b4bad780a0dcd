// The plan on a device, as two device algorithms (device_algorithm.h). The first pools all images
// and saliency maps: a team does some stripes of windows or some rows of blocks. The second takes
// each pair from its pooled images to its plan.
#pragma once

#include <algorithm>

#include "graphcut/device_exact.h"
#include "graphcut/device_swap.h"
#include "puzzle/decide.h"
#include "puzzle/pooling.h"
#include "transport/device_transport.h"

namespace puzzlemix {

// The pooled images of a call: windows [., C, Y', X'] and sums of saliency [., h', w'], for the
// first and for the second images. These share memory if x1 and x2 are one tensor.
struct PooledImages {
  double *cells[2], *sums[2];
};

inline PooledImages lay_out_images(Arena& arena, const PuzzleCall& call) {
  PooledImages images;
  const bool one = call.one_batch();
  images.cells[0] = arena.take<double>(call.batch * call.image_cells());
  images.sums[0] = arena.take<double>(call.batch * call.fine_cells());
  images.cells[1] = one ? images.cells[0] : arena.take<double>(call.others * call.image_cells());
  images.sums[1] = one ? images.sums[0] : arena.take<double>(call.others * call.fine_cells());
  return images;
}

inline int64_t pooled_bytes(const PuzzleCall& call) {
  Arena counter(nullptr, 0, nullptr);
  lay_out_images(counter, call);
  return counter.slow_used();
}

inline PooledImages pooled_images(const PuzzleCall& call, char* memory) {
  Arena arena(nullptr, 0, memory);
  return lay_out_images(arena, call);
}

// Its "batch" are the parts that a team pools: of each image, first some stripes of windows each,
// then some rows of saliency blocks.
struct PoolProblem : PuzzleCall {
  PoolProblem(const PuzzleCall& call, const PooledImages& images)
      : PuzzleCall(call),
        pooled(images),
        stripes_a_part(fitting(call.x1, call.row_length(), call.stripes())),
        rows_a_part(std::min(fitting(call.saliency1, call.saliency_columns1, call.fine_height),
                             fitting(call.saliency2, call.saliency_columns2, call.fine_height))),
        image_parts((call.stripes() + stripes_a_part - 1) / stripes_a_part),
        parts(image_parts + (call.fine_height + rows_a_part - 1) / rows_a_part),
        batch((call.batch + (call.one_batch() ? 0 : call.others)) * parts),
        first_images(call.batch) {}

  static constexpr int kThreads = 256;

  PooledImages pooled;
  int stripes_a_part, rows_a_part;
  int image_parts, parts;  // of an image: those of stripes, and all
  int64_t batch;
  int64_t first_images;

 private:
  // How many of `count` rows of `length` sums have 16 bytes of pixels for each thread, at most.
  static int fitting(const Array& array, int length, int count) {
    const int wide = array.dtype == Dtype::float64 ? 2 : array.dtype == Dtype::float32 ? 4 : 8;
    return std::clamp(kThreads * wide / length, 1, count);
  }
};

struct DevicePool {
  using Problem = PoolProblem;
  struct Work {
    PUZZLEMIX_HD Work(Arena& arena, const Problem& p)
        : line(arena.take<double>(Most()(int64_t{p.stripes_a_part} * p.row_length(),
                                         int64_t{p.rows_a_part} * longest_row(p)))) {}

    double* line;

   private:
    PUZZLEMIX_HD static int longest_row(const Problem& p) {
      return Most()(p.saliency_columns1, p.saliency_columns2);
    }
  };

  static int items(const Problem&) { return PoolProblem::kThreads; }

  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& work, const Problem& p, int64_t item) {
    const int64_t number = item / p.parts;
    const int part = static_cast<int>(item % p.parts);
    const bool first = number < p.first_images;
    const ImageOf image{first ? 0 : 1, first ? number : number - p.first_images};
    if (part < p.image_parts) {
      double* const cells = p.pooled.cells[image.side] + image.index * p.image_cells();
      const int stripe = part * p.stripes_a_part;
      const int end = Least()(stripe + p.stripes_a_part, p.stripes());
      pool_stripes(team, p, image, stripe, end, work.line, cells);
    } else {
      double* const sums = p.pooled.sums[image.side] + image.index * p.fine_cells();
      const int row = (part - p.image_parts) * p.rows_a_part;
      const int end = Least()(row + p.rows_a_part, p.fine_height);
      pool_saliency(team, p, image, row, end, work.line, sums);
    }
  }
};

struct DecideProblem : PuzzleCall {
  DecideProblem(const PuzzleCall& call, const PooledImages& images)
      : PuzzleCall(call), pooled(images), cost(squared_label_cost(call.labels)) {}

  PooledImages pooled;
  LabelCost cost;
};

// The engines that decide() calls, on a device. They share memory: each is called anew for its
// problem, after the other has written its answer.
template <typename CutEngine, typename TransportEngine>
struct DeviceEngines {
  // `same`: a copy of `arena`. Where blocks stay, no transport is solved, and its engine needs no
  // memory.
  PUZZLEMIX_HD DeviceEngines(Arena& arena, Arena same, const PuzzleCall& call)
      : cut_work(arena, call.shape(), call.labels),
        transport_engine(same, call.transport == Transport::none ? 0 : call.fine_height,
                         call.transport == Transport::none ? 0 : call.fine_width),
        cost(nullptr) {
    arena.go_beyond(same);
  }

  template <typename Team>
  PUZZLEMIX_HD void cut(Team& team, const IntegerLabeling& integers, int32_t* label) const {
    CutEngine::solve(team, cut_work, integers, cost, -1, label);
  }
  template <typename Team>
  PUZZLEMIX_HD int64_t transport(Team& team, const Blocks& blocks, int64_t* source) const {
    const TransportEngine engine = transport_engine;
    engine.solve(team, blocks);
    const int n = blocks.cells();
    team.for_each(n, [=](int j) { source[j] = engine.row(j); });
    return blocks.squared_distances(team, [=](int j) { return engine.row(j); });
  }

  typename CutEngine::Work cut_work;
  TransportEngine transport_engine;
  const LabelCost* cost;
};

template <typename CutEngine, typename TransportEngine>
struct DeviceDecide {
  using Problem = DecideProblem;
  using Engines = DeviceEngines<CutEngine, TransportEngine>;

  struct Work {
    PUZZLEMIX_HD Work(Arena& arena, const Problem& p)
        : engines(arena, arena, p),
          cost(arena.take<LabelCost>(1)),
          pair(arena.take<Pair>(1)),
          decision(arena, p, p.cells()),
          blocks(arena, p.fine_height, p.fine_width),
          shares{arena.take<double>(p.fine_cells()), arena.take<double>(p.fine_cells())} {
      engines.cost = cost;
    }

    Engines engines;
    LabelCost* cost;
    Pair* pair;
    DecisionWork decision;
    Blocks blocks;
    double* shares[2];
  };

  static int items(const Problem& p) { return std::max(p.cells(), p.fine_cells()); }
  static int lanes(const Problem& p) { return CutEngine::lanes(p.shape(), p.labels); }

  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& work, const Problem& p, int64_t b) {
    copy_label_cost(team, &p.cost, work.cost);
    work.blocks.lay_out(team);
    const int64_t second = p.partner_of(b);
    const PooledImages& pooled = p.pooled;
    const View images{
        {pooled.cells[0] + b * p.image_cells(), pooled.cells[1] + second * p.image_cells()},
        {work.shares[0], work.shares[1]},
        {nullptr, nullptr},
        nullptr};
    const Pair started(p, b, images);
    Pair* const pair = work.pair;
    team.for_each(1, [=](int) { *pair = started; });
    share(team, p, pooled.sums[0] + b * p.fine_cells(), work.decision.lines, work.shares[0]);
    share(team, p, pooled.sums[1] + second * p.fine_cells(), work.decision.lines, work.shares[1]);
    decide(team, p, *work.cost, work.decision, work.blocks, pair, work.engines);
  }
};

// Calls use(Chosen<Algorithm>()) with the algorithm for the options of a call.
template <template <typename> class Chosen, typename Use>
void with_decision(const PuzzleProblem& p, const Use& use) {
  const auto with_transport = [&](auto cut) {
    using Cut = typename decltype(cut)::Type;
    if (p.transport == Transport::exact) return use(Chosen<DeviceDecide<Cut, DeviceBlockExact>>());
    return use(Chosen<DeviceDecide<Cut, DeviceBlockApprox>>());
  };
  p.exact_cut ? with_transport(Chosen<DeviceExactEngine>())
              : with_transport(Chosen<DeviceSwapEngine>());
}

}  // namespace puzzlemix
