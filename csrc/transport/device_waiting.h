// The rows that wait for a column, for the device algorithms of assignments.
//
// Each is in a slot of its own. Who takes a column from another leaves it the slot, so a round of
// proposals moves nothing; once half of the slots are empty the rest is moved together.
#pragma once

#include "team.h"

#ifndef __CUDA_ARCH__
#include <bitset>
#endif

namespace puzzlemix {

constexpr uint16_t kNobody = 0xffff;  // no row, or no column

PUZZLEMIX_HD inline int count_bits(uint32_t word) {
#ifdef __CUDA_ARCH__
  return __popc(word);
#else
  return static_cast<int>(std::bitset<32>(word).count());
#endif
}

// How many of the first i bits are set.
PUZZLEMIX_HD inline int bits_before(const uint32_t* words, int i) {
  int before = 0;
  for (int w = 0; w < i >> 5; ++w) before += count_bits(words[w]);
  return (i & 31) == 0 ? before : before + count_bits(words[i >> 5] << (32 - (i & 31)));
}

// visit(i) for the set bits among n, in ascending order.
template <typename Visit>
PUZZLEMIX_HD void for_each_bit(const uint32_t* words, int n, Visit visit) {
  for (int w = 0; w < word_count(n); ++w) {
    for (uint32_t left = words[w]; left != 0; left &= left - 1) {
      visit(32 * w + count_bits((left & (~left + 1)) - 1));
    }
  }
}

struct WaitingRows {
  // The words have room for `bits`, the rows or more.
  PUZZLEMIX_HD WaitingRows(Arena& arena, int64_t rows, int64_t bits)
      : row(arena.take<uint16_t>(rows)),
        choice(arena.take<uint16_t>(rows)),
        words(arena.take<uint32_t>(word_count(static_cast<int>(bits)))) {}

  // Moves the rows together; returns how many there are.
  template <typename Team>
  PUZZLEMIX_HD int gather(Team& team, int slots) {
    const uint16_t* const old = row;
    team.mask(slots, words, [=](int s) { return old[s] != kNobody; });
    return pick(team, slots, [=](int s) { return old[s]; });
  }

  // The rows of(i) of all i < n whose bit is set in `words`.
  template <typename Team, typename Of>
  PUZZLEMIX_HD int pick(Team& team, int n, Of of) {
    uint16_t* const picked = choice;
    const uint32_t* const chosen = words;
    team.step(n, [=](int i) {
      if (has_bit(chosen, i)) picked[bits_before(chosen, i)] = static_cast<uint16_t>(of(i));
    });
    choice = row;
    row = picked;
    return bits_before(words, n);
  }

  // Whether that pays.
  PUZZLEMIX_HD static bool sparse(int waiting, int slots) {
    return 2 * waiting <= slots && slots > 32;
  }

  uint16_t* row;     // in each slot; kNobody: empty
  uint16_t* choice;  // the column that it proposes to
  uint32_t* words;
};

}  // namespace puzzlemix
