#!/usr/bin/env bash
# Stock Socket.IO clients of many versions and languages, Python workers, a browser and Prometheus against two Sockeye nodes on one Redis.
#
#   run.sh [SUITE...]     javascript clients python emitters bridge faults browser prometheus; without one: all of them
#
# Installs what it needs: Debian packages that are missing, npm packages into node_modules, Python packages into .venv and .venv-versions, Java packages
# into java/lib, all beside this file. The programs under test: $SOCKEYE_ACCEPTANCE and $SOCKEYE_BINARY, else what cargo builds here, with the profile $SOCKEYE_PROFILE (dev).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
root=$(cd ../../.. && pwd)
suites=("$@")
[ $# -gt 0 ] || suites=(javascript clients python emitters bridge faults browser prometheus)

javascript() { node --test --test-reporter=./js/support/reporter.mjs --test-concurrency="$1" "${@:2}"; }
pythons() { (cd python && ../.venv/bin/python -m pytest "$@"); }
suite() {
  case $1 in
    javascript) javascript 2 js/rows.test.mjs js/nginx.test.mjs js/namespaces.test.mjs js/disconnects.test.mjs js/server.test.mjs js/hostile.test.mjs ;;
    clients) javascript 2 js/versions.test.mjs js/msgpack.test.mjs js/java.test.mjs js/engineio.test.mjs js/eio3.test.mjs ;;
    python) pythons test_rows.py test_namespaces.py ;;
    emitters) pythons test_emitters.py ;;
    bridge) pythons test_bridge.py ;;
    faults) javascript 1 js/faults.test.mjs js/bus-junk.test.mjs ;;
    browser) javascript 1 js/browser.test.mjs js/origins.test.mjs ;;
    prometheus) javascript 1 js/prometheus.test.mjs ;;
    *) echo "run.sh: no suite $1" >&2; return 2 ;;
  esac
}

# Installs again only when what was asked for has changed.
once() { # STAMP FILE-THAT-SAYS-WHAT COMMAND...
  local sum
  sum=$(sha256sum "$2")
  [ "$(cat "$1" 2> /dev/null)" = "$sum" ] && return 0
  "${@:3}"
  echo "$sum" > "$1"
}
environment() { # DIR PIP-ARGUMENTS...
  [ -x "$1/bin/pip" ] || python3 -m venv "$1"
  "$1/bin/pip" install --quiet --disable-pip-version-check --no-input "${@:2}"
}
versions() {
  local version
  grep -v '^#' python/versions.txt | while read -r version; do
    environment ".venv-versions/$version" --constraint python/requirements-old.lock "python-socketio==$version" redis
  done
}
old_python() { environment .venv-versions/4.6.1 --requirement python/requirements-eio3.lock; }
javas() {
  local version
  for version in 1 2; do mvn --quiet --batch-mode --file java/pom.xml --activate-profiles "$version" dependency:copy-dependencies; done
}

echo '== installing what the suites need'
"$root/deploy/install.sh" cluster interop
once node_modules/.installed package-lock.json npm ci --no-audit --no-fund --loglevel=error
once .venv/.installed python/requirements.lock environment .venv --requirement python/requirements.lock
mkdir -p .venv-versions java/lib
once .venv-versions/.installed python/versions.txt versions
once .venv-versions/.installed-eio3 python/requirements-eio3.lock old_python
once java/lib/.installed java/pom.xml javas

if [ -z "${SOCKEYE_ACCEPTANCE:-}" ] || [ -z "${SOCKEYE_BINARY:-}" ]; then
  profile=${SOCKEYE_PROFILE:-dev}
  (cd "$root" && cargo build --quiet --profile "$profile" -p sockeye --example acceptance --bin sockeye)
  built=${CARGO_TARGET_DIR:-$root/target}/${profile/#dev/debug}
  export SOCKEYE_ACCEPTANCE=${SOCKEYE_ACCEPTANCE:-$built/examples/acceptance} SOCKEYE_BINARY=${SOCKEYE_BINARY:-$built/sockeye}
fi

# Whatever a test leaves behind when it is interrupted is in here, and is stopped.
SOCKEYE_INTEROP_DIR=$(mktemp -d)
chmod 711 "$SOCKEYE_INTEROP_DIR"
SOCKEYE_INTEROP_COUNTS=$SOCKEYE_INTEROP_DIR/counts
export SOCKEYE_INTEROP_DIR SOCKEYE_INTEROP_COUNTS
touch "$SOCKEYE_INTEROP_COUNTS"
tidy() {
  local left
  for left in "$SOCKEYE_INTEROP_DIR"/cluster-*; do
    [ ! -d "$left" ] || "$root/deploy/local/cluster.sh" down --dir "$left" || true
  done
  rm -rf "$SOCKEYE_INTEROP_DIR"
}
trap tidy EXIT
trap 'exit 130' INT TERM

failed=0
for name in "${suites[@]}"; do
  echo "== $name"
  suite "$name" || failed=$((failed + 1))
done

read -r passes failures < <(awk '{ p += $1; f += $2 } END { print p + 0, f + 0 }' "$SOCKEYE_INTEROP_COUNTS")
# A suite that ended without a failed test, say because its cluster did not start, has failed all the same.
[ "$failed" = 0 ] || [ "$failures" != 0 ] || failures=$failed
echo "interop: $passes passed, $failures failed"
[ "$failed" = 0 ] && [ "$passes" -gt 0 ]
