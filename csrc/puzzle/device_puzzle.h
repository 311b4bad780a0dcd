// The plan on a device, in two launches (see device_algorithm.h): one pools all images and saliency
// maps, a stripe of windows or a row of blocks a team; the other takes each pair from there to its
// plan.
#pragma once

#include <algorithm>

#include "graphcut/device_exact.h"
#include "graphcut/device_swap.h"
#include "puzzle/decide.h"
#include "transport/device_transport.h"

namespace puzzlemix {

// The images of a call, pooled: windows [., C, Y', X'] and sums of saliency [., h', w'] of the
// first and of the second images, which share memory where they are the same.
struct PooledImages {
  double *cells[2], *sums[2];
};

// Whether second images are the first ones, as in a batch that is mixed with itself.
inline bool one_batch(const PuzzleCall& call) {
  return call.x1.data == call.x2.data && call.saliency1.data == call.saliency2.data &&
         call.batch == call.others;
}

inline PooledImages lay_out_images(Arena& arena, const PuzzleCall& call) {
  PooledImages images;
  const bool one = one_batch(call);
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

struct PoolProblem : PuzzleCall {
  PoolProblem(const PuzzleCall& call, const PooledImages& images)
      : PuzzleCall(call),
        pooled(images),
        stripes(call.cell_rows * (call.channels_last ? 1 : call.channels)),
        count(call.batch + (one_batch(call) ? 0 : call.others)),
        first_count(call.batch),
        batch(count * (stripes + call.fine_height)) {}

  PooledImages pooled;
  int stripes;
  int64_t count, first_count;
  int64_t batch;  // stripes and rows of blocks, each for a team
};

struct DevicePool {
  using Problem = PoolProblem;
  struct Work {
    double* line;
  };

  PUZZLEMIX_HD static Work layout(Arena& arena, const Problem& p) {
    const int pixels = p.columns * (p.channels_last ? p.channels : 1);
    return {arena.take<double>(Most()(pixels, Most()(p.saliency_columns1, p.saliency_columns2)))};
  }
  static int items(const Problem& p) { return p.columns; }

  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& work, const Problem& p, int64_t item) {
    const int parts = p.stripes + p.fine_height;
    const int64_t number = item / parts;
    const int part = static_cast<int>(item % parts);
    const bool first = number < p.first_count;
    const ImageOf image{first ? 0 : 1, first ? number : number - p.first_count};
    if (part < p.stripes) {
      double* const cells = p.pooled.cells[image.side] + image.index * p.image_cells();
      const int stripe = part % p.cell_rows;
      pool_stripes(team, p, image, part / p.cell_rows, stripe, stripe + 1, work.line, cells);
    } else {
      double* const sums = p.pooled.sums[image.side] + image.index * p.fine_cells();
      const int row = part - p.stripes;
      pool_saliency(team, p, image, row, row + 1, work.line, sums);
    }
  }
};

struct DecideProblem : PuzzleCall {
  DecideProblem(const PuzzleCall& call, const PooledImages& images)
      : PuzzleCall(call), pooled(images), cost(squared_label_cost(call.labels)) {}

  PooledImages pooled;
  LabelCost cost;
};

// The engines of the device, as decide() calls them.
template <typename CutEngine, typename TransportEngine>
struct DeviceEngines {
  template <typename Team>
  PUZZLEMIX_HD void cut(Team& team, const IntegerLabeling& integers, int32_t* label) const {
    CutEngine::solve(team, cut_work, integers, cost, -1, label);
  }
  template <typename Team>
  PUZZLEMIX_HD int64_t transport(Team& team, const Blocks& blocks, int64_t* source) const {
    const TransportEngine engine = transport_engine;
    engine.solve(team, blocks);
    const int n = blocks.cells();
    team.step(n, [=](int j) { source[j] = engine.row(j); });
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
        : engines{typename CutEngine::Work(arena, p.shape(), p.labels),
                  TransportEngine(arena, moves(p) ? p.fine_height : 0, moves(p) ? p.fine_width : 0),
                  nullptr},
          cost(arena.take<LabelCost>(1)),
          decision(arena, p, p.cells()),
          blocks(arena, p.fine_height, p.fine_width),
          shares{arena.take<double>(p.fine_cells()), arena.take<double>(p.fine_cells())} {
      engines.cost = cost;
    }

    Engines engines;
    LabelCost* cost;
    DecisionWork decision;
    Blocks blocks;
    double* shares[2];

   private:
    // Where blocks stay, no transport is solved, and its engine needs no memory.
    PUZZLEMIX_HD static bool moves(const Problem& p) { return p.transport != Transport::none; }
  };

  PUZZLEMIX_HD static Work layout(Arena& arena, const Problem& p) { return Work(arena, p); }
  static int items(const Problem& p) { return std::max(p.cells(), p.fine_cells()); }

  template <typename Team>
  PUZZLEMIX_HD static void solve(Team& team, const Work& work, const Problem& p, int64_t b) {
    copy_label_cost(team, &p.cost, work.cost);
    work.blocks.lay_out(team);
    View images{{nullptr, nullptr}, {nullptr, nullptr}, {nullptr, nullptr}, nullptr};
    PUZZLEMIX_UNROLL
    for (int a = 0; a < 2; ++a) {
      const int64_t index = a == 0 ? b : p.partner_of(b);
      images.cells[a] = p.pooled.cells[a] + index * p.image_cells();
      images.shares[a] = work.shares[a];
      share(team, p, p.pooled.sums[a] + index * p.fine_cells(), work.decision.lines,
            work.shares[a]);
    }
    decide(team, p, *work.cost, work.decision, work.blocks, images, b, work.engines);
  }
};

// Calls use(Chosen algorithm) with the one that decides a call.
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
