#!/usr/bin/env bash
# Installs what the tests need and runs all of them: the crates' own, and stock clients, workers, a browser and Prometheus against real nodes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
deploy/install.sh build cluster interop

log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0
# Everything is run, also when something before it has failed: one run tells all that is wrong.
cargo test --workspace --no-fail-fast 2>&1 | tee "$log" || failed=1
read -r passes failures < <(awk '/^test result:/ { p += $4; f += $6 } END { print p + 0, f + 0 }' "$log")
[ "$failed" = 0 ] || [ "$failures" != 0 ] || failures=1
node/tests/interop/run.sh 2>&1 | tee "$log" || failed=1
read -r more_passes more_failures < <(awk '/^interop: / { p = $2; f = $4; found = 1 } END { print p + 0, found ? f : 1 }' "$log")
echo "$((passes + more_passes)) passed, $((failures + more_failures)) failed"
[ "$failed" = 0 ]
