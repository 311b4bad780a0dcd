// Alpha-beta swap on one sample (Boykov, Veksler and Zabih, PAMI 2001, section 4), on the CPU.
//
// A labelling is improved by moves. The move of a pair of labels, alpha and beta, lets every cell
// that has one of the two choose between them; all others keep their label. The best such choice
// is a minimum cut of the grid of these active cells: the source side takes alpha, the sink side
// beta, an edge costs its weight times the cost of alpha beside beta, and a cell's excess is what
// beta costs it more than alpha, with what it then pays to neighbours that aren't active. A move is
// taken if it lowers the energy. A sweep tries all L (L - 1) / 2 pairs; the search ends after a
// sweep without a move, at a labelling that no single move improves. It need not be the optimum.
//
// Energies are integers below 2^30, so there are finitely many moves; a few sweeps do in practice.
// Each cut is GridCut's (grid_cut.h). Sets of cells with one label are bit masks.
//
// A pair is tried again only if, since it was last tried, a cell with one of its labels changed or
// got a neighbour that did: otherwise its cut, and so its outcome, would be the same (30 to 40 %
// fewer cuts). For each label the time of its last such event is kept.
#pragma once

#include <algorithm>
#include <vector>

#include "graphcut/grid_cut.h"
#include "graphcut/integers.h"
#include "plain_team.h"

namespace puzzlemix {

template <int Words, int Width>
class AlphaBetaSwap {
 public:
  using Set = Bits<Words>;

  AlphaBetaSwap(const IntegerLabeling& sample, const LabelCost& cost)
      : sample_(sample),
        cost_(cost),
        labels_(sample.labels),
        cut_(sample.shape.height, sample.shape.width),
        terminal_(Words * 64),
        flows_(labels_ * (labels_ - 1) / 2) {}

  // max_cycles: the most sweeps; negative: no limit.
  template <typename Label>
  void solve(int64_t max_cycles, Label* out) {
    start();
    for (int64_t cycle = 0; cycle != max_cycles && sweep(); ++cycle) {
    }
    for (int l = 0; l < labels_; ++l) for_each_bit(cells_[l], [&](int i) { out[i] = l; });
  }

 private:
  using Cut = GridCut<Words, Width>;

  void start() {
    PlainTeam team;
    // -1, which is no label, pads the plane beyond the grid.
    std::fill(terminal_.begin(), terminal_.end(), -1);
    start_from_cheapest(team, sample_, terminal_.data());
    for (int l = 0; l < labels_; ++l) cells_[l] = equal_to<Words>(terminal_.data(), l);
    edges_ = cut_.edges(sample_.right, sample_.down, sample_.right, sample_.down);
    for (auto& flow : flows_) flow.clear();
    now_ = 1;
    std::fill_n(touched_, kMaxLabels, 1);
    std::fill_n(tried_, kMaxLabels * kMaxLabels, 0);
  }

  bool sweep() {
    bool moved = false;
    for (int a = 0; a < labels_; ++a) {
      for (int b = a + 1; b < labels_; ++b) {
        int& tried = tried_[a * kMaxLabels + b];
        if (std::max(touched_[a], touched_[b]) <= tried) continue;
        moved = move(a, b) || moved;
        tried = now_;
      }
    }
    return moved;
  }

  // Tries the move of alpha and beta; returns whether the energy fell.
  bool move(int alpha, int beta) {
    const Set active = cells_[alpha] | cells_[beta];
    if (!active.any()) return false;
    fill_terminals(alpha, beta, active);
    std::copy(terminal_.begin(), terminal_.end(), cut_.excess());
    const Set sink_side =
        cut_.solve(active, edges_, cost_(alpha, beta), flows_[beta * (beta - 1) / 2 + alpha]);
    const Set changed = sink_side ^ cells_[beta];
    if (!changed.any() || change(changed, active, cells_[beta], cost_(alpha, beta)) >= 0) {
      return false;
    }
    ++now_;
    touch_around(changed);
    cells_[alpha] = active - sink_side;
    cells_[beta] = sink_side;
    touched_[alpha] = touched_[beta] = now_;
    return true;
  }

  // By how much label beta is dearer than alpha in each active cell, with the cell's edges to
  // neighbours that have a third label.
  void fill_terminals(int alpha, int beta, const Set& active) {
    const int32_t *const more = sample_.costs_of(beta), *const less = sample_.costs_of(alpha);
    int32_t* const terminal = terminal_.data();
    const int n = sample_.shape.cells();
    for (int i = 0; i < n; ++i) terminal[i] = more[i] - less[i];
    for (int l = 0; l < labels_; ++l) {
      const int32_t difference = cost_(beta, l) - cost_(alpha, l);
      if (l == alpha || l == beta || difference == 0) continue;
      for (int d = 0; d < 4; ++d) {
        const int32_t* weight = edges_.capacity[d];
        const int back = d < Cut::kLeft ? 0 : cut_.offset(d);
        for_each_bit(active & edges_.tails[d] & cut_.tails(cells_[l], d),
                     [&](int i) { terminal_[i] += weight[i + back] * difference; });
      }
    }
  }

  // The change of energy when the active cells in `changed` swap their label.
  int64_t change(const Set& changed, const Set& active, const Set& beta, int32_t pair) const {
    int64_t sum = 0;
    for_each_bit(changed - beta, [&](int i) { sum += terminal_[i]; });
    for_each_bit(changed & beta, [&](int i) { sum -= terminal_[i]; });
    for (int d = 0; d < Cut::kLeft; ++d) {
      const int32_t* weight = edges_.capacity[d];
      const Set edges =
          active & edges_.tails[d] & cut_.tails(active, d) & (changed ^ cut_.tails(changed, d));
      const Set were_cut = beta ^ cut_.tails(beta, d);
      for_each_bit(edges - were_cut, [&](int i) { sum += int64_t{weight[i]} * pair; });
      for_each_bit(edges & were_cut, [&](int i) { sum -= int64_t{weight[i]} * pair; });
    }
    return sum;
  }

  // Records the event for the labels of the cells that changed and of their neighbours.
  void touch_around(const Set& changed) {
    Set around = changed;
    for (int d = 0; d < 4; ++d) around = around | (edges_.tails[d] & cut_.tails(changed, d));
    for (int l = 0; l < labels_; ++l) {
      if ((cells_[l] & around).any()) touched_[l] = now_;
    }
  }

  const IntegerLabeling sample_;
  const LabelCost& cost_;
  const int labels_;
  Cut cut_;
  std::vector<int32_t> terminal_;
  std::vector<Flow<Words>> flows_;
  typename Cut::Edges edges_;
  Set cells_[kMaxLabels];
  int now_ = 0;  // the number of moves taken, plus 1
  // By label, when a cell of it or a neighbour of one last changed; by pair, when it was last
  // tried.
  int touched_[kMaxLabels], tried_[kMaxLabels * kMaxLabels];
};

}  // namespace puzzlemix
