// A team of one thread that takes the items of a phase in order: how the CPU runs an algorithm that
// is written for teams and has no better one of its own. See team.h.
#pragma once

#include "team.h"

namespace puzzlemix {

class PlainTeam {
 public:
  template <typename F>
  void step(int n, F f) {
    for (int i = 0; i < n; ++i) f(i);
  }

  template <typename F>
  double add(int n, F f) {
    double all = 0;
    for (int i = 0; i < n; ++i) all += f(i);
    return all;
  }
};

}  // namespace puzzlemix
