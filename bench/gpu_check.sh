#!/usr/bin/env bash
# All that needs a GPU, in under 6 minutes: build, answers, times, profile, tests, sanitizers.
#
#   bench/gpu_check.sh [--wheel FILE] [FOLDER]
#
# --wheel FILE   install this wheel, built elsewhere, instead of building one here
# --cpu          try the program itself where there is no GPU
# FOLDER         where logs and results go (default bench/results)
#
# Ends with a table of all stages, and the names of all tests that failed.
set -uo pipefail
cd "$(dirname "$0")/.."

wheel="" folder=bench/results on_gpu=1
while (($#)); do
  case $1 in
    --wheel) wheel=$(realpath "$2") && shift ;;
    --cpu) on_gpu=0 ;;
    *) folder=$1 ;;
  esac
  shift
done
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

whole=350 # seconds for everything
cores=$(nproc)
table="" failures="" failed=0

# ---- Stages: each with a time limit, the next one whether it passed or not ----

run() { # name, limit in seconds, command...: its output goes to a log, its status to the caller
  local name=$1 limit=$2
  shift 2
  ((limit > whole - SECONDS)) && limit=$((whole - SECONDS))
  ((limit <= 0)) && return 125
  timeout -k 5 "$limit" "$@" >"$folder/$name.log" 2>&1
}

report() { # name, status, seconds
  local result=passed
  case $2 in
    0) ;;
    124 | 137) result="FAILED: out of time" ;;
    125) result="FAILED: no time left" ;;
    *) result="FAILED: status $2" ;;
  esac
  if (($2)); then
    failed=1
    tail -n 20 "$folder/$1.log" 2>/dev/null
    failures+=$(grep -hE '^(FAILED|ERROR|ERROR SUMMARY|========= [A-Z].*)' "$folder/$1.log" 2>/dev/null |
      cut -c1-150 | head -n 40 | sed "s/^/$1: /")$'\n'
  else
    tail -n 3 "$folder/$1.log"
  fi
  table+=$(printf '%-10s %-24s %4s' "$1" "$result" "$3")$'\n'
}

stage() { # name, limit in seconds, command...
  local name=$1 began=$SECONDS
  printf '\n== %s: %s\n' "$name" "${*:3}"
  run "$@"
  report "$name" $? $((SECONDS - began))
}

# ---- Build ----

if ((on_gpu)); then
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d '. ')
  if [[ ! $capability =~ ^[0-9]+$ ]]; then
    echo "no GPU: nvidia-smi names no compute capability"
    exit 1
  fi
  export PUZZLEMIX_CUDA=ON PUZZLEMIX_CUDA_ARCHITECTURES=$capability-real
else
  export PUZZLEMIX_CUDA=OFF
fi
export CMAKE_BUILD_PARALLEL_LEVEL=$cores
if [[ -n $wheel ]]; then
  stage build 60 python3 -m pip install --no-deps --force-reinstall "$wheel"
else
  stage build 170 python3 -m pip install --no-build-isolation --no-deps .
fi

# ---- Right answers first, then how fast ----

stage answers 60 python3 -m bench.gpu --small
stage bench 100 python3 -m bench.gpu --out "$folder/gpu.md"
stage profile 40 python3 -m bench.gpu --profile

workers=()
python3 -c "import xdist" 2>/dev/null && workers=(-n "$cores")
stage tests 150 python3 -m pytest -q "${workers[@]}" -k "$( ((on_gpu)) && echo cuda || echo cpu)" \
  tests/test_cuda.py tests/test_check.py tests/test_arrays.py tests/test_published.py

# ---- Sanitizers, side by side ----

if ((on_gpu)) && command -v compute-sanitizer >/dev/null; then
  # With an allocation of its own for each tensor, an access beyond it is seen.
  export PYTORCH_NO_CUDA_MEMORY_CACHING=1
  began=$SECONDS
  declare -A running
  for tool in memcheck racecheck synccheck initcheck; do
    # Only our kernels; but initcheck has to see PyTorch's too, which write what ours read.
    only=(--kernel-name kns=puzzlemix)
    [[ $tool == initcheck ]] && only=()
    run "$tool" 100 compute-sanitizer --tool "$tool" "${only[@]}" --error-exitcode 1 \
      python3 -m bench.gpu --small &
    running[$tool]=$!
  done
  for tool in "${!running[@]}"; do
    wait "${running[$tool]}"
    report "$tool" $? $((SECONDS - began))
  done
else
  table+=$(printf '%-10s %s' sanitizers "skipped: not installed")$'\n'
fi

# ---- Results ----

[[ -f $folder/gpu.md ]] && cat "$folder/gpu.md"
[[ -f $folder/profile.log ]] && cat "$folder/profile.log"
printf '\n%-10s %-24s %4s\n%s' stage result s "$table"
[[ -n ${failures//[$'\n']/} ]] && printf '\nfailures:\n%s' "$failures"
exit $failed
