// Class numbers mixed to soft labels, on the CPU. At most two weights of a sample are not zero, so
// one pass over the result does what takes PyTorch six operations on one-hot vectors.
#pragma once

#include <algorithm>

#include "tensor.h"

namespace puzzlemix {

struct LabelProblem {
  const int64_t* labels;   // [batch]
  const int64_t* others;   // [count]
  const float* ratio;      // [batch], the weight of a sample's own label
  const int64_t* partner;  // [batch], indices of `others`; null: each label has all of the weight
  float* out;              // [batch, classes]
  int64_t batch, count, classes;
};

// The numbers by which a Status names the tensors of mix_labels.
enum LabelArgument : int { kLabels, kOthers, kRatio, kPartners };

// Checks that all of [batch] labels are within the number of classes.
inline Status check_labels(const int64_t* labels, int64_t batch, int64_t classes) {
  const auto wrong = [&](int64_t label) { return label < 0 || label >= classes; };
  const int64_t* const found = std::find_if(labels, labels + batch, wrong);
  if (found == labels + batch) return {};
  return {Fault::value, kLabels, found - labels, 0};
}

// out = ratio * one_hot(label) + (1 - ratio) * one_hot(others[partner]).
inline Status mix_labels(const LabelProblem& p) {
  const auto within = [](int64_t index, int64_t count) { return index >= 0 && index < count; };
  std::fill_n(p.out, p.batch * p.classes, 0.0f);
  for (int64_t b = 0; b < p.batch; ++b) {
    float* const row = p.out + b * p.classes;
    const int64_t label = p.labels[b];
    if (!within(label, p.classes)) return {Fault::value, kLabels, b, 0};
    if (!p.partner) {
      row[label] = 1;
      continue;
    }
    const int64_t partner = p.partner[b];
    if (!within(partner, p.count)) return {Fault::value, kPartners, b, 0};
    const int64_t other = p.others[partner];
    if (!within(other, p.classes)) return {Fault::value, kOthers, b, 0};
    row[label] = p.ratio[b];
    row[other] += 1 - p.ratio[b];
  }
  return {};
}

}  // namespace puzzlemix
