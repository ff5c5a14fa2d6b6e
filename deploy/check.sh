#!/usr/bin/env bash
# Checks everything in deploy/ that a program can check: shell scripts, nginx, Prometheus, compose. Fails when anything is wrong.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/.."
"$here/install.sh" cluster lint

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
check() { # NAME COMMAND...
  local name=$1
  shift
  if "$@" > "$work/output" 2>&1; then echo "ok    $name"; else echo "FAIL  $name"; sed 's/^/      /' "$work/output"; failed=$((failed + 1)); fi
}

mapfile -t scripts < <(git ls-files --cached --others --exclude-standard -- '*.sh' .ci)
for script in "${scripts[@]}"; do check "syntax of $script" bash -n "$script"; done
check 'shellcheck' shellcheck --severity=warning "${scripts[@]}"

render() { # LISTEN NODES FILE: as the nginx image and local/cluster.sh do it
  sed -e "s|\${SOCKEYE_LISTEN}|$1|" -e "s|\${SOCKEYE_NODES}|$2|" deploy/nginx/templates/sockeye.conf.template > "$3"
}
nginx_check() { nginx -t -p "$work" -c "$work/nginx.conf" -e stderr; }
mkdir -p "$work/conf.d" "$work/tmp"
cp deploy/nginx/nginx.conf "$work/"
render 127.0.0.1:18080 'server 127.0.0.1:13001; server 127.0.0.1:13002;' "$work/conf.d/sockeye.conf"
check 'nginx configuration' nginx_check
# The compose file's values, with its host names put to addresses, since no container network resolves them here.
nodes=$(sed -n 's/^ *SOCKEYE_NODES: "\(.*\)"$/\1/p' deploy/compose/compose.yaml | sed 's/node[0-9]*:/127.0.0.1:/g')
listen=$(sed -n 's/^ *SOCKEYE_LISTEN: "\(.*\)"$/\1/p' deploy/compose/compose.yaml)
render "$listen" "$nodes" "$work/conf.d/sockeye.conf"
check 'nginx configuration of the compose file' nginx_check

cp deploy/prometheus/*.yml deploy/compose/targets.json "$work/"
check 'Prometheus configuration' promtool check config "$work/prometheus.yml"
check 'alert rules' promtool check rules deploy/prometheus/alerts.yml
check 'alert rules fire when they should' promtool test rules deploy/prometheus/alerts_test.yml

export SOCKEYE_SECRET=only-for-this-check
if docker compose version > /dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
check 'compose file' "${compose[@]}" -f deploy/compose/compose.yaml config --quiet
check 'compose file refuses to start without a secret' bash -c '! SOCKEYE_SECRET= "$@" 2>/dev/null' compose "${compose[@]}" -f deploy/compose/compose.yaml config --quiet

echo "deploy/check.sh: $failed failed"
[ "$failed" = 0 ]
