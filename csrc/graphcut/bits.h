// A set of grid cells as machine words: bit i is cell i of the flattened grid.
#pragma once

#include <cstdint>

#if defined(_MSC_VER)
#include <intrin.h>
#endif
#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#define PUZZLEMIX_SSE2
#endif

namespace puzzlemix {

inline int lowest_bit(uint64_t word) {
#if defined(_MSC_VER)
  unsigned long index;
  _BitScanForward64(&index, word);
  return static_cast<int>(index);
#else
  return __builtin_ctzll(word);
#endif
}

inline int bit_count(uint64_t word) {
  constexpr uint64_t kPairs = 0x5555555555555555, kFours = 0x3333333333333333;
  word -= word >> 1 & kPairs;
  word = (word & kFours) + (word >> 2 & kFours);
  word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0f;
  return static_cast<int>(word * 0x0101010101010101 >> 56);
}

// A shift of a bit mask by up to 64 places: a number of whole words and a rest below 64.
struct Shift {
  explicit Shift(int places) : words(places / 64), rest(places % 64) {}
  int words, rest;
};

template <int Words>
struct Bits {
  uint64_t word[Words];

  static Bits none() { return Bits{}; }

  bool any() const {
    uint64_t all = 0;
    for (uint64_t w : word) all |= w;
    return all != 0;
  }
  int count() const {
    int sum = 0;
    for (uint64_t w : word) sum += bit_count(w);
    return sum;
  }
  bool has(int i) const { return word[i >> 6] >> (i & 63) & 1; }
  void set(int i) { word[i >> 6] |= uint64_t{1} << (i & 63); }

  // Bit i of the result is bit i + places of this.
  Bits lower(Shift by) const {
    Bits out;
    for (int w = 0; w < Words; ++w) {
      const uint64_t low = at(w + by.words), high = at(w + by.words + 1);
      out.word[w] = low >> by.rest | high << 1 << (63 - by.rest);
    }
    return out;
  }
  // Bit i of the result is bit i - places of this.
  Bits higher(Shift by) const {
    Bits out;
    for (int w = 0; w < Words; ++w) {
      const uint64_t high = at(w - by.words), low = at(w - by.words - 1);
      out.word[w] = high << by.rest | low >> 1 >> (63 - by.rest);
    }
    return out;
  }

  friend Bits operator&(Bits a, const Bits& b) {
    for (int w = 0; w < Words; ++w) a.word[w] &= b.word[w];
    return a;
  }
  friend Bits operator|(Bits a, const Bits& b) {
    for (int w = 0; w < Words; ++w) a.word[w] |= b.word[w];
    return a;
  }
  friend Bits operator^(Bits a, const Bits& b) {
    for (int w = 0; w < Words; ++w) a.word[w] ^= b.word[w];
    return a;
  }
  // The cells of a that are not in b.
  friend Bits operator-(Bits a, const Bits& b) {
    for (int w = 0; w < Words; ++w) a.word[w] &= ~b.word[w];
    return a;
  }

 private:
  uint64_t at(int w) const { return w >= 0 && w < Words ? word[w] : 0; }
};

// A set with two words of zeros before and after it: a shift by up to 64 places reads and writes at
// most two words beyond a word, so no access needs a check for the ends.
template <int Words>
struct Padded {
  static constexpr int kPad = 2;
  uint64_t words[Words + 2 * kPad] = {};

  uint64_t& operator[](int w) { return words[w + kPad]; }
  uint64_t operator[](int w) const { return words[w + kPad]; }

  void operator=(const Bits<Words>& bits) {
    for (int w = 0; w < Words; ++w) (*this)[w] = bits.word[w];
  }
  bool any() const {
    uint64_t all = 0;
    for (int w = 0; w < Words; ++w) all |= (*this)[w];
    return all != 0;
  }
  // Word w of the set shifted as by Bits::lower and Bits::higher.
  uint64_t lower(int w, Shift by) const {
    if constexpr (Words == 1) return words[kPad] >> by.rest;
    return (*this)[w + by.words] >> by.rest | (*this)[w + by.words + 1] << 1 << (63 - by.rest);
  }
  uint64_t higher(int w, Shift by) const {
    if constexpr (Words == 1) return words[kPad] << by.rest;
    return (*this)[w - by.words] << by.rest | (*this)[w - by.words - 1] >> 1 >> (63 - by.rest);
  }
};

template <int Words, typename Body>
inline void for_each_bit(const Bits<Words>& bits, const Body& body) {
  for (int w = 0; w < Words; ++w) {
    for (uint64_t rest = bits.word[w]; rest; rest &= rest - 1) body(w * 64 + lowest_bit(rest));
  }
}

// out[i] = values[i] * factor for the cells in `set`, 0 for all others.
template <int Words>
inline void keep_in(const Bits<Words>& set, const int32_t* __restrict values, int32_t factor,
                    int32_t* __restrict out) {
  constexpr int kHalf = 32;
  static constexpr struct Table {
    constexpr Table() : bit() {
      for (int k = 0; k < kHalf; ++k) bit[k] = uint32_t{1} << k;
    }
    uint32_t bit[kHalf];
  } kTable;  // SSE2 has no shift by another number for each entry
  for (int at = 0; at < Words * 64; at += kHalf) {
    const auto half = static_cast<uint32_t>(set.word[at / 64] >> at % 64);
    for (int k = 0; k < kHalf; ++k) {
      out[at + k] = ((half & kTable.bit[k]) != 0 ? values[at + k] : 0) * factor;
    }
  }
}

// positive(), negative() and equal_to() return the set of cells whose value passes a test. They
// read Words * 64 values, to which planes are padded.
#ifdef PUZZLEMIX_SSE2
// test(v), v four values, returns a vector whose sign bits say which of them pass.
template <int Words, typename Test>
inline Bits<Words> where(const int32_t* values, const Test& test) {
  Bits<Words> out;
  for (int w = 0; w < Words; ++w) {
    uint64_t bits = 0;
    const int32_t* in = values + w * 64;
    const auto four = [&](int at) {
      return test(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in + at)));
    };
    for (int at = 0; at < 64; at += 16) {
      // Packing saturates, which keeps signs; movemask then reads the sign of each byte.
      const __m128i low = _mm_packs_epi32(four(at), four(at + 4));
      const __m128i high = _mm_packs_epi32(four(at + 8), four(at + 12));
      const uint64_t sixteen = static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(low, high)));
      bits |= sixteen << at;
    }
    out.word[w] = bits;
  }
  return out;
}

template <int Words>
inline Bits<Words> positive(const int32_t* values) {
  return where<Words>(values, [](__m128i v) { return _mm_cmpgt_epi32(v, _mm_setzero_si128()); });
}
template <int Words>
inline Bits<Words> negative(const int32_t* values) {
  return where<Words>(values, [](__m128i v) { return v; });
}
template <int Words>
inline Bits<Words> equal_to(const int32_t* values, int32_t value) {
  return where<Words>(values, [=](__m128i v) { return _mm_cmpeq_epi32(v, _mm_set1_epi32(value)); });
}
#else
template <int Words, typename Test>
inline Bits<Words> where(const int32_t* values, const Test& test) {
  Bits<Words> out = Bits<Words>::none();
  for (int i = 0; i < Words * 64; ++i) out.word[i / 64] |= uint64_t{test(values[i])} << i % 64;
  return out;
}

template <int Words>
inline Bits<Words> positive(const int32_t* values) {
  return where<Words>(values, [](int32_t v) { return v > 0; });
}
template <int Words>
inline Bits<Words> negative(const int32_t* values) {
  return where<Words>(values, [](int32_t v) { return v < 0; });
}
template <int Words>
inline Bits<Words> equal_to(const int32_t* values, int32_t value) {
  return where<Words>(values, [=](int32_t v) { return v == value; });
}
#endif

}  // namespace puzzlemix
