#!/usr/bin/env bash
# run.sh SECONDS [TARGET...]: fuzzes each target for so long, two at a time (JOBS); without names, all of them.
#
# Builds them with the compiler that the project uses anyway, and libFuzzer. What a target finds new for its corpus, and inputs that show a defect, go
# to target/fuzz-found/TARGET, not into the committed corpus; the latter are printed, too.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit
seconds=${1:?how many seconds for each target}
shift
root=$(cd ../.. && pwd)
build=${CARGO_TARGET_DIR:-$root/target}/fuzz
found=${CARGO_TARGET_DIR:-$root/target}/fuzz-found

mapfile -t all < <(sed -n 's/^name = "\([a-z0-9_]*\)"$/\1/p' Cargo.toml)
[ $# -gt 0 ] || set -- "${all[@]}"
bins=()
for target; do
  [[ " ${all[*]} " == *" $target "* ]] || { echo "run.sh: no target $target" >&2; exit 2; }
  bins+=(--bin "$target")
done

# What cargo-fuzz passes, without a sanitizer: there is no unsafe code in what is fuzzed. Naming the platform keeps these flags from build scripts.
platform=$(rustc -vV | sed -n 's/^host: //p')
coverage='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters'
coverage+=' -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0'
RUSTFLAGS="$coverage -Cdebug-assertions -Ccodegen-units=1 --cfg fuzzing" \
  cargo build --quiet --release --target "$platform" --target-dir "$build" "${bins[@]}" || exit 1
programs=$build/$platform/release

fuzz() { # TARGET
  local target=$1 status=0 log=$found/$1.log
  rm -rf "${found:?}/$target" && mkdir -p "$found/$target"
  # A little longer than libFuzzer allows itself: a target must end.
  timeout --kill-after=10 $((seconds + 120)) "$programs/$target" "$found/$target" "corpus/$target" -artifact_prefix="$found/$target/" \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 > "$log" 2>&1 || status=$?
  if [ "$status" = 0 ]; then
    echo "ok $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") executions in $seconds s"
    return
  fi
  echo "FAILED $target: exit status $status"
  tail -n 60 "$log"
  for input in "$found/$target"/{crash,timeout,oom,leak,slow-unit}-*; do
    [ -e "$input" ] || continue
    echo "the input, $input, begins with:"
    head -c 4096 "$input" | od -A d -t x1z
  done
  return 1
}
export -f fuzz
export seconds found programs
mkdir -p "$found"
results=$(mktemp)
trap 'rm -f "$results"' EXIT
printf '%s\n' "$@" | xargs -P "${JOBS:-2}" -I '{}' bash -c 'fuzz {}' 2>&1 | tee "$results"
failed=$(grep -c '^FAILED ' "$results")
passed=$(grep -c '^ok ' "$results")
# One that did not even say that it failed has failed.
echo "$passed passed, $(($# - passed)) failed"
[ "$passed" = $# ] && [ "$failed" = 0 ]
