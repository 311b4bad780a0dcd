// The matching of blocks and places where moving is free (D = 0): by worth alone.
#pragma once

#include <numeric>

#include "transport/block_grid.h"

namespace puzzlemix {

// With rows and columns preferring the cheaper entry and the lower index, the stable matching takes
// the entries in the order of (cost, row, column), as the first of them is the first choice of its
// row and of its column. A cost is -S here, and S grows with saliency and with weight: whoever is
// next leads the rows by saliency, or ties with who does, and so do the columns by weight.
// O(n log n), and the length of ties between different values. For weights 0 and 1 it is also an
// exact optimum: the most salient blocks are shown.
class BlockTurns {
 public:
  explicit BlockTurns(const BlockSample& sample) : sample_(sample) {}

  // Returns the total.
  double solve(int64_t* source) {
    const int n = sample_.cells();
    rows_.rank(sample_.saliency);
    columns_.rank(sample_.weight);
    int served = 0;
    for (; served < n; ++served) {
      const double w = columns_.highest(), worth = sample_.worth(rows_.highest(), w);
      if (worth == 0) break;
      const int i = rows_.take([&](double other) { return sample_.worth(other, w) == worth; });
      const double mine = sample_.saliency[i];
      const int j =
          columns_.take([&](double other) { return sample_.worth(mine, other) == worth; });
      source[j] = i;
    }
    // What is left is worth nothing anywhere: the lowest row goes to the lowest column.
    rows_.sort_rest();
    columns_.sort_rest();
    for (int k = 0; served < n; ++k, ++served) source[columns_.rest(k)] = rows_.rest(k);
    return sample_.total(source);
  }

 private:
  // Indices by falling value, those of one value in a queue, the lowest index first.
  class Ranking {
   public:
    void rank(const std::vector<double>& values) {
      values_ = values.data();
      order_.resize(values.size());
      std::iota(order_.begin(), order_.end(), 0);
      std::sort(order_.begin(), order_.end(), [this](int a, int b) {
        return values_[a] > values_[b] || (values_[a] == values_[b] && a < b);
      });
      queues_.clear();
      for (int k = 0; k < static_cast<int>(order_.size()); ++k) {
        if (k == 0 || values_[order_[k]] != values_[order_[k - 1]]) queues_.push_back({k, k});
        ++queues_.back().end;
      }
      front_ = 0;
    }

    double highest() const { return values_[order_[queues_[front_].next]]; }

    // Removes the lowest index among the values, from the highest on, that tie with it.
    template <typename Tied>
    int take(const Tied& tied) {
      Queue* best = &queues_[front_];
      for (size_t q = front_ + 1; q < queues_.size(); ++q) {
        Queue& queue = queues_[q];
        if (queue.next == queue.end) continue;
        if (!tied(values_[order_[queue.next]])) break;
        if (order_[queue.next] < order_[best->next]) best = &queue;
      }
      const int index = order_[best->next++];
      while (front_ < queues_.size() && queues_[front_].next == queues_[front_].end) ++front_;
      return index;
    }

    void sort_rest() {
      rest_.clear();
      for (const Queue& queue : queues_) {
        rest_.insert(rest_.end(), order_.begin() + queue.next, order_.begin() + queue.end);
      }
      std::sort(rest_.begin(), rest_.end());
    }
    int rest(int k) const { return rest_[k]; }

   private:
    struct Queue {
      int next, end;  // in order_
    };

    const double* values_ = nullptr;
    std::vector<int> order_, rest_;
    std::vector<Queue> queues_;
    size_t front_ = 0;  // the first queue that is not empty
  };

  const BlockSample& sample_;
  Ranking rows_, columns_;
};

}  // namespace puzzlemix
