// Long solves ask now and then whether the caller still wants the answer: Ctrl-C then ends any call
// within a fraction of a second, whatever the size of its batch or of one sample.
#pragma once

#include <cstdint>

namespace puzzlemix {

// What a solve that is no longer wanted throws. The binding makes Python's exception of it.
struct Interrupted {};

// Says whether the caller wants the calling thread to stop. Set once, by the binding.
using Interruption = bool (*)();
void ask_for_interruption(Interruption wanted);

// Throws Interrupted where the thread is to stop. Looks at the clock and asks ten times a second.
void check_interruption();

// Counts work, in units of about a nanosecond, and asks each time that a millisecond's is done.
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
