// The rows that wait for a column in the device algorithms of assignments.
//
// Each is in a slot of its own. A row that takes a column from another leaves its slot to that one,
// so a round of proposals moves nothing else; once half of the slots are empty the rows are moved
// together.
#pragma once

#include "team.h"

#ifndef __CUDA_ARCH__
#include <bitset>
#endif

namespace puzzlemix {

constexpr uint16_t kNobody = 0xffff;  // stands for no row or no column

PUZZLEMIX_HD inline int count_bits(uint32_t word) {
#ifdef __CUDA_ARCH__
  return __popc(word);
#else
  return static_cast<int>(std::bitset<32>(word).count());
#endif
}

// The number of set bits among the first i.
PUZZLEMIX_HD inline int bits_before(const uint32_t* words, int i) {
  int before = 0;
  for (int w = 0; w < i >> 5; ++w) before += count_bits(words[w]);
  return (i & 31) == 0 ? before : before + count_bits(words[i >> 5] << (32 - (i & 31)));
}

// Calls visit(i) for each set bit i < n, in ascending order.
template <typename Visit>
PUZZLEMIX_HD void for_each_bit(const uint32_t* words, int n, Visit visit) {
  for (int w = 0; w < word_count(n); ++w) {
    for (uint32_t left = words[w]; left != 0; left &= left - 1) {
      visit(32 * w + count_bits((left & (~left + 1)) - 1));
    }
  }
}

struct WaitingRows {
  // `words` gets room for `bits` bits, at least the number of rows.
  PUZZLEMIX_HD WaitingRows(Arena& arena, int64_t rows, int64_t bits)
      : row(arena.take<uint16_t>(rows)),
        proposed(arena.take<uint16_t>(rows)),
        words(arena.take<uint32_t>(word_count(static_cast<int>(bits)))) {}

  // Compacts the rows into the first slots; returns how many there are.
  template <typename Team>
  PUZZLEMIX_HD int gather(Team& team, int slots) {
    const uint16_t* const old = row;
    team.mask(slots, words, [=](int s) { return old[s] != kNobody; });
    return pick(team, slots, [=](int s) { return old[s]; });
  }

  // Fills the first slots with the rows of(i) of all i < n whose bit in `words` is set; returns how
  // many these are.
  template <typename Team, typename Of>
  PUZZLEMIX_HD int pick(Team& team, int n, Of of) {
    uint16_t* const picked = proposed;
    const uint32_t* const chosen = words;
    team.for_each(n, [=](int i) {
      if (has_bit(chosen, i)) picked[bits_before(chosen, i)] = static_cast<uint16_t>(of(i));
    });
    proposed = row;
    row = picked;
    return bits_before(words, n);
  }

  // Whether gather() saves more than it takes: at most half of the slots hold a row, and there are
  // more slots than a warp has lanes.
  PUZZLEMIX_HD static bool sparse(int waiting, int slots) {
    return 2 * waiting <= slots && slots > 32;
  }

  uint16_t* row;       // by slot, the row in it, or kNobody
  uint16_t* proposed;  // by slot, the column that its row proposes to
  uint32_t* words;     // a bit mask, scratch memory of gather() and pick()
};

}  // namespace puzzlemix
