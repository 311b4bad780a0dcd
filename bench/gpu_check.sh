#!/usr/bin/env bash
# All that needs a GPU, in under 8 minutes: build, tests, compute-sanitizer, benchmarks; a table last.
#
# bench/gpu_check.sh [FOLDER]    logs and results go to FOLDER (default bench/results)
set -uo pipefail
cd "$(dirname "$0")/.."
folder=${1:-bench/results}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
whole=470 # seconds for everything
table=""
failed=0

note() { # stage, result, seconds
  table+=$(printf '%-12s %-28s %5s' "$1" "$2" "$3")$'\n'
}

# A stage goes on after a failed one, and never takes more than is left of the whole.
stage() { # name, limit in seconds, command...
  local name=$1 limit=$2 began=$SECONDS status
  shift 2
  ((limit > whole - SECONDS)) && limit=$((whole - SECONDS))
  if ((limit <= 0)); then
    failed=1
    note "$name" "FAILED: no time left" 0
    return
  fi
  printf '\n== %s: %s\n' "$name" "$*"
  timeout -k 5 "$limit" "$@" >"$folder/$name.log" 2>&1
  status=$?
  if ((status == 0)); then
    tail -n 4 "$folder/$name.log"
    note "$name" passed $((SECONDS - began))
  else
    failed=1
    tail -n 30 "$folder/$name.log"
    ((status == 124)) && note "$name" "FAILED: over ${limit} s" $((SECONDS - began))
    ((status == 124)) || note "$name" "FAILED: status $status" $((SECONDS - began))
  fi
}

capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d '. ')
if [[ ! $capability =~ ^[0-9]+$ ]]; then
  echo "no GPU: nvidia-smi names no compute capability"
  exit 1
fi

export PUZZLEMIX_CUDA=ON PUZZLEMIX_CUDA_ARCHITECTURES=$capability-real
stage build 170 python3 -m pip install --no-build-isolation --no-deps .

stage tests 170 python3 -m pytest -q -k cuda tests/test_cuda.py tests/test_check.py \
  tests/test_arrays.py tests/test_published.py

# Before the sanitizers, which are slow and may use up what is left of the time.
stage bench 110 python3 -m bench.gpu --out "$folder/gpu.md"

if command -v compute-sanitizer >/dev/null; then
  # With an allocation of its own for each tensor, an access beyond it is seen.
  export PYTORCH_NO_CUDA_MEMORY_CACHING=1
  for tool in memcheck racecheck synccheck initcheck; do
    # Only our kernels; but initcheck has to see PyTorch's too, which write what ours read.
    only=(--kernel-name kns=puzzlemix)
    [[ $tool == initcheck ]] && only=()
    stage "$tool" 60 compute-sanitizer --tool "$tool" "${only[@]}" --error-exitcode 1 \
      python3 -m bench.gpu --small
  done
  unset PYTORCH_NO_CUDA_MEMORY_CACHING
else
  note sanitizer "skipped: not installed" 0
fi

[[ -f $folder/gpu.md ]] && cat "$folder/gpu.md"

printf '\n%-12s %-28s %5s\n%s' stage result s "$table"
exit $failed
