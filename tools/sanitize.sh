#!/usr/bin/env bash
# Run the tests with a sanitizer.
#
#     tools/sanitize.sh asan|ubsan|tsan [--short] [PYTEST'S ARGUMENTS...]
#
# asan   the extension with AddressSanitizer and UBSan, under the tests
# ubsan  the extension with UBSan alone, under the tests
# tsan   the pool under callers, forks, exceptions and interruptions, and the device algorithms on
#        teams of threads, as programs of their own with ThreadSanitizer
#
# --short takes the tests that cross each border of the extension once. Builds with g++ in a
# temporary folder; nothing is installed. Needs what `pip install ".[test,dev]"` brings.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:?asan, ubsan or tsan}
shift
short=
if [ "${1-}" = --short ]; then
  short=yes
  shift
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${PYTHON:-python}

# A program of tests/team, built with the sanitizers that are named.
race() {
  g++ -std=c++17 -O1 -g "-fsanitize=$2" -fno-sanitize-recover=all -ffp-contract=off -pthread \
    -Icsrc -Itests/team "tests/team/$1.cpp" csrc/pool.cpp -o "$work/$1"
  ASAN_OPTIONS=detect_leaks=0 TSAN_OPTIONS=halt_on_error=1 "$work/$1"
  echo "$1, $2: good"
}
if [ "$what" = tsan ]; then
  race races thread
  race pool_races thread
  exit
fi

case $what in
  asan) sanitizers=address,undefined ;;
  ubsan) sanitizers=undefined ;;
  *) echo "asan, ubsan or tsan, not $what" >&2 && exit 2 ;;
esac
race pool_races "$sanitizers"
cmake -S . -B "$work/build" -G Ninja -DPUZZLEMIX_CUDA=OFF -DCMAKE_CXX_COMPILER=g++ \
  -DCMAKE_BUILD_TYPE=RelWithDebInfo -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" \
  -DPython_EXECUTABLE="$(command -v "$python")" \
  -DCMAKE_CXX_FLAGS="-fsanitize=$sanitizers -fno-sanitize-recover=undefined" >"$work/cmake.log"
cmake --build "$work/build" >"$work/build.log"
mkdir -p "$work/site/puzzlemix"
cp "$work/build"/_core*.so "$work/site/puzzlemix/"

# Left out: what limits memory itself, runs compilers, or takes hours with a sanitizer.
tests=(tests --ignore=tests/test_bench.py --ignore=tests/test_fuzz.py
       --ignore=tests/test_examples.py --ignore=tests/test_faults.py --ignore=tests/test_divider.py
       --ignore=tests/test_crosscheck.py --ignore=tests/test_build.py --ignore=tests/test_races.py)
if [ "$short" ]; then
  tests=(tests/test_ops.py tests/test_arrays.py tests/test_mix.py tests/test_integers.py
         tests/test_check.py tests/test_team.py)
fi
library() { g++ -print-file-name="lib$1.so"; }
export PYTHONPATH="$work/site${PYTHONPATH:+:$PYTHONPATH}"
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1
preload=$(library ubsan)
if [ "$what" = asan ]; then
  # Without the C++ library beside it, the first exception would abort.
  preload="$(library asan) $preload $(library stdc++)"
fi
LD_PRELOAD=$preload "$python" - <<'PROBE'
from puzzlemix import _core

print("testing", _core.__file__)
PROBE
LD_PRELOAD=$preload "$python" -m pytest -q -p no:cacheprovider "${tests[@]}" "$@"
