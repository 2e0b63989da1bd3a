#!/usr/bin/env bash
# Checks and measures the CUDA column on a machine with an NVIDIA GPU: a checkout, nvcc 12.8 or newer with a host compiler and, for the
# phases that have peers, a python3 with torch, timm and peft. Neither network nor Maven nor Java; `java` and `steps` take Java from
# the bundle (native/gpu/make-bundle). docs/gpu.md has the details.
#
# usage: native/gpu-check.sh PHASE...
#   build     compiles the column and the programs below with nvcc
#   ladder    every kernel against the reference in double: odd sizes, poisoned results, twice with the same bits, whole training steps
#   sanitize  small shapes under compute-sanitizer: memcheck, racecheck, initcheck
#   kernels   the kernels of the target table beside PyTorch's, in times of the device's own events
#   steps     whole training steps beside PyTorch's
#   java      the Java tests on the GPU, and accuracy figures of fine-tuning
#   quick     build, the ladder, and one line of each row of the table: in under 9 minutes
# Phases do not need one another; each ends within 8 minutes. Results are added to a CSV as they come.
#
#   GRAFT_GPU=0               the GPU, as CUDA counts them
#   GRAFT_GPU_OUT=DIR         objects, programs, logs and results.csv; target/gpu-check of the checkout
#   GRAFT_GPU_BUNDLE=DIR      the unpacked bundle; the checkout's own folder `bundle`
#   GRAFT_GPU_JOBS=N          compilers at once; all processors
#   GRAFT_GPU_LIMIT=SECONDS   of a phase, on a machine that compiles slowly; 475
#   GRAFT_GPU_PYTHON=PROGRAM  the python3 that has torch
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${here%/*}
gpu=${GRAFT_GPU:-0}
out=${GRAFT_GPU_OUT:-$root/target/gpu-check}
bundle=${GRAFT_GPU_BUNDLE:-$root/bundle}
csv=$out/results.csv
phases='build ladder sanitize kernels steps java quick'

die() { printf 'gpu-check: %s: %s\n' "${phase:-usage}" "$*" >&2; exit 1; }
record() { "$here/gpu/record" "$csv" "$run" "$phase" "$label"; } # samples on standard input to the CSV, all else onwards

# --- programs -------------------------------------------------------------------------------------------------------

find_nvcc() {
  for nvcc in "$(command -v nvcc)" "${CUDA_HOME:-/nonexistent}/bin/nvcc" "$root/.cache/nvcc/bin/nvcc" /usr/local/cuda/bin/nvcc; do
    [ -x "$nvcc" ] && { export nvcc; return; }
  done
  die "no nvcc on the PATH, in CUDA_HOME, in .cache/nvcc (cmake/fetch_nvcc puts one there) or in /usr/local/cuda"
}

# Compiles SOURCE to OBJECT unless nothing that it may include is newer.
compile() { # source object
  [ -e "$2" ] && [ "$2" -nt "$1" ] && [ -z "$(find "$here" \( -name '*.h' -o -name '*.cuh' \) -newer "$2" -print -quit)" ] && return
  mkdir -p "${2%/*}"
  "$nvcc" -std=c++17 -O3 -DNDEBUG -lineinfo -arch="sm_$architecture" -Xptxas=-warn-spills,-warn-lmem-usage -Xcompiler=-march=x86-64-v2,-fno-math-errno \
    -I"$here/include" -I"$here" -I"$here/core" -I"$here/cuda" -I"$here/tests" -c "$1" -o "$2.part" 2>"$2.log" && mv "$2.part" "$2" && return
  printf 'gpu-check: %s does not compile:\n' "${1#"$root"/}" >&2
  cat "$2.log" >&2
  return 1
}
export -f compile
export here root

sources() { # all but what only libgraft_cuda.so has
  find "$here/core" "$here/reference" -maxdepth 1 -name '*.cpp'
  find "$here/cuda" -name emulated -prune -o \( -name '*.cu' -o -name '*.cpp' \) ! -name library.cpp -print
}

# Builds PROGRAM of native/gpu for the GPU's architecture; the sources that it shares with others are compiled once.
program() { # name
  export architecture
  local objects=$out/objects-$architecture source list=$out/list-$1
  mkdir -p "$objects"
  { if [ "$1" = gpu_probe ]; then echo "$here/cuda/probe.cpp"; else sources; fi
    echo "$here/gpu/$1.cpp"; } >"$list"
  while IFS= read -r source; do printf '%s\0%s\0' "$source" "$objects/${source#"$here"/}.o"; done <"$list" |
    xargs -0 -n 2 -P "${GRAFT_GPU_JOBS:-$(nproc)}" bash -c 'compile "$0" "$1" || exit 255' || die "$1 was not built"
  # shellcheck disable=SC2046
  "$nvcc" -arch="sm_$architecture" -o "$out/$1" $(sed "s:^$here/\(.*\):$objects/\1.o:" "$list") -lpthread -ldl || die "$1 was not linked"
}

# The GPU in `label` and `architecture`; fails in one line where there is none.
need_gpu() {
  find_nvcc
  architecture=${GRAFT_GPU_ARCHITECTURE:-90a}
  program gpu_probe
  local said
  said=$("$out/gpu_probe" "$gpu") || die "$said"
  IFS=$'\t' read -r capability label driver <<<"$said"
  case $capability in 90) architecture=90a ;; 100) architecture=100a ;; *) architecture=$capability ;; esac
}

# One row that says on what the following ones were measured.
machine() {
  local clocks=unknown
  command -v nvidia-smi >/dev/null && clocks=$(nvidia-smi -i "$gpu" --query-gpu=clocks.sm,clocks.mem,clocks.max.sm,driver_version,memory.total --format=csv,noheader | head -n 1)
  printf 'status\tmachine\tgpu-check\tok\t%s\n' "$label; compute $capability; driver's CUDA $driver; $("$nvcc" --version | tail -n 1); clocks sm, memory, most sm, driver, memory: $clocks; commit $(commit)" | record
}
commit() { git -C "$root" rev-parse --short HEAD 2>/dev/null || cat "$root/COMMIT" 2>/dev/null || echo unknown; }

# Runs a program of tests and records its last line. A row for every failed test too.
tests() { # row command...
  local row=$1 log=$out/$1.log status said
  shift
  "$@" >"$log" 2>&1
  status=$?
  said=$(grep -E '^Tests run|tests (successful|failed|aborted|skipped) +\]$' "$log" | tr -s '[] \n' ' ')
  grep -E '^FAILED' "$log"
  echo "$row: ${said:-$(tail -n 1 "$log")}"
  { grep -m 200 '^FAILED' "$log" | sed -n "s/^FAILED \(.*\) (seed [0-9]*): \(.*\)/status\t$row\t\1\tfailed\t\2/p"
    printf 'status\t%s\tgraft\t%s\t%s\n' "$row" "$([ $status -eq 0 ] && echo ok || echo failed)" "${said:-$(tail -n 1 "$log")}"; } | record
  return $status
}

# --- phases ---------------------------------------------------------------------------------------------------------

phase_build() {
  find_nvcc
  local said start=$SECONDS warnings
  label='no GPU' capability=none driver=none
  architecture=${GRAFT_GPU_ARCHITECTURE:-90a}
  program gpu_probe
  if said=$("$out/gpu_probe" "$gpu"); then need_gpu; else echo "no GPU here ($said); compiling for $architecture"; fi
  machine
  for name in $programs; do program "$name"; done
  warnings=$(cat "$out/objects-$architecture"/cuda/*.log "$out/objects-$architecture"/cuda/*/*.log 2>/dev/null | grep -c '^ptxas warning.*Local memory used')
  printf 'samples\tbuild\tnvcc\ts\t%s\tfor %s; %s kernels with local memory\n' $((SECONDS - start)) "$architecture" "$warnings" | record
  echo "built for $architecture in $((SECONDS - start)) s: $programs"
}

phase_ladder() {
  need_gpu
  program ladder
  machine
  local status=0
  tests ladder "$out/ladder" --device "$gpu" || status=1
  GRAFT_GRAPH=0 tests ladder_launched "$out/ladder" --device "$gpu" --case plan/ || status=1 # the steps again, kernel by kernel
  return $status
}

# Tests whose every launch is watched: one variation of each case, and the products and services.
phase_sanitize() {
  need_gpu
  local sanitizer tool part failed=0
  sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null) || die 'no compute-sanitizer on the PATH or in /usr/local/cuda/bin'
  program ladder
  machine
  for tool in memcheck racecheck initcheck; do
    for part in /overwrite/ product/ service/ optimizer/; do
      tests "sanitize_${tool}_${part//\//}" timeout 150 "$sanitizer" --tool $tool --error-exitcode 9 --print-limit 20 "$out/ladder" --device "$gpu" --case "$part" || failed=1
    done
  done
  return $failed
}

phase_kernels() {
  need_gpu
  machine
  kernels 30
}
kernels() { # samples
  program kernels
  "$out/kernels" --device "$gpu" --samples "$1" | record
  local status=${PIPESTATUS[0]}
  peers kernels --samples "$1" || status=1
  "$here/gpu/table" "$csv" "$run" "$phase"
  return "$status"
}

phase_steps() {
  need_gpu
  machine
  steps 20
}
steps() { # samples
  local status=0
  in_java dev.graft.jmh.GpuSteps "cuda:$gpu" "$1" | record
  [ "${PIPESTATUS[0]}" -eq 0 ] || status=1
  peers steps --samples "$1" || status=1
  "$here/gpu/table" "$csv" "$run" "$phase"
  return $status
}

phase_java() {
  need_gpu
  machine
  tests java in_java -Dgraft.test.device="cuda:$gpu" org.junit.platform.console.ConsoleLauncher execute --disable-banner --disable-ansi-colors \
    --details=summary --select-package=dev.graft.engine --include-classname='.*Test'
  local status=$?
  accuracy || status=1
  return $status
}

# Fine-tuning of CIFAR's ResNet-20 on the bundle's pictures, to the floors of the CPU; the mean of each figure is a row.
accuracy() {
  if [ ! -d "$bundle/data" ]; then
    printf 'status\taccuracy\tgraft\tmissing\tthe bundle has no data\n' | record
    echo "gpu-check: $phase: no accuracy figures: the bundle has no data" >&2
    return 1
  fi
  in_java -Dgraft.test.device="cuda:$gpu" dev.graft.finetune.AccuracyFigures "$bundle/data" "$out/accuracy-$run.csv" 'cifar all' 'cifar new' 'cifar scratch' >"$out/accuracy.log" 2>&1
  local status=$?
  [ $status -eq 0 ] || tail -n 3 "$out/accuracy.log" >&2
  "$here/gpu/figures" <"$out/accuracy.log" | record
  [ "$status/${PIPESTATUS[0]}" = 0/0 ]
}

# One run of everything that fits into nine minutes.
phase_quick() {
  need_gpu
  machine
  local status=0
  program ladder
  tests ladder "$out/ladder" --device "$gpu" || status=1
  kernels 5 || status=1
  steps 5 || status=1
  return $status
}

# Java of the bundle, with the natives in its jars and the CUDA libraries of Python's wheels.
in_java() { # arguments...
  if [ ! -x "$bundle/runtime/bin/java" ]; then
    printf 'status\tbundle\tgraft\tmissing\tno bundle in %s; native/gpu/make-bundle makes one\n' "$bundle"
    echo "gpu-check: $phase: no bundle in $bundle; native/gpu/make-bundle makes one" >&2
    return 1
  fi
  local wheels
  wheels=$("${GRAFT_GPU_PYTHON:-python3}" -c 'import glob, sys; print(":".join(d for s in sys.path for d in glob.glob(s + "/nvidia/*/lib")))' 2>/dev/null)
  LD_LIBRARY_PATH=${wheels:+$wheels:}/usr/local/cuda/lib64${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} "$bundle/runtime/bin/java" -Xmx4g --enable-native-access=ALL-UNNAMED \
    -Dorg.bytedeco.javacpp.cachedir="$out/javacpp" -Dgraft.jmh.weights="$out/weights" -cp "$bundle/lib/*" "$@"
}

# Runs the peers of a phase where python3 has torch; a missing one is a row and a line.
peers() { # name arguments...
  local python=${GRAFT_GPU_PYTHON:-python3} name=$1 said
  shift
  if ! said=$("$python" -c 'import torch; torch.zeros(1, device="cuda")' 2>&1); then
    printf 'status\tpeers\ttorch\tmissing\t%s\n' "$(tail -n 1 <<<"$said")" | record
    echo "gpu-check: $phase: no peers: $(tail -n 1 <<<"$said")" >&2
    return 1
  fi
  CUDA_VISIBLE_DEVICES=$gpu PYTHONUNBUFFERED=1 "$python" "$root/jmh/peers/torch/${name%s}_rows.py" "$@" | record
  return "${PIPESTATUS[0]}"
}

programs='ladder kernels'

# --- the phases in turn, each in a process with a limit --------------------------------------------------------------

[ $# -gt 0 ] || { sed -n '2,/^set/p' "${BASH_SOURCE[0]}" | sed -n 's/^# \{0,1\}//p'; exit 2; }
if [ "$1" = --phase ]; then
  phase=$2 run=$3 label=
  "phase_$phase"
  exit
fi
for phase in "$@"; do [[ " $phases " == *" $phase "* ]] || die "there is no phase $phase; there are: $phases"; done
mkdir -p "$out" || exit 1
run=$(date -u +%Y-%m-%dT%H:%M:%SZ)
failed=
for phase in "$@"; do
  limit=${GRAFT_GPU_LIMIT:-475}
  [ "$phase" = quick ] && limit=${GRAFT_GPU_LIMIT:-535}
  timeout -k 5 "$limit" "${BASH_SOURCE[0]}" --phase "$phase" "$run"
  status=$?
  [ $status -ne 124 ] || { echo "gpu-check: $phase: stopped after $limit s" >&2; label='' && printf 'status\t%s\tgpu-check\tstopped\tafter %s s\n' "$phase" "$limit" | record; }
  [ "$status" -eq 0 ] || failed+=" $phase"
done
[ -z "$failed" ] || { echo "gpu-check: failed:$failed" >&2; exit 1; }
