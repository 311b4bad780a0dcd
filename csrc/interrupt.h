// Interruption of long solves: they check now and then whether the caller still wants the answer,
// so that Ctrl-C ends any call within a fraction of a second, however large its batch or a sample.
#pragma once

#include <cstdint>

namespace puzzlemix {

// Thrown by a solve that is to stop. The binding then raises the pending Python exception.
struct Interrupted {};

// A function that says whether the calling thread is to stop. Set once, by the binding.
using Interruption = bool (*)();
void ask_for_interruption(Interruption wanted);

// Throws Interrupted if the thread is to stop. Cheap: it calls the binding's function ten times a
// second at most.
void check_interruption();

// Counts work, in units of about a nanosecond, and checks for an interruption every millisecond of
// it.
class Patience {
 public:
  void spend(int64_t work) {
    if ((left_ -= work) > 0) return;
    left_ = kWork;
    check_interruption();
  }

 private:
  static constexpr int64_t kWork = 1000000;
  int64_t left_ = kWork;
};

}  // namespace puzzlemix
