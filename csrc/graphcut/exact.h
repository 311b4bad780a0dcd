// The lowest optimal labelling of one sample on the CPU: by steepest descent where the label cost
// is a function of the distance of labels (descent.h), which decides all or nearly all cells; what
// it leaves undecided by a minimum cut in Ishikawa's graph (ishikawa.h).
#pragma once

#include "graphcut/descent.h"
#include "graphcut/ishikawa.h"

namespace puzzlemix {

template <int Words, int Width>
class ExactLabeling {
 public:
  ExactLabeling(const IntegerLabeling& sample, const LabelCost& cost)
      : descent_(sample, cost), ishikawa_(sample, cost) {}

  template <typename Label>
  void solve(Label* out) {
    if (descent_.applies() && descent_.solve(out)) return;
    ishikawa_.solve(descent_.lowest(), descent_.highest(), out);
  }

 private:
  Descent<Words, Width> descent_;
  Ishikawa ishikawa_;
};

}  // namespace puzzlemix
