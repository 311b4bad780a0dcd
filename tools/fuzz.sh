#!/usr/bin/env bash
# Fuzz the solvers where Python's binding calls them, with AddressSanitizer and UBSan.
#
#     tools/fuzz.sh RUNS|SECONDSs [TARGET...]
#
# `tools/fuzz.sh 100000` runs each of tests/fuzz/*.cpp so often, `tools/fuzz.sh 60s mix` that one
# for a minute. Needs clang with its runtime (Debian: clang libclang-rt-14-dev). Programs, corpora
# and inputs that fail go to $PUZZLEMIX_FUZZ (runs/fuzz).
set -euo pipefail
cd "$(dirname "$0")/.."
amount=${1:?how many runs, or how many seconds with an s behind}
shift
targets=("$@")
if [ ${#targets[@]} = 0 ]; then
  targets=(graphcut transport mix puzzle)
fi
work=${PUZZLEMIX_FUZZ:-runs/fuzz}
compiler=${CXX:-clang++}
case $amount in
  *s) limit=-max_total_time=${amount%s} ;;
  *) limit=-runs=$amount ;;
esac

flags=(-std=c++17 -O1 -g -ffp-contract=off -pthread -Icsrc -Itests/fuzz
       -fsanitize=fuzzer,address,undefined,float-cast-overflow
       -fno-sanitize-recover=all)
for target in "${targets[@]}"; do
  mkdir -p "$work/$target.corpus" "$work/$target.found"
  "$compiler" "${flags[@]}" "tests/fuzz/$target.cpp" csrc/pool.cpp \
    csrc/"$target"/*_cpu.cpp -o "$work/$target"
  printf '== %s\n' "$target"
  "$work/$target" "$limit" -max_len=512 -timeout=60 -rss_limit_mb=2048 -print_final_stats=1 \
    -verbosity=${PUZZLEMIX_FUZZ_VERBOSITY:-1} -artifact_prefix="$work/$target.found/" \
    "$work/$target.corpus"
done
